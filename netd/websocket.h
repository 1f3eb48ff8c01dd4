/* The client side of WebSocket (RFC 6455) as pure functions on bytes: upgrade, frames out, frames
 * in. */
#ifndef WARD_WEBSOCKET_H
#define WARD_WEBSOCKET_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define WS_KEY_TEXT     25          /* 16 bytes in base64, and NUL */
#define WS_RESPONSE_MAX (8u * 1024) /* the answer to the upgrade, with all its headers */
#define WS_CONTROL_MAX  125
#define WS_FRAME_MAX    (32u * 1024 * 1024) /* what one frame of the peer may announce */

enum ws_opcode {
	WS_CONTINUATION = 0x0,
	WS_TEXT = 0x1,
	WS_BINARY = 0x2,
	WS_CLOSE = 0x8,
	WS_PING = 0x9,
	WS_PONG = 0xa
};

/* --- upgrade --- */

/* The request of protocol page 01, section 1. port 443 is left out of Host; user_agent "" leaves
 * the header out. key: from ws_key. */
struct ws_target {
	const char *host, *path, *origin, *user_agent;
	unsigned port;
};
void ws_key(const uint8_t random[16], char key[WS_KEY_TEXT]);
int ws_request(struct buf *out, const struct ws_target *to, const char *key);

enum ws_answer {
	WS_ANSWER_MORE,    /* not complete yet */
	WS_ANSWER_OPEN,    /* 101 and all checks hold; *used = its bytes, the rest are frames */
	WS_ANSWER_REFUSED, /* another status: *status */
	WS_ANSWER_BAD      /* not an answer to our request: *why */
};
/* data: everything that came so far. Refuses extensions and subprotocols, which were not offered.
 */
enum ws_answer ws_response(
    const uint8_t *data, size_t len, const char *key, size_t *used, int *status, const char **why);

/* --- frames out --- */

/* Appends one final, masked frame. mask: 4 fresh random bytes. 0, or -1: does not fit. */
int ws_put(
    struct buf *out, enum ws_opcode op, const void *payload, size_t len, const uint8_t mask[4]);
/* In two steps, for a payload that is made in place: header, then append exactly len bytes, then
 * mask them where they lie. */
int ws_put_header(struct buf *out, enum ws_opcode op, size_t len, const uint8_t mask[4]);
void ws_mask(uint8_t *payload, size_t len, const uint8_t mask[4]);

/* --- frames in --- */

/* data: a piece of a binary message, in order; pieces have nothing to do with frames or messages.
 * control: a whole close, ping or pong frame. Both: 0 to go on, -1 to stop. */
struct ws_events {
	int (*data)(void *arg, const uint8_t *data, size_t len);
	int (*control)(void *arg, enum ws_opcode op, const uint8_t *data, size_t len);
};

struct ws_reader {
	uint8_t head[14];
	size_t nhead;
	int in_payload;
	int opcode, final; /* of the frame that is being read */
	int message;       /* opcode of the message that is open, 0 = none */
	uint64_t left;     /* payload bytes to come */
	uint8_t control[WS_CONTROL_MAX];
	size_t ncontrol;
	uint64_t text_bytes; /* ignored text, for the log */
	const char *error;   /* why ws_feed said -1; NULL if a handler stopped it */
};

/* A zeroed reader is a new one. 0, or -1: broken, or stopped by a handler; do not feed it again. */
int ws_feed(
    struct ws_reader *r, const uint8_t *data, size_t len, const struct ws_events *ev, void *arg);

#endif
