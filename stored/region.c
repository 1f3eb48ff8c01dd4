/* A region: memory for the parts of one answer, wiped and freed together. */
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "stored/region.h"

#define CHUNK_MIN 4096u

struct chunk {
	struct chunk *next;
	size_t used, size;
	max_align_t data[];
};

struct region {
	struct chunk *chunks; /* newest first */
	size_t used, max;
	int failed;
};

struct region *
region_new(size_t max)
{
	struct region *r = calloc(1, sizeof(*r));

	if (r != NULL)
		r->max = max;
	return r;
}

void
region_free(struct region *r)
{
	struct chunk *c, *next;

	if (r == NULL)
		return;
	for (c = r->chunks; c != NULL; c = next) {
		next = c->next;
		sodium_memzero(c->data, c->used);
		free(c);
	}
	free(r);
}

static struct chunk *
chunk_add(struct region *r, size_t n)
{
	size_t size = n > CHUNK_MIN ? n : CHUNK_MIN;
	struct chunk *c = calloc(1, sizeof(*c) + size);

	if (c == NULL)
		return NULL;
	c->size = size;
	c->next = r->chunks;
	r->chunks = c;
	return c;
}

void *
region_alloc(struct region *r, size_t n)
{
	const size_t align = alignof(max_align_t);
	struct chunk *c = r->chunks;
	void *p;

	if (n > r->max - r->used || n > SIZE_MAX / 2) {
		r->failed = 1;
		return NULL;
	}
	n = (n + align - 1) / align * align;
	if (c == NULL || n > c->size - c->used)
		c = chunk_add(r, n);
	if (c == NULL) {
		r->failed = 1;
		return NULL;
	}
	p = (char *)c->data + c->used;
	c->used += n;
	r->used += n < r->max - r->used ? n : r->max - r->used;
	return p;
}

void *
region_copy(struct region *r, const void *data, size_t n)
{
	char *p = n < SIZE_MAX / 2 ? region_alloc(r, n + 1) : NULL;

	if (p != NULL && n > 0)
		memcpy(p, data, n);
	return p;
}

char *
region_text(struct region *r, const char *s)
{
	return region_copy(r, s, strlen(s));
}

int
region_failed(const struct region *r)
{
	return r->failed;
}
