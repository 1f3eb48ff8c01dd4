/* Key bundles: upload, count, fetch, digest, rotation (protocol pages 04, section 2, and 11, 3.4).
 */
#ifndef SIM_PREKEYS_H
#define SIM_PREKEYS_H

#include "tests/sim/route.h"

#define PREKEYS_LOW 5 /* fewer than these left: the device is told */

void prekeys_upload(struct origin *o, const struct node *iq);
void prekeys_count(struct origin *o, const struct node *iq);
void prekeys_fetch(struct origin *o, const struct node *iq);
void prekeys_digest(struct origin *o, const struct node *iq);
void prekeys_rotate(struct origin *o, const struct node *iq);

/* Throws away all but `keep` one-time keys of a device and, if not quiet, tells it so, as if others
 * had taken them. */
void prekeys_drain(struct device *d, size_t keep, int quiet);
/* Asks the device to compare its keys with ours. */
void prekeys_want_digest(struct device *d);
/* Tell something wrong of its keys so many times; value: the count, or the code of an error (0 = no
 * answer). -1: there is no such forgery. */
int prekeys_forge(struct device *d, const char *what, unsigned times, int value);

/* SHA-1 over identity, signed prekey, its signature and the unused one-time keys in order. */
void prekeys_digest_hash(const struct device_keys *k, uint8_t out[20]);

/* How fetches answer for a device that does not exist: 406 or 404 a user, or 0 = 406 for the whole.
 */
extern int prekeys_missing_code;

#endif
