/* Links: pairing, logins, and each way in which a connection can end. */
#include "tests/unit/apid_engine_rig.h"

#include "apid/session/pair_code.h"
#include "apid/session/state.h"
#include "common/clock.h"

static char steps[16][64]; /* account.link: "qr qr:ref" */
static size_t nsteps;

static void
transient(void *arg, const char *account, const char *type, const json_t *body)
{
	const char *text = json_string_value(json_object_get(body, "text"));

	assert_string_equal(type, "account.link");
	assert_true(nsteps < 16);
	snprintf(steps[nsteps++], sizeof(steps[0]), "%s %s",
	    json_string_value(json_object_get(body, "step")), text != NULL ? text : "");
}

static void
ask_link(const char *method, const char *phone, int other_account)
{
	struct link_request rq = {.method = method, .phone = phone, .other_account = other_account};

	account_link(rig.a, &rig, &rq, rig_done, NULL);
}

static void
begin_link(void)
{
	rig.linked = 0;
	nsteps = 0;
	rig_start();
	rig.svc.hooks.event_transient = transient;
	ask_link("qr", NULL, 0);
	rig_until(rig.answers == 1 && rig.ups == 1);
	assert_non_null(json_object_get(rig.result, "link_id"));
	assert_int_equal(rig.a->state, ACCOUNT_LINKING);
	rig.conn++;
	rig_link(NETD__LINK_STATE__STATE__OPEN, NULL);
}

static void
pair_device(void)
{
	struct node *iq = node_new("iq"), *p = node_child_new(iq, "pair-device");

	node_set_server(iq, "from", JID_PN);
	node_set(iq, "type", "set");
	node_set(iq, "id", "P1");
	node_set(iq, "xmlns", "md");
	node_add_bytes(p, "ref", "ref1", 4);
	node_add_bytes(p, "ref", "bad,ref", 7);
	node_add_bytes(p, "ref", "ref2", 4);
	rig_in(iq);
}

static void
pair_success(const char *jid)
{
	struct node *iq = node_new("iq"), *p = node_child_new(iq, "pair-success");
	struct node *dev = node_new("device");

	node_set_server(iq, "from", JID_PN);
	node_set(iq, "type", "set");
	node_set(iq, "id", "P2");
	node_set(iq, "xmlns", "md");
	node_add_bytes(p, "device-identity", "container", 9);
	node_set(dev, "jid", jid);
	node_set(dev, "lid", RIG_OWN_LID);
	node_add(p, dev);
	node_set(node_child_new(p, "platform"), "name", "android");
	rig_in(iq);
}

static void
qr_to_online(void **state)
{
	const struct node *sign;
	struct node *n;

	begin_link();
	pair_device();
	rig_until(nsteps == 1);
	assert_string_equal(steps[0], "qr qr:ref1");
	assert_int_equal(rig_sent("iq", "P1", "result"), 1);
	n = node_new("notification"); /* the same ref, drawn again, then acked */
	node_set(n, "type", "companion_reg_refresh");
	node_set(n, "id", "N1");
	node_set_server(n, "from", JID_PN);
	node_add(n, node_new("pair-device-rotate-qr"));
	rig_in(n);
	rig_until(nsteps == 2);
	assert_string_equal(steps[1], "qr qr:ref1");
	rig_until(rig_sent("ack", "N1", "companion_reg_refresh") == 1);
	rig.hold_commits = 1;
	pair_success(RIG_OWN_PN);
	rig_until(rig.nheld == 1);
	rig_settle();
	assert_int_equal(rig_sent("iq", "P2", NULL), 0); /* durable before it is signed */
	rig_release();
	rig_until(rig_sent("iq", "P2", "result") == 1);
	sign = node_child(node_child(rig_last("iq"), "pair-device-sign"), "device-identity");
	assert_string_equal(node_get(sign, "key-index"), "5");
	assert_int_equal(rig_events("account.linked"), 1);
	n = node_new("stream:error");
	node_set(n, "code", "515");
	rig_in(n);
	rig_until(rig.restarts == 1);
	assert_int_equal(rig.delay_ms, 0);
	rig_connect();
	rig_until(rig.prekeys_made == 812); /* none are at the service yet */
	rig_until(rig.has_prekeys);
	rig_offline_end();
}

static void
other_account(void **state)
{
	begin_link();
	snprintf(rig.a->rec.account_user, sizeof(rig.a->rec.account_user), "%s", "15559999999");
	pair_device();
	rig_until(nsteps == 1);
	pair_success(RIG_OWN_PN);
	rig_until(rig_sent("iq", "P2", "error") == 1);
	rig_until(rig_events("account.link_failed") == 1);
	assert_string_equal(
	    json_string_value(json_object_get(rig_event("account.link_failed")->body, "reason")),
	    "account_mismatch");
	assert_int_equal(rig.a->state, ACCOUNT_UNLINKED);
}

static void
link_again_and_cancel(void **state)
{
	begin_link();
	ask_link("qr", NULL, 0);
	rig_until(rig.answers == 2);
	assert_int_equal(rig.err.code, -9);
	ask_link("code", "+1", 0);
	rig_until(rig.answers == 3);
	account_link_cancel(rig.a, &rig, rig_done, NULL);
	rig_until(rig.answers == 4 && rig.downs == 1);
	assert_non_null(rig.result);
	assert_int_equal(rig.a->state, ACCOUNT_UNLINKED);
	rig_until(rig_events("account.link_failed") == 1);
}

static void
phones(void **state)
{
	static const struct {
		const char *text, *digits;
	} rows[] = {{"+49 (151) 123-4567", "491511234567"}, {"15551234567", "15551234567"},
	    {"+0155512345", NULL}, {"123456", NULL}, {"12345a7", NULL}, {"", NULL},
	    {"123456789012345678901", NULL}};
	char buf[32];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(
		    pair_code_phone(rows[i].text, buf), rows[i].digits == NULL ? -1 : 0);
		if (rows[i].digits != NULL)
			assert_string_equal(buf, rows[i].digits);
	}
}

/* ------------------------------------------------------------------ ends of a connection */

struct end {
	const char *tag, *attr, *value, *conflict;
	enum account_state to;
	const char *reason, *saved;
	int restarted, stopped, erased;
};

static const struct end ends[] = {
    {"failure", "reason", "400", NULL, ACCOUNT_STOPPED, "failure_generic", "stopped", 0, 1, 0},
    {"failure", "reason", "401", NULL, ACCOUNT_LOGGED_OUT, "logged_out", "logged_out", 0, 1, 1},
    {"failure", "reason", "402", NULL, ACCOUNT_RESTRICTED, "temp_banned", "restricted", 0, 1, 0},
    {"failure", "reason", "403", NULL, ACCOUNT_LOGGED_OUT, "locked", "logged_out", 0, 1, 1},
    {"failure", "reason", "405", NULL, ACCOUNT_OUTDATED, "client_outdated", "outdated", 0, 1, 0},
    {"failure", "reason", "406", NULL, ACCOUNT_BANNED, "banned", "banned", 0, 1, 1},
    {"failure", "reason", "409", NULL, ACCOUNT_STOPPED, "bad_user_agent", "stopped", 0, 1, 0},
    {"failure", "reason", "412", NULL, ACCOUNT_STOPPED, "failure_412", "stopped", 0, 1, 0},
    {"failure", "reason", "413", NULL, ACCOUNT_STOPPED, "token_expired", "stopped", 0, 1, 0},
    {"failure", "reason", "414", NULL, ACCOUNT_STOPPED, "token_invalid", "stopped", 0, 1, 0},
    {"failure", "reason", "415", NULL, ACCOUNT_STOPPED, "not_found", "stopped", 0, 1, 0},
    {"failure", "reason", "418", NULL, ACCOUNT_STOPPED, "client_unknown", "stopped", 0, 1, 0},
    {"failure", "reason", "500", NULL, ACCOUNT_BACKOFF, "server_error", "backoff", 0, 0, 0},
    {"failure", "reason", "501", NULL, ACCOUNT_STOPPED, "experimental", "stopped", 0, 1, 0},
    {"failure", "reason", "503", NULL, ACCOUNT_BACKOFF, "unavailable", "backoff", 0, 0, 0},
    {"failure", "reason", "999", NULL, ACCOUNT_STOPPED, "failure_999", "stopped", 0, 1, 0},
    {"failure", "reason", NULL, NULL, ACCOUNT_STOPPED, "failure_unknown", "stopped", 0, 1, 0},
    {"stream:error", "code", "515", NULL, ACCOUNT_CONNECTING, "restart_required", "connecting", 1,
	0, 0},
    {"stream:error", "code", "516", NULL, ACCOUNT_LOGGED_OUT, "forced_logout", "logged_out", 0, 1,
	1},
    {"stream:error", "code", "429", NULL, ACCOUNT_BACKOFF, "rate_limited", "backoff", 1, 0, 0},
    {"stream:error", "code", "401", NULL, ACCOUNT_BACKOFF, "unauthorized", "backoff", 0, 0, 0},
    {"stream:error", "code", "401", "device_removed", ACCOUNT_LOGGED_OUT, "device_removed",
	"logged_out", 0, 1, 1},
    {"stream:error", "code", "401", "other", ACCOUNT_BACKOFF, "conflict", "backoff", 0, 0, 0},
    {"stream:error", "code", "409", NULL, ACCOUNT_REPLACED, "replaced", "replaced", 0, 1, 0},
    {"stream:error", "code", NULL, "replaced", ACCOUNT_REPLACED, "replaced", "replaced", 0, 1, 0},
    {"stream:error", "code", "500", NULL, ACCOUNT_BACKOFF, "server_error", "backoff", 0, 0, 0},
    {"stream:error", "code", "503", NULL, ACCOUNT_BACKOFF, "unavailable", "backoff", 0, 0, 0},
    {"stream:error", "code", "777", NULL, ACCOUNT_BACKOFF, "stream_error", "backoff", 0, 0, 0},
};

/* What clients are told of the account, but for the times that may be others. */
static void
told(char out[256])
{
	json_t *d = account_describe(rig.a), *text = json_object_get(d, "text");

	snprintf(out, 256, "%s %s %s %d %d %lld %s", json_string_value(json_object_get(d, "state")),
	    json_string_value(json_object_get(d, "reason")),
	    json_string_value(json_object_get(d, "user_action")),
	    (int)json_integer_value(json_object_get(d, "code")),
	    (int)json_integer_value(json_object_get(d, "subcode")),
	    (long long)json_integer_value(json_object_get(d, "until_ms")),
	    text != NULL ? json_string_value(text) : "");
	json_decref(d);
}

static void
how_it_ends(void **state)
{
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		const struct end *e = &ends[i];
		struct node *n = node_new(e->tag);
		char before[256], after[256];
		size_t ups;

		rig_setup(NULL);
		rig_online();
		if (e->value != NULL)
			node_set(n, e->attr, e->value);
		node_set(n, "expire", "7200");
		if (strcmp(e->tag, "failure") == 0)
			node_set(n, "code", "104");
		if (e->conflict != NULL)
			node_set(node_child_new(n, "conflict"), "type", e->conflict);
		rig_in(n);
		rig_until(rig.a->state == e->to && strcmp(rig.a->reason, e->reason) == 0);
		rig_until(strcmp(rig.state, e->saved) == 0);
		assert_int_equal(rig.restarts, e->restarted);
		assert_int_equal(rig.downs, e->stopped);
		assert_int_equal(rig.generation, e->erased ? 2 : 1);
		assert_int_equal(rig_events("account.unlinked"), e->erased);
		/* all that it said is kept as it was */
		if (!e->restarted || strcmp(e->reason, "rate_limited") == 0)
			rig_until(rig_events("server.notice") == 1);
		told(before);
		/* a restart of the process comes back to it */
		ups = rig.ups;
		rig_crash();
		rig_start();
		rig_settle();
		if (e->stopped) {
			assert_int_equal(rig.a->state, e->to);
			assert_int_equal(rig.ups, ups);
			told(after);
			assert_string_equal(after, before);
		} else {
			assert_int_equal(rig.ups, ups + 1);
		}
		rig_teardown(NULL);
	}
}

/* After a 405 only another version is tried, at the next start. */
static void
outdated(void **state)
{
	struct node *n = node_new("failure");
	size_t ups;

	rig_online();
	assert_string_equal(rig.app_version, "2.3000.1045649367");
	node_set(n, "reason", "405");
	rig_in(n);
	rig_until(strcmp(rig.state, "outdated") == 0);
	ups = rig.ups;
	snprintf(rig.app_version, sizeof(rig.app_version), "2.3000.1");
	rig_crash();
	rig_start();
	rig_until(rig.ups == ups + 1);
	assert_int_equal(rig.a->state, ACCOUNT_CONNECTING);
	assert_string_equal(rig.a->reason, "new_version");
}

/* The service says that this version ends: kept, in health; taken back, and said of no other
 * version. */
static const char *
version_health(void)
{
	static char reason[32];
	json_t *d = json_array();

	engine_health(&rig.svc, d);
	snprintf(reason, sizeof(reason), "%s",
	    json_string_value(
		json_object_get(json_array_get(d, json_array_size(d) - 1), "reason")));
	json_decref(d);
	return reason;
}

static void
expires(const char *t)
{
	struct node *ib = node_new("ib"), *e = node_child_new(ib, "client_expiration");

	if (t != NULL)
		node_set(e, "t", t);
	rig_in(ib);
	rig_settle();
}

static void
client_expires(void **state)
{
	char t[24];
	int64_t now = clock_wall_ms() / 1000;

	rig_online();
	assert_string_not_equal(version_health(), "client_expires");
	expires("junk");
	assert_true(rig.a->rec.client_expires_ms == 0);
	snprintf(t, sizeof(t), "%lld", (long long)now + 400 * 86400);
	expires(t);
	assert_true(rig.a->rec.client_expires_ms == (now + 400 * 86400) * 1000);
	expires("5"); /* long ago: three days are left */
	assert_true(rig.a->rec.client_expires_ms >= (now + 3 * 86400) * 1000);
	assert_true(rig.a->rec.client_expires_ms < (now + 4 * 86400) * 1000);
	assert_string_equal(version_health(), "client_expires");
	expires(t); /* a later end is no news */
	assert_true(rig.a->rec.client_expires_ms < (now + 4 * 86400) * 1000);
	expires(NULL);
	assert_true(rig.a->rec.client_expires_ms == 0);
	assert_string_not_equal(version_health(), "client_expires");
	assert_int_equal(rig_events("server.notice"), 5);
}

/* 515 after 515: the fourth within a minute waits. */
static void
no_storm(void **state)
{
	rig_online();
	for (int i = 1; i <= 6; i++) {
		struct node *n = node_new("stream:error");

		node_set(n, "code", "515");
		rig_in(n);
		rig_until((int)rig.restarts == i);
		assert_int_equal(rig.delay_ms > 0, i > 4);
		rig_connect();
	}
}

static void
closed_and_back(void **state)
{
	rig_online();
	rig_link(NETD__LINK_STATE__STATE__CLOSED, "dns");
	rig_until(rig.a->state == ACCOUNT_BACKOFF);
	assert_string_equal(rig.a->reason, "dns");
	rig_link(NETD__LINK_STATE__STATE__CONNECTING, NULL);
	rig_until(rig.a->state == ACCOUNT_CONNECTING);
	rig_connect();
	rig_offline_end();
	assert_int_equal(rig.ups, 3); /* the wish, and a new payload after each login */
}

static void
pause_and_resume(void **state)
{
	rig_online();
	account_pause(rig.a, &rig, rig_done, NULL);
	rig_until(rig.answers == 1 && rig.downs == 1);
	assert_int_equal(rig.a->state, ACCOUNT_STOPPED);
	account_reconnect(rig.a, &rig, rig_done, NULL);
	rig_until(rig.answers == 2);
	assert_int_equal(rig.err.code, -1);
	account_resume(rig.a, &rig, rig_done, NULL);
	rig_until(rig.answers == 3);
	assert_int_equal(rig.a->state, ACCOUNT_CONNECTING);
}

/* How often the account was said to be stopped after a restore. */
static size_t
told_restored(void)
{
	size_t n = 0;

	for (size_t i = 0; i < rig.nevents; i++) {
		const char *reason =
		    json_string_value(json_object_get(rig.events[i].body, "reason"));

		n += reason != NULL && strcmp(reason, "restored") == 0;
	}
	return n;
}

/* Out of a backup: nothing is done before the unit that makes it safe, whatever fails meanwhile;
 * then it stays down, across restarts, until it is resumed, and offers new prekeys without asking
 * for the count of the old ones. */
static void
from_a_backup(void **state)
{
	json_t *d;
	size_t before;

	rig.from_backup = 1;
	snprintf(rig.fail_commit, sizeof(rig.fail_commit), "io");
	rig_start(); /* tries again by itself */
	assert_int_equal(rig.moves, 2);
	assert_int_equal(rig.from_backup, 0);
	assert_int_equal(rig.has_prekeys, 0);
	assert_int_equal(rig.paused, 1);
	assert_string_equal(rig.state, "stopped");
	assert_string_equal(rig.state_reason, "restored");
	assert_int_equal(told_restored(), 1);
	assert_int_equal(rig.ups, 0);
	d = account_describe(rig.a);
	assert_string_equal(json_string_value(json_object_get(d, "state")), "stopped");
	assert_string_equal(json_string_value(json_object_get(d, "user_action")), "operator");
	assert_non_null(strstr(json_string_value(json_object_get(d, "text")), "backup"));
	json_decref(d);
	d = json_array();
	engine_health(&rig.svc, d);
	assert_string_equal(
	    json_string_value(json_object_get(json_array_get(d, 3), "status")), "failing");
	json_decref(d);
	account_reconnect(rig.a, &rig, rig_done, NULL);
	rig_until(rig.answers == 1);
	assert_int_equal(rig.err.code, -1);

	rig_crash();
	rig_start();
	assert_int_equal(rig.moves, 2); /* it was done */
	assert_int_equal(rig.a->state, ACCOUNT_STOPPED);
	assert_string_equal(rig.a->reason, "restored");
	assert_int_equal(rig.ups, 0);
	account_resume(rig.a, &rig, rig_done, NULL);
	rig_until(rig.answers == 2 && rig.ups == 1);
	assert_int_equal(rig.paused, 0);
	before = rig.prekeys_made;
	rig_connect();
	rig_offline_end();
	rig_settle();
	assert_int_equal(rig.prekeys_made, before + 812);
	assert_int_equal(rig.has_prekeys, 1);
	assert_int_equal(told_restored(), 1);
}

/* It was resumed, and the process died before the next state was written: it goes on. */
static void
resumed_and_killed(void **state)
{
	snprintf(rig.state, sizeof(rig.state), "stopped");
	snprintf(rig.state_reason, sizeof(rig.state_reason), "restored");
	rig_start();
	rig_until(rig.ups == 1);
	assert_int_equal(rig.a->state, ACCOUNT_CONNECTING);
}

/* An account of a backup that was not linked, with or without a device: it is not stopped. */
static void
never_linked(void **state)
{
	for (int device = 0; device < 2; device++) {
		rig.linked = 0;
		rig.from_backup = 1;
		rig.no_device = !device;
		rig_start();
		assert_int_equal(rig.moves, device);
		assert_int_equal(rig.from_backup, 0);
		assert_int_equal(rig.paused, 0);
		assert_int_equal(rig.a->state, ACCOUNT_UNLINKED);
		assert_int_equal(told_restored(), 0);
		rig_crash();
	}
}

/* The service stops in the middle of it. */
static void
stopped_in_between(void **state)
{
	rig.from_backup = 1;
	rig.hold_commits = 1;
	engine_start(&rig.svc);
	rig_store_ready();
	rig_until(rig.nheld == 1);
	rig_crash();
	assert_int_equal(rig.from_backup, 1);
	rig.hold_commits = 0;
	rig_start();
	assert_int_equal(rig.from_backup, 0);
}

static void
unlink_by_us(void **state)
{
	rig_online();
	account_unlink(rig.a, &rig, rig_done, NULL);
	rig_until(rig.answers == 1);
	assert_non_null(rig.result);
	assert_int_equal(rig.a->state, ACCOUNT_UNLINKED);
	assert_int_equal(rig.generation, 2);
	assert_string_equal(
	    json_string_value(json_object_get(rig_event("account.unlinked")->body, "by")), "self");
	rig_send(RIG_BOB_LID, "k", "x", SEND_WAIT_QUEUED, 1000);
	rig_until(rig.answers == 2);
	assert_int_equal(rig.err.code, -7);
}

/* An erase that the store does not take is tried again; meanwhile nothing connects. */
static void
erase_is_tried_again(void **state)
{
	struct node *n = node_new("failure");

	rig_online();
	snprintf(rig.fail_with_event, sizeof(rig.fail_with_event), "account.unlinked");
	node_set(n, "reason", "401");
	rig_in(n);
	rig_until(rig.a->state == ACCOUNT_LOGGED_OUT);
	assert_int_equal(rig_events("account.unlinked"), 1);
	assert_int_equal(rig.ups, 2);
}

static void
server_ping_and_unknown_iq(void **state)
{
	struct node *n;

	rig_online();
	n = node_new("iq");
	node_set(n, "id", "ping1");
	node_set_server(n, "from", JID_PN);
	node_set(n, "type", "get");
	node_set(n, "xmlns", "urn:xmpp:ping");
	rig_in(n);
	rig_until(rig_sent("iq", "ping1", "result") == 1);
	n = node_new("iq");
	node_set(n, "id", "what1");
	node_set(n, "type", "get");
	node_set(n, "xmlns", "what:ever");
	rig_in(n);
	rig_until(rig_events("server.notice") == 1);
	assert_int_equal(rig_sent("iq", "what1", NULL), 0);
	n = node_new("iq"); /* an answer that nobody waits for */
	node_set(n, "id", "0.0-99");
	node_set(n, "type", "result");
	rig_in(n);
	rig_until(rig.a->n.late_iqs == 1);
}

/* <active/> is refused: asked for again on the same connection, until it is granted; stanzas wait
 * for it. */
static void
active_refused(void **state)
{
	rig_start();
	rig.refuse_xmlns = "passive";
	rig_connect();
	rig_until(rig_sent("iq", NULL, "set") == 1);
	rig_settle();
	rig.refuse_xmlns = NULL;
	rig_until(rig_sent("iq", NULL, "set") == 2); /* a second later */
	assert_non_null(node_child(rig_last("iq"), "active"));
	rig_offline_end();
	rig_until(rig.a->state == ACCOUNT_ONLINE);
	assert_int_equal(rig.restarts + rig.downs, 0);
}

/* The service says that prekeys are low: written down, acked, and 812 are offered. */
static void
prekeys_low(void **state)
{
	struct node *n = node_new("notification"), *c = node_new("count");

	rig_online();
	node_set(n, "type", "encrypt");
	node_set(n, "id", "N1");
	node_set_server(n, "from", JID_PN);
	node_set(c, "value", "3");
	node_add(n, c);
	rig_in(n);
	rig_until(rig_sent("ack", "N1", "encrypt") == 1);
	rig_until(rig.prekeys_made == 812 && rig.has_prekeys);
}

static void
device_notification(void **state)
{
	struct node *n = node_new("notification");

	rig_online();
	rig.list_drops = 0;
	node_set(n, "type", "devices");
	node_set(n, "id", "N1");
	node_set(n, "from", RIG_BOB_PN);
	node_set(n, "lid", RIG_BOB_LID);
	node_add(n, node_new("add"));
	rig_in(n);
	rig_until(rig_sent("ack", "N1", "devices") == 1);
	assert_int_equal(rig.list_drops, 2);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	    T(qr_to_online),
	    T(other_account),
	    T(link_again_and_cancel),
	    cmocka_unit_test(phones),
	    cmocka_unit_test(how_it_ends),
	    T(outdated),
	    T(client_expires),
	    T(no_storm),
	    T(closed_and_back),
	    T(pause_and_resume),
	    T(from_a_backup),
	    T(resumed_and_killed),
	    T(never_linked),
	    T(stopped_in_between),
	    T(unlink_by_us),
	    T(erase_is_tried_again),
	    T(server_ping_and_unknown_iq),
	    T(active_refused),
	    T(prekeys_low),
	    T(device_notification),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
