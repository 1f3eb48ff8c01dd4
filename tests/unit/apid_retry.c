/* Requests to send a message again: who gets it, by which session, how often (protocol page 04,
 * 12).
 */
#include "apid/message/retry.h"
#include "apid/message/retry_rate.h"
#include "common/clock.h"
#include "tests/unit/apid_engine_rig.h"

#define BOB5  "100000000000002:5@lid"
#define PHONE "100000000000009@lid"

struct request {
	const char *from;
	const char *count, *error;
	unsigned registration; /* 0: none is told */
	int keys;              /* they come with it: 2 = without the one-time key */
};

static void
request(const char *id, const struct request *q)
{
	uint8_t reg[4] = {0, 0, 0, (uint8_t)q->registration}, id3[3] = {0, 0, 7}, pub[32] = {5},
		sig[64] = {6};
	struct node *n = node_new("receipt"), *r = node_child_new(n, "retry"), *k;
	struct jid j;

	assert_int_equal(jid_parse(q->from, &j), 0);
	node_set(n, "id", id);
	node_set_jid(n, "from", &j);
	node_set(n, "type", "retry");
	if (strcmp(j.user, "100000000000009") == 0)
		node_set(n, "recipient", RIG_BOB_LID);
	node_set(r, "id", id);
	node_set(r, "count", q->count);
	node_set(r, "error", q->error);
	if (q->registration != 0)
		node_add_bytes(n, "registration", reg, 4);
	if (q->keys > 0) {
		k = node_child_new(n, "keys");
		node_add_bytes(k, "identity", pub, 32);
		if (q->keys == 1) {
			r = node_child_new(k, "key");
			node_add_bytes(r, "id", id3, 3);
			node_add_bytes(r, "value", pub, 32);
		}
		r = node_child_new(k, "skey");
		node_add_bytes(r, "id", id3, 3);
		node_add_bytes(r, "value", pub, 32);
		node_add_bytes(r, "signature", sig, 64);
	}
	rig_in(n);
}

/* A message that has gone out; its id. */
static const char *
sent_message(const char *key)
{
	static char id[64];
	size_t before = rig_sent("message", NULL, NULL);

	rig_send(RIG_BOB_LID, key, "hello", SEND_WAIT_QUEUED, 5000);
	rig_until(rig_sent("message", NULL, NULL) == before + 1);
	snprintf(id, sizeof(id), "%s", node_get(rig_last("message"), "id"));
	return id;
}

/* 1 if it was answered with the message; acked in any case. */
static int
answered(const char *id, const struct request *q)
{
	size_t before = rig_sent("message", id, NULL), acks = rig_sent("ack", id, "retry");

	rig.bundles = 0;
	request(id, q);
	rig_until(rig_sent("ack", id, "retry") == acks + 1);
	return (int)(rig_sent("message", id, NULL) - before);
}

/* Requests of one device, one after the other: the session as it is, or a new one. */
static void
sessions(void **state)
{
	static const struct {
		struct request q;
		int answered;
		size_t bundles;
	} rows[] = {
	    {{BOB5, "1", "4", 9, 0}, 1, 0},   /* the session will do */
	    {{BOB5, "1", "4", 8, 0}, 1, 1},   /* it is another install by now */
	    {{BOB5, "2", "4", 9, 0}, 1, 0},   /* made anew less than an hour ago */
	    {{BOB5, "3", "4", 9, 0}, 1, 1},   /* and not renewed since: both are stuck on it */
	    {{BOB5, "4", "4", 9, 0}, 1, 0},   /* that is forgotten then */
	    {{BOB5, "1", "1", 9, 1}, 1, 1},   /* keys that came with it */
	    {{BOB5, "2", "1", 9, 2}, 0, 0},   /* … without the one-time key */
	    {{BOB5, "2", "1", 0, 1}, 0, 0},   /* … without a registration */
	    {{BOB5, "5", "4", 9, 1}, 0, 0},   /* asked too often */
	    {{BOB5, "999", "4", 9, 1}, 0, 0}, /* the same */
	    {{"100000000000077:5@lid", "1", "4", 9, 1}, 0, 0}, /* not of this chat */
	    {{PHONE, "1", "4", 9, 0}, 1, 0},                   /* our own phone */
	    {{PHONE, "2", "4", 8, 1}, 0, 0},       /* … with another registration than before */
	    {{PHONE, "2", "4", 9, 1}, 1, 1},       /* … with the one that it has */
	    {{RIG_OWN_LID, "1", "4", 9, 1}, 0, 0}, /* this very device */
	};
	const char *id;

	snprintf(rig.bob_devices, sizeof(rig.bob_devices), "0,5");
	rig_online();
	id = sent_message("k1");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (answered(id, &rows[i].q) != rows[i].answered)
			fail_msg("row %zu: answered %d", i, !rows[i].answered);
		if (rig.bundles != rows[i].bundles)
			fail_msg("row %zu: %zu bundles", i, rig.bundles);
		if (!rows[i].answered)
			continue;
		assert_string_equal(node_get(rig_last("message"), "to"), rows[i].q.from);
		assert_string_equal(
		    node_get(node_child(rig_last("message"), "enc"), "count"), rows[i].q.count);
	}
}

/* Whatever the reason, it is sent again: the table of 12.1, and one that is not in it. */
static void
reasons(void **state)
{
	char key[16], error[16];

	rig_online();
	for (int i = 0; i <= 14; i++) {
		struct request q = {PHONE, "1", error, 9, 0};

		snprintf(key, sizeof(key), "k%d", i);
		snprintf(error, sizeof(error), "%d", i);
		if (answered(sent_message(key), &q) != 1)
			fail_msg("error %d is not answered", i);
	}
}

/* A device that was not addressed gets it only if the service says that it is his. */
static void
new_device(void **state)
{
	struct request q = {"100000000000002:7@lid", "1", "1", 9, 1};
	const char *id;

	rig.know_lid = 0; /* a person of his own */
	rig_online();
	id = sent_message("k1");
	assert_int_equal(answered(id, &q), 0);
	snprintf(rig.bob_devices, sizeof(rig.bob_devices), "0,7");
	assert_int_equal(answered(id, &q), 1);
	assert_int_equal(rig.bundles, 1);
}

/* What an edit says of itself, its resend says as well. */
static void
attributes(void **state)
{
	struct send_request rq = {.to = RIG_BOB_LID,
	    .idempotency_key = "e1",
	    .text = "better",
	    .act = SEND_ACT_EDIT,
	    .target = "3EB0AAAAAAAAAAAAAAAAAA",
	    .uid = 1000,
	    .wait = SEND_WAIT_QUEUED,
	    .timeout_ms = 5000};
	struct request q = {PHONE, "1", "4", 9, 0};
	char id[64];

	rig_online();
	message_send(rig.a, &rig, &rq, rig_done, NULL);
	rig_until(rig_sent("message", NULL, NULL) == 1);
	snprintf(id, sizeof(id), "%s", node_get(rig_last("message"), "id"));
	assert_int_equal(answered(id, &q), 1);
	assert_string_equal(node_get(rig_last("message"), "edit"), "1");
	assert_string_equal(node_get(rig_last("message"), "recipient"), RIG_BOB_LID);
	assert_string_equal(
	    node_get(node_child(rig_last("message"), "enc"), "decrypt-fail"), "hide");
}

/* How often a device got a message is known after a restart. */
static void
counted_over_a_restart(void **state)
{
	struct request q = {PHONE, "1", "4", 9, 0};
	char id[64];

	rig_online();
	snprintf(id, sizeof(id), "%s", sent_message("k1"));
	for (unsigned i = 0; i < RETRY_ANSWERS_MAX - 3; i++)
		assert_int_equal(answered(id, &q), 1);
	rig_crash();
	rig_online();
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(answered(id, &q), 1);
	assert_int_equal(answered(id, &q), 0);
}

/* One person gets so many at once; the next wait for their turn, unacked. */
static void
rate(void **state)
{
	struct request q = {"100000000000002@lid", "1", "4", 9, 0};
	char id[64], key[16];
	int64_t began = clock_mono_ms();
	int i;

	rig.know_lid = 0;
	rig_online();
	for (i = 0; i < RETRY_RATE_BURST; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(answered(sent_message(key), &q), 1);
	}
	for (;; i++) { /* what has come to his bucket meanwhile, on a slow machine */
		snprintf(key, sizeof(key), "k%d", i);
		snprintf(id, sizeof(id), "%s", sent_message(key));
		request(id, &q);
		rig_settle();
		if (rig_sent("message", id, NULL) == 1)
			break;
		assert_true(i - RETRY_RATE_BURST <= (clock_mono_ms() - began) / RETRY_RATE_MS);
	}
	assert_int_equal(rig_sent("ack", id, "retry"), 0);
	q.from = PHONE; /* the others are not held back by him */
	assert_int_equal(answered(sent_message("own"), &q), 1);
}

static void
bucket(void **state)
{
	struct account a = {.name = "bucket"}, b = {.name = "another"};
	int64_t now = INT64_C(1000000);
	int i;

	for (i = 0; i < RETRY_RATE_BURST; i++)
		assert_int_equal(retry_rate_take(&a, "u_x", now), 0);
	assert_int_equal(retry_rate_take(&a, "u_x", now), RETRY_RATE_MS);
	assert_int_equal(retry_rate_take(&a, "u_x", now), 2 * RETRY_RATE_MS);
	assert_int_equal(retry_rate_take(&a, "u_y", now), 0);
	assert_int_equal(retry_rate_take(&b, "u_x", now), 0);
	now += 3 * RETRY_RATE_MS;
	assert_int_equal(retry_rate_take(&a, "u_x", now), 0);
	for (i = 1; i <= RETRY_RATE_WAITING; i++)
		assert_int_equal(retry_rate_take(&a, "u_x", now), i * RETRY_RATE_MS);
	assert_int_equal(retry_rate_take(&a, "u_x", now), -1);
	now += INT64_C(100000000);
	for (i = 0; i < RETRY_RATE_BURST; i++)
		assert_int_equal(retry_rate_take(&a, "u_x", now), 0);
	assert_int_equal(retry_rate_take(&a, "u_x", now), RETRY_RATE_MS);
	for (i = 0; i < RETRY_KEYS_BURST; i++)
		assert_int_equal(retry_keys_take(&a, "u_x", now), 1);
	for (i = 0; i < 5; i++) /* what is refused costs nothing */
		assert_int_equal(retry_keys_take(&a, "u_x", now), 0);
	assert_int_equal(retry_keys_take(&a, "u_y", now), 1);
	assert_int_equal(retry_keys_take(&b, "u_x", now), 1);
	assert_int_equal(retry_keys_take(&a, "u_x", now + RETRY_KEYS_MS - 1), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(retry_keys_take(&a, "u_x", now + 2 * RETRY_KEYS_MS), 1);
	assert_int_equal(retry_keys_take(&a, "u_x", now + 2 * RETRY_KEYS_MS), 0);
	for (i = 0; i < 1000; i++) { /* one who goes on asking stays known, whoever else does */
		char who[16];

		snprintf(who, sizeof(who), "u_%d", i);
		assert_int_equal(retry_keys_take(&a, who, now + 2 * RETRY_KEYS_MS + i / 10), 1);
		assert_int_equal(
		    retry_keys_take(&a, "u_x", now + 2 * RETRY_KEYS_MS + i / 10 + 1), 0);
	}
	assert_false(retry_recreated_lately(&a, "1_1", 2, now));
	retry_recreated(&a, "1_1", 2, now);
	assert_true(retry_recreated_lately(&a, "1_1", 2, now + RETRY_RECREATE_MS - 1));
	assert_false(retry_recreated_lately(&a, "1_1", 2, now + RETRY_RECREATE_MS));
	assert_false(retry_recreated_lately(&a, "1_1", 3, now));
	assert_false(retry_recreated_lately(&b, "1_1", 2, now));
}

/* Nothing is encrypted for an identity that is held, and the request is not taken off the queue: it
 * is answered when it comes again after the decision. */
static void
held_identity(void **state)
{
	static const struct request q = {BOB5, "1", "1", 9, 1};
	const char *id;
	size_t before;

	snprintf(rig.bob_devices, sizeof(rig.bob_devices), "0,5");
	rig_online();
	id = sent_message("k1");
	rig.untrusted = 1;
	before = rig.encrypts;
	request(id, &q);
	rig_until(rig.encrypts == before + 1);
	rig_settle();
	assert_int_equal(rig_sent("message", id, NULL), 1);
	assert_int_equal(rig_sent("ack", id, "retry"), 0);
	assert_int_equal(rig.restarts, 0);
	rig.untrusted = 0;
	assert_int_equal(answered(id, &q), 1);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	    T(sessions),
	    T(reasons),
	    T(new_device),
	    T(attributes),
	    T(counted_over_a_restart),
	    T(rate),
	    cmocka_unit_test(bucket),
	    T(held_identity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
