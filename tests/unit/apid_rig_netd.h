/* netd and the service behind it, as the tests of the engine play them. */
#ifndef WARD_TEST_RIG_NETD_H
#define WARD_TEST_RIG_NETD_H

#include "tests/unit/apid_rig.h"

static void
rig_in(struct node *n)
{
	struct buf b = BUF_INIT;
	Netd__Stanza m = NETD__STANZA__INIT;
	char name[] = "a";

	assert_int_equal(node_encode(n, &b), 0);
	m.account = name;
	m.conn = rig.conn;
	m.node.data = b.data;
	m.node.len = b.len;
	channel_notify(rig.netd, NETD__TYPE__STANZA_IN, &m.base);
	buf_clear(&b);
	node_free(n);
}

static void __attribute__((unused)) rig_in_bytes(const void *bytes, size_t len)
{
	Netd__Stanza m = NETD__STANZA__INIT;
	char name[] = "a";

	m.account = name;
	m.conn = rig.conn;
	m.node.data = (uint8_t *)(uintptr_t)bytes;
	m.node.len = len;
	channel_notify(rig.netd, NETD__TYPE__STANZA_IN, &m.base);
}

static void
rig_link(Netd__LinkState__State state, const char *reason)
{
	Netd__LinkState m = NETD__LINK_STATE__INIT;
	char name[] = "a";

	m.account = name;
	m.conn = rig.conn;
	m.state = state;
	m.reason = (char *)(uintptr_t)reason;
	channel_notify(rig.netd, NETD__TYPE__LINK_STATE, &m.base);
}

static struct node *
rig_answer(const struct node *iq)
{
	struct node *n = node_new("iq");

	node_set(n, "id", node_get(iq, "id"));
	node_set_server(n, "from", JID_PN);
	return node_set(n, "type", "result");
}

static void
rig_usync(const struct node *iq)
{
	const struct node *asked = node_child(node_child(iq, "usync"), "list");
	struct node *a = rig_answer(iq), *u = node_new("usync"), *list = node_new("list");

	for (size_t i = 0; i < asked->nchildren; i++) {
		struct node *user = node_new("user"), *d = node_new("devices");
		struct node *dl = node_new("device-list"), *lid = node_new("lid");
		const char *who = node_get(asked->children[i], "jid");
		char ids[64], *save = NULL;
		struct jid j;

		assert_int_equal(node_get_jid(asked->children[i], "jid", &j), 0);
		node_set_jid(user, "jid", &j);
		snprintf(ids, sizeof(ids), "%s",
		    strstr(who, "00022") != NULL || strstr(who, "000002") != NULL ? rig.bob_devices
										  : "0");
		for (char *p = strtok_r(ids, ",", &save); p != NULL; p = strtok_r(NULL, ",", &save))
			node_set(node_set(node_child_new(dl, "device"), "id", p), "key-index", "1");
		node_add(d, dl);
		/* ADVSignedKeyIndexList{details{current_index 0}}: all are newer */
		node_add_bytes(d, "key-index-list", "\x0a\x02\x18\x00", 4);
		node_add(user, d);
		if (strcmp(j.server, JID_PN) == 0 && strcmp(j.user, "15550002222") == 0) {
			node_set(lid, "val", RIG_BOB_LID);
			node_add(user, lid);
		} else {
			node_free(lid);
		}
		node_add(list, user);
	}
	node_add(u, list);
	rig_in(node_add(a, u));
}

static void
rig_bundles(const struct node *iq)
{
	const struct node *key = node_child(iq, "key");
	struct node *a = rig_answer(iq), *list = node_new("list");
	uint8_t reg[4] = {0, 0, 0, 9}, id[3] = {0, 0, 7}, pub[32] = {5}, sig[64] = {6};

	for (size_t i = 0; i < key->nchildren; i++) {
		struct node *user = node_new("user"), *s = node_new("skey"), *k = node_new("key");
		struct jid j;

		assert_int_equal(node_get_jid(key->children[i], "jid", &j), 0);
		node_set_jid(user, "jid", &j);
		node_add_bytes(user, "registration", reg, 4);
		node_add_bytes(user, "identity", pub, 32);
		node_add_bytes(s, "id", id, 3);
		node_add_bytes(s, "value", pub, 32);
		node_add_bytes(s, "signature", sig, 64);
		node_add(user, s);
		node_add_bytes(k, "id", id, 3);
		node_add_bytes(k, "value", pub, 32);
		node_add(user, k);
		node_add(list, user);
	}
	rig_in(node_add(a, list));
}

static void
rig_ack_receipt(const struct node *n)
{
	struct node *k = node_new("ack");

	node_set(k, "class", "receipt");
	node_set(k, "id", node_get(n, "id"));
	node_set(k, "from", node_get(n, "to"));
	node_set(k, "type", node_get(n, "type"));
	rig_in(k);
}

static void
rig_privacy(const struct node *iq)
{
	struct node *a = rig_answer(iq), *p = node_new("privacy"),
		    *c = node_child_new(p, "category");

	node_set(c, "name", "readreceipts");
	node_set(c, "value", rig.no_read_receipts ? "none" : "all");
	rig_in(node_add(a, p));
}

static void
rig_on_abt(const struct node *iq)
{
	struct node *a = rig_answer(iq), *p = node_child_new(a, "props"), *c;
	const char *with = node_get(node_child(iq, "props"), "hash");

	rig.props_asked++;
	snprintf(
	    rig.props_asked_with, sizeof(rig.props_asked_with), "%s", with != NULL ? with : "");
	node_set(p, "protocol", "1");
	if (rig.prop_hash != NULL)
		node_set(p, "hash", rig.prop_hash);
	if (rig.prop_delta)
		node_set(p, "delta_update", "true");
	for (size_t i = 0; i < 8 && rig.prop[i][0] != NULL; i++) {
		c = node_child_new(p, "prop");
		node_set(c, "config_code", rig.prop[i][0]);
		node_set(c, "config_value", rig.prop[i][1]);
	}
	c = node_child_new(p, "prop");
	node_set(c, "event_code", "5138");
	node_set(c, "sampling_weight", "-1");
	rig_in(a);
}

static void
rig_on_clean(const struct node *iq)
{
	const struct node *c = node_child(iq, "clean");

	assert_non_null(c);
	rig.cleans++;
	snprintf(rig.clean_type, sizeof(rig.clean_type), "%s", node_get(c, "type"));
	snprintf(rig.clean_t, sizeof(rig.clean_t), "%s", node_get(c, "timestamp"));
	rig_in(rig_answer(iq));
}

static void
rig_on_mex(const struct node *iq)
{
	struct node *a;

	rig.mex_asked++;
	if (rig.mex != NULL && rig.mex[0] == '\0')
		return;
	a = rig_answer(iq);
	if (rig.mex != NULL)
		node_set_bytes(node_child_new(a, "result"), rig.mex, strlen(rig.mex));
	rig_in(a);
}

/* The service answers what every login asks. */
static void
rig_service(const struct node *n)
{
	const char *xmlns = node_get(n, "xmlns"), *type = node_get(n, "type");

	if (node_is(n, "receipt") && type != NULL && !rig.mute &&
	    (strncmp(type, "read", 4) == 0 || strncmp(type, "played", 6) == 0)) {
		rig_ack_receipt(n);
		return;
	}
	if (!node_is(n, "iq") || xmlns == NULL || rig.mute)
		return;
	if (rig.refuse_xmlns != NULL && strcmp(xmlns, rig.refuse_xmlns) == 0) {
		struct node *a = rig_answer(n);

		node_set(a, "type", "error");
		node_set(node_child_new(a, "error"), "code", "500");
		rig_in(a);
	} else if (strcmp(xmlns, "w:mex") == 0) {
		rig_on_mex(n);
	} else if (strcmp(xmlns, "abt") == 0) {
		rig_on_abt(n);
	} else if (strcmp(xmlns, "urn:xmpp:whatsapp:dirty") == 0) {
		rig_on_clean(n);
	} else if (node_child(n, "count") != NULL) {
		struct node *c = node_new("count");

		node_set(c, "value", "100");
		rig_in(node_add(rig_answer(n), c));
	} else if (strcmp(xmlns, "usync") == 0) {
		rig_usync(n);
	} else if (strcmp(xmlns, "encrypt") == 0 && node_child(n, "key") != NULL) {
		rig_bundles(n);
	} else if (strcmp(xmlns, "privacy") == 0 && node_child(n, "privacy") != NULL) {
		rig_privacy(n);
	} else {
		rig_in(rig_answer(n));
	}
}

static int
rig_on_stanza(struct message *msg, void *owner)
{
	const Netd__Stanza *m = (const Netd__Stanza *)msg->pb;
	struct node *n = node_decode(m->node.data, m->node.len, NULL);

	assert_non_null(n);
	if (m->conn != rig.conn) {
		node_free(n);
		return 0;
	}
	assert_true(rig.nout < RIG_OUT_MAX);
	rig.out[rig.nout++] = n;
	rig_service(n);
	return 0;
}

static int
rig_on_up(struct message *msg, void *owner)
{
	const Netd__LinkUp *m = (const Netd__LinkUp *)msg->pb;

	rig.ups++;
	rig.restarts += m->has_restart && m->restart;
	rig.delay_ms = m->has_min_delay_ms ? m->min_delay_ms : 0;
	return 0;
}

static int
rig_on_down(struct message *msg, void *owner)
{
	rig.downs++;
	return 0;
}

static int
rig_on_good(struct message *msg, void *owner)
{
	return 0;
}

static const struct channel_row rig_netd_rows[] = {
    NOTE(NETD, LINK_UP, netd__link_up, rig_on_up),
    NOTE(NETD, LINK_DOWN, netd__link_down, rig_on_down),
    NOTE(NETD, LINK_GOOD, netd__link_good, rig_on_good),
    NOTE(NETD, STANZA_OUT, netd__stanza, rig_on_stanza),
};

#endif
