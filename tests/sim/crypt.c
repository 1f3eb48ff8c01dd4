/* The simulator's own cryptography: hashes, ciphers, X25519, XEdDSA, text forms. */
#include <stdlib.h>
#include <string.h>

#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <protobuf-c/protobuf-c.h>
#include <signal/curve.h>
#include <sodium.h>

#include "common/log.h"
#include "tests/sim/crypt.h"
#include "tests/sim/crypt_signal.h"
#include "tests/sim/rng.h"

static signal_context *signal_ctx;
static const EVP_CIPHER *gcm, *cbc, *ctr;

void
crypt_init(void)
{
	uint8_t a[32], b[32], pub[32];
	unsigned long before;

	if (sodium_init() < 0)
		fatalx("libsodium does not start");
	/* libsignal carries an old protobuf-c: the linker must have taken the real one */
	if (protobuf_c_version_number() < 1004000)
		fatalx("wrong link order: protobuf-c %s is in use", protobuf_c_version());
	gcm = EVP_aes_256_gcm();
	cbc = EVP_aes_256_cbc();
	ctr = EVP_aes_256_ctr();
	if ((signal_ctx = crypt_signal_new()) == NULL)
		fatalx("libsignal does not start");
	before = crypt_signal_curve_calls();
	{
		ec_key_pair *kp = NULL;

		if (curve_generate_key_pair(signal_ctx, &kp) != 0)
			fatalx("libsignal makes no key pair");
		SIGNAL_UNREF(kp);
	}
	if (crypt_signal_curve_calls() == before)
		log_notice("libsignal runs its own, slower curve on this system");
	crypt_keypair(a, pub);
	crypt_public(a, b);
	if (memcmp(b, pub, 32) != 0)
		fatalx("the curve does not agree with itself");
}

void
crypt_fini(void)
{
	if (signal_ctx != NULL)
		signal_context_destroy(signal_ctx);
	signal_ctx = NULL;
	crypt_signal_fini();
}

signal_context *
crypt_signal(void)
{
	return signal_ctx;
}

void
crypt_sha256(const void *data, size_t len, uint8_t out[32])
{
	if (EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) != 1)
		fatalx("SHA-256 failed");
}

void
crypt_hmac(const void *key, size_t keylen, const void *data, size_t len, uint8_t out[32])
{
	unsigned n = 32;

	if (HMAC(EVP_sha256(), key, (int)keylen, data, len, out, &n) == NULL)
		fatalx("HMAC failed");
}

void
crypt_hkdf(const void *salt, size_t saltlen, const void *ikm, size_t ikmlen, const void *info,
    size_t infolen, uint8_t *out, size_t outlen)
{
	static const uint8_t zero[32];
	uint8_t prk[32], t[32] = {0}, block[32 + 128 + 1];
	size_t tlen = 0, done = 0;
	uint8_t i = 0;

	if (infolen > 128 || outlen > 255 * 32)
		fatalx("HKDF: too long");
	if (salt == NULL) {
		salt = zero;
		saltlen = sizeof(zero);
	}
	crypt_hmac(salt, saltlen, ikm, ikmlen, prk);
	while (done < outlen) {
		size_t n = outlen - done < 32 ? outlen - done : 32;

		memcpy(block, t, tlen);
		if (infolen > 0)
			memcpy(block + tlen, info, infolen);
		block[tlen + infolen] = ++i;
		crypt_hmac(prk, sizeof(prk), block, tlen + infolen + 1, t);
		tlen = 32;
		memcpy(out + done, t, n);
		done += n;
	}
	sodium_memzero(prk, sizeof(prk));
	sodium_memzero(t, sizeof(t));
	sodium_memzero(block, sizeof(block));
}

void
crypt_gcm_seal(const uint8_t key[32], const uint8_t iv[12], const void *aad, size_t aadlen,
    const void *in, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n = 0, ok;

	ok = c != NULL && EVP_EncryptInit_ex(c, gcm, NULL, key, iv) == 1 &&
	     (aadlen == 0 || EVP_EncryptUpdate(c, NULL, &n, aad, (int)aadlen) == 1) &&
	     (len == 0 || EVP_EncryptUpdate(c, out, &n, in, (int)len) == 1) &&
	     EVP_EncryptFinal_ex(c, out + len, &n) == 1 &&
	     EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_LEN, out + len) == 1;
	EVP_CIPHER_CTX_free(c);
	if (!ok)
		fatalx("AES-GCM failed");
}

int
crypt_gcm_open(const uint8_t key[32], const uint8_t iv[12], const void *aad, size_t aadlen,
    const void *in, size_t len, uint8_t *out)
{
	const uint8_t *p = in;
	uint8_t tag[TAG_LEN], last[16];
	EVP_CIPHER_CTX *c;
	int n = 0, ok;

	if (len < TAG_LEN)
		return -1;
	len -= TAG_LEN;
	memcpy(tag, p + len, TAG_LEN);
	c = EVP_CIPHER_CTX_new();
	ok = c != NULL && EVP_DecryptInit_ex(c, gcm, NULL, key, iv) == 1 &&
	     (aadlen == 0 || EVP_DecryptUpdate(c, NULL, &n, aad, (int)aadlen) == 1) &&
	     (len == 0 || EVP_DecryptUpdate(c, out, &n, p, (int)len) == 1) &&
	     EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_LEN, tag) == 1 &&
	     EVP_DecryptFinal_ex(c, last, &n) == 1;
	EVP_CIPHER_CTX_free(c);
	return ok ? 0 : -1;
}

void
crypt_ctr(const uint8_t key[32], const uint8_t iv[16], const void *in, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n = 0;

	if (c == NULL || EVP_EncryptInit_ex(c, ctr, NULL, key, iv) != 1 ||
	    EVP_EncryptUpdate(c, out, &n, in, (int)len) != 1)
		fatalx("AES-CTR failed");
	EVP_CIPHER_CTX_free(c);
}

size_t
crypt_cbc(const uint8_t key[32], const uint8_t iv[16], const void *in, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n = 0, m = 0;

	if (c == NULL || EVP_EncryptInit_ex(c, cbc, NULL, key, iv) != 1 ||
	    EVP_EncryptUpdate(c, out, &n, in, (int)len) != 1 ||
	    EVP_EncryptFinal_ex(c, out + n, &m) != 1)
		fatalx("AES-CBC failed");
	EVP_CIPHER_CTX_free(c);
	return (size_t)n + (size_t)m;
}

void
crypt_keypair(uint8_t priv[32], uint8_t pub[32])
{
	rng_bytes(priv, 32);
	priv[0] &= 248;
	priv[31] &= 127;
	priv[31] |= 64;
	crypt_public(priv, pub);
}

void
crypt_public(const uint8_t priv[32], uint8_t pub[32])
{
	crypto_scalarmult_curve25519_base(pub, priv);
}

int
crypt_x25519(uint8_t out[32], const uint8_t priv[32], const uint8_t pub[32])
{
	return crypto_scalarmult_curve25519(out, priv, pub) == 0 ? 0 : -1;
}

void
crypt_sign(const uint8_t priv[32], const void *msg, size_t len, uint8_t sig[64])
{
	ec_private_key *key = NULL;
	signal_buffer *out = NULL;
	uint8_t clamped[32];

	memcpy(clamped, priv, 32);
	clamped[0] &= 248;
	clamped[31] &= 127;
	clamped[31] |= 64;
	if (curve_decode_private_point(&key, clamped, 32, signal_ctx) != 0 ||
	    curve_calculate_signature(signal_ctx, &out, key, msg, len) != 0 ||
	    signal_buffer_len(out) != SIG_LEN)
		fatalx("signing failed");
	memcpy(sig, signal_buffer_data(out), SIG_LEN);
	signal_buffer_free(out);
	SIGNAL_UNREF(key);
}

int
crypt_verify(const uint8_t pub[32], const void *msg, size_t len, const uint8_t sig[64])
{
	ec_public_key *key = NULL;
	uint8_t point[33];
	int ok;

	point[0] = 5;
	memcpy(point + 1, pub, 32);
	if (curve_decode_point(&key, point, sizeof(point), signal_ctx) != 0)
		return -1;
	ok = curve_verify_signature(key, msg, len, sig, SIG_LEN) == 1;
	SIGNAL_UNREF(key);
	return ok ? 0 : -1;
}

int
crypt_stream_init(struct crypt_stream *s, const uint8_t key[32], int seal)
{
	s->n = 0;
	if ((s->ctx = EVP_CIPHER_CTX_new()) == NULL)
		return -1;
	return EVP_CipherInit_ex(s->ctx, gcm, NULL, key, NULL, seal) == 1 ? 0 : -1;
}

void
crypt_stream_clear(struct crypt_stream *s)
{
	EVP_CIPHER_CTX_free(s->ctx);
	s->ctx = NULL;
}

static void
stream_iv(uint32_t n, uint8_t iv[12])
{
	memset(iv, 0, 12);
	for (int i = 0; i < 4; i++)
		iv[8 + i] = (uint8_t)(n >> (8 * (3 - i)));
}

void
crypt_stream_seal(struct crypt_stream *s, const void *in, size_t len, uint8_t *out)
{
	uint8_t iv[12];
	int n = 0;

	stream_iv(s->n++, iv);
	if (EVP_EncryptInit_ex(s->ctx, NULL, NULL, NULL, iv) != 1 ||
	    EVP_EncryptUpdate(s->ctx, out, &n, in, (int)len) != 1 ||
	    EVP_EncryptFinal_ex(s->ctx, out + len, &n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_GCM_GET_TAG, TAG_LEN, out + len) != 1)
		fatalx("AES-GCM failed");
}

int
crypt_stream_open(struct crypt_stream *s, const void *in, size_t len, uint8_t *out)
{
	const uint8_t *p = in;
	uint8_t iv[12], tag[TAG_LEN], last[16];
	int n = 0;

	if (len < TAG_LEN)
		return -1;
	len -= TAG_LEN;
	memcpy(tag, p + len, TAG_LEN);
	stream_iv(s->n++, iv);
	if (EVP_DecryptInit_ex(s->ctx, NULL, NULL, NULL, iv) != 1 ||
	    (len > 0 && EVP_DecryptUpdate(s->ctx, out, &n, p, (int)len) != 1) ||
	    EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_GCM_SET_TAG, TAG_LEN, tag) != 1 ||
	    EVP_DecryptFinal_ex(s->ctx, last, &n) != 1)
		return -1;
	return 0;
}

char *
crypt_b64(const void *data, size_t len)
{
	size_t n = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
	char *out = malloc(n);

	if (out == NULL)
		fatal("base64");
	sodium_bin2base64(out, n, data, len, sodium_base64_VARIANT_ORIGINAL);
	return out;
}

int
crypt_unb64(const char *text, size_t textlen, uint8_t *out, size_t outmax)
{
	size_t n;
	const char *end;

	if (sodium_base642bin(
		out, outmax, text, textlen, NULL, &n, &end, sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    end != text + textlen)
		return -1;
	return (int)n;
}

void
crypt_hex(const void *data, size_t len, char *out)
{
	sodium_bin2hex(out, 2 * len + 1, data, len);
}

int
crypt_unhex(const char *text, uint8_t *out, size_t outlen)
{
	size_t n;
	const char *end;

	if (strlen(text) != 2 * outlen ||
	    sodium_hex2bin(out, outlen, text, 2 * outlen, NULL, &n, &end) != 0 || n != outlen)
		return -1;
	return 0;
}
