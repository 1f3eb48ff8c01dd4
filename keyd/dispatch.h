/* Who may ask keyd what: one table a peer. */
#ifndef WARD_KEYD_DISPATCH_H
#define WARD_KEYD_DISPATCH_H

#include <stddef.h>

#include "ipc/channel.h"
#include "keyd/queue.h"

/* For the channels to apid and netd; their owner is a struct child whose owner is the struct keyd.
 */
extern const struct channel_row dispatch_apid[], dispatch_netd[];
extern const size_t dispatch_napid, dispatch_nnetd;
/* What carries out each row, but for STATUS. */
extern const struct verb *const dispatch_verbs[];
extern const size_t dispatch_nverbs;

#endif
