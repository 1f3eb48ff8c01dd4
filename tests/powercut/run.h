/* The run: 200 units and what else happens to the databases meanwhile, step by step, always the
 * same. */
#ifndef WARD_POWERCUT_RUN_H
#define WARD_POWERCUT_RUN_H

#include "stored/backend.h"
#include "tests/powercut/writes.h"

#define RUN_STEPS  200
#define RUN_DIGEST 16

enum run_db {
	RUN_SERVICE,
	RUN_ACCOUNT,
	RUN_OLD, /* an account of the first schema, only migrated */
	RUN_DBS
};

/* A step is one transaction of one database, or none. */
struct run_step {
	enum {
		RUN_OPEN,
		RUN_CLOSE,
		RUN_KILL,      /* the process ends without a word */
		RUN_GROUP,     /* units first..last */
		RUN_LOG,       /* seqs are reserved up to `last` */
		RUN_CONSUMER,  /* a consumer has read up to `last` */
		RUN_TRIM,      /* events up to `last` go */
		RUN_EXPIRE,    /* what is as old as unit `last` goes */
		RUN_TIDY,      /* the log is written back */
		RUN_TIDY_SOME, /* a part of it */
		RUN_REKEY_BEGIN,
		RUN_REKEY, /* to its end */
		RUN_SNAPSHOT,
		RUN_HOLD, /* as for a backup, until it is read */
		RUN_HOLD_READ,
		RUN_RESTORED, /* it came from a backup */
		RUN_RESTORED_DONE
	} kind;
	enum run_db db;
	unsigned first, last;
	/* afterwards */
	struct moment moment;
	uint8_t digest[RUN_DBS][RUN_DIGEST]; /* of all that is stored; see run_rehearse */
};

extern struct run_step run_steps[RUN_STEPS];
extern size_t run_nsteps;

/* Lays out the steps. */
void run_plan(void);
/* An empty disk, but for the old account. */
void run_wipe(void);
/* Does all of them and notes the digests. Returns the first status that is not
 * STORE_OK. */
enum store_status run_rehearse(void);
/* Does one. What failed may be tried again. */
enum store_status run_step(size_t at);
/* For people: "units 12..17". */
const char *run_step_text(size_t at);

const char *run_db_text(enum run_db db);
struct store_db *run_db(enum run_db db); /* NULL: it is not open */
enum store_status run_open(enum run_db db);
void run_close(enum run_db db);
/* The process is no more; what it had open stays allocated. */
void run_abandon(void);
enum store_status run_digest(enum run_db db, uint8_t out[RUN_DIGEST]);

#endif
