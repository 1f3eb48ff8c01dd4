/* Contents, padding, ids and stanzas against the worked values of protocol page 04, section 23. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/content.h"
#include "apid/message/envelope.h"
#include "apid/message/ids.h"
#include "apid/message/retry.h"
#include "apid/session/devices.h"
#include "apid/session/iq.h"
#include "apid/session/prekeys.h"
#include "common/wire/node.h"

#define ID  "3EB0C767D82B0A7D7B5F12"
#define BOB "100000000000002"

static size_t
from_hex(uint8_t *to, size_t max, const char *hex)
{
	size_t n;

	assert_int_equal(sodium_hex2bin(to, max, hex, strlen(hex), NULL, &n, NULL), 0);
	return n;
}

static void
is_hex(const uint8_t *got, size_t len, const char *hex)
{
	char text[2048];

	assert_non_null(got);
	assert_true(2 * len < sizeof(text));
	sodium_bin2hex(text, sizeof(text), got, len);
	assert_string_equal(text, hex);
}

/* The same tree; attributes in any order. */
static void
same_tree(const struct node *a, const struct node *b)
{
	assert_string_equal(a->tag, b->tag);
	assert_int_equal(a->nattrs, b->nattrs);
	for (size_t i = 0; i < a->nattrs; i++) {
		const char *v = node_get(b, a->attrs[i].key);

		assert_non_null(v);
		assert_string_equal(a->attrs[i].text, v);
	}
	assert_int_equal(a->has_bytes, b->has_bytes);
	assert_int_equal(a->nbytes, b->nbytes);
	if (a->nbytes > 0)
		assert_memory_equal(a->bytes, b->bytes, a->nbytes);
	assert_int_equal(a->nchildren, b->nchildren);
	for (size_t i = 0; i < a->nchildren; i++)
		same_tree(a->children[i], b->children[i]);
}

static void
is_frame(struct node *n, const char *hex)
{
	uint8_t bytes[1024];
	size_t len = from_hex(bytes, sizeof(bytes), hex);
	struct node *want = node_decode(bytes, len, NULL), *got;
	struct buf b = BUF_INIT;

	assert_non_null(want);
	assert_int_equal(node_encode(n, &b), 0); /* through the codec: as the other side sees it */
	assert_non_null(got = node_decode(b.data, b.len, NULL));
	same_tree(got, want);
	node_free(got);
	node_free(want);
	node_free(n);
	buf_clear(&b);
}

static void
text_and_padding(void **state)
{
	size_t len, padded_len;
	uint8_t *m = content_text("hello", NULL, &len), *p, *own;

	is_hex(m, len, "0a0568656c6c6f");
	p = content_pad_with(m, len, 3, &padded_len);
	is_hex(p, padded_len, "0a0568656c6c6f030303");
	assert_int_equal(content_unpad(p, padded_len), 7);
	own = content_device_sent(m, len, "15550001111@s.whatsapp.net", &padded_len);
	is_hex(own, padded_len,
	    "fa01250a1a313535353030303131313140732e77686174736170702e6e657412070a0568656c6c6f");
	free(own);
	free(p);
	for (int i = 0; i < 100; i++) {
		p = content_pad(m, len, &padded_len);
		assert_true(padded_len > len && padded_len <= len + 16);
		assert_int_equal(content_unpad(p, padded_len), 7);
		free(p);
	}
	free(m);
}

static void
bad_padding(void **state)
{
	static const char *const rows[] = {
	    "", "00", "0a00", "02", "0a0302", "0a030303ff", "05050505"};
	uint8_t b[16];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(content_unpad(b, from_hex(b, sizeof(b), rows[i])), -1);
	assert_int_equal(content_unpad((const uint8_t *)"\1", 1), 0);
}

static void
message_ids(void **state)
{
	uint8_t rnd[16];
	char id[23], other[23];

	for (int i = 0; i < 16; i++)
		rnd[i] = (uint8_t)i;
	message_id_make(id, 1700000000, "15551234567", rnd);
	assert_string_equal(id, "3EB05765B9D1119841E331");
	message_id_new(id, 1700000000, "15551234567");
	message_id_new(other, 1700000000, "15551234567");
	assert_string_not_equal(id, other);
	assert_true(message_id_ok(id));
	assert_false(message_id_ok(""));
	assert_false(message_id_ok("a b"));
	assert_false(message_id_ok("a\n"));
}

static void
stable_ids(void **state)
{
	static const uint8_t zero[16] = {0};
	uint8_t ones[16];
	char id[STABLE_ID_LEN + 1];

	memset(ones, 0xff, sizeof(ones));
	stable_id_make(id, 'u', zero);
	assert_string_equal(id, "u_aaaaaaaaaaaaaaaaaaaaaaaaaa");
	stable_id_make(id, 'u', ones);
	assert_string_equal(id, "u_77777777777777777777777774"); /* 128 bits are 25.6 characters */
	assert_true(stable_id_is(id, 'u'));
	assert_false(stable_id_is(id, 'c'));
	assert_false(stable_id_is("u_short", 'u'));
	assert_false(stable_id_is("u_AAAAAAAAAAAAAAAAAAAAAAAAAA", 'u'));
}

static void
upload_frame(void **state)
{
	Keyd__PrekeysReply r = KEYD__PREKEYS_REPLY__INIT;
	Keyd__SignedPrekey s = KEYD__SIGNED_PREKEY__INIT;
	Keyd__Prekey k = KEYD__PREKEY__INIT, *keys[1] = {&k};
	uint8_t identity[32], spub[32], sig[64], pub[32];

	from_hex(identity, 32, "4d27bcee3135c4944b28d27dd809b07be10c35160d20131caa7e85575498d07c");
	from_hex(spub, 32, "0233f006ef4bed144ea0a5bb46c7067c7c2acec5f8cc811f3df59fdcd5ac7614");
	from_hex(sig, 64,
	    "c02b37b0f7e2a59220b5f6d95b7a1749d38e4cf79fb52a73f95bd653f9bf5b2e"
	    "2d984f62e43d671a7036f6224b7f6246f4901b447852222872365e7752fcc482");
	from_hex(pub, 32, "d214723afdfe2cddbdc929b18a5e43017e44445fc5d6c8fcf88b1868c53f395c");
	r.registration_id = 12345;
	r.identity_pub.data = identity;
	r.identity_pub.len = 32;
	s.id = 1;
	s.pub.data = spub;
	s.pub.len = 32;
	s.signature.data = sig;
	s.signature.len = 64;
	r.signed_prekey = &s;
	k.id = 1;
	k.pub.data = pub;
	k.pub.len = 32;
	r.keys = keys;
	r.n_keys = 1;
	is_frame(node_set(prekeys_upload_node(&r, NULL), "id", "1"),
	    "00f80a19085511fa0003045a16cbf805f802adfc0400003039f80204fc0105f8029cfc204d27bcee3135c4"
	    "94"
	    "4b28d27dd809b07be10c35160d20131caa7e85575498d07cf80271f801f8029ef802f80208fc03000001"
	    "f8026cfc20d214723afdfe2cddbdc929b18a5e43017e44445fc5d6c8fcf88b1868c53f395cf802ec2df8"
	    "03f80208fc03000001f8026cfc200233f006ef4bed144ea0a5bb46c7067c7c2acec5f8cc811f3df59fdc"
	    "d5ac7614f802d4fc40c02b37b0f7e2a59220b5f6d95b7a1749d38e4cf79fb52a73f95bd653f9bf5b2e2d"
	    "984f62e43d671a7036f6224b7f6246f4901b447852222872365e7752fcc482");
}

static void
usync_frame(void **state)
{
	static const char *const jids[] = {"15550001111@s.whatsapp.net"};

	is_frame(node_set(devices_query_node(jids, 1, "1"), "id", "2"),
	    "00f80a19084511fa000304291679f801f80c79fc03736964556a6d619b8f2d7d13f802f8026df802f8030f"
	    "54"
	    "45f80176f80271f801f8030e0cfaff8615550001111f03");
}

static void
incoming_frame(void **state)
{
	uint8_t bytes[256];
	size_t len = from_hex(bytes, sizeof(bytes),
	    "00f8101306f70105ff88100000000000002f043808fb0b3eb0c767d82b0a7d7b5f121aff05170000000018"
	    "fc0457617264fc0973656e6465725f706ef70005ff8615550002222f122df801f8061d5145044dfc04aa"
	    "bbccdd");
	struct node *n = node_decode(bytes, len, NULL);
	struct account a = {.dev = {.linked = 1, .has_jid = 1, .registration_id = 12345}};
	struct envelope e;

	assert_non_null(n);
	assert_int_equal(envelope_parse(&a, n, &e), 0);
	assert_string_equal(e.id, ID);
	assert_string_equal(e.sender.user, BOB);
	assert_int_equal(e.sender.device, 5);
	assert_string_equal(e.chat.user, BOB);
	assert_int_equal(e.chat.device, 0);
	assert_string_equal(e.alt.user, "15550002222");
	assert_int_equal(e.offline, 1);
	assert_int_equal(e.from_me, 0);
	assert_int_equal(e.time_ms, INT64_C(1700000000000));
	/* its first retry receipt, error 1 */
	is_frame(retry_receipt(&a, &e, 1, 1, NULL),
	    "00f8080708fb0b3eb0c767d82b0a7d7b5f1211f70105ff88100000000000002f04ec0bf802f80bec0b5155"
	    "08"
	    "fb0b3eb0c767d82b0a7d7b5f121aff0517000000004155a855f802adfc0400003039");
	node_free(n);
}

static void
phashes(void **state)
{
	static const struct {
		const char *jids[2];
		const char *phash;
	} rows[] = {
	    {{"5511999999999:3@s.whatsapp.net", NULL}, "2:5s+YxCff"},
	    {{"5511999999999@s.whatsapp.net", NULL}, "2:RJWVxcMQ"},
	    {{"5511988887777:14@s.whatsapp.net", "7469250125917:21@s.whatsapp.net"}, "2:AAv/hwhn"},
	    {{"7469250125917:21@s.whatsapp.net", "5511988887777:14@s.whatsapp.net"}, "2:AAv/hwhn"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct jid j[2];
		char out[12];
		size_t n = 0;

		for (; n < 2 && rows[i].jids[n] != NULL; n++)
			assert_int_equal(jid_parse(rows[i].jids[n], &j[n]), 0);
		devices_phash(j, n, out);
		assert_string_equal(out, rows[i].phash);
	}
}

static void
kind_is(const char *hex, const char *kind, const char *text)
{
	struct pb_arena *arena = pb_arena_new(CONTENT_BUDGET);
	uint8_t b[512];
	const E2e__Message *m = content_parse(b, from_hex(b, sizeof(b), hex), arena, NULL);
	json_t *o;

	assert_non_null(m);
	o = content_json(m);
	assert_string_equal(json_string_value(json_object_get(o, "kind")), kind);
	if (text != NULL)
		assert_string_equal(json_string_value(json_object_get(o, "text")), text);
	json_decref(o);
	pb_arena_free(arena);
}

static void
kinds(void **state)
{
	kind_is("0a0568656c6c6f", "text", "hello");
	kind_is("32040a026869", "text", "hi");             /* extendedTextMessage */
	kind_is("320a0a02686912047777772e", "link", "hi"); /* with matchedText */
	kind_is("c202040a021a00", "image", NULL);          /* a wrapper of an image */
	kind_is("c202080a060a04686f6c61", "text", "hola"); /* ephemeralMessage{message} */
	kind_is("1a00", "image", NULL);
	kind_is("520012020a00", "unknown", NULL); /* call: no kind of its own */
	kind_is("0a00", "text", "");
	kind_is("0a02c328", "unknown", NULL); /* no UTF-8 */
	kind_is("", "unknown", NULL);
}

static void
raw_in_parts(void **state)
{
	size_t len = CONTENT_RAW_PART * 2 + 10;
	uint8_t *raw = calloc(1, len);
	json_t *o = json_object(), *p;

	assert_int_equal(content_set_raw(o, raw, len), 2);
	assert_int_equal(json_integer_value(json_object_get(o, "raw_parts")), 3);
	p = content_raw_part(raw, len, 2);
	assert_int_equal(strlen(json_string_value(json_object_get(p, "raw_b64"))), 16);
	json_decref(p);
	json_decref(o);
	o = json_object();
	assert_int_equal(content_set_raw(o, raw, 3), 0);
	assert_string_equal(json_string_value(json_object_get(o, "raw_b64")), "AAAA");
	json_decref(o);
	free(raw);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(text_and_padding),
	    cmocka_unit_test(bad_padding),
	    cmocka_unit_test(message_ids),
	    cmocka_unit_test(stable_ids),
	    cmocka_unit_test(upload_frame),
	    cmocka_unit_test(usync_frame),
	    cmocka_unit_test(incoming_frame),
	    cmocka_unit_test(phashes),
	    cmocka_unit_test(kinds),
	    cmocka_unit_test(raw_in_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
