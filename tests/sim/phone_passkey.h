/* The phone's side of linking with a passkey (protocol page 03, 7.3; page 12, 1.4). */
#ifndef SIM_PHONE_PASSKEY_H
#define SIM_PHONE_PASSKEY_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct phone;

/* A new exchange. secret: of the QR code that was scanned, or NULL: none is known. */
void phone_passkey_begin(struct phone *p, const uint8_t *secret);
/* The companion's half comes. 0, or -1: malformed. */
int phone_passkey_prologue(
    struct phone *p, const uint8_t *payload, size_t len, const uint8_t *proof, size_t proof_len);
void phone_passkey_public(const struct phone *p, uint8_t pub[32], uint8_t nonce[32]);
/* Its nonce: checked against the commitment; then there is a code. */
void phone_passkey_nonce(struct phone *p, const uint8_t nonce[32]);
/* Its pairing request, encrypted. 0 = opened, or -1. */
int phone_passkey_request(struct phone *p, const uint8_t *data, size_t len);
/* Then the phone signs and uploads. */
void phone_passkey_link(struct phone *p);

/* What its owner sees: {state, code, proved, error}. */
json_t *phone_passkey_json(const struct phone *p);
/* Its owner says that the codes differ. */
void phone_passkey_reject(struct phone *p);

/* The mathematics, for the worked example: key and code of an exchange. 0, or -1: a bad key. */
int phone_passkey_agree(const uint8_t e_priv[32], const uint8_t companion_pub[32],
    unsigned device_type, const char *ref, uint8_t key[32]);
void phone_passkey_code(const uint8_t companion_nonce[32], const uint8_t pub[32],
    const uint8_t nonce[32], char code[10]);
void phone_passkey_proof(
    const uint8_t secret[32], const uint8_t *payload, size_t len, uint8_t proof[32]);

#endif
