/* A database of the memory backend: opening, closing, transactions, values. */
#include "stored/memory/db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "common/pb.h"

/* What was closed stays for the next open of the same name, as a file would. */
static struct store_db *databases;

int
mem_start(void)
{
	log_warnx("store: the backend is \"memory\": nothing survives a restart");
	return 0;
}

void
mem_counters(struct store_counters *out)
{
	memset(out, 0, sizeof(*out)); /* there is nothing to sync */
}

/* ---------------------------------------------------------------- opening */

void
mem_hash_key(const uint8_t *key, uint8_t out[32])
{
	crypto_generichash(out, 32, key, STORE_KEY_LEN, NULL, 0);
}

static int
fits(const struct store_db *db, const uint8_t *key)
{
	uint8_t hash[sizeof(db->key_hash)];

	if (key == NULL)
		return 0;
	mem_hash_key(key, hash);
	return sodium_memcmp(hash, db->key_hash, sizeof(hash)) == 0;
}

static struct store_db *
find(const char *name)
{
	struct store_db *db;

	for (db = databases; db != NULL; db = db->next) {
		if (strcmp(db->name, name) == 0)
			return db;
	}
	return NULL;
}

static void
forget(struct store_db *db)
{
	map_free(db->map);
	sodium_memzero(db->key_hash, sizeof(db->key_hash));
	free(db);
}

/* The log of a new service gets its name. */
static enum store_status
name_log(struct store_db *db)
{
	struct store_log_state log = {.seq_reserved = 0};
	enum store_status st = map_begin(db->map);

	if (st == STORE_OK)
		st = mem_log_name(db, &log);
	return st == STORE_OK ? map_commit(db->map) : st;
}

static enum store_status
create(const struct store_open *o, const char *name, struct store_db **out)
{
	struct store_db *db = calloc(1, sizeof(*db));

	if (db == NULL)
		return STORE_NO_MEMORY;
	db->kind = o->kind;
	snprintf(db->name, sizeof(db->name), "%s", name);
	mem_hash_key(o->key, db->key_hash);
	if ((db->map = map_new()) == NULL ||
	    (db->kind == STORE_SERVICE && name_log(db) != STORE_OK)) {
		forget(db);
		return STORE_NO_MEMORY;
	}
	db->next = databases;
	databases = db;
	*out = db;
	return STORE_OK;
}

static enum store_status
open_or_create(struct store_open *o, const char *name, struct store_db **out)
{
	struct store_db *db = find(name);

	if (db == NULL)
		return create(o, name, out);
	if (db->open)
		return STORE_IN_USE;
	o->rekeyed = fits(db, o->next_key);
	if (!o->rekeyed && !fits(db, o->key))
		return STORE_WRONG_KEY;
	*out = db;
	return STORE_OK;
}

enum store_status
mem_open(struct store_open *o, struct store_db **out)
{
	char name[sizeof((*out)->name)];
	enum store_status st;

	*out = NULL;
	o->rekeyed = o->restored = o->recovered = o->unchecked = 0;
	o->text[0] = '\0';
	if (o->kind == STORE_SERVICE)
		snprintf(name, sizeof(name), "service");
	else
		snprintf(name, sizeof(name), "account-%s", o->account);
	if ((st = open_or_create(o, name, out)) != STORE_OK) {
		snprintf(o->text, sizeof(o->text), "%s: %s", name,
		    st == STORE_WRONG_KEY ? "the key does not open it"
		    : st == STORE_IN_USE  ? "it is open already"
					  : "no memory");
		return st;
	}
	(*out)->open = 1;
	o->restored = o->kind == STORE_ACCOUNT && mem_is_restored(*out);
	return STORE_OK;
}

void
mem_close(struct store_db *db)
{
	if (db == NULL)
		return;
	map_rollback(db->map);
	mem_events_stop(db);
	db->dedup_at.len = 0;
	db->open = 0;
}

void
mem_forget(void)
{
	struct store_db **at = &databases, *db;

	while ((db = *at) != NULL) {
		if (db->open) {
			at = &db->next;
			continue;
		}
		*at = db->next;
		forget(db);
	}
}

uint64_t
mem_bytes(struct store_db *db)
{
	return map_bytes(db->map);
}

/* ---------------------------------------------------------------- transactions */

enum store_status
mem_begin(struct store_db *db)
{
	return map_begin(db->map);
}

enum store_status
mem_commit(struct store_db *db)
{
	return map_commit(db->map);
}

void
mem_rollback(struct store_db *db)
{
	map_rollback(db->map);
}

enum store_status
mem_mark(struct store_db *db)
{
	return map_mark(db->map);
}

enum store_status
mem_mark_keep(struct store_db *db)
{
	return map_mark_keep(db->map);
}

enum store_status
mem_mark_undo(struct store_db *db)
{
	return map_mark_undo(db->map);
}

enum store_status
mem_tidy(struct store_db *db, int idle)
{
	(void)db;
	(void)idle;
	return STORE_OK;
}

/* ---------------------------------------------------------------- values */

enum store_status
mem_put_packed(struct store_db *db, const struct key *k, const void *head, size_t headlen,
    const ProtobufCMessage *m)
{
	enum store_status st;
	uint8_t *packed;
	size_t len;

	if ((packed = pb_pack(m, &len)) == NULL)
		return STORE_NO_MEMORY;
	st = map_put(db->map, k, head, headlen, packed, len);
	sodium_memzero(packed, len);
	free(packed);
	return st;
}

static void *
region_give(void *r, size_t n)
{
	return region_alloc(r, n);
}

static void
region_keep(void *r, void *p)
{
	(void)r;
	(void)p; /* goes with the region */
}

void *
mem_unpack(const ProtobufCMessageDescriptor *desc, const struct map_row *row, size_t headlen,
    struct region *r)
{
	ProtobufCAllocator from_region = {region_give, region_keep, r};

	/* We packed it ourselves: only memory can be missing. */
	return protobuf_c_message_unpack(
	    desc, &from_region, row->len - headlen, row->value + headlen);
}

enum store_status
mem_expire(struct store_db *db, enum table t, int64_t before_ms, size_t max, size_t *n)
{
	const struct map_row *row, *next;
	enum store_status st = STORE_OK;
	int64_t put_ms;
	struct key k;

	*n = 0;
	key_start(&k, t);
	for (row = map_from(db->map, &k); st == STORE_OK && *n < max && map_within(row, &k);
	     row = next) {
		next = map_next(row);
		memcpy(&put_ms, row->value, sizeof(put_ms));
		if (put_ms >= before_ms)
			continue;
		st = map_delete_row(db->map, row);
		(*n)++;
	}
	return st;
}
