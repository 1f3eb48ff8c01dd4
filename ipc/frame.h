/* Frames: bytes of a stream socket <-> (type, request id, flags, payload, one descriptor). Knows
 * nothing of their meaning. */
#ifndef WARD_FRAME_H
#define WARD_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER      16
#define FRAME_PAYLOAD_MAX (17u * 1024 * 1024) /* a stanza of 2^24 bytes fits; tables say less */

/* Header on the wire, big-endian: type u32, payload length u32, request id u32, flags u16, zero
 * u16. */
#define FRAME_REPLY 0x0001u /* answers the request of that id */
#define FRAME_ERROR 0x0002u /* with FRAME_REPLY: payload is an ipc.Error */
#define FRAME_FD    0x0004u /* this frame owns the descriptor that came beside its first byte */

struct frame {
	uint32_t type;
	uint32_t id; /* 0 = a notice, else the request that it asks or answers */
	uint16_t flags;
	uint8_t *payload; /* malloc'd, wiped by frame_clear */
	uint32_t len;
	int fd; /* -1, or owned by the frame */
};
void frame_clear(struct frame *f); /* wipes, frees, closes the descriptor */

/* --- reading --- */
struct frame_reader;
/* Asked as soon as a header is complete and before anything is allocated: the largest payload that
 * this frame may have now, or -1 to refuse it. *wants_fd says whether a descriptor must come. */
typedef int64_t frame_limit_fn(
    void *arg, uint32_t type, uint32_t id, uint16_t flags, int *wants_fd);
struct frame_reader *frame_reader_new(frame_limit_fn *limit, void *arg);
void frame_reader_free(struct frame_reader *r);

enum frame_status {
	FRAME_OK,    /* *out is a frame */
	FRAME_AGAIN, /* nothing complete yet */
	FRAME_EOF,   /* the peer closed, between frames */
	FRAME_BROKEN /* contract broken or socket error: *why */
};
/* Take from the socket (non-blocking, recvmsg with MSG_CMSG_CLOEXEC, truncation is FRAME_BROKEN)
 * and give one frame. Call until it says AGAIN, then wait for the socket: between two AGAINs it
 * takes from the socket only once, about 256 KiB, so that no peer keeps the loop for itself. */
enum frame_status frame_read(struct frame_reader *r, int sock, struct frame *out, const char **why);
/* The same from memory, for tests and the fuzzer: feeds bytes (and a descriptor or -1, owned). */
void frame_feed(struct frame_reader *r, const void *data, size_t len, int fd);
enum frame_status frame_next(struct frame_reader *r, struct frame *out, const char **why);

/* --- writing --- */
struct frame_writer;
/* max_bytes, max_frames: bounds of the queue; a put beyond them fails. */
struct frame_writer *frame_writer_new(size_t max_bytes, size_t max_frames);
void frame_writer_free(struct frame_writer *w);
/* Queue a frame; the payload is copied; fd (or -1) is owned by the queue on success. 0, or -1:
 * full. */
int frame_put(struct frame_writer *w, uint32_t type, uint32_t id, uint16_t flags,
    const void *payload, size_t len, int fd);
/* The same, but the caller writes the `len` payload bytes at the place that is returned, before the
 * next call on this queue. NULL: full. Spares a copy of what may be secret. */
uint8_t *frame_put_space(
    struct frame_writer *w, uint32_t type, uint32_t id, uint16_t flags, size_t len, int fd);
size_t frame_queued(const struct frame_writer *w); /* bytes */
/* Write what the socket takes, many frames a call. FRAME_OK = all gone, FRAME_AGAIN, FRAME_BROKEN,
 * FRAME_EOF = the peer has closed its end (EPIPE). */
enum frame_status frame_write(struct frame_writer *w, int sock, const char **why);

#endif
