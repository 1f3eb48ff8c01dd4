/* The phone's side of pairing by code, ADV signatures, digest and device hashes: the worked
 * examples of protocol pages 03 (section 11), 04 (section 23) and 05 (section 5). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/account.h"
#include "tests/sim/crypt.h"
#include "tests/sim/pair_code.h"
#include "tests/sim/phone.h"
#include "tests/sim/prekeys.h"
#include "tests/sim/rng.h"

#define COMPANION_PUB "4d27bcee3135c4944b28d27dd809b07be10c35160d20131caa7e85575498d07c"
#define PRIMARY_PRIV  "3132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f50"
#define PRIMARY_PUB   "5f09b7f97a40b50220697064b43b27411b07a4aa1fe05370b27519826983d30d"
#define CE_PUB        "d214723afdfe2cddbdc929b18a5e43017e44445fc5d6c8fcf88b1868c53f395c"
#define PE_PRIV       "9192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0"
#define PE_PUB        "9cced751b301bbd16c4fb8deddd82f18925d71ed90c844fa0158f845b0fa7f4b"
#define COMPANION_WRAPPED                                                                          \
	"0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"                         \
	"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"                                                         \
	"318bca59f1f79597fcf5a40933948b02a8dc408b850016a5706107ee5ebb0cb5"
#define PRIMARY_SALT_IV                                                                            \
	"2122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f40"                         \
	"b0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
#define PRIMARY_WRAPPED                                                                            \
	PRIMARY_SALT_IV "8ca71538c75360ec5a239eba06503cca854befe9fe30d4d326ca7c81393eabf2"
#define BUNDLE                                                                                     \
	"c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e0e1e2e3e4e5e6e7e8e9eaeb" \
	"7a6175836024ee62819003da8c1e3501a204985ad057a5ad960dcf98f5a816fd5e5fd1625a5d56325b18cc3b" \
	"10509e25"                                                                                 \
	"6344d7e1e2e1adb653b0dddcf1493eaa244d4f92efe0eeb8d4190c9ce4d51cacc629a89b118d23080b82a842" \
	"14075ea5"                                                                                 \
	"d3c8128a19524ae98fd0c2cf79377d80"
#define ADV_SECRET "d3986256aa43afcad8447fe02ae1834791bb6ed35c07673b39bc2ce6a43a04d6"

static const uint8_t *
unhex(const char *text, size_t len)
{
	static uint8_t ring[8][512];
	static unsigned next;
	uint8_t *out = ring[next++ % 8];

	assert_true(len <= sizeof(ring[0]));
	assert_int_equal(crypt_unhex(text, out, len), 0);
	return out;
}

static void
test_code_text(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {{"ABCDEFGH", "ABCDEFGH"}, {"abcd-efgh", "ABCDEFGH"}, {"1521-7216", "15217216"},
	    {"ABCDEFG", NULL}, {"ABCDEFGHJ", NULL}, {"ABC-DEFGH", NULL}, {"ABCDEFG0", NULL},
	    {"ABCDEFGU", NULL}, {"", NULL}, {"--------", NULL}};
	char out[9];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r = pair_code_normal(cases[i].in, out);

		assert_int_equal(r, cases[i].out == NULL ? -1 : 0);
		if (r == 0)
			assert_string_equal(out, cases[i].out);
	}
}

static void
test_code_wrap(void **state)
{
	uint8_t pub[32], wrapped[80];

	(void)state;
	pair_code_unwrap(unhex(COMPANION_WRAPPED, 80), "ABCDEFGH", pub);
	assert_memory_equal(pub, unhex(CE_PUB, 32), 32);
	pair_code_unwrap(unhex(COMPANION_WRAPPED, 80), "ABCDEFGJ", pub);
	assert_memory_not_equal(pub, unhex(CE_PUB, 32), 32);
	rng_inject(unhex(PRIMARY_SALT_IV, 48), 48);
	pair_code_wrap(unhex(PE_PUB, 32), "ABCDEFGH", wrapped);
	assert_memory_equal(wrapped, unhex(PRIMARY_WRAPPED, 80), 80);
}

static void
test_code_bundle(void **state)
{
	uint8_t secret[32], bundle[156];

	(void)state;
	memcpy(bundle, unhex(BUNDLE, 156), 156);
	assert_int_equal(
	    pair_code_open_bundle(bundle, unhex(PE_PRIV, 32), unhex(CE_PUB, 32),
		unhex(PRIMARY_PRIV, 32), unhex(PRIMARY_PUB, 32), unhex(COMPANION_PUB, 32), secret),
	    0);
	assert_memory_equal(secret, unhex(ADV_SECRET, 32), 32);
	/* another companion identity than the one in the bundle */
	assert_int_equal(
	    pair_code_open_bundle(bundle, unhex(PE_PRIV, 32), unhex(CE_PUB, 32),
		unhex(PRIMARY_PRIV, 32), unhex(PRIMARY_PUB, 32), unhex(CE_PUB, 32), secret),
	    -1);
	/* another ephemeral key: a wrong code */
	assert_int_equal(
	    pair_code_open_bundle(bundle, unhex(PE_PRIV, 32), unhex(PRIMARY_PUB, 32),
		unhex(PRIMARY_PRIV, 32), unhex(PRIMARY_PUB, 32), unhex(COMPANION_PUB, 32), secret),
	    -1);
	bundle[100] ^= 1;
	assert_int_equal(
	    pair_code_open_bundle(bundle, unhex(PE_PRIV, 32), unhex(CE_PUB, 32),
		unhex(PRIMARY_PRIV, 32), unhex(PRIMARY_PUB, 32), unhex(COMPANION_PUB, 32), secret),
	    -1);
}

/* The account signature of page 03 comes out byte for byte with its random bytes. */
static void
test_account_signature(void **state)
{
	uint8_t msg[2 + 14 + 32] = {6, 0}, sig[64], rnd[64];

	(void)state;
	memcpy(msg + 2, unhex("08f8acd191011080e2cfaa061805", 14), 14);
	memcpy(msg + 16, unhex(COMPANION_PUB, 32), 32);
	memset(rnd, 0x44, sizeof(rnd));
	rng_inject(rnd, sizeof(rnd));
	crypt_sign(unhex(PRIMARY_PRIV, 32), msg, sizeof(msg), sig);
	assert_memory_equal(sig,
	    unhex("382dd6d67c4cece7c5e57338b7bcd91e5acf95e3f91b0fb0e618ff113c1906f0"
		  "242e1e1263f22e1f1eae322332d83959ede923220659ac8a5203579600d3408c",
		64),
	    64);
	assert_int_equal(crypt_verify(unhex(PRIMARY_PUB, 32), msg, sizeof(msg), sig), 0);
	msg[1] = 5;
	assert_int_equal(crypt_verify(unhex(PRIMARY_PUB, 32), msg, sizeof(msg), sig), -1);
}

static void
test_digest(void **state)
{
	struct prekey pool[3] = {0};
	struct device_keys k = {.pool = pool, .first = 1, .count = 3, .cap = 3};
	uint8_t hash[20];

	(void)state;
	memcpy(k.identity, unhex(COMPANION_PUB, 32), 32);
	memcpy(k.skey_pub,
	    unhex("0233f006ef4bed144ea0a5bb46c7067c7c2acec5f8cc811f3df59fdcd5ac7614", 32), 32);
	memcpy(k.skey_sig,
	    unhex("c02b37b0f7e2a59220b5f6d95b7a1749d38e4cf79fb52a73f95bd653f9bf5b2e"
		  "2d984f62e43d671a7036f6224b7f6246f4901b447852222872365e7752fcc482",
		64),
	    64);
	/* the first of the pool was handed out: it does not count */
	memcpy(pool[1].pub, unhex(CE_PUB, 32), 32);
	memcpy(pool[2].pub, unhex(PE_PUB, 32), 32);
	prekeys_digest_hash(&k, hash);
	assert_memory_equal(hash, unhex("fd2a20a5e47b20671d6deeeec8977dd20f01b5b6", 20), 20);
}

static void
test_phash(void **state)
{
	static const struct {
		const char *jids[2];
		const char *hash;
	} cases[] = {{{"5511999999999:3@s.whatsapp.net", NULL}, "2:5s+YxCff"},
	    {{"5511999999999@s.whatsapp.net", NULL}, "2:RJWVxcMQ"},
	    {{"5511988887777:14@s.whatsapp.net", "7469250125917:21@s.whatsapp.net"}, "2:AAv/hwhn"},
	    {{"7469250125917:21@s.whatsapp.net", "5511988887777:14@s.whatsapp.net"}, "2:AAv/hwhn"}};
	struct jid set[2];
	char out[16];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = 0;

		for (; n < 2 && cases[i].jids[n] != NULL; n++)
			assert_int_equal(jid_parse(cases[i].jids[n], &set[n]), 0);
		account_phash_jids(set, n, out);
		assert_string_equal(out, cases[i].hash);
	}
}

static void
test_qr(void **state)
{
#define KEYS                                                                                       \
	"JE/juWPomd0pW6/"                                                                          \
	"84kjTUw86mnR5ugYwAmgOv+etrUk=,TSe87jE1xJRLKNJ92Amwe+EMNRYNIBMcqn6FV1SY0Hw=,"              \
	"0NHS09TV1tfY2drb3N3e3+Dh4uPk5ebn6Onq6+zt7u8="
	static const struct {
		const char *qr, *ref;
	} cases[] = {{"https://wa.me/settings/linked_devices#2@refref," KEYS ",1", "2@refref"},
	    {"2@refref," KEYS ",1", "2@refref"}, {"2@refref," KEYS, "2@refref"},
	    {"2@ref,with,commas," KEYS ",9", "2@ref,with,commas"},
	    {"2@refref," KEYS ",1\n", "2@refref"}, {KEYS ",1", NULL}, {"", NULL},
	    {"nonsense", NULL}, {",,,,", NULL},
	    {"2@r,JE/juWPomd0pW6/84kjTUw86mnR5ugYwAmgOv+etrU=,x,y,1", NULL}};
	char ref[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r = phone_qr_ref(cases[i].qr, ref, sizeof(ref));

		assert_int_equal(r, cases[i].ref == NULL ? -1 : 0);
		if (r == 0)
			assert_string_equal(ref, cases[i].ref);
	}
}

static int
setup(void **state)
{
	(void)state;
	rng_seed(1);
	crypt_init();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	crypt_fini();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_code_text),
	    cmocka_unit_test(test_code_wrap),
	    cmocka_unit_test(test_code_bundle),
	    cmocka_unit_test(test_account_signature),
	    cmocka_unit_test(test_digest),
	    cmocka_unit_test(test_phash),
	    cmocka_unit_test(test_qr),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
