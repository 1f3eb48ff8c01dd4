/* Durable consumers of the event log: who has read how far. */
#include "stored/consumer.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "stored/check.h"
#include "stored/eventlog.h"
#include "stored/region.h"

#define OPS_MAX 4096

struct consumer_op {
	TAILQ_ENTRY(consumer_op) link;
	struct message *m; /* held */
	/* the outcome */
	struct store_consumer c;
	int created;
	const char *code; /* error, or NULL */
	const char *text;
};

static void
refuse(struct consumer_op *op, const char *code, const char *text)
{
	op->code = code;
	op->text = text;
}

int
consumer_change(struct store *s, struct message *m)
{
	struct consumer_op *op = s->nconsumer_ops < OPS_MAX ? calloc(1, sizeof(*op)) : NULL;

	if (op == NULL)
		return channel_reply_error(
		    m->channel, m->id, "busy", "too many changes of consumers wait");
	op->m = message_hold(m);
	TAILQ_INSERT_TAIL(&s->consumer_ops, op, link);
	s->nconsumer_ops++;
	store_flush_later(s);
	return 0;
}

static void
forget(struct store *s, struct consumer_op *op)
{
	TAILQ_REMOVE(&s->consumer_ops, op, link);
	s->nconsumer_ops--;
	message_release(op->m);
	free(op);
}

void
consumers_drop(struct store *s)
{
	struct consumer_op *op, *next;

	for (op = TAILQ_FIRST(&s->consumer_ops); op != NULL; op = next) {
		next = TAILQ_NEXT(op, link);
		forget(s, op);
	}
}

/* ---------------------------------------------------------------- one change */

/* Is there room for one more of that owner? */
static enum store_status
room(struct store *s, uint32_t uid, int *yes)
{
	struct region *r = region_new(sizeof(struct store_consumer) * (CONSUMERS_MAX + 2));
	struct store_consumer *list;
	size_t i, n = 0, own = 0;
	enum store_status st;

	*yes = 0;
	if (r == NULL)
		return STORE_NO_MEMORY;
	st = s->backend->consumer_list(s->service, NULL, r, &list, &n);
	for (i = 0; st == STORE_OK && i < n; i++)
		own += list[i].uid == uid;
	*yes = n < CONSUMERS_MAX && own < CONSUMERS_UID_MAX;
	region_free(r);
	return st;
}

/* Where does it stand after the opening? 0, or -1: refused. */
static int
position(struct store *s, const Stored__ConsumerOpen *rq, struct consumer_op *op, int found)
{
	switch (rq->from) {
	case STORED__CONSUMER_OPEN__FROM__RESUME:
		if (!found)
			op->c.acked_seq = s->last_seq;
		return 0;
	case STORED__CONSUMER_OPEN__FROM__LATEST:
		op->c.acked_seq = s->last_seq;
		return 0;
	case STORED__CONSUMER_OPEN__FROM__EARLIEST:
		op->c.acked_seq = eventlog_first(s) - 1;
		return 0;
	case STORED__CONSUMER_OPEN__FROM__AT:
		if (!rq->has_seq || rq->seq > s->last_seq)
			break;
		op->c.acked_seq = rq->seq;
		return 0;
	default:
		break;
	}
	refuse(op, "bad_request", "the position is not one of this log");
	return -1;
}

static enum store_status
do_open(struct store *s, struct consumer_op *op, const Stored__ConsumerOpen *rq)
{
	int found, yes;
	enum store_status st;

	if (check_consumer_name(rq->name) != NULL) {
		refuse(op, "bad_request", "the consumer's name is not allowed");
		return STORE_OK;
	}
	st = s->backend->consumer_get(s->service, rq->uid, rq->name, &op->c, &found);
	if (st != STORE_OK)
		return st;
	if (!found) {
		if (rq->has_create && !rq->create) {
			refuse(op, "not_found", "no such consumer");
			return STORE_OK;
		}
		if ((st = room(s, rq->uid, &yes)) != STORE_OK)
			return st;
		if (!yes) {
			refuse(op, "too_many", "too many consumers");
			return STORE_OK;
		}
		op->c.uid = rq->uid;
		memcpy(op->c.name, rq->name, strlen(rq->name) + 1);
		op->created = 1;
	}
	if (position(s, rq, op, found) == -1)
		return STORE_OK;
	op->c.last_ms = s->wall();
	return s->backend->consumer_put(s->service, &op->c);
}

/* The consumer is there, in op->c; else *st, and the op is refused if that is STORE_OK. */
static int
known(
    struct store *s, struct consumer_op *op, uint32_t uid, const char *name, enum store_status *st)
{
	int found = 0;

	*st = STORE_OK;
	if (check_consumer_name(name) == NULL)
		*st = s->backend->consumer_get(s->service, uid, name, &op->c, &found);
	if (*st == STORE_OK && !found)
		refuse(op, "not_found", "no such consumer");
	return found;
}

static enum store_status
do_ack(struct store *s, struct consumer_op *op, const Stored__ConsumerAck *rq)
{
	enum store_status st;

	if (!known(s, op, rq->uid, rq->name, &st))
		return st;
	if (rq->seq > s->last_seq) {
		refuse(op, "bad_request", "the position is beyond the end of the log");
		return STORE_OK;
	}
	if (rq->seq > op->c.acked_seq)
		op->c.acked_seq = rq->seq;
	op->c.last_ms = s->wall();
	return s->backend->consumer_put(s->service, &op->c);
}

static enum store_status
do_delete(struct store *s, struct consumer_op *op, const Stored__ConsumerDelete *rq)
{
	enum store_status st;

	if (!known(s, op, rq->uid, rq->name, &st))
		return st;
	return s->backend->consumer_delete(s->service, rq->uid, rq->name);
}

static enum store_status
do_op(struct store *s, struct consumer_op *op)
{
	const ProtobufCMessage *pb = op->m->pb;

	switch (op->m->type) {
	case STORED__TYPE__CONSUMER_OPEN:
		return do_open(s, op, (const Stored__ConsumerOpen *)pb);
	case STORED__TYPE__CONSUMER_ACK:
		return do_ack(s, op, (const Stored__ConsumerAck *)pb);
	default:
		return do_delete(s, op, (const Stored__ConsumerDelete *)pb);
	}
}

/* ---------------------------------------------------------------- all that wait */

static void
fill(const struct store *s, struct store_consumer *c, int created, Stored__Consumer *out)
{
	stored__consumer__init(out);
	out->name = c->name;
	out->uid = c->uid;
	out->acked_seq = c->acked_seq;
	out->lag = s->last_seq > c->acked_seq ? s->last_seq - c->acked_seq : 0;
	out->created = created;
	out->last_ms = c->last_ms;
}

static void
answer(struct store *s, struct consumer_op *op, enum store_status st)
{
	Stored__Done done = STORED__DONE__INIT;
	Stored__Consumer c;

	if (st != STORE_OK) {
		(void)channel_reply_error(op->m->channel, op->m->id, store_status_word(st),
		    "the service's database could not be written");
	} else if (op->code != NULL) {
		(void)channel_reply_error(op->m->channel, op->m->id, op->code, "%s", op->text);
	} else if (op->m->type == STORED__TYPE__CONSUMER_DELETE) {
		(void)channel_reply(op->m->channel, op->m->id, STORED__TYPE__DONE, &done.base);
	} else {
		fill(s, &op->c, op->created, &c);
		(void)channel_reply(op->m->channel, op->m->id, STORED__TYPE__CONSUMER, &c.base);
	}
}

void
consumers_apply(struct store *s)
{
	struct consumer_op *op, *next;
	enum store_status st;

	if (TAILQ_EMPTY(&s->consumer_ops))
		return;
	/* a unit of this turn may have met its damage */
	st = s->service != NULL ? s->backend->begin(s->service) : STORE_CORRUPT;
	if (st == STORE_OK) {
		for (op = TAILQ_FIRST(&s->consumer_ops); st == STORE_OK && op != NULL;
		     op = TAILQ_NEXT(op, link))
			st = do_op(s, op);
		if (st == STORE_OK)
			st = s->backend->commit(s->service);
		else
			s->backend->rollback(s->service);
	}
	for (op = TAILQ_FIRST(&s->consumer_ops); op != NULL; op = next) {
		next = TAILQ_NEXT(op, link);
		answer(s, op, st);
		forget(s, op);
	}
	if (st != STORE_OK)
		store_trouble(s, NULL, st);
}

int
consumer_list(struct store *s, struct message *m)
{
	const Stored__ConsumerList *rq = (const Stored__ConsumerList *)m->pb;
	struct region *r = region_new((size_t)1024 * 1024);
	Stored__Consumers out = STORED__CONSUMERS__INIT;
	enum store_status st = STORE_NO_MEMORY;
	struct store_consumer *list;
	Stored__Consumer *c;
	size_t i, n = 0;
	int ret;

	if (r != NULL)
		st = s->backend->consumer_list(
		    s->service, rq->has_uid ? &rq->uid : NULL, r, &list, &n);
	if (st == STORE_OK &&
	    (out.consumers = region_alloc(r, (n + 1) * sizeof(Stored__Consumer *))) == NULL)
		st = STORE_NO_MEMORY;
	for (i = 0; st == STORE_OK && i < n; i++) {
		if ((c = region_alloc(r, sizeof(*c))) == NULL) {
			st = STORE_NO_MEMORY;
			break;
		}
		fill(s, &list[i], 0, c);
		out.consumers[out.n_consumers++] = c;
	}
	if (st == STORE_OK)
		ret = channel_reply(m->channel, m->id, STORED__TYPE__CONSUMERS, &out.base);
	else
		ret = channel_reply_error(
		    m->channel, m->id, store_status_word(st), "the consumers could not be read");
	region_free(r);
	return ret;
}
