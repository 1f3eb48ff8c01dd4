/* What the tests of apid/rpc share: a service with a fake engine and a fake stored behind real
 * channels, and clients on a real Unix socket, all in one loop. */
#ifndef APID_RPC_FAKE_H
#define APID_RPC_FAKE_H

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>
#include <jansson.h>

#include "apid/rpc/access.h"
#include "apid/rpc/api_table.h"
#include "apid/rpc/rpc.h"
#include "apid/service.h"
#include "common/clock.h"
#include "common/config.h"
#include "common/log.h"
#include "ipc/channel.h"
#include "ipc/stored.pb-c.h"

#define FAKE_LOG_ID  "9f3c0a1b9f3c0a1b9f3c0a1b9f3c0a1b"
#define FAKE_EVENTS  4096
#define FAKE_WAIT_MS 20000

/* ------------------------------------------------------------------ the engine */

struct account {
	char name[33];
	const char *state;
	int paused;
};

struct fake_call {
	const void *client;
	engine_done_fn *fn;
	void *arg;
	struct account *account;
	char what[32];
	char text[256], to[128], key[65], method[8], phone[32];
	enum send_wait wait;
	unsigned timeout_ms;
	uint32_t uid;
	uint8_t hash[32];
	int done;
};

struct fake {
	struct event_base *base;
	struct config *config;
	struct service service;
	struct account *accounts[4];
	char socket_name[64];
	int listening;
	/* engine */
	struct fake_call calls[512];
	size_t ncalls;
	int engine_hold; /* calls wait until fake_answer */
	unsigned cancelled;
	/* stored */
	struct channel *stored; /* its end */
	struct {
		uint64_t seq;
		char account[33], type[64], body[300];
	} events[FAKE_EVENTS];
	size_t nevents;
	uint64_t first_seq, last_seq;
	struct {
		char name[65];
		uint32_t uid;
		uint64_t acked;
	} consumers[64];
	size_t nconsumers;
	unsigned acks, reads, largest_limit;
	int hold_acks;
	uint32_t held_ack; /* request id */
	uint64_t held_seq;
	size_t held_consumer;
	const char *open_error, *health;
	/* long tasks of stored: what was asked last, and how it is answered */
	uint32_t task_type;
	char task_name[80];
	int task_fd; /* -1, or what came with it */
	uint64_t task, cancelled_task;
	int task_hold; /* its number is not told */
	uint32_t task_request;
	const char *task_error;
};
static struct fake fake;

static struct fake_call *
fake_called(struct account *a, const void *client, const char *what, engine_done_fn *fn, void *arg)
{
	struct fake_call *c = &fake.calls[fake.ncalls++];

	assert_true(fake.ncalls <= 512);
	memset(c, 0, sizeof(*c));
	c->account = a;
	c->client = client;
	c->fn = fn;
	c->arg = arg;
	snprintf(c->what, sizeof(c->what), "%s", what);
	return c;
}

static void
fake_answer(struct fake_call *c, json_t *result, const struct api_error *err)
{
	assert_false(c->done);
	c->done = 1;
	c->fn(c->arg, result, err);
	json_decref(result);
}

static void
fake_later(evutil_socket_t fd, short what, void *arg)
{
	struct fake_call *c = arg;

	if (!c->done)
		fake_answer(c, json_pack("{s:s}", "did", c->what), NULL);
}

static void
fake_finish(struct fake_call *c)
{
	static const struct timeval now = {0};

	if (!fake.engine_hold)
		event_base_once(fake.base, -1, EV_TIMEOUT, fake_later, c, &now);
}

struct account *
account_find(struct service *s, const char *name)
{
	for (size_t i = 0; i < s->naccounts; i++)
		if (strcmp(s->accounts[i]->name, name) == 0)
			return s->accounts[i];
	return NULL;
}

const char *
account_name(const struct account *a)
{
	return a->name;
}

json_t *
account_describe(const struct account *a)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:s, s:n, s:n}", "account", a->name, "state",
	    a->paused ? "stopped" : a->state, "reason", "test", "since_ms", (json_int_t)1,
	    "user_action", "none", "jid", "lid");
}

void
account_link(struct account *a, const void *client, const struct link_request *rq,
    engine_done_fn *fn, void *arg)
{
	struct fake_call *c = fake_called(a, client, "link", fn, arg);

	snprintf(c->method, sizeof(c->method), "%s", rq->method);
	snprintf(c->phone, sizeof(c->phone), "%s", rq->phone != NULL ? rq->phone : "");
	fake_finish(c);
}

void
account_link_answer(struct account *a, const void *client, const char *link_id,
    const json_t *passkey_response, int confirm, engine_done_fn *fn, void *arg)
{
	fake_finish(fake_called(a, client, confirm ? "link_confirm" : "link_answer", fn, arg));
}

#define FAKE_VERB(name, what)                                                                      \
	void name(struct account *a, const void *client, engine_done_fn *fn, void *arg)            \
	{                                                                                          \
		fake_finish(fake_called(a, client, what, fn, arg));                                \
	}
FAKE_VERB(account_link_cancel, "link_cancel")
FAKE_VERB(account_unlink, "unlink")
FAKE_VERB(account_quarantine, "quarantine")
FAKE_VERB(account_quarantine_purge, "quarantine_purge")
FAKE_VERB(account_resume, "resume")
FAKE_VERB(account_reconnect, "reconnect")
FAKE_VERB(keys_status, "keys_status")

#define FAKE_SESSION(name)                                                                         \
	void name(struct account *a, const void *client, const char *party, engine_done_fn *fn,    \
	    void *arg)                                                                             \
	{                                                                                          \
		struct fake_call *c = fake_called(a, client, #name, fn, arg);                      \
                                                                                                   \
		snprintf(c->to, sizeof(c->to), "%s", party);                                       \
		fake_finish(c);                                                                    \
	}
FAKE_SESSION(session_list)
FAKE_SESSION(session_check)
FAKE_SESSION(session_repair)

FAKE_VERB(keys_upload, "keys_upload")
FAKE_VERB(keys_rotate_signed, "keys_rotate_signed")

void
account_pause(struct account *a, const void *client, engine_done_fn *fn, void *arg)
{
	a->paused = 1;
	fake_finish(fake_called(a, client, "pause", fn, arg));
}

void
message_send(struct account *a, const void *client, const struct send_request *rq,
    engine_done_fn *fn, void *arg)
{
	struct fake_call *c = fake_called(a, client, "send", fn, arg);

	snprintf(c->text, sizeof(c->text), "%s", rq->text);
	snprintf(c->to, sizeof(c->to), "%s", rq->to);
	snprintf(c->key, sizeof(c->key), "%s", rq->idempotency_key);
	c->wait = rq->wait;
	c->timeout_ms = rq->timeout_ms;
	c->uid = rq->uid;
	memcpy(c->hash, rq->params_hash, 32);
	fake_finish(c);
}

void
message_state(struct account *a, const void *client, uint32_t uid, const char *key,
    const char *message_id, engine_done_fn *fn, void *arg)
{
	struct fake_call *c = fake_called(a, client, "state", fn, arg);

	c->uid = uid;
	snprintf(c->key, sizeof(c->key), "%s", key != NULL ? key : message_id);
	fake_finish(c);
}

void
message_cancel(struct account *a, const void *client, uint32_t uid, const char *key,
    engine_done_fn *fn, void *arg)
{
	struct fake_call *c = fake_called(a, client, "cancel", fn, arg);

	c->uid = uid;
	snprintf(c->key, sizeof(c->key), "%s", key);
	fake_finish(c);
}

void
outbox_list(struct account *a, const void *client, const char *chat, const char *after,
    unsigned limit, engine_done_fn *fn, void *arg)
{
	struct fake_call *c = fake_called(a, client, "list", fn, arg);

	snprintf(c->to, sizeof(c->to), "%s", chat != NULL ? chat : "");
	snprintf(c->text, sizeof(c->text), "%u:%s", limit, after != NULL ? after : "");
	fake_finish(c);
}

void
account_restrictions(
    struct account *a, const void *client, int refresh, engine_done_fn *fn, void *arg)
{
	fake_finish(
	    fake_called(a, client, refresh ? "restrictions anew" : "restrictions", fn, arg));
}

void
account_quota(struct account *a, const void *client, int refresh, engine_done_fn *fn, void *arg)
{
	fake_finish(fake_called(a, client, refresh ? "quota anew" : "quota", fn, arg));
}

void
chat_mark(struct account *a, const void *client, const struct mark_request *rq, engine_done_fn *fn,
    void *arg)
{
	static const char *const receipts[] = {"", " always", " never"};
	struct fake_call *c =
	    fake_called(a, client, rq->status == MARK_READ ? "mark_read" : "mark_played", fn, arg);

	snprintf(c->to, sizeof(c->to), "%s", rq->chat);
	snprintf(c->text, sizeof(c->text), "%zu:%s%s", rq->n, rq->message_ids[rq->n - 1],
	    receipts[rq->receipts]);
	fake_finish(c);
}

void
chat_typing(struct account *a, const void *client, const char *chat, const char *state,
    unsigned ttl_ms, engine_done_fn *fn, void *arg)
{
	struct fake_call *c = fake_called(a, client, "typing", fn, arg);

	snprintf(c->to, sizeof(c->to), "%s", chat);
	snprintf(c->text, sizeof(c->text), "%s", state);
	c->timeout_ms = ttl_ms;
	fake_finish(c);
}

void
presence_set(struct account *a, const void *client, int available, unsigned ttl_ms,
    engine_done_fn *fn, void *arg)
{
	struct fake_call *c =
	    fake_called(a, client, available ? "available" : "unavailable", fn, arg);

	c->timeout_ms = ttl_ms;
	fake_finish(c);
}

void
presence_subscribe(
    struct account *a, const void *client, const char *party, engine_done_fn *fn, void *arg)
{
	struct fake_call *c = fake_called(a, client, "watch", fn, arg);

	snprintf(c->to, sizeof(c->to), "%s", party);
	fake_finish(c);
}

void
presence_unsubscribe(
    struct account *a, const void *client, const char *party, engine_done_fn *fn, void *arg)
{
	struct fake_call *c = fake_called(a, client, "unwatch", fn, arg);

	snprintf(c->to, sizeof(c->to), "%s", party);
	fake_finish(c);
}

void
call_reject(struct account *a, const void *client, const char *call_id, const char *from,
    engine_done_fn *fn, void *arg)
{
	struct fake_call *c = fake_called(a, client, "reject", fn, arg);

	snprintf(c->to, sizeof(c->to), "%s", call_id);
	snprintf(c->text, sizeof(c->text), "%s", from != NULL ? from : "");
	fake_finish(c);
}

void
message_receipts(
    struct account *a, const void *client, const char *message_id, engine_done_fn *fn, void *arg)
{
	struct fake_call *c = fake_called(a, client, "receipts", fn, arg);

	snprintf(c->to, sizeof(c->to), "%s", message_id);
	fake_finish(c);
}

void
engine_rekey(struct service *s, const void *client, int look, engine_done_fn *fn, void *arg)
{
	fake_finish(fake_called(s->accounts[0], client, look ? "rekey look" : "rekey", fn, arg));
}

void
privacy_tokens_issue(struct account *a, const void *client, const char *const *parties, size_t n,
    engine_done_fn *fn, void *arg)
{
	fake_finish(fake_called(a, client, "tokens_issue", fn, arg));
}

void
privacy_tokens_list(struct account *a, const void *client, const char *after, unsigned limit,
    engine_done_fn *fn, void *arg)
{
	fake_finish(fake_called(a, client, "tokens_list", fn, arg));
}

void
privacy_tokens_prune(struct account *a, const void *client, engine_done_fn *fn, void *arg)
{
	fake_finish(fake_called(a, client, "tokens_prune", fn, arg));
}

void
identity_ask(struct account *a, const void *client, enum identity_what what,
    const struct identity_request *rq, engine_done_fn *fn, void *arg)
{
	static const char *const names[] = {[IDENTITY_LIST] = "identity_list",
	    [IDENTITY_SAFETY_NUMBER] = "identity_safety_number",
	    [IDENTITY_VERIFY] = "identity_verify",
	    [IDENTITY_TRUST] = "identity_trust",
	    [IDENTITY_HOLD] = "identity_hold"};
	struct fake_call *c = fake_called(a, client, names[what], fn, arg);

	c->uid = rq->uid;
	fake_finish(c);
}

void
engine_cancel_client(struct service *s, const void *client)
{
	for (size_t i = 0; i < fake.ncalls; i++)
		if (fake.calls[i].client == client && !fake.calls[i].done) {
			fake.calls[i].done = 1;
			fake.cancelled++;
		}
}

void
engine_health(struct service *s, json_t *checks)
{
	json_array_append_new(
	    checks, json_pack("{s:s, s:s, s:s}", "name", "account.ops", "status",
			fake.health != NULL ? fake.health : "degraded", "reason", "offline"));
}

json_t *
engine_client_version(const struct service *s)
{
	return json_string("2.3000.1045649367");
}

int64_t
engine_client_age_s(const struct service *s)
{
	return 86400;
}

void
engine_counters(struct service *s, json_t *counters)
{
	json_object_set_new(counters, "messages_received", json_integer(7));
	json_object_set_new(counters, "outbox_depth", json_integer(3));
}

/* ------------------------------------------------------------------ stored */

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

/* ------------------------------------------------------------------ the service */

static void
fake_broken(struct channel *ch, void *owner, const char *why)
{
	fail_msg("a channel broke: %s", why);
}

static void
fake_start_rpc(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	static unsigned counter;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int n = snprintf(fake.socket_name, sizeof(fake.socket_name), "ward-test-%d-%u",
	    (int)getpid(), ++counter);

	memcpy(sun.sun_path + 1, fake.socket_name, (size_t)n);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)),
	    0);
	assert_int_equal(listen(fd, 512), 0);
	fake.service.last_seq = fake.last_seq;
	rpc_start(&fake.service, fd);
}

/* extra: text of the config behind the accounts */
static void
fake_start(const char *extra, size_t naccounts)
{
	static const char *const names[] = {"ops", "lab", "third", "fourth"};
	struct channel_config near = {
	    .name = "apid: stored", .rows = fake_near_rows, .nrows = 1, .on_broken = fake_broken};
	struct channel_config far = {.name = "stored: apid",
	    .rows = fake_rows,
	    .nrows = sizeof(fake_rows) / sizeof(fake_rows[0]),
	    .on_broken = fake_broken};
	char text[2048], err[256];
	size_t len = 0;
	int pair[2];

	memset(&fake, 0, sizeof(fake));
	for (size_t i = 0; i < naccounts; i++) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "[account %s]\n", names[i]);
		fake.accounts[i] = calloc(1, sizeof(struct account));
		snprintf(fake.accounts[i]->name, 33, "%s", names[i]);
		fake.accounts[i]->state = "online";
	}
	len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", extra);
	fake.config = config_parse("test", text, len, err, sizeof(err));
	if (fake.config == NULL)
		fail_msg("%s", err);
	fake.base = event_base_new();
	fake.first_seq = 1;
	fake.task_fd = -1;
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	fake.stored = channel_new(fake.base, pair[1], &far);
	fake.service.base = fake.base;
	fake.service.config = fake.config;
	fake.service.stored = channel_new(fake.base, pair[0], &near);
	fake.service.flows = flow_set_new(fake.base);
	fake.service.accounts = fake.accounts;
	fake.service.naccounts = naccounts;
	fake.service.store_ready = fake.service.keyd_ready = 1;
	snprintf(fake.service.log_id, sizeof(fake.service.log_id), "%s", FAKE_LOG_ID);
	snprintf(fake.service.boot_id, sizeof(fake.service.boot_id), "b00t");
	rpc_access_init(fake.config);
	fake_start_rpc();
}

static void
fake_stop(void)
{
	rpc_stop(&fake.service);
	flow_set_free(fake.service.flows);
	channel_free(fake.service.stored);
	channel_free(fake.stored);
	event_base_loop(fake.base, EVLOOP_NONBLOCK);
	event_base_free(fake.base);
	config_free(fake.config);
	access_reset();
	for (size_t i = 0; i < 4; i++)
		free(fake.accounts[i]);
}

/* One turn of the loop: at once, or when something happens, at the latest after 5 ms. */
static void
fake_nothing(evutil_socket_t fd, short what, void *arg)
{
}

static void
fake_turn(void)
{
	static const struct timeval soon = {.tv_usec = 5000};

	event_base_once(fake.base, -1, EV_TIMEOUT, fake_nothing, NULL, &soon);
	event_base_loop(fake.base, EVLOOP_ONCE);
}

/* ------------------------------------------------------------------ clients */

struct tc {
	int fd;
	char *buf;
	size_t len, cap;
	int eof;
	json_t *events; /* notifications that came between answers */
	int next_id;
};

static int
tc_connect_fd(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t n = strlen(fake.socket_name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(sun.sun_path + 1, fake.socket_name, n);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)),
	    0);
	return fd;
}

static struct tc *
tc_new(void)
{
	struct tc *t = calloc(1, sizeof(*t));

	t->fd = tc_connect_fd();
	t->events = json_array();
	return t;
}

static void
tc_free(struct tc *t)
{
	if (t->fd != -1)
		close(t->fd);
	free(t->buf);
	json_decref(t->events);
	free(t);
}

/* Takes what is there; 1 if something came. */
static int
tc_recv(struct tc *t)
{
	ssize_t n;

	if (t->cap - t->len < 65536) {
		t->cap = t->len + (1 << 20);
		t->buf = realloc(t->buf, t->cap);
	}
	n = recv(t->fd, t->buf + t->len, t->cap - t->len, 0);
	if (n > 0) {
		t->len += (size_t)n;
		return 1;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		t->eof = 1;
	return 0;
}

static void
tc_write(struct tc *t, const void *data, size_t len)
{
	int64_t until = clock_mono_ms() + FAKE_WAIT_MS;

	for (size_t off = 0; off < len;) {
		ssize_t n = send(t->fd, (const char *)data + off, len - off, MSG_NOSIGNAL);

		if (n > 0) {
			off += (size_t)n;
			continue;
		}
		if (errno != EAGAIN) /* it hung up: the test sees that when it reads */
			return;
		assert_true(clock_mono_ms() < until);
		fake_turn();
	}
}

static void
tc_send(struct tc *t, const char *line)
{
	tc_write(t, line, strlen(line));
	tc_write(t, "\n", 1);
}

/* The next line, malloc'd; NULL at the end of the connection. */
static char *
tc_line(struct tc *t)
{
	int64_t until = clock_mono_ms() + FAKE_WAIT_MS;

	for (;;) {
		char *lf = t->len > 0 ? memchr(t->buf, '\n', t->len) : NULL;

		if (lf != NULL) {
			size_t n = (size_t)(lf - t->buf);
			char *line = strndup(t->buf, n);

			memmove(t->buf, lf + 1, t->len - n - 1);
			t->len -= n + 1;
			return line;
		}
		if (tc_recv(t))
			continue;
		if (t->eof)
			return NULL;
		if (clock_mono_ms() >= until)
			fail_msg("nothing came");
		fake_turn();
	}
}

static json_t *
tc_json(struct tc *t)
{
	char *line = tc_line(t);
	json_error_t e;
	json_t *v;

	if (line == NULL)
		return NULL;
	v = json_loads(line, JSON_REJECT_DUPLICATES, &e);
	if (v == NULL)
		fail_msg("not JSON: %.200s: %s", line, e.text);
	free(line);
	return v;
}

/* The next answer; events on the way are kept. */
static json_t *
tc_answer(struct tc *t)
{
	json_t *v;

	while ((v = tc_json(t)) != NULL) {
		if (json_object_get(v, "method") == NULL)
			return v;
		json_array_append_new(t->events, json_object_get(v, "params"));
		json_incref(json_array_get(t->events, json_array_size(t->events) - 1));
		json_decref(v);
	}
	fail_msg("the connection ended");
	return NULL;
}

/* The next event's params. */
static json_t *
tc_event(struct tc *t)
{
	json_t *v, *params;

	if (json_array_size(t->events) > 0) {
		params = json_incref(json_array_get(t->events, 0));
		json_array_remove(t->events, 0);
		return params;
	}
	v = tc_json(t);
	assert_non_null(v);
	assert_string_equal(json_string_value(json_object_get(v, "method")), "event");
	params = json_incref(json_object_get(v, "params"));
	json_decref(v);
	return params;
}

/* The seq of the next event. */
__attribute__((unused)) static uint64_t
tc_event_seq(struct tc *t)
{
	json_t *p = tc_event(t);
	uint64_t seq =
	    (uint64_t)json_integer_value(json_object_get(json_object_get(p, "event"), "seq"));

	json_decref(p);
	return seq;
}

/* Give the service `turns` turns of its loop; then nothing may have come. */
static void
tc_quiet(struct tc *t, unsigned turns)
{
	while (turns-- > 0) {
		fake_turn();
		(void)tc_recv(t);
	}
	if (t->len > 0)
		fail_msg("unexpected: %.*s", (int)(t->len < 300 ? t->len : 300), t->buf);
	assert_int_equal(json_array_size(t->events), 0);
}

static int
tc_request(struct tc *t, const char *method, const char *params)
{
	char line[2048];
	int id = ++t->next_id;

	snprintf(line, sizeof(line),
	    "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\",\"params\":%s}", id, method,
	    params != NULL ? params : "{}");
	tc_send(t, line);
	return id;
}

/* Ask and return the result; an error fails the test. */
static json_t *
tc_call(struct tc *t, const char *method, const char *params)
{
	int id = tc_request(t, method, params);
	json_t *v = tc_answer(t), *result;

	assert_int_equal(json_integer_value(json_object_get(v, "id")), id);
	if ((result = json_incref(json_object_get(v, "result"))) == NULL)
		fail_msg("%s: %s", method, json_dumps(v, 0));
	json_decref(v);
	return result;
}

static void
check_error(const json_t *v, int code, const char *reason, const char *path)
{
	const json_t *e = json_object_get(v, "error"), *d = json_object_get(e, "data");

	if (e == NULL)
		fail_msg("an answer where an error was due: %s", json_dumps(v, 0));
	if (json_integer_value(json_object_get(e, "code")) != code ||
	    strcmp(json_string_value(json_object_get(d, "reason")), reason) != 0)
		fail_msg("%s, where %d %s was due", json_dumps(v, 0), code, reason);
	assert_true(json_is_boolean(json_object_get(d, "retryable")));
	if (path != NULL) {
		assert_non_null(json_object_get(d, "path"));
		assert_string_equal(json_string_value(json_object_get(d, "path")), path);
	}
}

/* Ask and get that error. */
static void
tc_refused(struct tc *t, const char *method, const char *params, int code, const char *reason,
    const char *path)
{
	int id = tc_request(t, method, params);
	json_t *v = tc_answer(t);

	assert_int_equal(json_integer_value(json_object_get(v, "id")), id);
	check_error(v, code, reason, path);
	json_decref(v);
}

/* json path for tests: "a.b" -> the value, or NULL */
static const json_t *
at(const json_t *v, const char *path)
{
	char key[64];

	while (v != NULL && *path != '\0') {
		size_t n = strcspn(path, ".");

		snprintf(key, sizeof(key), "%.*s", (int)n, path);
		v = json_object_get(v, key);
		path += n + (path[n] == '.');
	}
	return v;
}
#define STR_AT(v, path) json_string_value(at((v), (path)))
#define INT_AT(v, path) json_integer_value(at((v), (path)))

#endif
