/* Linking with a passkey: the mathematics of the exchange, and what is kept of one (protocol page
 * 12, 1.4). */
#ifndef WARD_PASSKEY_H
#define WARD_PASSKEY_H

#include <stdint.h>

#include "common/buf.h"
#include "keyd/crypto.h"
#include "keyd/paircode.h"

#define PASSKEY_REF_MAX  512
#define PASSKEY_MS       300000                /* without progress */
#define PASSKEY_PAYLOAD  (3 * 34 + CRYPTO_TAG) /* three keys, each with its field's head */
#define PASSKEY_SALT_MAX (PASSKEY_REF_MAX + 64)

/* The exchange under way of an account. */
struct passkey {
	enum {
		PASSKEY_NONE,
		PASSKEY_BEGUN,
		PASSKEY_CONTINUED /* the nonce is given away, the key is there */
	} step;
	uint8_t e_priv[32], nonce[32], key[32];
	char salt[PASSKEY_SALT_MAX]; /* of the key: names the device type and the ref */
	int64_t since_ms;            /* monotonic, of the last step */
};

/* Encoded ProloguePayload: our half, and the commitment to it and the nonce. 0, or -1: no memory.
 */
int passkey_prologue(const uint8_t e_pub[32], const uint8_t nonce[32], unsigned device_type,
    const char *ref, struct buf *out);
/* That we hold the ADV secret of the QR code. */
void passkey_proof(
    const uint8_t adv_secret[32], const uint8_t *prologue, size_t len, uint8_t proof[32]);

void passkey_salt(unsigned device_type, const char *ref, char salt[PASSKEY_SALT_MAX]);
/* The key of the envelope. 0, or -1: the shared secret is all zero. */
int passkey_key(
    const uint8_t e_priv[32], const uint8_t primary_pub[32], const char *salt, uint8_t key[32]);
/* What both sides show. */
void passkey_code(const uint8_t nonce[32], const uint8_t primary_pub[32],
    const uint8_t primary_nonce[32], char code[PAIRCODE_LEN + 1]);
/* Encrypted PairingRequest. */
void passkey_payload(const uint8_t key[32], const uint8_t iv[12], const uint8_t noise_pub[32],
    const uint8_t identity_pub[32], const uint8_t adv_secret[32], uint8_t out[PASSKEY_PAYLOAD]);

#endif
