/* What stored promises of the own device, of people and of their devices. */
#include "tests/unit/stored_rig.h"
#include "tests/unit/slow.h"

#include "stored/region.h"

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
	stored__device_record__init(&d);
	d.app_version = rig_str("2.3000.1234567");
	d.has_app_version_ms = d.has_read_receipts_disabled = d.has_client_expires_ms = 1;
	d.app_version_ms = 5;
	d.props_hash = rig_str("hash");
	d.has_nct_salt = 1;
	d.nct_salt = rig_bytes("salt");
	d.read_receipts_disabled = 1;
	d.client_expires_version = rig_str("2.3000.1234567");
	d.client_expires_ms = 6;
	put_device(g, &d);
	got = device(g, "a", &r);
	assert_string_equal(got->app_version, "2.3000.1234567");
	assert_int_equal(got->app_version_ms, 5);
	assert_string_equal(got->props_hash, "hash");
	assert_memory_equal(got->nct_salt.data, "salt", 4);
	assert_true(got->read_receipts_disabled);
	assert_string_equal(got->client_expires_version, "2.3000.1234567");
	assert_int_equal(got->client_expires_ms, 6);
	assert_string_equal(got->push_name, "Zoë");
	rig_reply_clear(&r);
	stored__device_record__init(&d);
	d.has_nct_salt = 1; /* empty = forget */
	put_device(g, &d);
	got = device(g, "a", &r);
	assert_false(got->has_nct_salt);
	assert_string_equal(got->props_hash, "hash");
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

static const Stored__Contact *
contact_of(struct rig *g, const char *jid, struct rig_reply *r)
{
	Stored__Lookup m = STORED__LOOKUP__INIT;
	char *jids[1] = {rig_str(jid)};

	m.n_jids = 1;
	m.jids = jids;
	assert_non_null(rig_lookup(g, &m, r));
	return ((Stored__LookupReply *)r->pb)->peers[0]->contact;
}

/* When a contact came and when it changed; of two that are one, when the first came. */
static void
test_contact_times(void **state)
{
	struct rig *g = rig_open(1);
	const Stored__Contact *c;
	int64_t first, second;
	struct rig_reply r;

	contact(g, ID("a"), "100", NULL, "Ann");
	c = contact_of(g, "100@s.whatsapp.net", &r);
	first = c->created_ms;
	assert_true(first >= rig_wall() - 60000 && first <= rig_wall());
	assert_int_equal(c->changed_ms, first);
	rig_reply_clear(&r);
	rig_wall_shift += 5000;
	contact(g, ID("b"), NULL, "900", NULL);
	c = contact_of(g, "900@lid", &r);
	second = c->created_ms;
	assert_true(second >= first + 5000);
	rig_reply_clear(&r);
	rig_wall_shift += 5000;
	contact(g, ID("b"), "100", "900", NULL);
	c = contact_of(g, "900@lid", &r);
	assert_string_equal(c->id, ID("b"));
	assert_int_equal(c->created_ms, first);
	assert_true(c->changed_ms >= second + 5000);
	assert_string_equal(c->push_name, "Ann");
	rig_reply_clear(&r);
	rig_free(g);
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

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_region),
	    T(test_device_record),
	    T(test_contacts),
	    T(test_contact_times),
	    T(test_device_lists),
	};

	alarm(120 * test_slow());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
