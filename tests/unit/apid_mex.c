/* GraphQL answers and pushes: what is read of them, and what they change. */
#include "tests/unit/apid_engine_rig.h"

#include "apid/session/mex.h"
#include "apid/session/restrict.h"

static json_t *
parse(const char *text)
{
	return mex_parse((const uint8_t *)text, strlen(text));
}

static void
texts(void **state)
{
	static const char *const bad[] = {
	    "", "7", "[]", "{", "{\"a\":1,\"a\":2}", "{\"a\":\"\xff\"}", "{}x"};
	char deep[4 * MEX_DEPTH_MAX], *p = deep;
	json_t *o;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse(bad[i]) != NULL)
			fail_msg("%s: was read", bad[i]);
	assert_non_null(o = parse("{\"a\":\"[[[[\\\"[[\"}"));
	json_decref(o);
	for (unsigned i = 0; i < MEX_DEPTH_MAX; i++)
		p += snprintf(p, 3, i == 0 ? "{\"" : "[");
	assert_null(parse(deep));
	assert_null(mex_parse((const uint8_t *)"{", MEX_TEXT_MAX + 1)); /* not looked at */
}

static void
numbers(void **state)
{
	static const struct {
		const char *text;
		int64_t n;
	} rows[] = {{"{\"n\":7}", 7}, {"{\"n\":\"7\"}", 7}, {"{\"n\":0}", 0}, {"{}", -1},
	    {"{\"n\":null}", -1}, {"{\"n\":-1}", -1}, {"{\"n\":\"-1\"}", -1}, {"{\"n\":\"\"}", -1},
	    {"{\"n\":\" 7\"}", -1}, {"{\"n\":\"7x\"}", -1}, {"{\"n\":\"7\\u0000\"}", -1},
	    {"{\"n\":7.5}", -1}, {"{\"n\":\"9007199254740992\"}", INT64_C(9007199254740992)},
	    {"{\"n\":9007199254740993}", -1}, {"{\"n\":\"99999999999999999999\"}", -1}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *o = parse(rows[i].text);

		if (o == NULL ? rows[i].n != -1 : mex_int(o, "n") != rows[i].n)
			fail_msg("%s: %lld", rows[i].text, (long long)mex_int(o, "n"));
		json_decref(o);
	}
}

static void
answers(void **state)
{
	static const struct {
		const char *text;
		int root;
		const char *why;
		int64_t code;
		int retryable;
	} rows[] = {
	    {"{\"data\":{\"r\":{}}}", 1, NULL, 0, 0},
	    {"{\"data\":{\"r\":{}},\"errors\":[]}", 1, NULL, 0, 0},
	    {"{\"data\":{\"r\":7}}", 0, "malformed", 0, 0},
	    {"{\"data\":null}", 0, "malformed", 0, 0},
	    {"{\"errors\":[{}]}", 0, "error", 0, 0},
	    {"{\"errors\":[7,{\"extensions\":{\"error_code\":404}}]}", 0, "error", 404, 0},
	    {"{\"errors\":[{\"extensions\":{\"error_code\":1}},{\"extensions\":{\"error_code\":500,"
	     "\"is_summary\":true,\"is_retryable\":true}}]}",
		0, "error", 500, 1},
	    {"{\"data\":{\"r\":{}},\"errors\":[{\"extensions\":{\"error_code\":\"401\"}}]}", 0,
		"error", 401, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *o = parse(rows[i].text);
		struct mex_answer a;

		assert_non_null(o);
		mex_read(o, "r", &a);
		if ((a.root != NULL) != rows[i].root || a.code != rows[i].code ||
		    a.retryable != rows[i].retryable ||
		    (a.root == NULL && strcmp(a.why, rows[i].why) != 0))
			fail_msg("%s", rows[i].text);
		json_decref(o);
	}
}

static void
push(const char *op, const char *payload)
{
	struct node *n = node_new("notification"), *u = node_new("update");

	node_set(n, "type", "mex");
	node_set(n, "id", "77");
	node_set_server(n, "from", JID_PN);
	node_set(n, "t", "1700000000");
	node_set(u, "op_name", op);
	node_set_bytes(u, payload, strlen(payload));
	rig_in(node_add(n, u));
}

/* What a push says is durable before its ack, survives a restart, and ends by its time. */
static void
lock_lives_on(void **state)
{
	char text[200];
	int64_t until, end = clock_wall_ms() / 1000 + 100;

	rig_online();
	snprintf(text, sizeof(text),
	    "{\"data\":{\"xwa2_notify_account_reachout_timelock\":{\"is_active\":true,"
	    "\"time_enforcement_ends\":\"%lld\",\"enforcement_type\":\"BIZ_QUALITY\"}}}",
	    (long long)end);
	rig.hold_commits = 1;
	push("NotificationUserReachoutTimelockUpdate", text);
	rig_until(rig.nheld > 0);
	rig_settle();
	assert_int_equal(rig_sent("ack", "77", NULL), 0);
	rig_release();
	rig_until(rig_sent("ack", "77", NULL) == 1);
	assert_int_equal(rig_events("account.restricted"), 1);
	assert_string_equal(restrict_new_people(rig.a, &until), "reachout_timelock");
	assert_int_equal(until, end * 1000);
	push("NotificationUserReachoutTimelockUpdate", text); /* the same again is no news */
	rig_until(rig_sent("ack", "77", NULL) == 2);
	assert_int_equal(rig_events("account.restricted"), 1);
	rig_crash();
	rig_start();
	assert_string_equal(restrict_new_people(rig.a, &until), "reachout_timelock");
	assert_int_equal(until, end * 1000);
	/* nobody new is written to, not even asked about */
	rig.bob_is_new = 1;
	rig_send(RIG_BOB_PN, "k", "hello", SEND_WAIT_QUEUED, 5000);
	rig_until(rig.answers == 1);
	assert_int_equal(rig.err.code, -12);
	assert_int_equal(rig.err.until_ms, end * 1000);
	assert_int_equal(rig.nrows, 0);
	/* what stored has may be anything */
	restrict_load(rig.a, "{\"lock\":7,\"quota\":[]}");
	assert_null(restrict_new_people(rig.a, &until));
	restrict_load(rig.a, NULL);
	assert_null(restrict_new_people(rig.a, &until));
}

static void
unknown_pushes(void **state)
{
	rig_online();
	push("NotificationOfTomorrow", "{\"data\":{\"x\":1}}");
	push("NotificationUserReachoutTimelockUpdate", "{\"data\":{}}");
	push("MessageCappingInfoNotification", "no JSON");
	rig_until(rig_events("server.mex") == 3);
	assert_int_equal(rig_events("account.restricted"), 0);
	assert_int_equal(rig_events("account.quota"), 0);
	assert_null(json_object_get(rig_event("server.mex")->body, "payload"));
	assert_non_null(json_object_get(rig_event("server.mex")->body, "raw_b64"));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {cmocka_unit_test(texts), cmocka_unit_test(numbers),
	    cmocka_unit_test(answers), T(lock_lives_on), T(unknown_pushes)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
