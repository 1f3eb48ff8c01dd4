/* Long work for people: one task at a time, done in small steps between units of work.
 *
 * A step is taken in a turn of the loop of its own, after the units that are ready, and ends after
 * about TASK_STEP_US or TASK_STEP_BYTES: that is how long a unit that comes meanwhile can wait. */
#ifndef WARD_STORED_TASK_H
#define WARD_STORED_TASK_H

#include "stored/store.h"

#define TASK_STEP_US    2000
#define TASK_STEP_BYTES ((size_t)256 * 1024)

enum task_next {
	TASK_ON,    /* another step */
	TASK_WAITS, /* for something of its own: it calls task_wake */
	TASK_DONE,
	TASK_FAILED /* task_fail said why */
};

struct task_kind {
	const char *name; /* for the log */
	enum task_next (*step)(struct store *s, struct task *t);
	/* At each tick of the store while it waits; TASK_WAITS: go on waiting. May be NULL. */
	enum task_next (*tick)(struct store *s, struct task *t);
	/* Give everything back. Called once, whatever happened. */
	void (*end)(struct store *s, struct task *t);
};

struct task {
	const struct task_kind *kind;
	void *state; /* of the kind */
	uint64_t id;
	uint64_t done, total; /* bytes or rows */
	const char *reason;   /* of the contract; NULL: nothing is wrong */
	char text[1024];      /* for people */
	/* of task.c alone */
	struct event *turn;
	int waits;
	int64_t told_ms, step_us;
	uint64_t units_seen; /* committed before the last step */
};

/* A task can begin now; else the request was answered with *ret. */
int task_allowed(struct store *s, struct message *m, int *ret);
/* Answer the request and begin. The state is the task's from now on, also if this fails. total: a
 * first guess. Returns what a handler returns. */
int task_start(struct store *s, struct message *m, const struct task_kind *kind, void *state);

/* For steps. The time of this step is over. */
int task_over(const struct task *t);
/* Sets reason and text. Always TASK_FAILED. */
enum task_next task_fail(struct task *t, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* One more sentence for people. */
void task_say(struct task *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What it waited for has come. */
void task_wake(struct task *t);

/* End it before its time, if there is one: reason as in TaskState. */
void task_stop(struct store *s, const char *reason);
void task_tick(struct store *s);

/* The databases that are open: the service's first, then the accounts'. */
struct task_db {
	struct store_account *account; /* NULL: the service's */
	struct store_db *db;
	int left; /* it was closed meanwhile, or the task is done with it */
};
size_t task_databases(struct store *s, struct task_db list[ACCOUNTS_MAX + 1]);
/* Accounts that are not open, for people: "x: wrong_key, y: io"; empty if there are none. */
void task_not_open(struct store *s, char *out, size_t len);
/* Is it still the open database that it was? */
int task_db_open(const struct store *s, const struct task_db *d);
const char *task_db_name(const struct task_db *d); /* for people */

/* Rows of apid's table. */
int task_backup_row(struct message *m, void *owner);   /* backup.c */
int task_snapshot_row(struct message *m, void *owner); /* walk.c */
int task_check_row(struct message *m, void *owner);    /* walk.c */
int task_cancel_row(struct message *m, void *owner);

#endif
