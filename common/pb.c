/* Safe unpacking of protobuf bytes: a scan that bounds depth, then an arena that bounds memory. */
#include <stdlib.h>
#include <string.h>

#include "common/pb.h"

#define ARENA_ALIGN ((size_t)16)
#define ARENA_FIRST ((size_t)2048) /* enough for most messages: one malloc */
#define ARENA_CHUNK                                                                                \
	((size_t)65536) /* later chunks grow up to this; bigger wishes get their own               \
			 */

struct chunk {
	struct chunk *next;
	size_t used;
	size_t size;
	size_t pad; /* keeps data[] aligned to 16 */
	uint8_t data[];
};

struct pb_arena {
	struct chunk *chunks; /* newest first */
	size_t left;          /* of the budget */
	size_t next_size;
	int exhausted;
};

static struct chunk *
chunk_new(struct pb_arena *a, size_t size)
{
	struct chunk *c;

	if ((c = malloc(sizeof(*c) + size)) == NULL)
		return NULL;
	c->used = 0;
	c->size = size;
	c->next = a->chunks;
	a->chunks = c;
	return c;
}

struct pb_arena *
pb_arena_new(size_t budget)
{
	struct pb_arena *a;

	if ((a = calloc(1, sizeof(*a))) == NULL)
		return NULL;
	a->left = budget;
	a->next_size = ARENA_FIRST;
	return a;
}

void
pb_arena_free(struct pb_arena *a)
{
	struct chunk *c;

	if (a == NULL)
		return;
	while ((c = a->chunks) != NULL) {
		a->chunks = c->next;
		explicit_bzero(c->data, c->used);
		free(c);
	}
	free(a);
}

static void *
arena_alloc(void *arg, size_t size)
{
	struct pb_arena *a = arg;
	struct chunk *c = a->chunks;
	void *p;

	if (size == 0)
		size = 1;
	if (size > a->left)
		goto exhausted;
	size = (size + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
	if (c == NULL || size > c->size - c->used) {
		if ((c = chunk_new(a, size > a->next_size ? size : a->next_size)) == NULL)
			goto exhausted;
		if (a->next_size < ARENA_CHUNK)
			a->next_size *= 2;
	}
	a->left -= size < a->left ? size : a->left;
	p = c->data + c->used;
	c->used += size;
	return p;

exhausted:
	a->exhausted = 1;
	return NULL;
}

void *
pb_arena_alloc(struct pb_arena *a, size_t size)
{
	void *p = arena_alloc(a, size);

	return p == NULL ? NULL : memset(p, 0, size);
}

/* Everything dies with the arena. */
static void
arena_free(void *arg, void *p)
{
	(void)arg;
	(void)p;
}

/* ---------------------------------------------------------------- the scan */

struct cursor {
	const uint8_t *at;
	const uint8_t *end;
};

/* A varint of at most `max` bytes. 0, or -1: cut or too long. */
static int
scan_varint(struct cursor *c, unsigned max, uint64_t *out)
{
	uint64_t v = 0;
	unsigned i;

	for (i = 0; i < max && c->at < c->end; i++) {
		uint8_t b = *c->at++;

		v |= (uint64_t)(b & 0x7f) << (7 * i);
		if ((b & 0x80) == 0) {
			*out = v;
			return 0;
		}
	}
	return -1;
}

static int
scan_skip(struct cursor *c, uint64_t n)
{
	if (n > (uint64_t)(c->end - c->at))
		return -1;
	c->at += n;
	return 0;
}

static const char *scan_message(const ProtobufCMessageDescriptor *desc, const uint8_t *bytes,
    size_t len, unsigned flags, int depth);

/* The content of a length-prefixed field: messages are walked, strings of strict messages looked
 * at. */
static const char *
scan_content(const ProtobufCFieldDescriptor *field, const uint8_t *bytes, size_t len,
    unsigned flags, int depth)
{
	if (field == NULL)
		return NULL;
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		return scan_message(field->descriptor, bytes, len, flags, depth + 1);
	/* a NUL inside would make the text that is checked another than the one that is used */
	if (field->type == PROTOBUF_C_TYPE_STRING && (flags & PB_STRICT) && len > 0 &&
	    memchr(bytes, 0, len) != NULL)
		return "malformed";
	return NULL;
}

static const char *
scan_field(const ProtobufCMessageDescriptor *desc, struct cursor *c, unsigned flags, int depth)
{
	const ProtobufCFieldDescriptor *field;
	const uint8_t *content;
	uint64_t key, v;

	/* there is no field 0; protobuf-c takes it in a padded key and then packs what it refuses
	 */
	if (scan_varint(c, 5, &key) == -1 || key > UINT32_MAX || key >> 3 == 0)
		return "malformed";
	field = protobuf_c_message_descriptor_get_field(desc, (unsigned)(key >> 3));
	if (field == NULL && (flags & PB_STRICT))
		return "unknown field";
	switch (key & 7) {
	case 0:
		return scan_varint(c, 10, &v) == -1 ? "malformed" : NULL;
	case 1:
		return scan_skip(c, 8) == -1 ? "malformed" : NULL;
	case 5:
		return scan_skip(c, 4) == -1 ? "malformed" : NULL;
	case 2:
		if (scan_varint(c, 5, &v) == -1)
			return "malformed";
		content = c->at;
		if (scan_skip(c, v) == -1)
			return "malformed";
		return scan_content(field, content, (size_t)v, flags, depth);
	default: /* groups */
		return "malformed";
	}
}

/* Walk the wire as protobuf-c will, without taking memory; the recursion ends at PB_MAX_DEPTH. */
static const char *
scan_message(const ProtobufCMessageDescriptor *desc, const uint8_t *bytes, size_t len,
    unsigned flags, int depth)
{
	struct cursor c = {bytes, bytes + len};
	const char *why;

	if (depth > PB_MAX_DEPTH)
		return "depth";
	while (c.at < c.end)
		if ((why = scan_field(desc, &c, flags, depth)) != NULL)
			return why;
	return NULL;
}

void *
pb_unpack(const ProtobufCMessageDescriptor *desc, const void *bytes, size_t len, struct pb_arena *a,
    unsigned flags, const char **why)
{
	static const uint8_t empty[1];
	ProtobufCAllocator alloc = {arena_alloc, arena_free, a};
	const uint8_t *data = len > 0 ? bytes : empty;
	const char *fault;
	void *m = NULL;

	a->exhausted = 0;
	if ((fault = scan_message(desc, data, len, flags, 1)) == NULL &&
	    (m = protobuf_c_message_unpack(desc, &alloc, len, data)) == NULL)
		fault = a->exhausted ? "budget" : "malformed";
	if (why != NULL)
		*why = fault;
	return m;
}

uint8_t *
pb_pack(const ProtobufCMessage *m, size_t *len)
{
	size_t n = protobuf_c_message_get_packed_size(m);
	uint8_t *out;

	if ((out = malloc(n > 0 ? n : 1)) == NULL)
		return NULL;
	*len = protobuf_c_message_pack(m, out);
	return out;
}

int
pb_put(const ProtobufCMessage *m, struct buf *out)
{
	uint8_t *room = buf_reserve(out, protobuf_c_message_get_packed_size(m));

	if (room != NULL)
		(void)protobuf_c_message_pack(m, room);
	return room == NULL ? -1 : 0;
}
