/* The Noise XX handshake as the initiator, with the server's certificate chain (protocol page 01, 3
 * and 4). */
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

static const uint8_t protocol_name[32] = "Noise_XX_25519_AESGCM_SHA256"; /* and four NUL bytes */
static const uint8_t prologue[4] = {'W', 'A', 6, 3};

struct noise {
	uint8_t h[32], ck[32], k[32];
	uint32_t n;
};

static void
mix_hash(struct noise *s, const void *data, size_t len)
{
	const struct crypto_part parts[2] = {{s->h, 32}, {data, len}};

	crypto_sha256(parts, 2, s->h);
}

static void
mix_key(struct noise *s, const uint8_t ikm[32])
{
	uint8_t o[64];

	crypto_hkdf(s->ck, 32, ikm, 32, "", o, sizeof(o));
	memcpy(s->ck, o, 32);
	memcpy(s->k, o + 32, 32);
	s->n = 0;
	sodium_memzero(o, sizeof(o));
}

static int
mix_shared(struct noise *s, const uint8_t priv[32], const uint8_t pub[32])
{
	uint8_t shared[32];
	int ok = curve_shared(priv, pub, shared);

	if (ok == 0)
		mix_key(s, shared);
	sodium_memzero(shared, sizeof(shared));
	return ok;
}

static void
next_iv(struct noise *s, uint8_t iv[12])
{
	memset(iv, 0, 12);
	iv[10] = (uint8_t)(s->n >> 8); /* a handshake uses 0 and 1 */
	iv[11] = (uint8_t)s->n++;
}

static void
seal(struct noise *s, const void *in, size_t len, uint8_t *out)
{
	uint8_t iv[12];

	next_iv(s, iv);
	crypto_gcm_seal(s->k, iv, s->h, 32, in, len, out);
	mix_hash(s, out, len + CRYPTO_TAG);
}

static int
open_sealed(struct noise *s, const ProtobufCBinaryData *in, uint8_t *out)
{
	uint8_t iv[12];

	next_iv(s, iv);
	if (crypto_gcm_open(s->k, iv, s->h, 32, in->data, in->len, out) == -1)
		return -1;
	mix_hash(s, in->data, in->len);
	return 0;
}

int
noise_begin(struct noise_hello *n, const uint8_t e_priv[32], struct buf *out)
{
	Wa6__HandshakeMessage m = WA6__HANDSHAKE_MESSAGE__INIT;
	Wa6__HandshakeMessage__ClientHello hello = WA6__HANDSHAKE_MESSAGE__CLIENT_HELLO__INIT;

	if (e_priv != NULL) {
		memcpy(n->e_priv, e_priv, 32);
		curve_public(n->e_priv, n->e_pub);
	} else {
		curve_pair(n->e_priv, n->e_pub);
	}
	hello.has_ephemeral = 1;
	hello.ephemeral = pb_bytes(n->e_pub, 32);
	m.client_hello = &hello;
	return pb_put(&m.base, out);
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

static const char *
check_chain(const uint8_t *chain, size_t len, const uint8_t rs[32], const uint8_t root[32],
    int64_t now, struct pb_arena *a)
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
	return certificate_dates(leaf, now);
}

const char *
noise_check_chain(
    const uint8_t *chain, size_t len, const uint8_t rs[32], const uint8_t root[32], int64_t now)
{
	struct pb_arena *a = pb_arena_new(4 * NOISE_HELLO_MAX);
	const char *why;

	if (a == NULL)
		return "cert_malformed";
	why = check_chain(chain, len, rs, root, now, a);
	pb_arena_free(a);
	return why;
}

/* ---------------------------------------------------------------- finish */

/* From the server's hello up to its verified certificates. */
static const char *
take_server_hello(struct noise *s, const struct noise_hello *n, const struct noise_finish_in *in,
    const Wa6__HandshakeMessage__ServerHello *hello)
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
		    chain, hello->payload.len - CRYPTO_TAG, rs, in->root, in->now);
	free(chain); /* not secret */
	return why;
}

static int
make_client_finish(
    struct noise *s, const struct noise_finish_in *in, const uint8_t re[32], struct buf *out)
{
	Wa6__HandshakeMessage m = WA6__HANDSHAKE_MESSAGE__INIT;
	Wa6__HandshakeMessage__ClientFinish finish = WA6__HANDSHAKE_MESSAGE__CLIENT_FINISH__INIT;
	uint8_t sealed_static[32 + CRYPTO_TAG];
	struct buf sealed = BUF_INIT;
	uint8_t *room;
	int ok = -1;

	seal(s, in->s_pub, 32, sealed_static);
	if (mix_shared(s, in->s_priv, re) == 0 &&
	    (room = buf_reserve(&sealed, in->payload_len + CRYPTO_TAG)) != NULL) {
		seal(s, in->payload, in->payload_len, room);
		finish.has_static_ = finish.has_payload = 1;
		finish.static_ = pb_bytes(sealed_static, sizeof(sealed_static));
		finish.payload = pb_bytes(sealed.data, sealed.len);
		m.client_finish = &finish;
		ok = pb_put(&m.base, out);
	}
	buf_clear(&sealed);
	return ok;
}

static const char *
finish_with(struct noise *s, const struct noise_hello *n, const struct noise_finish_in *in,
    struct buf *out, uint8_t tx[32], uint8_t rx[32], struct pb_arena *a)
{
	const Wa6__HandshakeMessage *m;
	const Wa6__HandshakeMessage__ServerHello *hello;
	uint8_t keys[64];
	const char *why;

	m = pb_unpack(&wa6__handshake_message__descriptor, in->server_hello, in->server_hello_len,
	    a, 0, NULL);
	if (m == NULL || (hello = m->server_hello) == NULL || !hello->has_ephemeral ||
	    !hello->has_static_ || !hello->has_payload || hello->ephemeral.len != 32 ||
	    hello->static_.len != 32 + CRYPTO_TAG || hello->payload.len <= CRYPTO_TAG)
		return "noise_malformed";
	memcpy(s->h, protocol_name, 32);
	memcpy(s->ck, protocol_name, 32);
	mix_hash(s, prologue, sizeof(prologue));
	mix_hash(s, n->e_pub, 32);
	if ((why = take_server_hello(s, n, in, hello)) != NULL)
		return why;
	if (make_client_finish(s, in, hello->ephemeral.data, out) == -1)
		return "noise_malformed";
	crypto_hkdf(s->ck, 32, NULL, 0, "", keys, sizeof(keys));
	memcpy(tx, keys, 32);
	memcpy(rx, keys + 32, 32);
	sodium_memzero(keys, sizeof(keys));
	return NULL;
}

const char *
noise_finish(const struct noise_hello *n, const struct noise_finish_in *in, struct buf *out,
    uint8_t tx[32], uint8_t rx[32])
{
	struct noise s = {{0}, {0}, {0}, 0};
	struct pb_arena *a;
	const char *why = "noise_malformed";

	if (in->server_hello_len > NOISE_HELLO_MAX || in->payload_len > NOISE_PAYLOAD_MAX)
		return why;
	if ((a = pb_arena_new(8 * NOISE_HELLO_MAX)) == NULL)
		return why;
	why = finish_with(&s, n, in, out, tx, rx, a);
	pb_arena_free(a);
	sodium_memzero(&s, sizeof(s));
	return why;
}
