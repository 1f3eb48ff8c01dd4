/* Protocol domain: metadata of groups, and which devices have our sender key of each. */
#include <string.h>

#include "stored/sqlcipher/db.h"

/* ---------------------------------------------------------------- metadata */

enum store_status
groups_put(struct store_db *db, const Stored__GroupPut *g)
{
	static struct sql q = SQL("INSERT INTO group_info(jid, metadata) VALUES(?1, ?2)"
				  " ON CONFLICT(jid) DO UPDATE SET metadata = excluded.metadata");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	db_bind_text(s, 1, g->group);
	db_bind_blob(s, 2, g->metadata.data, g->metadata.len);
	return db_run(db, s);
}

enum store_status
groups_delete(struct store_db *db, const char *group)
{
	static struct sql q = SQL("DELETE FROM group_info WHERE jid = ?1");
	enum store_status st = db_run_text(db, &q, group);

	return st == STORE_OK ? groups_clear(db, group) : st;
}

static enum store_status
metadata(struct store_db *db, const char *group, struct region *r, Stored__Group *out)
{
	static struct sql q = SQL("SELECT metadata FROM group_info WHERE jid = ?1");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	int row = 0;

	if (s == NULL)
		return st;
	db_bind_text(s, 1, group);
	st = db_step(db, s, &row);
	if (st == STORE_OK && row) {
		out->has_metadata = 1;
		if (db_blob(s, 0, r, &out->metadata) == -1)
			st = STORE_NO_MEMORY;
	}
	db_done(s);
	return st;
}

/* ---------------------------------------------------------------- sender-key marks */

static enum store_status
count(struct store_db *db, const char *group, size_t *n)
{
	static struct sql q = SQL("SELECT count(*) FROM sender_key_device WHERE jid = ?1");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	int row = 0;

	*n = 0;
	if (s == NULL)
		return st;
	db_bind_text(s, 1, group);
	st = db_step(db, s, &row);
	if (st == STORE_OK && row)
		*n = (size_t)db_u64(s, 0);
	db_done(s);
	return st;
}

/* The first `max` marks of a group. */
static enum store_status
marks(struct store_db *db, const char *group, size_t max, struct region *r, Stored__Group *out)
{
	static struct sql q = SQL("SELECT device, has_key FROM sender_key_device WHERE jid = ?1"
				  " ORDER BY device");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	Stored__SenderKeyDevice *d;
	int row;

	if (s == NULL)
		return st;
	if ((out->devices = region_alloc(r, (max + 1) * sizeof(Stored__SenderKeyDevice *))) == NULL)
		return STORE_NO_MEMORY;
	db_bind_text(s, 1, group);
	while ((st = db_step(db, s, &row)) == STORE_OK && row && out->n_devices < max) {
		if ((d = region_alloc(r, sizeof(*d))) == NULL)
			break;
		stored__sender_key_device__init(d);
		d->device = db_text(s, 0, r);
		d->has_key = sqlite3_column_int(s, 1) != 0;
		out->devices[out->n_devices++] = d;
	}
	db_done(s);
	return st == STORE_OK && region_failed(r) ? STORE_NO_MEMORY : st;
}

enum store_status
groups_get(struct store_db *db, const char *group, struct region *r, Stored__Group *out)
{
	enum store_status st;
	size_t n;

	stored__group__init(out);
	if ((out->group = region_text(r, group)) == NULL)
		return STORE_NO_MEMORY;
	if ((st = metadata(db, group, r, out)) != STORE_OK ||
	    (st = count(db, group, &n)) != STORE_OK || n == 0)
		return st;
	return marks(db, group, n, r, out);
}

enum store_status
groups_status(struct store_db *db, const Stored__SenderKeyStatus *m)
{
	/* One that stands as it should is not written again: most do, at each send. */
	static struct sql q =
	    SQL("INSERT INTO sender_key_device(jid, device, has_key) VALUES(?1, ?2, ?3)"
		" ON CONFLICT(jid, device) DO UPDATE SET has_key = excluded.has_key"
		" WHERE has_key <> excluded.has_key");
	enum store_status st = STORE_OK;
	sqlite3_stmt *s;
	size_t i;

	for (i = 0; st == STORE_OK && i < m->n_devices; i++) {
		if ((s = db_stmt(db, &q, &st)) == NULL)
			return st;
		db_bind_text(s, 1, m->group);
		db_bind_text(s, 2, m->devices[i]->device);
		sqlite3_bind_int(s, 3, m->devices[i]->has_key != 0);
		st = db_run(db, s);
	}
	return st;
}

enum store_status
groups_clear(struct store_db *db, const char *group)
{
	static struct sql q = SQL("DELETE FROM sender_key_device WHERE jid = ?1");

	return db_run_text(db, &q, group);
}

enum store_status
groups_drop(struct store_db *db, const char *device)
{
	static struct sql q = SQL("DELETE FROM sender_key_device WHERE device = ?1");

	return db_run_text(db, &q, device);
}

enum store_status
groups_clear_all(struct store_db *db)
{
	static struct sql q = SQL("DELETE FROM sender_key_device");

	return db_exec(db, &q);
}
