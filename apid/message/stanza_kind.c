/* What a message stanza says about the content inside. */
#include "apid/message/stanza_kind.h"

#include <string.h>

#include "apid/message/content.h"
#include "common/pb.h"

static int
is_secret_edit(const E2e__Message *m, E2e__SecretEncryptedMessage__SecretEncType type)
{
	return m->secret_encrypted_message != NULL &&
	       m->secret_encrypted_message->has_secret_enc_type &&
	       m->secret_encrypted_message->secret_enc_type == type;
}

/* Protocol page 04, 6.2. */
static const char *
mediatype(const E2e__Message *m)
{
	const E2e__ExtendedTextMessage *x = m->extended_text_message;
	const struct {
		const void *is;
		const char *word;
	} rows[] = {
	    {m->image_message, "image"},
	    {m->video_message,
		m->video_message != NULL && m->video_message->gif_playback ? "gif" : "video"},
	    {m->ptv_message, "ptv"},
	    {m->audio_message, m->audio_message != NULL && m->audio_message->ptt ? "ptt" : "audio"},
	    {m->document_message, "document"},
	    {m->sticker_message, "sticker"},
	    {m->sticker_pack_message, "sticker_pack"},
	    {m->location_message, m->location_message != NULL && m->location_message->is_live
				      ? "livelocation"
				      : "location"},
	    {m->live_location_message, "livelocation"},
	    {m->contact_message, "vcard"},
	    {m->contacts_array_message, "contact_array"},
	    {m->group_invite_message, "url"},
	    {m->list_message, "list"},
	    {m->list_response_message, "list_response"},
	    {m->buttons_response_message, "buttons_response"},
	    {m->order_message, "order"},
	    {m->product_message, "product"},
	    {m->interactive_response_message, "native_flow_response"},
	    {m->message_history_bundle, "group_history"},
	};

	if (x != NULL && x->matched_text != NULL &&
	    strspn(x->matched_text, " \t\n") < strlen(x->matched_text))
		return "url";
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].is != NULL)
			return rows[i].word;
	return NULL;
}

static int
is_poll_creation(const E2e__Message *m)
{
	return m->poll_creation_message != NULL || m->poll_creation_message_v2 != NULL ||
	       m->poll_creation_message_v3 != NULL || m->poll_creation_message_v5 != NULL;
}

static int
is_poll_edit(const E2e__Message *m)
{
	return is_secret_edit(m, E2E__SECRET_ENCRYPTED_MESSAGE__SECRET_ENC_TYPE__POLL_EDIT) ||
	       is_secret_edit(m, E2E__SECRET_ENCRYPTED_MESSAGE__SECRET_ENC_TYPE__POLL_ADD_OPTION);
}

/* 6.1, 9.5. The service drops a media stanza without a mediatype: what has none is a text. */
static void
set_type(const E2e__Message *m, struct stanza_kind *k)
{
	int event_edit =
	    is_secret_edit(m, E2E__SECRET_ENCRYPTED_MESSAGE__SECRET_ENC_TYPE__EVENT_EDIT);

	k->type = "text";
	if (m->reaction_message != NULL || m->enc_reaction_message != NULL) {
		k->type = "reaction";
	} else if (m->event_message != NULL || m->enc_event_response_message != NULL ||
		   event_edit) {
		k->type = "event";
		k->meta = "event_type";
		k->meta_value = m->event_message != NULL ? "creation"
				: event_edit             ? "edit"
							 : "response";
	} else if (is_poll_creation(m) || m->poll_update_message != NULL || is_poll_edit(m)) {
		k->type = "poll";
		k->meta = "polltype";
		k->meta_value = is_poll_creation(m) ? "creation"
				: is_poll_edit(m)   ? "edit"
						    : "vote";
	} else if ((k->mediatype = mediatype(m)) != NULL) {
		k->type = "media";
	}
}

static int
is_revoke(const E2e__ProtocolMessage *p)
{
	return p != NULL && p->edited_message == NULL && p->key != NULL &&
	       p->type == E2E__PROTOCOL_MESSAGE__TYPE__REVOKE;
}

/* 6.4 */
static const char *
edit(const E2e__Message *m)
{
	const E2e__ProtocolMessage *p = m->protocol_message;
	const E2e__ReactionMessage *r = m->reaction_message;
	const E2e__KeepInChatMessage *keep = m->keep_in_chat_message;

	if (m->edited_message != NULL || (p != NULL && p->edited_message != NULL) ||
	    (p != NULL && p->type == E2E__PROTOCOL_MESSAGE__TYPE__MESSAGE_EDIT) ||
	    is_secret_edit(m, E2E__SECRET_ENCRYPTED_MESSAGE__SECRET_ENC_TYPE__MESSAGE_EDIT) ||
	    is_secret_edit(m, E2E__SECRET_ENCRYPTED_MESSAGE__SECRET_ENC_TYPE__EVENT_EDIT))
		return "1";
	if (m->pin_in_chat_message != NULL)
		return "2";
	if (is_revoke(p))
		return p->key->from_me ? "7" : "8";
	if (r != NULL && (r->text == NULL || r->text[0] == '\0'))
		return "7";
	if (keep != NULL && keep->keep_type == E2E__KEEP_TYPE__UNDO_KEEP_FOR_ALL &&
	    keep->key != NULL && keep->key->from_me)
		return "7";
	return NULL;
}

/* 6.3: a revoke that has it is dropped by the service. */
static int
hide(const E2e__Message *m, const char *edit_word)
{
	const E2e__ProtocolMessage *p = m->protocol_message;

	if (is_revoke(p))
		return 0;
	if (edit_word != NULL && edit_word[0] != '7' && edit_word[0] != '8')
		return 1;
	return m->reaction_message != NULL || m->enc_reaction_message != NULL ||
	       m->keep_in_chat_message != NULL || m->enc_event_response_message != NULL ||
	       (m->poll_update_message != NULL && m->poll_update_message->vote != NULL) ||
	       m->message_history_notice != NULL || m->conditional_reveal_message != NULL ||
	       is_poll_edit(m) ||
	       (p != NULL && p->has_type &&
		   (p->type == E2E__PROTOCOL_MESSAGE__TYPE__REQUEST_WELCOME_MESSAGE ||
		       p->type == E2E__PROTOCOL_MESSAGE__TYPE__GROUP_MEMBER_LABEL_CHANGE));
}

void
stanza_kind(const E2e__Message *m, struct stanza_kind *k)
{
	memset(k, 0, sizeof(*k));
	m = content_unwrap(m);
	set_type(m, k);
	k->edit = edit(m);
	k->hide = hide(m, k->edit);
}

void
stanza_kind_of(const uint8_t *message, size_t len, struct stanza_kind *k)
{
	struct pb_arena *arena = pb_arena_new(CONTENT_BUDGET);
	const E2e__Message *m = arena == NULL ? NULL : content_parse(message, len, arena, NULL);

	memset(k, 0, sizeof(*k));
	k->type = "text";
	if (m != NULL)
		stanza_kind(m, k);
	pb_arena_free(arena);
}
