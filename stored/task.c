/* Long work for people: its turns, its notices, its end. */
#include "stored/task.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

#define TELL_MS  250  /* between two notices */
#define YIELD_US 2000 /* between two steps while units come */

static void finish(struct store *s);

/* ---------------------------------------------------------------- notices */

static void
tell(struct store *s, struct task *t, int ended)
{
	Stored__TaskState m = STORED__TASK_STATE__INIT;
	union { /* protobuf-c's structs know no const */
		const char *in;
		char *pb;
	} reason = {t->reason};

	if (s->apid == NULL || (!ended && channel_full(s->apid)))
		return;
	t->told_ms = s->mono();
	m.task = t->id;
	m.done = t->done;
	m.total = t->total > t->done ? t->total : t->done;
	m.ended = ended;
	if (ended)
		m.reason = reason.pb;
	if (t->text[0] != '\0')
		m.text = t->text;
	(void)channel_notify(
	    s->apid, STORED__TYPE__TASK_STATE, &m.base); /* broken: told elsewhere */
}

/* ---------------------------------------------------------------- turns */

int
task_over(const struct task *t)
{
	return clock_mono_us() - t->step_us >= TASK_STEP_US;
}

/* By a timer and not by event_active: libevent looks at its sockets before it runs a timer, so
 * what peers sent comes before the next step. */
static void
schedule(struct store *s, struct task *t)
{
	int units_come = s->nunits > 0 || s->n_units != t->units_seen;
	const struct timeval tv = {0, units_come ? YIELD_US : 0};

	t->units_seen = s->n_units;
	t->waits = 0;
	if (event_add(t->turn, &tv) == -1) {
		(void)task_fail(t, "no_memory", "the event loop has no memory");
		finish(s);
	}
}

static void
go_on(struct store *s, struct task *t, enum task_next next)
{
	if (next == TASK_DONE || next == TASK_FAILED) {
		finish(s);
		return;
	}
	if (s->mono() - t->told_ms >= TELL_MS)
		tell(s, t, 0);
	if (s->task != t) /* apid was lost over the notice */
		return;
	if (next == TASK_ON)
		schedule(s, t);
	else
		t->waits = 1;
}

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct store *s = arg;
	struct task *t = s->task;

	(void)fd;
	(void)what;
	if (event_pending(s->flush, EV_TIMEOUT, NULL)) { /* units that are ready go first */
		(void)event_del(s->flush);
		store_flush(s);
	}
	t->step_us = clock_mono_us();
	go_on(s, t, t->kind->step(s, t));
}

void
task_wake(struct task *t)
{
	const struct timeval now = {0, 0};

	if (!t->waits)
		return;
	t->waits = 0;
	(void)event_add(t->turn, &now); /* the event has been in the loop: needs no memory */
}

void
task_tick(struct store *s)
{
	struct task *t = s->task;
	enum task_next next;

	if (t == NULL || !t->waits || t->kind->tick == NULL)
		return;
	if ((next = t->kind->tick(s, t)) == TASK_WAITS)
		return;
	go_on(s, t, next);
}

/* ---------------------------------------------------------------- life */

int
task_allowed(struct store *s, struct message *m, int *ret)
{
	if (!s->unlocked)
		*ret = channel_reply_error(m->channel, m->id, "locked", "the store has no key yet");
	else if (s->service == NULL)
		*ret = channel_reply_error(
		    m->channel, m->id, "account_failed", "%s", s->service_opened.text);
	else if (s->task != NULL)
		*ret = channel_reply_error(m->channel, m->id, "busy",
		    "a %s is being done: wait for"
		    " its end or cancel it",
		    s->task->kind->name);
	else
		return 1;
	return 0;
}

static void
release(struct store *s, struct task *t)
{
	t->kind->end(s, t);
	if (t->turn != NULL)
		event_free(t->turn);
	free(t);
}

int
task_start(struct store *s, struct message *m, const struct task_kind *kind, void *state)
{
	const struct timeval now = {0, 0};
	Stored__Task out = STORED__TASK__INIT;
	struct task *t = calloc(1, sizeof(*t));

	if (t == NULL) {
		struct task bare = {.kind = kind, .state = state};

		kind->end(s, &bare);
		return channel_reply_error(m->channel, m->id, "no_memory", "no memory for a task");
	}
	t->kind = kind;
	t->state = state;
	t->id = ++s->last_task;
	t->turn = event_new(s->base, -1, 0, on_turn, s);
	if (t->turn == NULL || event_add(t->turn, &now) == -1) {
		release(s, t);
		return channel_reply_error(m->channel, m->id, "no_memory", "no memory for a task");
	}
	s->task = t;
	t->told_ms = s->mono();
	log_notice("%s: began", kind->name);
	out.task = t->id;
	return channel_reply(m->channel, m->id, STORED__TYPE__TASK, &out.base);
}

static void
finish(struct store *s)
{
	struct task *t = s->task;

	s->task = NULL;
	if (t->reason == NULL)
		log_notice("%s: done", t->kind->name);
	else
		log_warnx("%s: ended: %s%s%s", t->kind->name, t->reason,
		    t->text[0] != '\0' ? ": " : "", t->text);
	tell(s, t, 1);
	release(s, t);
}

void
task_stop(struct store *s, const char *reason)
{
	if (s->task == NULL)
		return;
	s->task->reason = reason;
	finish(s);
}

int
task_cancel_row(struct message *m, void *owner)
{
	struct store *s = owner;

	/* one that has just ended is no fault of who cancels it */
	if (s->task != NULL && s->task->id == ((const Stored__TaskCancel *)m->pb)->task)
		task_stop(s, "cancelled");
	return 0;
}

/* ---------------------------------------------------------------- what they say */

void
task_say(struct task *t, const char *fmt, ...)
{
	size_t n = strlen(t->text);
	va_list ap;

	if (n > 0 && n + 2 < sizeof(t->text)) {
		memcpy(t->text + n, "; ", 3);
		n += 2;
	}
	va_start(ap, fmt);
	(void)vsnprintf(t->text + n, sizeof(t->text) - n, fmt, ap);
	va_end(ap);
}

enum task_next
task_fail(struct task *t, const char *reason, const char *fmt, ...)
{
	va_list ap;

	t->reason = reason;
	va_start(ap, fmt);
	(void)vsnprintf(t->text, sizeof(t->text), fmt, ap);
	va_end(ap);
	return TASK_FAILED;
}

/* ---------------------------------------------------------------- databases */

size_t
task_databases(struct store *s, struct task_db list[ACCOUNTS_MAX + 1])
{
	size_t i, n = 0;

	list[n++] = (struct task_db){.db = s->service};
	for (i = 0; i < s->naccounts; i++) {
		if (s->accounts[i].opened.ok)
			list[n++] = (struct task_db){&s->accounts[i], s->accounts[i].db, 0};
	}
	return n;
}

void
task_not_open(struct store *s, char *out, size_t len)
{
	size_t i, n = 0;

	out[0] = '\0';
	for (i = 0; i < s->naccounts && n < len; i++) {
		struct store_account *a = &s->accounts[i];

		if (!a->opened.ok)
			n += (size_t)snprintf(out + n, len - n, "%s%s: %s", n > 0 ? ", " : "",
			    a->name, a->opened.reason);
	}
}

int
task_db_open(const struct store *s, const struct task_db *d)
{
	return d->account != NULL ? d->account->db == d->db : s->service == d->db;
}

const char *
task_db_name(const struct task_db *d)
{
	return d->account != NULL ? d->account->name : "service";
}
