/* What happens to a database that came out of a backup. Each step once for a backup's id, so that
 * it can be taken again after a crash. */
#include <sodium.h>

#include "stored/sqlcipher/care.h"

/* *same = 1: this id is remembered already. Else it is from now on. */
static enum store_status
note(struct store_db *db, const char *id, int *same)
{
	static struct sql get = SQL("SELECT value = ?1 FROM meta WHERE key = 'restored_from'");
	static struct sql put = SQL("INSERT INTO meta(key, value) VALUES('restored_from', ?1)"
				    " ON CONFLICT(key) DO UPDATE SET value = excluded.value");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &get, &st);
	int row = 0;

	*same = 0;
	if (s == NULL)
		return st;
	db_bind_text(s, 1, id);
	if ((st = db_step(db, s, &row)) == STORE_OK && row)
		*same = sqlite3_column_int(s, 0);
	db_done(s);
	if (st != STORE_OK || *same)
		return st;
	if ((s = db_stmt(db, &put, &st)) == NULL)
		return st;
	db_bind_text(s, 1, id);
	return db_run(db, s);
}

static enum store_status
drop_domain(struct store_db *db, Stored__Domain domain)
{
	static struct sql q = SQL("DELETE FROM record WHERE domain = ?1");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	db_bind_u64(s, 1, (uint64_t)domain);
	return db_run(db, s);
}

/* The ratchets have gone on since the backup was made, here or at the peers: to use an old one
 * would mean to use keys twice. Identities and prekeys are what they were. */
enum store_status
restored_apply(struct store_db *db, const char *id)
{
	static struct sql base_keys = SQL("DELETE FROM base_key");
	static struct sql flag = SQL("INSERT INTO meta(key, value) VALUES('restored', 1)"
				     " ON CONFLICT(key) DO NOTHING");
	enum store_status st;
	int same;

	if ((st = note(db, id, &same)) != STORE_OK || same)
		return st;
	if ((st = drop_domain(db, STORED__DOMAIN__SESSION)) != STORE_OK ||
	    (st = drop_domain(db, STORED__DOMAIN__SENDER_KEY)) != STORE_OK ||
	    (st = groups_clear_all(db)) != STORE_OK || (st = db_exec(db, &base_keys)) != STORE_OK)
		return st;
	return db_exec(db, &flag);
}

enum store_status
restored_done(struct store_db *db)
{
	static struct sql q = SQL("DELETE FROM meta WHERE key = 'restored'");

	return db_exec(db, &q);
}

enum store_status
restored_flag(struct store_db *db, int *flag)
{
	static struct sql q = SQL("SELECT 1 FROM meta WHERE key = 'restored'");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	*flag = 0;
	if (s == NULL)
		return st;
	st = db_step(db, s, flag);
	db_done(s);
	return st;
}

/* The backup is an older state of the log: seqs that come now were given away once before, and also
 * seq_reserved may lie below what readers saw. Under another name it is another log, and whoever
 * comes with a position of the old one is told. */
enum store_status
restored_log_rename(struct store_db *db, const char *id)
{
	static struct sql q = SQL("UPDATE log SET log_id = ?1");
	uint8_t bytes[16];
	enum store_status st;
	sqlite3_stmt *s;
	char hex[33];
	int same;

	if ((st = note(db, id, &same)) != STORE_OK || same)
		return st;
	if ((s = db_stmt(db, &q, &st)) == NULL)
		return st;
	randombytes_buf(bytes, sizeof(bytes));
	db_bind_text(s, 1, sodium_bin2hex(hex, sizeof(hex), bytes, sizeof(bytes)));
	return db_run(db, s);
}
