/* Presence and typing. A subscription lasts as long as the connection that made it. */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "tests/sim/loop.h"
#include "tests/sim/nodes.h"
#include "tests/sim/offline.h"
#include "tests/sim/presence.h"
#include "tests/sim/tokens.h"

#define MAX_SUBSCRIPTIONS 65536

struct subscription {
	TAILQ_ENTRY(subscription) link;
	struct device *who; /* NULL: over, to be swept up */
	struct account *whom;
	int lid; /* in the addressing that was asked */
};
static TAILQ_HEAD(subscriptions, subscription) all = TAILQ_HEAD_INITIALIZER(all);
static unsigned count;
static int sweep_due;

static int
is_available(const struct account *a)
{
	struct device *d;

	TAILQ_FOREACH(d, &a->devices, link)
	if (d->available)
		return 1;
	return 0;
}

static void
tell(const struct subscription *s)
{
	struct node *n = node_new("presence");
	struct jid from = account_jid(s->whom, s->lid);

	node_set_jid(n, "from", &from);
	if (!is_available(s->whom)) {
		node_set(n, "type", "unavailable");
		node_setf(n, "last", "%lld", (long long)loop_now());
	}
	offline_transient(s->who, n);
}

static void
tell_all(const struct account *a)
{
	struct subscription *s;

	TAILQ_FOREACH(s, &all, link)
	if (s->who != NULL && s->whom == a)
		tell(s);
}

static void
subscribe(struct device *d, const struct jid *to)
{
	struct account *a = account_of(to);
	struct subscription *s;

	if (a == NULL)
		return;
	TAILQ_FOREACH(s, &all, link)
	if (s->who == d && s->whom == a)
		break;
	if (s == NULL) {
		if (count >= MAX_SUBSCRIPTIONS)
			return;
		if ((s = calloc(1, sizeof(*s))) == NULL)
			fatal("subscription");
		s->who = d;
		s->whom = a;
		TAILQ_INSERT_TAIL(&all, s, link);
		count++;
	}
	s->lid = account_is_lid(to);
	tell(s);
}

void
presence_in(struct origin *o, const struct node *n)
{
	const char *type = nodes_attr(n, "type"), *name = nodes_attr(n, "name");
	struct account *a = o->dev->account;
	int was = is_available(a);
	struct jid to;

	if (strcmp(type, "subscribe") == 0) {
		if (node_get_jid(n, "to", &to) == 0 && tokens_shows(a, account_of(&to), n))
			subscribe(o->dev, &to);
		return;
	}
	if (strcmp(type, "available") != 0 && strcmp(type, "unavailable") != 0)
		return; /* sent without attributes by some clients */
	if (name[0] != '\0')
		snprintf(a->push_name, sizeof(a->push_name), "%s", name);
	o->dev->available = strcmp(type, "available") == 0;
	if (is_available(a) != was)
		tell_all(a);
}

/* A connection can end while its subscriptions are being told something. */
static void
sweep(void *arg)
{
	struct subscription *s, *next;

	(void)arg;
	sweep_due = 0;
	for (s = TAILQ_FIRST(&all); s != NULL; s = next) {
		next = TAILQ_NEXT(s, link);
		if (s->who != NULL)
			continue;
		TAILQ_REMOVE(&all, s, link);
		free(s);
		count--;
	}
}

void
presence_gone(struct device *d)
{
	struct subscription *s;
	int was = d->available;

	d->available = 0;
	TAILQ_FOREACH(s, &all, link)
	if (s->who == d)
		s->who = NULL;
	if (!sweep_due) {
		sweep_due = 1;
		loop_defer(sweep, NULL, NULL);
	}
	if (was && !is_available(d->account))
		tell_all(d->account);
}

void
presence_chatstate_in(struct origin *o, const struct node *n)
{
	struct account *a;
	struct device *d;
	struct node *out;
	struct jid to, from;

	if (node_get_jid(n, "to", &to) != 0 || (a = account_of(&to)) == NULL ||
	    a == o->dev->account)
		return;
	from = account_jid(o->dev->account, account_is_lid(&to));
	TAILQ_FOREACH(d, &a->devices, link)
	{
		out = node_new("chatstate");
		node_set_jid(out, "from", &from);
		for (size_t i = 0; i < n->nchildren; i++)
			nodes_add_copy(out, n->children[i]);
		offline_transient(d, out);
	}
}

void
presence_fini(void)
{
	struct subscription *s;

	while ((s = TAILQ_FIRST(&all)) != NULL) {
		TAILQ_REMOVE(&all, s, link);
		free(s);
	}
	count = 0;
}
