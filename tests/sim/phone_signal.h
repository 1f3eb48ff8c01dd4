/* The phone's Signal side: identity, prekeys, sessions in memory, encryption and decryption. */
#ifndef SIM_PHONE_SIGNAL_H
#define SIM_PHONE_SIGNAL_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/wire/node.h"
#include "tests/sim/account.h"

struct phone_signal;

struct phone_signal *phone_signal_new(void);
void phone_signal_free(struct phone_signal *s);

/* Public material for the account's device 0. */
void phone_signal_public(const struct phone_signal *s, struct device_keys *out);
const uint8_t *phone_signal_identity_priv(const struct phone_signal *s);
const uint8_t *phone_signal_identity_pub(const struct phone_signal *s);
void phone_signal_make_prekey(struct phone_signal *s, struct prekey *out);

int phone_signal_has_session(struct phone_signal *s, const struct jid *device);
/* Opens a session from the <user> node of a key answer (or the <keys> of a retry receipt, whose
 * registration id is then given apart). 0, or -1: parts missing or badly signed. */
int phone_signal_open(struct phone_signal *s, const struct jid *device, const struct node *user,
    uint32_t registration);
void phone_signal_forget(struct phone_signal *s, const struct jid *device);

/* Pads and encrypts; *type is "msg" or "pkmsg". 0 or -1. */
int phone_signal_encrypt(struct phone_signal *s, const struct jid *device, const void *plain,
    size_t len, struct buf *out, const char **type);
/* Decrypts and unpads. 0; or a retry reason of protocol page 04, 12.1 (1 no session, 3 unknown
 * prekey, 4 invalid …); or PHONE_DUPLICATE. */
#define PHONE_DUPLICATE 1000
int phone_signal_decrypt(struct phone_signal *s, const struct jid *device, const char *type,
    const void *data, size_t len, struct buf *plain);

#endif
