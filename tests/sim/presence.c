/* Presence and typing. A subscription lasts as long as the connection that made it, and its device
 * hears of changes while it is available itself; what changed meanwhile is told once, as it is
 * then.
 */
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
	int lid;     /* in the addressing that was asked */
	int asleep;  /* the connection that made it is gone */
	int pending; /* something changed since it was told last */
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

/* A phone shows what it is told; a companion only while it says that it is looked at. */
static int
listens(const struct device *d)
{
	return d->id == 0 || (d->available && d->phase == DEVICE_LIVE);
}

static void
tell(struct subscription *s)
{
	struct node *n = node_new("presence");
	struct jid from = account_jid(s->whom, s->lid);

	s->pending = 0;
	node_set_jid(n, "from", &from);
	if (!is_available(s->whom)) {
		node_set(n, "type", "unavailable");
		if (s->whom->last_seen != 0)
			node_setf(n, "last", "%lld", (long long)s->whom->last_seen);
	}
	offline_transient(s->who, n);
}

static void
tell_all(struct account *a)
{
	struct subscription *s;

	if (!is_available(a))
		a->last_seen = loop_now();
	TAILQ_FOREACH(s, &all, link)
	{
		if (s->who == NULL || s->whom != a)
			continue;
		if (listens(s->who) && !s->asleep)
			tell(s);
		else
			s->pending = 1;
	}
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

static void
end(struct subscription *s)
{
	s->who = NULL;
	if (sweep_due)
		return;
	sweep_due = 1;
	loop_defer(sweep, NULL, NULL);
}

static struct subscription *
find(const struct device *d, const struct account *a)
{
	struct subscription *s;

	TAILQ_FOREACH(s, &all, link)
	if (s->who == d && s->whom == a)
		return s;
	return NULL;
}

static void
subscribe(struct device *d, const struct jid *to)
{
	struct account *a = account_of(to);
	struct subscription *s;

	if (a == NULL)
		return;
	if ((s = find(d, a)) == NULL) {
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
	s->asleep = 0;
	s->pending = 1;
	if (listens(d))
		tell(s);
}

static void
unsubscribe(struct device *d, const struct jid *to)
{
	struct account *a = account_of(to);
	struct subscription *s = a == NULL ? NULL : find(d, a);

	if (s != NULL)
		end(s);
}

/* The device begins to listen. */
static void
catch_up(struct device *d)
{
	struct subscription *s;

	TAILQ_FOREACH(s, &all, link)
	if (s->who == d && s->pending && !s->asleep)
		tell(s);
}

void
presence_in(struct origin *o, const struct node *n)
{
	const char *type = nodes_attr(n, "type"), *name = nodes_attr(n, "name");
	struct account *a = o->dev->account;
	int was = is_available(a);
	struct jid to;

	if (strcmp(type, "subscribe") == 0 || strcmp(type, "unsubscribe") == 0) {
		if (node_get_jid(n, "to", &to) != 0)
			return;
		if (type[0] == 'u')
			unsubscribe(o->dev, &to);
		else if (tokens_shows(a, account_of(&to), n))
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
	if (o->dev->available)
		catch_up(o->dev);
}

void
presence_gone(struct device *d)
{
	struct subscription *s;
	int was = d->available;

	d->available = 0;
	TAILQ_FOREACH(s, &all, link)
	if (s->who == d)
		s->asleep = 1;
	if (was && !is_available(d->account))
		tell_all(d->account);
}

/* What changed of those that it had watched, once each; then they are forgotten, unless it asked
 * again meanwhile. */
void
presence_live(struct device *d)
{
	struct subscription *s;

	TAILQ_FOREACH(s, &all, link)
	{
		if (s->who != d || !s->asleep)
			continue;
		if (s->pending)
			tell(s);
		end(s);
	}
	chatstate_live(d);
}

void
presence_forget(struct device *d)
{
	struct subscription *s;

	TAILQ_FOREACH(s, &all, link)
	if (s->who == d)
		end(s);
	chatstate_forget(d);
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
	chatstate_fini();
}
