/* The store: what the rooms of stored share. One a process. */
#ifndef WARD_STORE_H
#define WARD_STORE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "common/config.h"
#include "ipc/channel.h"
#include "ipc/stored.pb-c.h"
#include "stored/backend.h"
#include "stored/wallclock.h"

TAILQ_HEAD(unit_list, unit);               /* stored/unit.h */
TAILQ_HEAD(consumer_op_list, consumer_op); /* stored/consumer.h */

/* Whether a database can be used, and if not, why (the words of the contract). */
struct store_opened {
	int ok;
	int rekeyed;  /* it has its next key */
	int restored; /* it came from a backup, and that was not dealt with yet */
	char reason[24];
	char text[240];
};

struct store_account {
	char name[ACCOUNT_NAME_MAX + 1];
	struct store_db *db; /* NULL: not open */
	struct store_opened opened;
	uint64_t last_seq; /* of its newest event; 0 = none */
	/* units of work */
	struct unit_list units; /* in the order of UNIT_OPEN */
	struct unit_list early; /* staged by keyd, not opened by apid yet */
	uint64_t last_unit;     /* the newest that was opened */
	size_t nunits;          /* in both lists */
	/* bytes of event bodies; counted in steps after a start, up to tally_end */
	uint64_t event_bytes;
	uint64_t tally_at, tally_end;
};

struct store_options {
	int64_t keep_acked_ms;      /* an event that all consumers have acked stays so long */
	int64_t max_age_ms;         /* no event stays longer; 0 = no bound */
	int64_t max_bytes;          /* of all event bodies; 0 = no bound */
	int64_t consumer_expiry_ms; /* one that is silent for longer holds no events; 0 = never */
	int64_t keep_sent_ms;       /* a message in the outbox, and base keys, stay so long */
	int64_t keep_pending_ms;    /* a pending stanza stays so long */
	int64_t min_free;           /* below so many free bytes the disk is called low */
};

struct task;  /* stored/task.h */
struct stats; /* stored/stats.c */

struct store {
	struct event_base *base;
	const struct store_backend *backend;
	struct store_options options;
	int64_t (*mono)(void); /* clocks, to be replaced by tests */
	int64_t (*wall)(void);
	struct channel *keyd, *apid;  /* NULL: not there; see dispatch.h */
	int keyd_paused, apid_paused; /* they do not take our answers fast enough */
	/* A peer closed (why NULL) or broke the contract. */
	void (*peer_lost)(struct store *s, struct channel *ch, const char *why);
	void *owner;

	struct store_account *accounts;
	size_t naccounts;
	struct store_db *service;
	struct store_opened service_opened;
	int unlocked;         /* UNLOCK was carried out */
	int lock_fd;          /* held on the file "lock" */
	char restored_id[33]; /* of the backup that the folder was made from, or "" */
	struct rekey *rekey;  /* stored/rekey.c: keys are being changed */
	int stopping;

	/* the log */
	struct store_log_state log; /* as it stands in the service's database */
	uint64_t next_seq;          /* the next to be given */
	uint64_t last_seq;          /* newest committed event */
	uint64_t trim_done;         /* all accounts are trimmed up to here */

	/* work that waits for the end of the turn */
	struct event *flush;
	struct event *tick;
	struct consumer_op_list consumer_ops;
	size_t nconsumer_ops;
	size_t unit_bytes, nunits; /* of all open units */

	/* long work for people */
	struct task *task; /* NULL: none */
	uint64_t last_task;
	struct stats *stats; /* rows are being counted */

	/* the disk */
	int disk_low;
	uint64_t free_bytes;
	int64_t space_checked_ms, chores_ms;
	size_t sweep_account; /* whose turn it is in retention's sweeps */
	int64_t sweep_next_ms;
	struct wallclock clock; /* for retention */

	/* counters since start */
	uint64_t n_units, n_units_failed, n_transactions, n_events;
};

void store_options_from(struct store_options *o, const struct config *c);

/* names: the configured accounts; copied. The working folder must be the data folder by the time of
 * store_unlock. NULL when memory is out. */
struct store *store_new(struct event_base *base, const struct store_backend *backend,
    const struct store_options *options, const char *const *names, size_t n);
/* Finish what is ready, write all back, close. */
void store_stop(struct store *s);
void store_free(struct store *s); /* stops if that was not done; frees the channels */

/* Open all databases with these keys; fills s->service_opened and each account's opened. */
void store_unlock(struct store *s, const Stored__Unlock *keys);
/* Say to apid how things stand. */
void store_tell_state(struct store *s);

/* NULL: no such account is configured. */
struct store_account *store_account(struct store *s, const char *name);
/* The service's database and those of all accounts. */
int store_all_open(const struct store *s);
/* An operation on an account's database failed for good: remember what must be remembered. */
void store_trouble(struct store *s, struct store_account *a, enum store_status st);

/* Have store_flush run at the end of this turn of the loop. */
void store_flush_later(struct store *s);
/* The same within STORE_PATIENCE_MS, unless something else makes it run before. */
#define STORE_PATIENCE_MS 5
void store_flush_patiently(struct store *s);
/* Apply all that is ready and answer. */
void store_flush(struct store *s);
/* The second's work: deadlines, space, retention, log write-back. */
void store_tick(struct store *s);

/* Fill a message of the contract from an outcome; strings stay the store's. */
void store_opened_pb(Stored__AccountOpened *out, const char *account, const struct store_opened *o);
void store_opened_set(struct store_opened *o, enum store_status st, const char *text);

#endif
