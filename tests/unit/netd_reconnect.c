/* Back-off: the Fibonacci sequence, its cap, its jitter, its reset; and the address in the config.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "netd/reconnect.h"
#include "netd/settings.h"

#define MIDDLE 100 /* random % 201 of it = no jitter */

static void
test_sequence(void **state)
{
	static const int64_t seconds[] = {
	    1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 900, 900, 900};
	struct reconnect r;
	size_t i;

	reconnect_init(&r, 1000, 900000);
	for (i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
		assert_int_equal(r.attempt, i);
		assert_int_equal(reconnect_next(&r, MIDDLE), seconds[i] * 1000);
	}
	reconnect_reset(&r);
	assert_int_equal(r.attempt, 0);
	assert_int_equal(reconnect_next(&r, MIDDLE), 1000);
	assert_int_equal(reconnect_next(&r, MIDDLE), 1000);
	assert_int_equal(reconnect_next(&r, MIDDLE), 2000);
}

static void
test_longest_and_at_once(void **state)
{
	struct reconnect r;

	reconnect_init(&r, 50, 700);
	assert_int_equal(reconnect_longest(&r, MIDDLE), 700);
	reconnect_at_once(&r);
	assert_int_equal(r.attempt, 2);
	/* neither is a step */
	assert_int_equal(reconnect_next(&r, MIDDLE), 50);
	assert_int_equal(reconnect_next(&r, MIDDLE), 50);
	assert_int_equal(reconnect_next(&r, MIDDLE), 100);
	/* a unit above the cap is the cap */
	reconnect_init(&r, 1000, 10);
	assert_int_equal(reconnect_next(&r, MIDDLE), 10);
	assert_int_equal(reconnect_next(&r, MIDDLE), 10);
}

static void
test_jitter(void **state)
{
	struct reconnect r;
	int64_t low = INT64_MAX, high = 0, d;
	uint32_t i;

	for (i = 0; i < 201; i++) {
		reconnect_init(&r, 1000, 900000);
		d = reconnect_next(&r, i);
		low = d < low ? d : low;
		high = d > high ? d : high;
	}
	assert_int_equal(low, 900);
	assert_int_equal(high, 1100);
	reconnect_init(&r, 1000, 900000);
	d = reconnect_next(&r, UINT32_MAX);
	assert_true(d >= 900 && d <= 1100);
}

static void
test_many(void **state)
{
	struct reconnect r;
	int i;

	reconnect_init(&r, 3600 * 1000, 86400 * 1000);
	for (i = 0; i < 100000; i++) {
		int64_t d = reconnect_next(&r, (uint32_t)i * 2654435761u);

		assert_true(d >= 3600 * 900 && d <= 86400 * 1100);
	}
	r.attempt = UINT32_MAX;
	reconnect_at_once(&r);
	assert_int_equal(r.attempt, UINT32_MAX);
}

static void
test_url(void **state)
{
	static const struct {
		const char *url, *host, *path;
		unsigned port;
	} rows[] = {
	    {"wss://web.whatsapp.com/ws/chat", "web.whatsapp.com", "/ws/chat", 443},
	    {"wss://web.whatsapp.com:5222/ws/chat", "web.whatsapp.com", "/ws/chat", 5222},
	    {"wss://h", "h", "/", 443},
	    {"wss://h?ED=x", "h", "/?ED=x", 443},
	    {"wss://[::1]:8443/x", "::1", "/x", 8443},
	    {"wss://[2001:db8::1]", "2001:db8::1", "/", 443},
	    {"wss://127.0.0.1:1/", "127.0.0.1", "/", 1},
	    {"ws://h/", NULL, NULL, 0},
	    {"https://h/", NULL, NULL, 0},
	    {"wss://", NULL, NULL, 0},
	    {"wss:///x", NULL, NULL, 0},
	    {"wss://h:/x", NULL, NULL, 0},
	    {"wss://h:0/x", NULL, NULL, 0},
	    {"wss://h:65536/x", NULL, NULL, 0},
	    {"wss://h:12345678901/x", NULL, NULL, 0},
	    {"wss://h:1a/x", NULL, NULL, 0},
	    {"wss://u@h/x", NULL, NULL, 0},
	    {"wss://u:p@h/x", NULL, NULL, 0},
	    {"wss://[::1/x", NULL, NULL, 0},
	    {"wss://[::1]8/x", NULL, NULL, 0},
	    {"wss://[]/x", NULL, NULL, 0},
	    {"wss://h h/x", NULL, NULL, 0},
	    {"wss://h/x y", NULL, NULL, 0},
	    {"wss://h/x\r\nX: y", NULL, NULL, 0},
	    {"wss://h/x#y", NULL, NULL, 0},
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct settings s = {.port = 0};

		print_message("%s\n", rows[i].url);
		assert_int_equal(settings_url(&s, rows[i].url), rows[i].host != NULL ? 0 : -1);
		if (rows[i].host == NULL)
			continue;
		assert_string_equal(s.host, rows[i].host);
		assert_string_equal(s.path, rows[i].path);
		assert_int_equal(s.port, rows[i].port);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sequence),
	    cmocka_unit_test(test_longest_and_at_once),
	    cmocka_unit_test(test_jitter),
	    cmocka_unit_test(test_many),
	    cmocka_unit_test(test_url),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
