/* The Noise handshake against the worked example of protocol page 01, 4.7, and every forged
 * certificate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "common/buf.h"
#include "common/pb.h"
#include "common/proto/cert.pb-c.h"
#include "keyd/core.h"
#include "keyd/curve.h"
#include "keyd/noise.h"

#define NOW 1800000000 /* within the example's dates */

static const char e_priv[] = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20";
static const char re[] = "5869aff450549732cbaaed5e5df9b30a6da31cb0e5742bad5ad4a1a768f1a67b";
static const char rs[] = "64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d48466";
static const char s_priv[] = "6162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f80";
static const char s_pub[] = "244fe3b963e899dd295baffce248d3530f3a9a7479ba063002680ebfe7adad49";
static const char root_priv[] = "8182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0";
static const char root_pub[] = "883186b800b41d5cf0429695da9b3cc4f328ebcd184a6e482fa578c103f06c77";
static const char inter_priv[] = "a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0";
static const char enc_rs[] = "00b3aff25b3d82c729de225f5564ba476253f9b472152396516f44f2905b0500"
			     "18ecadf30791315e9ca857a1f338e303";
static const char enc_cert[] = "3c8abf80839b05a971cf213c15a0df05aadbc02d5f4182810e9041a52240e09d1b2"
			       "2d646178a884604fba02a52e86bef"
			       "56f9719f97ac36c2954b3c303af649baa6466f37706345e79e688af1df0ecffc721"
			       "a68f7a2dca68d0a9b204fc6d57a40"
			       "82e0b435920bc4e42dd71d878aa149e53f2b80d4185db6aa651bbb184c493539715"
			       "a0e3396d44bbf52959d1fb5763746"
			       "8f16b54c38a8c50193d2813d2068dfb519a9f9fc98b9f23f1834a56b3ea22989bba"
			       "4fbad043e73ddccfcf5260d89802a"
			       "16d48f8f38b496a01793c17dc94b8979d70298cc5af39102180c57ac7553804bb40"
			       "5c7603d95e95416ce8e581c9c36ab"
			       "9cf274cceecaa745d4ba1b5a1c059aa3";
static const char payload[] = "088784b4f7391801900107880201";
static const char finish_hex[] =
    "22520a301e9a18d4052438441f0a792b3eeb2e91fedb31cb078c36af2f1b187e406b1d2fe666718dca7c0f947fbe66"
    "76"
    "b8f17179121e0a3449cc3f41e49153075b098f54a4f4f9f9b7bea91c66019977d94a9a12";
static const char tx_hex[] = "570626073a425329e7b6a383bdaaae1c74fffbbe618462db6912c60b928c5096";
static const char rx_hex[] = "0be9e4d99c1dc367ec34848f2fc901dabe8bbcf0fad3aa716606b460b277efd2";

static size_t
unhex(const char *hex, uint8_t *out, size_t max)
{
	size_t len = 0;

	assert_int_equal(sodium_hex2bin(out, max, hex, strlen(hex), NULL, &len, NULL), 0);
	return len;
}

/* HandshakeMessage{ serverHello{ ephemeral, static, payload } } */
static size_t
server_hello(uint8_t *out, size_t max)
{
	uint8_t cert[512];
	size_t ncert = unhex(enc_cert, cert, sizeof(cert)), n = 0, inner;
	uint8_t body[1024];

	body[n++] = 0x0a;
	body[n++] = 32;
	n += unhex(re, body + n, 32);
	body[n++] = 0x12;
	body[n++] = 48;
	n += unhex(enc_rs, body + n, 48);
	body[n++] = 0x1a;
	body[n++] = (uint8_t)(ncert & 0x7f) | 0x80;
	body[n++] = (uint8_t)(ncert >> 7);
	memcpy(body + n, cert, ncert);
	n += ncert;
	inner = n;
	assert_true(inner + 3 <= max && inner > 127);
	out[0] = 0x1a;
	out[1] = (uint8_t)(inner & 0x7f) | 0x80;
	out[2] = (uint8_t)(inner >> 7);
	memcpy(out + 3, body, inner);
	return inner + 3;
}

struct
try {
	struct noise_hello hello;
	uint8_t sp[32], ss[32], root[32], pl[64], sh[1024];
	struct noise_finish_in in;
	struct buf out;
	uint8_t tx[32], rx[32];
	struct noise_chain chain;
};

static void
begin(struct try *t)
{
	uint8_t e[32];

	memset(t, 0, sizeof(*t));
	unhex(e_priv, e, 32);
	unhex(s_priv, t->ss, 32);
	unhex(s_pub, t->sp, 32);
	unhex(root_pub, t->root, 32);
	t->in.s_priv = t->ss;
	t->in.s_pub = t->sp;
	t->in.root = t->root;
	t->in.now = NOW;
	t->in.payload = t->pl;
	t->in.payload_len = unhex(payload, t->pl, sizeof(t->pl));
	t->in.server_hello = t->sh;
	t->in.server_hello_len = server_hello(t->sh, sizeof(t->sh));
	assert_int_equal(noise_begin(&t->hello, e, NULL, &t->out), 0);
}

static const char *
finish(struct try *t)
{
	const char *why;

	buf_clear(&t->out);
	why = noise_finish(&t->hello, &t->in, &t->out, t->tx, t->rx, &t->chain);
	return why;
}

static void
test_example(void **state)
{
	static const char hello_hex[] =
	    "12220a2007a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c";
	uint8_t want[128];
	struct noise_chain chain;
	struct buf record = BUF_INIT;
	struct try t;
	size_t n;

	begin(&t);
	n = unhex(hello_hex, want, sizeof(want));
	assert_int_equal(t.out.len, n);
	assert_memory_equal(t.out.data, want, n);
	assert_null(finish(&t));
	n = unhex(finish_hex, want, sizeof(want));
	assert_int_equal(t.out.len, n);
	assert_memory_equal(t.out.data, want, n);
	unhex(tx_hex, want, 32);
	assert_memory_equal(t.tx, want, 32);
	unhex(rx_hex, want, 32);
	assert_memory_equal(t.rx, want, 32);
	/* what would be kept of it, as its record */
	assert_memory_equal(t.chain.root, t.root, 32);
	unhex(rs, want, 32);
	assert_memory_equal(t.chain.rs, want, 32);
	assert_true(t.chain.from == 1700000000 && t.chain.to == 2000000000);
	assert_int_equal(noise_chain_encode(&t.chain, &record), 0);
	assert_int_equal(noise_chain_decode(&chain, record.data, record.len), 0);
	assert_memory_equal(&chain, &t.chain, sizeof(chain));
	assert_int_equal(noise_chain_decode(&chain, record.data, NOISE_CHAIN_LEN - 1), -1);
	record.data[0] = 2;
	assert_int_equal(noise_chain_decode(&chain, record.data, NOISE_CHAIN_LEN), -1);
	buf_clear(&record);
	buf_clear(&t.out);
}

static void
test_fresh_ephemeral(void **state)
{
	struct noise_hello a, b;
	struct buf x = BUF_INIT, y = BUF_INIT;

	assert_int_equal(noise_begin(&a, NULL, NULL, &x), 0);
	assert_int_equal(noise_begin(&b, NULL, NULL, &y), 0);
	assert_memory_not_equal(a.e_priv, b.e_priv, 32);
	buf_clear(&x);
	buf_clear(&y);
}

/* Every byte of the server's hello matters: none can be changed unnoticed. */
static void
test_any_flip_is_refused(void **state)
{
	struct try t;
	size_t i, n;
	const char *why;

	begin(&t);
	n = t.in.server_hello_len;
	for (i = 0; i < n; i++) {
		t.sh[i] ^= 0x01;
		why = finish(&t);
		assert_non_null(why);
		assert_true(
		    strcmp(why, "noise_malformed") == 0 || strcmp(why, "noise_decrypt") == 0);
		t.sh[i] ^= 0x01;
	}
	for (i = 0; i < n; i++) {
		t.in.server_hello_len = i;
		assert_non_null(finish(&t));
	}
	t.in.server_hello_len = n;
	assert_null(finish(&t));
	buf_clear(&t.out);
}

static void
test_named_refusals(void **state)
{
	struct try t;

	begin(&t);
	t.in.now = 1699999999;
	assert_string_equal(finish(&t), "cert_not_yet_valid");
	t.in.now = 2000000001;
	assert_string_equal(finish(&t), "cert_expired");
	t.in.now = 2000000000; /* the last second */
	assert_null(finish(&t));
	t.in.root = noise_root_key;
	assert_string_equal(finish(&t), "cert_signature");
	t.in.root = t.root;
	memset(t.sh + 5, 0, 32); /* an ephemeral of small order */
	assert_string_equal(finish(&t), "noise_malformed");
	begin(&t);
	t.in.payload_len = NOISE_PAYLOAD_MAX + 1;
	assert_string_equal(finish(&t), "noise_malformed");
	buf_clear(&t.out);
}

/* ---------------------------------------------------------------- chains */

struct cert {
	uint32_t serial, issuer;
	uint64_t from, to;
	uint8_t key[64];
	size_t keylen;
};
struct chain {
	struct cert leaf, inter;
	uint8_t leaf_signer[32], inter_signer[32];
	int no_leaf, no_inter, short_sig, no_details, garbage_details, flip_leaf_sig,
	    flip_inter_sig;
};

static void
clamp(uint8_t k[32])
{
	k[0] &= 248;
	k[31] = (uint8_t)((k[31] & 127) | 64);
}

static void
chain_good(struct chain *c)
{
	memset(c, 0, sizeof(*c));
	unhex(root_priv, c->inter_signer, 32);
	unhex(inter_priv, c->leaf_signer, 32);
	clamp(c->inter_signer);
	clamp(c->leaf_signer);
	c->inter = (struct cert){5, 0, 1700000000, 2000000000, {0}, 32};
	c->leaf = (struct cert){6, 5, 1700000000, 2000000000, {0}, 32};
	curve_public(c->leaf_signer, c->inter.key);
	unhex(rs, c->leaf.key, 32);
}

static uint8_t *
pack_cert(const struct chain *ch, const struct cert *c, const uint8_t signer[32], int flip,
    Cert__CertChain__NoiseCertificate *out, uint8_t sig[64])
{
	Cert__CertChain__NoiseCertificate__Details d =
	    CERT__CERT_CHAIN__NOISE_CERTIFICATE__DETAILS__INIT;
	uint8_t *packed;
	size_t len;

	d.has_serial = d.has_issuer_serial = d.has_key = d.has_not_before = d.has_not_after = 1;
	d.serial = c->serial;
	d.issuer_serial = c->issuer;
	d.key.data = (uint8_t *)(uintptr_t)c->key;
	d.key.len = c->keylen;
	d.not_before = c->from;
	d.not_after = c->to;
	packed = pb_pack(&d.base, &len);
	if (ch->garbage_details)
		memset(packed, 0xff, len);
	assert_int_equal(curve_sign(signer, packed, len, sig), 0);
	if (flip)
		sig[10] ^= 1;
	cert__cert_chain__noise_certificate__init(out);
	out->has_details = !ch->no_details;
	out->has_signature = 1;
	out->details.data = packed;
	out->details.len = len;
	out->signature.data = sig;
	out->signature.len = ch->short_sig ? 63 : 64;
	return packed;
}

static const char *
check(const struct chain *c)
{
	Cert__CertChain chain = CERT__CERT_CHAIN__INIT;
	Cert__CertChain__NoiseCertificate leaf, inter;
	struct noise_chain kept;
	uint8_t sig[2][64], server[32], root[32];
	uint8_t *a = pack_cert(c, &c->leaf, c->leaf_signer, c->flip_leaf_sig, &leaf, sig[0]);
	uint8_t *b = pack_cert(c, &c->inter, c->inter_signer, c->flip_inter_sig, &inter, sig[1]);
	uint8_t *packed;
	const char *why;
	size_t len;

	chain.leaf = c->no_leaf ? NULL : &leaf;
	chain.intermediate = c->no_inter ? NULL : &inter;
	packed = pb_pack(&chain.base, &len);
	unhex(rs, server, 32);
	unhex(root_pub, root, 32);
	why = noise_check_chain(packed, len, server, root, NOW, &kept);
	free(a);
	free(b);
	free(packed);
	return why;
}

#define FORGE(name, change, want)                                                                  \
	do {                                                                                       \
		chain_good(&c);                                                                    \
		change;                                                                            \
		why = check(&c);                                                                   \
		if (why == NULL || strcmp(why, want) != 0)                                         \
			fail_msg(                                                                  \
			    "%s: %s instead of %s", name, why == NULL ? "accepted" : why, want);   \
	} while (0)

static void
test_forged_chains(void **state)
{
	struct chain c;
	const char *why;
	uint8_t other[32];

	curve_pair(other, (uint8_t[32]){0});
	chain_good(&c);
	assert_null(check(&c));
	FORGE("rule 1: no leaf", c.no_leaf = 1, "cert_malformed");
	FORGE("rule 1: no intermediate", c.no_inter = 1, "cert_malformed");
	FORGE("rule 1: no details", c.no_details = 1, "cert_malformed");
	FORGE("rule 1: details do not parse", c.garbage_details = 1, "cert_malformed");
	FORGE("rule 1: a short signature", c.short_sig = 1, "cert_malformed");
	FORGE("rule 2: intermediate signed by another", memcpy(c.inter_signer, other, 32),
	    "cert_signature");
	FORGE("rule 2: intermediate signature changed", c.flip_inter_sig = 1, "cert_signature");
	FORGE("rule 3: intermediate from another root", c.inter.issuer = 1, "cert_issuer");
	FORGE("rule 4: a short intermediate key", c.inter.keylen = 31, "cert_malformed");
	FORGE("rule 4: a long intermediate key", c.inter.keylen = 33, "cert_malformed");
	FORGE("rule 5: leaf signed by another", memcpy(c.leaf_signer, other, 32), "cert_signature");
	FORGE("rule 5: leaf signed by the root", memcpy(c.leaf_signer, c.inter_signer, 32),
	    "cert_signature");
	FORGE("rule 5: leaf signature changed", c.flip_leaf_sig = 1, "cert_signature");
	FORGE("rule 6: leaf from another issuer", c.leaf.issuer = 7, "cert_issuer");
	FORGE("rule 7: leaf of another server", c.leaf.key[3] ^= 1, "cert_key_mismatch");
	FORGE("rule 7: leaf without a key", c.leaf.keylen = 0, "cert_key_mismatch");
	FORGE("rule 8: intermediate not yet valid", c.inter.from = NOW + 1, "cert_not_yet_valid");
	FORGE("rule 8: leaf not yet valid", c.leaf.from = NOW + 1, "cert_not_yet_valid");
	FORGE("rule 8: intermediate expired", c.inter.to = NOW - 1, "cert_expired");
	FORGE("rule 8: leaf expired", c.leaf.to = NOW - 1, "cert_expired");
	FORGE(
	    "rule 8: dates beyond signed 64 bits", c.leaf.from = UINT64_MAX, "cert_not_yet_valid");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_example),
	    cmocka_unit_test(test_fresh_ephemeral),
	    cmocka_unit_test(test_any_flip_is_refused),
	    cmocka_unit_test(test_named_refusals),
	    cmocka_unit_test(test_forged_chains),
	};

	(void)core_warm_up();
	return cmocka_run_group_tests_name("keyd: noise", tests, NULL, NULL);
}
