/* Linking with a passkey: what the service asks the owner of the account for before it links
 * (protocol page 12, 1). keyd makes all that is secret. */
#ifndef WARD_PASSKEY_FLOW_H
#define WARD_PASSKEY_FLOW_H

#include <jansson.h>

#include "apid/session/pair.h"

struct passkey;

/* passkey_prologue_request came (acked by the caller). Ends by pair_passkey_ended, or with the
 * attempt. */
struct passkey *passkey_begin(struct pair *p, const struct node *n);
void passkey_free(struct passkey *k); /* NULL is fine */

/* crsc_continuation came; acked by the caller. */
void passkey_continuation(struct passkey *k, const struct node *n);

/* What a person says: the assertion, or (response NULL) whether the codes are the same. 0: taken.
 * -1: *e says why not. */
int passkey_answer(struct passkey *k, const json_t *response, int confirm, struct api_error *e);

#endif
