/* Noise stream: the vectors of protocol page 01, frames split and joined at every byte, hostile
 * ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "netd/noise_stream.h"

/* protocol page 01, 4.7 */
#define TX           "570626073a425329e7b6a383bdaaae1c74fffbbe618462db6912c60b928c5096"
#define RX           "0be9e4d99c1dc367ec34848f2fc901dabe8bbcf0fad3aa716606b460b277efd2"
#define CLIENT_PLAIN "00f80919085511fa000304291657"
#define CLIENT_0     "00001e7553c54997eb8ba48665336fbc3511363d0dd800de2a003ab9e155c6473e"
#define CLIENT_1     "00001eba3e3199696f682d1d663862a0f98a517d219c1ec28d0718260b191146c4"
#define SERVER_PLAIN "00f80102"
#define SERVER_0     "000014378756e44eeb44eb234e69720805f2e6975868cd"
#define SERVER_1     "0000142c1cf12cb8355adf0eef0b4d5499cfb914eab3d6"
#define E_PUB        "07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c"

static size_t
unhex(const char *hex, uint8_t *out, size_t size)
{
	size_t len = 0;

	assert_int_equal(sodium_hex2bin(out, size, hex, strlen(hex), " ", &len, NULL), 0);
	return len;
}

static void
assert_hex(const struct buf *b, const char *hex)
{
	uint8_t want[512];
	size_t n = unhex(hex, want, sizeof(want));

	assert_int_equal(b->len, n);
	assert_memory_equal(b->data, want, n);
}

struct got {
	struct buf all;
	int frames, stop_at;
};

static int
on_frame(void *arg, const uint8_t *data, size_t len)
{
	struct got *g = arg;

	assert_int_equal(buf_put(&g->all, data, len), 0);
	return ++g->frames == g->stop_at ? -1 : 0;
}

static void
set_keys(struct noise_stream *s, const char *tx, const char *rx)
{
	uint8_t t[NOISE_KEY], r[NOISE_KEY];

	(void)unhex(tx, t, sizeof(t));
	(void)unhex(rx, r, sizeof(r));
	assert_int_equal(noise_set_keys(s, t, r), 0);
}

static void
begin(struct noise_stream *s, struct got *g)
{
	memset(g, 0, sizeof(*g));
	noise_init(s, on_frame, g);
	set_keys(s, TX, RX);
}

static void
finish(struct noise_stream *s, struct got *g)
{
	noise_clear(s);
	buf_clear(&g->all);
}

static void
test_hello(void **state)
{
	uint8_t hello[64];
	struct buf out = BUF_INIT;
	size_t n = unhex("12220a20" E_PUB, hello, sizeof(hello));
	uint8_t routing[NOISE_ROUTING_MAX + 1] = {0};

	assert_int_equal(noise_put_hello(&out, NULL, 0, hello, n), 0);
	assert_hex(&out, "5741060300002412220a20" E_PUB);
	buf_reset(&out);
	assert_int_equal(noise_put_hello(&out, "\1\2\3\4\5", 5, "\xaa\xbb", 2), 0);
	assert_hex(&out, "45440001000005010203040557410603000002aabb");
	buf_reset(&out);
	assert_int_equal(noise_put_hello(&out, routing, sizeof(routing), "\xaa\xbb", 2), 0);
	assert_hex(&out, "57410603000002aabb");
	buf_reset(&out);
	assert_int_equal(noise_put_plain(&out, "", 0), -1);
	assert_int_equal(noise_put_plain(&out, routing, 3), 0);
	assert_hex(&out, "000003000000");
	buf_clear(&out);
}

static void
test_seal(void **state)
{
	struct noise_stream s;
	struct got g;
	struct buf out = BUF_INIT;
	uint8_t plain[32];
	size_t n = unhex(CLIENT_PLAIN, plain, sizeof(plain));

	begin(&s, &g);
	assert_int_equal(noise_seal(&s, plain, n, &out), 0);
	assert_int_equal(noise_seal(&s, plain, n, &out), 0);
	assert_hex(&out, CLIENT_0 CLIENT_1);
	assert_int_equal(out.len, 2 * NOISE_SEALED_SIZE(n));
	/* the last counter is never used */
	s.tx_n = UINT32_MAX;
	assert_int_equal(noise_seal(&s, plain, n, &out), -1);
	assert_int_equal(out.len, 2 * NOISE_SEALED_SIZE(n));
	assert_int_equal(noise_seal(&s, plain, 0, &out), -1);
	buf_clear(&out);
	finish(&s, &g);
}

/* Two frames, cut in pieces of every size, and in two pieces at every byte. */
static void
test_pieces(void **state)
{
	uint8_t in[64];
	size_t len = unhex(SERVER_0 SERVER_1, in, sizeof(in)), piece, at, n;

	for (piece = 1; piece <= len; piece++) {
		struct noise_stream s;
		struct got g;

		begin(&s, &g);
		for (at = 0; at < len; at += n) {
			n = len - at < piece ? len - at : piece;
			assert_int_equal(noise_feed(&s, in + at, n), 0);
		}
		assert_int_equal(g.frames, 2);
		assert_hex(&g.all, SERVER_PLAIN SERVER_PLAIN);
		finish(&s, &g);
		begin(&s, &g);
		assert_int_equal(noise_feed(&s, in, piece), 0);
		assert_int_equal(noise_feed(&s, in + piece, len - piece), 0);
		assert_int_equal(g.frames, 2);
		assert_hex(&g.all, SERVER_PLAIN SERVER_PLAIN);
		finish(&s, &g);
	}
}

/* Any flipped bit of the ciphertext or tag is noticed; so are frames lost or repeated. */
static void
test_forged(void **state)
{
	uint8_t in[64];
	size_t len = unhex(SERVER_0, in, sizeof(in)), bit, n;
	struct noise_stream s;
	struct got g;

	for (bit = 24; bit < len * 8; bit++) {
		begin(&s, &g);
		in[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_int_equal(noise_feed(&s, in, len), -1);
		assert_string_equal(s.error, "frame does not authenticate");
		assert_int_equal(g.frames, 0);
		in[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		finish(&s, &g);
	}
	begin(&s, &g);
	n = unhex(SERVER_1, in, sizeof(in));
	assert_int_equal(noise_feed(&s, in, n), -1);
	finish(&s, &g);
	begin(&s, &g);
	n = unhex(SERVER_0 SERVER_0, in, sizeof(in));
	assert_int_equal(noise_feed(&s, in, n), -1);
	assert_int_equal(g.frames, 1);
	finish(&s, &g);
}

static void
test_lengths(void **state)
{
	static const struct {
		const char *hex;
		int handshake;
		const char *error;
	} rows[] = {
	    {"000000", 0, "frame too short"},
	    {"000010 00000000000000000000000000000000", 0, "frame too short"},
	    {"000000", 1, "frame too short"},
	    {"010001", 1, "frame too long for a handshake"},
	    {"ffffff", 1, "frame too long for a handshake"},
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct noise_stream s;
		struct got g = {.all = BUF_INIT};
		uint8_t in[32];
		size_t n = unhex(rows[i].hex, in, sizeof(in)), k;

		if (rows[i].handshake)
			noise_init(&s, on_frame, &g);
		else
			begin(&s, &g);
		assert_int_equal(noise_feed(&s, in, n), -1);
		assert_string_equal(s.error, rows[i].error);
		finish(&s, &g);
		memset(&g, 0, sizeof(g));
		if (rows[i].handshake)
			noise_init(&s, on_frame, &g);
		else
			begin(&s, &g);
		for (k = 0; k + 1 < n && k < 2; k++)
			assert_int_equal(noise_feed(&s, in + k, 1), 0);
		assert_int_equal(noise_feed(&s, in + k, 1), -1);
		assert_string_equal(s.error, rows[i].error);
		finish(&s, &g);
	}
}

/* In the handshake one payload comes, then the rest waits for the keys, within bounds. */
static void
test_handshake_holds(void **state)
{
	struct noise_stream s;
	struct got g = {.all = BUF_INIT};
	uint8_t in[128], many[4096] = {0};
	size_t n = unhex("000003 010203" SERVER_0 SERVER_1, in, sizeof(in)), i;

	noise_init(&s, on_frame, &g);
	assert_int_equal(noise_feed(&s, in, 10), 0);
	assert_int_equal(noise_feed(&s, in + 10, n - 10), 0);
	assert_int_equal(g.frames, 1);
	assert_hex(&g.all, "010203");
	set_keys(&s, TX, RX);
	assert_int_equal(g.frames, 3);
	assert_hex(&g.all, "010203" SERVER_PLAIN SERVER_PLAIN);
	finish(&s, &g);

	memset(&g, 0, sizeof(g));
	noise_init(&s, on_frame, &g);
	assert_int_equal(noise_feed(&s, in, 6), 0);
	for (i = 0; i < NOISE_EARLY_MAX / sizeof(many); i++)
		assert_int_equal(noise_feed(&s, many, sizeof(many)), 0);
	assert_int_equal(noise_feed(&s, many, 1), -1);
	finish(&s, &g);
}

/* Before login a large frame holds the stream; with the larger limit it goes through. */
static void
test_large(void **state)
{
	static const size_t sizes[] = {NOISE_EARLY_MAX - NOISE_TAG, NOISE_EARLY_MAX - NOISE_TAG + 1,
	    1000000, NOISE_FRAME_MAX - NOISE_TAG};
	size_t i, at, n;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct noise_stream server, s;
		struct got g, none = {.all = BUF_INIT};
		struct buf wire = BUF_INIT;
		uint8_t *plain = malloc(sizes[i]);

		assert_non_null(plain);
		randombytes_buf(plain, sizes[i]);
		noise_init(&server, on_frame, &none);
		set_keys(&server, RX, TX);
		assert_int_equal(noise_seal(&server, "hi", 2, &wire), 0);
		assert_int_equal(noise_seal(&server, plain, sizes[i], &wire), 0);
		assert_int_equal(noise_seal(&server, "ho", 2, &wire), 0);
		begin(&s, &g);
		for (at = 0; at < wire.len; at += n) {
			n = wire.len - at < 50000 ? wire.len - at : 50000;
			assert_int_equal(noise_feed(&s, wire.data + at, n), 0);
			if (s.held) {
				assert_int_equal(g.frames, 1);
				assert_true(s.in.len <= 50000);
				assert_int_equal(noise_go_on(&s, NOISE_FRAME_MAX), 0);
			}
		}
		assert_int_equal(s.limit, i == 0 ? NOISE_EARLY_MAX : NOISE_FRAME_MAX);
		assert_int_equal(g.frames, 3);
		assert_int_equal(g.all.len, sizes[i] + 4);
		assert_memory_equal(g.all.data + 2, plain, sizes[i]);
		free(plain);
		buf_clear(&wire);
		finish(&s, &g);
		finish(&server, &none);
	}
}

static void
test_stop(void **state)
{
	struct noise_stream s;
	struct got g;
	uint8_t in[64];
	size_t n = unhex(SERVER_0 SERVER_1, in, sizeof(in));

	begin(&s, &g);
	g.stop_at = 1;
	assert_int_equal(noise_feed(&s, in, n), -1);
	assert_null(s.error);
	assert_int_equal(g.frames, 1);
	finish(&s, &g);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_hello),
	    cmocka_unit_test(test_seal),
	    cmocka_unit_test(test_pieces),
	    cmocka_unit_test(test_forged),
	    cmocka_unit_test(test_lengths),
	    cmocka_unit_test(test_handshake_holds),
	    cmocka_unit_test(test_large),
	    cmocka_unit_test(test_stop),
	};

	if (sodium_init() == -1)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
