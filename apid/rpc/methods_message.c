/* message.send, edit, delete, react, state, receipts and cancel; the outbox. */
#include <string.h>

#include <sodium.h>

#include "apid/rpc/methods.h"

_Static_assert(API_MENTIONS_MAX == SEND_MENTIONS_MAX, "what the table lets in, the engine takes");

static int
hash_piece(const char *text, size_t len, void *arg)
{
	return crypto_generichash_update(arg, (const unsigned char *)text, len);
}

int
method_send_hash(const json_t *params, const char *account, enum send_act act, uint8_t out[32])
{
	crypto_generichash_state st;
	json_t *copy = json_copy((json_t *)(uintptr_t)params);
	int r = -1;

	if (copy == NULL)
		return -1;
	(void)json_object_del(copy, "wait"); /* -1: it was not there */
	(void)json_object_del(copy, "timeout_ms");
	if (act != SEND_ACT_NEW) /* no parameter has such a name */
		json_object_set_new(copy, "act ", json_integer(act));
	if (json_object_set_new(copy, "account", json_string(account)) == 0 &&
	    crypto_generichash_init(&st, NULL, 0, 32) == 0 &&
	    json_dump_callback(copy, hash_piece, &st, JSON_COMPACT | JSON_SORT_KEYS) == 0 &&
	    crypto_generichash_final(&st, out, 32) == 0)
		r = 0;
	sodium_memzero(&st, sizeof(st));
	json_decref(copy);
	return r;
}

static int
key_ok(const char *key)
{
	return key[strspn(key,
		   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-")] == '\0';
}

static enum send_wait
parse_wait(const char *word)
{
	if (word != NULL && strcmp(word, "queued") == 0)
		return SEND_WAIT_QUEUED;
	if (word != NULL && strcmp(word, "delivered") == 0)
		return SEND_WAIT_DELIVERED;
	return SEND_WAIT_SERVER;
}

/* What all of them have; the rest is the caller's. */
static void
send_it(struct request *rq, struct send_request *m)
{
	const struct config *config = rq->client->rpc->service->config;

	m->idempotency_key = request_str(rq, "idempotency_key");
	m->text = request_str(rq, "text");
	m->uid = rq->client->peer.uid;
	m->wait = parse_wait(request_str(rq, "wait"));
	m->timeout_ms =
	    (unsigned)request_int(rq, "timeout_ms", config_int(config, "send", "timeout"));
	m->not_after_ms = request_int(rq, "not_after_ms", 0);
	m->options = rq->params;
	if (!key_ok(m->idempotency_key)) {
		request_error(
		    rq, -32602, "params", "must be of A-Z a-z 0-9 . _ : -", "idempotency_key");
		return;
	}
	if (method_send_hash(rq->params, account_name(rq->account), m->act, m->params_hash) == -1) {
		request_error(rq, -2, "internal", "out of memory", NULL);
		return;
	}
	message_send(rq->account, rq->token, m, request_engine_said, rq);
}

void
method_message_send(struct request *rq)
{
	struct send_request m = {.to = request_str(rq, "to")};

	send_it(rq, &m);
}

static void
send_about(struct request *rq, enum send_act act)
{
	struct send_request m = {.to = request_str(rq, "chat"),
	    .act = act,
	    .target = request_str(rq, "message_id"),
	    .target_from_me = json_is_true(json_object_get(rq->params, "from_me"))};

	send_it(rq, &m);
}

void
method_message_edit(struct request *rq)
{
	send_about(rq, SEND_ACT_EDIT);
}

void
method_message_delete(struct request *rq)
{
	send_about(rq, SEND_ACT_DELETE);
}

void
method_message_react(struct request *rq)
{
	send_about(rq, SEND_ACT_REACT);
}

void
method_message_state(struct request *rq)
{
	const char *key = request_str(rq, "idempotency_key"), *id = request_str(rq, "message_id");

	if ((key == NULL) == (id == NULL))
		request_error(rq, -32602, "params", "one of idempotency_key and message_id",
		    "idempotency_key");
	else
		message_state(
		    rq->account, rq->token, rq->client->peer.uid, key, id, request_engine_said, rq);
}

void
method_message_cancel(struct request *rq)
{
	message_cancel(rq->account, rq->token, rq->client->peer.uid,
	    request_str(rq, "idempotency_key"), request_engine_said, rq);
}

void
method_outbox_list(struct request *rq)
{
	outbox_list(rq->account, rq->token, request_str(rq, "chat"), request_str(rq, "after"),
	    (unsigned)request_int(rq, "limit", 100), request_engine_said, rq);
}

static void
hold(struct request *rq, int on)
{
	outbox_hold(rq->account, rq->token, rq->client->peer.uid, request_str(rq, "chat"), on,
	    request_engine_said, rq);
}

void
method_outbox_hold(struct request *rq)
{
	hold(rq, 1);
}

void
method_outbox_release(struct request *rq)
{
	hold(rq, 0);
}

void
method_message_receipts(struct request *rq)
{
	message_receipts(
	    rq->account, rq->token, request_str(rq, "message_id"), request_engine_said, rq);
}
