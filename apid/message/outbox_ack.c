/* What the service says to a message: the ack, the refusal, and what follows from them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/outbox_impl.h"
#include "apid/message/refusal.h"
#include "apid/session/devices.h"
#include "apid/session/restrict.h"
#include "apid/session/stanza.h"
#include "apid/session/unit.h"
#include "common/clock.h"
#include "common/log.h"

#define REFRESHES_MAX 8u /* device lists that are being asked for again */

struct settle { /* a status that is being written down */
	struct account *a;
	char id[MESSAGE_ID_MAX + 1], chat[JID_TEXT_MAX], status[16], reason[64];
	unsigned code;
	int64_t time_ms, until_ms;
	int wrote_met;
	int refresh; /* the device lists were dropped: ask for them again */
};

struct refresh { /* the lists of a chat are being asked for */
	TAILQ_ENTRY(refresh) link;
	struct outbox *o;
	char chat[JID_TEXT_MAX];
};

struct rearm { /* a row that failed for now is made READY again */
	TAILQ_ENTRY(rearm) link;
	struct account *a;
	char id[MESSAGE_ID_MAX + 1], chat[JID_TEXT_MAX];
	uint8_t *stanza;
	size_t len;
	int64_t created_ms;
};

void
outbox_acks_init(struct outbox *o)
{
	TAILQ_INIT(&o->rearms);
	TAILQ_INIT(&o->refreshes);
	TAILQ_INIT(&o->cancels);
}

void
outbox_acks_offline(struct outbox *o)
{
	o->nlid_asked = 0;
}

/* ------------------------------------------------------------------ device lists */

static void
refreshed(const struct unit_result *r, void *arg)
{
	/* what was learned is in the cache, and goes with the next write of that person */
}

static void
lists_came(const struct device_list *lists, size_t n, const char *why, unsigned code, void *arg)
{
	struct refresh *f = arg;
	struct account *a = f->o->a;
	struct unit *u;
	struct jid j;

	TAILQ_REMOVE(&f->o->refreshes, f, link);
	f->o->nrefreshes--;
	if (why != NULL) /* the next send asks */
		log_debug("account %s: a stale device list: %s", a->name, why);
	else if (jid_parse(f->chat, &j) == 0 && (u = unit_open(a)) != NULL) {
		if (contacts_write(a, &j, u)) {
			unit_commit(u, refreshed, NULL);
			contacts_written(a, &j, 1);
		} else {
			unit_abort(u);
		}
	}
	free(f);
}

/* Ask for the devices of a chat, and ours, so that the next message finds them right. */
static void
refresh(struct outbox *o, const char *chat, int ours)
{
	struct account *a = o->a;
	char own[JID_TEXT_MAX];
	struct jid j = jid_bare(&a->dev.jid);
	const char *jids[2] = {chat, jid_format(&j, own)};
	struct refresh *f;

	TAILQ_FOREACH(f, &o->refreshes, link)
	if (strcmp(f->chat, chat) == 0)
		return;
	if (o->nrefreshes >= REFRESHES_MAX || a->conn == 0 || (f = calloc(1, sizeof(*f))) == NULL)
		return;
	f->o = o;
	(void)snprintf(f->chat, sizeof(f->chat), "%s", chat);
	TAILQ_INSERT_TAIL(&o->refreshes, f, link);
	o->nrefreshes++;
	(void)devices_fetch(a, jids, ours ? 2 : 1, lists_came, f);
}

/* The service knows another LID of him: asked once a connection. */
static void
refresh_lid(struct outbox *o, const char *chat)
{
	for (size_t i = 0; i < o->nlid_asked; i++)
		if (strcmp(o->lid_asked[i], chat) == 0)
			return;
	if (o->nlid_asked == sizeof(o->lid_asked) / sizeof(o->lid_asked[0]))
		return;
	(void)snprintf(o->lid_asked[o->nlid_asked++], sizeof(o->lid_asked[0]), "%s", chat);
	refresh(o, chat, 0);
}

/* ------------------------------------------------------------------ statuses */

/* {message_id, chat, status, time_ms, reason?, code?, until_ms?} */
static json_t *
status_body(struct account *a, const struct settle *t)
{
	char chat_id[STABLE_ID_LEN + 1];
	struct person p;
	struct jid j;
	json_t *o = json_pack("{s:s, s:s, s:I}", "message_id", t->id, "status", t->status,
	    "time_ms", (json_int_t)t->time_ms);

	if (jid_parse(t->chat, &j) == 0 && contacts_cached(a, &j, &p) == 0) {
		contacts_chat_id(&j, &p, chat_id);
		json_object_set_new(o, "chat", json_string(chat_id));
	} else {
		json_object_set_new(o, "chat", json_string(t->chat));
	}
	if (t->reason[0] != '\0')
		json_object_set_new(o, "reason", json_string(t->reason));
	if (t->code != 0)
		json_object_set_new(o, "code", json_integer(t->code));
	if (t->until_ms != 0)
		json_object_set_new(o, "until_ms", json_integer(t->until_ms));
	return o;
}

static void
tell(const struct settle *t)
{
	struct outbox_news news = {t->id, t->chat, t->status, t->time_ms, t->code, t->until_ms,
	    t->reason[0] != '\0' ? t->reason : NULL};

	outbox_status(t->a, &news);
}

/* Until when it holds is known now, or will not be. */
static void
until_known(struct account *a, const char *id, int64_t until_ms, void *arg)
{
	struct settle *t = arg;

	t->until_ms = until_ms;
	tell(t);
	free(t);
}

static void
settled(const struct unit_result *r, void *arg)
{
	struct settle *t = arg;
	struct account *a = t->a;
	struct outbox *o = a->outbox;
	struct sent *s = outbox_sent_find(o, t->id);
	int failed = strcmp(t->status, "failed") == 0;
	struct jid j;

	if (t->wrote_met && jid_parse(t->chat, &j) == 0)
		contacts_written(a, &j, r->ok);
	outbox_cancel_ends(a, t->id, r->ok ? NULL : r->reason);
	if (s != NULL)
		outbox_sent_drop(o, s);
	if (!r->ok && !a->svc->stopping && strcmp(r->reason, "closed") != 0) /* else by no store */
		restrict_not_noted(a, t->id);
	if (!r->ok) { /* the row stays as it was: the next pass sends it again, with the same id */
		outbox_pass_later(o, OUTBOX_LATER_MS);
		free(t);
	} else {
		if (failed)
			a->n.failed_sends++;
		else if (strcmp(t->status, "server") == 0)
			a->n.sent++;
		else
			a->n.unknown_sends++;
		outbox_row_gone(a);
		if (t->refresh)
			refresh(o, t->chat, 1);
		if (failed && restrict_owes(a, t->id) && !a->svc->stopping) {
			restrict_ask(a, t->id, until_known, t);
		} else {
			tell(t);
			free(t);
		}
	}
	outbox_pump(o);
}

/* What an ack says of the two people: a message has passed between them. */
static int
met(struct account *a, const char *chat, int64_t time_ms, struct unit *u)
{
	struct jid j;

	if (jid_parse(chat, &j) == -1)
		return 0;
	contacts_met(a, &j, time_ms);
	return contacts_write(a, &j, u);
}

static void
drop_lists(struct account *a, const char *chat, int ours, struct unit *u)
{
	struct jid j;

	if (jid_parse(chat, &j) == 0)
		devices_drop(a, &j, u);
	if (!ours)
		return;
	devices_drop(a, &a->dev.jid, u);
	if (a->dev.has_lid)
		devices_drop(a, &a->dev.lid, u);
}

void
outbox_settle(struct account *a, const char *id, const char *chat, const struct settle_how *how)
{
	struct settle *t = calloc(1, sizeof(*t));
	Stored__OutboxUpdate up = STORED__OUTBOX_UPDATE__INIT;
	struct unit *u = unit_open(a);
	char key[220];

	if (t == NULL || u == NULL)
		fatal("outbox: settle");
	t->a = a;
	t->code = how->code;
	t->time_ms = how->time_ms;
	t->until_ms = how->until_ms;
	t->refresh = how->drop_lists == 2;
	(void)snprintf(t->id, sizeof(t->id), "%s", id);
	(void)snprintf(t->chat, sizeof(t->chat), "%s", chat);
	(void)snprintf(t->status, sizeof(t->status), "%s",
	    how->ok        ? "server"
	    : how->unknown ? "outcome_unknown"
			   : "failed");
	(void)snprintf(t->reason, sizeof(t->reason), "%s", how->reason != NULL ? how->reason : "");
	up.message_id = t->id;
	up.has_state = 1;
	up.state = how->ok ? STORED__OUTBOX_STATE__ACKED : STORED__OUTBOX_STATE__FAILED;
	up.has_code = t->code != 0;
	up.code = t->code;
	up.reason = t->reason[0] != '\0' ? t->reason : NULL;
	up.has_server_ms = how->ok;
	up.server_ms = how->time_ms;
	up.has_until_ms = t->until_ms != 0;
	up.until_ms = t->until_ms;
	unit_outbox_update(u, &up);
	(void)snprintf(key, sizeof(key), "s:%s:%s", id, t->status);
	if (refusal_act(t->code) == REFUSAL_RATE) /* it may happen again */
		(void)snprintf(
		    key, sizeof(key), "s:%s:%s:%lld", id, t->status, (long long)t->until_ms);
	unit_event(u, "message.status", "live", t->time_ms, status_body(a, t), key);
	if (how->ok)
		t->wrote_met = met(a, chat, how->time_ms, u);
	if (!how->ok && t->until_ms == 0)
		restrict_note(a, u, t->code, t->id, t->chat, t->time_ms);
	if (how->drop_lists > 0)
		drop_lists(a, chat, how->drop_lists == 2, u);
	unit_commit(u, settled, t);
}

void
outbox_until_known(struct account *a, struct unit *u, const char *id, const char *chat,
    unsigned code, int64_t time_ms, int64_t until_ms)
{
	struct settle t = {.a = a, .code = code, .time_ms = time_ms, .until_ms = until_ms};
	Stored__OutboxUpdate up = STORED__OUTBOX_UPDATE__INIT;
	char key[220];

	(void)snprintf(t.id, sizeof(t.id), "%s", id);
	(void)snprintf(t.chat, sizeof(t.chat), "%s", chat);
	(void)snprintf(t.status, sizeof(t.status), "failed");
	(void)snprintf(t.reason, sizeof(t.reason), "%s", refusal_word(code));
	up.message_id = t.id;
	up.has_until_ms = 1;
	up.until_ms = until_ms;
	unit_outbox_update(u, &up);
	(void)snprintf(key, sizeof(key), "s:%s:failed:until", id);
	unit_event(u, "message.status", "live", time_ms, status_body(a, &t), key);
}

/* ------------------------------------------------------------------ acks */

static void
refused(struct outbox *o, const struct sent *s, unsigned code, int64_t time_ms)
{
	struct settle_how how = {.code = code, .reason = refusal_word(code), .time_ms = time_ms};
	const char *known;
	int64_t until;

	switch (refusal_act(code)) {
	case REFUSAL_FORGET:
		how.drop_lists = 1;
		break;
	case REFUSAL_ASK:
		if ((known = restrict_new_people(o->a, &until)) != NULL &&
		    strcmp(known, how.reason) == 0)
			how.until_ms = until;
		break;
	case REFUSAL_RATE:
		until = refusal_rate_ms(o->rate_steps++);
		how.until_ms = clock_wall_ms() + until;
		outbox_slow_down(o, until);
		break;
	default:
		break;
	}
	outbox_settle(o->a, s->id, s->chat, &how);
}

static void
accepted(struct outbox *o, const struct sent *s, const struct node *n, int64_t time_ms)
{
	struct settle_how how = {.ok = 1, .time_ms = time_ms};
	const char *phash = node_get(n, "phash"), *lid = node_get(n, "refresh_lid");

	o->rate_steps = 0;
	/* another hash: devices that we do not know of missed it, and ask by retry (9.6) */
	if (phash != NULL && s->phash[0] != '\0' && strcmp(phash, s->phash) != 0) {
		o->a->n.stale_lists++;
		how.drop_lists = 2;
	}
	outbox_settle(o->a, s->id, s->chat, &how);
	if (lid != NULL && strcmp(lid, "true") == 0)
		refresh_lid(o, s->chat);
}

int
outbox_ack(struct account *a, const struct node *n)
{
	const char *class = node_get(n, "class"), *id = node_get(n, "id");
	const char *error = node_get(n, "error");
	int64_t number = node_get_int(n, "error", 99999);
	unsigned code = number > 0 ? (unsigned)number : 0; /* also one that is no number refuses */
	struct outbox *o = a->outbox;
	struct sent *s;

	if (class == NULL || strcmp(class, "message") != 0 || id == NULL ||
	    (s = outbox_sent_find(o, id)) == NULL)
		return 0;
	if (s->acking)
		return 1;
	if (refusal_act(code) == REFUSAL_AGAIN) { /* the same bytes with the same id */
		s->due_ms = clock_mono_ms() + refusal_again_ms(s->troubles++);
		s->resends = 0;
		return 1;
	}
	s->acking = 1;
	doubt_clear(o->doubts, id);
	if (error == NULL || number == 0)
		accepted(o, s, n, stanza_time_ms(a, n));
	else
		refused(o, s, code, stanza_time_ms(a, n));
	return 1;
}

/* ------------------------------------------------------------------ once more */

static void
rearmed(const struct unit_result *r, void *arg)
{
	struct rearm *m = arg;
	struct account *a = m->a;

	TAILQ_REMOVE(&a->outbox->rearms, m, link);
	if (r->ok) {
		outbox_row_came(a, m->created_ms);
		outbox_ready(a, m->id, m->chat, m->stanza, m->len, "");
	} else { /* it has failed as before */
		struct outbox_news news = {m->id, m->chat, "failed", clock_wall_ms(), 429, 0, NULL};

		outbox_status(a, &news);
	}
	free(m->stanza);
	free(m);
}

void
outbox_rearm(struct account *a, const Stored__OutboxRow *row)
{
	const Stored__OutboxPut *p = row->put;
	Stored__OutboxUpdate up = STORED__OUTBOX_UPDATE__INIT;
	struct settle again = {.time_ms = clock_wall_ms()};
	char none[] = "";
	struct rearm *m;
	struct unit *u;

	TAILQ_FOREACH(m, &a->outbox->rearms, link)
	if (strcmp(m->id, p->message_id) == 0)
		return;
	if ((m = calloc(1, sizeof(*m))) == NULL ||
	    (m->stanza = malloc(p->stanza.len + 1)) == NULL || (u = unit_open(a)) == NULL)
		fatal("outbox: rearm");
	m->a = a;
	m->created_ms = p->created_ms;
	m->len = p->stanza.len;
	memcpy(m->stanza, p->stanza.data, p->stanza.len);
	(void)snprintf(m->id, sizeof(m->id), "%s", p->message_id);
	(void)snprintf(m->chat, sizeof(m->chat), "%s", p->chat);
	TAILQ_INSERT_TAIL(&a->outbox->rearms, m, link);
	up.message_id = m->id;
	up.has_state = up.has_code = up.has_until_ms = 1;
	up.state = STORED__OUTBOX_STATE__READY;
	up.reason = none;
	unit_outbox_update(u, &up);
	(void)snprintf(again.id, sizeof(again.id), "%s", m->id);
	(void)snprintf(again.chat, sizeof(again.chat), "%s", m->chat);
	(void)snprintf(again.status, sizeof(again.status), "queued");
	unit_event(u, "message.status", "live", again.time_ms, status_body(a, &again), NULL);
	unit_commit(u, rearmed, m);
}
