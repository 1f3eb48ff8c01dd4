/* Signal domain: keyd's sealed records by name, each with its version. */
#include "stored/sqlcipher/db.h"

enum store_status
signal_get(
    struct store_db *db, const Stored__RecordName *name, struct region *r, Stored__Record *out)
{
	static struct sql q =
	    SQL("SELECT version, sealed, message_s FROM record WHERE domain = ?1 AND name = ?2");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	int row;

	if (s == NULL)
		return st;
	sqlite3_bind_int(s, 1, (int)name->domain);
	db_bind_text(s, 2, name->name);
	out->version = 0;
	out->has_sealed = out->has_message_s = 0;
	st = db_step(db, s, &row);
	if (st == STORE_OK && row) {
		out->version = db_u64(s, 0);
		out->has_sealed = 1;
		out->has_message_s = sqlite3_column_type(s, 2) != SQLITE_NULL;
		out->message_s = sqlite3_column_int64(s, 2);
		if (db_blob(s, 1, r, &out->sealed) == -1)
			st = STORE_NO_MEMORY;
	}
	db_done(s);
	return st;
}

/* When a message secret expires, and the time of its message. */
static void
bind_times(sqlite3_stmt *s, int i, const Stored__RecordPut *put)
{
	if (put->has_expires_s)
		sqlite3_bind_int64(s, i, put->expires_s);
	if (put->has_message_s)
		sqlite3_bind_int64(s, i + 1, put->message_s);
}

/* The first version: there must be no record. */
static enum store_status
insert(struct store_db *db, const Stored__RecordPut *put)
{
	static struct sql q =
	    SQL("INSERT INTO record(domain, name, version, uploaded, sealed, expires_s, message_s)"
		" VALUES(?1, ?2, 1, ?3, ?4, ?5, ?6) ON CONFLICT(domain, name) DO NOTHING");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	sqlite3_bind_int(s, 1, (int)put->name->domain);
	db_bind_text(s, 2, put->name->name);
	sqlite3_bind_int(s, 3, put->has_uploaded && put->uploaded);
	db_bind_blob(s, 4, put->sealed.data, put->sealed.len);
	bind_times(s, 5, put);
	if (put->name->domain == STORED__DOMAIN__MSG_SECRET && !put->has_expires_s)
		sqlite3_bind_int64(s, 5, 0); /* not said: never, whatever a later put says */
	return db_run(db, s);
}

/* A later one: the record must stand right below. Of a secret's times the one that keeps it longer
 * stays, and 0 is for ever. */
static enum store_status
update(struct store_db *db, const Stored__RecordPut *put)
{
	static struct sql q =
	    SQL("UPDATE record SET version = ?3 + 1, uploaded = ifnull(?4, uploaded), sealed = ?5,"
		" expires_s = CASE WHEN ?6 IS NULL OR expires_s = 0 THEN expires_s"
		" WHEN ?6 = 0 THEN 0 ELSE max(?6, ifnull(expires_s, ?6)) END,"
		" message_s = CASE WHEN ?7 IS NULL THEN message_s"
		" ELSE max(?7, ifnull(message_s, ?7)) END"
		" WHERE domain = ?1 AND name = ?2 AND version = ?3");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	sqlite3_bind_int(s, 1, (int)put->name->domain);
	db_bind_text(s, 2, put->name->name);
	db_bind_u64(s, 3, put->version - 1);
	if (put->has_uploaded)
		sqlite3_bind_int(s, 4, put->uploaded);
	db_bind_blob(s, 5, put->sealed.data, put->sealed.len);
	bind_times(s, 6, put);
	return db_run(db, s);
}

enum store_status
signal_put(struct store_db *db, const Stored__RecordPut *put)
{
	enum store_status st = put->version == 1 ? insert(db, put) : update(db, put);

	return st == STORE_OK && db_changes(db) != 1 ? STORE_VERSION : st;
}

enum store_status
signal_delete(struct store_db *db, const Stored__RecordDelete *del)
{
	static struct sql q =
	    SQL("DELETE FROM record WHERE domain = ?1 AND name = ?2 AND version = ?3");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	sqlite3_bind_int(s, 1, (int)del->name->domain);
	db_bind_text(s, 2, del->name->name);
	db_bind_u64(s, 3, del->version);
	st = db_run(db, s);
	return st == STORE_OK && db_changes(db) != 1 ? STORE_VERSION : st;
}

enum store_status
signal_uploaded(struct store_db *db, const Stored__RecordName *name)
{
	static struct sql q =
	    SQL("UPDATE record SET uploaded = 1 WHERE domain = ?1 AND name = ?2 AND uploaded = 0");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	sqlite3_bind_int(s, 1, (int)name->domain);
	db_bind_text(s, 2, name->name);
	return db_run(db, s);
}

enum store_status
signal_expire(struct store_db *db, int64_t now_s, size_t max, size_t *n)
{
	static struct sql q =
	    SQL("DELETE FROM record WHERE id IN (SELECT id FROM record WHERE expires_s > 0"
		" AND expires_s <= ?1 ORDER BY expires_s LIMIT ?2)");

	return db_expire(db, &q, now_s, max, n);
}

/* ---------------------------------------------------------------- ranges */

#define LIST_BYTES ((size_t)2 * 1024 * 1024) /* of sealed records, see the contract */

#define COLUMNS "SELECT name, version, uploaded, CASE WHEN ?6 THEN sealed END FROM record"
#define RANGE   " name >= ?2 AND name < ?3"
#define ALL     " WHERE domain = ?1 AND" RANGE
#define FLAGGED " WHERE domain = 4 AND uploaded = ?4 AND" RANGE /* from the index of prekeys */

/* Bind the range; without an end, a blob is above every text. */
static void
bind_range(sqlite3_stmt *s, const Stored__RecordsList *q)
{
	if (!q->has_uploaded)
		sqlite3_bind_int(s, 1, (int)q->domain);
	db_bind_text(s, 2, q->from != NULL ? q->from : "");
	if (q->below != NULL)
		db_bind_text(s, 3, q->below);
	else
		db_bind_blob(s, 3, NULL, 0);
	if (q->has_uploaded)
		sqlite3_bind_int(s, 4, q->uploaded != 0);
}

static enum store_status
count(struct store_db *db, const Stored__RecordsList *q, uint64_t *total)
{
	static struct sql all = SQL("SELECT count(*) FROM record" ALL);
	static struct sql flagged = SQL("SELECT count(*) FROM record" FLAGGED);
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, q->has_uploaded ? &flagged : &all, &st);
	int row = 0;

	*total = 0;
	if (s == NULL)
		return st;
	bind_range(s, q);
	st = db_step(db, s, &row);
	if (st == STORE_OK && row)
		*total = db_u64(s, 0);
	db_done(s);
	return st;
}

static Stored__RecordEntry *
entry_of_row(sqlite3_stmt *s, const Stored__RecordsList *q, struct region *r)
{
	Stored__RecordEntry *e = region_alloc(r, sizeof(*e));

	if (e == NULL)
		return NULL;
	stored__record_entry__init(e);
	e->name = db_text(s, 0, r);
	e->version = db_u64(s, 1);
	e->has_uploaded = q->domain == STORED__DOMAIN__PREKEY;
	e->uploaded = e->has_uploaded && sqlite3_column_int(s, 2) != 0;
	e->has_sealed = q->sealed != 0;
	if (e->has_sealed)
		(void)db_blob(s, 3, r, &e->sealed);
	return region_failed(r) ? NULL : e;
}

enum store_status
signal_list(
    struct store_db *db, const Stored__RecordsList *q, struct region *r, Stored__RecordNames *out)
{
	static struct sql sql[2][2] = {
	    {SQL(COLUMNS ALL " ORDER BY name LIMIT ?5"),
		SQL(COLUMNS ALL " ORDER BY name DESC LIMIT ?5")},
	    {SQL(COLUMNS FLAGGED " ORDER BY name LIMIT ?5"),
		SQL(COLUMNS FLAGGED " ORDER BY name DESC LIMIT ?5")},
	};
	enum store_status st = count(db, q, &out->total);
	size_t bytes = 0;
	sqlite3_stmt *s;
	int row;

	if (st != STORE_OK || q->limit == 0 || out->total == 0)
		return st;
	if ((s = db_stmt(db, &sql[q->has_uploaded != 0][q->descending != 0], &st)) == NULL)
		return st;
	if ((out->records = region_alloc(r, q->limit * sizeof(Stored__RecordEntry *))) == NULL)
		return STORE_NO_MEMORY;
	bind_range(s, q);
	sqlite3_bind_int64(s, 5, q->limit);
	sqlite3_bind_int(s, 6, q->sealed != 0);
	while ((st = db_step(db, s, &row)) == STORE_OK && row && out->n_records < q->limit) {
		bytes += (size_t)sqlite3_column_bytes(s, 3);
		if (out->n_records > 0 && bytes > LIST_BYTES)
			break;
		if ((out->records[out->n_records] = entry_of_row(s, q, r)) == NULL) {
			st = STORE_NO_MEMORY;
			break;
		}
		out->n_records++;
	}
	db_done(s);
	return st;
}
