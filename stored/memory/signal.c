/* Signal domain: sealed records and their versions. */
#include <string.h>

#include "stored/memory/db.h"

#define LIST_BYTES ((size_t)2 * 1024 * 1024) /* of sealed records in one list */

struct head {
	uint64_t version;
	int64_t expires_s, message_s; /* of MSG_SECRET */
	uint8_t uploaded;             /* of PREKEY */
};

static void
key_of(struct key *k, Stored__Domain domain, const char *name)
{
	key_start(k, T_RECORD);
	key_u8(k, (uint8_t)domain);
	if (name != NULL)
		key_text(k, name);
}

/* Absent: version 0. */
static struct head
head_of(const struct map_row *row)
{
	struct head h = {.version = 0};

	if (row != NULL)
		memcpy(&h, row->value, sizeof(h));
	return h;
}

static int
sealed_of(const struct map_row *row, struct region *r, ProtobufCBinaryData *out)
{
	out->len = row->len - sizeof(struct head);
	out->data = region_copy(r, row->value + sizeof(struct head), out->len);
	return out->data == NULL ? -1 : 0;
}

enum store_status
mem_record_get(
    struct store_db *db, const Stored__RecordName *name, struct region *r, Stored__Record *out)
{
	const struct map_row *row;
	struct head h;
	struct key k;

	key_of(&k, name->domain, name->name);
	row = map_get(db->map, &k);
	h = head_of(row);
	out->version = h.version;
	if (row == NULL)
		return STORE_OK;
	out->has_sealed = 1;
	if (name->domain == STORED__DOMAIN__MSG_SECRET && h.message_s != 0) {
		out->has_message_s = 1;
		out->message_s = h.message_s;
	}
	return sealed_of(row, r, &out->sealed) == -1 ? STORE_NO_MEMORY : STORE_OK;
}

/* Of a message secret: never wins, else the later time. */
static int64_t
later_expiry(int64_t stored_s, int64_t new_s)
{
	if (stored_s == 0 || new_s == 0)
		return 0;
	return new_s > stored_s ? new_s : stored_s;
}

enum store_status
mem_record_put(struct store_db *db, const Stored__RecordPut *put)
{
	const struct map_row *row;
	struct head h;
	struct key k;

	key_of(&k, put->name->domain, put->name->name);
	row = map_get(db->map, &k);
	h = head_of(row);
	if (h.version != put->version - 1)
		return STORE_VERSION;
	h.version = put->version;
	if (put->has_uploaded)
		h.uploaded = put->uploaded != 0;
	if (put->has_expires_s)
		h.expires_s =
		    row == NULL ? put->expires_s : later_expiry(h.expires_s, put->expires_s);
	if (put->has_message_s && put->message_s > h.message_s)
		h.message_s = put->message_s;
	return map_put(db->map, &k, &h, sizeof(h), put->sealed.data, put->sealed.len);
}

enum store_status
mem_record_delete(struct store_db *db, const Stored__RecordDelete *del)
{
	const struct map_row *row;
	struct key k;

	key_of(&k, del->name->domain, del->name->name);
	row = map_get(db->map, &k);
	if (row == NULL || head_of(row).version != del->version)
		return STORE_VERSION;
	return map_delete_row(db->map, row);
}

enum store_status
mem_record_uploaded(struct store_db *db, const Stored__RecordName *name)
{
	const struct map_row *row;
	struct head h;
	struct key k;

	key_of(&k, name->domain, name->name);
	if ((row = map_get(db->map, &k)) == NULL)
		return STORE_OK;
	h = head_of(row);
	h.uploaded = 1;
	return map_put(db->map, &k, &h, sizeof(h), row->value + sizeof(h), row->len - sizeof(h));
}

/* ---------------------------------------------------------------- lists */

static const char *
name_of(const struct map_row *row)
{
	return (const char *)row->key + 2;
}

static int
chosen(const struct map_row *row, const Stored__RecordsList *q)
{
	return !q->has_uploaded || head_of(row).uploaded == (q->uploaded != 0);
}

static enum store_status
list_row(const struct map_row *row, const Stored__RecordsList *q, struct region *r,
    Stored__RecordNames *out, size_t *bytes)
{
	Stored__RecordEntry *e = region_alloc(r, sizeof(*e));

	if (e == NULL || out->records == NULL)
		return STORE_NO_MEMORY;
	stored__record_entry__init(e);
	if ((e->name = region_text(r, name_of(row))) == NULL)
		return STORE_NO_MEMORY;
	e->version = head_of(row).version;
	e->has_uploaded = q->domain == STORED__DOMAIN__PREKEY;
	e->uploaded = head_of(row).uploaded;
	e->has_sealed = q->has_sealed && q->sealed;
	if (e->has_sealed && sealed_of(row, r, &e->sealed) == -1)
		return STORE_NO_MEMORY;
	*bytes += e->sealed.len;
	out->records[out->n_records++] = e;
	return STORE_OK;
}

enum store_status
mem_record_list(
    struct store_db *db, const Stored__RecordsList *q, struct region *r, Stored__RecordNames *out)
{
	const struct map_row *row, *first = NULL, *last = NULL;
	enum store_status st = STORE_OK;
	struct key k, domain;
	size_t bytes = 0;
	int down = q->has_descending && q->descending;

	key_of(&domain, q->domain, NULL);
	key_of(&k, q->domain, q->from);
	for (row = map_from(db->map, &k); map_within(row, &domain); row = map_next(row)) {
		if (q->below != NULL && strcmp(name_of(row), q->below) >= 0)
			break;
		first = first == NULL ? row : first;
		last = row;
		out->total += (uint64_t)chosen(row, q);
	}
	out->records = region_alloc(r, ((size_t)q->limit + 1) * sizeof(Stored__RecordEntry *));
	for (row = down ? last : first; st == STORE_OK && row != NULL;
	     row = down ? map_prev(row) : map_next(row)) {
		if (out->n_records == q->limit)
			break;
		if (out->n_records > 0 && bytes + row->len - sizeof(struct head) > LIST_BYTES)
			break;
		if (chosen(row, q))
			st = list_row(row, q, r, out, &bytes);
		if (row == (down ? first : last))
			break;
	}
	return region_failed(r) ? STORE_NO_MEMORY : st;
}

enum store_status
mem_record_expire(struct store_db *db, int64_t now_s, size_t max, size_t *n)
{
	const struct map_row *row, *next;
	enum store_status st = STORE_OK;
	struct key k;

	*n = 0;
	key_of(&k, STORED__DOMAIN__MSG_SECRET, NULL);
	for (row = map_from(db->map, &k); st == STORE_OK && *n < max && map_within(row, &k);
	     row = next) {
		struct head h = head_of(row);

		next = map_next(row);
		if (h.expires_s <= 0 || h.expires_s > now_s)
			continue;
		st = map_delete_row(db->map, row);
		(*n)++;
	}
	return st;
}
