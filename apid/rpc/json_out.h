/* JSON written straight into a buffer: for events, the hot direction. */
#ifndef WARD_JSON_OUT_H
#define WARD_JSON_OUT_H

#include <stddef.h>

#include "common/buf.h"

/* "text" with quotes and escapes. What is no UTF-8 becomes U+FFFD. text NULL gives null. */
void json_out_string(struct buf *b, const char *text, size_t len);
void json_out_str(struct buf *b, const char *text);
/* A JSON text that another process made: passed through, but kept on one line. */
void json_out_raw(struct buf *b, const void *text, size_t len);

#endif
