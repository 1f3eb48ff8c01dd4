/* Pacing: buckets, the cap on first contacts; and the table of refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apid/message/pace.h"
#include "apid/message/refusal.h"
#include "common/clock.h"

#define MIN INT64_C(60000)

static void
one_bucket(void **state)
{
	static const struct {
		unsigned rate, burst;
		int64_t at_ms; /* after the last step */
		unsigned take;
		int64_t wait_ms; /* behind it */
	} rows[] = {
	    {60, 2, 0, 0, 0},          /* full */
	    {60, 2, 0, 1, 0},          /* one is left */
	    {60, 2, 0, 1, 1000},       /* none */
	    {60, 2, 999, 0, 1},        /* nearly */
	    {60, 2, 1, 0, 0},          /* one */
	    {60, 2, 0, 1, 1000},       /* taken */
	    {60, 2, 3600000, 2, 1000}, /* never more than the burst */
	    {60, 2, -5000, 0, 1000},   /* a clock that goes back gives nothing */
	    {60, 2, 6000, 0, 0},       /* and takes nothing */
	    {60, 2, 0, 9, 3000},       /* it goes down to a burst below zero */
	    {0, 2, 0, 9, 0},           /* no limit */
	};
	struct bucket b;
	int64_t now = 1000;

	bucket_init(&b, 2, now);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		now += rows[i].at_ms;
		for (unsigned k = 0; k < rows[i].take; k++)
			bucket_take(&b, rows[i].rate, rows[i].burst, now);
		if (bucket_wait_ms(&b, rows[i].rate, rows[i].burst, now) != rows[i].wait_ms)
			fail_msg("row %zu: waits %lld, not %lld", i,
			    (long long)bucket_wait_ms(&b, rows[i].rate, rows[i].burst, now),
			    (long long)rows[i].wait_ms);
	}
	bucket_give(&b, 2);
	assert_int_equal(bucket_wait_ms(&b, 60, 2, now), 2000);
	for (int i = 0; i < 9; i++)
		bucket_give(&b, 2);
	assert_int_equal(b.level, 2 * MIN);
	/* the longest time there is does not overflow */
	(void)bucket_wait_ms(&b, 60000, 10000, INT64_MAX);
	assert_int_equal(b.level, 10000 * MIN);
}

/* In the long run it is the rate, whatever the steps. */
static void
long_run(void **state)
{
	for (unsigned rate = 1; rate <= 1000; rate = rate * 3 + 1) {
		struct bucket b;
		int64_t now = 0;
		unsigned sent = 0;

		bucket_init(&b, 1, 0);
		bucket_take(&b, rate, 1, 0);
		while (now < 60 * MIN) {
			now += bucket_wait_ms(&b, rate, 1, now);
			bucket_take(&b, rate, 1, now);
			sent++;
			assert_true(bucket_wait_ms(&b, rate, 1, now) > 0);
		}
		assert_in_range(sent, rate * 60 * 98 / 100, rate * 60 + 1);
	}
}

static void
chats_and_account(void **state)
{
	static const struct pace_limits l = {
	    .account_rate = 60, .account_burst = 4, .chat_rate = 6, .chat_burst = 2};
	struct pace *p = pace_new(&l, 0);
	char name[32];

	pace_take(p, "a", 0);
	pace_take(p, "a", 0);
	assert_int_equal(pace_chat_ms(p, "a", 0), 10000);
	assert_int_equal(pace_chat_ms(p, "b", 0), 0);
	assert_int_equal(pace_account_ms(p, 0), 0);
	pace_take(p, "b", 0);
	pace_take(p, "c", 0);
	assert_int_equal(pace_account_ms(p, 0), 1000);
	pace_give(p, "c");
	assert_int_equal(pace_account_ms(p, 0), 0);
	pace_give(p, "a");
	assert_int_equal(pace_chat_ms(p, "a", 0), 0);
	pace_block(p, 5000);
	assert_int_equal(pace_account_ms(p, 1000), 4000);
	assert_int_equal(pace_account_ms(p, 5000), 0);
	/* bounded: the chat used longest ago is taken for full */
	pace_take(p, "a", 5000);
	pace_take(p, "a", 5000);
	assert_true(pace_chat_ms(p, "a", 5000) > 0);
	for (unsigned i = 0; i < PACE_CHATS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "n%u", i);
		pace_take(p, name, 5000);
	}
	assert_int_equal(pace_chat_ms(p, "a", 5000), 0);
	pace_free(p);
}

static void
new_people(void **state)
{
	static const struct pace_limits l = {.new_chats = 3};
	static const int64_t known[] = {100, 200, PACE_DAY_MS + 50};
	int64_t now = PACE_DAY_MS + 60;
	struct pace *p = pace_new(&l, 0);

	assert_int_equal(pace_new_ms(p, now), 0);
	pace_firsts_set(p, known, 3);
	assert_int_equal(pace_firsts(p, now), 3);
	assert_int_equal(pace_new_ms(p, now), 40); /* the first is then a day old */
	assert_int_equal(pace_new_ms(p, now + 40), 0);
	pace_first(p, now + 40);
	assert_int_equal(pace_new_ms(p, now + 40), 100);
	/* on their way count as well, and how they end is known soon */
	assert_int_equal(pace_new_ms(p, now + 140), 0);
	pace_reserve(p, 1);
	assert_true(pace_new_ms(p, now + 140) > PACE_DAY_MS - 1000);
	pace_reserve(p, 2);
	assert_in_range(pace_new_ms(p, now + 140), 1, 2000);
	pace_reserve(p, -3);
	assert_int_equal(pace_new_ms(p, now + 140), 0);
	/* a clock that was set back lets nobody in earlier */
	pace_first(p, now + 140);
	assert_true(pace_new_ms(p, 0) >= PACE_DAY_MS);
	/* more than the memory holds */
	for (int64_t i = 0; i < PACE_FIRSTS_MAX + 10; i++)
		pace_first(p, now + i);
	assert_true(pace_firsts(p, now) <= PACE_FIRSTS_MAX);
	assert_true(pace_new_ms(p, now + PACE_FIRSTS_MAX + 10) > 0);
	assert_int_equal(pace_new_ms(p, now + 3 * PACE_DAY_MS), 0);
	pace_free(p);
}

static void
refusals(void **state)
{
	static const struct {
		unsigned code;
		enum refusal_act act;
		const char *word;
		int error;
		const char *reason;
		int retryable;
	} rows[] = {
	    {400, REFUSAL_FAIL, "malformed", -1, "refused", 0},
	    {404, REFUSAL_FORGET, "unknown_recipient", -1, "not_found", 0},
	    {405, REFUSAL_FAIL, "refused", -1, "refused", 0},
	    {406, REFUSAL_FORGET, "unknown_recipient", -1, "not_found", 0},
	    {421, REFUSAL_FAIL, "stale_addressing", -1, "refused", 0},
	    {429, REFUSAL_RATE, "rate_limited", -5, "rate_limited", 1},
	    {463, REFUSAL_ASK, "reachout_timelock", -12, "reachout_timelock", 0},
	    {473, REFUSAL_FAIL, "refused", -1, "refused", 0},
	    {475, REFUSAL_ASK, "new_chats_capped", -12, "new_chats_capped", 0},
	    {479, REFUSAL_FAIL, "schema", -1, "refused", 0},
	    {500, REFUSAL_FAIL, "refused", -1, "refused", 0},
	    {503, REFUSAL_AGAIN, "unavailable", -3, "server_error", 0},
	    {99999, REFUSAL_FAIL, "refused", -1, "refused", 0},
	};
	int64_t until = clock_wall_ms() + 5000;
	struct api_error e;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(refusal_act(rows[i].code), rows[i].act);
		assert_string_equal(refusal_word(rows[i].code), rows[i].word);
		e = refusal_error(rows[i].code, rows[i].word, until);
		assert_int_equal(e.code, rows[i].error);
		assert_string_equal(e.reason, rows[i].reason);
		assert_int_equal(e.retryable, rows[i].retryable);
		assert_int_equal(e.service_code, rows[i].code);
		assert_int_equal(e.until_ms, until);
		assert_int_equal(e.retry_after_ms > 0, rows[i].retryable);
		assert_int_equal(refusal_error(rows[i].code, NULL, 0).until_ms, -1);
	}
	assert_int_equal(refusal_error(429, NULL, 1).retry_after_ms, 0); /* over */
	assert_string_equal(refusal_error(0, "expired", 0).reason, "window_closed");
	assert_string_equal(refusal_error(0, "unlinked", 0).reason, "unlinked");
	assert_int_equal(refusal_error(0, "cancelled", 0).code, -1);
	assert_int_equal(refusal_rate_ms(0), 30000);
	assert_int_equal(refusal_rate_ms(3), 240000);
	assert_int_equal(refusal_rate_ms(4000000000u), 900000);
	assert_int_equal(refusal_again_ms(0), 5000);
	assert_int_equal(refusal_again_ms(4000000000u), 300000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_bucket),
	    cmocka_unit_test(long_run),
	    cmocka_unit_test(chats_and_account),
	    cmocka_unit_test(new_people),
	    cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
