/* A backup as stored writes it (stored/backup.c), read strictly: anything else is no backup. */
#ifndef WARD_CTL_TAR_H
#define WARD_CTL_TAR_H

#include <stddef.h>
#include <stdint.h>

#include <sodium.h>

#include "common/config.h"
#include "stored/tar.h"

#define CTL_TAR_NAME    64
#define CTL_TAR_MEMBERS (ACCOUNTS_MAX + 4) /* text, keyring, service, accounts, digests */
#define CTL_TAR_ABOUT   4096               /* bytes of the text */
#define CTL_TAR_KEYRING 2048               /* of the keyring */
#define CTL_TAR_SUM     32

struct ctl_tar_member {
	char name[CTL_TAR_NAME];
	uint64_t size;
	uint8_t sum[CTL_TAR_SUM];
};

/* What to do with the keyring and the databases as they come; -1 ends the reading. Nothing of it
 * counts before ctl_tar_end has returned 0. */
struct ctl_tar_sink {
	int (*begin)(void *arg, const char *name, uint64_t size);
	int (*data)(void *arg, const void *data, size_t len);
	int (*end)(void *arg);
	void *arg;
};

struct ctl_tar {
	/* what is said of it; to be trusted when ctl_tar_end has returned 0 */
	char time[32];   /* "2026-11-24T10:46:22Z" */
	char log_id[33]; /* 32 hex digits */
	char left_out[2048];
	uint64_t bytes;
	struct ctl_tar_member members[CTL_TAR_MEMBERS];
	size_t nmembers;
	char why[200]; /* if it is no backup */
	/* its own */
	const struct ctl_tar_sink *sink;
	enum {
		CTL_TAR_HEADER,
		CTL_TAR_CONTENT,
		CTL_TAR_PADDING,
		CTL_TAR_ZEROS,
		CTL_TAR_OVER,
		CTL_TAR_BAD
	} step;
	uint8_t block[TAR_BLOCK];
	size_t have;   /* of the block */
	uint64_t left; /* of the content, the padding or the zeros */
	int64_t time_s;
	crypto_generichash_state *sum; /* malloc'd: it has its own wish about alignment */
	/* content that is looked at: the text, the digests */
	char text[CTL_TAR_MEMBERS * (2 * CTL_TAR_SUM + 3 + CTL_TAR_NAME)];
	size_t text_len;
};

/* sink may be NULL. -1: out of memory. */
int ctl_tar_begin(struct ctl_tar *t, const struct ctl_tar_sink *sink);
/* The next bytes, in pieces of any size. 0, or -1: it is no backup, or damaged (why), or the sink
 * said no (why is empty). */
int ctl_tar_feed(struct ctl_tar *t, const void *data, size_t len);
/* There are no more: was it a whole backup, with every digest right? Frees what it holds. */
int ctl_tar_end(struct ctl_tar *t);

/* The name of the account whose database is called so; NULL if it is another file. */
const char *ctl_tar_account(const char *file, char account[ACCOUNT_NAME_MAX + 1]);

#endif
