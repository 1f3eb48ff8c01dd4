/* Requests of an account, carried out in the order in which they came. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "keyd/bounds.h"
#include "keyd/counter.h"
#include "keyd/queue.h"
#include "keyd/store.h"
#include "keyd/verbs.h"

void
queue_refuse(struct message *m, const char *code, const char *text)
{
	counters[strcmp(code, "bad_request") == 0 ? COUNT_BAD_REQUEST : COUNT_REFUSED]++;
	if (m->id != 0)
		(void)channel_reply_error(m->channel, m->id, code, "%s", text);
}

int
request_fail(struct request *r, const char *code, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	queue_refuse(r->message, code, text);
	return -1;
}

/* ---------------------------------------------------------------- answers */

static void *
room(struct request *r, size_t size)
{
	void *p;

	if ((r->arena == NULL && (r->arena = pb_arena_new(SIZE_MAX)) == NULL) ||
	    (p = pb_arena_alloc(r->arena, size)) == NULL)
		fatalx("out of memory");
	return p;
}

ProtobufCBinaryData
request_room(struct request *r, size_t len)
{
	return pb_bytes(room(r, len), len);
}

ProtobufCBinaryData
request_bytes(struct request *r, const void *data, size_t len)
{
	return pb_bytes(len > 0 ? memcpy(room(r, len), data, len) : NULL, len);
}

char *
request_text(struct request *r, struct buf *text)
{
	char *p = room(r, text->len + 1);

	if (text->failed)
		fatalx("out of memory");
	memcpy(p, text->data, text->len);
	buf_clear(text);
	return p;
}

void *
request_message(struct request *r, const ProtobufCMessageDescriptor *d)
{
	void *m = room(r, d->sizeof_message);

	protobuf_c_message_init(d, m);
	return m;
}

void *
request_list(struct request *r, const ProtobufCMessageDescriptor *d, size_t n)
{
	void **list = room(r, n * sizeof(*list));

	for (size_t i = 0; i < n; i++)
		list[i] = request_message(r, d);
	return list;
}

/* By their descriptors: field 1 of every queued message is its account, "unit" names its unit if
 * any. */
static const char *
account_of(const ProtobufCMessage *pb)
{
	const ProtobufCFieldDescriptor *f =
	    protobuf_c_message_descriptor_get_field(pb->descriptor, 1);

	return *(char *const *)((const uint8_t *)pb + f->offset);
}

static const ProtobufCFieldDescriptor *
unit_field(const ProtobufCMessage *pb)
{
	return protobuf_c_message_descriptor_get_field_by_name(pb->descriptor, "unit");
}

static uint64_t
unit_of(const ProtobufCMessage *pb)
{
	const ProtobufCFieldDescriptor *f = unit_field(pb);
	uint64_t unit = 0;

	if (f != NULL)
		memcpy(&unit, (const uint8_t *)pb + f->offset, sizeof(unit));
	return unit;
}

/* Stage all that was written into the unit of the request, if it has one, and say so in the answer.
 */
static int
stage(struct request *r, void *answer)
{
	const ProtobufCFieldDescriptor *f =
	    protobuf_c_message_descriptor_get_field_by_name(r->verb->answer, "stages");
	uint8_t *a = answer;
	uint32_t stages;

	if (f == NULL || unit_field(r->pb) == NULL)
		return 0;
	/* what is made with the keys of a device must not outlive the unit that makes that device
	 */
	if (r->work.newest != NULL)
		work_rest_on(&r->work, STORED__DOMAIN__DEVICE, "device");
	if (work_stage(&r->work, unit_of(r->pb), &stages) == -1)
		return request_fail(r, "store", "the changes could not be staged");
	memcpy(a + f->offset, &stages, sizeof(stages));
	if (f->label == PROTOBUF_C_LABEL_OPTIONAL)
		*(protobuf_c_boolean *)(void *)(a + f->quantifier_offset) = 1;
	return 0;
}

static void
forget_device(struct request *r)
{
	sodium_memzero(&r->keyd->secrets->device, sizeof(struct device));
	r->device = NULL;
}

/* What is loaded of an address, as the verb says. */
static void
need_address(struct request *r, Keyd__Address a)
{
	if (r->verb->addresses & VERB_SESSION)
		(void)work_need(&r->work, STORED__DOMAIN__SESSION, work_at(&r->work, &a));
	if (r->verb->addresses & VERB_IDENTITY)
		(void)work_need(&r->work, STORED__DOMAIN__IDENTITY, work_at(&r->work, &a));
	a.device = 0;
	if (r->verb->addresses & VERB_PRIMARY)
		(void)work_need(&r->work, STORED__DOMAIN__IDENTITY, work_at(&r->work, &a));
}

/* What each message in a request needs, wherever it is. */
static const char *
need(const ProtobufCMessage *m, void *arg)
{
	struct request *r = arg;

	if (m->descriptor == &keyd__address__descriptor)
		need_address(r, *(const Keyd__Address *)m);
	else if (m->descriptor == &keyd__secret__descriptor)
		msg_secret_need(r, (const Keyd__Secret *)m);
	else if (m->descriptor == &keyd__decrypt_item__descriptor)
		session_need_prekeys(r, (const Keyd__DecryptItem *)m);
	return NULL;
}

/* See what is needed, ask stored for what is unknown. As work_fetch; if 1, the device is there. */
static int
load(struct request *r)
{
	int ready, there;

	r->work.failed = NULL;
	if (r->verb->needs == VERB_NO_RECORD)
		return 1;
	/* first what is known to be needed: what else there is may depend on it */
	if ((ready = work_fetch(&r->work)) != 1)
		return ready;
	there = work_need_device(&r->work, &r->device);
	if (there == 1 || (there == -1 && r->verb->needs == VERB_ANY)) {
		(void)bounds_walk(r->pb, need, r);
		if (r->verb->load != NULL)
			r->verb->load(r, r->pb);
	}
	if ((ready = work_fetch(&r->work)) != 1)
		forget_device(r);
	return ready;
}

/* The head of its queue. */
static void
head_free(struct account *a, struct request *r)
{
	STAILQ_REMOVE_HEAD(&a->queue, link);
	a->queued--;
	r->keyd->queued_bytes -= r->bytes;
	work_clear(&r->work);
	pb_arena_free(r->arena);
	message_release(r->message);
	free(r);
}

static void
run(struct request *r)
{
	const struct verb *v = r->verb;
	void *answer = NULL;

	if (v->needs >= VERB_DEVICE && r->device == NULL)
		(void)request_fail(r, "state", "the account has no device");
	else if (v->needs == VERB_UNLINKED && r->device->linked)
		(void)request_fail(r, "state", "already linked");
	else if (v->answer == NULL)
		(void)v->run(r, r->pb, NULL);
	else if ((answer = request_message(r, v->answer)) != NULL &&
		 v->run(r, r->pb, answer) == 0 && stage(r, answer) == 0) {
		if (v->count != NULL)
			++*v->count;
		(void)channel_reply(r->message->channel, r->message->id, v->answer_type, answer);
	}
}

/* The head of the queue. 1: it is over. 0: it waits. */
static int
step(struct request *r)
{
	if (vault_unit_doomed(r->keyd->vault, r->account->number, unit_of(r->pb))) {
		(void)request_fail(r, "store", "this unit builds on one that failed");
		return 1;
	}
	switch (load(r)) {
	case 0:
		return 0;
	case 1:
		run(r);
		return 1;
	default:
		(void)request_fail(r, "store", "a %s record could not be read", r->work.failed);
		return 1;
	}
}

void
queue_run(struct account *a)
{
	struct request *r;

	if (a->keyd->state != KEYD_UNLOCKED || a->running)
		return;
	a->running = 1;
	while ((r = STAILQ_FIRST(&a->queue)) != NULL && step(r))
		head_free(a, r);
	a->running = 0;
}

/* NULL, or the error code with which a request is refused at once. */
static const char *
admit(const struct keyd *k, const struct account *a, const struct verb *verb,
    const ProtobufCMessage *pb, const char **text)
{
	if (a == NULL) {
		*text = "no such account is configured";
		return "unknown_account";
	}
	if (k->state == KEYD_LOCKED) {
		*text = k->locked_reason;
		return "locked";
	}
	if ((*text = bounds_check(pb)) != NULL ||
	    (verb->check != NULL && (*text = verb->check(pb)) != NULL))
		return "bad_request";
	if (a->queued >= QUEUE_MAX || k->queued_bytes >= QUEUE_BYTES_MAX) {
		*text = "too many requests are waiting";
		return "busy";
	}
	return NULL;
}

void
queue_add(struct keyd *k, const struct verb *verb, struct message *m)
{
	struct account *a = core_account(k, account_of(m->pb));
	struct request *r;
	const char *code, *text;

	if ((code = admit(k, a, verb, m->pb, &text)) != NULL) {
		queue_refuse(m, code, text);
		return;
	}
	if ((r = calloc(1, sizeof(*r))) == NULL)
		fatalx("out of memory");
	r->account = a;
	r->keyd = k;
	r->message = message_hold(m);
	r->pb = m->pb;
	r->bytes = protobuf_c_message_get_packed_size(m->pb);
	r->verb = verb;
	r->work.account = a;
	STAILQ_INSERT_TAIL(&a->queue, r, link);
	a->queued++;
	k->queued_bytes += r->bytes;
	/* not the head: have its records fetched while it waits */
	if (r != STAILQ_FIRST(&a->queue) && k->state == KEYD_UNLOCKED)
		if (load(r) == 1)
			forget_device(r);
	queue_run(a);
}

void
queue_drop(struct account *a, const char *code, const char *text)
{
	struct request *r;

	while ((r = STAILQ_FIRST(&a->queue)) != NULL) {
		if (code != NULL)
			queue_refuse(r->message, code, text);
		head_free(a, r);
	}
}
