/* Which stanzas are noted before they are handled: by the bytes of the tag alone, since the node
 * itself is what nobody looks at yet. */
#include <string.h>

#include "apid/session/poison_impl.h"
#include "common/buf.h"
#include "common/log.h"
#include "common/wire/node.h"

#define COMPRESSED 2u /* of the flags */

static const struct {
	const char *tag;
	enum poison_gate gate;
} tags[] = {
    {"ib", POISON_WAIT}, /* the end of the backlog: behind what waits of it */
    {"iq", POISON_PASS},
    {"ack", POISON_PASS},
    {"success", POISON_PASS},
    {"failure", POISON_PASS},
    {"error", POISON_PASS},
    {"stream:error", POISON_PASS},
    {"xmlstreamend", POISON_PASS},
};
#define TAGS (sizeof(tags) / sizeof(tags[0]))

/* A tag as it stands on the wire, behind flags, list and its size. */
static struct wire {
	uint8_t bytes[16];
	size_t len;
} wire[TAGS];

static void
encode_tags(void)
{
	for (size_t i = 0; i < TAGS; i++) {
		struct node *n = node_new(tags[i].tag);
		struct buf b = BUF_INIT;

		if (node_encode(n, &b) == -1 || b.len <= POISON_HEAD - 1 ||
		    b.len - (POISON_HEAD - 1) > sizeof(wire[0].bytes))
			fatalx("<%s> has no short tag", tags[i].tag);
		wire[i].len = b.len - (POISON_HEAD - 1);
		memcpy(wire[i].bytes, b.data + POISON_HEAD - 1, wire[i].len);
		buf_clear(&b);
		node_free(n);
	}
}

enum poison_gate
poison_gate(const uint8_t *bytes, size_t len)
{
	const uint8_t *tag = bytes + POISON_HEAD - 1;

	if (wire[0].len == 0)
		encode_tags();
	if (len <= POISON_HEAD || (bytes[0] & COMPRESSED) != 0 || bytes[1] != POISON_LIST_8)
		return POISON_NOTE;
	for (size_t i = 0; i < TAGS; i++)
		if (len - (POISON_HEAD - 1) > wire[i].len &&
		    memcmp(tag, wire[i].bytes, wire[i].len) == 0)
			return tags[i].gate;
	return POISON_NOTE;
}
