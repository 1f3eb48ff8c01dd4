/* Channels: each rule of the table, requests and their answers, and a peer that breaks them. */
#include <sys/socket.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"
#include "common/proto/e2e.pb-c.h"
#include "ipc/channel.h"
#include "ipc/frame.h"
#include "ipc/ipc.pb-c.h"
#include "ipc/keyd.pb-c.h"
#include "tests/unit/slow.h"

enum {
	T_NOTICE = 1,
	T_ASK,
	T_ANSWER,
	T_FD,
	T_ONCE,
	T_LATER,
	T_NEST,
	T_REFUSE,
	T_HOLD,
	T_BIG
};

struct rig {
	struct event_base *base;
	struct channel *ch;
	int peer; /* the raw end */
	struct frame_reader *r;
	unsigned came[16];
	char last[64];
	int last_fd;
	unsigned broken, closed, drained;
	char why[200];
	int replies, ok;
	char code[80], text[200];
	struct message *held;
	int free_in_handler;
	int pause_in_handler;
	int done; /* for run_until */
};

static int
on_any(struct message *m, void *owner)
{
	struct rig *g = owner;

	g->came[m->type]++;
	g->done++;
	if (m->type == T_NEST || m->type == T_BIG)
		return 0;
	snprintf(g->last, sizeof(g->last), "%s", ((const Keyd__AccountOpen *)m->pb)->account);
	if (m->type == T_FD) {
		g->last_fd = m->fd;
		m->fd = -1;
	}
	if (m->type == T_HOLD)
		g->held = message_hold(m);
	if (m->type == T_REFUSE)
		return -1;
	if (g->pause_in_handler)
		channel_pause(m->channel);
	if (g->free_in_handler) {
		channel_free(g->ch);
		g->ch = NULL;
	}
	return 0;
}

static int
on_ask(struct message *m, void *owner)
{
	const Keyd__AccountOpen *q = (const Keyd__AccountOpen *)m->pb;
	Keyd__PairQrReply a = KEYD__PAIR_QR_REPLY__INIT;

	on_any(m, owner);
	if (strcmp(q->account, "bad") == 0)
		return channel_reply_error(
		    m->channel, m->id, "unknown_account", "no %s here", "such");
	a.text = q->account;
	return channel_reply(m->channel, m->id, T_ANSWER, &a.base);
}

#define OPEN &keyd__account_open__descriptor
static const struct channel_row rows[] = {
    {T_NOTICE, "notice", 4, 10, CHANNEL_ALL_STATES, 0, OPEN, on_any},
    {T_ASK, "ask", 2, 1000, CHANNEL_ALL_STATES, ROW_REQUEST, OPEN, on_ask},
    {T_FD, "with_fd", 2, 100, CHANNEL_ALL_STATES, ROW_FD, OPEN, on_any},
    {T_ONCE, "once", 2, 100, CHANNEL_ALL_STATES, ROW_ONCE, OPEN, on_any},
    {T_LATER, "later", 2, 100, 2, 0, OPEN, on_any},
    {T_NEST, "nest", 0, 1 << 20, CHANNEL_ALL_STATES, 0, &e2e__message__descriptor, on_any},
    {T_REFUSE, "refuse", 2, 100, CHANNEL_ALL_STATES, 0, OPEN, on_any},
    {T_HOLD, "hold", 2, 100, CHANNEL_ALL_STATES, ROW_REQUEST, OPEN, on_any},
    {T_BIG, "big", 0, FRAME_PAYLOAD_MAX, CHANNEL_ALL_STATES, 0, &keyd__pair_qr_reply__descriptor,
	on_any},
};

static void
on_broken(struct channel *ch, void *owner, const char *why)
{
	struct rig *g = owner;

	g->broken++;
	g->done++;
	snprintf(g->why, sizeof(g->why), "%s", why);
}

static void
on_closed(struct channel *ch, void *owner)
{
	struct rig *g = owner;

	g->closed++;
	g->done++;
}

static void
on_drained(struct channel *ch, void *owner)
{
	struct rig *g = owner;

	g->drained++;
	g->done++;
}

static void
on_reply(const struct reply *r, void *arg)
{
	struct rig *g = arg;

	g->replies++;
	g->done++;
	g->ok = r->ok;
	if (r->ok) {
		assert_non_null(r->pb);
		snprintf(g->text, sizeof(g->text), "%s", ((const Keyd__PairQrReply *)r->pb)->text);
	} else {
		assert_null(r->pb);
		snprintf(g->code, sizeof(g->code), "%s", r->code);
		snprintf(g->text, sizeof(g->text), "%s", r->text);
	}
}

static int64_t
peer_limit(void *arg, uint32_t type, uint32_t id, uint16_t flags, int *wants_fd)
{
	*wants_fd = (flags & FRAME_FD) != 0;
	return FRAME_PAYLOAD_MAX;
}

static void
rig_open_with(struct rig *g, const struct channel_config *more)
{
	struct channel_config cfg = *more;
	int s[2];

	memset(g, 0, sizeof(*g));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, s), 0);
	g->base = event_base_new();
	g->peer = s[1];
	g->last_fd = -1;
	g->r = frame_reader_new(peer_limit, NULL);
	cfg.name = "test";
	cfg.rows = rows;
	cfg.nrows = sizeof(rows) / sizeof(rows[0]);
	cfg.owner = g;
	cfg.on_broken = on_broken;
	cfg.on_closed = on_closed;
	cfg.on_drained = on_drained;
	g->ch = channel_new(g->base, s[0], &cfg);
	assert_non_null(g->ch);
}

static void
rig_open(struct rig *g)
{
	struct channel_config none = {0};

	rig_open_with(g, &none);
}

static void
rig_close(struct rig *g)
{
	channel_free(g->ch);
	if (g->peer != -1)
		close(g->peer);
	frame_reader_free(g->r);
	event_base_free(g->base);
}

/* Run the loop until g->done has reached n; the alarm ends a loop that would wait for ever. */
static void
run_until(struct rig *g, int n)
{
	while (g->done < n)
		assert_int_equal(event_base_loop(g->base, EVLOOP_ONCE), 0);
}

/* Whatever is due now, and nothing that is still to come. */
static void
run_now(struct rig *g)
{
	int i;

	for (i = 0; i < 10; i++)
		event_base_loop(g->base, EVLOOP_NONBLOCK);
}

static void
raw(struct rig *g, uint32_t type, uint32_t id, uint16_t flags, const void *data, size_t len, int fd)
{
	struct frame_writer *w = frame_writer_new(FRAME_PAYLOAD_MAX + 1000, 10);
	const char *why;
	enum frame_status st;

	assert_int_equal(frame_put(w, type, id, flags, data, len, fd), 0);
	while ((st = frame_write(w, g->peer, &why)) == FRAME_AGAIN)
		event_base_loop(g->base, EVLOOP_NONBLOCK);
	assert_int_equal(st, FRAME_OK);
	frame_writer_free(w);
}

/* A frame from the channel; runs the loop until there is one. */
static struct frame
raw_read(struct rig *g)
{
	enum frame_status st;
	struct frame f;
	const char *why = "";

	while ((st = frame_read(g->r, g->peer, &f, &why)) == FRAME_AGAIN)
		event_base_loop(g->base, EVLOOP_NONBLOCK);
	if (st != FRAME_OK)
		fail_msg("peer: status %d, %s", st, why);
	return f;
}

/* AccountOpen of an account of that many letters; returns the bytes. */
static size_t
open_bytes(uint8_t *out, size_t letters)
{
	out[0] = 0x0a;
	out[1] = (uint8_t)letters;
	memset(out + 2, 'a', letters);
	return 2 + letters;
}

static void
assert_broken(struct rig *g, const char *why)
{
	run_until(g, 1);
	run_now(g);
	assert_int_equal(g->broken, 1);
	assert_int_equal(g->closed, 0);
	if (strstr(g->why, why) == NULL)
		fail_msg("broken because \"%s\", not \"%s\"", g->why, why);
}

static int
some_fd(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* ---------------------------------------------------------------- the table */

static void
test_notice(void **state)
{
	uint8_t b[300];
	struct rig g;

	rig_open(&g);
	raw(&g, T_NOTICE, 0, 0, b, open_bytes(b, 2), -1); /* exactly min */
	run_until(&g, 1);
	assert_string_equal(g.last, "aa");
	raw(&g, T_NOTICE, 0, 0, b, open_bytes(b, 8), -1); /* exactly max */
	run_until(&g, 2);
	assert_string_equal(g.last, "aaaaaaaa");
	assert_int_equal(g.broken, 0);
	rig_close(&g);
}

static const struct {
	const char *what;
	uint32_t type, id;
	uint16_t flags;
	const char *bytes;
	size_t len;
	int fd;
	const char *why;
} breaches[] = {
    {"one byte short", T_NOTICE, 0, 0, "\x0a\x01g", 3, 0, "notice: 3 bytes, at least 4"},
    {"one byte long", T_NOTICE, 0, 0, "\x0a\x09ggggggggg", 11, 0, "notice: a message is too long"},
    {"unknown type", 77, 0, 0, "", 0, 0, "type 77"},
    {"type of an answer, unasked", T_ANSWER, 0, 0, "\x0a\x01g", 3, 0, "type 3"},
    {"wrong state", T_LATER, 0, 0, "\x0a\x01g", 3, 0, "later: not allowed in state"},
    {"request without id", T_ASK, 0, 0, "\x0a\x01g", 3, 0, "ask: a request without an id"},
    {"notice with id", T_NOTICE, 1, 0, "\x0a\x02gg", 4, 0, "notice: a notice with a request id"},
    {"missing descriptor", T_FD, 0, 0, "\x0a\x01g", 3, 0, "with_fd: a message without"},
    {"needless descriptor", T_NOTICE, 0, 0, "\x0a\x02gg", 4, 1, "notice: a descriptor with"},
    {"required field missing", T_BIG, 0, 0, "", 0, 0, "big: malformed"},
    {"unknown field alone", T_ASK, 1, 0, "\x12\x00", 2, 0, "ask: unknown field"},
    {"length beyond the end", T_NOTICE, 0, 0, "\x0a\x03gg", 4, 0, "notice: malformed"},
    {"trailing unknown field", T_NOTICE, 0, 0, "\x0a\x02gg\x10\x01", 6, 0, "notice: unknown field"},
    {"a NUL in a string", T_NOTICE, 0, 0, "\x0a\x02g\x00", 4, 0, "notice: malformed"},
    {"handler says so", T_REFUSE, 0, 0, "\x0a\x01g", 3, 0, "refuse: refused"},
    {"answer to nothing", T_ANSWER, 9, FRAME_REPLY, "\x0a\x01g", 3, 0, "answer to request 9"},
    {"error to nothing", 0, 9, FRAME_REPLY | FRAME_ERROR, "", 0, 0, "answer to request 9"},
    {"reply of a row's type", T_NOTICE, 1, FRAME_REPLY, "\x0a\x02gg", 4, 0, "answer to request 1"},
};

static void
test_breaches(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(breaches) / sizeof(breaches[0]); i++) {
		int fd = breaches[i].fd ? some_fd() : -1;
		struct rig g;

		rig_open(&g);
		raw(&g, breaches[i].type, breaches[i].id, breaches[i].flags, breaches[i].bytes,
		    breaches[i].len, fd);
		/* what follows a breach is not even looked at */
		raw(&g, T_NOTICE, 0, 0, "\x0a\x02zz", 4, -1);
		run_until(&g, 1);
		run_now(&g);
		if (g.broken != 1 || g.came[T_NOTICE] != 0)
			fail_msg(
			    "%s: broken %u, came %u", breaches[i].what, g.broken, g.came[T_NOTICE]);
		assert_broken(&g, breaches[i].why);
		assert_int_equal(channel_notify(g.ch, 1, NULL), -1);
		rig_close(&g);
	}
}

static void
test_states(void **state)
{
	struct rig g;

	rig_open(&g);
	assert_int_equal(channel_state(g.ch), 1);
	channel_set_state(g.ch, 2);
	raw(&g, T_LATER, 0, 0, "\x0a\x01g", 3, -1);
	run_until(&g, 1);
	assert_int_equal(g.came[T_LATER], 1);
	channel_set_state(g.ch, 4);
	g.done = 0;
	raw(&g, T_LATER, 0, 0, "\x0a\x01g", 3, -1);
	assert_broken(&g, "later: not allowed in state 0x4");
	rig_close(&g);
}

/* The header came while the message was allowed, the rest when it was not any more. */
static void
test_state_moves_within_a_frame(void **state)
{
	static const uint8_t bytes[] = {
	    0, 0, 0, T_LATER, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0x0a, 1, 'g'};
	struct rig g;

	rig_open(&g);
	channel_set_state(g.ch, 2);
	assert_int_equal(write(g.peer, bytes, 17), 17);
	run_now(&g);
	channel_set_state(g.ch, 1);
	assert_int_equal(write(g.peer, bytes + 17, 2), 2);
	assert_broken(&g, "later: not allowed in state 0x1");
	assert_int_equal(g.came[T_LATER], 0);
	rig_close(&g);
}

static void
test_once(void **state)
{
	struct rig g;

	rig_open(&g);
	raw(&g, T_ONCE, 0, 0, "\x0a\x01g", 3, -1);
	run_until(&g, 1);
	g.done = 0;
	raw(&g, T_ONCE, 0, 0, "\x0a\x01g", 3, -1);
	assert_broken(&g, "once: came twice");
	assert_int_equal(g.came[T_ONCE], 1);
	rig_close(&g);
}

static void
test_descriptor(void **state)
{
	int pipefd[2];
	struct rig g;
	char c;

	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	rig_open(&g);
	raw(&g, T_FD, 0, 0, "\x0a\x01g", 3, pipefd[1]);
	run_until(&g, 1);
	assert_int_equal(write(g.last_fd, "x", 1), 1);
	assert_int_equal(read(pipefd[0], &c, 1), 1);
	close(g.last_fd);
	assert_int_equal(read(pipefd[0], &c, 1), 0); /* no copy is left */
	close(pipefd[0]);

	/* and the other way */
	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	assert_int_equal(channel_notify_fd(g.ch, 5, NULL, pipefd[1]), 0);
	run_now(&g);
	assert_int_equal(fcntl(pipefd[1], F_GETFD), -1);
	close(pipefd[0]);
	rig_close(&g);
}

static uint32_t
ask_fd(struct rig *g, int fd)
{
	return channel_request_fd(g->ch, T_ASK, NULL, fd, T_ANSWER,
	    &keyd__pair_qr_reply__descriptor, 10, 60000, on_reply, g);
}

static void
test_request_with_descriptor(void **state)
{
	int pipefd[2], fd;
	struct frame f;
	struct rig g;
	uint32_t id;
	char c;

	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	rig_open(&g);
	id = ask_fd(&g, pipefd[1]);
	assert_int_not_equal(id, 0);
	f = raw_read(&g);
	assert_int_equal(f.flags, FRAME_FD);
	assert_int_equal(f.id, id);
	assert_int_equal(write(f.fd, "x", 1), 1);
	frame_clear(&f);
	assert_int_equal(read(pipefd[0], &c, 1), 1);
	assert_int_equal(read(pipefd[0], &c, 1), 0); /* no copy is left */
	close(pipefd[0]);
	raw(&g, T_ANSWER, id, FRAME_REPLY, "\x0a\x02ok", 4, -1);
	run_until(&g, 1);
	assert_int_equal(g.ok, 1);

	/* it is closed also where the request cannot go out */
	channel_close(g.ch);
	fd = some_fd();
	assert_int_equal(ask_fd(&g, fd), 0);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	run_until(&g, 2);
	assert_string_equal(g.code, "closed");
	rig_close(&g);
}

static void
test_cut_in_half(void **state)
{
	static const uint8_t bytes[] = {
	    0, 0, 0, T_NOTICE, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0x0a, 2};
	struct rig g;

	rig_open(&g);
	assert_int_equal(write(g.peer, bytes, sizeof(bytes)), sizeof(bytes));
	close(g.peer);
	g.peer = -1;
	assert_broken(&g, "the peer ended within a frame");
	rig_close(&g);
}

static void
test_clean_end(void **state)
{
	struct rig g;

	rig_open(&g);
	raw(&g, T_NOTICE, 0, 0, "\x0a\x02gg", 4, -1);
	close(g.peer);
	g.peer = -1;
	run_until(&g, 2);
	run_now(&g);
	assert_int_equal(g.came[T_NOTICE], 1);
	assert_int_equal(g.closed, 1);
	assert_int_equal(g.broken, 0);
	rig_close(&g);
}

/* The peer has left; that our write fails does not hide what it sent before. */
static void
test_write_to_the_gone(void **state)
{
	struct rig g;

	rig_open(&g);
	raw(&g, T_NOTICE, 0, 0, "\x0a\x02gg", 4, -1);
	close(g.peer);
	g.peer = -1;
	channel_notify(g.ch, 1, NULL);
	run_until(&g, 2);
	run_now(&g);
	assert_int_equal(g.came[T_NOTICE], 1);
	assert_int_equal(g.closed, 1);
	assert_int_equal(g.broken, 0);
	rig_close(&g);
}

/* ---------------------------------------------------------------- bombs */

/* Messages one in the other: field 6 {17 {3 {…}}}, at least `depth` deep. */
static size_t
nest(uint8_t *out, size_t size, unsigned depth)
{
	static const uint8_t keys[3][2] = {{0x32, 1}, {0x8a, 2}, {0x1a, 1}};
	size_t at = size, len = 0;
	unsigned i;

	for (i = depth; i > 0; i--) {
		const unsigned f = (i - 1) % 3;
		size_t v = len;
		uint8_t var[5];
		unsigned n = 0;

		do {
			var[n] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
			v >>= 7;
			n++;
		} while (v > 0);
		at -= n;
		memcpy(out + at, var, n);
		if (f == 1) {
			out[--at] = 0x01;
			out[--at] = keys[1][0];
		} else
			out[--at] = keys[f][0];
		len = size - at;
	}
	for (i = 0; i < len; i++)
		out[i] = out[at + i];
	return len;
}

static void
test_nested(void **state)
{
	static uint8_t b[100000];
	struct rig g;

	rig_open(&g);
	raw(&g, T_NEST, 0, 0, b, nest(b, sizeof(b), PB_MAX_DEPTH - 1), -1);
	run_until(&g, 1);
	assert_int_equal(g.came[T_NEST], 1);
	g.done = 0;
	raw(&g, T_NEST, 0, 0, b, nest(b, sizeof(b), PB_MAX_DEPTH), -1);
	assert_broken(&g, "nest: depth");
	rig_close(&g);

	rig_open(&g);
	raw(&g, T_NEST, 0, 0, b, nest(b, sizeof(b), 15000), -1);
	assert_broken(&g, "nest: depth");
	rig_close(&g);
}

/* ---------------------------------------------------------------- answering */

static void
test_answers(void **state)
{
	Ipc__Error *e;
	Keyd__PairQrReply *a;
	struct frame f;
	struct rig g;

	rig_open(&g);
	raw(&g, T_ASK, 41, 0, "\x0a\x05hello", 7, -1);
	f = raw_read(&g);
	assert_int_equal(f.type, T_ANSWER);
	assert_int_equal(f.id, 41);
	assert_int_equal(f.flags, FRAME_REPLY);
	a = keyd__pair_qr_reply__unpack(NULL, f.len, f.payload);
	assert_string_equal(a->text, "hello");
	keyd__pair_qr_reply__free_unpacked(a, NULL);
	frame_clear(&f);

	raw(&g, T_ASK, UINT32_MAX, 0,
	    "\x0a\x03"
	    "bad",
	    5, -1);
	f = raw_read(&g);
	assert_int_equal(f.id, UINT32_MAX);
	assert_int_equal(f.flags, FRAME_REPLY | FRAME_ERROR);
	e = ipc__error__unpack(NULL, f.len, f.payload);
	assert_string_equal(e->code, "unknown_account");
	assert_string_equal(e->text, "no such here");
	ipc__error__free_unpacked(e, NULL);
	frame_clear(&f);
	rig_close(&g);
}

static void
test_held_message(void **state)
{
	Keyd__PairQrReply a = KEYD__PAIR_QR_REPLY__INIT;
	struct frame f;
	struct rig g;

	rig_open(&g);
	raw(&g, T_HOLD, 7, 0, "\x0a\x05hello", 7, -1);
	run_until(&g, 1);
	raw(&g, T_NOTICE, 0, 0, "\x0a\x02gg", 4, -1);
	run_until(&g, 2);
	assert_string_equal(((const Keyd__AccountOpen *)g.held->pb)->account, "hello");
	a.text = ((Keyd__AccountOpen *)(uintptr_t)g.held->pb)->account;
	assert_int_equal(channel_reply(g.held->channel, g.held->id, T_ANSWER, &a.base), 0);
	message_release(g.held);
	f = raw_read(&g);
	assert_int_equal(f.id, 7);
	frame_clear(&f);

	/* a held message outlives the channel */
	g.done = 0;
	raw(&g, T_HOLD, 8, 0, "\x0a\x05world", 7, -1);
	run_until(&g, 1);
	channel_free(g.ch);
	g.ch = NULL;
	a.text = ((Keyd__AccountOpen *)(uintptr_t)g.held->pb)->account;
	assert_string_equal(a.text, "world");
	assert_int_equal(channel_reply(g.held->channel, g.held->id, T_ANSWER, &a.base), -1);
	message_release(g.held);
	message_release(NULL);
	rig_close(&g);
}

/* ---------------------------------------------------------------- asking */

static uint32_t
ask(struct rig *g, uint32_t max, unsigned deadline_ms)
{
	Keyd__AccountOpen q = KEYD__ACCOUNT_OPEN__INIT;

	q.account = pb_str("one");
	return channel_request(g->ch, T_ASK, &q.base, T_ANSWER, &keyd__pair_qr_reply__descriptor,
	    max, deadline_ms, on_reply, g);
}

static void
test_request(void **state)
{
	struct frame f;
	struct rig g;
	uint32_t id;

	rig_open(&g);
	id = ask(&g, 100, 60000);
	assert_true(id != 0);
	assert_int_equal(g.replies, 0);
	assert_int_equal(channel_in_flight(g.ch), 1);
	f = raw_read(&g);
	assert_int_equal(f.type, T_ASK);
	assert_int_equal(f.id, id);
	assert_int_equal(f.flags, 0);
	assert_memory_equal(f.payload, "\x0a\x03one", 5);
	frame_clear(&f);
	raw(&g, T_ANSWER, id, FRAME_REPLY, "\x0a\x02ok", 4, -1);
	run_until(&g, 1);
	assert_int_equal(g.ok, 1);
	assert_string_equal(g.text, "ok");
	assert_int_equal(channel_in_flight(g.ch), 0);

	id = ask(&g, 100, 60000);
	raw(&g, 0, id, FRAME_REPLY | FRAME_ERROR,
	    "\x0a\x04"
	    "full\x12\x04"
	    "disk",
	    12, -1);
	run_until(&g, 2);
	assert_int_equal(g.ok, 0);
	assert_string_equal(g.code, "full");
	assert_string_equal(g.text, "disk");
	assert_int_equal(g.replies, 2);
	rig_close(&g);
}

static const struct {
	const char *what;
	uint32_t type;
	uint16_t flags;
	const char *bytes;
	size_t len;
	const char *why;
} bad_answers[] = {
    {"another type", T_NOTICE, FRAME_REPLY, "\x0a\x02ok", 4, "answered by type 1 instead of 3"},
    {"too large", T_ANSWER, FRAME_REPLY, "\x0a\x09oooooooook", 11, "a message is too long"},
    {"malformed", T_ANSWER, FRAME_REPLY, "\x0a\x09o", 3, "malformed"},
    {"unknown field", T_ANSWER, FRAME_REPLY, "\x0a\x01o\x10\x01", 5, "unknown field"},
    {"an error with a type", T_ANSWER, FRAME_REPLY | FRAME_ERROR, "\x0a\x01x\x12\x01y", 6,
	"error reply of type"},
    {"an error without code", 0, FRAME_REPLY | FRAME_ERROR, "\x12\x01y", 3, "malformed"},
    {"an empty code", 0, FRAME_REPLY | FRAME_ERROR, "\x0a\x00\x12\x01y", 5, "malformed error"},
    {"a code with capitals", 0, FRAME_REPLY | FRAME_ERROR, "\x0a\x01X\x12\x01y", 6,
	"malformed error"},
};

static void
test_bad_answers(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(bad_answers) / sizeof(bad_answers[0]); i++) {
		struct rig g;
		uint32_t id;

		rig_open(&g);
		id = ask(&g, 10, 60000);
		raw(&g, bad_answers[i].type, id, bad_answers[i].flags, bad_answers[i].bytes,
		    bad_answers[i].len, -1);
		run_until(&g, 2); /* broken, and the request fails */
		if (strstr(g.why, bad_answers[i].why) == NULL)
			fail_msg("%s: %s", bad_answers[i].what, g.why);
		assert_int_equal(g.broken, 1);
		assert_int_equal(g.replies, 1);
		assert_string_equal(g.code, "closed");
		rig_close(&g);
	}
}

static void
test_answered_twice(void **state)
{
	struct rig g;
	uint32_t id;

	rig_open(&g);
	id = ask(&g, 10, 60000);
	raw(&g, T_ANSWER, id, FRAME_REPLY, "\x0a\x02ok", 4, -1);
	run_until(&g, 1);
	g.done = 0;
	raw(&g, T_ANSWER, id, FRAME_REPLY, "\x0a\x02ok", 4, -1);
	assert_broken(&g, "which is not in flight");
	assert_int_equal(g.replies, 1);
	rig_close(&g);
}

static void
test_deadline_and_late_answer(void **state)
{
	struct rig g;
	uint32_t id;

	rig_open(&g);
	ask(&g, 10, 60000);
	id = ask(&g, 10, 1);
	run_until(&g, 1);
	assert_int_equal(g.replies, 1);
	assert_string_equal(g.code, "timeout");
	assert_int_equal(channel_in_flight(g.ch), 1);
	/* late: dropped; a second time: a breach; a late one of the wrong type would be one too */
	raw(&g, T_ANSWER, id, FRAME_REPLY, "\x0a\x02ok", 4, -1);
	run_now(&g);
	assert_int_equal(g.replies, 1);
	assert_int_equal(g.broken, 0);
	raw(&g, T_ANSWER, id, FRAME_REPLY, "\x0a\x02ok", 4, -1);
	run_until(&g, 2);
	assert_int_equal(g.broken, 1);
	rig_close(&g);
}

/* Deadlines in any order fire in theirs; answers take theirs out of the heap at any place. */
static int64_t order[200];
static int norder;

static void
on_order(const struct reply *r, void *arg)
{
	assert_string_equal(r->code, "timeout");
	order[norder++] = *(int64_t *)arg;
}

static void
on_skip(const struct reply *r, void *arg)
{
	assert_true(r->ok);
}

static void
test_deadline_order(void **state)
{
	static int64_t deadlines[200];
	uint32_t ids[200];
	struct rig g;
	int i;

	rig_open(&g);
	norder = 0;
	for (i = 0; i < 200; i++) {
		int skip = i % 3 == 0;
		unsigned wait = 1 + (unsigned)i * 37 % 101 + (skip ? 60000u : 0u);

		deadlines[i] = clock_mono_ms() + wait;
		ids[i] =
		    channel_request(g.ch, T_ASK, NULL, T_ANSWER, &keyd__pair_qr_reply__descriptor,
			10, wait, skip ? on_skip : on_order, &deadlines[i]);
	}
	for (i = 0; i < 200; i += 3)
		raw(&g, T_ANSWER, ids[i], FRAME_REPLY, "\x0a\x02ok", 4, -1);
	while (channel_in_flight(g.ch) > 0)
		event_base_loop(g.base, EVLOOP_ONCE);
	assert_int_equal(norder, 133);
	/* all were asked within moments, so that a small slip between neighbours is all there may
	 * be */
	for (i = 1; i < norder; i++)
		assert_true(order[i] >= order[i - 1] - 5);
	assert_int_equal(g.broken, 0);
	rig_close(&g);
}

struct pair_asked {
	struct rig *g;
	uint32_t other;
	int told;
};

static void
cancel_the_other(const struct reply *r, void *arg)
{
	struct pair_asked *p = arg;

	p->told++;
	channel_cancel(p->g->ch, p->other);
}

static void
must_not_be_told(const struct reply *r, void *arg)
{
	fail_msg("it was cancelled");
}

/* Who is told first that the channel has ended may cancel what another asked. */
static void
test_cancel_while_it_ends(void **state)
{
	struct pair_asked p = {0};
	struct rig g;

	rig_open(&g);
	p.g = &g;
	assert_int_not_equal(channel_request(g.ch, T_ASK, NULL, T_ANSWER,
				 &keyd__pair_qr_reply__descriptor, 10, 60000, cancel_the_other, &p),
	    0);
	p.other = channel_request(g.ch, T_ASK, NULL, T_ANSWER, &keyd__pair_qr_reply__descriptor, 10,
	    60000, must_not_be_told, &p);
	channel_close(g.ch);
	assert_int_equal(p.told, 1);
	rig_close(&g);
}

static void
test_cancel(void **state)
{
	struct rig g;
	uint32_t id;

	rig_open(&g);
	id = ask(&g, 10, 1);
	channel_cancel(g.ch, id);
	channel_cancel(g.ch, id);
	channel_cancel(g.ch, 0);
	channel_cancel(g.ch, 12345);
	assert_int_equal(channel_in_flight(g.ch), 0);
	raw(&g, T_ANSWER, id, FRAME_REPLY, "\x0a\x02ok", 4, -1);
	run_now(&g);
	id = ask(&g, 10, 60000);
	raw(&g, T_ANSWER, id, FRAME_REPLY,
	    "\x0a\x02"
	    "zz",
	    4, -1);
	run_until(&g, 1);
	assert_int_equal(g.replies, 1);
	assert_string_equal(g.text, "zz");
	assert_int_equal(g.broken, 0);
	rig_close(&g);
}

static void
test_busy(void **state)
{
	struct channel_config cfg = {.max_requests = 2};
	struct rig g;

	rig_open_with(&g, &cfg);
	assert_true(ask(&g, 10, 60000) != 0);
	assert_true(ask(&g, 10, 60000) != 0);
	assert_int_equal(ask(&g, 10, 60000), 0);
	assert_int_equal(g.replies, 0);
	run_until(&g, 1);
	assert_int_equal(g.replies, 1);
	assert_string_equal(g.code, "busy");
	assert_int_equal(channel_in_flight(g.ch), 2);
	rig_close(&g);
	assert_int_equal(g.replies, 3);
	assert_string_equal(g.code, "closed");
}

static void
test_requests_fail_when_peer_ends(void **state)
{
	struct rig g;

	rig_open(&g);
	ask(&g, 10, 60000);
	ask(&g, 10, 60000);
	close(g.peer);
	g.peer = -1;
	run_until(&g, 3);
	assert_int_equal(g.closed, 1);
	assert_int_equal(g.replies, 2);
	assert_string_equal(g.code, "closed");
	assert_int_equal(ask(&g, 10, 60000), 0);
	assert_int_equal(g.replies, 2);
	run_until(&g, 4);
	assert_int_equal(g.replies, 3);
	rig_close(&g);
}

/* One who asks anew whenever the channel goes: told again from the loop, with the channel long
 * gone. */
static void
on_ask_again(const struct reply *r, void *arg)
{
	struct rig *g = arg;
	struct channel *ch = g->ch;

	assert_string_equal(r->code, "closed");
	g->done++;
	channel_request(
	    ch, T_ASK, NULL, T_ANSWER, &keyd__pair_qr_reply__descriptor, 10, 1000, on_reply, g);
	channel_free(ch);
}

static void
test_ask_while_freed(void **state)
{
	struct rig g;

	rig_open(&g);
	channel_request(g.ch, T_ASK, NULL, T_ANSWER, &keyd__pair_qr_reply__descriptor, 10, 1000,
	    on_ask_again, &g);
	channel_free(g.ch);
	g.ch = NULL;
	assert_int_equal(g.done, 1);
	assert_int_equal(g.replies, 0);
	run_until(&g, 2);
	assert_int_equal(g.replies, 1);
	assert_string_equal(g.code, "closed");
	rig_close(&g);
}

/* ---------------------------------------------------------------- life and back-pressure */

/* Two that turn to each other when their requests fail, as at the end of a process. */
struct pair {
	struct rig a, b;
	int told, refused;
};

static void
on_turn_to_other(const struct reply *r, void *arg)
{
	struct pair *p = arg;

	assert_string_equal(r->code, "closed");
	if (p->told++ < 2) {
		ask(&p->a, 1, 1000);
		ask(&p->b, 1, 1000);
		p->refused += channel_notify(p->a.ch, T_NOTICE, NULL) == -1;
		p->refused += channel_notify(p->b.ch, T_NOTICE, NULL) == -1;
	}
}

static void
test_close_then_free(void **state)
{
	struct pair p = {0};

	rig_open(&p.a);
	rig_open(&p.b);
	for (int i = 0; i < 2; i++)
		channel_request(i ? p.b.ch : p.a.ch, T_ASK, NULL, T_ANSWER,
		    &keyd__pair_qr_reply__descriptor, 10, 1000, on_turn_to_other, &p);
	channel_close(p.a.ch);
	channel_close(p.a.ch);
	assert_int_equal(p.told, 1);
	assert_int_equal(p.refused, 1); /* the other was open then */
	channel_close(p.b.ch);
	assert_int_equal(p.told, 2);
	assert_int_equal(p.refused, 3);
	assert_int_equal(ask(&p.a, 1, 1000), 0); /* told from the loop, as ever */
	assert_int_equal(p.a.replies, 0);
	run_until(&p.a, 3);
	assert_string_equal(p.a.code, "closed");
	assert_int_equal(p.b.replies, 1);
	run_until(&p.b, 2);
	channel_free(p.a.ch);
	channel_free(p.b.ch);
	p.a.ch = p.b.ch = NULL;
	rig_close(&p.a);
	rig_close(&p.b);
}

static void
test_free_in_handler(void **state)
{
	struct rig g;
	int i;

	rig_open(&g);
	g.free_in_handler = 1;
	for (i = 0; i < 5; i++)
		raw(&g, T_NOTICE, 0, 0, "\x0a\x02gg", 4, -1);
	run_until(&g, 1);
	run_now(&g);
	assert_int_equal(g.came[T_NOTICE], 1);
	rig_close(&g);
}

static void
test_pause(void **state)
{
	struct rig g;
	int i;

	rig_open(&g);
	channel_pause(g.ch);
	channel_pause(g.ch);
	for (i = 0; i < 3; i++)
		raw(&g, T_NOTICE, 0, 0, "\x0a\x02gg", 4, -1);
	run_now(&g);
	assert_int_equal(g.came[T_NOTICE], 0);
	channel_resume(g.ch);
	run_now(&g);
	assert_int_equal(g.came[T_NOTICE], 0);
	/* now one at a time: the others wait as whole frames inside the reader */
	g.pause_in_handler = 1;
	channel_resume(g.ch);
	for (i = 1; i <= 3; i++) {
		run_until(&g, i);
		run_now(&g);
		assert_int_equal(g.came[T_NOTICE], i);
		channel_resume(g.ch);
	}
	/* more resumes than pauses change nothing */
	g.pause_in_handler = 0;
	channel_resume(g.ch);
	channel_pause(g.ch);
	raw(&g, T_NOTICE, 0, 0, "\x0a\x02gg", 4, -1);
	run_now(&g);
	assert_int_equal(g.came[T_NOTICE], 3);
	rig_close(&g);
}

static char big_text[100001];

static int
notify_big(struct rig *g)
{
	Keyd__PairQrReply m = KEYD__PAIR_QR_REPLY__INIT;

	memset(big_text, 'x', sizeof(big_text) - 1);
	m.text = big_text;
	return channel_notify(g->ch, T_BIG, &m.base);
}

static void
test_full_and_drained(void **state)
{
	struct channel_config cfg = {.out_high = 1000000};
	struct rig g;
	int n = 0, i;

	rig_open_with(&g, &cfg);
	while (!channel_full(g.ch)) {
		assert_int_equal(notify_big(&g), 0);
		n++;
	}
	assert_true(n > 10);
	run_now(&g);
	assert_int_equal(g.drained, 0);
	for (i = 0; i < n; i++) {
		struct frame f = raw_read(&g);

		assert_int_equal(f.len, 100004);
		frame_clear(&f);
	}
	run_until(&g, 1);
	assert_int_equal(g.drained, 1);
	assert_false(channel_full(g.ch));
	assert_int_equal(g.broken, 0);
	rig_close(&g);
}

static void
test_queue_overflow(void **state)
{
	struct channel_config cfg = {.out_max_bytes = 1000000};
	struct rig g;
	int n = 0, fd = some_fd();

	rig_open_with(&g, &cfg);
	while (notify_big(&g) == 0)
		assert_true(++n < 1000);
	assert_int_equal(
	    g.broken, 0); /* the owner is told from the loop, not from within its own call */
	assert_int_equal(channel_notify_fd(g.ch, 1, NULL, fd), -1);
	assert_true(fcntl(fd, F_GETFD) != -1);
	close(fd);
	assert_int_equal(ask(&g, 10, 1000), 0);
	run_until(&g, 2);
	assert_int_equal(g.broken, 1);
	assert_non_null(strstr(g.why, "the output queue is full"));
	assert_string_equal(g.code, "closed");
	rig_close(&g);
}

static void
test_largest_message(void **state)
{
	static const uint8_t head[] = {
	    0x0a, 0xfb, 0xff, 0xbf, 0x08}; /* a text of 17 MiB - 5 bytes */
	uint8_t *b = malloc(FRAME_PAYLOAD_MAX);
	struct rig g;

	memset(b, 'x', FRAME_PAYLOAD_MAX);
	memcpy(b, head, sizeof(head));
	rig_open(&g);
	raw(&g, T_BIG, 0, 0, b, FRAME_PAYLOAD_MAX, -1);
	run_until(&g, 1);
	assert_int_equal(g.came[T_BIG], 1);
	assert_int_equal(g.broken, 0);
	rig_close(&g);
	free(b);
}

/* Two channels, many requests in flight, all answered. */
static void
test_two_channels(void **state)
{
	struct channel_config cfg = {
	    .name = "other", .rows = rows, .nrows = sizeof(rows) / sizeof(rows[0])};
	struct rig g, other;
	int i;

	rig_open(&g);
	memset(&other, 0, sizeof(other));
	cfg.owner = &other;
	other.ch = channel_new(g.base, g.peer, &cfg);
	g.peer = -1;
	for (i = 0; i < 3000; i++)
		assert_true(ask(&g, 100, 60000) != 0);
	run_until(&g, 3000);
	assert_int_equal(g.replies, 3000);
	assert_int_equal(g.ok, 1);
	assert_string_equal(g.text, "one");
	assert_int_equal(other.came[T_ASK], 3000);
	assert_int_equal(channel_in_flight(g.ch), 0);
	channel_free(other.ch);
	run_until(&g, 3001);
	assert_int_equal(g.closed, 1);
	rig_close(&g);
}

static void
test_bad_tables(void **state)
{
	static const struct channel_row twice[] = {
	    {1, "a", 0, 1, 1, 0, OPEN, on_any}, {1, "b", 0, 1, 1, 0, OPEN, on_any}};
	static const struct channel_row upside[] = {{1, "a", 2, 1, 1, 0, OPEN, on_any}};
	static const struct channel_row huge[] = {
	    {1, "a", 2, FRAME_PAYLOAD_MAX + 1, 1, 0, OPEN, on_any}};
	struct channel_config cfg = {.name = "table", .rows = twice, .nrows = 2};
	struct event_base *base = event_base_new();

	assert_null(channel_new(base, 0, &cfg));
	cfg.rows = upside;
	cfg.nrows = 1;
	assert_null(channel_new(base, 0, &cfg));
	cfg.rows = huge;
	assert_null(channel_new(base, 0, &cfg));
	event_base_free(base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_notice),
	    cmocka_unit_test(test_breaches),
	    cmocka_unit_test(test_states),
	    cmocka_unit_test(test_state_moves_within_a_frame),
	    cmocka_unit_test(test_once),
	    cmocka_unit_test(test_descriptor),
	    cmocka_unit_test(test_request_with_descriptor),
	    cmocka_unit_test(test_cut_in_half),
	    cmocka_unit_test(test_clean_end),
	    cmocka_unit_test(test_write_to_the_gone),
	    cmocka_unit_test(test_nested),
	    cmocka_unit_test(test_answers),
	    cmocka_unit_test(test_held_message),
	    cmocka_unit_test(test_request),
	    cmocka_unit_test(test_bad_answers),
	    cmocka_unit_test(test_answered_twice),
	    cmocka_unit_test(test_deadline_and_late_answer),
	    cmocka_unit_test(test_deadline_order),
	    cmocka_unit_test(test_cancel),
	    cmocka_unit_test(test_cancel_while_it_ends),
	    cmocka_unit_test(test_busy),
	    cmocka_unit_test(test_requests_fail_when_peer_ends),
	    cmocka_unit_test(test_ask_while_freed),
	    cmocka_unit_test(test_close_then_free),
	    cmocka_unit_test(test_free_in_handler),
	    cmocka_unit_test(test_pause),
	    cmocka_unit_test(test_full_and_drained),
	    cmocka_unit_test(test_queue_overflow),
	    cmocka_unit_test(test_largest_message),
	    cmocka_unit_test(test_two_channels),
	    cmocka_unit_test(test_bad_tables),
	};

	alarm(120 * test_slow());
	log_open("ipc_channel", -1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
