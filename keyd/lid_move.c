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

const char *
lid_move_check(const void *asked)
{
	const Keyd__LidMove *q = asked;

	for (size_t i = 0; i < q->n_moves; i++) {
		const Keyd__Move *m = q->moves[i];

		if (m->from->device != m->to->device || strcmp(m->from->name, m->to->name) == 0)
			return "a move is not from one address of a device to another";
	}
	return NULL;
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
	int there = work_get(w, STORED__DOMAIN__SESSION, work_at(w, m->to), &to);

	work_delete(w, STORED__DOMAIN__SESSION, work_at(w, m->from));
	if (session_record_deserialize(&from, old->data, old->len, provider_context) != 0)
		goto done; /* of no use */
	if (trust_get(w, m->to, &known) == 1 && !trust_session_with(from, known.key))
		goto done; /* of one who was registered anew since */
	if (there == 1)
		both = merge(from, &to);
	if (both != NULL)
		work_put(w, STORED__DOMAIN__SESSION, work_at(w, m->to), signal_buffer_data(both),
		    signal_buffer_len(both));
	else
		work_put(w, STORED__DOMAIN__SESSION, work_at(w, m->to), old->data, old->len);
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
	int same, there = trust_get(w, m->to, &to);

	if (there == -1 || trust_get(w, m->from, &from) != 1)
		return;
	if (there == 0)
		trust_put(w, m->to, &from);
	same = there == 1 && memcmp(from.key, to.key, 32) == 0;
	if (there == 1 && from.state != KEYD__IDENTITY_STATE__TRUSTED &&
	    to.state == KEYD__IDENTITY_STATE__TRUSTED &&
	    (same || r->account->policy != TRUST_ACCEPT)) {
		to.state = same ? from.state : KEYD__IDENTITY_STATE__HELD;
		trust_put(w, m->to, &to);
	}
	work_delete(w, STORED__DOMAIN__IDENTITY, work_at(w, m->from));
}

/* 1 if there was anything. */
static int
move_one(struct request *r, const Keyd__Move *m)
{
	struct work *w = &r->work;
	struct buf session = BUF_INIT, identity = BUF_INIT;
	int has_session = work_get(w, STORED__DOMAIN__SESSION, work_at(w, m->from), &session);
	int has_identity = work_get(w, STORED__DOMAIN__IDENTITY, work_at(w, m->from), &identity);

	if (has_session == 1)
		move_session(w, m, &session);
	if (has_identity == 1)
		move_identity(r, w, m);
	buf_clear(&session);
	buf_clear(&identity);
	return has_session == 1 || has_identity == 1;
}

int
lid_move(struct request *r, const void *asked, void *answer)
{
	const Keyd__LidMove *q = asked;
	Keyd__LidMoveReply *a = answer;

	for (size_t i = 0; i < q->n_moves; i++)
		a->moved += (uint32_t)move_one(r, q->moves[i]);
	return 0;
}
