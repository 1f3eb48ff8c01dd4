/* App-state domain: collections and their MACs. */
#include "tests/powercut/rows.h"

#define MACS 3

static const struct store_backend *const b = &store_sqlcipher;

static enum store_status
put_collection(struct store_db *db, char *name, unsigned u)
{
	Stored__CollectionPut c = STORED__COLLECTION_PUT__INIT;

	c.name = name;
	c.version = u;
	c.hash = rows_bytes(u, 400, 128);
	return b->collection_put(db, &c);
}

static enum presence
have_collection(struct store_db *db, struct region *r, char *name, unsigned u)
{
	Stored__Collection c = STORED__COLLECTION__INIT;

	if (b->collection_get(db, name, r, &c) != STORE_OK)
		return WRONG;
	if (c.version == 0)
		return ABSENT;
	return c.version == u ? rows_same(&c.hash, u, 400, 128) : WRONG;
}

static enum store_status
put_macs(struct store_db *db, char *name, unsigned u)
{
	Stored__MacsPut p = STORED__MACS_PUT__INIT;
	Stored__Mac mac[MACS], *macs[MACS];
	uint8_t bytes[MACS][64];
	unsigned i, k;

	for (i = 0; i < MACS; i++) {
		const ProtobufCBinaryData d = rows_bytes(u, 401 + i, 64);

		for (k = 0; k < 64; k++)
			bytes[i][k] = d.data[k];
		stored__mac__init(&mac[i]);
		mac[i].index.data = bytes[i];
		mac[i].value.data = bytes[i] + 32;
		mac[i].index.len = mac[i].value.len = 32;
		macs[i] = &mac[i];
	}
	p.collection = name;
	p.version = u;
	p.macs = macs;
	p.n_macs = MACS;
	return b->macs_put(db, &p);
}

/* All of them, or none. */
static enum presence
have_macs(struct store_db *db, struct region *r, const char *name, unsigned u)
{
	unsigned i, there = 0;

	for (i = 0; i < MACS; i++) {
		ProtobufCBinaryData d = rows_bytes(u, 401 + i, 64), value = {0, NULL};
		size_t k;

		d.len = 32;
		if (b->mac_get(db, name, &d, r, &value) != STORE_OK)
			return WRONG;
		for (k = 0; value.len == 32 && k < 32 && value.data[k] == d.data[32 + k]; k++)
			continue;
		if (value.len != 0 && k < 32)
			return WRONG;
		there += value.len != 0;
	}
	return there == MACS ? THERE : there == 0 ? ABSENT : WRONG;
}

/* ---------------------------------------------------------------- one that goes on */

static char regular[] = "regular";

static enum store_status
patch_put(struct store_db *db, unsigned u)
{
	return put_collection(db, regular, u);
}

static enum presence
patch_have(struct store_db *db, struct region *r, unsigned u)
{
	return have_collection(db, r, regular, u);
}

static enum store_status
macs_put(struct store_db *db, unsigned u)
{
	return put_macs(db, regular, u);
}

static enum store_status
macs_drop(struct store_db *db, unsigned u)
{
	Stored__MacsDelete m = STORED__MACS_DELETE__INIT;
	ProtobufCBinaryData indexes[MACS];
	unsigned i;

	for (i = 0; i < MACS; i++) {
		indexes[i] = rows_bytes(u, 401 + i, 64);
		indexes[i].len = 32;
	}
	m.collection = regular;
	m.indexes = indexes;
	m.n_indexes = MACS;
	return b->macs_delete(db, &m);
}

static enum presence
macs_have(struct store_db *db, struct region *r, unsigned u)
{
	return have_macs(db, r, regular, u);
}

/* ---------------------------------------------------------------- ones that go */

static enum store_status
collection_put(struct store_db *db, unsigned u)
{
	enum store_status st = put_collection(db, rows_name("c", u), u);

	return st == STORE_OK ? put_macs(db, rows_name("c", u), u) : st;
}

static enum store_status
collection_drop(struct store_db *db, unsigned u)
{
	return b->collection_delete(db, rows_name("c", u));
}

static enum presence
collection_have(struct store_db *db, struct region *r, unsigned u)
{
	enum presence p = have_collection(db, r, rows_name("c", u), u);

	return have_macs(db, r, rows_name("c", u), u) == p ? p : WRONG;
}

static enum store_status
snapshot_put(struct store_db *db, unsigned u)
{
	return put_macs(db, rows_name("n", u), u);
}

static enum store_status
snapshot_drop(struct store_db *db, unsigned u)
{
	return b->macs_clear(db, rows_name("n", u));
}

static enum presence
snapshot_have(struct store_db *db, struct region *r, unsigned u)
{
	return have_macs(db, r, rows_name("n", u), u);
}

const struct row rows_appsync[] = {
    {"collection", 9, 3, 0, LATEST, 0, ROW_DEVICE, patch_put, NULL, patch_have},
    {"MACs", 9, 3, 27, OWN, 0, ROW_DEVICE, macs_put, macs_drop, macs_have},
    {"whole collection", 18, 7, 18, OWN, 0, ROW_DEVICE, collection_put, collection_drop,
	collection_have},
    {"MACs of a snapshot", 18, 11, 18, OWN, 0, ROW_DEVICE, snapshot_put, snapshot_drop,
	snapshot_have},
    {0},
};
