/* Commands for what a phone signals of calls, and for stanzas of the service's own. */
#include <stdio.h>
#include <string.h>

#include "tests/sim/control.h"
#include "tests/sim/nodes.h"
#include "tests/sim/offline.h"
#include "tests/sim/phone.h"
#include "tests/sim/route.h"

/* phone.call: the offer of a new call, or a later step of one. */
json_t *
control_call(struct call *c)
{
	struct account *a = call_account(c, "account");
	const char *what = call_str(c, "what"), *id = call_str(c, "call_id"),
		   *reason = call_str(c, "reason");
	char made[32], stanza[32];
	struct node *n, *x;
	struct jid to, creator;

	if (a == NULL || call_jid(c, "to", a, &to) != 0)
		return NULL;
	if (what == NULL)
		what = "offer";
	if (id == NULL) {
		phone_new_id(a->phone, made);
		id = made;
	}
	phone_new_id(a->phone, stanza);
	/* whoever offers made the call; of later steps by the other side it is the other one */
	creator = strcmp(what, "accept") == 0 || strcmp(what, "reject") == 0 ||
			  strcmp(what, "preaccept") == 0
		      ? to
		      : account_jid(a, account_is_lid(&to));
	n = node_new("call");
	node_set(n, "id", stanza);
	node_set_jid(n, "to", &to);
	x = node_child_new(n, what);
	node_set(x, "call-id", id);
	node_set_jid(x, "call-creator", &creator);
	node_set(x, "reason", reason);
	if (call_int(c, "duration", 0, 1000000, 0) > 0)
		node_setf(x, "duration", "%d", (int)call_int(c, "duration", 0, 1000000, 0));
	if (strcmp(what, "offer") == 0) {
		struct node *audio = node_child_new(x, "audio");

		node_set(audio, "enc", "opus");
		node_set(audio, "rate", "16000");
		node_set_bytes(node_child_new(x, "enc"), "call key", 8);
		if (call_bool(c, "video", 0))
			node_child_new(x, "video");
	} else if (strcmp(what, "offer_notice") == 0) {
		node_set(x, "media", call_bool(c, "video", 0) ? "video" : "audio");
	}
	phone_send_node(a->phone, n);
	return json_pack("{s:s,s:s}", "call_id", id, "id", stanza);
}

/* device.deliver: any stanza from the service to a device, to be answered. */
json_t *
control_deliver(struct call *c)
{
	struct device *d = call_device(c);
	struct node *n;

	if (d == NULL)
		return NULL;
	if ((n = control_node(json_object_get(c->args, "node"))) == NULL)
		return call_failed(c, "node: {\"tag\":…,\"attrs\":{…},\"content\":…}");
	offline_deliver(d, n);
	return json_object();
}
