/* Incoming messages between the three peers: durable before answered, once, in order. */
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
	    {KEYD__DECRYPT_RESULT__OUTCOME__UNTRUSTED, "untrusted_identity", NULL, "500", 0},
	    {KEYD__DECRYPT_RESULT__OUTCOME__FAILED, "failed", NULL, "500", 0},
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
		n = rig_last("receipt");
		assert_string_equal(node_get(node_child(n, "retry"), "error"), rows[i].error);
		assert_string_equal(node_get(node_child(n, "retry"), "count"), "1");
		assert_int_equal(node_child(n, "keys") != NULL, rows[i].keys);
	}
}

/* The reason is that of the session under the LID, where there is none under the number. */
static void
reason_of_the_first_try(void **state)
{
	rig_online();
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__BAD_MAC;
	rig.unknown_by_number = 1;
	rig_in(rig_message(ID, "x"));
	rig_until(rig_sent("ack", ID, NULL) == 1);
	assert_int_equal(rig.decrypts, 2);
	assert_string_equal(
	    json_string_value(json_object_get(rig_event("message.undecryptable")->body, "reason")),
	    "bad_mac");
	assert_string_equal(node_get(node_child(rig_last("receipt"), "retry"), "error"), "7");
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
	    T(reason_of_the_first_try),
	    T(retries_end),
	    T(bad_plaintext),
	    T(own_and_peer_messages),
	    T(unknown_is_kept),
	    T(undecodable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
