/* Which of its fields a Write of the contract has. */
#include "stored/write.h"

#include <string.h>

/* All fields are optional: a message or a text is there if its pointer is, a bool if its flag is.
 */
static int
is_set(const Stored__Write *w, const ProtobufCFieldDescriptor *f)
{
	const char *base = (const char *)w;
	const void *p;

	if (f->type == PROTOBUF_C_TYPE_BOOL)
		return *(const protobuf_c_boolean *)(const void *)(base + f->quantifier_offset) !=
		       0;
	memcpy(&p, base + f->offset, sizeof(p));
	return p != NULL;
}

enum write_kind
write_kind(const Stored__Write *w)
{
	const ProtobufCMessageDescriptor *d = &stored__write__descriptor;
	enum write_kind kind = WRITE_NONE;
	unsigned i;

	for (i = 0; i < d->n_fields; i++) {
		if (!is_set(w, &d->fields[i]))
			continue;
		if (kind != WRITE_NONE)
			return WRITE_NONE;
		kind = (enum write_kind)d->fields[i].id;
	}
	return kind;
}
