/* Long work for people: backups under load, and what they restore to; the check; tasks in general.
 */
#include "tests/unit/stored_rig.h"
#include "tests/unit/slow.h"

#include <errno.h>
#include <poll.h>

#include <sqlcipher/sqlite3.h>

#include "stored/keyring.h"
#include "stored/sqlcipher/db.h"
#include "stored/task.h"

/* ---------------------------------------------------------------- tasks */

/* Ask for a backup; the descriptor is the channel's. The task's number, or 0: see r. */
static uint64_t
ask_backup(struct rig *g, int fd, struct rig_reply *r)
{
	Stored__Backup m = STORED__BACKUP__INIT;

	memset(r, 0, sizeof(*r));
	r->desc = &stored__task__descriptor;
	assert_int_not_equal(channel_request_fd(g->apid, STORED__TYPE__BACKUP, &m.base, fd,
				 STORED__TYPE__TASK, r->desc, 64, 600000, rig_on_reply, r),
	    0);
	RIG_UNTIL(g, r->came);
	if (!r->ok)
		return 0;
	return ((Stored__Task *)r->pb)->task;
}

static uint64_t
begin_backup(struct rig *g, int fd)
{
	struct rig_reply r;
	uint64_t task = ask_backup(g, fd, &r);

	if (task == 0)
		fail_msg("backup: %s: %s", r.code, r.text);
	rig_reply_clear(&r);
	return task;
}

static void
wait_end(struct rig *g, uint64_t task, const char *reason)
{
	RIG_UNTIL(g, g->task.task == task && g->task.ended);
	if (strcmp(g->task.reason, reason) != 0)
		fail_msg(
		    "ended with \"%s\" (%s), not \"%s\"", g->task.reason, g->task.text, reason);
}

static void
put_keyring(void)
{
	uint8_t header[64];

	memset(header, 7, sizeof(header));
	assert_int_equal(keyring_write(header, sizeof(header)), KEYRING_OK);
}

/* ---------------------------------------------------------------- backups */

static void
test_backup_to_file(void **state)
{
	struct rig *g = rig_new(2);
	int fd = open("b.tar", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	uint64_t task;
	int i;

	put_keyring();
	rig_unlock(g);
	for (i = 0; i < 100; i++)
		rig_event(g, i & 1 ? "a" : "b", "{\"n\":1}", NULL);
	task = begin_backup(g, fd);
	wait_end(g, task, "");
	print_message("%s %llu/%llu\n", g->task.text, (unsigned long long)g->task.done,
	    (unsigned long long)g->task.total);
	rig_free(g);
	assert_int_equal(system("tar xOf b.tar ward-digests > /dev/null"), 0);
}

/* ---------------------------------------------------------------- the check */

/* Rows of every kind that a unit can write, some with pages of their own. */
static void
fill(struct rig *g, const char *account, int n)
{
	static char big[20000];
	char name[40], body[64], lid[40];
	int i;

	memset(big, 'x', sizeof(big) - 1);
	big[0] = '{';
	big[sizeof(big) - 2] = '}';
	for (i = 0; i < n; i++) {
		Stored__Contact c = STORED__CONTACT__INIT;
		Stored__GroupPut gp = STORED__GROUP_PUT__INIT;
		Stored__OutboxPut op = STORED__OUTBOX_PUT__INIT;
		Stored__DeviceList dl = STORED__DEVICE_LIST__INIT;
		Stored__Write w[5], *list[5];
		uint64_t unit = rig_unit_next();
		struct rig_reply r;
		uint8_t hash[32] = {1};
		size_t k;

		for (k = 0; k < 5; k++) {
			stored__write__init(&w[k]);
			list[k] = &w[k];
		}
		snprintf(name, sizeof(name), "u_%026d", i);
		snprintf(lid, sizeof(lid), "%d@lid", i + 100);
		snprintf(body, sizeof(body), "{\"n\":%d}", i);
		c.id = name;
		c.lid = i % 3 != 0 ? lid : NULL;
		w[0].contact = &c;
		gp.group = lid;
		gp.metadata.data = (uint8_t *)big;
		gp.metadata.len = (size_t)(i % 7) * 1000;
		w[1].group_put = &gp;
		op.message_id = name;
		op.chat = lid;
		op.uid = (uint32_t)i % 3;
		op.idempotency_key = name;
		op.params_hash.data = hash;
		op.params_hash.len = sizeof(hash);
		op.content.data = (uint8_t *)big;
		op.content.len = (size_t)(i % 5) * 2000;
		op.state = i % 2 ? STORED__OUTBOX_STATE__QUEUED : STORED__OUTBOX_STATE__ACKED;
		op.created_ms = 1;
		w[2].outbox_put = &op;
		dl.user = lid;
		w[3].device_list = &dl;
		Stored__EventAppend e;
		rig_event_init(&e, i % 10 == 0 ? big : body, name);
		w[4].event = &e;
		rig_unit_open(g, account, unit);
		rig_stage(g, account, unit, name, 1, "sealed");
		rig_commit_writes(g, account, unit, 1, list, 5, &r);
		RIG_UNTIL(g, r.came);
		if (!rig_result(&r)->committed)
			fail_msg("unit: %s", rig_result(&r)->reason);
		rig_reply_clear(&r);
	}
}

static struct store_db *
open_plain(const char *account)
{
	int64_t budget = 0;
	uint8_t key[32];
	struct store_open o = {.kind = account != NULL ? STORE_ACCOUNT : STORE_SERVICE,
	    .account = account,
	    .key = key,
	    .check_budget_ms = &budget};
	struct store_db *db;

	rig_key(key, account != NULL ? account : "service", 0);
	if (store_sqlcipher.open(&o, &db) != STORE_OK)
		fail_msg("open: %s", o.text);
	return db;
}

/* Check all; the text is in *p. Returns the steps that it took. */
static int
check_all(struct store_db *db, struct store_progress *p)
{
	int steps = 0;
	enum store_status st;

	memset(p, 0, sizeof(*p));
	do {
		st = store_sqlcipher.check_step(db, steps == 0, p);
		steps++;
		if (st != STORE_OK)
			fail_msg("check: %s", store_status_word(st));
	} while (!p->ended);
	return steps;
}

static int64_t
pragma(struct store_db *db, const char *text)
{
	sqlite3_stmt *s = NULL;
	int64_t n;

	assert_int_equal(sqlite3_prepare_v2(db->sql, text, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	n = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return n;
}

/* One byte of each page in turn is not what it was. */
static void
flip_each(const char *file, const char *account)
{
	struct store_db *db = open_plain(account);
	int fd = open(file, O_RDWR | O_CLOEXEC), page, found = 0, steps;
	int64_t pages = pragma(db, "PRAGMA page_count"),
		unused = pragma(db, "PRAGMA freelist_count");
	struct store_progress p;
	struct stat sb;
	char at[32];

	assert_int_not_equal(fd, -1);
	assert_int_equal(fstat(fd, &sb), 0);
	assert_int_equal(sb.st_size, pages * 4096);
	steps = check_all(db, &p);
	assert_string_equal(p.text, "");
	print_message("%s: %lld pages, %lld unused, %llu rows in %d steps\n", file,
	    (long long)pages, (long long)unused, (unsigned long long)p.done, steps);
	for (page = 1; page <= pages; page++) {
		off_t where = (off_t)(page - 1) * 4096 + (page * 131) % 4096;
		uint8_t byte, other;

		assert_int_equal(pread(fd, &byte, 1, where), 1);
		other = byte ^ 1;
		assert_int_equal(pwrite(fd, &other, 1, where), 1);
		(void)check_all(db, &p);
		assert_int_equal(pwrite(fd, &byte, 1, where), 1);
		if (p.text[0] == '\0')
			continue;
		found++;
		snprintf(at, sizeof(at), ", page %d", page);
		if (strlen(p.text) < strlen(at) ||
		    strcmp(p.text + strlen(p.text) - strlen(at), at) != 0)
			fail_msg("page %d: %s", page, p.text);
		if (getenv("TEST_LOG") != NULL)
			print_message("%s\n", p.text);
	}
	print_message("%s: %d of %lld found\n", file, found, (long long)pages);
	assert_int_equal(found, pages - unused);
	(void)check_all(db, &p);
	assert_string_equal(p.text, "");
	store_sqlcipher.close(db);
	close(fd);
}

static void
test_check_finds_each_page(void **state)
{
	struct rig *g = rig_open(1);
	struct store_db *db;

	fill(g, "a", 60);
	rig_free(g);
	db = open_plain("a"); /* pages that nothing lies on: their bytes do not matter */
	assert_int_equal(
	    sqlite3_exec(db->sql, "DELETE FROM group_info WHERE row % 2", NULL, NULL, NULL),
	    SQLITE_OK);
	store_sqlcipher.close(db);
	flip_each("account-a.db", "a");
	flip_each("service.db", NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_backup_to_file, rig_setup, rig_teardown),
	    cmocka_unit_test_setup_teardown(test_check_finds_each_page, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
