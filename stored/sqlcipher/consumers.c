/* The service's database: the state of the log, and who has read how far. */
#include <stdio.h>
#include <string.h>

#include "stored/sqlcipher/db.h"

enum store_status
service_log_load(struct store_db *db, struct store_log_state *out)
{
	static struct sql q =
	    SQL("SELECT log_id, seq_reserved, trimmed_seq FROM log WHERE one = 1");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	const char *id;
	int row = 0;

	memset(out, 0, sizeof(*out));
	if (s == NULL)
		return st;
	st = db_step(db, s, &row);
	id = row ? (const char *)sqlite3_column_text(s, 0) : NULL;
	if (st == STORE_OK && (id == NULL || strlen(id) != sizeof(out->log_id) - 1))
		st = STORE_CORRUPT;
	if (st == STORE_OK) {
		memcpy(out->log_id, id, sizeof(out->log_id));
		out->seq_reserved = db_u64(s, 1);
		out->trimmed_seq = db_u64(s, 2);
	}
	db_done(s);
	return st;
}

enum store_status
service_log_save(struct store_db *db, const struct store_log_state *st_)
{
	static struct sql q =
	    SQL("UPDATE log SET seq_reserved = ?1, trimmed_seq = ?2 WHERE one = 1");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	db_bind_u64(s, 1, st_->seq_reserved);
	db_bind_u64(s, 2, st_->trimmed_seq);
	st = db_run(db, s);
	return st == STORE_OK && db_changes(db) != 1 ? STORE_CORRUPT : st;
}

static void
consumer_of(sqlite3_stmt *s, struct store_consumer *out)
{
	const unsigned char *name = sqlite3_column_text(s, 1);

	out->uid = (uint32_t)sqlite3_column_int64(s, 0);
	snprintf(out->name, sizeof(out->name), "%s", name != NULL ? (const char *)name : "");
	out->acked_seq = db_u64(s, 2);
	out->last_ms = sqlite3_column_int64(s, 3);
}

enum store_status
consumers_get(
    struct store_db *db, uint32_t uid, const char *name, struct store_consumer *out, int *found)
{
	static struct sql q = SQL("SELECT uid, name, acked_seq, last_ms FROM consumer"
				  " WHERE uid = ?1 AND name = ?2");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	*found = 0;
	if (s == NULL)
		return st;
	sqlite3_bind_int64(s, 1, uid);
	db_bind_text(s, 2, name);
	st = db_step(db, s, found);
	if (st == STORE_OK && *found)
		consumer_of(s, out);
	db_done(s);
	return st;
}

enum store_status
consumers_put(struct store_db *db, const struct store_consumer *c)
{
	static struct sql q =
	    SQL("INSERT INTO consumer(uid, name, acked_seq, last_ms) VALUES(?1, ?2, ?3, ?4)"
		" ON CONFLICT(uid, name) DO UPDATE SET acked_seq = excluded.acked_seq,"
		" last_ms = excluded.last_ms");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	sqlite3_bind_int64(s, 1, c->uid);
	db_bind_text(s, 2, c->name);
	db_bind_u64(s, 3, c->acked_seq);
	sqlite3_bind_int64(s, 4, c->last_ms);
	return db_run(db, s);
}

enum store_status
consumers_delete(struct store_db *db, uint32_t uid, const char *name)
{
	static struct sql q = SQL("DELETE FROM consumer WHERE uid = ?1 AND name = ?2");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	sqlite3_bind_int64(s, 1, uid);
	db_bind_text(s, 2, name);
	return db_run(db, s);
}

enum store_status
consumers_list(struct store_db *db, const uint32_t *uid, struct region *r,
    struct store_consumer **out, size_t *n)
{
	static struct sql count = SQL("SELECT count(*) FROM consumer WHERE ?1 IS NULL OR uid = ?1");
	static struct sql q = SQL("SELECT uid, name, acked_seq, last_ms FROM consumer"
				  " WHERE ?1 IS NULL OR uid = ?1 ORDER BY uid, name");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &count, &st);
	size_t total = 0;
	int row = 0;

	*n = 0;
	if (s == NULL)
		return st;
	if (uid != NULL)
		sqlite3_bind_int64(s, 1, *uid);
	if ((st = db_step(db, s, &row)) == STORE_OK && row)
		total = (size_t)db_u64(s, 0);
	db_done(s);
	if (st != STORE_OK || (s = db_stmt(db, &q, &st)) == NULL)
		return st;
	if ((*out = region_alloc(r, (total + 1) * sizeof(**out))) == NULL)
		return STORE_NO_MEMORY;
	if (uid != NULL)
		sqlite3_bind_int64(s, 1, *uid);
	while (*n < total && (st = db_step(db, s, &row)) == STORE_OK && row)
		consumer_of(s, &(*out)[(*n)++]);
	db_done(s);
	return st;
}
