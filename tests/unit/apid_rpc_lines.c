/* The API socket: hello, roles, every malformed line, bounds of connections and of what is unread.
 */
#include <grp.h>
#include <sys/wait.h>

#include "tests/unit/apid_rpc_fake.h"
#include "tests/unit/slow.h"

static int
one(void **state)
{
	fake_start("", 1);
	return 0;
}

static int
end(void **state)
{
	fake_stop();
	return 0;
}

/* ------------------------------------------------------------------ hello, schema, roles */

static int
has_word(const json_t *list, const char *word)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (strcmp(json_string_value(json_array_get(list, i)), word) == 0)
			return 1;
	return 0;
}

static void
hello(void **state)
{
	struct tc *t = tc_new();
	json_t *r = tc_call(
	    t, "server.hello", "{\"protocol\":[1,2],\"client\":\"test/1\",\"features\":[\"fd\"]}");

	assert_int_equal(INT_AT(r, "protocol"), 1);
	assert_string_equal(STR_AT(r, "log_id"), FAKE_LOG_ID);
	assert_string_equal(STR_AT(r, "boot_id"), "b00t");
	assert_int_equal(json_array_size(at(r, "features")), 1);
	assert_true(has_word(at(r, "features"), "fd"));
	assert_int_equal(json_array_size(at(r, "methods")), api_nmethods);
	assert_true(has_word(at(r, "role"), "admin"));
	assert_true(has_word(at(r, "accounts"), "ops"));
	assert_int_equal(INT_AT(r, "limits.line_bytes"), 1 << 20);
	assert_int_equal(INT_AT(r, "limits.in_flight"), 64);
	assert_int_equal(INT_AT(r, "limits.connections_per_uid"), 16);
	json_decref(r);
	tc_refused(t, "server.hello", "{\"protocol\":[2]}", -1, "unsupported", "protocol");
	tc_refused(t, "server.hello", "{\"protocol\":1}", -32602, "params", "protocol");
	tc_free(t);
}

static void
schema_lists_all(void **state)
{
	struct tc *t = tc_new();
	json_t *r = tc_call(t, "server.schema", NULL);

	for (size_t i = 0; i < api_nmethods; i++) {
		const json_t *m =
		    json_object_get(json_object_get(r, "methods"), api_methods[i].name);

		assert_non_null(m);
		assert_string_equal(STR_AT(m, "params.type"), "object");
		assert_true(json_is_false(at(m, "params.additionalProperties")));
		assert_string_equal(STR_AT(m, "result.type"), "object");
	}
	for (size_t i = 0; i < api_nevents; i++)
		assert_non_null(json_object_get(json_object_get(r, "events"), api_events[i].type));
	assert_int_equal(json_object_size(at(r, "methods")), api_nmethods);
	json_decref(r);
	r = tc_call(t, "server.schema", "{\"type\":\"message.send\"}");
	assert_int_equal(json_object_size(at(r, "methods")), 1);
	json_decref(r);
	tc_refused(t, "server.schema", "{\"type\":\"no.such\"}", -1, "not_found", "type");
	tc_free(t);
}

static void
service_methods(void **state)
{
	struct tc *t = tc_new();
	json_t *r;

	fake.service.sandbox_report =
	    strdup("keyd.uid=7\nkeyd.fd=3 control\nkeyd.fd=4 log\napid.uid=9\nx\n");
	r = tc_call(t, "server.sandbox", NULL);
	assert_string_equal(STR_AT(r, "processes.keyd.uid"), "7");
	assert_int_equal(json_array_size(at(r, "processes.keyd.fd")), 2);
	assert_string_equal(STR_AT(r, "processes.apid.uid"), "9");
	json_decref(r);
	free(fake.service.sandbox_report);

	r = tc_call(t, "server.health", NULL);
	assert_string_equal(STR_AT(r, "status"), "degraded"); /* the engine's check */
	json_decref(r);
	fake.health = "failing";
	r = tc_call(t, "server.health", NULL);
	assert_string_equal(STR_AT(r, "status"), "failing");
	assert_int_equal(json_array_size(at(r, "warnings")), 0);
	json_decref(r);

	r = tc_call(t, "server.metrics", NULL);
	assert_non_null(strstr(STR_AT(r, "text"), "\nward_messages_received_total 7\n"));
	assert_non_null(strstr(STR_AT(r, "text"), "# TYPE ward_messages_received counter\n"));
	assert_non_null(strstr(STR_AT(r, "text"), "\nward_outbox_depth 3\n"));
	assert_non_null(strstr(STR_AT(r, "text"), "\nward_store_fsyncs_total 42\n"));
	assert_non_null(
	    strstr(STR_AT(r, "text"), "ward_rpc_total{method=\"server.health\",code=\"0\"} 2\n"));
	assert_non_null(
	    strstr(STR_AT(r, "text"), "ward_account_state{account=\"ops\",state=\"online\"} 1\n"));
	assert_string_equal(STR_AT(r, "text") + strlen(STR_AT(r, "text")) - 6, "# EOF\n");
	assert_int_equal(INT_AT(r, "counters.store_fsyncs"), 42);
	json_decref(r);

	r = tc_call(t, "server.flows", NULL);
	assert_int_equal(json_array_size(at(r, "flows")), 0);
	json_decref(r);
	r = tc_call(t, "account.pause", NULL);
	assert_string_equal(STR_AT(r, "state"), "stopped");
	assert_null(at(r, "jid"));
	json_decref(r);
	tc_free(t);
}

/* Roles come from the config; uid 0 is this test's when it runs as root, else its own uid. */
static void
roles(void **state)
{
	static const struct {
		const char *method, *params;
		int send_only, read_only;
	} rows[] = {
	    {"server.hello", NULL, 0, 0},
	    {"account.list", NULL, -8, 0},
	    {"message.send", "{\"to\":\"+49\",\"text\":\"x\",\"idempotency_key\":\"k\"}", 0, -8},
	    {"events.subscribe", NULL, -8, 0},
	    {"events.fetch", "{\"consumer\":\"c\"}", -8, 0},
	    {"account.link", NULL, -8, -8},
	    {"account.unlink", NULL, -8, -8},
	};
	static const gid_t gids[] = {5, 60001};

	assert_int_equal(access_roles(60001, gids, 2), API_SEND);
	assert_int_equal(access_roles(60002, gids, 1), API_READ | API_OBSERVE);
	assert_int_equal(access_roles(60003, gids, 1), 0);
	assert_int_equal(access_roles(60002, gids, 2), API_SEND | API_READ | API_OBSERVE);
	assert_int_equal(access_roles(0, gids, 1), API_ANY);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned role = api_method_find(rows[i].method)->role;

		assert_int_equal(
		    (role & access_roles(60003, gids + 1, 1)) == 0, rows[i].send_only != 0);
		assert_int_equal(
		    (role & access_roles(60002, gids, 1)) == 0, rows[i].read_only != 0);
	}
}

/* A process of another uid asks; its exit status says what it saw. */
static int
as_uid(uid_t uid, int (*run)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (setgroups(0, NULL) == -1 || setresgid(uid, uid, uid) == -1 ||
		    setresuid(uid, uid, uid) == -1)
			_exit(99);
		_exit(run());
	}
	while (waitpid(pid, &status, WNOHANG) == 0)
		fake_turn();
	return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

static int
ask_blocking(int fd, const char *line, char *out, size_t size)
{
	size_t len = 0;

	fcntl(fd, F_SETFL, 0);
	/* one that is refused at once finds it closed, with the answer in it */
	if (send(fd, line, strlen(line), MSG_NOSIGNAL) == -1 && errno != EPIPE)
		return -1;
	while (len + 1 < size && (len == 0 || out[len - 1] != '\n')) {
		ssize_t n = recv(fd, out + len, size - 1 - len, 0);

		if (n <= 0)
			return -1;
		len += (size_t)n;
	}
	out[len] = '\0';
	return 0;
}

static int
child_denied(void)
{
	char out[4096];
	int fd = tc_connect_fd();

	if (ask_blocking(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"account.list\"}\n", out,
		sizeof(out)) == -1)
		return 1;
	return strstr(out, "\"code\":-8") != NULL && strstr(out, "\"role_denied\"") != NULL ? 0 : 2;
}

static int
child_send_only(void)
{
	char out[8192];
	int fd = tc_connect_fd();

	if (ask_blocking(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server.hello\"}\n", out,
		sizeof(out)) == -1)
		return 1;
	if (strstr(out, "\"message.send\"") == NULL || strstr(out, "\"events.fetch\"") != NULL)
		return 2;
	if (ask_blocking(fd,
		"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"events.fetch\",\"params\":{"
		"\"consumer\":"
		"\"c\"}}\n",
		out, sizeof(out)) == -1)
		return 3;
	return strstr(out, "\"code\":-8") != NULL ? 0 : 4;
}

static int
child_many(void)
{
	char out[512];
	int i;

	for (i = 0; i < 16; i++)
		(void)tc_connect_fd();
	if (ask_blocking(tc_connect_fd(), "{}\n", out, sizeof(out)) == -1)
		return 1;
	return strstr(out, "\"code\":-5") != NULL && strstr(out, "overloaded") != NULL ? 0 : 2;
}

static void
other_users(void **state)
{
	struct tc *t;

	if (geteuid() != 0)
		skip();
	assert_int_equal(as_uid(60003, child_denied), 0);
	assert_int_equal(as_uid(60001, child_send_only), 0);
	assert_int_equal(as_uid(60004, child_many), 0);
	t = tc_new(); /* and the others come in as before */
	json_decref(tc_call(t, "server.version", NULL));
	tc_free(t);
}

static int
with_roles(void **state)
{
	fake_start("[roles]\nuid:60001 = send\nuid:60002 = read\ngid:60001 = send\n", 1);
	return 0;
}

/* ------------------------------------------------------------------ malformed lines */

/* with the request and its params 48 deep, which is the limit */
#define OPEN23   "[[[[[[[[[[[[[[[[[[[[[[["
#define CLOSE23  "]]]]]]]]]]]]]]]]]]]]]]]"
#define OPEN46   OPEN23 OPEN23
#define CLOSE46  CLOSE23 CLOSE23
#define RQ(rest) "{\"jsonrpc\":\"2.0\",\"id\":1" rest "}"
static const struct {
	const char *line;
	size_t len; /* 0 = strlen */
	int code;
	const char *reason, *path;
	int null_id;
} bad_lines[] = {
    {"{", 0, -32700, "parse", NULL, 1},
    {"hello", 0, -32700, "parse", NULL, 1},
    {"{\"jsonrpc\":\"2.0\",}", 0, -32700, "parse", NULL, 1},
    {"{} {}", 0, -32700, "parse", NULL, 1},
    {RQ(",\"method\":\"server.version\",\"params\":{\"a\":99999999999999999999}"), 0, -32700,
	"parse", NULL, 1},
    {"[]", 0, -32600, "request", NULL, 1},
    {"[" RQ(",\"method\":\"server.version\"") "]", 0, -32600, "request", NULL, 1},
    {"\"x\"", 0, -32600, "request", NULL, 1},
    {"null", 0, -32600, "request", NULL, 1},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"server.version\"}", 0, -32602, "params",
	"id", 1},
    {RQ(",\"method\":\"message.send\",\"params\":{\"to\":\"a\",\"to\":\"b\"}"), 0, -32602, "params",
	"to", 1},
    {RQ(",\"method\":\"server.schema\",\"params\":{\"type\":\"\xff\"}"), 0, -32602, "params", NULL,
	1},
    {RQ(",\"method\":\"server.schema\",\"params\":{\"type\":\"\xed\xa0\x80\"}"), 0, -32602,
	"params", NULL, 1},
    {RQ(",\"method\":\"server.schema\",\"params\":{\"type\":\"a\\u0000b\"}"), 0, -32602, "params",
	NULL, 1},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\0b\"}", 40, -32602, "params", NULL, 1},
    {RQ(",\"method\":\"server.version\",\"params\":{\"a\":" OPEN46 "[]" CLOSE46 "}"), 0, -32602,
	"params", NULL, 1},
    {RQ(",\"method\":\"server.version\",\"params\":{\"a\":" OPEN46 CLOSE46 "}"), 0, -32602,
	"params", "a", 0}, /* depth 48 is fine, the parameter is not */
    {"{\"jsonrpc\":\"2.0\",\"method\":\"message.send\"}", 0, -32600, "request", "id", 1},
    {"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"server.version\"}", 0, -32600, "request", "id",
	1},
    {"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"server.version\"}", 0, -32600, "request", "id",
	1},
    {"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"server.version\"}", 0, -32600, "request", "id",
	1},
    {"{\"jsonrpc\":\"2.0\",\"id\":9007199254740993,\"method\":\"server.version\"}", 0, -32600,
	"request", "id", 1},
    {"{\"jsonrpc\":\"2.0\",\"id\":"
     "\"12345678901234567890123456789012345678901234567890123456789012345"
     "\",\"method\":\"server.version\"}",
	0, -32600, "request", "id", 1},
    {"{\"id\":1,\"method\":\"server.version\"}", 0, -32600, "request", "jsonrpc", 0},
    {"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"server.version\"}", 0, -32600, "request",
	"jsonrpc", 0},
    {"{\"jsonrpc\":\"2.0\",\"id\":1}", 0, -32600, "request", "method", 0},
    {RQ(",\"method\":7"), 0, -32600, "request", "method", 0},
    {RQ(",\"method\":\"server.version\",\"params\":[]"), 0, -32600, "request", "params", 0},
    {RQ(",\"method\":\"server.version\",\"extra\":1"), 0, -32600, "request", NULL, 0},
    {RQ(",\"method\":\"no.such\""), 0, -32601, "method", NULL, 0},
    {RQ(",\"method\":\"server.version\",\"params\":{\"x\":1}"), 0, -32602, "params", "x", 0},
    {RQ(",\"method\":\"server.schema\",\"params\":{\"type\":1}"), 0, -32602, "params", "type", 0},
    {RQ(",\"method\":\"server.schema\",\"params\":{\"type\":\"\"}"), 0, -32602, "params", "type",
	0},
    {RQ(",\"method\":\"message.send\",\"params\":{\"to\":\"+49\",\"text\":\"x\"}"), 0, -32602,
	"params", "idempotency_key", 0},
    {RQ(",\"method\":\"message.send\",\"params\":{\"to\":\"+49\",\"text\":\"x\",\"idempotency_"
	"key\":"
	"\"a b\"}"),
	0, -32602, "params", "idempotency_key", 0},
    {RQ(",\"method\":\"message.send\",\"params\":{\"to\":\"+49\",\"text\":\"x\",\"idempotency_"
	"key\":"
	"\"k\",\"wait\":\"for\"}"),
	0, -32602, "params", "wait", 0},
    {RQ(",\"method\":\"message.send\",\"params\":{\"to\":\"+49\",\"text\":\"x\",\"idempotency_"
	"key\":"
	"\"k\",\"timeout_ms\":-1}"),
	0, -32602, "params", "timeout_ms", 0},
    {RQ(",\"method\":\"message.send\",\"params\":{\"to\":\"+49\",\"text\":\"x\",\"idempotency_"
	"key\":"
	"\"k\",\"not_after_ms\":0}"),
	0, -32602, "params", "not_after_ms", 0},
    {RQ(",\"method\":\"message.send\",\"params\":{\"account\":\"nope\",\"to\":\"+49\",\"text\":"
	"\"x\","
	"\"idempotency_key\":\"k\"}"),
	0, -1, "not_found", "account", 0},
    {RQ(",\"method\":\"events.subscribe\",\"params\":{\"filter\":{\"kinds\":[\"a\"]}}"), 0, -32602,
	"params", "filter.kinds", 0},
    {RQ(",\"method\":\"events.subscribe\",\"params\":{\"filter\":{\"types\":[\"a\",3]}}"), 0,
	-32602, "params", "filter.types[1]", 0},
    {RQ(",\"method\":\"events.subscribe\",\"params\":{\"window\":0}"), 0, -32602, "params",
	"window", 0},
    {RQ(",\"method\":\"events.subscribe\",\"params\":{\"consumer\":\"a/b\"}"), 0, -32602, "params",
	"consumer", 0},
    {RQ(",\"method\":\"events.subscribe\",\"params\":{\"from\":\"resume\"}"), 0, -32602, "params",
	"from", 0},
    {RQ(",\"method\":\"account.link\",\"params\":{\"method\":\"code\"}"), 0, -32602, "params",
	"phone", 0},
    {RQ(",\"method\":\"account.link\",\"params\":{\"method\":\"qr\",\"phone\":\"+4912345\"}"), 0,
	-32602, "params", "phone", 0},
};

static void
malformed(void **state)
{
	struct tc *t = tc_new();

	for (size_t i = 0; i < sizeof(bad_lines) / sizeof(bad_lines[0]); i++) {
		json_t *v;

		print_message("line %zu\n", i);
		tc_write(t, bad_lines[i].line,
		    bad_lines[i].len > 0 ? bad_lines[i].len : strlen(bad_lines[i].line));
		tc_write(t, "\n", 1);
		v = tc_answer(t);
		check_error(v, bad_lines[i].code, bad_lines[i].reason, bad_lines[i].path);
		assert_int_equal(json_is_null(json_object_get(v, "id")), bad_lines[i].null_id);
		json_decref(v);
	}
	assert_int_equal(fake.ncalls, 0); /* none of them reached the engine */
	tc_send(t, "");                   /* an empty line and a CR are no offence */
	tc_send(t, "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"server.version\"}\r");
	json_decref(tc_answer(t));
	tc_quiet(t, 2);
	tc_free(t);
}

/* Over the bound: one error, then the end, even for a client that writes on. */
static void
ten_mebibytes(void **state)
{
	size_t size = 10u << 20;
	char *big = malloc(size);
	struct tc *t = tc_new(), *other = tc_new();
	json_t *v;

	memset(big, 'x', size);
	tc_write(t, big, size);
	v = tc_answer(t);
	check_error(v, -32600, "request", NULL);
	json_decref(v);
	assert_null(tc_line(t)); /* end of file */
	json_decref(tc_call(other, "server.version", NULL));
	tc_free(t);
	tc_free(other);
	free(big);
}

/* The longest line that is allowed, in small pieces. */
static void
longest_line(void **state)
{
	size_t size = 1u << 20;
	char *line = malloc(size);
	struct tc *t = tc_new();
	int n =
	    snprintf(line, size, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"server.version\"}");
	json_t *v;

	memset(line + n, ' ', size - (size_t)n);
	line[size - 1] = '\n';
	for (size_t off = 0; off < size; off += 10007)
		tc_write(t, line + off, size - off < 10007 ? size - off : 10007);
	v = tc_answer(t);
	assert_int_equal(INT_AT(v, "id"), 5);
	assert_non_null(at(v, "result"));
	json_decref(v);
	tc_free(t);
	free(line);
}

static int
short_times(void **state)
{
	fake_start("[api]\nline_timeout = 150ms\nstall_timeout = 200ms\nmax_unread = 64K\nmax_line "
		   "= 64K\n",
	    1);
	return 0;
}

static void
line_times_out(void **state)
{
	struct tc *t = tc_new(), *idle = tc_new();
	int64_t began = clock_mono_ms();
	json_t *v;

	tc_write(t, "{\"jsonrpc\"", 10);
	v = tc_answer(t);
	check_error(v, -32600, "request", NULL);
	json_decref(v);
	assert_null(tc_line(t));
	assert_true(clock_mono_ms() - began >= 100);
	json_decref(
	    tc_call(idle, "server.version", NULL)); /* silence between lines is no offence */
	tc_free(t);
	tc_free(idle);
}

/* It asks and asks and never reads: it is closed, and the other goes on. */
static void
never_reads(void **state)
{
	struct tc *t = tc_new(), *other = tc_new();
	char line[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server.schema\"}\n";
	int64_t until = clock_mono_ms() + FAKE_WAIT_MS;
	unsigned served = 0;

	for (;;) {
		ssize_t n = send(t->fd, line, sizeof(line) - 1, MSG_NOSIGNAL);

		if (n == -1 && errno != EAGAIN)
			break; /* hung up */
		assert_true(clock_mono_ms() < until);
		if (n == -1) {
			json_decref(tc_call(other, "server.version", NULL));
			served++;
		}
	}
	assert_true(served > 0);
	json_decref(tc_call(other, "server.version", NULL));
	tc_free(t);
	tc_free(other);
}

/* ------------------------------------------------------------------ requests in flight */

static void
in_flight(void **state)
{
	struct tc *t = tc_new();
	char line[256];
	json_t *v;

	fake.engine_hold = 1;
	for (int i = 1; i <= 70; i++) {
		snprintf(line, sizeof(line),
		    "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"account.reconnect\"}", i);
		tc_send(t, line);
	}
	while (fake.ncalls < 64)
		fake_turn();
	tc_quiet(t, 3);
	assert_int_equal(fake.ncalls, 64); /* the rest is not even read */
	fake_answer(&fake.calls[9], json_object(), NULL);
	v = tc_answer(t);
	assert_int_equal(INT_AT(v, "id"), 10); /* answers come as they are ready */
	json_decref(v);
	while (fake.ncalls < 65)
		fake_turn();
	fake_answer(&fake.calls[0], NULL,
	    &(struct api_error){.code = -5,
		.reason = "paced",
		.message = "wait",
		.retryable = 1,
		.retry_after_ms = 1500,
		.until_ms = -1});
	v = tc_answer(t);
	check_error(v, -5, "paced", NULL);
	assert_int_equal(INT_AT(v, "error.data.retry_after_ms"), 1500);
	assert_null(at(v, "error.data.until_ms"));
	json_decref(v);
	tc_free(t);
	while (rpc_connections(fake.service.rpc) > 0)
		fake_turn();
	/* what was in flight when it left is forgotten */
	assert_int_equal(fake.cancelled, fake.ncalls - 2);
}

static void
ids(void **state)
{
	struct tc *t = tc_new();
	json_t *v;

	fake.engine_hold = 1;
	tc_send(t, "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"account.reconnect\"}");
	tc_send(t, "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"server.version\"}");
	v = tc_answer(t);
	check_error(v, -32600, "request", "id");
	assert_string_equal(STR_AT(v, "id"), "a");
	json_decref(v);
	/* cancel: that one answers with an error, the cancelling one with true, then false */
	tc_send(t, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"request.cancel\",\"params\":{\"id\":"
		   "\"a\"}}");
	v = tc_answer(t);
	check_error(v, -32600, "cancelled", NULL);
	assert_string_equal(STR_AT(v, "id"), "a");
	json_decref(v);
	v = tc_answer(t);
	assert_true(json_is_true(at(v, "result.ok")));
	json_decref(v);
	assert_int_equal(fake.cancelled, 1);
	v = tc_call(t, "request.cancel", "{\"id\":\"a\"}");
	assert_true(json_is_false(at(v, "ok")));
	json_decref(v);
	tc_free(t);
}

/* It writes its request and closes its side: the answer still comes, then the end. */
static void
half_closed(void **state)
{
	struct tc *t = tc_new();
	json_t *v;

	fake.engine_hold = 1;
	tc_send(t, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"account.reconnect\"}");
	shutdown(t->fd, SHUT_WR);
	while (fake.ncalls < 1)
		fake_turn();
	fake_turn();
	assert_int_equal(fake.cancelled, 0);
	fake_answer(&fake.calls[0], json_object(), NULL);
	v = tc_answer(t);
	assert_non_null(at(v, "result"));
	json_decref(v);
	assert_null(tc_line(t));
	tc_free(t);
}

/* ------------------------------------------------------------------ bounds of connections */

static void
too_many(void **state)
{
	struct tc *t[136];
	char *line;
	unsigned many = geteuid() == 0 ? 136 : 128; /* root has a reserve of 8 */

	for (unsigned i = 0; i < many; i++)
		t[i] = tc_new();
	while (rpc_connections(fake.service.rpc) < many)
		fake_turn();
	{
		struct tc *extra = tc_new();

		line = tc_line(extra);
		assert_non_null(line);
		assert_non_null(strstr(line, "\"code\":-5"));
		free(line);
		assert_null(tc_line(extra));
		tc_free(extra);
	}
	json_decref(tc_call(t[0], "server.version", NULL));
	tc_free(t[1]);
	while (rpc_connections(fake.service.rpc) >= many)
		fake_turn();
	t[1] = tc_new(); /* there is room again */
	json_decref(tc_call(t[1], "server.version", NULL));
	for (unsigned i = 0; i < many; i++)
		tc_free(t[i]);
}

static int
many_per_uid(void **state)
{
	fake_start("[api]\nmax_per_uid = 512\n", 1);
	return 0;
}

/* ------------------------------------------------------------------ sending */

static void
sending(void **state)
{
	struct tc *t = tc_new();
	uint8_t first[32];

	json_decref(tc_call(t, "message.send",
	    "{\"account\":\"ops\",\"to\":\"+4915\",\"text\":\"h\xc3\xa9\\n\",\"idempotency_key\":"
	    "\"k:1\"}"));
	assert_string_equal(fake.calls[0].text, "h\xc3\xa9\n");
	assert_string_equal(fake.calls[0].to, "+4915");
	assert_string_equal(fake.calls[0].key, "k:1");
	assert_int_equal(fake.calls[0].wait, SEND_WAIT_SERVER);
	assert_int_equal(fake.calls[0].timeout_ms, 60000);
	assert_int_equal(fake.calls[0].uid, geteuid());
	memcpy(first, fake.calls[0].hash, 32);
	/* another order, an account left out, wait and timeout: the same request */
	json_decref(tc_call(t, "message.send",
	    "{\"idempotency_key\":\"k:1\",\"wait\":\"delivered\",\"timeout_ms\":5,\"text\":"
	    "\"h\xc3\xa9\\n\","
	    "\"to\":\"+4915\"}"));
	assert_int_equal(fake.calls[1].wait, SEND_WAIT_DELIVERED);
	assert_int_equal(fake.calls[1].timeout_ms, 5);
	assert_memory_equal(fake.calls[1].hash, first, 32);
	/* another text: another */
	json_decref(tc_call(
	    t, "message.send", "{\"to\":\"+4915\",\"text\":\"H\",\"idempotency_key\":\"k:1\"}"));
	assert_memory_not_equal(fake.calls[2].hash, first, 32);
	json_decref(
	    tc_call(t, "chat.mark_read", "{\"chat\":\"u_x\",\"message_ids\":[\"A\",\"B\"]}"));
	assert_string_equal(fake.calls[3].text, "2:B");
	json_decref(tc_call(t, "message.state", "{\"idempotency_key\":\"k:1\"}"));
	assert_string_equal(fake.calls[4].key, "k:1");
	json_decref(tc_call(t, "chat.mark_played",
	    "{\"chat\":\"u_x\",\"message_ids\":[\"A\"],\"receipts\":\"never\"}"));
	assert_string_equal(fake.calls[5].what, "mark_played");
	assert_string_equal(fake.calls[5].text, "1:A never");
	json_decref(tc_call(t, "chat.typing", "{\"chat\":\"u_x\",\"state\":\"recording\"}"));
	assert_string_equal(fake.calls[6].text, "recording");
	assert_int_equal(fake.calls[6].timeout_ms, 15000);
	json_decref(tc_call(t, "presence.set", "{\"state\":\"available\",\"ttl_ms\":2000}"));
	assert_string_equal(fake.calls[7].what, "available");
	assert_int_equal(fake.calls[7].timeout_ms, 2000);
	tc_refused(t, "presence.set", "{\"state\":\"available\",\"ttl_ms\":300001}", -32602,
	    "params", "ttl_ms");
	tc_refused(t, "presence.set", "{\"state\":\"away\"}", -32602, "params", "state");
	json_decref(tc_call(t, "call.reject", "{\"call_id\":\"C1\",\"from\":\"+4915\"}"));
	assert_string_equal(fake.calls[8].text, "+4915");
	tc_free(t);
}

static void
two_accounts(void **state)
{
	struct tc *t = tc_new();
	json_t *r;

	tc_refused(t, "account.state", NULL, -32602, "params", "account");
	r = tc_call(t, "account.state", "{\"account\":\"lab\"}");
	assert_string_equal(STR_AT(r, "account"), "lab");
	json_decref(r);
	r = tc_call(t, "account.list", NULL);
	assert_int_equal(json_array_size(at(r, "accounts")), 2);
	json_decref(r);
	tc_free(t);
}

static int
for_tests(void **state)
{
	fake_start("[service]\ndeveloper_unconfined = yes\n[test]\nnoise_root_key = "
		   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n",
	    1);
	return 0;
}

/* Nobody can overlook that it is set up for tests. */
static void
health_warns(void **state)
{
	struct tc *t = tc_new();
	json_t *r = tc_call(t, "server.health", NULL);

	assert_true(has_word(at(r, "warnings"), "unconfined"));
	assert_true(has_word(at(r, "warnings"), "test_noise_root_key"));
	json_decref(r);
	tc_free(t);
}

static int
two(void **state)
{
	fake_start("", 2);
	return 0;
}

/* Too much is under way for clients who have gone: accounts are asked nothing more, the service is.
 */
static void
full(void **state)
{
	struct tc *t = tc_new();

	fake.full = 1;
	tc_refused(t, "chat.typing", "{\"chat\":\"1@lid\",\"state\":\"composing\"}", -5,
	    "overloaded", NULL);
	assert_int_equal(fake.ncalls, 0);
	json_decref(tc_call(t, "account.list", NULL));
	fake.full = 0;
	json_decref(tc_call(t, "chat.typing", "{\"chat\":\"1@lid\",\"state\":\"composing\"}"));
	tc_free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(hello, one, end),
	    cmocka_unit_test_setup_teardown(schema_lists_all, one, end),
	    cmocka_unit_test_setup_teardown(service_methods, one, end),
	    cmocka_unit_test_setup_teardown(roles, with_roles, end),
	    cmocka_unit_test_setup_teardown(other_users, with_roles, end),
	    cmocka_unit_test_setup_teardown(malformed, one, end),
	    cmocka_unit_test_setup_teardown(ten_mebibytes, one, end),
	    cmocka_unit_test_setup_teardown(longest_line, one, end),
	    cmocka_unit_test_setup_teardown(line_times_out, short_times, end),
	    cmocka_unit_test_setup_teardown(never_reads, short_times, end),
	    cmocka_unit_test_setup_teardown(in_flight, one, end),
	    cmocka_unit_test_setup_teardown(full, one, end),
	    cmocka_unit_test_setup_teardown(ids, one, end),
	    cmocka_unit_test_setup_teardown(half_closed, one, end),
	    cmocka_unit_test_setup_teardown(too_many, many_per_uid, end),
	    cmocka_unit_test_setup_teardown(sending, one, end),
	    cmocka_unit_test_setup_teardown(two_accounts, two, end),
	    cmocka_unit_test_setup_teardown(health_warns, for_tests, end),
	};

	alarm(120 * test_slow()); /* a hang is a failure, not a wait */
	log_set_level(LOG_LV_ERR);
	return cmocka_run_group_tests_name("apid rpc: lines", tests, NULL, NULL);
}
