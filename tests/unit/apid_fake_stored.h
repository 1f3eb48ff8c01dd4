/* stored, as the tests of apid/rpc play it: the log, its consumers, long tasks. */
#ifndef APID_FAKE_STORED_H
#define APID_FAKE_STORED_H

#include "tests/unit/apid_fake.h"

static size_t
fake_consumer(const char *name, uint32_t uid)
{
	for (size_t i = 0; i < fake.nconsumers; i++)
		if (fake.consumers[i].uid == uid && strcmp(fake.consumers[i].name, name) == 0)
			return i;
	return SIZE_MAX;
}

static void
fake_reply_consumer(uint32_t id, size_t i, int created)
{
	Stored__Consumer c = STORED__CONSUMER__INIT;

	c.name = fake.consumers[i].name;
	c.uid = fake.consumers[i].uid;
	c.acked_seq = fake.consumers[i].acked;
	c.lag = fake.last_seq - c.acked_seq;
	c.created = created;
	assert_int_equal(channel_reply(fake.stored, id, STORED__TYPE__CONSUMER, &c.base), 0);
}

static int
fake_open(struct message *m, void *owner)
{
	const Stored__ConsumerOpen *o = (const Stored__ConsumerOpen *)m->pb;
	size_t i = fake_consumer(o->name, o->uid);
	int created = i == SIZE_MAX;

	if (fake.open_error != NULL)
		return channel_reply_error(fake.stored, m->id, fake.open_error, "as the test says");
	if (created) {
		i = fake.nconsumers++;
		assert_true(i < 64);
		snprintf(fake.consumers[i].name, 65, "%s", o->name);
		fake.consumers[i].uid = o->uid;
		fake.consumers[i].acked = fake.last_seq;
	}
	if (o->from == STORED__CONSUMER_OPEN__FROM__LATEST)
		fake.consumers[i].acked = fake.last_seq;
	if (o->from == STORED__CONSUMER_OPEN__FROM__EARLIEST)
		fake.consumers[i].acked = fake.first_seq - 1;
	if (o->from == STORED__CONSUMER_OPEN__FROM__AT)
		fake.consumers[i].acked = o->seq;
	fake_reply_consumer(m->id, i, created);
	return 0;
}

static int
fake_ack(struct message *m, void *owner)
{
	const Stored__ConsumerAck *a = (const Stored__ConsumerAck *)m->pb;
	size_t i = fake_consumer(a->name, a->uid);

	fake.acks++;
	if (i == SIZE_MAX)
		return channel_reply_error(fake.stored, m->id, "not_found", "no such consumer");
	if (fake.hold_acks) {
		assert_int_equal(fake.held_ack, 0); /* one at a time */
		fake.held_ack = m->id;
		fake.held_seq = a->seq;
		fake.held_consumer = i;
		return 0;
	}
	if (a->seq > fake.consumers[i].acked)
		fake.consumers[i].acked = a->seq;
	fake_reply_consumer(m->id, i, 0);
	return 0;
}

__attribute__((unused)) static void
fake_release_ack(void)
{
	uint32_t id = fake.held_ack;

	assert_int_not_equal(id, 0);
	fake.held_ack = 0;
	fake.consumers[fake.held_consumer].acked = fake.held_seq;
	fake_reply_consumer(id, fake.held_consumer, 0);
}

static int
fake_read(struct message *m, void *owner)
{
	const Stored__EventsRead *rq = (const Stored__EventsRead *)m->pb;
	Stored__Events out = STORED__EVENTS__INIT;
	Stored__Event ev[1000], *list[1000];
	static char live[] = "live";
	uint64_t scanned = rq->after_seq;
	size_t n = 0, bytes = 0;

	fake.reads++;
	if (rq->limit > fake.largest_limit)
		fake.largest_limit = rq->limit;
	for (size_t i = 0; i < fake.nevents && n < rq->limit && bytes < rq->max_bytes; i++) {
		int wanted = rq->n_accounts == 0;

		if (fake.events[i].seq <= rq->after_seq || fake.events[i].seq < fake.first_seq)
			continue;
		scanned = fake.events[i].seq;
		for (size_t k = 0; k < rq->n_accounts; k++)
			wanted |= strcmp(rq->accounts[k], fake.events[i].account) == 0;
		if (!wanted)
			continue;
		stored__event__init(&ev[n]);
		ev[n].seq = fake.events[i].seq;
		ev[n].account = fake.events[i].account;
		ev[n].type = fake.events[i].type;
		ev[n].origin = live;
		ev[n].time_ms = 1790000000123;
		ev[n].body.data = (uint8_t *)fake.events[i].body;
		ev[n].body.len = strlen(fake.events[i].body);
		bytes += ev[n].body.len + 64;
		list[n] = &ev[n];
		n++;
	}
	out.events = list;
	out.n_events = n;
	out.scanned_seq = scanned;
	out.last_seq = fake.last_seq;
	out.first_seq = fake.first_seq;
	return channel_reply(fake.stored, m->id, STORED__TYPE__EVENTS, &out.base);
}

static int
fake_list(struct message *m, void *owner)
{
	const Stored__ConsumerList *rq = (const Stored__ConsumerList *)m->pb;
	Stored__Consumers out = STORED__CONSUMERS__INIT;
	Stored__Consumer c[64], *list[64];

	for (size_t i = 0; i < fake.nconsumers; i++) {
		if (rq->has_uid && rq->uid != fake.consumers[i].uid)
			continue;
		stored__consumer__init(&c[out.n_consumers]);
		c[out.n_consumers].name = fake.consumers[i].name;
		c[out.n_consumers].uid = fake.consumers[i].uid;
		c[out.n_consumers].acked_seq = fake.consumers[i].acked;
		list[out.n_consumers] = &c[out.n_consumers];
		out.n_consumers++;
	}
	out.consumers = list;
	return channel_reply(fake.stored, m->id, STORED__TYPE__CONSUMERS, &out.base);
}

static int
fake_delete(struct message *m, void *owner)
{
	const Stored__ConsumerDelete *rq = (const Stored__ConsumerDelete *)m->pb;
	Stored__Done done = STORED__DONE__INIT;
	size_t i = fake_consumer(rq->name, rq->uid);

	if (i == SIZE_MAX)
		return channel_reply_error(fake.stored, m->id, "not_found", "no such consumer");
	fake.consumers[i] = fake.consumers[--fake.nconsumers];
	return channel_reply(fake.stored, m->id, STORED__TYPE__DONE, &done.base);
}

static int
fake_stats(struct message *m, void *owner)
{
	Stored__Stats st = STORED__STATS__INIT;
	Stored__TableStat tables[1] = {STORED__TABLE_STAT__INIT}, *list[1] = {tables};
	static char backend[] = "fake", account[] = "ops", table[] = "sessions";

	st.fsyncs = 42;
	st.has_log_bytes = 1;
	st.log_bytes = 4096;
	st.backend = backend;
	tables[0].account = account;
	tables[0].table = table;
	tables[0].rows = 7;
	st.tables = list;
	st.n_tables = ((const Stored__StatsGet *)m->pb)->tables;
	return channel_reply(fake.stored, m->id, STORED__TYPE__STATS_REPLY, &st.base);
}

static void
fake_tell_task(void)
{
	Stored__Task t = STORED__TASK__INIT;

	t.task = fake.task;
	assert_int_equal(
	    channel_reply(fake.stored, fake.task_request, STORED__TYPE__TASK, &t.base), 0);
}

static int
fake_task(struct message *m, void *owner)
{
	fake.task_type = m->type;
	fake.task_fd = m->fd;
	m->fd = -1;
	if (m->type == STORED__TYPE__SNAPSHOT)
		snprintf(fake.task_name, sizeof(fake.task_name), "%s",
		    ((const Stored__Snapshot *)m->pb)->name);
	if (fake.task_error != NULL)
		return channel_reply_error(fake.stored, m->id, fake.task_error, "as the test says");
	fake.task++;
	fake.task_request = m->id;
	if (!fake.task_hold)
		fake_tell_task();
	return 0;
}

static int
fake_task_cancel(struct message *m, void *owner)
{
	fake.cancelled_task = ((const Stored__TaskCancel *)m->pb)->task;
	return 0;
}

__attribute__((unused)) static void
fake_task_state(uint64_t task, uint64_t done, int ended, const char *reason, const char *text)
{
	Stored__TaskState st = STORED__TASK_STATE__INIT;

	st.task = task;
	st.done = done;
	st.total = 100;
	st.ended = ended;
	st.reason = (char *)(uintptr_t)reason;
	st.text = (char *)(uintptr_t)text;
	assert_int_equal(channel_notify(fake.stored, STORED__TYPE__TASK_STATE, &st.base), 0);
}

static int
fake_told_task(struct message *m, void *owner)
{
	fake.service.hooks.task_state(fake.service.hooks_arg, m->pb);
	return 0;
}

#define FAKE_ROW(t, d, f)                                                                          \
	{                                                                                          \
		.type = STORED__TYPE__##t, .name = #t, .min = 0, .max = 65536,                     \
		.states = CHANNEL_ALL_STATES, .flags = ROW_REQUEST,                                \
		.desc = &stored__##d##__descriptor, .run = f                                       \
	}
static const struct channel_row fake_rows[] = {
    FAKE_ROW(EVENTS_READ, events_read, fake_read),
    FAKE_ROW(CONSUMER_OPEN, consumer_open, fake_open),
    FAKE_ROW(CONSUMER_ACK, consumer_ack, fake_ack),
    FAKE_ROW(CONSUMER_LIST, consumer_list, fake_list),
    FAKE_ROW(CONSUMER_DELETE, consumer_delete, fake_delete),
    FAKE_ROW(STATS, stats_get, fake_stats),
    FAKE_ROW(CHECK, check, fake_task),
    FAKE_ROW(SNAPSHOT, snapshot, fake_task),
    {STORED__TYPE__BACKUP, "BACKUP", 0, 0, CHANNEL_ALL_STATES, ROW_REQUEST | ROW_FD,
	&stored__backup__descriptor, fake_task},
    {STORED__TYPE__TASK_CANCEL, "TASK_CANCEL", 2, 16, CHANNEL_ALL_STATES, 0,
	&stored__task_cancel__descriptor, fake_task_cancel},
};
static const struct channel_row fake_near_rows[] = {
    {STORED__TYPE__TASK_STATE, "TASK_STATE", 8, 65536, CHANNEL_ALL_STATES, 0,
	&stored__task_state__descriptor, fake_told_task},
};

/* An event without telling anybody. */
static uint64_t
fake_append(const char *account, const char *type, const char *body)
{
	assert_true(fake.nevents < FAKE_EVENTS);
	fake.events[fake.nevents].seq = ++fake.last_seq;
	snprintf(fake.events[fake.nevents].account, 33, "%s", account);
	snprintf(fake.events[fake.nevents].type, 64, "%s", type);
	snprintf(fake.events[fake.nevents].body, 300, "%s", body);
	fake.nevents++;
	fake.service.last_seq = fake.last_seq;
	return fake.last_seq;
}

__attribute__((unused)) static uint64_t
fake_commit(const char *account, const char *type, const char *body)
{
	fake_append(account, type, body);
	fake.service.hooks.events_committed(fake.service.hooks_arg, fake.last_seq);
	return fake.last_seq;
}

#endif
