/* Protocol domain: base keys of sessions that a peer asked to repair, by address and message. */
#include "stored/sqlcipher/db.h"

enum store_status
basekeys_put(struct store_db *db, const Stored__BaseKey *k, int64_t now_ms)
{
	static struct sql q =
	    SQL("INSERT INTO base_key(address, message_id, key, added_ms) VALUES(?1, ?2, ?3, ?4)"
		" ON CONFLICT(address, message_id) DO UPDATE SET key = excluded.key,"
		" added_ms = excluded.added_ms");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	db_bind_text(s, 1, k->name->address);
	db_bind_text(s, 2, k->name->message_id);
	db_bind_blob(s, 3, k->key.data, k->key.len);
	sqlite3_bind_int64(s, 4, now_ms);
	return db_run(db, s);
}

enum store_status
basekeys_delete(struct store_db *db, const Stored__BaseKeyName *n)
{
	static struct sql q = SQL("DELETE FROM base_key WHERE address = ?1 AND message_id = ?2");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	db_bind_text(s, 1, n->address);
	db_bind_text(s, 2, n->message_id);
	return db_run(db, s);
}

enum store_status
basekeys_same(struct store_db *db, const Stored__BaseKey *k, int *same)
{
	static struct sql q =
	    SQL("SELECT 1 FROM base_key WHERE address = ?1 AND message_id = ?2 AND key = ?3");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	*same = 0;
	if (s == NULL)
		return st;
	db_bind_text(s, 1, k->name->address);
	db_bind_text(s, 2, k->name->message_id);
	db_bind_blob(s, 3, k->key.data, k->key.len);
	st = db_step(db, s, same);
	db_done(s);
	return st;
}

enum store_status
basekeys_expire(struct store_db *db, int64_t before_ms, size_t max, size_t *n)
{
	static struct sql q =
	    SQL("DELETE FROM base_key WHERE (address, message_id) IN (SELECT address, message_id"
		" FROM base_key WHERE added_ms < ?1 ORDER BY added_ms LIMIT ?2)");

	return db_expire(db, &q, before_ms, max, n);
}
