/* One content, encrypted for one device. */
#ifndef WARD_ENCRYPT_ONE_H
#define WARD_ENCRYPT_ONE_H

#include "apid/message/bundle.h"
#include "apid/session/ask.h"
#include "apid/session/unit.h"

/* Asks keyd, in this unit, for the content (an encoded Message, padded here) under the session at
 * that address; bundle: ok = it is made anew from it. fn gets a Keyd__EncryptReply. NULL: out of
 * memory. */
struct ask *encrypt_one(struct account *a, struct unit *u, const char *address, uint32_t device,
    const struct bundle *bundle, const uint8_t *content, size_t len, channel_reply_fn *fn,
    void *arg);

#endif
