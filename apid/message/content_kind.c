/* What a message is for a user: its kind and the fields of the kind (protocol page 10, section 2).
 */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/message/content.h"
#include "apid/message/pbjson.h"

#define SUB_BUDGET (64u * 1024) /* of the JSON of one content, out of which fields are taken */

/* A field of the content under the name that the API has for it. */
struct pick {
	const char *from, *to;
};

static const struct pick media_picks[] = {{"mimetype", "mime"}, {"file_length", "size"},
    {"file_name", "file_name"}, {"caption", "caption"}, {"width", "width"}, {"height", "height"},
    {"seconds", "duration_s"}, {"page_count", "pages"}, {NULL, NULL}};
static const struct pick location_picks[] = {{"degrees_latitude", "latitude"},
    {"degrees_longitude", "longitude"}, {"accuracy_in_meters", "accuracy_m"}, {"name", "name"},
    {"address", "address"}, {"url", "url"}, {"comment", "comment"}, {"caption", "caption"},
    {"sequence_number", "sequence"}, {"speed_in_mps", "speed_mps"},
    {"degrees_clockwise_from_magnetic_north", "heading"}, {NULL, NULL}};
static const struct pick contact_picks[] = {
    {"display_name", "name"}, {"vcard", "vcard"}, {NULL, NULL}};
static const struct pick poll_picks[] = {
    {"name", "name"}, {"selectable_options_count", "selectable"}, {NULL, NULL}};
static const struct pick invite_picks[] = {{"group_jid", "group"}, {"invite_code", "code"},
    {"group_name", "name"}, {"invite_expiration", "expires_s"}, {"caption", "caption"},
    {NULL, NULL}};
static const struct pick event_picks[] = {{"name", "name"}, {"description", "description"},
    {"start_time", "start_s"}, {"end_time", "end_s"}, {"is_canceled", "cancelled"},
    {"join_link", "join_link"}, {NULL, NULL}};

/* Fields of Message by number. */
static const struct kind {
	unsigned field;
	const char *kind;
	const struct pick *picks;
	int media; /* the picks are of a file */
} kinds[] = {
    {3, "image", media_picks, 1},
    {4, "contact", contact_picks, 0},
    {5, "location", location_picks, 0},
    {7, "document", media_picks, 1},
    {8, "audio", media_picks, 1},
    {9, "video", media_picks, 1},
    {13, "contacts", NULL, 0},
    {16, "payment", NULL, 0},
    {18, "live_location", location_picks, 0},
    {22, "payment_request", NULL, 0},
    {25, "template", NULL, 0},
    {26, "sticker", media_picks, 1},
    {28, "group_invite", invite_picks, 0},
    {29, "template_reply", NULL, 0},
    {30, "product", NULL, 0},
    {36, "list", NULL, 0},
    {38, "order", NULL, 0},
    {39, "list_reply", NULL, 0},
    {41, "invoice", NULL, 0},
    {42, "buttons", NULL, 0},
    {43, "buttons_reply", NULL, 0},
    {45, "interactive", NULL, 0},
    {48, "interactive_reply", NULL, 0},
    {49, "poll", poll_picks, 0},
    {50, "poll_vote", NULL, 0},
    {51, "keep", NULL, 0},
    {54, "phone_number_request", NULL, 0},
    {56, "reaction", NULL, 0},
    {60, "poll", poll_picks, 0},
    {61, "scheduled_call", NULL, 0},
    {63, "pin", NULL, 0},
    {64, "poll", poll_picks, 0},
    {66, "video_note", media_picks, 1},
    {69, "call_log", NULL, 0},
    {71, "comment", NULL, 0},
    {75, "event", event_picks, 0},
    {76, "event_response", NULL, 0},
    {77, "comment", NULL, 0},
    {78, "channel_admin_invite", NULL, 0},
    {80, "placeholder", NULL, 0},
    {83, "album", NULL, 0},
    {86, "sticker_pack", NULL, 0},
    {88, "poll_result", NULL, 0},
    {97, "bot_reply", NULL, 0},
    {111, "poll", poll_picks, 0},
    {113, "channel_invite", NULL, 0},
    {115, "poll_result", NULL, 0},
    {119, "poll", poll_picks, 0},
};

/* ------------------------------------------------------------------ helpers */

static void
set_text(json_t *o, const char *key, const char *value)
{
	json_t *s = value == NULL ? NULL : json_string(value); /* NULL if it is no UTF-8 */

	if (s != NULL)
		json_object_set_new(o, key, s);
}

static void
set_kind(json_t *o, const char *kind)
{
	json_object_set_new(o, "kind", json_string(kind));
}

static void
take(json_t *to, const json_t *from, const struct pick *picks)
{
	for (; picks->from != NULL; picks++) {
		json_t *v = json_object_get(from, picks->from);

		if (v != NULL)
			json_object_set(to, picks->to, v);
	}
}

/* The one content of a message: the first field that is a message and no key or context. */
static const ProtobufCMessage *
first_content(const E2e__Message *m, unsigned *field)
{
	for (unsigned i = 0; i < e2e__message__descriptor.n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &e2e__message__descriptor.fields[i];
		const void *at = (const uint8_t *)m + f->offset;

		if (f->type != PROTOBUF_C_TYPE_MESSAGE || f->id == 2 || f->id == 15 || f->id == 35)
			continue;
		if (*(ProtobufCMessage *const *)at != NULL) {
			*field = f->id;
			return *(ProtobufCMessage *const *)at;
		}
	}
	return NULL;
}

const E2e__ContextInfo *
content_context(const E2e__Message *m)
{
	unsigned field;
	const ProtobufCMessage *sub = first_content(content_unwrap(m), &field);
	const ProtobufCFieldDescriptor *f =
	    sub == NULL
		? NULL
		: protobuf_c_message_descriptor_get_field_by_name(sub->descriptor, "context_info");
	const void *at;

	if (f == NULL || f->descriptor != &e2e__context_info__descriptor ||
	    f->label == PROTOBUF_C_LABEL_REPEATED)
		return NULL;
	at = (const uint8_t *)sub + f->offset;
	return *(E2e__ContextInfo *const *)at;
}

/* ------------------------------------------------------------------ kinds with a form of their own
 */

static json_t *
text_json(const char *text)
{
	json_t *o = json_object();
	json_t *s = json_string(text);

	set_kind(o, s != NULL ? "text" : "unknown");
	if (s != NULL)
		json_object_set_new(o, "text", s);
	return o;
}

static json_t *
extended_json(const E2e__ExtendedTextMessage *x)
{
	json_t *o = text_json(x->text != NULL ? x->text : "");

	if (x->matched_text != NULL && x->matched_text[0] != '\0') {
		set_kind(o, "link");
		set_text(o, "url", x->matched_text);
		set_text(o, "title", x->title);
		set_text(o, "description", x->description);
	}
	return o;
}

const char *
content_protocol_name(int type)
{
	const ProtobufCEnumValue *v = type < 0
					  ? NULL
					  : protobuf_c_enum_descriptor_get_value(
						&e2e__protocol_message__type__descriptor, type);

	return v == NULL ? "other" : v->name;
}

static json_t *
protocol_json(const E2e__ProtocolMessage *p)
{
	json_t *o = json_object();

	set_kind(o, "system");
	set_text(o, "protocol", content_protocol_name(p->has_type ? (int)p->type : 0));
	set_text(o, "message_id", p->key != NULL ? p->key->id : NULL);
	if (p->edited_message != NULL)
		json_object_set_new(o, "content", content_json(p->edited_message));
	return o;
}

static void
set_contacts(json_t *o, const E2e__ContactsArrayMessage *m)
{
	json_t *list = json_array();

	set_text(o, "name", m->display_name);
	for (size_t i = 0; i < m->n_contacts && i < 256; i++) {
		json_t *c = json_object();

		set_text(c, "name", m->contacts[i]->display_name);
		set_text(c, "vcard", m->contacts[i]->vcard);
		json_array_append_new(list, c);
	}
	json_object_set_new(o, "contacts", list);
}

static void
set_options(json_t *o, const E2e__PollCreationMessage *m)
{
	json_t *list = json_array();

	for (size_t i = 0; i < m->n_options && i < 256; i++) {
		json_t *s = json_string(
		    m->options[i]->option_name != NULL ? m->options[i]->option_name : "");

		json_array_append_new(list, s != NULL ? s : json_string(""));
	}
	json_object_set_new(o, "options", list);
}

static void
set_hash(json_t *o, const json_t *all)
{
	const char *b64 = json_string_value(json_object_get(all, "file_sha256_b64"));
	unsigned char hash[32];
	char hex[65];
	size_t n;

	if (b64 == NULL ||
	    sodium_base642bin(hash, sizeof(hash), b64, strlen(b64), NULL, &n, NULL,
		sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    n != sizeof(hash))
		return;
	json_object_set_new(
	    o, "sha256", json_string(sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash))));
}

/* What is about another message: which. */
static void
set_target(json_t *o, const E2e__Message *m)
{
	const Wacommon__MessageKey *key = NULL;

	if (m->poll_update_message != NULL)
		key = m->poll_update_message->poll_creation_message_key;
	else if (m->keep_in_chat_message != NULL)
		key = m->keep_in_chat_message->key;
	else if (m->pin_in_chat_message != NULL)
		key = m->pin_in_chat_message->key;
	else if (m->enc_reaction_message != NULL)
		key = m->enc_reaction_message->target_message_key;
	else if (m->enc_event_response_message != NULL)
		key = m->enc_event_response_message->event_creation_message_key;
	set_text(o, "message_id", key != NULL ? key->id : NULL);
	if (m->enc_reaction_message != NULL)
		json_object_set_new(o, "encrypted", json_true());
	if (m->pin_in_chat_message != NULL)
		json_object_set_new(o, "pinned",
		    json_boolean(m->pin_in_chat_message->type !=
				 E2E__PIN_IN_CHAT_MESSAGE__TYPE__UNPIN_FOR_ALL));
	if (m->keep_in_chat_message != NULL)
		json_object_set_new(o, "kept",
		    json_boolean(
			m->keep_in_chat_message->keep_type != E2E__KEEP_TYPE__UNDO_KEEP_FOR_ALL));
}

/* ------------------------------------------------------------------ the kind */

static const struct kind *
kind_of(unsigned field)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].field == field)
			return &kinds[i];
	return NULL;
}

static void
set_picks(json_t *o, const struct kind *k, const ProtobufCMessage *sub)
{
	json_t *left = NULL, *all = pbjson_out(sub, SUB_BUDGET, &left), *to = o;

	if (k->media) {
		to = json_object();
		set_hash(to, all);
		json_object_set_new(o, "media", to);
	}
	take(to, all, k->picks);
	if (json_is_true(json_object_get(all, "gif_playback")))
		set_kind(o, "gif");
	if (json_is_true(json_object_get(all, "ptt")))
		set_kind(o, "voice");
	json_decref(all);
	json_decref(left);
}

static json_t *
other_json(const E2e__Message *m)
{
	unsigned field = 0;
	const ProtobufCMessage *sub = first_content(m, &field);
	const struct kind *k = sub == NULL ? NULL : kind_of(field);
	json_t *o = json_object();

	set_kind(o, k != NULL ? k->kind : "unknown");
	if (k == NULL)
		return o;
	if (k->picks != NULL)
		set_picks(o, k, sub);
	if (k->picks == poll_picks)
		set_options(o, (const E2e__PollCreationMessage *)sub);
	if (field == 13)
		set_contacts(o, m->contacts_array_message);
	set_target(o, m);
	return o;
}

json_t *
content_json(const E2e__Message *m)
{
	json_t *o;

	m = content_unwrap(m);
	if (m->conversation != NULL)
		return text_json(m->conversation);
	if (m->extended_text_message != NULL)
		return extended_json(m->extended_text_message);
	if (m->reaction_message != NULL) {
		const E2e__ReactionMessage *r = m->reaction_message;

		o = json_object();
		set_kind(o, "reaction");
		set_text(o, "text", r->text != NULL ? r->text : "");
		set_text(o, "message_id", r->key != NULL ? r->key->id : NULL);
		return o;
	}
	if (m->protocol_message != NULL)
		return protocol_json(m->protocol_message);
	return other_json(m);
}
