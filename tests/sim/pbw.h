/* A tiny protobuf writer, for messages whose schema the tree does not carry. */
#ifndef SIM_PBW_H
#define SIM_PBW_H

#include <string.h>

#include "common/buf.h"

static inline void
pbw_raw(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_put_u8(b, (uint8_t)(v | 0x80));
	buf_put_u8(b, (uint8_t)v);
}

static inline void
pbw_varint(struct buf *b, unsigned field, uint64_t v)
{
	pbw_raw(b, (uint64_t)field << 3);
	pbw_raw(b, v);
}

static inline void
pbw_bytes(struct buf *b, unsigned field, const void *data, size_t len)
{
	pbw_raw(b, (uint64_t)field << 3 | 2);
	pbw_raw(b, len);
	buf_put(b, data, len);
}

static inline void
pbw_str(struct buf *b, unsigned field, const char *s)
{
	pbw_bytes(b, field, s, strlen(s));
}

/* A sub-message, taken from `inner`, which is cleared. */
static inline void
pbw_msg(struct buf *b, unsigned field, struct buf *inner)
{
	pbw_bytes(b, field, inner->data, inner->len);
	buf_clear(inner);
}

#endif
