/* A request to keyd or stored that its asker may give up at any time. */
#include "apid/session/ask.h"

#include <stdlib.h>

#include "common/log.h"

struct ask {
	struct channel *ch;
	uint32_t id; /* 0: it could not be sent; the refusal comes from the loop */
	channel_reply_fn *fn;
	void *arg;
};

static void
answered(const struct reply *r, void *arg)
{
	struct ask *q = arg;
	channel_reply_fn *fn = q->fn;
	void *to = q->arg;

	free(q);
	if (fn != NULL)
		fn(r, to);
}

static struct ask *
ask(struct channel *ch, uint32_t type, const ProtobufCMessage *m, uint32_t reply_type,
    const ProtobufCMessageDescriptor *desc, uint32_t reply_max, unsigned deadline_ms,
    channel_reply_fn *fn, void *arg)
{
	struct ask *q = calloc(1, sizeof(*q));

	if (q == NULL)
		fatal("ask");
	q->ch = ch;
	q->fn = fn;
	q->arg = arg;
	q->id = channel_request(ch, type, m, reply_type, desc, reply_max, deadline_ms, answered, q);
	return q;
}

struct ask *
ask_keyd(struct account *a, uint32_t type, const ProtobufCMessage *m, uint32_t reply_type,
    const ProtobufCMessageDescriptor *desc, uint32_t reply_max, unsigned deadline_ms,
    channel_reply_fn *fn, void *arg)
{
	return ask(a->svc->keyd, type, m, reply_type, desc, reply_max, deadline_ms, fn, arg);
}

struct ask *
ask_stored(struct account *a, uint32_t type, const ProtobufCMessage *m, uint32_t reply_type,
    const ProtobufCMessageDescriptor *desc, uint32_t reply_max, unsigned deadline_ms,
    channel_reply_fn *fn, void *arg)
{
	return ask(a->svc->stored, type, m, reply_type, desc, reply_max, deadline_ms, fn, arg);
}

void
ask_cancel(struct ask *q)
{
	if (q == NULL)
		return;
	if (q->id == 0) {
		q->fn = NULL; /* its refusal is still to come, and frees it */
		return;
	}
	channel_cancel(q->ch, q->id);
	free(q);
}
