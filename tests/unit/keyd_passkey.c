/* Linking with a passkey: the worked vectors of the protocol, and the three verbs in and out of
 * order (protocol page 12, 1.4; page 03, section 11). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "common/clock.h"
#include "common/proto/adv.pb-c.h"
#include "common/proto/companion.pb-c.h"
#include "keyd/crypto.h"
#include "keyd/curve.h"
#include "keyd/passkey.h"
#include "tests/unit/keyd_bench.h"
#include "tests/unit/slow.h"

#define KEY     "01234567890123456789012345678901"
#define ALICE   ((char *)(uintptr_t) "alice")
#define TEXT(s) ((char *)(uintptr_t)(s))

/* ---------------------------------------------------------------- vectors */

static const struct vector {
	const char *e_priv, *e_pub, *primary_priv, *primary_pub, *nonce, *primary_nonce, *ref;
	const char *adv_secret, *prologue, *proof, *key, *code, *payload;
} vectors[] = {
    {"0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
	"07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c",
	"4142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60",
	"64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d48466",
	"808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
	"c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf", "2@ABCDEFGH",
	"1111111111111111111111111111111111111111111111111111111111111111",
	"0a300a2007a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c10011a0a"
	"3240414243444546474812220a20"
	"8a08cac025e31c2ce6ed9b10df22971cab30dbb51eabe99ed8131ccebf98bd57",
	"c3d7a48120e8d53264b8c99fb7b7a71d9fcead714c9ca4586a7ba9d6b8b8a58c",
	"b9c31734fa039536bc74fc98fac6b5ec09676709d806daa839465d4dfe22953d", "LM5N7Y4T",
	"759a9250026051d1ca5c3a7ff2eecd405ba6d11c7e152fd5c2ae1ef0e2abaeb8"
	"43aa247a5f9fe0224d72bfe063f518c3ebd727b7aec48261fbce6fe92fe42de5"
	"5585cf8479ee98e02d6dcc3918e222b6329e35a913bcd77192f592dca4c18749"
	"46328e8ceb8c41351630830cad9f53a45e75f1bee096"},
    {"15161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334",
	"ad65f789413560b97cc68d0b9cb23e96bb43fd2f71a6c9952d7573064b767423",
	"35363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f5051525354",
	"628ca1a8e2815c4b60d099e75a36488727028b4ce09f53fc058294a7a5ea901d",
	"55565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f7071727374",
	"95969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4", "2@pkref",
	"d0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeef",
	"0a2d0a20ad65f789413560b97cc68d0b9cb23e96bb43fd2f71a6c9952d7573064b76742310011a07"
	"3240706b72656612220a20"
	"fbaf28ae8a1227ee7d43fa514e913e11d7d83b535c37a9aafd5e7bc01326f057",
	"fab893f6501dc6fddbfff0cf4095a4907f915016251af9945efd333cb4d7c5fb",
	"acd84ba1a74579e25c5806f790988dca32cc3de960031b5428e29196446d5510", "1VJ83GK6", NULL}};

static void
unhex(const char *hex, uint8_t *out, size_t len)
{
	size_t n = 0;

	assert_int_equal(sodium_hex2bin(out, len, hex, strlen(hex), NULL, &n, NULL), 0);
	assert_int_equal(n, len);
}

#define SAME(bytes, len, hex)                                                                      \
	do {                                                                                       \
		uint8_t want_[256];                                                                \
		assert_int_equal(strlen(hex), 2 * (len));                                          \
		unhex(hex, want_, len);                                                            \
		assert_memory_equal(bytes, want_, len);                                            \
	} while (0)

static void
test_vectors(void **state)
{
	uint8_t e_priv[32], e_pub[32], primary_pub[32], primary_priv[32], nonce[32];
	uint8_t primary_nonce[32], adv[32], noise[32], identity[32], next[32], out[256], iv[12];
	char salt[PASSKEY_SALT_MAX], code[PAIRCODE_LEN + 1];

	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		const struct vector *v = &vectors[i];
		struct buf prologue = BUF_INIT;

		unhex(v->e_priv, e_priv, 32);
		unhex(v->primary_priv, primary_priv, 32);
		unhex(v->nonce, nonce, 32);
		unhex(v->primary_nonce, primary_nonce, 32);
		unhex(v->adv_secret, adv, 32);
		curve_public(e_priv, e_pub);
		SAME(e_pub, 32, v->e_pub);
		curve_public(primary_priv, primary_pub);
		SAME(primary_pub, 32, v->primary_pub);
		assert_int_equal(passkey_prologue(e_pub, nonce, 1, v->ref, &prologue), 0);
		SAME(prologue.data, prologue.len, v->prologue);
		passkey_proof(adv, prologue.data, prologue.len, out);
		SAME(out, 32, v->proof);
		buf_clear(&prologue);
		passkey_salt(1, v->ref, salt);
		assert_int_equal(passkey_key(e_priv, primary_pub, salt, out), 0);
		SAME(out, 32, v->key);
		passkey_code(nonce, primary_pub, primary_nonce, code);
		assert_string_equal(code, v->code);
		if (v->payload == NULL)
			continue;
		for (uint8_t k = 0; k < 12; k++)
			iv[k] = k;
		memset(noise, 0x33, 32);
		memset(identity, 0x44, 32);
		memset(next, 0x22, 32);
		unhex(v->key, adv, 32);
		passkey_payload(adv, iv, noise, identity, next, out);
		SAME(out, (size_t)PASSKEY_PAYLOAD, v->payload);
	}
}

/* ---------------------------------------------------------------- verbs */

static struct bench b;

static int
setup(void **state)
{
	bench_start(&b, KEY, 1);
	return 0;
}

static int
teardown(void **state)
{
	bench_stop(&b);
	return 0;
}

#define REFUSES(code_, ask)                                                                        \
	do {                                                                                       \
		assert_null(ask);                                                                  \
		assert_string_equal(b.code, code_);                                                \
	} while (0)

static void
end_unit(int ok)
{
	assert_int_equal(bench_commit(&b, "alice", b.unit, ok), ok);
	bench_settle(&b);
}

static struct device
stored_device(void)
{
	const struct bench_record *r =
	    bench_record(&b, "alice", STORED__DOMAIN__DEVICE, "device", 0);
	const struct vault_id id = {"alice", STORED__DOMAIN__DEVICE, "device", r->version};
	struct buf plain = BUF_INIT;
	struct device d;

	assert_int_equal(
	    vault_unseal(b.k->secrets->vault_key[0], &id, r->sealed.data, r->sealed.len, &plain),
	    0);
	assert_int_equal(device_decode(&d, plain.data, plain.len), 0);
	buf_clear(&plain);
	return d;
}

static void
create(void)
{
	Keyd__DeviceCreate q = KEYD__DEVICE_CREATE__INIT;

	q.account = ALICE;
	q.unit = ++b.unit;
	assert_non_null(BENCH_ASK(&b, b.apid, DEVICE_CREATE, &q, DEVICE_STATE, device_state));
	end_unit(1);
}

static const Keyd__PasskeyBeginReply *
begin(const char *ref, unsigned type, int proof)
{
	Keyd__PasskeyBegin q = KEYD__PASSKEY_BEGIN__INIT;

	q.account = ALICE;
	q.ref = TEXT(ref);
	q.device_type = type;
	q.proof = proof;
	return BENCH_ASK(&b, b.apid, PASSKEY_BEGIN, &q, PASSKEY_BEGIN_REPLY, passkey_begin_reply);
}

static const Keyd__PasskeyContinueReply *
go_on(const uint8_t *pub, size_t npub, const uint8_t *nonce, size_t nnonce)
{
	Keyd__PasskeyContinue q = KEYD__PASSKEY_CONTINUE__INIT;

	q.account = ALICE;
	q.primary_pub = (ProtobufCBinaryData){npub, (uint8_t *)(uintptr_t)pub};
	q.primary_nonce = (ProtobufCBinaryData){nnonce, (uint8_t *)(uintptr_t)nonce};
	return BENCH_ASK(
	    &b, b.apid, PASSKEY_CONTINUE, &q, PASSKEY_CONTINUE_REPLY, passkey_continue_reply);
}

static const Keyd__PasskeySealReply *
seal(void)
{
	Keyd__PasskeySeal q = KEYD__PASSKEY_SEAL__INIT;

	q.account = ALICE;
	q.unit = ++b.unit;
	return BENCH_ASK(&b, b.apid, PASSKEY_SEAL, &q, PASSKEY_SEAL_REPLY, passkey_seal_reply);
}

static void
refresh(int ok)
{
	Keyd__PairRefresh q = KEYD__PAIR_REFRESH__INIT;

	q.account = ALICE;
	q.unit = ++b.unit;
	assert_non_null(BENCH_ASK(&b, b.apid, PAIR_REFRESH, &q, STAGED, staged));
	end_unit(ok);
}

static void
nothing_is_left(void)
{
	static const struct passkey none;

	assert_memory_equal(&b.k->secrets->passkey[0], &none, sizeof(none));
}

/* As a phone: the keys of the other side of one exchange. */
struct primary {
	uint8_t priv[32], pub[32], nonce[32], e_pub[32], commitment[32], key[32];
	uint8_t companion[128];
	size_t companion_len;
};

static void
take_prologue(struct primary *p, const Keyd__PasskeyBeginReply *r)
{
	struct pb_arena *a = pb_arena_new(1 << 16);
	const Companion__ProloguePayload *pl;
	const Companion__CompanionEphemeralIdentity *id;

	curve_pair(p->priv, p->pub);
	randombytes_buf(p->nonce, 32);
	pl = pb_unpack(&companion__prologue_payload__descriptor, r->prologue.data, r->prologue.len,
	    a, PB_STRICT, NULL);
	assert_non_null(pl);
	assert_int_equal(pl->commitment->hash.len, 32);
	memcpy(p->commitment, pl->commitment->hash.data, 32);
	p->companion_len = pl->companion_ephemeral_identity.len;
	memcpy(p->companion, pl->companion_ephemeral_identity.data, p->companion_len);
	id = pb_unpack(&companion__companion_ephemeral_identity__descriptor, p->companion,
	    p->companion_len, a, PB_STRICT, NULL);
	assert_non_null(id);
	assert_string_equal(id->ref, "2@ref");
	assert_int_equal(id->device_type, 1);
	memcpy(p->e_pub, id->public_key.data, 32);
	pb_arena_free(a);
}

static void
check_nonce(struct primary *p, const Keyd__PasskeyContinueReply *r)
{
	const struct crypto_part parts[2] = {{p->companion, p->companion_len}, {r->nonce.data, 32}};
	char code[PAIRCODE_LEN + 1];
	uint8_t hash[32];

	assert_int_equal(r->nonce.len, 32);
	crypto_sha256(parts, 2, hash);
	assert_memory_equal(hash, p->commitment, 32);
	passkey_code(r->nonce.data, p->pub, p->nonce, code);
	assert_string_equal(r->code, code);
	assert_int_equal(
	    passkey_key(p->priv, p->e_pub, "Companion Pairing 1 with ref 2@ref", p->key), 0);
}

/* A whole exchange up to the envelope; what is in it. */
static void
exchange(uint8_t opened[102])
{
	const Keyd__PasskeyContinueReply *c;
	const Keyd__PasskeySealReply *s;
	struct primary p;

	take_prologue(&p, begin("2@ref", 1, 1));
	c = go_on(p.pub, 32, p.nonce, 32);
	assert_non_null(c);
	check_nonce(&p, c);
	s = seal();
	assert_non_null(s);
	assert_int_equal(s->stages, 1);
	assert_int_equal(s->payload.len, 118);
	assert_int_equal(
	    crypto_gcm_open(p.key, s->iv.data, NULL, 0, s->payload.data, 118, opened), 0);
}

/* pair-success as the phone makes it with that secret; the outcome. */
static int
pair_success(const uint8_t secret[32])
{
	Adv__ADVDeviceIdentity di = ADV__ADVDEVICE_IDENTITY__INIT;
	Adv__ADVSignedDeviceIdentity si = ADV__ADVSIGNED_DEVICE_IDENTITY__INIT;
	Adv__ADVSignedDeviceIdentityHMAC box = ADV__ADVSIGNED_DEVICE_IDENTITY_HMAC__INIT;
	Keyd__PairSuccess q = KEYD__PAIR_SUCCESS__INIT;
	const Keyd__PairSuccessReply *r;
	struct device d = stored_device();
	uint8_t priv[32], pub[32], sig[64], mac[32];
	struct crypto_part part;
	struct buf msg = BUF_INIT;

	curve_pair(priv, pub);
	di.has_key_index = 1;
	di.key_index = 3;
	si.details.data = pb_pack(&di.base, &si.details.len);
	buf_put(&msg, "\6\0", 2);
	buf_put(&msg, si.details.data, si.details.len);
	buf_put(&msg, d.identity_pub, 32);
	assert_int_equal(curve_sign(priv, msg.data, msg.len, sig), 0);
	si.has_details = si.has_account_signature = si.has_account_signature_key = 1;
	si.account_signature_key = pb_bytes(pub, 32);
	si.account_signature = pb_bytes(sig, 64);
	box.details.data = pb_pack(&si.base, &box.details.len);
	part = (struct crypto_part){box.details.data, box.details.len};
	crypto_hmac256(secret, 32, &part, 1, mac);
	box.has_details = box.has_hmac = 1;
	box.hmac = pb_bytes(mac, 32);
	q.account = ALICE;
	q.unit = ++b.unit;
	q.container.data = pb_pack(&box.base, &q.container.len);
	q.jid = TEXT("15551234567:7@s.whatsapp.net");
	r = BENCH_ASK(&b, b.apid, PAIR_SUCCESS, &q, PAIR_SUCCESS_REPLY, pair_success_reply);
	assert_non_null(r);
	free(q.container.data);
	free(box.details.data);
	free(si.details.data);
	buf_clear(&msg);
	return (int)r->outcome;
}

static void
test_exchange(void **state)
{
	uint8_t opened[102];
	struct device before, after;

	create();
	before = stored_device();
	exchange(opened);
	nothing_is_left();
	end_unit(1);
	after = stored_device();
	assert_memory_equal(opened, "\x0a\x20", 2);
	assert_memory_equal(opened + 2, before.noise_pub, 32);
	assert_memory_equal(opened + 34, "\x12\x20", 2);
	assert_memory_equal(opened + 36, before.identity_pub, 32);
	assert_memory_equal(opened + 68, "\x1a\x20", 2);
	assert_true(after.has_pending);
	assert_memory_equal(opened + 70, after.adv_pending, 32);
	assert_memory_equal(before.adv_secret, after.adv_secret, 32); /* stays until pair-success */
	assert_memory_not_equal(after.adv_secret, after.adv_pending, 32);

	assert_int_equal(
	    pair_success(after.adv_pending), KEYD__PAIR_SUCCESS_REPLY__OUTCOME__LINKED);
	end_unit(1);
	before = stored_device();
	assert_true(before.linked);
	assert_false(before.has_pending);
	assert_memory_equal(before.adv_secret, after.adv_pending, 32);
	REFUSES("state", begin("2@ref", 1, 1));
	REFUSES("state", seal());
}

/* pair-success under the secret of the QR code, and under another one, while one is pending. */
static void
test_current_secret(void **state)
{
	uint8_t opened[102], other[32] = {9};
	struct device d;

	create();
	exchange(opened);
	end_unit(1);
	d = stored_device();
	assert_int_equal(pair_success(other), KEYD__PAIR_SUCCESS_REPLY__OUTCOME__BAD_HMAC);
	assert_int_equal(pair_success(d.adv_secret), KEYD__PAIR_SUCCESS_REPLY__OUTCOME__LINKED);
	end_unit(1);
	assert_memory_equal(stored_device().adv_secret, d.adv_secret, 32);
	assert_false(stored_device().has_pending);
}

static void
test_refusals(void **state)
{
	static const uint8_t zero[32];
	uint8_t pub[32], priv[32], nonce[33] = {1}, proof[32];
	const Keyd__PasskeyBeginReply *r;
	char longest[514];

	REFUSES("state", begin("2@ref", 1, 1)); /* no device */
	create();
	curve_pair(priv, pub);
	REFUSES("state", go_on(pub, 32, nonce, 32));
	REFUSES("state", seal());
	REFUSES("bad_request", begin("", 1, 0));
	REFUSES("bad_request", begin("a b", 1, 0));
	REFUSES("bad_request", begin("a\nb", 1, 0));
	REFUSES("bad_request", begin("ref", 0, 0));
	REFUSES("bad_request", begin("ref", 256, 0));
	memset(longest, 'r', sizeof(longest));
	longest[513] = '\0';
	REFUSES("bad_request", begin(longest, 1, 0));
	longest[512] = '\0';
	r = begin(longest, 255, 0);
	assert_non_null(r);
	assert_false(r->has_proof);
	REFUSES("state", seal()); /* the nonce first */
	REFUSES("bad_request", go_on(pub, 31, nonce, 32));
	REFUSES("bad_request", go_on(pub, 32, nonce, 33));
	REFUSES("bad_key", go_on(zero, 32, nonce, 32));
	nothing_is_left();
	REFUSES("state", go_on(pub, 32, nonce, 32)); /* and that was the end of it */

	/* the nonce is given away once */
	r = begin("2@ref", 1, 1);
	passkey_proof(stored_device().adv_secret, r->prologue.data, r->prologue.len, proof);
	assert_memory_equal(r->proof.data, proof, 32);
	assert_non_null(go_on(pub, 32, nonce, 32));
	REFUSES("state", go_on(pub, 32, nonce, 32));
	assert_non_null(seal());
	end_unit(1);
	REFUSES("state", seal());
	/* a second exchange takes the place of the first */
	assert_non_null(begin("2@one", 1, 1));
	assert_non_null(go_on(pub, 32, nonce, 32));
	assert_non_null(begin("2@two", 1, 1));
	REFUSES("state", seal());
}

static void
test_ends(void **state)
{
	uint8_t pub[32], priv[32], nonce[32] = {1}, opened[102];
	struct device d;

	create();
	curve_pair(priv, pub);
	/* too old, at either step */
	assert_non_null(begin("2@ref", 1, 1));
	b.k->secrets->passkey[0].since_ms = clock_mono_ms() - PASSKEY_MS - 1;
	REFUSES("expired", go_on(pub, 32, nonce, 32));
	nothing_is_left();
	assert_non_null(begin("2@ref", 1, 1));
	assert_non_null(go_on(pub, 32, nonce, 32));
	b.k->secrets->passkey[0].since_ms = clock_mono_ms() - PASSKEY_MS - 1;
	REFUSES("expired", seal());
	nothing_is_left();
	/* or when nobody asks any more */
	assert_non_null(begin("2@ref", 1, 1));
	assert_true(evtimer_pending(b.k->accounts[0].passkey_end, NULL));
	event_active(b.k->accounts[0].passkey_end, EV_TIMEOUT, 1);
	REFUSES("state", seal());
	nothing_is_left();
	/* given up: pending and current secret go, also in memory when the unit fails */
	exchange(opened);
	end_unit(1);
	d = stored_device();
	assert_true(d.has_pending);
	assert_non_null(begin("2@ref", 1, 1));
	refresh(0);
	nothing_is_left();
	assert_true(stored_device().has_pending);
	refresh(1);
	assert_false(stored_device().has_pending);
	assert_memory_not_equal(stored_device().adv_secret, d.adv_secret, 32);
	assert_int_equal(pair_success(d.adv_pending), KEYD__PAIR_SUCCESS_REPLY__OUTCOME__BAD_HMAC);
	/* a unit that fails: no pending secret was ever there */
	exchange(opened);
	end_unit(0);
	assert_false(stored_device().has_pending);
	assert_int_equal(pair_success(opened + 70), KEYD__PAIR_SUCCESS_REPLY__OUTCOME__BAD_HMAC);
	/* a new device knows nothing of it */
	assert_non_null(begin("2@ref", 1, 1));
	create();
	nothing_is_left();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_vectors),
	    cmocka_unit_test_setup_teardown(test_exchange, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_current_secret, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_ends, setup, teardown),
	};

	log_set_level(LOG_LV_ERR);
	(void)core_warm_up();
	alarm(120 * test_slow());
	return cmocka_run_group_tests_name("keyd: passkey", tests, NULL, NULL);
}
