/* Where a stanza of a device goes: one table, one rule a kind. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/sim/appstate.h"
#include "tests/sim/calls.h"
#include "tests/sim/devices.h"
#include "tests/sim/expect.h"
#include "tests/sim/faults.h"
#include "tests/sim/loop.h"
#include "tests/sim/message.h"
#include "tests/sim/mex.h"
#include "tests/sim/nodes.h"
#include "tests/sim/offline.h"
#include "tests/sim/pairing.h"
#include "tests/sim/prekeys.h"
#include "tests/sim/presence.h"
#include "tests/sim/receipt.h"
#include "tests/sim/rng.h"
#include "tests/sim/route.h"
#include "tests/sim/services.h"
#include "tests/sim/tokens.h"
#include "tests/sim/stanza_log.h"
#include "tests/sim/usync.h"

struct route_stats route_stats;

struct rule {
	const char *xmlns, *type, *child; /* NULL = any */
	int phone_only;
	void (*run)(struct origin *o, const struct node *iq);
};

static const struct rule iq_rules[] = {
    {"encrypt", "get", "count", 0, prekeys_count},
    {"encrypt", "get", "key", 0, prekeys_fetch},
    {"encrypt", "get", "digest", 0, prekeys_digest},
    {"encrypt", "set", "rotate", 0, prekeys_rotate},
    {"encrypt", "set", "registration", 0, prekeys_upload},
    {"passive", "set", "active", 0, services_active},
    {"passive", "set", "passive", 0, services_passive},
    {"w:p", NULL, NULL, 0, services_ping},
    {"urn:xmpp:ping", "get", NULL, 0, services_ping},
    {"usync", "get", "usync", 0, usync_query},
    {"w:mex", "get", "query", 0, mex_query},
    {"abt", "get", "props", 0, services_props},
    {"privacy", "get", "privacy", 0, services_privacy_get},
    {"privacy", "set", "privacy", 0, services_privacy_set},
    {"privacy", "set", "tokens", 0, tokens_in},
    {"blocklist", "get", NULL, 0, services_blocklist_get},
    {"blocklist", "set", NULL, 0, services_blocklist_set},
    {"w:sync:app:state", "set", NULL, 0, appstate_query},
    {"w:g2", "get", "participating", 0, services_participating},
    {"disappearing_mode", "get", NULL, 0, services_disappearing_mode},
    {"urn:xmpp:whatsapp:dirty", "set", NULL, 0, services_accept},
    {"urn:xmpp:whatsapp:push", NULL, NULL, 0, services_accept},
    {"w:stats", "set", NULL, 0, services_accept},
    {"md", "set", "pair-device", 1, pairing_upload},
    {"md", "set", "key-index-list", 1, devices_key_index_list},
    {"md", "set", "link_code_companion_reg", 1, pairing_primary_hello},
    {"md", "set", "remove-companion-device", 0, devices_remove},
};

static const struct {
	const char *tag;
	void (*run)(struct origin *o, const struct node *n);
} stanza_rules[] = {
    {"message", message_in},
    {"receipt", receipt_in},
    {"ack", receipt_ack_in},
    {"presence", presence_in},
    {"chatstate", presence_chatstate_in},
    {"ib", services_ib},
    {"call", calls_in},
};

void
route_reply(struct origin *o, struct node *n)
{
	if (o->conn != NULL) {
		conn_send(o->conn, n);
		node_free(n);
		return;
	}
	node_free(o->answer);
	o->answer = n;
}

void
route_result(struct origin *o, const struct node *iq)
{
	route_reply(o, nodes_result(iq));
}

void
route_error(struct origin *o, const struct node *iq, int code)
{
	route_reply(o, nodes_error(iq, code, NULL));
}

const char *
route_id(char out[32])
{
	static uint32_t base;
	static uint64_t n;

	if (base == 0)
		base = 100000000 + rng_below(800000000);
	snprintf(out, 32, "%u-%llu", base, (unsigned long long)++n);
	return out;
}

struct node *
route_notification(const char *type)
{
	struct node *n = node_new("notification");
	char id[32];

	node_set_server(n, "from", JID_PN);
	node_set(n, "type", type);
	node_set(n, "id", route_id(id));
	node_setf(n, "t", "%lld", (long long)loop_now());
	return n;
}

static void
iq_in(struct origin *o, const struct node *iq)
{
	const char *xmlns = nodes_attr(iq, "xmlns"), *type = nodes_attr(iq, "type");

	route_stats.iqs++;
	if (strcmp(type, "get") != 0 && strcmp(type, "set") != 0)
		return; /* an answer to us; nothing waits for one here */
	for (size_t i = 0; i < sizeof(iq_rules) / sizeof(iq_rules[0]); i++) {
		const struct rule *r = &iq_rules[i];

		if (strcmp(r->xmlns, xmlns) != 0 ||
		    (r->type != NULL && strcmp(r->type, type) != 0) ||
		    (r->child != NULL && node_child(iq, r->child) == NULL) ||
		    (r->phone_only && o->dev->id != 0))
			continue;
		r->run(o, iq);
		return;
	}
	route_stats.unknown++;
	route_error(o, iq, services_missing_code(iq));
}

static void
dispatch(struct origin *o, const struct node *n)
{
	route_stats.stanzas_in++;
	if (o->dev == NULL) {
		pairing_stanza(o, n);
		return;
	}
	if (strcmp(n->tag, "iq") == 0) {
		iq_in(o, n);
		return;
	}
	for (size_t i = 0; i < sizeof(stanza_rules) / sizeof(stanza_rules[0]); i++)
		if (strcmp(n->tag, stanza_rules[i].tag) == 0) {
			stanza_rules[i].run(o, n);
			return;
		}
	route_stats.unknown++;
}

void
route_conn(struct conn *c, const struct node *n)
{
	struct origin o = {conn_device(c), c, NULL};

	dispatch(&o, n);
}

struct late {
	struct device *phone;
	struct node *n;
};

static void
late_free(void *arg)
{
	struct late *l = arg;

	node_free(l->n);
	free(l);
}

static void
late_phone(void *arg)
{
	struct late *l = arg;
	struct origin o = {l->phone, NULL, NULL};

	dispatch(&o, l->n);
	node_free(o.answer);
	late_free(l);
}

/* Faults on what a phone sends. 1 = it is not to be handled now (n is taken). */
static int
phone_faulty(struct origin *o, struct node *n, const struct verdict *v)
{
	struct late *l;

	faults_change(n, v);
	if (v->delay_ms > 0 && !v->drop) {
		if ((l = calloc(1, sizeof(*l))) == NULL)
			fatal("delayed stanza");
		l->phone = o->dev;
		l->n = n;
		loop_after(v->delay_ms, late_phone, l, late_free);
		return 1;
	}
	if (v->error != 0)
		o->answer = nodes_error(n, v->error, NULL);
	if (v->drop || v->error != 0) {
		node_free(n);
		return 1;
	}
	if (v->duplicate)
		dispatch(o, n);
	return 0;
}

struct node *
route_phone(struct device *phone, struct node *n)
{
	struct party p = {phone->account, 0, 0};
	struct origin o = {phone, NULL, NULL};
	struct verdict v;

	if (n == NULL)
		return NULL;
	stanza_log_write(&p, DIR_IN, n);
	expect_seen(&p, DIR_IN, n);
	if (faults_check(&p, DIR_IN, n, &v) && phone_faulty(&o, n, &v))
		return o.answer;
	dispatch(&o, n);
	if (o.answer != NULL) {
		stanza_log_write(&p, DIR_OUT, o.answer);
		expect_seen(&p, DIR_OUT, o.answer);
	}
	node_free(n);
	return o.answer;
}
