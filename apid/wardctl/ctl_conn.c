/* The connection to the service: one socket, one deadline, lines. */
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apid/wardctl/ctl.h"
#include "common/clock.h"

#define LINE_MAX_ (64u * 1024 * 1024) /* of the service, which we trust more than it trusts us */

volatile sig_atomic_t ctl_stop_signal;

void
ctl_say(struct ctl *c, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fputs("wardctl: ", c->err);
	ctl_put_text(c->err, text);
	fputc('\n', c->err);
}

static void
on_signal(int sig)
{
	ctl_stop_signal = sig;
}

void
ctl_catch_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal};

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
}

int
ctl_exit_code(int64_t code)
{
	if (code <= -1 && code >= -14)
		return (int)-code;
	if (code == -32603)
		return EX_INTERNAL;
	return code <= -32600 && code >= -32700 ? EX_USAGE_ : EX_INTERNAL;
}

int
ctl_error(struct ctl *c, const json_t *error)
{
	const json_t *data = json_object_get(error, "data");
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *reason = json_string_value(json_object_get(data, "reason"));
	const char *path = json_string_value(json_object_get(data, "path"));
	const json_t *after = json_object_get(data, "retry_after_ms");
	char tail[96] = "";

	if (json_is_integer(after))
		snprintf(tail, sizeof(tail), "; try again in %" JSON_INTEGER_FORMAT " s",
		    (json_integer_value(after) + 999) / 1000);
	ctl_say(c, "%s%s%s (%s)%s", path != NULL ? path : "", path != NULL ? ": " : "",
	    message != NULL ? message : "refused", reason != NULL ? reason : "no reason", tail);
	return ctl_exit_code(json_integer_value(json_object_get(error, "code")));
}

/* ------------------------------------------------------------------ connecting */

static int
connect_failed(struct ctl *c, int error)
{
	if (error == ENOENT || error == ECONNREFUSED) {
		ctl_say(c, "ward doesn't seem to be running (nobody listens at %s)", c->socket);
		return EX_NO_SERVICE;
	}
	if (error == EACCES || error == EPERM) {
		ctl_say(c, "%s: this user may not talk to ward", c->socket);
		return EX_DENIED;
	}
	ctl_say(c, "%s: %s", c->socket, strerror(error));
	return EX_NO_SERVICE;
}

static int
say_hello(struct ctl *c)
{
	json_t *reply = NULL;
	int64_t id = ctl_send(c, "server.hello",
	    json_pack("{s:[i], s:s, s:[s]}", "protocol", API_PROTOCOL, "client",
		"wardctl/" WARD_VERSION, "features", "fd"));
	int r;

	if (id == -1)
		return EX_NO_SERVICE;
	if ((r = ctl_next(c, -1, &reply)) != 0)
		return r;
	if ((c->hello = json_incref(json_object_get(reply, "result"))) == NULL) {
		const json_t *e = json_object_get(reply, "error");
		const char *reason =
		    json_string_value(json_object_get(json_object_get(e, "data"), "reason"));

		if (reason != NULL && strcmp(reason, "unsupported") == 0)
			ctl_say(c, "this wardctl and that ward are incompatible: upgrade the older "
				   "of them");
		r = ctl_error(c, e);
	}
	json_decref(reply);
	return r;
}

int
ctl_connect(struct ctl *c)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t len = strlen(c->socket);

	if (len == 0 || len >= sizeof(sun.sun_path)) {
		ctl_say(c, "the path of the socket is empty or too long");
		return EX_USAGE_;
	}
	memcpy(sun.sun_path, c->socket, len);
	c->deadline = c->timeout_ms > 0 ? clock_mono_ms() + c->timeout_ms : 0;
	c->events = json_array();
	if ((c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) == -1)
		return connect_failed(c, errno);
	if (connect(c->fd, (struct sockaddr *)&sun, sizeof(sun)) == -1)
		return connect_failed(c, errno);
	return say_hello(c);
}

void
ctl_disconnect(struct ctl *c)
{
	if (c->fd != -1)
		close(c->fd);
	c->fd = -1;
	free(c->in);
	c->in = NULL;
	c->in_len = c->in_cap = 0;
	json_decref(c->hello);
	json_decref(c->events);
	c->hello = c->events = NULL;
}

/* ------------------------------------------------------------------ sending, reading */

/* As send; a descriptor goes with the first byte. */
static ssize_t
send_some(const struct ctl *c, char *text, size_t len, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {.iov_base = text, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd != -1) {
		struct cmsghdr *cm;

		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		cm = CMSG_FIRSTHDR(&msg);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cm), &fd, sizeof(fd));
	}
	return sendmsg(c->fd, &msg, MSG_NOSIGNAL);
}

int64_t
ctl_send(struct ctl *c, const char *method, json_t *params)
{
	return ctl_send_fd(c, method, params, -1);
}

int64_t
ctl_send_fd(struct ctl *c, const char *method, json_t *params, int fd)
{
	json_t *o = json_pack("{s:s, s:I, s:s, s:o*}", "jsonrpc", "2.0", "id",
	    (json_int_t)++c->next_id, "method", method, "params", params);
	char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
	size_t len, off = 0;

	json_decref(o);
	if (text == NULL) {
		ctl_say(c, "out of memory, or text that is not UTF-8");
		return -1;
	}
	len = strlen(text);
	text[len++] = '\n'; /* in place of its NUL */
	while (off < len) {
		ssize_t n = send_some(c, text + off, len - off, off == 0 ? fd : -1);

		if (n == -1 && errno == EINTR && !ctl_stop_signal)
			continue;
		if (n == -1)
			break;
		off += (size_t)n;
	}
	free(text);
	/* what it had to say before it hung up is still to be read */
	return off == len || errno == EPIPE ? c->next_id : -1;
}

static int
grow(struct ctl *c)
{
	size_t want = c->in_cap > 0 ? c->in_cap * 2 : 65536;
	char *more = want <= LINE_MAX_ ? realloc(c->in, want) : NULL;

	if (more == NULL)
		return -1;
	c->in = more;
	c->in_cap = want;
	return 0;
}

/* A line that is in the buffer, as JSON; NULL if there is none (or it makes no sense: *bad). */
static json_t *
take_line(struct ctl *c, int *bad)
{
	char *lf = c->in_len > 0 ? memchr(c->in, '\n', c->in_len) : NULL;
	size_t n;
	json_t *v;

	*bad = 0;
	if (lf == NULL)
		return NULL;
	n = (size_t)(lf - c->in);
	v = json_loadb(c->in, n, 0, NULL);
	memmove(c->in, lf + 1, c->in_len - n - 1);
	c->in_len -= n + 1;
	*bad = v == NULL;
	return v;
}

/* 0 = something was read, 1 = time is up, else an exit code. */
#define TIME_UP (-1)
static int
read_some(struct ctl *c, int64_t until)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	int64_t left = until == 0 ? -1 : until - clock_mono_ms();
	ssize_t n;
	int r;

	if (until != 0 && left <= 0)
		left = 0;
	if (left > 3600000)
		left = 3600000;
	r = poll(&p, 1, (int)left);
	if (r == 0 && until != 0 && clock_mono_ms() >= until)
		return TIME_UP;
	if (r <= 0)
		return r == 0 || errno == EINTR ? 0 : EX_INTERNAL;
	if (c->in_cap - c->in_len < 4096 && grow(c) == -1) {
		ctl_say(c, "an answer is too long");
		return EX_INTERNAL;
	}
	n = recv(c->fd, c->in + c->in_len, c->in_cap - c->in_len, 0);
	if (n > 0) {
		c->in_len += (size_t)n;
		return 0;
	}
	if (n == -1 && errno == EINTR)
		return 0;
	ctl_say(c, "ward closed the connection");
	return EX_NO_SERVICE;
}

int
ctl_next(struct ctl *c, int wait_ms, json_t **out)
{
	int64_t until = wait_ms >= 0 ? clock_mono_ms() + wait_ms : 0;
	int mine = 0, bad, r;

	*out = NULL;
	if (c->deadline != 0 && (until == 0 || c->deadline < until)) {
		until = c->deadline;
		mine = 1;
	}
	for (;;) {
		if ((*out = take_line(c, &bad)) != NULL)
			return 0;
		if (bad) {
			ctl_say(c, "ward sent something that is not JSON");
			return EX_INTERNAL;
		}
		if (ctl_stop_signal)
			return 128 + ctl_stop_signal;
		if ((r = read_some(c, until)) == TIME_UP) {
			if (!mine)
				return 0;
			ctl_say(c, "no answer in time");
			return EX_UNKNOWN;
		}
		if (r != 0)
			return r;
	}
}

int
ctl_call(struct ctl *c, const char *method, json_t *params, json_t **result)
{
	int64_t id = ctl_send(c, method, params);
	json_t *v = NULL;
	int r;

	*result = NULL;
	if (id == -1) {
		ctl_say(c, "the request could not be sent");
		return EX_NO_SERVICE;
	}
	while ((r = ctl_next(c, -1, &v)) == 0) {
		const json_t *its = json_object_get(v, "id");

		if (json_object_get(v, "method") != NULL) { /* an event: for later */
			json_array_append_new(c->events, v);
			continue;
		}
		if (json_is_integer(its) && json_integer_value(its) != id) {
			json_decref(v); /* of an earlier request that nobody waits for */
			continue;
		}
		if ((*result = json_incref(json_object_get(v, "result"))) == NULL)
			r = ctl_error(c, json_object_get(v, "error"));
		json_decref(v);
		break;
	}
	return r;
}
