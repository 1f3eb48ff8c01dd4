/* A protobuf message as JSON, by its descriptor and within a budget. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/message/pbjson.h"
#include "common/pb.h"

#define EXACT_MAX (INT64_C(1) << 53) /* integers that a JSON number holds everywhere */

struct out {
	size_t left;    /* bytes of the budget */
	unsigned nodes; /* that may still be made */
	int depth;
	json_t *left_out;
	char path[PBJSON_PATH_MAX];
	size_t path_len;
};

/* ------------------------------------------------------------------ the budget */

static int
take(struct out *o, size_t bytes)
{
	if (bytes > o->left || o->nodes == 0)
		return -1;
	o->left -= bytes;
	o->nodes--;
	return 0;
}

/* Where it is now; returns what path_pop wants. */
static size_t
path_push(struct out *o, const char *key, size_t index)
{
	size_t was = o->path_len, room = sizeof(o->path) - was;
	int n = key == NULL ? snprintf(o->path + was, room, "[%zu]", index)
			    : snprintf(o->path + was, room, "%s%s", was > 0 ? "." : "", key);

	if (n > 0)
		o->path_len += (size_t)n < room ? (size_t)n : room - 1;
	return was;
}

static void
path_pop(struct out *o, size_t was)
{
	o->path_len = was;
	o->path[was] = '\0';
}

static void
leave_out(struct out *o)
{
	size_t n;

	if (o->left_out == NULL && (o->left_out = json_array()) == NULL)
		return;
	n = json_array_size(o->left_out);
	if (n < PBJSON_LEFT_MAX)
		json_array_append_new(o->left_out, json_string(o->path));
	else if (n == PBJSON_LEFT_MAX)
		json_array_append_new(o->left_out, json_string("*"));
}

/* ------------------------------------------------------------------ single values */

/* Bytes that jansson writes for it. */
static size_t
text_cost(const char *s)
{
	size_t n = 2;

	for (; *s != '\0'; s++)
		n += (unsigned char)*s < 0x20 ? 6 : *s == '"' || *s == '\\' ? 2 : 1;
	return n;
}

static json_t *
out_text(struct out *o, const char *s)
{
	return take(o, text_cost(s)) == -1 ? NULL : json_string(s);
}

static json_t *
out_b64(struct out *o, const uint8_t *data, size_t len)
{
	size_t need = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
	json_t *v = NULL;
	char *s;

	if (take(o, need + 1) == -1 || (s = malloc(need)) == NULL)
		return NULL;
	sodium_bin2base64(s, need, data, len, sodium_base64_VARIANT_ORIGINAL);
	v = json_string_nocheck(s);
	sodium_memzero(s, need);
	free(s);
	return v;
}

static json_t *
out_int(struct out *o, int64_t v)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%" PRId64, v);

	if (v <= EXACT_MAX && v >= -EXACT_MAX)
		return take(o, (size_t)n) == -1 ? NULL : json_integer(v);
	return out_text(o, text);
}

static json_t *
out_uint(struct out *o, uint64_t v)
{
	char text[24];

	if (v <= (uint64_t)EXACT_MAX)
		return out_int(o, (int64_t)v);
	(void)snprintf(text, sizeof(text), "%" PRIu64, v);
	return out_text(o, text);
}

static json_t *
out_real(struct out *o, double v)
{
	if (isnan(v))
		return out_text(o, "NaN");
	if (isinf(v))
		return out_text(o, v > 0 ? "Infinity" : "-Infinity");
	return take(o, 26) == -1 ? NULL : json_real(v);
}

static json_t *
out_enum(struct out *o, const ProtobufCEnumDescriptor *desc, int v)
{
	const ProtobufCEnumValue *e = protobuf_c_enum_descriptor_get_value(desc, v);

	return e != NULL ? out_text(o, e->name) : out_int(o, v);
}

static json_t *out_message(struct out *o, const ProtobufCMessage *m);

/* One value; b64: it is a string that is no UTF-8, or bytes. NULL: it does not fit. */
static json_t *
out_value(struct out *o, const ProtobufCFieldDescriptor *f, const void *at, int b64)
{
	const ProtobufCBinaryData *bytes = at;
	const char *s;

	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return out_int(o, *(const int32_t *)at);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return out_int(o, *(const uint32_t *)at);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return out_int(o, *(const int64_t *)at);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return out_uint(o, *(const uint64_t *)at);
	case PROTOBUF_C_TYPE_FLOAT:
		return out_real(o, (double)*(const float *)at);
	case PROTOBUF_C_TYPE_DOUBLE:
		return out_real(o, *(const double *)at);
	case PROTOBUF_C_TYPE_BOOL:
		return take(o, 5) == -1 ? NULL : json_boolean(*(const protobuf_c_boolean *)at);
	case PROTOBUF_C_TYPE_ENUM:
		return out_enum(o, f->descriptor, *(const int *)at);
	case PROTOBUF_C_TYPE_STRING:
		s = *(char *const *)at;
		return b64 ? out_b64(o, (const uint8_t *)s, strlen(s)) : out_text(o, s);
	case PROTOBUF_C_TYPE_BYTES:
		return out_b64(o, bytes->data, bytes->len);
	case PROTOBUF_C_TYPE_MESSAGE:
		return out_message(o, *(ProtobufCMessage *const *)at);
	}
	return NULL;
}

/* ------------------------------------------------------------------ fields */

static size_t
value_size(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return 4;
	}
}

/* How many values it has: 0 or 1, or the items of a list. *at: the first of them. */
static size_t
field_values(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, const uint8_t **at)
{
	const uint8_t *base = (const uint8_t *)m;
	const void *member = base + f->offset, *quantifier = base + f->quantifier_offset;

	*at = member;
	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		*at = *(const uint8_t *const *)member;
		return *(const size_t *)quantifier;
	}
	if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && *(const uint32_t *)quantifier != f->id)
		return 0;
	if (f->type == PROTOBUF_C_TYPE_MESSAGE || f->type == PROTOBUF_C_TYPE_STRING)
		return *(const void *const *)member != NULL;
	if (f->label == PROTOBUF_C_LABEL_OPTIONAL && !(f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
		return *(const protobuf_c_boolean *)quantifier != 0;
	return 1;
}

/* Bytes, or strings of which one is no UTF-8. */
static int
is_b64(const ProtobufCFieldDescriptor *f, const uint8_t *at, size_t n)
{
	if (f->type != PROTOBUF_C_TYPE_STRING)
		return f->type == PROTOBUF_C_TYPE_BYTES;
	for (size_t i = 0; i < n; i++) {
		const void *item = at + i * sizeof(char *);
		json_t *v = json_string(*(char *const *)item);

		json_decref(v);
		if (v == NULL)
			return 1;
	}
	return 0;
}

static json_t *
out_list(struct out *o, const ProtobufCFieldDescriptor *f, const uint8_t *at, size_t n, int b64)
{
	json_t *list = take(o, 2) == -1 ? NULL : json_array();
	size_t was;

	for (size_t i = 0; list != NULL && i < n; i++) {
		json_t *v = NULL;

		was = path_push(o, NULL, i);
		if (o->left > 0) {
			o->left--; /* the comma */
			v = out_value(o, f, at + i * value_size(f), b64);
		}
		if (v == NULL) {
			leave_out(o); /* and what follows it */
			path_pop(o, was);
			break;
		}
		path_pop(o, was);
		json_array_append_new(list, v);
	}
	return list;
}

static void
out_field(struct out *o, json_t *to, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	const uint8_t *at;
	size_t n = field_values(m, f, &at), was, cost;
	json_t *v = NULL;
	char key[128];
	int b64;

	if (n == 0)
		return;
	b64 = is_b64(f, at, n);
	(void)snprintf(key, sizeof(key), "%s%s", f->name, b64 ? "_b64" : "");
	was = path_push(o, key, 0);
	cost = strlen(key) + 4; /* quotes, colon, comma */
	if (cost <= o->left) {
		o->left -= cost;
		v = f->label == PROTOBUF_C_LABEL_REPEATED ? out_list(o, f, at, n, b64)
							  : out_value(o, f, at, b64);
		if (v == NULL)
			o->left += cost;
	}
	if (v != NULL)
		json_object_set_new_nocheck(to, key, v);
	else
		leave_out(o);
	path_pop(o, was);
}

/* ------------------------------------------------------------------ unknown fields */

static int
put_record(struct buf *b, const ProtobufCMessageUnknownField *u)
{
	uint64_t key = (uint64_t)u->tag << 3 | (uint64_t)u->wire_type;

	for (; key >= 0x80; key >>= 7)
		if (buf_put_u8(b, (uint8_t)(key | 0x80)) == -1)
			return -1;
	return buf_put_u8(b, (uint8_t)key) == -1 || buf_put(b, u->data, u->len) == -1 ? -1 : 0;
}

/* All records of one number, from the first of them on. */
static json_t *
out_records(struct out *o, const ProtobufCMessage *m, unsigned first)
{
	uint32_t tag = m->unknown_fields[first].tag;
	struct buf b = BUF_INIT;
	json_t *v = NULL;

	b.max = o->left;
	for (unsigned i = first; i < m->n_unknown_fields && !b.failed; i++)
		if (m->unknown_fields[i].tag == tag)
			(void)put_record(&b, &m->unknown_fields[i]);
	if (!b.failed)
		v = out_b64(o, b.data, b.len);
	buf_clear(&b);
	return v;
}

static void
out_unknown(struct out *o, json_t *to, const ProtobufCMessage *m)
{
	size_t was = path_push(o, PBJSON_UNKNOWN, 0), inner;
	json_t *all = take(o, sizeof(PBJSON_UNKNOWN) + 6) == -1 ? NULL : json_object();
	char number[16];

	if (all == NULL)
		leave_out(o);
	for (unsigned i = 0; all != NULL && i < m->n_unknown_fields; i++) {
		json_t *v = NULL;

		(void)snprintf(number, sizeof(number), "%" PRIu32, m->unknown_fields[i].tag);
		if (json_object_get(all, number) != NULL)
			continue;
		inner = path_push(o, number, 0);
		if (o->left > strlen(number) + 4) {
			o->left -= strlen(number) + 4;
			v = out_records(o, m, i);
		}
		if (v == NULL)
			leave_out(o);
		else
			json_object_set_new_nocheck(all, number, v);
		path_pop(o, inner);
		if (v == NULL)
			break; /* one name for what is left of a list of strangers */
	}
	if (all != NULL)
		json_object_set_new_nocheck(to, PBJSON_UNKNOWN, all);
	path_pop(o, was);
}

/* ------------------------------------------------------------------ messages */

static json_t *
out_message(struct out *o, const ProtobufCMessage *m)
{
	const ProtobufCMessageDescriptor *desc = m->descriptor;
	json_t *to;

	if (o->depth >= PB_MAX_DEPTH || take(o, 2) == -1 || (to = json_object()) == NULL)
		return NULL;
	o->depth++;
	for (unsigned i = 0; i < desc->n_fields; i++)
		out_field(o, to, m, &desc->fields[i]);
	if (m->n_unknown_fields > 0)
		out_unknown(o, to, m);
	o->depth--;
	return to;
}

json_t *
pbjson_out(const ProtobufCMessage *m, size_t budget, json_t **left_out)
{
	struct out o = {.left = budget, .nodes = PBJSON_NODES_MAX};
	json_t *to = out_message(&o, m);

	*left_out = o.left_out;
	return to;
}
