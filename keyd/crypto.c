/* The symmetric primitives that keyd takes from OpenSSL, fetched once before the process is
 * confined. */
#include <limits.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sodium.h>

#include "common/log.h"
#include "keyd/crypto.h"

/* Fetching asks the provider store at every call; contexts with the algorithm set are copied
 * instead. */
static EVP_MD *sha256;
static EVP_MAC_CTX *hmac_template;
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
	EVP_MAC *mac;
	char digest[] = "SHA256";
	OSSL_PARAM params[2];

	must(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL), "initialisation");
	must((sha256 = EVP_MD_fetch(NULL, "SHA256", NULL)) != NULL, "fetching SHA-256");
	must((gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL)) != NULL, "fetching AES-256-GCM");
	must((ctr = EVP_CIPHER_fetch(NULL, "AES-256-CTR", NULL)) != NULL, "fetching AES-256-CTR");
	must((cbc = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL)) != NULL, "fetching AES-256-CBC");
	must((cipher_ctx = EVP_CIPHER_CTX_new()) != NULL, "a cipher context");
	must((mac = EVP_MAC_fetch(NULL, "HMAC", NULL)) != NULL, "fetching HMAC");
	must((hmac_template = EVP_MAC_CTX_new(mac)) != NULL, "an HMAC context");
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
	params[1] = OSSL_PARAM_construct_end();
	must(EVP_MAC_CTX_set_params(hmac_template, params), "setting the digest of HMAC");
	EVP_MAC_free(mac);
	known_answers();
}

void
crypto_sha256(const struct crypto_part *parts, size_t nparts, uint8_t out[32])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t i;

	must(ctx != NULL && EVP_DigestInit_ex2(ctx, sha256, NULL), "SHA-256");
	for (i = 0; i < nparts; i++)
		must(EVP_DigestUpdate(ctx, parts[i].data, parts[i].len), "SHA-256");
	must(EVP_DigestFinal_ex(ctx, out, NULL), "SHA-256");
	EVP_MD_CTX_free(ctx);
}

void *
crypto_hmac_begin(const uint8_t *key, size_t keylen)
{
	static const uint8_t none[1] = {0}; /* NULL would mean: keep the key of the template */
	EVP_MAC_CTX *h = EVP_MAC_CTX_dup(hmac_template);

	if (h != NULL && !EVP_MAC_init(h, keylen > 0 ? key : none, keylen, NULL)) {
		EVP_MAC_CTX_free(h);
		h = NULL;
	}
	return h;
}

int
crypto_hmac_add(void *h, const void *data, size_t len)
{
	return EVP_MAC_update(h, data, len) ? 0 : -1;
}

int
crypto_hmac_end(void *h, uint8_t out[32])
{
	size_t len = 0;

	return EVP_MAC_final(h, out, &len, 32) && len == 32 ? 0 : -1;
}

void
crypto_hmac_free(void *h)
{
	EVP_MAC_CTX_free(h); /* cleanses its state; NULL is fine */
}

void
crypto_hmac256(const uint8_t *key, size_t keylen, const struct crypto_part *parts, size_t nparts,
    uint8_t out[32])
{
	void *h = crypto_hmac_begin(key, keylen);
	size_t i;

	must(h != NULL, "HMAC");
	for (i = 0; i < nparts; i++)
		must(crypto_hmac_add(h, parts[i].data, parts[i].len) == 0, "HMAC");
	must(crypto_hmac_end(h, out) == 0, "HMAC");
	crypto_hmac_free(h);
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

void
crypto_gcm_seal(const uint8_t key[32], const uint8_t iv[12], const void *aad, size_t aadlen,
    const void *in, size_t len, uint8_t *out)
{
	int n = 0;

	must(len < INT_MAX && aadlen < INT_MAX, "AES-GCM: length");
	must(EVP_EncryptInit_ex2(cipher_ctx, gcm, key, iv, NULL), "AES-GCM");
	must(EVP_EncryptUpdate(cipher_ctx, NULL, &n, aad, (int)aadlen), "AES-GCM");
	must(EVP_EncryptUpdate(cipher_ctx, out, &n, in, (int)len), "AES-GCM");
	must(EVP_EncryptFinal_ex(cipher_ctx, out + n, &n), "AES-GCM");
	must(EVP_CIPHER_CTX_ctrl(cipher_ctx, EVP_CTRL_AEAD_GET_TAG, CRYPTO_TAG, out + len),
	    "AES-GCM");
	EVP_CIPHER_CTX_reset(cipher_ctx); /* wipes the key */
}

int
crypto_gcm_open(const uint8_t key[32], const uint8_t iv[12], const void *aad, size_t aadlen,
    const void *in, size_t len, uint8_t *out)
{
	uint8_t tag[CRYPTO_TAG];
	const uint8_t *bytes = in;
	int n = 0, ok;

	if (len < CRYPTO_TAG || len >= INT_MAX || aadlen >= INT_MAX)
		return -1;
	len -= CRYPTO_TAG;
	memcpy(tag, bytes + len, sizeof(tag));
	ok = EVP_DecryptInit_ex2(cipher_ctx, gcm, key, iv, NULL) &&
	     EVP_DecryptUpdate(cipher_ctx, NULL, &n, aad, (int)aadlen) &&
	     EVP_DecryptUpdate(cipher_ctx, out, &n, bytes, (int)len) &&
	     EVP_CIPHER_CTX_ctrl(cipher_ctx, EVP_CTRL_AEAD_SET_TAG, CRYPTO_TAG, tag) &&
	     EVP_DecryptFinal_ex(cipher_ctx, out + n, &n) == 1;
	EVP_CIPHER_CTX_reset(cipher_ctx);
	if (!ok)
		sodium_memzero(out, len);
	return ok ? 0 : -1;
}

void
crypto_ctr(const uint8_t key[32], const uint8_t iv[16], const void *in, size_t len, uint8_t *out)
{
	int n = 0;

	must(len < INT_MAX, "AES-CTR: length");
	must(EVP_EncryptInit_ex2(cipher_ctx, ctr, key, iv, NULL), "AES-CTR");
	must(EVP_EncryptUpdate(cipher_ctx, out, &n, in, (int)len), "AES-CTR");
	EVP_CIPHER_CTX_reset(cipher_ctx);
}

int64_t
crypto_cbc(int encrypt, const uint8_t key[32], const uint8_t iv[16], const void *in, size_t len,
    uint8_t *out)
{
	int n = 0, last = 0, ok;

	if (len >= INT_MAX - 32)
		return -1;
	ok = EVP_CipherInit_ex2(cipher_ctx, cbc, key, iv, encrypt, NULL) &&
	     EVP_CipherUpdate(cipher_ctx, out, &n, in, (int)len) &&
	     EVP_CipherFinal_ex(cipher_ctx, out + n, &last);
	EVP_CIPHER_CTX_reset(cipher_ctx);
	return ok ? (int64_t)n + last : -1;
}
