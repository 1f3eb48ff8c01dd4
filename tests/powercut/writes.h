/* What the units of the run write, and how it is told whether it is there. */
#ifndef WARD_POWERCUT_WRITES_H
#define WARD_POWERCUT_WRITES_H

#include <stdint.h>

#include "stored/backend.h"

#define WRITES_UNITS 200
#define WRITES_RESET 130 /* this unit forgets the device and what hangs on it */

/* How far the run has come, as far as it can be told from what is stored. */
struct moment {
	unsigned unit;     /* the last one */
	unsigned restored; /* it was restored from a backup after this unit */
	unsigned trimmed;  /* retention took the events up to this unit's */
	unsigned expired;  /* and what is too old, up to this unit's */
};

/* The time at which a unit is written, in ms. */
int64_t writes_time(unsigned unit);
/* Unit by unit from 1 on, in a transaction. A store_status that is not STORE_OK ends it. */
enum store_status writes_apply(struct store_db *db, unsigned unit);
/* A unit whose rows are written and which then contradicts one before it: STORE_DUPLICATE. */
enum store_status writes_contradict(struct store_db *db, unsigned unit);

/* Of all rows that tell of a unit: how many are as they have to be, and how many are not. */
struct tally {
	unsigned right;   /* there, with what was written */
	unsigned missing; /* not there, but should be */
	unsigned wrong;   /* there, but should not, or with something else in it */
	const char *what; /* the last one that is missing or wrong */
};
void writes_look(struct store_db *db, unsigned unit, const struct moment *m, struct tally *t);

#endif
