/* Linking with a passkey: the mathematics of the exchange (protocol page 12, 1.4). */
#include "keyd/passkey.h"

#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "common/pb.h"
#include "common/proto/companion.pb-c.h"
#include "keyd/curve.h"

int
passkey_prologue(const uint8_t e_pub[32], const uint8_t nonce[32], unsigned device_type,
    const char *ref, struct buf *out)
{
	Companion__CompanionEphemeralIdentity id = COMPANION__COMPANION_EPHEMERAL_IDENTITY__INIT;
	Companion__CompanionCommitment commitment = COMPANION__COMPANION_COMMITMENT__INIT;
	Companion__ProloguePayload payload = COMPANION__PROLOGUE_PAYLOAD__INIT;
	struct buf mine = BUF_INIT;
	uint8_t hash[32];
	int ok;

	id.has_public_key = id.has_device_type = 1;
	id.public_key = pb_bytes(e_pub, 32);
	id.device_type = (Companion__DeviceProps__PlatformType)device_type;
	id.ref = pb_str(ref);
	ok = pb_put(&id.base, &mine);
	crypto_sha256((const struct crypto_part[]){{mine.data, mine.len}, {nonce, 32}}, 2, hash);
	commitment.has_hash = payload.has_companion_ephemeral_identity = 1;
	commitment.hash = pb_bytes(hash, sizeof(hash));
	payload.companion_ephemeral_identity = pb_bytes(mine.data, mine.len);
	payload.commitment = &commitment;
	if (ok == 0)
		ok = pb_put(&payload.base, out);
	buf_clear(&mine);
	return ok;
}

void
passkey_proof(const uint8_t adv_secret[32], const uint8_t *prologue, size_t len, uint8_t proof[32])
{
	uint8_t key[32];

	crypto_hkdf(NULL, 0, adv_secret, 32, "shortcake-passkey-handoff-v1", key, 32);
	crypto_hmac256(key, 32, (const struct crypto_part[]){{prologue, len}}, 1, proof);
	sodium_memzero(key, sizeof(key));
}

void
passkey_salt(unsigned device_type, const char *ref, char salt[PASSKEY_SALT_MAX])
{
	(void)snprintf(
	    salt, PASSKEY_SALT_MAX, "Companion Pairing %u with ref %s", device_type, ref);
}

int
passkey_key(
    const uint8_t e_priv[32], const uint8_t primary_pub[32], const char *salt, uint8_t key[32])
{
	uint8_t shared[32];

	if (curve_shared(e_priv, primary_pub, shared) == -1)
		return -1;
	crypto_hkdf((const uint8_t *)salt, strlen(salt), shared, 32,
	    "Pairing Information Encryption Key", key, 32);
	sodium_memzero(shared, sizeof(shared));
	return 0;
}

void
passkey_code(const uint8_t nonce[32], const uint8_t primary_pub[32],
    const uint8_t primary_nonce[32], char code[PAIRCODE_LEN + 1])
{
	uint8_t d[32];
	int i;

	crypto_sha256((const struct crypto_part[]){{nonce, 32}, {primary_pub, 32}}, 2, d);
	for (i = 0; i < 5; i++)
		d[i] ^= primary_nonce[i];
	paircode_from_bytes(d, code);
}

/* The three fields are bytes of a fixed length: head and key, three times. */
void
passkey_payload(const uint8_t key[32], const uint8_t iv[12], const uint8_t noise_pub[32],
    const uint8_t identity_pub[32], const uint8_t adv_secret[32], uint8_t out[PASSKEY_PAYLOAD])
{
	const uint8_t *const fields[3] = {noise_pub, identity_pub, adv_secret};
	uint8_t plain[3 * 34];
	size_t i;

	for (i = 0; i < 3; i++) {
		plain[34 * i] = (uint8_t)((i + 1) << 3 | 2);
		plain[34 * i + 1] = 32;
		memcpy(plain + 34 * i + 2, fields[i], 32);
	}
	crypto_gcm_seal(key, iv, NULL, 0, plain, sizeof(plain), out);
	sodium_memzero(plain, sizeof(plain));
}
