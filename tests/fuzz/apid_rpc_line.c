/* Fuzz: any bytes as lines of a client, up to where a method would be called; and as text of an
 * event. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "apid/rpc/api_table.h"
#include "apid/rpc/cursor.h"
#include "apid/rpc/json_out.h"
#include "apid/rpc/line.h"
#include "apid/rpc/rpc_private.h"
#include "apid/rpc/validate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What goes back to a client must be UTF-8 whatever it sent. */
static void
utf8_or_abort(const char *s)
{
	json_t *v = json_string(s);

	if (v == NULL)
		abort();
	json_decref(v);
}

static unsigned
depth(const json_t *v)
{
	unsigned most = 0, d;
	json_t *value = (json_t *)(uintptr_t)v, *item;
	const char *key;
	size_t i;

	json_array_foreach(value, i, item) if ((d = depth(item)) > most) most = d;
	json_object_foreach(value, key, item) if ((d = depth(item)) > most) most = d;
	return json_is_array(v) || json_is_object(v) ? most + 1 : 0;
}

static void
params(const struct line_request *rq)
{
	const struct api_method *m = api_method_find(rq->method);
	char path[128] = "", message[160] = "";
	const char *from;
	uint64_t seq;

	if (m == NULL)
		return;
	if (validate_params(m, rq->params, path, sizeof(path), message, sizeof(message)) == -1) {
		if (path[0] == '\0' || message[0] == '\0')
			abort();
		utf8_or_abort(path);
		return;
	}
	from = json_string_value(json_object_get(rq->params, "from"));
	if (from != NULL)
		(void)cursor_parse(from, "9f3c0a1b", &seq);
}

static void
line(const char *text, size_t len)
{
	struct line_error err;
	struct line_request rq;
	json_t *root = line_parse(text, len, &err);

	if (root == NULL || line_request(root, &rq, &err) == -1) {
		if (err.code == 0 || err.reason == NULL || err.message[0] == '\0')
			abort();
		utf8_or_abort(err.path);
		utf8_or_abort(err.message);
	} else {
		if (depth(root) > RPC_DEPTH_MAX)
			abort();
		params(&rq);
	}
	json_decref(root);
}

static void
event_text(const uint8_t *data, size_t size)
{
	struct buf b = BUF_INIT;
	json_t *v;

	json_out_string(&b, (const char *)data, size);
	v = json_loadb((const char *)b.data, b.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	if (v == NULL || memchr(b.data, '\n', b.len) != NULL)
		abort();
	json_decref(v);
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t off = 0;

	event_text(data, size);
	while (off < size) {
		const uint8_t *lf = memchr(data + off, '\n', size - off);
		size_t len = lf != NULL ? (size_t)(lf - data) - off : size - off;
		char *copy =
		    malloc(len > 0 ? len : 1); /* so that reading one byte too far is seen */

		if (copy == NULL)
			return 0;
		memcpy(copy, data + off, len);
		line(copy, len);
		free(copy);
		off += len + 1;
	}
	return 0;
}
