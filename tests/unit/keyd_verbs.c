/* The verbs about device, pairing, handshake and state: what they refuse, what they write, what
 * leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "common/clock.h"
#include "common/proto/adv.pb-c.h"
#include "common/proto/cert.pb-c.h"
#include "common/proto/wa6.pb-c.h"
#include "keyd/counter.h"
#include "keyd/crypto.h"
#include "keyd/curve.h"
#include "tests/unit/keyd_bench.h"
#include "tests/unit/slow.h"

#define KEY     "01234567890123456789012345678901"
#define ALICE   ((char *)(uintptr_t) "alice")
#define TEXT(s) ((char *)(uintptr_t)(s))

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

static void
commit(void)
{
	assert_int_equal(bench_commit(&b, "alice", b.unit, 1), 1);
	bench_settle(&b);
}

static const Keyd__DeviceState *
device_state(char *account)
{
	Keyd__AccountOpen q = KEYD__ACCOUNT_OPEN__INIT;

	q.account = account;
	return BENCH_ASK(&b, b.apid, ACCOUNT_OPEN, &q, DEVICE_STATE, device_state);
}

static const Keyd__DeviceState *
create(void)
{
	Keyd__DeviceCreate q = KEYD__DEVICE_CREATE__INIT;
	const void *r;

	q.account = ALICE;
	q.unit = ++b.unit;
	r = BENCH_ASK(&b, b.apid, DEVICE_CREATE, &q, DEVICE_STATE, device_state);
	assert_non_null(r);
	commit();
	return r;
}

static const Keyd__StatusReply *
status(void)
{
	Keyd__Status q = KEYD__STATUS__INIT;

	return BENCH_ASK(&b, b.apid, STATUS, &q, STATUS_REPLY, status_reply);
}

#define REFUSES(code_, ask)                                                                        \
	do {                                                                                       \
		assert_null(ask);                                                                  \
		assert_string_equal(b.code, code_);                                                \
	} while (0)

/* ---------------------------------------------------------------- device and QR */

static void
test_device(void **state)
{
	const Keyd__DeviceState *s = device_state(ALICE);
	uint8_t identity[32], typed[33] = {5};

	assert_false(s->exists);
	REFUSES("unknown_account", device_state(TEXT("carol")));
	s = create();
	assert_true(s->exists);
	assert_false(s->linked);
	assert_int_equal(s->generation, 1);
	assert_true(s->registration_id >= 1 && s->registration_id <= 16380);
	assert_int_equal(s->signed_prekey->id, 1);
	memcpy(typed + 1, s->signed_prekey->pub.data, 32);
	assert_int_equal(
	    curve_check(s->identity_pub.data, typed, 33, s->signed_prekey->signature.data), 1);
	memcpy(identity, s->identity_pub.data, 32);
	s = device_state(ALICE);
	assert_memory_equal(s->identity_pub.data, identity, 32);
	assert_null(s->jid);
	assert_false(device_state(TEXT("bob"))->exists);
}

/* A device whose unit fails was never there. */
static void
test_device_unit_fails(void **state)
{
	Keyd__DeviceCreate q = KEYD__DEVICE_CREATE__INIT;

	q.account = ALICE;
	q.unit = ++b.unit;
	assert_non_null(BENCH_ASK(&b, b.apid, DEVICE_CREATE, &q, DEVICE_STATE, device_state));
	assert_true(device_state(ALICE)->exists);
	assert_int_equal(bench_commit(&b, "alice", b.unit, 0), 0);
	bench_settle(&b);
	assert_false(device_state(ALICE)->exists);
	assert_int_equal(create()->generation, 1);
	assert_int_equal(create()->generation, 2);
}

static const Keyd__PairQrReply *
qr(const void *ref, size_t len, const char *type)
{
	Keyd__PairQr q = KEYD__PAIR_QR__INIT;

	q.account = ALICE;
	q.ref = (ProtobufCBinaryData){len, (uint8_t *)(uintptr_t)ref};
	q.client_type = TEXT(type);
	return BENCH_ASK(&b, b.apid, PAIR_QR, &q, PAIR_QR_REPLY, pair_qr_reply);
}

static struct device
open_device(void)
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

/* Put the example's keys into the account (protocol page 03, section 11), as stored would have
 * them. */
static void
plant_example(void)
{
	struct bench_record *r = bench_record(&b, "alice", STORED__DOMAIN__DEVICE, "device", 1);
	const struct vault_id id = {"alice", STORED__DOMAIN__DEVICE, "device", 1};
	struct device d;
	struct buf plain = BUF_INIT;

	memset(&d, 0, sizeof(d));
	d.generation = 1;
	d.registration_id = 12346;
	d.skey_id = 1;
	(void)sodium_hex2bin(d.identity_priv, 32,
	    "1012131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f70", 64, NULL, NULL,
	    NULL);
	(void)sodium_hex2bin(d.identity_pub, 32,
	    "4d27bcee3135c4944b28d27dd809b07be10c35160d20131caa7e85575498d07c", 64, NULL, NULL,
	    NULL);
	(void)sodium_hex2bin(d.noise_pub, 32,
	    "244fe3b963e899dd295baffce248d3530f3a9a7479ba063002680ebfe7adad49", 64, NULL, NULL,
	    NULL);
	(void)sodium_hex2bin(d.adv_secret, 32,
	    "d0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeef", 64, NULL, NULL,
	    NULL);
	assert_int_equal(device_encode(&d, &plain), 0);
	buf_reset(&r->sealed);
	assert_int_equal(
	    vault_seal(b.k->secrets->vault_key[0], &id, plain.data, plain.len, &r->sealed), 0);
	r->version = 1;
	buf_clear(&plain);
}

static void
test_qr(void **state)
{
	static const char want[] = "https://wa.me/settings/linked_devices#2@refref,"
				   "JE/juWPomd0pW6/84kjTUw86mnR5ugYwAmgOv+etrUk=,"
				   "TSe87jE1xJRLKNJ92Amwe+EMNRYNIBMcqn6FV1SY0Hw=,"
				   "0NHS09TV1tfY2drb3N3e3+Dh4uPk5ebn6Onq6+zt7u8=,1";
	static const char *const bad[] = {"", "a,b", "a\nb", "a b", "a\x7f", "\xc3\xa4"};
	char longest[513];
	size_t i;

	REFUSES("state", qr("x", 1, "1")); /* no device yet: and that is now known */
	bench_stop(&b);
	bench_start(&b, KEY, 1);
	plant_example();
	assert_string_equal(qr("2@refref", 8, "1")->text, want);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		REFUSES("bad_request", qr(bad[i], strlen(bad[i]), "1"));
	REFUSES("bad_request", qr("a\0b", 3, "1"));
	memset(longest, 'r', sizeof(longest));
	assert_non_null(qr(longest, 512, "9"));
	REFUSES("bad_request", qr(longest, 513, "9"));
	REFUSES("bad_request", qr("x", 1, ""));
	REFUSES("bad_request", qr("x", 1, "12"));
	REFUSES("bad_request", qr("x", 1, ","));
	REFUSES("bad_request", qr("x", 1, "\n"));
}

static void
test_refresh(void **state)
{
	Keyd__PairRefresh q = KEYD__PAIR_REFRESH__INIT;
	struct device before, after;

	q.account = ALICE;
	q.unit = ++b.unit;
	REFUSES("state", BENCH_ASK(&b, b.apid, PAIR_REFRESH, &q, STAGED, staged));
	create();
	before = open_device();
	q.unit = ++b.unit;
	assert_non_null(BENCH_ASK(&b, b.apid, PAIR_REFRESH, &q, STAGED, staged));
	commit();
	after = open_device();
	assert_memory_not_equal(before.adv_secret, after.adv_secret, 32);
	memcpy(after.adv_secret, before.adv_secret, 32);
	assert_memory_equal(&before, &after, sizeof(before)); /* and nothing else changed */
}

/* ---------------------------------------------------------------- code */

static const Keyd__PairCodeReply *
pair_code(const char *code)
{
	Keyd__PairCode q = KEYD__PAIR_CODE__INIT;

	q.account = ALICE;
	q.code = TEXT(code);
	return BENCH_ASK(&b, b.apid, PAIR_CODE, &q, PAIR_CODE_REPLY, pair_code_reply);
}

static const Keyd__PairCodeFinishReply *
code_finish(uint8_t *wrapped, size_t nwrapped, uint8_t *identity, size_t nidentity)
{
	Keyd__PairCodeFinish q = KEYD__PAIR_CODE_FINISH__INIT;

	q.account = ALICE;
	q.unit = ++b.unit;
	q.wrapped_primary = (ProtobufCBinaryData){nwrapped, wrapped};
	q.primary_identity = (ProtobufCBinaryData){nidentity, identity};
	return BENCH_ASK(
	    &b, b.apid, PAIR_CODE_FINISH, &q, PAIR_CODE_FINISH_REPLY, pair_code_finish_reply);
}

/* As a phone: unwrap, agree, open the bundle, and arrive at the same ADV secret. */
static void
test_code(void **state)
{
	const Keyd__PairCodeReply *c;
	const Keyd__PairCodeFinishReply *f;
	uint8_t e_pub[32], pe_priv[32], pe_pub[32], pi_priv[32], pi_pub[32],
	    wrapped[PAIRCODE_WRAPPED];
	uint8_t shared[96], key[32], bundle[96], adv[32], salt[32] = {1}, iv[16] = {2};
	struct device d;

	REFUSES("state", pair_code(NULL));
	create();
	curve_pair(pe_priv, pe_pub);
	curve_pair(pi_priv, pi_pub);
	REFUSES("state", code_finish(wrapped, 80, pi_pub, 32));
	REFUSES("bad_request", pair_code("abcdefgh"));
	REFUSES("bad_request", pair_code("ABCDEFG"));
	REFUSES("bad_request", pair_code(""));
	c = pair_code("ABCDEFGH");
	assert_string_equal(c->code, "ABCDEFGH");
	assert_int_equal(c->wrapped_ephemeral.len, 80);
	paircode_unwrap("ABCDEFGH", c->wrapped_ephemeral.data, e_pub);
	paircode_wrap("ABCDEFGH", salt, iv, pe_pub, wrapped);
	REFUSES("bad_request", code_finish(wrapped, 79, pi_pub, 32));
	REFUSES("bad_request", code_finish(wrapped, 80, pi_pub, 31));
	f = code_finish(wrapped, 80, pi_pub, 32);
	assert_non_null(f);
	assert_int_equal(f->stages, 1);
	assert_int_equal(f->wrapped_bundle.len, 156);
	assert_int_equal(curve_shared(pe_priv, e_pub, shared), 0);
	crypto_hkdf(f->wrapped_bundle.data, 32, shared, 32,
	    "link_code_pairing_key_bundle_encryption_key", key, 32);
	assert_int_equal(crypto_gcm_open(key, f->wrapped_bundle.data + 32, NULL, 0,
			     f->wrapped_bundle.data + 44, 112, bundle),
	    0);
	assert_memory_equal(bundle, f->identity_pub.data, 32);
	assert_memory_equal(bundle + 32, pi_pub, 32);
	assert_int_equal(curve_shared(pi_priv, f->identity_pub.data, shared + 32), 0);
	memcpy(shared + 64, bundle + 64, 32);
	crypto_hkdf(NULL, 0, shared, 96, "adv_secret", adv, 32);
	commit();
	d = open_device();
	assert_memory_equal(d.adv_secret, adv, 32);

	/* three tries a code, then it is gone */
	memset(pi_pub, 0, 32);
	REFUSES("bad_key", code_finish(wrapped, 80, pi_pub, 32));
	REFUSES("bad_key", code_finish(wrapped, 80, pi_pub, 32));
	REFUSES("code_tries", code_finish(wrapped, 80, pi_pub, 32));
	REFUSES("state", code_finish(wrapped, 80, pi_pub, 32));
	/* and 180 seconds */
	c = pair_code(NULL);
	assert_int_equal(strspn(c->code, paircode_alphabet), PAIRCODE_LEN);
	b.k->secrets->code[0].began_ms = clock_mono_ms() - PAIRCODE_MS - 1;
	REFUSES("code_expired", code_finish(wrapped, 80, pi_pub, 32));
	REFUSES("state", code_finish(wrapped, 80, pi_pub, 32));
}

/* ---------------------------------------------------------------- pair-success */

static const char container[] = /* of the example, ordinary */
    "0a740a0e08f8acd191011080e2cfaa06180512205f09b7f97a40b50220697064b43b27411b07a4aa1fe05370b27519"
    "826983d30d"
    "1a40382dd6d67c4cece7c5e57338b7bcd91e5acf95e3f91b0fb0e618ff113c1906f0242e1e1263f22e1f1eae322332"
    "d83959ede9"
    "23220659ac8a5203579600d3408c1220cfa09983d1be39104ad9a022e79cc79d05839c906b64e65271790101a15861"
    "8c";

static const Keyd__PairSuccessReply *
pair_success(const char *hex, const char *jid, const char *lid)
{
	Keyd__PairSuccess q = KEYD__PAIR_SUCCESS__INIT;
	uint8_t bytes[256];

	q.account = ALICE;
	q.unit = ++b.unit;
	q.container.data = bytes;
	(void)sodium_hex2bin(bytes, sizeof(bytes), hex, strlen(hex), NULL, &q.container.len, NULL);
	q.jid = TEXT(jid);
	q.lid = TEXT(lid);
	return BENCH_ASK(&b, b.apid, PAIR_SUCCESS, &q, PAIR_SUCCESS_REPLY, pair_success_reply);
}

static void
check_primary(const char *name)
{
	const struct bench_record *r = bench_record(&b, "alice", STORED__DOMAIN__IDENTITY, name, 0);
	struct vault_id id = {"alice", STORED__DOMAIN__IDENTITY, name, 1};
	uint8_t want[32];
	struct buf plain = BUF_INIT;

	assert_non_null(r);
	assert_int_equal(
	    vault_unseal(b.k->secrets->vault_key[0], &id, r->sealed.data, r->sealed.len, &plain),
	    0);
	(void)sodium_hex2bin(want, 32,
	    "5f09b7f97a40b50220697064b43b27411b07a4aa1fe05370b27519826983d30d", 64, NULL, NULL,
	    NULL);
	assert_int_equal(plain.len, 32);
	assert_memory_equal(plain.data, want, 32);
	buf_clear(&plain);
}

static void
test_pair_success(void **state)
{
	static const char jid[] = "15551234567:7@s.whatsapp.net", lid[] = "120363000000001:7@lid";
	static const char *const bad_jids[] = {
	    "", "15551234567@s.whatsapp.net", "120363000000001:7@lid", "x", "15551234567:7@g.us"};
	const Keyd__PairSuccessReply *r;
	const Keyd__DeviceState *s;
	char changed[sizeof(container)];
	size_t i;

	plant_example();
	for (i = 0; i < sizeof(bad_jids) / sizeof(bad_jids[0]); i++)
		REFUSES("bad_request", pair_success(container, bad_jids[i], lid));
	REFUSES("bad_request", pair_success(container, jid, jid));
	REFUSES("bad_request", pair_success("", jid, lid));
	r = pair_success("ffff", jid, lid);
	assert_int_equal(r->outcome, KEYD__PAIR_SUCCESS_REPLY__OUTCOME__BAD_FORMAT);
	memcpy(changed, container, sizeof(changed));
	changed[sizeof(changed) - 2] ^= 1;
	r = pair_success(changed, jid, lid);
	assert_int_equal(r->outcome, KEYD__PAIR_SUCCESS_REPLY__OUTCOME__BAD_HMAC);
	assert_int_equal(r->stages, 0);
	assert_null(r->device);
	assert_false(device_state(ALICE)->linked);

	r = pair_success(container, jid, lid);
	assert_int_equal(r->outcome, KEYD__PAIR_SUCCESS_REPLY__OUTCOME__LINKED);
	assert_int_equal(r->stages, 1);
	assert_int_equal(r->key_index, 5);
	assert_int_equal(r->answer.len, 16 + 66 + 66);
	assert_true(r->device->linked);
	assert_string_equal(r->device->jid, jid);
	assert_string_equal(r->device->lid, lid);
	/* once, even before the unit is committed */
	REFUSES("state", pair_success(container, jid, lid));
	b.unit--;
	commit();
	check_primary("1/120363000000001_1:0");
	check_primary("1/15551234567:0");
	s = device_state(ALICE);
	assert_true(s->linked);
	assert_int_equal(s->account_key.len, 32);
	assert_int_equal(s->device_identity.len, 16 + 34 + 66 + 66);
	REFUSES("state", qr("x", 1, "1"));
	REFUSES("state", pair_code(NULL));
	REFUSES("state", pair_success(container, jid, lid));
	s = create(); /* a new device is unlinked */
	assert_int_equal(s->generation, 2);
	assert_false(s->linked);
	assert_null(s->jid);
}

/* ---------------------------------------------------------------- Noise */

/* A server as far as a handshake needs one, with its own root. */
struct server {
	uint8_t root_priv[32], root_pub[32], s_priv[32], s_pub[32];
	uint8_t tx[32], rx[32]; /* of the client */
};

static void
mix_hash(uint8_t h[32], const void *d, size_t n)
{
	struct crypto_part parts[2] = {{h, 32}, {d, n}};

	crypto_sha256(parts, 2, h);
}

static void
mix_key(uint8_t ck[32], uint8_t k[32], const uint8_t priv[32], const uint8_t pub[32])
{
	uint8_t shared[32], o[64];

	assert_int_equal(curve_shared(priv, pub, shared), 0);
	crypto_hkdf(ck, 32, shared, 32, "", o, 64);
	memcpy(ck, o, 32);
	memcpy(k, o + 32, 32);
}

static uint8_t *
certificates(const struct server *s, size_t *len)
{
	Cert__CertChain c = CERT__CERT_CHAIN__INIT;
	Cert__CertChain__NoiseCertificate n[2] = {
	    CERT__CERT_CHAIN__NOISE_CERTIFICATE__INIT, CERT__CERT_CHAIN__NOISE_CERTIFICATE__INIT};
	Cert__CertChain__NoiseCertificate__Details d;
	uint8_t inter_priv[32], inter_pub[32], sig[2][64], *packed[2], *all;
	int i;

	curve_pair(inter_priv, inter_pub);
	for (i = 0; i < 2; i++) { /* leaf, intermediate */
		cert__cert_chain__noise_certificate__details__init(&d);
		d.has_serial = d.has_issuer_serial = d.has_key = d.has_not_before =
		    d.has_not_after = 1;
		d.serial = (uint32_t)(2 - i);
		d.issuer_serial = (uint32_t)(1 - i);
		d.key =
		    (ProtobufCBinaryData){32, i == 0 ? (uint8_t *)(uintptr_t)s->s_pub : inter_pub};
		d.not_after = UINT64_MAX;
		packed[i] = pb_pack(&d.base, &n[i].details.len);
		n[i].details.data = packed[i];
		assert_int_equal(curve_sign(i == 0 ? inter_priv : s->root_priv, packed[i],
				     n[i].details.len, sig[i]),
		    0);
		n[i].signature = (ProtobufCBinaryData){64, sig[i]};
		n[i].has_details = n[i].has_signature = 1;
	}
	c.leaf = &n[0];
	c.intermediate = &n[1];
	all = pb_pack(&c.base, len);
	free(packed[0]);
	free(packed[1]);
	return all;
}

/* The server's hello, and what the client's finish must open with; *k and h are left for that. */
static uint8_t *
serve(const struct server *s, const uint8_t ce[32], uint8_t h[32], uint8_t ck[32], uint8_t k[32],
    uint8_t re_priv[32], size_t *len)
{
	static const uint8_t name[32] = "Noise_XX_25519_AESGCM_SHA256", zero[12] = {0};
	Wa6__HandshakeMessage m = WA6__HANDSHAKE_MESSAGE__INIT;
	Wa6__HandshakeMessage__ServerHello hello = WA6__HANDSHAKE_MESSAGE__SERVER_HELLO__INIT;
	uint8_t re_pub[32], enc_s[48], *enc_cert, *cert, *out;
	size_t n;

	memcpy(h, name, 32);
	memcpy(ck, name, 32);
	mix_hash(h, "WA\6\3", 4);
	mix_hash(h, ce, 32);
	curve_pair(re_priv, re_pub);
	mix_hash(h, re_pub, 32);
	mix_key(ck, k, re_priv, ce);
	crypto_gcm_seal(k, zero, h, 32, s->s_pub, 32, enc_s);
	mix_hash(h, enc_s, 48);
	mix_key(ck, k, s->s_priv, ce);
	cert = certificates(s, &n);
	enc_cert = malloc(n + 16);
	crypto_gcm_seal(k, zero, h, 32, cert, n, enc_cert);
	mix_hash(h, enc_cert, n + 16);
	hello.has_ephemeral = hello.has_static_ = hello.has_payload = 1;
	hello.ephemeral = (ProtobufCBinaryData){32, re_pub};
	hello.static_ = (ProtobufCBinaryData){48, enc_s};
	hello.payload = (ProtobufCBinaryData){n + 16, enc_cert};
	m.server_hello = &hello;
	out = pb_pack(&m.base, len);
	free(cert);
	free(enc_cert);
	return out;
}

static const Keyd__NoiseHelloReply *
noise_hello(uint64_t conn)
{
	Keyd__NoiseHello q = KEYD__NOISE_HELLO__INIT;

	q.account = ALICE;
	q.conn = conn;
	return BENCH_ASK(&b, b.netd, NOISE_HELLO, &q, NOISE_HELLO_REPLY, noise_hello_reply);
}

static const Keyd__NoiseFinishReply *
noise_finish_verb(uint64_t conn, uint8_t *hello, size_t len, size_t payload)
{
	static uint8_t bytes[16 * 1024 + 1];
	Keyd__NoiseFinish q = KEYD__NOISE_FINISH__INIT;

	q.account = ALICE;
	q.conn = conn;
	q.server_hello = (ProtobufCBinaryData){len, hello};
	q.payload = (ProtobufCBinaryData){payload, bytes};
	return BENCH_ASK(&b, b.netd, NOISE_FINISH, &q, NOISE_FINISH_REPLY, noise_finish_reply);
}

static void
test_noise(void **state)
{
	const Keyd__NoiseHelloReply *r;
	const Keyd__NoiseFinishReply *f;
	const Wa6__HandshakeMessage *m;
	struct pb_arena *a = pb_arena_new(1 << 16);
	struct server s;
	uint8_t h[32], ck[32], k[32], re[32], ce[32], pub[32], *hello, keys[64];
	static const uint8_t iv1[12] = {[11] = 1};
	size_t len;

	curve_pair(s.root_priv, s.root_pub);
	curve_pair(s.s_priv, s.s_pub);
	r = noise_hello(7);
	assert_non_null(r);
	REFUSES("state", noise_finish_verb(7, re, 1, 5)); /* no device */
	create();
	REFUSES("state", noise_finish_verb(8, re, 1, 5)); /* no such handshake */
	REFUSES("state", noise_hello(7));
	REFUSES("noise_malformed", noise_finish_verb(7, re, 1, 5));
	REFUSES("state", noise_finish_verb(7, re, 1, 5)); /* one try */

	/* a server with the wrong root, then with the one of the config */
	r = noise_hello(9);
	assert_int_equal(r->client_hello.len, 36);
	memcpy(ce, r->client_hello.data + 4, 32);
	hello = serve(&s, ce, h, ck, k, re, &len);
	REFUSES("cert_signature", noise_finish_verb(9, hello, len, 5));
	free(hello);
	memcpy(b.k->noise_root, s.root_pub, 32);
	r = noise_hello(10);
	memcpy(ce, r->client_hello.data + 4, 32);
	hello = serve(&s, ce, h, ck, k, re, &len);
	REFUSES("bad_request", noise_finish_verb(10, hello, len, 0));
	f = noise_finish_verb(10, hello, len, 16 * 1024);
	assert_non_null(f);
	m = pb_unpack(&wa6__handshake_message__descriptor, f->client_finish.data,
	    f->client_finish.len, a, PB_STRICT, NULL);
	assert_int_equal(
	    crypto_gcm_open(k, iv1, h, 32, m->client_finish->static_.data, 48, pub), 0);
	mix_hash(h, m->client_finish->static_.data, 48);
	mix_key(ck, k, re, pub);
	crypto_hkdf(ck, 32, NULL, 0, "", keys, 64);
	assert_memory_equal(f->tx_key.data, keys, 32);
	assert_memory_equal(f->rx_key.data, keys + 32, 32);
	assert_memory_equal(pub, device_state(ALICE)->noise_pub.data, 32);
	free(hello);
	pb_arena_free(a);
}

static void
test_noise_slots(void **state)
{
	Keyd__NoiseDrop drop = KEYD__NOISE_DROP__INIT;
	uint8_t x = 0;
	uint64_t i;

	create();
	for (i = 1; i <= 64; i++)
		assert_non_null(noise_hello(i));
	assert_non_null(noise_hello(65)); /* takes the place of the oldest */
	REFUSES("state", noise_finish_verb(1, &x, 1, 1));
	REFUSES("noise_malformed", noise_finish_verb(2, &x, 1, 1));
	drop.account = ALICE;
	drop.conn = 3;
	assert_int_equal(channel_notify(b.netd, KEYD__TYPE__NOISE_DROP, &drop.base), 0);
	drop.conn = 777; /* of nothing: ignored */
	assert_int_equal(channel_notify(b.netd, KEYD__TYPE__NOISE_DROP, &drop.base), 0);
	drop.account = TEXT("nobody");
	assert_int_equal(channel_notify(b.netd, KEYD__TYPE__NOISE_DROP, &drop.base), 0);
	REFUSES("state", noise_finish_verb(3, &x, 1, 1));
	assert_string_equal(b.broken, "");
}

/* ---------------------------------------------------------------- keyd as a whole */

static void
test_status(void **state)
{
	const Keyd__StatusReply *s;
	size_t i;
	int found = 0;

	create();
	s = status();
	assert_true(s->unlocked);
	assert_null(s->reason);
	assert_string_equal(s->key_source, "file");
	for (i = 0; i < s->n_counters; i++)
		if (strcmp(s->counters[i]->name, "device_create") == 0)
			found = s->counters[i]->value > 0;
	assert_int_equal(found, 1);
}

/* Another key than the data folder's: keyd stays, says why, and does nothing. */
static void
test_wrong_master_key(void **state)
{
	struct buf header = BUF_INIT;
	const Keyd__StatusReply *s;

	buf_put(&header, b.header.data, b.header.len);
	bench_stop(&b);
	bench_start(&b, KEY, 1);
	buf_reset(&b.header);
	buf_put(&b.header, header.data, header.len);
	/* begin again, with the header of the first start and a key that is not its own */
	b.k->state = KEYD_STARTING;
	assert_null(keyring_parse(&b.k->secrets->source, KEYRING_RAW,
	    (const uint8_t *)"another key of 32 bytes, as is so", 32));
	store_unlock(b.k);
	while (b.k->state == KEYD_STARTING)
		event_base_loop(b.base, EVLOOP_ONCE);
	assert_int_equal(b.k->state, KEYD_LOCKED);
	s = status();
	assert_false(s->unlocked);
	assert_string_equal(s->reason, "wrong_master_key");
	REFUSES("locked", device_state(ALICE));
	REFUSES("locked", noise_hello(1));
	REFUSES("locked", qr("x", 1, "1"));
	assert_true(sodium_is_zero((const uint8_t *)b.k->secrets, sizeof(*b.k->secrets)));
	buf_clear(&header);
}

/* A request that came before stored has taken the keys is answered after it. */
static void
test_early_request(void **state)
{
	Keyd__AccountOpen q = KEYD__ACCOUNT_OPEN__INIT;

	b.k->state = KEYD_STARTING;
	q.account = ALICE;
	bench_send(&b, b.apid, KEYD__TYPE__ACCOUNT_OPEN, &q.base, KEYD__TYPE__DEVICE_STATE,
	    &keyd__device_state__descriptor);
	bench_settle(&b);
	assert_int_equal(b.answered, 0);
	assert_null(keyring_parse(&b.k->secrets->source, KEYRING_RAW, (const uint8_t *)KEY, 32));
	store_unlock(b.k);
	bench_wait(&b);
	assert_non_null(b.reply);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_device, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_device_unit_fails, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_qr, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_refresh, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_code, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_pair_success, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_noise, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_noise_slots, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_status, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_wrong_master_key, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_early_request, setup, teardown),
	};

	log_set_level(LOG_LV_ERR);
	(void)core_warm_up();
	alarm(120 * test_slow());
	return cmocka_run_group_tests_name("keyd: verbs", tests, NULL, NULL);
}
