/* The simulator's Noise responder against the worked example of protocol page 01, 4.7. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/pb.h"
#include "common/proto/cert.pb-c.h"
#include "common/proto/wa6.pb-c.h"
#include "tests/sim/crypt.h"
#include "tests/sim/noise_server.h"
#include "tests/sim/rng.h"

#define E_PRIV   "2122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f40"
#define E_PUB    "5869aff450549732cbaaed5e5df9b30a6da31cb0e5742bad5ad4a1a768f1a67b"
#define RS_PRIV  "4142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60"
#define S_PUB    "244fe3b963e899dd295baffce248d3530f3a9a7479ba063002680ebfe7adad49"
#define ROOT     "8182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0"
#define ROOT_PUB "883186b800b41d5cf0429695da9b3cc4f328ebcd184a6e482fa578c103f06c77"
#define MID      "a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0"
#define HELLO    "12220a2007a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c"
#define ENC_RS                                                                                     \
	"00b3aff25b3d82c729de225f5564ba476253f9b472152396516f44f2905b050018ecadf30791315e9ca857a1" \
	"f338e303"
#define ENC_CERT                                                                                   \
	"3c8abf80839b05a971cf213c15a0df05aadbc02d5f4182810e9041a52240e09d1b22d646178a8846"         \
	"04fba02a52e86bef56f9719f97ac36c2954b3c303af649baa6466f37706345e79e688af1df0ecffc"         \
	"721a68f7a2dca68d0a9b204fc6d57a4082e0b435920bc4e42dd71d878aa149e53f2b80d4185db6aa"         \
	"651bbb184c493539715a0e3396d44bbf52959d1fb57637468f16b54c38a8c50193d2813d2068dfb5"         \
	"19a9f9fc98b9f23f1834a56b3ea22989bba4fbad043e73ddccfcf5260d89802a16d48f8f38b496a0"         \
	"1793c17dc94b8979d70298cc5af39102180c57ac7553804bb405c7603d95e95416ce8e581c9c36ab"         \
	"9cf274cceecaa745d4ba1b5a1c059aa3"
#define FINISH                                                                                     \
	"22520a301e9a18d4052438441f0a792b3eeb2e91fedb31cb078c36af2f1b187e406b1d2fe666718dca7c0f94" \
	"7fbe6676b8f17179"                                                                         \
	"121e0a3449cc3f41e49153075b098f54a4f4f9f9b7bea91c66019977d94a9a12"
#define PAYLOAD "088784b4f7391801900107880201"
#define TX      "570626073a425329e7b6a383bdaaae1c74fffbbe618462db6912c60b928c5096"
#define RX      "0be9e4d99c1dc367ec34848f2fc901dabe8bbcf0fad3aa716606b460b277efd2"

struct bytes {
	uint8_t data[1024];
	size_t len;
};

static struct bytes
unhex(const char *text)
{
	struct bytes b = {.len = strlen(text) / 2};

	assert_true(b.len <= sizeof(b.data));
	assert_int_equal(crypt_unhex(text, b.data, b.len), 0);
	return b;
}

static void
assert_hex(const void *data, size_t len, const char *hex)
{
	struct bytes b = unhex(hex);

	assert_int_equal(len, b.len);
	assert_memory_equal(data, b.data, len);
}

static struct noise_identity
example_identity(void)
{
	struct noise_identity id = {
	    .mid_serial = 5, .leaf_serial = 6, .not_before = 1700000000, .not_after = 2000000000};

	memcpy(id.root_priv, unhex(ROOT).data, 32);
	memcpy(id.mid_priv, unhex(MID).data, 32);
	memcpy(id.static_priv, unhex(RS_PRIV).data, 32);
	crypt_public(id.root_priv, id.root_pub);
	crypt_public(id.mid_priv, id.mid_pub);
	crypt_public(id.static_priv, id.static_pub);
	assert_hex(id.root_pub, 32, ROOT_PUB);
	return id;
}

/* The random bytes of both signatures. */
static void
inject_signature_randomness(void)
{
	uint8_t rnd[128];

	memset(rnd, 0x11, 64);
	memset(rnd + 64, 0x22, 64);
	rng_inject(rnd, sizeof(rnd));
}

static void
test_xx(void **state)
{
	struct noise_identity id = example_identity();
	struct buf hello = BUF_INIT, payload = BUF_INIT;
	struct bytes in = unhex(HELLO), fin = unhex(FINISH);
	struct pb_arena *a = pb_arena_new(65536);
	Wa6__HandshakeMessage *m;
	struct noise s;
	uint8_t rx[32], tx[32];

	(void)state;
	inject_signature_randomness();
	assert_int_equal(noise_hello(&s, &id, unhex(E_PRIV).data, in.data, in.len, NOISE_HONEST,
			     1800000000, &hello, &payload),
	    0);
	m = pb_unpack(
	    &wa6__handshake_message__descriptor, hello.data, hello.len, a, PB_STRICT, NULL);
	assert_non_null(m);
	assert_non_null(m->server_hello);
	assert_hex(m->server_hello->ephemeral.data, m->server_hello->ephemeral.len, E_PUB);
	assert_hex(m->server_hello->static_.data, m->server_hello->static_.len, ENC_RS);
	assert_hex(m->server_hello->payload.data, m->server_hello->payload.len, ENC_CERT);
	assert_int_equal(noise_finish(&s, fin.data, fin.len, &payload), 0);
	assert_hex(payload.data, payload.len, PAYLOAD);
	assert_hex(s.rs, 32, S_PUB);
	noise_split(&s, rx, tx);
	assert_hex(rx, 32, TX);
	assert_hex(tx, 32, RX);
	pb_arena_free(a);
	buf_clear(&hello);
	buf_clear(&payload);
}

/* One bit wrong anywhere in the finish is noticed. */
static void
test_finish_wrong(void **state)
{
	struct noise_identity id = example_identity();
	struct bytes in = unhex(HELLO), fin = unhex(FINISH);

	(void)state;
	for (size_t i = 4; i < fin.len; i += 7) {
		struct buf hello = BUF_INIT, payload = BUF_INIT;
		struct bytes bad = fin;
		struct noise s;

		if (i == 52 || i == 53)
			continue; /* tag and length of the second field */
		inject_signature_randomness();
		assert_int_equal(noise_hello(&s, &id, unhex(E_PRIV).data, in.data, in.len,
				     NOISE_HONEST, 1800000000, &hello, &payload),
		    0);
		bad.data[i] ^= 1;
		assert_int_equal(noise_finish(&s, bad.data, bad.len, &payload), -1);
		buf_clear(&hello);
		buf_clear(&payload);
	}
}

static void
test_hello_malformed(void **state)
{
	static const char *const bad[] = {"", "00", "1200", "12040a020102", "1202", "ffffffff",
	    /* an ephemeral of 31 bytes */
	    "12210a1f07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c"};
	struct noise_identity id = example_identity();

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct buf hello = BUF_INIT, payload = BUF_INIT;
		struct bytes in = unhex(bad[i]);
		struct noise s;

		assert_int_equal(noise_hello(&s, &id, unhex(E_PRIV).data, in.data, in.len,
				     NOISE_HONEST, 0, &hello, &payload),
		    -1);
		buf_clear(&hello);
		buf_clear(&payload);
	}
}

/* What a strict client finds wrong with a chain; 0 = nothing (protocol page 01, 4.4). */
static int
judge(const struct noise_identity *id, const struct buf *chain, int64_t now)
{
	struct pb_arena *a = pb_arena_new(65536);
	Cert__CertChain *c =
	    pb_unpack(&cert__cert_chain__descriptor, chain->data, chain->len, a, 0, NULL);
	Cert__CertChain__NoiseCertificate__Details *leaf, *mid;
	int wrong = 0;

	assert_non_null(c);
	mid = pb_unpack(&cert__cert_chain__noise_certificate__details__descriptor,
	    c->intermediate->details.data, c->intermediate->details.len, a, 0, NULL);
	leaf = pb_unpack(&cert__cert_chain__noise_certificate__details__descriptor,
	    c->leaf->details.data, c->leaf->details.len, a, 0, NULL);
	assert_non_null(mid);
	assert_non_null(leaf);
	if (c->intermediate->signature.len != 64 || c->leaf->signature.len != 64)
		wrong |= 1;
	else if (crypt_verify(id->root_pub, c->intermediate->details.data,
		     c->intermediate->details.len, c->intermediate->signature.data) != 0 ||
		 crypt_verify(mid->key.data, c->leaf->details.data, c->leaf->details.len,
		     c->leaf->signature.data) != 0)
		wrong |= 2;
	if (mid->issuer_serial != 0)
		wrong |= 4;
	if (leaf->issuer_serial != mid->serial)
		wrong |= 8;
	if (memcmp(leaf->key.data, id->static_pub, 32) != 0)
		wrong |= 16;
	if ((int64_t)leaf->not_before > now || (int64_t)leaf->not_after < now)
		wrong |= 32;
	pb_arena_free(a);
	return wrong;
}

/* Each forgery is wrong in its one field and right in all others. */
static void
test_forgeries(void **state)
{
	static const struct {
		int forgery, wrong;
	} cases[] = {{NOISE_HONEST, 0}, {NOISE_RANDOM_SIGNATURES, 2}, {NOISE_SHORT_SIGNATURES, 1},
	    {NOISE_LEAF_KEY, 16}, {NOISE_MID_ISSUER, 4}, {NOISE_LEAF_ISSUER, 8},
	    {NOISE_EXPIRED, 32}, {NOISE_NOT_YET, 32}, {NOISE_WRONG_ROOT, 2}};
	struct noise_identity id;

	(void)state;
	noise_identity_new(&id);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf chain = BUF_INIT;

		noise_cert_chain(&id, cases[i].forgery, 1800000000, &chain);
		assert_int_equal(judge(&id, &chain, 1800000000), cases[i].wrong);
		buf_clear(&chain);
	}
	assert_int_equal(noise_forgery_parse("leaf_issuer"), NOISE_LEAF_ISSUER);
	assert_int_equal(noise_forgery_parse("close"), NOISE_CLOSE);
	assert_int_equal(noise_forgery_parse("nonsense"), -1);
}

/* --- a client that resumes with IK, written here from protocol page 01, 4.6 --- */

struct client {
	uint8_t h[32], ck[32], k[32], e_priv[32], e_pub[32], s_priv[32], s_pub[32];
	uint32_t n;
};

static void
c_hash(struct client *c, const void *data, size_t len)
{
	uint8_t both[2048];

	assert_true(len <= sizeof(both) - 32);
	memcpy(both, c->h, 32);
	memcpy(both + 32, data, len);
	crypt_sha256(both, 32 + len, c->h);
}

static void
c_start(struct client *c, const char *name)
{
	if (strlen(name) > 32)
		crypt_sha256(name, strlen(name), c->h);
	else {
		memset(c->h, 0, 32);
		memcpy(c->h, name, strlen(name));
	}
	memcpy(c->ck, c->h, 32);
	memcpy(c->k, c->h, 32);
	c->n = 0;
	c_hash(c, "WA\6\3", 4);
}

static void
c_dh(struct client *c, const uint8_t priv[32], const uint8_t pub[32])
{
	uint8_t shared[32], out[64];

	assert_int_equal(crypt_x25519(shared, priv, pub), 0);
	crypt_hkdf(c->ck, 32, shared, 32, NULL, 0, out, 64);
	memcpy(c->ck, out, 32);
	memcpy(c->k, out + 32, 32);
	c->n = 0;
}

static void
c_seal(struct client *c, const void *data, size_t len, uint8_t *out)
{
	uint8_t iv[12] = {0};

	iv[11] = (uint8_t)c->n++;
	crypt_gcm_seal(c->k, iv, c->h, 32, data, len, out);
	c_hash(c, out, len + TAG_LEN);
}

static int
c_open(struct client *c, const ProtobufCBinaryData *in, uint8_t *out)
{
	uint8_t iv[12] = {0};

	iv[11] = (uint8_t)c->n++;
	if (crypt_gcm_open(c->k, iv, c->h, 32, in->data, in->len, out) != 0)
		return -1;
	c_hash(c, in->data, in->len);
	return 0;
}

/* ClientHello{ephemeral, static, payload}, packed. */
static uint8_t *
ik_hello(struct client *c, const uint8_t rs[32], size_t *len)
{
	Wa6__HandshakeMessage m = WA6__HANDSHAKE_MESSAGE__INIT;
	Wa6__HandshakeMessage__ClientHello ch = WA6__HANDSHAKE_MESSAGE__CLIENT_HELLO__INIT;
	uint8_t enc_s[48], enc_pl[7 + TAG_LEN];

	crypt_keypair(c->e_priv, c->e_pub);
	crypt_keypair(c->s_priv, c->s_pub);
	c_start(c, "Noise_IK_25519_AESGCM_SHA256");
	c_hash(c, rs, 32);
	c_hash(c, c->e_pub, 32);
	c_dh(c, c->e_priv, rs);
	c_seal(c, c->s_pub, 32, enc_s);
	c_dh(c, c->s_priv, rs);
	c_seal(c, "payload", 7, enc_pl);
	ch.has_ephemeral = ch.has_static_ = ch.has_payload = 1;
	ch.ephemeral = (ProtobufCBinaryData){32, c->e_pub};
	ch.static_ = (ProtobufCBinaryData){sizeof(enc_s), enc_s};
	ch.payload = (ProtobufCBinaryData){sizeof(enc_pl), enc_pl};
	m.client_hello = &ch;
	return pb_pack(&m.base, len);
}

static void
c_keys(const struct client *c, uint8_t tx[32], uint8_t rx[32])
{
	uint8_t out[64];

	crypt_hkdf(c->ck, 32, NULL, 0, NULL, 0, out, 64);
	memcpy(tx, out, 32);
	memcpy(rx, out + 32, 32);
}

static void
test_ik(void **state)
{
	struct noise_identity id;
	struct buf hello = BUF_INIT, payload = BUF_INIT;
	struct pb_arena *a = pb_arena_new(65536);
	Wa6__HandshakeMessage *m;
	uint8_t e_priv[32], e_pub[32], tx[32], rx[32], stx[32], srx[32], cert[1024], *in;
	struct client c;
	struct noise s;
	size_t len;

	(void)state;
	noise_identity_new(&id);
	in = ik_hello(&c, id.static_pub, &len);
	crypt_keypair(e_priv, e_pub);
	assert_int_equal(
	    noise_hello(&s, &id, e_priv, in, len, NOISE_HONEST, 1800000000, &hello, &payload), 1);
	assert_int_equal(payload.len, 7);
	assert_memory_equal(payload.data, "payload", 7);
	assert_memory_equal(s.rs, c.s_pub, 32);
	m = pb_unpack(
	    &wa6__handshake_message__descriptor, hello.data, hello.len, a, PB_STRICT, NULL);
	assert_non_null(m);
	assert_false(m->server_hello->has_static_);
	c_hash(&c, m->server_hello->ephemeral.data, 32);
	c_dh(&c, c.e_priv, m->server_hello->ephemeral.data);
	c_dh(&c, c.s_priv, m->server_hello->ephemeral.data);
	assert_int_equal(c_open(&c, &m->server_hello->payload, cert), 0);
	c_keys(&c, tx, rx);
	noise_split(&s, srx, stx);
	assert_memory_equal(tx, srx, 32);
	assert_memory_equal(rx, stx, 32);
	free(in);
	pb_arena_free(a);
	buf_clear(&hello);
	buf_clear(&payload);
}

/* A client with a stale key, and one that is refused on purpose, go on with the fallback. */
static void
ik_falls_back(int forgery, int stale)
{
	struct noise_identity id, old;
	struct buf hello = BUF_INIT, payload = BUF_INIT;
	struct pb_arena *a = pb_arena_new(65536);
	Wa6__HandshakeMessage *m, out = WA6__HANDSHAKE_MESSAGE__INIT;
	Wa6__HandshakeMessage__ClientFinish cf = WA6__HANDSHAKE_MESSAGE__CLIENT_FINISH__INIT;
	uint8_t e_priv[32], e_pub[32], rs[32], cert[1024], enc_s[48], enc_pl[5 + TAG_LEN], *in,
	    *finish;
	struct client c;
	struct noise s;
	size_t len;

	noise_identity_new(&id);
	noise_identity_new(&old);
	in = ik_hello(&c, stale ? old.static_pub : id.static_pub, &len);
	crypt_keypair(e_priv, e_pub);
	assert_int_equal(
	    noise_hello(&s, &id, e_priv, in, len, forgery, 1800000000, &hello, &payload), 0);
	m = pb_unpack(
	    &wa6__handshake_message__descriptor, hello.data, hello.len, a, PB_STRICT, NULL);
	assert_non_null(m);
	assert_true(m->server_hello->has_static_);
	c_start(&c, "Noise_XXfallback_25519_AESGCM_SHA256");
	c_hash(&c, c.e_pub, 32);
	c_hash(&c, m->server_hello->ephemeral.data, 32);
	c_dh(&c, c.e_priv, m->server_hello->ephemeral.data);
	assert_int_equal(c_open(&c, &m->server_hello->static_, rs), 0);
	assert_memory_equal(rs, id.static_pub, 32);
	c_dh(&c, c.e_priv, rs);
	assert_int_equal(c_open(&c, &m->server_hello->payload, cert), 0);
	c_seal(&c, c.s_pub, 32, enc_s);
	c_dh(&c, c.s_priv, m->server_hello->ephemeral.data);
	c_seal(&c, "login", 5, enc_pl);
	cf.has_static_ = cf.has_payload = 1;
	cf.static_ = (ProtobufCBinaryData){sizeof(enc_s), enc_s};
	cf.payload = (ProtobufCBinaryData){sizeof(enc_pl), enc_pl};
	out.client_finish = &cf;
	finish = pb_pack(&out.base, &len);
	assert_int_equal(noise_finish(&s, finish, len, &payload), 0);
	assert_int_equal(payload.len, 5);
	assert_memory_equal(payload.data, "login", 5);
	assert_memory_equal(s.rs, c.s_pub, 32);
	free(in);
	free(finish);
	pb_arena_free(a);
	buf_clear(&hello);
	buf_clear(&payload);
}

static void
test_fallback(void **state)
{
	(void)state;
	ik_falls_back(NOISE_IK_REFUSED, 0);
	ik_falls_back(NOISE_HONEST, 1);
}

static int
setup(void **state)
{
	(void)state;
	rng_seed(1);
	crypt_init();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	crypt_fini();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_xx),
	    cmocka_unit_test(test_finish_wrong),
	    cmocka_unit_test(test_hello_malformed),
	    cmocka_unit_test(test_forgeries),
	    cmocka_unit_test(test_ik),
	    cmocka_unit_test(test_fallback),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
