/* Calls: an action goes to the devices of the other side; who takes or refuses ends the ringing on
 * the other devices of that account. */
#include <string.h>

#include "tests/sim/calls.h"
#include "tests/sim/loop.h"
#include "tests/sim/nodes.h"
#include "tests/sim/offline.h"

static void
ack(struct origin *o, const struct node *n, const struct jid *to)
{
	struct node *a = node_new("ack");

	node_set(a, "class", "call");
	nodes_copy_attr(a, n, "id");
	node_set_jid(a, "from", to);
	node_setf(a, "t", "%lld", (long long)loop_now());
	route_reply(o, a);
}

/* <call from=the device that acts>, without the action. */
static struct node *
begin(const struct device *from, int lid, const char *id)
{
	struct node *n = node_new("call");
	struct jid self = device_jid(from, lid);

	node_set_jid(n, "from", &self);
	node_set(n, "id", id);
	node_setf(n, "t", "%lld", (long long)loop_now());
	node_set(n, "notify", from->account->push_name);
	node_set(n, "platform", "android");
	node_set(n, "version", "2.26.1");
	return n;
}

static void
forward(struct device *to, const struct device *from, int lid, const struct node *n)
{
	const struct node *action = n->children[0];
	struct jid pn = account_jid(from->account, 0);
	struct node *call = begin(from, lid, nodes_attr(n, "id")), *last;

	nodes_add_copy(call, action);
	last = call->children[call->nchildren - 1];
	if (strcmp(action->tag, "offer") == 0) {
		if (lid)
			node_set_jid(last, "caller_pn", &pn);
		node_set(last, "caller_country_code", "DE");
	}
	offline_deliver(to, call);
}

/* The others of the account that acted need not ring any longer. */
static void
end_elsewhere(struct device *acted, struct account *other, int lid, const struct node *action,
    const char *why)
{
	struct device *d;

	TAILQ_FOREACH(d, &acted->account->devices, link)
	{
		struct node *call, *t;
		char id[32];

		if (d == acted)
			continue;
		call = begin(account_phone(other), lid, route_id(id));
		t = node_child_new(call, "terminate");
		nodes_copy_attr(t, action, "call-id");
		nodes_copy_attr(t, action, "call-creator");
		node_set(t, "reason", why);
		offline_deliver(d, call);
	}
}

void
calls_in(struct origin *o, const struct node *n)
{
	const struct node *action = n->nchildren > 0 ? n->children[0] : NULL;
	struct account *a;
	struct device *d;
	struct jid to;
	int lid;

	if (node_get_jid(n, "to", &to) != 0)
		return;
	ack(o, n, &to);
	if (action == NULL || (a = account_of(&to)) == NULL || a == o->dev->account)
		return;
	lid = account_is_lid(&to);
	TAILQ_FOREACH(d, &a->devices, link)
	forward(d, o->dev, lid, n);
	if (strcmp(action->tag, "accept") == 0)
		end_elsewhere(o->dev, a, lid, action, "accepted_elsewhere");
	else if (strcmp(action->tag, "reject") == 0 && node_get(action, "reason") == NULL)
		end_elsewhere(o->dev, a, lid, action, "rejected_elsewhere");
}
