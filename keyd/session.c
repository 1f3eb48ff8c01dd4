/* Signal sessions with one device each: asking, encrypting, decrypting (protocol page 04, 3 to 5).
 */
#include <stdlib.h>
#include <string.h>

#include <signal/protocol.h>
#include <signal/session_builder.h>
#include <signal/session_cipher.h>
#include <signal/session_pre_key.h>
#include <signal/session_record.h>
#include <signal/session_state.h>

#include "common/log.h"
#include "common/pb.h"
#include "ipc/keyd.pb-c.h"
#include "keyd/adv.h"
#include "keyd/counter.h"
#include "keyd/provider.h"
#include "keyd/signal_store.h"
#include "keyd/trust.h"
#include "keyd/verbs.h"

#define ADDRESSES_MAX  1024
#define PLAINTEXTS_MAX 4
#define DECRYPT_MAX    16
/* plaintexts times items: the reply must fit a frame */
#define ENCRYPT_OUT_MAX (12u * 1024 * 1024)
#define NAME_MAX_BYTES  80
#define DEVICE_MAX      65535

/* ---------------------------------------------------------------- addresses */

int
session_address_ok(const Keyd__Address *a)
{
	const char *p;
	size_t len = strlen(a->name);

	if (len == 0 || len > NAME_MAX_BYTES || a->device > DEVICE_MAX)
		return 0;
	for (p = a->name; *p != '\0'; p++)
		if (*p <= ' ' || *p >= 0x7f || *p == '/' || *p == ':')
			return 0; /* would make names of records ambiguous */
	return 1;
}

void
session_need(struct request *r, int domain, const Keyd__Address *a)
{
	(void)work_need(&r->work, domain, work_address(&r->work, a->name, (int32_t)a->device));
}

/* The session of a device, its identity, and that of its primary. */
static void
need_device(struct request *r, const Keyd__Address *a)
{
	Keyd__Address primary = KEYD__ADDRESS__INIT;

	primary.name = a->name;
	session_need(r, STORED__DOMAIN__SESSION, a);
	session_need(r, STORED__DOMAIN__IDENTITY, a);
	session_need(r, STORED__DOMAIN__IDENTITY, &primary);
}

static signal_protocol_address
signal_address(const Keyd__Address *a)
{
	return (signal_protocol_address){a->name, strlen(a->name), (int32_t)a->device};
}

/* ---------------------------------------------------------------- SESSIONS */

static const char *
check_sessions(const ProtobufCMessage *pb)
{
	const Keyd__Sessions *q = (const Keyd__Sessions *)pb;
	size_t i;

	if (q->n_addresses > ADDRESSES_MAX)
		return "more than 1024 addresses";
	for (i = 0; i < q->n_addresses; i++)
		if (!session_address_ok(q->addresses[i]))
			return "an address is malformed";
	return NULL;
}

static void
load_sessions(struct request *r)
{
	const Keyd__Sessions *q = (const Keyd__Sessions *)r->pb;
	size_t i;

	for (i = 0; i < q->n_addresses; i++)
		session_need(r, STORED__DOMAIN__SESSION, q->addresses[i]);
}

/* The base key has to be freed. */
static void
session_facts(const signal_protocol_address *address, Keyd__SessionFacts *f)
{
	session_record *record = NULL;
	session_state *s = NULL;
	signal_buffer *key = NULL;

	keyd__session_facts__init(f);
	if (signal_protocol_session_load_session(signal_store, &record, address) == 0)
		s = session_record_get_state(record);
	if (s != NULL && session_state_get_alice_base_key(s) != NULL &&
	    ec_public_key_serialize(&key, session_state_get_alice_base_key(s)) == 0 &&
	    (f->base_key.data = malloc(signal_buffer_len(key))) != NULL) {
		f->base_key.len = signal_buffer_len(key);
		memcpy(f->base_key.data, signal_buffer_data(key), f->base_key.len);
		f->registration_id = session_state_get_remote_registration_id(s);
		f->unacknowledged = session_state_has_unacknowledged_pre_key_message(s) == 1;
	}
	signal_buffer_free(key);
	SIGNAL_UNREF(record);
}

static void
run_sessions(struct request *r)
{
	const Keyd__Sessions *q = (const Keyd__Sessions *)r->pb;
	Keyd__SessionsReply a = KEYD__SESSIONS_REPLY__INIT;
	protobuf_c_boolean has[ADDRESSES_MAX];
	Keyd__SessionFacts *facts = calloc(q->n_addresses + 1, sizeof(*facts)),
			   *list[ADDRESSES_MAX];
	signal_protocol_address address;
	size_t i;

	if (facts == NULL)
		fatalx("out of memory");
	signal_store_begin(&r->work, r->device);
	for (i = 0; i < q->n_addresses; i++) {
		address = signal_address(q->addresses[i]);
		has[i] = signal_protocol_session_contains_session(signal_store, &address) == 1;
		list[i] = &facts[i];
		if (q->facts)
			session_facts(&address, &facts[i]);
	}
	a.has = has;
	a.n_has = q->n_addresses;
	a.facts = list;
	a.n_facts = q->facts ? q->n_addresses : 0;
	request_reply(r, KEYD__TYPE__SESSIONS_REPLY, &a.base);
	for (i = 0; i < a.n_facts; i++)
		free(facts[i].base_key.data);
	free(facts);
}

const struct verb verb_sessions = {
    KEYD__TYPE__SESSIONS, VERB_DEVICE, check_sessions, load_sessions, run_sessions};

/* ---------------------------------------------------------------- ENCRYPT */

static const char *
check_bundle(const Keyd__Bundle *b)
{
	if (b->identity.len != 32 || b->signed_prekey->pub.len != 32 ||
	    b->signed_prekey->signature.len != 64)
		return "a key of a bundle has the wrong length";
	if (b->prekey != NULL && b->prekey->pub.len != 32)
		return "the prekey of a bundle has not 32 bytes";
	if (b->has_device_identity && b->device_identity.len > ADV_CONTAINER_MAX)
		return "the device identity of a bundle is longer than 4096 bytes";
	return NULL;
}

static const char *
check_encrypt(const ProtobufCMessage *pb)
{
	const Keyd__Encrypt *q = (const Keyd__Encrypt *)pb;
	const char *why;
	size_t i, total = 0;

	if ((why = msg_secret_check(q->secrets, q->n_secrets)) != NULL)
		return why;
	if (q->n_items > ADDRESSES_MAX || q->n_plaintexts > PLAINTEXTS_MAX)
		return "more than 1024 items or 4 plaintexts";
	for (i = 0; i < q->n_items; i++) {
		if (!session_address_ok(q->items[i]->address))
			return "an address is malformed";
		if (q->items[i]->plaintext >= q->n_plaintexts)
			return "an item names a plaintext that is not there";
		if (q->items[i]->bundle != NULL &&
		    (why = check_bundle(q->items[i]->bundle)) != NULL)
			return why;
		total += q->plaintexts[q->items[i]->plaintext].len + 256;
		if (total > ENCRYPT_OUT_MAX)
			return "the ciphertexts would have more than 12 MiB";
	}
	return NULL;
}

static void
load_encrypt(struct request *r)
{
	const Keyd__Encrypt *q = (const Keyd__Encrypt *)r->pb;
	size_t i;

	msg_secret_load(r, q->secrets, q->n_secrets);
	for (i = 0; i < q->n_items; i++)
		need_device(r, q->items[i]->address);
}

static int
decode_point(ec_public_key **key, const ProtobufCBinaryData *raw)
{
	uint8_t typed[33] = {5};

	memcpy(typed + 1, raw->data, 32);
	return curve_decode_point(key, typed, sizeof(typed), provider_context);
}

/* A new session from the bundle; the old state is archived. libsignal's code. */
static int
build_session(const signal_protocol_address *address, const Keyd__Bundle *b)
{
	ec_public_key *identity = NULL, *skey = NULL, *key = NULL;
	session_pre_key_bundle *bundle = NULL;
	session_builder *builder = NULL;
	int ok;

	if ((ok = decode_point(&identity, &b->identity)) == 0 &&
	    (ok = decode_point(&skey, &b->signed_prekey->pub)) == 0 &&
	    (b->prekey == NULL || (ok = decode_point(&key, &b->prekey->pub)) == 0) &&
	    (ok = session_pre_key_bundle_create(&bundle, b->registration_id, address->device_id,
		 b->prekey != NULL ? b->prekey->id : 0, key, b->signed_prekey->id, skey,
		 b->signed_prekey->signature.data, 64, identity)) == 0 &&
	    (ok = session_builder_create(&builder, signal_store, address, provider_context)) == 0)
		ok = session_builder_process_pre_key_bundle(builder, bundle);
	session_builder_free(builder);
	SIGNAL_UNREF(bundle);
	SIGNAL_UNREF(key);
	SIGNAL_UNREF(skey);
	SIGNAL_UNREF(identity);
	return ok;
}

/* A change of an identity, for an answer. */
struct told_change {
	struct trust_change c;
	Keyd__IdentityChange pb;
};

static Keyd__IdentityChange *
tell_change(struct told_change *t)
{
	t->c = signal_now.change;
	keyd__identity_change__init(&t->pb);
	t->pb.has_old_key = t->c.had_old;
	t->pb.old_key = pb_bytes(t->c.old_key, 32);
	t->pb.new_key = pb_bytes(t->c.new_key, 32);
	t->pb.was_verified = t->c.was_verified;
	counters[COUNT_IDENTITY_CHANGED] += (uint64_t)t->c.had_old;
	return &t->pb;
}

typedef Keyd__EncryptResult__Outcome EncryptOutcome;

static EncryptOutcome
build_item(struct request *r, const Keyd__EncryptItem *item, const signal_protocol_address *address)
{
	const Keyd__Bundle *b = item->bundle;

	if (build_session(address, b) != 0)
		return KEYD__ENCRYPT_RESULT__OUTCOME__BAD_BUNDLE;
	switch (trust_judge(r, item->address, &signal_now.change,
	    b->has_device_identity ? &b->device_identity : NULL)) {
	case TRUST_REFUSED:
		return KEYD__ENCRYPT_RESULT__OUTCOME__UNTRUSTED;
	case TRUST_ADV_INVALID:
		return KEYD__ENCRYPT_RESULT__OUTCOME__ADV_INVALID;
	case TRUST_TAKEN:
		break;
	}
	counters[COUNT_SESSIONS_BUILT]++;
	return KEYD__ENCRYPT_RESULT__OUTCOME__DONE;
}

static EncryptOutcome
encrypt_item(struct request *r, const Keyd__EncryptItem *item, const ProtobufCBinaryData *plain,
    ciphertext_message **out)
{
	signal_protocol_address address = signal_address(item->address);
	EncryptOutcome built = KEYD__ENCRYPT_RESULT__OUTCOME__DONE;
	session_cipher *cipher = NULL;
	int ok, held = trust_held(&r->work, item->address);

	if (held != 0)
		return held == 1 ? KEYD__ENCRYPT_RESULT__OUTCOME__UNTRUSTED
				 : KEYD__ENCRYPT_RESULT__OUTCOME__IDENTITY_DAMAGED;
	if (item->bundle != NULL)
		built = build_item(r, item, &address);
	else if (signal_protocol_session_contains_session(signal_store, &address) != 1)
		return KEYD__ENCRYPT_RESULT__OUTCOME__NO_SESSION; /* trap 1: the library would not
								     say so */
	if (built != KEYD__ENCRYPT_RESULT__OUTCOME__DONE)
		return built;
	if (!trust_enough(r, &r->work, item->address))
		return KEYD__ENCRYPT_RESULT__OUTCOME__UNVERIFIED;
	if ((ok = session_cipher_create(&cipher, signal_store, &address, provider_context)) == 0)
		ok = session_cipher_encrypt(cipher, plain->data, plain->len, out);
	session_cipher_free(cipher);
	return ok == 0 ? KEYD__ENCRYPT_RESULT__OUTCOME__DONE
		       : KEYD__ENCRYPT_RESULT__OUTCOME__FAILED;
}

struct encrypted {
	Keyd__EncryptResult result;
	struct told_change change;
	ciphertext_message *message;
};

/* What stays of an item that was not encrypted: that its identity is held, or one to be verified.
 */
static void
refuse_item(struct request *r, const Keyd__EncryptItem *item, struct encrypted *e)
{
	if (e->result.outcome != KEYD__ENCRYPT_RESULT__OUTCOME__UNVERIFIED)
		work_discard(&r->work);
	if (e->result.outcome == KEYD__ENCRYPT_RESULT__OUTCOME__UNTRUSTED &&
	    signal_now.change.fresh) {
		trust_hold(&r->work, item->address, &signal_now.change);
		e->result.change = tell_change(&e->change);
	}
	work_keep(&r->work);
	if (e->result.outcome == KEYD__ENCRYPT_RESULT__OUTCOME__UNTRUSTED ||
	    e->result.outcome == KEYD__ENCRYPT_RESULT__OUTCOME__UNVERIFIED)
		counters[COUNT_IDENTITY_HELD]++;
	else
		counters[COUNT_ENCRYPT_FAILED]++;
}

static void
encrypt_one(struct request *r, const Keyd__EncryptItem *item, const ProtobufCBinaryData *plain,
    struct encrypted *e)
{
	signal_buffer *b;

	signal_store_item();
	keyd__encrypt_result__init(&e->result);
	e->result.outcome = encrypt_item(r, item, plain, &e->message);
	if (e->result.outcome != KEYD__ENCRYPT_RESULT__OUTCOME__DONE) {
		refuse_item(r, item, e);
		return;
	}
	work_keep(&r->work);
	counters[COUNT_ENCRYPTED]++;
	if (signal_now.change.had_old) /* by a bundle */
		e->result.change = tell_change(&e->change);
	b = ciphertext_message_get_serialized(e->message);
	e->result.has_pkmsg = e->result.has_ciphertext = 1;
	e->result.pkmsg = ciphertext_message_get_type(e->message) == CIPHERTEXT_PREKEY_TYPE;
	e->result.ciphertext = pb_bytes(signal_buffer_data(b), signal_buffer_len(b));
}

static void
run_encrypt(struct request *r)
{
	const Keyd__Encrypt *q = (const Keyd__Encrypt *)r->pb;
	Keyd__EncryptReply a = KEYD__ENCRYPT_REPLY__INIT;
	Keyd__EncryptResult *list[ADDRESSES_MAX];
	struct encrypted *done;
	size_t i;

	if ((done = calloc(q->n_items + 1, sizeof(*done))) == NULL)
		fatalx("out of memory");
	signal_store_begin(&r->work, r->device);
	for (i = 0; i < q->n_items; i++) {
		encrypt_one(r, q->items[i], &q->plaintexts[q->items[i]->plaintext], &done[i]);
		list[i] = &done[i].result;
	}
	msg_secret_put(r, q->secrets, q->n_secrets);
	a.results = list;
	a.n_results = q->n_items;
	if (signal_now.broken)
		request_error(r, "store", "a record could not be read");
	else if (request_stage(r, q->unit, &a.stages) == 0)
		request_reply(r, KEYD__TYPE__ENCRYPT_REPLY, &a.base);
	for (i = 0; i < q->n_items; i++)
		SIGNAL_UNREF(done[i].message);
	free(done);
}

const struct verb verb_encrypt = {
    KEYD__TYPE__ENCRYPT, VERB_DEVICE, check_encrypt, load_encrypt, run_encrypt};

/* ---------------------------------------------------------------- DECRYPT */

static const char *
check_decrypt(const ProtobufCMessage *pb)
{
	const Keyd__Decrypt *q = (const Keyd__Decrypt *)pb;
	size_t i;

	if (q->n_items < 1 || q->n_items > DECRYPT_MAX)
		return "not 1 to 16 items";
	for (i = 0; i < q->n_items; i++) {
		if (!session_address_ok(q->items[i]->address))
			return "an address is malformed";
		if (q->items[i]->device_identity.len > ADV_CONTAINER_MAX)
			return "a device identity is longer than 4096 bytes";
	}
	return NULL;
}

/* A prekey message names the keys that it was made for; one that does not parse needs none. */
static void
need_prekeys(struct request *r, const ProtobufCBinaryData *c)
{
	pre_key_signal_message *m = NULL;

	if (pre_key_signal_message_deserialize(&m, c->data, c->len, provider_context) != 0)
		return;
	(void)work_need(&r->work, STORED__DOMAIN__SIGNED_PREKEY,
	    work_name(&r->work, "%u", pre_key_signal_message_get_signed_pre_key_id(m)));
	if (pre_key_signal_message_has_pre_key_id(m))
		(void)work_need(&r->work, STORED__DOMAIN__PREKEY,
		    work_name(&r->work, "%u", pre_key_signal_message_get_pre_key_id(m)));
	SIGNAL_UNREF(m);
}

static void
load_decrypt(struct request *r)
{
	const Keyd__Decrypt *q = (const Keyd__Decrypt *)r->pb;
	size_t i;

	for (i = 0; i < q->n_items; i++) {
		need_device(r, q->items[i]->address);
		if (q->items[i]->kind == KEYD__DECRYPT_ITEM__KIND__PKMSG)
			need_prekeys(r, &q->items[i]->ciphertext);
	}
}

typedef Keyd__DecryptResult__Outcome DecryptOutcome;

/* libsignal's code of a decryption (page 04, 4.1, 4.3 and 10.6). */
static DecryptOutcome
outcome_of(int code)
{
	switch (code) {
	case SG_SUCCESS:
		return KEYD__DECRYPT_RESULT__OUTCOME__DONE;
	case SG_ERR_DUPLICATE_MESSAGE:
		return KEYD__DECRYPT_RESULT__OUTCOME__DUPLICATE;
	case SG_ERR_NO_SESSION:
		return KEYD__DECRYPT_RESULT__OUTCOME__NO_SESSION;
	case SG_ERR_INVALID_KEY_ID:
		return KEYD__DECRYPT_RESULT__OUTCOME__NO_PREKEY;
	case SG_ERR_INVALID_MESSAGE:
		return provider_mac_failed ? KEYD__DECRYPT_RESULT__OUTCOME__BAD_MAC
					   : KEYD__DECRYPT_RESULT__OUTCOME__INVALID;
	case SG_ERR_INVALID_KEY:
	case SG_ERR_UNKNOWN: /* an agreement with a point of small order */
		return KEYD__DECRYPT_RESULT__OUTCOME__INVALID;
	case SG_ERR_UNTRUSTED_IDENTITY:
		return KEYD__DECRYPT_RESULT__OUTCOME__UNTRUSTED;
	default:
		return KEYD__DECRYPT_RESULT__OUTCOME__FAILED;
	}
}

/* Parse and decrypt with the cipher of its address. */
static DecryptOutcome
decrypt_with(session_cipher *cipher, const Keyd__DecryptItem *item, signal_buffer **plain)
{
	const ProtobufCBinaryData *c = &item->ciphertext;
	pre_key_signal_message *pk = NULL;
	signal_message *m = NULL;
	DecryptOutcome o = KEYD__DECRYPT_RESULT__OUTCOME__MALFORMED;

	if (item->kind == KEYD__DECRYPT_ITEM__KIND__PKMSG) {
		if (pre_key_signal_message_deserialize(&pk, c->data, c->len, provider_context) == 0)
			o = outcome_of(
			    session_cipher_decrypt_pre_key_signal_message(cipher, pk, NULL, plain));
		SIGNAL_UNREF(pk);
	} else {
		if (signal_message_deserialize(&m, c->data, c->len, provider_context) == 0)
			o = outcome_of(
			    session_cipher_decrypt_signal_message(cipher, m, NULL, plain));
		SIGNAL_UNREF(m);
	}
	return o;
}

struct decrypted {
	Keyd__DecryptResult result;
	struct told_change change;
	signal_buffer *plain;
};

static DecryptOutcome
decrypt_item(struct request *r, const Keyd__DecryptItem *item, signal_buffer **plain)
{
	signal_protocol_address address = signal_address(item->address);
	DecryptOutcome o = KEYD__DECRYPT_RESULT__OUTCOME__FAILED;
	session_cipher *cipher = NULL;
	int held = trust_held(&r->work, item->address);

	if (held != 0)
		return held == 1 ? KEYD__DECRYPT_RESULT__OUTCOME__UNTRUSTED
				 : KEYD__DECRYPT_RESULT__OUTCOME__IDENTITY_DAMAGED;
	if (session_cipher_create(&cipher, signal_store, &address, provider_context) == 0)
		o = decrypt_with(cipher, item, plain);
	session_cipher_free(cipher);
	if (o != KEYD__DECRYPT_RESULT__OUTCOME__DONE)
		return o;
	switch (trust_judge(r, item->address, &signal_now.change,
	    item->has_device_identity ? &item->device_identity : NULL)) {
	case TRUST_REFUSED:
		return KEYD__DECRYPT_RESULT__OUTCOME__UNTRUSTED;
	case TRUST_ADV_INVALID:
		return KEYD__DECRYPT_RESULT__OUTCOME__ADV_INVALID;
	case TRUST_TAKEN:
		break;
	}
	return o;
}

/* trap 4: the library saves a prekey message's identity before it has checked the message */
static void
forget_item(struct request *r, const Keyd__DecryptItem *item, struct decrypted *d)
{
	work_discard(&r->work);
	switch (d->result.outcome) {
	case KEYD__DECRYPT_RESULT__OUTCOME__DUPLICATE:
		/* "you have it" must not outlive a unit that fails: the message would be lost */
		work_rest_on(&r->work, STORED__DOMAIN__SESSION,
		    work_address(&r->work, item->address->name, (int32_t)item->address->device));
		counters[COUNT_DECRYPT_DUPLICATE]++;
		break;
	case KEYD__DECRYPT_RESULT__OUTCOME__UNTRUSTED:
		if (d->plain != NULL) { /* now it is held */
			trust_hold(&r->work, item->address, &signal_now.change);
			d->result.change = tell_change(&d->change);
		}
		counters[COUNT_IDENTITY_HELD]++;
		break;
	default:
		counters[COUNT_DECRYPT_FAILED]++;
	}
	work_keep(&r->work);
}

static void
decrypt_one(struct request *r, const Keyd__DecryptItem *item, struct decrypted *d)
{
	signal_store_item();
	keyd__decrypt_result__init(&d->result);
	d->result.outcome = decrypt_item(r, item, &d->plain);
	if (d->result.outcome != KEYD__DECRYPT_RESULT__OUTCOME__DONE) {
		forget_item(r, item, d);
		return;
	}
	work_keep(&r->work);
	counters[COUNT_DECRYPTED]++;
	d->result.has_plaintext = 1;
	d->result.plaintext = pb_bytes(signal_buffer_data(d->plain), signal_buffer_len(d->plain));
	d->result.has_identity_changed = 1;
	d->result.identity_changed = signal_now.change.had_old;
	if (signal_now.change.had_old)
		d->result.change = tell_change(&d->change);
}

static void
run_decrypt(struct request *r)
{
	const Keyd__Decrypt *q = (const Keyd__Decrypt *)r->pb;
	Keyd__DecryptReply a = KEYD__DECRYPT_REPLY__INIT;
	Keyd__DecryptResult *list[DECRYPT_MAX];
	struct decrypted done[DECRYPT_MAX];
	size_t i;

	memset(done, 0, sizeof(done));
	signal_store_begin(&r->work, r->device);
	for (i = 0; i < q->n_items; i++) {
		decrypt_one(r, q->items[i], &done[i]);
		list[i] = &done[i].result;
	}
	a.results = list;
	a.n_results = q->n_items;
	if (signal_now.broken)
		request_error(r, "store", "a record could not be read");
	else if (request_stage(r, q->unit, &a.stages) == 0)
		request_reply(r, KEYD__TYPE__DECRYPT_REPLY, &a.base);
	for (i = 0; i < q->n_items; i++)
		signal_buffer_bzero_free(done[i].plain);
}

const struct verb verb_decrypt = {
    KEYD__TYPE__DECRYPT, VERB_DEVICE, check_decrypt, load_decrypt, run_decrypt};
