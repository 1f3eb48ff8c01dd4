/* One-time prekeys at the service: count, upload, and the low mark.
 *
 *	prekeys_check -> counted -> prekeys_gather -> kept [-> public_came] [-> prekeys_make -> made
 *-> stored_made] -> prekeys_offer -> uploaded -> prekeys_mark -> stored_mark -> prekeys_end
 *
 * One batch at most is here that the service has not said to have: what was made and not taken
 * (refused, or not answered) is offered again, and only what is missing to a batch is made. That
 * is the first watermark of protocol page 12, 7, kept as the flag of each record; the other, the id
 * that is made next, moves in the unit that comes before the offer, so that no id ever stands for
 * two keys. If the service has them already, it gets the same ones again; should it have given one
 * away meanwhile, and then twice, the second message made with it is asked for again. */
#include "apid/session/prekeys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/session/ask.h"
#include "apid/session/iq.h"
#include "apid/session/keys.h"
#include "apid/session/login.h"
#include "apid/session/unit.h"
#include "common/clock.h"
#include "common/log.h"

#define COUNT_TIMEOUT_MS 20000u /* a login waits for it */
#define MAKE_DEADLINE_MS 60000u /* 812 key pairs are made in one go */
#define RETRY_MAX_S      610
#define REPLY_MAX        (256u * 1024)
#define LIST_REPLY_MAX   (64u * 1024)
#define PREKEY_ID_MAX    16777214u

struct prekeys {
	struct account *a;
	int running, wanted; /* wanted: an upload is due when the backlog is done */
	unsigned failures;
	struct call *call; /* of a client, who hears how it ends */
	int64_t there;     /* how many the service had when it was known last, -1 = never */
	int64_t there_ms;
	int fresh; /* an upload ended on this connection */
	void (*fn)(struct account *);
	struct unit *unit;
	int open; /* the unit is not committed yet */
	uint64_t iq;
	struct ask *ask; /* of keyd; the unit is not committed while there is one */
	uint32_t *ids;
	size_t nids;
	struct node *list;   /* <list> of what was made earlier and is offered again */
	struct node *upload; /* durable, on its way */
	struct event *retry;
};

static void prekeys_gather(struct prekeys *p);

static void
retry_now(evutil_socket_t fd, short what, void *arg)
{
	struct prekeys *p = arg;

	p->wanted = 1;
	keys_next(p->a);
}

struct prekeys *
prekeys_new(struct account *a)
{
	struct prekeys *p = calloc(1, sizeof(*p));

	if (p == NULL)
		fatal("prekeys_new");
	p->a = a;
	p->there = -1;
	if ((p->retry = evtimer_new(a->svc->base, retry_now, p)) == NULL)
		fatalx("prekeys_new: no event");
	return p;
}

/* Give up what is under way; an open unit is rolled back. */
static void
drop(struct prekeys *p)
{
	iq_cancel(p->a, p->iq);
	p->iq = 0;
	if (p->open)
		unit_abort(p->unit);
	else
		unit_detach(p->unit);
	ask_cancel(p->ask);
	p->ask = NULL;
	p->unit = NULL;
	p->open = 0;
	free(p->ids);
	p->ids = NULL;
	p->nids = 0;
	node_free(p->list);
	p->list = NULL;
	node_free(p->upload);
	p->upload = NULL;
	p->running = 0;
}

void
prekeys_free(struct prekeys *p)
{
	if (p == NULL)
		return;
	drop(p);
	event_free(p->retry);
	free(p);
}

static void
prekeys_end(struct prekeys *p, const char *why)
{
	void (*fn)(struct account *) = p->fn;
	int64_t n = (int64_t)p->nids;

	drop(p);
	p->fn = NULL;
	if (why == NULL) {
		p->failures = 0;
		call_ok(p->call, json_pack("{s:I}", "count", (json_int_t)n));
	} else {
		unsigned a = 1, b = 1;
		struct timeval tv = {0};

		for (unsigned i = 0; i < p->failures && b < RETRY_MAX_S; i++) {
			unsigned next = a + b;

			a = b;
			b = next;
		}
		p->failures++;
		p->a->n.prekey_upload_failures++;
		call_failf(p->call, -3, "server_error", 1,
		    "the service did not take the prekeys; it is tried again");
		tv.tv_sec = b > RETRY_MAX_S ? RETRY_MAX_S : (time_t)b;
		log_warnx(
		    "account %s: prekeys: %s; again in %ld s", p->a->name, why, (long)tv.tv_sec);
		evtimer_add(p->retry, &tv);
	}
	p->call = NULL;
	if (fn != NULL)
		fn(p->a);
	keys_next(p->a);
}

/* ------------------------------------------------------------------ nodes */

static struct node *
id_node(const char *tag, uint32_t id, const ProtobufCBinaryData *value)
{
	uint8_t be[3] = {(uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};
	struct node *n = node_new(tag);

	node_add_bytes(n, "id", be, sizeof(be));
	node_add_bytes(n, "value", value->data, value->len);
	return n;
}

struct node *
prekeys_key_node(const char *tag, const Keyd__Prekey *k)
{
	return id_node(tag, k->id, &k->pub);
}

struct node *
prekeys_skey_node(const Keyd__SignedPrekey *k)
{
	struct node *n = id_node("skey", k->id, &k->pub);

	node_add_bytes(n, "signature", k->signature.data, k->signature.len);
	return n;
}

static struct node *
list_node(struct node *list, const Keyd__PrekeysReply *r)
{
	if (list == NULL)
		list = node_new("list");
	for (size_t i = 0; i < r->n_keys; i++)
		node_add(list, prekeys_key_node("key", r->keys[i]));
	return list;
}

struct node *
prekeys_upload_node(const Keyd__PrekeysReply *r, struct node *list)
{
	struct node *iq = iq_new("set", "encrypt");
	uint8_t reg[4], type = 5;

	for (int i = 0; i < 4; i++)
		reg[i] = (uint8_t)(r->registration_id >> (24 - 8 * i));
	node_add_bytes(iq, "registration", reg, sizeof(reg));
	node_add_bytes(iq, "type", &type, 1);
	node_add_bytes(iq, "identity", r->identity_pub.data, r->identity_pub.len);
	node_add(iq, list_node(list, r));
	node_add(iq, prekeys_skey_node(r->signed_prekey));
	return iq;
}

/* ------------------------------------------------------------------ steps */

static void
stored_mark(const struct unit_result *r, void *arg)
{
	struct prekeys *p = arg;

	p->unit = NULL;
	if (r->ok) {
		p->a->rec.server_has_prekeys = 1;
		p->fresh = p->a->logged_in;
		p->a->n.prekeys_uploaded += p->nids;
		prekeys_counted(p->a, (p->there < 0 ? 0 : p->there) + (int64_t)p->nids);
	}
	prekeys_end(p, r->ok ? NULL : r->reason);
}

static void
marked(const struct reply *rp, void *arg)
{
	struct prekeys *p = arg;
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;

	p->ask = NULL;
	if (!rp->ok) {
		prekeys_end(p, rp->code);
		return;
	}
	unit_staged(p->unit, ((const Keyd__Staged *)rp->pb)->stages);
	rec.has_server_has_prekeys = rec.server_has_prekeys = 1;
	unit_device(p->unit, &rec);
	keys_event(p->a, p->unit, "uploaded", (int64_t)p->nids);
	p->open = 0;
	unit_commit(p->unit, stored_mark, p);
}

/* The service has them: say so in the records of those that still exist. */
static void
prekeys_mark(struct prekeys *p)
{
	Keyd__PrekeysUploaded m = KEYD__PREKEYS_UPLOADED__INIT;

	if ((p->unit = unit_open(p->a)) == NULL) {
		prekeys_end(p, "memory");
		return;
	}
	p->open = 1;
	m.account = p->a->name;
	m.unit = unit_id(p->unit);
	m.n_ids = p->nids;
	m.ids = p->ids;
	p->ask = ask_keyd(p->a, KEYD__TYPE__PREKEYS_UPLOADED, &m.base, KEYD__TYPE__STAGED,
	    &keyd__staged__descriptor, 64, MAKE_DEADLINE_MS, marked, p);
}

static void
uploaded(const struct iq_answer *r, void *arg)
{
	struct prekeys *p = arg;

	p->iq = 0;
	if (!r->ok)
		prekeys_end(p, r->why);
	else
		prekeys_mark(p);
}

static void
prekeys_offer(struct prekeys *p)
{
	struct node *n = p->upload;

	p->upload = NULL;
	p->iq = iq_request(p->a, n, IQ_TIMEOUT_MS, uploaded, p);
}

static void
stored_made(const struct unit_result *r, void *arg)
{
	struct prekeys *p = arg;

	p->unit = NULL;
	if (r->ok)
		prekeys_offer(p);
	else
		prekeys_end(p, r->reason);
}

/* Those of an answer of keyd are in the upload. */
static void
take_ids(struct prekeys *p, const Keyd__PrekeysReply *m)
{
	for (size_t i = 0; i < m->n_keys && p->nids < PREKEYS_UPLOAD; i++)
		p->ids[p->nids++] = m->keys[i]->id;
}

static void
made(const struct reply *rp, void *arg)
{
	struct prekeys *p = arg;
	const Keyd__PrekeysReply *m = (const Keyd__PrekeysReply *)rp->pb;

	p->ask = NULL;
	if (!rp->ok) {
		prekeys_end(p, rp->code);
		return;
	}
	take_ids(p, m);
	p->upload = prekeys_upload_node(m, p->list);
	p->list = NULL;
	unit_staged(p->unit, m->stages);
	p->open = 0;
	unit_commit(p->unit, stored_made, p); /* private keys and watermark before the offer */
}

/* What is missing to a batch. */
static void
prekeys_make(struct prekeys *p)
{
	Keyd__PrekeysMake m = KEYD__PREKEYS_MAKE__INIT;

	if ((p->unit = unit_open(p->a)) == NULL) {
		prekeys_end(p, "memory");
		return;
	}
	p->open = 1;
	m.account = p->a->name;
	m.unit = unit_id(p->unit);
	m.count = (uint32_t)(PREKEYS_UPLOAD - p->nids);
	p->ask = ask_keyd(p->a, KEYD__TYPE__PREKEYS_MAKE, &m.base, KEYD__TYPE__PREKEYS_REPLY,
	    &keyd__prekeys_reply__descriptor, REPLY_MAX, MAKE_DEADLINE_MS, made, p);
}

static void
public_came(const struct reply *rp, void *arg)
{
	struct prekeys *p = arg;
	const Keyd__PrekeysReply *m = (const Keyd__PrekeysReply *)rp->pb;

	p->ask = NULL;
	if (!rp->ok) {
		prekeys_end(p, rp->code);
		return;
	}
	take_ids(p, m);
	if (p->nids == PREKEYS_UPLOAD) {
		p->upload = prekeys_upload_node(m, NULL);
		prekeys_offer(p);
	} else {
		p->list = list_node(NULL, m);
		prekeys_make(p);
	}
}

/* "generation/id" */
static uint32_t
id_of(const char *record)
{
	const char *slash = strchr(record, '/');
	char *end;
	unsigned long id = slash == NULL ? 0 : strtoul(slash + 1, &end, 10);

	return id >= 1 && id <= PREKEY_ID_MAX && *end == '\0' ? (uint32_t)id : 0;
}

static void
kept(const struct reply *rp, void *arg)
{
	struct prekeys *p = arg;
	const Stored__RecordNames *names = (const Stored__RecordNames *)rp->pb;
	Keyd__PrekeysPublic m = KEYD__PREKEYS_PUBLIC__INIT;

	p->ask = NULL;
	if (!rp->ok) {
		prekeys_end(p, rp->code);
		return;
	}
	if ((p->ids = calloc(PREKEYS_UPLOAD, sizeof(*p->ids))) == NULL) {
		prekeys_end(p, "memory");
		return;
	}
	m.ids = p->ids;
	for (size_t i = 0; i < names->n_records && m.n_ids < PREKEYS_UPLOAD; i++)
		if ((p->ids[m.n_ids] = id_of(names->records[i]->name)) != 0)
			m.n_ids++;
	if (m.n_ids == 0) {
		prekeys_make(p);
		return;
	}
	m.account = p->a->name;
	p->ask = ask_keyd(p->a, KEYD__TYPE__PREKEYS_PUBLIC, &m.base, KEYD__TYPE__PREKEYS_REPLY,
	    &keyd__prekeys_reply__descriptor, REPLY_MAX, MAKE_DEADLINE_MS, public_came, p);
}

/* Which are here that the service is not known to have? */
static void
prekeys_gather(struct prekeys *p)
{
	Stored__RecordsList m = STORED__RECORDS_LIST__INIT;
	char from[16], below[16];

	(void)snprintf(from, sizeof(from), "%u/", p->a->dev.generation);
	(void)snprintf(below, sizeof(below), "%u0", p->a->dev.generation); /* '0' follows '/' */
	m.account = p->a->name;
	m.domain = STORED__DOMAIN__PREKEY;
	m.from = from;
	m.below = below;
	m.has_uploaded = 1;
	m.limit = PREKEYS_UPLOAD;
	p->ask = ask_stored(p->a, STORED__TYPE__RECORDS_LIST, &m.base, STORED__TYPE__RECORD_NAMES,
	    &stored__record_names__descriptor, LIST_REPLY_MAX, ASK_DEADLINE_MS, kept, p);
}

int64_t
prekeys_there(const struct account *a, int64_t *when_ms)
{
	*when_ms = a->prekeys->there_ms;
	return a->prekeys->there;
}

void
prekeys_counted(struct account *a, int64_t n)
{
	a->prekeys->there = n;
	a->prekeys->there_ms = clock_wall_ms();
}

int64_t
prekeys_count_came(struct account *a, const struct node *iq)
{
	const struct node *c = node_child(iq, "count");
	int64_t n = c == NULL ? 0 : node_get_int(c, "value", 1 << 24);

	prekeys_counted(a, n < 0 ? 0 : n);
	return a->prekeys->there;
}

static void
counted(const struct iq_answer *r, void *arg)
{
	struct prekeys *p = arg;

	p->iq = 0;
	if (!r->ok)
		prekeys_end(p, r->why);
	else if (prekeys_count_came(p->a, r->node) < PREKEYS_LOW)
		prekeys_gather(p);
	else
		prekeys_end(p, NULL);
}

void
prekeys_check(struct account *a, void (*fn)(struct account *))
{
	struct prekeys *p = a->prekeys;

	if (fn != NULL)
		p->fn = fn;
	if (p->running)
		return;
	p->running = 1;
	evtimer_del(p->retry);
	if (!a->rec.server_has_prekeys || p->call != NULL) {
		p->wanted = 0;
		prekeys_gather(p);
	} else {
		struct node *n = iq_new("get", "encrypt");

		p->wanted = 0;
		node_add(n, node_new("count"));
		p->iq = iq_request(a, n, COUNT_TIMEOUT_MS, counted, p);
	}
}

void
prekeys_ask(struct account *a, struct call *c)
{
	struct prekeys *p = a->prekeys;

	if (p->call != NULL || p->running) {
		call_failf(c, -9, "conflict", 1, "an upload is under way");
		return;
	}
	p->call = c;
	p->wanted = 1;
}

void
prekeys_low(struct account *a)
{
	a->rec.server_has_prekeys = 0; /* its notification wrote it down before the ack */
	a->prekeys->wanted = 1;
	keys_next(a);
}

int
prekeys_fresh(const struct account *a)
{
	return a->prekeys->fresh;
}

int
prekeys_wanted(const struct account *a)
{
	return a->prekeys->wanted;
}

int
prekeys_running(const struct account *a)
{
	return a->prekeys->running;
}

void
prekeys_disconnected(struct account *a)
{
	struct prekeys *p = a->prekeys;

	evtimer_del(p->retry);
	p->fresh = 0;
	p->fn = NULL;
	call_failf(p->call, -3, "offline", 1, "the connection is gone; it is tried again");
	p->call = NULL;
	if (p->iq != 0) /* else keyd or stored is at it: that ends by itself */
		drop(p);
}
