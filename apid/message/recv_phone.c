/* The own phone gives messages that could not be read: each becomes its event, from the stanza that
 * was kept (protocol page 04, 14.4).
 *
 *	recv_phone -> request_known -> rows_known -> next (one message at a time) -> recv_commit
 */
#include <stdlib.h>
#include <string.h>

#include "apid/message/phone_ask.h"
#include "apid/message/recv_event.h"
#include "apid/message/recv_impl.h"
#include "apid/message/retry.h"
#include "apid/message/secrets.h"
#include "common/log.h"
#include "common/proto/web.pb-c.h"

#define ARENA_MAX (32u * 1024 * 1024)

struct recv_phone {
	struct pb_arena *arena;
	const E2e__PeerDataOperationRequestResponseMessage *m;
	struct unread_name request;
	struct unread_name names[UNREAD_ASK_MAX];
	struct node *stanzas[UNREAD_ASK_MAX]; /* as they were kept; NULL: it is read meanwhile */
	uint32_t attempts[UNREAD_ASK_MAX];
	const Web__WebMessageInfo *infos[UNREAD_ASK_MAX]; /* of the phone; NULL: none */
	size_t n, at;
	/* the one at hand */
	struct envelope e;
	const Web__WebMessageInfo *info;
};

void
recv_phone_free(struct recv_phone *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->n; i++)
		node_free(p->stanzas[i]);
	pb_arena_free(p->arena);
	free(p);
}

void
recv_was_unread(struct recv *r)
{
	unread_name_of(&r->e, &r->sender, &r->chat, &r->name);
	unread_drop(r->unit, &r->name);
	phone_ask_read(r->a, &r->name);
}

/* ------------------------------------------------------------------ one of them */

/* What the phone says about each of the messages that were asked for: read once, those that nobody
 * asked for and those beyond are left out. */
static void
read_infos(struct recv_phone *p)
{
	size_t n = p->m->n_peer_data_operation_result;

	for (size_t i = 0; i < n && i < UNREAD_ASK_MAX; i++) {
		const E2e__PeerDataOperationRequestResponseMessage__PeerDataOperationResult *r =
		    p->m->peer_data_operation_result[i];
		const ProtobufCBinaryData *raw;
		const Web__WebMessageInfo *info;

		if (r->placeholder_message_resend_response == NULL ||
		    !r->placeholder_message_resend_response->has_web_message_info_bytes)
			continue;
		raw = &r->placeholder_message_resend_response->web_message_info_bytes;
		info = pb_unpack(
		    &web__web_message_info__descriptor, raw->data, raw->len, p->arena, 0, NULL);
		if (info == NULL || info->key == NULL || info->key->id == NULL ||
		    !info->has_message)
			continue;
		for (size_t k = 0; k < p->n; k++)
			if (p->infos[k] == NULL && strcmp(info->key->id, p->names[k].id) == 0)
				p->infos[k] = info;
	}
}

static void next(struct recv *r);

/* It has none. If nobody else can be asked any more, that was all. */
static void
not_given(struct recv *r, const struct person *sender, const struct person *chat)
{
	struct recv_phone *p = r->recovering;

	if ((p->attempts[p->at] & UNREAD_TRIES) < RETRY_ASKS_MAX ||
	    (p->attempts[p->at] & UNREAD_GIVEN_UP) != 0)
		return;
	recv_event_given_up(r->unit, &p->e, sender, chat, "not_given");
	unread_keep(r->a, r->unit, &p->names[p->at], p->stanzas[p->at],
	    p->attempts[p->at] | UNREAD_GIVEN_UP);
}

/* Its event, as if its sender had sent it again. */
static void
recovered(struct recv *r, const struct person *sender, const struct person *chat)
{
	struct recv_phone *p = r->recovering;
	struct pb_arena *arena = pb_arena_new(CONTENT_BUDGET);
	const ProtobufCBinaryData *raw = &p->info->message;
	const E2e__Message *m =
	    arena == NULL ? NULL : content_parse(raw->data, raw->len, arena, NULL);

	if (m == NULL) {
		recv_event_raw(r->unit, r->a, &p->e, "from_phone", raw);
	} else if (!recv_event_peer_only(m)) {
		(void)recv_event_message(r->unit, r->a, &p->e, sender, chat, p->stanzas[p->at], m,
		    raw->data, raw->len, 1);
		secrets_recovered(r, &p->e, chat, m);
		r->counted_new = 1;
	}
	if (m != NULL)
		unread_drop(r->unit, &p->names[p->at]);
	phone_ask_read(r->a, &p->names[p->at]);
	pb_arena_free(arena);
}

static void
people_known(const struct person *people, size_t n, const Stored__LookupReply *lists,
    const char *why, void *arg)
{
	struct recv *r = arg;

	r->lookup = NULL;
	if (why != NULL) {
		recv_failed(r, why);
		return;
	}
	if (r->recovering->info != NULL)
		recovered(r, &people[0], &people[n - 1]);
	else
		not_given(r, &people[0], &people[n - 1]);
	r->recovering->at++;
	next(r);
}

static void
next(struct recv *r)
{
	struct recv_phone *p = r->recovering;
	char sender[JID_TEXT_MAX], chat[JID_TEXT_MAX];
	const char *names[2];
	struct jid bare;
	size_t k = 0;

	for (; p->at < p->n; p->at++)
		if (p->stanzas[p->at] != NULL &&
		    envelope_parse(r->a, p->stanzas[p->at], &p->e) == 0)
			break;
	if (p->at == p->n) {
		recv_commit(r);
		return;
	}
	p->info = p->infos[p->at];
	bare = jid_bare(&p->e.sender);
	names[k++] = jid_format(&bare, sender);
	if (p->e.kind == ENVELOPE_DIRECT && !jid_same_user(&p->e.chat, &bare))
		names[k++] = jid_format(&p->e.chat, chat);
	r->lookup = contacts_ask(r->a, names, k, 0, people_known, r);
}

/* ------------------------------------------------------------------ what was asked */

static void
rows_known(const struct reply *rp, void *arg)
{
	struct recv *r = arg;
	struct recv_phone *p = r->recovering;
	const Stored__LookupReply *m = (const Stored__LookupReply *)rp->pb;

	r->ask = NULL;
	if (!rp->ok || m->n_pending != p->n) {
		recv_failed(r, rp->ok ? "internal" : rp->code);
		return;
	}
	for (size_t i = 0; i < p->n; i++) {
		p->attempts[i] = m->pending[i]->attempts;
		if (m->pending[i]->stanza.len > 0)
			p->stanzas[i] = node_decode(
			    m->pending[i]->stanza.data, m->pending[i]->stanza.len, NULL);
	}
	read_infos(p);
	next(r);
}

/* The request that it answers says which messages may be among them: what was not asked for is not
 * believed. */
static void
request_known(const struct reply *rp, void *arg)
{
	static struct log_limit limit = LOG_LIMIT_INIT;
	struct recv *r = arg;
	struct recv_phone *p = r->recovering;
	const Stored__LookupReply *m = (const Stored__LookupReply *)rp->pb;

	r->ask = NULL;
	if (!rp->ok || m->n_pending != 1) {
		recv_failed(r, rp->ok ? "internal" : rp->code);
		return;
	}
	p->n = phone_ask_names(&m->pending[0]->stanza, p->names, UNREAD_ASK_MAX);
	if (p->n == 0) {
		if (log_allowed(&limit))
			log_notice("account %s: the phone gives messages that were not asked for",
			    r->a->name);
		recv_commit(r);
		return;
	}
	unread_drop(r->unit, &p->request);
	phone_ask_answered(r->a, p->request.id);
	flow_step(&r->f, "recv_phone_rows");
	r->ask = unread_ask(r->a, p->names, p->n, rows_known, r);
}

void
recv_phone(struct recv *r)
{
	struct recv_phone *p = r->recovering = calloc(1, sizeof(*p));
	const E2e__Message *m;

	if (p == NULL || (p->arena = pb_arena_new(ARENA_MAX)) == NULL) {
		recv_failed(r, "memory");
		return;
	}
	m = content_parse(r->phone.data, r->phone.len, p->arena, NULL);
	p->m = m == NULL || m->protocol_message == NULL
		   ? NULL
		   : m->protocol_message->peer_data_operation_request_response_message;
	if (p->m == NULL || p->m->stanza_id == NULL || !message_id_ok(p->m->stanza_id)) {
		recv_commit(r);
		return;
	}
	flow_step(&r->f, "recv_phone");
	phone_ask_request_name(p->m->stanza_id, &p->request);
	r->ask = unread_ask(r->a, &p->request, 1, request_known, r);
}
