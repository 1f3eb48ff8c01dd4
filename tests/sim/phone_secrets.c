/* The phone's secrets of messages, and what it says under one: votes, answers, encrypted edits and
 * reactions (protocol page 04, 16 and 17). */
#include <string.h>

#include "common/log.h"
#include "tests/sim/crypt.h"
#include "tests/sim/loop.h"
#include "tests/sim/map.h"
#include "tests/sim/pbw.h"
#include "tests/sim/phone_impl.h"
#include "tests/sim/rng.h"

#define SECRETS_MAX 100000

void
phone_secret_put(struct phone *p, const char *id, struct buf *message)
{
	struct buf context = BUF_INIT;
	uint8_t secret[32];

	rng_bytes(secret, sizeof(secret));
	if (map_count(p->secrets) < SECRETS_MAX)
		map_put(p->secrets, id, secret, sizeof(secret));
	pbw_bytes(&context, 3, secret, sizeof(secret));
	pbw_msg(message, 35, &context);
}

void
phone_secret_note(struct phone *p, const char *id, const E2e__Message *m)
{
	const E2e__MessageContextInfo *c = m->message_context_info;

	if (c != NULL && c->has_message_secret && c->message_secret.len == 32 &&
	    map_count(p->secrets) < SECRETS_MAX)
		map_put(p->secrets, id, c->message_secret.data, 32);
}

int
phone_needs_secret(const struct phone_said *s)
{
	return s->encrypted || s->poll != NULL || s->vote != NULL || s->event != NULL ||
	       s->respond != NULL;
}

/* --- sealing --- */

struct sealing {
	const uint8_t *secret;
	const char *target, *use;
	char author[JID_TEXT_MAX], sender[JID_TEXT_MAX];
	int aad;
};

/* The name of an account by number or by LID. */
static void
named(const struct jid *j, int lid, char out[JID_TEXT_MAX])
{
	struct account *a = account_of(j);
	struct jid k = a == NULL ? *j : account_jid(a, lid);

	(void)jid_format(&k, out);
}

/* iv and payload, as fields of a message. */
static void
seal(const struct sealing *s, struct buf *plain, unsigned payload_field, unsigned iv_field,
    struct buf *out)
{
	struct buf info = BUF_INIT, aad = BUF_INIT, ct = BUF_INIT;
	uint8_t key[32], iv[12], *room;

	buf_put_str(&info, s->target);
	buf_put_str(&info, s->author);
	buf_put_str(&info, s->sender);
	buf_put_str(&info, s->use);
	crypt_hkdf(NULL, 0, s->secret, 32, info.data, info.len, key, sizeof(key));
	if (s->aad) {
		buf_put_str(&aad, s->target);
		buf_put_u8(&aad, 0);
		buf_put_str(&aad, s->sender);
	}
	rng_bytes(iv, sizeof(iv));
	if ((room = buf_reserve(&ct, plain->len + TAG_LEN)) == NULL)
		fatal("seal");
	crypt_gcm_seal(key, iv, aad.data, aad.len, plain->data, plain->len, room);
	pbw_bytes(out, payload_field, ct.data, ct.len);
	pbw_bytes(out, iv_field, iv, sizeof(iv));
	buf_clear(&info);
	buf_clear(&aad);
	buf_clear(&ct);
	buf_clear(plain);
}

static void
put_key(struct buf *b, const struct jid *chat, int from_me, const char *id)
{
	char text[JID_TEXT_MAX];
	struct buf key = BUF_INIT;

	pbw_str(&key, 1, jid_format(chat, text));
	pbw_varint(&key, 2, from_me != 0);
	pbw_str(&key, 3, id);
	pbw_msg(b, 1, &key);
}

/* --- what it says --- */

static void
build_reaction(const struct phone_said *s, const struct sealing *k, struct buf *out)
{
	struct buf plain = BUF_INIT;

	pbw_str(&plain, 2, s->text);
	pbw_varint(&plain, 4, (uint64_t)loop_now_ms());
	seal(k, &plain, 2, 3, out);
}

/* The edit as it would be in the clear, under the secret. */
static void
build_edit(
    const struct phone_said *s, const struct sealing *k, const struct jid *chat, struct buf *out)
{
	struct buf plain = BUF_INIT, protocol = BUF_INIT, edited = BUF_INIT;

	put_key(&protocol, chat, 1, s->edit);
	pbw_varint(&protocol, 2, 14);
	pbw_str(&edited, 1, s->text);
	pbw_msg(&protocol, 14, &edited);
	pbw_varint(&protocol, 15, (uint64_t)loop_now_ms());
	pbw_msg(&plain, 12, &protocol);
	seal(k, &plain, 2, 3, out);
	pbw_varint(out, 4, 2); /* MESSAGE_EDIT */
}

static void
build_vote(const struct phone_said *s, const struct sealing *k, struct buf *out)
{
	struct buf plain = BUF_INIT, vote = BUF_INIT;
	uint8_t hash[32];
	json_t *v;
	size_t i;

	json_array_foreach(s->options, i, v)
	{
		crypt_sha256(json_string_value(v), json_string_length(v), hash);
		pbw_bytes(&plain, 1, hash, sizeof(hash));
	}
	seal(k, &plain, 1, 2, &vote);
	pbw_msg(out, 2, &vote);
	pbw_varint(out, 4, (uint64_t)loop_now_ms());
}

static void
build_response(const struct phone_said *s, const struct sealing *k, struct buf *out)
{
	struct buf plain = BUF_INIT;
	const char *r = s->response != NULL ? s->response : "going";

	pbw_varint(&plain, 1, strcmp(r, "going") == 0 ? 1 : strcmp(r, "not_going") == 0 ? 2 : 3);
	pbw_varint(&plain, 2, (uint64_t)loop_now_ms());
	seal(k, &plain, 2, 3, out);
}

static void
build_parent(struct phone *p, const struct phone_said *s, const char *id, struct buf *out)
{
	struct buf m = BUF_INIT, option = BUF_INIT;
	json_t *v;
	size_t i;

	if (s->poll != NULL) {
		pbw_str(&m, 2, s->poll);
		json_array_foreach(s->options, i, v)
		{
			pbw_str(&option, 1, json_string_value(v));
			pbw_msg(&m, 3, &option);
		}
		pbw_varint(&m, 4, 0);
		pbw_msg(out, 49, &m);
	} else {
		pbw_str(&m, 3, s->event);
		pbw_varint(&m, 7, (uint64_t)loop_now() + 86400);
		pbw_msg(out, 75, &m);
	}
	phone_secret_put(p, id, out);
}

int
phone_secret_build(struct phone *p, const struct phone_said *s, const struct jid *own,
    const struct jid *chat, const char *id, struct buf *out, struct phone_stanza *stanza)
{
	struct sealing k = {.target = s->react != NULL  ? s->react
				      : s->edit != NULL ? s->edit
				      : s->vote != NULL ? s->vote
							: s->respond};
	int lid = s->jids == NULL ? account_is_lid(chat) : strcmp(s->jids, "lid") == 0;
	int mine = s->edit != NULL || s->from_me;
	struct buf body = BUF_INIT;
	unsigned field;

	*stanza = (struct phone_stanza){.type = "text", .hide = 1};
	if (s->poll != NULL || s->event != NULL) {
		stanza->type = s->poll != NULL ? "poll" : "event";
		stanza->hide = 0;
		build_parent(p, s, id, out);
		return 0;
	}
	if (k.target == NULL || (k.secret = map_get(p->secrets, k.target, NULL)) == NULL)
		return -1;
	named(mine ? own : chat, lid, k.author);
	named(own, s->jids != NULL && strcmp(s->jids, "mixed") == 0 ? !lid : lid, k.sender);
	put_key(&body, chat, mine, k.target);
	if (s->react != NULL) {
		stanza->type = "reaction";
		k.use = "Enc Reaction";
		build_reaction(s, &k, &body);
		field = 56;
	} else if (s->edit != NULL) {
		stanza->edit = "1";
		k.use = "Message Edit";
		build_edit(s, &k, chat, &body);
		field = 82;
	} else if (s->vote != NULL) {
		stanza->type = "poll";
		k.use = "Poll Vote";
		k.aad = 1;
		build_vote(s, &k, &body);
		field = 50;
	} else {
		stanza->type = "event";
		k.use = "Event Response";
		k.aad = 1;
		build_response(s, &k, &body);
		field = 76;
	}
	pbw_msg(out, field, &body);
	return 0;
}
