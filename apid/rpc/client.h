/* One connection of a client, and one request on it. */
#ifndef WARD_CLIENT_H
#define WARD_CLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>
#include <jansson.h>

#include "apid/rpc/client_fds.h"
#include "apid/rpc/rpc_private.h"
#include "common/buf.h"

/* Bytes on their way to a client. Replies count against it when it does not read; events do not. */
enum chunk_kind {
	CHUNK_REPLY,
	CHUNK_EVENT
};
struct chunk {
	STAILQ_ENTRY(chunk) link;
	struct buf buf;
	size_t off;
	enum chunk_kind kind;
};

STAILQ_HEAD(chunk_list, chunk);

struct request;
TAILQ_HEAD(request_list, request);

struct client {
	TAILQ_ENTRY(client) link;
	struct rpc *rpc;
	int fd;
	struct peer peer;
	/* reading */
	struct event *ev_read, *ev_line;
	struct buf in;
	size_t scanned; /* bytes of `in` known to hold no LF */
	int paused;     /* too much is open or unread */
	int eof;        /* it will write no more */
	int draining;   /* a last error is said: what still comes is thrown away */
	int takes_fds;  /* server.hello agreed on the feature fd */
	struct client_fds fds;
	/* writing */
	struct event *ev_write, *ev_stall;
	struct chunk_list out;
	size_t reply_bytes, event_bytes;
	int64_t progress_ms; /* when it last took bytes, while paused */
	/* requests and subscriptions */
	struct request_list requests;
	unsigned in_flight;
	struct subscription_list subscriptions;
	unsigned nsubscriptions, next_subscription;
	unsigned busy; /* inside its callbacks: freed at their end */
	int dead;
	const char *doomed; /* why it is to be closed at the next turn */
};

/* Owns fd. NULL when memory is out (fd is closed then). */
struct client *client_new(struct rpc *r, int fd, const struct peer *peer);
/* Cancels its requests, ends its subscriptions, closes. why is for the log (NULL = it just left).
 * The memory goes when nothing of it is on the stack. */
void client_close(struct client *c, const char *why);
/* The same, but at the next turn of the loop. */
void client_doom(struct client *c, const char *why);
/* Write now what the socket takes, as at a stop. */
void client_flush(struct client *c);

/* Queue a line; takes over the buffer (and its memory); the LF is added. A buffer that failed dooms
 * the client; nothing is freed before the next turn of the loop. */
void client_put(struct client *c, struct buf *line, enum chunk_kind kind);

/* ------------------------------------------------------------------ requests */

struct request {
	TAILQ_ENTRY(request) link;
	struct client *client;
	const struct api_method *method;
	size_t method_index;
	json_t *id;              /* NULL: a notification, which gets no answer */
	json_t *params;          /* an object, checked against the table */
	struct account *account; /* of a method with the parameter account */
	/* Names it towards the engine: a number, not an address, so that none is ever used twice.
	 */
	const void *token;
	/* Lets go of what the request waits for, when it is cancelled or its client leaves: after
	 * it nothing may come back to the request. NULL: there are engine calls at most. */
	void (*forget)(struct request *, void *arg);
	void *forget_arg;
};

/* The three ends of a request; each frees it. */
void request_result(struct request *rq, json_t *result); /* takes the reference; NULL = no memory */
void request_result_text(struct request *rq, struct buf *result); /* ready JSON; takes the buffer */
void request_fail(struct request *rq, const struct api_error *e);
/* The common case of request_fail; path may be NULL. */
void request_error(
    struct request *rq, int code, const char *reason, const char *message, const char *path);
/* What the engine said at the end of its call (fn of apid/service.h; arg is the request). */
void request_engine_said(void *arg, const json_t *result, const struct api_error *err);
/* stored refused or did not answer: its code as an error of the API. */
void request_store_error(struct request *rq, const char *code);

/* Parameters that were checked already. */
const char *request_str(const struct request *rq, const char *name); /* NULL if absent */
int64_t request_int(const struct request *rq, const char *name, int64_t fallback);
int request_bool(const struct request *rq, const char *name);
/* The descriptor that a parameter of type API_FD names; the caller's from then on. Only while the
 * handler of the method runs. -1: there is none, or it is not open for writing; the request was
 * answered. */
int request_take_fd(struct request *rq, const char *name);

/* The request of that id in flight on the connection, or NULL. */
struct request *client_request(struct client *c, const json_t *id);

#endif
