/* Fuzz target: the Noise stream. The first byte says the mode, the second the size of the pieces;
 * the rest are bytes of the peer, or in the last mode lengths of frames that are sealed here. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "netd/noise_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const uint8_t key_a[NOISE_KEY] = {1}, key_b[NOISE_KEY] = {2};

struct got {
	struct buf all;
	int frames;
};

static int
on_frame(void *arg, const uint8_t *data, size_t len)
{
	struct got *g = arg;

	if (len == 0)
		abort();
	g->frames++;
	return buf_put(&g->all, data, len);
}

static int
feed(struct noise_stream *s, const uint8_t *data, size_t len, size_t piece)
{
	size_t at, n;

	for (at = 0; at < len; at += n) {
		n = len - at < piece ? len - at : piece;
		if (noise_feed(s, data + at, n) == -1)
			return -1;
		if (s->held && s->mode == NOISE_TRAFFIC && noise_go_on(s, NOISE_FRAME_MAX) == -1)
			return -1;
	}
	return 0;
}

/* Frames that are in order must come out as they went in, however they are cut. */
static void
round_trip(struct noise_stream *s, struct got *g, const uint8_t *data, size_t len, size_t piece)
{
	struct noise_stream peer;
	struct buf wire = BUF_INIT, plain = BUF_INIT;
	size_t at;
	int frames = 0;

	noise_init(&peer, on_frame, NULL);
	if (noise_set_keys(&peer, key_b, key_a) == -1)
		abort();
	for (at = 0; at < len; at++) {
		size_t n = 1 + data[at] % (len - at);

		if (noise_seal(&peer, data + at, n, &wire) == -1 ||
		    buf_put(&plain, data + at, n) == -1)
			abort();
		frames++;
		at += n;
	}
	if (feed(s, wire.data, wire.len, piece) == -1 || g->frames != frames ||
	    g->all.len != plain.len ||
	    (plain.len != 0 && memcmp(g->all.data, plain.data, plain.len) != 0))
		abort();
	noise_clear(&peer);
	buf_clear(&wire);
	buf_clear(&plain);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct got g = {BUF_INIT, 0};
	struct noise_stream s;
	size_t piece;

	if (len < 2)
		return 0;
	noise_init(&s, on_frame, &g);
	piece = 1 + data[1];
	if (data[0] % 3 != 0 && noise_set_keys(&s, key_a, key_b) == -1)
		abort();
	if (data[0] % 3 == 2)
		round_trip(&s, &g, data + 2, len - 2, piece);
	else if (feed(&s, data + 2, len - 2, piece) == 0 && data[0] % 3 == 0)
		(void)noise_set_keys(&s, key_a, key_b);
	noise_clear(&s);
	buf_clear(&g.all);
	return 0;
}
