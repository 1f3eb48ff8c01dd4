/* What ends a connection means what protocol page 01, 6.2 and 6.3 say: each row of both tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "apid/session/state.h"
#include "apid/session/verdict.h"

static void
failures(void **state)
{
	static const struct {
		const char *reason, *code, *expire;
		enum verdict_action action;
		enum account_state to;
		const char *word, *user_action;
		int64_t until_ms;
		unsigned subcode;
	} rows[] = {
	    {"400", NULL, NULL, VERDICT_STOP, ACCOUNT_STOPPED, "failure_generic", "operator", 0, 0},
	    {"401", NULL, NULL, VERDICT_ERASE, ACCOUNT_LOGGED_OUT, "logged_out", "relink", 0, 0},
	    {"402", "101", "3600", VERDICT_STOP, ACCOUNT_RESTRICTED, "temp_banned", "wait", 3601000,
		101},
	    {"402", NULL, NULL, VERDICT_STOP, ACCOUNT_RESTRICTED, "temp_banned", "wait", 3601000,
		0},
	    {"402", "x", "-1", VERDICT_STOP, ACCOUNT_RESTRICTED, "temp_banned", "wait", 3601000, 0},
	    {"403", NULL, NULL, VERDICT_ERASE, ACCOUNT_LOGGED_OUT, "locked", "open_phone", 0, 0},
	    {"405", NULL, NULL, VERDICT_STOP, ACCOUNT_OUTDATED, "client_outdated", "upgrade", 0, 0},
	    {"406", NULL, NULL, VERDICT_ERASE, ACCOUNT_BANNED, "banned", "open_phone", 0, 0},
	    {"409", NULL, NULL, VERDICT_STOP, ACCOUNT_STOPPED, "bad_user_agent", "operator", 0, 0},
	    {"412", NULL, NULL, VERDICT_STOP, ACCOUNT_STOPPED, "failure_412", "operator", 0, 0},
	    {"413", NULL, NULL, VERDICT_STOP, ACCOUNT_STOPPED, "token_expired", "operator", 0, 0},
	    {"414", NULL, NULL, VERDICT_STOP, ACCOUNT_STOPPED, "token_invalid", "operator", 0, 0},
	    {"415", NULL, NULL, VERDICT_STOP, ACCOUNT_STOPPED, "not_found", "operator", 0, 0},
	    {"416", NULL, NULL, VERDICT_STOP, ACCOUNT_STOPPED, "failure_416", "operator", 0, 0},
	    {"418", NULL, NULL, VERDICT_STOP, ACCOUNT_STOPPED, "client_unknown", "operator", 0, 0},
	    {"500", NULL, NULL, VERDICT_RECONNECT, ACCOUNT_BACKOFF, "server_error", "none", 0, 0},
	    {"501", NULL, NULL, VERDICT_STOP, ACCOUNT_STOPPED, "experimental", "operator", 0, 0},
	    {"503", NULL, NULL, VERDICT_RECONNECT, ACCOUNT_BACKOFF, "unavailable", "none", 0, 0},
	    {"777", NULL, NULL, VERDICT_STOP, ACCOUNT_STOPPED, "failure_777", "operator", 0, 0},
	    {NULL, NULL, NULL, VERDICT_STOP, ACCOUNT_STOPPED, "failure_unknown", "operator", 0, 0},
	    {"junk", NULL, NULL, VERDICT_STOP, ACCOUNT_STOPPED, "failure_unknown", "operator", 0,
		0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct node *n = node_new("failure");
		struct verdict v;

		node_set(n, "reason", rows[i].reason);
		node_set(n, "code", rows[i].code);
		node_set(n, "expire", rows[i].expire);
		verdict_failure(n, 1000, &v);
		assert_int_equal(v.action, rows[i].action);
		assert_int_equal(v.state, rows[i].to);
		assert_string_equal(v.reason, rows[i].word);
		assert_string_equal(v.user_action, rows[i].user_action);
		assert_int_equal(v.until_ms, rows[i].until_ms);
		assert_int_equal(v.subcode, rows[i].subcode);
		node_free(n);
	}
}

static void
stream_errors(void **state)
{
	static const struct {
		const char *code, *child, *type;
		enum verdict_action action;
		enum account_state to;
		const char *word;
	} rows[] = {
	    {"515", NULL, NULL, VERDICT_RESTART, ACCOUNT_CONNECTING, "restart_required"},
	    {"516", NULL, NULL, VERDICT_ERASE, ACCOUNT_LOGGED_OUT, "forced_logout"},
	    {"401", "conflict", "device_removed", VERDICT_ERASE, ACCOUNT_LOGGED_OUT,
		"device_removed"},
	    {"409", "conflict", "replaced", VERDICT_STOP, ACCOUNT_REPLACED, "replaced"},
	    {NULL, "conflict", "replaced", VERDICT_STOP, ACCOUNT_REPLACED, "replaced"},
	    {"440", "conflict", "replaced", VERDICT_STOP, ACCOUNT_REPLACED, "replaced"},
	    {"401", "conflict", "other", VERDICT_RECONNECT, ACCOUNT_BACKOFF, "conflict"},
	    {"515", "conflict", "other", VERDICT_RECONNECT, ACCOUNT_BACKOFF, "conflict"},
	    {NULL, "conflict", NULL, VERDICT_RECONNECT, ACCOUNT_BACKOFF, "conflict"},
	    {"401", NULL, NULL, VERDICT_RECONNECT, ACCOUNT_BACKOFF, "unauthorized"},
	    {"409", NULL, NULL, VERDICT_STOP, ACCOUNT_REPLACED, "replaced"},
	    {"429", NULL, NULL, VERDICT_DELAY, ACCOUNT_BACKOFF, "rate_limited"},
	    {"503", NULL, NULL, VERDICT_RECONNECT, ACCOUNT_BACKOFF, "unavailable"},
	    {"500", NULL, NULL, VERDICT_RECONNECT, ACCOUNT_BACKOFF, "server_error"},
	    {NULL, "ack", NULL, VERDICT_RECONNECT, ACCOUNT_BACKOFF, "missing_ack"},
	    {NULL, "ping", NULL, VERDICT_RECONNECT, ACCOUNT_BACKOFF, "missing_pong"},
	    {NULL, "xml-not-well-formed", NULL, VERDICT_RECONNECT, ACCOUNT_BACKOFF, "bad_stanza"},
	    {"999", NULL, NULL, VERDICT_RECONNECT, ACCOUNT_BACKOFF, "stream_error"},
	    {NULL, NULL, NULL, VERDICT_RECONNECT, ACCOUNT_BACKOFF, "stream_error"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct node *n = node_new("stream:error");
		struct verdict v;

		node_set(n, "code", rows[i].code);
		if (rows[i].child != NULL)
			node_set(node_child_new(n, rows[i].child), "type", rows[i].type);
		verdict_stream_error(n, 0, &v);
		assert_int_equal(v.action, rows[i].action);
		assert_int_equal(v.state, rows[i].to);
		assert_string_equal(v.reason, rows[i].word);
		node_free(n);
	}
}

/* 429 after 429 waits longer, up to a quarter of an hour. */
static void
rate_limits(void **state)
{
	static const unsigned steps[][2] = {
	    {0, 30000}, {1, 60000}, {9, 300000}, {29, 900000}, {1000, 900000}};
	struct node *n = node_new("stream:error");
	struct verdict v;

	node_set(n, "code", "429");
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		verdict_stream_error(n, steps[i][0], &v);
		assert_int_equal(v.delay_ms, steps[i][1]);
	}
	node_free(n);
}

static void
state_names(void **state)
{
	for (int i = 0; i < ACCOUNT_STATES; i++)
		assert_int_equal(state_parse(state_name((enum account_state)i)), i);
	assert_int_equal(state_parse("no such state"), -1);
	assert_true(state_is_sticky(ACCOUNT_REPLACED));
	assert_true(state_is_sticky(ACCOUNT_UNLINKED));
	assert_false(state_is_sticky(ACCOUNT_BACKOFF));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(failures),
	    cmocka_unit_test(stream_errors),
	    cmocka_unit_test(rate_limits),
	    cmocka_unit_test(state_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
