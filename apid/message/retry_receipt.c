/* The receipt that asks for a message again. */
#include <string.h>

#include "apid/message/retry.h"
#include "apid/session/prekeys.h"

static void
add_keys(struct node *n, const struct account *a, const Keyd__PrekeysReply *k)
{
	struct node *keys = node_new("keys");
	uint8_t type = 5;

	node_add_bytes(keys, "type", &type, 1);
	node_add_bytes(keys, "identity", k->identity_pub.data, k->identity_pub.len);
	if (k->n_keys > 0)
		node_add(keys, prekeys_key_node("key", k->keys[0]));
	node_add(keys, prekeys_skey_node(k->signed_prekey));
	node_add_bytes(keys, "device-identity", a->dev.signed_identity, a->dev.signed_identity_len);
	node_add(n, keys);
}

struct node *
retry_receipt(const struct account *a, const struct envelope *e, unsigned count, unsigned error,
    const Keyd__PrekeysReply *keys)
{
	struct node *n = node_new("receipt"), *r = node_new("retry");
	uint8_t reg[4];

	node_set(n, "id", e->id);
	node_set_jid(n, "to", &e->from);
	node_set(n, "type", "retry");
	if (e->has_participant)
		node_set_jid(n, "participant", &e->participant);
	if (e->has_recipient)
		node_set_jid(n, "recipient", &e->recipient);
	if (e->peer)
		node_set(n, "category", "peer");
	node_set(r, "v", "1");
	node_set(r, "id", e->id);
	node_setf(r, "t", "%lld", (long long)(e->time_ms / 1000));
	node_setf(r, "count", "%u", count);
	if (error != 0)
		node_setf(r, "error", "%u", error);
	node_add(n, r);
	for (int i = 0; i < 4; i++)
		reg[i] = (uint8_t)(a->dev.registration_id >> (24 - 8 * i));
	node_add_bytes(n, "registration", reg, sizeof(reg));
	if (keys != NULL)
		add_keys(n, a, keys);
	return n;
}
