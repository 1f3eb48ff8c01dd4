/* The simulator's own cryptography, written apart from keyd's so that each checks the other. */
#ifndef SIM_CRYPT_H
#define SIM_CRYPT_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>
#include <signal/signal_protocol.h>

#define KEY_LEN 32
#define SIG_LEN 64
#define TAG_LEN 16

/* Once, at start; fatal if the curve or the linking is wrong. */
void crypt_init(void);
void crypt_fini(void);
/* The libsignal context whose random numbers come from rng.h. */
signal_context *crypt_signal(void);

void crypt_sha256(const void *data, size_t len, uint8_t out[32]);
void crypt_hmac(const void *key, size_t keylen, const void *data, size_t len, uint8_t out[32]);
/* HKDF-SHA256; salt NULL = 32 zero bytes. outlen <= 8160. */
void crypt_hkdf(const void *salt, size_t saltlen, const void *ikm, size_t ikmlen, const void *info,
    size_t infolen, uint8_t *out, size_t outlen);
/* AES-256-GCM; out has len + TAG_LEN bytes. */
void crypt_gcm_seal(const uint8_t key[32], const uint8_t iv[12], const void *aad, size_t aadlen,
    const void *in, size_t len, uint8_t *out);
/* out has len - TAG_LEN bytes. 0, or -1 if it does not authenticate. */
int crypt_gcm_open(const uint8_t key[32], const uint8_t iv[12], const void *aad, size_t aadlen,
    const void *in, size_t len, uint8_t *out);
/* AES-256-CTR, a 16-byte big-endian counter block. */
void crypt_ctr(
    const uint8_t key[32], const uint8_t iv[16], const void *in, size_t len, uint8_t *out);
/* AES-256-CBC with PKCS#7; out has room for len + 16. Returns the length. */
size_t crypt_cbc(
    const uint8_t key[32], const uint8_t iv[16], const void *in, size_t len, uint8_t *out);

/* X25519: a key pair, the public half, the shared secret (-1 if all zeros). */
void crypt_keypair(uint8_t priv[32], uint8_t pub[32]);
void crypt_public(const uint8_t priv[32], uint8_t pub[32]);
int crypt_x25519(uint8_t out[32], const uint8_t priv[32], const uint8_t pub[32]);

/* XEdDSA over X25519 keys (protocol page 01, 4.5). */
void crypt_sign(const uint8_t priv[32], const void *msg, size_t len, uint8_t sig[64]);
int crypt_verify(const uint8_t pub[32], const void *msg, size_t len, const uint8_t sig[64]);

/* One direction of a connection: AES-256-GCM under one key with a counter as nonce. */
struct crypt_stream {
	EVP_CIPHER_CTX *ctx;
	uint32_t n;
};
int crypt_stream_init(struct crypt_stream *s, const uint8_t key[32], int seal);
void crypt_stream_clear(struct crypt_stream *s);
void crypt_stream_seal(struct crypt_stream *s, const void *in, size_t len, uint8_t *out);
int crypt_stream_open(struct crypt_stream *s, const void *in, size_t len, uint8_t *out);

/* Standard base64 with padding, into a malloc'd string; and back, strict: returns the length or -1.
 */
char *crypt_b64(const void *data, size_t len);
int crypt_unb64(const char *text, size_t textlen, uint8_t *out, size_t outmax);
void crypt_hex(const void *data, size_t len, char *out);        /* out: 2 * len + 1 */
int crypt_unhex(const char *text, uint8_t *out, size_t outlen); /* exactly outlen bytes */

#endif
