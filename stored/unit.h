/* Units of work: opened by apid, joined by keyd, committed once by apid. Here they wait, in order,
 * until they can be applied (stored/apply.c). */
#ifndef WARD_STORED_UNIT_H
#define WARD_STORED_UNIT_H

#include "stored/store.h"

#define UNITS_MAX       4096                       /* open at once, of all accounts */
#define UNITS_EARLY_MAX 256                        /* of an account, staged but not opened */
#define UNITS_BYTES_MAX ((size_t)64 * 1024 * 1024) /* of all units that wait */
#define UNIT_BYTES_MAX  ((size_t)16 * 1024 * 1024) /* of one */
#define UNIT_OPEN_MS    30000                      /* an open unit is given up after this */
#define UNIT_STAGE_MS   5000 /* a committed one waits so long for its STAGE frames */

struct unit {
	TAILQ_ENTRY(unit) link;
	uint64_t id;
	int opened;              /* has its place in the order */
	int joined;              /* keyd staged into it, and is told how it ends */
	const char *broken;      /* it cannot be applied: the reason for its commit */
	struct message **stages; /* held */
	size_t nstages, stages_cap;
	struct message *commit; /* held; NULL = not committed yet */
	size_t bytes;
	int64_t since_ms; /* opened, or first staged; then committed */
	/* the outcome, while its group is applied */
	enum store_status st;
	uint64_t *seqs; /* one for each event */
	size_t nseqs;
	int expires; /* it has a TokenExpire, which took so many */
	uint64_t expired;
};

/* Frames of the peers. 0, or -1: the peer broke the contract (logged). */
int unit_open(struct store *s, const Stored__UnitOpen *m);
int unit_stage(struct store *s, struct message *m);
int unit_commit(struct store *s, struct message *m);
int unit_abort(struct store *s, const Stored__UnitAbort *m);

/* The first in the order can be finished now. */
int unit_ready(const struct unit *u);
/* Answer apid and keyd, forget the unit. reason NULL = committed. */
void unit_finish(struct store *s, struct store_account *a, struct unit *u, const char *reason);
/* Give up those whose time is over. */
void units_expire(struct store *s);
/* The account is gone, or the service stops: none of its units happens. */
void units_fail(struct store *s, struct store_account *a, const char *reason);
Stored__UnitCommit *unit_writes(const struct unit *u);

#endif
