/* Protocol domain: device lists of users. */
#include "stored/memory/db.h"

static void
key_of(struct key *k, const char *user)
{
	key_start(k, T_DEVICE_LIST);
	key_text(k, user);
}

enum store_status
mem_device_list_put(struct store_db *db, const Stored__DeviceList *l, int64_t now_ms)
{
	struct key k;

	key_of(&k, l->user);
	return mem_put_packed(db, &k, &now_ms, sizeof(now_ms), &l->base);
}

enum store_status
mem_device_list_drop(struct store_db *db, const char *user)
{
	struct key k;

	key_of(&k, user);
	return map_delete(db->map, &k, NULL);
}

enum store_status
mem_device_list_get(
    struct store_db *db, const char *user, struct region *r, Stored__DeviceList **out)
{
	const struct map_row *row;
	struct key k;

	*out = NULL;
	key_of(&k, user);
	if ((row = map_get(db->map, &k)) == NULL)
		return STORE_OK;
	*out = mem_unpack(&stored__device_list__descriptor, row, sizeof(int64_t), r);
	return *out == NULL ? STORE_NO_MEMORY : STORE_OK;
}

enum store_status
mem_device_list_expire(struct store_db *db, int64_t before_ms, size_t max, size_t *n)
{
	return mem_expire(db, T_DEVICE_LIST, before_ms, max, n);
}
