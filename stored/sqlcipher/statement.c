/* Statements that are kept, their parameters and results. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "common/pb.h"
#include "stored/sqlcipher/db.h"

/* ---------------------------------------------------------------- results */

enum store_status
db_errno_status(int e)
{
	switch (e) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return STORE_FULL;
	case EROFS:
	case EACCES:
	case EPERM:
		return STORE_READ_ONLY;
	default:
		return STORE_IO;
	}
}

enum store_status
db_status(struct store_db *db, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return STORE_OK;
	case SQLITE_FULL:
		return STORE_FULL;
	case SQLITE_READONLY:
		return STORE_READ_ONLY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return STORE_CORRUPT;
	case SQLITE_NOMEM:
		return STORE_NO_MEMORY;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return STORE_IN_USE;
	case SQLITE_CONSTRAINT:
	case SQLITE_TOOBIG:
		return STORE_BAD;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		return db_errno_status(sqlite3_system_errno(db->sql));
	default:
		return STORE_IO;
	}
}

enum store_status
db_failed(struct store_db *db, int rc, const char *what)
{
	static struct log_limit limit = LOG_LIMIT_INIT;
	enum store_status st = db_status(db, rc);

	if (!store_status_soft(st) && log_allowed(&limit))
		log_warnx("%s: %s: %s (%s)", db->file, what, sqlite3_errmsg(db->sql),
		    store_status_word(st));
	return st;
}

/* ---------------------------------------------------------------- statements */

sqlite3_stmt *
db_stmt(struct store_db *db, struct sql *q, enum store_status *st)
{
	static int slots;
	int rc;

	*st = STORE_OK;
	if (q->slot == 0) {
		if (slots + 1 >= DB_STATEMENTS)
			fatalx("sqlcipher: more than %d statements", DB_STATEMENTS);
		q->slot = ++slots;
	}
	if (db->kept[q->slot] != NULL)
		return db->kept[q->slot];
	rc = sqlite3_prepare_v3(
	    db->sql, q->text, -1, SQLITE_PREPARE_PERSISTENT, &db->kept[q->slot], NULL);
	if (rc != SQLITE_OK) {
		*st = db_failed(db, rc, "prepare");
		db->kept[q->slot] = NULL;
	}
	return db->kept[q->slot];
}

/* Where a row has more bytes, some of them may lie on pages that hold nothing else. */
#define ROW_IN_PAGE 900

/* SQLCipher gives a page that fails its MAC as zeros and keeps the error for the next page that is
 * asked for. In a tree and in the middle of a chain SQLite stumbles over such a page by itself; but
 * the last page of a long row would be taken for its content. So after a long row one more page is
 * asked for. The error is SQLITE_ERROR then, which no statement of ours can give otherwise. */
int
db_step_rc(struct store_db *db, sqlite3_stmt *s)
{
	static struct sql q = SQL("SELECT 1 FROM sqlite_schema LIMIT 1");
	int rc = sqlite3_step(s), i, probed, bytes = 0;
	enum store_status st;
	sqlite3_stmt *probe;

	for (i = 0; rc == SQLITE_ROW && i < sqlite3_column_count(s); i++) {
		int type = sqlite3_column_type(s, i);

		if (type == SQLITE_TEXT || type == SQLITE_BLOB) /* a number would become text */
			bytes += sqlite3_column_bytes(s, i);
	}
	if (bytes > ROW_IN_PAGE && (probe = db_stmt(db, &q, &st)) != NULL) {
		probed = sqlite3_step(probe);
		(void)sqlite3_reset(probe);
		rc = probed == SQLITE_ROW ? rc : probed;
	}
	return rc == SQLITE_ERROR ? SQLITE_CORRUPT : rc;
}

enum store_status
db_step(struct store_db *db, sqlite3_stmt *s, int *row)
{
	int rc = db_step_rc(db, s);

	*row = rc == SQLITE_ROW;
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? STORE_OK : db_failed(db, rc, "step");
}

enum store_status
db_run(struct store_db *db, sqlite3_stmt *s)
{
	int row;
	enum store_status st = db_step(db, s, &row);

	db_done(s);
	return st;
}

enum store_status
db_run_packed(struct store_db *db, sqlite3_stmt *s, int at, const ProtobufCMessage *m)
{
	size_t len = 0;
	uint8_t *bytes = pb_pack(m, &len);
	enum store_status st = STORE_NO_MEMORY;

	if (bytes != NULL) {
		db_bind_blob(s, at, bytes, len);
		st = db_run(db, s);
		sodium_memzero(bytes, len);
	} else {
		db_done(s);
	}
	free(bytes);
	return st;
}

void
db_done(sqlite3_stmt *s)
{
	if (s == NULL)
		return;
	(void)sqlite3_reset(s); /* repeats the error that step gave already */
	(void)sqlite3_clear_bindings(s);
}

enum store_status
db_exec(struct store_db *db, struct sql *q)
{
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, q, &st);

	return s == NULL ? st : db_run(db, s);
}

enum store_status
db_run_text(struct store_db *db, struct sql *q, const char *text)
{
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, q, &st);

	if (s == NULL)
		return st;
	db_bind_text(s, 1, text);
	return db_run(db, s);
}

int
db_changes(const struct store_db *db)
{
	return sqlite3_changes(db->sql);
}

enum store_status
db_expire(struct store_db *db, struct sql *q, int64_t before, size_t max, size_t *n)
{
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, q, &st);

	*n = 0;
	if (s == NULL)
		return st;
	sqlite3_bind_int64(s, 1, before);
	db_bind_u64(s, 2, max);
	st = db_run(db, s);
	if (st == STORE_OK)
		*n = (size_t)db_changes(db);
	return st;
}

/* Binding fails only for a wrong index, which every run of the statement would show. */
void
db_bind_text(sqlite3_stmt *s, int i, const char *text)
{
	(void)sqlite3_bind_text(s, i, text, -1, SQLITE_STATIC);
}

void
db_bind_blob(sqlite3_stmt *s, int i, const void *data, size_t n)
{
	if (n == 0) /* a NULL pointer would bind NULL */
		(void)sqlite3_bind_zeroblob(s, i, 0);
	else
		(void)sqlite3_bind_blob64(s, i, data, n, SQLITE_STATIC);
}

void
db_bind_u64(sqlite3_stmt *s, int i, uint64_t v)
{
	(void)sqlite3_bind_int64(s, i, v > INT64_MAX ? INT64_MAX : (int64_t)v);
}

char *
db_text(sqlite3_stmt *s, int col, struct region *r)
{
	const unsigned char *t = sqlite3_column_text(s, col);

	return t == NULL ? NULL : region_copy(r, t, (size_t)sqlite3_column_bytes(s, col));
}

int
db_blob(sqlite3_stmt *s, int col, struct region *r, ProtobufCBinaryData *out)
{
	const void *p = sqlite3_column_blob(s, col);

	out->len = (size_t)sqlite3_column_bytes(s, col);
	out->data = region_copy(r, p, out->len);
	return out->data == NULL ? -1 : 0;
}

uint64_t
db_u64(sqlite3_stmt *s, int col)
{
	sqlite3_int64 v = sqlite3_column_int64(s, col);

	return v < 0 ? 0 : (uint64_t)v;
}
