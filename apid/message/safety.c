/* Safety numbers: 60 digits and a QR payload over the public identity keys of two people. */
#include "apid/message/safety.h"

#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "common/pb.h"
#include "common/proto/fingerprint.pb-c.h"

#define ITERATIONS 5200
#define HALF       (SAFETY_DIGITS / 2)
#define QR_BUDGET  (64u * 1024)
#define QR_MAX     (32u * 1024)

int
safety_add(struct safety_side *s, const uint8_t key[32])
{
	size_t at = 0;
	int c = -1;

	while (at < s->n && (c = memcmp(s->keys[at], key, 32)) < 0)
		at++;
	if (at < s->n && c == 0)
		return 0;
	if (s->n == SAFETY_KEYS_MAX)
		return -1;
	memmove(s->keys[at + 1], s->keys[at], (s->n - at) * 32);
	memcpy(s->keys[at], key, 32);
	s->n++;
	return 0;
}

static const char *
identifier(const struct safety_side *s)
{
	return s->number[0] != '\0' ? s->number : s->lid;
}

/* All keys in order, each with its type byte. */
static void
add_keys(crypto_hash_sha512_state *st, const struct safety_side *s)
{
	static const uint8_t type = 5;

	for (size_t i = 0; i < s->n; i++) {
		crypto_hash_sha512_update(st, &type, 1);
		crypto_hash_sha512_update(st, s->keys[i], 32);
	}
}

static void
half(const struct safety_side *s, char out[HALF + 1])
{
	static const uint8_t version[2] = {0, 0};
	uint8_t hash[crypto_hash_sha512_BYTES];
	crypto_hash_sha512_state st;

	crypto_hash_sha512_init(&st);
	crypto_hash_sha512_update(&st, version, sizeof(version));
	add_keys(&st, s);
	crypto_hash_sha512_update(&st, (const uint8_t *)identifier(s), strlen(identifier(s)));
	for (int i = 1; i < ITERATIONS; i++) {
		add_keys(&st, s);
		crypto_hash_sha512_final(&st, hash);
		crypto_hash_sha512_init(&st);
		crypto_hash_sha512_update(&st, hash, sizeof(hash));
	}
	add_keys(&st, s);
	crypto_hash_sha512_final(&st, hash);
	for (int i = 0; i < HALF / 5; i++) {
		uint64_t n = 0;

		for (int k = 0; k < 5; k++)
			n = n << 8 | hash[5 * i + k];
		(void)snprintf(out + 5 * i, 6, "%05u", (unsigned)(n % 100000));
	}
}

void
safety_digits(struct safety_side *own, struct safety_side *other, char *digits)
{
	char a[HALF + 1], b[HALF + 1];

	half(own, a);
	half(other, b);
	(void)snprintf(digits, SAFETY_DIGITS + 1, "%s%s", strcmp(a, b) <= 0 ? a : b,
	    strcmp(a, b) <= 0 ? b : a);
}

/* ------------------------------------------------------------------ QR */

struct side_pb {
	Fingerprint__FingerprintData pb;
	uint8_t keys[SAFETY_KEYS_MAX * 33];
};

static void
fill(struct side_pb *out, const struct safety_side *s)
{
	fingerprint__fingerprint_data__init(&out->pb);
	for (size_t i = 0; i < s->n; i++) {
		out->keys[33 * i] = 5;
		memcpy(out->keys + 33 * i + 1, s->keys[i], 32);
	}
	out->pb.has_publickey = 1;
	out->pb.publickey = pb_bytes(out->keys, 33 * s->n);
	out->pb.has_pnidentifier = s->number[0] != '\0';
	out->pb.pnidentifier = pb_bytes((const uint8_t *)s->number, strlen(s->number));
	out->pb.has_lididentifier = s->lid[0] != '\0';
	out->pb.lididentifier = pb_bytes((const uint8_t *)s->lid, strlen(s->lid));
}

int
safety_qr(const struct safety_side *own, const struct safety_side *other, struct buf *out)
{
	Fingerprint__CombinedFingerprint c = FINGERPRINT__COMBINED_FINGERPRINT__INIT;
	struct side_pb a, b;

	fill(&a, own);
	fill(&b, other);
	c.has_version = 1;
	c.localfingerprint = &a.pb;
	c.remotefingerprint = &b.pb;
	return pb_put(&c.base, out);
}

static int
same_keys(const Fingerprint__FingerprintData *d, const struct safety_side *s)
{
	struct side_pb want;

	fill(&want, s);
	return d != NULL && s->n > 0 && d->publickey.len == want.pb.publickey.len &&
	       sodium_memcmp(d->publickey.data, want.keys, d->publickey.len) == 0;
}

int
safety_qr_matches(
    const struct safety_side *own, const struct safety_side *other, const uint8_t *qr, size_t len)
{
	const Fingerprint__CombinedFingerprint *c;
	struct pb_arena *arena;
	int same = 0;

	if (len == 0 || len > QR_MAX || (arena = pb_arena_new(QR_BUDGET)) == NULL)
		return 0;
	c = pb_unpack(&fingerprint__combined_fingerprint__descriptor, qr, len, arena, 0, NULL);
	if (c != NULL) /* what is local to him is the other one here */
		same =
		    same_keys(c->localfingerprint, other) && same_keys(c->remotefingerprint, own);
	pb_arena_free(arena);
	return same;
}
