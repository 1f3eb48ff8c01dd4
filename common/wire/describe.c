/* Node trees as one line of text: for logs (no names, no contents) and for the simulator (all). */
#include <string.h>

#include "common/log.h"
#include "common/wire/node.h"

/* Attributes whose values are words of the protocol, ids or numbers of it: safe in a log.
 * Everything else (JIDs, names, subjects, tokens) goes through log_redact. */
static const char *const plain_keys[] = {"id", "type", "class", "xmlns", "t", "code", "reason",
    "count", "offline", "v", "value", "error", "edit", "category", "stage", "version", "mode",
    "context", "index", "last", "sid", "addressing_mode", "key-index", "retry", "encoding",
    "mediatype", "hash", "phash", "platform", "protocol", "action", "expire"};

static int
is_plain(const struct node_attr *at)
{
	size_t i;

	if (at->is_jid && jid_is_server(&at->jid))
		return 1;
	if (at->is_jid || at->bad_utf8 || strchr(at->text, '@') != NULL)
		return 0;
	for (i = 0; i < sizeof(plain_keys) / sizeof(plain_keys[0]); i++) {
		if (strcmp(at->key, plain_keys[i]) == 0)
			return 1;
	}
	return 0;
}

/* Printable ASCII as it is, the rest and the delimiters as \xHH. */
static void
put_escaped(struct buf *out, const char *s)
{
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c >= ' ' && c < 0x7f && c != '"' && c != '\\')
			(void)buf_put_u8(out, c);
		else
			(void)buf_printf(out, "\\x%02x", c);
	}
}

static void
put_hex(struct buf *out, const uint8_t *p, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t *to = buf_reserve(out, 2 * len);
	size_t i;

	for (i = 0; to != NULL && i < len; i++) {
		*to++ = (uint8_t)digits[p[i] >> 4];
		*to++ = (uint8_t)digits[p[i] & 15];
	}
}

static void
put_node(struct buf *out, const struct node *n, int all, int depth)
{
	size_t i;

	if (n == NULL || depth > NODE_MAX_DEPTH)
		return;
	(void)buf_put_str(out, "<");
	put_escaped(out, n->tag);
	for (i = 0; i < n->nattrs; i++) {
		const struct node_attr *at = &n->attrs[i];

		(void)buf_put_u8(out, ' ');
		put_escaped(out, at->key);
		(void)buf_put_str(out, at->is_jid ? "=" : "=\"");
		put_escaped(out, all || is_plain(at) ? at->text : log_redact(at->text));
		if (!at->is_jid)
			(void)buf_put_u8(out, '"');
	}
	if (!n->has_bytes && n->nchildren == 0) {
		(void)buf_put_str(out, "/>");
		return;
	}
	(void)buf_put_u8(out, '>');
	if (n->has_bytes && all)
		put_hex(out, n->bytes, n->nbytes);
	else if (n->has_bytes)
		(void)buf_printf(out, "[%zu]", n->nbytes);
	for (i = 0; i < n->nchildren; i++)
		put_node(out, n->children[i], all, depth + 1);
	(void)buf_put_str(out, "</");
	put_escaped(out, n->tag);
	(void)buf_put_u8(out, '>');
}

void
node_describe(const struct node *n, struct buf *out)
{
	put_node(out, n, 0, 1);
}

void
node_dump(const struct node *n, struct buf *out)
{
	put_node(out, n, 1, 1);
}
