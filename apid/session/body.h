/* The text of an event's body, within a bound. */
#ifndef WARD_BODY_H
#define WARD_BODY_H

#include <stddef.h>

#include <jansson.h>

/* body as compact JSON of at most max bytes, to be freed by the caller. If it is longer, its
 * longest strings are cut at the end, at a character, and the object that holds one gets
 * "truncated": true; what "raw_b64" holds is never cut, so a message or stanza is still there in
 * full. NULL: no memory, or it cannot be made short enough. */
char *body_text(json_t *body, size_t max);

#endif
