/* Buffers: what is appended is there, bounds hold, and nothing stays behind in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"

static void
test_numbers(void **state)
{
	static const uint8_t want[] = {
	    0xff, 1, 2, 1, 2, 3, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 'h', 'i'};
	struct buf b = BUF_INIT;

	assert_int_equal(buf_put_u8(&b, 0xff), 0);
	assert_int_equal(buf_put_be16(&b, 0x0102), 0);
	assert_int_equal(buf_put_be24(&b, 0x010203), 0);
	assert_int_equal(buf_put_be32(&b, 0x01020304), 0);
	assert_int_equal(buf_put_be64(&b, 0x0102030405060708), 0);
	assert_int_equal(buf_put_str(&b, "hi"), 0);
	assert_int_equal(b.len, sizeof(want));
	assert_memory_equal(b.data, want, sizeof(want));
	buf_clear(&b);
	assert_null(b.data);
	assert_int_equal(b.cap, 0);
	buf_clear(&b);
	buf_clear(NULL);
}

static void
test_growth(void **state)
{
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < 100000; i++)
		assert_int_equal(buf_put_u8(&b, (uint8_t)(i * 31)), 0);
	for (i = 0; i < 100000; i++)
		assert_int_equal(b.data[i], (uint8_t)(i * 31));
	buf_drain(&b, 99990);
	assert_int_equal(b.len, 10);
	assert_int_equal(b.data[0], (uint8_t)(99990 * 31));
	for (i = 10; i < 100000; i++)
		assert_int_equal(b.data[i], 0);
	buf_drain(&b, 10);
	assert_int_equal(b.len, 0);
	buf_clear(&b);
}

static void
test_limit(void **state)
{
	struct buf b = BUF_INIT;

	b.max = 10;
	assert_int_equal(buf_put(&b, "0123456789", 10), 0);
	assert_int_equal(buf_put(&b, "", 0), 0);
	assert_int_equal(buf_put_u8(&b, 1), -1);
	assert_int_equal(b.failed, 1);
	buf_drain(&b, 5);
	assert_int_equal(buf_put_u8(&b, 1), -1); /* sticky */
	assert_null(buf_cstr(&b));
	buf_reset(&b);
	assert_int_equal(b.failed, 0);
	assert_int_equal(buf_put(&b, "0123456789a", 11), -1);
	buf_reset(&b);
	assert_null(buf_reserve(&b, SIZE_MAX));
	buf_reset(&b);
	assert_non_null(buf_reserve(&b, 10));
	buf_clear(&b);

	b.max = 0;
	assert_null(buf_reserve(&b, BUF_MAX_DEFAULT + 1));
	buf_clear(&b);
}

static void
test_printf(void **state)
{
	struct buf b = BUF_INIT;
	char long_text[1001];

	memset(long_text, 'y', 1000);
	long_text[1000] = '\0';
	assert_string_equal(buf_cstr(&b), "");
	assert_int_equal(buf_printf(&b, "%d-%s", 42, "x"), 0);
	assert_int_equal(b.len, 4);
	assert_string_equal(buf_cstr(&b), "42-x");
	assert_int_equal(b.len, 4);
	assert_int_equal(buf_printf(&b, "%s", long_text), 0);
	assert_int_equal(b.len, 1004);
	assert_string_equal(buf_cstr(&b) + 4, long_text);
	assert_int_equal(buf_printf(&b, "%s", ""), 0);
	assert_int_equal(b.len, 1004);
	buf_clear(&b);

	/* exactly filled block: the NUL of buf_cstr needs a byte more */
	assert_non_null(buf_reserve(&b, 256));
	memset(b.data, 'z', 256);
	assert_int_equal(strlen(buf_cstr(&b)), 256);
	buf_clear(&b);
}

static void
test_reset_wipes(void **state)
{
	struct buf b = BUF_INIT;
	size_t i;

	buf_put(&b, "secret secret", 13);
	b.len = 3; /* as one does after reserving too much */
	buf_reset(&b);
	assert_int_equal(b.len, 0);
	assert_true(b.cap >= 13);
	for (i = 0; i < 13; i++)
		assert_int_equal(b.data[i], 0);
	buf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_numbers),
	    cmocka_unit_test(test_growth),
	    cmocka_unit_test(test_limit),
	    cmocka_unit_test(test_printf),
	    cmocka_unit_test(test_reset_wipes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
