/* GraphQL: the time-lock and the quota of new chats, as tests set them; pushes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/sim/loop.h"
#include "tests/sim/mex.h"
#include "tests/sim/nodes.h"
#include "tests/sim/offline.h"

#define TIMELOCK_ID "23983697327930364"
#define CAPPING_ID  "27910975521856601"

/* Numbers as the service gives them: some as text. */
static json_t *
text_of(int64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)n);
	return json_string(text);
}

static json_t *
lock_json(const struct mex_state *m)
{
	return json_pack("{s:b, s:o, s:s}", "is_active", m->lock_active, "time_enforcement_ends",
	    text_of(m->lock_ends), "enforcement_type",
	    m->enforcement[0] != '\0' ? m->enforcement : "DEFAULT");
}

static json_t *
quota_json(const struct mex_state *m)
{
	return json_pack("{s:I, s:o, s:o, s:I, s:o, s:s, s:s, s:s}", "total_quota",
	    (json_int_t)m->total, "used_quota", text_of(m->used), "cycle_start_timestamp",
	    text_of(m->cycle_start), "cycle_end_timestamp", (json_int_t)m->cycle_end,
	    "server_sent_timestamp", text_of(loop_now()), "ote_status", "NOT_ELIGIBLE", "mv_status",
	    "NOT_ACTIVE", "capping_status", m->capping[0] != '\0' ? m->capping : "NONE");
}

static void
answer(struct origin *o, const struct node *iq, json_t *body)
{
	struct node *a = nodes_result(iq), *r = node_child_new(a, "result");
	char *text = json_dumps(body, JSON_COMPACT);

	if (text == NULL)
		fatal("mex");
	node_set_bytes(r, text, strlen(text));
	free(text);
	json_decref(body);
	route_reply(o, a);
}

static json_t *
failure(const struct mex_state *m)
{
	return json_pack("{s:n, s:[{s:s, s:{s:i, s:b, s:b, s:s}}]}", "data", "errors", "message",
	    "refused on purpose", "extensions", "error_code", m->fail_code, "is_summary", 1,
	    "is_retryable", m->fail_retryable, "severity", "CRITICAL");
}

void
mex_query(struct origin *o, const struct node *iq)
{
	const struct node *q = node_child(iq, "query");
	const char *id = nodes_attr(q, "query_id");
	struct mex_state *m = &o->dev->account->mex;
	json_t *asked = q->has_bytes ? json_loadb((const char *)q->bytes, q->nbytes,
					   JSON_REJECT_DUPLICATES, NULL)
				     : NULL;
	int good = json_is_object(json_object_get(asked, "variables"));
	const char *type = json_string_value(
	    json_object_get(json_object_get(json_object_get(asked, "variables"), "input"), "type"));

	if (m->mute) {
		json_decref(asked);
		return;
	}
	if (!good) {
		route_error(o, iq, 400);
	} else if (m->fail_count > 0) {
		m->fail_count--;
		answer(o, iq, failure(m));
	} else if (strcmp(id, TIMELOCK_ID) == 0) {
		answer(o, iq,
		    json_pack(
			"{s:{s:o}}", "data", "xwa2_fetch_account_reachout_timelock", lock_json(m)));
	} else if (strcmp(id, CAPPING_ID) == 0 && type != NULL &&
		   strcmp(type, "INDIVIDUAL_NEW_CHAT_THREAD") == 0) {
		answer(o, iq,
		    json_pack("{s:{s:o}}", "data", "xwa2_message_capping_info", quota_json(m)));
	} else {
		route_stats.unknown++;
		route_error(o, iq, 404); /* an id that this bundle does not know */
	}
	json_decref(asked);
}

void
mex_push(struct account *a, const char *op, const char *payload)
{
	struct device *d;

	TAILQ_FOREACH(d, &a->devices, link)
	if (d->id != 0) {
		struct node *n = route_notification("mex"), *u = node_child_new(n, "update");

		node_set(u, "op_name", op);
		node_set_bytes(u, payload, strlen(payload));
		offline_deliver(d, n);
	}
}

static void
push_json(struct account *a, const char *op, const char *root, json_t *what)
{
	json_t *o = json_pack("{s:{s:o}}", "data", root, what);
	char *text = json_dumps(o, JSON_COMPACT);

	if (text == NULL)
		fatal("mex");
	mex_push(a, op, text);
	free(text);
	json_decref(o);
}

static int
take(const json_t *o, const char *key, int64_t *out)
{
	const json_t *v = json_object_get(o, key);

	if (v == NULL)
		return 0;
	*out = (int64_t)json_integer_value(v);
	return json_is_integer(v) && *out >= 0 ? 0 : -1;
}

static void
take_word(const json_t *o, const char *key, char *out, size_t size)
{
	const char *v = json_string_value(json_object_get(o, key));

	if (v != NULL)
		snprintf(out, size, "%s", v);
}

int
mex_set(struct account *a, const json_t *o, const char **why)
{
	const json_t *lock = json_object_get(o, "timelock"), *quota = json_object_get(o, "quota");
	const json_t *fail = json_object_get(o, "fail");
	struct mex_state *m = &a->mex;
	int push = json_is_true(json_object_get(o, "push"));
	int64_t code = m->fail_code, count = m->fail_count;

	*why = "timelock {active, ends, enforcement}, quota {total, used, start, end, capping}, "
	       "fail {code, retryable, count}, mute, push";
	if (take(lock, "ends", &m->lock_ends) != 0 || take(quota, "total", &m->total) != 0 ||
	    take(quota, "used", &m->used) != 0 || take(quota, "start", &m->cycle_start) != 0 ||
	    take(quota, "end", &m->cycle_end) != 0 || take(fail, "code", &code) != 0 ||
	    take(fail, "count", &count) != 0)
		return -1;
	if (lock != NULL)
		m->lock_active = json_is_true(json_object_get(lock, "active"));
	take_word(lock, "enforcement", m->enforcement, sizeof(m->enforcement));
	take_word(quota, "capping", m->capping, sizeof(m->capping));
	m->fail_code = (int)code;
	m->fail_count = (unsigned)count;
	m->fail_retryable = json_is_true(json_object_get(fail, "retryable"));
	if (json_object_get(o, "mute") != NULL)
		m->mute = json_is_true(json_object_get(o, "mute"));
	if (push && lock != NULL)
		push_json(a, "NotificationUserReachoutTimelockUpdate",
		    "xwa2_notify_account_reachout_timelock", lock_json(m));
	if (push && quota != NULL)
		push_json(a, "MessageCappingInfoNotification",
		    "xwa2_notify_new_chat_messages_capping_info_update", quota_json(m));
	return 0;
}
