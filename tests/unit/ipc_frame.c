/* Frames: what is read is what was written, and every bad header, length or descriptor is refused.
 */
#include <sys/socket.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ipc/frame.h"
#include "tests/unit/slow.h"

/* The receiver of these tests: type 1 takes up to 100 bytes, 2 must bring a descriptor, 3 is big.
 */
static unsigned limit_calls;

static int64_t
limit(void *arg, uint32_t type, uint32_t id, uint16_t flags, int *wants_fd)
{
	limit_calls++;
	switch (type) {
	case 1:
		return 100;
	case 2:
		*wants_fd = 1;
		return 100;
	case 3:
		return FRAME_PAYLOAD_MAX;
	default:
		return -1;
	}
}

static int
some_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static int
fd_open(int fd)
{
	return fcntl(fd, F_GETFD) != -1;
}

static void
header(uint8_t h[FRAME_HEADER], uint32_t type, uint32_t len, uint32_t id, uint32_t flags_zero)
{
	const uint32_t words[4] = {type, len, id, flags_zero};
	size_t i;

	for (i = 0; i < FRAME_HEADER; i++)
		h[i] = (uint8_t)(words[i / 4] >> (8 * (3 - i % 4)));
}

static void
test_header_on_the_wire(void **state)
{
	static const uint8_t want[] = {
	    0, 0, 0, 1, 0, 0, 0, 3, 0x01, 0x02, 0x03, 0x04, 0, 1, 0, 0, 'a', 'b', 'c'};
	struct frame_writer *w = frame_writer_new(1000, 10);
	uint8_t got[64];
	const char *why;
	int s[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	assert_int_equal(frame_put(w, 1, 0x01020304, FRAME_REPLY, "abc", 3, -1), 0);
	assert_int_equal(frame_queued(w), sizeof(want));
	assert_int_equal(frame_write(w, s[0], &why), FRAME_OK);
	assert_int_equal(frame_queued(w), 0);
	assert_int_equal(read(s[1], got, sizeof(got)), sizeof(want));
	assert_memory_equal(got, want, sizeof(want));
	frame_writer_free(w);
	close(s[0]);
	close(s[1]);
}

static const struct {
	const char *what;
	uint32_t type, len, id, flags_zero;
	enum frame_status want;
	int asks; /* the limit is asked */
} headers[] = {
    {"empty", 1, 0, 0, 0, FRAME_OK, 1},
    {"request id", 1, 0, 7, 0, FRAME_OK, 1},
    {"reply", 1, 0, 7, 0x00010000, FRAME_OK, 1},
    {"error reply", 1, 0, 7, 0x00030000, FRAME_OK, 1},
    {"error without reply", 1, 0, 7, 0x00020000, FRAME_BROKEN, 0},
    {"reply to nothing", 1, 0, 0, 0x00010000, FRAME_BROKEN, 0},
    {"flag 8", 1, 0, 0, 0x00080000, FRAME_BROKEN, 0},
    {"flag 0x8000", 1, 0, 0, 0x80000000, FRAME_BROKEN, 0},
    {"zero field is not", 1, 0, 0, 1, FRAME_BROKEN, 0},
    {"unknown type", 9, 0, 0, 0, FRAME_BROKEN, 1},
    {"largest", 1, 100, 0, 0, FRAME_AGAIN, 1},
    {"one longer", 1, 101, 0, 0, FRAME_BROKEN, 1},
    {"largest of all", 3, FRAME_PAYLOAD_MAX, 0, 0, FRAME_AGAIN, 1},
    {"longer than any", 3, FRAME_PAYLOAD_MAX + 1, 0, 0, FRAME_BROKEN, 0},
    {"as long as can be said", 3, UINT32_MAX, 0, 0, FRAME_BROKEN, 0},
    {"descriptor said, unwanted", 1, 0, 0, 0x00040000, FRAME_BROKEN, 1},
    {"descriptor wanted, not said", 2, 0, 0, 0, FRAME_BROKEN, 1},
    {"descriptor said, did not come", 2, 0, 0, 0x00040000, FRAME_BROKEN, 1},
};

static void
test_headers(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		struct frame_reader *r = frame_reader_new(limit, NULL);
		const char *why = NULL;
		struct frame f;
		uint8_t h[FRAME_HEADER];
		enum frame_status st;

		header(h, headers[i].type, headers[i].len, headers[i].id, headers[i].flags_zero);
		limit_calls = 0;
		frame_feed(r, h, sizeof(h), -1);
		st = frame_next(r, &f, &why);
		if (st != headers[i].want || limit_calls != (unsigned)headers[i].asks)
			fail_msg("%s: status %d, asked %u", headers[i].what, st, limit_calls);
		if (st == FRAME_OK) {
			assert_int_equal(f.id, headers[i].id);
			assert_int_equal(f.flags, headers[i].flags_zero >> 16);
			frame_clear(&f);
		}
		if (st == FRAME_BROKEN) { /* and it stays so */
			assert_non_null(why);
			assert_int_equal(frame_next(r, &f, &why), FRAME_BROKEN);
		}
		frame_reader_free(r);
	}
}

/* Three frames, cut at every place, and a byte at a time. */
static void
test_cut_anywhere(void **state)
{
	static const uint8_t hello[] = {'h', 'e', 'l', 'l', 'o'};
	uint8_t bytes[3 * FRAME_HEADER + 5 + 0 + 100];
	size_t cut;

	header(bytes, 1, 5, 1, 0);
	memcpy(bytes + 16, hello, sizeof(hello));
	header(bytes + 21, 1, 0, 2, 0);
	header(bytes + 37, 1, 100, 3, 0);
	memset(bytes + 53, 'x', 100);
	for (cut = 0; cut <= sizeof(bytes); cut++) {
		struct frame_reader *r = frame_reader_new(limit, NULL);
		const char *why;
		struct frame f;
		unsigned n = 0;
		size_t at, part = cut;

		for (at = 0; at < sizeof(bytes);
		     at += part, part = cut == 0 ? 1 : sizeof(bytes) - cut) {
			if (part == 0)
				part = 1;
			frame_feed(r, bytes + at, part, -1);
			while (frame_next(r, &f, &why) == FRAME_OK) {
				assert_int_equal(f.id, ++n);
				assert_int_equal(f.len, n == 1 ? 5 : n == 2 ? 0 : 100);
				if (n == 1)
					assert_memory_equal(f.payload, hello, sizeof(hello));
				frame_clear(&f);
			}
		}
		assert_int_equal(n, 3);
		frame_reader_free(r);
	}
}

/* ---------------------------------------------------------------- through a socket */

struct pair {
	int s[2];
	struct frame_reader *r;
	struct frame_writer *w;
};

static void
pair_open(struct pair *p, size_t max_bytes, size_t max_frames)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->s), 0);
	p->r = frame_reader_new(limit, NULL);
	p->w = frame_writer_new(max_bytes, max_frames);
}

static void
pair_close(struct pair *p)
{
	frame_reader_free(p->r);
	frame_writer_free(p->w);
	close(p->s[0]);
	if (p->s[1] != -1)
		close(p->s[1]);
}

/* Both ends by turns until a frame has come through or something else happened. */
static enum frame_status
pump(struct pair *p, struct frame *f, const char **why)
{
	enum frame_status st = FRAME_AGAIN;
	int i;

	for (i = 0; i < 1000 && st == FRAME_AGAIN; i++) {
		enum frame_status sent = frame_write(p->w, p->s[0], why);

		assert_true(sent == FRAME_OK || sent == FRAME_AGAIN);
		st = frame_read(p->r, p->s[1], f, why);
	}
	return st;
}

static void
test_big_frame(void **state)
{
	const size_t len = FRAME_PAYLOAD_MAX;
	uint8_t *data = malloc(len);
	struct pair p;
	const char *why;
	struct frame f;
	size_t i;

	for (i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	pair_open(&p, 2 * len, 10);
	assert_int_equal(frame_put(p.w, 1, 1, 0, "first", 5, -1), 0);
	assert_int_equal(frame_put(p.w, 3, 2, 0, data, len, -1), 0);
	assert_int_equal(frame_put(p.w, 1, 3, 0, "last", 4, -1), 0);
	assert_int_equal(frame_put(p.w, 3, 2, 0, data, len + 1, -1), -1);
	assert_int_equal(pump(&p, &f, &why), FRAME_OK);
	assert_int_equal(f.id, 1);
	frame_clear(&f);
	assert_int_equal(pump(&p, &f, &why), FRAME_OK);
	assert_int_equal(f.len, len);
	assert_memory_equal(f.payload, data, len);
	frame_clear(&f);
	assert_int_equal(pump(&p, &f, &why), FRAME_OK);
	assert_int_equal(f.id, 3);
	assert_memory_equal(f.payload, "last", 4);
	frame_clear(&f);
	pair_close(&p);
	free(data);
}

static void
test_many_frames(void **state)
{
	struct pair p;
	const char *why;
	struct frame f;
	uint32_t i;

	pair_open(&p, 1u << 20, 10000);
	for (i = 1; i <= 10000; i++)
		assert_int_equal(frame_put(p.w, 1, i, 0, "0123456789", i % 11, -1), 0);
	for (i = 1; i <= 10000; i++) {
		assert_int_equal(pump(&p, &f, &why), FRAME_OK);
		assert_int_equal(f.id, i);
		assert_int_equal(f.len, i % 11);
		frame_clear(&f);
	}
	pair_close(&p);
}

static void
test_queue_bounds(void **state)
{
	struct pair p;
	struct frame f;
	const char *why;
	int fd = some_fd();
	unsigned i;

	pair_open(&p, 3 * (FRAME_HEADER + 10), 100);
	for (i = 0; i < 3; i++)
		assert_int_equal(frame_put(p.w, 1, 1, 0, "0123456789", 10, -1), 0);
	assert_int_equal(frame_put(p.w, 1, 1, 0, NULL, 0, -1), -1);
	assert_int_equal(frame_put(p.w, 2, 1, 0, NULL, 0, fd), -1);
	assert_true(fd_open(fd)); /* not taken */
	assert_int_equal(pump(&p, &f, &why), FRAME_OK);
	frame_clear(&f);
	assert_int_equal(frame_put(p.w, 1, 1, 0, "0123456789", 10, -1), 0);
	pair_close(&p);

	pair_open(&p, 1u << 20, 2);
	assert_int_equal(frame_put(p.w, 1, 1, 0, NULL, 0, -1), 0);
	assert_int_equal(frame_put(p.w, 1, 1, 0, NULL, 0, -1), 0);
	assert_int_equal(frame_put(p.w, 1, 1, 0, NULL, 0, -1), -1);
	assert_int_equal(frame_write(p.w, p.s[0], &why), FRAME_OK);
	assert_int_equal(frame_put(p.w, 1, 1, 0, NULL, 0, -1), 0);
	pair_close(&p);
	close(fd);
}

static void
test_peer_gone(void **state)
{
	struct pair p;
	struct frame f;
	const char *why = NULL;

	pair_open(&p, 1000, 10);
	assert_int_equal(frame_put(p.w, 1, 1, 0, "x", 1, -1), 0);
	assert_int_equal(frame_write(p.w, p.s[0], &why), FRAME_OK);
	shutdown(p.s[0], SHUT_WR);
	assert_int_equal(frame_read(p.r, p.s[1], &f, &why), FRAME_OK);
	frame_clear(&f);
	assert_int_equal(frame_read(p.r, p.s[1], &f, &why), FRAME_AGAIN);
	assert_int_equal(frame_read(p.r, p.s[1], &f, &why), FRAME_EOF);
	close(p.s[1]);
	p.s[1] = -1;
	assert_int_equal(frame_put(p.w, 1, 1, 0, "x", 1, -1), 0);
	assert_int_equal(frame_write(p.w, p.s[0], &why), FRAME_EOF);
	pair_close(&p);
}

/* The peer ends after each number of bytes of a frame: only 0 and all of them are a clean end. */
static void
test_end_within_a_frame(void **state)
{
	uint8_t bytes[FRAME_HEADER + 4];
	size_t n;

	header(bytes, 1, 4, 1, 0);
	memset(bytes + FRAME_HEADER, 'b', 4);
	for (n = 0; n <= sizeof(bytes); n++) {
		int clean = n == 0 || n == sizeof(bytes);
		enum frame_status st;
		const char *why = NULL;
		struct pair p;
		struct frame f;

		pair_open(&p, 1000, 10);
		assert_int_equal(write(p.s[0], bytes, n), (ssize_t)n);
		shutdown(p.s[0], SHUT_WR);
		do {
			st = frame_read(p.r, p.s[1], &f, &why);
			if (st == FRAME_OK)
				frame_clear(&f);
		} while (st == FRAME_OK || st == FRAME_AGAIN);
		if (st != (clean ? FRAME_EOF : FRAME_BROKEN))
			fail_msg("after %zu bytes: status %d", n, st);
		pair_close(&p);
	}
}

/* ---------------------------------------------------------------- descriptors */

static void
test_fd_passes(void **state)
{
	struct pair p;
	const char *why;
	struct frame f;
	int pipes[3][2];
	char c;
	int i;

	pair_open(&p, 1u << 20, 1000);
	for (i = 0; i < 3; i++) {
		assert_int_equal(pipe2(pipes[i], O_CLOEXEC), 0);
		assert_int_equal(frame_put(p.w, 1, 1, 0, "before", 6, -1), 0);
		assert_int_equal(frame_put(p.w, 2, 2, 0, "with", 4, pipes[i][1]), 0);
		assert_int_equal(frame_put(p.w, 1, 3, 0, "after", 5, -1), 0);
	}
	for (i = 0; i < 9; i++) {
		char want = (char)('a' + i);

		assert_int_equal(pump(&p, &f, &why), FRAME_OK);
		if (f.type == 2) {
			assert_int_equal(i % 3, 1);
			assert_true(fcntl(f.fd, F_GETFD) & FD_CLOEXEC);
			assert_int_equal(write(f.fd, &want, 1), 1);
			assert_int_equal(read(pipes[i / 3][0], &c, 1), 1);
			assert_int_equal(c, want);
		} else
			assert_int_equal(f.fd, -1);
		frame_clear(&f);
	}
	for (i = 0; i < 3; i++) { /* all copies of the write ends are closed */
		assert_int_equal(read(pipes[i][0], &c, 1), 0);
		close(pipes[i][0]);
	}
	pair_close(&p);
}

/* Send bytes with n descriptors beside them. */
static void
send_fds(int sock, const void *data, size_t len, const int *fds, size_t n)
{
	char control[CMSG_SPACE(16 * sizeof(int))] __attribute__((aligned(8))) = {0};
	struct iovec iov = {(void *)(uintptr_t)data, len};
	struct msghdr mh = {0};
	struct cmsghdr *cm;

	mh.msg_iov = &iov;
	mh.msg_iovlen = 1;
	if (n > 0) {
		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(cm), fds, n * sizeof(int));
	}
	assert_int_equal(sendmsg(sock, &mh, 0), (ssize_t)len);
}

static enum frame_status
read_all(struct pair *p)
{
	enum frame_status st;
	const char *why;
	struct frame f;
	int again = 0;

	do {
		st = frame_read(p->r, p->s[1], &f, &why);
		if (st == FRAME_OK)
			frame_clear(&f);
		again = st == FRAME_AGAIN ? again + 1 : 0;
	} while (st == FRAME_OK || (st == FRAME_AGAIN && again < 3));
	return st;
}

/* Nobody else holds the read end any more when a write to the pipe fails. */
static void
assert_all_closed(int pipe_read, int pipe_write)
{
	char c;

	close(pipe_write);
	assert_int_equal(read(pipe_read, &c, 1), 0);
	close(pipe_read);
}

static void
fd_breach(size_t where, uint32_t type, uint32_t flags_zero, size_t nfds, enum frame_status want)
{
	uint8_t bytes[3 * FRAME_HEADER + 10];
	struct pair p;
	int pipefd[2];
	int fds[16];
	size_t i;

	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	for (i = 0; i < 16; i++)
		fds[i] = pipefd[1];
	pair_open(&p, 1000, 10);
	header(bytes, type, 10, 0, flags_zero);
	memset(bytes + FRAME_HEADER, 0, 10);
	header(bytes + 26, 1, 0, 0, 0);
	header(bytes + 42, 1, 0, 0, 0);
	if (where > 0)
		send_fds(p.s[0], bytes, where, NULL, 0);
	/* let the first part be read alone, so that the second really stands for itself */
	if (where > 0)
		assert_int_equal(
		    read_all(&p), type == 2 && where >= 16 ? FRAME_BROKEN : FRAME_AGAIN);
	send_fds(p.s[0], bytes + where, sizeof(bytes) - where, fds, nfds);
	assert_int_equal(read_all(&p), want);
	pair_close(&p);
	assert_all_closed(pipefd[0], pipefd[1]);
}

static void
test_fd_policy(void **state)
{
	fd_breach(0, 2, 0x00040000, 1, FRAME_AGAIN);   /* as it should be */
	fd_breach(0, 1, 0, 1, FRAME_BROKEN);           /* unasked */
	fd_breach(0, 2, 0x00040000, 0, FRAME_BROKEN);  /* missing */
	fd_breach(0, 2, 0x00040000, 2, FRAME_BROKEN);  /* two */
	fd_breach(0, 2, 0x00040000, 16, FRAME_BROKEN); /* many: truncation */
	fd_breach(8, 2, 0x00040000, 1, FRAME_BROKEN);  /* beside the middle of the header */
	fd_breach(20, 2, 0x00040000, 1, FRAME_BROKEN); /* beside the payload */
	fd_breach(20, 1, 0, 1, FRAME_BROKEN);          /* beside the payload of another */
	fd_breach(26, 1, 0, 1, FRAME_BROKEN);          /* beside a frame without the mark */
}

static void
test_fd_fed(void **state)
{
	struct frame_reader *r = frame_reader_new(limit, NULL);
	uint8_t h[FRAME_HEADER];
	const char *why;
	struct frame f;
	int i, pipefd[2];

	header(h, 2, 0, 0, 0x00040000);
	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	frame_feed(r, h, sizeof(h), dup(pipefd[1]));
	assert_int_equal(frame_next(r, &f, &why), FRAME_OK);
	assert_true(f.fd != -1);
	frame_clear(&f);
	for (i = 0; i < 10; i++)
		frame_feed(r, h, 1, dup(pipefd[1]));
	assert_int_equal(frame_next(r, &f, &why), FRAME_BROKEN);
	frame_reader_free(r);
	assert_all_closed(pipefd[0], pipefd[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_header_on_the_wire),
	    cmocka_unit_test(test_headers),
	    cmocka_unit_test(test_cut_anywhere),
	    cmocka_unit_test(test_big_frame),
	    cmocka_unit_test(test_many_frames),
	    cmocka_unit_test(test_queue_bounds),
	    cmocka_unit_test(test_peer_gone),
	    cmocka_unit_test(test_end_within_a_frame),
	    cmocka_unit_test(test_fd_passes),
	    cmocka_unit_test(test_fd_policy),
	    cmocka_unit_test(test_fd_fed),
	};

	alarm(60 * test_slow());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
