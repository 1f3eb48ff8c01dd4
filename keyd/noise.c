/* The Noise handshakes as the initiator: XX with the server's certificate chain, and IK with a
 * chain that was verified before (protocol page 01, 3 and 4). */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/pb.h"
#include "common/proto/cert.pb-c.h"
#include "common/proto/wa6.pb-c.h"
#include "keyd/crypto.h"
#include "keyd/curve.h"
#include "keyd/noise.h"

/* WhatsAppLongTerm1, serial 0 (page 01, 4.4) */
const uint8_t noise_root_key[32] = {0x14, 0x23, 0x75, 0x57, 0x4d, 0x0a, 0x58, 0x71, 0x66, 0xaa,
    0xe7, 0x1e, 0xbe, 0x51, 0x64, 0x37, 0xc4, 0xa2, 0x8b, 0x73, 0xe3, 0x69, 0x5c, 0x6c, 0xe1, 0xf7,
    0xf9, 0x54, 0x5d, 0xa8, 0xee, 0x6b};

static const char name_xx[32] = "Noise_XX_25519_AESGCM_SHA256"; /* and four NUL bytes, as IK */
static const char name_ik[32] = "Noise_IK_25519_AESGCM_SHA256";
static const char name_fallback[] = "Noise_XXfallback_25519_AESGCM_SHA256";
static const uint8_t prologue[4] = {'W', 'A', 6, 3};

static void
mix_hash(struct noise_state *s, const void *data, size_t len)
{
	const struct crypto_part parts[2] = {{s->h, 32}, {data, len}};

	crypto_sha256(parts, 2, s->h);
}

/* A name of 32 bytes is used as it is, a longer one is hashed. */
static void
start(struct noise_state *s, const char *name, size_t len)
{
	const struct crypto_part part = {name, len};

	if (len == 32)
		memcpy(s->h, name, 32);
	else
		crypto_sha256(&part, 1, s->h);
	memcpy(s->ck, s->h, 32);
	s->n = 0;
	mix_hash(s, prologue, sizeof(prologue));
}

static void
mix_key(struct noise_state *s, const uint8_t ikm[32])
{
	uint8_t o[64];

	crypto_hkdf(s->ck, 32, ikm, 32, "", o, sizeof(o));
	memcpy(s->ck, o, 32);
	memcpy(s->k, o + 32, 32);
	s->n = 0;
	sodium_memzero(o, sizeof(o));
}

static int
mix_shared(struct noise_state *s, const uint8_t priv[32], const uint8_t pub[32])
{
	uint8_t shared[32];
	int ok = curve_shared(priv, pub, shared);

	if (ok == 0)
		mix_key(s, shared);
	sodium_memzero(shared, sizeof(shared));
	return ok;
}

static void
next_iv(struct noise_state *s, uint8_t iv[12])
{
	memset(iv, 0, 12);
	iv[10] = (uint8_t)(s->n >> 8); /* a handshake uses 0 and 1 */
	iv[11] = (uint8_t)s->n++;
}

static void
seal(struct noise_state *s, const void *in, size_t len, uint8_t *out)
{
	uint8_t iv[12];

	next_iv(s, iv);
	crypto_gcm_seal(s->k, iv, s->h, 32, in, len, out);
	mix_hash(s, out, len + CRYPTO_TAG);
}

static int
open_sealed(struct noise_state *s, const ProtobufCBinaryData *in, uint8_t *out)
{
	uint8_t iv[12];

	next_iv(s, iv);
	if (crypto_gcm_open(s->k, iv, s->h, 32, in->data, in->len, out) == -1)
		return -1;
	mix_hash(s, in->data, in->len);
	return 0;
}

/* The two ciphertexts of an IK hello or of a finish: our static key, and, when the secret of priv
 * and pub is mixed in, the payload. */
static int
seal_both(struct noise_state *s, const uint8_t s_pub[32], const uint8_t priv[32],
    const uint8_t pub[32], const uint8_t *payload, size_t len, uint8_t sealed_static[48],
    struct buf *sealed)
{
	uint8_t *room;

	seal(s, s_pub, 32, sealed_static);
	if (mix_shared(s, priv, pub) == -1 ||
	    (room = buf_reserve(sealed, len + CRYPTO_TAG)) == NULL)
		return -1;
	seal(s, payload, len, room);
	return 0;
}

int
noise_begin(
    struct noise_hello *n, const uint8_t e_priv[32], const struct noise_ik *ik, struct buf *out)
{
	Wa6__HandshakeMessage m = WA6__HANDSHAKE_MESSAGE__INIT;
	Wa6__HandshakeMessage__ClientHello hello = WA6__HANDSHAKE_MESSAGE__CLIENT_HELLO__INIT;
	uint8_t sealed_static[32 + CRYPTO_TAG];
	struct buf sealed = BUF_INIT;
	int ok = -1;

	if (e_priv != NULL) {
		memcpy(n->e_priv, e_priv, 32);
		curve_public(n->e_priv, n->e_pub);
	} else {
		curve_pair(n->e_priv, n->e_pub);
	}
	hello.has_ephemeral = 1;
	hello.ephemeral = pb_bytes(n->e_pub, 32);
	m.client_hello = &hello;
	n->ik = ik != NULL;
	if (ik != NULL) {
		start(&n->at, name_ik, sizeof(name_ik));
		mix_hash(&n->at, ik->rs, 32);
		mix_hash(&n->at, n->e_pub, 32);
		if (mix_shared(&n->at, n->e_priv, ik->rs) == -1 ||
		    seal_both(&n->at, ik->s_pub, ik->s_priv, ik->rs, ik->payload, ik->payload_len,
			sealed_static, &sealed) == -1)
			goto done;
		hello.has_static_ = hello.has_payload = 1;
		hello.static_ = pb_bytes(sealed_static, sizeof(sealed_static));
		hello.payload = pb_bytes(sealed.data, sealed.len);
	}
	ok = pb_put(&m.base, out);
done:
	buf_clear(&sealed);
	return ok;
}

/* ---------------------------------------------------------------- certificates */

typedef Cert__CertChain__NoiseCertificate Certificate;
typedef Cert__CertChain__NoiseCertificate__Details Details;

static int
certificate_open(const Certificate *c, struct pb_arena *a, Details **d)
{
	if (c == NULL || !c->has_details || !c->has_signature || c->signature.len != 64)
		return -1;
	*d = pb_unpack(&cert__cert_chain__noise_certificate__details__descriptor, c->details.data,
	    c->details.len, a, 0, NULL);
	return *d == NULL ? -1 : 0;
}

static const char *
certificate_dates(const Details *d, int64_t now)
{
	if (now < 0 || (uint64_t)now < d->not_before)
		return "cert_not_yet_valid";
	if ((uint64_t)now > d->not_after)
		return "cert_expired";
	return NULL;
}

static void
chain_set(struct noise_chain *c, const uint8_t root[32], const Details *leaf, const Details *inter)
{
	uint64_t from = leaf->not_before > inter->not_before ? leaf->not_before : inter->not_before;
	uint64_t to = leaf->not_after < inter->not_after ? leaf->not_after : inter->not_after;

	memcpy(c->root, root, 32);
	memcpy(c->rs, leaf->key.data, 32);
	c->from = (int64_t)from; /* not after now */
	c->to = to > INT64_MAX ? INT64_MAX : (int64_t)to;
}

static const char *
check_chain(const uint8_t *chain, size_t len, const uint8_t rs[32], const uint8_t root[32],
    int64_t now, struct noise_chain *out, struct pb_arena *a)
{
	const Cert__CertChain *c = pb_unpack(&cert__cert_chain__descriptor, chain, len, a, 0, NULL);
	Details *leaf, *inter;
	const char *why;

	if (c == NULL || certificate_open(c->leaf, a, &leaf) == -1 ||
	    certificate_open(c->intermediate, a, &inter) == -1)
		return "cert_malformed"; /* rule 1 */
	if (!curve_check(root, c->intermediate->details.data, c->intermediate->details.len,
		c->intermediate->signature.data))
		return "cert_signature"; /* 2 */
	if (inter->issuer_serial != 0)
		return "cert_issuer"; /* 3: the root's serial */
	if (inter->key.len != 32)
		return "cert_malformed"; /* 4 */
	if (!curve_check(inter->key.data, c->leaf->details.data, c->leaf->details.len,
		c->leaf->signature.data))
		return "cert_signature"; /* 5 */
	if (leaf->issuer_serial != inter->serial)
		return "cert_issuer"; /* 6 */
	if (leaf->key.len != 32 || memcmp(leaf->key.data, rs, 32) != 0)
		return "cert_key_mismatch"; /* 7 */
	if ((why = certificate_dates(inter, now)) != NULL)
		return why; /* 8 */
	if ((why = certificate_dates(leaf, now)) == NULL)
		chain_set(out, root, leaf, inter);
	return why;
}

const char *
noise_check_chain(const uint8_t *chain, size_t len, const uint8_t rs[32], const uint8_t root[32],
    int64_t now, struct noise_chain *out)
{
	struct pb_arena *a = pb_arena_new(4 * NOISE_HELLO_MAX);
	const char *why;

	if (a == NULL)
		return "cert_malformed";
	why = check_chain(chain, len, rs, root, now, out, a);
	pb_arena_free(a);
	return why;
}

int
noise_chain_encode(const struct noise_chain *c, struct buf *out)
{
	buf_put_u8(out, 1);
	buf_put(out, c->root, 32);
	buf_put(out, c->rs, 32);
	buf_put_be64(out, (uint64_t)c->from);
	return buf_put_be64(out, (uint64_t)c->to);
}

int
noise_chain_decode(struct noise_chain *c, const uint8_t *in, size_t len)
{
	if (len != NOISE_CHAIN_LEN || in[0] != 1)
		return -1;
	memcpy(c->root, in + 1, 32);
	memcpy(c->rs, in + 33, 32);
	c->from = (int64_t)buf_be64(in + 65);
	c->to = (int64_t)buf_be64(in + 73);
	return 0;
}

/* ---------------------------------------------------------------- finish */

/* From the server's hello up to its verified certificates. */
static const char *
take_server_hello(struct noise_state *s, const struct noise_hello *n,
    const struct noise_finish_in *in, const Wa6__HandshakeMessage__ServerHello *hello,
    struct noise_chain *verified)
{
	uint8_t rs[32], *chain;
	const char *why;

	mix_hash(s, hello->ephemeral.data, 32);
	if (mix_shared(s, n->e_priv, hello->ephemeral.data) == -1)
		return "noise_malformed"; /* a point of small order */
	if (open_sealed(s, &hello->static_, rs) == -1)
		return "noise_decrypt";
	if (mix_shared(s, n->e_priv, rs) == -1)
		return "noise_malformed";
	if ((chain = malloc(hello->payload.len)) == NULL)
		return "noise_malformed";
	if (open_sealed(s, &hello->payload, chain) == -1)
		why = "noise_decrypt";
	else
		why = noise_check_chain(
		    chain, hello->payload.len - CRYPTO_TAG, rs, in->root, in->now, verified);
	free(chain); /* not secret */
	return why;
}

/* The server took the IK hello: by this it proves that it has the key that the kept chain names. */
static const char *
take_ik_answer(struct noise_state *s, const struct noise_hello *n, const struct noise_finish_in *in,
    const Wa6__HandshakeMessage__ServerHello *hello)
{
	uint8_t *plain;
	int ok;

	mix_hash(s, hello->ephemeral.data, 32);
	if (mix_shared(s, n->e_priv, hello->ephemeral.data) == -1 ||
	    mix_shared(s, in->s_priv, hello->ephemeral.data) == -1 ||
	    (plain = malloc(hello->payload.len)) == NULL)
		return "noise_malformed";
	ok = open_sealed(s, &hello->payload, plain);
	free(plain); /* its chain, which is verified already */
	return ok == 0 ? NULL : "noise_decrypt";
}

static int
make_client_finish(
    struct noise_state *s, const struct noise_finish_in *in, const uint8_t re[32], struct buf *out)
{
	Wa6__HandshakeMessage m = WA6__HANDSHAKE_MESSAGE__INIT;
	Wa6__HandshakeMessage__ClientFinish finish = WA6__HANDSHAKE_MESSAGE__CLIENT_FINISH__INIT;
	uint8_t sealed_static[32 + CRYPTO_TAG];
	struct buf sealed = BUF_INIT;
	int ok = -1;

	if (seal_both(s, in->s_pub, in->s_priv, re, in->payload, in->payload_len, sealed_static,
		&sealed) == 0) {
		finish.has_static_ = finish.has_payload = 1;
		finish.static_ = pb_bytes(sealed_static, sizeof(sealed_static));
		finish.payload = pb_bytes(sealed.data, sealed.len);
		m.client_finish = &finish;
		ok = pb_put(&m.base, out);
	}
	buf_clear(&sealed);
	return ok;
}

/* All that comes after "ephemeral" in the answer to an XX hello, or to an IK hello that was
 * refused. */
static const char *
finish_xx(struct noise_state *s, const struct noise_hello *n, const struct noise_finish_in *in,
    const Wa6__HandshakeMessage__ServerHello *hello, struct buf *out, struct noise_chain *chain)
{
	const char *why;

	if (hello->static_.len != 32 + CRYPTO_TAG || hello->payload.len <= CRYPTO_TAG)
		return "noise_malformed";
	mix_hash(s, n->e_pub, 32);
	if ((why = take_server_hello(s, n, in, hello, chain)) != NULL)
		return why;
	return make_client_finish(s, in, hello->ephemeral.data, out) == 0 ? NULL
									  : "noise_malformed";
}

static const char *
finish_with(struct noise_state *s, struct noise_hello *n, const struct noise_finish_in *in,
    struct buf *out, uint8_t tx[32], uint8_t rx[32], struct noise_chain *chain, struct pb_arena *a)
{
	const Wa6__HandshakeMessage *m;
	const Wa6__HandshakeMessage__ServerHello *hello;
	uint8_t keys[64];
	const char *why;

	m = pb_unpack(&wa6__handshake_message__descriptor, in->server_hello, in->server_hello_len,
	    a, 0, NULL);
	if (m == NULL || (hello = m->server_hello) == NULL || !hello->has_ephemeral ||
	    !hello->has_payload || hello->ephemeral.len != 32 || hello->payload.len < CRYPTO_TAG ||
	    (!hello->has_static_ && !n->ik))
		return "noise_malformed";
	if (!hello->has_static_) {
		*s = n->at;
		why = take_ik_answer(s, n, in, hello);
	} else {
		if (n->ik)
			start(s, name_fallback, sizeof(name_fallback) - 1);
		else
			start(s, name_xx, sizeof(name_xx));
		n->ik = 0;
		why = finish_xx(s, n, in, hello, out, chain);
	}
	if (why != NULL)
		return why;
	crypto_hkdf(s->ck, 32, NULL, 0, "", keys, sizeof(keys));
	memcpy(tx, keys, 32);
	memcpy(rx, keys + 32, 32);
	sodium_memzero(keys, sizeof(keys));
	return NULL;
}

const char *
noise_finish(struct noise_hello *n, const struct noise_finish_in *in, struct buf *out,
    uint8_t tx[32], uint8_t rx[32], struct noise_chain *chain)
{
	struct noise_state s = {{0}, {0}, {0}, 0};
	struct pb_arena *a;
	const char *why = "noise_malformed";

	chain->to = 0;
	if (in->server_hello_len > NOISE_HELLO_MAX || in->payload_len > NOISE_PAYLOAD_MAX)
		return why;
	if ((a = pb_arena_new(8 * NOISE_HELLO_MAX)) == NULL)
		return why;
	why = finish_with(&s, n, in, out, tx, rx, chain, a);
	pb_arena_free(a);
	sodium_memzero(&s, sizeof(s));
	return why;
}
