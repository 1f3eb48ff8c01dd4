/* Retention: what may go from the databases, in small steps.
 *
 * The log is cut at one seq for all accounts. First the service's database learns the new beginning
 * of the log, then the events below it are deleted; readers go by the former, so a crash in between
 * shows nothing twice and nothing half. An event goes when all consumers have acked it and
 * keep_acked has passed, or by force when max_age has passed or max_bytes is exceeded. Nothing goes
 * by its age while the wall clock is not to be believed. While an account is not open, nothing goes
 * for being acked: readers went on past the events of that account without having had them. */
#include "stored/retention.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "stored/region.h"

#define STEP_ROWS   200
#define STEP_BIG    16      /* the same, of rows that may be large: each page is overwritten */
#define SWEEP_PAUSE 3600000 /* between two sweeps of everything, ms */

static enum store_status
finish(struct store *s, struct store_db *db, enum store_status st)
{
	if (st == STORE_OK)
		return s->backend->commit(db);
	s->backend->rollback(db);
	return st;
}

/* ---------------------------------------------------------------- where to cut */

struct mark {
	struct store_event_head head;
	struct store_account *account;
};

static int
by_seq(const void *a, const void *b)
{
	const struct mark *x = a, *y = b;

	return x->head.seq < y->head.seq ? -1 : x->head.seq > y->head.seq;
}

/* The oldest events of all accounts in the order of the log, as far as they are known: beyond the
 * last head of an account that has more, others may lie between. */
static enum store_status
oldest(struct store *s, struct mark *marks, size_t *n)
{
	struct store_event_head heads[STEP_ROWS];
	uint64_t known = UINT64_MAX;
	enum store_status st = STORE_OK;
	size_t i, k, got, per = s->naccounts > 0 ? STEP_ROWS / s->naccounts + 1 : 1;

	*n = 0;
	for (i = 0; st == STORE_OK && i < s->naccounts; i++) {
		struct store_account *a = &s->accounts[i];

		if (!a->opened.ok || a->last_seq <= s->log.trimmed_seq)
			continue;
		if (per > STEP_ROWS)
			per = STEP_ROWS;
		st = s->backend->event_heads(a->db, s->log.trimmed_seq, heads, per, &got);
		if (st != STORE_OK) {
			store_trouble(s, a, st);
			break;
		}
		for (k = 0; k < got; k++) {
			marks[*n].head = heads[k];
			marks[(*n)++].account = a;
		}
		if (got == per && heads[got - 1].seq < known)
			known = heads[got - 1].seq;
	}
	if (*n == 0)
		return st;
	qsort(marks, *n, sizeof(*marks), by_seq);
	while (*n > 0 && marks[*n - 1].head.seq > known)
		(*n)--;
	return st;
}

/* Everything up to here is acked by all who come back. With no consumer, nobody waits for anything.
 */
static enum store_status
acked_by_all(struct store *s, uint64_t *seq)
{
	struct region *r = region_new((size_t)256 * 1024);
	struct store_consumer *list;
	enum store_status st = STORE_NO_MEMORY;
	int64_t silent = s->options.consumer_expiry_ms;
	size_t i, n = 0;

	*seq = s->last_seq;
	if (r != NULL)
		st = s->backend->consumer_list(s->service, NULL, r, &list, &n);
	for (i = 0; st == STORE_OK && i < n; i++) {
		if (silent > 0 && !s->clock.held && s->wall() - list[i].last_ms > silent)
			continue;
		if (list[i].acked_seq < *seq)
			*seq = list[i].acked_seq;
	}
	region_free(r);
	return st;
}

static int
tally_done(const struct store *s, uint64_t *bytes)
{
	size_t i;

	*bytes = 0;
	for (i = 0; i < s->naccounts; i++) {
		if (s->accounts[i].opened.ok && s->accounts[i].tally_at < s->accounts[i].tally_end)
			return 0;
		*bytes += s->accounts[i].event_bytes;
	}
	return 1;
}

/* The account's sum no longer has the event in it. */
static void
uncount(struct store_account *a, const struct store_event_head *h)
{
	if (h->seq > a->tally_at && h->seq <= a->tally_end) {
		a->tally_at = h->seq; /* had not been counted yet, and need not be */
		return;
	}
	a->event_bytes -= h->bytes < a->event_bytes ? h->bytes : a->event_bytes;
}

static enum store_status
cut(struct store *s, uint64_t upto)
{
	struct store_log_state log = s->log;
	enum store_status st;

	log.trimmed_seq = upto;
	if ((st = s->backend->begin(s->service)) != STORE_OK)
		return st;
	st = finish(s, s->service, s->backend->log_save(s->service, &log));
	if (st == STORE_OK)
		s->log = log;
	return st;
}

/* Find the events that may go now, and move the beginning of the log behind them. */
static enum store_status
cut_where_due(struct store *s)
{
	struct mark marks[STEP_ROWS + ACCOUNTS_MAX];
	int64_t now = s->wall();
	uint64_t acked, bytes, upto = 0;
	int counted = tally_done(s, &bytes), aged = !s->clock.held, whole = store_all_open(s);
	enum store_status st;
	size_t i, n, gone;

	if ((st = acked_by_all(s, &acked)) != STORE_OK || (st = oldest(s, marks, &n)) != STORE_OK)
		return st;
	for (gone = 0; gone < n; gone++) {
		const struct store_event_head *h = &marks[gone].head;
		int64_t age = now - h->added_ms;

		if (!(aged && whole && h->seq <= acked && age > s->options.keep_acked_ms) &&
		    !(aged && s->options.max_age_ms > 0 && age > s->options.max_age_ms) &&
		    !(counted && s->options.max_bytes > 0 &&
			bytes > (uint64_t)s->options.max_bytes))
			break;
		upto = h->seq;
		bytes -= h->bytes < bytes ? h->bytes : bytes;
	}
	if (upto == 0 || (st = cut(s, upto)) != STORE_OK)
		return st;
	for (i = 0; i < gone; i++)
		uncount(marks[i].account, &marks[i].head);
	log_debug("event log: %zu events let go", gone);
	return STORE_OK;
}

/* ---------------------------------------------------------------- deleting */

/* Delete what lies before the beginning of the log. *more: there is some left. */
static enum store_status
trim(struct store *s, struct store_account *a, int *more)
{
	enum store_status st = s->backend->begin(a->db);
	size_t n = 0;

	if (st != STORE_OK)
		return st;
	st = finish(s, a->db, s->backend->events_trim(a->db, s->log.trimmed_seq, STEP_ROWS, &n));
	*more |= n == STEP_ROWS;
	return st;
}

static void
trim_all(struct store *s)
{
	enum store_status st;
	int more = 0;
	size_t i;

	for (i = 0; i < s->naccounts; i++) {
		struct store_account *a = &s->accounts[i];

		if (a->opened.ok && (st = trim(s, a, &more)) != STORE_OK) {
			store_trouble(s, a, st);
			more = 1; /* again, when the disk lets us */
		}
	}
	if (!more)
		s->trim_done = s->log.trimmed_seq;
}

/* ---------------------------------------------------------------- sweeps */

/* What goes by its age; *more: there may be some left. */
static enum store_status
expire(struct store *s, struct store_account *a, int *more)
{
	const struct store_backend *b = s->backend;
	const struct store_options *o = &s->options;
	int64_t now = s->wall();
	size_t outbox = 0, keys = 0, pending = 0, lists = 0, secrets = 0;
	enum store_status st;

	st = b->outbox_expire(
	    a->db, now - RETENTION_KEYS_MS, now - o->keep_sent_ms, STEP_BIG, &outbox);
	if (st == STORE_OK)
		st = b->base_key_expire(a->db, now - o->keep_sent_ms, STEP_ROWS, &keys);
	if (st == STORE_OK)
		st = b->pending_expire(a->db, now - o->keep_pending_ms, STEP_BIG, &pending);
	if (st == STORE_OK)
		st = b->device_list_expire(a->db, now - RETENTION_LISTS_MS, STEP_ROWS, &lists);
	if (st == STORE_OK)
		st = b->record_expire(a->db, now / 1000, STEP_ROWS, &secrets);
	*more = outbox > 0 || keys == STEP_ROWS || pending == STEP_BIG || lists == STEP_ROWS ||
		secrets == STEP_ROWS;
	return st;
}

static enum store_status
sweep(struct store *s, struct store_account *a, int *done)
{
	enum store_status st = s->backend->begin(a->db);
	int more = 0;

	*done = 0;
	if (st != STORE_OK)
		return st;
	st = s->backend->dedup_sweep(a->db, s->wall() - RETENTION_DEDUP_MS, STEP_ROWS, done);
	if (st == STORE_OK)
		st = expire(s, a, &more);
	*done &= !more;
	return finish(s, a->db, st);
}

/* A step of one account, then of the next; a pause when all are through. */
static void
sweep_next(struct store *s)
{
	struct store_account *a;
	enum store_status st;
	int done = 1;

	if (s->naccounts == 0 || s->clock.held || s->mono() < s->sweep_next_ms)
		return;
	a = &s->accounts[s->sweep_account];
	if (a->opened.ok && (st = sweep(s, a, &done)) != STORE_OK) {
		store_trouble(s, a, st);
		done = 1;
	}
	if (!done)
		return;
	s->sweep_account = (s->sweep_account + 1) % s->naccounts;
	if (s->sweep_account == 0)
		s->sweep_next_ms = s->mono() + SWEEP_PAUSE;
}

/* ---------------------------------------------------------------- counting */

/* The bytes that were there at the start are counted a little at a time. */
static void
tally(struct store *s)
{
	struct store_event_head heads[STEP_ROWS];
	size_t i, k, n;

	for (i = 0; i < s->naccounts; i++) {
		struct store_account *a = &s->accounts[i];
		enum store_status st;

		if (!a->opened.ok || a->tally_at >= a->tally_end)
			continue;
		st = s->backend->event_heads(a->db, a->tally_at, heads, STEP_ROWS, &n);
		if (st != STORE_OK) {
			store_trouble(s, a, st);
			return;
		}
		for (k = 0; k < n && heads[k].seq <= a->tally_end; k++) {
			a->event_bytes += heads[k].bytes;
			a->tally_at = heads[k].seq;
		}
		if (k < STEP_ROWS)
			a->tally_at = a->tally_end;
		return;
	}
}

void
retention_step(struct store *s)
{
	enum store_status st;

	if (s->service == NULL)
		return;
	(void)wallclock_look(&s->clock, s->mono(), s->wall());
	tally(s);
	if (s->trim_done < s->log.trimmed_seq)
		trim_all(s);
	else if ((st = cut_where_due(s)) != STORE_OK)
		store_trouble(s, NULL, st);
	sweep_next(s);
}
