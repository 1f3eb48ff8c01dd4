/* Linking, its rules: QR codes that run out or lose their secret, pair codes, passkeys (protocol
 * page 03, sections 3 and 5; page 12, sections 1 and 2). */
#include "tests/unit/apid_engine_rig.h"

#include "apid/session/pair_impl.h"
#include "apid/session/passkey_json.h"
#include "apid/session/payload.h"
#include "apid/session/state.h"
#include "common/pb.h"
#include "common/proto/companion.pb-c.h"

static json_t *steps; /* bodies of account.link */

static void
transient(void *arg, const char *account, const char *type, const json_t *body)
{
	assert_string_equal(type, "account.link");
	json_array_append_new(steps, json_deep_copy(body));
}

static const char *
told(size_t i, const char *field)
{
	const char *s = json_string_value(json_object_get(json_array_get(steps, i), field));

	return s != NULL ? s : "";
}

static size_t
nsteps(void)
{
	return json_array_size(steps);
}

/* The last step is this, with this in its field. */
static void
last_is(const char *step, const char *field, const char *value)
{
	assert_string_equal(told(nsteps() - 1, "step"), step);
	assert_string_equal(told(nsteps() - 1, field), value);
}

static void
start(const char *method, const char *phone)
{
	struct link_request rq = {.method = method, .phone = phone};
	struct node *iq = node_new("iq"), *p = node_child_new(iq, "pair-device");

	rig.linked = 0;
	rig_start();
	rig.mute = 1; /* the test answers */
	steps = json_array();
	rig.svc.hooks.event_transient = transient;
	account_link(rig.a, &rig, &rq, rig_done, NULL);
	rig_until(rig.answers == 1 && rig.ups == 1);
	rig.conn++;
	rig_link(NETD__LINK_STATE__STATE__OPEN, NULL);
	node_set_server(iq, "from", JID_PN);
	node_set(iq, "type", "set");
	node_set(iq, "id", "P1");
	node_set(iq, "xmlns", "md");
	node_add_bytes(p, "ref", "ref1", 4);
	node_add_bytes(p, "ref", "ref2", 4);
	rig_in(iq);
}

static int
teardown(void **state)
{
	json_decref(steps);
	steps = NULL;
	return rig_teardown(state);
}

/* The iq that went out with that child; it is waited for, the n-th of them. */
static const struct node *
asked(const char *child, size_t n)
{
	for (int64_t end = clock_mono_ms() + RIG_WAIT_MS; clock_mono_ms() < end; rig_turn()) {
		size_t seen = 0;

		for (size_t i = 0; i < rig.nout; i++)
			if (node_is(rig.out[i], "iq") && node_child(rig.out[i], child) != NULL &&
			    ++seen == n)
				return rig.out[i];
	}
	fail_msg("no iq with %s", child);
	return NULL;
}

static void
answer_error(const struct node *iq, const char *code, const char *backoff)
{
	struct node *r = rig_answer(iq), *e = node_child_new(r, "error");

	node_set(r, "type", "error");
	node_set(e, "code", code);
	node_set(e, "backoff", backoff);
	rig_in(r);
}

static struct node *
notification(const char *type, const char *child)
{
	static unsigned id;
	struct node *n = node_new("notification");

	node_set(n, "type", type);
	node_setf(n, "id", "N%u", ++id);
	node_set_server(n, "from", JID_PN);
	if (child != NULL)
		(void)node_child_new(n, child);
	return n;
}

/* ------------------------------------------------------------------ QR */

static void
fire(struct event *timer)
{
	event_active(timer, EV_TIMEOUT, 1);
}

static int
fire_if(const struct event_base *base, const struct event *e, void *arg)
{
	if (event_get_callback_arg(e) == arg)
		event_active((struct event *)(uintptr_t)e, EV_TIMEOUT, 1);
	return 0;
}

/* The timer that belongs to that. */
static void
fire_of(void *owner)
{
	event_base_foreach_event(rig.base, fire_if, owner);
}

/* Each ref its time, then the attempt ends; its secret is replaced. */
static void
qr_runs_out(void **state)
{
	size_t refreshes;

	start("qr", NULL);
	rig_until(nsteps() == 1);
	last_is("qr", "text", "qr:ref1");
	fire(rig.a->pair->timer);
	rig_until(nsteps() == 2);
	last_is("qr", "text", "qr:ref2");
	refreshes = rig.refreshes;
	fire(rig.a->pair->timer);
	rig_until(rig_events("account.link_failed") == 1);
	last_is("expired", "error", "qr_expired");
	assert_int_equal(rig.refreshes, refreshes + 1);
	assert_int_equal(rig.downs, 1);
	assert_string_equal(rig.a->reason, "qr_expired");
}

/* Two refreshes in a row: the code that is shown in the end is under the second secret, with the
 * ref and the deadline that it had. */
static void
refresh_twice(void **state)
{
	int64_t until;
	size_t before;

	start("qr", NULL);
	rig_until(nsteps() == 1);
	until = rig.a->pair->expires_ms;
	before = rig.refreshes;
	rig.hold_commits = 1;
	rig_in(notification("companion_reg_refresh", "companion_reg_refresh"));
	rig_until(rig.nheld == 1);
	rig_in(notification("companion_reg_refresh", "pair-device-rotate-qr"));
	rig_settle();
	assert_int_equal(rig.refreshes, before + 1);
	rig_release();
	rig_until(rig.refreshes == before + 2);
	rig_until(nsteps() == 2);
	last_is("qr", "text", "qr:ref1");
	assert_int_equal(
	    json_integer_value(json_object_get(json_array_get(steps, 1), "expires_ms")), until);
	rig_until(rig_sent("ack", NULL, "companion_reg_refresh") == 2);
	/* one with neither child asks for nothing */
	rig_in(notification("companion_reg_refresh", NULL));
	rig_until(rig_sent("ack", NULL, "companion_reg_refresh") == 3);
	assert_int_equal(rig.refreshes, before + 2);
}

/* ------------------------------------------------------------------ pair codes */

static void
code_shown(void)
{
	struct node *r, *reg;

	start("code", "+15551234567");
	r = rig_answer(asked("link_code_companion_reg", 1));
	reg = node_child_new(r, "link_code_companion_reg");
	node_add_bytes(reg, "link_code_pairing_ref", "coderef", 7);
	rig_in(r);
	rig_until(nsteps() == 1);
	last_is("code", "text", "ABCD-EFGH");
}

static void
code_stage(const char *stage, const char *ref, int with_key)
{
	struct node *n = notification("link_code_companion_reg", "link_code_companion_reg");
	struct node *reg = node_child(n, "link_code_companion_reg");
	static const uint8_t zero[80];

	node_set(reg, "stage", stage);
	node_add_bytes(reg, "link_code_pairing_ref", ref, strlen(ref));
	if (with_key)
		node_add_bytes(
		    reg, "link_code_pairing_wrapped_primary_ephemeral_pub", zero, sizeof(zero));
	node_add_bytes(reg, "primary_identity_pub", zero, 32);
	rig_in(n);
}

static void
hello_is_as_it_must_be(void **state)
{
	const struct node *reg;
	const uint8_t *data;
	size_t len;
	int64_t before = clock_wall_ms(), until;

	code_shown();
	reg = node_child(asked("link_code_companion_reg", 1), "link_code_companion_reg");
	assert_int_equal(node_child_bytes(reg, "link_code_pairing_nonce", &data, &len), 0);
	assert_int_equal(len, 1);
	assert_int_equal(data[0], 0);
	assert_int_equal(node_child_bytes(reg, "companion_platform_display", &data, &len), 0);
	assert_memory_equal(data, "Chrome (Linux)", len);
	/* 180 s from before the request, not from its answer */
	until = json_integer_value(json_object_get(json_array_get(steps, 0), "expires_ms"));
	assert_true(until >= before + 180000 && until <= clock_wall_ms() + 180000);
	/* one flow at a time */
	account_link(rig.a, &rig, &(struct link_request){.method = "code", .phone = "+15551234568"},
	    rig_done, NULL);
	rig_until(rig.answers == 2);
	assert_int_equal(rig.err.code, -9);
}

static void
hello_refused(void **state)
{
	static const struct {
		const char *code, *backoff, *reason;
	} rows[] = {{"400", NULL, "code_refused"}, {"403", NULL, "code_forbidden"},
	    {"429", "60", "rate_limited"}, {"452", NULL, "code_unavailable"},
	    {"500", "86400", "server_error"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct link_request rq = {.method = "code", .phone = "+15551234567"};

		rig_setup(NULL);
		start("code", "+15551234567");
		answer_error(asked("link_code_companion_reg", 1), rows[i].code, rows[i].backoff);
		rig_until(rig_events("account.link_failed") == 1);
		last_is("error", "error", rows[i].reason);
		account_link(rig.a, &rig, &rq, rig_done, NULL);
		rig_until(rig.answers == 2);
		if (rows[i].backoff == NULL) {
			assert_non_null(rig.result);
		} else { /* not before the service takes one */
			assert_int_equal(rig.err.code, -5);
			assert_true(
			    rig.err.retry_after_ms > 0 && rig.err.retry_after_ms <= 86400000);
			rq.method = "qr";
			rq.phone = NULL;
			account_link(rig.a, &rig, &rq, rig_done, NULL);
			rig_until(rig.answers == 3);
			assert_non_null(rig.result);
		}
		teardown(NULL);
	}
}

static void
three_hellos(void **state)
{
	code_shown();
	for (size_t i = 1; i <= 3; i++) {
		code_stage("primary_hello", "coderef", 1);
		(void)asked("link_code_companion_reg", i + 1);
	}
	code_stage("primary_hello", "another", 1); /* of another attempt */
	rig_settle();
	assert_int_equal(rig.finishes, 3);
	code_stage("primary_hello", "coderef", 1);
	rig_until(rig_events("account.link_failed") == 1);
	last_is("error", "error", "code_tries");
}

/* pair-success does not come: the code is dead, and the secret that was derived is replaced. */
static void
no_success_after_finish(void **state)
{
	size_t before;

	code_shown();
	code_stage("primary_hello", "coderef", 1);
	rig_in(notification("companion_reg_refresh", "companion_reg_refresh"));
	(void)asked("link_code_companion_reg", 2);
	rig_until(rig_sent("ack", NULL, "companion_reg_refresh") == 1);
	before = rig.refreshes; /* the derived secret stayed */
	assert_true(pair_code_agreed_ms(rig.a->pair->code) > 0);
	fire_of(rig.a->pair->code);
	rig_until(rig_events("account.link_failed") == 1);
	last_is("expired", "error", "code_expired");
	assert_int_equal(rig.refreshes, before + 1);
}

static void
finish_refused(void **state)
{
	code_shown();
	code_stage("primary_hello", "coderef", 1);
	answer_error(asked("link_code_companion_reg", 2), "400", NULL);
	rig_until(rig_events("account.link_failed") == 1);
	last_is("error", "error", "code_rejected");
}

static void
code_refreshed(void **state)
{
	code_shown();
	code_stage("refresh_code", "another", 0);
	code_stage("unheard_of", "coderef", 0);
	rig_settle();
	assert_int_equal(nsteps(), 1);
	code_stage("refresh_code", "coderef", 0);
	(void)asked("link_code_companion_reg", 2); /* a new hello */
}

static void
code_refresh_by_hand(void **state)
{
	struct node *n = notification("link_code_companion_reg", "link_code_companion_reg");
	struct node *reg = node_child(n, "link_code_companion_reg");

	code_shown();
	node_set(reg, "stage", "refresh_code");
	node_set(reg, "force_manual_refresh", "true");
	node_add_bytes(reg, "link_code_pairing_ref", "coderef", 7);
	rig_in(n);
	rig_until(rig_events("account.link_failed") == 1);
	last_is("expired", "error", "code_expired");
}

static void
displays(void **state)
{
	static const struct {
		const char *from, *to;
	} rows[] = {{"Chrome (Linux)", "Chrome (Linux)"}, {"Firefox (Mac OS)", "Firefox (Mac OS)"},
	    {"Edge (Windows)", "Edge (Windows)"}, {"Chrome (Debian)", "Chrome (Linux)"},
	    {"ward", "ward (Linux)"}, {"a (b) (iOS)", "a (b) (iOS)"}, {"(Linux)", "Chrome (Linux)"},
	    {"Chrome (Linux) x", "Chrome (Linux)"}, {"Chrome (Windows", "Chrome (Linux)"}};
	char out[PAYLOAD_DISPLAY_MAX];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		payload_display(rows[i].from, out);
		assert_string_equal(out, rows[i].to);
	}
}

/* ------------------------------------------------------------------ passkeys */

#define OPTIONS "{\"challenge\":\"AAAA\",\"timeout\":5000}"

static void
prologue_request(const char *options)
{
	struct node *n = notification("passkey_prologue_request", NULL);

	if (options != NULL)
		node_add_bytes(n, "passkey_request_options", options, strlen(options));
	rig_in(n);
}

static void
continuation(size_t key_len)
{
	Companion__PrimaryEphemeralIdentity id = COMPANION__PRIMARY_EPHEMERAL_IDENTITY__INIT;
	struct node *n = notification("crsc_continuation", NULL);
	static const uint8_t key[32] = {7};
	struct buf b = BUF_INIT;

	id.has_public_key = id.has_nonce = 1;
	id.public_key = pb_bytes(key, key_len);
	id.nonce = pb_bytes(key, 32);
	assert_int_equal(pb_put(&id.base, &b), 0);
	node_add_bytes(n, "primary_ephemeral_identity", b.data, b.len);
	buf_clear(&b);
	rig_in(n);
}

static json_t *
assertion(void)
{
	return json_pack("{s:s, s:s, s:s, s:{s:s, s:s, s:s, s:n}}", "id", "AQID", "rawId", "AQID",
	    "type", "public-key", "response", "clientDataJSON", "e30", "authenticatorData", "AAAA",
	    "signature", "AAAA", "userHandle");
}

static void
answer_passkey(void)
{
	json_t *a = assertion();
	int answers = rig.answers;

	account_link_answer(rig.a, &rig, NULL, a, 0, rig_done, NULL);
	json_decref(a);
	rig_until(rig.answers == answers + 1);
	assert_non_null(rig.result);
}

static void
answer_ref(size_t n)
{
	struct node *r = rig_answer(asked("ref", n));

	node_add_bytes(r, "ref", "2@ref", 5);
	rig_in(r);
}

/* A continuation that overtakes the answer to the prologue waits for it; the nonce leaves only
 * then; the pairing request only when the pending secret is durable. */
static void
passkey_in_order(void **state)
{
	const struct node *p;
	const uint8_t *data;
	size_t len;

	start("qr", NULL);
	rig_until(nsteps() == 1);
	prologue_request(OPTIONS);
	rig_until(nsteps() == 2);
	assert_int_equal(rig.a->state, ACCOUNT_PASSKEY_REQUIRED);
	assert_string_equal(told(1, "step"), "passkey");
	fire(rig.a->pair->timer); /* the QR code's time is over: nothing ends */
	answer_passkey();
	answer_ref(1);
	p = node_child(asked("passkey_prologue", 1), "passkey_prologue");
	assert_int_equal(node_child_bytes(p, "credential_id", &data, &len), 0);
	assert_int_equal(len, 3);
	assert_int_equal(node_child_bytes(p, "pairing_handoff_proof", &data, &len), 0);
	continuation(32);
	rig_settle();
	assert_int_equal(nsteps(), 2);
	rig_in(rig_answer(asked("passkey_prologue", 1)));
	(void)asked("companion_nonce", 1);
	rig_settle();
	assert_int_equal(nsteps(), 2); /* the phone has no code yet */
	rig.hold_commits = 1;
	rig_in(rig_answer(asked("companion_nonce", 1)));
	rig_until(nsteps() == 3);
	last_is("confirm", "text", "ABCD-EFGH");
	assert_int_equal(rig.a->state, ACCOUNT_PASSKEY_CONFIRM);
	rig_settle();
	assert_int_equal(rig_sent("iq", NULL, "set"), 2); /* prologue and nonce */
	rig_release();
	rig_in(rig_answer(asked("encrypted_pairing_request", 1)));
	rig_settle();
	assert_int_equal(rig.a->state, ACCOUNT_PASSKEY_CONFIRM); /* until pair-success */
}

/* Options that are missing or unusable are asked for; what comes from elsewhere is not looked at.
 */
static void
passkey_options_asked(void **state)
{
	struct node *n = notification("passkey_prologue_request", NULL), *r;

	start("qr", NULL);
	rig_until(nsteps() == 1);
	node_set(n, "from", "15551234567@s.whatsapp.net");
	rig_in(n);
	rig_until(rig_sent("ack", NULL, "passkey_prologue_request") == 1);
	assert_null(rig.a->pair->passkey);
	prologue_request("{\"challenge\":\"\"}");
	r = rig_answer(asked("passkey_request_options", 1));
	node_add_bytes(r, "passkey_request_options", OPTIONS, strlen(OPTIONS));
	rig_in(r);
	rig_until(nsteps() == 2);
	assert_string_equal(told(1, "step"), "passkey");
	/* a second request takes the place; its options are no good, nor are those that come then
	 */
	prologue_request("x");
	r = rig_answer(asked("passkey_request_options", 2));
	node_add_bytes(r, "passkey_request_options", "[]", 2);
	rig_in(r);
	rig_until(nsteps() >= 3);
	assert_string_equal(told(2, "error"), "bad_options");
	rig_until(nsteps() == 4);
	last_is("qr", "text", "qr:ref2");
	assert_int_equal(rig.a->state, ACCOUNT_LINKING);
	assert_int_equal(rig.downs, 0);
}

/* The owner takes too long: a fresh code; with no ref left, a new connection for more. */
static void
passkey_too_late(void **state)
{
	size_t before;

	start("qr", NULL);
	rig_until(nsteps() == 1);
	for (size_t i = 0; i < 2; i++) {
		before = rig.refreshes;
		prologue_request("{\"challenge\":\"AAAA\",\"timeout\":1}");
		rig_until(rig.refreshes == before + 1);
		assert_string_equal(told(2 + 3 * i, "error"), "passkey_expired");
		if (i == 0)
			rig_until(nsteps() == 4);
	}
	assert_string_equal(told(3, "text"), "qr:ref2");
	rig_until(rig.restarts == 1);
	assert_true(rig.a->pair->running);
}

/* While the phone works with the secret a refresh of it is only acked; when it fails it goes. */
static void
passkey_and_refresh(void **state)
{
	size_t before;

	start("qr", NULL);
	rig_until(nsteps() == 1);
	prologue_request(OPTIONS);
	rig_until(nsteps() == 2);
	before = rig.refreshes;
	rig_in(notification("companion_reg_refresh", "companion_reg_refresh"));
	rig_until(rig_sent("ack", NULL, "companion_reg_refresh") == 1);
	assert_int_equal(rig.refreshes, before);
	answer_passkey();
	answer_error(asked("ref", 1), "500", NULL);
	rig_until(rig.refreshes == before + 1);
	rig_until(nsteps() == 4);
	assert_string_equal(told(2, "error"), "passkey_refused");
	assert_true(json_is_true(json_object_get(json_array_get(steps, 2), "goes_on")));
	last_is("qr", "text", "qr:ref2");
}

/* The hand-over of a pair code: no key comes, the code waits; its end does not end the passkey. */
static void
passkey_after_code(void **state)
{
	const struct node *p;
	const uint8_t *data;
	size_t len;

	code_shown();
	code_stage("primary_hello", "coderef", 0);
	rig_settle();
	assert_int_equal(rig.finishes, 0);
	assert_int_equal(nsteps(), 1);
	prologue_request(OPTIONS);
	rig_until(nsteps() == 2);
	fire_of(rig.a->pair->code);
	rig_settle();
	assert_true(rig.a->pair->running);
	answer_passkey();
	answer_ref(1);
	p = node_child(asked("passkey_prologue", 1), "passkey_prologue");
	assert_int_equal(node_child_bytes(p, "pairing_handoff_proof", &data, &len), -1);
	answer_error(asked("passkey_prologue", 1), "403", NULL);
	(void)asked("link_code_companion_reg", 2); /* another code */
}

static void
passkey_lost(void **state)
{
	size_t before;

	start("qr", NULL);
	rig_until(nsteps() == 1);
	prologue_request(OPTIONS);
	rig_until(nsteps() == 2);
	before = rig.refreshes;
	rig_link(NETD__LINK_STATE__STATE__CLOSED, "network");
	rig_until(rig.refreshes == before + 1);
	last_is("error", "error", "disconnected");
	assert_int_equal(rig.a->state, ACCOUNT_LINKING);
	assert_null(rig.a->pair->passkey);
}

/* ------------------------------------------------------------------ JSON */

static void
options_json(void **state)
{
	static const struct {
		const char *text;
		int64_t wait_ms; /* 0: refused */
	} rows[] = {{"{\"challenge\":\"AAAA\"}", 600000},
	    {"{\"challenge\":\"_-8\",\"timeout\":600000,\"rpId\":\"whatsapp.com\","
	     "\"allowCredentials\":"
	     "[],\"userVerification\":\"required\",\"extensions\":{\"uvm\":true}}",
		600000},
	    {"{\"challenge\":\"AAAA\",\"timeout\":1000,\"more\":[1]}", 1000},
	    {"{\"challenge\":\"AAAA\",\"allowCredentials\":[{\"id\":\"AQ\",\"type\":\"public-key\","
	     "\"transports\":[\"usb\"]}]}",
		600000},
	    {"{\"challenge\":\"\"}", 0}, {"{\"challenge\":\"AA==\"}", 0},
	    {"{\"challenge\":\"A+/A\"}", 0}, {"{\"challenge\":7}", 0}, {"{}", 0}, {"[]", 0},
	    {"", 0}, {"{\"challenge\":\"AAAA\",\"rpId\":1}", 0},
	    {"{\"challenge\":\"AAAA\",\"timeout\":-1}", 0},
	    {"{\"challenge\":\"AAAA\",\"timeout\":1.5}", 0},
	    {"{\"challenge\":\"AAAA\",\"allowCredentials\":{}}", 0},
	    {"{\"challenge\":\"AAAA\",\"allowCredentials\":[{\"id\":\"\",\"type\":\"t\"}]}", 0},
	    {"{\"challenge\":\"AAAA\",\"allowCredentials\":[{\"id\":\"AQ\"}]}", 0},
	    {"{\"challenge\":\"AAAA\",\"userVerification\":\"maybe\"}", 0},
	    {"{\"challenge\":\"AAAA\",\"challenge\":\"AAAA\"}", 0},
	    {"{\"challenge\":\"AAAA\",\"extensions\":[]}", 0},
	    {"{\"challenge\":\"AAAA\\u0000\"}", 0}};
	char *big = malloc(PASSKEY_JSON_MAX + 64);
	int64_t ms = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *o = passkey_options(rows[i].text, strlen(rows[i].text), &ms);

		if ((o != NULL) != (rows[i].wait_ms != 0))
			fail_msg("%s: %s", rows[i].text, o != NULL ? "taken" : "refused");
		if (o != NULL) {
			assert_int_equal(ms, rows[i].wait_ms);
			assert_non_null(json_object_get(o, "userVerification"));
		}
		json_decref(o);
	}
	assert_non_null(big);
	snprintf(big, PASSKEY_JSON_MAX + 64, "{\"challenge\":\"AAAA\"%*s}",
	    (int)PASSKEY_JSON_MAX - 20, "");
	assert_int_equal(strlen(big), PASSKEY_JSON_MAX);
	json_decref(passkey_options(big, PASSKEY_JSON_MAX, &ms));
	assert_null(passkey_options(big, PASSKEY_JSON_MAX + 1, &ms));
	free(big);
}

static void
assertion_json(void **state)
{
	struct passkey_assertion a;
	json_t *o = assertion(), *back;

	json_object_set_new(o, "authenticatorAttachment", json_string("platform"));
	assert_null(passkey_assertion(o, &a));
	assert_int_equal(a.id_len, 3);
	assert_memory_equal(a.id, "\1\2\3", 3);
	back = json_loads(a.text, JSON_REJECT_DUPLICATES, NULL);
	assert_int_equal(json_object_size(back), 4); /* what the service does not know stays here */
	assert_true(json_is_null(json_object_get(json_object_get(back, "response"), "userHandle")));
	json_decref(back);
	passkey_assertion_clear(&a);
	json_object_del(json_object_get(o, "response"), "userHandle");
	assert_null(passkey_assertion(o, &a));
	passkey_assertion_clear(&a);
	json_object_set_new(o, "id", json_string("AQIE"));
	assert_string_equal(passkey_assertion(o, &a), "passkey_response.id");
	json_decref(o);
	assert_string_equal(passkey_assertion(NULL, &a), "passkey_response.rawId");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, teardown)
	    T(qr_runs_out),
	    T(refresh_twice),
	    T(hello_is_as_it_must_be),
	    cmocka_unit_test(hello_refused),
	    T(three_hellos),
	    T(no_success_after_finish),
	    T(finish_refused),
	    T(code_refreshed),
	    T(code_refresh_by_hand),
	    cmocka_unit_test(displays),
	    T(passkey_in_order),
	    T(passkey_options_asked),
	    T(passkey_too_late),
	    T(passkey_and_refresh),
	    T(passkey_after_code),
	    T(passkey_lost),
	    cmocka_unit_test(options_json),
	    cmocka_unit_test(assertion_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
