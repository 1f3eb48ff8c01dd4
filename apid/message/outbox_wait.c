/* Who waits for what becomes of a message, and how it is told to them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "apid/message/ids.h"
#include "apid/message/outbox.h"
#include "apid/session/ask.h"
#include "common/log.h"
#include "common/pb.h"
#include "ipc/frame.h"

struct waiter {
	TAILQ_ENTRY(waiter) link;
	struct waits *w;
	struct call *call;
	char id[MESSAGE_ID_MAX + 1], to[JID_TEXT_MAX];
	enum send_wait want;
	int duplicate;
	struct event *timer;
};

struct waits {
	struct account *a;
	TAILQ_HEAD(waiter_list, waiter) list;
};

struct waits *
waits_new(struct account *a)
{
	struct waits *w = calloc(1, sizeof(*w));

	if (w == NULL)
		fatal("waits_new");
	w->a = a;
	TAILQ_INIT(&w->list);
	return w;
}

static void
waiter_drop(struct waiter *w)
{
	TAILQ_REMOVE(&w->w->list, w, link);
	if (w->timer != NULL)
		event_free(w->timer);
	free(w);
}

void
waits_free(struct waits *w)
{
	if (w == NULL)
		return;
	while (!TAILQ_EMPTY(&w->list))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		waiter_drop(TAILQ_FIRST(&w->list));
	free(w);
}

const char *
outbox_reason(unsigned code)
{
	static const struct {
		unsigned code;
		const char *word;
	} words[] = {{400, "malformed"}, {404, "unknown_recipient"}, {405, "refused"},
	    {406, "unknown_recipient"}, {421, "stale_addressing"}, {463, "reachout_timelock"},
	    {473, "refused"}, {475, "new_chats_capped"}, {479, "schema"}};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i].code == code)
			return words[i].word;
	return "refused";
}

struct api_error
outbox_refused(unsigned code, const char *reason)
{
	if (code == 463)
		return api_error_make(-12, "reachout_timelock", 0,
		    "the service does not let the account write to new people now");
	if (code == 475)
		return api_error_make(
		    -12, "new_chats_capped", 0, "the quota of new chats is used up");
	if (reason != NULL && strcmp(reason, "unlinked") == 0)
		return api_error_make(-7, "unlinked", 0, "the device was unlinked meanwhile");
	if (reason != NULL && strcmp(reason, "not_on_whatsapp") == 0)
		return api_error_make(-1, "not_on_whatsapp", 0, "the recipient is not known");
	if (reason != NULL && strcmp(reason, "expired") == 0)
		return api_error_make(-1, "window_closed", 0, "it was not sent in time");
	return api_error_make(-1, "refused", 0, "the service refused the message");
}

json_t *
outbox_result(
    const char *message_id, const char *status, int64_t time_ms, const char *to, int duplicate)
{
	return json_pack("{s:s, s:s, s:I, s:s, s:b}", "message_id", message_id, "status", status,
	    "time_ms", (json_int_t)time_ms, "to", to, "duplicate", duplicate);
}

const char *
outbox_row_status(const Stored__OutboxRow *row)
{
	switch (row->put->state) {
	case STORED__OUTBOX_STATE__ACKED:
		return row->has_read && row->read > 0             ? "read"
		       : row->has_delivered && row->delivered > 0 ? "delivered"
								  : "server";
	case STORED__OUTBOX_STATE__FAILED:
		return "failed";
	default:
		return "queued";
	}
}

static int
reached(const char *status, enum send_wait want)
{
	if (want == SEND_WAIT_QUEUED)
		return 1;
	if (strcmp(status, "queued") == 0 || strcmp(status, "retrying") == 0)
		return 0;
	return want == SEND_WAIT_SERVER || strcmp(status, "server") != 0;
}

static void
waited_long(evutil_socket_t fd, short what, void *arg)
{
	struct waiter *w = arg;

	call_failf(w->call, -11, "outcome_unknown", 1,
	    "it is in the outbox; the wanted status did not come in time");
	waiter_drop(w);
}

void
outbox_wait(struct account *a, struct call *c, const char *message_id, const char *to,
    enum send_wait want, const char *have, int64_t time_ms, int duplicate, unsigned timeout_ms)
{
	struct waiter *w;
	struct timeval tv = {timeout_ms / 1000, (suseconds_t)(timeout_ms % 1000) * 1000};

	if (c == NULL)
		return;
	if (reached(have, want)) {
		call_ok(c, outbox_result(message_id, have, time_ms, to, duplicate));
		return;
	}
	if ((w = calloc(1, sizeof(*w))) == NULL ||
	    (w->timer = evtimer_new(a->svc->base, waited_long, w)) == NULL)
		fatal("outbox_wait");
	w->w = a->waits;
	w->call = c;
	w->want = want;
	w->duplicate = duplicate;
	(void)snprintf(w->id, sizeof(w->id), "%s", message_id);
	(void)snprintf(w->to, sizeof(w->to), "%s", to);
	TAILQ_INSERT_TAIL(&a->waits->list, w, link);
	evtimer_add(w->timer, &tv);
}

void
outbox_status(struct account *a, const char *message_id, const char *status, int64_t time_ms,
    unsigned code, const char *reason)
{
	struct waiter *w, *next;

	for (w = TAILQ_FIRST(&a->waits->list); w != NULL; w = next) {
		next = TAILQ_NEXT(w, link);
		if (strcmp(w->id, message_id) != 0)
			continue;
		if (strcmp(status, "failed") == 0) {
			struct api_error e = outbox_refused(code, reason);

			call_fail(w->call, &e);
		} else if (reached(status, w->want)) {
			call_ok(w->call,
			    outbox_result(message_id, status, time_ms, w->to, w->duplicate));
		} else {
			continue;
		}
		waiter_drop(w);
	}
}

void
outbox_state_changed(struct account *a)
{
	struct waits *o = a->waits;

	while (!TAILQ_EMPTY(&o->list)) {
		struct waiter *w = TAILQ_FIRST(&o->list);

		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		call_failf(w->call, -11, "outcome_unknown", 1,
		    "it is in the outbox; the account is not connected any more");
		waiter_drop(w);
	}
}

/* ------------------------------------------------------------------ message.state */

struct asking {
	struct account *a;
	struct call *call;
};

static void
state_found(const struct reply *rp, void *arg)
{
	struct asking *k = arg;
	const Stored__OutboxRows *m = (const Stored__OutboxRows *)rp->pb;

	if (!rp->ok) {
		struct api_error e = api_error_store(rp->code);

		call_fail(k->call, &e);
	} else if (m->n_rows == 0) {
		call_failf(k->call, -1, "not_found", 0, "no message of yours has that key");
	} else {
		const Stored__OutboxRow *row = m->rows[0];
		json_t *o = outbox_result(row->put->message_id, outbox_row_status(row),
		    row->has_server_ms ? row->server_ms : row->put->created_ms, row->put->chat, 0);

		if (row->reason != NULL && row->reason[0] != '\0')
			json_object_set_new(o, "reason", json_string(row->reason));
		if (row->has_code && row->code != 0)
			json_object_set_new(o, "code", json_integer(row->code));
		call_ok(k->call, o);
	}
	free(k);
}

void
message_state(struct account *a, const void *client, uint32_t uid, const char *key,
    engine_done_fn *fn, void *arg)
{
	Stored__OutboxFind m = STORED__OUTBOX_FIND__INIT;
	struct call *c = call_new(a->svc, client, fn, arg);
	struct asking *k;

	if (!a->opened) {
		struct api_error e = api_error_closed(a);

		call_fail(c, &e);
		return;
	}
	if ((k = calloc(1, sizeof(*k))) == NULL)
		fatal("message_state");
	k->a = a;
	k->call = c;
	m.account = a->name;
	m.has_uid = 1;
	m.uid = uid;
	m.idempotency_key = pb_str(key);
	(void)ask_stored(a, STORED__TYPE__OUTBOX_FIND, &m.base, STORED__TYPE__OUTBOX_ROWS,
	    &stored__outbox_rows__descriptor, FRAME_PAYLOAD_MAX, ASK_DEADLINE_MS, state_found, k);
}
