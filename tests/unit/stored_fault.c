/* Faults: a disk that is full, fails or loses its write right at any operation, and a process that
 * is killed at any moment. A unit is there whole if it was answered, and else not at all. */
#include "tests/unit/stored_rig.h"
#include "tests/unit/slow.h"

#include <errno.h>
#include <sys/resource.h>

#include <sqlcipher/sqlite3.h>

#include "stored/sqlcipher/vfs.h"

#define UNITS 12

/* ---------------------------------------------------------------- faults by count */

struct fault {
	int rc, error; /* what the operation fails with */
	int at;        /* the operation that fails, counted from 1 */
	int stays;     /* and all after it */
	int count;     /* operations so far */
	int met;       /* it happened */
};

static int
fault_before(void *arg, enum vfs_op op, const char *name, int64_t offset, const void *data, int len)
{
	struct fault *f = arg;

	(void)name;
	(void)offset;
	(void)data;
	(void)len;
	f->count++;
	if (f->count != f->at && !(f->stays && f->count > f->at))
		return SQLITE_OK;
	f->met = 1;
	errno = f->error;
	/* as the system's layer has it: a sync that fails is an I/O error, whatever the reason */
	return op == VFS_SYNC ? SQLITE_IOERR_FSYNC : f->rc;
}

static int
known_reason(const char *reason)
{
	static const char *const words[] = {"disk_full", "io", "read_only"};
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(reason, words[i]) == 0)
			return 1;
	}
	return 0;
}

/* UNITS units, two in flight, each with a record and an event of its number; what was answered: y,
 * n, or ? where the disk leaves it open. */
static void
run_units(struct rig *g, char committed[UNITS + 1])
{
	struct rig_reply r[2];
	char name[16], body[32];
	int i, k;

	for (i = 1; i <= UNITS; i += 2) {
		for (k = 0; k < 2; k++) {
			uint64_t unit = (uint64_t)i + (uint64_t)k;

			snprintf(name, sizeof(name), "r%d", i + k);
			snprintf(body, sizeof(body), "{\"n\":%d}", i + k);
			rig_unit_open(g, "a", unit);
			rig_stage(g, "a", unit, name, 1, "sealed");
			rig_commit(g, "a", unit, 1, body, NULL, &r[k]);
		}
		RIG_UNTIL(g, r[0].came && r[1].came);
		for (k = 0; k < 2; k++) {
			if (!r[k].ok) { /* the account did not open */
				assert_string_equal(r[k].code, "account_failed");
				committed[i + k - 1] = 'n';
			} else if (rig_result(&r[k])->committed) {
				committed[i + k - 1] = 'y';
			} else if (strcmp(rig_result(&r[k])->reason, "unknown") == 0) {
				committed[i + k - 1] = '?';
			} else {
				if (!known_reason(rig_result(&r[k])->reason))
					fail_msg("reason %s", rig_result(&r[k])->reason);
				committed[i + k - 1] = 'n';
			}
			rig_reply_clear(&r[k]);
		}
	}
}

/* What stands in the store: 'y' where both the record and the event are, 'n' where neither is. */
static void
expect_units(const char *committed, const char *what)
{
	struct rig *g = rig_open(1);
	const Stored__Events *e;
	struct rig_reply r;
	char have[UNITS + 1] = "", name[16], body[32];
	size_t i, k;

	e = rig_events(g, 0, 100, NULL, &r);
	for (i = 1; i <= UNITS; i++) {
		int event = 0, record;

		snprintf(body, sizeof(body), "{\"n\":%zu}", i);
		for (k = 0; k < e->n_events; k++)
			event += e->events[k]->body.len == strlen(body) &&
				 memcmp(e->events[k]->body.data, body, strlen(body)) == 0;
		snprintf(name, sizeof(name), "r%zu", i);
		record = rig_record(g, "a", name, NULL, 0) == 1;
		if (event != record)
			fail_msg("%s: unit %zu is there in part", what, i);
		have[i - 1] = event ? 'y' : 'n';
	}
	rig_reply_clear(&r);
	for (i = 0; i < UNITS; i++) {
		if (committed[i] != '?' && have[i] != committed[i])
			fail_msg("%s: answered %s, stored %s", what, committed, have);
	}
	rig_free(g);
}

/* In a process that then dies without a word. Returns whether the fault was met. */
static int
run_with(struct fault *f, char committed[UNITS + 1])
{
	const struct vfs_hook hook = {fault_before, f};
	int out[2], status;
	char met = 0;
	pid_t pid;

	assert_int_equal(pipe(out), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		struct rig *g;
		struct rig_reply r;

		alarm(60 * test_slow());
		g = rig_new(1);
		vfs_set_hook(&hook);
		rig_unlock_salt(g, 0, NULL, &r);
		if (!r.ok)
			_exit(2);
		run_units(g, committed);
		met = (char)f->met;
		if (write(out[1], &met, 1) != 1 || write(out[1], committed, UNITS) != UNITS)
			_exit(3);
		_exit(0);
	}
	close(out[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(out[0], &met, 1), 1);
	assert_int_equal(read(out[0], committed, UNITS), UNITS);
	committed[UNITS] = '\0';
	close(out[0]);
	return met;
}

static void
every_point(int rc, int error, int stays, const char *kind)
{
	char committed[UNITS + 1] = "", what[64];
	int at, points = 0, failed = 0, step = test_slow() >= 10 ? 16 : test_slow() > 1 ? 4 : 1;

	for (at = 1;; at += step) {
		struct fault f = {.rc = rc, .error = error, .at = at, .stays = stays};
		int met = run_with(&f, committed);

		snprintf(what, sizeof(what), "%s%s at operation %d", kind,
		    stays ? " from then on" : "", at);
		failed += strpbrk(committed, "n?") != NULL;
		/* only a disk that lets nothing be cleared up may leave a doubt */
		if (!stays && strchr(committed, '?') != NULL)
			fail_msg("%s: %s", what, committed);
		expect_units(committed, what);
		rig_leave_folder();
		rig_enter_folder();
		if (!met)
			break;
		points++;
	}
	print_message("%s%s: %d points, units refused at %d of them\n", kind,
	    stays ? " from then on" : "", points, failed);
	assert_true(points * step > 40);
	assert_true(failed > 0);
}

static void
test_full_at_every_point(void **state)
{
	every_point(SQLITE_FULL, ENOSPC, 0, "disk full once");
	every_point(SQLITE_FULL, ENOSPC, 1, "disk full");
}

static void
test_io_error_at_every_point(void **state)
{
	every_point(SQLITE_IOERR, EIO, 0, "I/O error once");
	every_point(SQLITE_IOERR, EIO, 1, "I/O error");
}

static void
test_read_only_at_every_point(void **state)
{
	every_point(SQLITE_IOERR, EROFS, 1, "read-only");
}

/* ---------------------------------------------------------------- going on */

static void
test_goes_on_after_a_full_disk(void **state)
{
	struct rig *g = rig_open(2);
	struct fault f = {.rc = SQLITE_FULL, .error = ENOSPC, .at = 1, .stays = 1};
	const struct vfs_hook hook = {fault_before, &f};
	struct rig_reply r, rc;
	Stored__ConsumerOpen o = STORED__CONSUMER_OPEN__INIT;

	assert_int_equal(rig_event(g, "a", "{\"n\":1}", NULL), 1);
	vfs_set_hook(&hook);
	rig_unit_open(g, "a", 5000000);
	rig_stage(g, "a", 5000000, "r", 1, "x");
	rig_commit(g, "a", 5000000, 1, "{}", NULL, &r);
	RIG_UNTIL(g, r.came && g->ndone == 1);
	assert_string_equal(rig_result(&r)->reason, "disk_full");
	assert_false(g->done[0].committed);
	rig_reply_clear(&r);
	o.name = rig_str("c");
	o.from = STORED__CONSUMER_OPEN__FROM__RESUME;
	rig_ask(g, g->apid, STORED__TYPE__CONSUMER_OPEN, &o.base, STORED__TYPE__CONSUMER,
	    &stored__consumer__descriptor, &rc);
	assert_string_equal(rc.code, "disk_full");
	/* reads go on */
	assert_int_equal(rig_events(g, 0, 10, NULL, &r)->n_events, 1);
	rig_reply_clear(&r);
	assert_int_equal(rig_record(g, "a", "r", NULL, 0), 0);
	/* and writes, once there is space */
	vfs_set_hook(NULL);
	rig_unit_open(g, "a", 5000001);
	rig_stage(g, "a", 5000001, "r", 1, "x");
	rig_commit(g, "a", 5000001, 1, "{}", NULL, &r);
	RIG_UNTIL(g, r.came);
	assert_true(rig_result(&r)->committed);
	assert_true(rig_result(&r)->seqs[0] > 1);
	rig_reply_clear(&r);
	assert_int_equal(g->accounts_ok, 2); /* it was no failure of the account */
	rig_free(g);
}

/* The kernel's own answer, when a file may grow no further. */
static void
test_file_size_limit(void **state)
{
	struct rig *g = rig_open(1);
	struct rlimit old, now;
	struct rig_reply r;
	char *body = malloc(50001);
	uint64_t unit = 0;
	size_t ok = 0;
	int full = 0;

	memset(body, 'x', 50000);
	body[0] = '{';
	body[50000] = '\0';
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	now = old;
	now.rlim_cur = 1024 * 1024;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &now), 0);
	while (!full && unit < 100) {
		rig_unit_open(g, "a", ++unit);
		rig_commit(g, "a", unit, 0, body, NULL, &r);
		RIG_UNTIL(g, r.came);
		if (rig_result(&r)->committed)
			ok++;
		else
			full = strcmp(rig_result(&r)->reason, "disk_full") == 0 ? 1 : -1;
		rig_reply_clear(&r);
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(full, 1);
	assert_true(ok > 5);
	assert_int_equal(rig_events(g, 0, 1000, NULL, &r)->n_events, ok < 20 ? ok : 20);
	rig_reply_clear(&r);
	assert_int_not_equal(rig_event(g, "a", body, NULL), 0);
	free(body);
	rig_free(g);
}

static void
test_disk_low(void **state)
{
	struct store_options o = rig_options;
	struct rig *g;

	o.min_free = INT64_MAX / 2; /* more than any disk has */
	g = rig_new_with(rig_names, 1, &o);
	rig_unlock(g);
	RIG_UNTIL(g, g->disk_low);
	assert_int_equal(rig_event(g, "a", "{}", NULL), 1); /* still taken */
	/* room again: told */
	g->s->options.min_free = 0;
	rig_later(g, 6000);
	RIG_UNTIL(g, !g->disk_low);
	rig_free(g);
}

static int64_t
size_of(const char *file)
{
	struct stat sb;

	assert_int_equal(stat(file, &sb), 0);
	return sb.st_size;
}

/* A log that has grown is written back, a part at a time: when nothing waits, or under load when it
 * must be. */
static void
test_log_is_written_back(void **state)
{
	struct rig *g = rig_open(1);
	char *body = malloc(200001);
	int64_t before;
	int i;

	memset(body, 'x', 200000);
	body[0] = '{';
	body[200000] = '\0';
	event_del(g->s->tick); /* only by hand */
	for (i = 0; i < 30; i++)
		rig_event(g, "a", body, NULL);
	assert_true(size_of("account-a.db-wal") > 6 * 1000 * 1000);
	before = size_of("account-a.db");
	assert_true(before < 1000 * 1000); /* no commit had to do it */
	rig_later(g, 2000);
	assert_in_range(size_of("account-a.db"), before + 1, before + 2 * 1000 * 1000);
	for (i = 0; i < 10; i++)
		rig_later(g, 250);
	assert_true(size_of("account-a.db") > 6 * 1000 * 1000);
	/* the next ones begin the log anew; it never becomes long */
	for (i = 0; i < 100; i++)
		rig_event(g, "a", body, NULL);
	assert_true(size_of("account-a.db-wal") < 14 * 1000 * 1000);
	free(body);
	rig_free(g);
}

/* ---------------------------------------------------------------- kill -9 */

/* Commits as fast as it can, 16 in flight; says the number of each one that was answered. */
static void
commit_for_ever(int out, uint64_t first)
{
	enum {
		FLIGHT = 16
	};
	struct rig *g = rig_open(1);
	struct rig_reply r[FLIGHT];
	uint64_t next = first;
	char name[24], body[32];
	int i;

	for (;;) {
		for (i = 0; i < FLIGHT; i++) {
			uint64_t n = next + (uint64_t)i;

			snprintf(name, sizeof(name), "r%llu", (unsigned long long)n);
			snprintf(body, sizeof(body), "{\"n\":%llu}", (unsigned long long)n);
			rig_unit_open(g, "a", n);
			rig_stage(g, "a", n, name, 1, "sealed");
			rig_commit(g, "a", n, 1, body, NULL, &r[i]);
		}
		for (i = 0; i < FLIGHT; i++) {
			uint64_t n = next + (uint64_t)i;

			RIG_UNTIL(g, r[i].came);
			if (!rig_result(&r[i])->committed || write(out, &n, sizeof(n)) != sizeof(n))
				_exit(1);
			rig_reply_clear(&r[i]);
		}
		next += FLIGHT;
		g->ndone = 0;
	}
}

/* Kill it after `after` answers and a little; the highest number that was answered. */
static uint64_t
kill_after(uint64_t first, unsigned answers, unsigned spin)
{
	uint64_t n = 0, last = 0;
	int out[2], status;
	volatile unsigned i;
	pid_t pid;

	assert_int_equal(pipe(out), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		close(out[0]);
		alarm(60 * test_slow());
		commit_for_ever(out[1], first);
		_exit(1);
	}
	close(out[1]);
	while (answers-- > 0 && read(out[0], &n, sizeof(n)) == sizeof(n))
		last = n;
	for (i = 0; i < spin; i++) /* some microseconds further, into the next commit */
		continue;
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	while (read(out[0], &n, sizeof(n)) == sizeof(n))
		last = n;
	close(out[0]);
	return last;
}

/* The numbers of all events in order; each must have its record. Returns how many. */
static uint64_t
count_whole(struct rig *g)
{
	const Stored__Events *e;
	struct rig_reply r;
	uint64_t after = 0, n = 0;
	size_t i, got;
	char name[24], text[64];
	unsigned long long number;

	do {
		e = rig_events(g, after, 1000, NULL, &r);
		got = e->n_events;
		after = e->scanned_seq;
		for (i = 0; i < got; i++) {
			snprintf(text, sizeof(text), "%.*s", (int)e->events[i]->body.len,
			    (const char *)e->events[i]->body.data);
			assert_memory_equal(text, "{\"n\":", 5);
			number = strtoull(text + 5, NULL, 10);
			assert_int_equal(number, ++n); /* none lost, none twice, in order */
			snprintf(name, sizeof(name), "r%llu", number);
			assert_int_equal(rig_record(g, "a", name, NULL, 0), 1);
		}
		rig_reply_clear(&r);
	} while (got > 0);
	snprintf(name, sizeof(name), "r%llu", (unsigned long long)n + 1);
	assert_int_equal(rig_record(g, "a", name, NULL, 0), 0); /* no record without its event */
	return n;
}

static void
test_kill(void **state)
{
	unsigned seed = 12345, round, rounds = test_slow() >= 10 ? 5 : 25;
	uint64_t whole = 0, answered, kept = 0;

	for (round = 0; round < rounds; round++) {
		struct rig *g;

		seed = seed * 1103515245u + 12345u;
		answered = kill_after(whole + 1, 1 + (seed >> 16) % 60, (seed >> 8) % 400000);
		g = rig_open(1);
		whole = count_whole(g);
		if (whole < answered)
			fail_msg("answered %llu, stored %llu", (unsigned long long)answered,
			    (unsigned long long)whole);
		kept += whole - answered;
		rig_free(g);
	}
	print_message(
	    "%u kills: %llu units whole, none of those answered lost, %llu not answered in time\n",
	    round, (unsigned long long)whole, (unsigned long long)kept);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_full_at_every_point),
	    T(test_io_error_at_every_point),
	    T(test_read_only_at_every_point),
	    T(test_goes_on_after_a_full_disk),
	    T(test_file_size_limit),
	    T(test_disk_low),
	    T(test_log_is_written_back),
	    T(test_kill),
	};

	alarm(600 * test_slow());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
