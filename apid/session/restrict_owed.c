/* Refused rows whose time is being asked for: noted with the refusal, in its unit, and finished
 * when the service has told, also after a restart. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/outbox.h"
#include "apid/session/restrict_impl.h"
#include "common/log.h"

#define OWED_MAX   128u
#define ASKERS_MAX 256u

static enum mex_op
op_of(unsigned code)
{
	return code == 463 ? MEX_TIMELOCK : MEX_CAPPING;
}

static struct owed *
find(const struct restrictions *r, const char *id)
{
	struct owed *w;

	TAILQ_FOREACH(w, &r->owed, link)
	if (strcmp(w->id, id) == 0)
		return w;
	return NULL;
}

/* Those who wait for it are told, once. */
static void
tell(struct restrictions *r, struct owed *w, int64_t until_ms)
{
	struct asker *k;

	while ((k = TAILQ_FIRST(&w->askers)) != NULL) {
		TAILQ_REMOVE(&w->askers, k, link);
		r->naskers--;
		k->fn(r->a, w->id, until_ms, k->arg);
		free(k);
	}
}

static void
drop(struct restrictions *r, struct owed *w)
{
	TAILQ_REMOVE(&r->owed, w, link);
	r->nowed--;
	tell(r, w, 0);
	free(w);
}

void
restrict_owed_forget(struct restrictions *r)
{
	while (!TAILQ_EMPTY(&r->owed))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		drop(r, TAILQ_FIRST(&r->owed));
}

/* ------------------------------------------------------------------ kept */

static struct owed *
add(struct restrictions *r, const char *id, const char *chat, unsigned code, int64_t time_ms)
{
	struct owed *w = find(r, id);

	if (w == NULL && r->nowed < OWED_MAX) {
		if ((w = calloc(1, sizeof(*w))) == NULL)
			fatal("restrict: owed");
		(void)snprintf(w->id, sizeof(w->id), "%s", id);
		TAILQ_INIT(&w->askers);
		TAILQ_INSERT_TAIL(&r->owed, w, link);
		r->nowed++;
	}
	if (w != NULL) {
		(void)snprintf(w->chat, sizeof(w->chat), "%s", chat);
		w->code = code;
		w->time_ms = time_ms;
	}
	return w;
}

json_t *
restrict_owed_list(const struct restrictions *r)
{
	json_t *list = json_array();
	const struct owed *w;

	TAILQ_FOREACH(w, &r->owed, link)
	if (w->writing == 0)
		json_array_append_new(list, json_pack("[s, s, i, I]", w->id, w->chat, (int)w->code,
						(json_int_t)w->time_ms));
	return list;
}

void
restrict_owed_load(struct restrictions *r, const json_t *list)
{
	const json_t *o;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, o)
	{
		const char *id = json_string_value(json_array_get(o, 0));
		const char *chat = json_string_value(json_array_get(o, 1));
		json_int_t code = json_integer_value(json_array_get(o, 2));

		json_int_t time_ms = json_integer_value(json_array_get(o, 3));
		struct owed *w;

		if (id == NULL || !message_id_ok(id) || chat == NULL ||
		    strlen(chat) >= JID_TEXT_MAX || (code != 463 && code != 475))
			continue;
		if ((w = add(r, id, chat, (unsigned)code, time_ms)) != NULL)
			w->durable = 1;
	}
}

/* ------------------------------------------------------------------ for the outbox */

void
restrict_note(struct account *a, struct unit *u, unsigned code, const char *id, const char *chat,
    int64_t time_ms)
{
	struct restrictions *r = a->restrictions;

	if (code == 463)
		r->lock.ask = 1;
	else if (code == 475)
		r->quota.ask = 1;
	else
		return;
	if (add(r, id, chat, code, time_ms) == NULL)
		log_warnx(
		    "account %s: too many refusals at once; one stays without its end", a->name);
	restrict_keep(r, u);
}

void
restrict_not_noted(struct account *a, const char *id)
{
	struct restrictions *r = a->restrictions;
	struct owed *w = find(r, id);
	struct unit *u;

	if (w == NULL)
		return;
	drop(r, w);
	if ((u = unit_open(a)) == NULL)
		return;
	restrict_keep(r, u); /* another unit may have written it down */
	unit_commit(u, restrict_written, r);
}

int
restrict_owes(const struct account *a, const char *id)
{
	return find(a->restrictions, id) != NULL;
}

void
restrict_ask(struct account *a, const char *id, restrict_fn *fn, void *arg)
{
	struct restrictions *r = a->restrictions;
	struct owed *w = find(r, id);
	struct asker *k;

	if (w != NULL)
		w->durable = 1;
	if (w == NULL || r->naskers >= ASKERS_MAX || (k = calloc(1, sizeof(*k))) == NULL) {
		fn(a, id, 0, arg);
		return;
	}
	k->fn = fn;
	k->arg = arg;
	TAILQ_INSERT_TAIL(&w->askers, k, link);
	r->naskers++;
	if (w->writing == 0)
		restrict_ask_now(r, op_of(w->code));
}

/* ------------------------------------------------------------------ what the service said */

struct telling { /* the unit that gives them their time */
	struct restrictions *r;
	unsigned number;
	int64_t until_ms;
};

static void
told(const struct unit_result *res, void *arg)
{
	struct telling *t = arg;
	struct restrictions *r = t->r;
	struct owed *w, *next;

	restrict_written(res, r);
	for (w = TAILQ_FIRST(&r->owed); w != NULL; w = next) {
		next = TAILQ_NEXT(w, link);
		if (w->writing != t->number)
			continue;
		tell(r, w, res->ok ? t->until_ms : 0);
		w->writing = 0; /* if it is not written, it is asked again at the next login */
		if (res->ok)
			drop(r, w);
	}
	free(t);
}

int
restrict_owed_any(const struct restrictions *r, enum mex_op op)
{
	const struct owed *w;

	TAILQ_FOREACH(w, &r->owed, link)
	if (op_of(w->code) == op && w->durable && w->writing == 0)
		return 1;
	return 0;
}

static void
known(struct restrictions *r, enum mex_op op)
{
	struct telling *t;
	struct owed *w;
	struct unit *u;

	if (!restrict_owed_any(r, op))
		return;
	if ((t = calloc(1, sizeof(*t))) == NULL || (u = unit_open(r->a)) == NULL)
		fatal("restrict: owed");
	t->r = r;
	t->number = ++r->writes;
	t->until_ms = restrict_until(r, op);
	TAILQ_FOREACH(w, &r->owed, link)
	{
		if (op_of(w->code) != op || !w->durable || w->writing != 0)
			continue;
		w->writing = t->number;
		if (t->until_ms > 0)
			outbox_until_known(
			    r->a, u, w->id, w->chat, w->code, w->time_ms, t->until_ms);
	}
	restrict_keep(r, u);
	unit_commit(u, told, t);
}

void
restrict_told(struct account *a)
{
	struct restrictions *r = a->restrictions;

	if (!r->lock.ask)
		known(r, MEX_TIMELOCK);
	if (!r->quota.ask)
		known(r, MEX_CAPPING);
}

void
restrict_owed_unknown(struct restrictions *r, enum mex_op op, int for_good)
{
	struct owed *w, *next;
	struct unit *u;

	for (w = TAILQ_FIRST(&r->owed); w != NULL; w = next) {
		next = TAILQ_NEXT(w, link);
		if (op_of(w->code) != op || !w->durable || w->writing != 0)
			continue;
		if (for_good)
			drop(r, w);
		else
			tell(r, w, 0);
	}
	if (!for_good)
		return;
	if (op == MEX_TIMELOCK)
		r->lock.ask = 0;
	else
		r->quota.ask = 0;
	if ((u = unit_open(r->a)) == NULL)
		fatal("restrict: owed");
	restrict_keep(r, u);
	unit_commit(u, restrict_written, r);
}
