/* Node trees: building them and reading them; no bytes here. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire/arena.h"
#include "common/wire/node.h"

#define FIRST_PIECE 448 /* a node with two attributes in one malloc */

static struct node *
new_in(struct arena *a, const char *tag)
{
	struct node *n = arena_node(a);

	if (n == NULL)
		return NULL;
	n->tag = arena_text(a, tag, strlen(tag));
	return n->tag == NULL ? NULL : n;
}

struct node *
node_new(const char *tag)
{
	struct arena *a = arena_new(FIRST_PIECE, SIZE_MAX);
	struct node *n;

	if (a == NULL)
		return NULL;
	n = new_in(a, tag);
	if (n == NULL)
		arena_free(a);
	return n;
}

void
node_free(struct node *n)
{
	struct arena *a;

	if (n == NULL)
		return;
	a = arena_of(n);
	/* a child dies with its root, not before */
	if (arena_root(a) == n && !arena_taken(a))
		arena_free(a);
}

/* Room for one more in an array of *cap elements. The old one stays in the arena. NULL: failed. */
static void *
grow(struct arena *a, void *old, size_t count, size_t *cap, size_t size)
{
	size_t want = *cap == 0 ? 4 : *cap * 2;
	void *fresh;

	if (count < *cap)
		return old;
	fresh = arena_alloc(a, want * size);
	if (fresh == NULL)
		return NULL;
	if (count != 0)
		memcpy(fresh, old, count * size);
	*cap = want;
	return fresh;
}

static struct node_attr *
find_attr(const struct node *n, const char *key)
{
	size_t i;

	for (i = 0; i < n->nattrs; i++) {
		if (strcmp(n->attrs[i].key, key) == 0)
			return &n->attrs[i];
	}
	return NULL;
}

/* The attribute of that key, made if absent. NULL: failed. */
static struct node_attr *
want_attr(struct node *n, const char *key)
{
	struct arena *a = arena_of(n);
	struct node_attr *at = find_attr(n, key);
	char *name;

	if (at != NULL)
		return at;
	name = arena_text(a, key, strlen(key));
	at = grow(a, n->attrs, n->nattrs, &arena_box(n)->attrs_cap, sizeof(*at));
	if (name == NULL || at == NULL)
		return NULL;
	n->attrs = at;
	at = &n->attrs[n->nattrs++];
	memset(at, 0, sizeof(*at));
	at->key = name;
	return at;
}

static void
drop_attr(struct node *n, const char *key)
{
	struct node_attr *at = find_attr(n, key);

	if (at == NULL)
		return;
	n->nattrs--;
	memmove(at, at + 1, (size_t)(n->attrs + n->nattrs - at) * sizeof(*at));
}

static struct node *
set(struct node *n, const char *key, const char *value, const struct jid *jid)
{
	char *text = arena_text(arena_of(n), value, strlen(value));
	struct node_attr *at = want_attr(n, key);

	if (text == NULL || at == NULL) {
		if (at != NULL && at->text == NULL)
			n->nattrs--;
		return n;
	}
	at->text = text;
	at->bad_utf8 = 0;
	at->is_jid = jid != NULL;
	if (jid != NULL)
		at->jid = *jid;
	return n;
}

struct node *
node_set(struct node *n, const char *key, const char *value)
{
	if (n == NULL)
		return NULL;
	if (value != NULL && value[0] != '\0')
		return set(n, key, value, NULL);
	drop_attr(n, key);
	return n;
}

struct node *
node_setf(struct node *n, const char *key, const char *fmt, ...)
{
	char small[128], *big = NULL;
	va_list ap;
	int len;

	if (n == NULL)
		return NULL;
	va_start(ap, fmt);
	len = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (len >= 0 && (size_t)len < sizeof(small))
		return node_set(n, key, small);
	va_start(ap, fmt);
	len = vasprintf(&big, fmt, ap);
	va_end(ap);
	if (len == -1) {
		arena_fail(arena_of(n));
		return n;
	}
	(void)node_set(n, key, big);
	explicit_bzero(big, (size_t)len);
	free(big);
	return n;
}

struct node *
node_set_jid(struct node *n, const char *key, const struct jid *value)
{
	char text[JID_TEXT_MAX];

	if (n == NULL)
		return NULL;
	if (value == NULL || value->server[0] == '\0') {
		drop_attr(n, key);
		return n;
	}
	return set(n, key, jid_format(value, text), value);
}

struct node *
node_set_server(struct node *n, const char *key, const char *server)
{
	struct jid j;

	if (n == NULL)
		return NULL;
	if (jid_make(&j, "", server, 0) == -1) {
		arena_fail(arena_of(n));
		return n;
	}
	return node_set_jid(n, key, &j);
}

/* The slot for one more child, or NULL: failed (then remembered until node_encode). */
static struct node **
want_slot(struct node *parent)
{
	struct arena *a = arena_of(parent);
	struct node **kids;

	if (parent->has_bytes) {
		arena_fail(a);
		return NULL;
	}
	kids = grow(a, parent->children, parent->nchildren, &arena_box(parent)->children_cap,
	    sizeof(struct node *));
	if (kids == NULL)
		return NULL;
	parent->children = kids;
	return &kids[parent->nchildren];
}

struct node *
node_add(struct node *parent, struct node *child)
{
	struct node **slot;

	if (parent == NULL) {
		node_free(child);
		return NULL;
	}
	/* only a whole tree can be added; a NULL child is one for which there was no memory */
	if (child == NULL || arena_root(arena_of(child)) != child || arena_taken(arena_of(child)) ||
	    arena_of(child) == arena_of(parent)) {
		arena_fail(arena_of(parent));
		return parent;
	}
	slot = want_slot(parent);
	if (slot == NULL) {
		node_free(child);
		return parent;
	}
	*slot = child;
	parent->nchildren++;
	arena_take(arena_of(parent), arena_of(child));
	return parent;
}

struct node *
node_child_new(struct node *parent, const char *tag)
{
	struct node **slot;
	struct node *child;

	if (parent == NULL)
		return NULL;
	slot = want_slot(parent);
	if (slot == NULL)
		return NULL;
	child = new_in(arena_of(parent), tag);
	if (child == NULL)
		return NULL;
	*slot = child;
	parent->nchildren++;
	return child;
}

struct node *
node_set_bytes(struct node *n, const void *data, size_t len)
{
	char *copy;

	if (n == NULL)
		return NULL;
	if (n->nchildren != 0) {
		arena_fail(arena_of(n));
		return n;
	}
	copy = arena_text(arena_of(n), data, len);
	if (copy == NULL)
		return n;
	n->bytes = (uint8_t *)copy;
	n->nbytes = len;
	n->has_bytes = 1;
	return n;
}

struct node *
node_add_bytes(struct node *parent, const char *tag, const void *data, size_t len)
{
	(void)node_set_bytes(node_child_new(parent, tag), data, len);
	return parent;
}

const char *
node_get(const struct node *n, const char *key)
{
	const struct node_attr *at = n != NULL ? find_attr(n, key) : NULL;

	return at != NULL ? at->text : NULL;
}

int
node_get_jid(const struct node *n, const char *key, struct jid *out)
{
	const struct node_attr *at = n != NULL ? find_attr(n, key) : NULL;

	if (at == NULL || at->bad_utf8)
		return -1;
	if (!at->is_jid)
		return jid_parse(at->text, out);
	*out = at->jid;
	return 0;
}

int64_t
node_get_int(const struct node *n, const char *key, int64_t max)
{
	const char *s = node_get(n, key);
	int64_t v = 0;

	if (s == NULL || *s == '\0')
		return -1;
	for (; *s != '\0'; s++) {
		if (*s < '0' || *s > '9' || v > (INT64_MAX - (*s - '0')) / 10)
			return -1;
		v = v * 10 + (*s - '0');
	}
	return v <= max ? v : -1;
}

int
node_is(const struct node *n, const char *tag)
{
	return n != NULL && strcmp(n->tag, tag) == 0;
}

struct node *
node_child(const struct node *n, const char *tag)
{
	size_t i;

	for (i = 0; n != NULL && i < n->nchildren; i++) {
		if (node_is(n->children[i], tag))
			return n->children[i];
	}
	return NULL;
}

int
node_child_bytes(const struct node *n, const char *tag, const uint8_t **data, size_t *len)
{
	const struct node *c = node_child(n, tag);

	if (c == NULL || !c->has_bytes)
		return -1;
	*data = c->bytes;
	*len = c->nbytes;
	return 0;
}
