/* One line of a client: bytes -> JSON -> the parts of a request; and where exactly it is wrong. */
#include <stdio.h>
#include <string.h>

#include "apid/rpc/line.h"
#include "apid/rpc/rpc_private.h"

#define ID_BYTES_MAX 64
#define ID_INT_MAX   INT64_C(9007199254740992) /* 2^53 */

/* Where the scanner stands in a text: the open containers with their last key or index. */
struct place {
	unsigned depth;
	struct {
		int array;
		size_t index;
		const char *key;
		size_t key_len;
	} level[RPC_DEPTH_MAX];
	const char *str; /* last string seen */
	size_t str_len;
};

/* Walk to `end`, skipping strings; -1 if it opens more containers than allowed. The text need not
 * be valid: nothing is decided here but the depth. */
static int
place_walk(struct place *at, const char *text, size_t end)
{
	for (size_t i = 0; i < end; i++) {
		switch (text[i]) {
		case '"':
			at->str = text + i + 1;
			for (i++; i < end && text[i] != '"'; i++)
				if (text[i] == '\\')
					i++;
			at->str_len = (size_t)(text + (i < end ? i : end) - at->str);
			break;
		case '{':
		case '[':
			if (at->depth == RPC_DEPTH_MAX)
				return -1;
			at->level[at->depth].array = text[i] == '[';
			at->level[at->depth].index = 0;
			at->level[at->depth].key = NULL;
			at->depth++;
			break;
		case '}':
		case ']':
			if (at->depth > 0)
				at->depth--;
			break;
		case ':':
			if (at->depth > 0) {
				at->level[at->depth - 1].key = at->str;
				at->level[at->depth - 1].key_len = at->str_len;
			}
			break;
		case ',':
			if (at->depth > 0)
				at->level[at->depth - 1].index++;
			break;
		default:
			break;
		}
	}
	return 0;
}

/* Keys come from the client: only plain ones are repeated to it. */
static void
place_print(const struct place *at, char *out, size_t size)
{
	size_t len = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < at->depth; i++) {
		char part[48];

		if (at->level[i].array) {
			snprintf(part, sizeof(part), "[%zu]", at->level[i].index);
		} else {
			size_t n = at->level[i].key_len;

			if (at->level[i].key == NULL)
				continue;
			if (n > 32 ||
			    strspn(at->level[i].key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRS"
						     "TUVWXYZ0123456789_$-") < n)
				snprintf(part, sizeof(part), "%s?", len > 0 ? "." : "");
			else
				snprintf(part, sizeof(part), "%s%.*s", len > 0 ? "." : "", (int)n,
				    at->level[i].key);
		}
		if (len + strlen(part) >= size)
			return;
		memcpy(out + len, part, strlen(part) + 1);
		len += strlen(part);
	}
	if (strncmp(out, "params.", 7) == 0) /* as validate.c names parameters */
		memmove(out, out + 7, strlen(out + 7) + 1);
}

static int
refuse(struct line_error *err, int code, const char *reason, const char *message)
{
	err->code = code;
	err->reason = reason;
	snprintf(err->message, sizeof(err->message), "%s", message);
	return -1;
}

json_t *
line_parse(const char *text, size_t len, struct line_error *err)
{
	struct place at = {.depth = 0};
	json_error_t je;
	json_t *root;
	size_t where;

	memset(err, 0, sizeof(*err));
	if (place_walk(&at, text, len) == -1) {
		place_print(&at, err->path, sizeof(err->path));
		refuse(err, -32602, "params", "nested deeper than 16 levels");
		return NULL;
	}
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
	if (root != NULL)
		return root;

	where = je.position > 0 && (size_t)je.position <= len ? (size_t)je.position : len;
	memset(&at, 0, sizeof(at));
	(void)place_walk(&at, text, where);
	place_print(&at, err->path, sizeof(err->path));
	switch (json_error_code(&je)) {
	case json_error_duplicate_key:
		refuse(err, -32602, "params", "a key comes twice in one object");
		break;
	case json_error_invalid_utf8:
		refuse(err, -32602, "params", "the text is not valid UTF-8");
		break;
	case json_error_null_character:
	case json_error_null_byte_in_key:
		refuse(err, -32602, "params", "NUL is not allowed in a string");
		break;
	default:
		if (memchr(text, '\0', len) != NULL) {
			refuse(err, -32602, "params", "NUL is not allowed");
			break;
		}
		refuse(err, -32700, "parse", "");
		snprintf(err->message, sizeof(err->message), "not JSON, at byte %zu", where);
		break;
	}
	return NULL;
}

static int
id_usable(const json_t *id)
{
	if (json_is_string(id))
		return json_string_length(id) <= ID_BYTES_MAX;
	return json_is_integer(id) && json_integer_value(id) >= -ID_INT_MAX &&
	       json_integer_value(id) <= ID_INT_MAX;
}

int
line_request(json_t *root, struct line_request *rq, struct line_error *err)
{
	const char *key;
	json_t *v;

	memset(rq, 0, sizeof(*rq));
	memset(err, 0, sizeof(*err));
	if (json_is_array(root))
		return refuse(
		    err, -32600, "request", "batches are refused; write one request a line");
	if (!json_is_object(root))
		return refuse(err, -32600, "request", "a request is an object");
	if ((v = json_object_get(root, "id")) != NULL) {
		if (!id_usable(v)) {
			snprintf(err->path, sizeof(err->path), "id");
			return refuse(err, -32600, "request",
			    "id is a string of at most 64 bytes or an integer within 2^53");
		}
		rq->id = v;
	}
	v = json_object_get(root, "jsonrpc");
	if (!json_is_string(v) || strcmp(json_string_value(v), "2.0") != 0) {
		snprintf(err->path, sizeof(err->path), "jsonrpc");
		return refuse(err, -32600, "request", "jsonrpc must be \"2.0\"");
	}
	v = json_object_get(root, "method");
	if (!json_is_string(v) || json_string_length(v) > 64) {
		snprintf(err->path, sizeof(err->path), "method");
		return refuse(err, -32600, "request", "method must be a name");
	}
	rq->method = json_string_value(v);
	if ((v = json_object_get(root, "params")) != NULL && !json_is_object(v)) {
		snprintf(err->path, sizeof(err->path), "params");
		return refuse(err, -32600, "request", "params must be an object");
	}
	rq->params = v;
	json_object_foreach(root, key, v)
	{
		if (strcmp(key, "jsonrpc") == 0 || strcmp(key, "id") == 0 ||
		    strcmp(key, "method") == 0 || strcmp(key, "params") == 0)
			continue;
		return refuse(
		    err, -32600, "request", "only jsonrpc, id, method and params are known");
	}
	return 0;
}
