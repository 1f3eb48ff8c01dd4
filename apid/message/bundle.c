/* Prekey bundles: reading them, and asking the service for them. */
#include "apid/message/bundle.h"

#include <stdlib.h>
#include <string.h>

#include "apid/session/iq.h"
#include "common/log.h"
#include "common/pb.h"

#define IDENTITY_MAX 4096u /* of keyd's contract */

struct bundle_request {
	struct account *a;
	uint64_t iq;
	struct jid *devices;
	size_t n;
	bundle_fn *fn;
	void *arg;
};

void
bundle_clear(struct bundle *b)
{
	free(b->device_identity);
	memset(b, 0, sizeof(*b));
}

static int
fixed(const struct node *n, const char *tag, uint8_t *to, size_t len)
{
	const uint8_t *data;
	size_t have;

	if (node_child_bytes(n, tag, &data, &have) == -1 || have != len)
		return -1;
	memcpy(to, data, len);
	return 0;
}

static int
id24(const struct node *n, uint32_t *out)
{
	uint8_t b[3];

	if (fixed(n, "id", b, sizeof(b)) == -1)
		return -1;
	*out = (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2];
	return 0;
}

/* Up to four bytes, shorter ones stand at the end (page 04, 12.3). */
static int
registration(const struct node *n, uint32_t *out)
{
	*out = 0;
	if (n == NULL || !n->has_bytes || n->nbytes == 0 || n->nbytes > 4)
		return -1;
	for (size_t i = 0; i < n->nbytes; i++)
		*out = *out << 8 | n->bytes[i];
	return *out == 0 ? -1 : 0;
}

int
bundle_read(const struct node *keys, const struct node *reg, struct bundle *out)
{
	const struct node *skey = node_child(keys, "skey"), *key = node_child(keys, "key");
	const uint8_t *data;
	size_t len;

	memset(out, 0, sizeof(*out));
	if (reg == NULL)
		reg = node_child(keys, "registration");
	if (registration(reg, &out->registration_id) == -1 ||
	    fixed(keys, "identity", out->identity, 32) == -1 || skey == NULL ||
	    id24(skey, &out->skey_id) == -1 || fixed(skey, "value", out->skey_pub, 32) == -1 ||
	    fixed(skey, "signature", out->skey_sig, 64) == -1)
		return -1;
	if (key != NULL) {
		if (id24(key, &out->key_id) == -1 || fixed(key, "value", out->key_pub, 32) == -1)
			return -1;
		out->has_key = 1;
	}
	if (node_child_bytes(keys, "device-identity", &data, &len) == 0 && len > 0) {
		if (len > IDENTITY_MAX || (out->device_identity = malloc(len)) == NULL)
			return -1;
		memcpy(out->device_identity, data, len);
		out->device_identity_len = len;
	}
	out->ok = 1;
	return 0;
}

void
bundle_fill(const struct bundle *b, struct bundle_pb *out)
{
	keyd__bundle__init(&out->bundle);
	keyd__signed_prekey__init(&out->skey);
	keyd__prekey__init(&out->key);
	out->bundle.registration_id = b->registration_id;
	out->bundle.identity = pb_bytes(b->identity, 32);
	out->skey.id = b->skey_id;
	out->skey.pub = pb_bytes(b->skey_pub, 32);
	out->skey.signature = pb_bytes(b->skey_sig, 64);
	out->bundle.signed_prekey = &out->skey;
	if (b->has_key) {
		out->key.id = b->key_id;
		out->key.pub = pb_bytes(b->key_pub, 32);
		out->bundle.prekey = &out->key;
	}
	if (b->device_identity != NULL) {
		out->bundle.has_device_identity = 1;
		out->bundle.device_identity = pb_bytes(b->device_identity, b->device_identity_len);
	}
}

/* One <user> of the answer to the device that it is about. */
static void
take_user(struct bundle_request *r, const struct node *user, struct bundle *all)
{
	const struct node *err = node_child(user, "error");
	struct jid j;

	if (node_get_jid(user, "jid", &j) == -1)
		return;
	for (size_t i = 0; i < r->n; i++) {
		if (!jid_eq(&j, &r->devices[i]) || all[i].ok)
			continue;
		if (err != NULL)
			all[i].stale = node_get_int(err, "code", 99999) == 406;
		else if (bundle_read(user, NULL, &all[i]) == -1) {
			bundle_clear(&all[i]);
			log_notice("account %s: a prekey bundle that lacks a key", r->a->name);
		}
		return;
	}
}

static void
answered(const struct iq_answer *ans, void *arg)
{
	struct bundle_request *r = arg;
	const struct node *list = ans->ok ? node_child(ans->node, "list") : NULL;
	struct bundle *all = calloc(r->n, sizeof(*all));

	if (all == NULL)
		fatal("bundles");
	for (size_t i = 0; list != NULL && i < list->nchildren; i++)
		take_user(r, list->children[i], all);
	r->fn(
	    ans->ok ? all : NULL, ans->ok ? r->n : 0, ans->ok ? NULL : ans->why, ans->code, r->arg);
	for (size_t i = 0; i < r->n; i++)
		bundle_clear(&all[i]);
	free(all);
	free(r->devices);
	free(r);
}

struct bundle_request *
bundle_fetch(struct account *a, const struct jid *devices, size_t n, bundle_fn *fn, void *arg)
{
	struct bundle_request *r = calloc(1, sizeof(*r));
	struct node *iq = iq_new("get", "encrypt"), *key = node_new("key");

	if (r == NULL || n > BUNDLES_MAX || (r->devices = calloc(n, sizeof(*devices))) == NULL)
		fatalx("bundle_fetch");
	memcpy(r->devices, devices, n * sizeof(*devices));
	r->a = a;
	r->n = n;
	r->fn = fn;
	r->arg = arg;
	for (size_t i = 0; i < n; i++) {
		struct node *user = node_new("user");

		node_set_jid(user, "jid", &devices[i]);
		node_set(user, "reason", "identity");
		node_add(key, user);
	}
	node_add(iq, key);
	r->iq = iq_request(a, iq, IQ_TIMEOUT_MS, answered, r);
	return r;
}

void
bundle_cancel(struct bundle_request *r)
{
	if (r == NULL)
		return;
	iq_cancel(r->a, r->iq);
	free(r->devices);
	free(r);
}
