/* The Noise XX handshake as the initiator, with the server's certificate chain (protocol page 01, 3
 * and 4). */
#ifndef WARD_NOISE_H
#define WARD_NOISE_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define NOISE_HELLO_MAX   (64u * 1024) /* of a server hello */
#define NOISE_PAYLOAD_MAX (16u * 1024) /* of a client payload */

extern const uint8_t noise_root_key[32]; /* the service's, pinned */

/* What is kept between hello and finish. */
struct noise_hello {
	uint8_t e_priv[32], e_pub[32];
};

/* Begin with that ephemeral key (NULL: a fresh one, always so outside tests). out gets the encoded
 * ClientHello message. 0, or -1 when memory is out. */
int noise_begin(struct noise_hello *n, const uint8_t e_priv[32], struct buf *out);

struct noise_finish_in {
	const uint8_t *s_priv, *s_pub; /* our static pair, 32 each */
	const uint8_t *root; /* key that must have signed the intermediate certificate, 32 */
	int64_t now;         /* seconds since the epoch */
	const uint8_t *server_hello;
	size_t server_hello_len;
	const uint8_t *payload; /* encoded ClientPayload */
	size_t payload_len;
};

/* Take the server's answer, verify its certificates, make the last message and the traffic keys.
 * Returns NULL, or the error's name: "noise_malformed", "noise_decrypt", "cert_malformed",
 * "cert_signature", "cert_issuer", "cert_key_mismatch", "cert_not_yet_valid", "cert_expired". */
const char *noise_finish(const struct noise_hello *n, const struct noise_finish_in *in,
    struct buf *out, uint8_t tx[32], uint8_t rx[32]);

/* The eight rules of page 01, 4.4 for an encoded CertChain. rs: the server's static key. */
const char *noise_check_chain(
    const uint8_t *chain, size_t len, const uint8_t rs[32], const uint8_t root[32], int64_t now);

#endif
