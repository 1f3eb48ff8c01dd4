/* What the channels of keyd and apid have in common: their end, waiting for the peer to read, and
 * the pieces of an answer. */
#include "stored/dispatch.h"

#include "stored/region.h"

#include "stored/task.h"

static int *
paused(struct store *s, const struct channel *ch)
{
	return ch == s->keyd ? &s->keyd_paused : &s->apid_paused;
}

void
dispatch_answered(struct store *s, struct channel *ch)
{
	int *p = paused(s, ch);

	if (channel_full(ch) && !*p) {
		*p = 1; /* it asks faster than it reads */
		channel_pause(ch);
	}
}

static void
on_drained(struct channel *ch, void *owner)
{
	int *p = paused(owner, ch);

	if (*p)
		channel_resume(ch);
	*p = 0;
}

static void
on_broken(struct channel *ch, void *owner, const char *why)
{
	struct store *s = owner;

	if (ch == s->apid)
		task_stop(s, "cancelled"); /* nobody waits for it any more */
	s->peer_lost(s, ch, why);
}

static void
on_closed(struct channel *ch, void *owner)
{
	struct store *s = owner;

	if (ch == s->apid)
		task_stop(s, "cancelled");
	s->peer_lost(s, ch, NULL);
}

struct channel *
dispatch_channel(
    struct store *s, int fd, const char *name, const struct channel_row *rows, size_t nrows)
{
	const struct channel_config cfg = {
	    .name = name,
	    .rows = rows,
	    .nrows = nrows,
	    .owner = s,
	    .out_max_bytes = (size_t)64 * 1024 * 1024,
	    .on_broken = on_broken,
	    .on_closed = on_closed,
	    .on_drained = on_drained,
	};

	return channel_new(s->base, fd, &cfg);
}

/* ---------------------------------------------------------------- answers */

struct store_account *
dispatch_account(struct store *s, const char *name, struct message *m, int *ret)
{
	struct store_account *a = store_account(s, name);

	if (a == NULL)
		*ret = channel_reply_error(m->channel, m->id, "unknown_account", "no such account");
	else if (!s->unlocked)
		*ret = channel_reply_error(m->channel, m->id, "locked", "the store has no key yet");
	else if (!a->opened.ok)
		*ret =
		    channel_reply_error(m->channel, m->id, "account_failed", "%s", a->opened.text);
	else
		return a;
	return NULL;
}

int
dispatch_answer(struct store *s, struct store_account *a, struct message *m, enum store_status st,
    uint32_t type, const ProtobufCMessage *out, struct region *r)
{
	struct channel *ch = m->channel;
	int ret;

	if (st == STORE_OK)
		ret = channel_reply(ch, m->id, type, out);
	else
		ret = channel_reply_error(
		    ch, m->id, store_status_word(st), "the database could not be read");
	region_free(r);
	if (st != STORE_OK)
		store_trouble(s, a, st);
	dispatch_answered(s, ch);
	return ret;
}

int
dispatch_refuse(struct message *m, const char *text)
{
	return channel_reply_error(m->channel, m->id, "bad_request", "%s", text);
}
