/* What keyd counts, by name, for STATUS. */
#include "keyd/counter.h"

#define COUNTER_NAME(id, name) name,
static const char *const names[COUNTERS] = {COUNTER_LIST(COUNTER_NAME)};
static uint64_t values[COUNTERS];

void
counter_add(enum counter c, uint64_t n)
{
	values[c] += n;
}

uint64_t
counter_get(enum counter c)
{
	return values[c];
}

const char *
counter_name(enum counter c)
{
	return names[c];
}
