/* What the units of the run write: one row of the table for each operation of a backend. */
#include "tests/powercut/writes.h"

#include <stdio.h>
#include <string.h>

#include "tests/powercut/disk.h"

#define REGION_MAX ((size_t)1 << 20)
#define BIG        20000 /* more than some pages */

static const struct store_backend *const b = &store_sqlcipher;

enum presence {
	ABSENT,
	THERE,
	WRONG
};

struct row {
	const char *name;
	unsigned every, first; /* the units `first`, `first` + `every`, ... write it */
	/* it is there until the unit that is so many later writes: 0 = for good */
	unsigned life;
	enum {
		OWN,    /* of the unit alone */
		LATEST, /* each takes the place of the one before */
		EVENT,  /* goes with retention of events */
		MESSAGE /* goes with retention of messages */
	} kind;
	unsigned of; /* MESSAGE: it is about the message of the unit that is so many before */
	int device;  /* goes with the device record */
	enum store_status (*put)(struct store_db *db, unsigned u);
	enum store_status (*drop)(struct store_db *db, unsigned u); /* at the end of its life */
	/* NULL: nothing can be asked */
	enum presence (*have)(struct store_db *db, struct region *r, unsigned u);
};

/* ---------------------------------------------------------------- what is in them */

int64_t
writes_time(unsigned unit)
{
	return 1700000000000 + (int64_t)unit * 1000;
}

static char *
name_of(const char *form, unsigned u)
{
	static char text[4][64];
	static unsigned at;
	char *t = text[at++ % 4];

	snprintf(t, sizeof(text[0]), "%s%u", form, u);
	return t;
}

/* The bytes of a unit: other ones each time, as of sealed records. */
static ProtobufCBinaryData
bytes_of(unsigned u, unsigned tag, size_t len)
{
	static uint64_t words[2][BIG / 8 + 1];
	static unsigned at;
	uint64_t *w = words[at++ % 2], state = (uint64_t)u << 32 | tag;
	ProtobufCBinaryData d = {len, (uint8_t *)w};
	size_t i;

	for (i = 0; i < len / 8 + 1; i++)
		w[i] = disk_random(&state);
	return d;
}

static size_t
len_of(unsigned u, unsigned most)
{
	return 32 + (size_t)u * 2654435761u % most;
}

static enum presence
same(const ProtobufCBinaryData *got, unsigned u, unsigned tag, size_t len)
{
	const ProtobufCBinaryData want = bytes_of(u, tag, len);

	return got->len == len && memcmp(got->data, want.data, len) == 0 ? THERE : WRONG;
}

/* ---------------------------------------------------------------- signal domain */

static enum store_status
record_put(struct store_db *db, Stored__Domain domain, char *name, uint64_t version,
    ProtobufCBinaryData sealed)
{
	Stored__RecordName n = STORED__RECORD_NAME__INIT;
	Stored__RecordPut p = STORED__RECORD_PUT__INIT;

	n.domain = domain;
	n.name = name;
	p.name = &n;
	p.version = version;
	p.sealed = sealed;
	p.has_uploaded = domain == STORED__DOMAIN__PREKEY;
	return b->record_put(db, &p);
}

static enum store_status
record_delete(struct store_db *db, Stored__Domain domain, char *name, uint64_t version)
{
	Stored__RecordName n = STORED__RECORD_NAME__INIT;
	Stored__RecordDelete d = STORED__RECORD_DELETE__INIT;

	n.domain = domain;
	n.name = name;
	d.name = &n;
	d.version = version;
	return b->record_delete(db, &d);
}

static enum presence
record_have(struct store_db *db, struct region *r, Stored__Domain domain, char *name,
    uint64_t version, unsigned u, size_t len)
{
	Stored__RecordName n = STORED__RECORD_NAME__INIT;
	Stored__Record out = STORED__RECORD__INIT;

	n.domain = domain;
	n.name = name;
	if (b->record_get(db, &n, r, &out) != STORE_OK)
		return WRONG;
	if (out.version == 0)
		return ABSENT;
	return out.version == version ? same(&out.sealed, u, domain, len) : WRONG;
}

static enum store_status
session_put(struct store_db *db, unsigned u)
{
	return record_put(db, STORED__DOMAIN__SESSION, name_of("1/s", u), 1,
	    bytes_of(u, STORED__DOMAIN__SESSION, len_of(u, 900)));
}

static enum presence
session_have(struct store_db *db, struct region *r, unsigned u)
{
	return record_have(db, r, STORED__DOMAIN__SESSION, name_of("1/s", u), 1, u, len_of(u, 900));
}

static enum store_status
counters_put(struct store_db *db, unsigned u)
{
	return record_put(db, STORED__DOMAIN__KEYSTATE, name_of("counters", 0), u,
	    bytes_of(u, STORED__DOMAIN__KEYSTATE, 100));
}

/* Of the last unit that is there: its version is its number. */
static enum presence
counters_have(struct store_db *db, struct region *r, unsigned u)
{
	return record_have(db, r, STORED__DOMAIN__KEYSTATE, name_of("counters", 0), u, u, 100);
}

static enum store_status
big_put(struct store_db *db, unsigned u)
{
	return record_put(db, STORED__DOMAIN__SENDER_KEY, name_of("1/g", u), 1,
	    bytes_of(u, STORED__DOMAIN__SENDER_KEY, BIG));
}

static enum store_status
big_drop(struct store_db *db, unsigned u)
{
	return record_delete(db, STORED__DOMAIN__SENDER_KEY, name_of("1/g", u), 1);
}

static enum presence
big_have(struct store_db *db, struct region *r, unsigned u)
{
	return record_have(db, r, STORED__DOMAIN__SENDER_KEY, name_of("1/g", u), 1, u, BIG);
}

static enum store_status
prekey_put(struct store_db *db, unsigned u)
{
	return record_put(db, STORED__DOMAIN__PREKEY, name_of("1/", u), 1,
	    bytes_of(u, STORED__DOMAIN__PREKEY, 96));
}

static enum store_status
prekey_drop(struct store_db *db, unsigned u)
{
	return record_delete(db, STORED__DOMAIN__PREKEY, name_of("1/", u), 1);
}

static enum presence
prekey_have(struct store_db *db, struct region *r, unsigned u)
{
	return record_have(db, r, STORED__DOMAIN__PREKEY, name_of("1/", u), 1, u, 96);
}

/* ---------------------------------------------------------------- device domain */

static enum store_status
device_put(struct store_db *db, unsigned u)
{
	Stored__DeviceRecord d = STORED__DEVICE_RECORD__INIT;

	d.push_name = name_of("name ", u);
	d.has_login_counter = 1;
	d.login_counter = (int32_t)u;
	return b->device_merge(db, &d);
}

static enum presence
device_have(struct store_db *db, struct region *r, unsigned u)
{
	Stored__DeviceRecord *d;

	if (b->device_load(db, r, &d) != STORE_OK || d == NULL)
		return WRONG;
	if (!d->has_login_counter)
		return ABSENT;
	return d->login_counter == (int32_t)u && d->push_name != NULL &&
		       strcmp(d->push_name, name_of("name ", u)) == 0
		   ? THERE
		   : WRONG;
}

/* ---------------------------------------------------------------- protocol domain */

static enum store_status
list_put(struct store_db *db, unsigned u)
{
	Stored__DeviceList l = STORED__DEVICE_LIST__INIT;
	Stored__Device dev[20], *devices[20];
	char user[80];
	unsigned i;

	snprintf(user, sizeof(user), "%s@lid", name_of("70000", u));
	l.user = user;
	l.n_devices = 1 + u % 20;
	l.devices = devices;
	for (i = 0; i < l.n_devices; i++) {
		stored__device__init(&dev[i]);
		dev[i].id = u + i;
		devices[i] = &dev[i];
	}
	return b->device_list_put(db, &l, writes_time(u));
}

static enum store_status
list_drop(struct store_db *db, unsigned u)
{
	char user[80];

	snprintf(user, sizeof(user), "%s@lid", name_of("70000", u));
	return b->device_list_drop(db, user);
}

static enum presence
list_have(struct store_db *db, struct region *r, unsigned u)
{
	Stored__Peer p = STORED__PEER__INIT;
	char user[80];

	snprintf(user, sizeof(user), "%s@lid", name_of("70000", u));
	if (b->peer_lookup(db, user, r, &p) != STORE_OK)
		return WRONG;
	if (p.by_lid == NULL)
		return ABSENT;
	return p.by_lid->n_devices == 1 + u % 20 && p.by_lid->devices[0]->id == u ? THERE : WRONG;
}

static enum store_status
contact_put(struct store_db *db, unsigned u, const char *tag, int with_lid)
{
	Stored__Contact c = STORED__CONTACT__INIT;
	char id[32];

	snprintf(id, sizeof(id), "u_%s%025u", tag, u);
	c.id = id;
	c.pn = name_of("49170", u);
	if (with_lid)
		c.lid = name_of("80000", u);
	c.push_name = name_of("contact ", u);
	return b->contact_put(db, &c, writes_time(u));
}

/* First a number is seen. */
static enum store_status
pn_put(struct store_db *db, unsigned u)
{
	return contact_put(db, u, "a", 0);
}

static enum presence
pn_have(struct store_db *db, struct region *r, unsigned u)
{
	Stored__Peer p = STORED__PEER__INIT;
	char jid[80];

	snprintf(jid, sizeof(jid), "%s@s.whatsapp.net", name_of("49170", u));
	if (b->peer_lookup(db, jid, r, &p) != STORE_OK)
		return WRONG;
	if (p.contact == NULL)
		return ABSENT;
	return strcmp(p.contact->push_name, name_of("contact ", u)) == 0 ? THERE : WRONG;
}

/* Two units later its LID: two contacts become one. */
static enum store_status
lid_put(struct store_db *db, unsigned u)
{
	return contact_put(db, u - 2, "b", 1);
}

static enum presence
lid_have(struct store_db *db, struct region *r, unsigned u)
{
	Stored__Peer p = STORED__PEER__INIT;
	char jid[80];

	snprintf(jid, sizeof(jid), "%s@lid", name_of("80000", u - 2));
	if (b->peer_lookup(db, jid, r, &p) != STORE_OK)
		return WRONG;
	if (p.contact == NULL)
		return ABSENT;
	return p.contact->pn != NULL && strcmp(p.contact->pn, name_of("49170", u - 2)) == 0 ? THERE
											    : WRONG;
}

/* ---------------------------------------------------------------- events */

static enum store_status
event_put(struct store_db *db, unsigned u)
{
	Stored__EventAppend e = STORED__EVENT_APPEND__INIT;
	static char type[] = "message.received", origin[] = "live";
	char *unless[1];
	enum store_status st;
	int kept = 0;

	e.type = type;
	e.origin = origin;
	e.time_ms = writes_time(u);
	e.body = bytes_of(u, 100, len_of(u, 1500));
	e.dedup = name_of("message of a chat, from a sender, ", u);
	unless[0] = name_of("marked ", u);
	e.unless = unless;
	e.n_unless = 1;
	if ((st = b->event_append(db, u, writes_time(u), &e, &kept)) != STORE_OK)
		return st;
	if (!kept)
		return STORE_BAD;
	/* a second one with the same key is dropped */
	st = b->event_append(db, u + 1, writes_time(u), &e, &kept);
	return st == STORE_OK && kept ? STORE_BAD : st;
}

static enum presence
event_have(struct store_db *db, struct region *r, unsigned u)
{
	const struct store_event *e;
	ProtobufCBinaryData body;
	enum presence p = ABSENT;

	(void)r;
	if (b->events_walk(db, u - 1) != STORE_OK || b->events_step(db, &e) != STORE_OK)
		return WRONG;
	if (e != NULL && e->seq == u) {
		body.len = e->body_len;
		body.data = (uint8_t *)(uintptr_t)e->body;
		p = same(&body, u, 100, len_of(u, 1500));
	}
	b->events_stop(db);
	return p;
}

static enum store_status
mark_put(struct store_db *db, unsigned u)
{
	return b->event_mark(db, name_of("marked ", u), writes_time(u));
}

/* ---------------------------------------------------------------- outbox */

static enum store_status
message_put(struct store_db *db, unsigned u)
{
	Stored__OutboxPut p = STORED__OUTBOX_PUT__INIT;
	static char chat[] = "1@s.whatsapp.net";

	p.message_id = name_of("M", u);
	p.chat = chat;
	p.uid = 1000;
	p.idempotency_key = name_of("key", u);
	p.params_hash = bytes_of(u, 200, 32);
	p.content = bytes_of(u, 201, u % 6 == 0 ? 9000 : 200);
	p.state = STORED__OUTBOX_STATE__QUEUED;
	p.created_ms = writes_time(u);
	return b->outbox_put(db, &p, writes_time(u));
}

static Stored__OutboxRow *
message(struct store_db *db, struct region *r, unsigned u, enum presence *p)
{
	Stored__OutboxRow *row = NULL;

	*p = b->outbox_find(db, 0, NULL, name_of("M", u), r, &row) != STORE_OK ? WRONG : ABSENT;
	return *p == WRONG ? NULL : row;
}

static enum presence
message_have(struct store_db *db, struct region *r, unsigned u)
{
	enum presence p;
	Stored__OutboxRow *row = message(db, r, u, &p);

	return row == NULL ? p : same(&row->put->content, u, 201, u % 6 == 0 ? 9000 : 200);
}

/* Two units later it has been sent. */
static enum store_status
sent_put(struct store_db *db, unsigned u)
{
	Stored__OutboxUpdate up = STORED__OUTBOX_UPDATE__INIT;

	up.message_id = name_of("M", u - 2);
	up.has_state = up.has_server_ms = up.has_stanza = 1;
	up.state = STORED__OUTBOX_STATE__ACKED;
	up.stanza = bytes_of(u, 202, 500);
	up.server_ms = writes_time(u);
	return b->outbox_update(db, &up);
}

static enum presence
sent_have(struct store_db *db, struct region *r, unsigned u)
{
	enum presence p;
	Stored__OutboxRow *row = message(db, r, u - 2, &p);

	if (row == NULL || row->put->state == STORED__OUTBOX_STATE__QUEUED)
		return p;
	return row->server_ms == writes_time(u) ? same(&row->put->stanza, u, 202, 500) : WRONG;
}

/* And two later it is known to have come. */
static enum store_status
receipt_put(struct store_db *db, unsigned u)
{
	Stored__ReceiptMark m = STORED__RECEIPT_MARK__INIT;
	static char read[] = "read";

	m.message_id = name_of("M", u - 4);
	m.party = name_of("party", u);
	m.status = read;
	m.time_ms = writes_time(u);
	return b->outbox_receipt(db, &m);
}

static enum presence
receipt_have(struct store_db *db, struct region *r, unsigned u)
{
	enum presence p;
	Stored__OutboxRow *row = message(db, r, u - 4, &p);

	return row == NULL ? p : row->read == 1 ? THERE : row->read == 0 ? ABSENT : WRONG;
}

/* ---------------------------------------------------------------- the table */

static enum store_status
reset_put(struct store_db *db, unsigned u)
{
	(void)u;
	return b->device_reset(db);
}

#define ONCE WRITES_UNITS
static const struct row rows[] = {
    {"session", 1, 1, 0, OWN, 0, 0, session_put, NULL, session_have},
    {"counters", 1, 1, 0, LATEST, 0, 0, counters_put, NULL, counters_have},
    {"sender key", 10, 3, 20, OWN, 0, 0, big_put, big_drop, big_have},
    {"prekey", 2, 2, 8, OWN, 0, 0, prekey_put, prekey_drop, prekey_have},
    {"device record", 4, 1, 0, LATEST, 0, 1, device_put, NULL, device_have},
    {"device list", 3, 1, 9, OWN, 0, 1, list_put, list_drop, list_have},
    {"contact", 4, 2, 0, OWN, 0, 0, pn_put, NULL, pn_have},
    {"contact's LID", 4, 4, 0, OWN, 0, 0, lid_put, NULL, lid_have},
    {"event", 1, 1, 0, EVENT, 0, 0, event_put, NULL, event_have},
    {"mark", 5, 5, 0, OWN, 0, 0, mark_put, NULL, NULL},
    {"message", 3, 1, 0, MESSAGE, 0, 0, message_put, NULL, message_have},
    {"message sent", 3, 3, 0, MESSAGE, 2, 0, sent_put, NULL, sent_have},
    {"receipt", 3, 5, 0, MESSAGE, 4, 0, receipt_put, NULL, receipt_have},
    {"device reset", ONCE, WRITES_RESET, 0, OWN, 0, 0, reset_put, NULL, NULL},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static int
writes_it(const struct row *w, unsigned u)
{
	return u >= w->first && (u - w->first) % w->every == 0;
}

enum store_status
writes_apply(struct store_db *db, unsigned u)
{
	enum store_status st = STORE_OK;
	size_t i;

	for (i = 0; st == STORE_OK && i < ROWS; i++) {
		const struct row *w = &rows[i];

		if (writes_it(w, u))
			st = w->put(db, u);
		if (st == STORE_OK && w->life > 0 && u > w->life && writes_it(w, u - w->life))
			st = w->drop(db, u - w->life);
	}
	return st;
}

enum store_status
writes_contradict(struct store_db *db, unsigned u)
{
	enum store_status st = session_put(db, u + WRITES_UNITS);

	if (st == STORE_OK)
		st = big_put(db, u + WRITES_UNITS);
	return st == STORE_OK ? message_put(db, 1 + (u - 2) / 3 * 3) : st;
}

/* Is what the unit wrote there at that moment? */
static int
should_be(const struct row *w, unsigned u, const struct moment *m)
{
	if (u > m->unit || (w->life > 0 && u + w->life <= m->unit))
		return 0;
	if (w->device && u <= WRITES_RESET && m->unit >= WRITES_RESET)
		return 0;
	return !((w->kind == EVENT && u <= m->trimmed) ||
		 (w->kind == MESSAGE && u - w->of <= m->expired));
}

static void
look(struct store_db *db, struct region *r, const struct row *w, unsigned u, const struct moment *m,
    struct tally *t)
{
	enum presence p;

	if (w->have == NULL || (w->kind == LATEST && (u > m->unit || u + w->every <= m->unit)))
		return; /* of the latest it can be told only whether it is there */
	p = w->have(db, r, u);
	if (p == (should_be(w, u, m) ? THERE : ABSENT)) {
		t->right += p == THERE;
		return;
	}
	t->what = w->name;
	if (p == ABSENT)
		t->missing++;
	else
		t->wrong++;
}

void
writes_look(struct store_db *db, unsigned u, const struct moment *m, struct tally *t)
{
	struct region *r = region_new(REGION_MAX);
	size_t i;

	memset(t, 0, sizeof(*t));
	for (i = 0; i < ROWS; i++) {
		if (writes_it(&rows[i], u))
			look(db, r, &rows[i], u, m, t);
	}
	region_free(r);
}
