/* Sessions and the units that they are written in: units that fail, records that do not open or
 * come late. */
#include <signal/protocol.h>

#include "keyd/provider.h"
#include "tests/unit/keyd_talk.h"

/* Encrypted and decrypted, but the unit fails: everything is as before, and works again. */
static void
test_failed_units(void **state)
{
	struct sealed_text t = {0}, u = {0};
	uint64_t unit;

	send_text(ALICE, &address_of_bob, "one", &of_bob.b, &t);
	assert_int_equal(
	    decrypt(BOB, &address_of_alice, &t, "one"), KEYD__DECRYPT_RESULT__OUTCOME__DONE);
	assert_int_equal(bench_commit(&b, "bob", b.unit, 0), 0);
	bench_settle(&b);
	receive(BOB, &address_of_alice, &t, "one"); /* the same ciphertext, the same prekey */
	FAILS(BOB, &address_of_alice, &t, DUPLICATE);

	/* a ciphertext that never left: its chain key is used again, with nobody to see two of them
	 */
	assert_int_equal(
	    encrypt(ALICE, &address_of_bob, "lost", NULL, &u), KEYD__ENCRYPT_RESULT__OUTCOME__DONE);
	assert_int_equal(bench_commit(&b, "alice", u.unit, 0), 0);
	bench_settle(&b);
	send_text(ALICE, &address_of_bob, "sent", NULL, &u);
	receive(BOB, &address_of_alice, &u, "sent");

	/* two units, the second on top of the first; the first fails, so does the second */
	send_text(ALICE, &address_of_bob, "three", NULL, &t);
	send_text(ALICE, &address_of_bob, "four", NULL, &u);
	assert_int_equal(
	    decrypt(BOB, &address_of_alice, &t, "three"), KEYD__DECRYPT_RESULT__OUTCOME__DONE);
	unit = b.unit;
	assert_int_equal(
	    decrypt(BOB, &address_of_alice, &u, "four"), KEYD__DECRYPT_RESULT__OUTCOME__DONE);
	assert_int_equal(bench_commit(&b, "bob", unit, 0), 0);
	bench_settle(&b);
	/* more work in the unit that can only fail is refused; other work waits for its end */
	assert_null(decrypt_unit(BOB, &address_of_alice, &t, 1, b.unit));
	assert_string_equal(b.code, "store");
	assert_int_equal(bench_commit(&b, "bob", b.unit, 1), 0);
	bench_settle(&b);
	receive(BOB, &address_of_alice, &t, "three");
	receive(BOB, &address_of_alice, &u, "four");
}

/* The number that a ciphertext has in its chain: field 2 of the message behind the version byte. */
static uint32_t
counter_of(const struct sealed_text *t)
{
	signal_message *m = NULL;
	uint32_t n;

	assert_int_equal(
	    signal_message_deserialize(&m, t->bytes, t->len, provider_context), SG_SUCCESS);
	n = signal_message_get_counter(m);
	SIGNAL_UNREF(m);
	return n;
}

/* stored tells apid that a unit failed before keyd hears of it, and apid asks about the same
 * session again at once. Whenever keyd hears: of all ciphertexts of one number at most one is in a
 * unit that is committed, and nothing of what the peer sent is lost. `when`: after which step keyd
 * hears of the first unit. */
static void
test_apid_hears_first(void **state)
{
	struct sealed_text t = {0}, first = {0}, second = {0}, third = {0};
	uint64_t unit1, unit2;
	int when;

	send_text(ALICE, &address_of_bob, "hello", &of_bob.b, &t);
	receive(BOB, &address_of_alice, &t, "hello");
	send_text(BOB, &address_of_alice, "answer", NULL, &t);
	receive(ALICE, &address_of_bob, &t, "answer");
	for (when = 0; when < 3; when++) {
		/* sending */
		b.hold_done = 1;
		assert_int_equal(encrypt(ALICE, &address_of_bob, "lost", NULL, &first),
		    KEYD__ENCRYPT_RESULT__OUTCOME__DONE);
		assert_int_equal(bench_commit(&b, "alice", first.unit, 0), 0);
		if (when == 0)
			bench_tell(&b);
		bench_settle(&b);
		assert_int_equal(encrypt(ALICE, &address_of_bob, "hasty", NULL, &second),
		    KEYD__ENCRYPT_RESULT__OUTCOME__DONE);
		if (when == 1)
			bench_tell(&b);
		bench_settle(&b);
		if (when == 0) { /* keyd knew: the number is used again, the first never left */
			assert_int_equal(counter_of(&second), counter_of(&first));
			assert_int_equal(bench_commit(&b, "alice", second.unit, 1), 1);
			t = second;
		} else { /* keyd did not: built on what failed, so it cannot be committed */
			assert_int_equal(counter_of(&second), counter_of(&first) + 1);
			assert_int_equal(bench_commit(&b, "alice", second.unit, 1), 0);
		}
		while (b.ndone > 0)
			bench_tell(&b);
		b.hold_done = 0;
		bench_settle(&b);
		send_text(ALICE, &address_of_bob, "third", NULL, &third);
		assert_int_equal(counter_of(&third), counter_of(&first) + (when == 0));
		if (when == 0)
			receive(BOB, &address_of_alice, &t, "hasty");
		receive(BOB, &address_of_alice, &third, "third");

		/* receiving: two messages, the unit of the first fails */
		send_text(ALICE, &address_of_bob, "one", NULL, &first);
		send_text(ALICE, &address_of_bob, "two", NULL, &second);
		b.hold_done = 1;
		assert_int_equal(decrypt(BOB, &address_of_alice, &first, "one"),
		    KEYD__DECRYPT_RESULT__OUTCOME__DONE);
		unit1 = b.unit;
		assert_int_equal(bench_commit(&b, "bob", unit1, 0), 0);
		if (when == 0)
			bench_tell(&b);
		bench_settle(&b);
		/* the stanza comes again: to keyd, which has not heard, a duplicate; but the unit
		 * that would acknowledge it cannot be committed */
		assert_int_equal(decrypt(BOB, &address_of_alice, &first, "one"),
		    when == 0 ? KEYD__DECRYPT_RESULT__OUTCOME__DONE
			      : KEYD__DECRYPT_RESULT__OUTCOME__DUPLICATE);
		unit2 = b.unit;
		if (when == 1)
			bench_tell(&b);
		bench_settle(&b);
		assert_int_equal(bench_commit(&b, "bob", unit2, 1), when == 0);
		while (b.ndone > 0)
			bench_tell(&b);
		b.hold_done = 0;
		bench_settle(&b);
		if (when > 0)
			receive(BOB, &address_of_alice, &first, "one");
		receive(BOB, &address_of_alice, &second, "two");
		/* the unit that it rests on is committed: so is this one */
		send_text(ALICE, &address_of_bob, "three", NULL, &first);
		assert_int_equal(decrypt(BOB, &address_of_alice, &first, "three"),
		    KEYD__DECRYPT_RESULT__OUTCOME__DONE);
		unit1 = b.unit;
		FAILS(BOB, &address_of_alice, &first, DUPLICATE);
		assert_int_equal(bench_commit(&b, "bob", unit1, 1), 1);
		assert_int_equal(bench_commit(&b, "bob", b.unit, 1), 1);
		bench_settle(&b);
		FAILS(BOB, &address_of_alice, &first, DUPLICATE);
		assert_int_equal(((const Keyd__DecryptReply *)b.reply)->stages, 0);
	}
}

/* Prekeys and sessions of a device whose own unit fails are not committed either: the next device
 * has the same generation, and would find them. */
static void
test_device_not_committed(void **state)
{
	Keyd__DeviceCreate q = KEYD__DEVICE_CREATE__INIT;
	struct sealed_text t = {0};
	const Keyd__DeviceState *d;
	uint64_t unit;

	b.hold_done = 1;
	q.account = ALICE;
	q.unit = unit = ++b.unit;
	d = BENCH_ASK(&b, b.apid, DEVICE_CREATE, &q, DEVICE_STATE, device_state);
	assert_non_null(d);
	assert_int_equal(d->generation, 2);
	assert_non_null(make_prekeys(ALICE, 1, 0, ++b.unit));
	assert_int_equal(
	    encrypt(ALICE, &address_of_bob, "of a device that never was", &of_bob.b, &t),
	    KEYD__ENCRYPT_RESULT__OUTCOME__DONE);
	assert_int_equal(bench_commit(&b, "alice", unit, 0), 0);
	assert_int_equal(bench_commit(&b, "alice", unit + 1, 1), 0);
	assert_int_equal(bench_commit(&b, "alice", t.unit, 1), 0);
	while (b.ndone > 0)
		bench_tell(&b);
	bench_settle(&b);
	b.hold_done = 0;
	create(ALICE);
	assert_int_equal(
	    bench_record(&b, "alice", STORED__DOMAIN__DEVICE, "device", 0)->version, 2);
	assert_int_equal(bench_record(&b, "alice", STORED__DOMAIN__PREKEY, "2/1", 1)->version, 0);
	assert_int_equal(
	    bench_record(&b, "alice", STORED__DOMAIN__SESSION, "2/200_1:0", 1)->version, 0);
	send_text(ALICE, &address_of_bob, "of one that is", &of_bob.b, &t);
	receive(BOB, &address_of_alice, &t, "of one that is");
}

static void
test_unreadable_records(void **state)
{
	struct sealed_text t = {0};
	struct bench_record *r;
	char *name = (char *)(uintptr_t) "200_1";
	Keyd__Address a = KEYD__ADDRESS__INIT;

	a.name = name;
	send_text(ALICE, &address_of_bob, "one", &of_bob.b, &t);
	receive(BOB, &address_of_alice, &t, "one");
	/* a second run of keyd on the same records */
	vault_free(b.k->vault);
	b.k->vault = vault_new(VAULT_CACHE);
	vault_account(b.k->vault, 0, "alice", b.k->secrets->vault_key[0]);
	vault_account(b.k->vault, 1, "bob", b.k->secrets->vault_key[1]);
	/* a session that does not open counts as none: the next prekey message mends it */
	r = bench_record(&b, "bob", STORED__DOMAIN__SESSION, "1/100_1:3", 0);
	r->sealed.data[30] ^= 1;
	send_text(ALICE, &address_of_bob, "two", NULL, &t);
	assert_true(t.pkmsg);
	FAILS(BOB, &address_of_alice, &t,
	    NO_PREKEY); /* its one-time prekey is gone: a retry brings a new one */
	bundle_from(&of_bob, make_prekeys(BOB, 1, 1, ++b.unit), 0);
	commit("bob", b.unit);
	send_text(ALICE, &address_of_bob, "three", &of_bob.b, &t);
	receive(BOB, &address_of_alice, &t, "three");
	assert_int_equal(r->version, 2);
	/* stored fails: no outcome at all, and nothing is remembered of it */
	b.fail_records = "io";
	address_of_alice.device = 8;
	assert_null(decrypt_unit(BOB, &address_of_alice, &t, 1, ++b.unit));
	assert_string_equal(b.code, "store");
	b.fail_records = NULL;
	FAILS(BOB, &address_of_alice, &t, NO_PREKEY);
	/* the device record damaged: the account answers with "store" */
	create(ALICE);
	vault_free(b.k->vault);
	b.k->vault = vault_new(VAULT_CACHE);
	vault_account(b.k->vault, 0, "alice", b.k->secrets->vault_key[0]);
	vault_account(b.k->vault, 1, "bob", b.k->secrets->vault_key[1]);
	bench_record(&b, "alice", STORED__DOMAIN__DEVICE, "device", 0)->sealed.data[40] ^= 1;
	assert_null(decrypt_unit(ALICE, &a, &t, 1, ++b.unit));
	assert_string_equal(b.code, "store");
}

/* Requests are carried out in order although the records of the first come last; those of the later
 * ones are fetched meanwhile. */
static void
test_order_and_prefetch(void **state)
{
	struct sealed_text t = {0};
	Keyd__Sessions q = KEYD__SESSIONS__INIT;
	Keyd__Address *list[1] = {&address_of_bob};
	const Keyd__DecryptReply *r;
	struct bench second = {.answered = 0};

	send_text(ALICE, &address_of_bob, "one", &of_bob.b, &t);
	b.hold_records = 1;
	second.base = b.base;
	/* behind a decryption that waits for stored: a question whose records come from there too
	 */
	q.account = BOB;
	q.addresses = list;
	q.n_addresses = 1;
	bench_send(&second, b.apid, KEYD__TYPE__SESSIONS, &q.base, KEYD__TYPE__SESSIONS_REPLY,
	    &keyd__sessions_reply__descriptor);
	bench_settle(&b);
	assert_int_equal(b.nheld, 1);
	assert_int_equal(second.answered, 0);
	list[0] = &address_of_alice;
	bench_send(&b, b.apid, KEYD__TYPE__SESSIONS, &q.base, KEYD__TYPE__SESSIONS_REPLY,
	    &keyd__sessions_reply__descriptor);
	bench_settle(&b);
	assert_int_equal(b.nheld, 2); /* fetched before its turn has come */
	assert_int_equal(b.answered, 0);
	/* the answer for the second comes first: it must wait for its turn all the same */
	bench_give_records(&b, b.held[1]);
	message_release(b.held[1]);
	b.nheld = 1;
	bench_settle(&b);
	assert_int_equal(b.answered, 0);
	bench_release(&b);
	bench_wait(&b);
	assert_int_equal(second.answered, 1);
	assert_int_equal(b.answered, 1);
	protobuf_c_message_free_unpacked(second.reply, NULL);
	r = decrypt_unit(BOB, &address_of_alice, &t, 1, ++b.unit);
	assert_int_equal(r->results[0]->outcome, KEYD__DECRYPT_RESULT__OUTCOME__DONE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_failed_units, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_apid_hears_first, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_device_not_committed, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_unreadable_records, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_order_and_prefetch, setup, teardown),
	};

	log_set_level(LOG_LV_ERR);
	(void)core_warm_up();
	alarm(600 * test_slow());
	return cmocka_run_group_tests_name("keyd: units of sessions", tests, NULL, NULL);
}
