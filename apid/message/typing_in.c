/* What others type: transient events, and their end when nothing is heard any more. */
#include <stdlib.h>

#include "apid/message/peer.h"
#include "apid/message/typing.h"
#include "apid/message/typing_impl.h"
#include "common/clock.h"
#include "common/log.h"

/* Somebody in a chat. */
struct typist {
	TAILQ_ENTRY(typist) link;
	struct account *a;
	struct typing_facts facts;
	struct person person;
	int told; /* an event says that he types */
	struct event *lapse;
	struct contacts_request *lookup;
};

static void
typist_drop(struct typist *k)
{
	TAILQ_REMOVE(&k->a->typing->in, k, link);
	k->a->typing->nin--;
	contacts_cancel(k->lookup);
	event_free(k->lapse);
	free(k);
}

void
typing_in_clear(struct typing *t)
{
	while (!TAILQ_EMPTY(&t->in))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		typist_drop(TAILQ_FIRST(&t->in));
}

static void
tell(struct typist *k)
{
	struct service *s = k->a->svc;
	char chat_id[STABLE_ID_LEN + 1];
	json_t *o;

	contacts_chat_id(&k->facts.chat, &k->person, chat_id);
	o = json_pack("{s:s, s:o, s:s}", "chat", chat_id, "party", contacts_party(&k->person),
	    "state", typing_words[k->facts.state]);
	if (k->facts.state != TYPING_PAUSED)
		json_object_set_new(
		    o, "expires_ms", json_integer(clock_wall_ms() + TYPING_LAPSE_MS));
	if (o != NULL && s->hooks.event_transient != NULL)
		s->hooks.event_transient(s->hooks_arg, k->a->name, "chat.typing", o);
	json_decref(o);
}

/* Nobody says when a peer vanishes. */
static void
lapsed(evutil_socket_t fd, short what, void *arg)
{
	struct typist *k = arg;

	k->facts.state = TYPING_PAUSED;
	if (k->told)
		tell(k);
	typist_drop(k);
}

static void
known(const struct person *people, size_t n, const Stored__LookupReply *lists, const char *why,
    void *arg)
{
	struct typist *k = arg;

	k->lookup = NULL;
	if (why != NULL) {
		typist_drop(k);
		return;
	}
	k->person = people[0];
	peer_keep(k->a, &k->facts.party);
	tell(k);
	k->told = 1;
	if (k->facts.state == TYPING_PAUSED)
		typist_drop(k);
}

static struct typist *
find(struct typing *t, const struct typing_facts *f)
{
	struct typist *k;

	TAILQ_FOREACH(k, &t->in, link)
	if (jid_eq(&k->facts.chat, &f->chat) && jid_eq(&k->facts.party, &f->party))
		return k;
	return NULL;
}

static struct typist *
typist_new(struct account *a, const struct typing_facts *f)
{
	struct typing *t = a->typing;
	struct typist *k = calloc(1, sizeof(*k));

	if (k == NULL || (k->lapse = evtimer_new(a->svc->base, lapsed, k)) == NULL)
		fatal("typing_in");
	k->a = a;
	k->facts = *f;
	TAILQ_INSERT_TAIL(&t->in, k, link);
	t->nin++;
	return k;
}

void
typing_in(struct account *a, const struct node *n)
{
	struct timeval tv = {TYPING_LAPSE_MS / 1000, 0};
	struct typing *t = a->typing;
	struct typing_facts f;
	struct typist *k;
	char text[JID_TEXT_MAX];
	const char *name;

	if (typing_parse(a, n, &f) == -1)
		return;
	if ((k = find(t, &f)) == NULL) {
		if (t->nin >= TYPING_MAX) { /* the oldest lapses early */
			struct typist *old = TAILQ_FIRST(&t->in);

			a->n.transients_lost += !old->told;
			lapsed(-1, 0, old);
		}
		k = typist_new(a, &f);
	}
	k->facts.state = f.state;
	evtimer_add(k->lapse, &tv);
	if (k->lookup != NULL) /* told with what it is by then */
		return;
	if (!k->told) {
		name = jid_format(&f.party, text);
		k->lookup = contacts_ask(a, &name, 1, 0, known, k);
		return;
	}
	tell(k);
	if (f.state == TYPING_PAUSED)
		typist_drop(k);
}
