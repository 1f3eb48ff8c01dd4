/* Units of work: joined in any order, applied in order, all or nothing, several to a sync. */
#include "tests/unit/stored_rig.h"
#include "tests/unit/slow.h"

/* Frames of the two peers may come in any order. */
enum step {
	OPEN,
	STAGE1,
	STAGE2,
	COMMIT
};

static void
test_join_in_any_order(void **state)
{
	/* the order on each socket stays: OPEN before COMMIT, STAGE1 before STAGE2 */
	static const enum step orders[][4] = {
	    {OPEN, STAGE1, STAGE2, COMMIT},
	    {OPEN, STAGE1, COMMIT, STAGE2},
	    {OPEN, COMMIT, STAGE1, STAGE2},
	    {STAGE1, OPEN, STAGE2, COMMIT},
	    {STAGE1, OPEN, COMMIT, STAGE2},
	    {STAGE1, STAGE2, OPEN, COMMIT},
	};
	struct rig *g = rig_open(1);
	struct rig_reply r = {0};
	char name[16], sealed[16];
	size_t i, k;

	for (i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		size_t before = g->ndone;

		snprintf(name, sizeof(name), "s%zu", i);
		for (k = 0; k < 4; k++) {
			switch (orders[i][k]) {
			case OPEN:
				rig_unit_open(g, "a", i + 1);
				break;
			case STAGE1:
				rig_stage(g, "a", i + 1, name, 1, "one");
				break;
			case STAGE2:
				rig_stage(g, "a", i + 1, name, 2, "two");
				break;
			case COMMIT:
				rig_commit(g, "a", i + 1, 2, "{}", NULL, &r);
				break;
			}
			rig_settle(g);
			/* nothing of it can be seen before the last piece is there */
			if (k < 3) {
				assert_int_equal(r.came, 0);
				assert_int_equal(rig_record(g, "a", name, NULL, 0), 0);
			}
		}
		RIG_UNTIL(g, r.came && g->ndone == before + 1);
		assert_true(rig_result(&r)->committed);
		assert_int_equal(rig_result(&r)->n_seqs, 1);
		assert_int_equal(rig_result(&r)->seqs[0], i + 1);
		assert_int_equal(g->done[before].unit, i + 1);
		assert_true(g->done[before].committed);
		assert_int_equal(rig_record(g, "a", name, sealed, sizeof(sealed)), 2);
		assert_string_equal(sealed, "two");
		rig_reply_clear(&r);
	}
	rig_free(g);
}

static void
test_order_of_opening(void **state)
{
	struct rig *g = rig_open(1);
	struct rig_reply r1, r2, r3;

	rig_unit_open(g, "a", 1);
	rig_unit_open(g, "a", 2);
	rig_unit_open(g, "a", 3);
	rig_commit(g, "a", 3, 0, "{\"n\":3}", NULL, &r3);
	rig_commit(g, "a", 2, 0, "{\"n\":2}", NULL, &r2);
	rig_settle(g);
	assert_int_equal(r2.came, 0); /* held back by the first */
	assert_int_equal(r3.came, 0);
	rig_commit(g, "a", 1, 0, "{\"n\":1}", NULL, &r1);
	RIG_UNTIL(g, r1.came && r2.came && r3.came);
	assert_int_equal(rig_result(&r1)->seqs[0], 1);
	assert_int_equal(rig_result(&r2)->seqs[0], 2);
	assert_int_equal(rig_result(&r3)->seqs[0], 3);
	rig_reply_clear(&r1);
	rig_reply_clear(&r2);
	rig_reply_clear(&r3);
	rig_free(g);
}

static void
test_accounts_do_not_wait_for_each_other(void **state)
{
	struct rig *g = rig_open(2);
	struct rig_reply r;

	rig_unit_open(g, "a", 1); /* never committed */
	rig_unit_open(g, "b", 2);
	rig_stage(g, "b", 2, "x", 1, "b's");
	rig_commit(g, "b", 2, 1, NULL, NULL, &r);
	RIG_UNTIL(g, r.came);
	assert_true(rig_result(&r)->committed);
	assert_int_equal(rig_record(g, "b", "x", NULL, 0), 1);
	assert_int_equal(rig_record(g, "a", "x", NULL, 0), 0); /* nothing is shared */
	rig_reply_clear(&r);
	rig_free(g);
}

static void
test_group_shares_a_sync(void **state)
{
	enum {
		N = 64
	};
	struct rig *g = rig_open(1);
	struct rig_reply r[N];
	Stored__Stats before, after;
	size_t i;

	rig_event(g, "a", "{}", NULL); /* the mark of seqs is moved */
	rig_stats(g, &before);
	for (i = 0; i < N; i++) {
		rig_unit_open(g, "a", 3000000 + i);
		rig_commit(g, "a", 3000000 + i, 0, "{}", NULL, &r[i]);
	}
	RIG_UNTIL(g, r[N - 1].came);
	for (i = 0; i < N; i++) {
		RIG_UNTIL(g, r[i].came);
		assert_true(rig_result(&r[i])->committed);
		rig_reply_clear(&r[i]);
	}
	rig_stats(g, &after);
	assert_int_equal(after.units - before.units, N);
	assert_in_range(after.transactions - before.transactions, 1, 8);
	/* one sync a transaction */
	assert_int_equal(after.fsyncs - before.fsyncs, after.transactions - before.transactions);
	rig_free(g);
}

static void
commit_patiently(struct rig *g, uint64_t unit, struct rig_reply *r)
{
	Stored__UnitCommit m = STORED__UNIT_COMMIT__INIT;

	rig_unit_open(g, "a", unit);
	m.account = rig_str("a");
	m.unit = unit;
	m.has_patient = m.patient = 1;
	rig_send(g->apid, STORED__TYPE__UNIT_COMMIT, &m.base, STORED__TYPE__UNIT_RESULT,
	    &stored__unit_result__descriptor, r);
}

/* One for which nobody waits is kept for the next, but not for long. */
static void
test_patience(void **state)
{
	struct rig *g = rig_open(1);
	struct rig_reply r[2];
	Stored__Stats before, after;
	int shared = 0;

	commit_patiently(g, 10, &r[0]);
	RIG_UNTIL(g, r[0].came); /* nothing else comes */
	assert_true(rig_result(&r[0])->committed);
	rig_reply_clear(&r[0]);
	for (uint64_t i = 0; i < 100 && !shared; i++) { /* we may be slower than it waits */
		rig_stats(g, &before);
		commit_patiently(g, 100 + 2 * i, &r[0]);
		for (int k = 0; k < 8; k++)
			rig_turn(g);
		rig_unit_open(g, "a", 101 + 2 * i);
		rig_commit(g, "a", 101 + 2 * i, 0, NULL, NULL, &r[1]);
		RIG_UNTIL(g, r[0].came && r[1].came);
		assert_true(rig_result(&r[0])->committed && rig_result(&r[1])->committed);
		rig_stats(g, &after);
		shared = after.transactions - before.transactions == 1;
		rig_reply_clear(&r[0]);
		rig_reply_clear(&r[1]);
	}
	assert_true(shared);
	rig_free(g);
}

/* One unit's pieces, committed at once with others: who fails, and who does not. */
static void
test_versions(void **state)
{
	static const struct {
		const char *name;
		uint64_t version;
		const char *sealed; /* NULL = delete */
		int ok;
		uint64_t stands; /* afterwards */
	} steps[] = {
	    {"r", 2, "x", 0, 0}, /* nothing is at 1 */
	    {"r", 1, "one", 1, 1},
	    {"r", 1, "again", 0, 1},
	    {"r", 3, "three", 0, 1},
	    {"r", 2, "two", 1, 2},
	    {"r", 1, NULL, 0, 2}, /* not the version that stands */
	    {"q", 1, NULL, 0, 0}, /* absent */
	    {"r", 2, NULL, 1, 0},
	    {"r", 1, "anew", 1, 1},
	};
	struct rig *g = rig_open(1);
	struct rig_reply r;
	size_t i;

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		rig_unit_open(g, "a", i + 1);
		rig_stage(g, "a", i + 1, steps[i].name, steps[i].version, steps[i].sealed);
		rig_commit(g, "a", i + 1, 1, "{}", NULL, &r);
		RIG_UNTIL(g, r.came && g->ndone == i + 1);
		assert_int_equal(rig_result(&r)->committed, steps[i].ok);
		assert_int_equal(g->done[i].committed, steps[i].ok);
		if (!steps[i].ok) {
			assert_string_equal(rig_result(&r)->reason, "version");
			assert_int_equal(rig_result(&r)->n_seqs, 0);
		}
		assert_int_equal(rig_record(g, "a", steps[i].name, NULL, 0), steps[i].stands);
		rig_reply_clear(&r);
	}
	/* the events of the failed ones are not there */
	assert_int_equal(rig_events(g, 0, 100, NULL, &r)->n_events, 4);
	rig_reply_clear(&r);
	rig_free(g);
}

static void
test_chain_fails_and_others_go_on(void **state)
{
	struct rig *g = rig_open(1);
	struct rig_reply r[4];
	size_t i;

	/* 1 fails; 2 and 3 were built on it; 4 has nothing to do with them. All in one group. */
	for (i = 1; i <= 4; i++)
		rig_unit_open(g, "a", i);
	rig_stage(g, "a", 1, "r", 7, "bad");
	rig_stage(g, "a", 2, "r", 8, "on bad");
	rig_stage(g, "a", 3, "r", 9, "on that");
	rig_stage(g, "a", 4, "other", 1, "good");
	for (i = 1; i <= 4; i++)
		rig_commit(g, "a", i, 1, "{}", NULL, &r[i - 1]);
	RIG_UNTIL(g, r[0].came && r[1].came && r[2].came && r[3].came && g->ndone == 4);
	for (i = 0; i < 4; i++) {
		assert_int_equal(rig_result(&r[i])->committed, i == 3);
		assert_int_equal(g->done[i].unit, i + 1);
		assert_int_equal(g->done[i].committed, i == 3);
		rig_reply_clear(&r[i]);
	}
	assert_int_equal(rig_record(g, "a", "other", NULL, 0), 1);
	assert_int_equal(rig_events(g, 0, 100, NULL, &r[0])->n_events, 1);
	rig_reply_clear(&r[0]);
	rig_free(g);
}

/* What the failed one had written already goes, and only that, though both share a transaction. */
static void
test_failed_unit_leaves_nothing(void **state)
{
	struct rig *g = rig_open(1);
	struct rig_reply r1, r2;
	Stored__Stats stats;

	rig_unit_open(g, "a", 1);
	rig_unit_open(g, "a", 2);
	rig_stage(g, "a", 1, "first", 1, "x");
	rig_stage(g, "a", 1, "second", 7, "bad");
	rig_stage(g, "a", 2, "other", 1, "good");
	rig_settle(g);
	rig_commit(g, "a", 1, 2, "{}", "key", &r1);
	rig_commit(g, "a", 2, 1, "{}", "key", &r2);
	RIG_UNTIL(g, r1.came && r2.came);
	assert_string_equal(rig_result(&r1)->reason, "version");
	assert_true(rig_result(&r2)->committed);
	assert_int_not_equal(rig_result(&r2)->seqs[0], 0); /* its key was not taken */
	rig_reply_clear(&r1);
	rig_reply_clear(&r2);
	rig_stats(g, &stats);
	assert_int_equal(stats.transactions, 1);
	assert_int_equal(rig_record(g, "a", "first", NULL, 0), 0);
	assert_int_equal(rig_record(g, "a", "other", NULL, 0), 1);
	rig_free(g);
}

static void
test_abort(void **state)
{
	struct rig *g = rig_open(1);
	struct rig_reply r1, r2;

	rig_unit_open(g, "a", 1);
	rig_unit_open(g, "a", 2);
	rig_stage(g, "a", 1, "r", 1, "gone");
	rig_commit(g, "a", 2, 0, "{}", NULL, &r2);
	rig_settle(g);
	assert_int_equal(r2.came, 0);
	rig_unit_abort(g, "a", 1);
	RIG_UNTIL(g, r2.came && g->ndone == 1);
	assert_true(rig_result(&r2)->committed);
	assert_int_equal(g->done[0].unit, 1);
	assert_false(g->done[0].committed);
	assert_int_equal(rig_record(g, "a", "r", NULL, 0), 0);
	/* keyd's late frame for it: told again, nothing kept */
	rig_stage(g, "a", 1, "r", 1, "late");
	RIG_UNTIL(g, g->ndone == 2);
	assert_int_equal(g->done[1].unit, 1);
	assert_false(g->done[1].committed);
	assert_int_equal(g->s->nunits, 0);
	/* a commit of what is gone, and of what never was */
	rig_commit(g, "a", 1, 0, NULL, NULL, &r1);
	RIG_UNTIL(g, r1.came);
	assert_string_equal(rig_result(&r1)->reason, "unit");
	rig_reply_clear(&r1);
	rig_commit(g, "a", 99, 0, NULL, NULL, &r1);
	RIG_UNTIL(g, r1.came);
	assert_string_equal(rig_result(&r1)->reason, "unit");
	rig_unit_abort(g, "a", 77); /* harmless */
	/* an abort after the commit, while its records are awaited */
	rig_reply_clear(&r1);
	rig_unit_open(g, "a", 100);
	rig_commit(g, "a", 100, 1, NULL, NULL, &r1);
	rig_unit_abort(g, "a", 100);
	RIG_UNTIL(g, r1.came);
	assert_string_equal(rig_result(&r1)->reason, "aborted");
	assert_int_equal(g->lost, 0);
	rig_reply_clear(&r1);
	rig_reply_clear(&r2);
	rig_free(g);
}

static void
test_deadlines(void **state)
{
	struct rig *g = rig_open(1);
	struct rig_reply r1, r2, r3;

	/* open and never committed: holds the second back until its time is over */
	rig_unit_open(g, "a", 1);
	rig_stage(g, "a", 1, "r", 1, "x");
	rig_unit_open(g, "a", 2);
	rig_commit(g, "a", 2, 0, "{}", NULL, &r2);
	rig_settle(g);
	rig_later(g, UNIT_OPEN_MS - 1000);
	rig_settle(g);
	assert_int_equal(r2.came, 0);
	assert_int_equal(g->ndone, 0);
	rig_later(g, 1500);
	RIG_UNTIL(g, r2.came && g->ndone == 1);
	assert_true(rig_result(&r2)->committed);
	assert_false(g->done[0].committed);
	rig_commit(g, "a", 1, 1, NULL, NULL, &r1);
	RIG_UNTIL(g, r1.came);
	assert_string_equal(rig_result(&r1)->reason, "unit");

	/* committed, but a STAGE frame does not come */
	rig_unit_open(g, "a", 3);
	rig_stage(g, "a", 3, "r", 1, "x");
	rig_commit(g, "a", 3, 2, NULL, NULL, &r3);
	rig_settle(g);
	rig_later(g, UNIT_STAGE_MS - 500);
	assert_int_equal(r3.came, 0);
	rig_later(g, 1000);
	RIG_UNTIL(g, r3.came && g->ndone == 2);
	assert_string_equal(rig_result(&r3)->reason, "unit");
	assert_false(g->done[1].committed);
	assert_int_equal(rig_record(g, "a", "r", NULL, 0), 0);

	/* staged, but never opened */
	rig_stage(g, "a", 50, "r", 1, "x");
	rig_settle(g);
	assert_int_equal(g->s->nunits, 1);
	rig_later(g, UNIT_OPEN_MS + 1);
	RIG_UNTIL(g, g->ndone == 3);
	assert_int_equal(g->done[2].unit, 50);
	assert_int_equal(g->s->nunits, 0);
	assert_int_equal(g->s->unit_bytes, 0);
	rig_reply_clear(&r1);
	rig_reply_clear(&r2);
	rig_reply_clear(&r3);
	rig_free(g);
}

static void
test_more_stages_than_apid_knows(void **state)
{
	struct rig *g = rig_open(1);
	struct rig_reply r;

	rig_unit_open(g, "a", 1);
	rig_stage(g, "a", 1, "r", 1, "x");
	rig_stage(g, "a", 1, "r", 2, "y");
	rig_settle(g);
	rig_commit(g, "a", 1, 1, NULL, NULL, &r);
	RIG_UNTIL(g, r.came && g->ndone == 1);
	assert_string_equal(rig_result(&r)->reason, "unit");
	assert_int_equal(rig_record(g, "a", "r", NULL, 0), 0);
	rig_reply_clear(&r);
	rig_free(g);
}

static void
test_dedup(void **state)
{
	struct rig *g = rig_open(2);
	struct rig_reply r;
	Stored__EventAppend e[3];
	Stored__Write w[3], *list[3];
	size_t i;

	assert_int_equal(rig_event(g, "a", "{\"n\":1}", "chat/id1"), 1);
	assert_int_equal(rig_event(g, "a", "{\"n\":2}", "chat/id1"), 0);
	assert_int_not_equal(rig_event(g, "b", "{\"n\":3}", "chat/id1"), 0); /* by account */
	/* the rest of its unit is committed all the same */
	for (i = 0; i < 3; i++) {
		rig_event_init(&e[i], "{\"n\":4}",
		    i == 1   ? "chat/id1"
		    : i == 2 ? "chat/id2"
			     : NULL);
		stored__write__init(&w[i]);
		w[i].event = &e[i];
		list[i] = &w[i];
	}
	rig_unit_open(g, "a", 3000000);
	rig_stage(g, "a", 3000000, "r", 1, "x");
	rig_commit_writes(g, "a", 3000000, 1, list, 3, &r);
	RIG_UNTIL(g, r.came);
	assert_true(rig_result(&r)->committed);
	assert_int_equal(rig_result(&r)->n_seqs, 3);
	assert_true(rig_result(&r)->seqs[0] > 0);
	assert_int_equal(rig_result(&r)->seqs[1], 0);
	assert_true(rig_result(&r)->seqs[2] > rig_result(&r)->seqs[0]);
	assert_int_equal(rig_record(g, "a", "r", NULL, 0), 1);
	rig_reply_clear(&r);
	assert_int_equal(rig_events(g, 0, 100, NULL, &r)->n_events, 4);
	rig_reply_clear(&r);
	rig_free(g);
}

static void
test_refused_shapes(void **state)
{
	struct rig *g = rig_open(1);
	struct rig_reply r;
	Stored__Write two = STORED__WRITE__INIT, none = STORED__WRITE__INIT;
	Stored__EventAppend e, big, kind;
	Stored__DeviceReset reset = STORED__DEVICE_RESET__INIT;
	Stored__Write wbig = STORED__WRITE__INIT, wkind = STORED__WRITE__INIT;
	char *body = malloc(300 * 1024 + 1);

	rig_event_init(&e, "{}", NULL);
	two.event = &e;
	two.device_reset = &reset;
	rig_write(g, "a", &two, "bad_request");
	rig_write(g, "a", &none, "bad_request");
	memset(body, 'x', 300 * 1024);
	body[0] = '{';
	body[300 * 1024] = '\0';
	rig_event_init(&big, body, NULL);
	wbig.event = &big;
	rig_write(g, "a", &wbig, "bad_request");
	rig_event_init(&kind, "{}", NULL);
	kind.origin = rig_str("elsewhere");
	wkind.event = &kind;
	rig_write(g, "a", &wkind, "bad_request");
	/* keyd's: a name that is too long */
	memset(body, 'n', 161);
	body[161] = '\0';
	rig_unit_open(g, "a", 5000000);
	rig_stage(g, "a", 5000000, body, 1, "x");
	rig_commit(g, "a", 5000000, 1, NULL, NULL, &r);
	RIG_UNTIL(g, r.came && g->ndone == 1);
	assert_string_equal(rig_result(&r)->reason, "bad_request");
	assert_false(g->done[0].committed);
	rig_reply_clear(&r);
	assert_int_equal(g->lost, 0);
	assert_int_equal(g->s->unit_bytes, 0);
	free(body);
	rig_free(g);
}

static void
test_bounds(void **state)
{
	struct rig *g = rig_open(1);
	struct rig_reply r;
	char *megabyte = malloc(1024 * 1024 + 1), name[16];
	size_t i;

	/* one unit beyond its bytes: it fails, and holds nothing */
	memset(megabyte, 'm', 1024 * 1024);
	megabyte[1024 * 1024] = '\0';
	rig_unit_open(g, "a", 1);
	for (i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "n%zu", i);
		rig_stage(g, "a", 1, name, 1, megabyte);
		rig_settle(g);
	}
	assert_int_equal(g->s->unit_bytes, 0);
	rig_commit(g, "a", 1, 20, NULL, NULL, &r);
	RIG_UNTIL(g, r.came && g->ndone == 1);
	assert_string_equal(rig_result(&r)->reason, "unit");
	rig_reply_clear(&r);

	/* more units than may be open: those beyond fail, the others stay good */
	for (i = 2; i < 2 + UNITS_MAX + 10; i++) {
		rig_unit_open(g, "a", i);
		if (i % 500 == 0)
			rig_settle(g);
	}
	rig_settle(g);
	assert_int_equal(g->s->nunits, UNITS_MAX);
	rig_commit(g, "a", 1 + UNITS_MAX + 10, 0, NULL, NULL, &r);
	RIG_UNTIL(g, r.came);
	assert_string_equal(rig_result(&r)->reason, "unit");
	rig_reply_clear(&r);
	rig_commit(g, "a", 2, 0, "{}", NULL, &r);
	RIG_UNTIL(g, r.came);
	assert_true(rig_result(&r)->committed);
	rig_reply_clear(&r);
	/* keyd alone cannot fill the table either */
	for (i = 0; i < UNITS_EARLY_MAX + 5; i++)
		rig_stage(g, "a", 100000 + i, "early", 1, "x");
	rig_settle(g);
	assert_true(g->s->nunits <= UNITS_MAX);
	assert_int_equal(g->lost, 0);
	free(megabyte);
	rig_free(g);
}

static void
test_locked_and_unknown(void **state)
{
	struct rig *g = rig_new(1);
	struct rig_reply r;

	rig_unit_open(g, "a", 1);
	rig_commit(g, "a", 1, 0, NULL, NULL, &r);
	RIG_UNTIL(g, r.came);
	assert_string_equal(r.code, "locked");
	rig_stage(g, "a", 1, "r", 1, "x");
	RIG_UNTIL(g, g->ndone == 1); /* let go of */
	rig_unlock(g);
	rig_commit(g, "nobody", 1, 0, NULL, NULL, &r);
	RIG_UNTIL(g, r.came);
	assert_string_equal(r.code, "unknown_account");
	rig_commit(g, "A", 1, 0, NULL, NULL, &r); /* names are exact */
	RIG_UNTIL(g, r.came);
	assert_string_equal(r.code, "unknown_account");
	rig_free(g);
}

/* apid must not open out of order: that would be another order than the one it means. */
static void
test_opening_twice_breaks_the_contract(void **state)
{
	struct rig *g = rig_open(1);

	rig_unit_open(g, "a", 5);
	rig_settle(g);
	assert_int_equal(g->lost, 0);
	rig_unit_open(g, "a", 5);
	RIG_UNTIL(g, g->lost == 1);
	rig_free(g);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_join_in_any_order),
	    T(test_order_of_opening),
	    T(test_accounts_do_not_wait_for_each_other),
	    T(test_group_shares_a_sync),
	    T(test_patience),
	    T(test_versions),
	    T(test_chain_fails_and_others_go_on),
	    T(test_failed_unit_leaves_nothing),
	    T(test_abort),
	    T(test_deadlines),
	    T(test_more_stages_than_apid_knows),
	    T(test_dedup),
	    T(test_refused_shapes),
	    T(test_bounds),
	    T(test_locked_and_unknown),
	    T(test_opening_twice_breaks_the_contract),
	};

	alarm(120 * test_slow());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
