/* Safe unpacking: what protobuf-c would choke on is refused, what is fine comes out right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/pb.h"
#include "common/proto/e2e.pb-c.h"
#include "ipc/keyd.pb-c.h"

#define MESSAGE &e2e__message__descriptor
#define OPEN    &keyd__account_open__descriptor
#define STATUS  &keyd__status_reply__descriptor

static void
test_version(void **state)
{
	/* another library carries an old protobuf-c and exports it: it must not be the one that
	 * runs */
	assert_true(protobuf_c_version_number() >= 1004000);
}

static void
test_round_trip(void **state)
{
	E2e__Message m = E2E__MESSAGE__INIT, inner = E2E__MESSAGE__INIT;
	E2e__ExtendedTextMessage text = E2E__EXTENDED_TEXT_MESSAGE__INIT;
	E2e__ContextInfo ctx = E2E__CONTEXT_INFO__INIT;
	char *names[3] = {pb_str("one"), pb_str("two"), pb_str("")};
	struct pb_arena *a = pb_arena_new(100000);
	const char *why = "unset";
	E2e__Message *back;
	uint8_t *bytes;
	size_t len;

	inner.conversation = pb_str("deep");
	ctx.quoted_message = &inner;
	ctx.mentioned_jid = names;
	ctx.n_mentioned_jid = 3;
	text.context_info = &ctx;
	text.text = pb_str("top");
	m.extended_text_message = &text;
	bytes = pb_pack(&m.base, &len);
	assert_non_null(bytes);
	back = pb_unpack(MESSAGE, bytes, len, a, PB_STRICT, &why);
	assert_non_null(back);
	assert_null(why);
	assert_string_equal(back->extended_text_message->text, "top");
	assert_int_equal(back->extended_text_message->context_info->n_mentioned_jid, 3);
	assert_string_equal(back->extended_text_message->context_info->mentioned_jid[1], "two");
	assert_string_equal(
	    back->extended_text_message->context_info->quoted_message->conversation, "deep");
	free(bytes);
	pb_arena_free(a);
}

static void
test_empty(void **state)
{
	E2e__Message m = E2E__MESSAGE__INIT;
	struct pb_arena *a = pb_arena_new(10000);
	size_t len = 1;
	uint8_t *bytes = pb_pack(&m.base, &len);

	assert_non_null(bytes);
	assert_int_equal(len, 0);
	assert_non_null(pb_unpack(MESSAGE, bytes, 0, a, PB_STRICT, NULL));
	assert_non_null(pb_unpack(MESSAGE, NULL, 0, a, PB_STRICT, NULL));
	assert_null(pb_unpack(OPEN, NULL, 0, a, PB_STRICT, NULL)); /* a required field is missing */
	free(bytes);
	pb_arena_free(a);
	pb_arena_free(NULL);
}

/* field 1 = string in AccountOpen; field 5 of StatusReply = Counter {1: string, 2: uint64} */
static const struct {
	const char *what;
	const ProtobufCMessageDescriptor *desc;
	const char *bytes;
	size_t len;
	unsigned flags;
	const char *want; /* NULL = fine */
} wires[] = {
    {"plain", OPEN, "\x0a\x01x", 3, PB_STRICT, NULL},
    {"empty string", OPEN, "\x0a\x00", 2, PB_STRICT, NULL},
    {"padded varint", OPEN, "\x0a\x81\x80\x00x", 5, PB_STRICT, NULL},
    {"field twice", OPEN, "\x0a\x01x\x0a\x01y", 6, PB_STRICT, NULL},
    {"key cut", OPEN, "\x8a", 1, PB_STRICT, "malformed"},
    {"length missing", OPEN, "\x0a", 1, PB_STRICT, "malformed"},
    {"length beyond", OPEN, "\x0a\x02x", 3, PB_STRICT, "malformed"},
    {"length of 4 GiB", OPEN, "\x0a\xff\xff\xff\xff\x0fx", 7, PB_STRICT, "malformed"},
    {"length varint too long", OPEN, "\x0a\x81\x80\x80\x80\x80\x00x", 8, PB_STRICT, "malformed"},
    {"key varint too long", OPEN, "\x8a\x80\x80\x80\x80\x00\x01x", 8, PB_STRICT, "malformed"},
    {"wrong wire type", OPEN, "\x08\x01", 2, PB_STRICT, "malformed"},
    {"NUL in string", OPEN, "\x0a\x02x\x00", 4, PB_STRICT, "malformed"},
    {"NUL in string, from outside", OPEN, "\x0a\x02x\x00", 4, 0, NULL},
    {"unknown", OPEN, "\x0a\x01x\x10\x01", 5, PB_STRICT, "unknown field"},
    {"unknown, from outside", OPEN, "\x0a\x01x\x10\x01", 5, 0, NULL},
    {"unknown fixed64", OPEN, "\x0a\x01x\x11\x01\x02\x03\x04\x05\x06\x07\x08", 12, 0, NULL},
    {"unknown fixed64 cut", OPEN, "\x0a\x01x\x11\x01\x02\x03\x04\x05\x06\x07", 11, 0, "malformed"},
    {"unknown fixed32", OPEN, "\x0a\x01x\x15\x01\x02\x03\x04", 8, 0, NULL},
    {"unknown fixed32 cut", OPEN, "\x0a\x01x\x15\x01\x02\x03", 7, 0, "malformed"},
    {"unknown varint cut", OPEN, "\x0a\x01x\x10\x81", 5, 0, "malformed"},
    {"unknown varint of 11 bytes", OPEN,
	"\x0a\x01x\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 15, 0, "malformed"},
    {"group", OPEN, "\x0a\x01x\x13\x14", 5, 0, "malformed"},
    {"field 0", OPEN, "\x0a\x01x\x00\x00", 5, PB_STRICT, "malformed"},
    {"field 0, padded, from outside", OPEN, "\x0a\x01x\x80\x00\x00", 6, 0, "malformed"},
    {"nested", STATUS, "\x08\x01\x1a\x01s\x20\x01\x2a\x05\x0a\x01n\x10\x05", 14, PB_STRICT, NULL},
    {"nested cut", STATUS, "\x08\x01\x1a\x01s\x20\x01\x2a\x05\x0a\x02n\x10", 13, PB_STRICT,
	"malformed"},
    {"nested length overlaps", STATUS, "\x08\x01\x1a\x01s\x20\x01\x2a\x03\x0a\x09n\x10\x05", 14,
	PB_STRICT, "malformed"},
    {"nested unknown", STATUS, "\x08\x01\x1a\x01s\x20\x01\x2a\x07\x0a\x01n\x10\x05\x18\x01", 16,
	PB_STRICT, "unknown field"},
    {"nested required missing", STATUS, "\x08\x01\x1a\x01s\x20\x01\x2a\x03\x0a\x01n", 12, PB_STRICT,
	"malformed"},
};

static void
test_wires(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(wires) / sizeof(wires[0]); i++) {
		/* a copy of exactly that size: the sanitizer sees every byte read beyond it */
		uint8_t *exact = malloc(wires[i].len);
		struct pb_arena *a = pb_arena_new(10000);
		const char *why = "unset";
		void *m;

		memcpy(exact, wires[i].bytes, wires[i].len);
		m = pb_unpack(wires[i].desc, exact, wires[i].len, a, wires[i].flags, &why);
		if ((m == NULL) != (wires[i].want != NULL))
			fail_msg("%s: %s", wires[i].what, m == NULL ? why : "accepted");
		if (m == NULL)
			assert_string_equal(why, wires[i].want);
		else
			assert_null(why);
		pb_arena_free(a);
		free(exact);
	}
}

/* Lay `depth` messages of fields 6, 17, 3 one in the other, at the end of out; returns their start.
 */
static uint8_t *
nest(uint8_t *out, size_t size, unsigned depth)
{
	uint8_t *at = out + size;
	unsigned i;

	for (i = depth; i > 0; i--) {
		const unsigned f = (i - 1) % 3;
		size_t v = (size_t)(out + size - at);
		uint8_t var[5];
		unsigned n = 0;

		do {
			var[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
		} while ((v >>= 7) > 0);
		at -= n;
		memcpy(at, var, n);
		if (f == 1)
			*--at = 0x01;
		*--at = f == 0 ? 0x32 : f == 1 ? 0x8a : 0x1a;
	}
	return at;
}

static void
test_depth(void **state)
{
	static uint8_t b[200000];
	static const struct {
		unsigned depth;
		int fine;
	} rows[] = {
	    {0, 1}, {3, 1}, {PB_MAX_DEPTH - 1, 1}, {PB_MAX_DEPTH, 0}, {5000, 0}, {30000, 0}};
	size_t i;
	int strict;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (strict = 0; strict < 2; strict++) {
			struct pb_arena *a = pb_arena_new(1u << 20);
			uint8_t *at = nest(b, sizeof(b), rows[i].depth);
			const char *why = NULL;
			void *m = pb_unpack(MESSAGE, at, (size_t)(b + sizeof(b) - at), a,
			    strict ? PB_STRICT : 0, &why);

			if ((m != NULL) != rows[i].fine)
				fail_msg("depth %u: %s", rows[i].depth, why);
			if (m == NULL)
				assert_string_equal(why, "depth");
			pb_arena_free(a);
		}
	}
}

/* 1 MB of empty submessages would become hundreds of megabytes: the budget ends it. */
static void
test_bomb(void **state)
{
	const size_t len = 1000000;
	uint8_t *b = malloc(len);
	struct pb_arena *a = pb_arena_new(8u << 20);
	const char *why = NULL;
	size_t i;

	for (i = 0; i < len; i += 2) {
		b[i] = 0x0a;
		b[i + 1] = 0;
	}
	assert_null(pb_unpack(&e2e__app_state_sync_key_share__descriptor, b, len, a, 0, &why));
	assert_string_equal(why, "budget");
	pb_arena_free(a);

	a = pb_arena_new(8u << 20);
	assert_non_null(pb_unpack(&e2e__app_state_sync_key_share__descriptor, b, 2000, a, 0, &why));
	pb_arena_free(a);
	free(b);
}

/* Every budget from none to plenty: it fails cleanly, and says why, or it works. */
static void
test_every_budget(void **state)
{
	static const char bytes[] =
	    "\x08\x01\x1a\x01s\x20\x01\x2a\x05\x0a\x01n\x10\x05\x2a\x05\x0a\x01n\x10\x05";
	size_t budget;
	int worked = 0;

	for (budget = 0; budget < 2000; budget += 8) {
		struct pb_arena *a = pb_arena_new(budget);
		const char *why = NULL;

		if (pb_unpack(STATUS, bytes, sizeof(bytes) - 1, a, PB_STRICT, &why) != NULL)
			worked++;
		else {
			assert_string_equal(why, "budget");
			assert_int_equal(worked, 0); /* more is never worse */
		}
		pb_arena_free(a);
	}
	assert_true(worked > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_version),
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_wires),
	    cmocka_unit_test(test_depth),
	    cmocka_unit_test(test_bomb),
	    cmocka_unit_test(test_every_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
