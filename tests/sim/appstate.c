/* App state as the service keeps it: numbered patches that it cannot read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/sim/appstate.h"
#include "tests/sim/nodes.h"
#include "tests/sim/offline.h"
#include "tests/sim/pbw.h"

#define MAX_COLLECTIONS 16
#define MAX_PATCHES     100000
#define PAGE            100 /* patches in one answer */

struct patch {
	uint8_t *data;
	size_t len;
};

struct collections {
	struct collection {
		char name[32];
		struct patch *patches; /* [0] made version 1 */
		size_t n;
	} all[MAX_COLLECTIONS];
	size_t n;
};

void
appstate_free(struct collections *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->n; i++) {
		for (size_t k = 0; k < c->all[i].n; k++)
			free(c->all[i].patches[k].data);
		free(c->all[i].patches);
	}
	free(c);
}

static struct collection *
find(const struct account *a, const char *name)
{
	for (size_t i = 0; a->collections != NULL && i < a->collections->n; i++)
		if (strcmp(a->collections->all[i].name, name) == 0)
			return &a->collections->all[i];
	return NULL;
}

uint64_t
appstate_version(const struct account *a, const char *name)
{
	const struct collection *c = find(a, name);

	return c == NULL ? 0 : c->n;
}

static struct collection *
find_or_make(struct account *a, const char *name)
{
	struct collection *c = find(a, name);

	if (c != NULL)
		return c;
	if (a->collections == NULL && (a->collections = calloc(1, sizeof(*a->collections))) == NULL)
		fatal("app state");
	if (a->collections->n == MAX_COLLECTIONS || name[0] == '\0' ||
	    strlen(name) >= sizeof(c->name))
		return NULL;
	c = &a->collections->all[a->collections->n++];
	snprintf(c->name, sizeof(c->name), "%s", name);
	return c;
}

static int
store(struct collection *c, const struct node *patch)
{
	struct patch *more;

	if (c->n == MAX_PATCHES || (more = realloc(c->patches, (c->n + 1) * sizeof(*more))) == NULL)
		return -1;
	c->patches = more;
	if ((more[c->n].data = malloc(patch->nbytes + 1)) == NULL)
		return -1;
	memcpy(more[c->n].data, patch->bytes, patch->nbytes);
	more[c->n++].len = patch->nbytes;
	return 0;
}

/* Clients upload patches without their version; who reads them needs it. */
static void
put_patch(struct node *patches, const struct patch *p, uint64_t version)
{
	struct buf b = BUF_INIT, v = BUF_INIT;

	pbw_varint(&v, 1, version);
	pbw_msg(&b, 1, &v);
	buf_put(&b, p->data, p->len);
	node_add_bytes(patches, "patch", b.data, b.len);
	buf_clear(&b);
}

static void
put_patches(struct node *out, const struct collection *c, uint64_t after)
{
	struct node *patches;
	uint64_t v = after;

	if (after >= c->n)
		return;
	patches = node_child_new(out, "patches");
	for (; v < c->n && v < after + PAGE; v++)
		put_patch(patches, &c->patches[v], v + 1);
	if (v < c->n)
		node_set(out, "has_more_patches", "true");
}

static void
notify(struct device *except, const struct collection *c)
{
	struct device *d;

	TAILQ_FOREACH(d, &except->account->devices, link)
	{
		struct node *n, *x;

		if (d == except || d->id == 0)
			continue;
		n = route_notification("server_sync");
		x = node_child_new(n, "collection");
		node_set(x, "name", c->name);
		node_setf(x, "version", "%zu", c->n);
		offline_deliver(d, n);
	}
}

/* One collection of the question into the answer. 1 = it grew: others are told afterwards. */
static int
one(struct device *d, struct node *sync, const struct node *q)
{
	struct node *out = node_child_new(sync, "collection"), *e;
	const struct node *patch = node_child(q, "patch");
	struct collection *c = find_or_make(d->account, nodes_attr(q, "name"));
	int64_t base = node_get(q, "version") == NULL ? 0 : node_get_int(q, "version", INT64_MAX);
	int code = 0;

	node_set(out, "name", node_get(q, "name"));
	if (c == NULL || base < 0 || (uint64_t)base > c->n)
		code = 400;
	else if (patch != NULL && (uint64_t)base != c->n)
		code = 409;
	else if (patch != NULL && (!patch->has_bytes || store(c, patch) != 0))
		code = 400;
	if (c != NULL)
		node_setf(out, "version", "%zu", c->n);
	if (code != 0) {
		node_set(out, "type", "error");
		e = node_child_new(out, "error");
		node_setf(e, "code", "%d", code);
		node_set(e, "text", nodes_error_text(code));
	}
	if (c != NULL && (code == 409 || (code == 0 && patch == NULL)))
		put_patches(out, c, (uint64_t)base);
	return code == 0 && patch != NULL;
}

void
appstate_query(struct origin *o, const struct node *iq)
{
	const struct node *sync = node_child(iq, "sync");
	struct device *d = o->dev;
	struct node *a, *s;
	int grew[MAX_COLLECTIONS] = {0};

	if (sync == NULL || sync->nchildren > MAX_COLLECTIONS) {
		route_error(o, iq, 400);
		return;
	}
	a = nodes_result(iq);
	s = node_child_new(a, "sync");
	for (size_t i = 0; i < sync->nchildren; i++)
		grew[i] = one(d, s, sync->children[i]);
	route_reply(o, a);
	for (size_t i = 0; i < sync->nchildren; i++)
		if (grew[i])
			notify(d, find(d->account, nodes_attr(sync->children[i], "name")));
}
