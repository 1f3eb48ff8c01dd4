/* What apid may ask of stored. */
#include <stdlib.h>

#include "common/log.h"
#include "stored/consumer.h"
#include "stored/dispatch.h"
#include "stored/eventlog.h"
#include "stored/region.h"
#include "stored/stats.h"
#include "stored/task.h"
#include "stored/unit.h"

#define KIB 1024u
#define MIB ((size_t)1024 * 1024)

#define READ_MAX   1000 /* events or rows of one answer */
#define READ_BYTES MIB  /* and their bytes, about */

/* ---------------------------------------------------------------- units */

static int
unit_open_row(struct message *m, void *owner)
{
	return unit_open(owner, (const Stored__UnitOpen *)m->pb);
}

static int
unit_commit_row(struct message *m, void *owner)
{
	return unit_commit(owner, m);
}

static int
unit_abort_row(struct message *m, void *owner)
{
	return unit_abort(owner, (const Stored__UnitAbort *)m->pb);
}

/* ---------------------------------------------------------------- pieces of a read */

/* The service's database is there; else it was answered with *ret. */
static int
service_usable(struct store *s, struct message *m, int *ret)
{
	if (!s->unlocked)
		*ret = channel_reply_error(m->channel, m->id, "locked", "the store has no key yet");
	else if (s->service == NULL)
		*ret = channel_reply_error(
		    m->channel, m->id, "account_failed", "%s", s->service_opened.text);
	else
		return 1;
	return 0;
}

/* ---------------------------------------------------------------- reads of an account */

static int
device_load(struct message *m, void *owner)
{
	struct store *s = owner;
	const Stored__DeviceLoad *rq = (const Stored__DeviceLoad *)m->pb;
	Stored__DeviceRecord *rec = NULL;
	enum store_status st = STORE_NO_MEMORY;
	struct store_account *a;
	struct region *r;
	int ret;

	if ((a = dispatch_account(s, rq->account, m, &ret)) == NULL)
		return ret;
	if ((r = region_new(MIB)) != NULL)
		st = s->backend->device_load(a->db, r, &rec);
	return dispatch_answer(
	    s, a, m, st, STORED__TYPE__DEVICE_RECORD, rec != NULL ? &rec->base : NULL, r);
}

static int
outbox_load(struct message *m, void *owner)
{
	struct store *s = owner;
	const Stored__OutboxLoad *rq = (const Stored__OutboxLoad *)m->pb;
	Stored__OutboxRows out = STORED__OUTBOX_ROWS__INIT;
	enum store_status st = STORE_NO_MEMORY;
	struct store_account *a;
	struct region *r;
	int ret;

	if ((a = dispatch_account(s, rq->account, m, &ret)) == NULL)
		return ret;
	if (rq->limit < 1 || rq->limit > READ_MAX)
		return dispatch_refuse(m, "limit is out of range");
	if ((r = region_new(16 * MIB)) != NULL)
		st = s->backend->outbox_load(
		    a->db, rq->after_row, rq->limit, READ_BYTES, r, &out.rows, &out.n_rows);
	return dispatch_answer(s, a, m, st, STORED__TYPE__OUTBOX_ROWS, &out.base, r);
}

static int
outbox_find(struct message *m, void *owner)
{
	struct store *s = owner;
	const Stored__OutboxFind *rq = (const Stored__OutboxFind *)m->pb;
	Stored__OutboxRows out = STORED__OUTBOX_ROWS__INIT;
	Stored__OutboxRow *row = NULL;
	enum store_status st = STORE_NO_MEMORY;
	struct store_account *a;
	struct region *r;
	int ret;

	if ((a = dispatch_account(s, rq->account, m, &ret)) == NULL)
		return ret;
	if (rq->message_id == NULL && (!rq->has_uid || rq->idempotency_key == NULL))
		return dispatch_refuse(m, "neither message id nor uid and key");
	if ((r = region_new(16 * MIB)) != NULL)
		st = s->backend->outbox_find(
		    a->db, rq->uid, rq->idempotency_key, rq->message_id, r, &row);
	if (st == STORE_OK && row != NULL && rq->has_receipts && rq->receipts)
		st = s->backend->outbox_receipts(
		    a->db, row->row, r, &row->receipts, &row->n_receipts);
	out.rows = &row;
	out.n_rows = row != NULL;
	return dispatch_answer(s, a, m, st, STORED__TYPE__OUTBOX_ROWS, &out.base, r);
}

static int
outbox_count(struct message *m, void *owner)
{
	struct store *s = owner;
	const Stored__OutboxCount *rq = (const Stored__OutboxCount *)m->pb;
	Stored__OutboxCounts out = STORED__OUTBOX_COUNTS__INIT;
	enum store_status st = STORE_NO_MEMORY;
	struct store_account *a;
	struct region *r;
	int ret;

	if ((a = dispatch_account(s, rq->account, m, &ret)) == NULL)
		return ret;
	if ((r = region_new(16 * MIB)) != NULL)
		st = s->backend->outbox_count(a->db, rq->since_ms, r, &out);
	return dispatch_answer(s, a, m, st, STORED__TYPE__OUTBOX_COUNTS, &out.base, r);
}

static int
quarantine(struct message *m, void *owner)
{
	struct store *s = owner;
	const Stored__Quarantine *rq = (const Stored__Quarantine *)m->pb;
	Stored__QuarantineState out = STORED__QUARANTINE_STATE__INIT;
	struct store_account *a;
	enum store_status st;
	int ret;

	if ((a = dispatch_account(s, rq->account, m, &ret)) == NULL)
		return ret;
	st = s->backend->quarantine_count(a->db, rq->below, &out.records, &out.contacts);
	return dispatch_answer(s, a, m, st, STORED__TYPE__QUARANTINE_STATE, &out.base, NULL);
}

/* ---------------------------------------------------------------- the event log */

/* The accounts that a read asks for. 0, or -1: it was answered with *ret. */
static int
chosen(struct store *s, const Stored__EventsRead *rq, struct message *m,
    struct store_account **list, size_t *n, int *ret)
{
	struct store_account *a;
	size_t i, k;

	*n = 0;
	if (rq->n_accounts > ACCOUNTS_MAX) {
		*ret = dispatch_refuse(m, "too many accounts");
		return -1;
	}
	for (i = 0; rq->n_accounts == 0 && i < s->naccounts; i++)
		list[(*n)++] = &s->accounts[i];
	for (i = 0; i < rq->n_accounts; i++) {
		if ((a = store_account(s, rq->accounts[i])) == NULL) {
			*ret = channel_reply_error(
			    m->channel, m->id, "unknown_account", "no such account");
			return -1;
		}
		for (k = 0; k < *n && list[k] != a; k++)
			continue;
		if (k == *n) /* one that is named twice is read once */
			list[(*n)++] = a;
	}
	return 0;
}

static int
events_read(struct message *m, void *owner)
{
	struct store *s = owner;
	const Stored__EventsRead *rq = (const Stored__EventsRead *)m->pb;
	struct store_account *list[ACCOUNTS_MAX], *failed = NULL;
	Stored__Events out = STORED__EVENTS__INIT;
	enum store_status st = STORE_NO_MEMORY;
	struct region *r;
	size_t n;
	int ret;

	if (!service_usable(s, m, &ret) || chosen(s, rq, m, list, &n, &ret) == -1)
		return ret;
	if (rq->limit < 1 || rq->limit > READ_MAX || rq->max_bytes < 1 ||
	    rq->max_bytes > READ_BYTES)
		return dispatch_refuse(m, "limit or max_bytes is out of range");
	if ((r = region_new(4 * MIB)) != NULL)
		st = eventlog_read(s, list, n, rq, r, &out, &failed);
	if (st != STORE_OK && failed == NULL) /* not a database's fault */
		st = STORE_NO_MEMORY;
	return dispatch_answer(s, failed, m, st, STORED__TYPE__EVENTS, &out.base, r);
}

static int
consumer_row(struct message *m, void *owner)
{
	int ret;

	return service_usable(owner, m, &ret) ? consumer_change(owner, m) : ret;
}

static int
consumer_list_row(struct message *m, void *owner)
{
	int ret;

	return service_usable(owner, m, &ret) ? consumer_list(owner, m) : ret;
}

/* What records there are, not what is in them: keyd's alone. */
static int
record_names(struct message *m, void *owner)
{
	const Stored__RecordsList *rq = (const Stored__RecordsList *)m->pb;

	return rq->has_sealed && rq->sealed ? dispatch_refuse(m, "sealed records are keyd's")
					    : dispatch_records_list(m, owner);
}

/* ---------------------------------------------------------------- the table */

static const struct channel_row rows[] = {
    {STORED__TYPE__UNIT_OPEN, "UNIT_OPEN", 5, 64, CHANNEL_ALL_STATES, 0,
	&stored__unit_open__descriptor, unit_open_row},
    {STORED__TYPE__UNIT_COMMIT, "UNIT_COMMIT", 7, 8192 * KIB, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__unit_commit__descriptor, unit_commit_row},
    {STORED__TYPE__UNIT_ABORT, "UNIT_ABORT", 5, 64, CHANNEL_ALL_STATES, 0,
	&stored__unit_abort__descriptor, unit_abort_row},
    {STORED__TYPE__DEVICE_LOAD, "DEVICE_LOAD", 3, 64, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__device_load__descriptor, device_load},
    {STORED__TYPE__LOOKUP, "LOOKUP", 3, 1024 * KIB, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__lookup__descriptor, dispatch_lookup},
    {STORED__TYPE__SCAN, "SCAN", 7, KIB, CHANNEL_ALL_STATES, ROW_REQUEST, &stored__scan__descriptor,
	dispatch_scan},
    {STORED__TYPE__RECORDS_LIST, "RECORDS_LIST", 3, KIB, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__records_list__descriptor, record_names},
    {STORED__TYPE__OUTBOX_LOAD, "OUTBOX_LOAD", 7, 64, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__outbox_load__descriptor, outbox_load},
    {STORED__TYPE__OUTBOX_FIND, "OUTBOX_FIND", 3, 512, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__outbox_find__descriptor, outbox_find},
    {STORED__TYPE__OUTBOX_COUNT, "OUTBOX_COUNT", 5, 64, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__outbox_count__descriptor, outbox_count},
    {STORED__TYPE__QUARANTINE, "QUARANTINE", 5, 64, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__quarantine__descriptor, quarantine},
    {STORED__TYPE__EVENTS_READ, "EVENTS_READ", 6, 4 * KIB, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__events_read__descriptor, events_read},
    {STORED__TYPE__CONSUMER_OPEN, "CONSUMER_OPEN", 6, 256, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__consumer_open__descriptor, consumer_row},
    {STORED__TYPE__CONSUMER_ACK, "CONSUMER_ACK", 6, 256, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__consumer_ack__descriptor, consumer_row},
    {STORED__TYPE__CONSUMER_LIST, "CONSUMER_LIST", 0, 16, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__consumer_list__descriptor, consumer_list_row},
    {STORED__TYPE__CONSUMER_DELETE, "CONSUMER_DELETE", 4, 256, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__consumer_delete__descriptor, consumer_row},
    {STORED__TYPE__STATS, "STATS", 0, 2, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__stats_get__descriptor, stats_row},
    {STORED__TYPE__BACKUP, "BACKUP", 0, 0, CHANNEL_ALL_STATES, ROW_REQUEST | ROW_FD,
	&stored__backup__descriptor, task_backup_row},
    {STORED__TYPE__SNAPSHOT, "SNAPSHOT", 2, 512, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__snapshot__descriptor, task_snapshot_row},
    {STORED__TYPE__CHECK, "CHECK", 0, 0, CHANNEL_ALL_STATES, ROW_REQUEST,
	&stored__check__descriptor, task_check_row},
    {STORED__TYPE__TASK_CANCEL, "TASK_CANCEL", 2, 16, CHANNEL_ALL_STATES, 0,
	&stored__task_cancel__descriptor, task_cancel_row},
};

int
dispatch_apid_attach(struct store *s, int fd)
{
	s->apid = dispatch_channel(s, fd, "stored: apid", rows, sizeof(rows) / sizeof(rows[0]));
	return s->apid == NULL ? -1 : 0;
}
