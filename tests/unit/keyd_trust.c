/* Identities of others: what keyd takes, holds and refuses under each policy, and what a person
 * decides (protocol page 04, 13). alice is the one who judges, bob is registered anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "common/clock.h"
#include "common/proto/adv.pb-c.h"
#include "keyd/counter.h"
#include "keyd/curve.h"
#include "tests/unit/keyd_bench.h"
#include "tests/unit/slow.h"

#define KEY   "01234567890123456789012345678901"
#define ALICE ((char *)(uintptr_t) "alice")
#define BOB   ((char *)(uintptr_t) "bob")

static struct bench b;
static Keyd__Address of_bob, of_alice;

/* A prekey bundle, with what it points to. */
struct keys {
	Keyd__Bundle b;
	Keyd__SignedPrekey s;
	Keyd__Prekey p;
	uint8_t identity[32], spub[32], ssig[64], ppub[32];
};
static struct keys bobs, alices;

struct text {
	uint8_t bytes[2048];
	size_t len;
	int pkmsg;
};

static void
commit(const char *account)
{
	assert_int_equal(bench_commit(&b, account, b.unit, 1), 1);
	bench_settle(&b);
}

static void
new_device(char *account)
{
	Keyd__DeviceCreate q = KEYD__DEVICE_CREATE__INIT;

	q.account = account;
	q.unit = ++b.unit;
	assert_non_null(BENCH_ASK(&b, b.apid, DEVICE_CREATE, &q, DEVICE_STATE, device_state));
	commit(account);
}

static void
bundle_of(char *account, struct keys *k)
{
	Keyd__PrekeysMake p = KEYD__PREKEYS_MAKE__INIT;
	const Keyd__PrekeysReply *r;

	p.account = account;
	p.unit = ++b.unit;
	p.count = 1;
	r = BENCH_ASK(&b, b.apid, PREKEYS_MAKE, &p, PREKEYS_REPLY, prekeys_reply);
	assert_non_null(r);
	keyd__bundle__init(&k->b);
	keyd__signed_prekey__init(&k->s);
	keyd__prekey__init(&k->p);
	memcpy(k->identity, r->identity_pub.data, 32);
	memcpy(k->spub, r->signed_prekey->pub.data, 32);
	memcpy(k->ssig, r->signed_prekey->signature.data, 64);
	memcpy(k->ppub, r->keys[0]->pub.data, 32);
	k->b.registration_id = r->registration_id;
	k->b.identity = (ProtobufCBinaryData){32, k->identity};
	k->s.id = r->signed_prekey->id;
	k->s.pub = (ProtobufCBinaryData){32, k->spub};
	k->s.signature = (ProtobufCBinaryData){64, k->ssig};
	k->b.signed_prekey = &k->s;
	k->p.id = r->keys[0]->id;
	k->p.pub = (ProtobufCBinaryData){32, k->ppub};
	k->b.prekey = &k->p;
	commit(account);
}

static const Keyd__EncryptResult *
encrypt(char *from, Keyd__Address *to, const char *text, Keyd__Bundle *with, struct text *out)
{
	Keyd__Encrypt q = KEYD__ENCRYPT__INIT;
	Keyd__EncryptItem item = KEYD__ENCRYPT_ITEM__INIT, *items[1] = {&item};
	ProtobufCBinaryData plain = {strlen(text), (uint8_t *)(uintptr_t)text};
	const Keyd__EncryptReply *r;

	q.account = from;
	q.unit = ++b.unit;
	q.plaintexts = &plain;
	q.n_plaintexts = 1;
	q.items = items;
	q.n_items = 1;
	item.address = to;
	item.bundle = with;
	r = BENCH_ASK(&b, b.apid, ENCRYPT, &q, ENCRYPT_REPLY, encrypt_reply);
	assert_non_null(r);
	if (out != NULL && r->results[0]->has_ciphertext) {
		out->len = r->results[0]->ciphertext.len;
		assert_true(out->len <= sizeof(out->bytes));
		memcpy(out->bytes, r->results[0]->ciphertext.data, out->len);
		out->pkmsg = r->results[0]->pkmsg;
	}
	if (r->stages > 0)
		commit(from);
	return r->results[0];
}

static const Keyd__DecryptResult *
decrypt(char *to, Keyd__Address *from, const struct text *t, const struct buf *adv)
{
	Keyd__Decrypt q = KEYD__DECRYPT__INIT;
	Keyd__DecryptItem item = KEYD__DECRYPT_ITEM__INIT, *items[1] = {&item};
	const Keyd__DecryptReply *r;

	q.account = to;
	q.unit = ++b.unit;
	q.items = items;
	q.n_items = 1;
	item.address = from;
	item.kind = t->pkmsg ? KEYD__DECRYPT_ITEM__KIND__PKMSG : KEYD__DECRYPT_ITEM__KIND__MSG;
	item.ciphertext = (ProtobufCBinaryData){t->len, (uint8_t *)(uintptr_t)t->bytes};
	if (adv != NULL) {
		item.has_device_identity = 1;
		item.device_identity = (ProtobufCBinaryData){adv->len, adv->data};
	}
	r = BENCH_ASK(&b, b.apid, DECRYPT, &q, DECRYPT_REPLY, decrypt_reply);
	assert_non_null(r);
	if (r->stages > 0)
		commit(to);
	return r->results[0];
}

#define SAYS(result, TYPE, want)                                                                   \
	assert_int_equal((result)->outcome, KEYD__##TYPE##_RESULT__OUTCOME__##want)

static const Keyd__Identity *
identity(Keyd__Address *of)
{
	Keyd__Identities q = KEYD__IDENTITIES__INIT;
	const Keyd__IdentitiesReply *r;

	q.account = ALICE;
	q.addresses = &of;
	q.n_addresses = 1;
	r = BENCH_ASK(&b, b.apid, IDENTITIES, &q, IDENTITIES_REPLY, identities_reply);
	assert_non_null(r);
	assert_int_equal(r->n_identities, 1);
	return r->identities[0];
}

static int
decide(Keyd__Address *of, const uint8_t key[32], Keyd__IdentityState state)
{
	Keyd__IdentityDecide q = KEYD__IDENTITY_DECIDE__INIT;
	Keyd__IdentityDecision d = KEYD__IDENTITY_DECISION__INIT, *list[1] = {&d};

	q.account = ALICE;
	q.unit = ++b.unit;
	q.decisions = list;
	q.n_decisions = 1;
	d.address = of;
	d.key = (ProtobufCBinaryData){key != NULL ? 32 : 0, (uint8_t *)(uintptr_t)key};
	d.state = state;
	if (BENCH_ASK(&b, b.apid, IDENTITY_DECIDE, &q, STAGED, staged) == NULL)
		return -1;
	commit("alice");
	return 0;
}

static const Keyd__IdentityForgetReply *
forget(Keyd__Address *of)
{
	Keyd__IdentityForget q = KEYD__IDENTITY_FORGET__INIT;
	const Keyd__IdentityForgetReply *r;

	q.account = ALICE;
	q.unit = ++b.unit;
	q.addresses = &of;
	q.n_addresses = 1;
	r = BENCH_ASK(
	    &b, b.apid, IDENTITY_FORGET, &q, IDENTITY_FORGET_REPLY, identity_forget_reply);
	assert_non_null(r);
	commit("alice");
	return r;
}

static void
policy(enum trust_policy p)
{
	core_account(b.k, "alice")->policy = p;
}

static int
setup(void **state)
{
	keyd__address__init(&of_alice);
	keyd__address__init(&of_bob);
	of_alice.name = (char *)(uintptr_t) "100_1";
	of_bob.name = (char *)(uintptr_t) "200_1";
	bench_start(&b, KEY, 1);
	new_device(ALICE);
	new_device(BOB);
	bundle_of(ALICE, &alices);
	bundle_of(BOB, &bobs);
	return 0;
}

static int
teardown(void **state)
{
	bench_stop(&b);
	return 0;
}

/* alice and bob know each other. */
static void
acquaint(void)
{
	struct text t = {0};

	SAYS(encrypt(ALICE, &of_bob, "hello", &bobs.b, &t), ENCRYPT, DONE);
	SAYS(decrypt(BOB, &of_alice, &t, NULL), DECRYPT, DONE);
	SAYS(encrypt(BOB, &of_alice, "hello yourself", NULL, &t), ENCRYPT, DONE);
	SAYS(decrypt(ALICE, &of_bob, &t, NULL), DECRYPT, DONE);
}

/* bob is registered anew and writes n texts to alice, who does not know it yet. */
static void
write_anew(struct text *t, size_t n)
{
	char text[32];

	new_device(BOB);
	bundle_of(ALICE, &alices);
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(text, sizeof(text), "new %zu", i);
		SAYS(
		    encrypt(BOB, &of_alice, text, i == 0 ? &alices.b : NULL, &t[i]), ENCRYPT, DONE);
		assert_true(t[i].pkmsg);
	}
	bundle_of(BOB, &bobs);
}

/* What was decided of a number's identity goes over to the LID, and no other key gets round it. */
static void
test_lid_move_keeps_decisions(void **state)
{
	static const struct {
		enum trust_policy policy;
		Keyd__IdentityState decided, after; /* the state of the LID's then */
		int anew;                           /* the LID's is another key */
	} rows[] = {
	    {TRUST_HOLD, KEYD__IDENTITY_STATE__VERIFIED, KEYD__IDENTITY_STATE__VERIFIED, 0},
	    {TRUST_HOLD, KEYD__IDENTITY_STATE__HELD, KEYD__IDENTITY_STATE__HELD, 0},
	    {TRUST_HOLD, KEYD__IDENTITY_STATE__VERIFIED, KEYD__IDENTITY_STATE__HELD, 1},
	    {TRUST_HOLD, KEYD__IDENTITY_STATE__HELD, KEYD__IDENTITY_STATE__HELD, 1},
	    {TRUST_HOLD, KEYD__IDENTITY_STATE__TRUSTED, KEYD__IDENTITY_STATE__TRUSTED, 1},
	    {TRUST_ACCEPT, KEYD__IDENTITY_STATE__VERIFIED, KEYD__IDENTITY_STATE__VERIFIED, 0},
	    {TRUST_ACCEPT, KEYD__IDENTITY_STATE__VERIFIED, KEYD__IDENTITY_STATE__TRUSTED, 1},
	};
	Keyd__Address numbers[sizeof(rows) / sizeof(rows[0])], lids[sizeof(rows) / sizeof(rows[0])];
	char names[sizeof(rows) / sizeof(rows[0])][2][8];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		Keyd__LidMove q = KEYD__LID_MOVE__INIT;
		Keyd__Move m = KEYD__MOVE__INIT, *list[1] = {&m};
		const Keyd__Identity *id;

		(void)snprintf(names[i][0], sizeof(names[i][0]), "55%zu", i);
		(void)snprintf(names[i][1], sizeof(names[i][1]), "30%zu_1", i);
		keyd__address__init(&numbers[i]);
		keyd__address__init(&lids[i]);
		numbers[i].name = names[i][0];
		lids[i].name = names[i][1];
		policy(TRUST_ACCEPT);
		SAYS(encrypt(ALICE, &numbers[i], "hello", &bobs.b, NULL), ENCRYPT, DONE);
		assert_int_equal(decide(&numbers[i], bobs.identity, rows[i].decided), 0);
		if (rows[i].anew)
			new_device(BOB);
		bundle_of(BOB, &bobs);
		SAYS(encrypt(ALICE, &lids[i], "hello", &bobs.b, NULL), ENCRYPT, DONE);
		policy(rows[i].policy);
		q.account = ALICE;
		q.unit = ++b.unit;
		q.moves = list;
		q.n_moves = 1;
		m.from = &numbers[i];
		m.to = &lids[i];
		assert_non_null(
		    BENCH_ASK(&b, b.apid, LID_MOVE, &q, LID_MOVE_REPLY, lid_move_reply));
		commit("alice");
		id = identity(&lids[i]);
		assert_int_equal(id->state, rows[i].after);
		assert_memory_equal(id->key.data, bobs.identity, 32);
		assert_false(identity(&numbers[i])->has_key);
	}
}

static void
test_first_contact(void **state)
{
	static const enum trust_policy all[] = {TRUST_ACCEPT, TRUST_HOLD};
	int64_t before = clock_wall_ms();
	const Keyd__EncryptResult *r;

	for (size_t i = 0; i < 2; i++) {
		policy(all[i]);
		of_bob.name = (char *)(uintptr_t)(i == 0 ? "200_1" : "300_1");
		assert_false(identity(&of_bob)->has_key);
		r = encrypt(ALICE, &of_bob, "x", &bobs.b, NULL);
		SAYS(r, ENCRYPT, DONE);
		assert_null(r->change); /* nothing was there to change */
		assert_int_equal(identity(&of_bob)->state, KEYD__IDENTITY_STATE__TRUSTED);
		assert_memory_equal(identity(&of_bob)->key.data, bobs.identity, 32);
		assert_in_range(identity(&of_bob)->first_seen_ms, before, clock_wall_ms());
	}
}

static void
test_accept(void **state)
{
	const Keyd__EncryptResult *e;
	const Keyd__DecryptResult *d;
	uint8_t old[32];
	struct text t[2] = {0};

	for (int verified = 0; verified < 2; verified++) {
		acquaint();
		memcpy(old, identity(&of_bob)->key.data, 32);
		if (verified)
			assert_int_equal(decide(&of_bob, old, KEYD__IDENTITY_STATE__VERIFIED), 0);
		write_anew(t, 2);
		d = decrypt(ALICE, &of_bob, &t[0], NULL);
		SAYS(d, DECRYPT, DONE);
		assert_non_null(d->change);
		assert_memory_equal(d->change->old_key.data, old, 32);
		assert_memory_equal(d->change->new_key.data, bobs.identity, 32);
		assert_int_equal(d->change->was_verified, verified);
		d = decrypt(ALICE, &of_bob, &t[1], NULL);
		SAYS(d, DECRYPT, DONE);
		assert_null(d->change); /* told once */
		assert_int_equal(identity(&of_bob)->state, KEYD__IDENTITY_STATE__TRUSTED);
		/* and by a bundle */
		new_device(BOB);
		bundle_of(BOB, &bobs);
		e = encrypt(ALICE, &of_bob, "x", &bobs.b, NULL);
		SAYS(e, ENCRYPT, DONE);
		assert_non_null(e->change);
		assert_memory_equal(e->change->new_key.data, bobs.identity, 32);
		bundle_of(BOB, &bobs);
		assert_null(encrypt(ALICE, &of_bob, "x", &bobs.b, NULL)->change);
	}
}

/* Held by a message: nothing is spent, nothing goes out, and a decision lets all of it through. */
static void
test_hold_message(void **state)
{
	static const enum trust_policy all[] = {TRUST_HOLD, TRUST_VERIFIED_ONLY};
	const Keyd__DecryptResult *d;
	const Keyd__EncryptResult *e;
	uint8_t old[32];
	struct text t[3] = {0};

	for (size_t i = 0; i < 2; i++) {
		policy(TRUST_ACCEPT);
		acquaint();
		memcpy(old, identity(&of_bob)->key.data, 32);
		assert_int_equal(decide(&of_bob, old, KEYD__IDENTITY_STATE__VERIFIED), 0);
		policy(all[i]);
		write_anew(t, 3);
		t[0].bytes[t[0].len - 12] ^= 1; /* what does not decrypt changes nothing */
		d = decrypt(ALICE, &of_bob, &t[0], NULL);
		assert_int_not_equal(d->outcome, KEYD__DECRYPT_RESULT__OUTCOME__UNTRUSTED);
		assert_int_equal(identity(&of_bob)->state, KEYD__IDENTITY_STATE__VERIFIED);
		t[0].bytes[t[0].len - 12] ^= 1;

		for (size_t k = 0; k < 3; k++) {
			d = decrypt(ALICE, &of_bob, &t[k], NULL);
			SAYS(d, DECRYPT, UNTRUSTED);
			assert_false(d->has_plaintext);
			assert_int_equal(d->change != NULL, k == 0); /* told once */
			if (d->change == NULL)
				continue;
			assert_memory_equal(d->change->old_key.data, old, 32);
			assert_memory_equal(d->change->new_key.data, bobs.identity, 32);
			assert_true(d->change->was_verified);
		}
		assert_int_equal(identity(&of_bob)->state, KEYD__IDENTITY_STATE__HELD);
		assert_memory_equal(identity(&of_bob)->key.data, bobs.identity, 32);
		/* neither by the old session nor by a bundle */
		SAYS(encrypt(ALICE, &of_bob, "x", NULL, NULL), ENCRYPT, UNTRUSTED);
		e = encrypt(ALICE, &of_bob, "x", &bobs.b, NULL);
		SAYS(e, ENCRYPT, UNTRUSTED);
		assert_null(e->change);

		assert_int_equal(decide(&of_bob, old, KEYD__IDENTITY_STATE__TRUSTED), -1);
		assert_string_equal(b.code, "identity"); /* not the one that the person saw */
		assert_int_equal(decide(&of_bob, bobs.identity, KEYD__IDENTITY_STATE__VERIFIED), 0);
		/* the session with the old identity is gone */
		SAYS(encrypt(ALICE, &of_bob, "x", NULL, NULL), ENCRYPT, NO_SESSION);
		for (size_t k = 0; k < 3; k++) {
			SAYS(decrypt(ALICE, &of_bob, &t[k], NULL), DECRYPT, DONE);
			SAYS(decrypt(ALICE, &of_bob, &t[k], NULL), DECRYPT, DUPLICATE);
		}
		SAYS(encrypt(ALICE, &of_bob, "x", NULL, &t[0]), ENCRYPT, DONE);
		SAYS(decrypt(BOB, &of_alice, &t[0], NULL), DECRYPT, DONE);
		/* trusted again: its session stays */
		assert_int_equal(decide(&of_bob, bobs.identity, KEYD__IDENTITY_STATE__HELD), 0);
		SAYS(encrypt(ALICE, &of_bob, "x", NULL, NULL), ENCRYPT, UNTRUSTED);
		assert_int_equal(decide(&of_bob, bobs.identity, KEYD__IDENTITY_STATE__VERIFIED), 0);
		SAYS(encrypt(ALICE, &of_bob, "x", NULL, NULL), ENCRYPT, DONE);
	}
}

static void
test_hold_bundle(void **state)
{
	const Keyd__EncryptResult *e;

	policy(TRUST_HOLD);
	acquaint();
	new_device(BOB);
	bundle_of(BOB, &bobs);
	bobs.ssig[3] ^= 1; /* what is not signed by the new identity changes nothing */
	SAYS(encrypt(ALICE, &of_bob, "x", &bobs.b, NULL), ENCRYPT, BAD_BUNDLE);
	assert_int_equal(identity(&of_bob)->state, KEYD__IDENTITY_STATE__TRUSTED);
	bobs.ssig[3] ^= 1;
	e = encrypt(ALICE, &of_bob, "x", &bobs.b, NULL);
	SAYS(e, ENCRYPT, UNTRUSTED);
	assert_non_null(e->change);
	assert_null(encrypt(ALICE, &of_bob, "x", &bobs.b, NULL)->change);
	/* while the primary is held, its companions are too */
	of_bob.device = 7;
	SAYS(encrypt(ALICE, &of_bob, "x", &bobs.b, NULL), ENCRYPT, UNTRUSTED);
	assert_false(identity(&of_bob)->has_key);
	of_bob.device = 0;
	assert_int_equal(decide(&of_bob, bobs.identity, KEYD__IDENTITY_STATE__TRUSTED), 0);
	SAYS(encrypt(ALICE, &of_bob, "x", &bobs.b, NULL), ENCRYPT, DONE);
}

/* The service says that bob was registered anew. */
static void
test_forget(void **state)
{
	const Keyd__IdentityForgetReply *r;
	const Keyd__EncryptResult *e;
	uint8_t old[32];

	for (int hold = 0; hold < 2; hold++) {
		policy(TRUST_ACCEPT);
		acquaint();
		policy(hold ? TRUST_HOLD : TRUST_ACCEPT);
		memcpy(old, bobs.identity, 32);
		r = forget(&of_bob);
		assert_memory_equal(r->identities[0]->key.data, old, 32);
		assert_int_equal(identity(&of_bob)->has_key, hold);
		SAYS(encrypt(ALICE, &of_bob, "x", NULL, NULL), ENCRYPT, NO_SESSION);
		new_device(BOB);
		bundle_of(BOB, &bobs);
		e = encrypt(ALICE, &of_bob, "x", &bobs.b, NULL);
		assert_int_equal(e->outcome, hold ? KEYD__ENCRYPT_RESULT__OUTCOME__UNTRUSTED
						  : KEYD__ENCRYPT_RESULT__OUTCOME__DONE);
		assert_int_equal(e->change != NULL, hold);
		(void)forget(&of_bob);
		policy(TRUST_ACCEPT);
		(void)forget(&of_bob);
		assert_false(identity(&of_bob)->has_key);
		assert_false(forget(&of_bob)->identities[0]->has_key);
		new_device(BOB);
		bundle_of(BOB, &bobs);
	}
}

static void
test_verified_only(void **state)
{
	struct text t = {0};

	policy(TRUST_VERIFIED_ONLY);
	SAYS(encrypt(ALICE, &of_bob, "x", &bobs.b, NULL), ENCRYPT, UNVERIFIED);
	/* but now it is known, and can be compared */
	assert_memory_equal(identity(&of_bob)->key.data, bobs.identity, 32);
	SAYS(encrypt(ALICE, &of_bob, "x", NULL, NULL), ENCRYPT, UNVERIFIED);
	assert_int_equal(decide(&of_bob, bobs.identity, KEYD__IDENTITY_STATE__VERIFIED), 0);
	SAYS(encrypt(ALICE, &of_bob, "x", NULL, &t), ENCRYPT, DONE);
	SAYS(decrypt(BOB, &of_alice, &t, NULL), DECRYPT, DONE);
	assert_int_equal(decide(&of_bob, bobs.identity, KEYD__IDENTITY_STATE__TRUSTED), 0);
	SAYS(encrypt(ALICE, &of_bob, "x", NULL, NULL), ENCRYPT, UNVERIFIED);
}

/* ---------------------------------------------------------------- companions */

/* The identity's private half of an account, as its record has it. */
static void
private_of(const char *account, unsigned number, uint8_t priv[32])
{
	struct bench_record *r = bench_record(&b, account, STORED__DOMAIN__DEVICE, "device", 0);
	struct vault_id id = {account, STORED__DOMAIN__DEVICE, "device", r->version};
	struct buf plain = BUF_INIT;
	static struct device d;

	assert_int_equal(vault_unseal(b.k->secrets->vault_key[number], &id, r->sealed.data,
			     r->sealed.len, &plain),
	    0);
	assert_int_equal(device_decode(&d, plain.data, plain.len), 0);
	memcpy(priv, d.identity_priv, 32);
	buf_clear(&plain);
}

enum part {
	NOTHING,
	DETAILS,
	ACCOUNT_SIGNATURE,
	DEVICE_SIGNATURE,
	DEVICE,      /* it is about another device */
	FAMILY,      /* signatures of two families */
	ACCOUNT_KEY, /* it carries the key of somebody else */
	LENGTH,
	ABSENT
};

/* An ADVSignedDeviceIdentity of bob's device, signed by apriv, with `wrong` wrong in it. */
static void
make_adv(struct buf *out, const uint8_t apriv[32], int carry, int hosted, enum part wrong)
{
	Adv__ADVSignedDeviceIdentity si = ADV__ADVSIGNED_DEVICE_IDENTITY__INIT;
	uint8_t dpriv[32], apub[32], about[32], asig[64], dsig[64], details[] = {8, 1, 24, 5};
	struct buf m = BUF_INIT;

	private_of("bob", 1, dpriv);
	curve_public(apriv, apub);
	memcpy(about, bobs.identity, 32);
	about[1] ^= wrong == DEVICE;
	buf_put(&m, hosted ? "\6\5" : "\6\0", 2);
	buf_put(&m, details, sizeof(details));
	buf_put(&m, about, 32);
	assert_int_equal(curve_sign(apriv, m.data, m.len, asig), 0);
	m.data[1] = (uint8_t)(hosted != (wrong == FAMILY) ? 6 : 1);
	buf_put(&m, apub, 32);
	assert_int_equal(curve_sign(dpriv, m.data, m.len, dsig), 0);
	details[3] ^= wrong == DETAILS;
	asig[9] ^= wrong == ACCOUNT_SIGNATURE;
	dsig[9] ^= wrong == DEVICE_SIGNATURE;
	apub[9] ^= wrong == ACCOUNT_KEY;
	si.has_details = si.has_account_signature = si.has_device_signature = 1;
	si.details = (ProtobufCBinaryData){sizeof(details), details};
	si.account_signature = (ProtobufCBinaryData){64, asig};
	si.device_signature = (ProtobufCBinaryData){64, dsig};
	si.has_account_signature_key = carry;
	si.account_signature_key = (ProtobufCBinaryData){32, apub};
	buf_reset(out);
	assert_int_equal(pb_put(&si.base, out), 0);
	if (wrong == LENGTH)
		out->len--;
	buf_clear(&m);
}

/* What is made of a companion's first or next identity. The primary's is known or not. */
static void
test_companions(void **state)
{
	static const struct {
		const char *why;
		int hold, known, stranger, carry, hosted;
		enum part wrong;
		int enc, dec; /* outcomes */
	} rows[] = {
#define OK  KEYD__ENCRYPT_RESULT__OUTCOME__DONE, KEYD__DECRYPT_RESULT__OUTCOME__DONE
#define NO  KEYD__ENCRYPT_RESULT__OUTCOME__UNTRUSTED, KEYD__DECRYPT_RESULT__OUTCOME__UNTRUSTED
#define BAD KEYD__ENCRYPT_RESULT__OUTCOME__ADV_INVALID, KEYD__DECRYPT_RESULT__OUTCOME__ADV_INVALID
	    {"good", 0, 1, 0, 1, 0, NOTHING, OK},
	    {"good, held", 1, 1, 0, 1, 0, NOTHING, OK},
	    {"key not carried", 1, 1, 0, 0, 0, NOTHING, OK},
	    {"hosted", 1, 1, 0, 1, 1, NOTHING, OK},
	    {"key neither carried nor known", 1, 0, 0, 0, 0, NOTHING, OK},
	    {"carried, nothing known", 1, 0, 0, 1, 0, NOTHING, OK},
	    {"another account, accepted", 0, 1, 1, 1, 0, NOTHING, OK},
	    {"another account, held", 1, 1, 1, 1, 0, NOTHING, NO},
	    {"another account, not carried", 0, 1, 1, 0, 0, NOTHING, BAD},
	    {"none, accepted", 0, 1, 0, 0, 0, ABSENT, OK},
	    {"none, held", 1, 1, 0, 0, 0, ABSENT, NO},
	    {"details", 0, 1, 0, 1, 0, DETAILS, BAD},
	    {"account signature", 0, 1, 0, 1, 0, ACCOUNT_SIGNATURE, BAD},
	    {"account signature, held", 1, 1, 0, 1, 0, ACCOUNT_SIGNATURE, BAD},
	    {"device signature", 0, 1, 0, 1, 0, DEVICE_SIGNATURE, BAD},
	    {"device signature, hosted", 1, 1, 0, 1, 1, DEVICE_SIGNATURE, BAD},
	    {"device", 0, 1, 0, 1, 0, DEVICE, BAD},
	    {"family", 0, 1, 0, 1, 0, FAMILY, BAD},
	    {"account key", 0, 1, 0, 1, 0, ACCOUNT_KEY, BAD},
	    {"cut", 0, 1, 0, 1, 0, LENGTH, BAD},
#undef OK
#undef NO
#undef BAD
	};
	uint8_t apriv[32], apub[32], other[32], opub[32];
	char name[16];
	struct buf adv = BUF_INIT;
	struct text t = {0};

	curve_pair(apriv, apub);
	curve_pair(other, opub);
	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		size_t k = i / 2;
		Keyd__Address companion = of_bob;
		const uint8_t *signer = rows[k].stranger ? other : apriv;

		(void)snprintf(name, sizeof(name), "%zu_1", 1000 + i);
		companion.name = name;
		policy(TRUST_ACCEPT);
		if (rows[k].known) { /* a bundle of the primary */
			struct keys primary = bobs;
			uint8_t typed[33] = {5};

			memcpy(primary.identity, apub, 32);
			primary.b.identity.data = primary.identity;
			memcpy(typed + 1, primary.spub, 32);
			assert_int_equal(curve_sign(apriv, typed, 33, primary.ssig), 0);
			primary.s.signature.data = primary.ssig;
			primary.b.signed_prekey = &primary.s;
			SAYS(encrypt(ALICE, &companion, "x", &primary.b, NULL), ENCRYPT, DONE);
		}
		companion.device = 5;
		make_adv(&adv, signer, rows[k].carry, rows[k].hosted, rows[k].wrong);
		policy(rows[k].hold ? TRUST_HOLD : TRUST_ACCEPT);
		if (i % 2 == 0) {
			bobs.b.has_device_identity = rows[k].wrong != ABSENT;
			bobs.b.device_identity = (ProtobufCBinaryData){adv.len, adv.data};
			if ((int)encrypt(ALICE, &companion, "x", &bobs.b, NULL)->outcome !=
			    rows[k].enc)
				fail_msg("encrypt: %s", rows[k].why);
			bobs.b.has_device_identity = 0;
		} else {
			bundle_of(ALICE, &alices);
			SAYS(encrypt(BOB, &of_alice, "y", &alices.b, &t), ENCRYPT, DONE);
			if ((int)decrypt(
				ALICE, &companion, &t, rows[k].wrong == ABSENT ? NULL : &adv)
				->outcome != rows[k].dec)
				fail_msg("decrypt: %s", rows[k].why);
		}
	}
	buf_clear(&adv);
}

/* A companion that is linked anew at its number: the chain says whether that was its owner. */
static void
test_companion_changes(void **state)
{
	uint8_t apriv[32], apub[32], typed[33] = {5}, old[32];
	struct keys primary;
	struct buf adv = BUF_INIT;
	const Keyd__EncryptResult *e;

	curve_pair(apriv, apub);
	primary = bobs;
	memcpy(primary.identity, apub, 32);
	primary.b.identity.data = primary.identity;
	memcpy(typed + 1, primary.spub, 32);
	assert_int_equal(curve_sign(apriv, typed, 33, primary.ssig), 0);
	primary.s.signature.data = primary.ssig;
	primary.b.signed_prekey = &primary.s;
	policy(TRUST_HOLD);
	SAYS(encrypt(ALICE, &of_bob, "x", &primary.b, NULL), ENCRYPT, DONE);
	of_bob.device = 5;
	for (int i = 0; i < 3; i++) {
		memcpy(old, bobs.identity, 32);
		if (i > 0)
			new_device(BOB);
		bundle_of(BOB, &bobs);
		make_adv(&adv, apriv, 1, 0, NOTHING);
		bobs.b.has_device_identity = i < 2;
		bobs.b.device_identity = (ProtobufCBinaryData){adv.len, adv.data};
		e = encrypt(ALICE, &of_bob, "x", &bobs.b, NULL);
		assert_int_equal(e->outcome, i < 2 ? KEYD__ENCRYPT_RESULT__OUTCOME__DONE
						   : KEYD__ENCRYPT_RESULT__OUTCOME__UNTRUSTED);
		assert_int_equal(e->change != NULL, i > 0);
		if (e->change != NULL)
			assert_memory_equal(e->change->old_key.data, old, 32);
	}
	assert_int_equal(identity(&of_bob)->state, KEYD__IDENTITY_STATE__HELD);
	of_bob.device = 0; /* the primary itself is not */
	SAYS(encrypt(ALICE, &of_bob, "x", NULL, NULL), ENCRYPT, DONE);
	buf_clear(&adv);
}

/* ---------------------------------------------------------------- records and requests */

/* A record of the key alone is one from before: trusted, with no time. */
static void
test_records(void **state)
{
	static const size_t lengths[] = {0, 31, 32, 33, 40, 41, 42};
	struct vault_id id = {"alice", STORED__DOMAIN__IDENTITY, "1/200_1:0", 1};
	struct bench_record *r =
	    bench_record(&b, "alice", STORED__DOMAIN__IDENTITY, "1/200_1:0", 1);
	Keyd__Identities q = KEYD__IDENTITIES__INIT;
	Keyd__Address *of = &of_bob;
	uint8_t plain[64];

	memset(plain, 7, sizeof(plain));
	q.account = ALICE;
	q.addresses = &of;
	q.n_addresses = 1;
	for (size_t i = 0; i < 2 * sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t len = lengths[i / 2];
		const Keyd__IdentitiesReply *a;

		plain[32] = i % 2 == 0 ? KEYD__IDENTITY_STATE__HELD : 4; /* there is no 4 */
		r->version = id.version = i + 1;
		buf_reset(&r->sealed);
		assert_int_equal(
		    vault_seal(b.k->secrets->vault_key[0], &id, plain, len, &r->sealed), 0);
		vault_free(b.k->vault);
		b.k->vault = vault_new(VAULT_CACHE);
		vault_account(b.k->vault, 0, "alice", b.k->secrets->vault_key[0]);
		vault_account(b.k->vault, 1, "bob", b.k->secrets->vault_key[1]);
		a = BENCH_ASK(&b, b.apid, IDENTITIES, &q, IDENTITIES_REPLY, identities_reply);
		assert_non_null(a);
		assert_int_equal(a->identities[0]->damaged, len != 32 && (len != 41 || i % 2 != 0));
		assert_int_equal(a->identities[0]->has_key, !a->identities[0]->damaged);
		if (a->identities[0]->damaged)
			continue;
		assert_int_equal(a->identities[0]->has_first_seen_ms, len == 41);
		assert_int_equal(a->identities[0]->state,
		    len == 32 ? KEYD__IDENTITY_STATE__TRUSTED : KEYD__IDENTITY_STATE__HELD);
	}
}

static void
damage(const char *name)
{
	struct bench_record *r = bench_record(&b, "alice", STORED__DOMAIN__IDENTITY, name, 0);

	assert_non_null(r);
	r->sealed.data[r->sealed.len - 1] ^= 1;
	vault_free(b.k->vault);
	b.k->vault = vault_new(VAULT_CACHE);
	vault_account(b.k->vault, 0, "alice", b.k->secrets->vault_key[0]);
	vault_account(b.k->vault, 1, "bob", b.k->secrets->vault_key[1]);
}

/* A record that cannot be read is told as that under each policy, by itself, and a person lets go
 * of it: with no key, for nobody knows it. */
static void
test_damaged(void **state)
{
	static const enum trust_policy policies[] = {TRUST_ACCEPT, TRUST_HOLD};
	struct text t = {0};
	uint8_t key[32] = {0};

	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		char name[16], record[32];
		const Keyd__Identity *known;

		policy(policies[i]);
		(void)snprintf(name, sizeof(name), "%zu_1", 700 + i);
		of_bob.name = name;
		bundle_of(BOB, &bobs);
		SAYS(encrypt(ALICE, &of_bob, "x", &bobs.b, NULL), ENCRYPT, DONE);
		bundle_of(ALICE, &alices);
		SAYS(encrypt(BOB, &of_alice, "y", &alices.b, &t), ENCRYPT, DONE);
		(void)snprintf(record, sizeof(record), "1/%s:0", name);
		damage(record);
		SAYS(encrypt(ALICE, &of_bob, "x", NULL, NULL), ENCRYPT, IDENTITY_DAMAGED);
		SAYS(decrypt(ALICE, &of_bob, &t, NULL), DECRYPT, IDENTITY_DAMAGED);
		of_bob.device = 5; /* neither to nor from a companion of his */
		SAYS(decrypt(ALICE, &of_bob, &t, NULL), DECRYPT, IDENTITY_DAMAGED);
		of_bob.device = 0;
		known = identity(&of_bob);
		assert_true(known->damaged && !known->has_key);
		assert_int_equal(decide(&of_bob, key, KEYD__IDENTITY_STATE__TRUSTED), -1);
		assert_string_equal(b.code, "identity"); /* not the one that is stored */
		assert_int_equal(decide(&of_bob, NULL, KEYD__IDENTITY_STATE__TRUSTED), 0);
		known = identity(&of_bob);
		assert_true(!known->damaged && !known->has_key);
		SAYS(decrypt(ALICE, &of_bob, &t, NULL), DECRYPT, DONE); /* nothing was spent */
		SAYS(encrypt(ALICE, &of_bob, "x", NULL, NULL), ENCRYPT, DONE);
		assert_int_equal(decide(&of_bob, NULL, KEYD__IDENTITY_STATE__TRUSTED), -1);
		assert_string_equal(b.code, "identity"); /* nobody lets go of a good one */
	}
}

static void
test_bad_requests(void **state)
{
	Keyd__IdentityDecide q = KEYD__IDENTITY_DECIDE__INIT;
	Keyd__IdentityDecision d = KEYD__IDENTITY_DECISION__INIT, *list[1] = {&d};
	uint8_t key[33] = {0};

	q.account = ALICE;
	q.unit = ++b.unit;
	q.decisions = list;
	d.address = &of_bob;
	d.state = KEYD__IDENTITY_STATE__TRUSTED;
	d.key = (ProtobufCBinaryData){33, key};
	assert_null(BENCH_ASK(&b, b.apid, IDENTITY_DECIDE, &q, STAGED, staged));
	assert_string_equal(b.code, "bad_request"); /* none */
	q.n_decisions = 1;
	assert_null(BENCH_ASK(&b, b.apid, IDENTITY_DECIDE, &q, STAGED, staged));
	assert_string_equal(b.code, "bad_request");
	assert_int_equal(decide(&of_bob, key, KEYD__IDENTITY_STATE__TRUSTED), -1);
	assert_string_equal(b.code, "identity"); /* nobody knows it */
	of_bob.name = (char *)(uintptr_t) "a/b";
	assert_int_equal(decide(&of_bob, key, KEYD__IDENTITY_STATE__TRUSTED), -1);
	assert_string_equal(b.code, "bad_request");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	    T(test_first_contact),
	    T(test_lid_move_keeps_decisions),
	    T(test_accept),
	    T(test_hold_message),
	    T(test_hold_bundle),
	    T(test_forget),
	    T(test_verified_only),
	    T(test_companions),
	    T(test_companion_changes),
	    T(test_records),
	    T(test_damaged),
	    T(test_bad_requests),
#undef T
	};

	log_set_level(LOG_LV_ERR);
	(void)core_warm_up();
	alarm(120 * test_slow());
	return cmocka_run_group_tests_name("keyd: trust", tests, NULL, NULL);
}
