/* The outbox of an account: what is to be sent, what was sent and waits for its ack.
 *
 * A *pass* goes through the QUEUED and READY rows of stored in their order after each login, and
 * again whenever a row was queued. While it runs new messages queue behind it; when it has come to
 * the end they go out directly. */
#include "apid/message/outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "apid/message/contacts.h"
#include "apid/message/doubt.h"
#include "apid/message/ids.h"
#include "apid/message/send.h"
#include "apid/message/typing.h"
#include "apid/session/ask.h"
#include "apid/session/connect.h"
#include "apid/session/stanza.h"
#include "common/clock.h"
#include "common/log.h"

#define PAGE         64u
#define ROWS_MAX     (2u * 1024 * 1024) /* bytes of a page: stored stops at 1 MiB, or after one row */
#define LATER_MS     5000
#define TICK_S       5
#define RESEND_MS    5000 /* after a 503 */
#define SENT_RESENDS 2

struct sent { /* a READY row that was given to netd on this connection */
	TAILQ_ENTRY(sent) link;
	char id[MESSAGE_ID_MAX + 1], chat[JID_TEXT_MAX], phash[12];
	uint8_t *bytes;
	size_t len;
	int64_t due_ms; /* monotonic: when it is sent again */
	unsigned resends;
	int acking; /* its ack is being written down */
};

struct outbox {
	struct account *a;
	enum {
		PASS_OFF,
		PASS_LOADING,
		PASS_WAITING,
		PASS_DONE
	} pass;
	uint64_t after_row;
	struct ask *ask;
	int more;        /* a row was queued since the last page was asked for */
	size_t queued;   /* rows that were queued and not seen by a pass yet */
	size_t rows;     /* QUEUED rows that send.c works on */
	size_t queueing; /* messages that are being written as QUEUED */
	struct doubts *doubts;
	TAILQ_HEAD(sent_list, sent) sent;
	size_t nsent;
	struct event *tick, *later;
	int64_t later_at; /* monotonic ms, while it is pending */
};

struct settle { /* a status that is being written down */
	struct account *a;
	char id[MESSAGE_ID_MAX + 1], status[16], reason[64];
	unsigned code;
	int64_t time_ms;
};

static void pass_go(struct outbox *o);

/* ------------------------------------------------------------------ life */

static void
sent_drop(struct outbox *o, struct sent *s)
{
	TAILQ_REMOVE(&o->sent, s, link);
	o->nsent--;
	free(s->bytes);
	free(s);
}

static void
sent_clear(struct outbox *o)
{
	while (!TAILQ_EMPTY(&o->sent))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		sent_drop(o, TAILQ_FIRST(&o->sent));
}

/* A pass from the start, at the latest in so many ms. */
static void
pass_later(struct outbox *o, int64_t ms)
{
	struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
	int64_t at = clock_mono_ms() + ms;

	if (evtimer_pending(o->later, NULL) && o->later_at <= at)
		return;
	o->later_at = at;
	evtimer_add(o->later, &tv);
}

static void
later_now(evutil_socket_t fd, short what, void *arg)
{
	struct outbox *o = arg;

	if (o->pass == PASS_OFF)
		return;
	ask_cancel(o->ask); /* a page may be on its way */
	o->ask = NULL;
	o->after_row = 0; /* from the start: what is on its way is passed by */
	o->pass = PASS_WAITING;
	pass_go(o);
}

static void
tick(evutil_socket_t fd, short what, void *arg)
{
	struct outbox *o = arg;
	struct account *a = o->a;
	struct sent *s;
	struct timeval tv = {TICK_S, 0};
	int64_t now = clock_mono_ms();

	if (a->conn == 0)
		return;
	TAILQ_FOREACH(s, &o->sent, link)
	{
		if (s->acking || s->due_ms > now)
			continue;
		if (s->resends >= SENT_RESENDS) {
			log_warnx("account %s: a message gets no ack; connecting anew", a->name);
			connect_restart(a, 0);
			return;
		}
		s->resends++;
		s->due_ms = now + OUTBOX_ACK_MS;
		if (stanza_send_bytes(a, s->bytes, s->len) == -1)
			return; /* the list may be gone */
	}
	evtimer_add(o->tick, &tv);
}

struct outbox *
outbox_new(struct account *a)
{
	struct outbox *o = calloc(1, sizeof(*o));

	if (o == NULL)
		fatal("outbox_new");
	o->a = a;
	o->doubts = doubts_new();
	TAILQ_INIT(&o->sent);
	o->tick = evtimer_new(a->svc->base, tick, o);
	o->later = evtimer_new(a->svc->base, later_now, o);
	if (o->tick == NULL || o->later == NULL)
		fatalx("outbox_new: no event");
	return o;
}

void
outbox_free(struct outbox *o)
{
	if (o == NULL)
		return;
	ask_cancel(o->ask);
	sent_clear(o);
	event_free(o->tick);
	event_free(o->later);
	doubts_free(o->doubts);
	free(o);
}

size_t
outbox_depth(const struct account *a)
{
	return a->outbox->queued + a->outbox->rows + a->outbox->nsent;
}

static struct sent *
sent_find(struct outbox *o, const char *id)
{
	struct sent *s;

	TAILQ_FOREACH(s, &o->sent, link)
	if (strcmp(s->id, id) == 0)
		return s;
	return NULL;
}

/* ------------------------------------------------------------------ statuses */

/* {message_id, chat, status, time_ms, reason?, code?} */
static json_t *
status_body(struct account *a, const struct settle *t, const char *chat)
{
	char chat_id[STABLE_ID_LEN + 1];
	struct person p;
	struct jid j;
	json_t *o = json_pack("{s:s, s:s, s:I}", "message_id", t->id, "status", t->status,
	    "time_ms", (json_int_t)t->time_ms);

	if (jid_parse(chat, &j) == 0 && contacts_cached(a, &j, &p) == 0) {
		contacts_chat_id(&j, &p, chat_id);
		json_object_set_new(o, "chat", json_string(chat_id));
	} else {
		json_object_set_new(o, "chat", json_string(chat));
	}
	if (t->reason[0] != '\0')
		json_object_set_new(o, "reason", json_string(t->reason));
	if (t->code != 0)
		json_object_set_new(o, "code", json_integer(t->code));
	return o;
}

static void
settled(const struct unit_result *r, void *arg)
{
	struct settle *t = arg;
	struct account *a = t->a;
	struct outbox *o = a->outbox;
	struct sent *s = sent_find(o, t->id);

	if (s != NULL)
		sent_drop(o, s);
	if (!r->ok) { /* the row stays as it was: the next pass sends it again, with the same id */
		pass_later(o, LATER_MS);
	} else {
		if (strcmp(t->status, "failed") == 0)
			a->n.failed_sends++;
		else
			a->n.sent++;
		outbox_status(a, t->id, t->status, t->time_ms, t->code, t->reason);
	}
	free(t);
	pass_go(o);
}

/* The fate of a row at the service: written down with its event, then told. */
static void
settle(struct account *a, const char *id, const char *chat, int ok, int64_t time_ms, unsigned code,
    const char *reason, int drop_lists)
{
	struct settle *t = calloc(1, sizeof(*t));
	Stored__OutboxUpdate up = STORED__OUTBOX_UPDATE__INIT;
	struct unit *u = unit_open(a);
	char key[200];

	if (t == NULL || u == NULL)
		fatal("outbox: settle");
	t->a = a;
	t->code = code;
	t->time_ms = time_ms;
	(void)snprintf(t->id, sizeof(t->id), "%s", id);
	(void)snprintf(t->status, sizeof(t->status), "%s", ok ? "server" : "failed");
	(void)snprintf(t->reason, sizeof(t->reason), "%s", reason != NULL ? reason : "");
	up.message_id = t->id;
	up.has_state = 1;
	up.state = ok ? STORED__OUTBOX_STATE__ACKED : STORED__OUTBOX_STATE__FAILED;
	up.has_code = code != 0;
	up.code = code;
	up.reason = t->reason[0] != '\0' ? t->reason : NULL;
	up.has_server_ms = ok;
	up.server_ms = time_ms;
	unit_outbox_update(u, &up);
	(void)snprintf(key, sizeof(key), "s:%s:%s", id, t->status);
	unit_event(u, "message.status", "live", time_ms, status_body(a, t, chat), key);
	if (drop_lists) {
		struct jid own = jid_bare(&a->dev.jid);
		char text[JID_TEXT_MAX];

		unit_device_list_drop(u, chat);
		unit_device_list_drop(u, jid_format(&own, text));
		own = jid_bare(&a->dev.lid);
		if (a->dev.has_lid)
			unit_device_list_drop(u, jid_format(&own, text));
	}
	unit_commit(u, settled, t);
}

/* ------------------------------------------------------------------ acks */

int
outbox_ack(struct account *a, const struct node *n)
{
	const char *class = node_get(n, "class"), *id = node_get(n, "id");
	const char *phash = node_get(n, "phash");
	const char *refused = node_get(n, "error");
	int64_t error = node_get_int(n, "error", 99999);
	unsigned code = error > 0 ? (unsigned)error : 0; /* also one that is no number refuses */
	struct outbox *o = a->outbox;
	struct sent *s;
	int other;

	if (class == NULL || strcmp(class, "message") != 0 || id == NULL ||
	    (s = sent_find(o, id)) == NULL)
		return 0;
	if (s->acking)
		return 1;
	if (error == 503) { /* the same bytes with the same id, a little later */
		s->due_ms = clock_mono_ms() + RESEND_MS;
		s->resends = 0;
		return 1;
	}
	s->acking = 1;
	doubt_clear(o->doubts, id);
	other = phash != NULL && s->phash[0] != '\0' && strcmp(phash, s->phash) != 0;
	if (refused == NULL || error == 0)
		settle(a, s->id, s->chat, 1, stanza_time_ms(a, n), 0, NULL, other);
	else
		settle(a, s->id, s->chat, 0, stanza_time_ms(a, n), code, outbox_reason(code),
		    code == 404 || code == 406);
	return 1;
}

void
outbox_ready(struct account *a, const char *message_id, const char *chat, const uint8_t *stanza,
    size_t len, const char *phash)
{
	struct outbox *o = a->outbox;
	struct timeval tv = {TICK_S, 0};
	struct sent *s;

	if (a->conn == 0 || o->pass == PASS_OFF || sent_find(o, message_id) != NULL)
		return; /* the pass at the end of the next login sends it */
	if ((s = calloc(1, sizeof(*s))) == NULL || (s->bytes = malloc(len)) == NULL) {
		free(s);
		log_warn("account %s: outbox", a->name); /* still READY: a later pass */
		return;
	}
	memcpy(s->bytes, stanza, len);
	s->len = len;
	s->due_ms = clock_mono_ms() + OUTBOX_ACK_MS;
	(void)snprintf(s->id, sizeof(s->id), "%s", message_id);
	(void)snprintf(s->chat, sizeof(s->chat), "%s", chat);
	(void)snprintf(s->phash, sizeof(s->phash), "%s", phash);
	TAILQ_INSERT_TAIL(&o->sent, s, link);
	o->nsent++;
	if (!evtimer_pending(o->tick, NULL))
		evtimer_add(o->tick, &tv);
	typing_sent(a, chat);
	(void)stanza_send_bytes(a, stanza, len); /* last: it may end the connection */
}

/* ------------------------------------------------------------------ the pass */

static void
pass_row(struct outbox *o, const Stored__OutboxRow *row)
{
	struct account *a = o->a;
	const Stored__OutboxPut *p = row->put;
	int64_t now = clock_wall_ms(), wait;

	if (sent_find(o, p->message_id) != NULL || send_has(a, p->message_id))
		return;
	if (o->queued > 0)
		o->queued--;
	if (p->created_ms < a->rec.linked_ms) {
		settle(a, p->message_id, p->chat, 0, now, 0, "unlinked", 0);
	} else if (p->state == STORED__OUTBOX_STATE__READY &&
		   (wait = doubt_wait_ms(o->doubts, p->message_id)) > 0) {
		pass_later(o, wait); /* the others come first */
	} else if (p->state == STORED__OUTBOX_STATE__READY && p->has_stanza) {
		outbox_ready(a, p->message_id, p->chat, p->stanza.data, p->stanza.len, "");
	} else if (p->has_not_after_ms && p->not_after_ms > 0 && p->not_after_ms < now) {
		settle(a, p->message_id, p->chat, 0, now, 0, "expired", 0);
	} else if (send_row(a, row) == 0) {
		o->rows++;
	} else {
		outbox_row_later(a, p->message_id);
	}
}

static void
pass_page(const struct reply *rp, void *arg)
{
	struct outbox *o = arg;
	const Stored__OutboxRows *m = (const Stored__OutboxRows *)rp->pb;
	uint64_t conn = o->a->conn;

	o->ask = NULL;
	if (!rp->ok) {
		log_warnx("account %s: the outbox cannot be read: %s", o->a->name, rp->code);
		pass_later(o, LATER_MS);
		return;
	}
	o->pass = m->n_rows == 0 ? PASS_DONE : PASS_WAITING;
	if (m->n_rows == 0 && !o->more)
		o->queued = 0;
	for (size_t i = 0; i < m->n_rows && o->a->conn == conn; i++) {
		if (m->rows[i]->row > o->after_row)
			o->after_row = m->rows[i]->row;
		pass_row(o, m->rows[i]);
	}
	if (o->a->conn == conn)
		pass_go(o);
}

/* Ask for the next page if there is room for it. */
static void
pass_go(struct outbox *o)
{
	struct account *a = o->a;
	Stored__OutboxLoad m = STORED__OUTBOX_LOAD__INIT;
	size_t busy = o->nsent + o->rows;

	if (o->pass == PASS_OFF || o->pass == PASS_LOADING || a->conn == 0)
		return;
	if (o->pass == PASS_DONE && !o->more)
		return;
	if (busy + PAGE > OUTBOX_WINDOW || channel_full(a->svc->netd))
		return; /* an ack, or netd, wakes it */
	o->pass = PASS_LOADING;
	o->more = 0;
	m.account = a->name;
	m.after_row = o->after_row;
	m.limit = PAGE;
	o->ask = ask_stored(a, STORED__TYPE__OUTBOX_LOAD, &m.base, STORED__TYPE__OUTBOX_ROWS,
	    &stored__outbox_rows__descriptor, 8 * ROWS_MAX, ASK_DEADLINE_MS, pass_page, o);
}

void
outbox_online(struct account *a)
{
	struct outbox *o = a->outbox;

	sent_clear(o);
	o->after_row = 0;
	o->pass = PASS_WAITING;
	pass_go(o);
}

void
outbox_disconnected(struct account *a)
{
	struct outbox *o = a->outbox;
	struct sent *s;

	o->pass = PASS_OFF;
	ask_cancel(o->ask);
	o->ask = NULL;
	TAILQ_FOREACH(s, &o->sent, link)
	if (!s->acking)
		doubt_note(o->doubts, s->id);
	sent_clear(o);
	evtimer_del(o->tick);
	evtimer_del(o->later);
}

void
outbox_reset(struct account *a)
{
	outbox_disconnected(a);
	a->outbox->queued = 0;
	a->outbox->more = 0;
}

void
outbox_drained(struct account *a)
{
	pass_go(a->outbox);
}

int
outbox_direct(const struct account *a)
{
	const struct outbox *o = a->outbox;

	return a->conn != 0 && a->logged_in && o->pass == PASS_DONE && !o->more &&
	       o->queueing == 0 && o->nsent < OUTBOX_WINDOW && !channel_full(a->svc->netd);
}

void
outbox_queueing(struct account *a, int begins)
{
	if (begins)
		a->outbox->queueing++;
	else
		a->outbox->queueing--;
}

void
outbox_queued(struct account *a)
{
	a->outbox->more = 1;
	a->outbox->queued++;
	pass_go(a->outbox);
}

void
outbox_row_later(struct account *a, const char *message_id)
{
	if (a->outbox->pass != PASS_OFF)
		pass_later(a->outbox, LATER_MS);
}

void
outbox_row_failed(
    struct account *a, const char *message_id, const char *chat, unsigned code, const char *reason)
{
	settle(a, message_id, chat, 0, clock_wall_ms(), code, reason, 0);
}

void
outbox_row_left(struct account *a)
{
	if (a->outbox->rows > 0)
		a->outbox->rows--;
	pass_go(a->outbox);
}
