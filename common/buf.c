/* A growable byte buffer that wipes itself. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

#define BUF_FIRST 256

/* Move to a block of at least `want` bytes; the old block is wiped, which realloc would not do. */
static int
buf_grow(struct buf *b, size_t want)
{
	size_t cap = b->cap > 0 ? b->cap : BUF_FIRST;
	uint8_t *data;

	while (cap < want)
		cap *= 2;
	if ((data = malloc(cap)) == NULL)
		return -1;
	if (b->data != NULL) {
		memcpy(data, b->data, b->len);
		explicit_bzero(b->data, b->cap);
		free(b->data);
	}
	b->data = data;
	b->cap = cap;
	return 0;
}

uint8_t *
buf_reserve(struct buf *b, size_t len)
{
	size_t max = b->max > 0 ? b->max : BUF_MAX_DEFAULT;
	uint8_t *at;

	if (b->failed)
		return NULL;
	if (b->len > max || len > max - b->len) {
		b->failed = 1;
		return NULL;
	}
	if ((b->data == NULL || len > b->cap - b->len) && buf_grow(b, b->len + len) == -1) {
		b->failed = 1;
		return NULL;
	}
	at = b->data + b->len;
	b->len += len;
	return at;
}

int
buf_put(struct buf *b, const void *data, size_t len)
{
	uint8_t *at;

	if ((at = buf_reserve(b, len)) == NULL)
		return -1;
	if (len > 0)
		memcpy(at, data, len);
	return 0;
}

int
buf_put_str(struct buf *b, const char *s)
{
	return buf_put(b, s, strlen(s));
}

/* The low n bytes of v, most significant first. */
static int
buf_put_be(struct buf *b, uint64_t v, unsigned n)
{
	uint8_t *at;
	unsigned i;

	if ((at = buf_reserve(b, n)) == NULL)
		return -1;
	for (i = 0; i < n; i++)
		at[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
	return 0;
}

int
buf_put_u8(struct buf *b, uint8_t v)
{
	return buf_put_be(b, v, 1);
}

int
buf_put_be16(struct buf *b, uint16_t v)
{
	return buf_put_be(b, v, 2);
}

int
buf_put_be24(struct buf *b, uint32_t v)
{
	return buf_put_be(b, v, 3);
}

int
buf_put_be32(struct buf *b, uint32_t v)
{
	return buf_put_be(b, v, 4);
}

int
buf_put_be64(struct buf *b, uint64_t v)
{
	return buf_put_be(b, v, 8);
}

int
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	uint8_t *at;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	/* one byte more for the NUL that vsnprintf insists on */
	if (n < 0 || (at = buf_reserve(b, (size_t)n + 1)) == NULL) {
		b->failed = 1;
		return -1;
	}
	va_start(ap, fmt);
	vsnprintf((char *)at, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len--;
	return 0;
}

void
buf_drain(struct buf *b, size_t n)
{
	size_t left;

	if (n > b->len)
		n = b->len;
	if (n == 0)
		return;
	left = b->len - n;
	memmove(b->data, b->data + n, left);
	explicit_bzero(b->data + left, n);
	b->len = left;
}

void
buf_reset(struct buf *b)
{
	/* the whole block: a caller may have cut `len` by hand */
	if (b->data != NULL)
		explicit_bzero(b->data, b->cap);
	b->len = 0;
	b->failed = 0;
}

void
buf_clear(struct buf *b)
{
	if (b == NULL)
		return;
	buf_reset(b);
	free(b->data);
	b->data = NULL;
	b->cap = 0;
}

const char *
buf_cstr(struct buf *b)
{
	if (b->failed)
		return NULL;
	if ((b->data == NULL || b->len == b->cap) && buf_grow(b, b->len + 1) == -1) {
		b->failed = 1;
		return NULL;
	}
	b->data[b->len] = '\0';
	return (const char *)b->data;
}
