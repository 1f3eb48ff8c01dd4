/* Log lines: one record a write, escaped and cut, errno kept; limits and redaction. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/log.h"

static int pipefd[2];

static int
setup(void **state)
{
	assert_int_equal(pipe2(pipefd, O_CLOEXEC | O_NONBLOCK), 0);
	log_open("test", pipefd[1]);
	log_set_level(LOG_LV_DEBUG);
	return 0;
}

static int
teardown(void **state)
{
	log_open("test", -1);
	close(pipefd[0]);
	close(pipefd[1]);
	return 0;
}

/* What has been written since the last call. */
static const char *
written(void)
{
	static char out[70000];
	ssize_t n = read(pipefd[0], out, sizeof(out) - 1);

	out[n > 0 ? n : 0] = '\0';
	return out;
}

static void
test_records(void **state)
{
	errno = ENOENT;
	log_err("open %s", "x");
	assert_int_equal(errno, ENOENT);
	assert_string_equal(written(), "0open x: No such file or directory\n");
	log_errx("e");
	log_warnx("w%d", 1);
	log_notice("n");
	log_info("i");
	log_debug("d");
	assert_string_equal(written(), "0e\n1w1\n2n\n3i\n4d\n");
	errno = EPERM;
	log_warn("w");
	assert_string_equal(written(), "1w: Operation not permitted\n");
	log_set_level(LOG_LV_NOTICE);
	assert_int_equal(log_get_level(), LOG_LV_NOTICE);
	log_info("not seen");
	log_notice("seen");
	assert_string_equal(written(), "2seen\n");
}

static void
test_levels(void **state)
{
	assert_int_equal(log_level_parse("err"), LOG_LV_ERR);
	assert_int_equal(log_level_parse("debug"), LOG_LV_DEBUG);
	assert_int_equal(log_level_parse("Debug"), -1);
	assert_int_equal(log_level_parse(""), -1);
}

/* A text from outside must not begin a line of its own or reach a terminal. */
static void
test_escapes(void **state)
{
	log_info("a\nb\t\x1b[2J\x7f\\n\xc3\xa9");
	assert_string_equal(written(), "3a\\x0ab\\x09\\x1b[2J\\x7f\\\\n\\xc3\\xa9\n");
}

static void
test_cut(void **state)
{
	char text[5000];
	const char *out;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_info("%s", text);
	out = written();
	assert_int_equal(strlen(out), 1024);
	assert_string_equal(out + 1022, "x\n");
	memset(text, '\n', sizeof(text) - 1);
	log_info("%s", text);
	out = written();
	assert_true(strlen(out) <= 1024 && strlen(out) > 1000);
	assert_string_equal(out + strlen(out) - 5, "\\x0a\n");
}

/* A log that nobody reads loses lines, but does not stop anybody, and says so afterwards. */
static void
test_full_pipe(void **state)
{
	const char *out;
	int i;

	for (i = 0; i < 10000; i++)
		log_info("0123456789012345678901234567890123456789");
	assert_true(strlen(written()) > 60000);
	log_info("after");
	out = written();
	assert_non_null(strstr(out, " log lines lost: the log was full\n3after\n"));
	log_info("again");
	assert_string_equal(written(), "3again\n");
}

static void
test_limit(void **state)
{
	struct log_limit l = LOG_LIMIT_INIT;
	int i, n = 0;

	for (i = 0; i < 100; i++)
		n += log_allowed(&l);
	assert_true(n == 10 || n == 11); /* a second may have passed on a slow machine */
	assert_string_equal(written(), "");
	l.last_ms -= 2500; /* as if that long ago */
	assert_int_equal(log_allowed(&l), 1);
	assert_non_null(strstr(written(), " similar lines dropped\n"));
	assert_int_equal(log_allowed(&l), 1);
	assert_string_equal(written(), "");
	assert_int_equal(log_allowed(&l), 0);
}

static void
test_redact(void **state)
{
	char a[32], b[32];

	snprintf(a, sizeof(a), "%s", log_redact("15550001111@s.whatsapp.net"));
	snprintf(b, sizeof(b), "%s", log_redact("15550001112@s.whatsapp.net"));
	assert_int_equal(strlen(a), 10);
	assert_int_equal(strncmp(a, "p:", 2), 0);
	assert_int_equal(strspn(a + 2, "0123456789abcdef"), 8);
	assert_string_not_equal(a, b);
	assert_string_equal(log_redact("15550001111@s.whatsapp.net"), a);
	assert_int_equal(strlen(log_redact(NULL)), 10);
}

static void
test_clock(void **state)
{
	int64_t a = clock_mono_ms(), b = clock_mono_ms();

	assert_true(a > 0 && b >= a);
	assert_true(clock_wall_ms() > 1600000000000); /* after 2020, in milliseconds */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_records, setup, teardown),
	    cmocka_unit_test(test_levels),
	    cmocka_unit_test_setup_teardown(test_escapes, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_full_pipe, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_redact, setup, teardown),
	    cmocka_unit_test(test_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
