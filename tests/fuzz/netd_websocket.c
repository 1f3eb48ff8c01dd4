/* Fuzz target: the answer to the upgrade, and frames in any pieces: whole or byte by byte the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "netd/websocket.h"

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct got {
	struct buf data, control;
};

static int
on_data(void *arg, const uint8_t *data, size_t len)
{
	struct got *g = arg;

	if (len == 0)
		abort();
	return buf_put(&g->data, data, len);
}

static int
on_control(void *arg, enum ws_opcode op, const uint8_t *data, size_t len)
{
	struct got *g = arg;

	if (len > WS_CONTROL_MAX)
		abort();
	(void)buf_put_u8(&g->control, (uint8_t)op);
	return buf_put(&g->control, data, len);
}

static int
same(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct ws_events ev = {.data = on_data, .control = on_control};
	struct got whole = {BUF_INIT, BUF_INIT}, bytes = {BUF_INIT, BUF_INIT};
	struct ws_reader r = {0}, s = {0};
	const char *why;
	size_t used, i;
	int status, a, b = 0;

	if (ws_response(data, len, KEY, &used, &status, &why) == WS_ANSWER_OPEN &&
	    (used > len || used > WS_RESPONSE_MAX || status != 101))
		abort();
	a = ws_feed(&r, data, len, &ev, &whole);
	for (i = 0; i < len && b == 0; i++)
		b = ws_feed(&s, data + i, 1, &ev, &bytes);
	if (a != b || !same(&whole.control, &bytes.control) || !same(&whole.data, &bytes.data))
		abort();
	buf_clear(&whole.data);
	buf_clear(&whole.control);
	buf_clear(&bytes.data);
	buf_clear(&bytes.control);
	return 0;
}
