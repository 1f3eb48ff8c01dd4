/* WebSocket codec: the examples of RFC 6455, fragments, masks, hostile frames, forged answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "netd/websocket.h"

#define KEY    "dGhlIHNhbXBsZSBub25jZQ==" /* RFC 6455, 1.3 */
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

/* ---------------------------------------------------------------- upgrade */

static void
test_key(void **state)
{
	char key[WS_KEY_TEXT];

	ws_key((const uint8_t *)"the sample nonce", key);
	assert_string_equal(key, KEY);
}

static void
test_request(void **state)
{
	static const struct {
		struct ws_target to;
		const char *text;
	} rows[] = {
	    {{"web.whatsapp.com", "/ws/chat", "https://web.whatsapp.com", "Agent/1", 443},
		"GET /ws/chat HTTP/1.1\r\nHost: web.whatsapp.com\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n"
		"Origin: https://web.whatsapp.com\r\nCache-Control: no-cache\r\nPragma: "
		"no-cache\r\n"
		"User-Agent: Agent/1\r\n\r\n"},
	    {{"::1", "/", "https://o", "", 8443},
		"GET / HTTP/1.1\r\nHost: [::1]:8443\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n"
		"Origin: https://o\r\nCache-Control: no-cache\r\nPragma: no-cache\r\n\r\n"},
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out = BUF_INIT;

		assert_int_equal(ws_request(&out, &rows[i].to, KEY), 0);
		assert_string_equal(buf_cstr(&out), rows[i].text);
		buf_clear(&out);
	}
}

#define OK_HEAD "HTTP/1.1 101 Switching Protocols\r\n"
#define OK_UP   "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define OK_ACC  "Sec-WebSocket-Accept: " ACCEPT "\r\n"

static const struct answer {
	const char *text;
	enum ws_answer answer;
	int status;
	const char *why; /* what it proves */
} answers[] = {
    {OK_HEAD OK_UP OK_ACC "\r\n", WS_ANSWER_OPEN, 101, "plain"},
    {OK_HEAD "upgrade: WebSocket\r\nconnection: keep-alive, Upgrade\r\nServer: x\r\n"
	     "sec-websocket-accept:   " ACCEPT "  \r\n\r\n",
	WS_ANSWER_OPEN, 101, "case, lists, spaces"},
    {"HTTP/1.1 101\r\n" OK_UP OK_ACC "\r\n", WS_ANSWER_OPEN, 101, "no reason phrase"},
    {OK_HEAD OK_UP OK_ACC, WS_ANSWER_MORE, 101, "end of headers missing"},
    {"HTT", WS_ANSWER_MORE, 0, "cut"},
    {"HTTP/1.1 403 Forbidden\r\n", WS_ANSWER_REFUSED, 403, "a refusal by its first line"},
    {"HTTP/1.0 503 x\r\n\r\n", WS_ANSWER_REFUSED, 503, "HTTP/1.0"},
    {"HTTP/1.1 200 OK\r\n" OK_UP OK_ACC "\r\n", WS_ANSWER_REFUSED, 200, "another success"},
    {"HTTP/2 101 x\r\n\r\n", WS_ANSWER_BAD, -1, "another version"},
    {"HTTP/1.1 1o1 x\r\n\r\n", WS_ANSWER_BAD, -1, "no number"},
    {"HTTP/1.1 1010\r\n\r\n", WS_ANSWER_BAD, -1, "four digits"},
    {"HTTP/1.1 099 x\r\n\r\n", WS_ANSWER_BAD, -1, "status below 100"},
    {"SSH-2.0-x\r\n", WS_ANSWER_BAD, 0, "another protocol"},
    {OK_HEAD OK_UP "\r\n", WS_ANSWER_BAD, 101, "no accept"},
    {OK_HEAD OK_UP "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp=\r\n\r\n", WS_ANSWER_BAD, 101,
	"accept forged"},
    {OK_HEAD OK_UP "Sec-WebSocket-Accept: S3PPLMBITXAQ9KYGZZHZRBK+XOO=\r\n\r\n", WS_ANSWER_BAD, 101,
	"accept in another case"},
    {OK_HEAD OK_UP "Sec-WebSocket-Accept: " KEY "\r\n\r\n", WS_ANSWER_BAD, 101, "our key echoed"},
    {OK_HEAD OK_UP OK_ACC OK_ACC "\r\n", WS_ANSWER_BAD, 101, "accept twice"},
    {OK_HEAD "Upgrade: h2c\r\nConnection: Upgrade\r\n" OK_ACC "\r\n", WS_ANSWER_BAD, 101,
	"another upgrade"},
    {OK_HEAD "Upgrade: websocket\r\nConnection: close\r\n" OK_ACC "\r\n", WS_ANSWER_BAD, 101,
	"connection not upgraded"},
    {OK_HEAD "Connection: upgrade\r\n" OK_ACC "\r\n", WS_ANSWER_BAD, 101, "no upgrade header"},
    {OK_HEAD OK_UP OK_ACC "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", WS_ANSWER_BAD,
	101, "extension not offered"},
    {OK_HEAD OK_UP OK_ACC "Sec-WebSocket-Protocol: chat\r\n\r\n", WS_ANSWER_BAD, 101,
	"subprotocol not offered"},
    {OK_HEAD OK_UP OK_ACC "no colon\r\n\r\n", WS_ANSWER_BAD, 101, "malformed header"},
    {OK_HEAD OK_UP OK_ACC ": empty name\r\n\r\n", WS_ANSWER_BAD, 101, "header without name"},
};

static void
test_answers(void **state)
{
	size_t i, used;

	for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		const struct answer *a = &answers[i];
		const char *why;
		int status;

		print_message("%s\n", a->why);
		assert_int_equal(ws_response((const uint8_t *)a->text, strlen(a->text), KEY, &used,
				     &status, &why),
		    a->answer);
		assert_int_equal(status, a->status);
		assert_int_equal(used, a->answer == WS_ANSWER_OPEN ? strlen(a->text) : 0);
		assert_int_equal(why != NULL, a->answer == WS_ANSWER_BAD);
	}
}

/* Byte by byte it stays MORE; bytes behind the headers are not taken; endless headers are refused.
 */
static void
test_answer_in_pieces(void **state)
{
	static const char text[] = OK_HEAD OK_UP OK_ACC "\r\n\x82\x00";
	size_t i, used, all = strlen(OK_HEAD OK_UP OK_ACC "\r\n");
	struct buf big = BUF_INIT;
	const char *why;
	int status;

	for (i = 0; i < all; i++)
		assert_int_equal(ws_response((const uint8_t *)text, i, KEY, &used, &status, &why),
		    WS_ANSWER_MORE);
	assert_int_equal(
	    ws_response((const uint8_t *)text, sizeof(text), KEY, &used, &status, &why),
	    WS_ANSWER_OPEN);
	assert_int_equal(used, all);

	(void)buf_put_str(&big, OK_HEAD "X-Long: ");
	while (big.len <= WS_RESPONSE_MAX)
		(void)buf_put_str(&big, "0123456789abcdef");
	assert_int_equal(ws_response(big.data, big.len, KEY, &used, &status, &why), WS_ANSWER_BAD);
	(void)buf_put_str(&big, "\r\n" OK_UP OK_ACC "\r\n");
	assert_int_equal(ws_response(big.data, big.len, KEY, &used, &status, &why), WS_ANSWER_BAD);
	buf_clear(&big);
}

/* ---------------------------------------------------------------- frames out */

static void
test_put(void **state)
{
	static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
	struct buf out = BUF_INIT;
	uint8_t *big = calloc(1, 65536);
	size_t i;

	assert_int_equal(ws_put(&out, WS_TEXT, "Hello", 5, mask), 0);
	assert_int_equal(out.len, 11);
	assert_memory_equal(out.data, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
	buf_reset(&out);
	assert_int_equal(ws_put(&out, WS_CLOSE, NULL, 0, mask), 0);
	assert_memory_equal(out.data, "\x88\x80\x37\xfa\x21\x3d", 6);
	buf_reset(&out);
	assert_int_equal(ws_put(&out, WS_BINARY, big, 125, mask), 0);
	assert_int_equal(out.len, 6 + 125);
	buf_reset(&out);
	assert_int_equal(ws_put(&out, WS_BINARY, big, 126, mask), 0);
	assert_memory_equal(out.data, "\x82\xfe\x00\x7e\x37\xfa\x21\x3d", 8);
	for (i = 0; i < 126; i++)
		assert_int_equal(out.data[8 + i], mask[i & 3]);
	buf_reset(&out);
	assert_int_equal(ws_put(&out, WS_BINARY, big, 65535, mask), 0);
	assert_memory_equal(out.data, "\x82\xfe\xff\xff", 4);
	buf_reset(&out);
	assert_int_equal(ws_put(&out, WS_BINARY, big, 65536, mask), 0);
	assert_memory_equal(out.data, "\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00\x37", 11);
	free(big);
	buf_clear(&out);
}

/* ---------------------------------------------------------------- frames in */

struct got {
	struct buf data;
	char control[256]; /* "9:Hello 8:03e8" */
	int stop_at;       /* data call that says stop; 0 = never */
	int calls;
};

static int
on_data(void *arg, const uint8_t *data, size_t len)
{
	struct got *g = arg;

	assert_true(len > 0);
	assert_int_equal(buf_put(&g->data, data, len), 0);
	return ++g->calls == g->stop_at ? -1 : 0;
}

static int
on_control(void *arg, enum ws_opcode op, const uint8_t *data, size_t len)
{
	struct got *g = arg;
	size_t at = strlen(g->control), i;

	(void)snprintf(g->control + at, sizeof(g->control) - at, "%x:", (unsigned)op);
	for (i = 0; i < len && i < 20; i++) {
		at = strlen(g->control);
		(void)snprintf(g->control + at, sizeof(g->control) - at, "%02x", data[i]);
	}
	at = strlen(g->control);
	(void)snprintf(g->control + at, sizeof(g->control) - at, " ");
	return 0;
}

static const struct ws_events events = {.data = on_data, .control = on_control};

static const struct stream {
	const char *hex, *data, *control; /* data NULL: refused */
	const char *why;
} streams[] = {
    {"820548656c6c6f", "48656c6c6f", "", "one message"},
    {"02034865 6c80026c6f", "48656c6c6f", "", "two fragments"},
    {"020348656c 8900 0000 80026c6f", "48656c6c6f", "9: ", "ping between fragments"},
    {"8200 820161 8200", "61", "", "empty messages"},
    {"0200 0000 8000 820162", "62", "", "empty fragments"},
    {"810548656c6c6f 820162", "62", "", "text ignored"},
    {"010348656c 80026c6f 820162", "62", "", "text in fragments ignored"},
    {"890548656c6c6f", "", "9:48656c6c6f ", "ping with payload"},
    {"8a00 880203e8", "", "a: 8:03e8 ", "pong, close"},
    {"8800", "", "8: ", "close without a code"},
    {"827e007e " /* 126 bytes */
     "000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
     "000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
     "000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
	"000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
	"000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
	"000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
	"", "16-bit length"},
    {"818537fa213d7f9f4d5158", NULL, "", "masked by the server"},
    {"c20548656c6c6f", NULL, "", "RSV1: compressed"},
    {"a200", NULL, "", "RSV2"},
    {"9200", NULL, "", "RSV3"},
    {"8300", NULL, "", "reserved data opcode"},
    {"8b00", NULL, "", "reserved control opcode"},
    {"8000", NULL, "", "continuation of nothing"},
    {"020161 820162", NULL, "", "new message within a message"},
    {"020161 800162 8000", NULL, "", "continuation after the end"},
    {"0900", NULL, "", "ping in fragments"},
    {"897e0080", NULL, "", "ping of 128 bytes"},
    {"880100", NULL, "", "close of one byte"},
    {"827e0005 48656c6c6f", NULL, "", "16-bit length not needed"},
    {"827f0000000000000005 48656c6c6f", NULL, "", "64-bit length not needed"},
    {"827f000000000000ffff", NULL, "", "64-bit length where 16 do"},
    {"827f8000000000000000", NULL, "", "length with the top bit"},
    {"827f0000000002000001", NULL, "", "longer than we take"},
};

static size_t
unhex(const char *hex, uint8_t *out, size_t size)
{
	size_t len = 0;

	assert_int_equal(sodium_hex2bin(out, size, hex, strlen(hex), " ", &len, NULL), 0);
	return len;
}

/* In pieces of every size the outcome is the same. */
static void
test_streams(void **state)
{
	uint8_t in[512], want[512];
	size_t i, piece, len, at, n;

	for (i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
		const struct stream *s = &streams[i];

		print_message("%s\n", s->why);
		len = unhex(s->hex, in, sizeof(in));
		for (piece = 1; piece <= len; piece++) {
			struct ws_reader r = {0};
			struct got g = {.data = BUF_INIT};
			int result = 0;

			for (at = 0; at < len && result == 0; at += n) {
				n = len - at < piece ? len - at : piece;
				result = ws_feed(&r, in + at, n, &events, &g);
			}
			assert_int_equal(result, s->data == NULL ? -1 : 0);
			if (s->data == NULL) {
				assert_non_null(r.error);
			} else {
				n = unhex(s->data, want, sizeof(want));
				assert_int_equal(g.data.len, n);
				if (n != 0)
					assert_memory_equal(g.data.data, want, n);
				assert_string_equal(g.control, s->control);
			}
			buf_clear(&g.data);
		}
	}
}

static void
test_stop(void **state)
{
	struct ws_reader r = {0};
	struct got g = {.data = BUF_INIT, .stop_at = 1};

	assert_int_equal(ws_feed(&r,
			     (const uint8_t *)"\x82\x01"
					      "a\x82\x01"
					      "b",
			     6, &events, &g),
	    -1);
	assert_null(r.error);
	assert_int_equal(g.data.len, 1);
	buf_clear(&g.data);
}

/* What we send is what a peer that unmasks it would read. */
static void
test_round_trip(void **state)
{
	static const size_t sizes[] = {0, 1, 7, 8, 9, 125, 126, 127, 65535, 65536, 100000};
	size_t i, k;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct buf out = BUF_INIT;
		uint8_t *plain = malloc(sizes[i] + 1), mask[4];
		struct ws_reader r = {0};
		struct got g = {.data = BUF_INIT};
		size_t head;

		randombytes_buf(plain, sizes[i]);
		randombytes_buf(mask, 4);
		assert_int_equal(ws_put(&out, WS_BINARY, plain, sizes[i], mask), 0);
		/* take the mask away as a server would, then read it as a client */
		head = out.len - sizes[i];
		for (k = 0; k < sizes[i]; k++)
			out.data[head + k] ^= out.data[head - 4 + (k & 3)];
		out.data[1] &= 0x7f;
		memmove(out.data + head - 4, out.data + head, sizes[i]);
		assert_int_equal(ws_feed(&r, out.data, out.len - 4, &events, &g), 0);
		assert_int_equal(g.data.len, sizes[i]);
		if (sizes[i] != 0)
			assert_memory_equal(g.data.data, plain, sizes[i]);
		buf_clear(&out);
		buf_clear(&g.data);
		free(plain);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_key),
	    cmocka_unit_test(test_request),
	    cmocka_unit_test(test_answers),
	    cmocka_unit_test(test_answer_in_pieces),
	    cmocka_unit_test(test_put),
	    cmocka_unit_test(test_streams),
	    cmocka_unit_test(test_stop),
	    cmocka_unit_test(test_round_trip),
	};

	if (sodium_init() == -1)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
