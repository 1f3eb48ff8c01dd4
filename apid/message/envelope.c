/* Who wrote an incoming message, and where it belongs. */
#include "apid/message/envelope.h"

#include <stdio.h>
#include <string.h>

#include "apid/message/contacts.h"
#include "apid/session/stanza.h"

/* hosted is the PN side, hosted.lid the LID side of a person */
static void
unhost(struct jid *j)
{
	if (jid_on(j, JID_HOSTED))
		(void)snprintf(j->server, sizeof(j->server), "%s", JID_PN);
	else if (jid_on(j, JID_HOSTED_LID))
		(void)snprintf(j->server, sizeof(j->server), "%s", JID_LID);
}

static enum envelope_kind
kind_of(const struct jid *from)
{
	if (jid_on(from, JID_GROUP))
		return ENVELOPE_GROUP;
	if (jid_on(from, JID_NEWSLETTER))
		return ENVELOPE_CHANNEL;
	if (jid_on(from, JID_BROADCAST))
		return strcmp(from->user, "status") == 0 ? ENVELOPE_STATUS : ENVELOPE_BROADCAST;
	return ENVELOPE_DIRECT;
}

static void
take_alt(const struct node *n, const char *key, const struct jid *of, struct jid *alt, int *has)
{
	if (node_get_jid(n, key, alt) == -1 || alt->user[0] == '\0')
		return;
	unhost(alt);
	if (alt->device == 0)
		alt->device = of->device;
	*has = 1;
}

static int
parse_direct(const struct account *a, const struct node *n, struct envelope *e)
{
	e->sender = e->from;
	unhost(&e->sender);
	if (account_is_own(a, &e->sender)) {
		e->from_me = 1;
		e->chat = jid_bare(e->has_recipient ? &e->recipient : &e->sender);
		unhost(&e->chat);
		take_alt(n, jid_is_lid(&e->chat) ? "peer_recipient_pn" : "peer_recipient_lid",
		    &e->chat, &e->chat_alt, &e->has_chat_alt);
		return 0;
	}
	e->chat = jid_bare(&e->sender);
	take_alt(n, jid_is_lid(&e->sender) ? "sender_pn" : "sender_lid", &e->sender, &e->alt,
	    &e->has_alt);
	return 0;
}

int
envelope_parse(const struct account *a, const struct node *n, struct envelope *e)
{
	const char *id = node_get(n, "id"), *category = node_get(n, "category");

	memset(e, 0, sizeof(*e));
	if (id == NULL || !message_id_ok(id) || node_get_jid(n, "from", &e->from) == -1 ||
	    e->from.user[0] == '\0')
		return -1;
	(void)snprintf(e->id, sizeof(e->id), "%s", id);
	e->has_participant = node_get_jid(n, "participant", &e->participant) == 0;
	e->has_recipient = node_get_jid(n, "recipient", &e->recipient) == 0;
	e->peer = category != NULL && strcmp(category, "peer") == 0;
	e->offline = node_get(n, "offline") != NULL;
	e->time_ms = stanza_time_ms(a, n);
	e->kind = kind_of(&e->from);
	if (e->kind == ENVELOPE_DIRECT)
		return parse_direct(a, n, e);
	e->chat = jid_bare(&e->from);
	if (e->kind == ENVELOPE_CHANNEL) {
		e->sender = e->from;
		return 0;
	}
	if (!e->has_participant || e->participant.user[0] == '\0')
		return -1;
	e->sender = e->participant;
	unhost(&e->sender);
	e->from_me = account_is_own(a, &e->sender);
	take_alt(n, jid_is_lid(&e->sender) ? "participant_pn" : "participant_lid", &e->sender,
	    &e->alt, &e->has_alt);
	return 0;
}

static void
learn(struct account *a, const struct jid *one, const struct jid *other)
{
	if (jid_is_lid(one) && jid_is_pn(other))
		contacts_learn_pair(a, other->user, one->user, "peer_lid_message");
	else if (jid_is_pn(one) && jid_is_lid(other))
		contacts_learn_pair(a, one->user, other->user, "peer_pn_message");
}

void
envelope_learn(struct account *a, const struct envelope *e)
{
	if (e->has_alt)
		learn(a, &e->sender, &e->alt);
	if (e->has_chat_alt)
		learn(a, &e->chat, &e->chat_alt);
}
