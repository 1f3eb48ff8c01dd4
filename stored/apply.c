/* Group commit: units that are ready become one transaction and one sync. */
#include "stored/apply.h"

#include <stdlib.h>

#include "common/log.h"
#include "stored/eventlog.h"
#include "stored/unit.h"

#define GROUP_UNITS 256
#define GROUP_BYTES ((size_t)16 * 1024 * 1024)

struct group {
	struct unit *units[GROUP_UNITS];
	size_t n, bytes, events;
	uint64_t newest_seq, event_bytes;
};

/* ---------------------------------------------------------------- one unit */

static enum store_status
apply_stage(struct store *s, struct store_db *db, const Stored__Stage *m)
{
	enum store_status st = STORE_OK;
	size_t i;

	for (i = 0; st == STORE_OK && i < m->n_puts; i++)
		st = s->backend->record_put(db, m->puts[i]);
	for (i = 0; st == STORE_OK && i < m->n_deletes; i++)
		st = s->backend->record_delete(db, m->deletes[i]);
	return st;
}

static enum store_status
apply_event(struct store *s, struct store_db *db, const Stored__EventAppend *e, struct unit *u,
    struct group *g)
{
	uint64_t seq = s->next_seq;
	enum store_status st;
	int kept;

	st = s->backend->event_append(db, seq, s->wall(), e, &kept);
	if (st != STORE_OK)
		return st;
	if (kept) {
		s->next_seq++; /* never given back: a gap is allowed, a repetition not */
		g->newest_seq = seq;
		g->event_bytes += e->body.len;
	}
	u->seqs[u->nseqs++] = kept ? seq : 0;
	return STORE_OK;
}

static enum store_status
apply_write(
    struct store *s, struct store_db *db, const Stored__Write *w, struct unit *u, struct group *g)
{
	const struct store_backend *b = s->backend;

	if (w->event != NULL)
		return apply_event(s, db, w->event, u, g);
	if (w->outbox_put != NULL)
		return b->outbox_put(db, w->outbox_put, s->wall());
	if (w->outbox_update != NULL)
		return b->outbox_update(db, w->outbox_update);
	if (w->device != NULL)
		return b->device_merge(db, w->device);
	if (w->device_reset != NULL)
		return b->device_reset(db);
	if (w->contact != NULL)
		return b->contact_put(db, w->contact, s->wall());
	if (w->device_list != NULL)
		return b->device_list_put(db, w->device_list, s->wall());
	if (w->device_list_drop != NULL)
		return b->device_list_drop(db, w->device_list_drop->user);
	if (w->mark != NULL)
		return b->event_mark(db, w->mark, s->wall());
	return b->outbox_receipt(db, w->receipt);
}

static enum store_status
apply_unit(struct store *s, struct store_db *db, struct unit *u, struct group *g)
{
	const Stored__UnitCommit *c = unit_writes(u);
	enum store_status st = STORE_OK;
	size_t i;

	for (i = 0; st == STORE_OK && i < u->nstages; i++)
		st = apply_stage(s, db, (const Stored__Stage *)u->stages[i]->pb);
	for (i = 0; st == STORE_OK && i < c->n_writes; i++)
		st = apply_write(s, db, c->writes[i], u, g);
	return st;
}

/* ---------------------------------------------------------------- a group */

/* Take the ready ones from the head of the account's order; those that are broken end here. */
static void
collect(struct store *s, struct store_account *a, struct group *g)
{
	struct unit *u, *next;
	size_t i;

	for (u = TAILQ_FIRST(&a->units); u != NULL && unit_ready(u); u = next) {
		next = TAILQ_NEXT(u, link);
		if (g->n == GROUP_UNITS || (g->n > 0 && g->bytes + u->bytes > GROUP_BYTES))
			return;
		if (u->broken == NULL && u->nstages > unit_writes(u)->stages)
			u->broken = "unit"; /* keyd staged what apid does not know of */
		for (u->nseqs = 0, i = 0; i < unit_writes(u)->n_writes; i++)
			u->nseqs += unit_writes(u)->writes[i]->event != NULL;
		if (u->broken == NULL && u->nseqs > 0 &&
		    (u->seqs = calloc(u->nseqs, sizeof(*u->seqs))) == NULL)
			u->broken = "no_memory";
		if (u->broken != NULL) {
			unit_finish(s, a, u, u->broken);
			continue;
		}
		g->events += u->nseqs;
		g->bytes += u->bytes;
		u->nseqs = 0;
		g->units[g->n++] = u;
	}
}

/* Each in its own savepoint: one that fails by itself takes nobody with it. */
static enum store_status
apply_each(struct store *s, struct store_db *db, struct group *g, size_t *kept)
{
	enum store_status st = STORE_OK;
	uint64_t newest, bytes;
	size_t i;

	*kept = 0;
	for (i = 0; st == STORE_OK && i < g->n; i++) {
		struct unit *u = g->units[i];

		newest = g->newest_seq;
		bytes = g->event_bytes;

		if ((st = s->backend->mark(db)) != STORE_OK)
			return st;
		u->st = apply_unit(s, db, u, g);
		if (u->st == STORE_OK) {
			st = s->backend->mark_keep(db);
			(*kept)++;
		} else if (store_status_soft(u->st)) {
			st = s->backend->mark_undo(db);
			g->newest_seq = newest;
			g->event_bytes = bytes;
		} else {
			st = u->st;
		}
	}
	return st;
}

static enum store_status
transact(struct store *s, struct store_account *a, struct group *g)
{
	const struct store_backend *b = s->backend;
	enum store_status st;
	size_t kept;

	if ((st = eventlog_reserve(s, g->events)) != STORE_OK)
		return st;
	if ((st = b->begin(a->db)) != STORE_OK)
		return st;
	st = apply_each(s, a->db, g, &kept);
	if (st != STORE_OK || kept == 0) {
		b->rollback(a->db);
		return st;
	}
	if ((st = b->commit(a->db)) != STORE_OK)
		return st;
	s->n_transactions++;
	if (g->newest_seq != 0)
		a->last_seq = s->last_seq = g->newest_seq;
	a->event_bytes += g->event_bytes;
	return STORE_OK;
}

static void
apply_group(struct store *s, struct store_account *a, struct group *g)
{
	enum store_status st = transact(s, a, g);
	size_t i;

	for (i = 0; i < g->n; i++) {
		struct unit *u = g->units[i];
		size_t k;

		if (st != STORE_OK)
			u->st = st;
		for (k = 0; u->st == STORE_OK && k < u->nseqs; k++)
			s->n_events += u->seqs[k] != 0;
		unit_finish(s, a, u, u->st == STORE_OK ? NULL : store_status_word(u->st));
	}
	if (st != STORE_OK)
		store_trouble(s, a, st);
}

int
apply_units(struct store *s)
{
	struct unit *first;
	int more = 0;
	size_t i;

	for (i = 0; i < s->naccounts; i++) {
		struct store_account *a = &s->accounts[i];
		struct group g = {.n = 0};

		collect(s, a, &g);
		if (g.n > 0)
			apply_group(s, a, &g);
		first = TAILQ_FIRST(&a->units);
		more |= first != NULL && unit_ready(first);
	}
	return more;
}
