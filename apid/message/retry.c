/* Retries: asking for a message again, and sending one again to the device that asks. */
#include "apid/message/retry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <sodium.h>

#include "apid/message/bundle.h"
#include "apid/message/contacts.h"
#include "apid/message/content.h"
#include "apid/session/ask.h"
#include "apid/session/engine.h"
#include "apid/session/prekeys.h"
#include "apid/session/stanza.h"
#include "apid/session/unit.h"
#include "common/clock.h"
#include "common/log.h"
#include "ipc/frame.h"

#define ASKS_KEPT     1024u
#define ANSWERS_MAX   5     /* a request of this number or more is refused (12.3) */
#define FETCHES_MAX   32u   /* requests that ask for keys of the service at a time */
#define WAITING_MAX   1024u /* that wait for their turn; those beyond come again */
#define KEYD_DEADLINE 30000u

/* ------------------------------------------------------------------ asking */

struct asked { /* how often a message was asked for; shared by all accounts, with a bound */
	uint8_t key[16];
	unsigned count;
	uint64_t used;
};
static struct asked asked[ASKS_KEPT];
static uint64_t asked_clock;

unsigned
retry_next(struct account *a, const struct envelope *e, unsigned enc_count)
{
	crypto_generichash_state st;
	uint8_t key[16];
	char chat[JID_TEXT_MAX], sender[JID_TEXT_MAX];
	struct asked *slot = &asked[0];

	(void)jid_format(&e->chat, chat);
	(void)jid_format(&e->sender, sender);
	crypto_generichash_init(&st, NULL, 0, sizeof(key));
	crypto_generichash_update(&st, (const uint8_t *)a->name, strlen(a->name) + 1);
	crypto_generichash_update(&st, (const uint8_t *)chat, strlen(chat) + 1);
	crypto_generichash_update(&st, (const uint8_t *)sender, strlen(sender) + 1);
	crypto_generichash_update(&st, (const uint8_t *)e->id, strlen(e->id));
	crypto_generichash_final(&st, key, sizeof(key));
	for (size_t i = 0; i < ASKS_KEPT; i++) {
		if (asked[i].count > 0 && memcmp(asked[i].key, key, sizeof(key)) == 0) {
			slot = &asked[i];
			break;
		}
		if (asked[i].used < slot->used)
			slot = &asked[i];
	}
	if (memcmp(slot->key, key, sizeof(key)) != 0) {
		memcpy(slot->key, key, sizeof(key));
		slot->count = 0;
	}
	slot->used = ++asked_clock;
	if (slot->count < enc_count)
		slot->count = enc_count;
	if (slot->count >= RETRY_ASKS_MAX)
		return 0;
	return ++slot->count;
}

static void
add_keys(struct node *n, const struct account *a, const Keyd__PrekeysReply *k)
{
	struct node *keys = node_new("keys");
	uint8_t type = 5;

	node_add_bytes(keys, "type", &type, 1);
	node_add_bytes(keys, "identity", k->identity_pub.data, k->identity_pub.len);
	if (k->n_keys > 0)
		node_add(keys, prekeys_key_node("key", k->keys[0]));
	node_add(keys, prekeys_skey_node(k->signed_prekey));
	node_add_bytes(keys, "device-identity", a->dev.signed_identity, a->dev.signed_identity_len);
	node_add(n, keys);
}

struct node *
retry_receipt(const struct account *a, const struct envelope *e, unsigned count, unsigned error,
    const Keyd__PrekeysReply *keys)
{
	struct node *n = node_new("receipt"), *r = node_new("retry");
	uint8_t reg[4];

	node_set(n, "id", e->id);
	node_set_jid(n, "to", &e->from);
	node_set(n, "type", "retry");
	if (e->has_participant)
		node_set_jid(n, "participant", &e->participant);
	if (e->has_recipient)
		node_set_jid(n, "recipient", &e->recipient);
	if (e->peer)
		node_set(n, "category", "peer");
	node_set(r, "v", "1");
	node_set(r, "id", e->id);
	node_setf(r, "t", "%lld", (long long)(e->time_ms / 1000));
	node_setf(r, "count", "%u", count);
	if (error != 0)
		node_setf(r, "error", "%u", error);
	node_add(n, r);
	for (int i = 0; i < 4; i++)
		reg[i] = (uint8_t)(a->dev.registration_id >> (24 - 8 * i));
	node_add_bytes(n, "registration", reg, sizeof(reg));
	if (keys != NULL)
		add_keys(n, a, keys);
	return n;
}

/* ------------------------------------------------------------------ being asked */

struct retry {
	struct flow f; /* first */
	TAILQ_ENTRY(retry) link;
	int counted;  /* among the stanzas that hold netd back */
	int fetching; /* keys of the service are asked for */
	int waiting;  /* in the queue for that */
	struct account *a;
	struct node *n;
	size_t size;
	uint64_t conn;
	char id[MESSAGE_ID_MAX + 1];
	struct jid from, requester; /* requester: the device that asks */
	int own;                    /* it is one of our own devices */
	unsigned count;
	struct person person;
	uint8_t *content;
	size_t content_len;
	char chat[JID_TEXT_MAX];
	struct bundle bundle;
	struct ask *ask;
	struct contacts_request *lookup;
	struct bundle_request *bundles;
	struct unit *unit;
	int open;
	struct node *stanza;
};

static void retry_end(struct flow *f, const char *outcome, const char *text);
static void retry_encrypt(struct retry *r);
static void fetch_end(struct retry *r);
static const struct flow_kind retry_kind = {"retry", retry_end};

/* For keys of the service, of all accounts. */
static TAILQ_HEAD(retry_queue, retry) waiting = TAILQ_HEAD_INITIALIZER(waiting);
static size_t nwaiting, nfetching;

static void
uncount(struct retry *r)
{
	if (r->counted)
		engine_inbound_end(r->a->svc, r->size);
	r->counted = 0;
}

/* Acked in the end, unless the connection or the store failed: then it comes again. */
static void
retry_end(struct flow *f, const char *outcome, const char *text)
{
	struct retry *r = (struct retry *)f;
	struct account *a = r->a;
	int current = r->conn == a->conn;

	if (current && outcome == NULL)
		stanza_ack(a, r->n, 0);
	contacts_cancel(r->lookup);
	bundle_cancel(r->bundles);
	fetch_end(r);
	ask_cancel(r->ask);
	if (r->open)
		unit_abort(r->unit);
	else
		unit_detach(r->unit);
	bundle_clear(&r->bundle);
	if (r->content != NULL)
		sodium_memzero(r->content, r->content_len);
	free(r->content);
	node_free(r->stanza);
	uncount(r);
	node_free(r->n);
	free(r);
	if (current && outcome != NULL && strcmp(outcome, "cancelled") != 0)
		account_store_failed(a, outcome);
}

static void
retry_drop(struct retry *r, const char *why)
{
	static struct log_limit limit = LOG_LIMIT_INIT;

	if (log_allowed(&limit))
		log_info("account %s: a retry request is not answered: %s", r->a->name, why);
	flow_end(&r->f, NULL, NULL);
}

static void
retry_committed(const struct unit_result *u, void *arg)
{
	struct retry *r = arg;

	r->unit = NULL;
	if (!u->ok) {
		flow_end(&r->f, u->reason, "the request comes again");
		return;
	}
	if (r->conn == r->a->conn) {
		r->a->n.retries_in++;
		(void)stanza_send(r->a, r->stanza);
		r->stanza = NULL;
	}
	flow_end(&r->f, NULL, NULL);
}

/* Page 04, 12.5: a bare enc to the one device, with the id of old. */
static struct node *
resend_node(struct retry *r, const Keyd__EncryptResult *e)
{
	struct node *n = node_new("message"), *enc = node_new("enc");
	struct jid chat;
	int pkmsg = e->has_pkmsg && e->pkmsg;

	node_set_jid(n, "to", &r->from);
	node_set(n, "id", r->id);
	node_set(n, "type", "text");
	if (!jid_eq(&r->from, &r->requester))
		node_set_jid(n, "participant", &r->requester);
	if (r->own && jid_parse(r->chat, &chat) == 0)
		node_set_jid(n, "recipient", &chat);
	else
		node_set(n, "device_fanout", "false");
	node_set(enc, "v", "2");
	node_set(enc, "type", pkmsg ? "pkmsg" : "msg");
	node_setf(enc, "count", "%u", r->count);
	node_set_bytes(enc, e->ciphertext.data, e->ciphertext.len);
	node_add(n, enc);
	if (pkmsg)
		node_add_bytes(
		    n, "device-identity", r->a->dev.signed_identity, r->a->dev.signed_identity_len);
	return n;
}

static json_t *
status_body(const struct retry *r)
{
	char chat_id[STABLE_ID_LEN + 1];
	struct person p;
	struct jid j;
	json_t *o = json_pack("{s:s, s:o, s:s, s:I}", "message_id", r->id, "party",
	    contacts_party(&r->person), "status", "retrying", "time_ms",
	    (json_int_t)stanza_time_ms(r->a, r->n));

	if (jid_parse(r->chat, &j) == 0) {
		contacts_chat_id(&j, contacts_cached(r->a, &j, &p) == 0 ? &p : NULL, chat_id);
		json_object_set_new(o, "chat", json_string(chat_id));
	}
	return o;
}

static void
bundle_came(struct bundle *b, size_t n, const char *why, unsigned code, void *arg)
{
	struct retry *r = arg;

	r->bundles = NULL;
	fetch_end(r);
	if (why != NULL && strcmp(why, "error") != 0) {
		flow_end(&r->f, "cancelled", why); /* not acked: it comes again */
		return;
	}
	if (why != NULL || n == 0 || !b[0].ok) {
		retry_drop(r, "the device has no keys at the service");
		return;
	}
	r->bundle = b[0];
	b[0].device_identity = NULL; /* taken */
	retry_encrypt(r);
}

static void
fetch_begin(struct retry *r)
{
	r->fetching = 1;
	nfetching++;
	r->bundles = bundle_fetch(r->a, &r->requester, 1, bundle_came, r);
}

/* It has its keys, or is given up: the next may ask. */
static void
fetch_end(struct retry *r)
{
	struct retry *next;

	if (r->waiting) {
		TAILQ_REMOVE(&waiting, r, link);
		nwaiting--;
		r->waiting = 0;
	}
	if (!r->fetching)
		return;
	r->fetching = 0;
	nfetching--;
	if ((next = TAILQ_FIRST(&waiting)) != NULL) {
		fetch_end(next); /* off the queue */
		fetch_begin(next);
	}
}

/* The keys come over netd, so what waits for them must not be among what netd waits for. */
static void
retry_fetch(struct retry *r)
{
	flow_step(&r->f, "retry_fetch");
	uncount(r);
	if (nfetching < FETCHES_MAX) {
		fetch_begin(r);
	} else if (nwaiting < WAITING_MAX) {
		TAILQ_INSERT_TAIL(&waiting, r, link);
		nwaiting++;
		r->waiting = 1;
	} else {
		flow_end(&r->f, "cancelled", "too many requests for a resend");
	}
}

static void
retry_encrypted(const struct reply *rp, void *arg)
{
	struct retry *r = arg;
	const Keyd__EncryptReply *m = (const Keyd__EncryptReply *)rp->pb;
	char key[200];

	r->ask = NULL;
	if (!rp->ok || m->n_results != 1) {
		flow_end(&r->f, rp->ok ? "internal" : rp->code, "the request comes again");
		return;
	}
	if (m->results[0]->outcome == KEYD__ENCRYPT_RESULT__OUTCOME__NO_SESSION && !r->bundle.ok) {
		unit_abort(r->unit);
		r->unit = NULL;
		r->open = 0;
		retry_fetch(r);
		return;
	}
	if (m->results[0]->outcome != KEYD__ENCRYPT_RESULT__OUTCOME__DONE ||
	    !m->results[0]->has_ciphertext) {
		retry_drop(r, "its keys are not usable");
		return;
	}
	r->stanza = resend_node(r, m->results[0]);
	unit_staged(r->unit, m->stages);
	(void)snprintf(key, sizeof(key), "t:%s:%s:%u", r->id, r->person.id, r->count);
	unit_event(
	    r->unit, "message.status", stanza_origin(r->n), clock_wall_ms(), status_body(r), key);
	r->open = 0;
	unit_commit(r->unit, retry_committed, r);
}

static void
retry_encrypt(struct retry *r)
{
	Keyd__Encrypt m = KEYD__ENCRYPT__INIT;
	Keyd__EncryptItem item = KEYD__ENCRYPT_ITEM__INIT, *items[1] = {&item};
	Keyd__Address addr = KEYD__ADDRESS__INIT;
	struct bundle_pb pb;
	ProtobufCBinaryData plain = {0};
	char name[81];
	uint8_t *copy = NULL;
	size_t copy_len = 0;

	flow_step(&r->f, "retry_encrypted");
	contacts_address(&r->person, &r->requester, name);
	addr.name = name;
	addr.device = r->requester.device;
	item.address = &addr;
	if (r->bundle.ok) {
		bundle_fill(&r->bundle, &pb);
		item.bundle = &pb.bundle;
	}
	if (r->own)
		copy = content_device_sent(r->content, r->content_len, r->chat, &copy_len);
	if (!r->own)
		plain.data = content_pad(r->content, r->content_len, &plain.len);
	else if (copy != NULL)
		plain.data = content_pad(copy, copy_len, &plain.len);
	if (copy != NULL)
		sodium_memzero(copy, copy_len);
	free(copy);
	if (plain.data == NULL || (r->unit = unit_open(r->a)) == NULL) {
		free(plain.data);
		retry_drop(r, "the content cannot be made again");
		return;
	}
	r->open = 1;
	m.account = r->a->name;
	m.unit = unit_id(r->unit);
	m.n_plaintexts = 1;
	m.plaintexts = &plain;
	m.n_items = 1;
	m.items = items;
	r->ask = ask_keyd(r->a, KEYD__TYPE__ENCRYPT, &m.base, KEYD__TYPE__ENCRYPT_REPLY,
	    &keyd__encrypt_reply__descriptor, FRAME_PAYLOAD_MAX, KEYD_DEADLINE, retry_encrypted, r);
	sodium_memzero(plain.data, plain.len);
	free(plain.data);
}

/* Keys that came with it, else those of the service from the second request on, else the session.
 */
static void
retry_bundle(struct retry *r)
{
	const struct node *keys = node_child(r->n, "keys");

	flow_step(&r->f, "retry_bundle");
	if (keys != NULL) {
		if (bundle_read(keys, node_child(r->n, "registration"), &r->bundle) == -1)
			retry_drop(r, "its keys are incomplete");
		else
			retry_encrypt(r);
	} else if (r->count >= 2) {
		retry_fetch(r);
	} else {
		retry_encrypt(r);
	}
}

/* Only who was addressed is answered: the person of the chat, or one of our own devices. */
static int
was_addressed(const struct retry *r)
{
	struct person p;
	struct jid chat;

	if (r->own)
		return !account_is_this_device(r->a, &r->requester);
	if (jid_parse(r->chat, &chat) == -1)
		return 0;
	if (strcmp(chat.user, r->requester.user) == 0 && jid_same_user(&chat, &r->requester))
		return 1;
	return contacts_cached(r->a, &chat, &p) == 0 && strcmp(p.id, r->person.id) == 0;
}

static void
retry_known(const struct person *people, size_t n, const Stored__LookupReply *lists,
    const char *why, void *arg)
{
	struct retry *r = arg;

	r->lookup = NULL;
	if (why != NULL) {
		flow_end(&r->f, why, "the request comes again");
		return;
	}
	r->person = people[0];
	if (was_addressed(r))
		retry_bundle(r);
	else
		retry_drop(r, "the device was not addressed");
}

static void
retry_row(const struct reply *rp, void *arg)
{
	struct retry *r = arg;
	const Stored__OutboxRows *m = (const Stored__OutboxRows *)rp->pb;
	char who[JID_TEXT_MAX];
	const char *names[2];
	struct jid bare = jid_bare(&r->requester);

	r->ask = NULL;
	if (!rp->ok) {
		flow_end(&r->f, rp->code, "the request comes again");
		return;
	}
	if (m->n_rows == 0 || m->rows[0]->put->content.len == 0) {
		retry_drop(r, "the message is not kept (any more)");
		return;
	}
	const Stored__OutboxPut *p = m->rows[0]->put;

	if ((r->content = malloc(p->content.len)) == NULL) {
		flow_end(&r->f, "memory", "out of memory");
		return;
	}
	memcpy(r->content, p->content.data, p->content.len);
	r->content_len = p->content.len;
	(void)snprintf(r->chat, sizeof(r->chat), "%s", p->chat);
	flow_step(&r->f, "retry_known");
	names[0] = jid_format(&bare, who);
	names[1] = r->chat;
	r->lookup = contacts_ask(r->a, names, 2, 0, retry_known, r);
}

static int
retry_parse(struct retry *r)
{
	const struct node *retry = node_child(r->n, "retry");
	const char *id = retry == NULL ? NULL : node_get(retry, "id");
	int64_t count = retry == NULL ? -1 : node_get_int(retry, "count", 1000);

	if (id == NULL || !message_id_ok(id) || node_get_jid(r->n, "from", &r->from) == -1 ||
	    r->from.user[0] == '\0')
		return -1;
	(void)snprintf(r->id, sizeof(r->id), "%s", id);
	r->count = count < 0 ? 1 : (unsigned)count;
	if (node_get_jid(r->n, "participant", &r->requester) == -1)
		r->requester = r->from;
	r->own = account_is_own(r->a, &r->requester);
	return 0;
}

void
retry_in(struct account *a, struct node *n, size_t size)
{
	Stored__OutboxFind m = STORED__OUTBOX_FIND__INIT;
	struct retry *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		node_free(n);
		account_store_failed(a, "memory");
		return;
	}
	r->a = a;
	r->n = n;
	r->size = size;
	r->conn = a->conn;
	flow_init(&r->f, a->svc->flows, &retry_kind, a->name, NULL, 0);
	engine_inbound_begin(a->svc, size);
	r->counted = 1;
	if (retry_parse(r) == -1 || r->count >= ANSWERS_MAX) {
		retry_drop(r, "malformed, or asked too often");
		return;
	}
	flow_step(&r->f, "retry_row");
	m.account = a->name;
	m.message_id = r->id;
	r->ask = ask_stored(a, STORED__TYPE__OUTBOX_FIND, &m.base, STORED__TYPE__OUTBOX_ROWS,
	    &stored__outbox_rows__descriptor, FRAME_PAYLOAD_MAX, ASK_DEADLINE_MS, retry_row, r);
}
