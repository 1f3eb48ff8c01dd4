/* Server side of RFC 6455 framing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <sodium.h>

#include "common/log.h"
#include "tests/sim/ws.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/* XORs the mask over len bytes, eight at a time. */
static void
unmask(uint8_t *p, size_t len, const uint8_t mask[4])
{
	uint64_t m8, v;
	size_t i = 0;

	memcpy(&m8, mask, 4);
	memcpy((uint8_t *)&m8 + 4, mask, 4);
	for (; i + 8 <= len; i += 8) {
		memcpy(&v, p + i, 8);
		v ^= m8;
		memcpy(p + i, &v, 8);
	}
	for (; i < len; i++)
		p[i] ^= mask[i & 3];
}

/* Control frames are short and whole; data frames begin or continue a message. 0 or -1. */
static int
check_op(struct ws *w, int op, int final, uint64_t len)
{
	if (op >= WS_CLOSE)
		return final && len <= 125 && op <= WS_PONG ? 0 : -1;
	if (op > WS_BINARY)
		return -1;
	if ((op == WS_CONT) != (w->fragment_op != 0))
		return -1;
	return len <= WS_MAX_MESSAGE && w->fragmented + len <= WS_MAX_MESSAGE ? 0 : -1;
}

int
ws_read(struct ws *w, struct evbuffer *in, struct evbuffer *payload, int *fin)
{
	uint8_t head[14], *p;
	size_t have = evbuffer_get_length(in), need = 6;
	uint64_t len;
	int op;

	if (have < 2)
		return WS_MORE;
	evbuffer_copyout(in, head, have < sizeof(head) ? have : sizeof(head));
	op = head[0] & 0x0f;
	*fin = (head[0] & 0x80) != 0;
	if ((head[0] & 0x70) != 0 || (head[1] & 0x80) == 0)
		return WS_BAD;
	len = head[1] & 0x7f;
	if (len == 126)
		need = 8;
	else if (len == 127)
		need = 14;
	if (have < need)
		return WS_MORE;
	if (need > 6) {
		len = 0;
		for (size_t i = 2; i < need - 4; i++)
			len = len << 8 | head[i];
	}
	if (check_op(w, op, *fin, len) != 0)
		return WS_BAD;
	if (have - need < len)
		return WS_MORE;
	evbuffer_drain(in, need);
	if (len > 0) {
		if ((p = evbuffer_pullup(in, (ev_ssize_t)len)) == NULL)
			return WS_BAD;
		unmask(p, len, head + need - 4);
		evbuffer_remove_buffer(in, payload, len);
	}
	if (op >= WS_CLOSE)
		return op;
	if (op != WS_CONT)
		w->fragment_op = op;
	op = w->fragment_op;
	w->fragmented = *fin ? 0 : w->fragmented + len;
	if (*fin)
		w->fragment_op = 0;
	return op;
}

size_t
ws_header(uint8_t out[10], enum ws_op op, size_t len)
{
	out[0] = (uint8_t)(0x80 | op);
	if (len < 126) {
		out[1] = (uint8_t)len;
		return 2;
	}
	if (len <= 0xffff) {
		out[1] = 126;
		out[2] = (uint8_t)(len >> 8);
		out[3] = (uint8_t)len;
		return 4;
	}
	out[1] = 127;
	for (int i = 0; i < 8; i++)
		out[2 + i] = (uint8_t)((uint64_t)len >> (8 * (7 - i)));
	return 10;
}

void
ws_accept(const char *key, char out[29])
{
	uint8_t md[20];
	char text[128];
	unsigned n = 0;

	snprintf(text, sizeof(text), "%.64s" GUID, key);
	if (EVP_Digest(text, strlen(text), md, &n, EVP_sha1(), NULL) != 1)
		fatalx("SHA-1 failed");
	sodium_bin2base64(out, 29, md, sizeof(md), sodium_base64_VARIANT_ORIGINAL);
}
