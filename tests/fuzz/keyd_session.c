/* Fuzz: bytes of others into DECRYPT: raw, or as changes of a real message, so that what lies
 * behind the MAC is near. The first byte chooses: bit 0 pkmsg or msg, bit 1 raw or changes. */
#include "tests/unit/keyd_bench.h"

#include "keyd/curve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct bench b;
static uint8_t real[2][1024]; /* a msg and a pkmsg from bob to alice */
static size_t real_len[2];
static char alice[] = "alice", bob[] = "bob", name_alice[] = "100_1", name_bob[] = "200_1";

static void
commit(const char *account)
{
	(void)bench_commit(&b, account, b.unit, 1);
	bench_settle(&b);
}

static const Keyd__PrekeysReply *
new_account(char *account)
{
	Keyd__DeviceCreate d = KEYD__DEVICE_CREATE__INIT;
	Keyd__PrekeysMake p = KEYD__PREKEYS_MAKE__INIT;
	const Keyd__PrekeysReply *r;

	d.account = p.account = account;
	d.unit = ++b.unit;
	if (BENCH_ASK(&b, b.apid, DEVICE_CREATE, &d, DEVICE_STATE, device_state) == NULL)
		abort();
	commit(account);
	p.unit = ++b.unit;
	p.count = 2;
	r = BENCH_ASK(&b, b.apid, PREKEYS_MAKE, &p, PREKEYS_REPLY, prekeys_reply);
	commit(account);
	return r;
}

static void
encrypt(char *from, char *to, const Keyd__PrekeysReply *keys, uint8_t *out, size_t *len)
{
	Keyd__Encrypt q = KEYD__ENCRYPT__INIT;
	Keyd__EncryptItem item = KEYD__ENCRYPT_ITEM__INIT, *items[1] = {&item};
	Keyd__Address a = KEYD__ADDRESS__INIT;
	Keyd__Bundle bundle = KEYD__BUNDLE__INIT;
	Keyd__Prekey prekey = KEYD__PREKEY__INIT;
	Keyd__SignedPrekey skey = KEYD__SIGNED_PREKEY__INIT;
	uint8_t copy[4][64];
	ProtobufCBinaryData plain = {4, copy[0]};
	const Keyd__EncryptReply *r;

	if (keys != NULL) {
		memcpy(copy[0], keys->identity_pub.data, 32);
		memcpy(copy[1], keys->signed_prekey->pub.data, 32);
		memcpy(copy[2], keys->signed_prekey->signature.data, 64);
		memcpy(copy[3], keys->keys[0]->pub.data, 32);
		bundle.registration_id = keys->registration_id;
		bundle.identity = (ProtobufCBinaryData){32, copy[0]};
		skey.id = keys->signed_prekey->id;
		skey.pub = (ProtobufCBinaryData){32, copy[1]};
		skey.signature = (ProtobufCBinaryData){64, copy[2]};
		prekey.id = keys->keys[0]->id;
		prekey.pub = (ProtobufCBinaryData){32, copy[3]};
		bundle.signed_prekey = &skey;
		bundle.prekey = &prekey;
		item.bundle = &bundle;
	}
	a.name = to;
	item.address = &a;
	q.account = from;
	q.unit = ++b.unit;
	q.plaintexts = &plain;
	q.n_plaintexts = 1;
	q.items = items;
	q.n_items = 1;
	r = BENCH_ASK(&b, b.apid, ENCRYPT, &q, ENCRYPT_REPLY, encrypt_reply);
	if (r == NULL || !r->results[0]->has_ciphertext || r->results[0]->ciphertext.len > 1024)
		abort();
	*len = r->results[0]->ciphertext.len;
	memcpy(out, r->results[0]->ciphertext.data, *len);
	commit(from);
}

static void
decrypt(char *to, char *from, int pkmsg, const uint8_t *bytes, size_t len, int keep)
{
	Keyd__Decrypt q = KEYD__DECRYPT__INIT;
	Keyd__DecryptItem item = KEYD__DECRYPT_ITEM__INIT, *items[1] = {&item};
	Keyd__Address a = KEYD__ADDRESS__INIT;

	a.name = from;
	item.address = &a;
	item.kind = pkmsg ? KEYD__DECRYPT_ITEM__KIND__PKMSG : KEYD__DECRYPT_ITEM__KIND__MSG;
	item.ciphertext = (ProtobufCBinaryData){len, (uint8_t *)(uintptr_t)bytes};
	q.account = to;
	q.unit = ++b.unit;
	q.items = items;
	q.n_items = 1;
	/* an answer always comes, and never that the store is broken */
	if (BENCH_ASK(&b, b.apid, DECRYPT, &q, DECRYPT_REPLY, decrypt_reply) == NULL)
		abort();
	(void)bench_commit(&b, to, b.unit, keep);
	bench_settle(&b);
}

static void
prepare(void)
{
	const Keyd__PrekeysReply *keys;
	uint8_t first[1024];
	size_t len;

	(void)core_warm_up();
	bench_start(&b, "01234567890123456789012345678901", 1);
	(void)new_account(bob);
	keys = new_account(alice);
	encrypt(
	    bob, name_alice, keys, real[1], &real_len[1]); /* kept for the fuzzer: never received */
	keys = new_account(bob);                           /* another device of bob */
	encrypt(alice, name_bob, keys, first, &len);
	decrypt(bob, name_alice, 1, first, len, 1);
	encrypt(bob, name_alice, NULL, real[0], &real_len[0]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t bytes[1024];
	size_t i, n;
	int pkmsg;

	if (b.base == NULL)
		prepare();
	if (len == 0)
		return 0;
	pkmsg = data[0] & 1;
	if (data[0] & 2) {
		n = real_len[pkmsg];
		memcpy(bytes, real[pkmsg], n);
		for (i = 1; i + 3 <= len; i += 3)
			bytes[(size_t)(data[i] << 8 | data[i + 1]) % n] ^= data[i + 2];
		decrypt(alice, name_bob, pkmsg, bytes, n, 0);
	} else
		decrypt(alice, name_bob, pkmsg, data + 1, len - 1, 0);
	return 0;
}
