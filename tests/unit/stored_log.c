/* The event log: one order over accounts, readers, consumers, restarts and retention. */
#include "tests/unit/stored_rig.h"
#include "tests/unit/slow.h"

static void
consumer(struct rig *g, const char *name, uint32_t uid, int from, uint64_t seq, struct rig_reply *r)
{
	Stored__ConsumerOpen m = STORED__CONSUMER_OPEN__INIT;

	m.name = rig_str(name);
	m.uid = uid;
	m.from = (Stored__ConsumerOpen__From)from;
	m.has_seq = from == STORED__CONSUMER_OPEN__FROM__AT;
	m.seq = seq;
	rig_ask(g, g->apid, STORED__TYPE__CONSUMER_OPEN, &m.base, STORED__TYPE__CONSUMER,
	    &stored__consumer__descriptor, r);
}

/* Open and give where it stands. */
static uint64_t
at(struct rig *g, const char *name, uint32_t uid, int from, uint64_t seq, int created)
{
	struct rig_reply r;
	uint64_t acked;

	consumer(g, name, uid, from, seq, &r);
	if (!r.ok)
		fail_msg("%s: %s", name, r.code);
	acked = ((Stored__Consumer *)r.pb)->acked_seq;
	assert_int_equal(((Stored__Consumer *)r.pb)->created, created);
	assert_string_equal(((Stored__Consumer *)r.pb)->name, name);
	rig_reply_clear(&r);
	return acked;
}

static void
ack_send(struct rig *g, const char *name, uint32_t uid, uint64_t seq, struct rig_reply *r)
{
	Stored__ConsumerAck m = STORED__CONSUMER_ACK__INIT;

	m.name = rig_str(name);
	m.uid = uid;
	m.seq = seq;
	rig_send(g->apid, STORED__TYPE__CONSUMER_ACK, &m.base, STORED__TYPE__CONSUMER,
	    &stored__consumer__descriptor, r);
}

/* Acks; the acked seq, or UINT64_MAX with the error's code in code. */
static uint64_t
ack(struct rig *g, const char *name, uint32_t uid, uint64_t seq, char code[32])
{
	struct rig_reply r;
	uint64_t v = UINT64_MAX;

	ack_send(g, name, uid, seq, &r);
	RIG_UNTIL(g, r.came);
	if (r.ok)
		v = ((Stored__Consumer *)r.pb)->acked_seq;
	else
		snprintf(code, 32, "%s", r.code);
	rig_reply_clear(&r);
	return v;
}

#define RESUME   STORED__CONSUMER_OPEN__FROM__RESUME
#define LATEST   STORED__CONSUMER_OPEN__FROM__LATEST
#define EARLIEST STORED__CONSUMER_OPEN__FROM__EARLIEST
#define AT       STORED__CONSUMER_OPEN__FROM__AT

static void
test_merge_of_accounts(void **state)
{
	static const char *const order = "abcbbacabc";
	struct rig *g = rig_open(3);
	const Stored__Events *e;
	struct rig_reply r;
	char name[2] = "", body[32];
	uint64_t after = 0;
	size_t i, n = strlen(order), seen = 0;

	for (i = 0; i < n; i++) {
		name[0] = order[i];
		snprintf(body, sizeof(body), "{\"n\":%zu}", i);
		assert_int_equal(rig_event(g, name, body, NULL), i + 1);
	}
	/* all, three at a time */
	while (seen < n) {
		e = rig_events(g, after, 3, NULL, &r);
		assert_in_range(e->n_events, 1, 3);
		for (i = 0; i < e->n_events; i++, seen++) {
			assert_int_equal(e->events[i]->seq, seen + 1);
			assert_int_equal(e->events[i]->account[0], order[seen]);
			snprintf(body, sizeof(body), "{\"n\":%zu}", seen);
			assert_memory_equal(e->events[i]->body.data, body, strlen(body));
			assert_int_equal(e->events[i]->body.len, strlen(body));
		}
		assert_int_equal(e->last_seq, n);
		assert_int_equal(e->first_seq, 1);
		after = e->scanned_seq;
		rig_reply_clear(&r);
	}
	assert_int_equal(after, n);
	/* one account: the others are passed over, also at the end */
	e = rig_events(g, 0, 100, "c", &r);
	assert_int_equal(e->n_events, 3);
	assert_int_equal(e->events[0]->seq, 3);
	assert_int_equal(e->events[1]->seq, 7);
	assert_int_equal(e->events[2]->seq, 10);
	rig_reply_clear(&r);
	e = rig_events(g, 7, 1, "a", &r);
	assert_int_equal(e->events[0]->seq, 8);
	assert_in_range(e->scanned_seq, 8, 10);
	rig_reply_clear(&r);
	e = rig_events(g, 8, 10, "a", &r);
	assert_int_equal(e->n_events, 0);
	assert_int_equal(e->scanned_seq, 10);
	rig_reply_clear(&r);
	e = rig_events(g, 1000, 10, NULL, &r); /* beyond the end */
	assert_int_equal(e->n_events, 0);
	assert_int_equal(e->scanned_seq, 1000);
	rig_reply_clear(&r);
	rig_free(g);
}

static void
test_read_bounds(void **state)
{
	static const struct {
		uint32_t limit, max_bytes;
		const char *account, *code;
	} bad[] = {
	    {0, 100, NULL, "bad_request"},
	    {1001, 100, NULL, "bad_request"},
	    {1, 0, NULL, "bad_request"},
	    {1, 1024 * 1024 + 1, NULL, "bad_request"},
	    {1, 100, "zz", "unknown_account"},
	};
	struct rig *g = rig_open(1);
	Stored__EventsRead m = STORED__EVENTS_READ__INIT;
	char *body = malloc(200001), *accounts[1];
	struct rig_reply r;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		m.limit = bad[i].limit;
		m.max_bytes = bad[i].max_bytes;
		m.n_accounts = bad[i].account != NULL;
		accounts[0] = rig_str(bad[i].account);
		m.accounts = accounts;
		rig_ask(g, g->apid, STORED__TYPE__EVENTS_READ, &m.base, STORED__TYPE__EVENTS,
		    &stored__events__descriptor, &r);
		assert_string_equal(r.code, bad[i].code);
	}
	/* bytes: one is always given, and not more than asked for */
	memset(body, 'x', 200000);
	body[0] = '{';
	body[200000] = '\0';
	for (i = 0; i < 8; i++)
		rig_event(g, "a", body, NULL);
	m.limit = 100;
	m.max_bytes = 10;
	m.n_accounts = 0;
	rig_ask(g, g->apid, STORED__TYPE__EVENTS_READ, &m.base, STORED__TYPE__EVENTS,
	    &stored__events__descriptor, &r);
	assert_int_equal(((Stored__Events *)r.pb)->n_events, 1);
	assert_int_equal(((Stored__Events *)r.pb)->events[0]->body.len, 200000);
	rig_reply_clear(&r);
	assert_int_equal(rig_events(g, 0, 100, NULL, &r)->n_events, 5);
	rig_reply_clear(&r);
	free(body);
	rig_free(g);
}

static void
test_consumers(void **state)
{
	struct rig *g = rig_open(1);
	Stored__ConsumerList list = STORED__CONSUMER_LIST__INIT;
	Stored__ConsumerDelete del = STORED__CONSUMER_DELETE__INIT;
	Stored__ConsumerOpen open = STORED__CONSUMER_OPEN__INIT;
	struct rig_reply r;
	char code[32];
	int i;

	for (i = 0; i < 10; i++)
		rig_event(g, "a", "{}", NULL);
	assert_int_equal(at(g, "new", 1000, RESUME, 0, 1), 10); /* a new one begins at the end */
	assert_int_equal(at(g, "early", 1000, EARLIEST, 0, 1), 0);
	assert_int_equal(at(g, "late", 1000, LATEST, 0, 1), 10);
	assert_int_equal(at(g, "mid", 1000, AT, 4, 1), 4);
	assert_int_equal(at(g, "mid", 1000, RESUME, 0, 0), 4);
	assert_int_equal(at(g, "mid", 1001, EARLIEST, 0, 1), 0); /* another owner's */
	assert_int_equal(ack(g, "mid", 1000, 7, code), 7);
	assert_int_equal(ack(g, "mid", 1000, 5, code), 7); /* cumulative */
	assert_int_equal(at(g, "mid", 1001, RESUME, 0, 0), 0);
	assert_int_equal(ack(g, "mid", 1000, 11, code), UINT64_MAX);
	assert_string_equal(code, "bad_request");
	assert_int_equal(ack(g, "none", 1000, 1, code), UINT64_MAX);
	assert_string_equal(code, "not_found");
	consumer(g, "mid", 1000, AT, 11, &r);
	assert_string_equal(r.code, "bad_request");
	consumer(g, "no/slash", 1000, RESUME, 0, &r);
	assert_string_equal(r.code, "bad_request");
	consumer(g, "", 1000, RESUME, 0, &r);
	assert_string_equal(r.code, "bad_request");
	open.name = rig_str("nobody");
	open.uid = 1;
	open.from = RESUME;
	open.has_create = 1;
	rig_ask(g, g->apid, STORED__TYPE__CONSUMER_OPEN, &open.base, STORED__TYPE__CONSUMER,
	    &stored__consumer__descriptor, &r);
	assert_string_equal(r.code, "not_found");

	/* lasts */
	rig_free(g);
	g = rig_open(1);
	assert_int_equal(at(g, "mid", 1000, RESUME, 0, 0), 7);
	rig_ask(g, g->apid, STORED__TYPE__CONSUMER_LIST, &list.base, STORED__TYPE__CONSUMERS,
	    &stored__consumers__descriptor, &r);
	assert_int_equal(((Stored__Consumers *)r.pb)->n_consumers, 5);
	rig_reply_clear(&r);
	list.has_uid = 1;
	list.uid = 1001;
	rig_ask(g, g->apid, STORED__TYPE__CONSUMER_LIST, &list.base, STORED__TYPE__CONSUMERS,
	    &stored__consumers__descriptor, &r);
	assert_int_equal(((Stored__Consumers *)r.pb)->n_consumers, 1);
	assert_string_equal(((Stored__Consumers *)r.pb)->consumers[0]->name, "mid");
	assert_int_equal(((Stored__Consumers *)r.pb)->consumers[0]->lag, 10);
	rig_reply_clear(&r);
	del.name = rig_str("mid");
	del.uid = 1001;
	rig_ask(g, g->apid, STORED__TYPE__CONSUMER_DELETE, &del.base, STORED__TYPE__DONE,
	    &stored__done__descriptor, &r);
	assert_true(r.ok);
	rig_reply_clear(&r);
	rig_ask(g, g->apid, STORED__TYPE__CONSUMER_DELETE, &del.base, STORED__TYPE__DONE,
	    &stored__done__descriptor, &r);
	assert_string_equal(r.code, "not_found");
	assert_int_equal(at(g, "mid", 1000, RESUME, 0, 0), 7);
	rig_free(g);
}

static void
test_consumers_are_bounded(void **state)
{
	struct rig *g = rig_open(1);
	struct rig_reply r;
	char name[16];
	int i;

	for (i = 0; i < 64; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		at(g, name, 5, RESUME, 0, 1);
	}
	consumer(g, "more", 5, RESUME, 0, &r);
	assert_string_equal(r.code, "too_many");
	at(g, "c3", 5, RESUME, 0, 0); /* those that are there still open */
	at(g, "more", 6, RESUME, 0, 1);
	rig_free(g);
}

static void
test_acks_share_a_sync(void **state)
{
	enum {
		N = 50
	};
	struct rig *g = rig_open(1);
	Stored__Stats before, after;
	struct rig_reply r[N];
	size_t i;

	for (i = 0; i < N; i++)
		rig_event(g, "a", "{}", NULL);
	at(g, "c", 1, EARLIEST, 0, 1);
	rig_stats(g, &before);
	for (i = 0; i < N; i++)
		ack_send(g, "c", 1, i + 1, &r[i]);
	for (i = 0; i < N; i++) {
		RIG_UNTIL(g, r[i].came);
		assert_int_equal(((Stored__Consumer *)r[i].pb)->acked_seq, i + 1);
		rig_reply_clear(&r[i]);
	}
	rig_stats(g, &after);
	assert_in_range(after.fsyncs - before.fsyncs, 1, N / 5);
	rig_free(g);
}

/* A crash: the files as they are, without what a clean stop does. */
static void
crash_after(void (*run)(struct rig *g), size_t naccounts)
{
	int status;
	pid_t pid = fork();

	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		struct rig *g;

		alarm(30 * test_slow());
		g = rig_open(naccounts);
		run(g);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
five_events(struct rig *g)
{
	int i;

	for (i = 0; i < 5; i++)
		rig_event(g, i % 2 ? "a" : "b", "{}", NULL);
}

static void
test_seq_never_comes_twice(void **state)
{
	struct rig *g;
	struct rig_reply r;
	char log_id[40];
	uint64_t seq;

	/* a clean stop leaves no gap */
	g = rig_open(2);
	five_events(g);
	snprintf(log_id, sizeof(log_id), "%s", g->log_id);
	assert_int_equal(strlen(log_id), 32);
	rig_free(g);
	g = rig_open(2);
	assert_int_equal(g->state_last_seq, 5);
	assert_string_equal(g->log_id, log_id);
	assert_int_equal(rig_event(g, "a", "{}", NULL), 6);
	rig_free(g);

	/* a crash may leave one, even if the account with the newest events is gone */
	crash_after(five_events, 2);
	assert_int_equal(unlink("account-a.db"), 0);
	assert_int_equal(unlink("account-a.db-wal"), 0);
	assert_int_equal(unlink("account-b.db"), 0);
	assert_int_equal(unlink("account-b.db-wal"), 0);
	g = rig_open(2);
	seq = rig_event(g, "a", "{}", NULL);
	assert_true(seq > 11);
	assert_string_equal(g->log_id, log_id);
	/* what a reader is told to go on from stays behind what comes */
	assert_int_equal(rig_events(g, 0, 10, NULL, &r)->scanned_seq, seq);
	rig_reply_clear(&r);
	rig_free(g);
}

/* ---------------------------------------------------------------- retention */

static struct rig *
open_with(int64_t keep_acked, int64_t max_age, int64_t max_bytes, int64_t expiry)
{
	struct store_options o = {.keep_acked_ms = keep_acked,
	    .max_age_ms = max_age,
	    .max_bytes = max_bytes,
	    .consumer_expiry_ms = expiry,
	    .keep_sent_ms = rig_options.keep_sent_ms,
	    .keep_pending_ms = rig_options.keep_pending_ms};
	struct rig *g = rig_new_with(rig_names, 2, &o);

	rig_unlock(g);
	return g;
}

static void
expect_log(struct rig *g, uint64_t first, size_t n)
{
	const Stored__Events *e;
	struct rig_reply r;

	e = rig_events(g, 0, 1000, NULL, &r);
	assert_int_equal(e->first_seq, first);
	assert_int_equal(e->n_events, n);
	if (n > 0)
		assert_true(e->events[0]->seq >= first);
	rig_reply_clear(&r);
}

static void
test_retention_waits_for_consumers(void **state)
{
	struct rig *g = open_with(10000, 0, 0, 86400000);
	char code[32];
	int i;

	for (i = 0; i < 10; i++)
		rig_event(g, i % 2 ? "a" : "b", "{}", NULL);
	at(g, "fast", 1, EARLIEST, 0, 1);
	at(g, "slow", 1, EARLIEST, 0, 1);
	ack(g, "fast", 1, 10, code);
	ack(g, "slow", 1, 4, code);
	rig_later(g, 5000);
	rig_later(g, 2000);
	expect_log(g, 1, 10); /* keep_acked has not passed */
	rig_later(g, 5000);
	rig_later(g, 2000);
	expect_log(g, 5, 6);
	/* the event of the beginning is told to whom it concerns */
	assert_int_equal(at(g, "third", 1, EARLIEST, 0, 1), 4);
	ack(g, "third", 1, 10, code);
	ack(g, "slow", 1, 10, code);
	rig_later(g, 2000);
	rig_later(g, 2000);
	expect_log(g, 11, 0);
	/* it goes on above, over a restart */
	rig_free(g);
	g = open_with(10000, 0, 0, 86400000);
	expect_log(g, 11, 0);
	assert_int_equal(rig_event(g, "a", "{}", NULL), 11);
	expect_log(g, 11, 1);
	/* a consumer that does not come back holds nothing after its time */
	rig_later(g, 80000000);
	rig_later(g, 2000);
	expect_log(g, 11, 1);
	rig_later(g, 10000000);
	rig_later(g, 2000);
	rig_later(g, 2000);
	expect_log(g, 12, 0);
	rig_free(g);
}

static void
test_retention_without_consumers(void **state)
{
	struct rig *g = open_with(10000, 0, 0, 0);

	rig_event(g, "a", "{}", NULL);
	rig_event(g, "b", "{}", NULL);
	rig_later(g, 8000);
	rig_event(g, "a", "{}", NULL);
	rig_later(g, 4000);
	rig_later(g, 2000);
	expect_log(g, 3, 1);
	rig_free(g);
}

static void
test_retention_by_force(void **state)
{
	struct rig *g = open_with(1000, 600000, 0, 0);
	char *body = malloc(100001);
	int i;

	/* age: consumers or not; to make them may take a while on a slow machine */
	at(g, "slow", 1, EARLIEST, 0, 1);
	for (i = 0; i < 500; i++)
		rig_event(g, i % 3 ? "a" : "b", "{}", NULL);
	rig_later(g, 500000);
	rig_later(g, 2000);
	expect_log(g, 1, 500);
	rig_later(g, 200000);
	for (i = 0; i < 12; i++)
		rig_later(g, 2000);
	expect_log(g, 501, 0);
	assert_int_equal(g->s->trim_done, 500);
	rig_free(g);

	/* bytes: of those that were there at the start as well */
	memset(body, 'x', 100000);
	body[0] = '{';
	body[100000] = '\0';
	g = open_with(3600000, 0, 0, 0);
	for (i = 0; i < 10; i++)
		rig_event(g, i % 2 ? "a" : "b", body, NULL);
	rig_free(g);
	g = open_with(3600000, 0, 1000000, 0);
	for (i = 0; i < 5; i++)
		rig_later(g, 2000);
	expect_log(g, 501, 10); /* exactly the bound */
	rig_event(g, "a", body, NULL);
	rig_event(g, "a", "{}", NULL);
	for (i = 0; i < 5; i++)
		rig_later(g, 2000);
	expect_log(g, 503, 10);
	free(body);
	rig_free(g);
}

/* A wall clock that jumps lets nothing go, until it is back or has stood by it for a day. */
static void
test_retention_and_a_clock_that_jumps(void **state)
{
	const int64_t day = 86400000;
	struct rig *g = open_with(1000, 60000, 0, day);
	int i;

	at(g, "slow", 1, EARLIEST, 0, 1);
	rig_event(g, "a", "{}", "key");
	rig_later(g, 2000);
	rig_wall_shift += 400 * day; /* far ahead */
	for (i = 0; i < 12; i++)
		rig_later(g, 4000);
	rig_later(g, 4000000);
	rig_later(g, 2000);
	expect_log(g, 1, 1);
	assert_int_equal(rig_event(g, "a", "{}", "key"), 0); /* its key neither */
	rig_wall_shift -= 400 * day;                         /* and back: its real age counts */
	rig_later(g, 2000);
	rig_later(g, 2000);
	expect_log(g, 2, 0);
	rig_free(g);

	/* one that stays is believed after a day */
	g = open_with(1000, 3 * day, 0, day);
	at(g, "slow", 1, EARLIEST, 0, 0);
	rig_event(g, "a", "{}", NULL);
	rig_later(g, 2000);
	rig_wall_shift += 10 * day;
	rig_later(g, 2000);
	rig_later(g, day - 10000);
	rig_later(g, 2000);
	expect_log(g, 2, 1);
	rig_later(g, 10000);
	rig_later(g, 2000);
	expect_log(g, 3, 0);
	rig_free(g);

	/* backwards and forwards again */
	g = open_with(day, 2 * day, 0, 0);
	rig_later(g, 2000);
	rig_wall_shift -= 30 * day;
	rig_event(g, "a", "{}", NULL);
	rig_later(g, 2000);
	expect_log(g, 3, 1);
	rig_free(g);

	/* a start far from the newest event, as after a wrong clock */
	rig_wall_shift += 30 * day;
	g = open_with(1000, 60000, 0, 0);
	rig_later(g, 2000);
	rig_later(g, 2000);
	expect_log(g, 3, 1);
	rig_later(g, day);
	rig_later(g, 2000);
	expect_log(g, 4, 0);
	rig_free(g);
}

/* A dedup key outlives its event, and goes after its own time. */
static void
test_dedup_keys_expire(void **state)
{
	struct rig *g = open_with(1000, 0, 0, 0);
	const int64_t day = 86400000;
	int i;

	assert_int_equal(rig_event(g, "a", "{}", "key"), 1);
	rig_later(g, 20 * day);
	for (i = 0; i < 5; i++)
		rig_later(g, 4000000);
	expect_log(g, 2, 0);
	assert_int_equal(rig_event(g, "a", "{}", "key"), 0);
	rig_later(g, 11 * day);
	for (i = 0; i < 5; i++)
		rig_later(g, 4000000);
	assert_int_not_equal(rig_event(g, "a", "{}", "key"), 0);
	rig_free(g);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_merge_of_accounts),
	    T(test_read_bounds),
	    T(test_consumers),
	    T(test_consumers_are_bounded),
	    T(test_acks_share_a_sync),
	    T(test_seq_never_comes_twice),
	    T(test_retention_waits_for_consumers),
	    T(test_retention_without_consumers),
	    T(test_retention_by_force),
	    T(test_retention_and_a_clock_that_jumps),
	    T(test_dedup_keys_expire),
	};

	alarm(120 * test_slow());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
