/* Binary nodes: the worked examples of protocol page 02, what must be refused and accepted, the
 * limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>
#include <zlib.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/wire/node.h"
#include "common/wire/tokens.h"

/* ---------------------------------------------------------------- help */

static size_t
unhex(const char *hex, uint8_t *out, size_t size)
{
	size_t len = 0;

	assert_int_equal(sodium_hex2bin(out, size, hex, strlen(hex), NULL, &len, NULL), 0);
	return len;
}

static void
assert_hex(const struct buf *b, const char *hex)
{
	char *text = malloc(b->len * 2 + 1);

	assert_non_null(text);
	sodium_bin2hex(text, b->len * 2 + 1, b->data, b->len);
	assert_string_equal(text, hex);
	free(text);
}

/* A notation of nodes for the tables below: tag, then " key=value" or " key@=jid", then "{hex}" for
 * bytes or "[…]" for children. */
static struct node *
parse_spec(const char **s)
{
	char word[256];
	struct node *n;
	size_t len = strcspn(*s, " {[]<");

	(void)snprintf(word, sizeof(word), "%.*s", (int)len, *s);
	n = node_new(word);
	*s += len;
	while (**s == ' ') {
		const char *eq = strchr(++*s, '=');
		int is_jid = eq[-1] == '@';
		char value[160];
		struct jid j;

		(void)snprintf(word, sizeof(word), "%.*s", (int)(eq - *s - is_jid), *s);
		len = strcspn(eq + 1, " {[]<");
		(void)snprintf(value, sizeof(value), "%.*s", (int)len, eq + 1);
		*s = eq + 1 + len;
		if (is_jid) {
			assert_int_equal(jid_parse(value, &j), 0);
			(void)node_set_jid(n, word, &j);
		} else {
			(void)node_set(n, word, value);
		}
	}
	if (**s == '{') {
		uint8_t bytes[256];

		len = strcspn(++*s, "}");
		(void)snprintf(word, sizeof(word), "%.*s", (int)len, *s);
		(void)node_set_bytes(n, bytes, unhex(word, bytes, sizeof(bytes)));
		*s += len + 1;
	} else if (**s == '[') {
		for (++*s; **s != ']'; *s += **s == '<')
			(void)node_add(n, parse_spec(s));
		++*s;
	}
	return n;
}

static struct node *
spec(const char *s)
{
	struct node *n = parse_spec(&s);

	assert_int_equal(*s, '\0');
	return n;
}

static void
assert_same(const struct node *a, const struct node *b)
{
	size_t i;

	assert_string_equal(a->tag, b->tag);
	assert_int_equal(a->nattrs, b->nattrs);
	for (i = 0; i < a->nattrs; i++) {
		assert_string_equal(a->attrs[i].key, b->attrs[i].key);
		assert_string_equal(a->attrs[i].text, b->attrs[i].text);
		assert_int_equal(a->attrs[i].is_jid, b->attrs[i].is_jid);
		assert_int_equal(a->attrs[i].bad_utf8, b->attrs[i].bad_utf8);
		if (a->attrs[i].is_jid) {
			assert_true(jid_eq(&a->attrs[i].jid, &b->attrs[i].jid));
			assert_int_equal(a->attrs[i].jid.integrator, b->attrs[i].jid.integrator);
		}
	}
	assert_int_equal(a->has_bytes, b->has_bytes);
	assert_int_equal(a->nbytes, b->nbytes);
	if (a->nbytes != 0)
		assert_memory_equal(a->bytes, b->bytes, a->nbytes);
	assert_int_equal(a->nchildren, b->nchildren);
	for (i = 0; i < a->nchildren; i++)
		assert_same(a->children[i], b->children[i]);
}

static struct node *
decode_hex(const char *hex, struct node_fault *fault)
{
	uint8_t bytes[4096];

	return node_decode(bytes, unhex(hex, bytes, sizeof(bytes)), fault);
}

static void
assert_reencodes(const char *hex)
{
	struct buf out = BUF_INIT;
	struct node *n = decode_hex(hex, NULL);

	assert_non_null(n);
	assert_int_equal(node_encode(n, &out), 0);
	assert_hex(&out, hex);
	buf_clear(&out);
	node_free(n);
}

/* ---------------------------------------------------------------- worked examples, section 9 */

#define BOTH        0
#define DECODE_ONLY 1

static const struct example {
	int number, mode;
	const char *node, *hex;
} examples[] = {
    {1, BOTH, "iq id=1 to@=s.whatsapp.net type=get xmlns=w:p", "00f80919085511fa000304291657"},
    {2, BOTH, "iq id=26.244-17 to@=s.whatsapp.net type=get xmlns=w:p[ping]",
	"00f80a1908ff8526b244a17f11fa000304291657f801f80156"},
    {3, BOTH, "iq id=3423423-1 to@=s.whatsapp.net type=result",
	"00f8071908ff853423423a1f11fa00030414"},
    {4, BOTH, "iq id=ABC xmlns=passive type=set to@=s.whatsapp.net[active]",
	"00f80a1908fb82abcf16ec18045a11fa0003f801f801ec01"},
    {5, BOTH, "presence type=available name=Ward", "00f8051f048889fc0457617264"},
    {6, BOTH, "ib[offline_batch count=100]", "00f802fc026962f801f803ed0841ec33"},
    {7, BOTH, "ack class=message id=3EB0C767D82B0A7D7B5F to@=15551234567:33@s.whatsapp.net",
	"00f8071b151308fb0a3eb0c767d82b0a7d7b5f11f70021ff8615551234567f"},
    {8, BOTH, "ack class=receipt id=3eb0c767 to@=120363000000001:7@lid",
	"00f8071b150708fc08336562306337363711f70107ff88120363000000001f"},
    {9, BOTH, "ack class=notification id=00000001 to@=120363041234567890@g.us type=w:gp2",
	"00f8091b150908ff040000000111faff091203630412345678901c04ec20"},
    {10, BOTH, "receipt id=A to@=status@broadcast participant@=15551234567@s.whatsapp.net",
	"00f8070708fb81af11fa0b0d05faff8615551234567f03"},
    {11, BOTH, "user jid@=15551234567:99@hosted", "00f8030e0cf78063ff8615551234567f"},
    {12, BOTH, "user jid@=120363000000001:99@hosted.lid", "00f8030e0cf78163ff88120363000000001f"},
    {13, BOTH, "iq to@=120363290000000000@newsletter",
	"00f8031911faff09120363290000000000fc0a6e6577736c6574746572"},
    {14, BOTH, "message to@=867051314767696@bot", "00f8031311faff88867051314767696ffc03626f74"},
    {15, BOTH, "registration{00003039}", "00f802adfc0400003039"},
    {16, BOTH, "list[id{000001}<id{000002}]", "00f80271f802f80208fc03000001f80208fc03000002"},
    {17, BOTH, "status{5a6fc3ab}", "00f8020bfc045a6fc3ab"},
    {18, BOTH, "ib[edge_routing[routing_info{0800}]]",
	"00f802fc026962f801f80228f801f80227fc020800"},
    {19, BOTH, "v version=2.3000.1035194821", "00f8035154ff892b3000b1035194821f"},
    {20, BOTH, "key-index-list ts=1700000000{}", "00f8042473ff051700000000fc00"},
    {21, DECODE_ONLY, "list", "00f8027100"},
    {22, BOTH, "participant jid@=100012345678901:5@msgr", "00f803050cf6ff88100012345678901f0005cc"},
    {23, BOTH, "participant jid@=9-12345678:2@interop",
	"00f803050cf5ff041234567800020009fc07696e7465726f70"},
    {24, DECODE_ONLY, "iq id=26.244-17 to@=s.whatsapp.net type=get xmlns=w:p[ping]",
	"0278dafbc125c9f1bf556d93cbc27ac15f0ccc2c9a62e13f187f3086010074d508d4"},
    {25, BOTH, "xmlstreamend", "00f80102"},
};

static void
test_examples(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		const struct example *e = &examples[i];
		struct node *built = spec(e->node), *read = decode_hex(e->hex, NULL);
		struct buf out = BUF_INIT;

		print_message("example %d\n", e->number);
		assert_non_null(read);
		assert_same(read, built);
		assert_int_equal(node_encode(built, &out), 0);
		if (e->mode == BOTH) {
			assert_hex(&out, e->hex);
			assert_reencodes(e->hex);
		}
		buf_clear(&out);
		node_free(built);
		node_free(read);
	}
}

/* An empty value is never built, but what came with one goes on as it came (example 26). */
static void
test_empty_value(void **state)
{
	struct node *n = decode_hex("00f8055cec03555ffc00", NULL);
	struct buf out = BUF_INIT;

	assert_string_equal(node_get(n, "hash"), "");
	node_free(n);
	assert_reencodes("00f8055cec03555ffc00");
	n = node_set(node_set(node_new("props"), "protocol", "1"), "hash", "");
	assert_int_equal(node_encode(n, &out), 0);
	assert_hex(&out, "00f8035cec0355");
	buf_clear(&out);
	node_free(n);
}

/* head, then count times unit, then tail */
static void
repeated(struct buf *b, const char *head, const char *unit, size_t count, const char *tail)
{
	uint8_t bytes[64];
	size_t n;

	(void)buf_put(b, bytes, unhex(head, bytes, sizeof(bytes)));
	n = unhex(unit, bytes, sizeof(bytes));
	while (count-- > 0)
		(void)buf_put(b, bytes, n);
	(void)buf_put(b, bytes, unhex(tail, bytes, sizeof(bytes)));
	assert_false(b->failed);
}

static const struct big {
	const char *head, *unit;
	size_t count;
	const char *tail;
} bigs[] = {
    {"00f8021dfd000100", "00", 256, ""},        /* 27 */
    {"00f8021dfe00100000", "00", 1u << 20, ""}, /* 28 */
    {"00f80271f9012c", "f80108", 300, ""},      /* 29 */
    {"00f80351fc0178ffc0", "11", 63, "1f"},     /* 30 */
    {"00f80351fc0178fc80", "31", 128, ""},      /* 31 */
};

static struct node *
build_big(size_t i)
{
	struct node *n = node_new(i < 2 ? "enc" : i == 2 ? "list" : "v");
	char ones[129] = {0};
	size_t k;

	if (i < 2) {
		uint8_t *zeros = calloc(1, bigs[i].count);

		(void)node_set_bytes(n, zeros, bigs[i].count);
		free(zeros);
	} else if (i == 2) {
		for (k = 0; k < 300; k++)
			(void)node_child_new(n, "id");
	} else {
		memset(ones, '1', i == 3 ? 127 : 128);
		(void)node_set(n, "x", ones);
	}
	return n;
}

static void
test_big_examples(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(bigs) / sizeof(bigs[0]); i++) {
		struct buf want = BUF_INIT, got = BUF_INIT;
		struct node *built = build_big(i), *read;

		repeated(&want, bigs[i].head, bigs[i].unit, bigs[i].count, bigs[i].tail);
		assert_int_equal(node_encode(built, &got), 0);
		assert_int_equal(got.len, want.len);
		assert_memory_equal(got.data, want.data, want.len);
		read = node_decode(want.data, want.len, NULL);
		assert_non_null(read);
		assert_same(read, built);
		node_free(built);
		node_free(read);
		buf_clear(&want);
		buf_clear(&got);
	}
}

/* Example 32: 130 attributes need LIST_16. */
static void
test_many_attributes(void **state)
{
	struct node *n = node_new("x"), *back;
	struct buf out = BUF_INIT;
	int i;

	for (i = 0; i < 130; i++) {
		char key[8];

		(void)snprintf(key, sizeof(key), "k%d", i);
		(void)node_set(n, key, "z");
	}
	assert_int_equal(node_encode(n, &out), 0);
	assert_memory_equal(
	    out.data, "\x00\xf9\x01\x05\xfc\x01\x78\xfc\x02\x6b\x30\xfc\x01\x7a", 14);
	back = node_decode(out.data, out.len, NULL);
	assert_non_null(back);
	assert_int_equal(back->nattrs, 130);
	assert_string_equal(node_get(back, "k129"), "z");
	node_free(back);
	node_free(n);
	buf_clear(&out);
}

/* Whole frames of the pages on pairing (11) and on messages (23). */
static const char *const frames[] = {
    "00f80a1906fa0003045a08ff05123456789016fc026d64f801f802fc0c706169722d737563636573"
    "73f803f802e6fc980a740a0e08f8acd191011080e2cfaa06180512205f09b7f97a40b50220697064"
    "b43b27411b07a4aa1fe05370b27519826983d30d1a40382dd6d67c4cece7c5e57338b7bcd91e5acf"
    "95e3f91b0fb0e618ff113c1906f0242e1e1263f22e1f1eae322332d83959ede923220659ac8a5203"
    "579600d3408c1220cfa09983d1be39104ad9a022e79cc79d05839c906b64e65271790101a158618c"
    "f8053b0cf70007ff8615551234567f76f70107ff88120363000000001ff8034a89e4",
    "00f80a19085511fa0003045a16cbf805f802adfc0400003039f80204fc0105f8029cfc204d27bcee"
    "3135c4944b28d27dd809b07be10c35160d20131caa7e85575498d07cf80271f801f8029ef802f802"
    "08fc03000001f8026cfc20d214723afdfe2cddbdc929b18a5e43017e44445fc5d6c8fcf88b1868c5"
    "3f395cf802ec2df803f80208fc03000001f8026cfc200233f006ef4bed144ea0a5bb46c7067c7c2a"
    "cec5f8cc811f3df59fdcd5ac7614f802d4fc40c02b37b0f7e2a59220b5f6d95b7a1749d38e4cf79f"
    "b52a73f95bd653f9bf5b2e2d984f62e43d671a7036f6224b7f6246f4901b447852222872365e7752"
    "fcc482",
    "00f80a19084511fa000304291679f801f80c79fc03736964556a6d619b8f2d7d13f802f8026df802"
    "f8030f5445f80176f80271f801f8030e0cfaff8615550001111f03",
    "00f8081308fb0b3eb0c767d82b0a7d7b5f1211faff88100000000000001f760438f801f8026bf801"
    "f804110cfaff88100000000000001f76f801f8061d5145044dfc04aabbccdd",
    "00f8101306f70105ff88100000000000002f043808fb0b3eb0c767d82b0a7d7b5f121aff05170000"
    "000018fc0457617264fc0973656e6465725f706ef70005ff8615550002222f122df801f8061d5145"
    "044dfc04aabbccdd",
    "00f8070708fb0b3eb0c767d82b0a7d7b5f1211f70105ff88100000000000002f04c6",
    "00f8080708fb0b3eb0c767d82b0a7d7b5f1211f70105ff88100000000000002f04ec0bf802f80bec"
    "0b515508fb0b3eb0c767d82b0a7d7b5f121aff0517000000004155a855f802adfc0400003039"};

static void
test_frames(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(frames) / sizeof(frames[0]); i++)
		assert_reencodes(frames[i]);
}

/* ---------------------------------------------------------------- must be refused, must be
 * accepted */

static const struct refused {
	const char *hex;
	enum node_error error;
	const char *why;
} refused[] = {
    {"", NODE_EMPTY, "no flags byte"},
    {"00", NODE_EMPTY, "no node"},
    {"00f80008", NODE_MALFORMED, "list size 0"},
    {"000008", NODE_MALFORMED, "list size 0"},
    {"00f80100", NODE_MALFORMED, "empty tag"},
    {"00f80102f8", NODE_TRAILING, "a byte after the node"},
    {"00f8010200", NODE_TRAILING, "a byte after the node"},
    {"00f80251f0", NODE_MALFORMED, "type byte 240"},
    {"00f80251f4", NODE_MALFORMED, "type byte 244"},
    {"00f80251ff01c1", NODE_MALFORMED, "nibble 12"},
    {"00f80251ff80", NODE_MALFORMED, "odd packed string without bytes"},
    {"00f80251ff00", NODE_MALFORMED, "even packed string without bytes"},
    {"00f80251ff02f112", NODE_MALFORMED, "padding nibble in the middle"},
    {"00f80251fc05aabb", NODE_TRUNCATED, "length beyond the end"},
    {"00f80251feffffffff", NODE_TRUNCATED, "length of 4 GiB"},
    {"00f80251fdffffff", NODE_TRUNCATED, "20-bit length beyond the end"},
    {"00f80271f9ffff", NODE_TRUNCATED, "65535 children in no bytes"},
    {"00f9ffff51", NODE_TRUNCATED, "65535 items in no bytes"},
    {"00f80271f802f80108", NODE_TRUNCATED, "second child missing"},
    {"00f8035111faff811f00", NODE_MALFORMED, "JID without server"},
    {"00f8035111faff811ffc00", NODE_MALFORMED, "JID with an empty server"},
    {"00f8035111fafa000303", NODE_MALFORMED, "nested JID"},
    {"00f8035111fc02c328", NODE_MALFORMED, "invalid UTF-8 in a value that names somebody"},
    {"00f80351fc02c32855", NODE_MALFORMED, "invalid UTF-8 in a key"},
    {"00f80351fc0261005555", NODE_MALFORMED, "NUL in a key"},
    {"00f801fc02c0af", NODE_MALFORMED, "overlong UTF-8 in a tag"},
    {"00f801fc03eda080", NODE_MALFORMED, "surrogate in a tag"},
    {"00f8035111f80108", NODE_MALFORMED, "list as attribute value"},
    {"00f80351f8010855", NODE_MALFORMED, "list as key"},
    {"00f80351fa000355", NODE_MALFORMED, "JID as key"},
    {"00f801f80102", NODE_MALFORMED, "list as tag"},
    {"0055", NODE_MALFORMED, "a token where a node belongs"},
    {"00f8035111f70201ff811f", NODE_MALFORMED, "AD domain 2"},
    {"00f8035111f78301ff811f", NODE_MALFORMED, "AD domain 131"},
    {"00f8035111f7000100", NODE_MALFORMED, "AD JID without user"},
    {"00f803050cf6ff811f000503", NODE_MALFORMED, "FB JID of another server"},
    {"00f803050cf5ff811f00020009cc", NODE_MALFORMED, "interop JID of another server"},
    {"00f8035111fafc02613a03", NODE_MALFORMED, "colon in a user"},
    {"00f8035111fafc02610103", NODE_MALFORMED, "control character in a user"},
    {"0278dafbc125", NODE_TRUNCATED, "zlib stream cut off"},
    {"02ffff", NODE_MALFORMED, "no zlib stream"},
    {"0278dafbc125c9f1bf556d93cbc27ac15f0ccc2c9a62e13f187f3086010074d508d400", NODE_TRAILING,
	"a byte after the zlib stream"},
    {"0278dafbc125c9f1bf556d93cbc27ac15f0ccc2c9a62e13f187f3086010074d508d5", NODE_MALFORMED,
	"zlib checksum wrong"},
    {"02789c030000000001", NODE_EMPTY, "zlib stream of nothing"},
};

static void
test_refused(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct node_fault f;

		print_message("%s: %s\n", refused[i].hex, refused[i].why);
		assert_null(decode_hex(refused[i].hex, &f));
		assert_int_equal(f.error, refused[i].error);
		assert_null(decode_hex(refused[i].hex, NULL));
		assert_string_not_equal(node_error_text(f.error), "unknown error");
	}
}

/* Every proper prefix of a good frame is refused, and never read beyond. */
static void
test_prefixes(void **state)
{
	size_t i, len, n;

	for (i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		uint8_t bytes[1024];

		n = unhex(frames[i], bytes, sizeof(bytes));
		for (len = 0; len < n; len++) {
			uint8_t *exact = malloc(len + 1);

			memcpy(exact, bytes, len);
			assert_null(node_decode(exact, len, NULL));
			free(exact);
		}
	}
}

static const struct accepted {
	const char *hex, *node;
} accepted[] = {
    {"00f80819085511030429f801f80156", "iq id=1 to=s.whatsapp.net type=get[ping]"},
    {"00f80251fdf0000161", "v{61}"},
    {"04f80102", "xmlstreamend"},
    {"00f80251fb82abc0", "v{414243}"},
    {"00f8025105", "v{7061727469636970616e74}"},
    {"00f80251fa000b", "v{737461747573}"},
    {"00f80251f80151", NULL},
    {"00f80251f800", "v"},
    {"00f8035111f78201ff811f", "v to@=1:1@hosted"},
    {"00f8035111faff811ffc0478797a7a", "v to@=1@xyzz"},
    {"00f8035111faff811ffc04632e7573", "v to@=1@s.whatsapp.net"},
    {"00f80551115511fc0132", "v to=2"},
};

static void
test_accepted(void **state)
{
	struct node *n;
	size_t i;

	for (i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
		struct node *want;

		if (accepted[i].node == NULL)
			continue;
		print_message("%s\n", accepted[i].hex);
		n = decode_hex(accepted[i].hex, NULL);
		want = spec(accepted[i].node);
		assert_non_null(n);
		assert_same(n, want);
		node_free(n);
		node_free(want);
	}
	n = decode_hex("00f803511100", NULL);
	assert_string_equal(node_get(n, "to"), "");
	node_free(n);
}

/* A value that names nobody keeps its bytes, up to the first NUL, marked. */
static void
test_bad_utf8(void **state)
{
	struct node *n = decode_hex("00f8035118fc0361ff62", NULL);

	assert_non_null(n);
	assert_true(n->attrs[0].bad_utf8);
	assert_string_equal(n->attrs[0].text, "a\xff"
					      "b");
	node_free(n);
	assert_reencodes("00f8035118fc0361ff62");
	n = decode_hex("00f8035118fc03610062", NULL);
	assert_true(n->attrs[0].bad_utf8);
	assert_string_equal(n->attrs[0].text, "a");
	node_free(n);
}

/* ---------------------------------------------------------------- limits, section 7 */

static void
test_depth(void **state)
{
	int depth;

	for (depth = NODE_MAX_DEPTH; depth <= NODE_MAX_DEPTH + 1; depth++) {
		struct buf b = BUF_INIT, out = BUF_INIT;
		struct node *n, *at;
		struct node_fault f;
		int i;

		(void)buf_put_u8(&b, 0);
		for (i = 1; i < depth; i++)
			(void)buf_put(&b, "\xf8\x02\x51\xf8\x01", 5);
		(void)buf_put(&b, "\xf8\x01\x51", 3);
		n = node_decode(b.data, b.len, &f);
		if (depth == NODE_MAX_DEPTH)
			assert_non_null(n);
		else
			assert_int_equal(f.error, NODE_TOO_DEEP);
		node_free(n);
		n = at = node_new("v");
		for (i = 1; i < depth; i++)
			at = node_child_new(at, "v");
		assert_int_equal(node_encode(n, &out), depth == NODE_MAX_DEPTH ? 0 : -1);
		if (depth == NODE_MAX_DEPTH)
			assert_memory_equal(out.data, b.data, b.len);
		else
			assert_int_equal(out.len, 0);
		node_free(n);
		buf_clear(&b);
		buf_clear(&out);
	}
}

static void
test_attribute_limit(void **state)
{
	size_t count;

	for (count = NODE_MAX_ATTRS; count <= NODE_MAX_ATTRS + 1; count++) {
		struct buf b = BUF_INIT, out = BUF_INIT;
		struct node *n, *built = node_new("v");
		struct node_fault f;
		size_t i;

		(void)buf_put(&b, "\x00\xf9", 2);
		(void)buf_put_be16(&b, (uint16_t)(1 + 2 * count));
		(void)buf_put_u8(&b, 0x51);
		for (i = 0; i < count; i++) {
			char key[8];

			(void)snprintf(key, sizeof(key), "K%03zu", i);
			(void)buf_put(&b, "\xfc\x04", 2);
			(void)buf_put_str(&b, key);
			(void)buf_put_u8(&b, 0x55);
			(void)node_set(built, key, "1");
		}
		n = node_decode(b.data, b.len, &f);
		if (count <= NODE_MAX_ATTRS)
			assert_non_null(n);
		else
			assert_int_equal(f.error, NODE_TOO_BIG);
		assert_int_equal(node_encode(built, &out), count <= NODE_MAX_ATTRS ? 0 : -1);
		node_free(n);
		node_free(built);
		buf_clear(&b);
		buf_clear(&out);
	}
}

/* Of equal keys the last wins, at the place of the first; with many attributes too. */
static void
test_duplicates(void **state)
{
	struct buf b = BUF_INIT;
	struct node *n;
	int i;

	(void)buf_put(&b, "\x00\xf8\xc9\x51", 4); /* 100 attributes, 10 keys */
	for (i = 0; i < 100; i++) {
		char text[16];

		(void)snprintf(text, sizeof(text), "x%d", i * 7 % 10);
		(void)buf_put(&b, "\xfc\x02", 2);
		(void)buf_put_str(&b, text);
		(void)snprintf(text, sizeof(text), "#%02d", i);
		(void)buf_put(&b, "\xfc\x03", 2);
		(void)buf_put_str(&b, text);
	}
	n = node_decode(b.data, b.len, NULL);
	assert_non_null(n);
	assert_int_equal(n->nattrs, 10);
	assert_string_equal(n->attrs[1].key, "x7");
	assert_string_equal(node_get(n, "x7"), "#91");
	assert_string_equal(node_get(n, "x0"), "#90");
	node_free(n);
	buf_clear(&b);
}

static void
compressed(struct buf *out, size_t zeros)
{
	static const uint8_t head[4] = {0xf8, 0x02, 0x51, 0xfe};
	uint8_t *plain = calloc(1, zeros + 9);
	uLongf len = compressBound(zeros + 9);
	uint8_t *to;

	assert_non_null(plain);
	memcpy(plain, head, sizeof(head));
	plain[4] = (uint8_t)(zeros >> 24);
	plain[5] = (uint8_t)(zeros >> 16);
	plain[6] = (uint8_t)(zeros >> 8);
	plain[7] = (uint8_t)zeros;
	(void)buf_put_u8(out, 0x02);
	to = buf_reserve(out, len);
	assert_non_null(to);
	assert_int_equal(compress2(to, &len, plain, zeros + 8, 9), Z_OK);
	out->len = 1 + len;
	free(plain);
}

static void
test_inflate_limit(void **state)
{
	static const struct {
		size_t zeros;
		enum node_error error;
	} rows[] = {{NODE_MAX_INFLATE - 8, NODE_OK}, {NODE_MAX_INFLATE - 7, NODE_TOO_BIG},
	    {64u << 20, NODE_TOO_BIG}};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = BUF_INIT;
		struct node_fault f;
		struct node *n;

		b.max = 128u << 20;
		compressed(&b, rows[i].zeros);
		n = node_decode(b.data, b.len, &f);
		assert_int_equal(f.error, rows[i].error);
		if (n != NULL)
			assert_int_equal(n->nbytes, rows[i].zeros);
		node_free(n);
		buf_clear(&b);
	}
}

/* Lists that claim the most that the rest could hold, at every depth: refused for their price. */
static void
test_budget(void **state)
{
	struct buf b = BUF_INIT;
	struct node_fault f;
	struct node *n;
	int i;

	(void)buf_put_u8(&b, 0);
	for (i = 1; i < NODE_MAX_DEPTH; i++)
		(void)buf_put(&b, "\xf8\x02\x51\xf9\xff\xff", 6);
	for (i = 0; i < 65535; i++)
		(void)buf_put(&b, "\xf8\x01\x51", 3);
	assert_null(node_decode(b.data, b.len, &f));
	assert_int_not_equal(f.error, NODE_OK);
	buf_clear(&b);
	/* more nodes than a stanza may have, each at the smallest size */
	repeated(&b, "00f80251f811", "", 0, "");
	for (i = 0; i < 17; i++) {
		repeated(&b, "f80251f9ffff", "f80151", 65535, "");
	}
	assert_null(node_decode(b.data, b.len, &f));
	assert_int_equal(f.error, NODE_TOO_BIG);
	buf_clear(&b);
	/* a dear but well-formed one is not refused: two attributes of two bytes in each node */
	repeated(&b, "00f80251f9ffff", "f8055104550855", 65535, "");
	n = node_decode(b.data, b.len, &f);
	assert_non_null(n);
	assert_int_equal(n->nchildren, 65535);
	assert_string_equal(node_get(n->children[65534], "type"), "1");
	node_free(n);
	buf_clear(&b);
}

static void
test_encode_limits(void **state)
{
	struct node *n = node_new("v");
	struct buf out = BUF_INIT;
	struct jid j;
	uint8_t *big = calloc(1, NODE_MAX_ENCODED);
	int i;

	assert_non_null(big);
	/* 00 F8 02 51 FE len32 = 9 bytes beside the content */
	(void)node_set_bytes(n, big, NODE_MAX_ENCODED - 9);
	assert_int_equal(node_encode(n, &out), 0);
	assert_int_equal(out.len, NODE_MAX_ENCODED);
	buf_reset(&out);
	(void)node_set_bytes(n, big, NODE_MAX_ENCODED - 8);
	assert_int_equal(node_encode(n, &out), -1);
	assert_int_equal(out.len, 0);
	node_free(n);
	free(big);
	buf_clear(&out);

	n = node_new("list");
	for (i = 0; i < 65535; i++)
		(void)node_child_new(n, "id");
	assert_int_equal(node_encode(n, &out), 0);
	(void)node_child_new(n, "id");
	assert_int_equal(node_encode(n, &out), -1);
	node_free(n);
	buf_clear(&out);

	/* a device that the AD form cannot hold */
	assert_int_equal(jid_make(&j, "1", JID_PN, 5), 0);
	j.device = 256;
	n = node_set_jid(node_new("v"), "to", &j);
	assert_int_equal(node_encode(n, &out), -1);
	node_free(n);
	assert_int_equal(node_encode(NULL, &out), -1);
	buf_clear(&out);
}

/* ---------------------------------------------------------------- faults, building, reading, text
 */

static void
test_fault(void **state)
{
	struct node_fault f;

	/* a queued text whose enc is cut off: all that a nack needs is there */
	assert_null(
	    decode_hex("00f8101306f70105ff88100000000000002f043808fb0b3eb0c767d82b0a7d7b5f12"
		       "1aff05170000000018fc0457617264fc0973656e6465725f706ef70005ff861555000"
		       "2222f122df801f8061d5145044dfc09aabbccdd",
		&f));
	assert_int_equal(f.error, NODE_TRUNCATED);
	assert_string_equal(f.tag, "message");
	assert_string_equal(f.id, "3EB0C767D82B0A7D7B5F12");
	assert_string_equal(f.from, "100000000000002:5@lid");
	assert_string_equal(f.participant, "");
	assert_true(f.offset > 80);
	assert_null(decode_hex("00f8051306faff0120030504f0", &f));
	assert_string_equal(f.from, "20@s.whatsapp.net");
	assert_string_equal(f.id, "");
}

static void
test_building(void **state)
{
	struct node *n = node_new("iq"), *a, *b;
	const uint8_t *data;
	size_t len;
	struct jid j;
	int i;

	(void)node_setf(n, "id", "%d.%s", 7, "x");
	(void)node_setf(n, "long", "%0200d", 1);
	assert_int_equal(strlen(node_get(n, "long")), 200);
	(void)node_set(n, "long", NULL);
	assert_null(node_get(n, "long"));
	(void)node_set(n, "id", "8");
	assert_int_equal(n->nattrs, 1);
	assert_int_equal(node_get_int(n, "id", 8), 8);
	assert_int_equal(node_get_int(n, "id", 7), -1);
	assert_int_equal(node_get_int(n, "none", 7), -1);
	(void)node_set(n, "id", "99999999999999999999");
	assert_int_equal(node_get_int(n, "id", INT64_MAX), -1);
	(void)node_set_server(n, "to", JID_PN);
	assert_int_equal(node_get_jid(n, "to", &j), 0);
	assert_true(jid_is_server(&j));
	(void)node_set(n, "to", "155:2@s.whatsapp.net");
	assert_int_equal(node_get_jid(n, "to", &j), 0);
	assert_int_equal(j.device, 2);
	/* trees within trees, in both orders, many of them */
	for (i = 0; i < 1000; i++) {
		a = node_new("a");
		b = node_add_bytes(node_new("b"), "c", "xyz", 3);
		(void)node_add(a, b);
		(void)node_add(n, a);
		(void)node_set(b, "late", "yes");
	}
	assert_int_equal(n->nchildren, 1000);
	b = node_child(node_child(n, "a"), "b");
	assert_string_equal(node_get(b, "late"), "yes");
	assert_int_equal(node_child_bytes(b, "c", &data, &len), 0);
	assert_int_equal(len, 3);
	assert_memory_equal(data, "xyz", 3);
	assert_int_equal(node_child_bytes(b, "d", &data, &len), -1);
	assert_true(node_is(b, "b"));
	assert_false(node_is(NULL, "b"));
	node_free(b); /* not a root: stays */
	assert_string_equal(b->tag, "b");
	node_free(n);
	node_free(NULL);
	assert_null(node_add(NULL, node_new("x")));
	assert_null(node_set(NULL, "a", "b"));
	assert_null(node_child_new(NULL, "x"));
}

/* What went wrong while building is told by node_encode. */
static void
test_sticky_failure(void **state)
{
	struct buf out = BUF_INIT;
	struct node *n = node_new("v");

	(void)node_add(n, NULL);
	assert_int_equal(node_encode(n, &out), -1);
	node_free(n);
	n = node_set_bytes(node_new("v"), "x", 1);
	assert_null(node_child_new(n, "both"));
	assert_int_equal(node_encode(n, &out), -1);
	node_free(n);
	n = node_new("v");
	(void)node_child_new(n, "");
	assert_int_equal(node_encode(n, &out), -1);
	node_free(n);
	buf_clear(&out);
}

/* A decoded tree can be changed and sent on. */
static void
test_change_decoded(void **state)
{
	struct node *n = decode_hex(examples[1].hex, NULL), *outer = node_new("wrap");
	struct buf out = BUF_INIT;
	struct node *back;
	int i;

	(void)node_set(n, "id", "9");
	for (i = 0; i < 20; i++)
		(void)node_setf(n, "k", "%d", i);
	(void)node_set(n, "xmlns", NULL);
	(void)node_child_new(n, "pong");
	(void)node_add(outer, n);
	assert_int_equal(node_encode(outer, &out), 0);
	back = node_decode(out.data, out.len, NULL);
	assert_non_null(back);
	n = node_child(back, "iq");
	assert_int_equal(n->nchildren, 2);
	assert_int_equal(n->nattrs, 4);
	assert_string_equal(node_get(n, "id"), "9");
	assert_string_equal(node_get(n, "k"), "19");
	node_free(back);
	node_free(outer);
	buf_clear(&out);
}

static void
test_text(void **state)
{
	struct node *n = spec("message id=A1 from@=15551234567:2@s.whatsapp.net notify=Zoe "
			      "to@=s.whatsapp.net[body{68690a}<x]");
	struct buf b = BUF_INIT;
	const char *s;

	node_dump(n, &b);
	assert_string_equal(buf_cstr(&b),
	    "<message id=\"A1\" from=15551234567:2@s.whatsapp.net notify=\"Zoe\" to=s.whatsapp.net>"
	    "<body>68690a</body><x/></message>");
	buf_reset(&b);
	node_describe(n, &b);
	s = buf_cstr(&b);
	assert_non_null(strstr(s, "<message id=\"A1\" from=p:"));
	assert_non_null(strstr(s, "<body>[3]</body><x/></message>"));
	assert_non_null(strstr(s, "to=s.whatsapp.net"));
	assert_null(strstr(s, "15551234567"));
	assert_null(strstr(s, "Zoe"));
	assert_null(strstr(s, "68690a"));
	buf_clear(&b);
	node_free(n);
}

/* ---------------------------------------------------------------- tokens */

#define TOKENS_SHA256 "c91d4913a0ee44246568922b09abc337ef90cb0676c47336c7328a51871e3692"

static void
check_row(char *line)
{
	static const char *const names[] = {"single", "double0", "double1", "double2", "double3"};
	char *index = strchr(line, '\t'), *text;
	unsigned table, i, t, k;
	size_t len;

	assert_non_null(index);
	*index++ = '\0';
	text = strchr(index, '\t');
	assert_non_null(text);
	*text++ = '\0';
	text[strcspn(text, "\n")] = '\0';
	for (table = 0; table < 5 && strcmp(line, names[table]) != 0; table++)
		;
	i = (unsigned)strtoul(index, NULL, 10);
	if (*text == '\0') {
		assert_null(token_text(table, i, NULL));
		return;
	}
	assert_string_equal(token_text(table, i, &len), text);
	assert_int_equal(len, strlen(text));
	assert_int_equal(token_find(text, len, &t, &k), 0);
	assert_int_equal(t, table);
	assert_int_equal(k, i);
}

static void
test_tokens(void **state)
{
	FILE *f = fopen("common/wire/tokens.tsv", "r");
	crypto_hash_sha256_state hash;
	uint8_t sum[32];
	char line[256], hex[65];
	unsigned rows = 0, t, i;

	assert_non_null(f);
	crypto_hash_sha256_init(&hash);
	while (fgets(line, sizeof(line), f) != NULL) {
		crypto_hash_sha256_update(&hash, (const uint8_t *)line, strlen(line));
		if (rows++ > 0)
			check_row(line);
	}
	(void)fclose(f);
	assert_int_equal(rows, 1261);
	crypto_hash_sha256_final(&hash, sum);
	assert_string_equal(sodium_bin2hex(hex, sizeof(hex), sum, sizeof(sum)), TOKENS_SHA256);
	assert_int_equal(token_find("", 0, &t, &i), -1);
	assert_int_equal(token_find("no such token", 13, &t, &i), -1);
	assert_null(token_text(0, 236, NULL));
	assert_null(token_text(5, 0, NULL));
	assert_null(token_text(1, 256, NULL));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_examples),
	    cmocka_unit_test(test_empty_value),
	    cmocka_unit_test(test_big_examples),
	    cmocka_unit_test(test_many_attributes),
	    cmocka_unit_test(test_frames),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_prefixes),
	    cmocka_unit_test(test_accepted),
	    cmocka_unit_test(test_bad_utf8),
	    cmocka_unit_test(test_depth),
	    cmocka_unit_test(test_attribute_limit),
	    cmocka_unit_test(test_duplicates),
	    cmocka_unit_test(test_inflate_limit),
	    cmocka_unit_test(test_budget),
	    cmocka_unit_test(test_encode_limits),
	    cmocka_unit_test(test_fault),
	    cmocka_unit_test(test_building),
	    cmocka_unit_test(test_sticky_failure),
	    cmocka_unit_test(test_change_decoded),
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_tokens),
	};

	if (sodium_init() == -1)
		return 1;
	log_open("test", -1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
