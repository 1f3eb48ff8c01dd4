/* What people ask and decide about identities: over writes that come in between, and of records
 * that cannot be read. */
#include "tests/unit/apid_engine_rig.h"

#include "apid/message/held.h"

static void
ask(enum identity_what what)
{
	struct identity_request m = {.party = RIG_BOB_LID, .uid = 1000};
	int answers = rig.answers;

	identity_ask(rig.a, &rig, what, &m, rig_done, NULL);
	if (rig.hold_commits == 0)
		rig_until(rig.answers == answers + 1);
}

static const char *
told(const char *name)
{
	return json_string_value(json_object_get(rig.result, name));
}

/* Bob is known, and his identity is one that nobody has decided about. */
static void
begin(Keyd__IdentityState state)
{
	rig_online();
	rig_in(rig_message("FIRST", "hello"));
	rig_until(rig_events("message.received") == 1);
	rig.identity.known = 1;
	rig.identity.state = state;
	memset(rig.identity.key, 'a', 32);
}

static void
hold_one(void)
{
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__UNTRUSTED;
	rig_in(rig_message("H1", "waits"));
	rig_until(rig_sent("ack", "H1", NULL) == 1);
	assert_int_equal(held_count(rig.a), 1);
}

/* Another unit that wrote the same record fails: the decision is made again, on what is there. */
static void
conflict(void **state)
{
	begin(KEYD__IDENTITY_STATE__HELD);
	hold_one();
	for (unsigned more = 0; more < 3; more++) {
		snprintf(rig.fail_with_event, sizeof(rig.fail_with_event), "identity.decided");
		snprintf(rig.fail_code, sizeof(rig.fail_code), more == 1 ? "unit" : "version");
		rig.fail_more = more;
		rig.identity.decisions = 0;
		ask(IDENTITY_HOLD);
		assert_non_null(rig.result);
		assert_string_equal(told("decision"), "held");
		assert_int_equal(rig.identity.decisions, more + 2);
		assert_int_equal(rig_events("identity.decided"), more + 1);
	}
	snprintf(rig.fail_with_event, sizeof(rig.fail_with_event), "identity.decided");
	snprintf(rig.fail_code, sizeof(rig.fail_code), "version");
	rig.fail_more = 0;
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__DONE;
	ask(IDENTITY_TRUST);
	assert_string_equal(told("decision"), "trusted");
	assert_int_equal(json_integer_value(json_object_get(rig.result, "released")), 1);
	rig_until(rig_events("message.received") == 2);
}

/* It ends: with the conflict that there is. */
static void
conflict_without_end(void **state)
{
	begin(KEYD__IDENTITY_STATE__HELD);
	snprintf(rig.fail_with_event, sizeof(rig.fail_with_event), "identity.decided");
	snprintf(rig.fail_code, sizeof(rig.fail_code), "version");
	rig.fail_more = 1000;
	ask(IDENTITY_TRUST);
	assert_null(rig.result);
	assert_int_equal(rig.identity.decisions, 4);
	assert_int_equal(rig_events("identity.decided"), 0);
}

/* The write in between was another identity: nobody has decided about that one. */
static void
conflict_is_another_key(void **state)
{
	begin(KEYD__IDENTITY_STATE__HELD);
	rig.hold_commits = 1;
	ask(IDENTITY_TRUST);
	rig_until(rig.identity.decisions == 1 && rig.nheld == 1);
	memset(rig.identity.key, 'b', 32);
	snprintf(rig.fail_with_event, sizeof(rig.fail_with_event), "identity.decided");
	snprintf(rig.fail_code, sizeof(rig.fail_code), "version");
	rig_release();
	rig_until(rig.answers == 1);
	assert_null(rig.result);
	assert_int_equal(rig.err.code, -9);
	assert_int_equal(rig.identity.decisions, 1);
	ask(IDENTITY_TRUST);
	assert_memory_equal(rig.identity.decided, rig.identity.key, 32);
	assert_string_equal(told("decision"), "trusted");
}

/* A record that cannot be read is told as that, holds what comes, and is let go of by a decision.
 */
static void
damaged(void **state)
{
	json_t *i;

	begin(KEYD__IDENTITY_STATE__TRUSTED);
	rig.identity.damaged = rig.damaged = 1;
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__IDENTITY_DAMAGED;
	rig_in(rig_message("D1", "waits"));
	rig_until(rig_sent("ack", "D1", NULL) == 1);
	assert_int_equal(rig_sent("receipt", "D1", NULL), 0);
	assert_string_equal(
	    json_string_value(json_object_get(rig_event("message.undecryptable")->body, "reason")),
	    "identity_damaged");
	rig_send(RIG_BOB_LID, "k", "x", SEND_WAIT_SERVER, 20000);
	rig_until(rig.answers == 1);
	assert_int_equal(rig.err.code, -4);
	assert_string_equal(rig.err_reason, "identity_damaged");
	ask(IDENTITY_LIST);
	i = json_array_get(json_object_get(rig.result, "identities"), 0);
	assert_string_equal(json_string_value(json_object_get(i, "state")), "damaged");
	assert_true(json_is_null(json_object_get(i, "fingerprint")));
	assert_int_equal(json_integer_value(json_object_get(i, "held_messages")), 1);
	ask(IDENTITY_SAFETY_NUMBER);
	assert_string_equal(rig.err_reason, "identity_damaged");
	ask(IDENTITY_HOLD);
	assert_string_equal(rig.err_reason, "identity_damaged");
	assert_int_equal(rig.identity.decisions, 0);
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__DONE;
	ask(IDENTITY_TRUST);
	assert_string_equal(told("decision"), "trusted");
	assert_int_equal(rig.identity.decided_len, 0); /* nobody knows the key */
	assert_int_equal(rig_events("identity.decided"), 1);
	rig_until(rig_events("message.received") == 2);
	rig_until(held_count(rig.a) == 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	    T(conflict),
	    T(conflict_without_end),
	    T(conflict_is_another_key),
	    T(damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
