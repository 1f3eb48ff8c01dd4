/* Receipts that come, and those that we owe. */
#include "apid/message/receipts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "apid/message/contacts.h"
#include "apid/message/outbox.h"
#include "apid/message/retry.h"
#include "apid/session/call.h"
#include "apid/session/engine.h"
#include "apid/session/login.h"
#include "apid/session/stanza.h"
#include "apid/session/unit.h"
#include "common/clock.h"
#include "common/log.h"

#define FLUSH_MS  400
#define BATCH_IDS 512u /* of one unit of work */
#define IDS_MAX   16384u

/* ------------------------------------------------------------------ out */

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
	TAILQ_HEAD(receipt_list, receipt) in;
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
	TAILQ_INIT(&r->in);
	if ((r->flush = evtimer_new(a->svc->base, flush_now, r)) == NULL)
		fatalx("receipts_new: no event");
	return r;
}

const char *
receipts_type(const struct envelope *e)
{
	if (e->kind == ENVELOPE_CHANNEL)
		return NULL;
	if (e->peer)
		return "peer_msg";
	if (e->from_me)
		return e->kind != ENVELOPE_DIRECT || e->has_recipient ? "sender" : NULL;
	return e->kind == ENVELOPE_STATUS ? "" : "inactive"; /* presence is never "available" */
}

static struct node *
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

static struct node *
list_node(const char (*ids)[MESSAGE_ID_MAX + 1], size_t n)
{
	struct node *list = node_new("list");

	for (size_t i = 0; i < n; i++) {
		struct node *item = node_new("item");

		node_set(item, "id", ids[i]);
		node_add(list, item);
	}
	return list;
}

static void
group_send(struct receipts *r, struct group *g)
{
	struct node *n = receipt_node(&g->to, g->has_participant ? &g->participant : NULL,
	    g->has_recipient ? &g->recipient : NULL, g->type, g->ids[0]);

	if (g->n > 1) {
		node_setf(n, "t", "%lld", (long long)account_server_time(r->a));
		node_add(n, list_node((const char(*)[MESSAGE_ID_MAX + 1]) & g->ids[1], g->n - 1));
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
	if (login_in_backlog(a))
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
	const char *type = receipts_type(e);
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

/* ------------------------------------------------------------------ in */

struct receipt {
	struct flow f; /* first */
	TAILQ_ENTRY(receipt) link;
	struct account *a;
	struct node *n;
	size_t size;
	uint64_t conn;
	struct jid party, chat;
	const char *status; /* delivered, read, played */
	int own;            /* another own device read it */
	int64_t time_ms;
	const char **ids;
	size_t nids, at, batch;
	struct person person;
	struct contacts_request *lookup;
	struct unit *unit;
	int wrote;
};

static void receipt_end(struct flow *f, const char *outcome, const char *text);
static void receipt_batch(struct receipt *r);
static const struct flow_kind receipt_kind = {"receipt", receipt_end};

void
receipts_free(struct receipts *r)
{
	if (r == NULL)
		return;
	while (!TAILQ_EMPTY(&r->in))
		flow_end(&TAILQ_FIRST(&r->in)->f, "cancelled", "stopping");
	drop_groups(r);
	event_free(r->flush);
	free(r);
}

static void
receipt_end(struct flow *f, const char *outcome, const char *text)
{
	struct receipt *r = (struct receipt *)f;
	struct account *a = r->a;
	int current = r->conn == a->conn;

	if (outcome == NULL && current)
		stanza_ack(a, r->n, 0);
	contacts_cancel(r->lookup);
	unit_detach(r->unit);
	TAILQ_REMOVE(&a->receipts->in, r, link);
	engine_inbound_end(a->svc, r->size);
	node_free(r->n);
	free(r->ids);
	free(r);
	if (outcome != NULL && current && strcmp(outcome, "cancelled") != 0)
		account_store_failed(a, outcome);
}

static void
receipt_committed(const struct unit_result *u, void *arg)
{
	struct receipt *r = arg;

	r->unit = NULL;
	if (r->wrote)
		contacts_written(r->a, r->own ? &r->chat : &r->party, u->ok);
	if (!u->ok) {
		flow_end(&r->f, u->reason, "the receipt comes again");
		return;
	}
	for (size_t i = 0; i < r->batch && !r->own; i++)
		outbox_status(r->a, r->ids[r->at + i], r->status, r->time_ms, 0, NULL);
	r->at += r->batch;
	if (r->at < r->nids)
		receipt_batch(r);
	else
		flow_end(&r->f, NULL, NULL);
}

static void
status_event(struct receipt *r, const char *id, const char *party, const char *chat_id)
{
	json_t *o =
	    json_pack("{s:s, s:s, s:o, s:s, s:I}", "message_id", id, "chat", chat_id, "party",
		contacts_party(&r->person), "status", r->status, "time_ms", (json_int_t)r->time_ms);
	char key[256];

	(void)snprintf(key, sizeof(key), "r:%s:%s:%s", id,
	    r->person.id[0] != '\0' ? r->person.id : party, r->status);
	unit_receipt(r->unit, id, party, r->status, r->time_ms);
	unit_event(r->unit, "message.status", stanza_origin(r->n), r->time_ms, o, key);
}

static void
read_event(struct receipt *r, const char *chat_id)
{
	json_t *ids = json_array();

	for (size_t i = 0; i < r->batch; i++)
		json_array_append_new(ids, json_string(r->ids[r->at + i]));
	unit_event(r->unit, "message.read", stanza_origin(r->n), r->time_ms,
	    json_pack("{s:o, s:s, s:s}", "message_ids", ids, "chat", chat_id, "kind", r->status),
	    NULL);
}

static void
receipt_batch(struct receipt *r)
{
	char chat_id[STABLE_ID_LEN + 1], party[JID_TEXT_MAX];

	flow_step(&r->f, "receipt_committed");
	if ((r->unit = unit_open(r->a)) == NULL) {
		flow_end(&r->f, "memory", "out of memory");
		return;
	}
	r->batch = r->nids - r->at < BATCH_IDS ? r->nids - r->at : BATCH_IDS;
	contacts_chat_id(&r->chat, &r->person, chat_id);
	(void)jid_format(&r->party, party);
	if (r->own)
		read_event(r, chat_id);
	for (size_t i = 0; i < r->batch && !r->own; i++)
		status_event(r, r->ids[r->at + i], party, chat_id);
	r->wrote = contacts_write(r->a, r->own ? &r->chat : &r->party, r->unit);
	unit_commit(r->unit, receipt_committed, r);
}

static void
receipt_known(const struct person *people, size_t n, const Stored__LookupReply *lists,
    const char *why, void *arg)
{
	struct receipt *r = arg;

	r->lookup = NULL;
	if (why != NULL) {
		flow_end(&r->f, why, "the receipt comes again");
		return;
	}
	r->person = people[0];
	receipt_batch(r);
}

/* The words of a receipt that say something of a message of ours; NULL for the others. */
static const char *
status_of(const char *type)
{
	if (type == NULL || type[0] == '\0' || strcmp(type, "inactive") == 0)
		return "delivered";
	if (strcmp(type, "read") == 0 || strcmp(type, "read-self") == 0)
		return "read";
	if (strcmp(type, "played") == 0 || strcmp(type, "played-self") == 0)
		return "played";
	return NULL;
}

static int
take_ids(struct receipt *r)
{
	const struct node *list = node_child(r->n, "list");
	const char *id = node_get(r->n, "id");
	size_t max = 1 + (list != NULL ? list->nchildren : 0);

	if (max > IDS_MAX || (r->ids = calloc(max, sizeof(*r->ids))) == NULL)
		return -1;
	if (id != NULL && message_id_ok(id))
		r->ids[r->nids++] = id;
	for (size_t i = 0; list != NULL && i < list->nchildren; i++) {
		id = node_get(list->children[i], "id");
		if (id != NULL && message_id_ok(id))
			r->ids[r->nids++] = id;
	}
	return r->nids > 0 ? 0 : -1;
}

/* From, or participant in groups: who has it; and the chat. -1: nothing to tell of it. */
static int
take_party(struct receipt *r)
{
	struct jid from, j;

	if (node_get_jid(r->n, "from", &from) == -1 || from.user[0] == '\0')
		return -1;
	r->chat = jid_bare(&from);
	r->party = jid_bare(&from);
	if (jid_on(&from, JID_GROUP) || jid_on(&from, JID_BROADCAST)) {
		if (node_get_jid(r->n, "participant", &j) == -1)
			return -1;
		r->party = jid_bare(&j);
	}
	r->own = account_is_own(r->a, &r->party);
	if (r->own && node_get_jid(r->n, "recipient", &j) == 0)
		r->chat = jid_bare(&j);
	return 0;
}

static void
receipt_flow(struct account *a, struct receipt *r, struct node *n, size_t size, const char *status)
{
	char text[JID_TEXT_MAX];
	const char *names[1];

	flow_init(&r->f, a->svc->flows, &receipt_kind, a->name, NULL, 0);
	flow_step(&r->f, "receipt_known");
	r->status = status;
	r->size = size;
	r->conn = a->conn;
	r->time_ms = stanza_time_ms(a, n);
	TAILQ_INSERT_TAIL(&a->receipts->in, r, link);
	engine_inbound_begin(a->svc, size);
	names[0] = jid_format(r->own ? &r->chat : &r->party, text);
	r->lookup = contacts_ask(a, names, 1, 0, receipt_known, r);
}

void
receipts_in(struct account *a, struct node *n, size_t size)
{
	const char *type = node_get(n, "type"), *status = status_of(type);
	struct receipt *r;

	a->n.receipts_in++;
	if (type != NULL && strcmp(type, "retry") == 0) {
		retry_in(a, n, size);
		return;
	}
	if ((r = calloc(1, sizeof(*r))) == NULL) {
		node_free(n);
		account_store_failed(a, "memory");
		return;
	}
	r->a = a;
	r->n = n;
	if (status != NULL && node_child(n, "participants") == NULL && take_party(r) == 0 &&
	    take_ids(r) == 0) {
		if (!(r->own && strcmp(status, "delivered") == 0) &&
		    node_child(n, "error") == NULL) {
			receipt_flow(a, r, n, size, status);
			return;
		}
		stanza_ack(a, n, 0); /* says nothing of the other side */
	} else if (type != NULL && (strcmp(type, "sender") == 0 || strcmp(type, "peer_msg") == 0 ||
				       strcmp(type, "hist_sync") == 0)) {
		stanza_ack(a, n, 0); /* between our own devices */
	} else {
		stanza_notice(a, n, "receipt", 1);
	}
	free(r->ids);
	free(r);
	node_free(n);
}

/* ------------------------------------------------------------------ chat.mark_read */

struct marking {
	struct account *a;
	struct call *call;
	char (*ids)[MESSAGE_ID_MAX + 1];
	size_t n;
};

static void
mark_known(const struct person *people, size_t n, const Stored__LookupReply *lists, const char *why,
    void *arg)
{
	struct marking *m = arg;
	struct account *a = m->a;
	const struct person *p = people;
	struct jid to;
	struct node *r;
	int lid;

	if (why != NULL) {
		struct api_error e = api_error_store(why);

		call_fail(m->call, &e);
	} else if (p->id[0] == '\0') {
		call_failf(m->call, -1, "not_found", 0, "no such chat");
	} else {
		lid = p->lid[0] != '\0' && (a->rec.lid_migrated || p->pn[0] == '\0');
		r = NULL;
		if (jid_make(&to, lid ? p->lid : p->pn, lid ? JID_LID : JID_PN, 0) == 0)
			r = receipt_node(&to, NULL, NULL, "read", m->ids[0]);
		if (r != NULL) {
			node_setf(r, "t", "%lld", (long long)account_server_time(a));
			if (m->n > 1)
				node_add(
				    r, list_node((const char(*)[MESSAGE_ID_MAX + 1]) & m->ids[1],
					   m->n - 1));
		}
		if (stanza_send(a, r) == -1)
			call_failf(m->call, -3, "offline", 1, "the service cannot be told now");
		else
			call_ok(m->call, json_pack("{s:I}", "marked", (json_int_t)m->n));
	}
	free(m->ids);
	free(m);
}

static const char *
person_name(const char *chat, char buf[JID_TEXT_MAX])
{
	struct jid j;

	if (stable_id_is(chat, 'c') || stable_id_is(chat, 'u')) {
		(void)snprintf(buf, JID_TEXT_MAX, "%s", chat);
		buf[0] = 'u'; /* a direct chat is named by its person */
		return buf;
	}
	if (chat[0] == '+')
		return jid_make(&j, chat + 1, JID_PN, 0) == -1 ? NULL : jid_format(&j, buf);
	if (jid_parse(chat, &j) == -1 || (!jid_is_pn(&j) && !jid_is_lid(&j)))
		return NULL;
	j = jid_bare(&j);
	return jid_format(&j, buf);
}

void
chat_mark_read(struct account *a, const void *client, const char *chat,
    const char *const *message_ids, size_t n, engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);
	char text[JID_TEXT_MAX];
	const char *name = person_name(chat, text);
	struct marking *m;

	if (name == NULL) {
		call_failf(c, -1, "unsupported", 0, "only direct chats can be marked");
		return;
	}
	if (a->conn == 0 || !a->logged_in) {
		call_failf(c, -3, "offline", 1, "the service cannot be told now");
		return;
	}
	if (n == 0 || n > RECEIPT_IDS_MAX || (m = calloc(1, sizeof(*m))) == NULL) {
		call_failf(c, -1, "too_large", 0, "1 to 256 message ids");
		return;
	}
	m->a = a;
	m->call = c;
	m->n = n;
	if ((m->ids = calloc(n, sizeof(*m->ids))) == NULL)
		fatal("chat_mark_read");
	for (size_t i = 0; i < n; i++) {
		if (!message_id_ok(message_ids[i])) {
			struct api_error e =
			    api_error_make(-32602, "params", 0, "not a message id");

			e.path = "message_ids";
			call_fail(c, &e);
			free(m->ids);
			free(m);
			return;
		}
		(void)snprintf(m->ids[i], sizeof(m->ids[i]), "%s", message_ids[i]);
	}
	(void)contacts_ask(a, &name, 1, 0, mark_known, m);
}
