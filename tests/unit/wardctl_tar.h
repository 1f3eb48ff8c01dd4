/* A backup made by the tests: the members that they say, with headers of stored's own writer. */
#ifndef WARDCTL_TAR_H
#define WARDCTL_TAR_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "common/buf.h"
#include "stored/tar.h"

#define TAR_ABOUT                                                                                  \
	"format 1\ntime 2026-11-24T10:46:22Z\nlog 86cf9c4f185d122fe27707163855b287\nbackend "      \
	"sqlcipher\n"
#define TAR_TIME 1795517182

struct tar_file {
	const char *name;
	const void *data;
	size_t len;
};

__attribute__((unused)) static void
tar_put_file(struct buf *b, const char *name, const void *data, size_t len)
{
	static const uint8_t zero[TAR_BLOCK];
	uint8_t *head = buf_reserve(b, TAR_BLOCK);

	tar_header(head, name, len, TAR_TIME);
	buf_put(b, data, len);
	buf_put(b, zero, tar_padding(len));
}

__attribute__((unused)) static void
tar_put_end(struct buf *b)
{
	static const uint8_t zero[TAR_END];

	buf_put(b, zero, TAR_END);
}

/* The lines of ward-digests for these files. */
__attribute__((unused)) static void
tar_digests(struct buf *out, const struct tar_file *f, size_t n)
{
	uint8_t sum[32];
	char hex[65];

	for (size_t i = 0; i < n; i++) {
		crypto_generichash(sum, sizeof(sum), f[i].data, f[i].len, NULL, 0);
		sodium_bin2hex(hex, sizeof(hex), sum, sizeof(sum));
		buf_printf(out, "%s  %s\n", hex, f[i].name);
	}
}

/* The files, their digests, the end: whether it makes sense or not. */
__attribute__((unused)) static void
tar_make(struct buf *b, const struct tar_file *f, size_t n)
{
	struct buf digests = BUF_INIT;

	for (size_t i = 0; i < n; i++)
		tar_put_file(b, f[i].name, f[i].data, f[i].len);
	tar_digests(&digests, f, n);
	tar_put_file(b, "ward-digests", digests.data, digests.len);
	buf_clear(&digests);
	tar_put_end(b);
}

#endif
