/* The event loop, things to do later, and the server's clock. */
#include <sys/queue.h>

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "tests/sim/loop.h"

struct later {
	TAILQ_ENTRY(later) link;
	void (*fn)(void *);
	void *arg;
	void (*drop)(void *);
	struct event *timer;
};
TAILQ_HEAD(laters, later);

static struct event_base *base;
static struct event *kick;
static struct laters deferred = TAILQ_HEAD_INITIALIZER(deferred);
static struct laters timed = TAILQ_HEAD_INITIALIZER(timed);
static int64_t advance_ms;

/* Runs what was deferred before now; what those defer in turn waits for the next round, so that
 * the network is served in between. */
static void
run_deferred(evutil_socket_t fd, short what, void *arg)
{
	struct laters batch = TAILQ_HEAD_INITIALIZER(batch);
	struct later *l;

	(void)fd;
	(void)what;
	(void)arg;
	TAILQ_CONCAT(&batch, &deferred, link);
	while ((l = TAILQ_FIRST(&batch)) != NULL) {
		TAILQ_REMOVE(&batch, l, link);
		l->fn(l->arg);
		free(l);
	}
}

static void
run_timed(evutil_socket_t fd, short what, void *arg)
{
	struct later *l = arg;

	(void)fd;
	(void)what;
	TAILQ_REMOVE(&timed, l, link);
	event_free(l->timer);
	l->fn(l->arg);
	free(l);
}

int
loop_init(void)
{
	if ((base = event_base_new()) == NULL)
		return -1;
	if ((kick = event_new(base, -1, 0, run_deferred, NULL)) == NULL)
		return -1;
	return 0;
}

void
loop_fini(void)
{
	struct later *l;

	TAILQ_CONCAT(&timed, &deferred, link);
	while ((l = TAILQ_FIRST(&timed)) != NULL) {
		TAILQ_REMOVE(&timed, l, link);
		if (l->timer != NULL)
			event_free(l->timer);
		if (l->drop != NULL)
			l->drop(l->arg);
		free(l);
	}
	if (kick != NULL)
		event_free(kick);
	if (base != NULL)
		event_base_free(base);
	kick = NULL;
	base = NULL;
}

struct event_base *
loop_base(void)
{
	return base;
}

int64_t
loop_now_ms(void)
{
	return clock_wall_ms() + advance_ms;
}

int64_t
loop_now(void)
{
	return loop_now_ms() / 1000;
}

void
loop_advance(int64_t seconds)
{
	advance_ms += seconds * 1000;
}

void
loop_defer(void (*fn)(void *), void *arg, void (*drop)(void *))
{
	struct later *l;

	if ((l = calloc(1, sizeof(*l))) == NULL)
		fatal("later");
	l->fn = fn;
	l->arg = arg;
	l->drop = drop;
	TAILQ_INSERT_TAIL(&deferred, l, link);
	event_active(kick, EV_TIMEOUT, 0);
}

void
loop_after(unsigned ms, void (*fn)(void *), void *arg, void (*drop)(void *))
{
	struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000};
	struct later *l;

	if ((l = calloc(1, sizeof(*l))) == NULL)
		fatal("later");
	l->fn = fn;
	l->arg = arg;
	l->drop = drop;
	if ((l->timer = evtimer_new(base, run_timed, l)) == NULL)
		fatal("timer");
	TAILQ_INSERT_TAIL(&timed, l, link);
	evtimer_add(l->timer, &tv);
}
