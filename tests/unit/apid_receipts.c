/* Receipts: collected while the backlog is delivered; those that come, and requests for a resend.
 */
#include "tests/unit/apid_engine_rig.h"

#include "apid/message/receipts.h"

static void
backlog_message(const char *id, const char *from)
{
	struct node *n = rig_message(id, "x");
	struct jid j;

	assert_int_equal(jid_parse(from, &j), 0);
	node_set_jid(n, "from", &j);
	node_set(n, "sender_pn", NULL);
	node_set(n, "offline", "1");
	rig_in(n);
}

/* One stanza for all messages of a device; another for another device; flushed at the end. */
static void
aggregation(void **state)
{
	const struct node *n;
	char id[16];

	rig_start();
	rig_connect();
	for (int i = 0; i < 5; i++) {
		snprintf(id, sizeof(id), "M%d", i);
		backlog_message(id, i == 3 ? "100000000000002@lid" : "100000000000002:5@lid");
	}
	rig_until(receipts_collected(rig.a) == 5);
	assert_int_equal(rig_sent("receipt", NULL, NULL), 0);
	rig_offline_end();
	rig_until(rig_sent("receipt", NULL, "inactive") == 2);
	n = rig_last("receipt");
	assert_string_equal(node_get(n, "id"), "M3");
	assert_null(node_child(n, "list"));
	for (size_t i = 0; i < rig.nout; i++)
		if (node_is(rig.out[i], "receipt") && node_child(rig.out[i], "list") != NULL)
			n = rig.out[i];
	assert_string_equal(node_get(n, "id"), "M0");
	assert_string_equal(node_get(n, "to"), "100000000000002:5@lid");
	assert_non_null(node_get(n, "t"));
	assert_int_equal(node_child(n, "list")->nchildren, 3);
	assert_string_equal(node_get(node_child(n, "list")->children[2], "id"), "M4");
	assert_int_equal(receipts_collected(rig.a), 0);
	assert_string_equal(rig_event("message.received")->origin, "offline");
}

/* A stanza holds 256 ids at most. */
static void
aggregation_bound(void **state)
{
	struct envelope e = {0};
	const struct node *n;

	rig_start();
	rig_connect();
	assert_int_equal(jid_parse("100000000000002:5@lid", &e.from), 0);
	for (int i = 0; i < 300; i++) {
		snprintf(e.id, sizeof(e.id), "M%d", i);
		receipts_owe(rig.a, &e);
	}
	rig_until(rig_sent("receipt", NULL, NULL) == 1);
	n = rig_last("receipt");
	assert_int_equal(node_child(n, "list")->nchildren, 255);
	assert_int_equal(receipts_collected(rig.a), 44);
	rig_until(rig_sent("receipt", NULL, NULL) == 2); /* also when no end of the backlog comes */
	assert_int_equal(node_child(rig_last("receipt"), "list")->nchildren, 43);
}

/* What was collected and not sent is not sent on the next connection: those messages come again. */
static void
forgotten_with_the_connection(void **state)
{
	struct envelope e = {.id = "M1"};

	rig_start();
	rig_connect();
	assert_int_equal(jid_parse("100000000000002:5@lid", &e.from), 0);
	receipts_owe(rig.a, &e);
	assert_int_equal(receipts_collected(rig.a), 1);
	rig_lose();
	assert_int_equal(receipts_collected(rig.a), 0);
	rig_connect();
	rig_offline_end();
	rig_settle();
	assert_int_equal(rig_sent("receipt", NULL, NULL), 0);
}

static void
types(void **state)
{
	static const struct {
		struct envelope e;
		const char *type;
	} rows[] = {
	    {{.kind = ENVELOPE_DIRECT}, "inactive"},
	    {{.kind = ENVELOPE_GROUP}, "inactive"},
	    {{.kind = ENVELOPE_STATUS}, ""},
	    {{.kind = ENVELOPE_CHANNEL}, NULL},
	    {{.kind = ENVELOPE_DIRECT, .peer = 1, .from_me = 1}, "peer_msg"},
	    {{.kind = ENVELOPE_DIRECT, .from_me = 1, .has_recipient = 1}, "sender"},
	    {{.kind = ENVELOPE_DIRECT, .from_me = 1}, NULL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *t = receipts_type(rig.a, &rows[i].e);

		if (rows[i].type == NULL)
			assert_null(t);
		else
			assert_string_equal(t, rows[i].type);
	}
}

static void
receipt_in(const char *id, const char *from, const char *type, const char *more)
{
	struct node *n = node_new("receipt");

	node_set(n, "id", id);
	node_set(n, "from", from);
	node_set(n, "type", type);
	node_set(n, "t", "1700000005");
	if (more != NULL)
		node_set(node_child_new(node_child_new(n, "list"), "item"), "id", more);
	rig_in(n);
}

static void
incoming(void **state)
{
	rig_online();
	receipt_in("R1", RIG_BOB_LID, "read", "R2");
	rig_until(rig_sent("ack", "R1", "read") == 1);
	assert_int_equal(rig.receipts, 2);
	assert_int_equal(rig_events("message.status"), 2);
	receipt_in("R1", RIG_BOB_LID, "read", "R2"); /* again: told once */
	rig_until(rig_sent("ack", "R1", "read") == 2);
	assert_int_equal(rig_events("message.status"), 2);

	receipt_in("R3", "100000000000009@lid", NULL, NULL); /* from our own phone: says nothing */
	rig_until(rig_sent("ack", "R3", NULL) == 1);
	receipt_in("R4", "100000000000009@lid", "sender", NULL);
	rig_until(rig_sent("ack", "R4", NULL) == 1);
	assert_int_equal(rig_events("message.status"), 2);
	receipt_in("R5", "100000000000009@lid", "read", NULL); /* read on our own phone */
	rig_until(rig_sent("ack", "R5", NULL) == 1);
	assert_int_equal(rig_events("message.read"), 1);
	receipt_in("R6", RIG_BOB_LID, "view", NULL); /* of a kind that is kept raw */
	rig_until(rig_sent("ack", "R6", NULL) == 1);
	assert_int_equal(rig_events("server.notice"), 1);
}

/* The store is told to which chats the message may have gone, so that a stranger's word counts for
 * nothing. */
static void
incoming_names_its_chat(void **state)
{
	rig_online();
	receipt_in("R1", RIG_BOB_LID, "read", NULL);
	rig_until(rig.receipts == 1);
	assert_string_equal(rig.receipt_chats, " " RIG_BOB_LID " " RIG_BOB_PN);
	receipt_in("R1", RIG_BOB_PN, "read", NULL);
	rig_until(rig.receipts == 2);
	assert_string_equal(rig.receipt_chats, " " RIG_BOB_PN " " RIG_BOB_LID);
	receipt_in("R1", "15550009999@s.whatsapp.net", NULL, NULL);
	rig_until(rig.receipts == 3);
	assert_string_equal(rig.receipt_chats, " 15550009999@s.whatsapp.net");
}

static void
incoming_not_durable(void **state)
{
	rig_online();
	snprintf(rig.fail_commit, sizeof(rig.fail_commit), "io");
	receipt_in("R1", RIG_BOB_LID, "read", NULL);
	rig_until(rig.restarts == 1);
	assert_int_equal(rig_sent("ack", "R1", NULL), 0);
}

/* Another process has gone while a receipt is being written: whoever is told by one channel may
 * turn to another, which takes nothing any more. What this test is for shows under a sanitizer. */
static void
end_while_written(void **state)
{
	rig_online();
	rig.hold_commits = 1;
	receipt_in("R1", RIG_BOB_LID, "read", NULL);
	rig_until(rig.nheld > 0);
	rig.abrupt = 1;
	rig_end_service();
	assert_int_equal(rig.restarts, 0);
	rig_begin_service();
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	    T(aggregation),
	    T(aggregation_bound),
	    T(forgotten_with_the_connection),
	    T(types),
	    T(incoming),
	    T(incoming_names_its_chat),
	    T(incoming_not_durable),
	    T(end_while_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
