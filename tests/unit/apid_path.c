/* The path of a message: what must not stop it, lose it, or bring it twice. */
#include "tests/unit/apid_engine_rig.h"

#include "apid/message/contacts.h"

/* ------------------------------------------------------------------ in */

static struct node *
offline(struct node *n)
{
	return node_set(n, "offline", "1");
}

/* A text whose JSON is many times its size: it is acked, and the log has it whole, in raw. */
static void
body_that_is_big_as_json(void **state)
{
	static char text[60001];
	const json_t *msg, *content;

	memset(text, 1, sizeof(text) - 1);
	rig_online();
	rig_in(rig_message("M1", text));
	rig_until(rig_sent("receipt", "M1", NULL) == 1);
	assert_int_equal(rig.restarts, 0);
	assert_int_equal(rig_events("message.received"), 1);
	msg = json_object_get(rig_event("message.received")->body, "message");
	content = json_object_get(msg, "content");
	assert_true(json_is_true(json_object_get(content, "truncated")));
	assert_true(json_string_length(json_object_get(content, "text")) > 0);
	assert_true(json_string_length(json_object_get(msg, "raw_b64")) > 60000 / 3 * 4);
}

/* The same of our own: it is sent. */
static void
own_text_that_is_big_as_json(void **state)
{
	static char text[60001];

	memset(text, 1, sizeof(text) - 1);
	rig_online();
	rig_send(RIG_BOB_LID, "k1", text, SEND_WAIT_QUEUED, 5000);
	rig_until(rig.answers == 1);
	assert_non_null(rig.result);
	rig_until(rig_sent("message", NULL, NULL) == 1);
}

/* Nor do long attributes and tags stop anything. */
static void
attributes_without_end(void **state)
{
	static char text[300001];
	struct node *n;

	memset(text, 'x', sizeof(text) - 1);
	rig_online();
	n = rig_message("M1", "hello");
	node_set(n, "notify", text);
	rig_in(n);
	rig_until(rig_sent("receipt", "M1", NULL) == 1);
	n = node_new("notification");
	node_set(n, "id", "N1");
	node_set(n, "from", "s.whatsapp.net");
	node_set(n, "type", text);
	rig_in(n);
	rig_until(rig_sent("ack", "N1", NULL) == 1);
	assert_int_equal(rig.restarts, 0);
	assert_int_equal(rig_events("message.received"), 1);
	assert_int_equal(rig_events("server.notice"), 1 + 1); /* and a part of the raw bytes */
}

/* keyd or the store refuses one message again and again: it becomes a placeholder, and those behind
 * it come through. */
static void
one_that_always_fails(void **state)
{
	int i;

	rig_online();
	snprintf(rig.fail_code, sizeof(rig.fail_code), "internal");
	for (i = 0; i < 20 && rig_events("message.undecryptable") == 0; i++) {
		size_t restarts = rig.restarts;

		snprintf(rig.fail_with_event, sizeof(rig.fail_with_event), "message.received");
		rig_in(offline(rig_message("M1", "poison")));
		rig_until(rig.restarts == restarts + 1 || rig_events("message.undecryptable") == 1);
		if (rig.restarts == restarts)
			break;
		assert_int_equal(rig_sent("ack", "M1", NULL), 0);
		rig_lose();
		rig_connect();
	}
	assert_true(i >= 3 && i < 20); /* not at once: it may pass */
	assert_string_equal(
	    json_string_value(json_object_get(rig_event("message.undecryptable")->body, "reason")),
	    "failed");
	rig_until(rig_sent("ack", "M1", NULL) == 1);
	assert_string_equal(node_get(rig_last("ack"), "error"), "500");
	rig.fail_with_event[0] = '\0';
	rig_in(rig_message("M2", "the next"));
	rig_until(rig_events("message.received") == 1);
}

/* The contacts of number and LID are merged between the first delivery and the second. */
static void
merged_before_it_comes_again(void **state)
{
	struct node *n;
	struct jid pn;

	rig.know_lid = 0;
	rig_online();
	assert_int_equal(jid_parse("15550002222:5@s.whatsapp.net", &pn), 0);
	n = rig_message("M1", "by number");
	node_set_jid(n, "from", &pn);
	node_set(n, "sender_pn", NULL);
	rig_in(n);
	rig_until(rig_events("message.received") == 1);
	n = rig_message("M2", "by LID");
	node_set(n, "sender_pn", NULL);
	rig_in(n);
	rig_until(rig_events("message.received") == 2);
	rig_in(rig_message("M3", "both are one"));
	rig_until(rig_events("message.received") == 3);
	rig_settle();

	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__DUPLICATE;
	n = rig_message("M1", "by number");
	node_set_jid(n, "from", &pn);
	node_set(n, "sender_pn", NULL);
	rig_in(n);
	rig_until(rig_sent("receipt", "M1", NULL) == 2);
	assert_int_equal(rig_sent("receipt", "M1", "retry"), 0);
	assert_int_equal(rig_events("message.undecryptable"), 0);
}

/* offline.done comes behind what it speaks of. */
static void
end_of_the_backlog(void **state)
{
	rig_start();
	rig_connect();
	for (int i = 0; i < 3; i++) {
		char id[8];

		snprintf(id, sizeof(id), "M%d", i);
		rig_in(offline(rig_message(id, "queued")));
	}
	rig_offline_end();
	rig_until(rig_events("message.received") == 3 && rig_events("offline.done") == 1);
	assert_ptr_equal(rig_event("offline.done"), &rig.events[rig.nevents - 1]);
	assert_int_equal(
	    json_integer_value(json_object_get(rig_event("offline.done")->body, "count")), 3);
}

/* ------------------------------------------------------------------ retry requests */

/* More requests for a resend than stanzas may be under way, each in need of keys of the service. */
static void
many_retries(void **state)
{
	char id[32];
	struct jid j;

	rig_online();
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_QUEUED, 5000);
	rig_until(rig_sent("message", NULL, NULL) == 1);
	snprintf(id, sizeof(id), "%s", node_get(rig_last("message"), "id"));
	assert_int_equal(jid_parse("100000000000002:5@lid", &j), 0);
	for (int i = 0; i < 600; i++) {
		struct node *n = node_new("receipt"), *r = node_child_new(n, "retry");
		char rid[32];

		snprintf(rid, sizeof(rid), "R%d", i);
		node_set(n, "id", rid);
		node_set_jid(n, "from", &j);
		node_set(n, "type", "retry");
		node_set(r, "id", id);
		node_set(r, "count", "2");
		rig_in(n);
	}
	rig_until(rig_sent("ack", NULL, "retry") == 600);
	assert_int_equal(rig.restarts, 0);
	rig_in(rig_message("M1", "after them"));
	rig_until(rig_events("message.received") == 1);
}

/* ------------------------------------------------------------------ out */

/* Its commit is answered while the next login goes on: it goes out once. */
static void
committed_in_the_backlog(void **state)
{
	rig_online();
	rig.hold_commits = 1;
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_SERVER, 60000);
	rig_until(rig.nheld == 1);
	rig_lose();
	rig.hold_commits = 0;
	rig_connect();
	rig_release();
	rig_settle();
	rig_offline_end();
	rig_until(rig_sent("message", NULL, NULL) >= 1);
	rig_settle();
	assert_int_equal(rig_sent("message", NULL, NULL), 1);
	rig_ack(node_get(rig_last("message"), "id"), NULL);
	rig_until(rig.answers == 1);
	assert_non_null(rig.result);
}

/* The store answers too late, but does it: the row is found and sent without a new login. */
static void
committed_after_the_deadline(void **state)
{
	struct rig_row *row = &rig.rows[0];

	rig_online();
	snprintf(rig.fail_with_event, sizeof(rig.fail_with_event), "message.sent");
	snprintf(rig.fail_code, sizeof(rig.fail_code), "timeout");
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_QUEUED, 60000);
	rig_until(rig.answers == 1);
	assert_string_equal(rig.err_reason, "outcome_unknown");
	assert_int_equal(rig_sent("message", NULL, NULL), 0);
	rig_send(RIG_BOB_LID, "k2", "other", SEND_WAIT_QUEUED, 60000);
	rig_until(rig_sent("message", NULL, NULL) == 1);
	/* a copy of the second stands for the first */
	row[1] = row[0];
	rig.nrows = 2;
	snprintf(row[1].id, sizeof(row[1].id), "3EB0LATE");
	row[1].stanza = rig_dup(&(ProtobufCBinaryData){row[0].stanza_len, row[0].stanza});
	row[1].content = rig_dup(&(ProtobufCBinaryData){row[0].content_len, row[0].content});
	rig_until(rig_sent("message", NULL, NULL) == 2);
}

/* The clock was ahead when the device was linked, and is right now. */
static void
linked_in_the_future(void **state)
{
	rig.linked_ms = clock_wall_ms() + 3600000;
	rig_start();
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_QUEUED, 60000);
	rig_until(rig.answers == 1);
	assert_non_null(rig.result);
	rig_connect();
	rig_offline_end();
	rig_until(rig_sent("message", NULL, NULL) == 1 || rig_events("message.status") > 1);
	assert_int_equal(rig_sent("message", NULL, NULL), 1);
}

/* The n-th message that went out, from 0, holds this text. */
static int
holds(size_t nth, const char *text)
{
	for (size_t i = 0; i < rig.nout; i++) {
		const struct node *enc;

		if (!node_is(rig.out[i], "message") || nth-- > 0)
			continue;
		enc = node_child(node_child(node_child(rig.out[i], "participants"), "to"), "enc");
		return memmem(enc->bytes, enc->nbytes, text, strlen(text)) != NULL;
	}
	return 0;
}

/* One is being written into the queue when the way is free for the next of its chat. */
static void
order_at_the_end_of_the_queue(void **state)
{
	rig_start();
	rig_connect();
	rig_settle();
	rig.hold_commits = 1;
	rig_send(RIG_BOB_LID, "k1", "AAAA", SEND_WAIT_QUEUED, 60000);
	rig_until(rig.nheld == 1);
	rig_offline_end();
	rig_settle();
	rig_send(RIG_BOB_LID, "k2", "BBBB", SEND_WAIT_QUEUED, 60000);
	rig_settle();
	rig_release();
	rig_until(rig_sent("message", NULL, NULL) == 2);
	assert_true(holds(0, "AAAA"));
	assert_true(holds(1, "BBBB"));
}

/* The service ends the connection whenever it gets one message: the others go on. */
static void
never_acked(void **state)
{
	char poison[64];

	rig_online();
	rig_send(RIG_BOB_LID, "k1", "poison", SEND_WAIT_QUEUED, 60000);
	for (size_t i = 1; i <= 3; i++) {
		rig_until(rig_sent("message", NULL, NULL) == i);
		rig_lose();
		rig_connect();
		rig_offline_end();
	}
	snprintf(poison, sizeof(poison), "%s", node_get(rig_last("message"), "id"));
	rig_settle();
	assert_int_equal(rig_sent("message", poison, NULL), 3);
	rig_send(RIG_BOB_LID, "k2", "another", SEND_WAIT_SERVER, 60000);
	rig_until(rig_sent("message", NULL, NULL) == 4);
	assert_string_not_equal(node_get(rig_last("message"), "id"), poison);
	assert_int_equal(rig_row(poison)->state, STORED__OUTBOX_STATE__READY);
	rig.answers = 0;
	rig_ack(node_get(rig_last("message"), "id"), NULL);
	rig_until(rig.answers == 1);
}

/* An ack whose error is no number is none of success. */
static void
refused_in_words(void **state)
{
	rig_online();
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_SERVER, 60000);
	rig_until(rig_sent("message", NULL, NULL) == 1);
	rig_ack(node_get(rig_last("message"), "id"), "not-acceptable");
	rig_until(rig.answers == 1);
	assert_string_equal(rig.err_reason, "refused");
}

/* Asking for people that nobody ever writes to does not fill the memory. */
static void
people_without_end(void **state)
{
	static const char *const ids[] = {"M1"};
	struct mark_request m = {.message_ids = ids, .n = 1, .receipts = MARK_ALWAYS};
	size_t max = CONTACTS_DIRTY_FACTOR * CONTACTS_CACHE_MAX;
	char number[32];

	m.chat = number;
	rig_online();
	for (size_t i = 0; i < max + 500; i++) {
		snprintf(number, sizeof(number), "+1666%07zu", i);
		chat_mark(rig.a, &rig, &m, rig_done, NULL);
		if (i % 50 == 49) {
			rig_until(rig.answers == (int)i + 1);
			rig_out_clear();
		}
	}
	rig_until(rig.answers == (int)max + 500);
	assert_true(contacts_count(rig.a) > CONTACTS_CACHE_MAX);
	assert_true(contacts_count(rig.a) <= max);
}

/* Who is first seen because our own phone read his message is kept with that event. */
static void
read_elsewhere(void **state)
{
	struct node *n = node_new("receipt");
	struct jid own, carol;

	rig_online();
	assert_int_equal(jid_parse("100000000000009@lid", &own), 0);
	assert_int_equal(jid_parse("100000000000033@lid", &carol), 0);
	node_set(n, "id", "M1");
	node_set_jid(n, "from", &own);
	node_set_jid(n, "recipient", &carol);
	node_set(n, "type", "read");
	rig_in(n);
	rig_until(rig_sent("ack", "M1", NULL) == 1);
	assert_int_equal(rig_events("message.read"), 1);
	assert_string_equal(rig.contact, "100000000000033");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	    T(body_that_is_big_as_json),
	    T(own_text_that_is_big_as_json),
	    T(attributes_without_end),
	    T(one_that_always_fails),
	    T(merged_before_it_comes_again),
	    T(end_of_the_backlog),
	    T(many_retries),
	    T(committed_in_the_backlog),
	    T(committed_after_the_deadline),
	    T(linked_in_the_future),
	    T(order_at_the_end_of_the_queue),
	    T(never_acked),
	    T(refused_in_words),
	    T(people_without_end),
	    T(read_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
