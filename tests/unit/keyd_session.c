/* Two accounts of one keyd talk through the real verbs, with a small stored behind: sessions,
 * prekeys, units. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal/protocol.h>
#include <sodium.h>

#include "keyd/counter.h"
#include "keyd/curve.h"
#include "keyd/paircode.h"
#include "keyd/provider.h"
#include "keyd/session_trim.h"
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

static void
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

/* ---------------------------------------------------------------- conversations */

static void
test_conversation(void **state)
{
	struct sealed_text t[3] = {0};

	send_text(ALICE, &address_of_bob, "first", &of_bob.b, &t[0]);
	assert_true(t[0].pkmsg);
	assert_non_null(bench_record(&b, "bob", STORED__DOMAIN__PREKEY, "1/1", 0));
	assert_int_equal(bench_record(&b, "bob", STORED__DOMAIN__PREKEY, "1/1", 0)->version, 1);
	send_text(ALICE, &address_of_bob, "second", NULL, &t[1]);
	assert_true(t[1].pkmsg); /* until he answers */
	receive(BOB, &address_of_alice, &t[0], "first");
	/* the one-time prekey went with the session, in one unit */
	assert_int_equal(bench_record(&b, "bob", STORED__DOMAIN__PREKEY, "1/1", 0)->version, 0);
	assert_int_equal(
	    bench_record(&b, "bob", STORED__DOMAIN__SESSION, "1/100_1:3", 0)->version, 1);
	assert_int_equal(
	    bench_record(&b, "bob", STORED__DOMAIN__IDENTITY, "1/100_1:3", 0)->version, 1);
	receive(
	    BOB, &address_of_alice, &t[1], "second"); /* the key is gone, the session is known */
	send_text(BOB, &address_of_alice, "answer", NULL, &t[2]);
	assert_false(t[2].pkmsg);
	receive(ALICE, &address_of_bob, &t[2], "answer");
	send_text(ALICE, &address_of_bob, "third", NULL, &t[0]);
	assert_false(t[0].pkmsg);
	receive(BOB, &address_of_alice, &t[0], "third");
}

static void
test_order_and_copies(void **state)
{
	struct sealed_text t[6] = {0};
	char text[8];
	int i;

	for (i = 0; i < 6; i++) {
		snprintf(text, sizeof(text), "m%d", i);
		send_text(ALICE, &address_of_bob, text, i == 0 ? &of_bob.b : NULL, &t[i]);
	}
	receive(BOB, &address_of_alice, &t[3], "m3");
	receive(BOB, &address_of_alice, &t[0], "m0");
	FAILS(BOB, &address_of_alice, &t[3], DUPLICATE);
	receive(BOB, &address_of_alice, &t[5], "m5");
	receive(BOB, &address_of_alice, &t[1], "m1");
	FAILS(BOB, &address_of_alice, &t[0], DUPLICATE);
	receive(BOB, &address_of_alice, &t[2], "m2");
	receive(BOB, &address_of_alice, &t[4], "m4");
}

static void
test_refusals(void **state)
{
	struct sealed_text t = {0}, bad = {0};
	size_t i;

	assert_int_equal(encrypt(ALICE, &address_of_bob, "x", NULL, &t),
	    KEYD__ENCRYPT_RESULT__OUTCOME__NO_SESSION);
	/* a prekey that was never made, and a signed prekey that was never made */
	of_bob.p.id = 99;
	send_text(ALICE, &address_of_bob, "x", &of_bob.b, &t);
	FAILS(BOB, &address_of_alice, &t, NO_PREKEY);
	of_bob.p.id = 1;
	of_bob.s.id = 77;
	send_text(ALICE, &address_of_bob, "x", &of_bob.b, &t);
	FAILS(BOB, &address_of_alice, &t, NO_PREKEY);
	of_bob.s.id = 1;
	send_text(ALICE, &address_of_bob, "x", &of_bob.b, &t);
	bad = t;
	bad.bytes[bad.len - 20] ^= 1; /* inside the inner message's MAC or text */
	i = (size_t)decrypt(BOB, &address_of_alice, &bad, "");
	assert_true(i == KEYD__DECRYPT_RESULT__OUTCOME__BAD_MAC ||
		    i == KEYD__DECRYPT_RESULT__OUTCOME__INVALID);
	/* which left nothing behind: no identity, no session, the prekey is still there */
	assert_null(bench_record(&b, "bob", STORED__DOMAIN__IDENTITY, "1/100_1:3", 0));
	assert_null(bench_record(&b, "bob", STORED__DOMAIN__SESSION, "1/100_1:3", 0));
	receive(BOB, &address_of_alice, &t, "x");

	send_text(BOB, &address_of_alice, "back", NULL, &t);
	bad = t;
	bad.bytes[bad.len - 1] ^= 1;
	FAILS(ALICE, &address_of_bob, &bad, BAD_MAC);
	bad.len = 5;
	FAILS(ALICE, &address_of_bob, &bad, MALFORMED);
	bad.len = 0;
	FAILS(ALICE, &address_of_bob, &bad, MALFORMED);
	bad = t;
	bad.bytes[0] = 0x13; /* version 1 */
	FAILS(ALICE, &address_of_bob, &bad, MALFORMED);
	bad = t;
	bad.pkmsg = 1; /* not what it is said to be */
	FAILS(ALICE, &address_of_bob, &bad, MALFORMED);
	address_of_bob.device = 9;
	FAILS(ALICE, &address_of_bob, &t, NO_SESSION);
	address_of_bob.device = 0;
	receive(ALICE, &address_of_bob, &t, "back");
	FAILS(ALICE, &address_of_bob, &t, DUPLICATE);
}

static void
test_bad_bundles(void **state)
{
	struct sealed_text t = {0};
	uint8_t junk[40] = {0x0a, 3, 1, 2, 3};
	uint64_t refused = counters[COUNT_ADV_REFUSED];

	of_bob.ssig[7] ^= 1;
	assert_int_equal(encrypt(ALICE, &address_of_bob, "x", &of_bob.b, &t),
	    KEYD__ENCRYPT_RESULT__OUTCOME__BAD_BUNDLE);
	of_bob.ssig[7] ^= 1;
	of_bob.identity[3] ^= 1; /* signed by somebody else */
	assert_int_equal(encrypt(ALICE, &address_of_bob, "x", &of_bob.b, &t),
	    KEYD__ENCRYPT_RESULT__OUTCOME__BAD_BUNDLE);
	of_bob.identity[3] ^= 1;
	memset(of_bob.ppub, 0, 32); /* a point of small order */
	assert_int_equal(encrypt(ALICE, &address_of_bob, "x", &of_bob.b, &t),
	    KEYD__ENCRYPT_RESULT__OUTCOME__BAD_BUNDLE);
	of_bob.b.prekey = NULL;
	/* of a companion with a device identity that nobody signed */
	of_bob.b.has_device_identity = 1;
	of_bob.b.device_identity = (ProtobufCBinaryData){sizeof(junk), junk};
	address_of_bob.device = 4;
	assert_int_equal(encrypt(ALICE, &address_of_bob, "x", &of_bob.b, &t),
	    KEYD__ENCRYPT_RESULT__OUTCOME__ADV_INVALID);
	assert_int_equal(counters[COUNT_ADV_REFUSED], refused + 1);
	assert_null(bench_record(&b, "alice", STORED__DOMAIN__SESSION, "1/200_1:4", 0));
	of_bob.b.has_device_identity = 0;
	send_text(ALICE, &address_of_bob, "without a prekey", &of_bob.b, &t);
	receive(BOB, &address_of_alice, &t, "without a prekey");
}

static void
test_simultaneous(void **state)
{
	struct sealed_text a = {0}, c = {0}, d = {0};

	send_text(ALICE, &address_of_bob, "from alice", &of_bob.b, &a);
	send_text(BOB, &address_of_alice, "from bob", &of_alice.b, &c);
	receive(BOB, &address_of_alice, &a, "from alice");
	receive(ALICE, &address_of_bob, &c, "from bob");
	send_text(ALICE, &address_of_bob, "two", NULL, &a);
	receive(BOB, &address_of_alice, &a, "two");
	send_text(BOB, &address_of_alice, "three", NULL, &c);
	receive(ALICE, &address_of_bob, &c, "three");
	send_text(ALICE, &address_of_bob, "four", NULL, &d);
	assert_false(d.pkmsg);
	receive(BOB, &address_of_alice, &d, "four");
}

/* Each side goes on in the session that the other began, as clients do that never go back to their
 * own. */
static void
test_simultaneous_apart(void **state)
{
	struct sealed_text a = {0}, c = {0};

	send_text(ALICE, &address_of_bob, "from alice", &of_bob.b, &a);
	send_text(BOB, &address_of_alice, "from bob", &of_alice.b, &c);
	receive(BOB, &address_of_alice, &a, "from alice");
	receive(ALICE, &address_of_bob, &c, "from bob");
	send_text(ALICE, &address_of_bob, "two", NULL, &a);
	send_text(BOB, &address_of_alice, "three", NULL, &c);
	assert_false(c.pkmsg);
	receive(ALICE, &address_of_bob, &c, "three");
	receive(BOB, &address_of_alice, &a, "two");
}

/* Encrypted and decrypted, but the unit fails: everything is as before, and works again. */
static void
test_failed_units(void **state)
{
	struct sealed_text t = {0}, u = {0};
	uint64_t unit;

	send_text(ALICE, &address_of_bob, "one", &of_bob.b, &t);
	assert_int_equal(
	    decrypt(BOB, &address_of_alice, &t, "one"), KEYD__DECRYPT_RESULT__OUTCOME__DONE);
	assert_int_equal(bench_commit(&b, "bob", b.unit, 0), 0);
	bench_settle(&b);
	receive(BOB, &address_of_alice, &t, "one"); /* the same ciphertext, the same prekey */
	FAILS(BOB, &address_of_alice, &t, DUPLICATE);

	/* a ciphertext that never left: its chain key is used again, with nobody to see two of them
	 */
	assert_int_equal(
	    encrypt(ALICE, &address_of_bob, "lost", NULL, &u), KEYD__ENCRYPT_RESULT__OUTCOME__DONE);
	assert_int_equal(bench_commit(&b, "alice", u.unit, 0), 0);
	bench_settle(&b);
	send_text(ALICE, &address_of_bob, "sent", NULL, &u);
	receive(BOB, &address_of_alice, &u, "sent");

	/* two units, the second on top of the first; the first fails, so does the second */
	send_text(ALICE, &address_of_bob, "three", NULL, &t);
	send_text(ALICE, &address_of_bob, "four", NULL, &u);
	assert_int_equal(
	    decrypt(BOB, &address_of_alice, &t, "three"), KEYD__DECRYPT_RESULT__OUTCOME__DONE);
	unit = b.unit;
	assert_int_equal(
	    decrypt(BOB, &address_of_alice, &u, "four"), KEYD__DECRYPT_RESULT__OUTCOME__DONE);
	assert_int_equal(bench_commit(&b, "bob", unit, 0), 0);
	bench_settle(&b);
	/* more work in the unit that can only fail is refused; other work waits for its end */
	assert_null(decrypt_unit(BOB, &address_of_alice, &t, 1, b.unit));
	assert_string_equal(b.code, "store");
	assert_int_equal(bench_commit(&b, "bob", b.unit, 1), 0);
	bench_settle(&b);
	receive(BOB, &address_of_alice, &t, "three");
	receive(BOB, &address_of_alice, &u, "four");
}

/* The number that a ciphertext has in its chain: field 2 of the message behind the version byte. */
static uint32_t
counter_of(const struct sealed_text *t)
{
	signal_message *m = NULL;
	uint32_t n;

	assert_int_equal(
	    signal_message_deserialize(&m, t->bytes, t->len, provider_context), SG_SUCCESS);
	n = signal_message_get_counter(m);
	SIGNAL_UNREF(m);
	return n;
}

/* stored tells apid that a unit failed before keyd hears of it, and apid asks about the same
 * session again at once. Whenever keyd hears: of all ciphertexts of one number at most one is in a
 * unit that is committed, and nothing of what the peer sent is lost. `when`: after which step keyd
 * hears of the first unit. */
static void
test_apid_hears_first(void **state)
{
	struct sealed_text t = {0}, first = {0}, second = {0}, third = {0};
	uint64_t unit1, unit2;
	int when;

	send_text(ALICE, &address_of_bob, "hello", &of_bob.b, &t);
	receive(BOB, &address_of_alice, &t, "hello");
	send_text(BOB, &address_of_alice, "answer", NULL, &t);
	receive(ALICE, &address_of_bob, &t, "answer");
	for (when = 0; when < 3; when++) {
		/* sending */
		b.hold_done = 1;
		assert_int_equal(encrypt(ALICE, &address_of_bob, "lost", NULL, &first),
		    KEYD__ENCRYPT_RESULT__OUTCOME__DONE);
		assert_int_equal(bench_commit(&b, "alice", first.unit, 0), 0);
		if (when == 0)
			bench_tell(&b);
		bench_settle(&b);
		assert_int_equal(encrypt(ALICE, &address_of_bob, "hasty", NULL, &second),
		    KEYD__ENCRYPT_RESULT__OUTCOME__DONE);
		if (when == 1)
			bench_tell(&b);
		bench_settle(&b);
		if (when == 0) { /* keyd knew: the number is used again, the first never left */
			assert_int_equal(counter_of(&second), counter_of(&first));
			assert_int_equal(bench_commit(&b, "alice", second.unit, 1), 1);
			t = second;
		} else { /* keyd did not: built on what failed, so it cannot be committed */
			assert_int_equal(counter_of(&second), counter_of(&first) + 1);
			assert_int_equal(bench_commit(&b, "alice", second.unit, 1), 0);
		}
		while (b.ndone > 0)
			bench_tell(&b);
		b.hold_done = 0;
		bench_settle(&b);
		send_text(ALICE, &address_of_bob, "third", NULL, &third);
		assert_int_equal(counter_of(&third), counter_of(&first) + (when == 0));
		if (when == 0)
			receive(BOB, &address_of_alice, &t, "hasty");
		receive(BOB, &address_of_alice, &third, "third");

		/* receiving: two messages, the unit of the first fails */
		send_text(ALICE, &address_of_bob, "one", NULL, &first);
		send_text(ALICE, &address_of_bob, "two", NULL, &second);
		b.hold_done = 1;
		assert_int_equal(decrypt(BOB, &address_of_alice, &first, "one"),
		    KEYD__DECRYPT_RESULT__OUTCOME__DONE);
		unit1 = b.unit;
		assert_int_equal(bench_commit(&b, "bob", unit1, 0), 0);
		if (when == 0)
			bench_tell(&b);
		bench_settle(&b);
		/* the stanza comes again: to keyd, which has not heard, a duplicate; but the unit
		 * that would acknowledge it cannot be committed */
		assert_int_equal(decrypt(BOB, &address_of_alice, &first, "one"),
		    when == 0 ? KEYD__DECRYPT_RESULT__OUTCOME__DONE
			      : KEYD__DECRYPT_RESULT__OUTCOME__DUPLICATE);
		unit2 = b.unit;
		if (when == 1)
			bench_tell(&b);
		bench_settle(&b);
		assert_int_equal(bench_commit(&b, "bob", unit2, 1), when == 0);
		while (b.ndone > 0)
			bench_tell(&b);
		b.hold_done = 0;
		bench_settle(&b);
		if (when > 0)
			receive(BOB, &address_of_alice, &first, "one");
		receive(BOB, &address_of_alice, &second, "two");
		/* the unit that it rests on is committed: so is this one */
		send_text(ALICE, &address_of_bob, "three", NULL, &first);
		assert_int_equal(decrypt(BOB, &address_of_alice, &first, "three"),
		    KEYD__DECRYPT_RESULT__OUTCOME__DONE);
		unit1 = b.unit;
		FAILS(BOB, &address_of_alice, &first, DUPLICATE);
		assert_int_equal(bench_commit(&b, "bob", unit1, 1), 1);
		assert_int_equal(bench_commit(&b, "bob", b.unit, 1), 1);
		bench_settle(&b);
		FAILS(BOB, &address_of_alice, &first, DUPLICATE);
		assert_int_equal(((const Keyd__DecryptReply *)b.reply)->stages, 0);
	}
}

/* Prekeys and sessions of a device whose own unit fails are not committed either: the next device
 * has the same generation, and would find them. */
static void
test_device_not_committed(void **state)
{
	Keyd__DeviceCreate q = KEYD__DEVICE_CREATE__INIT;
	struct sealed_text t = {0};
	const Keyd__DeviceState *d;
	uint64_t unit;

	b.hold_done = 1;
	q.account = ALICE;
	q.unit = unit = ++b.unit;
	d = BENCH_ASK(&b, b.apid, DEVICE_CREATE, &q, DEVICE_STATE, device_state);
	assert_non_null(d);
	assert_int_equal(d->generation, 2);
	assert_non_null(make_prekeys(ALICE, 1, 0, ++b.unit));
	assert_int_equal(
	    encrypt(ALICE, &address_of_bob, "of a device that never was", &of_bob.b, &t),
	    KEYD__ENCRYPT_RESULT__OUTCOME__DONE);
	assert_int_equal(bench_commit(&b, "alice", unit, 0), 0);
	assert_int_equal(bench_commit(&b, "alice", unit + 1, 1), 0);
	assert_int_equal(bench_commit(&b, "alice", t.unit, 1), 0);
	while (b.ndone > 0)
		bench_tell(&b);
	bench_settle(&b);
	b.hold_done = 0;
	create(ALICE);
	assert_int_equal(
	    bench_record(&b, "alice", STORED__DOMAIN__DEVICE, "device", 0)->version, 2);
	assert_int_equal(bench_record(&b, "alice", STORED__DOMAIN__PREKEY, "2/1", 1)->version, 0);
	assert_int_equal(
	    bench_record(&b, "alice", STORED__DOMAIN__SESSION, "2/200_1:0", 1)->version, 0);
	send_text(ALICE, &address_of_bob, "of one that is", &of_bob.b, &t);
	receive(BOB, &address_of_alice, &t, "of one that is");
}

/* Items of one request see each other's state; one that fails undoes only itself. */
static void
test_items_of_one_request(void **state)
{
	struct sealed_text t[4] = {0};
	const Keyd__DecryptReply *r;

	send_text(ALICE, &address_of_bob, "a", &of_bob.b, &t[0]);
	send_text(ALICE, &address_of_bob, "b", NULL, &t[1]);
	send_text(ALICE, &address_of_bob, "c", NULL, &t[2]);
	t[3] = t[2];
	t[1].bytes[t[1].len - 12] ^= 1;
	b.stages = 0;
	r = decrypt_unit(BOB, &address_of_alice, t, 4, ++b.unit);
	assert_non_null(r);
	assert_int_equal(r->results[0]->outcome, KEYD__DECRYPT_RESULT__OUTCOME__DONE);
	assert_int_not_equal(r->results[1]->outcome, KEYD__DECRYPT_RESULT__OUTCOME__DONE);
	assert_int_equal(r->results[2]->outcome, KEYD__DECRYPT_RESULT__OUTCOME__DONE);
	assert_int_equal(r->results[3]->outcome, KEYD__DECRYPT_RESULT__OUTCOME__DUPLICATE);
	assert_int_equal(r->stages, 1);
	bench_settle(&b);
	assert_int_equal(b.stages, 1);
	commit("bob", b.unit);
	/* written once, though two items changed it */
	assert_int_equal(
	    bench_record(&b, "bob", STORED__DOMAIN__SESSION, "1/100_1:3", 0)->version, 1);
	t[1].bytes[t[1].len - 12] ^= 1;
	receive(BOB, &address_of_alice, &t[1], "b");
}

static void
test_identity_change(void **state)
{
	struct sealed_text t = {0};
	const Keyd__DecryptReply *r;

	send_text(ALICE, &address_of_bob, "one", &of_bob.b, &t);
	r = decrypt_unit(BOB, &address_of_alice, &t, 1, ++b.unit);
	assert_false(r->results[0]->identity_changed);
	commit("bob", b.unit);
	/* a new device of alice, at the same address */
	create(ALICE);
	bundle_from(&of_bob, make_prekeys(BOB, 1, 0, ++b.unit), 0);
	commit("bob", b.unit);
	send_text(ALICE, &address_of_bob, "two", &of_bob.b, &t);
	t.bytes[t.len - 12] ^= 1;
	r = decrypt_unit(BOB, &address_of_alice, &t, 1, ++b.unit);
	assert_int_not_equal(r->results[0]->outcome, KEYD__DECRYPT_RESULT__OUTCOME__DONE);
	assert_int_equal(
	    bench_record(&b, "bob", STORED__DOMAIN__IDENTITY, "1/100_1:3", 0)->version, 1);
	t.bytes[t.len - 12] ^= 1;
	r = decrypt_unit(BOB, &address_of_alice, &t, 1, ++b.unit);
	assert_int_equal(r->results[0]->outcome, KEYD__DECRYPT_RESULT__OUTCOME__DONE);
	assert_true(r->results[0]->identity_changed);
	commit("bob", b.unit);
	assert_int_equal(
	    bench_record(&b, "bob", STORED__DOMAIN__IDENTITY, "1/100_1:3", 0)->version, 2);
}

/* A jump of 2000 is followed, one more is refused; many archived states do not grow beyond a
 * record. */
/* Two chains of 2,000 have room. */
static void
trimmed_len(void)
{
	size_t len = bench_record(&b, "bob", STORED__DOMAIN__SESSION, "1/100_1:3", 0)->sealed.len;

	assert_true(len > 256 * 1024 && len < SESSION_RECORD_MAX + 128);
}

static void
test_skipped_and_trimmed(void **state)
{
	struct sealed_text *t = calloc(2003, sizeof(*t)), u, old;
	uint64_t trimmed = counters[COUNT_SESSION_TRIMMED];
	int i, round;

	for (i = 0; i < 2003; i++)
		send_text(ALICE, &address_of_bob, "x", i == 0 ? &of_bob.b : NULL, &t[i]);
	FAILS(BOB, &address_of_alice, &t[2001], INVALID);
	receive(BOB, &address_of_alice, &t[2000], "x");
	receive(BOB, &address_of_alice, &t[17], "x");
	/* states with 2000 skipped keys each, archived one after the other */
	for (round = 0; round < 6; round++) {
		bundle_from(&of_bob, make_prekeys(BOB, 1, 0, ++b.unit), 0);
		commit("bob", b.unit);
		for (i = 0; i < 2001; i++)
			send_text(ALICE, &address_of_bob, "y", i == 0 ? &of_bob.b : NULL, &t[i]);
		receive(BOB, &address_of_alice, &t[2000], "y");
		if (round == 0)
			old = t[1000];
	}
	assert_true(counters[COUNT_SESSION_TRIMMED] > trimmed);
	trimmed_len();
	receive(BOB, &address_of_alice, &t[1000], "y");
	FAILS(BOB, &address_of_alice, &old, NO_PREKEY); /* of a state that went: asked for again */
	send_text(BOB, &address_of_alice, "z", NULL, &u);
	receive(ALICE, &address_of_bob, &u, "z");
	free(t);
}

/* The oldest chains of the current state go as wholes: what comes of them is not taken for read. */
static void
test_skipped_in_chains(void **state)
{
	struct sealed_text t[3] = {0}, last = {0}, u = {0};
	int i, chain;

	send_text(ALICE, &address_of_bob, "x", &of_bob.b, &last);
	receive(BOB, &address_of_alice, &last, "x");
	for (chain = 0; chain < 3; chain++) {
		send_text(BOB, &address_of_alice, "z", NULL, &u);
		receive(ALICE, &address_of_bob, &u, "z");
		for (i = 0; i < 2001; i++)
			send_text(ALICE, &address_of_bob, "y", NULL, i == 500 ? &t[chain] : &last);
		receive(BOB, &address_of_alice, &last, "y");
	}
	trimmed_len();
	i = (int)decrypt(BOB, &address_of_alice, &t[0], "");
	assert_true(i == KEYD__DECRYPT_RESULT__OUTCOME__BAD_MAC ||
		    i == KEYD__DECRYPT_RESULT__OUTCOME__INVALID);
	receive(BOB, &address_of_alice, &t[1], "y");
	receive(BOB, &address_of_alice, &t[2], "y");
	FAILS(BOB, &address_of_alice, &t[2], DUPLICATE);
	send_text(BOB, &address_of_alice, "z", NULL, &u);
	receive(ALICE, &address_of_bob, &u, "z");
}

/* A message 2,000 ahead under a session of 40 archived states: one that is forged costs little and
 * changes nothing, and true ones are read, also under the state before. */
static void
test_far_ahead(void **state)
{
	struct sealed_text before = {0}, first = {0}, last = {0}, u = {0};
	int i, round;

	for (round = 0; round < 41; round++) {
		bundle_from(&of_bob, make_prekeys(BOB, 1, 0, ++b.unit), 0);
		commit("bob", b.unit);
		send_text(ALICE, &address_of_bob, "x", &of_bob.b, &last);
		receive(BOB, &address_of_alice, &last, "x");
		if (round < 39)
			continue;
		send_text(BOB, &address_of_alice, "z", NULL, &u);
		receive(ALICE, &address_of_bob, &u, "z");
		for (i = 0; i < 2001; i++)
			send_text(ALICE, &address_of_bob, "y", NULL, i == 0 ? &first : &last);
		if (round == 39)
			before = last;
	}
	u = last;
	u.bytes[u.len - 1] ^= 1;
	FAILS(BOB, &address_of_alice, &u, INVALID);
	assert_in_range(provider_hmacs, 24000, PROVIDER_HMACS_MAX + 100);
	receive(BOB, &address_of_alice, &before, "y");
	receive(BOB, &address_of_alice, &last, "y");
	receive(BOB, &address_of_alice, &first, "y");
	FAILS(BOB, &address_of_alice, &last, DUPLICATE);
}

/* What is not a record is refused, whatever is cut off or changed. */
static void
test_trim_hostile(void **state)
{
	/* current {7: 4 bytes, 7: 4 bytes}, archived {7: 4 bytes} */
	static const uint8_t record[] = {
	    0x0a, 12, 0x3a, 4, 1, 2, 3, 4, 0x3a, 4, 5, 6, 7, 8, 0x12, 6, 0x3a, 4, 9, 10, 11, 12};
	static const struct {
		size_t max;
		int ok;
		size_t len;
	} rows[] = {{64, 0, 22}, {22, 0, 22}, {21, 0, 14}, {20, 0, 14}, {19, 0, 16}, {15, 0, 8},
	    {8, 0, 8}, {7, -1, 0}};
	struct buf out = BUF_INIT;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		buf_reset(&out);
		assert_int_equal(
		    session_trim(record, sizeof(record), rows[i].max, &out), rows[i].ok);
		if (rows[i].ok == 0)
			assert_int_equal(out.len, rows[i].len);
	}
	for (size_t n = 0; n < sizeof(record); n++) { /* each cut: malformed but between fields */
		buf_reset(&out);
		assert_int_equal(session_trim(record, n, 64, &out), n == 0 || n == 14 ? 0 : -1);
	}
	for (size_t n = 0; n < sizeof(record) * 256; n++) {
		uint8_t bad[sizeof(record)];

		memcpy(bad, record, sizeof(record));
		bad[n / 256] = (uint8_t)n;
		buf_reset(&out);
		(void)session_trim(bad, sizeof(bad), 16, &out);
		assert_true(out.len <= sizeof(record) + 8);
	}
	buf_clear(&out);
}

/* ---------------------------------------------------------------- stored's side */

static void
test_unreadable_records(void **state)
{
	struct sealed_text t = {0};
	struct bench_record *r;
	char *name = (char *)(uintptr_t) "200_1";
	Keyd__Address a = KEYD__ADDRESS__INIT;

	a.name = name;
	send_text(ALICE, &address_of_bob, "one", &of_bob.b, &t);
	receive(BOB, &address_of_alice, &t, "one");
	/* a second run of keyd on the same records */
	vault_free(b.k->vault);
	b.k->vault = vault_new(VAULT_CACHE);
	vault_account(b.k->vault, 0, "alice", b.k->secrets->vault_key[0]);
	vault_account(b.k->vault, 1, "bob", b.k->secrets->vault_key[1]);
	/* a session that does not open counts as none: the next prekey message mends it */
	r = bench_record(&b, "bob", STORED__DOMAIN__SESSION, "1/100_1:3", 0);
	r->sealed.data[30] ^= 1;
	send_text(ALICE, &address_of_bob, "two", NULL, &t);
	assert_true(t.pkmsg);
	FAILS(BOB, &address_of_alice, &t,
	    NO_PREKEY); /* its one-time prekey is gone: a retry brings a new one */
	bundle_from(&of_bob, make_prekeys(BOB, 1, 1, ++b.unit), 0);
	commit("bob", b.unit);
	send_text(ALICE, &address_of_bob, "three", &of_bob.b, &t);
	receive(BOB, &address_of_alice, &t, "three");
	assert_int_equal(r->version, 2);
	/* stored fails: no outcome at all, and nothing is remembered of it */
	b.fail_records = "io";
	address_of_alice.device = 8;
	assert_null(decrypt_unit(BOB, &address_of_alice, &t, 1, ++b.unit));
	assert_string_equal(b.code, "store");
	b.fail_records = NULL;
	FAILS(BOB, &address_of_alice, &t, NO_PREKEY);
	/* the device record damaged: the account answers with "store" */
	create(ALICE);
	vault_free(b.k->vault);
	b.k->vault = vault_new(VAULT_CACHE);
	vault_account(b.k->vault, 0, "alice", b.k->secrets->vault_key[0]);
	vault_account(b.k->vault, 1, "bob", b.k->secrets->vault_key[1]);
	bench_record(&b, "alice", STORED__DOMAIN__DEVICE, "device", 0)->sealed.data[40] ^= 1;
	assert_null(decrypt_unit(ALICE, &a, &t, 1, ++b.unit));
	assert_string_equal(b.code, "store");
}

/* Requests are carried out in order although the records of the first come last; those of the later
 * ones are fetched meanwhile. */
static void
test_order_and_prefetch(void **state)
{
	struct sealed_text t = {0};
	Keyd__Sessions q = KEYD__SESSIONS__INIT;
	Keyd__Address *list[1] = {&address_of_bob};
	const Keyd__DecryptReply *r;
	struct bench second = {.answered = 0};

	send_text(ALICE, &address_of_bob, "one", &of_bob.b, &t);
	b.hold_records = 1;
	second.base = b.base;
	/* behind a decryption that waits for stored: a question whose records come from there too
	 */
	q.account = BOB;
	q.addresses = list;
	q.n_addresses = 1;
	bench_send(&second, b.apid, KEYD__TYPE__SESSIONS, &q.base, KEYD__TYPE__SESSIONS_REPLY,
	    &keyd__sessions_reply__descriptor);
	bench_settle(&b);
	assert_int_equal(b.nheld, 1);
	assert_int_equal(second.answered, 0);
	list[0] = &address_of_alice;
	bench_send(&b, b.apid, KEYD__TYPE__SESSIONS, &q.base, KEYD__TYPE__SESSIONS_REPLY,
	    &keyd__sessions_reply__descriptor);
	bench_settle(&b);
	assert_int_equal(b.nheld, 2); /* fetched before its turn has come */
	assert_int_equal(b.answered, 0);
	/* the answer for the second comes first: it must wait for its turn all the same */
	bench_give_records(&b, b.held[1]);
	message_release(b.held[1]);
	b.nheld = 1;
	bench_settle(&b);
	assert_int_equal(b.answered, 0);
	bench_release(&b);
	bench_wait(&b);
	assert_int_equal(second.answered, 1);
	assert_int_equal(b.answered, 1);
	protobuf_c_message_free_unpacked(second.reply, NULL);
	r = decrypt_unit(BOB, &address_of_alice, &t, 1, ++b.unit);
	assert_int_equal(r->results[0]->outcome, KEYD__DECRYPT_RESULT__OUTCOME__DONE);
}

/* 1024 addresses in one question: stored is asked in parts whose answers fit a frame. */
static void
test_many_addresses(void **state)
{
	static char names[1025][16];
	static Keyd__Address addresses[1025], *list[1025];
	Keyd__Sessions q = KEYD__SESSIONS__INIT;
	const Keyd__SessionsReply *r;
	struct sealed_text t = {0};
	int i;

	send_text(ALICE, &address_of_bob, "one", &of_bob.b, &t);
	for (i = 0; i < 1025; i++) {
		keyd__address__init(&addresses[i]);
		snprintf(names[i], sizeof(names[i]), "%d_1", 9000 + i);
		addresses[i].name = names[i];
		list[i] = &addresses[i];
	}
	list[700] = &address_of_bob;
	q.account = ALICE;
	q.addresses = list;
	q.n_addresses = 1024;
	b.fetches = b.fetched = 0;
	r = BENCH_ASK(&b, b.apid, SESSIONS, &q, SESSIONS_REPLY, sessions_reply);
	assert_non_null(r);
	assert_int_equal(r->n_has, 1024);
	for (i = 0; i < 1024; i++)
		assert_int_equal(r->has[i], i == 700);
	assert_int_equal(b.fetched, 1023); /* one is known */
	assert_true(b.fetches >= 64);
	q.n_addresses = 1025;
	assert_null(BENCH_ASK(&b, b.apid, SESSIONS, &q, SESSIONS_REPLY, sessions_reply));
	assert_string_equal(b.code, "bad_request");
}

static void
facts_of(char *account, Keyd__Address *address, struct bench *bench, Keyd__SessionFacts *out,
    uint8_t key[33])
{
	Keyd__Sessions q = KEYD__SESSIONS__INIT;
	const Keyd__SessionsReply *r;

	q.account = account;
	q.addresses = &address;
	q.n_addresses = 1;
	q.has_facts = q.facts = 1;
	r = BENCH_ASK(bench, bench->apid, SESSIONS, &q, SESSIONS_REPLY, sessions_reply);
	assert_non_null(r);
	assert_int_equal(r->n_has, 1);
	assert_int_equal(r->n_facts, 1);
	*out = *r->facts[0];
	assert_int_equal(out->base_key.len, r->has[0] ? 33 : 0);
	if (out->base_key.len > 0)
		memcpy(key, out->base_key.data, out->base_key.len);
}

/* What a retry needs to know of a session, and its deletion. */
static void
test_facts_and_delete(void **state)
{
	Keyd__IdentityForget q = KEYD__IDENTITY_FORGET__INIT;
	Keyd__Address *list[1] = {&address_of_bob};
	Keyd__SessionFacts f;
	struct sealed_text t = {0}, u = {0};
	const Keyd__IdentityForgetReply *done;
	uint8_t one[33] = {0}, two[33] = {0};

	facts_of(ALICE, &address_of_bob, &b, &f, one);
	assert_int_equal(f.registration_id, 0);
	assert_false(f.unacknowledged);
	send_text(ALICE, &address_of_bob, "one", &of_bob.b, &t);
	facts_of(ALICE, &address_of_bob, &b, &f, one);
	assert_int_equal(f.registration_id, of_bob.b.registration_id);
	assert_int_equal(one[0], 5);
	assert_true(f.unacknowledged);
	receive(BOB, &address_of_alice, &t, "one");
	facts_of(BOB, &address_of_alice, &b, &f, two);
	assert_memory_equal(one, two, 33); /* both have that of the one who began */
	send_text(BOB, &address_of_alice, "two", NULL, &u);
	receive(ALICE, &address_of_bob, &u, "two");
	facts_of(ALICE, &address_of_bob, &b, &f, two);
	assert_memory_equal(one, two, 33);
	assert_false(f.unacknowledged);
	/* a session from another bundle has another base key */
	bundle_from(&of_bob, make_prekeys(BOB, 1, 0, ++b.unit), 0);
	commit("bob", b.unit);
	send_text(ALICE, &address_of_bob, "three", &of_bob.b, &t);
	facts_of(ALICE, &address_of_bob, &b, &f, two);
	assert_memory_not_equal(one, two, 33);
	/* deleted with its archive; the identity stays, and a next bundle begins anew */
	q.account = ALICE;
	q.addresses = list;
	q.n_addresses = 1;
	q.has_only_sessions = q.only_sessions = 1;
	q.unit = ++b.unit;
	done = BENCH_ASK(
	    &b, b.apid, IDENTITY_FORGET, &q, IDENTITY_FORGET_REPLY, identity_forget_reply);
	assert_non_null(done);
	assert_int_equal(done->stages, 1);
	commit("alice", b.unit);
	facts_of(ALICE, &address_of_bob, &b, &f, two);
	assert_int_equal(f.registration_id, 0);
	assert_int_equal(encrypt(ALICE, &address_of_bob, "four", NULL, &t),
	    KEYD__ENCRYPT_RESULT__OUTCOME__NO_SESSION);
	assert_true(
	    bench_record(&b, "alice", STORED__DOMAIN__IDENTITY, "1/200_1:0", 0)->version > 0);
	/* what is not there is deleted with success */
	q.unit = ++b.unit;
	assert_non_null(BENCH_ASK(
	    &b, b.apid, IDENTITY_FORGET, &q, IDENTITY_FORGET_REPLY, identity_forget_reply));
}

/* ---------------------------------------------------------------- prekeys */

static void
test_prekeys(void **state)
{
	const Keyd__PrekeysReply *r;
	Keyd__PrekeysUploaded up = KEYD__PREKEYS_UPLOADED__INIT;
	uint32_t ids[4] = {1, 6, 7, 500};
	struct sealed_text t = {0};
	int i;

	/* setup offered 1 to 5; an offer whose unit fails is made again with the same ids */
	r = make_prekeys(BOB, 812, 0, ++b.unit);
	assert_int_equal(r->n_keys, 812);
	assert_int_equal(r->stages, 1);
	for (i = 0; i < 812; i++)
		assert_int_equal(r->keys[i]->id, 6 + i);
	assert_int_equal(bench_commit(&b, "bob", b.unit, 0), 0);
	bench_settle(&b);
	r = make_prekeys(BOB, 1000, 0, ++b.unit);
	assert_int_equal(r->keys[0]->id, 6);
	assert_int_equal(r->keys[999]->id, 1005);
	commit("bob", b.unit);
	/* an unanswered upload never offers an id twice; a retry takes the next of the same count
	 */
	r = make_prekeys(BOB, 1, 1, ++b.unit);
	assert_int_equal(r->n_keys, 1);
	assert_int_equal(r->keys[0]->id, 1006);
	commit("bob", b.unit);
	assert_true(bench_record(&b, "bob", STORED__DOMAIN__PREKEY, "1/1006", 0)->uploaded);
	assert_false(bench_record(&b, "bob", STORED__DOMAIN__PREKEY, "1/6", 0)->uploaded);
	/* key 1 is used before its upload is answered: it does not come back */
	send_text(ALICE, &address_of_bob, "one", &of_bob.b, &t);
	receive(BOB, &address_of_alice, &t, "one");
	up.account = BOB;
	up.unit = ++b.unit;
	up.ids = ids;
	up.n_ids = 4;
	assert_non_null(BENCH_ASK(&b, b.apid, PREKEYS_UPLOADED, &up, STAGED, staged));
	commit("bob", b.unit);
	assert_int_equal(bench_record(&b, "bob", STORED__DOMAIN__PREKEY, "1/1", 0)->version, 0);
	assert_true(bench_record(&b, "bob", STORED__DOMAIN__PREKEY, "1/6", 0)->uploaded);
	assert_int_equal(bench_record(&b, "bob", STORED__DOMAIN__PREKEY, "1/6", 0)->version, 2);
	assert_false(bench_record(&b, "bob", STORED__DOMAIN__PREKEY, "1/8", 0)->uploaded);
	assert_null(make_prekeys(BOB, 0, 0, ++b.unit));
	assert_string_equal(b.code, "bad_request");
	assert_null(make_prekeys(BOB, 1001, 0, ++b.unit));
	assert_string_equal(b.code, "bad_request");
	assert_null(make_prekeys(BOB, 2, 1, ++b.unit));
	assert_string_equal(b.code, "bad_request");
}

/* After a restore the ids go on far from those that were, and begin again at 1 like all others. */
static void
test_restored(void **state)
{
	Keyd__Restored q = KEYD__RESTORED__INIT;
	const Keyd__Staged *a;
	uint32_t id = 6; /* setup offered 1 to 5 */
	int i, wrapped = 0;

	q.account = BOB;
	q.unit = ++b.unit;
	a = BENCH_ASK(&b, b.apid, RESTORED, &q, STAGED, staged);
	assert_non_null(a);
	assert_int_equal(a->stages, 1);
	assert_int_equal(
	    bench_commit(&b, "bob", b.unit, 0), 0); /* a unit that fails moves nothing */
	bench_settle(&b);
	for (i = 0; i < 168; i++) {
		q.unit = ++b.unit;
		assert_non_null(BENCH_ASK(&b, b.apid, RESTORED, &q, STAGED, staged));
		commit("bob", b.unit);
		id += 100000;
		if (id > 0xfffffe) {
			id -= 0xfffffe;
			wrapped++;
		}
		if (i % 20 == 0 || wrapped) {
			assert_int_equal(make_prekeys(BOB, 1, 0, ++b.unit)->keys[0]->id, id);
			commit("bob", b.unit);
			id++;
		}
	}
	assert_int_equal(wrapped, 1);
	q.account = (char *)(uintptr_t) "nobody";
	assert_null(BENCH_ASK(&b, b.apid, RESTORED, &q, STAGED, staged));
	assert_string_equal(b.code, "unknown_account");
}

/* ---------------------------------------------------------------- a number becomes a LID */

static uint32_t
lid_move(char *who, Keyd__Address *from, Keyd__Address *to, int ok)
{
	Keyd__LidMove q = KEYD__LID_MOVE__INIT;
	Keyd__Move m = KEYD__MOVE__INIT, *list[1] = {&m};
	const Keyd__LidMoveReply *r;
	uint32_t moved;

	m.from = from;
	m.to = to;
	q.account = who;
	q.unit = ++b.unit;
	q.moves = list;
	q.n_moves = 1;
	r = BENCH_ASK(&b, b.apid, LID_MOVE, &q, LID_MOVE_REPLY, lid_move_reply);
	if (r == NULL)
		return 99;
	moved = r->moved;
	assert_int_equal(r->stages, moved);
	assert_int_equal(bench_commit(&b, who, b.unit, ok), ok);
	bench_settle(&b);
	return moved;
}

static uint64_t
version(const char *who, int domain, const char *name)
{
	const struct bench_record *r = bench_record(&b, who, domain, name, 0);

	return r == NULL ? 0 : r->version;
}

static void
test_lid_move(void **state)
{
	Keyd__Address by_number = KEYD__ADDRESS__INIT, other = KEYD__ADDRESS__INIT;
	struct sealed_text t[3] = {0};

	by_number.name = (char *)(uintptr_t) "555";
	by_number.device = address_of_alice.device;
	other.name = (char *)(uintptr_t) "100_1";
	other.device = 4;
	assert_int_equal(lid_move(BOB, &by_number, &address_of_alice, 1), 0); /* nothing is there */
	send_text(ALICE, &address_of_bob, "first", &of_bob.b, &t[0]);
	receive(BOB, &by_number, &t[0], "first");
	assert_int_equal(lid_move(BOB, &by_number, &address_of_alice, 0), 1);
	assert_int_equal(version("bob", STORED__DOMAIN__SESSION, "1/555:3"), 1); /* it failed */
	assert_int_equal(version("bob", STORED__DOMAIN__SESSION, "1/100_1:3"), 0);
	send_text(BOB, &by_number, "still", NULL, &t[1]);
	receive(ALICE, &address_of_bob, &t[1], "still");
	assert_int_equal(lid_move(BOB, &by_number, &address_of_alice, 1), 1);
	assert_int_equal(version("bob", STORED__DOMAIN__SESSION, "1/555:3"), 0);
	assert_int_equal(version("bob", STORED__DOMAIN__IDENTITY, "1/555:3"), 0);
	assert_int_equal(version("bob", STORED__DOMAIN__SESSION, "1/100_1:3"), 1);
	assert_int_equal(version("bob", STORED__DOMAIN__IDENTITY, "1/100_1:3"), 1);
	send_text(ALICE, &address_of_bob, "second", NULL, &t[0]);
	receive(BOB, &address_of_alice, &t[0], "second");
	send_text(BOB, &address_of_alice, "third", NULL, &t[1]);
	assert_false(t[1].pkmsg);
	receive(ALICE, &address_of_bob, &t[1], "third");
	assert_int_equal(lid_move(BOB, &by_number, &by_number, 1), 99);
	assert_string_equal(b.code, "bad_request");
	assert_int_equal(lid_move(BOB, &by_number, &other, 1), 99); /* of another device */
	assert_string_equal(b.code, "bad_request");
}

/* Both addresses have a session: what comes under either is read, and the one by number is written
 * with. */
static void
test_lid_move_both(void **state)
{
	Keyd__Address by_number = KEYD__ADDRESS__INIT;
	struct sealed_text old = {0}, late = {0}, t = {0};

	by_number.name = (char *)(uintptr_t) "555";
	by_number.device = address_of_alice.device;
	send_text(ALICE, &address_of_bob, "to the LID", &of_bob.b, &old);
	receive(BOB, &address_of_alice, &old, "to the LID");
	send_text(BOB, &address_of_alice, "answer", NULL, &t);
	receive(ALICE, &address_of_bob, &t, "answer");
	send_text(ALICE, &address_of_bob, "under way", NULL, &late); /* in the session by LID */
	/* she begins anew, and that lands under her number */
	of_bob.b.prekey = NULL;
	send_text(ALICE, &address_of_bob, "anew", &of_bob.b, &t);
	receive(BOB, &by_number, &t, "anew");
	assert_int_equal(lid_move(BOB, &by_number, &address_of_alice, 1), 1);
	assert_int_equal(version("bob", STORED__DOMAIN__SESSION, "1/555:3"), 0);
	send_text(BOB, &address_of_alice, "by the new one", NULL, &t);
	receive(ALICE, &address_of_bob, &t, "by the new one");
	receive(BOB, &address_of_alice, &late, "under way"); /* lies beneath */
}

/* The number's session is with an identity that the LID's is not: nobody writes with it any more.
 */
static void
test_lid_move_identity(void **state)
{
	Keyd__Address by_number = KEYD__ADDRESS__INIT;
	struct sealed_text t = {0};

	by_number.name = (char *)(uintptr_t) "555";
	by_number.device = address_of_alice.device;
	send_text(ALICE, &address_of_bob, "old", &of_bob.b, &t);
	receive(BOB, &by_number, &t, "old");
	create(ALICE);
	of_bob.b.prekey = NULL;
	send_text(ALICE, &address_of_bob, "registered anew", &of_bob.b, &t);
	receive(BOB, &address_of_alice, &t, "registered anew");
	assert_int_equal(lid_move(BOB, &by_number, &address_of_alice, 1), 1);
	send_text(BOB, &address_of_alice, "to the new one", NULL, &t);
	receive(ALICE, &address_of_bob, &t, "to the new one");
}

/* A new device uses nothing of the one before. */
static void
test_generations(void **state)
{
	const Keyd__DeviceState *s;
	struct sealed_text t = {0}, u = {0};
	uint8_t identity[32];

	send_text(ALICE, &address_of_bob, "one", &of_bob.b, &t);
	receive(BOB, &address_of_alice, &t, "one");
	send_text(ALICE, &address_of_bob, "two", NULL, &u);
	s = create(BOB);
	assert_int_equal(s->generation, 2);
	assert_false(s->linked);
	memcpy(identity, s->identity_pub.data, 32);
	assert_memory_not_equal(identity, of_bob.identity, 32);
	FAILS(BOB, &address_of_alice, &u, NO_PREKEY);
	assert_int_equal(make_prekeys(BOB, 1, 0, ++b.unit)->keys[0]->id, 1);
	commit("bob", b.unit);
	assert_int_equal(bench_record(&b, "bob", STORED__DOMAIN__PREKEY, "2/1", 0)->version, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_conversation, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_order_and_copies, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bad_bundles, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_simultaneous, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_simultaneous_apart, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_failed_units, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_apid_hears_first, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_device_not_committed, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_items_of_one_request, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_identity_change, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_skipped_and_trimmed, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_skipped_in_chains, setup, teardown),
	    cmocka_unit_test(test_trim_hostile),
	    cmocka_unit_test_setup_teardown(test_far_ahead, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_unreadable_records, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_order_and_prefetch, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_many_addresses, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_facts_and_delete, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_prekeys, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_restored, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_lid_move, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_lid_move_both, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_lid_move_identity, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_generations, setup, teardown),
	};

	log_set_level(LOG_LV_ERR);
	(void)core_warm_up();
	alarm(600 * test_slow());
	return cmocka_run_group_tests_name("keyd: sessions", tests, NULL, NULL);
}
