/* Sealed records: what a hostile store may do with them, what a failed unit undoes; and the
 * keyring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include "keyd/counter.h"
#include "keyd/device.h"
#include "keyd/keyring.h"
#include "keyd/vault.h"

static const uint8_t key_a[32] = {1}, key_b[32] = {2};

/* ---------------------------------------------------------------- seals */

static void
test_seal_binds_everything(void **state)
{
	static const struct vault_id id = {"main", 3, "1/123_1:5", 7};
	static const struct {
		struct vault_id id;
		const char *why;
	} wrong[] = {
	    {{"other", 3, "1/123_1:5", 7}, "account"},
	    {{"main", 4, "1/123_1:5", 7}, "domain"},
	    {{"main", 3, "1/123_1:6", 7}, "name"},
	    {{"main", 3, "2/123_1:5", 7}, "generation"},
	    {{"main", 3, "1/123_1:5", 6}, "an older version"},
	    {{"main", 3, "1/123_1:5", 8}, "a newer version"},
	    {{"main1", 3, "/123_1:5", 7}, "a byte moved from name to account"},
	    {{"mai", 3, "n1/123_1:5", 7}, "a byte moved from account to name"},
	};
	struct buf sealed = BUF_INIT, plain = BUF_INIT;
	size_t i;

	assert_int_equal(vault_seal(key_a, &id, "secret", 6, &sealed), 0);
	assert_int_equal(sealed.len, 6 + VAULT_OVERHEAD);
	assert_null(memmem(sealed.data, sealed.len, "secret", 6));
	assert_int_equal(vault_unseal(key_a, &id, sealed.data, sealed.len, &plain), 0);
	assert_int_equal(plain.len, 6);
	assert_memory_equal(plain.data, "secret", 6);
	buf_reset(&plain);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (vault_unseal(key_a, &wrong[i].id, sealed.data, sealed.len, &plain) == 0)
			fail_msg("opens although another: %s", wrong[i].why);
	assert_int_equal(vault_unseal(key_b, &id, sealed.data, sealed.len, &plain), -1);
	for (i = 0; i < sealed.len; i++) {
		assert_int_equal(vault_unseal(key_a, &id, sealed.data, i, &plain), -1);
		sealed.data[i] ^= 0x40;
		assert_int_equal(vault_unseal(key_a, &id, sealed.data, sealed.len, &plain), -1);
		sealed.data[i] ^= 0x40;
	}
	assert_int_equal(plain.len, 0);
	buf_clear(&sealed);
	buf_clear(&plain);
}

static void
test_seal_never_repeats(void **state)
{
	static const struct vault_id id = {"main", 3, "x", 1};
	struct buf a = BUF_INIT, b = BUF_INIT;

	assert_int_equal(vault_seal(key_a, &id, "same", 4, &a), 0);
	assert_int_equal(vault_seal(key_a, &id, "same", 4, &b), 0);
	assert_memory_not_equal(a.data + 1, b.data + 1, 24);
	buf_clear(&a);
	buf_clear(&b);
}

static void
test_seal_length_bound(void **state)
{
	static const struct vault_id id = {"main", 3, "x", 1};
	uint8_t *big = calloc(1, VAULT_PLAIN_MAX + 1);
	struct buf out = BUF_INIT;

	assert_int_equal(vault_seal(key_a, &id, big, VAULT_PLAIN_MAX, &out), 0);
	assert_int_equal(out.len, VAULT_SEALED_MAX);
	assert_int_equal(vault_seal(key_a, &id, big, VAULT_PLAIN_MAX + 1, &out), -1);
	buf_clear(&out);
	free(big);
}

/* ---------------------------------------------------------------- entries and units */

/* What stored has, and a vault beside it. */
struct bench {
	struct vault *v;
};

static void
setup(struct bench *b, size_t cache)
{
	b->v = vault_new(cache);
	vault_account(b->v, 0, "main", key_a);
	vault_account(b->v, 1, "other", key_b);
}

static struct buf
sealed_for(const uint8_t key[32], const char *account, const char *name, uint64_t version,
    const char *text)
{
	const struct vault_id id = {account, 3, name, version};
	struct buf out = BUF_INIT;

	assert_int_equal(vault_seal(key, &id, text, strlen(text), &out), 0);
	return out;
}

static void
give(struct bench *b, struct entry *e, const char *name, uint64_t version, const char *text)
{
	struct buf s = sealed_for(key_a, "main", name, version == 0 ? 1 : version, text);

	vault_asked(e);
	assert_int_equal(e->state, VAULT_ASKED);
	vault_fill(b->v, e, version, s.data, s.len);
	buf_clear(&s);
}

static void
expect(struct bench *b, struct entry *e, const char *text)
{
	struct buf out = BUF_INIT;

	assert_int_equal(vault_open(b->v, e, &out), 1);
	assert_int_equal(out.len, strlen(text));
	assert_memory_equal(out.data, text, out.len);
	buf_clear(&out);
}

static void
test_entry_life(void **state)
{
	struct bench b;
	struct entry *e;
	struct buf out = BUF_INIT;

	setup(&b, 1 << 20);
	e = vault_pin(b.v, 0, 3, "a");
	assert_int_equal(e->state, VAULT_UNKNOWN);
	assert_int_equal(vault_open(b.v, e, &out), -1);
	give(&b, e, "a", 0, "");
	assert_int_equal(e->state, VAULT_ABSENT);
	assert_int_equal(vault_open(b.v, e, &out), 0);
	assert_int_equal(vault_put(b.v, e, 9, "one", 3), 0);
	assert_int_equal(e->version, 1);
	assert_int_equal(vault_put(b.v, e, 9, "two", 3), 0);
	assert_int_equal(e->version, 2);
	expect(&b, e, "two");
	assert_int_equal(vault_unit_done(b.v, 0, 9, 1), 0);
	assert_int_equal(vault_unit_done(b.v, 0, 9, 1), -1);
	expect(&b, e, "two");
	vault_unpin(b.v, e);
	assert_ptr_equal(vault_pin(b.v, 0, 3, "a"), e); /* cached */
	expect(&b, e, "two");
	assert_ptr_not_equal(vault_pin(b.v, 1, 3, "a"), e); /* of another account */
	buf_clear(&out);
	vault_free(b.v);
}

/* Swapped, of another account, rolled back, removed: each is noticed. */
static void
test_hostile_store(void **state)
{
	struct bench b;
	struct entry *e;
	struct buf s, out = BUF_INIT;
	uint64_t damaged = counters[COUNT_RECORDS_DAMAGED];
	uint64_t rolled = counters[COUNT_RECORDS_ROLLED_BACK];

	setup(&b, 0); /* evicts at once, remembers versions */
	e = vault_pin(b.v, 0, 3, "a");
	s = sealed_for(key_a, "main", "b", 4, "of another record");
	vault_asked(e);
	vault_fill(b.v, e, 4, s.data, s.len);
	assert_int_equal(vault_open(b.v, e, &out), -1);
	buf_clear(&s);
	vault_unpin(b.v, e);

	e = vault_pin(b.v, 0, 3, "a");
	s = sealed_for(key_a, "main", "a", 3, "older, said to be newer");
	vault_asked(e);
	vault_fill(b.v, e, 4, s.data, s.len);
	assert_int_equal(vault_open(b.v, e, &out), -1);
	buf_clear(&s);
	vault_unpin(b.v, e);
	assert_int_equal(counters[COUNT_RECORDS_DAMAGED], damaged + 2);

	e = vault_pin(b.v, 0, 3, "a");
	give(&b, e, "a", 4, "good");
	expect(&b, e, "good"); /* 4 is seen from here on */
	vault_unpin(b.v, e);
	e = vault_pin(b.v, 0, 3, "a");
	assert_int_equal(e->state, VAULT_UNKNOWN); /* evicted */
	give(&b, e, "a", 3, "rolled back");
	assert_int_equal(e->state, VAULT_FAILED);
	vault_retry(e);
	give(&b, e, "a", 0, "");
	assert_int_equal(e->state, VAULT_FAILED); /* said to be gone */
	vault_retry(e);
	give(&b, e, "a", 5, "newer");
	expect(&b, e, "newer");

	/* a record deleted in this run does not come back */
	assert_int_equal(vault_delete(b.v, e, 1), 0);
	vault_unpin(b.v, e);
	assert_int_equal(vault_unit_done(b.v, 0, 1, 1), 0);
	e = vault_pin(b.v, 0, 3, "a");
	give(&b, e, "a", 5, "again");
	assert_int_equal(e->state, VAULT_FAILED);
	assert_int_equal(counters[COUNT_RECORDS_ROLLED_BACK], rolled + 3);
	vault_retry(e);
	give(&b, e, "a", 0, "");
	assert_int_equal(e->state, VAULT_ABSENT);
	/* but a new one of that name may be made */
	assert_int_equal(vault_put(b.v, e, 2, "new", 3), 0);
	assert_int_equal(e->version, 1);
	assert_int_equal(vault_unit_done(b.v, 0, 2, 1), 0);
	vault_unpin(b.v, e);
	e = vault_pin(b.v, 0, 3, "a");
	give(&b, e, "a", 1, "new");
	expect(&b, e, "new");
	buf_clear(&out);
	vault_free(b.v);
}

/* A version that no record can have: accepted, it would wrap to 0 with the next write, and with it
 * what was seen would be forgotten. */
static void
test_absurd_version(void **state)
{
	static const uint64_t versions[] = {UINT64_MAX, UINT64_MAX - 1, (uint64_t)INT64_MAX + 1};
	struct bench b;
	struct entry *e;
	size_t i;

	setup(&b, 0);
	e = vault_pin(b.v, 0, 3, "a");
	for (i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		give(&b, e, "a", versions[i], "x");
		assert_int_equal(e->state, VAULT_FAILED);
		vault_retry(e);
	}
	give(&b, e, "a", INT64_MAX, "x");
	assert_int_equal(e->state, VAULT_HERE);
	vault_unpin(b.v, e);
	vault_free(b.v);
}

/* Two units on top of each other, said to be committed in the wrong order: the older version that
 * stored could give then is refused all the same, and so is a record that was deleted. */
static void
test_order_of_commits(void **state)
{
	struct bench b;
	struct entry *e;

	setup(&b, 0);
	e = vault_pin(b.v, 0, 3, "a");
	give(&b, e, "a", 4, "four");
	assert_int_equal(vault_put(b.v, e, 10, "five", 4), 0);
	assert_int_equal(vault_put(b.v, e, 11, "six", 3), 0);
	vault_unpin(b.v, e);
	assert_int_equal(vault_unit_done(b.v, 0, 11, 1), 0);
	assert_int_equal(vault_unit_done(b.v, 0, 10, 1), 0);
	e = vault_pin(b.v, 0, 3, "a");
	give(&b, e, "a", 5, "five");
	assert_int_equal(e->state, VAULT_FAILED);
	vault_retry(e);
	give(&b, e, "a", 6, "six");
	assert_int_equal(vault_put(b.v, e, 12, "seven", 5), 0);
	assert_int_equal(vault_delete(b.v, e, 13), 0);
	vault_unpin(b.v, e);
	assert_int_equal(vault_unit_done(b.v, 0, 13, 1), 0);
	assert_int_equal(vault_unit_done(b.v, 0, 12, 1), 0);
	e = vault_pin(b.v, 0, 3, "a");
	give(&b, e, "a", 7, "seven");
	assert_int_equal(e->state, VAULT_FAILED);
	vault_unpin(b.v, e);
	vault_free(b.v);
}

static void
test_failed_unit(void **state)
{
	struct bench b;
	struct entry *e, *other;

	setup(&b, 1 << 20);
	e = vault_pin(b.v, 0, 3, "a");
	give(&b, e, "a", 4, "four");
	assert_int_equal(vault_put(b.v, e, 10, "five", 4), 0);
	assert_int_equal(vault_unit_done(b.v, 0, 10, 0), 0);
	assert_int_equal(e->state, VAULT_UNKNOWN);
	give(&b, e, "a", 4, "four"); /* the unit's version was never seen: 4 is no rollback */
	expect(&b, e, "four");

	/* a unit that built on one that failed: nobody else may write meanwhile */
	assert_int_equal(vault_put(b.v, e, 11, "five", 4), 0);
	assert_int_equal(vault_put(b.v, e, 12, "six", 3), 0);
	other = vault_pin(b.v, 0, 3, "untouched");
	give(&b, other, "untouched", 1, "x");
	assert_int_equal(vault_put(b.v, other, 13, "y", 1), 0);
	assert_int_equal(vault_unit_done(b.v, 0, 11, 0), 0);
	assert_int_equal(e->state, VAULT_BLOCKED);
	assert_int_equal(vault_unit_doomed(b.v, 0, 12), 1);
	assert_int_equal(vault_unit_doomed(b.v, 0, 13), 0);
	assert_int_equal(vault_put(b.v, e, 14, "seven", 5), -1);
	vault_asked(e);
	assert_int_equal(e->state, VAULT_BLOCKED); /* nor be told what stored has now */
	assert_int_equal(vault_unit_done(b.v, 0, 12, 0), 0);
	assert_int_equal(e->state, VAULT_UNKNOWN);
	expect(&b, other, "y");
	assert_int_equal(vault_unit_done(b.v, 0, 13, 1), 0);
	expect(&b, other, "y");
	vault_free(b.v);
}

/* An answer that was on its way while a request wrote the record is older: ignored. */
static void
test_late_answer(void **state)
{
	struct bench b;
	struct entry *e;
	struct buf s = sealed_for(key_a, "main", "a", 1, "old");

	setup(&b, 1 << 20);
	e = vault_pin(b.v, 0, 3, "a");
	give(&b, e, "a", 1, "old");
	assert_int_equal(vault_put(b.v, e, 1, "new", 3), 0);
	vault_fill(b.v, e, 1, s.data, s.len);
	expect(&b, e, "new");
	buf_clear(&s);
	vault_free(b.v);
}

static void
test_cache_bound(void **state)
{
	struct bench b;
	struct entry *e, *pinned, *pending;
	char name[32], *text = calloc(1, 4096);
	int i, gone = 0;

	memset(text, 'x', 4095);
	setup(&b, 256 * 1024);
	pinned = vault_pin(b.v, 0, 3, "pinned");
	give(&b, pinned, "pinned", 1, text);
	pending = vault_pin(b.v, 0, 3, "pending");
	give(&b, pending, "pending", 1, text);
	assert_int_equal(vault_put(b.v, pending, 1, text, 4095), 0);
	vault_unpin(b.v, pending);
	for (i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		e = vault_pin(b.v, 0, 3, name);
		give(&b, e, name, 1, text);
		vault_unpin(b.v, e);
		assert_true(vault_bytes(b.v) <= 256 * 1024 + 3 * 4096);
	}
	for (i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		e = vault_pin(b.v, 0, 3, name);
		gone += e->state == VAULT_UNKNOWN;
		if (i == 999)
			assert_int_equal(e->state, VAULT_HERE); /* the newest stays */
		vault_unpin(b.v, e);
	}
	assert_true(gone > 900);
	assert_int_equal(pinned->state, VAULT_HERE);
	assert_int_equal(pending->state, VAULT_HERE);
	expect(&b, pending, text);
	free(text);
	vault_free(b.v);
}

/* ---------------------------------------------------------------- keyring */

static struct keyring_source
source(enum keyring_kind kind, const char *text)
{
	struct keyring_source s;

	assert_null(keyring_parse(&s, kind, (const uint8_t *)text, strlen(text)));
	return s;
}

static void
test_keyring_parse(void **state)
{
	static const char hex[] =
	    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
	static const struct {
		enum keyring_kind kind;
		const char *text;
		size_t len;
		int good;
	} rows[] = {
	    {KEYRING_RAW, hex, 64, 1},
	    {KEYRING_RAW, "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF\n", 65,
		1},
	    {KEYRING_RAW, "01234567890123456789012345678901", 32, 1},
	    {KEYRING_RAW, "0123456789012345678901234567890\n", 32, 1},
	    {KEYRING_RAW, "", 0, 0},
	    {KEYRING_RAW, "0123456789012345678901234567890", 31, 0},
	    {KEYRING_RAW, "01234567890123456789012345678901\n", 33, 0},
	    {KEYRING_RAW, hex, 63, 0},
	    {KEYRING_RAW, "0x112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", 64,
		0},
	    {KEYRING_RAW, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n\n",
		66, 0},
	    {KEYRING_PASSPHRASE, "correct horse", 13, 1},
	    {KEYRING_PASSPHRASE, "seven7.", 7, 0},
	    {KEYRING_PASSPHRASE, "seven7.\n", 8, 0},
	    {KEYRING_PASSPHRASE, "", 0, 0},
	};
	struct keyring_source s;
	uint8_t big[1001];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if ((keyring_parse(&s, rows[i].kind, (const uint8_t *)rows[i].text, rows[i].len) ==
			NULL) != rows[i].good)
			fail_msg("row %zu", i);
	memset(big, 'a', sizeof(big));
	assert_null(keyring_parse(&s, KEYRING_PASSPHRASE, big, 1000));
	assert_non_null(keyring_parse(&s, KEYRING_PASSPHRASE, big, 1001));
	s = source(KEYRING_PASSPHRASE, "correct horse\n");
	assert_int_equal(s.len, 13);
}

static void
test_keyring_wrong_key(void **state)
{
	struct keyring_source a = source(KEYRING_RAW, "01234567890123456789012345678901");
	struct keyring_source b = source(KEYRING_RAW, "01234567890123456789012345678902");
	struct keyring_source p = source(KEYRING_PASSPHRASE, "correct horse");
	struct keyring_source q = source(KEYRING_PASSPHRASE, "correct house");
	uint8_t m1[32], m2[32];
	struct buf raw = BUF_INIT, pass = BUF_INIT;
	size_t i;

	assert_int_equal(keyring_new(&a, m1, &raw), 0);
	assert_int_equal(raw.len, KEYRING_HEADER_LEN);
	assert_null(keyring_open(&a, raw.data, raw.len, m2));
	assert_memory_equal(m1, m2, 32);
	assert_memory_equal(m1, "01234567890123456789012345678901", 32);
	assert_string_equal(keyring_open(&b, raw.data, raw.len, m2), "wrong_master_key");
	assert_true(sodium_is_zero(m2, 32));
	assert_string_equal(keyring_open(&p, raw.data, raw.len, m2), "wrong_master_key");
	for (i = 0; i < raw.len; i++) { /* no byte of the header can be changed unnoticed */
		raw.data[i] ^= 1;
		assert_non_null(keyring_open(&a, raw.data, raw.len, m2));
		raw.data[i] ^= 1;
		assert_string_equal(keyring_open(&a, raw.data, i, m2), "keyring");
	}

	assert_int_equal(keyring_new(&p, m1, &pass), 0);
	assert_null(keyring_open(&p, pass.data, pass.len, m2));
	assert_memory_equal(m1, m2, 32);
	assert_string_equal(keyring_open(&q, pass.data, pass.len, m2), "wrong_master_key");
	assert_string_equal(keyring_open(&a, pass.data, pass.len, m2), "wrong_master_key");
	/* weaker or absurd parameters are no header at all: operations at 5..8, KiB at 9..12 */
	pass.data[8] = 1;
	assert_string_equal(keyring_open(&p, pass.data, pass.len, m2), "keyring");
	pass.data[8] = 200;
	assert_string_equal(keyring_open(&p, pass.data, pass.len, m2), "keyring");
	pass.data[8] = 4;
	memset(pass.data + 9, 0, 4);
	assert_string_equal(keyring_open(&p, pass.data, pass.len, m2), "keyring");
	memset(pass.data + 9, 0x7f, 4);
	assert_string_equal(keyring_open(&p, pass.data, pass.len, m2), "keyring");
	buf_clear(&raw);
	buf_clear(&pass);
}

static void
test_keyring_derive(void **state)
{
	static const struct {
		const char *purpose, *account;
	} rows[] = {
	    {"vault", "a"}, {"vault", "b"}, {"database", "a"}, {"database", ""}, {"vault", ""}};
	uint8_t out[5][32], again[32];
	size_t i, j;

	for (i = 0; i < 5; i++) {
		keyring_derive(key_a, rows[i].purpose, rows[i].account, out[i]);
		for (j = 0; j < i; j++)
			assert_memory_not_equal(out[i], out[j], 32);
	}
	keyring_derive(key_a, "vault", "a", again);
	assert_memory_equal(again, out[0], 32);
	keyring_derive(key_b, "vault", "a", again);
	assert_memory_not_equal(again, out[0], 32);
}

/* ---------------------------------------------------------------- the device record */

static void
test_device_record(void **state)
{
	struct device d, e;
	struct buf b = BUF_INIT;
	size_t i;

	memset(&d, 0, sizeof(d));
	d.generation = 3;
	d.registration_id = 12345;
	randombytes_buf(d.noise_priv, 32);
	randombytes_buf(d.identity_priv, 32);
	randombytes_buf(d.adv_secret, 32);
	randombytes_buf(d.skey_sig, 64);
	d.skey_id = 1;
	assert_int_equal(device_encode(&d, &b), 0);
	assert_int_equal(device_decode(&e, b.data, b.len), 0);
	assert_memory_equal(&d, &e, sizeof(d));
	buf_reset(&b);
	d.linked = 1;
	strcpy(d.jid, "15551234567:7@s.whatsapp.net");
	strcpy(d.lid, "120363000000001:7@lid");
	d.key_index = 5;
	d.device_identity_len = DEVICE_IDENTITY_MAX;
	randombytes_buf(d.device_identity, sizeof(d.device_identity));
	assert_int_equal(device_encode(&d, &b), 0);
	assert_int_equal(device_decode(&e, b.data, b.len), 0);
	assert_memory_equal(&d, &e, sizeof(d));
	for (i = 0; i < b.len; i++)
		assert_int_equal(device_decode(&e, b.data, i), -1);
	buf_put_u8(&b, 0);
	assert_int_equal(device_decode(&e, b.data, b.len), -1); /* something left over */
	b.len--;
	b.data[0] = 2;
	assert_int_equal(device_decode(&e, b.data, b.len), -1); /* of a later version */
	b.data[0] = 1;
	b.data[1 + 4 + 4 + 128 + 4 + 32 + 64 + 32] = 2; /* "linked" is 0 or 1 */
	assert_int_equal(device_decode(&e, b.data, b.len), -1);
	buf_clear(&b);
}

/* ---------------------------------------------------------------- free */

/* What a library frees is wiped: looked at through the kernel, since the block is not ours any
 * more. */
static void
test_free_wipes(void **state)
{
#ifdef WARD_SANITIZED
	skip(); /* the sanitizer's own free runs */
#else
	static const char mark[] = "a key that a library forgot to wipe";
	uint8_t seen[3000];
	const char *preload = getenv("LD_PRELOAD");
	char *p;
	uintptr_t at;
	int fd;
	size_t i;

	if (preload != NULL && strstr(preload, "vgpreload") != NULL)
		skip(); /* so does valgrind's */
	p = malloc(3000);
	at = (uintptr_t)p;
	fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	assert_true(fd != -1);
	for (i = 0; i + sizeof(mark) <= 3000; i += sizeof(mark))
		memcpy(p + i, mark, sizeof(mark));
	assert_int_equal(pread(fd, seen, sizeof(seen), (off_t)at), sizeof(seen));
	assert_non_null(memmem(seen, sizeof(seen), mark, sizeof(mark)));
	free(p);
	assert_int_equal(pread(fd, seen, sizeof(seen), (off_t)at), sizeof(seen));
	assert_null(memmem(seen, sizeof(seen), mark, sizeof(mark)));
	close(fd);
#endif
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_seal_binds_everything),
	    cmocka_unit_test(test_seal_never_repeats),
	    cmocka_unit_test(test_seal_length_bound),
	    cmocka_unit_test(test_entry_life),
	    cmocka_unit_test(test_hostile_store),
	    cmocka_unit_test(test_absurd_version),
	    cmocka_unit_test(test_order_of_commits),
	    cmocka_unit_test(test_failed_unit),
	    cmocka_unit_test(test_late_answer),
	    cmocka_unit_test(test_cache_bound),
	    cmocka_unit_test(test_keyring_parse),
	    cmocka_unit_test(test_keyring_wrong_key),
	    cmocka_unit_test(test_keyring_derive),
	    cmocka_unit_test(test_device_record),
	    cmocka_unit_test(test_free_wipes),
	};

	if (sodium_init() == -1)
		return 1;
	return cmocka_run_group_tests_name("keyd: vault", tests, NULL, NULL);
}
