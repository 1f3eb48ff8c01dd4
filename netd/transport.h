/* A way to carry the bytes of one connection: TLS over TCP, verified, perhaps through a proxy. */
#ifndef WARD_TRANSPORT_H
#define WARD_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#include "common/buf.h"
#include "netd/settings.h"

/* What may wait to be written on one connection. A single piece larger than that may wait alone. */
#define TRANSPORT_OUT_MAX (8u * 1024 * 1024)

struct transport;
struct transport_engine;

/* All are called from the loop, never from within a function below. After closed() nothing comes,
 * but the owner must still close. reason: a word of netd.proto. */
struct transport_handler {
	void (*open)(void *arg); /* TLS is up, chain and host are verified */
	void (*data)(void *arg, const uint8_t *data, size_t len);
	void (*closed)(void *arg, const char *reason, const char *text);
};

struct transport_ops {
	const char *name;
	/* Everything that several connections share. settings must outlive it. NULL: logged. */
	struct transport_engine *(*engine_new)(struct event_base *base, const struct settings *s);
	void (*engine_free)(struct transport_engine *e);
	/* Begin a connection to settings' host, through its proxy. NULL: no memory. */
	struct transport *(*connect)(
	    struct transport_engine *e, const struct transport_handler *h, void *arg);
	/* The queue to append at most len bytes to, or NULL: no room for them. Then flush. */
	struct buf *(*room)(struct transport *t, size_t len);
	void (*flush)(struct transport *t);
	size_t (*queued)(const struct transport *t);
	/* Stop reading (1), go on (0): does not nest. */
	void (*pause)(struct transport *t, int paused);
	/* Ends it at once; the descriptor is closed when this returns. Allowed in handlers; NULL is
	 * fine. */
	void (*close)(struct transport *t);
};

extern const struct transport_ops transport_curl;

#endif
