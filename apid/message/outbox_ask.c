/* What clients ask of the outbox: how a message stands, what waits, and that one is not sent. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/outbox_impl.h"
#include "apid/message/refusal.h"
#include "apid/message/send.h"
#include "apid/session/call.h"
#include "apid/session/restrict.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"
#include "ipc/frame.h"

#define PAGE_REPLY_MAX (16u * 1024 * 1024)

struct asking {
	struct account *a;
	struct call *call;
	uint32_t uid;
	char chat[JID_TEXT_MAX]; /* of a list: only of this one; "" = all */
	uint64_t before;         /* rows of the list that were seen on earlier pages */
};

struct cancel { /* it must not be sent any more; its row is being written */
	TAILQ_ENTRY(cancel) link;
	char id[MESSAGE_ID_MAX + 1];
	struct call *call;
};

static struct asking *
asking_new(struct account *a, struct call *c, uint32_t uid)
{
	struct asking *k = calloc(1, sizeof(*k));

	if (k == NULL)
		fatal("outbox: asking");
	k->a = a;
	k->call = c;
	k->uid = uid;
	return k;
}

/* NULL: it was answered. */
static struct call *
call_of(struct account *a, const void *client, engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);
	struct api_error e;

	if (a->opened)
		return c;
	e = api_error_closed(a);
	call_fail(c, &e);
	return NULL;
}

static void
find(struct asking *k, const char *key, const char *message_id, channel_reply_fn *fn)
{
	Stored__OutboxFind m = STORED__OUTBOX_FIND__INIT;

	m.account = k->a->name;
	if (message_id != NULL) {
		m.message_id = pb_str(message_id);
	} else {
		m.has_uid = 1;
		m.uid = k->uid;
		m.idempotency_key = pb_str(key);
	}
	(void)ask_stored(k->a, STORED__TYPE__OUTBOX_FIND, &m.base, STORED__TYPE__OUTBOX_ROWS,
	    &stored__outbox_rows__descriptor, FRAME_PAYLOAD_MAX, ASK_DEADLINE_MS, fn, k);
}

/* The row that was asked for, if it is this client's. NULL: it was answered. */
static const Stored__OutboxRow *
own_row(struct asking *k, const struct reply *rp)
{
	const Stored__OutboxRows *m = (const Stored__OutboxRows *)rp->pb;

	if (!rp->ok) {
		struct api_error e = api_error_store(rp->code);

		call_fail(k->call, &e);
		return NULL;
	}
	if (m->n_rows == 0 || m->rows[0]->put->uid != k->uid) {
		call_failf(k->call, -1, "not_found", 0, "there is no such message of yours");
		return NULL;
	}
	return m->rows[0];
}

/* ------------------------------------------------------------------ where it stands */

void
outbox_tell_place(struct account *a, const char *id, const char *chat, uint64_t ahead, json_t *o)
{
	struct outbox *b = a->outbox;
	const char *why;
	int64_t ms = -1;

	if (b->pass == PASS_OFF)
		why = "connection";
	else if (outbox_sent_find(b, id) != NULL)
		why = "ack";
	else if ((why = outbox_held_why(b, id, &ms)) == NULL &&
		 ((send_has(a, id) && !send_is_queueing(a, id)) ||
		     (why = outbox_would_wait(b, chat, &ms)) == NULL))
		why = "turn";
	json_object_set_new(o, "position", json_integer((json_int_t)ahead + 1));
	json_object_set_new(o, "waits_for", json_string(why));
	if (ms >= 0)
		json_object_set_new(o, "retry_after_ms", json_integer(ms));
}

void
outbox_wait_hint(struct account *a, const char *id, struct api_error *e)
{
	int64_t ms;

	if (outbox_held_why(a->outbox, id, &ms) != NULL && ms >= 0)
		e->retry_after_ms = ms;
}

struct api_error
outbox_full_error(const struct account *a)
{
	struct outbox *o = a->outbox;
	struct api_error e = api_error_make(-5, "overloaded", 1, "the outbox is full");
	int64_t now = clock_mono_ms(), ms = 1000;

	if (o->nheld > 0) {
		e = api_error_make(
		    -5, "paced", 1, "the outbox is full of messages that wait their turn");
		ms = pace_account_ms(o->pace, now);
		if (o->pump_at > now && o->pump_at - now > ms)
			ms = o->pump_at - now;
	}
	e.retry_after_ms = ms < 1000 ? 1000 : ms;
	return e;
}

struct failing {
	struct call *call;
	unsigned code;
	char reason[64];
};

static void
fail_now(struct account *a, const char *message_id, int64_t until_ms, void *arg)
{
	struct failing *f = arg;
	struct api_error e = refusal_error(f->code, f->reason, until_ms);

	call_fail(f->call, &e);
	free(f);
}

void
outbox_fail_when_known(struct account *a, struct call *c, const Stored__OutboxRow *row)
{
	struct failing *f = calloc(1, sizeof(*f));

	if (f == NULL)
		fatal("outbox: failing");
	f->call = c;
	f->code = row->code;
	(void)snprintf(f->reason, sizeof(f->reason), "%s", row->reason != NULL ? row->reason : "");
	restrict_ask(a, row->put->message_id, fail_now, f);
}

/* {code, reason, message, retryable, …}: what a message.send with the same key is told. */
static json_t *
error_body(const struct api_error *e)
{
	json_t *o = json_pack("{s:i, s:s, s:s, s:b}", "code", e->code, "reason", e->reason,
	    "message", e->message, "retryable", e->retryable);

	if (e->retry_after_ms >= 0)
		json_object_set_new(o, "retry_after_ms", json_integer(e->retry_after_ms));
	if (e->until_ms >= 0)
		json_object_set_new(o, "until_ms", json_integer(e->until_ms));
	return o;
}

static json_t *
row_body(struct account *a, const Stored__OutboxRow *row)
{
	struct api_error e;
	json_t *o = outbox_result(row->put->message_id, outbox_row_status(row),
	    row->has_server_ms ? row->server_ms : row->put->created_ms, row->put->chat, 0);

	if (row->reason != NULL && row->reason[0] != '\0')
		json_object_set_new(o, "reason", json_string(row->reason));
	if (row->has_code && row->code != 0)
		json_object_set_new(o, "code", json_integer(row->code));
	if (row->has_until_ms && row->until_ms > 0)
		json_object_set_new(o, "until_ms", json_integer(row->until_ms));
	if (outbox_row_error(row, &e))
		json_object_set_new(o, "error", error_body(&e));
	if (row->has_ahead)
		outbox_tell_place(a, row->put->message_id, row->put->chat, row->ahead, o);
	return o;
}

static void
state_found(const struct reply *rp, void *arg)
{
	struct asking *k = arg;
	const Stored__OutboxRow *row = own_row(k, rp);

	if (row != NULL)
		call_ok(k->call, row_body(k->a, row));
	free(k);
}

void
message_state(struct account *a, const void *client, uint32_t uid, const char *key,
    const char *message_id, engine_done_fn *fn, void *arg)
{
	struct call *c = call_of(a, client, fn, arg);

	if (c != NULL)
		find(asking_new(a, c, uid), key, message_id, state_found);
}

/* ------------------------------------------------------------------ message.cancel */

int
outbox_is_cancelled(const struct outbox *o, const char *id)
{
	const struct cancel *k;

	TAILQ_FOREACH(k, &o->cancels, link)
	if (strcmp(k->id, id) == 0)
		return 1;
	return 0;
}

void
outbox_cancels_free(struct outbox *o)
{
	struct cancel *k, *next;

	for (k = TAILQ_FIRST(&o->cancels); k != NULL; k = next) {
		next = TAILQ_NEXT(k, link);
		free(k);
	}
	TAILQ_INIT(&o->cancels);
}

void
outbox_cancel_ends(struct account *a, const char *id, const char *why)
{
	struct outbox *o = a->outbox;
	struct cancel *k, *next;

	for (k = TAILQ_FIRST(&o->cancels); k != NULL; k = next) {
		next = TAILQ_NEXT(k, link);
		if (strcmp(k->id, id) != 0)
			continue;
		TAILQ_REMOVE(&o->cancels, k, link);
		if (why == NULL) {
			call_ok(k->call, json_pack("{s:s, s:b}", "message_id", id, "cancelled", 1));
		} else {
			struct api_error e = api_error_store(why);

			call_fail(k->call, &e);
		}
		free(k);
	}
}

/* Only while nothing is encrypted: afterwards it may be at the service. */
static void
cancel_found(const struct reply *rp, void *arg)
{
	struct asking *k = arg;
	const Stored__OutboxRow *row = own_row(k, rp);
	struct settle_how how = {.reason = "cancelled", .time_ms = clock_wall_ms()};
	struct outbox *o = k->a->outbox;
	struct cancel *c;

	if (row == NULL) {
		free(k);
		return;
	}
	if (row->put->state != STORED__OUTBOX_STATE__QUEUED ||
	    send_has(k->a, row->put->message_id)) {
		json_t *r = row_body(k->a, row);

		json_object_set_new(r, "cancelled", json_false());
		call_ok(k->call, r);
		free(k);
		return;
	}
	if ((c = calloc(1, sizeof(*c))) == NULL)
		fatal("message_cancel");
	(void)snprintf(c->id, sizeof(c->id), "%s", row->put->message_id);
	c->call = k->call;
	if (!outbox_is_cancelled(o, c->id)) {
		TAILQ_INSERT_TAIL(&o->cancels, c, link);
		outbox_unhold(o, c->id);
		outbox_settle(k->a, c->id, row->put->chat, &how);
	} else {
		TAILQ_INSERT_TAIL(&o->cancels, c, link);
	}
	free(k);
}

void
message_cancel(struct account *a, const void *client, uint32_t uid, const char *key,
    engine_done_fn *fn, void *arg)
{
	struct call *c = call_of(a, client, fn, arg);

	if (c != NULL)
		find(asking_new(a, c, uid), key, NULL, cancel_found);
}

/* ------------------------------------------------------------------ outbox.list */

static json_t *
list_row(struct account *a, const Stored__OutboxRow *row, uint64_t ahead)
{
	const Stored__OutboxPut *p = row->put;
	char chat_id[STABLE_ID_LEN + 1];
	struct person who;
	struct jid j;
	json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:I}", "message_id", p->message_id, "state",
	    p->state == STORED__OUTBOX_STATE__READY ? "ready" : "queued", "created_ms",
	    (json_int_t)p->created_ms, "uid", (json_int_t)p->uid, "bytes",
	    (json_int_t)p->content.len);

	if (jid_parse(p->chat, &j) == 0 && contacts_cached(a, &j, &who) == 0) {
		contacts_chat_id(&j, &who, chat_id);
		json_object_set_new(o, "chat", json_string(chat_id));
	} else {
		json_object_set_new(o, "chat", json_string(p->chat));
	}
	if (p->has_not_after_ms && p->not_after_ms > 0)
		json_object_set_new(o, "not_after_ms", json_integer(p->not_after_ms));
	outbox_tell_place(a, p->message_id, p->chat, ahead, o);
	return o;
}

static void
listed(const struct reply *rp, void *arg)
{
	struct asking *k = arg;
	const Stored__OutboxRows *m = (const Stored__OutboxRows *)rp->pb;
	json_t *rows = json_array(), *o, *row;
	char next[48];

	if (!rp->ok) {
		struct api_error e = api_error_store(rp->code);

		json_decref(rows);
		call_fail(k->call, &e);
		free(k);
		return;
	}
	for (size_t i = 0; i < m->n_rows; i++) {
		row = list_row(k->a, m->rows[i], k->before + i);
		if (k->chat[0] == '\0' || strcmp(k->chat, m->rows[i]->put->chat) == 0 ||
		    strcmp(k->chat, json_string_value(json_object_get(row, "chat"))) == 0)
			json_array_append_new(rows, row);
		else
			json_decref(row);
	}
	o = json_pack("{s:o, s:o, s:I, s:I}", "rows", rows, "holds",
	    outbox_stops_list(k->a->outbox), "depth", (json_int_t)outbox_depth(k->a), "oldest_ms",
	    (json_int_t)outbox_oldest_ms(k->a));
	if (m->n_rows > 0) {
		(void)snprintf(next, sizeof(next), "%llu.%llu",
		    (unsigned long long)m->rows[m->n_rows - 1]->row,
		    (unsigned long long)k->before + m->n_rows);
		json_object_set_new(o, "next", json_string(next));
	}
	call_ok(k->call, o);
	free(k);
}

/* "ROW.BEFORE", as listed made it. */
static int
parse_next(const char *text, uint64_t *row, uint64_t *before)
{
	char *end;

	if (text[strspn(text, "0123456789.")] != '\0' || text[0] == '\0' || text[0] == '.')
		return -1;
	errno = 0;
	*row = strtoull(text, &end, 10);
	if (errno != 0 || end[0] != '.' || end[1] == '\0' || end[1] == '.')
		return -1;
	*before = strtoull(end + 1, &end, 10);
	return errno != 0 || *end != '\0' || *row > INT64_MAX || *before > INT64_MAX ? -1 : 0;
}

void
outbox_list(struct account *a, const void *client, const char *chat, const char *after,
    unsigned limit, engine_done_fn *fn, void *arg)
{
	struct call *c = call_of(a, client, fn, arg);
	Stored__OutboxLoad m = STORED__OUTBOX_LOAD__INIT;
	uint64_t row = 0, before = 0;
	struct asking *k;

	if (c == NULL)
		return;
	if (after != NULL && parse_next(after, &row, &before) == -1) {
		struct api_error e =
		    api_error_make(-32602, "params", 0, "is not a next of this method");

		e.path = "after";
		call_fail(c, &e);
		return;
	}
	k = asking_new(a, c, 0);
	k->before = before;
	(void)snprintf(k->chat, sizeof(k->chat), "%s", chat != NULL ? chat : "");
	m.account = a->name;
	m.after_row = row;
	m.limit = limit;
	(void)ask_stored(a, STORED__TYPE__OUTBOX_LOAD, &m.base, STORED__TYPE__OUTBOX_ROWS,
	    &stored__outbox_rows__descriptor, PAGE_REPLY_MAX, ASK_DEADLINE_MS, listed, k);
}
