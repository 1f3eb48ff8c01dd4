/* Receipts and acks of devices: what leaves a queue, and who hears of it. */
#include <string.h>

#include "tests/sim/loop.h"
#include "tests/sim/nodes.h"
#include "tests/sim/offline.h"
#include "tests/sim/receipt.h"

static void
ack(struct origin *o, const struct node *n)
{
	struct node *a = node_new("ack");
	struct jid to;

	node_set(a, "class", "receipt");
	nodes_copy_attr(a, n, "id");
	if (node_get_jid(n, "to", &to) == 0)
		node_set_jid(a, "from", &to);
	nodes_copy_attr(a, n, "type");
	nodes_copy_attr(a, n, "participant");
	node_setf(a, "t", "%lld", (long long)loop_now());
	route_reply(o, a);
}

/* Text of an attribute as our own stanzas print it, whatever form the client chose. */
static const char *
canonical(const struct node *n, const char *key, char buf[JID_TEXT_MAX])
{
	struct jid j;

	return node_get_jid(n, key, &j) == 0 ? jid_format(&j, buf) : node_get(n, key);
}

/* The messages that a delivery receipt names leave the queue. */
static void
take_off_queue(struct device *d, const struct node *n)
{
	char to[JID_TEXT_MAX], part[JID_TEXT_MAX];
	const char *from = canonical(n, "to", to), *participant = canonical(n, "participant", part);
	const struct node *list = node_child(n, "list");

	if (from == NULL)
		return;
	offline_answered(d, "message", nodes_attr(n, "id"), from, participant);
	for (size_t i = 0; list != NULL && i < list->nchildren; i++)
		offline_answered(
		    d, "message", nodes_attr(list->children[i], "id"), from, participant);
}

/* The receipt as others see it: from = the device that sent it, in the addressing that it used. */
static struct node *
forwarded(const struct device *d, const struct node *n, int lid)
{
	struct node *r = node_new("receipt");
	struct jid self = device_jid(d, lid);

	node_set_jid(r, "from", &self);
	nodes_copy_attr(r, n, "id");
	node_setf(r, "t", "%lld", (long long)loop_now());
	nodes_copy_attr(r, n, "type");
	nodes_copy_attr(r, n, "participant");
	nodes_copy_attr(r, n, "recipient");
	for (size_t i = 0; i < n->nchildren; i++)
		nodes_add_copy(r, n->children[i]);
	return r;
}

static void
to_devices(struct device *d, const struct node *n, struct account *a, int lid)
{
	struct device *to;

	TAILQ_FOREACH(to, &a->devices, link)
	if (to != d)
		offline_deliver(to, forwarded(d, n, lid));
}

static int
one_of(const char *type, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcmp(type, *list) == 0)
			return 1;
	return 0;
}

void
receipt_in(struct origin *o, const struct node *n)
{
	static const char *const delivery[] = {"", "inactive", "sender", "peer_msg", NULL};
	static const char *const own[] = {"sender", "read-self", "played-self", NULL};
	static const char *const phone[] = {"peer_msg", "hist_sync", "server-error", NULL};
	const char *type = nodes_attr(n, "type");
	struct device *d = o->dev, *to_device;
	struct account *a;
	struct jid to;

	route_stats.receipts++;
	ack(o, n);
	if (one_of(type, delivery))
		take_off_queue(d, n);
	if (node_get_jid(n, "to", &to) != 0 || (a = account_of(&to)) == NULL)
		return;
	if (strcmp(type, "retry") == 0) {
		if ((to_device = account_device_of(&to)) != NULL && to_device != d)
			offline_deliver(to_device, forwarded(d, n, account_is_lid(&to)));
	} else if (one_of(type, own)) {
		to_devices(d, n, d->account, account_is_lid(&to));
	} else if (one_of(type, phone)) {
		if (d->id != 0)
			offline_deliver(
			    account_phone(d->account), forwarded(d, n, account_is_lid(&to)));
	} else {
		to_devices(d, n, a, account_is_lid(&to));
	}
}

void
receipt_ack_in(struct origin *o, const struct node *n)
{
	char to[JID_TEXT_MAX], part[JID_TEXT_MAX];
	const char *from = canonical(n, "to", to);

	if (from != NULL)
		offline_answered(o->dev, nodes_attr(n, "class"), nodes_attr(n, "id"), from,
		    canonical(n, "participant", part));
}
