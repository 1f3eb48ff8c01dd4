/* The phone's Signal side: libsignal-protocol-c on stores in memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <signal/curve.h>
#include <signal/key_helper.h>
#include <signal/protocol.h>
#include <signal/session_builder.h>
#include <signal/session_cipher.h>
#include <signal/session_pre_key.h>
#include <signal/signal_protocol.h>

#include "common/log.h"
#include "tests/sim/crypt.h"
#include "tests/sim/map.h"
#include "tests/sim/nodes.h"
#include "tests/sim/phone_signal.h"
#include "tests/sim/rng.h"

#define MAX_PREKEY_ID 0xFFFFFE /* libsignal keeps the last id for ever */

struct phone_signal {
	signal_protocol_store_context *ctx;
	uint8_t priv[32], pub[32]; /* identity */
	uint32_t registration, next_prekey;
	uint8_t skey_priv[32], skey_pub[32], skey_sig[64];
	struct map *sessions, *identities, *prekeys;
	signal_buffer *signed_record;
};

/* --- stores --- */

static void
address_key(const signal_protocol_address *a, char out[160])
{
	snprintf(out, 160, "%.*s.%d", (int)a->name_len, a->name, a->device_id);
}

static int
load_session(signal_buffer **record, signal_buffer **user_record, const signal_protocol_address *a,
    void *arg)
{
	struct phone_signal *s = arg;
	const uint8_t *v;
	char key[160];
	size_t len;

	(void)user_record;
	address_key(a, key);
	if ((v = map_get(s->sessions, key, &len)) == NULL)
		return 0;
	*record = signal_buffer_create(v, len);
	return *record == NULL ? SG_ERR_NOMEM : 1;
}

static int
sub_sessions(signal_int_list **out, const char *name, size_t len, void *arg)
{
	(void)name;
	(void)len;
	(void)arg;
	*out = signal_int_list_alloc();
	return *out == NULL ? SG_ERR_NOMEM : 0;
}

static int
store_session(const signal_protocol_address *a, uint8_t *record, size_t len, uint8_t *user,
    size_t userlen, void *arg)
{
	struct phone_signal *s = arg;
	char key[160];

	(void)user;
	(void)userlen;
	address_key(a, key);
	map_put(s->sessions, key, record, len);
	return 0;
}

static int
has_session(const signal_protocol_address *a, void *arg)
{
	struct phone_signal *s = arg;
	char key[160];

	address_key(a, key);
	return map_get(s->sessions, key, NULL) != NULL;
}

static int
delete_session(const signal_protocol_address *a, void *arg)
{
	struct phone_signal *s = arg;
	char key[160];

	address_key(a, key);
	return map_del(s->sessions, key);
}

static int
delete_all(const char *name, size_t len, void *arg)
{
	struct phone_signal *s = arg;
	char prefix[160];

	snprintf(prefix, sizeof(prefix), "%.*s.", (int)len, name);
	return (int)map_del_prefix(s->sessions, prefix);
}

static void
prekey_name(uint32_t id, char out[16])
{
	snprintf(out, 16, "%u", id);
}

static int
load_prekey(signal_buffer **record, uint32_t id, void *arg)
{
	struct phone_signal *s = arg;
	const uint8_t *v;
	char key[16];
	size_t len;

	prekey_name(id, key);
	if ((v = map_get(s->prekeys, key, &len)) == NULL)
		return SG_ERR_INVALID_KEY_ID;
	*record = signal_buffer_create(v, len);
	return *record == NULL ? SG_ERR_NOMEM : 0;
}

static int
store_prekey(uint32_t id, uint8_t *record, size_t len, void *arg)
{
	struct phone_signal *s = arg;
	char key[16];

	prekey_name(id, key);
	map_put(s->prekeys, key, record, len);
	return 0;
}

static int
has_prekey(uint32_t id, void *arg)
{
	struct phone_signal *s = arg;
	char key[16];

	prekey_name(id, key);
	return map_get(s->prekeys, key, NULL) != NULL;
}

static int
remove_prekey(uint32_t id, void *arg)
{
	struct phone_signal *s = arg;
	char key[16];

	prekey_name(id, key);
	map_del(s->prekeys, key);
	return 0;
}

static int
load_signed(signal_buffer **record, uint32_t id, void *arg)
{
	struct phone_signal *s = arg;

	if (id != 1)
		return SG_ERR_INVALID_KEY_ID;
	*record = signal_buffer_copy(s->signed_record);
	return *record == NULL ? SG_ERR_NOMEM : 0;
}

static int
store_signed(uint32_t id, uint8_t *record, size_t len, void *arg)
{
	(void)id;
	(void)record;
	(void)len;
	(void)arg;
	return 0;
}

static int
has_signed(uint32_t id, void *arg)
{
	(void)arg;
	return id == 1;
}

static int
remove_signed(uint32_t id, void *arg)
{
	(void)id;
	(void)arg;
	return 0;
}

static int
get_identity(signal_buffer **pub, signal_buffer **priv, void *arg)
{
	struct phone_signal *s = arg;
	uint8_t point[33] = {5};

	memcpy(point + 1, s->pub, 32);
	*pub = signal_buffer_create(point, sizeof(point));
	*priv = signal_buffer_create(s->priv, sizeof(s->priv));
	return *pub == NULL || *priv == NULL ? SG_ERR_NOMEM : 0;
}

static int
get_registration(void *arg, uint32_t *id)
{
	struct phone_signal *s = arg;

	*id = s->registration;
	return 0;
}

static int
save_identity(const signal_protocol_address *a, uint8_t *key, size_t len, void *arg)
{
	struct phone_signal *s = arg;
	char name[160];

	address_key(a, name);
	if (key == NULL)
		map_del(s->identities, name);
	else
		map_put(s->identities, name, key, len);
	return 0;
}

static int
trusted(const signal_protocol_address *a, uint8_t *key, size_t len, void *arg)
{
	(void)a;
	(void)key;
	(void)len;
	(void)arg;
	return 1; /* as the official client: trust, and replace on change */
}

static void
set_stores(struct phone_signal *s)
{
	signal_protocol_session_store session = {.load_session_func = load_session,
	    .get_sub_device_sessions_func = sub_sessions,
	    .store_session_func = store_session,
	    .contains_session_func = has_session,
	    .delete_session_func = delete_session,
	    .delete_all_sessions_func = delete_all,
	    .user_data = s};
	signal_protocol_pre_key_store prekey = {.load_pre_key = load_prekey,
	    .store_pre_key = store_prekey,
	    .contains_pre_key = has_prekey,
	    .remove_pre_key = remove_prekey,
	    .user_data = s};
	signal_protocol_signed_pre_key_store skey = {.load_signed_pre_key = load_signed,
	    .store_signed_pre_key = store_signed,
	    .contains_signed_pre_key = has_signed,
	    .remove_signed_pre_key = remove_signed,
	    .user_data = s};
	signal_protocol_identity_key_store identity = {.get_identity_key_pair = get_identity,
	    .get_local_registration_id = get_registration,
	    .save_identity = save_identity,
	    .is_trusted_identity = trusted,
	    .user_data = s};

	if (signal_protocol_store_context_create(&s->ctx, crypt_signal()) != 0 ||
	    signal_protocol_store_context_set_session_store(s->ctx, &session) != 0 ||
	    signal_protocol_store_context_set_pre_key_store(s->ctx, &prekey) != 0 ||
	    signal_protocol_store_context_set_signed_pre_key_store(s->ctx, &skey) != 0 ||
	    signal_protocol_store_context_set_identity_key_store(s->ctx, &identity) != 0)
		fatalx("libsignal: no store");
}

/* --- keys --- */

static ec_key_pair *
key_pair(const uint8_t priv[32], const uint8_t pub[32])
{
	ec_public_key *pu = NULL;
	ec_private_key *pr = NULL;
	ec_key_pair *kp = NULL;
	uint8_t point[33] = {5};

	memcpy(point + 1, pub, 32);
	if (curve_decode_point(&pu, point, sizeof(point), crypt_signal()) != 0 ||
	    curve_decode_private_point(&pr, priv, 32, crypt_signal()) != 0 ||
	    ec_key_pair_create(&kp, pu, pr) != 0)
		fatalx("libsignal: no key pair");
	SIGNAL_UNREF(pu);
	SIGNAL_UNREF(pr);
	return kp;
}

static void
make_signed(struct phone_signal *s)
{
	session_signed_pre_key *rec = NULL;
	uint8_t point[33] = {5};
	ec_key_pair *kp;

	crypt_keypair(s->skey_priv, s->skey_pub);
	memcpy(point + 1, s->skey_pub, 32);
	crypt_sign(s->priv, point, sizeof(point), s->skey_sig);
	kp = key_pair(s->skey_priv, s->skey_pub);
	if (session_signed_pre_key_create(&rec, 1, 0, kp, s->skey_sig, SIG_LEN) != 0 ||
	    session_signed_pre_key_serialize(&s->signed_record, rec) != 0)
		fatalx("libsignal: no signed prekey");
	SIGNAL_UNREF(rec);
	SIGNAL_UNREF(kp);
}

struct phone_signal *
phone_signal_new(void)
{
	struct phone_signal *s = calloc(1, sizeof(*s));

	if (s == NULL)
		fatal("phone");
	s->sessions = map_new();
	s->identities = map_new();
	s->prekeys = map_new();
	s->registration = 1 + rng_below(16380);
	s->next_prekey = 1;
	crypt_keypair(s->priv, s->pub);
	set_stores(s);
	make_signed(s);
	return s;
}

void
phone_signal_free(struct phone_signal *s)
{
	signal_protocol_store_context_destroy(s->ctx);
	signal_buffer_free(s->signed_record);
	map_free(s->sessions);
	map_free(s->identities);
	map_free(s->prekeys);
	free(s);
}

void
phone_signal_public(const struct phone_signal *s, struct device_keys *out)
{
	for (int i = 0; i < 4; i++)
		out->registration[i] = (uint8_t)(s->registration >> (8 * (3 - i)));
	memcpy(out->identity, s->pub, 32);
	memcpy(out->skey_id, "\0\0\1", 3);
	memcpy(out->skey_pub, s->skey_pub, 32);
	memcpy(out->skey_sig, s->skey_sig, 64);
	out->uploaded = 1;
}

const uint8_t *
phone_signal_identity_priv(const struct phone_signal *s)
{
	return s->priv;
}

const uint8_t *
phone_signal_identity_pub(const struct phone_signal *s)
{
	return s->pub;
}

void
phone_signal_make_prekey(struct phone_signal *s, struct prekey *out)
{
	session_pre_key *rec = NULL;
	signal_buffer *bytes = NULL;
	uint8_t priv[32];
	uint32_t id = s->next_prekey;
	ec_key_pair *kp;

	s->next_prekey = id == MAX_PREKEY_ID ? 1 : id + 1;
	crypt_keypair(priv, out->pub);
	kp = key_pair(priv, out->pub);
	if (session_pre_key_create(&rec, id, kp) != 0 ||
	    session_pre_key_serialize(&bytes, rec) != 0)
		fatalx("libsignal: no prekey");
	store_prekey(id, signal_buffer_data(bytes), signal_buffer_len(bytes), s);
	signal_buffer_free(bytes);
	SIGNAL_UNREF(rec);
	SIGNAL_UNREF(kp);
	for (int i = 0; i < 3; i++)
		out->id[i] = (uint8_t)(id >> (8 * (2 - i)));
}

/* --- sessions --- */

/* Sessions are named by the user, with "_1" for LIDs; they live under LIDs throughout. */
static signal_protocol_address
address(const struct jid *j, char name[96])
{
	signal_protocol_address a;

	snprintf(name, 96, "%s%s", j->user, account_is_lid(j) ? "_1" : "");
	a.name = name;
	a.name_len = strlen(name);
	a.device_id = j->device;
	return a;
}

int
phone_signal_has_session(struct phone_signal *s, const struct jid *device)
{
	char name[96];
	signal_protocol_address a = address(device, name);

	return has_session(&a, s);
}

void
phone_signal_forget(struct phone_signal *s, const struct jid *device)
{
	char name[96];
	signal_protocol_address a = address(device, name);

	delete_session(&a, s);
}

static ec_public_key *
public_key(const struct node *n, const char *tag)
{
	ec_public_key *key = NULL;
	uint8_t point[33] = {5};

	if (n == NULL || nodes_fixed(n, tag, point + 1, 32) != 0 ||
	    curve_decode_point(&key, point, sizeof(point), crypt_signal()) != 0)
		return NULL;
	return key;
}

static uint32_t
key_id(const struct node *n)
{
	uint8_t id[3] = {0};

	nodes_fixed(n, "id", id, 3);
	return (uint32_t)id[0] << 16 | (uint32_t)id[1] << 8 | id[2];
}

int
phone_signal_open(struct phone_signal *s, const struct jid *device, const struct node *user,
    uint32_t registration)
{
	const struct node *key = node_child(user, "key"), *skey = node_child(user, "skey");
	ec_public_key *identity = public_key(user, "identity"), *sk = public_key(skey, "value"),
		      *ok = NULL;
	session_pre_key_bundle *bundle = NULL;
	session_builder *builder = NULL;
	uint8_t reg[4], sig[64];
	char name[96];
	signal_protocol_address a = address(device, name);
	int r = -1;

	if (registration == 0 && nodes_fixed(user, "registration", reg, 4) == 0)
		registration = (uint32_t)reg[0] << 24 | (uint32_t)reg[1] << 16 |
			       (uint32_t)reg[2] << 8 | reg[3];
	if (key != NULL)
		ok = public_key(key, "value");
	if (identity == NULL || sk == NULL || nodes_fixed(skey, "signature", sig, 64) != 0 ||
	    (key != NULL && ok == NULL))
		goto done;
	if (session_pre_key_bundle_create(&bundle, registration, a.device_id,
		key == NULL ? 0 : key_id(key), ok, key_id(skey), sk, sig, sizeof(sig),
		identity) != 0 ||
	    session_builder_create(&builder, s->ctx, &a, crypt_signal()) != 0)
		goto done;
	r = session_builder_process_pre_key_bundle(builder, bundle) == 0 ? 0 : -1;
done:
	if (builder != NULL)
		session_builder_free(builder);
	SIGNAL_UNREF(bundle);
	SIGNAL_UNREF(identity);
	SIGNAL_UNREF(sk);
	SIGNAL_UNREF(ok);
	return r;
}

/* --- messages --- */

int
phone_signal_encrypt(struct phone_signal *s, const struct jid *device, const void *plain,
    size_t len, struct buf *out, const char **type)
{
	char name[96];
	signal_protocol_address a = address(device, name);
	session_cipher *cipher = NULL;
	ciphertext_message *m = NULL;
	struct buf padded = BUF_INIT;
	uint8_t pad = (uint8_t)(1 + rng_below(16)), *p;
	int r = -1;

	if (!has_session(&a, s))
		return -1;
	buf_put(&padded, plain, len);
	if ((p = buf_reserve(&padded, pad)) == NULL)
		goto done;
	memset(p, pad, pad);
	if (session_cipher_create(&cipher, s->ctx, &a, crypt_signal()) != 0 ||
	    session_cipher_encrypt(cipher, padded.data, padded.len, &m) != 0)
		goto done;
	*type = ciphertext_message_get_type(m) == CIPHERTEXT_PREKEY_TYPE ? "pkmsg" : "msg";
	r = buf_put(out, signal_buffer_data(ciphertext_message_get_serialized(m)),
	    signal_buffer_len(ciphertext_message_get_serialized(m)));
done:
	SIGNAL_UNREF(m);
	if (cipher != NULL)
		session_cipher_free(cipher);
	buf_clear(&padded);
	return r;
}

static int
reason(int error)
{
	switch (error) {
	case SG_ERR_DUPLICATE_MESSAGE:
		return PHONE_DUPLICATE;
	case SG_ERR_NO_SESSION:
		return 1;
	case SG_ERR_INVALID_KEY:
		return 2;
	case SG_ERR_INVALID_KEY_ID:
		return 3;
	default:
		return 4;
	}
}

static int
decrypt_prekey(session_cipher *cipher, const void *data, size_t len, signal_buffer **out)
{
	pre_key_signal_message *m = NULL;
	int r;

	if ((r = pre_key_signal_message_deserialize(&m, data, len, crypt_signal())) == 0)
		r = session_cipher_decrypt_pre_key_signal_message(cipher, m, NULL, out);
	SIGNAL_UNREF(m);
	return r;
}

static int
decrypt_plain(session_cipher *cipher, const void *data, size_t len, signal_buffer **out)
{
	signal_message *m = NULL;
	int r;

	if ((r = signal_message_deserialize(&m, data, len, crypt_signal())) == 0)
		r = session_cipher_decrypt_signal_message(cipher, m, NULL, out);
	SIGNAL_UNREF(m);
	return r;
}

/* Takes the padding off. 0 or -1. */
static int
unpad(const uint8_t *p, size_t len, struct buf *plain)
{
	uint8_t n = len == 0 ? 0 : p[len - 1];

	if (n == 0 || n > len)
		return -1;
	for (size_t i = len - n; i < len; i++)
		if (p[i] != n)
			return -1;
	return buf_put(plain, p, len - n);
}

int
phone_signal_decrypt(struct phone_signal *s, const struct jid *device, const char *type,
    const void *data, size_t len, struct buf *plain)
{
	char name[96];
	signal_protocol_address a = address(device, name);
	session_cipher *cipher = NULL;
	signal_buffer *out = NULL;
	int r, prekey = strcmp(type, "pkmsg") == 0;

	if (!prekey && !has_session(&a, s))
		return 1;
	if (session_cipher_create(&cipher, s->ctx, &a, crypt_signal()) != 0)
		return 4;
	r = prekey ? decrypt_prekey(cipher, data, len, &out)
		   : decrypt_plain(cipher, data, len, &out);
	if (r == 0)
		r = unpad(signal_buffer_data(out), signal_buffer_len(out), plain) == 0 ? 0 : 4;
	else
		r = reason(r);
	if (out != NULL)
		signal_buffer_bzero_free(out);
	session_cipher_free(cipher);
	return r;
}
