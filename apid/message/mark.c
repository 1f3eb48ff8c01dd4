/* chat.mark_read and chat.mark_played: receipts that a client wants sent. */
#include "apid/message/mark.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "apid/message/peer.h"
#include "apid/message/receipts.h"
#include "apid/session/call.h"
#include "apid/session/login.h"
#include "apid/session/privacy.h"
#include "apid/session/stanza.h"
#include "common/log.h"

#define FLUSH_MS 400

/* One request of a client. */
struct marking {
	TAILQ_ENTRY(marking) link; /* in marks.asking, then in its group */
	struct account *a;
	struct call *call;
	enum mark_status status;
	enum mark_receipts receipts;
	struct contacts_request *lookup;
	char (*ids)[MESSAGE_ID_MAX + 1];
	size_t n;
};
TAILQ_HEAD(marking_list, marking);

/* One stanza. */
struct mark_group {
	TAILQ_ENTRY(mark_group) link;
	struct account *a;
	struct jid to;
	char type[16];
	char ids[RECEIPT_IDS_MAX][MESSAGE_ID_MAX + 1];
	size_t n;
	int sent;
	struct event *timer; /* for its ack */
	struct marking_list for_whom;
};

struct marks {
	struct account *a;
	struct marking_list asking;
	TAILQ_HEAD(mark_groups, mark_group) groups;
	size_t ngroups;
	struct event *flush;
};

static void
flush_now(evutil_socket_t fd, short what, void *arg)
{
	marks_flush(((struct marks *)arg)->a);
}

struct marks *
marks_new(struct account *a)
{
	struct marks *m = calloc(1, sizeof(*m));

	if (m == NULL)
		fatal("marks_new");
	m->a = a;
	TAILQ_INIT(&m->asking);
	TAILQ_INIT(&m->groups);
	if ((m->flush = evtimer_new(a->svc->base, flush_now, m)) == NULL)
		fatalx("marks_new: no event");
	return m;
}

static void
marking_drop(struct marking_list *list, struct marking *k)
{
	TAILQ_REMOVE(list, k, link);
	contacts_cancel(k->lookup);
	free(k->ids);
	free(k);
}

static void
marking_fail(struct marking_list *list, struct marking *k, int code, const char *reason,
    int retryable, const char *text)
{
	call_failf(k->call, code, reason, retryable, text);
	marking_drop(list, k);
}

/* ------------------------------------------------------------------ a stanza and its end */

/* reason NULL: the service has it. */
static void
group_end(struct mark_group *g, int code, const char *reason, int retryable, const char *text)
{
	struct marks *m = g->a->marks;
	struct marking *k;

	while ((k = TAILQ_FIRST(&g->for_whom)) != NULL) {
		if (reason != NULL)
			/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it is off the list */
			call_failf(k->call, code, reason, retryable, text);
		else
			call_ok(k->call, json_pack("{s:I}", "marked", (json_int_t)k->n));
		marking_drop(&g->for_whom, k);
	}
	TAILQ_REMOVE(&m->groups, g, link);
	m->ngroups--;
	event_free(g->timer);
	free(g);
}

static void
ack_late(evutil_socket_t fd, short what, void *arg)
{
	group_end(arg, -11, "outcome_unknown", 1, "the service did not say that it has it");
}

static void
group_send(struct mark_group *g)
{
	struct node *n = receipt_node(&g->to, NULL, NULL, g->type, g->ids[0]);
	struct timeval tv = {MARK_ACK_MS / 1000, 0};

	node_setf(n, "t", "%lld", (long long)account_server_time(g->a));
	receipt_add_ids(n, (const char(*)[MESSAGE_ID_MAX + 1]) & g->ids[1], g->n - 1);
	g->sent = 1;
	if (stanza_send(g->a, n) == -1) {
		group_end(g, -3, "offline", 1, "the service cannot be told now");
		return;
	}
	g->a->n.receipts_out += g->n;
	evtimer_add(g->timer, &tv);
}

void
marks_flush(struct account *a)
{
	struct mark_group *g, *next;

	evtimer_del(a->marks->flush);
	for (g = TAILQ_FIRST(&a->marks->groups); g != NULL; g = next) {
		next = TAILQ_NEXT(g, link);
		if (!g->sent)
			group_send(g);
	}
}

int
marks_ack(struct account *a, const struct node *n)
{
	const char *class = node_get(n, "class"), *id = node_get(n, "id"),
		   *type = node_get(n, "type");
	struct mark_group *g;

	if (class == NULL || strcmp(class, "receipt") != 0 || id == NULL || type == NULL)
		return 0;
	TAILQ_FOREACH(g, &a->marks->groups, link)
	if (g->sent && strcmp(g->ids[0], id) == 0 && strcmp(g->type, type) == 0) {
		if (node_get(n, "error") != NULL)
			group_end(g, -1, "refused", 0, "the service refused the receipt");
		else
			group_end(g, 0, NULL, 0, NULL);
		return 1;
	}
	return 0;
}

void
marks_disconnected(struct account *a)
{
	struct marks *m = a->marks;

	evtimer_del(m->flush);
	while (!TAILQ_EMPTY(&m->groups))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		group_end(TAILQ_FIRST(&m->groups), -3, "offline", 1,
		    "the connection was lost before the service had it");
}

void
marks_free(struct marks *m)
{
	struct marking *k;

	if (m == NULL)
		return;
	while ((k = TAILQ_FIRST(&m->asking)) != NULL)
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		marking_fail(&m->asking, k, -3, "offline", 1, "the service is stopping");
	marks_disconnected(m->a);
	event_free(m->flush);
	free(m);
}

/* ------------------------------------------------------------------ into a stanza */

static struct mark_group *
group_for(struct marks *m, const struct jid *to, const char *type, size_t n)
{
	struct mark_group *g;

	TAILQ_FOREACH(g, &m->groups, link)
	if (!g->sent && jid_eq(&g->to, to) && strcmp(g->type, type) == 0 &&
	    g->n + n <= RECEIPT_IDS_MAX)
		return g;
	if (m->ngroups >= MARK_GROUPS_MAX)
		return NULL;
	if ((g = calloc(1, sizeof(*g))) == NULL ||
	    (g->timer = evtimer_new(m->a->svc->base, ack_late, g)) == NULL)
		fatal("mark_group");
	g->a = m->a;
	g->to = *to;
	(void)snprintf(g->type, sizeof(g->type), "%s", type);
	TAILQ_INIT(&g->for_whom);
	TAILQ_INSERT_TAIL(&m->groups, g, link);
	m->ngroups++;
	return g;
}

/* NULL: the account's setting is not known yet. */
static const char *
type_of(const struct account *a, const struct marking *k)
{
	int self = k->receipts == MARK_NEVER;

	if (k->receipts == MARK_AS_PRIVACY) {
		if (!a->rec.privacy_known)
			return NULL;
		self = a->rec.read_receipts_disabled;
	}
	if (k->status == MARK_READ)
		return self ? "read-self" : "read";
	return self ? "played-self" : "played";
}

static void
mark_queue(struct marking *k, const struct jid *to)
{
	struct account *a = k->a;
	struct marks *m = a->marks;
	struct timeval tv = {0, FLUSH_MS * 1000};
	const char *type = type_of(a, k);
	struct mark_group *g;

	if (type == NULL) {
		privacy_read(a);
		marking_fail(&m->asking, k, -3, "offline", 1,
		    "whether the account gives read receipts was not told yet by the service");
		return;
	}
	if ((g = group_for(m, to, type, k->n)) == NULL) {
		marking_fail(&m->asking, k, -5, "overloaded", 1, "too many marks are on their way");
		return;
	}
	for (size_t i = 0; i < k->n; i++)
		memcpy(g->ids[g->n++], k->ids[i], sizeof(g->ids[0]));
	TAILQ_REMOVE(&m->asking, k, link);
	TAILQ_INSERT_TAIL(&g->for_whom, k, link);
	if (!login_draining(a))
		group_send(g);
	else if (!evtimer_pending(m->flush, NULL))
		evtimer_add(m->flush, &tv); /* the end of the backlog may be far */
}

static void
mark_known(const struct person *people, size_t n, const Stored__LookupReply *lists, const char *why,
    void *arg)
{
	struct marking *k = arg;
	struct marking_list *asking = &k->a->marks->asking;
	struct jid to;

	k->lookup = NULL;
	if (why != NULL) {
		struct api_error e = api_error_store(why);

		call_fail(k->call, &e);
		marking_drop(asking, k);
	} else if (people[0].id[0] == '\0' || peer_jid(k->a, &people[0], &to) == -1) {
		marking_fail(asking, k, -1, "not_found", 0, "no such chat");
	} else if (k->a->conn == 0 || !k->a->logged_in) {
		marking_fail(asking, k, -3, "offline", 1, "the service cannot be told now");
	} else {
		mark_queue(k, &to);
	}
}

/* ------------------------------------------------------------------ the request */

/* 0, or -1 and the call has ended. */
static int
take_ids(struct marking *k, const struct mark_request *rq)
{
	if ((k->ids = calloc(rq->n, sizeof(*k->ids))) == NULL)
		fatal("chat_mark");
	for (k->n = 0; k->n < rq->n; k->n++) {
		if (!message_id_ok(rq->message_ids[k->n])) {
			struct api_error e =
			    api_error_make(-32602, "params", 0, "not a message id");

			e.path = "message_ids";
			call_fail(k->call, &e);
			return -1;
		}
		(void)snprintf(k->ids[k->n], sizeof(k->ids[0]), "%s", rq->message_ids[k->n]);
	}
	return 0;
}

void
chat_mark(struct account *a, const void *client, const struct mark_request *rq, engine_done_fn *fn,
    void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);
	char text[JID_TEXT_MAX];
	const char *name = peer_name(rq->chat, text);
	struct marking *k;

	if (name == NULL) {
		call_failf(c, -1, "unsupported", 0, "only direct chats can be marked");
		return;
	}
	if (a->conn == 0 || !a->logged_in) {
		call_failf(c, -3, "offline", 1, "the service cannot be told now");
		return;
	}
	if (rq->n == 0 || rq->n > RECEIPT_IDS_MAX) {
		call_failf(c, -1, "too_large", 0, "1 to 256 message ids");
		return;
	}
	if ((k = calloc(1, sizeof(*k))) == NULL)
		fatal("chat_mark");
	k->a = a;
	k->call = c;
	k->status = rq->status;
	k->receipts = rq->receipts;
	TAILQ_INSERT_TAIL(&a->marks->asking, k, link);
	if (take_ids(k, rq) == -1)
		marking_drop(&a->marks->asking, k);
	else
		k->lookup = contacts_ask(a, &name, 1, 0, mark_known, k);
}
