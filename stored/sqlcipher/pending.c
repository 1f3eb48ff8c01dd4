/* Protocol domain: stanzas that are being dealt with, by chat, sender and id. */
#include "stored/sqlcipher/db.h"

static void
bind_name(sqlite3_stmt *s, const Stored__MessageName *n)
{
	db_bind_text(s, 1, n->chat);
	db_bind_text(s, 2, n->sender);
	db_bind_text(s, 3, n->id);
}

/* One that comes again keeps its time: what is tried for ever would stay for ever. One that waits
 * for a person is of the end of time. */
enum store_status
pending_put(struct store_db *db, const Stored__Pending *p, int64_t now_ms)
{
	static struct sql q =
	    SQL("INSERT INTO pending(chat, sender, id, stanza, attempts, added_ms)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT(chat, sender, id) DO UPDATE SET"
		" stanza = excluded.stanza, attempts = excluded.attempts");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	bind_name(s, p->name);
	db_bind_blob(s, 4, p->stanza.data, p->stanza.len);
	if (p->has_attempts)
		sqlite3_bind_int64(s, 5, p->attempts);
	sqlite3_bind_int64(s, 6, p->held ? INT64_MAX : now_ms);
	return db_run(db, s);
}

enum store_status
pending_delete(struct store_db *db, const Stored__MessageName *n)
{
	static struct sql q =
	    SQL("DELETE FROM pending WHERE chat = ?1 AND sender = ?2 AND id = ?3");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	bind_name(s, n);
	return db_run(db, s);
}

void
pending_of_row(sqlite3_stmt *s, int col, struct region *r, Stored__Pending *out)
{
	out->has_attempts = sqlite3_column_type(s, col + 1) != SQLITE_NULL;
	out->attempts = (uint32_t)sqlite3_column_int64(s, col + 1);
	(void)db_blob(s, col, r, &out->stanza);
}

enum store_status
pending_get(
    struct store_db *db, const Stored__MessageName *n, struct region *r, Stored__Pending *out)
{
	static struct sql q = SQL("SELECT stanza, attempts FROM pending"
				  " WHERE chat = ?1 AND sender = ?2 AND id = ?3");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	int row = 0;

	if (s == NULL)
		return st;
	stored__pending__init(out);
	if ((out->name = region_alloc(r, sizeof(*out->name))) == NULL)
		return STORE_NO_MEMORY;
	stored__message_name__init(out->name);
	out->name->chat = region_text(r, n->chat);
	out->name->sender = region_text(r, n->sender);
	out->name->id = region_text(r, n->id);
	bind_name(s, n);
	st = db_step(db, s, &row);
	if (st == STORE_OK && row)
		pending_of_row(s, 0, r, out);
	db_done(s);
	return st == STORE_OK && region_failed(r) ? STORE_NO_MEMORY : st;
}

enum store_status
pending_expire(struct store_db *db, int64_t before_ms, size_t max, size_t *n)
{
	static struct sql q = SQL("DELETE FROM pending WHERE row IN (SELECT row FROM pending"
				  " WHERE added_ms < ?1 ORDER BY added_ms LIMIT ?2)");

	return db_expire(db, &q, before_ms, max, n);
}
