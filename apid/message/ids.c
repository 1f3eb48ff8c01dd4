/* Names that ward makes: message ids and the stable ids of people and chats. */
#include "apid/message/ids.h"

#include <stdio.h>
#include <string.h>

#include <sodium.h>

void
message_id_make(char out[23], uint64_t unix_s, const char *own_pn_user, const uint8_t rnd[16])
{
	crypto_hash_sha256_state st;
	uint8_t hash[crypto_hash_sha256_BYTES], be[8];

	for (int i = 0; i < 8; i++)
		be[i] = (uint8_t)(unix_s >> (56 - 8 * i));
	crypto_hash_sha256_init(&st);
	crypto_hash_sha256_update(&st, be, sizeof(be));
	crypto_hash_sha256_update(&st, (const uint8_t *)own_pn_user, strlen(own_pn_user));
	crypto_hash_sha256_update(&st, (const uint8_t *)"@c.us", 5);
	crypto_hash_sha256_update(&st, rnd, 16);
	crypto_hash_sha256_final(&st, hash);
	(void)snprintf(out, 5, "3EB0");
	for (int i = 0; i < 9; i++)
		(void)snprintf(out + 4 + 2 * i, 3, "%02X", hash[i]);
}

void
message_id_new(char out[23], uint64_t unix_s, const char *own_pn_user)
{
	uint8_t rnd[16];

	randombytes_buf(rnd, sizeof(rnd));
	message_id_make(out, unix_s, own_pn_user, rnd);
}

void
stable_id_make(char out[STABLE_ID_LEN + 1], char kind, const uint8_t bits[16])
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
	unsigned acc = 0, have = 0;
	size_t n = 0;

	out[n++] = kind;
	out[n++] = '_';
	for (int i = 0; i < 16; i++) {
		acc = acc << 8 | bits[i];
		for (have += 8; have >= 5; have -= 5)
			out[n++] = alphabet[acc >> (have - 5) & 31];
		acc &= (1u << have) - 1;
	}
	out[n++] = alphabet[acc << (5 - have) & 31]; /* 128 = 25 * 5 + 3 */
	out[n] = '\0';
}

void
stable_id_new(char out[STABLE_ID_LEN + 1], char kind)
{
	uint8_t bits[16];

	randombytes_buf(bits, sizeof(bits));
	stable_id_make(out, kind, bits);
}

void
stable_id_of_group(char out[STABLE_ID_LEN + 1], const char *jid)
{
	crypto_hash_sha256_state st;
	uint8_t hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256_init(&st);
	crypto_hash_sha256_update(&st, (const uint8_t *)"ward chat\0", 10);
	crypto_hash_sha256_update(&st, (const uint8_t *)jid, strlen(jid));
	crypto_hash_sha256_final(&st, hash);
	stable_id_make(out, 'g', hash);
}

int
stable_id_is(const char *text, char kind)
{
	if (strlen(text) != STABLE_ID_LEN || text[0] != kind || text[1] != '_')
		return 0;
	for (const char *p = text + 2; *p != '\0'; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= '2' && *p <= '7')))
			return 0;
	return 1;
}

int
message_id_ok(const char *id)
{
	size_t n = strlen(id);

	if (n == 0 || n > MESSAGE_ID_MAX)
		return 0;
	for (const char *p = id; *p != '\0'; p++)
		if (*p <= ' ' || *p > '~')
			return 0;
	return 1;
}
