/* The responder's side of the Noise handshake (protocol page 01, 3, 4 and 13). No I/O. */
#ifndef SIM_NOISE_SERVER_H
#define SIM_NOISE_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

/* The service's long-term keys: root (pinned by clients), intermediate, and its own static key. */
struct noise_identity {
	uint8_t root_priv[32], root_pub[32];
	uint8_t mid_priv[32], mid_pub[32];
	uint8_t static_priv[32], static_pub[32];
	uint32_t mid_serial, leaf_serial; /* of its certificates */
	int64_t not_before, not_after;    /* their dates; 0 = around the time of the handshake */
};

/* What is wrong with the hello on purpose; one field of protocol page 11, 1.1 each. */
enum noise_forgery {
	NOISE_HONEST,
	NOISE_RANDOM_SIGNATURES, /* 64 bytes that sign nothing */
	NOISE_SHORT_SIGNATURES,  /* 63 bytes */
	NOISE_LEAF_KEY,          /* another key than the server's static one */
	NOISE_MID_ISSUER,        /* intermediate issuer serial 7 */
	NOISE_LEAF_ISSUER,       /* leaf issuer serial 9 */
	NOISE_EXPIRED,
	NOISE_NOT_YET,
	NOISE_WRONG_ROOT, /* signed by a root that nobody knows */
	NOISE_NO_STATIC,  /* parts of the hello missing … */
	NOISE_NO_PAYLOAD,
	NOISE_NO_EPHEMERAL,
	NOISE_BAD_TAG,    /* certificate bytes that do not authenticate */
	NOISE_IK_REFUSED, /* answer an IK hello with the XX fallback */
	NOISE_IK_GARBLED, /* answer an IK hello with bytes that do not authenticate */
	NOISE_SILENT,     /* no hello at all */
	NOISE_CLOSE,      /* close instead of a hello */
};
/* By its name in `noise.forge`; -1 if there is none. And the name of one. */
int noise_forgery_parse(const char *name);
const char *noise_forgery_name(int forgery);

struct noise {
	const struct noise_identity *id;
	uint8_t h[32], ck[32], k[32];
	uint32_t n;
	uint8_t e_priv[32]; /* ours */
	uint8_t re[32];     /* the client's ephemeral */
	uint8_t rs[32];     /* the client's static: valid when done */
	int ik;             /* the client began with IK and was accepted */
	int fallback;       /* … and was not */
};

void noise_identity_new(struct noise_identity *id);
/* CertChain bytes for the hello. now: seconds. */
void noise_cert_chain(const struct noise_identity *id, int forgery, int64_t now, struct buf *out);

/* First frame in, ServerHello out. e_priv: our ephemeral private key. payload is filled when the
 * client's payload came already (IK accepted; then the keys are ready too). 1 = done (IK),
 * 0 = wait for the finish, -1 = the hello is no good (or the forgery says to close), -2 = say
 * nothing. */
int noise_hello(struct noise *s, const struct noise_identity *id, const uint8_t e_priv[32],
    const void *frame, size_t len, int forgery, int64_t now, struct buf *hello,
    struct buf *payload);
/* Second frame in: 0 and the client payload, s->rs set; or -1. */
int noise_finish(struct noise *s, const void *frame, size_t len, struct buf *payload);
/* Traffic keys: rx opens what the client sends, tx seals what we send. Wipes the state's secrets.
 */
void noise_split(struct noise *s, uint8_t rx[32], uint8_t tx[32]);

#endif
