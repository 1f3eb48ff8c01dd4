/* Outgoing messages between the three peers: durable before sent, once, in order, whatever fails.
 */
#include "tests/unit/apid_engine_rig.h"

static const char *
status(void)
{
	return json_string_value(json_object_get(rig.result, "status"));
}

static const char *
message_id(void)
{
	return json_string_value(json_object_get(rig.result, "message_id"));
}

static size_t
messages(void)
{
	return rig_sent("message", NULL, NULL);
}

/* The whole way to the ack: to the LID, each device an enc, our phone a copy. */
static void
one_message(void **state)
{
	const struct node *n, *parts;
	char id[32];

	snprintf(rig.bob_devices, sizeof(rig.bob_devices), "0");
	rig_online();
	rig_send("+15550002222", "k1", "hello", SEND_WAIT_SERVER, 5000);
	rig_until(messages() == 1);
	n = rig_last("message");
	assert_string_equal(node_get(n, "to"), RIG_BOB_LID);
	assert_string_equal(node_get(n, "type"), "text");
	assert_int_equal(strlen(node_get(n, "id")), 22);
	assert_memory_equal(node_get(n, "id"), "3EB0", 4);
	parts = node_child(n, "participants");
	assert_int_equal(parts->nchildren, 2);
	assert_string_equal(node_get(parts->children[0], "jid"), RIG_BOB_LID);
	assert_string_equal(node_get(parts->children[1], "jid"), "100000000000009@lid");
	assert_string_equal(node_get(node_child(parts->children[0], "enc"), "type"), "msg");
	assert_null(node_child(n, "device-identity"));
	assert_int_equal(rig.rows[0].state, STORED__OUTBOX_STATE__READY);
	assert_int_equal(rig.answers, 0);
	snprintf(id, sizeof(id), "%s", node_get(n, "id"));
	rig_ack(id, NULL);
	rig_until(rig.answers == 1);
	assert_string_equal(status(), "server");
	assert_string_equal(message_id(), id);
	assert_int_equal(rig.rows[0].state, STORED__OUTBOX_STATE__ACKED);
	assert_int_equal(rig_events("message.sent"), 1);
	assert_int_equal(rig_events("message.status"), 1);
}

/* Hosted devices are left out of the fan-out, by their number or by what the service says of them
 * (protocol page 04, 8.2): nobody encrypts for them, and the service is not asked for their keys.
 */
static void
hosted_are_left_out(void **state)
{
	const struct node *parts;

	snprintf(rig.bob_devices, sizeof(rig.bob_devices), "0,5,99");
	rig.no_sessions = 1;
	rig_online();
	rig_send("+15550002222", "k1", "hello", SEND_WAIT_SERVER, 5000);
	rig_until(messages() == 1);
	parts = node_child(rig_last("message"), "participants");
	assert_int_equal(parts->nchildren, 3); /* his phone, his device 5, our phone */
	for (size_t i = 0; i < parts->nchildren; i++)
		assert_null(strstr(node_get(parts->children[i], "jid"), ":99@"));
	for (size_t i = 0; i < rig.nout; i++) {
		const struct node *key = node_child(rig.out[i], "key");

		for (size_t k = 0; key != NULL && k < key->nchildren; k++) {
			const char *jid = node_get(key->children[k], "jid");

			assert_true(jid == NULL || strstr(jid, ":99@") == NULL);
		}
	}
	assert_int_equal(rig.rows[0].ndevices, 3);
}

static void
durable_before_sent(void **state)
{
	rig_online();
	rig.hold_commits = 1;
	rig_send(RIG_BOB_PN, "k1", "hello", SEND_WAIT_QUEUED, 5000);
	rig_until(rig.encrypts == 1 && rig.nheld > 0);
	rig_settle();
	assert_int_equal(messages(), 0);
	assert_int_equal(rig.answers, 0);
	rig_release();
	rig_until(messages() == 1 && rig.answers == 1);
	assert_string_equal(status(), "queued");
}

static void
sessions_are_built(void **state)
{
	const struct node *n;

	rig.no_sessions = 1;
	rig_online();
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_SERVER, 5000);
	rig_until(messages() == 1);
	n = rig_last("message");
	assert_string_equal(
	    node_get(node_child(node_child(n, "participants")->children[0], "enc"), "type"),
	    "pkmsg");
	assert_non_null(node_child(n, "device-identity"));
	assert_int_equal(rig.bundles, 2);
}

/* Nothing of it happened: the client is told, nothing is sent; the same key works later. */
static void
commit_fails(void **state)
{
	rig_online();
	snprintf(rig.fail_with_event, sizeof(rig.fail_with_event), "message.sent");
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_SERVER, 5000);
	rig_until(rig.answers == 1);
	assert_null(rig.result);
	assert_int_equal(rig.err.code, -2);
	rig_settle();
	assert_int_equal(messages(), 0);
	assert_int_equal(rig.nrows, 0);
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_QUEUED, 5000);
	rig_until(rig.answers == 2 && messages() == 1);
	assert_string_equal(status(), "queued");
}

/* A unit that was built on one that failed fails as well, by itself: the message is encrypted anew
 * and goes out under its id. Not for ever. */
static void
earlier_unit_failed(void **state)
{
	static const struct {
		const char *code;
		unsigned fails;
		int sent;
	} rows[] = {
	    {"version", 1, 1},
	    {"unit", 1, 1},
	    {"version", 3, 1},
	    {"version", 4, 0},
	    {"io", 1, 0},
	};
	size_t out = 0;
	char key[8];

	rig_online();
	for (int i = 0; i < (int)(sizeof(rows) / sizeof(rows[0])); i++) {
		size_t before = rig.encrypts;

		snprintf(key, sizeof(key), "k%d", i);
		snprintf(rig.fail_code, sizeof(rig.fail_code), "%s", rows[i].code);
		snprintf(rig.fail_with_event, sizeof(rig.fail_with_event), "message.sent");
		rig.fail_more = rows[i].fails - 1;
		rig_send(RIG_BOB_LID, key, "hello", SEND_WAIT_QUEUED, 9000);
		rig_until(rig.answers == i + 1);
		rig_settle();
		out += (size_t)rows[i].sent;
		assert_int_equal(messages(), out);
		assert_int_equal(rig.nrows, out);
		if (rows[i].sent) {
			assert_string_equal(status(), "queued");
			assert_string_equal(message_id(), node_get(rig_last("message"), "id"));
			assert_int_equal(rig.encrypts - before, rows[i].fails + 1);
		} else {
			assert_int_equal(rig.err.code, -2);
		}
	}
}

/* Those that were built on it fail too; all go out, in their order. */
static void
earlier_units_failed_in_order(void **state)
{
	char key[16];
	size_t k = 0;

	rig_online();
	rig.hold_commits = 1;
	for (int i = 0; i < 10; i++) {
		snprintf(key, sizeof(key), "o%02d", i);
		rig_send(RIG_BOB_LID, key, "x", SEND_WAIT_QUEUED, 9000);
	}
	rig_until(rig.nheld >= 10 && rig.encrypts == 10);
	snprintf(rig.fail_code, sizeof(rig.fail_code), "version");
	snprintf(rig.fail_with_event, sizeof(rig.fail_with_event), "message.sent");
	rig.fail_more = 9;
	rig_release();
	rig_until(messages() == 10 && rig.answers == 10);
	for (size_t i = 0; i < rig.nout; i++) {
		if (!node_is(rig.out[i], "message"))
			continue;
		snprintf(key, sizeof(key), "o%02zu", k++);
		assert_string_equal(rig_row(node_get(rig.out[i], "id"))->key, key);
	}
	assert_int_equal(rig.nrows, 10);
}

/* Two contacts turn out to be one while messages to one of them wait for their turn. */
static void
merged_while_they_wait(void **state)
{
	char key[8];
	size_t k = 0;

	rig_online();
	rig_send("100000000000003@lid", "k0", "hello", SEND_WAIT_QUEUED, 9000);
	rig_until(messages() == 1 && rig.answers == 1);
	rig.hold_encrypt = 1;
	for (int i = 1; i < 5; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		rig_send("+15550003333", key, "hello", SEND_WAIT_QUEUED, 9000);
	}
	rig_until(rig.held_encrypt != NULL);
	rig_settle();
	contacts_learn_pair(rig.a, "15550003333", "100000000000003", "other");
	rig_send("100000000000003@lid", "k5", "hello", SEND_WAIT_QUEUED, 9000); /* after them */
	rig_settle();
	rig_on_encrypt(rig.held_encrypt, &rig);
	message_release(rig.held_encrypt);
	rig_until(messages() == 6 && rig.answers == 6);
	for (size_t i = 0; i < rig.nout; i++) {
		if (!node_is(rig.out[i], "message"))
			continue;
		snprintf(key, sizeof(key), "k%zu", k++);
		assert_string_equal(rig_row(node_get(rig.out[i], "id"))->key, key);
	}
	assert_string_equal(node_get(rig_last("message"), "to"), "100000000000003@lid");
}

static void
idempotent(void **state)
{
	char id[32];

	rig_online();
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_QUEUED, 5000);
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_QUEUED, 5000); /* at the same time */
	rig_until(rig.answers == 2);
	snprintf(id, sizeof(id), "%s", message_id());
	assert_true(json_is_true(json_object_get(rig.result, "duplicate")));
	rig_settle();
	assert_int_equal(messages(), 1);
	assert_int_equal(rig.nrows, 1);
	rig_ack(id, NULL);
	rig_until(rig.rows[0].state == STORED__OUTBOX_STATE__ACKED);
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_SERVER, 5000); /* later */
	rig_until(rig.answers == 3);
	assert_string_equal(message_id(), id);
	assert_string_equal(status(), "server");
	assert_int_equal(messages(), 1);
	rig_send(
	    RIG_BOB_LID, "k1", "other", SEND_WAIT_SERVER, 5000); /* the key of another message */
	rig_until(rig.answers == 4);
	assert_int_equal(rig.err.code, -9);
	assert_string_equal(rig.err_reason, "key_reused");
}

/* The ack is lost with the connection: the same bytes go out again, once. */
static void
disconnect_before_ack(void **state)
{
	struct buf one = BUF_INIT, two = BUF_INIT;
	char id[32];

	rig_online();
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_SERVER, 9000);
	rig_until(messages() == 1);
	snprintf(id, sizeof(id), "%s", node_get(rig_last("message"), "id"));
	assert_int_equal(node_encode(rig_last("message"), &one), 0);
	rig_lose();
	assert_int_equal(rig.answers, 0);
	rig_connect();
	rig_offline_end();
	rig_until(messages() == 2);
	assert_int_equal(node_encode(rig_last("message"), &two), 0);
	assert_int_equal(one.len, two.len);
	assert_memory_equal(one.data, two.data, one.len);
	assert_int_equal(rig.encrypts, 1);
	rig_ack(id, NULL);
	rig_until(rig.answers == 1);
	assert_string_equal(status(), "server");
	rig_settle();
	assert_int_equal(messages(), 2);
	buf_clear(&one);
	buf_clear(&two);
}

/* Killed between the send and the ack: after the restart the same bytes, then done. */
static void
ack_lost_then_restart(void **state)
{
	char id[32];

	rig_online();
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_SERVER, 9000);
	rig_until(messages() == 1);
	snprintf(id, sizeof(id), "%s", node_get(rig_last("message"), "id"));
	rig_crash();
	rig_online();
	rig_until(rig_sent("message", id, NULL) == 2);
	assert_int_equal(rig.encrypts, 1);
	rig_ack(id, NULL);
	rig_until(rig.rows[0].state == STORED__OUTBOX_STATE__ACKED);
	rig_lose();
	rig_connect();
	rig_offline_end();
	rig_settle();
	assert_int_equal(rig_sent("message", id, NULL), 2);
}

/* Offline: the intent is durable, the client hears "queued" or has to ask again; it goes out in
 * order. */
static void
offline(void **state)
{
	char id[3][32];

	rig_online();
	rig_lose();
	for (int i = 0; i < 3; i++) {
		char key[8];

		snprintf(key, sizeof(key), "k%d", i);
		rig_send(RIG_BOB_LID, key, "hello", SEND_WAIT_QUEUED, 5000);
		rig_until(rig.answers == i + 1);
		assert_string_equal(status(), "queued");
		snprintf(id[i], sizeof(id[i]), "%s", message_id());
		assert_int_equal(rig.rows[i].state, STORED__OUTBOX_STATE__QUEUED);
	}
	assert_int_equal(rig.encrypts, 0);
	rig_send(RIG_BOB_LID, "k9", "hello", SEND_WAIT_SERVER, 50);
	rig_until(rig.answers == 4);
	assert_int_equal(rig.err.code, -11);
	assert_string_equal(rig.err_reason, "outcome_unknown");
	rig_connect();
	rig_offline_end();
	rig_until(messages() == 4);
	for (int i = 0, k = 0; i < (int)rig.nout; i++)
		if (node_is(rig.out[i], "message") && k < 3)
			assert_string_equal(node_get(rig.out[i], "id"), id[k++]);
	for (int i = 0; i < 4; i++)
		assert_int_equal(rig.rows[i].state, STORED__OUTBOX_STATE__READY);
}

/* Many to one chat keep their order; sends do not wait for each other's commit. */
static void
order_in_a_chat(void **state)
{
	char key[16];
	size_t k = 0;

	rig_online();
	for (int i = 0; i < 50; i++) {
		snprintf(key, sizeof(key), "o%02d", i);
		rig_send(i % 2 ? RIG_BOB_PN : RIG_BOB_LID, key, "x", SEND_WAIT_QUEUED, 9000);
	}
	rig_until(messages() == 50 && rig.answers == 50);
	for (size_t i = 0; i < rig.nout; i++) {
		if (!node_is(rig.out[i], "message"))
			continue;
		snprintf(key, sizeof(key), "o%02zu", k);
		assert_string_equal(rig_row(node_get(rig.out[i], "id"))->key, key);
		k++;
	}
}

/* With whom there is a session is asked once; and it is made anew, once, when it is gone, without
 * one message overtaking another. */
static void
sessions_lost_in_between(void **state)
{
	char key[16];
	size_t asked, bundles, k = 0;

	rig_online();
	rig_send(RIG_BOB_LID, "o00", "x", SEND_WAIT_QUEUED, 9000);
	rig_until(messages() == 1 && rig.answers == 1);
	asked = rig.asked_sessions;
	rig_send(RIG_BOB_LID, "o01", "x", SEND_WAIT_QUEUED, 9000);
	rig_until(messages() == 2 && rig.answers == 2);
	assert_int_equal(rig.asked_sessions, asked);
	bundles = rig.bundles;
	rig.lost_sessions = 1;
	for (int i = 2; i < 20; i++) {
		snprintf(key, sizeof(key), "o%02d", i);
		rig_send(RIG_BOB_LID, key, "x", SEND_WAIT_QUEUED, 9000);
	}
	rig_until(messages() == 20 && rig.answers == 20);
	assert_in_range(rig.bundles - bundles, 1, 8); /* one for each device */
	for (size_t i = 0; i < rig.nout; i++) {
		if (!node_is(rig.out[i], "message"))
			continue;
		snprintf(key, sizeof(key), "o%02zu", k);
		assert_string_equal(rig_row(node_get(rig.out[i], "id"))->key, key);
		k++;
	}
}

static void
refusals(void **state)
{
	static const struct {
		const char *error;
		int code;
		const char *reason, *stored;
		size_t drops;
	} rows[] = {
	    {"400", -1, "refused", "malformed", 0},
	    {"404", -1, "not_found", "unknown_recipient", 2},
	    {"406", -1, "not_found", "unknown_recipient", 2},
	    {"463", -12, "reachout_timelock", "reachout_timelock", 0},
	    {"475", -12, "new_chats_capped", "new_chats_capped", 0},
	    {"479", -1, "refused", "schema", 0},
	    {"499", -1, "refused", "refused", 0},
	};
	char key[8], id[32];

	rig_online();
	for (int i = 0; i < (int)(sizeof(rows) / sizeof(rows[0])); i++) {
		rig.list_drops = 0;
		snprintf(key, sizeof(key), "k%d", i);
		rig_send(RIG_BOB_LID, key, "hello", SEND_WAIT_SERVER, 5000);
		rig_until((int)messages() == i + 1);
		snprintf(id, sizeof(id), "%s", node_get(rig_last("message"), "id"));
		rig_ack(id, rows[i].error);
		rig_until(rig.answers == i + 1);
		assert_int_equal(rig.err.code, rows[i].code);
		assert_int_equal(rig.err.service_code, strtol(rows[i].error, NULL, 10));
		assert_string_equal(rig.err_reason, rows[i].reason);
		assert_int_equal(rig_row(id)->state, STORED__OUTBOX_STATE__FAILED);
		assert_int_equal(rig_row(id)->code, strtol(rows[i].error, NULL, 10));
		assert_string_equal(rig_row(id)->reason, rows[i].stored);
		assert_int_equal(rig.list_drops, rows[i].drops);
		assert_string_equal(
		    json_string_value(json_object_get(rig_event("message.status")->body, "status")),
		    "failed");
	}
}

static void
not_on_whatsapp(void **state)
{
	rig.bob_devices[0] = '\0'; /* an empty list: the service does not know him */
	rig_online();
	rig_send(RIG_BOB_PN, "k1", "hello", SEND_WAIT_SERVER, 5000);
	rig_until(rig.answers == 1);
	assert_int_equal(rig.err.code, -1);
	assert_string_equal(rig.err_reason, "not_on_whatsapp");
	assert_int_equal(rig.nrows, 0);
}

static void
bad_requests(void **state)
{
	static const struct {
		const char *to, *key, *text;
		int code;
		const char *reason;
	} rows[] = {
	    {RIG_BOB_PN, "", "x", -32602, "params"},
	    {RIG_BOB_PN, "a b", "x", -32602, "params"},
	    {"nobody", "k", "x", -32602, "params"},
	    {"+0123", "k", "x", -32602, "params"},
	    {"120363041234567890@g.us", "k", "x", -1, "unsupported"},
	    {"u_bbbbbbbbbbbbbbbbbbbbbbbbbb", "k", "x", -1, "not_found"},
	};

	rig_online();
	for (int i = 0; i < (int)(sizeof(rows) / sizeof(rows[0])); i++) {
		rig_send(rows[i].to, rows[i].key, rows[i].text, SEND_WAIT_SERVER, 5000);
		rig_until(rig.answers == i + 1);
		assert_int_equal(rig.err.code, rows[i].code);
		assert_string_equal(rig.err_reason, rows[i].reason);
	}
	assert_int_equal(messages(), 0);
}

/* Receipts move the status on, once a party; a client that waits for it is told. */
static void
delivered_and_read(void **state)
{
	static const char *const types[] = {NULL, "inactive", "read"};
	char id[32];

	rig_online();
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_DELIVERED, 5000);
	rig_until(messages() == 1);
	snprintf(id, sizeof(id), "%s", node_get(rig_last("message"), "id"));
	rig_ack(id, NULL);
	rig_until(rig_events("message.status") == 1);
	assert_int_equal(rig.answers, 0);
	for (size_t i = 0; i < 3; i++) {
		struct node *n = node_new("receipt");

		node_set(n, "id", id);
		node_set(n, "from", i == 0 ? RIG_BOB_LID : "100000000000002:5@lid");
		node_set(n, "t", "1700000002");
		node_set(n, "type", types[i]);
		rig_in(n);
		rig_until(rig_sent("ack", id, types[i]) == (types[i] == NULL ? i + 1 : 1));
	}
	assert_int_equal(rig.answers, 1);
	assert_string_equal(status(), "delivered");
	assert_int_equal(rig.receipts, 3);
	assert_int_equal(rig_events("message.status"), 3); /* server, delivered once, read */
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	    T(one_message),
	    T(hosted_are_left_out),
	    T(durable_before_sent),
	    T(sessions_are_built),
	    T(commit_fails),
	    T(earlier_unit_failed),
	    T(earlier_units_failed_in_order),
	    T(merged_while_they_wait),
	    T(idempotent),
	    T(disconnect_before_ack),
	    T(ack_lost_then_restart),
	    T(offline),
	    T(order_in_a_chat),
	    T(sessions_lost_in_between),
	    T(refusals),
	    T(not_on_whatsapp),
	    T(bad_requests),
	    T(delivered_and_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
