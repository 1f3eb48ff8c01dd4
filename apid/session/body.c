/* The text of an event's body: what is too long for the log is cut, never refused. */
#include "apid/session/body.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

/* Not in the middle of a character. */
static size_t
cut_at(const char *s, size_t len)
{
	while (len > 0 && ((unsigned char)s[len] & 0xc0) == 0x80)
		len--;
	return len;
}

/* 1: it is a string that was too long. */
static int
cut_string(json_t *v, size_t limit)
{
	char *s;
	size_t n;
	int cut = 0;

	if (!json_is_string(v) || json_string_length(v) <= limit)
		return 0;
	n = cut_at(json_string_value(v), limit);
	if ((s = malloc(n + 1)) == NULL)
		return 0;
	memcpy(s, json_string_value(v), n);
	cut = json_string_setn_nocheck(v, s, n) == 0;
	sodium_memzero(s, n);
	free(s);
	return cut;
}

/* Everywhere below o. 1: it is a string, or an array with one, that was too long; an object says so
 * itself. */
static int
cut_strings(json_t *o, size_t limit)
{
	const char *key;
	json_t *v;
	size_t i;
	int cut = cut_string(o, limit);

	json_array_foreach(o, i, v) cut |= cut_strings(v, limit);
	if (!json_is_object(o))
		return cut;
	json_object_foreach(o, key, v) if (strcmp(key, "raw_b64") != 0) cut |=
	    cut_strings(v, limit);
	if (cut)
		json_object_set_new(o, "truncated", json_true());
	return 0;
}

static void
wipe(char *text)
{
	sodium_memzero(text, strlen(text));
	free(text);
}

char *
body_text(json_t *body, size_t max)
{
	static const size_t limits[] = {16384, 4096, 1024, 64};
	char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);

	for (size_t i = 0; text != NULL && strlen(text) > max; i++) {
		wipe(text);
		if (i == sizeof(limits) / sizeof(limits[0]))
			return NULL;
		(void)cut_strings(body, limits[i]);
		text = json_dumps(body, JSON_COMPACT);
	}
	return text;
}
