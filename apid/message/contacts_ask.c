/* Asking for people: out of the cache, or of stored. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/contacts_impl.h"
#include "apid/message/tctoken.h"
#include "apid/session/ask.h"
#include "common/log.h"

#define LOOKUP_REPLY_MAX (1024u * 1024)

struct contacts_request {
	struct account *a;
	char names[CONTACTS_ASK_MAX][JID_TEXT_MAX];
	size_t n, make; /* make: so many of them get an id if they have none */
	struct ask *ask;
	struct event *later; /* all was in the cache */
	contacts_fn *fn;
	void *arg;
};

static void
take_peer(struct account *a, const Stored__Peer *p)
{
	struct contact *k = contact_from_store(a->contacts, p->contact);

	if (k != NULL && (p->by_lid != NULL || p->by_pn != NULL))
		contacts_list_is(a, k->p.id, p->by_lid != NULL ? p->by_lid : p->by_pn);
}

static void
request_end(struct contacts_request *r, const struct person *people,
    const Stored__LookupReply *lists, const char *why)
{
	contacts_fn *fn = r->fn;
	void *arg = r->arg;
	size_t n = r->n;

	if (r->later != NULL)
		event_free(r->later);
	free(r);
	fn(people, n, lists, why, arg);
}

static void
collect(struct contacts_request *r, struct person *people)
{
	struct contacts *c = r->a->contacts;

	for (size_t i = 0; i < r->n; i++) {
		struct contact *k = contact_find_name(c, r->names[i]);
		struct jid j;

		memset(&people[i], 0, sizeof(people[i]));
		if (k == NULL && i < r->make && !stable_id_is(r->names[i], 'u') &&
		    jid_parse(r->names[i], &j) == 0 && (jid_by_lid(&j) || jid_by_number(&j)))
			k = contact_make(c, &j);
		if (k == NULL)
			continue;
		contact_touch(c, k);
		people[i] = k->p;
	}
}

static void
from_cache(evutil_socket_t fd, short what, void *arg)
{
	struct contacts_request *r = arg;
	struct person people[CONTACTS_ASK_MAX];

	collect(r, people);
	request_end(r, people, NULL, NULL);
}

static void
looked_up(const struct reply *rp, void *arg)
{
	struct contacts_request *r = arg;
	const Stored__LookupReply *m = (const Stored__LookupReply *)rp->pb;
	struct person people[CONTACTS_ASK_MAX];

	r->ask = NULL;
	if (!rp->ok || m->n_peers != r->n) {
		request_end(r, NULL, NULL, rp->ok ? "internal" : rp->code);
		return;
	}
	for (size_t i = 0; i < r->n; i++)
		if (m->peers[i]->contact != NULL &&
		    contact_find_name(r->a->contacts, r->names[i]) == NULL)
			take_peer(r->a, m->peers[i]);
	collect(r, people);
	request_end(r, people, m, NULL);
}

struct contacts_request *
contacts_ask(struct account *a, const char *const *names, size_t n, int want_lists, contacts_fn *fn,
    void *arg)
{
	return contacts_ask_some(a, names, n, n, want_lists, fn, arg);
}

struct contacts_request *
contacts_ask_some(struct account *a, const char *const *names, size_t n, size_t make,
    int want_lists, contacts_fn *fn, void *arg)
{
	struct contacts_request *r = calloc(1, sizeof(*r));
	Stored__Lookup m = STORED__LOOKUP__INIT;
	char *jids[CONTACTS_ASK_MAX];
	struct tctoken_names tokens;
	struct contact *first;
	int all = !want_lists;

	if (r == NULL || n > CONTACTS_ASK_MAX)
		fatalx("contacts_ask");
	r->a = a;
	r->n = n;
	r->make = make;
	r->fn = fn;
	r->arg = arg;
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(r->names[i], sizeof(r->names[i]), "%s", names[i]);
		jids[i] = r->names[i];
		all = all && contact_find_name(a->contacts, names[i]) != NULL;
	}
	if (all) {
		if ((r->later = event_new(a->svc->base, -1, 0, from_cache, r)) == NULL)
			fatalx("contacts_ask: no event");
		event_active(r->later, EV_TIMEOUT, 0);
		return r;
	}
	m.account = a->name;
	m.n_jids = n;
	m.jids = jids;
	if (want_lists == CONTACTS_TOKENS &&
	    (first = contact_find_name(a->contacts, names[0])) != NULL) {
		tctoken_names(&first->p, &tokens);
		m.tokens = tokens.list;
		m.n_tokens = tokens.n;
	}
	r->ask = ask_stored(a, STORED__TYPE__LOOKUP, &m.base, STORED__TYPE__LOOKUP_REPLY,
	    &stored__lookup_reply__descriptor, LOOKUP_REPLY_MAX, ASK_DEADLINE_MS, looked_up, r);
	return r;
}

void
contacts_cancel(struct contacts_request *r)
{
	if (r == NULL)
		return;
	ask_cancel(r->ask);
	if (r->later != NULL)
		event_free(r->later);
	free(r);
}
