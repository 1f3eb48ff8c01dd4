/* The outbox of an account: what is to be sent, what was sent and waits for its ack.
 *
 * A *pass* goes through the QUEUED and READY rows of stored in their order after each login, and
 * again whenever a row was queued. While it runs new messages queue behind it; when it has come to
 * the end they go out directly. */
#include "apid/message/outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/outbox_impl.h"
#include "apid/message/refusal.h"
#include "apid/message/send.h"
#include "apid/message/typing.h"
#include "apid/session/connect.h"
#include "apid/session/stanza.h"
#include "common/clock.h"
#include "common/log.h"

#define PAGE         64u
#define ROWS_MAX     (2u * 1024 * 1024) /* bytes of a page: stored stops at 1 MiB, or after one row */
#define TICK_S       5
#define SENT_RESENDS 2
#define COUNT_MS     1000 /* at most so often is it asked how old the oldest is */

static void count_now(evutil_socket_t fd, short what, void *arg);

/* ------------------------------------------------------------------ life */

void
outbox_sent_drop(struct outbox *o, struct sent *s)
{
	TAILQ_REMOVE(&o->sent, s, link);
	o->nsent--;
	free(s->bytes);
	free(s);
}

static void
sent_clear(struct outbox *o)
{
	while (!TAILQ_EMPTY(&o->sent))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		outbox_sent_drop(o, TAILQ_FIRST(&o->sent));
}

void
outbox_pass_later(struct outbox *o, int64_t ms)
{
	struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
	int64_t at = clock_mono_ms() + ms;

	if (evtimer_pending(o->later, NULL) && o->later_at <= at)
		return;
	o->later_at = at;
	evtimer_add(o->later, &tv);
}

static void
later_now(evutil_socket_t fd, short what, void *arg)
{
	struct outbox *o = arg;

	if (o->pass == PASS_OFF)
		return;
	ask_cancel(o->ask); /* a page may be on its way */
	o->ask = NULL;
	outbox_hold_clear(o);
	o->after_row = 0; /* from the start: what is on its way is passed by */
	o->pass = PASS_WAITING;
	outbox_pass_go(o);
}

static void
tick(evutil_socket_t fd, short what, void *arg)
{
	struct outbox *o = arg;
	struct account *a = o->a;
	struct sent *s;
	struct timeval tv = {TICK_S, 0};
	int64_t now = clock_mono_ms();

	if (a->conn == 0)
		return;
	TAILQ_FOREACH(s, &o->sent, link)
	{
		if (s->acking || s->due_ms > now || outbox_is_stopped(o, s->chat))
			continue;
		if (s->resends >= SENT_RESENDS) {
			log_warnx("account %s: a message gets no ack; connecting anew", a->name);
			connect_restart(a, 0);
			return;
		}
		s->resends++;
		s->due_ms = now + OUTBOX_ACK_MS;
		if (stanza_send_bytes(a, s->bytes, s->len) == -1)
			return; /* the list may be gone */
	}
	evtimer_add(o->tick, &tv);
}

struct outbox *
outbox_new(struct account *a)
{
	struct outbox *o = calloc(1, sizeof(*o));

	if (o == NULL)
		fatal("outbox_new");
	o->a = a;
	o->doubts = doubts_new();
	TAILQ_INIT(&o->sent);
	TAILQ_INIT(&o->stops);
	TAILQ_INIT(&o->wishes);
	o->tick = evtimer_new(a->svc->base, tick, o);
	o->later = evtimer_new(a->svc->base, later_now, o);
	o->count_later = evtimer_new(a->svc->base, count_now, o);
	if (o->tick == NULL || o->later == NULL || o->count_later == NULL)
		fatalx("outbox_new: no event");
	outbox_hold_init(o);
	outbox_acks_init(o);
	return o;
}

void
outbox_free(struct outbox *o)
{
	if (o == NULL)
		return;
	ask_cancel(o->ask);
	ask_cancel(o->count_ask);
	sent_clear(o);
	outbox_hold_free(o);
	outbox_stops_free(o);
	outbox_cancels_free(o);
	event_free(o->tick);
	event_free(o->later);
	event_free(o->count_later);
	doubts_free(o->doubts);
	free(o);
}

size_t
outbox_depth(const struct account *a)
{
	return a->outbox->depth;
}

struct sent *
outbox_sent_find(struct outbox *o, const char *id)
{
	struct sent *s;

	TAILQ_FOREACH(s, &o->sent, link)
	if (strcmp(s->id, id) == 0)
		return s;
	return NULL;
}

/* ------------------------------------------------------------------ how much there is */

static void
counts_came(const struct reply *rp, void *arg)
{
	struct outbox *o = arg;
	const Stored__OutboxCounts *m = (const Stored__OutboxCounts *)rp->pb;

	o->count_ask = NULL;
	if (!rp->ok) {
		log_warnx("account %s: the outbox cannot be counted: %s", o->a->name, rp->code);
		outbox_count_later(o);
		return;
	}
	o->oldest_ms = m->has_oldest_ms ? m->oldest_ms : 0;
	if (o->counted)
		return; /* from the first answer on it is counted here */
	o->counted = 1;
	o->depth += m->waiting;
	pace_firsts_set(o->pace, m->first_out_ms, m->n_first_out_ms);
}

static void
count_now(evutil_socket_t fd, short what, void *arg)
{
	struct outbox *o = arg;
	Stored__OutboxCount m = STORED__OUTBOX_COUNT__INIT;

	if (o->count_ask != NULL || !o->a->store_ok)
		return;
	m.account = o->a->name;
	m.since_ms = clock_wall_ms() - PACE_DAY_MS;
	o->count_ask =
	    ask_stored(o->a, STORED__TYPE__OUTBOX_COUNT, &m.base, STORED__TYPE__OUTBOX_COUNTS,
		&stored__outbox_counts__descriptor, 64 * 1024, ASK_DEADLINE_MS, counts_came, o);
}

void
outbox_count_later(struct outbox *o)
{
	struct timeval tv = {COUNT_MS / 1000, COUNT_MS % 1000 * 1000};

	if (!evtimer_pending(o->count_later, NULL))
		evtimer_add(o->count_later, &tv);
}

void
outbox_opened(struct account *a)
{
	count_now(-1, 0, a->outbox);
}

void
outbox_row_came(struct account *a, int64_t created_ms)
{
	struct outbox *o = a->outbox;

	if (o->depth++ == 0 || o->oldest_ms == 0)
		o->oldest_ms = created_ms;
}

void
outbox_row_gone(struct account *a)
{
	struct outbox *o = a->outbox;

	if (o->depth > 0)
		o->depth--;
	if (o->depth == 0)
		o->oldest_ms = 0;
	else
		outbox_count_later(o);
}

int64_t
outbox_oldest_ms(const struct account *a)
{
	int64_t age = a->outbox->oldest_ms > 0 ? clock_wall_ms() - a->outbox->oldest_ms : 0;

	return age > 0 ? age : 0;
}

/* ------------------------------------------------------------------ on its way */

void
outbox_ready(struct account *a, const char *message_id, const char *chat, const uint8_t *stanza,
    size_t len, const char *phash)
{
	struct outbox *o = a->outbox;
	struct timeval tv = {TICK_S, 0};
	struct sent *s;

	if (a->conn == 0 || o->pass == PASS_OFF || outbox_sent_find(o, message_id) != NULL ||
	    outbox_is_stopped(o, chat))
		return; /* the pass at the end of the next login, or after the release, sends it */
	if ((s = calloc(1, sizeof(*s))) == NULL || (s->bytes = malloc(len)) == NULL) {
		free(s);
		log_warn("account %s: outbox", a->name); /* still READY: a later pass */
		return;
	}
	memcpy(s->bytes, stanza, len);
	s->len = len;
	s->due_ms = clock_mono_ms() + OUTBOX_ACK_MS;
	(void)snprintf(s->id, sizeof(s->id), "%s", message_id);
	(void)snprintf(s->chat, sizeof(s->chat), "%s", chat);
	if (phash[0] != '\0')
		(void)snprintf(s->phash, sizeof(s->phash), "%s", phash);
	else /* from before a disconnect or a restart */
		send_phash(stanza, len, s->phash);
	TAILQ_INSERT_TAIL(&o->sent, s, link);
	o->nsent++;
	if (!evtimer_pending(o->tick, NULL))
		evtimer_add(o->tick, &tv);
	typing_sent(a, chat);
	(void)stanza_send_bytes(a, stanza, len); /* last: it may end the connection */
}

/* ------------------------------------------------------------------ the pass */

static void
row_failed(struct outbox *o, const Stored__OutboxPut *p, const char *reason)
{
	struct settle_how how = {.reason = reason, .time_ms = clock_wall_ms()};

	outbox_settle(o->a, p->message_id, p->chat, &how);
}

/* A row of an account that was linked anew since is not sent: 1, it is ended. Without a stanza it
 * cannot have left; with one it may have, and its device hears no ack any more. */
static int
row_is_old(struct outbox *o, const Stored__OutboxPut *p)
{
	struct settle_how how = {
	    .unknown = 1, .reason = REFUSAL_UNKNOWN, .time_ms = clock_wall_ms()};

	if (p->created_ms >= o->a->rec.linked_ms)
		return 0;
	if (p->state == STORED__OUTBOX_STATE__READY)
		outbox_settle(o->a, p->message_id, p->chat, &how);
	else
		row_failed(o, p, "unlinked");
	return 1;
}

void
outbox_row_start(struct outbox *o, const Stored__OutboxRow *row)
{
	const Stored__OutboxPut *p = row->put;

	if (send_has(o->a, p->message_id) || outbox_is_cancelled(o, p->message_id))
		return;
	if (row_is_old(o, p))
		return;
	if (p->has_not_after_ms && p->not_after_ms > 0 && p->not_after_ms < clock_wall_ms())
		row_failed(o, p, "expired");
	else if (send_row(o->a, row) == 0)
		o->rows++;
	else
		outbox_row_later(o->a, p->message_id);
}

static void
pass_row(struct outbox *o, const Stored__OutboxRow *row)
{
	struct account *a = o->a;
	const Stored__OutboxPut *p = row->put;
	int64_t wait;

	if (outbox_sent_find(o, p->message_id) != NULL || send_has(a, p->message_id) ||
	    outbox_is_cancelled(o, p->message_id))
		return;
	if (row_is_old(o, p))
		return;
	if (p->state == STORED__OUTBOX_STATE__READY &&
	    (wait = doubt_wait_ms(o->doubts, p->message_id)) > 0)
		outbox_pass_later(o, wait); /* the others come first */
	else if (p->state == STORED__OUTBOX_STATE__READY && p->has_stanza)
		outbox_ready(a, p->message_id, p->chat, p->stanza.data, p->stanza.len, "");
	else if (!outbox_hold_row(o, row))
		outbox_row_start(o, row);
}

static void
pass_page(const struct reply *rp, void *arg)
{
	struct outbox *o = arg;
	const Stored__OutboxRows *m = (const Stored__OutboxRows *)rp->pb;
	uint64_t conn = o->a->conn;

	o->ask = NULL;
	if (!rp->ok) {
		log_warnx("account %s: the outbox cannot be read: %s", o->a->name, rp->code);
		outbox_pass_later(o, OUTBOX_LATER_MS);
		return;
	}
	o->pass = m->n_rows == 0 ? PASS_DONE : PASS_WAITING;
	for (size_t i = 0; i < m->n_rows && o->a->conn == conn; i++) {
		if (m->rows[i]->row > o->after_row)
			o->after_row = m->rows[i]->row;
		pass_row(o, m->rows[i]);
	}
	if (o->a->conn == conn)
		outbox_pump(o); /* and the next page */
}

/* Ask for the next page if there is room for it. */
void
outbox_pass_go(struct outbox *o)
{
	struct account *a = o->a;
	Stored__OutboxLoad m = STORED__OUTBOX_LOAD__INIT;
	size_t busy = o->nsent + o->rows;

	if (o->pass == PASS_OFF || o->pass == PASS_LOADING || a->conn == 0)
		return;
	if (o->pass == PASS_DONE && !o->more)
		return;
	if (busy + PAGE > OUTBOX_WINDOW || channel_full(a->svc->netd) || o->nheld + PAGE > HELD_MAX)
		return; /* an ack, netd, or a row that goes, wakes it */
	o->pass = PASS_LOADING;
	o->more = 0;
	m.account = a->name;
	m.after_row = o->after_row;
	m.limit = PAGE;
	o->ask = ask_stored(a, STORED__TYPE__OUTBOX_LOAD, &m.base, STORED__TYPE__OUTBOX_ROWS,
	    &stored__outbox_rows__descriptor, 8 * ROWS_MAX, ASK_DEADLINE_MS, pass_page, o);
}

void
outbox_online(struct account *a)
{
	struct outbox *o = a->outbox;

	sent_clear(o);
	outbox_hold_clear(o);
	o->after_row = 0;
	o->pass = PASS_WAITING;
	outbox_pass_go(o);
}

void
outbox_disconnected(struct account *a)
{
	struct outbox *o = a->outbox;
	struct sent *s;

	o->pass = PASS_OFF;
	ask_cancel(o->ask);
	o->ask = NULL;
	TAILQ_FOREACH(s, &o->sent, link)
	if (!s->acking)
		doubt_note(o->doubts, s->id);
	sent_clear(o);
	outbox_hold_clear(o);
	outbox_acks_offline(o);
	evtimer_del(o->tick);
	evtimer_del(o->later);
}

void
outbox_reset(struct account *a)
{
	outbox_disconnected(a);
	a->outbox->more = 0;
}

void
outbox_drained(struct account *a)
{
	outbox_pump(a->outbox);
}

int
outbox_direct(const struct account *a)
{
	const struct outbox *o = a->outbox;

	return a->conn != 0 && a->logged_in && o->pass == PASS_DONE && !o->more &&
	       o->queueing == 0 && o->nsent < OUTBOX_WINDOW && !channel_full(a->svc->netd);
}

void
outbox_queueing(struct account *a, int begins)
{
	if (begins)
		a->outbox->queueing++;
	else
		a->outbox->queueing--;
}

void
outbox_queued(struct account *a)
{
	a->outbox->more = 1;
	outbox_pass_go(a->outbox);
}

void
outbox_row_later(struct account *a, const char *message_id)
{
	if (a->outbox->pass != PASS_OFF)
		outbox_pass_later(a->outbox, OUTBOX_LATER_MS);
}

void
outbox_row_failed(
    struct account *a, const char *message_id, const char *chat, unsigned code, const char *reason)
{
	struct settle_how how = {.code = code, .reason = reason, .time_ms = clock_wall_ms()};

	outbox_settle(a, message_id, chat, &how);
}

void
outbox_row_left(struct account *a)
{
	if (a->outbox->rows > 0)
		a->outbox->rows--;
	outbox_pump(a->outbox);
}
