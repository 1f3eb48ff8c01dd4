/* Trusted-contact tokens: when they expire, with what they go, when ours is given, and those that
 * come; and the salt out of an inline history. */
#include "tests/unit/apid_engine_rig.h"

#include <zlib.h>

#include "apid/message/history_salt.h"
#include "apid/message/tctoken.h"
#include "apid/session/props.h"

#define WEEK INT64_C(604800)

static int64_t
now(void)
{
	return account_server_time(rig.a);
}

static struct person
bob(void)
{
	struct person p = {.pn = "15550002222", .lid = "100000000000002"};

	return p;
}

static void
hex(const uint8_t *p, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", p[i]);
}

/* ------------------------------------------------------------------ rules */

/* Computed with Python's hmac: the salt is 00 01 … 1f. */
static void
cstoken(void **state)
{
	uint8_t salt[32], out[32];
	char text[65];

	for (size_t i = 0; i < sizeof(salt); i++)
		salt[i] = (uint8_t)i;
	tctoken_cstoken(salt, sizeof(salt), "100000000000002", out);
	hex(out, sizeof(out), text);
	assert_string_equal(
	    text, "5ea49d818de8d8e4d0cfac2e2f9adbe81aea56000658b6adc44af663147106f3");
}

/* Page 04, 9.8: the bucket of now and the three before it. */
static void
expiry(void **state)
{
	static const struct {
		const char *props;
		int64_t theirs, nt, ours, no; /* length and number of buckets */
	} rows[] = {
	    {NULL, WEEK, 4, WEEK, 4}, {"1 865=86400 909=2", 86400, 2, WEEK, 4},
	    {"1 996=3600 997=1", WEEK, 4, 3600, 1}, {"1 865=0 909=0 996=0 997=0", 1, 1, 1, 1},
	    {"1 865=99999999 909=9 996=15552000 997=9", 15552000, 1, 15552000, 1},
	    {"1 909=1000 997=9007199254740992", WEEK, 25, WEEK, 25}, /* 180 days at most */
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t t = now();

		props_restore(rig.a, rows[i].props, "h");
		assert_int_equal(tctoken_cutoff_s(rig.a, TCTOKEN_THEIRS),
		    (t / rows[i].theirs - (rows[i].nt - 1)) * rows[i].theirs);
		assert_int_equal(tctoken_cutoff_s(rig.a, TCTOKEN_OURS),
		    (t / rows[i].ours - (rows[i].no - 1)) * rows[i].ours);
		assert_int_equal(tctoken_bucket(rig.a, TCTOKEN_OURS, t), t / rows[i].ours);
	}
}

static void
for_whom(void **state)
{
	static const struct {
		const char *jid;
		int is;
	} rows[] = {{RIG_BOB_PN, 1}, {RIG_BOB_LID, 1}, {"15551234567@s.whatsapp.net", 0},
	    {"100000000000009@lid", 0}, {"13135550002@s.whatsapp.net", 0},
	    {"13165550099@s.whatsapp.net", 0}, {"131655500991@s.whatsapp.net", 1},
	    {"0@s.whatsapp.net", 0}, {"867051314767696@bot", 0}, {"120363000000000001@g.us", 0},
	    {"status@broadcast", 0}, {"120363000000000002@newsletter", 0}};
	struct jid j;

	rig_online();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(jid_parse(rows[i].jid, &j), 0);
		if (tctoken_is_for(rig.a, &j) != rows[i].is)
			fail_msg("%s", rows[i].jid);
	}
}

/* What a message carries, by what is known. */
static void
which(void **state)
{
	static const struct {
		int64_t age; /* of the token, in weeks; -1 = none */
		int salt, lid;
		const char *tag; /* NULL: nothing */
	} rows[] = {{0, 0, 1, "tctoken"}, {0, 1, 1, "tctoken"}, {3, 1, 1, "tctoken"},
	    {4, 1, 1, "cstoken"}, {4, 0, 1, NULL}, {-1, 1, 1, "cstoken"}, {-1, 1, 0, NULL},
	    {-1, 0, 1, NULL}, {0, 0, 0, "tctoken"}};
	struct jid chat;

	rig_online();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct person p = bob();
		struct tctoken t = {.bytes = {7, 7}, .len = rows[i].age >= 0 ? 2 : 0};
		struct node *n = node_new("message");

		t.token_s = (now() / WEEK - rows[i].age) * WEEK;
		rig.a->rec.nct_salt_len = rows[i].salt ? 32 : 0;
		if (!rows[i].lid)
			p.lid[0] = '\0';
		assert_int_equal(jid_parse(rows[i].lid ? RIG_BOB_LID : RIG_BOB_PN, &chat), 0);
		tctoken_add_to_message(rig.a, &chat, &p, &t, n);
		assert_int_equal(n->nchildren, rows[i].tag != NULL);
		if (rows[i].tag != NULL)
			assert_string_equal(n->children[0]->tag, rows[i].tag);
		node_free(n);
	}
}

/* ------------------------------------------------------------------ sending */

static size_t
issues(void)
{
	size_t k = 0;

	for (size_t i = 0; i < rig.nout; i++)
		k += node_is(rig.out[i], "iq") && node_child(rig.out[i], "tokens") != NULL;
	return k;
}

/* The token of stored goes out; ours is given once, whatever is sent meanwhile. */
static void
sent(void **state)
{
	const struct node *n;
	char key[8];

	rig_start();
	rig.tokens[0] = (struct rig_token){
	    .user = RIG_BOB_LID, .bytes = "token", .len = 5, .t = account_server_time(rig.a)};
	rig.ntokens = 1;
	rig_online();
	for (int i = 0; i < 5; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		rig_send(RIG_BOB_LID, key, "hello", SEND_WAIT_QUEUED, 5000);
	}
	rig_until(rig_sent("message", NULL, NULL) == 5);
	n = node_child(rig_last("message"), "tctoken");
	assert_non_null(n);
	assert_memory_equal(n->bytes, "token", 5);
	rig_until(rig.tokens[0].has_sender);
	assert_int_equal(rig.tokens[0].len, 5);
	rig_send(RIG_BOB_LID, "k9", "again", SEND_WAIT_QUEUED, 5000);
	rig_until(rig_sent("message", NULL, NULL) == 6);
	rig_settle();
	assert_int_equal(issues(), 1);
	assert_true(rig.token_expires >= 1);
}

/* A token that was given before this week is given again; one of this week is not. */
static void
when_ours_is_given(void **state)
{
	struct tctoken known = {.has_sender = 1};
	struct person p = bob();

	rig_online();
	known.sender_s = now() / WEEK * WEEK;
	tctoken_sent(rig.a, &p, &known);
	rig_settle();
	assert_int_equal(issues(), 0);
	known.sender_s = now() / WEEK * WEEK - 1;
	tctoken_sent(rig.a, &p, &known);
	tctoken_sent(rig.a, &p, &known); /* it is under way */
	rig_until(rig.ntokens == 1);
	rig_settle();
	tctoken_sent(rig.a, &p, &known); /* it was looked up before that was written */
	rig_settle();
	assert_int_equal(issues(), 1);
	assert_string_equal(rig.tokens[0].user, RIG_BOB_LID);
}

/* After a new identity he gets ours again, with the time that it had, unless that is expired. */
static void
identity(void **state)
{
	struct person p = bob();
	const struct node *n;
	char t[32];

	rig_online();
	tctoken_identity_changed(rig.a, &p);
	rig_settle();
	assert_int_equal(issues(), 0); /* he never had one */
	rig.tokens[0] = (struct rig_token){.user = RIG_BOB_LID,
	    .has_sender = 1,
	    .sender = tctoken_cutoff_s(rig.a, TCTOKEN_OURS) - 1};
	rig.ntokens = 1;
	tctoken_identity_changed(rig.a, &p);
	rig_settle();
	assert_int_equal(issues(), 0);
	rig.tokens[0].sender = now() - WEEK;
	snprintf(t, sizeof(t), "%lld", (long long)rig.tokens[0].sender);
	tctoken_identity_changed(rig.a, &p);
	rig_until(issues() == 1);
	n = node_child(node_child(rig_last("iq"), "tokens"), "token");
	assert_string_equal(node_get(n, "t"), t);
	assert_string_equal(node_get(n, "jid"), RIG_BOB_LID);
	rig_settle();
}

/* ------------------------------------------------------------------ coming */

static struct node *
notification(const char *from, const char *lid, int64_t t, const char *bytes, const char *type)
{
	struct node *n = node_new("notification"), *c;
	struct jid j;

	node_set(n, "id", "N1");
	node_set(n, "type", "privacy_token");
	if (jid_parse(from, &j) == 0)
		node_set_jid(n, "from", &j);
	if (lid != NULL && jid_parse(lid, &j) == 0)
		node_set_jid(n, "sender_lid", &j);
	c = node_child_new(node_child_new(n, "tokens"), "token");
	node_set(c, "type", type);
	node_setf(c, "t", "%lld", (long long)t);
	node_set_bytes(c, bytes, strlen(bytes));
	return n;
}

static void
received(void **state)
{
	size_t acks;

	rig_online();
	/* by LID, whatever the number; then by number alone, which stored knows; then a stranger */
	rig_in(notification(RIG_BOB_PN, RIG_BOB_LID, now(), "one", "trusted_contact"));
	rig_until(rig_sent("ack", "N1", "privacy_token") == 1);
	assert_int_equal(rig.ntokens, 1);
	assert_string_equal(rig.tokens[0].user, RIG_BOB_LID);
	assert_memory_equal(rig.tokens[0].bytes, "one", 3);
	rig_in(
	    notification("15550002222@s.whatsapp.net", NULL, now() + 1, "two", "trusted_contact"));
	rig_until(rig_sent("ack", "N1", "privacy_token") == 2);
	assert_int_equal(rig.ntokens, 1);
	assert_memory_equal(rig.tokens[0].bytes, "two", 3);
	rig_in(notification("15550009999@s.whatsapp.net", NULL, now(), "three", "trusted_contact"));
	rig_until(rig_sent("ack", "N1", "privacy_token") == 3);
	assert_string_equal(rig.tokens[1].user, "15550009999@s.whatsapp.net");
	/* a time that is still to come keeps no later token out */
	rig_in(notification(RIG_BOB_LID, NULL, now() + 10 * WEEK, "four", "trusted_contact"));
	rig_until(rig_sent("ack", "N1", "privacy_token") == 4);
	assert_true(rig.tokens[0].t <= now() + 86400);
	assert_int_equal(rig_events("server.notice"), 0);
	/* what it does not know is kept as it came */
	acks = rig_sent("ack", "N1", "privacy_token");
	rig_in(notification(RIG_BOB_LID, NULL, now(), "x", "other"));
	rig_until(rig_sent("ack", "N1", "privacy_token") == acks + 1);
	rig_in(notification("120363000000000001@g.us", NULL, now(), "x", "trusted_contact"));
	rig_until(rig_sent("ack", "N1", "privacy_token") == acks + 2);
	assert_int_equal(rig_events("server.notice"), 2);
}

/* What comes in return for ours is kept; a time that is still to come keeps no later one out. */
static void
in_return(void **state)
{
	static const int64_t ahead[] = {0, 60, 10 * WEEK};

	rig_online();
	rig.mute = 1;
	for (size_t i = 0; i < sizeof(ahead) / sizeof(ahead[0]); i++) {
		const char *party = RIG_BOB_LID;
		struct node *n, *c;

		privacy_tokens_issue(rig.a, &rig, &party, 1, rig_done, NULL);
		rig_until(issues() == i + 1);
		n = rig_answer(rig_last("iq"));
		c = node_child_new(node_child_new(n, "tokens"), "token");
		node_set(c, "jid", RIG_BOB_LID);
		node_setf(c, "t", "%lld", (long long)now() + ahead[i]);
		node_set_bytes(c, "back", 4);
		rig.tokens[0].t = 0;
		rig_in(n);
		rig_until(rig.answers == (int)i + 1);
		assert_non_null(rig.result);
		assert_int_equal(rig.tokens[0].len, 4);
		assert_in_range(rig.tokens[0].t, now() - 60, now() + 60);
	}
}

/* Not acked before it is durable. */
static void
not_durable(void **state)
{
	rig_online();
	rig.hold_commits = 1;
	rig_in(notification(RIG_BOB_LID, NULL, now(), "x", "trusted_contact"));
	rig_until(rig.nheld == 1);
	rig_settle();
	assert_int_equal(rig_sent("ack", "N1", NULL), 0);
	snprintf(rig.fail_commit, sizeof(rig.fail_commit), "io");
	rig_release();
	rig_until(rig.restarts == 1);
	assert_int_equal(rig_sent("ack", "N1", NULL), 0);
}

/* ------------------------------------------------------------------ the salt */

static void
take_history(const uint8_t *h, size_t len, uint16_t device)
{
	E2e__HistorySyncNotification n = E2E__HISTORY_SYNC_NOTIFICATION__INIT;
	struct envelope e = {.from_me = 1};
	struct unit *u = unit_open(rig.a);
	uint8_t z[4096];
	uLongf zlen = sizeof(z);

	assert_int_equal(compress(z, &zlen, h, len), Z_OK);
	e.sender.device = device;
	n.has_initial_hist_bootstrap_inline_payload = 1;
	n.initial_hist_bootstrap_inline_payload.data = z;
	n.initial_hist_bootstrap_inline_payload.len = zlen;
	history_salt_take(u, rig.a, &e, &n);
	unit_commit(u, NULL, NULL);
	rig_settle();
}

static void
salt(void **state)
{
	/* 1: 0, 19: "salt" */
	static const uint8_t first[] = {8, 0, 0x9a, 1, 4, 's', 'a', 'l', 't'};
	static const uint8_t other[] = {8, 0, 0x9a, 1, 2, 'n', 'o'};
	static const uint8_t broken[] = {8, 0, 0x9a, 1, 200, 'n', 'o'};
	static const uint8_t empty[] = {8, 0, 0x9a, 1, 0};

	rig_online();
	take_history(broken, sizeof(broken), 0);
	take_history(empty, sizeof(empty), 0);
	take_history(first, sizeof(first), 5); /* not from the phone */
	assert_int_equal(rig.a->rec.nct_salt_len, 0);
	take_history(first, sizeof(first), 0);
	assert_int_equal(rig.nct_salt_len, 4);
	assert_memory_equal(rig.nct_salt, "salt", 4);
	take_history(other, sizeof(other), 0); /* a history only fills a gap */
	assert_int_equal(rig.a->rec.nct_salt_len, 4);
	assert_memory_equal(rig.a->rec.nct_salt, "salt", 4);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	    cmocka_unit_test(cstoken),
	    cmocka_unit_test_setup_teardown(expiry, rig_setup, rig_teardown),
	    T(for_whom),
	    T(which),
	    T(sent),
	    T(when_ours_is_given),
	    T(identity),
	    T(received),
	    T(in_return),
	    T(not_durable),
	    T(salt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
