/* When to try again: Fibonacci steps with jitter (protocol page 01, section 12). Pure arithmetic.
 */
#ifndef WARD_RECONNECT_H
#define WARD_RECONNECT_H

#include <stdint.h>

struct reconnect {
	int64_t unit_ms, max_ms; /* the first step, the longest */
	int64_t now_ms, next_ms; /* the step to come and the one after it */
	uint32_t attempt;        /* failures since the last reset */
};

void reconnect_init(struct reconnect *r, int64_t unit_ms, int64_t max_ms);
void reconnect_reset(struct reconnect *r);

/* The delay in ms before the next attempt, one step further. random: any 32 bits, for ±10 %. */
int64_t reconnect_next(struct reconnect *r, uint32_t random);
/* The same, but the longest there is: for refusals that time does not heal. */
int64_t reconnect_longest(struct reconnect *r, uint32_t random);
/* At once, without a step; it counts as an attempt. */
void reconnect_at_once(struct reconnect *r);

#endif
