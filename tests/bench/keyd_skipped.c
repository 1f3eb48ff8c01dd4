/* What a message costs keyd whose session has many skipped keys, beside a fresh one, and what
 * another chat of the account feels behind it. keyd and what it talks to run in this process: the
 * times are those of all of them, without a disk. */
#include <err.h>

#include "tests/bench/bench.h"
#include "tests/unit/keyd_bench.h"

#define SKIPPED 2000u /* what libsignal keeps of one chain */
#define ROUNDS  60u
#define QUEUE   16u /* of the heavy chat before the other one's message */

static struct bench b;

static char alice[] = "alice", bob[] = "bob";

struct text {
	uint8_t bytes[512];
	size_t len;
	int pkmsg;
};

/* ---------------------------------------------------------------- verbs, in short */

static void
commit(const char *account)
{
	if (bench_commit(&b, account, b.unit, 1) != 1)
		errx(1, "a unit failed");
	bench_settle(&b);
}

static void
create(char *account)
{
	Keyd__DeviceCreate q = KEYD__DEVICE_CREATE__INIT;

	q.account = account;
	q.unit = ++b.unit;
	if (BENCH_ASK(&b, b.apid, DEVICE_CREATE, &q, DEVICE_STATE, device_state) == NULL)
		errx(1, "create: %s", b.code);
	commit(account);
}

static const Keyd__EncryptReply *
encrypt(char *from, Keyd__Address *to, Keyd__Bundle *bundle, unsigned n)
{
	Keyd__Encrypt q = KEYD__ENCRYPT__INIT;
	static Keyd__EncryptItem item[SKIPPED / 2], *items[SKIPPED / 2];
	ProtobufCBinaryData plain = {5, (uint8_t *)(uintptr_t) "text"};
	const Keyd__EncryptReply *r;

	for (unsigned i = 0; i < n; i++) {
		keyd__encrypt_item__init(&item[i]);
		item[i].address = to;
		item[i].bundle = i == 0 ? bundle : NULL;
		items[i] = &item[i];
	}
	q.account = from;
	q.unit = ++b.unit;
	q.plaintexts = &plain;
	q.n_plaintexts = 1;
	q.items = items;
	q.n_items = n;
	r = BENCH_ASK(&b, b.apid, ENCRYPT, &q, ENCRYPT_REPLY, encrypt_reply);
	if (r == NULL)
		errx(1, "encrypt: %s", b.code);
	for (unsigned i = 0; i < n; i++)
		if (r->results[i]->outcome != KEYD__ENCRYPT_RESULT__OUTCOME__DONE)
			errx(1, "encrypt: outcome %d", r->results[i]->outcome);
	return r;
}

static void
keep(const Keyd__EncryptReply *r, unsigned i, struct text *t)
{
	const Keyd__EncryptResult *e = r->results[i];

	if (e->ciphertext.len > sizeof(t->bytes))
		errx(1, "a ciphertext is too long");
	memcpy(t->bytes, e->ciphertext.data, t->len = e->ciphertext.len);
	t->pkmsg = e->pkmsg;
}

/* n encrypted, of which the first and the last are kept. */
static void
write_many(char *from, Keyd__Address *to, Keyd__Bundle *bundle, unsigned n, struct text *first,
    struct text *last)
{
	unsigned step;

	for (unsigned i = 0; i < n; i += step) {
		const Keyd__EncryptReply *r;

		step = n - i < SKIPPED / 2 ? n - i : SKIPPED / 2;
		r = encrypt(from, to, i == 0 ? bundle : NULL, step);
		if (i == 0 && first != NULL)
			keep(r, 0, first);
		if (i + step == n)
			keep(r, step - 1, last);
		commit(from);
	}
}

static void
decrypt_request(char *to, const struct text *t, Keyd__Address *from, Keyd__Decrypt *q,
    Keyd__DecryptItem *item, Keyd__DecryptItem **items)
{
	keyd__decrypt__init(q);
	keyd__decrypt_item__init(item);
	item->address = from;
	item->kind = t->pkmsg ? KEYD__DECRYPT_ITEM__KIND__PKMSG : KEYD__DECRYPT_ITEM__KIND__MSG;
	item->ciphertext = (ProtobufCBinaryData){t->len, (uint8_t *)(uintptr_t)t->bytes};
	items[0] = item;
	q->account = to;
	q->unit = ++b.unit;
	q->items = items;
	q->n_items = 1;
}

static Keyd__DecryptResult__Outcome
decrypt(char *to, Keyd__Address *from, const struct text *t)
{
	Keyd__Decrypt q;
	Keyd__DecryptItem item, *items[1];
	const Keyd__DecryptReply *r;

	decrypt_request(to, t, from, &q, &item, items);
	r = BENCH_ASK(&b, b.apid, DECRYPT, &q, DECRYPT_REPLY, decrypt_reply);
	if (r == NULL)
		errx(1, "decrypt: %s", b.code);
	return r->results[0]->outcome;
}

static void
receive(char *to, Keyd__Address *from, const struct text *t)
{
	Keyd__DecryptResult__Outcome o = decrypt(to, from, t);

	if (o != KEYD__DECRYPT_RESULT__OUTCOME__DONE)
		errx(1, "decrypt: outcome %d", o);
	commit(to);
}

/* ---------------------------------------------------------------- a chat */

/* Alice's address of bob is another one in each chat, and so is his of her. */
struct chat {
	Keyd__Address to_bob, to_alice;
	char bobs[16], alices[16];
};

static void
chat_new(struct chat *c, int number)
{
	(void)snprintf(c->bobs, sizeof(c->bobs), "%d_1", 200 + number);
	(void)snprintf(c->alices, sizeof(c->alices), "%d_1", 100 + number);
	keyd__address__init(&c->to_bob);
	keyd__address__init(&c->to_alice);
	c->to_bob.name = c->bobs;
	c->to_alice.name = c->alices;
}

/* A session with as many skipped keys (0 or up to 2,000); a state that there was is archived. */
static void
chat_begin(struct chat *c, unsigned skipped, struct text *first)
{
	Keyd__PrekeysMake q = KEYD__PREKEYS_MAKE__INIT;
	Keyd__Bundle bundle = KEYD__BUNDLE__INIT;
	const Keyd__PrekeysReply *r;
	uint8_t keys[4][64];
	Keyd__SignedPrekey s = KEYD__SIGNED_PREKEY__INIT;
	Keyd__Prekey p = KEYD__PREKEY__INIT;
	struct text last;

	q.account = bob;
	q.unit = ++b.unit;
	q.count = 1;
	r = BENCH_ASK(&b, b.apid, PREKEYS_MAKE, &q, PREKEYS_REPLY, prekeys_reply);
	if (r == NULL)
		errx(1, "prekeys: %s", b.code);
	memcpy(keys[0], r->identity_pub.data, 32);
	memcpy(keys[1], r->signed_prekey->pub.data, 32);
	memcpy(keys[2], r->signed_prekey->signature.data, 64);
	memcpy(keys[3], r->keys[0]->pub.data, 32);
	bundle.registration_id = r->registration_id;
	bundle.identity = pb_bytes(keys[0], 32);
	s.id = r->signed_prekey->id;
	s.pub = pb_bytes(keys[1], 32);
	s.signature = pb_bytes(keys[2], 64);
	p.id = r->keys[0]->id;
	p.pub = pb_bytes(keys[3], 32);
	bundle.signed_prekey = &s;
	bundle.prekey = &p;
	commit(bob);
	write_many(alice, &c->to_bob, &bundle, skipped + 1, first, &last);
	receive(bob, &c->to_alice, &last);
}

/* Bob answers, so that the next of alice's begins a chain. */
static void
chat_answer(struct chat *c)
{
	struct text t;

	write_many(bob, &c->to_alice, NULL, 1, NULL, &t);
	receive(alice, &c->to_bob, &t);
}

static void
chat_skip(struct chat *c, unsigned skipped)
{
	struct text last;

	write_many(alice, &c->to_bob, NULL, skipped + 1, NULL, &last);
	receive(bob, &c->to_alice, &last);
}

/* ---------------------------------------------------------------- measuring */

static size_t
record_len(const struct chat *c)
{
	char name[64];
	struct bench_record *r;

	(void)snprintf(name, sizeof(name), "1/%s:0", c->alices);
	r = bench_record(&b, bob, STORED__DOMAIN__SESSION, name, 0);
	return r == NULL ? 0 : r->sealed.len;
}

static double
middle(uint32_t *us, unsigned n)
{
	qsort(us, n, sizeof(us[0]), by_size);
	return us[n >> 1] / 1000.0;
}

static unsigned came;

static void
on_reply(const struct reply *r, void *arg)
{
	if (!r->ok)
		errx(1, "decrypt: %s", r->code);
	b.promised += ((const Keyd__DecryptReply *)r->pb)->stages;
	came++;
}

static void
post(struct chat *c, const struct text *t, uint64_t *unit)
{
	Keyd__Decrypt q;
	Keyd__DecryptItem item, *items[1];

	decrypt_request(bob, t, &c->to_alice, &q, &item, items);
	*unit = q.unit;
	(void)channel_request(b.apid, KEYD__TYPE__DECRYPT, &q.base, KEYD__TYPE__DECRYPT_REPLY,
	    &keyd__decrypt_reply__descriptor, 1 << 20, 60000, on_reply, NULL);
}

/* How long a message of another chat takes behind so many of this one. */
static double
behind(struct chat *c, struct chat *other)
{
	struct text heavy[QUEUE], light;
	uint64_t units[QUEUE + 1];
	int64_t began;
	double ms;

	for (unsigned i = 0; i < QUEUE; i++)
		write_many(alice, &c->to_bob, NULL, 1, NULL, &heavy[i]);
	write_many(alice, &other->to_bob, NULL, 1, NULL, &light);
	came = 0;
	began = now_us();
	for (unsigned i = 0; i < QUEUE; i++)
		post(c, &heavy[i], &units[i]);
	post(other, &light, &units[QUEUE]);
	while (came <= QUEUE)
		event_base_loop(b.base, EVLOOP_ONCE);
	ms = (double)(now_us() - began) / 1000;
	for (unsigned i = 0; i <= QUEUE; i++)
		if (bench_commit(&b, bob, units[i], 1) != 1)
			errx(1, "a unit failed");
	bench_settle(&b);
	return ms;
}

static void
measure(const char *what, struct chat *c, struct chat *other)
{
	uint32_t in[ROUNDS], out[ROUNDS], bad[ROUNDS];
	struct text t;
	int64_t began;

	for (unsigned i = 0; i < ROUNDS; i++) {
		write_many(alice, &c->to_bob, NULL, 1, NULL, &t);
		t.bytes[t.len - 1] ^= 1;
		began = now_us();
		(void)decrypt(bob, &c->to_alice, &t);
		bad[i] = (uint32_t)(now_us() - began);
		bench_settle(&b);
		t.bytes[t.len - 1] ^= 1;
		began = now_us();
		if (decrypt(bob, &c->to_alice, &t) != KEYD__DECRYPT_RESULT__OUTCOME__DONE)
			errx(1, "%s: not read", what);
		in[i] = (uint32_t)(now_us() - began);
		commit(bob);
		began = now_us();
		(void)encrypt(bob, &c->to_alice, NULL, 1);
		out[i] = (uint32_t)(now_us() - began);
		commit(bob);
	}
	printf("%-34s %9zu %9.2f %9.2f %9.2f %12.2f\n", what, record_len(c), middle(in, ROUNDS),
	    middle(out, ROUNDS), middle(bad, ROUNDS), behind(c, other));
	fflush(stdout);
}

/* One that was skipped, of the oldest state. */
static void
measure_first(const char *what, struct chat *c, const struct text *first)
{
	int64_t began = now_us();
	Keyd__DecryptResult__Outcome o = decrypt(bob, &c->to_alice, first);

	printf("%-34s %9zu %9.2f   %s\n", what, record_len(c), (double)(now_us() - began) / 1000,
	    o == KEYD__DECRYPT_RESULT__OUTCOME__DONE ? "" : "not read");
	if (o == KEYD__DECRYPT_RESULT__OUTCOME__DONE)
		commit(bob);
	bench_settle(&b);
}

static void
archived(unsigned n, const char *what, struct chat *c, struct chat *other)
{
	struct text first, rest;
	char text[64];

	for (unsigned i = 0; i <= n; i++)
		chat_begin(c, SKIPPED - 1, i == 0 ? &first : &rest);
	chat_answer(c);
	measure(what, c, other);
	(void)snprintf(text, sizeof(text), "  a message of the oldest state");
	measure_first(text, c, &first);
}

/* A peer may send anything. The dearest is what begins a new chain 2,000 messages in, with a wrong
 * MAC: each state there is derives all the keys before it is refused. Nothing of it stays. */
static void
forged(unsigned n, struct chat *c)
{
	struct text t;
	int64_t began;

	for (unsigned i = 0; i <= n; i++)
		chat_begin(c, 0, NULL);
	chat_answer(c);
	write_many(alice, &c->to_bob, NULL, SKIPPED, NULL, &t);
	t.bytes[t.len - 1] ^= 1;
	began = now_us();
	(void)decrypt(bob, &c->to_alice, &t);
	printf("  forged, 2,000 ahead, %2u archived %11zu %29.2f\n", n, record_len(c),
	    (double)(now_us() - began) / 1000);
	bench_settle(&b);
}

int
main(void)
{
	static const char key[] = "01234567890123456789012345678901";
	static struct chat fresh, other, one, chains, five, twelve, no_state, states;
	int64_t began;

	log_set_level(LOG_LV_ERR);
	(void)core_warm_up();
	bench_start(&b, key, 1);
	create(alice);
	create(bob);
	chat_new(&fresh, 1);
	chat_new(&other, 2);
	chat_new(&one, 3);
	chat_new(&chains, 4);
	chat_new(&five, 5);
	chat_new(&twelve, 6);
	chat_new(&no_state, 7);
	chat_new(&states, 8);
	chat_begin(&other, 0, NULL);
	chat_answer(&other);
	printf("%-34s %9s %9s %9s %9s %12s\n", "milliseconds, session with", "bytes", "decrypt",
	    "encrypt", "refuse", "behind 16");

	chat_begin(&fresh, 0, NULL);
	chat_answer(&fresh);
	measure("no skipped key", &fresh, &other);

	chat_begin(&one, 0, NULL);
	chat_answer(&one);
	{
		struct text last;

		write_many(alice, &one.to_bob, NULL, SKIPPED + 1, NULL, &last);
		began = now_us();
		receive(bob, &one.to_alice, &last);
		printf("%-34s %9zu %9.2f\n", "  the message that skips 2,000", record_len(&one),
		    (double)(now_us() - began) / 1000);
	}
	measure("2,000 skipped keys", &one, &other);

	chat_begin(&chains, SKIPPED - 1, NULL);
	for (int i = 0; i < 4; i++) {
		chat_answer(&chains);
		chat_skip(&chains, SKIPPED - 1);
	}
	measure("five chains of 2,000", &chains, &other);

	archived(5, "five archived states of 2,000", &five, &other);
	archived(12, "twelve archived states of 2,000", &twelve, &other);
	forged(0, &no_state);
	forged(40, &states);
	bench_stop(&b);
	return 0;
}
