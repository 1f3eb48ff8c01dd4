/* Every database gets its next key, one after the other, between units of work.
 *
 * One step of the backend's is done in each turn of the loop, so what the peers asked meanwhile
 * goes first; while units come, the loop is left to them for twice as long as the step took. A
 * database that cannot be done is tried again later, and the others go on. */
#include "stored/rekey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "stored/restored.h"
#include "stored/space.h"

#define RETRY_MS 30000
#define ROOM_MS  2000 /* the same, for room on the disk, which costs nothing to look at */
#define REST_MS  20   /* after a step, at most, while units wait */
#define WAIT_MS  250  /* while somebody else copies, or nothing can be tried yet */
#define LOG_MAX  (20u * 1024 * 1024) /* the log may grow so far beside both files */

enum rekey_state {
	REKEY_NOT,
	REKEY_WANTED,
	REKEY_RUNNING,
	REKEY_DONE
};

struct rekey_one {
	enum rekey_state state;
	uint8_t next_key[STORE_KEY_LEN];
	uint64_t done, total;
	const char *trouble; /* word of the contract, or NULL */
	int64_t retry_ms;    /* not before */
};

/* The accounts by their numbers, then the service's. */
struct rekey {
	struct event *timer;
	size_t n, turn;
	uint64_t units; /* of the store's count, at the last step */
	struct rekey_one one[ACCOUNTS_MAX + 1];
	Stored__RekeyStat stat[ACCOUNTS_MAX + 1], *list[ACCOUNTS_MAX + 1];
};

static struct store_db *
db_of(struct store *s, size_t i)
{
	return i < s->naccounts ? s->accounts[i].db : s->service;
}

static struct store_opened *
opened_of(struct store *s, size_t i)
{
	return i < s->naccounts ? &s->accounts[i].opened : &s->service_opened;
}

static const char *
name_of(const struct store *s, size_t i)
{
	return i < s->naccounts ? s->accounts[i].name : "";
}

/* ---------------------------------------------------------------- one database */

static void
tell_done(struct store *s, size_t i)
{
	Stored__Rekeyed m = STORED__REKEYED__INIT;
	union { /* protobuf-c's structs know no const */
		const char *in;
		char *pb;
	} name = {name_of(s, i)};

	m.account = name.pb;
	if (s->keyd != NULL)
		(void)channel_notify(s->keyd, STORED__TYPE__REKEYED, &m.base);
}

/* It has its next key. */
static void
done(struct store *s, size_t i)
{
	struct rekey_one *o = &s->rekey->one[i];

	o->state = REKEY_DONE;
	o->trouble = NULL;
	opened_of(s, i)->rekeyed = 1;
	tell_done(s, i);
	log_notice("%s: has its new key", i < s->naccounts ? name_of(s, i) : "service");
	store_tell_state(s);
}

static void
trouble(struct store *s, size_t i, enum store_status st, int64_t again_ms)
{
	static struct log_limit limit = LOG_LIMIT_INIT;
	struct rekey_one *o = &s->rekey->one[i];

	o->state = REKEY_WANTED;
	o->done = 0;
	o->trouble = store_status_word(st);
	o->retry_ms = s->mono() + again_ms;
	if (log_allowed(&limit))
		log_warnx("%s: its key cannot be changed now (%s): it is tried again",
		    i < s->naccounts ? name_of(s, i) : "service", o->trouble);
	if (st != STORE_FULL) /* that disk may have room for units yet */
		store_trouble(s, i < s->naccounts ? &s->accounts[i] : NULL, st);
}

/* Both files are there for a while. */
static int
fits(struct store *s, struct store_db *db)
{
	uint64_t spare = s->options.min_free > 0 ? (uint64_t)s->options.min_free : 0;

	space_check(s, 1);
	return s->free_bytes >= s->backend->bytes(db) + LOG_MAX + spare;
}

static void
begin(struct store *s, size_t i)
{
	struct rekey_one *o = &s->rekey->one[i];
	struct store_db *db = db_of(s, i);
	enum store_status st;

	if (!fits(s, db)) {
		trouble(s, i, STORE_FULL, ROOM_MS);
		return;
	}
	if ((st = s->backend->rekey_begin(db, o->next_key)) != STORE_OK) {
		trouble(s, i, st, RETRY_MS);
		return;
	}
	o->state = REKEY_RUNNING;
	o->trouble = NULL;
	o->done = 0;
	o->total = s->backend->bytes(db);
}

static void
step(struct store *s, size_t i)
{
	struct rekey_one *o = &s->rekey->one[i];
	struct store_progress p = {0};
	enum store_status st;

	if (s->disk_low) { /* since it began */
		s->backend->rekey_stop(db_of(s, i));
		trouble(s, i, STORE_FULL, ROOM_MS);
		return;
	}
	if ((st = s->backend->rekey_step(db_of(s, i), &p)) != STORE_OK) {
		trouble(s, i, st, RETRY_MS);
	} else if (p.ended) {
		done(s, i);
	} else if (p.total > 0) {
		o->done = p.done;
		o->total = p.total;
	}
}

/* ---------------------------------------------------------------- all of them */

/* The one that runs, or the next that can be tried: its number, or -1. *wanted: any is left. */
static int
choose(struct store *s, int *wanted)
{
	struct rekey *r = s->rekey;
	int64_t now = s->mono();
	int found = -1;
	size_t i, k;

	*wanted = 0;
	for (i = 0; i < r->n; i++) {
		k = (r->turn + i) % r->n;
		if (r->one[k].state == REKEY_RUNNING && db_of(s, k) == NULL) { /* it failed */
			r->one[k].state = REKEY_WANTED;
		}
		if (r->one[k].state == REKEY_RUNNING) {
			*wanted = 1;
			return (int)k;
		}
		if (r->one[k].state != REKEY_WANTED)
			continue;
		*wanted = 1;
		if (found == -1 && db_of(s, k) != NULL && now >= r->one[k].retry_ms)
			found = (int)k;
	}
	return found;
}

static void
later(struct store *s, int64_t ms)
{
	const struct timeval tv = {ms / 1000, (ms % 1000) * 1000};

	(void)event_add(s->rekey->timer, &tv); /* a timer: fails only without memory */
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct store *s = arg;
	int64_t began = s->mono(), took;
	int i, wanted, busy;

	(void)fd;
	(void)what;
	if (s->stopping)
		return;
	i = choose(s, &wanted);
	if (i == -1 || s->task != NULL) { /* a task reads the files, or copies them */
		if (wanted)
			later(s, WAIT_MS);
		return;
	}
	s->rekey->turn = (size_t)i;
	if (s->rekey->one[i].state == REKEY_WANTED)
		begin(s, (size_t)i);
	else
		step(s, (size_t)i);
	if (s->rekey->one[i].state == REKEY_WANTED || s->rekey->one[i].state == REKEY_DONE)
		s->rekey->turn = ((size_t)i + 1) % s->rekey->n;
	took = s->mono() - began;
	busy = s->nunits > 0 || s->n_units != s->rekey->units;
	s->rekey->units = s->n_units;
	later(s, !busy ? 0 : took < REST_MS / 2 ? 2 * took + 1 : REST_MS);
}

/* ---------------------------------------------------------------- what keyd says */

static struct rekey *
make(struct store *s)
{
	struct rekey *r = s->rekey;

	if (r != NULL)
		return r;
	if ((r = calloc(1, sizeof(*r))) == NULL)
		return NULL;
	if ((r->timer = event_new(s->base, -1, 0, on_timer, s)) == NULL) {
		free(r);
		return NULL;
	}
	r->n = s->naccounts + 1;
	s->rekey = r;
	return r;
}

static void
want(struct store *s, size_t i, const uint8_t *key)
{
	struct rekey_one *o = &s->rekey->one[i];

	if (o->state != REKEY_NOT && sodium_memcmp(o->next_key, key, STORE_KEY_LEN) == 0)
		return;                                       /* it goes on, or has it */
	if (o->state == REKEY_RUNNING && db_of(s, i) != NULL) /* it may have failed since */
		s->backend->rekey_stop(db_of(s, i));
	memcpy(o->next_key, key, STORE_KEY_LEN);
	o->state = REKEY_WANTED;
	o->retry_ms = 0;
	opened_of(s, i)->rekeyed = 0;
}

const uint8_t *
rekey_key_of(const Stored__Unlock *keys, const char *account)
{
	size_t i;

	if (account == NULL)
		return keys->has_service_next_key ? keys->service_next_key.data : NULL;
	for (i = 0; i < keys->n_accounts; i++) {
		if (strcmp(keys->accounts[i]->account, account) == 0)
			return keys->accounts[i]->has_next_key ? keys->accounts[i]->next_key.data
							       : NULL;
	}
	return NULL;
}

int
rekey_unlocked(struct store *s, const Stored__Unlock *keys)
{
	const uint8_t *key;
	size_t i;

	if (!keys->has_service_next_key)
		return 0;
	if (make(s) == NULL)
		return -1;
	for (i = 0; i < s->rekey->n; i++) {
		key = rekey_key_of(keys, i < s->naccounts ? s->accounts[i].name : NULL);
		if (key == NULL)
			continue;
		if (opened_of(s, i)->rekeyed) {
			memcpy(s->rekey->one[i].next_key, key, STORE_KEY_LEN);
			s->rekey->one[i].state = REKEY_DONE;
		} else {
			want(s, i, key);
		}
	}
	later(s, 0);
	return 0;
}

static const uint8_t *
next_of(const Stored__Rekey *rq, const char *account)
{
	size_t i;

	for (i = 0; i < rq->n_accounts; i++) {
		if (strcmp(rq->accounts[i]->account, account) == 0)
			return rq->accounts[i]->has_next_key &&
				       rq->accounts[i]->next_key.len == STORE_KEY_LEN
				   ? rq->accounts[i]->next_key.data
				   : NULL;
	}
	return NULL;
}

int
rekey_request(struct store *s, struct message *m)
{
	const Stored__Rekey *rq = (const Stored__Rekey *)m->pb;
	Stored__Done out = STORED__DONE__INIT;
	char file[64];
	size_t i;
	int ret;

	if (!s->unlocked)
		return channel_reply_error(m->channel, m->id, "locked", "the store has no key yet");
	if (s->backend->rekey_begin == NULL)
		return channel_reply_error(m->channel, m->id, "unsupported",
		    "a store of the kind %s cannot change its key", s->backend->name);
	if (rq->service_next_key.len != STORE_KEY_LEN)
		return channel_reply_error(m->channel, m->id, "bad_request", "a key has 32 bytes");
	for (i = 0; i < s->naccounts; i++) {
		if (next_of(rq, s->accounts[i].name) == NULL)
			return channel_reply_error(m->channel, m->id, "bad_request",
			    "account %s has no next key", s->accounts[i].name);
	}
	if (restored_others(s, file, sizeof(file)))
		return channel_reply_error(m->channel, m->id, "unconfigured",
		    "%s is of no configured account: it would stay under the old key (configure "
		    "it, with enabled = no if it is not to run, or take it out of the folder)",
		    file);
	if (rq->check)
		return channel_reply(m->channel, m->id, STORED__TYPE__DONE, &out.base);
	if (make(s) == NULL)
		return channel_reply_error(m->channel, m->id, "no_memory", "memory is out");
	for (i = 0; i < s->naccounts; i++)
		want(s, i, next_of(rq, s->accounts[i].name));
	want(s, s->naccounts, rq->service_next_key.data);
	ret = channel_reply(m->channel, m->id, STORED__TYPE__DONE, &out.base);
	for (i = 0; i < s->rekey->n; i++) {
		if (s->rekey->one[i].state == REKEY_DONE)
			tell_done(s, i);
	}
	later(s, 0);
	return ret;
}

/* ---------------------------------------------------------------- numbers, and the end */

void
rekey_stats(struct store *s, Stored__Stats *out)
{
	struct rekey *r = s->rekey;
	union {
		const char *in;
		char *pb;
	} text;
	size_t i;

	for (i = 0; r != NULL && i < r->n; i++) {
		Stored__RekeyStat *t = &r->stat[out->n_rekey];

		if (r->one[i].state != REKEY_WANTED && r->one[i].state != REKEY_RUNNING)
			continue;
		stored__rekey_stat__init(t);
		text.in = name_of(s, i);
		t->account = text.pb;
		t->done = r->one[i].done;
		t->total = db_of(s, i) == NULL                ? 0
			   : r->one[i].state == REKEY_RUNNING ? r->one[i].total
							      : s->backend->bytes(db_of(s, i));
		text.in = db_of(s, i) == NULL ? opened_of(s, i)->reason : r->one[i].trouble;
		t->trouble = text.pb;
		r->list[out->n_rekey++] = t;
	}
	out->rekey = r != NULL ? r->list : NULL;
}

void
rekey_stop(struct store *s)
{
	struct rekey *r = s->rekey;
	size_t i;

	if (r == NULL)
		return;
	for (i = 0; i < r->n; i++) {
		if (r->one[i].state == REKEY_RUNNING && db_of(s, i) != NULL)
			s->backend->rekey_stop(db_of(s, i));
	}
	event_free(r->timer);
	sodium_memzero(r, sizeof(*r));
	free(r);
	s->rekey = NULL;
}
