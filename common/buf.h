/* A growable byte buffer that wipes itself: frames, stanzas, anything that may hold secrets. */
#ifndef WARD_BUF_H
#define WARD_BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data;
	size_t len;
	size_t cap;
	size_t max; /* never grows beyond this many bytes; 0 = BUF_MAX_DEFAULT */
	int failed; /* sticky: an append did not fit or memory ran out */
};

#define BUF_MAX_DEFAULT (32u * 1024 * 1024)

/* An empty buffer on the stack or in a struct; buf_clear it in the end. */
#define BUF_INIT                                                                                   \
	{                                                                                          \
		NULL, 0, 0, 0, 0                                                                   \
	}

/* Append. Returns 0, or -1 (sticky `failed`) when the limit or memory is exhausted. */
int buf_put(struct buf *b, const void *data, size_t len);
int buf_put_str(struct buf *b, const char *s); /* without the NUL */
int buf_put_u8(struct buf *b, uint8_t v);
int buf_put_be16(struct buf *b, uint16_t v);
int buf_put_be24(struct buf *b, uint32_t v);
int buf_put_be32(struct buf *b, uint32_t v);
int buf_put_be64(struct buf *b, uint64_t v);
static inline uint32_t
buf_be32(const uint8_t p[4])
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint64_t
buf_be64(const uint8_t p[8])
{
	return (uint64_t)buf_be32(p) << 32 | buf_be32(p + 4);
}
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Room for len more bytes at the end; returns where to write (len already counted), or NULL. */
uint8_t *buf_reserve(struct buf *b, size_t len);

/* Drop n bytes from the front (n <= len). */
void buf_drain(struct buf *b, size_t n);

/* Empty it, wiping but keeping the memory; and wipe + free. NULL is fine for buf_clear. */
void buf_reset(struct buf *b);
void buf_clear(struct buf *b);

/* Adds a NUL behind the data (not counted) and returns it as a C string; NULL on failure. */
const char *buf_cstr(struct buf *b);

#endif
