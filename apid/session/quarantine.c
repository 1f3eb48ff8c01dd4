/* What is kept of former devices and accounts: said to an operator, and ended when he says so.
 *
 *	account_quarantine -> counted
 *	account_quarantine_purge -> purge_some -> some_purged (again, until all is gone)
 */
#include <stdlib.h>

#include "apid/session/call.h"
#include "apid/session/ask.h"
#include "apid/session/unit.h"
#include "common/log.h"

#define PURGE_MAX 1000u /* rows of one unit: others wait behind it */

struct quarantine {
	struct account *a;
	struct call *call;
	uint64_t purged;
};

static struct quarantine *
begin(struct account *a, struct call *c)
{
	struct api_error e = api_error_closed(a);
	struct quarantine *q;

	if (!a->opened) {
		call_fail(c, &e);
		return NULL;
	}
	if ((q = calloc(1, sizeof(*q))) == NULL) {
		call_failf(c, -2, "internal", 1, "out of memory");
		return NULL;
	}
	q->a = a;
	q->call = c;
	return q;
}

static void
counted(const struct reply *rp, void *arg)
{
	struct quarantine *q = arg;
	const Stored__QuarantineState *m = (const Stored__QuarantineState *)rp->pb;

	if (rp->ok) {
		call_ok(q->call,
		    json_pack("{s:I, s:I, s:I}", "generation", (json_int_t)q->a->dev.generation,
			"records", (json_int_t)m->records, "contacts", (json_int_t)m->contacts));
	} else {
		struct api_error e = api_error_store(rp->code);

		call_fail(q->call, &e);
	}
	free(q);
}

void
account_quarantine(struct account *a, const void *client, engine_done_fn *fn, void *arg)
{
	struct quarantine *q = begin(a, call_new(a->svc, client, fn, arg));
	Stored__Quarantine m = STORED__QUARANTINE__INIT;

	if (q == NULL)
		return;
	m.account = a->name;
	m.below = a->dev.generation;
	(void)channel_request(a->svc->stored, STORED__TYPE__QUARANTINE, &m.base,
	    STORED__TYPE__QUARANTINE_STATE, &stored__quarantine_state__descriptor, 64,
	    ASK_DEADLINE_MS, counted, q);
}

static void purge_some(struct quarantine *q);

static void
some_purged(const struct unit_result *r, void *arg)
{
	struct quarantine *q = arg;

	q->purged += r->ok ? r->expired : 0;
	if (r->ok && r->expired >= PURGE_MAX && !q->a->svc->stopping) {
		purge_some(q);
		return;
	}
	if (r->ok) {
		log_notice("account %s: %llu records and contacts of former devices were purged",
		    q->a->name, (unsigned long long)q->purged);
		call_ok(q->call, json_pack("{s:I}", "purged", (json_int_t)q->purged));
	} else {
		struct api_error e = api_error_store(r->reason);

		call_fail(q->call, &e);
	}
	free(q);
}

static void
purge_some(struct quarantine *q)
{
	struct unit *u = unit_open(q->a);

	if (u == NULL) {
		call_failf(q->call, -2, "internal", 1, "out of memory");
		free(q);
		return;
	}
	unit_quarantine_purge(u, q->a->dev.generation, PURGE_MAX);
	unit_commit(u, some_purged, q);
}

void
account_quarantine_purge(struct account *a, const void *client, engine_done_fn *fn, void *arg)
{
	struct quarantine *q = begin(a, call_new(a->svc, client, fn, arg));

	if (q != NULL)
		purge_some(q);
}
