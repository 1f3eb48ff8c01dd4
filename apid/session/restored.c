/* An account that came out of a backup: what is done once, before anything else may be done for it.
 *
 *	restored_begin -> staged -> commit -> written
 */
#include "apid/session/restored.h"

#include <stdlib.h>

#include "apid/session/ask.h"
#include "apid/session/state.h"
#include "apid/session/unit.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"

struct restoring {
	struct account *a;
	struct unit *unit;
	struct ask *ask; /* the unit is not committed while there is one */
	void (*fn)(struct account *a, const char *why);
};

static void
end(struct restoring *r, const char *why)
{
	struct account *a = r->a;
	void (*fn)(struct account *, const char *) = r->fn;

	a->restoring = NULL;
	free(r);
	fn(a, why);
}

static void
written(const struct unit_result *u, void *arg)
{
	struct restoring *r = arg;
	struct account *a = r->a;

	if (!u->ok) {
		end(r, u->reason);
		return;
	}
	a->restored = 0;
	a->rec.server_has_prekeys = 0;
	if (a->dev.linked) {
		a->rec.paused = 1;
		log_warnx(
		    "account %s: it comes from a backup and stays stopped until somebody resumes "
		    "it: two copies of one account must not both go on",
		    a->name);
	}
	end(r, NULL);
}

static void
commit(struct restoring *r)
{
	struct account *a = r->a;
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;
	int64_t now = clock_wall_ms();

	rec.has_server_has_prekeys = 1;
	if (a->dev.linked) {
		rec.has_paused = rec.paused = 1;
		rec.state = pb_str(state_name(ACCOUNT_STOPPED));
		rec.state_reason = pb_str(RESTORED_REASON);
		rec.has_state_since_ms = 1;
		rec.state_since_ms = now;
		state_restore(a, ACCOUNT_STOPPED, RESTORED_REASON, now, 0);
		unit_event(r->unit, "account.state", "live", now, state_body(a), NULL);
	}
	unit_device(r->unit, &rec);
	unit_restored_done(r->unit);
	unit_commit(r->unit, written, r);
}

static void
staged(const struct reply *rp, void *arg)
{
	struct restoring *r = arg;

	r->ask = NULL;
	if (!rp->ok) {
		unit_abort(r->unit);
		end(r, rp->code);
		return;
	}
	unit_staged(r->unit, ((const Keyd__Staged *)rp->pb)->stages);
	commit(r);
}

void
restored_begin(struct account *a, void (*fn)(struct account *a, const char *why))
{
	struct restoring *r = calloc(1, sizeof(*r));
	Keyd__Restored m = KEYD__RESTORED__INIT;

	if (r == NULL || (r->unit = unit_open(a)) == NULL) {
		free(r);
		fn(a, "memory");
		return;
	}
	r->a = a;
	r->fn = fn;
	a->restoring = r;
	if (!a->dev.exists) { /* never linked: there are no prekeys either */
		commit(r);
		return;
	}
	m.account = a->name;
	m.unit = unit_id(r->unit);
	r->ask = ask_keyd(a, KEYD__TYPE__RESTORED, &m.base, KEYD__TYPE__STAGED,
	    &keyd__staged__descriptor, 64, ASK_DEADLINE_MS, staged, r);
}

void
restored_free(struct account *a)
{
	struct restoring *r = a->restoring;

	if (r == NULL)
		return;
	a->restoring = NULL;
	if (r->ask != NULL) {
		ask_cancel(r->ask);
		unit_abort(r->unit);
	} else {
		unit_detach(r->unit);
	}
	free(r);
}
