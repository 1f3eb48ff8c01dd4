/* Opening: each way in which a folder or a database can be wrong has its own reason; nothing plain
 * is on the disk. */
#include "tests/unit/stored_rig.h"
#include "tests/unit/slow.h"

#include <sqlcipher/sqlite3.h>

#include "stored/keyring.h"

static void
nothing(struct rig *g)
{
	(void)g;
}

/* Make a and b with an event each, in a process of its own; crash: leave the logs to be recovered.
 */
static void
make(int crash, void (*more)(struct rig *g))
{
	int status;
	pid_t pid = fork();

	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		struct rig *g;

		alarm(60 * test_slow());
		g = rig_open(2);
		rig_event(g, "a", "{\"of\":\"a\"}", NULL);
		rig_event(g, "b", "{\"of\":\"b\"}", NULL);
		more(g);
		if (!crash)
			rig_free(g);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Unlock and expect these reasons ("" = open) of the service, a and b. */
static struct rig *
expect(const char *service, const char *a, const char *b, uint8_t salt, const char *salted)
{
	const char *want[2] = {a, b};
	struct rig *g = rig_new(2);
	Stored__UnlockReply *u;
	struct rig_reply r;
	size_t i;

	rig_unlock_salt(g, salt, salted, &r);
	assert_true(r.ok);
	u = (Stored__UnlockReply *)r.pb;
	assert_string_equal(u->service->ok ? "" : u->service->reason, service);
	assert_int_equal(u->n_accounts, 2);
	for (i = 0; i < 2; i++) {
		if (strcmp(u->accounts[i]->ok ? "" : u->accounts[i]->reason, want[i]) != 0)
			fail_msg("%s: %s (%s), not %s", u->accounts[i]->account,
			    u->accounts[i]->reason, u->accounts[i]->text, want[i]);
		if (!u->accounts[i]->ok)
			assert_true(strlen(u->accounts[i]->text) > 0);
	}
	rig_reply_clear(&r);
	RIG_UNTIL(g, g->nstates == 1);
	assert_int_equal(g->service_ok, service[0] == '\0');
	assert_int_equal(g->accounts_ok, (a[0] == '\0') + (b[0] == '\0'));
	return g;
}

/* a cannot be used and says so; b works. */
static void
only_b_works(struct rig *g)
{
	struct rig_reply r;

	rig_unit_open(g, "a", 1);
	rig_commit(g, "a", 1, 0, "{}", NULL, &r);
	RIG_UNTIL(g, r.came);
	assert_string_equal(r.code, "account_failed");
	assert_int_not_equal(rig_event(g, "b", "{}", NULL), 0);
	rig_free(g);
}

static void
overwrite(const char *file, off_t at, const void *bytes, size_t n)
{
	int fd = open(file, O_RDWR | O_CLOEXEC);

	assert_int_not_equal(fd, -1);
	assert_int_equal(pwrite(fd, bytes, n, at), (ssize_t)n);
	close(fd);
}

static void
test_wrong_key(void **state)
{
	make(0, nothing);
	only_b_works(expect("", "wrong_key", "", 1, "a"));
	/* without the service's database nothing can go on */
	rig_free(expect("wrong_key", "wrong_key", "wrong_key", 1, "service"));
	/* and the right keys still open all */
	rig_free(expect("", "", "", 0, NULL));
}

static void
test_foreign_file(void **state)
{
	static const char plain[4096] = "SQLite format 3";
	struct store_open o = {.kind = STORE_ACCOUNT, .account = "b"};
	int64_t budget = 0;
	struct store_db *db;
	uint8_t key[32];

	make(0, nothing);
	/* another account's file, with the key that opens it */
	assert_int_equal(rename("account-a.db", "account-b.db"), 0);
	rig_key(key, "a", 0);
	o.key = key;
	o.check_budget_ms = &budget;
	assert_int_equal(store_sqlcipher.open(&o, &db), STORE_FOREIGN);
	assert_null(db);
	assert_non_null(strstr(o.text, "belongs to another"));
	assert_int_equal(unlink("account-b.db"), 0);
	/* an unencrypted database */
	assert_int_equal(close(open("account-a.db", O_CREAT | O_WRONLY, 0600)), 0);
	overwrite("account-a.db", 0, plain, sizeof(plain));
	only_b_works(expect("", "foreign", "", 0, NULL));
	/* a file of something else: its first page fits no key */
	overwrite("account-a.db", 0, "something else entirely", 23);
	only_b_works(expect("", "wrong_key", "", 0, NULL));
}

/* Open with SQLCipher alone and run a statement: what a later version, or somebody, might have
 * done. */
static void
meddle(const char *account, const char *sql)
{
	char file[64], hex[65], text[80];
	uint8_t key[32];
	sqlite3 *db;

	assert_int_equal(store_sqlcipher.start(), 0);
	snprintf(file, sizeof(file), "account-%s.db", account);
	rig_key(key, account, 0);
	sodium_bin2hex(hex, sizeof(hex), key, sizeof(key));
	snprintf(text, sizeof(text), "x'%s'", hex);
	assert_int_equal(sqlite3_open_v2(file, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_key_v2(db, "main", text, 67), SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(db, "PRAGMA cipher_hmac_algorithm = HMAC_SHA256", NULL, NULL, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void
test_newer_schema(void **state)
{
	make(0, nothing);
	meddle("a", "PRAGMA user_version = 99");
	only_b_works(expect("", "newer_schema", "", 0, NULL));
	meddle("a", "PRAGMA user_version = 3"); /* it was not touched */
	rig_free(expect("", "", "", 0, NULL));
	meddle("a", "PRAGMA application_id = 1");
	only_b_works(expect("", "foreign", "", 0, NULL));
}

static void
many_events(struct rig *g)
{
	char *body = malloc(2001);
	int i;

	memset(body, 'x', 2000);
	body[0] = '{';
	body[2000] = '\0';
	for (i = 0; i < 200; i++)
		rig_event(g, "a", body, NULL);
	free(body);
}

static void
test_corrupt_page(void **state)
{
	struct rig *g;
	struct rig_reply r;
	Stored__EventsRead m = STORED__EVENTS_READ__INIT;

	make(0, many_events);
	overwrite("account-a.db", (off_t)60 * 4096 + 100, "damage", 6);
	g = expect("", "", "", 0, NULL); /* a clean stop: not checked at the start */
	m.limit = 1000;
	m.max_bytes = 1024 * 1024;
	rig_ask(g, g->apid, STORED__TYPE__EVENTS_READ, &m.base, STORED__TYPE__EVENTS,
	    &stored__events__descriptor, &r);
	assert_string_equal(r.code, "corrupt");
	RIG_UNTIL(g, g->nstates == 2);
	assert_int_equal(g->accounts_ok, 1);
	assert_true(g->service_ok);
	only_b_works(g);
}

/* After a crash the whole file is read, and the damage is found before anything builds on it. */
static void
test_check_after_crash(void **state)
{
	struct rig *g;
	struct stat sb;

	make(0, many_events);
	make(1, nothing);
	assert_int_equal(stat("account-a.db-wal", &sb), 0);
	assert_true(sb.st_size > 0);
	g = expect("", "", "", 0, NULL);
	rig_free(g);
	assert_int_equal(stat("account-a.db-wal", &sb), -1); /* the mark of a clean stop */

	make(1, nothing);
	overwrite("account-a.db", (off_t)60 * 4096 + 100, "damage", 6);
	only_b_works(expect("", "corrupt", "", 0, NULL));
}

static void
test_damaged_service_database(void **state)
{
	struct rig *g;
	struct rig_reply r;

	make(0, nothing);
	overwrite("service.db", 4096 + 100, "damage", 6);
	overwrite("service.db", 2 * 4096 + 100, "damage", 6);
	overwrite("service.db", 3 * 4096 + 100, "damage", 6);
	g = rig_new(2);
	rig_unlock_salt(g, 0, NULL, &r);
	assert_true(r.ok);
	assert_string_equal(((Stored__UnlockReply *)r.pb)->service->reason, "corrupt");
	assert_string_equal(((Stored__UnlockReply *)r.pb)->accounts[0]->reason, "corrupt");
	rig_reply_clear(&r);
	rig_unit_open(g, "a", 1);
	rig_commit(g, "a", 1, 0, "{}", NULL, &r);
	RIG_UNTIL(g, r.came);
	assert_string_equal(r.code, "account_failed");
	rig_free(g);
}

static void
test_in_use(void **state)
{
	int ready[2], status;
	char c;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		alarm(60 * test_slow());
		(void)rig_open(2);
		assert_int_equal(write(ready[1], "r", 1), 1);
		pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	rig_free(expect("in_use", "in_use", "in_use", 0, NULL));
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(ready[0]);
	close(ready[1]);
	rig_free(expect("", "", "", 0, NULL));
}

/* As a user who may read the folder and not write it. */
static void
read_only_as(uid_t uid, mode_t mode, const char *service, const char *a)
{
	int status;
	pid_t pid;

	assert_int_equal(chmod(".", mode), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		alarm(60 * test_slow());
		if (geteuid() == 0 && setresuid(uid, uid, uid) == -1)
			_exit(1);
		rig_free(expect(service, a, a, 0, NULL));
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(chmod(".", 0700), 0);
}

static void
test_read_only(void **state)
{
	const uid_t uid = geteuid() == 0 ? 65534 : geteuid();

	/* an empty folder */
	assert_int_equal(chown(".", uid, (gid_t)-1), 0);
	read_only_as(uid, 0500, "read_only", "read_only");
	/* with databases */
	make(0, nothing);
	assert_int_equal(chown("lock", uid, (gid_t)-1), 0);
	assert_int_equal(chown("service.db", uid, (gid_t)-1), 0);
	assert_int_equal(chown("account-a.db", uid, (gid_t)-1), 0);
	assert_int_equal(chown("account-b.db", uid, (gid_t)-1), 0);
	read_only_as(uid, 0500, "read_only", "read_only");
	/* one file */
	assert_int_equal(chmod("account-a.db", 0400), 0);
	assert_int_equal(chmod("account-b.db", 0400), 0);
	read_only_as(uid, 0700, "", "read_only");
}

static void
test_no_key_for_an_account(void **state)
{
	static const char *const names[] = {"a"};
	struct rig *g = rig_new_with(names, 1, &rig_options);
	Stored__Unlock m = STORED__UNLOCK__INIT;
	Stored__AccountKey k = STORED__ACCOUNT_KEY__INIT, *keys[1] = {&k};
	uint8_t key[32] = {1};
	struct rig_reply r;

	m.service_key.data = k.key.data = key;
	m.service_key.len = k.key.len = 32;
	k.account = rig_str("../a"); /* not configured: nothing is opened for it */
	m.n_accounts = 1;
	m.accounts = keys;
	rig_ask(g, g->keyd, STORED__TYPE__UNLOCK, &m.base, STORED__TYPE__UNLOCK_REPLY,
	    &stored__unlock_reply__descriptor, &r);
	assert_true(((Stored__UnlockReply *)r.pb)->service->ok);
	assert_int_equal(((Stored__UnlockReply *)r.pb)->n_accounts, 1);
	assert_false(((Stored__UnlockReply *)r.pb)->accounts[0]->ok);
	rig_reply_clear(&r);
	assert_int_equal(access("account-a.db", F_OK), -1);
	rig_free(g);
}

/* ---------------------------------------------------------------- keyring */

static void
keyring_is(const char *want)
{
	uint8_t out[KEYRING_MAX];
	size_t len;

	assert_int_equal(keyring_read(out, &len), KEYRING_OK);
	assert_int_equal(len, strlen(want));
	assert_memory_equal(out, want, len);
}

static void
test_keyring(void **state)
{
	uint8_t big[KEYRING_MAX], out[KEYRING_MAX];
	size_t len, i;
	struct stat sb;

	keyring_is("");
	assert_int_equal(keyring_write((const uint8_t *)"first", 5), KEYRING_OK);
	keyring_is("first");
	assert_int_equal(keyring_write((const uint8_t *)"second", 6), KEYRING_OK);
	keyring_is("second");
	assert_int_equal(keyring_write((const uint8_t *)"third", 5), KEYRING_OK);
	keyring_is("third"); /* in keyring.0 again */
	assert_int_equal(stat("keyring.0", &sb), 0);
	assert_int_equal(sb.st_mode & 0777, 0600);
	/* a write cut short at any byte leaves the one before */
	for (i = 0; i < (size_t)sb.st_size; i++) {
		assert_int_equal(truncate("keyring.0", (off_t)i), 0);
		keyring_is("second");
		assert_int_equal(keyring_write((const uint8_t *)"third", 5), KEYRING_OK);
		keyring_is("third");
	}
	for (i = 0; i < (size_t)sb.st_size; i++) { /* or damaged */
		uint8_t c;
		int fd = open("keyring.0", O_RDWR);

		assert_int_equal(pread(fd, &c, 1, (off_t)i), 1);
		c ^= 0x40;
		assert_int_equal(pwrite(fd, &c, 1, (off_t)i), 1);
		keyring_is("second");
		c ^= 0x40;
		assert_int_equal(pwrite(fd, &c, 1, (off_t)i), 1);
		close(fd);
	}
	memset(big, 'k', sizeof(big));
	assert_int_equal(keyring_write(big, sizeof(big)), KEYRING_OK);
	assert_int_equal(keyring_read(out, &len), KEYRING_OK);
	assert_int_equal(len, sizeof(big));
	/* both gone bad: an error, never "none yet" */
	assert_int_equal(truncate("keyring.0", 3), 0);
	assert_int_equal(truncate("keyring.1", 3), 0);
	assert_int_equal(keyring_read(out, &len), KEYRING_CORRUPT);
}

static void
test_keyring_messages(void **state)
{
	struct rig *g = rig_new(1);
	Stored__KeyringGet get = STORED__KEYRING_GET__INIT;
	Stored__Keyring put = STORED__KEYRING__INIT;
	struct rig_reply r;
	uint8_t header[4] = {1, 0, 2, 3};

	rig_ask(g, g->keyd, STORED__TYPE__KEYRING_GET, &get.base, STORED__TYPE__KEYRING,
	    &stored__keyring__descriptor, &r);
	assert_true(r.ok);
	assert_int_equal(((Stored__Keyring *)r.pb)->header.len, 0);
	rig_reply_clear(&r);
	put.header.data = header;
	put.header.len = sizeof(header);
	rig_ask(g, g->keyd, STORED__TYPE__KEYRING_PUT, &put.base, STORED__TYPE__DONE,
	    &stored__done__descriptor, &r);
	assert_true(r.ok);
	rig_reply_clear(&r);
	rig_ask(g, g->keyd, STORED__TYPE__KEYRING_GET, &get.base, STORED__TYPE__KEYRING,
	    &stored__keyring__descriptor, &r);
	assert_int_equal(((Stored__Keyring *)r.pb)->header.len, 4);
	assert_memory_equal(((Stored__Keyring *)r.pb)->header.data, header, 4);
	rig_reply_clear(&r);
	rig_unlock(g);
	rig_free(g);
	/* gone, while databases are there: a new one would orphan them */
	assert_int_equal(unlink("keyring.0"), 0);
	g = rig_new(1);
	rig_ask(g, g->keyd, STORED__TYPE__KEYRING_GET, &get.base, STORED__TYPE__KEYRING,
	    &stored__keyring__descriptor, &r);
	assert_string_equal(r.code, "corrupt");
	rig_free(g);
}

/* ---------------------------------------------------------------- nothing plain on the disk */

#define CANARY "canary-7f3d9b21c4"

static void
plant(struct rig *g)
{
	static uint8_t hash[32] = CANARY "hash";
	Stored__OutboxPut p = STORED__OUTBOX_PUT__INIT;
	Stored__Contact c = STORED__CONTACT__INIT;
	Stored__DeviceRecord d = STORED__DEVICE_RECORD__INIT;
	Stored__Write w = STORED__WRITE__INIT;
	Stored__ConsumerOpen o = STORED__CONSUMER_OPEN__INIT;
	struct rig_reply r;
	char sealed[16];
	uint64_t unit;

	rig_event(g, "a", "{\"text\":\"" CANARY "\"}", CANARY);
	unit = rig_unit_next();
	rig_unit_open(g, "a", unit);
	rig_stage(g, "a", unit, CANARY, 1, CANARY);
	rig_commit(g, "a", unit, 1, NULL, NULL, &r);
	RIG_UNTIL(g, r.came);
	rig_reply_clear(&r);
	p.message_id = p.chat = rig_str(CANARY);
	p.idempotency_key = rig_str(CANARY);
	p.params_hash.data = p.content.data = hash;
	p.params_hash.len = p.content.len = 32;
	p.state = STORED__OUTBOX_STATE__QUEUED;
	w.outbox_put = &p;
	rig_write(g, "a", &w, NULL);
	w.outbox_put = NULL;
	w.contact = &c;
	c.id = rig_str("u_aaaaaaaaaaaaaaaaaaaaaaaaaa");
	c.push_name = rig_str(CANARY);
	c.pn = rig_str(CANARY);
	rig_write(g, "a", &w, NULL);
	w.contact = NULL;
	w.device = &d;
	d.jid = rig_str(CANARY);
	rig_write(g, "a", &w, NULL);
	o.name = rig_str(CANARY);
	o.from = STORED__CONSUMER_OPEN__FROM__LATEST;
	rig_ask(g, g->apid, STORED__TYPE__CONSUMER_OPEN, &o.base, STORED__TYPE__CONSUMER,
	    &stored__consumer__descriptor, &r);
	assert_true(r.ok);
	rig_reply_clear(&r);
	assert_int_equal(
	    rig_record(g, "a", CANARY, sealed, sizeof(sealed)), 1); /* it was written */
}

static int
file_has(const char *name, const void *what, size_t n)
{
	struct stat sb;
	uint8_t *bytes;
	int fd = open(name, O_RDONLY), has;

	assert_int_not_equal(fd, -1);
	assert_int_equal(fstat(fd, &sb), 0);
	bytes = malloc((size_t)sb.st_size + 1);
	assert_int_equal(read(fd, bytes, (size_t)sb.st_size), sb.st_size);
	close(fd);
	has = memmem(bytes, (size_t)sb.st_size, what, n) != NULL;
	free(bytes);
	return has;
}

static void
test_nothing_plain(void **state)
{
	uint8_t key[32];
	struct dirent *e;
	int round, files;
	DIR *d;

	rig_key(key, "a", 0);
	for (round = 0; round < 2; round++) { /* with the log still there, then written back */
		make(round == 0, round == 0 ? plant : nothing);
		assert_non_null(d = opendir("."));
		for (files = 0; (e = readdir(d)) != NULL;) {
			if (e->d_name[0] == '.')
				continue;
			files++;
			assert_false(file_has(e->d_name, CANARY, strlen(CANARY)));
			assert_false(file_has(e->d_name, key, sizeof(key)));
			assert_false(file_has(e->d_name, "SQLite format", 13));
			assert_false(file_has(e->d_name, "CREATE TABLE", 12));
		}
		closedir(d);
		assert_int_equal(files, round == 0 ? 7 : 4);
	}
	/* the search itself finds what is there */
	assert_int_equal(close(open("plain", O_CREAT | O_WRONLY, 0600)), 0);
	overwrite("plain", 5, CANARY, strlen(CANARY));
	assert_true(file_has("plain", CANARY, strlen(CANARY)));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_wrong_key),
	    T(test_foreign_file),
	    T(test_newer_schema),
	    T(test_corrupt_page),
	    T(test_check_after_crash),
	    T(test_damaged_service_database),
	    T(test_in_use),
	    T(test_read_only),
	    T(test_no_key_for_an_account),
	    T(test_keyring),
	    T(test_keyring_messages),
	    T(test_nothing_plain),
	};

	alarm(120 * test_slow());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
