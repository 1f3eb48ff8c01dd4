/* Calls, for a client that takes none: they are told, and can be refused (protocol page 12, section
 * 17).
 *
 *	calls_in -> call_known -> call_committed
 */
#ifndef WARD_CALLS_H
#define WARD_CALLS_H

#include "apid/session/account.h"
#include "common/wire/node.h"

#define CALLS_KNOWN_MAX 64u    /* that ring or rang lately; the oldest is forgotten */
#define CALL_RING_MS    600000 /* nothing rings longer */
#define CALL_ACK_MS     20000u

struct calls *calls_new(struct account *a);
void calls_free(struct calls *c);
/* Another device: no call is known any more. */
void calls_reset(struct account *a);

/* A <call> came; the node is taken. size: bytes of its frame. */
void calls_in(struct account *a, struct node *n, size_t size);
/* A receipt of type enc_rekey_retry: somebody wants the keys of a call, which nobody here has. */
void calls_rekey_asked(struct account *a, const struct node *receipt);

#endif
