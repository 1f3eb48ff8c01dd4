/* Protocol domain: trusted-contact tokens by user. Each merge is one statement, so that nothing can
 * come between what it reads and what it writes. */
#include "stored/sqlcipher/db.h"

enum store_status
tokens_put(struct store_db *db, const Stored__Token *t)
{
	static struct sql q =
	    SQL("INSERT INTO token(user, token, token_s, sender_s) VALUES(?1, ?2, ?3, ?4)"
		" ON CONFLICT(user) DO UPDATE SET token = excluded.token,"
		" token_s = excluded.token_s, sender_s = excluded.sender_s");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	db_bind_text(s, 1, t->user);
	db_bind_blob(s, 2, t->token.data, t->token.len);
	sqlite3_bind_int64(s, 3, t->token_s);
	if (t->has_sender_s)
		sqlite3_bind_int64(s, 4, t->sender_s);
	return db_run(db, s);
}

enum store_status
tokens_delete(struct store_db *db, const char *user)
{
	static struct sql q = SQL("DELETE FROM token WHERE user = ?1");

	return db_run_text(db, &q, user);
}

enum store_status
tokens_received(struct store_db *db, const Stored__TokenReceived *t)
{
	static struct sql q =
	    SQL("INSERT INTO token(user, token, token_s) VALUES(?1, ?2, ?3)"
		" ON CONFLICT(user) DO UPDATE SET token = excluded.token,"
		" token_s = excluded.token_s"
		" WHERE length(token.token) = 0 OR token.token_s <= excluded.token_s");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	db_bind_text(s, 1, t->user);
	db_bind_blob(s, 2, t->token.data, t->token.len);
	sqlite3_bind_int64(s, 3, t->token_s);
	return db_run(db, s);
}

enum store_status
tokens_touch(struct store_db *db, const Stored__TokenTouch *t)
{
	static struct sql q =
	    SQL("INSERT INTO token(user, token, token_s, sender_s) VALUES(?1, x'', ?2, ?2)"
		" ON CONFLICT(user) DO UPDATE SET"
		" sender_s = max(ifnull(sender_s, excluded.sender_s), excluded.sender_s)");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	db_bind_text(s, 1, t->user);
	sqlite3_bind_int64(s, 2, t->sender_s);
	return db_run(db, s);
}

enum store_status
tokens_expire(struct store_db *db, const Stored__TokenExpire *t, uint64_t *n)
{
	static struct sql q = SQL("DELETE FROM token WHERE (length(token) = 0 OR token_s < ?1)"
				  " AND (sender_s IS NULL OR sender_s < ?2)");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	*n = 0;
	if (s == NULL)
		return st;
	sqlite3_bind_int64(s, 1, t->token_cutoff_s);
	sqlite3_bind_int64(s, 2, t->sender_cutoff_s);
	st = db_run(db, s);
	if (st == STORE_OK)
		*n = (uint64_t)db_changes(db);
	return st;
}

void
tokens_of_row(sqlite3_stmt *s, int col, struct region *r, Stored__Token *out)
{
	out->token_s = sqlite3_column_int64(s, col + 1);
	out->has_sender_s = sqlite3_column_type(s, col + 2) != SQLITE_NULL;
	out->sender_s = sqlite3_column_int64(s, col + 2);
	(void)db_blob(s, col, r, &out->token);
}

enum store_status
tokens_get(struct store_db *db, const char *user, struct region *r, Stored__Token *out)
{
	static struct sql q = SQL("SELECT token, token_s, sender_s FROM token WHERE user = ?1");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	int row = 0;

	if (s == NULL)
		return st;
	stored__token__init(out);
	out->user = region_text(r, user);
	db_bind_text(s, 1, user);
	st = db_step(db, s, &row);
	if (st == STORE_OK && row)
		tokens_of_row(s, 0, r, out);
	db_done(s);
	return st == STORE_OK && region_failed(r) ? STORE_NO_MEMORY : st;
}
