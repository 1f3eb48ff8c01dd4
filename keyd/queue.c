/* Requests of an account, carried out in the order in which they came. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "keyd/counter.h"
#include "keyd/queue.h"
#include "keyd/store.h"

void
request_reply(struct request *r, uint32_t type, const ProtobufCMessage *m)
{
	r->answered = 1;
	if (r->message->id != 0)
		(void)channel_reply(r->message->channel, r->message->id, type, m);
}

static void
refuse(struct message *m, const char *code, const char *text)
{
	counters[strcmp(code, "bad_request") == 0 ? COUNT_BAD_REQUEST : COUNT_REFUSED]++;
	if (m->id != 0)
		(void)channel_reply_error(m->channel, m->id, code, "%s", text);
}

void
request_error(struct request *r, const char *code, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->answered = 1;
	refuse(r->message, code, text);
}

int
request_stage(struct request *r, uint64_t unit, uint32_t *stages)
{
	/* what is made with the keys of a device must not outlive the unit that makes that device
	 */
	if (r->work.newest != NULL)
		work_rest_on(&r->work, STORED__DOMAIN__DEVICE, "device");
	if (work_stage(&r->work, unit, stages) == 0)
		return 0;
	request_error(r, "store", "the changes could not be staged");
	return -1;
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

static uint64_t
unit_of(const ProtobufCMessage *pb)
{
	const ProtobufCFieldDescriptor *f =
	    protobuf_c_message_descriptor_get_field_by_name(pb->descriptor, "unit");
	uint64_t unit = 0;

	if (f != NULL)
		memcpy(&unit, (const uint8_t *)pb + f->offset, sizeof(unit));
	return unit;
}

static void
forget_device(struct request *r)
{
	sodium_memzero(&r->keyd->secrets->device, sizeof(struct device));
	r->device = NULL;
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
	if (there == 1 || (there == -1 && r->verb->needs == VERB_ANY))
		if (r->verb->load != NULL)
			r->verb->load(r);
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
	message_release(r->message);
	free(r);
}

static void
run(struct request *r)
{
	if (r->verb->needs >= VERB_DEVICE && r->device == NULL)
		request_error(r, "state", "the account has no device");
	else if (r->verb->needs == VERB_UNLINKED && r->device->linked)
		request_error(r, "state", "already linked");
	else
		r->verb->run(r);
	if (!r->answered && r->message->id != 0)
		request_error(r, "store", "request %u was not answered", r->verb->type);
}

/* The head of the queue. 1: it is over. 0: it waits. */
static int
step(struct request *r)
{
	if (vault_unit_doomed(r->keyd->vault, r->account->number, unit_of(r->pb))) {
		request_error(r, "store", "this unit builds on one that failed");
		return 1;
	}
	switch (load(r)) {
	case 0:
		return 0;
	case 1:
		run(r);
		return 1;
	default:
		request_error(r, "store", "a %s record could not be read", r->work.failed);
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
	if (verb->check != NULL && (*text = verb->check(pb)) != NULL)
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
		refuse(m, code, text);
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
			refuse(r->message, code, text);
		head_free(a, r);
	}
}
