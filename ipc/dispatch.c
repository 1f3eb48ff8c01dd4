/* What a peer may send: the rows of its table and the answers that it owes, checked one by one. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/pb.h"
#include "ipc/channel_private.h"
#include "ipc/ipc.pb-c.h"

#define ERROR_MAX (CHANNEL_CODE_MAX + CHANNEL_TEXT_MAX + 16) /* payload bytes of an ipc.Error */

/* Unpacking takes at most this much: room for many small parts, but no bomb. */
#define BUDGET_BASE   ((size_t)256 * 1024)
#define BUDGET_FACTOR 32
#define BUDGET_CAP    ((size_t)64 * 1024 * 1024)

struct held {
	struct message pub; /* first: a struct message is the face of a held */
	unsigned refs;
	struct pb_arena *arena;
};

static int64_t refuse(struct channel *ch, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static int64_t
refuse(struct channel *ch, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(ch->refused, sizeof(ch->refused), fmt, ap);
	va_end(ap);
	return -1;
}

static const struct channel_row *
find_row(const struct channel *ch, uint32_t type)
{
	size_t i;

	for (i = 0; i < ch->cfg.nrows; i++)
		if (ch->cfg.rows[i].type == type)
			return &ch->cfg.rows[i];
	return NULL;
}

/* The largest answer to our request of that id, or -1. */
static int64_t
limit_reply(struct channel *ch, uint32_t type, uint32_t id, uint16_t flags)
{
	const struct request *r = requests_find(&ch->requests, id);

	if (r == NULL)
		return refuse(ch, "an answer to request %u, which is not in flight", id);
	if (flags & FRAME_ERROR) {
		if (type != 0)
			return refuse(ch, "an error reply of type %u", type);
		return ERROR_MAX;
	}
	if (type != r->reply_type)
		return refuse(
		    ch, "request %u is answered by type %u instead of %u", id, type, r->reply_type);
	return r->reply_max;
}

int64_t
dispatch_limit(void *arg, uint32_t type, uint32_t id, uint16_t flags, int *wants_fd)
{
	struct channel *ch = arg;
	const struct channel_row *row;

	if (flags & FRAME_REPLY) {
		snprintf(ch->context, sizeof(ch->context), "answer to request %u", id);
		return limit_reply(ch, type, id, flags);
	}
	if ((row = find_row(ch, type)) == NULL)
		return refuse(ch, "message type %u is not one that this peer may send", type);
	snprintf(ch->context, sizeof(ch->context), "%s", row->name);
	if ((row->states & ch->state) == 0)
		return refuse(ch, "%s: not allowed in state %#x", row->name, ch->state);
	if ((row->flags & ROW_REQUEST) && id == 0)
		return refuse(ch, "%s: a request without an id", row->name);
	if (!(row->flags & ROW_REQUEST) && id != 0)
		return refuse(ch, "%s: a notice with a request id", row->name);
	if ((row->flags & ROW_ONCE) && ch->seen[row - ch->cfg.rows])
		return refuse(ch, "%s: came twice", row->name);
	*wants_fd = (row->flags & ROW_FD) != 0;
	ch->row = row;
	return row->max;
}

/* Unpack strictly; the arena is the caller's to free. NULL: the channel is broken. */
static const ProtobufCMessage *
unpack(struct channel *ch, const ProtobufCMessageDescriptor *desc, const struct frame *f,
    struct pb_arena **arena)
{
	size_t budget = BUDGET_BASE + (size_t)f->len * BUDGET_FACTOR;
	const char *why = "out of memory";
	const ProtobufCMessage *m = NULL;

	if (budget > BUDGET_CAP)
		budget = (size_t)f->len * 4 > BUDGET_CAP ? (size_t)f->len * 4 : BUDGET_CAP;
	if ((*arena = pb_arena_new(budget)) != NULL)
		m = pb_unpack(desc, f->payload, f->len, *arena, PB_STRICT, &why);
	if (m == NULL) {
		channel_break(ch, 0, "%s: %s", ch->context, why);
		pb_arena_free(*arena);
		*arena = NULL;
	}
	return m;
}

/* ---------------------------------------------------------------- messages */

struct message *
message_hold(struct message *m)
{
	((struct held *)m)->refs++;
	return m;
}

void
message_release(struct message *m)
{
	struct held *h = (struct held *)m;

	if (h == NULL || --h->refs > 0)
		return;
	if (m->fd != -1)
		close(m->fd);
	pb_arena_free(h->arena);
	channel_unref(m->channel);
	free(h);
}

static struct held *
held_new(struct channel *ch, struct frame *f, const ProtobufCMessage *pb, struct pb_arena *arena)
{
	struct held *h;

	if ((h = calloc(1, sizeof(*h))) == NULL)
		return NULL;
	h->pub.channel = ch;
	h->pub.type = f->type;
	h->pub.id = f->id;
	h->pub.pb = pb;
	h->pub.fd = f->fd;
	f->fd = -1;
	h->refs = 1;
	h->arena = arena;
	channel_ref(ch);
	return h;
}

static void
dispatch_message(struct channel *ch, struct frame *f)
{
	const struct channel_row *row = ch->row;
	const ProtobufCMessage *pb;
	struct pb_arena *arena;
	struct held *h;

	if (f->len < row->min) {
		channel_break(ch, 0, "%s: %u bytes, at least %u", row->name, f->len, row->min);
		return;
	}
	/* the state may have moved since the header came */
	if ((row->states & ch->state) == 0) {
		channel_break(ch, 0, "%s: not allowed in state %#x", row->name, ch->state);
		return;
	}
	if ((pb = unpack(ch, row->desc, f, &arena)) == NULL)
		return;
	if ((h = held_new(ch, f, pb, arena)) == NULL) {
		pb_arena_free(arena);
		channel_break(ch, 0, "%s: out of memory", row->name);
		return;
	}
	frame_clear(f); /* all is in the arena now */
	ch->seen[row - ch->cfg.rows] = 1;
	if (row->run(&h->pub, ch->cfg.owner) == -1)
		channel_break(ch, 1, "%s: refused", row->name);
	message_release(&h->pub);
}

/* ---------------------------------------------------------------- answers */

static int
code_ok(const char *code)
{
	size_t n = strlen(code);

	return n > 0 && n <= CHANNEL_CODE_MAX &&
	       strspn(code, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

static void
dispatch_reply(struct channel *ch, struct frame *f)
{
	struct request *r = requests_find(&ch->requests, f->id);
	int error = (f->flags & FRAME_ERROR) != 0;
	struct reply reply = {0};
	struct pb_arena *arena;
	channel_reply_fn *fn;
	void *arg;

	if (r == NULL)
		return; /* given up so long ago that it is forgotten */
	if (r->state == REQUEST_LATE) {
		requests_remove(&ch->requests, r);
		return;
	}
	if ((reply.pb = unpack(ch, error ? &ipc__error__descriptor : r->desc, f, &arena)) == NULL)
		return;
	if (error) {
		const Ipc__Error *e = (const Ipc__Error *)reply.pb;

		if (!code_ok(e->code) || strlen(e->text) > CHANNEL_TEXT_MAX) {
			channel_break(ch, 0, "%s: a malformed error", ch->context);
			pb_arena_free(arena);
			return;
		}
		reply.pb = NULL;
		reply.code = e->code;
		reply.text = e->text;
	} else
		reply.ok = 1;
	frame_clear(f);
	fn = r->fn;
	arg = r->arg;
	requests_remove(&ch->requests, r);
	fn(&reply, arg);
	pb_arena_free(arena);
}

void
dispatch_frame(struct channel *ch, struct frame *f)
{
	if (f->flags & FRAME_REPLY)
		dispatch_reply(ch, f);
	else
		dispatch_message(ch, f);
	frame_clear(f);
}
