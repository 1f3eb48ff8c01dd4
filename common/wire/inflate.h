/* Inflating: a compressed frame payload, or what a phone sends in that form. */
#ifndef WARD_WIRE_INFLATE_H
#define WARD_WIRE_INFLATE_H

#include "common/wire/node.h"

/* One RFC 1950 stream, the whole of data, into *out: at most NODE_MAX_INFLATE bytes; the end mark
 * is needed and nothing may follow it. *out must be able to hold one byte more than the limit. */
enum node_error wire_inflate(const uint8_t *data, size_t len, struct buf *out);

#endif
