/* Linking by phone number and code: the code, its wrapping, the key bundle (protocol page 03, 5).
 */
#include <string.h>

#include <sodium.h>

#include "keyd/crypto.h"
#include "keyd/curve.h"
#include "keyd/paircode.h"

const char paircode_alphabet[] = "123456789ABCDEFGHJKLMNPQRSTVWXYZ"; /* no 0, I, O, U */

void
paircode_from_bytes(const uint8_t random[5], char code[PAIRCODE_LEN + 1])
{
	uint64_t n = 0;
	int i;

	for (i = 0; i < 5; i++)
		n = n << 8 | random[i];
	for (i = PAIRCODE_LEN - 1; i >= 0; i--, n >>= 5)
		code[i] = paircode_alphabet[n & 31];
	code[PAIRCODE_LEN] = '\0';
}

/* One PBKDF2 takes some tens of milliseconds, in one piece: it happens once a code and once a
 * primary_hello (at most three a code). */
static void
cover(const char *code, const uint8_t salt[32], const uint8_t iv[16], const uint8_t in[32],
    uint8_t out[32])
{
	uint8_t key[32];

	crypto_pbkdf2(code, strlen(code), salt, PAIRCODE_ROUNDS, key);
	crypto_ctr(key, iv, in, 32, out);
	sodium_memzero(key, sizeof(key));
}

void
paircode_wrap(const char *code, const uint8_t salt[32], const uint8_t iv[16], const uint8_t pub[32],
    uint8_t out[PAIRCODE_WRAPPED])
{
	memcpy(out, salt, 32);
	memcpy(out + 32, iv, 16);
	cover(code, salt, iv, pub, out + 48);
}

void
paircode_unwrap(const char *code, const uint8_t wrapped[PAIRCODE_WRAPPED], uint8_t pub[32])
{
	cover(code, wrapped, wrapped + 32, wrapped + 48, pub);
}

int
paircode_bundle(const struct paircode_finish *in, const struct paircode_random *r,
    uint8_t bundle[PAIRCODE_BUNDLE], uint8_t adv_secret[32])
{
	uint8_t shared[96], key[32], plain[96]; /* shared: ephemeral, identity, random */
	int ok = -1;

	if (curve_shared(in->e_priv, in->primary_e_pub, shared) == -1 ||
	    curve_shared(in->identity_priv, in->primary_identity, shared + 32) == -1)
		goto done;
	crypto_hkdf(
	    r->salt, 32, shared, 32, "link_code_pairing_key_bundle_encryption_key", key, 32);
	memcpy(plain, in->identity_pub, 32);
	memcpy(plain + 32, in->primary_identity, 32);
	memcpy(plain + 64, r->random, 32);
	memcpy(bundle, r->salt, 32);
	memcpy(bundle + 32, r->iv, 12);
	crypto_gcm_seal(key, r->iv, NULL, 0, plain, sizeof(plain), bundle + 44);
	memcpy(shared + 64, r->random, 32);
	crypto_hkdf(NULL, 0, shared, sizeof(shared), "adv_secret", adv_secret, 32);
	ok = 0;
done:
	sodium_memzero(shared, sizeof(shared));
	sodium_memzero(key, sizeof(key));
	sodium_memzero(plain, sizeof(plain));
	return ok;
}
