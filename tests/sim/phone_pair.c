/* The phone links and unlinks companions: QR, code, signatures, key index list (protocol page 03,
 * 7). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/pb.h"
#include "common/proto/adv.pb-c.h"
#include "tests/sim/crypt.h"
#include "tests/sim/loop.h"
#include "tests/sim/nodes.h"
#include "tests/sim/pair_code.h"
#include "tests/sim/pairing.h"
#include "tests/sim/passkey.h"
#include "tests/sim/phone_impl.h"
#include "tests/sim/phone_passkey.h"
#include "tests/sim/rng.h"
#include "tests/sim/route.h"

/* What a QR code or a code exchange says about the companion. */
struct companion {
	char ref[128];
	uint8_t noise[32], identity[32], secret[32];
};

int
phone_forge(struct phone *p, const char *what)
{
	static const char *const known[] = {"none", "signature", "hmac", "key_index"};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(what, known[i]) == 0) {
			snprintf(p->forge, sizeof(p->forge), "%s", what);
			return 0;
		}
	return -1;
}

/* --- what the phone signs --- */

static uint8_t *
key_list(struct phone *p, uint32_t extra, int64_t now, size_t *len)
{
	Adv__ADVKeyIndexList list = ADV__ADVKEY_INDEX_LIST__INIT;
	uint32_t *valid = calloc(p->account->ndevices + 2, sizeof(*valid));
	struct device *d;
	uint8_t *bytes;

	if (valid == NULL)
		fatal("key index list");
	list.has_raw_id = list.has_timestamp = list.has_current_index = 1;
	list.raw_id = p->account->raw_id;
	list.timestamp = (uint64_t)now;
	list.current_index = p->account->next_key_index - 1;
	list.valid_indexes = valid;
	valid[list.n_valid_indexes++] = 0;
	TAILQ_FOREACH(d, &p->account->devices, link)
	if (d->id != 0)
		valid[list.n_valid_indexes++] = d->key_index;
	if (extra != 0)
		valid[list.n_valid_indexes++] = extra;
	bytes = pb_pack(&list.base, len);
	free(valid);
	return bytes;
}

/* <key-index-list ts=…> with the signed list as a child of parent. */
static void
put_key_list(struct phone *p, struct node *parent, uint32_t extra)
{
	Adv__ADVSignedKeyIndexList skl = ADV__ADVSIGNED_KEY_INDEX_LIST__INIT;
	int64_t now = loop_now();
	struct buf msg = BUF_INIT;
	struct node *n;
	uint8_t sig[64], *bytes;
	size_t len;

	skl.details.data = key_list(p, extra, now, &skl.details.len);
	skl.has_details = skl.has_account_signature = 1;
	buf_put(&msg, "\6\2", 2);
	buf_put(&msg, skl.details.data, skl.details.len);
	crypt_sign(phone_signal_identity_priv(p->signal), msg.data, msg.len, sig);
	skl.account_signature = (ProtobufCBinaryData){64, sig};
	if ((bytes = pb_pack(&skl.base, &len)) == NULL)
		fatal("key index list");
	n = node_child_new(parent, "key-index-list");
	node_setf(n, "ts", "%lld", (long long)now);
	node_set_bytes(n, bytes, len);
	free(bytes);
	free(skl.details.data);
	buf_clear(&msg);
}

void
phone_sign_list(struct phone *p)
{
	struct node *iq = phone_iq(p, "set", "md");

	put_key_list(p, iq, 0);
	phone_send_node(p, iq);
}

/* ADVSignedDeviceIdentityHMAC over the companion's identity. Malloc'd. */
static uint8_t *
sign_companion(struct phone *p, const struct companion *c, uint32_t index, size_t *len)
{
	Adv__ADVDeviceIdentity di = ADV__ADVDEVICE_IDENTITY__INIT;
	Adv__ADVSignedDeviceIdentity si = ADV__ADVSIGNED_DEVICE_IDENTITY__INIT;
	Adv__ADVSignedDeviceIdentityHMAC box = ADV__ADVSIGNED_DEVICE_IDENTITY_HMAC__INIT;
	uint8_t key[32], sig[64], mac[32], *out;
	struct buf msg = BUF_INIT;

	di.has_raw_id = di.has_timestamp = di.has_key_index = 1;
	di.raw_id = p->account->raw_id;
	di.timestamp = (uint64_t)loop_now();
	di.key_index = index;
	si.details.data = pb_pack(&di.base, &si.details.len);
	buf_put(&msg, "\6\0", 2);
	buf_put(&msg, si.details.data, si.details.len);
	buf_put(&msg, c->identity, 32);
	crypt_sign(phone_signal_identity_priv(p->signal), msg.data, msg.len, sig);
	if (strcmp(p->forge, "signature") == 0)
		sig[10] ^= 1;
	memcpy(key, phone_signal_identity_pub(p->signal), 32);
	si.has_details = si.has_account_signature_key = si.has_account_signature = 1;
	si.account_signature_key = (ProtobufCBinaryData){32, key};
	si.account_signature = (ProtobufCBinaryData){64, sig};
	box.details.data = pb_pack(&si.base, &box.details.len);
	crypt_hmac(c->secret, 32, box.details.data, box.details.len, mac);
	if (strcmp(p->forge, "hmac") == 0)
		mac[0] ^= 1;
	box.has_details = box.has_hmac = 1;
	box.hmac = (ProtobufCBinaryData){32, mac};
	if ((out = pb_pack(&box.base, len)) == NULL || si.details.data == NULL ||
	    box.details.data == NULL)
		fatal("pairing");
	free(si.details.data);
	free(box.details.data);
	buf_clear(&msg);
	return out;
}

/* Signs and uploads. The device number that the service gave, or -1 and *why. */
static int
link_companion(struct phone *p, const struct companion *c, const char **why)
{
	static const char *const reasons[] = {"404", "no client shows that code", "409",
	    "the client that shows that code has another Noise key, or is being paired", "419",
	    "too many devices"};
	struct node *iq = phone_iq(p, "set", "md"), *pd = node_child_new(iq, "pair-device"),
		    *answer, *n;
	uint32_t index = p->account->next_key_index++;
	struct jid jid;
	uint8_t *box;
	size_t len;
	int device = -1;

	if (strcmp(p->forge, "key_index") == 0)
		index = 0;
	box = sign_companion(p, c, index, &len);
	node_add_bytes(pd, "ref", c->ref, strlen(c->ref));
	node_add_bytes(pd, "pub-key", c->noise, 32);
	node_add_bytes(pd, "device-identity", box, len);
	put_key_list(p, pd, index);
	free(box);
	snprintf(p->forge, sizeof(p->forge), "none");
	answer = route_phone(p->self, iq);
	*why = "the service refused";
	if (answer != NULL && (n = node_child(answer, "device")) != NULL &&
	    node_get_jid(n, "jid", &jid) == 0)
		device = jid.device;
	else if (answer != NULL && (n = node_child(answer, "error")) != NULL)
		for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i += 2)
			if (strcmp(nodes_attr(n, "code"), reasons[i]) == 0)
				*why = reasons[i + 1];
	node_free(answer);
	return device;
}

int
phone_link_keys(struct phone *p, const char *ref, const uint8_t noise[32],
    const uint8_t identity[32], const uint8_t secret[32], const char **why)
{
	struct companion c;

	snprintf(c.ref, sizeof(c.ref), "%s", ref);
	memcpy(c.noise, noise, 32);
	memcpy(c.identity, identity, 32);
	memcpy(c.secret, secret, 32);
	return link_companion(p, &c, why);
}

/* --- by QR --- */

/* ref,noise,identity,secret[,type]: the fields from the end; older clients leave out the type. */
static int
parse_qr(const char *qr, struct companion *c)
{
	const char *hash = strstr(qr, "#"), *comma[5], *s = hash == NULL ? qr : hash + 1;
	size_t len = strcspn(s, "\r\n "), n = 0, last;

	for (size_t i = len; i > 0 && n < 5; i--)
		if (s[i - 1] == ',')
			comma[n++] = s + i - 1;
	if (n < 3)
		return -1;
	last = (size_t)(s + len - comma[0]) - 1; /* the field behind the last comma */
	if (last == 44) {
		memmove(comma + 1, comma, n < 5 ? n * sizeof(comma[0]) : 4 * sizeof(comma[0]));
		comma[0] = s + len;
		n = n < 5 ? n + 1 : n;
	}
	if (n < 4 || (size_t)(comma[3] - s) >= sizeof(c->ref) || comma[3] == s)
		return -1;
	memcpy(c->ref, s, (size_t)(comma[3] - s));
	c->ref[comma[3] - s] = '\0';
	if (crypt_unb64(comma[3] + 1, (size_t)(comma[2] - comma[3]) - 1, c->noise, 32) != 32 ||
	    crypt_unb64(comma[2] + 1, (size_t)(comma[1] - comma[2]) - 1, c->identity, 32) != 32 ||
	    crypt_unb64(comma[1] + 1, (size_t)(comma[0] - comma[1]) - 1, c->secret, 32) != 32)
		return -1;
	return 0;
}

int
phone_qr_ref(const char *qr, char *ref, size_t size)
{
	struct companion c;

	if (parse_qr(qr, &c) != 0 || strlen(c.ref) >= size)
		return -1;
	snprintf(ref, size, "%s", c.ref);
	return 0;
}

int
phone_scan(struct phone *p, const char *qr, const char **why)
{
	struct companion c;

	if (parse_qr(qr, &c) != 0) {
		*why = "not a QR text of a client: ref,noise,identity,secret,type";
		return -1;
	}
	if (p->account->passkey) { /* "continue on the other device" */
		struct conn *k = pairing_find(c.ref, strlen(c.ref));

		*why = "no client shows that code";
		if (k == NULL)
			return -1;
		phone_passkey_begin(p, c.secret);
		passkey_ask(k, p->account);
		return 0;
	}
	return link_companion(p, &c, why);
}

/* --- by code --- */

static void
code_hello(struct phone *p, const struct node *reg)
{
	struct phone_code *c = &p->code;
	const uint8_t *ref;
	size_t len;

	memset(c, 0, sizeof(*c));
	if (node_child_bytes(reg, "link_code_pairing_ref", &ref, &len) != 0 ||
	    len >= sizeof(c->ref) ||
	    nodes_fixed(reg, "link_code_pairing_wrapped_companion_ephemeral_pub", c->wrapped, 80) !=
		0 ||
	    nodes_fixed(reg, "companion_server_auth_key_pub", c->companion_noise, 32) != 0)
		return;
	memcpy(c->ref, ref, len);
	c->waiting = 1;
}

static void
code_finish(struct phone *p, const struct node *reg)
{
	struct phone_code *c = &p->code;
	struct companion who;
	const char *why;
	uint8_t bundle[156];

	if (c->waiting != 2 ||
	    nodes_fixed(reg, "link_code_pairing_wrapped_key_bundle", bundle, sizeof(bundle)) != 0 ||
	    nodes_fixed(reg, "companion_identity_public", who.identity, 32) != 0)
		return;
	if (pair_code_open_bundle(bundle, c->e_priv, c->companion_e,
		phone_signal_identity_priv(p->signal), phone_signal_identity_pub(p->signal),
		who.identity, who.secret) != 0) {
		log_notice("phone of %s: wrong code typed", p->account->name);
		return; /* it may be typed again */
	}
	c->waiting = 0;
	memcpy(who.noise, c->companion_noise, 32);
	snprintf(who.ref, sizeof(who.ref), "%s", c->ref);
	if (link_companion(p, &who, &why) < 0)
		log_notice("phone of %s: pairing by code: %s", p->account->name, why);
}

void
phone_code_notification(struct phone *p, const struct node *n)
{
	const struct node *reg = node_child(n, "link_code_companion_reg");
	const char *stage = reg == NULL ? "" : nodes_attr(reg, "stage");

	if (strcmp(stage, "companion_hello") == 0)
		code_hello(p, reg);
	else if (strcmp(stage, "companion_finish") == 0)
		code_finish(p, reg);
}

int
phone_enter_code(struct phone *p, const char *code, const char **why)
{
	struct phone_code *c = &p->code;
	struct node *iq, *reg, *answer;
	uint8_t wrapped[80], e_pub[32];
	int ok;

	if (c->waiting == 0) {
		*why = "no companion waits for a code";
		return -1;
	}
	if (pair_code_normal(code, c->typed) != 0) {
		*why = "a code is 8 characters of 123456789ABCDEFGHJKLMNPQRSTVWXYZ";
		return -1;
	}
	pair_code_unwrap(c->wrapped, c->typed, c->companion_e);
	crypt_keypair(c->e_priv, e_pub);
	pair_code_wrap(e_pub, c->typed, wrapped);
	iq = phone_iq(p, "set", "md");
	reg = node_child_new(iq, "link_code_companion_reg");
	node_set(reg, "stage", "primary_hello");
	if (p->account->passkey) /* the service asks for the passkey in its place */
		phone_passkey_begin(p, NULL);
	else
		node_add_bytes(reg, "link_code_pairing_wrapped_primary_ephemeral_pub", wrapped,
		    sizeof(wrapped));
	node_add_bytes(reg, "primary_identity_pub", phone_signal_identity_pub(p->signal), 32);
	node_add_bytes(reg, "link_code_pairing_ref", c->ref, strlen(c->ref));
	c->waiting = 2;
	answer = route_phone(p->self, iq);
	ok = answer != NULL && strcmp(nodes_attr(answer, "type"), "result") == 0;
	node_free(answer);
	*why = "the companion is gone";
	return ok ? 0 : -1;
}

int
phone_unlink(struct phone *p, unsigned device)
{
	struct node *iq = phone_iq(p, "set", "md"), *answer;
	struct jid jid = account_jid(p->account, 0);
	int ok;

	jid.device = (uint16_t)device;
	node_set_jid(node_child_new(iq, "remove-companion-device"), "jid", &jid);
	node_set(node_child(iq, "remove-companion-device"), "reason", "user_initiated");
	answer = route_phone(p->self, iq);
	ok = answer != NULL && strcmp(nodes_attr(answer, "type"), "result") == 0;
	node_free(answer);
	return ok ? 0 : -1;
}
