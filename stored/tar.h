/* POSIX tar, as much of it as a backup needs: headers of plain files, padding, the end. */
#ifndef WARD_STORED_TAR_H
#define WARD_STORED_TAR_H

#include <stddef.h>
#include <stdint.h>

#define TAR_BLOCK 512
#define TAR_END   (2 * TAR_BLOCK) /* zeros behind the last member */

/* name: at most 100 bytes. Sizes of 8 GiB and more are written in base 256, as GNU tar and others
 * have it. */
void tar_header(uint8_t out[TAR_BLOCK], const char *name, uint64_t size, int64_t mtime_s);
/* Zeros behind the content, up to the next block. */
size_t tar_padding(uint64_t size);

#endif
