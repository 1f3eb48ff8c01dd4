/* The service says that somebody was registered anew, or a message has shown it: what was known of
 * his devices is forgotten (protocol page 12, 11; page 04, 13.1 and 13.2). */
#include <stdlib.h>
#include <string.h>

#include "apid/message/bundle.h"
#include "apid/message/held.h"
#include "apid/message/identity.h"
#include "apid/message/tctoken.h"
#include "apid/session/ask.h"
#include "apid/session/devices.h"
#include "apid/session/stanza.h"
#include "common/log.h"
#include "ipc/frame.h"

#define KEYD_DEADLINE 30000u

struct change {
	struct flow f; /* first */
	struct account *a;
	uint64_t conn;
	struct node *ack; /* NULL: nobody waits for one */
	struct jid who;   /* the primary, bare */
	struct jid alt;   /* in the other namespace, if the service says so */
	int has_alt;
	int companions; /* only they: the primary's new identity is known already */
	const char *origin;
	int64_t time_ms;

	struct contacts_request *lookup;
	struct person party;
	struct identity_addresses at;
	struct ask *ask;
	struct unit *unit;
	int open;
	int known; /* an identity of his was stored */
	struct bundle_request *bundles;
	struct bundle bundle;
};

static void
change_end(struct flow *f, const char *outcome, const char *text)
{
	struct change *c = (struct change *)f;

	contacts_cancel(c->lookup);
	ask_cancel(c->ask);
	bundle_cancel(c->bundles);
	bundle_clear(&c->bundle);
	if (c->open)
		unit_abort(c->unit);
	else
		unit_detach(c->unit);
	node_free(c->ack);
	free(c);
}

static const struct flow_kind change_kind = {"identity", change_end};

/* Not acked: it comes again. */
static void
change_failed(struct change *c, const char *why)
{
	struct account *a = c->a;
	int acked = c->ack == NULL, current = c->conn == a->conn;

	flow_end(&c->f, why, "the notification comes again");
	if (!acked && current)
		account_store_failed(a, why);
}

/* ------------------------------------------------------------------ a new session */

static void
built_written(const struct unit_result *r, void *arg)
{
	struct change *c = arg;

	c->unit = NULL;
	flow_end(&c->f, r->ok ? NULL : r->reason, "the next message makes the session");
}

static void
built(const struct reply *rp, void *arg)
{
	struct change *c = arg;
	const Keyd__EncryptReply *m = (const Keyd__EncryptReply *)rp->pb;
	struct identity_news news = {.party = &c->party,
	    .implicit = 1,
	    .held = 1,
	    .held_messages = held_of(c->a, &c->party),
	    .origin = "live",
	    .time_ms = c->time_ms};

	c->ask = NULL;
	if (!rp->ok || m->n_results != 1) {
		flow_end(
		    &c->f, rp->ok ? "internal" : rp->code, "the next message makes the session");
		return;
	}
	flow_step(&c->f, "built_written");
	unit_staged(c->unit, m->stages);
	if (m->results[0]->change != NULL) {
		news.held = m->results[0]->outcome == KEYD__ENCRYPT_RESULT__OUTCOME__UNTRUSTED;
		identity_news_take(&news, m->results[0]->change);
		identity_event(c->unit, &news);
		c->a->n.identity_changes++;
	}
	c->open = 0;
	unit_commit(c->unit, built_written, c);
}

/* keyd makes a session when it encrypts; this text is not sent, and the peer steps over it. */
static void
bundle_came(struct bundle *b, size_t n, const char *why, unsigned code, void *arg)
{
	static uint8_t padding = 1;
	struct change *c = arg;
	Keyd__Encrypt m = KEYD__ENCRYPT__INIT;
	Keyd__EncryptItem item = KEYD__ENCRYPT_ITEM__INIT, *items[1] = {&item};
	ProtobufCBinaryData plain = {1, &padding};
	struct bundle_pb pb;

	c->bundles = NULL;
	if (why != NULL || n != 1 || !b[0].ok || (c->unit = unit_open(c->a)) == NULL) {
		flow_end(&c->f, "no_bundle", "the next message makes the session");
		return;
	}
	flow_step(&c->f, "built");
	c->open = 1;
	c->bundle = b[0];
	b[0].device_identity = NULL; /* taken */
	bundle_fill(&c->bundle, &pb);
	item.address = c->at.list[0];
	item.bundle = &pb.bundle;
	m.account = c->a->name;
	m.unit = unit_id(c->unit);
	m.plaintexts = &plain;
	m.n_plaintexts = 1;
	m.items = items;
	m.n_items = 1;
	c->ask = ask_keyd(c->a, KEYD__TYPE__ENCRYPT, &m.base, KEYD__TYPE__ENCRYPT_REPLY,
	    &keyd__encrypt_reply__descriptor, 64 * 1024, KEYD_DEADLINE, built, c);
}

static void
written(const struct unit_result *r, void *arg)
{
	struct change *c = arg;
	struct account *a = c->a;

	c->unit = NULL;
	if (!r->ok) {
		change_failed(c, r->reason);
		return;
	}
	if (c->ack != NULL && c->conn == a->conn)
		(void)stanza_send(a, c->ack);
	else
		node_free(c->ack);
	c->ack = NULL;
	if (c->known)
		tctoken_identity_changed(a, &c->party);
	if (!c->known || c->companions || a->state != ACCOUNT_ONLINE) {
		flow_end(&c->f, NULL, NULL);
		return;
	}
	flow_step(&c->f, "bundle_came");
	c->bundles = bundle_fetch(a, &c->who, 1, bundle_came, c);
}

/* ------------------------------------------------------------------ forgetting */

static void
commit(struct change *c)
{
	flow_step(&c->f, "written");
	c->open = 0;
	unit_commit(c->unit, written, c);
}

static void
forgotten(const struct reply *rp, void *arg)
{
	struct change *c = arg;
	const Keyd__IdentityForgetReply *m = (const Keyd__IdentityForgetReply *)rp->pb;
	struct identity_news news = {.party = &c->party,
	    .held_messages = held_of(c->a, &c->party),
	    .origin = c->origin,
	    .time_ms = c->time_ms};

	c->ask = NULL;
	if (!rp->ok && strcmp(rp->code, "store") != 0) {
		change_failed(c, rp->code);
		return;
	}
	c->known = !rp->ok || c->companions; /* a read that fails counts as known */
	if (!rp->ok) {
		contacts_forget_session(c->a, &c->who);
		log_warnx("account %s: the sessions of somebody who was registered anew could not "
			  "be dropped: %s",
		    c->a->name, rp->code);
	} else {
		unit_staged(c->unit, m->stages);
	}
	for (size_t i = 0; rp->ok && i < m->n_identities && i < c->at.n; i++) {
		const Keyd__Identity *was = m->identities[i];

		if (!was->has_key || was->key.len != 32 || c->at.pb[i].device != 0)
			continue;
		c->known = 1;
		if (news.old_key == NULL)
			news.old_key = was->key.data;
		news.was_verified |= was->state == KEYD__IDENTITY_STATE__VERIFIED;
		news.held |= was->state == KEYD__IDENTITY_STATE__HELD;
	}
	if (c->known && !c->companions) {
		identity_event(c->unit, &news);
		c->a->n.identity_changes++;
	}
	commit(c);
}

/* All of his devices, or all but the primary. */
static void
forget(struct change *c, const Stored__LookupReply *lists)
{
	Keyd__IdentityForget m = KEYD__IDENTITY_FORGET__INIT;
	Keyd__Address *list[IDENTITY_ADDRESSES_MAX];

	identity_addresses(c->a, &c->party, lists->n_peers > 0 ? lists->peers[0] : NULL, &c->at);
	for (size_t i = 0; i < c->at.n; i++)
		if (!c->companions || c->at.pb[i].device != 0)
			list[m.n_addresses++] = c->at.list[i];
	m.account = c->a->name;
	m.unit = unit_id(c->unit);
	m.addresses = list;
	flow_step(&c->f, "forgotten");
	c->ask =
	    ask_keyd(c->a, KEYD__TYPE__IDENTITY_FORGET, &m.base, KEYD__TYPE__IDENTITY_FORGET_REPLY,
		&keyd__identity_forget_reply__descriptor, 256 * 1024, KEYD_DEADLINE, forgotten, c);
}

static void
known(const struct person *people, size_t n, const Stored__LookupReply *lists, const char *why,
    void *arg)
{
	struct change *c = arg;

	c->lookup = NULL;
	if (why == NULL && (c->unit = unit_open(c->a)) == NULL)
		why = "memory";
	if (why != NULL) {
		change_failed(c, why);
		return;
	}
	c->open = 1;
	c->party = people[0];
	devices_drop(c->a, &c->who, c->unit);
	if (c->has_alt)
		devices_drop(c->a, &c->alt, c->unit);
	if (people[0].id[0] == '\0')
		commit(c); /* nobody whom we know */
	else
		forget(c, lists);
}

static struct change *
change_new(struct account *a, const struct jid *who)
{
	struct change *c = calloc(1, sizeof(*c));

	if (c == NULL)
		fatal("identity: change");
	flow_init(&c->f, a->svc->flows, &change_kind, a->name, a, 0);
	c->a = a;
	c->conn = a->conn;
	c->who = jid_bare(who);
	return c;
}

static void
begin(struct change *c)
{
	char name[JID_TEXT_MAX];
	const char *names[1];

	flow_step(&c->f, "known");
	names[0] = jid_format(&c->who, name);
	c->lookup = contacts_ask(c->a, names, 1, 1, known, c);
}

void
identity_in(struct account *a, const struct node *n)
{
	struct change *c;
	struct jid who;

	if (node_get_jid(n, "from", &who) == -1 || who.user[0] == '\0' || who.device != 0 ||
	    account_is_own(a, &who)) {
		stanza_ack(a, n, 0);
		return;
	}
	c = change_new(a, &who);
	c->ack = stanza_ack_new(a, n, 0);
	c->origin = stanza_origin(n);
	c->time_ms = stanza_time_ms(a, n);
	if (node_get_jid(n, "lid", &c->alt) == 0 && jid_is_lid(&c->alt)) {
		c->alt = jid_bare(&c->alt);
		c->has_alt = 1;
		if (jid_is_pn(&c->who))
			contacts_learn_pair(a, c->who.user, c->alt.user, "device_notification");
	}
	begin(c);
}

void
identity_new_primary(struct account *a, const struct jid *who)
{
	struct change *c = change_new(a, who);

	c->companions = 1;
	begin(c);
}
