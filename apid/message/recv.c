/* Incoming messages: decrypted, durable, answered; in order of arrival. */
#include "apid/message/recv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <sodium.h>

#include "apid/message/contacts.h"
#include "apid/message/content.h"
#include "apid/message/envelope.h"
#include "apid/message/receipts.h"
#include "apid/message/recv_event.h"
#include "apid/message/retry.h"
#include "apid/session/ask.h"
#include "apid/session/engine.h"
#include "apid/session/stanza.h"
#include "apid/session/unit.h"
#include "common/log.h"
#include "ipc/frame.h"

#define ENCS_MAX              16u
#define NACK_PARSING          487
#define NACK_PROTOBUF         491
#define NACK_UNHANDLED        500
#define RETRY_INVALID_MESSAGE 4 /* 12.1 */
#define KEYD_DEADLINE         30000u
#define FAILURES_MAX          5u /* of one message, then it is given up */

enum answer {
	ANSWER_RECEIPT,
	ANSWER_ACK,
	ANSWER_NACK,
	ANSWER_RETRY,
	ANSWER_NOTHING
};

struct recv {
	struct flow f; /* first */
	TAILQ_ENTRY(recv) link;
	struct account *a;
	struct node *n;
	size_t size;
	uint64_t conn;
	struct envelope e;
	enum {
		RECV_ASKING,
		RECV_READY,
		RECV_WORKING,
		RECV_DONE
	} phase;
	struct person sender, chat; /* of a direct chat */
	int wrote_sender, wrote_chat;
	struct contacts_request *lookup;
	struct ask *ask;
	struct unit *unit;
	int open; /* the unit is not committed yet */
	/* what there is to decrypt */
	const struct node *encs[ENCS_MAX];
	size_t nencs;
	int others, unknown; /* enc nodes of other kinds; of kinds that nobody knows */
	unsigned enc_count;  /* highest `count` */
	int by_number;       /* the second try, under the address by number */
	/* how it ends */
	enum answer answer;
	unsigned nack;
	struct node *retry; /* the retry receipt, ready to go */
	unsigned attempt, retry_code;
	int hist_sync;   /* a receipt of that type too */
	int counted_new; /* a message event was added */
	int repeated;    /* all counters were used before: is it known? */
	/* a stanza that does not decode: n has only what could be read of it */
	const char *broken; /* why, or NULL */
	struct buf raw;
};

struct recv_lane {
	struct account *a;
	TAILQ_HEAD(recv_list, recv) list; /* in order of arrival */
	size_t n;
	int pumping;
	/* the one that failed last, and how often in a row it was the first to fail */
	char failed_id[MESSAGE_ID_MAX + 1];
	struct jid failed_from;
	unsigned failures;
};

static void lane_pump(struct recv_lane *l);
static void recv_decrypt(struct recv *r);
static void recv_commit(struct recv *r);
static void recv_end(struct flow *f, const char *outcome, const char *text);

static const struct flow_kind recv_kind = {"recv", recv_end};

struct recv_lane *
recv_lane_new(struct account *a)
{
	struct recv_lane *l = calloc(1, sizeof(*l));

	if (l == NULL)
		fatal("recv_lane_new");
	l->a = a;
	TAILQ_INIT(&l->list);
	return l;
}

void
recv_lane_free(struct recv_lane *l)
{
	if (l == NULL)
		return;
	while (!TAILQ_EMPTY(&l->list))
		flow_end(&TAILQ_FIRST(&l->list)->f, "cancelled", "stopping");
	free(l);
}

size_t
recv_in_flight(const struct account *a)
{
	return a->recv->n;
}

/* ------------------------------------------------------------------ the end */

/* Only a message whose effects are durable is answered, and only on the connection that brought it.
 */
static void
recv_answer(struct recv *r)
{
	struct account *a = r->a;

	if (r->conn != a->conn)
		return;
	switch (r->answer) {
	case ANSWER_RECEIPT:
		if (r->hist_sync) {
			struct jid own = jid_bare(&a->dev.jid);

			receipts_owe_parts(a, &own, NULL, NULL, "hist_sync", r->e.id);
		}
		receipts_owe(a, &r->e);
		break;
	case ANSWER_RETRY:
		if (r->retry != NULL) {
			a->n.retries_out++;
			(void)stanza_send(a, r->retry);
			r->retry = NULL;
		}
		stanza_ack(a, r->n, 0);
		break;
	case ANSWER_ACK:
		stanza_ack(a, r->n, 0);
		break;
	case ANSWER_NACK:
		stanza_ack(a, r->n, r->nack);
		break;
	case ANSWER_NOTHING:
		break;
	}
}

static void
recv_end(struct flow *f, const char *outcome, const char *text)
{
	struct recv *r = (struct recv *)f;
	struct recv_lane *l = r->a->recv;

	if (outcome == NULL)
		recv_answer(r);
	contacts_cancel(r->lookup);
	ask_cancel(r->ask);
	if (r->open)
		unit_abort(r->unit);
	else
		unit_detach(r->unit);
	TAILQ_REMOVE(&l->list, r, link);
	l->n--;
	engine_inbound_end(r->a->svc, r->size);
	node_free(r->retry);
	node_free(r->n);
	buf_clear(&r->raw);
	free(r);
}

/* Its effects are durable: answered when all that came before it are. */
static void
recv_done(struct recv *r)
{
	flow_step(&r->f, "recv_done");
	r->phase = RECV_DONE;
	lane_pump(r->a->recv);
}

/* Can it be this message's own fault, or is it the store's or keyd's as a whole? */
static int
may_be_its_own(const char *why)
{
	static const char *const words[] = {"internal", "bad_request", "unit", "store", "version",
	    "unknown", "no_memory", "memory"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(why, words[i]) == 0)
			return 1;
	return 0;
}

static int
failed_last(const struct recv *r)
{
	const struct recv_lane *l = r->a->recv;

	return strcmp(l->failed_id, r->e.id) == 0 && jid_eq(&l->failed_from, &r->e.from);
}

static void
count_failure(struct recv *r, const char *why)
{
	struct recv_lane *l = r->a->recv;

	if (!may_be_its_own(why))
		return;
	l->failures = failed_last(r) ? l->failures + 1 : 1;
	memcpy(l->failed_id, r->e.id, sizeof(l->failed_id));
	l->failed_from = r->e.from;
}

/* The store or keyd could not do it: nothing is answered, the service delivers again. */
static void
recv_failed(struct recv *r, const char *why)
{
	struct account *a = r->a;
	struct recv_lane *l = a->recv;
	int current = r->conn == a->conn;

	if (current) /* those behind it fail with it */
		count_failure(r, why);
	flow_end(&r->f, why, "the message comes again");
	if (current)
		account_store_failed(a, why);
	lane_pump(l);
}

static void
lane_pump(struct recv_lane *l)
{
	struct recv *r, *next;

	if (l->pumping) /* the outer one goes on */
		return;
	l->pumping = 1;
	for (r = TAILQ_FIRST(&l->list); r != NULL && r->phase != RECV_ASKING; r = next) {
		next = TAILQ_NEXT(r, link);
		if (r->phase == RECV_READY)
			recv_decrypt(r); /* opens its unit: in order of arrival */
	}
	while ((r = TAILQ_FIRST(&l->list)) != NULL && r->phase == RECV_DONE)
		flow_end(&r->f, NULL, NULL);
	l->pumping = 0;
}

/* ------------------------------------------------------------------ committing */

/* A second copy is answered as the first. Another message under a used counter can be had only from
 * its sender: Signal has thrown the key away (04, 10.8). */
static void
recv_repeated(struct recv *r, const struct unit_result *u)
{
	if (u->nseqs == 0 || u->seqs[u->nseqs - 1] == 0) {
		r->a->n.duplicates++;
		return;
	}
	r->a->n.undecryptable++;
	r->answer = ANSWER_RETRY;
	r->attempt = retry_next(r->a, &r->e, r->enc_count);
	if (r->attempt > 0)
		r->retry = retry_receipt(r->a, &r->e, r->attempt, RETRY_INVALID_MESSAGE, NULL);
}

static void
recv_committed(const struct unit_result *u, void *arg)
{
	struct recv *r = arg;

	r->unit = NULL;
	if (r->wrote_sender)
		contacts_written(r->a, &r->e.sender, u->ok);
	if (r->wrote_chat)
		contacts_written(r->a, &r->e.chat, u->ok);
	if (!u->ok) {
		recv_failed(r, u->reason);
		return;
	}
	if (r->counted_new)
		r->a->n.received++;
	if (r->repeated)
		recv_repeated(r, u);
	recv_done(r);
}

static void
recv_commit(struct recv *r)
{
	flow_step(&r->f, "recv_commit");
	r->wrote_sender = contacts_write(r->a, &r->e.sender, r->unit);
	if (r->e.kind == ENVELOPE_DIRECT && !jid_same_user(&r->e.chat, &r->e.sender))
		r->wrote_chat = contacts_write(r->a, &r->e.chat, r->unit);
	r->open = 0;
	unit_commit(r->unit, recv_committed, r);
}

/* ------------------------------------------------------------------ retries */

static void
recv_retry_keys(const struct reply *rp, void *arg)
{
	struct recv *r = arg;
	const Keyd__PrekeysReply *m = (const Keyd__PrekeysReply *)rp->pb;

	r->ask = NULL;
	if (!rp->ok) {
		recv_failed(r, rp->code);
		return;
	}
	unit_staged(r->unit, m->stages);
	r->retry = retry_receipt(r->a, &r->e, r->attempt, r->retry_code, m);
	recv_commit(r);
}

/* It cannot be read: say so, and ask the sender again, with keys if a session must be made. */
static void
recv_undecryptable(struct recv *r, const char *reason, unsigned code)
{
	Keyd__PrekeysMake m = KEYD__PREKEYS_MAKE__INIT;

	r->answer = ANSWER_RETRY;
	r->retry_code = code;
	r->attempt = retry_next(r->a, &r->e, r->enc_count);
	r->a->n.undecryptable++;
	recv_event_undecryptable(
	    r->unit, r->a, &r->e, &r->sender, &r->chat, r->n, reason, r->attempt);
	if (r->attempt == 0 || r->e.kind == ENVELOPE_CHANNEL) {
		recv_commit(r); /* asked often enough: plain ack */
		return;
	}
	if (r->attempt < 2 && code != 1) {
		r->retry = retry_receipt(r->a, &r->e, r->attempt, code, NULL);
		recv_commit(r);
		return;
	}
	flow_step(&r->f, "recv_retry_keys");
	m.account = r->a->name;
	m.unit = unit_id(r->unit);
	m.count = 1;
	m.has_retry = m.retry = 1;
	r->ask = ask_keyd(r->a, KEYD__TYPE__PREKEYS_MAKE, &m.base, KEYD__TYPE__PREKEYS_REPLY,
	    &keyd__prekeys_reply__descriptor, 8192, KEYD_DEADLINE, recv_retry_keys, r);
}

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
	kind = recv_event_message(r->unit, r->a, &r->e, &r->sender, &r->chat, r->n, m, padded->data,
	    (size_t)len, r->enc_count > 0);
	if (kind == RECV_EVENT_HISTORY)
		r->hist_sync = 1;
	if (kind == RECV_EVENT_MESSAGE)
		r->counted_new = 1;
	recv_event_mark(r->unit, &r->e);
	pb_arena_free(arena);
	return 0;
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
    [KEYD__DECRYPT_RESULT__OUTCOME__UNTRUSTED] = {"untrusted_identity", 0, NACK_UNHANDLED},
    [KEYD__DECRYPT_RESULT__OUTCOME__FAILED] = {"failed", 0, NACK_UNHANDLED},
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
	r->answer = ANSWER_NACK;
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
	size_t done = 0, dup = 0;

	for (size_t i = 0; i < m->n_results; i++) {
		const Keyd__DecryptResult *d = m->results[i];

		if (d->outcome == KEYD__DECRYPT_RESULT__OUTCOME__DUPLICATE) {
			dup++;
		} else if (d->outcome != KEYD__DECRYPT_RESULT__OUTCOME__DONE) {
			if (bad == NULL)
				bad = failure_of((int)d->outcome);
		} else if (d->has_plaintext && recv_plaintext(r, &d->plaintext) == 0) {
			done++;
			if (d->has_identity_changed && d->identity_changed)
				recv_event_identity(r->unit, r->a, &r->e, &r->sender);
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
	if (bad == NULL && r->others > 0 && done == 0 && dup == 0) {
		static const struct failure skmsg = {"no_sender_key", 1, 0};

		bad = &skmsg; /* sent again to this device alone, pairwise (12.5) */
	}
	if (bad != NULL && bad->retry != 0)
		recv_undecryptable(r, bad->reason, bad->retry);
	else if (bad != NULL)
		recv_nack(r, bad->reason, bad->nack);
	else {
		if (done == 0 && dup > 0) {
			r->repeated = 1;
			recv_event_repeated(r->unit, &r->e, &r->sender, &r->chat, r->n);
		}
		/* a group's shared enc beside a readable one is asked for once more, pairwise */
		if (r->others > 0 && done > 0 && !r->counted_new)
			recv_undecryptable(r, "no_sender_key", 1);
		else
			recv_commit(r);
	}
}

static void recv_ask(struct recv *r);

static int
all_no_session(const Keyd__DecryptReply *m)
{
	for (size_t i = 0; i < m->n_results; i++)
		if (m->results[i]->outcome != KEYD__DECRYPT_RESULT__OUTCOME__NO_SESSION &&
		    m->results[i]->outcome != KEYD__DECRYPT_RESULT__OUTCOME__INVALID &&
		    m->results[i]->outcome != KEYD__DECRYPT_RESULT__OUTCOME__BAD_MAC)
			return 0;
	return m->n_results > 0;
}

static void
recv_decrypted(const struct reply *rp, void *arg)
{
	struct recv *r = arg;
	const Keyd__DecryptReply *m = (const Keyd__DecryptReply *)rp->pb;
	char name[81];

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
	/* a session from before the LID was known stands under the number (3.3) */
	if (!r->by_number && all_no_session(m) &&
	    contacts_address_pn(&r->sender, &r->e.sender, name) == 0) {
		r->by_number = 1;
		recv_ask(r);
		return;
	}
	recv_results(r, m);
}

/* ------------------------------------------------------------------ asking keyd */

static void
recv_ask(struct recv *r)
{
	Keyd__Decrypt m = KEYD__DECRYPT__INIT;
	Keyd__DecryptItem items[ENCS_MAX], *ptr[ENCS_MAX];
	Keyd__Address addr = KEYD__ADDRESS__INIT;
	char name[81];

	if (!r->by_number || contacts_address_pn(&r->sender, &r->e.sender, name) == -1)
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
	    (strcmp(type, "msg") == 0 || strcmp(type, "pkmsg") == 0) && r->nencs < ENCS_MAX)
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
	r->answer = ANSWER_NACK;
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

static void
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
	if (failed_last(r) && r->a->recv->failures >= FAILURES_MAX) {
		recv_give_up(r);
	} else if (r->broken != NULL) {
		recv_broken(r);
	} else if (r->nencs > 0) {
		recv_ask(r);
	} else if (r->others > 0) {
		recv_undecryptable(r, "no_sender_key", 1);
	} else if (unavailable != NULL) {
		r->answer = ANSWER_ACK;
		recv_event_unavailable(r->unit, r->a, &r->e, &r->sender, &r->chat, unavailable);
		recv_commit(r);
	} else { /* of a kind that this version does not know */
		r->answer = ANSWER_ACK;
		r->a->n.unknown++;
		stanza_keep(r->unit, r->n, "message");
		recv_commit(r);
	}
}

/* ------------------------------------------------------------------ arriving */

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
	if (contacts_cached(r->a, &bare, &r->sender) == -1 && n > 0)
		r->sender = people[0];
	if (r->e.kind == ENVELOPE_DIRECT && contacts_cached(r->a, &r->e.chat, &r->chat) == -1)
		r->chat = people[n - 1];
	r->phase = RECV_READY;
	lane_pump(r->a->recv);
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
	char sender[JID_TEXT_MAX], chat[JID_TEXT_MAX];
	const char *names[2];
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
	r->lookup = contacts_ask(a, names, k, 0, recv_known, r);
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
