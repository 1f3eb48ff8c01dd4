/* Requests of a connection, for client.c: from a line to a handler, and cancellation. */
#ifndef WARD_REQUEST_H
#define WARD_REQUEST_H

#include "apid/rpc/client.h"

/* One line without its LF: answered at once or handed to its method. */
void request_line(struct client *c, const char *text, size_t len);
/* An error without a request; id NULL = null. */
void request_answer_error(struct client *c, const json_t *id, const struct api_error *e);
/* The client has gone: nothing may come back to its requests. */
void request_cancel_all(struct client *c);
/* Let go of what it waits for, tell its client, free it. */
void request_cancel(struct request *rq);

/* client.c: a request was freed; reading may go on at the next turn of the loop. */
void client_request_ended(struct client *c);

#endif
