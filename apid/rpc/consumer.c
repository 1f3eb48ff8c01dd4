/* Durable consumers of this run: found by owner and name, live with one client at most, and their
 * acknowledgements, of which one at a time is at stored. */
#include <stdlib.h>
#include <string.h>

#include "apid/rpc/consumer.h"
#include "apid/rpc/cursor.h"
#include "apid/rpc/subscribe.h"
#include "common/log.h"

#define CONSUMER_REPLY_MAX 512

struct ack_waiter {
	STAILQ_ENTRY(ack_waiter) link;
	struct request *rq; /* NULL: nobody waits, or */
	consumer_acked_fn *fn;
	void *arg;
};

static void ack_send(struct consumer *co);

static int
name_ok(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= CONSUMER_NAME_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
		   n;
}

const char *
consumer_asked(struct request *rq)
{
	const char *name = request_str(rq, "consumer");
	const struct api_error *e = rpc_store_error(rq->client->rpc);

	if (e != NULL) {
		request_fail(rq, e);
		return NULL;
	}
	if (!name_ok(name)) {
		request_error(
		    rq, -32602, "params", "must be 1 to 64 of A-Z a-z 0-9 . _ -", "consumer");
		return NULL;
	}
	return name;
}

int
consumer_asked_cursor(struct request *rq, const char *param, uint64_t *seq)
{
	struct rpc *r = rq->client->rpc;

	if (cursor_parse(request_str(rq, param), r->service->log_id, seq) == 0 &&
	    *seq <= rpc_last_seq(r))
		return 0;
	request_error(rq, -1, "bad_cursor", "the cursor is not of this event log", param);
	return -1;
}

int
consumer_live(const struct consumer *co)
{
	return co->subscription != NULL || co->fetch != NULL;
}

static int
consumer_in_use(const struct consumer *co)
{
	return consumer_live(co) || co->acking || !STAILQ_EMPTY(&co->ack_next);
}

struct consumer *
consumer_find(struct rpc *r, uint32_t uid, const char *name)
{
	struct consumer *co;

	TAILQ_FOREACH(co, &r->consumers, link)
	if (co->uid == uid && strcmp(co->name, name) == 0)
		return co;
	return NULL;
}

static void
consumer_forget(struct consumer *co)
{
	TAILQ_REMOVE(&co->rpc->consumers, co, link);
	co->rpc->nconsumers--;
	free(co);
}

/* The oldest that nobody uses go when there are many; stored still has them. What is lost is only
 * the knowledge that their events were delivered before. */
static void
consumers_trim(struct rpc *r)
{
	struct consumer *co, *next;

	for (co = TAILQ_FIRST(&r->consumers);
	     co != NULL && r->nconsumers >= r->limits.keep_consumers; co = next) {
		next = TAILQ_NEXT(co, link);
		if (!consumer_in_use(co))
			consumer_forget(co);
	}
}

struct consumer *
consumer_get(struct rpc *r, uint32_t uid, const char *name)
{
	struct consumer *co = consumer_find(r, uid, name);

	if (co != NULL)
		return co;
	consumers_trim(r);
	(void)rpc_last_seq(r); /* so that boot_seq is known */
	if ((co = calloc(1, sizeof(*co))) == NULL)
		return NULL;
	co->rpc = r;
	co->uid = uid;
	memcpy(co->name, name, strnlen(name, CONSUMER_NAME_MAX));
	/* what was in the log at the start may have been delivered by an earlier run */
	co->delivered = r->boot_seq;
	STAILQ_INIT(&co->ack_now);
	STAILQ_INIT(&co->ack_next);
	TAILQ_INSERT_TAIL(&r->consumers, co, link);
	r->nconsumers++;
	return co;
}

void
consumer_idle(struct consumer *co)
{
	TAILQ_REMOVE(&co->rpc->consumers, co, link);
	TAILQ_INSERT_TAIL(&co->rpc->consumers, co, link);
}

static void
ack_list_drop(struct ack_list *list)
{
	struct ack_waiter *w;

	while ((w = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, link);
		free(w);
	}
}

/* Their clients are gone, so nobody waits; the channel's callbacks must not come after this. */
void
consumer_free_all(struct rpc *r)
{
	struct consumer *co, *next;

	for (co = TAILQ_FIRST(&r->consumers); co != NULL; co = next) {
		next = TAILQ_NEXT(co, link);
		store_ask_cancel(co->ack_asked);
		ack_list_drop(&co->ack_now);
		ack_list_drop(&co->ack_next);
		consumer_forget(co);
	}
}

/* ------------------------------------------------------------------ opening */

struct store_ask *
consumer_open(struct consumer *co, int from, uint64_t seq, channel_reply_fn *fn, void *arg)
{
	Stored__ConsumerOpen m = STORED__CONSUMER_OPEN__INIT;

	m.name = co->name;
	m.uid = co->uid;
	m.from = (Stored__ConsumerOpen__From)from;
	m.has_seq = from == STORED__CONSUMER_OPEN__FROM__AT;
	m.seq = seq;
	return store_ask(co->rpc, STORED__TYPE__CONSUMER_OPEN, &m.base, STORED__TYPE__CONSUMER,
	    &stored__consumer__descriptor, CONSUMER_REPLY_MAX, fn, arg);
}

/* ------------------------------------------------------------------ acknowledging */

static void
ack_answer(struct consumer *co, struct request *rq, uint64_t acked, uint64_t lag)
{
	char cursor[CURSOR_TEXT_MAX];

	request_result(rq,
	    json_pack("{s:b, s:s, s:I}", "ok", 1, "cursor",
		cursor_format(co->rpc->service->log_id, acked, cursor), "lag", (json_int_t)lag));
}

static void
ack_done(const struct reply *r, void *arg)
{
	struct consumer *co = arg;
	const Stored__Consumer *c = r->ok ? (const Stored__Consumer *)r->pb : NULL;
	struct ack_waiter *w;
	static struct log_limit limit = LOG_LIMIT_INIT;

	co->ack_asked = NULL;
	if (c != NULL && c->acked_seq > co->acked)
		co->acked = c->acked_seq;
	if (c == NULL && log_allowed(&limit))
		log_warnx("an acknowledgement could not be stored: %s", r->code);
	while ((w = STAILQ_FIRST(&co->ack_now)) != NULL) {
		STAILQ_REMOVE_HEAD(&co->ack_now, link);
		if (w->rq != NULL) {
			w->rq->forget = NULL;
			if (c != NULL)
				ack_answer(co, w->rq, c->acked_seq, c->lag);
			else
				request_store_error(w->rq, r->code);
		} else if (w->fn != NULL) {
			w->fn(w->arg, c != NULL ? NULL : r->code);
		}
		free(w);
	}
	if (c != NULL && co->subscription != NULL)
		subscription_acked(co->subscription, co->acked);
	co->acking = 0;
	if (!STAILQ_EMPTY(&co->ack_next))
		ack_send(co);
	else if (!consumer_live(co))
		consumer_idle(co);
}

static void
ack_send(struct consumer *co)
{
	Stored__ConsumerAck m = STORED__CONSUMER_ACK__INIT;

	STAILQ_CONCAT(&co->ack_now, &co->ack_next);
	co->acking = 1;
	m.name = co->name;
	m.uid = co->uid;
	m.seq = co->ack_wanted;
	co->ack_wanted = 0;
	co->ack_asked =
	    store_ask(co->rpc, STORED__TYPE__CONSUMER_ACK, &m.base, STORED__TYPE__CONSUMER,
		&stored__consumer__descriptor, CONSUMER_REPLY_MAX, ack_done, co);
}

static struct ack_waiter *
ack_queue(struct consumer *co, uint64_t seq)
{
	struct ack_waiter *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	STAILQ_INSERT_TAIL(&co->ack_next, w, link);
	if (seq > co->ack_wanted)
		co->ack_wanted = seq;
	return w;
}

/* Its client is gone; what it acknowledged stays acknowledged. */
static void
ack_request_gone(struct request *rq, void *arg)
{
	struct ack_waiter *w = arg;

	w->rq = NULL;
}

void
consumer_ack(struct consumer *co, uint64_t seq, struct request *rq)
{
	struct ack_waiter *w = ack_queue(co, seq);

	if (w == NULL) {
		if (rq != NULL)
			request_error(rq, -2, "internal", "out of memory", NULL);
		return;
	}
	w->rq = rq;
	if (rq != NULL) {
		rq->forget = ack_request_gone;
		rq->forget_arg = w;
	}
	if (!co->acking)
		ack_send(co);
}

struct ack_waiter *
consumer_ack_fn(struct consumer *co, uint64_t seq, consumer_acked_fn *fn, void *arg)
{
	struct ack_waiter *w = ack_queue(co, seq);

	if (w == NULL)
		return NULL;
	w->fn = fn;
	w->arg = arg;
	if (!co->acking)
		ack_send(co);
	return w;
}

void
consumer_ack_forget(struct ack_waiter *w)
{
	w->fn = NULL;
}
