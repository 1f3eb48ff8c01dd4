/* The service's part in linking a device: refs, relaying, device numbers (protocol page 03). */
#ifndef SIM_PAIRING_H
#define SIM_PAIRING_H

#include "common/proto/wa6.pb-c.h"
#include "tests/sim/route.h"

/* A connection that registered: pair-device with six refs goes out. */
void pairing_register(struct conn *c, const uint8_t noise_pub[32], const Wa6__ClientPayload *p);
/* A stanza of a connection that has no device yet. */
void pairing_stanza(struct origin *o, const struct node *n);
void pairing_gone(struct conn *c);

/* What phones send: the signed identity of the device that was scanned (03, 7.1), and the first
 * step of the code (03, 7.2). */
void pairing_upload(struct origin *o, const struct node *iq);
void pairing_primary_hello(struct origin *o, const struct node *iq);

/* The connection that shows this ref, by QR or by code; NULL if there is none. */
struct conn *pairing_find(const char *ref, size_t len);
/* The push name in its registration payload, "" if none. */
const char *pairing_push_name(struct conn *c);
/* What a registered connection keeps of linking with a passkey; NULL: it has not registered. */
struct passkey_gate *pairing_gate(struct conn *c);
/* A new ref for that exchange. */
const char *pairing_own_ref(struct conn *c);
/* Ask every unpaired client for a fresh QR (03, 3.3). rotate: the other child. How many got it. */
unsigned pairing_refresh(int rotate);

/* What goes wrong on purpose with the next pair-success: "none", "hmac", "no_lid",
 * "garbage", "twice". 0, or -1. */
int pairing_forge(const char *what);

struct pairing_stats {
	uint64_t registrations, paired, refused;
};
extern struct pairing_stats pairing_stats;

#endif
