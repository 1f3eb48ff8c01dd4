/* The fields of an encoded protobuf message one by one, without a schema. */
#include "common/pbwalk.h"

void
pbwalk_begin(struct pbwalk *w, const uint8_t *bytes, size_t len)
{
	static const uint8_t nothing[1];

	if (bytes == NULL) /* an empty message */
		bytes = nothing;
	*w = (struct pbwalk){.at = bytes, .end = bytes + len};
}

static int
varint(struct pbwalk *w, uint64_t *v)
{
	*v = 0;
	for (unsigned shift = 0; shift < 64 && w->at < w->end; shift += 7) {
		uint8_t b = *w->at++;

		*v |= (uint64_t)(b & 0x7f) << shift;
		if (b < 0x80)
			return 0;
	}
	return -1;
}

int
pbwalk_next(struct pbwalk *w)
{
	uint64_t tag, n = 0;

	if (w->at == w->end)
		return 0;
	w->record = w->at;
	if (varint(w, &tag) == -1 || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
		return -1;
	w->field = (uint32_t)(tag >> 3);
	w->wire = (unsigned)(tag & 7);
	w->data = w->at;
	if (w->wire == 0) {
		if (varint(w, &n) == -1)
			return -1;
		n = 0; /* it is passed already */
	} else if (w->wire == 1 || w->wire == 5) {
		n = w->wire == 1 ? 8 : 4;
	} else if (w->wire == 2) {
		if (varint(w, &n) == -1)
			return -1;
		w->data = w->at;
	} else {
		return -1;
	}
	if (n > (uint64_t)(w->end - w->at))
		return -1;
	w->at += n;
	w->len = (size_t)(w->at - w->data);
	w->record_len = (size_t)(w->at - w->record);
	return 1;
}
