/* Messages in doubt: how often each was left without an ack, and until when it waits. */
#include "apid/message/doubt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "apid/message/ids.h"
#include "common/clock.h"
#include "common/log.h"

#define DOUBTS_MAX    256u /* as many as may wait for an ack */
#define WAIT_FIRST_MS 10000
#define WAIT_MAX_MS   3600000

struct doubt {
	TAILQ_ENTRY(doubt) link;
	char id[MESSAGE_ID_MAX + 1];
	unsigned tries;
	int64_t due_ms; /* monotonic */
};

struct doubts {
	TAILQ_HEAD(doubt_list, doubt) list; /* newest last */
	size_t n;
};

struct doubts *
doubts_new(void)
{
	struct doubts *d = calloc(1, sizeof(*d));

	if (d == NULL)
		fatal("doubts_new");
	TAILQ_INIT(&d->list);
	return d;
}

static void
drop(struct doubts *d, struct doubt *x)
{
	TAILQ_REMOVE(&d->list, x, link);
	d->n--;
	free(x);
}

void
doubts_free(struct doubts *d)
{
	struct doubt *x, *next;

	if (d == NULL)
		return;
	for (x = TAILQ_FIRST(&d->list); x != NULL; x = next) {
		next = TAILQ_NEXT(x, link);
		drop(d, x);
	}
	free(d);
}

static struct doubt *
find(const struct doubts *d, const char *id)
{
	struct doubt *x;

	TAILQ_FOREACH(x, &d->list, link)
	if (strcmp(x->id, id) == 0)
		return x;
	return NULL;
}

/* The oldest of those that were tried least often gives way. */
static void
make_room(struct doubts *d)
{
	struct doubt *x, *least = TAILQ_FIRST(&d->list);

	if (d->n < DOUBTS_MAX)
		return;
	TAILQ_FOREACH(x, &d->list, link)
	if (x->tries < least->tries)
		least = x;
	drop(d, least);
}

void
doubt_note(struct doubts *d, const char *message_id)
{
	struct doubt *x = find(d, message_id);
	int64_t wait = WAIT_FIRST_MS;

	if (x == NULL) {
		make_room(d);
		if ((x = calloc(1, sizeof(*x))) == NULL)
			return;
		(void)snprintf(x->id, sizeof(x->id), "%s", message_id);
		TAILQ_INSERT_TAIL(&d->list, x, link);
		d->n++;
	}
	x->tries++;
	if (x->tries < DOUBT_TRIES)
		return;
	for (unsigned i = DOUBT_TRIES; i < x->tries && wait < WAIT_MAX_MS; i++)
		wait *= 2;
	x->due_ms = clock_mono_ms() + (wait < WAIT_MAX_MS ? wait : WAIT_MAX_MS);
}

void
doubt_clear(struct doubts *d, const char *message_id)
{
	struct doubt *x = find(d, message_id);

	if (x != NULL)
		drop(d, x);
}

int64_t
doubt_wait_ms(const struct doubts *d, const char *message_id)
{
	const struct doubt *x = find(d, message_id);
	int64_t left = x == NULL || x->tries < DOUBT_TRIES ? 0 : x->due_ms - clock_mono_ms();

	return left > 0 ? left : 0;
}
