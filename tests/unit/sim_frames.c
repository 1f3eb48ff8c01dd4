/* The simulator's WebSocket framing, and its random numbers, inboxes and maps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/buffer.h>

#include "tests/sim/crypt.h"
#include "tests/sim/map.h"
#include "tests/sim/phone_records.h"
#include "tests/sim/rng.h"
#include "tests/sim/ws.h"

/* A masked client frame. */
static size_t
client_frame(uint8_t *out, int first, const void *data, size_t len)
{
	static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
	size_t n = 0;

	out[n++] = (uint8_t)first;
	if (len < 126) {
		out[n++] = (uint8_t)(0x80 | len);
	} else {
		out[n++] = 0x80 | 126;
		out[n++] = (uint8_t)(len >> 8);
		out[n++] = (uint8_t)len;
	}
	memcpy(out + n, mask, 4);
	n += 4;
	for (size_t i = 0; i < len; i++)
		out[n + i] = ((const uint8_t *)data)[i] ^ mask[i & 3];
	return n + len;
}

/* Every length around the header's steps, arriving byte by byte. */
static void
test_ws_lengths(void **state)
{
	static const size_t lengths[] = {0, 1, 7, 8, 9, 125, 126, 127, 300};
	uint8_t data[300], frame[320];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	for (size_t k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++) {
		struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();
		size_t len = client_frame(frame, 0x82, data, lengths[k]);
		struct ws w = {0};
		int fin = 0;

		for (size_t i = 0; i + 1 < len; i++) {
			evbuffer_add(in, frame + i, 1);
			assert_int_equal(ws_read(&w, in, out, &fin), WS_MORE);
		}
		evbuffer_add(in, frame + len - 1, 1);
		assert_int_equal(ws_read(&w, in, out, &fin), WS_BINARY);
		assert_int_equal(fin, 1);
		assert_int_equal(evbuffer_get_length(out), lengths[k]);
		if (lengths[k] > 0)
			assert_memory_equal(evbuffer_pullup(out, -1), data, lengths[k]);
		assert_int_equal(evbuffer_get_length(in), 0);
		evbuffer_free(in);
		evbuffer_free(out);
	}
}

/* Sequences of first bytes: what each frame is answered with. */
static void
test_ws_sequences(void **state)
{
	static const struct {
		int first[4], result[4];
	} cases[] = {
	    {{0x02, 0x00, 0x89, 0x80}, {WS_BINARY, WS_BINARY, WS_PING, WS_BINARY}},
	    {{0x01, 0x80, 0x88, 0}, {WS_TEXT, WS_TEXT, WS_CLOSE, 0}},
	    {{0x80, 0, 0, 0}, {WS_BAD, 0, 0, 0}},            /* nothing to continue */
	    {{0x02, 0x82, 0, 0}, {WS_BINARY, WS_BAD, 0, 0}}, /* a message inside a message */
	    {{0x09, 0, 0, 0}, {WS_BAD, 0, 0, 0}},            /* a fragmented ping */
	    {{0xc2, 0, 0, 0}, {WS_BAD, 0, 0, 0}},            /* a reserved bit */
	    {{0x83, 0, 0, 0}, {WS_BAD, 0, 0, 0}},            /* an unknown opcode */
	    {{0x8b, 0, 0, 0}, {WS_BAD, 0, 0, 0}},
	};
	uint8_t frame[32];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();
		struct ws w = {0};
		int fin;

		for (size_t k = 0; k < 4 && cases[i].first[k] != 0; k++) {
			evbuffer_add(in, frame, client_frame(frame, cases[i].first[k], "abc", 3));
			assert_int_equal(ws_read(&w, in, out, &fin), cases[i].result[k]);
		}
		evbuffer_free(in);
		evbuffer_free(out);
	}
}

static void
test_ws_refused(void **state)
{
	static const uint8_t unmasked[] = {0x82, 0x03, 'a', 'b', 'c', 0, 0, 0};
	static const uint8_t huge[] = {0x82, 0xff, 0, 0, 0, 0, 0xff, 0, 0, 0, 1, 2, 3, 4};
	static const uint8_t top_bit[] = {0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4};
	static const uint8_t long_ping[] = {0x89, 0xfe, 0, 126, 1, 2, 3, 4};
	static const struct {
		const uint8_t *data;
		size_t len;
	} cases[] = {{unmasked, sizeof(unmasked)}, {huge, sizeof(huge)}, {top_bit, sizeof(top_bit)},
	    {long_ping, sizeof(long_ping)}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();
		struct ws w = {0};
		int fin;

		evbuffer_add(in, cases[i].data, cases[i].len);
		assert_int_equal(ws_read(&w, in, out, &fin), WS_BAD);
		evbuffer_free(in);
		evbuffer_free(out);
	}
}

static void
test_ws_accept(void **state)
{
	char out[29];
	uint8_t head[10];

	(void)state;
	ws_accept("dGhlIHNhbXBsZSBub25jZQ==", out); /* RFC 6455, 1.3 */
	assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	assert_int_equal(ws_header(head, WS_BINARY, 125), 2);
	assert_int_equal(ws_header(head, WS_BINARY, 126), 4);
	assert_int_equal(ws_header(head, WS_BINARY, 65535), 4);
	assert_int_equal(ws_header(head, WS_BINARY, 65536), 10);
	assert_int_equal(head[1], 127);
	assert_int_equal(head[7], 1);
}

static void
test_rng(void **state)
{
	uint8_t a[9000], b[9000], one;

	(void)state;
	rng_seed(7);
	rng_bytes(a, sizeof(a));
	rng_seed(7);
	for (size_t i = 0; i < sizeof(b); i++)
		rng_bytes(b + i, 1);
	assert_memory_equal(a, b, sizeof(a));
	rng_seed(8);
	rng_bytes(b, sizeof(b));
	assert_memory_not_equal(a, b, 32);
	rng_inject("\x55", 1);
	rng_bytes(&one, 1);
	assert_int_equal(one, 0x55);
	for (int i = 0; i < 1000; i++)
		assert_true(rng_below(3) < 3);
}

static void
test_records(void **state)
{
	struct records r;
	char id[16];

	(void)state;
	records_init(&r, 600);
	assert_null(records_get(&r, 1));
	for (unsigned i = 1; i <= 2000; i++) {
		struct record *rec = records_add(&r);

		snprintf(rec->id, sizeof(rec->id), "id%u", i);
		rec->text = strdup(rec->id);
		assert_int_equal(rec->seq, i);
		/* all that should be kept is there, under its number, and nothing older */
		for (unsigned k = i > 600 ? i - 599 : 1; k <= i; k += 97) {
			snprintf(id, sizeof(id), "id%u", k);
			assert_string_equal(records_get(&r, k)->id, id);
		}
		if (i > 600)
			assert_null(records_get(&r, i - 600));
	}
	assert_int_equal(records_find(&r, "id1999")->seq, 1999);
	assert_null(records_find(&r, "id5"));
	records_clear(&r);
}

static void
test_map(void **state)
{
	struct map *m = map_new();
	char key[32];
	size_t len;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "%s.%u", i % 2 ? "a" : "ab", i);
		map_put(m, key, &i, sizeof(i));
	}
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "%s.%u", i % 2 ? "a" : "ab", i);
		assert_memory_equal(map_get(m, key, &len), &i, sizeof(i));
		assert_int_equal(len, sizeof(i));
	}
	map_put(m, "ab.0", "longer than before", 18);
	assert_memory_equal(map_get(m, "ab.0", &len), "longer than before", 18);
	assert_int_equal(map_count(m), 1000);
	assert_int_equal(map_del_prefix(m, "a."), 500);
	assert_int_equal(map_count(m), 500);
	assert_null(map_get(m, "a.1", NULL));
	assert_int_equal(map_del(m, "ab.2"), 1);
	assert_int_equal(map_del(m, "ab.2"), 0);
	map_free(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ws_lengths),
	    cmocka_unit_test(test_ws_sequences),
	    cmocka_unit_test(test_ws_refused),
	    cmocka_unit_test(test_ws_accept),
	    cmocka_unit_test(test_rng),
	    cmocka_unit_test(test_records),
	    cmocka_unit_test(test_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
