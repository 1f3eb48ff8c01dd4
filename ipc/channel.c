/* Channels: frames on libevent. Life, reading, writing, requests; what may come is in dispatch.c.
 */
#include <sys/socket.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "ipc/channel_private.h"
#include "ipc/ipc.pb-c.h"

#define OUT_MAX_DEFAULT  (16u * 1024 * 1024)
#define OUT_HIGH_DEFAULT (4u * 1024 * 1024)
#define OUT_MAX_FRAMES   262144
#define OUT_FLUSH_AT     (64u * 1024) /* written at once, without waiting for the turn's end */
#define REQUESTS_MAX     4096

static void on_readable(evutil_socket_t fd, short what, void *arg);
static void on_writable(evutil_socket_t fd, short what, void *arg);
static void on_later(evutil_socket_t fd, short what, void *arg);
static void on_deadline(evutil_socket_t fd, short what, void *arg);

/* ---------------------------------------------------------------- life */

static int
rows_sane(const struct channel_config *cfg)
{
	size_t i, k;

	for (i = 0; i < cfg->nrows; i++) {
		const struct channel_row *r = &cfg->rows[i];

		if (r->run == NULL || r->desc == NULL || r->name == NULL || r->min > r->max ||
		    r->max > FRAME_PAYLOAD_MAX)
			return 0;
		for (k = 0; k < i; k++)
			if (cfg->rows[k].type == r->type)
				return 0;
	}
	return 1;
}

static int
channel_open(struct channel *ch, struct event_base *base)
{
	if ((ch->name = strdup(ch->cfg.name != NULL ? ch->cfg.name : "channel")) == NULL ||
	    (ch->seen = calloc(ch->cfg.nrows + 1, 1)) == NULL ||
	    requests_init(&ch->requests) == -1 ||
	    (ch->reader = frame_reader_new(dispatch_limit, ch)) == NULL ||
	    (ch->writer = frame_writer_new(ch->cfg.out_max_bytes, OUT_MAX_FRAMES)) == NULL ||
	    (ch->ev_read = event_new(base, ch->fd, EV_READ | EV_PERSIST, on_readable, ch)) ==
		NULL ||
	    (ch->ev_write = event_new(base, ch->fd, EV_WRITE, on_writable, ch)) == NULL ||
	    (ch->ev_later = event_new(base, -1, 0, on_later, ch)) == NULL ||
	    (ch->ev_deadline = event_new(base, -1, 0, on_deadline, ch)) == NULL ||
	    event_add(ch->ev_read, NULL) == -1)
		return -1;
	return 0;
}

static void
free_event(struct event **ev)
{
	if (*ev != NULL)
		event_free(*ev);
	*ev = NULL;
}

/* The last reference is gone. */
static void
channel_destroy(struct channel *ch)
{
	free_event(&ch->ev_read);
	free_event(&ch->ev_write);
	free_event(&ch->ev_later);
	free_event(&ch->ev_deadline);
	frame_reader_free(ch->reader);
	frame_writer_free(ch->writer);
	if (ch->requests.buckets != NULL)
		requests_fini(&ch->requests);
	free(ch->seen);
	free(ch->name);
	free(ch);
}

void
channel_ref(struct channel *ch)
{
	ch->refs++;
}

void
channel_unref(struct channel *ch)
{
	if (--ch->refs == 0)
		channel_destroy(ch);
}

struct channel *
channel_new(struct event_base *base, int fd, const struct channel_config *cfg)
{
	struct channel *ch;

	if (!rows_sane(cfg)) {
		log_errx("%s: the table of messages is wrong", cfg->name);
		return NULL;
	}
	if ((ch = calloc(1, sizeof(*ch))) == NULL)
		return NULL;
	ch->cfg = *cfg;
	if (ch->cfg.out_max_bytes == 0)
		ch->cfg.out_max_bytes = OUT_MAX_DEFAULT;
	if (ch->cfg.out_high == 0)
		ch->cfg.out_high = OUT_HIGH_DEFAULT;
	if (ch->cfg.max_requests == 0)
		ch->cfg.max_requests = REQUESTS_MAX;
	ch->fd = fd;
	ch->refs = 1;
	ch->state = 1;
	ch->armed = INT64_MAX;
	if (channel_open(ch, base) == -1) {
		log_errx("%s: cannot make the channel", cfg->name);
		channel_destroy(ch);
		return NULL;
	}
	return ch;
}

/* Tell those whose request has failed; what they ask meanwhile has a later id and is told later. */
static void
tell_failed(struct channel *ch)
{
	uint32_t last = ch->requests.last_id;
	struct request *r;

	while ((r = TAILQ_FIRST(&ch->requests.failed)) != NULL && (int32_t)(r->id - last) <= 0) {
		struct reply reply = {0, NULL, r->code, "the other process is gone"};
		channel_reply_fn *fn = r->fn;
		void *arg = r->arg;

		if (strcmp(r->code, "busy") == 0)
			reply.text = "too many requests are in flight";
		requests_remove(&ch->requests, r);
		fn(&reply, arg);
	}
}

static void
fail_all(struct channel *ch)
{
	struct request *r;

	while ((r = TAILQ_FIRST(&ch->requests.flying)) != NULL)
		requests_fail(&ch->requests, r, "closed");
	tell_failed(ch);
}

void
channel_close(struct channel *ch)
{
	if (ch == NULL || ch->dead)
		return;
	ch->dead = 1;
	channel_ref(ch); /* one of those who are told may free it */
	free_event(&ch->ev_read);
	free_event(&ch->ev_write);
	free_event(&ch->ev_later);
	if (ch->armed != INT64_MAX)
		event_del(ch->ev_deadline);
	ch->armed = INT64_MAX;
	frame_reader_free(ch->reader);
	frame_writer_free(ch->writer);
	ch->reader = NULL;
	ch->writer = NULL;
	close(ch->fd);
	ch->fd = -1;
	fail_all(ch);
	channel_unref(ch);
}

void
channel_free(struct channel *ch)
{
	if (ch == NULL || ch->freed)
		return;
	ch->freed = 1;
	channel_close(ch);
	/* somebody may have asked anew: then the timer is armed and holds a reference */
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the owner's reference is dropped below */
	if (ch->armed == INT64_MAX)
		free_event(&ch->ev_deadline);
	channel_unref(ch);
}

/* Come back from the loop, in this turn. */
static void
later(struct channel *ch)
{
	if (ch->ev_later != NULL && !ch->later) {
		ch->later = 1;
		event_active(ch->ev_later, EV_TIMEOUT, 0);
	}
}

/* No byte more is read or written; the owner is told from the loop. */
static void
channel_end(struct channel *ch)
{
	ch->ended = 1;
	event_del(ch->ev_read);
	event_del(ch->ev_write);
	later(ch);
}

void
channel_break(struct channel *ch, int quiet, const char *fmt, ...)
{
	va_list ap;

	if (ch->dead || ch->ended)
		return;
	va_start(ap, fmt);
	vsnprintf(ch->why, sizeof(ch->why), fmt, ap);
	va_end(ap);
	if (!quiet)
		log_errx("%s: %s", ch->name, ch->why);
	ch->broken = 1;
	channel_end(ch);
}

/* ---------------------------------------------------------------- state and back-pressure */

void
channel_set_state(struct channel *ch, unsigned state_bit)
{
	if (state_bit == 0 || (state_bit & (state_bit - 1)) != 0)
		fatalx("%s: state %#x is not one bit", ch->name, state_bit);
	ch->state = state_bit;
}

unsigned
channel_state(const struct channel *ch)
{
	return ch->state;
}

void
channel_pause(struct channel *ch)
{
	if (ch->pauses++ == 0 && !ch->dead && !ch->ended)
		event_del(ch->ev_read);
}

void
channel_resume(struct channel *ch)
{
	if (ch->pauses == 0 || --ch->pauses > 0 || ch->dead || ch->ended)
		return;
	event_add(ch->ev_read, NULL);
	ch->read_on = 1; /* whole frames may wait in the reader, where no event tells of them */
	later(ch);
}

const char *
channel_name(const struct channel *ch)
{
	return ch->name;
}

int
channel_full(const struct channel *ch)
{
	return ch->writer != NULL && frame_queued(ch->writer) > ch->cfg.out_high;
}

size_t
channel_in_flight(const struct channel *ch)
{
	return ch->requests.nheap;
}

/* ---------------------------------------------------------------- reading */

static void
read_frames(struct channel *ch)
{
	if (ch->reading)
		return;
	ch->reading = 1;
	while (!ch->dead && !ch->ended && ch->pauses == 0) {
		const char *why = "";
		struct frame f;
		enum frame_status st;

		ch->refused[0] = '\0';
		st = frame_read(ch->reader, ch->fd, &f, &why);
		if (st == FRAME_AGAIN)
			break;
		if (st == FRAME_OK)
			dispatch_frame(ch, &f);
		else if (st == FRAME_EOF)
			channel_end(ch);
		else if (ch->refused[0] != '\0')
			channel_break(ch, 0, "%s", ch->refused);
		else
			channel_break(
			    ch, 0, "%s%s%s", ch->context, ch->context[0] != '\0' ? ": " : "", why);
	}
	ch->reading = 0;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct channel *ch = arg;

	(void)fd;
	(void)what;
	channel_ref(ch);
	read_frames(ch);
	channel_unref(ch);
}

/* ---------------------------------------------------------------- writing */

static void
flush(struct channel *ch)
{
	const char *why = "";

	if (ch->dead || ch->ended || ch->gone || ch->blocked)
		return;
	switch (frame_write(ch->writer, ch->fd, &why)) {
	case FRAME_OK:
		break;
	case FRAME_AGAIN:
		ch->blocked = 1;
		event_add(ch->ev_write, NULL);
		break;
	case FRAME_EOF: /* what the peer sent before it left is still read, then its end */
		ch->gone = 1;
		break;
	case FRAME_BROKEN:
		channel_break(ch, 0, "%s", why);
		break;
	}
	if (ch->full && frame_queued(ch->writer) < ch->cfg.out_high / 2) {
		ch->full = 0;
		ch->drained = 1;
		later(ch);
	}
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct channel *ch = arg;

	(void)fd;
	(void)what;
	ch->blocked = 0;
	flush(ch);
}

/* Pack straight into the queue. 0, or -1: the channel is ended, or now broken. */
static int
put(struct channel *ch, uint32_t type, uint32_t id, uint16_t flags, const ProtobufCMessage *m,
    int fd)
{
	uint8_t *at;
	size_t len;

	if (ch->dead || ch->ended || ch->gone)
		return -1;
	len = m != NULL ? protobuf_c_message_get_packed_size(m) : 0;
	if ((at = frame_put_space(ch->writer, type, id, flags, len, fd)) == NULL) {
		channel_break(ch, 0,
		    "the output queue is full: type %u, %zu bytes, %zu queued of at most %zu", type,
		    len, frame_queued(ch->writer), ch->cfg.out_max_bytes);
		return -1;
	}
	if (m != NULL)
		protobuf_c_message_pack(m, at);
	if (channel_full(ch))
		ch->full = 1;
	if (ch->blocked)
		return 0;
	if (frame_queued(ch->writer) > OUT_FLUSH_AT)
		flush(ch);
	else
		later(ch);
	return 0;
}

int
channel_notify(struct channel *ch, uint32_t type, const ProtobufCMessage *m)
{
	return put(ch, type, 0, 0, m, -1);
}

int
channel_notify_fd(struct channel *ch, uint32_t type, const ProtobufCMessage *m, int fd)
{
	return put(ch, type, 0, 0, m, fd);
}

int
channel_reply(struct channel *ch, uint32_t id, uint32_t type, const ProtobufCMessage *m)
{
	if (id == 0)
		fatalx("%s: a reply to a notice, type %u", ch->name, type);
	return put(ch, type, id, FRAME_REPLY, m, -1);
}

int
channel_reply_error(struct channel *ch, uint32_t id, const char *code, const char *fmt, ...)
{
	Ipc__Error e = IPC__ERROR__INIT;
	char short_code[CHANNEL_CODE_MAX + 1];
	char text[CHANNEL_TEXT_MAX + 1];
	va_list ap;

	if (id == 0)
		fatalx("%s: an error reply to a notice, %s", ch->name, code);
	snprintf(short_code, sizeof(short_code), "%s", code);
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	e.code = short_code;
	e.text = text;
	return put(ch, 0, id, FRAME_REPLY | FRAME_ERROR, &e.base, -1);
}

/* ---------------------------------------------------------------- what was put off */

static void
tell_owner(struct channel *ch)
{
	ch->told = 1;
	if (ch->broken && ch->cfg.on_broken != NULL)
		ch->cfg.on_broken(ch, ch->cfg.owner, ch->why);
	else if (!ch->broken && ch->cfg.on_closed != NULL)
		ch->cfg.on_closed(ch, ch->cfg.owner);
	if (!ch->dead) /* the owner keeps it: nobody must wait for answers that cannot come */
		fail_all(ch);
}

static void
on_later(evutil_socket_t fd, short what, void *arg)
{
	struct channel *ch = arg;

	(void)fd;
	(void)what;
	channel_ref(ch);
	ch->later = 0;
	if (ch->read_on) {
		ch->read_on = 0;
		read_frames(ch);
	}
	flush(ch);
	if (ch->drained && !ch->dead && !ch->ended) {
		ch->drained = 0;
		if (ch->cfg.on_drained != NULL)
			ch->cfg.on_drained(ch, ch->cfg.owner);
	}
	if (ch->ended && !ch->dead && !ch->told)
		tell_owner(ch);
	channel_unref(ch);
}

/* ---------------------------------------------------------------- requests */

/* Have the timer fire at `when` or earlier. A dead channel is kept by it until it has fired. */
static void
arm(struct channel *ch, int64_t when)
{
	int64_t wait = when - clock_mono_ms();
	struct timeval tv;

	if (when >= ch->armed)
		return;
	if (wait < 0)
		wait = 0;
	tv.tv_sec = (time_t)(wait / 1000);
	tv.tv_usec = (suseconds_t)(wait % 1000 * 1000);
	if (ch->dead && ch->armed == INT64_MAX)
		channel_ref(ch);
	ch->armed = when;
	event_add(ch->ev_deadline, &tv);
}

static void
time_out(struct channel *ch)
{
	struct reply reply = {0, NULL, "timeout", "the other process did not answer in time"};
	int64_t now = clock_mono_ms();
	struct request *r;

	while (!ch->dead && (r = requests_earliest(&ch->requests)) != NULL && r->deadline <= now) {
		channel_reply_fn *fn = r->fn;
		void *arg = r->arg;

		requests_let_go(&ch->requests, r);
		fn(&reply, arg);
	}
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct channel *ch = arg;
	int dead = ch->dead;
	struct request *r;

	(void)fd;
	(void)what;
	if (!dead) /* a dead one is held by this timer */
		channel_ref(ch);
	ch->armed = INT64_MAX;
	tell_failed(ch);
	time_out(ch);
	if (!ch->dead && (r = requests_earliest(&ch->requests)) != NULL)
		arm(ch, r->deadline);
	if (dead && ch->freed && ch->armed == INT64_MAX)
		free_event(&ch->ev_deadline);
	channel_unref(ch);
}

uint32_t
channel_request(struct channel *ch, uint32_t type, const ProtobufCMessage *m, uint32_t reply_type,
    const ProtobufCMessageDescriptor *desc, uint32_t reply_max, unsigned deadline_ms,
    channel_reply_fn *fn, void *arg)
{
	return channel_request_fd(
	    ch, type, m, -1, reply_type, desc, reply_max, deadline_ms, fn, arg);
}

uint32_t
channel_request_fd(struct channel *ch, uint32_t type, const ProtobufCMessage *m, int fd,
    uint32_t reply_type, const ProtobufCMessageDescriptor *desc, uint32_t reply_max,
    unsigned deadline_ms, channel_reply_fn *fn, void *arg)
{
	int64_t deadline = clock_mono_ms() + deadline_ms;
	const char *code = NULL;
	struct request *r;

	if (channel_in_flight(ch) >= ch->cfg.max_requests)
		code = "busy";
	if ((r = requests_add(&ch->requests, deadline)) == NULL)
		fatalx("%s: out of memory for a request", ch->name);
	r->reply_type = reply_type;
	r->reply_max = reply_max;
	r->desc = desc;
	r->fn = fn;
	r->arg = arg;
	if (code == NULL && put(ch, type, r->id, 0, m, fd) == -1)
		code = "closed";
	if (code != NULL) {
		if (fd != -1)
			close(fd);
		requests_fail(&ch->requests, r, code);
		arm(ch, 0);
		return 0;
	}
	arm(ch, deadline);
	return r->id;
}

void
channel_cancel(struct channel *ch, uint32_t id)
{
	struct request *r;

	if (id == 0)
		return;
	if ((r = requests_find(&ch->requests, id)) != NULL) {
		if (r->state == REQUEST_FLYING)
			requests_let_go(&ch->requests, r);
		return;
	}
	TAILQ_FOREACH(r, &ch->requests.failed, link) /* the channel ends, and it is not told yet */
	if (r->id == id) {
		requests_remove(&ch->requests, r);
		return;
	}
}
