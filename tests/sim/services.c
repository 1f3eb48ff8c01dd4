/* The small queries of a login and after it: passive, ping, props, privacy, blocklist … */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/sim/loop.h"
#include "tests/sim/nodes.h"
#include "tests/sim/offline.h"
#include "tests/sim/phone.h"
#include "tests/sim/rng.h"
#include "tests/sim/services.h"

void
services_became_active(struct device *d)
{
	offline_active(d);
	phone_new_companion(d->account->phone, d);
}

void
services_active(struct origin *o, const struct node *iq)
{
	route_result(o, iq);
	if (o->dev->conn == o->conn && o->conn != NULL)
		services_became_active(o->dev);
}

void
services_passive(struct origin *o, const struct node *iq)
{
	route_result(o, iq);
	offline_passive(o->dev);
}

void
services_ping(struct origin *o, const struct node *iq)
{
	struct node *a = nodes_result(iq);

	node_setf(a, "t", "%lld", (long long)loop_now());
	route_reply(o, a);
}

void
services_server_ping(struct device *d)
{
	struct node *n = node_new("iq");
	char id[32];

	node_set_server(n, "from", JID_PN);
	node_set(n, "id", route_id(id));
	node_setf(n, "t", "%lld", (long long)loop_now());
	node_set(n, "type", "get");
	node_set(n, "xmlns", "urn:xmpp:ping");
	if (d->conn != NULL)
		conn_send(d->conn, n);
	node_free(n);
}

static struct prop {
	char code[8], value[24];
} props[32] = {{"865", "604800"}, {"909", "4"}, {"996", "604800"}, {"997", "4"}, {"10518", "1"}};
static size_t nprops = 5;
static unsigned props_changed = 1;

int
services_set_prop(const char *code, const char *value)
{
	size_t i = 0;

	while (i < nprops && strcmp(props[i].code, code) != 0)
		i++;
	if (i == sizeof(props) / sizeof(props[0]) || strlen(code) >= sizeof(props[0].code) ||
	    strlen(value) >= sizeof(props[0].value))
		return -1;
	nprops += i == nprops;
	snprintf(props[i].code, sizeof(props[0].code), "%s", code);
	snprintf(props[i].value, sizeof(props[0].value), "%s", value);
	props_changed++;
	return 0;
}

void
services_props(struct origin *o, const struct node *iq)
{
	char hash[16];
	struct node *a = nodes_result(iq), *p = node_child_new(a, "props"), *n;
	const char *with = node_get(node_child(iq, "props"), "hash");
	int delta;

	snprintf(hash, sizeof(hash), "sim%u", props_changed);
	delta = with != NULL && strcmp(with, hash) == 0; /* nothing has changed since */
	node_set(p, "protocol", "1");
	node_set(p, "ab_key", "sim");
	if (delta)
		node_set(p, "delta_update", "true");
	node_set(p, "refresh", "86400");
	node_set(p, "refresh_id", "1");
	node_set(p, "hash", hash);
	for (size_t i = 0; !delta && i < nprops; i++) {
		n = node_child_new(p, "prop");
		node_set(n, "config_code", props[i].code);
		node_set(n, "config_value", props[i].value);
	}
	route_reply(o, a);
}

void
services_privacy_get(struct origin *o, const struct node *iq)
{
	static const char *const names[] = {
	    "readreceipts", "last", "profile", "status", "online", "groupadd", "calladd"};
	struct account *acc = o->dev->account;
	struct node *a = nodes_result(iq), *p = node_child_new(a, "privacy"), *n;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = "all";

		for (size_t k = 0; k < acc->nprivacy; k++)
			if (strcmp(nodes_attr(acc->privacy[k], "name"), names[i]) == 0)
				value = nodes_attr(acc->privacy[k], "value");
		n = node_child_new(p, "category");
		node_set(n, "name", names[i]);
		node_set(n, "value", value);
	}
	route_reply(o, a);
}

void
services_privacy_set(struct origin *o, const struct node *iq)
{
	const struct node *p = node_child(iq, "privacy");
	struct account *acc = o->dev->account;

	for (size_t i = 0; i < p->nchildren; i++) {
		const struct node *c = p->children[i];
		size_t k = 0;

		if (node_get(c, "name") == NULL || node_get(c, "value") == NULL)
			continue;
		while (k < acc->nprivacy &&
		       strcmp(nodes_attr(acc->privacy[k], "name"), node_get(c, "name")) != 0)
			k++;
		if (k == sizeof(acc->privacy) / sizeof(acc->privacy[0]))
			break;
		if (k < acc->nprivacy)
			node_free(acc->privacy[k]);
		else
			acc->nprivacy++;
		acc->privacy[k] = nodes_copy(c);
	}
	services_privacy_get(o, iq);
}

static void
put_blocklist(struct node *a, const struct account *acc)
{
	struct node *list = node_child_new(a, "list");
	struct jid j;

	for (size_t i = 0; i < acc->nblocklist; i++)
		if (jid_parse(acc->blocklist[i], &j) == 0)
			node_set_jid(node_child_new(list, "item"), "jid", &j);
}

void
services_blocklist_get(struct origin *o, const struct node *iq)
{
	struct node *a = nodes_result(iq);

	put_blocklist(a, o->dev->account);
	route_reply(o, a);
}

void
services_blocklist_set(struct origin *o, const struct node *iq)
{
	const struct node *item = node_child(iq, "item");
	struct account *acc = o->dev->account;
	struct node *a;
	size_t i = 0;

	if (item == NULL || node_get(item, "jid") == NULL) {
		route_error(o, iq, 400);
		return;
	}
	while (i < acc->nblocklist && strcmp(acc->blocklist[i], node_get(item, "jid")) != 0)
		i++;
	if (strcmp(nodes_attr(item, "action"), "block") == 0 && i == acc->nblocklist &&
	    i < sizeof(acc->blocklist) / sizeof(acc->blocklist[0])) {
		acc->blocklist[acc->nblocklist++] = strdup(node_get(item, "jid"));
	} else if (strcmp(nodes_attr(item, "action"), "unblock") == 0 && i < acc->nblocklist) {
		free(acc->blocklist[i]);
		acc->blocklist[i] = acc->blocklist[--acc->nblocklist];
	}
	a = nodes_result(iq);
	put_blocklist(a, acc);
	route_reply(o, a);
}

void
services_participating(struct origin *o, const struct node *iq)
{
	struct node *a = nodes_result(iq);

	node_child_new(a, "groups");
	route_reply(o, a);
}

void
services_disappearing_mode(struct origin *o, const struct node *iq)
{
	struct node *a = nodes_result(iq), *n = node_child_new(a, "disappearing_mode");

	node_set(n, "duration", "0");
	node_set(n, "t", "0");
	route_reply(o, a);
}

void
services_accept(struct origin *o, const struct node *iq)
{
	route_result(o, iq);
}

void
services_ib(struct origin *o, const struct node *n)
{
	const struct node *batch = node_child(n, "offline_batch");
	int64_t count = batch == NULL ? -1 : node_get_int(batch, "count", UINT32_MAX);

	if (count > 0)
		offline_batch(o->dev, (unsigned)count);
}

int
services_missing_code(const struct node *iq)
{
	const char *xmlns = nodes_attr(iq, "xmlns");

	/* known, with nothing there to be found */
	if (strcmp(xmlns, "w:profile:picture") == 0 || strcmp(xmlns, "w:g2") == 0 ||
	    strcmp(xmlns, "w:biz") == 0 || strcmp(xmlns, "status") == 0)
		return 404;
	if (strcmp(xmlns, "w:m") == 0)
		return 503; /* no media host here */
	return 501;
}
