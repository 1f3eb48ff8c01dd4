/* Messages that wait: under an identity that is held, for the own phone, and as notes of poison. */
#include "tests/unit/apid_engine_rig.h"

#include "apid/message/held_impl.h"
#include "apid/message/phone_ask.h"
#include "apid/message/retry.h"
#include "apid/message/unread.h"
#include "apid/session/unit.h"
#include "common/proto/e2e.pb-c.h"

/* One that comes while the last one is let through is held behind it, and goes as soon as it is
 * durable. */
static void
behind_the_last(void **state)
{
	rig_online();
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__UNTRUSTED;
	rig_in(rig_message("H1", "one"));
	rig_until(rig_sent("ack", "H1", NULL) == 1);
	assert_int_equal(held_count(rig.a), 1);
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__DONE;
	rig.hold_commits = 1;
	held_release(rig.a);
	rig_until(rig.nheld == 1);
	rig_in(rig_message("H2", "two"));
	rig_until(rig.nheld == 2);
	rig_release();
	rig_until(rig_events("message.received") == 2);
	rig_until(held_count(rig.a) == 0);
	rig_in(rig_message("H3", "three"));
	rig_until(rig_sent("receipt", "H3", NULL) == 1);
	assert_int_equal(rig_events("message.received"), 3);
}

static void
answer_decrypt(size_t i)
{
	rig_on_decrypt(rig.held_decrypt[i], &rig);
	message_release(rig.held_decrypt[i]);
	rig_settle();
}

/* One that comes while keyd still looks at one before it is held behind that one. */
static void
behind_one_that_is_looked_at(void **state)
{
	static const char *const ids[] = {"H1", "H2", "H3"};
	const struct held_row *r;
	size_t n = 0;

	rig_online();
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__UNTRUSTED;
	rig.hold_decrypts = 2;
	rig_in(rig_message("H1", "one"));
	rig_in(rig_message("H2", "two"));
	rig_until(rig.nwaiting == 2);
	answer_decrypt(0);
	rig_in(rig_message("H3", "three"));
	rig_settle();
	assert_int_equal(held_count(rig.a), 1);
	answer_decrypt(1);
	rig_until(rig_sent("ack", "H3", NULL) == 1);
	TAILQ_FOREACH(r, &rig.a->held->list, link)
	{
		assert_true(n < 3);
		assert_string_equal(r->id, n < 3 ? ids[n] : "");
		n++;
	}
	assert_int_equal(n, 3);
}

/* Those of one who is still held are not tried each time that another comes. */
static void
still_held(void **state)
{
	char id[16];

	rig_online();
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__UNTRUSTED;
	for (int i = 1; i <= 5; i++) {
		snprintf(id, sizeof(id), "H%d", i);
		rig_in(rig_message(id, "x"));
		rig_until(rig_sent("ack", id, NULL) == 1);
	}
	rig_settle();
	assert_int_equal(rig.decrypts, 1); /* those behind the first are not looked at */
	held_release(rig.a);
	rig_until(rig.decrypts == 2);
	rig_settle();
	rig_in(rig_message("H6", "x"));
	rig_until(rig_sent("ack", "H6", NULL) == 1);
	rig_settle();
	assert_int_equal(rig.decrypts, 2);
	assert_int_equal(held_count(rig.a), 6);
}

static void
hold_some(int n)
{
	char id[16];

	rig_online();
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__UNTRUSTED;
	for (int i = 1; i <= n; i++) {
		snprintf(id, sizeof(id), "H%d", i);
		rig_in(rig_message(id, "x"));
		rig_until(rig_sent("ack", id, NULL) == 1);
	}
	rig_settle();
	assert_int_equal(held_count(rig.a), n);
	assert_int_equal(rig_rows_pending(&rig.kept), n);
}

static void
logout(void)
{
	struct node *n = node_new("failure");

	node_set(n, "reason", "401");
	rig_in(n);
}

static void
each_given_up_once(unsigned n)
{
	unsigned seen = 0;

	for (size_t i = 0; i < rig.nevents; i++) {
		char id[16];

		if (strcmp(rig.events[i].type, "message.given_up") != 0)
			continue;
		snprintf(id, sizeof(id), "H%u", ++seen);
		assert_string_equal(
		    json_string_value(json_object_get(rig.events[i].body, "message_id")), id);
		assert_string_equal(
		    json_string_value(json_object_get(rig.events[i].body, "reason")),
		    "device_gone");
	}
	assert_int_equal(seen, n);
	assert_int_equal(rig_rows_pending(&rig.kept), 0);
	assert_int_equal(held_count(rig.a), 0);
}

/* The device goes: what waits for a decision can be read by none, and is told so before it goes. */
static void
device_goes(void **state)
{
	hold_some(70); /* more than one unit */
	logout();
	rig_until(rig.a->state == ACCOUNT_LOGGED_OUT);
	each_given_up_once(70);
	assert_int_equal(rig_events("account.unlinked"), 1);
}

/* Killed before the device was retired, in the middle of its messages: the service says it again.
 */
static void
device_goes_over_a_kill(void **state)
{
	hold_some(70);
	rig.hold_commits = 1;
	logout();
	while (rig_events("message.given_up") == 0) {
		rig_until(rig.nheld > 0);
		for (size_t i = 0; i < rig.nheld; i++) {
			rig_commit(rig.held[i]);
			message_release(rig.held[i]);
		}
		rig.nheld = 0;
	}
	rig_until(rig.nheld == 1); /* the second unit, which is lost */
	rig_crash();
	rig.hold_commits = 0;
	assert_true(rig_events("message.given_up") > 0 && rig_events("message.given_up") < 70);
	rig_online();
	rig_until(held_count(rig.a) == 70 - rig_events("message.given_up"));
	logout();
	rig_until(rig.a->state == ACCOUNT_LOGGED_OUT);
	each_given_up_once(70);
}

/* One that is being let through when the device goes is told as what it is, and not given up. */
static void
let_through_while_the_device_goes(void **state)
{
	hold_some(3);
	rig.outcome = KEYD__DECRYPT_RESULT__OUTCOME__DONE;
	rig.hold_commits = 1;
	held_release(rig.a);
	rig_until(rig.nheld == 1);
	logout();
	rig_settle();
	rig_release();
	rig_until(rig.a->state == ACCOUNT_LOGGED_OUT);
	assert_int_equal(rig_events("message.received"), 1);
	assert_int_equal(rig_events("message.given_up"), 2);
	assert_int_equal(rig_rows_pending(&rig.kept), 0);
}

/* Rows that are there without a device end at the start. */
static void
left_without_a_device(void **state)
{
	hold_some(3);
	rig_crash();
	rig.linked = 0;
	rig_start();
	each_given_up_once(3);
}

/* The limits: one more than may wait is told with its bytes, and nothing else of it is kept. */
static void
at_the_limits(void **state)
{
	struct {
		size_t n, bytes;
	} full[] = {{HELD_MAX, 0}, {0, HELD_BYTES_MAX}};

	hold_some(1);
	for (size_t i = 0; i < 2; i++) {
		struct held *h = rig.a->held;
		size_t n = h->n, bytes = h->bytes;
		char id[16];

		h->n = full[i].n > 0 ? full[i].n - 1 : n;
		h->bytes = full[i].bytes > 0 ? full[i].bytes - 1 : bytes;
		snprintf(id, sizeof(id), "L%zu", i); /* the last one that has room */
		rig_in(rig_message(id, "x"));
		rig_until(rig_sent("ack", id, NULL) == 1);
		assert_int_equal(rig_rows_pending(&rig.kept), 2 + i);
		assert_int_equal(rig_events("server.notice"), i);
		snprintf(id, sizeof(id), "M%zu", i);
		rig_in(rig_message(id, "x"));
		rig_until(rig_sent("ack", id, NULL) == 1);
		assert_int_equal(rig_rows_pending(&rig.kept), 2 + i);
		assert_int_equal(rig_events("server.notice"), i + 1);
		assert_string_equal(
		    json_string_value(json_object_get(rig_event("server.notice")->body, "kind")),
		    "message_held");
		assert_int_equal(rig_events("message.undecryptable"), 3 + 2 * i);
		h->n = n + 1;
		h->bytes = bytes + 1;
	}
}

static void
written(const struct unit_result *r, void *arg)
{
	*(int *)arg = r->ok;
}

/* What an earlier run has asked the phone for, and of which its sender was asked often enough. */
static void
asked_earlier(const char *request, const char *id)
{
	struct unread_name name, asked;
	struct node *stanza = rig_message(id, "x"), *n = node_new("asked"), *m;
	struct unit *u = unit_open(rig.a);
	int ok = 0;

	memset(&name, 0, sizeof(name));
	snprintf(name.chat, sizeof(name.chat), "c_aaaaaaaaaaaaaaaaaaaaaaaaaa");
	snprintf(name.sender, sizeof(name.sender), "u_aaaaaaaaaaaaaaaaaaaaaaaaaa");
	snprintf(name.id, sizeof(name.id), "%s", id);
	m = node_child_new(n, "m");
	node_set(m, "chat", name.chat);
	node_set(m, "sender", name.sender);
	node_set(m, "id", name.id);
	phone_ask_request_name(request, &asked);
	unread_keep(rig.a, u, &name, stanza, UNREAD_PHONE | RETRY_ASKS_MAX);
	unread_keep(rig.a, u, &asked, n, 0);
	unit_commit(u, written, &ok);
	rig_until(ok);
	node_free(stanza);
	node_free(n);
}

/* The phone's answer names a message by its id: two of one id are not asked for in one request, or
 * one would be told as the other. */
static void
one_id_twice(void **state)
{
	static const char *const chats[] = {
	    "c_aaaaaaaaaaaaaaaaaaaaaaaaaa", "c_bbbbbbbbbbbbbbbbbbbbbbbbbb"};
	struct node *stanza = rig_message("SAME", "x");
	struct unit *u;
	int ok = 0;

	rig_online();
	u = unit_open(rig.a);
	for (size_t i = 0; i < 2; i++) {
		struct unread_name name;

		memset(&name, 0, sizeof(name));
		snprintf(name.chat, sizeof(name.chat), "%s", chats[i]);
		snprintf(name.sender, sizeof(name.sender), "u_aaaaaaaaaaaaaaaaaaaaaaaaaa");
		snprintf(name.id, sizeof(name.id), "SAME");
		unread_keep(rig.a, u, &name, stanza, RETRY_ASKS_MAX);
	}
	unit_commit(u, written, &ok);
	rig_until(ok);
	node_free(stanza);
	rig_crash();
	rig_online();
	rig_until(rig.a->n.phone_asks == 2);
	assert_int_equal(rig_sent("message", NULL, NULL), 2);
}

/* An answer of the phone without any message. */
static struct node *
empty_answer(const char *id, const char *request)
{
	E2e__Message m = E2E__MESSAGE__INIT;
	E2e__ProtocolMessage p = E2E__PROTOCOL_MESSAGE__INIT;
	E2e__PeerDataOperationRequestResponseMessage r =
	    E2E__PEER_DATA_OPERATION_REQUEST_RESPONSE_MESSAGE__INIT;
	struct node *n = rig_message(id, "x");
	uint8_t packed[256], *padded;
	size_t len, padded_len;
	struct jid own;

	r.has_peer_data_operation_request_type = 1;
	r.peer_data_operation_request_type =
	    E2E__PEER_DATA_OPERATION_REQUEST_TYPE__PLACEHOLDER_MESSAGE_RESEND;
	r.stanza_id = (char *)(uintptr_t)request;
	p.has_type = 1;
	p.type = E2E__PROTOCOL_MESSAGE__TYPE__PEER_DATA_OPERATION_REQUEST_RESPONSE_MESSAGE;
	p.peer_data_operation_request_response_message = &r;
	m.protocol_message = &p;
	assert_true(e2e__message__get_packed_size(&m) <= sizeof(packed));
	len = e2e__message__pack(&m, packed);
	padded = content_pad_with(packed, len, 3, &padded_len);
	node_set_bytes(node_child(n, "enc"), padded, padded_len);
	free(padded);
	assert_int_equal(jid_parse("100000000000009@lid", &own), 0);
	node_set_jid(n, "from", &own);
	node_set(n, "category", "peer");
	return n;
}

/* Neither its sender nor the phone gives it: that is told, once. */
static void
phone_has_none(void **state)
{
	rig_online();
	asked_earlier("REQ1", "GONE1");
	rig_in(empty_answer("ANSWER1", "REQ1"));
	rig_until(rig_events("message.given_up") == 1);
	assert_string_equal(
	    json_string_value(json_object_get(rig_event("message.given_up")->body, "reason")),
	    "not_given");
	rig_in(empty_answer("ANSWER2", "REQ1")); /* the request was answered */
	rig_settle();
	assert_int_equal(rig_events("message.given_up"), 1);
}

static int
run_out(const struct event_base *base, const struct event *ev, void *arg)
{
	struct timeval due, now, left;

	if (!event_pending(ev, EV_TIMEOUT, &due))
		return 0;
	event_base_gettimeofday_cached(rig.base, &now);
	evutil_timersub(&due, &now, &left);
	if (left.tv_sec >= PHONE_ASK_OVER_MS / 1000 - 10 &&
	    left.tv_sec <= PHONE_ASK_OVER_MS / 1000) {
		event_active((struct event *)(uintptr_t)ev, EV_TIMEOUT, 0);
		++*(int *)arg;
	}
	return 0;
}

/* The time that the phone has for its answer is over. */
static void
phone_time_over(void)
{
	int n = 0;

	event_base_foreach_event(rig.base, run_out, &n);
	assert_true(n > 0);
}

/* The phone does not answer, and nobody else can be asked: told once, also over a restart. */
static void
phone_is_silent(void **state)
{
	struct unread_name name;
	struct node *stanza = rig_message("SILENT", "x");
	struct unit *u;
	int ok = 0;

	rig_online();
	memset(&name, 0, sizeof(name));
	snprintf(name.chat, sizeof(name.chat), "c_aaaaaaaaaaaaaaaaaaaaaaaaaa");
	snprintf(name.sender, sizeof(name.sender), "u_aaaaaaaaaaaaaaaaaaaaaaaaaa");
	snprintf(name.id, sizeof(name.id), "SILENT");
	u = unit_open(rig.a);
	unread_keep(rig.a, u, &name, stanza, RETRY_ASKS_MAX);
	unit_commit(u, written, &ok);
	rig_until(ok);
	node_free(stanza);
	rig_crash();
	rig_online();
	rig_until(rig.a->n.phone_asks == 1);
	rig_settle();
	assert_int_equal(rig_events("message.given_up"), 0);
	phone_time_over();
	rig_until(rig_events("message.given_up") == 1);
	assert_string_equal(
	    json_string_value(json_object_get(rig_event("message.given_up")->body, "reason")),
	    "unanswered");
	assert_string_equal(
	    json_string_value(json_object_get(rig_event("message.given_up")->body, "message_id")),
	    "SILENT");
	rig_crash();
	rig_online();
	rig_settle();
	assert_int_equal(rig.a->n.phone_asks, 0);
	assert_int_equal(rig_events("message.given_up"), 1);
}

/* After a fault stanzas are noted before they are handled; one that stored would not take as a note
 * is handled without, and is not in the way of others. */
static void
too_long_for_a_note(void **state)
{
	size_t len = 1100u * 1024;
	char *text = malloc(len + 1);

	assert_non_null(text);
	memset(text, 'x', len);
	text[len] = '\0';
	rig.svc.last_end_fault = 1;
	rig_start();
	rig_connect();
	rig_in(rig_message("LONG", text));
	rig_in(rig_message("SHORT", "hello"));
	rig_until(rig_events("message.received") == 2);
	free(text);
	assert_int_equal(rig.restarts, 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	    T(behind_the_last),
	    T(behind_one_that_is_looked_at),
	    T(still_held),
	    T(device_goes),
	    T(device_goes_over_a_kill),
	    T(let_through_while_the_device_goes),
	    T(left_without_a_device),
	    T(at_the_limits),
	    T(phone_has_none),
	    T(phone_is_silent),
	    T(one_id_twice),
	    T(too_long_for_a_note),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
