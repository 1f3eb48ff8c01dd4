/* presence.subscribe and presence.unsubscribe: whose presence the account watches. */
#include <stdlib.h>
#include <string.h>

#include "apid/message/peer.h"
#include "apid/session/call.h"
#include "apid/session/login.h"
#include "apid/session/presence.h"
#include "apid/session/presence_impl.h"
#include "apid/session/stanza.h"
#include "apid/session/unit.h"
#include "common/clock.h"
#include "common/log.h"

static void
watch_drop(struct watch *w)
{
	tctoken_cancel(w->search);
	TAILQ_REMOVE(&w->p->watches, w, link);
	w->p->nwatches--;
	free(w);
}

void
presence_watch_clear(struct presence *p)
{
	while (!TAILQ_EMPTY(&p->watches))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		watch_drop(TAILQ_FIRST(&p->watches));
	evtimer_del(p->sweep);
}

static void
watch_say(struct watch *w, const char *type, const struct tctoken *token)
{
	struct account *a = w->p->a;
	struct node *n = node_new("presence");

	node_set(n, "type", type);
	node_set_jid(n, "to", &w->to);
	if (token != NULL)
		(void)tctoken_add(a, token, n); /* some show themselves only to whom they gave it */
	(void)stanza_send(a, n);
}

static void
watch_token(const struct tctoken *t, void *arg)
{
	struct watch *w = arg;

	w->search = NULL;
	watch_say(w, "subscribe", t);
}

/* Tell the service that he is watched, on this connection. */
static void
watch_ask(struct watch *w)
{
	struct account *a = w->p->a;

	if (a->conn == 0 || login_in_backlog(a))
		return; /* presence_online comes here again */
	tctoken_cancel(w->search);
	w->search = NULL;
	if (w->person.id[0] == '\0') /* a group */
		watch_say(w, "subscribe", NULL);
	else
		w->search = tctoken_find(a, &w->person, watch_token, w);
}

void
presence_watch_all(struct presence *p)
{
	struct watch *w;

	TAILQ_FOREACH(w, &p->watches, link)
	watch_ask(w);
}

static int
is_watched(const struct watch *w, const struct person *p)
{
	return (p->lid[0] != '\0' && strcmp(p->lid, w->person.lid) == 0) ||
	       (p->pn[0] != '\0' && strcmp(p->pn, w->person.pn) == 0);
}

struct renewal {
	struct account *a;
	struct person who;
};

static void
token_kept(const struct unit_result *u, void *arg)
{
	struct renewal *r = arg;
	struct watch *w;

	TAILQ_FOREACH(w, &r->a->presence->watches, link)
	if (is_watched(w, &r->who)) {
		if (w->person.lid[0] == '\0') /* it is kept under the LID */
			memcpy(w->person.lid, r->who.lid, sizeof(w->person.lid));
		watch_ask(w);
	}
	free(r);
}

void
presence_token_came(struct account *a, const struct person *who)
{
	struct watch *w;
	struct renewal *r;
	struct unit *u;

	TAILQ_FOREACH(w, &a->presence->watches, link)
	if (is_watched(w, who))
		break;
	/* an empty unit ends behind the one with the token */
	if (w == NULL || (r = calloc(1, sizeof(*r))) == NULL)
		return;
	if ((u = unit_open(a)) == NULL) {
		free(r);
		return;
	}
	r->a = a;
	r->who = *who;
	unit_commit(u, token_kept, r);
}

/* Those whose time is over end; the timer is set for the next. */
static void
sweep(struct presence *p)
{
	int64_t now = clock_wall_ms(), first = INT64_MAX, left;
	struct watch *w, *next;
	struct timeval tv;

	for (w = TAILQ_FIRST(&p->watches); w != NULL; w = next) {
		next = TAILQ_NEXT(w, link);
		if (w->ends_ms > now) {
			first = w->ends_ms < first ? w->ends_ms : first;
			continue;
		}
		watch_say(w, "unsubscribe", NULL);
		watch_drop(w);
	}
	evtimer_del(p->sweep);
	if (first == INT64_MAX)
		return;
	left = first - now < 1000 ? 1000 : first - now; /* the clock may be set back */
	tv.tv_sec = left > PRESENCE_WATCH_MS ? PRESENCE_WATCH_MS / 1000 : left / 1000 + 1;
	tv.tv_usec = 0;
	evtimer_add(p->sweep, &tv);
}

void
presence_sweep(evutil_socket_t fd, short what, void *arg)
{
	sweep(arg);
}

static struct watch *
watch_find(struct presence *p, const struct jid *to, const struct person *person)
{
	struct watch *w;

	TAILQ_FOREACH(w, &p->watches, link)
	if (person != NULL ? strcmp(w->person.id, person->id) == 0
			   : w->person.id[0] == '\0' && jid_eq(&w->to, to))
		return w;
	return NULL;
}

/* NULL: there are too many. person NULL: a group. */
static struct watch *
watch_put(struct presence *p, const struct jid *to, const struct person *person)
{
	struct watch *w = watch_find(p, to, person);

	if (w == NULL) {
		if (p->nwatches >= PRESENCE_WATCHES_MAX)
			return NULL;
		if ((w = calloc(1, sizeof(*w))) == NULL)
			fatal("watch_put");
		w->p = p;
		TAILQ_INSERT_TAIL(&p->watches, w, link);
		p->nwatches++;
	}
	w->to = *to;
	if (person != NULL)
		w->person = *person;
	w->ends_ms = clock_wall_ms() + PRESENCE_WATCH_MS;
	return w;
}

/* ------------------------------------------------------------------ the methods */

struct watching {
	TAILQ_ENTRY(watching) link;
	struct account *a;
	struct call *call;
	int end; /* unsubscribe */
	struct contacts_request *lookup;
};

static void
watching_drop(struct watching *k)
{
	struct presence *p = k->a->presence;

	contacts_cancel(k->lookup);
	TAILQ_REMOVE(&p->watchings, k, link);
	free(k);
}

void
presence_watchings_clear(struct presence *p)
{
	while (!TAILQ_EMPTY(&p->watchings))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		watching_drop(TAILQ_FIRST(&p->watchings));
}

static void
watching_done(struct watching *k, const struct jid *to, const struct person *person)
{
	struct presence *p = k->a->presence;
	struct watch *w = watch_find(p, to, person);

	if (k->end && w == NULL) {
		call_failf(k->call, -1, "not_found", 0, "nobody of that name is watched");
	} else if (k->end) {
		watch_say(w, "unsubscribe", NULL);
		watch_drop(w);
		call_ok(k->call, json_pack("{s:b}", "ok", 1));
	} else if ((w = watch_put(p, to, person)) == NULL) {
		call_failf(k->call, -1, "full", 0, "256 are watched already; unsubscribe from one");
	} else {
		watch_ask(w);
		call_ok(k->call, json_pack("{s:b, s:I, s:b}", "ok", 1, "ends_ms",
				     (json_int_t)w->ends_ms, "available", p->told));
	}
	sweep(p);
	watching_drop(k);
}

static void
watching_known(const struct person *people, size_t n, const Stored__LookupReply *lists,
    const char *why, void *arg)
{
	struct watching *k = arg;
	struct jid to;

	k->lookup = NULL;
	if (why != NULL) {
		struct api_error e = api_error_store(why);

		call_fail(k->call, &e);
		watching_drop(k);
	} else if (people[0].id[0] == '\0' || peer_jid(k->a, &people[0], &to) == -1) {
		call_failf(k->call, -1, "not_found", 0, "no such person");
		watching_drop(k);
	} else {
		if (!k->end)
			peer_keep(k->a, &to); /* the events that come name him by his id */
		watching_done(k, &to, &people[0]);
	}
}

static void
watching_begin(struct account *a, const void *client, const char *party, int end,
    engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);
	char text[JID_TEXT_MAX];
	const char *name = peer_name(party, text);
	struct watching *k;
	struct jid group;

	if (!a->opened || !a->dev.linked) {
		struct api_error e = api_error_closed(a);

		if (a->opened)
			e = api_error_make(-7, "unlinked", 0, "the account is not linked");
		call_fail(c, &e);
		return;
	}
	if ((k = calloc(1, sizeof(*k))) == NULL)
		fatal("presence_subscribe");
	k->a = a;
	k->call = c;
	k->end = end;
	TAILQ_INSERT_TAIL(&a->presence->watchings, k, link);
	if (name != NULL) {
		k->lookup = contacts_ask(a, &name, 1, 0, watching_known, k);
	} else if (jid_parse(party, &group) == 0 && jid_on(&group, JID_GROUP)) {
		watching_done(k, &group, NULL);
	} else {
		call_failf(c, -1, "unsupported", 0, "neither a person nor the JID of a group");
		watching_drop(k);
	}
}

void
presence_subscribe(
    struct account *a, const void *client, const char *party, engine_done_fn *fn, void *arg)
{
	watching_begin(a, client, party, 0, fn, arg);
}

void
presence_unsubscribe(
    struct account *a, const void *client, const char *party, engine_done_fn *fn, void *arg)
{
	watching_begin(a, client, party, 1, fn, arg);
}
