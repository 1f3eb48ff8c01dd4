/* Descriptors that come from clients (SCM_RIGHTS): which line they belong to, and how many are
 * held. */
#ifndef WARD_CLIENT_FDS_H
#define WARD_CLIENT_FDS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "apid/rpc/api_table.h"

#define FDS_LINE   API_FDS_MAX /* with one request */
#define FDS_CLIENT 16 /* held of one client: of a line that has not ended and of the next */
#define FDS_ALL    24 /* held of all clients: within what sandbox/policy.c lets apid have */

struct client;

struct client_fds {
	unsigned n;
	struct {
		int fd;
		size_t end; /* the bytes with which it came end here, in the client's buffer */
	} held[FDS_CLIENT];
	/* of the line that is being handled; -1 = taken */
	int line[FDS_LINE];
	unsigned nline;
};

/* Read as recvmsg does, and keep the descriptors that came: `before` bytes are in the buffer
 * already. Returns the bytes, 0 at the end, -1 with errno, or -2 with *why: the client broke the
 * rules, and no descriptor is left. The kernel gives the descriptors of one sendmsg only with bytes
 * of it, and no later ones in the same call: what is read last belongs to them. */
ssize_t client_fds_recv(struct client *c, void *buf, size_t size, size_t before, const char **why);
/* Bytes from..to of the buffer are a line (with its LF) that is to be handled: its descriptors are
 * now to be taken. -1: there are too many of them. */
int client_fds_line(struct client_fds *f, size_t from, size_t to);
/* The i-th of the line, which now belongs to the caller; -1 if there is none. */
int client_fds_take(struct client_fds *f, int64_t i);
/* The line was handled: close what nobody took. Returns how many that were. */
unsigned client_fds_line_end(struct client_fds *f);
/* The first n bytes of the buffer are gone. */
void client_fds_drain(struct client_fds *f, size_t n);
void client_fds_close(struct client_fds *f);

#endif
