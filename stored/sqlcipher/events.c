/* The event log of an account, and the keys by which an event is known to be there already. */
#include <stdlib.h>
#include <string.h>

#include "stored/sqlcipher/db.h"

/* Notes the key; *kept = 0 if it was noted before. */
static enum store_status
note_key(struct store_db *db, const char *key, uint64_t seq, int64_t now_ms, int *kept)
{
	static struct sql q = SQL("INSERT INTO event_key(key, seq, added_ms) VALUES(?1, ?2, ?3)"
				  " ON CONFLICT(key) DO NOTHING");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	db_bind_text(s, 1, key);
	db_bind_u64(s, 2, seq);
	sqlite3_bind_int64(s, 3, now_ms);
	st = db_run(db, s);
	*kept = st == STORE_OK && db_changes(db) == 1;
	return st;
}

enum store_status
events_mark(struct store_db *db, const char *key, int64_t now_ms)
{
	int noted;

	return note_key(db, key, 0, now_ms, &noted);
}

static enum store_status
known_key(struct store_db *db, const char *key, int *known)
{
	static struct sql q = SQL("SELECT 1 FROM event_key WHERE key = ?1");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	db_bind_text(s, 1, key);
	st = db_step(db, s, known);
	db_done(s);
	return st;
}

enum store_status
events_append(
    struct store_db *db, uint64_t seq, int64_t now_ms, const Stored__EventAppend *e, int *kept)
{
	static struct sql q = SQL("INSERT INTO event(seq, added_ms, type, origin, time_ms, body)"
				  " VALUES(?1, ?2, ?3, ?4, ?5, ?6)");
	enum store_status st;
	sqlite3_stmt *s;
	int known = 0;
	size_t i;

	for (i = 0; i < e->n_unless; i++) {
		if ((st = known_key(db, e->unless[i], &known)) != STORE_OK || known) {
			*kept = 0;
			return st;
		}
	}
	*kept = 1;
	if (e->dedup != NULL) {
		st = note_key(db, e->dedup, seq, now_ms, kept);
		if (st != STORE_OK || !*kept)
			return st;
	}
	if ((s = db_stmt(db, &q, &st)) == NULL)
		return st;
	db_bind_u64(s, 1, seq);
	sqlite3_bind_int64(s, 2, now_ms);
	db_bind_text(s, 3, e->type);
	db_bind_text(s, 4, e->origin);
	sqlite3_bind_int64(s, 5, e->time_ms);
	db_bind_blob(s, 6, e->body.data, e->body.len);
	return db_run(db, s);
}

enum store_status
events_last(struct store_db *db, uint64_t *seq)
{
	static struct sql q = SQL("SELECT max(seq) FROM event");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	int row = 0;

	*seq = 0;
	if (s == NULL)
		return st;
	st = db_step(db, s, &row);
	if (st == STORE_OK && row)
		*seq = db_u64(s, 0);
	db_done(s);
	return st;
}

/* ---------------------------------------------------------------- reading */

enum store_status
events_walk(struct store_db *db, uint64_t after_seq)
{
	static struct sql q = SQL("SELECT seq, type, origin, time_ms, body FROM event"
				  " WHERE seq > ?1 ORDER BY seq");
	enum store_status st;

	events_stop(db);
	if ((db->walk = db_stmt(db, &q, &st)) == NULL)
		return st;
	db_bind_u64(db->walk, 1, after_seq);
	return STORE_OK;
}

enum store_status
events_step(struct store_db *db, const struct store_event **e)
{
	struct store_event *w = &db->walking;
	enum store_status st;
	int row = 0;

	*e = NULL;
	if (db->walk == NULL)
		return STORE_OK;
	st = db_step(db, db->walk, &row);
	if (st != STORE_OK || !row) {
		events_stop(db);
		return st;
	}
	w->seq = db_u64(db->walk, 0);
	w->type = (const char *)sqlite3_column_text(db->walk, 1);
	w->origin = (const char *)sqlite3_column_text(db->walk, 2);
	w->time_ms = sqlite3_column_int64(db->walk, 3);
	w->body = sqlite3_column_blob(db->walk, 4);
	w->body_len = (size_t)sqlite3_column_bytes(db->walk, 4);
	if (w->type == NULL || w->origin == NULL) { /* out of memory in the conversion */
		events_stop(db);
		return STORE_NO_MEMORY;
	}
	*e = w;
	return STORE_OK;
}

void
events_stop(struct store_db *db)
{
	db_done(db->walk);
	db->walk = NULL;
}

/* ---------------------------------------------------------------- retention */

enum store_status
events_heads(
    struct store_db *db, uint64_t after_seq, struct store_event_head *heads, size_t max, size_t *n)
{
	/* length() of a blob reads no overflow page */
	static struct sql q = SQL("SELECT seq, added_ms, length(body) FROM event WHERE seq > ?1"
				  " ORDER BY seq LIMIT ?2");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	int row;

	*n = 0;
	if (s == NULL)
		return st;
	db_bind_u64(s, 1, after_seq);
	db_bind_u64(s, 2, max);
	while ((st = db_step(db, s, &row)) == STORE_OK && row && *n < max) {
		heads[*n].seq = db_u64(s, 0);
		heads[*n].added_ms = sqlite3_column_int64(s, 1);
		heads[*n].bytes = db_u64(s, 2);
		(*n)++;
	}
	db_done(s);
	return st;
}

enum store_status
events_trim(struct store_db *db, uint64_t upto, size_t max, size_t *n)
{
	static struct sql q = SQL("DELETE FROM event WHERE seq IN"
				  " (SELECT seq FROM event WHERE seq <= ?1 ORDER BY seq LIMIT ?2)");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	*n = 0;
	if (s == NULL)
		return st;
	db_bind_u64(s, 1, upto);
	db_bind_u64(s, 2, max);
	st = db_run(db, s);
	if (st == STORE_OK)
		*n = (size_t)db_changes(db);
	return st;
}

/* The key `max` places above the last one looked at; NULL at the end of the table. Malloc'd. */
static enum store_status
sweep_end(struct store_db *db, size_t max, char **end)
{
	static struct sql q = SQL("SELECT key FROM event_key WHERE key > ?1 ORDER BY key"
				  " LIMIT 1 OFFSET ?2");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	int row = 0;

	*end = NULL;
	if (s == NULL)
		return st;
	db_bind_text(s, 1, db->dedup_at != NULL ? db->dedup_at : "");
	db_bind_u64(s, 2, max - 1);
	st = db_step(db, s, &row);
	if (st == STORE_OK && row) {
		*end = strdup((const char *)sqlite3_column_text(s, 0));
		if (*end == NULL)
			st = STORE_NO_MEMORY;
	}
	db_done(s);
	return st;
}

/* Keys are in no order of time, and an index by time would cost a page a commit: so walk the table
 * slowly instead. */
enum store_status
events_dedup_sweep(struct store_db *db, int64_t before_ms, size_t max, int *wrapped)
{
	static struct sql q = SQL(
	    "DELETE FROM event_key WHERE key > ?1 AND (?2 IS NULL OR key <= ?2) AND added_ms < ?3"
	    " AND NOT EXISTS (SELECT 1 FROM event WHERE event.seq = event_key.seq)");
	char *end = NULL;
	enum store_status st = sweep_end(db, max, &end);
	sqlite3_stmt *s;

	*wrapped = 0;
	if (st == STORE_OK && (s = db_stmt(db, &q, &st)) != NULL) {
		db_bind_text(s, 1, db->dedup_at != NULL ? db->dedup_at : "");
		db_bind_text(s, 2, end);
		sqlite3_bind_int64(s, 3, before_ms);
		st = db_run(db, s);
	}
	if (st != STORE_OK) {
		free(end);
		return st;
	}
	*wrapped = end == NULL;
	free(db->dedup_at);
	db->dedup_at = end;
	return STORE_OK;
}
