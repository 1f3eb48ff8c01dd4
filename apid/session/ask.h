/* A request to keyd or stored that its asker may give up at any time. */
#ifndef WARD_ASK_H
#define WARD_ASK_H

#include "apid/session/account.h"

struct ask;

#define ASK_DEADLINE_MS 20000u

/* fn is called once, from the loop, unless the question is given up. The asker drops its pointer
 * when it is called. Never NULL. */
struct ask *ask_keyd(struct account *a, uint32_t type, const ProtobufCMessage *m,
    uint32_t reply_type, const ProtobufCMessageDescriptor *desc, uint32_t reply_max,
    unsigned deadline_ms, channel_reply_fn *fn, void *arg);
struct ask *ask_stored(struct account *a, uint32_t type, const ProtobufCMessage *m,
    uint32_t reply_type, const ProtobufCMessageDescriptor *desc, uint32_t reply_max,
    unsigned deadline_ms, channel_reply_fn *fn, void *arg);
void ask_cancel(struct ask *q); /* NULL is fine */

#endif
