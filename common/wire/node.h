/* Binary nodes: the tree of tags, attributes and content inside one frame (protocol page 02). */
#ifndef WARD_NODE_H
#define WARD_NODE_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/jid.h"

struct node_attr {
	char *key;
	char *text; /* value as text, also when it is a JID; never NULL ("" for an absent value) */
	int is_jid; /* it came, or goes out, in a JID form */
	int bad_utf8;   /* kept as raw bytes up to the first NUL */
	struct jid jid; /* valid if is_jid */
};

struct node {
	char *tag;
	struct node_attr *attrs;
	size_t nattrs;
	uint8_t *bytes; /* content: bytes … */
	size_t nbytes;
	int has_bytes;
	struct node **children; /* … or children; never both */
	size_t nchildren;
};

#define NODE_MAX_DEPTH   32
#define NODE_MAX_ATTRS   256
#define NODE_MAX_INFLATE (16u * 1024 * 1024)
#define NODE_MAX_ENCODED ((1u << 24) - 17)

/* --- building. All return NULL / ignore calls on NULL when memory is out, so that a chain of calls
 * needs one check, at node_encode(), which fails then. --- */
struct node *node_new(const char *tag);
void node_free(struct node *n); /* whole tree, contents wiped; NULL is fine */
/* Set an attribute (replaces one of that key). "" and NULL values drop it. */
struct node *node_set(struct node *n, const char *key, const char *value);
struct node *node_setf(struct node *n, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
struct node *node_set_jid(struct node *n, const char *key, const struct jid *value);
/* to=s.whatsapp.net and the like: the JID of a server alone */
struct node *node_set_server(struct node *n, const char *key, const char *server);
/* Appends a child; takes ownership also on failure. Returns the parent. */
struct node *node_add(struct node *parent, struct node *child);
/* Appends a new empty child and returns the child. */
struct node *node_child_new(struct node *parent, const char *tag);
/* Sets byte content (copied). Returns n. */
struct node *node_set_bytes(struct node *n, const void *data, size_t len);
/* Appends a child with byte content; returns the parent. */
struct node *node_add_bytes(struct node *parent, const char *tag, const void *data, size_t len);

/* --- reading --- */
const char *node_get(const struct node *n, const char *key); /* NULL if absent */
/* The attribute as a JID, whether it came as JID or as text. 0, or -1 if absent or no JID. */
int node_get_jid(const struct node *n, const char *key, struct jid *out);
/* Decimal attribute; -1 if absent or not a number in 0..max. */
int64_t node_get_int(const struct node *n, const char *key, int64_t max);
int node_is(const struct node *n, const char *tag);
struct node *node_child(const struct node *n, const char *tag); /* the first such child, or NULL */
/* Byte content of the first child `tag`: 0 and the pointers (into the tree), or -1 if there is
 * none. */
int node_child_bytes(const struct node *n, const char *tag, const uint8_t **data, size_t *len);

/* --- bytes --- */
/* Appends the frame payload: flags byte 00 and the node. 0, or -1 (memory, limits, device > 255 in
 * an AD form). Attributes go out in insertion order. */
int node_encode(const struct node *n, struct buf *out);

enum node_error {
	NODE_OK,
	NODE_EMPTY,     /* no flags byte or no node */
	NODE_TRUNCATED, /* a length beyond the end */
	NODE_MALFORMED, /* invalid token, type byte, packed form, JID, UTF-8, empty tag … */
	NODE_TRAILING,  /* bytes after the node or the zlib stream */
	NODE_TOO_DEEP,
	NODE_TOO_BIG, /* inflated size, attributes, or memory budget */
	NODE_NO_MEMORY
};

/* What could be read of a stanza before the fault, so that it can be nacked. "" where unknown. */
struct node_fault {
	enum node_error error;
	size_t offset;
	char tag[64];
	char id[128];
	char from[JID_TEXT_MAX];
	char participant[JID_TEXT_MAX];
};

/* Decode one frame payload (flags byte first; inflates if bit 0x02 is set). NULL on failure, *fault
 * (may be NULL) then says why. Memory used is bounded by a small multiple of the (inflated) input.
 */
struct node *node_decode(const void *data, size_t len, struct node_fault *fault);
const char *node_error_text(enum node_error e);

/* For logs and traces: an XML-like line with contents as lengths only (no bytes, no values of
 * attributes that name people: those through log_redact). */
void node_describe(const struct node *n, struct buf *out);
/* The same with every value and content in hex, for the simulator's own log. */
void node_dump(const struct node *n, struct buf *out);

#endif
