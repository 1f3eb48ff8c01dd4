/* Benchmark of channels between two processes: round trips and notices a second. */
#include <sys/prctl.h>
#include <sys/socket.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"
#include "ipc/channel.h"
#include "ipc/keyd.pb-c.h"

enum {
	T_ASK = 1,
	T_ANSWER,
	T_NOTICE,
	T_ASK_COUNT,
	T_COUNT
};

#define PAYLOAD 256 /* bytes of text in each message */

struct side {
	struct event_base *base;
	struct channel *ch;
	unsigned long left, flying; /* asker */
	unsigned long notices;      /* answerer */
};

static char text[PAYLOAD + 1];

static int
on_ask(struct message *m, void *owner)
{
	Keyd__PairQrReply a = KEYD__PAIR_QR_REPLY__INIT;

	a.text = pb_str(text);
	return channel_reply(m->channel, m->id, T_ANSWER, &a.base);
}

static int
on_notice(struct message *m, void *owner)
{
	((struct side *)owner)->notices++;
	return 0;
}

/* Answered when all notices before it have been handled. */
static int
on_count(struct message *m, void *owner)
{
	Keyd__Staged a = KEYD__STAGED__INIT;

	a.stages = (uint32_t)((struct side *)owner)->notices;
	return channel_reply(m->channel, m->id, T_COUNT, &a.base);
}

static const struct channel_row rows[] = {
    {T_ASK, "ask", 0, 4096, CHANNEL_ALL_STATES, ROW_REQUEST, &keyd__pair_qr_reply__descriptor,
	on_ask},
    {T_NOTICE, "notice", 0, 4096, CHANNEL_ALL_STATES, 0, &keyd__pair_qr_reply__descriptor,
	on_notice},
    {T_ASK_COUNT, "count", 0, 4096, CHANNEL_ALL_STATES, ROW_REQUEST, &keyd__status__descriptor,
	on_count},
};

static void
on_end(struct channel *ch, void *owner)
{
	event_base_loopbreak(((struct side *)owner)->base);
}

static void
on_broken(struct channel *ch, void *owner, const char *why)
{
	fatalx("the channel broke: %s", why);
}

static void
on_drained(struct channel *ch, void *owner)
{
	event_base_loopbreak(((struct side *)owner)->base);
}

static void
side_open(struct side *s, int fd, const struct channel_row *table, size_t n)
{
	struct channel_config cfg = {.name = "bench", .rows = table, .nrows = n, .owner = s};

	cfg.on_broken = on_broken;
	cfg.on_closed = on_end;
	cfg.on_drained = on_drained;
	if ((s->base = event_base_new()) == NULL ||
	    (s->ch = channel_new(s->base, fd, &cfg)) == NULL)
		fatalx("cannot make the channel");
}

static void
answer(int fd)
{
	struct side s = {0};

	side_open(&s, fd, rows, sizeof(rows) / sizeof(rows[0]));
	event_base_dispatch(s.base);
	channel_free(s.ch);
	event_base_free(s.base);
	exit(0);
}

static void ask(struct side *s);

static void
on_reply(const struct reply *r, void *arg)
{
	struct side *s = arg;

	if (!r->ok)
		fatalx("no answer: %s", r->code);
	s->flying--;
	if (s->left > 0)
		ask(s);
	else if (s->flying == 0)
		event_base_loopbreak(s->base);
}

static void
ask(struct side *s)
{
	Keyd__PairQrReply q = KEYD__PAIR_QR_REPLY__INIT;

	q.text = pb_str(text);
	s->left--;
	s->flying++;
	channel_request(s->ch, T_ASK, &q.base, T_ANSWER, &keyd__pair_qr_reply__descriptor, 4096,
	    30000, on_reply, s);
}

static void
bench_requests(struct side *s, unsigned in_flight, unsigned long total)
{
	int64_t began = clock_mono_ms();
	double seconds;

	s->left = total;
	while (s->flying < in_flight)
		ask(s);
	event_base_dispatch(s->base);
	seconds = (double)(clock_mono_ms() - began) / 1000.0;
	printf("%u in flight: %.0f round trips/s, %.2f us each\n", in_flight,
	    (double)total / seconds, seconds * 1e6 / (double)total);
}

static void
on_counted(const struct reply *r, void *arg)
{
	struct side *s = arg;

	if (!r->ok)
		fatalx("no answer: %s", r->code);
	s->notices = ((const Keyd__Staged *)r->pb)->stages;
	event_base_loopbreak(s->base);
}

static void
bench_notices(struct side *s, unsigned long total)
{
	Keyd__PairQrReply m = KEYD__PAIR_QR_REPLY__INIT;
	int64_t began = clock_mono_ms();
	double seconds;
	unsigned long i;

	m.text = pb_str(text);
	for (i = 0; i < total; i++) {
		channel_notify(s->ch, T_NOTICE, &m.base);
		if (channel_full(s->ch))
			event_base_dispatch(s->base);
	}
	channel_request(s->ch, T_ASK_COUNT, NULL, T_COUNT, &keyd__staged__descriptor, 100, 30000,
	    on_counted, s);
	while (s->notices == 0)
		event_base_dispatch(s->base);
	seconds = (double)(clock_mono_ms() - began) / 1000.0;
	if (s->notices != total)
		fatalx("%lu notices came instead of %lu", s->notices, total);
	printf("notices of %d bytes: %.0f/s, %.2f us each\n", PAYLOAD, (double)total / seconds,
	    seconds * 1e6 / (double)total);
}

int
main(int argc, char **argv)
{
	unsigned long scale = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
	struct side s = {0};
	int fds[2];
	pid_t pid;

	if (scale < 1 || scale > 1000)
		fatalx("usage: ipc_bench [1-1000]");
	memset(text, 'x', PAYLOAD);
	log_open("ipc_bench", -1);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == -1)
		fatal("socketpair");
	if ((pid = fork()) == -1)
		fatal("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(fds[0]);
		answer(fds[1]);
	}
	close(fds[1]);
	alarm(600);
	side_open(&s, fds[0], NULL, 0);
	bench_requests(&s, 1, 50000 * scale);
	bench_requests(&s, 64, 500000 * scale);
	bench_notices(&s, 2000000 * scale);
	channel_free(s.ch);
	event_base_free(s.base);
	return 0;
}
