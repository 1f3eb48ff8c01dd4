/* The Noise handshakes as the initiator: XX with the server's certificate chain, and IK with a
 * chain that was verified before (protocol page 01, 3 and 4). */
#ifndef WARD_NOISE_H
#define WARD_NOISE_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define NOISE_HELLO_MAX   (64u * 1024) /* of a server hello */
#define NOISE_PAYLOAD_MAX (16u * 1024) /* of a client payload */

extern const uint8_t noise_root_key[32]; /* the service's, pinned */

struct noise_state {
	uint8_t h[32], ck[32], k[32];
	uint32_t n;
};

/* What is kept between hello and finish. */
struct noise_hello {
	uint8_t e_priv[32], e_pub[32];
	int ik;                /* it was IK, and the server has not gone over to XX */
	struct noise_state at; /* of IK */
};

/* Of a server: what of its verified chain is worth keeping (page 12, 3). No secret. */
struct noise_chain {
	uint8_t root[32], rs[32]; /* the key that it hangs on, its static key */
	int64_t from, to;         /* when all of it is valid, seconds; to 0: there is none */
};
/* u8 1 | root | static key | u64 from | u64 to, big-endian */
#define NOISE_CHAIN_LEN 81
int noise_chain_encode(const struct noise_chain *c, struct buf *out);         /* 0 or -1 */
int noise_chain_decode(struct noise_chain *c, const uint8_t *in, size_t len); /* 0 or -1 */

/* What IK sends in its first message. */
struct noise_ik {
	const uint8_t *s_priv, *s_pub; /* our static pair */
	const uint8_t *rs;             /* the server's static key */
	const uint8_t *payload;        /* encoded ClientPayload */
	size_t payload_len;
};

/* Begin with that ephemeral key (NULL: a fresh one, always so outside tests), as IK or (ik NULL) as
 * XX. out gets the encoded ClientHello message. 0, or -1 when memory is out or rs is no key. */
int noise_begin(
    struct noise_hello *n, const uint8_t e_priv[32], const struct noise_ik *ik, struct buf *out);

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
 * If the server took the IK hello, out stays empty and chain->to is 0; else the chain was verified
 * anew. Also on failure n->ik says whether the server had gone over to XX. Returns NULL, or the
 * error's name: "noise_malformed", "noise_decrypt", "cert_malformed", "cert_signature",
 * "cert_issuer", "cert_key_mismatch", "cert_not_yet_valid", "cert_expired". */
const char *noise_finish(struct noise_hello *n, const struct noise_finish_in *in, struct buf *out,
    uint8_t tx[32], uint8_t rx[32], struct noise_chain *chain);

/* The eight rules of page 01, 4.4 for an encoded CertChain. rs: the server's static key. out: what
 * to keep of it. */
const char *noise_check_chain(const uint8_t *chain, size_t len, const uint8_t rs[32],
    const uint8_t root[32], int64_t now, struct noise_chain *out);

#endif
