/* Changes of an account's device list, and who is told. */
#ifndef SIM_DEVICES_H
#define SIM_DEVICES_H

#include "tests/sim/route.h"

/* Tells own devices and all who may hold the list: op = "add", "remove" or "update". */
void devices_notify(struct device *d, const char *op);
/* <remove-companion-device> of a client or of the phone. */
void devices_remove(struct origin *o, const struct node *iq);
/* All companions, as when the phone says so. */
void devices_remove_all(struct account *a);
/* The phone's new <key-index-list>. */
void devices_key_index_list(struct origin *o, const struct node *iq);
/* Keeps the <key-index-list> child of n, if it has one. */
void devices_keep_list(struct account *a, const struct node *n);
/* Adds it to an answer: <key-index-list ts=…>. */
void devices_put_list(struct node *parent, const struct account *a);

/* <update hash>: the list of `of` has changed. */
void devices_tell_hash(struct device *to, const struct account *of);

#endif
