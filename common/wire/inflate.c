/* Inflating a compressed frame payload, with a bound on what comes out. */
#include <zlib.h>

#include "common/wire/inflate.h"

enum node_error
wire_inflate(const uint8_t *data, size_t len, struct buf *out)
{
	z_stream z = {0};
	enum node_error e = NODE_OK;
	int r = Z_OK;

	if (inflateInit(&z) != Z_OK)
		return NODE_NO_MEMORY;
	z.next_in = (uint8_t *)(uintptr_t)data; /* zlib's old interface: not written to */
	z.avail_in = (uInt)len;
	while (e == NODE_OK && r == Z_OK) {
		/* one byte above the limit, to see that there would be more */
		size_t room = out->len == 0 ? len * 4 + 64 : out->len;

		if (room > NODE_MAX_INFLATE + 1 - out->len)
			room = NODE_MAX_INFLATE + 1 - out->len;
		z.next_out = buf_reserve(out, room);
		if (z.next_out == NULL) {
			e = NODE_NO_MEMORY;
			break;
		}
		z.avail_out = (uInt)room;
		r = inflate(&z, Z_NO_FLUSH);
		out->len -= z.avail_out;
		if (out->len > NODE_MAX_INFLATE)
			e = NODE_TOO_BIG;
		else if (r == Z_BUF_ERROR || (r == Z_OK && z.avail_in == 0 && z.avail_out != 0))
			e = NODE_TRUNCATED;
		else if (r != Z_OK && r != Z_STREAM_END)
			e = r == Z_MEM_ERROR ? NODE_NO_MEMORY : NODE_MALFORMED;
	}
	if (e == NODE_OK && z.avail_in != 0)
		e = NODE_TRAILING;
	(void)inflateEnd(&z);
	return e;
}
