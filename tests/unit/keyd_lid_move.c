/* A number becomes a LID: its session and identity move. */
#include "tests/unit/keyd_talk.h"

static uint32_t
lid_move(char *who, Keyd__Address *from, Keyd__Address *to, int ok)
{
	Keyd__LidMove q = KEYD__LID_MOVE__INIT;
	Keyd__Move m = KEYD__MOVE__INIT, *list[1] = {&m};
	const Keyd__LidMoveReply *r;
	uint32_t moved;

	m.from = from;
	m.to = to;
	q.account = who;
	q.unit = ++b.unit;
	q.moves = list;
	q.n_moves = 1;
	r = BENCH_ASK(&b, b.apid, LID_MOVE, &q, LID_MOVE_REPLY, lid_move_reply);
	if (r == NULL)
		return 99;
	moved = r->moved;
	assert_int_equal(r->stages, moved);
	assert_int_equal(bench_commit(&b, who, b.unit, ok), ok);
	bench_settle(&b);
	return moved;
}

static uint64_t
version(const char *who, int domain, const char *name)
{
	const struct bench_record *r = bench_record(&b, who, domain, name, 0);

	return r == NULL ? 0 : r->version;
}

static void
test_lid_move(void **state)
{
	Keyd__Address by_number = KEYD__ADDRESS__INIT, other = KEYD__ADDRESS__INIT;
	struct sealed_text t[3] = {0};

	by_number.name = (char *)(uintptr_t) "555";
	by_number.device = address_of_alice.device;
	other.name = (char *)(uintptr_t) "100_1";
	other.device = 4;
	assert_int_equal(lid_move(BOB, &by_number, &address_of_alice, 1), 0); /* nothing is there */
	send_text(ALICE, &address_of_bob, "first", &of_bob.b, &t[0]);
	receive(BOB, &by_number, &t[0], "first");
	assert_int_equal(lid_move(BOB, &by_number, &address_of_alice, 0), 1);
	assert_int_equal(version("bob", STORED__DOMAIN__SESSION, "1/555:3"), 1); /* it failed */
	assert_int_equal(version("bob", STORED__DOMAIN__SESSION, "1/100_1:3"), 0);
	send_text(BOB, &by_number, "still", NULL, &t[1]);
	receive(ALICE, &address_of_bob, &t[1], "still");
	assert_int_equal(lid_move(BOB, &by_number, &address_of_alice, 1), 1);
	assert_int_equal(version("bob", STORED__DOMAIN__SESSION, "1/555:3"), 0);
	assert_int_equal(version("bob", STORED__DOMAIN__IDENTITY, "1/555:3"), 0);
	assert_int_equal(version("bob", STORED__DOMAIN__SESSION, "1/100_1:3"), 1);
	assert_int_equal(version("bob", STORED__DOMAIN__IDENTITY, "1/100_1:3"), 1);
	send_text(ALICE, &address_of_bob, "second", NULL, &t[0]);
	receive(BOB, &address_of_alice, &t[0], "second");
	send_text(BOB, &address_of_alice, "third", NULL, &t[1]);
	assert_false(t[1].pkmsg);
	receive(ALICE, &address_of_bob, &t[1], "third");
	assert_int_equal(lid_move(BOB, &by_number, &by_number, 1), 99);
	assert_string_equal(b.code, "bad_request");
	assert_int_equal(lid_move(BOB, &by_number, &other, 1), 99); /* of another device */
	assert_string_equal(b.code, "bad_request");
}

/* Both addresses have a session: what comes under either is read, and the one by number is written
 * with. */
static void
test_lid_move_both(void **state)
{
	Keyd__Address by_number = KEYD__ADDRESS__INIT;
	struct sealed_text old = {0}, late = {0}, t = {0};

	by_number.name = (char *)(uintptr_t) "555";
	by_number.device = address_of_alice.device;
	send_text(ALICE, &address_of_bob, "to the LID", &of_bob.b, &old);
	receive(BOB, &address_of_alice, &old, "to the LID");
	send_text(BOB, &address_of_alice, "answer", NULL, &t);
	receive(ALICE, &address_of_bob, &t, "answer");
	send_text(ALICE, &address_of_bob, "under way", NULL, &late); /* in the session by LID */
	/* she begins anew, and that lands under her number */
	of_bob.b.prekey = NULL;
	send_text(ALICE, &address_of_bob, "anew", &of_bob.b, &t);
	receive(BOB, &by_number, &t, "anew");
	assert_int_equal(lid_move(BOB, &by_number, &address_of_alice, 1), 1);
	assert_int_equal(version("bob", STORED__DOMAIN__SESSION, "1/555:3"), 0);
	send_text(BOB, &address_of_alice, "by the new one", NULL, &t);
	receive(ALICE, &address_of_bob, &t, "by the new one");
	receive(BOB, &address_of_alice, &late, "under way"); /* lies beneath */
}

/* The number's session is with an identity that the LID's is not: nobody writes with it any more.
 */
static void
test_lid_move_identity(void **state)
{
	Keyd__Address by_number = KEYD__ADDRESS__INIT;
	struct sealed_text t = {0};

	by_number.name = (char *)(uintptr_t) "555";
	by_number.device = address_of_alice.device;
	send_text(ALICE, &address_of_bob, "old", &of_bob.b, &t);
	receive(BOB, &by_number, &t, "old");
	create(ALICE);
	of_bob.b.prekey = NULL;
	send_text(ALICE, &address_of_bob, "registered anew", &of_bob.b, &t);
	receive(BOB, &address_of_alice, &t, "registered anew");
	assert_int_equal(lid_move(BOB, &by_number, &address_of_alice, 1), 1);
	send_text(BOB, &address_of_alice, "to the new one", NULL, &t);
	receive(ALICE, &address_of_bob, &t, "to the new one");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_lid_move, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_lid_move_both, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_lid_move_identity, setup, teardown),
	};

	log_set_level(LOG_LV_ERR);
	(void)core_warm_up();
	alarm(600 * test_slow());
	return cmocka_run_group_tests_name("keyd: moves to a LID", tests, NULL, NULL);
}
