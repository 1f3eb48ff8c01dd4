/* Conversations of two accounts: order, copies, refusals, both at once, changed identities, and
 * what is asked about sessions. */
#include "keyd/counter.h"
#include "tests/unit/keyd_talk.h"

static void
test_conversation(void **state)
{
	struct sealed_text t[3] = {0};

	send_text(ALICE, &address_of_bob, "first", &of_bob.b, &t[0]);
	assert_true(t[0].pkmsg);
	assert_non_null(bench_record(&b, "bob", STORED__DOMAIN__PREKEY, "1/1", 0));
	assert_int_equal(bench_record(&b, "bob", STORED__DOMAIN__PREKEY, "1/1", 0)->version, 1);
	send_text(ALICE, &address_of_bob, "second", NULL, &t[1]);
	assert_true(t[1].pkmsg); /* until he answers */
	receive(BOB, &address_of_alice, &t[0], "first");
	/* the one-time prekey went with the session, in one unit */
	assert_int_equal(bench_record(&b, "bob", STORED__DOMAIN__PREKEY, "1/1", 0)->version, 0);
	assert_int_equal(
	    bench_record(&b, "bob", STORED__DOMAIN__SESSION, "1/100_1:3", 0)->version, 1);
	assert_int_equal(
	    bench_record(&b, "bob", STORED__DOMAIN__IDENTITY, "1/100_1:3", 0)->version, 1);
	receive(
	    BOB, &address_of_alice, &t[1], "second"); /* the key is gone, the session is known */
	send_text(BOB, &address_of_alice, "answer", NULL, &t[2]);
	assert_false(t[2].pkmsg);
	receive(ALICE, &address_of_bob, &t[2], "answer");
	send_text(ALICE, &address_of_bob, "third", NULL, &t[0]);
	assert_false(t[0].pkmsg);
	receive(BOB, &address_of_alice, &t[0], "third");
}

static void
test_order_and_copies(void **state)
{
	struct sealed_text t[6] = {0};
	char text[8];
	int i;

	for (i = 0; i < 6; i++) {
		snprintf(text, sizeof(text), "m%d", i);
		send_text(ALICE, &address_of_bob, text, i == 0 ? &of_bob.b : NULL, &t[i]);
	}
	receive(BOB, &address_of_alice, &t[3], "m3");
	receive(BOB, &address_of_alice, &t[0], "m0");
	FAILS(BOB, &address_of_alice, &t[3], DUPLICATE);
	receive(BOB, &address_of_alice, &t[5], "m5");
	receive(BOB, &address_of_alice, &t[1], "m1");
	FAILS(BOB, &address_of_alice, &t[0], DUPLICATE);
	receive(BOB, &address_of_alice, &t[2], "m2");
	receive(BOB, &address_of_alice, &t[4], "m4");
}

static void
test_refusals(void **state)
{
	struct sealed_text t = {0}, bad = {0};
	size_t i;

	assert_int_equal(encrypt(ALICE, &address_of_bob, "x", NULL, &t),
	    KEYD__ENCRYPT_RESULT__OUTCOME__NO_SESSION);
	/* a prekey that was never made, and a signed prekey that was never made */
	of_bob.p.id = 99;
	send_text(ALICE, &address_of_bob, "x", &of_bob.b, &t);
	FAILS(BOB, &address_of_alice, &t, NO_PREKEY);
	of_bob.p.id = 1;
	of_bob.s.id = 77;
	send_text(ALICE, &address_of_bob, "x", &of_bob.b, &t);
	FAILS(BOB, &address_of_alice, &t, NO_PREKEY);
	of_bob.s.id = 1;
	send_text(ALICE, &address_of_bob, "x", &of_bob.b, &t);
	bad = t;
	bad.bytes[bad.len - 20] ^= 1; /* inside the inner message's MAC or text */
	i = (size_t)decrypt(BOB, &address_of_alice, &bad, "");
	assert_true(i == KEYD__DECRYPT_RESULT__OUTCOME__BAD_MAC ||
		    i == KEYD__DECRYPT_RESULT__OUTCOME__INVALID);
	/* which left nothing behind: no identity, no session, the prekey is still there */
	assert_null(bench_record(&b, "bob", STORED__DOMAIN__IDENTITY, "1/100_1:3", 0));
	assert_null(bench_record(&b, "bob", STORED__DOMAIN__SESSION, "1/100_1:3", 0));
	receive(BOB, &address_of_alice, &t, "x");

	send_text(BOB, &address_of_alice, "back", NULL, &t);
	bad = t;
	bad.bytes[bad.len - 1] ^= 1;
	FAILS(ALICE, &address_of_bob, &bad, BAD_MAC);
	bad.len = 5;
	FAILS(ALICE, &address_of_bob, &bad, MALFORMED);
	bad.len = 0;
	FAILS(ALICE, &address_of_bob, &bad, MALFORMED);
	bad = t;
	bad.bytes[0] = 0x13; /* version 1 */
	FAILS(ALICE, &address_of_bob, &bad, MALFORMED);
	bad = t;
	bad.pkmsg = 1; /* not what it is said to be */
	FAILS(ALICE, &address_of_bob, &bad, MALFORMED);
	address_of_bob.device = 9;
	FAILS(ALICE, &address_of_bob, &t, NO_SESSION);
	address_of_bob.device = 0;
	receive(ALICE, &address_of_bob, &t, "back");
	FAILS(ALICE, &address_of_bob, &t, DUPLICATE);
}

static void
test_bad_bundles(void **state)
{
	struct sealed_text t = {0};
	uint8_t junk[40] = {0x0a, 3, 1, 2, 3};
	uint64_t refused = counters[COUNT_ADV_REFUSED];

	of_bob.ssig[7] ^= 1;
	assert_int_equal(encrypt(ALICE, &address_of_bob, "x", &of_bob.b, &t),
	    KEYD__ENCRYPT_RESULT__OUTCOME__BAD_BUNDLE);
	of_bob.ssig[7] ^= 1;
	of_bob.identity[3] ^= 1; /* signed by somebody else */
	assert_int_equal(encrypt(ALICE, &address_of_bob, "x", &of_bob.b, &t),
	    KEYD__ENCRYPT_RESULT__OUTCOME__BAD_BUNDLE);
	of_bob.identity[3] ^= 1;
	memset(of_bob.ppub, 0, 32); /* a point of small order */
	assert_int_equal(encrypt(ALICE, &address_of_bob, "x", &of_bob.b, &t),
	    KEYD__ENCRYPT_RESULT__OUTCOME__BAD_BUNDLE);
	of_bob.b.prekey = NULL;
	/* of a companion with a device identity that nobody signed */
	of_bob.b.has_device_identity = 1;
	of_bob.b.device_identity = (ProtobufCBinaryData){sizeof(junk), junk};
	address_of_bob.device = 4;
	assert_int_equal(encrypt(ALICE, &address_of_bob, "x", &of_bob.b, &t),
	    KEYD__ENCRYPT_RESULT__OUTCOME__ADV_INVALID);
	assert_int_equal(counters[COUNT_ADV_REFUSED], refused + 1);
	assert_null(bench_record(&b, "alice", STORED__DOMAIN__SESSION, "1/200_1:4", 0));
	of_bob.b.has_device_identity = 0;
	send_text(ALICE, &address_of_bob, "without a prekey", &of_bob.b, &t);
	receive(BOB, &address_of_alice, &t, "without a prekey");
}

static void
test_simultaneous(void **state)
{
	struct sealed_text a = {0}, c = {0}, d = {0};

	send_text(ALICE, &address_of_bob, "from alice", &of_bob.b, &a);
	send_text(BOB, &address_of_alice, "from bob", &of_alice.b, &c);
	receive(BOB, &address_of_alice, &a, "from alice");
	receive(ALICE, &address_of_bob, &c, "from bob");
	send_text(ALICE, &address_of_bob, "two", NULL, &a);
	receive(BOB, &address_of_alice, &a, "two");
	send_text(BOB, &address_of_alice, "three", NULL, &c);
	receive(ALICE, &address_of_bob, &c, "three");
	send_text(ALICE, &address_of_bob, "four", NULL, &d);
	assert_false(d.pkmsg);
	receive(BOB, &address_of_alice, &d, "four");
}

/* Each side goes on in the session that the other began, as clients do that never go back to their
 * own. */
static void
test_simultaneous_apart(void **state)
{
	struct sealed_text a = {0}, c = {0};

	send_text(ALICE, &address_of_bob, "from alice", &of_bob.b, &a);
	send_text(BOB, &address_of_alice, "from bob", &of_alice.b, &c);
	receive(BOB, &address_of_alice, &a, "from alice");
	receive(ALICE, &address_of_bob, &c, "from bob");
	send_text(ALICE, &address_of_bob, "two", NULL, &a);
	send_text(BOB, &address_of_alice, "three", NULL, &c);
	assert_false(c.pkmsg);
	receive(ALICE, &address_of_bob, &c, "three");
	receive(BOB, &address_of_alice, &a, "two");
}

/* Items of one request see each other's state; one that fails undoes only itself. */
static void
test_items_of_one_request(void **state)
{
	struct sealed_text t[4] = {0};
	const Keyd__DecryptReply *r;

	send_text(ALICE, &address_of_bob, "a", &of_bob.b, &t[0]);
	send_text(ALICE, &address_of_bob, "b", NULL, &t[1]);
	send_text(ALICE, &address_of_bob, "c", NULL, &t[2]);
	t[3] = t[2];
	t[1].bytes[t[1].len - 12] ^= 1;
	b.stages = 0;
	r = decrypt_unit(BOB, &address_of_alice, t, 4, ++b.unit);
	assert_non_null(r);
	assert_int_equal(r->results[0]->outcome, KEYD__DECRYPT_RESULT__OUTCOME__DONE);
	assert_int_not_equal(r->results[1]->outcome, KEYD__DECRYPT_RESULT__OUTCOME__DONE);
	assert_int_equal(r->results[2]->outcome, KEYD__DECRYPT_RESULT__OUTCOME__DONE);
	assert_int_equal(r->results[3]->outcome, KEYD__DECRYPT_RESULT__OUTCOME__DUPLICATE);
	assert_int_equal(r->stages, 1);
	bench_settle(&b);
	assert_int_equal(b.stages, 1);
	commit("bob", b.unit);
	/* written once, though two items changed it */
	assert_int_equal(
	    bench_record(&b, "bob", STORED__DOMAIN__SESSION, "1/100_1:3", 0)->version, 1);
	t[1].bytes[t[1].len - 12] ^= 1;
	receive(BOB, &address_of_alice, &t[1], "b");
}

static void
test_identity_change(void **state)
{
	struct sealed_text t = {0};
	const Keyd__DecryptReply *r;

	send_text(ALICE, &address_of_bob, "one", &of_bob.b, &t);
	r = decrypt_unit(BOB, &address_of_alice, &t, 1, ++b.unit);
	assert_false(r->results[0]->identity_changed);
	commit("bob", b.unit);
	/* a new device of alice, at the same address */
	create(ALICE);
	bundle_from(&of_bob, make_prekeys(BOB, 1, 0, ++b.unit), 0);
	commit("bob", b.unit);
	send_text(ALICE, &address_of_bob, "two", &of_bob.b, &t);
	t.bytes[t.len - 12] ^= 1;
	r = decrypt_unit(BOB, &address_of_alice, &t, 1, ++b.unit);
	assert_int_not_equal(r->results[0]->outcome, KEYD__DECRYPT_RESULT__OUTCOME__DONE);
	assert_int_equal(
	    bench_record(&b, "bob", STORED__DOMAIN__IDENTITY, "1/100_1:3", 0)->version, 1);
	t.bytes[t.len - 12] ^= 1;
	r = decrypt_unit(BOB, &address_of_alice, &t, 1, ++b.unit);
	assert_int_equal(r->results[0]->outcome, KEYD__DECRYPT_RESULT__OUTCOME__DONE);
	assert_true(r->results[0]->identity_changed);
	commit("bob", b.unit);
	assert_int_equal(
	    bench_record(&b, "bob", STORED__DOMAIN__IDENTITY, "1/100_1:3", 0)->version, 2);
}

/* 1024 addresses in one question: stored is asked in parts whose answers fit a frame. */
static void
test_many_addresses(void **state)
{
	static char names[1025][16];
	static Keyd__Address addresses[1025], *list[1025];
	Keyd__Sessions q = KEYD__SESSIONS__INIT;
	const Keyd__SessionsReply *r;
	struct sealed_text t = {0};
	int i;

	send_text(ALICE, &address_of_bob, "one", &of_bob.b, &t);
	for (i = 0; i < 1025; i++) {
		keyd__address__init(&addresses[i]);
		snprintf(names[i], sizeof(names[i]), "%d_1", 9000 + i);
		addresses[i].name = names[i];
		list[i] = &addresses[i];
	}
	list[700] = &address_of_bob;
	q.account = ALICE;
	q.addresses = list;
	q.n_addresses = 1024;
	b.fetches = b.fetched = 0;
	r = BENCH_ASK(&b, b.apid, SESSIONS, &q, SESSIONS_REPLY, sessions_reply);
	assert_non_null(r);
	assert_int_equal(r->n_has, 1024);
	for (i = 0; i < 1024; i++)
		assert_int_equal(r->has[i], i == 700);
	assert_int_equal(b.fetched, 1023); /* one is known */
	assert_true(b.fetches >= 64);
	q.n_addresses = 1025;
	assert_null(BENCH_ASK(&b, b.apid, SESSIONS, &q, SESSIONS_REPLY, sessions_reply));
	assert_string_equal(b.code, "bad_request");
}

static void
facts_of(char *account, Keyd__Address *address, struct bench *bench, Keyd__SessionFacts *out,
    uint8_t key[33])
{
	Keyd__Sessions q = KEYD__SESSIONS__INIT;
	const Keyd__SessionsReply *r;

	q.account = account;
	q.addresses = &address;
	q.n_addresses = 1;
	q.has_facts = q.facts = 1;
	r = BENCH_ASK(bench, bench->apid, SESSIONS, &q, SESSIONS_REPLY, sessions_reply);
	assert_non_null(r);
	assert_int_equal(r->n_has, 1);
	assert_int_equal(r->n_facts, 1);
	*out = *r->facts[0];
	assert_int_equal(out->base_key.len, r->has[0] ? 33 : 0);
	if (out->base_key.len > 0)
		memcpy(key, out->base_key.data, out->base_key.len);
}

/* What a retry needs to know of a session, and its deletion. */
static void
test_facts_and_delete(void **state)
{
	Keyd__IdentityForget q = KEYD__IDENTITY_FORGET__INIT;
	Keyd__Address *list[1] = {&address_of_bob};
	Keyd__SessionFacts f;
	struct sealed_text t = {0}, u = {0};
	const Keyd__IdentityForgetReply *done;
	uint8_t one[33] = {0}, two[33] = {0};

	facts_of(ALICE, &address_of_bob, &b, &f, one);
	assert_int_equal(f.registration_id, 0);
	assert_false(f.unacknowledged);
	send_text(ALICE, &address_of_bob, "one", &of_bob.b, &t);
	facts_of(ALICE, &address_of_bob, &b, &f, one);
	assert_int_equal(f.registration_id, of_bob.b.registration_id);
	assert_int_equal(one[0], 5);
	assert_true(f.unacknowledged);
	receive(BOB, &address_of_alice, &t, "one");
	facts_of(BOB, &address_of_alice, &b, &f, two);
	assert_memory_equal(one, two, 33); /* both have that of the one who began */
	send_text(BOB, &address_of_alice, "two", NULL, &u);
	receive(ALICE, &address_of_bob, &u, "two");
	facts_of(ALICE, &address_of_bob, &b, &f, two);
	assert_memory_equal(one, two, 33);
	assert_false(f.unacknowledged);
	/* a session from another bundle has another base key */
	bundle_from(&of_bob, make_prekeys(BOB, 1, 0, ++b.unit), 0);
	commit("bob", b.unit);
	send_text(ALICE, &address_of_bob, "three", &of_bob.b, &t);
	facts_of(ALICE, &address_of_bob, &b, &f, two);
	assert_memory_not_equal(one, two, 33);
	/* deleted with its archive; the identity stays, and a next bundle begins anew */
	q.account = ALICE;
	q.addresses = list;
	q.n_addresses = 1;
	q.has_only_sessions = q.only_sessions = 1;
	q.unit = ++b.unit;
	done = BENCH_ASK(
	    &b, b.apid, IDENTITY_FORGET, &q, IDENTITY_FORGET_REPLY, identity_forget_reply);
	assert_non_null(done);
	assert_int_equal(done->stages, 1);
	commit("alice", b.unit);
	facts_of(ALICE, &address_of_bob, &b, &f, two);
	assert_int_equal(f.registration_id, 0);
	assert_int_equal(encrypt(ALICE, &address_of_bob, "four", NULL, &t),
	    KEYD__ENCRYPT_RESULT__OUTCOME__NO_SESSION);
	assert_true(
	    bench_record(&b, "alice", STORED__DOMAIN__IDENTITY, "1/200_1:0", 0)->version > 0);
	/* what is not there is deleted with success */
	q.unit = ++b.unit;
	assert_non_null(BENCH_ASK(
	    &b, b.apid, IDENTITY_FORGET, &q, IDENTITY_FORGET_REPLY, identity_forget_reply));
}

/* A new device uses nothing of the one before. */
static void
test_generations(void **state)
{
	const Keyd__DeviceState *s;
	struct sealed_text t = {0}, u = {0};
	uint8_t identity[32];

	send_text(ALICE, &address_of_bob, "one", &of_bob.b, &t);
	receive(BOB, &address_of_alice, &t, "one");
	send_text(ALICE, &address_of_bob, "two", NULL, &u);
	s = create(BOB);
	assert_int_equal(s->generation, 2);
	assert_false(s->linked);
	memcpy(identity, s->identity_pub.data, 32);
	assert_memory_not_equal(identity, of_bob.identity, 32);
	FAILS(BOB, &address_of_alice, &u, NO_PREKEY);
	assert_int_equal(make_prekeys(BOB, 1, 0, ++b.unit)->keys[0]->id, 1);
	commit("bob", b.unit);
	assert_int_equal(bench_record(&b, "bob", STORED__DOMAIN__PREKEY, "2/1", 0)->version, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_conversation, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_order_and_copies, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bad_bundles, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_simultaneous, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_simultaneous_apart, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_items_of_one_request, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_identity_change, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_many_addresses, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_facts_and_delete, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_generations, setup, teardown),
	};

	log_set_level(LOG_LV_ERR);
	(void)core_warm_up();
	alarm(600 * test_slow());
	return cmocka_run_group_tests_name("keyd: sessions", tests, NULL, NULL);
}
