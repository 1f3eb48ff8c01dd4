/* events.fetch: acknowledge, open the consumer, read, wait for a first event, answer. */
#include <stdlib.h>
#include <string.h>

#include "apid/rpc/cursor.h"
#include "apid/rpc/methods.h"
#include "apid/rpc/subscribe.h"

#define LIMIT_DEFAULT 100
#define ANSWER_BYTES  (512u * 1024) /* enough for one answer; the rest comes with the next */
#define PIECE_BYTES   (256u * 1024)

struct fetch {
	TAILQ_ENTRY(fetch) link;
	struct request *rq;
	struct consumer *consumer;
	struct event_filter filter;
	unsigned limit, count;
	int64_t wait_ms;
	uint64_t pos;   /* all up to here was looked at */
	struct buf out; /* "events":[… */
	struct ack_waiter *ack;
	struct store_ask *asked; /* what is asked of stored now */
	struct event *ev_wait;
	int waiting; /* at the end of the log, with nothing to give */
};

static void fetch_acked(void *arg, const char *reason);
static void fetch_open(struct fetch *f);
static void fetch_opened(const struct reply *r, void *arg);
static void fetch_read(struct fetch *f);
static void fetch_piece(const struct reply *r, void *arg);
static void fetch_wait(struct fetch *f);
static void fetch_done(struct fetch *f);

static void
fetch_free(struct fetch *f)
{
	struct rpc *r = f->rq->client->rpc;

	TAILQ_REMOVE(&r->fetches, f, link);
	f->rq->forget = NULL;
	store_ask_cancel(f->asked);
	if (f->ack != NULL)
		consumer_ack_forget(f->ack);
	if (f->ev_wait != NULL)
		event_free(f->ev_wait);
	f->consumer->fetch = NULL;
	consumer_idle(f->consumer);
	event_filter_clear(&f->filter);
	buf_clear(&f->out);
	free(f);
}

static void
fetch_forget(struct request *rq, void *arg)
{
	fetch_free(arg);
}

static void
fetch_failed(struct fetch *f, const char *code)
{
	struct request *rq = f->rq;

	fetch_free(f);
	request_store_error(rq, code);
}

/* ------------------------------------------------------------------ the steps */

void
method_events_fetch(struct request *rq)
{
	struct rpc *r = rq->client->rpc;
	const char *ack = request_str(rq, "ack"), *name = consumer_asked(rq);
	struct consumer *co;
	struct fetch *f;
	uint64_t seq = 0;

	if (name == NULL || (ack != NULL && consumer_asked_cursor(rq, "ack", &seq) == -1))
		return;
	if ((co = consumer_get(r, rq->client->peer.uid, name)) != NULL &&
	    consumer_claim(co, request_bool(rq, "steal")) == -1) {
		request_error(rq, -9, "consumer_busy",
		    "another client has this consumer; steal takes it", "consumer");
		return;
	}
	if (co == NULL || (f = calloc(1, sizeof(*f))) == NULL) {
		request_error(rq, -2, "internal", "out of memory", NULL);
		return;
	}
	f->rq = rq;
	f->consumer = co;
	co->fetch = f;
	f->limit = (unsigned)request_int(rq, "limit", LIMIT_DEFAULT);
	f->wait_ms = request_int(rq, "wait_ms", 0);
	TAILQ_INSERT_TAIL(&r->fetches, f, link);
	rq->forget = fetch_forget;
	rq->forget_arg = f;
	buf_put_str(&f->out, "{\"events\":[");
	if (event_filter_init(
		&f->filter, rq->client->peer.roles, json_object_get(rq->params, "filter")) == -1)
		fetch_failed(f, NULL);
	else if (ack == NULL)
		fetch_open(f);
	else if ((f->ack = consumer_ack_fn(co, seq, fetch_acked, f)) == NULL)
		fetch_failed(f, NULL);
}

static void
fetch_acked(void *arg, const char *reason)
{
	struct fetch *f = arg;

	f->ack = NULL;
	if (reason != NULL)
		fetch_failed(f, reason);
	else
		fetch_open(f);
}

static void
fetch_open(struct fetch *f)
{
	f->asked =
	    consumer_open(f->consumer, STORED__CONSUMER_OPEN__FROM__RESUME, 0, fetch_opened, f);
}

static void
fetch_opened(const struct reply *r, void *arg)
{
	struct fetch *f = arg;
	const Stored__Consumer *c = r->ok ? (const Stored__Consumer *)r->pb : NULL;

	f->asked = NULL;
	if (c == NULL) {
		fetch_failed(f, r->code);
		return;
	}
	f->pos = c->acked_seq;
	if (c->created)
		f->consumer->delivered = c->acked_seq;
	fetch_read(f);
}

static void
fetch_read(struct fetch *f)
{
	struct rpc *r = f->rq->client->rpc;

	if (f->pos < rpc_last_seq(r) && f->count < f->limit && f->out.len < ANSWER_BYTES)
		f->asked = events_read(
		    r, &f->filter, f->pos, f->limit - f->count, PIECE_BYTES, fetch_piece, f);
	else if (f->count == 0 && f->wait_ms > 0)
		fetch_wait(f);
	else
		fetch_done(f);
}

static void
fetch_add(struct fetch *f, const Stored__Event *e, uint64_t gap_to)
{
	const char *log_id = f->rq->client->rpc->service->log_id;
	uint64_t seq = e != NULL ? e->seq : gap_to;

	buf_put_str(&f->out, f->count++ > 0 ? ",{" : "{");
	if (e != NULL)
		event_out(&f->out, log_id, e, seq <= f->consumer->delivered);
	else
		event_out_gap(&f->out, log_id, f->pos + 1, gap_to);
	buf_put_u8(&f->out, '}');
	if (seq > f->consumer->delivered)
		f->consumer->delivered = seq;
	f->pos = seq;
	f->rq->client->rpc->events_sent++;
}

static void
fetch_piece(const struct reply *r, void *arg)
{
	struct fetch *f = arg;
	const Stored__Events *ev = r->ok ? (const Stored__Events *)r->pb : NULL;
	struct rpc *rpc = f->rq->client->rpc;
	uint64_t before = f->pos;

	f->asked = NULL;
	if (ev == NULL) {
		fetch_failed(f, r->code);
		return;
	}
	if (ev->last_seq > rpc->last_seq)
		rpc->last_seq = ev->last_seq;
	if (f->pos + 1 < ev->first_seq)
		fetch_add(f, NULL, ev->first_seq - 1);
	for (size_t i = 0; i < ev->n_events && f->count < f->limit; i++)
		if (ev->events[i]->seq > f->pos &&
		    event_filter_match(&f->filter, ev->events[i]->type, ev->events[i]->account))
			fetch_add(f, ev->events[i], 0);
	if (f->count < f->limit && ev->scanned_seq > f->pos)
		f->pos = ev->scanned_seq;
	if (f->pos == before)
		fetch_done(f); /* no progress: what there is, there is */
	else
		fetch_read(f);
}

static void
fetch_late(evutil_socket_t fd, short what, void *arg)
{
	fetch_done(arg);
}

static void
fetch_wait(struct fetch *f)
{
	struct timeval tv = {.tv_sec = (time_t)(f->wait_ms / 1000),
	    .tv_usec = (suseconds_t)(f->wait_ms % 1000) * 1000};

	f->waiting = 1;
	if (f->ev_wait != NULL)
		return; /* woken by something that was not wanted: the time runs on */
	f->ev_wait = evtimer_new(f->rq->client->rpc->service->base, fetch_late, f);
	if (f->ev_wait == NULL || evtimer_add(f->ev_wait, &tv) == -1)
		fetch_failed(f, NULL);
}

void
fetch_wake(struct rpc *r)
{
	struct fetch *f, *next;

	for (f = TAILQ_FIRST(&r->fetches); f != NULL; f = next) {
		next = TAILQ_NEXT(f, link);
		if (!f->waiting)
			continue;
		f->waiting = 0;
		fetch_read(f);
	}
}

static void
fetch_done(struct fetch *f)
{
	struct request *rq = f->rq;
	char cursor[CURSOR_TEXT_MAX];
	struct buf out = f->out;

	memset(&f->out, 0, sizeof(f->out));
	buf_printf(&out, "],\"cursor\":\"%s\"}",
	    cursor_format(rq->client->rpc->service->log_id, f->pos, cursor));
	fetch_free(f);
	request_result_text(rq, &out);
}

void
fetch_give_up(struct fetch *f)
{
	struct request *rq = f->rq;

	fetch_free(f);
	request_error(rq, -9, "consumer_busy", "the consumer was taken by another", "consumer");
}
