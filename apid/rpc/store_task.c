/* A long task of stored that a client waits for: begun, told of, cancelled, answered.
 *
 *	store_task_run -> begun -> store_task_state … -> ended
 */
#include "apid/rpc/store_task.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apid/rpc/json_out.h"
#include "apid/rpc/store_ask.h"
#include "common/log.h"

#define TASKS_MAX 8 /* of all clients; stored takes one at a time */

struct store_task {
	TAILQ_ENTRY(store_task) link;
	struct rpc *rpc;
	struct request *rq; /* NULL: nobody waits any more */
	const struct store_task_kind *kind;
	struct store_ask *asked; /* it has no number yet */
	uint64_t number;
};

static void
task_free(struct store_task *t)
{
	TAILQ_REMOVE(&t->rpc->tasks, t, link);
	store_ask_cancel(t->asked);
	free(t);
}

static void
tell_cancel(const struct rpc *r, uint64_t number)
{
	Stored__TaskCancel m = STORED__TASK_CANCEL__INIT;

	m.task = number;
	(void)channel_notify(r->service->stored, STORED__TYPE__TASK_CANCEL, &m.base);
}

/* The request is cancelled, or its client left. */
static void
task_forget(struct request *rq, void *arg)
{
	struct store_task *t = arg;

	log_notice("%s of uid %u (pid %d): cancelled", rq->method->name,
	    (unsigned)rq->client->peer.uid, (int)rq->client->peer.pid);
	t->rq = NULL;
	if (t->asked != NULL)
		return; /* cancelled as soon as it has a number */
	tell_cancel(t->rpc, t->number);
	task_free(t);
}

/* ------------------------------------------------------------------ how it ends */

static void
task_error(struct request *rq, const char *code, const char *text)
{
	static const struct {
		const char *theirs;
		int code;
		const char *reason, *message;
	} known[] = {
	    {"busy", -9, "conflict", "another long task of the store is running"},
	    {"cancelled", -32600, "cancelled", "cancelled"},
	    {"damaged", -2, "store_corrupt", "the store is damaged: restore a backup"},
	    {"corrupt", -2, "store_corrupt", "the store is damaged: restore a backup"},
	    {"disk_full", -14, "disk_low", "the disk is full"},
	    {"read_only", -14, "store_locked", "the store cannot be written"},
	    {"account_failed", -14, "store_locked", "a database is not open"},
	    {"bad_request", -32602, "params", "the store refuses these parameters"},
	    {"io", -2, "internal", "the disk failed; see the log of the service"},
	    {"reader_gone", -1, "refused", "nobody takes it: the reader has gone or stands still"},
	    {"unsupported", -1, "unsupported", "this store cannot do that"},
	    {"stopping", -14, "store_locked", "the service is stopping"},
	    {"closed", -14, "store_locked", "the service is stopping"},
	};

	/* stored's text is for people and names databases; closed, timeout are words of ours */
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(known[i].theirs, code) == 0) {
			request_error(rq, known[i].code, known[i].reason,
			    text != NULL && text[0] != '\0' ? text : known[i].message, NULL);
			return;
		}
	request_store_error(rq, code);
}

static void
task_failed(struct store_task *t, const char *code, const char *text)
{
	struct request *rq = t->rq;

	task_free(t);
	if (rq == NULL)
		return;
	log_notice("%s of uid %u (pid %d) failed: %s%s%s", rq->method->name,
	    (unsigned)rq->client->peer.uid, (int)rq->client->peer.pid, code,
	    text != NULL ? ": " : "", text != NULL ? text : "");
	rq->forget = NULL;
	task_error(rq, code, text);
}

static void
task_ended(struct store_task *t, const Stored__TaskState *st)
{
	const struct store_task_kind *k = t->kind;
	struct request *rq = t->rq;
	json_t *result;

	if (st->reason != NULL) {
		task_failed(t, st->reason, st->text);
		return;
	}
	task_free(t);
	log_notice("%s of uid %u (pid %d): done, %" PRIu64 " %s", rq->method->name,
	    (unsigned)rq->client->peer.uid, (int)rq->client->peer.pid, st->done, k->amount);
	rq->forget = NULL;
	result = json_pack("{s:I}", k->amount, (json_int_t)st->done);
	if (st->text != NULL)
		json_object_set_new(result, "text", json_string(st->text));
	request_result(rq, result);
}

/* ------------------------------------------------------------------ on its way */

/* Left out while the client does not read: the next one says more. */
static void
tell_progress(const struct store_task *t, const Stored__TaskState *st)
{
	const json_t *token = json_object_get(t->rq->params, "progress_token");
	struct buf b = BUF_INIT;

	if (token == NULL || t->rq->client->event_bytes > RPC_EVENT_HIGH)
		return;
	buf_put_str(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"progress\",\"params\":{\"token\":");
	if (json_is_string(token))
		json_out_str(&b, json_string_value(token));
	else
		buf_printf(&b, "%" JSON_INTEGER_FORMAT, json_integer_value(token));
	buf_printf(&b, ",\"done\":%" PRIu64 ",\"total\":%" PRIu64 ",\"unit\":\"%s\"}}", st->done,
	    st->total, t->kind->amount);
	client_put(t->rq->client, &b, CHUNK_EVENT);
}

void
store_task_state(struct rpc *r, const Stored__TaskState *st)
{
	struct store_task *t;
	int asking = 0;

	TAILQ_FOREACH(t, &r->tasks, link)
	{
		if (t->asked == NULL && t->number == st->task) {
			if (st->ended)
				task_ended(t, st);
			else
				tell_progress(t, st);
			return;
		}
		asking |= t->asked != NULL;
	}
	if (!st->ended && !asking)
		tell_cancel(r, st->task); /* nobody waits for it: its number came too late */
}

static void
begun(const struct reply *reply, void *arg)
{
	struct store_task *t = arg;

	t->asked = NULL;
	if (!reply->ok) {
		task_failed(t, reply->code, reply->text);
		return;
	}
	t->number = ((const Stored__Task *)reply->pb)->task;
	if (t->rq != NULL)
		return;
	tell_cancel(t->rpc, t->number);
	task_free(t);
}

void
store_task_run(
    struct request *rq, const struct store_task_kind *k, const ProtobufCMessage *m, int fd)
{
	struct rpc *r = rq->client->rpc;
	struct store_task *t;
	size_t n = 0;

	TAILQ_FOREACH(t, &r->tasks, link)
	n++;
	if (n >= TASKS_MAX) {
		if (fd != -1)
			close(fd);
		task_error(rq, "busy", NULL);
		return;
	}
	if ((t = calloc(1, sizeof(*t))) == NULL)
		fatalx("rpc: out of memory for a task");
	t->rpc = r;
	t->rq = rq;
	t->kind = k;
	TAILQ_INSERT_TAIL(&r->tasks, t, link);
	log_notice("%s by uid %u (pid %d)", rq->method->name, (unsigned)rq->client->peer.uid,
	    (int)rq->client->peer.pid);
	t->asked = store_ask_fd(
	    r, k->type, m, fd, STORED__TYPE__TASK, &stored__task__descriptor, 64, begun, t);
	rq->forget = task_forget;
	rq->forget_arg = t;
}

void
store_task_free_all(struct rpc *r)
{
	struct store_task *t, *next;

	for (t = TAILQ_FIRST(&r->tasks); t != NULL; t = next) {
		next = TAILQ_NEXT(t, link);
		task_free(t);
	}
}
