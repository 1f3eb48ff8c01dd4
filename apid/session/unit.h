/* A unit of work in stored: opened, filled, committed once. Everything in it happens or nothing. */
#ifndef WARD_UNIT_H
#define WARD_UNIT_H

#include <stddef.h>
#include <stdint.h>

#include "apid/session/account.h"

struct unit;

struct unit_result {
	int ok;
	const char *reason; /* if not: an error code of stored, or of the channel */
	int duplicate;      /* not ok: an outbox row with that idempotency key exists */
	size_t nseqs;
	const uint64_t *seqs; /* one for each event, in order; 0 = it was there already */
	uint64_t expired;     /* tokens that unit_token_expire took away */
};
typedef void unit_done_fn(const struct unit_result *r, void *arg);

/* Units of an account are applied in the order in which they are opened, so never keep one open
 * over a wait for the network. NULL when memory is out. */
struct unit *unit_open(struct account *a);
uint64_t unit_id(const struct unit *u);
/* keyd said how many STAGE frames it made for it. */
void unit_staged(struct unit *u, uint32_t stages);

/* Add writes, copied. A failure (memory) is sticky and fails the commit. Of a body that is too big
 * the long strings are cut (body.h): an event that cannot be kept would come again for ever. */
#define UNIT_BODY_MAX (256u * 1024)
void unit_event(struct unit *u, const char *type, const char *origin, int64_t time_ms,
    json_t *body /* stolen */, const char *dedup /* or NULL */);
/* The same, but dropped (seq 0) also if one of the keys is known. */
void unit_event_unless(struct unit *u, const char *type, const char *origin, int64_t time_ms,
    json_t *body /* stolen */, const char *dedup, const char *const *unless, size_t n);
/* Note a key without an event. */
void unit_mark(struct unit *u, const char *key);
void unit_outbox_put(struct unit *u, const Stored__OutboxPut *put);
void unit_outbox_update(struct unit *u, const Stored__OutboxUpdate *update);
void unit_device(struct unit *u, const Stored__DeviceRecord *r);
void unit_device_reset(struct unit *u, int people);
/* Some of what is kept of devices before that generation goes; the result says how many. */
void unit_quarantine_purge(struct unit *u, uint32_t below, uint32_t max);
void unit_contact(struct unit *u, const Stored__Contact *c);
void unit_device_list(struct unit *u, const Stored__DeviceList *l);
void unit_device_list_drop(struct unit *u, const char *user);
/* Somebody has our message: kept if it went to one of these chats (JID texts, at most 2). */
struct unit_mark {
	const char *id, *party, *status;
	int64_t time_ms;
	const char *chats[2];
	size_t n_chats;
};
void unit_receipt(struct unit *u, const struct unit_mark *mark);
/* A token of somebody came; ours was given to him; what is older than the cutoffs goes. user: bare
 * JID text. */
void unit_token_received(
    struct unit *u, const char *user, const uint8_t *token, size_t len, int64_t token_s);
void unit_token_touch(struct unit *u, const char *user, int64_t sender_s);
void unit_token_expire(struct unit *u, int64_t token_cutoff_s, int64_t sender_cutoff_s);
/* A stanza that is kept raw until it is dealt with; replaces, but keeps the age of the first time.
 */
void unit_pending(struct unit *u, const Stored__Pending *p);
void unit_pending_delete(struct unit *u, const Stored__MessageName *name);
/* The base key of a session, remembered for the next retry of that message (page 04, 12.4). */
void unit_base_key(struct unit *u, const Stored__BaseKey *k);
void unit_base_key_delete(struct unit *u, const Stored__BaseKeyName *name);
/* The account came from a backup, and what had to be done first is in this unit. */
void unit_restored_done(struct unit *u);
size_t unit_writes(const struct unit *u);
size_t unit_bytes(const struct unit *u);

/* It failed with this reason, because an earlier one did: nothing of it happened, and the same can
 * be done again in a new unit. */
int unit_may_repeat(const char *reason);
/* Commit: fn is called once, later. The unit belongs to itself from here on. */
void unit_commit(struct unit *u, unit_done_fn *fn, void *arg);
/* Before it: nobody waits for this one, so stored may keep it for a moment to share a sync. */
void unit_patient(struct unit *u);
/* Whoever asked is gone: fn will not be called; the unit goes its way. NULL is fine. */
void unit_detach(struct unit *u);
/* Give up an open unit. NULL is fine. */
void unit_abort(struct unit *u);

#endif
