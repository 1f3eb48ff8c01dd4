/* The check of a whole database, and the numbers of its tables: every page, every row, every entry.
 */
#include "tests/unit/stored_tasks.h"

/* More than a step walks. */
#define ROWS (test_slow() > 4 ? 500 : 1500)

/* Check all; what was found is in p->text. Returns the steps that it took. */
static int
check_all(struct store_db *db, struct store_progress *p)
{
	enum store_status st;
	int steps = 0;

	memset(p, 0, sizeof(*p));
	do {
		st = store_sqlcipher.check_step(db, steps == 0, p);
		steps++;
		if (st != STORE_OK)
			fail_msg("check: %s", store_status_word(st));
		assert_true(p->done <= p->total);
	} while (!p->ended);
	return steps;
}

static void
fill(int n)
{
	struct rig *g = rig_open(1);

	tasks_fill(g, "a", 0, n);
	rig_free(g);
}

/* ---------------------------------------------------------------- pages */

/* One byte of each page in turn is not what it was. */
static void
flip_each(const char *file, const char *account)
{
	struct store_db *db = tasks_open(account);
	int fd = open(file, O_RDWR | O_CLOEXEC), page, found = 0, steps;
	int64_t pages = tasks_number(db, "PRAGMA page_count"),
		unused = tasks_number(db, "PRAGMA freelist_count");
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
	}
	print_message("%s: %d of %lld found\n", file, found, (long long)pages);
	assert_int_equal(found, pages - unused);
	(void)check_all(db, &p);
	assert_string_equal(p.text, "");
	store_sqlcipher.close(db);
	close(fd);
}

static void
test_each_page(void **state)
{
	struct store_db *db;

	fill(test_slow() > 4 ? 20 : 60);
	db = tasks_open("a"); /* and pages that nothing lies on: their bytes do not matter */
	tasks_exec(db, "DELETE FROM group_info WHERE row % 2");
	store_sqlcipher.close(db);
	flip_each("account-a.db", "a");
	flip_each("service.db", NULL);
}

/* What a reader gets of a long row whose last page is damaged: an error, and not zeros. */
static void
test_last_page_of_a_row(void **state)
{
	struct store_db *db;
	const struct store_event *e;
	enum store_status st;
	int fd, page, failed = 0;
	int64_t pages;

	fill(1); /* number 0 has an event of 20 KB, on five pages of its own */
	db = tasks_open("a");
	pages = tasks_number(db, "PRAGMA page_count");
	fd = open("account-a.db", O_RDWR | O_CLOEXEC);
	for (page = 2; page <= pages; page++) {
		uint8_t byte, other;

		assert_int_equal(pread(fd, &byte, 1, (off_t)(page - 1) * 4096 + 2000), 1);
		other = byte ^ 0x80;
		assert_int_equal(pwrite(fd, &other, 1, (off_t)(page - 1) * 4096 + 2000), 1);
		sqlite3_db_release_memory(db->sql);
		e = NULL;
		st = store_sqlcipher.events_walk(db, 0);
		if (st == STORE_OK)
			st = store_sqlcipher.events_step(db, &e);
		if (st == STORE_OK) {
			assert_non_null(e);
			assert_int_equal(e->body_len, strlen(tasks_big));
			assert_memory_equal(e->body, tasks_big, e->body_len);
		} else {
			assert_int_equal(st, STORE_CORRUPT);
			failed++;
		}
		store_sqlcipher.events_stop(db);
		assert_int_equal(pwrite(fd, &byte, 1, (off_t)(page - 1) * 4096 + 2000), 1);
	}
	assert_true(failed >= 6); /* the leaf and all five, and what leads there */
	store_sqlcipher.close(db);
	close(fd);
}

/* ---------------------------------------------------------------- rows and entries */

/* Rows of all tables and entries of all indexes, as SQLite counts them. */
static uint64_t
count_all(struct store_db *db)
{
	sqlite3_stmt *s = NULL;
	uint64_t n = 0;
	char sql[300];

	assert_int_equal(
	    sqlite3_prepare_v2(db->sql,
		"SELECT m.tbl_name, m.name, m.type,"
		" CASE WHEN instr(m.sql, ' WHERE ') THEN substr(m.sql, instr(m.sql, ' WHERE ')) "
		"ELSE '' END"
		" FROM sqlite_schema AS m WHERE m.type = 'table' OR NOT EXISTS(SELECT 1 FROM"
		" pragma_table_list(m.tbl_name) AS t, pragma_index_list(m.tbl_name) AS i"
		" WHERE t.wr AND i.name = m.name AND i.origin = 'pk')",
		-1, &s, NULL),
	    SQLITE_OK);
	while (sqlite3_step(s) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(s, 0);
		int index = strcmp((const char *)sqlite3_column_text(s, 2), "index") == 0;

		if (index)
			snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s INDEXED BY %s %s", name,
			    sqlite3_column_text(s, 1), sqlite3_column_text(s, 3));
		else
			snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", name);
		n += (uint64_t)tasks_number(db, sql);
	}
	sqlite3_finalize(s);
	return n + (uint64_t)tasks_number(db, "SELECT count(*) FROM sqlite_schema");
}

static void
test_each_row(void **state)
{
	struct store_progress p;
	struct store_db *db;
	int steps;

	fill(ROWS);
	db = tasks_open("a");
	/* the same value in many entries, and none in others */
	tasks_exec(db, "UPDATE outbox SET key = NULL WHERE row % 3 = 0;"
		       "UPDATE base_key SET added_ms = 5; UPDATE contact SET pn = NULL, lid = NULL"
		       " WHERE row % 2");
	steps = check_all(db, &p);
	print_message("%llu rows and entries in %d steps\n", (unsigned long long)p.done, steps);
	assert_string_equal(p.text, "");
	assert_int_equal(p.done, p.total);
	assert_int_equal(p.done, count_all(db));
	store_sqlcipher.close(db);
}

/* Make an index and its table disagree: what is written while the index counts as a partial one is
 * not in it. */
static void
change_schema(struct store_db *db, const char *sql)
{
	sqlite3_db_config(db->sql, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
	tasks_exec(db, "PRAGMA writable_schema = ON");
	tasks_exec(db, sql);
	tasks_exec(db, "PRAGMA writable_schema = RESET");
	sqlite3_db_config(db->sql, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
}

static void
disagree(const char *write, const char *want)
{
	static const char partial[] = "UPDATE sqlite_schema SET sql = sql || ' WHERE user = ''x'''"
				      " WHERE name = 'device_list_age'";
	static const char whole[] =
	    "UPDATE sqlite_schema SET sql = substr(sql, 1, instr(sql, ' WHERE ') - 1)"
	    " WHERE name = 'device_list_age'";
	struct store_progress p;
	struct store_db *db = tasks_open("a");

	change_schema(db, partial);
	tasks_exec(db, write);
	change_schema(db, whole);
	(void)check_all(db, &p);
	if (strcmp(p.text, want) != 0)
		fail_msg("\"%s\", not \"%s\"", p.text, want);
	store_sqlcipher.close(db);
}

static void
test_entry_is_missing(void **state)
{
	fill(30);
	disagree("INSERT INTO device_list(user, list, put_ms) VALUES('zzz', x'', 7)",
	    "table device_list: row 31 is not in index device_list_age");
}

static void
test_row_is_missing(void **state)
{
	fill(30);
	disagree("DELETE FROM device_list WHERE user = '100@lid'",
	    "index device_list_age: entry 1 belongs to no row of table device_list");
}

static void
test_messages(void **state)
{
	static const struct {
		const char *write, *want;
	} rows[] = {
	    {"INSERT INTO device(one, record) VALUES(1, x'0aff')",
		"table device: the record of row 1 is no message"},
	    {"UPDATE device_list SET list = x'ff' WHERE user = '103@lid'",
		"table device_list: the list of row 4 is no message"},
	    {"INSERT INTO outbox_devices(outbox, devices) VALUES(3, x'07')",
		"table outbox_devices: the devices of row 1 is no message"},
	};
	struct store_progress p;
	size_t i;

	fill(10);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct store_db *db = tasks_open("a");

		tasks_exec(db, "BEGIN");
		tasks_exec(db, rows[i].write);
		(void)check_all(db, &p);
		if (strcmp(p.text, rows[i].want) != 0)
			fail_msg("\"%s\", not \"%s\"", p.text, rows[i].want);
		tasks_exec(db, "ROLLBACK");
		store_sqlcipher.close(db);
	}
}

/* ---------------------------------------------------------------- as a task */

static void
test_task(void **state)
{
	Stored__Check m = STORED__CHECK__INIT;
	struct rig *g = rig_open(2);
	uint64_t task;
	uint8_t byte;
	int n = 0, fd;

	tasks_fill(g, "a", 0, ROWS);
	task = tasks_begin(g, STORED__TYPE__CHECK, &m.base, -1);
	while (!(g->task.task == task && g->task.ended)) { /* units are committed meanwhile */
		tasks_unit(g, n % 2 ? "a" : "b", ROWS + n);
		n++;
		rig_turn(g);
	}
	tasks_wait(g, task, "");
	print_message("%d units meanwhile; %s\n", n, g->task.text);
	assert_true(n > 0);
	assert_int_equal(g->task.done, g->task.total);
	/* damage is told, and the others are read all the same */
	tasks_write_back(g->s->accounts[0].db);
	fd = open("account-a.db", O_RDWR | O_CLOEXEC);
	assert_int_equal(pread(fd, &byte, 1, 3 * 4096 + 99), 1);
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, 3 * 4096 + 99), 1);
	task = tasks_begin(g, STORED__TYPE__CHECK, &m.base, -1);
	tasks_wait(g, task, "damaged");
	assert_non_null(strstr(g->task.text, "a: "));
	assert_non_null(strstr(g->task.text, "page 4"));
	close(fd);
	/* what is not open is not found whole */
	store_opened_set(&g->s->accounts[0].opened, STORE_WRONG_KEY, "");
	task = tasks_begin(g, STORED__TYPE__CHECK, &m.base, -1);
	tasks_wait(g, task, "account_failed");
	assert_non_null(strstr(g->task.text, "a: wrong_key"));
	store_opened_set(&g->s->accounts[0].opened, STORE_CORRUPT, "");
	task = tasks_begin(g, STORED__TYPE__CHECK, &m.base, -1);
	tasks_wait(g, task, "damaged");
	store_opened_set(&g->s->accounts[0].opened, STORE_OK, NULL); /* it is closed at the end */
	rig_free(g);
}

/* ---------------------------------------------------------------- numbers */

static void
test_tables(void **state)
{
	Stored__StatsGet m = STORED__STATS_GET__INIT;
	struct rig_reply r[3];
	struct rig *g = rig_open(2);
	const Stored__Stats *st;
	size_t i, k, seen = 0;
	char sql[100];

	tasks_fill(g, "a", 0, ROWS);
	tasks_unit(g, "b", 1);
	m.has_tables = m.tables = 1;
	for (k = 0; k < 3; k++) /* one count for all who ask */
		rig_send(g->apid, STORED__TYPE__STATS, &m.base, STORED__TYPE__STATS_REPLY,
		    &stored__stats__descriptor, &r[k]);
	RIG_UNTIL(g, r[0].came && r[1].came && r[2].came);
	for (k = 0; k < 3; k++) {
		assert_true(r[k].ok);
		st = (const Stored__Stats *)r[k].pb;
		assert_string_equal(st->backend, "sqlcipher");
		assert_true(
		    st->has_log_bytes && st->log_bytes > 0 && st->log_bytes < st->database_bytes);
		assert_true(st->n_tables > 20);
		for (i = 0, seen = 0; i < st->n_tables; i++) {
			const Stored__TableStat *t = st->tables[i];
			struct store_db *db = t->account[0] == '\0'  ? g->s->service
					      : t->account[0] == 'a' ? g->s->accounts[0].db
								     : g->s->accounts[1].db;

			snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", t->table);
			if ((int64_t)t->rows != tasks_number(db, sql))
				fail_msg("%s %s: %llu", t->account, t->table,
				    (unsigned long long)t->rows);
			seen += t->rows > 0;
		}
		assert_true(seen > 10);
		rig_reply_clear(&r[k]);
	}
	/* without them, and while they are being counted at the end of the store */
	m.tables = 0;
	rig_ask(g, g->apid, STORED__TYPE__STATS, &m.base, STORED__TYPE__STATS_REPLY,
	    &stored__stats__descriptor, &r[0]);
	assert_int_equal(((const Stored__Stats *)r[0].pb)->n_tables, 0);
	rig_reply_clear(&r[0]);
	m.tables = 1;
	rig_send(g->apid, STORED__TYPE__STATS, &m.base, STORED__TYPE__STATS_REPLY,
	    &stored__stats__descriptor, &r[0]);
	RIG_UNTIL(g, g->s->stats != NULL);
	store_stop(g->s);
	RIG_UNTIL(g, r[0].came);
	assert_string_equal(r[0].code, "stopping");
	rig_free(g);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_each_page),
	    TEST(test_last_page_of_a_row),
	    TEST(test_each_row),
	    TEST(test_entry_is_missing),
	    TEST(test_row_is_missing),
	    TEST(test_messages),
	    TEST(test_task),
	    TEST(test_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
