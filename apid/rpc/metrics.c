/* server.metrics: the counters of all rooms as OpenMetrics text. */
#include <inttypes.h>
#include <string.h>

#include "apid/rpc/methods.h"
#include "apid/rpc/subscribe.h"

#define STATS_REPLY_MAX 65536

/* A name of OpenMetrics: anything else becomes an underscore. */
static void
metric_name(struct buf *b, const char *name)
{
	for (const char *p = name; *p != '\0'; p++) {
		int plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			    (*p >= '0' && *p <= '9') || *p == '_';

		buf_put_u8(b, plain ? (uint8_t)*p : '_');
	}
}

static int
ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

/* What goes up and down says so by its name; all else counts up. */
static int
is_gauge(const char *name)
{
	return ends_with(name, "_now") || ends_with(name, "_depth") || ends_with(name, "_bytes") ||
	       ends_with(name, "_seconds");
}

static void
write_metrics(struct buf *b, json_t *counters)
{
	const char *name;
	json_t *v;

	json_object_foreach(counters, name, v)
	{
		if (!json_is_integer(v))
			continue;
		buf_put_str(b, "# TYPE ward_");
		metric_name(b, name);
		buf_put_str(b, is_gauge(name) ? " gauge\nward_" : " counter\nward_");
		metric_name(b, name);
		buf_printf(b, "%s %" JSON_INTEGER_FORMAT "\n", is_gauge(name) ? "" : "_total",
		    json_integer_value(v));
	}
}

static void
write_calls(struct buf *b, const struct rpc *r)
{
	buf_put_str(b, "# TYPE ward_rpc counter\n");
	for (size_t m = 0; m < api_nmethods; m++)
		for (size_t k = 0; k <= api_nerror_classes + 1 && k < RPC_CODES_MAX; k++) {
			int code = k == 0                    ? 0
				   : k <= api_nerror_classes ? api_error_classes[k - 1].code
							     : -1000;

			if (r->calls[m][k] != 0)
				buf_printf(b,
				    "ward_rpc_total{method=\"%s\",code=\"%d\"} %" PRIu64 "\n",
				    api_methods[m].name, code, r->calls[m][k]);
		}
}

/* State of each account: 1 for the one that holds. */
static void
write_accounts(struct buf *b, const struct rpc *r)
{
	buf_put_str(b, "# TYPE ward_account_state gauge\n");
	for (size_t i = 0; i < r->service->naccounts; i++) {
		const struct account *a = r->service->accounts[i];
		json_t *d = account_describe(a);
		const char *state = json_string_value(json_object_get(d, "state"));

		if (state != NULL)
			buf_printf(b, "ward_account_state{account=\"%s\",state=\"%s\"} 1\n",
			    account_name(a), state);
		json_decref(d);
	}
}

static void
put(json_t *o, const char *name, uint64_t v)
{
	json_object_set_new(o, name, json_integer((json_int_t)v));
}

static void
own_counters(const struct rpc *r, json_t *o)
{
	put(o, "api_connections_now", r->nclients);
	put(o, "api_connections", r->accepted);
	put(o, "api_connections_refused", r->refused);
	put(o, "api_clients_stalled", r->closed_stalled);
	put(o, "api_lines_bad", r->bad_lines + r->closed_lines);
	put(o, "api_denied", r->denied);
	put(o, "api_events_sent", r->events_sent);
	put(o, "api_events_transient_sent", r->transients_sent);
	put(o, "api_events_transient_dropped", r->transients_dropped);
}

static void
store_counters(const Stored__Stats *st, json_t *o)
{
	put(o, "store_units", st->units);
	put(o, "store_units_failed", st->units_failed);
	put(o, "store_transactions", st->transactions);
	put(o, "store_fsyncs", st->fsyncs);
	put(o, "store_events_now", st->events);
	put(o, "store_free_bytes", st->free_bytes);
	put(o, "store_database_bytes", st->database_bytes);
	if (st->has_log_bytes)
		put(o, "store_log_bytes", st->log_bytes);
}

static void
metrics_answer(struct request *rq, const Stored__Stats *st)
{
	const struct rpc *r = rq->client->rpc;
	json_t *counters = json_object(), *text;
	struct buf b = BUF_INIT;

	engine_counters(r->service, counters);
	own_counters(r, counters);
	if (st != NULL)
		store_counters(st, counters);
	write_metrics(&b, counters);
	write_calls(&b, r);
	write_accounts(&b, r);
	buf_put_str(&b, "# EOF\n");
	text = json_stringn((const char *)b.data, b.len);
	buf_clear(&b);
	request_result(rq, json_pack("{s:o, s:o}", "text", text, "counters", counters));
}

static void
stats_came(const struct reply *reply, void *arg)
{
	struct request *rq = arg;

	rq->forget = NULL;
	metrics_answer(rq, reply->ok ? (const Stored__Stats *)reply->pb : NULL);
}

static void
stats_forget(struct request *rq, void *arg)
{
	store_ask_cancel(arg);
}

void
method_server_metrics(struct request *rq)
{
	Stored__StatsGet m = STORED__STATS_GET__INIT;
	struct rpc *r = rq->client->rpc;

	if (!r->service->store_ready) {
		metrics_answer(rq, NULL);
		return;
	}
	rq->forget = stats_forget;
	rq->forget_arg = store_ask(r, STORED__TYPE__STATS, &m.base, STORED__TYPE__STATS_REPLY,
	    &stored__stats__descriptor, STATS_REPLY_MAX, stats_came, rq);
}
