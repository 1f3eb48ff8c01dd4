/* Receipts that come: marks of who has a message, and message.status or message.read. */
#include "apid/message/receipts_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "apid/message/calls.h"
#include "apid/message/contacts.h"
#include "apid/message/outbox.h"
#include "apid/message/receipt_parse.h"
#include "apid/message/retry.h"
#include "apid/session/engine.h"
#include "apid/session/stanza.h"
#include "apid/session/unit.h"
#include "common/log.h"

#define BATCH_UPDATES 512u /* of one unit of work */

struct receipt {
	struct flow f; /* first */
	TAILQ_ENTRY(receipt) link;
	struct account *a;
	struct node *n;
	size_t size;
	uint64_t conn;
	struct receipt_facts facts;
	size_t at, batch;                 /* updates */
	size_t first_party, nparties;     /* of the batch */
	struct jid who[CONTACTS_ASK_MAX]; /* those that are asked for */
	struct person people[CONTACTS_ASK_MAX];
	int wrote[CONTACTS_ASK_MAX];
	struct contacts_request *lookup;
	struct unit *unit;
};

struct receipts_in {
	TAILQ_HEAD(receipt_list, receipt) list;
};

static void receipt_end(struct flow *f, const char *outcome, const char *text);
static void receipt_next(struct receipt *r);
static const struct flow_kind receipt_kind = {"receipt", receipt_end};

struct receipts_in *
receipts_in_new(struct account *a)
{
	struct receipts_in *in = calloc(1, sizeof(*in));

	if (in == NULL)
		fatal("receipts_in_new");
	TAILQ_INIT(&in->list);
	return in;
}

void
receipts_in_free(struct receipts_in *in)
{
	if (in == NULL)
		return;
	while (!TAILQ_EMPTY(&in->list))
		flow_end(&TAILQ_FIRST(&in->list)->f, "cancelled", "stopping");
	free(in);
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
	TAILQ_REMOVE(&a->receipts_in->list, r, link);
	engine_inbound_end(a->svc, r->size);
	receipt_facts_clear(&r->facts);
	node_free(r->n);
	free(r);
	if (outcome != NULL && current && strcmp(outcome, "cancelled") != 0)
		account_store_failed(a, outcome);
}

static void
receipt_committed(const struct unit_result *u, void *arg)
{
	struct receipt *r = arg;

	r->unit = NULL;
	for (size_t i = 0; i < r->nparties; i++)
		if (r->wrote[i])
			contacts_written(r->a, &r->who[i], u->ok);
	if (!u->ok) {
		flow_end(&r->f, u->reason, "the receipt comes again");
		return;
	}
	for (size_t i = r->at; i < r->at + r->batch && r->facts.kind == RECEIPT_STATUS; i++) {
		const struct receipt_update *p = &r->facts.updates[i];
		char party[JID_TEXT_MAX];
		struct outbox_news news = {.id = p->id,
		    .party = jid_format(&r->facts.parties[p->party].jid, party),
		    .status = p->status,
		    .time_ms = p->time_ms};

		outbox_status(r->a, &news);
	}
	r->at += r->batch;
	receipt_next(r);
}

/* ------------------------------------------------------------------ what a batch becomes */

static void
status_key(char key[256], const char *id, const char *who, const char *status)
{
	(void)snprintf(key, 256, "r:%s:%s:%s", id, who, status);
}

/* Kept for a message to this chat, by whatever name it went. */
static void
mark(struct receipt *r, const struct receipt_update *p, const char *party)
{
	const struct person *other = &r->people[p->party - r->first_party];
	struct unit_mark m = {
	    .id = p->id, .party = party, .status = p->status, .time_ms = p->time_ms};
	char chat[JID_TEXT_MAX], name[JID_TEXT_MAX];
	struct jid j;

	m.chats[m.n_chats++] = jid_format(&r->facts.chat, chat);
	if (jid_by_number(&r->facts.chat) && other->lid[0] != '\0' &&
	    jid_make(&j, other->lid, JID_LID, 0) == 0)
		m.chats[m.n_chats++] = jid_format(&j, name);
	if (jid_by_lid(&r->facts.chat) && other->pn[0] != '\0' &&
	    jid_make(&j, other->pn, JID_PN, 0) == 0)
		m.chats[m.n_chats++] = jid_format(&j, name);
	unit_receipt(r->unit, &m);
}

/* A message does not go back: who has read it is not told again as having it. */
static void
status_event(struct receipt *r, const struct receipt_update *p, const char *chat_id)
{
	size_t i = p->party - r->first_party;
	const struct person *who = &r->people[i];
	char party[JID_TEXT_MAX], key[256], read[256], played[256];
	const char *unless[2] = {played, read}, *name;
	size_t n = strcmp(p->status, "delivered") == 0 ? 2 : strcmp(p->status, "read") == 0 ? 1 : 0;
	struct jid j = r->who[i];
	json_t *o;

	/* one party, in whatever namespace it speaks */
	if (who->lid[0] != '\0')
		(void)jid_make(&j, who->lid, JID_LID, 0);
	(void)jid_format(&j, party);
	name = who->id[0] != '\0' ? who->id : party;
	status_key(key, p->id, name, p->status);
	status_key(read, p->id, name, "read");
	status_key(played, p->id, name, "played");
	o = json_pack("{s:s, s:s, s:o, s:s, s:I}", "message_id", p->id, "chat", chat_id, "party",
	    contacts_party(who), "status", p->status, "time_ms", (json_int_t)p->time_ms);
	mark(r, p, party);
	unit_event_unless(
	    r->unit, "message.status", stanza_origin(r->n), p->time_ms, o, key, unless, n);
}

static void
read_event(struct receipt *r, const char *chat_id)
{
	const struct receipt_update *first = &r->facts.updates[r->at];
	json_t *ids = json_array();
	char key[256];

	for (size_t i = 0; i < r->batch; i++)
		json_array_append_new(ids, json_string(first[i].id));
	(void)snprintf(key, sizeof(key), "o:%s:%s:%s:%zu:%lld", chat_id, first->status, first->id,
	    r->batch, (long long)first->time_ms);
	unit_event(r->unit, "message.read", stanza_origin(r->n), first->time_ms,
	    json_pack(
		"{s:o, s:s, s:s}", "message_ids", ids, "chat", chat_id, "kind", first->status),
	    key);
}

static void
receipt_known(const struct person *people, size_t n, const Stored__LookupReply *lists,
    const char *why, void *arg)
{
	struct receipt *r = arg;
	const struct receipt_facts *f = &r->facts;
	char chat_id[STABLE_ID_LEN + 1];

	r->lookup = NULL;
	if (why != NULL) {
		flow_end(&r->f, why, "the receipt comes again");
		return;
	}
	memcpy(r->people, people, n * sizeof(*people));
	flow_step(&r->f, "receipt_committed");
	if ((r->unit = unit_open(r->a)) == NULL) {
		flow_end(&r->f, "memory", "out of memory");
		return;
	}
	contacts_chat_id(&f->chat, &r->people[0], chat_id);
	if (f->kind == RECEIPT_OWN)
		read_event(r, chat_id);
	for (size_t i = r->at; i < r->at + r->batch && f->kind == RECEIPT_STATUS; i++)
		status_event(r, &f->updates[i], chat_id);
	for (size_t i = 0; i < r->nparties; i++) {
		const struct receipt_party *p = &f->parties[r->first_party + i];

		if (f->kind == RECEIPT_STATUS && p->has_alt)
			contacts_learn_pair(r->a, p->alt.user, p->jid.user, "other");
		r->wrote[i] = contacts_write(r->a, &r->who[i], r->unit);
	}
	unit_patient(r->unit);
	unit_commit(r->unit, receipt_committed, r);
}

/* The next updates, as many as concern few people. */
static void
receipt_next(struct receipt *r)
{
	const struct receipt_facts *f = &r->facts;
	char text[CONTACTS_ASK_MAX][JID_TEXT_MAX];
	const char *names[CONTACTS_ASK_MAX];

	if (r->at == f->nupdates) {
		flow_end(&r->f, NULL, NULL);
		return;
	}
	flow_step(&r->f, "receipt_known");
	r->first_party = f->updates[r->at].party;
	r->batch = 0;
	while (r->at + r->batch < f->nupdates && r->batch < BATCH_UPDATES &&
	       f->updates[r->at + r->batch].party - r->first_party < CONTACTS_ASK_MAX)
		r->batch++;
	r->nparties = f->updates[r->at + r->batch - 1].party - r->first_party + 1;
	for (size_t i = 0; i < r->nparties; i++) {
		r->who[i] = f->kind == RECEIPT_OWN ? f->chat : f->parties[r->first_party + i].jid;
		names[i] = jid_format(&r->who[i], text[i]);
	}
	r->lookup = contacts_ask(r->a, names, r->nparties, 0, receipt_known, r);
}

/* ------------------------------------------------------------------ arriving */

static void
receipt_flow(struct account *a, struct receipt *r, struct node *n, size_t size)
{
	flow_init(&r->f, a->svc->flows, &receipt_kind, a->name, NULL, 0);
	r->a = a;
	r->n = n;
	r->size = size;
	r->conn = a->conn;
	TAILQ_INSERT_TAIL(&a->receipts_in->list, r, link);
	engine_inbound_begin(a->svc, size);
	receipt_next(r);
}

void
receipts_in(struct account *a, struct node *n, size_t size)
{
	struct receipt *r = calloc(1, sizeof(*r));

	a->n.receipts_in++;
	if (r == NULL || receipt_parse(a, n, stanza_time_ms(a, n), &r->facts) == -1) {
		if (r != NULL)
			receipt_facts_clear(&r->facts);
		free(r);
		node_free(n);
		account_store_failed(a, "memory");
		return;
	}
	switch (r->facts.kind) {
	case RECEIPT_STATUS:
	case RECEIPT_OWN:
		receipt_flow(a, r, n, size);
		return;
	case RECEIPT_RETRY:
		retry_in(a, n, size);
		n = NULL;
		break;
	case RECEIPT_CALL:
		calls_rekey_asked(a, n);
		stanza_ack(a, n, 0);
		break;
	case RECEIPT_SILENT:
		stanza_ack(a, n, 0);
		break;
	case RECEIPT_UNKNOWN:
		stanza_notice(a, n, "receipt", 1);
		break;
	}
	receipt_facts_clear(&r->facts);
	free(r);
	node_free(n);
}
