/* Secrets of messages on their way to keyd, and what was encrypted under one on its way back.
 *
 *	secrets_take -> secrets_first -> addon_opened -> recv_commit -> secrets_first ->
 *	secrets_kept -> recv_commit
 */
#include "apid/message/secrets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/message/addon.h"
#include "apid/message/recv_event.h"
#include "apid/message/recv_impl.h"
#include "apid/session/props.h"
#include "common/log.h"
#include "common/pb.h"

#define DAY_S         INT64_C(86400)
#define KEYD_DEADLINE 30000u
#define KEEP_MAX      16u /* of one SECRETS_KEEP */
#define SPELLINGS     2u  /* a person by LID and by number */
#define JIDS_MAX      4u  /* of what AddonOpen takes */
#define OPENED_MAX    (ADDON_PAYLOAD_MAX + 64)

struct recv_secrets {
	struct secret_pb keep[KEEP_MAX];
	size_t nkeep;
	uint8_t *raw; /* the message with the addition, until it is opened */
	size_t raw_len;
};

/* ------------------------------------------------------------------ kinds */

static int
is_poll(const E2e__Message *m)
{
	return m->poll_creation_message != NULL || m->poll_creation_message_v2 != NULL ||
	       m->poll_creation_message_v3 != NULL || m->poll_creation_message_v5 != NULL ||
	       m->poll_creation_message_v6 != NULL;
}

/* What is about another message, or for devices, has none. */
int
secrets_wanted(const E2e__Message *m)
{
	m = content_unwrap(m);
	return m->protocol_message == NULL && m->edited_message == NULL &&
	       m->reaction_message == NULL && m->enc_reaction_message == NULL &&
	       m->poll_update_message == NULL && m->enc_event_response_message == NULL &&
	       m->enc_comment_message == NULL && m->secret_encrypted_message == NULL &&
	       m->keep_in_chat_message == NULL && m->pin_in_chat_message == NULL;
}

int64_t
secrets_expire_s(const E2e__Message *m, int64_t message_s)
{
	m = content_unwrap(m);
	return message_s + (is_poll(m) || m->event_message != NULL ? 90 : 30) * DAY_S;
}

/* Its secret, 32 bytes; NULL: none that is to be kept. A forwarded one is no parent of anything. */
static const uint8_t *
secret_of(const E2e__Message *m)
{
	const E2e__MessageContextInfo *c = m->message_context_info;
	const E2e__ContextInfo *x = content_context(m);

	if (c == NULL || !c->has_message_secret || c->message_secret.len != 32 ||
	    (x != NULL && x->has_is_forwarded && x->is_forwarded))
		return NULL;
	return c->message_secret.data;
}

/* ------------------------------------------------------------------ names */

struct spellings {
	char jid[SPELLINGS][JID_TEXT_MAX];
	size_t n;
};

static void
spell(struct spellings *s, const char *user, const char *server)
{
	if (user[0] != '\0')
		(void)snprintf(s->jid[s->n++], JID_TEXT_MAX, "%s@%s", user, server);
}

/* The LID first: it is what is kept once it is known. */
static void
spell_person(struct spellings *s, const struct person *p)
{
	s->n = 0;
	spell(s, p->lid, JID_LID);
	spell(s, p->pn, JID_PN);
}

/* The name of a message in keyd; by "me" it is known whichever JID we wrote it under. */
static void
name_of(char out[SECRET_NAME_MAX], const char *chat, int from_me, const char *id)
{
	(void)snprintf(out, SECRET_NAME_MAX, "%s %s %s", chat, from_me ? "me" : "them", id);
}

static void
fill(struct secret_pb *k, const uint8_t *secret, const E2e__Message *m, int64_t message_s)
{
	memcpy(k->bytes, secret, sizeof(k->bytes));
	keyd__secret__init(&k->secret);
	k->secret.name = k->name;
	k->secret.secret = pb_bytes(k->bytes, sizeof(k->bytes));
	k->secret.message_s = message_s;
	k->secret.expires_s = secrets_expire_s(m, message_s);
	k->list[0] = &k->secret;
}

int
secrets_sent(const uint8_t *message, size_t len, const struct person *peer, const char *id,
    int64_t message_s, struct secret_pb *out)
{
	struct pb_arena *arena = pb_arena_new(CONTENT_BUDGET);
	const E2e__Message *m = arena == NULL ? NULL : content_parse(message, len, arena, NULL);
	const uint8_t *secret = m == NULL ? NULL : secret_of(m);
	struct spellings chat;

	spell_person(&chat, peer);
	if (secret != NULL && chat.n > 0) {
		fill(out, secret, m, message_s);
		name_of(out->name, chat.jid[0], 1, id);
	}
	pb_arena_free(arena);
	return secret != NULL && chat.n > 0;
}

/* ------------------------------------------------------------------ what came */

static struct recv_secrets *
of(struct recv *r)
{
	if (r->secrets == NULL && (r->secrets = calloc(1, sizeof(*r->secrets))) == NULL)
		fatal("secrets");
	return r->secrets;
}

static void
drop_raw(struct recv_secrets *s)
{
	if (s->raw != NULL)
		sodium_memzero(s->raw, s->raw_len);
	free(s->raw);
	s->raw = NULL;
}

void
secrets_free(struct recv *r)
{
	if (r->secrets == NULL)
		return;
	drop_raw(r->secrets);
	sodium_memzero(r->secrets, sizeof(*r->secrets));
	free(r->secrets);
	r->secrets = NULL;
}

/* Our own copy from another device is looked into. */
static const E2e__Message *
inner_of(const struct recv *r, const E2e__Message *m)
{
	const E2e__DeviceSentMessage *d = m->device_sent_message;

	return r->e.from_me && d != NULL && d->message != NULL ? d->message : m;
}

static void
take_secret(struct recv *r, const struct envelope *e, const struct person *peer,
    const E2e__Message *outer, const E2e__Message *m)
{
	const uint8_t *secret = secret_of(m);
	struct spellings chat;
	struct secret_pb *k;

	if (secret == NULL) /* the copy may have it beside it */
		secret = secret_of(outer);
	spell_person(&chat, peer);
	if (secret == NULL || chat.n == 0 || of(r)->nkeep == KEEP_MAX)
		return;
	k = &r->secrets->keep[r->secrets->nkeep++];
	fill(k, secret, m, e->time_ms > 0 ? e->time_ms / 1000 : 0);
	name_of(k->name, chat.jid[0], e->from_me, e->id);
}

void
secrets_recovered(
    struct recv *r, const struct envelope *e, const struct person *chat, const E2e__Message *m)
{
	const E2e__DeviceSentMessage *d = m->device_sent_message;

	if (e->kind == ENVELOPE_DIRECT)
		take_secret(
		    r, e, chat, m, e->from_me && d != NULL && d->message != NULL ? d->message : m);
}

int
secrets_take(struct recv *r, const E2e__Message *outer, const uint8_t *raw, size_t len)
{
	const E2e__Message *m = inner_of(r, outer);
	struct recv_secrets *s;
	struct addon ad;

	if (r->e.kind != ENVELOPE_DIRECT || r->e.peer)
		return 0;
	take_secret(r, &r->e, &r->chat, outer, m);
	if (!addon_find(m, &ad) || of(r)->raw != NULL)
		return 0; /* one of a stanza: a further one is told unopened */
	s = r->secrets;
	if ((s->raw = malloc(len)) == NULL)
		return 0;
	memcpy(s->raw, raw, len);
	s->raw_len = len;
	return 1;
}

/* ------------------------------------------------------------------ opening */

struct jids {
	char *list[JIDS_MAX];
	size_t n;
};

/* Each once, as long as there is room. */
static void
add(struct jids *to, char *text)
{
	for (size_t i = 0; i < to->n; i++)
		if (strcmp(to->list[i], text) == 0)
			return;
	if (to->n < JIDS_MAX && text[0] != '\0')
		to->list[to->n++] = text;
}

static void
add_spellings(struct jids *to, struct spellings *s)
{
	for (size_t i = 0; i < s->n; i++)
		add(to, s->jid[i]);
}

static void
own_spellings(const struct account *a, struct spellings *s)
{
	s->n = 0;
	spell(s, a->dev.has_lid ? a->dev.lid.user : "", JID_LID);
	spell(s, a->dev.has_jid ? a->dev.jid.user : "", JID_PN);
}

static void addon_opened(const struct reply *rp, void *arg);

/* 17.2: the author as the key has it and the sender as received come first. */
static void
ask_open(struct recv *r, const struct addon *ad)
{
	Keyd__AddonOpen q = KEYD__ADDON_OPEN__INIT;
	struct spellings chat, me, *author, *sender;
	char names[SPELLINGS][SECRET_NAME_MAX], from[JID_TEXT_MAX], remote[JID_TEXT_MAX] = "";
	struct jids authors = {{NULL}, 0}, senders = {{NULL}, 0};
	char *name_list[SPELLINGS];
	struct jid bare = jid_bare(&r->e.sender);
	/* of two people one is the author: who adds to it, or the other */
	int mine = ad->target->from_me ? r->e.from_me : !r->e.from_me;

	spell_person(&chat, &r->chat);
	own_spellings(r->a, &me);
	if (account_is_own(r->a, &r->e.chat))
		mine = 1; /* a note to ourselves */
	author = mine ? &me : &chat;
	sender = r->e.from_me ? &me : &chat;
	(void)jid_format(&bare, from);
	add(&senders, from);
	add_spellings(&senders, sender);
	if (ad->target->from_me)
		add(&authors, from);
	else if (ad->target->remote_jid != NULL && strlen(ad->target->remote_jid) < sizeof(remote))
		(void)snprintf(remote, sizeof(remote), "%s", ad->target->remote_jid);
	add(&authors, remote);
	add_spellings(&authors, author);
	for (size_t i = 0; i < chat.n; i++) {
		name_of(names[i], chat.jid[i], mine, ad->target->id);
		name_list[q.n_names++] = names[i];
	}
	q.account = r->a->name;
	q.use = ad->use;
	q.names = name_list;
	q.id = ad->target->id;
	q.authors = authors.list;
	q.n_authors = authors.n;
	q.senders = senders.list;
	q.n_senders = senders.n;
	q.iv = ad->iv;
	q.payload = ad->payload;
	flow_step(&r->f, "addon_opened");
	r->ask = ask_keyd(r->a, KEYD__TYPE__ADDON_OPEN, &q.base, KEYD__TYPE__ADDON_OPENED,
	    &keyd__addon_opened__descriptor, OPENED_MAX, KEYD_DEADLINE, addon_opened, r);
}

/* Its event: what it said if that could be read and counts, else the message as it came. -1: the
 * whole has failed. */
static int
tell(struct recv *r, const Keyd__AddonOpened *o)
{
	struct recv_secrets *s = r->secrets;
	struct pb_arena *arena = pb_arena_new(2 * (size_t)CONTENT_BUDGET);
	const E2e__Message *m =
	    arena == NULL ? NULL : content_parse(s->raw, s->raw_len, arena, NULL);
	struct addon_plain plain;
	struct addon ad;
	int opened = 0;

	if (m == NULL) { /* it was parsed before: memory is out */
		pb_arena_free(arena);
		recv_failed(r, "memory");
		return -1;
	}
	if (o != NULL && o->outcome == KEYD__ADDON_OPENED__OUTCOME__DONE && o->has_plaintext &&
	    addon_find(inner_of(r, m), &ad) &&
	    addon_counts(&ad, o->has_message_s ? o->message_s : 0, r->e.time_ms / 1000,
		props_int(r->a, PROPS_EDIT_WINDOW)))
		opened = addon_read(ad.use, &o->plaintext, arena, &plain) == 0;
	if (opened)
		recv_event_addon(r->unit, r->a, &r->e, &r->sender, &r->chat, r->n, m, s->raw,
		    s->raw_len, r->enc_count > 0 || r->held != 0, &ad, &plain);
	else
		(void)recv_event_message(r->unit, r->a, &r->e, &r->sender, &r->chat, r->n, m,
		    s->raw, s->raw_len, r->enc_count > 0 || r->held != 0);
	drop_raw(s);
	pb_arena_free(arena);
	return 0;
}

static void
addon_opened(const struct reply *rp, void *arg)
{
	struct recv *r = arg;

	r->ask = NULL;
	if (!rp->ok && (strcmp(rp->code, "timeout") == 0 || strcmp(rp->code, "closed") == 0)) {
		recv_failed(r, rp->code);
		return;
	}
	if (!rp->ok)
		log_debug("account %s: an addition could not be opened: %s", r->a->name, rp->code);
	if (tell(r, rp->ok ? (const Keyd__AddonOpened *)rp->pb : NULL) == 0)
		recv_commit(r);
}

/* 0: its message cannot be named (nobody is known of the chat). */
static int
open_first(struct recv *r)
{
	struct pb_arena *arena = pb_arena_new(CONTENT_BUDGET);
	const E2e__Message *m =
	    arena == NULL ? NULL : content_parse(r->secrets->raw, r->secrets->raw_len, arena, NULL);
	struct addon ad;
	int asked = m != NULL && (r->chat.lid[0] != '\0' || r->chat.pn[0] != '\0') &&
		    addon_find(inner_of(r, m), &ad) && strlen(ad.target->id) <= MESSAGE_ID_MAX;

	if (asked)
		ask_open(r, &ad);
	pb_arena_free(arena);
	return asked;
}

/* ------------------------------------------------------------------ keeping */

static void
secrets_kept(const struct reply *rp, void *arg)
{
	struct recv *r = arg;

	r->ask = NULL;
	if (!rp->ok) {
		recv_failed(r, rp->code);
		return;
	}
	unit_staged(r->unit, ((const Keyd__Staged *)rp->pb)->stages);
	recv_commit(r);
}

static void
ask_keep(struct recv *r)
{
	Keyd__SecretsKeep q = KEYD__SECRETS_KEEP__INIT;
	struct recv_secrets *s = r->secrets;
	Keyd__Secret *list[KEEP_MAX];

	for (size_t i = 0; i < s->nkeep; i++)
		list[i] = &s->keep[i].secret;
	q.account = r->a->name;
	q.unit = unit_id(r->unit);
	q.secrets = list;
	q.n_secrets = s->nkeep;
	flow_step(&r->f, "secrets_kept");
	r->ask = ask_keyd(r->a, KEYD__TYPE__SECRETS_KEEP, &q.base, KEYD__TYPE__STAGED,
	    &keyd__staged__descriptor, 64, KEYD_DEADLINE, secrets_kept, r);
	sodium_memzero(s->keep, sizeof(s->keep));
	s->nkeep = 0;
}

int
secrets_first(struct recv *r)
{
	struct recv_secrets *s = r->secrets;

	if (s != NULL && s->raw != NULL) {
		if (open_first(r) || tell(r, NULL) == -1)
			return 1;
	}
	if (s != NULL && s->nkeep > 0) {
		ask_keep(r);
		return 1;
	}
	return 0;
}
