/* The simulated phone: its life, the stanzas that reach it, its receipts and settings. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/sim/loop.h"
#include "tests/sim/map.h"
#include "tests/sim/nodes.h"
#include "tests/sim/offline.h"
#include "tests/sim/phone_impl.h"
#include "tests/sim/rng.h"
#include "tests/sim/route.h"

#define KEPT 200000

struct phone *
phone_new(struct device *self)
{
	struct phone *p = calloc(1, sizeof(*p));

	if (p == NULL)
		fatal("phone");
	p->self = self;
	p->account = self->account;
	p->signal = phone_signal_new();
	p->set.on = p->set.receipts = p->set.provision = p->set.tokens = p->set.gives = 1;
	snprintf(p->forge, sizeof(p->forge), "none");
	records_init(&p->inbox, KEPT);
	records_init(&p->receipts, KEPT);
	p->retries = map_new();
	p->secrets = map_new();
	/* epoch 1 of device 0 */
	p->sync_key_id[5] = 1;
	rng_bytes(p->sync_key, sizeof(p->sync_key));
	phone_signal_public(p->signal, &self->keys);
	return p;
}

void
phone_free(struct phone *p)
{
	for (size_t i = 0; i < SENT_KEPT; i++)
		free(p->sent[i].message);
	records_clear(&p->inbox);
	records_clear(&p->receipts);
	map_free(p->retries);
	phone_held_free(p);
	free(p->tokens);
	map_free(p->secrets);
	phone_signal_free(p->signal);
	free(p);
}

struct device *
phone_device(const struct phone *p)
{
	return p->self;
}

int
phone_is_on(const struct phone *p)
{
	return p->set.on;
}

int
phone_pump_due(struct phone *p)
{
	int due = !p->pump_due;

	p->pump_due = 1;
	return due;
}

void
phone_pumped(struct phone *p)
{
	p->pump_due = 0;
}

struct phone_settings *
phone_settings(struct phone *p)
{
	return &p->set;
}

void
phone_settings_changed(struct phone *p)
{
	struct device *d;

	if (!p->set.on)
		return;
	offline_pump(p->self);
	TAILQ_FOREACH(d, &p->account->devices, link)
	if (d->id != 0 && d->phase >= DEVICE_BACKLOG)
		phone_new_companion(p, d);
}

void
phone_new_companion(struct phone *p, struct device *d)
{
	if (d->provisioned || !p->set.on)
		return;
	d->provisioned = 1;
	if (p->set.provision)
		phone_provision(p, d);
}

void
phone_make_prekey(struct phone *p, struct prekey *out)
{
	phone_signal_make_prekey(p->signal, out);
}

void
phone_forget_device(struct phone *p, unsigned id)
{
	struct jid lid = account_lid(p->account);

	lid.device = (uint16_t)id;
	phone_signal_forget(p->signal, &lid);
}

void
phone_begin_anew(struct phone *p)
{
	phone_signal_free(p->signal);
	p->signal = phone_signal_new();
	for (size_t i = 0; i < SENT_KEPT; i++)
		free(p->sent[i].message);
	memset(p->sent, 0, sizeof(p->sent));
	map_free(p->retries);
	p->retries = map_new();
	phone_signal_public(p->signal, &p->self->keys);
}

struct jid
phone_signal_name(const struct jid *device)
{
	struct account *a = account_of(device);
	struct jid j = *device;

	if (a != NULL && !account_is_lid(device)) {
		j = account_lid(a);
		j.device = device->device;
	}
	return j;
}

struct node *
phone_iq(struct phone *p, const char *type, const char *xmlns)
{
	struct node *iq = node_new("iq");

	node_setf(iq, "id", "phone-%llu", (unsigned long long)++p->next_iq);
	node_set_server(iq, "to", JID_PN);
	node_set(iq, "type", type);
	node_set(iq, "xmlns", xmlns);
	return iq;
}

void
phone_send_node(struct phone *p, struct node *n)
{
	node_free(route_phone(p->self, n));
}

void
phone_answer(struct phone *p, const struct node *n)
{
	struct node *a = node_new("ack");
	struct jid from;

	node_set(a, "class", n->tag);
	nodes_copy_attr(a, n, "id");
	if (node_get_jid(n, "from", &from) == 0) {
		if (jid_is_server(&from))
			node_set_server(a, "to", from.server);
		else
			node_set_jid(a, "to", &from);
	}
	nodes_copy_attr(a, n, "participant");
	nodes_copy_attr(a, n, "recipient");
	if (strcmp(n->tag, "message") != 0)
		nodes_copy_attr(a, n, "type");
	phone_send_node(p, a);
}

static void
keep_receipt(struct phone *p, const struct node *n, const char *id)
{
	struct record *r = records_add(&p->receipts);
	const struct node *retry = node_child(n, "retry");
	const char *type = nodes_attr(n, "type");

	if (retry != NULL)
		r->more = json_pack("{s:I,s:I,s:b}", "count",
		    (json_int_t)node_get_int(retry, "count", 100), "error",
		    (json_int_t)node_get_int(retry, "error", 100), "keys",
		    node_child(n, "keys") != NULL);
	snprintf(r->id, sizeof(r->id), "%s", id);
	snprintf(r->from, sizeof(r->from), "%s", nodes_attr(n, "from"));
	snprintf(r->chat, sizeof(r->chat), "%s", nodes_attr(n, "recipient"));
	snprintf(r->kind, sizeof(r->kind), "%s", type[0] == '\0' ? "delivery" : type);
	snprintf(r->type, sizeof(r->type), "receipt");
	r->t = node_get_int(n, "t", INT64_MAX);
	r->at_ms = loop_now_ms();
}

static void
receipt(struct phone *p, const struct node *n)
{
	const struct node *list = node_child(n, "list");

	keep_receipt(p, n, nodes_attr(n, "id"));
	for (size_t i = 0; list != NULL && i < list->nchildren; i++)
		keep_receipt(p, n, nodes_attr(list->children[i], "id"));
	if (strcmp(nodes_attr(n, "type"), "retry") == 0)
		phone_resend(p, n);
	phone_answer(p, n);
}

void
phone_stanza(struct phone *p, const struct node *n)
{
	if (strcmp(n->tag, "message") == 0) {
		phone_message(p, n);
	} else if (strcmp(n->tag, "receipt") == 0) {
		receipt(p, n);
	} else if (strcmp(n->tag, "notification") == 0) {
		if (strcmp(nodes_attr(n, "type"), "link_code_companion_reg") == 0)
			phone_code_notification(p, n);
		else if (strcmp(nodes_attr(n, "type"), "privacy_token") == 0)
			phone_token_in(p, n);
		phone_answer(p, n);
	} else if (strcmp(n->tag, "call") == 0) {
		phone_answer(p, n); /* its user looks away; what he does is up to the test */
	}
}

size_t
phone_read(struct phone *p, const char *const *ids, size_t n)
{
	size_t done = 0;

	for (size_t i = 0; i < n; i++) {
		struct record *r = records_find(&p->inbox, ids[i]);
		struct node *x;
		struct jid chat;

		if (r == NULL || r->own || jid_parse(r->chat, &chat) != 0)
			continue;
		x = node_new("receipt");
		node_set(x, "id", r->id);
		node_set_jid(x, "to", &chat);
		node_set(x, "type", "read");
		node_setf(x, "t", "%lld", (long long)loop_now());
		phone_send_node(p, x);
		done++;
	}
	return done;
}

json_t *
phone_inbox(const struct phone *p, uint64_t after, size_t limit)
{
	return records_json(&p->inbox, after, limit);
}

json_t *
phone_receipts(const struct phone *p, uint64_t after, size_t limit)
{
	return records_json(&p->receipts, after, limit);
}

uint64_t
phone_inbox_last(const struct phone *p)
{
	return p->inbox.last;
}

uint64_t
phone_receipts_last(const struct phone *p)
{
	return p->receipts.last;
}
