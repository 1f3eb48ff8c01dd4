/* What the service does not let an account do for now: the reach-out time-lock and the quota of new
 * chats. Asked for when a message is refused for it, told by pushes, kept in the device record. */
#include "apid/session/restrict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "apid/message/ids.h"
#include "apid/message/outbox.h"
#include "apid/session/call.h"
#include "apid/session/mex.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"

#define NO_TIME_MS INT64_C(60000)    /* a lock that tells no time (8.3) */
#define TIMER_MAX  INT64_C(86400000) /* then it looks again */
#define ASKERS_MAX 256u

struct lock {
	int active, ask; /* ask: a message was refused, and the answer is not here yet */
	int64_t until_ms, checked_ms;
	char enforcement[64];
};

struct quota {
	int known, ask;
	int64_t total, used, start_ms, end_ms, checked_ms;
	char capping[32], ote[48], mv[48];
};

struct asker { /* a refused message whose end waits for the answer */
	TAILQ_ENTRY(asker) link;
	char id[MESSAGE_ID_MAX + 1];
	restrict_fn *fn;
	void *arg;
};
TAILQ_HEAD(asker_list, asker);

struct look { /* a client that wants it fresh */
	TAILQ_ENTRY(look) link;
	struct call *call;
	int whole; /* all restrictions, not the quota alone */
};

struct restrictions {
	struct account *a;
	struct lock lock;
	struct quota quota;
	struct mex_request *asking[MEX_OPS];
	struct asker_list askers[MEX_OPS], told; /* told: their unit is being written */
	size_t naskers;
	TAILQ_HEAD(look_list, look) looks;
	struct api_error look_error; /* reason NULL: none */
	struct event *over;          /* at the end of a lock, or of a full quota */
};

/* ------------------------------------------------------------------ life */

static void over(evutil_socket_t fd, short what, void *arg);

struct restrictions *
restrict_new(struct account *a)
{
	struct restrictions *r = calloc(1, sizeof(*r));

	if (r == NULL)
		fatal("restrict_new");
	r->a = a;
	for (int i = 0; i < MEX_OPS; i++)
		TAILQ_INIT(&r->askers[i]);
	TAILQ_INIT(&r->told);
	TAILQ_INIT(&r->looks);
	if ((r->over = evtimer_new(a->svc->base, over, r)) == NULL)
		fatalx("restrict_new: no event");
	return r;
}

/* Nothing will be known any more. */
static void
askers_free(struct restrictions *r, struct asker_list *l)
{
	struct asker *k, *next;

	for (k = TAILQ_FIRST(l); k != NULL; k = next) {
		next = TAILQ_NEXT(k, link);
		k->fn(r->a, k->id, 0, k->arg);
		free(k);
	}
	TAILQ_INIT(l);
}

void
restrict_free(struct restrictions *r)
{
	struct look *l, *next;

	if (r == NULL)
		return;
	for (int i = 0; i < MEX_OPS; i++) {
		mex_cancel(r->asking[i]);
		askers_free(r, &r->askers[i]);
	}
	askers_free(r, &r->told);
	for (l = TAILQ_FIRST(&r->looks); l != NULL; l = next) {
		next = TAILQ_NEXT(l, link);
		free(l);
	}
	event_free(r->over);
	free(r);
}

void
restrict_reset(struct account *a)
{
	struct restrictions *r = a->restrictions;

	memset(&r->lock, 0, sizeof(r->lock));
	memset(&r->quota, 0, sizeof(r->quota));
	evtimer_del(r->over);
}

/* ------------------------------------------------------------------ kept */

static char *
kept_text(const struct restrictions *r)
{
	const struct lock *l = &r->lock;
	const struct quota *q = &r->quota;
	json_t *o = json_pack("{s:{s:b, s:b, s:I, s:I, s:s}, s:{s:b, s:b, s:I, s:I, s:I, s:I, s:I, "
			      "s:s, s:s, s:s}}",
	    "lock", "active", l->active, "ask", l->ask, "until_ms", (json_int_t)l->until_ms,
	    "checked_ms", (json_int_t)l->checked_ms, "enforcement", l->enforcement, "quota",
	    "known", q->known, "ask", q->ask, "total", (json_int_t)q->total, "used",
	    (json_int_t)q->used, "start_ms", (json_int_t)q->start_ms, "end_ms",
	    (json_int_t)q->end_ms, "checked_ms", (json_int_t)q->checked_ms, "capping", q->capping,
	    "ote", q->ote, "mv", q->mv);
	char *text = o == NULL ? NULL : json_dumps(o, JSON_COMPACT);

	json_decref(o);
	return text;
}

static void
keep(struct restrictions *r, struct unit *u)
{
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;
	char *text = kept_text(r);

	if (text == NULL)
		fatal("restrict");
	rec.restrictions = text;
	unit_device(u, &rec);
	free(text);
}

static int64_t
number(const json_t *o, const char *key)
{
	int64_t n = mex_int(o, key);

	return n < 0 ? 0 : n;
}

static void arm(struct restrictions *r);

void
restrict_load(struct account *a, const char *text)
{
	struct restrictions *r = a->restrictions;
	json_t *o = text == NULL ? NULL : mex_parse((const uint8_t *)text, strlen(text));
	const json_t *l = json_object_get(o, "lock"), *q = json_object_get(o, "quota");

	if (text != NULL && text[0] != '\0' && o == NULL)
		log_warnx("account %s: what is kept of its restrictions cannot be read", a->name);
	restrict_reset(a);
	r->lock.active = json_is_true(json_object_get(l, "active"));
	r->lock.ask = json_is_true(json_object_get(l, "ask"));
	r->lock.until_ms = number(l, "until_ms");
	r->lock.checked_ms = number(l, "checked_ms");
	mex_word(l, "enforcement", r->lock.enforcement, sizeof(r->lock.enforcement));
	r->quota.known = json_is_true(json_object_get(q, "known"));
	r->quota.ask = json_is_true(json_object_get(q, "ask"));
	r->quota.total = number(q, "total");
	r->quota.used = number(q, "used");
	r->quota.start_ms = number(q, "start_ms");
	r->quota.end_ms = number(q, "end_ms");
	r->quota.checked_ms = number(q, "checked_ms");
	mex_word(q, "capping", r->quota.capping, sizeof(r->quota.capping));
	mex_word(q, "ote", r->quota.ote, sizeof(r->quota.ote));
	mex_word(q, "mv", r->quota.mv, sizeof(r->quota.mv));
	json_decref(o);
	arm(r);
}

/* ------------------------------------------------------------------ what holds */

static int
locked(const struct restrictions *r, int64_t now)
{
	return r->lock.active && r->lock.until_ms > now;
}

static int
capped(const struct restrictions *r, int64_t now)
{
	return r->quota.known && strcmp(r->quota.capping, "CAPPED") == 0 && r->quota.end_ms > now;
}

const char *
restrict_new_people(const struct account *a, int64_t *until_ms)
{
	const struct restrictions *r = a->restrictions;
	int64_t now = clock_wall_ms();

	if (locked(r, now)) {
		*until_ms = r->lock.until_ms;
		return "reachout_timelock";
	}
	if (capped(r, now)) {
		*until_ms = r->quota.end_ms;
		return "new_chats_capped";
	}
	*until_ms = 0;
	return NULL;
}

int
restrict_is_asking(const struct account *a)
{
	const struct restrictions *r = a->restrictions;

	return r->asking[MEX_TIMELOCK] != NULL || r->asking[MEX_CAPPING] != NULL;
}

/* At the end of what holds, by the clock on the wall: it may be set meanwhile. */
static void
arm(struct restrictions *r)
{
	int64_t now = clock_wall_ms(), at = 0, ms;
	struct timeval tv;

	if (r->lock.active)
		at = r->lock.until_ms;
	if (capped(r, now) && (at == 0 || r->quota.end_ms < at))
		at = r->quota.end_ms;
	evtimer_del(r->over);
	if (at == 0)
		return;
	ms = at - now < 1 ? 1 : at - now > TIMER_MAX ? TIMER_MAX : at - now;
	tv.tv_sec = (time_t)(ms / 1000);
	tv.tv_usec = (suseconds_t)(ms % 1000) * 1000;
	evtimer_add(r->over, &tv);
}

static void
lock_event(struct restrictions *r, struct unit *u)
{
	json_t *body =
	    json_pack("{s:s, s:b}", "kind", "reachout_timelock", "active", r->lock.active);

	if (r->lock.enforcement[0] != '\0')
		json_object_set_new(body, "enforcement", json_string(r->lock.enforcement));
	if (r->lock.active)
		json_object_set_new(body, "until_ms", json_integer(r->lock.until_ms));
	unit_event(u, "account.restricted", "live", clock_wall_ms(), body, NULL);
}

static void
written(const struct unit_result *res, void *arg)
{
	struct restrictions *r = arg;

	if (!res->ok) /* it is known here; a restart may have to learn it anew */
		log_warnx(
		    "account %s: its restrictions could not be kept: %s", r->a->name, res->reason);
}

static void
over(evutil_socket_t fd, short what, void *arg)
{
	struct restrictions *r = arg;
	struct account *a = r->a;
	int64_t now = clock_wall_ms();
	struct unit *u;

	if (r->lock.active && !locked(r, now) && a->opened && (u = unit_open(a)) != NULL) {
		log_notice("account %s: the reach-out time-lock is over", a->name);
		r->lock.active = 0;
		keep(r, u);
		lock_event(r, u);
		unit_commit(u, written, r);
	}
	arm(r);
	outbox_restriction_changed(a);
}

/* ------------------------------------------------------------------ what the service says */

void
restrict_take_lock(struct account *a, struct unit *u, const json_t *o)
{
	struct restrictions *r = a->restrictions;
	struct lock was = r->lock;
	int64_t s = mex_int(o, "time_enforcement_ends"), now = clock_wall_ms();

	r->lock.active = json_is_true(json_object_get(o, "is_active"));
	r->lock.until_ms = !r->lock.active                        ? 0
			   : s > 0 && s <= INT64_C(9000000000000) ? s * 1000
								  : now + NO_TIME_MS;
	mex_word(o, "enforcement_type", r->lock.enforcement, sizeof(r->lock.enforcement));
	r->lock.active = r->lock.active && r->lock.until_ms > now;
	r->lock.checked_ms = now;
	r->lock.ask = 0;
	keep(r, u);
	if (r->lock.active != was.active ||
	    (r->lock.active && (r->lock.until_ms != was.until_ms ||
				   strcmp(r->lock.enforcement, was.enforcement) != 0))) {
		lock_event(r, u);
		log_notice("account %s: the reach-out time-lock is %s", a->name,
		    r->lock.active ? "on" : "off");
	}
	arm(r);
	outbox_restriction_changed(a);
}

json_t *
restrict_quota(const struct account *a)
{
	const struct quota *q = &a->restrictions->quota;

	if (!q->known)
		return json_object();
	return json_pack("{s:I, s:I, s:I, s:I, s:s, s:s, s:s, s:I}", "total", (json_int_t)q->total,
	    "used", (json_int_t)q->used, "cycle_start_ms", (json_int_t)q->start_ms, "cycle_end_ms",
	    (json_int_t)q->end_ms, "capping", q->capping, "ote", q->ote, "mv", q->mv, "checked_ms",
	    (json_int_t)q->checked_ms);
}

/* Seconds of the service, in ms. */
static int64_t
ms_of(const json_t *o, const char *key)
{
	int64_t s = number(o, key);

	return s > INT64_C(9000000000000) ? 0 : s * 1000;
}

void
restrict_take_quota(struct account *a, struct unit *u, const json_t *o)
{
	struct restrictions *r = a->restrictions;
	struct quota was = r->quota, *q = &r->quota;
	json_t *body;

	memset(q, 0, sizeof(*q));
	q->known = 1;
	q->total = number(o, "total_quota");
	q->used = number(o, "used_quota");
	q->start_ms = ms_of(o, "cycle_start_timestamp");
	q->end_ms = ms_of(o, "cycle_end_timestamp");
	mex_word(o, "capping_status", q->capping, sizeof(q->capping));
	mex_word(o, "ote_status", q->ote, sizeof(q->ote));
	mex_word(o, "mv_status", q->mv, sizeof(q->mv));
	was.ask = 0;
	was.checked_ms = 0;
	if (memcmp(&was, q, sizeof(was)) != 0) {
		body = restrict_quota(a);
		json_object_del(body, "checked_ms");
		unit_event(u, "account.quota", "live", clock_wall_ms(), body, NULL);
	}
	q->checked_ms = clock_wall_ms();
	keep(r, u);
	arm(r);
	outbox_restriction_changed(a);
}

/* ------------------------------------------------------------------ asking */

static void
tell_looks(struct restrictions *r)
{
	struct look *l, *next;

	if (restrict_is_asking(r->a))
		return;
	for (l = TAILQ_FIRST(&r->looks); l != NULL; l = next) {
		next = TAILQ_NEXT(l, link);
		TAILQ_REMOVE(&r->looks, l, link);
		if (r->look_error.reason != NULL)
			call_fail(l->call, &r->look_error);
		else
			call_ok(l->call, l->whole ? restrict_describe(r->a) : restrict_quota(r->a));
		free(l);
	}
	r->look_error.reason = NULL;
}

struct telling { /* the unit with the answer, and those who wait for it */
	struct restrictions *r;
	enum mex_op op;
	int64_t until_ms;
	size_t n; /* the first so many of r->told */
};

static void
told(const struct unit_result *res, void *arg)
{
	struct telling *t = arg;
	struct restrictions *r = t->r;

	written(res, r);
	for (size_t i = 0; i < t->n; i++) {
		struct asker *k = TAILQ_FIRST(&r->told);

		TAILQ_REMOVE(&r->told, k, link);
		r->naskers--;
		k->fn(r->a, k->id, res->ok ? t->until_ms : 0, k->arg);
		free(k);
	}
	free(t);
}

/* The rows of those who were refused keep the time with what was learned. */
static void
answer(struct restrictions *r, enum mex_op op, struct unit *u)
{
	struct telling *t = calloc(1, sizeof(*t));
	int64_t now = clock_wall_ms();
	struct asker *k;

	if (t == NULL)
		fatal("restrict");
	t->r = r;
	t->op = op;
	if (op == MEX_TIMELOCK && locked(r, now))
		t->until_ms = r->lock.until_ms;
	if (op == MEX_CAPPING && r->quota.known && r->quota.end_ms > now)
		t->until_ms = r->quota.end_ms;
	while ((k = TAILQ_FIRST(&r->askers[op])) != NULL) {
		Stored__OutboxUpdate up = STORED__OUTBOX_UPDATE__INIT;

		TAILQ_REMOVE(&r->askers[op], k, link);
		TAILQ_INSERT_TAIL(&r->told, k, link);
		t->n++;
		if (t->until_ms == 0)
			continue;
		up.message_id = k->id;
		up.has_until_ms = 1;
		up.until_ms = t->until_ms;
		unit_outbox_update(u, &up);
	}
	unit_commit(u, told, t);
}

static void
look_failed(struct restrictions *r, const struct mex_answer *ans)
{
	int refused = strcmp(ans->why, "error") == 0 && !ans->retryable && ans->code < 500;

	r->look_error = refused ? api_error_make(-1, "refused", 0, "the service does not tell")
				: api_error_make(-3, "server_error", 1, "the service did not tell");
	if (ans->code > 0 && ans->code <= UINT32_MAX)
		r->look_error.service_code = (unsigned)ans->code;
}

static void
came(struct restrictions *r, enum mex_op op, const struct mex_answer *ans)
{
	struct account *a = r->a;
	struct unit *u;

	r->asking[op] = NULL;
	if ((u = unit_open(a)) == NULL)
		fatal("restrict");
	if (ans->root != NULL && op == MEX_TIMELOCK)
		restrict_take_lock(a, u, ans->root);
	else if (ans->root != NULL)
		restrict_take_quota(a, u, ans->root);
	else
		look_failed(r, ans);
	answer(r, op, u);
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

static void
ask(struct restrictions *r, enum mex_op op)
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
restrict_note(struct account *a, struct unit *u, unsigned code)
{
	struct restrictions *r = a->restrictions;

	if (code == 463)
		r->lock.ask = 1;
	else if (code == 475)
		r->quota.ask = 1;
	else
		return;
	keep(r, u);
}

int
restrict_unanswered(const struct account *a, unsigned code)
{
	const struct restrictions *r = a->restrictions;

	return code == 463   ? r->lock.ask || r->asking[MEX_TIMELOCK] != NULL
	       : code == 475 ? r->quota.ask || r->asking[MEX_CAPPING] != NULL
			     : 0;
}

void
restrict_ask(struct account *a, unsigned code, const char *message_id, restrict_fn *fn, void *arg)
{
	struct restrictions *r = a->restrictions;
	enum mex_op op = code == 463 ? MEX_TIMELOCK : MEX_CAPPING;
	struct asker *k;

	if (r->naskers >= ASKERS_MAX || (k = calloc(1, sizeof(*k))) == NULL) {
		fn(a, message_id, 0, arg);
		return;
	}
	(void)snprintf(k->id, sizeof(k->id), "%s", message_id);
	k->fn = fn;
	k->arg = arg;
	TAILQ_INSERT_TAIL(&r->askers[op], k, link);
	r->naskers++;
	ask(r, op);
}

void
restrict_online(struct account *a)
{
	struct restrictions *r = a->restrictions;

	if (r->lock.ask || r->lock.active)
		ask(r, MEX_TIMELOCK);
	if (r->quota.ask)
		ask(r, MEX_CAPPING);
}

/* ------------------------------------------------------------------ for clients */

json_t *
restrict_describe(const struct account *a)
{
	const struct restrictions *r = a->restrictions;
	int64_t now = clock_wall_ms();
	json_t *o = json_object(), *lock, *ban;

	lock = json_pack("{s:b}", "active", locked(r, now));
	if (locked(r, now))
		json_object_set_new(lock, "until_ms", json_integer(r->lock.until_ms));
	if (r->lock.enforcement[0] != '\0')
		json_object_set_new(lock, "enforcement", json_string(r->lock.enforcement));
	if (r->lock.checked_ms > 0)
		json_object_set_new(lock, "checked_ms", json_integer(r->lock.checked_ms));
	ban = json_pack("{s:b}", "active", a->state == ACCOUNT_RESTRICTED);
	if (a->state == ACCOUNT_RESTRICTED) {
		json_object_set_new(ban, "reason", json_string(a->reason));
		if (a->until_ms > 0)
			json_object_set_new(ban, "until_ms", json_integer(a->until_ms));
	}
	json_object_set_new(o, "temp_ban", ban);
	json_object_set_new(o, "reachout_timelock", lock);
	json_object_set_new(o, "quota", restrict_quota(a));
	return o;
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
	if (!refresh) {
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
	if (whole)
		ask(r, MEX_TIMELOCK);
	ask(r, MEX_CAPPING);
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
