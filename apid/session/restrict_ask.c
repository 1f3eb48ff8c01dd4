/* Asking the service what it does not let an account do: for a refused message, after a login, and
 * for clients. */
#include <stdlib.h>
#include <string.h>

#include "apid/message/outbox.h"
#include "apid/session/props.h"
#include "apid/session/restrict_impl.h"
#include "common/clock.h"
#include "common/log.h"

int
restrict_is_asking(const struct account *a)
{
	const struct restrictions *r = a->restrictions;

	return r->asking[MEX_TIMELOCK] != NULL || r->asking[MEX_CAPPING] != NULL;
}

void
restrict_ask_free(struct restrictions *r)
{
	struct look *l, *next;

	for (int i = 0; i < MEX_OPS; i++)
		mex_cancel(r->asking[i]);
	restrict_owed_forget(r);
	for (l = TAILQ_FIRST(&r->looks); l != NULL; l = next) {
		next = TAILQ_NEXT(l, link);
		free(l);
	}
}

static void
tell_looks(struct restrictions *r)
{
	struct look *l, *next;

	if (restrict_is_asking(r->a))
		return;
	for (l = TAILQ_FIRST(&r->looks); l != NULL; l = next) {
		next = TAILQ_NEXT(l, link);
		TAILQ_REMOVE(&r->looks, l, link);
		if (r->look_error.reason != NULL && l->refresh)
			call_fail(l->call, &r->look_error);
		else
			call_ok(l->call, l->whole ? restrict_describe(r->a) : restrict_quota(r->a));
		free(l);
	}
	r->look_error.reason = NULL;
}

/* ------------------------------------------------------------------ asked, answered */

/* 1: it says no, and would say it again. */
static int
refused(const struct mex_answer *ans)
{
	return strcmp(ans->why, "error") == 0 && !ans->retryable && ans->code < 500;
}

static void
failed(struct restrictions *r, enum mex_op op, const struct mex_answer *ans)
{
	r->look_error = refused(ans)
			    ? api_error_make(-1, "refused", 0, "the service does not tell")
			    : api_error_make(-3, "server_error", 1, "the service did not tell");
	if (ans->code > 0 && ans->code <= UINT32_MAX)
		r->look_error.service_code = (unsigned)ans->code;
	restrict_owed_unknown(r, op, refused(ans));
}

static void
came(struct restrictions *r, enum mex_op op, const struct mex_answer *ans)
{
	struct account *a = r->a;
	struct unit *u;

	r->asking[op] = NULL;
	if (ans->root == NULL) {
		failed(r, op, ans);
	} else {
		if ((u = unit_open(a)) == NULL)
			fatal("restrict");
		if (op == MEX_TIMELOCK)
			restrict_take_lock(a, u, ans->root);
		else
			restrict_take_quota(a, u, ans->root);
		unit_commit(u, restrict_written, r);
		restrict_told(a);
	}
	tell_looks(r);
	outbox_restriction_changed(a);
}

static void
lock_came(const struct mex_answer *ans, void *arg)
{
	came(arg, MEX_TIMELOCK, ans);
}

static void
quota_came(const struct mex_answer *ans, void *arg)
{
	came(arg, MEX_CAPPING, ans);
}

void
restrict_ask_now(struct restrictions *r, enum mex_op op)
{
	json_t *vars;

	if (r->asking[op] != NULL)
		return;
	vars = op == MEX_TIMELOCK
		   ? json_object()
		   : json_pack("{s:{s:s}}", "input", "type", "INDIVIDUAL_NEW_CHAT_THREAD");
	r->asking[op] = mex_query(r->a, op, vars, op == MEX_TIMELOCK ? lock_came : quota_came, r);
}

void
restrict_online(struct account *a)
{
	struct restrictions *r = a->restrictions;

	if (r->lock.ask || r->lock.active || restrict_owed_any(r, MEX_TIMELOCK))
		restrict_ask_now(r, MEX_TIMELOCK);
	if (r->quota.ask || restrict_owed_any(r, MEX_CAPPING))
		restrict_ask_now(r, MEX_CAPPING);
}

/* ------------------------------------------------------------------ for clients */

/* The service caps the account, and what is kept has outlived its time (page 12, 8.3). */
static int
quota_is_old(const struct restrictions *r)
{
	int64_t life_ms = props_int(r->a, PROPS_CAPPING_LIFE) * 1000;

	return props_int(r->a, PROPS_CAPPING) > 0 &&
	       clock_wall_ms() - r->quota.checked_ms > life_ms;
}

static void
look(struct account *a, const void *client, int whole, int refresh, engine_done_fn *fn, void *arg)
{
	struct restrictions *r = a->restrictions;
	struct call *c = call_new(a->svc, client, fn, arg);
	struct look *l;

	if (!a->opened) {
		struct api_error e = api_error_closed(a);

		call_fail(c, &e);
		return;
	}
	if (!refresh && (!quota_is_old(r) || a->conn == 0 || !a->logged_in)) {
		call_ok(c, whole ? restrict_describe(a) : restrict_quota(a));
		return;
	}
	if (a->conn == 0 || !a->logged_in) {
		call_failf(c, -3, "offline", 1, "the account is not connected");
		return;
	}
	if ((l = calloc(1, sizeof(*l))) == NULL)
		fatal("restrict");
	l->call = c;
	l->whole = whole;
	TAILQ_INSERT_TAIL(&r->looks, l, link);
	l->refresh = refresh;
	if (whole && refresh)
		restrict_ask_now(r, MEX_TIMELOCK);
	restrict_ask_now(r, MEX_CAPPING);
}

void
account_restrictions(
    struct account *a, const void *client, int refresh, engine_done_fn *fn, void *arg)
{
	look(a, client, 1, refresh, fn, arg);
}

void
account_quota(struct account *a, const void *client, int refresh, engine_done_fn *fn, void *arg)
{
	look(a, client, 0, refresh, fn, arg);
}
