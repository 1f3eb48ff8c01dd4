/* What goes out on a connection: frames, stanzas, and what faults do to them. */
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "tests/sim/conn_impl.h"

void
conn_on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	if (!c->dead)
		bufferevent_write_buffer(c->bev, c->out);
}

void
conn_flush_soon(struct conn *c)
{
	if (evbuffer_get_length(bufferevent_get_output(c->bev)) > MAX_UNSENT)
		conn_reset(c, "it does not read");
	else
		event_active(c->flush, EV_TIMEOUT, 0);
}

int
conn_has_room(const struct conn *c)
{
	return evbuffer_get_length(bufferevent_get_output(c->bev)) + evbuffer_get_length(c->out) <
	       ROOM;
}

void
conn_put_message(struct conn *c, enum ws_op op, const void *data, size_t len)
{
	uint8_t head[10];

	evbuffer_add(c->out, head, ws_header(head, op, len));
	evbuffer_add(c->out, data, len);
}

/* A frame before the traffic keys. */
void
conn_send_plain(struct conn *c, const struct buf *b)
{
	struct buf frame = BUF_INIT;

	buf_put_be24(&frame, (uint32_t)b->len);
	buf_put(&frame, b->data, b->len);
	conn_put_message(c, WS_BINARY, frame.data, frame.len);
	buf_clear(&frame);
	conn_flush_soon(c);
}

static void
unjoin(struct conn *c)
{
	size_t len = evbuffer_get_length(c->joined);

	if (len > 0) {
		conn_put_message(c, WS_BINARY, evbuffer_pullup(c->joined, -1), len);
		evbuffer_drain(c->joined, len);
		conn_flush_soon(c);
	}
}

static void
unjoin_later(void *arg)
{
	struct conn *c = conn_by_id((uint64_t)(uintptr_t)arg);

	if (c != NULL)
		unjoin(c);
}

static void
put_frame_faulty(struct conn *c, uint8_t *frame, size_t len, enum frame_fault fault)
{
	static const uint8_t zero[3];

	switch (fault) {
	case FRAME_FLIP:
		frame[3 + (len - 3) / 2] ^= 1;
		break;
	case FRAME_REPEAT:
		conn_put_message(c, WS_BINARY, frame, len);
		break;
	case FRAME_OVERSIZE:
		memset(frame, 0xff, 3);
		break;
	case FRAME_ZERO:
		conn_put_message(c, WS_BINARY, zero, sizeof(zero));
		break;
	case FRAME_SPLIT:
		for (size_t i = 0; i < len; i++)
			conn_put_message(c, WS_BINARY, frame + i, 1);
		return;
	case FRAME_TEXT:
		conn_put_message(c, WS_TEXT, "text", 4);
		break;
	case FRAME_PING:
		conn_put_message(c, WS_PING, "ward", 4);
		break;
	case FRAME_JOIN:
	case FRAME_SWAP:
		c->swap = fault == FRAME_SWAP;
		evbuffer_add(c->joined, frame, len);
		loop_after(REORDER_MS, unjoin_later, (void *)(uintptr_t)c->id, NULL);
		return;
	default:
		break;
	}
	conn_put_message(c, WS_BINARY, frame, len);
}

void
conn_send_raw(struct conn *c, const void *payload, size_t len, enum frame_fault fault)
{
	size_t clen = len + TAG_LEN, hlen, joined = evbuffer_get_length(c->joined);
	struct evbuffer_iovec v;
	uint8_t head[13], *frame;

	if (c->dead || c->state != ST_OPEN)
		return;
	conn_stats.frames_out++;
	conn_stats.bytes_out += clen;
	if (fault != FRAME_FINE || joined > 0) {
		if ((frame = malloc(clen + 3)) == NULL)
			fatal("frame");
		frame[0] = (uint8_t)(clen >> 16);
		frame[1] = (uint8_t)(clen >> 8);
		frame[2] = (uint8_t)clen;
		crypt_stream_seal(&c->tx, payload, len, frame + 3);
		if (joined > 0) {
			if (c->swap)
				evbuffer_prepend(c->joined, frame, clen + 3);
			else
				evbuffer_add(c->joined, frame, clen + 3);
			unjoin(c);
		} else {
			put_frame_faulty(c, frame, clen + 3, fault);
		}
		free(frame);
		conn_flush_soon(c);
		return;
	}
	hlen = ws_header(head, WS_BINARY, clen + 3);
	head[hlen] = (uint8_t)(clen >> 16);
	head[hlen + 1] = (uint8_t)(clen >> 8);
	head[hlen + 2] = (uint8_t)clen;
	if (evbuffer_reserve_space(c->out, (ev_ssize_t)(hlen + 3 + clen), &v, 1) != 1)
		fatalx("no memory for a frame");
	memcpy(v.iov_base, head, hlen + 3);
	crypt_stream_seal(&c->tx, payload, len, (uint8_t *)v.iov_base + hlen + 3);
	v.iov_len = hlen + 3 + clen;
	evbuffer_commit_space(c->out, &v, 1);
	conn_flush_soon(c);
}

/* --- stanzas out --- */

struct held {
	uint64_t conn;
	struct node *n;
	int in;
	enum frame_fault frame;
};

static void
held_free(void *arg)
{
	struct held *h = arg;

	node_free(h->n);
	free(h);
}

static void
release(void *arg)
{
	struct held *h = arg;
	struct conn *c = conn_by_id(h->conn);

	if (c != NULL && c->state == ST_OPEN) {
		if (h->in)
			conn_handle_in(c, h->n);
		else
			conn_send_now(c, h->n, h->frame);
	}
	held_free(h);
}

void
conn_hold(struct conn *c, const struct node *n, int in, unsigned ms, enum frame_fault frame)
{
	struct held *h = calloc(1, sizeof(*h));

	if (h == NULL)
		fatal("held stanza");
	h->conn = c->id;
	h->n = nodes_copy(n);
	h->in = in;
	h->frame = frame;
	loop_after(ms, release, h, held_free);
}

static void
deflate_stanza(struct buf *b)
{
	uLongf len = compressBound(b->len);
	uint8_t *z = malloc(len + 1);

	if (z == NULL || compress2(z + 1, &len, b->data + 1, b->len - 1, 9) != Z_OK)
		fatalx("zlib");
	z[0] = 2;
	buf_reset(b);
	buf_put(b, z, len + 1);
	free(z);
}

void
conn_send_now(struct conn *c, const struct node *n, enum frame_fault fault)
{
	struct party p = conn_party(c);
	struct buf b = BUF_INIT;

	if (node_encode(n, &b) != 0) {
		log_errx("a stanza <%s> could not be written", n->tag);
		buf_clear(&b);
		return;
	}
	stanza_log_write(&p, DIR_OUT, n);
	expect_seen(&p, DIR_OUT, n);
	if (fault == FRAME_COMPRESS)
		deflate_stanza(&b);
	conn_send_raw(c, b.data, fault == FRAME_CUT ? b.len - 1 : b.len, fault);
	buf_clear(&b);
}

void
conn_unhold(struct conn *c, int in)
{
	struct node **slot = in ? &c->held_in : &c->held_out, *n = *slot;

	if (n == NULL)
		return;
	*slot = NULL;
	if (in)
		conn_handle_in(c, n);
	else
		conn_send_now(c, n, FRAME_FINE);
	node_free(n);
}

static void
unhold_both(void *arg)
{
	struct conn *c = conn_by_id((uint64_t)(uintptr_t)arg);

	if (c != NULL) {
		conn_unhold(c, 0);
		conn_unhold(c, 1);
	}
}

void
conn_unhold_later(struct conn *c)
{
	loop_after(REORDER_MS, unhold_both, (void *)(uintptr_t)c->id, NULL);
}

/* The faults of one outgoing stanza. */
static void
send_faulty(struct conn *c, const struct node *n, const struct verdict *v)
{
	struct party p = conn_party(c);
	struct node *copy = nodes_copy(n);

	stanza_log_note(&p, "fault on the next <%s> out", n->tag);
	if (v->freeze)
		conn_freeze(c, v->freeze_ms);
	faults_change(copy, v);
	if (v->reorder && c->held_out == NULL) {
		c->held_out = copy;
		conn_unhold_later(c);
		return;
	}
	if (!v->drop && v->delay_ms > 0)
		conn_hold(c, copy, 0, v->delay_ms, v->frame);
	else if (!v->drop)
		conn_send_now(c, copy, v->frame);
	if (v->duplicate)
		conn_send_now(c, copy, FRAME_FINE);
	node_free(copy);
	if (v->reset)
		conn_reset(c, "fault");
	else if (v->close)
		conn_end(c, "fault");
}

void
conn_send(struct conn *c, const struct node *n)
{
	struct node *held = c->held_out;
	struct verdict v;
	struct party p;

	if (c->dead || c->state != ST_OPEN || n == NULL)
		return;
	p = conn_party(c);
	if (faults_check(&p, DIR_OUT, n, &v))
		send_faulty(c, n, &v);
	else
		conn_send_now(c, n, FRAME_FINE);
	if (held != NULL && held == c->held_out)
		conn_unhold(c, 0);
}
