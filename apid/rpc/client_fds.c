/* Descriptors that come from clients (SCM_RIGHTS): which line they belong to, and how many are
 * held. */
#include <sys/socket.h>

#include <string.h>
#include <unistd.h>

#include "apid/rpc/client.h"

#define NO_FEATURE  "descriptors are taken only after server.hello agreed on the feature fd"
#define TOO_MANY    "at most 8 descriptors come with a request"
#define TOO_MANY_IN "too many descriptors are waiting for their requests"

static unsigned held_of_all;

static void
let_go(int fd)
{
	close(fd);
	held_of_all--;
}

static void
close_list(const int *fds, unsigned n)
{
	while (n > 0)
		close(fds[--n]);
}

/* The descriptors of a message; all that came are in the list, whatever else is wrong. */
static unsigned
descriptors_of(struct msghdr *msg, int fds[FDS_LINE])
{
	unsigned n = 0;

	for (struct cmsghdr *cm = CMSG_FIRSTHDR(msg); cm != NULL; cm = CMSG_NXTHDR(msg, cm)) {
		size_t bytes = cm->cmsg_len - CMSG_LEN(0);

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < bytes / sizeof(int) && n < FDS_LINE; i++)
			memcpy(&fds[n++], CMSG_DATA(cm) + i * sizeof(int), sizeof(int));
	}
	return n;
}

static const char *
refusal(const struct client *c, const struct msghdr *msg, unsigned n)
{
	if (msg->msg_flags & MSG_CTRUNC) /* more of them, or no number is free for them */
		return c->takes_fds ? TOO_MANY : NO_FEATURE;
	if (n > 0 && !c->takes_fds)
		return NO_FEATURE;
	if (c->fds.n + n > FDS_CLIENT || held_of_all + n > FDS_ALL)
		return TOO_MANY_IN;
	return NULL;
}

ssize_t
client_fds_recv(struct client *c, void *buf, size_t size, size_t before, const char **why)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_LINE * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = buf, .iov_len = size};
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes)};
	struct client_fds *f = &c->fds;
	int fds[FDS_LINE];
	ssize_t got = recvmsg(c->fd, &msg, MSG_CMSG_CLOEXEC);
	unsigned n;

	if (got == -1)
		return -1;
	n = descriptors_of(&msg, fds);
	if ((*why = refusal(c, &msg, n)) != NULL) {
		close_list(fds, n);
		client_fds_close(f);
		return -2;
	}
	for (unsigned i = 0; i < n; i++) {
		f->held[f->n].fd = fds[i];
		f->held[f->n++].end = before + (size_t)got;
	}
	held_of_all += n;
	return got;
}

int
client_fds_line(struct client_fds *f, size_t from, size_t to)
{
	unsigned left = 0, many = 0;

	f->nline = 0;
	for (unsigned i = 0; i < f->n; i++) {
		if (f->held[i].end <= from || f->held[i].end > to)
			f->held[left++] = f->held[i];
		else if (f->nline < FDS_LINE)
			f->line[f->nline++] = f->held[i].fd;
		else {
			let_go(f->held[i].fd);
			many = 1;
		}
	}
	f->n = left;
	return many ? -1 : 0;
}

int
client_fds_take(struct client_fds *f, int64_t i)
{
	int fd;

	if (i < 0 || i >= (int64_t)f->nline || (fd = f->line[i]) == -1)
		return -1;
	f->line[i] = -1;
	held_of_all--;
	return fd;
}

unsigned
client_fds_line_end(struct client_fds *f)
{
	unsigned untaken = 0;

	for (unsigned i = 0; i < f->nline; i++)
		if (f->line[i] != -1) {
			let_go(f->line[i]);
			untaken++;
		}
	f->nline = 0;
	return untaken;
}

void
client_fds_drain(struct client_fds *f, size_t n)
{
	for (unsigned i = 0; i < f->n; i++)
		f->held[i].end -= n;
}

void
client_fds_close(struct client_fds *f)
{
	(void)client_fds_line_end(f);
	while (f->n > 0)
		let_go(f->held[--f->n].fd);
}
