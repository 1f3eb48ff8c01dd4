/* What is kept of a login so that the next one needs a round trip less.
 *
 *	resume_keep -> staged -> written
 */
#include "apid/session/resume.h"

#include <stdlib.h>

#include "apid/session/ask.h"
#include "apid/session/unit.h"
#include "common/log.h"

#define REPLY_MAX 64u

struct resume {
	struct account *a;
	struct ask *ask;   /* of keyd; the unit is open while there is one */
	struct unit *unit; /* open, or being committed */
};

struct resume *
resume_new(struct account *a)
{
	struct resume *r = calloc(1, sizeof(*r));

	if (r == NULL)
		fatal("resume_new");
	r->a = a;
	return r;
}

static void
drop(struct resume *r)
{
	if (r->ask != NULL)
		unit_abort(r->unit);
	else
		unit_detach(r->unit);
	ask_cancel(r->ask);
	r->ask = NULL;
	r->unit = NULL;
}

void
resume_free(struct resume *r)
{
	if (r == NULL)
		return;
	drop(r);
	free(r);
}

static void
written(const struct unit_result *u, void *arg)
{
	struct resume *r = arg;

	r->unit = NULL;
	if (!u->ok) /* the next login is a full one again */
		log_info(
		    "account %s: the server's chain could not be kept: %s", r->a->name, u->reason);
}

static void
staged(const struct reply *rp, void *arg)
{
	struct resume *r = arg;
	uint32_t stages = rp->ok ? ((const Keyd__Staged *)rp->pb)->stages : 0;

	r->ask = NULL;
	if (stages == 0) { /* the server is known as it is */
		if (!rp->ok)
			log_info("account %s: the server's chain could not be kept: %s", r->a->name,
			    rp->code);
		unit_abort(r->unit);
		r->unit = NULL;
		return;
	}
	unit_staged(r->unit, stages);
	unit_commit(r->unit, written, r);
}

void
resume_keep(struct account *a)
{
	struct resume *r = a->resume;
	Keyd__NoiseKeep m = KEYD__NOISE_KEEP__INIT;

	drop(r); /* of an earlier connection */
	if (a->conn == 0 || (r->unit = unit_open(a)) == NULL)
		return;
	m.account = a->name;
	m.unit = unit_id(r->unit);
	m.conn = a->conn;
	r->ask = ask_keyd(a, KEYD__TYPE__NOISE_KEEP, &m.base, KEYD__TYPE__STAGED,
	    &keyd__staged__descriptor, REPLY_MAX, ASK_DEADLINE_MS, staged, r);
}
