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

/* The private half goes into a record of its own, in libsignal's form. */
void
skey_make(struct work *w, const struct device *d, uint32_t id, uint8_t pub[32], uint8_t sig[64])
{
	signal_context *ctx = provider_context;
	ec_key_pair *pair = NULL;
	session_signed_pre_key *key = NULL;
	signal_buffer *typed = NULL, *record = NULL;
	uint8_t *bytes;

	if (curve_generate_key_pair(ctx, &pair) != 0 ||
	    ec_public_key_serialize(&typed, ec_key_pair_get_public(pair)) != 0)
		fatalx("libsignal makes no key");
	bytes = signal_buffer_data(typed); /* 05 and the key: what is signed (page 04, 1) */
	memcpy(pub, bytes + 1, 32);
	if (curve_sign(d->identity_priv, bytes, 33, sig) == -1 ||
	    !curve_check(d->identity_pub, bytes, 33, sig))
		fatalx("an identity key does not sign");
	if (session_signed_pre_key_create(&key, id, (uint64_t)clock_wall_ms(), pair, sig, 64) !=
		0 ||
	    session_signed_pre_key_serialize(&record, key) != 0)
		fatalx("libsignal makes no signed prekey");
	work_put(w, STORED__DOMAIN__SIGNED_PREKEY, work_name(w, "%u", id),
	    signal_buffer_data(record), signal_buffer_len(record));
	signal_buffer_free(typed);
	signal_buffer_bzero_free(record);
	SIGNAL_UNREF(key);
	SIGNAL_UNREF(pair);
}

int
skey_need_next(struct work *w, const struct device *d)
{
	return work_need(w, STORED__DOMAIN__SIGNED_PREKEY, work_name(w, "%u", step(d->skey_id, 1)));
}

int
skey_next(struct work *w, const struct device *d, uint8_t pub[32], uint8_t sig[64])
{
	session_signed_pre_key *key = NULL;
	signal_buffer *typed = NULL;
	struct buf b = BUF_INIT;
	int there =
	    work_get(w, STORED__DOMAIN__SIGNED_PREKEY, work_name(w, "%u", step(d->skey_id, 1)), &b);

	if (there == 1 &&
	    session_signed_pre_key_deserialize(&key, b.data, b.len, provider_context) == 0 &&
	    session_signed_pre_key_get_signature_len(key) == 64 &&
	    ec_public_key_serialize(
		&typed, ec_key_pair_get_public(session_signed_pre_key_get_key_pair(key))) == 0) {
		memcpy(pub, signal_buffer_data(typed) + 1, 32);
		memcpy(sig, session_signed_pre_key_get_signature(key), 64);
	} else if (there == 1) {
		there = -1;
	}
	signal_buffer_free(typed);
	SIGNAL_UNREF(key);
	buf_clear(&b);
	return there;
}

/* ---------------------------------------------------------------- SKEY_NEXT */

static void
load_next(struct request *r)
{
	(void)skey_need_next(&r->work, r->device);
}

static void
run_next(struct request *r)
{
	const Keyd__SkeyNext *q = (const Keyd__SkeyNext *)r->pb;
	Keyd__SkeyReply a = KEYD__SKEY_REPLY__INIT;
	Keyd__SignedPrekey s = KEYD__SIGNED_PREKEY__INIT;
	uint8_t pub[32], sig[64];

	s.id = step(r->device->skey_id, 1);
	if (skey_next(&r->work, r->device, pub, sig) != 1) /* one that cannot be read is lost */
		skey_make(&r->work, r->device, s.id, pub, sig);
	if (request_stage(r, q->unit, &a.stages) == -1)
		return;
	s.pub = pb_bytes(pub, sizeof(pub));
	s.signature = pb_bytes(sig, sizeof(sig));
	a.signed_prekey = &s;
	request_reply(r, KEYD__TYPE__SKEY_REPLY, &a.base);
}

const struct verb verb_skey_next = {KEYD__TYPE__SKEY_NEXT, VERB_DEVICE, NULL, load_next, run_next};

/* ---------------------------------------------------------------- SKEY_END */

static uint32_t
too_old(const struct device *d)
{
	return step(d->skey_id, PREKEY_ID_MAX - OLDER_KEPT); /* once the next one is in use */
}

static void
load_end(struct request *r)
{
	(void)skey_need_next(&r->work, r->device);
	(void)work_need(
	    &r->work, STORED__DOMAIN__SIGNED_PREKEY, work_name(&r->work, "%u", too_old(r->device)));
}

static void
run_end(struct request *r)
{
	const Keyd__SkeyEnd *q = (const Keyd__SkeyEnd *)r->pb;
	Keyd__Staged a = KEYD__STAGED__INIT;
	struct device *d = r->device;
	uint8_t pub[32], sig[64];
	uint32_t gone = q->taken ? too_old(d) : q->id;

	if (q->id != step(d->skey_id, 1) || skey_next(&r->work, d, pub, sig) != 1) {
		request_error(r, "state", "no such signed prekey waits for its end");
		return;
	}
	work_delete(&r->work, STORED__DOMAIN__SIGNED_PREKEY, work_name(&r->work, "%u", gone));
	if (q->taken) {
		d->skey_id = q->id;
		memcpy(d->skey_pub, pub, sizeof(pub));
		memcpy(d->skey_sig, sig, sizeof(sig));
		identity_put(r, d);
		counters[COUNT_SKEY_ROTATED]++;
	}
	if (request_stage(r, q->unit, &a.stages) == 0)
		request_reply(r, KEYD__TYPE__STAGED, &a.base);
}

const struct verb verb_skey_end = {KEYD__TYPE__SKEY_END, VERB_DEVICE, NULL, load_end, run_end};
