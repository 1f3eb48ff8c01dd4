/* GraphQL over iq (xmlns w:mex), and the pushes of the same kind (protocol page 09, section 14). */
#ifndef WARD_MEX_H
#define WARD_MEX_H

#include <jansson.h>

#include "apid/session/account.h"
#include "apid/session/mex_ids.h"
#include "common/wire/node.h"

#define MEX_TEXT_MAX   (256u * 1024) /* of one JSON text; what is longer is not read */
#define MEX_DEPTH_MAX  64u
#define MEX_TIMEOUT_MS 15000u

struct mex_answer {
	const json_t *root; /* what was asked for, borrowed; NULL: it failed */
	const char *why; /* "error" (the service refuses), "malformed", or as of struct iq_answer */
	int64_t code;    /* of the error that the service gives, 0 = none */
	int retryable;
};
typedef void mex_fn(const struct mex_answer *r, void *arg);

/* Ask; fn is called once, from the loop, unless it is given up. variables are taken. The asker
 * drops its pointer when it is called. Never NULL. */
struct mex_request;
struct mex_request *mex_query(
    struct account *a, enum mex_op op, json_t *variables, mex_fn *fn, void *arg);
void mex_cancel(struct mex_request *r); /* NULL is fine */

/* A JSON text of the service: an object, or NULL. Too long, too deep, not UTF-8, a member twice:
 * NULL. */
json_t *mex_parse(const uint8_t *bytes, size_t len);
/* {data, errors} of an answer: what it says about `root`. text is borrowed by *out. */
void mex_read(const json_t *text, const char *root, struct mex_answer *out);
/* A whole number, or the decimal text of one; -1 = neither, or out of 0..2^53. */
int64_t mex_int(const json_t *o, const char *key);
/* A text of at most size - 1 bytes; "" if there is none, or none of that size. */
void mex_word(const json_t *o, const char *key, char *out, size_t size);

/* <notification type=mex>: what is known changes what is kept; the rest becomes server.mex. Durable
 * before its ack. */
void mex_notification(struct account *a, const struct node *n);

#endif
