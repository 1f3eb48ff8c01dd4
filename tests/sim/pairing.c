/* The service's part in linking a device: refs, relaying, device numbers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/pb.h"
#include "common/proto/adv.pb-c.h"
#include "common/proto/companion.pb-c.h"
#include "tests/sim/crypt.h"
#include "tests/sim/devices.h"
#include "tests/sim/login.h"
#include "tests/sim/loop.h"
#include "tests/sim/nodes.h"
#include "tests/sim/offline.h"
#include "tests/sim/pairing.h"
#include "tests/sim/passkey.h"
#include "tests/sim/phone.h"
#include "tests/sim/rng.h"
#include "tests/sim/stanza_log.h"

#define REFS    6
#define REF_LEN 64
#define ARENA   (64 * 1024)

struct registration {
	uint8_t noise_pub[32];
	struct device_keys keys;
	char push_name[128], os[32];
	char refs[REFS][REF_LEN];
	char own_ref[REF_LEN]; /* of a passkey exchange */
	struct passkey_gate gate;
	/* by code */
	char code_ref[REF_LEN];
	struct account *code_account;
	/* pair-success went out and is not answered yet */
	struct account *account;
	unsigned device_id;
	uint32_t key_index;
	char success_id[32];
	uint8_t *details, *account_sig; /* what the phone signed */
	size_t details_len;
	uint8_t account_key[32];
};

struct pairing_stats pairing_stats;
static char forge[16] = "none";

int
pairing_forge(const char *what)
{
	static const char *const known[] = {"none", "hmac", "no_lid", "garbage", "twice"};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(what, known[i]) == 0) {
			snprintf(forge, sizeof(forge), "%s", what);
			return 0;
		}
	return -1;
}

static void
make_ref(char out[REF_LEN])
{
	uint8_t raw[30];
	char *b64;

	rng_bytes(raw, sizeof(raw));
	b64 = crypt_b64(raw, sizeof(raw));
	snprintf(out, REF_LEN, "2@%s", b64);
	free(b64);
}

/* Copies a field of exactly that size. */
static int
take(void *out, size_t size, protobuf_c_boolean has, const ProtobufCBinaryData *in)
{
	if (!has || in->len != size)
		return -1;
	memcpy(out, in->data, size);
	return 0;
}

static int
take_keys(struct registration *r, const Wa6__ClientPayload__DevicePairingRegistrationData *d)
{
	uint8_t type, point[33] = {5};

	if (take(r->keys.registration, 4, d->has_e_regid, &d->e_regid) != 0 ||
	    take(&type, 1, d->has_e_keytype, &d->e_keytype) != 0 || type != 5 ||
	    take(r->keys.identity, 32, d->has_e_ident, &d->e_ident) != 0 ||
	    take(r->keys.skey_id, 3, d->has_e_skey_id, &d->e_skey_id) != 0 ||
	    take(r->keys.skey_pub, 32, d->has_e_skey_val, &d->e_skey_val) != 0 ||
	    take(r->keys.skey_sig, 64, d->has_e_skey_sig, &d->e_skey_sig) != 0)
		return -1;
	memcpy(point + 1, r->keys.skey_pub, 32);
	return crypt_verify(r->keys.identity, point, sizeof(point), r->keys.skey_sig);
}

static void
take_props(struct registration *r, const Wa6__ClientPayload__DevicePairingRegistrationData *d)
{
	struct pb_arena *a = pb_arena_new(ARENA);
	Companion__DeviceProps *props;

	if (d->has_device_props &&
	    (props = pb_unpack(&companion__device_props__descriptor, d->device_props.data,
		 d->device_props.len, a, 0, NULL)) != NULL &&
	    props->os != NULL)
		snprintf(r->os, sizeof(r->os), "%s", props->os);
	pb_arena_free(a);
}

static void
send_refs(struct conn *c, const struct registration *r)
{
	struct node *iq = node_new("iq"), *pd;
	char id[32];

	node_set_server(iq, "from", JID_PN);
	node_set(iq, "type", "set");
	node_set(iq, "id", route_id(id));
	node_set(iq, "xmlns", "md");
	pd = node_child_new(iq, "pair-device");
	for (int i = 0; i < REFS; i++)
		node_add_bytes(pd, "ref", r->refs[i], strlen(r->refs[i]));
	conn_send(c, iq);
	node_free(iq);
}

void
pairing_register(struct conn *c, const uint8_t noise_pub[32], const Wa6__ClientPayload *p)
{
	struct registration *r = calloc(1, sizeof(*r));

	if (r == NULL)
		fatal("registration");
	pairing_stats.registrations++;
	if (take_keys(r, p->device_pairing_data) != 0) {
		pairing_stats.refused++;
		free(r);
		conn_end(c, "registration: keys malformed or badly signed");
		return;
	}
	take_props(r, p->device_pairing_data);
	memcpy(r->noise_pub, noise_pub, 32);
	if (p->push_name != NULL)
		snprintf(r->push_name, sizeof(r->push_name), "%s", p->push_name);
	for (int i = 0; i < REFS; i++)
		make_ref(r->refs[i]);
	conn_set_registration(c, r);
	send_refs(c, r);
}

void
pairing_gone(struct conn *c)
{
	struct registration *r = conn_registration(c);

	if (r == NULL)
		return;
	free(r->details);
	free(r->account_sig);
	free(r);
	conn_set_registration(c, NULL);
}

const char *
pairing_push_name(struct conn *c)
{
	return conn_registration(c) == NULL ? "" : conn_registration(c)->push_name;
}

struct conn *
pairing_find(const char *ref, size_t len)
{
	struct registration *r;
	struct conn *c;

	for (c = conn_next(NULL); c != NULL; c = conn_next(c)) {
		if ((r = conn_registration(c)) == NULL)
			continue;
		for (int i = 0; i < REFS; i++)
			if (strlen(r->refs[i]) == len && memcmp(r->refs[i], ref, len) == 0)
				return c;
		if (len > 0 && strlen(r->code_ref) == len && memcmp(r->code_ref, ref, len) == 0)
			return c;
		if (len > 0 && strlen(r->own_ref) == len && memcmp(r->own_ref, ref, len) == 0)
			return c;
	}
	return NULL;
}

struct passkey_gate *
pairing_gate(struct conn *c)
{
	return conn_registration(c) == NULL ? NULL : &conn_registration(c)->gate;
}

const char *
pairing_own_ref(struct conn *c)
{
	make_ref(conn_registration(c)->own_ref);
	return conn_registration(c)->own_ref;
}

unsigned
pairing_refresh(int rotate)
{
	struct conn *c, *next;
	struct node *n;
	unsigned count = 0;

	for (c = conn_next(NULL); c != NULL; c = next) {
		next = conn_next(c);
		if (conn_registration(c) == NULL)
			continue;
		n = route_notification("companion_reg_refresh");
		node_child_new(n, rotate ? "pair-device-rotate-qr" : "companion_reg_refresh");
		conn_send(c, n);
		node_free(n);
		count++;
	}
	return count;
}

/* --- the phone has scanned --- */

/* Keeps what the phone signed, to compare it with the companion's answer. 0 or -1. */
static int
keep_signed(struct registration *r, const uint8_t *box, size_t len)
{
	struct pb_arena *a = pb_arena_new(ARENA);
	Adv__ADVSignedDeviceIdentityHMAC *h;
	Adv__ADVSignedDeviceIdentity *si = NULL;
	Adv__ADVDeviceIdentity *di = NULL;
	int r2 = -1;

	h = pb_unpack(&adv__advsigned_device_identity_hmac__descriptor, box, len, a, 0, NULL);
	if (h != NULL && h->has_details)
		si = pb_unpack(&adv__advsigned_device_identity__descriptor, h->details.data,
		    h->details.len, a, 0, NULL);
	if (si != NULL && si->has_details)
		di = pb_unpack(&adv__advdevice_identity__descriptor, si->details.data,
		    si->details.len, a, 0, NULL);
	if (di != NULL && si->account_signature.len == 64 && si->account_signature_key.len == 32) {
		free(r->details);
		free(r->account_sig);
		r->details = malloc(si->details.len + 1);
		r->account_sig = malloc(64);
		if (r->details == NULL || r->account_sig == NULL)
			fatal("pairing");
		memcpy(r->details, si->details.data, si->details.len);
		r->details_len = si->details.len;
		memcpy(r->account_sig, si->account_signature.data, 64);
		memcpy(r->account_key, si->account_signature_key.data, 32);
		r->key_index = di->key_index;
		r2 = 0;
	}
	pb_arena_free(a);
	return r2;
}

static void
put_props(struct node *success, const struct account *a)
{
	Companion__ClientPairingProps props = COMPANION__CLIENT_PAIRING_PROPS__INIT;
	uint8_t *bytes;
	size_t len;

	if (!a->lid_migrated)
		return;
	props.has_is_chat_db_lid_migrated = props.is_chat_db_lid_migrated = 1;
	props.has_is_syncd_pure_lid_session = props.is_syncd_pure_lid_session = 1;
	if ((bytes = pb_pack(&props.base, &len)) == NULL)
		fatal("pairing");
	node_add_bytes(success, "client-props", bytes, len);
	free(bytes);
}

/* The device identity as the companion gets it: unchanged, or wrong on purpose. */
static void
put_identity(struct node *success, const uint8_t *box, size_t len)
{
	uint8_t *copy = malloc(len + 1);

	if (copy == NULL)
		fatal("pairing");
	memcpy(copy, box, len);
	if (strcmp(forge, "hmac") == 0)
		copy[len - 1] ^= 1;
	else if (strcmp(forge, "garbage") == 0)
		memset(copy, 0xff, len);
	node_add_bytes(success, "device-identity", copy, len);
	free(copy);
}

static void
send_success(struct conn *c, struct registration *r, const uint8_t *box, size_t len)
{
	struct account *a = r->account;
	struct node *iq = node_new("iq"), *ps, *dev;
	struct jid pn = account_jid(a, 0), lid = account_jid(a, 1);
	char id[32];

	snprintf(r->success_id, sizeof(r->success_id), "%s", route_id(id));
	pn.device = lid.device = (uint16_t)r->device_id;
	node_set_server(iq, "from", JID_PN);
	node_set(iq, "type", "set");
	node_set(iq, "id", id);
	node_set(iq, "xmlns", "md");
	node_setf(iq, "t", "%lld", (long long)loop_now());
	ps = node_child_new(iq, "pair-success");
	put_identity(ps, box, len);
	dev = node_child_new(ps, "device");
	node_set_jid(dev, "jid", &pn);
	if (strcmp(forge, "no_lid") != 0)
		node_set_jid(dev, "lid", &lid);
	node_set(node_child_new(ps, "platform"), "name", "android");
	node_set(node_child_new(ps, "biz"), "name", a->push_name);
	put_props(ps, a);
	conn_send(c, iq);
	if (strcmp(forge, "twice") == 0)
		conn_send(c, iq);
	node_free(iq);
	snprintf(forge, sizeof(forge), "none");
}

void
pairing_upload(struct origin *o, const struct node *iq)
{
	const struct node *pd = node_child(iq, "pair-device");
	struct account *a = o->dev->account;
	const uint8_t *ref, *box;
	size_t ref_len, box_len;
	struct registration *r;
	uint8_t pub[32];
	struct node *answer;
	struct jid pn;
	struct conn *c;

	if (node_child_bytes(pd, "ref", &ref, &ref_len) != 0 ||
	    nodes_fixed(pd, "pub-key", pub, 32) != 0 ||
	    node_child_bytes(pd, "device-identity", &box, &box_len) != 0 || box_len > 500) {
		route_error(o, iq, 400);
		return;
	}
	if ((c = pairing_find((const char *)ref, ref_len)) == NULL) {
		route_error(o, iq, 404);
		return;
	}
	r = conn_registration(c);
	if (memcmp(r->noise_pub, pub, 32) != 0 || r->account != NULL ||
	    keep_signed(r, box, box_len) != 0) {
		route_error(o, iq, 409);
		return;
	}
	if (a->ndevices > a->device_limit) {
		route_error(o, iq, 419);
		return;
	}
	r->account = a;
	r->device_id = a->next_device++;
	devices_keep_list(a, pd);
	pn = account_jid(a, 0);
	pn.device = (uint16_t)r->device_id;
	answer = nodes_result(iq);
	node_set_jid(node_child_new(answer, "device"), "jid", &pn);
	route_reply(o, answer);
	send_success(c, r, box, box_len);
}

/* --- the companion's answer --- */

static int
check_answer(const struct registration *r, const struct node *di, struct buf *identity)
{
	struct pb_arena *a = pb_arena_new(ARENA);
	Adv__ADVSignedDeviceIdentity *si;
	struct buf msg = BUF_INIT;
	uint8_t *full;
	size_t len;
	int ok = 0;

	si = pb_unpack(
	    &adv__advsigned_device_identity__descriptor, di->bytes, di->nbytes, a, 0, NULL);
	if (si == NULL || si->details.len != r->details_len ||
	    memcmp(si->details.data, r->details, r->details_len) != 0 ||
	    si->account_signature.len != 64 ||
	    memcmp(si->account_signature.data, r->account_sig, 64) != 0 ||
	    si->device_signature.len != 64 ||
	    node_get_int(di, "key-index", UINT32_MAX) != (int64_t)r->key_index)
		goto done;
	buf_put(&msg, "\6\1", 2);
	buf_put(&msg, r->details, r->details_len);
	buf_put(&msg, r->keys.identity, 32);
	buf_put(&msg, r->account_key, 32);
	if (crypt_verify(r->keys.identity, msg.data, msg.len, si->device_signature.data) != 0)
		goto done;
	si->has_account_signature_key = 1;
	si->account_signature_key = (ProtobufCBinaryData){32, (uint8_t *)(uintptr_t)r->account_key};
	if ((full = pb_pack(&si->base, &len)) == NULL)
		fatal("pairing");
	buf_put(identity, full, len);
	free(full);
	ok = 1;
done:
	buf_clear(&msg);
	pb_arena_free(a);
	return ok ? 0 : -1;
}

static void
add_device(struct registration *r, const struct buf *identity)
{
	struct device *d = account_device_add(r->account, r->device_id);

	memcpy(d->noise_pub, r->noise_pub, 32);
	d->keys = r->keys;
	d->key_index = r->key_index;
	if ((d->signed_identity = malloc(identity->len)) == NULL)
		fatal("device");
	memcpy(d->signed_identity, identity->data, identity->len);
	d->signed_identity_len = identity->len;
	snprintf(d->platform, sizeof(d->platform), "%s", r->os);
	pairing_stats.paired++;
	devices_notify(d, "add");
}

/* A client that stays after 515 is closed in the end. */
static void
close_later(void *arg)
{
	struct conn *c = conn_by_id((uint64_t)(uintptr_t)arg);

	if (c != NULL)
		conn_end(c, "restart after pairing");
}

static void
signed_in(struct conn *c, struct registration *r, const struct node *iq)
{
	const struct node *sign = node_child(iq, "pair-device-sign");
	const struct node *di = sign == NULL ? NULL : node_child(sign, "device-identity");
	struct party p = conn_party(c);
	struct buf identity = BUF_INIT;

	r->success_id[0] = '\0';
	if (strcmp(nodes_attr(iq, "type"), "error") == 0 || di == NULL || !di->has_bytes ||
	    check_answer(r, di, &identity) != 0) {
		stanza_log_note(&p, "pairing refused");
		pairing_stats.refused++;
		r->account = NULL;
		if (strcmp(nodes_attr(iq, "type"), "error") != 0)
			login_stream_error(c, 401, NULL);
		conn_end(c, "pairing failed");
		return;
	}
	stanza_log_note(&p, "paired with %s as device %u", r->account->name, r->device_id);
	add_device(r, &identity);
	buf_clear(&identity);
	login_stream_error(c, 515, NULL);
	loop_after(5000, close_later, (void *)(uintptr_t)conn_id(c), NULL);
}

/* --- pairing by code --- */

static void
companion_hello(
    struct origin *o, struct registration *r, const struct node *iq, const struct node *reg)
{
	struct account_options opt = {0};
	struct node *answer, *n, *child;
	struct jid jid;
	const char *why;

	if (node_get_jid(reg, "jid", &jid) != 0 || !jid_is_pn(&jid) ||
	    node_child(reg, "link_code_pairing_wrapped_companion_ephemeral_pub") == NULL ||
	    node_child(reg, "companion_server_auth_key_pub") == NULL) {
		route_error(o, iq, 400);
		return;
	}
	opt.name = opt.pn = jid.user;
	opt.pulled = account_default_pulled;
	r->code_account = account_of(&jid);
	if (r->code_account == NULL && (r->code_account = account_new(&opt, &why)) == NULL) {
		route_error(o, iq, 400);
		return;
	}
	make_ref(r->code_ref);
	answer = nodes_result(iq);
	child = node_child_new(answer, "link_code_companion_reg");
	node_set(child, "stage", "companion_hello");
	node_add_bytes(child, "link_code_pairing_ref", r->code_ref, strlen(r->code_ref));
	route_reply(o, answer);

	n = route_notification("link_code_companion_reg");
	nodes_add_copy(n, reg);
	child = node_child(n, "link_code_companion_reg");
	node_add_bytes(child, "link_code_pairing_ref", r->code_ref, strlen(r->code_ref));
	offline_deliver(account_phone(r->code_account), n);
}

static void
companion_finish(
    struct origin *o, struct registration *r, const struct node *iq, const struct node *reg)
{
	struct node *n;

	if (r->code_account == NULL) {
		route_error(o, iq, 400);
		return;
	}
	route_result(o, iq);
	n = route_notification("link_code_companion_reg");
	nodes_add_copy(n, reg);
	offline_deliver(account_phone(r->code_account), n);
}

void
pairing_primary_hello(struct origin *o, const struct node *iq)
{
	const struct node *reg = node_child(iq, "link_code_companion_reg");
	const uint8_t *ref;
	size_t len;
	struct conn *c = NULL;
	struct node *n;

	if (node_child_bytes(reg, "link_code_pairing_ref", &ref, &len) == 0)
		c = pairing_find((const char *)ref, len);
	if (c == NULL || conn_registration(c)->code_account != o->dev->account) {
		route_error(o, iq, 404);
		return;
	}
	route_result(o, iq);
	n = route_notification("link_code_companion_reg");
	nodes_add_copy(n, reg);
	conn_send(c, n);
	node_free(n);
	if (o->dev->account->passkey)
		passkey_ask(c, o->dev->account);
}

void
pairing_stanza(struct origin *o, const struct node *n)
{
	struct registration *r = conn_registration(o->conn);
	const struct node *reg;
	const char *stage, *type = nodes_attr(n, "type");

	if (r == NULL || strcmp(n->tag, "iq") != 0)
		return; /* presence, ib, acks of notifications */
	if (strcmp(type, "result") == 0 || strcmp(type, "error") == 0) {
		if (r->success_id[0] != '\0' && strcmp(nodes_attr(n, "id"), r->success_id) == 0)
			signed_in(o->conn, r, n);
		return;
	}
	reg = node_child(n, "link_code_companion_reg");
	stage = reg == NULL ? "" : nodes_attr(reg, "stage");
	if (strcmp(stage, "companion_hello") == 0)
		companion_hello(o, r, n, reg);
	else if (strcmp(stage, "companion_finish") == 0)
		companion_finish(o, r, n, reg);
	else if (strcmp(stage, "get_country_code") == 0) {
		struct node *a = nodes_result(n);

		node_set(node_child_new(a, "country_code"), "iso", "US");
		route_reply(o, a);
	} else if (strcmp(nodes_attr(n, "xmlns"), "w:p") == 0)
		route_result(o, n);
	else if (!passkey_stanza(o, n))
		route_error(o, n, 401);
}
