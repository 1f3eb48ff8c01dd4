/* The methods of chats, presence and calls. */
#include <string.h>

#include "apid/rpc/methods.h"

#define TYPING_TTL_MS   15000
#define PRESENCE_TTL_MS 60000

static void
said_ok(void *arg, const json_t *result, const struct api_error *err)
{
	if (err != NULL)
		request_fail(arg, err);
	else
		request_result(arg, json_pack("{s:b}", "ok", 1));
}

static void
mark(struct request *rq, enum mark_status status)
{
	const json_t *ids = json_object_get(rq->params, "message_ids");
	const char *text[256] = {NULL}; /* the most that the table allows */
	const char *receipts = request_str(rq, "receipts");
	struct mark_request m = {.chat = request_str(rq, "chat"),
	    .message_ids = text,
	    .n = json_array_size(ids),
	    .status = status,
	    .receipts = MARK_AS_PRIVACY};

	for (size_t i = 0; i < m.n; i++)
		text[i] = json_string_value(json_array_get(ids, i));
	if (receipts != NULL && strcmp(receipts, "always") == 0)
		m.receipts = MARK_ALWAYS;
	if (receipts != NULL && strcmp(receipts, "never") == 0)
		m.receipts = MARK_NEVER;
	chat_mark(rq->account, rq->token, &m, said_ok, rq);
}

void
method_chat_mark_read(struct request *rq)
{
	mark(rq, MARK_READ);
}

void
method_chat_mark_played(struct request *rq)
{
	mark(rq, MARK_PLAYED);
}

void
method_chat_typing(struct request *rq)
{
	chat_typing(rq->account, rq->token, request_str(rq, "chat"), request_str(rq, "state"),
	    (unsigned)request_int(rq, "ttl_ms", TYPING_TTL_MS), said_ok, rq);
}

void
method_presence_set(struct request *rq)
{
	presence_set(rq->account, rq->token, strcmp(request_str(rq, "state"), "available") == 0,
	    (unsigned)request_int(rq, "ttl_ms", PRESENCE_TTL_MS), request_engine_said, rq);
}

void
method_presence_subscribe(struct request *rq)
{
	presence_subscribe(
	    rq->account, rq->token, request_str(rq, "party"), request_engine_said, rq);
}

void
method_presence_unsubscribe(struct request *rq)
{
	presence_unsubscribe(rq->account, rq->token, request_str(rq, "party"), said_ok, rq);
}

void
method_call_reject(struct request *rq)
{
	call_reject(rq->account, rq->token, request_str(rq, "call_id"), request_str(rq, "from"),
	    said_ok, rq);
}
