/* Any protobuf message as JSON and back, by its descriptor.
 *
 * Fields have their names in the .proto file. Absent fields are left out. Enums are names, or
 * numbers where there is no name. Bytes are base64, and their key ends in _b64; so is a string that
 * is no UTF-8. Integers beyond 2^53 are decimal strings; NaN, Infinity and -Infinity strings too.
 * Fields that the descriptor does not have are under "_unknown", by number: base64 of the records
 * as they stood on the wire, each with its tag. */
#ifndef WARD_PBJSON_H
#define WARD_PBJSON_H

#include <stddef.h>

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

#include "common/buf.h"

#define PBJSON_UNKNOWN   "_unknown"
#define PBJSON_NODES_MAX 8192u /* values in one object, however small */
#define PBJSON_LEFT_MAX  16u   /* names of what was left out; then "*" for the rest */
#define PBJSON_PATH_MAX  160u

/* A new reference; NULL: no memory, or not even {} fits. budget: bytes that it may have as compact
 * JSON. What does not fit is left out, field by field (of a list: from there on); *left_out is then
 * a new array of their paths, "a.b[2].c", else NULL. A string ends at its first NUL. */
json_t *pbjson_out(const ProtobufCMessage *m, size_t budget, json_t **left_out);

struct pbjson_error {
	char path[PBJSON_PATH_MAX];
	const char *message;
};
/* Behind what out has, in the order of the field numbers. -1: err says what is wrong, and where; of
 * out nothing is to be used. Strict: an unknown name, a wrong type, a number out of range, a
 * base64 or an "_unknown" that is none, too deep (PB_MAX_DEPTH) or too much for out->max. */
int pbjson_in(const ProtobufCMessageDescriptor *desc, const json_t *o, struct buf *out,
    struct pbjson_error *err);

#endif
