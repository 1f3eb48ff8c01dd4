/* Group commit: units that are ready become one transaction and one sync. */
#include "stored/apply.h"

#include <stdlib.h>

#include "common/log.h"
#include "stored/eventlog.h"
#include "stored/restored.h"
#include "stored/unit.h"
#include "stored/write.h"

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
	for (i = 0; st == STORE_OK && i < m->n_uploaded; i++)
		st = s->backend->record_uploaded(db, m->uploaded[i]);
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
apply_sender_key_drop(struct store *s, struct store_db *db, const Stored__DeviceNames *m)
{
	enum store_status st = STORE_OK;
	size_t i;

	for (i = 0; st == STORE_OK && i < m->n_devices; i++)
		st = s->backend->sender_key_drop(db, m->devices[i]);
	return st;
}

static enum store_status
apply_token_expire(
    struct store *s, struct store_db *db, const Stored__TokenExpire *t, struct unit *u)
{
	uint64_t n;
	enum store_status st = s->backend->token_expire(db, t, &n);

	if (st == STORE_OK) {
		u->expires = 1;
		u->expired += n;
	}
	return st;
}

static enum store_status
apply_purge(struct store *s, struct store_db *db, const Stored__QuarantinePurge *p, struct unit *u)
{
	uint64_t n;
	enum store_status st = s->backend->quarantine_purge(db, p->below, p->max, &n);

	if (st == STORE_OK) {
		u->expires = 1;
		u->expired += n;
	}
	return st;
}

/* Another account takes the place: nobody finds the people of the former one any more. */
static enum store_status
apply_device_reset(struct store *s, struct store_db *db, const Stored__DeviceReset *m)
{
	enum store_status st = s->backend->device_reset(db);

	if (st == STORE_OK && m->people)
		st = s->backend->quarantine_people(db, s->wall());
	return st;
}

/* App state and what else hangs on the device. */
static enum store_status
apply_domain_write(struct store *s, struct store_db *db, enum write_kind kind,
    const Stored__Write *w, struct unit *u)
{
	const struct store_backend *b = s->backend;

	switch (kind) {
	case WRITE_COLLECTION_PUT:
		return b->collection_put(db, w->collection_put);
	case WRITE_COLLECTION_DELETE:
		return b->collection_delete(db, w->collection_delete);
	case WRITE_MACS_PUT:
		return b->macs_put(db, w->macs_put);
	case WRITE_MACS_DELETE:
		return b->macs_delete(db, w->macs_delete);
	case WRITE_MACS_CLEAR:
		return b->macs_clear(db, w->macs_clear);
	case WRITE_SENDER_KEY_STATUS:
		return b->sender_key_status(db, w->sender_key_status);
	case WRITE_SENDER_KEY_CLEAR:
		return b->sender_key_clear(db, w->sender_key_clear);
	case WRITE_SENDER_KEY_DROP:
		return apply_sender_key_drop(s, db, w->sender_key_drop);
	case WRITE_SENDER_KEY_CLEAR_ALL:
		return b->sender_key_clear_all(db);
	case WRITE_BASE_KEY_PUT:
		return b->base_key_put(db, w->base_key_put, s->wall());
	case WRITE_BASE_KEY_DELETE:
		return b->base_key_delete(db, w->base_key_delete);
	case WRITE_TOKEN_PUT:
		return b->token_put(db, w->token_put);
	case WRITE_TOKEN_DELETE:
		return b->token_delete(db, w->token_delete);
	case WRITE_TOKEN_RECEIVED:
		return b->token_received(db, w->token_received);
	case WRITE_TOKEN_TOUCH:
		return b->token_touch(db, w->token_touch);
	case WRITE_TOKEN_EXPIRE:
		return apply_token_expire(s, db, w->token_expire, u);
	case WRITE_PENDING_PUT:
		return b->pending_put(db, w->pending_put, s->wall());
	case WRITE_PENDING_DELETE:
		return b->pending_delete(db, w->pending_delete);
	case WRITE_GROUP_PUT:
		return b->group_put(db, w->group_put);
	case WRITE_GROUP_DELETE:
		return b->group_delete(db, w->group_delete);
	default:
		return STORE_BAD; /* stored/check.h lets none through */
	}
}

static enum store_status
apply_write(
    struct store *s, struct store_db *db, const Stored__Write *w, struct unit *u, struct group *g)
{
	const struct store_backend *b = s->backend;
	enum write_kind kind = write_kind(w);

	switch (kind) {
	case WRITE_EVENT:
		return apply_event(s, db, w->event, u, g);
	case WRITE_OUTBOX_PUT:
		return b->outbox_put(db, w->outbox_put, s->wall());
	case WRITE_OUTBOX_UPDATE:
		return b->outbox_update(db, w->outbox_update);
	case WRITE_DEVICE:
		return b->device_merge(db, w->device);
	case WRITE_DEVICE_RESET:
		return apply_device_reset(s, db, w->device_reset);
	case WRITE_CONTACT:
		return b->contact_put(db, w->contact, s->wall());
	case WRITE_DEVICE_LIST:
		return b->device_list_put(db, w->device_list, s->wall());
	case WRITE_DEVICE_LIST_DROP:
		return b->device_list_drop(db, w->device_list_drop->user);
	case WRITE_RECEIPT:
		return b->outbox_receipt(db, w->receipt);
	case WRITE_MARK:
		return b->event_mark(db, w->mark, s->wall());
	case WRITE_SENT_TAKE:
		return b->outbox_take(db, w->sent_take);
	case WRITE_RESTORED_DONE:
		return b->restored_done != NULL ? b->restored_done(db) : STORE_BAD;
	case WRITE_QUARANTINE_PURGE:
		return apply_purge(s, db, w->quarantine_purge, u);
	default:
		return apply_domain_write(s, db, kind, w, u);
	}
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

/* *failed: whose database it was, if it fails; NULL is the service's. */
static enum store_status
transact(struct store *s, struct store_account *a, struct group *g, struct store_account **failed)
{
	const struct store_backend *b = s->backend;
	enum store_status st;
	size_t kept;

	*failed = NULL;
	if ((st = eventlog_reserve(s, g->events)) != STORE_OK)
		return st;
	*failed = a;
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
note_restored_done(struct store *s, struct store_account *a, const struct unit *u)
{
	const Stored__UnitCommit *c = unit_writes(u);
	size_t i;

	for (i = 0; a->opened.restored && i < c->n_writes; i++) {
		if (c->writes[i]->has_restored_done)
			restored_is_done(s, a);
	}
}

static void
apply_group(struct store *s, struct store_account *a, struct group *g)
{
	struct store_account *failed;
	enum store_status st = transact(s, a, g, &failed);
	size_t i;

	for (i = 0; i < g->n; i++) {
		struct unit *u = g->units[i];
		size_t k;

		if (st != STORE_OK)
			u->st = st;
		for (k = 0; u->st == STORE_OK && k < u->nseqs; k++)
			s->n_events += u->seqs[k] != 0;
		if (u->st == STORE_OK)
			note_restored_done(s, a, u);
		unit_finish(s, a, u, u->st == STORE_OK ? NULL : store_status_word(u->st));
	}
	if (st != STORE_OK)
		store_trouble(s, failed, st);
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
