/* What the channels of keyd and apid have in common: their end, and waiting for the peer to read.
 */
#include "stored/dispatch.h"

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
