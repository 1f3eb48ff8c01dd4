/* Sealed records: sealing, opening, and the cache that knows what is committed and what is not yet.
 *
 * The cache holds records *sealed*, as stored has them; a record is opened for the one request that
 * uses it and wiped after it. An entry whose newest version is part of a unit of work that stored
 * has not finished is never evicted; when such a unit fails, everything that it touched is
 * forgotten. */
#ifndef WARD_VAULT_H
#define WARD_VAULT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/buf.h"
#include "common/config.h"

#define VAULT_NAME_MAX   160
#define VAULT_SEALED_MAX (1024u * 1024)
#define VAULT_OVERHEAD   (1 + 24 + 16) /* format, nonce, tag */
#define VAULT_PLAIN_MAX  (VAULT_SEALED_MAX - VAULT_OVERHEAD)
#define VAULT_CACHE      (16u * 1024 * 1024)  /* bytes of entries that may be evicted */
#define VAULT_HARD_MAX   (256u * 1024 * 1024) /* bytes of all entries: beyond it loading fails */
#define VAULT_GHOSTS     65536 /* evicted entries of which the newest version is remembered */
#define VAULT_UNITS_MAX  4096  /* unfinished units of an account */

/* What a record is; all of it is associated data of its seal. */
struct vault_id {
	const char *account;
	int domain; /* Stored__Domain */
	const char *name;
	uint64_t version;
};

/* u8 1 | nonce 24 | XChaCha20-Poly1305 of plain. 0, or -1: too long or no memory. */
int vault_seal(const uint8_t key[32], const struct vault_id *id, const void *plain, size_t len,
    struct buf *out);
/* 0, or -1: not sealed with this key as exactly this. Appends to out. */
int vault_unseal(const uint8_t key[32], const struct vault_id *id, const void *sealed, size_t len,
    struct buf *out);

struct vault;
struct change; /* work.c: what the running request makes of an entry */

enum vault_state {
	VAULT_UNKNOWN, /* ask stored */
	VAULT_ASKED,   /* stored is being asked */
	VAULT_FAILED,  /* stored could not give it, or gave an older version than was seen */
	VAULT_BLOCKED, /* a unit that wrote it failed, later ones that built on it are not finished
			  yet */
	VAULT_ABSENT,  /* there is no such record */
	VAULT_HERE
};

/* A record of an account, known or not. For reading, but for `change`; what is behind it is of
 * vault.c alone. */
struct entry {
	enum vault_state state;
	unsigned account;
	int domain;
	uint64_t version; /* of `sealed`; 0 = absent */
	uint8_t *sealed;  /* if HERE */
	size_t len;
	struct change *change;

	struct entry *next; /* of its bucket */
	TAILQ_ENTRY(entry) lru;
	enum {
		UNLISTED,
		CACHED,
		GHOST
	} list;
	uint64_t floor;   /* newest version known to be committed; 0 = none seen */
	uint64_t settled; /* order of the write that set `floor` */
	unsigned pins;    /* requests that use it */
	unsigned pending; /* writes in unfinished units */
	char name[];
};

struct vault *vault_new(size_t cache_bytes);
void vault_free(struct vault *v);
/* Accounts by number, 0..ACCOUNTS_MAX-1. The key stays the caller's. */
void vault_account(struct vault *v, unsigned account, const char *name, const uint8_t *key);
/* A key that opens what the first does not, or NULL. The first may change under it. */
void vault_old_key(struct vault *v, unsigned account, const uint8_t *key);
/* HERE, and under the old key. */
int vault_is_old(const struct vault *v, const struct entry *e);
/* Of the last write; and whether a unit of the account that holds such a write or an earlier one
 * is not finished. */
uint64_t vault_order(const struct vault *v);
int vault_unfinished(const struct vault *v, unsigned account, uint64_t order);

/* The entry of a record, pinned: it stays where it is until as many vault_unpin. */
struct entry *vault_pin(struct vault *v, unsigned account, int domain, const char *name);
void vault_unpin(struct vault *v, struct entry *e);

/* UNKNOWN -> ASKED; and the outcome of asking. Ignored unless it is ASKED. */
void vault_asked(struct entry *e);
void vault_fill(struct vault *v, struct entry *e, uint64_t version, const void *sealed, size_t len);
void vault_fail(struct entry *e);
void vault_retry(struct entry *e); /* FAILED -> UNKNOWN: a request was answered with it */
/* UNKNOWN -> ABSENT, of one that was not seen yet. If that is wrong, stored refuses what is put. */
void vault_assume_absent(struct entry *e);

/* Open what is HERE, appended to out: 1. 0: ABSENT. -1: damaged (counted, logged), or not loaded.
 */
int vault_open(struct vault *v, struct entry *e, struct buf *out);

/* Join a unit with a new version of an entry (HERE or ABSENT), of at most VAULT_PLAIN_MAX bytes, or
 * without it (HERE). 0, or -1: there is no such unit yet, and there are too many. */
int vault_put(struct vault *v, struct entry *e, uint64_t unit, const void *plain, size_t len);
int vault_delete(struct vault *v, struct entry *e, uint64_t unit);

/* stored says how a unit ended. 0, or -1: keyd has not joined such a unit. */
int vault_unit_done(struct vault *v, unsigned account, uint64_t unit, int committed);
/* The unit holds writes that were built on a unit that failed: it can only fail too. */
int vault_unit_doomed(const struct vault *v, unsigned account, uint64_t unit);

size_t vault_bytes(const struct vault *v); /* of all entries but ghosts */

#endif
