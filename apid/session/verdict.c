/* What a <failure> or <stream:error> means for the account: one table (protocol page 01, 6.2, 6.3).
 */
#include "apid/session/verdict.h"

#include <stdio.h>
#include <string.h>

#define RATE_DELAY_MS  30000u
#define RATE_STEPS_MAX 30u /* 15 minutes */
#define BAN_MAX_S      (INT64_C(86400) * 366)

struct failure_row {
	int reason;
	enum verdict_action action;
	enum account_state state;
	const char *word, *user_action;
};

static const struct failure_row failures[] = {
    {400, VERDICT_STOP, ACCOUNT_STOPPED, "failure_generic", "operator"},
    {401, VERDICT_ERASE, ACCOUNT_LOGGED_OUT, "logged_out", "relink"},
    {402, VERDICT_STOP, ACCOUNT_RESTRICTED, "temp_banned", "wait"},
    {403, VERDICT_ERASE, ACCOUNT_LOGGED_OUT, "locked", "open_phone"},
    {405, VERDICT_STOP, ACCOUNT_OUTDATED, "client_outdated", "upgrade"},
    {406, VERDICT_ERASE, ACCOUNT_BANNED, "banned", "open_phone"},
    {409, VERDICT_STOP, ACCOUNT_STOPPED, "bad_user_agent", "operator"},
    {413, VERDICT_STOP, ACCOUNT_STOPPED, "token_expired", "operator"},
    {414, VERDICT_STOP, ACCOUNT_STOPPED, "token_invalid", "operator"},
    {415, VERDICT_STOP, ACCOUNT_STOPPED, "not_found", "operator"},
    {418, VERDICT_STOP, ACCOUNT_STOPPED, "client_unknown", "operator"},
    {500, VERDICT_RECONNECT, ACCOUNT_BACKOFF, "server_error", "none"},
    {501, VERDICT_STOP, ACCOUNT_STOPPED, "experimental", "operator"},
    {503, VERDICT_RECONNECT, ACCOUNT_BACKOFF, "unavailable", "none"},
};

static void
set(struct verdict *v, enum verdict_action action, enum account_state state, const char *word,
    const char *user_action, int64_t code)
{
	memset(v, 0, sizeof(*v));
	v->action = action;
	v->state = state;
	v->user_action = user_action;
	v->code = code > 0 ? (unsigned)code : 0;
	(void)snprintf(v->reason, sizeof(v->reason), "%s", word);
}

void
verdict_failure(const struct node *n, int64_t now_ms, struct verdict *v)
{
	int64_t reason = node_get_int(n, "reason", 99999), expire;

	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		const struct failure_row *f = &failures[i];

		if (f->reason != reason)
			continue;
		set(v, f->action, f->state, f->word, f->user_action, reason);
		if (reason == 402) {
			expire = node_get_int(n, "expire", BAN_MAX_S);
			v->until_ms = now_ms + (expire < 0 ? 3600 : expire) * 1000;
			if (node_get_int(n, "code", 99999) > 0)
				v->subcode = (unsigned)node_get_int(n, "code", 99999);
		}
		return;
	}
	set(v, VERDICT_STOP, ACCOUNT_STOPPED, "failure_unknown", "operator", reason);
	if (reason >= 0)
		(void)snprintf(v->reason, sizeof(v->reason), "failure_%d", (int)reason);
}

/* What <stream:error> may say; conflict first, then code, then child. */
struct stream_row {
	const char *conflict; /* type of <conflict>; "" = any, or none */
	int code;
	const char *child;
	enum verdict_action action;
	enum account_state state;
	const char *word, *user_action;
};

static const struct stream_row streams[] = {
    {"replaced", 0, NULL, VERDICT_STOP, ACCOUNT_REPLACED, "replaced", "operator"},
    {"device_removed", 0, NULL, VERDICT_ERASE, ACCOUNT_LOGGED_OUT, "device_removed", "relink"},
    /* <failure reason=401> will settle it */
    {"", 0, NULL, VERDICT_RECONNECT, ACCOUNT_BACKOFF, "conflict", "none"},
    {NULL, 515, NULL, VERDICT_RESTART, ACCOUNT_CONNECTING, "restart_required", "none"},
    {NULL, 516, NULL, VERDICT_ERASE, ACCOUNT_LOGGED_OUT, "forced_logout", "relink"},
    {NULL, 409, NULL, VERDICT_STOP, ACCOUNT_REPLACED, "replaced", "operator"},
    {NULL, 429, NULL, VERDICT_DELAY, ACCOUNT_BACKOFF, "rate_limited", "wait"},
    {NULL, 401, NULL, VERDICT_RECONNECT, ACCOUNT_BACKOFF, "unauthorized", "none"},
    {NULL, 503, NULL, VERDICT_RECONNECT, ACCOUNT_BACKOFF, "unavailable", "none"},
    {NULL, 0, "ack", VERDICT_RECONNECT, ACCOUNT_BACKOFF, "missing_ack", "none"},
    {NULL, 0, "ping", VERDICT_RECONNECT, ACCOUNT_BACKOFF, "missing_pong", "none"},
    {NULL, 0, "xml-not-well-formed", VERDICT_RECONNECT, ACCOUNT_BACKOFF, "bad_stanza", "none"},
    {NULL, 500, NULL, VERDICT_RECONNECT, ACCOUNT_BACKOFF, "server_error", "none"},
    {NULL, 0, NULL, VERDICT_RECONNECT, ACCOUNT_BACKOFF, "stream_error", "none"},
};

static int
stream_fits(const struct stream_row *r, const struct node *n, int64_t code)
{
	const struct node *conflict = node_child(n, "conflict");
	const char *type = conflict != NULL ? node_get(conflict, "type") : NULL;

	if (r->conflict != NULL)
		return conflict != NULL &&
		       (r->conflict[0] == '\0' || (type != NULL && strcmp(type, r->conflict) == 0));
	if (r->code != 0)
		return code == r->code;
	return r->child == NULL || node_child(n, r->child) != NULL;
}

void
verdict_stream_error(const struct node *n, unsigned rate_steps, struct verdict *v)
{
	int64_t code = node_get_int(n, "code", 99999);
	const struct stream_row *r = streams;

	while (!stream_fits(r, n, code)) /* the last one fits everything */
		r++;
	set(v, r->action, r->state, r->word, r->user_action, code);
	if (r->action == VERDICT_DELAY)
		v->delay_ms = RATE_DELAY_MS *
			      (rate_steps + 1 > RATE_STEPS_MAX ? RATE_STEPS_MAX : rate_steps + 1);
}

const char *
verdict_user_action(const char *reason)
{
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
		if (strcmp(failures[i].word, reason) == 0)
			return failures[i].user_action;
	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++)
		if (strcmp(streams[i].word, reason) == 0)
			return streams[i].user_action;
	return strncmp(reason, "failure_", 8) == 0 ? "operator" : NULL;
}
