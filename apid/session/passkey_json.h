/* What WebAuthn says while linking: the options of the service, the assertion of the owner's
 * authenticator (protocol page 12, 1.3). Strict, and bounded. */
#ifndef WARD_PASSKEY_JSON_H
#define WARD_PASSKEY_JSON_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#define PASSKEY_JSON_MAX 16384u /* bytes of either */
#define PASSKEY_WAIT_MS  600000 /* for the owner, if the options name no shorter time */
#define PASSKEY_ID_MAX   1023u  /* bytes of a credential id (WebAuthn, 5.8.3) */

/* The options as the client gets them, unknown members kept; NULL: not usable. wait_ms: how long
 * the owner has. A new reference. */
json_t *passkey_options(const void *text, size_t len, int64_t *wait_ms);

struct passkey_assertion {
	char *text; /* what the service gets: the members of page 12 alone; malloc'd */
	uint8_t id[PASSKEY_ID_MAX];
	size_t id_len;
};

/* Take an assertion as navigator.credentials.get() gives it (toJSON). NULL, or the path of what is
 * wrong with it. The signature is not looked into: that is the service's. */
const char *passkey_assertion(const json_t *o, struct passkey_assertion *out);
void passkey_assertion_clear(struct passkey_assertion *a);

#endif
