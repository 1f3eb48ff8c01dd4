/* When to try again: Fibonacci steps with jitter. */
#include "netd/reconnect.h"

void
reconnect_init(struct reconnect *r, int64_t unit_ms, int64_t max_ms)
{
	r->unit_ms = unit_ms < max_ms ? unit_ms : max_ms;
	r->max_ms = max_ms;
	reconnect_reset(r);
}

void
reconnect_reset(struct reconnect *r)
{
	r->now_ms = r->next_ms = r->unit_ms;
	r->attempt = 0;
}

/* 900 … 1100 thousandths of it */
static int64_t
jitter(int64_t ms, uint32_t random)
{
	return ms * (900 + (int64_t)(random % 201)) / 1000;
}

int64_t
reconnect_next(struct reconnect *r, uint32_t random)
{
	int64_t delay = r->now_ms, sum = r->now_ms + r->next_ms;

	r->now_ms = r->next_ms;
	r->next_ms = sum < r->max_ms ? sum : r->max_ms;
	reconnect_at_once(r);
	return jitter(delay, random);
}

int64_t
reconnect_longest(struct reconnect *r, uint32_t random)
{
	reconnect_at_once(r);
	return jitter(r->max_ms, random);
}

void
reconnect_at_once(struct reconnect *r)
{
	if (r->attempt < UINT32_MAX)
		r->attempt++;
}
