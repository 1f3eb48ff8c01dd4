/* A descriptor that a client gave to be written to. */
#include "stored/sink.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <unistd.h>

struct wake {
	void (*fn)(void *);
	void *arg;
};

/* ---------------------------------------------------------------- opening */

/* A file system that asks somebody else before a write returns: a server that is away would stop
 * all of stored, and no flag helps. */
static int
elsewhere(int fd)
{
	static const unsigned long kinds[] = {NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, CODA_SUPER_MAGIC,
	    AFS_SUPER_MAGIC, AFS_FS_MAGIC, V9FS_MAGIC, 0x65735546 /* FUSE */, 0xff534d42 /* CIFS */,
	    0xfe534d42 /* SMB 2 */, 0x00c36400 /* Ceph */};
	struct statfs fs;
	size_t i;

	if (fstatfs(fd, &fs) == -1)
		return 1;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (((unsigned long)fs.f_type & 0xffffffff) == kinds[i])
			return 1;
	}
	return 0;
}

static const char *
look(struct sink *k)
{
	struct stat sb;

	if ((k->flags = fcntl(k->fd, F_GETFL)) == -1 || fstat(k->fd, &sb) == -1)
		return "the descriptor cannot be used";
	/* O_PATH alone has the mode of a reader */
	if ((k->flags & O_ACCMODE) != O_WRONLY && (k->flags & O_ACCMODE) != O_RDWR)
		return "the descriptor is not open for writing";
	if (S_ISREG(sb.st_mode)) {
		k->kind = SINK_FILE;
		return elsewhere(k->fd) ? "the file is on a network file system, which may block:"
					  " give a pipe"
					: NULL;
	}
	k->kind = S_ISFIFO(sb.st_mode) ? SINK_PIPE : SINK_SOCKET;
	return S_ISFIFO(sb.st_mode) || S_ISSOCK(sb.st_mode)
		   ? NULL
		   : "the descriptor is not a file, a pipe or a socket";
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct wake *w = arg;

	(void)fd;
	(void)what;
	w->fn(w->arg);
}

static int
watch(struct sink *k, struct event_base *base, void (*fn)(void *), void *arg)
{
	struct wake *w = malloc(sizeof(*w));

	if (w == NULL)
		return -1;
	w->fn = fn;
	w->arg = arg;
	if ((k->writable = event_new(base, k->fd, EV_WRITE, on_event, w)) == NULL) {
		free(w);
		return -1;
	}
	return 0;
}

const char *
sink_open(struct sink *k, int fd, struct event_base *base, void (*on_writable)(void *), void *arg)
{
	const char *why;

	*k = (struct sink){.fd = fd, .flags = -1};
	if ((why = look(k)) == NULL && k->kind != SINK_FILE &&
	    watch(k, base, on_writable, arg) == -1)
		why = "no memory";
	if (why == NULL && k->kind == SINK_PIPE && !(k->flags & O_NONBLOCK) &&
	    fcntl(fd, F_SETFL, k->flags | O_NONBLOCK) == -1)
		why = "the descriptor cannot be made non-blocking";
	if (why != NULL) {
		k->flags = -1;
		sink_close(k);
	}
	return why;
}

void
sink_close(struct sink *k)
{
	struct wake *w;

	if (k->writable != NULL) {
		w = event_get_callback_arg(k->writable);
		event_free(k->writable);
		free(w);
	}
	k->writable = NULL;
	if (k->fd == -1)
		return;
	if (k->kind == SINK_PIPE && k->flags != -1 && !(k->flags & O_NONBLOCK))
		(void)fcntl(k->fd, F_SETFL, k->flags);
	close(k->fd);
	k->fd = -1;
}

/* ---------------------------------------------------------------- writing */

static ssize_t
to_socket(int fd, const struct iovec *iov)
{
	union { /* msghdr knows no const */
		const struct iovec *in;
		struct iovec *out;
	} u = {iov};
	const struct msghdr msg = {.msg_iov = u.out, .msg_iovlen = 1};

	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* The flag of the open file is the client's to change as well, so each write says for itself that
 * it will not wait; where the kernel does not know that for pipes (before 6.4), the flag is looked
 * at each time. */
static ssize_t
to_pipe(struct sink *k, const struct iovec *iov)
{
	ssize_t n;
	int flags;

	if (!k->no_nowait) {
		n = pwritev2(k->fd, iov, 1, -1, RWF_NOWAIT);
		if (n != -1 || (errno != EOPNOTSUPP && errno != ENOSYS))
			return n;
		k->no_nowait = 1;
	}
	if ((flags = fcntl(k->fd, F_GETFL)) == -1)
		return -1;
	if (!(flags & O_NONBLOCK)) {
		errno = EPERM;
		return -1;
	}
	return write(k->fd, iov->iov_base, iov->iov_len);
}

ssize_t
sink_write(struct sink *k, const void *data, size_t n)
{
	union { /* iovec knows no const */
		const void *in;
		void *out;
	} u = {data};
	const struct iovec iov = {u.out, n};
	ssize_t put;

	do {
		put = k->kind == SINK_SOCKET ? to_socket(k->fd, &iov)
		      : k->kind == SINK_PIPE ? to_pipe(k, &iov)
					     : write(k->fd, data, n);
	} while (put == -1 && errno == EINTR);
	if (put == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	return put;
}

int
sink_wait(struct sink *k)
{
	return k->writable != NULL ? event_add(k->writable, NULL) : -1;
}
