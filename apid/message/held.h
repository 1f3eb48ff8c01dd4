/* Messages from under an identity that is held: kept as they came until a person has decided, and
 * then let through in the order in which they came (protocol page 04, 13).
 *
 * stored keeps the stanzas (Pending, held). They were acked to the service without a receipt, so
 * the sender sees that they have not arrived. A list of them is in memory: while anything of a
 * person waits, what comes from him waits behind it. */
#ifndef WARD_HELD_H
#define WARD_HELD_H

#include "apid/message/contacts.h"
#include "apid/message/envelope.h"
#include "apid/session/unit.h"
#include "common/wire/node.h"

#define HELD_MAX       10000u /* stanzas of an account */
#define HELD_BYTES_MAX (64u * 1024 * 1024)
#define HELD_CHAT      "held@ward" /* Pending.name.chat of all of them */

struct held *held_new(struct account *a);
void held_free(struct held *h);
/* Forget the list. */
void held_reset(struct account *a);
/* The device goes, and with it all that could read them: each ends with a message.given_up of that
 * reason in the unit that deletes it (held_end.c). fn once, perhaps at once, with why NULL when
 * none is left; after a failure the rest is there, and it can be called again. Nothing may come in.
 */
void held_end_all(
    struct account *a, const char *reason, void (*fn)(struct account *a, const char *why));
/* A message that came in has ended, whatever became of it. */
void held_recv_ended(struct account *a);
/* Read the list, before the account works: fn once; why NULL = done. */
void held_load(struct account *a, void (*fn)(struct account *a, const char *why));

size_t held_count(const struct account *a);
size_t held_of(const struct account *a, const struct person *p);

/* The devices of a person from which something waits; at most max, none twice. */
size_t held_devices(const struct account *a, const struct person *p, uint16_t *ids, size_t max);

/* Keep a stanza with this unit: its number, or 0 if there is no room. A copy of one that is kept
 * already adds nothing: *again. The number is good from now on; held_written says how it ended. */
uint64_t held_put(
    struct account *a, struct unit *u, const struct envelope *e, const struct node *n, int *again);
void held_written(struct account *a, uint64_t number, int ok);

/* Let through what is trusted now: one stanza after the other, each as if it came just now
 * (recv_held), and its row goes with the unit that deals with it. Nothing without a connection. */
void held_release(struct account *a);
void held_delete(struct account *a, struct unit *u, uint64_t number);
enum held_end {
	HELD_GONE,  /* dealt with */
	HELD_STAYS, /* its sender is still held */
	HELD_FAILED /* the store or the connection failed: it is tried again after the next login */
};
void held_ended(struct account *a, uint64_t number, enum held_end end);

#endif
