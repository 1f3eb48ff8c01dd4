/* The master key: where it comes from, how a wrong one is noticed, and the keys derived from it. */
#ifndef WARD_KEYRING_H
#define WARD_KEYRING_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define KEYRING_SOURCE_MAX 1024 /* bytes of key or passphrase that are read */
#define KEYRING_HEADER_LEN 62

enum keyring_kind {
	KEYRING_RAW,
	KEYRING_PASSPHRASE
};

struct keyring_source {
	enum keyring_kind kind;
	uint8_t secret[KEYRING_SOURCE_MAX]; /* 32 bytes, or the passphrase */
	size_t len;
};

/* Make sense of what the descriptor gave: 32 raw bytes, or 64 hex digits (a newline may follow), or
 * a passphrase of 8..1000 bytes (a newline at its end is dropped). NULL, or what is wrong with it.
 */
const char *keyring_parse(
    struct keyring_source *s, enum keyring_kind kind, const uint8_t *bytes, size_t len);

/* The header, which stored keeps; nothing in it is secret:
 *	"WKR1" | u8 kind | u32 operations | u32 memory KiB | salt 16 | u8 0 | check value 32
 * keyring_new makes one, with a fresh salt, and the master key that belongs to it. */
int keyring_new(const struct keyring_source *s, uint8_t master[32], struct buf *header);
/* The master key of an existing header. NULL, or the reason why not: "wrong_master_key", "keyring"
 * (no such header, or Argon2id parameters out of bounds: someone changed it), "memory". */
const char *keyring_open(
    const struct keyring_source *s, const uint8_t *header, size_t len, uint8_t master[32]);

/* out = BLAKE2b(key = master, purpose NUL account). purpose: "vault", "database"; account "" = the
 * service. */
void keyring_derive(
    const uint8_t master[32], const char *purpose, const char *account, uint8_t out[32]);

#endif
