/* The phone reads: decrypts, keeps, answers with receipts, asks again, echoes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/pb.h"
#include "common/proto/e2e.pb-c.h"
#include "tests/sim/loop.h"
#include "tests/sim/map.h"
#include "tests/sim/nodes.h"
#include "tests/sim/phone_content.h"
#include "tests/sim/phone_impl.h"
#include "tests/sim/route.h"

#define ARENA       (4 * 1024 * 1024)
#define MAX_RETRIES 4
#define MAX_ASKED   100000

struct phone_stats phone_stats;

/* What one decrypted message is. */
struct content {
	struct jid from, chat;
	const char *text, *kind;
	int own, peer;
	const E2e__Message *m;
	json_t *more; /* for its record */
};

static const E2e__Message *
unwrap(const E2e__Message *m)
{
	for (int depth = 0; depth < 4; depth++) {
		if (m->ephemeral_message != NULL && m->ephemeral_message->message != NULL)
			m = m->ephemeral_message->message;
		else if (m->view_once_message_v2 != NULL &&
			 m->view_once_message_v2->message != NULL)
			m = m->view_once_message_v2->message;
		else
			break;
	}
	return m;
}

/* The chat of a message: who wrote it, or the one it was sent to by an own companion. */
static void
parse_content(struct phone *p, const struct node *n, const struct node *enc, const E2e__Message *m,
    struct content *c)
{
	struct jid j;

	c->chat = jid_bare(&c->from);
	c->own = account_of(&c->from) == p->account;
	c->peer = strcmp(nodes_attr(n, "category"), "peer") == 0;
	if (c->own && node_get_jid(n, "recipient", &j) == 0)
		c->chat = jid_bare(&j);
	if (c->own && m->device_sent_message != NULL && m->device_sent_message->message != NULL) {
		if (m->device_sent_message->destination_jid != NULL &&
		    jid_parse(m->device_sent_message->destination_jid, &j) == 0)
			c->chat = jid_bare(&j);
		m = m->device_sent_message->message;
	}
	c->m = unwrap(m);
	c->kind = phone_content_kind(c->m, n, enc, &c->text, &c->more);
}

static void
keep(struct phone *p, const struct node *n, const struct node *enc, const struct content *c)
{
	struct record *r = records_add(&p->inbox);
	char text[JID_TEXT_MAX];

	snprintf(r->id, sizeof(r->id), "%s", nodes_attr(n, "id"));
	snprintf(r->from, sizeof(r->from), "%s", jid_format(&c->from, text));
	snprintf(r->chat, sizeof(r->chat), "%s", jid_format(&c->chat, text));
	snprintf(r->kind, sizeof(r->kind), "%s", c->kind);
	snprintf(r->type, sizeof(r->type), "%s", nodes_attr(enc, "type"));
	r->text = c->text == NULL ? NULL : strdup(c->text);
	r->t = node_get_int(n, "t", INT64_MAX);
	r->at_ms = loop_now_ms();
	r->own = c->own;
	r->more = json_incref(c->more);
}

static void
send_receipt(struct phone *p, const struct node *n, const char *type, int recipient)
{
	struct node *r = node_new("receipt");
	struct jid j;

	nodes_copy_attr(r, n, "id");
	if (node_get_jid(n, "from", &j) == 0)
		node_set_jid(r, "to", &j);
	node_set(r, "type", type);
	if (recipient && node_get_jid(n, "recipient", &j) == 0)
		node_set_jid(r, "recipient", &j);
	phone_send_node(p, r);
}

static void
confirm(struct phone *p, const struct node *n, const struct content *c)
{
	if (c->peer)
		send_receipt(p, n, "peer_msg", 0);
	else if (!p->set.receipts)
		phone_answer(p, n);
	else if (c->own)
		send_receipt(p, n, "sender", 1);
	else
		send_receipt(p, n, NULL, 0);
}

/* --- asking again --- */

static void
put_keys(struct phone *p, struct node *r)
{
	struct device_keys k = {0};
	struct prekey one;
	struct node *keys = node_child_new(r, "keys"), *n;

	phone_signal_public(p->signal, &k);
	phone_signal_make_prekey(p->signal, &one);
	node_add_bytes(keys, "type", "\5", 1);
	node_add_bytes(keys, "identity", k.identity, 32);
	n = node_child_new(keys, "key");
	node_add_bytes(n, "id", one.id, 3);
	node_add_bytes(n, "value", one.pub, 32);
	n = node_child_new(keys, "skey");
	node_add_bytes(n, "id", k.skey_id, 3);
	node_add_bytes(n, "value", k.skey_pub, 32);
	node_add_bytes(n, "signature", k.skey_sig, 64);
}

static void
ask_again(struct phone *p, const struct node *n, const struct node *enc, int reason)
{
	const uint8_t *had = map_get(p->retries, nodes_attr(n, "id"), NULL);
	int64_t sent_count = node_get_int(enc, "count", 100);
	uint8_t count = had == NULL ? 1 : (uint8_t)(*had + 1);
	struct node *r, *retry;
	struct jid from;

	if (sent_count >= count)
		count = (uint8_t)(sent_count + 1);
	if (count <= MAX_RETRIES && node_get_jid(n, "from", &from) == 0) {
		if (map_count(p->retries) < MAX_ASKED)
			map_put(p->retries, nodes_attr(n, "id"), &count, 1);
		r = node_new("receipt");
		nodes_copy_attr(r, n, "id");
		node_set_jid(r, "to", &from);
		node_set(r, "type", "retry");
		nodes_copy_attr(r, n, "recipient");
		nodes_copy_attr(r, n, "category");
		retry = node_child_new(r, "retry");
		node_set(retry, "v", "1");
		nodes_copy_attr(retry, n, "id");
		nodes_copy_attr(retry, n, "t");
		node_setf(retry, "count", "%u", count);
		node_setf(retry, "error", "%d", reason);
		node_add_bytes(r, "registration", p->self->keys.registration, 4);
		if (count >= 2 || reason == 1)
			put_keys(p, r);
		phone_stats.retries_asked++;
		phone_send_node(p, r);
	} else {
		phone_stats.given_up++;
	}
	phone_answer(p, n);
}

/* --- reactions to what was read --- */

struct echo {
	struct phone *p;
	struct jid chat;
	char *text;
};

static void
echo_free(void *arg)
{
	struct echo *e = arg;

	free(e->text);
	free(e);
}

static void
echo_now(void *arg)
{
	struct echo *e = arg;
	char id[32];

	phone_send_text(e->p, &e->chat, e->text, id);
	echo_free(e);
}

static void
echo(struct phone *p, const struct content *c)
{
	struct echo *e;

	if (!p->set.echo || c->own || c->text == NULL || strcmp(c->kind, "text") != 0 ||
	    (p->set.echo_prefix[0] != '\0' &&
		strncmp(c->text, p->set.echo_prefix, strlen(p->set.echo_prefix)) == 0))
		return;
	if ((e = calloc(1, sizeof(*e))) == NULL ||
	    asprintf(&e->text, "%s%s", p->set.echo_prefix, c->text) < 0)
		fatal("echo");
	e->p = p;
	e->chat = c->chat;
	if (p->set.echo_ms > 0)
		loop_after(p->set.echo_ms, echo_now, e, echo_free);
	else
		loop_defer(echo_now, e, echo_free);
}

static void
peer_request(struct phone *p, const struct node *n, const struct content *c)
{
	struct device *d = account_device_of(&c->from);

	if (d != NULL && c->m->protocol_message != NULL &&
	    c->m->protocol_message->peer_data_operation_request_message != NULL)
		phone_give(p, d, nodes_attr(n, "id"),
		    c->m->protocol_message->peer_data_operation_request_message);
	if (d != NULL && c->m->protocol_message != NULL && c->m->protocol_message->has_type &&
	    c->m->protocol_message->type == E2E__PROTOCOL_MESSAGE__TYPE__APP_STATE_SYNC_KEY_REQUEST)
		phone_share_keys(p, d);
}

static void
read_plain(struct phone *p, const struct node *n, const struct node *enc, const struct buf *plain)
{
	struct pb_arena *a = pb_arena_new(ARENA);
	struct content c = {.kind = "malformed"};
	const E2e__Message *m =
	    pb_unpack(&e2e__message__descriptor, plain->data, plain->len, a, 0, NULL);

	node_get_jid(n, "from", &c.from);
	if (m != NULL)
		parse_content(p, n, enc, m, &c);
	if (c.m != NULL)
		phone_secret_note(p, nodes_attr(n, "id"), c.m);
	keep(p, n, enc, &c);
	confirm(p, n, &c);
	if (c.own && m != NULL)
		peer_request(p, n, &c);
	if (m != NULL && !c.peer)
		phone_hold(p, nodes_attr(n, "id"), &c.chat, &c.from, c.own,
		    node_get_int(n, "t", INT64_MAX), c.m);
	echo(p, &c);
	json_decref(c.more);
	pb_arena_free(a);
}

void
phone_message(struct phone *p, const struct node *n)
{
	const struct node *enc = node_child(n, "enc");
	struct buf plain = BUF_INIT;
	struct content c = {0};
	struct jid name;
	int r;

	if (enc == NULL || !enc->has_bytes || node_get_jid(n, "from", &c.from) != 0) {
		phone_answer(p, n);
		return;
	}
	name = phone_signal_name(&c.from);
	r = phone_signal_decrypt(
	    p->signal, &name, nodes_attr(enc, "type"), enc->bytes, enc->nbytes, &plain);
	if (r == 0) {
		phone_stats.read++;
		read_plain(p, n, enc, &plain);
	} else if (r == PHONE_DUPLICATE) {
		phone_stats.duplicates++;
		c.own = account_of(&c.from) == p->account;
		c.peer = strcmp(nodes_attr(n, "category"), "peer") == 0;
		confirm(p, n, &c);
	} else {
		phone_stats.decrypt_failures++;
		ask_again(p, n, enc, r);
	}
	buf_clear(&plain);
}
