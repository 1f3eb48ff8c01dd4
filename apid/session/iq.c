/* iq requests of an account: ids, answers, deadlines. */
#include "apid/session/iq.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "apid/session/stanza.h"
#include "common/log.h"

struct iq {
	TAILQ_ENTRY(iq) link;
	struct account *a;
	uint64_t handle;
	char id[32];
	struct event *timer;
	const char *why; /* set: it fails when the timer runs */
	iq_fn *fn;
	void *arg;
};

struct iq_table {
	struct account *a;
	TAILQ_HEAD(iq_list, iq) pending;
	size_t n;
	uint64_t last;
};

struct iq_table *
iq_table_new(struct account *a)
{
	struct iq_table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		fatal("iq_table_new");
	t->a = a;
	TAILQ_INIT(&t->pending);
	return t;
}

static void
iq_drop(struct iq *q)
{
	TAILQ_REMOVE(&q->a->iq->pending, q, link);
	q->a->iq->n--;
	event_free(q->timer);
	free(q);
}

void
iq_table_free(struct iq_table *t)
{
	if (t == NULL)
		return;
	while (!TAILQ_EMPTY(&t->pending))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		iq_drop(TAILQ_FIRST(&t->pending));
	free(t);
}

static void
iq_fail(struct iq *q, const char *why)
{
	struct iq_answer r = {.why = why, .text = why, .backoff_s = -1};
	iq_fn *fn = q->fn;
	void *arg = q->arg;

	iq_drop(q);
	fn(&r, arg);
}

static void
iq_timer(evutil_socket_t fd, short what, void *arg)
{
	struct iq *q = arg;

	iq_fail(q, q->why != NULL ? q->why : "timeout");
}

struct node *
iq_new(const char *type, const char *xmlns)
{
	struct node *n = node_new("iq");

	node_set_server(n, "to", JID_PN);
	node_set(n, "type", type);
	node_set(n, "xmlns", xmlns);
	return n;
}

uint64_t
iq_request(struct account *a, struct node *node, unsigned timeout_ms, iq_fn *fn, void *arg)
{
	struct iq_table *t = a->iq;
	struct iq *q = calloc(1, sizeof(*q));
	struct timeval tv = {timeout_ms / 1000, (suseconds_t)(timeout_ms % 1000) * 1000};

	if (q == NULL)
		fatal("iq_request");
	q->a = a;
	q->fn = fn;
	q->arg = arg;
	q->handle = ++t->last;
	(void)snprintf(q->id, sizeof(q->id), "%u.%u-%llu", a->iq_r[0], a->iq_r[1],
	    (unsigned long long)++a->next_iq);
	if ((q->timer = evtimer_new(a->svc->base, iq_timer, q)) == NULL)
		fatalx("iq_request: no event");
	node_set(node, "id", q->id);
	if (t->n >= IQ_PENDING_MAX) {
		node_free(node);
		q->why = "busy";
	} else if (stanza_send(a, node) == -1) {
		q->why = "disconnected";
	}
	if (q->why != NULL)
		timerclear(&tv);
	TAILQ_INSERT_TAIL(&t->pending, q, link);
	t->n++;
	evtimer_add(q->timer, &tv);
	return q->handle;
}

void
iq_cancel(struct account *a, uint64_t handle)
{
	struct iq *q;

	if (handle == 0)
		return;
	TAILQ_FOREACH(q, &a->iq->pending, link)
	if (q->handle == handle) {
		iq_drop(q);
		return;
	}
}

int
iq_answered(struct account *a, const struct node *n)
{
	const char *id = node_get(n, "id"), *type = node_get(n, "type");
	struct iq_answer r = {.ok = 1, .node = n, .backoff_s = -1};
	const struct node *err;
	struct iq *q;

	if (id == NULL || (node_is(n, "iq") && (type == NULL || (strcmp(type, "result") != 0 &&
								    strcmp(type, "error") != 0))))
		return 0;
	TAILQ_FOREACH(q, &a->iq->pending, link)
	if (q->why == NULL && strcmp(q->id, id) == 0)
		break;
	if (q == NULL)
		return 0;
	if (type != NULL && strcmp(type, "error") == 0 && node_is(n, "iq")) {
		r.ok = 0;
		r.why = "error";
		if ((err = node_child(n, "error")) != NULL) {
			int64_t code = node_get_int(err, "code", 99999);

			r.code = code > 0 ? (unsigned)code : 0;
			r.text = node_get(err, "text");
			r.backoff_s = node_get_int(err, "backoff", 86400);
		}
		if (r.text == NULL)
			r.text = "refused by the service";
	}
	iq_fn *fn = q->fn;
	void *arg = q->arg;

	iq_drop(q);
	fn(&r, arg);
	return 1;
}

/* The oldest that waits for an answer and was asked before `last`. */
static struct iq *
asked_until(struct iq_table *t, uint64_t last)
{
	struct iq *q = TAILQ_FIRST(&t->pending);

	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
	while (q != NULL && (q->why != NULL || q->handle > last))
		q = TAILQ_NEXT(q, link);
	return q;
}

void
iq_disconnected(struct account *a)
{
	struct iq_table *t = a->iq;
	struct iq *q;
	uint64_t last = t->last; /* what is asked from inside an answer is for later */

	while ((q = asked_until(t, last)) != NULL)
		iq_fail(q, "disconnected");
}

void
iq_fail_all(struct account *a)
{
	while (!TAILQ_EMPTY(&a->iq->pending))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		iq_fail(TAILQ_FIRST(&a->iq->pending), "disconnected");
}
