/* usync: device lists, LIDs, who is registered. */
#include <string.h>

#include "tests/sim/devices.h"
#include "tests/sim/nodes.h"
#include "tests/sim/usync.h"

/* What one user of the question is: the JID as asked, or the number in <contact>. */
static struct account *
asked(const struct node *user, struct jid *jid)
{
	const struct node *contact = node_child(user, "contact");
	char number[32];
	size_t n = 0;

	if (node_get_jid(user, "jid", jid) == 0 && !jid_is_server(jid)) {
		*jid = jid_bare(jid);
		return account_of(jid);
	}
	if (contact == NULL || !contact->has_bytes)
		return NULL;
	for (size_t i = 0; i < contact->nbytes && n + 1 < sizeof(number); i++)
		if (contact->bytes[i] >= '0' && contact->bytes[i] <= '9')
			number[n++] = (char)contact->bytes[i];
	number[n] = '\0';
	return n > 0 && jid_make(jid, number, JID_PN, 0) == 0 ? account_of(jid) : NULL;
}

static void
put_devices(struct node *user, struct account *a)
{
	struct node *devices = node_child_new(user, "devices"), *list, *n;
	struct device *d;
	char hash[16];

	list = node_child_new(devices, "device-list");
	if (a == NULL)
		return;
	account_phash(&a, 1, 0, hash);
	node_set(list, "hash", hash);
	TAILQ_FOREACH(d, &a->devices, link)
	{
		n = node_child_new(list, "device");
		node_setf(n, "id", "%u", d->id);
		if (d->id != 0)
			node_setf(n, "key-index", "%u", d->key_index);
	}
	devices_put_list(devices, a);
}

static void
put_answer(struct node *user, const char *protocol, struct account *a, const struct node *question)
{
	struct jid lid;
	struct node *n;

	if (strcmp(protocol, "devices") == 0) {
		put_devices(user, a);
	} else if (strcmp(protocol, "lid") == 0) {
		if (a == NULL || a->lid_hidden)
			return;
		lid = account_jid(a, 1);
		node_set_jid(node_child_new(user, "lid"), "val", &lid);
	} else if (strcmp(protocol, "contact") == 0) {
		n = node_child_new(user, "contact");
		node_set(n, "type", a != NULL ? "in" : "out");
		if (question != NULL && question->has_bytes)
			node_set_bytes(n, question->bytes, question->nbytes);
	} else if (strcmp(protocol, "disappearing_mode") == 0) {
		n = node_child_new(user, "disappearing_mode");
		node_set(n, "duration", "0");
	} else if (strcmp(protocol, "status") == 0 || strcmp(protocol, "picture") == 0 ||
		   strcmp(protocol, "business") == 0) {
		node_child_new(user, protocol);
	}
}

static void
put_user(struct origin *o, struct node *list, const struct node *query, const struct node *q)
{
	struct account *a;
	struct jid jid, pn;
	struct node *user;

	if ((a = asked(q, &jid)) == NULL && node_get(q, "jid") == NULL &&
	    node_child(q, "contact") == NULL)
		return;
	user = node_child_new(list, "user");
	if (a != NULL || node_get(q, "jid") != NULL)
		node_set_jid(user, "jid", &jid);
	if (a != NULL) {
		account_asked(a, o->dev->account);
		if (account_is_lid(&jid)) {
			pn = account_jid(a, 0);
			node_set_jid(user, "pn_jid", &pn);
		}
	}
	for (size_t i = 0; i < query->nchildren; i++)
		put_answer(
		    user, query->children[i]->tag, a, node_child(q, query->children[i]->tag));
}

void
usync_query(struct origin *o, const struct node *iq)
{
	const struct node *usync = node_child(iq, "usync");
	const struct node *query = node_child(usync, "query"), *list = node_child(usync, "list");
	struct node *a, *u, *result, *out;

	if (query == NULL || list == NULL) {
		route_error(o, iq, 400);
		return;
	}
	a = nodes_result(iq);
	u = node_child_new(a, "usync");
	nodes_copy_attr(u, usync, "sid");
	nodes_copy_attr(u, usync, "mode");
	nodes_copy_attr(u, usync, "context");
	node_set(u, "index", "0");
	node_set(u, "last", "true");
	result = node_child_new(u, "result");
	for (size_t i = 0; i < query->nchildren; i++)
		node_child_new(result, query->children[i]->tag);
	out = node_child_new(u, "list");
	for (size_t i = 0; i < list->nchildren; i++)
		if (node_is(list->children[i], "user"))
			put_user(o, out, query, list->children[i]);
	route_reply(o, a);
}
