/* Key bundles: upload, count, fetch, digest, rotation. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "common/log.h"
#include "tests/sim/crypt.h"
#include "tests/sim/map.h"
#include "tests/sim/nodes.h"
#include "tests/sim/offline.h"
#include "tests/sim/phone.h"
#include "tests/sim/prekeys.h"
#include "tests/sim/reregister.h"

#define MAX_POOL 65536

int prekeys_missing_code = 406;

static const char *const forgeries[FORGERIES] = {
    [FORGE_DIGEST_HASH] = "digest_hash",
    [FORGE_DIGEST_ID] = "digest_id",
    [FORGE_DIGEST_NONE] = "digest_none",
    [FORGE_COUNT] = "count",
    [FORGE_SIGNATURE] = "signature",
    [FORGE_NO_KEY] = "no_key",
    [FORGE_UPLOAD] = "upload",
    [FORGE_ROTATE] = "rotate",
};

int
prekeys_forge(struct device *d, const char *what, unsigned times, int value)
{
	for (int i = 0; i < FORGERIES; i++)
		if (strcmp(forgeries[i], what) == 0) {
			d->keys.forge[i] = times;
			if (i == FORGE_COUNT)
				d->keys.count_lie = value;
			else
				d->keys.forge_code = value;
			return 0;
		}
	return -1;
}

/* Is it to be told wrong this time? */
static int
forged(struct device_keys *k, enum key_forgery what)
{
	if (k->forge[what] == 0)
		return 0;
	k->forge[what]--;
	return 1;
}

/* Answers a change that was made: with the result, with an error nevertheless, or (code 0) not at
 * all. */
static void
answer_change(struct origin *o, const struct node *iq, enum key_forgery what)
{
	struct device_keys *k = &o->dev->keys;

	if (!forged(k, what))
		route_result(o, iq);
	else if (k->forge_code != 0)
		route_error(o, iq, k->forge_code);
}

static size_t
left(const struct device_keys *k)
{
	return k->count - k->first;
}

/* The signed prekey below n, checked against the identity. 0 or -1. */
static int
read_skey(const struct node *n, const uint8_t identity[32], struct device_keys *out)
{
	const struct node *s = node_child(n, "skey");
	uint8_t point[33] = {5};

	if (s == NULL || nodes_fixed(s, "id", out->skey_id, 3) != 0 ||
	    nodes_fixed(s, "value", out->skey_pub, 32) != 0 ||
	    nodes_fixed(s, "signature", out->skey_sig, 64) != 0)
		return -1;
	memcpy(point + 1, out->skey_pub, 32);
	return crypt_verify(identity, point, sizeof(point), out->skey_sig);
}

/* The same id must never come with two keys. */
static void
note_offer(struct device_keys *k, char kind, const uint8_t id[3], const uint8_t pub[32])
{
	char name[16];
	const uint8_t *was;
	size_t len;

	if (k->offered == NULL)
		k->offered = map_new();
	snprintf(name, sizeof(name), "%c%02x%02x%02x", kind, id[0], id[1], id[2]);
	if ((was = map_get(k->offered, name, &len)) != NULL && memcmp(was, pub, 32) != 0)
		k->reused++;
	map_put(k->offered, name, pub, 32);
}

static void
put_key(struct device_keys *k, const struct prekey *p)
{
	note_offer(k, 'p', p->id, p->pub);
	for (size_t i = k->first; i < k->count; i++)
		if (memcmp(k->pool[i].id, p->id, 3) == 0) {
			k->pool[i] = *p;
			return;
		}
	if (k->first > 0 && k->count == k->cap) {
		memmove(k->pool, k->pool + k->first, left(k) * sizeof(*k->pool));
		k->count -= k->first;
		k->first = 0;
	}
	if (k->count == k->cap) {
		size_t cap = k->cap == 0 ? 1024 : k->cap * 2;
		struct prekey *more = realloc(k->pool, cap * sizeof(*more));

		if (more == NULL)
			fatal("prekeys");
		k->pool = more;
		k->cap = cap;
	}
	k->pool[k->count++] = *p;
}

void
prekeys_upload(struct origin *o, const struct node *iq)
{
	struct device_keys *k = &o->dev->keys, fresh = {0};
	const struct node *list = node_child(iq, "list");
	uint8_t type;
	struct prekey p;

	if (nodes_fixed(iq, "registration", fresh.registration, 4) != 0 ||
	    nodes_fixed(iq, "type", &type, 1) != 0 || type != 5 ||
	    nodes_fixed(iq, "identity", fresh.identity, 32) != 0 || list == NULL ||
	    read_skey(iq, fresh.identity, &fresh) != 0 ||
	    memcmp(fresh.identity, k->identity, 32) != 0 || left(k) + list->nchildren > MAX_POOL) {
		route_error(o, iq, 400);
		return;
	}
	for (size_t i = 0; i < list->nchildren; i++)
		if (nodes_fixed(list->children[i], "id", p.id, 3) != 0 ||
		    nodes_fixed(list->children[i], "value", p.pub, 32) != 0) {
			route_error(o, iq, 400);
			return;
		}
	memcpy(k->registration, fresh.registration, 4);
	memcpy(k->skey_id, fresh.skey_id, 3);
	memcpy(k->skey_pub, fresh.skey_pub, 32);
	memcpy(k->skey_sig, fresh.skey_sig, 64);
	for (size_t i = 0; i < list->nchildren; i++) {
		nodes_fixed(list->children[i], "id", p.id, 3);
		nodes_fixed(list->children[i], "value", p.pub, 32);
		put_key(k, &p);
	}
	note_offer(k, 's', k->skey_id, k->skey_pub);
	k->uploaded = 1;
	k->low_told = 0;
	k->uploads++;
	answer_change(o, iq, FORGE_UPLOAD);
}

void
prekeys_count(struct origin *o, const struct node *iq)
{
	struct device_keys *k = &o->dev->keys;
	struct node *a = nodes_result(iq);

	node_setf(node_child_new(a, "count"), "value", "%zu",
	    forged(k, FORGE_COUNT) ? (size_t)k->count_lie : left(k));
	route_reply(o, a);
}

static void
put_skey(struct node *parent, const struct device_keys *k)
{
	struct node *s = node_child_new(parent, "skey");

	node_add_bytes(s, "id", k->skey_id, 3);
	node_add_bytes(s, "value", k->skey_pub, 32);
	node_add_bytes(s, "signature", k->skey_sig, 64);
}

static void
tell_low(struct device *d)
{
	struct node *n = route_notification("encrypt");

	node_setf(node_child_new(n, "count"), "value", "%zu", left(&d->keys));
	offline_deliver(d, n);
}

/* Takes a one-time key; the phone has endless ones. 1 = *p is set. */
static int
take_key(struct device *d, struct prekey *p)
{
	struct device_keys *k = &d->keys;

	if (d->id == 0) {
		phone_make_prekey(d->account->phone, p);
		return 1;
	}
	if (left(k) == 0 || forged(k, FORGE_NO_KEY))
		return 0;
	*p = k->pool[k->first++];
	return 1;
}

static void
put_bundle(struct node *user, struct device *d)
{
	struct prekey p;
	struct node *key;

	node_add_bytes(user, "registration", d->keys.registration, 4);
	node_add_bytes(user, "type", "\5", 1);
	node_add_bytes(user, "identity", d->keys.identity, 32);
	if (take_key(d, &p)) {
		key = node_child_new(user, "key");
		node_add_bytes(key, "id", p.id, 3);
		node_add_bytes(key, "value", p.pub, 32);
	}
	if (forged(&d->keys, FORGE_SIGNATURE)) {
		struct device_keys bad = d->keys;

		bad.skey_sig[5] ^= 1;
		put_skey(user, &bad);
	} else {
		put_skey(user, &d->keys);
	}
	if (d->signed_identity != NULL)
		adv_put(user, d, d->signed_identity, d->signed_identity_len);
}

static void
put_user(struct node *list, const struct jid *jid, struct device *d)
{
	struct node *user = node_child_new(list, "user"), *e;

	node_set_jid(user, "jid", jid);
	if (d != NULL) {
		put_bundle(user, d);
		return;
	}
	e = node_child_new(user, "error");
	node_setf(e, "code", "%d", prekeys_missing_code);
	node_set(e, "text", nodes_error_text(prekeys_missing_code));
}

/* After the answer: those whose pools ran low hear of it once. */
static void
tell_all_low(const struct node *key)
{
	struct device *d;
	struct jid j;

	for (size_t i = 0; i < key->nchildren; i++) {
		if (node_get_jid(key->children[i], "jid", &j) != 0 ||
		    (d = account_device_of(&j)) == NULL || d->id == 0 || !d->keys.uploaded ||
		    d->keys.low_told || left(&d->keys) >= PREKEYS_LOW)
			continue;
		d->keys.low_told = 1;
		tell_low(d);
	}
}

void
prekeys_fetch(struct origin *o, const struct node *iq)
{
	const struct node *key = node_child(iq, "key");
	struct node *a = nodes_result(iq), *list = node_child_new(a, "list");
	struct device *d;
	struct jid j;

	for (size_t i = 0; i < key->nchildren; i++) {
		if (node_get_jid(key->children[i], "jid", &j) != 0 || jid_is_server(&j)) {
			node_free(a);
			route_error(o, iq, 400);
			return;
		}
		d = account_device_of(&j);
		if (d == NULL && prekeys_missing_code == 0) {
			node_free(a);
			route_error(o, iq, 406);
			return;
		}
		put_user(list, &j, d);
	}
	route_reply(o, a);
	tell_all_low(key);
}

void
prekeys_digest_hash(const struct device_keys *k, uint8_t out[20])
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();

	if (c == NULL || EVP_DigestInit_ex(c, EVP_sha1(), NULL) != 1)
		fatalx("SHA-1 failed");
	EVP_DigestUpdate(c, k->identity, 32);
	EVP_DigestUpdate(c, k->skey_pub, 32);
	EVP_DigestUpdate(c, k->skey_sig, 64);
	for (size_t i = k->first; i < k->count; i++)
		EVP_DigestUpdate(c, k->pool[i].pub, 32);
	EVP_DigestFinal_ex(c, out, NULL);
	EVP_MD_CTX_free(c);
}

void
prekeys_digest(struct origin *o, const struct node *iq)
{
	struct device_keys *k = &o->dev->keys;
	struct node *a, *d, *list;
	uint8_t hash[20];

	if (!k->uploaded || forged(k, FORGE_DIGEST_NONE)) {
		route_error(o, iq, 404);
		return;
	}
	a = nodes_result(iq);
	d = node_child_new(a, "digest");
	node_add_bytes(d, "registration", k->registration, 4);
	node_add_bytes(d, "type", "\5", 1);
	node_add_bytes(d, "identity", k->identity, 32);
	put_skey(d, k);
	list = node_child_new(d, "list");
	for (size_t i = k->first; i < k->count; i++)
		node_add_bytes(list, "id", k->pool[i].id, 3);
	if (forged(k, FORGE_DIGEST_ID))
		node_add_bytes(list, "id", "\x0f\xff\x0f", 3);
	prekeys_digest_hash(k, hash);
	if (forged(k, FORGE_DIGEST_HASH))
		hash[0] ^= 1;
	node_add_bytes(d, "hash", hash, sizeof(hash));
	route_reply(o, a);
}

void
prekeys_rotate(struct origin *o, const struct node *iq)
{
	struct device_keys *k = &o->dev->keys, fresh = {0};

	if (read_skey(node_child(iq, "rotate"), k->identity, &fresh) != 0) {
		route_error(o, iq, 406);
		return;
	}
	memcpy(k->skey_id, fresh.skey_id, 3);
	memcpy(k->skey_pub, fresh.skey_pub, 32);
	memcpy(k->skey_sig, fresh.skey_sig, 64);
	note_offer(k, 's', k->skey_id, k->skey_pub);
	k->rotations++;
	answer_change(o, iq, FORGE_ROTATE);
}

void
prekeys_drain(struct device *d, size_t keep, int quiet)
{
	if (left(&d->keys) > keep)
		d->keys.first = d->keys.count - keep;
	if (quiet)
		return;
	d->keys.low_told = 1;
	tell_low(d);
}

void
prekeys_want_digest(struct device *d)
{
	struct node *n = route_notification("encrypt");

	node_child_new(n, "digest");
	offline_deliver(d, n);
}
