/* The phone writes: texts to every device of both sides, peer messages, resends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/sim/crypt.h"
#include "tests/sim/loop.h"
#include "tests/sim/nodes.h"
#include "tests/sim/pbw.h"
#include "tests/sim/phone_impl.h"
#include "tests/sim/rng.h"
#include "tests/sim/route.h"

void
phone_new_id(struct phone *p, char out[32])
{
	char in[64], hex[65];
	uint8_t md[32], rnd[16];
	int n;

	rng_bytes(rnd, sizeof(rnd));
	n = snprintf(in, sizeof(in), "%s@c.us", p->account->pn);
	memcpy(in + n, rnd, sizeof(rnd));
	crypt_sha256(in, (size_t)n + sizeof(rnd), md);
	crypt_hex(md, 9, hex);
	for (char *c = hex; *c != '\0'; c++)
		*c = *c >= 'a' ? (char)(*c - 32) : *c;
	snprintf(out, 32, "3EB0%.18s", hex);
}

struct jid
phone_chat(const struct phone *p, const struct account *to)
{
	return account_jid(to, p->account->lid_migrated && !p->account->lid_hidden);
}

/* Asks the service for the keys of one device and opens a session. */
static int
fetch_session(struct phone *p, const struct jid *device, const struct jid *name)
{
	struct node *iq = phone_iq(p, "get", "encrypt"), *answer, *list, *user;
	int r = -1;

	node_set_jid(node_child_new(node_child_new(iq, "key"), "user"), "jid", device);
	answer = route_phone(p->self, iq);
	if (answer != NULL && (list = node_child(answer, "list")) != NULL &&
	    (user = node_child(list, "user")) != NULL && node_child(user, "error") == NULL)
		r = phone_signal_open(p->signal, name, user, 0);
	node_free(answer);
	return r;
}

int
phone_session(struct phone *p, const struct jid *device)
{
	struct jid name = phone_signal_name(device);

	return phone_signal_has_session(p->signal, &name) ? 0 : fetch_session(p, device, &name);
}

/* <enc> with the message for one device as a child of parent. 0 or -1. */
static int
put_enc(struct phone *p, struct node *parent, const struct jid *device, const struct buf *message,
    int count)
{
	struct jid name = phone_signal_name(device);
	struct buf ct = BUF_INIT;
	struct node *enc;
	const char *type;
	int r = -1;

	if (phone_session(p, device) == 0 &&
	    phone_signal_encrypt(p->signal, &name, message->data, message->len, &ct, &type) == 0) {
		enc = node_child_new(parent, "enc");
		node_set(enc, "v", "2");
		node_set(enc, "type", type);
		if (count > 0)
			node_setf(enc, "count", "%d", count);
		node_set_bytes(enc, ct.data, ct.len);
		r = 0;
	}
	buf_clear(&ct);
	return r;
}

static void
keep_sent(struct phone *p, const char *id, const struct jid *chat, const struct buf *message,
    const struct phone_stanza *stanza)
{
	struct phone_sent *s = &p->sent[p->nsent++ % SENT_KEPT];

	free(s->message);
	snprintf(s->id, sizeof(s->id), "%s", id);
	s->chat = *chat;
	s->len = message->len;
	snprintf(s->type, sizeof(s->type), "%s", stanza->type);
	snprintf(s->edit, sizeof(s->edit), "%s", stanza->edit != NULL ? stanza->edit : "");
	s->hide = stanza->hide;
	if ((s->message = malloc(message->len + 1)) == NULL)
		fatal("sent message");
	memcpy(s->message, message->data, message->len);
}

/* The copy for own companions: DeviceSentMessage{destinationJid, message}. */
static void
device_sent(const struct jid *chat, const void *message, size_t len, struct buf *out)
{
	char text[JID_TEXT_MAX];
	struct buf inner = BUF_INIT;

	pbw_str(&inner, 1, jid_format(chat, text));
	pbw_bytes(&inner, 2, message, len);
	pbw_msg(out, 31, &inner);
}

static int
put_devices(struct phone *p, struct node *participants, struct account *a, int lid,
    const struct buf *message)
{
	struct device *d;
	int n = 0;

	TAILQ_FOREACH(d, &a->devices, link)
	{
		struct node *to;
		struct jid j;

		if (d == p->self)
			continue;
		j = device_jid(d, lid);
		to = node_new("to");
		node_set_jid(to, "jid", &j);
		if (put_enc(p, to, &j, message, 0) == 0) {
			nodes_add_copy(participants, to);
			n++;
		}
		node_free(to);
	}
	return n;
}

/* An encoded Message to a user's devices and to own companions. */
static int
send_message(struct phone *p, const struct jid *chat, const struct buf *message,
    const struct phone_stanza *stanza, const char *id)
{
	struct account *to = account_of(chat);
	struct node *n = node_new("message"), *participants;
	struct buf own = BUF_INIT;
	int count = 0, lid = account_is_lid(chat);

	node_set(n, "id", id);
	node_set_jid(n, "to", chat);
	node_set(n, "type", stanza->type);
	node_set(n, "edit", stanza->edit);
	participants = node_child_new(n, "participants");
	device_sent(chat, message->data, message->len, &own);
	if (to != NULL && to != p->account)
		count += put_devices(p, participants, to, lid, message);
	if (to != NULL && (count > 0 || to == p->account))
		count += put_devices(p, participants, p->account, lid, &own);
	buf_clear(&own);
	if (count == 0) {
		node_free(n);
		return -1;
	}
	for (size_t i = 0; stanza->hide && i < participants->nchildren; i++)
		node_set(participants->children[i]->children[0], "decrypt-fail", "hide");
	keep_sent(p, id, chat, message, stanza);
	if (to != p->account)
		phone_token_add(p, to, n);
	phone_send_node(p, n);
	if (to != p->account)
		phone_token_give(p, to);
	return 0;
}

int
phone_send_text_id(struct phone *p, const struct jid *chat, const char *text, const char *id)
{
	struct phone_said said = {.text = text};

	return phone_say(p, chat, &said, id);
}

int
phone_say(struct phone *p, const struct jid *chat, const struct phone_said *said, const char *id)
{
	struct jid bare = jid_bare(chat), own = account_jid(p->account, account_is_lid(chat));
	struct phone_stanza stanza;
	struct buf m = BUF_INIT;
	int r;

	if (!phone_needs_secret(said)) {
		phone_content_build(said, &own, &bare, &m, &stanza);
		if (said->edit == NULL && said->revoke == NULL && said->react == NULL)
			phone_secret_put(p, id, &m);
	} else if (phone_secret_build(p, said, &own, &bare, id, &m, &stanza) != 0) {
		buf_clear(&m);
		return -1;
	}
	r = send_message(p, &bare, &m, &stanza, id);
	buf_clear(&m);
	return r;
}

int
phone_send_text(struct phone *p, const struct jid *chat, const char *text, char id_out[32])
{
	phone_new_id(p, id_out);
	return phone_send_text_id(p, chat, text, id_out);
}

int
phone_send_peer(struct phone *p, struct device *d, const struct buf *message)
{
	struct jid to = device_jid(d, p->account->lid_migrated);
	struct node *n = node_new("message");
	char id[32];

	phone_new_id(p, id);
	node_set(n, "id", id);
	node_set_jid(n, "to", &to);
	node_set(n, "type", "text");
	node_set(n, "category", "peer");
	if (put_enc(p, n, &to, message, 0) != 0) {
		node_free(n);
		return -1;
	}
	phone_send_node(p, n);
	return 0;
}

void
phone_forget(struct phone *p, const struct account *of)
{
	struct device *d;

	TAILQ_FOREACH(d, &of->devices, link)
	{
		struct jid j = device_jid(d, 0), name = phone_signal_name(&j);

		phone_signal_forget(p->signal, &name);
	}
}

/* --- somebody asks again --- */

static const struct phone_sent *
find_sent(const struct phone *p, const char *id)
{
	for (size_t i = 0; i < SENT_KEPT; i++)
		if (p->sent[i].message != NULL && strcmp(p->sent[i].id, id) == 0)
			return &p->sent[i];
	return NULL;
}

/* Makes the session fit for a resend: from the keys in the receipt, else as it is, else a new one.
 */
static void
repair(struct phone *p, const struct node *receipt, const struct jid *from, int count)
{
	const struct node *keys = node_child(receipt, "keys");
	struct jid name = phone_signal_name(from);
	uint8_t reg[4];

	if (keys != NULL && nodes_fixed(receipt, "registration", reg, 4) == 0)
		phone_signal_open(p->signal, &name, keys,
		    (uint32_t)reg[0] << 24 | (uint32_t)reg[1] << 16 | (uint32_t)reg[2] << 8 |
			reg[3]);
	else if (count >= 2)
		phone_signal_forget(p->signal, &name);
}

void
phone_resend(struct phone *p, const struct node *receipt)
{
	const struct node *retry = node_child(receipt, "retry");
	const struct phone_sent *s;
	struct buf message = BUF_INIT;
	struct node *n;
	struct jid from;
	int64_t count = retry == NULL ? -1 : node_get_int(retry, "count", 100);

	if (node_get_jid(receipt, "from", &from) != 0 || retry == NULL)
		return;
	if (count < 1)
		count = 1;
	if (count >= 5 || (s = find_sent(p, nodes_attr(receipt, "id"))) == NULL)
		return;
	repair(p, receipt, &from, (int)count);
	if (account_of(&from) == p->account)
		device_sent(&s->chat, s->message, s->len, &message);
	else
		buf_put(&message, s->message, s->len);
	n = node_new("message");
	node_set(n, "id", s->id);
	node_set_jid(n, "to", &from);
	node_set(n, "type", s->type);
	node_set(n, "edit", s->edit);
	if (account_of(&from) == p->account)
		node_set_jid(n, "recipient", &s->chat);
	if (put_enc(p, n, &from, &message, (int)count) == 0) {
		if (s->hide)
			node_set(node_child(n, "enc"), "decrypt-fail", "hide");
		phone_stats.resent++;
		phone_send_node(p, n);
	} else {
		node_free(n);
	}
	buf_clear(&message);
}
