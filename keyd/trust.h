/* Whose identity is trusted: the record of an identity, and what becomes of another one (protocol
 * page 04, 13). */
#ifndef WARD_TRUST_H
#define WARD_TRUST_H

#include <stdint.h>

#include <signal/session_record.h>

#include "ipc/keyd.pb-c.h"
#include "keyd/queue.h"

/* The record, sealed like all: key 32 | u8 state | u64 first seen, milliseconds; or the key alone,
 * trusted. */
struct trust {
	uint8_t key[32];
	Keyd__IdentityState state;
	int64_t first_seen_ms; /* 0 = not known */
};

/* Another identity than the one that was stored, or the first one. */
struct trust_change {
	int fresh;   /* there is one */
	int had_old; /* it took the place of old_key */
	int was_verified;
	uint8_t old_key[32], new_key[32];
};

/* 1, 0 absent, -1 unreadable. */
int trust_get(struct work *w, const Keyd__Address *a, struct trust *out);
void trust_put(struct work *w, const Keyd__Address *a, const struct trust *t);
/* libsignal saw this identity: recorded as trusted if it is not the stored one, and then told in c.
 * 0, or -1: the record is unreadable. */
int trust_seen(
    struct work *w, const Keyd__Address *a, const uint8_t key[32], struct trust_change *c);
/* Is this session (NULL: none) with that identity? */
int trust_session_with(session_record *record, const uint8_t key[32]);

enum trust_verdict {
	TRUST_TAKEN,
	TRUST_REFUSED,     /* it is held, or must be */
	TRUST_ADV_INVALID, /* its account does not vouch for it */
	TRUST_DAMAGED      /* a record is unreadable: it may have been held */
};
/* Is the device, or its primary, one that a person must decide about? */
enum trust_verdict trust_held(struct work *w, const Keyd__Address *a);
/* Does the policy let us encrypt to it, if it is not held? */
int trust_enough(const struct request *r, struct work *w, const Keyd__Address *a);
/* What the policy makes of the change that was seen. adv: ADVSignedDeviceIdentity, or NULL. */
enum trust_verdict trust_judge(struct request *r, const Keyd__Address *a,
    const struct trust_change *c, const ProtobufCBinaryData *adv);
void trust_hold(struct work *w, const Keyd__Address *a, const struct trust_change *c);

#endif
