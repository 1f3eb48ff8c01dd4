/* Protocol domain: groups: their metadata, and which devices have our sender key. */
#include <string.h>

#include "stored/memory/db.h"

static void
key_of(struct key *k, enum table t, const char *jid)
{
	key_start(k, t);
	key_text(k, jid);
}

enum store_status
mem_group_put(struct store_db *db, const Stored__GroupPut *g)
{
	struct key k;

	key_of(&k, T_GROUP, g->group);
	return map_put(db->map, &k, NULL, 0, g->metadata.data, g->metadata.len);
}

enum store_status
mem_group_delete(struct store_db *db, const char *group)
{
	enum store_status st;
	struct key k;

	key_of(&k, T_GROUP, group);
	st = map_delete(db->map, &k, NULL);
	return st == STORE_OK ? mem_sender_key_clear(db, group) : st;
}

/* ---------------------------------------------------------------- marks: both ways round */

static void
mark_keys(struct key *mark, struct key *of, const char *group, const char *device)
{
	key_of(mark, T_MARK, group);
	key_text(mark, device);
	key_of(of, T_MARK_OF, device);
	key_text(of, group);
}

enum store_status
mem_sender_key_status(struct store_db *db, const Stored__SenderKeyStatus *m)
{
	enum store_status st = STORE_OK;
	struct key mark, of;
	size_t i;

	for (i = 0; st == STORE_OK && i < m->n_devices; i++) {
		const uint8_t has = m->devices[i]->has_key != 0;

		mark_keys(&mark, &of, m->group, m->devices[i]->device);
		st = map_put(db->map, &mark, &has, sizeof(has), NULL, 0);
		if (st == STORE_OK)
			st = map_put(db->map, &of, NULL, 0, NULL, 0);
	}
	return st;
}

/* Delete all marks below k, a group's (T_MARK) or a device's (T_MARK_OF). */
static enum store_status
unmark(struct store_db *db, const struct key *k, int by_group)
{
	const struct map_row *row, *next;
	enum store_status st = STORE_OK;
	struct key mark, of;

	for (row = map_from(db->map, k); st == STORE_OK && map_within(row, k); row = next) {
		const char *first = (const char *)row->key + 1;
		const char *second = first + strlen(first) + 1;

		next = map_next(row);
		mark_keys(&mark, &of, by_group ? first : second, by_group ? second : first);
		st = map_delete(db->map, &mark, NULL);
		if (st == STORE_OK)
			st = map_delete(db->map, &of, NULL);
	}
	return st;
}

enum store_status
mem_sender_key_clear(struct store_db *db, const char *group)
{
	struct key k;

	key_of(&k, T_MARK, group);
	return unmark(db, &k, 1);
}

enum store_status
mem_sender_key_drop(struct store_db *db, const char *device)
{
	struct key k;

	key_of(&k, T_MARK_OF, device);
	return unmark(db, &k, 0);
}

enum store_status
mem_sender_key_clear_all(struct store_db *db)
{
	struct key k;

	key_start(&k, T_MARK);
	return unmark(db, &k, 1);
}

/* ---------------------------------------------------------------- reading */

static Stored__SenderKeyDevice *
mark_of(const struct map_row *row, const struct key *group, struct region *r)
{
	Stored__SenderKeyDevice *d = region_alloc(r, sizeof(*d));

	if (d == NULL)
		return NULL;
	stored__sender_key_device__init(d);
	d->device = region_text(r, (const char *)row->key + group->len);
	d->has_key = row->value[0];
	return d->device == NULL ? NULL : d;
}

static enum store_status
marks_of(struct store_db *db, const char *group, struct region *r, Stored__Group *out)
{
	const struct map_row *row;
	struct key k;
	size_t n = 0;

	key_of(&k, T_MARK, group);
	for (row = map_from(db->map, &k); map_within(row, &k); row = map_next(row))
		n++;
	if ((out->devices = region_alloc(r, (n + 1) * sizeof(Stored__SenderKeyDevice *))) == NULL)
		return STORE_NO_MEMORY;
	for (row = map_from(db->map, &k); map_within(row, &k); row = map_next(row)) {
		if ((out->devices[out->n_devices] = mark_of(row, &k, r)) == NULL)
			return STORE_NO_MEMORY;
		out->n_devices++;
	}
	return STORE_OK;
}

enum store_status
mem_group_get(struct store_db *db, const char *group, struct region *r, Stored__Group *out)
{
	const struct map_row *row;
	struct key k;

	if ((out->group = region_text(r, group)) == NULL)
		return STORE_NO_MEMORY;
	key_of(&k, T_GROUP, group);
	if ((row = map_get(db->map, &k)) != NULL) {
		out->has_metadata = 1;
		out->metadata.len = row->len;
		out->metadata.data = region_copy(r, row->value, row->len);
		if (out->metadata.data == NULL)
			return STORE_NO_MEMORY;
	}
	return marks_of(db, group, r, out);
}
