/* One engine call of a client: ended exactly once, from the loop, or silently when the client goes.
 */
#ifndef WARD_CALL_H
#define WARD_CALL_H

#include "apid/service.h"

struct call;

struct call *call_new(struct service *s, const void *client, engine_done_fn *fn, void *arg);
void call_ok(struct call *c, json_t *result /* stolen */);   /* NULL call is fine */
void call_fail(struct call *c, const struct api_error *err); /* copied */
void call_failf(struct call *c, int code, const char *reason, int retryable, const char *message);
/* An error that is not retryable and has no times. */
struct api_error api_error_make(int code, const char *reason, int retryable, const char *message);
void call_cancel_client(struct service *s, const void *client);
/* Calls whose client has gone or cancelled them, and which have not ended yet. What a client has
 * under way is bounded by its connection (api.max_requests); these are by CALLS_LEFT_MAX, see
 * engine_full. */
#define CALLS_LEFT_MAX 4096u
size_t call_left(void);
void call_cancel_all(struct service *s);
/* When nobody holds one any more. */
void call_free_all(struct service *s);

#endif
