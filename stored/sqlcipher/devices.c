/* Protocol domain: device lists of users, each packed as it came. */
#include <string.h>

#include "common/pb.h"
#include "stored/sqlcipher/db.h"

enum store_status
devices_put(struct store_db *db, const Stored__DeviceList *list, int64_t now_ms)
{
	static struct sql q = SQL("INSERT INTO device_list(user, list) VALUES(?1, ?2)"
				  " ON CONFLICT(user) DO UPDATE SET list = excluded.list");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	(void)now_ms;
	if (s == NULL)
		return st;
	db_bind_text(s, 1, list->user);
	return db_run_packed(db, s, 2, &list->base);
}

enum store_status
devices_drop(struct store_db *db, const char *user)
{
	static struct sql q = SQL("DELETE FROM device_list WHERE user = ?1");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	db_bind_text(s, 1, user);
	return db_run(db, s);
}

enum store_status
devices_drop_all(struct store_db *db)
{
	static struct sql q = SQL("DELETE FROM device_list");

	return db_exec(db, &q);
}

/* Out of the arena, into the region. */
static Stored__DeviceList *
copy(const Stored__DeviceList *from, struct region *r)
{
	Stored__DeviceList *l = region_alloc(r, sizeof(*l));
	Stored__Device *d;
	size_t i;

	if (l == NULL)
		return NULL;
	*l = *from;
	l->user = region_text(r, from->user);
	l->phash = from->phash == NULL ? NULL : region_text(r, from->phash);
	l->devices = region_alloc(r, (from->n_devices + 1) * sizeof(Stored__Device *));
	if (region_failed(r))
		return NULL;
	for (i = 0; i < from->n_devices; i++) {
		if ((d = region_alloc(r, sizeof(*d))) == NULL)
			return NULL;
		*d = *from->devices[i];
		l->devices[i] = d;
	}
	return l;
}

static enum store_status
unpack(const void *bytes, size_t len, struct region *r, Stored__DeviceList **out)
{
	struct pb_arena *arena = pb_arena_new((size_t)128 * 1024);
	const Stored__DeviceList *l;
	enum store_status st = STORE_OK;

	if (arena == NULL)
		return STORE_NO_MEMORY;
	l = pb_unpack(&stored__device_list__descriptor, bytes, len, arena, PB_STRICT, NULL);
	if (l == NULL)
		st = STORE_CORRUPT;
	else if ((*out = copy(l, r)) == NULL)
		st = STORE_NO_MEMORY;
	pb_arena_free(arena);
	return st;
}

enum store_status
devices_get(struct store_db *db, const char *user, struct region *r, Stored__DeviceList **out)
{
	static struct sql q = SQL("SELECT list FROM device_list WHERE user = ?1");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	int row = 0;

	*out = NULL;
	if (s == NULL)
		return st;
	db_bind_text(s, 1, user);
	st = db_step(db, s, &row);
	if (st == STORE_OK && row)
		st = unpack(sqlite3_column_blob(s, 0), (size_t)sqlite3_column_bytes(s, 0), r, out);
	db_done(s);
	return st;
}
