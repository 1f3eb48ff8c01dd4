/* Descriptors from clients, well-behaved and hostile; and the long tasks of the store: begun, told
 * of, cancelled, failed. */
#include "tests/unit/apid_rpc_fake.h"

static int
one(void **state)
{
	fake_start("[roles]\nuid:60001 = send, read, observe\n", 1);
	return 0;
}

static int
end(void **state)
{
	if (fake.task_fd != -1)
		close(fake.task_fd);
	fake_stop();
	return 0;
}

/* ------------------------------------------------------------------ helpers */

/* One sendmsg with n copies of fd. */
static void
send_fds(struct tc *t, const char *text, int fd, size_t n)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(64 * sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {.iov_base = (char *)(uintptr_t)text, .iov_len = strlen(text)};
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *cm = CMSG_FIRSTHDR(&msg);

	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (size_t i = 0; i < n; i++)
		memcpy(CMSG_DATA(cm) + i * sizeof(int), &fd, sizeof(fd));
	assert_int_equal(sendmsg(t->fd, &msg, MSG_NOSIGNAL), strlen(text));
}

static struct tc *
tc_with_fds(void)
{
	struct tc *t = tc_new();

	json_decref(tc_call(t, "server.hello", "{\"features\":[\"fd\"]}"));
	return t;
}

#define BACKUP(id, params)                                                                         \
	"{\"jsonrpc\":\"2.0\",\"id\":" #id ",\"method\":\"store.backup\",\"params\":" params "}\n"

/* Run the loop until stored was asked for its n-th task. */
static void
wait_task(uint64_t n)
{
	int64_t until = clock_mono_ms() + FAKE_WAIT_MS;

	while (fake.task < n) {
		assert_true(clock_mono_ms() < until);
		fake_turn();
	}
}

static void
wait_cancelled(uint64_t n)
{
	int64_t until = clock_mono_ms() + FAKE_WAIT_MS;

	while (fake.cancelled_task != n) {
		assert_true(clock_mono_ms() < until);
		fake_turn();
	}
}

/* A pipe of which only `in` is left here when all copies of its other end are closed. */
static void
make_pipe(int p[2])
{
	assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
}

/* Nobody holds the writing end any more. */
static void
wait_closed(int in)
{
	int64_t until = clock_mono_ms() + FAKE_WAIT_MS;
	char c;

	while (read(in, &c, 1) != 0) {
		assert_true(clock_mono_ms() < until);
		fake_turn();
	}
	close(in);
}

/* The connection ends after these errors: with_id 0 = only the last one, which has no id. */
static void
expect_end(struct tc *t, int with_id)
{
	json_t *v;

	if (with_id != 0) {
		v = tc_answer(t);
		assert_int_equal(json_integer_value(json_object_get(v, "id")), with_id);
		assert_non_null(json_object_get(v, "error"));
		json_decref(v);
	}
	v = tc_answer(t);
	assert_true(json_is_null(json_object_get(v, "id")));
	check_error(v, -32600, "request", NULL);
	json_decref(v);
	assert_null(tc_line(t));
}

/* ------------------------------------------------------------------ descriptors */

static void
a_backup(void **state)
{
	struct tc *t = tc_with_fds();
	int p[2];
	json_t *v;

	make_pipe(p);
	send_fds(t, BACKUP(7, "{\"fd\":0,\"progress_token\":\"x\"}"), p[1], 1);
	close(p[1]);
	wait_task(1);
	assert_int_equal(fake.task_type, STORED__TYPE__BACKUP);
	assert_int_equal(write(fake.task_fd, "tar", 3), 3);
	fake_task_state(1, 40, 0, NULL, NULL);
	v = tc_json(t);
	assert_string_equal(STR_AT(v, "method"), "progress");
	assert_string_equal(STR_AT(v, "params.token"), "x");
	assert_int_equal(INT_AT(v, "params.done"), 40);
	assert_int_equal(INT_AT(v, "params.total"), 100);
	assert_string_equal(STR_AT(v, "params.unit"), "bytes");
	json_decref(v);
	close(fake.task_fd);
	fake.task_fd = -1;
	fake_task_state(1, 100, 1, NULL, NULL);
	v = tc_answer(t);
	assert_int_equal(INT_AT(v, "id"), 7);
	assert_int_equal(INT_AT(v, "result.bytes"), 100);
	json_decref(v);
	assert_int_equal(fake.cancelled_task, 0);
	wait_closed(p[0]); /* no copy is left in apid */
	tc_free(t);
}

/* The descriptors belong to the request in whose sendmsg they came: not to one that is in the
 * buffer before it, and to a long one although it comes in pieces. */
static void
the_right_request(void **state)
{
	struct tc *t = tc_with_fds();
	char *big = malloc(400000), *at_end = big;
	int p[2], q[2];
	json_t *v;
	char c;

	make_pipe(p);
	make_pipe(q);
	at_end += sprintf(at_end, "{\"jsonrpc\":\"2.0\",\"id\":8,");
	memset(at_end, ' ', 300000);
	snprintf(at_end + 300000, 1000, "\"method\":\"store.backup\",\"params\":{\"fd\":1}}\n");
	tc_send(t, "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"server.version\"}");
	tc_send(
	    t, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"store.backup\",\"params\":{\"fd\":0}}");
	/* the first piece of the long one goes with its descriptors, behind the others */
	big[100000] = '\0';
	send_fds(t, big, p[1], 2);
	close(p[1]);
	big[100000] = ' ';
	v = tc_answer(t);
	assert_int_equal(INT_AT(v, "id"), 6);
	json_decref(v);
	v = tc_answer(t);
	assert_int_equal(INT_AT(v, "id"), 7);
	check_error(v, -32602, "params", "fd");
	json_decref(v);
	tc_write(t, big + 100000, strlen(big + 100000));
	/* one of its two is taken, so the other one ends the connection, and with it the task */
	wait_task(1);
	assert_int_equal(write(fake.task_fd, "x", 1), 1);
	assert_int_equal(read(p[0], &c, 1), 1);
	v = tc_answer(t);
	assert_true(json_is_null(json_object_get(v, "id")));
	json_decref(v);
	wait_cancelled(1);
	close(fake.task_fd);
	fake.task_fd = -1;
	wait_closed(p[0]);
	close(q[0]);
	close(q[1]);
	free(big);
	tc_free(t);
}

static void
hostile(void **state)
{
	static const struct {
		const char *what, *text;
		size_t n;
		int hello, with_id;
	} rows[] = {
	    {"no request", "\n", 1, 1, 0},
	    {"not JSON", "nonsense\n", 1, 1, -1},
	    {"a method that takes none",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server.version\"}\n", 1, 1, -2},
	    {"two requests, the first takes it", BACKUP(1, "{\"fd\":0}") "\n", 1, 1, 1},
	    {"another number", BACKUP(1, "{\"fd\":1}"), 1, 1, 1},
	    {"no number", BACKUP(1, "{}"), 1, 1, 1},
	    {"no such number", BACKUP(1, "{\"fd\":8}"), 1, 1, 1},
	    {"not a number", BACKUP(1, "{\"fd\":\"0\"}"), 1, 1, 1},
	    {"negative", BACKUP(1, "{\"fd\":-1}"), 1, 1, 1},
	    {"nine", BACKUP(1, "{\"fd\":0}"), 9, 1, 0},
	    {"sixty-four", BACKUP(1, "{\"fd\":0}"), 64, 1, 0},
	    {"without the feature", BACKUP(1, "{\"fd\":0}"), 1, 0, 0},
	    {"nine without the feature", BACKUP(1, "{\"fd\":0}"), 9, 0, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tc *t = rows[i].hello ? tc_with_fds() : tc_new(), *other = tc_new();
		json_t *v;
		int p[2];

		make_pipe(p);
		send_fds(t, rows[i].text, p[1], rows[i].n);
		close(p[1]);
		if (rows[i].with_id < 0) { /* its answer, whatever it is */
			v = tc_answer(t);
			assert_true(
			    json_is_null(json_object_get(v, "id")) == (rows[i].with_id == -1));
			json_decref(v);
		}
		expect_end(t, rows[i].with_id > 0 ? rows[i].with_id : 0);
		wait_closed(p[0]);
		if (fake.task != 0)
			fail_msg("%s: stored was asked", rows[i].what);
		json_decref(tc_call(other, "server.version", NULL)); /* nobody else suffers */
		tc_free(t);
		tc_free(other);
	}
}

/* It sends half a request with descriptors and leaves, or stops writing, or never ends the line. */
static void
leaves(void **state)
{
	int p[2];
	struct tc *t = tc_with_fds();

	make_pipe(p);
	send_fds(t, "{\"jsonrpc\":", p[1], 8);
	close(p[1]);
	tc_free(t);
	wait_closed(p[0]);

	make_pipe(p);
	t = tc_with_fds();
	send_fds(t, "{\"jsonrpc\":", p[1], 8);
	close(p[1]);
	assert_int_equal(shutdown(t->fd, SHUT_WR), 0);
	wait_closed(p[0]);
	assert_null(tc_line(t));
	tc_free(t);

	make_pipe(p); /* a whole request, and gone: the task is cancelled */
	t = tc_with_fds();
	send_fds(t, BACKUP(1, "{\"fd\":0}"), p[1], 1);
	close(p[1]);
	tc_free(t);
	wait_task(1);
	wait_cancelled(1);
	close(fake.task_fd);
	fake.task_fd = -1;
	wait_closed(p[0]);
}

/* A client cannot have more held than a few, and all clients together not either. */
static void
bounded(void **state)
{
	struct tc *t[5];
	int p[2];

	make_pipe(p);
	t[0] = tc_with_fds();
	send_fds(t[0], "a", p[1], 8);
	send_fds(t[0], "b", p[1], 8);
	tc_quiet(t[0], 3);
	send_fds(t[0], "c", p[1], 1);
	expect_end(t[0], 0);
	for (int i = 1; i < 4; i++) {
		t[i] = tc_with_fds();
		send_fds(t[i], "a", p[1], 8);
		tc_quiet(t[i], 3);
	}
	t[4] = tc_with_fds();
	send_fds(t[4], "a", p[1], 1);
	expect_end(t[4], 0);
	tc_free(t[4]);
	tc_write(t[1], "\n", 1); /* which is no request */
	{
		json_t *v = tc_answer(t[1]);

		json_decref(v);
		expect_end(t[1], 0);
	}
	t[4] = tc_with_fds(); /* there is room again */
	send_fds(t[4], "a", p[1], 8);
	tc_quiet(t[4], 3);
	for (int i = 0; i < 5; i++)
		tc_free(t[i]);
	close(p[1]);
	wait_closed(p[0]);
}

static void
read_only_descriptor(void **state)
{
	struct tc *t = tc_with_fds();
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), path = open("/", O_PATH | O_CLOEXEC);
	json_t *v;

	send_fds(t, BACKUP(1, "{\"fd\":0}"), fd, 1);
	v = tc_answer(t);
	check_error(v, -32602, "params", "fd");
	json_decref(v);
	send_fds(t, BACKUP(2, "{\"fd\":0}"), path, 1);
	v = tc_answer(t);
	check_error(v, -32602, "params", "fd");
	json_decref(v);
	close(fd);
	close(path);
	json_decref(tc_call(t, "server.version", NULL)); /* it was claimed, so the client stays */
	fake.service.store_ready = 0;
	fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	send_fds(t, BACKUP(3, "{\"fd\":0}"), fd, 1);
	v = tc_answer(t);
	check_error(v, -14, "store_locked", NULL);
	json_decref(v);
	close(fd);
	json_decref(tc_call(t, "server.version", NULL));
	fake.service.store_ready = 1;
	tc_free(t);
}

/* ------------------------------------------------------------------ tasks */

static void
check_and_snapshot(void **state)
{
	static const char *const bad_names[] = {"a/b", "..", "a..b", "a b", "", "\\u00e9"};
	struct tc *t = tc_new();
	char params[160];
	json_t *v;

	tc_request(t, "store.check", NULL);
	wait_task(1);
	assert_int_equal(fake.task_type, STORED__TYPE__CHECK);
	fake_task_state(1, 5, 0, NULL, NULL); /* no token: nothing is told */
	fake_task_state(1, 9, 1, NULL, "9 rows of 2 databases");
	v = tc_answer(t);
	assert_int_equal(INT_AT(v, "result.rows"), 9);
	assert_string_equal(STR_AT(v, "result.text"), "9 rows of 2 databases");
	json_decref(v);
	assert_int_equal(json_array_size(t->events), 0);

	tc_request(t, "store.snapshot", "{\"name\":\"before-1.2_x\",\"progress_token\":3}");
	wait_task(2);
	assert_int_equal(fake.task_type, STORED__TYPE__SNAPSHOT);
	assert_string_equal(fake.task_name, "before-1.2_x");
	fake_task_state(2, 1, 0, NULL, NULL);
	fake_task_state(2, 8, 1, NULL, NULL);
	v = tc_answer(t);
	assert_int_equal(INT_AT(v, "result.bytes"), 8);
	json_decref(v);
	assert_int_equal(INT_AT(json_array_get(t->events, 0), "token"), 3);
	for (size_t i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++) {
		snprintf(params, sizeof(params), "{\"name\":\"%s\"}", bad_names[i]);
		tc_refused(t, "store.snapshot", params, -32602, "params", "name");
	}
	tc_refused(t, "store.snapshot", NULL, -32602, "params", "name");
	assert_int_equal(fake.task, 2);
	tc_free(t);
}

/* Begin, or only look: the engine's part. */
static void
rekey(void **state)
{
	struct tc *t = tc_new();
	size_t n = fake.ncalls;

	json_decref(tc_call(t, "store.rekey", NULL));
	json_decref(tc_call(t, "store.rekey", "{\"look\":true}"));
	json_decref(tc_call(t, "store.rekey", "{\"look\":false}"));
	assert_int_equal(fake.ncalls, n + 3);
	assert_string_equal(fake.calls[n].what, "rekey");
	assert_string_equal(fake.calls[n + 1].what, "rekey look");
	assert_string_equal(fake.calls[n + 2].what, "rekey");
	tc_refused(t, "store.rekey", "{\"look\":1}", -32602, "params", "look");
	tc_free(t);
}

static void
how_tasks_fail(void **state)
{
	static const struct {
		const char *theirs;
		int code;
		const char *reason;
	} rows[] = {
	    {"busy", -9, "conflict"},
	    {"locked", -14, "store_locked"},
	    {"unsupported", -1, "unsupported"},
	    {"disk_full", -14, "disk_low"},
	    {"read_only", -14, "store_locked"},
	    {"io", -2, "internal"},
	    {"corrupt", -2, "store_corrupt"},
	    {"damaged", -2, "store_corrupt"},
	    {"reader_gone", -1, "refused"},
	    {"cancelled", -32600, "cancelled"},
	    {"stopping", -14, "store_locked"},
	    {"bad_request", -32602, "params"},
	    {"never_heard_of", -2, "internal"},
	};
	struct tc *t = tc_new();
	json_t *v;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fake.task_error = rows[i].theirs; /* at once */
		tc_refused(t, "store.check", NULL, rows[i].code, rows[i].reason, NULL);
		fake.task_error = NULL; /* at its end */
		tc_request(t, "store.check", NULL);
		wait_task(i + 1);
		fake_task_state(i + 1, 1, 1, rows[i].theirs, NULL);
		v = tc_answer(t);
		check_error(v, rows[i].code, rows[i].reason, NULL);
		json_decref(v);
	}
	tc_request(t, "store.check", NULL);
	wait_task(fake.task + 1);
	fake_task_state(fake.task, 1, 1, "damaged", "account-ops.db: table events, page 3");
	v = tc_answer(t);
	assert_non_null(strstr(STR_AT(v, "error.message"), "page 3"));
	json_decref(v);
	tc_free(t);
}

static void
cancelled(void **state)
{
	struct tc *t = tc_new();
	json_t *v;
	int id = tc_request(t, "store.check", NULL);
	char params[32];

	wait_task(1);
	snprintf(params, sizeof(params), "{\"id\":%d}", id);
	tc_request(t, "request.cancel", params);
	v = tc_answer(t);
	assert_int_equal(INT_AT(v, "id"), id);
	check_error(v, -32600, "cancelled", NULL);
	json_decref(v);
	v = tc_answer(t);
	assert_true(json_is_true(at(v, "result.ok")));
	json_decref(v);
	wait_cancelled(1);
	fake_task_state(1, 1, 1, "cancelled", NULL); /* which nobody waits for */
	tc_quiet(t, 3);

	/* before stored gave it a number */
	fake.task_hold = 1;
	tc_request(t, "store.check", NULL);
	wait_task(2);
	tc_free(t);
	t = tc_new();
	json_decref(tc_call(t, "server.version", NULL));
	assert_int_equal(fake.cancelled_task, 1);
	fake_tell_task();
	wait_cancelled(2);

	/* a task that nobody here knows is called off, but not while a number is awaited */
	tc_request(t, "store.check", NULL);
	wait_task(3);
	fake_task_state(70, 1, 0, NULL, NULL);
	json_decref(tc_call(t, "server.version", NULL));
	fake.task_hold = 0;
	fake_tell_task();
	fake_task_state(3, 1, 1, NULL, NULL);
	json_decref(tc_answer(t));
	assert_int_equal(fake.cancelled_task, 2);
	fake_task_state(71, 1, 0, NULL, NULL);
	wait_cancelled(71);
	tc_free(t);
}

/* stored takes one task at a time; a heap of them, with their descriptors, is not even passed on.
 */
static void
not_too_many(void **state)
{
	struct tc *t = tc_with_fds();
	json_t *v;
	int p[2];

	fake.task_hold = 1;
	for (int i = 0; i < 8; i++)
		tc_request(t, "store.check", NULL);
	wait_task(8);
	make_pipe(p);
	send_fds(t, BACKUP(100, "{\"fd\":0}"), p[1], 1);
	close(p[1]);
	v = tc_answer(t);
	assert_int_equal(INT_AT(v, "id"), 100);
	check_error(v, -9, "conflict", NULL);
	json_decref(v);
	wait_closed(p[0]);
	assert_int_equal(fake.task, 8);
	tc_free(t);
}

/* The service stops while a task runs, and while its number is awaited. */
static void
stops(void **state)
{
	struct tc *t = tc_new();

	tc_request(t, "store.check", NULL);
	wait_task(1);
	fake.task_hold = 1;
	tc_request(t, "store.check", NULL);
	wait_task(2);
	rpc_stop(&fake.service);
	fake_tell_task();
	fake_turn();
	fake_start_rpc();
	tc_free(t);
}

static void
stats(void **state)
{
	struct tc *t = tc_new();
	json_t *r = tc_call(t, "store.stats", NULL);

	assert_int_equal(INT_AT(r, "fsyncs"), 42);
	assert_int_equal(INT_AT(r, "log_bytes"), 4096);
	assert_string_equal(STR_AT(r, "backend"), "fake");
	assert_null(at(r, "tables"));
	json_decref(r);
	r = tc_call(t, "store.stats", "{\"tables\":true}");
	assert_int_equal(json_array_size(at(r, "tables")), 1);
	assert_int_equal(INT_AT(json_array_get(at(r, "tables"), 0), "rows"), 7);
	json_decref(r);
	fake.service.store_ready = 0;
	tc_refused(t, "store.stats", NULL, -14, "store_locked", NULL);
	tc_refused(t, "store.check", NULL, -14, "store_locked", NULL);
	fake.service.store_ready = 1;
	tc_free(t);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, one, end)
	const struct CMUnitTest tests[] = {
	    T(a_backup),
	    T(the_right_request),
	    T(hostile),
	    T(leaves),
	    T(bounded),
	    T(read_only_descriptor),
	    T(check_and_snapshot),
	    T(rekey),
	    T(how_tasks_fail),
	    T(cancelled),
	    T(not_too_many),
	    T(stops),
	    T(stats),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
