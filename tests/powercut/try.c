/* One try, in a child: the power is cut or the disk fails, and what is there then is looked at. */
#include "tests/powercut/try.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/powercut/run.h"

#define GO_ON 2 /* steps after a fault */

struct cuts cuts;

/* ---------------------------------------------------------------- findings of a child */

static void __attribute__((noreturn, format(printf, 1, 2))) wrong(const char *form, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, form);
	vsnprintf(text, sizeof(text), form, ap);
	va_end(ap);
	if (!cuts.quiet)
		fprintf(stderr,
		    "%s at point %u (%s), in step %zu (%s)%s: %s\n"
		    "again: WARD_CUT_SEED=%llu WARD_CUT_ONLY=%s:%u:%u %s\n",
		    cuts.kind->word, cuts.point, cuts.where, cuts.step, run_step_text(cuts.step),
		    cuts.lasting ? ", lasting" : "", text, (unsigned long long)cuts.seed,
		    cuts.kind->word, cuts.point, cuts.way, program_invocation_name);
	_exit(TRY_WRONG);
}

static unsigned
dice(unsigned n)
{
	return (unsigned)(disk_random(&cuts.random) % n);
}

/* One of the units says something else than it should. All of them are looked at. */
static void
tell_units(const struct moment *m, const char *first)
{
	unsigned u, lost = 0, partial = 0, last = 0;
	const char *what = "";
	struct tally y;

	for (u = 1; u <= 2 * WRITES_UNITS; u++) {
		writes_look(run_db(RUN_ACCOUNT), u, m, &y);
		if (y.missing + y.wrong == 0)
			continue;
		if (u <= m->unit && y.right == 0 && y.wrong == 0)
			lost++;
		else
			partial++;
		last = u;
		what = y.what;
	}
	__atomic_add_fetch(&cuts.found->lost, lost, __ATOMIC_RELAXED);
	__atomic_add_fetch(&cuts.found->partial, partial, __ATOMIC_RELAXED);
	wrong("%s; of %u units %u are lost and %u there in part, the last %u (%s)", first, m->unit,
	    lost, partial, last, what);
}

static void
look_at(unsigned u, const struct moment *m)
{
	struct tally y;

	writes_look(run_db(RUN_ACCOUNT), u, m, &y);
	if (y.missing + y.wrong > 0)
		tell_units(m, "a unit is not as it should be");
}

/* ---------------------------------------------------------------- after the fault */

/* The old account is looked at where it is what it is about, and now and then. */
static int
databases(void)
{
	if (cuts.old == 0)
		cuts.old = run_steps[cuts.step].db == RUN_OLD || dice(16) == 0 ? RUN_DBS : RUN_OLD;
	return cuts.old;
}

/* Its databases stand as after step `a` or after step `b`; returns which of them the account's. */
static size_t
stands_at(size_t a, size_t b, const char *when)
{
	uint8_t d[RUN_DIGEST];
	size_t at = a;
	char text[120];
	int db;

	for (db = databases(); db-- > 0;) {
		enum store_status st;

		if (run_db((enum run_db)db) == NULL)
			continue; /* the run has it closed */
		st = run_digest((enum run_db)db, d);
		if (st != STORE_OK)
			wrong("%s: cannot be read: %s", when, store_status_word(st));
		if (memcmp(d, run_steps[a].digest[db], RUN_DIGEST) == 0)
			continue;
		if (memcmp(d, run_steps[b].digest[db], RUN_DIGEST) == 0) {
			at = db == RUN_ACCOUNT ? b : at;
			continue;
		}
		snprintf(text, sizeof(text), "%s: the %s's is in no state of the run", when,
		    run_db_text((enum run_db)db));
		tell_units(&run_steps[a].moment, text);
	}
	return at;
}

/* No seq was given away that a restart would give again. */
static void
look_at_log(void)
{
	struct store_log_state log;
	uint64_t last = 0;

	if (store_sqlcipher.log_load(run_db(RUN_SERVICE), &log) != STORE_OK ||
	    store_sqlcipher.event_last(run_db(RUN_ACCOUNT), &last) != STORE_OK)
		wrong("the log cannot be read");
	if (last > log.seq_reserved)
		wrong("event %llu is there, and only %llu were reserved", (unsigned long long)last,
		    (unsigned long long)log.seq_reserved);
}

static void
open_again(const char *when)
{
	int db;

	run_abandon();
	for (db = 0; db < databases(); db++) {
		enum store_status st = run_open((enum run_db)db);

		if (st == STORE_OK)
			continue;
		__atomic_add_fetch(
		    &cuts.found->lost, run_steps[cuts.step].moment.unit, __ATOMIC_RELAXED);
		wrong("%s: %s does not open: %s", when, run_db_text((enum run_db)db),
		    store_status_word(st));
	}
}

/* A further unit. */
static void
write_more(const struct moment *m)
{
	const struct store_backend *b = &store_sqlcipher;
	struct store_db *db = run_db(RUN_ACCOUNT);
	struct moment after = *m;
	enum store_status st;

	if ((st = b->begin(db)) != STORE_OK || (st = b->mark(db)) != STORE_OK ||
	    (st = writes_apply(db, ++after.unit)) != STORE_OK ||
	    (st = b->mark_keep(db)) != STORE_OK || (st = b->commit(db)) != STORE_OK)
		wrong("a further unit cannot be written: %s", store_status_word(st));
	switch (dice(6)) {
	case 0:
		run_close(RUN_ACCOUNT);
		run_close(RUN_SERVICE);
		open_again("one more unit, then a stop");
		break;
	case 1:
		disk_cut(DISK_CUT_NOTHING, 0);
		open_again("one more unit, then another power cut");
		break;
	case 2:
		disk_cut(DISK_CUT_ANY, disk_random(&cuts.random));
		open_again("one more unit, then another power cut that left some");
		break;
	default:
		break;
	}
	look_at(after.unit, &after);
	look_at(1 + dice(after.unit), &after);
}

/* Whoever had it open is gone; now it must stand as after step a or step b. */
static void __attribute__((noreturn)) verify(size_t a, size_t b, const char *when)
{
	const struct moment *m;
	unsigned u;

	disk_set_hook(NULL);
	open_again(when);
	a = stands_at(a, b, when);
	m = &run_steps[a].moment;
	look_at_log();
	for (u = run_steps[b].first; run_steps[b].kind == RUN_GROUP && u <= run_steps[b].last; u++)
		look_at(u, m);
	for (u = 0; u < 3 && m->unit > 0; u++)
		look_at(1 + dice(m->unit), m);
	write_more(m);
	_exit(0);
}

/* ---------------------------------------------------------------- a child: the power is cut */

void
try_cut(void)
{
	static const char *const words[] = {"nothing of it left", "all of it left",
	    "the first of it", "the last of it", "any of it"};
	enum disk_choice how = dice(2) == 0 ? DISK_CUT_ANY : (enum disk_choice)dice(DISK_CHOICES);
	char when[80];

	if (cuts.lies)
		how = DISK_CUT_NOTHING;
	snprintf(when, sizeof(when), "power cut, %s", words[how]);
	disk_cut(how, disk_random(&cuts.random));
	verify(cuts.step > 0 ? cuts.step - 1 : 0, cuts.step, when);
}

/* ---------------------------------------------------------------- a child: the disk fails */

int
try_fault(enum disk_op op, size_t len, size_t *part)
{
	if (cuts.mended || (cuts.met && !cuts.lasting))
		return 0;
	cuts.met = 1;
	if (op == DISK_WRITE && dice(2) == 0)
		*part = dice((unsigned)len);
	return cuts.kind->error;
}

/* How a step failed: for the reason that the disk gave. The end of a rekey has to close the
 * database, which tells no reason, and may not get it open again. */
static void
look_at_status(enum store_status st)
{
	int closing = run_steps[cuts.step].kind == RUN_REKEY;

	if (st == STORE_UNKNOWN && cuts.lasting)
		__atomic_add_fetch(&cuts.found->unknown, 1, __ATOMIC_RELAXED);
	else if (st != cuts.kind->means && !(closing && (st == STORE_IO || st == STORE_CORRUPT)))
		wrong("the step ended with %s", store_status_word(st));
}

static void __attribute__((noreturn)) end_somehow(size_t a, size_t b)
{
	switch (dice(4)) {
	case 0:
		run_close(RUN_ACCOUNT);
		run_close(RUN_SERVICE);
		verify(a, b, "fault, then a stop");
		break;
	case 1:
		disk_kill();
		verify(a, b, "fault, then a kill");
		break;
	case 2:
		disk_cut(DISK_CUT_NOTHING, 0);
		verify(a, b, "fault, then a power cut");
		break;
	default:
		disk_cut(DISK_CUT_ANY, disk_random(&cuts.random));
		verify(a, b, "fault, then a power cut that left some");
	}
}

static void
go_on_step(size_t step)
{
	enum store_status st = run_step(step);

	if (st != STORE_OK)
		wrong("step %zu (%s) after it ended with %s", step, run_step_text(step),
		    store_status_word(st));
}

/* The step that met the fault has ended. */
void
try_after(enum store_status st)
{
	size_t before = cuts.step > 0 ? cuts.step - 1 : 0, to = cuts.step + GO_ON, i;
	int unknown = st == STORE_UNKNOWN;

	if (st != STORE_OK) {
		look_at_status(st);
		__atomic_add_fetch(&cuts.found->refused, 1, __ATOMIC_RELAXED);
	}
	for (i = 0; cuts.lasting && st != STORE_OK && i < 2; i++) {
		if ((st = run_step(cuts.step)) == STORE_OK)
			wrong("it was written all the same");
		look_at_status(st);
		unknown |= st == STORE_UNKNOWN;
	}
	/* nothing of it is seen in this run */
	if (st != STORE_OK && run_steps[cuts.step].kind == RUN_GROUP && dice(2) == 0)
		(void)stands_at(before, before, "after a step that failed");
	if (cuts.lasting && dice(3) == 0) { /* it never comes back */
		disk_kill();
		verify(st == STORE_OK ? cuts.step : before, unknown ? cuts.step : before,
		    "a fault that stayed, then a kill");
	}
	cuts.mended = 1;
	if (st != STORE_OK)
		go_on_step(cuts.step);
	if (to >= run_nsteps)
		to = run_nsteps - 1;
	for (i = cuts.step + 1; i <= to; i++)
		go_on_step(i);
	end_somehow(to, to);
}
