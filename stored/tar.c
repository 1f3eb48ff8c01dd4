/* POSIX tar: IEEE Std 1003.1-2001, pax, "ustar Interchange Format". */
#include "stored/tar.h"

#include <stdio.h>
#include <string.h>

/* Where each field of the header lies. */
enum {
	NAME = 0,
	NAME_LEN = 100,
	MODE = 100,
	OWNER = 108,
	GROUP = 116,
	SIZE = 124,
	SIZE_LEN = 12,
	MTIME = 136,
	SUM = 148,
	SUM_LEN = 8,
	TYPE = 156,
	MAGIC = 257
};

#define OCTAL_MAX 077777777777ull /* 11 digits */

static void
octal(uint8_t *at, int digits, uint64_t v)
{
	for (at[digits] = '\0'; digits-- > 0; v >>= 3)
		at[digits] = (uint8_t)('0' + (v & 7));
}

static void
big(uint8_t *at, int len, uint64_t v)
{
	for (; len-- > 1; v >>= 8)
		at[len] = (uint8_t)v;
	at[0] = 0x80;
}

void
tar_header(uint8_t out[TAR_BLOCK], const char *name, uint64_t size, int64_t mtime_s)
{
	static const uint8_t magic[8] = {'u', 's', 't', 'a', 'r', '\0', '0', '0'};
	uint64_t sum = 0;
	int i;

	memset(out, 0, TAR_BLOCK);
	memcpy(out + NAME, name, strnlen(name, NAME_LEN));
	octal(out + MODE, 7, 0600);
	octal(out + OWNER, 7, 0);
	octal(out + GROUP, 7, 0);
	if (size <= OCTAL_MAX)
		octal(out + SIZE, SIZE_LEN - 1, size);
	else
		big(out + SIZE, SIZE_LEN, size);
	octal(out + MTIME, 11, mtime_s > 0 ? (uint64_t)mtime_s & OCTAL_MAX : 0);
	out[TYPE] = '0';
	memcpy(out + MAGIC, magic, sizeof(magic));
	memset(out + SUM, ' ', SUM_LEN); /* counted as spaces */
	for (i = 0; i < TAR_BLOCK; i++)
		sum += out[i];
	octal(out + SUM, 6, sum); /* six digits, NUL, space */
}

size_t
tar_padding(uint64_t size)
{
	return (size_t)(-size % TAR_BLOCK);
}
