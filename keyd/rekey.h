/* Changing keys: from the master key to the next one, which keyd was given at its start as well. */
#ifndef WARD_KEYD_REKEY_H
#define WARD_KEYD_REKEY_H

#include "ipc/channel.h"
#include "ipc/keyd.pb-c.h"
#include "keyd/core.h"

/* What stored keeps as the keyring: one header, or while keys are changed two, the old and the
 * next. Fills the master keys and k->rekey from the sources. NULL, or the word why it does not fit:
 * as keyring_open, and "next_master_key_missing", "wrong_next_master_key" (keys are being changed),
 * "rekey_unfinished" (master_key is the next one already, but not all is under it). */
const char *rekey_open(struct keyd *k, const uint8_t *headers, size_t len);
/* A header for the next master key, if one was given: it can begin. 0, or -1: no memory. */
int rekey_prepare(struct keyd *k);
/* At a start: the keyring that was made or found, into both of stored's files. One that was found
 * while keys are changed may be in one of them alone, or in memory but not on the disk, if the run
 * before ended in between. */
void rekey_keep(struct keyd *k, channel_reply_fn *then);
/* The database keys are on their way, the vault keys derived: go on where it stands. */
void rekey_unlocked(struct keyd *k);
/* A database has its next key. "" = the service's. */
void rekey_database(struct keyd *k, const char *account);

/* Requests of apid, as rows of its table. */
int rekey_begin(struct message *m, void *owner);
int rekey_reseal(struct message *m, void *owner);
/* Points into itself and k. */
struct rekey_reply {
	Keyd__RekeyState state;
	Keyd__RekeyAccount accounts[ACCOUNTS_MAX], *list[ACCOUNTS_MAX];
};
void rekey_state(struct keyd *k, struct rekey_reply *out);

#endif
