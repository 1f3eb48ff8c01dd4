/* The bytes of a file in memory: blocks that are counted, and copied when one of two that share one
 * is changed. So a copy of a file costs little, also to a process that was forked. */
#include "tests/powercut/bytes.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK  4096u
#define CHUNK  256u /* blocks that are allocated together */
#define CHUNKS 4096u

/* Counts lie apart from the blocks: to count touches no page of them. */
static struct {
	uint8_t *chunks[CHUNKS];
	uint32_t *counts;
	uint32_t *free;
	size_t nblocks, nfree;
} pool;

static uint8_t *
block(uint32_t id)
{
	return pool.chunks[id / CHUNK] + (size_t)(id % CHUNK) * BLOCK;
}

static void
grow(void)
{
	size_t chunk = pool.nblocks / CHUNK, i;

	if (chunk == CHUNKS)
		abort();
	pool.chunks[chunk] = malloc((size_t)CHUNK * BLOCK);
	pool.counts = realloc(pool.counts, (pool.nblocks + CHUNK) * sizeof(*pool.counts));
	pool.free = realloc(pool.free, (pool.nblocks + CHUNK) * sizeof(*pool.free));
	if (pool.chunks[chunk] == NULL || pool.counts == NULL || pool.free == NULL)
		abort();
	for (i = CHUNK; i-- > 0;)
		pool.free[pool.nfree++] = (uint32_t)(pool.nblocks + i);
	pool.nblocks += CHUNK;
}

static uint32_t
take(void)
{
	uint32_t id;

	if (pool.nfree == 0)
		grow();
	id = pool.free[--pool.nfree];
	pool.counts[id] = 1;
	return id;
}

static void
give(uint32_t id)
{
	if (--pool.counts[id] == 0)
		pool.free[pool.nfree++] = id;
}

/* The i-th block, not shared with anybody. */
static uint8_t *
own(struct bytes *b, size_t i)
{
	uint32_t id = b->blocks[i];

	if (pool.counts[id] > 1) {
		b->blocks[i] = take();
		memcpy(block(b->blocks[i]), block(id), BLOCK);
		give(id);
	}
	return block(b->blocks[i]);
}

static void
make_room(struct bytes *b, size_t nblocks)
{
	if (nblocks <= b->room)
		return;
	b->room = nblocks + nblocks / 2 + 16;
	b->blocks = realloc(b->blocks, b->room * sizeof(*b->blocks));
	if (b->blocks == NULL)
		abort();
}

void
bytes_size(struct bytes *b, size_t len)
{
	size_t n = (len + BLOCK - 1) / BLOCK;

	while (b->nblocks > n)
		give(b->blocks[--b->nblocks]);
	make_room(b, n);
	while (b->nblocks < n) {
		b->blocks[b->nblocks] = take();
		memset(block(b->blocks[b->nblocks++]), 0, BLOCK);
	}
	if (len < b->len && len % BLOCK != 0) /* what lies behind the end is zero */
		memset(own(b, n - 1) + len % BLOCK, 0, BLOCK - len % BLOCK);
	b->len = len;
}

void
bytes_put(struct bytes *b, size_t off, const void *data, size_t len)
{
	const uint8_t *from = data;

	if (off + len > b->len)
		bytes_size(b, off + len);
	while (len > 0) {
		size_t i = off / BLOCK, at = off % BLOCK, n = len < BLOCK - at ? len : BLOCK - at;

		/* many a write changes nothing */
		if (memcmp(block(b->blocks[i]) + at, from, n) != 0)
			memcpy(own(b, i) + at, from, n);
		off += n;
		from += n;
		len -= n;
	}
}

size_t
bytes_get(const struct bytes *b, size_t off, void *out, size_t len)
{
	uint8_t *to = out;
	size_t left;

	if (off >= b->len)
		return 0;
	if (len > b->len - off)
		len = b->len - off;
	for (left = len; left > 0;) {
		size_t at = off % BLOCK, n = left < BLOCK - at ? left : BLOCK - at;

		memcpy(to, block(b->blocks[off / BLOCK]) + at, n);
		off += n;
		to += n;
		left -= n;
	}
	return len;
}

void
bytes_copy(struct bytes *to, const struct bytes *from)
{
	size_t i;

	if (to == from)
		return;
	for (i = 0; i < from->nblocks; i++)
		pool.counts[from->blocks[i]]++;
	while (to->nblocks > 0)
		give(to->blocks[--to->nblocks]);
	make_room(to, from->nblocks);
	if (from->nblocks > 0)
		memcpy(to->blocks, from->blocks, from->nblocks * sizeof(*to->blocks));
	to->nblocks = from->nblocks;
	to->len = from->len;
}

void
bytes_free(struct bytes *b)
{
	while (b->nblocks > 0)
		give(b->blocks[--b->nblocks]);
	free(b->blocks);
	memset(b, 0, sizeof(*b));
}
