/* What is kept of former devices and former accounts: stored/sqlcipher/quarantine.c. */
#include <string.h>

#include "stored/memory/db.h"

enum store_status
mem_quarantine_people(struct store_db *db, int64_t now_ms)
{
	static const enum table gone[] = {
	    T_CONTACT, T_CONTACT_PN, T_CONTACT_LID, T_CONTACT_ALIAS, T_CONTACT_ALIAS_OF};
	enum store_status st = STORE_OK;
	const struct map_row *row;
	struct key all, k;
	size_t i;

	(void)now_ms;
	key_start(&all, T_CONTACT);
	for (row = map_from(db->map, &all); st == STORE_OK && map_within(row, &all);
	     row = map_next(row)) {
		key_start(&k, T_ASIDE);
		key_bytes(&k, row->key + all.len, row->keylen - all.len);
		st = map_put(db->map, &k, NULL, 0, row->value, row->len);
	}
	for (i = 0; st == STORE_OK && i < sizeof(gone) / sizeof(gone[0]); i++) {
		key_start(&k, gone[i]);
		st = map_clear(db->map, &k);
	}
	return st;
}

/* A sealed record of a device before that generation: its name begins with its number. */
static int
is_old(const struct map_row *row, size_t head, uint32_t below)
{
	const uint8_t domain = row->key[head];
	const char *name = (const char *)row->key + head + 1;
	uint64_t g = 0;

	if (domain < STORED__DOMAIN__IDENTITY || domain > STORED__DOMAIN__KEYSTATE ||
	    name[0] < '1' || name[0] > '9' || strchr(name, '/') == NULL)
		return 0;
	for (; *name >= '0' && *name <= '9' && g < UINT32_MAX; name++)
		g = g * 10 + (uint64_t)(*name - '0');
	return g < below;
}

enum store_status
mem_quarantine_count(struct store_db *db, uint32_t below, uint64_t *records, uint64_t *contacts)
{
	const struct map_row *row;
	struct key k;

	*records = *contacts = 0;
	key_start(&k, T_RECORD);
	for (row = map_from(db->map, &k); map_within(row, &k); row = map_next(row))
		*records += (uint64_t)is_old(row, k.len, below);
	key_start(&k, T_ASIDE);
	for (row = map_from(db->map, &k); map_within(row, &k); row = map_next(row))
		(*contacts)++;
	return STORE_OK;
}

enum store_status
mem_quarantine_purge(struct store_db *db, uint32_t below, size_t max, uint64_t *n)
{
	enum store_status st = STORE_OK;
	const struct map_row *row, *next;
	struct key k;

	*n = 0;
	key_start(&k, T_RECORD);
	for (row = map_from(db->map, &k); st == STORE_OK && *n < max && map_within(row, &k);
	     row = next) {
		next = map_next(row);
		if (is_old(row, k.len, below)) {
			st = map_delete_row(db->map, row);
			(*n)++;
		}
	}
	key_start(&k, T_ASIDE);
	for (row = map_from(db->map, &k); st == STORE_OK && *n < max && map_within(row, &k);
	     row = next) {
		next = map_next(row);
		st = map_delete_row(db->map, row);
		(*n)++;
	}
	return st;
}
