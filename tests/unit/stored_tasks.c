/* Long work for people: backups under load and what is in them, readers that misbehave, and tasks
 * in general. */
#include "tests/unit/stored_tasks.h"

#include <sys/resource.h>

#include <errno.h>
#include <time.h>

#include "stored/sqlcipher/vfs.h"

#define FILLED 60
#define UNITS  400 /* at most so many while a backup runs */

/* ---------------------------------------------------------------- a store under load */

struct load {
	struct rig *g;
	int n; /* units told committed: 1 … n, in turn to a and b, one at a time */
	struct tasks_sum a[UNITS + 1], b[UNITS + 1],
	    service[UNITS + 1]; /* after the unit of that number */
	int flying, number;
	struct rig_reply r;
	double longest, all; /* ms */
	struct timespec sent;
};

static struct load load;

static void
remember(struct load *l)
{
	l->a[l->n] = tasks_sum(l->g->s->accounts[0].db);
	l->b[l->n] = tasks_sum(l->g->s->accounts[1].db);
	l->service[l->n] = tasks_sum(l->g->s->service);
}

static void
load_begin(struct load *l)
{
	memset(l, 0, sizeof(*l));
	tasks_keyring();
	l->g = rig_open(2);
	tasks_fill(l->g, "a", 0, FILLED / 2);
	tasks_fill(l->g, "b", 0, FILLED / 2);
	remember(l);
}

static double
ms_since(const struct timespec *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - t->tv_sec) * 1e3 + (double)(now.tv_nsec - t->tv_nsec) / 1e6;
}

/* One turn of the loop, with a unit always on its way. */
static void
load_turn(struct load *l)
{
	double took;

	if (!l->flying && l->n < UNITS) {
		l->flying = 1;
		clock_gettime(CLOCK_MONOTONIC, &l->sent);
		tasks_send_unit(l->g, l->n % 2 ? "a" : "b", FILLED + l->n, &l->r);
	}
	event_base_loop(l->g->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	if (!l->flying || !l->r.came)
		return;
	took = ms_since(&l->sent);
	l->longest = took > l->longest ? took : l->longest;
	l->all += took;
	assert_true(rig_result(&l->r)->committed);
	rig_reply_clear(&l->r);
	l->flying = 0;
	l->n++;
	remember(l);
}

static void
load_settle(struct load *l)
{
	while (l->flying)
		load_turn(l);
}

/* ---------------------------------------------------------------- what came out */

/* The archive is the state after a unit of `from` … `to`, in all three databases; it opens. */
static void
expect_point(struct load *l, const uint8_t *tar, size_t len, int from, int to)
{
	struct tasks_sum a, b, service;
	char folder[64], names[400];
	struct store_db *db[3];
	uint8_t header[KEYRING_MAX];
	size_t n;
	int i;

	tasks_enter(folder);
	tasks_untar(tar, len, folder, names, sizeof(names));
	assert_string_equal(
	    names, "ward-backup keyring service.db account-a.db account-b.db ward-digests ");
	assert_int_equal(keyring_read(header, &n), KEYRING_OK);
	assert_int_equal(n, 64);
	db[0] = tasks_open("a");
	db[1] = tasks_open("b");
	db[2] = tasks_open(NULL);
	a = tasks_sum(db[0]);
	b = tasks_sum(db[1]);
	service = tasks_sum(db[2]);
	for (i = 0; i < 3; i++)
		store_sqlcipher.close(db[i]);
	tasks_leave(folder);
	for (i = from; i <= to; i++) {
		if (tasks_same(a, l->a[i]) && tasks_same(b, l->b[i]) &&
		    tasks_same(service, l->service[i]))
			return;
	}
	fail_msg("the backup is no state between unit %d and unit %d", from, to);
}

/* ---------------------------------------------------------------- backups */

static void
test_to_file(void **state)
{
	struct load *l = &load;
	int at, first = -1;
	uint64_t task;
	uint8_t *tar;
	size_t len;
	double before;

	load_begin(l);
	while (l->n < 100)
		load_turn(l);
	before = l->all / l->n;
	at = l->n;
	task = tasks_backup(l->g, open("b.tar", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	l->longest = l->all = 0;
	while (!(l->g->task.task == task && l->g->task.ended)) {
		load_turn(l);
		if (first == -1 && l->g->s->task != NULL && l->g->s->task->done > 0)
			first = l->n + l->flying; /* what begins after this is not in it */
	}
	load_settle(l);
	assert_string_equal(l->g->task.reason, "");
	assert_int_equal(l->g->task.done, l->g->task.total);
	print_message(
	    "to a file: units of %.2f ms before, %.2f ms meanwhile, the longest %.2f ms\n", before,
	    l->n > at ? l->all / (l->n - at) : 0, l->longest);
	tar = tasks_read_file("b.tar", &len);
	assert_int_equal(len, l->g->task.total);
	expect_point(l, tar, len, at, first != -1 ? first : l->n);
	free(tar);
	rig_free(l->g);
}

/* A reader that takes a little at a time: the state is that of the begin, however long it takes. */
static void
slow_reader(int sv[2], int restored_flags)
{
	struct load *l = &load;
	uint8_t *tar = malloc((size_t)16 << 20);
	int at, first = -1;
	uint64_t task;
	size_t len = 0;
	ssize_t n = -1;

	assert_non_null(tar);
	load_begin(l);
	at = l->n;
	task = tasks_backup(l->g, dup(sv[1]));
	while (n != 0) {
		load_turn(l);
		n = read(sv[0], tar + len, 8192);
		if (n > 0) {
			first = first == -1 ? l->n + l->flying : first;
			len += (size_t)n;
		}
		if (n == -1)
			assert_int_equal(errno, EAGAIN);
		if (l->g->task.task == task && l->g->task.ended && sv[1] != -1) {
			assert_int_equal(fcntl(sv[1], F_GETFL) & O_NONBLOCK, restored_flags);
			close(sv[1]);
			sv[1] = -1;
		}
	}
	load_settle(l);
	assert_string_equal(l->g->task.reason, "");
	print_message(
	    "to a slow reader: %d units meanwhile, the longest %.2f ms\n", l->n - at, l->longest);
	assert_true(l->n - at > 10);
	expect_point(l, tar, len, at, first);
	close(sv[0]);
	free(tar);
	rig_free(l->g);
}

static void
test_to_pipe(void **state)
{
	int sv[2];

	assert_int_equal(pipe2(sv, O_CLOEXEC), 0);
	assert_int_equal(fcntl(sv[0], F_SETFL, O_NONBLOCK), 0);
	slow_reader(sv, 0); /* a flag of the open file: given back as it was */
}

static void
test_to_socket(void **state)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	assert_int_equal(fcntl(sv[0], F_SETFL, O_NONBLOCK), 0);
	slow_reader(sv, 0);
}

/* ---------------------------------------------------------------- readers that misbehave */

/* The databases can be written back again, and another backup be made. */
static void
expect_free(struct rig *g)
{
	uint64_t task;

	assert_null(g->s->task);
	assert_null(g->s->service->hold);
	if (g->s->accounts[0].db != NULL)
		assert_null(g->s->accounts[0].db->hold);
	task = tasks_backup(g, open("again.tar", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
	tasks_wait(g, task, "");
}

static void
test_closed_pipe(void **state)
{
	struct load *l = &load;
	uint64_t task;
	int sv[2];

	load_begin(l);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe2(sv, O_CLOEXEC), 0);
	close(sv[0]);
	task = tasks_backup(l->g, sv[1]);
	tasks_wait(l->g, task, "reader_gone");
	expect_free(l->g);
	/* and one that reads a little first */
	assert_int_equal(pipe2(sv, O_CLOEXEC), 0);
	task = tasks_backup(l->g, sv[1]);
	RIG_UNTIL(l->g, l->g->s->task != NULL && l->g->s->task->done >= 4096);
	close(sv[0]);
	tasks_wait(l->g, task, "reader_gone");
	expect_free(l->g);
	rig_free(l->g);
}

static void
test_stalled_pipe(void **state)
{
	struct load *l = &load;
	uint64_t task;
	char buf[512];
	int sv[2];

	load_begin(l);
	assert_int_equal(pipe2(sv, O_CLOEXEC), 0);
	task = tasks_backup(l->g, sv[1]);
	RIG_UNTIL(l->g, l->g->s->task->waits);
	rig_later(l->g, 59000);
	assert_non_null(l->g->s->task);
	while (read(sv[0], buf, sizeof(buf)) == sizeof(buf) && l->g->s->task->done <= 65536)
		rig_turn(l->g);
	RIG_UNTIL(l->g, l->g->s->task->waits);
	rig_later(l->g, 59000); /* something was taken: the minute begins anew */
	assert_non_null(l->g->s->task);
	rig_later(l->g, 2000);
	tasks_wait(l->g, task, "reader_gone");
	close(sv[0]);
	expect_free(l->g);
	rig_free(l->g);
}

/* The open file is shared: who gave it can make it wait again. */
static void
test_made_blocking(void **state)
{
	struct load *l = &load;
	uint64_t task;
	int sv[2], keep;

	load_begin(l);
	assert_int_equal(pipe2(sv, O_CLOEXEC), 0);
	keep = dup(sv[1]);
	task = tasks_backup(l->g, sv[1]);
	while (l->g->s->task != NULL && l->n < 20) {
		assert_int_equal(fcntl(keep, F_SETFL, 0), 0);
		load_turn(l);
	}
	load_settle(l);
	assert_true(l->n >= 20 || l->g->task.ended); /* stored went on, with or without it */
	close(sv[0]);
	RIG_UNTIL(l->g, l->g->task.task == task && l->g->task.ended);
	assert_true(strcmp(l->g->task.reason, "reader_gone") == 0 ||
		    strcmp(l->g->task.reason, "bad_request") == 0);
	close(keep);
	rig_free(l->g);
}

static void
test_target_is_full(void **state)
{
	struct rlimit old, small = {300 * 1024, RLIM_INFINITY};
	struct load *l = &load;
	uint64_t task;

	load_begin(l);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	tasks_write_back(l->g->s->accounts[0].db);
	tasks_write_back(l->g->s->accounts[1].db);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	task = tasks_backup(l->g, open("b.tar", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	tasks_wait(l->g, task, "disk_full");
	assert_non_null(strstr(l->g->task.text, "where the backup is written to"));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	expect_free(l->g);
	rig_free(l->g);
}

static void
test_refused_descriptors(void **state)
{
	Stored__Backup m = STORED__BACKUP__INIT;
	struct load *l = &load;
	int sv[2];

	load_begin(l);
	assert_int_equal(pipe2(sv, O_CLOEXEC), 0);
	tasks_refused(l->g, STORED__TYPE__BACKUP, &m.base, sv[0], "bad_request");
	close(sv[1]);
	tasks_refused(l->g, STORED__TYPE__BACKUP, &m.base, open("service.db", O_RDONLY | O_CLOEXEC),
	    "bad_request");
	tasks_refused(
	    l->g, STORED__TYPE__BACKUP, &m.base, open(".", O_RDONLY | O_CLOEXEC), "bad_request");
	tasks_refused(l->g, STORED__TYPE__BACKUP, &m.base, open("/dev/null", O_WRONLY | O_CLOEXEC),
	    "bad_request");
	tasks_refused(l->g, STORED__TYPE__BACKUP, &m.base, open("service.db", O_PATH | O_CLOEXEC),
	    "bad_request");
	rig_free(l->g);
}

/* ---------------------------------------------------------------- the log while it is held */

static int
full_before(void *arg, enum vfs_op op, const char *name, int64_t offset, const void *data, int len)
{
	int *left = arg;

	(void)offset;
	(void)data;
	(void)len;
	if (op != VFS_WRITE || strcmp(name, "account-a.db-wal") != 0 || (*left)-- > 0)
		return SQLITE_OK;
	errno = ENOSPC;
	return SQLITE_FULL;
}

/* A backup to a pipe that nobody reads, until the log has no room: it ends, and units go on. */
static uint64_t
hold_with_pipe(struct load *l, int sv[2])
{
	uint64_t task;

	load_begin(l);
	assert_int_equal(pipe2(sv, O_CLOEXEC), 0);
	task = tasks_backup(l->g, sv[1]);
	RIG_UNTIL(l->g, l->g->s->task->waits);
	return task;
}

static void
drain(struct load *l, int fd)
{
	char buf[4096];

	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	while (l->g->s->task != NULL) {
		(void)!read(fd, buf, sizeof(buf));
		rig_turn(l->g);
	}
}

static void
test_log_has_a_bound(void **state)
{
	struct load *l = &load;
	struct rig *g;
	uint64_t task, was = hold_log_max;
	int sv[2], i;

	hold_log_max = (uint64_t)2 << 20;
	task = hold_with_pipe(l, sv);
	g = l->g;
	for (i = 1000; care_log_bytes(g->s->accounts[0].db) <= hold_log_max; i++) {
		tasks_unit(g, "a", i);
		if (care_log_bytes(g->s->accounts[0].db) <= hold_log_max)
			assert_int_equal(
			    store_sqlcipher.tidy(g->s->accounts[0].db, STORE_TIDY_ALL), STORE_OK);
	}
	print_message("the log grew to %llu bytes, %d units\n",
	    (unsigned long long)care_log_bytes(g->s->accounts[0].db), i - 1000);
	tasks_write_back(g->s->accounts[0].db);
	drain(l, sv[0]);
	tasks_wait(g, task, "disk_full");
	assert_non_null(strstr(g->task.text, "a: "));
	hold_log_max = was;
	close(sv[0]);
	expect_free(g);
	rig_free(g);
}

static void
test_disk_is_full_meanwhile(void **state)
{
	struct load *l = &load;
	int sv[2], left = 0;
	const struct vfs_hook hook = {full_before, &left};
	uint64_t task = hold_with_pipe(l, sv);
	struct rig_reply r;

	vfs_set_hook(&hook);
	tasks_send_unit(l->g, "a", 5000, &r);
	RIG_UNTIL(l->g, r.came);
	vfs_set_hook(NULL);
	assert_string_equal(rig_result(&r)->reason, "disk_full");
	rig_reply_clear(&r);
	tasks_unit(l->g, "a", 5001);
	drain(l, sv[0]);
	tasks_wait(l->g, task, "disk_full");
	close(sv[0]);
	expect_free(l->g);
	rig_free(l->g);
}

/* A copy under another key waits with taking the place of a file that is being read. */
static void
test_key_is_changed_meanwhile(void **state)
{
	struct load *l = &load;
	struct store_progress p = {0};
	struct store_db *db;
	uint8_t next[STORE_KEY_LEN], *tar = malloc((size_t)16 << 20);
	uint64_t task;
	size_t len = 0;
	ssize_t n;
	int sv[2], i;

	assert_non_null(tar);
	rig_key(next, "next", 0);
	task = hold_with_pipe(l, sv);
	db = l->g->s->accounts[0].db;
	assert_int_equal(store_sqlcipher.rekey_begin(db, next), STORE_OK);
	for (i = 0; i < 2000; i++) {
		assert_int_equal(store_sqlcipher.rekey_step(db, &p), STORE_OK);
		assert_false(p.ended);
	}
	assert_true(hold_stands(db));
	assert_int_equal(fcntl(sv[0], F_SETFL, O_NONBLOCK), 0);
	while (l->g->s->task != NULL) {
		rig_turn(l->g);
		if ((n = read(sv[0], tar + len, 65536)) > 0)
			len += (size_t)n;
	}
	while ((n = read(sv[0], tar + len, 65536)) > 0)
		len += (size_t)n;
	tasks_wait(l->g, task, "");
	expect_point(l, tar, len, 0, 0);
	for (i = 0; i < 2000 && !p.ended; i++)
		assert_int_equal(store_sqlcipher.rekey_step(db, &p), STORE_OK);
	assert_true(p.ended);
	tasks_unit(l->g, "a", 5000);
	close(sv[0]);
	free(tar);
	rig_free(l->g);
}

/* ---------------------------------------------------------------- tasks in general */

static void
test_states(void **state)
{
	Stored__Backup m = STORED__BACKUP__INIT;
	Stored__Check c = STORED__CHECK__INIT;
	Stored__TaskCancel cancel = STORED__TASK_CANCEL__INIT;
	struct load *l = &load;
	uint64_t task;
	int sv[2];

	load.g = rig_new(1);
	tasks_refused(l->g, STORED__TYPE__BACKUP, &m.base, dup(STDOUT_FILENO), "locked");
	tasks_refused(l->g, STORED__TYPE__CHECK, &c.base, -1, "locked");
	rig_free(l->g);
	task = hold_with_pipe(l, sv);
	tasks_refused(l->g, STORED__TYPE__CHECK, &c.base, -1, "busy");
	tasks_refused(l->g, STORED__TYPE__BACKUP, &m.base, dup(sv[0]), "busy");
	cancel.task = task + 1; /* another one: nothing happens */
	assert_int_equal(channel_notify(l->g->apid, STORED__TYPE__TASK_CANCEL, &cancel.base), 0);
	rig_settle(l->g);
	assert_non_null(l->g->s->task);
	cancel.task = task;
	assert_int_equal(channel_notify(l->g->apid, STORED__TYPE__TASK_CANCEL, &cancel.base), 0);
	tasks_wait(l->g, task, "cancelled");
	close(sv[0]);
	expect_free(l->g);
	rig_free(l->g);
}

/* Notices come at most four times a second, whatever is done meanwhile. */
static void
test_notices(void **state)
{
	struct load *l = &load;
	char buf[4096];
	size_t k;
	int sv[2];

	(void)hold_with_pipe(l, sv);
	l->g->task.n = 0;
	for (k = 0; k < 20; k++) {
		assert_int_equal(read(sv[0], buf, sizeof(buf)), sizeof(buf));
		rig_turn(l->g);
		rig_turn(l->g);
	}
	rig_settle(l->g);
	assert_true(l->g->task.n <= 1 + (size_t)test_slow());
	assert_true(l->g->task.n == 0 || l->g->task.done <= l->g->task.total);
	rig_mono_shift += 1000;
	assert_int_equal(read(sv[0], buf, sizeof(buf)), sizeof(buf));
	RIG_UNTIL(l->g, l->g->task.n > 0);
	assert_false(l->g->task.ended);
	close(sv[0]);
	RIG_UNTIL(l->g, l->g->task.ended);
	rig_free(l->g);
}

static void
test_apid_goes(void **state)
{
	struct load *l = &load;
	int sv[2];

	(void)hold_with_pipe(l, sv);
	channel_close(l->g->apid);
	RIG_UNTIL(l->g, l->g->lost == 1);
	assert_null(l->g->s->task);
	assert_null(l->g->s->accounts[0].db->hold);
	close(sv[0]);
	rig_free(l->g);
}

static void
test_stop(void **state)
{
	struct load *l = &load;
	int sv[2];

	(void)hold_with_pipe(l, sv);
	store_stop(l->g->s);
	RIG_UNTIL(l->g, l->g->task.ended);
	assert_string_equal(l->g->task.reason, "stopping");
	close(sv[0]);
	rig_free(l->g);
}

/* The account that it is about goes in the middle. */
static void
test_account_fails(void **state)
{
	struct load *l = &load;
	uint64_t task;
	int sv[2];

	task = hold_with_pipe(l, sv);
	store_trouble(l->g->s, &l->g->s->accounts[0], STORE_CORRUPT);
	drain(l, sv[0]);
	tasks_wait(l->g, task, "account_failed");
	/* the next one says that it is left out */
	close(sv[0]);
	expect_free(l->g);
	assert_non_null(strstr(l->g->task.text, "a: corrupt"));
	rig_free(l->g);
}

static void
test_no_keyring(void **state)
{
	struct rig *g = rig_open(1);
	uint64_t task = tasks_backup(g, open("b.tar", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));

	tasks_wait(g, task, "corrupt");
	rig_free(g);
}

static size_t
snapshots(void)
{
	struct dirent *e;
	size_t n = 0;
	DIR *d = opendir(".");

	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		n += strncmp(e->d_name, "snapshot-", 9) == 0 || strstr(e->d_name, "-copy") != NULL;
	closedir(d);
	return n;
}

static void
test_snapshot(void **state)
{
	static const char *const bad[] = {"", "a/b", "..", "x..y", " ", "\xc3\xa9",
	    "0123456789012345678901234567890123456789012345678901234567890123x"};
	Stored__Snapshot m = STORED__SNAPSHOT__INIT;
	Stored__TaskCancel cancel = STORED__TASK_CANCEL__INIT;
	struct load *l = &load;
	struct tasks_sum was;
	uint64_t task;
	char name[160];
	size_t i;

	load_begin(l);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		m.name = rig_str(bad[i]);
		tasks_refused(l->g, STORED__TYPE__SNAPSHOT, &m.base, -1, "bad_request");
	}
	m.name = rig_str("before-x");
	task = tasks_begin(l->g, STORED__TYPE__SNAPSHOT, &m.base, -1);
	cancel.task = task;
	RIG_UNTIL(l->g, snapshots() > 0);
	assert_int_equal(channel_notify(l->g->apid, STORED__TYPE__TASK_CANCEL, &cancel.base), 0);
	tasks_wait(l->g, task, "cancelled");
	assert_int_equal(snapshots(), 0);
	was = l->b[0];
	task = tasks_begin(l->g, STORED__TYPE__SNAPSHOT, &m.base, -1);
	tasks_wait(l->g, task, "");
	assert_int_equal(snapshots(), 3);
	snprintf(name, sizeof(name), "%.*s-account-b.db", (int)strcspn(l->g->task.text, "*") - 1,
	    l->g->task.text);
	rig_free(l->g);
	assert_int_equal(rename(name, "account-b.db"), 0);
	{
		struct store_db *db = tasks_open("b");

		assert_true(tasks_same(tasks_sum(db), was));
		store_sqlcipher.close(db);
	}
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_to_file),
	    TEST(test_to_pipe),
	    TEST(test_to_socket),
	    TEST(test_closed_pipe),
	    TEST(test_stalled_pipe),
	    TEST(test_made_blocking),
	    TEST(test_target_is_full),
	    TEST(test_refused_descriptors),
	    TEST(test_log_has_a_bound),
	    TEST(test_disk_is_full_meanwhile),
	    TEST(test_key_is_changed_meanwhile),
	    TEST(test_states),
	    TEST(test_notices),
	    TEST(test_apid_goes),
	    TEST(test_stop),
	    TEST(test_account_fails),
	    TEST(test_no_keyring),
	    TEST(test_snapshot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
