/* Changes of an account's device list, and who is told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "common/log.h"
#include "tests/sim/devices.h"
#include "tests/sim/login.h"
#include "tests/sim/loop.h"
#include "tests/sim/nodes.h"
#include "tests/sim/offline.h"
#include "tests/sim/phone.h"
#include "tests/sim/presence.h"

void
devices_keep_list(struct account *a, const struct node *n)
{
	const struct node *l = node_child(n, "key-index-list");
	uint8_t *copy;

	if (l == NULL || !l->has_bytes || (copy = malloc(l->nbytes + 1)) == NULL)
		return;
	memcpy(copy, l->bytes, l->nbytes);
	free(a->key_index_list);
	a->key_index_list = copy;
	a->key_index_list_len = l->nbytes;
	a->key_index_list_ts = node_get_int(l, "ts", INT64_MAX);
}

void
devices_put_list(struct node *parent, const struct account *a)
{
	struct node *l;

	if (a->key_index_list == NULL)
		return;
	l = node_child_new(parent, "key-index-list");
	node_setf(l, "ts", "%lld", (long long)a->key_index_list_ts);
	node_set_bytes(l, a->key_index_list, a->key_index_list_len);
}

void
devices_key_index_list(struct origin *o, const struct node *iq)
{
	devices_keep_list(o->dev->account, iq);
	route_result(o, iq);
}

static struct node *
notification(struct device *d, const char *op)
{
	struct account *a = d->account;
	struct node *n = route_notification("devices"), *child, *dev;
	struct jid pn = account_jid(a, 0), lid = account_jid(a, 1);
	struct jid dpn = device_jid(d, 0), dlid = device_jid(d, 1);
	char hash[16];

	node_set_jid(n, "from", &pn);
	if (!a->lid_hidden)
		node_set_jid(n, "lid", &lid);
	child = node_child_new(n, op);
	account_phash(&a, 1, 0, hash);
	node_set(child, "device_hash", hash);
	account_phash(&a, 1, 1, hash);
	node_set(child, "device_lid_hash", hash);
	dev = node_child_new(child, "device");
	node_set_jid(dev, "jid", &dpn);
	if (!a->lid_hidden)
		node_set_jid(dev, "lid", &dlid);
	if (d->id != 0)
		node_setf(dev, "key-index", "%u", d->key_index);
	devices_put_list(child, a);
	return n;
}

void
devices_notify(struct device *d, const char *op)
{
	struct account *a = d->account;
	struct node *n = notification(d, op);
	struct device *to;

	TAILQ_FOREACH(to, &a->devices, link)
	if (to != d && to->id != 0)
		offline_deliver(to, nodes_copy(n));
	for (size_t i = 0; i < a->naskers; i++) {
		if (a->askers[i] == a)
			continue;
		TAILQ_FOREACH(to, &a->askers[i]->devices, link)
		if (to->id != 0)
			offline_deliver(to, nodes_copy(n));
	}
	node_free(n);
}

/* The device is no more: others hear of it, then it does. */
static void
unlink_device(struct device *d)
{
	struct account *a = d->account;
	struct conn *c = d->conn;

	/* out of the list first, so that the hashes are those of the list without it */
	TAILQ_REMOVE(&a->devices, d, link);
	a->ndevices--;
	phone_sign_list(a->phone);
	devices_notify(d, "remove");
	TAILQ_INSERT_TAIL(&a->devices, d, link);
	a->ndevices++;
	if (c != NULL) {
		login_stream_error(c, 401, "device_removed");
		conn_end(c, "device removed");
	}
	phone_forget_device(a->phone, d->id);
	presence_forget(d);
	account_device_remove(d);
}

void
devices_remove_all(struct account *a)
{
	struct device *d, *next;

	for (d = TAILQ_FIRST(&a->devices); d != NULL; d = next) {
		next = TAILQ_NEXT(d, link);
		if (d->id != 0)
			unlink_device(d);
	}
}

void
devices_remove(struct origin *o, const struct node *iq)
{
	const struct node *rm = node_child(iq, "remove-companion-device");
	struct account *a = o->dev->account;
	struct device *d = NULL;
	struct jid j;

	if (node_get(rm, "all") != NULL && strcmp(node_get(rm, "all"), "true") == 0) {
		route_result(o, iq);
		devices_remove_all(a);
		return;
	}
	if (node_get_jid(rm, "jid", &j) != 0) {
		route_error(o, iq, 400);
		return;
	}
	if (account_of(&j) == a && j.device != 0)
		d = account_device(a, j.device);
	if (d == NULL) {
		route_error(o, iq, 404);
		return;
	}
	route_result(o, iq);
	unlink_device(d);
}

void
devices_tell_hash(struct device *to, const struct account *of)
{
	struct node *n = route_notification("devices"), *up;
	struct jid own = account_jid(to->account, 0);
	char hash[5];
	unsigned char md[EVP_MAX_MD_SIZE];
	char text[JID_TEXT_MAX + 16];

	snprintf(text, sizeof(text), "%sWA_ADD_NOTIF", of->pn);
	if (EVP_Digest(text, strlen(text), md, NULL, EVP_md5(), NULL) != 1)
		fatalx("MD5 failed");
	EVP_EncodeBlock((unsigned char *)hash, md, 3);
	node_set_jid(n, "from", &own);
	up = node_child_new(n, "update");
	node_set(up, "hash", hash);
	offline_deliver(to, n);
}
