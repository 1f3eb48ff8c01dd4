/* A message that is refused for a time: its row and the events say until when, whatever is killed
 * on the way there. */
#include "tests/unit/apid_engine_rig.h"

#include "apid/session/props.h"
#include "apid/session/restrict.h"

#define END_S INT64_C(4000000000)
#define LOCK                                                                                       \
	"{\"data\":{\"xwa2_fetch_account_reachout_timelock\":{\"is_active\":true,"                 \
	"\"time_enforcement_ends\":\"4000000000\",\"enforcement_type\":\"DEFAULT\"}}}"
#define NO_LOCK "{\"data\":{\"xwa2_fetch_account_reachout_timelock\":{\"is_active\":false}}}"
#define QUOTA                                                                                      \
	"{\"data\":{\"xwa2_message_capping_info\":{\"capping_status\":\"CAPPED\","                 \
	"\"total_quota\":9,\"used_quota\":9,\"cycle_end_timestamp\":\"4000000000\"}}}"
#define TOLD_NO "{\"errors\":[{\"extensions\":{\"error_code\":403,\"is_retryable\":false}}]}"

static const struct {
	const char *error, *answer, *reason;
} kinds[] = {
    {"463", LOCK, "reachout_timelock"},
    {"475", QUOTA, "new_chats_capped"},
};

/* How many message.status with that status, and (if wanted) an end. */
static size_t
statuses(const char *status, int with_until)
{
	size_t n = 0;

	for (size_t i = 0; i < rig.nevents; i++) {
		const json_t *b = rig.events[i].body;

		if (strcmp(rig.events[i].type, "message.status") == 0 &&
		    strcmp(json_string_value(json_object_get(b, "status")), status) == 0)
			n += !with_until ||
			     json_integer_value(json_object_get(b, "until_ms")) == END_S * 1000;
	}
	return n;
}

static void
sent(char id[64])
{
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_SERVER, 9000);
	rig_until(rig_sent("message", NULL, NULL) == 1);
	snprintf(id, 64, "%s", node_get(rig_last("message"), "id"));
}

/* The process ends as by SIGKILL at one step of a refusal; what stored has is what remains. */
enum step {
	RECEIVED,  /* the ack is here, its unit is not committed */
	COMMITTED, /* it is, and nothing was asked */
	ASKED,     /* the service was asked, and has not answered */
	ANSWERED,  /* it has, and that is not committed */
	WRITTEN,   /* it is, and nobody was told */
	STEPS
};

/* What was held back is committed or lost, and the process hears of neither. */
static void
killed(int committed)
{
	if (committed)
		for (size_t i = 0; i < rig.nheld; i++)
			rig_commit(rig.held[i]);
	rig.hold_commits = 0;
	rig_crash();
}

/* The service answers the question that it was asked last. */
static void
answer(const char *text)
{
	const struct node *q = NULL;

	for (size_t i = 0; i < rig.nout; i++)
		if (node_is(rig.out[i], "iq") &&
		    strcmp(node_get(rig.out[i], "xmlns"), "w:mex") == 0)
			q = rig.out[i];
	assert_non_null(q);
	rig.mex = text;
	rig_on_mex(q);
}

static void
run_to(enum step step, const char *id, size_t kind)
{
	rig.mex = "";
	rig.hold_commits = step <= COMMITTED;
	rig_ack(id, kinds[kind].error);
	if (step <= COMMITTED) {
		rig_until(rig.nheld > 0);
		return;
	}
	rig_until(rig.mex_asked == 1);
	if (step == ASKED)
		return;
	rig.hold_commits = 1;
	answer(kinds[kind].answer);
	rig_until(rig.nheld > 0);
}

static void
killed_at(enum step step, size_t kind)
{
	char id[64];

	rig_online();
	sent(id);
	run_to(step, id, kind);
	rig_settle();
	killed(step != RECEIVED && step != ANSWERED);
	rig.mex = kinds[kind].answer;
	rig_online();
	if (step == RECEIVED) { /* nobody knows of the refusal: the same bytes, the same answer */
		rig_until(rig_sent("message", id, NULL) == 2);
		rig_ack(id, kinds[kind].error);
	}
	rig_until(rig_row(id)->until_ms == END_S * 1000);
	rig_settle();
	assert_int_equal(rig_row(id)->state, STORED__OUTBOX_STATE__FAILED);
	assert_int_equal(rig_row(id)->code, strtol(kinds[kind].error, NULL, 10));
	assert_int_equal(rig.nrows, 1);
	assert_int_equal(rig_sent("message", NULL, NULL), step == RECEIVED ? 2 : 1);
	assert_int_equal(statuses("failed", 0), 2);
	assert_int_equal(statuses("failed", 1), 1);
	assert_int_equal(statuses("server", 0), 0);
	assert_int_equal(rig_events(kind == 0 ? "account.restricted" : "account.quota"), 1);
	rig.answers = 0;
	rig_send(RIG_BOB_LID, "k1", "hello", SEND_WAIT_SERVER, 9000);
	rig_until(rig.answers == 1);
	assert_string_equal(rig.err_reason, kinds[kind].reason);
	assert_int_equal(rig.err.until_ms, END_S * 1000);
	/* and nothing is left to do */
	rig.mex_asked = 0;
	rig_lose();
	rig_connect();
	rig_offline_end();
	rig_settle();
	assert_int_equal(rig.mex_asked, kind == 0); /* a lock that holds is looked at */
	assert_int_equal(statuses("failed", 0), 2);
}

static void
killed_at_each_step(void **state)
{
	for (size_t kind = 0; kind < 2; kind++)
		for (int step = 0; step < STEPS; step++) {
			killed_at((enum step)step, kind);
			rig_teardown(NULL);
			rig_setup(NULL);
		}
}

/* The connection goes while the service is asked: the client is told what is known, and the row and
 * the events have the end after the next login. */
static void
asked_again_at_the_next_login(void **state)
{
	char id[64];

	rig_online();
	sent(id);
	rig.mex = "";
	rig_ack(id, "463");
	rig_until(rig.mex_asked == 1);
	rig_lose();
	rig_until(rig.answers == 1);
	assert_string_equal(rig.err_reason, "reachout_timelock");
	assert_true(rig.err.until_ms <= 0);
	rig.mex = LOCK;
	rig_connect();
	rig_offline_end();
	rig_until(statuses("failed", 1) == 1);
	assert_true(rig_row(id)->until_ms == END_S * 1000);
}

/* What the service will not say is not asked for for ever, and a later lock is not of this row. */
static void
never_known(void **state)
{
	static const char *const rows[] = {TOLD_NO, NO_LOCK};
	char id[64];

	for (size_t i = 0; i < 2; i++) {
		rig_online();
		sent(id);
		rig.mex = rows[i];
		rig_ack(id, "463");
		rig_until(rig.answers == 1);
		assert_true(rig.err.until_ms <= 0);
		rig_settle();
		rig.mex_asked = 0;
		rig_crash();
		rig_online();
		rig_settle();
		assert_int_equal(rig.mex_asked, 0);
		assert_int_equal(rig_row(id)->until_ms, 0);
		assert_int_equal(statuses("failed", 0), 1);
		rig_teardown(NULL);
		rig_setup(NULL);
	}
}

/* A push that says how it stands is an answer too. */
static void
push_tells(void **state)
{
	struct node *n = node_new("notification"), *u = node_child_new(n, "update");
	static const char text[] =
	    "{\"data\":{\"xwa2_notify_account_reachout_timelock\":{\"is_active\":true,"
	    "\"time_enforcement_ends\":\"4000000000\",\"enforcement_type\":\"DEFAULT\"}}}";
	char id[64];

	rig_online();
	sent(id);
	rig.mex = "";
	rig_ack(id, "463");
	rig_until(rig.mex_asked == 1);
	node_set(n, "type", "mex");
	node_set(n, "id", "77");
	node_set_server(n, "from", JID_PN);
	node_set(n, "t", "1700000000");
	node_set(u, "op_name", "NotificationUserReachoutTimelockUpdate");
	node_set_bytes(u, text, strlen(text));
	rig_in(n);
	rig_until(rig.answers == 1);
	assert_int_equal(rig.err.until_ms, END_S * 1000);
	assert_true(rig_row(id)->until_ms == END_S * 1000);
	assert_int_equal(statuses("failed", 1), 1);
}

/* The refusal could not be written down: it is no refusal yet, and nothing says so later. */
static void
refusal_not_written(void **state)
{
	char id[64];

	rig_online();
	sent(id);
	rig.mex = LOCK;
	snprintf(rig.fail_with_event, sizeof(rig.fail_with_event), "message.status");
	rig_ack(id, "463");
	rig_until(rig.fail_with_event[0] == '\0');
	rig_settle();
	assert_int_equal(rig_row(id)->state, STORED__OUTBOX_STATE__READY);
	assert_null(strstr(rig.restrictions, "owed"));
	rig_lose();
	rig_connect();
	rig_offline_end();
	rig_until(rig_sent("message", id, NULL) == 2);
	rig_ack(id, NULL);
	rig_until(statuses("server", 0) == 1);
	rig_settle();
	assert_int_equal(statuses("failed", 0), 0);
}

/* What is kept of the quota is given while it is fresh, and only where the service caps at all. */
static void
quota_grows_old(void **state)
{
	static const struct {
		const char *props;
		int checked_s; /* so long ago */
		size_t asked;
	} rows[] = {
	    {NULL, 999999, 0},
	    {"1 20865=1", 3500, 0},
	    {"1 20865=1", 3700, 1},
	    {"1 20865=1 20649=60", 50, 0},
	    {"1 20865=1 20649=60", 70, 1},
	    {"1 20865=0 20649=60", 70, 0},
	};
	char text[100];

	rig_online();
	rig.mex = QUOTA;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int answers = rig.answers;

		snprintf(text, sizeof(text), "{\"quota\":{\"known\":true,\"checked_ms\":%lld}}",
		    (long long)(clock_wall_ms() - INT64_C(1000) * rows[i].checked_s));
		restrict_load(rig.a, text);
		props_restore(rig.a, rows[i].props, "h");
		rig.mex_asked = 0;
		account_quota(rig.a, &rig, 0, rig_done, NULL);
		rig_until(rig.answers == answers + 1);
		assert_int_equal(rig.mex_asked, rows[i].asked);
		assert_int_equal(json_integer_value(json_object_get(rig.result, "total")),
		    rows[i].asked ? 9 : 0);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	    T(killed_at_each_step),
	    T(asked_again_at_the_next_login),
	    T(never_known),
	    T(push_tells),
	    T(refusal_not_written),
	    T(quota_grows_old),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
