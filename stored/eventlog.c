/* The event log of the daemon: one order of seqs over the databases of all accounts.
 *
 * A seq is given when its unit is applied, and one account's transaction is finished before the
 * next one's begins, so what a reader sees never gets a seq filled in below. The service's database
 * holds a mark above which none was ever given; it is moved in big steps, so that it costs nothing,
 * and a restart after a crash goes on from there. So a seq comes never twice, not even if the
 * account that held the last one cannot be opened or retention has emptied the log. */
#include "stored/eventlog.h"

#include <string.h>

#include "common/log.h"

#define RESERVE 4096

void
eventlog_start(struct store *s)
{
	uint64_t last = s->log.seq_reserved;
	size_t i;

	s->trim_done = 0;
	for (i = 0; i < s->naccounts; i++) {
		struct store_account *a = &s->accounts[i];

		if (a->opened.ok && a->last_seq > last)
			last = a->last_seq;
		a->tally_at = s->log.trimmed_seq;
		a->tally_end = a->last_seq;
		a->event_bytes = 0;
	}
	s->last_seq = last;
	s->next_seq = last + 1;
}

static enum store_status
save(struct store *s, const struct store_log_state *log)
{
	const struct store_backend *b = s->backend;
	enum store_status st = b->begin(s->service);

	if (st != STORE_OK)
		return st;
	if ((st = b->log_save(s->service, log)) != STORE_OK) {
		b->rollback(s->service);
		return st;
	}
	if ((st = b->commit(s->service)) == STORE_OK)
		s->log = *log;
	return st;
}

enum store_status
eventlog_reserve(struct store *s, size_t n)
{
	struct store_log_state log = s->log;

	if (n == 0 || s->next_seq + n - 1 <= s->log.seq_reserved)
		return STORE_OK;
	log.seq_reserved = s->next_seq + n - 1 + RESERVE;
	return save(s, &log);
}

void
eventlog_stop(struct store *s)
{
	struct store_log_state log = s->log;

	log.seq_reserved = s->next_seq - 1;
	if (s->service != NULL && log.seq_reserved != s->log.seq_reserved &&
	    save(s, &log) != STORE_OK)
		log_warnx(
		    "service.db: the end of the log was not saved; a gap of seqs will follow");
}

uint64_t
eventlog_first(const struct store *s)
{
	return s->log.trimmed_seq + 1;
}

/* ---------------------------------------------------------------- reading */

/* A walk in each database, and the event at which each stands. */
struct merge {
	struct store *s;
	struct store_account *accounts[ACCOUNTS_MAX];
	const struct store_event *at[ACCOUNTS_MAX];
	size_t n;
	struct store_account *failed;
};

static enum store_status
step(struct merge *m, size_t i)
{
	enum store_status st = m->s->backend->events_step(m->accounts[i]->db, &m->at[i]);

	if (st != STORE_OK)
		m->failed = m->accounts[i];
	return st;
}

static enum store_status
begin(struct merge *m, struct store *s, struct store_account **accounts, size_t n, uint64_t after)
{
	enum store_status st = STORE_OK;
	size_t i;

	memset(m, 0, sizeof(*m));
	m->s = s;
	for (i = 0; st == STORE_OK && i < n; i++) {
		if (!accounts[i]->opened.ok || accounts[i]->last_seq <= after)
			continue; /* nothing new there: costs nothing */
		m->accounts[m->n] = accounts[i];
		m->failed = accounts[i];
		st = s->backend->events_walk(accounts[i]->db, after);
		m->n++;
		if (st == STORE_OK)
			st = step(m, m->n - 1);
	}
	return st;
}

static void
end(struct merge *m)
{
	size_t i;

	for (i = 0; i < m->n; i++)
		m->s->backend->events_stop(m->accounts[i]->db);
}

/* The one that is next in the log, or m->n. */
static size_t
lowest(const struct merge *m)
{
	size_t i, best = m->n;

	for (i = 0; i < m->n; i++) {
		if (m->at[i] != NULL && (best == m->n || m->at[i]->seq < m->at[best]->seq))
			best = i;
	}
	return best;
}

static Stored__Event *
copy(const struct store_event *e, struct store_account *a, struct region *r)
{
	Stored__Event *out = region_alloc(r, sizeof(*out));

	if (out == NULL)
		return NULL;
	stored__event__init(out);
	out->seq = e->seq;
	out->account = a->name;
	out->type = region_text(r, e->type);
	out->origin = region_text(r, e->origin);
	out->time_ms = e->time_ms;
	out->body.len = e->body_len;
	out->body.data = region_copy(r, e->body, e->body_len);
	return region_failed(r) ? NULL : out;
}

static enum store_status
take(struct merge *m, const Stored__EventsRead *rq, struct region *r, Stored__Events *out)
{
	enum store_status st = STORE_OK;
	size_t bytes = 0, i;

	while ((i = lowest(m)) < m->n) {
		const struct store_event *e = m->at[i];

		bytes += e->body_len + 128; /* and the frame's own */
		if (out->n_events == rq->limit || (out->n_events > 0 && bytes > rq->max_bytes))
			return STORE_OK;
		if ((out->events[out->n_events] = copy(e, m->accounts[i], r)) == NULL)
			return STORE_NO_MEMORY;
		out->scanned_seq = e->seq;
		out->n_events++;
		if ((st = step(m, i)) != STORE_OK)
			return st;
	}
	out->scanned_seq =
	    m->s->last_seq; /* all accounts that were asked for are read to the end */
	return STORE_OK;
}

enum store_status
eventlog_read(struct store *s, struct store_account **accounts, size_t n,
    const Stored__EventsRead *rq, struct region *r, Stored__Events *out,
    struct store_account **failed)
{
	uint64_t after = rq->after_seq;
	enum store_status st;
	struct merge m;

	out->last_seq = s->last_seq;
	out->first_seq = eventlog_first(s);
	out->scanned_seq = after;
	out->events = region_alloc(r, rq->limit * sizeof(Stored__Event *));
	if (out->events == NULL)
		return STORE_NO_MEMORY;
	if (after < s->log.trimmed_seq)
		after = s->log.trimmed_seq; /* what retention took may not be deleted yet */
	if (after >= s->last_seq)
		return STORE_OK;
	if ((st = begin(&m, s, accounts, n, after)) == STORE_OK)
		st = take(&m, rq, r, out);
	end(&m);
	*failed = st == STORE_OK ? NULL : m.failed;
	return st;
}
