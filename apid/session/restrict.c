/* What the service does not let an account do for now: the reach-out time-lock and the quota of new
 * chats. What holds, how it is kept and how it ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/outbox.h"
#include "apid/session/restrict_impl.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"

#define NO_TIME_MS INT64_C(60000)    /* a lock that tells no time (8.3) */
#define TIMER_MAX  INT64_C(86400000) /* then it looks again */

/* ------------------------------------------------------------------ life */

static void over(evutil_socket_t fd, short what, void *arg);

struct restrictions *
restrict_new(struct account *a)
{
	struct restrictions *r = calloc(1, sizeof(*r));

	if (r == NULL)
		fatal("restrict_new");
	r->a = a;
	TAILQ_INIT(&r->owed);
	TAILQ_INIT(&r->looks);
	if ((r->over = evtimer_new(a->svc->base, over, r)) == NULL)
		fatalx("restrict_new: no event");
	return r;
}

void
restrict_free(struct restrictions *r)
{
	if (r == NULL)
		return;
	restrict_ask_free(r);
	event_free(r->over);
	free(r);
}

void
restrict_reset(struct account *a)
{
	struct restrictions *r = a->restrictions;

	memset(&r->lock, 0, sizeof(r->lock));
	memset(&r->quota, 0, sizeof(r->quota));
	restrict_owed_forget(r);
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
	json_t *owed = restrict_owed_list(r);
	char *text;

	if (json_array_size(owed) > 0)
		json_object_set(o, "owed", owed);
	json_decref(owed);
	text = o == NULL ? NULL : json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

void
restrict_keep(struct restrictions *r, struct unit *u)
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
	restrict_owed_load(r, json_object_get(o, "owed"));
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

int64_t
restrict_until(const struct restrictions *r, enum mex_op op)
{
	int64_t now = clock_wall_ms();

	if (op == MEX_TIMELOCK)
		return locked(r, now) ? r->lock.until_ms : 0;
	return r->quota.known && r->quota.end_ms > now ? r->quota.end_ms : 0;
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

void
restrict_written(const struct unit_result *res, void *arg)
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
		restrict_keep(r, u);
		lock_event(r, u);
		unit_commit(u, restrict_written, r);
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
	restrict_keep(r, u);
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
	restrict_keep(r, u);
	arm(r);
	outbox_restriction_changed(a);
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
