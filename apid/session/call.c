/* One engine call of a client: ended exactly once, from the loop, or silently when the client goes.
 */
#include "apid/session/call.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/log.h"

struct call {
	TAILQ_ENTRY(call) link;
	struct service *svc;
	const void *client;
	engine_done_fn *fn;
	void *arg;
	struct event *later;
	json_t *result;
	int failed, ended;
	int left; /* nobody waits for it any more, and it has not ended */
	struct api_error err;
	char reason[64], message[256], path[64];
};

static TAILQ_HEAD(call_list, call) calls = TAILQ_HEAD_INITIALIZER(calls);
static size_t nleft;

static void
call_drop(struct call *c)
{
	TAILQ_REMOVE(&calls, c, link);
	nleft -= (size_t)c->left;
	event_free(c->later);
	json_decref(c->result);
	free(c);
}

static void
call_tell(evutil_socket_t fd, short what, void *arg)
{
	struct call *c = arg;
	engine_done_fn *fn = c->fn;

	c->fn = NULL;
	if (fn != NULL)
		fn(c->arg, c->failed ? NULL : c->result, c->failed ? &c->err : NULL);
	call_drop(c);
}

struct call *
call_new(struct service *s, const void *client, engine_done_fn *fn, void *arg)
{
	struct call *c = calloc(1, sizeof(*c));

	if (c == NULL)
		fatal("call_new");
	c->svc = s;
	c->client = client;
	c->fn = fn;
	c->arg = arg;
	if ((c->later = event_new(s->base, -1, 0, call_tell, c)) == NULL)
		fatalx("call_new: no event");
	TAILQ_INSERT_TAIL(&calls, c, link);
	return c;
}

static void
call_end(struct call *c)
{
	if (c->ended)
		return;
	c->ended = 1;
	nleft -= (size_t)c->left;
	c->left = 0;
	event_active(c->later, EV_TIMEOUT, 0); /* from the loop, not from inside the caller */
}

void
call_ok(struct call *c, json_t *result)
{
	if (c == NULL || c->ended) {
		json_decref(result);
		return;
	}
	c->result = result;
	call_end(c);
}

static const char *
copy(char *to, size_t size, const char *from)
{
	if (from == NULL)
		return NULL;
	(void)strncpy(to, from, size - 1);
	to[size - 1] = '\0';
	return to;
}

void
call_fail(struct call *c, const struct api_error *err)
{
	if (c == NULL || c->ended)
		return;
	c->failed = 1;
	c->err = *err;
	c->err.reason = copy(c->reason, sizeof(c->reason), err->reason);
	c->err.message = copy(c->message, sizeof(c->message), err->message);
	c->err.path = copy(c->path, sizeof(c->path), err->path);
	call_end(c);
}

struct api_error
api_error_make(int code, const char *reason, int retryable, const char *message)
{
	struct api_error e = {.code = code,
	    .reason = reason,
	    .message = message,
	    .retryable = retryable,
	    .retry_after_ms = -1,
	    .until_ms = -1};

	return e;
}

void
call_failf(struct call *c, int code, const char *reason, int retryable, const char *message)
{
	struct api_error e = api_error_make(code, reason, retryable, message);

	call_fail(c, &e);
}

void
call_cancel_client(struct service *s, const void *client)
{
	struct call *c;

	TAILQ_FOREACH(c, &calls, link)
	if (c->svc == s && c->client == client) {
		c->fn = NULL; /* its flow goes on; nobody is told */
		if (!c->ended && !c->left) {
			c->left = 1;
			nleft++;
		}
	}
}

size_t
call_left(void)
{
	return nleft;
}

void
call_cancel_all(struct service *s)
{
	struct call *c;

	TAILQ_FOREACH(c, &calls, link)
	if (c->svc == s)
		c->fn = NULL;
}

void
call_free_all(struct service *s)
{
	struct call *c, *next;

	for (c = TAILQ_FIRST(&calls); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->svc == s)
			call_drop(c);
	}
}
