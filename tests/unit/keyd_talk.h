/* Two accounts of one keyd, Alice and Bob, who talk through the real verbs with a small stored
 * behind. */
#ifndef WARD_TEST_KEYD_TALK_H
#define WARD_TEST_KEYD_TALK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/keyd_bench.h"
#include "tests/unit/slow.h"

#define KEY "01234567890123456789012345678901"

static struct bench b;

#define ALICE ((char *)(uintptr_t) "alice")
#define BOB   ((char *)(uintptr_t) "bob")

static Keyd__Address address_of_alice, address_of_bob;

/* ---------------------------------------------------------------- verbs, in short */

static void
commit(const char *account, uint64_t unit)
{
	assert_int_equal(bench_commit(&b, account, unit, 1), 1);
	bench_settle(&b);
}

static const Keyd__DeviceState *
create(char *account)
{
	Keyd__DeviceCreate q = KEYD__DEVICE_CREATE__INIT;
	const Keyd__DeviceState *s;

	q.account = account;
	q.unit = ++b.unit;
	s = BENCH_ASK(&b, b.apid, DEVICE_CREATE, &q, DEVICE_STATE, device_state);
	assert_non_null(s);
	assert_int_equal(s->stages, 1);
	commit(account, b.unit);
	return s;
}

static const Keyd__PrekeysReply *
make_prekeys(char *account, uint32_t count, int retry, uint64_t unit)
{
	Keyd__PrekeysMake q = KEYD__PREKEYS_MAKE__INIT;

	q.account = account;
	q.unit = unit;
	q.count = count;
	q.has_retry = retry;
	q.retry = retry;
	return BENCH_ASK(&b, b.apid, PREKEYS_MAKE, &q, PREKEYS_REPLY, prekeys_reply);
}

/* A bundle of an account with its prekey i, or without one (-1). Copies: the reply goes away. */
struct bundle {
	Keyd__Bundle b;
	Keyd__SignedPrekey s;
	Keyd__Prekey p;
	uint8_t identity[32], spub[32], ssig[64], ppub[32];
};

static void
bundle_from(struct bundle *u, const Keyd__PrekeysReply *r, int i)
{
	keyd__bundle__init(&u->b);
	keyd__signed_prekey__init(&u->s);
	keyd__prekey__init(&u->p);
	memcpy(u->identity, r->identity_pub.data, 32);
	memcpy(u->spub, r->signed_prekey->pub.data, 32);
	memcpy(u->ssig, r->signed_prekey->signature.data, 64);
	u->b.registration_id = r->registration_id;
	u->b.identity = (ProtobufCBinaryData){32, u->identity};
	u->s.id = r->signed_prekey->id;
	u->s.pub = (ProtobufCBinaryData){32, u->spub};
	u->s.signature = (ProtobufCBinaryData){64, u->ssig};
	u->b.signed_prekey = &u->s;
	if (i < 0)
		return;
	memcpy(u->ppub, r->keys[i]->pub.data, 32);
	u->p.id = r->keys[i]->id;
	u->p.pub = (ProtobufCBinaryData){32, u->ppub};
	u->b.prekey = &u->p;
}

struct sealed_text {
	uint8_t bytes[4096];
	size_t len;
	int pkmsg;
	uint64_t unit;
};

static Keyd__EncryptResult__Outcome
encrypt(
    char *from, Keyd__Address *to, const char *text, Keyd__Bundle *bundle, struct sealed_text *out)
{
	Keyd__Encrypt q = KEYD__ENCRYPT__INIT;
	Keyd__EncryptItem item = KEYD__ENCRYPT_ITEM__INIT, *items[1] = {&item};
	ProtobufCBinaryData plain = {strlen(text), (uint8_t *)(uintptr_t)text};
	const Keyd__EncryptReply *r;

	q.account = from;
	q.unit = out->unit = ++b.unit;
	q.plaintexts = &plain;
	q.n_plaintexts = 1;
	q.items = items;
	q.n_items = 1;
	item.address = to;
	item.bundle = bundle;
	r = BENCH_ASK(&b, b.apid, ENCRYPT, &q, ENCRYPT_REPLY, encrypt_reply);
	assert_non_null(r);
	assert_int_equal(r->n_results, 1);
	if (r->results[0]->outcome != KEYD__ENCRYPT_RESULT__OUTCOME__DONE) {
		assert_int_equal(r->stages, 0);
		assert_false(r->results[0]->has_ciphertext);
		return r->results[0]->outcome;
	}
	assert_int_equal(r->stages, 1);
	assert_true(r->results[0]->ciphertext.len <= sizeof(out->bytes));
	out->len = r->results[0]->ciphertext.len;
	memcpy(out->bytes, r->results[0]->ciphertext.data, out->len);
	out->pkmsg = r->results[0]->pkmsg;
	return r->results[0]->outcome;
}

/* … and committed */
static void
send_text(
    char *from, Keyd__Address *to, const char *text, Keyd__Bundle *bundle, struct sealed_text *out)
{
	assert_int_equal(encrypt(from, to, text, bundle, out), KEYD__ENCRYPT_RESULT__OUTCOME__DONE);
	commit(from, out->unit);
}

static const Keyd__DecryptReply *
decrypt_unit(char *to, Keyd__Address *from, const struct sealed_text *t, size_t n, uint64_t unit)
{
	Keyd__Decrypt q = KEYD__DECRYPT__INIT;
	Keyd__DecryptItem item[16], *items[16];
	size_t i;

	for (i = 0; i < n; i++) {
		keyd__decrypt_item__init(&item[i]);
		item[i].address = from;
		item[i].kind =
		    t[i].pkmsg ? KEYD__DECRYPT_ITEM__KIND__PKMSG : KEYD__DECRYPT_ITEM__KIND__MSG;
		item[i].ciphertext =
		    (ProtobufCBinaryData){t[i].len, (uint8_t *)(uintptr_t)t[i].bytes};
		items[i] = &item[i];
	}
	q.account = to;
	q.unit = unit;
	q.items = items;
	q.n_items = n;
	return BENCH_ASK(&b, b.apid, DECRYPT, &q, DECRYPT_REPLY, decrypt_reply);
}

static Keyd__DecryptResult__Outcome
decrypt(char *to, Keyd__Address *from, const struct sealed_text *t, const char *want)
{
	const Keyd__DecryptReply *r = decrypt_unit(to, from, t, 1, ++b.unit);

	assert_non_null(r);
	assert_int_equal(r->n_results, 1);
	if (r->results[0]->outcome == KEYD__DECRYPT_RESULT__OUTCOME__DONE) {
		assert_int_equal(r->stages, 1);
		assert_int_equal(r->results[0]->plaintext.len, strlen(want));
		assert_memory_equal(r->results[0]->plaintext.data, want, strlen(want));
	} else {
		if (r->results[0]->outcome != KEYD__DECRYPT_RESULT__OUTCOME__DUPLICATE)
			assert_int_equal(r->stages, 0); /* a failure writes nothing */
		assert_false(r->results[0]->has_plaintext);
	}
	return r->results[0]->outcome;
}

static void __attribute__((unused))
receive(char *to, Keyd__Address *from, const struct sealed_text *t, const char *want)
{
	assert_int_equal(decrypt(to, from, t, want), KEYD__DECRYPT_RESULT__OUTCOME__DONE);
	commit(to, b.unit);
}

#define FAILS(to, from, t, want)                                                                   \
	assert_int_equal(decrypt(to, from, t, ""), KEYD__DECRYPT_RESULT__OUTCOME__##want)

static struct bundle of_alice, of_bob;

static int
setup(void **state)
{
	const Keyd__PrekeysReply *r;

	keyd__address__init(&address_of_alice);
	keyd__address__init(&address_of_bob);
	address_of_alice.name = (char *)(uintptr_t) "100_1";
	address_of_alice.device = 3;
	address_of_bob.name = (char *)(uintptr_t) "200_1";
	bench_start(&b, KEY, 1);
	assert_int_equal(b.k->state, KEYD_UNLOCKED);
	create(ALICE);
	create(BOB);
	r = make_prekeys(ALICE, 5, 0, ++b.unit);
	bundle_from(&of_alice, r, 0);
	commit("alice", b.unit);
	r = make_prekeys(BOB, 5, 0, ++b.unit);
	bundle_from(&of_bob, r, 0);
	commit("bob", b.unit);
	return 0;
}

static int
teardown(void **state)
{
	bench_stop(&b);
	return 0;
}

#endif
