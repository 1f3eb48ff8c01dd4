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

#define RECORD_LEN    (32 + 1 + 8)
#define ADDRESSES_MAX 1024

/* ---------------------------------------------------------------- the record */

int
trust_get(struct work *w, const char *name, uint32_t device, struct trust *t)
{
	struct buf b = BUF_INIT;
	int there =
	    work_get(w, STORED__DOMAIN__IDENTITY, work_address(w, name, (int32_t)device), &b);

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
		for (size_t i = 33; i < RECORD_LEN; i++)
			t->first_seen_ms = t->first_seen_ms << 8 | b.data[i];
	}
	buf_clear(&b);
	return there;
}

void
trust_put(struct work *w, const char *name, uint32_t device, const struct trust *t)
{
	uint8_t record[RECORD_LEN];

	memcpy(record, t->key, 32);
	record[32] = (uint8_t)t->state;
	for (int i = 0; i < 8; i++)
		record[33 + i] = (uint8_t)((uint64_t)t->first_seen_ms >> (56 - 8 * i));
	work_put(w, STORED__DOMAIN__IDENTITY, work_address(w, name, (int32_t)device), record,
	    sizeof(record));
}

int
trust_seen(struct work *w, const char *name, uint32_t device, const uint8_t key[32],
    struct trust_change *c)
{
	struct trust t;
	int there = trust_get(w, name, device, &t);

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
	trust_put(w, name, device, &t);
	return 0;
}

/* ---------------------------------------------------------------- judging */

int
trust_held(struct work *w, const Keyd__Address *a)
{
	struct trust own, primary;

	if (trust_get(w, a->name, a->device, &own) == -1 ||
	    trust_get(w, a->name, 0, &primary) == -1)
		return -1;
	return own.state == KEYD__IDENTITY_STATE__HELD ||
	       primary.state == KEYD__IDENTITY_STATE__HELD;
}

int
trust_enough(const struct request *r, struct work *w, const Keyd__Address *a)
{
	struct trust t;

	if (r->account->policy != TRUST_VERIFIED_ONLY)
		return 1;
	/* our own phone has signed us, which is as good as comparing numbers */
	return trust_get(w, a->name, 0, &t) == 1 &&
	       (t.state == KEYD__IDENTITY_STATE__VERIFIED ||
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
	known = a->device != 0 && trust_get(&r->work, a->name, 0, &primary) == 1;
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
	trust_put(w, a->name, a->device, &t);
}

/* ---------------------------------------------------------------- IDENTITIES */

static const char *
check_addresses(Keyd__Address *const *list, size_t n)
{
	if (n > ADDRESSES_MAX)
		return "more than 1024 addresses";
	for (size_t i = 0; i < n; i++)
		if (!session_address_ok(list[i]))
			return "an address is malformed";
	return NULL;
}

static const char *
check_identities(const ProtobufCMessage *pb)
{
	const Keyd__Identities *q = (const Keyd__Identities *)pb;

	return check_addresses(q->addresses, q->n_addresses);
}

static void
load_identities(struct request *r)
{
	const Keyd__Identities *q = (const Keyd__Identities *)r->pb;

	for (size_t i = 0; i < q->n_addresses; i++)
		session_need(r, STORED__DOMAIN__IDENTITY, q->addresses[i]);
}

static struct told {
	Keyd__Identity pb[ADDRESSES_MAX], *list[ADDRESSES_MAX];
	struct trust trust[ADDRESSES_MAX];
} told; /* of the answer that is being made: 150 KiB are much for the stack */

static void
tell(struct request *r, Keyd__Address *const *addresses, size_t n)
{
	struct told *out = &told;

	for (size_t i = 0; i < n; i++) {
		struct trust *t = &out->trust[i];
		int there = trust_get(&r->work, addresses[i]->name, addresses[i]->device, t);

		keyd__identity__init(&out->pb[i]);
		out->list[i] = &out->pb[i];
		out->pb[i].has_damaged = out->pb[i].damaged = there == -1;
		if (there != 1)
			continue;
		out->pb[i].has_key = out->pb[i].has_state = 1;
		out->pb[i].key = pb_bytes(t->key, 32);
		out->pb[i].state = t->state;
		out->pb[i].has_first_seen_ms = t->first_seen_ms > 0;
		out->pb[i].first_seen_ms = t->first_seen_ms;
	}
}

static void
run_identities(struct request *r)
{
	const Keyd__Identities *q = (const Keyd__Identities *)r->pb;
	Keyd__IdentitiesReply a = KEYD__IDENTITIES_REPLY__INIT;

	tell(r, q->addresses, q->n_addresses);
	a.identities = told.list;
	a.n_identities = q->n_addresses;
	request_reply(r, KEYD__TYPE__IDENTITIES_REPLY, &a.base);
}

const struct verb verb_identities = {
    KEYD__TYPE__IDENTITIES, VERB_DEVICE, check_identities, load_identities, run_identities};

/* ---------------------------------------------------------------- IDENTITY_DECIDE */

static const char *
check_decide(const ProtobufCMessage *pb)
{
	const Keyd__IdentityDecide *q = (const Keyd__IdentityDecide *)pb;

	if (q->n_decisions < 1 || q->n_decisions > ADDRESSES_MAX)
		return "not 1 to 1024 decisions";
	for (size_t i = 0; i < q->n_decisions; i++)
		if (!session_address_ok(q->decisions[i]->address) ||
		    (q->decisions[i]->key.len != 32 && q->decisions[i]->key.len != 0))
			return "an address is malformed, or a key has neither 32 bytes nor none";
	return NULL;
}

static void
load_decide(struct request *r)
{
	const Keyd__IdentityDecide *q = (const Keyd__IdentityDecide *)r->pb;

	for (size_t i = 0; i < q->n_decisions; i++) {
		session_need(r, STORED__DOMAIN__IDENTITY, q->decisions[i]->address);
		session_need(r, STORED__DOMAIN__SESSION, q->decisions[i]->address);
	}
}

static void
forget(struct work *w, int domain, const Keyd__Address *a)
{
	work_delete(w, domain, work_address(w, a->name, (int32_t)a->device));
}

/* A session with the identity that was known before must not be encrypted with any more. */
static void
drop_foreign_session(struct work *w, const Keyd__Address *a, const uint8_t key[32])
{
	session_record *record = NULL;
	ec_public_key *remote = NULL;
	signal_buffer *typed = NULL;
	struct buf b = BUF_INIT;
	int same = 0;

	if (work_get(w, STORED__DOMAIN__SESSION, work_address(w, a->name, (int32_t)a->device),
		&b) == 1 &&
	    session_record_deserialize(&record, b.data, b.len, provider_context) == 0)
		remote = session_state_get_remote_identity_key(session_record_get_state(record));
	if (remote != NULL && ec_public_key_serialize(&typed, remote) == 0)
		same = memcmp(signal_buffer_data(typed) + 1, key, 32) == 0;
	if (!same)
		forget(w, STORED__DOMAIN__SESSION, a);
	signal_buffer_free(typed);
	SIGNAL_UNREF(record);
	buf_clear(&b);
}

static void
run_decide(struct request *r)
{
	const Keyd__IdentityDecide *q = (const Keyd__IdentityDecide *)r->pb;
	Keyd__Staged a = KEYD__STAGED__INIT;
	struct trust t;

	for (size_t i = 0; i < q->n_decisions; i++) {
		const Keyd__IdentityDecision *d = q->decisions[i];
		int there = trust_get(&r->work, d->address->name, d->address->device, &t);

		if (there == -1 && d->key.len == 0) {
			forget(&r->work, STORED__DOMAIN__SESSION, d->address);
			forget(&r->work, STORED__DOMAIN__IDENTITY, d->address);
			continue;
		}
		if (there != 1 || d->key.len == 0 || memcmp(t.key, d->key.data, 32) != 0) {
			request_error(r, "identity", "this is not the identity that is stored");
			return;
		}
		t.state = d->state;
		trust_put(&r->work, d->address->name, d->address->device, &t);
		if (d->state != KEYD__IDENTITY_STATE__HELD)
			drop_foreign_session(&r->work, d->address, t.key);
	}
	if (request_stage(r, q->unit, &a.stages) == -1)
		return;
	counters[COUNT_IDENTITY_DECIDED] += q->n_decisions;
	request_reply(r, KEYD__TYPE__STAGED, &a.base);
}

const struct verb verb_identity_decide = {
    KEYD__TYPE__IDENTITY_DECIDE, VERB_DEVICE, check_decide, load_decide, run_decide};

/* ---------------------------------------------------------------- IDENTITY_FORGET */

static const char *
check_forget(const ProtobufCMessage *pb)
{
	const Keyd__IdentityForget *q = (const Keyd__IdentityForget *)pb;

	return check_addresses(q->addresses, q->n_addresses);
}

static void
load_forget(struct request *r)
{
	const Keyd__IdentityForget *q = (const Keyd__IdentityForget *)r->pb;

	for (size_t i = 0; i < q->n_addresses; i++) {
		session_need(r, STORED__DOMAIN__IDENTITY, q->addresses[i]);
		session_need(r, STORED__DOMAIN__SESSION, q->addresses[i]);
	}
}

static void
run_forget(struct request *r)
{
	const Keyd__IdentityForget *q = (const Keyd__IdentityForget *)r->pb;
	Keyd__IdentityForgetReply a = KEYD__IDENTITY_FORGET_REPLY__INIT;
	struct work *w = &r->work;

	tell(r, q->addresses, q->n_addresses);
	for (size_t i = 0; i < q->n_addresses; i++) {
		const Keyd__Address *at = q->addresses[i];

		forget(w, STORED__DOMAIN__SESSION, at);
		if (r->account->policy == TRUST_ACCEPT && !q->only_sessions)
			forget(w, STORED__DOMAIN__IDENTITY, at);
	}
	if (request_stage(r, q->unit, &a.stages) == -1)
		return;
	a.identities = told.list;
	a.n_identities = q->n_addresses;
	request_reply(r, KEYD__TYPE__IDENTITY_FORGET_REPLY, &a.base);
}

const struct verb verb_identity_forget = {
    KEYD__TYPE__IDENTITY_FORGET, VERB_DEVICE, check_forget, load_forget, run_forget};
