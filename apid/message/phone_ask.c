/* Asking the own phone for messages that could not be read. */
#include "apid/message/phone_ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <sodium.h>

#include "apid/message/contacts.h"
#include "apid/message/give_up.h"
#include "apid/message/peer_send.h"
#include "apid/message/recv_event.h"
#include "apid/message/retry.h"
#include "apid/session/engine.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"

#define NEAR_MS    2000    /* what is due so soon goes with what is due */
#define ROW_CHAT   "phone" /* no chat has such an id */
#define ROW_SENDER "asked"
#define SCAN_ROWS  64u

struct wanted {
	TAILQ_ENTRY(wanted) link;
	struct unread_name name;
	int64_t due_ms; /* monotonic */
};

struct phone_ask {     /* one request */
	struct flow f; /* first */
	TAILQ_ENTRY(phone_ask) link;
	struct phone_asks *p;
	struct unread_name names[PHONE_ASK_BATCH];
	struct node *stanzas[PHONE_ASK_BATCH]; /* of those that are still unread */
	uint32_t attempts[PHONE_ASK_BATCH];
	size_t n;
	struct ask *ask;
	struct peer_send *send;
	struct give_up *giving;
	struct event *over;
	char id[MESSAGE_ID_MAX + 1]; /* of its stanza */
};

struct phone_asks {
	struct account *a;
	TAILQ_HEAD(wanted_list, wanted) wanted; /* oldest first */
	TAILQ_HEAD(ask_list, phone_ask) asks;
	size_t n;    /* messages in both */
	int sending; /* one request at a time is made */
	struct event *timer;
	struct ask *scan;
	char *scan_after;
	int scanned; /* what earlier runs left has been looked for */
};

static void ask_end(struct flow *f, const char *outcome, const char *text);
static void tick(evutil_socket_t fd, short what, void *arg);
static const struct flow_kind ask_kind = {"phone_ask", ask_end};

struct phone_asks *
phone_asks_new(struct account *a)
{
	struct phone_asks *p = calloc(1, sizeof(*p));

	if (p == NULL)
		fatal("phone_asks_new");
	p->a = a;
	TAILQ_INIT(&p->wanted);
	TAILQ_INIT(&p->asks);
	if ((p->timer = evtimer_new(a->svc->base, tick, p)) == NULL)
		fatalx("phone_asks_new: no event");
	return p;
}

static void
wanted_drop(struct phone_asks *p, struct wanted *w)
{
	TAILQ_REMOVE(&p->wanted, w, link);
	p->n--;
	free(w);
}

void
phone_asks_free(struct phone_asks *p)
{
	struct phone_ask *k, *next_ask;
	struct wanted *w, *next;

	if (p == NULL)
		return;
	for (k = TAILQ_FIRST(&p->asks); k != NULL; k = next_ask) {
		next_ask = TAILQ_NEXT(k, link);
		flow_end(&k->f, "cancelled", "stopping");
	}
	for (w = TAILQ_FIRST(&p->wanted); w != NULL; w = next) {
		next = TAILQ_NEXT(w, link);
		wanted_drop(p, w);
	}
	ask_cancel(p->scan);
	free(p->scan_after);
	event_free(p->timer);
	free(p);
}

/* ------------------------------------------------------------------ what waits */

int
phone_ask_may(const struct account *a, const struct envelope *e)
{
	return e->kind != ENVELOPE_CHANNEL && !e->peer &&
	       e->time_ms > clock_wall_ms() + a->skew_ms - PHONE_ASK_AGE_MS;
}

static void
arm(struct phone_asks *p)
{
	const struct wanted *w = TAILQ_FIRST(&p->wanted);
	int64_t ms = w == NULL ? 0 : w->due_ms - clock_mono_ms();
	struct timeval tv = {0, 0};

	if (w == NULL || p->sending || p->a->state != ACCOUNT_ONLINE)
		return;
	if (ms > 0) {
		tv.tv_sec = ms / 1000;
		tv.tv_usec = (suseconds_t)(ms % 1000 * 1000);
	}
	evtimer_add(p->timer, &tv);
}

static int
known(const struct phone_asks *p, const struct unread_name *name)
{
	const struct phone_ask *k;
	const struct wanted *w;

	TAILQ_FOREACH(w, &p->wanted, link)
	if (unread_same(&w->name, name))
		return 1;
	TAILQ_FOREACH(k, &p->asks, link)
	for (size_t i = 0; i < k->n; i++)
		if (unread_same(&k->names[i], name))
			return 1;
	return 0;
}

static void
want(struct phone_asks *p, const struct unread_name *name, int64_t later_ms)
{
	struct wanted *w;

	if (p->n >= PHONE_ASK_WAITING || known(p, name) || (w = calloc(1, sizeof(*w))) == NULL)
		return; /* its row stays, and is found at another login */
	w->name = *name;
	w->due_ms = clock_mono_ms() + later_ms;
	TAILQ_INSERT_TAIL(&p->wanted, w, link);
	p->n++;
	arm(p);
}

void
phone_ask_want(struct account *a, const struct unread_name *name)
{
	want(a->phone_asks, name, PHONE_ASK_LATER_MS);
}

void
phone_ask_read(struct account *a, const struct unread_name *name)
{
	struct phone_asks *p = a->phone_asks;
	struct wanted *w;

	TAILQ_FOREACH(w, &p->wanted, link)
	if (unread_same(&w->name, name)) {
		wanted_drop(p, w);
		return;
	}
}

int
phone_ask_waits(const struct account *a, const struct unread_name *name)
{
	return known(a->phone_asks, name);
}

void
phone_ask_answered(struct account *a, const char *id)
{
	struct phone_ask *k;

	TAILQ_FOREACH(k, &a->phone_asks->asks, link)
	if (strcmp(k->id, id) == 0) {
		flow_end(&k->f, NULL, NULL);
		return;
	}
}

/* ------------------------------------------------------------------ what an earlier run left */

static void scan_next(struct phone_asks *p);

static void
scanned(const struct reply *rp, void *arg)
{
	struct phone_asks *p = arg;
	const Stored__ScanReply *m = (const Stored__ScanReply *)rp->pb;

	p->scan = NULL;
	if (!rp->ok) {
		p->scanned = 0; /* again when online again */
		return;
	}
	for (size_t i = 0; i < m->n_pendings; i++) {
		const Stored__Pending *row = m->pendings[i];
		struct unread_name name = {.id = ""};

		if (!unread_is_message(row->name) || (row->attempts & UNREAD_PHONE) != 0)
			continue;
		(void)snprintf(name.chat, sizeof(name.chat), "%s", row->name->chat);
		(void)snprintf(name.sender, sizeof(name.sender), "%s", row->name->sender);
		(void)snprintf(name.id, sizeof(name.id), "%s", row->name->id);
		want(p, &name, 0);
	}
	free(p->scan_after);
	p->scan_after = m->next != NULL ? strdup(m->next) : NULL;
	if (p->scan_after != NULL && p->n < PHONE_ASK_WAITING)
		scan_next(p);
	else
		p->scanned = p->scan_after == NULL; /* there are more: when these are done */
}

static void
scan_next(struct phone_asks *p)
{
	Stored__Scan m = STORED__SCAN__INIT;

	p->scanned = 1;
	m.account = p->a->name;
	m.table = STORED__TABLE__PENDINGS;
	m.after = p->scan_after;
	m.limit = SCAN_ROWS;
	p->scan = ask_stored(p->a, STORED__TYPE__SCAN, &m.base, STORED__TYPE__SCAN_REPLY,
	    &stored__scan_reply__descriptor, UNREAD_REPLY_MAX, ASK_DEADLINE_MS, scanned, p);
}

void
phone_ask_online(struct account *a)
{
	struct phone_asks *p = a->phone_asks;

	if (!p->scanned && p->scan == NULL && p->n < PHONE_ASK_WAITING)
		scan_next(p);
	arm(p);
}

/* ------------------------------------------------------------------ the row of a request */

void
phone_ask_request_name(const char *id, struct unread_name *out)
{
	memset(out, 0, sizeof(*out));
	(void)snprintf(out->chat, sizeof(out->chat), ROW_CHAT);
	(void)snprintf(out->sender, sizeof(out->sender), ROW_SENDER);
	(void)snprintf(out->id, sizeof(out->id), "%s", id);
}

static struct node *
request_node(const struct phone_ask *k)
{
	struct node *n = node_new("asked");

	for (size_t i = 0; i < k->n; i++) {
		struct node *m = node_child_new(n, "m");

		node_set(m, "chat", k->names[i].chat);
		node_set(m, "sender", k->names[i].sender);
		node_set(m, "id", k->names[i].id);
	}
	return n;
}

static int
copy(char *to, size_t size, const char *from)
{
	return from == NULL || (size_t)snprintf(to, size, "%s", from) >= size ? -1 : 0;
}

size_t
phone_ask_names(const ProtobufCBinaryData *row, struct unread_name *out, size_t max)
{
	struct node *n = row->len == 0 ? NULL : node_decode(row->data, row->len, NULL);
	size_t k = 0;

	for (size_t i = 0; n != NULL && i < n->nchildren && k < max; i++) {
		const struct node *m = n->children[i];

		memset(&out[k], 0, sizeof(out[k]));
		k += copy(out[k].chat, sizeof(out[k].chat), node_get(m, "chat")) == 0 &&
		     copy(out[k].sender, sizeof(out[k].sender), node_get(m, "sender")) == 0 &&
		     copy(out[k].id, sizeof(out[k].id), node_get(m, "id")) == 0;
	}
	node_free(n);
	return k;
}

/* ------------------------------------------------------------------ a request */

static void
drop_stanzas(struct phone_ask *k)
{
	for (size_t i = 0; i < PHONE_ASK_BATCH; i++) {
		node_free(k->stanzas[i]);
		k->stanzas[i] = NULL;
	}
}

static void
sent_or_not(struct phone_ask *k)
{
	k->p->sending = 0;
	arm(k->p);
}

static void
ask_end(struct flow *f, const char *outcome, const char *text)
{
	struct phone_ask *k = (struct phone_ask *)f;
	struct phone_asks *p = k->p;

	TAILQ_REMOVE(&p->asks, k, link);
	p->n -= k->n;
	ask_cancel(k->ask);
	peer_send_cancel(k->send);
	give_up_cancel(k->giving);
	if (k->over != NULL)
		event_free(k->over);
	else
		p->sending = 0;
	drop_stanzas(k);
	free(k);
	if (outcome != NULL)
		p->scanned = 0; /* found again at the next login */
	else if (TAILQ_EMPTY(&p->asks) && TAILQ_EMPTY(&p->wanted) && p->a->state == ACCOUNT_ONLINE)
		phone_ask_online(p->a); /* those for which there was no room */
	if (!p->a->svc->stopping)
		arm(p);
}

static void
given_up(const char *why, void *arg)
{
	struct phone_ask *k = arg;

	k->giving = NULL; /* what was not written is told when it fails again */
	flow_end(&k->f, why != NULL ? "store" : NULL, why);
}

/* Those that nobody else can be asked for. */
static void
over_rows(const struct reply *rp, void *arg)
{
	struct phone_ask *k = arg;
	const Stored__LookupReply *m = (const Stored__LookupReply *)rp->pb;
	struct give_up_row rows[PHONE_ASK_BATCH];
	size_t n = 0;

	k->ask = NULL;
	if (!rp->ok || m->n_pending != k->n) {
		flow_end(&k->f, "store", rp->ok ? "internal" : rp->code);
		return;
	}
	for (size_t i = 0; i < k->n; i++) {
		const Stored__Pending *row = m->pending[i];

		if (row->stanza.len == 0 || (row->attempts & UNREAD_GIVEN_UP) != 0 ||
		    (row->attempts & UNREAD_TRIES) < RETRY_ASKS_MAX)
			continue; /* read meanwhile, or its sender may still send it */
		rows[n].name = k->names[i];
		rows[n].attempts = row->attempts;
		rows[n].stanza = node_decode(row->stanza.data, row->stanza.len, NULL);
		n += rows[n].stanza != NULL;
	}
	if (n == 0)
		flow_end(&k->f, NULL, NULL);
	else
		k->giving = give_up_start(k->p->a, rows, n, "unanswered", 0, given_up, k);
}

static void
ask_over(evutil_socket_t fd, short what, void *arg)
{
	struct phone_ask *k = arg;

	flow_step(&k->f, "ask_over");
	k->ask = unread_ask(k->p->a, k->names, k->n, over_rows, k);
}

static void
ask_sent(const char *id, void *arg)
{
	struct phone_ask *k = arg;
	struct timeval tv = {PHONE_ASK_OVER_MS / 1000, 0};

	k->send = NULL;
	if (id == NULL) {
		flow_end(&k->f, "offline", "the phone was not asked");
		return;
	}
	(void)snprintf(k->id, sizeof(k->id), "%s", id);
	drop_stanzas(k);
	flow_step(&k->f, "ask_answer");
	if ((k->over = evtimer_new(k->p->a->svc->base, ask_over, k)) == NULL)
		fatalx("phone_ask: no event");
	evtimer_add(k->over, &tv);
	k->p->a->n.phone_asks += k->n;
	sent_or_not(k);
}

/* That they were asked for is durable before the request leaves. */
static void
ask_fill(struct unit *u, const char *id, void *arg)
{
	struct phone_ask *k = arg;
	struct node *n = request_node(k);
	struct unread_name name;

	for (size_t i = 0; i < k->n; i++)
		unread_keep(k->p->a, u, &k->names[i], k->stanzas[i], k->attempts[i] | UNREAD_PHONE);
	phone_ask_request_name(id, &name);
	unread_keep(k->p->a, u, &name, n, 0);
	node_free(n);
}

/* A chat that has gone over to LIDs is named by its LID. */
static void
name_chat(struct account *a, const struct jid *chat, char out[JID_TEXT_MAX])
{
	struct jid j = *chat;
	struct person p;

	if (a->rec.lid_migrated && jid_is_pn(chat) && contacts_cached(a, chat, &p) == 0 &&
	    p.lid[0] != '\0')
		(void)jid_make(&j, p.lid, JID_LID, 0);
	(void)jid_format(&j, out);
}

static uint8_t *
request_message(struct phone_ask *k, size_t *len)
{
	E2e__Message m = E2E__MESSAGE__INIT;
	E2e__ProtocolMessage pm = E2E__PROTOCOL_MESSAGE__INIT;
	E2e__PeerDataOperationRequestMessage op = E2E__PEER_DATA_OPERATION_REQUEST_MESSAGE__INIT;
	E2e__PeerDataOperationRequestMessage__PlaceholderMessageResendRequest rq[PHONE_ASK_BATCH],
	    *list[PHONE_ASK_BATCH];
	Wacommon__MessageKey keys[PHONE_ASK_BATCH];
	char chat[PHONE_ASK_BATCH][JID_TEXT_MAX], sender[PHONE_ASK_BATCH][JID_TEXT_MAX];

	for (size_t i = 0; i < k->n; i++) {
		struct envelope e;
		struct jid bare;

		(void)envelope_parse(k->p->a, k->stanzas[i], &e); /* as before */
		bare = jid_bare(&e.sender);
		wacommon__message_key__init(&keys[i]);
		name_chat(k->p->a, &e.chat, chat[i]);
		keys[i].remote_jid = chat[i];
		keys[i].has_from_me = 1;
		keys[i].from_me = e.from_me;
		keys[i].id = k->names[i].id;
		if (e.kind != ENVELOPE_DIRECT)
			keys[i].participant = pb_str(jid_format(&bare, sender[i]));
		e2e__peer_data_operation_request_message__placeholder_message_resend_request__init(
		    &rq[i]);
		rq[i].message_key = &keys[i];
		list[i] = &rq[i];
	}
	op.has_peer_data_operation_request_type = 1;
	op.peer_data_operation_request_type =
	    E2E__PEER_DATA_OPERATION_REQUEST_TYPE__PLACEHOLDER_MESSAGE_RESEND;
	op.n_placeholder_message_resend_request = k->n;
	op.placeholder_message_resend_request = list;
	pm.has_type = 1;
	pm.type = E2E__PROTOCOL_MESSAGE__TYPE__PEER_DATA_OPERATION_REQUEST_MESSAGE;
	pm.peer_data_operation_request_message = &op;
	m.protocol_message = &pm;
	return pb_pack(&m.base, len);
}

/* Those that are unread, and were not asked for: the others are read, or somebody was faster. */
static void
ask_rows(const struct reply *rp, void *arg)
{
	struct phone_ask *k = arg;
	const Stored__LookupReply *m = (const Stored__LookupReply *)rp->pb;
	size_t n = 0, len, all = k->n;
	uint8_t *content;

	k->ask = NULL;
	if (!rp->ok || m->n_pending != k->n) {
		flow_end(&k->f, "store", rp->ok ? "internal" : rp->code);
		return;
	}
	for (size_t i = 0; i < all; i++) {
		const Stored__Pending *row = m->pending[i];
		struct envelope e;

		if (row->stanza.len == 0 || (row->attempts & UNREAD_PHONE) != 0 ||
		    (k->stanzas[n] = node_decode(row->stanza.data, row->stanza.len, NULL)) == NULL)
			continue;
		if (envelope_parse(k->p->a, k->stanzas[n], &e) == -1 ||
		    !phone_ask_may(k->p->a, &e)) {
			node_free(k->stanzas[n]);
			k->stanzas[n] = NULL;
			continue;
		}
		k->names[n] = k->names[i];
		k->attempts[n++] = row->attempts;
	}
	k->p->n -= all - n;
	k->n = n;
	if (n == 0 || (content = request_message(k, &len)) == NULL) {
		flow_end(&k->f, NULL, NULL);
		return;
	}
	flow_step(&k->f, "ask_sent");
	k->send = peer_send(k->p->a, content, len, ask_fill, ask_sent, k);
	sodium_memzero(content, len);
	free(content);
}

/* The answer names a message by its id alone, so one request has each id once. */
static int
has_id(const struct phone_ask *k, const char *id)
{
	for (size_t i = 0; i < k->n; i++)
		if (strcmp(k->names[i].id, id) == 0)
			return 1;
	return 0;
}

static void
ask_begin(struct phone_asks *p)
{
	int64_t now = clock_mono_ms();
	struct phone_ask *k = calloc(1, sizeof(*k));
	struct wanted *w, *next;

	if (k == NULL)
		fatal("phone_ask");
	k->p = p;
	flow_init(&k->f, p->a->svc->flows, &ask_kind, p->a->name, NULL, 0);
	TAILQ_INSERT_TAIL(&p->asks, k, link);
	for (w = TAILQ_FIRST(&p->wanted); w != NULL; w = next) {
		if (k->n == PHONE_ASK_BATCH || w->due_ms > now + NEAR_MS || has_id(k, w->name.id))
			break;
		next = TAILQ_NEXT(w, link);
		k->names[k->n++] = w->name;
		wanted_drop(p, w);
		p->n++; /* it waits still, only in another list */
	}
	p->sending = 1;
	flow_step(&k->f, "ask_rows");
	k->ask = unread_ask(p->a, k->names, k->n, ask_rows, k);
}

static void
tick(evutil_socket_t fd, short what, void *arg)
{
	struct phone_asks *p = arg;
	const struct wanted *w = TAILQ_FIRST(&p->wanted);

	if (w == NULL || p->sending || p->a->state != ACCOUNT_ONLINE || p->a->conn == 0)
		return; /* armed again when online */
	if (w->due_ms > clock_mono_ms())
		arm(p);
	else
		ask_begin(p);
}
