/* The methods of the service itself: hello, schema, health, versions, confinement, flows. */
#include <string.h>

#include "apid/rpc/methods.h"
#include "apid/rpc/request.h"
#include "common/clock.h"
#include "common/log.h"

/* An id that may not exist yet, as JSON. */
static json_t *
text_or_null(const char *s)
{
	return s[0] != '\0' ? json_string(s) : json_null();
}

static json_t *
role_list(unsigned roles)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < API_NROLES; i++)
		if (roles & (1u << i))
			json_array_append_new(list, json_string(api_role_names[i]));
	return list;
}

static json_t *
limits_object(const struct rpc_limits *l)
{
	return json_pack("{s:I, s:i, s:i, s:i, s:i, s:i, s:I, s:i, s:i}", "line_bytes",
	    (json_int_t)l->line_bytes, "in_flight", (int)l->in_flight, "subscriptions",
	    (int)l->subscriptions, "connections", (int)l->connections, "connections_per_uid",
	    (int)l->per_uid, "line_timeout_ms", (int)l->line_timeout_ms, "unread_bytes",
	    (json_int_t)l->unread_bytes, "stall_timeout_ms", (int)l->stall_timeout_ms, "depth",
	    RPC_DEPTH_MAX);
}

/* 1 if the client speaks our protocol, 0 if it does not, -1 if the parameter makes no sense. */
static int
speaks_ours(const json_t *protocol)
{
	int found = 0;

	if (protocol == NULL)
		return 1;
	if (!json_is_array(protocol) || json_array_size(protocol) == 0)
		return -1;
	for (size_t i = 0; i < json_array_size(protocol); i++) {
		const json_t *v = json_array_get(protocol, i);

		if (!json_is_integer(v))
			return -1;
		found |= json_integer_value(v) == API_PROTOCOL;
	}
	return found;
}

static int
takes_descriptor(const struct api_method *m)
{
	for (const struct api_field *f = m->params; f != NULL && f->name != NULL; f++)
		if (f->type == API_FD)
			return 1;
	return 0;
}

/* Of the features that the client asks for, those that it gets. "fd": descriptors, for who may call
 * a method that takes one. */
static json_t *
agree_features(struct client *c, const json_t *asked)
{
	json_t *list = json_array();

	for (size_t i = 0; i < json_array_size(asked); i++)
		if (strcmp(json_string_value(json_array_get(asked, i)), "fd") == 0)
			for (size_t k = 0; k < api_nmethods && !c->takes_fds; k++)
				c->takes_fds = (api_methods[k].role & c->peer.roles) != 0 &&
					       takes_descriptor(&api_methods[k]);
	if (c->takes_fds)
		json_array_append_new(list, json_string("fd"));
	return list;
}

void
method_server_hello(struct request *rq)
{
	const struct rpc *r = rq->client->rpc;
	const struct service *s = r->service;
	unsigned roles = rq->client->peer.roles;
	json_t *methods, *accounts;
	int speaks = speaks_ours(json_object_get(rq->params, "protocol"));

	if (speaks == -1) {
		request_error(rq, -32602, "params", "must be an array of numbers", "protocol");
		return;
	}
	if (speaks == 0) {
		request_error(rq, -1, "unsupported", "this server speaks protocol 1", "protocol");
		return;
	}
	if (request_str(rq, "client") != NULL)
		log_debug("the client of uid %u is %s", (unsigned)rq->client->peer.uid,
		    request_str(rq, "client"));
	methods = json_array();
	accounts = json_array();
	for (size_t i = 0; i < api_nmethods; i++)
		if (api_methods[i].role & roles)
			json_array_append_new(methods, json_string(api_methods[i].name));
	for (size_t i = 0; i < s->naccounts; i++)
		json_array_append_new(accounts, json_string(account_name(s->accounts[i])));
	request_result(
	    rq, json_pack("{s:i, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:[]}", "protocol",
		    API_PROTOCOL, "api", API_VERSION, "server", "ward/" WARD_VERSION, "boot_id",
		    s->boot_id, "log_id", text_or_null(s->log_id), "features",
		    agree_features(rq->client, json_object_get(rq->params, "features")), "methods",
		    methods, "role", role_list(roles), "accounts", accounts, "limits",
		    limits_object(&r->limits), "deprecated"));
}

void
method_server_schema(struct request *rq)
{
	json_t *schema = api_schema(rq->client->peer.roles, request_str(rq, "type"));

	if (schema == NULL)
		request_error(rq, -1, "not_found", "there is no such method or event", "type");
	else
		request_result(rq, schema);
}

void
method_server_version(struct request *rq)
{
	const struct service *s = rq->client->rpc->service;

	request_result(
	    rq, json_pack("{s:s, s:s, s:i, s:s, s:o, s:o, s:I, s:s}", "server",
		    "ward/" WARD_VERSION, "api", API_VERSION, "protocol", API_PROTOCOL, "boot_id",
		    s->boot_id, "log_id", text_or_null(s->log_id), "web_client_version",
		    engine_client_version(s), "age_s", (json_int_t)engine_client_age_s(s),
		    "client_date", config_str(s->config, "client", "date")));
}

/* ------------------------------------------------------------------ health */

/* The engine checks keys, store, disk and accounts. */
static void
service_checks(const struct rpc *r, json_t *checks)
{
	int full = r->nclients >= r->limits.connections;

	json_array_append_new(
	    checks, json_pack("{s:s, s:s, s:s, s:s}", "name", "connections", "status",
			full ? "degraded" : "ok", "reason", full ? "overloaded" : "room",
			"user_action", full ? "operator" : "none"));
}

/* What is no fault but must not be overlooked: this service is set up for tests. */
static json_t *
warnings(const struct config *c)
{
	json_t *list = json_array();

	if (config_bool(c, "service", "developer_unconfined"))
		json_array_append_new(list, json_string("unconfined"));
	if (config_str(c, "test", "noise_root_key")[0] != '\0')
		json_array_append_new(list, json_string("test_noise_root_key"));
	return list;
}

static const char *
worst(const json_t *checks)
{
	const char *status, *all = "ok";

	for (size_t i = 0; i < json_array_size(checks); i++) {
		status = json_string_value(json_object_get(json_array_get(checks, i), "status"));
		if (status == NULL || strcmp(status, "ok") == 0)
			continue;
		if (strcmp(status, "failing") == 0)
			return "failing";
		all = "degraded";
	}
	return all;
}

void
method_server_health(struct request *rq)
{
	const struct rpc *r = rq->client->rpc;
	json_t *checks = json_array();
	const char *status;

	service_checks(r, checks);
	engine_health(r->service, checks);
	status = worst(checks);
	request_result(rq, json_pack("{s:s, s:o, s:o}", "status", status, "warnings",
			       warnings(r->service->config), "checks", checks));
}

/* ------------------------------------------------------------------ confinement, flows */

/* One "role.key=value" of the parent's report. Keys that come again make a list of it. */
static void
report_line(json_t *processes, const char *line, size_t len)
{
	const char *eq = memchr(line, '=', len), *dot = memchr(line, '.', len);
	json_t *process, *old, *value;
	char role[32], key[64];

	if (eq == NULL || dot == NULL || dot > eq || (size_t)(dot - line) >= sizeof(role) ||
	    (size_t)(eq - dot - 1) >= sizeof(key))
		return;
	memcpy(role, line, (size_t)(dot - line));
	role[dot - line] = '\0';
	memcpy(key, dot + 1, (size_t)(eq - dot - 1));
	key[eq - dot - 1] = '\0';
	if ((process = json_object_get(processes, role)) == NULL) {
		process = json_object();
		json_object_set_new(processes, role, process);
	}
	value = json_stringn(eq + 1, len - (size_t)(eq + 1 - line));
	if ((old = json_object_get(process, key)) == NULL)
		json_object_set_new(process, key, value);
	else if (json_is_array(old))
		json_array_append_new(old, value);
	else
		json_object_set_new(process, key, json_pack("[O, o]", old, value));
}

void
method_server_sandbox(struct request *rq)
{
	const char *p = rq->client->rpc->service->sandbox_report;
	json_t *processes = json_object();

	while (p != NULL && *p != '\0') {
		size_t len = strcspn(p, "\n");

		report_line(processes, p, len);
		p += len + (p[len] == '\n');
	}
	request_result(rq, json_pack("{s:o}", "processes", processes));
}

static void
add_flow(const struct flow *f, void *arg)
{
	json_array_append_new(
	    arg, json_pack("{s:I, s:s, s:s, s:s, s:I}", "id", (json_int_t)f->id, "kind",
		     f->kind->name, "step", f->step != NULL ? f->step : "", "account", f->account,
		     "age_ms", (json_int_t)(clock_mono_ms() - f->began_ms)));
}

void
method_server_flows(struct request *rq)
{
	json_t *flows = json_array();

	flow_each(rq->client->rpc->service->flows, add_flow, flows);
	request_result(rq, json_pack("{s:o}", "flows", flows));
}

/* ------------------------------------------------------------------ request.cancel */

void
method_request_cancel(struct request *rq)
{
	struct request *other = client_request(rq->client, json_object_get(rq->params, "id"));
	int found = other != NULL && other != rq;

	if (found)
		request_cancel(other);
	request_result(rq, json_pack("{s:b}", "ok", found));
}
