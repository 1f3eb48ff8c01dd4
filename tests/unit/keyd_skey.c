/* Rotation of the signed prekey, and the public halves that apid may ask for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "keyd/curve.h"
#include "tests/unit/keyd_bench.h"
#include "tests/unit/slow.h"

#define KEY "01234567890123456789012345678901"
#define BOB ((char *)(uintptr_t) "bob")

static struct bench b;
static uint8_t identity[32];

static void
commit(int ok)
{
	assert_int_equal(bench_commit(&b, "bob", b.unit, ok), ok);
	bench_settle(&b);
}

static int
setup(void **state)
{
	Keyd__DeviceCreate q = KEYD__DEVICE_CREATE__INIT;
	const Keyd__DeviceState *s;

	bench_start(&b, KEY, 1);
	q.account = BOB;
	q.unit = ++b.unit;
	s = BENCH_ASK(&b, b.apid, DEVICE_CREATE, &q, DEVICE_STATE, device_state);
	assert_non_null(s);
	memcpy(identity, s->identity_pub.data, 32);
	commit(1);
	return 0;
}

static int
teardown(void **state)
{
	bench_stop(&b);
	return 0;
}

/* The next one, checked: pub is a copy. Returns the number of stages. */
static unsigned
next(uint32_t id, uint8_t pub[32])
{
	Keyd__SkeyNext q = KEYD__SKEY_NEXT__INIT;
	const Keyd__SkeyReply *r;
	uint8_t typed[33] = {5};

	q.account = BOB;
	q.unit = ++b.unit;
	r = BENCH_ASK(&b, b.apid, SKEY_NEXT, &q, SKEY_REPLY, skey_reply);
	assert_non_null(r);
	assert_int_equal(r->signed_prekey->id, id);
	memcpy(typed + 1, r->signed_prekey->pub.data, 32);
	assert_int_equal(curve_check(identity, typed, 33, r->signed_prekey->signature.data), 1);
	memcpy(pub, typed + 1, 32);
	return r->stages;
}

static const Keyd__Staged *
end(uint32_t id, int taken)
{
	Keyd__SkeyEnd q = KEYD__SKEY_END__INIT;

	q.account = BOB;
	q.unit = ++b.unit;
	q.id = id;
	q.taken = taken;
	return BENCH_ASK(&b, b.apid, SKEY_END, &q, STAGED, staged);
}

static const Keyd__PrekeysReply *public(uint32_t *ids, size_t n)
{
	Keyd__PrekeysPublic q = KEYD__PREKEYS_PUBLIC__INIT;

	q.account = BOB;
	q.ids = ids;
	q.n_ids = n;
	return BENCH_ASK(&b, b.apid, PREKEYS_PUBLIC, &q, PREKEYS_REPLY, prekeys_reply);
}

static int
is_there(const char *name)
{
	const struct bench_record *r =
	    bench_record(&b, "bob", STORED__DOMAIN__SIGNED_PREKEY, name, 0);

	return r != NULL && r->version > 0;
}

static void
rotate(void **state)
{
	uint8_t first[32], again[32], third[32];
	const Keyd__PrekeysReply *r;
	char name[16];

	assert_int_equal(next(2, first), 1);
	commit(0); /* it never was */
	assert_null(end(2, 1));
	assert_string_equal(b.code, "state");
	assert_int_equal(next(2, again), 1);
	assert_memory_not_equal(first, again, 32);
	commit(1);
	r = public(NULL, 0);
	assert_int_equal(r->signed_prekey->id, 1); /* until the service has taken it */
	assert_int_equal(r->next->id, 2);
	assert_memory_equal(r->next->pub.data, again, 32);
	assert_int_equal(next(2, first), 0); /* no answer: the same one */
	assert_memory_equal(first, again, 32);
	assert_null(end(1, 1));
	assert_string_equal(b.code, "state");
	assert_null(end(3, 0));
	assert_string_equal(b.code, "state");
	assert_non_null(end(2, 1));
	commit(0); /* not durable: it still waits */
	assert_int_equal(public(NULL, 0)->signed_prekey->id, 1);
	assert_non_null(end(2, 1));
	commit(1);
	r = public(NULL, 0);
	assert_int_equal(r->signed_prekey->id, 2);
	assert_memory_equal(r->signed_prekey->pub.data, again, 32);
	assert_null(r->next);
	assert_int_equal(next(3, third), 1);
	commit(1);
	assert_non_null(end(3, 0)); /* refused for good */
	commit(1);
	assert_false(is_there("1/3"));
	assert_null(public(NULL, 0)->next);
	for (uint32_t id = 3; id < 6; id++) {
		assert_int_equal(next(id, first), 1);
		if (id == 3)
			assert_memory_not_equal(first, third, 32);
		commit(1);
		assert_non_null(end(id, 1));
		commit(1);
		for (uint32_t k = 1; k <= id; k++) { /* it and two older ones */
			snprintf(name, sizeof(name), "1/%u", k);
			assert_int_equal(is_there(name), k + 2 >= id);
		}
	}
}

static void
public_halves(void **state)
{
	Keyd__PrekeysMake q = KEYD__PREKEYS_MAKE__INIT;
	uint32_t ids[] = {3, 500, 1, 2}, bad[] = {0, 0xffffff}, many[1001];
	uint8_t pubs[3][32];
	const Keyd__PrekeysReply *r;

	q.account = BOB;
	q.unit = ++b.unit;
	q.count = 3;
	r = BENCH_ASK(&b, b.apid, PREKEYS_MAKE, &q, PREKEYS_REPLY, prekeys_reply);
	assert_non_null(r);
	for (int i = 0; i < 3; i++)
		memcpy(pubs[i], r->keys[i]->pub.data, 32);
	commit(1);
	r = public(ids, 4);
	assert_non_null(r);
	assert_int_equal(r->stages, 0);
	assert_int_equal(r->n_keys, 3); /* in the order asked, without the one that is not there */
	assert_memory_equal(r->identity_pub.data, identity, 32);
	assert_int_equal(r->keys[0]->id, 3);
	assert_memory_equal(r->keys[0]->pub.data, pubs[2], 32);
	assert_memory_equal(r->keys[1]->pub.data, pubs[0], 32);
	assert_memory_equal(r->keys[2]->pub.data, pubs[1], 32);
	for (int i = 0; i < 2; i++) {
		assert_null(public(&bad[i], 1));
		assert_string_equal(b.code, "bad_request");
	}
	for (uint32_t i = 0; i < 1001; i++)
		many[i] = i + 1;
	assert_int_equal(public(many, 1000)->n_keys, 3);
	assert_null(public(many, 1001));
	assert_string_equal(b.code, "bad_request");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(rotate, setup, teardown),
	    cmocka_unit_test_setup_teardown(public_halves, setup, teardown),
	};

	log_set_level(LOG_LV_ERR);
	(void)core_warm_up();
	alarm(120 * test_slow());
	return cmocka_run_group_tests_name("keyd: signed prekeys", tests, NULL, NULL);
}
