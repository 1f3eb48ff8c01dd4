/* store.stats, store.backup, store.check, store.snapshot, store.rekey: the store, for its operator.
 */
#include <string.h>
#include <unistd.h>

#include "apid/rpc/methods.h"
#include "apid/rpc/store_ask.h"
#include "apid/rpc/store_task.h"
#include "common/pb.h"

#define TABLES_REPLY_MAX (1u << 20) /* some forty tables of each account */

/* The store can be asked; else the request was answered. */
static int
store_open(struct request *rq)
{
	const struct api_error *e = rpc_store_error(rq->client->rpc);

	if (e != NULL)
		request_fail(rq, e);
	return e == NULL;
}

/* ------------------------------------------------------------------ long tasks */

void
method_store_backup(struct request *rq)
{
	static const struct store_task_kind kind = {STORED__TYPE__BACKUP, "bytes"};
	Stored__Backup m = STORED__BACKUP__INIT;
	int fd = request_take_fd(rq, "fd");

	if (fd == -1)
		return;
	if (store_open(rq))
		store_task_run(rq, &kind, &m.base, fd);
	else
		close(fd);
}

void
method_store_check(struct request *rq)
{
	static const struct store_task_kind kind = {STORED__TYPE__CHECK, "rows"};
	Stored__Check m = STORED__CHECK__INIT;

	if (store_open(rq))
		store_task_run(rq, &kind, &m.base, -1);
}

/* As the contract has it: nothing that could lead out of the folder. */
static int
snapshot_name_ok(const char *name)
{
	return name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				 "0123456789_.-")] == '\0' &&
	       strstr(name, "..") == NULL;
}

void
method_store_snapshot(struct request *rq)
{
	static const struct store_task_kind kind = {STORED__TYPE__SNAPSHOT, "bytes"};
	Stored__Snapshot m = STORED__SNAPSHOT__INIT;
	const char *name = request_str(rq, "name");

	if (!snapshot_name_ok(name)) {
		request_error(rq, -32602, "params",
		    "letters, digits, and _.- but not two dots in a row", "name");
		return;
	}
	m.name = pb_str(name);
	if (store_open(rq))
		store_task_run(rq, &kind, &m.base, -1);
}

/* ------------------------------------------------------------------ store.rekey */

void
method_store_rekey(struct request *rq)
{
	if (store_open(rq))
		engine_rekey(rq->client->rpc->service, rq->token, request_bool(rq, "look"),
		    request_engine_said, rq);
}

/* ------------------------------------------------------------------ store.stats */

static json_t *
tables_of(const Stored__Stats *st)
{
	json_t *list = json_array();

	for (size_t i = 0; i < st->n_tables; i++)
		json_array_append_new(
		    list, json_pack("{s:s, s:s, s:I}", "account", st->tables[i]->account, "table",
			      st->tables[i]->table, "rows", (json_int_t)st->tables[i]->rows));
	return list;
}

static json_t *
rekey_of(const Stored__Stats *st)
{
	json_t *list = json_array();

	for (size_t i = 0; i < st->n_rekey; i++)
		json_array_append_new(
		    list, json_pack("{s:s, s:I, s:I, s:s*}", "account", st->rekey[i]->account,
			      "done", (json_int_t)st->rekey[i]->done, "total",
			      (json_int_t)st->rekey[i]->total, "trouble", st->rekey[i]->trouble));
	return list;
}

static json_t *
stats_object(const Stored__Stats *st)
{
	return json_pack("{s:s*, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "backend",
	    st->backend, "units", (json_int_t)st->units, "units_failed",
	    (json_int_t)st->units_failed, "transactions", (json_int_t)st->transactions, "fsyncs",
	    (json_int_t)st->fsyncs, "events", (json_int_t)st->events, "database_bytes",
	    (json_int_t)st->database_bytes, "log_bytes", (json_int_t)st->log_bytes, "free_bytes",
	    (json_int_t)st->free_bytes, "disk_low", st->disk_low);
}

static void
stats_came(const struct reply *r, void *arg)
{
	struct request *rq = arg;
	const Stored__Stats *st = (const Stored__Stats *)r->pb;
	json_t *o;

	rq->forget = NULL;
	if (!r->ok) {
		request_store_error(rq, r->code);
		return;
	}
	o = stats_object(st);
	if (request_bool(rq, "tables"))
		json_object_set_new(o, "tables", tables_of(st));
	json_object_set_new(o, "rekey", rekey_of(st));
	request_result(rq, o);
}

static void
stats_forget(struct request *rq, void *arg)
{
	store_ask_cancel(arg);
}

void
method_store_stats(struct request *rq)
{
	Stored__StatsGet m = STORED__STATS_GET__INIT;

	if (!store_open(rq))
		return;
	if (request_bool(rq, "tables"))
		m.has_tables = m.tables = 1;
	rq->forget = stats_forget;
	rq->forget_arg =
	    store_ask(rq->client->rpc, STORED__TYPE__STATS, &m.base, STORED__TYPE__STATS_REPLY,
		&stored__stats__descriptor, TABLES_REPLY_MAX, stats_came, rq);
}
