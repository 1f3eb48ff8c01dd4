/* Fuzz: any bytes from the peer of a channel that has a table and requests in flight. */
#include <sys/socket.h>

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/log.h"
#include "ipc/channel.h"
#include "ipc/keyd.pb-c.h"
#include "ipc/stored.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	T_NOTICE = 1,
	T_ASK,
	T_ANSWER,
	T_FD,
	T_ONCE,
	T_STATE,
	T_STAGE,
	T_HOLD
};

#define REQUESTS 4

struct target {
	struct channel *ch;
	struct message *held;
	unsigned answers, ends;
};

static int
on_any(struct message *m, void *owner)
{
	struct target *t = owner;

	if (m->pb == NULL || (m->fd != -1) != (m->type == T_FD))
		abort();
	if (m->type == T_STATE)
		channel_set_state(m->channel, channel_state(m->channel) == 1 ? 2 : 1);
	if (m->type == T_ASK)
		return channel_reply_error(m->channel, m->id, "no", "%u", m->id) == -1 ? -1 : 0;
	if (m->type == T_HOLD) {
		message_release(t->held);
		t->held = message_hold(m);
	}
	return 0;
}

static void
on_reply(const struct reply *r, void *arg)
{
	struct target *t = arg;

	if (r->ok ? r->pb == NULL : (r->code == NULL || r->text == NULL))
		abort();
	t->answers++;
}

static void
on_broken(struct channel *ch, void *owner, const char *why)
{
	((struct target *)owner)->ends++;
}

static void
on_closed(struct channel *ch, void *owner)
{
	((struct target *)owner)->ends++;
}

#define OPEN &keyd__account_open__descriptor
static const struct channel_row rows[] = {
    {T_NOTICE, "notice", 2, 100, CHANNEL_ALL_STATES, 0, OPEN, on_any},
    {T_ASK, "ask", 2, 100, CHANNEL_ALL_STATES, ROW_REQUEST, OPEN, on_any},
    {T_FD, "fd", 2, 100, CHANNEL_ALL_STATES, ROW_FD, OPEN, on_any},
    {T_ONCE, "once", 2, 100, CHANNEL_ALL_STATES, ROW_ONCE, OPEN, on_any},
    {T_STATE, "state", 0, 100, 1, 0, &keyd__status__descriptor, on_any},
    {T_STAGE, "stage", 0, 5000, 2, 0, &stored__stage__descriptor, on_any},
    {T_HOLD, "hold", 2, 100, CHANNEL_ALL_STATES, ROW_REQUEST, OPEN, on_any},
};

/* All is written at once and the end closed; a byte at the front says how many bytes come with a
 * descriptor beside them. */
static void
write_all(int peer, const uint8_t *data, size_t size)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
	size_t n = size > 0 ? data[0] : 0;
	struct iovec iov;
	struct msghdr mh = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control,
	    .msg_controllen = sizeof(control)};
	struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);

	if (size < 2 || size > 60000)
		return;
	data++;
	size--;
	n = n < size ? n : size;
	if (n > 0) {
		iov = (struct iovec){(void *)(uintptr_t)data, n};
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cm), &peer, sizeof(int));
		if (sendmsg(peer, &mh, 0) != (ssize_t)n)
			abort();
	}
	if (size > n && write(peer, data + n, size - n) != (ssize_t)(size - n))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct event_base *base;
	struct target t = {0};
	struct channel_config cfg = {
	    .name = "fuzz", .rows = rows, .nrows = sizeof(rows) / sizeof(rows[0])};
	int i, s[2];

	if (base == NULL) {
		log_open("fuzz", open("/dev/null", O_WRONLY | O_CLOEXEC));
		base = event_base_new();
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, s) == -1)
		abort();
	cfg.owner = &t;
	cfg.on_broken = on_broken;
	cfg.on_closed = on_closed;
	t.ch = channel_new(base, s[0], &cfg);
	for (i = 0; i < REQUESTS; i++)
		channel_request(t.ch, 99, NULL, T_ANSWER, &keyd__pair_qr_reply__descriptor, 100,
		    60000, on_reply, &t);
	channel_cancel(t.ch, 1); /* of that one the answer would come late */
	write_all(s[1], data, size);
	shutdown(s[1], SHUT_WR);
	for (i = 0; i < 1000 && t.ends == 0; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	if (t.ends != 1)
		abort(); /* neither broken nor closed, or twice */
	channel_free(t.ch);
	message_release(t.held);
	close(s[1]);
	if (t.answers != REQUESTS - 1)
		abort(); /* each is told once, whatever the peer does */
	return 0;
}
