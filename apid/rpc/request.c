/* A request: from its line to its handler, and the ends that it can have. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apid/rpc/json_out.h"
#include "apid/rpc/line.h"
#include "apid/rpc/methods.h"
#include "apid/rpc/request.h"
#include "apid/rpc/validate.h"
#include "common/log.h"

static struct api_error
plain_error(int code, const char *reason, const char *message, const char *path)
{
	return (struct api_error){.code = code,
	    .reason = reason,
	    .message = message,
	    .retryable = code == -3 || code == -5 || code == -11,
	    .retry_after_ms = -1,
	    .until_ms = -1,
	    .path = path};
}

/* ------------------------------------------------------------------ answers */

static void
answer_begin(struct buf *b, const json_t *id)
{
	buf_put_str(b, "{\"jsonrpc\":\"2.0\",\"id\":");
	if (json_is_string(id))
		json_out_string(b, json_string_value(id), json_string_length(id));
	else if (json_is_integer(id))
		buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
	else
		buf_put_str(b, "null");
}

void
request_answer_error(struct client *c, const json_t *id, const struct api_error *e)
{
	struct buf b = BUF_INIT;

	answer_begin(&b, id);
	buf_printf(&b, ",\"error\":{\"code\":%d,\"message\":", e->code);
	json_out_str(&b, e->message != NULL ? e->message : e->reason);
	buf_put_str(&b, ",\"data\":{\"reason\":");
	json_out_str(&b, e->reason);
	buf_printf(&b, ",\"retryable\":%s", e->retryable ? "true" : "false");
	if (e->retry_after_ms >= 0)
		buf_printf(&b, ",\"retry_after_ms\":%" PRId64, e->retry_after_ms);
	if (e->until_ms >= 0)
		buf_printf(&b, ",\"until_ms\":%" PRId64, e->until_ms);
	if (e->service_code != 0)
		buf_printf(&b, ",\"code\":%u", e->service_code);
	if (e->path != NULL && e->path[0] != '\0') {
		buf_put_str(&b, ",\"path\":");
		json_out_str(&b, e->path);
	}
	buf_put_str(&b, "}}}");
	client_put(c, &b, CHUNK_REPLY);
}

static void
request_count(const struct request *rq, int code)
{
	size_t class = 0;

	if (code != 0)
		for (class = 1; class <= api_nerror_classes; class ++)
			if (api_error_classes[class - 1].code == code)
				break;
	if (class < RPC_CODES_MAX && rq->method_index < RPC_METHODS_MAX)
		rq->client->rpc->calls[rq->method_index][class]++;
}

/* Wiped where it is ours: a text to send is no secret of the store, but it is the user's. */
static void
request_free(struct request *rq)
{
	struct client *c = rq->client;

	TAILQ_REMOVE(&c->requests, rq, link);
	c->in_flight--;
	json_decref(rq->id);
	json_decref(rq->params);
	free(rq);
	client_request_ended(c);
}

void
request_result_text(struct request *rq, struct buf *result)
{
	struct buf b = BUF_INIT;

	if (rq->id != NULL) {
		answer_begin(&b, rq->id);
		buf_put_str(&b, ",\"result\":");
		buf_put(&b, result->data, result->len);
		buf_put_u8(&b, '}');
		if (result->failed)
			b.failed = 1;
		client_put(rq->client, &b, CHUNK_REPLY);
	}
	buf_clear(result);
	request_count(rq, 0);
	request_free(rq);
}

static int
dump_piece(const char *text, size_t len, void *arg)
{
	return buf_put(arg, text, len);
}

void
request_result(struct request *rq, json_t *result)
{
	struct buf b = BUF_INIT;

	if (result == NULL || json_dump_callback(result, dump_piece, &b, JSON_COMPACT) == -1) {
		json_decref(result);
		buf_clear(&b);
		request_error(rq, -2, "internal", "out of memory", NULL);
		return;
	}
	json_decref(result);
	request_result_text(rq, &b);
}

void
request_fail(struct request *rq, const struct api_error *e)
{
	if (rq->id != NULL)
		request_answer_error(rq->client, rq->id, e);
	else
		log_debug("%s without id failed: %s", rq->method->name, e->reason);
	request_count(rq, e->code);
	request_free(rq);
}

void
request_error(
    struct request *rq, int code, const char *reason, const char *message, const char *path)
{
	struct api_error e = plain_error(code, reason, message, path);

	request_fail(rq, &e);
}

void
request_engine_said(void *arg, const json_t *result, const struct api_error *err)
{
	if (err != NULL)
		request_fail(arg, err);
	else /* a copy by reference: result is borrowed */
		request_result(arg, json_incref((json_t *)(uintptr_t)result));
}

void
request_store_error(struct request *rq, const char *code)
{
	static const struct {
		const char *theirs;
		int code;
		const char *reason, *message;
	} known[] = {
	    {"not_found", -1, "not_found", "there is no such consumer"},
	    {"locked", -14, "store_locked", "the store is not open"},
	    {"disk_full", -14, "disk_low", "the disk is full"},
	    {"read_only", -14, "store_locked", "the store cannot be written"},
	    {"corrupt", -2, "store_corrupt", "the store is damaged; see the log of the service"},
	    {"account_failed", -14, "store_locked", "the database of the account is not open"},
	    {"busy", -5, "overloaded", "too much is being asked of the store"},
	    {"timeout", -5, "overloaded", "the store did not answer in time"},
	    {"bad_request", -32602, "params", "the store refuses these parameters"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (code != NULL && strcmp(known[i].theirs, code) == 0) {
			request_error(rq, known[i].code, known[i].reason, known[i].message, NULL);
			return;
		}
	request_error(rq, -2, "internal", "the store failed; see the log of the service", NULL);
}

/* ------------------------------------------------------------------ cancellation */

static void
request_forget(struct request *rq)
{
	if (rq->forget != NULL)
		rq->forget(rq, rq->forget_arg);
	rq->forget = NULL;
	engine_cancel_client(rq->client->rpc->service, rq->token);
}

void
request_cancel(struct request *rq)
{
	request_forget(rq);
	request_error(rq, -32600, "cancelled", "cancelled by the client", NULL);
}

void
request_cancel_all(struct client *c)
{
	struct request *rq, *next;

	for (rq = TAILQ_FIRST(&c->requests); rq != NULL; rq = next) {
		next = TAILQ_NEXT(rq, link);
		request_forget(rq);
		request_free(rq);
	}
}

/* ------------------------------------------------------------------ parameters */

const char *
request_str(const struct request *rq, const char *name)
{
	return json_string_value(json_object_get(rq->params, name));
}

int64_t
request_int(const struct request *rq, const char *name, int64_t fallback)
{
	const json_t *v = json_object_get(rq->params, name);

	return v != NULL ? json_integer_value(v) : fallback;
}

int
request_bool(const struct request *rq, const char *name)
{
	return json_is_true(json_object_get(rq->params, name));
}

int
request_take_fd(struct request *rq, const char *name)
{
	int fd = client_fds_take(&rq->client->fds, request_int(rq, name, -1)), flags;

	if (fd == -1) {
		request_error(
		    rq, -32602, "params", "no such descriptor came with the request", name);
		return -1;
	}
	flags = fcntl(fd, F_GETFL);
	if (flags != -1 && !(flags & O_PATH) && (flags & O_ACCMODE) != O_RDONLY)
		return fd;
	close(fd);
	request_error(rq, -32602, "params", "the descriptor is not open for writing", name);
	return -1;
}

struct request *
client_request(struct client *c, const json_t *id)
{
	struct request *rq;

	TAILQ_FOREACH(rq, &c->requests, link)
	if (rq->id != NULL && json_equal(rq->id, id))
		return rq;
	return NULL;
}

/* ------------------------------------------------------------------ from a line to a handler */

/* The account that is named, or the only one. Answers and returns -1 if there is none. */
static int
find_account(struct request *rq)
{
	struct service *s = rq->client->rpc->service;
	const struct api_field *f = rq->method->params;
	const char *name;

	while (f != NULL && f->name != NULL && !(f->flags & API_ACCOUNT))
		f++;
	if (f == NULL || f->name == NULL)
		return 0;
	if ((name = request_str(rq, "account")) != NULL)
		rq->account = account_find(s, name);
	else if (s->naccounts == 1)
		rq->account = s->accounts[0];
	if (rq->account != NULL)
		return 0;
	if (name != NULL)
		request_error(rq, -1, "not_found", "there is no account of that name", "account");
	else
		request_error(
		    rq, -32602, "params", "there are several accounts: say which", "account");
	return -1;
}

static int
role_allows(struct client *c, const struct api_method *m)
{
	static struct log_limit limit = LOG_LIMIT_INIT;

	if (m->role & c->peer.roles)
		return 1;
	c->rpc->denied++;
	if (log_allowed(&limit))
		log_notice("denied %s to uid %u (pid %d): its roles do not allow it", m->name,
		    (unsigned)c->peer.uid, (int)c->peer.pid);
	return 0;
}

/* What can be said against a request before it exists. NULL = nothing. */
static const char *
request_refusal(struct client *c, const struct line_request *lr, const struct api_method *m,
    struct api_error *e)
{
	if (lr->id != NULL && client_request(c, lr->id) != NULL)
		*e = plain_error(-32600, "request", "a request with that id is in flight", "id");
	else if (m == NULL)
		*e = plain_error(-32601, "method", "there is no such method", NULL);
	else if (lr->id == NULL && !(m->flags & API_NOTIFY))
		*e = plain_error(
		    -32600, "request", "an id is needed: nobody could see this fail", "id");
	else if (!role_allows(c, m))
		*e = plain_error(
		    -8, "role_denied", "the roles of this client do not allow that", NULL);
	else
		return NULL;
	return e->reason;
}

static void
request_run(struct client *c, const struct line_request *lr, const struct api_method *m)
{
	char path[128], message[160];
	struct request *rq = calloc(1, sizeof(*rq));

	if (rq == NULL) {
		client_doom(c, "no memory for its requests");
		return;
	}
	rq->client = c;
	rq->method = m;
	rq->method_index = (size_t)(m - api_methods);
	rq->id = json_incref(lr->id);
	rq->params = lr->params != NULL ? json_incref(lr->params) : json_object();
	/* a number as a pointer: nobody dereferences it */
	rq->token =
	    (const void *)(uintptr_t)++c->rpc->next_token; /* NOLINT(performance-no-int-to-ptr) */
	TAILQ_INSERT_TAIL(&c->requests, rq, link);
	c->in_flight++;
	if (validate_params(m, rq->params, path, sizeof(path), message, sizeof(message)) == -1) {
		request_error(rq, -32602, "params", message, path);
		return;
	}
	if (find_account(rq) == -1)
		return;
	if (rq->account != NULL && engine_full(c->rpc->service)) {
		request_error(rq, -5, "overloaded",
		    "too much is under way for clients who have gone; try again", NULL);
		return;
	}
	method_handler(rq->method_index)(rq);
}

void
request_line(struct client *c, const char *text, size_t len)
{
	struct line_request lr = {0};
	struct line_error le;
	struct api_error e;
	const struct api_method *m;
	json_t *root;

	if (len > 0 && text[len - 1] == '\r')
		len--;
	if (len == 0)
		return; /* an empty line asks nothing */
	root = line_parse(text, len, &le);
	if (root == NULL || line_request(root, &lr, &le) == -1) {
		c->rpc->bad_lines++;
		e = plain_error(le.code, le.reason, le.message, le.path);
		request_answer_error(c, lr.id, &e);
		json_decref(root);
		return;
	}
	m = api_method_find(lr.method);
	if (request_refusal(c, &lr, m, &e) != NULL)
		request_answer_error(c, lr.id, &e);
	else
		request_run(c, &lr, m);
	json_decref(root);
}
