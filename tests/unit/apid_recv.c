/* Incoming messages between the three peers: durable before answered, once, in order. */
#include "apid/message/unread.h"
#include "tests/unit/apid_engine_rig.h"

#define ID  "3EB0C767D82B0A7D7B5F12"
#define ID2 "3EB0C767D82B0A7D7B5F13" /* how often a message was asked for is kept by its id */

static void
one_message(void **state)
{
	const json_t *m;

	rig_online();
	rig_in(rig_message(ID, "hello"));
	rig_until(rig_sent("receipt", ID, "inactive") == 1);
	assert_int_equal(rig_events("message.received"), 1);
	m = json_object_get(rig_event("message.received")->body, "message");
	assert_string_equal(json_string_value(json_object_get(m, "message_id")), ID);
	assert_string_equal(
	    json_string_value(json_object_get(json_object_get(m, "content"), "text")), "hello");
	assert_string_equal(
	    json_string_value(json_object_get(json_object_get(m, "sender"), "phone")),
	    "+15550002222");
	assert_string_equal(json_string_value(json_object_get(m, "raw_b64")), "CgVoZWxsbw==");
	assert_int_equal(rig_sent("ack", ID, NULL), 0); /* the receipt takes it off the queue */
}

/* Nothing leaves before the commit is answered. */
static void
durable_before_answered(void **state)
{
	rig_online();
	rig.hold_commits = 1;
	rig_in(rig_message(ID, "hello"));
	rig_until(rig.nheld == 1);
	rig_settle();
	assert_int_equal(rig_sent("receipt", ID, NULL), 0);
	rig_release();
	rig_until(rig_sent("receipt", ID, NULL) == 1);
}

static void
commit_fails(void **state)
{
	static const struct {
		const char *code;
		uint32_t min_delay, max_delay;
	} rows[] = {{"io", 1000, 30000}, {"disk_full", 30000, 120000}};

	rig_online();
	for (size_t i = 0; i < 2; i++) {
		size_t restarts = rig.restarts;

		snprintf(rig.fail_commit, sizeof(rig.fail_commit), "%s", rows[i].code);
		rig_in(rig_message(ID, "hello"));
		rig_until(rig.restarts == restarts + 1); /* so that it is delivered again */
		assert_true(rig.delay_ms >= rows[i].min_delay && rig.delay_ms <= rows[i].max_delay);
		assert_int_equal(rig_sent("receipt", ID, NULL), 0);
		assert_int_equal(rig_sent("ack", ID, NULL), 0);
		assert_int_equal(rig.a->state, ACCOUNT_BACKOFF);
		rig_connect();
		rig_offline_end();
		rig_settle();
	}
	rig_in(rig_message(ID, "hello")); /* and then all is well */
	rig_until(rig_sent("receipt", ID, NULL) == 1);
	assert_int_equal(rig_events("message.received"), 1);
}

/* Whatever closed the link meanwhile: there is room, so it connects at once. */
static void
room_after_the_peer_closed(void **state)
{
	size_t restarts;

	rig_online();
	snprintf(rig.fail_commit, sizeof(rig.fail_commit), "disk_full");
	rig_in(rig_message(ID, "hello"));
	rig_until(rig.restarts == 1);
	rig_lose();
	assert_int_equal(rig.a->state, ACCOUNT_BACKOFF);
	assert_string_equal(rig.a->reason, "disk_full");
	restarts = rig.restarts;
	rig_store_state(1);
	rig_store_state(0);
	rig_until(rig.restarts == restarts + 1);
	assert_true(rig.delay_ms <= 2000);
	rig_store_state(1); /* once is enough */
	rig_store_state(0);
	rig_settle();
	assert_int_equal(rig.restarts, restarts + 1);
}

/* keyd has seen it: the service is told again, the clients are not. */
static void
duplicate(void **state)
{
	rig_online();
	rig_in(rig_message(ID, "hello"));
	rig_until(rig_sent("receipt", ID, NULL) == 1);
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__DUPLICATE;
	rig_in(rig_message(ID, "hello"));
	rig_until(rig_sent("receipt", ID, NULL) == 2);
	assert_int_equal(rig_events("message.received"), 1);
	assert_int_equal(rig_events("message.undecryptable"), 0);
}

/* The counter was used before, but this message is not known: its sender must send it again. */
static void
counter_used_twice(void **state)
{
	rig_online();
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__DUPLICATE;
	rig_in(rig_message(ID, "hello"));
	rig_until(rig_sent("ack", ID, NULL) == 1);
	assert_int_equal(rig_sent("receipt", ID, "retry"), 1);
	assert_string_equal(
	    json_string_value(json_object_get(rig_event("message.undecryptable")->body, "reason")),
	    "counter_reused");
}

/* A resend of a message that was read (another ciphertext, the same id) is not shown twice. */
static void
same_id_twice(void **state)
{
	rig_online();
	rig_in(rig_message(ID, "hello"));
	rig_in(rig_message(ID, "hello"));
	rig_until(rig_sent("receipt", ID, NULL) == 2);
	assert_int_equal(rig_events("message.received"), 1);
}

/* The duplicate of a message whose unit then fails must not be answered. */
static void
duplicate_waits_for_the_first(void **state)
{
	rig_online();
	rig.hold_commits = 1;
	rig_in(rig_message(ID, "hello"));
	rig_until(rig.nheld == 1);
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__DUPLICATE;
	rig_in(rig_message(ID, "hello"));
	rig_until(rig.nheld == 2);
	snprintf(rig.fail_commit, sizeof(rig.fail_commit), "io"); /* the first of the two */
	rig_release();
	rig_until(rig.restarts == 1);
	rig_settle();
	assert_int_equal(rig_sent("receipt", ID, NULL), 0);
}

/* The connection goes before the commit: no answer on the next one, where it comes again. */
static void
disconnect_before_ack(void **state)
{
	rig_online();
	rig.hold_commits = 1;
	rig_in(rig_message(ID, "hello"));
	rig_until(rig.nheld == 1);
	rig_lose();
	rig_release();
	rig_connect();
	rig_offline_end();
	rig_settle();
	assert_int_equal(rig_events("message.received"), 1);
	assert_int_equal(rig_sent("receipt", ID, NULL), 0);
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__DUPLICATE;
	rig_in(rig_message(ID, "hello"));
	rig_until(rig_sent("receipt", ID, NULL) == 1);
	assert_int_equal(rig_events("message.received"), 1);
}

static void
order_of_many(void **state)
{
	char id[32], text[32];
	size_t at = 0;

	rig_online();
	for (int i = 0; i < 100; i++) {
		snprintf(id, sizeof(id), "MSG%03d", i);
		snprintf(text, sizeof(text), "n %d", i);
		rig_in(rig_message(id, text));
	}
	rig_until(rig_sent("receipt", NULL, "inactive") == 100);
	for (size_t i = 0; i < rig.nevents; i++) {
		const json_t *m = json_object_get(rig.events[i].body, "message");

		if (strcmp(rig.events[i].type, "message.received") != 0)
			continue;
		snprintf(id, sizeof(id), "MSG%03zu", at++);
		assert_string_equal(json_string_value(json_object_get(m, "message_id")), id);
	}
	assert_int_equal(at, 100);
}

/* What the answer is for each outcome of a decryption. */
static void
outcomes(void **state)
{
	static const struct {
		Keyd__DecryptResult__Outcome outcome;
		const char *reason, *error, *nack;
		size_t keys;
	} rows[] = {
	    {KEYD__DECRYPT_RESULT__OUTCOME__NO_SESSION, "no_session", "1", NULL, 1},
	    {KEYD__DECRYPT_RESULT__OUTCOME__NO_PREKEY, "no_prekey", "3", NULL, 0},
	    {KEYD__DECRYPT_RESULT__OUTCOME__BAD_MAC, "bad_mac", "7", NULL, 0},
	    {KEYD__DECRYPT_RESULT__OUTCOME__INVALID, "invalid_message", "4", NULL, 0},
	    {KEYD__DECRYPT_RESULT__OUTCOME__MALFORMED, "malformed", NULL, "487", 0},
	    {KEYD__DECRYPT_RESULT__OUTCOME__FAILED, "failed", NULL, "500", 0},
	    {KEYD__DECRYPT_RESULT__OUTCOME__ADV_INVALID, "adv_invalid", NULL, "500", 0},
	    /* acked without a receipt, and so is what comes behind it */
	    {KEYD__DECRYPT_RESULT__OUTCOME__UNTRUSTED, "identity_held", NULL, NULL, 0},
	    {KEYD__DECRYPT_RESULT__OUTCOME__DONE, "identity_held", NULL, NULL, 0},
	};
	char id[32];

	rig_online();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct node *n;

		snprintf(id, sizeof(id), "BAD%zu", i);
		rig.outcome = rows[i].outcome;
		rig.retry_keys = 0;
		rig_in(rig_message(id, "x"));
		rig_until(rig_sent("ack", id, NULL) == 1);
		assert_string_equal(json_string_value(json_object_get(
					rig_event("message.undecryptable")->body, "reason")),
		    rows[i].reason);
		assert_int_equal(rig_sent("receipt", id, "retry"), rows[i].error != NULL);
		assert_int_equal(rig.retry_keys, rows[i].keys);
		n = rig_last("ack");
		if (rows[i].nack != NULL) {
			assert_string_equal(node_get(n, "error"), rows[i].nack);
			continue;
		}
		assert_null(node_get(n, "error"));
		if (rows[i].error == NULL) {
			assert_int_equal(rig_sent("receipt", id, NULL), 0);
			continue;
		}
		n = rig_last("receipt");
		assert_string_equal(node_get(node_child(n, "retry"), "error"), rows[i].error);
		assert_string_equal(node_get(node_child(n, "retry"), "count"), "1");
		assert_int_equal(node_child(n, "keys") != NULL, rows[i].keys);
	}
}

/* Nothing stands under the number: it stays at the first try, and at what that said. */
static void
nothing_to_move(void **state)
{
	rig_online();
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__BAD_MAC;
	rig_in(rig_message(ID, "x"));
	rig_until(rig_sent("ack", ID, NULL) == 1);
	assert_int_equal(rig.decrypts, 1);
	assert_int_equal(rig.lid_moves, 1);
	assert_string_equal(
	    json_string_value(json_object_get(rig_event("message.undecryptable")->body, "reason")),
	    "bad_mac");
	assert_string_equal(node_get(node_child(rig_last("receipt"), "retry"), "error"), "7");
}

/* A session that came to stand under the number again, after all of his were moved: it goes to the
 * LID in the message's own unit, and the message is read; the next one finds it there. */
static void
moved_and_tried_again(void **state)
{
	size_t commits;

	rig_online();
	rig_in(rig_message(ID, "first"));
	rig_until(rig_sent("receipt", ID, NULL) == 1);
	commits = rig.commits;
	rig.under_number = 1;
	rig_in(rig_message(ID2, "hello"));
	rig_until(rig_sent("receipt", ID2, "inactive") == 1);
	assert_int_equal(rig_sent("receipt", ID2, "retry"), 0);
	assert_int_equal(rig_events("message.undecryptable"), 0);
	assert_int_equal(rig.decrypts, 3);
	assert_int_equal(rig.lid_moves, 1);
	assert_int_equal(rig.commits, commits + 1);
	rig_in(rig_message("NEXT", "and then"));
	rig_until(rig_sent("receipt", "NEXT", NULL) == 1);
	assert_int_equal(rig.decrypts, 4);
	assert_int_equal(rig.lid_moves, 1);
	assert_int_equal(rig_events("message.received"), 3);
}

/* Asked four times at most, with keys from the second on; then a plain ack. */
static void
retries_end(void **state)
{
	rig_online();
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__BAD_MAC;
	for (size_t i = 1; i <= 6; i++) {
		rig_in(rig_message(ID2, "x"));
		rig_until(rig_sent("ack", ID2, NULL) == i);
		assert_int_equal(rig_sent("receipt", ID2, "retry"), i < 4 ? i : 4);
		assert_int_equal(rig.retry_keys, i < 2 ? 0 : i < 4 ? i - 1 : 3);
	}
	assert_int_equal(rig_events("message.undecryptable"), 1);
}

/* The count goes on over a restart, and from the count of the sender's resend if that is higher. */
static void
retries_go_on(void **state)
{
	struct node *n;

	rig_online();
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__BAD_MAC;
	rig_in(rig_message(ID2, "x"));
	rig_until(rig_sent("ack", ID2, NULL) == 1);
	assert_string_equal(node_get(node_child(rig_last("receipt"), "retry"), "count"), "1");
	rig_crash();
	rig_online();
	rig_in(rig_message(ID2, "x"));
	rig_until(rig_sent("ack", ID2, NULL) == 2);
	assert_string_equal(node_get(node_child(rig_last("receipt"), "retry"), "count"), "2");
	n = rig_message(ID2, "x");
	node_set(node_child(n, "enc"), "count", "3");
	rig_in(n);
	rig_until(rig_sent("ack", ID2, NULL) == 3);
	assert_string_equal(node_get(node_child(rig_last("receipt"), "retry"), "count"), "4");
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__DONE;
	n = rig_message(ID2, "hello");
	node_set(node_child(n, "enc"), "count", "4");
	rig_in(n);
	rig_until(rig_sent("receipt", ID2, "inactive") == 1);
	assert_string_equal(rig_event("message.received")->origin, "recovered");
	rig_rows_scan(&rig.kept, &(Stored__ScanReply)STORED__SCAN_REPLY__INIT);
	for (size_t i = 0; i < rig.kept.ngiven; i++) /* nothing of it is kept any more */
		assert_string_not_equal(rig.kept.given[i]->name->id, ID2);
}

/* Too old for the phone: when its sender was asked often enough, that is all. */
static void
given_up(void **state)
{
	rig_online();
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__BAD_MAC;
	for (size_t i = 1; i <= 6; i++) {
		struct node *n = rig_message(ID2, "x");

		node_set(n, "t", "1690000000");
		rig_in(n);
		rig_until(rig_sent("ack", ID2, NULL) == i);
		assert_int_equal(rig_events("message.given_up"), i < 5 ? 0 : 1);
	}
	assert_int_equal(rig_events("message.undecryptable"), 1);
}

/* As if all messages that are kept were so many days older; how many there are. */
static size_t
age_rows(uint32_t days)
{
	size_t n = 0;

	for (size_t i = 0; i < RIG_ROWS_MAX; i++) {
		struct rig_packed *row = &rig.kept.pending[i];
		Stored__Pending *p;

		if (row->data == NULL)
			continue;
		p = stored__pending__unpack(NULL, row->len, row->data);
		if (p->attempts >> UNREAD_DAY_SHIFT != 0) {
			assert_true(p->held); /* stored lets none of them go by itself */
			p->attempts -= days << UNREAD_DAY_SHIFT;
			rig_row_set(row, &p->base);
			n++;
		}
		stored__pending__free_unpacked(p, NULL);
	}
	return n;
}

/* What was waited for in vain is told after 14 days and let go: once, over a crash before the
 * commit and one after it; what was told already is let go in silence. */
static void
expired(void **state)
{
	struct node *n;

	rig_online();
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__BAD_MAC;
	rig_in(rig_message(ID, "x")); /* its sender is asked, and the phone */
	for (size_t i = 1; i <= 5; i++) {
		n = rig_message(ID2, "x");
		node_set(n, "t", "1690000000"); /* too old for the phone: given up at once */
		rig_in(n);
		rig_until(rig_sent("ack", ID2, NULL) == i);
	}
	assert_int_equal(rig_events("message.given_up"), 1);
	rig_crash();
	assert_int_equal(age_rows(UNREAD_DAYS), 2);
	rig_online();
	rig_settle();
	rig_crash();
	assert_int_equal(age_rows(1), 2);
	rig_online();
	rig_until(age_rows(0) == 0);
	assert_int_equal(rig_events("message.given_up"), 2);
	assert_string_equal(
	    json_string_value(json_object_get(rig_event("message.given_up")->body, "reason")),
	    "expired");
	assert_string_equal(
	    json_string_value(json_object_get(rig_event("message.given_up")->body, "message_id")),
	    ID);
	rig_crash();
	rig_online();
	rig_settle();
	assert_int_equal(rig_events("message.given_up"), 2);
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__DONE;
	rig_in(rig_message(ID, "hello")); /* should it come nevertheless, it is told */
	rig_until(rig_sent("receipt", ID, NULL) > 1);
	assert_int_equal(rig_events("message.received"), 1);
}

/* What is not asked for again, and how it is answered. */
static void
never_asked(void **state)
{
	struct node *n;

	rig_online();
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__NO_SESSION;
	n = rig_message("S1", "x"); /* a status that is over: a receipt, and nothing is told */
	node_set(n, "from", "status@broadcast");
	node_set(n, "participant", RIG_BOB_LID);
	node_set(n, "t", "1699000000");
	rig_in(n);
	rig_until(rig_sent("receipt", "S1", NULL) == 1);
	assert_int_equal(rig_sent("receipt", "S1", "retry"), 0);
	assert_int_equal(rig_events("message.undecryptable"), 0);
	n = rig_message("S2", "x"); /* a bot in a chat of people */
	node_set(n, "from", "867051314767696@bot");
	node_set(node_child_new(n, "meta"), "target_chat_jid", RIG_BOB_LID);
	rig_in(n);
	rig_until(rig_sent("ack", "S2", NULL) == 1);
	assert_int_equal(rig_sent("receipt", "S2", "retry"), 0);
	assert_int_equal(rig_events("message.undecryptable"), 1);
}

/* A hosted device gets keys with the first request already. */
static void
hosted(void **state)
{
	struct node *n;
	struct jid from;

	rig_online();
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__BAD_MAC;
	n = rig_message(ID2, "x");
	assert_int_equal(jid_parse("100000000000002:99@hosted.lid", &from), 0);
	node_set_jid(n, "from", &from);
	rig_in(n);
	rig_until(rig_sent("ack", ID2, NULL) == 1);
	assert_non_null(node_child(rig_last("receipt"), "keys"));
}

/* What the service keeps back: only a plain one is kept, for the phone. */
static void
kept_back(void **state)
{
	static const struct {
		const char *type, *hosted;
		int bot;
		const char *kind;
		size_t rows;
	} rows[] = {{"view_once", NULL, 0, "view_once", 0}, {NULL, "true", 0, "hosted", 0},
	    {NULL, NULL, 1, "bot", 0}, {NULL, NULL, 0, "other", 1}};
	Stored__ScanReply r = STORED__SCAN_REPLY__INIT;
	char id[16];

	rig_online();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct node *n = node_new("message"), *u = node_child_new(n, "unavailable");

		snprintf(id, sizeof(id), "KEPT%zu", i);
		node_set(n, "id", id);
		node_set(n, "from", RIG_BOB_LID);
		node_set(n, "t", "1700000000");
		node_set(u, "type", rows[i].type);
		node_set(u, "hosted", rows[i].hosted);
		if (rows[i].bot)
			node_child_new(n, "bot");
		rig_in(n);
		rig_until(rig_sent("ack", id, NULL) == 1);
		assert_string_equal(json_string_value(json_object_get(
					rig_event("message.undecryptable")->body, "unavailable")),
		    rows[i].kind);
		rig_rows_scan(&rig.kept, &r);
		assert_int_equal(rig.kept.ngiven, rows[i].rows);
	}
	assert_int_equal(rig_sent("receipt", NULL, NULL), 0);
}

static void
bad_plaintext(void **state)
{
	static const uint8_t junk[] = {0xff, 0xff, 0xff, 2, 2};
	struct node *n;

	rig_online();
	n = rig_message(ID, "x");
	node_set_bytes(node_child(n, "enc"), junk, sizeof(junk));
	rig_in(n);
	rig_until(rig_sent("ack", ID, NULL) == 1);
	assert_string_equal(node_get(rig_last("ack"), "error"), "491");
	assert_int_equal(rig_events("message.undecryptable"), 1);
	assert_int_equal(rig_events("server.notice"), 1); /* the bytes are kept */
}

static void
own_and_peer_messages(void **state)
{
	struct node *n;
	struct jid own;

	rig_online();
	assert_int_equal(jid_parse("100000000000009@lid", &own), 0);
	n = rig_message("OWN1", "from my phone");
	node_set_jid(n, "from", &own);
	node_set(n, "recipient", RIG_BOB_LID);
	rig_in(n);
	rig_until(rig_sent("receipt", "OWN1", "sender") == 1);
	assert_string_equal(node_get(rig_last("receipt"), "recipient"), RIG_BOB_LID);
	assert_string_equal(rig_event("message.sent")->origin, "self");

	n = rig_message("OWN2", "note to self");
	node_set_jid(n, "from", &own);
	rig_in(n);
	rig_until(rig_sent("ack", "OWN2", NULL) == 1); /* without recipient: a plain ack */
	assert_int_equal(rig_sent("receipt", "OWN2", NULL), 0);
}

/* Kinds that this version does not know: kept, acked. */
static void
unknown_is_kept(void **state)
{
	struct node *n;

	rig_online();
	n = rig_message("U1", "x");
	node_set(node_child(n, "enc"), "type", "quantum");
	rig_in(n);
	rig_until(rig_sent("ack", "U1", NULL) == 1);
	assert_int_equal(rig_events("server.notice"), 1);

	n = node_new("message");
	node_set(n, "id", "U2");
	node_set(n, "from", RIG_BOB_LID);
	node_set(node_child_new(n, "unavailable"), "type", "view_once");
	rig_in(n);
	rig_until(rig_sent("ack", "U2", NULL) == 1);
	assert_string_equal(json_string_value(json_object_get(
				rig_event("message.undecryptable")->body, "unavailable")),
	    "view_once");

	n = node_new("hologram");
	node_set(n, "id", "U3");
	node_set(n, "from", RIG_BOB_LID);
	rig_in(n);
	rig_until(rig_sent("ack", "U3", NULL) == 1);
	assert_int_equal(rig_events("server.notice"), 2);

	n = node_new("message"); /* without from */
	node_set(n, "id", "U4");
	rig_in(n);
	rig_until(rig_events("server.notice") == 3);
	assert_int_equal(rig_sent("ack", "U4", NULL), 0);
}

/* A stanza that does not decode: a message that can be named is an event, and nacked; both once. */
static void
undecodable(void **state)
{
	static const uint8_t junk[] = {0x00, 0xf8, 0x01, 0x00};
	struct buf b = BUF_INIT;
	struct node *n = rig_message("CUT", "hello");

	rig_online();
	assert_int_equal(node_encode(n, &b), 0);
	node_free(n);
	rig_in_bytes(b.data, b.len - 3);
	rig_until(rig_sent("ack", "CUT", NULL) == 1);
	assert_string_equal(node_get(rig_last("ack"), "error"), "487");
	assert_int_equal(rig_events("message.undecryptable"), 1);
	rig_in_bytes(b.data, b.len - 3);
	rig_until(rig_sent("ack", "CUT", NULL) == 2);
	assert_int_equal(rig_events("message.undecryptable"), 1);
	buf_clear(&b);
	rig_in_bytes(junk, sizeof(junk));
	rig_until(rig_events("server.notice") == 1);
	assert_int_equal(rig_sent("ack", NULL, NULL), 2);
	assert_int_equal(rig.a->n.undecodable, 3);
	assert_int_equal(rig.broken, 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	    T(one_message),
	    T(durable_before_answered),
	    T(commit_fails),
	    T(room_after_the_peer_closed),
	    T(duplicate),
	    T(counter_used_twice),
	    T(same_id_twice),
	    T(duplicate_waits_for_the_first),
	    T(disconnect_before_ack),
	    T(order_of_many),
	    T(outcomes),
	    T(nothing_to_move),
	    T(moved_and_tried_again),
	    T(retries_end),
	    T(retries_go_on),
	    T(given_up),
	    T(expired),
	    T(never_asked),
	    T(hosted),
	    T(kept_back),
	    T(bad_plaintext),
	    T(own_and_peer_messages),
	    T(unknown_is_kept),
	    T(undecodable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
