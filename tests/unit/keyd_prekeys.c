/* Prekeys: which ids are offered, what an upload marks, and how ids go on after a restore. */
#include "tests/unit/keyd_talk.h"

static void
test_prekeys(void **state)
{
	const Keyd__PrekeysReply *r;
	Keyd__PrekeysUploaded up = KEYD__PREKEYS_UPLOADED__INIT;
	uint32_t ids[4] = {1, 6, 7, 500};
	struct sealed_text t = {0};
	int i;

	/* setup offered 1 to 5; an offer whose unit fails is made again with the same ids */
	r = make_prekeys(BOB, 812, 0, ++b.unit);
	assert_int_equal(r->n_keys, 812);
	assert_int_equal(r->stages, 1);
	for (i = 0; i < 812; i++)
		assert_int_equal(r->keys[i]->id, 6 + i);
	assert_int_equal(bench_commit(&b, "bob", b.unit, 0), 0);
	bench_settle(&b);
	r = make_prekeys(BOB, 1000, 0, ++b.unit);
	assert_int_equal(r->keys[0]->id, 6);
	assert_int_equal(r->keys[999]->id, 1005);
	commit("bob", b.unit);
	/* an unanswered upload never offers an id twice; a retry takes the next of the same count
	 */
	r = make_prekeys(BOB, 1, 1, ++b.unit);
	assert_int_equal(r->n_keys, 1);
	assert_int_equal(r->keys[0]->id, 1006);
	commit("bob", b.unit);
	assert_true(bench_record(&b, "bob", STORED__DOMAIN__PREKEY, "1/1006", 0)->uploaded);
	assert_false(bench_record(&b, "bob", STORED__DOMAIN__PREKEY, "1/6", 0)->uploaded);
	/* key 1 is used before its upload is answered: it does not come back */
	send_text(ALICE, &address_of_bob, "one", &of_bob.b, &t);
	receive(BOB, &address_of_alice, &t, "one");
	up.account = BOB;
	up.unit = ++b.unit;
	up.ids = ids;
	up.n_ids = 4;
	assert_non_null(BENCH_ASK(&b, b.apid, PREKEYS_UPLOADED, &up, STAGED, staged));
	commit("bob", b.unit);
	assert_int_equal(bench_record(&b, "bob", STORED__DOMAIN__PREKEY, "1/1", 0)->version, 0);
	assert_true(bench_record(&b, "bob", STORED__DOMAIN__PREKEY, "1/6", 0)->uploaded);
	assert_int_equal(bench_record(&b, "bob", STORED__DOMAIN__PREKEY, "1/6", 0)->version, 2);
	assert_false(bench_record(&b, "bob", STORED__DOMAIN__PREKEY, "1/8", 0)->uploaded);
	assert_null(make_prekeys(BOB, 0, 0, ++b.unit));
	assert_string_equal(b.code, "bad_request");
	assert_null(make_prekeys(BOB, 1001, 0, ++b.unit));
	assert_string_equal(b.code, "bad_request");
	assert_null(make_prekeys(BOB, 2, 1, ++b.unit));
	assert_string_equal(b.code, "bad_request");
}

/* After a restore the ids go on far from those that were, and begin again at 1 like all others. */
static void
test_restored(void **state)
{
	Keyd__Restored q = KEYD__RESTORED__INIT;
	const Keyd__Staged *a;
	uint32_t id = 6; /* setup offered 1 to 5 */
	int i, wrapped = 0;

	q.account = BOB;
	q.unit = ++b.unit;
	a = BENCH_ASK(&b, b.apid, RESTORED, &q, STAGED, staged);
	assert_non_null(a);
	assert_int_equal(a->stages, 1);
	assert_int_equal(
	    bench_commit(&b, "bob", b.unit, 0), 0); /* a unit that fails moves nothing */
	bench_settle(&b);
	for (i = 0; i < 168; i++) {
		q.unit = ++b.unit;
		assert_non_null(BENCH_ASK(&b, b.apid, RESTORED, &q, STAGED, staged));
		commit("bob", b.unit);
		id += 100000;
		if (id > 0xfffffe) {
			id -= 0xfffffe;
			wrapped++;
		}
		if (i % 20 == 0 || wrapped) {
			assert_int_equal(make_prekeys(BOB, 1, 0, ++b.unit)->keys[0]->id, id);
			commit("bob", b.unit);
			id++;
		}
	}
	assert_int_equal(wrapped, 1);
	q.account = (char *)(uintptr_t) "nobody";
	assert_null(BENCH_ASK(&b, b.apid, RESTORED, &q, STAGED, staged));
	assert_string_equal(b.code, "unknown_account");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_prekeys, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_restored, setup, teardown),
	};

	log_set_level(LOG_LV_ERR);
	(void)core_warm_up();
	alarm(600 * test_slow());
	return cmocka_run_group_tests_name("keyd: prekeys", tests, NULL, NULL);
}
