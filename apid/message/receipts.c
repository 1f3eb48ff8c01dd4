/* Delivery receipts that we owe: collected while the backlog is delivered, else sent at once. */
#include "apid/message/receipts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "apid/session/login.h"
#include "apid/session/presence.h"
#include "apid/session/stanza.h"
#include "common/log.h"

#define FLUSH_MS 400

struct group { /* receipts that differ in the id alone */
	TAILQ_ENTRY(group) link;
	struct jid to, participant, recipient;
	int has_participant, has_recipient;
	char type[16];
	char ids[RECEIPT_IDS_MAX][MESSAGE_ID_MAX + 1];
	size_t n;
};

struct receipts {
	struct account *a;
	TAILQ_HEAD(group_list, group) groups;
	size_t ngroups, nids;
	struct event *flush;
};

static void
flush_now(evutil_socket_t fd, short what, void *arg)
{
	receipts_flush(((struct receipts *)arg)->a);
}

struct receipts *
receipts_new(struct account *a)
{
	struct receipts *r = calloc(1, sizeof(*r));

	if (r == NULL)
		fatal("receipts_new");
	r->a = a;
	TAILQ_INIT(&r->groups);
	if ((r->flush = evtimer_new(a->svc->base, flush_now, r)) == NULL)
		fatalx("receipts_new: no event");
	return r;
}

const char *
receipts_type(const struct account *a, const struct envelope *e)
{
	if (e->kind == ENVELOPE_CHANNEL)
		return NULL;
	if (e->peer)
		return "peer_msg";
	if (e->from_me)
		return e->kind != ENVELOPE_DIRECT || e->has_recipient ? "sender" : NULL;
	return e->kind == ENVELOPE_STATUS || presence_is_available(a) ? "" : "inactive";
}

struct node *
receipt_node(const struct jid *to, const struct jid *participant, const struct jid *recipient,
    const char *type, const char *id)
{
	struct node *n = node_new("receipt");

	node_set(n, "id", id);
	node_set_jid(n, "to", to);
	node_set(n, "type", type);
	if (participant != NULL)
		node_set_jid(n, "participant", participant);
	if (recipient != NULL)
		node_set_jid(n, "recipient", recipient);
	if (jid_on(to, JID_BROADCAST) && strcmp(to->user, "status") == 0)
		node_set(n, "context", "status");
	return n;
}

void
receipt_add_ids(struct node *r, const char (*ids)[MESSAGE_ID_MAX + 1], size_t n)
{
	struct node *list;

	if (n == 0)
		return;
	list = node_new("list");

	for (size_t i = 0; i < n; i++) {
		struct node *item = node_new("item");

		node_set(item, "id", ids[i]);
		node_add(list, item);
	}
	node_add(r, list);
}

static void
group_send(struct receipts *r, struct group *g)
{
	struct node *n = receipt_node(&g->to, g->has_participant ? &g->participant : NULL,
	    g->has_recipient ? &g->recipient : NULL, g->type, g->ids[0]);

	if (g->n > 1) {
		node_setf(n, "t", "%lld", (long long)account_server_time(r->a));
		receipt_add_ids(n, (const char(*)[MESSAGE_ID_MAX + 1]) & g->ids[1], g->n - 1);
	}
	if (stanza_send(r->a, n) == 0)
		r->a->n.receipts_out += g->n;
	r->nids -= g->n;
	r->ngroups--;
	TAILQ_REMOVE(&r->groups, g, link);
	free(g);
}

static void
drop_groups(struct receipts *r)
{
	struct group *g;

	while ((g = TAILQ_FIRST(&r->groups)) != NULL) {
		TAILQ_REMOVE(&r->groups, g, link);
		free(g);
	}
	r->ngroups = r->nids = 0;
	evtimer_del(r->flush);
}

void
receipts_flush(struct account *a)
{
	struct receipts *r = a->receipts;
	struct group *g;

	while (a->conn != 0 && (g = TAILQ_FIRST(&r->groups)) != NULL)
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		group_send(r, g);
	evtimer_del(r->flush);
}

void
receipts_disconnected(struct account *a)
{
	drop_groups(a->receipts);
}

size_t
receipts_collected(const struct account *a)
{
	return a->receipts->nids;
}

static int
same(const struct jid *x, int has_x, const struct jid *y)
{
	return y == NULL ? !has_x : has_x && jid_eq(x, y);
}

static struct group *
group_find(struct receipts *r, const struct jid *to, const struct jid *participant,
    const struct jid *recipient, const char *type)
{
	struct group *g;

	TAILQ_FOREACH(g, &r->groups, link)
	if (jid_eq(&g->to, to) && same(&g->participant, g->has_participant, participant) &&
	    same(&g->recipient, g->has_recipient, recipient) && strcmp(g->type, type) == 0)
		return g;
	if (r->ngroups >= RECEIPT_GROUPS_MAX)
		receipts_flush(r->a);
	if ((g = calloc(1, sizeof(*g))) == NULL)
		return NULL;
	g->to = *to;
	if ((g->has_participant = participant != NULL))
		g->participant = *participant;
	if ((g->has_recipient = recipient != NULL))
		g->recipient = *recipient;
	(void)snprintf(g->type, sizeof(g->type), "%s", type);
	TAILQ_INSERT_TAIL(&r->groups, g, link);
	r->ngroups++;
	return g;
}

void
receipts_owe_parts(struct account *a, const struct jid *to, const struct jid *participant,
    const struct jid *recipient, const char *type, const char *id)
{
	struct receipts *r = a->receipts;
	struct timeval tv = {0, FLUSH_MS * 1000};
	struct group *g = NULL;

	if (a->conn == 0)
		return;
	if (login_draining(a))
		g = group_find(r, to, participant, recipient, type);
	if (g == NULL) {
		if (stanza_send(a, receipt_node(to, participant, recipient, type, id)) == 0)
			a->n.receipts_out++;
		return;
	}
	(void)snprintf(g->ids[g->n++], sizeof(g->ids[0]), "%s", id);
	r->nids++;
	if (g->n == RECEIPT_IDS_MAX)
		group_send(r, g);
	else if (!evtimer_pending(r->flush, NULL))
		evtimer_add(r->flush, &tv); /* the end of the backlog may be far */
}

void
receipts_owe(struct account *a, const struct envelope *e)
{
	const char *type = receipts_type(a, e);
	struct jid recipient;
	struct node *ack;

	if (type == NULL) { /* a plain ack takes it off the queue (10.7) */
		ack = node_new("ack");
		node_set(ack, "class", "message");
		node_set(ack, "id", e->id);
		node_set_jid(ack, "to", &e->from);
		if (e->has_participant)
			node_set_jid(ack, "participant", &e->participant);
		if (a->dev.has_jid)
			node_set_jid(ack, "from", &a->dev.jid);
		(void)stanza_send(a, ack);
		return;
	}
	recipient = jid_bare(&e->recipient);
	receipts_owe_parts(a, &e->from, e->has_participant ? &e->participant : NULL,
	    e->has_recipient && strcmp(type, "sender") == 0 ? &recipient : NULL, type, e->id);
}

void
receipts_free(struct receipts *r)
{
	if (r == NULL)
		return;
	drop_groups(r);
	event_free(r->flush);
	free(r);
}
