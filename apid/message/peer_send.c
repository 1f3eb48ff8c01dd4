/* A message to the own phone, for it alone. */
#include "apid/message/peer_send.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/message/bundle.h"
#include "apid/message/contacts.h"
#include "apid/message/encrypt_one.h"
#include "apid/message/ids.h"
#include "apid/session/ask.h"
#include "apid/session/engine.h"
#include "apid/session/props.h"
#include "apid/session/stanza.h"
#include "common/log.h"

#define SEND_MS     60000u
#define REPEATS_MAX 3u

struct peer_send {
	struct flow f; /* first */
	struct account *a;
	uint8_t *content;
	size_t len;
	char id[23];
	struct jid phone; /* to, device 0 */
	struct person own;
	struct contacts_request *lookup;
	struct bundle_request *bundles;
	struct bundle bundle;
	struct ask *ask;
	struct unit *unit;
	int open, sent;
	unsigned repeats;
	struct node *stanza;
	void (*fill)(struct unit *u, const char *id, void *arg);
	void (*done)(const char *id, void *arg);
	void *arg;
};

static void peer_end(struct flow *f, const char *outcome, const char *text);
static const struct flow_kind peer_kind = {"peer_send", peer_end};

static void
peer_end(struct flow *f, const char *outcome, const char *text)
{
	struct peer_send *s = (struct peer_send *)f;
	void (*done)(const char *id, void *arg) = s->done;
	void *arg = s->arg;

	if (outcome != NULL)
		log_debug("account %s: a message to the phone was not sent: %s", s->a->name, text);
	contacts_cancel(s->lookup);
	bundle_cancel(s->bundles);
	ask_cancel(s->ask);
	if (s->open)
		unit_abort(s->unit);
	else
		unit_detach(s->unit);
	bundle_clear(&s->bundle);
	if (s->content != NULL)
		sodium_memzero(s->content, s->len);
	free(s->content);
	node_free(s->stanza);
	if (done != NULL)
		done(s->sent ? s->id : NULL, arg);
	free(s);
}

void
peer_send_cancel(struct peer_send *s)
{
	if (s == NULL)
		return;
	s->done = NULL;
	flow_end(&s->f, "cancelled", "nobody waits for it");
}

static void peer_encrypt(struct peer_send *s);

static void
peer_committed(const struct unit_result *u, void *arg)
{
	struct peer_send *s = arg;

	s->unit = NULL;
	if (!u->ok && unit_may_repeat(u->reason) && s->repeats++ < REPEATS_MAX) {
		node_free(s->stanza);
		s->stanza = NULL;
		peer_encrypt(s);
		return;
	}
	if (!u->ok) {
		flow_end(&s->f, "store", u->reason);
		return;
	}
	s->sent = stanza_send(s->a, s->stanza) == 0;
	s->stanza = NULL;
	flow_end(&s->f, s->sent ? NULL : "offline", "the connection is gone");
}

static struct node *
peer_node(const struct peer_send *s, const Keyd__EncryptResult *e)
{
	struct node *n = node_new("message"), *enc = node_new("enc");
	int pkmsg = e->has_pkmsg && e->pkmsg;

	node_set(n, "id", s->id);
	node_set_jid(n, "to", &s->phone);
	node_set(n, "type", "text");
	node_set(n, "category", "peer");
	node_set(n, "push_priority", "high_force");
	node_set(node_child_new(n, "meta"), "appdata", "default");
	node_set(enc, "v", "2");
	node_set(enc, "type", pkmsg ? "pkmsg" : "msg");
	node_set_bytes(enc, e->ciphertext.data, e->ciphertext.len);
	node_add(n, enc);
	if (pkmsg)
		node_add_bytes(
		    n, "device-identity", s->a->dev.signed_identity, s->a->dev.signed_identity_len);
	return n;
}

static void
peer_bundle(struct bundle *b, size_t n, const char *why, unsigned code, void *arg)
{
	struct peer_send *s = arg;

	s->bundles = NULL;
	if (why != NULL || n == 0 || !b[0].ok) {
		flow_end(&s->f, "server_error", "the service has no keys of the phone");
		return;
	}
	s->bundle = b[0];
	b[0].device_identity = NULL; /* taken */
	peer_encrypt(s);
}

static void
peer_encrypted(const struct reply *rp, void *arg)
{
	struct peer_send *s = arg;
	const Keyd__EncryptReply *m = (const Keyd__EncryptReply *)rp->pb;

	s->ask = NULL;
	if (!rp->ok || m->n_results != 1) {
		flow_end(&s->f, "internal", rp->ok ? "one result was expected" : rp->code);
		return;
	}
	if (m->results[0]->outcome == KEYD__ENCRYPT_RESULT__OUTCOME__NO_SESSION && !s->bundle.ok) {
		unit_abort(s->unit);
		s->unit = NULL;
		s->open = 0;
		flow_step(&s->f, "peer_bundle");
		s->bundles = bundle_fetch(s->a, &s->phone, 1, peer_bundle, s);
		return;
	}
	if (m->results[0]->outcome != KEYD__ENCRYPT_RESULT__OUTCOME__DONE ||
	    !m->results[0]->has_ciphertext) {
		flow_end(&s->f, "internal", "no session with the phone");
		return;
	}
	s->stanza = peer_node(s, m->results[0]);
	unit_staged(s->unit, m->stages);
	if (s->fill != NULL)
		s->fill(s->unit, s->id, s->arg);
	s->open = 0;
	flow_step(&s->f, "peer_committed");
	unit_commit(s->unit, peer_committed, s);
}

static void
peer_encrypt(struct peer_send *s)
{
	char name[81];

	flow_step(&s->f, "peer_encrypt");
	contacts_address(&s->own, &s->phone, name);
	if ((s->unit = unit_open(s->a)) != NULL) {
		s->open = 1;
		s->ask = encrypt_one(s->a, s->unit, name, s->phone.device, &s->bundle, s->content,
		    s->len, peer_encrypted, s);
	}
	if (s->ask == NULL)
		flow_end(&s->f, "memory", "out of memory");
}

static void
peer_known(const struct person *people, size_t n, const Stored__LookupReply *lists, const char *why,
    void *arg)
{
	struct peer_send *s = arg;

	s->lookup = NULL;
	if (why != NULL) {
		flow_end(&s->f, "store", why);
		return;
	}
	s->own = people[0];
	peer_encrypt(s);
}

struct peer_send *
peer_send(struct account *a, const uint8_t *content, size_t len,
    void (*fill)(struct unit *u, const char *id, void *arg),
    void (*done)(const char *id, void *arg), void *arg)
{
	struct peer_send *s = calloc(1, sizeof(*s));
	char text[JID_TEXT_MAX];
	const char *name = text;

	if (s == NULL || (s->content = malloc(len + 1)) == NULL)
		fatal("peer_send");
	memcpy(s->content, content, len);
	s->len = len;
	s->a = a;
	s->fill = fill;
	s->done = done;
	s->arg = arg;
	message_id_new(s->id, (uint64_t)account_server_time(a), a->dev.jid.user);
	s->phone =
	    jid_bare((a->rec.lid_migrated || props_int(a, PROPS_PEER_BY_LID) > 0) && a->dev.has_lid
			 ? &a->dev.lid
			 : &a->dev.jid);
	flow_init(&s->f, a->svc->flows, &peer_kind, a->name, NULL, SEND_MS);
	flow_step(&s->f, "peer_known");
	(void)jid_format(&s->phone, text);
	s->lookup = contacts_ask(a, &name, 1, 0, peer_known, s);
	return s;
}
