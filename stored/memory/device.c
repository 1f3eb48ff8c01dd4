/* Device domain: what apid remembers of its own device. */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/pb.h"
#include "stored/memory/db.h"

#define RECORD_MAX ((size_t)256 * 1024)

enum store_status
mem_device_load(struct store_db *db, struct region *r, Stored__DeviceRecord **out)
{
	const struct map_row *row;
	struct key k;

	key_start(&k, T_DEVICE);
	if ((row = map_get(db->map, &k)) != NULL)
		*out = mem_unpack(&stored__device_record__descriptor, row, 0, r);
	else if ((*out = region_alloc(r, sizeof(**out))) != NULL)
		stored__device_record__init(*out);
	return *out == NULL ? STORE_NO_MEMORY : STORE_OK;
}

/* Two packed messages, one behind the other, are the merged message: the later field wins. */
static enum store_status
append_packed(struct store_db *db, const struct key *k, const Stored__DeviceRecord *set)
{
	const struct map_row *row = map_get(db->map, k);
	enum store_status st;
	uint8_t *packed;
	size_t len;

	if ((packed = pb_pack(&set->base, &len)) == NULL)
		return STORE_NO_MEMORY;
	st = map_put(
	    db->map, k, row != NULL ? row->value : NULL, row != NULL ? row->len : 0, packed, len);
	sodium_memzero(packed, len);
	free(packed);
	return st;
}

enum store_status
mem_device_merge(struct store_db *db, const Stored__DeviceRecord *set)
{
	struct region *r = region_new(RECORD_MAX);
	Stored__DeviceRecord *rec = NULL;
	enum store_status st;
	struct key k;

	if (r == NULL)
		return STORE_NO_MEMORY;
	key_start(&k, T_DEVICE);
	st = append_packed(db, &k, set);
	if (st == STORE_OK)
		st = mem_device_load(db, r, &rec);
	if (st == STORE_OK) {
		/* empty = forget */
		rec->has_routing_info &= rec->routing_info.len > 0;
		rec->has_nct_salt &= rec->nct_salt.len > 0;
		st = mem_put_packed(db, &k, NULL, 0, &rec->base);
	}
	region_free(r);
	return st;
}

enum store_status
mem_device_reset(struct store_db *db)
{
	static const enum table tables[] = {T_DEVICE, T_DEVICE_LIST, T_MARK, T_MARK_OF, T_BASE_KEY,
	    T_TOKEN, T_PENDING, T_GROUP, T_COLLECTION, T_MAC};
	enum store_status st = STORE_OK;
	struct key k;
	size_t i;

	for (i = 0; st == STORE_OK && i < sizeof(tables) / sizeof(tables[0]); i++) {
		key_start(&k, tables[i]);
		st = map_clear(db->map, &k);
	}
	return st;
}
