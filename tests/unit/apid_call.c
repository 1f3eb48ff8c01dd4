/* Calls of clients: ended once, from the loop; those whose client has gone are counted until they
 * end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>

#include "apid/session/call.h"
#include "apid/session/engine.h"

static int told;

static void
done(void *arg, const json_t *result, const struct api_error *err)
{
	told++;
}

static void
left(void **state)
{
	static struct call *calls[CALLS_LEFT_MAX];
	struct service s = {.base = event_base_new()};
	int clients[2];

	for (size_t i = 0; i < CALLS_LEFT_MAX; i++)
		calls[i] = call_new(&s, &clients[i == 0], done, NULL);
	assert_int_equal(call_left(), 0);
	call_cancel_client(&s, &clients[0]);
	call_cancel_client(&s, &clients[0]); /* counted once */
	assert_int_equal(call_left(), CALLS_LEFT_MAX - 1);
	assert_false(engine_full(&s));
	call_cancel_client(&s, &clients[1]);
	assert_true(engine_full(&s));
	call_ok(calls[7], json_true());
	assert_int_equal(call_left(), CALLS_LEFT_MAX - 1);
	assert_false(engine_full(&s));
	for (size_t i = 0; i < CALLS_LEFT_MAX; i++)
		call_failf(calls[i], -3, "offline", 1, "gone");
	assert_int_equal(call_left(), 0);
	event_base_loop(s.base, EVLOOP_NONBLOCK);
	assert_int_equal(told, 0);
	call_ok(call_new(&s, &clients[0], done, NULL), json_true());
	assert_int_equal(told, 0); /* not from inside the caller */
	event_base_loop(s.base, EVLOOP_NONBLOCK);
	assert_int_equal(told, 1);
	call_free_all(&s);
	event_base_free(s.base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(left)};

	return cmocka_run_group_tests_name("apid: calls", tests, NULL, NULL);
}
