/* The device record of an account: all of its own long-term secrets, and how it is written down. */
#ifndef WARD_DEVICE_H
#define WARD_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/jid.h"

#define DEVICE_IDENTITY_MAX                                                                        \
	4608 /* a complete ADVSignedDeviceIdentity; its container is at most 4096 */

struct device {
	uint32_t generation; /* of the account: rises with each new device, from 1 */
	uint32_t registration_id;
	uint8_t noise_priv[32], noise_pub[32];
	uint8_t identity_priv[32], identity_pub[32];
	uint32_t skey_id; /* signed prekey: its private half is a record of its own */
	uint8_t skey_pub[32], skey_sig[64];
	uint8_t adv_secret[32];
	int has_pending; /* not once linked: linking with a passkey waits for pair-success */
	uint8_t adv_pending[32];
	/* once linked */
	int linked;
	char jid[JID_TEXT_MAX], lid[JID_TEXT_MAX]; /* with device; lid may be "" */
	uint8_t account_key[32];                   /* the primary's identity */
	uint32_t key_index;
	uint8_t device_identity[DEVICE_IDENTITY_MAX]; /* complete, sent beside every pkmsg */
	size_t device_identity_len;
};

/* A fixed layout, version 1, integers big-endian:
 *	u8 version | u32 generation | u32 registration id | noise priv, pub | identity priv, pub |
 *	u32 signed prekey id | its pub, signature | ADV secret |
 *	u8: 0 new, 1 linked, 2 new and with a pending ADV secret
 * and, if linked:
 *	u8 length, jid | u8 length, lid | account key | u32 key index | u16 length, device identity
 * or, if pending:
 *	the pending ADV secret
 */
int device_encode(struct device *d, struct buf *out); /* 0 or -1 */
int device_decode(
    struct device *d, const uint8_t *bytes, size_t len); /* 0, or -1: not such a record */

#endif
