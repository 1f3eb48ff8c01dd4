/* What a client wants to say, from the parameters of its request to the encoded Message. */
#include "apid/message/intent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/message/content.h"
#include "apid/message/pbjson.h"
#include "apid/message/recv_event.h"
#include "apid/message/reporting.h"
#include "apid/message/secrets.h"
#include "apid/session/call.h"
#include "common/pb.h"

#define THUMBNAIL_MAX (64u * 1024)

struct intent {
	enum send_act act;
	char *text; /* NULL: there is none */
	char target[MESSAGE_ID_MAX + 1];
	int target_from_me;
	json_t *options;
	char mentions[SEND_MENTIONS_MAX][JID_TEXT_MAX];
	size_t nmentions;
	uint8_t *raw; /* an encoded message that the client gave as an object */
	size_t raw_len;
	uint8_t *thumbnail;
	size_t thumbnail_len;
};

/* ------------------------------------------------------------------ people */

int
intent_person(const char *text, char out[JID_TEXT_MAX], struct api_error *e)
{
	struct jid j;

	if (stable_id_is(text, 'u') || stable_id_is(text, 'c')) {
		(void)snprintf(out, JID_TEXT_MAX, "%s", text);
		out[0] = 'u';
		return 0;
	}
	if (text[0] == '+') {
		size_t n = strlen(text + 1);

		if (n < 7 || n > 20 || strspn(text + 1, "0123456789") != n || text[1] == '0' ||
		    jid_make(&j, text + 1, JID_PN, 0) == -1)
			goto bad;
	} else if (stable_id_is(text, 'g')) {
		*e = api_error_make(-1, "unsupported", 0, "groups are not supported yet");
		return -1;
	} else if (jid_parse(text, &j) == -1 || jid_is_server(&j)) {
		goto bad;
	}
	if (!jid_is_pn(&j) && !jid_is_lid(&j)) {
		*e = api_error_make(-1, "unsupported", 0, "only people can be written to");
		return -1;
	}
	j = jid_bare(&j);
	(void)jid_format(&j, out);
	return 0;
bad:
	*e = api_error_make(-32602, "params", 0, "not a stable id, a JID or a number");
	return -1;
}

size_t
intent_mentions(const struct intent *in, const char *names[SEND_MENTIONS_MAX])
{
	for (size_t i = 0; i < in->nmentions; i++)
		names[i] = in->mentions[i];
	return in->nmentions;
}

/* ------------------------------------------------------------------ checks */

static int
wrong(struct api_error *e, const char *path, int code, const char *reason, const char *what)
{
	*e = api_error_make(code, reason, 0, what);
	e->path = path;
	return -1;
}

static const char *
option_str(const struct intent *in, const char *name)
{
	return json_string_value(json_object_get(in->options, name));
}

static int64_t
option_int(const struct intent *in, const char *name)
{
	return json_integer_value(json_object_get(in->options, name)); /* 0 if it is absent */
}

static int
check_mentions(struct intent *in, struct api_error *e)
{
	const json_t *list = json_object_get(in->options, "mentions");

	for (size_t i = 0; i < json_array_size(list) && i < SEND_MENTIONS_MAX; i++) {
		if (intent_person(json_string_value(json_array_get(list, i)),
			in->mentions[in->nmentions], e) == -1) {
			e->path = "mentions";
			return -1;
		}
		in->nmentions++;
	}
	return 0;
}

static int
check_preview(struct intent *in, struct api_error *e)
{
	const json_t *p = json_object_get(in->options, "preview");
	const char *url = json_string_value(json_object_get(p, "url"));
	const char *b64 = json_string_value(json_object_get(p, "thumbnail_b64"));

	if (p == NULL)
		return 0;
	if (url == NULL || in->text == NULL || strstr(in->text, url) == NULL)
		return wrong(e, "preview.url", -32602, "params", "must be a part of the text");
	if (b64 == NULL)
		return 0;
	if ((in->thumbnail = malloc(THUMBNAIL_MAX)) == NULL)
		return wrong(e, NULL, -2, "internal", "out of memory");
	if (sodium_base642bin(in->thumbnail, THUMBNAIL_MAX, b64, strlen(b64), NULL,
		&in->thumbnail_len, NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
		return wrong(e, "preview.thumbnail_b64", -32602, "params",
		    "must be base64 of at most 64 KiB");
	return 0;
}

/* What no client may say to others: keys, and what only own devices tell each other. */
static int
check_allowed(const struct intent *in, struct api_error *e)
{
	struct pb_arena *arena = pb_arena_new(CONTENT_BUDGET);
	const char *why = "memory";
	const E2e__Message *m =
	    arena == NULL ? NULL : content_parse(in->raw, in->raw_len, arena, &why);
	int r = 0;

	if (m == NULL)
		r = wrong(e, "content.object", -1, "too_large", "the message is too much to read");
	else if (m->device_sent_message != NULL || m->sender_key_distribution_message != NULL ||
		 m->fast_ratchet_key_sender_key_distribution_message != NULL ||
		 recv_event_peer_only(content_unwrap(m)))
		r = wrong(e, "content.object", -1, "not_allowed",
		    "it is what devices tell each other, not people");
	pb_arena_free(arena);
	return r;
}

static int
check_raw(struct intent *in, struct api_error *e)
{
	static char path[PBJSON_PATH_MAX + 16]; /* valid until the next call */
	const json_t *o = json_object_get(json_object_get(in->options, "content"), "object");
	struct pbjson_error err;
	struct buf b = BUF_INIT;

	if (json_object_get(in->options, "content") == NULL)
		return 0;
	if (in->text != NULL)
		return wrong(e, "content", -32602, "params", "is given beside text");
	if (o == NULL)
		return wrong(e, "content.object", -32602, "params", "is missing");
	if (json_object_get(in->options, "reply_to") != NULL || in->nmentions > 0 ||
	    json_object_get(in->options, "preview") != NULL ||
	    json_object_get(in->options, "expires_in_s") != NULL ||
	    json_object_get(in->options, "forwarded_score") != NULL)
		return wrong(e, "content", -32602, "params",
		    "an object says itself what it answers, mentions and shows");
	b.max = INTENT_MESSAGE_MAX;
	if (pbjson_in(&e2e__message__descriptor, o, &b, &err) == -1) {
		(void)snprintf(path, sizeof(path), "content.object%s%s",
		    err.path[0] != '\0' && err.path[0] != '[' ? "." : "", err.path);
		buf_clear(&b);
		return wrong(e, path, -32602, "params", err.message);
	}
	if (b.len == 0) {
		buf_clear(&b);
		return wrong(e, "content.object", -32602, "params", "is empty");
	}
	in->raw = b.data; /* to be freed by intent_free */
	in->raw_len = b.len;
	return check_allowed(in, e);
}

static int
check(struct intent *in, struct api_error *e)
{
	size_t len = in->text != NULL ? strlen(in->text) : 0;

	if (in->act != SEND_ACT_NEW && in->target[0] == '\0')
		return wrong(e, "message_id", -32602, "params", "is no id of a message");
	if (in->act == SEND_ACT_DELETE)
		return 0;
	if (in->text == NULL && json_object_get(in->options, "content") == NULL)
		return wrong(e, "text", -32602, "params", "is missing");
	if (in->text != NULL && (len > CONTENT_TEXT_MAX || (len == 0 && in->act != SEND_ACT_REACT)))
		return wrong(e, "text", -1, "too_large", "a text has 1 to 65536 bytes");
	if (json_object_get(in->options, "reply_to") == NULL &&
	    (json_object_get(in->options, "reply_text") != NULL ||
		json_object_get(in->options, "reply_from_me") != NULL))
		return wrong(e, "reply_to", -32602, "params", "is missing");
	if (check_mentions(in, e) == -1 || check_preview(in, e) == -1)
		return -1;
	return check_raw(in, e);
}

/* ------------------------------------------------------------------ life */

struct intent *
intent_new(const struct send_request *rq, struct api_error *e)
{
	struct intent *in = calloc(1, sizeof(*in));
	size_t n = rq->target != NULL ? strlen(rq->target) : 0;

	if (in == NULL || (rq->text != NULL && (in->text = strdup(rq->text)) == NULL)) {
		free(in);
		(void)wrong(e, NULL, -2, "internal", "out of memory");
		return NULL;
	}
	in->act = rq->act;
	in->target_from_me = rq->act == SEND_ACT_REACT ? rq->target_from_me : 1;
	in->options = json_incref((json_t *)(uintptr_t)rq->options);
	if (n <= MESSAGE_ID_MAX && n > 0)
		memcpy(in->target, rq->target, n);
	if (check(in, e) == -1) {
		intent_free(in);
		return NULL;
	}
	return in;
}

void
intent_free(struct intent *in)
{
	if (in == NULL)
		return;
	if (in->text != NULL)
		sodium_memzero(in->text, strlen(in->text));
	if (in->raw != NULL)
		sodium_memzero(in->raw, in->raw_len);
	free(in->text);
	free(in->raw);
	free(in->thumbnail);
	json_decref(in->options);
	free(in);
}

/* ------------------------------------------------------------------ to the Message */

struct texts {
	char chat[JID_TEXT_MAX], own[JID_TEXT_MAX];
	char mentions[SEND_MENTIONS_MAX][JID_TEXT_MAX];
	char *mentioned[SEND_MENTIONS_MAX];
};

/* In the namespace of the chat if there is a choice. -1: not known. */
static int
mention(const struct person *p, int lid, char out[JID_TEXT_MAX])
{
	int by_lid = (lid && p->lid[0] != '\0') || p->pn[0] == '\0';
	struct jid j;

	if (p->id[0] == '\0' ||
	    jid_make(&j, by_lid ? p->lid : p->pn, by_lid ? JID_LID : JID_PN, 0) == -1)
		return -1;
	(void)jid_format(&j, out);
	return 0;
}

static int
fill_texts(const struct intent *in, const struct intent_where *w, struct texts *t)
{
	(void)jid_format(w->chat, t->chat);
	(void)jid_format(w->own, t->own);
	if (w->nmentioned != in->nmentions)
		return -1;
	for (size_t i = 0; i < in->nmentions; i++) {
		if (mention(&w->mentioned[i], jid_is_lid(w->chat), t->mentions[i]) == -1)
			return -1;
		t->mentioned[i] = t->mentions[i];
	}
	return 0;
}

/* What stands beside the text. 1: there is something. */
static int
fill_context(const struct intent *in, struct texts *t, E2e__ContextInfo *c, E2e__Message *quoted)
{
	const char *reply = option_str(in, "reply_to"), *text = option_str(in, "reply_text");
	int64_t expires = option_int(in, "expires_in_s"), score = option_int(in, "forwarded_score");

	if (reply != NULL) {
		c->stanza_id = pb_str(reply);
		c->participant =
		    json_is_true(json_object_get(in->options, "reply_from_me")) ? t->own : t->chat;
		quoted->conversation = pb_str(text != NULL ? text : "");
		c->quoted_message = quoted;
	}
	c->n_mentioned_jid = in->nmentions;
	c->mentioned_jid = t->mentioned;
	c->has_expiration = expires > 0;
	c->expiration = (uint32_t)expires;
	c->has_is_forwarded = c->has_forwarding_score = score > 0;
	c->is_forwarded = score > 0;
	c->forwarding_score = (uint32_t)score;
	return reply != NULL || in->nmentions > 0 || expires > 0 || score > 0;
}

static int
fill_preview(const struct intent *in, E2e__ExtendedTextMessage *x)
{
	const json_t *p = json_object_get(in->options, "preview");

	if (p == NULL)
		return 0;
	x->matched_text = pb_str(json_string_value(json_object_get(p, "url")));
	x->title = pb_str(json_string_value(json_object_get(p, "title")));
	x->description = pb_str(json_string_value(json_object_get(p, "description")));
	x->has_preview_type = 1;
	x->preview_type = E2E__EXTENDED_TEXT_MESSAGE__PREVIEW_TYPE__NONE;
	x->has_jpeg_thumbnail = in->thumbnail_len > 0;
	x->jpeg_thumbnail = pb_bytes(in->thumbnail, in->thumbnail_len);
	return 1;
}

struct parts {
	E2e__Message message, inner, quoted;
	E2e__ExtendedTextMessage text;
	E2e__ContextInfo context;
	E2e__MessageContextInfo info;
	E2e__ProtocolMessage protocol;
	E2e__ReactionMessage reaction;
	Wacommon__MessageKey key;
};

/* The text alone, or with what belongs to it. */
static void
fill_text(const struct intent *in, struct texts *t, struct parts *p, E2e__Message *m)
{
	int beside = fill_context(in, t, &p->context, &p->quoted);

	if (!fill_preview(in, &p->text) && !beside) {
		m->conversation = in->text;
		return;
	}
	p->text.text = in->text;
	if (beside)
		p->text.context_info = &p->context;
	m->extended_text_message = &p->text;
}

static void
fill_about(const struct intent *in, struct texts *t, struct parts *p, int64_t now_ms)
{
	p->key.remote_jid = t->chat;
	p->key.has_from_me = 1;
	p->key.from_me = in->target_from_me;
	p->key.id = pb_str(in->target);
	if (in->act == SEND_ACT_REACT) {
		p->reaction.key = &p->key;
		p->reaction.text = in->text;
		p->reaction.has_sender_timestamp_ms = 1;
		p->reaction.sender_timestamp_ms = now_ms;
		p->message.reaction_message = &p->reaction;
		return;
	}
	p->protocol.key = &p->key;
	p->protocol.has_type = 1;
	p->protocol.type = E2E__PROTOCOL_MESSAGE__TYPE__REVOKE;
	if (in->act == SEND_ACT_EDIT) {
		fill_text(in, t, p, &p->inner);
		p->protocol.type = E2E__PROTOCOL_MESSAGE__TYPE__MESSAGE_EDIT;
		p->protocol.edited_message = &p->inner;
		p->protocol.has_timestamp_ms = 1;
		p->protocol.timestamp_ms = now_ms;
	}
	p->message.protocol_message = &p->protocol;
}

/* The client's own object as it gave it; a secret is added where one belongs and there is none. */
static uint8_t *
with_secret(const struct intent *in, const uint8_t secret[32], size_t *len)
{
	E2e__MessageContextInfo info = E2E__MESSAGE_CONTEXT_INFO__INIT;
	struct pb_arena *arena = pb_arena_new(CONTENT_BUDGET);
	/* nobody else holds what was just unpacked */
	E2e__Message *m = arena == NULL ? NULL
					: (E2e__Message *)(uintptr_t)content_parse(
					      in->raw, in->raw_len, arena, NULL);
	uint8_t *out = NULL;

	if (m != NULL && secrets_wanted(m)) {
		if (m->message_context_info == NULL)
			m->message_context_info = &info;
		if (!m->message_context_info->has_message_secret) {
			m->message_context_info->has_message_secret = 1;
			m->message_context_info->message_secret = pb_bytes(secret, 32);
		}
		m->message_context_info->has_reporting_token_version = 1;
		m->message_context_info->reporting_token_version = REPORTING_VERSION;
	}
	if (m != NULL)
		out = pb_pack(&m->base, len);
	pb_arena_free(arena);
	return out;
}

uint8_t *
intent_encode(const struct intent *in, const struct intent_where *w, const uint8_t secret[32],
    int64_t now_ms, size_t *len)
{
	struct parts p = {E2E__MESSAGE__INIT, E2E__MESSAGE__INIT, E2E__MESSAGE__INIT,
	    E2E__EXTENDED_TEXT_MESSAGE__INIT, E2E__CONTEXT_INFO__INIT,
	    E2E__MESSAGE_CONTEXT_INFO__INIT, E2E__PROTOCOL_MESSAGE__INIT,
	    E2E__REACTION_MESSAGE__INIT, WACOMMON__MESSAGE_KEY__INIT};
	struct texts t;

	if (in->raw != NULL)
		return with_secret(in, secret, len);
	if (fill_texts(in, w, &t) == -1)
		return NULL;
	if (in->act != SEND_ACT_NEW) {
		fill_about(in, &t, &p, now_ms);
		return pb_pack(&p.message.base, len);
	}
	fill_text(in, &t, &p, &p.message);
	p.info.has_message_secret = 1;
	p.info.message_secret = pb_bytes(secret, 32);
	p.info.has_reporting_token_version = 1;
	p.info.reporting_token_version = REPORTING_VERSION;
	p.message.message_context_info = &p.info;
	return pb_pack(&p.message.base, len);
}
