/* Who waits for what becomes of a message, and how it is told to them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "apid/message/ids.h"
#include "apid/message/outbox_impl.h"
#include "apid/message/refusal.h"
#include "common/log.h"

struct waiter {
	TAILQ_ENTRY(waiter) link;
	struct waits *w;
	struct call *call;
	char id[MESSAGE_ID_MAX + 1], to[JID_TEXT_MAX];
	enum send_wait want;
	int duplicate;
	struct event *timer;
};

struct waits {
	struct account *a;
	TAILQ_HEAD(waiter_list, waiter) list;
};

struct waits *
waits_new(struct account *a)
{
	struct waits *w = calloc(1, sizeof(*w));

	if (w == NULL)
		fatal("waits_new");
	w->a = a;
	TAILQ_INIT(&w->list);
	return w;
}

static void
waiter_drop(struct waiter *w)
{
	TAILQ_REMOVE(&w->w->list, w, link);
	if (w->timer != NULL)
		event_free(w->timer);
	free(w);
}

void
waits_free(struct waits *w)
{
	if (w == NULL)
		return;
	while (!TAILQ_EMPTY(&w->list))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		waiter_drop(TAILQ_FIRST(&w->list));
	free(w);
}

json_t *
outbox_result(
    const char *message_id, const char *status, int64_t time_ms, const char *to, int duplicate)
{
	return json_pack("{s:s, s:s, s:I, s:s, s:b}", "message_id", message_id, "status", status,
	    "time_ms", (json_int_t)time_ms, "to", to, "duplicate", duplicate);
}

static int
is_unknown(const Stored__OutboxRow *row)
{
	return row->reason != NULL && strcmp(row->reason, REFUSAL_UNKNOWN) == 0;
}

const char *
outbox_row_status(const Stored__OutboxRow *row)
{
	const char *seen = row->has_read && row->read > 0             ? "read"
			   : row->has_delivered && row->delivered > 0 ? "delivered"
								      : NULL;

	switch (row->put->state) {
	case STORED__OUTBOX_STATE__ACKED:
		return seen != NULL ? seen : "server";
	case STORED__OUTBOX_STATE__FAILED:
		if (!is_unknown(row))
			return "failed";
		return seen != NULL ? seen : "outcome_unknown"; /* it had arrived, after all */
	default:
		return "queued";
	}
}

static int
is_end(const char *status)
{
	return strcmp(status, "failed") == 0 || strcmp(status, "outcome_unknown") == 0;
}

int
outbox_row_error(const Stored__OutboxRow *row, struct api_error *e)
{
	if (!is_end(outbox_row_status(row)))
		return 0;
	*e = refusal_error(
	    row->has_code ? row->code : 0, row->reason, row->has_until_ms ? row->until_ms : 0);
	return 1;
}

static int
reached(const char *status, enum send_wait want)
{
	if (want == SEND_WAIT_QUEUED)
		return 1;
	if (strcmp(status, "queued") == 0 || strcmp(status, "retrying") == 0)
		return 0;
	return want == SEND_WAIT_SERVER || strcmp(status, "server") != 0;
}

static void
waited_long(evutil_socket_t fd, short what, void *arg)
{
	struct waiter *w = arg;

	struct api_error e = api_error_make(-11, "outcome_unknown", 1,
	    "it is in the outbox; the wanted status did not come in time");

	outbox_wait_hint(w->w->a, w->id, &e);
	call_fail(w->call, &e);
	waiter_drop(w);
}

void
outbox_wait(struct account *a, struct call *c, const char *message_id, const char *to,
    enum send_wait want, const char *have, int64_t time_ms, int duplicate, unsigned timeout_ms)
{
	struct waiter *w;
	struct timeval tv = {timeout_ms / 1000, (suseconds_t)(timeout_ms % 1000) * 1000};

	if (c == NULL)
		return;
	if (reached(have, want)) {
		json_t *o = outbox_result(message_id, have, time_ms, to, duplicate);

		if (strcmp(have, "queued") == 0 && outbox_depth(a) > 0)
			outbox_tell_place(a, message_id, to, outbox_depth(a) - 1, o);
		call_ok(c, o);
		return;
	}
	if ((w = calloc(1, sizeof(*w))) == NULL ||
	    (w->timer = evtimer_new(a->svc->base, waited_long, w)) == NULL)
		fatal("outbox_wait");
	w->w = a->waits;
	w->call = c;
	w->want = want;
	w->duplicate = duplicate;
	(void)snprintf(w->id, sizeof(w->id), "%s", message_id);
	(void)snprintf(w->to, sizeof(w->to), "%s", to);
	TAILQ_INSERT_TAIL(&a->waits->list, w, link);
	evtimer_add(w->timer, &tv);
}

void
outbox_status(struct account *a, const struct outbox_news *news)
{
	struct waiter *w, *next;

	for (w = TAILQ_FIRST(&a->waits->list); w != NULL; w = next) {
		next = TAILQ_NEXT(w, link);
		if (strcmp(w->id, news->id) != 0 || !outbox_same_chat(a, w->to, news->party))
			continue;
		if (is_end(news->status)) {
			struct api_error e =
			    refusal_error(news->code, news->reason, news->until_ms);

			call_fail(w->call, &e);
		} else if (reached(news->status, w->want)) {
			call_ok(w->call, outbox_result(news->id, news->status, news->time_ms, w->to,
					     w->duplicate));
		} else {
			continue;
		}
		waiter_drop(w);
	}
}

void
outbox_state_changed(struct account *a)
{
	struct waits *o = a->waits;

	while (!TAILQ_EMPTY(&o->list)) {
		struct waiter *w = TAILQ_FIRST(&o->list);

		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		call_failf(w->call, -11, "outcome_unknown", 1,
		    "it is in the outbox; the account is not connected any more");
		waiter_drop(w);
	}
}
