/* Checkpoints in portions: each is short, together they write everything, and what they leave out
 * stands in the file. */
#include "tests/unit/crash.h"
#include "tests/unit/stored_rig.h"
#include "tests/unit/slow.h"

#include <errno.h>

#include "stored/sqlcipher/db.h"
#include "stored/sqlcipher/portion.h"
#include "stored/sqlcipher/vfs.h"

#define NAMES 300

/* ---------------------------------------------------------------- the file layer's part */

static int64_t
page_of(int frame)
{
	return 32 + 24 + (int64_t)frame * (24 + 4096);
}

static void
test_frames(void **state)
{
	struct portion_log l = {NULL, 0};
	int leave_out, i;

	/* nothing happens outside of a checkpoint */
	assert_int_equal(portion_read(&l, page_of(0), 4096), 0);
	assert_int_equal(portion_write(&leave_out), SQLITE_OK);
	portion_wrote();
	assert_int_equal(l.len, 0);

	portion_begin(3);
	for (i = 0; i < 3; i++) {
		assert_int_equal(portion_read(&l, page_of(5000 * i), 4096), 0);
		assert_int_equal(portion_write(&leave_out), SQLITE_OK);
		assert_int_equal(leave_out, 0);
		portion_wrote();
	}
	assert_int_equal(portion_read(&l, page_of(7), 4096), 0);
	assert_int_equal(portion_write(&leave_out), SQLITE_INTERRUPT);
	portion_end(1);

	portion_begin(0); /* what is known needs no room */
	for (i = 0; i < 3; i++) {
		assert_int_equal(portion_read(&l, page_of(5000 * i), 4096), 1);
		assert_int_equal(portion_write(&leave_out), SQLITE_OK);
		assert_int_equal(leave_out, 1);
	}
	/* other reads of the log are what they are: a header, a frame with its header */
	assert_int_equal(portion_read(&l, page_of(0), 24), 0);
	assert_int_equal(portion_read(&l, page_of(0) - 24, 4096 + 24), 0);
	assert_int_equal(portion_read(&l, page_of(0) - 24, 4096), 0);
	assert_int_equal(portion_write(&leave_out), SQLITE_INTERRUPT);
	portion_end(1);

	/* a frame that is written anew, by its head or its page, is another one */
	portion_log_changed(&l, page_of(5000) - 24, 24);
	portion_log_changed(&l, page_of(1) - 24, 4 * 4120);
	portion_begin(0);
	assert_int_equal(portion_read(&l, page_of(0), 4096), 1);
	assert_int_equal(portion_read(&l, page_of(5000), 4096), 0);
	assert_int_equal(portion_read(&l, page_of(10000), 4096), 1);
	portion_end(1);
	portion_log_changed(&l, page_of(9999), 4097); /* a byte of the next one's head */
	portion_begin(0);
	assert_int_equal(portion_read(&l, page_of(10000), 4096), 0);
	assert_int_equal(portion_read(&l, page_of(0), 4096), 1);
	portion_end(0); /* did not come to the disk */
	portion_begin(1);
	assert_int_equal(portion_read(&l, page_of(0), 4096), 0);
	assert_int_equal(portion_write(&leave_out), SQLITE_OK);
	portion_wrote();
	portion_end(1);
	portion_log_changed(&l, 0, 32); /* the log begins anew */
	assert_int_equal(l.len, 0);
	portion_forget(&l);
}

/* ---------------------------------------------------------------- a database */

static struct store_db *
open_a(void)
{
	struct store_open o = {.kind = STORE_ACCOUNT, .account = "a"};
	struct store_db *db = NULL;
	int64_t budget = 60000;
	uint8_t key[32];

	log_set_level(LOG_LV_ERR);
	assert_int_equal(store_sqlcipher.start(), 0);
	rig_key(key, "a", 0);
	o.key = key;
	o.check_budget_ms = &budget;
	if (store_sqlcipher.open(&o, &db) != STORE_OK)
		fail_msg("%s", o.text);
	return db;
}

/* What is committed: the version of each name, 0 = absent. */
static uint64_t model[NAMES];
static uint32_t seed;

static uint32_t
any(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % below;
}

static size_t
content(int name, uint64_t version, uint8_t out[3000])
{
	size_t i, len = 100 + (size_t)(name * 37 + (int)version * 911) % 2900;

	for (i = 0; i < len; i++)
		out[i] = (uint8_t)(name + (int)version * 7 + (int)i);
	return len;
}

static void
write_one(struct store_db *db, int name, uint64_t version)
{
	Stored__RecordName n = STORED__RECORD_NAME__INIT;
	Stored__RecordPut p = STORED__RECORD_PUT__INIT;
	Stored__RecordDelete d = STORED__RECORD_DELETE__INIT;
	uint8_t bytes[3000];
	char text[16];

	snprintf(text, sizeof(text), "%d", name);
	n.domain = STORED__DOMAIN__SESSION;
	n.name = text;
	p.name = d.name = &n;
	p.version = version;
	p.sealed = (ProtobufCBinaryData){content(name, version, bytes), bytes};
	if (version > 0) {
		assert_int_equal(store_sqlcipher.record_put(db, &p), STORE_OK);
	} else {
		d.version = model[name];
		assert_int_equal(store_sqlcipher.record_delete(db, &d), STORE_OK);
	}
}

/* A transaction of a few writes; some are taken back, some spill uncommitted pages into the log. */
static void
transaction(struct store_db *db)
{
	uint64_t before[NAMES];
	int i, n = any(20) == 0 ? 200 : (int)any(8) + 1, keep = any(8) != 0;

	memcpy(before, model, sizeof(before));
	assert_int_equal(store_sqlcipher.begin(db), STORE_OK);
	for (i = 0; i < n; i++) {
		int name = (int)any(NAMES);
		uint64_t version = model[name] != 0 && any(5) == 0 ? 0 : model[name] + 1;

		write_one(db, name, version);
		model[name] = version;
	}
	if (keep) {
		assert_int_equal(store_sqlcipher.commit(db), STORE_OK);
	} else {
		store_sqlcipher.rollback(db);
		memcpy(model, before, sizeof(before));
	}
}

static void
verify(struct store_db *db)
{
	struct region *r;
	int i;

	for (i = 0; i < NAMES; i++) {
		Stored__RecordName n = STORED__RECORD_NAME__INIT;
		Stored__Record rec = STORED__RECORD__INIT;
		uint8_t bytes[3000];
		char text[16];
		size_t len;

		snprintf(text, sizeof(text), "%d", i);
		n.domain = STORED__DOMAIN__SESSION;
		n.name = text;
		assert_non_null(r = region_new(100000));
		assert_int_equal(store_sqlcipher.record_get(db, &n, r, &rec), STORE_OK);
		if (rec.version != model[i])
			fail_msg("record %d stands at %llu, not at %llu", i,
			    (unsigned long long)rec.version, (unsigned long long)model[i]);
		len = content(i, model[i], bytes);
		if (model[i] > 0) {
			assert_int_equal(rec.sealed.len, len);
			assert_memory_equal(rec.sealed.data, bytes, len);
		}
		region_free(r);
	}
}

/* Writes to the database's file, seen; one of them, or of its syncs, may fail. */
struct seen {
	int writes, syncs;
	int fail_write, fail_sync; /* which; 0 = none */
};

static int
before_op(void *arg, enum vfs_op op, const char *name, int64_t offset, const void *data, int len)
{
	struct seen *s = arg;

	(void)offset;
	(void)data;
	(void)len;
	if (strcmp(name, "account-a.db") != 0)
		return 0;
	s->writes += op == VFS_WRITE;
	s->syncs += op == VFS_SYNC;
	if ((op == VFS_WRITE && s->writes == s->fail_write) ||
	    (op == VFS_SYNC && s->syncs == s->fail_sync)) {
		errno = EIO;
		return SQLITE_IOERR_WRITE;
	}
	return 0;
}

/* ---------------------------------------------------------------- short, and complete */

/* A log of many pages goes in parts of a bounded size, each page once. */
static void
test_bounded(void **state)
{
	struct seen seen = {0, 0, 0, 0};
	struct vfs_hook hook = {before_op, &seen};
	struct store_db *db = open_a();
	int parts = 0, pages, i, k;

	for (k = 0; k < 40; k++) {
		assert_int_equal(store_sqlcipher.begin(db), STORE_OK);
		for (i = 0; i < 100; i++) {
			Stored__RecordName n = STORED__RECORD_NAME__INIT;
			Stored__RecordPut p = STORED__RECORD_PUT__INIT;
			static uint8_t bytes[3500];
			char name[20];

			snprintf(name, sizeof(name), "%d/%d", k, i);
			n.domain = STORED__DOMAIN__SESSION;
			n.name = name;
			p.name = &n;
			p.version = 1;
			p.sealed = (ProtobufCBinaryData){sizeof(bytes), bytes};
			assert_int_equal(store_sqlcipher.record_put(db, &p), STORE_OK);
		}
		assert_int_equal(store_sqlcipher.commit(db), STORE_OK);
	}
	pages = db->wal_pages;
	assert_true(pages > 4000);
	vfs_set_hook(&hook);
	do {
		int before = seen.writes;

		assert_int_equal(store_sqlcipher.tidy(db, 0), STORE_OK);
		parts++;
		assert_in_range(seen.writes - before, 1, 256);
	} while (db->wal_pages > 0 && parts < 1000);
	vfs_set_hook(NULL);
	assert_true(parts >= 4000 / 256);
	assert_true(seen.writes <= pages);
	assert_true((uint64_t)seen.writes * 4096 <= store_sqlcipher.bytes(db)); /* once each */
	/* the next commit begins the log anew, and nothing is left of the old one */
	assert_int_equal(store_sqlcipher.begin(db), STORE_OK);
	write_one(db, 1, 1);
	model[1] = 1;
	assert_int_equal(store_sqlcipher.commit(db), STORE_OK);
	assert_true(db->wal_pages < 20);
	store_sqlcipher.close(db);
}

/* Work with parts of checkpoints between, in a process of its own that ends without closing; at the
 * end all is written back, so that the log is needed no more, or it is not. */
static void
work(uint32_t with_seed, int transactions, int finish, struct seen *seen)
{
	struct vfs_hook hook = {before_op, seen};
	int status, i;
	pid_t pid;

	memset(model, 0, sizeof(model));
	seed = with_seed;
	assert_int_not_equal(pid = fork(), -1);
	if (pid == 0) {
		struct store_db *db = open_a();

		vfs_set_hook(&hook);
		for (i = 0; i < transactions; i++) {
			transaction(db);
			if (any(2) == 0)
				(void)db_write_back_some(db); /* a fault is retried */
			if (any(40) == 0)
				(void)db_write_back(db);
		}
		while (finish && db->wal_pages > 0)
			(void)db_write_back_some(db);
		if (seen->writes < seen->fail_write || seen->syncs < seen->fail_sync)
			_exit(8); /* the fault was not met */
		crash_now();
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	/* the same again, to know what must be there: the numbers decide everything */
	{
		char dir[] = "again-XXXXXX";
		struct store_db *db;

		assert_non_null(mkdtemp(dir));
		assert_int_equal(chdir(dir), 0);
		db = open_a();
		for (i = 0; i < transactions; i++) {
			transaction(db);
			(void)any(2);
			(void)any(40);
		}
		store_sqlcipher.close(db);
		(void)unlink("account-a.db");
		assert_int_equal(chdir(".."), 0);
		assert_int_equal(rmdir(dir), 0);
	}
}

static void
look_again(int without_log)
{
	struct store_db *db;
	sqlite3_stmt *q;

	if (without_log)
		assert_int_equal(unlink("account-a.db-wal"), 0);
	db = open_a(); /* which checks the whole file if there is a log */
	assert_int_equal(
	    sqlite3_prepare_v2(db->sql, "PRAGMA quick_check", -1, &q, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(q, 0), "ok");
	sqlite3_finalize(q);
	verify(db);
	store_sqlcipher.close(db);
	(void)unlink("account-a.db");
}

static void
test_nothing_lost(void **state)
{
	uint32_t s;

	for (s = 1; s <= 4; s++) {
		struct seen none = {0, 0, 0, 0};

		work(s * 2654435761u, 30 + (int)s * 10, 1, &none);
		look_again(1);
		work(s * 2654435761u, 30 + (int)s * 10, 0, &none);
		look_again(0);
	}
}

/* A write or sync of the file that fails is done again, with all that hung on it. */
static void
test_faults(void **state)
{
	int at;

	for (at = 1; at <= 3; at++) {
		struct seen w = {.fail_write = at * 23}, s = {.fail_sync = at};

		work(99 + (uint32_t)at, 30, 1, &w);
		look_again(1);
		work(99 + (uint32_t)at, 30, 1, &s);
		look_again(1);
	}
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_frames),
	    T(test_bounded),
	    T(test_nothing_lost),
	    T(test_faults),
	};

	alarm(120 * test_slow());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
