/* The reading half of frames: bytes and descriptors of a stream socket -> frames. */
#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/frame.h"

#define READ_STAGE  (256u * 1024) /* bytes taken at once */
#define FDS_WAITING 4             /* honest peers never have more than two on their way */
#define FLAGS_KNOWN (FRAME_REPLY | FRAME_ERROR | FRAME_FD)

/* A descriptor that came with the stream bytes [begin, end): a frame that starts there must own it.
 */
struct fd_waiting {
	int fd;
	uint64_t begin;
	uint64_t end;
};

struct frame_reader {
	frame_limit_fn *limit;
	void *arg;
	uint8_t *stage; /* bytes that came and are not yet used: [pos, len) */
	size_t pos, len, cap;
	uint64_t offset; /* of stage[pos] in the stream */
	struct fd_waiting fds[FDS_WAITING];
	unsigned nfds;
	struct frame cur; /* the frame whose header is complete */
	uint32_t got;     /* bytes of its payload that are here */
	int have_header;
	int took;           /* since AGAIN was last said, bytes were taken from the socket */
	int eof;            /* the peer closed */
	const char *broken; /* sticky */
};

void
frame_clear(struct frame *f)
{
	if (f->payload != NULL) {
		explicit_bzero(f->payload, f->len);
		free(f->payload);
	}
	if (f->fd != -1)
		close(f->fd);
	memset(f, 0, sizeof(*f));
	f->fd = -1;
}

struct frame_reader *
frame_reader_new(frame_limit_fn *limit, void *arg)
{
	struct frame_reader *r;

	if ((r = calloc(1, sizeof(*r))) == NULL)
		return NULL;
	if ((r->stage = malloc(READ_STAGE)) == NULL) {
		free(r);
		return NULL;
	}
	r->cap = READ_STAGE;
	r->limit = limit;
	r->arg = arg;
	r->cur.fd = -1;
	return r;
}

void
frame_reader_free(struct frame_reader *r)
{
	unsigned i;

	if (r == NULL)
		return;
	for (i = 0; i < r->nfds; i++)
		close(r->fds[i].fd);
	frame_clear(&r->cur);
	explicit_bzero(r->stage, r->len);
	free(r->stage);
	free(r);
}

/* Count n bytes of the stage as used; what has been used up is wiped as soon as nothing is left. */
static void
stage_used(struct frame_reader *r, size_t n)
{
	r->pos += n;
	r->offset += n;
	if (r->pos == r->len) {
		explicit_bzero(r->stage, r->len);
		r->pos = r->len = 0;
	}
}

/* Move an unfinished header to the front, so that the whole stage is free behind it. */
static void
stage_compact(struct frame_reader *r)
{
	size_t left = r->len - r->pos;

	if (r->pos == 0)
		return;
	memmove(r->stage, r->stage + r->pos, left);
	explicit_bzero(r->stage + left, r->len - left);
	r->pos = 0;
	r->len = left;
}

static uint32_t
get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint16_t
get_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* Give the current frame the descriptor that it must own. start: where its first byte is in the
 * stream. */
static const char *
take_fd(struct frame_reader *r, uint64_t start, int wants)
{
	int marked = (r->cur.flags & FRAME_FD) != 0;

	if (marked && !wants)
		return "a descriptor with a message that has none";
	if (!marked && wants)
		return "a message without its descriptor";
	if (!marked)
		return NULL;
	if (r->nfds == 0 || r->fds[0].begin > start)
		return "a frame says that it has a descriptor, but none came";
	r->cur.fd = r->fds[0].fd;
	r->nfds--;
	memmove(&r->fds[0], &r->fds[1], r->nfds * sizeof(r->fds[0]));
	return NULL;
}

/* A header is complete at stage[pos]: check all of it before anything is allocated for the payload.
 */
static const char *
take_header(struct frame_reader *r)
{
	const uint8_t *h = r->stage + r->pos;
	struct frame *f = &r->cur;
	uint64_t start = r->offset;
	uint32_t len = get_be32(h + 4);
	int wants_fd = 0;
	int64_t max;
	const char *why;

	f->type = get_be32(h);
	f->id = get_be32(h + 8);
	f->flags = get_be16(h + 12);
	if ((f->flags & ~FLAGS_KNOWN) != 0 || get_be16(h + 14) != 0)
		return "unknown flags in a frame header";
	if ((f->flags & FRAME_ERROR) && !(f->flags & FRAME_REPLY))
		return "an error that answers nothing";
	if ((f->flags & FRAME_REPLY) && f->id == 0)
		return "a reply without a request";
	if (len > FRAME_PAYLOAD_MAX)
		return "a frame is too long";
	if ((max = r->limit(r->arg, f->type, f->id, f->flags, &wants_fd)) < 0)
		return "a message that may not come now";
	if ((int64_t)len > max)
		return "a message is too long";
	if ((why = take_fd(r, start, wants_fd)) != NULL)
		return why;
	if ((f->payload = malloc(len > 0 ? len : 1)) == NULL)
		return "out of memory for a frame";
	f->len = len;
	r->got = 0;
	r->have_header = 1;
	stage_used(r, FRAME_HEADER);
	return NULL;
}

/* Move what is staged into the payload of the current frame. */
static void
take_payload(struct frame_reader *r)
{
	size_t n = r->cur.len - r->got;

	if (n > r->len - r->pos)
		n = r->len - r->pos;
	if (n == 0)
		return;
	memcpy(r->cur.payload + r->got, r->stage + r->pos, n);
	r->got += (uint32_t)n;
	stage_used(r, n);
}

enum frame_status
frame_next(struct frame_reader *r, struct frame *out, const char **why)
{
	if (r->broken == NULL && r->nfds > 0 && r->fds[0].end <= r->offset)
		r->broken = "a descriptor came that no frame owns";
	if (r->broken == NULL && !r->have_header && r->len - r->pos >= FRAME_HEADER)
		r->broken = take_header(r);
	if (r->broken != NULL) {
		*why = r->broken;
		return FRAME_BROKEN;
	}
	if (!r->have_header)
		return FRAME_AGAIN;
	take_payload(r);
	if (r->got < r->cur.len)
		return FRAME_AGAIN;
	*out = r->cur;
	memset(&r->cur, 0, sizeof(r->cur));
	r->cur.fd = -1;
	r->have_header = 0;
	return FRAME_OK;
}

/* Bytes [from, to) of the stream came with this descriptor. */
static void
fd_came(struct frame_reader *r, int fd, uint64_t from, uint64_t to)
{
	if (r->nfds == FDS_WAITING || from == to) {
		close(fd);
		r->broken = "descriptors came that no frame owns";
		return;
	}
	r->fds[r->nfds].fd = fd;
	r->fds[r->nfds].begin = from;
	r->fds[r->nfds].end = to;
	r->nfds++;
}

void
frame_feed(struct frame_reader *r, const void *data, size_t len, int fd)
{
	uint64_t from;

	stage_compact(r);
	from = r->offset + r->len;
	if (len > r->cap - r->len) {
		size_t cap = r->len + len;
		uint8_t *stage = malloc(cap);

		if (stage == NULL) {
			if (fd != -1)
				close(fd);
			r->broken = "out of memory";
			return;
		}
		memcpy(stage, r->stage, r->len);
		explicit_bzero(r->stage, r->len);
		free(r->stage);
		r->stage = stage;
		r->cap = cap;
	}
	if (len > 0)
		memcpy(r->stage + r->len, data, len);
	r->len += len;
	if (fd != -1)
		fd_came(r, fd, from, from + len);
}

/* Take the descriptor out of the control data; more than one is a breach and all are closed. */
static int
control_fd(struct msghdr *mh, const char **why)
{
	struct cmsghdr *c;
	int fd = -1;
	int n = 0;

	for (c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
		size_t i, count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < count; i++) {
			int one;

			memcpy(&one, CMSG_DATA(c) + i * sizeof(int), sizeof(one));
			if (n++ == 0)
				fd = one;
			else
				close(one);
		}
	}
	if (n > 1 || (mh->msg_flags & MSG_CTRUNC)) {
		if (fd != -1)
			close(fd);
		*why = n > 1 ? "more than one descriptor at once" : "control data was truncated";
		return -1;
	}
	return fd;
}

/* One recvmsg: the rest of a long payload straight to its place, all else to the stage. */
static enum frame_status
take_from_socket(struct frame_reader *r, int sock)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov[2];
	struct msghdr mh = {0};
	size_t want = 0, direct;
	uint64_t from;
	ssize_t n;
	int fd;

	stage_compact(r);
	if (r->have_header && r->got < r->cur.len) { /* the stage is empty then */
		want = r->cur.len - r->got;
		iov[mh.msg_iovlen].iov_base = r->cur.payload + r->got;
		iov[mh.msg_iovlen++].iov_len = want;
	}
	iov[mh.msg_iovlen].iov_base = r->stage + r->len;
	iov[mh.msg_iovlen++].iov_len = r->cap - r->len;
	mh.msg_iov = iov;
	mh.msg_control = control.space;
	mh.msg_controllen = CMSG_LEN(sizeof(int));
	do {
		n = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n == -1 && errno == EINTR);
	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return FRAME_AGAIN;
	if (n == -1 && errno != ECONNRESET) {
		r->broken = "cannot read from the socket";
		return FRAME_BROKEN;
	}
	if (n <= 0) { /* the end, also when the peer left with bytes of ours unread */
		r->eof = 1;
		return FRAME_EOF;
	}
	from = r->offset + r->len;
	direct = (size_t)n < want ? (size_t)n : want;
	r->got += (uint32_t)direct;
	r->offset += direct;
	r->len += (size_t)n - direct;
	if ((fd = control_fd(&mh, &r->broken)) != -1)
		fd_came(r, fd, from, from + (uint64_t)n);
	return r->broken == NULL ? FRAME_OK : FRAME_BROKEN;
}

/* The peer is gone: fine between two frames, a breach within one. */
static enum frame_status
at_end(struct frame_reader *r, const char **why)
{
	if (!r->have_header && r->pos == r->len && r->nfds == 0)
		return FRAME_EOF;
	r->broken = "the peer ended within a frame";
	*why = r->broken;
	return FRAME_BROKEN;
}

enum frame_status
frame_read(struct frame_reader *r, int sock, struct frame *out, const char **why)
{
	enum frame_status st;

	for (;;) {
		if ((st = frame_next(r, out, why)) != FRAME_AGAIN)
			return st;
		if (r->eof)
			return at_end(r, why);
		if (r->took) {
			r->took = 0;
			return FRAME_AGAIN;
		}
		if (take_from_socket(r, sock) == FRAME_AGAIN)
			return FRAME_AGAIN;
		r->took = !r->eof;
	}
}
