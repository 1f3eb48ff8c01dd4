/* A commit point that is held without a copy, so that a backup can read it while commits go on.
 *
 * A checkpoint brings the file to the state of the last commit. Between checkpoints nothing is
 * written to the file: commits go into the write-ahead log. So to hold the state it is enough to
 * forbid checkpoints, as long as the log has room. When it has none any longer, the hold ends and
 * not the commits. */
#include <sys/statvfs.h>

#include <errno.h>
#include <stdlib.h>

#include "common/log.h"
#include "stored/sqlcipher/care.h"

#define FRAME_SIZE (4096 + 24) /* a page in the log */

uint64_t hold_log_max = (uint64_t)256 * 1024 * 1024;

struct hold {
	sqlite3_file *file;
	uint64_t size;
	enum store_status lost; /* STORE_OK: it stands */
};

uint64_t
care_log_bytes(struct store_db *db)
{
	return (uint64_t)db->wal_pages * FRAME_SIZE;
}

/* SQLite's handle of the database file, which is our file layer's. NULL: it is not open. */
static sqlite3_file *
file_of(struct store_db *db)
{
	sqlite3_file *f = NULL;
	int rc = sqlite3_file_control(db->sql, "main", SQLITE_FCNTL_FILE_POINTER, &f);

	return rc == SQLITE_OK && f != NULL && f->pMethods != NULL ? f : NULL;
}

/* The log may take a half of what was free. */
static int
has_room(struct store_db *db)
{
	uint64_t log = care_log_bytes(db);
	struct statvfs v;

	if (log > hold_log_max)
		return 0;
	return statvfs(".", &v) == -1 || log <= (uint64_t)v.f_bavail * v.f_frsize;
}

void
hold_break(struct store_db *db, enum store_status why)
{
	if (db->hold == NULL || db->hold->lost != STORE_OK)
		return;
	log_warnx("%s: the backup cannot go on: %s", db->file,
	    why == STORE_FULL ? "the write-ahead log has no more room"
			      : "its file must be written");
	db->hold->lost = why;
}

int
hold_stands(struct store_db *db)
{
	if (db->hold == NULL || db->hold->lost != STORE_OK)
		return 0;
	if (has_room(db))
		return 1;
	hold_break(db, STORE_FULL);
	return 0;
}

enum store_status
hold_begin(struct store_db *db, const char **file, uint64_t *size)
{
	sqlite3_int64 n = 0;
	enum store_status st;
	struct hold *h;

	if (db->hold != NULL)
		return STORE_IN_USE;
	if ((st = db_heal(db)) != STORE_OK)
		return st;
	if ((st = db_write_back(db)) != STORE_OK)
		return st;
	if (db->wal_pages != 0) /* somebody reads the log: none of us, between two units */
		return STORE_IN_USE;
	if ((h = calloc(1, sizeof(*h))) == NULL)
		return STORE_NO_MEMORY;
	if ((h->file = file_of(db)) == NULL ||
	    h->file->pMethods->xFileSize(h->file, &n) != SQLITE_OK) {
		free(h);
		return STORE_IO;
	}
	db->hold = h;
	h->size = (uint64_t)n;
	*file = db->file;
	*size = h->size;
	return STORE_OK;
}

enum store_status
hold_read(struct store_db *db, uint64_t offset, void *buf, size_t len)
{
	struct hold *h = db->hold;
	int rc;

	if (h == NULL || len > INT32_MAX || offset > h->size || len > h->size - offset)
		return STORE_BAD;
	if (!hold_stands(db))
		return h->lost;
	rc = h->file->pMethods->xRead(h->file, buf, (int)len, (sqlite3_int64)offset);
	if (rc == SQLITE_OK)
		return STORE_OK;
	return rc == SQLITE_IOERR_SHORT_READ ? STORE_CORRUPT : db_errno_status(errno);
}

void
hold_end(struct store_db *db)
{
	free(db->hold);
	db->hold = NULL;
}
