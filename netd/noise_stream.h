/* The stream of Noise frames inside the WebSocket (protocol page 01, sections 2 and 4.3): intro,
 * lengths, reassembly, and after the handshake AES-256-GCM. The handshake itself is keyd's. */
#ifndef WARD_NOISE_STREAM_H
#define WARD_NOISE_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#include "common/buf.h"

#define NOISE_KEY         32
#define NOISE_TAG         16
#define NOISE_ROUTING_MAX 1024
#define NOISE_FRAME_MAX   ((1u << 24) - 1)
#define NOISE_EARLY_MAX   (64u * 1024) /* largest frame before login is complete */

enum noise_mode {
	NOISE_HANDSHAKE, /* payloads come as they are, one by one: after each the stream is held */
	NOISE_TRAFFIC
};

struct noise_stream {
	enum noise_mode mode;
	int held;         /* bytes are kept, none is looked at, until noise_go_on or keys */
	size_t limit;     /* largest payload now */
	struct buf in;    /* the frame that is not complete, or all that is held */
	struct buf plain; /* the frame that is being delivered */
	EVP_CIPHER_CTX *tx, *rx;
	uint32_t tx_n, rx_n;
	const char *error; /* why -1 */
	/* One payload or plaintext. 0 to go on, -1 to stop. */
	int (*frame)(void *arg, const uint8_t *data, size_t len);
	void *arg;
};

void noise_init(struct noise_stream *s, int (*frame)(void *, const uint8_t *, size_t), void *arg);
void noise_clear(struct noise_stream *s); /* wipes; then noise_init may follow */

/* First bytes of a connection: pre-intro if there is routing information of 1..1024 bytes, intro,
 * and the client hello. 0 or -1. */
int noise_put_hello(
    struct buf *out, const void *routing, size_t nrouting, const void *hello, size_t len);
/* A frame that is not encrypted (client finish). */
int noise_put_plain(struct buf *out, const void *data, size_t len);

/* Both counters start at 0 and what is held goes through. 0, or -1 as noise_feed. The caller wipes
 * its copies of the keys. */
int noise_set_keys(
    struct noise_stream *s, const uint8_t tx[NOISE_KEY], const uint8_t rx[NOISE_KEY]);

/* Appends length and ciphertext of one stanza. -1: too big, counter used up, or no memory. */
int noise_seal(struct noise_stream *s, const void *data, size_t len, struct buf *out);
#define NOISE_SEALED_SIZE(len) (3 + (len) + NOISE_TAG)

/* Bytes from the peer, split anywhere. -1: the stream is broken (s->error) or a handler stopped it
 * (s->error NULL). A frame above `limit` but within the format holds the stream. */
int noise_feed(struct noise_stream *s, const uint8_t *data, size_t len);
/* New limit, and go on with what is held. */
int noise_go_on(struct noise_stream *s, size_t limit);

#endif
