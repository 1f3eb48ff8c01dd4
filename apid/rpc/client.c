/* One connection: lines in, chunks out, and what bounds both. */
#include <sys/socket.h>
#include <sys/uio.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apid/rpc/client.h"
#include "apid/rpc/request.h"
#include "apid/rpc/subscribe.h"
#include "common/clock.h"
#include "common/log.h"

#define READ_PIECE    (64u * 1024)
#define IOV_PIECES    64
#define DRAIN_IDLE_MS 1000
#define DRAIN_MAX     (64u * 1024 * 1024)
#define LOOK_MS       1000 /* how often a client that only listens is looked at */

static void client_read(evutil_socket_t fd, short what, void *arg);
static void client_writable(evutil_socket_t fd, short what, void *arg);
static void client_line_late(evutil_socket_t fd, short what, void *arg);
static void client_stalled(evutil_socket_t fd, short what, void *arg);
static void client_lines(struct client *c);

static void
timer_start(struct event *ev, unsigned ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};

	if (evtimer_add(ev, &tv) == -1)
		fatalx("rpc: cannot set a timer");
}

static void
client_free(struct client *c)
{
	struct event **events[] = {&c->ev_read, &c->ev_line, &c->ev_write, &c->ev_stall};
	struct chunk *ch;

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (*events[i] != NULL)
			event_free(*events[i]);
	while ((ch = STAILQ_FIRST(&c->out)) != NULL) {
		STAILQ_REMOVE_HEAD(&c->out, link);
		buf_clear(&ch->buf);
		free(ch);
	}
	buf_clear(&c->in);
	client_fds_close(&c->fds);
	if (c->fd != -1)
		close(c->fd);
	free(c);
}

struct client *
client_new(struct rpc *r, int fd, const struct peer *peer)
{
	struct event_base *base = r->service->base;
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		close(fd);
		return NULL;
	}
	c->rpc = r;
	c->fd = fd;
	c->peer = *peer;
	c->in.max = r->limits.line_bytes + READ_PIECE;
	STAILQ_INIT(&c->out);
	TAILQ_INIT(&c->requests);
	TAILQ_INIT(&c->subscriptions);
	c->ev_read = event_new(base, fd, EV_READ | EV_PERSIST, client_read, c);
	c->ev_write = event_new(base, fd, EV_WRITE, client_writable, c);
	c->ev_line = evtimer_new(base, client_line_late, c);
	c->ev_stall = evtimer_new(base, client_stalled, c);
	if (c->ev_read == NULL || c->ev_write == NULL || c->ev_line == NULL ||
	    c->ev_stall == NULL || event_add(c->ev_read, NULL) == -1) {
		client_free(c);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&r->clients, c, link);
	r->nclients++;
	return c;
}

static void
client_enter(struct client *c)
{
	c->busy++;
}

static void
client_leave(struct client *c)
{
	if (--c->busy == 0 && c->dead)
		client_free(c);
}

void
client_close(struct client *c, const char *why)
{
	static struct log_limit limit = LOG_LIMIT_INIT;

	if (c->dead)
		return;
	if (why != NULL && log_allowed(&limit))
		log_warnx("client of uid %u (pid %d) closed: %s", (unsigned)c->peer.uid,
		    (int)c->peer.pid, why);
	c->dead = 1;
	client_enter(c);
	TAILQ_REMOVE(&c->rpc->clients, c, link);
	c->rpc->nclients--;
	subscription_close_client(c);
	request_cancel_all(c);
	client_fds_close(&c->fds);
	event_del(c->ev_read);
	event_del(c->ev_write);
	event_del(c->ev_line);
	event_del(c->ev_stall);
	close(c->fd);
	c->fd = -1;
	client_leave(c);
}

/* ------------------------------------------------------------------ writing */

/* Close it, but from the loop: whoever is at work with it finds it whole. */
void
client_doom(struct client *c, const char *why)
{
	if (c->dead)
		return;
	if (c->doomed == NULL)
		c->doomed = why;
	event_active(c->ev_write, EV_WRITE, 0);
}

void
client_put(struct client *c, struct buf *line, enum chunk_kind kind)
{
	struct chunk *ch;

	if (c->dead || c->draining || c->doomed != NULL) {
		buf_clear(line);
		return;
	}
	buf_put_u8(line, '\n');
	if (line->failed || (ch = calloc(1, sizeof(*ch))) == NULL) {
		buf_clear(line);
		client_doom(c, "no memory for its answers");
		return;
	}
	ch->buf = *line;
	ch->kind = kind;
	memset(line, 0, sizeof(*line));
	STAILQ_INSERT_TAIL(&c->out, ch, link);
	if (kind == CHUNK_REPLY)
		c->reply_bytes += ch->buf.len;
	else
		c->event_bytes += ch->buf.len;
	if (c->reply_bytes > c->rpc->limits.unread_bytes + RPC_OUT_SLACK) {
		c->rpc->closed_stalled++;
		client_doom(c, "far too many unread replies");
		return;
	}
	/* from the loop, so that the lines of one turn go out together */
	if (!event_pending(c->ev_write, EV_WRITE, NULL))
		event_active(c->ev_write, EV_WRITE, 0);
}

/* Drop n written bytes from the queue. */
static void
client_wrote(struct client *c, size_t n)
{
	struct chunk *ch;

	while (n > 0 && (ch = STAILQ_FIRST(&c->out)) != NULL) {
		size_t left = ch->buf.len - ch->off, part = n < left ? n : left;

		ch->off += part;
		n -= part;
		if (ch->kind == CHUNK_REPLY)
			c->reply_bytes -= part;
		else
			c->event_bytes -= part;
		if (ch->off < ch->buf.len)
			break;
		STAILQ_REMOVE_HEAD(&c->out, link);
		buf_clear(&ch->buf);
		free(ch);
	}
}

/* 1 = bytes were taken, 0 = the socket is full, -1 = it is broken. */
static int
client_write_some(struct client *c)
{
	struct iovec iov[IOV_PIECES];
	struct msghdr msg = {.msg_iov = iov};
	struct chunk *ch;
	ssize_t n;

	for (ch = STAILQ_FIRST(&c->out); ch != NULL && msg.msg_iovlen < IOV_PIECES;
	     ch = STAILQ_NEXT(ch, link)) {
		iov[msg.msg_iovlen].iov_base = ch->buf.data + ch->off;
		iov[msg.msg_iovlen].iov_len = ch->buf.len - ch->off;
		msg.msg_iovlen++;
	}
	n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n == -1)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	client_wrote(c, (size_t)n);
	return 1;
}

static void
client_finish_if_done(struct client *c)
{
	if (c->dead || !STAILQ_EMPTY(&c->out))
		return;
	if (c->draining == 1) {
		c->draining = 2; /* the error is out: throw away what comes until it is quiet */
		c->scanned = 0;
		(void)shutdown(c->fd, SHUT_WR); /* it may have left */
		timer_start(c->ev_line, DRAIN_IDLE_MS);
	} else if (c->eof && c->in_flight == 0 && c->nsubscriptions == 0 && c->in.len == 0) {
		client_close(c, NULL);
	}
}

/* What was written makes room: for more requests, for more events. Also run when a request ended.
 */
static void
client_writable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	int r = 1, some = 0;

	client_enter(c);
	while (!STAILQ_EMPTY(&c->out) && (r = client_write_some(c)) == 1)
		some = 1;
	if (r == -1 || c->doomed != NULL) {
		client_close(c, c->doomed);
		client_leave(c);
		return;
	}
	if (!STAILQ_EMPTY(&c->out) && event_add(c->ev_write, NULL) == -1)
		client_doom(c, "cannot wait for its socket");
	if (some)
		c->progress_ms = clock_mono_ms();
	if (c->paused)
		client_lines(c);
	if (!c->dead && c->event_bytes < RPC_EVENT_HIGH)
		subscription_pump_client(c);
	client_finish_if_done(c);
	client_leave(c);
}

void
client_flush(struct client *c)
{
	while (!c->dead && !STAILQ_EMPTY(&c->out) && client_write_some(c) == 1)
		;
}

/* ------------------------------------------------------------------ reading */

/* The last word to a client that broke the rules of lines. */
static void
client_last_error(struct client *c, const char *message)
{
	c->rpc->closed_lines++;
	request_answer_error(c, NULL,
	    &(struct api_error){.code = -32600,
		.reason = "request",
		.message = message,
		.retry_after_ms = -1,
		.until_ms = -1});
	subscription_close_client(c);
	request_cancel_all(c);
	event_del(c->ev_stall);
	event_del(c->ev_line);
	buf_reset(&c->in);
	client_fds_close(&c->fds);
	c->draining = 1;
	c->paused = 0;
	if (event_add(c->ev_read, NULL) == -1)
		client_doom(c, "cannot wait for its socket");
}

static int
client_must_pause(const struct client *c)
{
	return c->in_flight >= c->rpc->limits.in_flight ||
	       c->reply_bytes >= c->rpc->limits.unread_bytes;
}

static unsigned
stall_tick(const struct client *c)
{
	unsigned limit = c->rpc->limits.stall_timeout_ms;

	return limit < LOOK_MS ? limit : LOOK_MS;
}

static void
client_pause(struct client *c, int pause)
{
	if (pause == c->paused)
		return;
	c->paused = pause;
	if (pause) {
		event_del(c->ev_read);
		event_del(c->ev_line); /* it is we who do not read */
		c->progress_ms = clock_mono_ms();
		timer_start(c->ev_stall, stall_tick(c));
	} else {
		event_del(c->ev_stall);
		if (!c->eof && event_add(c->ev_read, NULL) == -1)
			client_doom(c, "cannot wait for its socket");
	}
}

/* One line of the buffer with the descriptors that came with it. -1: the client broke the rules. */
static int
client_line(struct client *c, size_t at, size_t len)
{
	int many = client_fds_line(&c->fds, at, at + len + 1) == -1;

	if (!many)
		request_line(c, (const char *)c->in.data + at, len);
	if (client_fds_line_end(&c->fds) == 0 && !many)
		return 0;
	if (!c->dead)
		client_last_error(c, many ? "at most 8 descriptors come with a request"
					  : "descriptors came that no request takes");
	return -1;
}

/* Handle the whole lines in the buffer, as far as the client may ask more. */
static void
client_lines(struct client *c)
{
	size_t done = 0;

	client_pause(c, client_must_pause(c));
	while (!c->paused && !c->draining && c->doomed == NULL && c->in.data != NULL) {
		const uint8_t *from = c->in.data + c->scanned;
		const uint8_t *lf = memchr(from, '\n', c->in.len - c->scanned);
		size_t len = lf != NULL ? (size_t)(lf - c->in.data) - done : c->in.len - done;

		if (len + (lf != NULL) > c->rpc->limits.line_bytes) {
			client_last_error(c, "the line is too long");
			return;
		}
		if (lf == NULL) {
			c->scanned = c->in.len;
			break;
		}
		if (client_line(c, done, len) == -1)
			return;
		done += len + 1;
		c->scanned = done;
		client_pause(c, client_must_pause(c));
	}
	if (c->draining)
		return;
	if (done > 0) {
		buf_drain(&c->in, done);
		client_fds_drain(&c->fds, done);
		c->scanned -= done;
		event_del(c->ev_line);
	}
	if (c->in.len == 0 || (c->eof && !c->paused)) { /* nothing, or a line that will never end */
		buf_clear(&c->in);
		client_fds_close(&c->fds);
		c->in.max = c->rpc->limits.line_bytes + READ_PIECE;
		c->scanned = 0;
	} else if (!c->paused && !evtimer_pending(c->ev_line, NULL)) {
		timer_start(c->ev_line, c->rpc->limits.line_timeout_ms);
	}
}

/* Did it leave, while nothing is read from it? A send of nothing tells. */
static int
client_gone(const struct client *c)
{
	const struct msghdr nothing = {0};

	return sendmsg(c->fd, &nothing, MSG_NOSIGNAL | MSG_DONTWAIT) == -1 && errno == EPIPE;
}

/* It writes no more; it may still wait for answers. */
static void
client_eof(struct client *c)
{
	c->eof = 1;
	event_del(c->ev_read);
	event_del(c->ev_line);
	if (client_gone(c)) {
		client_close(c, NULL);
		return;
	}
	client_lines(c);
	timer_start(c->ev_line, LOOK_MS);
	client_finish_if_done(c);
}

static void
client_drain(struct client *c, size_t n)
{
	c->scanned += n;
	if (c->draining == 1)
		return;
	if (c->scanned > DRAIN_MAX)
		client_close(c, "wrote on after an error");
	else
		timer_start(c->ev_line, DRAIN_IDLE_MS);
}

static void
client_read(evutil_socket_t fd, short what, void *arg)
{
	static uint8_t piece[READ_PIECE]; /* one thread; wiped below */
	struct client *c = arg;
	const char *why = "";
	/* without room for them the kernel gives no descriptors */
	ssize_t n = c->draining ? read(c->fd, piece, sizeof(piece))
				: client_fds_recv(c, piece, sizeof(piece), c->in.len, &why);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	client_enter(c);
	if (n == -2) {
		client_last_error(c, why);
	} else if (n <= 0 && (c->draining || n == -1)) {
		client_close(c, NULL);
	} else if (n == 0) {
		client_eof(c);
	} else if (c->draining) {
		client_drain(c, (size_t)n);
	} else if (buf_put(&c->in, piece, (size_t)n) == -1) {
		client_close(c, "no memory for its requests");
	} else {
		client_lines(c);
	}
	if (n > 0)
		explicit_bzero(piece, (size_t)n);
	client_leave(c);
}

/* ------------------------------------------------------------------ time */

static void
client_line_late(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	client_enter(c);
	if (c->draining) {
		client_close(c, NULL);
	} else if (c->eof) {
		if (client_gone(c))
			client_close(c, NULL);
		else
			timer_start(c->ev_line, LOOK_MS);
	} else {
		client_last_error(c, "the line did not end in time");
	}
	client_leave(c);
}

/* Nothing more is read from it, and it has taken nothing for so long. Requests that wait for the
 * service are no fault of the client: only unread answers are. */
static void
client_stalled(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	client_enter(c);
	if (client_gone(c)) {
		client_close(c, NULL);
	} else if (c->reply_bytes > 0 &&
		   clock_mono_ms() - c->progress_ms >= c->rpc->limits.stall_timeout_ms) {
		c->rpc->closed_stalled++;
		client_close(c, "it does not read its answers");
	} else {
		timer_start(c->ev_stall, stall_tick(c));
	}
	client_leave(c);
}

void
client_request_ended(struct client *c)
{
	if (!c->dead)
		event_active(c->ev_write, EV_WRITE, 0);
}
