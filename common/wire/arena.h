/* The memory of one node tree: a bump arena that is wiped and freed with the root. Private to
 * wire/. */
#ifndef WARD_WIRE_ARENA_H
#define WARD_WIRE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "common/wire/node.h"

struct arena;

/* Every node is made by us with its arena behind the public part. */
struct node_box {
	struct node node;
	struct arena *arena;
	size_t attrs_cap, children_cap; /* room in the two arrays */
};

/* first: bytes of the first piece; budget: bytes that may be asked for in all. NULL: no memory. */
struct arena *arena_new(size_t first, size_t budget);
void arena_free(struct arena *a); /* wipes; also all arenas that it took over */

/* Aligned for any pointer / not aligned. NULL sets the sticky failure. Not zeroed. */
void *arena_alloc(struct arena *a, size_t len);
char *arena_bytes(struct arena *a, size_t len);
char *arena_text(struct arena *a, const char *text, size_t len); /* copy with a NUL */

void arena_fail(struct arena *a);
int arena_failed(const struct arena *a);
int arena_over_budget(const struct arena *a);

/* child's memory now lives and dies with parent's. */
void arena_take(struct arena *parent, struct arena *child);
int arena_taken(const struct arena *a);

/* An empty zeroed node in the arena; the first one made is the arena's root. */
struct node *arena_node(struct arena *a);
struct node *arena_root(const struct arena *a);
struct arena *arena_of(const struct node *n);
struct node_box *arena_box(struct node *n);

#endif
