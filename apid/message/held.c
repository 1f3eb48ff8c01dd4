/* Messages from under an identity that is held: the list of them, and letting them through. */
#include "apid/message/held.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/held_impl.h"
#include "apid/message/recv.h"
#include "apid/session/ask.h"
#include "common/buf.h"
#include "common/log.h"
#include "ipc/frame.h"

#define LOAD_LIMIT 1000

struct held *
held_new(struct account *a)
{
	struct held *h = calloc(1, sizeof(*h));

	if (h == NULL)
		fatal("held_new");
	h->a = a;
	TAILQ_INIT(&h->list);
	return h;
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): a row that is freed is off the list, which the analyzer
 * does not see */
void
held_drop(struct held *h, struct held_row *r)
{
	TAILQ_REMOVE(&h->list, r, link);
	h->n--;
	h->bytes -= r->bytes;
	free(r);
}

void
held_reset(struct account *a)
{
	struct held *h = a->held;

	ask_cancel(h->ask);
	h->ask = NULL;
	h->running = 0;
	h->again = 0;
	held_end_cancel(h);
	while (!TAILQ_EMPTY(&h->list))
		held_drop(h, TAILQ_FIRST(&h->list));
}

void
held_free(struct held *h)
{
	if (h == NULL)
		return;
	held_reset(h->a);
	free(h);
}

size_t
held_count(const struct account *a)
{
	return a->held->n;
}

static int
is_of(const struct jid *j, const struct person *p)
{
	return strcmp(j->user, jid_by_lid(j) ? p->lid : p->pn) == 0;
}

size_t
held_of(const struct account *a, const struct person *p)
{
	const struct held_row *r;
	size_t n = 0;

	TAILQ_FOREACH(r, &a->held->list, link)
	n += (size_t)is_of(&r->sender, p);
	return n;
}

size_t
held_devices(const struct account *a, const struct person *p, uint16_t *ids, size_t max)
{
	const struct held_row *r;
	size_t n = 0, i;

	TAILQ_FOREACH(r, &a->held->list, link)
	{
		if (!is_of(&r->sender, p) || n == max)
			continue;
		for (i = 0; i < n && ids[i] != r->sender.device; i++)
			;
		if (i == n)
			ids[n++] = r->sender.device;
	}
	return n;
}

static struct held_row *
row_of(struct held *h, uint64_t number)
{
	struct held_row *r;

	TAILQ_FOREACH(r, &h->list, link)
	if (r->number == number)
		return r;
	return NULL;
}

static struct held_row *
row_add(struct held *h, uint64_t number, const struct jid *sender, const char *id, size_t bytes)
{
	struct held_row *r = calloc(1, sizeof(*r)), *before;

	if (r == NULL)
		return NULL;
	r->number = number;
	r->sender = *sender;
	r->bytes = bytes;
	(void)snprintf(r->id, sizeof(r->id), "%s", id);
	before = TAILQ_LAST(&h->list, held_list);
	while (before != NULL && before->number > number)
		before = TAILQ_PREV(before, held_list, link);
	if (before != NULL)
		TAILQ_INSERT_AFTER(&h->list, before, r, link);
	else
		TAILQ_INSERT_HEAD(&h->list, r, link);
	h->n++;
	h->bytes += bytes;
	if (number > h->last)
		h->last = number;
	return r;
}

/* ------------------------------------------------------------------ names in stored */

void
held_name(const struct held_row *r, struct held_name *out)
{
	stored__message_name__init(&out->pb);
	out->pb.chat = (char *)(uintptr_t)HELD_CHAT;
	out->pb.sender = (char *)(uintptr_t)jid_format(&r->sender, out->sender);
	(void)snprintf(out->id, sizeof(out->id), "%0*llu.%s", HELD_NUMBER_LEN,
	    (unsigned long long)r->number, r->id);
	out->pb.id = out->id;
}

/* 0, or -1: not a name of ours. */
static int
read_name(const Stored__MessageName *n, uint64_t *number, struct jid *sender, const char **id)
{
	*number = 0;
	if (strcmp(n->chat, HELD_CHAT) != 0 || jid_parse(n->sender, sender) == -1)
		return -1;
	for (size_t i = 0; i < HELD_NUMBER_LEN; i++) {
		if (n->id[i] < '0' || n->id[i] > '9')
			return -1;
		*number = *number * 10 + (uint64_t)(n->id[i] - '0');
	}
	*id = n->id + HELD_NUMBER_LEN + 1;
	return n->id[HELD_NUMBER_LEN] == '.' && message_id_ok(*id) && *number > 0 ? 0 : -1;
}

/* ------------------------------------------------------------------ loading */

static void load_from(struct held *h, char *after);

static void
load_came(const struct reply *rp, void *arg)
{
	struct held *h = arg;
	const Stored__ScanReply *m = (const Stored__ScanReply *)rp->pb;
	struct held_row *r;
	struct jid sender;
	const char *id;
	uint64_t number;

	h->ask = NULL;
	if (!rp->ok) {
		h->loaded(h->a, rp->code);
		return;
	}
	for (size_t i = 0; i < m->n_pendings; i++) {
		const Stored__Pending *p = m->pendings[i];

		if (read_name(p->name, &number, &sender, &id) == -1)
			continue; /* of another purpose */
		if ((r = row_add(h, number, &sender, id, p->stanza.len)) == NULL) {
			h->loaded(h->a, "memory");
			return;
		}
		r->durable = r->blocked = 1;
	}
	if (m->next != NULL)
		load_from(h, m->next);
	else
		h->loaded(h->a, NULL);
}

static void
load_from(struct held *h, char *after)
{
	Stored__Scan m = STORED__SCAN__INIT;

	m.account = h->a->name;
	m.table = STORED__TABLE__PENDINGS;
	m.after = after;
	m.limit = LOAD_LIMIT;
	h->ask = ask_stored(h->a, STORED__TYPE__SCAN, &m.base, STORED__TYPE__SCAN_REPLY,
	    &stored__scan_reply__descriptor, FRAME_PAYLOAD_MAX, ASK_DEADLINE_MS, load_came, h);
}

void
held_load(struct account *a, void (*fn)(struct account *a, const char *why))
{
	held_reset(a);
	a->held->loaded = fn;
	load_from(a->held, NULL);
}

/* ------------------------------------------------------------------ keeping */

static void next(struct held *h);

/* Are rows being let through, or will they be as soon as they are durable? */
static int
in_round(const struct held *h)
{
	const struct held_row *r;

	TAILQ_FOREACH(r, &h->list, link)
	if (!r->blocked)
		return 1;
	return h->running != 0;
}

uint64_t
held_put(
    struct account *a, struct unit *u, const struct envelope *e, const struct node *n, int *again)
{
	struct held *h = a->held;
	Stored__Pending p = STORED__PENDING__INIT;
	struct buf b = BUF_INIT;
	struct held_name name;
	struct held_row *r;
	int round;

	TAILQ_FOREACH(r, &h->list, link)
	if (strcmp(r->id, e->id) == 0 && jid_eq(&r->sender, &e->sender))
		break;
	*again = r != NULL;
	if (r != NULL && r->durable)
		return r->number;
	round = in_round(h);
	if (strlen(e->id) > HELD_ID_MAX || node_encode(n, &b) == -1 || b.len > HELD_STANZA_MAX)
		r = NULL;
	else if (r == NULL && h->n < HELD_MAX && h->bytes < HELD_BYTES_MAX &&
		 h->last < HELD_NUMBER_MAX)
		r = row_add(h, h->last + 1, &e->sender, e->id, b.len);
	if (r != NULL) {
		r->blocked = !round;
		r->writing++;
		held_name(r, &name);
		p.name = &name.pb;
		p.stanza.data = b.data;
		p.stanza.len = b.len;
		p.has_held = p.held = 1;
		unit_pending(u, &p);
	}
	buf_clear(&b);
	return r == NULL ? 0 : r->number;
}

void
held_written(struct account *a, uint64_t number, int ok)
{
	struct held_row *r = row_of(a->held, number);

	if (r == NULL)
		return;
	if (r->writing > 0)
		r->writing--;
	r->durable |= ok;
	if (!r->durable && r->writing == 0)
		held_drop(a->held, r);
	else if (r->durable && !r->blocked && a->held->running == 0 && !a->svc->stopping)
		next(a->held); /* it came behind the last one that was let through */
	held_end_step(a->held);
}

void
held_delete(struct account *a, struct unit *u, uint64_t number)
{
	const struct held_row *r = row_of(a->held, number);
	struct held_name name;

	if (r == NULL)
		return;
	held_name(r, &name);
	unit_pending_delete(u, &name.pb);
}

/* ------------------------------------------------------------------ letting through */

static void
stanza_came(const struct reply *rp, void *arg)
{
	struct held *h = arg;
	const Stored__LookupReply *m = (const Stored__LookupReply *)rp->pb;
	const Stored__Pending *p = rp->ok && m->n_pending == 1 ? m->pending[0] : NULL;
	uint64_t number = h->running;
	struct node *n;

	h->ask = NULL;
	if (p == NULL || p->stanza.len == 0) {
		log_warnx("account %s: a message that is held cannot be read (%s)", h->a->name,
		    rp->ok ? "it is gone" : rp->code);
		held_ended(h->a, number, rp->ok ? HELD_GONE : HELD_FAILED);
	} else if ((n = node_decode(p->stanza.data, p->stanza.len, NULL)) == NULL ||
		   recv_held(h->a, n, p->stanza.len, number) == -1) {
		held_ended(h->a, number, HELD_FAILED);
	}
}

static void
next(struct held *h)
{
	Stored__Lookup m = STORED__LOOKUP__INIT;
	Stored__MessageName *list[1];
	struct held_name name;
	struct held_row *r;

	TAILQ_FOREACH(r, &h->list, link)
	if (r->durable && !r->blocked)
		break;
	if (r == NULL || !h->a->logged_in || h->ending != NULL)
		return;
	h->running = r->number;
	held_name(r, &name);
	list[0] = &name.pb;
	m.account = h->a->name;
	m.pending = list;
	m.n_pending = 1;
	h->ask = ask_stored(h->a, STORED__TYPE__LOOKUP, &m.base, STORED__TYPE__LOOKUP_REPLY,
	    &stored__lookup_reply__descriptor, 2 * HELD_STANZA_MAX, ASK_DEADLINE_MS, stanza_came,
	    h);
}

void
held_release(struct account *a)
{
	struct held *h = a->held;
	struct held_row *r;

	if (h->running != 0) {
		h->again = 1;
		return;
	}
	if (h->ending != NULL)
		return;
	TAILQ_FOREACH(r, &h->list, link)
	r->blocked = 0;
	h->again = 0;
	next(h);
}

void
held_ended(struct account *a, uint64_t number, enum held_end end)
{
	struct held *h = a->held;
	struct held_row *r = row_of(h, number), *o;

	if (number != h->running || a->svc->stopping)
		return; /* another device meanwhile */
	h->running = 0;
	if (end == HELD_STAYS && r != NULL) {
		TAILQ_FOREACH(o, &h->list, link) /* those behind it wait for it */
		if (strcmp(o->sender.user, r->sender.user) == 0)
			o->blocked = 1;
	} else if (end == HELD_GONE && r != NULL) {
		a->n.released++;
		held_drop(h, r);
	}
	if (h->again)
		held_release(a);
	else if (end != HELD_FAILED)
		next(h);
	held_end_step(h);
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */
