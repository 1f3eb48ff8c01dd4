/* A subscription: from events.subscribe to its end. It reads the log in bounded pieces, as fast as
 * its client reads and acknowledges, and no faster. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/rpc/cursor.h"
#include "apid/rpc/json_out.h"
#include "apid/rpc/methods.h"
#include "apid/rpc/subscribe.h"
#include "common/log.h"

#define WINDOW_DEFAULT 256
#define PIECE_EVENTS   256
#define PIECE_BYTES    (128u * 1024)
#define RETRY_MS       1000
#define SKIPPED_MAX    256 /* events that a filter left out, before that is acknowledged by itself */

struct subscription {
	TAILQ_ENTRY(subscription) link;        /* all */
	TAILQ_ENTRY(subscription) client_link; /* of the client */
	struct client *client;
	struct consumer *consumer; /* NULL: ephemeral */
	struct request *rq;        /* events.subscribe itself, until it is answered */
	char name[16];
	struct event_filter filter;
	uint64_t pos;      /* all up to here was looked at */
	uint64_t acked;    /* as far as this subscription knows */
	uint64_t *unacked; /* ring of `window` seqs that were delivered */
	unsigned window, first, count;
	struct store_ask *asked; /* what is asked of stored now */
	struct event *ev_retry;
	int ready; /* events.subscribe was answered */
};

/* ------------------------------------------------------------------ the end */

static void
subscription_free(struct subscription *sub)
{
	struct client *c = sub->client;

	TAILQ_REMOVE(&c->rpc->subscriptions, sub, link);
	TAILQ_REMOVE(&c->subscriptions, sub, client_link);
	c->nsubscriptions--;
	store_ask_cancel(sub->asked);
	if (sub->consumer != NULL && sub->consumer->subscription == sub) {
		sub->consumer->subscription = NULL;
		consumer_idle(sub->consumer);
	}
	if (sub->ev_retry != NULL)
		event_free(sub->ev_retry);
	event_filter_clear(&sub->filter);
	free(sub->unacked);
	free(sub);
}

static void
tell_closed(struct subscription *sub, const char *reason)
{
	struct buf b = BUF_INIT;
	char body[96];

	snprintf(
	    body, sizeof(body), "{\"subscription\":\"%s\",\"reason\":\"%s\"}", sub->name, reason);
	buf_printf(&b,
	    "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"subscription\":\"%s\",",
	    sub->name);
	event_out_transient(&b, "", "events.closed", body);
	buf_put_str(&b, "}}");
	client_put(sub->client, &b, CHUNK_EVENT);
}

void
subscription_close(struct subscription *sub, const char *reason)
{
	struct request *rq = sub->rq;

	if (rq != NULL) {
		sub->rq = NULL;
		rq->forget = NULL;
		if (reason != NULL)
			request_error(
			    rq, -9, "consumer_busy", "the consumer was taken by another", NULL);
	} else if (reason != NULL) {
		tell_closed(sub, reason);
	}
	subscription_free(sub);
}

void
subscription_close_client(struct client *c)
{
	struct subscription *sub;

	while ((sub = TAILQ_FIRST(&c->subscriptions)) != NULL)
		subscription_close(sub, NULL);
}

int
consumer_claim(struct consumer *co, int steal)
{
	if (!consumer_live(co))
		return 0;
	if (!steal)
		return -1;
	if (co->subscription != NULL)
		subscription_close(co->subscription, "stolen");
	if (co->fetch != NULL)
		fetch_give_up(co->fetch);
	return 0;
}

/* ------------------------------------------------------------------ delivering */

/* One line: an event, or (e NULL) a gap. */
static void
deliver(struct subscription *sub, const Stored__Event *e, uint64_t gap_from, uint64_t gap_to)
{
	struct client *c = sub->client;
	struct consumer *co = sub->consumer;
	const char *log_id = c->rpc->service->log_id;
	uint64_t seq = e != NULL ? e->seq : gap_to;
	struct buf b = BUF_INIT;

	buf_printf(&b,
	    "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"subscription\":\"%s\",",
	    sub->name);
	if (e != NULL)
		event_out(&b, log_id, e, co != NULL && seq <= co->delivered);
	else
		event_out_gap(&b, log_id, gap_from, gap_to);
	buf_put_str(&b, "}}");
	if (co != NULL) {
		sub->unacked[(sub->first + sub->count) % sub->window] = seq;
		sub->count++;
		if (seq > co->delivered)
			co->delivered = seq;
	}
	sub->pos = seq;
	c->rpc->events_sent++;
	client_put(c, &b, CHUNK_EVENT);
}

static void
retry(evutil_socket_t fd, short what, void *arg)
{
	subscription_pump(arg);
}

static void
retry_later(struct subscription *sub, const char *why)
{
	struct timeval tv = {.tv_sec = RETRY_MS / 1000, .tv_usec = (RETRY_MS % 1000) * 1000};
	static struct log_limit limit = LOG_LIMIT_INIT;

	if (log_allowed(&limit))
		log_warnx("events could not be read: %s; will try again", why);
	if (sub->ev_retry == NULL)
		sub->ev_retry = evtimer_new(sub->client->rpc->service->base, retry, sub);
	if (sub->ev_retry == NULL || evtimer_add(sub->ev_retry, &tv) == -1)
		subscription_close(sub, "error");
}

static void
piece_came(const struct reply *r, void *arg)
{
	struct subscription *sub = arg;
	const Stored__Events *ev = r->ok ? (const Stored__Events *)r->pb : NULL;
	struct rpc *rpc = sub->client->rpc;
	uint64_t before = sub->pos;

	sub->asked = NULL;
	if (ev == NULL) {
		retry_later(sub, r->code);
		return;
	}
	if (ev->last_seq > rpc->last_seq)
		rpc->last_seq = ev->last_seq;
	if (ev->scanned_seq <= before && ev->n_events == 0) {
		retry_later(sub, "no progress");
		return;
	}
	if (before + 1 < ev->first_seq)
		deliver(sub, NULL, before + 1, ev->first_seq - 1);
	for (size_t i = 0; i < ev->n_events; i++) {
		const Stored__Event *e = ev->events[i];

		if (e->seq <= sub->pos || !event_filter_match(&sub->filter, e->type, e->account))
			continue;
		if (sub->consumer != NULL && sub->count == sub->window)
			return; /* a gap took the place: it is read again after an ack */
		deliver(sub, e, 0, 0);
	}
	if (ev->scanned_seq > sub->pos)
		sub->pos = ev->scanned_seq;
	subscription_pump(sub);
}

/* Nothing delivered is open, so all that was looked at is done with: what the filter left out need
 * not hold the log back for ever. */
static void
acknowledge_skipped(struct subscription *sub)
{
	struct consumer *co = sub->consumer;

	if (co == NULL || sub->count > 0 || co->acking || sub->pos < sub->acked + SKIPPED_MAX)
		return;
	sub->acked = sub->pos;
	consumer_ack(co, sub->pos, NULL);
}

void
subscription_pump(struct subscription *sub)
{
	struct rpc *r = sub->client->rpc;
	unsigned want = PIECE_EVENTS;

	if (!sub->ready || sub->asked != NULL || sub->client->event_bytes >= RPC_EVENT_HIGH)
		return;
	if (sub->pos >= rpc_last_seq(r)) {
		acknowledge_skipped(sub);
		return;
	}
	if (sub->consumer != NULL) {
		if (sub->count == sub->window)
			return;
		if (want > sub->window - sub->count)
			want = sub->window - sub->count;
	}
	sub->asked = events_read(r, &sub->filter, sub->pos, want, PIECE_BYTES, piece_came, sub);
}

void
subscription_pump_client(struct client *c)
{
	struct subscription *sub, *next;

	for (sub = TAILQ_FIRST(&c->subscriptions); sub != NULL; sub = next) {
		next = TAILQ_NEXT(sub, client_link);
		subscription_pump(sub);
	}
}

void
subscription_pump_all(struct rpc *r)
{
	struct subscription *sub, *next;

	for (sub = TAILQ_FIRST(&r->subscriptions); sub != NULL; sub = next) {
		next = TAILQ_NEXT(sub, link);
		subscription_pump(sub);
	}
}

void
subscription_acked(struct subscription *sub, uint64_t seq)
{
	if (seq > sub->acked)
		sub->acked = seq;
	while (sub->count > 0 && sub->unacked[sub->first] <= seq) {
		sub->first = (sub->first + 1) % sub->window;
		sub->count--;
	}
	subscription_pump(sub);
}

/* To those who listen now and read what they are given; to others it is lost, as it may be. */
static void
transient_to(struct subscription *sub, const char *account, const char *type, const char *body)
{
	struct buf b = BUF_INIT;

	if (sub->client->event_bytes >= RPC_EVENT_HIGH) {
		sub->client->rpc->transients_dropped++;
		return;
	}
	buf_printf(&b,
	    "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"subscription\":\"%s\",",
	    sub->name);
	event_out_transient(&b, account, type, body);
	buf_put_str(&b, "}}");
	sub->client->rpc->transients_sent++;
	client_put(sub->client, &b, CHUNK_EVENT);
}

void
subscription_transient(struct rpc *r, const char *account, const char *type, const json_t *body)
{
	struct subscription *sub;
	char *text = json_dumps(body, JSON_COMPACT);

	if (text == NULL)
		return;
	TAILQ_FOREACH(sub, &r->subscriptions, link)
	if (sub->ready && event_filter_match(&sub->filter, type, account))
		transient_to(sub, account, type, text);
	explicit_bzero(text, strlen(text)); /* a QR code holds the secret of pairing */
	free(text);
}

/* ------------------------------------------------------------------ the beginning */

static void
subscribed(struct subscription *sub, uint64_t lag, int created)
{
	struct request *rq = sub->rq;
	struct client *c = sub->client;
	char cursor[CURSOR_TEXT_MAX];

	sub->rq = NULL;
	sub->ready = 1;
	rq->forget = NULL;
	request_result(rq, json_pack("{s:s, s:s, s:I, s:b}", "subscription", sub->name, "cursor",
			       cursor_format(c->rpc->service->log_id, sub->pos, cursor), "lag",
			       (json_int_t)lag, "created", created));
}

static void
opened(const struct reply *r, void *arg)
{
	struct subscription *sub = arg;
	const Stored__Consumer *c = r->ok ? (const Stored__Consumer *)r->pb : NULL;
	struct request *rq = sub->rq;

	sub->asked = NULL;
	if (c == NULL) {
		sub->rq = NULL;
		rq->forget = NULL;
		subscription_free(sub);
		request_store_error(rq, r->code);
		return;
	}
	sub->pos = sub->acked = sub->consumer->acked = c->acked_seq;
	if (c->created)
		sub->consumer->delivered = c->acked_seq;
	subscribed(sub, c->lag, c->created);
	subscription_pump(sub);
}

/* The request is cancelled or its client leaves before the answer. */
static void
subscribe_forget(struct request *rq, void *arg)
{
	struct subscription *sub = arg;

	sub->rq = NULL;
	subscription_free(sub);
}

/* Where to begin: one of the words or a cursor. 0, or -1 (answered). */
static int
parse_from(struct request *rq, int durable, int *from, uint64_t *seq)
{
	const char *text = request_str(rq, "from");

	if (text == NULL)
		text = durable ? "resume" : "latest";
	if (strcmp(text, "resume") == 0 && durable) {
		*from = STORED__CONSUMER_OPEN__FROM__RESUME;
	} else if (strcmp(text, "latest") == 0) {
		*from = STORED__CONSUMER_OPEN__FROM__LATEST;
	} else if (strcmp(text, "earliest") == 0) {
		*from = STORED__CONSUMER_OPEN__FROM__EARLIEST;
	} else if (strchr(text, '.') == NULL) {
		request_error(rq, -32602, "params",
		    durable ? "must be resume, latest, earliest or a cursor"
			    : "must be latest, earliest or a cursor without a consumer",
		    "from");
		return -1;
	} else if (consumer_asked_cursor(rq, "from", seq) == -1) {
		return -1;
	} else {
		*from = STORED__CONSUMER_OPEN__FROM__AT;
	}
	return 0;
}

static struct subscription *
subscription_new(struct request *rq, struct consumer *co)
{
	struct client *c = rq->client;
	struct subscription *sub = calloc(1, sizeof(*sub));

	if (sub == NULL)
		return NULL;
	sub->window = (unsigned)request_int(rq, "window", WINDOW_DEFAULT);
	if (event_filter_init(&sub->filter, c->peer.roles, json_object_get(rq->params, "filter")) ==
		-1 ||
	    (co != NULL && (sub->unacked = calloc(sub->window, sizeof(uint64_t))) == NULL)) {
		event_filter_clear(&sub->filter);
		free(sub);
		return NULL;
	}
	sub->client = c;
	sub->rq = rq;
	snprintf(sub->name, sizeof(sub->name), "s%u", ++c->next_subscription);
	TAILQ_INSERT_TAIL(&c->rpc->subscriptions, sub, link);
	TAILQ_INSERT_TAIL(&c->subscriptions, sub, client_link);
	c->nsubscriptions++;
	if ((sub->consumer = co) != NULL)
		co->subscription = sub;
	rq->forget = subscribe_forget;
	rq->forget_arg = sub;
	return sub;
}

/* The consumer that is asked for, free to be used. NULL: answered. */
static struct consumer *
subscribe_consumer(struct request *rq)
{
	struct client *c = rq->client; /* who is refused has no request any more */
	const char *name = consumer_asked(rq);
	struct consumer *co;

	if (name == NULL)
		return NULL;
	if ((co = consumer_get(c->rpc, c->peer.uid, name)) == NULL)
		request_error(rq, -2, "internal", "out of memory", NULL);
	else if (consumer_claim(co, request_bool(rq, "steal")) == -1) {
		request_error(rq, -9, "consumer_busy",
		    "another client has this consumer; steal takes it", "consumer");
		return NULL;
	}
	return co;
}

static void
subscribe_ephemeral(struct subscription *sub, int from, uint64_t seq)
{
	uint64_t last = rpc_last_seq(sub->client->rpc);

	if (from == STORED__CONSUMER_OPEN__FROM__LATEST)
		seq = last;
	sub->pos = sub->acked = seq;
	subscribed(sub, last - seq, 0);
	subscription_pump(sub);
}

void
method_events_subscribe(struct request *rq)
{
	struct client *c = rq->client;
	const char *name = request_str(rq, "consumer");
	const struct api_error *e = rpc_store_error(c->rpc);
	struct subscription *sub;
	struct consumer *co = NULL;
	uint64_t seq = 0;
	int from = 0;

	if (e != NULL) {
		request_fail(rq, e);
		return;
	}
	if (c->nsubscriptions >= c->rpc->limits.subscriptions) {
		request_error(
		    rq, -5, "overloaded", "too many subscriptions on this connection", NULL);
		return;
	}
	if (parse_from(rq, name != NULL, &from, &seq) == -1)
		return;
	if (name != NULL && (co = subscribe_consumer(rq)) == NULL)
		return;
	if ((sub = subscription_new(rq, co)) == NULL) {
		request_error(rq, -2, "internal", "out of memory", NULL);
		return;
	}
	if (co == NULL)
		subscribe_ephemeral(sub, from, seq);
	else
		sub->asked = consumer_open(co, from, seq, opened, sub);
}

void
method_events_unsubscribe(struct request *rq)
{
	const char *name = request_str(rq, "subscription");
	struct subscription *sub;

	sub = TAILQ_FIRST(&rq->client->subscriptions);
	while (sub != NULL && (!sub->ready || strcmp(sub->name, name) != 0))
		sub = TAILQ_NEXT(sub, client_link);
	if (sub == NULL) {
		request_error(rq, -1, "not_found", "there is no such subscription", "subscription");
		return;
	}
	subscription_close(sub, NULL);
	request_result(rq, json_pack("{s:b}", "ok", 1));
}
