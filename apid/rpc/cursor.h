/* Cursors: opaque for clients; "1.<8 hex of the log id>.<seq>" in truth. */
#ifndef WARD_CURSOR_H
#define WARD_CURSOR_H

#include <stdint.h>

#define CURSOR_TEXT_MAX 40

/* Print to a buffer of CURSOR_TEXT_MAX bytes; returns it. */
const char *cursor_format(const char *log_id, uint64_t seq, char *out);
/* 0, or -1: no cursor, or one of another log. */
int cursor_parse(const char *text, const char *log_id, uint64_t *seq);

#endif
