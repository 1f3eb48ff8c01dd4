/* What is kept of former devices and former accounts, out of every reader's sight: putting people
 * aside, counting, and the purge that an operator asks for. */
#include "stored/sqlcipher/db.h"

enum store_status
quarantine_people(struct store_db *db, int64_t now_ms)
{
	static struct sql copy = SQL(
	    "INSERT INTO aside_contact(id, pn, lid, push_name, lid_source, created_ms, aside_ms)"
	    " SELECT id, pn, lid, push_name, lid_source, created_ms, ?1 FROM contact WHERE 1"
	    " ON CONFLICT(id) DO NOTHING");
	static struct sql people = SQL("DELETE FROM contact"),
			  other = SQL("DELETE FROM contact_alias");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &copy, &st);

	if (s == NULL)
		return st;
	sqlite3_bind_int64(s, 1, now_ms);
	if ((st = db_run(db, s)) != STORE_OK || (st = db_exec(db, &people)) != STORE_OK)
		return st;
	return db_exec(db, &other);
}

/* keyd's names begin with the generation of the device. */
#define OLD_RECORD                                                                                 \
	" FROM record WHERE domain BETWEEN 2 AND 8 AND name GLOB '[1-9]*/*'"                       \
	" AND CAST(substr(name, 1, instr(name, '/') - 1) AS INTEGER) < ?1"

static enum store_status
count(struct store_db *db, struct sql *q, uint32_t below, uint64_t *n)
{
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, q, &st);
	int row;

	*n = 0;
	if (s == NULL)
		return st;
	if (sqlite3_bind_parameter_count(s) > 0)
		sqlite3_bind_int64(s, 1, below);
	if ((st = db_step(db, s, &row)) == STORE_OK && row)
		*n = db_u64(s, 0);
	db_done(s);
	return st;
}

enum store_status
quarantine_count(struct store_db *db, uint32_t below, uint64_t *records, uint64_t *contacts)
{
	static struct sql old = SQL("SELECT COUNT(*)" OLD_RECORD);
	static struct sql people = SQL("SELECT COUNT(*) FROM aside_contact");
	enum store_status st = count(db, &old, below, records);

	return st == STORE_OK ? count(db, &people, below, contacts) : st;
}

enum store_status
quarantine_purge(struct store_db *db, uint32_t below, size_t max, uint64_t *n)
{
	static struct sql old = SQL("DELETE FROM record WHERE id IN (SELECT id" OLD_RECORD
				    " ORDER BY domain, name LIMIT ?2)");
	static struct sql people = SQL("DELETE FROM aside_contact WHERE rowid IN"
				       " (SELECT rowid FROM aside_contact ORDER BY id LIMIT ?1)");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &old, &st);

	*n = 0;
	if (s == NULL)
		return st;
	sqlite3_bind_int64(s, 1, below);
	db_bind_u64(s, 2, max);
	if ((st = db_run(db, s)) != STORE_OK)
		return st;
	*n = (uint64_t)sqlite3_changes(db->sql);
	if (*n >= max)
		return STORE_OK;
	if ((s = db_stmt(db, &people, &st)) == NULL)
		return st;
	db_bind_u64(s, 1, max - *n);
	if ((st = db_run(db, s)) == STORE_OK)
		*n += (uint64_t)sqlite3_changes(db->sql);
	return st;
}
