/* After a restore: old ratchets are dropped before anybody reads, once, wherever it is cut short.
 */
#include "tests/unit/crash.h"
#include "tests/unit/stored_tasks.h"

#include <errno.h>

#include "stored/sqlcipher/vfs.h"

#define ID    "0123456789abcdef0123456789abcdef"
#define OTHER "f123456789abcdef0123456789abcdef"
#define UNITS 20

static void
mark(const char *id)
{
	tasks_write_file("restored", id, strlen(id));
}

static int
marked(void)
{
	return access("restored", F_OK) == 0;
}

/* ---------------------------------------------------------------- what is kept, what goes */

/* A record of each domain; its version says whether it is there. */
static void
put_records(struct rig *g, const char *account)
{
	uint64_t unit = rig_unit_next();
	Stored__Stage m = STORED__STAGE__INIT;
	Stored__RecordName n[9];
	Stored__RecordPut p[9], *puts[9];
	struct rig_reply r;
	int i;

	m.account = rig_str(account);
	m.unit = unit;
	for (i = 0; i < 9; i++) {
		stored__record_name__init(&n[i]);
		stored__record_put__init(&p[i]);
		n[i].domain = (Stored__Domain)(i + 1);
		n[i].name = rig_str("g/one");
		p[i].name = &n[i];
		p[i].version = 1;
		p[i].sealed.data = (uint8_t *)rig_str("sealed");
		p[i].sealed.len = 6;
		puts[i] = &p[i];
	}
	m.puts = puts;
	m.n_puts = 9;
	rig_unit_open(g, account, unit);
	assert_int_equal(channel_notify(g->keyd, STORED__TYPE__STAGE, &m.base), 0);
	rig_commit(g, account, unit, 1, NULL, NULL, &r);
	RIG_UNTIL(g, r.came);
	assert_true(rig_result(&r)->committed);
	rig_reply_clear(&r);
}

/* The domains that still have theirs, as digits. */
static void
expect_records(struct rig *g, const char *account, const char *want)
{
	Stored__RecordsGet m = STORED__RECORDS_GET__INIT;
	Stored__RecordName n[9], *names[9];
	char have[10] = "";
	struct rig_reply r;
	int i;

	m.account = rig_str(account);
	for (i = 0; i < 9; i++) {
		stored__record_name__init(&n[i]);
		n[i].domain = (Stored__Domain)(i + 1);
		n[i].name = rig_str("g/one");
		names[i] = &n[i];
	}
	m.names = names;
	m.n_names = 9;
	rig_ask(g, g->keyd, STORED__TYPE__RECORDS_GET, &m.base, STORED__TYPE__RECORDS,
	    &stored__records__descriptor, &r);
	assert_true(r.ok);
	for (i = 0; i < 9; i++) {
		if (((Stored__Records *)r.pb)->records[i]->version != 0)
			have[strlen(have)] = (char)('1' + i);
	}
	if (strcmp(have, want) != 0)
		fail_msg("%s has records of the domains %s, not %s", account, have, want);
	rig_reply_clear(&r);
}

#define ALL  "123456789"
#define LEFT "1245789" /* without sessions (3) and sender keys (6) */

/* Marks of sender keys, base keys, and what has nothing to do with it. */
static void
expect_rows(struct rig *g, size_t i, int ratchets)
{
	struct store_db *db = g->s->accounts[i].db;

	assert_int_equal(
	    tasks_number(db, "SELECT count(*) FROM sender_key_device"), ratchets ? UNITS : 0);
	assert_int_equal(tasks_number(db, "SELECT count(*) FROM base_key"), ratchets ? UNITS : 0);
	assert_int_equal(tasks_number(db, "SELECT count(*) FROM record WHERE domain IN (3, 6)"),
	    ratchets ? UNITS + 2 : 0);
	assert_int_equal(
	    tasks_number(db, "SELECT count(*) FROM record WHERE domain NOT IN (3, 6)"), 7);
	assert_int_equal(tasks_number(db, "SELECT count(*) FROM contact"), UNITS);
	assert_int_equal(tasks_number(db, "SELECT count(*) FROM outbox"), UNITS);
	assert_int_equal(tasks_number(db, "SELECT count(*) FROM group_info"), UNITS);
	assert_int_equal(tasks_number(db, "SELECT count(*) FROM event"), UNITS);
}

static void
expect_state(struct rig *g, const char *records, const char *flags)
{
	size_t i;

	for (i = 0; i < 2; i++) {
		expect_records(g, rig_names[i], records);
		expect_rows(g, i, strcmp(records, ALL) == 0);
		if (g->s->accounts[i].opened.restored != (flags[i] == 'r'))
			fail_msg("%s: flag %d, not %c", rig_names[i],
			    g->s->accounts[i].opened.restored, flags[i]);
	}
}

/* Two accounts with records and rows of all kinds; the log's id. Stopped. */
static void
make(char log_id[40])
{
	struct rig *g;
	size_t i;

	tasks_keyring();
	g = rig_open(2);
	for (i = 0; i < 2; i++) {
		tasks_fill(g, rig_names[i], 0, UNITS);
		put_records(g, rig_names[i]);
	}
	expect_state(g, ALL, "--");
	snprintf(log_id, 40, "%s", g->log_id);
	rig_free(g);
}

static void
done(struct rig *g, const char *account)
{
	Stored__Write w = STORED__WRITE__INIT;

	w.has_restored_done = w.restored_done = 1;
	rig_write(g, account, &w, NULL);
}

/* ---------------------------------------------------------------- a restore */

static void
test_restore(void **state)
{
	char old[40], first[40];
	struct rig_reply r;
	struct rig *g;
	uint64_t unit;

	make(old);
	mark(ID "\n");
	g = rig_open(2);
	assert_false(marked());
	assert_string_not_equal(g->log_id, old);
	assert_int_equal(strlen(g->log_id), 32);
	snprintf(first, sizeof(first), "%s", g->log_id);
	expect_state(g, LEFT, "rr");
	rig_free(g);
	/* the flags stay over restarts, and the log keeps its new name */
	g = rig_open(2);
	assert_string_equal(g->log_id, first);
	expect_state(g, LEFT, "rr");
	g->nstates = 0;
	done(g, "a");
	RIG_UNTIL(g, g->nstates > 0); /* told */
	expect_state(g, LEFT, "-r");
	rig_free(g);
	g = rig_open(2);
	expect_state(g, LEFT, "-r");
	/* the same id again, as if the file had come back after a power cut: new sessions stay */
	done(g, "b");
	unit = rig_unit_next();
	rig_unit_open(g, "b", unit);
	rig_stage(g, "b", unit, "fresh", 1, "sealed");
	rig_commit(g, "b", unit, 1, NULL, NULL, &r);
	RIG_UNTIL(g, r.came);
	assert_true(rig_result(&r)->committed);
	rig_reply_clear(&r);
	rig_free(g);
	mark(ID);
	g = rig_open(2);
	assert_false(marked());
	assert_string_equal(g->log_id, first);
	assert_int_equal(rig_record(g, "b", "fresh", NULL, 0), 1);
	assert_false(g->s->accounts[1].opened.restored);
	rig_free(g);
	/* another restore is another matter */
	mark(OTHER);
	g = rig_open(2);
	assert_string_not_equal(g->log_id, first);
	expect_state(g, LEFT, "rr");
	rig_free(g);
}

/* The whole way: a backup, another folder, and what keyd and apid are told. */
static void
test_from_backup(void **state)
{
	char old[40], folder[64], names[400];
	struct rig_reply r;
	Stored__UnlockReply *u;
	struct rig *g;
	uint8_t *tar;
	uint64_t seq;
	size_t len;

	make(old);
	g = rig_open(2);
	tasks_wait(g, tasks_backup(g, open("b.tar", O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), "");
	seq = g->s->last_seq;
	(void)rig_event(g, "a", "{\"after\":1}", NULL); /* is not in it */
	rig_free(g);
	tar = tasks_read_file("b.tar", &len);
	tasks_enter(folder);
	tasks_untar(tar, len, folder, names, sizeof(names));
	free(tar);
	mark(ID);
	g = rig_new(2);
	rig_unlock_salt(g, 0, NULL, &r);
	u = (Stored__UnlockReply *)r.pb;
	assert_true(u->service->ok && u->accounts[0]->ok && u->accounts[1]->ok);
	assert_true(u->accounts[0]->restored && u->accounts[1]->restored);
	rig_reply_clear(&r);
	RIG_UNTIL(g, g->nstates > 0);
	expect_state(g, LEFT, "rr");
	assert_string_not_equal(g->log_id, old);
	assert_true(g->s->last_seq >= seq);
	/* a backup of it carries the flag */
	done(g, "a");
	tasks_wait(g, tasks_backup(g, open("c.tar", O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), "");
	rig_free(g);
	tar = tasks_read_file("c.tar", &len);
	tasks_untar(tar, len, folder, names, sizeof(names));
	free(tar);
	g = rig_open(2);
	expect_state(g, LEFT, "-r");
	rig_free(g);
	tasks_leave(folder);
}

/* ---------------------------------------------------------------- what cannot be opened yet */

static void
test_one_cannot_be_opened(void **state)
{
	struct rig_reply r;
	struct rig *g;
	char old[40];

	make(old);
	mark(ID);
	g = rig_new(2);
	rig_unlock_salt(g, 1, "b", &r); /* a wrong key */
	rig_reply_clear(&r);
	assert_true(g->s->accounts[0].opened.ok && g->s->accounts[0].opened.restored);
	assert_false(g->s->accounts[1].opened.ok);
	assert_true(marked());
	done(g, "a");
	rig_free(g);
	g = rig_open(2);
	expect_state(g, LEFT, "-r");
	assert_false(marked());
	rig_free(g);
}

/* An account that nobody configured now, but perhaps later. */
static void
test_one_is_not_configured(void **state)
{
	struct rig *g;
	char old[40];

	make(old);
	mark(ID);
	g = rig_open(1);
	assert_true(marked());
	rig_free(g);
	g = rig_open(2);
	expect_state(g, LEFT, "rr");
	assert_false(marked());
	rig_free(g);
}

static void
test_file_is_damaged(void **state)
{
	static const char *const bad[] = {"", "0123456789abcdef0123456789abcde", ID "0", ID "\n\n",
	    "0123456789abcdef0123456789abcdeg", "0123456789ABCDEF0123456789abcdef"};
	struct rig_reply r;
	struct rig *g;
	char old[40];
	size_t i;

	make(old);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		mark(bad[i]);
		g = rig_new(2);
		rig_unlock_salt(g, 0, NULL, &r);
		assert_false(((Stored__UnlockReply *)r.pb)->service->ok);
		assert_string_equal(((Stored__UnlockReply *)r.pb)->service->reason, "corrupt");
		assert_non_null(strstr(((Stored__UnlockReply *)r.pb)->service->text, "restored"));
		assert_false(((Stored__UnlockReply *)r.pb)->accounts[0]->ok);
		rig_reply_clear(&r);
		rig_free(g);
		assert_true(marked());
	}
	unlink("restored");
	g = rig_open(2);
	expect_state(g, ALL, "--");
	rig_free(g);
}

/* ---------------------------------------------------------------- cut short */

struct cut {
	int at, count;
	int rc, error; /* 0: the process ends there */
};

static int
cut_before(void *arg, enum vfs_op op, const char *name, int64_t offset, const void *data, int len)
{
	struct cut *c = arg;

	(void)op;
	(void)name;
	(void)offset;
	(void)data;
	(void)len;
	if (++c->count != c->at)
		return SQLITE_OK;
	if (c->rc == 0)
		crash_now();
	errno = c->error;
	return c->rc;
}

static const char *const files[] = {"service.db", "account-a.db", "account-b.db"};

/* Unlock with a cut at that operation, in a process that then dies. 1 = there is no such operation.
 */
static int
unlock_until(int at, int rc, int error)
{
	struct cut c = {.at = at, .rc = rc, .error = error};
	const struct vfs_hook hook = {cut_before, &c};
	int status;
	pid_t pid = fork();

	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		struct rig_reply r;
		struct rig *g;

		alarm(60 * test_slow());
		g = rig_new(2);
		vfs_set_hook(&hook);
		rig_unlock_salt(g, 0, NULL, &r);
		vfs_set_hook(NULL);
		/* an account that is open has no ratchets, whatever failed */
		if (g->s->accounts[0].opened.ok)
			expect_records(g, "a", LEFT);
		if (g->s->accounts[1].opened.ok)
			expect_records(g, "b", LEFT);
		_exit(c.count < at ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (rc == 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return 0;
	if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
		fail_msg("at operation %d: the process failed", at);
	return WEXITSTATUS(status) == 1;
}

static void
cut_everywhere(int rc, int error, int stride)
{
	char name[64], old[40];
	uint8_t *was[3];
	size_t len[3], i;
	int at;

	make(old);
	for (i = 0; i < 3; i++)
		was[i] = tasks_read_file(files[i], &len[i]);
	for (at = 1;; at += stride) {
		struct rig *g;
		int all;

		for (i = 0; i < 3; i++) {
			tasks_write_file(files[i], was[i], len[i]);
			snprintf(name, sizeof(name), "%s-wal", files[i]);
			(void)unlink(name);
		}
		mark(ID);
		all = unlock_until(at, rc, error);
		g = rig_open(2);
		expect_state(g, LEFT, "rr");
		assert_false(marked());
		assert_string_not_equal(g->log_id, old);
		rig_free(g);
		if (all)
			break;
	}
	print_message("%d operations\n", at - 1);
	assert_true(at > 20);
	for (i = 0; i < 3; i++)
		free(was[i]);
}

static void
test_killed_anywhere(void **state)
{
	cut_everywhere(0, 0, 1);
}

static void
test_disk_full_anywhere(void **state)
{
	cut_everywhere(SQLITE_FULL, ENOSPC, 2);
}

static void
test_disk_fails_anywhere(void **state)
{
	cut_everywhere(SQLITE_IOERR, EIO, 3);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_restore),
	    TEST(test_from_backup),
	    TEST(test_one_cannot_be_opened),
	    TEST(test_one_is_not_configured),
	    TEST(test_file_is_damaged),
	    TEST(test_killed_anywhere),
	    TEST(test_disk_full_anywhere),
	    TEST(test_disk_fails_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
