/* The session with a device that asks for a message again: as it is, from the keys that came with
 * the request, or from those of the service (protocol page 04, 12.3 and 12.4).
 *
 * A session that is not good any more is replaced, not deleted: keyd keeps the old state in the
 * archive of the new one, so that what is under way on it can still be read.
 */
#include <string.h>

#include "apid/message/lid_move.h"
#include "apid/message/retry.h"
#include "apid/message/retry_impl.h"
#include "apid/message/retry_rate.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"

#define REPLY_MAX 4096u

/* `registration` beside the keys: 0 if there is none; -1: it is too long. */
static int64_t
told_registration(const struct retry *r)
{
	const struct node *n = node_child(r->n, "registration");
	int64_t v = 0;

	if (n == NULL || !n->has_bytes)
		return 0;
	if (n->nbytes > 4)
		return -1;
	for (size_t i = 0; i < n->nbytes; i++)
		v = v << 8 | n->bytes[i];
	return v;
}

static void
apply_keys(struct retry *r, const struct node *keys)
{
	if (bundle_read(keys, node_child(r->n, "registration"), &r->bundle) == -1 ||
	    (!r->bundle.has_key && !jid_on(&r->requester, "bot")))
		retry_drop(r, "its keys are incomplete");
	else if (r->own && r->registration_id != 0 &&
		 r->registration_id != r->bundle.registration_id)
		retry_drop(r, "one of our own devices has another registration than before");
	else
		retry_encrypt(r);
}

/* Is the session one that cannot help? */
static int
is_stale(const struct retry *r, int64_t told)
{
	if (!r->has_session || (told != 0 && told != r->registration_id))
		return 1; /* none, or it is another install */
	if (r->count > 2 && r->same_base_key)
		return 1; /* not renewed since the second request: both sides are stuck on it */
	return r->count >= 2 &&
	       !retry_recreated_lately(r->a, r->address, r->requester.device, clock_mono_ms());
}

static void
retry_session(struct retry *r)
{
	const struct node *keys = node_child(r->n, "keys");
	int64_t told = told_registration(r);

	flow_step(&r->f, "retry_session");
	if (told < 0)
		retry_drop(r, "its registration is malformed");
	else if (keys != NULL)
		apply_keys(r, keys);
	else if (is_stale(r, told))
		retry_fetch(r);
	else
		retry_encrypt(r);
}

/* How often it got this message, and whether the session is the one of an earlier request. */
static void
retry_counts(const struct reply *rp, void *arg)
{
	struct retry *r = arg;
	const Stored__LookupReply *m = (const Stored__LookupReply *)rp->pb;

	r->ask = NULL;
	if (!rp->ok || m->n_pending != 1) {
		flow_end(&r->f, rp->ok ? "internal" : rp->code, "the request comes again");
		return;
	}
	if (m->pending[0]->stanza.len > 0)
		r->answers = m->pending[0]->attempts;
	r->same_base_key = m->n_same_base_key == 1 && m->same_base_key[0];
	if (r->answers >= RETRY_ANSWERS_MAX)
		retry_drop(r, "this device got the message often enough");
	else
		retry_session(r);
}

static void
facts_known(const struct reply *rp, void *arg)
{
	struct retry *r = arg;
	const Keyd__SessionsReply *m = (const Keyd__SessionsReply *)rp->pb;
	Stored__Lookup q = STORED__LOOKUP__INIT;
	Stored__MessageName name = unread_pb(&r->counted_as), *names[1] = {&name};
	Stored__BaseKey key = STORED__BASE_KEY__INIT, *keys[1] = {&key};
	Stored__BaseKeyName key_name = STORED__BASE_KEY_NAME__INIT;

	r->ask = NULL;
	if (!rp->ok || m->n_facts == 0) {
		flow_end(&r->f, rp->ok ? "internal" : rp->code, "the request comes again");
		return;
	}
	r->has_session = m->facts[0]->base_key.len == BASE_KEY_LEN;
	r->registration_id = m->facts[0]->registration_id;
	q.account = r->a->name;
	q.n_pending = 1;
	q.pending = names;
	if (r->has_session) {
		memcpy(r->base_key, m->facts[0]->base_key.data, BASE_KEY_LEN);
		key_name.address = r->address;
		key_name.message_id = r->id;
		key.name = &key_name;
		key.key = pb_bytes(r->base_key, BASE_KEY_LEN);
		q.n_base_keys = 1;
		q.base_keys = keys;
	}
	flow_step(&r->f, "retry_counts");
	r->ask = ask_stored(r->a, STORED__TYPE__LOOKUP, &q.base, STORED__TYPE__LOOKUP_REPLY,
	    &stored__lookup_reply__descriptor, UNREAD_REPLY_MAX, ASK_DEADLINE_MS, retry_counts, r);
}

void
retry_ask_facts(struct retry *r, channel_reply_fn *fn)
{
	Keyd__Sessions m = KEYD__SESSIONS__INIT;
	Keyd__Address a = KEYD__ADDRESS__INIT, *list[1] = {&a};

	a.name = r->address;
	a.device = r->requester.device;
	m.account = r->a->name;
	m.n_addresses = 1;
	m.addresses = list;
	m.has_facts = m.facts = 1;
	r->ask = ask_keyd(r->a, KEYD__TYPE__SESSIONS, &m.base, KEYD__TYPE__SESSIONS_REPLY,
	    &keyd__sessions_reply__descriptor, REPLY_MAX, ASK_DEADLINE_MS, fn, r);
}

static void
moved(const char *why, void *arg)
{
	struct retry *r = arg;

	r->move = NULL;
	if (why != NULL)
		flow_end(&r->f, why, "the request comes again");
	else
		retry_facts(r);
}

void
retry_facts(struct retry *r)
{
	if (lid_move_due(r->a, &r->person)) {
		flow_step(&r->f, "retry_move");
		r->move = lid_move_start(r->a, &r->person, moved, r);
		return;
	}
	flow_step(&r->f, "retry_facts");
	contacts_address(&r->person, &r->requester, r->address);
	retry_ask_facts(r, facts_known);
}
