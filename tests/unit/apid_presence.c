/* Presence, typing, calls and receipts: what their stanzas say, and what the engine does when the
 * store does not. */
#include "tests/unit/apid_engine_rig.h"

#include "apid/message/call_parse.h"
#include "apid/message/calls.h"
#include "apid/message/receipt_parse.h"
#include "apid/message/typing.h"
#include "apid/session/presence.h"
#include "apid/session/presence_parse.h"

#define BOB    "100000000000002:5@lid"
#define PERSON "100000000000002@lid"
#define OWN    "100000000000009:3@lid"
#define GROUP  "120363000000000001@g.us"

/* "tag key=value … [tag …] …": attributes, then children of one level in brackets. */
static struct node *
make(const char *text)
{
	char buf[512], *save = NULL, *word;
	struct node *top = NULL, *at = NULL;

	snprintf(buf, sizeof(buf), "%s", text);
	for (word = strtok_r(buf, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
		char *eq = strchr(word, '=');
		struct jid j;

		if (word[0] == '[')
			at = node_child_new(top, word + 1);
		else if (word[0] == '<' && top != NULL) /* a level deeper, in the last child */
			at = node_child_new(top->children[top->nchildren - 1], word + 1);
		else if (eq == NULL)
			at = top = node_new(word);
		else if (*eq = '\0', strchr(eq + 1, '@') != NULL && jid_parse(eq + 1, &j) == 0)
			node_set_jid(at, word, &j);
		else
			node_set(at, word, eq + 1);
	}
	assert_non_null(top);
	return top;
}

static void
presence_forms(void **state)
{
	static const struct {
		const char *stanza;
		int ok, available, hidden, group;
		int64_t last_ms, count;
	} rows[] = {
	    {"presence from=" PERSON, 1, 1, 0, 0, -1, -1},
	    {"presence from=" BOB " type=available", 1, 1, 0, 0, -1, -1},
	    {"presence from=" PERSON " type=unavailable last=1700000000", 1, 0, 0, 0,
		INT64_C(1700000000000), -1},
	    {"presence from=" PERSON " type=unavailable last=deny", 1, 0, 1, 0, -1, -1},
	    {"presence from=" PERSON " type=unavailable last=none", 1, 0, 0, 0, -1, -1},
	    {"presence from=" PERSON " last=99999999999999", 1, 1, 0, 0, -1, -1},
	    {"presence from=" GROUP " count=7", 1, 1, 0, 1, -1, 7},
	    {"presence from=" PERSON " count=7", 1, 1, 0, 0, -1, -1},
	    {"presence from=" PERSON " type=subscribe", 0, 0, 0, 0, 0, 0},
	    {"presence from=" OWN, 0, 0, 0, 0, 0, 0},
	    {"presence from=s.whatsapp.net", 0, 0, 0, 0, 0, 0},
	    {"presence from=1@newsletter", 0, 0, 0, 0, 0, 0},
	    {"presence", 0, 0, 0, 0, 0, 0},
	};

	rig_online();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct node *n = make(rows[i].stanza);
		struct presence_facts f;

		assert_int_equal(presence_parse(rig.a, n, &f) == 0, rows[i].ok);
		if (rows[i].ok) {
			assert_int_equal(f.available, rows[i].available);
			assert_int_equal(f.hidden, rows[i].hidden);
			assert_int_equal(f.group, rows[i].group);
			assert_int_equal(f.last_seen_ms, rows[i].last_ms);
			assert_int_equal(f.count, rows[i].count);
			assert_int_equal(f.from.device, 0);
		}
		node_free(n);
	}
}

static void
typing_forms(void **state)
{
	static const struct {
		const char *stanza;
		int state; /* -1: it says nothing */
	} rows[] = {
	    {"chatstate from=" PERSON " [composing", TYPING_COMPOSING},
	    {"chatstate from=" PERSON " [composing media=audio", TYPING_RECORDING},
	    {"chatstate from=" PERSON " [composing media=video", TYPING_COMPOSING},
	    {"chatstate from=" PERSON " [paused media=audio", TYPING_PAUSED},
	    {"chatstate from=" GROUP " participant=" BOB " [composing", TYPING_COMPOSING},
	    {"chatstate from=" GROUP " [composing", -1},
	    {"chatstate from=" GROUP " participant=" OWN " [composing", -1},
	    {"chatstate from=" OWN " [composing", -1},
	    {"chatstate from=" PERSON, -1},
	    {"chatstate from=" PERSON " [composing [paused", -1},
	    {"chatstate from=" PERSON " [dancing", -1},
	    {"chatstate [composing", -1},
	};

	rig_online();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct node *n = make(rows[i].stanza);
		struct typing_facts f;
		int ok = typing_parse(rig.a, n, &f) == 0;

		assert_int_equal(ok ? (int)f.state : -1, rows[i].state);
		node_free(n);
	}
}

static void
call_forms(void **state)
{
#define HEAD "call from=" BOB " id=X t=1 "
	static const struct {
		const char *stanza;
		enum call_kind kind;
		int video, group, missed, bare_ack;
		int64_t duration_s;
	} rows[] = {
	    {HEAD "[offer call-id=C call-creator=" BOB, CALL_OFFER, 0, 0, 0, 1, -1},
	    {HEAD "[offer call-id=C <video", CALL_OFFER, 1, 0, 0, 1, -1},
	    {HEAD "[offer call-id=C group-jid=" GROUP, CALL_OFFER, 0, 1, 0, 1, -1},
	    {HEAD "[offer_notice call-id=C media=video type=group", CALL_NOTICE, 1, 1, 0, 1, -1},
	    {HEAD "[preaccept call-id=C", CALL_PREACCEPT, 0, 0, 0, 1, -1},
	    {HEAD "[accept call-id=C", CALL_ACCEPT, 0, 0, 0, 1, -1},
	    {HEAD "[reject call-id=C reason=busy", CALL_REJECT, 0, 0, 0, 1, -1},
	    {HEAD "[terminate call-id=C", CALL_TERMINATE, 0, 0, 1, 1, -1},
	    {HEAD "[terminate call-id=C reason=timeout", CALL_TERMINATE, 0, 0, 1, 1, -1},
	    {HEAD "[terminate call-id=C reason=group_call_ended", CALL_TERMINATE, 0, 0, 1, 1, -1},
	    {HEAD "[terminate call-id=C reason=accepted_elsewhere duration=9", CALL_TERMINATE, 0, 0,
		0, 1, 9},
	    {HEAD "[terminate call-id=C reason=\x7f", CALL_TERMINATE, 0, 0, 0, 1, -1},
	    {HEAD "[transport call-id=C", CALL_SIGNAL, 0, 0, 0, 1, -1},
	    {HEAD "[waiting_room_update call-id=C", CALL_SIGNAL, 0, 0, 0, 0, -1},
	    {HEAD "[screen_share call-id=C", CALL_SIGNAL, 0, 0, 0, 0, -1},
	    {HEAD "[offer", CALL_UNKNOWN, 0, 0, 0, 1, -1},
	    {HEAD "[dance call-id=C", CALL_UNKNOWN, 0, 0, 0, 1, -1},
	    {"call id=X [offer call-id=C", CALL_UNKNOWN, 0, 0, 0, 1, -1},
	    {HEAD, CALL_UNKNOWN, 0, 0, 0, 1, -1},
	};

	rig_online();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct node *n = make(rows[i].stanza);
		struct call_facts f;

		call_parse(rig.a, n, &f);
		assert_int_equal(f.kind, rows[i].kind);
		assert_int_equal(f.video, rows[i].video);
		assert_int_equal(f.is_group, rows[i].group);
		assert_int_equal(f.missed, rows[i].missed);
		assert_int_equal(f.bare_ack, rows[i].bare_ack);
		assert_int_equal(f.duration_s, rows[i].duration_s);
		node_free(n);
	}
}

static void
receipt_forms(void **state)
{
#define RCPT "receipt id=M1 "
	static const struct {
		const char *stanza;
		enum receipt_kind kind;
		size_t updates, parties;
		const char *first, *status;
	} rows[] = {
	    {RCPT "from=" BOB, RECEIPT_STATUS, 1, 1, "M1", "delivered"},
	    {RCPT "from=" BOB " type=inactive", RECEIPT_STATUS, 1, 1, "M1", "delivered"},
	    {RCPT "from=" BOB " type=played [list <item id=M2 <item id=M3 <other id=M4",
		RECEIPT_STATUS, 3, 1, "M1", "played"},
	    {"receipt from=" BOB " type=read [list <item id=M2", RECEIPT_STATUS, 1, 1, "M2",
		"read"},
	    {RCPT "from=" GROUP " participant=" BOB " type=read", RECEIPT_STATUS, 1, 1, "M1",
		"read"},
	    {RCPT "from=" GROUP " type=read", RECEIPT_UNKNOWN, 0, 0, NULL, NULL},
	    {RCPT "from=" GROUP " type=read [participants key=K <user jid=" BOB " <user jid=" OWN
		  " <user jid=100000000000003@lid type=played",
		RECEIPT_STATUS, 2, 2, "K", "read"},
	    {RCPT "from=" GROUP " [participants message_id=I key=K <user jid=" BOB, RECEIPT_STATUS,
		1, 1, "I", "delivered"},
	    {RCPT "from=" GROUP " [participants <user jid=" BOB " type=retry", RECEIPT_UNKNOWN, 0,
		0, NULL, NULL},
	    {RCPT "from=" GROUP " [participants", RECEIPT_UNKNOWN, 0, 0, NULL, NULL},
	    {RCPT "from=" OWN, RECEIPT_SILENT, 0, 0, NULL, NULL},
	    {RCPT "from=" OWN " type=read recipient=" PERSON, RECEIPT_OWN, 1, 1, "M1", "read"},
	    {RCPT "from=" OWN " type=played-self recipient=" PERSON, RECEIPT_OWN, 1, 1, "M1",
		"played"},
	    {RCPT "from=" BOB " type=read-self", RECEIPT_UNKNOWN, 0, 0, NULL, NULL},
	    {RCPT "from=" BOB " [error type=feature-incapable", RECEIPT_SILENT, 0, 0, NULL, NULL},
	    {RCPT "from=" BOB " [offer call-id=C", RECEIPT_SILENT, 0, 0, NULL, NULL},
	    {RCPT "from=" OWN " type=sender", RECEIPT_SILENT, 0, 0, NULL, NULL},
	    {RCPT "from=" BOB " type=retry", RECEIPT_RETRY, 0, 0, NULL, NULL},
	    {RCPT "from=" BOB " type=enc_rekey_retry", RECEIPT_CALL, 0, 0, NULL, NULL},
	    {RCPT "from=" BOB " type=view", RECEIPT_UNKNOWN, 0, 0, NULL, NULL},
	    {RCPT "type=read", RECEIPT_UNKNOWN, 0, 0, NULL, NULL},
	    {"receipt from=" BOB, RECEIPT_UNKNOWN, 0, 0, NULL, NULL},
	};

	rig_online();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct node *n = make(rows[i].stanza);
		struct receipt_facts f;

		assert_int_equal(receipt_parse(rig.a, n, 5000, &f), 0);
		assert_int_equal(f.kind, rows[i].kind);
		assert_int_equal(f.nupdates, rows[i].updates);
		if (rows[i].updates > 0) {
			assert_int_equal(f.nparties, rows[i].parties);
			assert_string_equal(f.updates[0].id, rows[i].first);
			assert_string_equal(f.updates[0].status, rows[i].status);
			assert_int_equal(f.updates[0].time_ms, 5000);
		}
		receipt_facts_clear(&f);
		node_free(n);
	}
}

/* More ids than one receipt may have are kept as they came. */
static void
receipt_bound(void **state)
{
	for (size_t n = RECEIPT_UPDATES_MAX - 1; n <= RECEIPT_UPDATES_MAX; n++) {
		struct node *r = make("receipt id=M from=" BOB " [list");
		struct receipt_facts f;

		for (size_t i = 0; i < n; i++)
			node_set(node_child_new(r->children[0], "item"), "id", "I");
		assert_int_equal(receipt_parse(rig.a, r, 0, &f), 0);
		assert_int_equal(
		    f.kind, n < RECEIPT_UPDATES_MAX ? RECEIPT_STATUS : RECEIPT_UNKNOWN);
		receipt_facts_clear(&f);
		node_free(r);
	}
}

/* Many people of one receipt: several units, one ack, when all are durable. */
static void
receipt_of_many(void **state)
{
	struct node *r = make("receipt id=M1 from=" GROUP " type=read [participants key=K");
	char jid[40];
	struct jid j;

	rig_online();
	for (int i = 0; i < 20; i++) {
		snprintf(jid, sizeof(jid), "2000000000%05d@lid", i);
		assert_int_equal(jid_parse(jid, &j), 0);
		node_set_jid(node_child_new(r->children[0], "user"), "jid", &j);
	}
	size_t commits = rig.commits;

	rig_in(r);
	rig_until(rig_sent("ack", "M1", "read") == 1);
	assert_int_equal(rig_events("message.status"), 20);
	assert_int_equal(rig.receipts, 20);
	assert_int_equal(rig.commits - commits, 3);
}

/* A message does not go back from read to delivered. */
static void
no_step_back(void **state)
{
	rig_online();
	rig_in(make("receipt id=M1 t=2 type=read from=" BOB));
	rig_until(rig_sent("ack", "M1", "read") == 1);
	rig_in(make("receipt id=M1 t=1 from=" BOB));
	rig_until(rig_sent("ack", "M1", NULL) == 2);
	assert_int_equal(rig_events("message.status"), 1);
	rig_in(make("receipt id=M1 t=3 type=played from=" BOB));
	rig_until(rig_sent("ack", "M1", "played") == 1);
	assert_int_equal(rig_events("message.status"), 2);
}

/* A call that is not durable is neither acked nor confirmed, and comes again. */
static void
call_not_durable(void **state)
{
	static const char offer[] = "call from=" BOB " id=X t=1 [offer call-id=C call-creator=" BOB;

	rig_online();
	snprintf(rig.fail_commit, sizeof(rig.fail_commit), "io");
	rig_in(make(offer));
	rig_until(rig.restarts == 1);
	assert_int_equal(rig_sent("ack", "X", NULL) + rig_sent("receipt", "X", NULL), 0);
	call_reject(rig.a, &rig, "C", NULL, rig_done, NULL);
	rig_until(rig.answers == 1);
	assert_string_equal(rig.err_reason, "not_found");
	rig_connect();
	rig_offline_end();
	rig_in(make(offer));
	rig_until(rig_sent("receipt", "X", NULL) == 1);
	assert_string_equal(node_get(rig_last("receipt"), "from"), RIG_OWN_LID);
	assert_int_equal(rig_sent("ack", "X", NULL), 1);
	assert_int_equal(rig_events("call.offer"), 1);
	rig_in(make(offer)); /* again: told once */
	rig_until(rig_sent("ack", "X", NULL) == 2);
	assert_int_equal(rig_events("call.offer"), 1);
}

/* So many calls are remembered, and no more. */
static void
many_calls(void **state)
{
	char text[200];

	rig_online();
	for (unsigned i = 0; i <= CALLS_KNOWN_MAX; i++) {
		snprintf(text, sizeof(text), "call from=" BOB " id=X%u [offer call-id=C%u", i, i);
		rig_in(make(text));
	}
	rig_until(rig_events("call.offer") == CALLS_KNOWN_MAX + 1);
	rig_settle();
	call_reject(rig.a, &rig, "C0", NULL, rig_done, NULL);
	rig_until(rig.answers == 1);
	assert_string_equal(rig.err_reason, "not_found");
	call_reject(rig.a, &rig, "C1", NULL, rig_done, NULL);
	rig_until(rig_sent("call", NULL, NULL) == 1);
	assert_string_equal(node_get(rig_last("call")->children[0], "count"), "0");
}

/* A flood of presences and typing takes no memory without bound, and ends nothing. */
static void
flood(void **state)
{
	char text[200];

	rig_online();
	for (unsigned i = 0; i < 500; i++) {
		snprintf(text, sizeof(text), "presence from=3000000%05u@lid", i);
		rig_in(make(text));
		snprintf(text, sizeof(text), "chatstate from=3000000%05u@lid [composing", i);
		rig_in(make(text));
	}
	rig_settle();
	assert_true(rig.a->n.transients_lost > 0);
	rig_in(rig_message("M1", "still here"));
	rig_until(rig_events("message.received") == 1);
	assert_int_equal(rig.restarts, 0);
}

static void
mark(int receipts, enum mark_status status)
{
	static const char *const ids[] = {"M1", "M2"};
	struct mark_request m = {.chat = RIG_BOB_PN,
	    .message_ids = ids,
	    .n = 2,
	    .status = status,
	    .receipts = (enum mark_receipts)receipts};

	chat_mark(rig.a, &rig, &m, rig_done, NULL);
}

/* The setting of the account decides, unless the client does. */
static void
marks_by_privacy(void **state)
{
	static const struct {
		int off, receipts, status;
		const char *type;
	} rows[] = {
	    {0, MARK_AS_PRIVACY, MARK_READ, "read"},
	    {0, MARK_NEVER, MARK_READ, "read-self"},
	    {0, MARK_AS_PRIVACY, MARK_PLAYED, "played"},
	    {1, MARK_AS_PRIVACY, MARK_READ, "read-self"},
	    {1, MARK_ALWAYS, MARK_READ, "read"},
	    {1, MARK_AS_PRIVACY, MARK_PLAYED, "played-self"},
	};
	const struct node *n;

	rig_online();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rig.a->rec.read_receipts_disabled = rows[i].off;
		mark(rows[i].receipts, (enum mark_status)rows[i].status);
		rig_until(rig.answers == (int)i + 1);
		assert_non_null(rig.result);
		n = rig_last("receipt");
		assert_string_equal(node_get(n, "type"), rows[i].type);
		assert_string_equal(node_get(n, "to"), RIG_BOB_LID);
		assert_string_equal(node_get(n, "id"), "M1");
		assert_int_equal(node_child(n, "list")->nchildren, 1);
	}
	rig.a->rec.privacy_known = 0;
	mark(MARK_AS_PRIVACY, MARK_READ); /* it is asked for instead */
	rig_until(rig.answers == 7);
	assert_string_equal(rig.err_reason, "offline");
	rig_until(rig.a->rec.privacy_known);
}

/* During the backlog marks are collected, and each of them is answered. */
static void
marks_collected(void **state)
{
	rig_start();
	rig_connect();
	mark(MARK_ALWAYS, MARK_READ);
	mark(MARK_ALWAYS, MARK_READ);
	rig_settle();
	assert_int_equal(rig_sent("receipt", NULL, "read"), 0);
	rig_offline_end();
	rig_until(rig.answers == 2);
	assert_int_equal(rig_sent("receipt", NULL, "read"), 1);
	assert_int_equal(node_child(rig_last("receipt"), "list")->nchildren, 3);
}

/* Not acked: the client hears when the connection goes. */
static void
marks_lost(void **state)
{
	rig_online();
	rig.mute = 1;
	mark(MARK_ALWAYS, MARK_READ);
	rig_until(rig_sent("receipt", NULL, "read") == 1);
	assert_int_equal(rig.answers, 0);
	rig_lose();
	rig_until(rig.answers == 1);
	assert_string_equal(rig.err_reason, "offline");
}

/* Requests in the middle of their work end with the service. */
static void
end_in_the_middle(void **state)
{
	rig_online();
	rig.mute = 1;
	mark(MARK_ALWAYS, MARK_READ);
	mark(MARK_ALWAYS, MARK_PLAYED);
	rig_settle();
	rig_in(make("call from=" BOB " id=X [offer call-id=C"));
	rig_until(rig_sent("receipt", "X", NULL) == 1);
	call_reject(rig.a, &rig, "C", NULL, rig_done, NULL);
	chat_typing(rig.a, &rig, RIG_BOB_PN, "composing", 5000, rig_done, NULL);
	presence_subscribe(rig.a, &rig, RIG_BOB_PN, rig_done, NULL);
	message_receipts(rig.a, &rig, "none", rig_done, NULL);
	rig_in(make("presence from=400000000000001@lid"));
	rig_in(make("chatstate from=400000000000001@lid [composing"));
	rig_in(make("receipt id=R1 from=" BOB));
	rig.abrupt = 1;
	rig_end_service();
	rig_begin_service();
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	    T(presence_forms),
	    T(typing_forms),
	    T(call_forms),
	    T(receipt_forms),
	    T(receipt_bound),
	    T(receipt_of_many),
	    T(no_step_back),
	    T(call_not_durable),
	    T(many_calls),
	    T(flood),
	    T(marks_by_privacy),
	    T(marks_collected),
	    T(marks_lost),
	    T(end_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
