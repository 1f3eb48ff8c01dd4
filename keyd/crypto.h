/* The symmetric primitives: hashes from libsodium, ciphers from OpenSSL, fetched once before the
 * process is confined. */
#ifndef WARD_CRYPTO_H
#define WARD_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#define CRYPTO_TAG 16 /* of AES-256-GCM */

/* Fetch algorithms and run a known-answer test of each. Dies if one is missing or wrong. */
void crypto_warm_up(void);

/* A piece of a message that is hashed or authenticated as one. */
struct crypto_part {
	const void *data;
	size_t len;
};

void crypto_sha256(const struct crypto_part *parts, size_t nparts, uint8_t out[32]);
void crypto_hmac256(const uint8_t *key, size_t keylen, const struct crypto_part *parts,
    size_t nparts, uint8_t out[32]);

/* RFC 5869 with SHA-256. salt NULL = 32 zero bytes. outlen at most 64. */
void crypto_hkdf(const uint8_t *salt, size_t saltlen, const uint8_t *ikm, size_t ikmlen,
    const char *info, uint8_t *out, size_t outlen);
void crypto_pbkdf2(
    const char *text, size_t len, const uint8_t salt[32], unsigned rounds, uint8_t out[32]);

/* AES-256-GCM. seal writes len + CRYPTO_TAG bytes. open takes the tag in len, writes len -
 * CRYPTO_TAG and returns -1, with nothing usable in out, if the tag is wrong. */
void crypto_gcm_seal(const uint8_t key[32], const uint8_t iv[12], const void *aad, size_t aadlen,
    const void *in, size_t len, uint8_t *out);
int crypto_gcm_open(const uint8_t key[32], const uint8_t iv[12], const void *aad, size_t aadlen,
    const void *in, size_t len, uint8_t *out);

/* AES-256-CTR, the whole iv is the counter, big-endian. */
void crypto_ctr(
    const uint8_t key[32], const uint8_t iv[16], const void *in, size_t len, uint8_t *out);
/* AES-256-CBC with PKCS#7. Room in out: len + 16. Returns the length written, -1 on bad padding. */
int64_t crypto_cbc(int encrypt, const uint8_t key[32], const uint8_t iv[16], const void *in,
    size_t len, uint8_t *out);

#endif
