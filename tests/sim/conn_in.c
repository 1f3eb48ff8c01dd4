/* What comes in on a connection: WebSocket messages, the handshake, frames, stanzas. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "tests/sim/conn_impl.h"
#include "tests/sim/rng.h"

static struct log_limit bad_limit = LOG_LIMIT_INIT;

void
conn_handle_in(struct conn *c, const struct node *n)
{
	if (c->state == ST_OPEN)
		conn_hooks.stanza(c, n);
}

static void
answer_error(struct conn *c, const struct node *n, int code)
{
	struct node *a;

	if (strcmp(n->tag, "iq") == 0) {
		a = nodes_error(n, code, NULL);
	} else {
		a = node_new("ack");
		node_set(a, "class", n->tag);
		nodes_copy_attr(a, n, "id");
		node_setf(a, "error", "%d", code);
		node_setf(a, "t", "%lld", (long long)loop_now());
		for (size_t i = 0; i < n->nattrs; i++)
			if (strcmp(n->attrs[i].key, "to") == 0 && n->attrs[i].is_jid)
				node_set_jid(a, "from", &n->attrs[i].jid);
	}
	conn_send(c, a);
	node_free(a);
}

/* The faults of one incoming stanza. 1 = it is not to be handled now. */
static int
in_faulty(struct conn *c, const struct node *n, const struct verdict *v)
{
	struct party p = conn_party(c);

	stanza_log_note(&p, "fault on this <%s> in", n->tag);
	if (v->freeze)
		conn_freeze(c, v->freeze_ms);
	if (v->error != 0) {
		answer_error(c, n, v->error);
		return 1;
	}
	if (v->reorder && c->held_in == NULL) {
		c->held_in = nodes_copy(n);
		conn_unhold_later(c);
		return 1;
	}
	if (v->delay_ms > 0)
		conn_hold(c, n, 1, v->delay_ms, FRAME_FINE);
	if (v->reset)
		conn_reset(c, "fault");
	else if (v->close)
		conn_end(c, "fault");
	return v->drop || v->delay_ms > 0 || v->reset || v->close;
}

static void
stanza_in(struct conn *c, struct node *n)
{
	struct node *held = c->held_in;
	struct party p = conn_party(c);
	struct verdict v;

	stanza_log_write(&p, DIR_IN, n);
	expect_seen(&p, DIR_IN, n);
	if (faults_check(&p, DIR_IN, n, &v)) {
		faults_change(n, &v);
		if (in_faulty(c, n, &v))
			return;
		if (v.duplicate)
			conn_handle_in(c, n);
	}
	conn_handle_in(c, n);
	if (held != NULL && held == c->held_in && c->state == ST_OPEN)
		conn_unhold(c, 1);
}

/* One frame of traffic. 0, or -1: the connection is over. */
static int
frame_in(struct conn *c, uint8_t *frame, size_t len)
{
	struct node_fault fault;
	struct node *n;

	conn_stats.frames_in++;
	conn_stats.bytes_in += len;
	if (crypt_stream_open(&c->rx, frame, len, frame) != 0) {
		conn_stats.bad_frames++;
		conn_end(c, "a frame does not authenticate");
		return -1;
	}
	n = node_decode(frame, len - TAG_LEN, &fault);
	if (n == NULL) {
		struct party p = conn_party(c);

		conn_stats.bad_nodes++;
		stanza_log_note(
		    &p, "bad node: %s at %zu", node_error_text(fault.error), fault.offset);
		if (log_allowed(&bad_limit))
			log_warnx("connection %llu: a frame is no node: %s",
			    (unsigned long long)c->id, node_error_text(fault.error));
		return 0;
	}
	stanza_in(c, n);
	node_free(n);
	return c->state == ST_OPEN ? 0 : -1;
}

/* The traffic keys are ready. */
static int
open_traffic(struct conn *c, const struct buf *payload)
{
	uint8_t rx[32], tx[32];

	noise_split(&c->noise, rx, tx);
	if (crypt_stream_init(&c->rx, rx, 0) != 0 || crypt_stream_init(&c->tx, tx, 1) != 0)
		fatalx("AES-GCM does not start");
	event_del(c->timer);
	c->state = ST_OPEN;
	conn_stats.handshakes++;
	conn_stats.ik += (uint64_t)c->noise.ik;
	conn_stats.ik_fallback += (uint64_t)c->noise.fallback;
	conn_hooks.login(c, c->noise.rs, payload->data, payload->len);
	return c->state == ST_OPEN ? 0 : -1;
}

static int
handshake_failed(struct conn *c, const char *why)
{
	conn_stats.handshake_failures++;
	conn_end(c, why);
	return -1;
}

static int
hello_in(struct conn *c, const uint8_t *frame, size_t len)
{
	struct buf hello = BUF_INIT, payload = BUF_INIT;
	uint8_t e_priv[32], e_pub[32];
	int r;

	crypt_keypair(e_priv, e_pub);
	/* the certificates keep to the true time, also when the service's clock is moved */
	r = noise_hello(&c->noise, conn_identity, e_priv, frame, len, conn_take_forgery(),
	    clock_wall_ms() / 1000, &hello, &payload);
	if (r >= 0) {
		conn_send_plain(c, &hello);
		c->state = ST_FINISH;
	}
	if (r == 1)
		r = open_traffic(c, &payload);
	else if (r == -1)
		handshake_failed(c, "bad client hello");
	buf_clear(&hello);
	buf_clear(&payload);
	return r == -1 ? -1 : 0;
}

static int
finish_in(struct conn *c, const uint8_t *frame, size_t len)
{
	struct buf payload = BUF_INIT;
	int r = -1;

	if (noise_finish(&c->noise, frame, len, &payload) != 0)
		handshake_failed(c, "bad client finish");
	else
		r = open_traffic(c, &payload);
	buf_clear(&payload);
	return r;
}

/* Optional routing info, then 'W' 'A' 6 3. 1 = done, 0 = more bytes needed, -1 = not a client. */
static int
read_intro(struct conn *c)
{
	struct party p = conn_party(c);
	uint8_t head[7];
	size_t n;

	if (evbuffer_copyout(c->stream, head, 4) < 4)
		return 0;
	if (memcmp(head, "ED\0\1", 4) == 0) {
		if (evbuffer_copyout(c->stream, head, 7) < 7)
			return 0;
		n = (size_t)head[4] << 16 | (size_t)head[5] << 8 | head[6];
		if (n > 1024)
			return -1;
		if (evbuffer_get_length(c->stream) < 7 + n + 4)
			return 0;
		stanza_log_note(&p, "routing info, %zu bytes", n);
		evbuffer_drain(c->stream, 7 + n);
		evbuffer_copyout(c->stream, head, 4);
	}
	if (head[0] != 'W' || head[1] != 'A' || head[2] != 6 || head[3] != 3)
		return -1;
	evbuffer_drain(c->stream, 4);
	return 1;
}

static int
handle_frame(struct conn *c, size_t len)
{
	uint8_t *frame;
	int r;

	evbuffer_drain(c->stream, 3);
	if (len == 0)
		return handshake_failed(c, "a frame of length 0");
	frame = evbuffer_pullup(c->stream, (ev_ssize_t)len);
	if (frame == NULL)
		fatalx("no memory for a frame");
	if (c->state == ST_OPEN)
		r = frame_in(c, frame, len);
	else if (c->state == ST_HELLO)
		r = hello_in(c, frame, len);
	else
		r = finish_in(c, frame, len);
	if (r == 0)
		evbuffer_drain(c->stream, len);
	return r;
}

/* All whole frames of the stream. 0, or -1: the connection is over. */
static int
read_frames(struct conn *c)
{
	uint8_t head[3];
	size_t len;
	int r;

	if (c->state == ST_INTRO) {
		if ((r = read_intro(c)) < 0)
			return handshake_failed(c, "no intro");
		if (r == 0)
			return 0;
		c->state = ST_HELLO;
	}
	while (evbuffer_copyout(c->stream, head, 3) == 3) {
		len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
		if (c->state != ST_OPEN && len > MAX_EARLY)
			return handshake_failed(c, "a frame too long before login");
		if (evbuffer_get_length(c->stream) < 3 + len)
			break;
		if (handle_frame(c, len) != 0)
			return -1;
	}
	return 0;
}

/* One WebSocket frame. 0, or -1: the connection is over. */
static int
ws_frame_in(struct conn *c, int op)
{
	size_t len = evbuffer_get_length(c->payload);
	struct party p = conn_party(c);

	switch (op) {
	case WS_BINARY:
		evbuffer_add_buffer(c->stream, c->payload);
		return read_frames(c);
	case WS_PING:
		conn_put_message(c, WS_PONG, evbuffer_pullup(c->payload, -1), len);
		conn_flush_soon(c);
		break;
	case WS_CLOSE:
		conn_end(c, "WebSocket close");
		return -1;
	default:
		stanza_log_note(
		    &p, "WebSocket %s, %zu bytes", op == WS_PONG ? "pong" : "text", len);
		break;
	}
	evbuffer_drain(c->payload, len);
	return c->state == ST_ENDING ? -1 : 0;
}

void
conn_on_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	struct conn *c = arg;
	int op, fin;

	while (!c->dead && c->state != ST_ENDING) {
		op = ws_read(&c->ws, in, c->payload, &fin);
		if (op == WS_MORE)
			return;
		if (op == WS_BAD) {
			conn_end(c, "bad WebSocket frame");
			break;
		}
		if (ws_frame_in(c, op) != 0)
			break;
	}
	if (!c->dead)
		evbuffer_drain(in, evbuffer_get_length(in));
}
