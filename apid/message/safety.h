/* Safety numbers: 60 digits and a QR payload over the public identity keys of two people.
 *
 * A half is 30 digits: SHA-512, 5200 times, over two bytes of version 0, the keys (each with its
 * type byte 05, in order of their bytes) and the identifier, then each time over the last hash and
 * the keys; of the last one six groups of five bytes, big-endian, modulo 100000. The lower half
 * comes first, so that both sides see the same. This is the numeric fingerprint of the Signal
 * libraries, and the count and the digits are those of WhatsApp's security paper. The QR payload is
 * waFingerprint.CombinedFingerprint. That the identifier is the number in digits, and which keys
 * the official client takes, is not confirmed. */
#ifndef WARD_SAFETY_H
#define WARD_SAFETY_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define SAFETY_DIGITS   60
#define SAFETY_KEYS_MAX 256u

struct safety_side {
	uint8_t keys[SAFETY_KEYS_MAX][32];
	size_t n;
	const char *number; /* in digits; "" = not known, then the LID is the identifier */
	const char *lid;    /* its user part, or "" */
};

/* Adds a key, if it is not there yet. 0, or -1: too many. */
int safety_add(struct safety_side *s, const uint8_t key[32]);
/* digits: SAFETY_DIGITS + 1 bytes. Keys are put in order. */
void safety_digits(struct safety_side *own, struct safety_side *other, char *digits);
/* 0 or -1 (memory). */
int safety_qr(const struct safety_side *own, const struct safety_side *other, struct buf *out);
/* Is this what the other side shows? own and other as for safety_qr, in order. */
int safety_qr_matches(
    const struct safety_side *own, const struct safety_side *other, const uint8_t *qr, size_t len);

#endif
