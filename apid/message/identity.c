/* Identities of others: what is told of them, and where keyd keeps them. */
#include "apid/message/identity.h"

#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "apid/message/held.h"
#include "apid/session/devices.h"
#include "common/log.h"

const char *
identity_fingerprint(const uint8_t key[32], char out[65])
{
	return sodium_bin2hex(out, 65, key, 32);
}

void
identity_news_take(struct identity_news *n, const Keyd__IdentityChange *c)
{
	n->old_key = c->has_old_key && c->old_key.len == 32 ? c->old_key.data : NULL;
	n->new_key = c->new_key.len == 32 ? c->new_key.data : NULL;
	n->was_verified = c->was_verified;
}

void
identity_event(struct unit *u, const struct identity_news *n)
{
	json_t *o = json_pack("{s:o, s:i, s:b, s:b, s:b, s:I}", "party", contacts_party(n->party),
	    "device", (int)n->device, "implicit", n->implicit, "was_verified", n->was_verified,
	    "held", n->held, "held_messages", (json_int_t)n->held_messages);
	char hex[65];

	if (n->old_key != NULL)
		json_object_set_new(
		    o, "old_fingerprint", json_string(identity_fingerprint(n->old_key, hex)));
	if (n->new_key != NULL)
		json_object_set_new(
		    o, "new_fingerprint", json_string(identity_fingerprint(n->new_key, hex)));
	unit_event(u, "identity.changed", n->origin, n->time_ms, o, NULL);
}

void
identity_damaged(const struct account *a)
{
	static struct log_limit limit = LOG_LIMIT_INIT;

	if (log_allowed(&limit))
		log_errx(
		    "account %s: a contact's identity record is damaged: nothing is sent to him "
		    "and what he writes is kept; identity.list shows it as damaged, and "
		    "identity.decide with trust takes his next key as the first",
		    a->name);
}

static void
add_address(struct identity_addresses *out, const char *name, uint16_t device)
{
	for (size_t i = 0; i < out->n; i++)
		if (out->pb[i].device == device && strcmp(out->names[i], name) == 0)
			return;
	if (out->n == IDENTITY_ADDRESSES_MAX)
		return;
	(void)snprintf(out->names[out->n], sizeof(out->names[0]), "%s", name);
	keyd__address__init(&out->pb[out->n]);
	out->pb[out->n].name = out->names[out->n];
	out->pb[out->n].device = device;
	out->list[out->n] = &out->pb[out->n];
	out->n++;
}

static void
add_device(const struct person *p, uint16_t device, int hosted, struct identity_addresses *out)
{
	int by_number = p->pn[0] != '\0';
	const char *server =
	    by_number ? (hosted ? JID_HOSTED : JID_PN) : (hosted ? JID_HOSTED_LID : JID_LID);
	char name[81];
	struct jid j;

	if (jid_make(&j, by_number ? p->pn : p->lid, server, device) == -1)
		return;
	contacts_address(p, &j, name);
	add_address(out, name, device);
	if (contacts_address_pn(p, &j, name) == 0)
		add_address(out, name, device);
}

void
identity_addresses(const struct account *a, const struct person *p, const Stored__Peer *peer,
    struct identity_addresses *out)
{
	const Stored__DeviceList *lists[2] = {
	    peer == NULL ? NULL : peer->by_lid, peer == NULL ? NULL : peer->by_pn};
	struct device_list l;
	uint16_t ids[DEVICES_MAX];
	size_t n = a == NULL ? 0 : held_devices(a, p, ids, DEVICES_MAX);

	add_device(p, 0, 0, out);
	for (size_t i = 0; i < n; i++)
		add_device(p, ids[i], 0, out);
	for (size_t k = 0; k < 2; k++) {
		if (devices_from_store(lists[k], &l) == -1)
			continue;
		for (size_t i = 0; i < l.n; i++)
			add_device(p, l.ids[i], l.hosted[i], out);
	}
}
