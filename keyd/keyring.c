/* The master key: where it comes from, how a wrong one is noticed, and the keys derived from it. */
#include <string.h>

#include <sodium.h>

#include "keyd/keyring.h"

/* Argon2id: what a new header gets, and the bounds of what is accepted. The lower ones are those of
 * libsodium's "interactive"; the upper ones keep a forged header from stopping the process. */
#define OPS_NEW 4
#define MEM_NEW (128u * 1024) /* KiB */
#define OPS_MIN 2
#define MEM_MIN (64u * 1024)
#define OPS_MAX 16
#define MEM_MAX (512u * 1024)

static const uint8_t magic[4] = {'W', 'K', 'R', '1'};

struct header {
	uint8_t kind;
	uint32_t ops, mem;
	uint8_t salt[16];
};

const char *
keyring_parse(struct keyring_source *s, enum keyring_kind kind, const uint8_t *bytes, size_t len)
{
	size_t hexlen = len;

	s->kind = kind;
	s->len = 0;
	if (len > 1000)
		return "it is too long";
	if (hexlen > 0 && bytes[hexlen - 1] == '\n')
		hexlen--;
	if (kind == KEYRING_PASSPHRASE) {
		if (hexlen < 8)
			return "a passphrase has at least 8 bytes";
		memcpy(s->secret, bytes, hexlen);
		s->len = hexlen;
		return NULL;
	}
	if (len == 32) {
		memcpy(s->secret, bytes, 32);
		s->len = 32;
		return NULL;
	}
	if (hexlen != 64 ||
	    sodium_hex2bin(s->secret, 32, (const char *)bytes, 64, NULL, &s->len, NULL) == -1 ||
	    s->len != 32)
		return "a master key is 32 bytes, or 64 hexadecimal digits";
	return NULL;
}

static int
header_put(const struct header *h, const uint8_t master[32], struct buf *out)
{
	uint8_t check[32];
	size_t from = out->len;

	buf_put(out, magic, sizeof(magic));
	buf_put_u8(out, h->kind);
	buf_put_be32(out, h->ops);
	buf_put_be32(out, h->mem);
	buf_put(out, h->salt, sizeof(h->salt));
	buf_put_u8(out, 0);
	if (out->failed)
		return -1;
	crypto_generichash(check, sizeof(check), out->data + from, out->len - from, master, 32);
	return buf_put(out, check, sizeof(check));
}

static int
header_get(struct header *h, const uint8_t *bytes, size_t len)
{
	if (len != KEYRING_HEADER_LEN || memcmp(bytes, magic, sizeof(magic)) != 0 || bytes[29] != 0)
		return -1;
	h->kind = bytes[4];
	h->ops = buf_be32(bytes + 5);
	h->mem = buf_be32(bytes + 9);
	memcpy(h->salt, bytes + 13, sizeof(h->salt));
	if (h->kind == KEYRING_RAW)
		return 0;
	if (h->kind != KEYRING_PASSPHRASE || h->ops < OPS_MIN || h->ops > OPS_MAX ||
	    h->mem < MEM_MIN || h->mem > MEM_MAX)
		return -1;
	return 0;
}

static int
stretch(const struct keyring_source *s, const struct header *h, uint8_t master[32])
{
	if (s->kind == KEYRING_RAW) {
		memcpy(master, s->secret, 32);
		return 0;
	}
	return crypto_pwhash(master, 32, (const char *)s->secret, s->len, h->salt, h->ops,
	    (size_t)h->mem * 1024, crypto_pwhash_ALG_ARGON2ID13);
}

int
keyring_new(const struct keyring_source *s, uint8_t master[32], struct buf *header)
{
	struct header h = {(uint8_t)s->kind, 0, 0, {0}};

	if (s->kind == KEYRING_PASSPHRASE) {
		h.ops = OPS_NEW;
		h.mem = MEM_NEW;
	}
	randombytes_buf(h.salt, sizeof(h.salt));
	return stretch(s, &h, master) == -1 ? -1 : header_put(&h, master, header);
}

const char *
keyring_open(const struct keyring_source *s, const uint8_t *bytes, size_t len, uint8_t master[32])
{
	struct header h;
	struct buf again = BUF_INIT;
	const char *why = NULL;

	if (header_get(&h, bytes, len) == -1)
		return "keyring";
	if (h.kind != s->kind)
		return "wrong_master_key"; /* a passphrase where a key file was, or the reverse */
	if (stretch(s, &h, master) == -1)
		return "memory";
	if (header_put(&h, master, &again) == -1)
		why = "memory";
	else if (sodium_memcmp(again.data, bytes, KEYRING_HEADER_LEN) != 0)
		why = "wrong_master_key";
	buf_clear(&again);
	if (why != NULL)
		sodium_memzero(master, 32);
	return why;
}

void
keyring_derive(const uint8_t master[32], const char *purpose, const char *account, uint8_t out[32])
{
	crypto_generichash_state st;

	crypto_generichash_init(&st, master, 32, 32);
	crypto_generichash_update(&st, (const uint8_t *)purpose, strlen(purpose) + 1);
	crypto_generichash_update(&st, (const uint8_t *)account, strlen(account));
	crypto_generichash_final(&st, out, 32);
	sodium_memzero(&st, sizeof(st));
}
