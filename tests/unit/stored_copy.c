/* A copy of a database while it is used: as a snapshot, and under another key in its place. Cut
 * short at any operation of the disk, or failed there, the one or the other is whole. */
#include "tests/unit/stored_rig.h"

#include <errno.h>
#include <signal.h>

#include <sqlcipher/sqlite3.h>

#include "stored/region.h"
#include "stored/sqlcipher/vfs.h"

static const uint8_t old_key[STORE_KEY_LEN] = {1, 2, 3}, new_key[STORE_KEY_LEN] = {9, 8, 7};
static const struct store_backend *const be = &store_sqlcipher;

static int64_t no_check;

static struct store_db *
open_with(const uint8_t *key, const uint8_t *next, int *rekeyed, enum store_status want)
{
	struct store_open o = {.kind = STORE_ACCOUNT,
	    .account = "a",
	    .key = key,
	    .next_key = next,
	    .check_budget_ms = &no_check};
	struct store_db *db = NULL;
	enum store_status st = be->open(&o, &db);

	if (st != want)
		fail_msg("open: %s (%s)", store_status_word(st), o.text);
	if (rekeyed != NULL)
		*rekeyed = o.rekeyed;
	return db;
}

/* An event of number n and about size bytes, committed. */
static enum store_status
add(struct store_db *db, uint64_t n, size_t size)
{
	static char body[300000];
	Stored__EventAppend e = STORED__EVENT_APPEND__INIT;
	enum store_status st;
	int kept;

	assert_true(size + 32 < sizeof(body));
	snprintf(body, sizeof(body), "{\"n\":%llu,\"x\":\"", (unsigned long long)n);
	memset(body + strlen(body), 'a' + (int)(n % 26), size);
	e.type = rig_str("t");
	e.origin = rig_str("live");
	e.body.data = (uint8_t *)body;
	e.body.len = size + 20;
	if ((st = be->begin(db)) != STORE_OK)
		return st;
	if ((st = be->event_append(db, n, 1, &e, &kept)) != STORE_OK) {
		be->rollback(db);
		return st;
	}
	return be->commit(db);
}

/* How many events are there; their numbers must be 1..that, each whole. */
static uint64_t
count(struct store_db *db, size_t size)
{
	const struct store_event *e;
	uint64_t n = 0;

	assert_int_equal(be->events_walk(db, 0), STORE_OK);
	while (be->events_step(db, &e) == STORE_OK && e != NULL) {
		assert_int_equal(e->seq, ++n);
		assert_int_equal(e->body_len, size + 20);
		assert_int_equal(e->body[100], 'a' + (int)(n % 26));
	}
	be->events_stop(db);
	return n;
}

static struct store_db *
filled(uint64_t n, size_t size)
{
	struct store_db *db = open_with(old_key, NULL, NULL, STORE_OK);
	uint64_t i;

	for (i = 1; i <= n; i++)
		assert_int_equal(add(db, i, size), STORE_OK);
	return db;
}

static int
exists(const char *name)
{
	return access(name, F_OK) == 0;
}

static int
setup(void **state)
{
	rig_enter_folder();
	log_set_level(LOG_LV_ERR);
	log_open("stored", open("/dev/null", O_WRONLY | O_CLOEXEC));
	assert_int_not_equal(sodium_init(), -1);
	assert_int_equal(be->start(), 0);
	return 0;
}

/* ---------------------------------------------------------------- snapshots */

static void
test_snapshot(void **state)
{
	struct store_db *db = filled(40, 20000);
	struct store_progress p = {0};
	uint64_t n = 40, held;
	int steps = 0;

	assert_int_equal(be->snapshot_begin(db, "snapshot-1-x"), STORE_OK);
	assert_int_equal(be->snapshot_begin(db, "snapshot-1-y"), STORE_IN_USE);
	assert_int_equal(be->rekey_begin(db, new_key), STORE_IN_USE);
	while (!p.ended) {
		assert_int_equal(be->snapshot_step(db, &p), STORE_OK);
		if (!p.ended) {
			assert_true(p.done <= p.total);
			assert_int_equal(add(db, ++n, 20000), STORE_OK);
		}
		steps++;
	}
	held = n;
	assert_true(steps > 5);
	assert_int_equal(add(db, ++n, 20000), STORE_OK); /* no longer in it */
	assert_false(exists("snapshot-1-x-account-a.db"));
	assert_int_equal(be->snapshot_end(db, 1), STORE_OK);
	assert_true(exists("snapshot-1-x-account-a.db"));
	assert_false(exists("account-a.db-copy"));
	be->close(db);
	assert_int_equal(rename("snapshot-1-x-account-a.db", "account-a.db"), 0);
	db = open_with(old_key, NULL, NULL, STORE_OK);
	assert_int_equal(count(db, 20000), held);
	be->close(db);
}

static void
test_snapshot_thrown_away(void **state)
{
	struct store_db *db = filled(40, 20000);
	struct store_progress p = {0};

	assert_int_equal(be->snapshot_begin(db, "s"), STORE_OK);
	assert_int_equal(be->snapshot_step(db, &p), STORE_OK);
	assert_true(exists("account-a.db-copy"));
	assert_int_equal(be->snapshot_end(db, 1), STORE_BAD); /* it is not whole */
	assert_false(exists("account-a.db-copy"));
	assert_int_equal(be->snapshot_begin(db, "s"), STORE_OK);
	assert_int_equal(be->snapshot_step(db, &p), STORE_OK);
	assert_int_equal(be->snapshot_end(db, 0), STORE_OK);
	assert_false(exists("account-a.db-copy") || exists("s-account-a.db"));
	assert_int_equal(be->snapshot_step(db, &p), STORE_ABSENT);
	/* closing in the middle leaves nothing either */
	assert_int_equal(be->snapshot_begin(db, "s"), STORE_OK);
	assert_int_equal(be->snapshot_step(db, &p), STORE_OK);
	be->close(db);
	assert_false(exists("account-a.db-copy"));
}

/* ---------------------------------------------------------------- another key */

static void
test_rekey(void **state)
{
	struct store_db *db = filled(60, 20000);
	struct store_progress p = {0};
	uint64_t n = 60;
	int rekeyed;

	assert_int_equal(be->rekey_begin(db, new_key), STORE_OK);
	do {
		assert_int_equal(be->rekey_step(db, &p), STORE_OK);
		if (n < 160)
			assert_int_equal(add(db, ++n, 20000), STORE_OK);
	} while (!p.ended);
	assert_false(exists("account-a.db-copy"));
	assert_int_equal(count(db, 20000), n);
	assert_int_equal(add(db, ++n, 20000), STORE_OK);
	be->close(db);

	assert_null(open_with(old_key, NULL, NULL, STORE_WRONG_KEY));
	db = open_with(old_key, new_key, &rekeyed, STORE_OK);
	assert_true(rekeyed);
	assert_int_equal(count(db, 20000), n);
	be->close(db);
	db = open_with(new_key, NULL, &rekeyed, STORE_OK);
	assert_false(rekeyed);
	assert_int_equal(count(db, 20000), n);
	be->close(db);
}

/* Until the end of a copy the log cannot be written back: the step throws the copy away, so that
 * another can begin when the disk is well again. */
static int
file_fails(void *arg, enum vfs_op op, const char *name, int64_t offset, const void *data, int len)
{
	(void)offset;
	(void)data;
	(void)len;
	if (op != VFS_WRITE || strcmp(name, "account-a.db") != 0)
		return SQLITE_OK;
	errno = EIO;
	++*(int *)arg;
	return SQLITE_IOERR_WRITE;
}

static void
test_log_not_written_back(void **state)
{
	struct store_db *db = filled(40, 20000);
	struct store_progress p = {0};
	int met = 0, rekeyed;
	const struct vfs_hook hook = {file_fails, &met};
	enum store_status st;

	assert_int_equal(be->rekey_begin(db, new_key), STORE_OK);
	vfs_set_hook(&hook);
	while ((st = be->rekey_step(db, &p)) == STORE_OK)
		assert_false(p.ended);
	vfs_set_hook(NULL);
	assert_int_equal(st, STORE_IO);
	assert_int_not_equal(met, 0);
	assert_false(exists("account-a.db-copy"));
	assert_int_equal(add(db, 41, 20000), STORE_OK);

	assert_int_equal(be->rekey_begin(db, new_key), STORE_OK);
	while (!p.ended)
		assert_int_equal(be->rekey_step(db, &p), STORE_OK);
	be->close(db);
	db = open_with(old_key, new_key, &rekeyed, STORE_OK);
	assert_true(rekeyed);
	assert_int_equal(count(db, 20000), 41);
	be->close(db);
}

/* What was written and taken back must not be in the copy, also if it went to the log before. */
static void
test_rollback_while_copied(void **state)
{
	struct store_db *db = filled(30, 20000);
	struct store_progress p = {0};
	Stored__EventAppend e = STORED__EVENT_APPEND__INIT;
	static uint8_t body[200000];
	int i, k, kept;

	e.type = rig_str("t");
	e.origin = rig_str("live");
	e.body.data = body;
	e.body.len = sizeof(body);
	assert_int_equal(be->rekey_begin(db, new_key), STORE_OK);
	for (k = 0; !p.ended; k++) {
		assert_int_equal(be->rekey_step(db, &p), STORE_OK);
		if (k >= 3)
			continue;
		assert_int_equal(be->begin(db), STORE_OK);
		for (i = 0; i < 30; i++) { /* 6 MB: more than the cache holds */
			if (i == 15)
				assert_int_equal(be->mark(db), STORE_OK);
			assert_int_equal(
			    be->event_append(db, 1000 + (uint64_t)i, 1, &e, &kept), STORE_OK);
		}
		assert_int_equal(be->mark_undo(db), STORE_OK);
		if (k != 1) {
			be->rollback(db);
		} else {
			assert_int_equal(be->events_trim(db, 2000, 100, &(size_t){0}), STORE_OK);
			for (i = 0; i < 30; i++)
				assert_int_equal(
				    be->event_append(db, 1 + (uint64_t)i, 1, &e, &kept), STORE_OK);
			be->rollback(db);
		}
	}
	be->close(db);
	db = open_with(new_key, NULL, NULL, STORE_OK);
	assert_int_equal(count(db, 20000), 30);
	be->close(db);
}

/* ---------------------------------------------------------------- cut short, at every operation */

struct cut {
	int at, count;
	int rc, error; /* 0: the process ends there */
};

static int
cut_before(void *arg, enum vfs_op op, const char *name, int64_t offset, const void *data, int len)
{
	struct cut *c = arg;

	(void)name;
	(void)offset;
	(void)data;
	(void)len;
	if (++c->count != c->at)
		return SQLITE_OK;
	if (c->rc == 0)
		raise(SIGKILL); /* not _exit: nothing of ours, nor a leak check, runs any more */
	errno = c->error;
	return op == VFS_SYNC ? SQLITE_IOERR_FSYNC : c->rc;
}

#define CUT_SIZE 3000
#define KILLED   42 /* run_cut: by cut_before, as asked */

/* A rekey with a commit after each step; tells each number that was committed. Returns whether it
 * ended. */
static int
rekey_and_tell(struct store_db *db, uint64_t n, int fd)
{
	struct store_progress p = {0};
	enum store_status st = be->rekey_begin(db, new_key);

	while (st == STORE_OK && !p.ended) {
		if ((st = be->rekey_step(db, &p)) == STORE_CORRUPT)
			return 2;
		if (add(db, n + 1, CUT_SIZE) == STORE_OK) {
			n++;
			if (write(fd, &n, sizeof(n)) != sizeof(n))
				_exit(3);
		}
	}
	return p.ended;
}

/* In a process of its own; *told: the last number that was committed. Its status. */
static int
run_cut(struct cut *c, uint64_t *told)
{
	const struct vfs_hook hook = {cut_before, c};
	int out[2], status;
	pid_t pid;

	assert_int_equal(pipe(out), 0);
	assert_int_not_equal(pid = fork(), -1);
	if (pid == 0) {
		static struct store_db *db; /* in sight of a leak check at the end */
		int how;

		db = open_with(old_key, new_key, NULL, STORE_OK);
		alarm(60 * test_slow());
		vfs_set_hook(&hook);
		how = rekey_and_tell(db, *told, out[1]);
		_exit(how == 1 && c->count < c->at ? 0 : 10 + how);
	}
	close(out[1]);
	while (read(out[0], told, sizeof(*told)) == sizeof(*told))
		continue;
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGKILL ? KILLED : -1;
	return WEXITSTATUS(status);
}

/* What is there is all that was told, and at most what was on its way then; and a rekey can go on
 * from it to its end. */
static int
expect_all(uint64_t told, const char *what, int at)
{
	int rekeyed, out[2];
	struct store_db *db = open_with(old_key, new_key, &rekeyed, STORE_OK);
	uint64_t n = count(db, CUT_SIZE);

	if (n < told || n > told + 1)
		fail_msg("%s at operation %d: %llu of %llu are there", what, at,
		    (unsigned long long)n, (unsigned long long)told);
	assert_false(exists("account-a.db-copy"));
	if (!rekeyed) {
		assert_int_equal(pipe(out), 0);
		assert_int_equal(rekey_and_tell(db, n, out[1]), 1);
		close(out[0]);
		close(out[1]);
		n = count(db, CUT_SIZE);
	}
	be->close(db);
	db = open_with(new_key, NULL, NULL, STORE_OK);
	assert_int_equal(count(db, CUT_SIZE), n);
	be->close(db);
	return rekeyed;
}

static void
every_point(int rc, int error, const char *what)
{
	int at, status, step = test_slow() > 1 ? 7 : 1, points = 0, after = 0, lost = 0;

	for (at = 1;; at += step) {
		struct cut c = {.at = at, .rc = rc, .error = error};
		uint64_t told = 30;

		rig_leave_folder();
		rig_enter_folder();
		be->close(filled(30, CUT_SIZE));
		status = run_cut(&c, &told);
		if (status == 0)
			break;
		if (status != (rc == 0 ? KILLED : 10) && status != 11 && status != 12)
			fail_msg("%s at operation %d: ended with %d", what, at, status);
		lost += status == 12;
		after += expect_all(told, what, at);
		points++;
	}
	print_message("%s: %d points; after %d of them the new key was in place, after %d the "
		      "database had to be opened anew\n",
	    what, points, after, lost);
	assert_true(points * step > 60);
	assert_true(after > 0);
}

static void
test_killed(void **state)
{
	every_point(0, 0, "killed");
}

static void
test_failed(void **state)
{
	every_point(SQLITE_FULL, ENOSPC, "disk full");
	every_point(SQLITE_IOERR, EIO, "I/O error");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_snapshot, setup, rig_teardown),
	    cmocka_unit_test_setup_teardown(test_snapshot_thrown_away, setup, rig_teardown),
	    cmocka_unit_test_setup_teardown(test_rekey, setup, rig_teardown),
	    cmocka_unit_test_setup_teardown(test_log_not_written_back, setup, rig_teardown),
	    cmocka_unit_test_setup_teardown(test_rollback_while_copied, setup, rig_teardown),
	    cmocka_unit_test_setup_teardown(test_killed, setup, rig_teardown),
	    cmocka_unit_test_setup_teardown(test_failed, setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
