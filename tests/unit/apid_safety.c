/* Safety numbers: against the numeric fingerprint of libsignal-protocol-c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "apid/message/safety.h"

static struct safety_side alice, bob;

static void
fill(struct safety_side *s, const char *number, const char *lid, const uint8_t *first, size_t n)
{
	uint8_t key[32];

	memset(s, 0, sizeof(*s));
	s->number = number;
	s->lid = lid;
	for (size_t i = 0; i < n; i++) {
		memset(key, first[i], 32);
		assert_int_equal(safety_add(s, key), 0);
		assert_int_equal(safety_add(s, key), 0); /* twice is once */
	}
	assert_int_equal(s->n, n);
}

/* What fingerprint_generator_create_for_list says of these keys, 5200 iterations, scannable version
 * 0. */
static const char digits_of_list[] = "126752087670419179209800513783890849627890303487848972418730";
static const char qr_of_list[] =
    "0800124f0a42053b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b0540404040404040"
    "4040"
    "404040404040404040404040404040404040404040404012093439313531303030311a2e0a21053636363636363636"
    "36"
    "36363636363636363636363636363636363636363636361209343931353130303032";

static void
test_as_libsignal(void **state)
{
	static const uint8_t orders[2][2] = {{0x40, 0x3b}, {0x3b, 0x40}}, his[] = {0x36};
	char digits[SAFETY_DIGITS + 1], hex[1024];
	struct buf qr = BUF_INIT;

	for (size_t i = 0; i < 2; i++) {
		fill(&alice, "491510001", "", orders[i], 2);
		fill(&bob, "491510002", "", his, 1);
		safety_digits(&alice, &bob, digits);
		assert_string_equal(digits, digits_of_list);
		safety_digits(&bob, &alice, digits); /* both sides see the same */
		assert_string_equal(digits, digits_of_list);
		buf_reset(&qr);
		assert_int_equal(safety_qr(&alice, &bob, &qr), 0);
		for (size_t k = 0; k < qr.len; k++)
			snprintf(hex + 2 * k, 3, "%02x", qr.data[k]);
		assert_string_equal(hex, qr_of_list);
	}
	buf_clear(&qr);
}

static void
test_qr(void **state)
{
	static const uint8_t a[] = {1, 2}, b[] = {3}, c[] = {4}, d[] = {3, 4};
	static const struct {
		const char *why;
		const uint8_t *own, *other;
		size_t nown, nother;
		int match;
	} rows[] = {/* what bob sees, when he shows his code to alice */
	    {"the same", b, a, 1, 2, 1}, {"another key of his own", c, a, 1, 2, 0},
	    {"one more of his own", d, a, 2, 2, 0}, {"another key of alice", b, c, 1, 1, 0},
	    {"fewer of alice", b, a, 1, 1, 0}, {"the sides mixed up", a, b, 2, 1, 0}};
	struct buf qr = BUF_INIT;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fill(&bob, "2", "22", rows[i].own, rows[i].nown);
		fill(&alice, "1", "11", rows[i].other, rows[i].nother);
		buf_reset(&qr);
		assert_int_equal(safety_qr(&bob, &alice, &qr), 0);
		fill(&alice, "1", "11", a, 2);
		fill(&bob, "2", "22", b, 1);
		if (safety_qr_matches(&alice, &bob, qr.data, qr.len) != rows[i].match)
			fail_msg("%s", rows[i].why);
		if (rows[i].match) /* every byte counts, but for those that name people */
			for (size_t k = 0; k < qr.len; k++)
				assert_int_equal(safety_qr_matches(&alice, &bob, qr.data, k), 0);
	}
	assert_int_equal(safety_qr_matches(&alice, &bob, (const uint8_t *)"", 0), 0);
	buf_clear(&qr);
}

static void
test_many(void **state)
{
	uint8_t key[32] = {0};

	memset(&alice, 0, sizeof(alice));
	for (unsigned i = 0; i <= SAFETY_KEYS_MAX; i++) {
		key[0] = (uint8_t)(i * 7);
		key[1] = (uint8_t)(i >> 8);
		assert_int_equal(safety_add(&alice, key), i < SAFETY_KEYS_MAX ? 0 : -1);
	}
	for (size_t i = 1; i < alice.n; i++)
		assert_true(memcmp(alice.keys[i - 1], alice.keys[i], 32) < 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_as_libsignal),
	    cmocka_unit_test(test_qr),
	    cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests_name("apid: safety numbers", tests, NULL, NULL);
}
