/* The memory of one node tree: a bump arena with a budget, wiped when freed. */
#include <stdlib.h>
#include <string.h>

#include "common/wire/arena.h"

#define PIECE_MAX (64u * 1024)
#define ALIGN     _Alignof(max_align_t)

struct piece {
	struct piece *next;
	size_t size, used;
	max_align_t data[];
};

struct arena {
	struct piece *pieces; /* the newest first */
	struct arena *taken;  /* list of arenas that die with this one */
	struct arena *taken_next;
	struct node *root;
	size_t budget; /* what is left of it */
	size_t next_size;
	int failed, over_budget, is_taken;
};

static struct piece *
piece_new(size_t size)
{
	struct piece *p;

	if (size > SIZE_MAX - sizeof(*p))
		return NULL;
	p = malloc(sizeof(*p) + size);
	if (p == NULL)
		return NULL;
	p->next = NULL;
	p->size = size;
	p->used = 0;
	return p;
}

/* The arena itself lives at the start of its first piece: one malloc for a small tree. */
struct arena *
arena_new(size_t first, size_t budget)
{
	struct piece *p = piece_new(sizeof(struct arena) + first);
	struct arena *a;

	if (p == NULL)
		return NULL;
	a = (struct arena *)(void *)p->data;
	memset(a, 0, sizeof(*a));
	p->used = (sizeof(*a) + ALIGN - 1) / ALIGN * ALIGN;
	if (p->used > p->size)
		p->used = p->size;
	a->pieces = p;
	a->budget = budget;
	a->next_size = first < 256 ? 512 : first * 2;
	return a;
}

static void
pieces_free(struct piece *p)
{
	struct piece *next;

	for (; p != NULL; p = next) {
		next = p->next;
		explicit_bzero(p->data, p->used);
		free(p);
	}
}

void
arena_free(struct arena *a)
{
	struct arena *next;

	/* flatten instead of recursing: a long chain of takeovers costs no stack */
	for (; a != NULL; a = next) {
		struct arena *last = a->taken;

		next = a->taken_next;
		if (last != NULL) {
			while (last->taken_next != NULL)
				last = last->taken_next;
			last->taken_next = next;
			next = a->taken;
		}
		pieces_free(a->pieces);
	}
}

static void *
take(struct arena *a, size_t len, size_t align)
{
	struct piece *p = a->pieces;
	size_t at = (p->used + align - 1) / align * align;

	if (len > a->budget) {
		a->failed = a->over_budget = 1;
		return NULL;
	}
	if (at > p->size || len > p->size - at) {
		size_t size = a->next_size > PIECE_MAX ? PIECE_MAX : a->next_size;

		p = piece_new(len > size ? len : size);
		if (p == NULL) {
			a->failed = 1;
			return NULL;
		}
		a->next_size = size * 2;
		p->next = a->pieces;
		a->pieces = p;
		at = 0;
	}
	p->used = at + len;
	a->budget -= len;
	return (char *)p->data + at;
}

void *
arena_alloc(struct arena *a, size_t len)
{
	return take(a, len, ALIGN);
}

char *
arena_bytes(struct arena *a, size_t len)
{
	return take(a, len, 1);
}

char *
arena_text(struct arena *a, const char *text, size_t len)
{
	char *p = len < SIZE_MAX ? take(a, len + 1, 1) : NULL;

	if (p == NULL)
		return NULL;
	if (len != 0)
		memcpy(p, text, len);
	p[len] = '\0';
	return p;
}

void
arena_fail(struct arena *a)
{
	a->failed = 1;
}

int
arena_failed(const struct arena *a)
{
	return a->failed;
}

int
arena_over_budget(const struct arena *a)
{
	return a->over_budget;
}

void
arena_take(struct arena *parent, struct arena *child)
{
	child->is_taken = 1;
	child->taken_next = parent->taken;
	parent->taken = child;
}

int
arena_taken(const struct arena *a)
{
	return a->is_taken;
}

struct node *
arena_node(struct arena *a)
{
	struct node_box *b = arena_alloc(a, sizeof(*b));

	if (b == NULL)
		return NULL;
	memset(b, 0, sizeof(*b));
	b->arena = a;
	if (a->root == NULL)
		a->root = &b->node;
	return &b->node;
}

struct node *
arena_root(const struct arena *a)
{
	return a->root;
}

struct arena *
arena_of(const struct node *n)
{
	return ((const struct node_box *)(const void *)n)->arena;
}

struct node_box *
arena_box(struct node *n)
{
	return (struct node_box *)(void *)n;
}
