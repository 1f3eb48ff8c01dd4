/* Keys of skipped messages: how far ahead a session is followed, and what is trimmed of its record.
 */
#include "keyd/counter.h"
#include "keyd/provider.h"
#include "keyd/session_trim.h"
#include "tests/unit/keyd_talk.h"

/* Two chains of 2,000 have room. */
static void
trimmed_len(void)
{
	size_t len = bench_record(&b, "bob", STORED__DOMAIN__SESSION, "1/100_1:3", 0)->sealed.len;

	assert_true(len > 256 * 1024 && len < SESSION_RECORD_MAX + 128);
}

/* A jump of 2000 is followed, one more is refused; many archived states do not grow beyond a
 * record. */
static void
test_skipped_and_trimmed(void **state)
{
	struct sealed_text *t = calloc(2003, sizeof(*t)), u, old;
	uint64_t trimmed = counters[COUNT_SESSION_TRIMMED];
	int i, round;

	for (i = 0; i < 2003; i++)
		send_text(ALICE, &address_of_bob, "x", i == 0 ? &of_bob.b : NULL, &t[i]);
	FAILS(BOB, &address_of_alice, &t[2001], INVALID);
	receive(BOB, &address_of_alice, &t[2000], "x");
	receive(BOB, &address_of_alice, &t[17], "x");
	/* states with 2000 skipped keys each, archived one after the other */
	for (round = 0; round < 6; round++) {
		bundle_from(&of_bob, make_prekeys(BOB, 1, 0, ++b.unit), 0);
		commit("bob", b.unit);
		for (i = 0; i < 2001; i++)
			send_text(ALICE, &address_of_bob, "y", i == 0 ? &of_bob.b : NULL, &t[i]);
		receive(BOB, &address_of_alice, &t[2000], "y");
		if (round == 0)
			old = t[1000];
	}
	assert_true(counters[COUNT_SESSION_TRIMMED] > trimmed);
	trimmed_len();
	receive(BOB, &address_of_alice, &t[1000], "y");
	FAILS(BOB, &address_of_alice, &old, NO_PREKEY); /* of a state that went: asked for again */
	send_text(BOB, &address_of_alice, "z", NULL, &u);
	receive(ALICE, &address_of_bob, &u, "z");
	free(t);
}

/* The oldest chains of the current state go as wholes: what comes of them is not taken for read. */
static void
test_skipped_in_chains(void **state)
{
	struct sealed_text t[3] = {0}, last = {0}, u = {0};
	int i, chain;

	send_text(ALICE, &address_of_bob, "x", &of_bob.b, &last);
	receive(BOB, &address_of_alice, &last, "x");
	for (chain = 0; chain < 3; chain++) {
		send_text(BOB, &address_of_alice, "z", NULL, &u);
		receive(ALICE, &address_of_bob, &u, "z");
		for (i = 0; i < 2001; i++)
			send_text(ALICE, &address_of_bob, "y", NULL, i == 500 ? &t[chain] : &last);
		receive(BOB, &address_of_alice, &last, "y");
	}
	trimmed_len();
	i = (int)decrypt(BOB, &address_of_alice, &t[0], "");
	assert_true(i == KEYD__DECRYPT_RESULT__OUTCOME__BAD_MAC ||
		    i == KEYD__DECRYPT_RESULT__OUTCOME__INVALID);
	receive(BOB, &address_of_alice, &t[1], "y");
	receive(BOB, &address_of_alice, &t[2], "y");
	FAILS(BOB, &address_of_alice, &t[2], DUPLICATE);
	send_text(BOB, &address_of_alice, "z", NULL, &u);
	receive(ALICE, &address_of_bob, &u, "z");
}

/* A message 2,000 ahead under a session of 40 archived states: one that is forged costs little and
 * changes nothing, and true ones are read, also under the state before. */
static void
test_far_ahead(void **state)
{
	struct sealed_text before = {0}, first = {0}, last = {0}, u = {0};
	int i, round;

	for (round = 0; round < 41; round++) {
		bundle_from(&of_bob, make_prekeys(BOB, 1, 0, ++b.unit), 0);
		commit("bob", b.unit);
		send_text(ALICE, &address_of_bob, "x", &of_bob.b, &last);
		receive(BOB, &address_of_alice, &last, "x");
		if (round < 39)
			continue;
		send_text(BOB, &address_of_alice, "z", NULL, &u);
		receive(ALICE, &address_of_bob, &u, "z");
		for (i = 0; i < 2001; i++)
			send_text(ALICE, &address_of_bob, "y", NULL, i == 0 ? &first : &last);
		if (round == 39)
			before = last;
	}
	u = last;
	u.bytes[u.len - 1] ^= 1;
	FAILS(BOB, &address_of_alice, &u, INVALID);
	assert_in_range(provider_hmacs, 24000, PROVIDER_HMACS_MAX + 100);
	receive(BOB, &address_of_alice, &before, "y");
	receive(BOB, &address_of_alice, &last, "y");
	receive(BOB, &address_of_alice, &first, "y");
	FAILS(BOB, &address_of_alice, &last, DUPLICATE);
}

/* What is not a record is refused, whatever is cut off or changed. */
static void
test_trim_hostile(void **state)
{
	/* current {7: 4 bytes, 7: 4 bytes}, archived {7: 4 bytes} */
	static const uint8_t record[] = {
	    0x0a, 12, 0x3a, 4, 1, 2, 3, 4, 0x3a, 4, 5, 6, 7, 8, 0x12, 6, 0x3a, 4, 9, 10, 11, 12};
	static const struct {
		size_t max;
		int ok;
		size_t len;
	} rows[] = {{64, 0, 22}, {22, 0, 22}, {21, 0, 14}, {20, 0, 14}, {19, 0, 16}, {15, 0, 8},
	    {8, 0, 8}, {7, -1, 0}};
	struct buf out = BUF_INIT;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		buf_reset(&out);
		assert_int_equal(
		    session_trim(record, sizeof(record), rows[i].max, &out), rows[i].ok);
		if (rows[i].ok == 0)
			assert_int_equal(out.len, rows[i].len);
	}
	for (size_t n = 0; n < sizeof(record); n++) { /* each cut: malformed but between fields */
		buf_reset(&out);
		assert_int_equal(session_trim(record, n, 64, &out), n == 0 || n == 14 ? 0 : -1);
	}
	for (size_t n = 0; n < sizeof(record) * 256; n++) {
		uint8_t bad[sizeof(record)];

		memcpy(bad, record, sizeof(record));
		bad[n / 256] = (uint8_t)n;
		buf_reset(&out);
		(void)session_trim(bad, sizeof(bad), 16, &out);
		assert_true(out.len <= sizeof(record) + 8);
	}
	buf_clear(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_skipped_and_trimmed, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_skipped_in_chains, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_far_ahead, setup, teardown),
	    cmocka_unit_test(test_trim_hostile),
	};

	log_set_level(LOG_LV_ERR);
	(void)core_warm_up();
	alarm(600 * test_slow());
	return cmocka_run_group_tests_name("keyd: skipped keys", tests, NULL, NULL);
}
