/* What conn.c, conn_out.c and conn_in.c share; nobody else includes it. */
#ifndef SIM_CONN_IMPL_H
#define SIM_CONN_IMPL_H

#include <sys/queue.h>

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/ssl.h>

#include "common/log.h"
#include "tests/sim/conn.h"
#include "tests/sim/crypt.h"
#include "tests/sim/expect.h"
#include "tests/sim/loop.h"
#include "tests/sim/nodes.h"
#include "tests/sim/stanza_log.h"
#include "tests/sim/ws.h"

#define MAX_EARLY  (64 * 1024) /* a frame before the handshake is done */
#define ROOM       (4u * 1024 * 1024)
#define MAX_UNSENT (256u * 1024 * 1024)
#define LINGER_MS  3000
#define HELLO_MS   30000
#define REORDER_MS 1000

enum conn_state {
	ST_INTRO,
	ST_HELLO,
	ST_FINISH,
	ST_OPEN,
	ST_ENDING
};

struct conn {
	TAILQ_ENTRY(conn) link;
	uint64_t id;
	struct bufferevent *bev;
	int tls, dead, drained;
	enum conn_state state;
	struct ws ws;
	struct evbuffer *payload; /* of the WebSocket frame at hand */
	struct evbuffer *stream;  /* the client's bytes, message boundaries gone */
	struct evbuffer *out;     /* frames of this turn of the loop */
	struct evbuffer *joined;  /* a frame that waits for the next one (fault) */
	int swap;                 /* and goes behind it */
	struct event *flush, *timer;
	struct noise noise;
	struct crypt_stream rx, tx;
	struct device *dev;
	struct registration *reg;
	struct node *held_in, *held_out; /* stanzas that wait for the next one (fault) */
};
TAILQ_HEAD(conns, conn);

extern struct conn_hooks conn_hooks;
extern struct noise_identity *conn_identity;

/* conn.c */
void conn_detach(struct conn *c, const char *why); /* the model lets go of it */
void conn_bury(struct conn *c);                    /* off the list; freed soon */
int conn_take_forgery(void);
/* conn_out.c */
void conn_on_flush(evutil_socket_t fd, short what, void *arg);
void conn_flush_soon(struct conn *c);
void conn_put_message(struct conn *c, enum ws_op op, const void *data, size_t len);
void conn_send_plain(struct conn *c, const struct buf *b); /* a frame before the traffic keys */
/* Send past the faults. */
void conn_send_now(struct conn *c, const struct node *n, enum frame_fault fault);
/* Let a stanza pass after ms, or after the next one. */
void conn_hold(struct conn *c, const struct node *n, int in, unsigned ms, enum frame_fault frame);
void conn_unhold_later(struct conn *c);
void conn_unhold(struct conn *c, int in);
/* conn_in.c */
void conn_handle_in(struct conn *c, const struct node *n);
void conn_on_read(struct bufferevent *bev, void *arg);

#endif
