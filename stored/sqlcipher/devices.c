/* Protocol domain: device lists of users, each packed as it came. */
#include <string.h>

#include "common/pb.h"
#include "stored/sqlcipher/db.h"

enum store_status
devices_put(struct store_db *db, const Stored__DeviceList *list, int64_t now_ms)
{
	static struct sql q = SQL("INSERT INTO device_list(user, list, put_ms) VALUES(?1, ?2, ?3)"
				  " ON CONFLICT(user) DO UPDATE SET list = excluded.list,"
				  " put_ms = excluded.put_ms");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	db_bind_text(s, 1, list->user);
	sqlite3_bind_int64(s, 3, now_ms);
	return db_run_packed(db, s, 2, &list->base);
}

enum store_status
devices_drop(struct store_db *db, const char *user)
{
	static struct sql q = SQL("DELETE FROM device_list WHERE user = ?1");

	return db_run_text(db, &q, user);
}

enum store_status
devices_expire(struct store_db *db, int64_t before_ms, size_t max, size_t *n)
{
	static struct sql q =
	    SQL("DELETE FROM device_list WHERE user IN (SELECT user FROM device_list"
		" WHERE put_ms < ?1 ORDER BY put_ms LIMIT ?2)");

	return db_expire(db, &q, before_ms, max, n);
}

/* Out of the arena, into the region. */
static enum store_status
copy(const Stored__DeviceList *from, struct region *r, Stored__DeviceList *l)
{
	Stored__Device *d;
	size_t i;

	*l = *from;
	l->user = region_text(r, from->user);
	l->phash = from->phash == NULL ? NULL : region_text(r, from->phash);
	l->devices = region_alloc(r, (from->n_devices + 1) * sizeof(Stored__Device *));
	for (i = 0; l->devices != NULL && i < from->n_devices; i++) {
		if ((d = region_alloc(r, sizeof(*d))) == NULL)
			break;
		*d = *from->devices[i];
		l->devices[i] = d;
	}
	return region_failed(r) ? STORE_NO_MEMORY : STORE_OK;
}

enum store_status
devices_unpack(const void *bytes, size_t len, struct region *r, Stored__DeviceList *out)
{
	struct pb_arena *arena = pb_arena_new((size_t)128 * 1024);
	const Stored__DeviceList *l;
	enum store_status st;

	if (arena == NULL)
		return STORE_NO_MEMORY;
	l = pb_unpack(&stored__device_list__descriptor, bytes, len, arena, PB_STRICT, NULL);
	st = l == NULL ? STORE_CORRUPT : copy(l, r, out);
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
	if (st == STORE_OK && row && (*out = region_alloc(r, sizeof(**out))) == NULL)
		st = STORE_NO_MEMORY;
	if (st == STORE_OK && row)
		st = devices_unpack(
		    sqlite3_column_blob(s, 0), (size_t)sqlite3_column_bytes(s, 0), r, *out);
	db_done(s);
	return st;
}
