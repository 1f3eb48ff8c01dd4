/* Is the connection alive? A ping after a random silence, an answer within a deadline. */
#include <string.h>

#include <sodium.h>

#include "common/clock.h"
#include "netd/keepalive.h"

static void
arm(struct keepalive *k, int64_t ms)
{
	struct timeval tv;

	if (ms < 1)
		ms = 1;
	tv.tv_sec = ms / 1000;
	tv.tv_usec = ms % 1000 * 1000;
	(void)evtimer_add(k->timer, &tv);
}

static void
listen_again(struct keepalive *k)
{
	int64_t span = k->cfg.max_ms - k->cfg.min_ms;

	k->pinged = 0;
	k->wait_ms = k->cfg.min_ms;
	if (span > 0)
		k->wait_ms += randombytes_uniform((uint32_t)span + 1);
	arm(k, k->last_ms + k->wait_ms - clock_mono_ms());
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct keepalive *k = arg;
	int64_t now = clock_mono_ms();

	if (k->blind)
		k->last_ms = now;
	if (now - k->last_ms < k->wait_ms) {
		/* frames came meanwhile; the timer is not moved for each of them */
		if (k->pinged)
			listen_again(k);
		else
			arm(k, k->last_ms + k->wait_ms - now);
		return;
	}
	if (k->pinged) {
		keepalive_stop(k);
		k->cfg.miss(k->arg);
		return;
	}
	k->pinged = 1;
	k->last_ms = now;
	k->wait_ms = k->cfg.deadline_ms;
	arm(k, k->wait_ms);
	k->cfg.ping(k->arg);
}

int
keepalive_init(
    struct keepalive *k, struct event_base *base, const struct keepalive_config *cfg, void *arg)
{
	memset(k, 0, sizeof(*k));
	k->cfg = *cfg;
	k->arg = arg;
	k->timer = evtimer_new(base, on_timer, k);
	return k->timer == NULL ? -1 : 0;
}

void
keepalive_clear(struct keepalive *k)
{
	if (k->timer != NULL)
		event_free(k->timer);
	k->timer = NULL;
}

void
keepalive_start(struct keepalive *k)
{
	k->last_ms = clock_mono_ms();
	k->blind = 0;
	listen_again(k);
}

void
keepalive_stop(struct keepalive *k)
{
	(void)evtimer_del(k->timer);
	k->pinged = 0;
}

void
keepalive_life(struct keepalive *k)
{
	k->last_ms = clock_mono_ms();
	if (k->pinged)
		listen_again(k);
}

void
keepalive_blind(struct keepalive *k, int blind)
{
	if (k->blind && !blind)
		k->last_ms = clock_mono_ms();
	k->blind = blind;
}
