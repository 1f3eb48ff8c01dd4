/* The service asks for a passkey before it links a device (protocol page 12, 1). */
#ifndef SIM_PASSKEY_H
#define SIM_PASSKEY_H

#include <jansson.h>

#include "tests/sim/route.h"

/* What a registered connection keeps of it. */
struct passkey_gate {
	struct account *account; /* of the phone that scanned; NULL: none */
	char challenge[48];      /* base64url */
	int step;                /* 1 asked, 2 prologue came, 3 nonce came */
};

/* The phone of that account has scanned what the connection shows, or typed its code: ask. */
void passkey_ask(struct conn *c, struct account *a);
/* A request of the exchange: 1 if it was one. */
/* The phone answers with its half. key_len: 32. */
void passkey_continue(struct conn *c, struct phone *p, size_t key_len);
int passkey_stanza(struct origin *o, const struct node *iq);
/* Whether it asks for that account; its passkey is made the first time. */
void passkey_gate(struct account *a, int on);

/* What the authenticator of that account says to options: {id, rawId, type, response}. wrong:
 * "challenge", "signature", or NULL. A new reference; NULL: there is no challenge in them. */
json_t *passkey_assert(struct account *a, const json_t *options, const char *wrong);

/* What goes wrong with the next exchange: none, no_options, bad_options, refuse, silent, early,
 * short_key, zero_key, stranger, nonce, proof, twice, again, lose_request. 0, or -1. */
int passkey_forge(const char *what);

#endif
