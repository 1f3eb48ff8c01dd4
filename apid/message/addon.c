/* What is encrypted under the secret of an earlier message: finding it, and reading what it said.
 */
#include "apid/message/addon.h"

#include <string.h>

static int
take(struct addon *out, Keyd__AddonOpen__Use use, const Wacommon__MessageKey *target,
    const ProtobufCBinaryData *iv, const ProtobufCBinaryData *payload)
{
	if (target == NULL || target->id == NULL || target->id[0] == '\0' || iv->len != 12 ||
	    payload->len < 16 || payload->len > ADDON_PAYLOAD_MAX)
		return 0;
	out->use = use;
	out->target = target;
	out->iv = *iv;
	out->payload = *payload;
	return 1;
}

static int
take_edit(struct addon *out, const E2e__SecretEncryptedMessage *s)
{
	static const struct {
		E2e__SecretEncryptedMessage__SecretEncType type;
		Keyd__AddonOpen__Use use;
	} uses[] = {
	    {E2E__SECRET_ENCRYPTED_MESSAGE__SECRET_ENC_TYPE__EVENT_EDIT,
		KEYD__ADDON_OPEN__USE__EVENT_EDIT},
	    {E2E__SECRET_ENCRYPTED_MESSAGE__SECRET_ENC_TYPE__MESSAGE_EDIT,
		KEYD__ADDON_OPEN__USE__MESSAGE_EDIT},
	    {E2E__SECRET_ENCRYPTED_MESSAGE__SECRET_ENC_TYPE__POLL_EDIT,
		KEYD__ADDON_OPEN__USE__POLL_EDIT},
	    {E2E__SECRET_ENCRYPTED_MESSAGE__SECRET_ENC_TYPE__POLL_ADD_OPTION,
		KEYD__ADDON_OPEN__USE__POLL_ADD_OPTION},
	};

	for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++)
		if (s->has_secret_enc_type && s->secret_enc_type == uses[i].type)
			return take(
			    out, uses[i].use, s->target_message_key, &s->enc_iv, &s->enc_payload);
	return 0;
}

int
addon_find(const E2e__Message *m, struct addon *out)
{
	const E2e__PollUpdateMessage *p;

	m = content_unwrap(m);
	p = m->poll_update_message;
	if (p != NULL)
		return p->vote != NULL &&
		       take(out, KEYD__ADDON_OPEN__USE__POLL_VOTE, p->poll_creation_message_key,
			   &p->vote->enc_iv, &p->vote->enc_payload);
	if (m->enc_reaction_message != NULL)
		return take(out, KEYD__ADDON_OPEN__USE__REACTION,
		    m->enc_reaction_message->target_message_key, &m->enc_reaction_message->enc_iv,
		    &m->enc_reaction_message->enc_payload);
	if (m->enc_event_response_message != NULL)
		return take(out, KEYD__ADDON_OPEN__USE__EVENT_RESPONSE,
		    m->enc_event_response_message->event_creation_message_key,
		    &m->enc_event_response_message->enc_iv,
		    &m->enc_event_response_message->enc_payload);
	return m->secret_encrypted_message != NULL && take_edit(out, m->secret_encrypted_message);
}

int
addon_read(Keyd__AddonOpen__Use use, const ProtobufCBinaryData *bytes, struct pb_arena *arena,
    struct addon_plain *out)
{
	memset(out, 0, sizeof(*out));
	switch (use) {
	case KEYD__ADDON_OPEN__USE__POLL_VOTE:
		out->vote = pb_unpack(
		    &e2e__poll_vote_message__descriptor, bytes->data, bytes->len, arena, 0, NULL);
		return out->vote != NULL ? 0 : -1;
	case KEYD__ADDON_OPEN__USE__EVENT_RESPONSE:
		out->response = pb_unpack(&e2e__event_response_message__descriptor, bytes->data,
		    bytes->len, arena, 0, NULL);
		return out->response != NULL ? 0 : -1;
	case KEYD__ADDON_OPEN__USE__REACTION:
		out->reaction = pb_unpack(
		    &e2e__reaction_message__descriptor, bytes->data, bytes->len, arena, 0, NULL);
		return out->reaction != NULL ? 0 : -1;
	default:
		out->message = content_parse(bytes->data, bytes->len, arena, NULL);
		return out->message != NULL ? 0 : -1;
	}
}

int
addon_counts(const struct addon *ad, int64_t target_s, int64_t time_s, int64_t window_s)
{
	switch (ad->use) {
	case KEYD__ADDON_OPEN__USE__MESSAGE_EDIT:
		return ad->target->from_me && (target_s == 0 || time_s < target_s + window_s);
	case KEYD__ADDON_OPEN__USE__EVENT_EDIT:
	case KEYD__ADDON_OPEN__USE__POLL_EDIT:
		return ad->target->from_me;
	default:
		return 1;
	}
}
