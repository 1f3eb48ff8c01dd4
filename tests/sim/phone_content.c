/* What the phone's user says besides plain texts, and what the phone makes of what it reads. */
#include "tests/sim/phone_content.h"

#include <string.h>

#include "tests/sim/loop.h"
#include "tests/sim/nodes.h"
#include "tests/sim/pbw.h"

/* ------------------------------------------------------------------ saying */

static void
put_key(struct buf *b, unsigned field, const struct jid *chat, int from_me, const char *id)
{
	char text[JID_TEXT_MAX];
	struct buf key = BUF_INIT;

	pbw_str(&key, 1, jid_format(chat, text));
	pbw_varint(&key, 2, from_me != 0);
	pbw_str(&key, 3, id);
	pbw_msg(b, field, &key);
}

static void
put_reply(
    const struct phone_said *s, const struct jid *own, const struct jid *chat, struct buf *out)
{
	struct buf x = BUF_INIT, context = BUF_INIT, quoted = BUF_INIT;
	char text[JID_TEXT_MAX];

	if (s->reply_to != NULL) {
		pbw_str(&context, 1, s->reply_to);
		pbw_str(&context, 2, jid_format(s->from_me ? own : chat, text));
		pbw_str(&quoted, 1, s->reply_text != NULL ? s->reply_text : "");
		pbw_msg(&context, 3, &quoted);
	}
	if (s->mention != NULL)
		pbw_str(&context, 15, s->mention);
	pbw_str(&x, 1, s->text);
	pbw_msg(&x, 17, &context);
	pbw_msg(out, 6, &x);
}

static void
put_protocol(const struct phone_said *s, const struct jid *chat, struct buf *out)
{
	struct buf p = BUF_INIT, edited = BUF_INIT;

	put_key(&p, 1, chat, 1, s->edit != NULL ? s->edit : s->revoke);
	pbw_varint(&p, 2, s->edit != NULL ? 14 : 0);
	if (s->edit != NULL) {
		pbw_str(&edited, 1, s->text);
		pbw_msg(&p, 14, &edited);
		pbw_varint(&p, 15, (uint64_t)loop_now() * 1000);
	}
	pbw_msg(out, 12, &p);
}

void
phone_content_build(const struct phone_said *s, const struct jid *own, const struct jid *chat,
    struct buf *out, struct phone_stanza *stanza)
{
	struct buf r = BUF_INIT;

	*stanza = (struct phone_stanza){.type = "text"};
	if (s->edit != NULL || s->revoke != NULL) {
		put_protocol(s, chat, out);
		stanza->edit = s->edit != NULL ? "1" : "7";
		stanza->hide = s->edit != NULL;
	} else if (s->react != NULL) {
		put_key(&r, 1, chat, s->from_me, s->react);
		pbw_str(&r, 2, s->text);
		pbw_msg(out, 46, &r);
		stanza->type = "reaction";
		stanza->edit = s->text[0] == '\0' ? "7" : NULL;
		stanza->hide = 1;
	} else if (s->reply_to != NULL || s->mention != NULL) {
		put_reply(s, own, chat, out);
	} else {
		pbw_str(out, 1, s->text);
	}
}

/* ------------------------------------------------------------------ reading */

static void
set(json_t *o, const char *key, const char *value)
{
	json_t *v = value == NULL ? NULL : json_string(value);

	if (v != NULL)
		json_object_set_new(o, key, v);
}

static void
explain_key(json_t *o, const Wacommon__MessageKey *key)
{
	if (key == NULL)
		return;
	set(o, "target", key->id);
	set(o, "target_chat", key->remote_jid);
	json_object_set_new(o, "target_from_me", json_boolean(key->from_me));
}

static void
explain_context(json_t *o, const E2e__ContextInfo *c)
{
	json_t *list;

	if (c == NULL)
		return;
	set(o, "quoted", c->stanza_id);
	set(o, "quoted_sender", c->participant);
	if (c->quoted_message != NULL)
		set(o, "quoted_text", c->quoted_message->conversation);
	if (c->n_mentioned_jid > 0) {
		json_object_set_new(o, "mentions", list = json_array());
		for (size_t i = 0; i < c->n_mentioned_jid; i++)
			json_array_append_new(list, json_string(c->mentioned_jid[i]));
	}
	if (c->has_expiration)
		json_object_set_new(o, "expires_in_s", json_integer(c->expiration));
	if (c->has_forwarding_score)
		json_object_set_new(o, "forwarded_score", json_integer(c->forwarding_score));
}

static const char *
kind_of(const E2e__Message *m, const char **text, json_t *o)
{
	const E2e__ProtocolMessage *p = m->protocol_message;

	if (m->conversation != NULL) {
		*text = m->conversation;
		return "text";
	}
	if (m->extended_text_message != NULL) {
		*text = m->extended_text_message->text;
		explain_context(o, m->extended_text_message->context_info);
		set(o, "url", m->extended_text_message->matched_text);
		set(o, "title", m->extended_text_message->title);
		return "text";
	}
	if (m->reaction_message != NULL) {
		*text = m->reaction_message->text;
		explain_key(o, m->reaction_message->key);
		return "reaction";
	}
	if (m->location_message != NULL) {
		*text = m->location_message->name;
		return "location";
	}
	if (m->poll_creation_message != NULL || m->poll_creation_message_v3 != NULL) {
		*text = (m->poll_creation_message != NULL ? m->poll_creation_message
							  : m->poll_creation_message_v3)
			    ->name;
		return "poll";
	}
	if (p == NULL)
		return "other";
	explain_key(o, p->key);
	if (p->edited_message != NULL) {
		(void)kind_of(p->edited_message, text, o);
		return "edit";
	}
	return p->key != NULL && p->has_type && p->type == E2E__PROTOCOL_MESSAGE__TYPE__REVOKE
		   ? "revoke"
		   : "protocol";
}

const char *
phone_content_kind(const E2e__Message *m, const struct node *n, const struct node *enc,
    const char **text, json_t **more)
{
	json_t *o = json_object();
	const char *kind = kind_of(m, text, o);

	if (json_object_size(o) == 0 && m->conversation != NULL) {
		json_decref(o);
		*more = NULL;
		return kind;
	}
	set(o, "stanza", node_get(n, "type"));
	set(o, "edit", node_get(n, "edit"));
	set(o, "decrypt_fail", node_get(enc, "decrypt-fail"));
	set(o, "mediatype", node_get(enc, "mediatype"));
	*more = o;
	return kind;
}
