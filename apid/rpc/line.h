/* One line of a client -> JSON, strictly. */
#ifndef WARD_LINE_H
#define WARD_LINE_H

#include <stddef.h>

#include <jansson.h>

struct line_error {
	int code;           /* -32700, -32600 or -32602 */
	const char *reason; /* "parse", "request", "params" */
	char message[160];
	char path[128]; /* where: "filter.types[2]", "" = the whole line */
};

/* Parse a line without its LF. Duplicate keys, invalid UTF-8, NUL and nesting beyond RPC_DEPTH_MAX
 * are refused. NULL on failure, with *err filled. The caller owns the value. */
json_t *line_parse(const char *text, size_t len, struct line_error *err);

/* What a request line must be: an object with jsonrpc "2.0", a method, maybe params, maybe an id,
 * and nothing else. Borrowed from root. */
struct line_request {
	json_t *id; /* NULL = there is none */
	const char *method;
	json_t *params; /* NULL = there are none */
};
/* 0, or -1 with *err. rq->id is set whenever there is a usable one, also on failure. */
int line_request(json_t *root, struct line_request *rq, struct line_error *err);

#endif
