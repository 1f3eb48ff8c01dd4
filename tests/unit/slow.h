/* How much slower than usual the machine is: under a sanitizer, under valgrind (WARD_SLOW). */
#ifndef WARD_TEST_SLOW_H
#define WARD_TEST_SLOW_H

#include <stdlib.h>

/* 1 … 100, a factor for deadlines. */
static inline unsigned
test_slow(void)
{
	const char *v = getenv("WARD_SLOW");
	long n = v != NULL ? strtol(v, NULL, 10) : 1;

	return n < 1 ? 1 : n > 100 ? 100 : (unsigned)n;
}

#endif
