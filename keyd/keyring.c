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

/* Where things are in a header. */
#define KIND  4
#define OPS   5
#define MEM   9
#define SALT  13
#define ZERO  29
#define CHECK 30

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
header_ok(const uint8_t *h, size_t len)
{
	uint32_t ops, mem;

	if (len != KEYRING_HEADER_LEN || memcmp(h, magic, sizeof(magic)) != 0 || h[ZERO] != 0)
		return 0;
	ops = buf_be32(h + OPS);
	mem = buf_be32(h + MEM);
	return h[KIND] == KEYRING_RAW || (h[KIND] == KEYRING_PASSPHRASE && ops >= OPS_MIN &&
					     ops <= OPS_MAX && mem >= MEM_MIN && mem <= MEM_MAX);
}

/* The master key by a header's parameters, and the header's check value by that. 0, or -1: no
 * memory. */
static int
stretch(
    const struct keyring_source *s, const uint8_t *header, uint8_t master[32], uint8_t check[32])
{
	if (s->kind == KEYRING_RAW)
		memcpy(master, s->secret, 32);
	else if (crypto_pwhash(master, 32, (const char *)s->secret, s->len, header + SALT,
		     buf_be32(header + OPS), (size_t)buf_be32(header + MEM) * 1024,
		     crypto_pwhash_ALG_ARGON2ID13) == -1)
		return -1;
	return crypto_generichash(check, 32, header, CHECK, master, 32);
}

int
keyring_new(const struct keyring_source *s, uint8_t master[32], struct buf *header)
{
	uint8_t salt[16], *check;

	randombytes_buf(salt, sizeof(salt));
	buf_put(header, magic, sizeof(magic));
	buf_put_u8(header, (uint8_t)s->kind);
	buf_put_be32(header, s->kind == KEYRING_PASSPHRASE ? OPS_NEW : 0);
	buf_put_be32(header, s->kind == KEYRING_PASSPHRASE ? MEM_NEW : 0);
	buf_put(header, salt, sizeof(salt));
	buf_put_u8(header, 0);
	if ((check = buf_reserve(header, 32)) == NULL)
		return -1;
	return stretch(s, header->data, master, check);
}

const char *
keyring_open(const struct keyring_source *s, const uint8_t *bytes, size_t len, uint8_t master[32])
{
	uint8_t check[32];
	const char *why = NULL;

	if (!header_ok(bytes, len))
		return "keyring";
	if (bytes[KIND] != s->kind)
		return "wrong_master_key"; /* a passphrase where a key file was, or the reverse */
	if (stretch(s, bytes, master, check) == -1)
		why = "memory";
	else if (sodium_memcmp(check, bytes + CHECK, sizeof(check)) != 0)
		why = "wrong_master_key";
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
