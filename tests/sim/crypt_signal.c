/* libsignal-protocol-c's crypto provider on OpenSSL, with random numbers from the seed. */
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <sodium.h>

#include "common/log.h"
#include "tests/sim/crypt_signal.h"
#include "tests/sim/rng.h"

static EVP_MAC *hmac_alg;
static EVP_MAC_CTX *hmac_template;
static unsigned long curve_calls;

/* libsignal calls this name through the dynamic linker; libsodium's is four times as fast. */
int curve25519_donna(uint8_t *out, const uint8_t *scalar, const uint8_t *point)
    __attribute__((visibility("default")));
int
curve25519_donna(uint8_t *out, const uint8_t *scalar, const uint8_t *point)
{
	static const uint8_t base_point[32] = {9};

	curve_calls++;
	if (memcmp(point, base_point, sizeof(base_point)) == 0)
		return crypto_scalarmult_curve25519_base(out, scalar);
	if (crypto_scalarmult_curve25519(out, scalar, point) != 0)
		memset(out, 0, 32);
	return 0;
}

unsigned long
crypt_signal_curve_calls(void)
{
	return curve_calls;
}

static int
cb_random(uint8_t *data, size_t len, void *user)
{
	(void)user;
	rng_bytes(data, len);
	return 0;
}

static int
cb_hmac_init(void **ctx, const uint8_t *key, size_t len, void *user)
{
	EVP_MAC_CTX *c = EVP_MAC_CTX_dup(hmac_template);

	(void)user;
	if (c == NULL || EVP_MAC_init(c, key, len, NULL) != 1) {
		EVP_MAC_CTX_free(c);
		return SG_ERR_NOMEM;
	}
	*ctx = c;
	return 0;
}

static int
cb_hmac_update(void *ctx, const uint8_t *data, size_t len, void *user)
{
	(void)user;
	return EVP_MAC_update(ctx, data, len) == 1 ? 0 : SG_ERR_UNKNOWN;
}

static int
cb_hmac_final(void *ctx, signal_buffer **out, void *user)
{
	uint8_t mac[32];
	size_t n = sizeof(mac);

	(void)user;
	if (EVP_MAC_final(ctx, mac, &n, sizeof(mac)) != 1)
		return SG_ERR_UNKNOWN;
	*out = signal_buffer_create(mac, n);
	return *out == NULL ? SG_ERR_NOMEM : 0;
}

static void
cb_hmac_cleanup(void *ctx, void *user)
{
	(void)user;
	EVP_MAC_CTX_free(ctx);
}

static int
cb_sha512_init(void **ctx, void *user)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();

	(void)user;
	if (c == NULL || EVP_DigestInit_ex(c, EVP_sha512(), NULL) != 1) {
		EVP_MD_CTX_free(c);
		return SG_ERR_NOMEM;
	}
	*ctx = c;
	return 0;
}

static int
cb_sha512_update(void *ctx, const uint8_t *data, size_t len, void *user)
{
	(void)user;
	return EVP_DigestUpdate(ctx, data, len) == 1 ? 0 : SG_ERR_UNKNOWN;
}

static int
cb_sha512_final(void *ctx, signal_buffer **out, void *user)
{
	uint8_t md[64];

	(void)user;
	if (EVP_DigestFinal_ex(ctx, md, NULL) != 1 ||
	    EVP_DigestInit_ex(ctx, EVP_sha512(), NULL) != 1)
		return SG_ERR_UNKNOWN;
	*out = signal_buffer_create(md, sizeof(md));
	return *out == NULL ? SG_ERR_NOMEM : 0;
}

static void
cb_sha512_cleanup(void *ctx, void *user)
{
	(void)user;
	EVP_MD_CTX_free(ctx);
}

static int
run_cipher(int encrypt, signal_buffer **out, int cipher, const uint8_t *key, size_t keylen,
    const uint8_t *iv, size_t ivlen, const uint8_t *in, size_t len)
{
	const EVP_CIPHER *alg = cipher == SG_CIPHER_AES_CBC_PKCS5       ? EVP_aes_256_cbc()
				: cipher == SG_CIPHER_AES_CTR_NOPADDING ? EVP_aes_256_ctr()
									: NULL;
	EVP_CIPHER_CTX *c = NULL;
	uint8_t *buf = NULL;
	int n = 0, m = 0, r = SG_ERR_UNKNOWN;

	if (alg == NULL || keylen != 32 || ivlen != 16 || len > 0x7fffff00)
		return SG_ERR_INVAL;
	if ((c = EVP_CIPHER_CTX_new()) == NULL || (buf = malloc(len + 32)) == NULL)
		goto done;
	if (EVP_CipherInit_ex(c, alg, NULL, key, iv, encrypt) != 1 ||
	    EVP_CipherUpdate(c, buf, &n, in, (int)len) != 1 ||
	    EVP_CipherFinal_ex(c, buf + n, &m) != 1)
		goto done;
	*out = signal_buffer_create(buf, (size_t)n + (size_t)m);
	r = *out == NULL ? SG_ERR_NOMEM : 0;
done:
	if (buf != NULL)
		sodium_memzero(buf, len + 32);
	free(buf);
	EVP_CIPHER_CTX_free(c);
	return r;
}

static int
cb_encrypt(signal_buffer **out, int cipher, const uint8_t *key, size_t keylen, const uint8_t *iv,
    size_t ivlen, const uint8_t *in, size_t len, void *user)
{
	(void)user;
	return run_cipher(1, out, cipher, key, keylen, iv, ivlen, in, len);
}

static int
cb_decrypt(signal_buffer **out, int cipher, const uint8_t *key, size_t keylen, const uint8_t *iv,
    size_t ivlen, const uint8_t *in, size_t len, void *user)
{
	(void)user;
	return run_cipher(0, out, cipher, key, keylen, iv, ivlen, in, len);
}

static void
cb_log(int level, const char *message, size_t len, void *user)
{
	(void)level;
	(void)user;
	log_debug("libsignal: %.*s", (int)len, message);
}

signal_context *
crypt_signal_new(void)
{
	signal_crypto_provider provider = {
	    .random_func = cb_random,
	    .hmac_sha256_init_func = cb_hmac_init,
	    .hmac_sha256_update_func = cb_hmac_update,
	    .hmac_sha256_final_func = cb_hmac_final,
	    .hmac_sha256_cleanup_func = cb_hmac_cleanup,
	    .sha512_digest_init_func = cb_sha512_init,
	    .sha512_digest_update_func = cb_sha512_update,
	    .sha512_digest_final_func = cb_sha512_final,
	    .sha512_digest_cleanup_func = cb_sha512_cleanup,
	    .encrypt_func = cb_encrypt,
	    .decrypt_func = cb_decrypt,
	};
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_utf8_string("digest", digest, 0), OSSL_PARAM_END};
	signal_context *ctx = NULL;

	hmac_alg = EVP_MAC_fetch(NULL, "HMAC", NULL);
	if (hmac_alg == NULL || (hmac_template = EVP_MAC_CTX_new(hmac_alg)) == NULL ||
	    EVP_MAC_CTX_set_params(hmac_template, params) != 1)
		return NULL;
	if (signal_context_create(&ctx, NULL) != 0 ||
	    signal_context_set_crypto_provider(ctx, &provider) != 0 ||
	    signal_context_set_log_function(ctx, cb_log) != 0)
		return NULL;
	return ctx;
}

void
crypt_signal_fini(void)
{
	EVP_MAC_CTX_free(hmac_template);
	EVP_MAC_free(hmac_alg);
	hmac_template = NULL;
	hmac_alg = NULL;
}
