/* The run: its steps, and the digest by which two states of a database are compared. */
#include "tests/powercut/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "stored/sqlcipher/db.h"
#include "tests/powercut/disk.h"

#define GROUP     8  /* units in a transaction, at most */
#define RESERVE   48 /* seqs */
#define KEPT      50 /* units whose events and messages stay */
#define ABANDONED 16
#define OLD_NAME  "a"
#define OLD_FILE  "tests/unit/data/schema1-account-a.db"

static const struct store_backend *const b = &store_sqlcipher;

struct run_step run_steps[RUN_STEPS];
size_t run_nsteps;

static const uint8_t next_key[STORE_KEY_LEN] = {9};
static struct store_db *dbs[RUN_DBS];
static struct store_db *abandoned[ABANDONED];
static size_t nabandoned;

/* ---------------------------------------------------------------- the plan */

static struct run_step *
add(int kind, enum run_db db, unsigned last)
{
	struct run_step *s = &run_steps[run_nsteps];

	memset(s, 0, sizeof(*s));
	if (run_nsteps > 0)
		s->moment = s[-1].moment;
	s->kind = kind;
	s->db = db;
	s->first = s->last = last;
	run_nsteps++;
	return s;
}

static void
open_both(void)
{
	add(RUN_OPEN, RUN_SERVICE, 0);
	add(RUN_OPEN, RUN_ACCOUNT, 0);
}

/* What comes between the groups, after the n-th. */
static void
between(unsigned n, unsigned unit)
{
	if (n % 5 == 2)
		add(RUN_CONSUMER, RUN_SERVICE, unit);
	if (n % 7 == 3)
		add(RUN_TIDY, RUN_ACCOUNT, 0);
	if (n % 3 == 1)
		add(RUN_TIDY_SOME, RUN_ACCOUNT, 0);
	if (n % 13 == 5)
		add(RUN_TIDY, RUN_SERVICE, 0);
	if (n % 9 == 6 && unit > KEPT)
		add(RUN_TRIM, RUN_ACCOUNT, unit - KEPT)->moment.trimmed = unit - KEPT;
	if (n % 9 == 8 && unit > KEPT)
		add(RUN_EXPIRE, RUN_ACCOUNT, unit - KEPT)->moment.expired = unit - KEPT;
	if (n == 3)
		add(RUN_SNAPSHOT, RUN_ACCOUNT, 0);
	if (n == 5)
		add(RUN_HOLD, RUN_ACCOUNT, 0);
	if (n == 7)
		add(RUN_HOLD_READ, RUN_ACCOUNT, 0);
	if (n == 18)
		add(RUN_REKEY_BEGIN, RUN_ACCOUNT, 0);
	if (n == 19)
		add(RUN_REKEY, RUN_ACCOUNT, 0);
	if (n == 12) {
		add(RUN_CLOSE, RUN_ACCOUNT, 0);
		add(RUN_CLOSE, RUN_SERVICE, 0);
		open_both();
	}
	if (n == 9) {
		add(RUN_OPEN, RUN_OLD, 0);
		add(RUN_CLOSE, RUN_OLD, 0);
	}
	if (n == 22) {
		add(RUN_RESTORED, RUN_ACCOUNT, 0)->moment.restored = unit;
		add(RUN_RESTORED, RUN_SERVICE, 0);
	}
	if (n == 23)
		add(RUN_RESTORED_DONE, RUN_ACCOUNT, 0);
	if (n == 24) {
		add(RUN_KILL, RUN_ACCOUNT, 0);
		open_both();
	}
}

void
run_plan(void)
{
	uint64_t random = 1;
	unsigned unit = 0, reserved = 0, n = 0;
	struct run_step *s;

	run_nsteps = 0;
	open_both();
	while (unit < WRITES_UNITS) {
		unsigned i, size = 0, last;

		for (i = 0; i < 3; i++) { /* more large ones than small ones */
			last = 1 + (unsigned)(disk_random(&random) % GROUP);
			size = last > size ? last : size;
		}
		last = unit + size;
		if (last > WRITES_UNITS)
			last = WRITES_UNITS;
		if (last > reserved)
			add(RUN_LOG, RUN_SERVICE, reserved = last + RESERVE);
		s = add(RUN_GROUP, RUN_ACCOUNT, last);
		s->first = unit + 1;
		s->moment.unit = unit = last;
		between(n++, unit);
	}
	add(RUN_CLOSE, RUN_ACCOUNT, 0);
	add(RUN_CLOSE, RUN_SERVICE, 0);
}

const char *
run_db_text(enum run_db db)
{
	static const char *const words[] = {"service", "account", "old account"};

	return words[db];
}

const char *
run_step_text(size_t at)
{
	static const char *const forms[] = {"open", "close", "kill", "units %u..%u",
	    "seqs reserved up to %u", "consumer at %u", "events trimmed up to %u",
	    "expiry up to %u", "log written back", "part of the log written back", "rekey begun",
	    "rekey ended", "snapshot", "held for a backup", "backup read", "restored",
	    "restore done"};
	static char text[80];
	const struct run_step *s = &run_steps[at];
	size_t n = 0;

	switch (s->kind) {
	case RUN_GROUP:
		snprintf(text, sizeof(text), "units %u..%u", s->first, s->last);
		break;
	case RUN_LOG:
	case RUN_CONSUMER:
	case RUN_TRIM:
	case RUN_EXPIRE:
		n = strlen(forms[s->kind]) - 2;
		snprintf(text, sizeof(text), "%.*s%u", (int)n, forms[s->kind], s->last);
		break;
	default:
		snprintf(text, sizeof(text), "%s: %s", s->db == RUN_SERVICE ? "service" : "account",
		    forms[s->kind]);
	}
	return text;
}

/* ---------------------------------------------------------------- databases */

struct store_db *
run_db(enum run_db db)
{
	return dbs[db];
}

static enum store_status
open_with(enum run_db db, int *rekeyed)
{
	static const char *const names[] = {NULL, "m", OLD_NAME};
	uint8_t key[STORE_KEY_LEN] = {(uint8_t)(db + 1)};
	int64_t budget = 600000; /* it is always checked to the end */
	struct store_open o = {.kind = db == RUN_SERVICE ? STORE_SERVICE : STORE_ACCOUNT,
	    .account = names[db],
	    .key = key,
	    .next_key = db == RUN_ACCOUNT ? next_key : NULL,
	    .check_budget_ms = &budget};
	enum store_status st;

	if (db == RUN_OLD) /* that of the file, see tests/unit/stored_migrate.c */
		crypto_generichash(
		    key, sizeof(key), (const uint8_t *)OLD_NAME, 1, (const uint8_t *)"", 0);
	st = b->open(&o, &dbs[db]);
	*rekeyed = o.rekeyed;
	if (st == STORE_OK && o.unchecked)
		return STORE_IO;
	return st;
}

enum store_status
run_open(enum run_db db)
{
	int rekeyed;

	return open_with(db, &rekeyed);
}

void
run_close(enum run_db db)
{
	b->close(dbs[db]);
	dbs[db] = NULL;
}

void
run_abandon(void)
{
	int i;

	for (i = 0; i < RUN_DBS; i++) {
		if (dbs[i] != NULL && nabandoned < ABANDONED)
			abandoned[nabandoned++] = dbs[i];
		dbs[i] = NULL;
	}
}

/* ---------------------------------------------------------------- steps */

static enum store_status
group(struct store_db *db, const struct run_step *s)
{
	enum store_status st = STORE_OK;
	unsigned u;

	for (u = s->first; st == STORE_OK && u <= s->last; u++) {
		if (u % 9 == 4) { /* one that fails by itself, in between */
			if ((st = b->mark(db)) != STORE_OK)
				return st;
			st = writes_contradict(db, u);
			if (st != STORE_DUPLICATE)
				return st == STORE_OK ? STORE_BAD : st;
			if ((st = b->mark_undo(db)) != STORE_OK)
				return st;
		}
		if ((st = b->mark(db)) == STORE_OK && (st = writes_apply(db, u)) == STORE_OK)
			st = b->mark_keep(db);
	}
	return st;
}

static enum store_status
log_to(struct store_db *db, uint64_t seq)
{
	struct store_log_state log;
	enum store_status st = b->log_load(db, &log);

	log.seq_reserved = seq;
	return st == STORE_OK ? b->log_save(db, &log) : st;
}

static enum store_status
consumer(struct store_db *db, unsigned at)
{
	struct store_consumer c = {
	    .uid = 1000, .name = "reader", .acked_seq = at, .last_ms = writes_time(at)};
	enum store_status st = b->consumer_put(db, &c);

	if (st != STORE_OK)
		return st;
	snprintf(c.name, sizeof(c.name), "new-%u", at);
	if ((st = b->consumer_put(db, &c)) != STORE_OK)
		return st;
	snprintf(c.name, sizeof(c.name), "new-%u", at / 2);
	return b->consumer_delete(db, c.uid, c.name);
}

static enum store_status
trim(struct store_db *db, unsigned upto)
{
	enum store_status st;
	int wrapped = 0;
	size_t n;

	if ((st = b->events_trim(db, upto, 10000, &n)) != STORE_OK)
		return st;
	while (st == STORE_OK && !wrapped)
		st = b->dedup_sweep(db, writes_time(upto) + 1, 10000, &wrapped);
	return st;
}

/* Until it finds nothing, twice: where the last sweep ended, perhaps in a transaction that failed,
 * must make no difference. */
static enum store_status
expire_messages(struct store_db *db, int64_t before)
{
	enum store_status st = STORE_OK;
	size_t n;
	int idle = 0;

	while (st == STORE_OK && idle < 2) {
		st = b->outbox_expire(db, before, before, 10000, &n);
		idle = n == 0 ? idle + 1 : 0;
	}
	return st;
}

static enum store_status
expire(struct store_db *db, unsigned upto)
{
	Stored__TokenExpire t = STORED__TOKEN_EXPIRE__INIT;
	int64_t before = writes_time(upto) + 1;
	enum store_status st;
	uint64_t tokens;
	size_t n;

	t.token_cutoff_s = t.sender_cutoff_s = writes_time(upto) / 1000 + 1;
	if ((st = expire_messages(db, before)) != STORE_OK ||
	    (st = b->record_expire(db, writes_time(upto) / 1000, 10000, &n)) != STORE_OK ||
	    (st = b->device_list_expire(db, before, 10000, &n)) != STORE_OK ||
	    (st = b->base_key_expire(db, before, 10000, &n)) != STORE_OK ||
	    (st = b->pending_expire(db, before, 10000, &n)) != STORE_OK)
		return st;
	return b->token_expire(db, &t, &tokens);
}

static enum store_status
writes_of(struct store_db *db, const struct run_step *s)
{
	switch (s->kind) {
	case RUN_GROUP:
		return group(db, s);
	case RUN_LOG:
		return log_to(db, s->last);
	case RUN_RESTORED:
		return s->db == RUN_SERVICE ? b->log_rename(db, "backup")
					    : b->restored(db, "backup");
	case RUN_RESTORED_DONE:
		return b->restored_done(db);
	case RUN_CONSUMER:
		return consumer(db, s->last);
	case RUN_TRIM:
		return trim(db, s->last);
	default:
		return expire(db, s->last);
	}
}

static enum store_status
transaction(struct store_db *db, const struct run_step *s)
{
	enum store_status st = b->begin(db);

	if (st != STORE_OK)
		return st;
	if ((st = writes_of(db, s)) != STORE_OK) {
		b->rollback(db);
		return st;
	}
	return b->commit(db);
}

/* ---------------------------------------------------------------- long work */

static enum store_status
rekey_begin(struct store_db *db)
{
	struct store_progress p;
	enum store_status st = b->rekey_begin(db, next_key);

	return st == STORE_OK ? b->rekey_step(db, &p) : st;
}

/* To its end, from the beginning if it was broken off. A database that it lost is opened anew. */
static enum store_status
rekey(void)
{
	struct store_progress p = {0};
	enum store_status st = STORE_OK;

	if (dbs[RUN_ACCOUNT] == NULL) {
		if ((st = open_with(RUN_ACCOUNT, &p.ended)) != STORE_OK || p.ended)
			return st;
	}
	st = b->rekey_begin(dbs[RUN_ACCOUNT], next_key);
	if (st == STORE_IN_USE)
		st = STORE_OK;
	while (st == STORE_OK && !p.ended)
		st = b->rekey_step(dbs[RUN_ACCOUNT], &p);
	if (st == STORE_CORRUPT)
		run_close(RUN_ACCOUNT);
	return st;
}

static enum store_status
snapshot(struct store_db *db)
{
	struct store_progress p = {0};
	enum store_status st = b->snapshot_begin(db, "snapshot");

	while (st == STORE_OK && !p.ended)
		st = b->snapshot_step(db, &p);
	return st == STORE_OK ? b->snapshot_end(db, 1) : st;
}

static enum store_status
hold(struct store_db *db)
{
	const char *file;
	uint64_t size;

	return b->backup_begin(db, &file, &size);
}

/* A fault may have ended it: then it says so. */
static enum store_status
hold_read(struct store_db *db)
{
	char buf[4096];
	enum store_status st = b->backup_read(db, 0, buf, sizeof(buf));

	b->backup_end(db);
	return st == STORE_FULL || st == STORE_IO ? STORE_OK : st;
}

enum store_status
run_step(size_t at)
{
	const struct run_step *s = &run_steps[at];

	switch (s->kind) {
	case RUN_OPEN:
		return run_open(s->db);
	case RUN_CLOSE:
		run_close(s->db);
		return STORE_OK;
	case RUN_KILL:
		disk_deaf(1);
		run_close(RUN_ACCOUNT);
		run_close(RUN_SERVICE);
		disk_deaf(0);
		disk_kill();
		return STORE_OK;
	case RUN_TIDY:
		return b->tidy(dbs[s->db], STORE_TIDY_ALL);
	case RUN_TIDY_SOME:
		db_portion = 4;
		return db_write_back_some(dbs[s->db]);
	case RUN_REKEY_BEGIN:
		return rekey_begin(dbs[s->db]);
	case RUN_REKEY:
		return rekey();
	case RUN_SNAPSHOT:
		return snapshot(dbs[s->db]);
	case RUN_HOLD:
		return hold(dbs[s->db]);
	case RUN_HOLD_READ:
		return hold_read(dbs[s->db]);
	default:
		return transaction(dbs[s->db], s);
	}
}

/* ---------------------------------------------------------------- digests */

static void
hash_row(crypto_generichash_state *h, sqlite3_stmt *s)
{
	int i, n = sqlite3_column_count(s);

	for (i = 0; i < n; i++) {
		int head[2] = {sqlite3_column_type(s, i), 0};
		const void *p = sqlite3_column_blob(s, i);

		head[1] = sqlite3_column_bytes(s, i);
		crypto_generichash_update(h, (const uint8_t *)head, sizeof(head));
		if (p != NULL)
			crypto_generichash_update(h, p, (size_t)head[1]);
	}
}

/* All rows of a statement; each text in the first column is a table whose rows come as well. */
static int
hash_rows(crypto_generichash_state *h, sqlite3 *sql, const char *text, int tables)
{
	sqlite3_stmt *s = NULL;
	char inner[128];
	int rc = sqlite3_prepare_v2(sql, text, -1, &s, NULL);

	while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		hash_row(h, s);
		rc = SQLITE_OK;
		if (tables) {
			snprintf(inner, sizeof(inner), "SELECT * FROM \"%s\"",
			    (const char *)sqlite3_column_text(s, 0));
			rc = hash_rows(h, sql, inner, 0);
		}
	}
	sqlite3_finalize(s);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

enum store_status
run_digest(enum run_db db, uint8_t out[RUN_DIGEST])
{
	crypto_generichash_state h;
	int rc;

	crypto_generichash_init(&h, NULL, 0, RUN_DIGEST);
	rc = hash_rows(&h, dbs[db]->sql,
	    "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name", 1);
	crypto_generichash_final(&h, out, RUN_DIGEST);
	return db_status(dbs[db], rc);
}

/* A database that is not there yet counts as one that was just made: to open it makes it. */
static enum store_status
note_digest(size_t at, enum run_db db)
{
	uint8_t *out = run_steps[at].digest[db];
	enum store_status st;
	size_t i;

	if (dbs[db] == NULL) {
		if (at > 0)
			memcpy(out, run_steps[at - 1].digest[db], RUN_DIGEST);
		return STORE_OK;
	}
	st = run_digest(db, out);
	for (i = 0; i < at; i++) {
		if (sodium_is_zero(run_steps[i].digest[db], RUN_DIGEST))
			memcpy(run_steps[i].digest[db], out, RUN_DIGEST);
	}
	return st;
}

/* All units are as the tables say that they should be. */
static enum store_status
look_at_all(size_t at)
{
	const struct moment *m = &run_steps[at].moment;
	unsigned u;

	for (u = 1; dbs[RUN_ACCOUNT] != NULL && u <= 2 * WRITES_UNITS; u++) {
		struct tally y;
		int tells = u <= m->unit && u > m->trimmed; /* it has its event at least */

		writes_look(dbs[RUN_ACCOUNT], u, m, &y);
		if (y.missing + y.wrong == 0 && (!tells || y.right > 0))
			continue;
		fprintf(stderr, "unit %u: %s is not as it should be\n", u,
		    y.what != NULL ? y.what : "nothing");
		return STORE_CORRUPT;
	}
	return STORE_OK;
}

void
run_wipe(void)
{
	static char bytes[1 << 20];
	static size_t len;
	FILE *f;

	if (len == 0) {
		if ((f = fopen(OLD_FILE, "rb")) == NULL) {
			fprintf(
			    stderr, OLD_FILE ": cannot be read (run from the top of the tree)\n");
			exit(1);
		}
		len = fread(bytes, 1, sizeof(bytes), f);
		fclose(f);
	}
	run_abandon();
	disk_wipe();
	disk_put("account-" OLD_NAME ".db", bytes, len);
}

static enum store_status
rehearse(size_t at)
{
	enum store_status st = run_step(at);
	int db;

	for (db = 0; st == STORE_OK && db < RUN_DBS; db++)
		st = note_digest(at, (enum run_db)db);
	return st == STORE_OK ? look_at_all(at) : st;
}

enum store_status
run_rehearse(void)
{
	enum store_status st = STORE_OK;
	size_t at;

	run_wipe();
	for (at = 0; at < run_nsteps; at++) {
		if ((st = rehearse(at)) == STORE_OK)
			continue;
		fprintf(stderr, "%s: %s\n", run_step_text(at), store_status_word(st));
		return st;
	}
	return STORE_OK;
}
