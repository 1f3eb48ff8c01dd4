/* Databases of every version that ever landed become today's: whole, or not at all.
 *
 * tests/unit/data/schemaN-*.db were made by a version of ward with schema N, under the keys of
 * stored_rig.h, with rows in every table. A new step of the schema brings the files of the one
 * before it, and a row in `versions`. */
#include "tests/unit/crash.h"
#include "tests/unit/stored_rig.h"
#include "tests/unit/slow.h"

#include <errno.h>

#include <sqlcipher/sqlite3.h>

#include "stored/sqlcipher/db.h"
#include "stored/sqlcipher/vfs.h"

#define NEWEST 3
#define ID(c)  "u_" c c c c c c c c c c c c c c c c c c c c c c c c c c

static const int versions[] = {1, 2};
#define NVERSIONS (sizeof(versions) / sizeof(versions[0]))

static int top; /* where the tests were started */

/* ---------------------------------------------------------------- files */

static char *
slurp(int folder, const char *file, size_t *len)
{
	int fd = openat(folder, file, O_RDONLY | O_CLOEXEC);
	struct stat sb;
	char *bytes;

	if (fd == -1)
		fail_msg("%s: %s (run from the top of the tree)", file, strerror(errno));
	assert_int_equal(fstat(fd, &sb), 0);
	*len = (size_t)sb.st_size;
	assert_non_null(bytes = malloc(*len + 1));
	assert_int_equal(read(fd, bytes, *len), (ssize_t)*len);
	close(fd);
	return bytes;
}

static void
place(int version, const char *what, const char *as)
{
	char path[100];
	char *bytes;
	size_t len;
	int fd;

	snprintf(path, sizeof(path), "tests/unit/data/schema%d-%s", version, what);
	bytes = slurp(top, path, &len);
	assert_int_not_equal(fd = open(as, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600), -1);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	close(fd);
	free(bytes);
}

/* A data folder as that version left it. */
static void
fixture(int version)
{
	(void)unlink("account-a.db-wal");
	(void)unlink("service.db-wal");
	place(version, "account-a.db", "account-a.db");
	place(version, "service.db", "service.db");
}

/* A number out of account a's file, by SQLCipher alone. */
static int64_t
number(const char *sql)
{
	char hex[65], text[80];
	sqlite3_stmt *st = NULL;
	uint8_t key[32];
	sqlite3 *db;
	int64_t n;

	assert_int_equal(store_sqlcipher.start(), 0);
	rig_key(key, "a", 0);
	sodium_bin2hex(hex, sizeof(hex), key, sizeof(key));
	snprintf(text, sizeof(text), "x'%s'", hex);
	assert_int_equal(
	    sqlite3_open_v2("account-a.db", &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_key_v2(db, "main", text, 67), SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(db, "PRAGMA cipher_hmac_algorithm = HMAC_SHA256", NULL, NULL, NULL),
	    SQLITE_OK);
	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	return n;
}

/* The version that the file has, all of it. */
static int64_t
whole_version(void)
{
	int64_t v = number("PRAGMA user_version");

	assert_int_equal(
	    number("SELECT count(*) FROM pragma_quick_check WHERE quick_check <> 'ok'"), 0);
	assert_int_equal(number("SELECT count(*) FROM sqlite_master WHERE name IN"
				" ('mac', 'pending_age', 'record_expiry', 'outbox_devices')"),
	    v < 2 ? 0 : 4);
	assert_int_equal(
	    number("SELECT count(*) FROM pragma_table_info('outbox') WHERE name = 'taken'"),
	    v >= 2);
	assert_int_equal(number("SELECT count(*) FROM pragma_table_info('outbox') WHERE name ="
				" 'until_ms'"),
	    v >= 3);
	assert_int_equal(number("SELECT count(*) FROM pragma_table_info('contact') WHERE name IN"
				" ('first_out_ms', 'met_ms')"),
	    v < 3 ? 0 : 2);
	/* what was there from the first version on */
	assert_int_equal(number("SELECT count(*) FROM record"), 5);
	assert_int_equal(number("SELECT count(*) FROM event"), 2);
	assert_int_equal(number("SELECT count(*) FROM outbox"), 3);
	return v;
}

/* ---------------------------------------------------------------- every row */

static void
records_are_there(struct rig *g)
{
	Stored__RecordsList q = STORED__RECORDS_LIST__INIT;
	static const struct {
		Stored__Domain domain;
		const char *name, *sealed;
		uint64_t version;
		int uploaded; /* -1: no prekey */
	} rows[] = {
	    {STORED__DOMAIN__DEVICE, "device", "sealed device", 1, -1},
	    {STORED__DOMAIN__IDENTITY, "1/100.0", "sealed identity", 1, -1},
	    {STORED__DOMAIN__SESSION, "1/100:1", "sealed session, later", 2, -1},
	    {STORED__DOMAIN__PREKEY, "1/7", "sealed prekey 7", 1, 1},
	    {STORED__DOMAIN__PREKEY, "1/8", "sealed prekey 8", 1, 0},
	};
	struct rig_reply r;
	size_t i;

	q.account = rig_str("a");
	q.limit = 10;
	q.has_sealed = q.sealed = 1;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const Stored__RecordNames *got;

		q.domain = rows[i].domain;
		q.from = rig_str(rows[i].name);
		rig_ask(g, g->keyd, STORED__TYPE__RECORDS_LIST, &q.base, STORED__TYPE__RECORD_NAMES,
		    &stored__record_names__descriptor, &r);
		assert_true(r.ok);
		got = (Stored__RecordNames *)r.pb;
		assert_true(got->n_records >= 1);
		assert_string_equal(got->records[0]->name, rows[i].name);
		assert_int_equal(got->records[0]->version, rows[i].version);
		assert_int_equal(got->records[0]->sealed.len, strlen(rows[i].sealed));
		assert_memory_equal(
		    got->records[0]->sealed.data, rows[i].sealed, strlen(rows[i].sealed));
		if (rows[i].uploaded != -1)
			assert_int_equal(got->records[0]->uploaded, rows[i].uploaded);
		rig_reply_clear(&r);
	}
}

static void
people_are_there(struct rig *g)
{
	static const struct {
		const char *jid, *id, *pn, *lid, *name;
	} rows[] = {
	    {"100@s.whatsapp.net", ID("b"), "100", "900", "Ann"},
	    {ID("a"), ID("b"), "100", "900", "Ann"}, /* an alias */
	    {"200@s.whatsapp.net", ID("c"), "200", NULL, "Cho"},
	};
	Stored__DeviceLoad dl = STORED__DEVICE_LOAD__INIT;
	const Stored__DeviceRecord *d;
	struct rig_reply r;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		Stored__Lookup m = STORED__LOOKUP__INIT;
		char *jids[1] = {rig_str(rows[i].jid)};
		const Stored__Peer *p;

		m.n_jids = 1;
		m.jids = jids;
		assert_non_null(rig_lookup(g, &m, &r));
		p = ((Stored__LookupReply *)r.pb)->peers[0];
		assert_string_equal(p->contact->id, rows[i].id);
		assert_string_equal(p->contact->pn, rows[i].pn);
		assert_string_equal(p->contact->push_name, rows[i].name);
		assert_string_equal(p->contact->lid_source, "usync");
		assert_int_equal(p->contact->lid == NULL, rows[i].lid == NULL);
		assert_int_equal(p->contact->changed_ms, 1790000000000);
		assert_int_equal(p->contact->created_ms, 1790000000000);
		assert_false(p->contact->has_first_out_ms);
		assert_true(p->contact->has_met_ms); /* whom an older ward knew, it had met */
		assert_int_equal(p->contact->met_ms, 1790000000000);
		if (i == 0) {
			assert_int_equal(p->by_pn->n_devices, 2);
			assert_int_equal(p->by_pn->devices[1]->id, 17);
			assert_string_equal(p->by_pn->phash, "2:abcd");
		}
		rig_reply_clear(&r);
	}
	dl.account = rig_str("a");
	rig_ask(g, g->apid, STORED__TYPE__DEVICE_LOAD, &dl.base, STORED__TYPE__DEVICE_RECORD,
	    &stored__device_record__descriptor, &r);
	d = (Stored__DeviceRecord *)r.pb;
	assert_string_equal(d->jid, "4915112345:7@s.whatsapp.net");
	assert_string_equal(d->push_name, "Ward");
	assert_int_equal(d->login_counter, 3);
	rig_reply_clear(&r);
}

static void
outbox_is_there(struct rig *g, int version)
{
	static const struct {
		const char *id, *key;
		int state;
	} rows[] = {{"QUEUED", "k1", 1}, {"READY", "k2", 2}, {"ACKED", "k3", 3}};
	struct rig_reply r;
	size_t i;

	for (i = 0; i < 3; i++) {
		Stored__OutboxFind m = STORED__OUTBOX_FIND__INIT;
		const Stored__OutboxRow *row;

		m.account = rig_str("a");
		m.has_uid = 1;
		m.uid = 1000;
		m.idempotency_key = rig_str(rows[i].key);
		rig_ask(g, g->apid, STORED__TYPE__OUTBOX_FIND, &m.base, STORED__TYPE__OUTBOX_ROWS,
		    &stored__outbox_rows__descriptor, &r);
		assert_true(r.ok);
		assert_int_equal(((Stored__OutboxRows *)r.pb)->n_rows, 1);
		row = ((Stored__OutboxRows *)r.pb)->rows[0];
		assert_string_equal(row->put->message_id, rows[i].id);
		assert_int_equal(row->put->state, rows[i].state);
		assert_string_equal(row->put->chat, "100@s.whatsapp.net");
		assert_memory_equal(row->put->content.data, "content of it", 13);
		assert_int_equal(row->put->has_stanza, rows[i].state != 1);
		assert_true(row->put->was_online);
		assert_int_equal(row->put->created_ms, 1789999999000);
		assert_int_equal(row->put->n_devices, version >= 2 && rows[i].state == 3 ? 2 : 0);
		assert_false(row->has_until_ms);
		assert_int_equal(row->has_ahead, rows[i].state < 3);
		assert_int_equal(row->ahead, rows[i].state == 2);
		assert_false(row->taken);
		assert_int_equal(row->read, rows[i].state == 3);
		rig_reply_clear(&r);
	}
}

static void
log_is_there(struct rig *g)
{
	Stored__ConsumerOpen co = STORED__CONSUMER_OPEN__INIT;
	Stored__Write w = STORED__WRITE__INIT;
	const Stored__Events *e;
	Stored__EventAppend again;
	struct rig_reply r;
	uint64_t seq;

	e = rig_events(g, 0, 10, "a", &r);
	assert_int_equal(e->n_events, 2);
	assert_memory_equal(e->events[0]->body.data, "{\"n\":1}", 7);
	assert_memory_equal(e->events[1]->body.data, "{\"n\":2}", 7);
	seq = e->events[1]->seq;
	rig_reply_clear(&r);
	co.name = rig_str("bot");
	co.uid = 1000;
	co.from = STORED__CONSUMER_OPEN__FROM__RESUME;
	rig_ask(g, g->apid, STORED__TYPE__CONSUMER_OPEN, &co.base, STORED__TYPE__CONSUMER,
	    &stored__consumer__descriptor, &r);
	assert_true(r.ok);
	assert_int_equal(((Stored__Consumer *)r.pb)->acked_seq, 1);
	assert_false(((Stored__Consumer *)r.pb)->created);
	rig_reply_clear(&r);
	/* keys of events, and one that was only noted */
	assert_int_equal(rig_event(g, "a", "{}", "k1"), 0);
	rig_event_init(&again, "{}", "seen");
	w.event = &again;
	rig_write(g, "a", &w, NULL);
	assert_int_equal(rig_events(g, seq, 10, "a", &r)->n_events, 0);
	rig_reply_clear(&r);
	assert_true(rig_event(g, "a", "{\"n\":3}", NULL) > seq);
}

/* What schema 2 brought. */
static void
other_domains_are_there(struct rig *g)
{
	Stored__Lookup m = STORED__LOOKUP__INIT;
	Stored__BaseKeyName name = STORED__BASE_KEY_NAME__INIT;
	Stored__BaseKey base = STORED__BASE_KEY__INIT, *bases[1] = {&base};
	Stored__MessageName waits = STORED__MESSAGE_NAME__INIT, *pendings[1] = {&waits};
	char *groups[1] = {rig_str("1-2@g.us")}, *collections[1] = {rig_str("regular")};
	char *tokens[1] = {rig_str("900@lid")};
	const Stored__LookupReply *l;
	struct rig_reply r;
	uint8_t key[33];

	memset(key, 'x', sizeof(key));
	name.address = rig_str("100_1.0");
	name.message_id = rig_str("ACKED");
	base.name = &name;
	base.key.data = key;
	base.key.len = sizeof(key);
	waits.chat = waits.sender = rig_str("900@lid");
	waits.id = rig_str("P");
	m.groups = groups;
	m.collections = collections;
	m.tokens = tokens;
	m.base_keys = bases;
	m.pending = pendings;
	m.n_groups = m.n_collections = m.n_tokens = m.n_base_keys = m.n_pending = 1;
	assert_non_null(l = rig_lookup(g, &m, &r));
	assert_memory_equal(l->groups[0]->metadata.data, "metadata", 8);
	assert_int_equal(l->groups[0]->n_devices, 1);
	assert_int_equal(l->collections[0]->version, 5);
	assert_true(l->same_base_key[0]);
	assert_memory_equal(l->tokens[0]->token.data, "token", 5);
	assert_memory_equal(l->pending[0]->stanza.data, "stanza", 6);
	rig_reply_clear(&r);
	assert_int_equal(g->accounts_ok, 1);
}

static void
test_every_row(void **state)
{
	size_t i;

	for (i = 0; i < NVERSIONS; i++) {
		int64_t before = clock_wall_ms() / 1000 * 1000;
		struct rig *g;

		fixture(versions[i]);
		assert_int_equal(whole_version(), versions[i]);
		g = rig_open(1);
		records_are_there(g);
		people_are_there(g);
		outbox_is_there(g, versions[i]);
		if (versions[i] >= 2)
			other_domains_are_there(g);
		log_is_there(g);
		rig_free(g);
		assert_int_equal(number("PRAGMA user_version"), NEWEST);
		/* a list whose age is not known is as old as the step */
		if (versions[i] < 2)
			assert_in_range(
			    number("SELECT put_ms FROM device_list"), before, clock_wall_ms());
		rig_free(rig_open(1)); /* and once more, with nothing to do */
		assert_int_equal(number("PRAGMA user_version"), NEWEST);
	}
}

/* What schema 2 brought works on what was there before it. */
static void
test_old_rows_in_new_operations(void **state)
{
	Stored__OutboxUpdate u = STORED__OUTBOX_UPDATE__INIT;
	Stored__Write w = STORED__WRITE__INIT;
	char *devices[1] = {rig_str("1@lid")};
	struct rig *g;
	int i;

	fixture(1);
	g = rig_open(1);
	u.message_id = rig_str("ACKED");
	u.n_devices = 1;
	u.devices = devices;
	w.outbox_update = &u;
	rig_write(g, "a", &w, NULL);
	w.outbox_update = NULL;
	w.sent_take = rig_str("ACKED");
	rig_write(g, "a", &w, NULL);
	rig_write(g, "a", &w, "absent");
	/* Rows, keys and lists go by their age. The fixture's clock stood at a fixed time: come to
	 * it. */
	rig_wall_shift = 1790000000000 - clock_wall_ms();
	wallclock_start(&g->s->clock, rig_mono(), rig_wall(), 0);
	rig_later(g, rig_options.keep_sent_ms + 3700000);
	for (i = 0; i < 8; i++)
		rig_later(g, 1000);
	rig_free(g);
	assert_int_equal(number("SELECT count(*) FROM outbox"), 2);
	assert_int_equal(number("SELECT count(*) FROM outbox WHERE key IS NOT NULL"), 0);
	assert_int_equal(number("SELECT count(*) FROM receipt"), 0);
	assert_int_equal(number("SELECT count(*) FROM outbox_devices"), 0);
}

/* What schema 3 brought, the same. */
static void
test_old_rows_refused_and_counted(void **state)
{
	Stored__OutboxUpdate u = STORED__OUTBOX_UPDATE__INIT;
	Stored__OutboxCount q = STORED__OUTBOX_COUNT__INIT;
	Stored__Contact who = STORED__CONTACT__INIT;
	Stored__Write w = STORED__WRITE__INIT;
	const Stored__OutboxCounts *n;
	struct rig_reply r;
	struct rig *g;

	for (size_t i = 0; i < NVERSIONS; i++) {
		fixture(versions[i]);
		g = rig_open(1);
		u.message_id = rig_str("READY");
		u.has_state = u.has_until_ms = 1;
		u.state = STORED__OUTBOX_STATE__FAILED;
		u.until_ms = 1790000009000;
		stored__write__init(&w);
		w.outbox_update = &u;
		rig_write(g, "a", &w, NULL);
		who.id = rig_str(ID("c"));
		who.has_first_out_ms = 1;
		who.first_out_ms = 1790000000007;
		w.outbox_update = NULL;
		w.contact = &who;
		rig_write(g, "a", &w, NULL);
		q.account = rig_str("a");
		q.since_ms = 1790000000006;
		rig_ask(g, g->apid, STORED__TYPE__OUTBOX_COUNT, &q.base,
		    STORED__TYPE__OUTBOX_COUNTS, &stored__outbox_counts__descriptor, &r);
		assert_true(r.ok);
		n = (const Stored__OutboxCounts *)r.pb;
		assert_int_equal(n->waiting, 1);
		assert_int_equal(n->oldest_ms, 1789999999000);
		assert_int_equal(n->n_first_out_ms, 1);
		assert_int_equal(n->first_out_ms[0], 1790000000007);
		rig_reply_clear(&r);
		rig_free(g);
		assert_int_equal(number("SELECT until_ms FROM outbox WHERE message_id = 'READY'"),
		    1790000009000);
	}
}

static void
test_newer_is_refused(void **state)
{
	struct store_open o = {.kind = STORE_ACCOUNT, .account = "a"};
	char *before, *after;
	size_t len, len2;
	struct store_db *db;
	int64_t budget = 0;
	uint8_t key[32];
	char sql[40];

	fixture(1);
	rig_free(rig_open(1));
	snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", NEWEST + 1);
	{
		char hex[65], text[80];
		sqlite3 *raw;

		rig_key(key, "a", 0);
		sodium_bin2hex(hex, sizeof(hex), key, sizeof(key));
		snprintf(text, sizeof(text), "x'%s'", hex);
		assert_int_equal(
		    sqlite3_open_v2("account-a.db", &raw, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
		assert_int_equal(sqlite3_key_v2(raw, "main", text, 67), SQLITE_OK);
		assert_int_equal(sqlite3_exec(raw, "PRAGMA cipher_hmac_algorithm = HMAC_SHA256",
				     NULL, NULL, NULL),
		    SQLITE_OK);
		assert_int_equal(sqlite3_exec(raw, sql, NULL, NULL, NULL), SQLITE_OK);
		assert_int_equal(sqlite3_close(raw), SQLITE_OK);
	}
	before = slurp(AT_FDCWD, "account-a.db", &len);
	o.key = key;
	o.check_budget_ms = &budget;
	assert_int_equal(store_sqlcipher.open(&o, &db), STORE_NEWER_SCHEMA);
	assert_null(db);
	assert_non_null(strstr(o.text, "use the newer"));
	after = slurp(AT_FDCWD, "account-a.db", &len2);
	assert_int_equal(len2, len);
	assert_memory_equal(after, before, len);
	free(before);
	free(after);
}

/* ---------------------------------------------------------------- interrupted */

struct stop {
	int at, seen; /* which operation on the disk */
	int crash;    /* the process ends there; else the operation fails, once or from then on */
	int stays;
};

static int
before_op(void *arg, enum vfs_op op, const char *name, int64_t offset, const void *data, int len)
{
	struct stop *s = arg;

	(void)op;
	(void)name;
	(void)offset;
	(void)data;
	(void)len;
	s->seen++;
	if (s->seen != s->at && !(s->stays && s->seen > s->at))
		return 0;
	if (s->crash)
		crash_now();
	errno = EIO;
	return SQLITE_IOERR_WRITE;
}

/* Open account a, stopped as told; in a process of its own. 1: it was opened. */
static int
open_stopped(struct stop *s)
{
	int status;
	pid_t pid = fork();

	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		struct vfs_hook hook = {before_op, s};
		struct store_open o = {.kind = STORE_ACCOUNT, .account = "a"};
		struct store_db *db = NULL;
		int64_t budget = 0;
		uint8_t key[32];

		log_open("stored", open("/dev/null", O_WRONLY | O_CLOEXEC));
		if (store_sqlcipher.start() == -1)
			_exit(9);
		rig_key(key, "a", 0);
		o.key = key;
		o.check_budget_ms = &budget;
		vfs_set_hook(&hook);
		if (store_sqlcipher.open(&o, &db) != STORE_OK)
			_exit(1);
		vfs_set_hook(NULL);
		store_sqlcipher.close(db);
		_exit(s->seen < s->at ? 8 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (s->crash && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return 0;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 9);
	return WEXITSTATUS(status) == 8 ? 2 : WEXITSTATUS(status) == 0;
}

/* At each operation in turn: the old version is whole, or at the end the new one; and the next
 * start makes it today's. The account beside it is as it was. */
static void
interrupt(int version, int crash, int stays, const char *what)
{
	size_t len, len2;
	char *before, *after;
	int at, old = 0, new = 0, got;

	for (at = 1;; at++) {
		struct stop s = {.at = at, .crash = crash, .stays = stays};

		fixture(version);
		before = slurp(AT_FDCWD, "account-b.db", &len);
		got = open_stopped(&s);
		if (got == 2) {
			free(before);
			break;
		}
		if (whole_version() == version)
			old++;
		else
			new ++;
		if (got == 1) /* what it told was true */
			assert_int_equal(number("PRAGMA user_version"), NEWEST);
		rig_free(rig_open(1));
		assert_int_equal(whole_version(), NEWEST);
		after = slurp(AT_FDCWD, "account-b.db", &len2);
		assert_int_equal(len2, len);
		assert_memory_equal(after, before, len);
		free(before);
		free(after);
	}
	print_message("%s of %d: %d points, the old version at %d of them, the new one at %d\n",
	    what, version, at - 1, old, new);
	assert_true(old > 3);
	assert_true(at - 1 > 6); /* what is written to the log between two syncs is one */
}

static void
test_interrupted(void **state)
{
	struct rig *g = rig_open(2);

	rig_event(g, "b", "{}", NULL);
	rig_free(g);
	for (size_t i = 0; i < NVERSIONS; i++) {
		interrupt(versions[i], 1, 0, "crash");
		interrupt(versions[i], 0, 0, "I/O error once");
		interrupt(versions[i], 0, 1, "I/O error from then on");
	}
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_every_row),
	    T(test_old_rows_in_new_operations),
	    T(test_old_rows_refused_and_counted),
	    T(test_newer_is_refused),
	    T(test_interrupted),
	};

	if ((top = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return 1;
	log_set_level(LOG_LV_ERR); /* started twice, SQLite would be warned of */
	alarm(120 * test_slow());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
