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

/* plaintexts times items: the reply must fit a frame */
#define ENCRYPT_OUT_MAX (12u * 1024 * 1024)

static signal_protocol_address
signal_address(const Keyd__Address *a)
{
	return (signal_protocol_address){a->name, strlen(a->name), (int32_t)a->device};
}

/* ---------------------------------------------------------------- SESSIONS */

static void
tell_facts(struct request *r, const signal_protocol_address *address, Keyd__SessionFacts *f)
{
	session_record *record = NULL;
	session_state *s = NULL;
	signal_buffer *key = NULL;

	if (signal_protocol_session_load_session(signal_store, &record, address) == 0)
		s = session_record_get_state(record);
	if (s != NULL && session_state_get_alice_base_key(s) != NULL &&
	    ec_public_key_serialize(&key, session_state_get_alice_base_key(s)) == 0) {
		f->base_key = request_bytes(r, signal_buffer_data(key), signal_buffer_len(key));
		f->registration_id = session_state_get_remote_registration_id(s);
		f->unacknowledged = session_state_has_unacknowledged_pre_key_message(s) == 1;
	}
	signal_buffer_free(key);
	SIGNAL_UNREF(record);
}

int
session_sessions(struct request *r, const void *asked, void *answer)
{
	const Keyd__Sessions *q = asked;
	Keyd__SessionsReply *a = answer;
	signal_protocol_address address;

	signal_store_begin(&r->work, r->device);
	a->n_has = q->n_addresses;
	a->has = (void *)request_room(r, q->n_addresses * sizeof(a->has[0])).data;
	a->n_facts = q->facts ? q->n_addresses : 0;
	a->facts = request_list(r, &keyd__session_facts__descriptor, a->n_facts);
	for (size_t i = 0; i < q->n_addresses; i++) {
		address = signal_address(q->addresses[i]);
		a->has[i] = signal_protocol_session_contains_session(signal_store, &address) == 1;
		if (q->facts)
			tell_facts(r, &address, a->facts[i]);
	}
	return 0;
}

/* ---------------------------------------------------------------- ENCRYPT */

const char *
session_check_encrypt(const void *asked)
{
	const Keyd__Encrypt *q = asked;
	size_t total = 0;

	for (size_t i = 0; i < q->n_items; i++) {
		if (q->items[i]->plaintext >= q->n_plaintexts)
			return "an item names a plaintext that is not there";
		total += q->plaintexts[q->items[i]->plaintext].len + 256;
		if (total > ENCRYPT_OUT_MAX)
			return "the ciphertexts would have more than 12 MiB";
	}
	return NULL;
}

/* A new session from the bundle; the old state is archived. libsignal's code. */
static int
build_session(const signal_protocol_address *address, const Keyd__Bundle *b)
{
	ec_public_key *identity = NULL, *skey = NULL, *key = NULL;
	session_pre_key_bundle *bundle = NULL;
	session_builder *builder = NULL;
	int ok;

	if ((ok = provider_point(&identity, b->identity.data)) == 0 &&
	    (ok = provider_point(&skey, b->signed_prekey->pub.data)) == 0 &&
	    (b->prekey == NULL || (ok = provider_point(&key, b->prekey->pub.data)) == 0) &&
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

/* What an item did to an identity, for its result. */
static Keyd__IdentityChange *
tell_change(struct request *r)
{
	Keyd__IdentityChange *pb = request_message(r, &keyd__identity_change__descriptor);
	const struct trust_change *c = &signal_now.change;

	pb->has_old_key = c->had_old;
	pb->old_key = request_bytes(r, c->old_key, 32);
	pb->new_key = request_bytes(r, c->new_key, 32);
	pb->was_verified = c->was_verified;
	counters[COUNT_IDENTITY_CHANGED] += (uint64_t)c->had_old;
	return pb;
}

typedef Keyd__EncryptResult__Outcome EncryptOutcome;

static const EncryptOutcome encrypt_verdicts[] = {
    [TRUST_TAKEN] = KEYD__ENCRYPT_RESULT__OUTCOME__DONE,
    [TRUST_REFUSED] = KEYD__ENCRYPT_RESULT__OUTCOME__UNTRUSTED,
    [TRUST_ADV_INVALID] = KEYD__ENCRYPT_RESULT__OUTCOME__ADV_INVALID,
    [TRUST_DAMAGED] = KEYD__ENCRYPT_RESULT__OUTCOME__IDENTITY_DAMAGED};

/* There is a session that may be encrypted with, or why not. */
static EncryptOutcome
prepare_item(
    struct request *r, const Keyd__EncryptItem *item, const signal_protocol_address *address)
{
	const Keyd__Bundle *b = item->bundle;
	enum trust_verdict v = trust_held(&r->work, item->address);

	if (v == TRUST_TAKEN && b != NULL) {
		if (build_session(address, b) != 0)
			return KEYD__ENCRYPT_RESULT__OUTCOME__BAD_BUNDLE;
		v = trust_judge(r, item->address, &signal_now.change,
		    b->has_device_identity ? &b->device_identity : NULL);
		counters[COUNT_SESSIONS_BUILT] += v == TRUST_TAKEN;
	} else if (v == TRUST_TAKEN &&
		   signal_protocol_session_contains_session(signal_store, address) != 1) {
		/* trap 1: the library would not say so */
		return KEYD__ENCRYPT_RESULT__OUTCOME__NO_SESSION;
	}
	if (v == TRUST_TAKEN && !trust_enough(r, &r->work, item->address))
		return KEYD__ENCRYPT_RESULT__OUTCOME__UNVERIFIED;
	return encrypt_verdicts[v];
}

static EncryptOutcome
encrypt_item(struct request *r, const Keyd__EncryptItem *item, const ProtobufCBinaryData *plain,
    ciphertext_message **out)
{
	signal_protocol_address address = signal_address(item->address);
	EncryptOutcome o = prepare_item(r, item, &address);
	session_cipher *cipher = NULL;

	if (o == KEYD__ENCRYPT_RESULT__OUTCOME__DONE &&
	    (session_cipher_create(&cipher, signal_store, &address, provider_context) != 0 ||
		session_cipher_encrypt(cipher, plain->data, plain->len, out) != 0))
		o = KEYD__ENCRYPT_RESULT__OUTCOME__FAILED;
	session_cipher_free(cipher);
	return o;
}

/* What stays of an item that was not encrypted: that its identity is held, or one to be verified.
 */
static void
refuse_item(struct request *r, const Keyd__EncryptItem *item, Keyd__EncryptResult *e)
{
	int untrusted = e->outcome == KEYD__ENCRYPT_RESULT__OUTCOME__UNTRUSTED;
	int unverified = e->outcome == KEYD__ENCRYPT_RESULT__OUTCOME__UNVERIFIED;

	if (!unverified)
		work_discard(&r->work);
	if (untrusted && signal_now.change.fresh) {
		trust_hold(&r->work, item->address, &signal_now.change);
		e->change = tell_change(r);
	}
	work_keep(&r->work);
	counters[untrusted || unverified ? COUNT_IDENTITY_HELD : COUNT_ENCRYPT_FAILED]++;
}

static void
encrypt_one(struct request *r, const Keyd__EncryptItem *item, const ProtobufCBinaryData *plain,
    Keyd__EncryptResult *e)
{
	ciphertext_message *m = NULL;
	signal_buffer *b;

	signal_store_item();
	e->outcome = encrypt_item(r, item, plain, &m);
	if (e->outcome != KEYD__ENCRYPT_RESULT__OUTCOME__DONE) {
		refuse_item(r, item, e);
		return;
	}
	work_keep(&r->work);
	counters[COUNT_ENCRYPTED]++;
	if (signal_now.change.had_old) /* by a bundle */
		e->change = tell_change(r);
	b = ciphertext_message_get_serialized(m);
	e->has_pkmsg = e->has_ciphertext = 1;
	e->pkmsg = ciphertext_message_get_type(m) == CIPHERTEXT_PREKEY_TYPE;
	e->ciphertext = request_bytes(r, signal_buffer_data(b), signal_buffer_len(b));
	SIGNAL_UNREF(m);
}

/* An error of the store ends the whole request. */
static int
unbroken(struct request *r)
{
	return signal_now.broken ? request_fail(r, "store", "a record could not be read") : 0;
}

int
session_encrypt(struct request *r, const void *asked, void *answer)
{
	const Keyd__Encrypt *q = asked;
	Keyd__EncryptReply *a = answer;

	signal_store_begin(&r->work, r->device);
	a->n_results = q->n_items;
	a->results = request_list(r, &keyd__encrypt_result__descriptor, q->n_items);
	for (size_t i = 0; i < q->n_items; i++)
		encrypt_one(r, q->items[i], &q->plaintexts[q->items[i]->plaintext], a->results[i]);
	msg_secret_put(r, q->secrets, q->n_secrets);
	return unbroken(r);
}

/* ---------------------------------------------------------------- DECRYPT */

/* A prekey message names the keys that it was made for; one that does not parse needs none. */
void
session_need_prekeys(struct request *r, const Keyd__DecryptItem *item)
{
	const ProtobufCBinaryData *c = &item->ciphertext;
	pre_key_signal_message *m = NULL;

	if (item->kind != KEYD__DECRYPT_ITEM__KIND__PKMSG ||
	    pre_key_signal_message_deserialize(&m, c->data, c->len, provider_context) != 0)
		return;
	(void)work_need(&r->work, STORED__DOMAIN__SIGNED_PREKEY,
	    work_name(&r->work, "%u", pre_key_signal_message_get_signed_pre_key_id(m)));
	if (pre_key_signal_message_has_pre_key_id(m))
		(void)work_need(&r->work, STORED__DOMAIN__PREKEY,
		    work_name(&r->work, "%u", pre_key_signal_message_get_pre_key_id(m)));
	SIGNAL_UNREF(m);
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

static DecryptOutcome
decrypt_item(struct request *r, const Keyd__DecryptItem *item, signal_buffer **plain)
{
	static const DecryptOutcome verdicts[] = {
	    [TRUST_TAKEN] = KEYD__DECRYPT_RESULT__OUTCOME__DONE,
	    [TRUST_REFUSED] = KEYD__DECRYPT_RESULT__OUTCOME__UNTRUSTED,
	    [TRUST_ADV_INVALID] = KEYD__DECRYPT_RESULT__OUTCOME__ADV_INVALID,
	    [TRUST_DAMAGED] = KEYD__DECRYPT_RESULT__OUTCOME__IDENTITY_DAMAGED};
	signal_protocol_address address = signal_address(item->address);
	DecryptOutcome o = verdicts[trust_held(&r->work, item->address)];
	session_cipher *cipher = NULL;

	if (o != KEYD__DECRYPT_RESULT__OUTCOME__DONE)
		return o;
	o = KEYD__DECRYPT_RESULT__OUTCOME__FAILED;
	if (session_cipher_create(&cipher, signal_store, &address, provider_context) == 0)
		o = decrypt_with(cipher, item, plain);
	session_cipher_free(cipher);
	if (o != KEYD__DECRYPT_RESULT__OUTCOME__DONE)
		return o;
	return verdicts[trust_judge(r, item->address, &signal_now.change,
	    item->has_device_identity ? &item->device_identity : NULL)];
}

/* trap 4: the library saves a prekey message's identity before it has checked the message.
 * decrypted: it is refused for its identity alone. */
static void
forget_item(struct request *r, const Keyd__DecryptItem *item, Keyd__DecryptResult *d, int decrypted)
{
	work_discard(&r->work);
	switch (d->outcome) {
	case KEYD__DECRYPT_RESULT__OUTCOME__DUPLICATE:
		/* "you have it" must not outlive a unit that fails: the message would be lost */
		work_rest_on(&r->work, STORED__DOMAIN__SESSION, work_at(&r->work, item->address));
		counters[COUNT_DECRYPT_DUPLICATE]++;
		break;
	case KEYD__DECRYPT_RESULT__OUTCOME__UNTRUSTED:
		if (decrypted) { /* now it is held */
			trust_hold(&r->work, item->address, &signal_now.change);
			d->change = tell_change(r);
		}
		counters[COUNT_IDENTITY_HELD]++;
		break;
	default:
		counters[COUNT_DECRYPT_FAILED]++;
	}
	work_keep(&r->work);
}

static void
decrypt_one(struct request *r, const Keyd__DecryptItem *item, Keyd__DecryptResult *d)
{
	signal_buffer *plain = NULL;

	signal_store_item();
	d->outcome = decrypt_item(r, item, &plain);
	if (d->outcome != KEYD__DECRYPT_RESULT__OUTCOME__DONE) {
		forget_item(r, item, d, plain != NULL);
	} else {
		work_keep(&r->work);
		counters[COUNT_DECRYPTED]++;
		d->has_plaintext = d->has_identity_changed = 1;
		d->plaintext =
		    request_bytes(r, signal_buffer_data(plain), signal_buffer_len(plain));
		d->identity_changed = signal_now.change.had_old;
		if (signal_now.change.had_old)
			d->change = tell_change(r);
	}
	signal_buffer_bzero_free(plain);
}

int
session_decrypt(struct request *r, const void *asked, void *answer)
{
	const Keyd__Decrypt *q = asked;
	Keyd__DecryptReply *a = answer;

	signal_store_begin(&r->work, r->device);
	a->n_results = q->n_items;
	a->results = request_list(r, &keyd__decrypt_result__descriptor, q->n_items);
	for (size_t i = 0; i < q->n_items; i++)
		decrypt_one(r, q->items[i], a->results[i]);
	return unbroken(r);
}
