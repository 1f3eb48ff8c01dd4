/* Is it UTF-8? Private to wire/. */
#ifndef WARD_WIRE_UTF8_H
#define WARD_WIRE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. NUL is a character like
 * others. */
int wire_utf8_ok(const uint8_t *p, size_t len);

#endif
