/* Messages that could not be read yet, as rows of stored. */
#include "apid/message/unread.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/pb.h"

void
unread_name_of(const struct envelope *e, const struct person *sender, const struct person *chat,
    struct unread_name *out)
{
	struct jid bare = jid_bare(&e->sender);

	memset(out, 0, sizeof(*out));
	contacts_chat_id(&e->chat, e->kind == ENVELOPE_DIRECT ? chat : NULL, out->chat);
	if (e->from_me)
		(void)snprintf(out->sender, sizeof(out->sender), "me");
	else if (sender->id[0] != '\0')
		(void)snprintf(out->sender, sizeof(out->sender), "%s", sender->id);
	else
		(void)jid_format(&bare, out->sender);
	(void)snprintf(out->id, sizeof(out->id), "%s", e->id);
}

Stored__MessageName
unread_pb(const struct unread_name *n)
{
	Stored__MessageName m = STORED__MESSAGE_NAME__INIT;

	m.chat = pb_str(n->chat);
	m.sender = pb_str(n->sender);
	m.id = pb_str(n->id);
	return m;
}

int
unread_same(const struct unread_name *a, const struct unread_name *b)
{
	return strcmp(a->id, b->id) == 0 && strcmp(a->sender, b->sender) == 0 &&
	       strcmp(a->chat, b->chat) == 0;
}

struct ask *
unread_ask(
    struct account *a, const struct unread_name *names, size_t n, channel_reply_fn *fn, void *arg)
{
	Stored__Lookup m = STORED__LOOKUP__INIT;
	Stored__MessageName pb[UNREAD_ASK_MAX], *list[UNREAD_ASK_MAX];

	if (n > UNREAD_ASK_MAX)
		fatalx("unread_ask");
	for (size_t i = 0; i < n; i++) {
		pb[i] = unread_pb(&names[i]);
		list[i] = &pb[i];
	}
	m.account = a->name;
	m.n_pending = n;
	m.pending = list;
	return ask_stored(a, STORED__TYPE__LOOKUP, &m.base, STORED__TYPE__LOOKUP_REPLY,
	    &stored__lookup_reply__descriptor, UNREAD_REPLY_MAX, ASK_DEADLINE_MS, fn, arg);
}

/* Its attributes, and those of its children. */
static struct node *
outline(const struct node *from, int depth)
{
	struct node *n = node_new(from->tag);

	for (size_t i = 0; i < from->nattrs; i++) {
		if (from->attrs[i].is_jid)
			node_set_jid(n, from->attrs[i].key, &from->attrs[i].jid);
		else
			node_set(n, from->attrs[i].key, from->attrs[i].text);
	}
	for (size_t i = 0; depth > 0 && i < from->nchildren && i < 16; i++)
		node_add(n, outline(from->children[i], depth - 1));
	return n;
}

int
unread_is_message(const Stored__MessageName *n)
{
	return stable_id_is(n->chat, 'c') || stable_id_is(n->chat, 'g');
}

void
unread_keep(struct account *a, struct unit *u, const struct unread_name *name,
    const struct node *stanza, uint32_t attempts)
{
	Stored__Pending p = STORED__PENDING__INIT;
	Stored__MessageName m = unread_pb(name);
	struct buf b = BUF_INIT;
	struct node *n;

	if (node_encode(stanza, &b) == -1 || b.len > UNREAD_STANZA_MAX) {
		buf_clear(&b);
		n = outline(stanza, 1);
		if (node_encode(n, &b) == -1 || b.len > UNREAD_STANZA_MAX) {
			buf_clear(&b); /* nothing that a message has */
			(void)buf_put(&b, "", 1);
		}
		node_free(n);
	}
	p.name = &m;
	p.stanza = pb_bytes(b.data, b.len);
	p.has_attempts = 1;
	p.attempts = attempts;
	if (unread_is_message(&m)) {
		p.has_held = p.held = 1;
		if (attempts >> UNREAD_DAY_SHIFT == 0)
			p.attempts |= (uint32_t)(account_server_time(a) / 86400)
				      << UNREAD_DAY_SHIFT;
	}
	unit_pending(u, &p);
	buf_clear(&b);
}

void
unread_drop(struct unit *u, const struct unread_name *name)
{
	Stored__MessageName m = unread_pb(name);

	unit_pending_delete(u, &m);
}
