/* JSON as an encoded protobuf message, by its descriptor; strict. */
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/message/pbjson.h"
#include "common/pb.h"

#define WIRE_VARINT 0u
#define WIRE_64     1u
#define WIRE_BYTES  2u
#define WIRE_32     5u

struct in {
	struct pbjson_error *err;
	size_t path_len;
	int depth;
};

static int in_message(
    struct in *in, const ProtobufCMessageDescriptor *desc, const json_t *o, struct buf *out);

/* ------------------------------------------------------------------ the path, errors */

static int
is_plain(const char *key)
{
	return strlen(key) <= 64 &&
	       key[strspn(
		   key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] == '\0';
}

static size_t
path_push(struct in *in, const char *key, size_t index)
{
	size_t was = in->path_len, room = PBJSON_PATH_MAX - was;
	char *at = in->err->path + was;
	int n = key == NULL
		    ? snprintf(at, room, "[%zu]", index)
		    : snprintf(at, room, "%s%s", was > 0 ? "." : "", is_plain(key) ? key : "?");

	if (n > 0)
		in->path_len += (size_t)n < room ? (size_t)n : room - 1;
	return was;
}

static void
path_pop(struct in *in, size_t was)
{
	in->path_len = was;
	in->err->path[was] = '\0';
}

/* The path stays as it is. */
static int
bad(struct in *in, const char *what)
{
	in->err->message = what;
	return -1;
}

static int
room(struct in *in, int put)
{
	return put == -1 ? bad(in, "the message becomes too large") : 0;
}

/* ------------------------------------------------------------------ the wire */

static int
put_varint(struct buf *b, uint64_t v)
{
	uint8_t bytes[10];
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		bytes[n++] = (uint8_t)(v | 0x80);
	bytes[n++] = (uint8_t)v;
	return buf_put(b, bytes, n);
}

static int
put_fixed(struct buf *b, uint64_t v, size_t size)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(v >> (8 * i));
	return buf_put(b, bytes, size);
}

static int
put_bytes(struct buf *b, const void *data, size_t len)
{
	return put_varint(b, len) == -1 || buf_put(b, data, len) == -1 ? -1 : 0;
}

static unsigned
wire_type(ProtobufCType t)
{
	switch (t) {
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return WIRE_32;
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return WIRE_64;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return WIRE_BYTES;
	default:
		return WIRE_VARINT;
	}
}

/* ------------------------------------------------------------------ numbers */

/* A JSON integer, or decimal digits in a string. *negative: it stands in *v as two's complement. */
static int
take_integer(const json_t *j, uint64_t *v, int *negative)
{
	const char *s;
	char *end;
	size_t n;

	if (json_is_integer(j)) {
		*negative = json_integer_value(j) < 0;
		*v = (uint64_t)json_integer_value(j);
		return 0;
	}
	if (!json_is_string(j))
		return -1;
	s = json_string_value(j);
	*negative = s[0] == '-';
	n = strlen(s + *negative);
	if (n == 0 || n > 20 || strspn(s + *negative, "0123456789") != n ||
	    json_string_length(j) != n + (size_t)*negative)
		return -1;
	errno = 0;
	*v = *negative ? (uint64_t)strtoll(s, &end, 10) : strtoull(s, &end, 10);
	return errno != 0 ? -1 : 0;
}

static int
in_signed(struct in *in, const json_t *j, int64_t lo, int64_t hi, uint64_t *v)
{
	int negative;

	if (take_integer(j, v, &negative) == -1)
		return bad(in, "must be an integer in range");
	if ((!negative && *v > INT64_MAX) || (int64_t)*v < lo || (int64_t)*v > hi)
		return bad(in, "is out of range");
	return 0;
}

static int
in_unsigned(struct in *in, const json_t *j, uint64_t hi, uint64_t *v)
{
	int negative;

	if (take_integer(j, v, &negative) == -1)
		return bad(in, "must be an integer in range");
	return negative || *v > hi ? bad(in, "is out of range") : 0;
}

static int
in_real(struct in *in, const json_t *j, double *v)
{
	const char *s = json_string_value(j);

	if (json_is_number(j))
		*v = json_number_value(j);
	else if (s != NULL && strcmp(s, "NaN") == 0)
		*v = (double)NAN;
	else if (s != NULL && strcmp(s, "Infinity") == 0)
		*v = (double)INFINITY;
	else if (s != NULL && strcmp(s, "-Infinity") == 0)
		*v = -(double)INFINITY;
	else
		return bad(in, "must be a number");
	return 0;
}

static int
in_float(struct in *in, const json_t *j, struct buf *out)
{
	uint32_t bits;
	double d;
	float f;

	if (in_real(in, j, &d) == -1)
		return -1;
	if (isfinite(d) && fabs(d) > (double)FLT_MAX)
		return bad(in, "is out of range");
	f = (float)d;
	memcpy(&bits, &f, sizeof(bits));
	return room(in, put_fixed(out, bits, 4));
}

static int
in_double(struct in *in, const json_t *j, struct buf *out)
{
	uint64_t bits;
	double d;

	if (in_real(in, j, &d) == -1)
		return -1;
	memcpy(&bits, &d, sizeof(bits));
	return room(in, put_fixed(out, bits, 8));
}

static int
in_enum(struct in *in, const ProtobufCEnumDescriptor *desc, const json_t *j, uint64_t *v)
{
	const ProtobufCEnumValue *e;

	if (json_is_integer(j))
		return in_signed(in, j, INT32_MIN, INT32_MAX, v);
	if (!json_is_string(j))
		return bad(in, "must be the name or number of a value");
	e = protobuf_c_enum_descriptor_get_value_by_name(desc, json_string_value(j));
	if (e == NULL)
		return bad(in, "is no name of a value");
	*v = (uint64_t)(int64_t)e->value;
	return 0;
}

static uint64_t
zigzag(int64_t v)
{
	return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
}

/* What is no length-prefixed value and no real number. */
static int
in_number(struct in *in, const ProtobufCFieldDescriptor *f, const json_t *j, struct buf *out)
{
	uint64_t v = 0;
	int r = 0;

	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		r = in_signed(in, j, INT32_MIN, INT32_MAX, &v);
		break;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		r = in_unsigned(in, j, UINT32_MAX, &v);
		break;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		r = in_unsigned(in, j, UINT64_MAX, &v);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		if (!json_is_boolean(j))
			return bad(in, "must be true or false");
		v = json_is_true(j);
		break;
	case PROTOBUF_C_TYPE_ENUM:
		r = in_enum(in, f->descriptor, j, &v);
		break;
	default:
		r = in_signed(in, j, INT64_MIN, INT64_MAX, &v);
		break;
	}
	if (r == -1)
		return -1;
	if (f->type == PROTOBUF_C_TYPE_SINT32 || f->type == PROTOBUF_C_TYPE_SINT64)
		v = zigzag((int64_t)v);
	if (wire_type(f->type) == WIRE_VARINT)
		return room(in, put_varint(out, v));
	return room(in, put_fixed(out, v, wire_type(f->type) == WIRE_32 ? 4 : 8));
}

/* ------------------------------------------------------------------ values of any length */

/* To be freed by the caller, wiped; NULL with the error set. */
static uint8_t *
decode_b64(struct in *in, const json_t *j, size_t *len)
{
	size_t max = json_string_length(j);
	uint8_t *bytes;
	const char *end;

	if (!json_is_string(j)) {
		(void)bad(in, "must be base64");
		return NULL;
	}
	if ((bytes = malloc(max + 1)) == NULL) {
		(void)bad(in, "out of memory");
		return NULL;
	}
	if (sodium_base642bin(bytes, max + 1, json_string_value(j), max, NULL, len, &end,
		sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    *end != '\0' || (size_t)(end - json_string_value(j)) != max) {
		free(bytes);
		(void)bad(in, "must be base64, with padding");
		return NULL;
	}
	return bytes;
}

static int
in_b64(struct in *in, const json_t *j, struct buf *out)
{
	size_t len = 0;
	uint8_t *bytes = decode_b64(in, j, &len);
	int r;

	if (bytes == NULL)
		return -1;
	r = room(in, put_bytes(out, bytes, len));
	sodium_memzero(bytes, len);
	free(bytes);
	return r;
}

static int
in_text(struct in *in, const json_t *j, struct buf *out)
{
	if (!json_is_string(j))
		return bad(in, "must be a string");
	if (strlen(json_string_value(j)) != json_string_length(j))
		return bad(in, "must not have a NUL");
	return room(in, put_bytes(out, json_string_value(j), json_string_length(j)));
}

static int
in_nested(struct in *in, const ProtobufCMessageDescriptor *desc, const json_t *j, struct buf *out)
{
	struct buf inner = BUF_INIT;
	int r;

	inner.max = out->max;
	r = in_message(in, desc, j, &inner);
	if (r == 0)
		r = room(in, put_bytes(out, inner.data, inner.len));
	buf_clear(&inner);
	return r;
}

static int
in_value(
    struct in *in, const ProtobufCFieldDescriptor *f, const json_t *j, int b64, struct buf *out)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_FLOAT:
		return in_float(in, j, out);
	case PROTOBUF_C_TYPE_DOUBLE:
		return in_double(in, j, out);
	case PROTOBUF_C_TYPE_STRING:
		return b64 ? in_b64(in, j, out) : in_text(in, j, out);
	case PROTOBUF_C_TYPE_BYTES:
		return in_b64(in, j, out);
	case PROTOBUF_C_TYPE_MESSAGE:
		return in_nested(in, f->descriptor, j, out);
	default:
		return in_number(in, f, j, out);
	}
}

/* ------------------------------------------------------------------ fields */

static int
put_tag(struct in *in, struct buf *out, uint32_t number, unsigned wire)
{
	return room(in, put_varint(out, (uint64_t)number << 3 | wire));
}

static int
in_list(
    struct in *in, const ProtobufCFieldDescriptor *f, const json_t *list, int b64, struct buf *out)
{
	int packed = (f->flags & PROTOBUF_C_FIELD_FLAG_PACKED) != 0, r = 0;
	struct buf inner = BUF_INIT;
	size_t n = json_array_size(list), was;

	if (!json_is_array(list))
		return bad(in, "must be an array");
	inner.max = out->max;
	for (size_t i = 0; i < n && r == 0; i++) {
		was = path_push(in, NULL, i);
		if (!packed)
			r = put_tag(in, out, f->id, wire_type(f->type));
		if (r == 0)
			r = in_value(in, f, json_array_get(list, i), b64, packed ? &inner : out);
		if (r == 0)
			path_pop(in, was);
	}
	if (packed && n > 0 && r == 0 && (r = put_tag(in, out, f->id, WIRE_BYTES)) == 0)
		r = room(in, put_bytes(out, inner.data, inner.len));
	buf_clear(&inner);
	return r;
}

/* The field of an object, under its name or, as base64, under that with _b64. 1: it is there. */
static int
in_field(struct in *in, const ProtobufCFieldDescriptor *f, const json_t *o, struct buf *out)
{
	int can_b64 = f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_BYTES;
	const json_t *plain = f->type == PROTOBUF_C_TYPE_BYTES ? NULL : json_object_get(o, f->name);
	const json_t *b64 = NULL, *v;
	char key[128];
	size_t was;
	int r;

	(void)snprintf(key, sizeof(key), "%s_b64", f->name);
	if (can_b64)
		b64 = json_object_get(o, key);
	if ((v = plain != NULL ? plain : b64) == NULL)
		return 0;
	was = path_push(in, v == b64 ? key : f->name, 0);
	if (plain != NULL && b64 != NULL)
		r = bad(in, "is given twice, also as _b64");
	else if (f->label == PROTOBUF_C_LABEL_REPEATED)
		r = in_list(in, f, v, v == b64, out);
	else if ((r = put_tag(in, out, f->id, wire_type(f->type))) == 0)
		r = in_value(in, f, v, v == b64, out);
	if (r == 0)
		path_pop(in, was);
	return r == 0 ? 1 : -1;
}

/* ------------------------------------------------------------------ unknown fields */

static int
get_varint(const uint8_t **at, const uint8_t *end, unsigned max, uint64_t *v)
{
	*v = 0;
	for (unsigned i = 0; i < max && *at < end; i++) {
		uint8_t b = *(*at)++;

		*v |= (uint64_t)(b & 0x7f) << (7 * i);
		if ((b & 0x80) == 0)
			return 0;
	}
	return -1;
}

/* One record of this field number. */
static int
skip_record(const uint8_t **at, const uint8_t *end, uint32_t number)
{
	uint64_t key, n;

	if (get_varint(at, end, 5, &key) == -1 || key > UINT32_MAX || key >> 3 != number)
		return -1;
	switch (key & 7) {
	case WIRE_VARINT:
		return get_varint(at, end, 10, &n);
	case WIRE_64:
		n = 8;
		break;
	case WIRE_32:
		n = 4;
		break;
	case WIRE_BYTES:
		if (get_varint(at, end, 5, &n) == -1)
			return -1;
		break;
	default:
		return -1;
	}
	if (n > (uint64_t)(end - *at))
		return -1;
	*at += n;
	return 0;
}

static int
in_records(struct in *in, const ProtobufCMessageDescriptor *desc, const char *key, const json_t *j,
    struct buf *out)
{
	size_t len = 0, digits = strspn(key, "0123456789");
	unsigned long number = digits > 0 && digits < 10 ? strtoul(key, NULL, 10) : 0;
	const uint8_t *at;
	uint8_t *bytes;
	int r = 0;

	if (key[digits] != '\0' || key[0] == '0' || number == 0 || number > 536870911)
		return bad(in, "must be the number of a field");
	if (protobuf_c_message_descriptor_get_field(desc, (unsigned)number) != NULL)
		return bad(in, "is a known field: give it by its name");
	if ((bytes = decode_b64(in, j, &len)) == NULL)
		return -1;
	at = bytes;
	while (r == 0 && at < bytes + len)
		r = skip_record(&at, bytes + len, (uint32_t)number);
	if (r == -1)
		(void)bad(in, "must be base64 of records of this field, each with its tag");
	else
		r = room(in, buf_put(out, bytes, len));
	sodium_memzero(bytes, len);
	free(bytes);
	return r;
}

static int
in_unknown(
    struct in *in, const ProtobufCMessageDescriptor *desc, const json_t *all, struct buf *out)
{
	/* reading only: jansson's iterators want no const */
	json_t *o = (json_t *)(uintptr_t)all, *v;
	size_t was = path_push(in, PBJSON_UNKNOWN, 0), inner;
	const char *key;

	if (!json_is_object(all))
		return bad(in, "must be an object");
	json_object_foreach(o, key, v)
	{
		inner = path_push(in, key, 0);
		if (in_records(in, desc, key, v, out) == -1)
			return -1;
		path_pop(in, inner);
	}
	path_pop(in, was);
	return 0;
}

/* ------------------------------------------------------------------ messages */

/* Is it a key that in_field takes? */
static int
is_known(const ProtobufCMessageDescriptor *desc, const char *key)
{
	const ProtobufCFieldDescriptor *f =
	    protobuf_c_message_descriptor_get_field_by_name(desc, key);
	size_t n = strlen(key);
	char name[128];

	if (strcmp(key, PBJSON_UNKNOWN) == 0 || (f != NULL && f->type != PROTOBUF_C_TYPE_BYTES))
		return 1;
	if (n < 5 || n >= sizeof(name) || strcmp(key + n - 4, "_b64") != 0)
		return 0;
	memcpy(name, key, n - 4);
	name[n - 4] = '\0';
	f = protobuf_c_message_descriptor_get_field_by_name(desc, name);
	return f != NULL && (f->type == PROTOBUF_C_TYPE_BYTES || f->type == PROTOBUF_C_TYPE_STRING);
}

static int
name_stranger(struct in *in, const ProtobufCMessageDescriptor *desc, const json_t *all)
{
	json_t *o = (json_t *)(uintptr_t)all, *v;
	const char *key;

	json_object_foreach(o, key, v)
	{
		if (is_known(desc, key))
			continue;
		(void)path_push(in, key, 0);
		return bad(in, "unknown field");
	}
	return bad(in, "unknown field");
}

static int
in_message(struct in *in, const ProtobufCMessageDescriptor *desc, const json_t *o, struct buf *out)
{
	const json_t *unknown;
	size_t taken = 0;

	if (!json_is_object(o))
		return bad(in, "must be an object");
	if (in->depth >= PB_MAX_DEPTH)
		return bad(in, "is nested too deeply");
	in->depth++;
	for (unsigned i = 0; i < desc->n_fields; i++) {
		int r = in_field(in, &desc->fields[i], o, out);

		if (r == -1)
			return -1;
		taken += (size_t)r;
	}
	if ((unknown = json_object_get(o, PBJSON_UNKNOWN)) != NULL) {
		if (in_unknown(in, desc, unknown, out) == -1)
			return -1;
		taken++;
	}
	if (taken != json_object_size(o))
		return name_stranger(in, desc, o);
	in->depth--;
	return 0;
}

int
pbjson_in(const ProtobufCMessageDescriptor *desc, const json_t *o, struct buf *out,
    struct pbjson_error *err)
{
	struct in in = {.err = err};

	err->path[0] = '\0';
	err->message = NULL;
	return in_message(&in, desc, o, out);
}
