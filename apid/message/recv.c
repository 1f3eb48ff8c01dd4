/* Incoming messages: who sent it, what keyd makes of it, and what becomes of that. */
#include <stdlib.h>
#include <string.h>

#include "apid/message/content.h"
#include "apid/message/held.h"
#include "apid/message/identity.h"
#include "apid/message/recv_event.h"
#include "apid/message/recv_impl.h"
#include "apid/message/secrets.h"
#include "apid/session/device_refresh.h"
#include "apid/session/devices.h"
#include "apid/session/engine.h"
#include "apid/session/presence.h"
#include "apid/session/stanza.h"
#include "common/log.h"
#include "ipc/frame.h"

#define NACK_PARSING   487
#define NACK_PROTOBUF  491
#define NACK_UNHANDLED 500
#define KEYD_DEADLINE  30000u
#define FAILURES_MAX   5u /* of one message, then it is given up */

/* ------------------------------------------------------------------ what keyd gave */

/* One plaintext. -1: it is no message. */
static int
recv_plaintext(struct recv *r, const ProtobufCBinaryData *padded)
{
	struct pb_arena *arena;
	const E2e__Message *m;
	int64_t len = content_unpad(padded->data, padded->len);
	const char *why = "padding";
	enum recv_event_kind kind;

	if (len < 0 || (arena = pb_arena_new(CONTENT_BUDGET)) == NULL)
		return -1;
	if ((m = content_parse(padded->data, (size_t)len, arena, &why)) == NULL) {
		pb_arena_free(arena);
		return -1;
	}
	if (secrets_take(r, m, padded->data, (size_t)len))
		kind = RECV_EVENT_MESSAGE; /* told when it is opened */
	else
		kind = recv_event_message(r->unit, r->a, &r->e, &r->sender, &r->chat, r->n, m,
		    padded->data, (size_t)len, r->enc_count > 0 || r->held != 0);
	if (kind == RECV_EVENT_HISTORY)
		r->hist_sync = 1;
	if (kind == RECV_EVENT_MAPPING)
		r->mapping = 1;
	if (kind == RECV_EVENT_MESSAGE)
		r->counted_new = 1;
	if (kind == RECV_EVENT_PHONE && buf_put(&r->phone, padded->data, (size_t)len) == -1) {
		pb_arena_free(arena);
		return -1;
	}
	recv_event_mark(r->unit, &r->e);
	pb_arena_free(arena);
	return 0;
}

/* ------------------------------------------------------------------ identities */

/* Another identity was seen: told once, with what became of it. */
static void
recv_changed(struct recv *r, const Keyd__IdentityChange *c, int trusted)
{
	struct jid bare = jid_bare(&r->e.sender);
	struct identity_news news = {.party = &r->sender,
	    .device = r->e.sender.device,
	    .implicit = 1,
	    .held = !trusted,
	    .held_messages = held_of(r->a, &r->sender) + (r->held == 0 && !trusted),
	    .origin = r->e.offline ? "offline" : "live",
	    .time_ms = r->e.time_ms};

	r->a->n.identity_changes++;
	identity_news_take(&news, c);
	identity_event(r->unit, &news);
	if (r->e.sender.device != 0 || !c->has_old_key)
		return;
	devices_drop(r->a, &bare, r->unit); /* page 04, 13.1 */
	r->new_primary = trusted;
}

/* Nobody has decided about its sender: kept, and acked without a receipt. */
static void
recv_hold(struct recv *r)
{
	static struct log_limit limit = LOG_LIMIT_INIT;
	int again;

	r->answer = RECV_ANSWER_ACK;
	if (r->damaged)
		identity_damaged(r->a);
	if (r->held != 0) {
		r->stays = 1;
		recv_commit(r);
		return;
	}
	r->holding = held_put(r->a, r->unit, &r->e, r->n, &again);
	if (r->holding == 0) {
		if (log_allowed(&limit))
			log_warnx("account %s: too many messages wait for a decision about an "
				  "identity: one is given to the events as it came",
			    r->a->name);
		stanza_keep(r->unit, r->n, "message_held");
	}
	if (r->holding == 0 || !again) {
		r->a->n.held++;
		recv_event_undecryptable(r->unit, r->a, &r->e, &r->sender, &r->chat, r->n,
		    r->damaged ? "identity_damaged" : "identity_held", 0);
	}
	recv_commit(r);
}

struct failure {
	const char *reason;
	unsigned retry; /* code of the retry receipt, 0 = none */
	unsigned nack;  /* else */
};

/* Protocol page 04, 10.6 and 12.1. */
static const struct failure failures[] = {
    [KEYD__DECRYPT_RESULT__OUTCOME__NO_SESSION] = {"no_session", 1, 0},
    [KEYD__DECRYPT_RESULT__OUTCOME__NO_PREKEY] = {"no_prekey", 3, 0},
    [KEYD__DECRYPT_RESULT__OUTCOME__BAD_MAC] = {"bad_mac", 7, 0},
    [KEYD__DECRYPT_RESULT__OUTCOME__INVALID] = {"invalid_message", 4, 0},
    [KEYD__DECRYPT_RESULT__OUTCOME__MALFORMED] = {"malformed", 0, NACK_PARSING},
    [KEYD__DECRYPT_RESULT__OUTCOME__FAILED] = {"failed", 0, NACK_UNHANDLED},
    [KEYD__DECRYPT_RESULT__OUTCOME__ADV_INVALID] = {"adv_invalid", 0, NACK_UNHANDLED},
};

static const struct failure *
failure_of(int outcome)
{
	if (outcome < 0 || (size_t)outcome >= sizeof(failures) / sizeof(failures[0]) ||
	    failures[outcome].reason == NULL)
		return &failures[KEYD__DECRYPT_RESULT__OUTCOME__FAILED];
	return &failures[outcome];
}

static void
recv_nack(struct recv *r, const char *reason, unsigned code)
{
	r->answer = RECV_ANSWER_NACK;
	r->nack = code;
	r->a->n.undecryptable++;
	recv_event_undecryptable(r->unit, r->a, &r->e, &r->sender, &r->chat, r->n, reason, 0);
	recv_commit(r);
}

/* What became of the encs together decides the answer; the readable ones are events in any case. */
static void
recv_results(struct recv *r, const Keyd__DecryptReply *m)
{
	const struct failure *bad = NULL;
	size_t done = 0, dup = 0, held = 0;

	for (size_t i = 0; i < m->n_results; i++) {
		const Keyd__DecryptResult *d = m->results[i];
		int damaged = d->outcome == KEYD__DECRYPT_RESULT__OUTCOME__IDENTITY_DAMAGED;
		int trusted = d->outcome != KEYD__DECRYPT_RESULT__OUTCOME__UNTRUSTED && !damaged;

		r->damaged |= damaged;
		if (d->change != NULL)
			recv_changed(r, d->change, trusted);
		if (!trusted) {
			held++;
		} else if (d->outcome == KEYD__DECRYPT_RESULT__OUTCOME__DUPLICATE) {
			dup++;
		} else if (d->outcome != KEYD__DECRYPT_RESULT__OUTCOME__DONE) {
			if (bad == NULL)
				bad = failure_of((int)d->outcome);
		} else if (d->has_plaintext && recv_plaintext(r, &d->plaintext) == 0) {
			done++;
		} else if (bad == NULL) {
			static const struct failure protobuf = {
			    "invalid_protobuf", 0, NACK_PROTOBUF};

			bad = &protobuf;
			if (d->has_plaintext) { /* it cannot be had again */
				recv_event_raw(r->unit, r->a, &r->e, "plaintext", &d->plaintext);
				recv_event_mark(r->unit, &r->e);
			}
		}
	}
	if (held > 0) { /* what was read of it is known when it comes again */
		recv_hold(r);
		return;
	}
	if (bad == NULL && r->others > 0 && done == 0 && dup == 0) {
		static const struct failure skmsg = {"no_sender_key", 1, 0};

		bad = &skmsg; /* sent again to this device alone, pairwise (12.5) */
	}
	if (bad != NULL && bad->retry != 0)
		recv_unread(r, bad->reason, bad->retry);
	else if (bad != NULL)
		recv_nack(r, bad->reason, bad->nack);
	else {
		if (done == 0 && dup > 0) {
			r->repeated = 1;
			recv_event_repeated(r->unit, &r->e, &r->sender, &r->chat, r->n);
		}
		if (r->counted_new && r->enc_count > 0)
			recv_was_unread(r);
		/* a group's shared enc beside a readable one is asked for once more, pairwise */
		if (r->others > 0 && done > 0 && !r->counted_new)
			recv_unread(r, "no_sender_key", 1);
		else if (r->phone.len > 0)
			recv_phone(r);
		else
			recv_commit(r);
	}
}

static void recv_ask(struct recv *r);

/* Nothing fits any session, which may stand under the number still. */
static int
none_fits(const Keyd__DecryptReply *m)
{
	for (size_t i = 0; i < m->n_results; i++)
		if (m->results[i]->outcome != KEYD__DECRYPT_RESULT__OUTCOME__NO_SESSION &&
		    m->results[i]->outcome != KEYD__DECRYPT_RESULT__OUTCOME__NO_PREKEY &&
		    m->results[i]->outcome != KEYD__DECRYPT_RESULT__OUTCOME__INVALID &&
		    m->results[i]->outcome != KEYD__DECRYPT_RESULT__OUTCOME__BAD_MAC)
			return 0;
	return m->n_results > 0;
}

/* There was nothing to move: it stays as it was. */
static void
recv_not_moved(struct recv *r)
{
	Keyd__DecryptReply m = KEYD__DECRYPT_REPLY__INIT;
	Keyd__DecryptResult results[RECV_ENCS_MAX], *list[RECV_ENCS_MAX];

	for (size_t i = 0; i < r->nencs; i++) {
		keyd__decrypt_result__init(&results[i]);
		results[i].outcome = (Keyd__DecryptResult__Outcome)r->first[i];
		list[i] = &results[i];
	}
	m.n_results = r->nencs;
	m.results = list;
	recv_results(r, &m);
}

static void
recv_moved_here(const struct reply *rp, void *arg)
{
	struct recv *r = arg;
	const Keyd__LidMoveReply *m = (const Keyd__LidMoveReply *)rp->pb;

	r->ask = NULL;
	if (!rp->ok) {
		recv_failed(r, rp->code);
		return;
	}
	unit_staged(r->unit, m->stages);
	if (m->moved > 0)
		recv_ask(r);
	else
		recv_not_moved(r);
}

/* What stands under the number goes to the LID within this message's unit, and it is tried once
 * more (3.3). lid_move.h has moved all before; but what was under way then, of a person whose LID
 * was not known yet, may have written under the number since. 0: there is no number. */
static int
recv_move_here(struct recv *r, const Keyd__DecryptReply *first)
{
	Keyd__LidMove m = KEYD__LID_MOVE__INIT;
	Keyd__Move move = KEYD__MOVE__INIT, *list[1] = {&move};
	Keyd__Address from = KEYD__ADDRESS__INIT, to = KEYD__ADDRESS__INIT;
	char number[81], lid[81];

	if (contacts_address_pn(&r->sender, &r->e.sender, number) == -1)
		return 0;
	contacts_address(&r->sender, &r->e.sender, lid);
	for (size_t i = 0; i < first->n_results; i++)
		r->first[i] = (int)first->results[i]->outcome;
	r->second = 1;
	from.name = number;
	to.name = lid;
	from.device = to.device = r->e.sender.device;
	move.from = &from;
	move.to = &to;
	m.account = r->a->name;
	m.unit = unit_id(r->unit);
	m.n_moves = 1;
	m.moves = list;
	r->ask = ask_keyd(r->a, KEYD__TYPE__LID_MOVE, &m.base, KEYD__TYPE__LID_MOVE_REPLY,
	    &keyd__lid_move_reply__descriptor, 64, KEYD_DEADLINE, recv_moved_here, r);
	return 1;
}

static void
recv_decrypted(const struct reply *rp, void *arg)
{
	struct recv *r = arg;
	const Keyd__DecryptReply *m = (const Keyd__DecryptReply *)rp->pb;

	r->ask = NULL;
	if (!rp->ok && strcmp(rp->code, "bad_request") == 0) {
		recv_nack(r, "bad_request", NACK_UNHANDLED); /* it would never be another answer */
		return;
	}
	if (!rp->ok || m->n_results != r->nencs) {
		recv_failed(r, rp->ok ? "internal" : rp->code);
		return;
	}
	unit_staged(r->unit, m->stages);
	if (!r->second && none_fits(m) && recv_move_here(r, m))
		return;
	recv_results(r, m);
}

/* ------------------------------------------------------------------ asking keyd */

static void
recv_ask(struct recv *r)
{
	Keyd__Decrypt m = KEYD__DECRYPT__INIT;
	Keyd__DecryptItem items[RECV_ENCS_MAX], *ptr[RECV_ENCS_MAX];
	Keyd__Address addr = KEYD__ADDRESS__INIT;
	const uint8_t *adv = NULL;
	size_t adv_len = 0;
	char name[81];

	(void)node_child_bytes(r->n, "device-identity", &adv, &adv_len);
	contacts_address(&r->sender, &r->e.sender, name);
	addr.name = name;
	addr.device = r->e.sender.device;
	for (size_t i = 0; i < r->nencs; i++) {
		const char *type = node_get(r->encs[i], "type");

		keyd__decrypt_item__init(&items[i]);
		items[i].address = &addr;
		items[i].kind = strcmp(type, "pkmsg") == 0 ? KEYD__DECRYPT_ITEM__KIND__PKMSG
							   : KEYD__DECRYPT_ITEM__KIND__MSG;
		items[i].ciphertext.data = r->encs[i]->bytes;
		items[i].ciphertext.len = r->encs[i]->nbytes;
		items[i].has_device_identity = adv_len > 0 && r->e.sender.device != 0 &&
					       items[i].kind == KEYD__DECRYPT_ITEM__KIND__PKMSG;
		if (items[i].has_device_identity) {
			items[i].device_identity.data = (uint8_t *)(uintptr_t)adv;
			/* one byte too many is as wrong as all of them */
			items[i].device_identity.len =
			    adv_len < IDENTITY_ADV_MAX ? adv_len : IDENTITY_ADV_MAX;
		}
		ptr[i] = &items[i];
	}
	m.account = r->a->name;
	m.unit = unit_id(r->unit);
	m.n_items = r->nencs;
	m.items = ptr;
	r->ask = ask_keyd(r->a, KEYD__TYPE__DECRYPT, &m.base, KEYD__TYPE__DECRYPT_REPLY,
	    &keyd__decrypt_reply__descriptor, FRAME_PAYLOAD_MAX, KEYD_DEADLINE, recv_decrypted, r);
}

static void
take_enc(struct recv *r, const struct node *enc)
{
	const char *type = node_get(enc, "type");
	int64_t count = node_get_int(enc, "count", 1000);

	if (!node_is(enc, "enc"))
		return;
	if (count > 0 && (unsigned)count > r->enc_count)
		r->enc_count = (unsigned)count;
	if (type != NULL && enc->has_bytes && enc->nbytes > 0 &&
	    (strcmp(type, "msg") == 0 || strcmp(type, "pkmsg") == 0) && r->nencs < RECV_ENCS_MAX)
		r->encs[r->nencs++] = enc;
	else if (type != NULL && strcmp(type, "skmsg") == 0)
		r->others++;
	else
		r->unknown++;
}

/* The encs for us: direct children, and those under participants that name this device. */
static void
take_encs(struct recv *r)
{
	const struct node *p = node_child(r->n, "participants");
	struct jid j;

	for (size_t i = 0; i < r->n->nchildren; i++)
		take_enc(r, r->n->children[i]);
	for (size_t i = 0; p != NULL && i < p->nchildren; i++) {
		const struct node *to = p->children[i];

		if (node_get_jid(to, "jid", &j) == 0 && account_is_this_device(r->a, &j))
			for (size_t k = 0; k < to->nchildren; k++)
				take_enc(r, to->children[k]);
	}
}

/* It can never be read, so it is taken off the queue of the service; its bytes are kept. */
static void
recv_broken(struct recv *r)
{
	r->answer = RECV_ANSWER_NACK;
	r->nack = NACK_PARSING;
	r->a->n.undecryptable++;
	recv_event_broken(r->unit, &r->e, &r->sender, &r->chat, r->broken, r->raw.data, r->raw.len);
	recv_commit(r);
}

/* It failed every time that it came: those behind it must not wait for ever. */
static void
recv_give_up(struct recv *r)
{
	log_warnx("account %s: a message is given up after %u failures; it is kept as it came",
	    r->a->name, r->a->recv->failures);
	stanza_keep(r->unit, r->n, "message_failed");
	recv_nack(r, "failed", NACK_UNHANDLED);
}

void
recv_decrypt(struct recv *r)
{
	const struct node *unavailable = node_child(r->n, "unavailable");

	flow_step(&r->f, "recv_decrypted");
	r->phase = RECV_WORKING;
	if ((r->unit = unit_open(r->a)) == NULL) {
		recv_failed(r, "memory");
		return;
	}
	r->open = 1;
	take_encs(r);
	if (recv_failed_last(r) && r->a->recv->failures >= FAILURES_MAX) {
		recv_give_up(r);
	} else if (r->broken != NULL) {
		recv_broken(r);
	} else if (r->held == 0 && r->nencs + (size_t)r->others > 0 &&
		   held_of(r->a, &r->sender) > 0) {
		recv_hold(r); /* behind what waits already */
	} else if (r->nencs > 0) {
		recv_ask(r);
	} else if (r->others > 0) {
		recv_unread(r, "no_sender_key", 1);
	} else if (unavailable != NULL) {
		recv_unavailable(r, unavailable);
	} else { /* of a kind that this version does not know */
		r->answer = RECV_ANSWER_ACK;
		r->a->n.unknown++;
		stanza_keep(r->unit, r->n, "message");
		recv_commit(r);
	}
}

/* ------------------------------------------------------------------ arriving */

static void recv_move(struct recv *r);

static void
recv_moved(const char *why, void *arg)
{
	struct recv *r = arg;

	r->move = NULL;
	if (why != NULL)
		recv_failed(r, why);
	else
		recv_move(r);
}

/* Sessions from before the LID was known must be found under it. */
static void
recv_move(struct recv *r)
{
	if (lid_move_due(r->a, &r->sender)) {
		flow_step(&r->f, "recv_move");
		r->move = lid_move_start(r->a, &r->sender, recv_moved, r);
		return;
	}
	device_refresh_seen(r->a, &r->e.sender, &r->sender);
	r->phase = RECV_READY;
	recv_pump(r->a->recv);
}

static void
recv_known(const struct person *people, size_t n, const Stored__LookupReply *lists, const char *why,
    void *arg)
{
	struct recv *r = arg;
	const char *notify = node_get(r->n, "notify");
	struct jid bare = jid_bare(&r->e.sender);

	r->lookup = NULL;
	if (why != NULL) {
		recv_failed(r, why);
		return;
	}
	envelope_learn(r->a, &r->e);
	if (notify != NULL && !r->e.from_me)
		contacts_learn_name(r->a, &bare, notify);
	else if (notify != NULL)
		presence_learn_name(r->a, notify);
	if (contacts_cached(r->a, &bare, &r->sender) == -1 && n > 0)
		r->sender = people[0];
	if (r->e.kind == ENVELOPE_DIRECT && contacts_cached(r->a, &r->e.chat, &r->chat) == -1)
		r->chat = people[r->made - 1];
	recv_move(r);
}

static void
recv_malformed(struct account *a, struct node *n, size_t size)
{
	struct unit *u = unit_open(a);

	a->n.undecodable++;
	if (u != NULL)
		stanza_keep(u, n, "message_malformed");
	stanza_answer_after(a, u, n, size, NACK_PARSING);
	node_free(n);
}

/* Into the lane: first of all, who is it? */
static void
recv_start(struct recv *r, struct account *a, struct node *n, size_t size)
{
	char sender[JID_TEXT_MAX], chat[JID_TEXT_MAX], alt[2][JID_TEXT_MAX];
	const char *names[4];
	struct jid bare;
	size_t k = 0;

	flow_init(&r->f, a->svc->flows, &recv_kind, a->name, NULL, 0);
	flow_step(&r->f, "recv_known");
	r->a = a;
	r->n = n;
	r->size = size;
	r->conn = a->conn;
	TAILQ_INSERT_TAIL(&a->recv->list, r, link);
	a->recv->n++;
	engine_inbound_begin(a->svc, size);
	bare = jid_bare(&r->e.sender);
	names[k++] = jid_format(&bare, sender);
	if (r->e.kind == ENVELOPE_DIRECT && !jid_same_user(&r->e.chat, &bare))
		names[k++] = jid_format(&r->e.chat, chat);
	r->made = k;
	/* the other names of both, for whom we may know as somebody else up to now */
	if (r->e.has_alt && r->e.alt.user[0] != '\0') {
		bare = jid_bare(&r->e.alt);
		names[k++] = jid_format(&bare, alt[0]);
	}
	if (r->e.has_chat_alt && r->e.chat_alt.user[0] != '\0') {
		bare = jid_bare(&r->e.chat_alt);
		names[k++] = jid_format(&bare, alt[1]);
	}
	r->lookup = contacts_ask_some(a, names, k, r->made, 0, recv_known, r);
}

void
recv_message(struct account *a, struct node *n, size_t size)
{
	struct recv *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		node_free(n);
		account_store_failed(a, "memory");
	} else if (envelope_parse(a, n, &r->e) == -1) {
		free(r);
		recv_malformed(a, n, size);
	} else {
		recv_start(r, a, n, size);
	}
}

int
recv_held(struct account *a, struct node *n, size_t size, uint64_t number)
{
	struct recv *r = calloc(1, sizeof(*r));

	if (r == NULL || envelope_parse(a, n, &r->e) == -1) {
		free(r);
		node_free(n);
		return -1;
	}
	r->held = number;
	recv_start(r, a, n, size);
	return 0;
}

int
recv_undecodable(
    struct account *a, struct node *n, const char *error, const uint8_t *bytes, size_t len)
{
	struct recv *r = calloc(1, sizeof(*r));

	if (r == NULL || envelope_parse(a, n, &r->e) == -1 || buf_put(&r->raw, bytes, len) == -1) {
		free(r);
		return -1;
	}
	r->broken = error;
	recv_start(r, a, n, len);
	return 0;
}
