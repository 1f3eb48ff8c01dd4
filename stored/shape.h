/* Shapes of single fields: texts, and their letters. */
#ifndef WARD_STORED_SHAPE_H
#define WARD_STORED_SHAPE_H

#include <string.h>

#include "common/jid.h"

#define KIB 1024u

#define MESSAGE_ID_MAX 128

/* A text of min..max bytes. */
static inline int
shape_text(const char *s, size_t min, size_t max)
{
	size_t n = strnlen(s, max + 1);

	return n >= min && n <= max;
}

static inline int
shape_optional(const char *s, size_t max)
{
	return s == NULL || shape_text(s, 0, max);
}

/* Something where a JID's text belongs: it is compared, not parsed. */
static inline int
shape_jid(const char *s)
{
	return shape_text(s, 1, JID_TEXT_MAX);
}

static inline int
shape_message_id(const char *s)
{
	return shape_text(s, 1, MESSAGE_ID_MAX);
}

/* ASCII letters, digits and these. */
static inline int
shape_chars(const char *s, const char *extra)
{
	for (; *s != '\0'; s++) {
		if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
			(*s >= '0' && *s <= '9') || strchr(extra, *s) != NULL))
			return 0;
	}
	return 1;
}

static inline int
shape_word(const char *s, const char *const *words)
{
	for (; *words != NULL; words++) {
		if (strcmp(s, *words) == 0)
			return 1;
	}
	return 0;
}

#endif
