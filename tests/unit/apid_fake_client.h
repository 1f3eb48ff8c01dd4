/* Clients of the tests of apid/rpc: lines over a real Unix socket. */
#ifndef APID_FAKE_CLIENT_H
#define APID_FAKE_CLIENT_H

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/apid_fake.h"

struct tc {
	int fd;
	char *buf;
	size_t len, cap;
	int eof;
	json_t *events; /* notifications that came between answers */
	int next_id;
};

static int
tc_connect_fd(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t n = strlen(fake.socket_name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(sun.sun_path + 1, fake.socket_name, n);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)),
	    0);
	return fd;
}

static struct tc *
tc_new(void)
{
	struct tc *t = calloc(1, sizeof(*t));

	t->fd = tc_connect_fd();
	t->events = json_array();
	return t;
}

static void
tc_free(struct tc *t)
{
	if (t->fd != -1)
		close(t->fd);
	free(t->buf);
	json_decref(t->events);
	free(t);
}

/* Takes what is there; 1 if something came. */
static int
tc_recv(struct tc *t)
{
	ssize_t n;

	if (t->cap - t->len < 65536) {
		t->cap = t->len + (1 << 20);
		t->buf = realloc(t->buf, t->cap);
	}
	n = recv(t->fd, t->buf + t->len, t->cap - t->len, 0);
	if (n > 0) {
		t->len += (size_t)n;
		return 1;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		t->eof = 1;
	return 0;
}

static void
tc_write(struct tc *t, const void *data, size_t len)
{
	int64_t until = clock_mono_ms() + FAKE_WAIT_MS;

	for (size_t off = 0; off < len;) {
		ssize_t n = send(t->fd, (const char *)data + off, len - off, MSG_NOSIGNAL);

		if (n > 0) {
			off += (size_t)n;
			continue;
		}
		if (errno != EAGAIN) /* it hung up: the test sees that when it reads */
			return;
		assert_true(clock_mono_ms() < until);
		fake_turn();
	}
}

static void
tc_send(struct tc *t, const char *line)
{
	tc_write(t, line, strlen(line));
	tc_write(t, "\n", 1);
}

/* The next line, malloc'd; NULL at the end of the connection. */
static char *
tc_line(struct tc *t)
{
	int64_t until = clock_mono_ms() + FAKE_WAIT_MS;

	for (;;) {
		char *lf = t->len > 0 ? memchr(t->buf, '\n', t->len) : NULL;

		if (lf != NULL) {
			size_t n = (size_t)(lf - t->buf);
			char *line = strndup(t->buf, n);

			memmove(t->buf, lf + 1, t->len - n - 1);
			t->len -= n + 1;
			return line;
		}
		if (tc_recv(t))
			continue;
		if (t->eof)
			return NULL;
		if (clock_mono_ms() >= until)
			fail_msg("nothing came");
		fake_turn();
	}
}

static json_t *
tc_json(struct tc *t)
{
	char *line = tc_line(t);
	json_error_t e;
	json_t *v;

	if (line == NULL)
		return NULL;
	v = json_loads(line, JSON_REJECT_DUPLICATES, &e);
	if (v == NULL)
		fail_msg("not JSON: %.200s: %s", line, e.text);
	free(line);
	return v;
}

/* The next answer; events on the way are kept. */
static json_t *
tc_answer(struct tc *t)
{
	json_t *v;

	while ((v = tc_json(t)) != NULL) {
		if (json_object_get(v, "method") == NULL)
			return v;
		json_array_append_new(t->events, json_object_get(v, "params"));
		json_incref(json_array_get(t->events, json_array_size(t->events) - 1));
		json_decref(v);
	}
	fail_msg("the connection ended");
	return NULL;
}

/* The next event's params. */
static json_t *
tc_event(struct tc *t)
{
	json_t *v, *params;

	if (json_array_size(t->events) > 0) {
		params = json_incref(json_array_get(t->events, 0));
		json_array_remove(t->events, 0);
		return params;
	}
	v = tc_json(t);
	assert_non_null(v);
	assert_string_equal(json_string_value(json_object_get(v, "method")), "event");
	params = json_incref(json_object_get(v, "params"));
	json_decref(v);
	return params;
}

/* The seq of the next event. */
__attribute__((unused)) static uint64_t
tc_event_seq(struct tc *t)
{
	json_t *p = tc_event(t);
	uint64_t seq =
	    (uint64_t)json_integer_value(json_object_get(json_object_get(p, "event"), "seq"));

	json_decref(p);
	return seq;
}

/* Give the service `turns` turns of its loop; then nothing may have come. */
static void
tc_quiet(struct tc *t, unsigned turns)
{
	while (turns-- > 0) {
		fake_turn();
		(void)tc_recv(t);
	}
	if (t->len > 0)
		fail_msg("unexpected: %.*s", (int)(t->len < 300 ? t->len : 300), t->buf);
	assert_int_equal(json_array_size(t->events), 0);
}

static int
tc_request(struct tc *t, const char *method, const char *params)
{
	char line[2048];
	int id = ++t->next_id;

	snprintf(line, sizeof(line),
	    "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\",\"params\":%s}", id, method,
	    params != NULL ? params : "{}");
	tc_send(t, line);
	return id;
}

/* Ask and return the result; an error fails the test. */
static json_t *
tc_call(struct tc *t, const char *method, const char *params)
{
	int id = tc_request(t, method, params);
	json_t *v = tc_answer(t), *result;

	assert_int_equal(json_integer_value(json_object_get(v, "id")), id);
	if ((result = json_incref(json_object_get(v, "result"))) == NULL)
		fail_msg("%s: %s", method, json_dumps(v, 0));
	json_decref(v);
	return result;
}

static void
check_error(const json_t *v, int code, const char *reason, const char *path)
{
	const json_t *e = json_object_get(v, "error"), *d = json_object_get(e, "data");

	if (e == NULL)
		fail_msg("an answer where an error was due: %s", json_dumps(v, 0));
	if (json_integer_value(json_object_get(e, "code")) != code ||
	    strcmp(json_string_value(json_object_get(d, "reason")), reason) != 0)
		fail_msg("%s, where %d %s was due", json_dumps(v, 0), code, reason);
	assert_true(json_is_boolean(json_object_get(d, "retryable")));
	if (path != NULL) {
		assert_non_null(json_object_get(d, "path"));
		assert_string_equal(json_string_value(json_object_get(d, "path")), path);
	}
}

/* Ask and get that error. */
static void
tc_refused(struct tc *t, const char *method, const char *params, int code, const char *reason,
    const char *path)
{
	int id = tc_request(t, method, params);
	json_t *v = tc_answer(t);

	assert_int_equal(json_integer_value(json_object_get(v, "id")), id);
	check_error(v, code, reason, path);
	json_decref(v);
}

/* json path for tests: "a.b" -> the value, or NULL */
static const json_t *
at(const json_t *v, const char *path)
{
	char key[64];

	while (v != NULL && *path != '\0') {
		size_t n = strcspn(path, ".");

		snprintf(key, sizeof(key), "%.*s", (int)n, path);
		v = json_object_get(v, key);
		path += n + (path[n] == '.');
	}
	return v;
}
#define STR_AT(v, path) json_string_value(at((v), (path)))
#define INT_AT(v, path) json_integer_value(at((v), (path)))

#endif
