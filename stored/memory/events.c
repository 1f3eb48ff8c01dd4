/* The event log of an account, and the keys by which an event is known to be there already. */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "stored/memory/db.h"

struct head {
	int64_t added_ms, time_ms;
	size_t type_len, origin_len; /* with their NULs */
};

struct key_head {
	uint64_t seq; /* 0: no event has it */
	int64_t added_ms;
};

static void
seq_key(struct key *k, uint64_t seq)
{
	key_start(k, T_EVENT);
	key_u64(k, seq);
}

static void
dedup_key(struct key *k, const char *text)
{
	key_start(k, T_EVENT_KEY);
	key_text(k, text);
}

static uint64_t
seq_of(const struct map_row *row)
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

static size_t
body_len(const struct map_row *row)
{
	struct head h = head_of(row);

	return row->len - sizeof(h) - h.type_len - h.origin_len;
}

/* The first event above seq. */
static const struct map_row *
event_above(struct store_db *db, uint64_t seq)
{
	const struct map_row *row;
	struct key k, table;

	seq_key(&k, seq);
	key_start(&table, T_EVENT);
	row = map_above(db->map, &k);
	return map_within(row, &table) ? row : NULL;
}

/* ---------------------------------------------------------------- writing */

enum store_status
mem_event_mark(struct store_db *db, const char *key, int64_t now_ms)
{
	const struct key_head h = {0, now_ms};
	struct key k;

	dedup_key(&k, key);
	return map_get(db->map, &k) != NULL ? STORE_OK
					    : map_put(db->map, &k, &h, sizeof(h), NULL, 0);
}

static int
known(struct store_db *db, const char *key)
{
	struct key k;

	dedup_key(&k, key);
	return map_get(db->map, &k) != NULL;
}

static enum store_status
put_event(struct store_db *db, uint64_t seq, int64_t now_ms, const Stored__EventAppend *e)
{
	struct head h = {now_ms, e->time_ms, strlen(e->type) + 1, strlen(e->origin) + 1};
	size_t len = h.type_len + h.origin_len + e->body.len;
	uint8_t *data = malloc(len);
	enum store_status st;
	struct key k;

	if (data == NULL)
		return STORE_NO_MEMORY;
	memcpy(data, e->type, h.type_len);
	memcpy(data + h.type_len, e->origin, h.origin_len);
	memcpy(data + h.type_len + h.origin_len, e->body.data, e->body.len);
	seq_key(&k, seq);
	st = map_put(db->map, &k, &h, sizeof(h), data, len);
	sodium_memzero(data, len);
	free(data);
	return st;
}

enum store_status
mem_event_append(
    struct store_db *db, uint64_t seq, int64_t now_ms, const Stored__EventAppend *e, int *kept)
{
	const struct key_head h = {seq, now_ms};
	enum store_status st;
	struct key k;
	size_t i;

	*kept = 0;
	for (i = 0; i < e->n_unless; i++) {
		if (known(db, e->unless[i]))
			return STORE_OK;
	}
	if (e->dedup != NULL) {
		if (known(db, e->dedup))
			return STORE_OK;
		dedup_key(&k, e->dedup);
		if ((st = map_put(db->map, &k, &h, sizeof(h), NULL, 0)) != STORE_OK)
			return st;
	}
	*kept = 1;
	return put_event(db, seq, now_ms, e);
}

/* ---------------------------------------------------------------- reading */

enum store_status
mem_event_last(struct store_db *db, uint64_t *seq)
{
	const struct map_row *row;
	struct key k, table;

	key_start(&table, T_EVENT);
	key_start(&k, T_EVENT + 1);
	row = map_before(db->map, &k);
	*seq = map_within(row, &table) ? seq_of(row) : 0;
	return STORE_OK;
}

enum store_status
mem_events_walk(struct store_db *db, uint64_t after_seq)
{
	mem_events_stop(db);
	db->walking = 1;
	db->walked = after_seq;
	return STORE_OK;
}

enum store_status
mem_events_step(struct store_db *db, const struct store_event **e)
{
	const struct map_row *row = db->walking ? event_above(db, db->walked) : NULL;
	size_t at = sizeof(struct head);
	uint8_t *copy;
	struct head h;

	*e = NULL;
	if (row == NULL) {
		mem_events_stop(db);
		return STORE_OK;
	}
	/* a copy, since the event may be deleted before the next step */
	if ((copy = realloc(db->event_copy, row->len)) == NULL)
		return STORE_NO_MEMORY;
	db->event_copy = copy;
	db->event_copy_len = row->len;
	memcpy(copy, row->value, row->len);
	h = head_of(row);
	db->walked = db->event.seq = seq_of(row);
	db->event.time_ms = h.time_ms;
	db->event.type = (const char *)copy + at;
	db->event.origin = (const char *)copy + at + h.type_len;
	db->event.body = copy + at + h.type_len + h.origin_len;
	db->event.body_len = body_len(row);
	*e = &db->event;
	return STORE_OK;
}

void
mem_events_stop(struct store_db *db)
{
	if (db->event_copy != NULL)
		sodium_memzero(db->event_copy, db->event_copy_len);
	free(db->event_copy);
	db->event_copy = NULL;
	db->walking = 0;
}

/* ---------------------------------------------------------------- retention */

enum store_status
mem_event_heads(
    struct store_db *db, uint64_t after_seq, struct store_event_head *heads, size_t max, size_t *n)
{
	const struct map_row *row;

	for (*n = 0; *n < max && (row = event_above(db, after_seq)) != NULL; (*n)++) {
		after_seq = seq_of(row);
		heads[*n].seq = after_seq;
		heads[*n].added_ms = head_of(row).added_ms;
		heads[*n].bytes = body_len(row);
	}
	return STORE_OK;
}

enum store_status
mem_events_trim(struct store_db *db, uint64_t upto, size_t max, size_t *n)
{
	const struct map_row *row;
	enum store_status st = STORE_OK;

	*n = 0;
	while (st == STORE_OK && *n < max && (row = event_above(db, 0)) != NULL &&
	       seq_of(row) <= upto) {
		st = map_delete_row(db->map, row);
		(*n)++;
	}
	return st;
}

/* It was noted so long ago, and its event is gone. */
static int
stale(struct store_db *db, const struct map_row *row, int64_t before_ms)
{
	struct key_head h;
	struct key k;

	memcpy(&h, row->value, sizeof(h));
	seq_key(&k, h.seq);
	return h.added_ms < before_ms && map_get(db->map, &k) == NULL;
}

enum store_status
mem_dedup_sweep(struct store_db *db, int64_t before_ms, size_t max, int *wrapped)
{
	const struct map_row *row, *next;
	enum store_status st = STORE_OK;
	struct key table;
	size_t i;

	key_start(&table, T_EVENT_KEY);
	if (db->dedup_at.len == 0)
		db->dedup_at = table;
	row = map_above(db->map, &db->dedup_at);
	for (i = 0; st == STORE_OK && i < max && map_within(row, &table); i++, row = next) {
		next = map_next(row);
		db->dedup_at.len = 0;
		key_bytes(&db->dedup_at, row->key, row->keylen);
		if (stale(db, row, before_ms))
			st = map_delete_row(db->map, row);
	}
	*wrapped = st == STORE_OK && !map_within(row, &table);
	if (*wrapped)
		db->dedup_at = table;
	return st;
}
