/* Node tree -> frame payload (protocol page 02, sections 4 to 6), in the canonical forms. */
#include <string.h>

#include "common/wire/arena.h"
#include "common/wire/node.h"
#include "common/wire/tokens.h"

#define PACKED_MAX 127

static int
put_list(struct buf *out, size_t n)
{
	if (n == 0)
		return buf_put_u8(out, 0x00);
	if (n < 256)
		return buf_put_u8(out, 0xf8) == -1 ? -1 : buf_put_u8(out, (uint8_t)n);
	if (n > 65535 || buf_put_u8(out, 0xf9) == -1)
		return -1;
	return buf_put_be16(out, (uint16_t)n);
}

static int
put_binary(struct buf *out, const void *data, size_t len)
{
	int r;

	if (len < 256)
		r = buf_put_u8(out, 0xfc) == -1 ? -1 : buf_put_u8(out, (uint8_t)len);
	else if (len < (1u << 20))
		r = buf_put_u8(out, 0xfd) == -1 ? -1 : buf_put_be24(out, (uint32_t)len);
	else if (len <= NODE_MAX_ENCODED)
		r = buf_put_u8(out, 0xfe) == -1 ? -1 : buf_put_be32(out, (uint32_t)len);
	else
		r = -1;
	return r == -1 ? -1 : buf_put(out, data, len);
}

/* The nibble of a character: 0..11 in the "0-9-." alphabet, or in the hex one; -1 if it has none.
 */
static int
nibble(char c, int hex)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (hex)
		return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
	if (c == '-')
		return 10;
	return c == '.' ? 11 : -1;
}

static int
packable(const char *s, size_t len, int hex)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (nibble(s[i], hex) == -1)
			return 0;
	}
	return 1;
}

static int
put_packed(struct buf *out, const char *s, size_t len, int hex)
{
	size_t i, n = (len + 1) / 2;
	uint8_t *p = buf_reserve(out, 2 + n);

	if (p == NULL)
		return -1;
	*p++ = hex ? 0xfb : 0xff;
	*p++ = (uint8_t)(n | (len % 2 != 0 ? 0x80 : 0));
	for (i = 0; i < len; i += 2) {
		unsigned high = (unsigned)nibble(s[i], hex);
		unsigned low = i + 1 < len ? (unsigned)nibble(s[i + 1], hex) : 15;

		*p++ = (uint8_t)(high << 4 | low);
	}
	return 0;
}

/* The canonical order of section 4.1. Never empty here, but for attribute values. */
static int
put_string(struct buf *out, const char *s)
{
	size_t len = strlen(s);
	unsigned table, index;

	if (token_find(s, len, &table, &index) == 0) {
		if (table != 0 && buf_put_u8(out, (uint8_t)(0xec + table - 1)) == -1)
			return -1;
		return buf_put_u8(out, (uint8_t)index);
	}
	if (len != 0 && len <= PACKED_MAX) {
		if (packable(s, len, 0))
			return put_packed(out, s, len, 0);
		if (packable(s, len, 1))
			return put_packed(out, s, len, 1);
	}
	return put_binary(out, s, len);
}

/* The AD domain byte of a server, or -1 if its JIDs have no AD form. */
static int
ad_domain(const struct jid *j)
{
	if (jid_on(j, JID_PN))
		return 0;
	if (jid_on(j, JID_LID))
		return 1;
	if (jid_on(j, JID_HOSTED))
		return 128;
	return jid_on(j, JID_HOSTED_LID) ? 129 : -1;
}

static int
put_jid_pair(struct buf *out, const struct jid *j)
{
	if (buf_put_u8(out, 0xfa) == -1)
		return -1;
	if ((j->user[0] == '\0' ? buf_put_u8(out, 0x00) : put_string(out, j->user)) == -1)
		return -1;
	return put_string(out, j->server);
}

static int
put_jid(struct buf *out, const struct jid *j)
{
	int domain = ad_domain(j);

	if (j->server[0] == '\0')
		return -1;
	if (j->user[0] == '\0')
		return put_jid_pair(out, j);
	if (domain >= 128 || (domain >= 0 && j->device != 0)) {
		if (j->device > 255 || buf_put_u8(out, 0xf7) == -1)
			return -1;
		if (buf_put_u8(out, (uint8_t)domain) == -1 ||
		    buf_put_u8(out, (uint8_t)j->device) == -1)
			return -1;
		return put_string(out, j->user);
	}
	if (jid_on(j, "msgr") || jid_on(j, "interop")) {
		int interop = jid_on(j, "interop");

		if (buf_put_u8(out, interop ? 0xf5 : 0xf6) == -1 ||
		    put_string(out, j->user) == -1 || buf_put_be16(out, j->device) == -1)
			return -1;
		if (interop && buf_put_be16(out, j->integrator) == -1)
			return -1;
		return put_string(out, j->server);
	}
	/* a pair has no place for a device */
	return j->device != 0 ? -1 : put_jid_pair(out, j);
}

static int
put_attrs(struct buf *out, const struct node *n)
{
	size_t i;

	for (i = 0; i < n->nattrs; i++) {
		const struct node_attr *at = &n->attrs[i];
		int r;

		if (at->key[0] == '\0' || put_string(out, at->key) == -1)
			return -1;
		if (at->is_jid)
			r = put_jid(out, &at->jid);
		else if (at->bad_utf8)
			r = put_binary(out, at->text, strlen(at->text));
		else
			r = put_string(out, at->text);
		if (r == -1)
			return -1;
	}
	return 0;
}

static int
put_node(struct buf *out, const struct node *n, int depth)
{
	int content = n->has_bytes || n->nchildren != 0;
	size_t i;

	if (depth > NODE_MAX_DEPTH || n->nattrs > NODE_MAX_ATTRS || n->tag[0] == '\0' ||
	    arena_failed(arena_of(n)))
		return -1;
	if (put_list(out, 1 + 2 * n->nattrs + (size_t)content) == -1 ||
	    put_string(out, n->tag) == -1 || put_attrs(out, n) == -1)
		return -1;
	if (n->has_bytes)
		return put_binary(out, n->bytes, n->nbytes);
	if (n->nchildren == 0)
		return 0;
	if (put_list(out, n->nchildren) == -1)
		return -1;
	for (i = 0; i < n->nchildren; i++) {
		if (put_node(out, n->children[i], depth + 1) == -1)
			return -1;
	}
	return 0;
}

int
node_encode(const struct node *n, struct buf *out)
{
	size_t start = out->len;

	if (n != NULL && buf_put_u8(out, 0x00) == 0 && put_node(out, n, 1) == 0 &&
	    out->len - start <= NODE_MAX_ENCODED)
		return 0;
	if (out->len > start) {
		explicit_bzero(out->data + start, out->len - start);
		out->len = start;
	}
	return -1;
}
