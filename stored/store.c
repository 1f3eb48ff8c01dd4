/* The store: life, state and the turn of the loop. */
#include "stored/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "stored/apply.h"
#include "stored/consumer.h"
#include "stored/eventlog.h"
#include "stored/rekey.h"
#include "stored/restored.h"
#include "stored/retention.h"
#include "stored/space.h"
#include "stored/stats.h"
#include "stored/task.h"
#include "stored/unit.h"

#define TICK_MS   250  /* deadlines of units, log write-back */
#define CHORES_MS 1000 /* space, retention */
#define CHECK_MS  3000 /* for the check of all databases after an unclean stop */

/* ---------------------------------------------------------------- outcomes */

const char *
store_status_word(enum store_status st)
{
	static const char *const words[] = {
	    [STORE_OK] = "ok",
	    [STORE_VERSION] = "version",
	    [STORE_DUPLICATE] = "duplicate",
	    [STORE_BAD] = "bad_request",
	    [STORE_ABSENT] = "absent",
	    [STORE_AGAIN] = "busy",
	    [STORE_FULL] = "disk_full",
	    [STORE_READ_ONLY] = "read_only",
	    [STORE_IO] = "io",
	    [STORE_CORRUPT] = "corrupt",
	    [STORE_NO_MEMORY] = "no_memory",
	    [STORE_UNKNOWN] = "unknown",
	    [STORE_WRONG_KEY] = "wrong_key",
	    [STORE_NEWER_SCHEMA] = "newer_schema",
	    [STORE_FOREIGN] = "foreign",
	    [STORE_IN_USE] = "in_use",
	};

	return words[st];
}

void
store_opened_set(struct store_opened *o, enum store_status st, const char *text)
{
	struct store_opened out = {.ok = st == STORE_OK};

	if (!out.ok) {
		snprintf(out.reason, sizeof(out.reason), "%s", store_status_word(st));
		snprintf(out.text, sizeof(out.text), "%s", text != NULL ? text : "");
	}
	*o = out;
}

void
store_opened_pb(Stored__AccountOpened *out, const char *account, const struct store_opened *o)
{
	union { /* protobuf-c's structs know no const */
		const char *in;
		char *pb;
	} name = {account}, reason = {o->reason}, text = {o->text};

	stored__account_opened__init(out);
	out->account = name.pb;
	out->ok = o->ok;
	if (!o->ok) {
		out->reason = reason.pb;
		out->text = text.pb;
	}
	out->has_rekeyed = out->rekeyed = o->rekeyed;
	out->has_restored = out->restored = o->restored;
}

void
store_tell_state(struct store *s)
{
	Stored__StoreState m = STORED__STORE_STATE__INIT;
	Stored__AccountOpened service, accounts[ACCOUNTS_MAX], *list[ACCOUNTS_MAX];
	size_t i;

	if (s->apid == NULL || !s->unlocked)
		return;
	for (i = 0; i < s->naccounts; i++) {
		store_opened_pb(&accounts[i], s->accounts[i].name, &s->accounts[i].opened);
		list[i] = &accounts[i];
	}
	store_opened_pb(&service, "", &s->service_opened);
	m.log_id = s->log.log_id;
	m.n_accounts = s->naccounts;
	m.accounts = list;
	m.service = &service;
	m.last_seq = s->last_seq;
	m.disk_low = s->disk_low;
	(void)channel_notify(
	    s->apid, STORED__TYPE__STORE_STATE, &m.base); /* broken: told elsewhere */
}

/* ---------------------------------------------------------------- life */

void
store_options_from(struct store_options *o, const struct config *c)
{
	o->keep_acked_ms = config_int(c, "events", "keep_acked");
	o->max_age_ms = config_int(c, "events", "max_age");
	o->max_bytes = config_int(c, "events", "max_bytes");
	o->consumer_expiry_ms = config_int(c, "events", "consumer_expiry");
	o->keep_sent_ms = config_int(c, "store", "keep_sent");
	o->keep_pending_ms = config_int(c, "store", "keep_pending");
	o->min_free = config_int(c, "service", "min_free");
}

static void
on_flush(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	store_flush(arg);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	store_tick(arg);
}

struct store *
store_new(struct event_base *base, const struct store_backend *backend,
    const struct store_options *options, const char *const *names, size_t n)
{
	const struct timeval every = {0, TICK_MS * 1000};
	struct store *s = calloc(1, sizeof(*s));
	size_t i;

	if (s == NULL || n > ACCOUNTS_MAX ||
	    (s->accounts = calloc(n + 1, sizeof(*s->accounts))) == NULL) {
		free(s);
		return NULL;
	}
	s->base = base;
	s->backend = backend;
	s->options = *options;
	s->mono = clock_mono_ms;
	s->wall = clock_wall_ms;
	s->lock_fd = -1;
	s->naccounts = n;
	for (i = 0; i < n; i++) {
		struct store_account *a = &s->accounts[i];

		snprintf(a->name, sizeof(a->name), "%s", names[i]);
		TAILQ_INIT(&a->units);
		TAILQ_INIT(&a->early);
	}
	TAILQ_INIT(&s->consumer_ops);
	s->flush = event_new(base, -1, 0, on_flush, s);
	s->tick = event_new(base, -1, EV_PERSIST, on_tick, s);
	if (s->flush == NULL || s->tick == NULL || event_add(s->tick, &every) == -1) {
		store_free(s);
		return NULL;
	}
	return s;
}

void
store_stop(struct store *s)
{
	size_t i;

	if (s->stopping)
		return;
	store_flush(s);
	task_stop(s, "stopping");
	stats_stop(s);
	rekey_stop(s);
	s->stopping = 1;
	for (i = 0; i < s->naccounts; i++) {
		units_fail(s, &s->accounts[i], "stopping");
		s->backend->close(s->accounts[i].db);
		s->accounts[i].db = NULL;
		s->accounts[i].opened.ok = 0;
	}
	consumers_drop(s);
	if (s->service != NULL)
		eventlog_stop(s);
	s->backend->close(s->service);
	s->service = NULL;
	if (s->lock_fd != -1)
		close(s->lock_fd);
	s->lock_fd = -1;
}

void
store_free(struct store *s)
{
	if (s == NULL)
		return;
	store_stop(s);
	channel_close(s->keyd); /* whose failed requests may be answered to apid */
	channel_free(s->apid);
	channel_free(s->keyd);
	if (s->flush != NULL)
		event_free(s->flush);
	if (s->tick != NULL)
		event_free(s->tick);
	free(s->accounts);
	free(s);
}

struct store_account *
store_account(struct store *s, const char *name)
{
	size_t i;

	for (i = 0; i < s->naccounts; i++) {
		if (strcmp(s->accounts[i].name, name) == 0)
			return &s->accounts[i];
	}
	return NULL;
}

int
store_all_open(const struct store *s)
{
	size_t i;

	for (i = 0; i < s->naccounts; i++) {
		if (!s->accounts[i].opened.ok)
			return 0;
	}
	return s->service_opened.ok;
}

/* ---------------------------------------------------------------- opening */

/* One service a folder: two would give the same seqs and ratchets away. Held until the end. */
static enum store_status
lock_folder(struct store *s, char *text, size_t len)
{
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = open("lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd == -1) {
		snprintf(text, len, "the data folder cannot be written: %s", strerror(errno));
		return errno == EROFS || errno == EACCES || errno == EPERM ? STORE_READ_ONLY
		       : errno == ENOSPC                                   ? STORE_FULL
									   : STORE_IO;
	}
	if (fcntl(fd, F_SETLK, &fl) == -1) {
		snprintf(text, len, "another service has this data folder");
		close(fd);
		return STORE_IN_USE;
	}
	s->lock_fd = fd;
	return STORE_OK;
}

static enum store_status
open_db(struct store *s, enum store_kind kind, const char *account, const uint8_t *key,
    const uint8_t *next_key, int64_t *budget, struct store_db **db, struct store_opened *opened)
{
	struct store_open o = {.kind = kind,
	    .account = account,
	    .key = key,
	    .next_key = next_key,
	    .check_budget_ms = budget};
	const char *name = kind == STORE_SERVICE ? "service" : account;
	enum store_status st = s->backend->open(&o, db);

	store_opened_set(opened, st, o.text);
	opened->rekeyed = o.rekeyed;
	opened->restored = o.restored;
	if (st != STORE_OK)
		log_errx("%s: database not opened: %s (%s)", name, o.text, store_status_word(st));
	else if (o.recovered)
		log_notice("%s: the last stop was not clean: recovered, %s", name,
		    o.unchecked ? "not checked to the end in time" : "checked");
	return st;
}

static void
open_service(struct store *s, const Stored__Unlock *keys, int64_t *budget)
{
	enum store_status st;
	char text[160] = "";

	if ((st = lock_folder(s, text, sizeof(text))) != STORE_OK) {
		store_opened_set(&s->service_opened, st, text);
		log_errx("%s", text);
		return;
	}
	if ((st = restored_read(s, text, sizeof(text))) != STORE_OK) {
		store_opened_set(&s->service_opened, st, text);
		log_errx("%s", text);
		return;
	}
	if (open_db(s, STORE_SERVICE, NULL, keys->service_key.data, rekey_key_of(keys, NULL),
		budget, &s->service, &s->service_opened) != STORE_OK)
		return;
	if ((st = restored_service(s, s->service)) != STORE_OK ||
	    (st = s->backend->log_load(s->service, &s->log)) != STORE_OK) {
		store_opened_set(&s->service_opened, st,
		    "service.db: the log's state cannot be read, or not be written after the"
		    " restore");
		s->backend->close(s->service);
		s->service = NULL;
	}
}

static const uint8_t *
key_of(const Stored__Unlock *keys, const char *account)
{
	size_t i;

	for (i = 0; i < keys->n_accounts; i++) {
		if (strcmp(keys->accounts[i]->account, account) == 0)
			return keys->accounts[i]->key.data;
	}
	return NULL;
}

static void
open_account(struct store *s, struct store_account *a, const uint8_t *key, const uint8_t *next_key,
    int64_t *budget)
{
	enum store_status st;

	if (!s->service_opened.ok) { /* its seqs would hang in the air */
		a->opened = s->service_opened;
		return;
	}
	if (key == NULL) {
		store_opened_set(&a->opened, STORE_WRONG_KEY, "keyd gave no key for this account");
		return;
	}
	if (open_db(s, STORE_ACCOUNT, a->name, key, next_key, budget, &a->db, &a->opened) !=
	    STORE_OK)
		return;
	if (s->restored_id[0] != '\0') {
		st = restored_account(s, a->db);
		s->backend->close(a->db);
		a->db = NULL;
		if (st != STORE_OK)
			store_opened_set(
			    &a->opened, st, "its sessions cannot be dropped after the restore");
		else /* what it says of itself now */
			st = open_db(
			    s, STORE_ACCOUNT, a->name, key, next_key, budget, &a->db, &a->opened);
		if (st != STORE_OK)
			return;
	}
	if ((st = s->backend->event_last(a->db, &a->last_seq)) != STORE_OK) {
		store_opened_set(&a->opened, st, "the event log cannot be read");
		s->backend->close(a->db);
		a->db = NULL;
	}
}

/* When the newest event of all accounts was added; 0 if none is there. */
static int64_t
newest_ms(struct store *s)
{
	struct store_event_head h;
	int64_t newest = 0;
	size_t i, n;

	for (i = 0; i < s->naccounts; i++) {
		struct store_account *a = &s->accounts[i];

		if (!a->opened.ok || a->last_seq == 0)
			continue;
		if (s->backend->event_heads(a->db, a->last_seq - 1, &h, 1, &n) == STORE_OK &&
		    n == 1 && h.added_ms > newest)
			newest = h.added_ms;
	}
	return newest;
}

void
store_unlock(struct store *s, const Stored__Unlock *keys)
{
	int64_t budget = CHECK_MS;
	size_t i;

	open_service(s, keys, &budget);
	for (i = 0; i < s->naccounts; i++)
		open_account(s, &s->accounts[i], key_of(keys, s->accounts[i].name),
		    rekey_key_of(keys, s->accounts[i].name), &budget);
	restored_end(s);
	s->unlocked = 1;
	eventlog_start(s);
	wallclock_start(&s->clock, s->mono(), s->wall(), newest_ms(s));
	space_check(s, 1);
	if (rekey_unlocked(s, keys) == -1)
		log_errx("no memory to change keys: it goes on after a restart");
	store_tell_state(s);
}

/* ---------------------------------------------------------------- trouble */

static void
fail_account(struct store *s, struct store_account *a, enum store_status st, const char *text)
{
	if (!a->opened.ok)
		return;
	log_errx("%s: account failed: %s", a->name, text);
	store_opened_set(&a->opened, st, text);
	units_fail(s, a, "account_failed");
	s->backend->close(a->db);
	a->db = NULL;
}

void
store_trouble(struct store *s, struct store_account *a, enum store_status st)
{
	size_t i;

	if (st == STORE_FULL) {
		space_check(s, 1);
		return;
	}
	if (st != STORE_CORRUPT) /* units fail one by one, with the reason, until it passes */
		return;
	if (a != NULL) {
		fail_account(s, a, st, "its database is damaged");
	} else if (s->service != NULL) {
		store_opened_set(&s->service_opened, st, "service.db is damaged");
		for (i = 0; i < s->naccounts; i++)
			fail_account(s, &s->accounts[i], st, "the service's database is damaged");
		s->backend->close(s->service);
		s->service = NULL;
	}
	store_tell_state(s);
}

/* ---------------------------------------------------------------- the turn of the loop */

void
store_flush_later(struct store *s)
{
	/* Runs after the frames that this turn has read: what came together shares a sync. */
	event_active(s->flush, EV_TIMEOUT, 0);
}

void
store_flush_patiently(struct store *s)
{
	const struct timeval tv = {0, STORE_PATIENCE_MS * 1000};

	if (!event_pending(s->flush, EV_TIMEOUT, NULL) && event_add(s->flush, &tv) == -1)
		store_flush_later(s);
}

static void
tidy(struct store *s, struct store_account *a, struct store_db *db, int idle)
{
	enum store_status st = s->backend->tidy(db, idle);

	if (st != STORE_OK)
		store_trouble(s, a, st);
}

static void
tidy_all(struct store *s, int idle)
{
	size_t i;

	for (i = 0; i < s->naccounts; i++) {
		if (s->accounts[i].opened.ok)
			tidy(s, &s->accounts[i], s->accounts[i].db, idle);
	}
	if (s->service != NULL)
		tidy(s, NULL, s->service, idle);
}

void
store_flush(struct store *s)
{
	if (!s->unlocked || s->stopping)
		return;
	if (apply_units(s))
		store_flush_later(s);
	consumers_apply(s);
	tidy_all(s, 0); /* a burst makes a log grow faster than the tick comes */
}

void
store_tick(struct store *s)
{
	int64_t now = s->mono();

	if (!s->unlocked || s->stopping)
		return;
	units_expire(s);
	task_tick(s);
	tidy_all(s, s->nunits == 0);
	if (now - s->chores_ms < CHORES_MS)
		return;
	s->chores_ms = now;
	space_check(s, 0);
	retention_step(s);
}
