/* Fuzz: any bytes and descriptors, in any pieces, into the frame reader. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Types 0 to 255 each allow another size; every fourth wants a descriptor; the rest is refused. */
static int64_t
limit(void *arg, uint32_t type, uint32_t id, uint16_t flags, int *wants_fd)
{
	if (type > 255)
		return -1;
	*wants_fd = type % 4 == 3;
	return (int64_t)type * 16;
}

static void
drain(struct frame_reader *r)
{
	const char *why = NULL;
	struct frame f;
	enum frame_status st;

	while ((st = frame_next(r, &f, &why)) == FRAME_OK) {
		if (f.type > 255 || f.len > f.type * 16 || (f.fd != -1) != (f.type % 4 == 3) ||
		    ((f.flags & FRAME_FD) != 0) != (f.fd != -1))
			abort();
		if (f.len > 0) /* all of it is there to be read and written */
			memset(f.payload, f.payload[0] ^ f.payload[f.len - 1], f.len);
		frame_clear(&f);
	}
	if ((st == FRAME_BROKEN) != (why != NULL))
		abort();
}

/* The input is a list of pieces: a byte with the length (low 7 bits) and whether a descriptor comes
 * along (high bit), then the bytes. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int null_fd = -1;
	struct frame_reader *r = frame_reader_new(limit, NULL);

	if (null_fd == -1)
		null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	while (size > 0) {
		size_t n = data[0] & 0x7f;
		int fd = data[0] & 0x80 ? dup(null_fd) : -1;

		data++;
		size--;
		if (n > size)
			n = size;
		frame_feed(r, data, n, fd);
		drain(r);
		data += n;
		size -= n;
	}
	frame_reader_free(r);
	if (fcntl(null_fd + 1, F_GETFD) != -1)
		abort(); /* a descriptor was left open */
	return 0;
}
