/* Protocol domain: trusted-contact tokens. */
#include "stored/memory/db.h"

#define TOKEN_BYTES ((size_t)16 * 1024) /* more than one token takes, unpacked */

static void
key_of(struct key *k, const char *user)
{
	key_start(k, T_TOKEN);
	key_text(k, user);
}

enum store_status
mem_token_put(struct store_db *db, const Stored__Token *t)
{
	struct key k;

	key_of(&k, t->user);
	return mem_put_packed(db, &k, NULL, 0, &t->base);
}

enum store_status
mem_token_delete(struct store_db *db, const char *user)
{
	struct key k;

	key_of(&k, user);
	return map_delete(db->map, &k, NULL);
}

enum store_status
mem_token_get(struct store_db *db, const char *user, struct region *r, Stored__Token *out)
{
	const struct map_row *row;
	Stored__Token *t;
	struct key k;

	key_of(&k, user);
	if ((row = map_get(db->map, &k)) == NULL) {
		out->user = region_text(r, user);
		return out->user == NULL ? STORE_NO_MEMORY : STORE_OK;
	}
	if ((t = mem_unpack(&stored__token__descriptor, row, 0, r)) == NULL)
		return STORE_NO_MEMORY;
	*out = *t;
	return STORE_OK;
}

enum store_status
mem_token_received(struct store_db *db, const Stored__TokenReceived *got)
{
	struct region *r = region_new(TOKEN_BYTES);
	Stored__Token t = STORED__TOKEN__INIT;
	enum store_status st;

	if (r == NULL)
		return STORE_NO_MEMORY;
	st = mem_token_get(db, got->user, r, &t);
	if (st == STORE_OK && (t.token.len == 0 || t.token_s <= got->token_s)) {
		t.token = got->token;
		t.token_s = got->token_s;
		st = mem_token_put(db, &t);
	}
	region_free(r);
	return st;
}

enum store_status
mem_token_touch(struct store_db *db, const Stored__TokenTouch *touch)
{
	struct region *r = region_new(TOKEN_BYTES);
	Stored__Token t = STORED__TOKEN__INIT;
	const struct map_row *row;
	enum store_status st;
	struct key k;

	if (r == NULL)
		return STORE_NO_MEMORY;
	key_of(&k, touch->user);
	row = map_get(db->map, &k);
	st = mem_token_get(db, touch->user, r, &t);
	if (row == NULL)
		t.token_s = touch->sender_s;
	if (st == STORE_OK && (!t.has_sender_s || t.sender_s < touch->sender_s)) {
		t.has_sender_s = 1;
		t.sender_s = touch->sender_s;
		st = mem_token_put(db, &t);
	}
	region_free(r);
	return st;
}

static int
old(const Stored__Token *t, const Stored__TokenExpire *cut)
{
	return (t->token.len == 0 || t->token_s < cut->token_cutoff_s) &&
	       (!t->has_sender_s || t->sender_s < cut->sender_cutoff_s);
}

enum store_status
mem_token_expire(struct store_db *db, const Stored__TokenExpire *cut, uint64_t *n)
{
	const struct map_row *row, *next;
	enum store_status st = STORE_OK;
	struct key k;

	*n = 0;
	key_start(&k, T_TOKEN);
	for (row = map_from(db->map, &k); st == STORE_OK && map_within(row, &k); row = next) {
		struct region *r = region_new(TOKEN_BYTES);
		const Stored__Token *t =
		    r == NULL ? NULL : mem_unpack(&stored__token__descriptor, row, 0, r);

		next = map_next(row);
		if (t == NULL) {
			st = STORE_NO_MEMORY;
		} else if (old(t, cut)) {
			st = map_delete_row(db->map, row);
			(*n)++;
		}
		region_free(r);
	}
	return st;
}
