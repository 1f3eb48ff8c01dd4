/* The presence of others, as the service tells it: transient events. */
#include <stdlib.h>

#include "apid/message/contacts.h"
#include "apid/session/presence.h"
#include "apid/session/presence_impl.h"
#include "apid/session/presence_parse.h"
#include "common/log.h"

struct presence_lookup {
	TAILQ_ENTRY(presence_lookup) link;
	struct presence *p;
	struct presence_facts facts;
	struct contacts_request *ask;
};

static void
lookup_drop(struct presence_lookup *l)
{
	contacts_cancel(l->ask);
	TAILQ_REMOVE(&l->p->lookups, l, link);
	l->p->nlookups--;
	free(l);
}

void
presence_lookups_clear(struct presence *p)
{
	while (!TAILQ_EMPTY(&p->lookups))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		lookup_drop(TAILQ_FIRST(&p->lookups));
}

static void
tell(struct presence *p, const struct presence_facts *f, const struct person *who)
{
	struct service *s = p->a->svc;
	char chat_id[STABLE_ID_LEN + 1];
	json_t *o = json_pack("{s:b, s:b}", "available", f->available, "hidden", f->hidden);

	if (who != NULL) {
		json_object_set_new(o, "party", contacts_party(who));
	} else {
		contacts_chat_id(&f->from, NULL, chat_id);
		json_object_set_new(o, "chat", json_string(chat_id));
	}
	if (f->last_seen_ms >= 0)
		json_object_set_new(o, "last_seen_ms", json_integer(f->last_seen_ms));
	if (f->count >= 0)
		json_object_set_new(o, "count", json_integer(f->count));
	if (o != NULL && s->hooks.event_transient != NULL)
		s->hooks.event_transient(s->hooks_arg, p->a->name, "presence", o);
	json_decref(o);
}

static void
known(const struct person *people, size_t n, const Stored__LookupReply *lists, const char *why,
    void *arg)
{
	struct presence_lookup *l = arg;

	l->ask = NULL;
	if (why == NULL)
		tell(l->p, &l->facts, &people[0]);
	lookup_drop(l);
}

void
presence_in(struct account *a, const struct node *n)
{
	static struct log_limit limit = LOG_LIMIT_INIT;
	struct presence *p = a->presence;
	struct presence_facts f;
	struct presence_lookup *l;
	char text[JID_TEXT_MAX];
	const char *name;

	if (presence_parse(a, n, &f) == -1)
		return;
	if (f.group) {
		tell(p, &f, NULL);
		return;
	}
	if (p->nlookups >= PRESENCE_LOOKUPS_MAX || (l = calloc(1, sizeof(*l))) == NULL) {
		a->n.transients_lost++;
		if (log_allowed(&limit))
			log_notice("account %s: more presences than the store answers; some are "
				   "not told",
			    a->name);
		return;
	}
	l->p = p;
	l->facts = f;
	TAILQ_INSERT_TAIL(&p->lookups, l, link);
	p->nlookups++;
	name = jid_format(&f.from, text);
	l->ask = contacts_ask(a, &name, 1, 0, known, l);
}
