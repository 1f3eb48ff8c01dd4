/* One message on its way out: the beginning, its turn, and the end. */
#include "apid/message/send.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/message/outbox.h"
#include "apid/message/refusal.h"
#include "apid/message/send_impl.h"
#include "apid/session/connect.h"
#include "apid/session/restrict.h"
#include "apid/session/stanza.h"
#include "apid/session/state.h"
#include "common/clock.h"
#include "common/log.h"
#include "ipc/frame.h"

static void send_end(struct flow *f, const char *outcome, const char *text);
static void ask_people(struct send *s);
static void send_people(struct send *s);

#define REPEATS_MAX 3u
#define AGAIN_MS    50

static const struct flow_kind send_kind = {"send", send_end};

/* ------------------------------------------------------------------ life */

struct sender *
sender_new(struct account *a)
{
	struct sender *s = calloc(1, sizeof(*s));

	if (s == NULL)
		fatal("sender_new");
	s->a = a;
	s->sessions = session_cache_new();
	TAILQ_INIT(&s->list);
	return s;
}

void
sender_free(struct sender *s)
{
	if (s == NULL)
		return;
	while (!TAILQ_EMPTY(&s->list))
		flow_end(&TAILQ_FIRST(&s->list)->f, "cancelled", "stopping");
	session_cache_free(s->sessions);
	free(s);
}

size_t
send_in_flight(const struct account *a)
{
	return a->sender->n;
}

int
send_has(const struct account *a, const char *message_id)
{
	struct send *s;

	TAILQ_FOREACH(s, &a->sender->list, link)
	if (strcmp(s->id, message_id) == 0)
		return 1;
	return 0;
}

int
send_is_queueing(const struct account *a, const char *message_id)
{
	struct send *s;

	TAILQ_FOREACH(s, &a->sender->list, link)
	if (strcmp(s->id, message_id) == 0)
		return s->queueing;
	return 0;
}

void
send_reset(struct account *a)
{
	session_cache_clear(a->sender->sessions);
	while (!TAILQ_EMPTY(&a->sender->list)) {
		struct send *s = TAILQ_FIRST(&a->sender->list);

		call_failf(s->call, -7, "logged_out", 0, "the device was removed");
		s->call = NULL;
		flow_end(&s->f, "cancelled", "the device was removed");
	}
}

static struct send *
send_new(struct account *a)
{
	struct send *s;

	if (a->sender->n >= SENDS_MAX || (s = calloc(1, sizeof(*s))) == NULL)
		return NULL;
	flow_init(&s->f, a->svc->flows, &send_kind, a->name, NULL, 0);
	s->a = a;
	TAILQ_INSERT_TAIL(&a->sender->list, s, link);
	a->sender->n++;
	return s;
}

static void
drop_asks(struct send *s)
{
	contacts_cancel(s->lookup);
	devices_cancel(s->devices);
	bundle_cancel(s->bundles);
	ask_cancel(s->ask);
	tctoken_cancel(s->token_search);
	s->token_search = NULL;
	s->asked_token = s->wants_token = 0;
	lid_move_cancel(s->move);
	s->move = NULL;
	s->lookup = NULL;
	s->devices = NULL;
	s->bundles = NULL;
	s->ask = NULL;
	send_encrypt_ends(s);
	if (s->again != NULL)
		event_free(s->again);
	s->again = NULL;
	if (s->open)
		unit_abort(s->unit);
	else
		unit_detach(s->unit);
	s->unit = NULL;
	s->open = 0;
}

/* Those that waited for a send with the same idempotency key look again. */
static void
wake_key(struct account *a, uint32_t uid, const char *key)
{
	struct send *o, *next;

	for (o = TAILQ_FIRST(&a->sender->list); o != NULL; o = next) {
		next = TAILQ_NEXT(o, link);
		if (o->phase == SEND_WAITING_KEY && o->uid == uid && strcmp(o->key, key) == 0) {
			send_find(o);
			return; /* one at a time: it may be the next that sends */
		}
	}
}

/* The one end. Whoever still waits was told before, or is told that it is not known. */
static void
send_end(struct flow *f, const char *outcome, const char *text)
{
	struct send *s = (struct send *)f;
	struct account *a = s->a;
	uint32_t uid = s->uid;
	char key[65];
	int is_row = s->is_row, stopping = a->svc->stopping;

	memcpy(key, s->key, sizeof(key));
	if (outcome != NULL)
		call_failf(s->call, -11, "outcome_unknown", 1, text);
	drop_asks(s);
	if (s->queueing)
		outbox_queueing(a, 0);
	if (s->reserved)
		outbox_reserved_ends(a, 0);
	TAILQ_REMOVE(&a->sender->list, s, link);
	a->sender->n--;
	if (!stopping) {
		send_build_done(s);
		send_lane_next(s);
	}
	if (s->call_timer != NULL)
		event_free(s->call_timer);
	send_clear_devices(s);
	intent_free(s->intent);
	if (s->content != NULL)
		sodium_memzero(s->content, s->content_len);
	free(s->content);
	free(s->stanza);
	free(s);
	if (stopping)
		return;
	if (is_row)
		outbox_row_left(a);
	wake_key(a, uid, key);
}

void
send_fail(struct send *s, const struct api_error *e, const char *reason)
{
	call_fail(s->call, e);
	s->call = NULL;
	if (s->is_row && reason != NULL)
		outbox_row_failed(s->a, s->id, jid_format(&s->chat, s->to), 0, reason);
	else if (s->is_row)
		outbox_row_later(s->a, s->id);
	flow_end(&s->f, NULL, NULL);
}

static void
again_due(evutil_socket_t fd, short what, void *arg)
{
	send_lane_next(arg); /* it, or one before it that waits too */
}

/* Its unit was built on one that failed, and nothing of it happened: the same message is encrypted
 * anew. keyd hears of the failure over another channel, so it gets a moment. */
static void
send_again(struct send *s)
{
	struct timeval tv = {0, AGAIN_MS * 1000};

	flow_step(&s->f, "send_again");
	drop_asks(s);
	send_build_done(s);
	s->wants_build = 0;
	s->repeats++;
	s->tried_again = 0;
	s->rebuild = s->rebuilds;
	free(s->stanza);
	s->stanza = NULL;
	s->stanza_len = 0;
	s->phase = SEND_LANE; /* those after it wait, also while the timer runs */
	if ((s->again = evtimer_new(s->a->svc->base, again_due, s)) == NULL)
		fatalx("send: no event");
	evtimer_add(s->again, &tv);
}

void
send_fail_store(struct send *s, const char *code)
{
	struct api_error e;

	if (unit_may_repeat(code) && s->dev != NULL && !s->queueing && s->repeats < REPEATS_MAX &&
	    !s->a->svc->stopping) {
		send_again(s);
		return;
	}
	e = api_error_store(code);
	send_fail(s, &e, NULL);
}

/* The connection went, or keyd or the store did not answer: what is not in the outbox yet is
 * queued. */
void
send_later(struct send *s, const char *why)
{
	if (strcmp(why, "disconnected") != 0 && strcmp(why, "timeout") != 0) {
		send_fail_store(s, why);
	} else if (s->is_row) {
		outbox_row_later(s->a, s->id);
		flow_end(&s->f, NULL, NULL);
	} else {
		drop_asks(s);
		send_build_done(s);
		send_queue(s);
	}
}

/* ------------------------------------------------------------------ the client's wait */

static void
call_late(evutil_socket_t fd, short what, void *arg)
{
	struct send *s = arg;

	call_failf(
	    s->call, -11, "outcome_unknown", 1, "it is on its way; ask again with the same key");
	s->call = NULL; /* the send goes on */
}

static void
call_arm(struct send *s, unsigned timeout_ms)
{
	struct timeval tv = {timeout_ms / 1000, (suseconds_t)(timeout_ms % 1000) * 1000};

	s->call_until_ms = clock_mono_ms() + timeout_ms;
	if ((s->call_timer = evtimer_new(s->a->svc->base, call_late, s)) == NULL)
		fatalx("send: no event");
	evtimer_add(s->call_timer, &tv);
}

/* It is in the outbox: from here on the outbox answers the client. */
void
send_hand_over(struct send *s, const char *id, const char *to, const char *have, int64_t time_ms,
    int duplicate)
{
	int64_t left = s->call_until_ms - clock_mono_ms();
	struct call *c = s->call;

	s->call = NULL;
	if (c != NULL)
		outbox_wait(s->a, c, id, to, s->want, have, time_ms, duplicate,
		    left < 1 ? 1 : (unsigned)left);
}

/* ------------------------------------------------------------------ send_begin */

static int
key_ok(const char *key)
{
	size_t n = strlen(key);

	return n >= 1 && n <= 64 &&
	       strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-") ==
		   n;
}

static int
refused(
    struct account *a, const struct send_request *rq, char to[JID_TEXT_MAX], struct api_error *e)
{
	if (a->disabled) {
		*e = api_error_make(-1, "not_allowed", 0, "the account is disabled in the config");
	} else if (!a->opened) {
		*e = api_error_closed(a);
	} else if (a->svc->disk_low) {
		*e = api_error_make(-14, "disk_low", 1, "the disk is nearly full");
	} else if (state_send_error(a, e) != NULL) {
		return 1;
	} else if (!key_ok(rq->idempotency_key)) {
		*e = api_error_make(-32602, "params", 0, "1 to 64 of A-Z a-z 0-9 . _ : -");
		e->path = "idempotency_key";
	} else if (a->sender->n >= SENDS_MAX) {
		*e = api_error_make(-5, "overloaded", 1, "too much is under way");
		e->retry_after_ms = 1000;
	} else {
		if (intent_person(rq->to, to, e) == 0)
			return 0;
		e->path = e->code == -32602 ? "to" : NULL;
	}
	return 1;
}

static struct send *
key_in_flight(struct send *s)
{
	struct send *o;

	TAILQ_FOREACH(o, &s->a->sender->list, link)
	if (o != s && o->phase != SEND_WAITING_KEY && o->uid == s->uid &&
	    strcmp(o->key, s->key) == 0)
		return o;
	return NULL;
}

void
message_send(struct account *a, const void *client, const struct send_request *rq,
    engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);
	char to[JID_TEXT_MAX];
	struct api_error e;
	struct intent *intent;
	struct send *s;

	if (refused(a, rq, to, &e) || (intent = intent_new(rq, &e)) == NULL) {
		call_fail(c, &e);
		return;
	}
	if ((s = send_new(a)) == NULL) {
		intent_free(intent);
		call_failf(c, -5, "overloaded", 1, "too much is under way");
		return;
	}
	s->call = c;
	s->want = rq->wait;
	s->uid = rq->uid;
	s->not_after_ms = rq->not_after_ms;
	s->created_ms = clock_wall_ms();
	if (s->created_ms <
	    a->rec.linked_ms) /* the clock was set back: it is no older than the link */
		s->created_ms = a->rec.linked_ms;
	memcpy(s->to, to, sizeof(s->to));
	memcpy(s->hash, rq->params_hash, sizeof(s->hash));
	(void)snprintf(s->key, sizeof(s->key), "%s", rq->idempotency_key);
	message_id_new(s->id, (uint64_t)account_server_time(a), a->dev.jid.user);
	s->intent = intent;
	call_arm(s, rq->timeout_ms > 0 ? rq->timeout_ms
				       : (unsigned)config_int(a->svc->config, "send", "timeout"));
	if (key_in_flight(s) != NULL)
		s->phase = SEND_WAITING_KEY;
	else
		send_find(s);
}

/* ------------------------------------------------------------------ send_find */

/* It failed because it was too much just then, and that time is over. */
static int
may_rearm(const Stored__OutboxRow *row)
{
	return row->put->state == STORED__OUTBOX_STATE__FAILED && row->has_code &&
	       refusal_act(row->code) == REFUSAL_RATE && row->put->has_stanza &&
	       row->until_ms <= clock_wall_ms();
}

static void
send_known(struct send *s, const Stored__OutboxRow *row)
{
	struct api_error e;

	if (row->put->params_hash.len != 32 ||
	    sodium_memcmp(row->put->params_hash.data, s->hash, 32) != 0) {
		e = api_error_make(-9, "key_reused", 0,
		    "the idempotency key belongs to a message with other parameters");
		call_fail(s->call, &e);
	} else if (may_rearm(row)) {
		send_hand_over(
		    s, row->put->message_id, row->put->chat, "queued", row->put->created_ms, 1);
		outbox_rearm(s->a, row);
	} else if (restrict_owes(s->a, row->put->message_id)) {
		outbox_fail_when_known(s->a, s->call, row);
	} else if (outbox_row_error(row, &e)) {
		call_fail(s->call, &e);
	} else {
		send_hand_over(s, row->put->message_id, row->put->chat, outbox_row_status(row),
		    row->has_server_ms ? row->server_ms : row->put->created_ms, 1);
	}
	s->call = NULL;
	flow_end(&s->f, NULL, NULL);
}

static void
send_too_late(struct send *s)
{
	struct api_error e = refusal_error(0, "expired", 0);

	e.path = "not_after_ms";
	call_fail(s->call, &e);
	s->call = NULL;
	flow_end(&s->f, NULL, NULL);
}

static void
send_no_room(struct send *s)
{
	struct api_error e = outbox_full_error(s->a);

	send_fail(s, &e, NULL);
}

static void
found(const struct reply *rp, void *arg)
{
	struct send *s = arg;
	const Stored__OutboxRows *m = (const Stored__OutboxRows *)rp->pb;

	s->ask = NULL;
	if (!rp->ok)
		send_fail_store(s, rp->code);
	else if (m->n_rows > 0)
		send_known(s, m->rows[0]); /* whatever its time: the key tells how it ended */
	else if (s->not_after_ms > 0 && s->not_after_ms <= clock_wall_ms())
		send_too_late(s);
	else if ((int64_t)outbox_depth(s->a) >= config_int(s->a->svc->config, "send", "outbox_max"))
		send_no_room(s);
	else
		send_people(s);
}

/* Both questions at once: that the key is known is the exception. */
void
send_find(struct send *s)
{
	Stored__OutboxFind m = STORED__OUTBOX_FIND__INIT;

	flow_step(&s->f, "send_find");
	s->phase = SEND_FINDING;
	s->found = 0;
	m.account = s->a->name;
	m.has_uid = 1;
	m.uid = s->uid;
	m.idempotency_key = s->key;
	s->ask = ask_stored(s->a, STORED__TYPE__OUTBOX_FIND, &m.base, STORED__TYPE__OUTBOX_ROWS,
	    &stored__outbox_rows__descriptor, FRAME_PAYLOAD_MAX, ASK_DEADLINE_MS, found, s);
	ask_people(s);
}

/* ------------------------------------------------------------------ send_people, the lane */

/* Nobody of its chat is at work, and nobody came before it. */
static int
lane_is_mine(const struct send *s)
{
	struct send *o;
	int before = 1;

	TAILQ_FOREACH(o, &s->a->sender->list, link)
	{
		if (o == s)
			before = 0;
		else if (strcmp(o->lane, s->lane) == 0 &&
			 (o->phase == SEND_WORKING || (before && o->phase == SEND_LANE)))
			return 0;
	}
	return 1;
}

/* The service does not let the account write to new people now: nothing is queued for them. */
static int
refuse_new(struct send *s)
{
	struct api_error e;
	const char *why;
	int64_t until;

	if (s->is_row || !contacts_is_new(s->a, &s->peer) ||
	    (why = restrict_new_people(s->a, &until)) == NULL)
		return 0;
	e = refusal_error(strcmp(why, "reachout_timelock") == 0 ? 463 : 475, NULL, until);
	e.service_code = 0; /* it was not asked */
	send_fail(s, &e, NULL);
	return 1;
}

/* A row of its chat has left the outbox and has no lane yet: it was accepted before. */
static int
behind_a_row(const struct send *s)
{
	char chat[JID_TEXT_MAX];
	struct send *o;

	(void)jid_format(&s->chat, chat);
	TAILQ_FOREACH(o, &s->a->sender->list, link)
	if (o->is_row && o->phase == SEND_RESOLVING && outbox_same_chat(s->a, chat, o->to))
		return 1;
	return 0;
}

static void
lane_enter(struct send *s)
{
	if (s->again != NULL)
		event_free(s->again);
	s->again = NULL;
	if (!lane_is_mine(s)) {
		s->phase = SEND_LANE;
		flow_step(&s->f, "send_lane");
		return;
	}
	s->phase = SEND_WORKING;
	(void)contacts_cached(s->a, &s->chat, &s->peer); /* he may have answered meanwhile */
	if (s->repeats > 0) {                            /* it had its turn */
		send_devices(s);
	} else if (!s->is_row && (behind_a_row(s) || !outbox_may_go(s->a, &s->chat, &s->peer))) {
		send_queue(s); /* behind what waits already, or until its turn comes */
	} else if (s->is_row &&
		   outbox_hold_new(s->a, s->row, s->id, s->to, s->not_after_ms, &s->peer)) {
		flow_end(&s->f, NULL, NULL);
	} else {
		s->reserved = outbox_reserve_new(s->a, &s->peer);
		send_devices(s);
	}
}

/* The first that waits in this lane begins, if it is free. */
static void
lane_first(struct sender *all, const char *lane)
{
	struct send *o;

	TAILQ_FOREACH(o, &all->list, link)
	if (o->phase == SEND_LANE && strcmp(o->lane, lane) == 0) {
		if (lane_is_mine(o))
			lane_enter(o);
		return;
	}
}

/* One that is let in may free the lane at once: then it is the turn of the next, here and not deep
 * inside of that. */
void
send_lane_next(struct send *s)
{
	struct sender *all = s->a->sender;
	const char *outer = all->lane;
	char lane[sizeof(s->lane)];

	if (outer != NULL && strcmp(outer, s->lane) == 0) {
		all->lane_again = 1;
		return;
	}
	memcpy(lane, s->lane, sizeof(lane));
	all->lane = lane;
	do {
		all->lane_again = 0;
		lane_first(all, lane);
	} while (all->lane_again);
	all->lane = outer;
	all->lane_again = outer != NULL;
}

void
send_lane_renamed(struct account *a, const char *from, const char *to)
{
	struct send *o;

	TAILQ_FOREACH(o, &a->sender->list, link)
	if (strcmp(o->lane, from) == 0)
		(void)snprintf(o->lane, sizeof(o->lane), "%s", to);
}

static void
take_store_lists(struct send *s, const Stored__LookupReply *lists)
{
	const Stored__Peer *peer = lists->peers[0], *own = lists->peers[1];
	struct account *a = s->a;

	if (contacts_take_stale(a, &s->chat)) { /* everything of him anew */
		s->have_peer_list = 0;
		s->rebuild = s->rebuilds = 1;
	} else if (devices_from_store(peer->by_lid, &s->peer_list) == 0 ||
		   devices_from_store(peer->by_pn, &s->peer_list) == 0) {
		s->have_peer_list = 1;
	}
	if (devices_from_store(own->by_lid, &s->own_list) == 0 ||
	    devices_from_store(own->by_pn, &s->own_list) == 0)
		s->have_own_list = 1;
}

/* Now it is known how all are addressed: the content is encoded, once. */
static int
encode(struct send *s, const struct person *mentioned, size_t n)
{
	struct account *a = s->a;
	struct jid own =
	    jid_bare(jid_is_lid(&s->chat) && a->dev.has_lid ? &a->dev.lid : &a->dev.jid);
	struct intent_where w = {&s->chat, &own, mentioned, n};
	struct api_error e;
	uint8_t secret[32];

	if (s->intent == NULL) /* a row */
		return 0;
	for (size_t i = 0; i < n; i++)
		if (mentioned[i].id[0] == '\0') {
			e = api_error_make(-1, "not_found", 0, "no such person");
			e.path = "mentions";
			send_fail(s, &e, "not_found");
			return -1;
		}
	randombytes_buf(secret, sizeof(secret));
	s->content = intent_encode(s->intent, &w, secret, s->created_ms, &s->content_len);
	sodium_memzero(secret, sizeof(secret));
	if (s->content == NULL) {
		send_fail_store(s, "memory");
		return -1;
	}
	intent_free(s->intent);
	s->intent = NULL;
	return 0;
}

static void
people_known(const struct person *people, size_t n, const Stored__LookupReply *lists,
    const char *why, void *arg)
{
	struct send *s = arg;
	struct account *a = s->a;
	struct api_error e;
	const char *user;
	int lid;

	s->lookup = NULL;
	if (!s->found) /* it was asked for first, so this is not to be: it asks once more */
		return;
	if (why != NULL) {
		send_fail_store(s, why);
		return;
	}
	if (people[0].id[0] == '\0') {
		e = api_error_make(-1, "not_found", 0, "no such person");
		send_fail(s, &e, "not_found");
		return;
	}
	s->peer = people[0];
	memcpy(s->lane, s->peer.id, sizeof(s->lane));
	if (a->dev.has_lid)
		contacts_learn_pair(a, a->dev.jid.user, a->dev.lid.user, "pairing");
	if (contacts_cached(a, &a->dev.jid, &s->own) == -1)
		s->own = people[1];
	lid = s->peer.lid[0] != '\0' && (a->rec.lid_migrated || s->peer.pn[0] == '\0');
	user = lid ? s->peer.lid : s->peer.pn;
	if (jid_make(&s->chat, user, lid ? JID_LID : JID_PN, 0) == -1) {
		e = api_error_make(-1, "not_found", 0, "no such person");
		send_fail(s, &e, "not_found");
		return;
	}
	if (refuse_new(s) || encode(s, people + 2, n - 2) == -1)
		return;
	take_store_lists(s, lists);
	if (tctoken_is_for(a, &s->chat) && tctoken_of_lookup(&s->peer, lists, &s->token))
		s->asked_token = 1;
	lane_enter(s);
}

static void
ask_people(struct send *s)
{
	const char *names[2 + SEND_MENTIONS_MAX];
	char own[JID_TEXT_MAX];
	struct jid j = jid_bare(&s->a->dev.jid);
	size_t n = s->intent == NULL ? 0 : intent_mentions(s->intent, names + 2);

	names[0] = s->to;
	names[1] = jid_format(&j, own);
	s->lookup = contacts_ask(s->a, names, 2 + n, CONTACTS_TOKENS, people_known, s);
}

static void
send_people(struct send *s)
{
	flow_step(&s->f, "send_people");
	s->phase = SEND_RESOLVING;
	s->found = 1;
	if (s->lookup == NULL)
		ask_people(s);
}

int
send_row(struct account *a, const Stored__OutboxRow *row)
{
	const Stored__OutboxPut *p = row->put;
	struct send *s;

	if (p->content.len == 0 || (s = send_new(a)) == NULL)
		return -1;
	s->is_row = 1;
	s->row = row->row;
	s->not_after_ms = p->has_not_after_ms ? p->not_after_ms : 0;
	s->uid = p->uid;
	s->created_ms = p->created_ms;
	(void)snprintf(s->id, sizeof(s->id), "%s", p->message_id);
	(void)snprintf(s->key, sizeof(s->key), "%s", p->idempotency_key);
	(void)snprintf(s->to, sizeof(s->to), "%s", p->chat);
	(void)jid_parse(p->chat, &s->chat);
	if ((s->content = malloc(p->content.len)) == NULL)
		fatal("send_row");
	memcpy(s->content, p->content.data, p->content.len);
	s->content_len = p->content.len;
	send_people(s);
	return 0;
}
