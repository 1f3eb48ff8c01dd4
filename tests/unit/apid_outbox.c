/* What becomes of rows of the outbox, and what clients are told of it: never more than is known. */
#include "tests/unit/apid_engine_rig.h"

static const char *
status(void)
{
	return json_string_value(json_object_get(rig.result, "status"));
}

static size_t
messages(void)
{
	return rig_sent("message", NULL, NULL);
}

static const char *
event_text(const char *type, const char *field)
{
	const struct rig_event *e = rig_event(type);

	return e == NULL ? NULL : json_string_value(json_object_get(e->body, field));
}

/* ------------------------------------------------------------------ of a former device */

/* The service restarts as another device than the rows are of. */
static void
as_another_device(void)
{
	for (size_t i = 0; i < rig.nrows; i++)
		rig.rows[i].created_ms = 1;
	rig.linked_ms = 2;
	rig_crash();
	rig_online();
}

/* It had its stanza: it may have reached the service, and nobody will say any more. */
static void
ready_of_a_former_device(void **state)
{
	rig_online();
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_QUEUED, 9000);
	rig_until(messages() == 1 && rig.answers == 1);
	assert_int_equal(rig.rows[0].state, STORED__OUTBOX_STATE__READY);
	as_another_device();
	rig_until(rig.rows[0].state != STORED__OUTBOX_STATE__READY);
	assert_int_equal(rig.rows[0].state, STORED__OUTBOX_STATE__FAILED);
	assert_string_equal(rig.rows[0].reason, "sent_before_unlink");
	assert_string_equal(event_text("message.status", "status"), "outcome_unknown");
	assert_string_equal(event_text("message.status", "reason"), "sent_before_unlink");
	assert_int_equal(messages(), 1);
	message_state(rig.a, &rig, 1000, "k1", NULL, rig_done, NULL);
	rig_until(rig.answers == 2);
	assert_string_equal(status(), "outcome_unknown");
	assert_int_equal(
	    json_integer_value(json_object_get(json_object_get(rig.result, "error"), "code")), -11);
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_SERVER, 9000); /* the same key */
	rig_until(rig.answers == 3);
	assert_int_equal(rig.err.code, -11);
	assert_string_equal(rig.err_reason, "outcome_unknown");
	assert_false(rig.err.retryable);
	rig_settle();
	assert_int_equal(messages(), 1);
}

/* A receipt shows that it had arrived. */
static void
unknown_until_a_receipt(void **state)
{
	rig_online();
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_QUEUED, 9000);
	rig_until(messages() == 1 && rig.answers == 1);
	as_another_device();
	rig_until(rig.rows[0].state == STORED__OUTBOX_STATE__FAILED);
	rig.rows[0].delivered = 1;
	message_state(rig.a, &rig, 1000, "k1", NULL, rig_done, NULL);
	rig_until(rig.answers == 2);
	assert_string_equal(status(), "delivered");
	assert_null(json_object_get(rig.result, "error"));
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_SERVER, 9000);
	rig_until(rig.answers == 3);
	assert_string_equal(status(), "delivered");
}

/* Nothing of it was encrypted: it cannot have left. */
static void
queued_of_a_former_device(void **state)
{
	rig_online();
	rig_lose();
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_QUEUED, 9000);
	rig_until(rig.answers == 1);
	as_another_device();
	rig_until(rig.rows[0].state == STORED__OUTBOX_STATE__FAILED);
	assert_string_equal(rig.rows[0].reason, "unlinked");
	assert_string_equal(event_text("message.status", "status"), "failed");
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_SERVER, 9000);
	rig_until(rig.answers == 2);
	assert_int_equal(rig.err.code, -7);
	assert_int_equal(messages(), 0);
}

/* ------------------------------------------------------------------ who has it */

static void
receipt_from(const char *id, const char *from, const char *type)
{
	struct node *n = node_new("receipt");

	node_set(n, "id", id);
	node_set(n, "from", from);
	node_set(n, "t", "1700000002");
	node_set(n, "type", type);
	rig_in(n);
}

/* A client waits until its recipient has the message; nobody else's receipt ends that. */
static void
only_the_recipient_ends_a_wait(void **state)
{
	static const struct {
		const char *from, *type;
		int answers;
	} rows[] = {
	    {"100000000000003@lid", NULL, 0},        /* another person, the same id */
	    {"15550009999@s.whatsapp.net", NULL, 0}, /* and one by number */
	    {"100000000000003@lid", "read", 0},
	    {"100000000000009@lid", NULL, 0},                    /* the own phone */
	    {RIG_OWN_PN, "read-self", 0}, {RIG_BOB_PN, NULL, 1}, /* he, by his number */
	};
	char id[32];
	size_t acks = 0;

	rig_online();
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_DELIVERED, 9000);
	rig_until(messages() == 1);
	snprintf(id, sizeof(id), "%s", node_get(rig_last("message"), "id"));
	rig_ack(id, NULL);
	rig_until(rig_events("message.status") == 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		receipt_from(id, rows[i].from, rows[i].type);
		acks++;
		rig_until(rig_sent("ack", id, NULL) == acks);
		assert_int_equal(rig.answers, rows[i].answers);
	}
	assert_string_equal(status(), "delivered");
}

/* ------------------------------------------------------------------ order */

static void
answer_lookup(size_t i)
{
	rig_on_lookup(rig.held_lookup[i], &rig);
	message_release(rig.held_lookup[i]);
	rig_settle();
}

/* A new message is looked up when a row of its chat leaves the queue, and known before that one:
 * it stays behind it. */
static void
new_one_stays_behind_a_row(void **state)
{
	rig_online();
	rig_lose();
	rig_send(RIG_BOB_LID, "k1", "first", SEND_WAIT_QUEUED, 9000);
	rig_until(rig.answers == 1);
	rig.hold_lookups = 3;
	rig_send(RIG_BOB_LID, "k2", "second", SEND_WAIT_QUEUED, 9000);
	rig_until(rig.nlookups == 1);
	rig_connect();
	rig_offline_end();
	rig_until(rig.nlookups == 2); /* the row's */
	rig_settle();
	answer_lookup(0);
	assert_int_equal(messages(), 0);
	rig_until(rig.nlookups == 3); /* it is a row by now */
	answer_lookup(1);
	answer_lookup(2);
	rig_until(messages() == 2);
	assert_string_equal(node_get(rig_last("message"), "id"), rig.rows[1].id);
	assert_string_equal(rig.rows[1].key, "k2");
}

/* ------------------------------------------------------------------ held by an operator */

static void
held(const char *chat, int on)
{
	int answers = rig.answers;

	outbox_hold(rig.a, &rig, 0, chat, on, rig_done, NULL);
	rig_until(rig.answers == answers + 1);
	assert_true(json_is_true(json_object_get(rig.result, "ok")));
}

/* A queue of messages, to bob and to another, while that is held. */
static void
queue(const char *const *to, int n, const char *waits_for)
{
	char key[16];

	for (int i = 0; i < n; i++) {
		int answers = rig.answers;

		snprintf(key, sizeof(key), "k%d", i);
		rig_send(to[i], key, "hello", SEND_WAIT_QUEUED, 9000);
		rig_until(rig.answers == answers + 1);
		assert_string_equal(status(), "queued");
		if (waits_for != NULL)
			assert_string_equal(
			    json_string_value(json_object_get(rig.result, "waits_for")), waits_for);
	}
}

static size_t
holds(const char *scope)
{
	int answers = rig.answers;
	const json_t *list;

	outbox_list(rig.a, &rig, NULL, NULL, 100, rig_done, NULL);
	rig_until(rig.answers == answers + 1);
	list = json_object_get(rig.result, "holds");
	if (json_array_size(list) > 0)
		assert_string_equal(
		    json_string_value(json_object_get(json_array_get(list, 0), "scope")), scope);
	return json_array_size(list);
}

/* Of the account: nothing leaves, over restarts, until it is released; then all in their order. */
static void
account_held(void **state)
{
	static const char *const to[] = {RIG_BOB_LID, RIG_BOB_PN, RIG_BOB_LID};
	size_t k = 0;
	char key[16];

	rig_online();
	held(NULL, 1);
	held(NULL, 1); /* it is */
	assert_string_equal(event_text("outbox.paused", "scope"), "account");
	assert_string_equal(event_text("outbox.paused", "reason"), "held");
	assert_int_equal(rig_events("outbox.paused"), 1);
	queue(to, 3, "release");
	rig_lose();
	rig_connect();
	rig_offline_end();
	rig_settle();
	rig_crash();
	rig_online();
	rig_settle();
	assert_int_equal(messages(), 0);
	assert_int_equal(holds("account"), 1);
	held(NULL, 0);
	rig_until(messages() == 3);
	for (size_t i = 0; i < rig.nout; i++) {
		if (!node_is(rig.out[i], "message"))
			continue;
		snprintf(key, sizeof(key), "k%zu", k++);
		assert_string_equal(rig_row(node_get(rig.out[i], "id"))->key, key);
	}
	assert_string_equal(event_text("outbox.resumed", "scope"), "account");
	assert_int_equal(holds("account"), 0);
	rig_crash();
	rig_start();
	assert_int_equal(holds("account"), 0);
}

/* Of a chat, by number and by LID: others go on. */
static void
chat_held(void **state)
{
	static const char *const to[] = {
	    RIG_BOB_LID, RIG_BOB_PN, "100000000000003@lid", RIG_BOB_LID};

	rig_online();
	held("+15550002222", 1);
	queue(to, 4, NULL);
	rig_until(messages() == 1);
	rig_settle();
	assert_int_equal(messages(), 1);
	assert_string_equal(node_get(rig_last("message"), "to"), "100000000000003@lid");
	assert_int_equal(strncmp(event_text("outbox.paused", "chat"), "c_", 2), 0);
	rig_crash();
	rig_online();
	rig_settle();
	assert_int_equal(rig_sent("message", NULL, NULL), 2); /* the other's, which had no ack */
	assert_int_equal(holds("chat"), 1);
	held(RIG_BOB_LID, 0);
	rig_until(messages() == 5);
	assert_string_equal(event_text("outbox.resumed", "scope"), "chat");
}

/* One that has its stanza already is not sent again while it is held, and keeps its id. */
static void
ready_row_held(void **state)
{
	char id[32];

	rig_online();
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_SERVER, 9000);
	rig_until(messages() == 1);
	snprintf(id, sizeof(id), "%s", node_get(rig_last("message"), "id"));
	held(NULL, 1);
	rig_lose();
	rig_connect();
	rig_offline_end();
	rig_settle();
	assert_int_equal(messages(), 1);
	assert_int_equal(rig.rows[0].state, STORED__OUTBOX_STATE__READY);
	held(NULL, 0);
	rig_until(rig_sent("message", id, NULL) == 2);
	rig_ack(id, NULL);
	rig_until(rig.rows[0].state == STORED__OUTBOX_STATE__ACKED);
	assert_int_equal(rig.encrypts, 1);
}

/* It could not be written down: nothing is held, and who asked is told. */
static void
hold_not_written(void **state)
{
	rig_online();
	snprintf(rig.fail_with_event, sizeof(rig.fail_with_event), "outbox.paused");
	outbox_hold(rig.a, &rig, 0, NULL, 1, rig_done, NULL);
	rig_until(rig.answers == 1);
	assert_int_equal(rig.err.code, -2);
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_QUEUED, 9000);
	rig_until(messages() == 1);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	    T(ready_of_a_former_device),
	    T(unknown_until_a_receipt),
	    T(queued_of_a_former_device),
	    T(only_the_recipient_ends_a_wait),
	    T(new_one_stays_behind_a_row),
	    T(account_held),
	    T(chat_held),
	    T(ready_row_held),
	    T(hold_not_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
