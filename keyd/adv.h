/* ADV, the signed device identity: our own at pairing, those of others in bundles (protocol page
 * 03, 2 and 4). */
#ifndef WARD_ADV_H
#define WARD_ADV_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define ADV_CONTAINER_MAX 4096

struct adv_self {
	const uint8_t *adv_secret;                   /* 32 */
	const uint8_t *identity_priv, *identity_pub; /* 32 each */
};

struct adv_link {
	uint8_t account_key[32]; /* the primary's identity */
	uint32_t key_index;
	struct buf complete; /* ADVSignedDeviceIdentity, for later use beside pkmsg */
	struct buf answer;   /* the same without accountSignatureKey, for the service */
};
void adv_link_clear(struct adv_link *l);

enum adv_outcome {
	ADV_OK,
	ADV_BAD_FORMAT,
	ADV_BAD_HMAC,
	ADV_BAD_SIGNATURE
};

/* pair-success: verify the container (ADVSignedDeviceIdentityHMAC) and make the device signature.
 * out must be zeroed; adv_link_clear it in any case. */
enum adv_outcome adv_open_container(
    const struct adv_self *self, const uint8_t *container, size_t len, struct adv_link *out);

enum adv_check {
	ADV_VALID, /* by the stored account key */
	ADV_OTHER, /* by the account key that it carries, which is not the stored one, or none is */
	ADV_INVALID,
	ADV_NO_KEY
};

/* The device identity of another device, e.g. in a prekey bundle (page 04, 13.4): is it signed by
 * the account and by the device whose identity key is `device`? stored_account: the identity that
 * is stored of that user's device 0, used if the bytes carry no account key; NULL = none. */
enum adv_check adv_check_device(
    const uint8_t *bytes, size_t len, const uint8_t device[32], const uint8_t *stored_account);

#endif
