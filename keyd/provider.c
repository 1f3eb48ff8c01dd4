/* libsignal's context and its crypto provider. */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "keyd/crypto.h"
#include "keyd/provider.h"

signal_context *provider_context;
int provider_mac_failed;
unsigned provider_hmacs;

static int
provide_random(uint8_t *data, size_t len, void *user)
{
	randombytes_buf(data, len);
	return 0;
}

static int
provide_hmac_init(void **h, const uint8_t *key, size_t keylen, void *user)
{
	*h = NULL;
	if (provider_hmacs++ >= PROVIDER_HMACS_MAX)
		return SG_ERR_UNKNOWN;
	if ((*h = malloc(sizeof(crypto_auth_hmacsha256_state))) == NULL)
		return SG_ERR_NOMEM;
	return crypto_auth_hmacsha256_init(*h, key, keylen);
}

static int
provide_hmac_update(void *h, const uint8_t *data, size_t len, void *user)
{
	return crypto_auth_hmacsha256_update(h, data, len);
}

static int
provide_hmac_final(void *h, signal_buffer **out, void *user)
{
	uint8_t mac[32];

	crypto_auth_hmacsha256_final(h, mac);
	*out = signal_buffer_create(mac, sizeof(mac));
	sodium_memzero(mac, sizeof(mac));
	return *out == NULL ? SG_ERR_NOMEM : 0;
}

static void
provide_hmac_cleanup(void *h, void *user)
{
	if (h != NULL)
		sodium_memzero(h, sizeof(crypto_auth_hmacsha256_state));
	free(h);
}

/* Version 3 sessions use AES-CBC only; CTR belongs to version 2, which libsignal refuses. */
static int
cbc(int encrypt, signal_buffer **out, int cipher, const uint8_t *key, size_t keylen,
    const uint8_t *iv, size_t ivlen, const uint8_t *in, size_t len)
{
	uint8_t *room;
	int64_t n;

	if (cipher != SG_CIPHER_AES_CBC_PKCS5 || keylen != 32 || ivlen != 16)
		return SG_ERR_INVAL;
	if (!encrypt && (len == 0 || len % 16 != 0))
		return SG_ERR_INVALID_MESSAGE;
	if ((room = malloc(len + 16)) == NULL)
		return SG_ERR_NOMEM;
	n = crypto_cbc(encrypt, key, iv, in, len, room);
	*out = n >= 0 ? signal_buffer_create(room, (size_t)n) : NULL;
	sodium_memzero(room, len + 16);
	free(room);
	if (n < 0)
		return SG_ERR_INVALID_MESSAGE;
	return *out == NULL ? SG_ERR_NOMEM : 0;
}

static int
provide_encrypt(signal_buffer **out, int cipher, const uint8_t *key, size_t keylen,
    const uint8_t *iv, size_t ivlen, const uint8_t *in, size_t len, void *user)
{
	return cbc(1, out, cipher, key, keylen, iv, ivlen, in, len);
}

static int
provide_decrypt(signal_buffer **out, int cipher, const uint8_t *key, size_t keylen,
    const uint8_t *iv, size_t ivlen, const uint8_t *in, size_t len, void *user)
{
	return cbc(0, out, cipher, key, keylen, iv, ivlen, in, len);
}

static void
provide_log(int level, const char *text, size_t len, void *user)
{
	if (strncmp(text, "Message mac not verified", 24) == 0)
		provider_mac_failed = 1;
}

/* SHA-512 is left out: the library takes it for safety numbers and device codes alone, of which
 * keyd has none. */
void
provider_warm_up(void)
{
	static const signal_crypto_provider provider = {
	    .random_func = provide_random,
	    .hmac_sha256_init_func = provide_hmac_init,
	    .hmac_sha256_update_func = provide_hmac_update,
	    .hmac_sha256_final_func = provide_hmac_final,
	    .hmac_sha256_cleanup_func = provide_hmac_cleanup,
	    .encrypt_func = provide_encrypt,
	    .decrypt_func = provide_decrypt,
	};

	if (signal_context_create(&provider_context, NULL) != 0 ||
	    signal_context_set_crypto_provider(provider_context, &provider) != 0 ||
	    signal_context_set_log_function(provider_context, provide_log) != 0)
		fatalx("libsignal: no context");
	/* one thread: no locking functions */
}

int
provider_raw_key(const ec_public_key *key, uint8_t out[32])
{
	signal_buffer *typed = NULL;
	int ok = key != NULL && ec_public_key_serialize(&typed, key) == 0 &&
		 signal_buffer_len(typed) == 33;

	if (ok)
		memcpy(out, signal_buffer_data(typed) + 1, 32); /* without the type byte */
	signal_buffer_free(typed);
	return ok ? 0 : -1;
}

int
provider_point(ec_public_key **key, const uint8_t raw[32])
{
	uint8_t typed[33] = {5};

	memcpy(typed + 1, raw, 32);
	return curve_decode_point(key, typed, sizeof(typed), provider_context);
}
