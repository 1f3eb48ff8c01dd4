/* What of a child's record reaches the log: level, length and escapes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "sandbox/ward.h"

static void
records(void **state)
{
	static const struct {
		const char *record;
		size_t len;
		unsigned level;
		const char *want; /* "" = filtered */
	} t[] = {
#define R(s) s, sizeof(s) - 1
	    {R("3made a key"), LOG_LV_INFO, "keyd[42]: info: made a key\n"},
	    {R("4detail"), LOG_LV_INFO, ""},
	    {R("4detail"), LOG_LV_DEBUG, "keyd[42]: debug: detail\n"},
	    {R("0bad"), LOG_LV_ERR, "keyd[42]: err: bad\n"},
	    {R("1warning"), LOG_LV_ERR, ""},
	    {R("2n"), LOG_LV_NOTICE, "keyd[42]: notice: n\n"},
	    {R("3"), LOG_LV_INFO, "keyd[42]: info: \n"},
	    {R("3a\\x0ab"), LOG_LV_INFO, "keyd[42]: info: a\\x0ab\n"}, /* escaped by the child */
	    {R("3a\rb\x1b[31m\x7f\xff\0z"), LOG_LV_INFO,
		"keyd[42]: info: a\\x0db\\x1b[31m\\x7f\\xff\\x00z\n"},
	    {R("9what level"), LOG_LV_ERR, "keyd[42]: err: 9what level\n"},
	    {R("no level"), LOG_LV_ERR, "keyd[42]: err: no level\n"},
	    {R(""), LOG_LV_ERR, "keyd[42]: err: \n"},
	};
	char out[256];
	size_t i, n;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		n = ward_log_format(
		    "keyd", 42, t[i].record, t[i].len, t[i].level, out, sizeof(out));
		if (n != strlen(t[i].want) || memcmp(out, t[i].want, n) != 0)
			fail_msg("row %zu: got \"%.*s\"", i, (int)n, out);
	}
}

/* The longest record of only unprintable bytes, into a buffer of any size: never over its end. */
static void
bounds(void **state)
{
	char record[WARD_LINE_MAX], out[WARD_LINE_MAX * 4 + 64];
	size_t size, n;

	memset(record, 0x01, sizeof(record));
	record[0] = '3';
	n = ward_log_format("stored", 1, record, sizeof(record), LOG_LV_INFO, out, sizeof(out));
	assert_int_equal(n, strlen("stored[1]: info: ") + (sizeof(record) - 1) * 4 + 1);
	for (size = 64; size < 200; size++) {
		memset(out, '#', sizeof(out));
		n = ward_log_format("stored", 1, record, sizeof(record), LOG_LV_INFO, out, size);
		assert_true(n <= size);
		assert_int_equal(out[n - 1], '\n');
		assert_int_equal(out[size], '#');
	}
}

/* Through a pipe, in pieces: a line comes out when its newline came, a long one is cut. */
static void
lines_from_a_pipe(void **state)
{
	struct ward w = {.level = LOG_LV_DEBUG};
	struct ward_child *c = &w.child[ROLE_NETD];
	char big[3 * WARD_LINE_MAX], out[32768];
	int log[2], err[2], saved = dup(STDERR_FILENO);
	ssize_t n;

	c->role = ROLE_NETD;
	c->pid = 7;
	assert_int_equal(pipe(log), 0);
	assert_int_equal(pipe(err), 0);
	c->log = log[0];
	assert_int_equal(dup2(err[1], STDERR_FILENO), STDERR_FILENO);
	memset(big, 'a', sizeof(big));
	big[0] = '3';
	big[sizeof(big) - 1] = '\n';
	assert_int_equal(write(log[1], "3one\n3tw", 8), 8);
	assert_int_equal(write(log[1], "o\n", 2), 2);
	assert_int_equal(write(log[1], big, sizeof(big)), (int)sizeof(big));
	assert_int_equal(write(log[1], "3last", 5), 5); /* the end of file ends it */
	close(log[1]);
	ward_log_read(&w, c);
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(c->log, -1);
	n = read(err[0], out, sizeof(out) - 1);
	assert_true(n > 0);
	out[n] = '\0';
	assert_memory_equal(out, "netd[7]: info: one\nnetd[7]: info: two\nnetd[7]: info: aaa", 54);
	assert_int_equal(n, strlen("netd[7]: info: one\nnetd[7]: info: two\n"
				   "netd[7]: info: \nnetd[7]: info: last\n") +
				WARD_LINE_MAX - 1);
	assert_non_null(strstr(out, "a\nnetd[7]: info: last\n"));
	close(err[0]);
	close(err[1]);
	close(saved);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(records),
	    cmocka_unit_test(bounds),
	    cmocka_unit_test(lines_from_a_pipe),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
