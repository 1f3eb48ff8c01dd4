/* Who may ask keyd what: one table a peer. */
#ifndef WARD_KEYD_DISPATCH_H
#define WARD_KEYD_DISPATCH_H

#include <stddef.h>

#include "ipc/channel.h"
#include "keyd/queue.h"

/* All that may be asked, each by one peer. */
extern const struct verb dispatch_verbs[];
extern const size_t dispatch_nverbs;

/* The rows of a peer, for its channel, whose owner is a struct child whose owner is the struct
 * keyd. Returns how many. */
#define DISPATCH_MAX 64
size_t dispatch_rows(enum verb_peer who, struct channel_row rows[DISPATCH_MAX]);
/* A request of an account came: queue_add for its verb. */
void dispatch_add(struct keyd *k, struct message *m);

#endif
