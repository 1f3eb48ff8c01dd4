/* Tokens: the words that the binary node codec writes as one or two bytes (protocol page 02,
 * section 3). */
#ifndef WARD_TOKENS_H
#define WARD_TOKENS_H

#include <stddef.h>
#include <stdint.h>

#define TOKEN_MAX_LEN 48 /* the longest of them */

/* Table 0 = single (index 1..235), 1..4 = dictionaries 0..3 (index 0..255). NULL if there is no
 * such token. The text is static and ends with a NUL; *len (may be NULL) is without it. */
const char *token_text(unsigned table, unsigned index, size_t *len);

/* The token of exactly this text: 0, or -1 if there is none. */
int token_find(const char *text, size_t len, unsigned *table, unsigned *index);

#endif
