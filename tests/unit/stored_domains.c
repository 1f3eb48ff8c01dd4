/* What each domain of stored promises: device record, people, device lists, outbox. */
#include "tests/unit/stored_rig.h"
#include "tests/unit/slow.h"

#include "stored/region.h"
#include "stored/retention.h"

/* ---------------------------------------------------------------- region */

static void
test_region(void **state)
{
	struct region *r = region_new(1000);
	char *p, *q;

	assert_non_null(p = region_alloc(r, 10));
	assert_int_equal(p[0] | p[9], 0);
	assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
	assert_non_null(q = region_copy(r, "abc", 3));
	assert_string_equal(q, "abc");
	assert_true(q >= p + 10 || q + 4 <= p);
	assert_non_null(region_copy(r, NULL, 0));
	assert_int_equal(region_failed(r), 0);
	assert_null(region_alloc(r, 2000));
	assert_int_equal(region_failed(r), 1);
	assert_null(region_copy(r, "x", SIZE_MAX));
	region_free(r);
	region_free(NULL);
	r = region_new(100000);
	assert_non_null(region_alloc(r, 50000)); /* bigger than a chunk */
	assert_null(region_alloc(r, 60000));
	region_free(r);
}

/* ---------------------------------------------------------------- device */

static const Stored__DeviceRecord *
device(struct rig *g, const char *account, struct rig_reply *r)
{
	Stored__DeviceLoad m = STORED__DEVICE_LOAD__INIT;

	m.account = rig_str(account);
	rig_ask(g, g->apid, STORED__TYPE__DEVICE_LOAD, &m.base, STORED__TYPE__DEVICE_RECORD,
	    &stored__device_record__descriptor, r);
	assert_true(r->ok);
	return (const Stored__DeviceRecord *)r->pb;
}

static void
put_device(struct rig *g, Stored__DeviceRecord *d)
{
	Stored__Write w = STORED__WRITE__INIT;

	w.device = d;
	rig_write(g, "a", &w, NULL);
}

static void
test_device_record(void **state)
{
	struct rig *g = rig_open(1);
	Stored__DeviceRecord d = STORED__DEVICE_RECORD__INIT;
	Stored__DeviceReset reset = STORED__DEVICE_RESET__INIT;
	Stored__DeviceListDrop drop = STORED__DEVICE_LIST_DROP__INIT;
	Stored__Write w = STORED__WRITE__INIT;
	const Stored__DeviceRecord *got;
	struct rig_reply r;
	uint8_t routing[3] = {1, 0, 3};

	got = device(g, "a", &r);
	assert_null(got->jid);
	assert_false(got->has_login_counter);
	rig_reply_clear(&r);

	d.jid = rig_str("4915112345:7@s.whatsapp.net");
	d.has_login_counter = 1;
	d.login_counter = -3;
	d.has_routing_info = 1;
	d.routing_info.data = routing;
	d.routing_info.len = 3;
	d.has_linked_ms = 1;
	d.linked_ms = 1790000000123;
	put_device(g, &d);
	/* what is not set stays */
	stored__device_record__init(&d);
	d.push_name = rig_str("Zoë");
	d.has_paused = 1;
	d.paused = 1;
	d.has_login_counter = 1;
	d.login_counter = 9;
	put_device(g, &d);
	got = device(g, "a", &r);
	assert_string_equal(got->jid, "4915112345:7@s.whatsapp.net");
	assert_string_equal(got->push_name, "Zoë");
	assert_int_equal(got->login_counter, 9);
	assert_true(got->has_paused && got->paused);
	assert_int_equal(got->linked_ms, 1790000000123);
	assert_int_equal(got->routing_info.len, 3);
	assert_memory_equal(got->routing_info.data, routing, 3);
	rig_reply_clear(&r);
	/* empty bytes = forget; false is a value */
	stored__device_record__init(&d);
	d.has_routing_info = 1;
	d.has_paused = 1;
	put_device(g, &d);
	rig_free(g);

	g = rig_open(1);
	got = device(g, "a", &r);
	assert_false(got->has_routing_info);
	assert_true(got->has_paused && !got->paused);
	assert_string_equal(got->push_name, "Zoë");
	rig_reply_clear(&r);
	w.device_reset = &reset;
	rig_write(g, "a", &w, NULL);
	got = device(g, "a", &r);
	assert_null(got->jid);
	assert_null(got->push_name);
	rig_reply_clear(&r);
	w.device_reset = NULL;
	drop.user = rig_str("nobody@lid");
	w.device_list_drop = &drop;
	rig_write(g, "a", &w, NULL); /* absent: success */
	rig_free(g);
}

/* ---------------------------------------------------------------- people */

#define ID(c) "u_" c c c c c c c c c c c c c c c c c c c c c c c c c c

static void
contact(struct rig *g, const char *id, const char *pn, const char *lid, const char *name)
{
	Stored__Contact c = STORED__CONTACT__INIT;
	Stored__Write w = STORED__WRITE__INIT;

	c.id = rig_str(id);
	c.pn = rig_str(pn);
	c.lid = rig_str(lid);
	c.push_name = rig_str(name);
	w.contact = &c;
	rig_write(g, "a", &w, NULL);
}

/* "id pn lid name" of who is found by this JID or id, "-" for what is absent. */
static void
who(struct rig *g, const char *jid, char *out, size_t len)
{
	Stored__Lookup m = STORED__LOOKUP__INIT;
	char *jids[1] = {rig_str(jid)};
	struct rig_reply r;
	Stored__Contact *c;

	m.account = rig_str("a");
	m.n_jids = 1;
	m.jids = jids;
	rig_ask(g, g->apid, STORED__TYPE__LOOKUP, &m.base, STORED__TYPE__LOOKUP_REPLY,
	    &stored__lookup_reply__descriptor, &r);
	assert_true(r.ok);
	c = ((Stored__LookupReply *)r.pb)->peers[0]->contact;
	if (c == NULL)
		snprintf(out, len, "nobody");
	else
		snprintf(out, len, "%c %s %s %s", c->id[2], c->pn != NULL ? c->pn : "-",
		    c->lid != NULL ? c->lid : "-", c->push_name != NULL ? c->push_name : "-");
	rig_reply_clear(&r);
}

static void
test_contacts(void **state)
{
	/* Each case: puts in order, then who is found. All in one account with distinct numbers. */
	static const struct {
		const char *why;
		struct {
			const char *id, *pn, *lid, *name;
		} puts[4];
		struct {
			const char *jid, *who;
		} finds[5];
	} cases[] = {
	    {"a number, then its LID under the same id",
		{{ID("a"), "100", NULL, "Ann"}, {ID("a"), "100", "900", NULL}},
		{{"100@s.whatsapp.net", "a 100 900 Ann"}, {"900@lid", "a 100 900 Ann"},
		    {ID("a"), "a 100 900 Ann"}, {"101@s.whatsapp.net", "nobody"}}},
	    {"two rows turn out to be one: the LID's stays, the other id is an alias",
		{{ID("b"), "110", NULL, "Bob"}, {ID("c"), NULL, "910", NULL},
		    {ID("c"), "110", "910", NULL}},
		{{"110@s.whatsapp.net", "c 110 910 Bob"}, {"910@lid", "c 110 910 Bob"},
		    {ID("b"), "c 110 910 Bob"}, {ID("c"), "c 110 910 Bob"}}},
	    {"the same, told under the number's id",
		{{ID("b"), "110", NULL, "Bob"}, {ID("c"), NULL, "910", "Rob"},
		    {ID("b"), "110", "910", NULL}},
		{{"110@s.whatsapp.net", "c 110 910 Rob"}, {ID("b"), "c 110 910 Rob"}}},
	    {"the same, under a third id that nobody had",
		{{ID("b"), "110", NULL, NULL}, {ID("c"), NULL, "910", NULL},
		    {ID("d"), "110", "910", "Bob"}},
		{{"910@lid", "c 110 910 Bob"}, {ID("b"), "c 110 910 Bob"},
		    {ID("d"), "c 110 910 Bob"}}},
	    {"a race: a second id for a known LID",
		{{ID("a"), NULL, "900", "Ann"}, {ID("b"), NULL, "900", NULL}},
		{{"900@lid", "a - 900 Ann"}, {ID("b"), "a - 900 Ann"}}},
	    {"a race: a second id for a known number",
		{{ID("a"), "100", NULL, "Ann"}, {ID("b"), "100", NULL, NULL}},
		{{"100@s.whatsapp.net", "a 100 - Ann"}, {ID("b"), "a 100 - Ann"}}},
	    {"a number changes hands: the new LID gets it, the old person stays",
		{{ID("a"), "100", "900", "Ann"}, {ID("b"), "100", "901", "Eve"}},
		{{"100@s.whatsapp.net", "b 100 901 Eve"}, {"900@lid", "a - 900 Ann"},
		    {ID("a"), "a - 900 Ann"}, {"901@lid", "b 100 901 Eve"}}},
	    {"a number moves between two known people",
		{{ID("a"), "100", "900", "Ann"}, {ID("b"), NULL, "901", "Eve"},
		    {ID("a"), "100", "901", NULL}},
		{{"100@s.whatsapp.net", "b 100 901 Eve"}, {"900@lid", "a - 900 Ann"},
		    {ID("a"), "a - 900 Ann"}}},
	    {"a person changes the number",
		{{ID("a"), "100", "900", "Ann"}, {ID("a"), "200", "900", NULL}},
		{{"200@s.whatsapp.net", "a 200 900 Ann"}, {"100@s.whatsapp.net", "nobody"}}},
	    {"aliases of an alias still find the person",
		{{ID("a"), "100", NULL, NULL}, {ID("b"), "100", NULL, NULL},
		    {ID("c"), NULL, "900", NULL}, {ID("c"), "100", "900", "Ann"}},
		{{ID("a"), "c 100 900 Ann"}, {ID("b"), "c 100 900 Ann"},
		    {ID("c"), "c 100 900 Ann"}}},
	    {"a put under an alias changes the person",
		{{ID("a"), NULL, "900", NULL}, {ID("b"), NULL, "900", NULL},
		    {ID("b"), NULL, NULL, "Ann"}},
		{{"900@lid", "a - 900 Ann"}}},
	};
	size_t i, k;
	char found[200];

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig *g = rig_open(1);

		for (k = 0; k < 4 && cases[i].puts[k].id != NULL; k++)
			contact(g, cases[i].puts[k].id, cases[i].puts[k].pn, cases[i].puts[k].lid,
			    cases[i].puts[k].name);
		for (k = 0; k < 5 && cases[i].finds[k].jid != NULL; k++) {
			who(g, cases[i].finds[k].jid, found, sizeof(found));
			if (strcmp(found, cases[i].finds[k].who) != 0)
				fail_msg("%s: %s is \"%s\", not \"%s\"", cases[i].why,
				    cases[i].finds[k].jid, found, cases[i].finds[k].who);
		}
		rig_free(g);
		rig_leave_folder();
		rig_enter_folder();
	}
}

static void
test_device_lists(void **state)
{
	struct rig *g = rig_open(1);
	Stored__DeviceList l = STORED__DEVICE_LIST__INIT;
	Stored__Device d0 = STORED__DEVICE__INIT, d1 = STORED__DEVICE__INIT,
		       *devices[2] = {&d0, &d1};
	Stored__Write w = STORED__WRITE__INIT;
	Stored__DeviceReset reset = STORED__DEVICE_RESET__INIT;
	Stored__Lookup m = STORED__LOOKUP__INIT;
	char *jids[5] = {rig_str("100@s.whatsapp.net"), rig_str("900@lid"), rig_str("77@lid"),
	    rig_str("12345@g.us"), rig_str("not a jid")};
	Stored__LookupReply *lr;
	struct rig_reply r;

	contact(g, ID("a"), "100", "900", "Ann");
	d1.id = 17;
	d1.has_key_index = 1;
	d1.key_index = 4;
	l.user = rig_str("100@s.whatsapp.net");
	l.n_devices = 2;
	l.devices = devices;
	l.phash = rig_str("2:abcd");
	l.has_raw_id = 1;
	l.raw_id = 77;
	w.device_list = &l;
	rig_write(g, "a", &w, NULL);
	l.user = rig_str("900@lid");
	l.n_devices = 1;
	rig_write(g, "a", &w, NULL);
	l.user = rig_str("77@lid"); /* no contact yet */
	rig_write(g, "a", &w, NULL);

	m.account = rig_str("a");
	m.n_jids = 5;
	m.jids = jids;
	rig_ask(g, g->apid, STORED__TYPE__LOOKUP, &m.base, STORED__TYPE__LOOKUP_REPLY,
	    &stored__lookup_reply__descriptor, &r);
	assert_true(r.ok);
	lr = (Stored__LookupReply *)r.pb;
	assert_int_equal(lr->n_peers, 5);
	assert_int_equal(lr->peers[0]->by_pn->n_devices, 2);
	assert_int_equal(lr->peers[0]->by_pn->devices[1]->id, 17);
	assert_int_equal(lr->peers[0]->by_pn->devices[1]->key_index, 4);
	assert_string_equal(lr->peers[0]->by_pn->phash, "2:abcd");
	assert_int_equal(lr->peers[0]->by_pn->raw_id, 77);
	assert_int_equal(lr->peers[0]->by_lid->n_devices, 1);
	assert_string_equal(lr->peers[1]->contact->pn, "100");
	assert_int_equal(lr->peers[1]->by_pn->n_devices, 2);
	assert_null(lr->peers[2]->contact);
	assert_int_equal(lr->peers[2]->by_lid->n_devices, 1);
	assert_null(lr->peers[3]->contact);
	assert_null(lr->peers[4]->contact);
	rig_reply_clear(&r);

	w.device_list = NULL;
	w.device_reset = &reset;
	rig_write(g, "a", &w, NULL);
	rig_ask(g, g->apid, STORED__TYPE__LOOKUP, &m.base, STORED__TYPE__LOOKUP_REPLY,
	    &stored__lookup_reply__descriptor, &r);
	lr = (Stored__LookupReply *)r.pb;
	assert_null(lr->peers[0]->by_pn);
	assert_non_null(lr->peers[0]->contact); /* people stay */
	rig_reply_clear(&r);
	rig_free(g);
}

/* ---------------------------------------------------------------- outbox */

static uint8_t hash[32] = {7};

static void
outbox_init(Stored__OutboxPut *p, const char *id, uint32_t uid, const char *key)
{
	stored__outbox_put__init(p);
	p->message_id = rig_str(id);
	p->chat = rig_str("100@s.whatsapp.net");
	p->uid = uid;
	p->idempotency_key = rig_str(key);
	p->params_hash.data = hash;
	p->params_hash.len = 32;
	p->content.data = (uint8_t *)rig_str("content");
	p->content.len = 7;
	p->state = STORED__OUTBOX_STATE__QUEUED;
	p->created_ms = 1790000000000;
}

static void
find(struct rig *g, const char *id, uint32_t uid, const char *key, struct rig_reply *r)
{
	Stored__OutboxFind m = STORED__OUTBOX_FIND__INIT;

	m.account = rig_str("a");
	m.message_id = rig_str(id);
	if (id == NULL) {
		m.has_uid = 1;
		m.uid = uid;
		m.idempotency_key = rig_str(key);
	}
	rig_ask(g, g->apid, STORED__TYPE__OUTBOX_FIND, &m.base, STORED__TYPE__OUTBOX_ROWS,
	    &stored__outbox_rows__descriptor, r);
	assert_true(r->ok);
}

static size_t
found(struct rig *g, const char *id, uint32_t uid, const char *key)
{
	struct rig_reply r;
	size_t n;

	find(g, id, uid, key, &r);
	n = ((Stored__OutboxRows *)r.pb)->n_rows;
	rig_reply_clear(&r);
	return n;
}

static const Stored__OutboxRows *
load(struct rig *g, uint64_t after, uint32_t limit, struct rig_reply *r)
{
	Stored__OutboxLoad m = STORED__OUTBOX_LOAD__INIT;

	m.account = rig_str("a");
	m.after_row = after;
	m.limit = limit;
	rig_ask(g, g->apid, STORED__TYPE__OUTBOX_LOAD, &m.base, STORED__TYPE__OUTBOX_ROWS,
	    &stored__outbox_rows__descriptor, r);
	assert_true(r->ok);
	return (const Stored__OutboxRows *)r->pb;
}

static void
test_outbox(void **state)
{
	struct rig *g = rig_open(1);
	Stored__OutboxPut p;
	Stored__OutboxUpdate u = STORED__OUTBOX_UPDATE__INIT;
	Stored__Write w = STORED__WRITE__INIT, w2 = STORED__WRITE__INIT, *both[2] = {&w2, &w};
	Stored__EventAppend e;
	const Stored__OutboxRows *rows;
	struct rig_reply r;
	uint64_t unit;

	outbox_init(&p, "M1", 1000, "k1");
	w.outbox_put = &p;
	rig_write(g, "a", &w, NULL);
	outbox_init(&p, "M2", 1001, "k1"); /* another user's key */
	p.has_not_after_ms = 1;
	p.not_after_ms = 99;
	rig_write(g, "a", &w, NULL);

	/* the same key of the same user: nothing of the unit happens, neither records nor events */
	outbox_init(&p, "M3", 1000, "k1");
	rig_event_init(&e, "{}", NULL);
	w2.event = &e;
	unit = rig_unit_next();
	rig_unit_open(g, "a", unit);
	rig_stage(g, "a", unit, "r", 1, "x");
	rig_commit_writes(g, "a", unit, 1, both, 2, &r);
	RIG_UNTIL(g, r.came && g->ndone == 1);
	assert_false(rig_result(&r)->committed);
	assert_true(rig_result(&r)->duplicate);
	assert_string_equal(rig_result(&r)->reason, "duplicate");
	assert_false(g->done[0].committed);
	rig_reply_clear(&r);
	assert_int_equal(rig_record(g, "a", "r", NULL, 0), 0);
	assert_int_equal(found(g, "M3", 0, NULL), 0);
	/* a message id that is taken is a mistake, not a repetition */
	outbox_init(&p, "M1", 1000, "k2");
	rig_write(g, "a", &w, "bad_request");

	/* the stanza becomes durable, then the ack */
	w.outbox_put = NULL;
	w.outbox_update = &u;
	u.message_id = rig_str("M1");
	u.has_state = 1;
	u.state = STORED__OUTBOX_STATE__READY;
	u.has_stanza = 1;
	u.stanza.data = (uint8_t *)rig_str("stanza");
	u.stanza.len = 6;
	rig_write(g, "a", &w, NULL);
	rows = load(g, 0, 10, &r);
	assert_int_equal(rows->n_rows, 2);
	assert_string_equal(rows->rows[0]->put->message_id, "M1");
	assert_int_equal(rows->rows[0]->put->state, STORED__OUTBOX_STATE__READY);
	assert_int_equal(rows->rows[0]->put->stanza.len, 6);
	assert_memory_equal(rows->rows[0]->put->content.data, "content", 7);
	assert_memory_equal(rows->rows[0]->put->params_hash.data, hash, 32);
	assert_false(rows->rows[0]->put->has_not_after_ms);
	assert_int_equal(rows->rows[1]->put->not_after_ms, 99);
	assert_false(rows->rows[1]->put->has_stanza);
	assert_true(rows->rows[1]->row > rows->rows[0]->row);
	rig_reply_clear(&r);
	rows = load(g, 0, 1, &r);
	assert_int_equal(rows->n_rows, 1);
	rig_reply_clear(&r);

	u.state = STORED__OUTBOX_STATE__FAILED;
	u.has_stanza = 0;
	u.has_code = 1;
	u.code = 479;
	u.reason = rig_str("refused");
	u.has_server_ms = 1;
	u.server_ms = 5;
	rig_write(g, "a", &w, NULL);
	rows = load(g, 0, 10, &r);
	assert_int_equal(rows->n_rows, 1);
	rig_reply_clear(&r);
	find(g, NULL, 1000, "k1", &r);
	rows = (Stored__OutboxRows *)r.pb;
	assert_int_equal(rows->n_rows, 1);
	assert_int_equal(rows->rows[0]->code, 479);
	assert_string_equal(rows->rows[0]->reason, "refused");
	assert_int_equal(rows->rows[0]->put->stanza.len, 6); /* stays */
	rig_reply_clear(&r);
	u.message_id = rig_str("unknown");
	rig_write(g, "a", &w, NULL); /* forgotten meanwhile: no error */
	rig_free(g);
}

static void
receipt(struct rig *g, const char *id, const char *party, const char *status)
{
	Stored__ReceiptMark m = STORED__RECEIPT_MARK__INIT;
	Stored__Write w = STORED__WRITE__INIT;

	m.message_id = rig_str(id);
	m.party = rig_str(party);
	m.status = rig_str(status);
	m.time_ms = 1;
	w.receipt = &m;
	rig_write(g, "a", &w, NULL);
}

static void
test_receipts(void **state)
{
	struct rig *g = rig_open(1);
	Stored__OutboxPut p;
	Stored__Write w = STORED__WRITE__INIT;
	Stored__OutboxRows *rows;
	struct rig_reply r;

	outbox_init(&p, "M1", 1, "k");
	w.outbox_put = &p;
	rig_write(g, "a", &w, NULL);
	receipt(g, "M1", "100@s.whatsapp.net", "delivered");
	receipt(g, "M1", "101@s.whatsapp.net", "read");
	receipt(g, "M1", "101@s.whatsapp.net", "delivered"); /* never sinks */
	receipt(g, "M1", "101@s.whatsapp.net", "read");
	receipt(g, "M1", "102@s.whatsapp.net", "played");
	receipt(g, "stranger", "100@s.whatsapp.net", "read"); /* not ours: nothing kept */
	find(g, "M1", 0, NULL, &r);
	rows = (Stored__OutboxRows *)r.pb;
	assert_int_equal(rows->rows[0]->delivered, 3);
	assert_int_equal(rows->rows[0]->read, 2);
	rig_reply_clear(&r);
	rig_free(g);
}

/* Keys are free after a week, finished rows go after two, what is to be sent stays. */
static void
test_outbox_expiry(void **state)
{
	struct rig *g = rig_open(1);
	Stored__OutboxPut p;
	Stored__OutboxUpdate u = STORED__OUTBOX_UPDATE__INIT;
	Stored__Write w = STORED__WRITE__INIT;
	int i;

	outbox_init(&p, "done", 1, "k1");
	w.outbox_put = &p;
	rig_write(g, "a", &w, NULL);
	outbox_init(&p, "waits", 1, "k2");
	rig_write(g, "a", &w, NULL);
	w.outbox_put = NULL;
	w.outbox_update = &u;
	u.message_id = rig_str("done");
	u.has_state = 1;
	u.state = STORED__OUTBOX_STATE__ACKED;
	rig_write(g, "a", &w, NULL);
	receipt(g, "done", "100@s.whatsapp.net", "read");

	rig_later(g, RETENTION_KEYS_MS - 60000);
	assert_int_equal(found(g, NULL, 1, "k1"), 1);
	for (i = 0; i < 8; i++)
		rig_later(g, 3700000);
	assert_int_equal(found(g, NULL, 1, "k1"), 0);
	assert_int_equal(found(g, "done", 0, NULL), 1); /* for those who ask again */
	/* the key may be used anew */
	outbox_init(&p, "again", 1, "k1");
	w.outbox_update = NULL;
	w.outbox_put = &p;
	rig_write(g, "a", &w, NULL);
	rig_later(g, rig_options.keep_sent_ms - RETENTION_KEYS_MS);
	for (i = 0; i < 8; i++)
		rig_later(g, 3700000);
	assert_int_equal(found(g, "done", 0, NULL), 0);
	assert_int_equal(found(g, "waits", 0, NULL), 1);
	assert_int_equal(found(g, "again", 0, NULL), 1);
	rig_free(g);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_region),
	    T(test_device_record),
	    T(test_contacts),
	    T(test_device_lists),
	    T(test_outbox),
	    T(test_receipts),
	    T(test_outbox_expiry),
	};

	alarm(120 * test_slow());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
