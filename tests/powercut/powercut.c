/* The power is cut, or the disk fails, at every operation of a run in turn: 0 units in part, 0 that
 * were answered and are lost.
 *
 *   WARD_CUT_SEED=n    other choices of what a cut leaves
 *   WARD_CUT_WAYS=n    so many choices at each point (1)
 *   WARD_CUT_POINTS=n  only each n-th point
 *   WARD_CUT_ONLY=kind             cut, ENOSPC, EIO or EROFS alone
 *   WARD_CUT_ONLY=kind:point:way   one try, as a failure prints it
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "common/log.h"
#include "stored/sqlcipher/vfs.h"
#include "tests/powercut/disk.h"
#include "tests/powercut/run.h"
#include "tests/unit/slow.h"

#define JOBS_MAX 16
#define GO_ON    2 /* steps after a fault */

struct kind {
	const char *word;
	int error; /* 0 = the power is cut */
	enum store_status means;
};
static const struct kind kinds[] = {
    {"cut", 0, STORE_OK},
    {"ENOSPC", ENOSPC, STORE_FULL},
    {"EIO", EIO, STORE_IO},
    {"EROFS", EROFS, STORE_READ_ONLY},
};

/* What all children found. */
struct totals {
	unsigned points, tries;
	unsigned partial, lost; /* units */
	unsigned bad;           /* tries with any fault, also others */
	unsigned refused;       /* tries in which a step failed */
	unsigned unknown;       /* and in which it was left open whether it did */
};

static struct {
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
} t;

/* ---------------------------------------------------------------- findings of a child */

static void __attribute__((format(printf, 1, 2))) wrong(const char *form, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, form);
	vsnprintf(text, sizeof(text), form, ap);
	va_end(ap);
	if (!t.quiet)
		fprintf(stderr,
		    "%s at point %u (%s), in step %zu (%s)%s: %s\n"
		    "again: WARD_CUT_SEED=%llu WARD_CUT_ONLY=%s:%u:%u %s\n",
		    t.kind->word, t.point, t.where, t.step, run_step_text(t.step),
		    t.lasting ? ", lasting" : "", text, (unsigned long long)t.seed, t.kind->word,
		    t.point, t.way, program_invocation_name);
	__atomic_add_fetch(&t.found->bad, 1, __ATOMIC_RELAXED);
	_exit(1);
}

static unsigned
dice(unsigned n)
{
	return (unsigned)(disk_random(&t.random) % n);
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
	__atomic_add_fetch(&t.found->lost, lost, __ATOMIC_RELAXED);
	__atomic_add_fetch(&t.found->partial, partial, __ATOMIC_RELAXED);
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
	if (t.old == 0)
		t.old = run_steps[t.step].db == RUN_OLD || dice(16) == 0 ? RUN_DBS : RUN_OLD;
	return t.old;
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
		__atomic_add_fetch(&t.found->lost, run_steps[t.step].moment.unit, __ATOMIC_RELAXED);
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
		disk_cut(DISK_CUT_ANY, disk_random(&t.random));
		open_again("one more unit, then another power cut that left some");
		break;
	default:
		break;
	}
	look_at(after.unit, &after);
	look_at(1 + dice(after.unit), &after);
}

/* Whoever had it open is gone; now it must stand as after step a or step b. */
static void
verify(size_t a, size_t b, const char *when)
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

static void
cut(void)
{
	static const char *const words[] = {"nothing of it left", "all of it left",
	    "the first of it", "the last of it", "any of it"};
	enum disk_choice how = dice(2) == 0 ? DISK_CUT_ANY : (enum disk_choice)dice(DISK_CHOICES);
	char when[80];

	if (t.lies)
		how = DISK_CUT_NOTHING;
	snprintf(when, sizeof(when), "power cut, %s", words[how]);
	disk_cut(how, disk_random(&t.random));
	verify(t.step > 0 ? t.step - 1 : 0, t.step, when);
}

/* ---------------------------------------------------------------- a child: the disk fails */

static int
fault_at(enum disk_op op, size_t len, size_t *part)
{
	if (t.mended || (t.met && !t.lasting))
		return 0;
	t.met = 1;
	if (op == DISK_WRITE && dice(2) == 0)
		*part = dice((unsigned)len);
	return t.kind->error;
}

/* How a step failed: for the reason that the disk gave. The end of a rekey has to close the
 * database, which tells no reason, and may not get it open again. */
static void
look_at_status(enum store_status st)
{
	int closing = run_steps[t.step].kind == RUN_REKEY;

	if (st == STORE_UNKNOWN && t.lasting)
		__atomic_add_fetch(&t.found->unknown, 1, __ATOMIC_RELAXED);
	else if (st != t.kind->means && !(closing && (st == STORE_IO || st == STORE_CORRUPT)))
		wrong("the step ended with %s", store_status_word(st));
}

static void
end_somehow(size_t a, size_t b)
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
		disk_cut(DISK_CUT_ANY, disk_random(&t.random));
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
static void
after_fault(enum store_status st)
{
	size_t before = t.step > 0 ? t.step - 1 : 0, to = t.step + GO_ON, i;
	int unknown = st == STORE_UNKNOWN;

	if (st != STORE_OK) {
		look_at_status(st);
		__atomic_add_fetch(&t.found->refused, 1, __ATOMIC_RELAXED);
	}
	for (i = 0; t.lasting && st != STORE_OK && i < 2; i++) {
		if ((st = run_step(t.step)) == STORE_OK)
			wrong("it was written all the same");
		look_at_status(st);
		unknown |= st == STORE_UNKNOWN;
	}
	/* nothing of it is seen in this run */
	if (st != STORE_OK && run_steps[t.step].kind == RUN_GROUP && dice(2) == 0)
		(void)stands_at(before, before, "after a step that failed");
	if (t.lasting && dice(3) == 0) { /* it never comes back */
		disk_kill();
		verify(st == STORE_OK ? t.step : before, unknown ? t.step : before,
		    "a fault that stayed, then a kill");
	}
	t.mended = 1;
	if (st != STORE_OK)
		go_on_step(t.step);
	if (to >= run_nsteps)
		to = run_nsteps - 1;
	for (i = t.step + 1; i <= to; i++)
		go_on_step(i);
	end_somehow(to, to);
}

/* ---------------------------------------------------------------- all points */

static void
reap(int block)
{
	int status;

	while (t.running > 0 && waitpid(-1, &status, block ? 0 : WNOHANG) > 0) {
		t.running--;
		block = 0;
		if (WIFSIGNALED(status)) {
			fprintf(stderr, "%s: a try before point %u died of signal %d\n",
			    t.kind->word, t.point, WTERMSIG(status));
			t.found->bad++;
		}
	}
}

/* Returns 1 in the child. */
static int
spawn(unsigned way)
{
	static const int deadly[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS};
	uint64_t s[4] = {t.seed, (uint64_t)(t.kind - kinds), t.point, way};
	pid_t pid;
	size_t i;

	while (t.running >= t.jobs)
		reap(1);
	fflush(NULL);
	if ((pid = fork()) == -1) {
		perror("fork");
		exit(1);
	}
	if (pid != 0) {
		t.running++;
		t.found->tries++;
		return 0;
	}
	for (i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
		signal(deadly[i], SIG_DFL); /* it is for the parent to tell cmocka */
	alarm(60 * test_slow());
	t.child = 1;
	t.way = way;
	t.random = 0;
	for (i = 0; i < 4; i++)
		t.random = disk_random(&t.random) ^ s[i];
	disk_seed(disk_random(&t.random));
	t.lasting = t.kind->error != 0 && dice(2) == 0;
	return 1;
}

static int
at_point(void *arg, enum disk_op op, const char *name, size_t len, size_t *part)
{
	unsigned way;

	(void)arg;
	if (t.child)
		return fault_at(op, len, part);
	t.point++;
	if (t.only_point != 0 ? t.point != t.only_point : t.point % t.every != 0)
		return 0;
	t.found->points++;
	reap(0);
	for (way = 0; way < t.ways; way++) {
		if ((t.only_point != 0 && way != t.only_way) || !spawn(way))
			continue;
		snprintf(t.where, sizeof(t.where), "%s %s", disk_op_word(op), name);
		if (t.kind->error == 0)
			cut();
		return fault_at(op, len, part);
	}
	return 0;
}

/* The whole run; children leave it at its points. */
static void
every_point(const struct kind *k)
{
	static const struct disk_hook hook = {at_point, NULL};
	enum store_status st = STORE_OK;

	t.kind = k;
	t.point = 0;
	memset(t.found, 0, sizeof(*t.found));
	run_wipe();
	disk_set_hook(&hook);
	for (t.step = 0; st == STORE_OK && t.step < run_nsteps; t.step++) {
		st = run_step(t.step);
		if (t.child)
			after_fault(st);
	}
	disk_set_hook(NULL);
	while (t.running > 0)
		reap(1);
	assert_int_equal(st, STORE_OK);
}

/* ---------------------------------------------------------------- tests */

static int
left_out(const struct kind *k)
{
	const char *only = getenv("WARD_CUT_ONLY");

	return only != NULL && strncmp(only, k->word, strcspn(only, ":")) != 0;
}

/* Of the children since it was asked last. */
static double
cpu_used(void)
{
	static double before;
	double now, used;
	struct rusage u;

	getrusage(RUSAGE_CHILDREN, &u);
	now = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	      (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
	used = now - before;
	before = now;
	return used;
}

static void
expect_whole(const struct kind *k, const char *what)
{
	if (left_out(k))
		skip();
	every_point(k);
	print_message("%s: %u points, %u tries, %u partial units, %u lost units", what,
	    t.found->points, t.found->tries, t.found->partial, t.found->lost);
	if (k->error != 0)
		print_message(
		    "; refused in %u, left open in %u", t.found->refused, t.found->unknown);
	print_message(" (seed %llu, %.1f s of CPU)\n", (unsigned long long)t.seed, cpu_used());
	assert_int_equal(t.found->bad, 0);
	if (t.only_point == 0)
		assert_true(t.found->points * t.every > 1000);
}

static void
test_power_cut(void **state)
{
	(void)state;
	expect_whole(&kinds[0], "power cuts");
}

static void
test_disk_full(void **state)
{
	(void)state;
	expect_whole(&kinds[1], "ENOSPC");
}

static void
test_io_error(void **state)
{
	(void)state;
	expect_whole(&kinds[2], "EIO");
}

static void
test_read_only(void **state)
{
	(void)state;
	expect_whole(&kinds[3], "EROFS");
}

/* The test can fail: a disk that lies of its syncs loses units, and that is seen. */
static void
lie(int files, int folder, const char *what)
{
	unsigned every = t.every;

	if (getenv("WARD_CUT_ONLY") != NULL)
		skip();
	t.quiet = t.lies = 1;
	if (t.every < 40)
		t.every = 40;
	disk_lie(files, folder);
	every_point(&kinds[0]);
	disk_lie(0, 0);
	t.quiet = t.lies = 0;
	t.every = every;
	print_message("a disk that lies of %s: found out at %u of %u points, %u lost units\n", what,
	    t.found->bad, t.found->points, t.found->lost);
	assert_true(t.found->lost > 0);
	assert_true(t.found->bad > t.found->points / 4);
}

static void
test_lies_of_files(void **state)
{
	(void)state;
	lie(1, 0, "the sync of files");
}

static void
test_lies_of_the_folder(void **state)
{
	(void)state;
	lie(0, 1, "the sync of the folder");
}

/* ---------------------------------------------------------------- */

/* The names of logs are drawn at random; here each is the same. */
static void
all_alike(void *buf, size_t n)
{
	memset(buf, 0x5a, n);
}

static const char *
random_name(void)
{
	return "constant";
}

static uint32_t
random_word(void)
{
	return 0x5a5a5a5a;
}

static unsigned
number(const char *name, unsigned fallback)
{
	const char *v = getenv(name);
	unsigned long n = v != NULL ? strtoul(v, NULL, 10) : 0;

	return n == 0 || n > 1000000 ? fallback : (unsigned)n;
}

static int
setup(void **state)
{
	static struct randombytes_implementation alike = {
	    .implementation_name = random_name, .random = random_word, .buf = all_alike};
	const char *only = getenv("WARD_CUT_ONLY");
	char *end;

	(void)state;
	t.seed = number("WARD_CUT_SEED", 20240229);
	t.ways = number("WARD_CUT_WAYS", 1);
	t.every = number("WARD_CUT_POINTS", test_slow() >= 10 ? 397 : test_slow() > 1 ? 23 : 1);
	t.jobs = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	t.jobs = t.jobs < 1 ? 1 : t.jobs > JOBS_MAX ? JOBS_MAX : t.jobs;
	if (only != NULL && (only = strchr(only, ':')) != NULL) {
		t.only_point = (unsigned)strtoul(only + 1, &end, 10);
		t.only_way = *end == ':' ? (unsigned)strtoul(end + 1, NULL, 10) : 0;
		t.ways = t.only_way + 1;
	}
	t.found =
	    mmap(NULL, sizeof(*t.found), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (t.found == MAP_FAILED || randombytes_set_implementation(&alike) != 0 ||
	    sodium_init() == -1)
		return -1;
	log_set_level(LOG_LV_ERR);
	log_open(
	    "stored", getenv("TEST_LOG") != NULL ? 2 : open("/dev/null", O_WRONLY | O_CLOEXEC));
	/* children live for some milliseconds: what they take from the kernel costs more than
	 * memory */
	mallopt(M_TOP_PAD, 4 << 20);
	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	mallopt(M_TRIM_THRESHOLD, 64 << 20);
	if (store_sqlcipher.start() == -1 || vfs_set_below(disk_below()) == -1)
		return -1;
	run_plan();
	return run_rehearse() == STORE_OK ? 0 : -1;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_power_cut),
	    cmocka_unit_test(test_disk_full),
	    cmocka_unit_test(test_io_error),
	    cmocka_unit_test(test_read_only),
	    cmocka_unit_test(test_lies_of_files),
	    cmocka_unit_test(test_lies_of_the_folder),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
