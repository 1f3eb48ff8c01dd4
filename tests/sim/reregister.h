/* A phone that is registered anew, and device identities that are wrong on purpose. */
#ifndef SIM_REREGISTER_H
#define SIM_REREGISTER_H

#include "common/wire/node.h"
#include "tests/sim/account.h"

/* The phone begins anew: another identity and registration id, no session, no companion. Contacts
 * are told, unless quiet: then the next message of his shows it. */
void reregister(struct account *a, int quiet);

/* What is wrong with the device identity of a companion from now on, in bundles and beside its
 * messages: "none", "details", "account_key", "account_signature", "device_signature", "absent". 0
 * or -1. */
int adv_forge(struct device *d, const char *what);
/* <device-identity>, as it is or wrong. */
void adv_put(struct node *parent, const struct device *d, const uint8_t *bytes, size_t len);

#endif
