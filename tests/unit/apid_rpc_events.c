/* Events: cursors, durable consumers with window, ack, steal, resume, gap, fetch with a wait; and
 * that a slow subscriber costs itself alone. */
#include "apid/rpc/client.h"
#include "apid/rpc/cursor.h"
#include "tests/unit/apid_rpc_fake.h"
#include "tests/unit/slow.h"

static int
one(void **state)
{
	fake_start("", 1);
	return 0;
}

static int
end(void **state)
{
	fake_stop();
	return 0;
}

#define CURSOR(seq) "1.9f3c0a1b." #seq

static void
cursors(void **state)
{
	static const struct {
		const char *text;
		int ok;
		uint64_t seq;
	} rows[] = {
	    {CURSOR(0), 1, 0},
	    {CURSOR(41288), 1, 41288},
	    {CURSOR(922337203685477579), 1, 922337203685477579u},
	    {CURSOR(99999999999999999999), 0, 0},
	    {CURSOR(007), 0, 0},
	    {CURSOR(), 0, 0},
	    {CURSOR(1x), 0, 0},
	    {CURSOR(-1), 0, 0},
	    {"1.9f3c0a1c.5", 0, 0},
	    {"1.9f3c0a1b5", 0, 0},
	    {"2.9f3c0a1b.5", 0, 0},
	    {"1.", 0, 0},
	    {"", 0, 0},
	};
	char text[CURSOR_TEXT_MAX];
	uint64_t seq;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(cursor_parse(rows[i].text, FAKE_LOG_ID, &seq) == 0, rows[i].ok);
		if (!rows[i].ok)
			continue;
		assert_int_equal(seq, rows[i].seq);
		assert_string_equal(cursor_format(FAKE_LOG_ID, seq, text), rows[i].text);
	}
	assert_int_equal(cursor_parse(CURSOR(1), "", &seq), -1); /* no log yet */
}

/* ------------------------------------------------------------------ ephemeral */

static void
ephemeral(void **state)
{
	struct tc *t = tc_new();
	json_t *r, *body;

	fake_append("ops", "message.received", "{\"n\":1}");
	r = tc_call(t, "events.subscribe", "{\"filter\":{\"types\":[\"message.*\",\"presence\"]}}");
	assert_string_equal(STR_AT(r, "subscription"), "s1");
	assert_string_equal(STR_AT(r, "cursor"), CURSOR(1));
	json_decref(r);
	fake_commit("ops", "account.state", "{}");
	fake_commit(
	    "ops", "message.received", "{\"text\":\"a\nb\"}"); /* a stray LF breaks no line */
	r = tc_event(t);
	assert_string_equal(STR_AT(r, "subscription"), "s1");
	assert_string_equal(STR_AT(r, "cursor"), CURSOR(3));
	assert_string_equal(STR_AT(r, "event.id"), "9f3c0a1b.3");
	assert_int_equal(INT_AT(r, "event.seq"), 3);
	assert_string_equal(STR_AT(r, "event.type"), "message.received");
	assert_string_equal(STR_AT(r, "event.account"), "ops");
	assert_string_equal(STR_AT(r, "event.origin"), "live");
	assert_int_equal(INT_AT(r, "event.time_ms"), 1790000000123);
	assert_true(json_is_false(at(r, "event.redelivered")));
	assert_string_equal(STR_AT(r, "event.body.text"), "a b");
	json_decref(r);
	/* transient: no cursor, no seq; only what the filter wants */
	body = json_pack("{s:s}", "state", "available");
	fake.service.hooks.event_transient(fake.service.hooks_arg, "ops", "chat.typing", body);
	fake.service.hooks.event_transient(fake.service.hooks_arg, "ops", "presence", body);
	json_decref(body);
	r = tc_event(t);
	assert_string_equal(STR_AT(r, "event.type"), "presence");
	assert_string_equal(STR_AT(r, "event.body.state"), "available");
	assert_null(at(r, "cursor"));
	assert_null(at(r, "event.seq"));
	json_decref(r);
	r = tc_call(t, "events.unsubscribe", "{\"subscription\":\"s1\"}");
	json_decref(r);
	fake_commit("ops", "message.received", "{}");
	tc_quiet(t, 3);
	tc_refused(
	    t, "events.unsubscribe", "{\"subscription\":\"s1\"}", -1, "not_found", "subscription");
	/* from the beginning, and from a cursor */
	json_decref(tc_call(t, "events.subscribe", "{\"from\":\"earliest\"}"));
	for (uint64_t i = 1; i <= 4; i++)
		assert_int_equal(tc_event_seq(t), i);
	json_decref(tc_call(t, "events.subscribe", "{\"from\":\"" CURSOR(3) "\"}"));
	assert_int_equal(tc_event_seq(t), 4);
	assert_int_equal(fake.nconsumers, 0);
	tc_free(t);
}

static void
accounts_filter(void **state)
{
	struct tc *t = tc_new();

	json_decref(tc_call(t, "events.subscribe", "{\"filter\":{\"accounts\":[\"lab\"]}}"));
	fake_commit("ops", "message.received", "{}");
	fake_commit("lab", "message.received", "{}");
	assert_int_equal(tc_event_seq(t), 2);
	tc_quiet(t, 2);
	tc_free(t);
}

static void
too_many_subscriptions(void **state)
{
	struct tc *t = tc_new();

	for (int i = 0; i < 8; i++)
		json_decref(tc_call(t, "events.subscribe", NULL));
	tc_refused(t, "events.subscribe", NULL, -5, "overloaded", NULL);
	tc_free(t);
}

/* ------------------------------------------------------------------ durable */

static void
window_and_ack(void **state)
{
	struct tc *t = tc_new();
	json_t *r = tc_call(t, "events.subscribe", "{\"consumer\":\"crm\",\"window\":3}");

	assert_true(json_is_true(at(r, "created")));
	json_decref(r);
	for (int i = 0; i < 8; i++)
		fake_commit("ops", "message.received", "{}");
	for (uint64_t i = 1; i <= 3; i++)
		assert_int_equal(tc_event_seq(t), i);
	tc_quiet(t, 4);
	assert_true(fake.largest_limit <= 3);
	r = tc_call(t, "events.ack", "{\"consumer\":\"crm\",\"cursor\":\"" CURSOR(2) "\"}");
	assert_string_equal(STR_AT(r, "cursor"), CURSOR(2));
	assert_int_equal(INT_AT(r, "lag"), 6);
	json_decref(r);
	assert_int_equal(fake.consumers[0].acked, 2);
	assert_int_equal(tc_event_seq(t), 4);
	assert_int_equal(tc_event_seq(t), 5);
	tc_quiet(t, 4);
	/* without an id: done, and nothing is said */
	tc_send(t,
	    "{\"jsonrpc\":\"2.0\",\"method\":\"events.ack\",\"params\":{\"consumer\":\"crm\","
	    "\"cursor\":\"" CURSOR(5) "\"}}");
	for (uint64_t i = 6; i <= 8; i++)
		assert_int_equal(tc_event_seq(t), i);
	assert_int_equal(fake.consumers[0].acked, 5);
	tc_refused(t, "events.ack", "{\"consumer\":\"crm\",\"cursor\":\"" CURSOR(9) "\"}", -1,
	    "bad_cursor", "cursor");
	tc_refused(t, "events.ack", "{\"consumer\":\"crm\",\"cursor\":\"1.00000000.3\"}", -1,
	    "bad_cursor", "cursor");
	tc_refused(t, "events.ack", "{\"consumer\":\"other\",\"cursor\":\"" CURSOR(3) "\"}", -1,
	    "not_found", NULL);
	tc_free(t);
}

/* Many acks while one is at stored: they share the next, and each is answered after it is durable.
 */
static void
acks_share(void **state)
{
	struct tc *t = tc_new();
	char params[96];

	for (int i = 0; i < 20; i++)
		fake_append("ops", "message.received", "{}");
	json_decref(tc_call(t, "events.subscribe", "{\"consumer\":\"crm\",\"from\":\"earliest\"}"));
	for (uint64_t i = 1; i <= 20; i++)
		assert_int_equal(tc_event_seq(t), i);
	fake.hold_acks = 1;
	for (int i = 1; i <= 20; i++) {
		snprintf(params, sizeof(params),
		    "{\"consumer\":\"crm\",\"cursor\":\"1.9f3c0a1b.%d\"}", i);
		tc_request(t, "events.ack", params);
	}
	while (fake.held_ack == 0)
		fake_turn();
	tc_quiet(t, 3);
	fake_release_ack();
	json_decref(tc_answer(t));
	while (fake.held_ack == 0)
		fake_turn();
	assert_int_equal(fake.held_seq, 20);
	fake_release_ack();
	for (int i = 2; i <= 20; i++) {
		json_t *v = tc_answer(t);

		assert_string_equal(STR_AT(v, "result.cursor"), CURSOR(20));
		json_decref(v);
	}
	assert_int_equal(fake.acks, 2);
	tc_free(t);
}

static void
busy_and_steal(void **state)
{
	struct tc *a = tc_new(), *b = tc_new();
	json_t *r;

	json_decref(tc_call(a, "events.subscribe", "{\"consumer\":\"crm\"}"));
	tc_refused(
	    b, "events.subscribe", "{\"consumer\":\"crm\"}", -9, "consumer_busy", "consumer");
	tc_refused(b, "events.fetch", "{\"consumer\":\"crm\"}", -9, "consumer_busy", "consumer");
	fake_commit("ops", "message.received", "{}");
	assert_int_equal(tc_event_seq(a), 1);
	json_decref(tc_call(b, "events.subscribe", "{\"consumer\":\"crm\",\"steal\":true}"));
	r = tc_event(a);
	assert_string_equal(STR_AT(r, "event.type"), "events.closed");
	assert_string_equal(STR_AT(r, "event.body.reason"), "stolen");
	json_decref(r);
	r = tc_event(b); /* not acknowledged by the first: again, and marked */
	assert_int_equal(INT_AT(r, "event.seq"), 1);
	assert_true(json_is_true(at(r, "event.redelivered")));
	json_decref(r);
	fake_commit("ops", "message.received", "{}");
	r = tc_event(b);
	assert_int_equal(INT_AT(r, "event.seq"), 2);
	assert_true(json_is_false(at(r, "event.redelivered")));
	json_decref(r);
	tc_quiet(a, 3);
	r = tc_call(a, "events.consumers", NULL);
	assert_int_equal(json_array_size(at(r, "consumers")), 1);
	assert_true(json_is_true(at(json_array_get(at(r, "consumers"), 0), "live")));
	json_decref(r);
	json_decref(tc_call(a, "events.consumer_delete", "{\"consumer\":\"crm\"}"));
	r = tc_event(b);
	assert_string_equal(STR_AT(r, "event.body.reason"), "deleted");
	json_decref(r);
	tc_refused(a, "events.consumer_delete", "{\"consumer\":\"crm\"}", -1, "not_found", NULL);
	tc_free(a);
	tc_free(b);
}

/* The client goes and comes back, then the service does: nothing lost, nothing skipped. */
static void
resume(void **state)
{
	struct tc *t = tc_new();
	json_t *r;

	json_decref(tc_call(t, "events.subscribe", "{\"consumer\":\"crm\"}"));
	for (int i = 0; i < 3; i++)
		fake_commit("ops", "message.received", "{}");
	for (uint64_t i = 1; i <= 3; i++)
		assert_int_equal(tc_event_seq(t), i);
	json_decref(
	    tc_call(t, "events.ack", "{\"consumer\":\"crm\",\"cursor\":\"" CURSOR(1) "\"}"));
	tc_free(t);
	while (rpc_connections(fake.service.rpc) > 0)
		fake_turn();
	fake_commit("ops", "message.received", "{}");

	t = tc_new();
	r = tc_call(t, "events.subscribe", "{\"consumer\":\"crm\",\"from\":\"resume\"}");
	assert_int_equal(INT_AT(r, "lag"), 3);
	assert_true(json_is_false(at(r, "created")));
	json_decref(r);
	for (uint64_t i = 2; i <= 4; i++) {
		r = tc_event(t);
		assert_int_equal(INT_AT(r, "event.seq"), i);
		assert_int_equal(json_is_true(at(r, "event.redelivered")), i <= 3);
		json_decref(r);
	}
	rpc_stop(&fake.service);
	r = tc_event(t);
	assert_string_equal(STR_AT(r, "event.type"), "events.closed");
	assert_string_equal(STR_AT(r, "event.body.reason"), "stopping");
	json_decref(r);
	assert_null(tc_line(t));
	tc_free(t);

	fake_start_rpc();
	t = tc_new();
	json_decref(tc_call(t, "events.subscribe", "{\"consumer\":\"crm\"}"));
	r = tc_event(t);
	assert_int_equal(INT_AT(r, "event.seq"), 2);
	assert_true(json_is_true(at(r, "event.redelivered"))); /* another run may have given it */
	json_decref(r);
	tc_free(t);
}

static void
bad_cursors(void **state)
{
	struct tc *t = tc_new();

	fake_append("ops", "message.received", "{}");
	fake.service.last_seq = 1;
	tc_refused(t, "events.subscribe", "{\"consumer\":\"c\",\"from\":\"1.deadbeef.1\"}", -1,
	    "bad_cursor", "from");
	tc_refused(t, "events.subscribe", "{\"from\":\"" CURSOR(2) "\"}", -1, "bad_cursor", "from");
	tc_refused(t, "events.fetch", "{\"consumer\":\"c\",\"ack\":\"1.deadbeef.1\"}", -1,
	    "bad_cursor", "ack");
	assert_int_equal(fake.nconsumers, 0);
	json_decref(
	    tc_call(t, "events.subscribe", "{\"consumer\":\"c\",\"from\":\"" CURSOR(0) "\"}"));
	assert_int_equal(tc_event_seq(t), 1);
	tc_free(t);
}

static void
store_closed(void **state)
{
	struct tc *t = tc_new();
	int id;
	json_t *v;

	fake.service.store_ready = 0;
	tc_refused(t, "events.subscribe", NULL, -14, "store_locked", NULL);
	tc_refused(t, "events.fetch", "{\"consumer\":\"c\"}", -14, "store_locked", NULL);
	fake.service.keyd_ready = 0;
	tc_refused(t, "events.ack", "{\"consumer\":\"c\",\"cursor\":\"" CURSOR(0) "\"}", -14,
	    "keys_locked", NULL);
	fake.service.store_ready = fake.service.keyd_ready = 1;
	fake.open_error = "disk_full";
	id = tc_request(t, "events.subscribe", "{\"consumer\":\"c\"}");
	v = tc_answer(t);
	assert_int_equal(INT_AT(v, "id"), id);
	check_error(v, -14, "disk_low", NULL);
	json_decref(v);
	fake.open_error = NULL;
	json_decref(
	    tc_call(t, "events.subscribe", "{\"consumer\":\"c\"}")); /* it is not busy now */
	tc_free(t);
}

static void
gap(void **state)
{
	struct tc *t = tc_new();
	json_t *r;

	for (int i = 0; i < 10; i++)
		fake_append("ops", "message.received", "{}");
	fake.service.last_seq = 10;
	json_decref(tc_call(t, "events.fetch", "{\"consumer\":\"crm\"}")); /* made at 10 */
	fake.consumers[0].acked = 2;
	fake.first_seq = 7;
	json_decref(tc_call(t, "events.subscribe",
	    "{\"consumer\":\"crm\",\"window\":2,\"filter\":{\"types\":[\"message.*\"]}}"));
	r = tc_event(t);
	assert_string_equal(STR_AT(r, "event.type"), "events.gap");
	assert_string_equal(STR_AT(r, "cursor"), CURSOR(6));
	assert_int_equal(INT_AT(r, "event.body.from"), 3);
	assert_int_equal(INT_AT(r, "event.body.to"), 6);
	json_decref(r);
	assert_int_equal(tc_event_seq(t), 7);
	tc_quiet(t, 3); /* the window counts the gap too */
	json_decref(
	    tc_call(t, "events.ack", "{\"consumer\":\"crm\",\"cursor\":\"" CURSOR(7) "\"}"));
	assert_int_equal(tc_event_seq(t), 8);
	assert_int_equal(tc_event_seq(t), 9);
	json_decref(tc_call(t, "events.unsubscribe", "{\"subscription\":\"s1\"}"));
	fake.consumers[0].acked = 4;
	r = tc_call(t, "events.fetch", "{\"consumer\":\"crm\",\"limit\":2}");
	assert_int_equal(json_array_size(at(r, "events")), 2);
	assert_string_equal(STR_AT(json_array_get(at(r, "events"), 0), "event.type"), "events.gap");
	assert_int_equal(INT_AT(json_array_get(at(r, "events"), 1), "event.seq"), 7);
	json_decref(r);
	tc_free(t);
}

/* A filter that wants nothing of what comes does not hold the log back for ever. */
static void
filtered_is_acknowledged(void **state)
{
	struct tc *t = tc_new();

	json_decref(tc_call(t, "events.subscribe",
	    "{\"consumer\":\"crm\",\"filter\":{\"types\":[\"account.*\"]}}"));
	for (int i = 0; i < 300; i++)
		fake_append("ops", "message.received", "{}");
	fake_commit("ops", "message.received", "{}");
	while (fake.consumers[0].acked < 256)
		fake_turn();
	fake_commit("ops", "account.state", "{}");
	assert_int_equal(tc_event_seq(t), 302);
	tc_free(t);
}

/* ------------------------------------------------------------------ fetch */

static void
fetch(void **state)
{
	struct tc *t = tc_new(), *other = tc_new();
	json_t *r;
	int64_t began;
	int id;

	r = tc_call(t, "events.fetch", "{\"consumer\":\"cron\"}");
	assert_int_equal(json_array_size(at(r, "events")), 0);
	assert_string_equal(STR_AT(r, "cursor"), CURSOR(0));
	json_decref(r);
	for (int i = 0; i < 5; i++)
		fake_commit("ops", "message.received", "{}");
	r = tc_call(t, "events.fetch", "{\"consumer\":\"cron\",\"limit\":3}");
	assert_int_equal(json_array_size(at(r, "events")), 3);
	assert_string_equal(STR_AT(r, "cursor"), CURSOR(3));
	json_decref(r);
	/* not acknowledged: again, and said so */
	r = tc_call(t, "events.fetch", "{\"consumer\":\"cron\",\"limit\":1}");
	assert_int_equal(INT_AT(json_array_get(at(r, "events"), 0), "event.seq"), 1);
	assert_true(json_is_true(at(json_array_get(at(r, "events"), 0), "event.redelivered")));
	json_decref(r);
	r = tc_call(t, "events.fetch", "{\"consumer\":\"cron\",\"ack\":\"" CURSOR(3) "\"}");
	assert_int_equal(json_array_size(at(r, "events")), 2);
	assert_int_equal(INT_AT(json_array_get(at(r, "events"), 0), "event.seq"), 4);
	json_decref(r);
	assert_int_equal(fake.consumers[0].acked, 3);
	/* it waits until something comes that is wanted */
	tc_request(t, "events.fetch",
	    "{\"consumer\":\"cron\",\"ack\":\"" CURSOR(
		5) "\",\"wait_ms\":60000,\"filter\":{\"types\":[\"message.*\"]}}");
	while (fake.consumers[0].acked != 5)
		fake_turn();
	tc_quiet(t, 2);
	tc_refused(
	    other, "events.fetch", "{\"consumer\":\"cron\"}", -9, "consumer_busy", "consumer");
	fake_commit("ops", "account.state", "{}");
	tc_quiet(t, 3);
	fake_commit("ops", "message.received", "{}");
	r = tc_answer(t);
	assert_int_equal(json_array_size(at(r, "result.events")), 1);
	assert_string_equal(STR_AT(r, "result.cursor"), CURSOR(7));
	json_decref(r);
	/* or until its time is up */
	began = clock_mono_ms();
	r = tc_call(
	    t, "events.fetch", "{\"consumer\":\"cron\",\"ack\":\"" CURSOR(7) "\",\"wait_ms\":120}");
	assert_int_equal(json_array_size(at(r, "events")), 0);
	assert_true(clock_mono_ms() - began >= 100);
	json_decref(r);
	/* it is cancelled, and the consumer is free again */
	id = tc_request(t, "events.fetch", "{\"consumer\":\"cron\",\"wait_ms\":60000}");
	{
		char params[32];

		snprintf(params, sizeof(params), "{\"id\":%d}", id);
		tc_request(t, "request.cancel", params);
	}
	r = tc_answer(t);
	check_error(r, -32600, "cancelled", NULL);
	json_decref(r);
	json_decref(tc_answer(t));
	json_decref(tc_call(other, "events.fetch", "{\"consumer\":\"cron\"}"));
	/* a steal ends the wait of the other */
	tc_request(t, "events.fetch", "{\"consumer\":\"cron\",\"wait_ms\":60000}");
	tc_quiet(t, 3);
	json_decref(tc_call(other, "events.subscribe", "{\"consumer\":\"cron\",\"steal\":true}"));
	r = tc_answer(t);
	check_error(r, -9, "consumer_busy", NULL);
	json_decref(r);
	tc_free(t);
	tc_free(other);
}

/* Cut off in the middle of anything: a service that goes on, and no consumer that stays busy. */
static void
cut_off(void **state)
{
	static const char *const lines[] = {
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"events.subscribe\",\"params\":{"
	    "\"consumer\":\"x\","
	    "\"from\":\"earliest\"}}",
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"events.fetch\",\"params\":{\"consumer\":"
	    "\"x\",\"ack\":"
	    "\"" CURSOR(1) "\",\"wait_ms\":60000}}",
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"events.ack\",\"params\":{\"consumer\":"
	    "\"x\","
	    "\"cursor\":\"" CURSOR(1) "\"}}",
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"events.consumers\"}",
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server.metrics\"}",
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"account.unlink\"}",
	};
	struct tc *t;

	for (int i = 0; i < 3; i++)
		fake_commit("ops", "message.received", "{}");
	for (unsigned turns = 0; turns < 6; turns++)
		for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
			t = tc_new();
			tc_send(t, lines[i]);
			for (unsigned k = 0; k < turns; k++)
				fake_turn();
			tc_free(t);
			fake_turn();
		}
	t = tc_new();
	json_decref(tc_call(t, "events.subscribe", "{\"consumer\":\"x\",\"steal\":true}"));
	tc_free(t);
}

/* ------------------------------------------------------------------ a slow reader */

static void
slow_subscriber(void **state)
{
	struct tc *slow = tc_new(), *quick = tc_new();
	char body[290];
	unsigned reads;
	const struct client *c;

	memset(body, 'x', 280);
	body[280] = '\0';
	snprintf(body, 7, "{\"x\":\"");
	body[6] = 'x'; /* where that ended */
	snprintf(body + 280, 3, "\"}");
	json_decref(tc_call(slow, "events.subscribe", "{\"consumer\":\"slow\",\"window\":4096}"));
	json_decref(tc_call(quick, "events.subscribe", "{\"consumer\":\"quick\",\"window\":4096}"));
	for (int i = 0; i < 4000; i++)
		fake_append("ops", "message.received", body);
	fake_commit("ops", "message.received", body);
	for (uint64_t i = 1; i <= 4001; i++)
		assert_int_equal(tc_event_seq(quick), i);
	/* the slow one has what its socket holds and a bounded piece more; the log is not read for
	 * it */
	reads = fake.reads;
	for (int i = 0; i < 50; i++)
		fake_turn();
	assert_int_equal(fake.reads, reads);
	for (c = TAILQ_FIRST(&fake.service.rpc->clients); c != NULL; c = TAILQ_NEXT(c, link))
		assert_true(c->event_bytes <= 2 * RPC_EVENT_HIGH);
	/* it reads on, and gets all of it: events never were a reason to close it */
	for (uint64_t i = 1; i <= 4001; i++)
		assert_int_equal(tc_event_seq(slow), i);
	tc_free(slow);
	tc_free(quick);
}

static int
short_stall(void **state)
{
	fake_start("[api]\nstall_timeout = 50ms\n", 1);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(cursors),
	    cmocka_unit_test_setup_teardown(ephemeral, one, end),
	    cmocka_unit_test_setup_teardown(accounts_filter, one, end),
	    cmocka_unit_test_setup_teardown(too_many_subscriptions, one, end),
	    cmocka_unit_test_setup_teardown(window_and_ack, one, end),
	    cmocka_unit_test_setup_teardown(acks_share, one, end),
	    cmocka_unit_test_setup_teardown(busy_and_steal, one, end),
	    cmocka_unit_test_setup_teardown(resume, one, end),
	    cmocka_unit_test_setup_teardown(bad_cursors, one, end),
	    cmocka_unit_test_setup_teardown(store_closed, one, end),
	    cmocka_unit_test_setup_teardown(gap, one, end),
	    cmocka_unit_test_setup_teardown(filtered_is_acknowledged, one, end),
	    cmocka_unit_test_setup_teardown(fetch, one, end),
	    cmocka_unit_test_setup_teardown(cut_off, one, end),
	    cmocka_unit_test_setup_teardown(slow_subscriber, short_stall, end),
	};

	alarm(120 * test_slow()); /* a hang is a failure, not a wait */
	log_set_level(LOG_LV_ERR);
	return cmocka_run_group_tests_name("apid rpc: events", tests, NULL, NULL);
}
