/* Linking by phone number and code: the code, its wrapping, the key bundle (protocol page 03, 5).
 */
#ifndef WARD_PAIRCODE_H
#define WARD_PAIRCODE_H

#include <stddef.h>
#include <stdint.h>

#define PAIRCODE_LEN     8
#define PAIRCODE_WRAPPED 80  /* salt 32, iv 16, wrapped key 32 */
#define PAIRCODE_BUNDLE  156 /* salt 32, iv 12, three keys 96, tag 16 */
#define PAIRCODE_ROUNDS  131072
#define PAIRCODE_MS      180000 /* a code lives this long */
#define PAIRCODE_TRIES   3

/* The code under way of an account. */
struct paircode {
	int used;
	char code[PAIRCODE_LEN + 1];
	uint8_t e_priv[32], e_pub[32];
	int64_t began_ms; /* monotonic */
	unsigned tries;   /* primary_hellos so far */
};

extern const char paircode_alphabet[]; /* a code is 8 of these */
void paircode_from_bytes(const uint8_t random[5], char code[PAIRCODE_LEN + 1]);

/* wrap(pub, code) with that salt and iv, and its inverse. */
void paircode_wrap(const char *code, const uint8_t salt[32], const uint8_t iv[16],
    const uint8_t pub[32], uint8_t out[PAIRCODE_WRAPPED]);
void paircode_unwrap(const char *code, const uint8_t wrapped[PAIRCODE_WRAPPED], uint8_t pub[32]);

/* Random input of a bundle: made inside, given by tests. */
struct paircode_random {
	uint8_t salt[32], iv[12], random[32];
};
struct paircode_finish {
	const uint8_t *e_priv; /* of the code */
	const uint8_t *identity_priv, *identity_pub;
	const uint8_t *primary_e_pub; /* unwrapped */
	const uint8_t *primary_identity;
};
/* The key bundle and the new ADV secret. 0, or -1: a shared secret is all zero. */
int paircode_bundle(const struct paircode_finish *in, const struct paircode_random *r,
    uint8_t bundle[PAIRCODE_BUNDLE], uint8_t adv_secret[32]);

#endif
