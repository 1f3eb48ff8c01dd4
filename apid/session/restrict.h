/* What the service does not let an account do for now: the reach-out time-lock and the quota of new
 * chats (protocol page 12, 8.3). Kept in the device record; each change is an event. */
#ifndef WARD_RESTRICT_H
#define WARD_RESTRICT_H

#include "apid/session/account.h"
#include "apid/session/unit.h"

struct restrictions *restrict_new(struct account *a);
void restrict_free(struct restrictions *r);
/* Another device: nothing is known of it. */
void restrict_reset(struct account *a);
/* What stored has; text may be NULL. */
void restrict_load(struct account *a, const char *text);
/* Online: what was not known when the connection went is asked now. */
void restrict_online(struct account *a);

/* May the account write to people with whom it has no chat? NULL: it may; else why not, a reason of
 * error -12, and until when (0 = not known). */
const char *restrict_new_people(const struct account *a, int64_t *until_ms);
/* It is being asked: whoever writes to new people waits for the answer. */
int restrict_is_asking(const struct account *a);

/* One was refused with that code, and what the service says to it is not known yet. */
int restrict_unanswered(const struct account *a, unsigned code);

/* A message was refused with 463 or 475. Noted with it, in its unit: it is to be asked. */
void restrict_note(struct account *a, struct unit *u, unsigned code);
/* That unit is durable: ask, keep what comes, and say until when it holds (0 = not known), once.
 * At once if that is known already. The row of the message is written too. */
typedef void restrict_fn(struct account *a, const char *message_id, int64_t until_ms, void *arg);
void restrict_ask(
    struct account *a, unsigned code, const char *message_id, restrict_fn *fn, void *arg);

/* What a push or an answer says; what changes is added to the unit, with its event. */
void restrict_take_lock(struct account *a, struct unit *u, const json_t *o);
void restrict_take_quota(struct account *a, struct unit *u, const json_t *o);

/* Results of account.restrictions and account.quota; new references. */
json_t *restrict_describe(const struct account *a);
json_t *restrict_quota(const struct account *a);

#endif
