/* The writes of tests/unit/stored_twins.c: each of them drawn at random and given to both backends,
 * which must say the same. */
#ifndef WARD_STORED_TWINS_WRITE_H
#define WARD_STORED_TWINS_WRITE_H

#include "common/buf.h"
#include "common/pb.h"
#include "stored/memory/db.h"
#include "stored/region.h"
#include "tests/unit/stored_rig.h"

#define FEW 5 /* names of each kind */
#define ALL 100000

static const struct store_backend *const twins[2] = {&store_sqlcipher, &store_memory};
static struct store_db *dbs[2];
static const uint8_t key[STORE_KEY_LEN] = {7};

static uint64_t seed, seq;
static int64_t now_ms;

static uint64_t
draw(uint64_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 33) % below;
}

/* Texts that live as long as a write. */
static char *
word(const char *before, const char *behind, uint64_t n)
{
	static char slots[64][64];
	static unsigned next;
	char *s = slots[next++ % 64];

	snprintf(s, sizeof(slots[0]), "%s%u%s", before, (unsigned)n, behind);
	return s;
}

static char *
jid(void)
{
	return draw(2) ? word("", "@s.whatsapp.net", draw(FEW)) : word("", "@lid", draw(FEW));
}

static ProtobufCBinaryData
bytes(size_t len)
{
	static uint8_t slots[8][256];
	static unsigned next;
	uint8_t *b = slots[next++ % 8];

	memset(b, (int)('a' + draw(26)), len);
	return pb_bytes(b, len);
}

/* Run it on both; the same status must come. The arguments are evaluated twice. */
static enum store_status status[2];
#define BOTH(op, ...)                                                                              \
	do {                                                                                       \
		for (size_t t_ = 0; t_ < 2; t_++)                                                  \
			status[t_] = twins[t_]->op(dbs[t_], __VA_ARGS__);                          \
		assert_int_equal(status[0], status[1]);                                            \
	} while (0)
/* The same of those that take nothing else. */
#define BOTH_PLAIN(op)                                                                             \
	do {                                                                                       \
		for (size_t t_ = 0; t_ < 2; t_++)                                                  \
			status[t_] = twins[t_]->op(dbs[t_]);                                       \
		assert_int_equal(status[0], status[1]);                                            \
	} while (0)
/* Expiries, in steps until nothing is left: which rows go first is the backend's choice. */
#define BOTH_EXPIRE(op, before)                                                                    \
	do {                                                                                       \
		int64_t before_ = before;                                                          \
		size_t n_, total_[2] = {0, 0};                                                     \
		for (size_t t_ = 0; t_ < 2; t_++) {                                                \
			do {                                                                       \
				assert_int_equal(                                                  \
				    twins[t_]->op(dbs[t_], before_, 2, &n_), STORE_OK);            \
				assert_true(n_ <= 2);                                              \
				total_[t_] += n_;                                                  \
			} while (n_ > 0);                                                          \
		}                                                                                  \
		assert_int_equal(total_[0], total_[1]);                                            \
	} while (0)

/* ---------------------------------------------------------------- writes: records */

static Stored__RecordName
any_record(void)
{
	static const Stored__Domain domains[] = {STORED__DOMAIN__SESSION, STORED__DOMAIN__PREKEY,
	    STORED__DOMAIN__SENDER_KEY, STORED__DOMAIN__MSG_SECRET};
	Stored__RecordName n = STORED__RECORD_NAME__INIT;

	n.domain = domains[draw(4)];
	n.name = word(draw(4) ? "3/" : "1/", "", draw(FEW * 3));
	return n;
}

/* Mostly the one that stands. */
static uint64_t
version_of(const Stored__RecordName *n)
{
	struct region *r = region_new(1 << 20);
	Stored__Record rec = STORED__RECORD__INIT;

	assert_int_equal(store_memory.record_get(dbs[1], n, r, &rec), STORE_OK);
	region_free(r);
	return draw(8) ? rec.version : draw(3);
}

static void
write_record(void)
{
	Stored__RecordName n = any_record();
	Stored__RecordPut put = STORED__RECORD_PUT__INIT;
	Stored__RecordDelete del = STORED__RECORD_DELETE__INIT;

	put.name = del.name = &n;
	if (draw(6) == 0) {
		del.version = version_of(&n) + (draw(9) == 0);
		if (del.version == 0)
			del.version = 1;
		BOTH(record_delete, &del);
		return;
	}
	put.version = version_of(&n) + 1;
	put.sealed = bytes(1 + draw(20));
	if (n.domain == STORED__DOMAIN__PREKEY)
		put.has_uploaded = put.uploaded = draw(2) != 0;
	if (n.domain == STORED__DOMAIN__MSG_SECRET) {
		put.has_expires_s = draw(3) != 0;
		put.expires_s = put.has_expires_s ? (int64_t)draw(6) : 0;
		put.has_message_s = draw(3) != 0;
		put.message_s = put.has_message_s ? (int64_t)draw(6) : 0;
	}
	BOTH(record_put, &put);
}

static void
write_record_flag(void)
{
	Stored__RecordName n = any_record();

	n.domain = STORED__DOMAIN__PREKEY;
	BOTH(record_uploaded, &n);
	if (draw(4) == 0)
		BOTH_EXPIRE(record_expire, (int64_t)draw(7));
}

/* ---------------------------------------------------------------- writes: app state, device */

static uint8_t mac_indexes[FEW][32] = {{1}, {2}, {3}, {4}, {5}};

static void
write_collection(void)
{
	Stored__CollectionPut c = STORED__COLLECTION_PUT__INIT;

	c.name = word("c", "", draw(3));
	c.version = draw(100);
	c.hash = bytes(128);
	c.has_mac_mismatch_fatal = c.mac_mismatch_fatal = draw(2) != 0;
	if (draw(5) == 0)
		BOTH(collection_delete, c.name);
	else
		BOTH(collection_put, &c);
}

static void
write_macs(void)
{
	Stored__Mac macs[3], *list[3];
	Stored__MacsPut p = STORED__MACS_PUT__INIT;
	Stored__MacsDelete d = STORED__MACS_DELETE__INIT;
	ProtobufCBinaryData indexes[3];
	size_t i;

	p.collection = d.collection = word("c", "", draw(3));
	p.version = draw(100);
	for (i = 0; i < 3; i++) {
		indexes[i] = pb_bytes(mac_indexes[draw(FEW)], 32);
		stored__mac__init(&macs[i]);
		macs[i].index = indexes[i];
		macs[i].value = bytes(32);
		list[i] = &macs[i];
	}
	p.macs = list;
	d.indexes = indexes;
	p.n_macs = d.n_indexes = draw(4);
	switch (draw(6)) {
	case 0:
		BOTH(macs_clear, p.collection);
		return;
	case 1:
		BOTH(macs_delete, &d);
		return;
	default:
		BOTH(macs_put, &p);
	}
}

/* Which go first is said, so that both take the same. */
static void
purge(void)
{
	uint32_t below = 1 + draw(4);
	size_t max = 1 + draw(6);
	uint64_t n[2];

	for (int t = 0; t < 2; t++)
		assert_int_equal(twins[t]->quarantine_purge(dbs[t], below, max, &n[t]), STORE_OK);
	assert_int_equal(n[0], n[1]);
}

static void
write_device(void)
{
	Stored__DeviceRecord d = STORED__DEVICE_RECORD__INIT;

	if (draw(10) == 0) {
		BOTH_PLAIN(device_reset);
		return;
	}
	if (draw(20) == 0) {
		BOTH(quarantine_people, 5);
		return;
	}
	if (draw(20) == 0) {
		purge();
		return;
	}
	if (draw(2))
		d.jid = jid();
	if (draw(2))
		d.push_name = draw(3) ? word("name ", "", draw(FEW)) : word("", "", 0);
	d.has_paused = draw(2) != 0;
	d.paused = d.has_paused && draw(2);
	d.has_routing_info = draw(2) != 0;
	if (d.has_routing_info)
		d.routing_info = bytes(draw(4));
	d.has_nct_salt = draw(2) != 0;
	if (d.has_nct_salt)
		d.nct_salt = bytes(draw(4));
	d.has_login_counter = draw(2) != 0;
	d.login_counter = d.has_login_counter ? (int32_t)draw(9) - 4 : 0;
	if (draw(3) == 0)
		d.restrictions = word("{}", "", draw(FEW));
	BOTH(device_merge, &d);
}

/* ---------------------------------------------------------------- writes: people, groups */

static void
write_contact(void)
{
	Stored__Contact c = STORED__CONTACT__INIT;

	c.id = word("u_0000000000000000000000000", "", draw(FEW + 2));
	if (draw(3))
		c.pn = word("", "", draw(FEW));
	if (draw(3))
		c.lid = word("", "", draw(FEW));
	if (draw(2))
		c.push_name = word("name ", "", draw(FEW));
	if (draw(3) == 0)
		c.lid_source = word("usync", "", 0);
	c.has_first_out_ms = draw(3) == 0;
	c.first_out_ms = c.has_first_out_ms ? (int64_t)draw(99) : 0;
	c.has_met_ms = draw(3) == 0;
	c.met_ms = c.has_met_ms ? (int64_t)draw(99) : 0;
	BOTH(contact_put, &c, now_ms);
}

static void
write_device_list(void)
{
	Stored__Device d[3], *list[3];
	Stored__DeviceList l = STORED__DEVICE_LIST__INIT;
	size_t i;

	l.user = jid();
	for (i = 0; i < 3; i++) {
		stored__device__init(&d[i]);
		d[i].id = (uint32_t)draw(9);
		d[i].has_hosted = d[i].hosted = draw(2) != 0;
		list[i] = &d[i];
	}
	l.devices = list;
	l.n_devices = draw(4);
	l.has_timestamp = draw(2) != 0;
	l.timestamp = l.has_timestamp ? (int64_t)draw(99) : 0;
	switch (draw(6)) {
	case 0:
		BOTH(device_list_drop, l.user);
		return;
	case 1:
		BOTH_EXPIRE(device_list_expire, now_ms - (int64_t)draw(200));
		return;
	default:
		BOTH(device_list_put, &l, now_ms);
	}
}

static void
write_group(void)
{
	Stored__GroupPut g = STORED__GROUP_PUT__INIT;

	g.group = word("", "@g.us", draw(3));
	g.metadata = bytes(draw(50));
	if (draw(4) == 0)
		BOTH(group_delete, g.group);
	else
		BOTH(group_put, &g);
}

static void
write_marks(void)
{
	Stored__SenderKeyDevice d[3], *list[3];
	Stored__SenderKeyStatus m = STORED__SENDER_KEY_STATUS__INIT;
	size_t i;

	m.group = word("", "@g.us", draw(3));
	for (i = 0; i < 3; i++) {
		stored__sender_key_device__init(&d[i]);
		d[i].device = jid();
		d[i].has_key = draw(2) != 0;
		list[i] = &d[i];
	}
	m.devices = list;
	m.n_devices = draw(4);
	switch (draw(12)) {
	case 0:
		BOTH(sender_key_clear, m.group);
		return;
	case 1:
	case 2:
		BOTH(sender_key_drop, d[0].device);
		return;
	case 3:
		BOTH_PLAIN(sender_key_clear_all);
		return;
	default:
		BOTH(sender_key_status, &m);
	}
}

/* ---------------------------------------------------------------- writes: repairs, tokens */

static Stored__BaseKeyName
base_key_name(uint64_t a, uint64_t m)
{
	Stored__BaseKeyName n = STORED__BASE_KEY_NAME__INIT;

	n.address = word("a", "", a);
	n.message_id = word("m", "", m);
	return n;
}

static void
write_base_key(void)
{
	Stored__BaseKeyName n = base_key_name(draw(3), draw(3));
	Stored__BaseKey k = STORED__BASE_KEY__INIT;

	k.name = &n;
	k.key = bytes(33);
	switch (draw(6)) {
	case 0:
		BOTH(base_key_delete, &n);
		return;
	case 1:
		BOTH_EXPIRE(base_key_expire, now_ms - (int64_t)draw(200));
		return;
	default:
		BOTH(base_key_put, &k, now_ms);
	}
}

static void
expire_tokens(void)
{
	Stored__TokenExpire cut = STORED__TOKEN_EXPIRE__INIT;
	uint64_t n[2] = {0, 0};
	size_t t;

	cut.token_cutoff_s = (int64_t)draw(6);
	cut.sender_cutoff_s = (int64_t)draw(6);
	for (t = 0; t < 2; t++)
		assert_int_equal(twins[t]->token_expire(dbs[t], &cut, &n[t]), STORE_OK);
	assert_int_equal(n[0], n[1]);
}

static void
write_token(void)
{
	Stored__Token t = STORED__TOKEN__INIT;
	Stored__TokenReceived got = STORED__TOKEN_RECEIVED__INIT;
	Stored__TokenTouch touch = STORED__TOKEN_TOUCH__INIT;

	t.user = got.user = touch.user = jid();
	got.token = bytes(1 + draw(9));
	t.token = draw(4) ? got.token : bytes(0);
	t.token_s = got.token_s = (int64_t)draw(6);
	t.has_sender_s = draw(2) != 0;
	touch.sender_s = (int64_t)draw(6);
	t.sender_s = t.has_sender_s ? touch.sender_s : 0;
	switch (draw(8)) {
	case 0:
		BOTH(token_delete, t.user);
		return;
	case 1:
		expire_tokens();
		return;
	case 2:
	case 3:
		BOTH(token_touch, &touch);
		return;
	case 4:
	case 5:
		BOTH(token_received, &got);
		return;
	default:
		BOTH(token_put, &t);
	}
}

static Stored__MessageName
message_name(uint64_t chat, uint64_t id)
{
	Stored__MessageName n = STORED__MESSAGE_NAME__INIT;

	n.chat = word("", "@s.whatsapp.net", chat);
	n.sender = word("", "@lid", chat);
	n.id = word("id", "", id);
	return n;
}

static void
write_pending(void)
{
	Stored__MessageName n = message_name(draw(3), draw(3));
	Stored__Pending p = STORED__PENDING__INIT;

	p.name = &n;
	p.stanza = bytes(1 + draw(90));
	p.has_attempts = draw(2) != 0;
	p.attempts = p.has_attempts ? (uint32_t)draw(9) : 0;
	p.has_held = draw(2) != 0;
	p.held = p.has_held && draw(3) == 0;
	switch (draw(6)) {
	case 0:
		BOTH(pending_delete, &n);
		return;
	case 1:
		BOTH_EXPIRE(pending_expire, now_ms - (int64_t)draw(200));
		return;
	default:
		BOTH(pending_put, &p, now_ms);
	}
}

/* ---------------------------------------------------------------- writes: events, the outbox */

static void
write_event(void)
{
	Stored__EventAppend e = STORED__EVENT_APPEND__INIT;
	char *unless[2];
	int kept[2] = {0, 0};
	size_t t, n[2] = {0, 0};

	if (draw(6) == 0) {
		const char *mark = word("key ", "", draw(FEW * 2));

		BOTH(event_mark, mark, now_ms);
		return;
	}
	if (draw(12) == 0) {
		for (t = 0; t < 2; t++)
			assert_int_equal(
			    twins[t]->events_trim(dbs[t], seq / 2, 3, &n[t]), STORE_OK);
		assert_int_equal(n[0], n[1]);
		return;
	}
	e.type = word("type.", "", draw(FEW));
	e.origin = word("live", "", 0);
	e.time_ms = (int64_t)draw(99);
	e.body = bytes(2 + draw(100));
	if (draw(3))
		e.dedup = word("key ", "", draw(FEW * 2));
	unless[0] = word("key ", "", draw(FEW * 2));
	unless[1] = word("key ", "", draw(FEW * 2));
	e.unless = unless;
	e.n_unless = draw(3);
	seq++;
	for (t = 0; t < 2; t++)
		assert_int_equal(
		    twins[t]->event_append(dbs[t], seq, now_ms, &e, &kept[t]), STORE_OK);
	assert_int_equal(kept[0], kept[1]);
}

/* To the end of the table, however a backend divides it into steps. */
static void
sweep_keys(void)
{
	int64_t before = now_ms - (int64_t)draw(200);
	size_t t;
	int wrapped;

	for (t = 0; t < 2; t++) {
		do {
			assert_int_equal(
			    twins[t]->dedup_sweep(dbs[t], before, 3, &wrapped), STORE_OK);
		} while (!wrapped);
	}
}

static void
expire_outbox(void)
{
	int64_t keys = now_ms - (int64_t)draw(300), rows = now_ms - (int64_t)draw(300);
	size_t t, n, total[2] = {0, 0};

	for (t = 0; t < 2; t++) {
		do {
			assert_int_equal(
			    twins[t]->outbox_expire(dbs[t], keys, rows, ALL, &n), STORE_OK);
			total[t] += n;
		} while (n > 0);
	}
	assert_int_equal(total[0] > 0, total[1] > 0);
}

static void
put_outbox(void)
{
	Stored__OutboxPut p = STORED__OUTBOX_PUT__INIT;
	char *devices[2] = {jid(), jid()};

	p.message_id = word("m", "", draw(FEW * 4));
	p.chat = jid();
	p.uid = (uint32_t)draw(2);
	p.idempotency_key = word("k", "", draw(FEW * 4));
	p.params_hash = bytes(32);
	p.content = bytes(draw(100));
	p.state = (Stored__OutboxState)(1 + draw(4));
	p.has_stanza = draw(2) != 0;
	if (p.has_stanza)
		p.stanza = bytes(draw(100));
	p.created_ms = (int64_t)draw(99);
	p.has_was_online = p.was_online = draw(2) != 0;
	p.has_not_after_ms = draw(2) != 0;
	p.not_after_ms = p.has_not_after_ms ? (int64_t)draw(9) : 0;
	p.devices = devices;
	p.n_devices = draw(3);
	BOTH(outbox_put, &p, now_ms);
}

static void
update_outbox(void)
{
	Stored__OutboxUpdate u = STORED__OUTBOX_UPDATE__INIT;
	char *devices[2] = {jid(), jid()};

	u.message_id = word("m", "", draw(FEW * 4));
	u.has_state = draw(2) != 0;
	u.state = (Stored__OutboxState)(1 + draw(4));
	u.has_stanza = draw(2) != 0;
	if (u.has_stanza)
		u.stanza = bytes(draw(100));
	u.has_code = draw(2) != 0;
	u.code = u.has_code ? (uint32_t)draw(999) : 0;
	if (draw(2))
		u.reason = word("reason ", "", draw(FEW));
	u.has_server_ms = draw(2) != 0;
	u.server_ms = u.has_server_ms ? (int64_t)draw(99) : 0;
	u.has_until_ms = draw(2) != 0;
	u.until_ms = u.has_until_ms ? (int64_t)draw(99) : 0;
	u.devices = devices;
	u.n_devices = draw(3);
	BOTH(outbox_update, &u);
}

static void
write_outbox(void)
{
	static const char *const ranks[] = {"delivered", "read", "played"};
	Stored__ReceiptMark m = STORED__RECEIPT_MARK__INIT;
	char *chats[STORE_RECEIPT_CHATS];

	m.message_id = word("m", "", draw(FEW * 4));
	m.party = jid();
	m.status = pb_str(ranks[draw(3)]);
	m.time_ms = (int64_t)draw(99);
	m.n_chats = draw(STORE_RECEIPT_CHATS + 1);
	m.chats = chats;
	for (size_t i = 0; i < m.n_chats; i++)
		chats[i] = jid();
	switch (draw(10)) {
	case 0:
		BOTH(outbox_take, m.message_id);
		return;
	case 1:
		expire_outbox();
		return;
	case 2:
		sweep_keys();
		return;
	case 3:
	case 4:
		BOTH(outbox_receipt, &m);
		return;
	case 5:
	case 6:
		update_outbox();
		return;
	default:
		put_outbox();
	}
}

static void
write_restored(void)
{
	const char *id = word("backup ", "", draw(3));

	if (draw(30) == 0)
		BOTH(restored, id);
	else if (draw(10) == 0)
		BOTH_PLAIN(restored_done);
}

static void (*const writes[])(void) = {write_record, write_record, write_record_flag,
    write_collection, write_macs, write_device, write_contact, write_contact, write_device_list,
    write_group, write_marks, write_base_key, write_token, write_pending, write_event, write_event,
    write_outbox, write_outbox, write_outbox, write_restored};

#endif
