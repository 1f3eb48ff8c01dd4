/* The descriptors that a process holds, checked by number and kind against the table. */
#include "sandbox/sandbox.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const kind_names[] = {
    [FD_NULL] = "null",
    [FD_PACKET] = "packet socket",
    [FD_STREAM] = "socket",
    [FD_LISTENING] = "listening socket",
    [FD_PIPE] = "pipe",
    [FD_DIR] = "folder",
    [FD_READABLE] = "file",
    [FD_ANON] = "event",
};

static int
sock_opt(int fd, int opt)
{
	int v = -1;
	socklen_t len = sizeof(v);

	if (getsockopt(fd, SOL_SOCKET, opt, &v, &len) == -1)
		return (-1);
	return (v);
}

static int
is_unix(int fd, int type, int listening)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (sock_opt(fd, SO_DOMAIN) != AF_UNIX || sock_opt(fd, SO_TYPE) != type ||
	    sock_opt(fd, SO_ACCEPTCONN) != listening)
		return (0);
	return (listening || getpeername(fd, (struct sockaddr *)&ss, &len) == 0);
}

static int
is_kind(int fd, enum policy_fd_kind kind)
{
	struct stat st;
	int flags;

	if (fstat(fd, &st) == -1 || (flags = fcntl(fd, F_GETFL)) == -1)
		return (0);
	switch (kind) {
	case FD_NULL:
		return (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
	case FD_PACKET:
		return (is_unix(fd, SOCK_SEQPACKET, 0));
	case FD_STREAM:
		return (is_unix(fd, SOCK_STREAM, 0));
	case FD_LISTENING:
		return (is_unix(fd, SOCK_STREAM, 1));
	case FD_PIPE:
		return (S_ISFIFO(st.st_mode));
	case FD_DIR:
		return (S_ISDIR(st.st_mode));
	case FD_READABLE:
		return ((S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode)) &&
			(flags & O_ACCMODE) == O_RDONLY);
	case FD_ANON:
		return ((st.st_mode & S_IFMT) == 0);
	}
	return (0);
}

static void
note(struct sandbox_state *out, int fd, const char *name)
{
	if (out->nopen == SANDBOX_OPEN_MAX)
		return;
	out->open[out->nopen].fd = fd;
	out->open[out->nopen].name = name;
	out->nopen++;
}

/* One open descriptor: in the table, or one of the few that libraries may hold. */
static int
check_one(const struct policy *pol, int fd, unsigned *used, struct sandbox_state *out, char *err)
{
	const struct policy_fd *f;
	const struct policy_extra *x;

	for (f = pol->fds; f->name != NULL; f++) {
		if (f->fd != fd || f->early) /* the number of an early one may be in use again */
			continue;
		if (!is_kind(fd, f->kind)) {
			snprintf(err, SANDBOX_ERR, "descriptor %d (%s) is no %s", fd, f->name,
			    kind_names[f->kind]);
			return (-1);
		}
		note(out, fd, f->name);
		return (0);
	}
	for (x = pol->extras; x->reason != NULL; x++) {
		if (used[x->kind] < x->max && is_kind(fd, x->kind)) {
			used[x->kind]++;
			note(out, fd, kind_names[x->kind]);
			return (0);
		}
	}
	snprintf(
	    err, SANDBOX_ERR, "descriptor %d is not in the table of %s", fd, role_name(pol->role));
	return (-1);
}

int
descriptors_check(const struct policy *pol, struct sandbox_state *out, char *err)
{
	unsigned used[FD_ANON + 1] = {0};
	const struct policy_fd *f;
	struct rlimit lim;
	int fd;

	if (pol->fds == NULL)
		return (0);
	if (getrlimit(RLIMIT_NOFILE, &lim) == -1 || lim.rlim_cur > INT_MAX) {
		snprintf(err, SANDBOX_ERR, "cannot tell how many descriptors there may be");
		return (-1);
	}
	/* a limit closes nothing: what is above it goes now */
	if (syscall(SYS_close_range, (unsigned)lim.rlim_cur, ~0u, 0u) == -1) {
		snprintf(err, SANDBOX_ERR, "close_range: %s", strerror(errno));
		return (-1);
	}
	for (fd = 0; fd < (int)lim.rlim_cur; fd++) {
		if (fcntl(fd, F_GETFD) == -1)
			continue;
		if (check_one(pol, fd, used, out, err) == -1)
			return (-1);
	}
	for (f = pol->fds; f->name != NULL; f++) {
		if (!f->early && fcntl(f->fd, F_GETFD) == -1) {
			snprintf(err, SANDBOX_ERR, "descriptor %d (%s) is missing", f->fd, f->name);
			return (-1);
		}
	}
	return (0);
}
