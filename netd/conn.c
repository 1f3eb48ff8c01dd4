/* One connection: TLS, upgrade, handshake, stanzas, end; in this order. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "common/pb.h"
#include "ipc/keyd.pb-c.h"
#include "netd/conn.h"
#include "netd/noise_stream.h"
#include "netd/websocket.h"

#define ORIGIN          "https://web.whatsapp.com"
#define LINGER_MS       3000  /* for the peer to answer our close frame */
#define PEER_LINGER_MS  1000  /* for the peer to end what it has closed */
#define LOGIN_WAIT_MS   20000 /* how long a large frame may wait for the login to be complete */
#define KEYD_WAIT_MS    10000
#define HELLO_REPLY_MAX (20u * 1024)
#define KEYS_REPLY_MAX  (20u * 1024)

enum conn_state {
	ST_CONNECTING, /* TCP, proxy, TLS */
	ST_UPGRADING,  /* HTTP request is out */
	ST_HELLO,      /* keyd makes the client hello */
	ST_SERVER,     /* waiting for the server hello */
	ST_FINISH,     /* keyd checks it and makes the keys */
	ST_OPEN,
	ST_CLOSING, /* close frame is out */
	ST_DEAD
};

/* A question to keyd: outlives the connection if it cannot be cancelled any more. */
struct question {
	struct conn *conn; /* NULL: nobody waits for the answer */
	uint32_t id;       /* 0: it failed, the answer comes all the same */
};

struct conn {
	struct netd *nd;
	struct conn_params params;
	const struct conn_handler *h;
	void *arg;
	enum conn_state state, died_in;
	struct transport *transport;
	struct buf http; /* the answer to the upgrade */
	char key[WS_KEY_TEXT];
	struct ws_reader ws;
	int ws_done; /* the peer has sent its last frame */
	struct noise_stream noise;
	struct question *question;
	int keyd_knows; /* it holds an ephemeral key for us */
	int over; /* the peer has ended it while keyd makes the keys; reason and text are set */
	int logged_in;
	struct event *timer, *ev_closed;
	struct conn_stats stats;
	enum conn_again again;
	char reason[64];
	char text[256];
};

static struct log_limit text_limit = LOG_LIMIT_INIT;

/* ---------------------------------------------------------------- end */

static void
drop_keyd(struct conn *c)
{
	Keyd__NoiseDrop m = KEYD__NOISE_DROP__INIT;

	if (c->question != NULL && c->question->id != 0) {
		channel_cancel(c->nd->keyd, c->question->id);
		free(c->question);
	} else if (c->question != NULL) {
		c->question->conn = NULL;
	}
	c->question = NULL;
	if (!c->keyd_knows)
		return;
	c->keyd_knows = 0;
	m.account = pb_str(c->params.account);
	m.conn = c->params.id;
	(void)channel_notify(c->nd->keyd, KEYD__TYPE__NOISE_DROP, &m.base);
}

/* Everything but the struct: after this no byte moves. */
static void
tear_down(struct conn *c)
{
	c->nd->transport->close(c->transport);
	c->transport = NULL;
	drop_keyd(c);
	(void)evtimer_del(c->timer);
}

void
conn_fail(struct conn *c, enum conn_again again, const char *reason, const char *fmt, ...)
{
	va_list ap;

	if (c->state == ST_DEAD)
		return;
	if (c->text[0] == '\0') {
		va_start(ap, fmt);
		(void)vsnprintf(c->text, sizeof(c->text), fmt, ap);
		va_end(ap);
	}
	if (c->state != ST_CLOSING) {
		(void)snprintf(c->reason, sizeof(c->reason), "%s", reason);
		c->died_in = c->state;
	}
	c->again = again;
	c->state = ST_DEAD;
	tear_down(c);
	event_active(c->ev_closed, EV_TIMEOUT, 0);
}

static void
on_closed(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	c->h->closed(c->arg, c->reason, c->text, c->again);
}

void
conn_free(struct conn *c)
{
	if (c == NULL)
		return;
	tear_down(c);
	event_free(c->timer);
	event_free(c->ev_closed);
	buf_clear(&c->http);
	noise_clear(&c->noise);
	free(c);
}

static void
arm(struct conn *c, int64_t ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	(void)evtimer_add(c->timer, &tv);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	static const char *const stages[] = {"connecting", "the upgrade", "our hello",
	    "the server's hello", "the keys", "the login before a large frame", "the close", ""};
	struct conn *c = arg;

	conn_fail(c, AGAIN_LATER, "timeout", "no end of %s in time", stages[c->state]);
}

/* Only for the case that the stream itself broke: a handler that stops it has failed us already. */
static const char *
noise_error(const struct conn *c)
{
	return c->noise.error != NULL ? c->noise.error : "stopped";
}

/* ---------------------------------------------------------------- bytes out */

/* Queue one WebSocket message that is already built up to its payload at `start`. */
static void
send_masked(struct conn *c, struct buf *out, size_t payload, const uint8_t mask[4])
{
	ws_mask(out->data + payload, out->len - payload, mask);
	c->stats.bytes_out += out->len - payload;
	c->nd->transport->flush(c->transport);
}

static int
send_control(struct conn *c, enum ws_opcode op, const uint8_t *data, size_t len)
{
	struct buf *out = c->nd->transport->room(c->transport, 14 + len);
	uint8_t mask[4];

	randombytes_buf(mask, sizeof(mask));
	if (out == NULL || ws_put(out, op, data, len, mask) == -1)
		return -1;
	c->nd->transport->flush(c->transport);
	return 0;
}

/* A handshake message in a WebSocket message of its own. 0 or -1. */
static int
send_handshake(struct conn *c, int first, const ProtobufCBinaryData *m)
{
	const struct buf *r = c->params.routing;
	struct buf body = BUF_INIT, *out;
	uint8_t mask[4];
	int ok = -1;

	randombytes_buf(mask, sizeof(mask));
	if ((first ? noise_put_hello(&body, r->data, r->len, m->data, m->len)
		   : noise_put_plain(&body, m->data, m->len)) == 0 &&
	    (out = c->nd->transport->room(c->transport, 14 + body.len)) != NULL &&
	    ws_put(out, WS_BINARY, body.data, body.len, mask) == 0) {
		c->stats.bytes_out += body.len;
		c->nd->transport->flush(c->transport);
		ok = 0;
	}
	buf_clear(&body);
	if (ok == -1)
		conn_fail(c, AGAIN_LATER, "noise", "cannot send the handshake");
	return ok;
}

int
conn_send(struct conn *c, const void *node, size_t len)
{
	size_t sealed = NOISE_SEALED_SIZE(len), start;
	struct buf *out;
	uint8_t mask[4];

	if (c->state != ST_OPEN)
		return -1;
	out = c->nd->transport->room(c->transport, 14 + sealed);
	if (out == NULL) {
		conn_fail(c, AGAIN_LATER, "overflow", "%zu bytes wait to be sent",
		    c->nd->transport->queued(c->transport));
		return -1;
	}
	randombytes_buf(mask, sizeof(mask));
	if (ws_put_header(out, WS_BINARY, sealed, mask) == 0) {
		start = out->len;
		if (noise_seal(&c->noise, node, len, out) == 0) {
			c->stats.frames_out++;
			send_masked(c, out, start, mask);
			return 0;
		}
	}
	/* part of a message is in the queue: the connection is of no use any more */
	conn_fail(c, AGAIN_LATER, "frame", "cannot encrypt %zu bytes", len);
	return -1;
}

/* ---------------------------------------------------------------- 1. TCP, proxy, TLS -> upgrade */

static void
on_transport_open(void *arg)
{
	struct conn *c = arg;
	const struct settings *s = &c->nd->settings;
	struct ws_target to = {.host = s->host,
	    .path = s->path,
	    .origin = ORIGIN,
	    .user_agent = s->user_agent,
	    .port = s->port};
	struct buf *out = c->nd->transport->room(c->transport, 4096);
	uint8_t random[16];

	randombytes_buf(random, sizeof(random));
	ws_key(random, c->key);
	if (out == NULL || ws_request(out, &to, c->key) == -1) {
		conn_fail(c, AGAIN_LATER, "upgrade", "cannot send the request");
		return;
	}
	c->state = ST_UPGRADING;
	c->nd->transport->flush(c->transport);
}

/* ---------------------------------------------------------------- 2. upgrade -> client hello */

static void hello_made(const struct reply *r, void *arg);
static void keys_made(const struct reply *r, void *arg);

/* Ask keyd; then() gets the question. */
static void
ask(struct conn *c, uint32_t type, const ProtobufCMessage *m, uint32_t reply_type,
    const ProtobufCMessageDescriptor *desc, uint32_t max, channel_reply_fn *then)
{
	c->question = calloc(1, sizeof(*c->question));
	if (c->question == NULL) {
		conn_fail(c, AGAIN_LATER, "memory", "out of memory");
		return;
	}
	c->question->conn = c;
	c->question->id = channel_request(
	    c->nd->keyd, type, m, reply_type, desc, max, KEYD_WAIT_MS, then, c->question);
}

/* The connection that asked, or NULL if it is gone. */
static struct conn *
answered(struct question *q)
{
	struct conn *c = q->conn;

	free(q);
	if (c != NULL)
		c->question = NULL;
	return c;
}

static void
ask_hello(struct conn *c)
{
	Keyd__NoiseHello m = KEYD__NOISE_HELLO__INIT;

	m.account = pb_str(c->params.account);
	m.conn = c->params.id;
	/* if keyd knows the server it goes with the hello */
	m.has_payload = 1;
	m.payload = pb_bytes(c->params.payload->data, c->params.payload->len);
	c->state = ST_HELLO;
	c->keyd_knows = 1;
	ask(c, KEYD__TYPE__NOISE_HELLO, &m.base, KEYD__TYPE__NOISE_HELLO_REPLY,
	    &keyd__noise_hello_reply__descriptor, HELLO_REPLY_MAX, hello_made);
}

/* A refusal whose cause is at the far end, or with us, will not heal soon. */
static enum conn_again
again_after(int status)
{
	if (status == 408 || status == 429 || status / 100 != 4)
		return AGAIN_LATER;
	return AGAIN_LONGEST;
}

static void feed_frames(struct conn *c, const uint8_t *data, size_t len);

static void
take_answer(struct conn *c, const uint8_t *data, size_t len)
{
	struct buf kept = BUF_INIT;
	const char *why;
	char reason[16];
	size_t used;
	int status;

	if (buf_put(&c->http, data, len) == -1) {
		conn_fail(c, AGAIN_LATER, "upgrade", "headers too long");
		return;
	}
	switch (ws_response(c->http.data, c->http.len, c->key, &used, &status, &why)) {
	case WS_ANSWER_MORE:
		break;
	case WS_ANSWER_BAD:
		conn_fail(c, AGAIN_LATER, "upgrade", "%s", why);
		break;
	case WS_ANSWER_REFUSED:
		(void)snprintf(reason, sizeof(reason), "http_%d", status);
		conn_fail(c, again_after(status), reason,
		    "the service answered the upgrade with HTTP status %d", status);
		break;
	case WS_ANSWER_OPEN:
		kept = c->http;
		memset(&c->http, 0, sizeof(c->http));
		ask_hello(c);
		feed_frames(c, kept.data + used, kept.len - used);
		buf_clear(&kept);
		break;
	}
}

/* ---------------------------------------------------------------- 3. the handshake with keyd */

/* keyd did not do it: its word is ours, if it is about the far end or the account. */
static void
keyd_refused(struct conn *c, const struct reply *r)
{
	static const char *const ours[] = {"timeout", "busy", "closed", "bad_request", "state"};
	const char *reason = r->code;
	size_t i;

	for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		if (strcmp(r->code, ours[i]) == 0)
			reason = "keyd";
	}
	conn_fail(c, AGAIN_LATER, reason, "keyd: %s: %s", r->code, r->text);
}

static void
hello_made(const struct reply *r, void *arg)
{
	struct conn *c = answered(arg);
	const Keyd__NoiseHelloReply *m = (const void *)r->pb;

	if (c == NULL)
		return;
	if (!r->ok) {
		keyd_refused(c, r);
		return;
	}
	if (send_handshake(c, 1, &m->client_hello) == 0)
		c->state = ST_SERVER;
}

static int
take_server_hello(struct conn *c, const uint8_t *data, size_t len)
{
	Keyd__NoiseFinish m = KEYD__NOISE_FINISH__INIT;

	if (c->state != ST_SERVER) {
		conn_fail(c, AGAIN_LATER, "frame", "a frame before our hello");
		return -1;
	}
	m.account = pb_str(c->params.account);
	m.conn = c->params.id;
	m.server_hello = pb_bytes(data, len);
	m.payload.data = c->params.payload->data;
	m.payload.len = c->params.payload->len;
	c->state = ST_FINISH;
	ask(c, KEYD__TYPE__NOISE_FINISH, &m.base, KEYD__TYPE__NOISE_FINISH_REPLY,
	    &keyd__noise_finish_reply__descriptor, KEYS_REPLY_MAX, keys_made);
	return c->state == ST_DEAD ? -1 : 0;
}

/* A large frame before the login is complete: it may be that apid's word is on its way. */
static void
wait_if_held(struct conn *c)
{
	if (c->state == ST_OPEN && c->noise.held && !evtimer_pending(c->timer, NULL)) {
		c->nd->transport->pause(c->transport, 1);
		arm(c, LOGIN_WAIT_MS);
	}
}

/* All that could be read of it was. */
static void
over_now(struct conn *c)
{
	char reason[sizeof(c->reason)];

	memcpy(reason, c->reason, sizeof(reason));
	conn_fail(c, AGAIN_LATER, reason, "%s", c->text);
}

/* The channel wipes the message with the keys when this returns. */
static void
keys_made(const struct reply *r, void *arg)
{
	struct conn *c = answered(arg);
	const Keyd__NoiseFinishReply *m = (const void *)r->pb;

	if (c == NULL)
		return;
	c->keyd_knows = 0; /* it forgets with its answer, whatever that is */
	if (!r->ok) {
		keyd_refused(c, r);
		return;
	}
	if (m->tx_key.len != NOISE_KEY || m->rx_key.len != NOISE_KEY) {
		conn_fail(c, AGAIN_LATER, "keyd", "traffic keys of a wrong size");
		return;
	}
	if (c->over && m->client_finish.len > 0) {
		over_now(c);
		return;
	}
	if (m->client_finish.len > 0 && send_handshake(c, 0, &m->client_finish) == -1)
		return;
	c->state = ST_OPEN;
	(void)evtimer_del(c->timer);
	c->h->open(c->arg);
	if (noise_set_keys(&c->noise, m->tx_key.data, m->rx_key.data) == -1 && c->state != ST_DEAD)
		conn_fail(c, AGAIN_LATER, "frame", "%s", c->noise.error);
	if (c->over)
		over_now(c);
}

/* ---------------------------------------------------------------- 4. frames in */

/* One payload of the Noise stream. */
static int
on_noise(void *arg, const uint8_t *data, size_t len)
{
	struct conn *c = arg;

	if (c->state == ST_DEAD)
		return -1;
	if (c->noise.mode == NOISE_HANDSHAKE)
		return take_server_hello(c, data, len);
	c->stats.frames_in++;
	if (c->state == ST_OPEN)
		c->h->stanza(c->arg, data, len);
	return c->state == ST_DEAD ? -1 : 0;
}

static int
on_ws_data(void *arg, const uint8_t *data, size_t len)
{
	struct conn *c = arg;

	c->stats.bytes_in += len;
	if (noise_feed(&c->noise, data, len) == -1) {
		conn_fail(c, AGAIN_LATER, "frame", "%s", noise_error(c));
		return -1;
	}
	wait_if_held(c);
	return 0;
}

/* The peer ends it, but what it has said before that cannot be read yet: to an IK hello it may
 * answer with a refused login at once. */
static void
over_soon(struct conn *c, const char *reason)
{
	if (!c->over)
		(void)snprintf(c->reason, sizeof(c->reason), "%s", reason);
	c->over = 1;
}

static int
on_ws_control(void *arg, enum ws_opcode op, const uint8_t *data, size_t len)
{
	struct conn *c = arg;
	unsigned code = len >= 2 ? (unsigned)data[0] << 8 | data[1] : 1005;

	if (op == WS_PONG)
		return 0;
	if (op == WS_PING) {
		if (c->state == ST_CLOSING || send_control(c, WS_PONG, data, len) == 0)
			return 0;
		conn_fail(c, AGAIN_LATER, "overflow", "no room for a pong");
		return -1;
	}
	if (c->state == ST_CLOSING) {
		conn_fail(c, AGAIN_LATER, c->reason, "close code %u", code);
	} else if (c->state == ST_FINISH) {
		(void)send_control(c, WS_CLOSE, data, len >= 2 ? 2 : 0);
		(void)snprintf(c->text, sizeof(c->text), "close code %u", code);
		over_soon(c, "peer_closed");
	} else {
		/* say the same, and let the peer end it: it closes the TCP side by RFC 6455 */
		(void)send_control(c, WS_CLOSE, data, len >= 2 ? 2 : 0);
		(void)snprintf(c->reason, sizeof(c->reason), "peer_closed");
		(void)snprintf(c->text, sizeof(c->text), "close code %u", code);
		c->died_in = c->state;
		c->state = ST_CLOSING;
		drop_keyd(c);
		arm(c, PEER_LINGER_MS);
	}
	return -1;
}

static void
feed_frames(struct conn *c, const uint8_t *data, size_t len)
{
	static const struct ws_events events = {.data = on_ws_data, .control = on_ws_control};
	uint64_t text = c->ws.text_bytes;

	if (c->ws_done)
		return;
	if (ws_feed(&c->ws, data, len, &events, c) == -1) {
		/* a handler that stopped it has failed the connection already, or the peer has
		 * closed: what follows its close frame is nothing */
		c->ws_done = 1;
		if ((c->state != ST_CLOSING && !c->over) || c->ws.error != NULL)
			conn_fail(c, AGAIN_LATER, "websocket", "%s",
			    c->ws.error != NULL ? c->ws.error : "stopped");
		return;
	}
	if (c->ws.text_bytes != text && log_allowed(&text_limit))
		log_warnx("%s: text message from the service ignored", c->params.account);
}

static void
on_transport_data(void *arg, const uint8_t *data, size_t len)
{
	struct conn *c = arg;

	if (c->state == ST_UPGRADING)
		take_answer(c, data, len);
	else if (c->state != ST_DEAD && c->state != ST_CONNECTING)
		feed_frames(c, data, len);
}

static void
on_transport_closed(void *arg, const char *reason, const char *text)
{
	struct conn *c = arg;

	if (c->state != ST_FINISH) {
		conn_fail(c, AGAIN_LATER, reason, "%s", text);
		return;
	}
	if (c->text[0] == '\0')
		(void)snprintf(c->text, sizeof(c->text), "%s", text);
	over_soon(c, reason);
}

/* ---------------------------------------------------------------- the owner's wishes */

struct conn *
conn_new(struct netd *nd, const struct conn_params *p, const struct conn_handler *h, void *arg)
{
	static const struct transport_handler handler = {
	    .open = on_transport_open, .data = on_transport_data, .closed = on_transport_closed};
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->nd = nd;
	c->params = *p;
	c->h = h;
	c->arg = arg;
	c->http.max = WS_RESPONSE_MAX + 64u * 1024;
	noise_init(&c->noise, on_noise, c);
	c->timer = evtimer_new(nd->base, on_timer, c);
	c->ev_closed = event_new(nd->base, -1, 0, on_closed, c);
	if (c->timer != NULL && c->ev_closed != NULL)
		c->transport = nd->transport->connect(nd->engine, &handler, c);
	if (c->transport == NULL) {
		if (c->timer != NULL)
			event_free(c->timer);
		if (c->ev_closed != NULL)
			event_free(c->ev_closed);
		free(c);
		return NULL;
	}
	arm(c, nd->settings.connect_timeout_ms);
	return c;
}

int
conn_is_open(const struct conn *c)
{
	return c->state == ST_OPEN;
}

void
conn_shutdown(struct conn *c, const char *reason)
{
	static const uint8_t normal[2] = {1000 >> 8, 1000 & 0xff};

	if (c->state != ST_OPEN || send_control(c, WS_CLOSE, normal, sizeof(normal)) == -1) {
		conn_fail(c, AGAIN_LATER, reason, "closed by us");
		return;
	}
	(void)snprintf(c->reason, sizeof(c->reason), "%s", reason);
	c->died_in = c->state;
	c->state = ST_CLOSING;
	c->nd->transport->pause(c->transport, 0); /* to see the answer */
	arm(c, LINGER_MS);
}

void
conn_pause(struct conn *c, int paused)
{
	if (c->state == ST_DEAD || c->state == ST_CLOSING)
		return;
	/* a held stream waits for the login, whatever apid's channel does */
	if (!paused && c->state == ST_OPEN && c->noise.held)
		return;
	c->nd->transport->pause(c->transport, paused);
}

void
conn_logged_in(struct conn *c)
{
	if (c->state != ST_OPEN || c->logged_in)
		return;
	c->logged_in = 1;
	(void)evtimer_del(c->timer);
	if (noise_go_on(&c->noise, NOISE_FRAME_MAX) == -1) {
		conn_fail(c, AGAIN_LATER, "frame", "%s", noise_error(c));
		return;
	}
	conn_pause(c, c->nd->holding);
}

const struct conn_stats *
conn_stats(const struct conn *c)
{
	return &c->stats;
}

int
conn_failed_handshake(const struct conn *c)
{
	return c->state == ST_DEAD && c->died_in >= ST_HELLO && c->died_in <= ST_FINISH;
}
