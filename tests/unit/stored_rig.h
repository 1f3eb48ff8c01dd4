/* A store with both its peers, over socket pairs, in a temporary folder: for the tests of stored.
 */
#ifndef WARD_STORED_RIG_H
#define WARD_STORED_RIG_H

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>
#include <sodium.h>

#include "common/clock.h"
#include "common/log.h"
#include "ipc/channel.h"
#include "ipc/stored.pb-c.h"
#include "stored/dispatch.h"
#include "stored/store.h"
#include "stored/unit.h"
#include "tests/unit/slow.h"

#define RIG_WAIT_MS (10000 * (int)test_slow())

struct rig_done {
	char account[33];
	uint64_t unit;
	int committed;
};

struct rig {
	struct event_base *base;
	struct store *s;
	struct channel *keyd, *apid; /* the peers' ends */
	struct rig_done done[4096];  /* UNIT_DONE notices, in order */
	size_t ndone;
	size_t nstates;  /* STORE_STATE notices */
	size_t nrekeyed; /* REKEYED notices */
	int disk_low, service_ok, accounts_ok;
	uint64_t state_last_seq;
	char log_id[40];
	struct {
		size_t n; /* TASK_STATE notices of the task */
		uint64_t task, done, total;
		int ended;
		char reason[32], text[1100];
	} task;   /* the last of them */
	int lost; /* stored said that a peer broke the contract */
	char lost_why[200];
};

/* An answer that is still to come, or came. */
struct rig_reply {
	int came, ok;
	char code[32], text[200];
	const ProtobufCMessageDescriptor *desc;
	ProtobufCMessage *pb; /* rig_reply_clear */
};

static char rig_dir[64];
static int64_t rig_mono_shift, rig_wall_shift;

static int64_t
rig_mono(void)
{
	return clock_mono_ms() + rig_mono_shift;
}

static int64_t
rig_wall(void)
{
	return clock_wall_ms() + rig_wall_shift;
}

/* ---------------------------------------------------------------- the folder */

static inline void
rig_enter_folder(void)
{
	snprintf(rig_dir, sizeof(rig_dir), "/tmp/stored-test-XXXXXX");
	assert_non_null(mkdtemp(rig_dir));
	assert_int_equal(chdir(rig_dir), 0);
	rig_mono_shift = rig_wall_shift = 0;
}

static inline void
rig_leave_folder(void)
{
	struct dirent *e;
	DIR *d;

	(void)chmod(rig_dir, 0700);
	assert_int_equal(chdir(rig_dir), 0);
	assert_non_null(d = opendir("."));
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] != '.')
			assert_int_equal(unlink(e->d_name), 0);
	}
	closedir(d);
	assert_int_equal(chdir("/tmp"), 0);
	assert_int_equal(rmdir(rig_dir), 0);
}

static inline int
rig_setup(void **state)
{
	rig_enter_folder();
	return 0;
}

static inline int
rig_teardown(void **state)
{
	rig_leave_folder();
	return 0;
}

/* ---------------------------------------------------------------- the peers */

static inline int
rig_on_done(struct message *m, void *owner)
{
	const Stored__UnitDone *d = (const Stored__UnitDone *)m->pb;
	struct rig *g = owner;

	assert_true(g->ndone < sizeof(g->done) / sizeof(g->done[0]));
	snprintf(g->done[g->ndone].account, sizeof(g->done[0].account), "%s", d->account);
	g->done[g->ndone].unit = d->unit;
	g->done[g->ndone++].committed = d->committed;
	return 0;
}

static inline int
rig_on_state(struct message *m, void *owner)
{
	const Stored__StoreState *st = (const Stored__StoreState *)m->pb;
	struct rig *g = owner;
	size_t i;

	g->nstates++;
	g->disk_low = st->disk_low;
	g->service_ok = st->service->ok;
	g->state_last_seq = st->last_seq;
	g->accounts_ok = 0;
	for (i = 0; i < st->n_accounts; i++)
		g->accounts_ok += st->accounts[i]->ok;
	snprintf(g->log_id, sizeof(g->log_id), "%s", st->log_id);
	return 0;
}

static inline int
rig_on_task(struct message *m, void *owner)
{
	const Stored__TaskState *st = (const Stored__TaskState *)m->pb;
	struct rig *g = owner;

	g->task.n = st->task == g->task.task ? g->task.n + 1 : 1;
	g->task.task = st->task;
	g->task.done = st->done;
	g->task.total = st->total;
	g->task.ended = st->ended;
	snprintf(
	    g->task.reason, sizeof(g->task.reason), "%s", st->reason != NULL ? st->reason : "");
	snprintf(g->task.text, sizeof(g->task.text), "%s", st->text != NULL ? st->text : "");
	return 0;
}

static inline int
rig_on_rekeyed(struct message *m, void *owner)
{
	struct rig *g = owner;

	(void)m;
	g->nrekeyed++;
	return 0;
}

static const struct channel_row rig_from_stored_keyd[] = {
    {STORED__TYPE__REKEYED, "REKEYED", 2, 64, CHANNEL_ALL_STATES, 0, &stored__rekeyed__descriptor,
	rig_on_rekeyed},
    {STORED__TYPE__UNIT_DONE, "UNIT_DONE", 1, 256, CHANNEL_ALL_STATES, 0,
	&stored__unit_done__descriptor, rig_on_done},
};
static const struct channel_row rig_from_stored_apid[] = {
    {STORED__TYPE__STORE_STATE, "STORE_STATE", 1, 65536, CHANNEL_ALL_STATES, 0,
	&stored__store_state__descriptor, rig_on_state},
    {STORED__TYPE__TASK_STATE, "TASK_STATE", 1, 8192, CHANNEL_ALL_STATES, 0,
	&stored__task_state__descriptor, rig_on_task},
};

#define RIG_ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

static inline void
rig_peer_lost(struct store *s, struct channel *ch, const char *why)
{
	struct rig *g = s->owner;

	(void)ch;
	g->lost++;
	snprintf(g->lost_why, sizeof(g->lost_why), "%s", why != NULL ? why : "closed");
}

static inline void
rig_pair(int sv[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv), 0);
}

static inline struct channel *
rig_peer(struct rig *g, int fd, const struct channel_row *rows, size_t nrows, const char *name)
{
	struct channel_config cfg = {.name = name,
	    .rows = rows,
	    .nrows = nrows,
	    .owner = g,
	    .out_max_bytes = (size_t)64 << 20};
	struct channel *ch = channel_new(g->base, fd, &cfg);

	assert_non_null(ch);
	return ch;
}

static const struct store_options rig_options = {
    .keep_acked_ms = 86400000,
    .max_age_ms = 0,
    .max_bytes = 0,
    .consumer_expiry_ms = 0,
    .keep_sent_ms = 14LL * 86400000,
    .keep_pending_ms = 7LL * 86400000,
    .min_free = 0,
};

/* A store over what is in the working folder, not unlocked yet. */
static inline struct rig *
rig_new_with(const char *const *names, size_t n, const struct store_options *o)
{
	struct rig *g = calloc(1, sizeof(*g));
	int k[2], a[2];

	assert_non_null(g);
	log_set_level(getenv("TEST_LOG") != NULL ? LOG_LV_DEBUG : LOG_LV_ERR);
	if (getenv("TEST_LOG") == NULL)
		log_open("stored", open("/dev/null", O_WRONLY | O_CLOEXEC));
	assert_int_not_equal(sodium_init(), -1);
	assert_int_equal(store_sqlcipher.start(), 0);
	assert_non_null(g->base = event_base_new());
	assert_non_null(g->s = store_new(g->base, &store_sqlcipher, o, names, n));
	g->s->owner = g;
	g->s->peer_lost = rig_peer_lost;
	g->s->mono = rig_mono;
	g->s->wall = rig_wall;
	rig_pair(k);
	rig_pair(a);
	assert_int_equal(dispatch_keyd_attach(g->s, k[0]), 0);
	assert_int_equal(dispatch_apid_attach(g->s, a[0]), 0);
	g->keyd =
	    rig_peer(g, k[1], rig_from_stored_keyd, RIG_ROWS(rig_from_stored_keyd), "keyd: stored");
	g->apid =
	    rig_peer(g, a[1], rig_from_stored_apid, RIG_ROWS(rig_from_stored_apid), "apid: stored");
	return g;
}

static const char *const rig_names[] = {"a", "b", "c"};

static inline struct rig *
rig_new(size_t naccounts)
{
	return rig_new_with(rig_names, naccounts, &rig_options);
}

/* A clean stop. */
static inline void
rig_free(struct rig *g)
{
	channel_free(g->keyd);
	channel_free(g->apid);
	store_free(g->s);
	event_base_free(g->base);
	free(g);
}

/* ---------------------------------------------------------------- the loop */

static inline void
rig_turn(struct rig *g)
{
	event_base_loop(g->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

#define RIG_UNTIL(g, cond)                                                                         \
	do {                                                                                       \
		int64_t until_ = clock_mono_ms() + RIG_WAIT_MS;                                    \
		while (!(cond)) {                                                                  \
			if (clock_mono_ms() > until_)                                              \
				fail_msg("waited for: %s", #cond);                                 \
			event_base_loop((g)->base, EVLOOP_ONCE);                                   \
		}                                                                                  \
	} while (0)

static inline void
rig_on_reply(const struct reply *r, void *arg)
{
	struct rig_reply *out = arg;
	size_t len;
	uint8_t *bytes;

	out->came = 1;
	out->ok = r->ok;
	if (!r->ok) {
		snprintf(out->code, sizeof(out->code), "%s", r->code);
		snprintf(out->text, sizeof(out->text), "%s", r->text);
		return;
	}
	len = protobuf_c_message_get_packed_size(r->pb);
	assert_non_null(bytes = malloc(len + 1));
	protobuf_c_message_pack(r->pb, bytes);
	out->pb = protobuf_c_message_unpack(out->desc, NULL, len, bytes);
	assert_non_null(out->pb);
	free(bytes);
}

static inline void
rig_reply_clear(struct rig_reply *r)
{
	if (r->pb != NULL)
		protobuf_c_message_free_unpacked(r->pb, NULL);
	memset(r, 0, sizeof(*r));
}

/* Ask and go on. */
static inline void
rig_send(struct channel *ch, uint32_t type, const ProtobufCMessage *m, uint32_t reply_type,
    const ProtobufCMessageDescriptor *desc, struct rig_reply *r)
{
	memset(r, 0, sizeof(*r));
	r->desc = desc;
	assert_int_not_equal(channel_request(ch, type, m, reply_type, desc, 17u * 1024 * 1024,
				 600000, rig_on_reply, r),
	    0);
}

/* Ask and wait for the answer. */
static inline void
rig_ask(struct rig *g, struct channel *ch, uint32_t type, const ProtobufCMessage *m,
    uint32_t reply_type, const ProtobufCMessageDescriptor *desc, struct rig_reply *r)
{
	rig_send(ch, type, m, reply_type, desc, r);
	RIG_UNTIL(g, r->came);
}

/* All that was sent until now has been handled: keyd's and apid's side. */
static inline void
rig_settle(struct rig *g)
{
	struct rig_reply k, a;
	Stored__StatsGet sg = STORED__STATS_GET__INIT;
	Stored__KeyringGet kg = STORED__KEYRING_GET__INIT;

	rig_send(g->keyd, STORED__TYPE__KEYRING_GET, &kg.base, STORED__TYPE__KEYRING,
	    &stored__keyring__descriptor, &k);
	rig_send(g->apid, STORED__TYPE__STATS, &sg.base, STORED__TYPE__STATS_REPLY,
	    &stored__stats__descriptor, &a);
	RIG_UNTIL(g, k.came && a.came);
	rig_turn(g);
	rig_reply_clear(&k);
	rig_reply_clear(&a);
}

/* ---------------------------------------------------------------- what peers say */

static inline void
rig_key(uint8_t key[32], const char *name, uint8_t salt)
{
	crypto_generichash(key, 32, (const uint8_t *)name, strlen(name), &salt, 0);
	key[0] ^= salt;
}

/* Unlock with keys that follow from the names; salt 0 is right. The reply is the caller's to clear.
 */
static inline void
rig_unlock_salt(struct rig *g, uint8_t salt, const char *salted, struct rig_reply *r)
{
	Stored__Unlock m = STORED__UNLOCK__INIT;
	Stored__AccountKey ak[8], *list[8];
	uint8_t keys[9][32];
	size_t i;

	rig_key(keys[8], "service", salted != NULL && strcmp(salted, "service") == 0 ? salt : 0);
	m.service_key.data = keys[8];
	m.service_key.len = 32;
	for (i = 0; i < g->s->naccounts; i++) {
		stored__account_key__init(&ak[i]);
		ak[i].account = g->s->accounts[i].name;
		rig_key(keys[i], ak[i].account,
		    salted != NULL && strcmp(salted, ak[i].account) == 0 ? salt : 0);
		ak[i].key.data = keys[i];
		ak[i].key.len = 32;
		list[i] = &ak[i];
	}
	m.n_accounts = g->s->naccounts;
	m.accounts = list;
	rig_ask(g, g->keyd, STORED__TYPE__UNLOCK, &m.base, STORED__TYPE__UNLOCK_REPLY,
	    &stored__unlock_reply__descriptor, r);
}

static inline void
rig_unlock(struct rig *g)
{
	struct rig_reply r;
	Stored__UnlockReply *u;
	size_t i;

	rig_unlock_salt(g, 0, NULL, &r);
	assert_true(r.ok);
	u = (Stored__UnlockReply *)r.pb;
	if (!u->service->ok)
		fail_msg("service: %s", u->service->text);
	for (i = 0; i < u->n_accounts; i++) {
		if (!u->accounts[i]->ok)
			fail_msg("%s: %s", u->accounts[i]->account, u->accounts[i]->text);
	}
	rig_reply_clear(&r);
	RIG_UNTIL(g, g->nstates > 0);
}

static inline struct rig *
rig_open(size_t naccounts)
{
	struct rig *g = rig_new(naccounts);

	rig_unlock(g);
	return g;
}

/* protobuf-c's structs know no const */
static inline char *
rig_str(const char *s)
{
	union {
		const char *in;
		char *out;
	} u = {s};

	return u.out;
}

static inline void
rig_unit_open(struct rig *g, const char *account, uint64_t unit)
{
	Stored__UnitOpen m = STORED__UNIT_OPEN__INIT;

	m.account = rig_str(account);
	m.unit = unit;
	assert_int_equal(channel_notify(g->apid, STORED__TYPE__UNIT_OPEN, &m.base), 0);
}

static inline void
rig_unit_abort(struct rig *g, const char *account, uint64_t unit)
{
	Stored__UnitAbort m = STORED__UNIT_ABORT__INIT;

	m.account = rig_str(account);
	m.unit = unit;
	assert_int_equal(channel_notify(g->apid, STORED__TYPE__UNIT_ABORT, &m.base), 0);
}

/* Stage one record; version 0 = delete version -`del`. */
static inline void
rig_stage(struct rig *g, const char *account, uint64_t unit, const char *name, uint64_t version,
    const char *sealed)
{
	Stored__Stage m = STORED__STAGE__INIT;
	Stored__RecordName n = STORED__RECORD_NAME__INIT;
	Stored__RecordPut p = STORED__RECORD_PUT__INIT, *puts[1] = {&p};
	Stored__RecordDelete d = STORED__RECORD_DELETE__INIT, *dels[1] = {&d};

	m.account = rig_str(account);
	m.unit = unit;
	n.domain = STORED__DOMAIN__SESSION;
	n.name = rig_str(name);
	if (sealed != NULL) {
		p.name = &n;
		p.version = version;
		p.sealed.data = (uint8_t *)rig_str(sealed);
		p.sealed.len = strlen(sealed);
		m.n_puts = 1;
		m.puts = puts;
	} else {
		d.name = &n;
		d.version = version;
		m.n_deletes = 1;
		m.deletes = dels;
	}
	assert_int_equal(channel_notify(g->keyd, STORED__TYPE__STAGE, &m.base), 0);
}

/* Commit with these writes; the answer comes to r. */
static inline void
rig_commit_writes(struct rig *g, const char *account, uint64_t unit, uint32_t stages,
    Stored__Write **writes, size_t n, struct rig_reply *r)
{
	Stored__UnitCommit m = STORED__UNIT_COMMIT__INIT;

	m.account = rig_str(account);
	m.unit = unit;
	m.stages = stages;
	m.writes = writes;
	m.n_writes = n;
	rig_send(g->apid, STORED__TYPE__UNIT_COMMIT, &m.base, STORED__TYPE__UNIT_RESULT,
	    &stored__unit_result__descriptor, r);
}

static inline void
rig_event_init(Stored__EventAppend *e, const char *body, const char *dedup)
{
	stored__event_append__init(e);
	e->type = rig_str("message.received");
	e->origin = rig_str("live");
	e->time_ms = 1790000000123;
	e->body.data = (uint8_t *)rig_str(body);
	e->body.len = strlen(body);
	e->dedup = rig_str(dedup);
}

/* Commit with one event (body NULL: without). */
static inline void
rig_commit(struct rig *g, const char *account, uint64_t unit, uint32_t stages, const char *body,
    const char *dedup, struct rig_reply *r)
{
	Stored__EventAppend e;
	Stored__Write w = STORED__WRITE__INIT, *list[1] = {&w};

	if (body != NULL)
		rig_event_init(&e, body, dedup);
	w.event = &e;
	rig_commit_writes(g, account, unit, stages, list, body != NULL, r);
}

static inline const Stored__UnitResult *
rig_result(const struct rig_reply *r)
{
	if (!r->ok)
		fail_msg("commit: error %s: %s", r->code, r->text);
	return (const Stored__UnitResult *)r->pb;
}

/* Ids of units that tests do not choose themselves. */
static inline uint64_t
rig_unit_next(void)
{
	static uint64_t unit = 1000000;

	return ++unit;
}

/* Open, commit and wait. Asserts that it was committed unless reason is given. */
static inline void
rig_writes(struct rig *g, const char *account, Stored__Write **w, size_t n, const char *reason)
{
	uint64_t unit = rig_unit_next();
	struct rig_reply r;

	rig_unit_open(g, account, unit);
	rig_commit_writes(g, account, unit, 0, w, n, &r);
	RIG_UNTIL(g, r.came);
	if (reason == NULL)
		assert_true(rig_result(&r)->committed);
	else
		assert_string_equal(rig_result(&r)->reason, reason);
	rig_reply_clear(&r);
}

/* The same for one write. */
static inline void
rig_write(struct rig *g, const char *account, Stored__Write *w, const char *reason)
{
	rig_writes(g, account, &w, 1, reason);
}

/* LOOKUP in account "a"; the reply is the caller's to clear. NULL: it was refused, see r->code. */
static inline const Stored__LookupReply *
rig_lookup(struct rig *g, Stored__Lookup *m, struct rig_reply *r)
{
	m->account = rig_str("a");
	rig_ask(g, g->apid, STORED__TYPE__LOOKUP, &m->base, STORED__TYPE__LOOKUP_REPLY,
	    &stored__lookup_reply__descriptor, r);
	return (const Stored__LookupReply *)r->pb;
}

static inline ProtobufCBinaryData
rig_bytes(const char *s)
{
	ProtobufCBinaryData b = {strlen(s), (uint8_t *)rig_str(s)};

	return b;
}

/* One event through a unit of its own; its seq. */
static inline uint64_t
rig_event(struct rig *g, const char *account, const char *body, const char *dedup)
{
	uint64_t unit = rig_unit_next(), seq;
	struct rig_reply r;

	rig_unit_open(g, account, unit);
	rig_commit(g, account, unit, 0, body, dedup, &r);
	RIG_UNTIL(g, r.came);
	assert_true(rig_result(&r)->committed);
	assert_int_equal(rig_result(&r)->n_seqs, 1);
	seq = rig_result(&r)->seqs[0];
	rig_reply_clear(&r);
	return seq;
}

/* The version at which a session record stands, as keyd reads it; its bytes into out. */
static inline uint64_t
rig_record(struct rig *g, const char *account, const char *name, char *out, size_t outlen)
{
	Stored__RecordsGet m = STORED__RECORDS_GET__INIT;
	Stored__RecordName n = STORED__RECORD_NAME__INIT, *names[1] = {&n};
	struct rig_reply r;
	Stored__Record *rec;
	uint64_t v;

	m.account = rig_str(account);
	n.domain = STORED__DOMAIN__SESSION;
	n.name = rig_str(name);
	m.n_names = 1;
	m.names = names;
	rig_ask(g, g->keyd, STORED__TYPE__RECORDS_GET, &m.base, STORED__TYPE__RECORDS,
	    &stored__records__descriptor, &r);
	assert_true(r.ok);
	rec = ((Stored__Records *)r.pb)->records[0];
	v = rec->version;
	if (out != NULL)
		snprintf(out, outlen, "%.*s", (int)rec->sealed.len, (const char *)rec->sealed.data);
	rig_reply_clear(&r);
	return v;
}

static inline void
rig_stats(struct rig *g, Stored__Stats *out)
{
	Stored__StatsGet m = STORED__STATS_GET__INIT;
	struct rig_reply r;

	rig_ask(g, g->apid, STORED__TYPE__STATS, &m.base, STORED__TYPE__STATS_REPLY,
	    &stored__stats__descriptor, &r);
	assert_true(r.ok);
	*out = *(Stored__Stats *)r.pb;
	rig_reply_clear(&r);
}

/* EVENTS_READ; the reply is the caller's to clear. */
static inline const Stored__Events *
rig_events(struct rig *g, uint64_t after, uint32_t limit, const char *account, struct rig_reply *r)
{
	Stored__EventsRead m = STORED__EVENTS_READ__INIT;
	char *accounts[1] = {rig_str(account)};

	m.after_seq = after;
	m.limit = limit;
	m.max_bytes = 1024 * 1024;
	m.n_accounts = account != NULL;
	m.accounts = accounts;
	rig_ask(g, g->apid, STORED__TYPE__EVENTS_READ, &m.base, STORED__TYPE__EVENTS,
	    &stored__events__descriptor, r);
	if (!r->ok)
		fail_msg("events: %s: %s", r->code, r->text);
	return (const Stored__Events *)r->pb;
}

/* Let the store's clocks run on and its timer work. */
static inline void
rig_later(struct rig *g, int64_t ms)
{
	rig_mono_shift += ms;
	rig_wall_shift += ms;
	store_tick(g->s);
	rig_turn(g);
}

#endif
