/* Pairing: the container of pair-success, device identities of others, the code (protocol page 03,
 * section 11). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "common/pb.h"
#include "common/proto/adv.pb-c.h"
#include "keyd/adv.h"
#include "keyd/bounds.h"
#include "keyd/core.h"
#include "keyd/crypto.h"
#include "keyd/curve.h"
#include "keyd/paircode.h"

static const char identity_priv[] =
    "1112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30";
static const char identity_pub[] =
    "4d27bcee3135c4944b28d27dd809b07be10c35160d20131caa7e85575498d07c";
static const char primary_pub[] =
    "5f09b7f97a40b50220697064b43b27411b07a4aa1fe05370b27519826983d30d";
static const char adv_secret[] = "d0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeef";

/* the two examples of pair-success */
static const struct example {
	const char *details, *account_sig, *hmac, *device_sig;
	int hosted;
} ordinary = {"08f8acd191011080e2cfaa061805",
    "382dd6d67c4cece7c5e57338b7bcd91e5acf95e3f91b0fb0e618ff113c1906f0"
    "242e1e1263f22e1f1eae322332d83959ede923220659ac8a5203579600d3408c",
    "cfa09983d1be39104ad9a022e79cc79d05839c906b64e65271790101a158618c",
    "6a038529f6dbdd7cc11e42aadcc79a93b228e31ed16f35a805f8e2423284b840"
    "47973a50de09f5b53a2c35c0f82305f9afd214887aaf39794708d4284618ba86",
    0},
  hosted = {"08f8acd191011080e2cfaa0618052801",
      "551e87f86f45fd5dc663ed088e35a131e45faa867522cd846f9dd5fb298b2a85"
      "bdd8558ea4f0d812454ad60b68b319d8da8fb8df9cdc28ebe3ee62522c9a0c88",
      "2e99133e4388c0e91c9ed504dfbc68e112758090fa27c2a15156f0fdfa2bfef9",
      "bf2cb4034c75cc081760c759f875cd85380c77cd72fb2fc1bd97785e073bc9e3"
      "efbc7eeac9f8138e27a0a822b8f2c6d18cf83a2518d172fd06f99fcd5d7c2280",
      1};

static size_t
unhex(const char *hex, uint8_t *out, size_t max)
{
	size_t len = 0;

	assert_int_equal(sodium_hex2bin(out, max, hex, strlen(hex), NULL, &len, NULL), 0);
	return len;
}

static void
private_key(const char *hex, uint8_t out[32])
{
	unhex(hex, out, 32);
	out[0] &= 248;
	out[31] = (uint8_t)((out[31] & 127) | 64);
}

/* A container as a phone makes it, with what a test wants to be wrong in it. */
struct container {
	uint8_t details[64], account_sig[64], account_key[64], hmac[64];
	size_t ndetails, nsig, nkey, nhmac;
	int has_type, type; /* of the container */
	int sign_hmac;      /* make the MAC anew, over what is in it now */
};

static void
container_from(struct container *c, const struct example *e)
{
	memset(c, 0, sizeof(*c));
	c->ndetails = unhex(e->details, c->details, sizeof(c->details));
	c->nsig = unhex(e->account_sig, c->account_sig, 64);
	c->nkey = unhex(primary_pub, c->account_key, 64);
	c->nhmac = unhex(e->hmac, c->hmac, 64);
	c->has_type = c->type = e->hosted;
}

static uint8_t *
container_pack(struct container *c, size_t *len)
{
	Adv__ADVSignedDeviceIdentity si = ADV__ADVSIGNED_DEVICE_IDENTITY__INIT;
	Adv__ADVSignedDeviceIdentityHMAC h = ADV__ADVSIGNED_DEVICE_IDENTITY_HMAC__INIT;
	uint8_t secret[32], *inner, *packed;
	static const uint8_t prefix[2] = {6, 5};
	struct crypto_part parts[2] = {{prefix, c->type == 1 ? 2 : 0}, {NULL, 0}};

	si.has_details = si.has_account_signature = si.has_account_signature_key = 1;
	si.details.data = c->details;
	si.details.len = c->ndetails;
	si.account_signature.data = c->account_sig;
	si.account_signature.len = c->nsig;
	si.account_signature_key.data = c->account_key;
	si.account_signature_key.len = c->nkey;
	inner = pb_pack(&si.base, &parts[1].len);
	parts[1].data = inner;
	if (c->sign_hmac) {
		unhex(adv_secret, secret, 32);
		crypto_hmac256(secret, 32, parts, 2, c->hmac);
	}
	h.has_details = h.has_hmac = 1;
	h.details.data = inner;
	h.details.len = parts[1].len;
	h.hmac.data = c->hmac;
	h.hmac.len = c->nhmac;
	h.has_account_type = c->has_type;
	h.account_type = (Adv__ADVEncryptionType)c->type;
	packed = pb_pack(&h.base, len);
	free(inner);
	return packed;
}

static enum adv_outcome
open_container(struct container *c, struct adv_link *l)
{
	uint8_t secret[32], priv[32], pub[32];
	struct adv_self self = {secret, priv, pub};
	enum adv_outcome o;
	uint8_t *packed;
	size_t len;

	memset(l, 0, sizeof(*l));
	unhex(adv_secret, secret, 32);
	private_key(identity_priv, priv);
	unhex(identity_pub, pub, 32);
	packed = container_pack(c, &len);
	o = adv_open_container(&self, packed, len, l);
	free(packed);
	return o;
}

static void
check_example(const struct example *e)
{
	static const uint8_t device_prefix[2] = {6, 1};
	struct container c;
	struct adv_link l;
	Adv__ADVSignedDeviceIdentity *si;
	struct pb_arena *a = pb_arena_new(1 << 16);
	uint8_t pub[32], primary[32], sig[64];
	struct buf msg = BUF_INIT;

	container_from(&c, e);
	assert_int_equal(open_container(&c, &l), ADV_OK);
	assert_int_equal(l.key_index, 5);
	unhex(primary_pub, primary, 32);
	unhex(identity_pub, pub, 32);
	assert_memory_equal(l.account_key, primary, 32);

	/* what the device signature must cover; the example's own, made with other randomness,
	 * holds too */
	buf_put(&msg, device_prefix, 2);
	buf_put(&msg, c.details, c.ndetails);
	buf_put(&msg, pub, 32);
	buf_put(&msg, primary, 32);
	unhex(e->device_sig, sig, 64);
	assert_int_equal(curve_check(pub, msg.data, msg.len, sig), 1);

	si = pb_unpack(&adv__advsigned_device_identity__descriptor, l.complete.data, l.complete.len,
	    a, PB_STRICT, NULL);
	assert_non_null(si);
	assert_true(si->has_account_signature_key);
	assert_memory_equal(si->account_signature_key.data, primary, 32);
	assert_int_equal(curve_check(pub, msg.data, msg.len, si->device_signature.data), 1);

	si = pb_unpack(&adv__advsigned_device_identity__descriptor, l.answer.data, l.answer.len, a,
	    PB_STRICT, NULL);
	assert_non_null(si);
	assert_false(si->has_account_signature_key); /* the service does not get it */
	assert_int_equal(si->details.len, c.ndetails);
	assert_memory_equal(si->details.data, c.details, c.ndetails);
	assert_memory_equal(si->account_signature.data, c.account_sig, 64);
	assert_int_equal(curve_check(pub, msg.data, msg.len, si->device_signature.data), 1);

	adv_link_clear(&l);
	buf_clear(&msg);
	pb_arena_free(a);
}

static void
test_pair_success(void **state)
{
	check_example(&ordinary);
	check_example(&hosted);
}

#define REFUSED(name, change, want)                                                                \
	do {                                                                                       \
		container_from(&c, &ordinary);                                                     \
		change;                                                                            \
		if ((o = open_container(&c, &l)) != (want))                                        \
			fail_msg("%s: outcome %d instead of %d", name, o, want);                   \
		if ((want) != ADV_OK)                                                              \
			assert_int_equal(l.complete.len + l.answer.len, 0);                        \
		adv_link_clear(&l);                                                                \
	} while (0)

static void
test_pair_success_refusals(void **state)
{
	struct container c;
	struct adv_link l;
	enum adv_outcome o;

	REFUSED("MAC changed", c.hmac[31] ^= 1, ADV_BAD_HMAC);
	REFUSED("MAC too short", c.nhmac = 31, ADV_BAD_HMAC);
	REFUSED("MAC too long", c.nhmac = 33, ADV_BAD_HMAC);
	REFUSED("no MAC", c.nhmac = 0, ADV_BAD_HMAC);
	REFUSED("details changed", c.details[8] ^= 1, ADV_BAD_HMAC);
	REFUSED("said to be hosted, MAC is not", c.has_type = c.type = 1, ADV_BAD_HMAC);
	c.sign_hmac = 1;
	REFUSED("the MAC made anew", c.sign_hmac = 1, ADV_OK);
	REFUSED("signature changed", (c.account_sig[5] ^= 1, c.sign_hmac = 1), ADV_BAD_SIGNATURE);
	REFUSED("details changed, MAC made anew", (c.details[8] ^= 1, c.sign_hmac = 1),
	    ADV_BAD_SIGNATURE);
	REFUSED("key index of the phone", (c.details[13] = 0, c.sign_hmac = 1), ADV_BAD_FORMAT);
	REFUSED("another account key", (c.account_key[5] ^= 1, c.sign_hmac = 1), ADV_BAD_SIGNATURE);
	REFUSED("account key too short", (c.nkey = 31, c.sign_hmac = 1), ADV_BAD_SIGNATURE);
	REFUSED("account key too long", (c.nkey = 33, c.sign_hmac = 1), ADV_BAD_SIGNATURE);
	REFUSED("no signature", (c.nsig = 0, c.sign_hmac = 1), ADV_BAD_SIGNATURE);
	REFUSED("signature too short", (c.nsig = 63, c.sign_hmac = 1), ADV_BAD_SIGNATURE);
	REFUSED("details do not parse", (memset(c.details, 0xff, c.ndetails), c.sign_hmac = 1),
	    ADV_BAD_FORMAT);
	/* the ordinary signature under hosted details and the reverse */
	container_from(&c, &hosted);
	unhex(ordinary.account_sig, c.account_sig, 64);
	c.sign_hmac = 1;
	assert_int_equal(open_container(&c, &l), ADV_BAD_SIGNATURE);
	adv_link_clear(&l);
}

static void
test_container_bytes(void **state)
{
	uint8_t secret[32], priv[32], pub[32], big[ADV_CONTAINER_MAX + 1] = {0};
	struct adv_self self = {secret, priv, pub};
	struct container c;
	struct adv_link l = {.key_index = 0};
	uint8_t *packed;
	size_t len, i;

	unhex(adv_secret, secret, 32);
	private_key(identity_priv, priv);
	unhex(identity_pub, pub, 32);
	container_from(&c, &ordinary);
	packed = container_pack(&c, &len);
	for (i = 0; i < len; i++) /* cut anywhere */
		assert_int_not_equal(adv_open_container(&self, packed, i, &l), ADV_OK);
	for (i = 0; i < len; i++) { /* changed anywhere */
		packed[i] ^= 0x10;
		assert_int_not_equal(adv_open_container(&self, packed, len, &l), ADV_OK);
		packed[i] ^= 0x10;
	}
	assert_int_equal(adv_open_container(&self, big, sizeof(big), &l), ADV_BAD_FORMAT);
	secret[0] ^= 1; /* the QR that was scanned had an older secret */
	assert_int_equal(adv_open_container(&self, packed, len, &l), ADV_BAD_HMAC);
	adv_link_clear(&l);
	free(packed);
}

/* ---------------------------------------------------------------- device identities of others */

static void
test_check_device(void **state)
{
	static const struct {
		uint8_t account[2], device[2];
		enum adv_check want, own; /* own: if the account key is its own */
	} families[] = {
	    {{6, 0}, {6, 1}, ADV_VALID, ADV_OTHER},
	    {{6, 5}, {6, 6}, ADV_VALID, ADV_OTHER},
	    {{6, 0}, {6, 6}, ADV_INVALID, ADV_INVALID}, /* across families */
	    {{6, 5}, {6, 1}, ADV_INVALID, ADV_INVALID},
	    {{6, 1}, {6, 0}, ADV_INVALID, ADV_INVALID},
	};
	uint8_t dpriv[32], dpub[32], apriv[32], apub[32], other[32], asig[64], dsig[64],
	    details[] = {8, 1};
	Adv__ADVSignedDeviceIdentity si;
	struct buf m = BUF_INIT;
	uint8_t *packed;
	size_t len, i;

	curve_pair(dpriv, dpub);
	curve_pair(apriv, apub);
	curve_pair(other, other);
	for (i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		buf_reset(&m);
		buf_put(&m, families[i].account, 2);
		buf_put(&m, details, 2);
		buf_put(&m, dpub, 32);
		assert_int_equal(curve_sign(apriv, m.data, m.len, asig), 0);
		buf_put(&m, apub, 32);
		memcpy(m.data, families[i].device, 2);
		assert_int_equal(curve_sign(dpriv, m.data, m.len, dsig), 0);
		adv__advsigned_device_identity__init(&si);
		si.has_details = si.has_account_signature = si.has_device_signature = 1;
		si.details.data = details;
		si.details.len = 2;
		si.account_signature.data = asig;
		si.device_signature.data = dsig;
		si.account_signature.len = si.device_signature.len = 64;
		packed = pb_pack(&si.base, &len); /* without the account key */
		assert_int_equal(adv_check_device(packed, len, dpub, NULL), ADV_NO_KEY);
		assert_int_equal(adv_check_device(packed, len, dpub, apub), families[i].want);
		assert_int_equal(adv_check_device(packed, len, dpub, other), ADV_INVALID);
		assert_int_equal(adv_check_device(packed, len, other, apub), ADV_INVALID);
		free(packed);
		si.has_account_signature_key = 1;
		si.account_signature_key.data = apub;
		si.account_signature_key.len = 32;
		packed = pb_pack(&si.base, &len);
		assert_int_equal(adv_check_device(packed, len, dpub, apub), families[i].want);
		assert_int_equal(adv_check_device(packed, len, dpub, NULL), families[i].own);
		assert_int_equal(adv_check_device(packed, len, dpub, other), families[i].own);
		assert_int_equal(adv_check_device(packed, len - 1, dpub, NULL), ADV_INVALID);
		free(packed);
	}
	assert_int_equal(adv_check_device((const uint8_t *)"", 0, dpub, apub), ADV_INVALID);
	buf_clear(&m);
}

/* ---------------------------------------------------------------- the code */

static void
test_code_alphabet(void **state)
{
	static const struct {
		const char *bytes, *code;
	} rows[] = {{"0000000000", "11111111"}, {"ffffffffff", "ZZZZZZZZ"},
	    {"0102030405", "15217216"}, {"deadbeef99", "VTPVXVWS"}};
	static const struct {
		const char *code;
		int good;
	} valid[] = {{"ABCDEFGH", 1}, {"12345678", 1}, {"ZZZZZZZZ", 1}, {"ABCDEFG", 0},
	    {"ABCDEFGHJ", 0}, {"", 0}, {"ABCD-EFG", 0}, {"abcdefgh", 0}, {"ABCDEFG0", 0},
	    {"ABCDEFGI", 0}, {"OBCDEFGH", 0}, {"ABCDUFGH", 0}};
	Keyd__PairCode q = KEYD__PAIR_CODE__INIT;
	uint8_t bytes[5];
	char code[PAIRCODE_LEN + 1];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unhex(rows[i].bytes, bytes, 5);
		paircode_from_bytes(bytes, code);
		assert_string_equal(code, rows[i].code);
		assert_int_equal(strspn(code, paircode_alphabet), PAIRCODE_LEN);
	}
	q.account = pb_str("main");
	for (i = 0; i < sizeof(valid) / sizeof(valid[0]); i++) {
		q.code = pb_str(valid[i].code);
		if ((bounds_check(&q.base) == NULL) != valid[i].good)
			fail_msg("%s", valid[i].code);
	}
}

static void
test_code_wrapping(void **state)
{
	static const struct {
		const char *salt, *iv, *key, *pub, *wrapped;
	} rows[] = {
	    {"0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
		"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
		"0db7c31840031a03c1d2a47cc93d37c61a780fad51595e41020ad9bdebef360e",
		"d214723afdfe2cddbdc929b18a5e43017e44445fc5d6c8fcf88b1868c53f395c",
		"318bca59f1f79597fcf5a40933948b02a8dc408b850016a5706107ee5ebb0cb5"},
	    {"2122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f40",
		"b0b1b2b3b4b5b6b7b8b9babbbcbdbebf",
		"5700eef2c4eac5fd4b7bc34ef93b8cb006568271bee143e3dd4e03bcec84570d",
		"9cced751b301bbd16c4fb8deddd82f18925d71ed90c844fa0158f845b0fa7f4b",
		"8ca71538c75360ec5a239eba06503cca854befe9fe30d4d326ca7c81393eabf2"},
	};
	uint8_t salt[32], iv[16], key[32], pub[32], want[32], out[PAIRCODE_WRAPPED], back[32];
	size_t i;

	for (i = 0; i < 2; i++) {
		unhex(rows[i].salt, salt, 32);
		unhex(rows[i].iv, iv, 16);
		unhex(rows[i].pub, pub, 32);
		unhex(rows[i].key, want, 32);
		crypto_pbkdf2("ABCDEFGH", 8, salt, PAIRCODE_ROUNDS, key);
		assert_memory_equal(key, want, 32);
		paircode_wrap("ABCDEFGH", salt, iv, pub, out);
		unhex(rows[i].wrapped, want, 32);
		assert_memory_equal(out, salt, 32);
		assert_memory_equal(out + 32, iv, 16);
		assert_memory_equal(out + 48, want, 32);
		paircode_unwrap("ABCDEFGH", out, back);
		assert_memory_equal(back, pub, 32);
		paircode_unwrap("ABCDEFGJ", out, back);
		assert_memory_not_equal(back, pub, 32);
	}
}

static void
test_code_bundle(void **state)
{
	static const char e_priv[] =
	    "7172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f90";
	static const char primary_e[] =
	    "9cced751b301bbd16c4fb8deddd82f18925d71ed90c844fa0158f845b0fa7f4b";
	static const char salt[] =
	    "c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0";
	static const char iv[] = "e0e1e2e3e4e5e6e7e8e9eaeb";
	static const char random[] =
	    "e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff00";
	static const char sealed[] = "7a6175836024ee62819003da8c1e3501a204985ad057a5ad960dcf98f5a81"
				     "6fd5e5fd1625a5d56325b18cc3b10509e25"
				     "6344d7e1e2e1adb653b0dddcf1493eaa244d4f92efe0eeb8d4190c9ce4d51"
				     "cacc629a89b118d23080b82a84214075ea5"
				     "d3c8128a19524ae98fd0c2cf79377d80";
	static const char secret[] =
	    "d3986256aa43afcad8447fe02ae1834791bb6ed35c07673b39bc2ce6a43a04d6";
	uint8_t e[32], ip[32], iu[32], pe[32], pi[32], bundle[PAIRCODE_BUNDLE], adv[32],
	    want[PAIRCODE_BUNDLE];
	struct paircode_finish in = {e, ip, iu, pe, pi};
	struct paircode_random r;

	unhex(e_priv, e, 32);
	private_key(identity_priv, ip);
	unhex(identity_pub, iu, 32);
	unhex(primary_e, pe, 32);
	unhex(primary_pub, pi, 32);
	unhex(salt, r.salt, 32);
	unhex(iv, r.iv, 12);
	unhex(random, r.random, 32);
	assert_int_equal(paircode_bundle(&in, &r, bundle, adv), 0);
	unhex(salt, want, 32);
	unhex(iv, want + 32, 12);
	unhex(sealed, want + 44, 112);
	assert_memory_equal(bundle, want, PAIRCODE_BUNDLE);
	unhex(secret, want, 32);
	assert_memory_equal(adv, want, 32);
	/* shared secrets that are zero */
	memset(pe, 0, 32);
	assert_int_equal(paircode_bundle(&in, &r, bundle, adv), -1);
	unhex(primary_e, pe, 32);
	memset(pi, 0, 32);
	pi[0] = 1;
	assert_int_equal(paircode_bundle(&in, &r, bundle, adv), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_pair_success),
	    cmocka_unit_test(test_pair_success_refusals),
	    cmocka_unit_test(test_container_bytes),
	    cmocka_unit_test(test_check_device),
	    cmocka_unit_test(test_code_alphabet),
	    cmocka_unit_test(test_code_wrapping),
	    cmocka_unit_test(test_code_bundle),
	};

	(void)core_warm_up();
	return cmocka_run_group_tests_name("keyd: pairing", tests, NULL, NULL);
}
