/* Protocol domain: what repairs need: base keys of sessions, and stanzas that are being dealt with.
 */
#include <string.h>

#include "stored/memory/db.h"

/* ---------------------------------------------------------------- base keys */

static void
base_key(struct key *k, const Stored__BaseKeyName *n)
{
	key_start(k, T_BASE_KEY);
	key_text(k, n->address);
	key_text(k, n->message_id);
}

enum store_status
mem_base_key_put(struct store_db *db, const Stored__BaseKey *b, int64_t now_ms)
{
	struct key k;

	base_key(&k, b->name);
	return map_put(db->map, &k, &now_ms, sizeof(now_ms), b->key.data, b->key.len);
}

enum store_status
mem_base_key_delete(struct store_db *db, const Stored__BaseKeyName *n)
{
	struct key k;

	base_key(&k, n);
	return map_delete(db->map, &k, NULL);
}

enum store_status
mem_base_key_same(struct store_db *db, const Stored__BaseKey *b, int *same)
{
	const size_t head = sizeof(int64_t);
	const struct map_row *row;
	struct key k;

	base_key(&k, b->name);
	row = map_get(db->map, &k);
	*same = row != NULL && row->len - head == b->key.len &&
		memcmp(row->value + head, b->key.data, b->key.len) == 0;
	return STORE_OK;
}

enum store_status
mem_base_key_expire(struct store_db *db, int64_t before_ms, size_t max, size_t *n)
{
	return mem_expire(db, T_BASE_KEY, before_ms, max, n);
}

/* ---------------------------------------------------------------- pending stanzas */

static void
pending_key(struct key *k, const Stored__MessageName *n)
{
	key_start(k, T_PENDING);
	key_text(k, n->chat);
	key_text(k, n->sender);
	key_text(k, n->id);
}

enum store_status
mem_pending_put(struct store_db *db, const Stored__Pending *p, int64_t now_ms)
{
	const struct map_row *row;
	Stored__Pending kept = *p;
	struct key k;

	pending_key(&k, p->name);
	if (p->held)
		now_ms = INT64_MAX;
	kept.has_held = 0;
	if ((row = map_get(db->map, &k)) != NULL) /* it keeps the age of its first time */
		memcpy(&now_ms, row->value, sizeof(now_ms));
	return mem_put_packed(db, &k, &now_ms, sizeof(now_ms), &kept.base);
}

enum store_status
mem_pending_delete(struct store_db *db, const Stored__MessageName *n)
{
	struct key k;

	pending_key(&k, n);
	return map_delete(db->map, &k, NULL);
}

static enum store_status
absent(const Stored__MessageName *n, struct region *r, Stored__Pending *out)
{
	Stored__MessageName *name = region_alloc(r, sizeof(*name));

	if (name == NULL)
		return STORE_NO_MEMORY;
	stored__message_name__init(name);
	name->chat = region_text(r, n->chat);
	name->sender = region_text(r, n->sender);
	name->id = region_text(r, n->id);
	out->name = name;
	return region_failed(r) ? STORE_NO_MEMORY : STORE_OK;
}

enum store_status
mem_pending_get(
    struct store_db *db, const Stored__MessageName *n, struct region *r, Stored__Pending *out)
{
	const struct map_row *row;
	Stored__Pending *p;
	struct key k;

	pending_key(&k, n);
	if ((row = map_get(db->map, &k)) == NULL)
		return absent(n, r, out);
	p = mem_unpack(&stored__pending__descriptor, row, sizeof(int64_t), r);
	if (p == NULL)
		return STORE_NO_MEMORY;
	*out = *p;
	return STORE_OK;
}

enum store_status
mem_pending_expire(struct store_db *db, int64_t before_ms, size_t max, size_t *n)
{
	return mem_expire(db, T_PENDING, before_ms, max, n);
}
