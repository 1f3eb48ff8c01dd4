/* The bounds of fields: numbers, texts, how many, enums, and messages within messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/pb.h"
#include "keyd/bounds.h"

static const uint8_t bytes[64];

static void
test_numbers(void **state)
{
	static const struct {
		int64_t expires_s;
		int ok;
	} rows[] = {{0, 1}, {2000000000, 1}, {INT64_MAX, 1}, {-1, 0}, {INT64_MIN, 0}};
	Keyd__SecretsKeep q = KEYD__SECRETS_KEEP__INIT;
	Keyd__Secret s = KEYD__SECRET__INIT, *list[17];
	int64_t began = clock_mono_ms();

	q.account = pb_str("main");
	s.name = pb_str("a");
	s.secret = pb_bytes(bytes, 32);
	q.secrets = list;
	for (size_t i = 0; i < 17; i++)
		list[i] = &s;
	q.n_secrets = 16;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		s.expires_s = rows[i].expires_s;
		assert_int_equal(bounds_check(&q.base) == NULL, rows[i].ok);
	}
	assert_true(clock_mono_ms() - began < 1000); /* a number is not counted up to */
	s.expires_s = 0;
	q.n_secrets = 17;
	assert_string_equal(bounds_check(&q.base), "secrets of SecretsKeep is out of its bounds");
	q.n_secrets = 0;
	assert_non_null(bounds_check(&q.base));
	q.n_secrets = 1;
	s.secret.len = 31;
	assert_string_equal(bounds_check(&q.base), "secret of Secret is out of its bounds");
}

static void
test_addresses(void **state)
{
	static const char long_name[] =
	    "12345678901234567890123456789012345678901234567890123456789"
	    "012345678901234567890";
	static const struct {
		const char *name;
		uint32_t device;
		int ok;
	} rows[] = {{"1_1", 0, 1}, {"1", 65535, 1}, {"1", 65536, 0}, {"", 0, 0}, {"a b", 0, 0},
	    {"a/b", 0, 0}, {"a:b", 0, 0}, {"a\x7f", 0, 0}, {"\xc3\xa4", 0, 0}, {long_name, 0, 1},
	    {NULL, 0, 0}};
	Keyd__LidMove q = KEYD__LID_MOVE__INIT;
	Keyd__Move m = KEYD__MOVE__INIT, *list[1] = {&m};
	Keyd__Address from = KEYD__ADDRESS__INIT, to = KEYD__ADDRESS__INIT;
	char too_long[82];

	memset(too_long, 'a', 81);
	too_long[81] = '\0';
	q.account = pb_str("main");
	q.moves = list;
	q.n_moves = 1;
	m.from = &from;
	m.to = &to;
	from.name = pb_str("2");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		to.name = rows[i].name != NULL ? pb_str(rows[i].name) : too_long;
		to.device = rows[i].device;
		if ((bounds_check(&q.base) == NULL) != rows[i].ok)
			fail_msg("row %zu", i);
	}
}

static void
test_enums(void **state)
{
	Keyd__IdentityDecide q = KEYD__IDENTITY_DECIDE__INIT;
	Keyd__IdentityDecision d = KEYD__IDENTITY_DECISION__INIT, *list[1] = {&d};
	Keyd__Address a = KEYD__ADDRESS__INIT;

	q.account = pb_str("main");
	q.decisions = list;
	q.n_decisions = 1;
	d.address = &a;
	a.name = pb_str("1");
	d.key = pb_bytes(bytes, 32);
	for (int state_of = 0; state_of < 6; state_of++) {
		d.state = (Keyd__IdentityState)state_of;
		assert_int_equal(bounds_check(&q.base) == NULL, state_of >= 1 && state_of <= 3);
	}
}

/* Absent is within bounds, and there is nothing to look at behind it. */
static void
test_absent(void **state)
{
	Keyd__NoiseHello q = KEYD__NOISE_HELLO__INIT;

	q.account = pb_str("main");
	assert_null(bounds_check(&q.base));
	q.has_payload = 1;
	assert_non_null(bounds_check(&q.base));
	q.payload = pb_bytes(bytes, 1);
	assert_null(bounds_check(&q.base));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_numbers),
	    cmocka_unit_test(test_addresses),
	    cmocka_unit_test(test_enums),
	    cmocka_unit_test(test_absent),
	};

	return cmocka_run_group_tests_name("keyd: bounds", tests, NULL, NULL);
}
