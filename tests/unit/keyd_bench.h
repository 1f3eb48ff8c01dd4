/* For tests: a keyd in this process, and at the other ends of its channels a small stored, an apid
 * and a netd. */
#ifndef WARD_KEYD_BENCH_H
#define WARD_KEYD_BENCH_H

#include <sys/socket.h>

#include <event2/event.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/pb.h"
#include "ipc/channel.h"
#include "ipc/frame.h"
#include "ipc/keyd.pb-c.h"
#include "ipc/stored.pb-c.h"
#include "keyd/core.h"
#include "keyd/dispatch.h"
#include "keyd/store.h"
#include "sandbox/child.h"

/* ---------------------------------------------------------------- stored, in small */

struct bench_record {
	struct bench_record *next;
	char account[40], name[VAULT_NAME_MAX + 1];
	int domain, uploaded;
	uint64_t version;
	struct buf sealed;
};

struct bench_write {
	struct bench_write *next;
	uint64_t unit, version;
	char account[40], name[VAULT_NAME_MAX + 1];
	int domain, gone, uploaded;
	struct buf sealed;
};

struct bench {
	struct event_base *base;
	struct keyd *k;
	struct child child;                   /* the owner of keyd's ends */
	struct channel *stored, *apid, *netd; /* our ends */
	struct bench_record *records;
	struct bench_write *writes, **writes_end;
	struct buf header;
	unsigned stages, fetches, fetched; /* frames, requests, records that stored saw */
	int64_t expires_s;                 /* of the secret that was staged last; -1 = none given */
	unsigned promised, staged;         /* frames that replies spoke of, and that came */
	int hold_records;                  /* do not answer RECORDS_GET until bench_release */
	struct message *held[64];
	unsigned nheld;
	int hold_done; /* keep UNIT_DONE back until bench_tell: apid hears first */
	struct {
		char account[40];
		uint64_t unit;
		int ok;
	} done[8];
	unsigned ndone;
	const char *fail_records; /* answer RECORDS_GET with this error */
	const char *fail_put;     /* answer KEYRING_PUT with this error */
	const char *fail_rekey;   /* the same of REKEY */
	unsigned puts, lists, rekeys, rekey_checks;
	int unlocked_with_next;                /* UNLOCK brought next keys */
	uint8_t service_key[32], next_key[32]; /* of the last UNLOCK or REKEY */
	uint64_t unit;                         /* the last one used */
	int answered;
	char code[80];
	ProtobufCMessage *reply; /* of the last bench_ask; freed by the next */
	char broken[256];        /* why keyd called a channel broken */
	int closed;
};

static struct bench_record *
bench_record(struct bench *b, const char *account, int domain, const char *name, int make)
{
	struct bench_record *r;

	for (r = b->records; r != NULL; r = r->next)
		if (r->domain == domain && strcmp(r->account, account) == 0 &&
		    strcmp(r->name, name) == 0)
			return r;
	if (!make || (r = calloc(1, sizeof(*r))) == NULL)
		return NULL;
	snprintf(r->account, sizeof(r->account), "%s", account);
	snprintf(r->name, sizeof(r->name), "%s", name);
	r->domain = domain;
	r->next = b->records;
	b->records = r;
	return r;
}

static int
bench_keyring_get(struct message *m, void *owner)
{
	struct bench *b = owner;
	Stored__Keyring a = STORED__KEYRING__INIT;

	a.header.data = b->header.data;
	a.header.len = b->header.len;
	return channel_reply(m->channel, m->id, STORED__TYPE__KEYRING, &a.base);
}

static int
bench_keyring_put(struct message *m, void *owner)
{
	struct bench *b = owner;
	const Stored__Keyring *q = (const Stored__Keyring *)m->pb;
	Stored__Done a = STORED__DONE__INIT;

	b->puts++;
	if (b->fail_put != NULL)
		return channel_reply_error(m->channel, m->id, b->fail_put, "as wished");
	buf_reset(&b->header);
	buf_put(&b->header, q->header.data, q->header.len);
	return channel_reply(m->channel, m->id, STORED__TYPE__DONE, &a.base);
}

static int
bench_unlock(struct message *m, void *owner)
{
	struct bench *b = owner;
	const Stored__Unlock *q = (const Stored__Unlock *)m->pb;
	Stored__UnlockReply a = STORED__UNLOCK_REPLY__INIT;
	Stored__AccountOpened service = STORED__ACCOUNT_OPENED__INIT;

	memcpy(b->service_key, q->service_key.data, 32);
	b->unlocked_with_next = q->has_service_next_key;
	if (q->has_service_next_key)
		memcpy(b->next_key, q->service_next_key.data, 32);
	service.account = (char *)(uintptr_t) "";
	service.ok = 1;
	a.service = &service;
	return channel_reply(m->channel, m->id, STORED__TYPE__UNLOCK_REPLY, &a.base);
}

static int
bench_give_records(struct bench *b, struct message *m)
{
	const Stored__RecordsGet *q = (const Stored__RecordsGet *)m->pb;
	Stored__Records a = STORED__RECORDS__INIT;
	Stored__Record *recs = calloc(q->n_names + 1, sizeof(*recs));
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
	Stored__Record **list = calloc(q->n_names + 1, sizeof(*list));
	struct bench_record *r;
	size_t i;
	int ok;

	for (i = 0; i < q->n_names; i++) {
		stored__record__init(&recs[i]);
		list[i] = &recs[i];
		r = bench_record(b, q->account, (int)q->names[i]->domain, q->names[i]->name, 0);
		if (r == NULL || r->version == 0)
			continue;
		recs[i].version = r->version;
		recs[i].has_sealed = 1;
		recs[i].sealed.data = r->sealed.data;
		recs[i].sealed.len = r->sealed.len;
	}
	a.records = list;
	a.n_records = q->n_names;
	b->fetches++;
	b->fetched += (unsigned)q->n_names;
	ok = b->fail_records != NULL
		 ? channel_reply_error(m->channel, m->id, b->fail_records, "as wished")
		 : channel_reply(m->channel, m->id, STORED__TYPE__RECORDS, &a.base);
	free(recs);
	free(list);
	return ok;
}

static int
bench_records_get(struct message *m, void *owner)
{
	struct bench *b = owner;

	if (!b->hold_records)
		return bench_give_records(b, m);
	if (b->nheld < 64)
		b->held[b->nheld++] = message_hold(m);
	return 0;
}

static inline void
bench_release(struct bench *b)
{
	unsigned i;

	b->hold_records = 0;
	for (i = 0; i < b->nheld; i++) {
		bench_give_records(b, b->held[i]);
		message_release(b->held[i]);
	}
	b->nheld = 0;
}

static int
bench_compare_names(const void *x, const void *y)
{
	const Stored__RecordEntry *const *a = x, *const *b = y;

	return strcmp((*a)->name, (*b)->name);
}

/* Names of a domain from one on, in their order. */
static int
bench_records_list(struct message *m, void *owner)
{
	struct bench *b = owner;
	const Stored__RecordsList *q = (const Stored__RecordsList *)m->pb;
	Stored__RecordNames a = STORED__RECORD_NAMES__INIT;
	static Stored__RecordEntry entries[8192], *list[8192];
	const struct bench_record *r;

	b->lists++;
	for (r = b->records; r != NULL; r = r->next) {
		if (r->domain != (int)q->domain || strcmp(r->account, q->account) != 0 ||
		    r->version == 0 || (q->from != NULL && strcmp(r->name, q->from) < 0))
			continue;
		if (a.n_records == 8192)
			abort();
		stored__record_entry__init(&entries[a.n_records]);
		entries[a.n_records].name = (char *)(uintptr_t)r->name;
		entries[a.n_records].version = r->version;
		list[a.n_records] = &entries[a.n_records];
		a.n_records++;
	}
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
	qsort(list, a.n_records, sizeof(list[0]), bench_compare_names);
	a.records = list;
	a.total = a.n_records;
	if (a.n_records > q->limit)
		a.n_records = q->limit;
	return b->fail_records != NULL
		   ? channel_reply_error(m->channel, m->id, b->fail_records, "as wished")
		   : channel_reply(m->channel, m->id, STORED__TYPE__RECORD_NAMES, &a.base);
}

static int
bench_rekey(struct message *m, void *owner)
{
	struct bench *b = owner;
	const Stored__Rekey *q = (const Stored__Rekey *)m->pb;
	Stored__Done a = STORED__DONE__INIT;

	if (q->check)
		b->rekey_checks++;
	else
		b->rekeys++;
	memcpy(b->next_key, q->service_next_key.data, 32);
	if (b->fail_rekey != NULL)
		return channel_reply_error(m->channel, m->id, b->fail_rekey, "as wished");
	return channel_reply(m->channel, m->id, STORED__TYPE__DONE, &a.base);
}

/* A database has its next key. */
static inline void
bench_rekeyed(struct bench *b, const char *account)
{
	Stored__Rekeyed d = STORED__REKEYED__INIT;

	d.account = (char *)(uintptr_t)account;
	channel_notify(b->stored, STORED__TYPE__REKEYED, &d.base);
}

static struct bench_write *
bench_write(struct bench *b, const Stored__Stage *s, const Stored__RecordName *n, uint64_t version)
{
	struct bench_write *w = calloc(1, sizeof(*w));

	w->unit = s->unit;
	w->version = version;
	w->domain = (int)n->domain;
	snprintf(w->account, sizeof(w->account), "%s", s->account);
	snprintf(w->name, sizeof(w->name), "%s", n->name);
	*b->writes_end = w;
	b->writes_end = &w->next;
	return w;
}

static int
bench_stage(struct message *m, void *owner)
{
	struct bench *b = owner;
	const Stored__Stage *s = (const Stored__Stage *)m->pb;
	struct bench_write *w;
	size_t i;

	b->stages++;
	b->staged++;
	if (s->n_puts + s->n_deletes > 1024)
		abort(); /* the contract's bound */
	for (i = 0; i < s->n_puts; i++) {
		w = bench_write(b, s, s->puts[i]->name, s->puts[i]->version);
		w->uploaded = s->puts[i]->has_uploaded ? s->puts[i]->uploaded : -1;
		if (s->puts[i]->name->domain == STORED__DOMAIN__MSG_SECRET)
			b->expires_s = s->puts[i]->has_expires_s ? s->puts[i]->expires_s : -1;
		else if (s->puts[i]->has_expires_s)
			abort();
		if (s->puts[i]->sealed.len > VAULT_SEALED_MAX)
			abort();
		buf_put(&w->sealed, s->puts[i]->sealed.data, s->puts[i]->sealed.len);
	}
	for (i = 0; i < s->n_deletes; i++)
		bench_write(b, s, s->deletes[i]->name, s->deletes[i]->version)->gone = 1;
	return 0;
}

static const struct channel_row bench_rows[] = {
    {STORED__TYPE__KEYRING_GET, "KEYRING_GET", 0, 0, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__keyring_get__descriptor, bench_keyring_get},
    {STORED__TYPE__KEYRING_PUT, "KEYRING_PUT", 0, 2048, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__keyring__descriptor, bench_keyring_put},
    {STORED__TYPE__UNLOCK, "UNLOCK", 0, 65536, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__unlock__descriptor, bench_unlock},
    {STORED__TYPE__RECORDS_GET, "RECORDS_GET", 0, 262144, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__records_get__descriptor, bench_records_get},
    {STORED__TYPE__RECORDS_LIST, "RECORDS_LIST", 0, 4096, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__records_list__descriptor, bench_records_list},
    {STORED__TYPE__REKEY, "REKEY", 0, 65536, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__rekey__descriptor, bench_rekey},
    {STORED__TYPE__STAGE, "STAGE", 0, 3u * 1024 * 1024, CHANNEL_ALL_STATES, 0,
	&stored__stage__descriptor, bench_stage},
};

static void
bench_done(struct bench *b, const char *account, uint64_t unit, int ok)
{
	Stored__UnitDone d = STORED__UNIT_DONE__INIT;

	d.account = (char *)(uintptr_t)account;
	d.unit = unit;
	d.committed = ok;
	channel_notify(b->stored, STORED__TYPE__UNIT_DONE, &d.base);
}

/* The oldest UNIT_DONE that was kept back. */
static inline void
bench_tell(struct bench *b)
{
	unsigned i;

	bench_done(b, b->done[0].account, b->done[0].unit, b->done[0].ok);
	for (i = 1; i < b->ndone; i++)
		b->done[i - 1] = b->done[i];
	b->ndone--;
}

/* End a unit as stored does: all of it if every version fits, or nothing; then tell keyd. wish 0:
 * as if the disk were full. Returns whether it was committed. */
static inline int
bench_commit(struct bench *b, const char *account, uint64_t unit, int wish)
{
	struct bench_write **p, *w;
	struct bench_record *r;
	int pass, ok = wish, joined = 0;

	/* they come on another channel than the replies: the unit waits for them */
	while (b->staged < b->promised)
		event_base_loop(b->base, EVLOOP_ONCE);
	/* the versions first, in order, on numbers alone */
	for (pass = 0; pass < 2; pass++) {
		for (w = b->writes; w != NULL; w = w->next) {
			if (w->unit != unit || strcmp(w->account, account) != 0)
				continue;
			joined = 1;
			r = bench_record(b, account, w->domain, w->name, 1);
			if (pass == 0 && r->version != (w->gone ? w->version : w->version - 1)) {
				/* unless an earlier write of this unit makes it so */
				struct bench_write *e;
				uint64_t v = r->version;
				for (e = b->writes; e != w; e = e->next)
					if (e->unit == unit && e->domain == w->domain &&
					    strcmp(e->name, w->name) == 0)
						v = e->gone ? 0 : e->version;
				if (v != (w->gone ? w->version : w->version - 1))
					ok = 0;
			}
			if (pass == 1 && ok) {
				r->version = w->gone ? 0 : w->version;
				if (!w->gone && (w->uploaded != -1 || w->version == 1))
					r->uploaded = w->uploaded == 1;
				buf_reset(&r->sealed);
				buf_put(&r->sealed, w->sealed.data, w->sealed.len);
			}
		}
	}
	for (p = &b->writes; (w = *p) != NULL;) {
		if (w->unit == unit && strcmp(w->account, account) == 0) {
			*p = w->next;
			buf_clear(&w->sealed);
			free(w);
		} else
			p = &w->next;
	}
	b->writes_end = p;
	if (joined && !b->hold_done)
		bench_done(b, account, unit, ok);
	if (joined && b->hold_done && b->ndone < 8) {
		snprintf(b->done[b->ndone].account, sizeof(b->done[0].account), "%s", account);
		b->done[b->ndone].unit = unit;
		b->done[b->ndone++].ok = ok;
	}
	return ok;
}

/* ---------------------------------------------------------------- set-up */

static void
bench_on_broken(struct channel *ch, void *owner, const char *why)
{
	struct bench *b = owner;

	snprintf(b->broken, sizeof(b->broken), "%s", why);
}

static void
bench_on_closed(struct channel *ch, void *owner)
{
	((struct bench *)owner)->closed = 1;
}

static void
bench_keyd_broken(struct channel *ch, void *owner, const char *why)
{
	bench_on_broken(ch, ((struct child *)owner)->control, why);
}

static void
bench_keyd_closed(struct channel *ch, void *owner)
{
	bench_on_closed(ch, ((struct child *)owner)->control);
}

static struct channel *
bench_channel(struct bench *b, int fd, const struct channel_row *rows, size_t n, int keyd_side)
{
	struct channel_config cfg = {.name = keyd_side ? "bench: keyd" : "bench",
	    .rows = rows,
	    .nrows = n,
	    .owner = keyd_side ? (void *)&b->child : (void *)b,
	    .out_max_bytes = 64u * 1024 * 1024,
	    .on_broken = keyd_side ? bench_keyd_broken : bench_on_broken,
	    .on_closed = keyd_side ? bench_keyd_closed : bench_on_closed};

	return channel_new(b->base, fd, &cfg);
}

static inline void
bench_pair(int sv[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv) == -1)
		abort();
}

/* What a peer may ask keyd. */
static inline const struct channel_row *
bench_rows_of(enum verb_peer who, size_t *n)
{
	static struct channel_row rows[2][DISPATCH_MAX];

	*n = dispatch_rows(who, rows[who]);
	return rows[who];
}

/* next: the next master key, or NULL. */
static inline void
bench_boot(struct bench *b, const char *key, const char *next, int peers)
{
	int sv[2], raw_apid = -1, raw_netd = -1;
	const struct channel_row *rows;
	size_t n;

	b->writes_end = &b->writes;
	b->base = event_base_new();
	b->k = core_new(b->base, VAULT_CACHE);
	b->child.owner = b->k;
	b->child.base = b->base;
	b->child.control = (struct child_control *)(void *)b; /* only these callbacks look at it */
	core_add_account(b->k, "alice");
	core_add_account(b->k, "bob");
	if (keyring_parse(&b->k->secrets->source, KEYRING_RAW, (const uint8_t *)key, strlen(key)) !=
	    NULL)
		abort();
	if (next != NULL && keyring_parse(&b->k->secrets->next_source, KEYRING_RAW,
				(const uint8_t *)next, strlen(next)) != NULL)
		abort();
	bench_pair(sv);
	b->k->stored = bench_channel(b, sv[0], store_rows, store_nrows, 1);
	b->stored =
	    bench_channel(b, sv[1], bench_rows, sizeof(bench_rows) / sizeof(bench_rows[0]), 0);
	bench_pair(sv);
	rows = bench_rows_of(PEER_APID, &n);
	b->k->apid = bench_channel(b, sv[0], rows, n, 1);
	if (peers)
		b->apid = bench_channel(b, sv[1], NULL, 0, 0);
	else
		raw_apid = sv[1];
	bench_pair(sv);
	rows = bench_rows_of(PEER_NETD, &n);
	b->k->netd = bench_channel(b, sv[0], rows, n, 1);
	if (peers)
		b->netd = bench_channel(b, sv[1], NULL, 0, 0);
	else
		raw_netd = sv[1];
	if (!peers) { /* the test writes frames itself: descriptors 100 and 101 */
		if (dup2(raw_apid, 100) == -1 || dup2(raw_netd, 101) == -1)
			abort();
		close(raw_apid);
		close(raw_netd);
	}
	store_unlock(b->k);
	while (b->k->state == KEYD_STARTING)
		event_base_loop(b->base, EVLOOP_ONCE);
}

/* keyd's ends are made; ours of apid and netd only if `peers`. Runs until the store is unlocked or
 * not. */
static inline void
bench_start(struct bench *b, const char *key, int peers)
{
	memset(b, 0, sizeof(*b));
	bench_boot(b, key, NULL, peers);
}

/* All processes end; what is committed stays. */
static void
bench_halt(struct bench *b)
{
	struct bench_write *w;
	unsigned i;

	for (i = 0; i < b->nheld; i++)
		message_release(b->held[i]);
	if (b->reply != NULL)
		protobuf_c_message_free_unpacked(b->reply, NULL);
	channel_free(b->apid);
	channel_free(b->netd);
	channel_free(b->stored);
	channel_free(b->k->apid);
	channel_free(b->k->netd);
	channel_free(b->k->stored);
	event_base_loop(b->base, EVLOOP_NONBLOCK);
	core_free(b->k);
	event_base_free(b->base);
	while ((w = b->writes) != NULL) {
		b->writes = w->next;
		buf_clear(&w->sealed);
		free(w);
	}
}

/* A restart, perhaps with other keys. */
static inline void
bench_restart(struct bench *b, const char *key, const char *next)
{
	struct bench_record *records = b->records;
	struct buf header = b->header;
	const char *fail_put = b->fail_put;
	uint64_t unit = b->unit;

	bench_halt(b);
	memset(b, 0, sizeof(*b));
	b->fail_put = fail_put;
	b->records = records;
	b->header = header;
	b->unit = unit;
	bench_boot(b, key, next, 1);
}

static inline void
bench_stop(struct bench *b)
{
	struct bench_record *r;

	bench_halt(b);
	while ((r = b->records) != NULL) {
		b->records = r->next;
		buf_clear(&r->sealed);
		free(r);
	}
	buf_clear(&b->header);
}

/* ---------------------------------------------------------------- asking */

static void
bench_on_reply(const struct reply *r, void *arg)
{
	struct bench *b = arg;
	const ProtobufCFieldDescriptor *f;
	uint32_t stages = 0;
	uint8_t *packed;
	size_t len;

	b->answered = 1;
	snprintf(b->code, sizeof(b->code), "%s", r->ok ? "" : r->code);
	if (!r->ok)
		return;
	f = protobuf_c_message_descriptor_get_field_by_name(r->pb->descriptor, "stages");
	if (f != NULL)
		memcpy(&stages, (const uint8_t *)r->pb + f->offset, sizeof(stages));
	b->promised += stages;
	packed = pb_pack(r->pb, &len);
	b->reply = protobuf_c_message_unpack(r->pb->descriptor, NULL, len, packed);
	free(packed);
}

static inline void
bench_send(struct bench *b, struct channel *ch, uint32_t type, const ProtobufCMessage *m,
    uint32_t reply_type, const ProtobufCMessageDescriptor *desc)
{
	if (b->reply != NULL)
		protobuf_c_message_free_unpacked(b->reply, NULL);
	b->reply = NULL;
	b->answered = 0;
	channel_request(ch, type, m, reply_type, desc, FRAME_PAYLOAD_MAX, 20000, bench_on_reply, b);
}

static inline void
bench_wait(struct bench *b)
{
	while (!b->answered && b->broken[0] == '\0')
		event_base_loop(b->base, EVLOOP_ONCE);
}

/* The answer, or NULL and b->code. */
static inline const void *
bench_ask(struct bench *b, struct channel *ch, uint32_t type, const ProtobufCMessage *m,
    uint32_t reply_type, const ProtobufCMessageDescriptor *desc)
{
	bench_send(b, ch, type, m, reply_type, desc);
	bench_wait(b);
	return b->reply;
}

#define BENCH_ASK(b, ch, TYPE, m, REPLY, desc)                                                     \
	bench_ask(b, ch, KEYD__TYPE__##TYPE, &(m)->base, KEYD__TYPE__##REPLY,                      \
	    &keyd__##desc##__descriptor)

/* Run the loop until nothing is left to do at once. */
static inline void
bench_settle(struct bench *b)
{
	int i;

	for (i = 0; i < 8; i++)
		event_base_loop(b->base, EVLOOP_NONBLOCK);
}

#endif
