/* Messages: ack, then one stanza for each device that is named, each with its own enc. */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/sim/ack.h"
#include "tests/sim/loop.h"
#include "tests/sim/message.h"
#include "tests/sim/nodes.h"
#include "tests/sim/offline.h"
#include "tests/sim/tokens.h"
#include "tests/sim/reregister.h"

struct fanout {
	struct device *from;
	const struct node *n;
	struct jid to;
	struct account *dest;
	int lid; /* addressed by LID */
	int64_t t;
	int to_self;
};

static uint64_t
hash_bytes(uint64_t h, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 1099511628211u;
	return h;
}

/* Of the id and all ciphertexts: a client that repeats a stanza after a lost connection sends the
 * same bytes, one that answers a retry by writing to everybody again does not. */
static uint64_t
hash_message(const struct node *n, const struct node *participants)
{
	const char *id = nodes_attr(n, "id");
	uint64_t h = hash_bytes(1469598103934665603u, id, strlen(id));
	const struct node *enc;

	for (size_t i = 0; i < participants->nchildren; i++)
		if ((enc = node_child(participants->children[i], "enc")) != NULL &&
		    enc->nbytes >= 32)
			h = hash_bytes(h, enc->bytes + enc->nbytes - 32, 32);
	return h == 0 ? 1 : h;
}

/* 1 = this device sent that stanza before; remembers it otherwise. */
static int
seen_before(struct device *d, uint64_t h)
{
	if (d->recent == NULL && (d->recent = calloc(RECENT_IDS, sizeof(*d->recent))) == NULL)
		fatal("device");
	for (unsigned i = 0; i < RECENT_IDS; i++)
		if (d->recent[i] == h)
			return 1;
	d->recent[d->recent_next++ % RECENT_IDS] = h;
	return 0;
}

static int
is_prekey(const struct node *enc)
{
	return strcmp(nodes_attr(enc, "type"), "pkmsg") == 0;
}

/* Attributes and children that every receiving device gets. */
static struct node *
outer(const struct fanout *f, struct device *d)
{
	static const char *const copied[] = {"type", "edit", "category", "push_priority"};
	struct node *m = node_new("message");
	struct jid self = device_jid(f->from, f->lid), other = device_jid(f->from, !f->lid), alt;
	int own = d->account == f->from->account,
	    peer = strcmp(nodes_attr(f->n, "category"), "peer") == 0;

	node_set_jid(m, "from", &self);
	nodes_copy_attr(m, f->n, "id");
	node_setf(m, "t", "%lld", (long long)f->t);
	for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++)
		nodes_copy_attr(m, f->n, copied[i]);
	node_set(m, "notify", f->from->account->push_name);
	if (!own && !f->from->account->lid_hidden) {
		node_set_jid(m, f->lid ? "sender_pn" : "sender_lid", &other);
	} else if (own && !peer) {
		struct jid chat = jid_bare(&f->to);

		if (node_get_jid(f->n, "recipient", &alt) == 0)
			chat = jid_bare(&alt);
		node_set_jid(m, "recipient", &chat);
		if (account_of(&chat) != NULL && !account_of(&chat)->lid_hidden) {
			alt = account_jid(account_of(&chat), !account_is_lid(&chat));
			node_set_jid(m,
			    account_is_lid(&chat) ? "peer_recipient_pn" : "peer_recipient_lid",
			    &alt);
		}
	}
	return m;
}

static void
put_extras(struct node *m, const struct device *from, const struct node *n, int prekey)
{
	static const char *const copied[] = {"meta", "reporting", "biz", "bot"};

	for (size_t c = 0; c < n->nchildren; c++) {
		const struct node *child = n->children[c];

		if (prekey && strcmp(child->tag, "device-identity") == 0 && child->has_bytes)
			adv_put(m, from, child->bytes, child->nbytes);
		for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++)
			if (strcmp(child->tag, copied[i]) == 0)
				nodes_add_copy(m, child);
	}
}

/* The stanza with those enc children of `holder` for one device. */
static void
deliver(const struct fanout *f, struct device *d, const struct node *holder)
{
	struct node *m = outer(f, d);
	int prekey = 0, any = 0;

	for (size_t i = 0; i < holder->nchildren; i++)
		if (strcmp(holder->children[i]->tag, "enc") == 0) {
			nodes_add_copy(m, holder->children[i]);
			prekey |= is_prekey(holder->children[i]);
			any = 1;
		}
	if (!any) {
		node_free(m);
		return;
	}
	put_extras(m, f->from, f->n, prekey);
	route_stats.deliveries++;
	offline_deliver(d, m);
}

/* The device that a <to> names, if it is one of the two accounts' and not the sender's own. */
static struct device *
target(const struct fanout *f, const struct node *to, struct jid *jid)
{
	struct device *d;

	if (strcmp(to->tag, "to") != 0 || node_get_jid(to, "jid", jid) != 0)
		return NULL;
	d = account_device_of(jid);
	if (d == NULL || d == f->from || (d->account != f->dest && d->account != f->from->account))
		return NULL;
	return d;
}

/* Sets phash (16 bytes) if a device that should have the message is not among the participants. */
static void
check_devices(const struct fanout *f, const struct node *participants, char *phash)
{
	static unsigned mark;
	struct account *both[2] = {f->dest, f->from->account};
	struct device *d;
	struct jid j;
	int missing = 0;

	mark++;
	for (size_t i = 0; i < participants->nchildren; i++)
		if ((d = target(f, participants->children[i], &j)) != NULL)
			d->mark = mark;
	for (int i = 0; i < (f->to_self ? 1 : 2); i++)
		TAILQ_FOREACH(d, &both[i]->devices, link)
	missing += d != f->from && d->mark != mark;
	if (missing > 0)
		account_phash(both, f->to_self ? 1 : 2, f->lid, phash);
}

/* 400 for an account that insists on clean addressing; 0 = fine. */
static int
check_addressing(const struct fanout *f, const struct node *participants)
{
	struct jid j;

	if (!f->from->account->strict)
		return 0;
	if (f->lid && !f->from->account->lid_migrated)
		return 400;
	for (size_t i = 0; i < participants->nchildren; i++)
		if (node_get_jid(participants->children[i], "jid", &j) == 0 &&
		    account_is_lid(&j) != f->lid)
			return 400;
	return 0;
}

static int
has_count(const struct node *participants)
{
	for (size_t i = 0; i < participants->nchildren; i++)
		if (node_child(participants->children[i], "enc") != NULL &&
		    node_get(node_child(participants->children[i], "enc"), "count") != NULL)
			return 1;
	return 0;
}

static int
queue_full(const struct account *a)
{
	struct device *d;

	TAILQ_FOREACH(d, &a->devices, link)
	if (d->queued_bytes > OFFLINE_MAX_BYTES)
		return 1;
	return 0;
}

static void
to_participants(struct origin *o, struct fanout *f, const struct node *participants)
{
	char phash[16] = "";
	struct device *d;
	struct jid j;
	int error = check_addressing(f, participants);

	if (error == 0 && (queue_full(f->dest) || queue_full(f->from->account)))
		error = 503;
	if (error == 0)
		error = tokens_refuse(f->from->account, f->dest, f->n);
	if (error != 0) {
		ack_send(o, f->n, &f->to, error, NULL);
		return;
	}
	if (!has_count(participants)) {
		if (seen_before(f->from, hash_message(f->n, participants))) {
			ack_send(o, f->n, &f->to, 0, NULL);
			return;
		}
		check_devices(f, participants, phash);
	}
	ack_send(o, f->n, &f->to, 0, phash);
	for (size_t i = 0; i < participants->nchildren; i++)
		if ((d = target(f, participants->children[i], &j)) != NULL)
			deliver(f, d, participants->children[i]);
}

/* A bare enc: a peer message, or the resend that a retry receipt asked for. */
static void
to_device(struct origin *o, struct fanout *f)
{
	struct device *d = account_device_of(&f->to);

	if (d == NULL || d == f->from) {
		ack_send(o, f->n, &f->to, 404, NULL);
		return;
	}
	ack_send(o, f->n, &f->to, 0, NULL);
	deliver(f, d, f->n);
}

void
message_in(struct origin *o, const struct node *n)
{
	struct fanout f = {.from = o->dev, .n = n, .t = loop_now()};
	const struct node *participants = node_child(n, "participants");
	int error;

	route_stats.messages++;
	o->dev->messages_in++;
	if (node_get(n, "id") == NULL || node_get_jid(n, "to", &f.to) != 0) {
		struct node *e = node_new("error");

		node_set(e, "code", "479");
		node_set(e, "text", "smax-invalid");
		route_reply(o, e);
		return;
	}
	f.lid = account_is_lid(&f.to);
	f.dest = account_of(&f.to);
	if (f.dest == NULL) {
		ack_send(o, n, &f.to, 404, NULL);
		return;
	}
	f.to_self = f.dest == o->dev->account;
	account_asked(f.dest, o->dev->account);
	if (ack_next(o->dev, &f.to, participants != NULL, &error) == ACK_ERROR)
		ack_send(o, n, &f.to, error, NULL);
	else if (participants != NULL)
		to_participants(o, &f, participants);
	else if (node_child(n, "enc") != NULL)
		to_device(o, &f);
	else
		ack_send(o, n, &f.to, 479, NULL);
}
