/* Typing. It is kept a few seconds for a device that is not there. */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/sim/loop.h"
#include "tests/sim/nodes.h"
#include "tests/sim/offline.h"
#include "tests/sim/presence.h"

#define KEPT_MS  3000
#define MAX_KEPT 4096

struct kept {
	TAILQ_ENTRY(kept) link;
	struct device *for_whom;
	struct node *n;
	int64_t at_ms;
};
static TAILQ_HEAD(kept_list, kept) all = TAILQ_HEAD_INITIALIZER(all); /* oldest first */
static unsigned count;

static void
drop(struct kept *k)
{
	TAILQ_REMOVE(&all, k, link);
	node_free(k->n);
	free(k);
	count--;
}

static void
drop_old(void)
{
	struct kept *k;

	while ((k = TAILQ_FIRST(&all)) != NULL &&
	       (count > MAX_KEPT || loop_now_ms() - k->at_ms > KEPT_MS))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		drop(k);
}

/* The last one of each sender counts. */
static void
keep(struct device *d, struct node *n)
{
	struct kept *k, *next;

	for (k = TAILQ_FIRST(&all); k != NULL; k = next) {
		next = TAILQ_NEXT(k, link);
		if (k->for_whom == d &&
		    strcmp(nodes_attr(k->n, "from"), nodes_attr(n, "from")) == 0)
			drop(k);
	}
	if ((k = calloc(1, sizeof(*k))) == NULL)
		fatal("chatstate");
	k->for_whom = d;
	k->n = n;
	k->at_ms = loop_now_ms();
	TAILQ_INSERT_TAIL(&all, k, link);
	count++;
	drop_old();
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
		if (d->id != 0 && d->phase != DEVICE_LIVE)
			keep(d, out);
		else
			offline_transient(d, out);
	}
}

void
chatstate_live(struct device *d)
{
	struct kept *k, *next;

	drop_old();
	for (k = TAILQ_FIRST(&all); k != NULL; k = next) {
		next = TAILQ_NEXT(k, link);
		if (k->for_whom != d)
			continue;
		offline_transient(d, nodes_copy(k->n));
		drop(k);
	}
}

void
chatstate_forget(const struct device *d)
{
	struct kept *k, *next;

	for (k = TAILQ_FIRST(&all); k != NULL; k = next) {
		next = TAILQ_NEXT(k, link);
		if (k->for_whom == d)
			drop(k);
	}
}

void
chatstate_fini(void)
{
	while (!TAILQ_EMPTY(&all))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		drop(TAILQ_FIRST(&all));
}
