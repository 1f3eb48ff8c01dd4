/* Curve25519 for libsignal and for keyd itself, on libsodium: agreement and XEdDSA. */
#include <string.h>

#include <openssl/bn.h>
#include <openssl/err.h>
#include <signal/curve.h>
#include <signal/signal_protocol.h>
#include <sodium.h>

#include "common/log.h"
#include "keyd/curve.h"
#include "keyd/provider.h"

static unsigned long calls; /* of the three exported functions, for the self-test */

int
curve25519_donna(uint8_t *out, const uint8_t *scalar, const uint8_t *point)
{
	static const uint8_t base[32] = {9};

	calls++;
	if (memcmp(point, base, sizeof(base)) == 0)
		return crypto_scalarmult_curve25519_base(out, scalar);
	return crypto_scalarmult_curve25519(out, scalar, point);
}

int
curve25519_sign(unsigned char *signature, const unsigned char *private_key,
    const unsigned char *msg, const unsigned long len, const unsigned char *random)
{
	/* hash input that no message or key encoding can begin with: FE, then 31 times FF */
	uint8_t prefix[32], pub[32], wide[64], r[32], h[32], ha[32];
	crypto_hash_sha512_state st;
	int ok = -1;

	calls++;
	memset(prefix, 0xff, sizeof(prefix));
	prefix[0] = 0xfe;
	if (crypto_scalarmult_ed25519_base_noclamp(pub, private_key) == -1)
		goto done;
	crypto_hash_sha512_init(&st);
	crypto_hash_sha512_update(&st, prefix, sizeof(prefix));
	crypto_hash_sha512_update(&st, private_key, 32);
	crypto_hash_sha512_update(&st, msg, len);
	crypto_hash_sha512_update(&st, random, 64);
	crypto_hash_sha512_final(&st, wide);
	crypto_core_ed25519_scalar_reduce(r, wide);
	if (crypto_scalarmult_ed25519_base_noclamp(signature, r) == -1)
		goto done;
	crypto_hash_sha512_init(&st);
	crypto_hash_sha512_update(&st, signature, 32);
	crypto_hash_sha512_update(&st, pub, 32);
	crypto_hash_sha512_update(&st, msg, len);
	crypto_hash_sha512_final(&st, wide);
	crypto_core_ed25519_scalar_reduce(h, wide);
	crypto_core_ed25519_scalar_mul(ha, h, private_key);
	crypto_core_ed25519_scalar_add(signature + 32, ha, r);
	signature[63] = (uint8_t)((signature[63] & 0x7f) | (pub[31] & 0x80));
	ok = 0;
done:
	sodium_memzero(&st, sizeof(st));
	sodium_memzero(wide, sizeof(wide));
	sodium_memzero(r, sizeof(r));
	sodium_memzero(ha, sizeof(ha));
	if (ok == -1)
		memset(signature, 0, 64);
	return ok;
}

/* y = (u - 1) / (u + 1) mod 2^255 - 19. Public values only, so that time does not matter. */
static int
edwards_y(const uint8_t u[32], uint8_t y[32])
{
	static BN_CTX *ctx;
	static BIGNUM *p, *a, *b;
	uint8_t le[32];

	if (ctx == NULL) {
		ctx = BN_CTX_new();
		a = BN_new();
		b = BN_new();
		if (ctx == NULL || a == NULL || b == NULL || !BN_set_bit(a, 255) ||
		    !BN_sub_word(a, 19) || (p = BN_dup(a)) == NULL)
			fatalx("OpenSSL failed in big numbers");
	}
	memcpy(le, u, 32);
	le[31] &= 0x7f;
	if (BN_lebin2bn(le, 32, a) == NULL || BN_copy(b, a) == NULL || !BN_add_word(b, 1) ||
	    BN_mod_inverse(b, b, p, ctx) == NULL || !BN_add(a, a, p) || !BN_sub_word(a, 1) ||
	    !BN_mod_mul(a, a, b, p, ctx) || BN_bn2lebinpad(a, y, 32) != 32) {
		ERR_clear_error(); /* u = -1 has no inverse: not a key that anyone has */
		return -1;
	}
	return 0;
}

int
curve25519_verify(const unsigned char *signature, const unsigned char *public_key,
    const unsigned char *msg, const unsigned long len)
{
	uint8_t pub[32], sig[64];

	calls++;
	if (edwards_y(public_key, pub) == -1)
		return -1;
	memcpy(sig, signature, sizeof(sig));
	pub[31] = (uint8_t)((pub[31] & 0x7f) | (sig[63] & 0x80));
	sig[63] &= 0x7f;
	return crypto_sign_ed25519_verify_detached(sig, msg, len, pub);
}

void
curve_pair(uint8_t priv[32], uint8_t pub[32])
{
	randombytes_buf(priv, 32);
	priv[0] &= 248;
	priv[31] = (uint8_t)((priv[31] & 127) | 64);
	curve_public(priv, pub);
}

void
curve_public(const uint8_t priv[32], uint8_t pub[32])
{
	if (crypto_scalarmult_curve25519_base(pub, priv) == -1)
		fatalx("curve: no public key");
}

int
curve_shared(const uint8_t priv[32], const uint8_t pub[32], uint8_t out[32])
{
	return crypto_scalarmult_curve25519(out, priv, pub);
}

int
curve_sign(const uint8_t priv[32], const void *msg, size_t len, uint8_t out[64])
{
	uint8_t random[64];
	int ok;

	randombytes_buf(random, sizeof(random));
	ok = curve25519_sign(out, priv, msg, len, random);
	sodium_memzero(random, sizeof(random));
	return ok;
}

int
curve_check(const uint8_t pub[32], const void *msg, size_t len, const uint8_t sig[64])
{
	return curve25519_verify(sig, pub, msg, len) == 0;
}

/* The values are from protocol page 03, section 11: identity and signed prekey of the companion,
 * the ephemeral pairs of the pair code and their shared secret. */
static void
known_answers(void)
{
	static const char *const hex[] = {
	    "1112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30",
	    "4d27bcee3135c4944b28d27dd809b07be10c35160d20131caa7e85575498d07c",
	    "0233f006ef4bed144ea0a5bb46c7067c7c2acec5f8cc811f3df59fdcd5ac7614",
	    "7172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f90",
	    "9cced751b301bbd16c4fb8deddd82f18925d71ed90c844fa0158f845b0fa7f4b",
	    "734cbc16ae5091ade2022caa5036ae932bdb212d17a5a1572b68dfefb6a63f23",
	};
	static const char sig_hex[] =
	    "c02b37b0f7e2a59220b5f6d95b7a1749d38e4cf79fb52a73f95bd653f9bf5b2e"
	    "2d984f62e43d671a7036f6224b7f6246f4901b447852222872365e7752fcc482";
	uint8_t v[6][32], sig[64], out[64], msg[33], random[64], priv[32];
	size_t i;

	for (i = 0; i < 6; i++)
		(void)sodium_hex2bin(v[i], 32, hex[i], 64, NULL, NULL, NULL);
	(void)sodium_hex2bin(sig, 64, sig_hex, 128, NULL, NULL, NULL);
	msg[0] = 5;
	memcpy(msg + 1, v[2], 32);
	memset(random, 0x33, sizeof(random));
	memcpy(priv, v[0], 32); /* the page's signatures are made with the clamped key */
	priv[0] &= 248;
	priv[31] = (uint8_t)((priv[31] & 127) | 64);
	curve_public(v[0], out);
	if (memcmp(out, v[1], 32) != 0)
		fatalx("self-test of the curve failed: public key");
	if (curve_shared(v[3], v[4], out) == -1 || memcmp(out, v[5], 32) != 0)
		fatalx("self-test of the curve failed: agreement");
	if (curve25519_sign(out, priv, msg, sizeof(msg), random) == -1 || memcmp(out, sig, 64) != 0)
		fatalx("self-test of the curve failed: signature");
	if (!curve_check(v[1], msg, sizeof(msg), sig))
		fatalx("self-test of the curve failed: good signature refused");
	sig[40] ^= 1;
	if (curve_check(v[1], msg, sizeof(msg), sig))
		fatalx("self-test of the curve failed: bad signature accepted");
}

int
curve_self_test(void)
{
	ec_key_pair *a = NULL, *b = NULL;
	signal_buffer *sig = NULL;
	uint8_t *x = NULL, *y = NULL;
	unsigned long before;
	int good;

	known_answers();
	before = calls;
	good = curve_generate_key_pair(provider_context, &a) == 0 &&
	       curve_generate_key_pair(provider_context, &b) == 0 &&
	       curve_calculate_agreement(
		   &x, ec_key_pair_get_public(a), ec_key_pair_get_private(b)) == 32 &&
	       curve_calculate_agreement(
		   &y, ec_key_pair_get_public(b), ec_key_pair_get_private(a)) == 32 &&
	       sodium_memcmp(x, y, 32) == 0 &&
	       curve_calculate_signature(provider_context, &sig, ec_key_pair_get_private(a),
		   (const uint8_t *)"ward", 4) == 0 &&
	       curve_verify_signature(ec_key_pair_get_public(a), (const uint8_t *)"ward", 4,
		   signal_buffer_data(sig), signal_buffer_len(sig)) == 1;
	if (!good)
		fatalx("self-test of the curve failed: pairwise check through libsignal");
	free(x);
	free(y);
	signal_buffer_free(sig);
	SIGNAL_UNREF(a);
	SIGNAL_UNREF(b);
	return calls - before == 6; /* two public keys, two agreements, a signature and its check */
}
