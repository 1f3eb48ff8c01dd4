/* The events that an incoming message becomes. */
#include "apid/message/recv_event.h"

#include <ctype.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "apid/message/history_salt.h"
#include "apid/message/lid_mapping.h"
#include "apid/message/message_event.h"
#include "apid/session/stanza.h"

void
recv_event_key(
    char out[256], char kind, const char *chat_id, const char *sender_id, const char *message_id)
{
	(void)snprintf(out, 256, "%c:%s:%s:%s", kind, chat_id, sender_id, message_id);
}

static const char *
origin_of(const struct envelope *e, int resent)
{
	return resent ? "recovered" : e->from_me ? "self" : e->offline ? "offline" : "live";
}

/* Who sent it, for the key: all devices of one person are one sender. */
static const char *
sender_key(const struct envelope *e, const struct person *sender, char buf[JID_TEXT_MAX])
{
	struct jid bare = jid_bare(&e->sender);

	if (e->from_me)
		return "me";
	return sender->id[0] != '\0' ? sender->id : jid_format(&bare, buf);
}

static void
add_parts(struct unit *u, const struct envelope *e, const char *kind, const char *key,
    const uint8_t *raw, size_t len, size_t parts)
{
	char dedup[280];

	for (size_t i = 1; i <= parts; i++) {
		json_t *o = content_raw_part(raw, len, i);

		json_object_set_new(o, "kind", json_string(kind));
		json_object_set_new(o, "message_id", json_string(e->id));
		(void)snprintf(dedup, sizeof(dedup), "%s:%zu", key, i);
		unit_event(
		    u, "server.notice", e->offline ? "offline" : "live", e->time_ms, o, dedup);
	}
}

/* ------------------------------------------------------------------ from our phone */

/* Keys that the phone shares are secrets of the account: which they are is told, not what. They can
 * be asked for again. */
static json_t *
key_share(const E2e__AppStateSyncKeyShare *s)
{
	json_t *ids = json_array();

	for (size_t i = 0; i < s->n_keys && i < 1024; i++) {
		const E2e__AppStateSyncKeyId *id = s->keys[i]->key_id;
		char *b64;

		if (id == NULL || !id->has_key_id || id->key_id.len > 64 ||
		    (b64 = stanza_base64(id->key_id.data, id->key_id.len)) == NULL)
			continue;
		json_array_append_new(ids, json_string(b64));
		free(b64);
	}
	return ids;
}

static enum recv_event_kind
peer_message(struct unit *u, const struct envelope *e, const E2e__ProtocolMessage *p,
    const uint8_t *raw, size_t len)
{
	char kind[96] = "peer.", from[JID_TEXT_MAX], key[256];
	json_t *o = json_object();
	size_t parts = 0, n = strlen(kind);

	(void)snprintf(kind + n, sizeof(kind) - n, "%s",
	    content_protocol_name(p->has_type ? (int)p->type : 0));
	for (char *c = kind + n; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	json_object_set_new(o, "kind", json_string(kind));
	json_object_set_new(o, "from", json_string(jid_format(&e->from, from)));
	json_object_set_new(o, "message_id", json_string(e->id));
	recv_event_key(key, 'p', from, "me", e->id);
	if (p->app_state_sync_key_share != NULL)
		json_object_set_new(o, "key_ids", key_share(p->app_state_sync_key_share));
	else
		parts = content_set_raw(o, raw, len);
	unit_event(u, "server.notice", e->offline ? "offline" : "live", e->time_ms, o, key);
	add_parts(u, e, kind, key, raw, len, parts);
	return p->history_sync_notification != NULL ? RECV_EVENT_HISTORY : RECV_EVENT_PEER;
}

/* Messages that the phone was asked for (14.4); it alone may give them. */
static int
is_resend(const E2e__ProtocolMessage *p)
{
	const E2e__PeerDataOperationRequestResponseMessage *m =
	    p->peer_data_operation_request_response_message;

	return m != NULL && m->has_peer_data_operation_request_type &&
	       m->peer_data_operation_request_type ==
		   E2E__PEER_DATA_OPERATION_REQUEST_TYPE__PLACEHOLDER_MESSAGE_RESEND;
}

/* Protocol page 04, 10.4: only our own account may send these. */
int
recv_event_peer_only(const E2e__Message *m)
{
	const E2e__ProtocolMessage *p = m->protocol_message;

	if (p == NULL)
		return 0;
	switch (p->has_type ? p->type : 0) {
	case E2E__PROTOCOL_MESSAGE__TYPE__HISTORY_SYNC_NOTIFICATION:
	case E2E__PROTOCOL_MESSAGE__TYPE__APP_STATE_SYNC_KEY_SHARE:
	case E2E__PROTOCOL_MESSAGE__TYPE__APP_STATE_SYNC_KEY_REQUEST:
	case E2E__PROTOCOL_MESSAGE__TYPE__APP_STATE_FATAL_EXCEPTION_NOTIFICATION:
	case E2E__PROTOCOL_MESSAGE__TYPE__PEER_DATA_OPERATION_REQUEST_MESSAGE:
	case E2E__PROTOCOL_MESSAGE__TYPE__PEER_DATA_OPERATION_REQUEST_RESPONSE_MESSAGE:
	case E2E__PROTOCOL_MESSAGE__TYPE__INITIAL_SECURITY_NOTIFICATION_SETTING_SYNC:
	case E2E__PROTOCOL_MESSAGE__TYPE__LID_MIGRATION_MAPPING_SYNC:
	case E2E__PROTOCOL_MESSAGE__TYPE__EPHEMERAL_SYNC_RESPONSE:
		return 1;
	default:
		return 0;
	}
}

/* ------------------------------------------------------------------ messages */

/* f: all but people and chat. What was opened takes the place of what it came in. */
static void
add_message(struct unit *u, const struct envelope *e, const struct node *stanza,
    struct message_facts *f, const uint8_t *raw, size_t len, int resent)
{
	char key[256], chat_id[STABLE_ID_LEN + 1], buf[JID_TEXT_MAX];
	const char *name = node_get(stanza, "notify"), *type;
	json_t *body, *carrier;
	size_t parts;

	contacts_chat_id(&e->chat, f->chat_person, chat_id);
	recv_event_key(key, 'm', chat_id, sender_key(e, f->sender, buf), e->id);
	body = message_event_body(f, &type, &carrier);
	if (name != NULL && !e->from_me)
		json_object_set_new(carrier, "notify", json_string(name));
	parts = content_set_raw(carrier, raw, len);
	if (resent)
		json_object_set_new(body, "recovers", json_string(e->id));
	message_event_object(body, carrier,
	    f->addon != NULL && f->plain->message != NULL ? f->plain->message : f->m);
	unit_event(u, type, origin_of(e, resent), e->time_ms, body, key);
	add_parts(u, e, "message_part", key, raw, len, parts);
}

/* A copy of our own names the chat in its stanza. */
static const E2e__Message *
without_copy(const struct envelope *e, const E2e__Message *m)
{
	const E2e__DeviceSentMessage *d = m->device_sent_message;

	return e->from_me && d != NULL && d->message != NULL ? d->message : m;
}

enum recv_event_kind
recv_event_message(struct unit *u, struct account *a, const struct envelope *e,
    const struct person *sender, const struct person *chat, const struct node *stanza,
    const E2e__Message *m, const uint8_t *raw, size_t len, int resent)
{
	struct message_facts f = {.a = a,
	    .id = e->id,
	    .chat = &e->chat,
	    .chat_person = e->kind == ENVELOPE_DIRECT ? chat : NULL,
	    .sender = sender,
	    .from_me = e->from_me,
	    .time_ms = e->time_ms};

	if (recv_event_peer_only(m)) {
		if (e->from_me && e->sender.device == 0 && is_resend(m->protocol_message))
			return RECV_EVENT_PHONE;
		if (e->from_me)
			history_salt_take(u, a, e, m->protocol_message->history_sync_notification);
		if (e->from_me) {
			enum recv_event_kind kind =
			    peer_message(u, e, m->protocol_message, raw, len);
			int mapping =
			    e->sender.device == 0 && lid_mapping_take(a, u, m->protocol_message);

			return mapping ? RECV_EVENT_MAPPING : kind;
		}
		stanza_keep(u, stanza, "peer_from_stranger"); /* ignored, but seen */
		return RECV_EVENT_PEER;
	}
	f.m = without_copy(e, m);
	if (content_is_silent(f.m))
		return RECV_EVENT_SILENT;
	add_message(u, e, stanza, &f, raw, len, resent);
	return RECV_EVENT_MESSAGE;
}

void
recv_event_addon(struct unit *u, struct account *a, const struct envelope *e,
    const struct person *sender, const struct person *chat, const struct node *stanza,
    const E2e__Message *m, const uint8_t *raw, size_t len, int resent, const struct addon *ad,
    const struct addon_plain *plain)
{
	struct message_facts f = {.a = a,
	    .id = e->id,
	    .chat = &e->chat,
	    .chat_person = e->kind == ENVELOPE_DIRECT ? chat : NULL,
	    .sender = sender,
	    .from_me = e->from_me,
	    .time_ms = e->time_ms,
	    .m = without_copy(e, m),
	    .addon = ad,
	    .plain = plain};

	add_message(u, e, stanza, &f, raw, len, resent);
}

static json_t *
placeholder(const struct envelope *e, const struct person *sender, const struct person *chat,
    const char *reason)
{
	char chat_id[STABLE_ID_LEN + 1];

	contacts_chat_id(&e->chat, e->kind == ENVELOPE_DIRECT ? chat : NULL, chat_id);
	return json_pack("{s:s, s:s, s:o, s:s, s:b}", "message_id", e->id, "chat", chat_id,
	    "sender", contacts_party(sender), "reason", reason, "from_me", e->from_me);
}

static int
is_hidden(const struct node *stanza)
{
	for (size_t i = 0; i < stanza->nchildren; i++) {
		const char *v = node_get(stanza->children[i], "decrypt-fail");

		if (v != NULL && strcmp(v, "hide") == 0)
			return 1;
	}
	return 0;
}

void
recv_event_undecryptable(struct unit *u, struct account *a, const struct envelope *e,
    const struct person *sender, const struct person *chat, const struct node *stanza,
    const char *reason, unsigned attempt)
{
	char key[256], chat_id[STABLE_ID_LEN + 1], buf[JID_TEXT_MAX];
	json_t *o = placeholder(e, sender, chat, reason);

	json_object_set_new(o, "hidden", json_boolean(is_hidden(stanza)));
	json_object_set_new(o, "attempt", json_integer(attempt));
	contacts_chat_id(&e->chat, e->kind == ENVELOPE_DIRECT ? chat : NULL, chat_id);
	recv_event_key(key, 'u', chat_id, sender_key(e, sender, buf), e->id);
	unit_event(u, "message.undecryptable", origin_of(e, 0), e->time_ms, o, key);
}

/* The stanza itself, as it came on the wire: contacts may be merged before it comes again. */
#define STANZA_KEY_MAX 384
static void
stanza_key(const struct envelope *e, char key[STANZA_KEY_MAX])
{
	char from[JID_TEXT_MAX], by[JID_TEXT_MAX] = "";

	(void)jid_format(&e->from, from);
	if (e->has_participant)
		(void)jid_format(&e->participant, by);
	(void)snprintf(key, STANZA_KEY_MAX, "h:%s:%s:%s", from, by, e->id);
}

/* A key of the message: m, it is an event; u, it was not read. */
static void
event_key(const struct envelope *e, const struct person *sender, const struct person *chat,
    char kind, char key[256])
{
	char chat_id[STABLE_ID_LEN + 1], buf[JID_TEXT_MAX];

	contacts_chat_id(&e->chat, e->kind == ENVELOPE_DIRECT ? chat : NULL, chat_id);
	recv_event_key(key, kind, chat_id, sender_key(e, sender, buf), e->id);
}

void
recv_event_repeated(struct unit *u, const struct envelope *e, const struct person *sender,
    const struct person *chat, const struct node *stanza)
{
	char message[256], unread[256], stanza_was[STANZA_KEY_MAX];
	const char *unless[2] = {message, stanza_was};
	json_t *o = placeholder(e, sender, chat, "counter_reused");

	json_object_set_new(o, "hidden", json_boolean(is_hidden(stanza)));
	json_object_set_new(o, "attempt", json_integer(1));
	event_key(e, sender, chat, 'm', message);
	event_key(e, sender, chat, 'u', unread);
	stanza_key(e, stanza_was);
	unit_event_unless(
	    u, "message.undecryptable", origin_of(e, 0), e->time_ms, o, unread, unless, 2);
}

void
recv_event_broken(struct unit *u, const struct envelope *e, const struct person *sender,
    const struct person *chat, const char *error, const uint8_t *bytes, size_t len)
{
	char message[256], unread[256], stanza_was[STANZA_KEY_MAX];
	const char *unless[2] = {message, stanza_was};
	json_t *o = placeholder(e, sender, chat, "malformed_stanza");

	json_object_set_new(o, "hidden", json_false());
	json_object_set_new(o, "attempt", json_integer(0));
	json_object_set_new(o, "error", json_string(error));
	if (len > CONTENT_RAW_PART)
		json_object_set_new(o, "raw_bytes", json_integer((json_int_t)len));
	(void)content_set_raw(o, bytes, len < CONTENT_RAW_PART ? len : CONTENT_RAW_PART);
	event_key(e, sender, chat, 'm', message);
	event_key(e, sender, chat, 'u', unread);
	stanza_key(e, stanza_was);
	unit_event_unless(
	    u, "message.undecryptable", origin_of(e, 0), e->time_ms, o, unread, unless, 2);
}

void
recv_event_mark(struct unit *u, const struct envelope *e)
{
	char key[STANZA_KEY_MAX];

	stanza_key(e, key);
	unit_mark(u, key);
}

void
recv_event_unavailable(struct unit *u, struct account *a, const struct envelope *e,
    const struct person *sender, const struct person *chat, const char *kind)
{
	char key[256], chat_id[STABLE_ID_LEN + 1], buf[JID_TEXT_MAX];
	json_t *o = placeholder(e, sender, chat, "unavailable"), *v = json_string(kind);

	json_object_set_new(o, "unavailable", v != NULL ? v : json_string("other"));
	json_object_set_new(o, "attempt", json_integer(0));
	contacts_chat_id(&e->chat, e->kind == ENVELOPE_DIRECT ? chat : NULL, chat_id);
	recv_event_key(key, 'u', chat_id, sender_key(e, sender, buf), e->id);
	unit_event(u, "message.undecryptable", origin_of(e, 0), e->time_ms, o, key);
}

void
recv_event_given_up(struct unit *u, const struct envelope *e, const struct person *sender,
    const struct person *chat, const char *reason)
{
	char key[256], message[256];
	const char *unless[1] = {message};

	event_key(e, sender, chat, 'g', key);
	event_key(e, sender, chat, 'm', message);
	unit_event_unless(u, "message.given_up", origin_of(e, 0), e->time_ms,
	    placeholder(e, sender, chat, reason), key, unless, 1);
}

void
recv_event_raw(struct unit *u, struct account *a, const struct envelope *e, const char *kind,
    const ProtobufCBinaryData *bytes)
{
	json_t *o = json_pack("{s:s, s:s}", "kind", kind, "message_id", e->id);
	char from[JID_TEXT_MAX], key[256];
	size_t parts = content_set_raw(o, bytes->data, bytes->len);

	json_object_set_new(o, "from", json_string(jid_format(&e->from, from)));
	recv_event_key(key, 'x', from, kind, e->id);
	unit_event(u, "server.notice", origin_of(e, 0), e->time_ms, o, key);
	add_parts(u, e, kind, key, bytes->data, bytes->len, parts);
}
