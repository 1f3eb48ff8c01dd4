/* Prekey bundles: reading them, and asking the service for them (protocol page 04, 2.7). */
#ifndef WARD_BUNDLE_H
#define WARD_BUNDLE_H

#include "apid/session/account.h"
#include "common/wire/node.h"

#define BUNDLES_MAX 512u

struct bundle {
	int ok;
	int stale; /* the service does not know the device any more (406) */
	uint32_t registration_id;
	uint8_t identity[32];
	uint32_t skey_id;
	uint8_t skey_pub[32], skey_sig[64];
	int has_key;
	uint32_t key_id;
	uint8_t key_pub[32];
	uint8_t *device_identity; /* or NULL; owned */
	size_t device_identity_len;
};
void bundle_clear(struct bundle *b);

/* From <user> of an answer; or, for a retry receipt, from its <keys> with the sibling
 * <registration>. -1: something is missing or has another length. */
int bundle_read(const struct node *keys, const struct node *registration, struct bundle *out);

/* The messages of keyd for one bundle; point into *b. */
struct bundle_pb {
	Keyd__Bundle bundle;
	Keyd__SignedPrekey skey;
	Keyd__Prekey key;
};
void bundle_fill(const struct bundle *b, struct bundle_pb *out);

/* Ask for bundles of devices; fn once: in the order asked (borrowed), or why not and the code. */
struct bundle_request;
typedef void bundle_fn(struct bundle *b, size_t n, const char *why, unsigned code, void *arg);
struct bundle_request *bundle_fetch(
    struct account *a, const struct jid *devices, size_t n, bundle_fn *fn, void *arg);
void bundle_cancel(struct bundle_request *r); /* NULL is fine */

#endif
