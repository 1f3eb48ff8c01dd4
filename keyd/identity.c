/* The device of an account: making it, pairing it with a phone, telling its public facts. */
#include <string.h>

#include <signal/key_helper.h>
#include <sodium.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"
#include "ipc/keyd.pb-c.h"
#include "keyd/adv.h"
#include "keyd/counter.h"
#include "keyd/curve.h"
#include "keyd/provider.h"
#include "keyd/verbs.h"

#define QR_PREFIX "https://wa.me/settings/linked_devices#"

void
identity_put(struct request *r, struct device *d)
{
	struct buf plain = BUF_INIT;

	if (device_encode(d, &plain) == -1)
		fatalx("out of memory");
	work_put_buf(&r->work, STORED__DOMAIN__DEVICE, "device", &plain);
}

/* ---------------------------------------------------------------- public facts */

Keyd__SignedPrekey *
identity_signed_prekey(struct request *r, uint32_t id, const uint8_t pub[32], const uint8_t sig[64])
{
	Keyd__SignedPrekey *s = request_message(r, &keyd__signed_prekey__descriptor);

	s->id = id;
	s->pub = request_bytes(r, pub, 32);
	s->signature = request_bytes(r, sig, 64);
	return s;
}

/* Points into d. */
static void
describe(struct request *r, struct device *d, Keyd__DeviceState *s)
{
	s->exists = 1;
	s->linked = d->linked;
	s->has_generation = s->has_registration_id = s->has_noise_pub = s->has_identity_pub = 1;
	s->generation = d->generation;
	s->registration_id = d->registration_id;
	s->noise_pub = pb_bytes(d->noise_pub, 32);
	s->identity_pub = pb_bytes(d->identity_pub, 32);
	s->signed_prekey = identity_signed_prekey(r, d->skey_id, d->skey_pub, d->skey_sig);
	if (!d->linked)
		return;
	s->jid = d->jid;
	s->lid = d->lid[0] != '\0' ? d->lid : NULL;
	s->has_device_identity = s->has_account_key = 1;
	s->device_identity = pb_bytes(d->device_identity, d->device_identity_len);
	s->account_key = pb_bytes(d->account_key, 32);
}

int
identity_account_open(struct request *r, const void *asked, void *answer)
{
	if (r->device != NULL)
		describe(r, r->device, answer);
	return 0;
}

/* What linking keeps in memory is of no use any more. */
static void
forget_codes(struct request *r)
{
	sodium_memzero(&r->keyd->secrets->code[r->account->number], sizeof(struct paircode));
	passkey_forget(r->account);
}

/* ---------------------------------------------------------------- a new device */

static uint32_t
next_generation(const struct device *d)
{
	return d == NULL ? 1 : d->generation + 1;
}

void
identity_load_device_create(struct request *r, const void *asked)
{
	r->work.generation = next_generation(r->device);
	(void)work_need(&r->work, STORED__DOMAIN__SIGNED_PREKEY, work_name(&r->work, "1"));
}

int
identity_device_create(struct request *r, const void *asked, void *answer)
{
	struct device *d =
	    &r->keyd->secrets->device; /* the old one is not needed but for its number */
	uint32_t generation = next_generation(r->device);

	sodium_memzero(d, sizeof(*d));
	d->generation = generation;
	if (signal_protocol_key_helper_generate_registration_id(
		&d->registration_id, 0, provider_context) != 0)
		fatalx("libsignal makes no registration id");
	curve_pair(d->noise_priv, d->noise_pub);
	curve_pair(d->identity_priv, d->identity_pub);
	randombytes_buf(d->adv_secret, sizeof(d->adv_secret));
	d->skey_id = 1;
	skey_make(&r->work, d, d->skey_id, d->skey_pub, d->skey_sig);
	identity_put(r, d);
	forget_codes(r);
	describe(r, d, answer);
	return 0;
}

/* ---------------------------------------------------------------- QR */

int
identity_pair_qr(struct request *r, const void *asked, void *answer)
{
	const Keyd__PairQr *q = asked;
	const uint8_t *const keys[3] = {
	    r->device->noise_pub, r->device->identity_pub, r->device->adv_secret};
	char b64[3][sodium_base64_ENCODED_LEN(32, sodium_base64_VARIANT_ORIGINAL)];
	struct buf text = BUF_INIT;

	for (int i = 0; i < 3; i++)
		sodium_bin2base64(
		    b64[i], sizeof(b64[i]), keys[i], 32, sodium_base64_VARIANT_ORIGINAL);
	(void)buf_printf(&text, "%s%.*s,%s,%s,%s,%s", QR_PREFIX, (int)q->ref.len,
	    (const char *)q->ref.data, b64[0], b64[1], b64[2], q->client_type);
	sodium_memzero(b64, sizeof(b64));
	((Keyd__PairQrReply *)answer)->text = request_text(r, &text);
	return 0;
}

int
identity_pair_refresh(struct request *r, const void *asked, void *answer)
{
	randombytes_buf(r->device->adv_secret, sizeof(r->device->adv_secret));
	r->device->has_pending = 0;
	passkey_forget(r->account);
	identity_put(r, r->device);
	return 0;
}

/* ---------------------------------------------------------------- code */

int
identity_pair_code(struct request *r, const void *asked, void *answer)
{
	const Keyd__PairCode *q = asked;
	Keyd__PairCodeReply *a = answer;
	struct paircode *c = &r->keyd->secrets->code[r->account->number];
	uint8_t random[5], salt[32], iv[16];

	sodium_memzero(c, sizeof(*c));
	if (q->code != NULL)
		memcpy(c->code, q->code, sizeof(c->code));
	else {
		randombytes_buf(random, sizeof(random));
		paircode_from_bytes(random, c->code);
		sodium_memzero(random, sizeof(random));
	}
	curve_pair(c->e_priv, c->e_pub);
	c->began_ms = clock_mono_ms();
	c->used = 1;
	randombytes_buf(salt, sizeof(salt));
	randombytes_buf(iv, sizeof(iv));
	a->code = c->code;
	a->wrapped_ephemeral = request_room(r, PAIRCODE_WRAPPED);
	paircode_wrap(c->code, salt, iv, c->e_pub, a->wrapped_ephemeral.data);
	return 0;
}

/* The code under way, if it may still be used; else answers. */
static struct paircode *
code_under_way(struct request *r)
{
	struct paircode *c = &r->keyd->secrets->code[r->account->number];

	if (!c->used) {
		(void)request_fail(r, "state", "no code is under way");
	} else if (clock_mono_ms() - c->began_ms > PAIRCODE_MS) {
		sodium_memzero(c, sizeof(*c));
		(void)request_fail(r, "code_expired", "the code is older than 180 seconds");
	} else if (c->tries == PAIRCODE_TRIES) {
		sodium_memzero(c, sizeof(*c));
		(void)request_fail(r, "code_tries", "the code was tried 3 times");
	} else {
		c->tries++;
		return c;
	}
	return NULL;
}

int
identity_pair_code_finish(struct request *r, const void *asked, void *answer)
{
	const Keyd__PairCodeFinish *q = asked;
	Keyd__PairCodeFinishReply *a = answer;
	struct paircode_random random;
	struct paircode_finish in;
	uint8_t primary_e[32];
	struct paircode *c;
	int ok;

	if ((c = code_under_way(r)) == NULL)
		return -1;
	paircode_unwrap(c->code, q->wrapped_primary.data, primary_e);
	randombytes_buf(&random, sizeof(random));
	in = (struct paircode_finish){c->e_priv, r->device->identity_priv, r->device->identity_pub,
	    primary_e, q->primary_identity.data};
	a->wrapped_bundle = request_room(r, PAIRCODE_BUNDLE);
	ok = paircode_bundle(&in, &random, a->wrapped_bundle.data, r->device->adv_secret);
	sodium_memzero(&random, sizeof(random));
	sodium_memzero(primary_e, sizeof(primary_e));
	if (ok == -1)
		return request_fail(r, "bad_key", "a shared secret is zero");
	identity_put(r, r->device);
	a->identity_pub = pb_bytes(r->device->identity_pub, 32);
	return 0;
}

/* ---------------------------------------------------------------- pair-success */

/* 0, or -1: not a companion's. */
static int
companion(const char *text, struct jid *j)
{
	return jid_parse(text, j) == 0 && j->device != 0 ? 0 : -1;
}

const char *
identity_check_pair_success(const void *asked)
{
	const Keyd__PairSuccess *q = asked;
	struct jid j;

	if (companion(q->jid, &j) == -1 || !jid_is_pn(&j))
		return "jid is not that of a companion";
	if (q->lid != NULL && (companion(q->lid, &j) == -1 || !jid_is_lid(&j)))
		return "lid is not that of a companion";
	return NULL;
}

/* The Signal address name of device 0 of that user: page 04, 3.1. */
static const char *
primary_name(struct work *w, const char *jid)
{
	struct jid j;

	(void)jid_parse(jid, &j); /* checked */
	return work_name(w, "%s%s:0", j.user, jid_on(&j, JID_LID) ? "_1" : "");
}

void
identity_load_pair_success(struct request *r, const void *asked)
{
	const Keyd__PairSuccess *q = asked;

	(void)work_need(&r->work, STORED__DOMAIN__IDENTITY, primary_name(&r->work, q->jid));
	if (q->lid != NULL)
		(void)work_need(&r->work, STORED__DOMAIN__IDENTITY, primary_name(&r->work, q->lid));
}

/* Record the link: who we are, and that the phone's messages must come from the key that signed us.
 */
static void
put_link(struct request *r, const Keyd__PairSuccess *q, const struct adv_link *l)
{
	struct device *d = r->device;
	struct jid j;

	d->linked = 1;
	d->has_pending = 0;
	(void)jid_parse(q->jid, &j);
	jid_format(&j, d->jid);
	d->lid[0] = '\0';
	if (q->lid != NULL) {
		(void)jid_parse(q->lid, &j);
		jid_format(&j, d->lid);
		work_put(&r->work, STORED__DOMAIN__IDENTITY, primary_name(&r->work, q->lid),
		    l->account_key, 32);
	}
	work_put(
	    &r->work, STORED__DOMAIN__IDENTITY, primary_name(&r->work, q->jid), l->account_key, 32);
	memcpy(d->account_key, l->account_key, 32);
	d->key_index = l->key_index;
	memcpy(d->device_identity, l->complete.data, l->complete.len);
	d->device_identity_len = l->complete.len;
	identity_put(r, d);
}

static const Keyd__PairSuccessReply__Outcome outcomes[] = {
    [ADV_OK] = KEYD__PAIR_SUCCESS_REPLY__OUTCOME__LINKED,
    [ADV_BAD_FORMAT] = KEYD__PAIR_SUCCESS_REPLY__OUTCOME__BAD_FORMAT,
    [ADV_BAD_HMAC] = KEYD__PAIR_SUCCESS_REPLY__OUTCOME__BAD_HMAC,
    [ADV_BAD_SIGNATURE] = KEYD__PAIR_SUCCESS_REPLY__OUTCOME__BAD_SIGNATURE};

/* By the pending ADV secret, which then takes the place of the current one, or by that. */
static enum adv_outcome
open_success(struct device *d, const ProtobufCBinaryData *box, struct adv_link *link)
{
	struct adv_self self = {d->adv_pending, d->identity_priv, d->identity_pub};
	enum adv_outcome o = ADV_BAD_HMAC;

	if (d->has_pending)
		o = adv_open_container(&self, box->data, box->len, link);
	if (o == ADV_OK) {
		memcpy(d->adv_secret, d->adv_pending, sizeof(d->adv_secret));
	} else if (o == ADV_BAD_HMAC) {
		self.adv_secret = d->adv_secret;
		o = adv_open_container(&self, box->data, box->len, link);
	}
	return o;
}

int
identity_pair_success(struct request *r, const void *asked, void *answer)
{
	const Keyd__PairSuccess *q = asked;
	Keyd__PairSuccessReply *a = answer;
	struct adv_link link = {.complete = BUF_INIT, .answer = BUF_INIT};

	a->outcome = outcomes[open_success(r->device, &q->container, &link)];
	if (link.complete.len > DEVICE_IDENTITY_MAX)
		a->outcome = KEYD__PAIR_SUCCESS_REPLY__OUTCOME__BAD_FORMAT;
	if (a->outcome == KEYD__PAIR_SUCCESS_REPLY__OUTCOME__LINKED) {
		put_link(r, q, &link);
		a->device = request_message(r, &keyd__device_state__descriptor);
		describe(r, r->device, a->device);
		a->has_key_index = a->has_answer = 1;
		a->key_index = link.key_index;
		a->answer = request_bytes(r, link.answer.data, link.answer.len);
		forget_codes(r);
		counters[COUNT_PAIR_LINKED]++;
	} else {
		counters[COUNT_PAIR_REFUSED]++;
	}
	adv_link_clear(&link);
	return 0;
}
