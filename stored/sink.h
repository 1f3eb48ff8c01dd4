/* A descriptor that a client gave to be written to. It can stop taking bytes, go away, or be
 * changed by the client at any time; nothing of that may hold stored up. */
#ifndef WARD_STORED_SINK_H
#define WARD_STORED_SINK_H

#include <sys/types.h>

#include <stddef.h>

#include <event2/event.h>

struct sink {
	int fd;
	enum {
		SINK_FILE, /* takes bytes at once, and is no business of epoll's */
		SINK_PIPE,
		SINK_SOCKET
	} kind;
	int flags;              /* as they were: they belong to all that share the open file */
	int no_nowait;          /* the kernel is too old for it */
	struct event *writable; /* NULL for a file */
};

/* Takes the descriptor in any case. NULL, or why it will not do, for people. */
const char *sink_open(
    struct sink *k, int fd, struct event_base *base, void (*on_writable)(void *), void *arg);
/* How many bytes it took; 0: none now, see sink_wait; -1 with errno. */
ssize_t sink_write(struct sink *k, const void *data, size_t n);
/* Have on_writable called, once, when it takes bytes again. 0 or -1. */
int sink_wait(struct sink *k);
void sink_close(struct sink *k);

#endif
