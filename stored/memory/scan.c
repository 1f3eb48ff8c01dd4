/* Walking through the tables of the contract, and counting the rows of all. */
#include <string.h>

#include <sodium.h>

#include "stored/memory/db.h"

/* A table of the contract: where it lies, its message, and the list of the answer. */
struct scanned {
	enum table table;
	size_t headlen;
	const ProtobufCMessageDescriptor *desc;
	size_t list, count; /* offsets in Stored__ScanReply */
};

#define LIST(field) offsetof(Stored__ScanReply, field), offsetof(Stored__ScanReply, n_##field)
static const struct scanned tables[] = {
    [STORED__TABLE__CONTACTS] = {T_CONTACT, 0, &stored__contact__descriptor, LIST(contacts)},
    [STORED__TABLE__DEVICE_LISTS] = {T_DEVICE_LIST, sizeof(int64_t),
	&stored__device_list__descriptor, LIST(device_lists)},
    [STORED__TABLE__GROUPS] = {T_GROUP, 0, NULL, LIST(groups)},
    [STORED__TABLE__COLLECTIONS] = {T_COLLECTION, 0, &stored__collection__descriptor,
	LIST(collections)},
    [STORED__TABLE__TOKENS] = {T_TOKEN, 0, &stored__token__descriptor, LIST(tokens)},
    [STORED__TABLE__PENDINGS] = {T_PENDING, sizeof(int64_t), &stored__pending__descriptor,
	LIST(pendings)},
};

/* ---------------------------------------------------------------- where to go on */

/* `next` is the last row's key in hex, without the table. */
static int
parse_after(struct key *k, const char *after)
{
	uint8_t bytes[KEY_MAX - 1];
	size_t len;

	if (sodium_hex2bin(bytes, sizeof(bytes), after, strlen(after), NULL, &len, NULL) != 0 ||
	    len == 0)
		return -1;
	key_bytes(k, bytes, len);
	return 0;
}

static char *
write_next(const struct map_row *row, struct region *r)
{
	size_t len = 2 * (row->keylen - 1) + 1;
	char *next = region_alloc(r, len);

	return next == NULL ? NULL : sodium_bin2hex(next, len, row->key + 1, row->keylen - 1);
}

/* ---------------------------------------------------------------- the rows */

/* Metadata is not packed: it stands alone in its row. */
static void *
group_of(const struct map_row *row, struct region *r)
{
	Stored__Group *g = region_alloc(r, sizeof(*g));

	if (g == NULL)
		return NULL;
	stored__group__init(g);
	g->group = region_text(r, (const char *)row->key + 1);
	g->has_metadata = 1;
	g->metadata.len = row->len;
	g->metadata.data = region_copy(r, row->value, row->len);
	return region_failed(r) ? NULL : g;
}

static enum store_status
fill(struct store_db *db, const struct scanned *t, const struct key *from, uint32_t limit,
    size_t max_bytes, struct region *r, Stored__ScanReply *out)
{
	void **list = region_alloc(r, (size_t)limit * sizeof(*list));
	const struct map_row *row, *last = NULL;
	size_t bytes = 0, n = 0;
	struct key table;

	if (list == NULL)
		return STORE_NO_MEMORY;
	key_start(&table, (uint8_t)t->table);
	for (row = map_above(db->map, from); map_within(row, &table); row = map_next(row)) {
		bytes += row->keylen + row->len;
		if (n == limit || (n > 0 && bytes > max_bytes))
			break;
		list[n] =
		    t->desc == NULL ? group_of(row, r) : mem_unpack(t->desc, row, t->headlen, r);
		if (list[n++] == NULL)
			return STORE_NO_MEMORY;
		last = row;
	}
	memcpy((char *)out + t->list, &list, sizeof(list));
	memcpy((char *)out + t->count, &n, sizeof(n));
	if (last != NULL && map_within(row, &table) && (out->next = write_next(last, r)) == NULL)
		return STORE_NO_MEMORY;
	return STORE_OK;
}

enum store_status
mem_scan(struct store_db *db, const Stored__Scan *q, size_t max_bytes, struct region *r,
    Stored__ScanReply *out)
{
	const struct scanned *t;
	struct key from;

	if (q->table < STORED__TABLE__CONTACTS || q->table > STORED__TABLE__PENDINGS)
		return STORE_BAD;
	t = &tables[q->table];
	key_start(&from, (uint8_t)t->table);
	if (q->after != NULL && parse_after(&from, q->after) == -1)
		return STORE_BAD;
	return fill(db, t, &from, q->limit, max_bytes, r, out);
}

/* ---------------------------------------------------------------- numbers */

static uint64_t
rows_of(struct store_db *db, enum table t)
{
	const struct map_row *row;
	uint64_t n = 0;
	struct key k;

	key_start(&k, (uint8_t)t);
	for (row = map_from(db->map, &k); map_within(row, &k); row = map_next(row))
		n++;
	return n;
}

enum store_status
mem_tables(struct store_db *db, struct region *r, Stored__TableStat ***out, size_t *n)
{
	static const struct {
		enum table table;
		const char *name;
	} known[] = {
	    {T_RECORD, "record"},
	    {T_COLLECTION, "collection"},
	    {T_MAC, "mac"},
	    {T_DEVICE, "device"},
	    {T_CONTACT, "contact"},
	    {T_DEVICE_LIST, "device_list"},
	    {T_GROUP, "group"},
	    {T_MARK, "sender_key_device"},
	    {T_BASE_KEY, "base_key"},
	    {T_TOKEN, "token"},
	    {T_PENDING, "pending"},
	    {T_EVENT, "event"},
	    {T_EVENT_KEY, "event_key"},
	    {T_OUTBOX, "outbox"},
	    {T_RECEIPT, "receipt"},
	    {T_CONSUMER, "consumer"},
	};
	const size_t total = sizeof(known) / sizeof(known[0]);
	Stored__TableStat **list = region_alloc(r, (*n + total) * sizeof(Stored__TableStat *));
	size_t i;

	if (list == NULL)
		return STORE_NO_MEMORY;
	if (*n > 0)
		memcpy(list, *out, *n * sizeof(Stored__TableStat *));
	for (i = 0; i < total; i++) {
		Stored__TableStat *t;

		if ((known[i].table == T_CONSUMER) != (db->kind == STORE_SERVICE))
			continue;
		if ((t = region_alloc(r, sizeof(*t))) == NULL)
			return STORE_NO_MEMORY;
		stored__table_stat__init(t);
		t->account =
		    region_text(r, db->kind == STORE_SERVICE ? "" : db->name + strlen("account-"));
		t->table = region_text(r, known[i].name);
		t->rows = rows_of(db, known[i].table);
		list[(*n)++] = t;
	}
	*out = list;
	return region_failed(r) ? STORE_NO_MEMORY : STORE_OK;
}
