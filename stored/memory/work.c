/* Long work of the contract, which is short here: another key, and the check. */
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "stored/memory/db.h"

enum store_status
mem_rekey_begin(struct store_db *db, const uint8_t *next_key)
{
	mem_hash_key(next_key, db->next_hash);
	return STORE_OK;
}

enum store_status
mem_rekey_step(struct store_db *db, struct store_progress *p)
{
	memcpy(db->key_hash, db->next_hash, sizeof(db->key_hash));
	memset(p, 0, sizeof(*p));
	p->done = p->total = map_bytes(db->map);
	p->ended = 1;
	mem_rekey_stop(db);
	return STORE_OK;
}

void
mem_rekey_stop(struct store_db *db)
{
	sodium_memzero(db->next_hash, sizeof(db->next_hash));
}

#define CHECK_ROWS 1000 /* of a step */

/* All rows stand in their order. */
enum store_status
mem_check_step(struct store_db *db, int begin, struct store_progress *p)
{
	const struct map_row *row;
	size_t i;

	if (begin) {
		memset(p, 0, sizeof(*p));
		p->total = map_rows(db->map);
		db->check_at.len = 0;
	}
	row = map_above(db->map, &db->check_at);
	for (i = 0; i < CHECK_ROWS && row != NULL; i++, row = map_next(row)) {
		struct key k = {.len = 0};

		key_bytes(&k, row->key, row->keylen);
		if (map_get(db->map, &k) != row) {
			snprintf(p->text, sizeof(p->text), "%s: row %llu is out of its order",
			    db->name, (unsigned long long)p->done);
			p->ended = 1;
			return STORE_OK;
		}
		db->check_at = k;
		p->done++;
	}
	p->ended = row == NULL;
	return STORE_OK;
}
