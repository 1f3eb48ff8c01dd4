/* The phone's side of linking with a passkey: proof, commitment, code, and the pairing request. */
#include "tests/sim/phone_passkey.h"

#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "common/pb.h"
#include "common/proto/companion.pb-c.h"
#include "tests/sim/crypt.h"
#include "tests/sim/phone_impl.h"
#include "tests/sim/rng.h"

#define ALPHABET "123456789ABCDEFGHJKLMNPQRSTVWXYZ"
#define ARENA    8192

int
phone_passkey_agree(const uint8_t e_priv[32], const uint8_t companion_pub[32], unsigned device_type,
    const char *ref, uint8_t key[32])
{
	static const char info[] = "Pairing Information Encryption Key";
	char salt[256];
	uint8_t shared[32];

	if (crypt_x25519(shared, e_priv, companion_pub) != 0)
		return -1;
	snprintf(salt, sizeof(salt), "Companion Pairing %u with ref %s", device_type, ref);
	crypt_hkdf(salt, strlen(salt), shared, 32, info, strlen(info), key, 32);
	return 0;
}

void
phone_passkey_code(const uint8_t companion_nonce[32], const uint8_t pub[32],
    const uint8_t nonce[32], char code[10])
{
	uint8_t both[64], d[32];
	uint64_t n = 0;

	memcpy(both, companion_nonce, 32);
	memcpy(both + 32, pub, 32);
	crypt_sha256(both, sizeof(both), d);
	for (int i = 0; i < 5; i++)
		n = n << 8 | (uint64_t)(nonce[i] ^ d[i]);
	for (int i = 7; i >= 0; i--, n >>= 5)
		code[i < 4 ? i : i + 1] = ALPHABET[n & 31];
	code[4] = '-';
	code[9] = '\0';
}

void
phone_passkey_proof(const uint8_t secret[32], const uint8_t *payload, size_t len, uint8_t proof[32])
{
	static const char info[] = "shortcake-passkey-handoff-v1";
	uint8_t key[32];

	crypt_hkdf(NULL, 0, secret, 32, info, strlen(info), key, 32);
	crypt_hmac(key, 32, payload, len, proof);
}

static void
failed(struct phone *p, const char *why)
{
	snprintf(p->passkey.error, sizeof(p->passkey.error), "%s", why);
	p->passkey.state = PHONE_PASSKEY_FAILED;
	log_notice("phone of %s: linking with a passkey: %s", p->account->name, why);
}

void
phone_passkey_begin(struct phone *p, const uint8_t *secret)
{
	struct phone_passkey *k = &p->passkey;

	memset(k, 0, sizeof(*k));
	k->state = PHONE_PASSKEY_SCANNED;
	if (secret != NULL) {
		memcpy(k->secret, secret, 32);
		k->has_secret = 1;
	}
	crypt_keypair(k->e_priv, k->e_pub);
	rng_bytes(k->nonce, sizeof(k->nonce));
}

static int
take_identity(struct phone_passkey *k, const uint8_t *data, size_t len)
{
	struct pb_arena *a = pb_arena_new(ARENA);
	const Companion__CompanionEphemeralIdentity *id;
	int r = -1;

	id = pb_unpack(
	    &companion__companion_ephemeral_identity__descriptor, data, len, a, PB_STRICT, NULL);
	if (id != NULL && id->public_key.len == 32 && id->has_device_type && id->ref != NULL &&
	    strlen(id->ref) < sizeof(k->ref) && len <= sizeof(k->identity)) {
		memcpy(k->companion_pub, id->public_key.data, 32);
		k->device_type = (unsigned)id->device_type;
		snprintf(k->ref, sizeof(k->ref), "%s", id->ref);
		memcpy(k->identity, data, len);
		k->identity_len = len;
		r = 0;
	}
	pb_arena_free(a);
	return r;
}

int
phone_passkey_prologue(
    struct phone *p, const uint8_t *payload, size_t len, const uint8_t *proof, size_t proof_len)
{
	struct phone_passkey *k = &p->passkey;
	struct pb_arena *a = pb_arena_new(ARENA);
	const Companion__ProloguePayload *m;
	uint8_t want[32];
	int r = -1;

	m = pb_unpack(&companion__prologue_payload__descriptor, payload, len, a, PB_STRICT, NULL);
	if (m != NULL && m->commitment != NULL && m->commitment->hash.len == 32 &&
	    take_identity(k, m->companion_ephemeral_identity.data,
		m->companion_ephemeral_identity.len) == 0) {
		memcpy(k->commitment, m->commitment->hash.data, 32);
		phone_passkey_proof(k->secret, payload, len, want);
		k->proved = k->has_secret && proof_len == 32 && memcmp(want, proof, 32) == 0;
		k->state = PHONE_PASSKEY_PROLOGUE;
		r = 0;
	}
	pb_arena_free(a);
	return r;
}

void
phone_passkey_public(const struct phone *p, uint8_t pub[32], uint8_t nonce[32])
{
	memcpy(pub, p->passkey.e_pub, 32);
	memcpy(nonce, p->passkey.nonce, 32);
}

void
phone_passkey_nonce(struct phone *p, const uint8_t nonce[32])
{
	struct phone_passkey *k = &p->passkey;
	uint8_t msg[sizeof(k->identity) + 32], hash[32];

	if (k->state != PHONE_PASSKEY_PROLOGUE)
		return;
	memcpy(msg, k->identity, k->identity_len);
	memcpy(msg + k->identity_len, nonce, 32);
	crypt_sha256(msg, k->identity_len + 32, hash);
	if (memcmp(hash, k->commitment, 32) != 0) {
		failed(p, "the nonce is not the one that was committed to");
		return;
	}
	phone_passkey_code(nonce, k->e_pub, k->nonce, k->code);
	k->state = PHONE_PASSKEY_CODE;
}

int
phone_passkey_request(struct phone *p, const uint8_t *data, size_t len)
{
	struct phone_passkey *k = &p->passkey;
	struct pb_arena *a = pb_arena_new(ARENA);
	const Companion__EncryptedPairingRequest *e;
	const Companion__PairingRequest *m = NULL;
	uint8_t key[32], open[256];
	int r = -1;

	e = pb_unpack(
	    &companion__encrypted_pairing_request__descriptor, data, len, a, PB_STRICT, NULL);
	if (k->state == PHONE_PASSKEY_CODE && e != NULL && e->iv.len == 12 &&
	    e->encrypted_payload.len > TAG_LEN && e->encrypted_payload.len <= sizeof(open) &&
	    phone_passkey_agree(k->e_priv, k->companion_pub, k->device_type, k->ref, key) == 0 &&
	    crypt_gcm_open(key, e->iv.data, NULL, 0, e->encrypted_payload.data,
		e->encrypted_payload.len, open) == 0)
		m = pb_unpack(&companion__pairing_request__descriptor, open,
		    e->encrypted_payload.len - TAG_LEN, a, PB_STRICT, NULL);
	if (m != NULL && m->companion_public_key.len == 32 && m->companion_identity_key.len == 32 &&
	    m->adv_secret.len == 32) {
		memcpy(k->noise, m->companion_public_key.data, 32);
		memcpy(k->companion_identity, m->companion_identity_key.data, 32);
		memcpy(k->secret, m->adv_secret.data, 32);
		k->state = PHONE_PASSKEY_OPENED;
		r = 0;
	} else if (k->state == PHONE_PASSKEY_CODE) {
		failed(p, "the pairing request does not open");
	}
	pb_arena_free(a);
	return r;
}

void
phone_passkey_link(struct phone *p)
{
	struct phone_passkey *k = &p->passkey;
	const char *why;

	if (phone_link_keys(p, k->ref, k->noise, k->companion_identity, k->secret, &why) < 0)
		failed(p, why);
	else
		k->state = PHONE_PASSKEY_LINKED;
}

void
phone_passkey_reject(struct phone *p)
{
	failed(p, "its owner says that the codes differ");
}

json_t *
phone_passkey_json(const struct phone *p)
{
	static const char *const states[] = {
	    "none", "scanned", "prologue", "code", "opened", "linked", "failed"};
	const struct phone_passkey *k = &p->passkey;

	return json_pack("{s:s, s:s, s:b, s:s}", "state", states[k->state], "code", k->code,
	    "proved", k->proved, "error_text", k->error);
}
