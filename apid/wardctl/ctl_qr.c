/* QR codes on a terminal, by libqrencode. */
#include <string.h>

#include <qrencode.h>

#include "apid/wardctl/ctl.h"

#define BORDER 4    /* modules, as the standard wants it */
#define QR_MAX 2953 /* bytes of the largest one */

int
qr_style_parse(const char *word)
{
	static const char *const names[] = {"utf8", "ansi", "text"};

	for (int i = 0; i < 3; i++)
		if (strcmp(word, names[i]) == 0)
			return i;
	return -1;
}

/* 1 = light. Outside is border, and light. */
static int
light(const QRcode *qr, int x, int y)
{
	if (x < 0 || y < 0 || x >= qr->width || y >= qr->width)
		return 1;
	return (qr->data[y * qr->width + x] & 1) == 0;
}

/* Two rows of modules in one line of characters. */
static int
draw_utf8(FILE *f, const QRcode *qr, int colour)
{
	static const char *const block[] = {" ", "\xe2\x96\x84", "\xe2\x96\x80", "\xe2\x96\x88"};
	int lines = 0;

	for (int y = -BORDER; y < qr->width + BORDER; y += 2, lines++) {
		if (colour)
			fputs("\033[40;37;1m", f);
		for (int x = -BORDER; x < qr->width + BORDER; x++) {
			/* the last line may have no lower half: nothing is drawn there */
			int lower = y + 1 < qr->width + BORDER && light(qr, x, y + 1);

			fputs(block[2 * light(qr, x, y) + lower], f);
		}
		fputs(colour ? "\033[0m\n" : "\n", f);
	}
	return lines;
}

static int
draw_wide(FILE *f, const QRcode *qr, const char *dark, const char *bright, const char *eol)
{
	int lines = 0;

	for (int y = -BORDER; y < qr->width + BORDER; y++, lines++) {
		for (int x = -BORDER; x < qr->width + BORDER; x++)
			fputs(light(qr, x, y) ? bright : dark, f);
		fputs(eol, f);
	}
	return lines;
}

int
qr_draw(FILE *f, const char *text, enum qr_style style, int colour)
{
	return qr_draw_bytes(f, (const uint8_t *)text, strlen(text), style, colour);
}

int
qr_draw_bytes(FILE *f, const uint8_t *bytes, size_t len, enum qr_style style, int colour)
{
	QRcode *qr = len > QR_MAX ? NULL : QRcode_encodeData((int)len, bytes, 0, QR_ECLEVEL_L);
	int lines = -1;

	if (qr == NULL)
		return -1;
	switch (style) {
	case QR_UTF8:
		lines = draw_utf8(f, qr, colour);
		break;
	case QR_ANSI:
		lines = draw_wide(f, qr, "\033[40m  ", "\033[47m  ", "\033[0m\n");
		break;
	case QR_TEXT:
		lines = draw_wide(f, qr, "  ", "##", "\n");
		break;
	}
	QRcode_free(qr);
	return lines;
}
