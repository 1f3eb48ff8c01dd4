/* Trusted-contact tokens, and accounts that strangers cannot write to (protocol page 11, 3.12). */
#ifndef SIM_TOKENS_H
#define SIM_TOKENS_H

#include <jansson.h>

#include "tests/sim/route.h"

/* <tokens>: random bytes for every device of each account that is named. */
void tokens_in(struct origin *o, const struct node *iq);
/* 0, or the code of the refusal: `to` is restricted, `from` is a stranger, and the stanza has no
 * token that is good. With one he is none any more. */
int tokens_refuse(const struct account *from, struct account *to, const struct node *n);
/* May `who` see presence and the like of `whom` (NULL: nobody)? */
int tokens_shows(const struct account *who, const struct account *whom, const struct node *n);
/* [{to, t}] */
json_t *tokens_json(const struct account *a);
/* HMAC-SHA256 of the LID of `to` under the salt of `from`. */
void tokens_cstoken(const struct account *from, const struct account *to, uint8_t out[32]);
void tokens_free(struct account *a);

#endif
