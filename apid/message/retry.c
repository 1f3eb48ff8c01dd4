/* Retries: sending a message again to the device that asks. */
#include "apid/message/retry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <sodium.h>

#include "apid/message/bundle.h"
#include "apid/message/contacts.h"
#include "apid/message/content.h"
#include "apid/message/encrypt_one.h"
#include "apid/message/held.h"
#include "apid/message/identity.h"
#include "apid/message/retry_impl.h"
#include "apid/message/retry_rate.h"
#include "apid/session/engine.h"
#include "apid/session/stanza.h"
#include "common/clock.h"
#include "common/log.h"
#include "ipc/frame.h"

#define FETCHES_MAX 32u   /* requests that ask for keys of the service at a time */
#define WAITING_MAX 1024u /* that wait for their turn; those beyond come again */

static void retry_end(struct flow *f, const char *outcome, const char *text);
static const struct flow_kind retry_kind = {"retry", retry_end};

/* Of all accounts: those in flight, and those that wait for keys of the service. */
static TAILQ_HEAD(retry_all, retry) all = TAILQ_HEAD_INITIALIZER(all);
static TAILQ_HEAD(retry_queue, retry) waiting = TAILQ_HEAD_INITIALIZER(waiting);
static size_t nwaiting, nfetching, nturns;

static void fetch_end(struct retry *r);

void
retry_uncount(struct retry *r)
{
	if (r->counted)
		engine_inbound_end(r->a->svc, r->size);
	r->counted = 0;
}

static void
turn_end(struct retry *r)
{
	if (r->turn == NULL)
		return;
	event_free(r->turn);
	r->turn = NULL;
	nturns--;
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
	TAILQ_REMOVE(&all, r, all);
	contacts_cancel(r->lookup);
	lid_move_cancel(r->move);
	devices_cancel(r->devices);
	bundle_cancel(r->bundles);
	fetch_end(r);
	turn_end(r);
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
	retry_uncount(r);
	node_free(r->n);
	free(r);
	if (current && outcome != NULL && strcmp(outcome, "cancelled") != 0)
		account_store_failed(a, outcome);
}

void
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

static json_t *status_body(const struct retry *r);

/* How often this device got it is durable with the stanza. */
static void
retry_commit(struct retry *r)
{
	char key[200];

	(void)snprintf(key, sizeof(key), "t:%s:%s:%u", r->id, r->person.id, r->count);
	unit_event(
	    r->unit, "message.status", stanza_origin(r->n), clock_wall_ms(), status_body(r), key);
	unread_keep(r->a, r->unit, &r->counted_as, r->n, r->answers + 1);
	if (r->count > 2) {
		Stored__BaseKeyName name = STORED__BASE_KEY_NAME__INIT;

		name.address = r->address;
		name.message_id = r->id;
		unit_base_key_delete(r->unit, &name);
	}
	r->open = 0;
	flow_step(&r->f, "retry_committed");
	unit_commit(r->unit, retry_committed, r);
}

/* Page 04, 12.5: a bare enc to the one device, with the id of old. */
static struct node *
resend_node(struct retry *r, const Keyd__EncryptResult *e)
{
	struct node *n = node_new("message"), *enc = node_new("enc");
	int pkmsg = e->has_pkmsg && e->pkmsg;
	struct stanza_kind kind;
	struct jid chat;

	stanza_kind_of(r->content, r->content_len, &kind);
	node_set_jid(n, "to", &r->from);
	node_set(n, "id", r->id);
	node_set(n, "type", kind.type);
	node_set(n, "edit", kind.edit);
	if (!jid_eq(&r->from, &r->requester))
		node_set_jid(n, "participant", &r->requester);
	if (r->own && jid_parse(r->chat, &chat) == 0)
		node_set_jid(n, "recipient", &chat);
	else
		node_set(n, "device_fanout", "false");
	node_set(enc, "v", "2");
	node_set(enc, "type", pkmsg ? "pkmsg" : "msg");
	node_setf(enc, "count", "%u", r->count);
	node_set(enc, "mediatype", kind.mediatype);
	node_set(enc, "decrypt-fail", kind.hide ? "hide" : NULL);
	node_set_bytes(enc, e->ciphertext.data, e->ciphertext.len);
	node_add(n, enc);
	if (pkmsg)
		node_add_bytes(
		    n, "device-identity", r->a->dev.signed_identity, r->a->dev.signed_identity_len);
	if (kind.meta != NULL)
		node_set(node_child_new(n, "meta"), kind.meta, kind.meta_value);
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
	if (!r->a->svc->stopping && (next = TAILQ_FIRST(&waiting)) != NULL) {
		fetch_end(next); /* off the queue */
		fetch_begin(next);
	}
}

/* The keys come over netd, so what waits for them must not be among what netd waits for. */
void
retry_fetch(struct retry *r)
{
	flow_step(&r->f, "retry_fetch");
	retry_uncount(r);
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

/* The session that it was sent with is remembered for the next request (12.4). */
static void
retry_remember(const struct reply *rp, void *arg)
{
	struct retry *r = arg;
	const Keyd__SessionsReply *m = (const Keyd__SessionsReply *)rp->pb;
	Stored__BaseKey k = STORED__BASE_KEY__INIT;
	Stored__BaseKeyName name = STORED__BASE_KEY_NAME__INIT;

	r->ask = NULL;
	if (rp->ok && m->n_facts == 1 && m->facts[0]->base_key.len == BASE_KEY_LEN) {
		name.address = r->address;
		name.message_id = r->id;
		k.name = &name;
		k.key = m->facts[0]->base_key;
		unit_base_key(r->unit, &k);
	}
	retry_commit(r);
}

static void
tell_change(struct retry *r, const Keyd__IdentityChange *c, int held)
{
	struct identity_news news = {.party = &r->person,
	    .device = r->requester.device,
	    .implicit = 1,
	    .held = held,
	    .held_messages = held ? held_of(r->a, &r->person) : 0,
	    .origin = stanza_origin(r->n),
	    .time_ms = clock_wall_ms()};

	identity_news_take(&news, c);
	identity_event(r->unit, &news);
	r->a->n.identity_changes++;
}

static void
held_committed(const struct unit_result *u, void *arg)
{
	struct retry *r = arg;

	r->unit = NULL;
	flow_end(&r->f, u->ok ? "cancelled" : u->reason, "the request comes again");
}

/* A person must decide about the identity that asks. That is durable; the request is not acked, so
 * that it comes again at the next login, when he may have decided. */
static void
retry_held(struct retry *r, const Keyd__EncryptReply *m)
{
	unit_staged(r->unit, m->stages);
	if (m->results[0]->change != NULL)
		tell_change(r, m->results[0]->change, 1);
	r->open = 0;
	flow_step(&r->f, "held_committed");
	unit_commit(r->unit, held_committed, r);
}

static void
retry_encrypted(const struct reply *rp, void *arg)
{
	struct retry *r = arg;
	const Keyd__EncryptReply *m = (const Keyd__EncryptReply *)rp->pb;

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
	if (m->results[0]->outcome == KEYD__ENCRYPT_RESULT__OUTCOME__IDENTITY_DAMAGED)
		identity_damaged(r->a);
	if (m->results[0]->outcome == KEYD__ENCRYPT_RESULT__OUTCOME__UNTRUSTED ||
	    m->results[0]->outcome == KEYD__ENCRYPT_RESULT__OUTCOME__IDENTITY_DAMAGED) {
		retry_held(r, m);
		return;
	}
	if (m->results[0]->outcome != KEYD__ENCRYPT_RESULT__OUTCOME__DONE ||
	    !m->results[0]->has_ciphertext) {
		retry_drop(r, "its keys are not usable");
		return;
	}
	if (r->bundle.ok)
		retry_recreated(r->a, r->address, r->requester.device, clock_mono_ms());
	r->stanza = resend_node(r, m->results[0]);
	unit_staged(r->unit, m->stages);
	if (m->results[0]->change != NULL)
		tell_change(r, m->results[0]->change, 0);
	if (r->count == 2) {
		flow_step(&r->f, "retry_remember");
		retry_ask_facts(r, retry_remember);
	} else {
		retry_commit(r);
	}
}

void
retry_encrypt(struct retry *r)
{
	const uint8_t *content = r->content;
	size_t len = r->content_len;
	uint8_t *copy = NULL;

	flow_step(&r->f, "retry_encrypted");
	if (r->own)
		content = copy = content_device_sent(r->content, r->content_len, r->chat, &len);
	if (content != NULL && (r->unit = unit_open(r->a)) != NULL) {
		r->open = 1;
		r->ask = encrypt_one(r->a, r->unit, r->address, r->requester.device, &r->bundle,
		    content, len, retry_encrypted, r);
	}
	if (copy != NULL)
		sodium_memzero(copy, len);
	free(copy);
	if (r->ask == NULL)
		retry_drop(r, "the content cannot be made again");
}

/* ------------------------------------------------------------------ its turn */

static void
turn_came(evutil_socket_t fd, short what, void *arg)
{
	struct retry *r = arg;

	turn_end(r);
	if (r->conn != r->a->conn)
		flow_end(&r->f, "cancelled", "the request comes again");
	else
		retry_facts(r);
}

/* A person gets so many at once, and then one after the other. */
void
retry_turn(struct retry *r)
{
	int64_t ms = retry_rate_take(r->a, r->person.id, clock_mono_ms());
	struct timeval tv = {0, 0};

	flow_step(&r->f, "retry_turn");
	if (ms == 0) {
		retry_facts(r);
		return;
	}
	if (ms < 0 || nturns >= WAITING_MAX ||
	    (r->turn = evtimer_new(r->a->svc->base, turn_came, r)) == NULL) {
		flow_end(&r->f, "cancelled", "too many requests for a resend");
		return;
	}
	retry_uncount(r); /* it is nothing that netd should wait for */
	nturns++;
	tv.tv_sec = ms / 1000;
	tv.tv_usec = (suseconds_t)(ms % 1000 * 1000);
	evtimer_add(r->turn, &tv);
}

/* ------------------------------------------------------------------ it comes */

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
	if (r->own && node_get(r->n, "recipient") == NULL)
		return -1;
	return 0;
}

/* Beside the stanzas that could not be read: how often this device got this message. */
static void
name_counter(struct retry *r)
{
	(void)snprintf(r->counted_as.chat, sizeof(r->counted_as.chat), "retry");
	(void)jid_format(&r->requester, r->counted_as.sender);
	(void)snprintf(r->counted_as.id, sizeof(r->counted_as.id), "%s", r->id);
}

/* One request of a device for a message at a time. */
static int
under_way(const struct retry *r)
{
	const struct retry *o;

	TAILQ_FOREACH(o, &all, all)
	if (o != r && o->a == r->a && strcmp(o->id, r->id) == 0 &&
	    jid_eq(&o->requester, &r->requester))
		return 1;
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
	flow_init(&r->f, a->svc->flows, &retry_kind, a->name, a, 0);
	engine_inbound_begin(a->svc, size);
	r->counted = 1;
	TAILQ_INSERT_TAIL(&all, r, all);
	if (retry_parse(r) == -1 || r->count >= RETRY_REFUSE) {
		retry_drop(r, "malformed, or asked too often");
		return;
	}
	if (under_way(r)) {
		retry_drop(r, "one is under way");
		return;
	}
	name_counter(r);
	flow_step(&r->f, "retry_row");
	m.account = a->name;
	m.message_id = r->id;
	r->ask = ask_stored(a, STORED__TYPE__OUTBOX_FIND, &m.base, STORED__TYPE__OUTBOX_ROWS,
	    &stored__outbox_rows__descriptor, FRAME_PAYLOAD_MAX, ASK_DEADLINE_MS, retry_row, r);
}
