/* The drawn QR code, read back character by character, against libqrencode's own matrix. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <qrencode.h>

#include "apid/wardctl/ctl.h"

#define BORDER 4

static const char text[] =
    "2@aGVsbG8gd29ybGQgaGVsbG8gd29ybGQgaGVsbG8gd29ybGQ=,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAA=,BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB=,CCCCCCCCCCCCCCCCCCCCCCCCCCCCCC=";

static char *
draw(enum qr_style style, int colour, int *lines)
{
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	*lines = qr_draw(f, text, style, colour);
	fclose(f);
	return out;
}

static int
is_light(const QRcode *qr, int x, int y)
{
	if (x < 0 || y < 0 || x >= qr->width || y >= qr->width)
		return 1;
	return !(qr->data[y * qr->width + x] & 1);
}

/* Half blocks: upper and lower module of each character. */
static void
check_utf8(int colour)
{
	QRcode *qr = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_L);
	int lines, y = -BORDER, x = -BORDER, rows = 0;
	char *drawn = draw(QR_UTF8, colour, &lines);

	for (const char *p = drawn; *p != '\0';) {
		int upper, lower;

		if (*p == '\033') {
			assert_true(colour);
			p = strchr(p, 'm') + 1;
			continue;
		}
		if (*p == '\n') {
			assert_int_equal(x, qr->width + BORDER);
			y += 2;
			x = -BORDER;
			rows++;
			p++;
			continue;
		}
		if (*p == ' ') {
			upper = lower = 0;
			p++;
		} else {
			assert_int_equal(strncmp(p, "\xe2\x96", 2), 0);
			upper = p[2] == '\x80' || p[2] == '\x88';
			lower = p[2] == '\x84' || p[2] == '\x88';
			p += 3;
		}
		assert_int_equal(upper, is_light(qr, x, y));
		if (y + 1 < qr->width + BORDER)
			assert_int_equal(lower, is_light(qr, x, y + 1));
		x++;
	}
	assert_int_equal(rows, (qr->width + 2 * BORDER + 1) / 2);
	assert_int_equal(rows, lines);
	QRcode_free(qr);
	free(drawn);
}

static void
utf8(void **state)
{
	check_utf8(0);
	check_utf8(1);
}

/* Two characters a module. */
static void
wide(void **state)
{
	QRcode *qr = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_L);
	int lines, n = qr->width + 2 * BORDER;
	char *drawn = draw(QR_TEXT, 0, &lines), *ansi;

	assert_int_equal(lines, n);
	assert_int_equal(strlen(drawn), (size_t)n * (2 * (size_t)n + 1));
	for (int y = 0; y < n; y++)
		for (int x = 0; x < n; x++)
			assert_int_equal(
			    strncmp(drawn + (size_t)y * (2 * (size_t)n + 1) + 2 * (size_t)x,
				is_light(qr, x - BORDER, y - BORDER) ? "##" : "  ", 2),
			    0);
	ansi = draw(QR_ANSI, 1, &lines);
	assert_int_equal(lines, n);
	for (int i = 0, y = 0; y < n; y++) {
		for (int x = 0; x < n; x++, i += 7)
			assert_int_equal(
			    strncmp(ansi + i,
				is_light(qr, x - BORDER, y - BORDER) ? "\033[47m  " : "\033[40m  ",
				7),
			    0);
		assert_int_equal(strncmp(ansi + i, "\033[0m\n", 5), 0);
		i += 5;
	}
	QRcode_free(qr);
	free(drawn);
	free(ansi);
}

static void
too_long(void **state)
{
	char *big = malloc(4001);
	FILE *f = fopen("/dev/null", "w");

	memset(big, 'x', 4000);
	big[4000] = '\0';
	assert_int_equal(qr_draw(f, big, QR_UTF8, 0), -1);
	fclose(f);
	free(big);
	assert_int_equal(qr_style_parse("utf8"), QR_UTF8);
	assert_int_equal(qr_style_parse("ansi"), QR_ANSI);
	assert_int_equal(qr_style_parse("text"), QR_TEXT);
	assert_int_equal(qr_style_parse(""), -1);
	assert_int_equal(qr_style_parse("UTF8"), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(utf8),
	    cmocka_unit_test(wide),
	    cmocka_unit_test(too_long),
	};

	return cmocka_run_group_tests_name("wardctl: qr", tests, NULL, NULL);
}
