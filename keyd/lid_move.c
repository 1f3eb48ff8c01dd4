/* LID_MOVE: what stands under a number goes to the LID of the same person (protocol page 04, 3.3).
 */
#include <string.h>

#include <signal/curve.h>
#include <signal/session_record.h>
#include <signal/session_state.h>

#include "common/log.h"
#include "keyd/counter.h"
#include "keyd/provider.h"
#include "keyd/trust.h"
#include "keyd/verbs.h"

#define MOVES_MAX 256

static const char *
check_move(const ProtobufCMessage *pb)
{
	const Keyd__LidMove *q = (const Keyd__LidMove *)pb;

	if (q->n_moves > MOVES_MAX)
		return "more than 256 moves";
	for (size_t i = 0; i < q->n_moves; i++) {
		const Keyd__Move *m = q->moves[i];

		if (!session_address_ok(m->from) || !session_address_ok(m->to))
			return "an address is malformed";
		if (m->from->device != m->to->device || strcmp(m->from->name, m->to->name) == 0)
			return "a move is not from one address of a device to another";
	}
	return NULL;
}

static void
load_move(struct request *r)
{
	const Keyd__LidMove *q = (const Keyd__LidMove *)r->pb;

	for (size_t i = 0; i < q->n_moves; i++) {
		session_need(r, STORED__DOMAIN__SESSION, q->moves[i]->from);
		session_need(r, STORED__DOMAIN__SESSION, q->moves[i]->to);
		session_need(r, STORED__DOMAIN__IDENTITY, q->moves[i]->from);
		session_need(r, STORED__DOMAIN__IDENTITY, q->moves[i]->to);
	}
}

static int
get(struct work *w, int domain, const Keyd__Address *a, struct buf *out)
{
	return work_get(w, domain, work_address(w, a->name, (int32_t)a->device), out);
}

static void
put(struct work *w, int domain, const Keyd__Address *a, const uint8_t *data, size_t len)
{
	work_put(w, domain, work_address(w, a->name, (int32_t)a->device), data, len);
}

static void
drop(struct work *w, int domain, const Keyd__Address *a)
{
	work_delete(w, domain, work_address(w, a->name, (int32_t)a->device));
}

static int
with_identity(session_record *record, const struct trust *known)
{
	ec_public_key *remote =
	    session_state_get_remote_identity_key(session_record_get_state(record));
	signal_buffer *typed = NULL;
	int same = remote != NULL && ec_public_key_serialize(&typed, remote) == 0 &&
		   signal_buffer_len(typed) == 33 &&
		   memcmp(signal_buffer_data(typed) + 1, known->key, 32) == 0;

	signal_buffer_free(typed);
	return same;
}

/* Both have one: the state of `from` above those of `to`. NULL: it cannot be read, or has no room.
 */
static signal_buffer *
merge(session_record *from, const struct buf *to)
{
	session_record *record = NULL;
	signal_buffer *out = NULL;

	if (session_record_deserialize(&record, to->data, to->len, provider_context) != 0 ||
	    session_record_promote_state(record, session_record_get_state(from)) != 0 ||
	    session_record_serialize(&out, record) != 0 ||
	    signal_buffer_len(out) > VAULT_PLAIN_MAX) {
		signal_buffer_bzero_free(out);
		out = NULL;
	}
	SIGNAL_UNREF(record);
	return out;
}

static void
move_session(struct work *w, const Keyd__Move *m, const struct buf *old)
{
	session_record *from = NULL;
	signal_buffer *both = NULL;
	struct buf to = BUF_INIT;
	struct trust known;
	int there = get(w, STORED__DOMAIN__SESSION, m->to, &to);

	drop(w, STORED__DOMAIN__SESSION, m->from);
	if (session_record_deserialize(&from, old->data, old->len, provider_context) != 0)
		goto done; /* of no use */
	if (trust_get(w, m->to->name, m->to->device, &known) == 1 && !with_identity(from, &known))
		goto done; /* of one who was registered anew since */
	if (there == 1)
		both = merge(from, &to);
	if (both != NULL)
		put(w, STORED__DOMAIN__SESSION, m->to, signal_buffer_data(both),
		    signal_buffer_len(both));
	else
		put(w, STORED__DOMAIN__SESSION, m->to, old->data, old->len);
	counters[COUNT_SESSIONS_MOVED]++;
done:
	signal_buffer_bzero_free(both);
	SIGNAL_UNREF(from);
	buf_clear(&to);
}

/* The LID's identity stays; what a person must decide, or has decided, of the number's is not
 * forgotten by that: the same key keeps the stronger state, and another one that was held or
 * verified makes the LID's held, unless the policy accepts what comes. */
static void
move_identity(const struct request *r, struct work *w, const Keyd__Move *m)
{
	struct trust from, to;
	int same, there = trust_get(w, m->to->name, m->to->device, &to);

	if (there == -1 || trust_get(w, m->from->name, m->from->device, &from) != 1)
		return;
	if (there == 0)
		trust_put(w, m->to->name, m->to->device, &from);
	same = there == 1 && memcmp(from.key, to.key, 32) == 0;
	if (there == 1 && from.state != KEYD__IDENTITY_STATE__TRUSTED &&
	    to.state == KEYD__IDENTITY_STATE__TRUSTED &&
	    (same || r->account->policy != TRUST_ACCEPT)) {
		to.state = same ? from.state : KEYD__IDENTITY_STATE__HELD;
		trust_put(w, m->to->name, m->to->device, &to);
	}
	drop(w, STORED__DOMAIN__IDENTITY, m->from);
}

/* 1 if there was anything. */
static int
move_one(struct request *r, const Keyd__Move *m)
{
	struct work *w = &r->work;
	struct buf session = BUF_INIT, identity = BUF_INIT;
	int has_session = get(w, STORED__DOMAIN__SESSION, m->from, &session);
	int has_identity = get(w, STORED__DOMAIN__IDENTITY, m->from, &identity);

	if (has_session == 1)
		move_session(w, m, &session);
	if (has_identity == 1)
		move_identity(r, w, m);
	buf_clear(&session);
	buf_clear(&identity);
	return has_session == 1 || has_identity == 1;
}

static void
run_move(struct request *r)
{
	const Keyd__LidMove *q = (const Keyd__LidMove *)r->pb;
	Keyd__LidMoveReply a = KEYD__LID_MOVE_REPLY__INIT;

	for (size_t i = 0; i < q->n_moves; i++)
		a.moved += (uint32_t)move_one(r, q->moves[i]);
	if (request_stage(r, q->unit, &a.stages) == 0)
		request_reply(r, KEYD__TYPE__LID_MOVE_REPLY, &a.base);
}

const struct verb verb_lid_move = {
    KEYD__TYPE__LID_MOVE, VERB_DEVICE, check_move, load_move, run_move};
