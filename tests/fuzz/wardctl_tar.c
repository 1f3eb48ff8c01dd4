/* Fuzz: any bytes as a backup, as they are or as files in a tar whose headers and digests are
 * right. What is taken for a backup must be one, in whatever pieces it comes. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/wardctl/ctl_tar.h"
#include "tests/unit/wardctl_tar.h"

#define FILES_MAX 80

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t announced, written;
static int open_files;

static int
on_begin(void *arg, const char *name, uint64_t bytes)
{
	char account[ACCOUNT_NAME_MAX + 1];

	if (strcmp(name, "keyring") != 0 && strcmp(name, "service.db") != 0 &&
	    ctl_tar_account(name, account) == NULL)
		abort(); /* it would become the name of a file */
	if (open_files++ != 0)
		abort();
	announced = bytes;
	written = 0;
	return 0;
}

static int
on_data(void *arg, const void *data, size_t len)
{
	if (open_files != 1 || len > announced - written)
		abort();
	written += len;
	return 0;
}

static int
on_end(void *arg)
{
	if (open_files-- != 1 || written != announced)
		abort();
	return 0;
}

/* Lists of: a byte of the name's length, the name, two of the content's, the content. */
static void
as_files(struct buf *b, const uint8_t *p, size_t n)
{
	static char names[FILES_MAX][256];
	struct tar_file f[FILES_MAX];
	size_t nf = 0, len;

	while (n >= 3 && nf < FILES_MAX) {
		len = p[0] < n - 3 ? p[0] : n - 3;
		memcpy(names[nf], p + 1, len);
		names[nf][len] = '\0';
		p += 1 + len;
		n -= 1 + len;
		len = (size_t)(p[0] << 8 | p[1]);
		p += 2;
		n -= 2;
		if (len > n)
			len = n;
		f[nf] = (struct tar_file){names[nf], p, len};
		nf++;
		p += len;
		n -= len;
	}
	tar_make(b, f, nf);
}

static int
feed(struct ctl_tar *t, const struct buf *b, size_t piece)
{
	static const struct ctl_tar_sink sink = {on_begin, on_data, on_end, NULL};
	int r = 0;

	open_files = 0;
	if (ctl_tar_begin(t, &sink) == -1)
		abort();
	for (size_t off = 0; off < b->len && r == 0; off += piece)
		r = ctl_tar_feed(t, b->data + off, b->len - off < piece ? b->len - off : piece);
	if (ctl_tar_end(t) == 0 && r == 0)
		return 1;
	if (t->why[0] == '\0')
		abort();
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ctl_tar t;
	struct buf b = BUF_INIT;
	int whole;

	if (size < 2 || sodium_init() == -1)
		return 0;
	if (data[0] & 1)
		as_files(&b, data + 2, size - 2);
	else
		buf_put(&b, data + 2, size - 2);
	whole = feed(&t, &b, b.len + 1);
	if (feed(&t, &b, (size_t)data[1] + 1) != whole)
		abort();
	if (whole && (t.nmembers < 4 || t.bytes != b.len || open_files != 0))
		abort();
	buf_clear(&b);
	return 0;
}
