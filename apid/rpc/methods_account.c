/* The methods of accounts: what the engine knows of them, and linking. */
#include <string.h>

#include "apid/rpc/methods.h"

/* ------------------------------------------------------------------ asking */

/* The state alone: what account.state and the switches answer. */
static json_t *
describe_state(const struct account *a)
{
	static const char *const fields[] = {"account", "state", "reason", "code", "subcode",
	    "since_ms", "next_attempt_ms", "until_ms", "user_action", "text"};
	json_t *all = account_describe(a), *o = json_object(), *v;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if ((v = json_object_get(all, fields[i])) != NULL)
			json_object_set(o, fields[i], v);
	json_decref(all);
	return o;
}

void
method_account_list(struct request *rq)
{
	struct service *s = rq->client->rpc->service;
	json_t *all = json_array();

	for (size_t i = 0; i < s->naccounts; i++)
		json_array_append_new(all, account_describe(s->accounts[i]));
	request_result(rq, json_pack("{s:o}", "accounts", all));
}

void
method_account_get(struct request *rq)
{
	request_result(rq, account_describe(rq->account));
}

void
method_account_state(struct request *rq)
{
	request_result(rq, describe_state(rq->account));
}

/* ------------------------------------------------------------------ acting */

/* The ends of engine calls: what the engine said, "ok", or the state that followed. */
static void
engine_said_ok(void *arg, const json_t *result, const struct api_error *err)
{
	if (err != NULL)
		request_fail(arg, err);
	else
		request_result(arg, json_pack("{s:b}", "ok", 1));
}

static void
engine_said_state(void *arg, const json_t *result, const struct api_error *err)
{
	struct request *rq = arg;

	if (err != NULL)
		request_fail(rq, err);
	else
		request_result(rq, describe_state(rq->account));
}

void
method_account_restrictions(struct request *rq)
{
	account_restrictions(
	    rq->account, rq->token, request_bool(rq, "refresh"), request_engine_said, rq);
}

void
method_account_quota(struct request *rq)
{
	account_quota(rq->account, rq->token, request_bool(rq, "refresh"), request_engine_said, rq);
}

void
method_account_link(struct request *rq)
{
	struct link_request l = {.method = request_str(rq, "method"),
	    .phone = request_str(rq, "phone"),
	    .code = request_str(rq, "code"),
	    .other_account = json_is_true(json_object_get(rq->params, "other_account"))};

	if (l.method == NULL)
		l.method = l.phone != NULL ? "code" : "qr";
	if (strcmp(l.method, "code") == 0 && l.phone == NULL)
		request_error(
		    rq, -32602, "params", "method code needs the number of the phone", "phone");
	else if (strcmp(l.method, "qr") == 0 && (l.phone != NULL || l.code != NULL))
		request_error(
		    rq, -32602, "params", "is for method code", l.phone != NULL ? "phone" : "code");
	else
		account_link(rq->account, rq->token, &l, request_engine_said, rq);
}

void
method_account_link_answer(struct request *rq)
{
	const json_t *response = json_object_get(rq->params, "passkey_response");
	const json_t *confirm = json_object_get(rq->params, "confirm");

	if ((response == NULL) == (confirm == NULL))
		request_error(rq, -32602, "params", "either passkey_response or confirm",
		    response == NULL ? "passkey_response" : "confirm");
	else
		account_link_answer(rq->account, rq->token, request_str(rq, "link_id"), response,
		    json_is_true(confirm), engine_said_ok, rq);
}

void
method_account_link_cancel(struct request *rq)
{
	account_link_cancel(rq->account, rq->token, engine_said_ok, rq);
}

void
method_account_unlink(struct request *rq)
{
	account_unlink(rq->account, rq->token, engine_said_ok, rq);
}

void
method_account_quarantine(struct request *rq)
{
	account_quarantine(rq->account, rq->token, request_engine_said, rq);
}

void
method_account_quarantine_purge(struct request *rq)
{
	account_quarantine_purge(rq->account, rq->token, request_engine_said, rq);
}

void
method_account_pause(struct request *rq)
{
	account_pause(rq->account, rq->token, engine_said_state, rq);
}

void
method_account_resume(struct request *rq)
{
	account_resume(rq->account, rq->token, engine_said_state, rq);
}

void
method_account_reconnect(struct request *rq)
{
	account_reconnect(rq->account, rq->token, engine_said_state, rq);
}
