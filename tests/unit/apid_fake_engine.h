/* The engine, as the tests of apid/rpc play it: each call is kept, and answered at once or later.
 */
#ifndef APID_FAKE_ENGINE_H
#define APID_FAKE_ENGINE_H

#include "tests/unit/apid_fake.h"

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
outbox_hold(struct account *a, const void *client, uint32_t uid, const char *chat, int on,
    engine_done_fn *fn, void *arg)
{
	struct fake_call *c = fake_called(a, client, on ? "hold" : "release", fn, arg);

	snprintf(c->to, sizeof(c->to), "%s", chat != NULL ? chat : "");
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

int
engine_full(const struct service *s)
{
	return fake.full;
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

#endif
