/* What stored promises of walks through its tables. */
#include "tests/unit/stored_rig.h"
#include "tests/unit/slow.h"

static Stored__ScanReply *
scan(struct rig *g, Stored__Table table, const char *after, uint32_t limit, struct rig_reply *r)
{
	Stored__Scan m = STORED__SCAN__INIT;

	m.account = rig_str("a");
	m.table = table;
	m.after = rig_str(after);
	m.limit = limit;
	rig_ask(g, g->apid, STORED__TYPE__SCAN, &m.base, STORED__TYPE__SCAN_REPLY,
	    &stored__scan_reply__descriptor, r);
	return (Stored__ScanReply *)r->pb;
}

/* ---------------------------------------------------------------- filling */

static void
put_contact(struct rig *g, char c, const char *pn, const char *lid)
{
	Stored__Contact m = STORED__CONTACT__INIT;
	Stored__Write w = STORED__WRITE__INIT;
	char id[29] = "u_";

	memset(id + 2, c, 26);
	id[28] = '\0';
	m.id = id;
	m.pn = rig_str(pn);
	m.lid = rig_str(lid);
	w.contact = &m;
	rig_write(g, "a", &w, NULL);
}

static void
put_token(struct rig *g, const char *user, const char *token)
{
	Stored__Token t = STORED__TOKEN__INIT;
	Stored__Write w = STORED__WRITE__INIT;

	t.user = rig_str(user);
	t.token = rig_bytes(token);
	t.token_s = 7;
	w.token_put = &t;
	rig_write(g, "a", &w, NULL);
}

static void
put_group(struct rig *g, const char *jid, size_t len)
{
	Stored__GroupPut p = STORED__GROUP_PUT__INIT;
	Stored__Write w = STORED__WRITE__INIT;
	char *bytes = malloc(len + 1);

	memset(bytes, 'g', len);
	p.group = rig_str(jid);
	p.metadata = (ProtobufCBinaryData){len, (uint8_t *)bytes};
	w.group_put = &p;
	rig_write(g, "a", &w, NULL);
	free(bytes);
}

static void
delete_group(struct rig *g, const char *jid)
{
	Stored__Write w = STORED__WRITE__INIT;

	w.group_delete = rig_str(jid);
	rig_write(g, "a", &w, NULL);
}

/* ---------------------------------------------------------------- names */

/* The keys of the rows of an answer, each with a blank before it. */
static void
keys(const Stored__ScanReply *a, char *out, size_t len)
{
	size_t i;

#define KEYS(list, n, key)                                                                         \
	for (i = 0; i < a->n; i++)                                                                 \
	snprintf(out + strlen(out), len - strlen(out), " %s", a->list[i]->key)
	KEYS(contacts, n_contacts, id + 27);
	KEYS(device_lists, n_device_lists, user);
	KEYS(groups, n_groups, group);
	KEYS(collections, n_collections, name);
	KEYS(tokens, n_tokens, user);
	KEYS(pendings, n_pendings, name->id);
#undef KEYS
}

/* The whole table in steps of `limit`; gives the number of steps. */
static int
walk(struct rig *g, Stored__Table table, uint32_t limit, char *out, size_t len)
{
	char after[200];
	int steps = 0, more = 0;

	out[0] = '\0';
	do {
		struct rig_reply r;
		const Stored__ScanReply *a = scan(g, table, more ? after : NULL, limit, &r);

		assert_non_null(a);
		keys(a, out, len);
		steps++;
		more = a->next != NULL;
		if (more)
			snprintf(after, sizeof(after), "%s", a->next);
		rig_reply_clear(&r);
	} while (more && steps < 100);
	return steps;
}

static void
test_tables(void **state)
{
	static const struct {
		Stored__Table table;
		const char *rows;
	} cases[] = {
	    {STORED__TABLE__CONTACTS, " a b c"},
	    {STORED__TABLE__DEVICE_LISTS, " 1@lid 2@lid _@lid"},
	    {STORED__TABLE__GROUPS, " z@g.us a@g.us %@g.us"},
	    {STORED__TABLE__COLLECTIONS, " critical regular regular_low"},
	    {STORED__TABLE__TOKENS, " %@lid 1@lid 2@lid"},
	    {STORED__TABLE__PENDINGS, " M2 M1 M3"},
	};
	static const char *const lists[] = {"2@lid", "_@lid", "1@lid"};
	static const char *const names[] = {"regular_low", "critical", "regular"};
	static const char *const ids[] = {"M2", "M1", "M3"};
	struct rig *g = rig_open(1);
	Stored__SenderKeyDevice mark = STORED__SENDER_KEY_DEVICE__INIT, *marks[1] = {&mark};
	Stored__SenderKeyStatus sk = STORED__SENDER_KEY_STATUS__INIT;
	Stored__Device dev = STORED__DEVICE__INIT, *devs[1] = {&dev};
	Stored__Write w;
	Stored__ScanReply *a;
	uint8_t hash[128] = {5};
	struct rig_reply r;
	char out[400];
	size_t i, k;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(walk(g, cases[i].table, 10, out, sizeof(out)), 1);
		assert_string_equal(out, "");
	}
	put_contact(g, 'a', "100", NULL);
	put_contact(g, 'b', NULL, "900");
	put_contact(g, 'c', "200", "901");
	for (i = 0; i < 3; i++) {
		Stored__DeviceList l = STORED__DEVICE_LIST__INIT;
		Stored__CollectionPut c = STORED__COLLECTION_PUT__INIT;
		Stored__Pending p = STORED__PENDING__INIT;
		Stored__MessageName n = STORED__MESSAGE_NAME__INIT;

		stored__write__init(&w);
		dev.id = 17;
		l.user = rig_str(lists[i]);
		l.n_devices = 1;
		l.devices = devs;
		w.device_list = &l;
		rig_write(g, "a", &w, NULL);
		stored__write__init(&w);
		c.name = rig_str(names[i]);
		c.version = 3;
		c.hash = (ProtobufCBinaryData){128, hash};
		w.collection_put = &c;
		rig_write(g, "a", &w, NULL);
		stored__write__init(&w);
		n.chat = n.sender = rig_str("1@lid");
		n.id = rig_str(ids[i]);
		p.name = &n;
		p.stanza = rig_bytes("stanza");
		p.has_attempts = 1;
		p.attempts = 2;
		w.pending_put = &p;
		rig_write(g, "a", &w, NULL);
	}
	put_group(g, "z@g.us", 4);
	put_group(g, "a@g.us", 4);
	put_group(g, "%@g.us", 4);
	mark.device = rig_str("1:1@lid");
	sk.group = rig_str("only marks@g.us"); /* has no metadata: not in the table */
	sk.n_devices = 1;
	sk.devices = marks;
	stored__write__init(&w);
	w.sender_key_status = &sk;
	rig_write(g, "a", &w, NULL);
	put_token(g, "2@lid", "two");
	put_token(g, "1@lid", "one");
	put_token(g, "%@lid", "");

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (k = 1; k <= 4; k++) {
			int steps = walk(g, cases[i].table, (uint32_t)k, out, sizeof(out));

			if (strcmp(out, cases[i].rows) != 0 || steps != (int)(3 + k - 1) / (int)k)
				fail_msg("table %d by %zu: \"%s\" in %d steps", cases[i].table, k,
				    out, steps);
		}
	}
	/* whole rows, not only keys */
	assert_non_null(a = scan(g, STORED__TABLE__CONTACTS, NULL, 10, &r));
	assert_string_equal(a->contacts[2]->pn, "200");
	assert_string_equal(a->contacts[2]->lid, "901");
	assert_true(a->contacts[2]->has_created_ms && a->contacts[2]->has_changed_ms);
	rig_reply_clear(&r);
	assert_non_null(a = scan(g, STORED__TABLE__DEVICE_LISTS, NULL, 10, &r));
	assert_int_equal(a->device_lists[1]->devices[0]->id, 17);
	rig_reply_clear(&r);
	assert_non_null(a = scan(g, STORED__TABLE__GROUPS, NULL, 10, &r));
	assert_int_equal(a->groups[0]->metadata.len, 4);
	assert_int_equal(a->groups[0]->n_devices, 0);
	rig_reply_clear(&r);
	assert_non_null(a = scan(g, STORED__TABLE__COLLECTIONS, NULL, 10, &r));
	assert_int_equal(a->collections[0]->version, 3);
	assert_memory_equal(a->collections[0]->hash.data, hash, 128);
	rig_reply_clear(&r);
	assert_non_null(a = scan(g, STORED__TABLE__TOKENS, NULL, 10, &r));
	assert_int_equal(a->tokens[1]->token_s, 7);
	assert_memory_equal(a->tokens[1]->token.data, "one", 3);
	rig_reply_clear(&r);
	assert_non_null(a = scan(g, STORED__TABLE__PENDINGS, NULL, 10, &r));
	assert_string_equal(a->pendings[0]->name->chat, "1@lid");
	assert_memory_equal(a->pendings[0]->stanza.data, "stanza", 6);
	assert_int_equal(a->pendings[0]->attempts, 2);
	rig_reply_clear(&r);
	rig_free(g);
}

/* Rows that come, go and change between two steps. */
static void
test_while_rows_change(void **state)
{
	struct rig *g = rig_open(1);
	struct rig_reply r;
	const Stored__ScanReply *a;
	char after[200], out[100] = "";

	put_token(g, "b@lid", "1");
	put_token(g, "d@lid", "1");
	put_token(g, "f@lid", "1");
	put_group(g, "1@g.us", 1);
	put_group(g, "2@g.us", 1);
	put_group(g, "3@g.us", 1);
	put_contact(g, 'a', "100", NULL);
	put_contact(g, 'b', NULL, "900");
	put_contact(g, 'c', NULL, "901");

	assert_non_null(a = scan(g, STORED__TABLE__TOKENS, NULL, 1, &r));
	snprintf(after, sizeof(after), "%s", a->next);
	rig_reply_clear(&r);
	put_token(g, "a@lid", "before");
	put_token(g, "e@lid", "behind");
	put_token(g, "f@lid", "changed");
	assert_non_null(a = scan(g, STORED__TABLE__TOKENS, after, 10, &r));
	keys(a, out, sizeof(out));
	assert_string_equal(out, " d@lid e@lid f@lid");
	assert_memory_equal(a->tokens[2]->token.data, "changed", 7);
	assert_null(a->next);
	rig_reply_clear(&r);

	/* the row that it goes on from is gone, another came */
	assert_non_null(a = scan(g, STORED__TABLE__GROUPS, NULL, 2, &r));
	snprintf(after, sizeof(after), "%s", a->next);
	rig_reply_clear(&r);
	delete_group(g, "2@g.us");
	put_group(g, "4@g.us", 1);
	put_group(g, "1@g.us", 9); /* a change does not bring it again */
	assert_non_null(a = scan(g, STORED__TABLE__GROUPS, after, 10, &r));
	out[0] = '\0';
	keys(a, out, sizeof(out));
	assert_string_equal(out, " 3@g.us 4@g.us");
	rig_reply_clear(&r);

	/* two that turn out to be one person */
	assert_non_null(a = scan(g, STORED__TABLE__CONTACTS, NULL, 1, &r));
	snprintf(after, sizeof(after), "%s", a->next);
	rig_reply_clear(&r);
	put_contact(g, 'b', "100", "900");
	assert_non_null(a = scan(g, STORED__TABLE__CONTACTS, after, 10, &r));
	out[0] = '\0';
	keys(a, out, sizeof(out));
	assert_string_equal(out, " b c");
	assert_string_equal(a->contacts[0]->pn, "100");
	rig_reply_clear(&r);
	rig_free(g);
}

/* An answer stops at about a MiB, and always brings something. */
static void
test_bytes(void **state)
{
	struct rig *g = rig_open(1);
	struct rig_reply r;
	const Stored__ScanReply *a;
	char name[20], out[400];
	int i;

	for (i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "%d@g.us", i);
		put_group(g, name, 500000);
	}
	assert_non_null(a = scan(g, STORED__TABLE__GROUPS, NULL, 1000, &r));
	assert_int_equal(a->n_groups, 2);
	assert_non_null(a->next);
	rig_reply_clear(&r);
	assert_int_equal(walk(g, STORED__TABLE__GROUPS, 1000, out, sizeof(out)), 3);
	assert_string_equal(out, " 0@g.us 1@g.us 2@g.us 3@g.us 4@g.us");
	rig_free(g);
}

static void
test_bounds(void **state)
{
	static const struct {
		Stored__Table table;
		const char *after;
		uint32_t limit;
	} bad[] = {
	    {STORED__TABLE__CONTACTS, NULL, 0},
	    {STORED__TABLE__CONTACTS, NULL, 1001},
	    {0, NULL, 10},
	    {7, NULL, 10},
	    /* no answer ever said so */
	    {STORED__TABLE__CONTACTS, "", 10},
	    {STORED__TABLE__GROUPS, "-1", 10},
	    {STORED__TABLE__PENDINGS, "1x", 10},
	    {STORED__TABLE__PENDINGS, "99999999999999999999", 10},
	};
	struct rig *g = rig_open(1);
	char after[300];
	struct rig_reply r;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (scan(g, bad[i].table, bad[i].after, bad[i].limit, &r) != NULL)
			fail_msg("case %zu was answered", i);
		assert_string_equal(r.code, "bad_request");
	}
	memset(after, 'x', 299);
	after[257] = '\0';
	assert_null(scan(g, STORED__TABLE__TOKENS, after, 10, &r));
	assert_string_equal(r.code, "bad_request");
	assert_non_null(scan(g, STORED__TABLE__GROUPS, "9223372036854775799", 10, &r));
	rig_reply_clear(&r);
	assert_int_equal(g->lost, 0);
	rig_free(g);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_tables),
	    T(test_while_rows_change),
	    T(test_bytes),
	    T(test_bounds),
	};

	alarm(120 * test_slow());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
