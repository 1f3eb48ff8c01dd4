/* Units of work: where they wait, in order, until they can be applied. */
#include "stored/unit.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "stored/check.h"

static struct log_limit odd = LOG_LIMIT_INIT; /* frames that come too late or fit nowhere */

Stored__UnitCommit *
unit_writes(const struct unit *u)
{
	union { /* the message is ours while we hold it */
		const ProtobufCMessage *pb;
		Stored__UnitCommit *commit;
	} m = {u->commit->pb};

	return m.commit;
}

/* ---------------------------------------------------------------- making and freeing */

static struct unit *
find(struct unit_list *list, uint64_t id)
{
	struct unit *u;

	/* from the end: frames are mostly about the newest */
	for (u = TAILQ_LAST(list, unit_list); u != NULL; u = TAILQ_PREV(u, unit_list, link)) {
		if (u->id == id)
			return u;
	}
	return NULL;
}

static struct unit *
add(struct store *s, struct store_account *a, struct unit_list *list, uint64_t id)
{
	struct unit *u = s->nunits < UNITS_MAX ? calloc(1, sizeof(*u)) : NULL;

	if (u == NULL) {
		if (log_allowed(&odd))
			log_warnx("%s: %zu units of work are open: no more", a->name, s->nunits);
		return NULL;
	}
	u->id = id;
	u->since_ms = s->mono();
	TAILQ_INSERT_TAIL(list, u, link);
	a->nunits++;
	s->nunits++;
	return u;
}

static void
drop_stages(struct store *s, struct unit *u)
{
	size_t i;

	for (i = 0; i < u->nstages; i++)
		message_release(u->stages[i]);
	u->nstages = 0;
	s->unit_bytes -= u->bytes;
	u->bytes = 0;
}

static void
forget(struct store *s, struct store_account *a, struct unit *u)
{
	TAILQ_REMOVE(u->opened ? &a->units : &a->early, u, link);
	a->nunits--;
	s->nunits--;
	drop_stages(s, u);
	message_release(u->commit);
	free(u->stages);
	free(u->seqs);
	free(u);
}

/* It cannot happen any more; it keeps its place until apid ends it. */
static void
spoil(struct store *s, struct unit *u, const char *reason)
{
	if (u->broken == NULL)
		u->broken = reason;
	drop_stages(s, u);
}

/* Count the bytes of a frame that is held for the unit. */
static void
charge(struct store *s, struct unit *u, const ProtobufCMessage *pb)
{
	size_t n = protobuf_c_message_get_packed_size(pb);

	u->bytes += n;
	s->unit_bytes += n;
	if (u->bytes > UNIT_BYTES_MAX || s->unit_bytes > UNITS_BYTES_MAX) {
		if (log_allowed(&odd))
			log_warnx(
			    "unit of %zu bytes, %zu in all: too big", u->bytes, s->unit_bytes);
		spoil(s, u, "unit");
	}
}

/* ---------------------------------------------------------------- the end of one */

static void
tell_keyd(struct store *s, const char *account, uint64_t id, int committed)
{
	Stored__UnitDone done = STORED__UNIT_DONE__INIT;
	union {
		const char *in;
		char *pb; /* protobuf-c's structs know no const */
	} name = {account};

	if (s->keyd == NULL)
		return;
	done.account = name.pb;
	done.unit = id;
	done.committed = committed;
	(void)channel_notify(
	    s->keyd, STORED__TYPE__UNIT_DONE, &done.base); /* broken: told elsewhere */
}

static void
tell_apid(struct store *s, const struct unit *u, const char *reason)
{
	Stored__UnitResult res = STORED__UNIT_RESULT__INIT;
	union {
		const char *in;
		char *pb;
	} why = {reason};

	if (u->commit == NULL || s->apid == NULL)
		return;
	res.committed = reason == NULL;
	res.reason = why.pb;
	if (reason == NULL) {
		res.n_seqs = u->nseqs;
		res.seqs = u->seqs;
		res.has_expired = u->expires;
		res.expired = u->expired;
	} else if (u->st == STORE_DUPLICATE) {
		res.has_duplicate = res.duplicate = 1;
	}
	(void)channel_reply(s->apid, u->commit->id, STORED__TYPE__UNIT_RESULT, &res.base);
}

void
unit_finish(struct store *s, struct store_account *a, struct unit *u, const char *reason)
{
	if (reason == NULL)
		s->n_units++;
	else
		s->n_units_failed++;
	tell_apid(s, u, reason);
	if (u->joined)
		tell_keyd(s, a->name, u->id, reason == NULL);
	forget(s, a, u);
}

/* ---------------------------------------------------------------- frames */

int
unit_open(struct store *s, const Stored__UnitOpen *m)
{
	struct store_account *a = store_account(s, m->account);
	struct unit *u;

	if (a == NULL || !a->opened.ok || m->unit == 0)
		return 0; /* its commit is told */
	if (m->unit <= a->last_unit) {
		log_errx("%s: unit opened twice or out of order", a->name);
		return -1;
	}
	a->last_unit = m->unit;
	if ((u = find(&a->early, m->unit)) != NULL) {
		TAILQ_REMOVE(&a->early, u, link);
		TAILQ_INSERT_TAIL(&a->units, u, link);
		u->since_ms = s->mono();
	} else if ((u = add(s, a, &a->units, m->unit)) == NULL) {
		return 0; /* its commit is told */
	}
	u->opened = 1;
	return 0;
}

/* The unit that a STAGE belongs to, or NULL: it has ended, or there is no room. */
static struct unit *
staged_unit(struct store *s, struct store_account *a, uint64_t id)
{
	struct unit *u = find(&a->units, id);
	size_t early = 0;

	if (u != NULL || id <= a->last_unit)
		return u;
	if ((u = find(&a->early, id)) != NULL)
		return u;
	TAILQ_FOREACH(u, &a->early, link)
	early++;
	return early < UNITS_EARLY_MAX ? add(s, a, &a->early, id) : NULL;
}

static int
keep_stage(struct unit *u, struct message *m)
{
	size_t cap = u->stages_cap == 0 ? 4 : u->stages_cap * 2;
	struct message **p;

	if (u->nstages == u->stages_cap) {
		if ((p = reallocarray(u->stages, cap, sizeof(struct message *))) == NULL)
			return -1;
		u->stages = p;
		u->stages_cap = cap;
	}
	u->stages[u->nstages++] = message_hold(m);
	return 0;
}

int
unit_stage(struct store *s, struct message *m)
{
	const Stored__Stage *st = (const Stored__Stage *)m->pb;
	struct store_account *a = store_account(s, st->account);
	const char *why = check_stage(st);
	struct unit *u;

	if (a == NULL || !a->opened.ok || (u = staged_unit(s, a, st->unit)) == NULL) {
		/* Aborted, given up or never possible: keyd must let go of what it staged. */
		tell_keyd(s, st->account, st->unit, 0);
		return 0;
	}
	u->joined = 1;
	if (why != NULL) {
		log_warnx("%s: unit refused: %s", a->name, why);
		spoil(s, u, "bad_request");
	} else if (u->broken == NULL) {
		if (keep_stage(u, m) == 0)
			charge(s, u, m->pb);
		else
			spoil(s, u, "no_memory");
	}
	/* it is complete, or it has just become clear that it will not happen */
	if (u->commit != NULL)
		store_flush_later(s);
	return 0;
}

int
unit_commit(struct store *s, struct message *m)
{
	const Stored__UnitCommit *c = (const Stored__UnitCommit *)m->pb;
	struct store_account *a = store_account(s, c->account);
	Stored__UnitResult res = STORED__UNIT_RESULT__INIT;
	const char *why = check_commit(c);
	struct unit *u;
	char word[] = "unit";

	if (a == NULL)
		return channel_reply_error(s->apid, m->id, "unknown_account", "no such account");
	if (!s->unlocked)
		return channel_reply_error(s->apid, m->id, "locked", "the store has no key yet");
	if (!a->opened.ok)
		return channel_reply_error(s->apid, m->id, "account_failed", "%s", a->opened.text);
	if ((u = find(&a->units, c->unit)) == NULL) {
		res.reason = word; /* given up, aborted, or one too many */
		return channel_reply(s->apid, m->id, STORED__TYPE__UNIT_RESULT, &res.base);
	}
	if (u->commit != NULL) {
		log_errx("%s: unit committed twice", a->name);
		return -1;
	}
	u->commit = message_hold(m);
	u->since_ms = s->mono();
	if (why != NULL) {
		log_warnx("%s: unit refused: %s", a->name, why);
		spoil(s, u, "bad_request");
	} else {
		charge(s, u, m->pb);
	}
	if (c->patient && u->broken == NULL)
		store_flush_patiently(s);
	else
		store_flush_later(s);
	return 0;
}

int
unit_abort(struct store *s, const Stored__UnitAbort *m)
{
	struct store_account *a = store_account(s, m->account);
	struct unit *u = a != NULL ? find(&a->units, m->unit) : NULL;

	if (u == NULL) /* ended already, by its deadline or with its account */
		return 0;
	unit_finish(s, a, u, "aborted");
	store_flush_later(s); /* those that waited behind it */
	return 0;
}

/* ---------------------------------------------------------------- waiting */

int
unit_ready(const struct unit *u)
{
	return u->commit != NULL && (u->broken != NULL || u->nstages >= unit_writes(u)->stages);
}

/* Broken ones as well: apid must end what it opened. */
static int
overdue(const struct unit *u, int64_t now)
{
	return now - u->since_ms >= (u->commit != NULL ? UNIT_STAGE_MS : UNIT_OPEN_MS);
}

static void
expire_list(struct store *s, struct store_account *a, struct unit_list *list)
{
	int64_t now = s->mono();
	struct unit *u, *next;

	for (u = TAILQ_FIRST(list); u != NULL; u = next) {
		next = TAILQ_NEXT(u, link);
		/* a complete one waits for others before it, which have deadlines of their own */
		if (unit_ready(u) || !overdue(u, now))
			continue;
		if (log_allowed(&odd))
			log_warnx("%s: unit given up: %s", a->name,
			    u->commit != NULL ? "its sealed records did not come"
			    : u->opened       ? "it was not committed"
					      : "it was not opened");
		unit_finish(s, a, u, "unit");
		store_flush_later(s);
	}
}

void
units_expire(struct store *s)
{
	size_t i;

	for (i = 0; i < s->naccounts; i++) {
		expire_list(s, &s->accounts[i], &s->accounts[i].units);
		expire_list(s, &s->accounts[i], &s->accounts[i].early);
	}
}

void
units_fail(struct store *s, struct store_account *a, const char *reason)
{
	struct unit_list *lists[2] = {&a->units, &a->early};
	struct unit *u, *next;
	size_t i;

	for (i = 0; i < 2; i++) {
		for (u = TAILQ_FIRST(lists[i]); u != NULL; u = next) {
			next = TAILQ_NEXT(u, link);
			unit_finish(s, a, u, reason);
		}
	}
}
