/* CHECK and SNAPSHOT: tasks that go through the databases, one after the other. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "stored/task.h"

#define NAME_LEN_MAX 64

struct walk {
	struct task_db dbs[ACCOUNTS_MAX + 1];
	uint64_t bytes[ACCOUNTS_MAX + 1];
	size_t ndbs, at;
	int begun; /* dbs[at] is being worked at */
	struct store_progress p;
	uint64_t done_before; /* of the databases before it */
	size_t nbegun;        /* snapshot: so many copies are there */
	int kept;             /* snapshot: they are to stay */
	char name[128];       /* snapshot: what its files are called, before "-FILE" */
};

static struct walk *
walk_new(struct store *s)
{
	struct walk *w = calloc(1, sizeof(*w));
	size_t i;

	if (w == NULL)
		return NULL;
	w->ndbs = task_databases(s, w->dbs);
	for (i = 0; i < w->ndbs; i++)
		w->bytes[i] = s->backend->bytes(w->dbs[i].db);
	return w;
}

/* How much there is in the databases that were not looked at yet is guessed by their size. */
static void
walk_progress(struct task *t, const struct walk *w)
{
	double known = 0, rest = 0;
	size_t i;

	for (i = 0; i < w->ndbs; i++)
		*(i <= w->at ? &known : &rest) += (double)w->bytes[i];
	t->done = w->done_before + w->p.done;
	t->total = w->done_before + w->p.total;
	if (known > 0)
		t->total += (uint64_t)((double)t->total * (rest / known));
}

static void
walk_next(struct task *t, struct walk *w)
{
	w->done_before += w->p.total;
	t->done = w->done_before;
	if (w->at + 1 == w->ndbs)
		t->total = t->done;
	w->begun = 0;
	memset(&w->p, 0, sizeof(w->p));
	w->at++;
}

static enum task_next
closed(struct task *t, const struct task_db *d)
{
	return task_fail(
	    t, "account_failed", "%s: its database was closed meanwhile", task_db_name(d));
}

static enum task_next
failed(struct store *s, struct task *t, const struct task_db *d, enum store_status st)
{
	(void)task_fail(t, st == STORE_IN_USE ? "busy" : store_status_word(st), "%s: %s",
	    task_db_name(d),
	    st == STORE_IN_USE ? "it is being copied already" : "its database cannot be read");
	store_trouble(s, d->account, st);
	return TASK_FAILED;
}

/* ---------------------------------------------------------------- check */

/* A database that is not open was not found whole: NULL, or what the check ends with for it. */
static const char *
worst_not_open(const struct store *s)
{
	const char *worst = NULL;
	size_t i;

	for (i = 0; i < s->naccounts; i++) {
		if (s->accounts[i].opened.ok)
			continue;
		if (strcmp(s->accounts[i].opened.reason, "corrupt") == 0)
			return "damaged";
		worst = "account_failed";
	}
	return worst;
}

static enum task_next
check_ended(struct store *s, struct task *t, struct walk *w)
{
	char left_out[512];

	task_not_open(s, left_out, sizeof(left_out));
	if (left_out[0] != '\0')
		task_say(t, "not checked, because they are not open: %s", left_out);
	if (t->reason == NULL)
		t->reason = worst_not_open(s);
	if (t->reason != NULL)
		return TASK_FAILED;
	task_say(t, "%zu databases read whole, nothing damaged", w->ndbs);
	return TASK_DONE;
}

static enum task_next
check_step(struct store *s, struct task *t)
{
	struct walk *w = t->state;
	struct task_db *d = &w->dbs[w->at];
	enum store_status st;

	if (w->at == w->ndbs)
		return check_ended(s, t, w);
	if (!task_db_open(s, d))
		return closed(t, d);
	if ((st = s->backend->check_step(d->db, !w->begun, &w->p)) != STORE_OK)
		return failed(s, t, d, st);
	w->begun = 1;
	walk_progress(t, w);
	if (w->p.text[0] != '\0') { /* the others are still looked at */
		t->reason = "damaged";
		task_say(t, "%s: %s", task_db_name(d), w->p.text);
		log_errx("check: %s: %s", task_db_name(d), w->p.text);
	}
	if (w->p.ended || w->p.text[0] != '\0')
		walk_next(t, w);
	return TASK_ON;
}

static void
check_end(struct store *s, struct task *t)
{
	(void)s;
	free(t->state);
}

static const struct task_kind check_kind = {"check", check_step, NULL, check_end};

int
task_check_row(struct message *m, void *owner)
{
	struct store *s = owner;
	struct walk *w;
	int ret;

	if (!task_allowed(s, m, &ret))
		return ret;
	if (s->backend->check_step == NULL)
		return channel_reply_error(
		    m->channel, m->id, "unsupported", "this store has nothing to check");
	if ((w = walk_new(s)) == NULL)
		return channel_reply_error(m->channel, m->id, "no_memory", "no memory for a task");
	return task_start(s, m, &check_kind, w);
}

/* ---------------------------------------------------------------- snapshot */

/* All copies are whole: they get their names. */
static enum task_next
snapshot_keep(struct store *s, struct task *t, struct walk *w)
{
	char left_out[512];
	enum store_status st;

	while (w->nbegun > 0) {
		struct task_db *d = &w->dbs[w->nbegun - 1];

		if (!task_db_open(s, d))
			return closed(t, d);
		w->nbegun--;
		if ((st = s->backend->snapshot_end(d->db, 1)) != STORE_OK)
			return failed(s, t, d, st);
	}
	task_say(t, "%s-*", w->name);
	task_not_open(s, left_out, sizeof(left_out));
	if (left_out[0] != '\0')
		task_say(t, "left out, because they are not open: %s", left_out);
	return TASK_DONE;
}

static enum task_next
snapshot_step(struct store *s, struct task *t)
{
	struct walk *w = t->state;
	struct task_db *d = &w->dbs[w->at];
	enum store_status st;

	if (w->at == w->ndbs)
		return snapshot_keep(s, t, w);
	if (!task_db_open(s, d))
		return closed(t, d);
	if (!w->begun) {
		if ((st = s->backend->snapshot_begin(d->db, w->name)) != STORE_OK)
			return failed(s, t, d, st);
		w->begun = 1;
		w->nbegun++;
		return TASK_ON;
	}
	if ((st = s->backend->snapshot_step(d->db, &w->p)) != STORE_OK)
		return failed(s, t, d, st);
	walk_progress(t, w);
	if (w->p.ended)
		walk_next(t, w);
	return TASK_ON;
}

static void
snapshot_end(struct store *s, struct task *t)
{
	struct walk *w = t->state;

	for (; w->nbegun > 0; w->nbegun--) { /* cut short: nothing of it stays */
		struct task_db *d = &w->dbs[w->nbegun - 1];

		if (task_db_open(s, d))
			(void)s->backend->snapshot_end(d->db, 0);
	}
	free(w);
}

static const struct task_kind snapshot_kind = {"snapshot", snapshot_step, NULL, snapshot_end};

/* A piece of a file's name. */
static int
name_ok(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";
	size_t n = strlen(name);

	return n >= 1 && n <= NAME_LEN_MAX && strspn(name, allowed) == n &&
	       strstr(name, "..") == NULL;
}

int
task_snapshot_row(struct message *m, void *owner)
{
	struct store *s = owner;
	const Stored__Snapshot *rq = (const Stored__Snapshot *)m->pb;
	time_t now = (time_t)(s->wall() / 1000);
	char when[32];
	struct walk *w;
	struct tm tm;
	int ret;

	if (!task_allowed(s, m, &ret))
		return ret;
	if (s->backend->snapshot_begin == NULL)
		return channel_reply_error(
		    m->channel, m->id, "unsupported", "this store makes no snapshots");
	if (!name_ok(rq->name))
		return channel_reply_error(m->channel, m->id, "bad_request",
		    "a name has 1 to %d of A-Z a-z 0-9 _ . - and no \"..\"", NAME_LEN_MAX);
	if ((w = walk_new(s)) == NULL)
		return channel_reply_error(m->channel, m->id, "no_memory", "no memory for a task");
	(void)strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	(void)snprintf(w->name, sizeof(w->name), "snapshot-%s-%s", when, rq->name);
	return task_start(s, m, &snapshot_kind, w);
}
