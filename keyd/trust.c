/* Whose identity is trusted: the record of an identity, what becomes of another one, and the verbs
 * by which a person decides (protocol page 04, 13). */
#include <string.h>

#include <signal/session_record.h>
#include <signal/session_state.h>
#include <sodium.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"
#include "keyd/adv.h"
#include "keyd/counter.h"
#include "keyd/provider.h"
#include "keyd/trust.h"
#include "keyd/verbs.h"

#define RECORD_LEN (32 + 1 + 8)

/* ---------------------------------------------------------------- the record */

int
trust_get(struct work *w, const Keyd__Address *a, struct trust *t)
{
	struct buf b = BUF_INIT;
	int there = work_get(w, STORED__DOMAIN__IDENTITY, work_at(w, a), &b);

	memset(t, 0, sizeof(*t));
	if (there == 1 && b.len != 32 &&
	    (b.len != RECORD_LEN || b.data[32] < KEYD__IDENTITY_STATE__TRUSTED ||
		b.data[32] > KEYD__IDENTITY_STATE__HELD))
		there = -1;
	if (there == 1) {
		memcpy(t->key, b.data, 32);
		t->state = KEYD__IDENTITY_STATE__TRUSTED;
	}
	if (there == 1 && b.len == RECORD_LEN) {
		t->state = (Keyd__IdentityState)b.data[32];
		t->first_seen_ms = (int64_t)buf_be64(b.data + 33);
	}
	buf_clear(&b);
	return there;
}

void
trust_put(struct work *w, const Keyd__Address *a, const struct trust *t)
{
	struct buf b = BUF_INIT;

	buf_put(&b, t->key, 32);
	buf_put_u8(&b, (uint8_t)t->state);
	buf_put_be64(&b, (uint64_t)t->first_seen_ms);
	work_put_buf(w, STORED__DOMAIN__IDENTITY, work_at(w, a), &b);
}

/* Of the primary of that device. */
static int
primary_get(struct work *w, const Keyd__Address *a, struct trust *t)
{
	Keyd__Address primary = *a;

	primary.device = 0;
	return trust_get(w, &primary, t);
}

int
trust_seen(struct work *w, const Keyd__Address *a, const uint8_t key[32], struct trust_change *c)
{
	struct trust t;
	int there = trust_get(w, a, &t);

	if (there == -1)
		return -1;
	if (there == 1 && memcmp(t.key, key, 32) == 0)
		return 0;
	c->fresh = 1;
	c->had_old = there == 1;
	c->was_verified = t.state == KEYD__IDENTITY_STATE__VERIFIED;
	memcpy(c->old_key, t.key, 32);
	memcpy(c->new_key, key, 32);
	memcpy(t.key, key, 32);
	t.state = KEYD__IDENTITY_STATE__TRUSTED;
	t.first_seen_ms = clock_wall_ms();
	trust_put(w, a, &t);
	return 0;
}

int
trust_session_with(session_record *record, const uint8_t key[32])
{
	uint8_t remote[32];

	return record != NULL &&
	       provider_raw_key(
		   session_state_get_remote_identity_key(session_record_get_state(record)),
		   remote) == 0 &&
	       memcmp(remote, key, 32) == 0;
}

/* ---------------------------------------------------------------- judging */

enum trust_verdict
trust_held(struct work *w, const Keyd__Address *a)
{
	struct trust own, primary;

	if (trust_get(w, a, &own) == -1 || primary_get(w, a, &primary) == -1)
		return TRUST_DAMAGED;
	return own.state == KEYD__IDENTITY_STATE__HELD ||
		       primary.state == KEYD__IDENTITY_STATE__HELD
		   ? TRUST_REFUSED
		   : TRUST_TAKEN;
}

int
trust_enough(const struct request *r, struct work *w, const Keyd__Address *a)
{
	struct trust t;

	if (r->account->policy != TRUST_VERIFIED_ONLY)
		return 1;
	/* our own phone has signed us, which is as good as comparing numbers */
	return primary_get(w, a, &t) == 1 && (t.state == KEYD__IDENTITY_STATE__VERIFIED ||
						 memcmp(t.key, r->device->account_key, 32) == 0);
}

enum trust_verdict
trust_judge(struct request *r, const Keyd__Address *a, const struct trust_change *c,
    const ProtobufCBinaryData *adv)
{
	enum adv_check check = ADV_NO_KEY;
	struct trust primary;
	int known;

	if (!c->fresh)
		return TRUST_TAKEN;
	known = a->device != 0 && primary_get(&r->work, a, &primary) == 1;
	if (a->device != 0 && adv != NULL)
		check =
		    adv_check_device(adv->data, adv->len, c->new_key, known ? primary.key : NULL);
	if (check == ADV_INVALID) {
		counters[COUNT_ADV_REFUSED]++;
		return TRUST_ADV_INVALID;
	}
	if (a->device != 0 && check != ADV_VALID)
		counters[COUNT_ADV_UNCHECKED]++;
	if (r->account->policy == TRUST_ACCEPT || check == ADV_VALID)
		return TRUST_TAKEN;
	return c->had_old || known ? TRUST_REFUSED : TRUST_TAKEN; /* on first use */
}

void
trust_hold(struct work *w, const Keyd__Address *a, const struct trust_change *c)
{
	struct trust t = {.state = KEYD__IDENTITY_STATE__HELD, .first_seen_ms = clock_wall_ms()};

	memcpy(t.key, c->new_key, 32);
	trust_put(w, a, &t);
}

/* ---------------------------------------------------------------- the verbs */

/* What is known of each. */
static Keyd__Identity **
tell(struct request *r, Keyd__Address *const *addresses, size_t n)
{
	Keyd__Identity **list = request_list(r, &keyd__identity__descriptor, n);
	struct trust t;

	for (size_t i = 0; i < n; i++) {
		int there = trust_get(&r->work, addresses[i], &t);

		list[i]->has_damaged = list[i]->damaged = there == -1;
		if (there != 1)
			continue;
		list[i]->has_key = list[i]->has_state = 1;
		list[i]->key = request_bytes(r, t.key, 32);
		list[i]->state = t.state;
		list[i]->has_first_seen_ms = t.first_seen_ms > 0;
		list[i]->first_seen_ms = t.first_seen_ms;
	}
	return list;
}

int
trust_identities(struct request *r, const void *asked, void *answer)
{
	const Keyd__Identities *q = asked;
	Keyd__IdentitiesReply *a = answer;

	a->n_identities = q->n_addresses;
	a->identities = tell(r, q->addresses, q->n_addresses);
	return 0;
}

/* A session with the identity that was known before must not be encrypted with any more. */
static void
drop_foreign_session(struct work *w, const Keyd__Address *a, const uint8_t key[32])
{
	session_record *record = NULL;
	struct buf b = BUF_INIT;

	if (work_get(w, STORED__DOMAIN__SESSION, work_at(w, a), &b) == 1)
		(void)session_record_deserialize(&record, b.data, b.len, provider_context);
	if (!trust_session_with(record, key))
		work_delete(w, STORED__DOMAIN__SESSION, work_at(w, a));
	SIGNAL_UNREF(record);
	buf_clear(&b);
}

const char *
trust_check_decide(const void *asked)
{
	const Keyd__IdentityDecide *q = asked;

	for (size_t i = 0; i < q->n_decisions; i++)
		if (q->decisions[i]->key.len != 32 && q->decisions[i]->key.len != 0)
			return "a key has neither 32 bytes nor none";
	return NULL;
}

int
trust_decide(struct request *r, const void *asked, void *answer)
{
	const Keyd__IdentityDecide *q = asked;
	struct trust t;

	for (size_t i = 0; i < q->n_decisions; i++) {
		const Keyd__IdentityDecision *d = q->decisions[i];
		int there = trust_get(&r->work, d->address, &t);

		if (there == -1 && d->key.len == 0) {
			work_delete(
			    &r->work, STORED__DOMAIN__SESSION, work_at(&r->work, d->address));
			work_delete(
			    &r->work, STORED__DOMAIN__IDENTITY, work_at(&r->work, d->address));
			continue;
		}
		if (there != 1 || d->key.len == 0 || memcmp(t.key, d->key.data, 32) != 0)
			return request_fail(
			    r, "identity", "this is not the identity that is stored");
		t.state = d->state;
		trust_put(&r->work, d->address, &t);
		if (d->state != KEYD__IDENTITY_STATE__HELD)
			drop_foreign_session(&r->work, d->address, t.key);
	}
	counters[COUNT_IDENTITY_DECIDED] += q->n_decisions;
	return 0;
}

int
trust_forget(struct request *r, const void *asked, void *answer)
{
	const Keyd__IdentityForget *q = asked;
	Keyd__IdentityForgetReply *a = answer;
	struct work *w = &r->work;

	a->n_identities = q->n_addresses;
	a->identities = tell(r, q->addresses, q->n_addresses);
	for (size_t i = 0; i < q->n_addresses; i++) {
		work_delete(w, STORED__DOMAIN__SESSION, work_at(w, q->addresses[i]));
		if (r->account->policy == TRUST_ACCEPT && !q->only_sessions)
			work_delete(w, STORED__DOMAIN__IDENTITY, work_at(w, q->addresses[i]));
	}
	return 0;
}
