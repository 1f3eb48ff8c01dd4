/* A message as the body of its event: received or sent, or what it does to an earlier one. */
#include "apid/message/message_event.h"

#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "apid/message/pbjson.h"
#include "apid/session/unit.h"

#define BODY_ROOM    (1024u) /* for what is added after the object, and keys */
#define MENTIONS_MAX 256u
#define OPTIONS_MAX  256u

/* ------------------------------------------------------------------ people */

static void
own_person(struct account *a, struct person *p)
{
	memset(p, 0, sizeof(*p));
	if (a->dev.has_jid && contacts_cached(a, &a->dev.jid, p) == 0)
		return;
	if (a->dev.has_jid)
		(void)snprintf(p->pn, sizeof(p->pn), "%s", a->dev.jid.user);
	if (a->dev.has_lid)
		(void)snprintf(p->lid, sizeof(p->lid), "%s", a->dev.lid.user);
}

/* Somebody who is named inside a message. NULL: not a person. */
static json_t *
named_party(struct account *a, const char *text)
{
	struct person p = {0};
	struct jid j;

	if (text == NULL || jid_parse(text, &j) == -1 || (!jid_is_pn(&j) && !jid_is_lid(&j)))
		return NULL;
	j = jid_bare(&j);
	if (account_is_own(a, &j))
		own_person(a, &p);
	else if (contacts_cached(a, &j, &p) == -1)
		(void)snprintf(jid_is_lid(&j) ? p.lid : p.pn, sizeof(p.pn), "%s", j.user);
	return contacts_party(&p);
}

/* ------------------------------------------------------------------ what stands beside a content
 */

static void
set_quoted(json_t *o, struct account *a, const E2e__ContextInfo *c)
{
	json_t *id = c->stanza_id == NULL ? NULL : json_string(c->stanza_id), *q, *by;

	if (id == NULL)
		return;
	q = json_object();
	json_object_set_new(q, "message_id", id);
	if ((by = named_party(a, c->participant)) != NULL)
		json_object_set_new(q, "sender", by);
	if (c->quoted_message != NULL)
		json_object_set_new(q, "content", content_json(c->quoted_message));
	json_object_set_new(o, "quoted", q);
}

static void
set_mentions(json_t *o, struct account *a, const E2e__ContextInfo *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->n_mentioned_jid && i < MENTIONS_MAX; i++) {
		json_t *p = named_party(a, c->mentioned_jid[i]);

		if (p != NULL)
			json_array_append_new(list, p);
	}
	if (json_array_size(list) > 0)
		json_object_set(o, "mentions", list);
	json_decref(list);
}

static void
set_context(json_t *o, struct account *a, const E2e__Message *m)
{
	const E2e__ContextInfo *c = content_context(m);

	if (m->view_once_message != NULL || m->view_once_message_v2 != NULL ||
	    m->view_once_message_v2_extension != NULL)
		json_object_set_new(o, "view_once", json_true());
	if (c == NULL)
		return;
	set_quoted(o, a, c);
	set_mentions(o, a, c);
	if (c->has_is_forwarded && c->is_forwarded)
		json_object_set_new(o, "forwarded_score",
		    json_integer(c->has_forwarding_score ? c->forwarding_score : 1));
	if (c->has_expiration && c->expiration > 0)
		json_object_set_new(o, "expires_in_s", json_integer(c->expiration));
}

/* ------------------------------------------------------------------ what it does to an earlier one
 */

/* An edit stands at the top or in editedMessage (protocol page 04, section 15). */
static const E2e__ProtocolMessage *
protocol_of(const E2e__Message *m)
{
	m = content_unwrap(m);
	if (m->edited_message != NULL && m->edited_message->message != NULL)
		m = content_unwrap(m->edited_message->message);
	return m->protocol_message;
}

static int
has_id(const Wacommon__MessageKey *key)
{
	return key != NULL && key->id != NULL && key->id[0] != '\0';
}

static int
is_direct(const struct message_facts *f)
{
	return f->chat_person != NULL;
}

/* Only the author changes a message; who sent this is the author if the key says so. */
static int
is_edit(const E2e__ProtocolMessage *p)
{
	return p != NULL && p->edited_message != NULL && has_id(p->key) && p->key->from_me &&
	       (!p->has_type || p->type == E2E__PROTOCOL_MESSAGE__TYPE__MESSAGE_EDIT);
}

/* In a direct chat nobody takes back what the other wrote. */
static int
is_delete(const struct message_facts *f, const E2e__ProtocolMessage *p)
{
	return p != NULL && p->edited_message == NULL && has_id(p->key) &&
	       p->type == E2E__PROTOCOL_MESSAGE__TYPE__REVOKE && (p->key->from_me || !is_direct(f));
}

static json_t *
about(const struct message_facts *f, const Wacommon__MessageKey *key, const char *who,
    const struct person *sender)
{
	char chat_id[STABLE_ID_LEN + 1];
	json_t *o = json_object(), *id = json_string(key->id);

	contacts_chat_id(f->chat, f->chat_person, chat_id);
	json_object_set_new(o, "message_id", id != NULL ? id : json_string(""));
	json_object_set_new(o, "chat", json_string(chat_id));
	json_object_set_new(o, who, contacts_party(sender));
	json_object_set_new(o, "by_message_id", json_string(f->id));
	json_object_set_new(o, "from_me", json_boolean(f->from_me));
	json_object_set_new(o, "time_ms", json_integer(f->time_ms));
	return o;
}

static json_t *
edited_body(const struct message_facts *f, const Wacommon__MessageKey *key, const E2e__Message *now,
    const struct person *by)
{
	json_t *o = about(f, key, "editor", by);

	json_object_set_new(o, "content", content_json(now));
	set_context(o, f->a, now);
	return o;
}

static json_t *
deleted_body(const struct message_facts *f, const E2e__ProtocolMessage *p, const struct person *by)
{
	json_t *o = about(f, p->key, "by", by);

	json_object_set_new(o, "by_admin", json_boolean(!p->key->from_me));
	return o;
}

static json_t *
reaction_body(const struct message_facts *f, const Wacommon__MessageKey *key,
    const E2e__ReactionMessage *r, const struct person *by)
{
	json_t *o = about(f, key, "party", by);
	json_t *text = json_string(r->text != NULL ? r->text : "");

	json_object_set_new(o, "text", text != NULL ? text : json_string("\xef\xbf\xbd"));
	json_object_set_new(o, "encrypted", json_boolean(f->addon != NULL));
	if (is_direct(f)) /* the key is written from the side of who reacts */
		json_object_set_new(
		    o, "target_from_me", json_boolean(f->from_me ? key->from_me : !key->from_me));
	return o;
}

/* ------------------------------------------------------------------ what was opened */

/* Which options: SHA-256 of their names, as the poll that was told has these. None: taken back. */
static json_t *
vote_body(const struct message_facts *f, const E2e__PollVoteMessage *v, const struct person *by)
{
	const E2e__PollUpdateMessage *p = content_unwrap(f->m)->poll_update_message;
	json_t *o = about(f, f->addon->target, "voter", by), *list = json_array();
	char hex[65];

	for (size_t i = 0; i < v->n_selected_options && i < OPTIONS_MAX; i++)
		if (v->selected_options[i].len == 32)
			json_array_append_new(list, json_string(sodium_bin2hex(hex, sizeof(hex),
							v->selected_options[i].data, 32)));
	json_object_set_new(o, "options_sha256", list);
	if (p != NULL && p->has_sender_timestamp_ms) /* the newest of a voter counts */
		json_object_set_new(o, "voted_ms", json_integer(p->sender_timestamp_ms));
	return o;
}

static json_t *
response_body(
    const struct message_facts *f, const E2e__EventResponseMessage *r, const struct person *by)
{
	static const char *const words[] = {"unknown", "going", "not_going", "maybe"};
	json_t *o = about(f, f->addon->target, "party", by);
	unsigned n = r->has_response ? (unsigned)r->response : 0;

	json_object_set_new(o, "response", json_string(words[n < 4 ? n : 0]));
	json_object_set_new(
	    o, "guests", json_integer(r->has_extra_guest_count ? r->extra_guest_count : 0));
	return o;
}

/* The new text, or the edit as it would stand in the clear. */
static json_t *
opened_edit(const struct message_facts *f, const struct person *by)
{
	const E2e__ProtocolMessage *p = protocol_of(f->plain->message);
	json_t *o = edited_body(f, f->addon->target,
	    p != NULL && p->edited_message != NULL ? p->edited_message : f->plain->message, by);

	json_object_set_new(o, "encrypted", json_true());
	return o;
}

static json_t *
opened_body(const struct message_facts *f, const struct person *by, const char **type)
{
	switch (f->addon->use) {
	case KEYD__ADDON_OPEN__USE__POLL_VOTE:
		*type = "message.poll_vote";
		return vote_body(f, f->plain->vote, by);
	case KEYD__ADDON_OPEN__USE__EVENT_RESPONSE:
		*type = "message.event_response";
		return response_body(f, f->plain->response, by);
	case KEYD__ADDON_OPEN__USE__REACTION:
		*type = "message.reaction";
		return reaction_body(f, f->addon->target, f->plain->reaction, by);
	case KEYD__ADDON_OPEN__USE__POLL_EDIT:
	case KEYD__ADDON_OPEN__USE__POLL_ADD_OPTION:
		*type = "message.poll_edited";
		return opened_edit(f, by);
	default:
		*type = "message.edited";
		return opened_edit(f, by);
	}
}

/* ------------------------------------------------------------------ the body */

static json_t *
message_object(const struct message_facts *f, const struct person *sender)
{
	json_t *o = json_object();

	json_object_set_new(o, "message_id", json_string(f->id));
	json_object_set_new(o, "chat", contacts_chat(f->chat, f->chat_person));
	json_object_set_new(o, "sender", contacts_party(sender));
	json_object_set_new(o, "from_me", json_boolean(f->from_me));
	json_object_set_new(o, "time_ms", json_integer(f->time_ms));
	json_object_set_new(o, "content", content_json(f->m));
	set_context(o, f->a, f->m);
	return o;
}

json_t *
message_event_body(const struct message_facts *f, const char **type, json_t **carrier)
{
	const E2e__ProtocolMessage *p = protocol_of(f->m);
	const E2e__ReactionMessage *r = content_unwrap(f->m)->reaction_message;
	const struct person *sender = f->sender;
	struct person own;

	if (sender == NULL) {
		own_person(f->a, &own);
		sender = &own;
	}
	if (f->addon != NULL)
		return *carrier = opened_body(f, sender, type);
	if (is_edit(p)) {
		*type = "message.edited";
		return *carrier = edited_body(f, p->key, p->edited_message, sender);
	}
	if (is_delete(f, p)) {
		*type = "message.deleted";
		return *carrier = deleted_body(f, p, sender);
	}
	if (r != NULL && has_id(r->key)) {
		*type = "message.reaction";
		return *carrier = reaction_body(f, r->key, r, sender);
	}
	*type = f->from_me ? "message.sent" : "message.received";
	*carrier = message_object(f, sender);
	return json_pack("{s:o}", "message", *carrier);
}

void
message_event_object(json_t *body, json_t *carrier, const E2e__Message *m)
{
	size_t used = json_dumpb(body, NULL, 0, JSON_COMPACT) + BODY_ROOM, room;
	json_t *left = NULL, *object = NULL;

	room = used < UNIT_BODY_MAX ? UNIT_BODY_MAX - used : 0;
	if (room > PBJSON_LEFT_MAX * PBJSON_PATH_MAX * 2)
		room -= PBJSON_LEFT_MAX * PBJSON_PATH_MAX * 2; /* for what is left out */
	else
		room = 0;
	object = pbjson_out(&m->base, room < MESSAGE_OBJECT_MAX ? room : MESSAGE_OBJECT_MAX, &left);
	if (object != NULL)
		json_object_set_new(carrier, "object", object);
	else
		json_object_set_new(carrier, "object_left_out", json_pack("[s]", "*"));
	if (left != NULL && object != NULL)
		json_object_set(carrier, "object_left_out", left);
	json_decref(left);
}
