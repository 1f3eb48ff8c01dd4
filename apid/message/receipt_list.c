/* message.receipts: who has, read or played a message of this account.
 *
 *	message_receipts -> list_found -> list_people -> list_people …
 */
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "apid/message/contacts.h"
#include "apid/message/outbox.h"
#include "apid/session/ask.h"
#include "apid/session/call.h"
#include "common/log.h"
#include "common/pb.h"
#include "ipc/frame.h"

#define LIST_MAX 1024u /* stored gives no more */

struct listing {
	struct flow f; /* first */
	struct account *a;
	struct call *call;
	struct ask *ask;
	struct contacts_request *lookup;
	json_t *result, *receipts;
	struct {
		char party[JID_TEXT_MAX], status[16];
		int64_t time_ms;
	} * marks;
	size_t n, at, batch;
};

static void
list_end(struct flow *f, const char *outcome, const char *text)
{
	struct listing *l = (struct listing *)f;

	if (outcome != NULL) {
		struct api_error e = api_error_store(outcome);

		call_fail(l->call, &e);
		json_decref(l->result);
	} else {
		call_ok(l->call, l->result);
	}
	ask_cancel(l->ask);
	contacts_cancel(l->lookup);
	free(l->marks);
	free(l);
}
static const struct flow_kind list_kind = {"receipts", list_end};

static void list_people(struct listing *l);

static void
list_known(const struct person *people, size_t n, const Stored__LookupReply *lists, const char *why,
    void *arg)
{
	struct listing *l = arg;

	l->lookup = NULL;
	if (why != NULL) {
		flow_end(&l->f, why, "the store did not answer");
		return;
	}
	for (size_t i = 0; i < n; i++)
		json_array_append_new(
		    l->receipts, json_pack("{s:o, s:s, s:I}", "party", contacts_party(&people[i]),
				     "status", l->marks[l->at + i].status, "time_ms",
				     (json_int_t)l->marks[l->at + i].time_ms));
	l->at += n;
	list_people(l);
}

static void
list_people(struct listing *l)
{
	const char *names[CONTACTS_ASK_MAX];
	size_t n = l->n - l->at < CONTACTS_ASK_MAX ? l->n - l->at : CONTACTS_ASK_MAX;

	if (n == 0) {
		flow_end(&l->f, NULL, NULL);
		return;
	}
	flow_step(&l->f, "list_people");
	for (size_t i = 0; i < n; i++)
		names[i] = l->marks[l->at + i].party;
	l->lookup = contacts_ask(l->a, names, n, 0, list_known, l);
}

static void
list_found(const struct reply *rp, void *arg)
{
	struct listing *l = arg;
	const Stored__OutboxRows *m = (const Stored__OutboxRows *)rp->pb;
	const Stored__OutboxRow *row = rp->ok && m->n_rows > 0 ? m->rows[0] : NULL;

	l->ask = NULL;
	if (row == NULL) {
		if (rp->ok)
			call_failf(
			    l->call, -1, "not_found", 0, "this service sent no such message");
		flow_end(&l->f, rp->ok ? "not_found" : rp->code, "nothing was found");
		return;
	}
	l->receipts = json_array();
	l->result = json_pack("{s:s, s:s, s:o}", "message_id", row->put->message_id, "status",
	    outbox_row_status(row), "receipts", l->receipts);
	l->n = row->n_receipts < LIST_MAX ? row->n_receipts : LIST_MAX;
	if ((l->marks = calloc(l->n + 1, sizeof(*l->marks))) == NULL)
		fatal("message_receipts");
	for (size_t i = 0; i < l->n; i++) {
		const Stored__ReceiptMark *r = row->receipts[i];

		(void)strncpy(l->marks[i].party, r->party, sizeof(l->marks[i].party) - 1);
		(void)strncpy(l->marks[i].status, r->status, sizeof(l->marks[i].status) - 1);
		l->marks[i].time_ms = r->time_ms;
	}
	list_people(l);
}

void
message_receipts(
    struct account *a, const void *client, const char *message_id, engine_done_fn *fn, void *arg)
{
	Stored__OutboxFind m = STORED__OUTBOX_FIND__INIT;
	struct call *c = call_new(a->svc, client, fn, arg);
	struct listing *l;

	if (!a->opened) {
		struct api_error e = api_error_closed(a);

		call_fail(c, &e);
		return;
	}
	if ((l = calloc(1, sizeof(*l))) == NULL)
		fatal("message_receipts");
	l->a = a;
	l->call = c;
	flow_init(&l->f, a->svc->flows, &list_kind, a->name, a, 0);
	flow_step(&l->f, "list_found");
	m.account = a->name;
	m.message_id = pb_str(message_id);
	m.has_receipts = m.receipts = 1;
	l->ask = ask_stored(a, STORED__TYPE__OUTBOX_FIND, &m.base, STORED__TYPE__OUTBOX_ROWS,
	    &stored__outbox_rows__descriptor, FRAME_PAYLOAD_MAX, ASK_DEADLINE_MS, list_found, l);
}
