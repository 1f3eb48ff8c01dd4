/* App-state domain: collections and the MACs of their mutations. */
#include <string.h>

#include "stored/memory/db.h"

static void
key_of(struct key *k, enum table t, const char *collection)
{
	key_start(k, t);
	key_text(k, collection);
}

enum store_status
mem_collection_put(struct store_db *db, const Stored__CollectionPut *c)
{
	Stored__Collection row = STORED__COLLECTION__INIT;
	struct key k;

	row.name = c->name;
	row.version = c->version;
	row.has_hash = 1;
	row.hash = c->hash;
	row.has_mac_mismatch_fatal = c->has_mac_mismatch_fatal;
	row.mac_mismatch_fatal = c->mac_mismatch_fatal;
	key_of(&k, T_COLLECTION, c->name);
	return mem_put_packed(db, &k, NULL, 0, &row.base);
}

enum store_status
mem_collection_delete(struct store_db *db, const char *name)
{
	enum store_status st;
	struct key k;

	key_of(&k, T_COLLECTION, name);
	st = map_delete(db->map, &k, NULL);
	return st == STORE_OK ? mem_macs_clear(db, name) : st;
}

enum store_status
mem_collection_get(struct store_db *db, const char *name, struct region *r, Stored__Collection *out)
{
	const struct map_row *row;
	Stored__Collection *c;
	struct key k;

	key_of(&k, T_COLLECTION, name);
	if ((row = map_get(db->map, &k)) == NULL) {
		out->version = 0;
		out->name = region_text(r, name);
		return out->name == NULL ? STORE_NO_MEMORY : STORE_OK;
	}
	if ((c = mem_unpack(&stored__collection__descriptor, row, 0, r)) == NULL)
		return STORE_NO_MEMORY;
	*out = *c;
	return STORE_OK;
}

/* ---------------------------------------------------------------- MACs */

static void
mac_key(struct key *k, const char *collection, const ProtobufCBinaryData *index)
{
	key_of(k, T_MAC, collection);
	key_bytes(k, index->data, index->len);
}

enum store_status
mem_macs_put(struct store_db *db, const Stored__MacsPut *p)
{
	enum store_status st = STORE_OK;
	struct key k;
	size_t i;

	for (i = 0; st == STORE_OK && i < p->n_macs; i++) {
		const Stored__Mac *m = p->macs[i];

		mac_key(&k, p->collection, &m->index);
		st = map_put(
		    db->map, &k, &p->version, sizeof(p->version), m->value.data, m->value.len);
	}
	return st;
}

enum store_status
mem_macs_delete(struct store_db *db, const Stored__MacsDelete *d)
{
	enum store_status st = STORE_OK;
	struct key k;
	size_t i;

	for (i = 0; st == STORE_OK && i < d->n_indexes; i++) {
		mac_key(&k, d->collection, &d->indexes[i]);
		st = map_delete(db->map, &k, NULL);
	}
	return st;
}

enum store_status
mem_macs_clear(struct store_db *db, const char *collection)
{
	struct key k;

	key_of(&k, T_MAC, collection);
	return map_clear(db->map, &k);
}

enum store_status
mem_mac_get(struct store_db *db, const char *collection, const ProtobufCBinaryData *index,
    struct region *r, ProtobufCBinaryData *value)
{
	const size_t version = sizeof(uint64_t);
	const struct map_row *row;
	struct key k;

	memset(value, 0, sizeof(*value));
	mac_key(&k, collection, index);
	if ((row = map_get(db->map, &k)) == NULL)
		return STORE_OK;
	value->len = row->len - version;
	value->data = region_copy(r, row->value + version, value->len);
	return value->data == NULL ? STORE_NO_MEMORY : STORE_OK;
}
