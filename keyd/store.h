/* keyd's half of the channel to stored: unlocking, asking for records, staging writes. */
#ifndef WARD_KEYD_STORE_H
#define WARD_KEYD_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "ipc/channel.h"
#include "ipc/stored.pb-c.h"
#include "keyd/core.h"
#include "keyd/vault.h"

/* What stored may send unasked. */
extern const struct channel_row store_rows[];
extern const size_t store_nrows;

/* Get the keyring header (make one if there is none), check the master key against it, hand stored
 * the database keys. Ends in core state UNLOCKED or LOCKED. k->stored and secrets->source are set.
 */
void store_unlock(struct keyd *k);

/* The keys of all databases, by the master key and by the next one if next; the caller wipes. */
struct store_keys {
	uint8_t service[2][32], key[ACCOUNTS_MAX][2][32];
	Stored__AccountKey accounts[ACCOUNTS_MAX], *list[ACCOUNTS_MAX];
};
void store_keys(struct keyd *k, int next, struct store_keys *out);

/* Ask for those that are UNKNOWN. When they came the account's queue is run. */
void store_fetch(struct account *a, struct entry **list, size_t n);

/* The writes of one request for one unit, in as few STAGE frames as fit; one request at a time. An
 * entry that is put must not change before store_stage_end. */
void store_stage_begin(struct account *a, uint64_t unit);
/* Put what the entry holds, or (removed > 0) delete what was that version of it. uploaded: the mark
 * of a prekey, -1 = as it is; expires_s: of a message secret, the same. */
void store_stage(const struct entry *e, uint64_t removed, int uploaded, int64_t expires_s);
uint32_t store_stage_end(void); /* returns the number of frames */

#endif
