/* Signal domain: keyd's sealed records by exact name, each with its version. */
#include "stored/sqlcipher/db.h"

enum store_status
signal_get(
    struct store_db *db, const Stored__RecordName *name, struct region *r, Stored__Record *out)
{
	static struct sql q =
	    SQL("SELECT version, sealed FROM record WHERE domain = ?1 AND name = ?2");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	int row;

	if (s == NULL)
		return st;
	sqlite3_bind_int(s, 1, (int)name->domain);
	db_bind_text(s, 2, name->name);
	out->version = 0;
	out->has_sealed = 0;
	st = db_step(db, s, &row);
	if (st == STORE_OK && row) {
		out->version = db_u64(s, 0);
		out->has_sealed = 1;
		if (db_blob(s, 1, r, &out->sealed) == -1)
			st = STORE_NO_MEMORY;
	}
	db_done(s);
	return st;
}

/* The first version: there must be no record. */
static enum store_status
insert(struct store_db *db, const Stored__RecordPut *put)
{
	static struct sql q =
	    SQL("INSERT INTO record(domain, name, version, uploaded, sealed)"
		" VALUES(?1, ?2, 1, ?3, ?4) ON CONFLICT(domain, name) DO NOTHING");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	sqlite3_bind_int(s, 1, (int)put->name->domain);
	db_bind_text(s, 2, put->name->name);
	sqlite3_bind_int(s, 3, put->has_uploaded && put->uploaded);
	db_bind_blob(s, 4, put->sealed.data, put->sealed.len);
	return db_run(db, s);
}

/* A later one: the record must stand right below. */
static enum store_status
update(struct store_db *db, const Stored__RecordPut *put)
{
	static struct sql q =
	    SQL("UPDATE record SET version = ?3 + 1, uploaded = ifnull(?4, uploaded), sealed = ?5"
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
