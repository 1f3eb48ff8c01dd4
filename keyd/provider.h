/* libsignal's context and its crypto provider. */
#ifndef WARD_PROVIDER_H
#define WARD_PROVIDER_H

#include <signal/curve.h>
#include <signal/signal_protocol.h>

/* Makes the one context of the process. After crypto_warm_up. Dies if it cannot. */
void provider_warm_up(void);
extern signal_context *provider_context;

/* A public key of libsignal's as 32 bytes, and the reverse, which has to be freed. 0 or -1. */
int provider_raw_key(const ec_public_key *key, uint8_t out[32]);
int provider_point(ec_public_key **key, const uint8_t raw[32]);

/* libsignal returns the same code for a wrong MAC and for "no state fits"; only its log text tells
 * them apart (protocol page 04, 4.3 trap 2). Clear before a call, look after it. Nothing of that
 * text is kept or printed: it names people. */
extern int provider_mac_failed;

/* HMACs since it was cleared, six for each skipped key. A message that claims to be 2,000 ahead in
 * a new chain has each state of a session derive as many, a second of work with 40 of them, before
 * it is refused: more than two states are not tried so far. */
extern unsigned provider_hmacs;
#define PROVIDER_HMACS_MAX 30000u

#endif
