/* events.ack, events.consumers, events.consumer_delete. */
#include <string.h>

#include "apid/rpc/cursor.h"
#include "apid/rpc/methods.h"
#include "apid/rpc/subscribe.h"
#include "common/pb.h"

#define CONSUMERS_REPLY_MAX (1u << 20)

void
method_events_ack(struct request *rq)
{
	const char *name = consumer_asked(rq);
	struct consumer *co;
	uint64_t seq;

	if (name == NULL || consumer_asked_cursor(rq, "cursor", &seq) == -1)
		return;
	if ((co = consumer_get(rq->client->rpc, rq->client->peer.uid, name)) == NULL)
		request_error(rq, -2, "internal", "out of memory", NULL);
	else
		consumer_ack(co, seq, rq);
}

/* ------------------------------------------------------------------ requests that stored answers
 */

static void
forget_store(struct request *rq, void *arg)
{
	store_ask_cancel(arg);
}

static void
wait_for_store(struct request *rq, struct store_ask *asked)
{
	rq->forget = forget_store;
	rq->forget_arg = asked;
}

static void
consumers_came(const struct reply *r, void *arg)
{
	struct request *rq = arg;
	struct rpc *rpc = rq->client->rpc;
	const Stored__Consumers *list = r->ok ? (const Stored__Consumers *)r->pb : NULL;
	json_t *all = json_array();
	char cursor[CURSOR_TEXT_MAX];

	rq->forget = NULL;
	if (list == NULL) {
		json_decref(all);
		request_store_error(rq, r->code);
		return;
	}
	for (size_t i = 0; i < list->n_consumers; i++) {
		const Stored__Consumer *c = list->consumers[i];
		const struct consumer *known = consumer_find(rpc, c->uid, c->name);

		json_array_append_new(
		    all, json_pack("{s:s, s:I, s:s, s:I, s:I, s:b}", "consumer", c->name, "uid",
			     (json_int_t)c->uid, "cursor",
			     cursor_format(rpc->service->log_id, c->acked_seq, cursor), "lag",
			     (json_int_t)c->lag, "last_ms", (json_int_t)c->last_ms, "live",
			     known != NULL && consumer_live(known)));
	}
	request_result(rq, json_pack("{s:o}", "consumers", all));
}

void
method_events_consumers(struct request *rq)
{
	Stored__ConsumerList m = STORED__CONSUMER_LIST__INIT;
	struct rpc *r = rq->client->rpc;
	const struct api_error *e = rpc_store_error(r);

	if (e != NULL) {
		request_fail(rq, e);
		return;
	}
	m.has_uid = !(rq->client->peer.roles & API_ADMIN);
	m.uid = rq->client->peer.uid;
	wait_for_store(
	    rq, store_ask(r, STORED__TYPE__CONSUMER_LIST, &m.base, STORED__TYPE__CONSUMERS,
		    &stored__consumers__descriptor, CONSUMERS_REPLY_MAX, consumers_came, rq));
}

static void
consumer_deleted(const struct reply *r, void *arg)
{
	struct request *rq = arg;

	rq->forget = NULL;
	if (r->ok)
		request_result(rq, json_pack("{s:b}", "ok", 1));
	else
		request_store_error(rq, r->code);
}

void
method_events_consumer_delete(struct request *rq)
{
	Stored__ConsumerDelete m = STORED__CONSUMER_DELETE__INIT;
	struct rpc *r = rq->client->rpc;
	uint32_t own = rq->client->peer.uid;
	uint32_t uid = (uint32_t)request_int(rq, "uid", own);
	const char *name = consumer_asked(rq);
	struct consumer *co;

	if (name == NULL)
		return;
	if (uid != own && !(rq->client->peer.roles & API_ADMIN)) {
		request_error(
		    rq, -8, "role_denied", "only admin deletes the consumer of another", "uid");
		return;
	}
	if ((co = consumer_find(r, uid, name)) != NULL) {
		if (co->subscription != NULL)
			subscription_close(co->subscription, "deleted");
		if (co->fetch != NULL)
			fetch_give_up(co->fetch);
	}
	m.name = pb_str(name);
	m.uid = uid;
	wait_for_store(rq, store_ask(r, STORED__TYPE__CONSUMER_DELETE, &m.base, STORED__TYPE__DONE,
			       &stored__done__descriptor, 64, consumer_deleted, rq));
}
