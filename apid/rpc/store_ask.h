/* A question to stored that can be forgotten at any time. */
#ifndef WARD_STORE_ASK_H
#define WARD_STORE_ASK_H

#include "apid/rpc/rpc_private.h"
#include "ipc/stored.pb-c.h"

struct store_ask;

/* As channel_request, with RPC_STORE_MS. Never NULL; the handle is good until fn was called or it
 * was cancelled. fn never comes before this returns. */
struct store_ask *store_ask(struct rpc *r, uint32_t type, const ProtobufCMessage *m,
    uint32_t reply_type, const ProtobufCMessageDescriptor *desc, uint32_t reply_max,
    channel_reply_fn *fn, void *arg);
/* The same with a descriptor, which is stored's from then on. */
struct store_ask *store_ask_fd(struct rpc *r, uint32_t type, const ProtobufCMessage *m, int fd,
    uint32_t reply_type, const ProtobufCMessageDescriptor *desc, uint32_t reply_max,
    channel_reply_fn *fn, void *arg);
void store_ask_cancel(struct store_ask *a); /* NULL is fine */

#endif
