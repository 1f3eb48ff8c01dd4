/* Changing keys: the keyring of two headers, resealing while records change, the end; and a start
 * at each point of it, with the right secrets and with others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "tests/unit/keyd_bench.h"

#define OLD   "01234567890123456789012345678901"
#define NEXT  "abcdefghijklmnopqrstuvwxyzabcdef"
#define OTHER "zyxwvutsrqponmlkjihgfedcbazyxwvu"

static struct bench b;

#define ALICE ((char *)(uintptr_t) "alice")
#define BOB   ((char *)(uintptr_t) "bob")

/* ---------------------------------------------------------------- verbs, in short */

static const Keyd__RekeyState *
begin(void)
{
	Keyd__RekeyBegin q = KEYD__REKEY_BEGIN__INIT;

	return BENCH_ASK(&b, b.apid, REKEY_BEGIN, &q, REKEY_STATE, rekey_state);
}

static const char *
state(void)
{
	Keyd__Status q = KEYD__STATUS__INIT;
	const Keyd__StatusReply *r = BENCH_ASK(&b, b.apid, STATUS, &q, STATUS_REPLY, status_reply);

	assert_non_null(r);
	return r->rekey != NULL ? r->rekey->state : r->reason;
}

static const Keyd__ResealReply *
reseal(char *account)
{
	Keyd__Reseal q = KEYD__RESEAL__INIT;

	q.account = account;
	q.unit = ++b.unit;
	return BENCH_ASK(&b, b.apid, RESEAL, &q, RESEAL_REPLY, reseal_reply);
}

static void
make_device(char *account, uint32_t prekeys)
{
	Keyd__DeviceCreate q = KEYD__DEVICE_CREATE__INIT;
	Keyd__PrekeysMake p = KEYD__PREKEYS_MAKE__INIT;

	q.account = p.account = account;
	q.unit = ++b.unit;
	assert_non_null(BENCH_ASK(&b, b.apid, DEVICE_CREATE, &q, DEVICE_STATE, device_state));
	assert_true(bench_commit(&b, account, b.unit, 1));
	p.unit = ++b.unit;
	p.count = prekeys;
	assert_non_null(BENCH_ASK(&b, b.apid, PREKEYS_MAKE, &p, PREKEYS_REPLY, prekeys_reply));
	assert_true(bench_commit(&b, account, b.unit, 1));
	bench_settle(&b);
}

/* A prekey that is uploaded. */
static void
uploaded(char *account, uint32_t id)
{
	Keyd__PrekeysUploaded q = KEYD__PREKEYS_UPLOADED__INIT;

	q.account = account;
	q.unit = ++b.unit;
	q.ids = &id;
	q.n_ids = 1;
	assert_non_null(BENCH_ASK(&b, b.apid, PREKEYS_UPLOADED, &q, STAGED, staged));
	assert_true(bench_commit(&b, account, b.unit, 1));
	bench_settle(&b);
}

/* All records of an account that a key of this master opens. */
static unsigned
under(const char *master, const char *account)
{
	const struct bench_record *r;
	struct buf plain = BUF_INIT;
	uint8_t key[32];
	unsigned n = 0;

	keyring_derive((const uint8_t *)master, "vault", account, key);
	for (r = b.records; r != NULL; r = r->next) {
		const struct vault_id id = {account, r->domain, r->name, r->version};

		if (r->version > 0 && strcmp(r->account, account) == 0)
			n += vault_unseal(key, &id, r->sealed.data, r->sealed.len, &plain) == 0;
	}
	buf_clear(&plain);
	return n;
}

/* Until it is done. Returns how many were resealed. */
static unsigned
reseal_all(char *account)
{
	const Keyd__ResealReply *r;
	unsigned n = 0, turns = 0;

	for (;;) {
		assert_true(turns++ < 1000);
		assert_non_null(r = reseal(account));
		n += r->resealed;
		if (r->done)
			return n;
		assert_true(r->resealed <= RESEAL_MAX);
		assert_true(bench_commit(&b, account, b.unit, 1));
		bench_settle(&b);
	}
}

static void
databases_done(void)
{
	bench_rekeyed(&b, "");
	bench_rekeyed(&b, "alice");
	bench_rekeyed(&b, "bob");
	bench_settle(&b);
}

static int
stop(void **s)
{
	bench_stop(&b);
	return 0;
}

static int
start_ready(void **s)
{
	bench_start(&b, OLD, 1);
	make_device(ALICE, 100);
	bench_restart(&b, OLD, NEXT);
	return 0;
}

static int
start_begun(void **s)
{
	start_ready(s);
	return begin() != NULL ? 0 : -1;
}

/* ---------------------------------------------------------------- tests */

static void
test_nothing_to_begin(void **s)
{
	bench_start(&b, OLD, 1);
	assert_string_equal(state(), "none");
	assert_null(begin());
	assert_string_equal(b.code, "state");
	assert_null(reseal(ALICE));
	assert_string_equal(b.code, "state");
	/* the same key again is no other key */
	bench_restart(&b, OLD, OLD);
	assert_string_equal(state(), "none");
	assert_null(begin());
	assert_int_equal(b.header.len, KEYRING_HEADER_LEN);
}

static void
test_all_of_it(void **s)
{
	unsigned records;
	uint8_t key[32];

	assert_string_equal(state(), "ready");
	assert_int_equal(b.header.len, KEYRING_HEADER_LEN);
	assert_false(b.unlocked_with_next);
	uploaded(ALICE, 7);
	records = under(OLD, "alice");
	assert_int_equal(records, 103); /* device, signed prekey, key state, prekeys */
	assert_string_equal(begin()->state, "running");
	assert_int_equal(b.header.len, 2 * KEYRING_HEADER_LEN);
	assert_int_equal(b.puts, 2); /* both files */
	assert_int_equal(b.rekey_checks, 1);
	assert_int_equal(b.rekeys, 1);
	keyring_derive((const uint8_t *)NEXT, "database", "", key);
	assert_memory_equal(b.next_key, key, 32);

	/* what is written from now on is under the new key */
	uploaded(ALICE, 8);
	assert_int_equal(under(NEXT, "alice"), 1);
	assert_int_equal(reseal_all(ALICE), records - 1);
	assert_int_equal(under(OLD, "alice"), 0);
	assert_int_equal(under(NEXT, "alice"), records);
	assert_int_equal(bench_record(&b, "alice", STORED__DOMAIN__PREKEY, "1/7", 0)->uploaded, 1);
	assert_int_equal(bench_record(&b, "alice", STORED__DOMAIN__PREKEY, "1/9", 0)->uploaded, 0);
	assert_int_equal(reseal_all(BOB), 0);
	assert_string_equal(state(), "running"); /* the databases are not done */
	databases_done();
	assert_string_equal(state(), "done");
	assert_int_equal(b.header.len, KEYRING_HEADER_LEN);
	assert_int_equal(b.puts, 4);
	assert_true(sodium_is_zero(b.k->secrets->old_key[0], sizeof(b.k->secrets->old_key)));
	assert_true(sodium_is_zero(b.k->secrets->master, 32));
	assert_true(sodium_is_zero(b.k->secrets->next_master, 32));
	assert_string_equal(begin()->state, "done");
	assert_null(reseal(ALICE));
	assert_string_equal(b.code, "state");
	uploaded(ALICE, 9);

	/* the config is not changed yet, then it is, and the old one is of no use any more */
	bench_restart(&b, OLD, NEXT);
	assert_string_equal(state(), "done");
	uploaded(ALICE, 10);
	bench_restart(&b, NEXT, NULL);
	assert_string_equal(state(), "none");
	uploaded(ALICE, 11);
	assert_int_equal(under(NEXT, "alice"), records);
	bench_restart(&b, OLD, NULL);
	assert_string_equal(state(), "wrong_master_key");
}

static void
test_goes_on_after_a_restart(void **s)
{
	const Keyd__ResealReply *r;
	unsigned at;

	/* in the middle of the records, with a unit that stored has not finished */
	assert_non_null(r = reseal(ALICE));
	assert_true(bench_commit(&b, "alice", b.unit, 1));
	for (at = 0; at < 3; at++) {
		assert_non_null(reseal(ALICE));
		bench_settle(&b);
		bench_restart(&b, OLD, NEXT);
		assert_string_equal(state(), "running");
		assert_true(b.unlocked_with_next);
		assert_true(under(OLD, "alice") > 0 && under(NEXT, "alice") > 0);
	}
	reseal_all(ALICE);
	reseal_all(BOB);
	assert_int_equal(under(OLD, "alice"), 0);
	databases_done();
	assert_string_equal(state(), "done");
}

/* The run before may have ended between the two files: nothing is sealed with a new key, and no key
 * goes to stored, before what was found is in both. */
static void
test_found_keyring_is_kept_again(void **s)
{
	static const struct {
		size_t len;
		const char *state;
	} rows[] = {{2 * KEYRING_HEADER_LEN, "running"}, {KEYRING_HEADER_LEN, "done"}};

	for (size_t i = 0; i < 2; i++) {
		struct buf found = BUF_INIT;

		assert_int_equal(b.header.len, rows[i].len);
		buf_put(&found, b.header.data, b.header.len);
		bench_restart(&b, OLD, NEXT);
		assert_string_equal(state(), rows[i].state);
		assert_int_equal(b.puts, 2);
		assert_int_equal(b.header.len, found.len);
		assert_memory_equal(b.header.data, found.data, found.len);
		b.fail_put = "io";
		bench_restart(&b, OLD, NEXT);
		assert_string_equal(state(), "store");
		assert_true(sodium_is_zero((const uint8_t *)b.k->secrets, sizeof(*b.k->secrets)));
		b.fail_put = NULL;
		bench_restart(&b, OLD, NEXT);
		buf_clear(&found);
		if (i == 0) {
			reseal_all(ALICE);
			reseal_all(BOB);
			databases_done();
		}
	}
	/* when ward.conf has only the new key, nothing is written any more */
	bench_restart(&b, NEXT, NULL);
	assert_string_equal(state(), "none");
	assert_int_equal(b.puts, 0);
}

static void
test_other_secrets_in_the_middle(void **s)
{
	static const struct {
		const char *key, *next, *why;
	} rows[] = {
	    {OLD, NULL, "next_master_key_missing"},
	    {OLD, OLD, "wrong_next_master_key"},
	    {OLD, OTHER, "wrong_next_master_key"},
	    {NEXT, NULL, "rekey_unfinished"},
	    {NEXT, OLD, "rekey_unfinished"},
	    {"11111111111111111111111111111111", NEXT, "wrong_master_key"},
	    {OLD, NEXT, "running"},
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bench_restart(&b, rows[i].key, rows[i].next);
		assert_string_equal(state(), rows[i].why);
		if (strcmp(rows[i].why, "running") == 0)
			continue;
		assert_null(begin());
		assert_string_equal(b.code, "locked");
		assert_null(reseal(ALICE));
		assert_string_equal(b.code, "locked");
	}
}

static void
test_forged_keyring(void **s)
{
	static const size_t lens[] = {1, 61, 63, 123, 125, 186};
	struct buf whole = BUF_INIT;
	size_t i;

	buf_put(&whole, b.header.data, b.header.len);
	buf_put(&whole, b.header.data, b.header.len);
	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		buf_reset(&b.header);
		buf_put(&b.header, whole.data, lens[i]);
		bench_restart(&b, OLD, NEXT);
		assert_string_equal(state(), "keyring");
	}
	buf_clear(&whole);
}

/* A unit that was sealed with the old key and is not over: what it writes may be a new name. */
static void
test_waits_for_old_units(void **s)
{
	Keyd__PrekeysMake p = KEYD__PREKEYS_MAKE__INIT;
	uint64_t old_unit;

	p.account = ALICE;
	p.unit = old_unit = ++b.unit;
	p.count = 5;
	assert_non_null(BENCH_ASK(&b, b.apid, PREKEYS_MAKE, &p, PREKEYS_REPLY, prekeys_reply));
	assert_non_null(begin());
	assert_true(reseal(ALICE)->waits);
	assert_int_equal(b.lists, 0);
	assert_true(bench_commit(&b, "alice", old_unit, 1));
	bench_settle(&b);
	assert_int_equal(reseal_all(ALICE), 108);
	assert_int_equal(under(OLD, "alice"), 0);
}

/* A unit that fails takes its resealing back; a record counts only when it is committed. */
static void
test_failed_units(void **s)
{
	const Keyd__ResealReply *r;
	unsigned i;

	for (i = 0; i < 3; i++) {
		assert_non_null(r = reseal(ALICE));
		assert_true(r->resealed > 0 && !r->done);
		assert_false(bench_commit(&b, "alice", b.unit, 0));
		bench_settle(&b);
		assert_int_equal(under(NEXT, "alice"), 0);
	}
	/* asked again before stored has finished: nothing is done, and nothing counts */
	assert_non_null(r = reseal(ALICE));
	assert_true(r->resealed > 0);
	{
		uint64_t unit = b.unit;

		assert_true(reseal(ALICE)->waits);
		assert_false(bench_commit(&b, "alice", unit, 0));
		bench_settle(&b);
	}
	reseal_all(ALICE);
	assert_int_equal(under(OLD, "alice"), 0);
}

/* Records that go, come and change between two requests. */
static void
test_changes_meanwhile(void **s)
{
	const Keyd__ResealReply *r;
	uint32_t id = 1;
	unsigned turns = 0;

	for (;;) {
		assert_non_null(r = reseal(ALICE));
		if (r->done)
			break;
		assert_true(turns++ < 200);
		assert_true(bench_commit(&b, "alice", b.unit, 1));
		uploaded(ALICE, id++);
		bench_settle(&b);
	}
	assert_int_equal(under(OLD, "alice"), 0);
	assert_true(id > 4);
	assert_int_equal(bench_record(&b, "alice", STORED__DOMAIN__PREKEY, "1/2", 0)->uploaded, 1);
}

/* A damaged record holds nothing up. */
static void
test_damaged_record(void **s)
{
	struct bench_record *r = bench_record(&b, "alice", STORED__DOMAIN__PREKEY, "1/50", 0);

	r->sealed.data[30] ^= 1;
	reseal_all(ALICE);
	assert_int_equal(under(OLD, "alice"), 0);
	assert_int_equal(under(NEXT, "alice"), 102);
}

static void
test_stored_fails(void **s)
{
	/* it could not: nothing has begun */
	b.fail_rekey = "unsupported";
	assert_null(begin());
	assert_string_equal(b.code, "store");
	assert_int_equal(b.puts, 0);
	assert_string_equal(state(), "ready");
	b.fail_rekey = NULL;
	/* the headers cannot be kept: the old keys go on sealing */
	b.fail_put = "disk_full";
	assert_null(begin());
	assert_string_equal(b.code, "store");
	assert_string_equal(state(), "ready");
	uploaded(ALICE, 1);
	assert_int_equal(under(NEXT, "alice"), 0);
	b.fail_put = NULL;
	assert_non_null(begin());
	/* records cannot be read */
	b.fail_records = "io";
	assert_null(reseal(ALICE));
	assert_string_equal(b.code, "store");
	b.fail_records = NULL;
	reseal_all(ALICE);
	reseal_all(BOB);
	/* the last header cannot be kept: again when asked, and who asks hears of it */
	b.fail_put = "io";
	databases_done();
	assert_string_equal(state(), "running");
	assert_null(begin());
	assert_string_equal(b.code, "store");
	assert_string_equal(state(), "running");
	b.fail_put = NULL;
	assert_string_equal(begin()->state, "done");
	assert_string_equal(state(), "done");
}

/* REKEY comes to stored again when it may have been lost. */
static void
test_begin_again(void **s)
{
	assert_int_equal(b.rekeys, 1);
	assert_string_equal(begin()->state, "running");
	assert_int_equal(b.rekeys, 2);
	assert_int_equal(b.puts, 2);
	b.fail_rekey = "bad_request";
	assert_null(begin());
	assert_string_equal(b.code, "store");
	/* the last database is done while stored is being asked */
	b.fail_rekey = NULL;
	reseal_all(ALICE);
	reseal_all(BOB);
	bench_rekeyed(&b, "");
	bench_rekeyed(&b, "alice");
	bench_rekeyed(&b, "bob");
	assert_non_null(begin());
	bench_settle(&b);
	assert_string_equal(state(), "done");
}

/* The first start of all, with both secrets. */
static void
test_first_start(void **s)
{
	memset(&b, 0, sizeof(b));
	bench_boot(&b, OLD, NEXT, 1);
	assert_string_equal(state(), "ready");
	assert_int_equal(b.header.len, KEYRING_HEADER_LEN);
	assert_int_equal(b.puts, 2); /* both files: without its salt no key opens anything */
	make_device(ALICE, 3);
	assert_non_null(begin());
	reseal_all(ALICE);
	reseal_all(BOB);
	databases_done();
	bench_restart(&b, NEXT, NULL);
	assert_string_equal(state(), "none");
	uploaded(ALICE, 1);
}

int
main(void)
{
#define WITH(setup, test) cmocka_unit_test_setup_teardown(test, setup, stop)
	const struct CMUnitTest tests[] = {
	    WITH(NULL, test_nothing_to_begin),
	    WITH(start_ready, test_all_of_it),
	    WITH(start_begun, test_goes_on_after_a_restart),
	    WITH(start_begun, test_found_keyring_is_kept_again),
	    WITH(start_begun, test_other_secrets_in_the_middle),
	    WITH(start_begun, test_forged_keyring),
	    WITH(start_ready, test_waits_for_old_units),
	    WITH(start_begun, test_failed_units),
	    WITH(start_begun, test_changes_meanwhile),
	    WITH(start_begun, test_damaged_record),
	    WITH(start_ready, test_stored_fails),
	    WITH(start_begun, test_begin_again),
	    WITH(NULL, test_first_start),
	};

	log_set_level(LOG_LV_ERR);
	log_open("keyd", open("/dev/null", O_WRONLY | O_CLOEXEC));
	core_warm_up();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
