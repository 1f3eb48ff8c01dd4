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
#define REF_MAX   512

void
identity_put(struct request *r, struct device *d)
{
	struct buf plain = BUF_INIT;

	if (device_encode(d, &plain) == -1)
		fatalx("out of memory");
	work_put(&r->work, STORED__DOMAIN__DEVICE, "device", plain.data, plain.len);
	buf_clear(&plain);
}

/* ---------------------------------------------------------------- public facts */

struct state_reply {
	Keyd__DeviceState state;
	Keyd__SignedPrekey skey;
};

void
identity_signed_prekey(Keyd__SignedPrekey *s, const struct device *d)
{
	keyd__signed_prekey__init(s);
	s->id = d->skey_id;
	s->pub = pb_bytes(d->skey_pub, 32);
	s->signature = pb_bytes(d->skey_sig, 64);
}

/* Points into d, which may be NULL. */
static void
describe(struct state_reply *r, struct device *d)
{
	Keyd__DeviceState *s = &r->state;

	keyd__device_state__init(s);
	if (d == NULL)
		return;
	s->exists = 1;
	s->linked = d->linked;
	s->has_generation = s->has_registration_id = s->has_noise_pub = s->has_identity_pub = 1;
	s->generation = d->generation;
	s->registration_id = d->registration_id;
	s->noise_pub = pb_bytes(d->noise_pub, 32);
	s->identity_pub = pb_bytes(d->identity_pub, 32);
	identity_signed_prekey(&r->skey, d);
	s->signed_prekey = &r->skey;
	if (!d->linked)
		return;
	s->jid = d->jid;
	s->lid = d->lid[0] != '\0' ? d->lid : NULL;
	s->has_device_identity = s->has_account_key = 1;
	s->device_identity = pb_bytes(d->device_identity, d->device_identity_len);
	s->account_key = pb_bytes(d->account_key, 32);
}

static void
run_account_open(struct request *r)
{
	struct state_reply s;

	describe(&s, r->device);
	request_reply(r, KEYD__TYPE__DEVICE_STATE, &s.state.base);
}

const struct verb verb_account_open = {
    KEYD__TYPE__ACCOUNT_OPEN, VERB_ANY, NULL, NULL, run_account_open};

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

static void
load_device_create(struct request *r)
{

	r->work.generation = next_generation(r->device);
	(void)work_need(&r->work, STORED__DOMAIN__SIGNED_PREKEY, work_name(&r->work, "1"));
}

static void
run_device_create(struct request *r)
{
	const Keyd__DeviceCreate *q = (const Keyd__DeviceCreate *)r->pb;
	struct device *d =
	    &r->keyd->secrets->device; /* the old one is not needed but for its number */
	uint32_t generation = next_generation(r->device);
	struct state_reply s;

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
	describe(&s, d);
	s.state.has_stages = 1;
	if (request_stage(r, q->unit, &s.state.stages) == -1)
		return;
	counters[COUNT_DEVICE_CREATE]++;
	request_reply(r, KEYD__TYPE__DEVICE_STATE, &s.state.base);
}

const struct verb verb_device_create = {
    KEYD__TYPE__DEVICE_CREATE, VERB_ANY, NULL, load_device_create, run_device_create};

/* ---------------------------------------------------------------- QR */

static const char *
check_pair_qr(const ProtobufCMessage *pb)
{
	const Keyd__PairQr *q = (const Keyd__PairQr *)pb;
	size_t i;

	if (q->ref.len == 0 || q->ref.len > REF_MAX)
		return "ref has not 1 to 512 bytes";
	for (i = 0; i < q->ref.len; i++)
		if (q->ref.data[i] <= ' ' || q->ref.data[i] >= 0x7f || q->ref.data[i] == ',')
			return "ref holds a byte that is not printable, or a comma";
	if (strlen(q->client_type) != 1 || q->client_type[0] <= ' ' || q->client_type[0] >= 0x7f ||
	    q->client_type[0] == ',')
		return "client_type is not one character";
	return NULL;
}

static void
put_base64(struct buf *b, const uint8_t key[32])
{
	char text[sodium_base64_ENCODED_LEN(32, sodium_base64_VARIANT_ORIGINAL)];

	sodium_bin2base64(text, sizeof(text), key, 32, sodium_base64_VARIANT_ORIGINAL);
	buf_put_str(b, text);
	sodium_memzero(text, sizeof(text));
}

static void
run_pair_qr(struct request *r)
{
	const Keyd__PairQr *q = (const Keyd__PairQr *)r->pb;
	Keyd__PairQrReply a = KEYD__PAIR_QR_REPLY__INIT;
	struct buf text = BUF_INIT;

	buf_put_str(&text, QR_PREFIX);
	buf_put(&text, q->ref.data, q->ref.len);
	buf_put_u8(&text, ',');
	put_base64(&text, r->device->noise_pub);
	buf_put_u8(&text, ',');
	put_base64(&text, r->device->identity_pub);
	buf_put_u8(&text, ',');
	put_base64(&text, r->device->adv_secret);
	buf_put_u8(&text, ',');
	buf_put_str(&text, q->client_type);
	if (buf_cstr(&text) == NULL)
		fatalx("out of memory");
	a.text = (char *)text.data;
	counters[COUNT_PAIR_QR]++;
	request_reply(r, KEYD__TYPE__PAIR_QR_REPLY, &a.base);
	buf_clear(&text);
}

const struct verb verb_pair_qr = {
    KEYD__TYPE__PAIR_QR, VERB_UNLINKED, check_pair_qr, NULL, run_pair_qr};

static void
run_pair_refresh(struct request *r)
{
	const Keyd__PairRefresh *q = (const Keyd__PairRefresh *)r->pb;
	Keyd__Staged a = KEYD__STAGED__INIT;

	randombytes_buf(r->device->adv_secret, sizeof(r->device->adv_secret));
	r->device->has_pending = 0;
	passkey_forget(r->account);
	identity_put(r, r->device);
	if (request_stage(r, q->unit, &a.stages) == -1)
		return;
	counters[COUNT_PAIR_REFRESH]++;
	request_reply(r, KEYD__TYPE__STAGED, &a.base);
}

const struct verb verb_pair_refresh = {
    KEYD__TYPE__PAIR_REFRESH, VERB_UNLINKED, NULL, NULL, run_pair_refresh};

/* ---------------------------------------------------------------- code */

static const char *
check_pair_code(const ProtobufCMessage *pb)
{
	const Keyd__PairCode *q = (const Keyd__PairCode *)pb;

	if (q->code != NULL && !paircode_valid(q->code))
		return "code is not 8 characters of the alphabet";
	return NULL;
}

static void
run_pair_code(struct request *r)
{
	const Keyd__PairCode *q = (const Keyd__PairCode *)r->pb;
	struct paircode *c = &r->keyd->secrets->code[r->account->number];
	Keyd__PairCodeReply a = KEYD__PAIR_CODE_REPLY__INIT;
	uint8_t random[5], salt[32], iv[16], wrapped[PAIRCODE_WRAPPED];

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
	paircode_wrap(c->code, salt, iv, c->e_pub, wrapped);
	a.code = c->code;
	a.wrapped_ephemeral = pb_bytes(wrapped, sizeof(wrapped));
	counters[COUNT_PAIR_CODE]++;
	request_reply(r, KEYD__TYPE__PAIR_CODE_REPLY, &a.base);
}

const struct verb verb_pair_code = {
    KEYD__TYPE__PAIR_CODE, VERB_UNLINKED, check_pair_code, NULL, run_pair_code};

static const char *
check_pair_code_finish(const ProtobufCMessage *pb)
{
	const Keyd__PairCodeFinish *q = (const Keyd__PairCodeFinish *)pb;

	if (q->wrapped_primary.len != PAIRCODE_WRAPPED || q->primary_identity.len != 32)
		return "wrapped_primary has not 80 bytes, or primary_identity not 32";
	return NULL;
}

/* The code under way, if it may still be used; else answers. */
static struct paircode *
code_under_way(struct request *r)
{
	struct paircode *c = &r->keyd->secrets->code[r->account->number];

	if (!c->used) {
		request_error(r, "state", "no code is under way");
	} else if (clock_mono_ms() - c->began_ms > PAIRCODE_MS) {
		sodium_memzero(c, sizeof(*c));
		request_error(r, "code_expired", "the code is older than 180 seconds");
	} else if (c->tries == PAIRCODE_TRIES) {
		sodium_memzero(c, sizeof(*c));
		request_error(r, "code_tries", "the code was tried 3 times");
	} else {
		c->tries++;
		return c;
	}
	return NULL;
}

static void
run_pair_code_finish(struct request *r)
{
	const Keyd__PairCodeFinish *q = (const Keyd__PairCodeFinish *)r->pb;
	Keyd__PairCodeFinishReply a = KEYD__PAIR_CODE_FINISH_REPLY__INIT;
	struct paircode_random random;
	struct paircode_finish in;
	uint8_t bundle[PAIRCODE_BUNDLE], primary_e[32];
	struct paircode *c;

	if ((c = code_under_way(r)) == NULL)
		return;
	paircode_unwrap(c->code, q->wrapped_primary.data, primary_e);
	randombytes_buf(&random, sizeof(random));
	in = (struct paircode_finish){c->e_priv, r->device->identity_priv, r->device->identity_pub,
	    primary_e, q->primary_identity.data};
	if (paircode_bundle(&in, &random, bundle, r->device->adv_secret) == -1) {
		request_error(r, "bad_key", "a shared secret is zero");
		goto done;
	}
	identity_put(r, r->device);
	if (request_stage(r, q->unit, &a.stages) == -1)
		goto done;
	a.wrapped_bundle = pb_bytes(bundle, sizeof(bundle));
	a.identity_pub = pb_bytes(r->device->identity_pub, 32);
	counters[COUNT_PAIR_CODE_FINISH]++;
	request_reply(r, KEYD__TYPE__PAIR_CODE_FINISH_REPLY, &a.base);
done:
	sodium_memzero(&random, sizeof(random));
	sodium_memzero(primary_e, sizeof(primary_e));
}

const struct verb verb_pair_code_finish = {KEYD__TYPE__PAIR_CODE_FINISH, VERB_UNLINKED,
    check_pair_code_finish, NULL, run_pair_code_finish};

/* ---------------------------------------------------------------- pair-success */

static const char *
check_pair_success(const ProtobufCMessage *pb)
{
	const Keyd__PairSuccess *q = (const Keyd__PairSuccess *)pb;
	struct jid j;

	if (q->container.len == 0 || q->container.len > ADV_CONTAINER_MAX)
		return "container has not 1 to 4096 bytes";
	if (jid_parse(q->jid, &j) == -1 || !jid_is_pn(&j) || j.device == 0)
		return "jid is not that of a companion";
	if (q->lid != NULL && (jid_parse(q->lid, &j) == -1 || !jid_is_lid(&j) || j.device == 0))
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

static void
load_pair_success(struct request *r)
{
	const Keyd__PairSuccess *q = (const Keyd__PairSuccess *)r->pb;

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

static void
run_pair_success(struct request *r)
{
	const Keyd__PairSuccess *q = (const Keyd__PairSuccess *)r->pb;
	Keyd__PairSuccessReply a = KEYD__PAIR_SUCCESS_REPLY__INIT;
	struct adv_link link = {.complete = BUF_INIT, .answer = BUF_INIT};
	struct state_reply s;

	a.outcome = outcomes[open_success(r->device, &q->container, &link)];
	if (link.complete.len > DEVICE_IDENTITY_MAX)
		a.outcome = KEYD__PAIR_SUCCESS_REPLY__OUTCOME__BAD_FORMAT;
	if (a.outcome != KEYD__PAIR_SUCCESS_REPLY__OUTCOME__LINKED) {
		counters[COUNT_PAIR_REFUSED]++;
		request_reply(r, KEYD__TYPE__PAIR_SUCCESS_REPLY, &a.base);
		goto done;
	}
	put_link(r, q, &link);
	if (request_stage(r, q->unit, &a.stages) == -1)
		goto done;
	describe(&s, r->device);
	a.device = &s.state;
	a.has_key_index = a.has_answer = 1;
	a.key_index = link.key_index;
	a.answer = pb_bytes(link.answer.data, link.answer.len);
	forget_codes(r);
	counters[COUNT_PAIR_LINKED]++;
	request_reply(r, KEYD__TYPE__PAIR_SUCCESS_REPLY, &a.base);
done:
	adv_link_clear(&link);
}

const struct verb verb_pair_success = {KEYD__TYPE__PAIR_SUCCESS, VERB_UNLINKED, check_pair_success,
    load_pair_success, run_pair_success};
