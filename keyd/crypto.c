/* The symmetric primitives: hashes from libsodium, ciphers from OpenSSL, fetched once before the
 * process is confined. */
#include <limits.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sodium.h>

#include "common/log.h"
#include "keyd/crypto.h"

static EVP_MD *sha256; /* of PBKDF2 */
static EVP_CIPHER *gcm, *ctr, *cbc;
static EVP_CIPHER_CTX *cipher_ctx; /* one thread, one cipher at a time */

/* Calls that only fail when memory or the library is broken: there is nothing to go on with. */
static void
must(int ok, const char *what)
{
	if (!ok)
		fatalx("OpenSSL failed in %s", what);
}

static void
known_answers(void)
{
	/* RFC 4231 case 2, RFC 5869 case 3 cut to 32 bytes, and the GCM test of NIST with a zero
	 * key */
	static const uint8_t want_hmac[4] = {0x5b, 0xdc, 0xc1, 0x46};
	static const uint8_t want_hkdf[4] = {0x8d, 0xa4, 0xe7, 0x75};
	static const uint8_t want_gcm[4] = {0xce, 0xa7, 0x40, 0x3d};
	static const uint8_t zero[32] = {0};
	static const struct crypto_part text = {"what do ya want for nothing?", 28};
	uint8_t out[64], back[32];

	crypto_hmac256((const uint8_t *)"Jefe", 4, &text, 1, out);
	must(memcmp(out, want_hmac, 4) == 0, "self-test of HMAC");
	memset(back, 0x0b, 22);
	crypto_hkdf(NULL, 0, back, 22, "", out, 32);
	must(memcmp(out, want_hkdf, 4) == 0, "self-test of HKDF");
	crypto_gcm_seal(zero, zero, NULL, 0, zero, 16, out);
	must(memcmp(out, want_gcm, 4) == 0, "self-test of AES-GCM");
	must(crypto_gcm_open(zero, zero, NULL, 0, out, 32, back) == 0, "self-test of AES-GCM");
	out[20] ^= 1;
	must(crypto_gcm_open(zero, zero, NULL, 0, out, 32, back) == -1, "self-test of AES-GCM");
	must(crypto_cbc(1, zero, zero, zero, 15, out) == 16, "self-test of AES-CBC");
	must(crypto_cbc(0, zero, zero, out, 16, back) == 15, "self-test of AES-CBC");
	crypto_ctr(zero, zero, zero, 16, out); /* block 0 of a zero key and counter */
	must(out[0] == 0xdc && out[1] == 0x95, "self-test of AES-CTR");
	crypto_pbkdf2("password", 8, zero, 1, out); /* also loads what PBKDF2 needs */
}

void
crypto_warm_up(void)
{
	must(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL), "initialisation");
	must((sha256 = EVP_MD_fetch(NULL, "SHA256", NULL)) != NULL, "fetching SHA-256");
	must((gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL)) != NULL, "fetching AES-256-GCM");
	must((ctr = EVP_CIPHER_fetch(NULL, "AES-256-CTR", NULL)) != NULL, "fetching AES-256-CTR");
	must((cbc = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL)) != NULL, "fetching AES-256-CBC");
	must((cipher_ctx = EVP_CIPHER_CTX_new()) != NULL, "a cipher context");
	known_answers();
}

void
crypto_sha256(const struct crypto_part *parts, size_t nparts, uint8_t out[32])
{
	crypto_hash_sha256_state st;
	size_t i;

	crypto_hash_sha256_init(&st);
	for (i = 0; i < nparts; i++)
		crypto_hash_sha256_update(&st, parts[i].data, parts[i].len);
	crypto_hash_sha256_final(&st, out); /* wipes the state */
}

void
crypto_hmac256(const uint8_t *key, size_t keylen, const struct crypto_part *parts, size_t nparts,
    uint8_t out[32])
{
	crypto_auth_hmacsha256_state st;
	size_t i;

	crypto_auth_hmacsha256_init(&st, key, keylen);
	for (i = 0; i < nparts; i++)
		crypto_auth_hmacsha256_update(&st, parts[i].data, parts[i].len);
	crypto_auth_hmacsha256_final(&st, out);
	sodium_memzero(&st, sizeof(st));
}

void
crypto_hkdf(const uint8_t *salt, size_t saltlen, const uint8_t *ikm, size_t ikmlen,
    const char *info, uint8_t *out, size_t outlen)
{
	static const uint8_t zero[32] = {0};
	const struct crypto_part input = {ikm, ikmlen};
	uint8_t prk[32], t[32], n;
	struct crypto_part parts[3];
	size_t take, used = 0;

	if (salt == NULL) {
		salt = zero;
		saltlen = sizeof(zero);
	}
	crypto_hmac256(salt, saltlen, &input, 1, prk);
	for (n = 1; outlen > 0; n++) {
		parts[0] = (struct crypto_part){t, used};
		parts[1] = (struct crypto_part){info, strlen(info)};
		parts[2] = (struct crypto_part){&n, 1};
		crypto_hmac256(prk, sizeof(prk), parts, 3, t);
		used = sizeof(t);
		take = outlen < sizeof(t) ? outlen : sizeof(t);
		memcpy(out, t, take);
		out += take;
		outlen -= take;
	}
	sodium_memzero(prk, sizeof(prk));
	sodium_memzero(t, sizeof(t));
}

void
crypto_pbkdf2(
    const char *text, size_t len, const uint8_t salt[32], unsigned rounds, uint8_t out[32])
{
	must(PKCS5_PBKDF2_HMAC(text, (int)len, salt, 32, (int)rounds, sha256, 32, out), "PBKDF2");
}

/* One run of a cipher over `in`, with data that is authenticated beside it. Returns the length
 * written, -1: OpenSSL refuses it. The caller resets cipher_ctx, which wipes the key. */
static int64_t
run(const EVP_CIPHER *cipher, int encrypt, const uint8_t *key, const uint8_t *iv, const void *aad,
    size_t aadlen, const void *in, size_t len, uint8_t *out, uint8_t *tag)
{
	int n = 0, last = 0;

	if (len >= INT_MAX - 32 || aadlen >= INT_MAX ||
	    !EVP_CipherInit_ex2(cipher_ctx, cipher, key, iv, encrypt, NULL) ||
	    (tag != NULL && !EVP_CipherUpdate(cipher_ctx, NULL, &n, aad, (int)aadlen)) ||
	    !EVP_CipherUpdate(cipher_ctx, out, &n, in, (int)len) ||
	    (tag != NULL && !encrypt &&
		!EVP_CIPHER_CTX_ctrl(cipher_ctx, EVP_CTRL_AEAD_SET_TAG, CRYPTO_TAG, tag)) ||
	    !EVP_CipherFinal_ex(cipher_ctx, out + n, &last) ||
	    (tag != NULL && encrypt &&
		!EVP_CIPHER_CTX_ctrl(cipher_ctx, EVP_CTRL_AEAD_GET_TAG, CRYPTO_TAG, tag)))
		return -1;
	return (int64_t)n + last;
}

void
crypto_gcm_seal(const uint8_t key[32], const uint8_t iv[12], const void *aad, size_t aadlen,
    const void *in, size_t len, uint8_t *out)
{
	must(run(gcm, 1, key, iv, aad, aadlen, in, len, out, out + len) == (int64_t)len, "AES-GCM");
	EVP_CIPHER_CTX_reset(cipher_ctx);
}

int
crypto_gcm_open(const uint8_t key[32], const uint8_t iv[12], const void *aad, size_t aadlen,
    const void *in, size_t len, uint8_t *out)
{
	uint8_t tag[CRYPTO_TAG];
	int ok;

	if (len < CRYPTO_TAG)
		return -1;
	len -= CRYPTO_TAG;
	memcpy(tag, (const uint8_t *)in + len, sizeof(tag));
	ok = run(gcm, 0, key, iv, aad, aadlen, in, len, out, tag) == (int64_t)len;
	EVP_CIPHER_CTX_reset(cipher_ctx);
	if (!ok)
		sodium_memzero(out, len);
	return ok ? 0 : -1;
}

void
crypto_ctr(const uint8_t key[32], const uint8_t iv[16], const void *in, size_t len, uint8_t *out)
{
	must(run(ctr, 1, key, iv, NULL, 0, in, len, out, NULL) == (int64_t)len, "AES-CTR");
	EVP_CIPHER_CTX_reset(cipher_ctx);
}

int64_t
crypto_cbc(int encrypt, const uint8_t key[32], const uint8_t iv[16], const void *in, size_t len,
    uint8_t *out)
{
	int64_t n = run(cbc, encrypt, key, iv, NULL, 0, in, len, out, NULL);

	EVP_CIPHER_CTX_reset(cipher_ctx);
	return n;
}
