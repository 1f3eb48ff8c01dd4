/* GraphQL over iq: questions, answers, and pushes. */
#include "apid/session/mex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/content.h"
#include "apid/session/client.h"
#include "apid/session/iq.h"
#include "apid/session/restrict.h"
#include "apid/session/stanza.h"
#include "apid/session/unit.h"
#include "common/log.h"

#define NUMBER_MAX  INT64_C(9007199254740992) /* 2^53 */
#define PAYLOAD_MAX (64u * 1024)              /* beyond it an event has the bytes alone */
#define UPDATES_MAX 16u                       /* of one stanza */

struct mex_request {
	struct account *a;
	enum mex_op op;
	uint64_t iq;
	mex_fn *fn;
	void *arg;
};

/* ------------------------------------------------------------------ reading */

/* jansson recurses: what is too deep does not get to it. */
static int
too_deep(const uint8_t *bytes, size_t len)
{
	size_t depth = 0;
	int in_string = 0;

	for (size_t i = 0; i < len; i++) {
		if (in_string) {
			if (bytes[i] == '\\')
				i++;
			else if (bytes[i] == '"')
				in_string = 0;
		} else if (bytes[i] == '"') {
			in_string = 1;
		} else if (bytes[i] == '{' || bytes[i] == '[') {
			if (++depth > MEX_DEPTH_MAX)
				return 1;
		} else if ((bytes[i] == '}' || bytes[i] == ']') && depth > 0) {
			depth--;
		}
	}
	return 0;
}

json_t *
mex_parse(const uint8_t *bytes, size_t len)
{
	json_t *o;

	if (len == 0 || len > MEX_TEXT_MAX || too_deep(bytes, len))
		return NULL;
	o = json_loadb((const char *)bytes, len, JSON_REJECT_DUPLICATES, NULL);
	if (o != NULL && !json_is_object(o)) {
		json_decref(o);
		o = NULL;
	}
	return o;
}

/* Of several errors the summary counts, else one with a code, else the first (14.1). */
static const json_t *
the_error(const json_t *errors)
{
	const json_t *best = NULL, *e, *x;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)errors, i, e)
	{
		x = json_object_get(e, "extensions");
		if (json_is_true(json_object_get(x, "is_summary")))
			return x;
		if (best == NULL ||
		    (mex_int(best, "error_code") <= 0 && mex_int(x, "error_code") > 0))
			best = x;
	}
	return best;
}

void
mex_read(const json_t *text, const char *root, struct mex_answer *out)
{
	const json_t *errors = json_object_get(text, "errors"), *e;

	memset(out, 0, sizeof(*out));
	if (json_array_size(errors) > 0) {
		e = the_error(errors);
		out->why = "error";
		out->code = mex_int(e, "error_code");
		if (out->code < 0)
			out->code = 0;
		out->retryable = json_is_true(json_object_get(e, "is_retryable"));
		return;
	}
	out->root = json_object_get(json_object_get(text, "data"), root);
	if (!json_is_object(out->root)) {
		out->root = NULL;
		out->why = "malformed";
	}
}

int64_t
mex_int(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	const char *text = json_string_value(v);
	json_int_t n = json_integer_value(v);
	char *end;

	if (text != NULL) {
		if (text[0] < '0' || text[0] > '9' || strlen(text) != json_string_length(v))
			return -1;
		errno = 0;
		n = strtoll(text, &end, 10);
		if (errno != 0 || *end != '\0')
			return -1;
	} else if (!json_is_integer(v)) {
		return -1;
	}
	return n < 0 || n > NUMBER_MAX ? -1 : (int64_t)n;
}

void
mex_word(const json_t *o, const char *key, char *out, size_t size)
{
	const json_t *v = json_object_get(o, key);
	size_t len = json_string_length(v);

	out[0] = '\0';
	if (json_is_string(v) && len < size && strlen(json_string_value(v)) == len)
		memcpy(out, json_string_value(v), len + 1);
}

/* ------------------------------------------------------------------ asking */

static void
answered(const struct iq_answer *ans, void *arg)
{
	struct mex_request *r = arg;
	const struct node *result = ans->ok ? node_child(ans->node, "result") : NULL;
	struct mex_answer out = {.why = ans->why, .code = ans->code};
	const char *format = result == NULL ? NULL : node_get(result, "format");
	json_t *text = NULL;

	if (ans->ok) {
		out.why = "malformed"; /* also another format than JSON, which other ids bring */
		if (result != NULL && result->has_bytes && format == NULL)
			text = mex_parse(result->bytes, result->nbytes);
		if (text != NULL)
			mex_read(text, mex_queries[r->op].root, &out);
	}
	if (out.root == NULL) {
		r->a->n.mex_failures++;
		log_notice("account %s: %s was answered with %s (%lld)", r->a->name,
		    mex_queries[r->op].name, out.why, (long long)out.code);
	}
	r->fn(&out, r->arg);
	json_decref(text);
	free(r);
}

struct mex_request *
mex_query(struct account *a, enum mex_op op, json_t *variables, mex_fn *fn, void *arg)
{
	struct node *iq = iq_new("get", "w:mex"), *q = node_new("query");
	json_t *body = json_pack("{s:o}", "variables", variables);
	struct mex_request *r = calloc(1, sizeof(*r));
	char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);

	if (r == NULL || text == NULL)
		fatal("mex_query");
	r->a = a;
	r->op = op;
	r->fn = fn;
	r->arg = arg;
	node_set(q, "query_id", client_query_id(a->svc, mex_queries[op].name, mex_id(op)));
	node_set_bytes(q, text, strlen(text));
	node_add(iq, q);
	r->iq = iq_request(a, iq, MEX_TIMEOUT_MS, answered, r);
	free(text);
	json_decref(body);
	return r;
}

void
mex_cancel(struct mex_request *r)
{
	if (r == NULL)
		return;
	iq_cancel(r->a, r->iq);
	free(r);
}

/* ------------------------------------------------------------------ pushes */

static const struct {
	const char *op, *root;
	void (*take)(struct account *a, struct unit *u, const json_t *o);
} pushes[] = {
    {"NotificationUserReachoutTimelockUpdate", "xwa2_notify_account_reachout_timelock",
	restrict_take_lock},
    {"MessageCappingInfoNotification", "xwa2_notify_new_chat_messages_capping_info_update",
	restrict_take_quota},
};

/* One that this version has no event for, or that cannot be read: handed on as it is. */
static void
keep_push(struct account *a, struct unit *u, const struct node *n, const struct node *update,
    const char *op, json_t *payload)
{
	json_t *body = json_pack("{s:s}", "op_name", op);
	const char *from = node_get(n, "from");

	a->n.unknown++;
	if (from != NULL)
		json_object_set_new(body, "from", json_string(from));
	if (payload != NULL && update->nbytes <= PAYLOAD_MAX)
		json_object_set(body, "payload", payload);
	if (update->has_bytes)
		(void)content_set_raw(body, update->bytes,
		    update->nbytes < CONTENT_RAW_PART ? update->nbytes : CONTENT_RAW_PART);
	unit_event(u, "server.mex", stanza_origin(n), stanza_time_ms(a, n), body, NULL);
}

static void
take_push(struct account *a, struct unit *u, const struct node *n, const struct node *update)
{
	const char *op = node_get(update, "op_name");
	json_t *text = update->has_bytes ? mex_parse(update->bytes, update->nbytes) : NULL;
	struct mex_answer ans = {0};
	size_t i, npushes = sizeof(pushes) / sizeof(pushes[0]);

	for (i = 0; i < npushes && op != NULL; i++)
		if (strcmp(op, pushes[i].op) == 0)
			break;
	if (op != NULL && i < npushes && text != NULL)
		mex_read(text, pushes[i].root, &ans);
	if (ans.root != NULL)
		pushes[i].take(a, u, ans.root);
	else
		keep_push(a, u, n, update, op != NULL ? op : "", text);
	json_decref(text);
}

void
mex_notification(struct account *a, const struct node *n)
{
	struct unit *u = unit_open(a);
	size_t updates = 0;

	for (size_t i = 0; i < n->nchildren && u != NULL; i++)
		if (node_is(n->children[i], "update") && ++updates <= UPDATES_MAX)
			take_push(a, u, n, n->children[i]);
	if (u != NULL && (updates == 0 || updates > UPDATES_MAX)) /* the older form, or another */
		stanza_keep(u, n, "mex");
	stanza_ack_after(a, u, n, 0);
	restrict_told(a);
}
