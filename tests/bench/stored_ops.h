/* The classes of operations of a store, each as the smallest thing that can be done with it. */
#ifndef WARD_STORED_OPS_H
#define WARD_STORED_OPS_H

#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "common/pb.h"
#include "stored/backend.h"
#include "stored/region.h"

#define SESSIONS     4000 /* more than the page cache holds */
#define SESSION_LEN  2300 /* a session in its steady state */
#define PREKEYS      812
#define PREKEY_LEN   110
#define BODY_LEN     900
#define CONTENT_LEN  300
#define STANZA_LEN   900
#define METADATA_LEN 4096
#define TEXTS        100 /* rows of the small tables that are read */
#define BULK         1000
#define BATCH        100
#define REGION_MAX   ((size_t)64 * 1024 * 1024)

/* A database, and how far each kind of row in it has been counted up. */
struct place {
	const struct store_backend *b;
	struct store_db *db, *service;
	struct region *r; /* of the read that is under way */
	uint64_t version[SESSIONS];
	uint64_t seq, n, gone, made, prekeys;
};

struct op {
	const char *name;
	int write;
	int batch; /* how many make a batch; 0 = it is one already */
	int service;
	enum store_status (*run)(struct place *p);
	/* Not timed: what the next n runs need; in a transaction. NULL: nothing. */
	enum store_status (*prepare)(struct place *p, size_t n);
};

static uint8_t noise[STANZA_LEN + METADATA_LEN + SESSION_LEN];

/* Texts that are in no order, as those of the service are. */
static uint64_t
scatter(uint64_t i)
{
	return i * 0x9E3779B97F4A7C15u;
}

static const char *
text_of(char out[64], const char *form, uint64_t i)
{
	snprintf(out, 64, "%s%016llx", form, (unsigned long long)scatter(i));
	return out;
}

static const char *
jid_of(char out[64], uint64_t i, const char *server)
{
	snprintf(out, 64, "49151%08llu@%s", (unsigned long long)(scatter(i) % 100000000), server);
	return out;
}

/* ---------------------------------------------------------------- sealed records */

static enum store_status
put_record(struct place *p, Stored__Domain d, const char *name, uint64_t version, size_t len)
{
	Stored__RecordName n = STORED__RECORD_NAME__INIT;
	Stored__RecordPut put = STORED__RECORD_PUT__INIT;

	randombytes_buf(noise, 16);
	n.domain = d;
	n.name = pb_str(name);
	put.name = &n;
	put.version = version;
	put.sealed = pb_bytes(noise, len);
	return p->b->record_put(p->db, &put);
}

static enum store_status
session_put(struct place *p)
{
	uint64_t i = scatter(p->n++) % SESSIONS;
	char name[64];

	return put_record(
	    p, STORED__DOMAIN__SESSION, text_of(name, "1/", i), ++p->version[i], SESSION_LEN);
}

static enum store_status
session_get(struct place *p)
{
	Stored__RecordName n = STORED__RECORD_NAME__INIT;
	Stored__Record rec = STORED__RECORD__INIT;
	char name[64];

	n.domain = STORED__DOMAIN__SESSION;
	n.name = pb_str(text_of(name, "1/", scatter(p->n++) % SESSIONS));
	return p->b->record_get(p->db, &n, p->r, &rec);
}

static enum store_status
session_make(struct place *p, size_t n)
{
	enum store_status st = STORE_OK;
	char name[64];

	for (; st == STORE_OK && n > 0; n--)
		st = put_record(
		    p, STORED__DOMAIN__SESSION, text_of(name, "2/", p->made++), 1, SESSION_LEN);
	return st;
}

static enum store_status
session_delete(struct place *p)
{
	Stored__RecordName n = STORED__RECORD_NAME__INIT;
	Stored__RecordDelete del = STORED__RECORD_DELETE__INIT;
	char name[64];

	n.domain = STORED__DOMAIN__SESSION;
	n.name = pb_str(text_of(name, "2/", p->gone++));
	del.name = &n;
	del.version = 1;
	return p->b->record_delete(p->db, &del);
}

/* The names of five sessions, as of a user's devices. */
static enum store_status
session_list(struct place *p)
{
	Stored__RecordNames out = STORED__RECORD_NAMES__INIT;
	Stored__RecordsList q = STORED__RECORDS_LIST__INIT;
	char from[64], below[64];

	q.domain = STORED__DOMAIN__SESSION;
	snprintf(from, sizeof(from), "1/%02x", (unsigned)(scatter(p->n) >> 56));
	snprintf(below, sizeof(below), "1/%02x~", (unsigned)(scatter(p->n++) >> 56));
	q.from = from;
	q.below = below;
	q.limit = 5;
	return p->b->record_list(p->db, &q, p->r, &out);
}

static enum store_status
prekeys_put(struct place *p)
{
	enum store_status st = STORE_OK;
	char name[64];
	int i;

	for (i = 0; st == STORE_OK && i < PREKEYS; i++) {
		snprintf(name, sizeof(name), "1/%08llu", (unsigned long long)p->prekeys++);
		st = put_record(p, STORED__DOMAIN__PREKEY, name, 1, PREKEY_LEN);
	}
	return st;
}

/* ---------------------------------------------------------------- events, the outbox */

static enum store_status
event_append(struct place *p)
{
	Stored__EventAppend e = STORED__EVENT_APPEND__INIT;
	char dedup[64];
	int kept;

	e.type = pb_str("message.received");
	e.origin = pb_str("live");
	e.body = pb_bytes(noise, BODY_LEN);
	e.dedup = pb_str(text_of(dedup, "3EB0", p->seq));
	return p->b->event_append(p->db, ++p->seq, 1, &e, &kept);
}

static enum store_status
event_read(struct place *p)
{
	const struct store_event *e;
	enum store_status st = p->b->events_walk(p->db, scatter(p->n++) % p->seq);

	if (st == STORE_OK)
		st = p->b->events_step(p->db, &e);
	p->b->events_stop(p->db);
	return st;
}

static enum store_status
outbox_put(struct place *p)
{
	Stored__OutboxPut o = STORED__OUTBOX_PUT__INIT;
	char id[64], key[64], chat[64];

	o.message_id = pb_str(text_of(id, "3EB0", p->n));
	o.idempotency_key = pb_str(text_of(key, "", p->n++));
	o.chat = pb_str(jid_of(chat, p->n % TEXTS, "s.whatsapp.net"));
	o.uid = 1000;
	o.params_hash = pb_bytes(noise, 32);
	o.content = pb_bytes(noise, CONTENT_LEN);
	o.state = STORED__OUTBOX_STATE__READY;
	o.has_stanza = 1;
	o.stanza = pb_bytes(noise, STANZA_LEN);
	return p->b->outbox_put(p->db, &o, 1);
}

static enum store_status
outbox_update(struct place *p)
{
	Stored__OutboxUpdate u = STORED__OUTBOX_UPDATE__INIT;
	char id[64];

	u.message_id = pb_str(text_of(id, "3EB0", p->n++ % TEXTS));
	u.has_state = u.has_server_ms = 1;
	u.state = STORED__OUTBOX_STATE__ACKED;
	u.server_ms = (int64_t)p->n;
	return p->b->outbox_update(p->db, &u);
}

static enum store_status
outbox_find(struct place *p)
{
	Stored__OutboxRow *row;
	char id[64];

	return p->b->outbox_find(p->db, 0, NULL, text_of(id, "3EB0", p->n++ % TEXTS), p->r, &row);
}

/* ---------------------------------------------------------------- device, people */

static enum store_status
device_merge(struct place *p)
{
	Stored__DeviceRecord d = STORED__DEVICE_RECORD__INIT;

	d.push_name = pb_str("name");
	d.has_login_counter = d.has_routing_info = 1;
	d.login_counter = (int32_t)p->n++;
	d.routing_info = pb_bytes(noise, 64);
	return p->b->device_merge(p->db, &d);
}

static enum store_status
device_load(struct place *p)
{
	Stored__DeviceRecord *d;

	return p->b->device_load(p->db, p->r, &d);
}

static enum store_status
contact_put(struct place *p)
{
	Stored__Contact c = STORED__CONTACT__INIT;
	char id[64], pn[64], lid[64];
	uint64_t i = p->n++;

	snprintf(id, sizeof(id), "u_%026llu", (unsigned long long)i);
	snprintf(pn, sizeof(pn), "49151%08llu", (unsigned long long)(scatter(i) % 100000000));
	c.id = id;
	c.pn = pn;
	c.lid = pb_str(text_of(lid, "", i));
	c.push_name = pb_str("name");
	return p->b->contact_put(p->db, &c, 1);
}

static enum store_status
peer_lookup(struct place *p)
{
	Stored__Peer out = STORED__PEER__INIT;
	char jid[64];

	return p->b->peer_lookup(p->db, jid_of(jid, p->n++ % TEXTS, "s.whatsapp.net"), p->r, &out);
}

static enum store_status
device_list_put(struct place *p)
{
	Stored__Device d[4], *devices[4];
	Stored__DeviceList l = STORED__DEVICE_LIST__INIT;
	char user[64];
	uint32_t i;

	for (i = 0; i < 4; i++) {
		stored__device__init(&d[i]);
		d[i].id = i;
		devices[i] = &d[i];
	}
	l.user = pb_str(jid_of(user, p->n++, "s.whatsapp.net"));
	l.n_devices = 4;
	l.devices = devices;
	return p->b->device_list_put(p->db, &l, 1);
}

/* ---------------------------------------------------------------- app state, groups */

/* A patch: the collection, and the MACs of its mutations. */
static enum store_status
patch(struct place *p, size_t n)
{
	static uint8_t index[BULK][32];
	static Stored__Mac macs[BULK], *list[BULK];
	Stored__CollectionPut c = STORED__COLLECTION_PUT__INIT;
	Stored__MacsPut m = STORED__MACS_PUT__INIT;
	enum store_status st;
	size_t i;

	c.name = m.collection = pb_str("regular_low");
	c.version = m.version = ++p->n;
	c.hash = pb_bytes(noise, 128);
	for (i = 0; i < n; i++) {
		stored__mac__init(&macs[i]);
		randombytes_buf(index[i], sizeof(index[i]));
		macs[i].index = pb_bytes(index[i], sizeof(index[i]));
		macs[i].value = pb_bytes(noise, 32);
		list[i] = &macs[i];
	}
	m.n_macs = n;
	m.macs = list;
	if ((st = p->b->collection_put(p->db, &c)) != STORE_OK)
		return st;
	return p->b->macs_put(p->db, &m);
}

static enum store_status
patch_one(struct place *p)
{
	return patch(p, 1);
}

static enum store_status
patch_bulk(struct place *p)
{
	return patch(p, BULK);
}

static enum store_status
marks(struct place *p, size_t n)
{
	static char names[BULK][64];
	static Stored__SenderKeyDevice d[BULK], *list[BULK];
	Stored__SenderKeyStatus m = STORED__SENDER_KEY_STATUS__INIT;
	char group[64];
	size_t i;

	for (i = 0; i < n; i++) {
		stored__sender_key_device__init(&d[i]);
		d[i].device = pb_str(jid_of(names[i], p->n + i, "s.whatsapp.net"));
		d[i].has_key = 1;
		list[i] = &d[i];
	}
	m.group = pb_str(jid_of(group, p->n % TEXTS, "g.us"));
	m.n_devices = n;
	m.devices = list;
	p->n += n;
	return p->b->sender_key_status(p->db, &m);
}

static enum store_status
mark_one(struct place *p)
{
	return marks(p, 1);
}

static enum store_status
mark_bulk(struct place *p)
{
	return marks(p, BULK);
}

static enum store_status
group_put(struct place *p)
{
	Stored__GroupPut g = STORED__GROUP_PUT__INIT;
	char jid[64];

	randombytes_buf(noise, 16); /* what is there already might cost nothing */
	g.group = pb_str(jid_of(jid, p->n++ % TEXTS, "g.us"));
	g.metadata = pb_bytes(noise, METADATA_LEN);
	return p->b->group_put(p->db, &g);
}

/* ---------------------------------------------------------------- repairs, tokens, consumers */

static enum store_status
base_key_put(struct place *p)
{
	Stored__BaseKeyName n = STORED__BASE_KEY_NAME__INIT;
	Stored__BaseKey k = STORED__BASE_KEY__INIT;
	char address[64], id[64];

	n.address = pb_str(jid_of(address, p->n % TEXTS, "0"));
	n.message_id = pb_str(text_of(id, "3EB0", p->n++));
	k.name = &n;
	k.key = pb_bytes(noise, 33);
	return p->b->base_key_put(p->db, &k, 1);
}

static enum store_status
token_received(struct place *p)
{
	Stored__TokenReceived t = STORED__TOKEN_RECEIVED__INIT;
	char user[64];

	t.user = pb_str(jid_of(user, p->n % TEXTS, "lid"));
	t.token = pb_bytes(noise, 40);
	t.token_s = (int64_t)p->n++;
	return p->b->token_received(p->db, &t);
}

static enum store_status
pending_put(struct place *p)
{
	Stored__MessageName n = STORED__MESSAGE_NAME__INIT;
	Stored__Pending m = STORED__PENDING__INIT;
	char chat[64], id[64];

	n.chat = n.sender = pb_str(jid_of(chat, p->n % TEXTS, "s.whatsapp.net"));
	n.id = pb_str(text_of(id, "3EB0", p->n++));
	m.name = &n;
	m.stanza = pb_bytes(noise, STANZA_LEN);
	return p->b->pending_put(p->db, &m, 1);
}

static enum store_status
consumer_ack(struct place *p)
{
	struct store_consumer c = {.uid = 1000, .name = "bench"};

	c.acked_seq = ++p->n;
	c.last_ms = 1;
	return p->b->consumer_put(p->service, &c);
}

/* Reads after the writes that they read. */
static const struct op ops[] = {
    {"session put", 1, BATCH, 0, session_put, NULL},
    {"session get", 0, BATCH, 0, session_get, NULL},
    {"session delete", 1, BATCH, 0, session_delete, session_make},
    {"session list", 0, BATCH, 0, session_list, NULL},
    {"812 prekeys put", 1, 0, 0, prekeys_put, NULL},
    {"event append", 1, BATCH, 0, event_append, NULL},
    {"event read", 0, BATCH, 0, event_read, NULL},
    {"outbox put", 1, BATCH, 0, outbox_put, NULL},
    {"outbox update", 1, BATCH, 0, outbox_update, NULL},
    {"outbox find", 0, BATCH, 0, outbox_find, NULL},
    {"device merge", 1, BATCH, 0, device_merge, NULL},
    {"device load", 0, BATCH, 0, device_load, NULL},
    {"contact put", 1, BATCH, 0, contact_put, NULL},
    {"contact lookup", 0, BATCH, 0, peer_lookup, NULL},
    {"device list put", 1, BATCH, 0, device_list_put, NULL},
    {"patch, 1 MAC", 1, BATCH, 0, patch_one, NULL},
    {"patch, 1000 MACs", 1, 0, 0, patch_bulk, NULL},
    {"sender-key mark", 1, BATCH, 0, mark_one, NULL},
    {"1000 marks", 1, 0, 0, mark_bulk, NULL},
    {"group put", 1, BATCH, 0, group_put, NULL},
    {"base key put", 1, BATCH, 0, base_key_put, NULL},
    {"token received", 1, BATCH, 0, token_received, NULL},
    {"pending put", 1, BATCH, 0, pending_put, NULL},
    {"consumer ack", 1, BATCH, 1, consumer_ack, NULL},
};
#define NOPS (sizeof(ops) / sizeof(ops[0]))

#endif
