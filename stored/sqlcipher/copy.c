/* An online copy of a database: beside it under its key, or in its place under another one.
 *
 * SQLite's backup does it, between the database's own connection and one to the copy, some pages a
 * step. What that connection commits meanwhile SQLite writes into the copy as well, as far as the
 * copy has come, so that it never has to begin anew. The copy lies under a name of its own, which
 * nothing opens and which is deleted at the next start, until it is whole and on the disk.
 *
 * It takes the place of the original like this: the last pages; the copy is synced; the original
 * is closed, which writes its log back and deletes it; the folder is synced, so that no power cut
 * brings the old log back beside the new file; rename, and the folder again. All in one step:
 * nothing is committed between the first and the last. Wherever that ends, what opens next is the
 * original under the old key or the copy under the new one, both with all that was committed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "stored/sqlcipher/care.h"
#include "stored/sqlcipher/db.h"
#include "stored/sqlcipher/vfs.h"

#define STEP_PAGES 32  /* 128 KiB: about a millisecond */
#define SYNC_PAGES 256 /* 1 MiB: a sync that does not stall what waits */
#define LAST_PAGES 64  /* of the log, before the original is closed */
#define TRIES      3   /* of what must not fail */

#define PAGE 4096u

struct copy {
	sqlite3 *sql;
	sqlite3_backup *backup;
	char file[80];  /* where it is made */
	char name[192]; /* a snapshot's, when it is done; "" = it takes the original's place */
	uint8_t key[STORE_KEY_LEN];
	int unsynced; /* pages, about */
	int ended;    /* a snapshot is whole, on the disk and closed */
};

/* Every statement's turn comes before the schema is read: sorting needs no files either. */
static const char *const copy_pragmas[] = {
    "PRAGMA locking_mode = EXCLUSIVE",
    /* A copy that is cut short is thrown away: nothing to take back. */
    "PRAGMA journal_mode = OFF",
    "PRAGMA synchronous = FULL",
    /* Pages leave for the file soon: little is left for the end, and for the memory. */
    "PRAGMA cache_size = 64",
    "PRAGMA temp_store = MEMORY",
};

static void
copy_name(const struct store_db *db, char out[80])
{
	snprintf(out, 80, "%s-copy", db->file);
}

static int
delete_file(const char *name)
{
	sqlite3_vfs *v = sqlite3_vfs_find(VFS_NAME);
	int rc = v->xDelete(v, name, 1);

	return rc == SQLITE_IOERR_DELETE_NOENT ? SQLITE_OK : rc;
}

void
copy_clear(const struct store_db *db)
{
	sqlite3_vfs *v = sqlite3_vfs_find(VFS_NAME);
	char name[80];
	int there = 0;

	copy_name(db, name);
	/* not "exists", for which an empty file is none */
	if (v->xAccess(v, name, SQLITE_ACCESS_READWRITE, &there) != SQLITE_OK || !there)
		return;
	if (delete_file(name) != SQLITE_OK)
		log_warn("%s: an unfinished copy cannot be deleted", name);
	else
		log_notice("%s: deleted: an unfinished copy", name);
}

/* The connection to the copy goes; the file stays. */
static int
close_copy(struct copy *c)
{
	int rc = SQLITE_OK, closed;

	if (c->backup != NULL)
		rc = sqlite3_backup_finish(c->backup);
	c->backup = NULL;
	closed = sqlite3_close(c->sql);
	c->sql = NULL;
	return rc != SQLITE_OK ? rc : closed;
}

static void
free_copy(struct store_db *db)
{
	sodium_memzero(db->copy, sizeof(*db->copy));
	free(db->copy);
	db->copy = NULL;
}

void
copy_stop(struct store_db *db)
{
	static struct log_limit limit = LOG_LIMIT_INIT;
	int rc;

	if (db->copy == NULL)
		return;
	(void)close_copy(db->copy); /* it is thrown away, whatever became of it */
	if ((rc = delete_file(db->copy->file)) != SQLITE_OK && log_allowed(&limit))
		log_warnx(
		    "%s: cannot be deleted (%d); the next start tries again", db->copy->file, rc);
	free_copy(db);
}

static enum store_status
failed(struct store_db *db, sqlite3 *sql, int rc, const char *what)
{
	static struct log_limit limit = LOG_LIMIT_INIT;
	enum store_status st = (rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CANTOPEN
				   ? db_errno_status(errno)
				   : db_status(db, rc);

	if (log_allowed(&limit))
		log_warnx("%s: copy: %s: %s (%s)", db->file, what,
		    sql != NULL ? sqlite3_errmsg(sql) : sqlite3_errstr(rc), store_status_word(st));
	return st;
}

/* ---------------------------------------------------------------- beginning */

static int
open_copy(struct copy *c)
{
	const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
			  SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE;
	int rc = sqlite3_open_v2(c->file, &c->sql, flags, VFS_NAME);
	size_t i;

	if (rc == SQLITE_OK)
		rc = db_set_key(c->sql, c->key);
	for (i = 0; rc == SQLITE_OK && i < sizeof(copy_pragmas) / sizeof(copy_pragmas[0]); i++)
		rc = sqlite3_exec(c->sql, copy_pragmas[i], NULL, NULL, NULL);
	return rc;
}

static enum store_status
begin(struct store_db *db, const uint8_t *key, const char *name)
{
	struct copy *c;
	enum store_status st;
	int rc;

	if (db->copy != NULL)
		return STORE_IN_USE;
	if ((c = calloc(1, sizeof(*c))) == NULL)
		return STORE_NO_MEMORY;
	db->copy = c;
	copy_name(db, c->file);
	if (name != NULL)
		snprintf(c->name, sizeof(c->name), "%s-%s", name, db->file);
	memcpy(c->key, key, sizeof(c->key));
	if ((rc = delete_file(c->file)) == SQLITE_OK && (rc = open_copy(c)) == SQLITE_OK) {
		c->backup = sqlite3_backup_init(c->sql, "main", db->sql, "main");
		if (c->backup == NULL)
			rc = sqlite3_extended_errcode(c->sql);
	}
	if (rc == SQLITE_OK)
		return STORE_OK;
	st = failed(db, c->sql, rc, "begin");
	copy_stop(db);
	return st;
}

enum store_status
copy_rekey_begin(struct store_db *db, const uint8_t *next_key)
{
	return begin(db, next_key, NULL);
}

enum store_status
copy_snapshot_begin(struct store_db *db, const char *name)
{
	if (strlen(name) + strlen(db->file) + 2 > sizeof(((struct copy *)NULL)->name))
		return STORE_BAD;
	return begin(db, db->key, name);
}

/* ---------------------------------------------------------------- the end */

/* The log is written back and gone; db is closed. */
static enum store_status
close_original(struct store_db *db, struct copy *c)
{
	sqlite3_vfs *v = sqlite3_vfs_find(VFS_NAME);
	char wal[sizeof(db->file) + 4];
	int there = 1;

	db->copy = NULL; /* it is no longer of this connection */
	db_detach(db, 0);
	db->copy = c;
	snprintf(wal, sizeof(wal), "%s-wal", db->file);
	if (v->xAccess(v, wal, SQLITE_ACCESS_EXISTS, &there) != SQLITE_OK || there) {
		log_warnx("%s: its log could not be written back", db->file);
		return STORE_IO;
	}
	if (vfs_sync_folder() != SQLITE_OK)
		return failed(db, NULL, SQLITE_IOERR, "sync of the folder");
	return STORE_OK;
}

/* One of the two files has the name now. *moved: it is the copy. */
static enum store_status
move_copy(struct store_db *db, const struct copy *c, const char *to, int *moved)
{
	int rc;

	*moved = 0;
	if (vfs_move(c->file, to) != SQLITE_OK)
		return failed(db, NULL, SQLITE_IOERR, "rename");
	*moved = 1;
	rc = vfs_sync_folder(); /* once: after one that failed the next says nothing */
	return rc == SQLITE_OK ? STORE_OK : failed(db, NULL, rc, "sync of the folder");
}

static enum store_status
attach_again(struct store_db *db, struct store_open *o, const uint8_t *key)
{
	enum store_status st = STORE_OK;
	int i;

	for (i = 0; i < TRIES; i++) {
		o->text[0] = '\0';
		if ((st = db_attach(db, o, key)) == STORE_OK)
			break;
	}
	return st;
}

/* The copy is closed and on the disk. If this fails and the original can go on, db is as it was
 * and the copy is gone; else db is closed: STORE_CORRUPT. */
static enum store_status
take_place(struct store_db *db)
{
	struct copy *c = db->copy;
	int64_t no_check = 0;
	struct store_open o = {.kind = db->kind,
	    .account = db->kind == STORE_SERVICE ? NULL : db->account,
	    .check_budget_ms = &no_check};
	uint8_t old[STORE_KEY_LEN];
	enum store_status st, again;
	int moved = 0;

	/* What can fail does so while the original is open and can say why. */
	if ((st = db_write_back(db)) != STORE_OK) {
		copy_stop(db);
		return st;
	}
	memcpy(old, db->key, sizeof(old));
	if ((st = close_original(db, c)) == STORE_OK)
		st = move_copy(db, c, db->file, &moved);
	db->copy = NULL;             /* nobody's, for db_attach */
	if (moved && st != STORE_OK) /* a power cut might bring the old one back: no more commits */
		again = STORE_IO;
	else
		again = attach_again(db, &o, moved ? c->key : old);
	db->copy = c;
	sodium_memzero(old, sizeof(old));
	if (moved)
		free_copy(db);
	else
		copy_stop(db);
	if (again == STORE_OK)
		return st;
	log_errx("%s: closed while its key was changed, and cannot be opened again: %s", db->file,
	    o.text[0] != '\0' ? o.text : store_status_word(again));
	return STORE_CORRUPT;
}

/* All pages are there: make the copy durable, and what it was made for. */
static enum store_status
finish(struct store_db *db, struct store_progress *p)
{
	struct copy *c = db->copy;
	enum store_status st = STORE_OK;
	int rc = close_copy(c); /* the backup's last step committed and synced it */

	if (rc != SQLITE_OK) {
		st = failed(db, NULL, rc, "end");
		copy_stop(db);
	} else if (c->name[0] != '\0') {
		c->ended = 1;
	} else {
		st = take_place(db);
	}
	p->ended = st == STORE_OK;
	return st;
}

enum store_status
copy_snapshot_end(struct store_db *db, int keep)
{
	struct copy *c = db->copy;
	enum store_status st = STORE_OK;
	int moved = 0;

	if (c == NULL)
		return STORE_ABSENT;
	if (keep && !c->ended)
		st = STORE_BAD;
	else if (keep)
		st = move_copy(db, c, c->name, &moved);
	if (moved)
		free_copy(db);
	else
		copy_stop(db);
	return st;
}

/* ---------------------------------------------------------------- a step */

static int
sync_copy(struct copy *c)
{
	sqlite3_file *f = NULL;
	int rc = sqlite3_file_control(c->sql, "main", SQLITE_FCNTL_FILE_POINTER, &f);

	c->unsynced = 0;
	if (rc == SQLITE_OK && f != NULL && f->pMethods != NULL)
		rc = f->pMethods->xSync(f, SQLITE_SYNC_NORMAL);
	return rc;
}

enum store_status
copy_step(struct store_db *db, struct store_progress *p)
{
	struct copy *c = db->copy;
	enum store_status st;
	int rc, left;

	memset(p, 0, sizeof(*p));
	if (c == NULL)
		return STORE_ABSENT;
	if (c->ended) {
		p->ended = 1;
		return STORE_OK;
	}
	left = sqlite3_backup_remaining(c->backup);
	p->total = (uint64_t)sqlite3_backup_pagecount(c->backup) * PAGE;
	p->done = p->total - (uint64_t)left * PAGE;
	if (db->in_transaction || db->walk != NULL)
		return STORE_OK; /* not now */
	if (c->unsynced >= SYNC_PAGES) {
		if ((rc = sync_copy(c)) == SQLITE_OK)
			return STORE_OK; /* long enough for one step */
		st = failed(db, c->sql, rc, "sync");
		copy_stop(db);
		return st;
	}
	/* A backup reads the file whose place this will take: after it. */
	if (c->name[0] == '\0' && p->total > 0 && left <= STEP_PAGES && hold_stands(db))
		return STORE_OK;
	/* What the end has to do must be little: it holds everything up. */
	if (p->total > 0 && left <= STEP_PAGES && db->wal_pages > LAST_PAGES) {
		if ((st = db_write_back_some(db)) != STORE_OK)
			copy_stop(db);
		return st;
	}
	if ((st = db_heal(db)) != STORE_OK) {
		copy_stop(db);
		return st;
	}
	rc = sqlite3_backup_step(c->backup, STEP_PAGES);
	c->unsynced += STEP_PAGES;
	if (rc == SQLITE_DONE)
		return finish(db, p);
	if (rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
		return STORE_OK;
	st = failed(db, c->sql, rc, "copy");
	copy_stop(db);
	return st;
}
