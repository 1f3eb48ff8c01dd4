/* An ordered map of byte strings with transactions: what the memory backend keeps its rows in. */
#ifndef WARD_MEMORY_MAP_H
#define WARD_MEMORY_MAP_H

#include <stddef.h>
#include <stdint.h>

#include <bsd/sys/tree.h>

#include "stored/backend.h"

#define KEY_MAX 1024

/* A key under construction. Its parts keep their order: texts end with a NUL, numbers are big
 * endian. What does not fit is cut off: the shapes that were checked before always fit. */
struct key {
	uint8_t bytes[KEY_MAX];
	size_t len;
};

void key_start(struct key *k, uint8_t table);
void key_u8(struct key *k, uint8_t v);
void key_u32(struct key *k, uint32_t v);
void key_u64(struct key *k, uint64_t v);
void key_text(struct key *k, const char *s);
void key_bytes(struct key *k, const void *p, size_t n);
/* What key_u64 put at offset at of a row's key. */
uint64_t key_read_u64(const uint8_t *key, size_t at);

/* A row. What a write takes away can still be read until the transaction ends; a rollback, or the
 * undoing of a mark, frees what was written since. */
struct map_row {
	RB_ENTRY(map_row) link;
	const uint8_t *key; /* texts in it are C strings */
	size_t keylen;
	const uint8_t *value; /* aligned for nothing: copy numbers out */
	size_t len;
};

struct map;

struct map *map_new(void);    /* NULL when memory is out */
void map_free(struct map *m); /* wipes; NULL is fine */

/* NULL: there is none. */
const struct map_row *map_get(struct map *m, const struct key *k);
const struct map_row *map_from(struct map *m, const struct key *k);   /* the first at or above k */
const struct map_row *map_above(struct map *m, const struct key *k);  /* the first above k */
const struct map_row *map_before(struct map *m, const struct key *k); /* the last below k */
const struct map_row *map_next(const struct map_row *row);
const struct map_row *map_prev(const struct map_row *row);
/* Does the row's key begin with k? row may be NULL. */
int map_within(const struct map_row *row, const struct key *k);

/* Insert or replace; the value is head, then data. STORE_NO_MEMORY: nothing changed. STORE_BAD:
 * there is no transaction. */
enum store_status map_put(struct map *m, const struct key *k, const void *head, size_t headlen,
    const void *data, size_t len);
/* *gone (may be NULL): 1 if it was there. */
enum store_status map_delete(struct map *m, const struct key *k, int *gone);
enum store_status map_delete_row(struct map *m, const struct map_row *row);
/* All whose key begins with k. */
enum store_status map_clear(struct map *m, const struct key *k);

enum store_status map_begin(struct map *m);
enum store_status map_commit(struct map *m);
void map_rollback(struct map *m);
enum store_status map_mark(struct map *m);
enum store_status map_mark_keep(struct map *m);
enum store_status map_mark_undo(struct map *m);

uint64_t map_bytes(const struct map *m); /* of all keys and values */
uint64_t map_rows(const struct map *m);

#endif
