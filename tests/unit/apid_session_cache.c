/* With which devices there is a session, as far as that is remembered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "apid/message/session_cache.h"

static void
remembered(void **state)
{
	struct session_cache *c = session_cache_new();

	assert_false(session_cache_has(c, "15550001111", 0));
	session_cache_add(c, "15550001111", 0);
	assert_true(session_cache_has(c, "15550001111", 0));
	assert_false(session_cache_has(c, "15550001111", 1)); /* each device has its own */
	assert_false(session_cache_has(c, "15550001112", 0));
	session_cache_drop(c, "15550001111", 1);
	assert_true(session_cache_has(c, "15550001111", 0));
	session_cache_drop(c, "15550001111", 0);
	assert_false(session_cache_has(c, "15550001111", 0));
	session_cache_add(c, "15550001111", 0);
	session_cache_clear(c);
	assert_false(session_cache_has(c, "15550001111", 0));
	session_cache_free(c);
}

/* More than it holds: the newest is there, and nobody is who was never added. */
static void
bounded(void **state)
{
	struct session_cache *c = session_cache_new();
	char name[16];
	int there = 0;

	for (unsigned i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "%u", i);
		session_cache_add(c, name, i % 3);
		assert_true(session_cache_has(c, name, i % 3));
		assert_false(session_cache_has(c, name, i % 3 + 1));
	}
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "%u", i);
		there += session_cache_has(c, name, i % 3);
	}
	assert_in_range(there, 1, 1024);
	session_cache_free(c);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(remembered),
	    cmocka_unit_test(bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
