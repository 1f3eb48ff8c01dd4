/* Hostile peers: every row of both tables, too short, too long, twice, with a descriptor, cut in
 * half, from the wrong peer; and random bytes. stored reports the peer or answers with an error,
 * and lives. */
#include "tests/unit/stored_rig.h"
#include "tests/unit/slow.h"

#include "common/buf.h"
#include "ipc/frame.h"

enum peer {
	KEYD,
	APID
};

/* What stored promises to check, written down a second time. */
static const struct {
	enum peer peer;
	uint32_t type, min, max;
	int request, fd;
} rows[] = {
    {KEYD, STORED__TYPE__KEYRING_GET, 0, 0, 1, 0},
    {KEYD, STORED__TYPE__KEYRING_PUT, 3, 1027, 1, 0},
    {KEYD, STORED__TYPE__UNLOCK, 34, 8192, 1, 0},
    {KEYD, STORED__TYPE__RECORDS_GET, 3, 262144, 1, 0},
    {KEYD, STORED__TYPE__RECORDS_LIST, 3, 1024, 1, 0},
    {KEYD, STORED__TYPE__STAGE, 5, 3145728, 0, 0},
    {APID, STORED__TYPE__UNIT_OPEN, 5, 64, 0, 0},
    {APID, STORED__TYPE__UNIT_COMMIT, 7, 8388608, 1, 0},
    {APID, STORED__TYPE__UNIT_ABORT, 5, 64, 0, 0},
    {APID, STORED__TYPE__DEVICE_LOAD, 3, 64, 1, 0},
    {APID, STORED__TYPE__LOOKUP, 3, 1048576, 1, 0},
    {APID, STORED__TYPE__SCAN, 7, 1024, 1, 0},
    {APID, STORED__TYPE__RECORDS_LIST, 3, 1024, 1, 0},
    {APID, STORED__TYPE__OUTBOX_LOAD, 7, 64, 1, 0},
    {APID, STORED__TYPE__OUTBOX_FIND, 3, 512, 1, 0},
    {APID, STORED__TYPE__OUTBOX_COUNT, 5, 64, 1, 0},
    {APID, STORED__TYPE__EVENTS_READ, 6, 4096, 1, 0},
    {APID, STORED__TYPE__CONSUMER_OPEN, 6, 256, 1, 0},
    {APID, STORED__TYPE__CONSUMER_ACK, 6, 256, 1, 0},
    {APID, STORED__TYPE__CONSUMER_LIST, 0, 16, 1, 0},
    {APID, STORED__TYPE__CONSUMER_DELETE, 4, 256, 1, 0},
    {APID, STORED__TYPE__STATS, 0, 2, 1, 0},
    {APID, STORED__TYPE__BACKUP, 0, 0, 1, 1},
    {APID, STORED__TYPE__SNAPSHOT, 2, 512, 1, 0},
    {APID, STORED__TYPE__CHECK, 0, 0, 1, 0},
    {APID, STORED__TYPE__TASK_CANCEL, 2, 16, 0, 0},
};
#define NROWS (sizeof(rows) / sizeof(rows[0]))

/* A store whose peers are bare sockets. */
struct bare {
	struct rig g; /* base, s, lost */
	int fd[2];
	struct frame_reader *in[2];
};

static int64_t
any_frame(void *arg, uint32_t type, uint32_t id, uint16_t flags, int *wants_fd)
{
	(void)arg;
	(void)type;
	(void)id;
	(void)flags;
	*wants_fd = 0;
	return 17 * 1024 * 1024;
}

static struct bare *
bare_new(void)
{
	struct bare *b = calloc(1, sizeof(*b));
	int k[2], a[2];

	assert_non_null(b);
	log_set_level(LOG_LV_ERR);
	log_open("stored", open("/dev/null", O_WRONLY | O_CLOEXEC));
	assert_int_equal(store_sqlcipher.start(), 0);
	assert_non_null(b->g.base = event_base_new());
	assert_non_null(
	    b->g.s = store_new(b->g.base, &store_sqlcipher, &rig_options, rig_names, 1));
	b->g.s->owner = &b->g;
	b->g.s->peer_lost = rig_peer_lost;
	rig_pair(k);
	rig_pair(a);
	assert_int_equal(dispatch_keyd_attach(b->g.s, k[0]), 0);
	assert_int_equal(dispatch_apid_attach(b->g.s, a[0]), 0);
	b->fd[KEYD] = k[1];
	b->fd[APID] = a[1];
	b->in[KEYD] = frame_reader_new(any_frame, NULL);
	b->in[APID] = frame_reader_new(any_frame, NULL);
	return b;
}

static void
bare_free(struct bare *b)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (b->fd[i] != -1)
			close(b->fd[i]);
		frame_reader_free(b->in[i]);
	}
	store_free(b->g.s);
	event_base_free(b->g.base);
	free(b);
}

static void
put_header(struct buf *out, uint32_t type, uint32_t len, uint32_t id, uint16_t flags)
{
	buf_put_be32(out, type);
	buf_put_be32(out, len);
	buf_put_be32(out, id);
	buf_put_be16(out, flags);
	buf_put_be16(out, 0);
}

/* Send bytes, with a descriptor beside them if fd is not -1. */
static void
send_raw(struct bare *b, enum peer p, const struct buf *bytes, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} u;
	struct iovec iov = {bytes->data, bytes->len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (fd != -1) {
		memset(&u, 0, sizeof(u));
		msg.msg_control = u.buf;
		msg.msg_controllen = sizeof(u.buf);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	assert_int_equal(sendmsg(b->fd[p], &msg, MSG_NOSIGNAL), (ssize_t)bytes->len);
}

/* The next frame that stored sends to that peer; waits. */
static void
receive(struct bare *b, enum peer p, struct frame *f)
{
	int64_t until = clock_mono_ms() + RIG_WAIT_MS;
	const char *why;
	enum frame_status st;

	while ((st = frame_read(b->in[p], b->fd[p], f, &why)) == FRAME_AGAIN) {
		if (clock_mono_ms() > until)
			fail_msg("no answer");
		event_base_loop(b->g.base, EVLOOP_ONCE);
	}
	assert_int_equal(st, FRAME_OK);
}

static void
expect_lost(struct bare *b, const char *what)
{
	int64_t until = clock_mono_ms() + RIG_WAIT_MS;

	while (b->g.lost == 0) {
		if (clock_mono_ms() > until)
			fail_msg("%s: stored did not object", what);
		event_base_loop(b->g.base, EVLOOP_ONCE);
	}
	assert_int_equal(b->g.lost, 1);
	assert_true(strlen(b->g.lost_why) > 0);
}

static const char *
row_name(size_t i, const char *how)
{
	static char text[80];

	snprintf(text, sizeof(text), "row %zu, type %u: %s", i, rows[i].type, how);
	return text;
}

/* One frame of that row: declared length, and that many zero bytes up to `sent`. */
static void
one_frame(size_t i, enum peer p, uint32_t len, uint32_t sent, uint32_t id, uint16_t flags, int fd,
    const char *how)
{
	struct bare *b = bare_new();
	struct buf out = BUF_INIT;
	uint32_t k;

	put_header(&out, rows[i].type, len, id, flags);
	for (k = 0; k < sent; k++)
		buf_put_u8(&out, 0);
	send_raw(b, p, &out, fd);
	expect_lost(b, row_name(i, how));
	buf_clear(&out);
	bare_free(b);
}

static void
test_rows(void **state)
{
	size_t i;

	for (i = 0; i < NROWS; i++) {
		uint32_t id = rows[i].request ? 7 : 0;
		enum peer p = rows[i].peer, other = p == KEYD ? APID : KEYD;

		if (rows[i].min > 0)
			one_frame(i, p, rows[i].min - 1, rows[i].min - 1, id, 0, -1, "too short");
		/* the header alone must do: nothing is read, or allocated, for it */
		one_frame(i, p, rows[i].max + 1, 0, id, 0, -1, "too long");
		one_frame(i, p, rows[i].min, 0, rows[i].request ? 0 : 7, 0, -1, "id or none");
		one_frame(i, p, rows[i].min, rows[i].min, id, rows[i].fd ? 0 : FRAME_FD,
		    rows[i].fd ? -1 : 0, "a descriptor, or none");
		if (rows[i].type != STORED__TYPE__RECORDS_LIST) /* which both may ask */
			one_frame(i, other, rows[i].min, 0, id, 0, -1, "wrong peer");
		one_frame(i, p, rows[i].min, 0, 7, FRAME_REPLY, -1, "an answer to nothing");
		if (rows[i].min > 0) /* zero bytes are no protobuf message */
			one_frame(i, p, rows[i].min, rows[i].min, id, 0, -1, "malformed");
	}
}

/* Cut in half, then gone: the end of the peer, no more. */
static void
test_cut_in_half(void **state)
{
	size_t i;

	for (i = 0; i < NROWS; i++) {
		struct bare *b = bare_new();
		struct buf out = BUF_INIT;

		put_header(&out, rows[i].type, rows[i].min, rows[i].request ? 7 : 0, 0);
		out.len = rows[i].min > 1 ? out.len : out.len / 2;
		if (rows[i].min > 1)
			buf_put_u8(&out, 10);
		send_raw(b, rows[i].peer, &out, -1);
		close(b->fd[rows[i].peer]);
		b->fd[rows[i].peer] = -1;
		expect_lost(b, row_name(i, "cut"));
		buf_clear(&out);
		bare_free(b);
	}
}

static void
test_unknown_types(void **state)
{
	static const uint32_t types[] = {0, STORED__TYPE__KEYRING, STORED__TYPE__DONE,
	    STORED__TYPE__UNIT_DONE, STORED__TYPE__STORE_STATE, STORED__TYPE__UNIT_RESULT, 999,
	    UINT32_MAX};
	size_t i;
	int p;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		for (p = KEYD; p <= APID; p++) {
			struct bare *b = bare_new();
			struct buf out = BUF_INIT;

			put_header(&out, types[i], 0, 1, 0);
			send_raw(b, (enum peer)p, &out, -1);
			expect_lost(b, "unknown type");
			buf_clear(&out);
			bare_free(b);
		}
	}
}

static void
test_unlock_twice(void **state)
{
	struct rig *g = rig_open(1);
	Stored__Unlock m = STORED__UNLOCK__INIT;
	uint8_t key[32] = {0};
	struct rig_reply r;

	m.service_key.data = key;
	m.service_key.len = 32;
	rig_send(g->keyd, STORED__TYPE__UNLOCK, &m.base, STORED__TYPE__UNLOCK_REPLY,
	    &stored__unlock_reply__descriptor, &r);
	RIG_UNTIL(g, g->lost == 1);
	rig_free(g);
}

static void
test_bad_unlock(void **state)
{
	static const struct {
		size_t service, account;
		int twice;
	} bad[] = {{31, 32, 0}, {33, 32, 0}, {32, 31, 0}, {32, 0, 0}, {32, 32, 1}};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rig *g = rig_new(1);
		Stored__Unlock m = STORED__UNLOCK__INIT;
		Stored__AccountKey k = STORED__ACCOUNT_KEY__INIT, *keys[2] = {&k, &k};
		uint8_t key[33] = {0};
		struct rig_reply r;

		m.service_key.data = k.key.data = key;
		m.service_key.len = bad[i].service;
		k.key.len = bad[i].account;
		k.account = rig_str("a");
		m.n_accounts = bad[i].twice ? 2 : 1;
		m.accounts = keys;
		rig_send(g->keyd, STORED__TYPE__UNLOCK, &m.base, STORED__TYPE__UNLOCK_REPLY,
		    &stored__unlock_reply__descriptor, &r);
		RIG_UNTIL(g, g->lost == 1);
		assert_int_equal(access("service.db", F_OK), -1);
		rig_free(g);
	}
}

/* Well-formed, but full of nonsense: always an answer, never a loss of the channel. */
static void
test_nonsense(void **state)
{
	struct rig *g = rig_open(1);
	Stored__Lookup l = STORED__LOOKUP__INIT;
	Stored__OutboxLoad ol = STORED__OUTBOX_LOAD__INIT;
	Stored__OutboxFind of = STORED__OUTBOX_FIND__INIT;
	Stored__ConsumerOpen co = STORED__CONSUMER_OPEN__INIT;
	Stored__EventsRead er = STORED__EVENTS_READ__INIT;
	char *jids[65];
	struct rig_reply r;
	size_t i;

	for (i = 0; i < 65; i++)
		jids[i] = rig_str(i % 2 ? "" : "@@@:::%_'\"");
	l.account = rig_str("a");
	l.n_jids = 65;
	l.jids = jids;
	rig_ask(g, g->apid, STORED__TYPE__LOOKUP, &l.base, STORED__TYPE__LOOKUP_REPLY,
	    &stored__lookup_reply__descriptor, &r);
	assert_string_equal(r.code, "bad_request");
	l.n_jids = 64;
	rig_ask(g, g->apid, STORED__TYPE__LOOKUP, &l.base, STORED__TYPE__LOOKUP_REPLY,
	    &stored__lookup_reply__descriptor, &r);
	assert_int_equal(((Stored__LookupReply *)r.pb)->n_peers, 64);
	rig_reply_clear(&r);
	ol.account = rig_str("a");
	ol.limit = 0;
	rig_ask(g, g->apid, STORED__TYPE__OUTBOX_LOAD, &ol.base, STORED__TYPE__OUTBOX_ROWS,
	    &stored__outbox_rows__descriptor, &r);
	assert_string_equal(r.code, "bad_request");
	ol.limit = 1000;
	ol.after_row = UINT64_MAX;
	rig_ask(g, g->apid, STORED__TYPE__OUTBOX_LOAD, &ol.base, STORED__TYPE__OUTBOX_ROWS,
	    &stored__outbox_rows__descriptor, &r);
	assert_int_equal(((Stored__OutboxRows *)r.pb)->n_rows, 0);
	rig_reply_clear(&r);
	of.account = rig_str("a");
	of.has_uid = 1; /* and no key */
	rig_ask(g, g->apid, STORED__TYPE__OUTBOX_FIND, &of.base, STORED__TYPE__OUTBOX_ROWS,
	    &stored__outbox_rows__descriptor, &r);
	assert_string_equal(r.code, "bad_request");
	co.name = rig_str("c");
	co.from = 99;
	rig_ask(g, g->apid, STORED__TYPE__CONSUMER_OPEN, &co.base, STORED__TYPE__CONSUMER,
	    &stored__consumer__descriptor, &r);
	assert_string_equal(r.code, "bad_request");
	er.after_seq = UINT64_MAX;
	er.limit = 1;
	er.max_bytes = 1;
	rig_ask(g, g->apid, STORED__TYPE__EVENTS_READ, &er.base, STORED__TYPE__EVENTS,
	    &stored__events__descriptor, &r);
	assert_int_equal(((Stored__Events *)r.pb)->n_events, 0);
	rig_reply_clear(&r);
	assert_int_equal(g->lost, 0);
	rig_free(g);
}

/* A request of every row before the key is there: "locked" or an answer. */
static void
test_before_the_key(void **state)
{
	struct bare *b = bare_new();
	size_t i;

	for (i = 0; i < NROWS; i++) {
		struct buf out = BUF_INIT;
		struct frame f;

		/* a smallest message: fields 1 = "a", numbers 1, as the row wants */
		static const uint8_t smallest[STORED__TYPE__OUTBOX_COUNT + 1][20] = {
		    [STORED__TYPE__RECORDS_GET] = {3, 0x0a, 1, 'a'},
		    [STORED__TYPE__RECORDS_LIST] = {7, 0x0a, 1, 'a', 0x10, 1, 0x38, 1},
		    [STORED__TYPE__DEVICE_LOAD] = {3, 0x0a, 1, 'a'},
		    [STORED__TYPE__LOOKUP] = {3, 0x0a, 1, 'a'},
		    [STORED__TYPE__SCAN] = {7, 0x0a, 1, 'a', 0x10, 1, 0x20, 1},
		    [STORED__TYPE__OUTBOX_LOAD] = {7, 0x0a, 1, 'a', 0x10, 0, 0x18, 1},
		    [STORED__TYPE__OUTBOX_FIND] = {6, 0x0a, 1, 'a', 0x22, 1, 'm'},
		    [STORED__TYPE__OUTBOX_COUNT] = {5, 0x0a, 1, 'a', 0x10, 0},
		    [STORED__TYPE__EVENTS_READ] = {6, 0x08, 0, 0x10, 1, 0x18, 1},
		    [STORED__TYPE__UNIT_COMMIT] = {7, 0x0a, 1, 'a', 0x10, 1, 0x18, 0},
		    [STORED__TYPE__CONSUMER_OPEN] = {7, 0x0a, 1, 'c', 0x10, 1, 0x18, 1},
		    [STORED__TYPE__CONSUMER_ACK] = {7, 0x0a, 1, 'c', 0x10, 1, 0x18, 0},
		    [STORED__TYPE__CONSUMER_LIST] = {0},
		    [STORED__TYPE__CONSUMER_DELETE] = {5, 0x0a, 1, 'c', 0x10, 1},
		    [STORED__TYPE__STATS] = {0},
		    [STORED__TYPE__BACKUP] = {0},
		    [STORED__TYPE__SNAPSHOT] = {3, 0x0a, 1, 's'},
		    [STORED__TYPE__CHECK] = {0},
		};
		const uint8_t *m = smallest[rows[i].type];

		if (rows[i].peer != APID && rows[i].type != STORED__TYPE__RECORDS_GET &&
		    rows[i].type != STORED__TYPE__RECORDS_LIST)
			continue;
		if (!rows[i].request)
			continue;
		put_header(&out, rows[i].type, m[0], (uint32_t)i + 1, rows[i].fd ? FRAME_FD : 0);
		buf_put(&out, m + 1, m[0]);
		send_raw(b, rows[i].peer, &out, rows[i].fd ? STDIN_FILENO : -1);
		receive(b, rows[i].peer, &f);
		assert_int_equal(f.id, i + 1);
		if (rows[i].type == STORED__TYPE__STATS) {
			assert_int_equal(f.flags, FRAME_REPLY);
		} else {
			assert_int_equal(f.flags, FRAME_REPLY | FRAME_ERROR);
			assert_non_null(memmem(f.payload, f.len, "locked", 6));
		}
		frame_clear(&f);
		buf_clear(&out);
	}
	assert_int_equal(b->g.lost, 0);
	bare_free(b);
}

/* Random bytes in the shape of frames, from a seed that is printed when it matters. */
static void
test_random(void **state)
{
	uint32_t x = 2463534242u;
	int round, k;

	for (round = 0; round < 300; round++) {
		size_t i = (size_t)round % NROWS;
		struct bare *b = bare_new();
		struct buf out = BUF_INIT;
		uint32_t len = rows[i].min + (rows[i].max > rows[i].min ? x % 60 : 0);

		if (len > rows[i].max)
			len = rows[i].max;
		put_header(&out, rows[i].type, len, rows[i].request ? 1 : 0, 0);
		for (k = 0; k < (int)len; k++) {
			x ^= x << 13;
			x ^= x >> 17;
			x ^= x << 5;
			/* mostly small numbers: tags and lengths that fit */
			buf_put_u8(&out, (uint8_t)(x % 3 ? x % 35 : x));
		}
		send_raw(b, rows[i].peer, &out, -1);
		for (k = 0; k < 3; k++)
			event_base_loop(b->g.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		buf_clear(&out);
		bare_free(b);
	}
}

/* A peer that asks and does not read: held back, then served; memory stays bounded. */
static void
test_peer_that_does_not_read(void **state)
{
	enum {
		ASKS = 200
	};
	struct rig *g = rig_open(1);
	Stored__EventsRead m = STORED__EVENTS_READ__INIT;
	struct rig_reply *r = calloc(ASKS, sizeof(*r));
	char *body = malloc(200001);
	size_t i;

	memset(body, 'x', 200000);
	body[0] = '{';
	body[200000] = '\0';
	for (i = 0; i < 5; i++)
		rig_event(g, "a", body, NULL);
	m.limit = 1000;
	m.max_bytes = 1024 * 1024;
	channel_pause(g->apid);
	for (i = 0; i < ASKS; i++) /* 200 MB of answers */
		rig_send(g->apid, STORED__TYPE__EVENTS_READ, &m.base, STORED__TYPE__EVENTS,
		    &stored__events__descriptor, &r[i]);
	for (i = 0; i < 50; i++)
		rig_turn(g);
	assert_int_equal(g->lost, 0);
	assert_true(g->s->apid_paused);
	channel_resume(g->apid);
	for (i = 0; i < ASKS; i++) {
		RIG_UNTIL(g, r[i].came);
		assert_true(r[i].ok);
		assert_int_equal(((Stored__Events *)r[i].pb)->n_events, 5);
		rig_reply_clear(&r[i]);
	}
	assert_int_equal(g->lost, 0);
	free(body);
	free(r);
	rig_free(g);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_rows),
	    T(test_cut_in_half),
	    T(test_unknown_types),
	    T(test_unlock_twice),
	    T(test_bad_unlock),
	    T(test_nonsense),
	    T(test_before_the_key),
	    T(test_random),
	    T(test_peer_that_does_not_read),
	};

	alarm(120 * test_slow());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
