/* The end of held messages whose device goes: each is told once as given up, and its row goes in
 *the same unit, so that a crash in between neither tells one twice nor forgets one.
 *
 *	held_end_all -> held_end_step -> stanzas_came -> people_known -> written -> held_end_step
 */
#include <stdlib.h>
#include <string.h>

#include "apid/message/held_impl.h"
#include "apid/message/recv.h"
#include "apid/message/recv_event.h"
#include "common/log.h"

#define BATCH_MAX   64u /* rows of one question to stored */
#define BATCH_BYTES (2u * 1024 * 1024)
#define REPLY_MAX   (8u * 1024 * 1024)

struct ended {
	uint64_t number;
	struct envelope e;
	size_t sender, chat; /* of the people */
};

struct held_end_all {
	struct account *a;
	const char *reason;
	void (*fn)(struct account *a, const char *why);
	uint64_t asked[BATCH_MAX];
	size_t nasked;
	struct ended rows[BATCH_MAX];
	size_t n;
	char names[CONTACTS_ASK_MAX][JID_TEXT_MAX];
	size_t nnames;
	struct ask *ask;
	struct contacts_request *lookup;
	struct unit *unit;
};

void
held_end_cancel(struct held *h)
{
	struct held_end_all *x = h->ending;

	if (x == NULL)
		return;
	h->ending = NULL;
	ask_cancel(x->ask);
	contacts_cancel(x->lookup);
	unit_detach(x->unit);
	free(x);
}

static void
finish(struct held_end_all *x, const char *why)
{
	void (*fn)(struct account * a, const char *why) = x->fn;
	struct account *a = x->a;

	held_end_cancel(a->held);
	fn(a, why);
}

static struct held_row *
row_of(const struct held_end_all *x, uint64_t number)
{
	struct held_row *r;

	TAILQ_FOREACH(r, &x->a->held->list, link)
	if (r->number == number)
		return r;
	return NULL;
}

/* ------------------------------------------------------------------ telling */

static void
written(const struct unit_result *u, void *arg)
{
	struct held_end_all *x = arg;
	struct held_row *r;

	x->unit = NULL;
	if (!u->ok && !unit_may_repeat(u->reason)) {
		finish(x, u->reason);
		return;
	}
	for (size_t i = 0; u->ok && i < x->n; i++)
		if ((r = row_of(x, x->rows[i].number)) != NULL)
			held_drop(x->a->held, r);
	held_end_step(x->a->held);
}

static void
people_known(const struct person *people, size_t n, const Stored__LookupReply *lists,
    const char *why, void *arg)
{
	struct held_end_all *x = arg;
	struct held_name name;
	struct held_row *r;

	x->lookup = NULL;
	if (why == NULL && (x->unit = unit_open(x->a)) == NULL)
		why = "memory";
	if (why != NULL) {
		finish(x, why);
		return;
	}
	for (size_t i = 0; i < x->n; i++) {
		const struct ended *e = &x->rows[i];

		recv_event_given_up(
		    x->unit, &e->e, &people[e->sender], &people[e->chat], x->reason);
		if ((r = row_of(x, e->number)) == NULL)
			continue;
		held_name(r, &name);
		unit_pending_delete(x->unit, &name.pb);
	}
	unit_commit(x->unit, written, x);
}

/* ------------------------------------------------------------------ what they are */

/* The index of a name among those that are asked for, or -1: no room. */
static int
name_of(struct held_end_all *x, const struct jid *j)
{
	struct jid bare = jid_bare(j);
	char text[JID_TEXT_MAX];

	(void)jid_format(&bare, text);
	for (size_t i = 0; i < x->nnames; i++)
		if (strcmp(x->names[i], text) == 0)
			return (int)i;
	if (x->nnames == CONTACTS_ASK_MAX)
		return -1;
	memcpy(x->names[x->nnames], text, sizeof(text));
	return (int)x->nnames++;
}

/* What is kept is of our own making; should it not be readable, the name of the row says enough. */
static void
envelope_of(const struct held_end_all *x, const struct held_row *r, const Stored__Pending *p,
    struct envelope *e)
{
	struct node *n = node_decode(p->stanza.data, p->stanza.len, NULL);

	if (n == NULL || envelope_parse(x->a, n, e) == -1) {
		memset(e, 0, sizeof(*e));
		memcpy(e->id, r->id, sizeof(r->id));
		e->sender = e->from = r->sender;
		e->chat = jid_bare(&r->sender);
	}
	node_free(n);
}

/* 0, or -1: it comes with the next batch. */
static int
take(struct held_end_all *x, struct held_row *r, const Stored__Pending *p)
{
	struct ended *e = &x->rows[x->n];
	size_t names = x->nnames;
	int sender, chat;

	e->number = r->number;
	envelope_of(x, r, p, &e->e);
	sender = name_of(x, &e->e.sender);
	chat = e->e.kind == ENVELOPE_DIRECT ? name_of(x, &e->e.chat) : sender;
	if (sender == -1 || chat == -1) {
		x->nnames = names;
		return -1;
	}
	e->sender = (size_t)sender;
	e->chat = (size_t)chat;
	x->n++;
	return 0;
}

static void
stanzas_came(const struct reply *rp, void *arg)
{
	struct held_end_all *x = arg;
	const Stored__LookupReply *m = (const Stored__LookupReply *)rp->pb;
	const char *names[CONTACTS_ASK_MAX];
	struct held_row *r;

	x->ask = NULL;
	if (!rp->ok || m->n_pending != x->nasked) {
		finish(x, rp->ok ? "internal" : rp->code);
		return;
	}
	x->n = x->nnames = 0;
	for (size_t i = 0; i < x->nasked; i++) {
		if ((r = row_of(x, x->asked[i])) == NULL)
			continue;
		if (m->pending[i]->stanza.len == 0)
			held_drop(x->a->held, r); /* it ended in an earlier unit */
		else if (take(x, r, m->pending[i]) == -1)
			break;
	}
	if (x->n == 0) {
		held_end_step(x->a->held);
		return;
	}
	for (size_t i = 0; i < x->nnames; i++)
		names[i] = x->names[i];
	x->lookup = contacts_ask(x->a, names, x->nnames, 0, people_known, x);
}

static void
ask_stanzas(struct held_end_all *x)
{
	Stored__Lookup m = STORED__LOOKUP__INIT;
	Stored__MessageName *list[BATCH_MAX];
	struct held_name names[BATCH_MAX];
	struct held_row *r;
	size_t bytes = 0;

	x->nasked = 0;
	TAILQ_FOREACH(r, &x->a->held->list, link)
	{
		if (x->nasked == BATCH_MAX || (x->nasked > 0 && bytes + r->bytes > BATCH_BYTES))
			break;
		bytes += r->bytes;
		held_name(r, &names[x->nasked]);
		list[x->nasked] = &names[x->nasked].pb;
		x->asked[x->nasked++] = r->number;
	}
	m.account = x->a->name;
	m.pending = list;
	m.n_pending = x->nasked;
	x->ask = ask_stored(x->a, STORED__TYPE__LOOKUP, &m.base, STORED__TYPE__LOOKUP_REPLY,
	    &stored__lookup_reply__descriptor, REPLY_MAX, ASK_DEADLINE_MS, stanzas_came, x);
}

void
held_end_step(struct held *h)
{
	struct held_end_all *x = h->ending;

	if (x == NULL || x->ask != NULL || x->lookup != NULL || x->unit != NULL ||
	    h->a->svc->stopping)
		return;
	if (h->running != 0 || recv_in_flight(h->a) > 0)
		return; /* they may add to the list, or take from it */
	if (h->n == 0)
		finish(x, NULL);
	else
		ask_stanzas(x);
}

void
held_recv_ended(struct account *a)
{
	held_end_step(a->held);
}

void
held_end_all(struct account *a, const char *reason, void (*fn)(struct account *a, const char *why))
{
	struct held_end_all *x = calloc(1, sizeof(*x));

	if (x == NULL)
		fatal("held_end_all");
	held_end_cancel(a->held);
	x->a = a;
	x->reason = reason;
	x->fn = fn;
	a->held->ending = x;
	held_end_step(a->held);
}
