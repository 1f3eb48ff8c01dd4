/* The service's database: the state of the log, and who has read how far; and what a restore leaves
 * in both kinds. */
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "stored/memory/db.h"

/* ---------------------------------------------------------------- the log */

enum store_status
mem_log_load(struct store_db *db, struct store_log_state *out)
{
	const struct map_row *row;
	struct key k;

	key_start(&k, T_LOG);
	if ((row = map_get(db->map, &k)) == NULL)
		return STORE_CORRUPT;
	memcpy(out, row->value, sizeof(*out));
	return STORE_OK;
}

enum store_status
mem_log_save(struct store_db *db, const struct store_log_state *st)
{
	struct key k;

	key_start(&k, T_LOG);
	return map_put(db->map, &k, st, sizeof(*st), NULL, 0);
}

/* ---------------------------------------------------------------- consumers */

static void
consumer_key(struct key *k, uint32_t uid, const char *name)
{
	key_start(k, T_CONSUMER);
	key_u32(k, uid);
	key_text(k, name);
}

enum store_status
mem_consumer_get(
    struct store_db *db, uint32_t uid, const char *name, struct store_consumer *out, int *found)
{
	const struct map_row *row;
	struct key k;

	consumer_key(&k, uid, name);
	row = map_get(db->map, &k);
	*found = row != NULL;
	if (row != NULL)
		memcpy(out, row->value, sizeof(*out));
	return STORE_OK;
}

enum store_status
mem_consumer_put(struct store_db *db, const struct store_consumer *c)
{
	struct key k;

	consumer_key(&k, c->uid, c->name);
	return map_put(db->map, &k, c, sizeof(*c), NULL, 0);
}

enum store_status
mem_consumer_delete(struct store_db *db, uint32_t uid, const char *name)
{
	struct key k;

	consumer_key(&k, uid, name);
	return map_delete(db->map, &k, NULL);
}

enum store_status
mem_consumer_list(struct store_db *db, const uint32_t *uid, struct region *r,
    struct store_consumer **out, size_t *n)
{
	const struct map_row *row;
	size_t total = 0;
	struct key k;

	key_start(&k, T_CONSUMER);
	if (uid != NULL)
		key_u32(&k, *uid);
	for (row = map_from(db->map, &k); map_within(row, &k); row = map_next(row))
		total++;
	*n = 0;
	if ((*out = region_alloc(r, (total + 1) * sizeof(**out))) == NULL)
		return STORE_NO_MEMORY;
	for (row = map_from(db->map, &k); map_within(row, &k); row = map_next(row))
		memcpy(&(*out)[(*n)++], row->value, sizeof(**out));
	return STORE_OK;
}

/* ---------------------------------------------------------------- after a restore */

/* Notes the id of a backup; *again = 1 if it is the one that was noted already. */
static enum store_status
note_backup(struct store_db *db, const char *id, int *again)
{
	const struct map_row *row;
	struct key k;

	key_start(&k, T_META);
	key_text(&k, "backup");
	row = map_get(db->map, &k);
	*again = row != NULL && row->len == strlen(id) && memcmp(row->value, id, strlen(id)) == 0;
	return *again ? STORE_OK : map_put(db->map, &k, NULL, 0, id, strlen(id));
}

static void
restored_key(struct key *k)
{
	key_start(k, T_META);
	key_text(k, "restored");
}

int
mem_is_restored(struct store_db *db)
{
	struct key k;

	restored_key(&k);
	return map_get(db->map, &k) != NULL;
}

static enum store_status
clear_domain(struct store_db *db, Stored__Domain domain)
{
	struct key k;

	key_start(&k, T_RECORD);
	key_u8(&k, (uint8_t)domain);
	return map_clear(db->map, &k);
}

enum store_status
mem_restored(struct store_db *db, const char *id)
{
	enum store_status st;
	struct key k;
	int again;

	if ((st = note_backup(db, id, &again)) != STORE_OK || again)
		return st;
	if ((st = clear_domain(db, STORED__DOMAIN__SESSION)) != STORE_OK ||
	    (st = clear_domain(db, STORED__DOMAIN__SENDER_KEY)) != STORE_OK ||
	    (st = mem_sender_key_clear_all(db)) != STORE_OK)
		return st;
	key_start(&k, T_BASE_KEY);
	if ((st = map_clear(db->map, &k)) != STORE_OK)
		return st;
	restored_key(&k);
	return map_put(db->map, &k, NULL, 0, NULL, 0);
}

enum store_status
mem_restored_done(struct store_db *db)
{
	struct key k;

	restored_key(&k);
	return map_delete(db->map, &k, NULL);
}

enum store_status
mem_log_name(struct store_db *db, struct store_log_state *log)
{
	uint8_t id[(sizeof(log->log_id) - 1) / 2];

	randombytes_buf(id, sizeof(id));
	sodium_bin2hex(log->log_id, sizeof(log->log_id), id, sizeof(id));
	return mem_log_save(db, log);
}

enum store_status
mem_log_rename(struct store_db *db, const char *id)
{
	struct store_log_state log;
	enum store_status st;
	int again;

	if ((st = note_backup(db, id, &again)) != STORE_OK || again ||
	    (st = mem_log_load(db, &log)) != STORE_OK)
		return st;
	return mem_log_name(db, &log);
}
