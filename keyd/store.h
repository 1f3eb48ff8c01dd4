/* keyd's half of the channel to stored: unlocking, asking for records, staging writes. */
#ifndef WARD_KEYD_STORE_H
#define WARD_KEYD_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "ipc/channel.h"
#include "keyd/core.h"
#include "keyd/vault.h"

/* What stored may send unasked. */
extern const struct channel_row store_rows[];
extern const size_t store_nrows;

/* Get the keyring header (make one if there is none), check the master key against it, hand stored
 * the database keys. Ends in core state UNLOCKED or LOCKED. k->stored and secrets->source are set.
 */
void store_unlock(struct keyd *k);

/* Ask for records (entries in state ASKED). When they came the account's queue is run. */
void store_fetch(struct account *a, struct entry **entries, size_t n);

/* The writes of one request for one unit, in as few STAGE frames as fit; one request at a time. An
 * entry that is put must not change before store_writes_send. */
void store_writes_begin(struct account *a, uint64_t unit);
void store_writes_put(const struct entry *e, int uploaded);
void store_writes_delete(const struct entry *e, uint64_t version);
uint32_t store_writes_send(void); /* returns the number of frames */

#endif
