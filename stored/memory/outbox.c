/* The outbox: what is to be sent and what was, with the receipts that came for it. */
#include <stdlib.h>
#include <string.h>

#include "stored/memory/db.h"

#define ROW_BYTES          ((size_t)16 * 1024 * 1024) /* more than one row takes, unpacked */
#define FIRST_CONTACTS_MAX 4096

struct head {
	int64_t added_ms;
	uint8_t keyed; /* it is found by its idempotency key */
	uint8_t waits; /* QUEUED or READY */
};

enum receipt_status {
	DELIVERED = 1,
	READ = 2,
	PLAYED = 3
};

struct receipt {
	int64_t time_ms;
	uint8_t status;
};

/* ---------------------------------------------------------------- keys and heads */

static void
row_key(struct key *k, uint64_t n)
{
	key_start(k, T_OUTBOX);
	key_u64(k, n);
}

static void
receipts_key(struct key *k, uint64_t n)
{
	key_start(k, T_RECEIPT);
	key_u64(k, n);
}

static void
id_key(struct key *k, const char *message_id)
{
	key_start(k, T_OUTBOX_ID);
	key_text(k, message_id);
}

static void
idempotency_key(struct key *k, uint32_t uid, const char *key)
{
	key_start(k, T_OUTBOX_KEY);
	key_u32(k, uid);
	key_text(k, key);
}

static uint64_t
number_of(const struct map_row *row)
{
	return key_read_u64(row->key, 1);
}

static struct head
head_of(const struct map_row *row)
{
	struct head h;

	memcpy(&h, row->value, sizeof(h));
	return h;
}

/* The row that an index entry names; NULL if there is none. */
static const struct map_row *
indexed(struct store_db *db, const struct key *index)
{
	const struct map_row *row = map_get(db->map, index);
	uint64_t n;
	struct key k;

	if (row == NULL)
		return NULL;
	memcpy(&n, row->value, sizeof(n));
	row_key(&k, n);
	return map_get(db->map, &k);
}

static const struct map_row *
find(struct store_db *db, const char *message_id)
{
	struct key k;

	id_key(&k, message_id);
	return indexed(db, &k);
}

static Stored__OutboxRow *
unpack(const struct map_row *row, struct region *r)
{
	return mem_unpack(&stored__outbox_row__descriptor, row, sizeof(struct head), r);
}

static enum store_status
save(struct store_db *db, struct head h, const Stored__OutboxRow *row)
{
	struct key k;

	h.waits = row->put->state == STORED__OUTBOX_STATE__QUEUED ||
		  row->put->state == STORED__OUTBOX_STATE__READY;
	row_key(&k, row->row);
	return mem_put_packed(db, &k, &h, sizeof(h), &row->base);
}

/* ---------------------------------------------------------------- writing */

/* One more than any row ever had: numbers are not used twice. */
static enum store_status
next_row(struct store_db *db, uint64_t *n)
{
	const struct map_row *row;
	struct key k;

	key_start(&k, T_META);
	key_text(&k, "outbox");
	*n = 0;
	if ((row = map_get(db->map, &k)) != NULL)
		memcpy(n, row->value, sizeof(*n));
	++*n;
	return map_put(db->map, &k, n, sizeof(*n), NULL, 0);
}

enum store_status
mem_outbox_put(struct store_db *db, const Stored__OutboxPut *p, int64_t now_ms)
{
	const struct head h = {.added_ms = now_ms, .keyed = 1};
	Stored__OutboxRow row = STORED__OUTBOX_ROW__INIT;
	Stored__OutboxPut put = *p;
	struct key by_key, by_id;
	enum store_status st;

	idempotency_key(&by_key, p->uid, p->idempotency_key);
	id_key(&by_id, p->message_id);
	if (map_get(db->map, &by_key) != NULL)
		return STORE_DUPLICATE;
	if (map_get(db->map, &by_id) != NULL)
		return STORE_BAD;
	if ((st = next_row(db, &row.row)) != STORE_OK)
		return st;
	row.put = &put;
	st = save(db, h, &row);
	if (st == STORE_OK)
		st = map_put(db->map, &by_key, &row.row, sizeof(row.row), NULL, 0);
	if (st == STORE_OK)
		st = map_put(db->map, &by_id, &row.row, sizeof(row.row), NULL, 0);
	return st;
}

static void
set_fields(Stored__OutboxRow *row, const Stored__OutboxUpdate *u)
{
	Stored__OutboxPut *p = row->put;

	if (u->has_state)
		p->state = u->state;
	if (u->has_stanza) {
		p->has_stanza = 1;
		p->stanza = u->stanza;
	}
	if (u->has_code) {
		row->has_code = 1;
		row->code = u->code;
	}
	if (u->reason != NULL)
		row->reason = u->reason;
	if (u->has_server_ms) {
		row->has_server_ms = 1;
		row->server_ms = u->server_ms;
	}
	if (u->has_until_ms) {
		row->has_until_ms = 1;
		row->until_ms = u->until_ms;
	}
	if (u->n_devices > 0) {
		p->n_devices = u->n_devices;
		p->devices = u->devices;
	}
}

enum store_status
mem_outbox_update(struct store_db *db, const Stored__OutboxUpdate *u)
{
	const struct map_row *at = find(db, u->message_id);
	struct region *r;
	Stored__OutboxRow *row;
	enum store_status st = STORE_NO_MEMORY;

	if (at == NULL)
		return STORE_OK;
	if ((r = region_new(ROW_BYTES)) == NULL)
		return STORE_NO_MEMORY;
	if ((row = unpack(at, r)) != NULL) {
		set_fields(row, u);
		st = save(db, head_of(at), row);
	}
	region_free(r);
	return st;
}

enum store_status
mem_outbox_take(struct store_db *db, const char *message_id)
{
	const struct map_row *at = find(db, message_id);
	struct region *r;
	Stored__OutboxRow *row;
	enum store_status st;

	if (at == NULL)
		return STORE_ABSENT;
	if ((r = region_new(ROW_BYTES)) == NULL)
		return STORE_NO_MEMORY;
	row = unpack(at, r);
	if (row == NULL) {
		st = STORE_NO_MEMORY;
	} else if (row->has_taken && row->taken) {
		st = STORE_ABSENT;
	} else {
		row->has_taken = row->taken = 1;
		row->put->content.len = 0;
		st = save(db, head_of(at), row);
	}
	region_free(r);
	return st;
}

static uint8_t
rank(const char *status)
{
	if (strcmp(status, "played") == 0)
		return PLAYED;
	return strcmp(status, "read") == 0 ? READ : DELIVERED;
}

/* Whether it is of a chat that the receipt names, or the receipt names none. */
static int
in_chats(const struct map_row *at, const Stored__ReceiptMark *m)
{
	struct region *r = region_new(ROW_BYTES);
	const Stored__OutboxRow *row;
	int found = m->n_chats == 0;

	row = r == NULL ? NULL : unpack(at, r);
	for (size_t i = 0; row != NULL && i < m->n_chats; i++)
		found |= strcmp(row->put->chat, m->chats[i]) == 0;
	region_free(r);
	return found;
}

enum store_status
mem_outbox_receipt(struct store_db *db, const Stored__ReceiptMark *m)
{
	const struct map_row *at = find(db, m->message_id), *before;
	struct receipt now = {m->time_ms, rank(m->status)}, old = {.status = 0};
	struct key k;

	/* of a message that is not ours, or not theirs, nothing is kept: a stranger could fill the
	 * memory, or say that it arrived */
	if (at == NULL || !in_chats(at, m))
		return STORE_OK;
	receipts_key(&k, number_of(at));
	key_text(&k, m->party);
	if ((before = map_get(db->map, &k)) != NULL)
		memcpy(&old, before->value, sizeof(old));
	return now.status > old.status ? map_put(db->map, &k, &now, sizeof(now), NULL, 0)
				       : STORE_OK;
}

/* ---------------------------------------------------------------- reading */

static Stored__OutboxRow *
read_row(struct store_db *db, const struct map_row *at, struct region *r)
{
	Stored__OutboxRow *row = unpack(at, r);
	const struct map_row *receipt;
	struct key k;

	if (row == NULL)
		return NULL;
	row->has_delivered = row->has_read = 1;
	receipts_key(&k, row->row);
	for (receipt = map_from(db->map, &k); map_within(receipt, &k);
	     receipt = map_next(receipt)) {
		struct receipt m;

		memcpy(&m, receipt->value, sizeof(m));
		row->delivered++;
		row->read += m.status >= READ;
	}
	return row;
}

enum store_status
mem_outbox_load(struct store_db *db, uint64_t after_row, uint32_t limit, size_t max_bytes,
    struct region *r, Stored__OutboxRow ***rows, size_t *n)
{
	const struct map_row *at;
	struct key k, table;
	size_t bytes = 0;

	*n = 0;
	if ((*rows = region_alloc(r, (size_t)limit * sizeof(Stored__OutboxRow *))) == NULL)
		return STORE_NO_MEMORY;
	row_key(&k, after_row);
	key_start(&table, T_OUTBOX);
	for (at = map_above(db->map, &k); *n < limit && map_within(at, &table); at = map_next(at)) {
		if (!head_of(at).waits)
			continue;
		bytes += at->len;
		if (*n > 0 && bytes > max_bytes)
			break;
		if (((*rows)[*n] = read_row(db, at, r)) == NULL)
			return STORE_NO_MEMORY;
		(*n)++;
	}
	return STORE_OK;
}

/* How many rows with a smaller number wait; *first: the first of them. */
static uint64_t
waiting_before(struct store_db *db, uint64_t number, const struct map_row **first)
{
	const struct map_row *at;
	struct key table;
	uint64_t n = 0;

	key_start(&table, T_OUTBOX);
	for (at = map_from(db->map, &table); map_within(at, &table) && number_of(at) < number;
	     at = map_next(at)) {
		if (!head_of(at).waits)
			continue;
		if (n++ == 0 && first != NULL)
			*first = at;
	}
	return n;
}

enum store_status
mem_outbox_find(struct store_db *db, uint32_t uid, const char *key, const char *message_id,
    struct region *r, Stored__OutboxRow **out)
{
	const struct map_row *at;
	struct key k;

	*out = NULL;
	if (message_id != NULL)
		id_key(&k, message_id);
	else
		idempotency_key(&k, uid, key);
	if ((at = indexed(db, &k)) == NULL)
		return STORE_OK;
	if ((*out = read_row(db, at, r)) == NULL)
		return STORE_NO_MEMORY;
	if (head_of(at).waits) {
		(*out)->has_ahead = 1;
		(*out)->ahead = waiting_before(db, (*out)->row, NULL);
	}
	return STORE_OK;
}

/* Rises with its first number, as qsort's rule. */
static int
by_time(const void *a, const void *b)
{
	int64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

static enum store_status
first_contacts(struct store_db *db, int64_t since_ms, struct region *r, Stored__OutboxCounts *out)
{
	const struct map_row *at;
	struct key table;
	size_t n = 0;

	key_start(&table, T_CONTACT);
	for (at = map_from(db->map, &table); map_within(at, &table); at = map_next(at))
		n++;
	if ((out->first_out_ms = region_alloc(r, (n + 1) * sizeof(int64_t))) == NULL)
		return STORE_NO_MEMORY;
	for (at = map_from(db->map, &table); map_within(at, &table); at = map_next(at)) {
		struct region *one = region_new(ROW_BYTES);
		Stored__Contact *c =
		    one == NULL ? NULL : mem_unpack(&stored__contact__descriptor, at, 0, one);

		if (c != NULL && c->has_first_out_ms && c->first_out_ms > since_ms)
			out->first_out_ms[out->n_first_out_ms++] = c->first_out_ms;
		region_free(one);
		if (c == NULL)
			return STORE_NO_MEMORY;
	}
	qsort(out->first_out_ms, out->n_first_out_ms, sizeof(int64_t), by_time);
	if (out->n_first_out_ms > FIRST_CONTACTS_MAX) {
		out->first_out_ms += out->n_first_out_ms - FIRST_CONTACTS_MAX;
		out->n_first_out_ms = FIRST_CONTACTS_MAX;
	}
	return STORE_OK;
}

enum store_status
mem_outbox_count(struct store_db *db, int64_t since_ms, struct region *r, Stored__OutboxCounts *out)
{
	const struct map_row *first = NULL;
	const Stored__OutboxRow *row;

	out->waiting = waiting_before(db, UINT64_MAX, &first);
	if (first != NULL) {
		if ((row = unpack(first, r)) == NULL)
			return STORE_NO_MEMORY;
		out->has_oldest_ms = 1;
		out->oldest_ms = row->put->created_ms;
	}
	return first_contacts(db, since_ms, r, out);
}

static int
later_first(const void *a, const void *b)
{
	const Stored__ReceiptMark *x = *(Stored__ReceiptMark *const *)a,
				  *y = *(Stored__ReceiptMark *const *)b;

	if (x->time_ms != y->time_ms)
		return x->time_ms < y->time_ms ? 1 : -1;
	return strcmp(x->party, y->party);
}

enum store_status
mem_outbox_receipts(
    struct store_db *db, uint64_t row, struct region *r, Stored__ReceiptMark ***marks, size_t *n)
{
	static const char *const words[] = {
	    [DELIVERED] = "delivered", [READ] = "read", [PLAYED] = "played"};
	const struct map_row *at;
	struct receipt m;
	struct key k;
	size_t count = 0;

	*n = 0;
	receipts_key(&k, row);
	for (at = map_from(db->map, &k); map_within(at, &k); at = map_next(at))
		count++;
	if ((*marks = region_alloc(r, (count + 1) * sizeof(Stored__ReceiptMark *))) == NULL)
		return STORE_NO_MEMORY;
	for (at = map_from(db->map, &k); map_within(at, &k); at = map_next(at)) {
		Stored__ReceiptMark *out = region_alloc(r, sizeof(*out));

		if (out == NULL)
			return STORE_NO_MEMORY;
		memcpy(&m, at->value, sizeof(m));
		stored__receipt_mark__init(out);
		out->message_id = region_text(r, "");
		out->party = region_text(r, (const char *)at->key + k.len);
		out->status = region_text(
		    r, words[m.status >= DELIVERED && m.status <= PLAYED ? m.status : DELIVERED]);
		out->time_ms = m.time_ms;
		(*marks)[(*n)++] = out;
	}
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
	qsort(*marks, *n, sizeof(**marks), later_first);
	*n = *n < STORE_RECEIPTS_MAX ? *n : STORE_RECEIPTS_MAX;
	return region_failed(r) ? STORE_NO_MEMORY : STORE_OK;
}

/* ---------------------------------------------------------------- expiry */

/* Its key may be used for another message from now on. */
static enum store_status
free_key(struct store_db *db, const struct map_row *at, Stored__OutboxRow *row)
{
	struct head h = head_of(at);
	enum store_status st;
	struct key k;

	idempotency_key(&k, row->put->uid, row->put->idempotency_key);
	if ((st = map_delete(db->map, &k, NULL)) != STORE_OK)
		return st;
	row->put->idempotency_key[0] = '\0';
	h.keyed = 0;
	return save(db, h, row);
}

static enum store_status delete (
    struct store_db *db, const struct map_row *at, const Stored__OutboxRow *row) {
	enum store_status st; struct key k;

	    id_key(&k, row->put->message_id);
	    if ((st = map_delete(db->map, &k, NULL)) != STORE_OK) return st;
	    if (head_of(at).keyed){idempotency_key(&k, row->put->uid, row->put->idempotency_key);
		if ((st = map_delete(db->map, &k, NULL)) != STORE_OK) return st;
}
receipts_key(&k, row->row);
if ((st = map_clear(db->map, &k)) != STORE_OK)
	return st;
return map_delete_row(db->map, at);
}

static enum store_status
expire_row(struct store_db *db, const struct map_row *at, int whole)
{
	struct region *r = region_new(ROW_BYTES);
	Stored__OutboxRow *row = r != NULL ? unpack(at, r) : NULL;
	enum store_status st = STORE_NO_MEMORY;

	if (row != NULL)
		st = whole ? delete (db, at, row) : free_key(db, at, row);
	region_free(r);
	return st;
}

enum store_status
mem_outbox_expire(
    struct store_db *db, int64_t keys_before_ms, int64_t rows_before_ms, size_t max, size_t *n)
{
	const struct map_row *at, *next;
	enum store_status st = STORE_OK;
	struct key table;

	*n = 0;
	key_start(&table, T_OUTBOX);
	for (at = map_from(db->map, &table); st == STORE_OK && *n < max && map_within(at, &table);
	     at = next) {
		struct head h = head_of(at);
		int whole = !h.waits && h.added_ms < rows_before_ms;

		next = map_next(at);
		if (!whole && !(h.keyed && h.added_ms < keys_before_ms))
			continue;
		st = expire_row(db, at, whole);
		(*n)++;
	}
	return st;
}
