/* Poison: which stanzas are the same, which are noted, what is set aside over a kill at each step,
 * and how runs that end by faults are held apart. */
#include "tests/unit/apid_engine_rig.h"

#include "apid/message/ids.h"
#include "apid/session/connect.h"
#include "apid/session/faults.h"
#include "apid/session/poison_impl.h"
#include "common/pb.h"

/* ------------------------------------------------------------------ pure */

static struct node *
delivery(const char *id, const char *text, const char *offline)
{
	struct node *n = rig_message(id, text);

	node_set(n, "offline", offline);
	return n;
}

static void
encode(struct node *n, struct buf *b)
{
	buf_reset(b);
	assert_int_equal(node_encode(n, b), 0);
	node_free(n);
}

/* The same stanza, delivered another time, differs by what the service counts; another one does in
 * its id and its ciphertext. */
static void
same(void **state)
{
	static const struct {
		const char *why, *id, *text, *offline;
		int same;
	} rows[] = {
	    {"itself", "3EB0AAAAAAAAAAAAAAAA", "a text that is long enough to be one", "1", 1},
	    {"another count", "3EB0AAAAAAAAAAAAAAAA", "a text that is long enough to be one", "12",
		1},
	    {"live, not queued", "3EB0AAAAAAAAAAAAAAAA", "a text that is long enough to be one",
		NULL, 1},
	    {"another id", "3EB0BBBBBBBBBBBBBBBBBBBB", "a text that is long enough to be one", "1",
		0},
	    {"another text", "3EB0AAAAAAAAAAAAAAAA", "quite another one that is as long!!!", "1",
		0},
	    {"a shorter one", "3EB0AAAAAAAAAAAAAAAA", "short", "1", 0},
	};
	struct buf a = BUF_INIT, b = BUF_INIT;
	static const uint8_t receipt[] = {0, 0xf8, 3, 1, 2, 3, 4, 5, 6, 7},
			     notice[] = {0, 0xf8, 3, 9, 2, 3, 4, 5, 6, 7};

	encode(delivery(rows[0].id, rows[0].text, "1"), &a);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		encode(delivery(rows[i].id, rows[i].text, rows[i].offline), &b);
		if (poison_same(a.data, a.len, b.data, b.len) != rows[i].same ||
		    poison_same(b.data, b.len, a.data, a.len) != rows[i].same)
			fail_msg("%s", rows[i].why);
	}
	assert_int_equal(poison_same(receipt, 10, notice, 10), 0); /* another tag */
	assert_int_equal(poison_same(receipt, 7, receipt, 7), 0);  /* too short to tell */
	assert_int_equal(poison_same(receipt, 10, receipt, 10), 1);
	buf_clear(&a);
	buf_clear(&b);
}

/* All but the answers that something waits for is noted, also what has no tag that is known. */
static void
gates(void **state)
{
	static const struct {
		const char *tag;
		enum poison_gate gate;
	} rows[] = {{"message", POISON_NOTE}, {"receipt", POISON_NOTE},
	    {"notification", POISON_NOTE}, {"call", POISON_NOTE}, {"presence", POISON_NOTE},
	    {"chatstate", POISON_NOTE}, {"of-no-dictionary", POISON_NOTE}, {"ib", POISON_WAIT},
	    {"iq", POISON_PASS}, {"ack", POISON_PASS}, {"success", POISON_PASS},
	    {"failure", POISON_PASS}, {"stream:error", POISON_PASS}, {"error", POISON_PASS},
	    {"xmlstreamend", POISON_PASS}};
	static const uint8_t odd[][6] = {{2, 0xf8, 3, 1, 1, 1}, {0, 0xf9, 0, 3, 1, 1}, {0}};
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct node *n = node_new(rows[i].tag);

		node_set(n, "id", "some-id");
		encode(n, &b);
		if (poison_gate(b.data, b.len) != rows[i].gate)
			fail_msg("<%s>", rows[i].tag);
	}
	for (size_t i = 0; i < 3; i++) /* compressed, a long list, next to nothing */
		assert_int_equal(poison_gate(odd[i], i < 2 ? 6 : 1), POISON_NOTE);
	buf_clear(&b);
}

/* ------------------------------------------------------------------ set aside */

static void
written(const struct unit_result *r, void *arg)
{
	*(int *)arg = r->ok ? 1 : -1;
}

/* What two runs have left that this message ended: its note, and how it is acknowledged. */
static void
ended_twice(int with_ack)
{
	struct node *n = rig_message("POISON", "it ends the service"), *ack = node_new("ack");
	struct buf b = BUF_INIT;
	struct unit *u;
	int ok = 0;

	rig_start();
	u = unit_open(rig.a);
	assert_int_equal(node_encode(n, &b), 0);
	poison_put(
	    u, POISON_STANZA, "00112233445566778899aabbccddeeff", b.data, b.len, POISON_ENDS);
	node_set(ack, "id", "POISON");
	node_set(ack, "class", "message");
	node_set(ack, "to", RIG_BOB_LID);
	buf_reset(&b);
	assert_int_equal(node_encode(ack, &b), 0);
	if (with_ack)
		poison_put(u, POISON_ACK, "00112233445566778899aabbccddeeff", b.data, b.len, 0);
	unit_commit(u, written, &ok);
	rig_until(ok != 0);
	assert_int_equal(ok, 1);
	buf_clear(&b);
	node_free(n);
	node_free(ack);
	rig_crash();
}

static size_t
poison_events(void)
{
	size_t n = 0;

	for (size_t i = 0; i < rig.nevents; i++) {
		const char *kind = json_string_value(json_object_get(rig.events[i].body, "kind"));

		n += kind != NULL && strcmp(kind, "poison") == 0;
	}
	return n;
}

static void
take_commit(int apply)
{
	if (apply)
		rig_commit(rig.held[0]);
	message_release(rig.held[0]);
	rig.nheld--;
	for (size_t i = 0; i < rig.nheld; i++)
		rig.held[i] = rig.held[i + 1];
}

/* Killed at the n-th commit of the run that sets it aside: before it was durable, or before that
 * was known. 0: there are not so many. */
static int
killed_at(unsigned n, int durable)
{
	unsigned seen = 0;

	rig.hold_commits = 1;
	rig_in(rig_message("POISON", "it ends the service"));
	rig_in(rig_message("BEHIND", "hello"));
	while (rig_sent("receipt", "BEHIND", NULL) == 0 || rig.nheld > 0) {
		rig_until(rig.nheld > 0 || rig_sent("receipt", "BEHIND", NULL) > 0);
		if (rig.nheld == 0)
			break;
		take_commit(seen < n || durable);
		if (seen++ == n) {
			while (rig.nheld > 0)
				take_commit(0);
			rig_crash();
			rig.hold_commits = 0;
			return 1;
		}
	}
	rig.hold_commits = 0;
	return 0;
}

/* Over a kill at each step it is told once, acknowledged, and never read; what is behind it is
 * read, once. */
static void
set_aside_over_kills(void **state)
{
	int more = 1;

	for (unsigned n = 0; more; n++)
		for (int durable = 0; durable < 2; durable++) {
			rig_teardown(state);
			rig_setup(state);
			ended_twice(1);
			rig.svc.last_end_fault = 1;
			rig_start();
			rig_connect();
			if ((more = killed_at(n, durable)) == 1) {
				/* killed from outside, so not careful; if nothing was kept it
				 * has ended that run as well */
				rig.svc.last_end_fault = poison_events() == 0;
				rig_online();
				if (rig_sent("ack", "POISON", NULL) == 0)
					rig_in(rig_message("POISON", "it ends the service"));
				rig_in(rig_message("BEHIND", "hello"));
			}
			rig_until(rig_sent("receipt", "BEHIND", NULL) > 0);
			rig_until(rig_sent("ack", "POISON", NULL) > 0);
			rig_settle();
			assert_int_equal(poison_events(), 1);
			assert_int_equal(rig_events("message.received"), 1);
			assert_int_equal(rig_sent("receipt", "POISON", NULL), 0);
		}
}

/* The decoder itself is what it ends: nobody can say how it is acknowledged, so it comes again with
 * each connection, is told once, and is not decoded. */
static void
without_an_ack(void **state)
{
	ended_twice(0);
	rig.svc.last_end_fault = 3;
	for (int i = 0; i < 2; i++) {
		if (i > 0)
			rig_crash();
		rig_start();
		rig_connect();
		rig_in(rig_message("POISON", "it ends the service"));
		rig_in(rig_message(i == 0 ? "B0" : "B1", "hello"));
		rig_until(rig_events("message.received") == (size_t)i + 1);
		assert_int_equal(poison_events(), 1);
		assert_int_equal(rig_sent("ack", "POISON", NULL), 0);
		assert_null(json_object_get(rig.events[0].body, "tag"));
	}
}

/* ------------------------------------------------------------------ runs that end by faults */

static void
in_a_row(void **state)
{
	static const struct {
		unsigned runs, delay_ms;
		enum account_state state;
	} rows[] = {{0, 0, ACCOUNT_CONNECTING}, {3, 0, ACCOUNT_CONNECTING},
	    {4, 10000, ACCOUNT_BACKOFF}, {6, 40000, ACCOUNT_BACKOFF}, {11, 600000, ACCOUNT_BACKOFF},
	    {12, 0, ACCOUNT_STOPPED}, {64, 0, ACCOUNT_STOPPED}};

	assert_int_equal(faults_in_row("a.b=1\nservice.last_end_fault=12\nc=3\n"), 12);
	assert_int_equal(faults_in_row("service.last_end_fault=0\n"), 0);
	assert_int_equal(faults_in_row(""), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rig_teardown(state);
		rig_setup(state);
		rig.svc.last_end_fault = rows[i].runs;
		rig_start();
		rig_settle();
		assert_int_equal(rig.a->state, rows[i].state);
		assert_int_equal(rig.delay_ms, rows[i].delay_ms);
		assert_int_equal(rig.ups, rows[i].state != ACCOUNT_STOPPED);
		if (rows[i].delay_ms > 0 || rows[i].state == ACCOUNT_STOPPED)
			assert_string_equal(rig.a->reason, "crash_loop");
	}
	/* an operator lets it go on; it is not asked again after a clean end */
	account_resume(rig.a, &rig, rig_done, NULL);
	rig_until(rig.ups == 1);
	assert_int_equal(rig.a->state, ACCOUNT_CONNECTING);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	    cmocka_unit_test(same),
	    cmocka_unit_test(gates),
	    T(set_aside_over_kills),
	    T(without_an_ack),
	    T(in_a_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
