/* Poison: stanzas that end the service, found by notes that are made before they are handled.
 *
 *	poison_take -> step -> noted [-> named] -> stanza_handle -> … -> done -> step
 */
#include "apid/session/poison.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <sodium.h>

#include "apid/message/content.h"
#include "apid/message/recv.h"
#include "apid/message/unread.h"
#include "apid/session/ask.h"
#include "apid/session/engine.h"
#include "apid/session/stanza.h"
#include "apid/session/unit.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"

#define ROW_CHAT   "poison" /* no chat has such an id */
#define ROW_STANZA "stanza"
#define ROW_ACK    "ack"  /* beside it: how it is acknowledged without being looked at */
#define ROW_MARK   "mark" /* one of them was set aside: notes are looked for at every start */
#define NOTES_MAX  64u
#define NOTE_MAX   (1024u * 1024) /* stored's bound of a Pending; what is longer is not noted */
#define DIFFER_MAX 8u             /* bytes by which two deliveries of a stanza may differ */
#define HEAD       4u             /* of a stanza: flags, list and its size, tag */
#define STUCK_MS   5000
#define QUIET_MS   100   /* it may be another account's stanzas that are still being dealt with */
#define LIST_8     0xf8u /* of a node: a byte with its size follows, then its tag (page 02) */
#define SCAN_ROWS  64u
#define SCAN_MAX   (8u * 1024 * 1024)

struct note { /* of an earlier run */
	char id[33];
	unsigned attempts;
	uint8_t *bytes, *ack;
	size_t len, ack_len;
};

struct item {
	STAILQ_ENTRY(item) link;
	uint64_t conn;
	size_t len;
	uint8_t bytes[];
};

struct poison {
	struct account *a;
	struct note notes[NOTES_MAX];
	size_t nnotes;
	int careful; /* each stanza is noted; else only those that were set aside are looked for */
	unsigned handled;
	STAILQ_HEAD(item_queue, item) queue;
	size_t nqueue;
	struct item *now; /* being handled, or noted */
	char now_id[33];
	enum {
		POISON_IDLE,
		POISON_NOTING,
		POISON_HANDLING
	} phase;
	char last_id[33]; /* its note is to be deleted; "" = none */
	int64_t since_ms;
	struct event *timer;
	struct unit *unit;
	struct ask *ask;
	char *after;
	int marked;
	void (*known)(struct account *a, const char *why);
};

static void step(struct poison *p);
static void done(struct poison *p);

/* ------------------------------------------------------------------ the same stanza? */

int
poison_same(const uint8_t *a, size_t alen, const uint8_t *b, size_t blen)
{
	size_t least = alen < blen ? alen : blen, most = alen < blen ? blen : alen;
	size_t head = HEAD, tail = 0;

	if (most - least > DIFFER_MAX || least < 2 * HEAD)
		return 0;
	if (a[1] == LIST_8 && b[1] == LIST_8 && a[3] != b[3])
		return 0; /* another tag */
	while (head < least && a[head] == b[head])
		head++;
	while (tail < least - head && a[alen - 1 - tail] == b[blen - 1 - tail])
		tail++;
	return most - head - tail <= DIFFER_MAX;
}

static struct note *
note_of(struct poison *p, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < p->nnotes; i++)
		if (p->notes[i].bytes != NULL &&
		    poison_same(p->notes[i].bytes, p->notes[i].len, bytes, len))
			return &p->notes[i];
	return NULL;
}

static struct note *
note_by_id(struct poison *p, const char *id, int make)
{
	for (size_t i = 0; i < p->nnotes; i++)
		if (strcmp(p->notes[i].id, id) == 0)
			return &p->notes[i];
	if (!make || p->nnotes == NOTES_MAX || strlen(id) >= sizeof(p->notes[0].id))
		return NULL;
	(void)snprintf(p->notes[p->nnotes].id, sizeof(p->notes[0].id), "%s", id);
	return &p->notes[p->nnotes++];
}

/* ------------------------------------------------------------------ rows */

static void
put_row(struct unit *u, const char *kind, const char *id, const void *bytes, size_t len,
    unsigned attempts)
{
	Stored__Pending row = STORED__PENDING__INIT;
	Stored__MessageName name = STORED__MESSAGE_NAME__INIT;

	name.chat = pb_str(ROW_CHAT);
	name.sender = pb_str(kind);
	name.id = pb_str(id);
	row.name = &name;
	row.stanza = pb_bytes(bytes, len);
	row.has_attempts = 1;
	row.attempts = attempts;
	unit_pending(u, &row);
}

static void
delete_rows(struct unit *u, const char *id)
{
	Stored__MessageName name = STORED__MESSAGE_NAME__INIT;

	name.chat = pb_str(ROW_CHAT);
	name.id = pb_str(id);
	name.sender = pb_str(ROW_STANZA);
	unit_pending_delete(u, &name);
	name.sender = pb_str(ROW_ACK);
	unit_pending_delete(u, &name);
}

/* ------------------------------------------------------------------ at the start */

static void
known(struct poison *p, const char *why)
{
	void (*fn)(struct account * a, const char *why) = p->known;
	size_t suspects = 0;

	for (size_t i = 0; i < p->nnotes; i++)
		suspects += p->notes[i].bytes != NULL;
	if (why == NULL && p->careful)
		log_notice("account %s: the last run ended by a fault; the first stanzas are "
			   "handled one by one%s",
		    p->a->name, suspects > 0 ? ", and some were being handled then" : "");
	p->known = NULL;
	if (fn != NULL)
		fn(p->a, why);
}

static void
take_row(struct poison *p, const Stored__Pending *row)
{
	int is_ack = strcmp(row->name->sender, ROW_ACK) == 0;
	struct note *n;
	uint8_t *copy;

	if (strcmp(row->name->chat, ROW_CHAT) != 0 || row->stanza.len == 0 ||
	    (!is_ack && strcmp(row->name->sender, ROW_STANZA) != 0) ||
	    (n = note_by_id(p, row->name->id, 1)) == NULL ||
	    (copy = malloc(row->stanza.len)) == NULL)
		return;
	memcpy(copy, row->stanza.data, row->stanza.len);
	free(is_ack ? n->ack : n->bytes);
	if (is_ack) {
		n->ack = copy;
		n->ack_len = row->stanza.len;
	} else {
		n->bytes = copy;
		n->len = row->stanza.len;
		n->attempts = row->attempts;
	}
}

static void scan(struct poison *p);

static void
scanned(const struct reply *rp, void *arg)
{
	struct poison *p = arg;
	const Stored__ScanReply *m = (const Stored__ScanReply *)rp->pb;

	p->ask = NULL;
	if (!rp->ok) {
		known(p, rp->code);
		return;
	}
	for (size_t i = 0; i < m->n_pendings; i++)
		take_row(p, m->pendings[i]);
	free(p->after);
	p->after = m->next != NULL ? strdup(m->next) : NULL;
	if (p->after != NULL)
		scan(p);
	else
		known(p, NULL);
}

static void
scan(struct poison *p)
{
	Stored__Scan m = STORED__SCAN__INIT;

	m.account = p->a->name;
	m.table = STORED__TABLE__PENDINGS;
	m.after = p->after;
	m.limit = SCAN_ROWS;
	p->ask = ask_stored(p->a, STORED__TYPE__SCAN, &m.base, STORED__TYPE__SCAN_REPLY,
	    &stored__scan_reply__descriptor, SCAN_MAX, ASK_DEADLINE_MS, scanned, p);
}

static void
mark_known(const struct reply *rp, void *arg)
{
	struct poison *p = arg;
	const Stored__LookupReply *m = (const Stored__LookupReply *)rp->pb;

	p->ask = NULL;
	if (!rp->ok || m->n_pending != 1) {
		known(p, rp->ok ? "internal" : rp->code);
		return;
	}
	p->marked = m->pending[0]->stanza.len > 0;
	if (p->careful || p->marked)
		scan(p);
	else
		known(p, NULL);
}

void
poison_begin(struct account *a, void (*fn)(struct account *a, const char *why))
{
	struct poison *p = a->poison;
	struct unread_name name = {.chat = ROW_CHAT, .sender = ROW_MARK, .id = ROW_MARK};

	p->known = fn;
	p->careful = a->svc->last_end_fault && a->dev.linked;
	p->ask = unread_ask(a, &name, 1, mark_known, p);
}

static void
look(evutil_socket_t fd, short what, void *arg)
{
	done(arg);
}

struct poison *
poison_new(struct account *a)
{
	struct poison *p = calloc(1, sizeof(*p));

	if (p == NULL)
		fatal("poison_new");
	p->a = a;
	STAILQ_INIT(&p->queue);
	if ((p->timer = evtimer_new(a->svc->base, look, p)) == NULL)
		fatalx("poison_new: no event");
	return p;
}

static void
drop_queue(struct poison *p)
{
	struct item *i;

	while ((i = STAILQ_FIRST(&p->queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&p->queue, link);
		p->nqueue--;
		engine_inbound_end(p->a->svc, i->len);
		free(i);
	}
	evtimer_del(p->timer);
}

void
poison_free(struct poison *p)
{
	if (p == NULL)
		return;
	p->phase = POISON_NOTING; /* nothing is begun any more */
	drop_queue(p);
	unit_detach(p->unit);
	ask_cancel(p->ask);
	for (size_t i = 0; i < p->nnotes; i++) {
		free(p->notes[i].bytes);
		free(p->notes[i].ack);
	}
	free(p->now);
	free(p->after);
	event_free(p->timer);
	free(p);
}

/* ------------------------------------------------------------------ one stanza */

/* How many of these come from the queue of the service, or end it? By the token of the tag: the
 * node itself is what nobody looks at yet. */
enum gate {
	GATE_PASS, /* an answer that something may wait for */
	GATE_WAIT,
	GATE_NOTE
};

static uint8_t
token_of(const char *tag)
{
	struct node *n = node_new(tag);
	struct buf b = BUF_INIT;
	uint8_t token = 0;

	node_set(n, "id", "1");
	if (node_encode(n, &b) == 0 && b.len > HEAD)
		token = b.data[3];
	buf_clear(&b);
	node_free(n);
	return token;
}

static enum gate
gate_of(const uint8_t *bytes, size_t len)
{
	static const char *const tags[] = {"ib", "message", "receipt", "notification", "call"};
	static uint8_t tokens[sizeof(tags) / sizeof(tags[0])];

	if (tokens[0] == 0)
		for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
			tokens[i] = token_of(tags[i]);
	if (len <= HEAD || (bytes[0] & 2) != 0 || bytes[1] != LIST_8)
		return len > HEAD && (bytes[0] & 2) == 0 ? GATE_PASS : GATE_NOTE;
	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
		if (bytes[3] == tokens[i])
			return i == 0 ? GATE_WAIT : GATE_NOTE;
	return GATE_PASS;
}

static void
now_free(struct poison *p)
{
	if (p->now == NULL)
		return;
	engine_inbound_end(p->a->svc, p->now->len);
	free(p->now);
	p->now = NULL;
}

static void
last_written(const struct unit_result *r, void *arg)
{
	struct poison *p = arg;

	p->unit = NULL; /* a note that stays does no harm: its stanza was acknowledged */
	p->phase = POISON_IDLE;
	p->last_id[0] = '\0';
	step(p);
}

/* The careful time is over. */
static void
finish(struct poison *p)
{
	size_t kept = 0;

	p->careful = 0;
	if (p->last_id[0] != '\0' && (p->unit = unit_open(p->a)) != NULL) {
		p->phase = POISON_NOTING;
		delete_rows(p->unit, p->last_id);
		for (size_t i = 0; i < p->nnotes; i++)
			if (p->notes[i].attempts < POISON_ENDS) { /* it never came again */
				delete_rows(p->unit, p->notes[i].id);
				free(p->notes[i].bytes);
				free(p->notes[i].ack);
				memset(&p->notes[i], 0, sizeof(p->notes[i]));
			} else {
				kept++;
			}
		if (kept == 0)
			p->nnotes = 0;
		unit_commit(p->unit, last_written, p);
	}
}

/* It was dealt with, as far as can be seen; or it takes too long. */
static void
done(struct poison *p)
{
	int64_t ms = clock_mono_ms() - p->since_ms;
	struct timeval tv = {0, QUIET_MS * 1000};
	size_t of_others = p->nqueue + (p->now != NULL);

	if (p->phase != POISON_HANDLING)
		return;
	if (ms < STUCK_MS && (recv_in_flight(p->a) > 0 ||
				 (engine_inbound(p->a->svc) > of_others && ms < QUIET_MS))) {
		if (!evtimer_pending(p->timer, NULL))
			evtimer_add(p->timer, &tv);
		return;
	}
	evtimer_del(p->timer);
	memcpy(p->last_id, p->now_id, sizeof(p->last_id));
	p->phase = POISON_IDLE;
	now_free(p);
	if (++p->handled >= POISON_CAREFUL || (p->a->state == ACCOUNT_ONLINE && p->nqueue == 0))
		finish(p);
	step(p);
}

void
poison_inbound_ended(struct service *s, size_t inbound)
{
	for (size_t i = 0; i < s->naccounts && !s->stopping; i++) {
		struct poison *p = s->accounts[i] == NULL ? NULL : s->accounts[i]->poison;

		if (p != NULL && p->phase == POISON_HANDLING &&
		    recv_in_flight(s->accounts[i]) == 0 && inbound <= p->nqueue + (p->now != NULL))
			event_active(p->timer, EV_TIMEOUT, 0); /* from the loop */
	}
}

static void
handle(struct poison *p)
{
	if (p->now->conn != p->a->conn) { /* it comes again */
		now_free(p);
		p->phase = POISON_IDLE;
		step(p);
		return;
	}
	p->phase = POISON_HANDLING;
	p->since_ms = clock_mono_ms();
	stanza_handle(p->a, p->now->bytes, p->now->len);
	done(p);
}

static void
named(const struct unit_result *r, void *arg)
{
	struct poison *p = arg;

	p->unit = NULL;
	handle(p); /* without its name it is set aside without an ack */
}

/* It was being handled when the service ended. How it would be acknowledged is noted too. */
static void
name(struct poison *p)
{
	struct node *n = node_decode(p->now->bytes, p->now->len, NULL);
	struct node *ack = n == NULL ? NULL : stanza_ack_new(p->a, n, 0);
	struct buf b = BUF_INIT;

	if (ack != NULL && node_encode(ack, &b) == 0 && (p->unit = unit_open(p->a)) != NULL) {
		put_row(p->unit, ROW_ACK, p->now_id, b.data, b.len, 0);
		unit_commit(p->unit, named, p);
	} else {
		handle(p);
	}
	buf_clear(&b);
	node_free(ack);
	node_free(n);
}

static void
noted(const struct unit_result *r, void *arg)
{
	struct poison *p = arg;

	p->unit = NULL;
	if (!r->ok) {
		if (p->now->conn == p->a->conn)
			account_store_failed(p->a, r->reason);
		now_free(p);
		p->phase = POISON_IDLE;
		step(p);
		return;
	}
	p->last_id[0] = '\0';
	if (note_by_id(p, p->now_id, 0) != NULL)
		name(p);
	else
		handle(p);
}

/* ------------------------------------------------------------------ setting aside */

static void
set_aside_written(const struct unit_result *r, void *arg)
{
	struct poison *p = arg;
	const struct note *n = note_by_id(p, p->now_id, 0);

	p->unit = NULL;
	p->phase = POISON_IDLE;
	if (!r->ok) {
		if (p->now->conn == p->a->conn)
			account_store_failed(p->a, r->reason);
	} else {
		p->a->n.poison++;
		if (p->now->conn == p->a->conn && n != NULL && n->ack != NULL)
			(void)stanza_send_bytes(p->a, n->ack, n->ack_len);
	}
	now_free(p);
	step(p);
}

static json_t *
notice(const struct note *n, const struct item *i)
{
	json_t *o = json_pack("{s:s, s:s}", "kind", "poison", "error",
	    "it ended the service each time that it was handled");
	struct node *ack = n->ack == NULL ? NULL : node_decode(n->ack, n->ack_len, NULL);

	if (ack != NULL) { /* of our own making */
		json_object_set_new(o, "tag", json_string(node_get(ack, "class")));
		json_object_set_new(o, "message_id", json_string(node_get(ack, "id")));
		json_object_set_new(o, "from", json_string(node_get(ack, "to")));
	}
	(void)content_set_raw(o, i->bytes, i->len < CONTENT_RAW_PART ? i->len : CONTENT_RAW_PART);
	node_free(ack);
	return o;
}

/* Its note stays, so that it is known should it come again. */
static void
set_aside(struct poison *p, const struct note *n)
{
	char key[64];

	log_errx(
	    "account %s: a stanza of %zu bytes has ended the service %u times: it is set aside, "
	    "see the server.notice of kind poison",
	    p->a->name, p->now->len, n->attempts);
	if ((p->unit = unit_open(p->a)) == NULL) {
		account_store_failed(p->a, "memory");
		now_free(p);
		return;
	}
	p->phase = POISON_NOTING;
	(void)snprintf(key, sizeof(key), "poison:%s", n->id);
	unit_event(p->unit, "server.notice", "live", clock_wall_ms(), notice(n, p->now), key);
	put_row(p->unit, ROW_MARK, ROW_MARK, "", 1, 0);
	unit_commit(p->unit, set_aside_written, p);
}

/* ------------------------------------------------------------------ taking turns */

static void
note(struct poison *p, const struct note *n)
{
	uint8_t hash[16];

	if ((p->unit = unit_open(p->a)) == NULL) {
		account_store_failed(p->a, "memory");
		now_free(p);
		return;
	}
	if (n != NULL) {
		memcpy(p->now_id, n->id, sizeof(p->now_id));
	} else {
		crypto_generichash(hash, sizeof(hash), p->now->bytes, p->now->len, NULL, 0);
		(void)sodium_bin2hex(p->now_id, sizeof(p->now_id), hash, sizeof(hash));
	}
	p->phase = POISON_NOTING;
	if (p->last_id[0] != '\0')
		delete_rows(p->unit, p->last_id);
	put_row(p->unit, ROW_STANZA, p->now_id, p->now->bytes, p->now->len,
	    (n != NULL ? n->attempts : 0) + 1);
	unit_commit(p->unit, noted, p);
}

/* The next of those that wait. */
static void
step(struct poison *p)
{
	while (p->phase == POISON_IDLE && (p->now = STAILQ_FIRST(&p->queue)) != NULL) {
		struct note *n = note_of(p, p->now->bytes, p->now->len);

		STAILQ_REMOVE_HEAD(&p->queue, link);
		p->nqueue--;
		if (p->now->conn != p->a->conn) {
			now_free(p);
		} else if (n != NULL && n->attempts >= POISON_ENDS) {
			memcpy(p->now_id, n->id, sizeof(p->now_id));
			set_aside(p, n);
		} else if (p->careful && p->now->len <= NOTE_MAX &&
			   gate_of(p->now->bytes, p->now->len) == GATE_NOTE) {
			note(p, n);
		} else {
			stanza_handle(p->a, p->now->bytes, p->now->len);
			now_free(p);
		}
	}
	if (p->careful && p->phase == POISON_IDLE && p->a->state == ACCOUNT_ONLINE)
		finish(p);
}

int
poison_take(struct account *a, const uint8_t *bytes, size_t len)
{
	struct poison *p = a->poison;
	const struct note *n;
	struct item *i;

	if (!p->careful && p->nnotes == 0 && p->phase == POISON_IDLE && p->nqueue == 0)
		return 0; /* as always */
	n = note_of(p, bytes, len);
	if (!a->opened || (gate_of(bytes, len) == GATE_PASS && n == NULL))
		return 0;
	if (!p->careful && p->phase == POISON_IDLE && p->nqueue == 0 &&
	    (n == NULL || n->attempts < POISON_ENDS))
		return 0;
	if ((i = malloc(sizeof(*i) + len)) == NULL) {
		account_store_failed(a, "memory");
		return 1;
	}
	i->conn = a->conn;
	i->len = len;
	memcpy(i->bytes, bytes, len);
	engine_inbound_begin(a->svc, len);
	STAILQ_INSERT_TAIL(&p->queue, i, link);
	p->nqueue++;
	step(p);
	return 1;
}

void
poison_disconnected(struct account *a)
{
	struct poison *p = a->poison;

	drop_queue(p);
	if (p->phase == POISON_HANDLING) /* what it began ends by itself */
		event_active(p->timer, EV_TIMEOUT, 0);
}
