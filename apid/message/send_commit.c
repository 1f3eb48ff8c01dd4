/* The second half of a send: encryption, the unit of work, and handing over to the outbox. */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/message/content.h"
#include "apid/message/message_event.h"
#include "apid/message/outbox.h"
#include "apid/message/recv_event.h"
#include "apid/message/reporting.h"
#include "apid/message/secrets.h"
#include "apid/message/refusal.h"
#include "apid/message/send_impl.h"
#include "apid/message/stanza_kind.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"
#include "ipc/frame.h"

#define KEYD_DEADLINE  30000u
#define ENCRYPTING_MAX 64u /* with keyd at once, and in the units that it joins */

void
send_build_done(struct send *s)
{
	struct send *o;

	if (!s->building)
		return;
	s->building = 0;
	TAILQ_FOREACH(o, &s->a->sender->list, link)
	if (o->wants_build) {
		o->wants_build = 0;
		send_sessions(o); /* look again: they may have been made */
	}
}

static void
token_found(const struct tctoken *t, void *arg)
{
	struct send *s = arg;

	s->token_search = NULL;
	s->token = *t;
	if (s->wants_token)
		send_encrypt(s);
}

void
send_find_token(struct send *s)
{
	if (s->asked_token || !tctoken_is_for(s->a, &s->chat))
		return;
	s->asked_token = 1;
	s->token_search = tctoken_find(s->a, &s->peer, token_found, s);
}

static struct node *
enc_node(const Keyd__EncryptResult *r, const struct stanza_kind *kind)
{
	struct node *enc = node_new("enc");

	node_set(enc, "v", "2");
	node_set(enc, "type", r->has_pkmsg && r->pkmsg ? "pkmsg" : "msg");
	node_set(enc, "mediatype", kind->mediatype);
	node_set(enc, "decrypt-fail", kind->hide ? "hide" : NULL);
	return node_set_bytes(enc, r->ciphertext.data, r->ciphertext.len);
}

/* Ours, in the namespace of the chat. */
static const struct jid *
own_name(const struct send *s, struct jid *out)
{
	const struct account_device *d = &s->a->dev;

	*out = jid_bare(jid_is_lid(&s->chat) && d->has_lid ? &d->lid : &d->jid);
	return out;
}

/* The stanza (page 04, 9.4), as bytes. -1: no device of the recipient could be encrypted for. */
static int
make_stanza(struct send *s, const Keyd__EncryptReply *m)
{
	struct node *n = node_new("message"), *parts = node_new("participants");
	struct jid *sent = calloc(s->ndev + 1, sizeof(*sent));
	int pkmsg = 0, to_self = account_is_own(s->a, &s->chat), r = -1;
	size_t k = 0, theirs = 0, all = 0;
	struct stanza_kind kind;
	struct buf b = BUF_INIT;
	struct jid own;

	stanza_kind_of(s->content, s->content_len, &kind);
	node_set(n, "id", s->id);
	node_set_jid(n, "to", &s->chat);
	node_set(n, "type", kind.type);
	node_set(n, "edit", kind.edit);
	for (size_t i = 0; i < s->ndev && sent != NULL; i++) {
		struct node *to;

		if (s->dev[i].skip || k >= m->n_results)
			continue;
		const Keyd__EncryptResult *e = m->results[k++];

		if (e->outcome != KEYD__ENCRYPT_RESULT__OUTCOME__DONE || !e->has_ciphertext)
			continue;
		to = node_new("to");
		node_set_jid(to, "jid", &s->dev[i].jid);
		node_add(to, enc_node(e, &kind));
		node_add(parts, to);
		pkmsg |= e->has_pkmsg && e->pkmsg;
		theirs += !s->dev[i].own;
		sent[all++] = s->dev[i].jid;
		s->dev[i].sent = 1;
	}
	node_add(n, parts);
	if (pkmsg)
		node_add_bytes(
		    n, "device-identity", s->a->dev.signed_identity, s->a->dev.signed_identity_len);
	if (kind.meta != NULL)
		node_set(node_child_new(n, "meta"), kind.meta, kind.meta_value);
	reporting_add(n, s->content, s->content_len, s->id, own_name(s, &own), &s->chat);
	tctoken_add_to_message(s->a, &s->chat, &s->peer, &s->token, n);
	if (all > 0 && (theirs > 0 || to_self) && node_encode(n, &b) == 0 &&
	    (s->stanza = malloc(b.len)) != NULL) {
		memcpy(s->stanza, b.data, b.len);
		s->stanza_len = b.len;
		devices_phash(sent, all, s->phash);
		r = 0;
	}
	buf_clear(&b);
	node_free(n);
	free(sent);
	return r;
}

static void
committed(const struct unit_result *r, void *arg)
{
	struct send *s = arg;
	char chat[JID_TEXT_MAX];

	s->unit = NULL;
	if (s->wrote_peer)
		contacts_written(s->a, &s->chat, r->ok);
	if (s->wrote_own)
		contacts_written(s->a, &s->a->dev.jid, r->ok);
	s->wrote_peer = s->wrote_own = 0;
	if (!r->ok && r->duplicate) { /* the same key came in twice */
		send_find(s);
		return;
	}
	if (!r->ok) {
		outbox_row_later(s->a, s->id); /* it may still become durable: then it is due */
		send_fail_store(s, r->reason);
		return;
	}
	(void)jid_format(&s->chat, chat);
	if (!s->is_row)
		outbox_row_came(s->a, s->created_ms);
	send_hand_over(s, s->id, chat, "queued", s->created_ms, 0);
	/* send_wire: only what is durable leaves */
	if (s->queueing)
		outbox_queued(s->a);
	else
		outbox_ready(s->a, s->id, chat, s->stanza, s->stanza_len, s->phash);
	if (!s->queueing)
		tctoken_sent(s->a, &s->peer, &s->token);
	flow_end(&s->f, NULL, NULL);
}

/* message.sent, .edited, .deleted or .reaction with the first write of a message. */
static void
sent_event(struct send *s)
{
	struct pb_arena *arena = pb_arena_new(CONTENT_BUDGET);
	const E2e__Message *m =
	    arena == NULL ? NULL : content_parse(s->content, s->content_len, arena, NULL);
	char key[256], chat_id[STABLE_ID_LEN + 1];
	struct message_facts f = {.a = s->a,
	    .id = s->id,
	    .chat = &s->chat,
	    .chat_person = &s->peer,
	    .from_me = 1,
	    .time_ms = s->created_ms,
	    .m = m};
	json_t *body, *carrier;
	const char *type;

	if (m != NULL) {
		contacts_chat_id(&s->chat, &s->peer, chat_id);
		recv_event_key(key, 'm', chat_id, "me", s->id);
		body = message_event_body(&f, &type, &carrier);
		json_object_set_new(body, "client_key", json_string(s->key));
		message_event_object(body, carrier, m);
		unit_event(s->unit, type, "live", s->created_ms, body, key);
	}
	pb_arena_free(arena);
}

/* Those that it is encrypted for: they alone may ask for it again. The list is one piece of memory,
 * to be freed; NULL: none. */
static char **
addressed(const struct send *s, size_t *n)
{
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
	char **list = calloc(s->ndev + 1, sizeof(*list) + JID_TEXT_MAX), *text;

	*n = 0;
	if (list == NULL)
		return NULL;
	text = (char *)(list + s->ndev + 1);
	for (size_t i = 0; i < s->ndev && s->stanza != NULL; i++)
		if (s->dev[i].sent)
			list[(*n)++] = pb_str(jid_format(&s->dev[i].jid, text + i * JID_TEXT_MAX));
	return list;
}

static void
put(struct send *s, Stored__OutboxState state)
{
	Stored__OutboxPut p = STORED__OUTBOX_PUT__INIT;
	char chat[JID_TEXT_MAX];

	p.message_id = s->id;
	p.chat = pb_str(jid_format(&s->chat, chat));
	p.uid = s->uid;
	p.idempotency_key = s->key;
	p.params_hash.data = s->hash;
	p.params_hash.len = sizeof(s->hash);
	p.content.data = s->content;
	p.content.len = s->content_len;
	p.state = state;
	p.has_stanza = s->stanza != NULL;
	p.stanza.data = s->stanza;
	p.stanza.len = s->stanza_len;
	p.created_ms = s->created_ms;
	p.has_was_online = 1;
	p.was_online = state == STORED__OUTBOX_STATE__READY;
	p.has_not_after_ms = s->not_after_ms > 0;
	p.not_after_ms = s->not_after_ms;
	p.devices = addressed(s, &p.n_devices);
	unit_outbox_put(s->unit, &p);
	free(p.devices);
	sent_event(s);
}

void
send_phash(const uint8_t *stanza, size_t len, char out[12])
{
	struct node *n = node_decode(stanza, len, NULL);
	const struct node *parts = n == NULL ? NULL : node_child(n, "participants");
	struct jid *sent = parts == NULL ? NULL : calloc(parts->nchildren + 1, sizeof(*sent));
	size_t k = 0;

	out[0] = '\0';
	for (size_t i = 0; sent != NULL && i < parts->nchildren; i++)
		if (node_get_jid(parts->children[i], "jid", &sent[k]) == 0)
			k++;
	if (k > 0)
		devices_phash(sent, k, out);
	free(sent);
	node_free(n);
}

/* From here on it leaves this machine: somebody new has been turned to. */
static void
count_contact(struct send *s)
{
	int64_t now = clock_wall_ms();

	if (!s->reserved)
		return;
	s->reserved = 0;
	contacts_first_out(s->a, &s->chat, now);
	outbox_reserved_ends(s->a, now);
}

static void
commit(struct send *s)
{
	s->wrote_peer = contacts_write(s->a, &s->chat, s->unit);
	s->wrote_own = contacts_write(s->a, &s->a->dev.jid, s->unit);
	s->open = 0;
	s->phase = SEND_RELEASED; /* units are applied in order, so the next may encrypt now */
	unit_commit(s->unit, committed, s);
	send_lane_next(s);
}

static void
send_commit(struct send *s)
{
	Stored__OutboxUpdate up = STORED__OUTBOX_UPDATE__INIT;

	flow_step(&s->f, "send_commit");
	count_contact(s);
	if (s->is_row) {
		up.message_id = s->id;
		up.has_state = 1;
		up.state = STORED__OUTBOX_STATE__READY;
		up.has_stanza = 1;
		up.stanza.data = s->stanza;
		up.stanza.len = s->stanza_len;
		up.devices = addressed(s, &up.n_devices);
		unit_outbox_update(s->unit, &up);
		free(up.devices);
	} else {
		put(s, STORED__OUTBOX_STATE__READY);
	}
	commit(s);
}

static json_t *
queued_body(const struct send *s)
{
	char chat_id[STABLE_ID_LEN + 1];

	contacts_chat_id(&s->chat, &s->peer, chat_id);
	return json_pack("{s:s, s:s, s:s, s:I}", "message_id", s->id, "chat", chat_id, "status",
	    "queued", "time_ms", (json_int_t)s->created_ms);
}

/* The intent alone: it is encrypted when its turn comes. */
void
send_queue(struct send *s)
{
	flow_step(&s->f, "send_queue");
	if (!s->queueing)
		outbox_queueing(s->a, 1);
	s->queueing = 1;
	free(s->stanza);
	s->stanza = NULL;
	if ((s->unit = unit_open(s->a)) == NULL) {
		send_fail_store(s, "memory");
		return;
	}
	s->open = 1;
	put(s, STORED__OUTBOX_STATE__QUEUED);
	unit_event(s->unit, "message.status", "live", s->created_ms, queued_body(s), NULL);
	commit(s);
}

/* A session that was there is gone: make a new one, once. */
static int
lost_session(struct send *s, const Keyd__EncryptReply *m)
{
	size_t k = 0, lost = 0;

	for (size_t i = 0; i < s->ndev; i++) {
		if (s->dev[i].skip || k >= m->n_results)
			continue;
		if (m->results[k++]->outcome == KEYD__ENCRYPT_RESULT__OUTCOME__NO_SESSION &&
		    !s->dev[i].has_bundle) {
			s->dev[i].has_session = 0;
			lost++;
		}
	}
	return lost > 0;
}

/* ------------------------------------------------------------------ identities */

/* It is durable that the identity is held, or known: now it is refused. */
static void
refused(const struct unit_result *r, void *arg)
{
	struct send *s = arg;
	struct api_error e = refusal_error(0, s->refusal, 0);

	s->unit = NULL;
	if (!r->ok)
		send_fail_store(s, r->reason);
	else
		send_fail(s, &e, s->refusal);
}

static void
send_refuse(struct send *s, const char *why)
{
	flow_step(&s->f, "send_refuse");
	s->refusal = why;
	s->open = 0;
	unit_commit(s->unit, refused, s);
}

void
send_encrypt_ends(struct send *s)
{
	if (s->encrypting)
		s->a->sender->encrypting--;
	s->encrypting = 0;
}

/* keyd does one thing after the other, and units are applied in order: the next of the chat may
 * follow at once, so that many share what each costs, if all that this one may change is settled.
 * When it has no session after all, neither have those that followed, and all wait for one. */
static void
release_early(struct send *s)
{
	int bundles = s->building || s->reserved;

	for (size_t i = 0; i < s->ndev; i++)
		bundles |= s->dev[i].has_bundle;
	s->encrypting = 1;
	if (++s->a->sender->encrypting > ENCRYPTING_MAX || bundles)
		return;
	s->phase = SEND_RELEASED;
	send_lane_next(s);
}

/* What keyd said of the sessions. */
static void
note_sessions(struct send *s, const Keyd__EncryptReply *m)
{
	struct session_cache *c = s->a->sender->sessions;
	size_t k = 0;

	for (size_t i = 0; i < s->ndev && k < m->n_results; i++) {
		const struct send_device *d = &s->dev[i];

		if (d->skip)
			continue;
		if (m->results[k++]->outcome == KEYD__ENCRYPT_RESULT__OUTCOME__DONE)
			session_cache_add(c, d->address, d->jid.device);
		else
			session_cache_drop(c, d->address, d->jid.device);
	}
}

static void
encrypted(const struct reply *rp, void *arg)
{
	struct send *s = arg;
	const char *why;
	const Keyd__EncryptReply *m = (const Keyd__EncryptReply *)rp->pb;
	struct api_error e;

	s->ask = NULL;
	send_encrypt_ends(s);
	if (!rp->ok) {
		send_build_done(s);
		send_fail_store(s, rp->code);
		return;
	}
	note_sessions(s, m);
	if (lost_session(s, m) && !s->tried_again) {
		s->tried_again = 1;
		s->phase = SEND_WORKING; /* again */
		unit_abort(s->unit);
		s->unit = NULL;
		s->open = 0;
		send_prekeys(s);
		return;
	}
	unit_staged(s->unit, m->stages);
	send_build_done(s);
	if ((why = send_judge(s, m)) != NULL) {
		send_refuse(s, why);
		return;
	}
	if (make_stanza(s, m) == -1) {
		e = api_error_make(
		    -3, "server_error", 1, "no device of the recipient has usable keys");
		send_fail(s, &e, "no_device");
		return;
	}
	send_commit(s);
}

static void
encrypt(struct send *s)
{
	Keyd__Encrypt m = KEYD__ENCRYPT__INIT;
	Keyd__EncryptItem *items = calloc(s->ndev + 1, sizeof(*items));
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
	Keyd__EncryptItem **ptr = calloc(s->ndev + 1, sizeof(*ptr));
	Keyd__Address *addr = calloc(s->ndev + 1, sizeof(*addr));
	struct bundle_pb *bundles = calloc(s->ndev + 1, sizeof(*bundles));
	ProtobufCBinaryData plain[2] = {{0}};
	struct secret_pb secret;
	char chat[JID_TEXT_MAX];
	uint8_t *copy;
	size_t copy_len = 0, n = 0;
	int sent = 0;

	if (items == NULL || ptr == NULL || addr == NULL || bundles == NULL)
		fatal("send_encrypt");
	for (size_t i = 0; i < s->ndev; i++) {
		struct send_device *d = &s->dev[i];

		if (d->skip)
			continue;
		keyd__address__init(&addr[n]);
		addr[n].name = d->address;
		addr[n].device = d->jid.device;
		keyd__encrypt_item__init(&items[n]);
		items[n].address = &addr[n];
		items[n].plaintext = d->own;
		if (d->has_bundle) {
			bundle_fill(&d->bundle, &bundles[n]);
			items[n].bundle = &bundles[n].bundle;
		}
		ptr[n] = &items[n];
		n++;
	}
	copy =
	    content_device_sent(s->content, s->content_len, jid_format(&s->chat, chat), &copy_len);
	plain[0].data = content_pad(s->content, s->content_len, &plain[0].len);
	plain[1].data = copy == NULL ? NULL : content_pad(copy, copy_len, &plain[1].len);
	if (plain[0].data == NULL || plain[1].data == NULL || (s->unit = unit_open(s->a)) == NULL) {
		send_build_done(s);
		send_fail_store(s, "memory");
	} else {
		s->open = 1;
		m.account = s->a->name;
		m.unit = unit_id(s->unit);
		m.n_plaintexts = 2;
		m.plaintexts = plain;
		m.n_items = n;
		m.items = ptr;
		m.n_secrets = secrets_sent(
		    s->content, s->content_len, &s->peer, s->id, s->created_ms / 1000, &secret);
		m.secrets = secret.list;
		secret.secret.has_fresh = 1;
		secret.secret.fresh = s->repeats == 0 && !s->tried_again;
		s->ask = ask_keyd(s->a, KEYD__TYPE__ENCRYPT, &m.base, KEYD__TYPE__ENCRYPT_REPLY,
		    &keyd__encrypt_reply__descriptor, FRAME_PAYLOAD_MAX, KEYD_DEADLINE, encrypted,
		    s);
		sent = 1;
	}
	for (int i = 0; i < 2; i++) {
		if (plain[i].data != NULL)
			sodium_memzero(plain[i].data, plain[i].len);
		free(plain[i].data);
	}
	sodium_memzero(secret.bytes, sizeof(secret.bytes));
	if (copy != NULL)
		sodium_memzero(copy, copy_len);
	free(copy);
	free(items);
	free(ptr);
	free(addr);
	free(bundles);
	if (sent)
		release_early(s);
}

void
send_encrypt(struct send *s)
{
	flow_step(&s->f, "send_encrypt");
	s->wants_token = s->token_search != NULL;
	if (!s->wants_token)
		encrypt(s);
}
