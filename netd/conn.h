/* One connection: TLS, WebSocket upgrade, Noise handshake with keyd's help, then stanzas both ways.
 */
#ifndef WARD_CONN_H
#define WARD_CONN_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "netd/netd.h"

struct conn;

/* What the end says about trying again. */
enum conn_again {
	AGAIN_LATER,
	AGAIN_LONGEST
};

struct conn_handler {
	void (*open)(void *arg);                                    /* traffic keys are in place */
	void (*stanza)(void *arg, const uint8_t *data, size_t len); /* flags byte first */
	/* From the loop, once, the last: the owner then frees it. reason: a word of netd.proto. */
	void (*closed)(void *arg, const char *reason, const char *text, enum conn_again again);
};

struct conn_params {
	const char *account;
	uint64_t id;
	const struct buf *payload, *routing; /* read until open; routing may be empty */
};

/* Begins. The params stay the owner's and must outlive it. NULL: no memory. */
struct conn *conn_new(
    struct netd *nd, const struct conn_params *p, const struct conn_handler *h, void *arg);
/* At once, without a word; closed() does not come. NULL is fine. */
void conn_free(struct conn *c);

int conn_is_open(const struct conn *c);
/* One stanza (frame payload). 0, or -1: not open, or it does not fit any more and closed() will
 * come. */
int conn_send(struct conn *c, const void *node, size_t len);
/* What is written goes out, then a close frame; closed(reason) comes when the peer is gone, or
 * soon. */
void conn_shutdown(struct conn *c, const char *reason);
/* End it now: closed(reason) comes from the loop. */
void conn_fail(struct conn *c, enum conn_again again, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Back-pressure: stop (1) or go on (0) reading. */
void conn_pause(struct conn *c, int paused);
/* Login is complete: frames may be large now. */
void conn_logged_in(struct conn *c);

struct conn_stats {
	uint64_t frames_in, frames_out, bytes_in, bytes_out;
};
const struct conn_stats *conn_stats(const struct conn *c);
/* It failed between the upgrade and the traffic keys. */
int conn_failed_handshake(const struct conn *c);

#endif
