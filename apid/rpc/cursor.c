/* Cursors: a place in the event log, as text that a client carries and does not read. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "apid/rpc/cursor.h"

#define VERSION_PREFIX "1."
#define LOG_DIGITS     8

const char *
cursor_format(const char *log_id, uint64_t seq, char *out)
{
	snprintf(out, CURSOR_TEXT_MAX, VERSION_PREFIX "%.*s.%" PRIu64, LOG_DIGITS, log_id, seq);
	return out;
}

int
cursor_parse(const char *text, const char *log_id, uint64_t *seq)
{
	size_t pre = strlen(VERSION_PREFIX);
	uint64_t v = 0;

	if (strncmp(text, VERSION_PREFIX, pre) != 0 || strlen(log_id) < LOG_DIGITS)
		return -1;
	text += pre;
	if (strncmp(text, log_id, LOG_DIGITS) != 0 || text[LOG_DIGITS] != '.')
		return -1;
	text += LOG_DIGITS + 1;
	if (*text == '\0' || (text[0] == '0' && text[1] != '\0'))
		return -1;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9' || v > (INT64_MAX - 9) / 10)
			return -1;
		v = v * 10 + (unsigned)(*text - '0');
	}
	*seq = v;
	return 0;
}
