/* How often a person is answered who asks for messages again, and how often he gets keys when we
 * ask him: so many at once, then one after the other (protocol page 04, 12.1 and 12.5). In memory:
 * a restart does no harm, for what one device gets again of one message is counted durably. */
#ifndef WARD_RETRY_RATE_H
#define WARD_RETRY_RATE_H

#include "apid/session/account.h"

#define RETRY_RATE_BURST   100
#define RETRY_RATE_MS      1000 /* each further one */
#define RETRY_RATE_WAITING 256  /* of one person; those beyond come again at another login */

/* When the next one may be answered, in ms from now; it is taken then. -1: too many wait. */
int64_t retry_rate_take(const struct account *a, const char *person_id, int64_t now_ms);

/* May a retry receipt to this person carry keys? Each costs a one-time prekey, which stays for ever
 * if it is not used, and whoever has our number can make us ask; one receipt with keys is enough
 * for a device to begin a session, in which it then sends all again. Those beyond go without.
 * who: an id, a JID, or "me". 1 if so; it is taken then. */
#define RETRY_KEYS_BURST 20
#define RETRY_KEYS_MS    60000 /* each further one */
int retry_keys_take(const struct account *a, const char *who, int64_t now_ms);

/* A session with a device was made anew; was it less than an hour ago (12.3)? address: of keyd. */
#define RETRY_RECREATE_MS 3600000
void retry_recreated(const struct account *a, const char *address, unsigned device, int64_t now_ms);
int retry_recreated_lately(
    const struct account *a, const char *address, unsigned device, int64_t now_ms);

#endif
