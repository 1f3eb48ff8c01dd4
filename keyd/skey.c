/* The signed prekey: making one, and its rotation by way of a candidate, whose id is the next one
 * (protocol page 04, 1.1). */
#include <string.h>

#include <signal/session_pre_key.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"
#include "ipc/keyd.pb-c.h"
#include "keyd/counter.h"
#include "keyd/curve.h"
#include "keyd/provider.h"
#include "keyd/verbs.h"

#define OLDER_KEPT 2 /* peers use those for weeks */

/* n ids after (or, counted round, before) this one. */
static uint32_t
step(uint32_t id, uint32_t n)
{
	return (id - 1 + n) % PREKEY_ID_MAX + 1;
}

uint32_t
skey_next_id(const struct device *d)
{
	return step(d->skey_id, 1);
}

/* The private half goes into a record of its own, in libsignal's form. */
void
skey_make(struct work *w, const struct device *d, uint32_t id, uint8_t pub[32], uint8_t sig[64])
{
	ec_key_pair *pair = NULL;
	session_signed_pre_key *key = NULL;
	signal_buffer *record = NULL;
	uint8_t typed[33] = {5}; /* 05 and the key: what is signed (page 04, 1) */

	if (curve_generate_key_pair(provider_context, &pair) != 0 ||
	    provider_raw_key(ec_key_pair_get_public(pair), pub) == -1)
		fatalx("libsignal makes no key");
	memcpy(typed + 1, pub, 32);
	if (curve_sign(d->identity_priv, typed, sizeof(typed), sig) == -1 ||
	    !curve_check(d->identity_pub, typed, sizeof(typed), sig))
		fatalx("an identity key does not sign");
	if (session_signed_pre_key_create(&key, id, (uint64_t)clock_wall_ms(), pair, sig, 64) !=
		0 ||
	    session_signed_pre_key_serialize(&record, key) != 0)
		fatalx("libsignal makes no signed prekey");
	work_put(w, STORED__DOMAIN__SIGNED_PREKEY, work_name(w, "%u", id),
	    signal_buffer_data(record), signal_buffer_len(record));
	signal_buffer_bzero_free(record);
	SIGNAL_UNREF(key);
	SIGNAL_UNREF(pair);
}

int
skey_need_next(struct work *w, const struct device *d)
{
	return work_need(w, STORED__DOMAIN__SIGNED_PREKEY, work_name(w, "%u", skey_next_id(d)));
}

int
skey_next(struct work *w, const struct device *d, uint8_t pub[32], uint8_t sig[64])
{
	session_signed_pre_key *key = NULL;
	struct buf b = BUF_INIT;
	int there =
	    work_get(w, STORED__DOMAIN__SIGNED_PREKEY, work_name(w, "%u", skey_next_id(d)), &b);

	if (there == 1 &&
	    session_signed_pre_key_deserialize(&key, b.data, b.len, provider_context) == 0 &&
	    session_signed_pre_key_get_signature_len(key) == 64 &&
	    provider_raw_key(
		ec_key_pair_get_public(session_signed_pre_key_get_key_pair(key)), pub) == 0)
		memcpy(sig, session_signed_pre_key_get_signature(key), 64);
	else if (there == 1)
		there = -1;
	SIGNAL_UNREF(key);
	buf_clear(&b);
	return there;
}

/* ---------------------------------------------------------------- rotation */

static uint32_t
too_old(const struct device *d)
{
	return step(d->skey_id, PREKEY_ID_MAX - OLDER_KEPT); /* once the next one is in use */
}

void
skey_load_rotate(struct request *r, const void *asked)
{
	(void)skey_need_next(&r->work, r->device);
	(void)work_need(
	    &r->work, STORED__DOMAIN__SIGNED_PREKEY, work_name(&r->work, "%u", too_old(r->device)));
}

int
skey_begin(struct request *r, const void *asked, void *answer)
{
	uint32_t id = skey_next_id(r->device);
	uint8_t pub[32], sig[64];

	if (skey_next(&r->work, r->device, pub, sig) != 1) /* one that cannot be read is lost */
		skey_make(&r->work, r->device, id, pub, sig);
	((Keyd__SkeyReply *)answer)->signed_prekey = identity_signed_prekey(r, id, pub, sig);
	return 0;
}

int
skey_end(struct request *r, const void *asked, void *answer)
{
	const Keyd__SkeyEnd *q = asked;
	struct device *d = r->device;
	uint8_t pub[32], sig[64];
	uint32_t gone = q->taken ? too_old(d) : q->id;

	if (q->id != skey_next_id(d) || skey_next(&r->work, d, pub, sig) != 1)
		return request_fail(r, "state", "no such signed prekey waits for its end");
	work_delete(&r->work, STORED__DOMAIN__SIGNED_PREKEY, work_name(&r->work, "%u", gone));
	if (q->taken) {
		d->skey_id = q->id;
		memcpy(d->skey_pub, pub, sizeof(pub));
		memcpy(d->skey_sig, sig, sizeof(sig));
		identity_put(r, d);
		counters[COUNT_SKEY_ROTATED]++;
	}
	return 0;
}
