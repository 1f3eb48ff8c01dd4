/* The bytes of a file in memory; two that are alike share what they have. */
#ifndef WARD_POWERCUT_BYTES_H
#define WARD_POWERCUT_BYTES_H

#include <stddef.h>
#include <stdint.h>

/* All zero = empty. */
struct bytes {
	uint32_t *blocks;
	size_t len, nblocks, room;
};

/* Cut short, or longer by zeros. */
void bytes_size(struct bytes *b, size_t len);
void bytes_put(struct bytes *b, size_t off, const void *data, size_t len);
/* How many of len there are. */
size_t bytes_get(const struct bytes *b, size_t off, void *out, size_t len);
/* to becomes the same as from. */
void bytes_copy(struct bytes *to, const struct bytes *from);
void bytes_free(struct bytes *b);

#endif
