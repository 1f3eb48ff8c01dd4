/* keyd, as the tests of the engine play it: a ciphertext is its plaintext. */
#ifndef WARD_TEST_RIG_KEYD_H
#define WARD_TEST_RIG_KEYD_H

#include "tests/unit/apid_rig.h"

static uint8_t rig_key[64] = {1, 2, 3};

static void
rig_bytes(ProtobufCBinaryData *b, size_t len)
{
	b->data = rig_key;
	b->len = len;
}

static void
rig_device(Keyd__DeviceState *d, Keyd__SignedPrekey *k)
{
	static char jid[] = RIG_OWN_PN, lid[] = RIG_OWN_LID;

	keyd__device_state__init(d);
	keyd__signed_prekey__init(k);
	d->exists = 1;
	d->linked = rig.linked;
	d->has_generation = 1;
	d->generation = (uint32_t)rig.generation;
	d->has_registration_id = 1;
	d->registration_id = 12345;
	d->has_noise_pub = d->has_identity_pub = 1;
	rig_bytes(&d->noise_pub, 32);
	rig_bytes(&d->identity_pub, 32);
	k->id = 1;
	rig_bytes(&k->pub, 32);
	rig_bytes(&k->signature, 64);
	d->signed_prekey = k;
	if (rig.linked) {
		d->jid = jid;
		d->lid = lid;
		d->has_device_identity = 1;
		rig_bytes(&d->device_identity, 40);
	}
}

static int
rig_on_account_open(struct message *m, void *owner)
{
	Keyd__DeviceState d;
	Keyd__SignedPrekey k;

	rig_device(&d, &k);
	d.exists = !rig.no_device;
	return channel_reply(m->channel, m->id, KEYD__TYPE__DEVICE_STATE, &d.base);
}

static int
rig_on_device_create(struct message *m, void *owner)
{
	Keyd__DeviceState d;
	Keyd__SignedPrekey k;

	rig.linked = 0;
	rig.generation++;
	rig_device(&d, &k);
	d.has_stages = 1;
	d.stages = 1;
	return channel_reply(m->channel, m->id, KEYD__TYPE__DEVICE_STATE, &d.base);
}

static int
rig_on_keyd_status(struct message *m, void *owner)
{
	Keyd__StatusReply r = KEYD__STATUS_REPLY__INIT;
	char source[] = "file";

	r.unlocked = 1;
	r.key_source = source;
	r.fast_curve = 1;
	return channel_reply(m->channel, m->id, KEYD__TYPE__STATUS_REPLY, &r.base);
}

static void
rig_take_secrets(Keyd__Secret *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct rig_secret *s = &rig.secrets[rig.nsecrets++ % 32];

		snprintf(s->name, sizeof(s->name), "%s", list[i]->name);
		assert_int_equal(list[i]->secret.len, 32);
		memcpy(s->secret, list[i]->secret.data, 32);
		s->expires_s = list[i]->expires_s;
		s->message_s = list[i]->message_s;
	}
}

static int
rig_on_secrets_keep(struct message *msg, void *owner)
{
	const Keyd__SecretsKeep *m = (const Keyd__SecretsKeep *)msg->pb;
	Keyd__Staged r = KEYD__STAGED__INIT;

	rig_take_secrets(m->secrets, m->n_secrets);
	r.stages = 1;
	return channel_reply(msg->channel, msg->id, KEYD__TYPE__STAGED, &r.base);
}

static void
rig_join(char *out, size_t size, char *const *list, size_t n)
{
	size_t k = 0;

	out[0] = '\0';
	for (size_t i = 0; i < n; i++)
		k += (size_t)snprintf(out + k, size - k, "|%s", list[i]);
}

static int
rig_on_addon_open(struct message *msg, void *owner)
{
	const Keyd__AddonOpen *m = (const Keyd__AddonOpen *)msg->pb;
	Keyd__AddonOpened r = KEYD__ADDON_OPENED__INIT;
	struct rig_addon *a = &rig.addon;

	a->asked++;
	a->use = (int)m->use;
	snprintf(a->id, sizeof(a->id), "%s", m->id);
	rig_join(a->names, sizeof(a->names), m->names, m->n_names);
	rig_join(a->authors, sizeof(a->authors), m->authors, m->n_authors);
	rig_join(a->senders, sizeof(a->senders), m->senders, m->n_senders);
	if (a->error != NULL)
		return channel_reply_error(msg->channel, msg->id, a->error, "as the test wants it");
	r.outcome = a->outcome == 0 ? KEYD__ADDON_OPENED__OUTCOME__NO_SECRET
				    : (Keyd__AddonOpened__Outcome)a->outcome;
	r.has_plaintext = r.has_message_s = r.outcome == KEYD__ADDON_OPENED__OUTCOME__DONE;
	r.plaintext = (ProtobufCBinaryData){a->plain_len, a->plain};
	r.message_s = a->message_s;
	return channel_reply(msg->channel, msg->id, KEYD__TYPE__ADDON_OPENED, &r.base);
}

/* A ciphertext is its plaintext. */
static int
rig_on_decrypt(struct message *msg, void *owner)
{
	const Keyd__Decrypt *m = (const Keyd__Decrypt *)msg->pb;
	Keyd__DecryptReply r = KEYD__DECRYPT_REPLY__INIT;
	Keyd__DecryptResult res[16], *ptr[16];

	if (rig.nwaiting < rig.hold_decrypts) {
		rig.held_decrypt[rig.nwaiting++] = message_hold(msg);
		return 0;
	}
	rig.decrypts++;
	for (size_t i = 0; i < m->n_items; i++) {
		keyd__decrypt_result__init(&res[i]);
		res[i].outcome = rig.outcome;
		if (rig.under_number && strstr(m->items[i]->address->name, "_1") != NULL)
			res[i].outcome = KEYD__DECRYPT_RESULT__OUTCOME__NO_SESSION;
		if (res[i].outcome == KEYD__DECRYPT_RESULT__OUTCOME__DONE) {
			res[i].has_plaintext = 1;
			res[i].plaintext = m->items[i]->ciphertext;
		}
		ptr[i] = &res[i];
	}
	r.stages = rig.outcome == KEYD__DECRYPT_RESULT__OUTCOME__DONE;
	r.n_results = m->n_items;
	r.results = ptr;
	return channel_reply(msg->channel, msg->id, KEYD__TYPE__DECRYPT_REPLY, &r.base);
}

static int
rig_on_sessions(struct message *msg, void *owner)
{
	const Keyd__Sessions *m = (const Keyd__Sessions *)msg->pb;
	Keyd__SessionsReply r = KEYD__SESSIONS_REPLY__INIT;
	protobuf_c_boolean has[64];
	Keyd__SessionFacts facts[64], *list[64];

	assert_true(m->n_addresses <= 64);
	rig.asked_sessions++;
	for (size_t i = 0; i < m->n_addresses; i++) {
		has[i] = !rig.no_sessions;
		list[i] = &facts[i];
		keyd__session_facts__init(list[i]);
		if (rig.no_sessions)
			continue;
		facts[i].registration_id = 9; /* as in the bundles of the service */
		facts[i].base_key.len = 33;
		facts[i].base_key.data = rig.base_key;
	}
	r.n_has = m->n_addresses;
	r.has = has;
	r.n_facts = m->facts ? m->n_addresses : 0;
	r.facts = list;
	return channel_reply(msg->channel, msg->id, KEYD__TYPE__SESSIONS_REPLY, &r.base);
}

static int
rig_is_bob(const Keyd__Address *a)
{
	return a->device == 0 && strcmp(a->name, "100000000000002_1") == 0;
}

static int
rig_on_identities(struct message *msg, void *owner)
{
	const Keyd__Identities *m = (const Keyd__Identities *)msg->pb;
	Keyd__IdentitiesReply r = KEYD__IDENTITIES_REPLY__INIT;
	Keyd__Identity all[64], *list[64];

	assert_true(m->n_addresses <= 64);
	for (size_t i = 0; i < m->n_addresses; i++) {
		list[i] = &all[i];
		keyd__identity__init(list[i]);
		if (!rig_is_bob(m->addresses[i]) || !rig.identity.known)
			continue;
		all[i].has_damaged = all[i].damaged = rig.identity.damaged;
		all[i].has_key = all[i].has_state = !rig.identity.damaged;
		all[i].key.len = all[i].has_key ? 32 : 0;
		all[i].key.data = rig.identity.key;
		all[i].state = rig.identity.state;
	}
	r.n_identities = m->n_addresses;
	r.identities = list;
	return channel_reply(msg->channel, msg->id, KEYD__TYPE__IDENTITIES_REPLY, &r.base);
}

/* What is decided is seen at once, as by keyd itself. */
static int
rig_on_identity_decide(struct message *msg, void *owner)
{
	const Keyd__IdentityDecide *m = (const Keyd__IdentityDecide *)msg->pb;
	const Keyd__IdentityDecision *d = m->decisions[0];
	Keyd__Staged r = KEYD__STAGED__INIT;

	assert_int_equal(m->n_decisions, 1);
	assert_true(rig_is_bob(d->address) && d->key.len <= 32);
	rig.identity.decisions++;
	rig.identity.decided_len = d->key.len;
	if (d->key.len > 0)
		memcpy(rig.identity.decided, d->key.data, d->key.len);
	rig.identity.decided_state = d->state;
	r.stages = 1;
	return channel_reply(msg->channel, msg->id, KEYD__TYPE__STAGED, &r.base);
}

static int
rig_on_encrypt(struct message *msg, void *owner)
{
	const Keyd__Encrypt *m = (const Keyd__Encrypt *)msg->pb;
	Keyd__EncryptReply r = KEYD__ENCRYPT_REPLY__INIT;
	Keyd__EncryptResult res[64], *ptr[64];

	if (rig.hold_encrypt) {
		rig.hold_encrypt = 0;
		rig.held_encrypt = message_hold(msg);
		return 0;
	}
	rig.encrypts++;
	rig.base_key[1] += m->n_items > 0 && m->items[0]->bundle != NULL; /* a new session */
	rig_take_secrets(m->secrets, m->n_secrets);
	assert_true(m->n_items <= 64);
	for (size_t i = 0; i < m->n_items; i++) {
		keyd__encrypt_result__init(&res[i]);
		rig.bundles += m->items[i]->bundle != NULL;
		rig.lost_sessions &= m->items[i]->bundle == NULL;
		res[i].outcome = rig.untrusted       ? KEYD__ENCRYPT_RESULT__OUTCOME__UNTRUSTED
				 : rig.lost_sessions ? KEYD__ENCRYPT_RESULT__OUTCOME__NO_SESSION
						     : KEYD__ENCRYPT_RESULT__OUTCOME__DONE;
		if (rig.damaged)
			res[i].outcome = KEYD__ENCRYPT_RESULT__OUTCOME__IDENTITY_DAMAGED;
		ptr[i] = &res[i];
		if (res[i].outcome != KEYD__ENCRYPT_RESULT__OUTCOME__DONE)
			continue;
		res[i].has_pkmsg = 1;
		res[i].pkmsg = m->items[i]->bundle != NULL;
		res[i].has_ciphertext = 1;
		res[i].ciphertext = m->plaintexts[m->items[i]->plaintext];
	}
	r.stages = 1;
	r.n_results = m->n_items;
	r.results = ptr;
	return channel_reply(msg->channel, msg->id, KEYD__TYPE__ENCRYPT_REPLY, &r.base);
}

static int
rig_on_prekeys_make(struct message *msg, void *owner)
{
	const Keyd__PrekeysMake *m = (const Keyd__PrekeysMake *)msg->pb;
	Keyd__PrekeysReply r = KEYD__PREKEYS_REPLY__INIT;
	Keyd__SignedPrekey sk = KEYD__SIGNED_PREKEY__INIT;
	Keyd__Prekey keys[1000], *ptr[1000];

	rig.prekeys_made += m->count;
	rig.retry_keys += m->has_retry && m->retry;
	r.stages = 1;
	r.registration_id = 12345;
	rig_bytes(&r.identity_pub, 32);
	sk.id = 1;
	rig_bytes(&sk.pub, 32);
	rig_bytes(&sk.signature, 64);
	r.signed_prekey = &sk;
	for (size_t i = 0; i < m->count; i++) {
		keyd__prekey__init(&keys[i]);
		keys[i].id = (uint32_t)i + 1;
		rig_bytes(&keys[i].pub, 32);
		ptr[i] = &keys[i];
	}
	r.n_keys = m->count;
	r.keys = ptr;
	return channel_reply(msg->channel, msg->id, KEYD__TYPE__PREKEYS_REPLY, &r.base);
}

static int
rig_on_prekeys_public(struct message *msg, void *owner)
{
	const Keyd__PrekeysPublic *m = (const Keyd__PrekeysPublic *)msg->pb;
	Keyd__PrekeysReply r = KEYD__PREKEYS_REPLY__INIT;
	Keyd__SignedPrekey sk = KEYD__SIGNED_PREKEY__INIT;
	Keyd__Prekey keys[1000], *ptr[1000];

	rig_bytes(&r.identity_pub, 32);
	r.registration_id = 12345;
	sk.id = 1;
	rig_bytes(&sk.pub, 32);
	rig_bytes(&sk.signature, 64);
	r.signed_prekey = &sk;
	assert_true(m->n_ids <= 1000);
	for (size_t i = 0; i < m->n_ids; i++) {
		keyd__prekey__init(&keys[i]);
		keys[i].id = m->ids[i];
		rig_bytes(&keys[i].pub, 32);
		ptr[i] = &keys[i];
	}
	r.n_keys = m->n_ids;
	r.keys = ptr;
	return channel_reply(msg->channel, msg->id, KEYD__TYPE__PREKEYS_REPLY, &r.base);
}

static int
rig_on_lid_move(struct message *m, void *owner)
{
	Keyd__LidMoveReply r = KEYD__LID_MOVE_REPLY__INIT;

	rig.lid_moves++;
	r.moved = r.stages = rig.under_number != 0;
	rig.under_number = 0;

	return channel_reply(m->channel, m->id, KEYD__TYPE__LID_MOVE_REPLY, &r.base);
}

static int
rig_on_skey_next(struct message *m, void *owner)
{
	Keyd__SkeyReply r = KEYD__SKEY_REPLY__INIT;
	Keyd__SignedPrekey sk = KEYD__SIGNED_PREKEY__INIT;

	sk.id = 2;
	rig_bytes(&sk.pub, 32);
	rig_bytes(&sk.signature, 64);
	r.signed_prekey = &sk;
	r.stages = 1;
	return channel_reply(m->channel, m->id, KEYD__TYPE__SKEY_REPLY, &r.base);
}

static int
rig_on_staged(struct message *m, void *owner)
{
	Keyd__Staged r = KEYD__STAGED__INIT;

	r.stages = 1;
	return channel_reply(m->channel, m->id, KEYD__TYPE__STAGED, &r.base);
}

/* The server is known already. */
static int
rig_on_noise_keep(struct message *m, void *owner)
{
	Keyd__Staged r = KEYD__STAGED__INIT;

	return channel_reply(m->channel, m->id, KEYD__TYPE__STAGED, &r.base);
}

static int
rig_on_restored(struct message *m, void *owner)
{
	assert_false(rig.no_device);
	rig.moves++;
	return rig_on_staged(m, owner);
}

static int
rig_on_pair_refresh(struct message *m, void *owner)
{
	rig.refreshes++;
	return rig_on_staged(m, owner);
}

static int
rig_on_pair_code(struct message *m, void *owner)
{
	Keyd__PairCodeReply r = KEYD__PAIR_CODE_REPLY__INIT;
	static char code[] = "ABCDEFGH";
	static uint8_t wrapped[80];

	r.code = code;
	r.wrapped_ephemeral.data = wrapped;
	r.wrapped_ephemeral.len = sizeof(wrapped);
	return channel_reply(m->channel, m->id, KEYD__TYPE__PAIR_CODE_REPLY, &r.base);
}

static int
rig_on_pair_code_finish(struct message *m, void *owner)
{
	Keyd__PairCodeFinishReply r = KEYD__PAIR_CODE_FINISH_REPLY__INIT;
	static uint8_t bundle[156];

	if (++rig.finishes > 3)
		return channel_reply_error(m->channel, m->id, "code_tries", "three times");
	r.stages = 1;
	r.wrapped_bundle.data = bundle;
	r.wrapped_bundle.len = sizeof(bundle);
	rig_bytes(&r.identity_pub, 32);
	return channel_reply(m->channel, m->id, KEYD__TYPE__PAIR_CODE_FINISH_REPLY, &r.base);
}

static int
rig_on_passkey_begin(struct message *msg, void *owner)
{
	const Keyd__PasskeyBegin *m = (const Keyd__PasskeyBegin *)msg->pb;
	Keyd__PasskeyBeginReply r = KEYD__PASSKEY_BEGIN_REPLY__INIT;

	rig_bytes(&r.prologue, 40);
	if ((r.has_proof = m->proof) != 0)
		rig_bytes(&r.proof, 32);
	return channel_reply(msg->channel, msg->id, KEYD__TYPE__PASSKEY_BEGIN_REPLY, &r.base);
}

static int
rig_on_passkey_continue(struct message *m, void *owner)
{
	Keyd__PasskeyContinueReply r = KEYD__PASSKEY_CONTINUE_REPLY__INIT;
	static char code[] = "ABCDEFGH";

	r.code = code;
	rig_bytes(&r.nonce, 32);
	return channel_reply(m->channel, m->id, KEYD__TYPE__PASSKEY_CONTINUE_REPLY, &r.base);
}

static int
rig_on_passkey_seal(struct message *m, void *owner)
{
	Keyd__PasskeySealReply r = KEYD__PASSKEY_SEAL_REPLY__INIT;

	r.stages = 1;
	rig_bytes(&r.payload, 64);
	rig_bytes(&r.iv, 12);
	return channel_reply(m->channel, m->id, KEYD__TYPE__PASSKEY_SEAL_REPLY, &r.base);
}

static int
rig_on_pair_qr(struct message *msg, void *owner)
{
	const Keyd__PairQr *m = (const Keyd__PairQr *)msg->pb;
	Keyd__PairQrReply r = KEYD__PAIR_QR_REPLY__INIT;
	char text[600];

	snprintf(text, sizeof(text), "qr:%.*s", (int)m->ref.len, (const char *)m->ref.data);
	r.text = text;
	return channel_reply(msg->channel, msg->id, KEYD__TYPE__PAIR_QR_REPLY, &r.base);
}

static int
rig_on_pair_success(struct message *m, void *owner)
{
	Keyd__PairSuccessReply r = KEYD__PAIR_SUCCESS_REPLY__INIT;
	Keyd__DeviceState d;
	Keyd__SignedPrekey k;

	rig.linked = 1;
	rig_device(&d, &k);
	r.outcome = KEYD__PAIR_SUCCESS_REPLY__OUTCOME__LINKED;
	r.stages = 1;
	r.has_key_index = 1;
	r.key_index = 5;
	r.has_answer = 1;
	rig_bytes(&r.answer, 60);
	r.device = &d;
	return channel_reply(m->channel, m->id, KEYD__TYPE__PAIR_SUCCESS_REPLY, &r.base);
}

static const struct channel_row rig_keyd_rows[] = {
    REQ(KEYD, ACCOUNT_OPEN, keyd__account_open, rig_on_account_open),
    REQ(KEYD, DEVICE_CREATE, keyd__device_create, rig_on_device_create),
    REQ(KEYD, STATUS, keyd__status, rig_on_keyd_status),
    REQ(KEYD, DECRYPT, keyd__decrypt, rig_on_decrypt),
    REQ(KEYD, IDENTITIES, keyd__identities, rig_on_identities),
    REQ(KEYD, IDENTITY_DECIDE, keyd__identity_decide, rig_on_identity_decide),
    REQ(KEYD, SESSIONS, keyd__sessions, rig_on_sessions),
    REQ(KEYD, ENCRYPT, keyd__encrypt, rig_on_encrypt),
    REQ(KEYD, PREKEYS_MAKE, keyd__prekeys_make, rig_on_prekeys_make),
    REQ(KEYD, PREKEYS_PUBLIC, keyd__prekeys_public, rig_on_prekeys_public),
    REQ(KEYD, LID_MOVE, keyd__lid_move, rig_on_lid_move),
    REQ(KEYD, SKEY_NEXT, keyd__skey_next, rig_on_skey_next),
    REQ(KEYD, SKEY_END, keyd__skey_end, rig_on_staged),
    REQ(KEYD, PREKEYS_UPLOADED, keyd__prekeys_uploaded, rig_on_staged),
    REQ(KEYD, NOISE_KEEP, keyd__noise_keep, rig_on_noise_keep),
    REQ(KEYD, RESTORED, keyd__restored, rig_on_restored),
    REQ(KEYD, SECRETS_KEEP, keyd__secrets_keep, rig_on_secrets_keep),
    REQ(KEYD, ADDON_OPEN, keyd__addon_open, rig_on_addon_open),
    REQ(KEYD, PAIR_REFRESH, keyd__pair_refresh, rig_on_pair_refresh),
    REQ(KEYD, PAIR_CODE, keyd__pair_code, rig_on_pair_code),
    REQ(KEYD, PAIR_CODE_FINISH, keyd__pair_code_finish, rig_on_pair_code_finish),
    REQ(KEYD, PASSKEY_BEGIN, keyd__passkey_begin, rig_on_passkey_begin),
    REQ(KEYD, PASSKEY_CONTINUE, keyd__passkey_continue, rig_on_passkey_continue),
    REQ(KEYD, PASSKEY_SEAL, keyd__passkey_seal, rig_on_passkey_seal),
    REQ(KEYD, PAIR_QR, keyd__pair_qr, rig_on_pair_qr),
    REQ(KEYD, PAIR_SUCCESS, keyd__pair_success, rig_on_pair_success),
};

#endif
