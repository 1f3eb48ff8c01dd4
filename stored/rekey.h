/* Every database gets its next key, one after the other, between units of work. */
#ifndef WARD_STORED_REKEY_H
#define WARD_STORED_REKEY_H

#include "stored/store.h"

/* After the databases were opened: those that came with a next key and do not have it yet are
 * wanted. 0, or -1: memory is out. */
int rekey_unlocked(struct store *s, const Stored__Unlock *keys);
/* REKEY of keyd. 0, or -1: it broke the contract. */
int rekey_request(struct store *s, struct message *m);
/* The next key of an account's database (NULL: the service's) among those of UNLOCK, or NULL. */
const uint8_t *rekey_key_of(const Stored__Unlock *keys, const char *account);
/* What is not done yet, for Stats; stays the store's until the next call. */
void rekey_stats(struct store *s, Stored__Stats *out);
/* Nothing more: the databases are about to be closed. Wipes. */
void rekey_stop(struct store *s);

#endif
