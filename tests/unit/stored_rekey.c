/* All databases get their next keys while units go on: REKEY and what comes of it, over a kill, a
 * full disk, and with a store of 100 MB. */
#include "tests/unit/stored_rig.h"

#include <errno.h>

#include "stored/task.h"

#define NEXT 7 /* the salt of the next keys */

/* ---------------------------------------------------------------- what keyd says */

struct keys {
	Stored__AccountKey account[8], *list[8];
	uint8_t key[9][32], next[9][32];
};

static void
make_keys(const struct rig *g, struct keys *k, uint8_t salt, uint8_t next_salt)
{
	size_t i;

	rig_key(k->key[8], "service", salt);
	rig_key(k->next[8], "service", next_salt);
	for (i = 0; i < g->s->naccounts; i++) {
		stored__account_key__init(&k->account[i]);
		k->account[i].account = g->s->accounts[i].name;
		rig_key(k->key[i], k->account[i].account, salt);
		rig_key(k->next[i], k->account[i].account, next_salt);
		k->account[i].key.data = k->key[i];
		k->account[i].key.len = 32;
		if (next_salt != 0) {
			k->account[i].has_next_key = 1;
			k->account[i].next_key.data = k->next[i];
			k->account[i].next_key.len = 32;
		}
		k->list[i] = &k->account[i];
	}
}

/* UNLOCK; the reply is the caller's to clear. next_salt 0: without next keys. */
static const Stored__UnlockReply *
unlock(struct rig *g, uint8_t salt, uint8_t next_salt, struct rig_reply *r)
{
	Stored__Unlock m = STORED__UNLOCK__INIT;
	struct keys k;

	make_keys(g, &k, salt, next_salt);
	m.service_key.data = k.key[8];
	m.service_key.len = 32;
	m.has_service_next_key = next_salt != 0;
	m.service_next_key.data = k.next[8];
	m.service_next_key.len = 32;
	m.accounts = k.list;
	m.n_accounts = g->s->naccounts;
	rig_ask(g, g->keyd, STORED__TYPE__UNLOCK, &m.base, STORED__TYPE__UNLOCK_REPLY,
	    &stored__unlock_reply__descriptor, r);
	assert_true(r->ok);
	return (const Stored__UnlockReply *)r->pb;
}

static void
unlock_well(struct rig *g, uint8_t salt, uint8_t next_salt)
{
	struct rig_reply r;
	const Stored__UnlockReply *u = unlock(g, salt, next_salt, &r);
	size_t i;

	if (!u->service->ok)
		fail_msg("service: %s", u->service->text);
	for (i = 0; i < u->n_accounts; i++) {
		if (!u->accounts[i]->ok)
			fail_msg("%s: %s", u->accounts[i]->account, u->accounts[i]->text);
	}
	rig_reply_clear(&r);
}

/* REKEY; the error's code, "" = done. */
static const char *
rekey(struct rig *g, size_t naccounts, int check)
{
	static char code[32];
	Stored__Rekey m = STORED__REKEY__INIT;
	struct rig_reply r;
	struct keys k;

	make_keys(g, &k, 0, NEXT);
	m.service_next_key.data = k.next[8];
	m.service_next_key.len = 32;
	m.accounts = k.list;
	m.n_accounts = naccounts;
	m.has_check = m.check = check;
	rig_ask(g, g->keyd, STORED__TYPE__REKEY, &m.base, STORED__TYPE__DONE,
	    &stored__done__descriptor, &r);
	snprintf(code, sizeof(code), "%s", r.ok ? "" : r.code);
	rig_reply_clear(&r);
	return code;
}

/* What Stats says of a database that is not done; its trouble, "" = none, NULL = it is done. */
static const char *
trouble_of(struct rig *g, const char *account)
{
	static char out[32];
	Stored__StatsGet m = STORED__STATS_GET__INIT;
	struct rig_reply r;
	const Stored__Stats *st;
	const char *found = NULL;
	size_t i;

	rig_ask(g, g->apid, STORED__TYPE__STATS, &m.base, STORED__TYPE__STATS_REPLY,
	    &stored__stats__descriptor, &r);
	st = (const Stored__Stats *)r.pb;
	for (i = 0; i < st->n_rekey; i++) {
		if (strcmp(st->rekey[i]->account, account) != 0)
			continue;
		assert_true(st->rekey[i]->done <= st->rekey[i]->total);
		snprintf(out, sizeof(out), "%s",
		    st->rekey[i]->trouble != NULL ? st->rekey[i]->trouble : "");
		found = out;
	}
	rig_reply_clear(&r);
	return found;
}

/* ---------------------------------------------------------------- units */

#define BODY_MAX 4096

static const char *
body(uint64_t n, size_t size)
{
	static char text[BODY_MAX];
	int at = snprintf(text, sizeof(text), "{\"n\":%llu,\"x\":\"", (unsigned long long)n);

	assert_true((size_t)at + size + 3 < sizeof(text));
	memset(text + at, 'a' + (int)(n % 26), size);
	memcpy(text + at + size, "\"}", 3);
	return text;
}

/* All events of an account, numbered 1.. in their bodies: how many are there, each whole. */
static uint64_t
count(struct rig *g, const char *account, size_t size)
{
	uint64_t n = 0, after = 0;
	const Stored__Events *e;
	struct rig_reply r;
	size_t i, got;

	do {
		e = rig_events(g, after, 1000, account, &r);
		for (i = 0; i < e->n_events; i++) {
			const char *want = body(++n, size);

			if (e->events[i]->body.len != strlen(want) ||
			    memcmp(e->events[i]->body.data, want, strlen(want)) != 0)
				fail_msg("account %s: event %llu is not there", account,
				    (unsigned long long)n);
		}
		after = e->scanned_seq;
		got = e->n_events;
		rig_reply_clear(&r);
	} while (got > 0);
	return n;
}

static void
fill(struct rig *g, const char *account, uint64_t from, uint64_t upto, size_t size)
{
	for (; from <= upto; from++)
		rig_event(g, account, body(from, size), NULL);
}

/* ---------------------------------------------------------------- tests */

static void
test_while_units_go_on(void **state)
{
	struct rig *g = rig_new(2);
	uint64_t n = 200, unit;
	struct rig_reply r;

	unlock_well(g, 0, 0);
	fill(g, "a", 1, n, 2000);
	fill(g, "b", 1, 10, 2000);
	unit = rig_unit_next();
	rig_unit_open(g, "a", unit);
	rig_stage(g, "a", unit, "rec", 1, "sealed");
	rig_commit(g, "a", unit, 1, NULL, NULL, &r);
	RIG_UNTIL(g, r.came);
	rig_reply_clear(&r);

	assert_string_equal(rekey(g, 2, 0), "");
	assert_string_equal(trouble_of(g, "a"), "");
	while (g->nrekeyed < 3) {
		n++;
		rig_event(g, "a", body(n, 2000), NULL);
	}
	assert_null(trouble_of(g, "a"));
	assert_null(trouble_of(g, ""));
	n++;
	rig_event(g, "a", body(n, 2000), NULL);
	/* once more: told at once */
	assert_string_equal(rekey(g, 2, 0), "");
	RIG_UNTIL(g, g->nrekeyed == 6);
	rig_free(g);

	g = rig_new(2);
	unlock_well(g, NEXT, 0);
	assert_int_equal(count(g, "a", 2000), n);
	assert_int_equal(count(g, "b", 2000), 10);
	assert_int_equal(rig_record(g, "a", "rec", NULL, 0), 1);
	rig_free(g);

	g = rig_new(2);
	assert_string_equal(unlock(g, 0, 0, &r)->service->reason, "wrong_key");
	rig_reply_clear(&r);
	rig_free(g);
}

static void
test_refused(void **state)
{
	struct rig *g = rig_new(2);

	assert_string_equal(rekey(g, 2, 0), "locked");
	unlock_well(g, 0, 0);
	assert_string_equal(rekey(g, 1, 0), "bad_request");
	assert_string_equal(rekey(g, 1, 1), "bad_request");
	assert_string_equal(rekey(g, 2, 1), ""); /* it could, and nothing came of it */
	rig_settle(g);
	assert_null(g->s->rekey);
	assert_int_equal(g->lost, 0);
	rig_free(g);

	/* an account that was there and is not configured would be left behind */
	g = rig_new(1);
	unlock_well(g, 0, 0);
	assert_string_equal(rekey(g, 1, 1), "unconfigured");
	assert_string_equal(rekey(g, 1, 0), "unconfigured");
	assert_null(g->s->rekey);
	rig_free(g);
}

/* An account without its next key while the service has one: keyd broke the contract. */
static void
test_unlock_with_half_the_keys(void **state)
{
	struct rig *g = rig_new(1);
	Stored__Unlock m = STORED__UNLOCK__INIT;
	struct rig_reply r;
	struct keys k;

	make_keys(g, &k, 0, 0);
	m.service_key.data = m.service_next_key.data = k.key[8];
	m.service_key.len = m.service_next_key.len = 32;
	m.has_service_next_key = 1;
	m.accounts = k.list;
	m.n_accounts = 1;
	rig_send(g->keyd, STORED__TYPE__UNLOCK, &m.base, STORED__TYPE__UNLOCK_REPLY,
	    &stored__unlock_reply__descriptor, &r);
	RIG_UNTIL(g, g->lost > 0);
	rig_free(g);
}

static void
test_goes_on_after_unlock(void **state)
{
	struct rig *g = rig_new(2);
	struct rig_reply r;
	const Stored__UnlockReply *u;

	unlock_well(g, 0, 0);
	fill(g, "a", 1, 50, 1000);
	rig_free(g);

	/* with both keys they go on to the next without being asked */
	g = rig_new(2);
	unlock_well(g, 0, NEXT);
	RIG_UNTIL(g, g->nrekeyed == 3);
	rig_free(g);
	g = rig_new(2);
	u = unlock(g, 0, NEXT, &r);
	assert_true(u->service->rekeyed && u->accounts[0]->rekeyed && u->accounts[1]->rekeyed);
	rig_reply_clear(&r);
	assert_null(trouble_of(g, "a"));
	assert_int_equal(count(g, "a", 1000), 50);
	rig_free(g);
}

static void
test_waits_for_room(void **state)
{
	struct rig *g = rig_new(1);

	unlock_well(g, 0, 0);
	fill(g, "a", 1, 50, 1000);
	g->s->options.min_free = INT64_MAX / 2;
	assert_string_equal(rekey(g, 1, 0), "");
	RIG_UNTIL(g, strcmp(trouble_of(g, "a"), "disk_full") == 0);
	RIG_UNTIL(g, strcmp(trouble_of(g, ""), "disk_full") == 0);
	assert_int_equal(g->nrekeyed, 0);
	fill(g, "a", 51, 60, 1000); /* units are not concerned */
	g->s->options.min_free = 0;
	rig_later(g, 31000);
	RIG_UNTIL(g, g->nrekeyed == 2);
	assert_int_equal(count(g, "a", 1000), 60);
	rig_free(g);
}

/* An account that is not open holds up itself alone. */
static void
test_account_not_open(void **state)
{
	struct rig *g = rig_new(2);
	struct rig_reply r;
	int fd;

	unlock_well(g, 0, 0);
	rig_free(g);
	assert_int_not_equal(fd = open("account-b.db", O_WRONLY | O_CLOEXEC), -1);
	assert_int_equal(pwrite(fd, "not a database!!", 16, 0), 16);
	close(fd);
	g = rig_new(2);
	(void)unlock(g, 0, NEXT, &r);
	rig_reply_clear(&r);
	RIG_UNTIL(g, g->nrekeyed == 2);
	assert_string_equal(trouble_of(g, "b"), "wrong_key");
	assert_null(trouble_of(g, "a"));
	rig_free(g);
}

/* A backup holds the files as they are: the change of keys waits for its end. */
static void
test_waits_for_a_task(void **state)
{
	struct rig *g = rig_new(1);
	struct task busy;

	memset(&busy, 0, sizeof(busy));
	unlock_well(g, 0, 0);
	g->s->task = &busy;
	assert_string_equal(rekey(g, 1, 0), "");
	fill(g, "a", 1, 20, 1000); /* turns pass */
	assert_int_equal(g->nrekeyed, 0);
	g->s->task = NULL;
	RIG_UNTIL(g, g->nrekeyed == 2);
	rig_free(g);
}

/* ---------------------------------------------------------------- a large store, and a kill */

struct load {
	uint64_t told; /* units that were answered */
	int64_t longest_ms;
	double seconds, rate;
};

static double
now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Units one after the other until all databases have their next key. Each is told by its number,
 * to fd if that is not -1. */
static void
run_load(struct rig *g, size_t want, uint64_t from, size_t size, int fd, struct load *l)
{
	double began = now_s(), t;
	uint64_t n = from;

	l->longest_ms = 0;
	while (g->nrekeyed < want) {
		t = now_s();
		n++;
		rig_event(g, "a", body(n, size), NULL);
		t = (now_s() - t) * 1000;
		if ((int64_t)t > l->longest_ms)
			l->longest_ms = (int64_t)t;
		if (fd != -1 && write(fd, &n, sizeof(n)) != sizeof(n))
			_exit(3);
	}
	l->seconds = now_s() - began;
	l->told = n;
	l->rate = (double)(n - from) / l->seconds;
}

/* Until the copy of the large one is half done, then kill -9: what was told of units by then. */
static uint64_t
killed_halfway(uint64_t from, size_t size, uint64_t bytes)
{
	uint64_t n = from;
	struct stat sb;
	int out[2], status;
	pid_t pid;

	assert_int_equal(pipe(out), 0);
	assert_int_not_equal(pid = fork(), -1);
	if (pid == 0) {
		struct rig *g = rig_new(2);
		struct load l;

		unlock_well(g, 0, 0);
		if (strcmp(rekey(g, 2, 0), "") != 0)
			_exit(2);
		run_load(g, 3, from, size, out[1], &l);
		_exit(4); /* it came to its end before it was killed */
	}
	close(out[1]);
	assert_int_equal(fcntl(out[0], F_SETFL, O_NONBLOCK), 0);
	for (;;) {
		if (stat("account-a.db-copy", &sb) == 0 && (uint64_t)sb.st_size > bytes / 2)
			break;
		assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
		while (read(out[0], &n, sizeof(n)) == sizeof(n))
			continue;
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	while (read(out[0], &n, sizeof(n)) == sizeof(n))
		continue;
	close(out[0]);
	return n;
}

/* Many events in a unit: to fill quickly. */
static void
fill_fast(struct rig *g, uint64_t upto, size_t size)
{
	enum {
		MANY = 200
	};
	static char bodies[MANY][BODY_MAX];
	static Stored__EventAppend e[MANY];
	static Stored__Write w[MANY], *list[MANY];
	uint64_t n = 0, unit;
	struct rig_reply r;
	size_t i;

	while (n < upto) {
		for (i = 0; i < MANY && n < upto; i++) {
			n++;
			snprintf(bodies[i], BODY_MAX, "%s", body(n, size));
			rig_event_init(&e[i], bodies[i], NULL);
			stored__write__init(&w[i]);
			w[i].event = &e[i];
			list[i] = &w[i];
		}
		unit = rig_unit_next();
		rig_unit_open(g, "a", unit);
		rig_commit_writes(g, "a", unit, 0, list, i, &r);
		RIG_UNTIL(g, r.came);
		assert_true(rig_result(&r)->committed);
		rig_reply_clear(&r);
	}
}

static void
test_large(void **state)
{
	const char *v = getenv("WARD_REKEY_MB");
	uint64_t mb = v != NULL ? strtoull(v, NULL, 10) : test_slow() > 1 ? 4 : 100;
	size_t size = 3000;
	uint64_t filled = mb * 1024 * 1024 / 4096, told, n;
	struct rig *g = rig_new(2);
	const Stored__UnlockReply *u;
	struct rig_reply r;
	struct task busy;
	struct load l;
	struct stat sb;
	size_t want;

	memset(&busy, 0, sizeof(busy));
	assert_true(mb >= 1 && mb <= 100000);
	unlock_well(g, 0, 0);
	fill_fast(g, filled, size);
	rig_free(g);
	assert_int_equal(stat("account-a.db", &sb), 0);

	told = killed_halfway(filled, size, (uint64_t)sb.st_size);
	assert_true(told > filled);
	assert_int_equal(access("account-a.db-copy", F_OK), 0);

	g = rig_new(2);
	g->s->task = &busy; /* it goes on when all was counted */
	u = unlock(g, 0, NEXT, &r);
	assert_false(u->accounts[0]->rekeyed);
	want = 3 - (size_t)u->service->rekeyed - (size_t)u->accounts[1]->rekeyed;
	rig_reply_clear(&r);
	n = count(g, "a", size);
	if (n < told || n > told + 1)
		fail_msg("%llu of %llu units are there after the kill", (unsigned long long)n,
		    (unsigned long long)told);
	g->s->task = NULL;
	run_load(g, want, n, size, -1, &l);
	print_message("%llu MB: killed half-way with %llu units answered, none lost; then all of "
		      "it in %.1f s, %.0f units/s meanwhile, the longest took %lld ms\n",
	    (unsigned long long)(sb.st_size / 1000000), (unsigned long long)(told - filled),
	    l.seconds, l.rate, (long long)l.longest_ms);
	rig_free(g);

	g = rig_new(2);
	unlock_well(g, NEXT, 0);
	assert_int_equal(count(g, "a", size), l.told);
	rig_free(g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_while_units_go_on, rig_setup, rig_teardown),
	    cmocka_unit_test_setup_teardown(test_refused, rig_setup, rig_teardown),
	    cmocka_unit_test_setup_teardown(
		test_unlock_with_half_the_keys, rig_setup, rig_teardown),
	    cmocka_unit_test_setup_teardown(test_goes_on_after_unlock, rig_setup, rig_teardown),
	    cmocka_unit_test_setup_teardown(test_waits_for_room, rig_setup, rig_teardown),
	    cmocka_unit_test_setup_teardown(test_account_not_open, rig_setup, rig_teardown),
	    cmocka_unit_test_setup_teardown(test_waits_for_a_task, rig_setup, rig_teardown),
	    cmocka_unit_test_setup_teardown(test_large, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
