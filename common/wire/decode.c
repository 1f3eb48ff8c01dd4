/* Frame payload -> node tree (protocol page 02, sections 2 to 7): one pass, one arena, every length
 * checked against what is left before it is used. */
#include <stdlib.h>
#include <string.h>

#include "common/wire/arena.h"
#include "common/wire/inflate.h"
#include "common/wire/node.h"
#include "common/wire/tokens.h"
#include "common/wire/utf8.h"

#define FLAG_ZLIB  0x02u
#define NODES_MAX  (1u << 20)
#define NODE_BYTES 3 /* the smallest node: F8 01 tag */
#define PACKED_MAX 254

/* A tree may take so much: the dearest two bytes are an attribute of two tokens (128 bytes), so
 * every well-formed stanza of ordinary size fits; the cap bounds what a stanza of many megabytes
 * may cost. */
#define BUDGET_FACTOR 80u
#define BUDGET_BASE   4096u
#define BUDGET_CAP    (128u * 1024 * 1024)

struct decoder {
	const uint8_t *start, *p, *end;
	struct arena *arena;
	struct node *root;
	size_t nodes;
	enum node_error error;
};

/* A string as it was read: either static (a token) or in the arena; always with a NUL behind. */
struct text {
	char *s;
	size_t len;
};

static int
fail(struct decoder *d, enum node_error e)
{
	if (d->error == NODE_OK)
		d->error = e;
	return -1;
}

static int
fail_memory(struct decoder *d)
{
	return fail(d, arena_over_budget(d->arena) ? NODE_TOO_BIG : NODE_NO_MEMORY);
}

static size_t
left(const struct decoder *d)
{
	return (size_t)(d->end - d->p);
}

/* Big-endian number of n bytes (1..4). */
static int
get_number(struct decoder *d, size_t n, uint32_t *out)
{
	uint32_t v = 0;

	if (left(d) < n)
		return fail(d, NODE_TRUNCATED);
	while (n-- > 0)
		v = v << 8 | *d->p++;
	*out = v;
	return 0;
}

static int
get_type(struct decoder *d, uint8_t *out)
{
	if (d->p == d->end)
		return fail(d, NODE_TRUNCATED);
	*out = *d->p++;
	return 0;
}

static int
is_binary(uint8_t type)
{
	return type >= 0xfc && type <= 0xfe;
}

static int
is_list(uint8_t type)
{
	return type == 0x00 || type == 0xf8 || type == 0xf9;
}

static int
is_jid(uint8_t type)
{
	return type == 0xfa || (type >= 0xf5 && type <= 0xf7);
}

static int
get_binary(struct decoder *d, uint8_t type, const uint8_t **data, size_t *len)
{
	uint32_t n = 0;

	if (get_number(d, type == 0xfc ? 1 : type == 0xfd ? 3 : 4, &n) == -1)
		return -1;
	if (type == 0xfd)
		n &= 0xfffff;
	if (n > left(d))
		return fail(d, NODE_TRUNCATED);
	*data = d->p;
	*len = n;
	d->p += n;
	return 0;
}

static int
get_token(struct decoder *d, unsigned table, unsigned index, struct text *out)
{
	const char *s = token_text(table, index, &out->len);

	if (s == NULL)
		return fail(d, NODE_MALFORMED);
	/* read-only, like all text of a decoded tree by contract */
	out->s = (char *)(uintptr_t)s;
	return 0;
}

static int
get_packed(struct decoder *d, int hex, struct text *out)
{
	static const char alphabets[2][17] = {"0123456789-.\0\0\0\0", "0123456789ABCDEF"};
	const char *alphabet = alphabets[hex];
	char chars[PACKED_MAX + 1];
	size_t i, n, len = 0;
	uint8_t head = 0;

	if (get_type(d, &head) == -1)
		return -1;
	n = head & 0x7f;
	if (n == 0)
		return fail(d, NODE_MALFORMED);
	if (n > left(d))
		return fail(d, NODE_TRUNCATED);
	for (i = 0; i < n; i++) {
		chars[len++] = alphabet[d->p[i] >> 4];
		chars[len++] = alphabet[d->p[i] & 15];
	}
	if ((head & 0x80) != 0)
		len--; /* padding, whatever its nibble */
	if (memchr(chars, '\0', len) != NULL)
		return fail(d, NODE_MALFORMED);
	d->p += n;
	out->len = len;
	out->s = arena_text(d->arena, chars, len);
	return out->s == NULL ? fail_memory(d) : 0;
}

/* Any string form but bytes: a token or a packed string. */
static int
get_short_form(struct decoder *d, uint8_t type, struct text *out)
{
	uint8_t index = 0;

	if (type >= 1 && type <= 0xeb)
		return get_token(d, 0, type, out);
	if (type >= 0xec && type <= 0xef)
		return get_type(d, &index) == -1 ? -1 : get_token(d, type - 0xecu + 1, index, out);
	if (type == 0xfb || type == 0xff)
		return get_packed(d, type == 0xfb, out);
	return fail(d, NODE_MALFORMED);
}

/* A tag, key, user or server: not empty, valid UTF-8, no NUL. */
static int
get_name(struct decoder *d, uint8_t type, struct text *out)
{
	const uint8_t *data = NULL;

	if (!is_binary(type))
		return get_short_form(d, type, out);
	if (get_binary(d, type, &data, &out->len) == -1)
		return -1;
	if (out->len == 0 || memchr(data, '\0', out->len) != NULL || !wire_utf8_ok(data, out->len))
		return fail(d, NODE_MALFORMED);
	out->s = arena_text(d->arena, (const char *)data, out->len);
	return out->s == NULL ? fail_memory(d) : 0;
}

/* A user or server goes to the stack, not into the arena: it lands in a struct jid. */
static int
get_part(struct decoder *d, uint8_t type, char *out, size_t size)
{
	const uint8_t *data = NULL;
	struct text t = {NULL, 0};

	if (is_binary(type)) {
		if (get_binary(d, type, &data, &t.len) == -1)
			return -1;
		if (t.len == 0 || t.len >= size || memchr(data, '\0', t.len) != NULL ||
		    !wire_utf8_ok(data, t.len))
			return fail(d, NODE_MALFORMED);
		memcpy(out, data, t.len);
		out[t.len] = '\0';
		return 0;
	}
	if (get_short_form(d, type, &t) == -1)
		return -1;
	if (t.len == 0 || t.len >= size)
		return fail(d, NODE_MALFORMED);
	memcpy(out, t.s, t.len + 1);
	return 0;
}

static int
get_next_part(struct decoder *d, char *out, size_t size)
{
	uint8_t type = 0;

	return get_type(d, &type) == -1 ? -1 : get_part(d, type, out, size);
}

static const char *
ad_server(uint32_t domain)
{
	if (domain == 0)
		return JID_PN;
	if (domain == 1)
		return JID_LID;
	if (domain == 129)
		return JID_HOSTED_LID;
	return domain >= 128 && domain % 2 == 0 ? JID_HOSTED : NULL;
}

static int
get_ad_jid(struct decoder *d, struct jid *out)
{
	char user[JID_USER_MAX + 1];
	uint32_t domain = 0, device = 0;
	const char *server;

	if (get_number(d, 1, &domain) == -1 || get_number(d, 1, &device) == -1)
		return -1;
	server = ad_server(domain);
	if (server == NULL)
		return fail(d, NODE_MALFORMED);
	if (get_next_part(d, user, sizeof(user)) == -1)
		return -1;
	return jid_make(out, user, server, device) == -1 ? fail(d, NODE_MALFORMED) : 0;
}

/* FB_JID and INTEROP_JID. */
static int
get_foreign_jid(struct decoder *d, int interop, struct jid *out)
{
	char user[JID_USER_MAX + 1], server[JID_SERVER_MAX + 1];
	uint32_t device = 0, integrator = 0;

	if (get_next_part(d, user, sizeof(user)) == -1 || get_number(d, 2, &device) == -1 ||
	    (interop && get_number(d, 2, &integrator) == -1) ||
	    get_next_part(d, server, sizeof(server)) == -1)
		return -1;
	if (strcmp(server, interop ? "interop" : "msgr") != 0 ||
	    jid_make(out, user, server, device) == -1)
		return fail(d, NODE_MALFORMED);
	out->integrator = (uint16_t)integrator;
	return 0;
}

static int
get_jid_pair(struct decoder *d, struct jid *out)
{
	char user[JID_USER_MAX + 1] = "", server[JID_SERVER_MAX + 1];
	uint8_t type = 0;

	if (get_type(d, &type) == -1)
		return -1;
	if (type != 0x00 && get_part(d, type, user, sizeof(user)) == -1)
		return -1;
	if (get_next_part(d, server, sizeof(server)) == -1)
		return -1;
	return jid_make(out, user, server, 0) == -1 ? fail(d, NODE_MALFORMED) : 0;
}

/* A JID and its text. */
static int
get_jid(struct decoder *d, uint8_t type, struct jid *out, struct text *text)
{
	char chars[JID_TEXT_MAX];
	int r;

	if (type == 0xfa)
		r = get_jid_pair(d, out);
	else if (type == 0xf7)
		r = get_ad_jid(d, out);
	else
		r = get_foreign_jid(d, type == 0xf5, out);
	if (r == -1)
		return -1;
	text->len = strlen(jid_format(out, chars));
	text->s = arena_text(d->arena, chars, text->len);
	return text->s == NULL ? fail_memory(d) : 0;
}

/* Attributes that address the stanza: text that is not UTF-8 cannot be a name of anybody. */
static int
names_somebody(const char *key)
{
	static const char *const keys[] = {"to", "from", "participant", "recipient", "jid"};
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(key, keys[i]) == 0)
			return 1;
	}
	return 0;
}

static int
get_raw_value(struct decoder *d, uint8_t type, struct node_attr *at)
{
	const uint8_t *data = NULL;
	size_t len = 0;

	if (get_binary(d, type, &data, &len) == -1)
		return -1;
	if ((len != 0 && memchr(data, '\0', len) != NULL) || !wire_utf8_ok(data, len)) {
		if (names_somebody(at->key))
			return fail(d, NODE_MALFORMED);
		at->bad_utf8 = 1;
		len = strnlen((const char *)data, len);
	}
	at->text = arena_text(d->arena, (const char *)data, len);
	return at->text == NULL ? fail_memory(d) : 0;
}

static int
get_value(struct decoder *d, struct node_attr *at)
{
	static char empty[] = "";
	struct text t = {NULL, 0};
	uint8_t type = 0;

	if (get_type(d, &type) == -1)
		return -1;
	if (is_binary(type))
		return get_raw_value(d, type, at);
	if (type == 0x00) {
		at->text = empty;
		return 0;
	}
	if (is_jid(type)) {
		if (get_jid(d, type, &at->jid, &t) == -1)
			return -1;
		at->is_jid = 1;
	} else if (get_short_form(d, type, &t) == -1) {
		return -1;
	}
	at->text = t.s;
	return 0;
}

/* Where the key stands, or belongs, in order[]: the indexes of n's attributes sorted by key. */
static size_t
find_place(const struct node *n, const uint16_t *order, const char *key, int *found)
{
	size_t low = 0, high = n->nattrs;

	*found = 0;
	while (low < high) {
		size_t mid = (low + high) / 2;
		int c = strcmp(n->attrs[order[mid]].key, key);

		if (c == 0) {
			*found = 1;
			return mid;
		}
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* count attributes; of equal keys the last wins (section 4.4). */
static int
get_attrs(struct decoder *d, struct node *n, size_t count)
{
	uint16_t order[NODE_MAX_ATTRS];

	while (count-- > 0) {
		struct node_attr *at = &n->attrs[n->nattrs];
		struct text key = {NULL, 0};
		size_t place;
		uint8_t type = 0;
		int found;

		memset(at, 0, sizeof(*at));
		if (get_type(d, &type) == -1 || get_name(d, type, &key) == -1)
			return -1;
		at->key = key.s;
		if (get_value(d, at) == -1)
			return -1;
		place = find_place(n, order, at->key, &found);
		if (found) {
			n->attrs[order[place]] = *at;
			continue;
		}
		memmove(order + place + 1, order + place, (n->nattrs - place) * sizeof(*order));
		order[place] = (uint16_t)n->nattrs++;
	}
	return 0;
}

static int get_node(struct decoder *d, struct node *n, int depth);

static int
get_children(struct decoder *d, struct node *n, uint8_t type, int depth)
{
	uint32_t count = 0, i;

	if (type != 0x00 && get_number(d, type == 0xf8 ? 1 : 2, &count) == -1)
		return -1;
	if (count == 0)
		return 0;
	if (count > left(d) / NODE_BYTES)
		return fail(d, NODE_TRUNCATED);
	if (depth == NODE_MAX_DEPTH)
		return fail(d, NODE_TOO_DEEP);
	n->children = arena_alloc(d->arena, count * sizeof(struct node *));
	if (n->children == NULL)
		return fail_memory(d);
	arena_box(n)->children_cap = count;
	for (i = 0; i < count; i++) {
		struct node *child = arena_node(d->arena);

		if (child == NULL)
			return fail_memory(d);
		if (get_node(d, child, depth + 1) == -1)
			return -1;
		n->children[n->nchildren++] = child;
	}
	return 0;
}

/* Content that came as a token, packed string or JID is bytes of its text (section 6). */
static int
get_content(struct decoder *d, struct node *n, int depth)
{
	const uint8_t *data = NULL;
	struct text t = {NULL, 0};
	struct jid j = {0};
	uint8_t type = 0;

	if (get_type(d, &type) == -1)
		return -1;
	if (is_list(type))
		return get_children(d, n, type, depth);
	if (is_binary(type)) {
		if (get_binary(d, type, &data, &n->nbytes) == -1)
			return -1;
		/* the input lies in the arena: no copy */
		n->bytes = (uint8_t *)(uintptr_t)data;
	} else {
		if ((is_jid(type) ? get_jid(d, type, &j, &t) : get_short_form(d, type, &t)) == -1)
			return -1;
		n->bytes = (uint8_t *)t.s;
		n->nbytes = t.len;
	}
	n->has_bytes = 1;
	return 0;
}

static int
get_node(struct decoder *d, struct node *n, int depth)
{
	uint32_t items = 0;
	size_t nattrs;
	struct text tag = {NULL, 0};
	uint8_t type = 0;

	if (++d->nodes > NODES_MAX)
		return fail(d, NODE_TOO_BIG);
	if (get_type(d, &type) == -1)
		return -1;
	if (type != 0xf8 && type != 0xf9)
		return fail(d, NODE_MALFORMED);
	if (get_number(d, type == 0xf8 ? 1 : 2, &items) == -1)
		return -1;
	if (items == 0)
		return fail(d, NODE_MALFORMED);
	if (items > left(d))
		return fail(d, NODE_TRUNCATED);
	nattrs = (items - 1) / 2;
	if (get_type(d, &type) == -1 || get_name(d, type, &tag) == -1)
		return -1;
	n->tag = tag.s;
	if (nattrs > NODE_MAX_ATTRS)
		return fail(d, NODE_TOO_BIG);
	if (nattrs != 0) {
		n->attrs = arena_alloc(d->arena, nattrs * sizeof(*n->attrs));
		if (n->attrs == NULL)
			return fail_memory(d);
		arena_box(n)->attrs_cap = nattrs;
		if (get_attrs(d, n, nattrs) == -1)
			return -1;
	}
	return items % 2 == 0 ? get_content(d, n, depth) : 0;
}

static void
copy_attr(const struct node *n, const char *key, char *out, size_t size)
{
	size_t i;

	for (i = 0; i < n->nattrs; i++) {
		const struct node_attr *at = &n->attrs[i];

		if (strcmp(at->key, key) == 0 && !at->bad_utf8 && strlen(at->text) < size)
			memcpy(out, at->text, strlen(at->text) + 1);
	}
}

static void
fill_fault(struct node_fault *f, const struct decoder *d)
{
	const struct node *n = d->root;

	f->error = d->error;
	f->offset = d->start == NULL ? 0 : 1 + (size_t)(d->p - d->start);
	if (n == NULL || n->tag == NULL)
		return;
	if (strlen(n->tag) < sizeof(f->tag))
		memcpy(f->tag, n->tag, strlen(n->tag) + 1);
	copy_attr(n, "id", f->id, sizeof(f->id));
	copy_attr(n, "from", f->from, sizeof(f->from));
	copy_attr(n, "participant", f->participant, sizeof(f->participant));
}

/* The node bytes are copied to the head of the arena, so that byte contents need no copies. */
static enum node_error
decode_bytes(const uint8_t *data, size_t len, struct decoder *d)
{
	size_t extra = len > 16384 ? 65536 : len * 4 + 512;
	size_t budget = len > BUDGET_CAP / BUDGET_FACTOR ? BUDGET_CAP : len * BUDGET_FACTOR;
	char *copy;

	if (len == 0)
		return NODE_EMPTY;
	d->arena = arena_new(len + extra, budget + BUDGET_BASE);
	if (d->arena == NULL)
		return NODE_NO_MEMORY;
	copy = arena_bytes(d->arena, len);
	d->root = copy != NULL ? arena_node(d->arena) : NULL;
	if (d->root == NULL)
		return NODE_NO_MEMORY;
	memcpy(copy, data, len);
	d->start = d->p = (const uint8_t *)copy;
	d->end = d->p + len;
	if (get_node(d, d->root, 1) == 0 && d->p != d->end)
		(void)fail(d, NODE_TRAILING);
	return d->error;
}

struct node *
node_decode(const void *data, size_t len, struct node_fault *fault)
{
	struct decoder d = {0};
	struct buf plain = BUF_INIT;
	const uint8_t *p = data;

	plain.max = NODE_MAX_INFLATE + 1;
	if (len < 2) {
		d.error = NODE_EMPTY;
	} else if ((p[0] & FLAG_ZLIB) == 0) {
		d.error = decode_bytes(p + 1, len - 1, &d);
	} else {
		d.error = wire_inflate(p + 1, len - 1, &plain);
		if (d.error == NODE_OK)
			d.error = decode_bytes(plain.data, plain.len, &d);
	}
	buf_clear(&plain);
	if (fault != NULL) {
		memset(fault, 0, sizeof(*fault));
		if (d.error != NODE_OK)
			fill_fault(fault, &d);
	}
	if (d.error == NODE_OK)
		return d.root;
	if (d.arena != NULL)
		arena_free(d.arena);
	return NULL;
}

const char *
node_error_text(enum node_error e)
{
	static const char *const texts[] = {"no error", "empty", "truncated", "malformed",
	    "trailing bytes", "nested too deep", "too big", "out of memory"};

	return (size_t)e < sizeof(texts) / sizeof(texts[0]) ? texts[e] : "unknown error";
}
