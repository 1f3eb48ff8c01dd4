/* Messages as JSON and back: every type of field, what is unknown, what is wrong, and that nothing
 * changes on the way there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/pbjson.h"
#include "common/pb.h"
#include "common/proto/e2e.pb-c.h"
#include "tests/unit/slow.h"

/* ------------------------------------------------------------------ a message of all types */

struct all {
	ProtobufCMessage base;
	int32_t i32, s32, sf32;
	int64_t i64, s64, sf64;
	uint32_t u32, f32;
	uint64_t u64, f64;
	float fl;
	double db;
	protobuf_c_boolean bo;
	int en;
	char *st;
	ProtobufCBinaryData by;
	struct all *me;
	protobuf_c_boolean has[16];
	size_t n_packed, n_texts, n_blobs, n_list;
	int64_t *packed;
	char **texts;
	ProtobufCBinaryData *blobs;
	struct all **list;
	uint32_t one_case;
	union {
		uint32_t a;
		char *b;
	} one;
};

static void all_init(ProtobufCMessage *m);
extern const ProtobufCMessageDescriptor all_desc;

static const ProtobufCEnumValue color_values[] = {
    {"RED", "COLOR__RED", 0}, {"BLUE", "COLOR__BLUE", 7}};
static const ProtobufCIntRange color_ranges[] = {{0, 0}, {7, 1}, {0, 2}};
static const ProtobufCEnumValueIndex color_names[] = {{"BLUE", 1}, {"RED", 0}};
static const ProtobufCEnumDescriptor color = {PROTOBUF_C__ENUM_DESCRIPTOR_MAGIC, "t.Color", "Color",
    "T__Color", "t", 2, color_values, 2, color_names, 2, color_ranges, NULL, NULL, NULL, NULL};

#define F(name, id, type, has, member, desc)                                                       \
	{                                                                                          \
		name, id, PROTOBUF_C_LABEL_OPTIONAL, type, offsetof(struct all, has),              \
		    offsetof(struct all, member), desc, NULL, 0, 0, NULL, NULL                     \
	}
#define R(name, id, type, n, member, desc, flags)                                                  \
	{                                                                                          \
		name, id, PROTOBUF_C_LABEL_REPEATED, type, offsetof(struct all, n),                \
		    offsetof(struct all, member), desc, NULL, flags, 0, NULL, NULL                 \
	}
static const ProtobufCFieldDescriptor all_fields[] = {
    F("i32", 1, PROTOBUF_C_TYPE_INT32, has[0], i32, NULL),
    F("s32", 2, PROTOBUF_C_TYPE_SINT32, has[1], s32, NULL),
    F("sf32", 3, PROTOBUF_C_TYPE_SFIXED32, has[2], sf32, NULL),
    F("i64", 4, PROTOBUF_C_TYPE_INT64, has[3], i64, NULL),
    F("s64", 5, PROTOBUF_C_TYPE_SINT64, has[4], s64, NULL),
    F("sf64", 6, PROTOBUF_C_TYPE_SFIXED64, has[5], sf64, NULL),
    F("u32", 7, PROTOBUF_C_TYPE_UINT32, has[6], u32, NULL),
    F("f32", 8, PROTOBUF_C_TYPE_FIXED32, has[7], f32, NULL),
    F("u64", 9, PROTOBUF_C_TYPE_UINT64, has[8], u64, NULL),
    F("f64", 10, PROTOBUF_C_TYPE_FIXED64, has[9], f64, NULL),
    F("fl", 11, PROTOBUF_C_TYPE_FLOAT, has[10], fl, NULL),
    F("db", 12, PROTOBUF_C_TYPE_DOUBLE, has[11], db, NULL),
    F("bo", 13, PROTOBUF_C_TYPE_BOOL, has[12], bo, NULL),
    F("en", 14, PROTOBUF_C_TYPE_ENUM, has[13], en, &color),
    F("st", 15, PROTOBUF_C_TYPE_STRING, has[14], st, NULL),
    F("by", 16, PROTOBUF_C_TYPE_BYTES, has[15], by, NULL),
    F("me", 17, PROTOBUF_C_TYPE_MESSAGE, has[14], me, &all_desc),
    R("packed", 18, PROTOBUF_C_TYPE_SINT64, n_packed, packed, NULL, PROTOBUF_C_FIELD_FLAG_PACKED),
    R("texts", 19, PROTOBUF_C_TYPE_STRING, n_texts, texts, NULL, 0),
    R("blobs", 20, PROTOBUF_C_TYPE_BYTES, n_blobs, blobs, NULL, 0),
    R("list", 21, PROTOBUF_C_TYPE_MESSAGE, n_list, list, &all_desc, 0),
    {"one_a", 22, PROTOBUF_C_LABEL_OPTIONAL, PROTOBUF_C_TYPE_UINT32, offsetof(struct all, one_case),
	offsetof(struct all, one.a), NULL, NULL, PROTOBUF_C_FIELD_FLAG_ONEOF, 0, NULL, NULL},
    {"one_b", 23, PROTOBUF_C_LABEL_OPTIONAL, PROTOBUF_C_TYPE_STRING, offsetof(struct all, one_case),
	offsetof(struct all, one.b), NULL, NULL, PROTOBUF_C_FIELD_FLAG_ONEOF, 0, NULL, NULL},
};
static const unsigned all_names[] = {
    19, 12, 15, 11, 13, 7, 9, 10, 0, 3, 20, 16, 21, 22, 17, 1, 4, 2, 5, 14, 18, 6, 8};
static const ProtobufCIntRange all_ranges[] = {{1, 0}, {0, 23}};
const ProtobufCMessageDescriptor all_desc = {PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC, "t.All", "All",
    "T__All", "t", sizeof(struct all), 23, all_fields, all_names, 1, all_ranges, all_init, NULL,
    NULL, NULL};

static void
all_init(ProtobufCMessage *m)
{
	memset(m, 0, sizeof(struct all));
	m->descriptor = &all_desc;
}

/* ------------------------------------------------------------------ there and back */

static void
encode(const ProtobufCMessageDescriptor *desc, const json_t *o, struct buf *out)
{
	struct pbjson_error err;

	if (pbjson_in(desc, o, out, &err) == -1)
		fail_msg("%s: %s", err.path, err.message);
}

/* Bytes, as JSON text, as bytes: the same. Returns the object. */
static json_t *
round_trip(const ProtobufCMessageDescriptor *desc, const uint8_t *bytes, size_t len)
{
	struct pb_arena *arena = pb_arena_new(64u << 20);
	const char *why = NULL;
	const ProtobufCMessage *m = pb_unpack(desc, bytes, len, arena, 0, &why);
	struct buf back = BUF_INIT;
	json_t *left, *o, *again;
	char *text;

	if (m == NULL)
		fail_msg("does not unpack: %s", why);
	assert_non_null(o = pbjson_out(m, 32u << 20, &left));
	assert_null(left);
	assert_non_null(text = json_dumps(o, JSON_COMPACT));
	assert_non_null(again = json_loads(text, 0, NULL));
	assert_true(json_equal(o, again));
	encode(desc, again, &back);
	if (back.len != len || (len > 0 && memcmp(back.data, bytes, len) != 0))
		fail_msg("other bytes after %s", text);
	free(text);
	json_decref(again);
	buf_clear(&back);
	pb_arena_free(arena);
	return o;
}

static void
test_all_types(void **state)
{
	static const char want[] =
	    "{\"i32\":-5,\"s32\":-6,\"sf32\":-7,\"i64\":9007199254740992,"
	    "\"s64\":\"-9223372036854775808\",\"sf64\":\"9223372036854775807\",\"u32\":4294967295,"
	    "\"f32\":4294967294,\"u64\":\"18446744073709551615\",\"f64\":\"9007199254740993\","
	    "\"fl\":0.5,\"db\":-1e+300,\"bo\":true,\"en\":\"BLUE\",\"st\":\"\xc3\xa4\\u0001\\\"\","
	    "\"by_b64\":\"AP8=\",\"me\":{\"en\":-3,\"st_b64\":\"/w==\",\"by_b64\":\"\"},"
	    "\"packed\":[1,\"-9007199254740993\"],\"texts\":[\"a\",\"\"],\"blobs_b64\":[\"\","
	    "\"QQ==\"],\"list\":[{},{\"bo\":false}],\"one_b\":\"x\"}";
	json_t *o = json_loads(want, 0, NULL), *back;
	struct buf b = BUF_INIT;

	assert_non_null(o);
	encode(&all_desc, o, &b);
	back = round_trip(&all_desc, b.data, b.len);
	if (!json_equal(o, back))
		fail_msg("%s", json_dumps(back, 0));
	json_decref(back);
	json_decref(o);
	buf_clear(&b);
}

static void
test_wire(void **state)
{
	static const struct {
		const char *json;
		uint8_t wire[24];
		size_t len;
	} cases[] = {
	    {"{}", {0}, 0},
	    {"{\"i32\":-1}", {8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1}, 11},
	    {"{\"s32\":-1}", {16, 1}, 2},
	    {"{\"sf32\":1}", {29, 1, 0, 0, 0}, 5},
	    {"{\"f64\":\"258\"}", {81, 2, 1, 0, 0, 0, 0, 0, 0}, 9},
	    {"{\"bo\":false,\"i32\":1}", {8, 1, 104, 0}, 4}, /* by field number */
	    {"{\"packed\":[1,-1]}", {146, 1, 2, 2, 1}, 5},
	    {"{\"packed\":[]}", {0}, 0},
	    {"{\"list\":[{\"i32\":1}]}", {170, 1, 2, 8, 1}, 5},
	    {"{\"_unknown\":{\"99\":\"mAYB\"}}", {152, 6, 1}, 3},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *o = json_loads(cases[i].json, 0, NULL);
		struct buf b = BUF_INIT;

		assert_non_null(o);
		encode(&all_desc, o, &b);
		assert_int_equal(b.len, cases[i].len);
		if (b.len > 0)
			assert_memory_equal(b.data, cases[i].wire, b.len);
		json_decref(o);
		buf_clear(&b);
	}
}

static void
test_not_finite(void **state)
{
	json_t *o = json_pack("{s:s, s:s, s:[s]}", "fl", "NaN", "db", "-Infinity", "texts", "x"),
	       *back;
	struct buf b = BUF_INIT;

	encode(&all_desc, o, &b);
	back = round_trip(&all_desc, b.data, b.len);
	assert_true(json_equal(o, back));
	json_decref(o);
	json_decref(back);
	buf_clear(&b);
}

/* ------------------------------------------------------------------ what is wrong */

static void
test_refused(void **state)
{
	static const struct {
		const char *json, *path;
	} cases[] = {
	    {"[]", ""},
	    {"{\"nothing\":1}", "nothing"},
	    {"{\"me\":{\"list\":[{},{\"x y\":1}]}}", "me.list[1].?"},
	    {"{\"i32\":2147483648}", "i32"},
	    {"{\"i32\":-2147483649}", "i32"},
	    {"{\"i32\":1.0}", "i32"},
	    {"{\"i32\":null}", "i32"},
	    {"{\"i32\":true}", "i32"},
	    {"{\"i32\":\"\"}", "i32"},
	    {"{\"i32\":\"-\"}", "i32"},
	    {"{\"i32\":\" 1\"}", "i32"},
	    {"{\"i32\":\"1x\"}", "i32"},
	    {"{\"i32\":[1]}", "i32"},
	    {"{\"i64\":\"9223372036854775808\"}", "i64"},
	    {"{\"i64\":\"-9223372036854775809\"}", "i64"},
	    {"{\"u32\":-1}", "u32"},
	    {"{\"u32\":4294967296}", "u32"},
	    {"{\"u64\":\"18446744073709551616\"}", "u64"},
	    {"{\"u64\":\"-1\"}", "u64"},
	    {"{\"fl\":1e39}", "fl"},
	    {"{\"fl\":\"nan\"}", "fl"},
	    {"{\"db\":\"1\"}", "db"},
	    {"{\"bo\":1}", "bo"},
	    {"{\"en\":\"GREEN\"}", "en"},
	    {"{\"en\":2147483648}", "en"},
	    {"{\"en\":\"7\"}", "en"},
	    {"{\"st\":1}", "st"},
	    {"{\"st\":\"a\\u0000b\"}", "st"},
	    {"{\"st\":\"a\",\"st_b64\":\"YQ==\"}", "st"},
	    {"{\"by\":\"YQ==\"}", "by"},
	    {"{\"by_b64\":\"YQ\"}", "by_b64"},
	    {"{\"by_b64\":\"YQ==\\n\"}", "by_b64"},
	    {"{\"by_b64\":\"Y-==\"}", "by_b64"},
	    {"{\"by_b64\":7}", "by_b64"},
	    {"{\"me\":[]}", "me"},
	    {"{\"me_b64\":\"\"}", "me_b64"},
	    {"{\"packed\":1}", "packed"},
	    {"{\"packed\":[1,\"x\"]}", "packed[1]"},
	    {"{\"texts\":[\"a\",null]}", "texts[1]"},
	    {"{\"blobs_b64\":[\"?\"]}", "blobs_b64[0]"},
	    {"{\"list\":{}}", "list"},
	    {"{\"_unknown\":[]}", "_unknown"},
	    {"{\"_unknown\":{\"1\":\"CAE=\"}}", "_unknown.1"},
	    {"{\"_unknown\":{\"099\":\"mAYB\"}}", "_unknown.099"},
	    {"{\"_unknown\":{\"536870912\":\"mAYB\"}}", "_unknown.536870912"},
	    {"{\"_unknown\":{\"99\":\"mAaB\"}}", "_unknown.99"},
	    {"{\"_unknown\":{\"98\":\"mAYB\"}}", "_unknown.98"},
	    {"{\"_unknown\":{\"99\":\"mwY=\"}}", "_unknown.99"}, /* a group */
	    {"{\"_unknown\":{\"99\":\"mgYFYQ==\"}}", "_unknown.99"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *o = json_loads(cases[i].json, JSON_ALLOW_NUL, NULL);
		struct pbjson_error err;
		struct buf b = BUF_INIT;

		assert_non_null(o);
		if (pbjson_in(&all_desc, o, &b, &err) != -1)
			fail_msg("taken: %s", cases[i].json);
		assert_string_equal(err.path, cases[i].path);
		assert_non_null(err.message);
		json_decref(o);
		buf_clear(&b);
	}
}

static json_t *
nested(unsigned depth)
{
	json_t *o = json_object();

	for (unsigned i = 1; i < depth; i++)
		o = json_pack("{s:o}", "me", o);
	return o;
}

static void
test_bounds_in(void **state)
{
	json_t *deep = nested(PB_MAX_DEPTH), *deeper = nested(PB_MAX_DEPTH + 1), *big;
	struct buf b = BUF_INIT, small = BUF_INIT;
	struct pbjson_error err;

	encode(&all_desc, deep, &b);
	json_decref(round_trip(&all_desc, b.data, b.len));
	assert_int_equal(pbjson_in(&all_desc, deeper, &b, &err), -1);
	assert_true(strlen(err.path) < PBJSON_PATH_MAX);
	big = json_pack("{s:{s:s}}", "me", "st", "0123456789012345678901234567890123456789");
	small.max = 40;
	assert_int_equal(pbjson_in(&all_desc, big, &small, &err), -1);
	assert_string_equal(err.message, "the message becomes too large");
	json_decref(deep);
	json_decref(deeper);
	json_decref(big);
	buf_clear(&b);
	buf_clear(&small);
}

/* ------------------------------------------------------------------ the budget */

static const ProtobufCMessage *
unpack(const ProtobufCMessageDescriptor *desc, const json_t *o, struct pb_arena *arena)
{
	struct buf b = BUF_INIT;
	const ProtobufCMessage *m;

	encode(desc, o, &b);
	assert_non_null(m = pb_unpack(desc, b.data, b.len, arena, 0, NULL));
	buf_clear(&b);
	return m;
}

/* At any budget: never more than that, and what is missing is named. */
static void
test_budget(void **state)
{
	struct pb_arena *arena = pb_arena_new(1u << 20);
	json_t *o = json_loads(
	    "{\"i32\":123456,\"db\":0.1,\"st\":\"\\u0001\\u0002\\\\\",\"by_b64\":\"AAECAwQFBgc=\","
	    "\"me\":{\"st\":\"inside\",\"list\":[{\"bo\":true},{\"bo\":false}]},\"texts\":[\"one\","
	    "\"two\",\"three\"],\"_unknown\":{\"99\":\"mAYB\",\"100\":\"oAYB\"}}",
	    0, NULL);
	const ProtobufCMessage *m = unpack(&all_desc, o, arena);
	size_t whole = json_dumpb(o, NULL, 0, JSON_COMPACT);
	int saw_whole = 0;

	for (size_t budget = 0; budget < 2 * whole; budget++) {
		json_t *left = NULL, *got = pbjson_out(m, budget, &left);

		if (got == NULL) {
			assert_true(budget < 2);
			continue;
		}
		assert_true(json_dumpb(got, NULL, 0, JSON_COMPACT) <= budget);
		assert_int_equal(left == NULL, json_equal(got, o));
		saw_whole |= left == NULL;
		json_decref(left);
		json_decref(got);
	}
	assert_true(saw_whole);
	json_decref(o);
	pb_arena_free(arena);
}

static void
test_left_out(void **state)
{
	struct pb_arena *arena = pb_arena_new(1u << 20);
	char text[301];
	json_t *o, *left, *got, *list = json_array();
	const ProtobufCMessage *m;

	memset(text, 'x', 300);
	text[300] = '\0';
	o = json_pack("{s:s, s:{s:i, s:s, s:[s,s]}, s:i}", "st", text, "me", "i32", 1, "st", text,
	    "texts", "a", text, "u32", 4);
	m = unpack(&all_desc, o, arena);
	got = pbjson_out(m, 200, &left);
	assert_non_null(left);
	assert_int_equal(json_array_size(left), 3);
	assert_string_equal(json_string_value(json_array_get(left, 0)), "st");
	assert_string_equal(json_string_value(json_array_get(left, 1)), "me.st");
	assert_string_equal(json_string_value(json_array_get(left, 2)), "me.texts[1]");
	assert_int_equal(json_integer_value(json_object_get(got, "u32")), 4);
	assert_int_equal(json_array_size(json_object_get(json_object_get(got, "me"), "texts")), 1);
	json_decref(left);
	json_decref(got);
	json_decref(o);
	/* many small ones: bounded in number, whatever the budget */
	for (unsigned i = 0; i < 2 * PBJSON_NODES_MAX; i++)
		json_array_append_new(list, json_integer(0));
	o = json_pack("{s:o}", "packed", list);
	m = unpack(&all_desc, o, arena);
	got = pbjson_out(m, 32u << 20, &left);
	assert_non_null(left);
	assert_in_range(json_array_size(json_object_get(got, "packed")), 1, PBJSON_NODES_MAX);
	json_decref(left);
	json_decref(got);
	json_decref(o);
	pb_arena_free(arena);
}

/* ------------------------------------------------------------------ unknown fields */

static void
test_unknown_kept(void **state)
{
	/* 99 varint, 98 bytes "ab", 99 again, 97 fixed32, 96 fixed64; then inside a list */
	static const uint8_t bytes[] = {8, 1, 170, 1, 3, 152, 6, 5, 152, 6, 1, 152, 6, 255, 1, 146,
	    6, 2, 'a', 'b', 141, 6, 1, 2, 3, 4, 129, 6, 1, 2, 3, 4, 5, 6, 7, 8};
	json_t *o = round_trip(&all_desc, bytes, sizeof(bytes));
	json_t *u = json_object_get(o, "_unknown");

	assert_int_equal(json_object_size(u), 4);
	assert_string_equal(json_string_value(json_object_get(u, "99")), "mAYBmAb/AQ==");
	assert_string_equal(json_string_value(json_object_get(u, "98")), "kgYCYWI=");
	u = json_object_get(json_array_get(json_object_get(o, "list"), 0), "_unknown");
	assert_string_equal(json_string_value(json_object_get(u, "99")), "mAYF");
	json_decref(o);
}

/* ------------------------------------------------------------------ any message */

static uint64_t rng;

static uint64_t
draw(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static void
put_varint(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_put_u8(b, (uint8_t)(v | 0x80));
	buf_put_u8(b, (uint8_t)v);
}

static uint64_t
draw_int(unsigned bits)
{
	uint64_t v = draw() >> (draw() % 64);

	return bits == 64 ? v : v & ((UINT64_C(1) << bits) - 1);
}

static void random_message(const ProtobufCMessageDescriptor *desc, int depth, struct buf *out);

static void
random_bytes(const ProtobufCFieldDescriptor *f, int depth, struct buf *b)
{
	static const char *const texts[] = {"", "plain", "\xc3\xa4\xe2\x82\xac", "\"\\/\n\t",
	    "\xff\xfe", "\xed\xa0\x80", "\xf0\x9f\x98\x80"};
	unsigned n = (unsigned)(draw() % 9);

	if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		random_message(f->descriptor, depth + 1, b);
	else if (f->type == PROTOBUF_C_TYPE_STRING)
		buf_put_str(b, texts[draw() % (sizeof(texts) / sizeof(texts[0]))]);
	else
		for (unsigned i = 0; i < n; i++)
			buf_put_u8(b, (uint8_t)draw());
}

/* One value without its tag; the wire type is returned. */
static unsigned
random_value(const ProtobufCFieldDescriptor *f, int depth, struct buf *b)
{
	struct buf inner = BUF_INIT;
	double d = (double)(int64_t)draw_int(40) / 1024;
	float fl = (float)d;

	switch (f->type) {
	case PROTOBUF_C_TYPE_BOOL:
		put_varint(b, draw() & 1);
		return 0;
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_ENUM:
		put_varint(b, (uint64_t)(int64_t)(int32_t)draw_int(32));
		return 0;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_SINT32:
		put_varint(b, draw_int(32));
		return 0;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_SINT64:
		put_varint(b, draw_int(64));
		return 0;
	case PROTOBUF_C_TYPE_FLOAT:
		buf_put(b, &fl, 4);
		return 5;
	case PROTOBUF_C_TYPE_DOUBLE:
		buf_put(b, &d, 8);
		return 1;
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
		buf_put_be32(b, (uint32_t)draw());
		return 5;
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
		buf_put_be64(b, draw());
		return 1;
	default:
		random_bytes(f, depth, &inner);
		put_varint(b, inner.len);
		buf_put(b, inner.data, inner.len);
		buf_clear(&inner);
		return 2;
	}
}

static void
random_field(const ProtobufCFieldDescriptor *f, int depth, struct buf *out)
{
	unsigned n = f->label == PROTOBUF_C_LABEL_REPEATED ? 1 + (unsigned)(draw() % 3) : 1;
	struct buf all = BUF_INIT;

	for (unsigned i = 0; i < n; i++) {
		struct buf v = BUF_INIT;
		unsigned wire = random_value(f, depth, &v);

		if (!(f->flags & PROTOBUF_C_FIELD_FLAG_PACKED))
			put_varint(out, (uint64_t)f->id << 3 | wire);
		buf_put(f->flags & PROTOBUF_C_FIELD_FLAG_PACKED ? &all : out, v.data, v.len);
		buf_clear(&v);
	}
	if (f->flags & PROTOBUF_C_FIELD_FLAG_PACKED) {
		put_varint(out, (uint64_t)f->id << 3 | 2);
		put_varint(out, all.len);
		buf_put(out, all.data, all.len);
	}
	buf_clear(&all);
}

static void
random_message(const ProtobufCMessageDescriptor *desc, int depth, struct buf *out)
{
	int one = 0;

	for (unsigned i = 0; i < desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &desc->fields[i];

		if (draw() % 64 >= (desc->n_fields < 12 ? 24u : 4u))
			continue;
		if (f->type == PROTOBUF_C_TYPE_MESSAGE && depth > 6)
			continue;
		if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
			if (one)
				continue;
			one = 1;
		}
		random_field(f, depth, out);
	}
	for (uint32_t id = 5000; draw() % 8 == 0; id += 1 + (uint32_t)(draw() % 1000)) {
		put_varint(out, (uint64_t)id << 3);
		put_varint(out, draw_int(64));
	}
}

static void
test_random(void **state)
{
	static const ProtobufCMessageDescriptor *const descs[] = {
	    &all_desc, &e2e__message__descriptor, &e2e__context_info__descriptor};
	unsigned rounds = 2000 / test_slow(), fields = 0;

	for (unsigned i = 0; i < rounds; i++) {
		struct buf b = BUF_INIT;
		const ProtobufCMessageDescriptor *desc = descs[i % 3];
		json_t *o;

		rng = UINT64_C(0x9e3779b97f4a7c15) * (i + 1);
		random_message(desc, 0, &b);
		o = round_trip(desc, b.data, b.len);
		fields += json_object_size(o) > 2;
		json_decref(o);
		buf_clear(&b);
	}
	assert_true(fields > rounds / 4); /* most were not empty */
}

/* Every field of the schema can be reached by its name, and no name is another's with _b64. */
static void
walk(const ProtobufCMessageDescriptor *desc, const ProtobufCMessageDescriptor **seen, size_t *n)
{
	char name[128];

	for (size_t i = 0; i < *n; i++)
		if (seen[i] == desc)
			return;
	assert_true(*n < 1024);
	seen[(*n)++] = desc;
	for (unsigned i = 0; i < desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &desc->fields[i];

		assert_ptr_equal(protobuf_c_message_descriptor_get_field_by_name(desc, f->name), f);
		snprintf(name, sizeof(name), "%s_b64", f->name);
		assert_null(protobuf_c_message_descriptor_get_field_by_name(desc, name));
		if (f->type == PROTOBUF_C_TYPE_MESSAGE)
			walk(f->descriptor, seen, n);
	}
}

static void
test_schema(void **state)
{
	static const ProtobufCMessageDescriptor *seen[1024];
	size_t n = 0;

	walk(&e2e__message__descriptor, seen, &n);
	assert_in_range(n, 330, 360); /* the whole of what a message can hold */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_types),
	    cmocka_unit_test(test_wire), cmocka_unit_test(test_not_finite),
	    cmocka_unit_test(test_refused), cmocka_unit_test(test_bounds_in),
	    cmocka_unit_test(test_budget), cmocka_unit_test(test_left_out),
	    cmocka_unit_test(test_unknown_kept), cmocka_unit_test(test_random),
	    cmocka_unit_test(test_schema)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
