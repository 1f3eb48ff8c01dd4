/* The lane of incoming messages of an account: whose turn it is, and how one ends: durable, then
 * answered, in the order in which they came. */
#include <stdlib.h>
#include <string.h>

#include "apid/message/held.h"
#include "apid/message/identity.h"
#include "apid/message/lid_mapping.h"
#include "apid/message/phone_ask.h"
#include "apid/message/outbox.h"
#include "apid/message/receipts.h"
#include "apid/message/recv_impl.h"
#include "apid/message/secrets.h"
#include "apid/session/engine.h"
#include "apid/session/login.h"
#include "apid/session/stanza.h"
#include "common/log.h"

#define RETRY_INVALID_MESSAGE 4u /* 12.1 */

static void recv_end(struct flow *f, const char *outcome, const char *text);

const struct flow_kind recv_kind = {"recv", recv_end};

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

uint64_t
recv_ended(const struct account *a)
{
	return a->recv->ended;
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
	if (r->held != 0 && r->answer != RECV_ANSWER_RECEIPT && r->retry == NULL)
		return; /* it was acked when it was kept */
	switch (r->answer) {
	case RECV_ANSWER_RECEIPT:
		if (r->hist_sync) {
			struct jid own = jid_bare(&a->dev.jid);

			receipts_owe_parts(a, &own, NULL, NULL, "hist_sync", r->e.id);
		}
		receipts_owe(a, &r->e);
		break;
	case RECV_ANSWER_RETRY:
		if (r->retry != NULL) {
			a->n.retries_out++;
			(void)stanza_send(a, r->retry);
			r->retry = NULL;
		}
		if (r->held == 0)
			stanza_ack(a, r->n, 0);
		break;
	case RECV_ANSWER_ACK:
		stanza_ack(a, r->n, 0);
		break;
	case RECV_ANSWER_NACK:
		stanza_ack(a, r->n, r->nack);
		break;
	case RECV_ANSWER_NOTHING:
		break;
	}
}

static void
recv_end(struct flow *f, const char *outcome, const char *text)
{
	struct recv *r = (struct recv *)f;
	struct account *a = r->a;
	struct recv_lane *l = a->recv;
	uint64_t held = r->held;
	enum held_end how = outcome != NULL ? HELD_FAILED : r->stays ? HELD_STAYS : HELD_GONE;

	if (outcome == NULL)
		recv_answer(r);
	if (outcome == NULL && r->new_primary)
		identity_new_primary(a, &r->e.sender);
	contacts_cancel(r->lookup);
	lid_move_cancel(r->move);
	ask_cancel(r->ask);
	if (r->open)
		unit_abort(r->unit);
	else
		unit_detach(r->unit);
	TAILQ_REMOVE(&l->list, r, link);
	l->n--;
	l->ended++;
	engine_inbound_end(a->svc, r->size);
	secrets_free(r);
	node_free(r->retry);
	node_free(r->n);
	buf_clear(&r->raw);
	buf_clear(&r->phone);
	recv_phone_free(r->recovering);
	free(r);
	login_message_ended(a);
	if (held != 0)
		held_ended(a, held, how);
	held_recv_ended(a);
}

/* Its effects are durable: answered when all that came before it are. */
static void
recv_done(struct recv *r)
{
	flow_step(&r->f, "recv_done");
	r->phase = RECV_DONE;
	recv_pump(r->a->recv);
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

int
recv_failed_last(const struct recv *r)
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
	l->failures = recv_failed_last(r) ? l->failures + 1 : 1;
	memcpy(l->failed_id, r->e.id, sizeof(l->failed_id));
	l->failed_from = r->e.from;
}

void
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
	recv_pump(l);
}

/* Others of its sender are held, and keyd has not said yet that one before it is to be held too: to
 * stand behind that one it waits for the word. */
static int
must_wait(struct recv *r)
{
	const struct recv *o;

	if (r->held != 0 || held_of(r->a, &r->sender) == 0)
		return 0;
	TAILQ_FOREACH(o, &r->a->recv->list, link)
	{
		if (o == r)
			return 0;
		if (o->ask != NULL && strcmp(o->sender.id, r->sender.id) == 0)
			return 1;
	}
	return 0;
}

void
recv_pump(struct recv_lane *l)
{
	struct recv *r, *next;

	if (l->pumping) /* the outer one goes on */
		return;
	l->pumping = 1;
	for (r = TAILQ_FIRST(&l->list); r != NULL && r->phase != RECV_ASKING; r = next) {
		next = TAILQ_NEXT(r, link);
		if (r->phase != RECV_READY)
			continue;
		if (must_wait(r))
			break;
		recv_decrypt(r); /* opens its unit: in order of arrival */
	}
	while ((r = TAILQ_FIRST(&l->list)) != NULL && r->phase == RECV_DONE)
		flow_end(&r->f, NULL, NULL);
	l->pumping = 0;
}

/* ------------------------------------------------------------------ committing */

/* A second copy is answered as the first. Another message under a used counter can be had only from
 * its sender: Signal has thrown the key away (04, 10.8). */
static int
recv_repeated(struct recv *r, const struct unit_result *u)
{
	r->repeated = 0;
	if (u->nseqs == 0 || u->seqs[u->nseqs - 1] == 0) {
		r->a->n.duplicates++;
		return 0;
	}
	if ((r->unit = unit_open(r->a)) == NULL) {
		recv_failed(r, "memory");
		return 1;
	}
	r->open = 1;
	recv_unread(r, "counter_reused", RETRY_INVALID_MESSAGE);
	return 1;
}

static void
recv_committed(const struct unit_result *u, void *arg)
{
	struct recv *r = arg;

	r->unit = NULL;
	if (r->holding != 0)
		held_written(r->a, r->holding, u->ok);
	if (r->wrote_sender)
		contacts_written(r->a, &r->e.sender, u->ok);
	if (r->wrote_chat)
		contacts_written(r->a, &r->e.chat, u->ok);
	if (!u->ok) {
		recv_failed(r, u->reason);
		return;
	}
	if (r->mapping)
		lid_mapping_committed(r->a);
	if (r->counted_new)
		r->a->n.received++;
	if (r->repeated && recv_repeated(r, u))
		return;
	if (r->ask_phone)
		phone_ask_want(r->a, &r->name);
	recv_done(r);
}

void
recv_commit(struct recv *r)
{
	if (secrets_first(r))
		return;
	flow_step(&r->f, "recv_commit");
	if (r->e.kind == ENVELOPE_DIRECT && !r->e.peer) {
		contacts_met(r->a, &r->e.chat, r->e.time_ms);
		outbox_contact_met(r->a);
	}
	r->wrote_sender = contacts_write(r->a, &r->e.sender, r->unit);
	if (r->e.kind == ENVELOPE_DIRECT && !jid_same_user(&r->e.chat, &r->e.sender))
		r->wrote_chat = contacts_write(r->a, &r->e.chat, r->unit);
	if (r->held != 0 && !r->stays)
		held_delete(r->a, r->unit, r->held);
	r->open = 0;
	unit_commit(r->unit, recv_committed, r);
}
