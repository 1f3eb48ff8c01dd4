/* The responder's side of the Noise handshake: XX, accepted IK, and the XX fallback. */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "common/pb.h"
#include "common/proto/cert.pb-c.h"
#include "common/proto/wa6.pb-c.h"
#include "tests/sim/crypt.h"
#include "tests/sim/noise_server.h"
#include "tests/sim/rng.h"

#define NAME_XX       "Noise_XX_25519_AESGCM_SHA256\0\0\0\0"
#define NAME_IK       "Noise_IK_25519_AESGCM_SHA256\0\0\0\0"
#define NAME_FALLBACK "Noise_XXfallback_25519_AESGCM_SHA256"
#define ARENA         (256 * 1024)

static const uint8_t prologue[4] = {0x57, 0x41, 6, 3};
static const char *const forgeries[] = {"none", "random_signatures", "short_signatures", "leaf_key",
    "intermediate_issuer", "leaf_issuer", "expired", "not_yet", "wrong_root", "no_static",
    "no_payload", "no_ephemeral", "bad_tag", "ik_refused", "ik_garbled", "silent", "close"};

int
noise_forgery_parse(const char *name)
{
	for (size_t i = 0; i < sizeof(forgeries) / sizeof(forgeries[0]); i++)
		if (strcmp(name, forgeries[i]) == 0)
			return (int)i;
	return -1;
}

const char *
noise_forgery_name(int forgery)
{
	return forgeries[forgery];
}

void
noise_identity_new(struct noise_identity *id)
{
	crypt_keypair(id->root_priv, id->root_pub);
	crypt_keypair(id->mid_priv, id->mid_pub);
	crypt_keypair(id->static_priv, id->static_pub);
	id->mid_serial = 1;
	id->leaf_serial = 2;
	id->not_before = id->not_after = 0;
}

/* --- the symmetric state --- */

static void
start(struct noise *s, const char *name32)
{
	memcpy(s->h, name32, 32);
	memcpy(s->ck, s->h, 32);
	memcpy(s->k, s->h, 32);
	s->n = 0;
}

static void
mix_hash(struct noise *s, const void *data, size_t len)
{
	crypto_hash_sha256_state st;

	crypto_hash_sha256_init(&st);
	crypto_hash_sha256_update(&st, s->h, 32);
	crypto_hash_sha256_update(&st, data, len);
	crypto_hash_sha256_final(&st, s->h);
}

static int
mix_dh(struct noise *s, const uint8_t priv[32], const uint8_t pub[32])
{
	uint8_t shared[32], out[64];

	if (crypt_x25519(shared, priv, pub) != 0)
		return -1;
	crypt_hkdf(s->ck, 32, shared, 32, NULL, 0, out, 64);
	memcpy(s->ck, out, 32);
	memcpy(s->k, out + 32, 32);
	s->n = 0;
	sodium_memzero(shared, sizeof(shared));
	sodium_memzero(out, sizeof(out));
	return 0;
}

static void
iv_of(uint32_t n, uint8_t iv[12])
{
	memset(iv, 0, 12);
	for (int i = 0; i < 4; i++)
		iv[8 + i] = (uint8_t)(n >> (8 * (3 - i)));
}

/* Appends the ciphertext to out (len + 16 bytes). */
static int
seal(struct noise *s, const void *in, size_t len, struct buf *out)
{
	uint8_t iv[12], *p = buf_reserve(out, len + TAG_LEN);

	if (p == NULL)
		return -1;
	iv_of(s->n++, iv);
	crypt_gcm_seal(s->k, iv, s->h, 32, in, len, p);
	mix_hash(s, p, len + TAG_LEN);
	return 0;
}

static int
open_sealed(struct noise *s, const ProtobufCBinaryData *in, struct buf *out)
{
	uint8_t iv[12], *p;

	if (in->len < TAG_LEN || (p = buf_reserve(out, in->len - TAG_LEN)) == NULL)
		return -1;
	iv_of(s->n, iv);
	if (crypt_gcm_open(s->k, iv, s->h, 32, in->data, in->len, p) != 0)
		return -1;
	s->n++;
	mix_hash(s, in->data, in->len);
	return 0;
}

/* --- the certificate chain --- */

static void
put_cert(const Cert__CertChain__NoiseCertificate__Details *d, const uint8_t signer[32], int forgery,
    Cert__CertChain__NoiseCertificate *out)
{
	size_t len;
	uint8_t *details = pb_pack(&d->base, &len), *sig = calloc(1, SIG_LEN);

	if (details == NULL || sig == NULL)
		fatal("certificate");
	if (forgery == NOISE_RANDOM_SIGNATURES)
		rng_bytes(sig, SIG_LEN);
	else
		crypt_sign(signer, details, len, sig);
	out->has_details = out->has_signature = 1;
	out->details = (ProtobufCBinaryData){len, details};
	out->signature =
	    (ProtobufCBinaryData){forgery == NOISE_SHORT_SIGNATURES ? SIG_LEN - 1 : SIG_LEN, sig};
}

void
noise_cert_chain(const struct noise_identity *id, int forgery, int64_t now, struct buf *out)
{
	Cert__CertChain chain = CERT__CERT_CHAIN__INIT;
	Cert__CertChain__NoiseCertificate leaf = CERT__CERT_CHAIN__NOISE_CERTIFICATE__INIT,
					  mid = leaf;
	Cert__CertChain__NoiseCertificate__Details
	    ld = CERT__CERT_CHAIN__NOISE_CERTIFICATE__DETAILS__INIT,
	    md = ld;
	uint8_t mid_pub[32], leaf_pub[32], other_priv[32], other_pub[32], *bytes;
	size_t len;

	if (forgery != NOISE_HONEST)
		crypt_keypair(other_priv, other_pub);
	memcpy(mid_pub, id->mid_pub, 32);
	memcpy(leaf_pub, forgery == NOISE_LEAF_KEY ? other_pub : id->static_pub, 32);
	md.has_serial = md.has_issuer_serial = md.has_key = md.has_not_before = md.has_not_after =
	    1;
	ld.has_serial = ld.has_issuer_serial = ld.has_key = ld.has_not_before = ld.has_not_after =
	    1;
	md.serial = id->mid_serial;
	md.issuer_serial = forgery == NOISE_MID_ISSUER ? 7 : 0;
	md.key = (ProtobufCBinaryData){32, mid_pub};
	ld.serial = id->leaf_serial;
	ld.issuer_serial = forgery == NOISE_LEAF_ISSUER ? 9 : id->mid_serial;
	ld.key = (ProtobufCBinaryData){32, leaf_pub};
	ld.not_before = md.not_before =
	    (uint64_t)(id->not_before != 0 ? id->not_before : now - 86400);
	ld.not_after = md.not_after =
	    (uint64_t)(id->not_after != 0 ? id->not_after : now + 30 * 86400);
	if (forgery == NOISE_EXPIRED)
		ld.not_after = md.not_after = (uint64_t)(now - 3600);
	if (forgery == NOISE_NOT_YET)
		ld.not_before = md.not_before = (uint64_t)(now + 3600);
	put_cert(&md, forgery == NOISE_WRONG_ROOT ? other_priv : id->root_priv, forgery, &mid);
	put_cert(&ld, id->mid_priv, forgery, &leaf);
	chain.leaf = &leaf;
	chain.intermediate = &mid;
	if ((bytes = pb_pack(&chain.base, &len)) == NULL || buf_put(out, bytes, len) != 0)
		fatal("certificate chain");
	free(bytes);
	free(leaf.details.data);
	free(leaf.signature.data);
	free(mid.details.data);
	free(mid.signature.data);
}

/* --- the messages --- */

static int
put_hello(struct buf *hello, const uint8_t e_pub[32], const struct buf *rs, const struct buf *cert,
    int forgery)
{
	Wa6__HandshakeMessage m = WA6__HANDSHAKE_MESSAGE__INIT;
	Wa6__HandshakeMessage__ServerHello sh = WA6__HANDSHAKE_MESSAGE__SERVER_HELLO__INIT;
	uint8_t e[32], *bytes;
	size_t len;
	int r;

	memcpy(e, e_pub, 32);
	if (forgery == NOISE_BAD_TAG || forgery == NOISE_IK_GARBLED)
		cert->data[cert->len - 1] ^= 1;
	sh.has_ephemeral = forgery != NOISE_NO_EPHEMERAL;
	sh.ephemeral = (ProtobufCBinaryData){32, e};
	sh.has_static_ = rs->len > 0 && forgery != NOISE_NO_STATIC;
	sh.static_ = (ProtobufCBinaryData){rs->len, rs->data};
	sh.has_payload = forgery != NOISE_NO_PAYLOAD;
	sh.payload = (ProtobufCBinaryData){cert->len, cert->data};
	m.server_hello = &sh;
	if ((bytes = pb_pack(&m.base, &len)) == NULL)
		return -1;
	r = buf_put(hello, bytes, len);
	free(bytes);
	return r;
}

/* e, ee, static, es, certificate: the responder's half of XX, from the client's ephemeral on. */
static int
xx_answer(struct noise *s, int forgery, int64_t now, struct buf *hello)
{
	struct buf rs = BUF_INIT, chain = BUF_INIT, cert = BUF_INIT;
	uint8_t e_pub[32];
	int r = -1;

	crypt_public(s->e_priv, e_pub);
	mix_hash(s, e_pub, 32);
	if (mix_dh(s, s->e_priv, s->re) != 0 || seal(s, s->id->static_pub, 32, &rs) != 0 ||
	    mix_dh(s, s->id->static_priv, s->re) != 0)
		goto done;
	noise_cert_chain(s->id, forgery, now, &chain);
	if (seal(s, chain.data, chain.len, &cert) == 0)
		r = put_hello(hello, e_pub, &rs, &cert, forgery);
done:
	buf_clear(&rs);
	buf_clear(&chain);
	buf_clear(&cert);
	return r;
}

/* The client knew our static key and sent everything at once. 0, or -1: fall back. */
static int
ik_answer(struct noise *s, const Wa6__HandshakeMessage__ClientHello *ch, int forgery, int64_t now,
    struct buf *hello, struct buf *payload)
{
	struct buf rs = BUF_INIT, chain = BUF_INIT, cert = BUF_INIT, none = BUF_INIT;
	uint8_t e_pub[32];
	int r = -1;

	start(s, NAME_IK);
	mix_hash(s, prologue, sizeof(prologue));
	mix_hash(s, s->id->static_pub, 32);
	mix_hash(s, s->re, 32);
	if (mix_dh(s, s->id->static_priv, s->re) != 0 || open_sealed(s, &ch->static_, &rs) != 0 ||
	    rs.len != 32)
		goto done;
	memcpy(s->rs, rs.data, 32);
	if (mix_dh(s, s->id->static_priv, s->rs) != 0 || open_sealed(s, &ch->payload, payload) != 0)
		goto done;
	crypt_public(s->e_priv, e_pub);
	mix_hash(s, e_pub, 32);
	if (mix_dh(s, s->e_priv, s->re) != 0 || mix_dh(s, s->e_priv, s->rs) != 0)
		goto done;
	noise_cert_chain(s->id, NOISE_HONEST, now, &chain);
	if (seal(s, chain.data, chain.len, &cert) == 0)
		r = put_hello(hello, e_pub, &none, &cert, forgery);
done:
	if (r != 0)
		buf_reset(payload);
	buf_clear(&rs);
	buf_clear(&chain);
	buf_clear(&cert);
	return r;
}

static void
start_fallback(struct noise *s)
{
	uint8_t name[32];

	crypt_sha256(NAME_FALLBACK, strlen(NAME_FALLBACK), name);
	start(s, (const char *)name);
	mix_hash(s, prologue, sizeof(prologue));
	mix_hash(s, s->re, 32);
}

int
noise_hello(struct noise *s, const struct noise_identity *id, const uint8_t e_priv[32],
    const void *frame, size_t len, int forgery, int64_t now, struct buf *hello, struct buf *payload)
{
	struct pb_arena *a = pb_arena_new(ARENA);
	Wa6__HandshakeMessage *m;
	Wa6__HandshakeMessage__ClientHello *ch;
	int r = -1;

	memset(s, 0, sizeof(*s));
	s->id = id;
	memcpy(s->e_priv, e_priv, 32);
	m = pb_unpack(&wa6__handshake_message__descriptor, frame, len, a, 0, NULL);
	if (m == NULL || (ch = m->client_hello) == NULL || !ch->has_ephemeral ||
	    ch->ephemeral.len != 32)
		goto done;
	if (forgery == NOISE_CLOSE || forgery == NOISE_SILENT) {
		r = forgery == NOISE_CLOSE ? -1 : -2;
		goto done;
	}
	memcpy(s->re, ch->ephemeral.data, 32);
	if (ch->has_static_ && ch->has_payload) {
		if (forgery != NOISE_IK_REFUSED &&
		    ik_answer(s, ch, forgery, now, hello, payload) == 0) {
			s->ik = 1;
			r = 1;
			goto done;
		}
		start_fallback(s);
		s->fallback = 1;
	} else {
		start(s, NAME_XX);
		mix_hash(s, prologue, sizeof(prologue));
		mix_hash(s, s->re, 32);
	}
	r = xx_answer(s, forgery == NOISE_IK_GARBLED ? NOISE_HONEST : forgery, now, hello);
done:
	pb_arena_free(a);
	return r;
}

int
noise_finish(struct noise *s, const void *frame, size_t len, struct buf *payload)
{
	struct pb_arena *a = pb_arena_new(ARENA);
	struct buf rs = BUF_INIT;
	Wa6__HandshakeMessage *m;
	Wa6__HandshakeMessage__ClientFinish *cf;
	int r = -1;

	m = pb_unpack(&wa6__handshake_message__descriptor, frame, len, a, 0, NULL);
	if (m == NULL || (cf = m->client_finish) == NULL || !cf->has_static_ || !cf->has_payload)
		goto done;
	if (open_sealed(s, &cf->static_, &rs) != 0 || rs.len != 32)
		goto done;
	memcpy(s->rs, rs.data, 32);
	if (mix_dh(s, s->e_priv, s->rs) != 0)
		goto done;
	r = open_sealed(s, &cf->payload, payload);
done:
	buf_clear(&rs);
	pb_arena_free(a);
	return r;
}

void
noise_split(struct noise *s, uint8_t rx[32], uint8_t tx[32])
{
	uint8_t out[64];

	crypt_hkdf(s->ck, 32, NULL, 0, NULL, 0, out, 64);
	memcpy(rx, out, 32);
	memcpy(tx, out + 32, 32);
	sodium_memzero(out, sizeof(out));
	sodium_memzero(s->e_priv, sizeof(s->e_priv));
	sodium_memzero(s->ck, sizeof(s->ck));
	sodium_memzero(s->k, sizeof(s->k));
}
