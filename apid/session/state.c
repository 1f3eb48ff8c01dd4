/* The state machine of an account: every change is a durable event, and the state to come back to
 * after a restart is kept with it. */
#include "apid/session/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/session/call.h"
#include "apid/session/connect.h"
#include "apid/session/client.h"
#include "apid/session/restored.h"
#include "apid/session/unit.h"
#include "apid/session/verdict.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"

#define LOG_MAX        32 /* changes that wait for the store; beyond it the middle ones are left out */
#define STATE_RETRY_MS 2000

static const char *const names[ACCOUNT_STATES] = {
    [ACCOUNT_UNLINKED] = "unlinked",
    [ACCOUNT_LINKING] = "linking",
    [ACCOUNT_PASSKEY_REQUIRED] = "passkey_required",
    [ACCOUNT_PASSKEY_CONFIRM] = "passkey_confirm",
    [ACCOUNT_CONNECTING] = "connecting",
    [ACCOUNT_SYNCING] = "syncing",
    [ACCOUNT_ONLINE] = "online",
    [ACCOUNT_BACKOFF] = "backoff",
    [ACCOUNT_REPLACED] = "replaced",
    [ACCOUNT_LOGGED_OUT] = "logged_out",
    [ACCOUNT_RESTRICTED] = "restricted",
    [ACCOUNT_BANNED] = "banned",
    [ACCOUNT_OUTDATED] = "outdated",
    [ACCOUNT_STOPPED] = "stopped",
};

struct change {
	enum account_state state;
	char reason[64];
	unsigned code, subcode;
	int64_t since_ms, until_ms;
	json_t *body;
	json_t *restricted; /* account.restricted, if that begins or ends with it; or NULL */
};

struct state_log {
	struct account *a;
	struct change q[LOG_MAX];
	size_t n, writing; /* the first `writing` are in a unit now */
	struct unit *unit;
	struct event *retry;
};

const char *
state_name(enum account_state s)
{
	return names[s];
}

int
state_parse(const char *text)
{
	for (int i = 0; i < ACCOUNT_STATES; i++)
		if (strcmp(names[i], text) == 0)
			return i;
	return -1;
}

int
state_is_sticky(enum account_state s)
{
	return s == ACCOUNT_UNLINKED || s >= ACCOUNT_REPLACED;
}

/* What a person is told where the reason does not say enough; NULL: it does. */
static json_t *
state_text(const struct account *a)
{
	char version[CLIENT_VERSION_MAX];

	if (a->state == ACCOUNT_STOPPED && strcmp(a->reason, RESTORED_REASON) == 0)
		return json_string("restored from a backup: make sure that no other copy of the "
				   "account runs, then resume it");
	if (a->state == ACCOUNT_REPLACED)
		return json_string("another program has logged in with the keys of this device: "
				   "stop it, then have the account reconnect");
	if (a->state == ACCOUNT_OUTDATED)
		return json_sprintf("the service takes no client of version %s any more: put a "
				    "newer one into the file of client data, and start again",
		    client_version(a->svc, version));
	return NULL;
}

json_t *
state_body(const struct account *a)
{
	json_t *o = json_pack("{s:s, s:s, s:I, s:s}", "state", names[a->state], "reason", a->reason,
	    "since_ms", (json_int_t)a->since_ms, "user_action", a->user_action);

	json_t *text = state_text(a);

	if (text != NULL)
		json_object_set_new(o, "text", text);
	if (a->code != 0)
		json_object_set_new(o, "code", json_integer(a->code));
	if (a->subcode != 0)
		json_object_set_new(o, "subcode", json_integer(a->subcode));
	if (a->next_attempt_ms > 0)
		json_object_set_new(o, "next_attempt_ms", json_integer(a->next_attempt_ms));
	if (a->until_ms > 0)
		json_object_set_new(o, "until_ms", json_integer(a->until_ms));
	return o;
}

static void
state_retry(evutil_socket_t fd, short what, void *arg)
{
	struct state_log *l = arg;

	state_flush(l->a);
}

struct state_log *
state_log_new(struct account *a)
{
	struct state_log *l = calloc(1, sizeof(*l));

	if (l == NULL)
		fatal("state_log_new");
	l->a = a;
	if ((l->retry = evtimer_new(a->svc->base, state_retry, l)) == NULL)
		fatalx("state_log_new: no event");
	return l;
}

static void
drop_first(struct state_log *l, size_t k)
{
	for (size_t i = 0; i < k; i++) {
		json_decref(l->q[i].body);
		json_decref(l->q[i].restricted);
	}
	memmove(l->q, l->q + k, (l->n - k) * sizeof(l->q[0]));
	l->n -= k;
}

void
state_log_free(struct state_log *l)
{
	if (l == NULL)
		return;
	unit_detach(l->unit);
	drop_first(l, l->n);
	event_free(l->retry);
	free(l);
}

static void
state_written(const struct unit_result *r, void *arg)
{
	struct state_log *l = arg;
	size_t k = l->writing;

	l->unit = NULL;
	l->writing = 0;
	if (r->ok) {
		drop_first(l, k);
		state_flush(l->a);
	} else {
		struct timeval tv = {STATE_RETRY_MS / 1000, 0};

		evtimer_add(l->retry, &tv);
	}
}

void
state_flush(struct account *a)
{
	struct state_log *l = a->log;
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;
	char version[CLIENT_VERSION_MAX];
	struct change *last;
	struct unit *u;

	if (l->n == 0 || l->writing > 0 || !a->opened)
		return;
	if ((u = unit_open(a)) == NULL)
		return;
	for (size_t i = 0; i < l->n; i++) {
		unit_event(
		    u, "account.state", "live", l->q[i].since_ms, json_incref(l->q[i].body), NULL);
		if (l->q[i].restricted != NULL)
			unit_event(u, "account.restricted", "live", l->q[i].since_ms,
			    json_incref(l->q[i].restricted), NULL);
	}
	last = &l->q[l->n - 1];
	rec.state = (char *)(uintptr_t)names[last->state]; /* copied by the unit, never written */
	rec.state_reason = last->reason;
	rec.has_state_since_ms = 1;
	rec.state_since_ms = last->since_ms;
	rec.has_state_until_ms = 1;
	rec.state_until_ms = last->until_ms;
	rec.has_state_code = rec.has_state_subcode = 1;
	rec.state_code = last->code;
	rec.state_subcode = last->subcode;
	if (last->state == ACCOUNT_OUTDATED) /* another one is tried at the next start */
		rec.app_version = pb_str(client_version(a->svc, version));
	unit_device(u, &rec);
	l->writing = l->n;
	l->unit = u;
	unit_commit(u, state_written, l);
}

/* What an account that the service has turned away is; NULL = nothing of the kind. */
static const char *
restriction(enum account_state s, const char *reason)
{
	if (s == ACCOUNT_RESTRICTED)
		return "temp_ban";
	if (s == ACCOUNT_BANNED)
		return "banned";
	return s == ACCOUNT_LOGGED_OUT && strcmp(reason, "locked") == 0 ? "locked" : NULL;
}

static json_t *
restricted_body(const struct account *a, const char *kind, int active)
{
	json_t *o = json_pack("{s:s, s:b}", "kind", kind, "active", active);

	if (active && a->code != 0)
		json_object_set_new(o, "code", json_integer(a->code));
	if (active && a->until_ms > 0)
		json_object_set_new(o, "until_ms", json_integer(a->until_ms));
	return o;
}

/* was: the kind of restriction before the change, or NULL. */
static void
log_push(struct account *a, const char *was)
{
	const char *is = restriction(a->state, a->reason);
	struct state_log *l = a->log;
	struct change *c;

	if (l->n == LOG_MAX) { /* the store has failed for long: the newest counts */
		json_decref(l->q[l->n - 1].body);
		json_decref(l->q[l->n - 1].restricted);
		l->n--;
	}
	c = &l->q[l->n++];
	c->state = a->state;
	memcpy(c->reason, a->reason, sizeof(c->reason));
	c->since_ms = a->since_ms;
	c->until_ms = a->until_ms;
	c->code = a->code;
	c->subcode = a->subcode;
	c->body = state_body(a);
	c->restricted = is != NULL    ? restricted_body(a, is, 1)
			: was != NULL ? restricted_body(a, was, 0)
				      : NULL;
	state_flush(a);
}

static void
until_over(evutil_socket_t fd, short what, void *arg)
{
	struct account *a = arg;

	if (a->state != ACCOUNT_RESTRICTED)
		return;
	log_notice("account %s: the restriction is over", a->name);
	connect_start(a, "restriction_over");
}

static void
arm_until(struct account *a)
{
	int64_t ms = a->until_ms - clock_wall_ms();
	struct timeval tv;

	if (a->until_timer == NULL &&
	    (a->until_timer = evtimer_new(a->svc->base, until_over, a)) == NULL)
		fatalx("state: no event");
	evtimer_del(a->until_timer);
	if (a->state != ACCOUNT_RESTRICTED || a->until_ms == 0)
		return;
	if (ms < 1000)
		ms = 1000;
	if (ms > INT64_C(86400000) * 365)
		ms = INT64_C(86400000) * 365;
	tv.tv_sec = (time_t)(ms / 1000);
	tv.tv_usec = (suseconds_t)(ms % 1000) * 1000;
	evtimer_add(a->until_timer, &tv);
}

static const char *
default_action(enum account_state s)
{
	return s == ACCOUNT_UNLINKED || s == ACCOUNT_LOGGED_OUT || s == ACCOUNT_BANNED ? "relink"
	       : s == ACCOUNT_RESTRICTED                                               ? "wait"
	       : s == ACCOUNT_OUTDATED                                                 ? "upgrade"
	       : state_is_sticky(s)                                                    ? "operator"
										       : "none";
}

void
state_restore(
    struct account *a, enum account_state s, const char *reason, int64_t since_ms, int64_t until_ms)
{
	const char *action = verdict_user_action(reason);

	a->state = s;
	(void)snprintf(a->reason, sizeof(a->reason), "%s", reason);
	a->since_ms = since_ms;
	a->until_ms = until_ms;
	a->next_attempt_ms = 0;
	a->code = a->subcode = 0;
	a->user_action = action != NULL && state_is_sticky(s) ? action : default_action(s);
	arm_until(a);
}

void
state_set(struct account *a, enum account_state s, const char *reason, unsigned code,
    const char *user_action, int64_t next_attempt_ms, int64_t until_ms)
{
	state_set_sub(a, s, reason, code, 0, user_action, next_attempt_ms, until_ms);
}

void
state_set_sub(struct account *a, enum account_state s, const char *reason, unsigned code,
    unsigned subcode, const char *user_action, int64_t next_attempt_ms, int64_t until_ms)
{
	if (a->state == s && strcmp(a->reason, reason) == 0 && a->code == code &&
	    a->subcode == subcode && a->next_attempt_ms == next_attempt_ms &&
	    a->until_ms == until_ms)
		return;
	const char *was = restriction(a->state, a->reason);

	if (a->state != s)
		a->since_ms = clock_wall_ms();
	a->state = s;
	(void)snprintf(a->reason, sizeof(a->reason), "%s", reason);
	a->code = code;
	a->subcode = subcode;
	a->user_action = user_action;
	a->next_attempt_ms = next_attempt_ms;
	a->until_ms = until_ms;
	if (state_is_sticky(s) && s != ACCOUNT_UNLINKED)
		log_warnx(
		    "account %s: %s (%s), action: %s", a->name, names[s], a->reason, user_action);
	else
		log_info("account %s: %s (%s)", a->name, names[s], a->reason);
	arm_until(a);
	log_push(a, was);
}

const struct api_error *
state_send_error(const struct account *a, struct api_error *buf)
{
	switch (a->state) {
	case ACCOUNT_UNLINKED:
	case ACCOUNT_LINKING:
	case ACCOUNT_PASSKEY_REQUIRED:
	case ACCOUNT_PASSKEY_CONFIRM:
		*buf = api_error_make(-7, "unlinked", 0, "the account is not linked");
		return buf;
	case ACCOUNT_LOGGED_OUT:
		*buf = api_error_make(
		    -7, "logged_out", 0, "the device was removed from the account; link it again");
		return buf;
	case ACCOUNT_BANNED:
		*buf = api_error_make(-12, "banned", 0, "the account is banned");
		return buf;
	case ACCOUNT_RESTRICTED:
		*buf = api_error_make(
		    -12, "temp_banned", 1, "the account may not write for some time");
		buf->until_ms = a->until_ms;
		return buf;
	case ACCOUNT_OUTDATED:
		*buf = api_error_make(
		    -13, "client_outdated", 0, "the service takes this client version no more");
		return buf;
	case ACCOUNT_REPLACED:
		*buf = api_error_make(-7, "replaced", 0,
		    "another program has logged in with the keys of this device");
		return buf;
	default:
		return NULL; /* it may wait in the outbox */
	}
}
