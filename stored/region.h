/* A region: memory for the parts of one answer, wiped and freed together. */
#ifndef WARD_REGION_H
#define WARD_REGION_H

#include <stddef.h>

struct region;

/* max: bytes that it may hand out in all. NULL when memory is out. */
struct region *region_new(size_t max);
void region_free(struct region *r); /* wipes; NULL is fine */

/* Zeroed, aligned for anything. NULL when max or memory is exhausted; region_failed() then stays 1.
 */
void *region_alloc(struct region *r, size_t n);
/* Copies; a NUL is added behind the bytes (not counted). data may be NULL if n is 0. */
void *region_copy(struct region *r, const void *data, size_t n);
char *region_text(struct region *r, const char *s);
int region_failed(const struct region *r);

#endif
