/* What the parts of netd share: the two channels, the settings, the transport, the links. */
#ifndef WARD_NETD_H
#define WARD_NETD_H

#include <sys/queue.h>

#include <event2/event.h>

#include "ipc/channel.h"
#include "netd/settings.h"
#include "netd/transport.h"

struct link;

struct netd {
	struct event_base *base;
	struct channel *apid, *keyd;
	struct settings settings;
	const struct transport_ops *transport;
	struct transport_engine *engine;
	LIST_HEAD(, link) links;
	unsigned nlinks;
	uint64_t last_conn; /* connection numbers are never used twice */
	int holding;        /* apid's channel is full: no socket is read */
	/* while the process ends: called when the last connection is gone */
	void (*stopped)(struct netd *nd);
	void *child; /* the struct child, for the process itself; not used by the parts */
};

/* netd/dispatch.c: the tables of what apid and keyd may send, with struct netd as owner. */
extern const struct channel_row netd_rows_apid[];
extern const size_t netd_nrows_apid;
extern const struct channel_row netd_rows_keyd[];
extern const size_t netd_nrows_keyd;

/* Bounds of the channel to apid: a frame of the largest size may be behind the high mark. */
#define NETD_OUT_HIGH (4u * 1024 * 1024)
#define NETD_OUT_MAX  (40u * 1024 * 1024)

/* channel_config.on_drained of apid's channel; the owner is the struct netd. */
void netd_apid_drained(struct channel *ch, void *owner);

#endif
