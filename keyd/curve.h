/* Curve25519 for libsignal and for keyd itself, on libsodium: agreement and XEdDSA (protocol page
 * 01, 4.5). */
#ifndef WARD_CURVE_H
#define WARD_CURVE_H

#include <stddef.h>
#include <stdint.h>

/* --- These three take the place of libsignal's own: same names, exported from the program, so that
 * the calls inside the library reach them. Same contracts, but small-order points are refused. ---
 */

/* out = scalar * point (32 bytes each). 0, or -1 if the result is zero. */
int curve25519_donna(uint8_t *out, const uint8_t *scalar, const uint8_t *point)
    __attribute__((visibility("default")));
/* XEdDSA signature (64 bytes) with 64 random bytes. 0 or -1. */
int curve25519_sign(unsigned char *signature, const unsigned char *private_key,
    const unsigned char *msg, const unsigned long len, const unsigned char *random)
    __attribute__((visibility("default")));
/* 0 = valid */
int curve25519_verify(const unsigned char *signature, const unsigned char *public_key,
    const unsigned char *msg, const unsigned long len) __attribute__((visibility("default")));

/* --- For keyd. --- */

void curve_pair(uint8_t priv[32], uint8_t pub[32]); /* a new random pair, priv clamped */
void curve_public(const uint8_t priv[32], uint8_t pub[32]);
int curve_shared(const uint8_t priv[32], const uint8_t pub[32], uint8_t out[32]); /* -1: all zero */
int curve_sign(const uint8_t priv[32], const void *msg, size_t len, uint8_t out[64]); /* 0 or -1 */
int curve_check(
    const uint8_t pub[32], const void *msg, size_t len, const uint8_t sig[64]); /* 1 = good */

/* Known answers of all three, then through libsignal's API: returns 1 if libsignal's calls really
 * come here, 0 if its own slow ones run. Dies if an answer is wrong. After provider_warm_up. */
int curve_self_test(void);

#endif
