/* Noise IK and the XX fallback (protocol page 01, 4.6) through keyd's verbs, and when it is used:
 * the seven cases of page 11, 8.2, with a responder that is written here from the page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/pb.h"
#include "common/proto/cert.pb-c.h"
#include "common/proto/wa6.pb-c.h"
#include "keyd/counter.h"
#include "keyd/crypto.h"
#include "keyd/curve.h"
#include "tests/unit/keyd_bench.h"

#define KEY     "01234567890123456789012345678901"
#define ALICE   ((char *)(uintptr_t) "alice")
#define PAYLOAD "the login"

static struct bench b;

/* ---------------------------------------------------------------- a server */

struct server {
	uint8_t root_priv[32], root_pub[32], s_priv[32], s_pub[32];
	int64_t until; /* its certificates' last second */
};
static struct server srv;

enum answer {
	HONEST,  /* IK if the client knows the right key, else the fallback */
	REFUSE,  /* always the fallback */
	GARBLE,  /* IK taken, with a payload that does not authenticate */
	NOT_CERT /* the fallback, with a chain of another root */
};

struct side {
	uint8_t h[32], ck[32], k[32], e_priv[32], e_pub[32], re[32];
	uint32_t n;
	int ik, taken; /* the client began with IK; and it was taken */
	uint8_t client[32];
	struct buf payload;
};

static void
hash(struct side *s, const void *d, size_t n)
{
	struct crypto_part parts[2] = {{s->h, 32}, {d, n}};

	crypto_sha256(parts, 2, s->h);
}

static void
start(struct side *s, const char *name)
{
	struct crypto_part part = {name, strlen(name)};

	memset(s->h, 0, 32);
	if (strlen(name) > 32)
		crypto_sha256(&part, 1, s->h);
	else
		memcpy(s->h, name, strlen(name));
	memcpy(s->ck, s->h, 32);
	s->n = 0;
	hash(s, "WA\6\3", 4);
}

static void
dh(struct side *s, const uint8_t priv[32], const uint8_t pub[32])
{
	uint8_t shared[32], o[64];

	assert_int_equal(curve_shared(priv, pub, shared), 0);
	crypto_hkdf(s->ck, 32, shared, 32, "", o, 64);
	memcpy(s->ck, o, 32);
	memcpy(s->k, o + 32, 32);
	s->n = 0;
}

static void
seal(struct side *s, const void *in, size_t len, uint8_t *out)
{
	uint8_t iv[12] = {[11] = (uint8_t)s->n++};

	crypto_gcm_seal(s->k, iv, s->h, 32, in, len, out);
	hash(s, out, len + 16);
}

static int
unseal(struct side *s, const ProtobufCBinaryData *in, uint8_t *out)
{
	uint8_t iv[12] = {[11] = (uint8_t)s->n++};

	if (in->len < 16 || crypto_gcm_open(s->k, iv, s->h, 32, in->data, in->len, out) == -1)
		return -1;
	hash(s, in->data, in->len);
	return 0;
}

static uint8_t *
certificates(const uint8_t root[32], size_t *len)
{
	Cert__CertChain c = CERT__CERT_CHAIN__INIT;
	Cert__CertChain__NoiseCertificate n[2] = {
	    CERT__CERT_CHAIN__NOISE_CERTIFICATE__INIT, CERT__CERT_CHAIN__NOISE_CERTIFICATE__INIT};
	Cert__CertChain__NoiseCertificate__Details d;
	uint8_t inter_priv[32], inter_pub[32], sig[2][64], *packed[2], *all;

	curve_pair(inter_priv, inter_pub);
	for (int i = 0; i < 2; i++) { /* leaf, intermediate */
		cert__cert_chain__noise_certificate__details__init(&d);
		d.has_serial = d.has_issuer_serial = d.has_key = d.has_not_after = 1;
		d.serial = (uint32_t)(2 - i);
		d.issuer_serial = (uint32_t)(1 - i);
		d.key = (ProtobufCBinaryData){32, i == 0 ? srv.s_pub : inter_pub};
		d.not_after = (uint64_t)srv.until;
		packed[i] = pb_pack(&d.base, &n[i].details.len);
		n[i].details.data = packed[i];
		assert_int_equal(
		    curve_sign(i == 0 ? inter_priv : root, packed[i], n[i].details.len, sig[i]), 0);
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

/* The IK half of it: 0 if the client knows our key. */
static int
take_ik(struct side *s, const Wa6__HandshakeMessage__ClientHello *ch)
{
	uint8_t *room;

	start(s, "Noise_IK_25519_AESGCM_SHA256");
	hash(s, srv.s_pub, 32);
	hash(s, s->re, 32);
	dh(s, srv.s_priv, s->re);
	if (unseal(s, &ch->static_, s->client) == -1)
		return -1;
	dh(s, srv.s_priv, s->client);
	room = buf_reserve(&s->payload, ch->payload.len - 16);
	return unseal(s, &ch->payload, room);
}

/* Answers a client hello; malloc'd. */
static uint8_t *
answer(struct side *s, const ProtobufCBinaryData *client_hello, enum answer how, size_t *len)
{
	struct pb_arena *a = pb_arena_new(1 << 16);
	const Wa6__HandshakeMessage *in = pb_unpack(&wa6__handshake_message__descriptor,
	    client_hello->data, client_hello->len, a, PB_STRICT, NULL);
	const Wa6__HandshakeMessage__ClientHello *ch = in->client_hello;
	Wa6__HandshakeMessage m = WA6__HANDSHAKE_MESSAGE__INIT;
	Wa6__HandshakeMessage__ServerHello sh = WA6__HANDSHAKE_MESSAGE__SERVER_HELLO__INIT;
	uint8_t other[32], enc_s[48], *cert, *enc, *out;
	size_t n;

	memset(s, 0, sizeof(*s));
	memcpy(s->re, ch->ephemeral.data, 32);
	s->ik = ch->has_static_ && ch->has_payload;
	s->taken = s->ik && how != REFUSE && how != NOT_CERT && take_ik(s, ch) == 0;
	curve_pair(s->e_priv, s->e_pub);
	sh.has_ephemeral = sh.has_payload = 1;
	sh.ephemeral = (ProtobufCBinaryData){32, s->e_pub};
	if (!s->taken) {
		start(s, s->ik ? "Noise_XXfallback_25519_AESGCM_SHA256"
			       : "Noise_XX_25519_AESGCM_SHA256");
		hash(s, s->re, 32);
	}
	hash(s, s->e_pub, 32);
	dh(s, s->e_priv, s->re);
	if (s->taken) {
		dh(s, s->e_priv, s->client);
	} else {
		seal(s, srv.s_pub, 32, enc_s);
		dh(s, srv.s_priv, s->re);
		sh.has_static_ = 1;
		sh.static_ = (ProtobufCBinaryData){48, enc_s};
	}
	curve_pair(other, (uint8_t[32]){0});
	cert = certificates(how == NOT_CERT ? other : srv.root_priv, &n);
	enc = malloc(n + 16);
	seal(s, cert, n, enc);
	if (how == GARBLE)
		enc[n] ^= 1;
	sh.payload = (ProtobufCBinaryData){n + 16, enc};
	m.server_hello = &sh;
	out = pb_pack(&m.base, len);
	free(cert);
	free(enc);
	pb_arena_free(a);
	return out;
}

/* ---------------------------------------------------------------- keyd's side */

static int
setup(void **state)
{
	bench_start(&b, KEY, 1);
	curve_pair(srv.root_priv, srv.root_pub);
	curve_pair(srv.s_priv, srv.s_pub);
	srv.until = clock_wall_ms() / 1000 + 1000;
	memcpy(b.k->noise_root, srv.root_pub, 32);
	memset(counters, 0, sizeof(counters));
	return 0;
}

static int
teardown(void **state)
{
	bench_stop(&b);
	return 0;
}

/* A device as stored would have it. */
static void
plant(uint32_t generation, int linked)
{
	struct bench_record *r = bench_record(&b, "alice", STORED__DOMAIN__DEVICE, "device", 1);
	const struct vault_id id = {"alice", STORED__DOMAIN__DEVICE, "device", 1};
	struct device *d = calloc(1, sizeof(*d));
	struct buf plain = BUF_INIT;

	d->generation = generation;
	d->skey_id = 1;
	d->linked = linked;
	snprintf(d->jid, sizeof(d->jid), "15551234567:7@s.whatsapp.net");
	memset(d->noise_priv, 0x61, 32);
	d->noise_priv[0] &= 248;
	d->noise_priv[31] = (d->noise_priv[31] & 127) | 64;
	curve_public(d->noise_priv, d->noise_pub);
	assert_int_equal(device_encode(d, &plain), 0);
	buf_reset(&r->sealed);
	assert_int_equal(
	    vault_seal(b.k->secrets->vault_key[0], &id, plain.data, plain.len, &r->sealed), 0);
	r->version = 1;
	buf_clear(&plain);
	free(d);
}

/* keyd ends and begins anew: what is committed stays. */
static void
again(void)
{
	uint8_t root[32];

	memcpy(root, b.k->noise_root, 32);
	bench_restart(&b, KEY, NULL);
	memcpy(b.k->noise_root, root, 32);
}

static uint64_t conn;

static const Keyd__NoiseHelloReply *
hello_on(uint64_t n)
{
	Keyd__NoiseHello q = KEYD__NOISE_HELLO__INIT;

	q.account = ALICE;
	q.conn = n;
	q.has_payload = 1;
	q.payload = (ProtobufCBinaryData){strlen(PAYLOAD), (uint8_t *)(uintptr_t)PAYLOAD};
	return BENCH_ASK(&b, b.netd, NOISE_HELLO, &q, NOISE_HELLO_REPLY, noise_hello_reply);
}

static const Keyd__NoiseFinishReply *
finish_on(uint64_t n, uint8_t *hello, size_t len)
{
	Keyd__NoiseFinish q = KEYD__NOISE_FINISH__INIT;

	q.account = ALICE;
	q.conn = n;
	q.server_hello = (ProtobufCBinaryData){len, hello};
	q.payload = (ProtobufCBinaryData){strlen(PAYLOAD), (uint8_t *)(uintptr_t)PAYLOAD};
	return BENCH_ASK(&b, b.netd, NOISE_FINISH, &q, NOISE_FINISH_REPLY, noise_finish_reply);
}

/* The client's last message after XX or the fallback, and both sides' keys. */
static void
check_end(struct side *s, const Keyd__NoiseFinishReply *f)
{
	struct pb_arena *a = pb_arena_new(1 << 16);
	const Wa6__HandshakeMessage *m;
	uint8_t keys[64];

	if (s->taken) {
		assert_int_equal(f->client_finish.len, 0);
	} else {
		m = pb_unpack(&wa6__handshake_message__descriptor, f->client_finish.data,
		    f->client_finish.len, a, PB_STRICT, NULL);
		assert_int_equal(unseal(s, &m->client_finish->static_, s->client), 0);
		dh(s, s->e_priv, s->client);
		buf_reset(&s->payload);
		assert_int_equal(unseal(s, &m->client_finish->payload,
				     buf_reserve(&s->payload, m->client_finish->payload.len - 16)),
		    0);
	}
	assert_int_equal(s->payload.len, strlen(PAYLOAD));
	assert_memory_equal(s->payload.data, PAYLOAD, s->payload.len);
	crypto_hkdf(s->ck, 32, NULL, 0, "", keys, 64);
	assert_memory_equal(f->tx_key.data, keys, 32);
	assert_memory_equal(f->rx_key.data, keys + 32, 32);
	pb_arena_free(a);
}

enum kind {
	XX,
	IK_TAKEN,
	FALLBACK
};

/* A whole handshake; error NULL = it is good. */
static void
handshake(enum answer how, enum kind kind, const char *error)
{
	const Keyd__NoiseFinishReply *f;
	const Keyd__NoiseHelloReply *r = hello_on(++conn);
	struct side s;
	uint8_t *hello;
	size_t len;

	assert_non_null(r);
	hello = answer(&s, &r->client_hello, how, &len);
	assert_int_equal(s.ik, kind != XX);
	assert_int_equal(s.taken, kind == IK_TAKEN);
	f = finish_on(conn, hello, len);
	free(hello);
	if (error == NULL) {
		assert_non_null(f);
		check_end(&s, f);
	} else {
		assert_null(f);
		assert_string_equal(b.code, error);
	}
	buf_clear(&s.payload);
}

/* <success> on that connection; returns what keyd staged. */
static unsigned
keep_on(uint64_t n)
{
	Keyd__NoiseKeep q = KEYD__NOISE_KEEP__INIT;
	const Keyd__Staged *r;
	unsigned stages;

	q.account = ALICE;
	q.unit = ++b.unit;
	q.conn = n;
	r = BENCH_ASK(&b, b.apid, NOISE_KEEP, &q, STAGED, staged);
	assert_non_null(r);
	stages = r->stages;
	assert_int_equal(bench_commit(&b, "alice", b.unit, 1), 1);
	bench_settle(&b);
	return stages;
}

static uint64_t
kept_version(void)
{
	const struct bench_record *r =
	    bench_record(&b, "alice", STORED__DOMAIN__KEYSTATE, "1/noise", 0);

	return r == NULL ? 0 : r->version;
}

/* Linked, and the server's chain is kept. */
static void
known(void)
{
	plant(1, 1);
	handshake(HONEST, XX, NULL);
	assert_int_equal(keep_on(conn), 1);
	assert_int_equal(kept_version(), 1);
}

/* ---------------------------------------------------------------- page 11, 8.2 */

static void
test_cold_start_xx_then_cached_ik_reconnect(void **state)
{
	known();
	handshake(HONEST, IK_TAKEN, NULL);
	again(); /* it outlives the process */
	handshake(HONEST, IK_TAKEN, NULL);
	assert_int_equal(kept_version(), 1);
	assert_int_equal(counters[COUNT_NOISE_IK], 2);
	assert_int_equal(counters[COUNT_NOISE_IK_TAKEN], 2);
}

static void
test_post_xxfallback_failure_does_not_invalidate_ik_cache(void **state)
{
	known();
	handshake(NOT_CERT, FALLBACK, "cert_signature");
	assert_int_equal(counters[COUNT_NOISE_IK_FAILED], 0);
	assert_int_equal(counters[COUNT_NOISE_IK_FALLBACK], 1);
	assert_int_equal(keep_on(conn), 0); /* nothing was verified */
	handshake(HONEST, IK_TAKEN, NULL);
}

static void
test_ik_continue_does_not_overwrite_cached_chain(void **state)
{
	known();
	srv.until += 77; /* what it sends with IK is not looked at */
	handshake(HONEST, IK_TAKEN, NULL);
	assert_int_equal(keep_on(conn), 0);
	assert_int_equal(kept_version(), 1);
}

static void
test_xx_after_pair_success_persists_cert_chain(void **state)
{
	plant(1, 0);
	handshake(HONEST, XX, NULL);
	again();
	plant(1, 1);
	handshake(HONEST, XX, NULL);
	assert_int_equal(kept_version(), 0); /* not before the login */
	assert_int_equal(keep_on(conn), 1);
	handshake(HONEST, IK_TAKEN, NULL);
}

static void
test_unpaired_xx_does_not_persist_cert_chain(void **state)
{
	plant(1, 0);
	handshake(HONEST, XX, NULL);
	assert_int_equal(keep_on(conn), 0);
	assert_int_equal(kept_version(), 0);
	handshake(HONEST, XX, NULL);
}

static void
test_ik_rejected_recovers_via_xxfallback_and_repopulates_cache(void **state)
{
	known();
	curve_pair(srv.s_priv, srv.s_pub); /* the server has a new key */
	handshake(HONEST, FALLBACK, NULL);
	assert_int_equal(counters[COUNT_NOISE_IK_FAILED], 0);
	assert_int_equal(keep_on(conn), 1);
	assert_int_equal(kept_version(), 2);
	handshake(HONEST, IK_TAKEN, NULL);
	handshake(REFUSE, FALLBACK, NULL);
	assert_int_equal(keep_on(conn), 0); /* the same as before: not written again */
}

static void
test_ik_with_stale_cache_invalidates_and_increments_counter(void **state)
{
	known();
	handshake(GARBLE, IK_TAKEN, "noise_decrypt");
	assert_int_equal(counters[COUNT_NOISE_IK_FAILED], 1);
	assert_int_equal(b.k->accounts[0].ik_failures, 1);
	handshake(HONEST, XX, NULL);
	handshake(HONEST, XX, NULL); /* until the chain was kept anew */
	assert_int_equal(keep_on(conn), 0);
	handshake(HONEST, IK_TAKEN, NULL);
	assert_int_equal(b.k->accounts[0].ik_failures, 0);
}

/* ---------------------------------------------------------------- and beside them */

/* Few failures: then XX for the rest of the run. */
static void
test_many_failures(void **state)
{
	Keyd__NoiseDrop drop = KEYD__NOISE_DROP__INIT;
	int i;

	known();
	drop.account = ALICE;
	for (i = 0; i < 3; i++) {
		assert_true(hello_on(++conn)->client_hello.len > 100);
		drop.conn = conn; /* no answer came */
		assert_int_equal(channel_notify(b.netd, KEYD__TYPE__NOISE_DROP, &drop.base), 0);
		handshake(HONEST, XX, NULL);
		assert_int_equal(keep_on(conn), 0);
	}
	handshake(HONEST, XX, NULL);
	assert_int_equal(b.k->accounts[0].ik_failures, 3);
	again();
	handshake(HONEST, IK_TAKEN, NULL);
}

/* Not with a chain that is over, of another root, of another connection or of a former device. */
static void
test_which_chain(void **state)
{
	plant(1, 1);
	srv.until = clock_wall_ms() / 1000 + 2; /* it is over before the second login */
	handshake(HONEST, XX, NULL);
	assert_int_equal(keep_on(conn), 1);
	while (clock_wall_ms() / 1000 <= srv.until)
		(void)usleep(50000);
	srv.until += 1000;
	handshake(HONEST, XX, NULL);
	assert_int_equal(keep_on(conn + 1), 0);
	assert_int_equal(keep_on(conn), 1);
	handshake(HONEST, IK_TAKEN, NULL);
	b.k->noise_root[0] ^= 1;
	assert_int_equal(hello_on(++conn)->client_hello.len, 36);
	b.k->noise_root[0] ^= 1;
	again();
	plant(2, 1);
	handshake(HONEST, XX, NULL);
}

/* A record that does not open, or is none: XX, and it is written anew. */
static void
test_damaged_record(void **state)
{
	struct bench_record *r;

	known();
	r = bench_record(&b, "alice", STORED__DOMAIN__KEYSTATE, "1/noise", 0);
	r->sealed.data[r->sealed.len - 1] ^= 1;
	again();
	handshake(HONEST, XX, NULL);
	assert_int_equal(keep_on(conn), 1);
	handshake(HONEST, IK_TAKEN, NULL);
}

/* No byte of the answer can be changed unnoticed; each is one failure at most. */
static void
test_any_flip_is_refused(void **state)
{
	const Keyd__NoiseHelloReply *r;
	struct side s;
	uint8_t *hello;
	size_t len, i;

	known();
	for (i = 0;; i++) {
		b.k->accounts[0].ik_failures = 0;
		b.k->accounts[0].ik_off = 0;
		r = hello_on(++conn);
		hello = answer(&s, &r->client_hello, HONEST, &len);
		buf_clear(&s.payload);
		if (i < len) {
			hello[i] ^= 1;
			assert_null(finish_on(conn, hello, len));
			assert_true(b.k->accounts[0].ik_failures <= 1);
		}
		free(hello);
		if (i >= len)
			break;
	}
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_cold_start_xx_then_cached_ik_reconnect),
	    TEST(test_post_xxfallback_failure_does_not_invalidate_ik_cache),
	    TEST(test_ik_continue_does_not_overwrite_cached_chain),
	    TEST(test_xx_after_pair_success_persists_cert_chain),
	    TEST(test_unpaired_xx_does_not_persist_cert_chain),
	    TEST(test_ik_rejected_recovers_via_xxfallback_and_repopulates_cache),
	    TEST(test_ik_with_stale_cache_invalidates_and_increments_counter),
	    TEST(test_many_failures),
	    TEST(test_which_chain),
	    TEST(test_damaged_record),
	    TEST(test_any_flip_is_refused),
	};

	(void)core_warm_up();
	return cmocka_run_group_tests_name("keyd: ik", tests, NULL, NULL);
}
