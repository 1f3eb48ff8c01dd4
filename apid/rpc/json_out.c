/* JSON written straight into a buffer: strings escaped, ready texts kept on one line. */
#include <stdint.h>
#include <string.h>

#include "apid/rpc/json_out.h"

/* Length of the UTF-8 sequence at p, 0 if it is none (RFC 3629: no surrogates, nothing overlong).
 */
static size_t
utf8_sequence(const uint8_t *p, size_t left)
{
	static const struct {
		uint8_t lo, hi, second_lo, second_hi;
		uint8_t len;
	} form[] = {
	    {0xc2, 0xdf, 0x80, 0xbf, 2},
	    {0xe0, 0xe0, 0xa0, 0xbf, 3},
	    {0xe1, 0xec, 0x80, 0xbf, 3},
	    {0xed, 0xed, 0x80, 0x9f, 3},
	    {0xee, 0xef, 0x80, 0xbf, 3},
	    {0xf0, 0xf0, 0x90, 0xbf, 4},
	    {0xf1, 0xf3, 0x80, 0xbf, 4},
	    {0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	for (size_t i = 0; i < sizeof(form) / sizeof(form[0]); i++) {
		if (p[0] < form[i].lo || p[0] > form[i].hi)
			continue;
		if (left < form[i].len || p[1] < form[i].second_lo || p[1] > form[i].second_hi)
			return 0;
		for (size_t k = 2; k < form[i].len; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return form[i].len;
	}
	return 0;
}

static void
put_escape(struct buf *b, uint8_t c)
{
	static const char two[] = "\"\"\\\\\bb\ff\nn\rr\tt";

	for (const char *p = two; *p != '\0'; p += 2)
		if ((uint8_t)*p == c) {
			buf_put_u8(b, '\\');
			buf_put_u8(b, (uint8_t)p[1]);
			return;
		}
	buf_printf(b, "\\u%04x", c);
}

void
json_out_string(struct buf *b, const char *text, size_t len)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t plain = 0, i = 0, n;

	if (text == NULL) {
		buf_put_str(b, "null");
		return;
	}
	buf_put_u8(b, '"');
	while (i < len) {
		if (p[i] >= 0x20 && p[i] < 0x7f && p[i] != '"' && p[i] != '\\') {
			i++;
			continue;
		}
		if (p[i] >= 0x80 && (n = utf8_sequence(p + i, len - i)) > 0) {
			i += n;
			continue;
		}
		buf_put(b, p + plain, i - plain);
		if (p[i] < 0x80)
			put_escape(b, p[i]);
		else
			buf_put_str(b, "\xef\xbf\xbd");
		plain = ++i;
	}
	buf_put(b, p + plain, i - plain);
	buf_put_u8(b, '"');
}

void
json_out_str(struct buf *b, const char *text)
{
	json_out_string(b, text, text != NULL ? strlen(text) : 0);
}

void
json_out_raw(struct buf *b, const void *text, size_t len)
{
	uint8_t *at = len > 0 ? buf_reserve(b, len) : NULL;

	if (at == NULL)
		return;
	memcpy(at, text, len);
	/* in valid JSON a line break is only white space; it would end our line */
	for (size_t i = 0; i < len; i++)
		if (at[i] == '\n' || at[i] == '\r')
			at[i] = ' ';
}
