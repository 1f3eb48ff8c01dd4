/* Server side of RFC 6455 framing. No I/O of its own: evbuffers in, evbuffers out. */
#ifndef SIM_WS_H
#define SIM_WS_H

#include <stddef.h>
#include <stdint.h>

#include <event2/buffer.h>

enum ws_op {
	WS_CONT = 0,
	WS_TEXT = 1,
	WS_BINARY = 2,
	WS_CLOSE = 8,
	WS_PING = 9,
	WS_PONG = 10
};

#define WS_MAX_MESSAGE (17u * 1024 * 1024)

/* Bytes that arrived on the connection of one client. */
struct ws {
	int fragment_op;   /* opcode of the unfinished message, 0 = none */
	size_t fragmented; /* its bytes so far */
};

/* Takes one whole frame from `in`, unmasks it and appends its payload to `payload`.
 * Returns the opcode (for a continuation: that of its message), WS_MORE if there is no whole frame
 * yet, WS_BAD if the client breaks the protocol. *fin: 1 = the message is complete. */
#define WS_MORE -1
#define WS_BAD  -2
int ws_read(struct ws *w, struct evbuffer *in, struct evbuffer *payload, int *fin);

/* Header of an unmasked server frame for `len` payload bytes; returns its length (2, 4 or 10). */
size_t ws_header(uint8_t out[10], enum ws_op op, size_t len);

/* Sec-WebSocket-Accept for a client's key; out: 29 bytes. */
void ws_accept(const char *key, char out[29]);

#endif
