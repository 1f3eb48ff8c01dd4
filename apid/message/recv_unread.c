/* A message that cannot be read: kept raw, told, and asked for again of its sender and of the own
 * phone (protocol page 04, 10.5, 10.6 and 12.1). */
#include <string.h>

#include "apid/message/phone_ask.h"
#include "apid/message/recv_event.h"
#include "apid/message/recv_impl.h"
#include "apid/message/retry.h"
#include "apid/message/retry_rate.h"
#include "common/clock.h"
#include "common/log.h"

#define KEYD_DEADLINE   30000u
#define STATUS_TIME_MS  INT64_C(86400000) /* then a status is over */
#define CODE_NO_SESSION 1u

static void
retry_keys(const struct reply *rp, void *arg)
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

/* Keys go with it from the second time on, and where a session must be made (12.1; page 12, 10);
 * but not to one who makes us ask without end. */
static int
wants_keys(const struct recv *r)
{
	if (r->attempt < 2 && r->retry_code != CODE_NO_SESSION && !jid_is_hosted(&r->e.from))
		return 0;
	if (retry_keys_take(r->a, r->name.sender, clock_mono_ms()))
		return 1;
	r->a->n.retries_bare++;
	return 0;
}

static void
make_receipt(struct recv *r)
{
	Keyd__PrekeysMake m = KEYD__PREKEYS_MAKE__INIT;

	if (!wants_keys(r)) {
		r->retry = retry_receipt(r->a, &r->e, r->attempt, r->retry_code, NULL);
		recv_commit(r);
		return;
	}
	flow_step(&r->f, "recv_retry_keys");
	m.account = r->a->name;
	m.unit = unit_id(r->unit);
	m.count = 1;
	m.has_retry = m.retry = 1;
	r->ask = ask_keyd(r->a, KEYD__TYPE__PREKEYS_MAKE, &m.base, KEYD__TYPE__PREKEYS_REPLY,
	    &keyd__prekeys_reply__descriptor, 8192, KEYD_DEADLINE, retry_keys, r);
}

/* How often it was asked for is known. */
static void
unread_known(const struct reply *rp, void *arg)
{
	struct recv *r = arg;
	const Stored__LookupReply *m = (const Stored__LookupReply *)rp->pb;
	unsigned tries, flags = 0;

	r->ask = NULL;
	if (!rp->ok || m->n_pending != 1) {
		recv_failed(r, rp->ok ? "internal" : rp->code);
		return;
	}
	tries = r->enc_count;
	if (m->pending[0]->stanza.len > 0 && m->pending[0]->has_attempts) {
		flags = m->pending[0]->attempts & ~UNREAD_TRIES;
		if ((m->pending[0]->attempts & UNREAD_TRIES) > tries)
			tries = m->pending[0]->attempts & UNREAD_TRIES;
	}
	if (r->unavailable != NULL || tries > RETRY_ASKS_MAX)
		tries = RETRY_ASKS_MAX; /* nobody but the phone is asked */
	r->attempt = tries < RETRY_ASKS_MAX ? ++tries : 0;
	if (r->unavailable == NULL)
		recv_event_undecryptable(
		    r->unit, r->a, &r->e, &r->sender, &r->chat, r->n, r->reason, tries);
	r->ask_phone = (flags & UNREAD_PHONE) == 0 && phone_ask_may(r->a, &r->e);
	if (r->attempt == 0 && !r->ask_phone && (flags & UNREAD_GIVEN_UP) == 0 &&
	    !phone_ask_waits(r->a, &r->name)) {
		recv_event_given_up(r->unit, &r->e, &r->sender, &r->chat, r->reason);
		flags |= UNREAD_GIVEN_UP;
	}
	unread_keep(r->a, r->unit, &r->name, r->n, flags | tries);
	if (r->attempt > 0)
		make_receipt(r);
	else
		recv_commit(r); /* a plain ack */
}

static void
ask_for_row(struct recv *r)
{
	flow_step(&r->f, "recv_unread");
	unread_name_of(&r->e, &r->sender, &r->chat, &r->name);
	r->ask = unread_ask(r->a, &r->name, 1, unread_known, r);
}

/* Bots answer in chats of people: nobody sends those again (12.1). */
static int
of_a_bot_elsewhere(const struct recv *r)
{
	const struct node *meta = node_child(r->n, "meta");
	struct jid chat;

	if (!jid_on(&r->e.sender, "bot"))
		return 0;
	if (r->e.kind != ENVELOPE_DIRECT)
		return 1;
	return meta != NULL && node_get_jid(meta, "target_chat_jid", &chat) == 0 &&
	       !jid_on(&chat, "bot");
}

void
recv_unread(struct recv *r, const char *reason, unsigned code)
{
	int64_t now = clock_wall_ms() + r->a->skew_ms;

	if (r->e.kind == ENVELOPE_STATUS && r->e.time_ms < now - STATUS_TIME_MS) {
		recv_commit(r); /* it is over: a receipt, and nothing is told */
		return;
	}
	r->answer = RECV_ANSWER_RETRY;
	r->retry_code = code;
	r->reason = reason;
	r->a->n.undecryptable++;
	if (r->e.kind == ENVELOPE_CHANNEL || of_a_bot_elsewhere(r)) {
		recv_event_undecryptable(
		    r->unit, r->a, &r->e, &r->sender, &r->chat, r->n, reason, 0);
		recv_commit(r); /* a plain ack */
		return;
	}
	ask_for_row(r);
}

/* The phone does not give away what may be seen once, and what is for bots and hosted devices (page
 * 12, 14). */
void
recv_unavailable(struct recv *r, const struct node *unavailable)
{
	const char *type = node_get(unavailable, "type"), *hosted = node_get(unavailable, "hosted");
	const char *kind = type != NULL ? type : "other";
	int plain = type == NULL;

	if (node_child(r->n, "bot") != NULL) {
		kind = "bot";
		plain = 0;
	} else if (hosted != NULL && strcmp(hosted, "true") == 0) {
		kind = "hosted";
		plain = 0;
	}
	r->answer = RECV_ANSWER_ACK;
	r->unavailable = unavailable;
	r->reason = "unavailable";
	recv_event_unavailable(r->unit, r->a, &r->e, &r->sender, &r->chat, kind);
	if (plain && r->e.kind != ENVELOPE_CHANNEL)
		ask_for_row(r);
	else
		recv_commit(r);
}
