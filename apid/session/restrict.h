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

/* A message was refused with 463 or 475 (another code: nothing happens). Noted with it, in its
 * unit: until when is to be asked, and its row gets it, with a second message.status; after a
 * restart too. If the unit fails it is taken back. */
void restrict_note(struct account *a, struct unit *u, unsigned code, const char *message_id,
    const char *chat, int64_t time_ms);
void restrict_not_noted(struct account *a, const char *message_id);
/* Its row does not say yet until when. */
int restrict_owes(const struct account *a, const char *message_id);
/* Ask, unless it is being asked; fn is told, once, until when it holds (0 = not known) when the row
 * has it. At once if nothing is owed. */
typedef void restrict_fn(struct account *a, const char *message_id, int64_t until_ms, void *arg);
void restrict_ask(struct account *a, const char *message_id, restrict_fn *fn, void *arg);

/* What a push or an answer says; what changes is added to the unit, with its event. When that unit
 * is committed, restrict_told follows: refused rows get their time, and those who wait are told. */
void restrict_take_lock(struct account *a, struct unit *u, const json_t *o);
void restrict_take_quota(struct account *a, struct unit *u, const json_t *o);
void restrict_told(struct account *a);

/* Results of account.restrictions and account.quota; new references. */
json_t *restrict_describe(const struct account *a);
json_t *restrict_quota(const struct account *a);

#endif
