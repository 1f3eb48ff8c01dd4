/* The writing half of frames: a bounded queue of frames -> few sendmsg calls. */
#include <sys/queue.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/frame.h"

#define CHUNK_SIZE (32u * 1024) /* small frames share one; a bigger frame has its own */
#define IOV_MAX_   16           /* chunks a call */

/* Whole frames, one behind the other. A descriptor belongs to the first frame of its chunk. */
struct chunk {
	TAILQ_ENTRY(chunk) link;
	size_t size;
	size_t len;
	size_t sent;
	size_t frame; /* where the first frame begins that is not sent to its end */
	int fd;
	uint8_t data[];
};

struct frame_writer {
	TAILQ_HEAD(chunks, chunk) chunks;
	struct chunk *spare; /* one empty chunk of CHUNK_SIZE, to spare malloc */
	size_t max_bytes, max_frames;
	size_t bytes, frames;
};

struct frame_writer *
frame_writer_new(size_t max_bytes, size_t max_frames)
{
	struct frame_writer *w;

	if ((w = calloc(1, sizeof(*w))) == NULL)
		return NULL;
	TAILQ_INIT(&w->chunks);
	w->max_bytes = max_bytes;
	w->max_frames = max_frames;
	return w;
}

static void
chunk_release(struct frame_writer *w, struct chunk *c)
{
	explicit_bzero(c->data, c->len);
	if (c->fd != -1)
		close(c->fd);
	if (w->spare == NULL && c->size == CHUNK_SIZE)
		w->spare = c;
	else
		free(c);
}

void
frame_writer_free(struct frame_writer *w)
{
	struct chunk *c;

	if (w == NULL)
		return;
	while ((c = TAILQ_FIRST(&w->chunks)) != NULL) {
		TAILQ_REMOVE(&w->chunks, c, link);
		chunk_release(w, c);
	}
	free(w->spare);
	free(w);
}

size_t
frame_queued(const struct frame_writer *w)
{
	return w->bytes;
}

/* The chunk that takes a frame of `need` bytes: the last one if it has room, else a new one. */
static struct chunk *
chunk_for(struct frame_writer *w, size_t need, int fd)
{
	struct chunk *c = TAILQ_LAST(&w->chunks, chunks);

	if (c != NULL && fd == -1 && c->size - c->len >= need)
		return c;
	if (w->spare != NULL && need <= CHUNK_SIZE) {
		c = w->spare;
		w->spare = NULL;
	} else {
		size_t size = need > CHUNK_SIZE ? need : CHUNK_SIZE;

		if ((c = malloc(sizeof(*c) + size)) == NULL)
			return NULL;
		c->size = size;
	}
	c->len = c->sent = c->frame = 0;
	c->fd = fd;
	TAILQ_INSERT_TAIL(&w->chunks, c, link);
	return c;
}

static void
put_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static uint32_t
get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

uint8_t *
frame_put_space(
    struct frame_writer *w, uint32_t type, uint32_t id, uint16_t flags, size_t len, int fd)
{
	struct chunk *c;
	uint8_t *at;

	if (len > FRAME_PAYLOAD_MAX || w->frames >= w->max_frames || w->bytes > w->max_bytes ||
	    FRAME_HEADER + len > w->max_bytes - w->bytes)
		return NULL;
	if ((c = chunk_for(w, FRAME_HEADER + len, fd)) == NULL)
		return NULL;
	if (fd != -1)
		flags |= FRAME_FD;
	else
		flags &= (uint16_t)~FRAME_FD;
	at = c->data + c->len;
	put_be32(at, type);
	put_be32(at + 4, (uint32_t)len);
	put_be32(at + 8, id);
	put_be32(at + 12, (uint32_t)flags << 16);
	c->len += FRAME_HEADER + len;
	w->bytes += FRAME_HEADER + len;
	w->frames++;
	return at + FRAME_HEADER;
}

int
frame_put(struct frame_writer *w, uint32_t type, uint32_t id, uint16_t flags, const void *payload,
    size_t len, int fd)
{
	uint8_t *at;

	if ((at = frame_put_space(w, type, id, flags, len, fd)) == NULL)
		return -1;
	if (len > 0)
		memcpy(at, payload, len);
	return 0;
}

/* n bytes of the queue have gone. */
static void
took(struct frame_writer *w, size_t n)
{
	struct chunk *c;

	w->bytes -= n;
	while ((c = TAILQ_FIRST(&w->chunks)) != NULL) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		size_t part = c->len - c->sent;

		if (part > n)
			part = n;
		n -= part;
		c->sent += part;
		if (c->fd != -1 && c->sent > 0) { /* it went with the first byte */
			close(c->fd);
			c->fd = -1;
		}
		while (c->frame + FRAME_HEADER <= c->sent &&
		       c->frame + FRAME_HEADER + get_be32(c->data + c->frame + 4) <= c->sent) {
			c->frame += FRAME_HEADER + get_be32(c->data + c->frame + 4);
			w->frames--;
		}
		if (c->sent < c->len)
			return;
		TAILQ_REMOVE(&w->chunks, c, link);
		chunk_release(w, c);
	}
}

/* One sendmsg with as many chunks as fit; a descriptor must begin a call of its own. */
static ssize_t
send_chunks(struct frame_writer *w, int sock)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov[IOV_MAX_];
	struct msghdr mh = {0};
	struct chunk *c;
	ssize_t n;

	mh.msg_iov = iov;
	TAILQ_FOREACH(c, &w->chunks, link)
	{
		if (mh.msg_iovlen == IOV_MAX_ || (mh.msg_iovlen > 0 && c->fd != -1))
			break;
		if (c->fd != -1) {
			struct cmsghdr *cm;

			memset(&control, 0, sizeof(control));
			mh.msg_control = control.space;
			mh.msg_controllen = sizeof(control.space);
			cm = CMSG_FIRSTHDR(&mh);
			cm->cmsg_level = SOL_SOCKET;
			cm->cmsg_type = SCM_RIGHTS;
			cm->cmsg_len = CMSG_LEN(sizeof(int));
			memcpy(CMSG_DATA(cm), &c->fd, sizeof(int));
		}
		iov[mh.msg_iovlen].iov_base = c->data + c->sent;
		iov[mh.msg_iovlen++].iov_len = c->len - c->sent;
	}
	do {
		n = sendmsg(sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n == -1 && errno == EINTR);
	return n;
}

enum frame_status
frame_write(struct frame_writer *w, int sock, const char **why)
{
	while (!TAILQ_EMPTY(&w->chunks)) {
		ssize_t n = send_chunks(w, sock);

		if (n >= 0) {
			took(w, (size_t)n);
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return FRAME_AGAIN;
		if (errno == EPIPE || errno == ECONNRESET) {
			*why = "the peer is gone";
			return FRAME_EOF;
		}
		*why = "cannot write to the socket";
		return FRAME_BROKEN;
	}
	return FRAME_OK;
}
