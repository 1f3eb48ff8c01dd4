/* Message contents: protobuf <-> JSON, padding, and the copy for own devices. */
#include "apid/message/content.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/session/stanza.h"
#include "common/pb.h"

uint8_t *
content_text(const char *text, const uint8_t *secret, size_t *len)
{
	E2e__Message m = E2E__MESSAGE__INIT;
	E2e__MessageContextInfo ctx = E2E__MESSAGE_CONTEXT_INFO__INIT;

	m.conversation = pb_str(text);
	if (secret != NULL) {
		ctx.has_message_secret = 1;
		ctx.message_secret = pb_bytes(secret, 32);
		m.message_context_info = &ctx;
	}
	return pb_pack(&m.base, len);
}

const E2e__Message *
content_parse(const uint8_t *data, size_t len, struct pb_arena *arena, const char **why)
{
	return pb_unpack(&e2e__message__descriptor, data, len, arena, 0, why);
}

uint8_t *
content_device_sent(const uint8_t *msg, size_t msg_len, const char *chat, size_t *len)
{
	E2e__Message out = E2E__MESSAGE__INIT;
	E2e__DeviceSentMessage dsm = E2E__DEVICE_SENT_MESSAGE__INIT;
	struct pb_arena *arena = pb_arena_new(CONTENT_BUDGET);
	const E2e__Message *m = arena == NULL ? NULL : content_parse(msg, msg_len, arena, NULL);
	uint8_t *bytes = NULL;

	if (m != NULL) {
		dsm.destination_jid = pb_str(chat);
		dsm.message = (E2e__Message *)(uintptr_t)m;
		out.device_sent_message = &dsm;
		out.message_context_info = m->message_context_info;
		bytes = pb_pack(&out.base, len);
	}
	pb_arena_free(arena);
	return bytes;
}

uint8_t *
content_pad_with(const uint8_t *msg, size_t msg_len, unsigned n, size_t *len)
{
	uint8_t *out = malloc(msg_len + n);

	if (out == NULL)
		return NULL;
	if (msg_len > 0)
		memcpy(out, msg, msg_len);
	memset(out + msg_len, (int)n, n);
	*len = msg_len + n;
	return out;
}

uint8_t *
content_pad(const uint8_t *msg, size_t msg_len, size_t *len)
{
	return content_pad_with(msg, msg_len, 1 + randombytes_uniform(16), len);
}

int64_t
content_unpad(const uint8_t *data, size_t len)
{
	uint8_t n;

	if (len == 0 || (n = data[len - 1]) == 0 || n > len)
		return -1;
	for (size_t i = len - n; i < len; i++)
		if (data[i] != n)
			return -1;
	return (int64_t)(len - n);
}

static const E2e__FutureProofMessage *
wrapper(const E2e__Message *m)
{
	const E2e__FutureProofMessage *const all[] = {m->ephemeral_message, m->view_once_message,
	    m->view_once_message_v2, m->view_once_message_v2_extension,
	    m->document_with_caption_message, m->group_mentioned_message, m->bot_invoke_message,
	    m->associated_child_message, m->poll_creation_option_image_message,
	    m->event_cover_image, m->group_status_message, m->group_status_message_v2,
	    m->group_status_mention_message, m->status_add_yours, m->status_mention_message,
	    m->question_message, m->question_reply_message, m->spoiler_message,
	    m->lottie_sticker_message, m->limit_sharing_message,
	    m->newsletter_admin_profile_message, m->newsletter_admin_profile_message_v2,
	    m->poll_creation_message_v4};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i] != NULL && all[i]->message != NULL)
			return all[i];
	return NULL;
}

const E2e__Message *
content_unwrap(const E2e__Message *m)
{
	const E2e__FutureProofMessage *w;

	for (int depth = 0; depth < 8 && (w = wrapper(m)) != NULL; depth++)
		m = w->message;
	return m;
}

int
content_is_silent(const E2e__Message *m)
{
	for (unsigned i = 0; i < e2e__message__descriptor.n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &e2e__message__descriptor.fields[i];
		const void *at = (const uint8_t *)m + f->offset;

		if (f->id == 2 || f->id == 15 || f->id == 35)
			continue;
		if (*(void *const *)at !=
		    NULL) /* every field of Message is a string or a message */
			return 0;
	}
	return m->base.n_unknown_fields == 0 &&
	       (m->sender_key_distribution_message != NULL ||
		   m->fast_ratchet_key_sender_key_distribution_message != NULL);
}

static void
set_b64(json_t *o, const uint8_t *raw, size_t len)
{
	char *b64 = stanza_base64(raw, len);

	if (b64 != NULL)
		json_object_set_new(o, "raw_b64", json_string_nocheck(b64));
	free(b64);
}

size_t
content_set_raw(json_t *body, const uint8_t *raw, size_t len)
{
	size_t parts = len == 0 ? 1 : (len + CONTENT_RAW_PART - 1) / CONTENT_RAW_PART;

	if (parts > CONTENT_RAW_PARTS) {
		parts = CONTENT_RAW_PARTS;
		json_object_set_new(body, "raw_bytes", json_integer((json_int_t)len));
	}
	set_b64(body, raw, len < CONTENT_RAW_PART ? len : CONTENT_RAW_PART);
	if (parts > 1)
		json_object_set_new(body, "raw_parts", json_integer((json_int_t)parts));
	return parts - 1;
}

json_t *
content_raw_part(const uint8_t *raw, size_t len, size_t i)
{
	json_t *o = json_object();
	size_t at = i * CONTENT_RAW_PART;

	set_b64(o, raw + at, len - at < CONTENT_RAW_PART ? len - at : CONTENT_RAW_PART);
	json_object_set_new(o, "raw_part", json_integer((json_int_t)i + 1));
	return o;
}
