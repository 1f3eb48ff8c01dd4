/* Pacing: rows that wait for their turn, per account, per chat, and to new people.
 *
 * A held row is a number and a name; the row itself stays in stored and is fetched when it goes.
 * The rows of a chat go one after the other, in their order, and a message of a chat that has held
 * rows queues behind them. */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "apid/message/outbox_impl.h"
#include "apid/session/restrict.h"
#include "apid/session/unit.h"
#include "common/clock.h"
#include "common/log.h"
#include "ipc/frame.h"

#define PAUSED_MAX 256u  /* of which it is told; more is only counted */
#define PUMP_MAX   60000 /* it looks again, at the latest */

static const char *const scopes[] = {
    [HOLD_ACCOUNT] = "account", [HOLD_CHAT] = "chat", [HOLD_NEW] = "new_chats"};
static const char *const waits_for[] = {[HOLD_ACCOUNT] = "account_rate",
    [HOLD_CHAT] = "chat_rate",
    [HOLD_NEW] = "new_chats",
    [HOLD_STOPPED] = "release"};

/* ------------------------------------------------------------------ life */

static void
pump_now(evutil_socket_t fd, short what, void *arg)
{
	outbox_pump(arg);
}

void
outbox_hold_init(struct outbox *o)
{
	const struct config *c = o->a->svc->config;
	struct pace_limits l = {
	    .account_rate = (unsigned)config_int(c, "send", "account_rate"),
	    .account_burst = (unsigned)config_int(c, "send", "account_burst"),
	    .chat_rate = (unsigned)config_int(c, "send", "chat_rate"),
	    .chat_burst = (unsigned)config_int(c, "send", "chat_burst"),
	    .new_chats = (unsigned)config_int(c, "send", "new_chats"),
	};

	o->pace = pace_new(&l, clock_mono_ms());
	TAILQ_INIT(&o->chats);
	TAILQ_INIT(&o->paused);
	if ((o->pump = evtimer_new(o->a->svc->base, pump_now, o)) == NULL)
		fatalx("outbox: no event");
}

static void
row_drop(struct outbox *o, struct held_chat *c, struct held *h)
{
	TAILQ_REMOVE(&c->rows, h, link);
	c->n--;
	o->nheld--;
	free(h);
}

static void
chat_drop(struct outbox *o, struct held_chat *c)
{
	while (!TAILQ_EMPTY(&c->rows))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		row_drop(o, c, TAILQ_FIRST(&c->rows));
	ask_cancel(c->ask);
	TAILQ_REMOVE(&o->chats, c, link);
	free(c);
}

void
outbox_hold_clear(struct outbox *o)
{
	while (!TAILQ_EMPTY(&o->chats))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		chat_drop(o, TAILQ_FIRST(&o->chats));
	o->expiry_ms = 0;
	evtimer_del(o->pump);
}

static void
paused_drop(struct outbox *o, struct paused *p)
{
	TAILQ_REMOVE(&o->paused, p, link);
	o->npaused--;
	free(p);
}

void
outbox_hold_free(struct outbox *o)
{
	outbox_hold_clear(o);
	while (!TAILQ_EMPTY(&o->paused))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		paused_drop(o, TAILQ_FIRST(&o->paused));
	event_free(o->pump);
	pace_free(o->pace);
}

/* ------------------------------------------------------------------ whose chat */

/* Two names of one person are one chat, as far as it is known. */
int
outbox_same_chat(struct account *a, const char *one, const char *other)
{
	char text[JID_TEXT_MAX];
	struct person p;
	struct jid j;

	if (strcmp(one, other) == 0)
		return 1;
	if (jid_parse(one, &j) == -1 || contacts_cached(a, &j, &p) == -1)
		return 0;
	(void)snprintf(text, sizeof(text), "%s@" JID_PN, p.pn);
	if (p.pn[0] != '\0' && strcmp(text, other) == 0)
		return 1;
	(void)snprintf(text, sizeof(text), "%s@" JID_LID, p.lid);
	return p.lid[0] != '\0' && strcmp(text, other) == 0;
}

static struct held_chat *
chat_find(struct outbox *o, const char *chat)
{
	struct held_chat *c;

	TAILQ_FOREACH(c, &o->chats, link)
	if (outbox_same_chat(o->a, chat, c->chat))
		return c;
	return NULL;
}

/* The name of its bucket: the person's, so that number and LID share it. */
static const char *
bucket_of(struct account *a, const char *chat, struct person *p)
{
	struct jid j;

	return jid_parse(chat, &j) == 0 && contacts_cached(a, &j, p) == 0 ? p->id : chat;
}

/* ------------------------------------------------------------------ new people */

/* How long nobody new may be written to, and why; -1 = until it is known better. */
static int64_t
new_people_ms(const struct outbox *o, const char **reason)
{
	int64_t until, now = clock_wall_ms(), wait;

	if ((*reason = restrict_new_people(o->a, &until)) != NULL)
		return until > now ? until - now : -1;
	*reason = "restriction_unknown";
	if (restrict_is_asking(o->a))
		return -1;
	*reason = "first_contacts";
	wait = pace_new_ms(o->pace, now);
	return wait;
}

/* The same for this person; 0 = he may be written to. Somebody who was turned to already, and has
 * not been reached, is not counted twice. */
static int64_t
person_ms(const struct outbox *o, const struct person *p, const char **reason)
{
	int64_t ms;

	if (!contacts_is_new(o->a, p))
		return 0;
	ms = new_people_ms(o, reason);
	return p->first_out_ms > 0 && strcmp(*reason, "first_contacts") == 0 ? 0 : ms;
}

static int
new_must_wait(const struct outbox *o, const struct person *p)
{
	const char *reason;

	return person_ms(o, p, &reason) != 0;
}

/* ------------------------------------------------------------------ told */

static void
told(const struct unit_result *r, void *arg)
{
	/* it says what is so: if it is not kept, outbox.list and the metrics say it too */
}

static size_t
depth_of(const struct outbox *o, enum hold_why why, const char *chat)
{
	const struct held_chat *c;
	size_t n = 0;

	TAILQ_FOREACH(c, &o->chats, link)
	if (c->why == why && (why != HOLD_CHAT || outbox_same_chat(o->a, chat, c->chat)))
		n += c->n;
	return n;
}

size_t
outbox_waiting(const struct outbox *o, const char *chat)
{
	const struct held_chat *c;
	size_t n = 0;

	if (chat[0] == '\0')
		return o->depth;
	TAILQ_FOREACH(c, &o->chats, link)
	if (outbox_same_chat(o->a, chat, c->chat))
		n += c->n;
	return n;
}

static void
event(struct outbox *o, const char *type, enum hold_why why, const char *chat, const char *reason,
    int64_t ms)
{
	json_t *body = json_pack(
	    "{s:s, s:I}", "scope", scopes[why], "depth", (json_int_t)depth_of(o, why, chat));
	struct unit *u = o->a->opened ? unit_open(o->a) : NULL;
	char id[STABLE_ID_LEN + 1];
	struct person p;
	struct jid j;

	if (why == HOLD_CHAT && jid_parse(chat, &j) == 0) {
		int known = contacts_cached(o->a, &j, &p) == 0;

		contacts_chat_id(&j, known ? &p : NULL, id);
		json_object_set_new(body, "chat", json_string(known ? id : chat));
	}
	if (reason != NULL)
		json_object_set_new(body, "reason", json_string(reason));
	if (reason != NULL && ms > 0)
		json_object_set_new(body, "until_ms", json_integer(clock_wall_ms() + ms));
	if (u == NULL) {
		json_decref(body);
		return;
	}
	unit_event(u, type, "live", clock_wall_ms(), body, NULL);
	unit_commit(u, told, NULL);
}

static struct paused *
paused_find(struct outbox *o, enum hold_why why, const char *chat)
{
	struct paused *p;

	TAILQ_FOREACH(p, &o->paused, link)
	if (p->why == why && (why != HOLD_CHAT || outbox_same_chat(o->a, chat, p->chat)))
		return p;
	return NULL;
}

static int
pause_noted(struct outbox *o, enum hold_why why, const char *chat)
{
	struct paused *p;

	if (paused_find(o, why, chat) != NULL || o->npaused >= PAUSED_MAX)
		return 0;
	if ((p = calloc(1, sizeof(*p))) == NULL)
		fatal("outbox: pause");
	p->why = why;
	(void)snprintf(p->chat, sizeof(p->chat), "%s", chat);
	TAILQ_INSERT_TAIL(&o->paused, p, link);
	o->npaused++;
	return 1;
}

static void
pause_told(struct outbox *o, enum hold_why why, const char *chat, const char *reason, int64_t ms)
{
	if (why == HOLD_STOPPED || !pause_noted(o, why, chat))
		return;
	o->a->n.pauses++;
	event(o, "outbox.paused", why, chat, reason, ms);
}

static int
still_paused(const struct outbox *o, const struct paused *p)
{
	int64_t until;

	/* also when nothing waits: nothing would go; or what waited is on its way, or held again */
	if (p->why == HOLD_NEW && (restrict_new_people(o->a, &until) != NULL || o->rows > 0))
		return 1;
	if (p->why == HOLD_ACCOUNT && pace_blocked_ms(o->pace, clock_mono_ms()) > 0)
		return 1;
	return depth_of(o, p->why, p->chat) > 0;
}

/* What waits no more goes on; while a pass runs it is not known yet. */
static void
resumed(struct outbox *o)
{
	struct paused *p, *next;

	if (o->pass != PASS_DONE || o->more)
		return;
	for (p = TAILQ_FIRST(&o->paused); p != NULL; p = next) {
		next = TAILQ_NEXT(p, link);
		if (still_paused(o, p))
			continue;
		event(o, "outbox.resumed", p->why, p->chat, NULL, 0);
		paused_drop(o, p);
	}
}

/* It held before the last restart, and was told then. */
void
outbox_restriction_known(struct account *a)
{
	int64_t until;

	if (restrict_new_people(a, &until) != NULL)
		(void)pause_noted(a->outbox, HOLD_NEW, "");
}

void
outbox_restriction_changed(struct account *a)
{
	struct outbox *o = a->outbox;
	const char *why;
	int64_t until;

	if ((why = restrict_new_people(a, &until)) != NULL)
		pause_told(o, HOLD_NEW, "", why, until - clock_wall_ms());
	outbox_pump(o);
	resumed(o);
}

/* ------------------------------------------------------------------ holding */

static struct held_chat *
chat_add(struct outbox *o, const char *chat)
{
	struct held_chat *c = calloc(1, sizeof(*c));

	if (c == NULL)
		fatal("outbox: hold");
	(void)snprintf(c->chat, sizeof(c->chat), "%s", chat);
	TAILQ_INIT(&c->rows);
	c->o = o;
	TAILQ_INSERT_TAIL(&o->chats, c, link);
	return c;
}

/* In the order of rows: one that comes back stands where it stood. */
static void
hold(struct outbox *o, struct held_chat *c, uint64_t row, const char *id, int64_t not_after_ms)
{
	struct held *h = calloc(1, sizeof(*h)), *before;

	if (h == NULL)
		fatal("outbox: hold");
	h->row = row;
	h->not_after_ms = not_after_ms;
	if (not_after_ms > 0 && (o->expiry_ms == 0 || not_after_ms < o->expiry_ms))
		o->expiry_ms = not_after_ms;
	(void)snprintf(h->id, sizeof(h->id), "%s", id);
	before = TAILQ_LAST(&c->rows, held_list);
	while (before != NULL && before->row > row)
		before = TAILQ_PREV(before, held_list, link);
	if (before != NULL && before->row == row) {
		free(h);
		return;
	}
	if (before != NULL)
		TAILQ_INSERT_AFTER(&c->rows, before, h, link);
	else
		TAILQ_INSERT_HEAD(&c->rows, h, link);
	c->n++;
	o->nheld++;
}

/* Why a chat may not go on now; -2 = it may, -1 = not known when, else ms. */
static int64_t
chat_waits(struct outbox *o, const char *chat, enum hold_why *why, const char **reason)
{
	int64_t now = clock_mono_ms(), ms;
	struct person p;

	*reason = "held";
	*why = HOLD_STOPPED;
	if (outbox_is_stopped(o, chat))
		return -1;
	*reason = pace_blocked_ms(o->pace, now) > 0 ? "rate_limited" : "rate";
	*why = HOLD_ACCOUNT;
	if ((ms = pace_account_ms(o->pace, now)) > 0)
		return ms;
	*reason = "rate";
	*why = HOLD_CHAT;
	if ((ms = pace_chat_ms(o->pace, bucket_of(o->a, chat, &p), now)) > 0)
		return ms;
	return -2;
}

static void
pump_in(struct outbox *o, int64_t ms)
{
	int64_t at;
	struct timeval tv;

	if (ms < 1)
		ms = 1;
	if (ms > PUMP_MAX)
		ms = PUMP_MAX;
	at = clock_mono_ms() + ms;
	if (evtimer_pending(o->pump, NULL) && o->pump_at <= at)
		return;
	o->pump_at = at;
	tv.tv_sec = (time_t)(ms / 1000);
	tv.tv_usec = (suseconds_t)(ms % 1000) * 1000;
	evtimer_add(o->pump, &tv);
}

int
outbox_hold_row(struct outbox *o, const Stored__OutboxRow *row)
{
	struct held_chat *c = chat_find(o, row->put->chat);
	const char *reason;
	enum hold_why why;
	struct person p;
	int64_t ms;

	if (c != NULL) {
		hold(o, c, row->row, row->put->message_id, row->put->not_after_ms);
		return 1;
	}
	if ((ms = chat_waits(o, row->put->chat, &why, &reason)) == -2) {
		pace_take(o->pace, bucket_of(o->a, row->put->chat, &p), clock_mono_ms());
		return 0;
	}
	c = chat_add(o, row->put->chat);
	c->why = why;
	hold(o, c, row->row, row->put->message_id, row->put->not_after_ms);
	pause_told(o, why, c->chat, reason, ms);
	pump_in(o, ms);
	return 1;
}

/* A row that send.c has resolved: 1 if it is somebody new who may not be written to now. It is held
 * again, and what it took is given back. */
int
outbox_hold_new(struct account *a, uint64_t row, const char *id, const char *chat,
    int64_t not_after_ms, const struct person *p)
{
	struct outbox *o = a->outbox;
	struct held_chat *c;
	const char *reason;
	struct person who;
	int64_t ms;

	if (!new_must_wait(o, p))
		return 0;
	if ((c = chat_find(o, chat)) == NULL)
		c = chat_add(o, chat);
	c->why = HOLD_NEW;
	hold(o, c, row, id, not_after_ms);
	pace_give(o->pace, bucket_of(a, chat, &who));
	ms = new_people_ms(o, &reason);
	pause_told(o, HOLD_NEW, "", reason, ms);
	pump_in(o, ms < 0 ? PUMP_MAX : ms);
	return 1;
}

/* A new message that is not in the outbox yet: does it go at once? */
int
outbox_may_go(struct account *a, const struct jid *chat, const struct person *p)
{
	struct outbox *o = a->outbox;
	const struct held_chat *c;
	char text[JID_TEXT_MAX];
	const char *reason;
	enum hold_why why;
	struct person who;

	if (!outbox_direct(a) || new_must_wait(o, p))
		return 0;
	(void)jid_format(chat, text);
	TAILQ_FOREACH(c, &o->chats, link)
	if (c->why == HOLD_ACCOUNT || outbox_same_chat(a, text, c->chat))
		return 0;
	if (chat_waits(o, text, &why, &reason) != -2)
		return 0;
	pace_take(o->pace, bucket_of(a, text, &who), clock_mono_ms());
	return 1;
}

int
outbox_reserve_new(struct account *a, const struct person *p)
{
	if (!contacts_is_new(a, p) || p->first_out_ms > 0)
		return 0;
	pace_reserve(a->outbox->pace, 1);
	return 1;
}

void
outbox_reserved_ends(struct account *a, int64_t time_ms)
{
	pace_reserve(a->outbox->pace, -1);
	if (time_ms > 0)
		pace_first(a->outbox->pace, time_ms);
}

/* Those whose time is over fail when it is, not when their turn comes. */
static void
expire(struct outbox *o)
{
	int64_t now = clock_wall_ms();
	struct held_chat *c, *nextc;
	struct held *h, *next;

	if (o->expiry_ms == 0 || o->expiry_ms >= now)
		return;
	o->expiry_ms = 0;
	for (c = TAILQ_FIRST(&o->chats); c != NULL; c = nextc) {
		nextc = TAILQ_NEXT(c, link);
		for (h = TAILQ_FIRST(&c->rows); h != NULL; h = next) {
			struct settle_how how = {.reason = "expired", .time_ms = now};

			next = TAILQ_NEXT(h, link);
			if (h->not_after_ms > 0 && h->not_after_ms >= now &&
			    (o->expiry_ms == 0 || h->not_after_ms < o->expiry_ms))
				o->expiry_ms = h->not_after_ms;
			if (h->not_after_ms == 0 || h->not_after_ms >= now ||
			    (c->ask != NULL && h == TAILQ_FIRST(&c->rows)))
				continue;
			outbox_settle(o->a, h->id, c->chat, &how);
			row_drop(o, c, h);
		}
		if (TAILQ_EMPTY(&c->rows))
			chat_drop(o, c);
	}
}

void
outbox_unhold(struct outbox *o, const char *id)
{
	struct held_chat *c;
	struct held *h;
	struct person p;

	TAILQ_FOREACH(c, &o->chats, link)
	TAILQ_FOREACH(h, &c->rows, link)
	if (strcmp(h->id, id) == 0) {
		if (c->ask != NULL && h == TAILQ_FIRST(&c->rows)) {
			ask_cancel(c->ask);
			c->ask = NULL;
			pace_give(o->pace, bucket_of(o->a, c->chat, &p));
		}
		row_drop(o, c, h);
		if (TAILQ_EMPTY(&c->rows))
			chat_drop(o, c);
		outbox_pump(o);
		return;
	}
}

/* ------------------------------------------------------------------ going */

static void
fetched(const struct reply *rp, void *arg)
{
	struct held_chat *c = arg;
	struct outbox *o = c->o;
	const Stored__OutboxRows *m = (const Stored__OutboxRows *)rp->pb;
	struct held *h = TAILQ_FIRST(&c->rows);
	struct person p;

	c->ask = NULL;
	if (!rp->ok) {
		pace_give(o->pace, bucket_of(o->a, c->chat, &p));
		outbox_pass_later(o, OUTBOX_LATER_MS);
		return;
	}
	row_drop(o, c, h);
	if (TAILQ_EMPTY(&c->rows))
		chat_drop(o, c);
	if (m->n_rows > 0 && m->rows[0]->put->state == STORED__OUTBOX_STATE__QUEUED)
		outbox_row_start(o, m->rows[0]);
	outbox_pump(o);
}

static void
fetch(struct outbox *o, struct held_chat *c)
{
	Stored__OutboxFind m = STORED__OUTBOX_FIND__INIT;
	struct person p;

	pace_take(o->pace, bucket_of(o->a, c->chat, &p), clock_mono_ms());
	m.account = o->a->name;
	m.message_id = TAILQ_FIRST(&c->rows)->id;
	c->ask = ask_stored(o->a, STORED__TYPE__OUTBOX_FIND, &m.base, STORED__TYPE__OUTBOX_ROWS,
	    &stored__outbox_rows__descriptor, FRAME_PAYLOAD_MAX, ASK_DEADLINE_MS, fetched, c);
}

/* May the first row of this chat go? Else when, as chat_waits. */
static int64_t
head_waits(struct outbox *o, struct held_chat *c, const char **reason)
{
	enum hold_why why;
	struct person p;
	struct jid j;
	int64_t ms;

	if (c->why == HOLD_NEW) {
		if (jid_parse(c->chat, &j) == 0 && contacts_cached(o->a, &j, &p) == 0)
			ms = person_ms(o, &p, reason); /* he may have written meanwhile */
		else
			ms = new_people_ms(o, reason);
		if (ms != 0)
			return ms;
	}
	if ((ms = chat_waits(o, c->chat, &why, reason)) == -2)
		return -2;
	c->why = why;
	return ms;
}

/* The chat whose first row is the oldest of those that may go now; *soon: else when to look. */
static struct held_chat *
next_chat(struct outbox *o, int64_t *soon)
{
	struct held_chat *c, *best = NULL;
	const char *reason;
	int64_t ms;

	*soon = PUMP_MAX;
	TAILQ_FOREACH(c, &o->chats, link)
	{
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed ones are off the list */
		if (c->ask != NULL)
			continue;
		if ((ms = head_waits(o, c, &reason)) == -2) {
			if (best == NULL ||
			    TAILQ_FIRST(&c->rows)->row < TAILQ_FIRST(&best->rows)->row)
				best = c;
			continue;
		}
		if (ms >= 0 && ms < *soon)
			*soon = ms;
		pause_told(o, c->why, c->why == HOLD_CHAT ? c->chat : "", reason, ms);
	}
	return best;
}

void
outbox_pump(struct outbox *o)
{
	struct held_chat *c;
	int64_t soon = 0;

	if (o->pass == PASS_OFF)
		return;
	expire(o);
	while (!TAILQ_EMPTY(&o->chats)) {
		if (o->nsent + o->rows >= OUTBOX_WINDOW || channel_full(o->a->svc->netd))
			break; /* an ack, or netd, wakes it */
		if ((c = next_chat(o, &soon)) == NULL)
			break;
		fetch(o, c);
	}
	if (!TAILQ_EMPTY(&o->chats))
		pump_in(o, soon);
	if (o->expiry_ms > 0)
		pump_in(o, o->expiry_ms + 1 - clock_wall_ms());
	resumed(o);
	outbox_pass_go(o);
}

void
outbox_contact_met(struct account *a)
{
	if (!TAILQ_EMPTY(&a->outbox->chats))
		pump_in(a->outbox, 1);
}

void
outbox_slow_down(struct outbox *o, int64_t ms)
{
	pace_block(o->pace, clock_mono_ms() + ms);
	pump_in(o, ms);
	pause_told(o, HOLD_ACCOUNT, "", "rate_limited", ms);
}

const char *
outbox_would_wait(struct outbox *o, const char *chat, int64_t *ms)
{
	const struct held_chat *c = chat_find(o, chat);
	const char *reason;
	enum hold_why why;
	struct person p;
	struct jid j;

	if (c != NULL && c->why != HOLD_CHAT) {
		*ms = -1; /* behind others */
		return waits_for[c->why];
	}
	if (jid_parse(chat, &j) == 0 && contacts_cached(o->a, &j, &p) == 0 &&
	    new_must_wait(o, &p)) {
		*ms = new_people_ms(o, &reason);
		return waits_for[HOLD_NEW];
	}
	*ms = chat_waits(o, chat, &why, &reason);
	return *ms == -2 ? NULL : waits_for[why];
}

const char *
outbox_held_why(struct outbox *o, const char *id, int64_t *ms)
{
	struct held_chat *c;
	struct held *h;
	const char *reason;

	TAILQ_FOREACH(c, &o->chats, link)
	TAILQ_FOREACH(h, &c->rows, link)
	if (strcmp(h->id, id) == 0) {
		*ms = head_waits(o, c, &reason);
		if (*ms == -2)
			*ms = 0;
		return waits_for[c->why];
	}
	return NULL;
}
