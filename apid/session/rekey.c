/* Changing keys: keyd is asked to take the records of every account over to the next master key,
 * some at a time, in units of work like any other.
 *
 *	rekey_told -> next -> take -> taken -> committed -> (a rest) -> next …
 *	                 \-> look -> looked -> (a rest) -> next … until keyd says that it is done
 *
 * keyd alone knows which records are left, and when all is over; here is only the pace. After each
 * step as much time is left to messages as it took, and more. */
#include "apid/session/rekey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/session/ask.h"
#include "apid/session/call.h"
#include "apid/session/unit.h"
#include "common/clock.h"
#include "common/log.h"

#define REST_MIN_MS 10 /* after a step; else twice what it took */
#define REST_MAX_MS 1000
#define WAITS_MS    50    /* while units that are in the way end */
#define LOOK_MS     500   /* while only databases are left */
#define AGAIN_MS    5000  /* an account that failed */
#define TAKE_MS     60000 /* deadline of a step */

struct taking {
	struct flow f;
	struct rekey *k;
	struct event *rest;
	struct account *a; /* of the step */
	struct ask *ask;
	struct unit *unit;
	int committing;
	int64_t began_ms;
};

struct part {
	int sealed, rekeyed;
	uint64_t resealed;
	char trouble[32]; /* why keyd could not, "" = it could */
	int64_t again_ms;
};

struct rekey {
	struct service *s;
	char state[16]; /* keyd's word */
	int64_t since_ms;
	int service_rekeyed, stopped;
	char trouble[64]; /* of the whole */
	struct taking *taking;
	size_t turn;
	struct part *parts; /* as service.accounts */
};

static void next(struct taking *t);
static void take(struct taking *t, struct account *a);
static void look(struct taking *t);

/* ------------------------------------------------------------------ the flow */

static void
taking_end(struct flow *f, const char *outcome, const char *text)
{
	struct taking *t = (struct taking *)(void *)f;

	(void)outcome;
	(void)text;
	t->k->taking = NULL;
	ask_cancel(t->ask);
	if (t->committing)
		unit_detach(t->unit);
	else
		unit_abort(t->unit);
	event_free(t->rest);
	flow_fini(f);
	free(t);
}

static const struct flow_kind taking_kind = {"rekey", taking_end};

static void
rested(evutil_socket_t fd, short what, void *arg)
{
	next(arg);
}

static void
rest(struct taking *t, int64_t ms)
{
	struct timeval tv = {ms / 1000, (ms % 1000) * 1000};

	t->a = NULL;
	flow_step(&t->f, "rekey_rest");
	evtimer_add(t->rest, &tv);
}

static void
begin(struct rekey *k)
{
	struct taking *t = calloc(1, sizeof(*t));

	if (t == NULL || (t->rest = evtimer_new(k->s->base, rested, t)) == NULL)
		fatalx("rekey: out of memory");
	t->k = k;
	k->taking = t;
	flow_init(&t->f, k->s->flows, &taking_kind, "", NULL, 0);
	log_notice("keys are being changed: records are taken over");
	rest(t, 0);
}

/* The next account whose records are not all done, that can be tried now; NULL: none. *left: any
 * that is not done. */
static struct account *
choose(struct rekey *k, int *left)
{
	int64_t now = clock_mono_ms();

	*left = 0;
	for (size_t i = 0; i < k->s->naccounts; i++) {
		size_t n = (k->turn + i) % k->s->naccounts;

		if (k->parts[n].sealed)
			continue;
		*left = 1;
		if (k->s->accounts[n]->store_ok && now >= k->parts[n].again_ms) {
			k->turn = n;
			return k->s->accounts[n];
		}
	}
	return NULL;
}

static void
next(struct taking *t)
{
	struct rekey *k = t->k;
	struct account *a;
	int left;

	if (strcmp(k->state, "running") != 0) {
		if (strcmp(k->state, "done") == 0)
			log_notice("keys are changed");
		flow_end(&t->f, NULL, NULL);
		return;
	}
	if ((a = choose(k, &left)) != NULL)
		take(t, a);
	else
		look(t);
}

/* ------------------------------------------------------------------ some records of an account */

static void
failed(struct taking *t, const char *reason)
{
	struct part *p = &t->k->parts[t->a->index];

	if (strcmp(p->trouble, reason) != 0)
		log_warnx("account %s: its records cannot be taken over to the next key now: %s",
		    t->a->name, reason);
	(void)snprintf(p->trouble, sizeof(p->trouble), "%s", reason);
	p->again_ms = clock_mono_ms() + AGAIN_MS;
	t->k->turn++;
	rest(t, WAITS_MS);
}

static void
committed(const struct unit_result *u, void *arg)
{
	struct taking *t = arg;
	int64_t took = clock_mono_ms() - t->began_ms;

	t->unit = NULL;
	t->committing = 0;
	if (!u->ok) { /* "version": one of them changed or went meanwhile; keyd looks again */
		if (strcmp(u->reason, "version") == 0)
			rest(t, WAITS_MS);
		else
			failed(t, u->reason);
		return;
	}
	t->k->parts[t->a->index].trouble[0] = '\0';
	took = 2 * took < REST_MIN_MS ? REST_MIN_MS : 2 * took;
	rest(t, took > REST_MAX_MS ? REST_MAX_MS : took);
}

static void
taken(const struct reply *rp, void *arg)
{
	struct taking *t = arg;
	const Keyd__ResealReply *r = (const Keyd__ResealReply *)rp->pb;
	struct part *p = &t->k->parts[t->a->index];

	t->ask = NULL;
	if (rp->ok && r->stages > 0) {
		p->resealed += r->resealed;
		unit_staged(t->unit, r->stages);
		t->committing = 1;
		flow_step(&t->f, "rekey_commit");
		unit_commit(t->unit, committed, t);
		return;
	}
	unit_abort(t->unit);
	t->unit = NULL;
	if (!rp->ok && strcmp(rp->code, "state") != 0 && strcmp(rp->code, "busy") != 0) {
		failed(t, rp->code);
		return;
	}
	if (rp->ok && r->done) {
		p->sealed = 1;
		p->trouble[0] = '\0';
		log_notice("account %s: its records are under the next key", t->a->name);
	} else if (!rp->ok) { /* it is over, or asks are in the way: keyd says */
		look(t);
		return;
	}
	rest(t, rp->ok && r->waits ? WAITS_MS : REST_MIN_MS);
}

static void
take(struct taking *t, struct account *a)
{
	Keyd__Reseal m = KEYD__RESEAL__INIT;

	t->a = a;
	t->began_ms = clock_mono_ms();
	flow_step(&t->f, "rekey_records");
	if ((t->unit = unit_open(a)) == NULL) {
		failed(t, "memory");
		return;
	}
	m.account = a->name;
	m.unit = unit_id(t->unit);
	t->ask = ask_keyd(a, KEYD__TYPE__RESEAL, &m.base, KEYD__TYPE__RESEAL_REPLY,
	    &keyd__reseal_reply__descriptor, 64, TAKE_MS, taken, t);
}

/* ------------------------------------------------------------------ how far keyd is */

static void
looked(const struct reply *rp, void *arg)
{
	struct taking *t = arg;
	struct rekey *k = t->k;

	t->ask = NULL;
	(void)snprintf(k->trouble, sizeof(k->trouble), "%s",
	    rp->ok                           ? ""
	    : strcmp(rp->code, "store") == 0 ? rp->text
					     : rp->code);
	if (rp->ok)
		rekey_told(k, (const Keyd__RekeyState *)rp->pb);
	rest(t, LOOK_MS);
}

/* Only databases are left, or accounts that wait. To begin again is to see to what failed. */
static void
look(struct taking *t)
{
	Keyd__RekeyBegin m = KEYD__REKEY_BEGIN__INIT;

	flow_step(&t->f, "rekey_databases");
	t->ask = ask_keyd(t->k->s->accounts[0], KEYD__TYPE__REKEY_BEGIN, &m.base,
	    KEYD__TYPE__REKEY_STATE, &keyd__rekey_state__descriptor, 16 * 1024, TAKE_MS, looked, t);
}

void
rekey_told(struct rekey *k, const Keyd__RekeyState *st)
{
	if (strcmp(k->state, st->state) != 0)
		k->since_ms = clock_wall_ms();
	(void)snprintf(k->state, sizeof(k->state), "%s", st->state);
	k->service_rekeyed = st->service_rekeyed;
	for (size_t i = 0; i < st->n_accounts; i++) {
		struct account *a = account_find(k->s, st->accounts[i]->account);

		if (a == NULL)
			continue;
		k->parts[a->index].sealed = st->accounts[i]->sealed;
		k->parts[a->index].rekeyed = st->accounts[i]->rekeyed;
	}
	if (strcmp(k->state, "running") == 0 && k->taking == NULL && !k->stopped &&
	    k->s->naccounts > 0)
		begin(k);
}

/* ------------------------------------------------------------------ life */

struct rekey *
rekey_new(struct service *s)
{
	struct rekey *k = calloc(1, sizeof(*k));

	if (k == NULL || (k->parts = calloc(s->naccounts + 1, sizeof(*k->parts))) == NULL)
		fatal("rekey_new");
	k->s = s;
	(void)snprintf(k->state, sizeof(k->state), "none");
	return k;
}

void
rekey_stop(struct rekey *k)
{
	k->stopped = 1;
	if (k->taking != NULL)
		flow_end(&k->taking->f, "cancelled", "the service is stopping");
}

void
rekey_free(struct rekey *k)
{
	free(k->parts);
	free(k);
}

/* ------------------------------------------------------------------ for people */

static int
in_trouble(const struct rekey *k)
{
	if (k->trouble[0] != '\0')
		return 1;
	for (size_t i = 0; i < k->s->naccounts; i++)
		if (k->parts[i].trouble[0] != '\0' || !k->s->accounts[i]->store_ok)
			return 1;
	return 0;
}

void
rekey_health(const struct rekey *k, json_t *checks)
{
	const char *status = "ok", *reason, *action = "none";

	if (strcmp(k->state, "none") == 0)
		return;
	if (strcmp(k->state, "running") == 0) {
		reason = in_trouble(k) ? "rekey_waits" : "rekey_runs";
		if (in_trouble(k)) {
			status = "degraded";
			action = "operator";
		}
	} else if (strcmp(k->state, "done") == 0) {
		status = "degraded";
		reason = "next_key_in_use";
		action = "operator";
	} else {
		reason = "next_key_ready";
	}
	json_array_append_new(checks,
	    json_pack("{s:s, s:s, s:s, s:I, s:s}", "name", "keys", "status", status, "reason",
		reason, "since_ms", (json_int_t)k->since_ms, "user_action", action));
}

/* A client's question: keyd first, then stored's numbers. */
struct question {
	struct rekey *k;
	struct call *call;
};

static const Stored__RekeyStat *
stat_of(const Stored__Stats *st, const char *account)
{
	for (size_t i = 0; st != NULL && i < st->n_rekey; i++)
		if (strcmp(st->rekey[i]->account, account) == 0)
			return st->rekey[i];
	return NULL;
}

/* One database, and an account's records; trouble of either. */
static json_t *
part_object(const struct rekey *k, const char *name, const struct part *p, const Stored__Stats *st)
{
	const Stored__RekeyStat *stat = stat_of(st, name);
	const char *trouble = stat != NULL && stat->trouble != NULL ? stat->trouble
			      : p != NULL && p->trouble[0] != '\0'  ? p->trouble
								    : NULL;

	return json_pack("{s:s, s:b, s:I, s:b, s:I, s:I, s:s*}", "account", name, "records_done",
	    p == NULL || p->sealed, "records", (json_int_t)(p != NULL ? p->resealed : 0),
	    "database_done", p != NULL ? p->rekeyed : k->service_rekeyed, "done",
	    (json_int_t)(stat != NULL ? stat->done : 0), "total",
	    (json_int_t)(stat != NULL ? stat->total : 0), "trouble", trouble);
}

static const char *
advice(const struct rekey *k)
{
	if (strcmp(k->state, "none") == 0)
		return "no other key is given: service.next_master_key, then a restart";
	if (strcmp(k->state, "ready") == 0)
		return "the next key is given: wardctl store rekey";
	if (strcmp(k->state, "running") == 0)
		return in_trouble(k) ? "it waits, see the troubles; it goes on by itself"
				     : "it goes on by itself, also after a restart";
	return "done: put next_master_key in the place of master_key, and remove next_master_key";
}

static void
stats_came(const struct reply *rp, void *arg)
{
	struct question *q = arg;
	const Stored__Stats *st = rp->ok ? (const Stored__Stats *)rp->pb : NULL;
	const struct rekey *k = q->k;
	json_t *parts = json_array();

	if (strcmp(k->state, "running") == 0) {
		json_array_append_new(parts, part_object(k, "", NULL, st));
		for (size_t i = 0; i < k->s->naccounts; i++)
			json_array_append_new(
			    parts, part_object(k, k->s->accounts[i]->name, &k->parts[i], st));
	}
	call_ok(q->call,
	    json_pack("{s:s, s:s*, s:s, s:o}", "state", k->state, "trouble",
		k->trouble[0] != '\0' ? k->trouble : NULL, "text", advice(k), "parts", parts));
	free(q);
}

static void
refused(struct question *q, const struct reply *rp)
{
	char text[200];

	if (strcmp(rp->code, "state") == 0) {
		call_failf(q->call, -1, "not_allowed", 0, advice(q->k));
	} else if (strcmp(rp->code, "locked") == 0) {
		call_failf(q->call, -14, "keys_locked", 1, "the keys are locked");
	} else {
		(void)snprintf(text, sizeof(text), "the keys cannot be changed now: %s", rp->text);
		call_failf(q->call, -14, "store_locked", 1, text);
	}
	free(q);
}

static void
answered(const struct reply *rp, const Keyd__RekeyState *st, struct question *q)
{
	Stored__StatsGet m = STORED__STATS_GET__INIT;

	if (!rp->ok || st == NULL || q->k->stopped) {
		refused(q, rp);
		return;
	}
	rekey_told(q->k, st);
	(void)channel_request(q->k->s->stored, STORED__TYPE__STATS, &m.base,
	    STORED__TYPE__STATS_REPLY, &stored__stats__descriptor, 64 * 1024, ASK_DEADLINE_MS,
	    stats_came, q);
}

static void
refreshed(const struct reply *rp, void *arg)
{
	struct rekey *k = arg;

	if (rp->ok && ((const Keyd__StatusReply *)rp->pb)->rekey != NULL)
		rekey_told(k, ((const Keyd__StatusReply *)rp->pb)->rekey);
}

static void
begun(const struct reply *rp, void *arg)
{
	struct rekey *k = ((struct question *)arg)->k;
	Keyd__Status m = KEYD__STATUS__INIT;

	if (!rp->ok && !k->stopped) /* it may have begun all the same: then it goes on */
		(void)channel_request(k->s->keyd, KEYD__TYPE__STATUS, &m.base,
		    KEYD__TYPE__STATUS_REPLY, &keyd__status_reply__descriptor, 64 * 1024,
		    ASK_DEADLINE_MS, refreshed, k);
	answered(rp, rp->ok ? (const Keyd__RekeyState *)rp->pb : NULL, arg);
}

static void
status_came(const struct reply *rp, void *arg)
{
	const struct reply locked = {.ok = 0, .code = "locked", .text = ""};
	const Keyd__StatusReply *m = (const Keyd__StatusReply *)rp->pb;

	if (rp->ok && m->rekey == NULL)
		answered(&locked, NULL, arg);
	else
		answered(rp, rp->ok ? m->rekey : NULL, arg);
}

void
rekey_ask(struct rekey *k, const void *client, int only_look, engine_done_fn *fn, void *arg)
{
	struct question *q = calloc(1, sizeof(*q));
	Keyd__RekeyBegin begin_m = KEYD__REKEY_BEGIN__INIT;
	Keyd__Status status_m = KEYD__STATUS__INIT;

	if (q == NULL)
		fatal("rekey_ask");
	q->k = k;
	q->call = call_new(k->s, client, fn, arg);
	if (only_look)
		(void)channel_request(k->s->keyd, KEYD__TYPE__STATUS, &status_m.base,
		    KEYD__TYPE__STATUS_REPLY, &keyd__status_reply__descriptor, 64 * 1024,
		    ASK_DEADLINE_MS, status_came, q);
	else
		(void)channel_request(k->s->keyd, KEYD__TYPE__REKEY_BEGIN, &begin_m.base,
		    KEYD__TYPE__REKEY_STATE, &keyd__rekey_state__descriptor, 16 * 1024, TAKE_MS,
		    begun, q);
}
