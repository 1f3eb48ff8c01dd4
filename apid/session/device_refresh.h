/* Device lists and LIDs that are asked for again in the background: a few at a time, and never
 * while the backlog is delivered (protocol page 12, 9 and 10). */
#ifndef WARD_DEVICE_REFRESH_H
#define WARD_DEVICE_REFRESH_H

#include "apid/message/contacts.h"
#include "apid/session/account.h"

struct device_refresh *device_refresh_new(struct account *a);
void device_refresh_free(struct device_refresh *d);
void device_refresh_online(struct account *a);
void device_refresh_disconnected(struct account *a);

/* His list is asked for again, and his LID with it. Bounded: what does not fit is found by the next
 * send. */
void device_refresh_want(struct account *a, const struct jid *j);
/* The pair of a number is in doubt. */
void device_refresh_lid(struct account *a, const char *pn);
/* A message of that device came: if his list does not have it, the list is old. */
void device_refresh_seen(struct account *a, const struct jid *device, const struct person *p);
/* The service names a contact whose list has changed by a hash: <update hash> (page 04, 13.3).
 * Whoever it is, as far as we know him, is asked for. */
void device_refresh_hash(struct account *a, const char *hash);
/* The 4 characters of a user, by which <update hash> names him; out: 5 bytes. */
void device_refresh_hash_of(const char *user, char out[5]);

#endif
