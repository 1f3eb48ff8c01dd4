/* What stored promises of retries, tokens and stanzas that are being dealt with; and what goes by
 * its age or with the device. */
#include "tests/unit/stored_rig.h"
#include "tests/unit/slow.h"

#include "stored/retention.h"

#define NONE (-1)

/* ---------------------------------------------------------------- base keys */

static void
base_key_init(Stored__BaseKey *k, Stored__BaseKeyName *n, const char *address, const char *id,
    const char *key)
{
	stored__base_key__init(k);
	stored__base_key_name__init(n);
	n->address = rig_str(address);
	n->message_id = rig_str(id);
	k->name = n;
	k->key = rig_bytes(key);
}

#define KEY_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void
base_key(struct rig *g, const char *address, const char *id, const char *key, const char *reason)
{
	Stored__BaseKey k;
	Stored__BaseKeyName n;
	Stored__Write w = STORED__WRITE__INIT;

	base_key_init(&k, &n, address, id, key);
	w.base_key_put = &k;
	rig_write(g, "a", &w, reason);
}

static int
same(struct rig *g, const char *address, const char *id, const char *key)
{
	Stored__BaseKey k, *list[1] = {&k};
	Stored__BaseKeyName n;
	Stored__Lookup m = STORED__LOOKUP__INIT;
	const Stored__LookupReply *got;
	struct rig_reply r;
	int is;

	base_key_init(&k, &n, address, id, key);
	m.n_base_keys = 1;
	m.base_keys = list;
	assert_non_null(got = rig_lookup(g, &m, &r));
	assert_int_equal(got->n_same_base_key, 1);
	is = got->same_base_key[0];
	rig_reply_clear(&r);
	return is;
}

static void
test_base_keys(void **state)
{
	struct rig *g = rig_open(1);
	Stored__BaseKeyName n = STORED__BASE_KEY_NAME__INIT;
	Stored__Write w = STORED__WRITE__INIT;

	assert_int_equal(same(g, "100:1", "M1", KEY_A), 0);
	base_key(g, "100:1", "M1", KEY_A, NULL);
	assert_int_equal(same(g, "100:1", "M1", KEY_A), 1);
	assert_int_equal(same(g, "100:1", "M1", KEY_B), 0);
	assert_int_equal(same(g, "100:1", "M_", KEY_A), 0);
	assert_int_equal(same(g, "100_1", "M1", KEY_A), 0);
	base_key(g, "100:1", "M1", KEY_B, NULL); /* replaced */
	assert_int_equal(same(g, "100:1", "M1", KEY_A), 0);
	assert_int_equal(same(g, "100:1", "M1", KEY_B), 1);
	base_key(g, "100:1", "M2", KEY_A, NULL);
	base_key(g, "100:1", "M3", "short", "bad_request");
	base_key(g, "", "M3", KEY_A, "bad_request");
	rig_free(g);
	g = rig_open(1);
	n.address = rig_str("100:1");
	n.message_id = rig_str("M1");
	w.base_key_delete = &n;
	rig_write(g, "a", &w, NULL);
	rig_write(g, "a", &w, NULL); /* absent: success */
	assert_int_equal(same(g, "100:1", "M1", KEY_B), 0);
	assert_int_equal(same(g, "100:1", "M2", KEY_A), 1);
	rig_free(g);
}

/* ---------------------------------------------------------------- tokens */

enum token_op {
	END,
	PUT,
	RECEIVED,
	TOUCH,
	DELETE
};
struct token_step {
	enum token_op op;
	const char *token;
	int64_t token_s, sender_s; /* of a TOUCH: sender_s; NONE = not said */
};

static void
token_step(struct rig *g, const char *user, const struct token_step *s, const char *reason)
{
	Stored__Token t = STORED__TOKEN__INIT;
	Stored__TokenReceived tr = STORED__TOKEN_RECEIVED__INIT;
	Stored__TokenTouch tt = STORED__TOKEN_TOUCH__INIT;
	Stored__Write w = STORED__WRITE__INIT;

	switch (s->op) {
	case PUT:
		t.user = rig_str(user);
		t.token = rig_bytes(s->token);
		t.token_s = s->token_s;
		t.has_sender_s = s->sender_s != NONE;
		t.sender_s = s->sender_s;
		w.token_put = &t;
		break;
	case RECEIVED:
		tr.user = rig_str(user);
		tr.token = rig_bytes(s->token);
		tr.token_s = s->token_s;
		w.token_received = &tr;
		break;
	case TOUCH:
		tt.user = rig_str(user);
		tt.sender_s = s->sender_s;
		w.token_touch = &tt;
		break;
	default:
		w.token_delete = rig_str(user);
	}
	rig_write(g, "a", &w, reason);
}

/* "token token_s sender_s", '-' for what is absent. */
static const char *
token(struct rig *g, const char *user)
{
	static char text[320];
	Stored__Lookup m = STORED__LOOKUP__INIT;
	char *users[1] = {rig_str(user)}, sender[24] = "-";
	const Stored__Token *t;
	struct rig_reply r;

	m.n_tokens = 1;
	m.tokens = users;
	assert_non_null(rig_lookup(g, &m, &r));
	t = ((Stored__LookupReply *)r.pb)->tokens[0];
	assert_string_equal(t->user, user);
	if (t->has_sender_s)
		snprintf(sender, sizeof(sender), "%lld", (long long)t->sender_s);
	snprintf(text, sizeof(text), "%.*s %lld %s", t->token.len > 0 ? (int)t->token.len : 1,
	    t->token.len > 0 ? (const char *)t->token.data : "-", (long long)t->token_s, sender);
	rig_reply_clear(&r);
	return text;
}

static void
test_token_merge(void **state)
{
	static const struct {
		struct token_step steps[4];
		const char *want;
	} cases[] = {
	    {{{END, NULL, 0, 0}}, "- 0 -"},
	    /* received: the newer wins in both orders, the same time replaces */
	    {{{RECEIVED, "old", 10, 0}, {RECEIVED, "new", 20, 0}}, "new 20 -"},
	    {{{RECEIVED, "new", 20, 0}, {RECEIVED, "old", 10, 0}}, "new 20 -"},
	    {{{RECEIVED, "one", 20, 0}, {RECEIVED, "two", 20, 0}}, "two 20 -"},
	    /* an empty one stands no matter how late it is, and its sender's time is kept */
	    {{{TOUCH, NULL, 0, 50}, {RECEIVED, "old", 10, 0}}, "old 10 50"},
	    {{{RECEIVED, "old", 10, 0}, {TOUCH, NULL, 0, 50}}, "old 10 50"},
	    {{{RECEIVED, "a", 10, 0}, {TOUCH, NULL, 0, 50}, {RECEIVED, "b", 60, 0}}, "b 60 50"},
	    /* touch: the later, and a placeholder if there is nothing */
	    {{{TOUCH, NULL, 0, 50}}, "- 50 50"},
	    {{{TOUCH, NULL, 0, 50}, {TOUCH, NULL, 0, 40}}, "- 50 50"},
	    {{{TOUCH, NULL, 0, 40}, {TOUCH, NULL, 0, 50}}, "- 40 50"},
	    {{{PUT, "t", 5, NONE}, {TOUCH, NULL, 0, 0}}, "t 5 0"},
	    {{{PUT, "t", 5, 70}, {TOUCH, NULL, 0, 60}}, "t 5 70"},
	    /* put replaces all */
	    {{{RECEIVED, "new", 20, 0}, {TOUCH, NULL, 0, 9}, {PUT, "x", 1, NONE}}, "x 1 -"},
	    {{{PUT, "x", 1, 2}, {PUT, "", 3, NONE}}, "- 3 -"},
	    {{{PUT, "x", 1, 2}, {DELETE, NULL, 0, 0}}, "- 0 -"},
	    {{{DELETE, NULL, 0, 0}, {TOUCH, NULL, 0, 1}}, "- 1 1"},
	};
	struct rig *g = rig_open(1);
	char user[20];
	size_t i, k;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(user, sizeof(user), "%zu%%_@lid", i);
		for (k = 0; k < 4 && cases[i].steps[k].op != END; k++)
			token_step(g, user, &cases[i].steps[k], NULL);
		if (strcmp(token(g, user), cases[i].want) != 0)
			fail_msg("case %zu: \"%s\", not \"%s\"", i, token(g, user), cases[i].want);
	}
	rig_free(g);
}

static void
test_token_bounds(void **state)
{
	static char long_one[258];
	const struct token_step bad[] = {
	    {PUT, long_one, 1, NONE},
	    {PUT, "t", -1, NONE},
	    {PUT, "t", 1, -2},
	    {RECEIVED, long_one, 1, 0},
	    {RECEIVED, "", 1, 0},
	    {RECEIVED, "t", -1, 0},
	    {TOUCH, NULL, 0, -1},
	};
	struct token_step good = {PUT, long_one + 1, 1, NONE};
	struct rig *g = rig_open(1);
	size_t i;

	memset(long_one, 't', 257);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		token_step(g, "1@lid", &bad[i], "bad_request");
	token_step(g, "1@lid", &good, NULL);
	token_step(g, "", &good, "bad_request");
	rig_free(g);
}

/* Only what is old on both sides goes; the unit is told how many. */
static void
test_token_expire(void **state)
{
	static const struct {
		struct token_step step;
		int stays; /* with cutoffs 100 and 200 */
	} rows[] = {
	    {{PUT, "t", 99, NONE}, 0},
	    {{PUT, "t", 100, NONE}, 1},
	    {{PUT, "t", 99, 199}, 0},
	    {{PUT, "t", 99, 200}, 1},
	    {{PUT, "", 999, NONE}, 0},
	    {{PUT, "", 999, 199}, 0},
	    {{PUT, "", 999, 200}, 1},
	    {{PUT, "t", 999, NONE}, 1},
	};
	struct rig *g = rig_open(1);
	Stored__TokenExpire e = STORED__TOKEN_EXPIRE__INIT;
	Stored__Write w = STORED__WRITE__INIT, w2 = STORED__WRITE__INIT, *list[2] = {&w, &w2};
	struct rig_reply r;
	uint64_t unit;
	char user[20];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(user, sizeof(user), "%zu@lid", i);
		token_step(g, user, &rows[i].step, NULL);
	}
	e.token_cutoff_s = 100;
	e.sender_cutoff_s = 200;
	w.token_expire = &e;
	w2.sent_take = rig_str("nobody's"); /* and it all comes back */
	rig_writes(g, "a", list, 2, "absent");
	assert_string_equal(token(g, "0@lid"), "t 99 -");
	w2.sent_take = NULL;
	w2.token_expire = &e; /* the second finds nothing more */
	unit = rig_unit_next();
	rig_unit_open(g, "a", unit);
	rig_commit_writes(g, "a", unit, 0, list, 2, &r);
	RIG_UNTIL(g, r.came);
	assert_true(rig_result(&r)->committed && rig_result(&r)->has_expired);
	assert_int_equal(rig_result(&r)->expired, 4);
	rig_reply_clear(&r);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(user, sizeof(user), "%zu@lid", i);
		if ((strcmp(token(g, user), "- 0 -") != 0) != rows[i].stays)
			fail_msg("row %zu: %s", i, token(g, user));
	}
	rig_free(g);
}

/* ---------------------------------------------------------------- pending stanzas */

static void
name_init(Stored__MessageName *n, const char *chat, const char *sender, const char *id)
{
	stored__message_name__init(n);
	n->chat = rig_str(chat);
	n->sender = rig_str(sender);
	n->id = rig_str(id);
}

static void
pending(struct rig *g, const char *id, const char *stanza, int attempts)
{
	Stored__Pending p = STORED__PENDING__INIT;
	Stored__MessageName n;
	Stored__Write w = STORED__WRITE__INIT;

	name_init(&n, "1@g.us", "2@lid", id);
	p.name = &n;
	p.stanza = rig_bytes(stanza);
	p.has_attempts = attempts != NONE;
	p.attempts = (uint32_t)attempts;
	w.pending_put = &p;
	rig_write(g, "a", &w, NULL);
}

/* "stanza attempts" */
static const char *
pending_of(struct rig *g, const char *sender, const char *id)
{
	static char text[100];
	Stored__Lookup m = STORED__LOOKUP__INIT;
	Stored__MessageName n, *names[1] = {&n};
	const Stored__Pending *p;
	struct rig_reply r;

	name_init(&n, "1@g.us", sender, id);
	m.n_pending = 1;
	m.pending = names;
	assert_non_null(rig_lookup(g, &m, &r));
	p = ((Stored__LookupReply *)r.pb)->pending[0];
	assert_string_equal(p->name->id, id);
	assert_string_equal(p->name->sender, sender);
	snprintf(text, sizeof(text), "%.*s %d", (int)p->stanza.len, (const char *)p->stanza.data,
	    p->has_attempts ? (int)p->attempts : NONE);
	rig_reply_clear(&r);
	return text;
}

static void
test_pending(void **state)
{
	struct rig *g = rig_open(1);
	Stored__MessageName n;
	Stored__Write w = STORED__WRITE__INIT;

	assert_string_equal(pending_of(g, "2@lid", "M1"), " -1");
	pending(g, "M1", "one", NONE);
	pending(g, "M_", "two", 0);
	assert_string_equal(pending_of(g, "2@lid", "M1"), "one -1");
	assert_string_equal(pending_of(g, "_@lid", "M1"), " -1");
	pending(g, "M1", "again", 3);
	assert_string_equal(pending_of(g, "2@lid", "M1"), "again 3");
	rig_free(g);
	g = rig_open(1);
	name_init(&n, "1@g.us", "2@lid", "M_");
	w.pending_delete = &n;
	rig_write(g, "a", &w, NULL);
	rig_write(g, "a", &w, NULL); /* absent: success */
	assert_string_equal(pending_of(g, "2@lid", "M_"), " -1");
	assert_string_equal(pending_of(g, "2@lid", "M1"), "again 3");
	rig_free(g);
}

/* Many stanzas, and more than one answer may carry. */
static void
test_pending_bounds(void **state)
{
	struct rig *g = rig_open(1);
	Stored__Pending p = STORED__PENDING__INIT;
	Stored__MessageName n, *names[65];
	Stored__Write w = STORED__WRITE__INIT;
	Stored__Lookup m = STORED__LOOKUP__INIT;
	const Stored__LookupReply *got;
	char *big = malloc(1048577);
	struct rig_reply r;
	size_t i;

	memset(big, 's', 1048577);
	name_init(&n, "1@g.us", "2@lid", "M");
	p.name = &n;
	w.pending_put = &p;
	p.stanza = (ProtobufCBinaryData){0, NULL};
	rig_write(g, "a", &w, "bad_request");
	p.stanza = (ProtobufCBinaryData){1048577, (uint8_t *)big};
	rig_write(g, "a", &w, "bad_request");
	p.stanza.len = 1048576;
	rig_write(g, "a", &w, NULL);
	for (i = 0; i < 65; i++)
		names[i] = &n;
	m.pending = names;
	m.n_pending = 4;
	assert_non_null(got = rig_lookup(g, &m, &r));
	assert_int_equal(got->pending[3]->stanza.len, 1048576);
	rig_reply_clear(&r);
	m.n_pending = 5; /* more than 4 MiB */
	assert_null(rig_lookup(g, &m, &r));
	assert_string_equal(r.code, "bad_request");
	n.id = rig_str("absent");
	m.n_pending = 65;
	assert_null(rig_lookup(g, &m, &r));
	assert_string_equal(r.code, "bad_request");
	m.n_pending = 64;
	assert_non_null(rig_lookup(g, &m, &r));
	rig_reply_clear(&r);
	assert_int_equal(g->lost, 0);
	free(big);
	rig_free(g);
}

/* ---------------------------------------------------------------- age */

static void
device_list(struct rig *g, const char *user)
{
	Stored__DeviceList l = STORED__DEVICE_LIST__INIT;
	Stored__Write w = STORED__WRITE__INIT;

	l.user = rig_str(user);
	w.device_list = &l;
	rig_write(g, "a", &w, NULL);
}

static int
has_list(struct rig *g, const char *user)
{
	Stored__Lookup m = STORED__LOOKUP__INIT;
	char *users[1] = {rig_str(user)};
	struct rig_reply r;
	int has;

	m.n_jids = 1;
	m.jids = users;
	assert_non_null(rig_lookup(g, &m, &r));
	has = ((Stored__LookupReply *)r.pb)->peers[0]->by_lid != NULL;
	rig_reply_clear(&r);
	return has;
}

/* A sweep of everything and the steps that it may need. */
static void
sweep(struct rig *g)
{
	int i;

	rig_later(g, 3700000);
	for (i = 0; i < 4; i++)
		rig_later(g, 1000);
}

#define DAY 86400000LL

static void
test_expiry(void **state)
{
	struct rig *g = rig_open(1);
	char id[16];
	int i;

	event_del(g->s->tick); /* only by hand */
	base_key(g, "100:1", "M1", KEY_A, NULL);
	device_list(g, "1@lid");
	device_list(g, "2@lid");
	for (i = 0; i < 40; i++) { /* more than one step of those that may be large */
		snprintf(id, sizeof(id), "M%d", i);
		pending(g, id, "stanza", 0);
	}
	rig_later(g, 7 * DAY - 2 * 3700000);
	sweep(g);
	assert_string_equal(pending_of(g, "2@lid", "M0"), "stanza 0");
	pending(g, "M0", "tried again", 1); /* keeps its age */
	pending(g, "new", "stanza", 0);
	base_key(g, "100:1", "M2", KEY_A, NULL);
	sweep(g);
	for (i = 0; i < 40; i++) {
		snprintf(id, sizeof(id), "M%d", i);
		assert_string_equal(pending_of(g, "2@lid", id), " -1");
	}
	assert_string_equal(pending_of(g, "2@lid", "new"), "stanza 0");

	rig_later(g, 7 * DAY - 2 * 3700000);
	assert_int_equal(same(g, "100:1", "M1", KEY_A), 1);
	sweep(g);
	sweep(g);
	assert_int_equal(same(g, "100:1", "M1", KEY_A), 0);
	assert_int_equal(same(g, "100:1", "M2", KEY_A), 1);

	device_list(g, "2@lid"); /* renewed */
	rig_later(g, RETENTION_LISTS_MS - 14 * DAY - 3700000);
	assert_int_equal(has_list(g, "1@lid"), 1);
	sweep(g);
	sweep(g);
	assert_int_equal(has_list(g, "1@lid"), 0);
	assert_int_equal(has_list(g, "2@lid"), 1);
	rig_free(g);
}

/* A clock that leaps is not believed: nothing goes. */
static void
test_expiry_held(void **state)
{
	struct rig *g = rig_open(1);
	int i;

	event_del(g->s->tick); /* only by hand */
	pending(g, "M1", "stanza", 0);
	base_key(g, "100:1", "M1", KEY_A, NULL);
	rig_later(g, 1000);
	rig_wall_shift += 3650 * DAY;
	for (i = 0; i < 3; i++)
		sweep(g);
	assert_true(g->s->clock.held);
	assert_string_equal(pending_of(g, "2@lid", "M1"), "stanza 0");
	assert_int_equal(same(g, "100:1", "M1", KEY_A), 1);
	rig_free(g);
}

/* ---------------------------------------------------------------- the device's end */

static void
test_reset(void **state)
{
	static const struct token_step step = {PUT, "t", 1, NONE};
	struct rig *g = rig_open(1);
	Stored__DeviceReset reset = STORED__DEVICE_RESET__INIT;
	Stored__DeviceRecord d = STORED__DEVICE_RECORD__INIT;
	Stored__Contact c = STORED__CONTACT__INIT;
	Stored__GroupPut gp = STORED__GROUP_PUT__INIT;
	Stored__SenderKeyDevice mark = STORED__SENDER_KEY_DEVICE__INIT, *marks[1] = {&mark};
	Stored__SenderKeyStatus sk = STORED__SENDER_KEY_STATUS__INIT;
	Stored__CollectionPut cp = STORED__COLLECTION_PUT__INIT;
	Stored__Mac mac = STORED__MAC__INIT, *macs[1] = {&mac};
	Stored__MacsPut mp = STORED__MACS_PUT__INIT;
	Stored__Write w[8], *list[8];
	uint8_t zeros[128] = {0};
	Stored__Lookup m = STORED__LOOKUP__INIT;
	Stored__MacsOf of = STORED__MACS_OF__INIT, *ofs[1] = {&of};
	char *jids[1] = {rig_str("1@lid")}, *groups[1] = {rig_str("g@g.us")},
	     *names[1] = {rig_str("regular")};
	ProtobufCBinaryData index = {32, zeros};
	const Stored__LookupReply *got;
	struct rig_reply r;
	size_t i;

	for (i = 0; i < 8; i++) {
		stored__write__init(&w[i]);
		list[i] = &w[i];
	}
	d.push_name = rig_str("W");
	w[0].device = &d;
	c.id = rig_str("u_aaaaaaaaaaaaaaaaaaaaaaaaaa");
	c.lid = rig_str("1");
	w[1].contact = &c;
	gp.group = sk.group = groups[0];
	gp.metadata = rig_bytes("meta");
	w[2].group_put = &gp;
	mark.device = rig_str("1:1@lid");
	mark.has_key = 1;
	sk.n_devices = 1;
	sk.devices = marks;
	w[3].sender_key_status = &sk;
	cp.name = mp.collection = of.collection = names[0];
	cp.version = 4;
	cp.hash = (ProtobufCBinaryData){128, zeros};
	w[4].collection_put = &cp;
	mac.index = mac.value = index;
	mp.n_macs = 1;
	mp.macs = macs;
	w[5].macs_put = &mp;
	rig_writes(g, "a", list, 6, NULL);
	device_list(g, "1@lid");
	pending(g, "M1", "stanza", 0);
	base_key(g, "100:1", "M1", KEY_A, NULL);
	token_step(g, "1@lid", &step, NULL);
	rig_event(g, "a", "{}", NULL);

	stored__write__init(&w[0]);
	w[0].device_reset = &reset;
	rig_write(g, "a", &w[0], NULL);
	of.n_indexes = 1;
	of.indexes = &index;
	m.n_jids = m.n_groups = m.n_collections = m.n_macs = 1;
	m.jids = jids;
	m.groups = groups;
	m.collections = names;
	m.macs = ofs;
	assert_non_null(got = rig_lookup(g, &m, &r));
	assert_non_null(got->peers[0]->contact); /* people stay, and the log */
	assert_null(got->peers[0]->by_lid);
	assert_false(got->groups[0]->has_metadata);
	assert_int_equal(got->groups[0]->n_devices, 0);
	assert_int_equal(got->collections[0]->version, 0);
	assert_int_equal(got->macs[0]->values[0].len, 0);
	rig_reply_clear(&r);
	assert_string_equal(pending_of(g, "2@lid", "M1"), " -1");
	assert_int_equal(same(g, "100:1", "M1", KEY_A), 0);
	assert_string_equal(token(g, "1@lid"), "- 0 -");
	assert_int_equal(rig_events(g, 0, 10, "a", &r)->n_events, 1);
	rig_reply_clear(&r);
	rig_free(g);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_base_keys),
	    T(test_token_merge),
	    T(test_token_bounds),
	    T(test_token_expire),
	    T(test_pending),
	    T(test_pending_bounds),
	    T(test_expiry),
	    T(test_expiry_held),
	    T(test_reset),
	};

	alarm(120 * test_slow());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
