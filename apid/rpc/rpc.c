/* The listener: who may connect, how many, and what the engine has to tell the clients. */
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apid/rpc/client.h"
#include "apid/rpc/consumer.h"
#include "apid/rpc/methods.h"
#include "apid/rpc/store_task.h"
#include "apid/rpc/subscribe.h"
#include "common/log.h"

#define ROOT_RESERVE    8    /* connections that only root may use, so that wardctl gets in */
#define KEEP_CONSUMERS  1024 /* remembered without being live */
#define ACCEPT_AT_ONCE  16
#define ACCEPT_AGAIN_MS 200

struct rpc_limits
rpc_limits_load(const struct config *c)
{
	struct rpc_limits l = {
	    .line_bytes = (size_t)config_int(c, "api", "max_line"),
	    .in_flight = (unsigned)config_int(c, "api", "max_requests"),
	    .subscriptions = (unsigned)config_int(c, "api", "max_subscriptions"),
	    .connections = (unsigned)config_int(c, "api", "max_connections"),
	    .per_uid = (unsigned)config_int(c, "api", "max_per_uid"),
	    .root_reserve = ROOT_RESERVE,
	    .unread_bytes = (size_t)config_int(c, "api", "max_unread"),
	    .line_timeout_ms = (unsigned)config_int(c, "api", "line_timeout"),
	    .stall_timeout_ms = (unsigned)config_int(c, "api", "stall_timeout"),
	    .keep_consumers = KEEP_CONSUMERS,
	};
	return l;
}

/* The end of the log when this run began, as far as it can be known: the store opens later than we.
 */
static void
note_boot_seq(struct rpc *r, uint64_t seq)
{
	if (r->boot_known || !r->service->store_ready)
		return;
	r->boot_known = 1;
	r->boot_seq = seq;
}

uint64_t
rpc_last_seq(struct rpc *r)
{
	note_boot_seq(r, r->service->last_seq);
	if (r->service->last_seq > r->last_seq)
		r->last_seq = r->service->last_seq;
	return r->last_seq;
}

const struct api_error *
rpc_store_error(const struct rpc *r)
{
	static const struct api_error keys = {.code = -14,
	    .reason = "keys_locked",
	    .message = "the keys are not open; see the log of the service",
	    .retry_after_ms = -1,
	    .until_ms = -1};
	static const struct api_error store = {.code = -14,
	    .reason = "store_locked",
	    .message = "the store is not open; see the log of the service",
	    .retry_after_ms = -1,
	    .until_ms = -1};

	if (r->service->store_ready)
		return NULL;
	return r->service->keyd_ready ? &store : &keys;
}

size_t
rpc_connections(const struct rpc *r)
{
	return r->nclients;
}

/* ------------------------------------------------------------------ connections */

/* NULL if it may come in. */
static const char *
refusal(const struct rpc *r, const struct peer *p)
{
	const struct client *c;
	unsigned same = 0;

	if (p->uid == 0) /* the per-uid bound is against users; the reserve is for root alone */
		return r->nclients < r->limits.connections + r->limits.root_reserve
			   ? NULL
			   : "too many connections";
	if (r->nclients >= r->limits.connections)
		return "too many connections";
	TAILQ_FOREACH(c, &r->clients, link)
	if (c->peer.uid == p->uid)
		same++;
	return same < r->limits.per_uid ? NULL : "too many connections of this user";
}

/* One line, if the socket takes it at once (a new socket does). */
static void
turn_away(struct rpc *r, int fd, const struct peer *p, const char *why)
{
	static struct log_limit limit = LOG_LIMIT_INIT;
	char line[256];
	int n = snprintf(line, sizeof(line),
	    "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-5,\"message\":\"%s\",\"data\":"
	    "{\"reason\":\"overloaded\",\"retryable\":true,\"retry_after_ms\":1000}}}\n",
	    why);
	struct iovec iov = {.iov_base = line, .iov_len = (size_t)n};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	r->refused++;
	if (log_allowed(&limit))
		log_warnx("client of uid %u refused: %s", (unsigned)p->uid, why);
	(void)sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT); /* best effort: it is gone anyway */
	close(fd);
}

static void
welcome(struct rpc *r, int fd)
{
	struct peer p;
	const char *why;

	if (access_peer(fd, &p) == -1) {
		log_warn("a client's credentials could not be read");
		close(fd);
	} else if ((why = refusal(r, &p)) != NULL) {
		turn_away(r, fd, &p, why);
	} else if (client_new(r, fd, &p) == NULL) {
		log_errx("no memory for a client");
	} else {
		r->accepted++;
		log_debug("client of uid %u (pid %d)", (unsigned)p.uid, (int)p.pid);
	}
}

static void
accept_again(evutil_socket_t fd, short what, void *arg)
{
	struct rpc *r = arg;

	if (event_add(r->ev_accept, NULL) == -1)
		fatalx("rpc: cannot listen any more");
}

static void
accept_clients(evutil_socket_t listener, short what, void *arg)
{
	static const struct timeval later = {.tv_usec = ACCEPT_AGAIN_MS * 1000};
	static struct log_limit limit = LOG_LIMIT_INIT;
	struct rpc *r = arg;

	for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd != -1) {
			welcome(r, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno == EAGAIN)
			return;
		/* want of descriptors or memory: the socket stays readable, so wait a little */
		if (log_allowed(&limit))
			log_warn("cannot accept a client");
		event_del(r->ev_accept);
		if (evtimer_add(r->ev_accept_again, &later) == -1)
			fatalx("rpc: cannot listen any more");
		return;
	}
}

/* ------------------------------------------------------------------ what the engine tells */

static void
events_committed(void *arg, uint64_t last_seq)
{
	struct rpc *r = arg;

	if (last_seq > 0)
		note_boot_seq(r, last_seq - 1); /* this commit is of this run */
	if (last_seq > r->last_seq)
		r->last_seq = last_seq;
	subscription_pump_all(r);
	fetch_wake(r);
}

static void
event_transient(void *arg, const char *account, const char *type, const json_t *body)
{
	subscription_transient(arg, account, type, body);
}

static void
task_state(void *arg, const ProtobufCMessage *state)
{
	store_task_state(arg, (const Stored__TaskState *)state);
}

/* ------------------------------------------------------------------ begin and end */

void
rpc_start(struct service *s, int listen_fd)
{
	struct rpc *r = calloc(1, sizeof(*r));
	int flags = fcntl(listen_fd, F_GETFL);

	if (r == NULL)
		fatalx("rpc: out of memory");
	if (flags == -1 || fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) == -1)
		fatal("rpc: the listening socket");
	for (size_t i = 0; i < api_nmethods; i++)
		if (method_handler(i) == NULL)
			fatalx("rpc: %s is in the table and has no handler", api_methods[i].name);
	r->service = s;
	r->limits = rpc_limits_load(s->config);
	r->listen_fd = listen_fd;
	(void)rpc_last_seq(r); /* if the store is open already */
	TAILQ_INIT(&r->clients);
	TAILQ_INIT(&r->consumers);
	TAILQ_INIT(&r->subscriptions);
	TAILQ_INIT(&r->fetches);
	TAILQ_INIT(&r->tasks);
	r->ev_accept = event_new(s->base, listen_fd, EV_READ | EV_PERSIST, accept_clients, r);
	r->ev_accept_again = evtimer_new(s->base, accept_again, r);
	if (r->ev_accept == NULL || r->ev_accept_again == NULL ||
	    event_add(r->ev_accept, NULL) == -1)
		fatalx("rpc: cannot listen");
	s->rpc = r;
	s->hooks.events_committed = events_committed;
	s->hooks.event_transient = event_transient;
	s->hooks.task_state = task_state;
	s->hooks_arg = r;
}

void
rpc_stop(struct service *s)
{
	struct rpc *r = s->rpc;
	struct client *c;
	struct subscription *sub;

	if (r == NULL)
		return;
	memset(&s->hooks, 0, sizeof(s->hooks));
	event_free(r->ev_accept);
	event_free(r->ev_accept_again);
	while ((sub = TAILQ_FIRST(&r->subscriptions)) != NULL)
		subscription_close(sub, "stopping");
	while ((c = TAILQ_FIRST(&r->clients)) != NULL) {
		client_flush(c);
		client_close(c, NULL);
	}
	consumer_free_all(r);
	store_task_free_all(r);
	close(r->listen_fd);
	s->rpc = NULL;
	free(r);
}
