/* Who is typing: chat.typing, and its end by itself. */
#include "apid/message/typing.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "apid/message/peer.h"
#include "apid/message/typing_impl.h"
#include "apid/session/call.h"
#include "apid/session/stanza.h"
#include "common/clock.h"
#include "common/log.h"

/* We type in that chat. */
struct typed {
	TAILQ_ENTRY(typed) link;
	struct account *a;
	struct jid to; /* bare, as the wire names it */
	char pn[JID_USER_MAX + 1], lid[JID_USER_MAX + 1];
	enum typing_state state;
	int64_t until_ms; /* monotonic */
	struct event *timer;
};

/* A request of a client. */
struct asked {
	TAILQ_ENTRY(asked) link;
	struct account *a;
	struct call *call;
	enum typing_state state;
	unsigned ttl_ms;
	struct contacts_request *lookup;
};

static void
typed_drop(struct typed *t)
{
	TAILQ_REMOVE(&t->a->typing->out, t, link);
	t->a->typing->nout--;
	event_free(t->timer);
	free(t);
}

static void
asked_drop(struct asked *k)
{
	contacts_cancel(k->lookup);
	TAILQ_REMOVE(&k->a->typing->asked, k, link);
	free(k);
}

struct typing *
typing_new(struct account *a)
{
	struct typing *t = calloc(1, sizeof(*t));

	if (t == NULL)
		fatal("typing_new");
	t->a = a;
	TAILQ_INIT(&t->out);
	TAILQ_INIT(&t->asked);
	TAILQ_INIT(&t->in);
	return t;
}

static void
drop_out(struct typing *t)
{
	while (!TAILQ_EMPTY(&t->out))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		typed_drop(TAILQ_FIRST(&t->out));
}

void
typing_free(struct typing *t)
{
	if (t == NULL)
		return;
	while (!TAILQ_EMPTY(&t->asked))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		asked_drop(TAILQ_FIRST(&t->asked));
	drop_out(t);
	typing_in_clear(t);
	free(t);
}

void
typing_disconnected(struct account *a)
{
	drop_out(a->typing);
}

static int
say(struct account *a, const struct jid *to, enum typing_state state)
{
	struct node *n = node_new("chatstate"), *c;

	node_set_jid(n, "to", to);
	c = node_child_new(n, state == TYPING_PAUSED ? "paused" : "composing");
	if (state == TYPING_RECORDING)
		node_set(c, "media", "audio");
	return stanza_send(a, n);
}

static void
arm(struct typed *t)
{
	int64_t left = t->until_ms - clock_mono_ms();
	struct timeval tv;

	left = left < 1 ? 1 : left > TYPING_REPEAT_MS ? TYPING_REPEAT_MS : left;
	tv.tv_sec = left / 1000;
	tv.tv_usec = (suseconds_t)(left % 1000) * 1000;
	evtimer_add(t->timer, &tv);
}

/* It is said again, or its time is over. */
static void
due(evutil_socket_t fd, short what, void *arg)
{
	struct typed *t = arg;

	if (clock_mono_ms() < t->until_ms) {
		(void)say(t->a, &t->to, t->state);
		arm(t);
		return;
	}
	(void)say(t->a, &t->to, TYPING_PAUSED);
	typed_drop(t);
}

/* Under either name: the pair may have been learned since. */
static struct typed *
find(struct typing *t, const struct person *p)
{
	struct typed *k;

	TAILQ_FOREACH(k, &t->out, link)
	if ((p->pn[0] != '\0' && strcmp(k->pn, p->pn) == 0) ||
	    (p->lid[0] != '\0' && strcmp(k->lid, p->lid) == 0))
		return k;
	return NULL;
}

void
typing_sent(struct account *a, const char *chat)
{
	struct person p;
	struct typed *t;
	struct jid j;

	if (TAILQ_EMPTY(&a->typing->out) || jid_parse(chat, &j) == -1 ||
	    contacts_cached(a, &j, &p) == -1)
		return;
	while ((t = find(a->typing, &p)) != NULL)
		typed_drop(t); /* the message itself ends it over there */
}

/* ------------------------------------------------------------------ chat.typing */

static void
type(struct asked *k, const struct jid *to, const struct person *p)
{
	struct account *a = k->a;
	struct typed *t = find(a->typing, p);

	if (say(a, to, k->state) == -1) {
		call_failf(k->call, -3, "offline", 1, "the service cannot be told now");
		return;
	}
	call_ok(k->call, json_pack("{s:b}", "ok", 1));
	if (k->state == TYPING_PAUSED) {
		if (t != NULL)
			typed_drop(t);
		return;
	}
	if (t == NULL) {
		if ((t = calloc(1, sizeof(*t))) == NULL ||
		    (t->timer = evtimer_new(a->svc->base, due, t)) == NULL)
			fatal("typing");
		t->a = a;
		TAILQ_INSERT_TAIL(&a->typing->out, t, link);
		a->typing->nout++;
	}
	t->to = *to;
	memcpy(t->pn, p->pn, sizeof(t->pn));
	memcpy(t->lid, p->lid, sizeof(t->lid));
	t->state = k->state;
	t->until_ms = clock_mono_ms() + k->ttl_ms;
	arm(t);
}

static void
asked_known(const struct person *people, size_t n, const Stored__LookupReply *lists,
    const char *why, void *arg)
{
	struct asked *k = arg;
	struct jid to;

	k->lookup = NULL;
	if (why != NULL) {
		struct api_error e = api_error_store(why);

		call_fail(k->call, &e);
	} else if (people[0].id[0] == '\0' || peer_jid(k->a, &people[0], &to) == -1) {
		call_failf(k->call, -1, "not_found", 0, "no such chat");
	} else if (find(k->a->typing, &people[0]) == NULL && k->a->typing->nout >= TYPING_MAX &&
		   k->state != TYPING_PAUSED) {
		call_failf(k->call, -5, "overloaded", 1, "typing in too many chats at a time");
	} else {
		type(k, &to, &people[0]);
	}
	asked_drop(k);
}

void
chat_typing(struct account *a, const void *client, const char *chat, const char *state,
    unsigned ttl_ms, engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);
	char text[JID_TEXT_MAX];
	const char *name = peer_name(chat, text);
	struct asked *k;

	if (name == NULL) {
		call_failf(c, -1, "unsupported", 0, "only direct chats can be typed in");
		return;
	}
	if (a->conn == 0 || !a->logged_in) {
		call_failf(c, -3, "offline", 1, "the service cannot be told now");
		return;
	}
	if ((k = calloc(1, sizeof(*k))) == NULL)
		fatal("chat_typing");
	k->a = a;
	k->call = c;
	k->ttl_ms = ttl_ms;
	for (int i = 0; i < TYPING_STATES; i++)
		if (strcmp(state, typing_words[i]) == 0)
			k->state = (enum typing_state)i;
	TAILQ_INSERT_TAIL(&a->typing->asked, k, link);
	k->lookup = contacts_ask(a, &name, 1, 0, asked_known, k);
}
