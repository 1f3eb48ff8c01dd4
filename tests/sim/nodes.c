/* Small tools on node trees that routing needs. */
#include <string.h>

#include "tests/sim/nodes.h"

static void
copy_into(struct node *dst, const struct node *src)
{
	for (size_t i = 0; i < src->nattrs; i++) {
		if (src->attrs[i].is_jid)
			node_set_jid(dst, src->attrs[i].key, &src->attrs[i].jid);
		else
			node_set(dst, src->attrs[i].key, src->attrs[i].text);
	}
	if (src->has_bytes)
		node_set_bytes(dst, src->bytes, src->nbytes);
	for (size_t i = 0; i < src->nchildren; i++)
		copy_into(node_child_new(dst, src->children[i]->tag), src->children[i]);
}

struct node *
nodes_copy(const struct node *src)
{
	struct node *n = node_new(src->tag);

	if (n != NULL)
		copy_into(n, src);
	return n;
}

struct node *
nodes_add_copy(struct node *parent, const struct node *src)
{
	if (parent != NULL)
		copy_into(node_child_new(parent, src->tag), src);
	return parent;
}

void
nodes_copy_attr(struct node *dst, const struct node *src, const char *key)
{
	for (size_t i = 0; i < src->nattrs; i++) {
		if (strcmp(src->attrs[i].key, key) != 0)
			continue;
		if (src->attrs[i].is_jid)
			node_set_jid(dst, key, &src->attrs[i].jid);
		else
			node_set(dst, key, src->attrs[i].text);
	}
}

const char *
nodes_attr(const struct node *n, const char *key)
{
	const char *v = node_get(n, key);

	return v == NULL ? "" : v;
}

struct node *
nodes_nth(const struct node *n, const char *tag, size_t i)
{
	for (size_t c = 0; c < n->nchildren; c++)
		if (strcmp(n->children[c]->tag, tag) == 0 && i-- == 0)
			return n->children[c];
	return NULL;
}

int
nodes_has(const struct node *n, const char *tag, int depth)
{
	for (size_t i = 0; i < n->nchildren; i++) {
		if (strcmp(n->children[i]->tag, tag) == 0)
			return 1;
		if (depth > 1 && nodes_has(n->children[i], tag, depth - 1))
			return 1;
	}
	return 0;
}

int
nodes_fixed(const struct node *n, const char *tag, void *out, size_t len)
{
	const uint8_t *data;
	size_t have;

	if (node_child_bytes(n, tag, &data, &have) != 0 || have != len)
		return -1;
	memcpy(out, data, len);
	return 0;
}

static struct node *
answer(const struct node *iq, const char *type)
{
	struct node *n = node_new("iq");
	struct jid to;

	node_set(n, "id", node_get(iq, "id"));
	node_set(n, "type", type);
	if (node_get_jid(iq, "to", &to) == 0 && !jid_is_server(&to))
		node_set_jid(n, "from", &to);
	else
		node_set_server(n, "from", JID_PN);
	return n;
}

struct node *
nodes_result(const struct node *iq)
{
	return answer(iq, "result");
}

const char *
nodes_error_text(int code)
{
	static const struct {
		int code;
		const char *text;
	} texts[] = {{400, "bad-request"}, {401, "not-authorized"}, {403, "forbidden"},
	    {404, "item-not-found"}, {405, "not-allowed"}, {406, "not-acceptable"},
	    {409, "conflict"}, {410, "gone"}, {419, "resource-limit"}, {423, "locked"},
	    {429, "rate-overlimit"}, {452, "feature-not-available"}, {500, "internal-server-error"},
	    {501, "feature-not-implemented"}, {503, "service-unavailable"},
	    {530, "partial-server-error"}};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].code == code)
			return texts[i].text;
	return "error";
}

struct node *
nodes_error(const struct node *iq, int code, const char *text)
{
	struct node *n = answer(iq, "error");
	struct node *e = node_child_new(n, "error");

	node_setf(e, "code", "%d", code);
	node_set(e, "text", text != NULL ? text : nodes_error_text(code));
	return n;
}
