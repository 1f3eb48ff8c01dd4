/* One SQLCipher database: opening, closing, transactions. */
#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/clock.h"
#include "common/log.h"
#include "stored/sqlcipher/care.h"
#include "stored/sqlcipher/db.h"
#include "stored/sqlcipher/portion.h"
#include "stored/sqlcipher/vfs.h"

#define WAL_IDLE_PAGES  1024  /* 4 MiB: checkpoint when nothing is waiting */
#define WAL_FORCE_PAGES 2048  /* 8 MiB: checkpoint even under load */
#define WAL_REST_MS     10000 /* a log that has rested so long is written back as well */

/* The form of a page: run after the key and before the first page is read, for a copy as well. */
static const char *const page_pragmas[] = {
    /* The page MAC with SHA-256 instead of SHA-512: saves a quarter of the time of a write, and 256
     * bits are what the key has. Must be set before the first page is read. */
    "PRAGMA cipher_hmac_algorithm = HMAC_SHA256",
    /* Larger pages cost more for each small commit (+48 % at 8192), smaller ones make trees deep.
     */
    "PRAGMA cipher_page_size = 4096",
    /* Locking memory of every allocation costs a third and needs a large RLIMIT_MEMLOCK; the
     * process cannot be dumped or traced, and private keys come sealed. */
    "PRAGMA cipher_memory_security = OFF",
};

int db_portion = 256;

/* Run for each database, in this order, after those. */
static const char *const pragmas[] = {
    /* We are the only user. No -shm file, no lock calls for each transaction, and a second service
     * on the same folder is noticed. */
    "PRAGMA locking_mode = EXCLUSIVE",
    /* One sequential write and one sync a commit; readers of the old state need not wait. */
    "PRAGMA journal_mode = WAL",
    /* Durable before visible: in WAL mode only FULL syncs the log at each commit. */
    "PRAGMA synchronous = FULL",
    /* A checkpoint inside of a commit would make one unit wait for all: db_tidy does them. */
    "PRAGMA wal_autocheckpoint = 0",
    /* A log that grew in a burst is cut back when it starts anew. */
    "PRAGMA journal_size_limit = 16777216",
    /* Sorting must not open files: there would be plaintext in them, and the sandbox forbids it. */
    "PRAGMA temp_store = MEMORY",
    /* What is deleted is overwritten in its page, so that the key opens no deleted message. */
    "PRAGMA secure_delete = ON",
    /* The schema uses no foreign keys: a check for each write that nothing needs. */
    "PRAGMA foreign_keys = OFF",
    /* A schema is data from a file: it may call no function that we did not vouch for. */
    "PRAGMA trusted_schema = OFF",
};

/* ---------------------------------------------------------------- process */

int
db_start(void)
{
	sqlite3 *warm = NULL;
	int rc;

	/* The journal of a savepoint stays in memory whatever its size: a file would need a
	 * temporary folder. Must come before SQLite initialises. */
	if (sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, -1) != SQLITE_OK)
		log_warnx("sqlcipher: was initialised before its configuration");
	if (sqlite3_initialize() != SQLITE_OK || vfs_register() == -1) {
		log_errx("sqlcipher: cannot initialise");
		return -1;
	}
	/* OpenSSL reads its configuration, SQLite its random seed, at the first keyed use. */
	rc = sqlite3_open_v2(":memory:", &warm, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_key_v2(warm, "main", "warm", 4);
	if (rc == SQLITE_OK) /* or it writes local times to standard error */
		rc = sqlite3_exec(warm, "PRAGMA cipher_log_level = NONE", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(
		    warm, "CREATE TABLE t(a); INSERT INTO t VALUES(random())", NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		log_errx("sqlcipher: warm-up: %s", sqlite3_errmsg(warm));
	sqlite3_close(warm);
	return rc == SQLITE_OK ? 0 : -1;
}

void
db_counters(struct store_counters *out)
{
	out->fsyncs = vfs_syncs();
}

/* ---------------------------------------------------------------- opening */

static int
on_commit(void *arg, sqlite3 *sql, const char *name, int pages)
{
	struct store_db *db = arg;

	(void)sql;
	(void)name;
	db->wal_pages = pages;
	return SQLITE_OK;
}

static enum store_status
run_pragmas(struct store_db *db)
{
	size_t i;
	int rc;

	for (i = 0; i < sizeof(pragmas) / sizeof(pragmas[0]); i++) {
		rc = sqlite3_exec(db->sql, pragmas[i], NULL, NULL, NULL);
		if (rc == SQLITE_NOTADB)
			return STORE_WRONG_KEY;
		if (rc != SQLITE_OK)
			return db_status(db, rc);
	}
	return STORE_OK;
}

int
db_set_key(sqlite3 *sql, const uint8_t *key)
{
	char text[2 * STORE_KEY_LEN + 4], hex[2 * STORE_KEY_LEN + 1];
	size_t i;
	int rc;

	sodium_bin2hex(hex, sizeof(hex), key, STORE_KEY_LEN);
	snprintf(text, sizeof(text), "x'%s'", hex); /* a raw key: no derivation */
	rc = sqlite3_key_v2(sql, "main", text, (int)strlen(text));
	sodium_memzero(hex, sizeof(hex));
	sodium_memzero(text, sizeof(text));
	for (i = 0; rc == SQLITE_OK && i < sizeof(page_pragmas) / sizeof(page_pragmas[0]); i++)
		rc = sqlite3_exec(sql, page_pragmas[i], NULL, NULL, NULL);
	return rc;
}

/* What can be told from the files before a key is tried and the log is read. */
static enum store_status
look_at_files(struct store_db *db, struct store_open *o)
{
	static const char plain[16] = "SQLite format 3";
	sqlite3_vfs *v = sqlite3_vfs_find(VFS_NAME);
	char head[16], wal[sizeof(db->file) + 4];
	sqlite3_file *f = NULL;
	int rc, there = 0;

	snprintf(wal, sizeof(wal), "%s-wal", db->file);
	if (v == NULL || v->xAccess(v, wal, SQLITE_ACCESS_EXISTS, &there) != SQLITE_OK)
		return db_errno_status(errno);
	o->recovered = there; /* an empty one counts as absent */
	rc = sqlite3_file_control(db->sql, "main", SQLITE_FCNTL_FILE_POINTER, &f);
	if (rc != SQLITE_OK || f == NULL || f->pMethods == NULL)
		return STORE_IO;
	rc = f->pMethods->xRead(f, head, sizeof(head), 0);
	if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ) /* a new one is short */
		return db_errno_status(errno);
	if (rc == SQLITE_OK && memcmp(head, plain, sizeof(head)) == 0) {
		snprintf(o->text, sizeof(o->text), "%s is an unencrypted database, not ward's",
		    db->file);
		return STORE_FOREIGN;
	}
	return STORE_OK;
}

struct deadline {
	int64_t at;
};

static int
out_of_time(void *arg)
{
	return clock_mono_ms() >= ((struct deadline *)arg)->at;
}

/* After an unclean stop: read the whole file as far as the time goes. */
static enum store_status
check(struct store_db *db, struct store_open *o)
{
	int64_t began = clock_mono_ms();
	struct deadline d = {began + *o->check_budget_ms};
	sqlite3_stmt *s = NULL;
	enum store_status st = STORE_OK;
	const char *said;
	int rc;

	if (*o->check_budget_ms <= 0) {
		o->unchecked = 1;
		return STORE_OK;
	}
	sqlite3_progress_handler(db->sql, 1000, out_of_time, &d);
	rc = sqlite3_prepare_v2(db->sql, "PRAGMA quick_check(1)", -1, &s, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	said = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL;
	if (rc == SQLITE_INTERRUPT) {
		o->unchecked = 1;
	} else if (said == NULL || strcmp(said, "ok") != 0) {
		st = rc == SQLITE_ROW ? STORE_CORRUPT : db_status(db, rc);
		snprintf(o->text, sizeof(o->text), "%s: damaged: %.90s", db->file,
		    said != NULL ? said : sqlite3_errmsg(db->sql));
	}
	sqlite3_finalize(s);
	sqlite3_progress_handler(db->sql, 0, NULL, NULL);
	*o->check_budget_ms -= clock_mono_ms() - began;
	return st;
}

/* What was recovered need not be on the disk: when a sync fails, the kernel shows what was written
 * and takes it for clean, and no later sync tells that it is missing. All that is committed behind
 * it would be lost with it. So the log is written anew as it is. The database is ours by now. */
static enum store_status
renew_log(struct store_db *db)
{
	static uint8_t buf[64 * 1024];
	sqlite3_file *f = NULL;
	sqlite3_int64 size = 0, at;
	int rc = sqlite3_file_control(db->sql, "main", SQLITE_FCNTL_JOURNAL_POINTER, &f), n;

	if (rc != SQLITE_OK || f == NULL || f->pMethods == NULL)
		return STORE_IO;
	rc = f->pMethods->xFileSize(f, &size);
	for (at = 0; rc == SQLITE_OK && at < size; at += n) {
		n = size - at < (sqlite3_int64)sizeof(buf) ? (int)(size - at) : (int)sizeof(buf);
		if ((rc = f->pMethods->xRead(f, buf, n, at)) == SQLITE_OK)
			rc = f->pMethods->xWrite(f, buf, n, at);
	}
	if (rc == SQLITE_OK)
		rc = f->pMethods->xSync(f, SQLITE_SYNC_NORMAL);
	if (rc == SQLITE_OK)
		return STORE_OK;
	return (rc & 0xff) == SQLITE_FULL ? STORE_FULL : db_errno_status(errno);
}

static enum store_status
open_file(struct store_db *db)
{
	const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
			  SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE;
	int rc = sqlite3_open_v2(db->file, &db->sql, flags, VFS_NAME);

	if (db->sql == NULL)
		return STORE_NO_MEMORY;
	if (rc != SQLITE_OK)
		return db_status(db, rc);
	sqlite3_limit(db->sql, SQLITE_LIMIT_LENGTH, 16 * 1024 * 1024);
	sqlite3_limit(db->sql, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_db_config(db->sql, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db->sql, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	sqlite3_db_config(db->sql, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	return STORE_OK;
}

static enum store_status
open_steps(struct store_db *db, struct store_open *o, const uint8_t *key)
{
	enum store_status st;
	int rc;

	if ((st = open_file(db)) != STORE_OK)
		return st;
	if (sqlite3_db_readonly(db->sql, "main") == 1) /* SQLite falls back to that silently */
		return STORE_READ_ONLY;
	if ((st = look_at_files(db, o)) != STORE_OK)
		return st;
	if ((rc = db_set_key(db->sql, key)) != SQLITE_OK)
		return db_status(db, rc);
	if ((st = run_pragmas(db)) != STORE_OK)
		return st;
	/* After the pragmas: wal_autocheckpoint takes any other hook away. */
	sqlite3_wal_hook(db->sql, on_commit, db);
	if ((st = migrate(db, o->account, o->text, sizeof(o->text))) != STORE_OK ||
	    (st = restored_flag(db, &o->restored)) != STORE_OK)
		return st;
	if (o->recovered && (st = renew_log(db)) != STORE_OK)
		return st;
	return o->recovered ? check(db, o) : STORE_OK;
}

enum store_status
db_attach(struct store_db *db, struct store_open *o, const uint8_t *key)
{
	enum store_status st = open_steps(db, o, key);

	if (st == STORE_OK) {
		memcpy(db->key, key, STORE_KEY_LEN);
		return st;
	}
	if (o->text[0] == '\0' && st != STORE_WRONG_KEY && db->sql != NULL)
		snprintf(o->text, sizeof(o->text), "%s: %.90s", db->file, sqlite3_errmsg(db->sql));
	/* a log that was written with another key is not for this one to write back */
	db_detach(db, st == STORE_WRONG_KEY);
	return st;
}

void
db_detach(struct store_db *db, int keep_log)
{
	size_t i;

	hold_break(db, STORE_IO);
	copy_stop(db);
	for (i = 0; i < DB_STATEMENTS; i++) {
		sqlite3_finalize(db->kept[i]);
		db->kept[i] = NULL;
	}
	db->walk = NULL; /* one of them */
	if (db->sql != NULL && keep_log)
		sqlite3_db_config(db->sql, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	/* Writes the log back and deletes it: the mark of a clean stop. */
	if (db->sql != NULL && sqlite3_close(db->sql) != SQLITE_OK)
		log_warnx("%s: close: %s", db->file, sqlite3_errmsg(db->sql));
	db->sql = NULL;
	db->wal_pages = db->wal_some = 0;
}

static const char *
why_not(enum store_status st)
{
	switch (st) {
	case STORE_WRONG_KEY:
		return "the key does not open it, or its first page is damaged";
	case STORE_READ_ONLY:
		return "no right to write the file or its folder";
	case STORE_IN_USE:
		return "another process has it open";
	case STORE_FULL:
		return "no space left";
	default:
		return NULL;
	}
}

enum store_status
db_open(struct store_open *o, struct store_db **out)
{
	struct store_db *db = calloc(1, sizeof(*db));
	enum store_status st;
	const char *why;

	*out = NULL;
	o->recovered = o->unchecked = o->rekeyed = 0;
	o->text[0] = '\0';
	if (db == NULL)
		return STORE_NO_MEMORY;
	db->kind = o->kind;
	if (o->kind == STORE_SERVICE)
		snprintf(db->file, sizeof(db->file), "service.db");
	else
		snprintf(db->file, sizeof(db->file), "account-%s.db", o->account);
	snprintf(db->account, sizeof(db->account), "%s", o->account != NULL ? o->account : "");
	copy_clear(db);
	st = db_attach(db, o, o->key);
	if (st == STORE_WRONG_KEY && o->next_key != NULL) {
		st = db_attach(db, o, o->next_key);
		o->rekeyed = st == STORE_OK;
	}
	if (st == STORE_OK) {
		*out = db;
		return STORE_OK;
	}
	if ((why = why_not(st)) != NULL || o->text[0] == '\0')
		snprintf(o->text, sizeof(o->text), "%s: %s", db->file,
		    why != NULL ? why : "cannot be opened");
	db_close(db);
	return st;
}

void
db_close(struct store_db *db)
{
	if (db == NULL)
		return;
	db_detach(db, 0);
	hold_end(db);
	check_stop(db);
	tables_stop(db);
	free(db->dedup_at);
	sodium_memzero(db->key, sizeof(db->key));
	free(db);
}

uint64_t
db_bytes(struct store_db *db)
{
	char wal[sizeof(db->file) + 4];
	struct stat sb;
	uint64_t n = 0;

	snprintf(wal, sizeof(wal), "%s-wal", db->file);
	if (stat(db->file, &sb) == 0)
		n += (uint64_t)sb.st_size;
	if (stat(wal, &sb) == 0)
		n += (uint64_t)sb.st_size;
	return n;
}

/* ---------------------------------------------------------------- transactions */

/* A commit whose sync failed may stand complete in the log, and recovery after a crash would then
 * apply what we said had not happened. Emptying the log takes it away; until that works the
 * database takes no writes. */
enum store_status
db_heal(struct store_db *db)
{
	int rc;

	if (!db->suspect)
		return STORE_OK;
	hold_break(db, STORE_IO);
	rc = sqlite3_wal_checkpoint_v2(db->sql, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	if (rc != SQLITE_OK)
		return db_failed(db, rc, "clear the log after a failed commit");
	db->suspect = 0;
	db->wal_pages = db->wal_some = 0;
	return STORE_OK;
}

enum store_status
db_begin(struct store_db *db)
{
	static struct sql q = SQL("BEGIN IMMEDIATE");
	enum store_status st;

	if ((st = db_heal(db)) != STORE_OK)
		return st;
	st = db_exec(db, &q);
	db->in_transaction = st == STORE_OK;
	return st;
}

enum store_status
db_commit(struct store_db *db)
{
	static struct sql q = SQL("COMMIT");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	int rc;

	if (s == NULL)
		return st;
	rc = sqlite3_step(s);
	st = rc == SQLITE_DONE ? STORE_OK : db_failed(db, rc, "commit");
	db_done(s);
	if (st == STORE_OK) {
		db->in_transaction = 0;
		return STORE_OK;
	}
	db_rollback(db);
	if ((rc & 0xff) == SQLITE_FULL) { /* a write that found no space left no commit mark */
		hold_break(db, STORE_FULL);
		return st;
	}
	db->suspect = 1;
	if (db_heal(db) != STORE_OK) /* again at the next begin */
		return STORE_UNKNOWN;
	return st;
}

void
db_rollback(struct store_db *db)
{
	static struct sql q = SQL("ROLLBACK");

	if (!sqlite3_get_autocommit(db->sql)) /* some errors roll back by themselves */
		(void)db_exec(db, &q);
	db->in_transaction = 0;
}

enum store_status
db_mark(struct store_db *db)
{
	static struct sql q = SQL("SAVEPOINT unit");

	return db_exec(db, &q);
}

enum store_status
db_mark_keep(struct store_db *db)
{
	static struct sql q = SQL("RELEASE unit");

	return db_exec(db, &q);
}

enum store_status
db_mark_undo(struct store_db *db)
{
	static struct sql q = SQL("ROLLBACK TO unit");
	enum store_status st = db_exec(db, &q);

	return st == STORE_OK ? db_mark_keep(db) : st;
}

enum store_status
db_write_back(struct store_db *db)
{
	int in_log = 0, done = 0, rc;

	if (hold_stands(db))
		return STORE_OK;
	rc = sqlite3_wal_checkpoint_v2(db->sql, "main", SQLITE_CHECKPOINT_PASSIVE, &in_log, &done);
	if (rc != SQLITE_OK)
		return db_failed(db, rc, "checkpoint");
	if (in_log == done)
		db->wal_pages = db->wal_some = 0; /* the next commit starts the log anew */
	return STORE_OK;
}

/* The written part of a checkpoint goes to the disk, so that the last part has no more to wait for
 * than the others. */
static enum store_status
sync_file(struct store_db *db)
{
	static struct log_limit limit = LOG_LIMIT_INIT;
	sqlite3_file *f = NULL;
	enum store_status st;
	int rc = sqlite3_file_control(db->sql, "main", SQLITE_FCNTL_FILE_POINTER, &f);

	if (rc != SQLITE_OK || f == NULL || f->pMethods == NULL)
		return STORE_IO;
	if (f->pMethods->xSync(f, SQLITE_SYNC_NORMAL) == SQLITE_OK)
		return STORE_OK;
	st = db_errno_status(errno); /* SQLite did not see it */
	if (log_allowed(&limit))
		log_warnx("%s: checkpoint: sync: %s", db->file, store_status_word(st));
	return st;
}

/* A part of what db_write_back does, at least as much as came since the last one, so that it comes
 * to an end.
 *
 * Measured on a virtual disk with 1.4 ms a commit of one record, records of 2.3 KB all over a file
 * of 55 MB: 256 pages take 5 ms, the 16 MiB of 4096 took 55 ms in one go. */
enum store_status
db_write_back_some(struct store_db *db)
{
	int came =
	    db->wal_some > 0 && db->wal_pages > db->wal_some ? db->wal_pages - db->wal_some : 0;
	int in_log = 0, done = 0, rc;
	enum store_status st;

	if (hold_stands(db))
		return STORE_OK;
	portion_begin((size_t)db_portion + (size_t)came);
	rc = sqlite3_wal_checkpoint_v2(db->sql, "main", SQLITE_CHECKPOINT_PASSIVE, &in_log, &done);
	if (rc == SQLITE_INTERRUPT)
		st = sync_file(db);
	else
		st = rc == SQLITE_OK ? STORE_OK : db_failed(db, rc, "checkpoint");
	portion_end(st == STORE_OK);
	if (st != STORE_OK)
		return st;
	if (rc == SQLITE_OK && in_log == done)
		db->wal_pages = 0; /* the next commit starts the log anew */
	db->wal_some = db->wal_pages;
	return STORE_OK;
}

enum store_status
db_tidy(struct store_db *db, int idle)
{
	int64_t now = clock_mono_ms();

	if (db->wal_pages != db->wal_seen) {
		db->wal_seen = db->wal_pages;
		db->wal_changed_ms = now;
	}
	if (db->wal_pages == 0 || hold_stands(db))
		return STORE_OK;
	if (db->wal_pages < WAL_FORCE_PAGES && db->wal_some == 0 && idle != STORE_TIDY_ALL &&
	    (!idle || (db->wal_pages < WAL_IDLE_PAGES && now - db->wal_changed_ms < WAL_REST_MS)))
		return STORE_OK;
	return db_write_back_some(db);
}
