/* Two backends are given the same writes, seeded and in any order, and must tell the same: every
 * status, and all that can be read after each transaction. */
#include "tests/unit/stored_rig.h"
#include "tests/unit/stored_twins_write.h"
/* behind those */
#include "tests/unit/stored_twins_read.h"

#define STEPS     2000 /* writes of a seed; WARD_TWINS_STEPS is another number */
#define ROUND_MAX 12   /* writes of a transaction */

/* ---------------------------------------------------------------- the tests */

static void
open_twins(void)
{
	int64_t budget = 0;
	size_t t;

	for (t = 0; t < 2; t++) {
		struct store_open o = {
		    .kind = STORE_ACCOUNT, .account = "a", .key = key, .check_budget_ms = &budget};

		assert_int_equal(twins[t]->open(&o, &dbs[t]), STORE_OK);
		assert_int_equal(o.restored, t == 0 ? o.restored : restored_of_first);
		restored_of_first = o.restored;
	}
}

static void
close_twins(void)
{
	size_t t;

	for (t = 0; t < 2; t++)
		twins[t]->close(dbs[t]);
}

/* A few writes under marks, some of them taken back. */
static void
transact(unsigned n)
{
	int undo;

	BOTH_PLAIN(begin);
	for (; n > 0; n--) {
		undo = draw(6) == 0;
		BOTH_PLAIN(mark);
		do {
			status[0] = STORE_OK;
			writes[draw(sizeof(writes) / sizeof(writes[0]))]();
			if (!store_status_soft(status[0]))
				assert_int_equal(status[0], STORE_OK);
			else
				undo = 1;
		} while (draw(2));
		if (undo)
			BOTH_PLAIN(mark_undo);
		else
			BOTH_PLAIN(mark_keep);
	}
	if (draw(6) == 0) {
		twins[0]->rollback(dbs[0]);
		twins[1]->rollback(dbs[1]);
	} else {
		BOTH_PLAIN(commit);
	}
}

static void
run_seed(uint64_t n)
{
	const char *more = getenv("WARD_TWINS_STEPS");
	unsigned steps = more != NULL ? (unsigned)strtoul(more, NULL, 10) : STEPS / test_slow(), i;

	print_message("seed %llu\n", (unsigned long long)n);
	seed = n;
	seq = 0;
	now_ms = 1000;
	open_twins();
	for (i = 0; i < steps;) {
		unsigned round = 1 + (unsigned)draw(ROUND_MAX);

		transact(round);
		compare_all();
		i += round;
		now_ms += (int64_t)draw(20);
		if (draw(40) == 0) {
			close_twins();
			open_twins();
			compare_all();
		}
	}
	close_twins();
}

static void
test_same(void **state)
{
	uint64_t n;

	(void)state;
	log_open("stored", open("/dev/null", O_WRONLY | O_CLOEXEC));
	assert_int_equal(store_sqlcipher.start(), 0);
	assert_int_equal(store_memory.start(), 0);
	for (n = 1; n <= 3; n++) {
		run_seed(n);
		mem_forget();
		assert_int_equal(unlink("account-a.db"), 0);
	}
}

/* What is closed opens again with its key, or its next one, and no other. */
static void
test_memory_keys(void **state)
{
	static const uint8_t other[STORE_KEY_LEN] = {8}, third[STORE_KEY_LEN] = {9};
	struct store_open o = {.kind = STORE_ACCOUNT, .account = "a", .key = key};
	struct store_progress progress;
	struct store_db *db, *again;

	(void)state;
	assert_int_equal(store_memory.open(&o, &db), STORE_OK);
	assert_int_equal(store_memory.open(&o, &again), STORE_IN_USE);
	assert_null(again);
	store_memory.close(db);
	o.key = other;
	assert_int_equal(store_memory.open(&o, &db), STORE_WRONG_KEY);
	assert_true(o.text[0] != '\0');
	o.next_key = key;
	assert_int_equal(store_memory.open(&o, &db), STORE_OK);
	assert_true(o.rekeyed);
	assert_int_equal(store_memory.rekey_begin(db, third), STORE_OK);
	store_memory.rekey_stop(db);
	assert_int_equal(store_memory.rekey_begin(db, other), STORE_OK);
	assert_int_equal(store_memory.rekey_step(db, &progress), STORE_OK);
	assert_true(progress.ended);
	store_memory.close(db);
	o.key = key;
	o.next_key = other;
	assert_int_equal(store_memory.open(&o, &db), STORE_OK);
	assert_true(o.rekeyed);
	store_memory.close(db);
	mem_forget();
	o.key = third;
	o.next_key = NULL;
	assert_int_equal(store_memory.open(&o, &db), STORE_OK);
	store_memory.close(db);
	mem_forget();
}

/* Outside of a transaction nothing is written, and none begins in another. */
static void
test_memory_transactions(void **state)
{
	struct store_open o = {.kind = STORE_ACCOUNT, .account = "a", .key = key};
	struct store_db *db;

	(void)state;
	assert_int_equal(store_memory.open(&o, &db), STORE_OK);
	assert_int_equal(store_memory.event_mark(db, "key", 1), STORE_BAD);
	assert_int_equal(store_memory.commit(db), STORE_BAD);
	assert_int_equal(store_memory.mark(db), STORE_BAD);
	assert_int_equal(store_memory.begin(db), STORE_OK);
	assert_int_equal(store_memory.begin(db), STORE_BAD);
	assert_int_equal(store_memory.mark(db), STORE_OK);
	assert_int_equal(store_memory.mark(db), STORE_BAD);
	assert_int_equal(store_memory.commit(db), STORE_BAD);
	store_memory.close(db); /* rolls back */
	assert_int_equal(store_memory.open(&o, &db), STORE_OK);
	assert_int_equal(store_memory.begin(db), STORE_OK);
	store_memory.close(db);
	mem_forget();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_same, rig_setup, rig_teardown),
	    cmocka_unit_test(test_memory_keys),
	    cmocka_unit_test(test_memory_transactions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
