/* The fields of an encoded protobuf message one by one, without a schema. */
#ifndef WARD_PBWALK_H
#define WARD_PBWALK_H

#include <stddef.h>
#include <stdint.h>

struct pbwalk {
	const uint8_t *at, *end;
	/* the field that pbwalk_next found */
	uint32_t field;
	unsigned wire;         /* 0 varint, 1 eight bytes, 2 length-delimited, 5 four bytes */
	const uint8_t *record; /* with its tag */
	size_t record_len;
	const uint8_t *data; /* what it holds: after the tag, and after the length of wire 2 */
	size_t len;
};

void pbwalk_begin(struct pbwalk *w, const uint8_t *bytes, size_t len);
/* 1: there is one. 0: that was all. -1: malformed, or a group. */
int pbwalk_next(struct pbwalk *w);

#endif
