/* App-state domain: collections with their version and hash, and the MAC of each live mutation. */
#include "stored/sqlcipher/db.h"

/* ---------------------------------------------------------------- collections */

enum store_status
appsync_put(struct store_db *db, const Stored__CollectionPut *c)
{
	static struct sql q =
	    SQL("INSERT INTO collection(name, version, hash, fatal) VALUES(?1, ?2, ?3, ?4)"
		" ON CONFLICT(name) DO UPDATE SET version = excluded.version,"
		" hash = excluded.hash, fatal = excluded.fatal");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	db_bind_text(s, 1, c->name);
	db_bind_u64(s, 2, c->version);
	db_bind_blob(s, 3, c->hash.data, c->hash.len);
	if (c->has_mac_mismatch_fatal)
		sqlite3_bind_int(s, 4, c->mac_mismatch_fatal);
	return db_run(db, s);
}

enum store_status
appsync_delete(struct store_db *db, const char *name)
{
	static struct sql q = SQL("DELETE FROM collection WHERE name = ?1");
	enum store_status st = db_run_text(db, &q, name);

	return st == STORE_OK ? appsync_macs_clear(db, name) : st;
}

enum store_status
appsync_get(struct store_db *db, const char *name, struct region *r, Stored__Collection *out)
{
	static struct sql q = SQL("SELECT version, hash, fatal FROM collection WHERE name = ?1");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	int row = 0;

	if (s == NULL)
		return st;
	stored__collection__init(out);
	out->name = region_text(r, name);
	db_bind_text(s, 1, name);
	st = db_step(db, s, &row);
	if (st == STORE_OK && row)
		appsync_of_row(s, 0, r, out);
	db_done(s);
	return st == STORE_OK && region_failed(r) ? STORE_NO_MEMORY : st;
}

void
appsync_of_row(sqlite3_stmt *s, int col, struct region *r, Stored__Collection *out)
{
	out->version = db_u64(s, col);
	out->has_hash = 1;
	(void)db_blob(s, col + 1, r, &out->hash);
	out->has_mac_mismatch_fatal = sqlite3_column_type(s, col + 2) != SQLITE_NULL;
	out->mac_mismatch_fatal = sqlite3_column_int(s, col + 2) != 0;
}

/* ---------------------------------------------------------------- MACs */

enum store_status
appsync_macs_put(struct store_db *db, const Stored__MacsPut *p)
{
	static struct sql q =
	    SQL("INSERT INTO mac(collection, idx, value, version) VALUES(?1, ?2, ?3, ?4)"
		" ON CONFLICT(collection, idx) DO UPDATE SET value = excluded.value,"
		" version = excluded.version");
	enum store_status st = STORE_OK;
	sqlite3_stmt *s;
	size_t i;

	for (i = 0; st == STORE_OK && i < p->n_macs; i++) {
		const Stored__Mac *m = p->macs[i];

		if ((s = db_stmt(db, &q, &st)) == NULL)
			return st;
		db_bind_text(s, 1, p->collection);
		db_bind_blob(s, 2, m->index.data, m->index.len);
		db_bind_blob(s, 3, m->value.data, m->value.len);
		db_bind_u64(s, 4, p->version);
		st = db_run(db, s);
	}
	return st;
}

enum store_status
appsync_macs_delete(struct store_db *db, const Stored__MacsDelete *d)
{
	static struct sql q = SQL("DELETE FROM mac WHERE collection = ?1 AND idx = ?2");
	enum store_status st = STORE_OK;
	sqlite3_stmt *s;
	size_t i;

	for (i = 0; st == STORE_OK && i < d->n_indexes; i++) {
		if ((s = db_stmt(db, &q, &st)) == NULL)
			return st;
		db_bind_text(s, 1, d->collection);
		db_bind_blob(s, 2, d->indexes[i].data, d->indexes[i].len);
		st = db_run(db, s);
	}
	return st;
}

enum store_status
appsync_macs_clear(struct store_db *db, const char *collection)
{
	static struct sql q = SQL("DELETE FROM mac WHERE collection = ?1");

	return db_run_text(db, &q, collection);
}

enum store_status
appsync_mac(struct store_db *db, const char *collection, const ProtobufCBinaryData *index,
    struct region *r, ProtobufCBinaryData *value)
{
	static struct sql q = SQL("SELECT value FROM mac WHERE collection = ?1 AND idx = ?2");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	int row = 0;

	value->data = NULL;
	value->len = 0;
	if (s == NULL)
		return st;
	db_bind_text(s, 1, collection);
	db_bind_blob(s, 2, index->data, index->len);
	st = db_step(db, s, &row);
	if (st == STORE_OK && row && db_blob(s, 0, r, value) == -1)
		st = STORE_NO_MEMORY;
	db_done(s);
	return st;
}
