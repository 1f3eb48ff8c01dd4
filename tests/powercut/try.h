/* One try: what a child does when the power is cut or the disk fails at a point of the run. */
#ifndef WARD_POWERCUT_TRY_H
#define WARD_POWERCUT_TRY_H

#include <stddef.h>
#include <stdint.h>

#include "stored/backend.h"
#include "tests/powercut/disk.h"

#define TRY_WRONG 41 /* a child's exit status: something is not as it should be, and told */

struct kind {
	const char *word;
	int error; /* 0 = the power is cut */
	enum store_status means;
};
/* What all children found. */
struct totals {
	unsigned points, tries;
	unsigned partial, lost; /* units */
	unsigned bad;           /* tries after which something was not as it should be */
	unsigned refused;       /* tries in which a step failed */
	unsigned unknown;       /* and in which it was left open whether it did */
};

extern struct cuts {
	const struct kind *kind;
	struct totals *found; /* shared with the children */
	uint64_t seed;
	unsigned ways, every, only_point, only_way;
	int quiet; /* what is wrong is expected, and only counted */
	int lies;  /* a disk that lies: all that was not synced goes with the power */
	/* this pass */
	unsigned point;
	size_t step;
	unsigned running, jobs;
	/* a child: what it tries */
	int child, met, lasting, mended, old;
	unsigned way;
	uint64_t random;
	char where[96];
} cuts;

/* The power goes; does not return. */
void try_cut(void) __attribute__((noreturn));
/* Of the operation that is under way: 0, or the errno with which it fails (see disk_hook). */
int try_fault(enum disk_op op, size_t len, size_t *part);
/* The step in which the fault was met has ended with st: the run goes on, ends somehow, and what
 * is there is looked at. Does not return. */
void try_after(enum store_status st) __attribute__((noreturn));

#endif
