/* Numbers for people. The rows of the tables are counted in steps between units, for all who ask
 * meanwhile together. */
#include "stored/stats.h"

#include <stdlib.h>
#include <string.h>

#include "stored/region.h"
#include "stored/rekey.h"
#include "stored/space.h"
#include "stored/task.h"

#define WAITING_MAX 16
#define TABLES_MAX  ((size_t)1024 * 1024) /* bytes: 64 accounts with 40 tables each, and more */

struct stats {
	struct event *turn;
	struct task_db dbs[ACCOUNTS_MAX + 1];
	size_t ndbs, at;
	struct region *region;
	Stored__TableStat **tables;
	size_t ntables;
	struct message *waiting[WAITING_MAX];
	size_t nwaiting;
};

static void
add_databases(struct store *s, Stored__Stats *out)
{
	const struct store_backend *b = s->backend;
	struct task_db list[ACCOUNTS_MAX + 1];
	size_t i, n = task_databases(s, list);

	for (i = 0; i < n; i++) {
		if (list[i].db == NULL)
			continue;
		out->database_bytes += b->bytes(list[i].db);
		if (b->log_bytes != NULL)
			out->log_bytes += b->log_bytes(list[i].db);
	}
	out->has_log_bytes = b->log_bytes != NULL;
}

static void
numbers(struct store *s, Stored__Stats *out)
{
	struct store_counters c;
	union { /* protobuf-c's structs know no const */
		const char *in;
		char *pb;
	} name = {s->backend->name};

	stored__stats__init(out);
	s->backend->counters(&c);
	out->units = s->n_units;
	out->units_failed = s->n_units_failed;
	out->transactions = s->n_transactions;
	out->fsyncs = c.fsyncs;
	out->events = s->n_events;
	out->backend = name.pb;
	add_databases(s, out);
	space_check(s, 0);
	out->free_bytes = s->free_bytes;
	out->disk_low = s->disk_low;
	rekey_stats(s, out);
}

/* ---------------------------------------------------------------- tables */

static void
finish(struct store *s, const char *error)
{
	struct stats *c = s->stats;
	Stored__Stats out;
	size_t i;

	s->stats = NULL;
	numbers(s, &out);
	out.tables = c->tables;
	out.n_tables = c->ntables;
	for (i = 0; i < c->nwaiting; i++) {
		struct message *m = c->waiting[i];

		if (error == NULL)
			(void)channel_reply(
			    m->channel, m->id, STORED__TYPE__STATS_REPLY, &out.base);
		else
			(void)channel_reply_error(
			    m->channel, m->id, error, "the tables could not be counted");
		message_release(m);
	}
	region_free(c->region);
	event_free(c->turn);
	free(c);
}

void
stats_stop(struct store *s)
{
	if (s->stats != NULL)
		finish(s, "stopping");
}

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval soon = {0, 2000};
	struct store *s = arg;
	struct stats *c = s->stats;
	enum store_status st = STORE_OK;
	struct task_db *d;

	(void)fd;
	(void)what;
	store_flush(s); /* units that are ready go first */
	if (c->at < c->ndbs && task_db_open(s, d = &c->dbs[c->at])) {
		st = s->backend->tables(d->db, c->region, &c->tables, &c->ntables);
		if (st != STORE_OK && st != STORE_AGAIN) {
			finish(s, store_status_word(st));
			store_trouble(s, d->account, st);
			return;
		}
	}
	c->at += st != STORE_AGAIN;
	if (c->at >= c->ndbs)
		finish(s, NULL);
	else if (event_add(c->turn, &soon) == -1)
		finish(s, "no_memory");
}

static struct stats *
begin(struct store *s)
{
	const struct timeval now = {0, 0};
	struct stats *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->ndbs = task_databases(s, c->dbs);
	c->region = region_new(TABLES_MAX);
	c->turn = event_new(s->base, -1, 0, on_turn, s);
	if (c->region != NULL && c->turn != NULL && event_add(c->turn, &now) == 0)
		return c;
	region_free(c->region);
	if (c->turn != NULL)
		event_free(c->turn);
	free(c);
	return NULL;
}

/* ---------------------------------------------------------------- the request */

int
stats_row(struct message *m, void *owner)
{
	const Stored__StatsGet *rq = (const Stored__StatsGet *)m->pb;
	struct store *s = owner;
	Stored__Stats out;

	if (!rq->tables || s->backend->tables == NULL || s->service == NULL) {
		numbers(s, &out);
		return channel_reply(m->channel, m->id, STORED__TYPE__STATS_REPLY, &out.base);
	}
	if (s->stats == NULL && (s->stats = begin(s)) == NULL)
		return channel_reply_error(m->channel, m->id, "no_memory", "no memory to count");
	if (s->stats->nwaiting == WAITING_MAX)
		return channel_reply_error(m->channel, m->id, "busy", "others are asking");
	s->stats->waiting[s->stats->nwaiting++] = message_hold(m);
	return 0;
}
