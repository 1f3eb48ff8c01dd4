/* A question to stored that can be forgotten, also one that the channel refused: its refusal still
 * comes from the loop and must find nobody. */
#include <stdlib.h>

#include "apid/rpc/store_ask.h"
#include "common/log.h"

struct store_ask {
	struct channel *channel;
	uint32_t id; /* 0: refused, the refusal is on its way */
	channel_reply_fn *fn;
	void *arg;
};

static void
answered(const struct reply *r, void *arg)
{
	struct store_ask *a = arg;
	channel_reply_fn *fn = a->fn;
	void *fn_arg = a->arg;

	free(a);
	if (fn != NULL)
		fn(r, fn_arg);
}

struct store_ask *
store_ask(struct rpc *r, uint32_t type, const ProtobufCMessage *m, uint32_t reply_type,
    const ProtobufCMessageDescriptor *desc, uint32_t reply_max, channel_reply_fn *fn, void *arg)
{
	return store_ask_fd(r, type, m, -1, reply_type, desc, reply_max, fn, arg);
}

struct store_ask *
store_ask_fd(struct rpc *r, uint32_t type, const ProtobufCMessage *m, int fd, uint32_t reply_type,
    const ProtobufCMessageDescriptor *desc, uint32_t reply_max, channel_reply_fn *fn, void *arg)
{
	struct store_ask *a = calloc(1, sizeof(*a));

	if (a == NULL)
		fatalx("rpc: out of memory for a question to stored");
	a->channel = r->service->stored;
	a->fn = fn;
	a->arg = arg;
	a->id = channel_request_fd(
	    a->channel, type, m, fd, reply_type, desc, reply_max, RPC_STORE_MS, answered, a);
	return a;
}

void
store_ask_cancel(struct store_ask *a)
{
	if (a == NULL)
		return;
	a->fn = NULL;
	if (a->id != 0) {
		channel_cancel(a->channel, a->id);
		free(a);
	}
}
