/* Our three curve functions against libsignal's own, with random vectors, and what they refuse. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <signal/signal_protocol.h>
#include <sodium.h>

#include "keyd/core.h"
#include "keyd/curve.h"

#define ROUNDS 1000

static int (*old_donna)(uint8_t *, const uint8_t *, const uint8_t *);
static int (*old_sign)(unsigned char *, const unsigned char *, const unsigned char *, unsigned long,
    const unsigned char *);
static int (*old_verify)(
    const unsigned char *, const unsigned char *, const unsigned char *, unsigned long);

/* The library's own, which ours hide: looked up in the library itself. */
static int
find_originals(void **state)
{
	Dl_info info;
	void *lib;

	assert_true(dladdr((void *)(uintptr_t)signal_context_create, &info) != 0);
	lib = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
	if (lib == NULL)
		lib = dlopen("libsignal-protocol-c.so", RTLD_NOW);
	assert_non_null(lib);
	*(void **)&old_donna = dlsym(lib, "curve25519_donna");
	*(void **)&old_sign = dlsym(lib, "curve25519_sign");
	*(void **)&old_verify = dlsym(lib, "curve25519_verify");
	assert_non_null(old_donna);
	assert_non_null(old_sign);
	assert_non_null(old_verify);
	/* a test of ours against ours would prove nothing */
	assert_true(old_donna != curve25519_donna);
	assert_true((void *)(uintptr_t)old_sign != (void *)(uintptr_t)curve25519_sign);
	assert_true((void *)(uintptr_t)old_verify != (void *)(uintptr_t)curve25519_verify);
	return 0;
}

static void
random_private(uint8_t k[32])
{
	randombytes_buf(k, 32);
	k[0] &= 248;
	k[31] = (uint8_t)((k[31] & 127) | 64);
}

static void
test_agreement(void **state)
{
	static const uint8_t base[32] = {9};
	uint8_t k[32], point[32], a[32], b[32];
	int i;

	for (i = 0; i < ROUNDS; i++) {
		random_private(
		    k); /* libsignal clamps a key when it makes it, not when it uses it */
		randombytes_buf(point, 32);
		assert_int_equal(curve25519_donna(a, k, point), 0);
		assert_int_equal(old_donna(b, k, point), 0);
		assert_memory_equal(a, b, 32);
		assert_int_equal(curve25519_donna(a, k, base), 0);
		assert_int_equal(old_donna(b, k, base), 0);
		assert_memory_equal(a, b, 32);
	}
}

static void
test_signatures(void **state)
{
	uint8_t k[32], pub[32], random[64], msg[257], a[64], b[64];
	size_t len;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		random_private(k);
		curve_public(k, pub);
		randombytes_buf(random, sizeof(random));
		randombytes_buf(msg, sizeof(msg));
		len = randombytes_uniform(sizeof(msg));
		assert_int_equal(curve25519_sign(a, k, msg, len, random), 0);
		assert_int_equal(old_sign(b, k, msg, len, random), 0);
		assert_memory_equal(a, b, 64);
		assert_int_equal(curve25519_verify(a, pub, msg, len), 0);
		assert_int_equal(old_verify(a, pub, msg, len), 0);
		/* one bit anywhere: refused by both. Bit 7 of byte 63 is the sign of the key. */
		a[randombytes_uniform(64)] ^= (uint8_t)(1u << randombytes_uniform(8));
		assert_true(curve25519_verify(a, pub, msg, len) != 0);
		assert_true(old_verify(a, pub, msg, len) != 0);
		if (len > 0) {
			msg[randombytes_uniform((uint32_t)len)] ^= 1;
			assert_true(curve25519_verify(b, pub, msg, len) != 0);
		}
	}
}

/* Random keys and signatures, nearly all bad: both must say so. */
static void
test_garbage(void **state)
{
	uint8_t pub[32], sig[64], msg[8] = {0};
	int i;

	for (i = 0; i < ROUNDS; i++) {
		randombytes_buf(pub, sizeof(pub));
		randombytes_buf(sig, sizeof(sig));
		sig[63] &= 0x8f;
		assert_true(curve25519_verify(sig, pub, msg, sizeof(msg)) != 0);
		assert_true(old_verify(sig, pub, msg, sizeof(msg)) != 0);
	}
}

static void
test_small_order(void **state)
{
	/* points of order 1, 2, 4 and 8, and two that are not reduced */
	static const char *const points[] = {
	    "0000000000000000000000000000000000000000000000000000000000000000",
	    "0100000000000000000000000000000000000000000000000000000000000000",
	    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};
	uint8_t k[32], point[32], out[32], sig[64] = {0};
	size_t i;

	random_private(k);
	sig[0] = 1; /* R = the neutral point, s = 0: what a key of small order "signs" */
	for (i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		(void)sodium_hex2bin(point, 32, points[i], 64, NULL, NULL, NULL);
		assert_int_equal(curve_shared(k, point, out), -1);
		assert_int_equal(curve25519_donna(out, k, point), -1);
		assert_int_equal(curve_check(point, "x", 1, sig), 0);
	}
}

static void
test_self_test_sees_ours(void **state)
{
	assert_int_equal(curve_self_test(), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_agreement),
	    cmocka_unit_test(test_signatures),
	    cmocka_unit_test(test_garbage),
	    cmocka_unit_test(test_small_order),
	    cmocka_unit_test(test_self_test_sees_ours),
	};

	(void)core_warm_up();
	return cmocka_run_group_tests_name("keyd: curve", tests, find_originals, NULL);
}
