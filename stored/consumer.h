/* Durable consumers of the event log: who has read how far. Several changes share one sync. */
#ifndef WARD_STORED_CONSUMER_H
#define WARD_STORED_CONSUMER_H

#include "stored/store.h"

#define CONSUMERS_MAX     1024 /* of all owners */
#define CONSUMERS_UID_MAX 64   /* of one */

/* CONSUMER_OPEN, CONSUMER_ACK and CONSUMER_DELETE: queued, carried out at the end of the turn and
 * answered when they are durable. 0, or -1: the channel is broken. */
int consumer_change(struct store *s, struct message *m);
/* CONSUMER_LIST */
int consumer_list(struct store *s, struct message *m);
void consumers_apply(struct store *s);
/* Forget what waits, unanswered: the channel is gone. */
void consumers_drop(struct store *s);

#endif
