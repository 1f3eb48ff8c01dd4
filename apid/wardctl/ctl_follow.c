/* wardctl events follow: print each event, then acknowledge it. */
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apid/wardctl/ctl.h"

struct follow {
	struct ctl *c;
	const char *consumer; /* NULL = ephemeral */
	const char *exec;
	int64_t count; /* events to go; -1 = no end */
	unsigned acks; /* not answered yet */
	int failed;
};

static int
follow_option(void *arg, const char *name, const char *value)
{
	struct follow *f = arg;
	char *end;

	if (strcmp(name, "exec") == 0 && value != NULL) {
		f->exec = value;
		return 2;
	}
	if (strcmp(name, "count") == 0 && value != NULL) {
		errno = 0;
		f->count = strtoll(value, &end, 10);
		if (errno != 0 || end == value || *end != '\0' || f->count < 1) {
			ctl_say(f->c, "--count needs a number from 1");
			f->failed = 1;
		}
		return 2;
	}
	return 0;
}

/* The event as one line of JSON on the standard input of a shell command. 0 if it exits with 0. */
static int
run_exec(struct follow *f, const json_t *event)
{
	char *text = json_dumps(event, JSON_COMPACT);
	size_t len = text != NULL ? strlen(text) : 0, off = 0;
	int pipe_fd[2], status = -1;
	pid_t pid;

	if (text == NULL || pipe2(pipe_fd, O_CLOEXEC) == -1) {
		free(text);
		return -1;
	}
	text[len++] = '\n';
	if ((pid = fork()) == 0) {
		signal(SIGPIPE, SIG_DFL);
		dup2(pipe_fd[0], STDIN_FILENO);
		execl("/bin/sh", "sh", "-c", f->exec, (char *)NULL);
		_exit(127);
	}
	close(pipe_fd[0]);
	while (pid != -1 && off < len) { /* a command that reads nothing ends this with EPIPE */
		ssize_t n = write(pipe_fd[1], text + off, len - off);

		if (n == -1 && errno != EINTR)
			break;
		off += n > 0 ? (size_t)n : 0;
	}
	close(pipe_fd[1]);
	free(text);
	while (pid != -1 && waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int
acknowledge(struct follow *f, const char *cursor)
{
	if (f->consumer == NULL || cursor == NULL)
		return -1;
	if (ctl_send(f->c, "events.ack",
		json_pack("{s:s, s:s}", "consumer", f->consumer, "cursor", cursor)) == -1)
		return EX_NO_SERVICE;
	f->acks++;
	return -1;
}

/* -1 = go on, else the exit code */
static int
handle_event(struct follow *f, const json_t *params)
{
	const json_t *event = json_object_get(params, "event");
	const char *type = json_string_value(json_object_get(event, "type"));
	int r;

	if (type != NULL && strcmp(type, "events.closed") == 0) {
		const char *why =
		    json_string_value(json_object_get(json_object_get(event, "body"), "reason"));

		ctl_say(f->c, "the subscription ended (%s)", why != NULL ? why : "no reason");
		return why != NULL && strcmp(why, "stolen") == 0 ? 9 : EX_NO_SERVICE;
	}
	if (f->exec != NULL) {
		if (run_exec(f, event) == -1) {
			ctl_say(f->c, "the command failed; the event is not acknowledged");
			return EX_REFUSED;
		}
	} else if (ctl_human(f->c)) {
		ctl_put_event(f->c, event);
	} else {
		ctl_put_json(f->c, event);
	}
	if (fflush(f->c->out) == EOF)
		return EX_INTERNAL; /* nobody reads: it is not acknowledged */
	if ((r = acknowledge(f, json_string_value(json_object_get(params, "cursor")))) != -1)
		return r;
	return f->count > 0 && --f->count == 0 ? EX_OK_ : -1;
}

static int
handle(struct follow *f, const json_t *message)
{
	if (json_object_get(message, "method") != NULL)
		return handle_event(f, json_object_get(message, "params"));
	if (f->acks > 0)
		f->acks--;
	if (json_object_get(message, "error") != NULL)
		return ctl_error(f->c, json_object_get(message, "error"));
	return -1;
}

/* What was printed is acknowledged before we leave. */
static int
settle(struct follow *f, int r)
{
	json_t *message = NULL;
	int ended;

	if (r != EX_OK_ && r <= 128)
		return r;
	ctl_stop_signal = 0;
	while (f->acks > 0) {
		if (ctl_next(f->c, 5000, &message) != 0 || message == NULL)
			return r != EX_OK_ ? r : EX_NO_SERVICE;
		ended = 0;
		if (json_object_get(message, "method") == NULL) {
			f->acks--;
			if (json_object_get(message, "error") != NULL)
				ended = ctl_error(f->c, json_object_get(message, "error"));
		}
		json_decref(message);
		if (ended != 0)
			return ended;
	}
	return r > 128 ? EX_OK_ : r; /* to be stopped is how it ends */
}

static int
follow(struct follow *f)
{
	json_t *message = NULL;
	int r, end;

	while (json_array_size(f->c->events) > 0) {
		message = json_incref(json_array_get(f->c->events, 0));
		json_array_remove(f->c->events, 0);
		end = handle(f, message);
		json_decref(message);
		if (end != -1)
			return end;
	}
	while ((r = ctl_next(f->c, -1, &message)) == 0) {
		end = handle(f, message);
		json_decref(message);
		if (end != -1)
			return end;
	}
	return r;
}

int
ctl_follow(struct ctl *c, int argc, char **argv)
{
	struct follow f = {.c = c, .count = -1};
	json_t *params, *result = NULL;
	char consumer[65] = "";
	int r = ctl_params(
	    c, api_method_find("events.subscribe"), argc, argv, follow_option, &f, &params);

	if (r != 0 || f.failed) {
		json_decref(params);
		return EX_USAGE_;
	}
	if (json_object_get(params, "consumer") != NULL) {
		snprintf(consumer, sizeof(consumer), "%s",
		    json_string_value(json_object_get(params, "consumer")));
		f.consumer = consumer;
	}
	if (c->account != NULL) {
		json_t *filter = json_object_get(params, "filter");

		if (filter == NULL)
			json_object_set_new(params, "filter", filter = json_object());
		if (json_object_get(filter, "accounts") == NULL)
			json_object_set_new(filter, "accounts", json_pack("[s]", c->account));
	}
	ctl_catch_signals();
	signal(SIGPIPE, SIG_IGN);
	if ((r = ctl_connect(c)) != 0) {
		json_decref(params);
		return r;
	}
	r = ctl_call(c, "events.subscribe", params, &result);
	json_decref(result);
	if (r == 0)
		r = settle(&f, follow(&f));
	return r;
}
