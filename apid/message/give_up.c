/* Telling that messages which could not be read are given up. */
#include "apid/message/give_up.h"

#include <stdlib.h>
#include <string.h>

#include "apid/message/recv_event.h"
#include "apid/session/engine.h"
#include "common/log.h"

struct give_up {
	struct flow f; /* first */
	struct account *a;
	struct give_up_row rows[GIVE_UP_MAX];
	size_t n, at;
	const char *reason;
	int drop;
	struct envelope e; /* of the one at hand */
	struct contacts_request *lookup;
	struct unit *unit;
	int open; /* the unit is not committed yet */
	give_up_fn *fn;
	void *arg;
};

static void give_up_end(struct flow *f, const char *outcome, const char *text);
static const struct flow_kind give_up_kind = {"give_up", give_up_end};

static void
give_up_end(struct flow *f, const char *outcome, const char *text)
{
	struct give_up *g = (struct give_up *)f;
	give_up_fn *fn = g->fn;
	void *arg = g->arg;

	contacts_cancel(g->lookup);
	if (g->open)
		unit_abort(g->unit);
	else
		unit_detach(g->unit);
	for (size_t i = 0; i < g->n; i++)
		node_free(g->rows[i].stanza);
	free(g);
	if (fn != NULL)
		fn(outcome == NULL ? NULL : text, arg);
}

void
give_up_cancel(struct give_up *g)
{
	if (g == NULL)
		return;
	g->fn = NULL;
	flow_end(&g->f, "cancelled", "nobody waits for it");
}

static void
committed(const struct unit_result *u, void *arg)
{
	struct give_up *g = arg;

	g->unit = NULL;
	flow_end(&g->f, u->ok ? NULL : "store", u->ok ? NULL : u->reason);
}

/* Its row, when it was told. */
static void
settle(struct give_up *g, const struct give_up_row *r)
{
	if (g->drop)
		unread_drop(g->unit, &r->name);
	else
		unread_keep(g->a, g->unit, &r->name, r->stanza, r->attempts | UNREAD_GIVEN_UP);
}

static void next(struct give_up *g);

static void
people_known(const struct person *people, size_t n, const Stored__LookupReply *lists,
    const char *why, void *arg)
{
	struct give_up *g = arg;
	const struct give_up_row *r = &g->rows[g->at];

	g->lookup = NULL;
	if (why != NULL) {
		flow_end(&g->f, "store", why);
		return;
	}
	if ((r->attempts & UNREAD_GIVEN_UP) == 0)
		recv_event_given_up(g->unit, &g->e, &people[0], &people[n - 1], g->reason);
	settle(g, r);
	g->at++;
	next(g);
}

static void
next(struct give_up *g)
{
	char sender[JID_TEXT_MAX], chat[JID_TEXT_MAX];
	const char *names[2];
	struct jid bare;
	size_t k = 0;

	while (g->at < g->n && envelope_parse(g->a, g->rows[g->at].stanza, &g->e) == -1)
		settle(g, &g->rows[g->at++]); /* nobody could be told of what */
	if (g->at == g->n) {
		g->open = 0;
		flow_step(&g->f, "give_up_commit");
		unit_commit(g->unit, committed, g);
		return;
	}
	bare = jid_bare(&g->e.sender);
	names[k++] = jid_format(&bare, sender);
	if (g->e.kind == ENVELOPE_DIRECT && !jid_same_user(&g->e.chat, &bare))
		names[k++] = jid_format(&g->e.chat, chat);
	flow_step(&g->f, "give_up_people");
	g->lookup = contacts_ask(g->a, names, k, 0, people_known, g);
}

struct give_up *
give_up_start(struct account *a, const struct give_up_row *rows, size_t n, const char *reason,
    int drop, give_up_fn *fn, void *arg)
{
	struct give_up *g = calloc(1, sizeof(*g));

	if (g == NULL || n > GIVE_UP_MAX || (g->unit = unit_open(a)) == NULL)
		fatal("give_up_start");
	g->open = 1;
	g->a = a;
	memcpy(g->rows, rows, n * sizeof(*rows));
	g->n = n;
	g->reason = reason;
	g->drop = drop;
	g->fn = fn;
	g->arg = arg;
	flow_init(&g->f, a->svc->flows, &give_up_kind, a->name, NULL, 0);
	next(g);
	return g;
}
