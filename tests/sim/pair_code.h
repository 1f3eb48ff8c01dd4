/* The mathematics of pairing by code, the phone's side (protocol page 03, 5 and 7.2). */
#ifndef SIM_PAIR_CODE_H
#define SIM_PAIR_CODE_H

#include <stdint.h>

/* The 8 characters, upper case and without the dash; out: 9 bytes. 0 or -1. */
int pair_code_normal(const char *text, char out[9]);
/* salt(32) iv(16) AES-256-CTR(PBKDF2(code), pub), with random salt and iv. */
void pair_code_wrap(const uint8_t pub[32], const char *code, uint8_t out[80]);
void pair_code_unwrap(const uint8_t wrapped[80], const char *code, uint8_t pub[32]);
/* Opens the companion's key bundle and derives the ADV secret. -1: it does not open, or names other
 * identities: the code was wrong. */
int pair_code_open_bundle(const uint8_t bundle[156], const uint8_t e_priv[32],
    const uint8_t companion_e[32], const uint8_t identity_priv[32], const uint8_t identity_pub[32],
    const uint8_t companion_identity[32], uint8_t secret[32]);

#endif
