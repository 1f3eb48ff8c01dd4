/* The mathematics of pairing by code, the phone's side. */
#include <ctype.h>
#include <string.h>

#include <openssl/evp.h>
#include <sodium.h>

#include "common/log.h"
#include "tests/sim/crypt.h"
#include "tests/sim/pair_code.h"
#include "tests/sim/rng.h"

#define ALPHABET   "123456789ABCDEFGHJKLMNPQRSTVWXYZ"
#define ITERATIONS 131072

int
pair_code_normal(const char *text, char out[9])
{
	size_t n = 0;

	for (; *text != '\0'; text++) {
		char c = (char)toupper((unsigned char)*text);

		if (c == '-' && n == 4)
			continue;
		if (n == 8 || strchr(ALPHABET, c) == NULL)
			return -1;
		out[n++] = c;
	}
	out[n] = '\0';
	return n == 8 ? 0 : -1;
}

static void
code_key(const char *code, const uint8_t salt[32], uint8_t key[32])
{
	if (PKCS5_PBKDF2_HMAC(
		code, (int)strlen(code), salt, 32, ITERATIONS, EVP_sha256(), 32, key) != 1)
		fatalx("PBKDF2 failed");
}

void
pair_code_wrap(const uint8_t pub[32], const char *code, uint8_t out[80])
{
	uint8_t key[32];

	rng_bytes(out, 48);
	code_key(code, out, key);
	crypt_ctr(key, out + 32, pub, 32, out + 48);
	sodium_memzero(key, sizeof(key));
}

void
pair_code_unwrap(const uint8_t wrapped[80], const char *code, uint8_t pub[32])
{
	uint8_t key[32];

	code_key(code, wrapped, key);
	crypt_ctr(key, wrapped + 32, wrapped + 48, 32, pub);
	sodium_memzero(key, sizeof(key));
}

int
pair_code_open_bundle(const uint8_t bundle[156], const uint8_t e_priv[32],
    const uint8_t companion_e[32], const uint8_t identity_priv[32], const uint8_t identity_pub[32],
    const uint8_t companion_identity[32], uint8_t secret[32])
{
	static const char bundle_info[] = "link_code_pairing_key_bundle_encryption_key",
			  secret_info[] = "adv_secret";
	uint8_t ikm[96], key[32], open[96];
	int r = -1;

	if (crypt_x25519(ikm, e_priv, companion_e) != 0 ||
	    crypt_x25519(ikm + 32, identity_priv, companion_identity) != 0)
		return -1;
	crypt_hkdf(bundle, 32, ikm, 32, bundle_info, strlen(bundle_info), key, 32);
	if (crypt_gcm_open(key, bundle + 32, NULL, 0, bundle + 44, 112, open) == 0 &&
	    memcmp(open, companion_identity, 32) == 0 && memcmp(open + 32, identity_pub, 32) == 0) {
		memcpy(ikm + 64, open + 64, 32);
		crypt_hkdf(NULL, 0, ikm, sizeof(ikm), secret_info, strlen(secret_info), secret, 32);
		r = 0;
	}
	sodium_memzero(ikm, sizeof(ikm));
	sodium_memzero(key, sizeof(key));
	sodium_memzero(open, sizeof(open));
	return r;
}
