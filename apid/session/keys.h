/* The keys of the account at the service, one job at a time: upload, digest check, rotation of the
 * signed prekey (protocol page 04, 1.1 and 2); and what clients may ask of them. */
#ifndef WARD_KEYS_H
#define WARD_KEYS_H

#include "apid/session/account.h"
#include "apid/session/unit.h"

struct keys *keys_new(struct account *a);
void keys_free(struct keys *k);

/* The backlog is done: what is wanted is done now, the digest is checked, then the age of the
 * signed prekey. Before that nothing but the upload of the login runs. */
void keys_online(struct account *a);
void keys_disconnected(struct account *a);
/* A job has ended, or another is wanted: the next one, if it is its time. */
void keys_next(struct account *a);
/* The service asks for a check. */
void keys_want_digest(struct account *a);

/* account.keys into a unit; count < 0: without one. */
void keys_event(struct account *a, struct unit *u, const char *kind, int64_t count);
/* The signed prekey is due at this time, milliseconds by the clock of the service. */
#define KEYS_ROTATE_MS INT64_C(2332800000) /* 27 days */
int64_t keys_skey_due_ms(const struct account *a);
int64_t keys_now_ms(const struct account *a);

#endif
