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
#include "tests/powercut/try.h"
#include "tests/unit/slow.h"

#define JOBS_MAX 16

static const struct kind kinds[] = {
    {"cut", 0, STORE_OK},
    {"ENOSPC", ENOSPC, STORE_FULL},
    {"EIO", EIO, STORE_IO},
    {"EROFS", EROFS, STORE_READ_ONLY},
};

/* ---------------------------------------------------------------- all points */

static void
reap(int block)
{
	int status;

	while (cuts.running > 0 && waitpid(-1, &status, block ? 0 : WNOHANG) > 0) {
		cuts.running--;
		block = 0;
		cuts.found->bad += status != 0;
		if (status != 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == TRY_WRONG))
			fprintf(stderr, "%s: a try before point %u ended with status %#x\n",
			    cuts.kind->word, cuts.point, (unsigned)status);
	}
}

/* Returns 1 in the child. */
static int
spawn(unsigned way)
{
	static const int deadly[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS};
	uint64_t s[4] = {cuts.seed, (uint64_t)(cuts.kind - kinds), cuts.point, way};
	pid_t pid;
	size_t i;

	while (cuts.running >= cuts.jobs)
		reap(1);
	fflush(NULL);
	if ((pid = fork()) == -1) {
		perror("fork");
		exit(1);
	}
	if (pid != 0) {
		cuts.running++;
		cuts.found->tries++;
		return 0;
	}
	for (i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
		signal(deadly[i], SIG_DFL); /* it is for the parent to tell cmocka */
	alarm(60 * test_slow());
	cuts.child = 1;
	cuts.way = way;
	cuts.random = 0;
	for (i = 0; i < 4; i++)
		cuts.random = disk_random(&cuts.random) ^ s[i];
	disk_seed(disk_random(&cuts.random));
	cuts.lasting = cuts.kind->error != 0 && disk_random(&cuts.random) % 2 == 0;
	return 1;
}

static int
at_point(void *arg, enum disk_op op, const char *name, size_t len, size_t *part)
{
	/* operations on names are few, and what may be left of several is much */
	unsigned ways = cuts.kind->error == 0 && op != DISK_WRITE && op != DISK_SYNC ? 8 : 1, way;

	(void)arg;
	if (cuts.child)
		return try_fault(op, len, part);
	cuts.point++;
	if (cuts.only_point != 0 ? cuts.point != cuts.only_point : cuts.point % cuts.every != 0)
		return 0;
	cuts.found->points++;
	reap(0);
	for (way = 0; way < ways * cuts.ways; way++) {
		if ((cuts.only_point != 0 && way != cuts.only_way) || !spawn(way))
			continue;
		snprintf(cuts.where, sizeof(cuts.where), "%s %s", disk_op_word(op), name);
		if (cuts.kind->error == 0)
			try_cut();
		return try_fault(op, len, part);
	}
	return 0;
}

/* The whole run; children leave it at its points. */
static void
every_point(const struct kind *k)
{
	static const struct disk_hook hook = {at_point, NULL};
	enum store_status st = STORE_OK;

	cuts.kind = k;
	cuts.point = 0;
	memset(cuts.found, 0, sizeof(*cuts.found));
	run_wipe();
	disk_set_hook(&hook);
	for (cuts.step = 0; st == STORE_OK && cuts.step < run_nsteps; cuts.step++) {
		st = run_step(cuts.step);
		if (cuts.child)
			try_after(st);
	}
	disk_set_hook(NULL);
	while (cuts.running > 0)
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
	print_message("result: %s: %u points, %u tries, %u partial units, %u lost units", what,
	    cuts.found->points, cuts.found->tries, cuts.found->partial, cuts.found->lost);
	if (k->error != 0)
		print_message(
		    "; refused in %u, left open in %u", cuts.found->refused, cuts.found->unknown);
	print_message(" (seed %llu, %.1f s of CPU)\n", (unsigned long long)cuts.seed, cpu_used());
	assert_int_equal(cuts.found->bad, 0);
	if (cuts.only_point == 0)
		assert_true(cuts.found->points * cuts.every > 1000);
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
	unsigned every = cuts.every;

	if (getenv("WARD_CUT_ONLY") != NULL)
		skip();
	cuts.quiet = cuts.lies = 1;
	if (cuts.every < 40)
		cuts.every = 40;
	disk_lie(files, folder);
	every_point(&kinds[0]);
	disk_lie(0, 0);
	cuts.quiet = cuts.lies = 0;
	cuts.every = every;
	print_message(
	    "result: a disk that lies of %s: found out in %u of %u tries, %u lost units\n", what,
	    cuts.found->bad, cuts.found->tries, cuts.found->lost);
	assert_true(cuts.found->lost > 0);
	assert_true(cuts.found->bad > cuts.found->points / 4);
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
	cuts.seed = number("WARD_CUT_SEED", 20240229);
	cuts.ways = number("WARD_CUT_WAYS", 1);
	cuts.every = number("WARD_CUT_POINTS", test_slow() >= 10 ? 397 : test_slow() > 1 ? 23 : 1);
	cuts.jobs = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	cuts.jobs = cuts.jobs < 1 ? 1 : cuts.jobs > JOBS_MAX ? JOBS_MAX : cuts.jobs;
	if (only != NULL && (only = strchr(only, ':')) != NULL) {
		cuts.only_point = (unsigned)strtoul(only + 1, &end, 10);
		cuts.only_way = *end == ':' ? (unsigned)strtoul(end + 1, NULL, 10) : 0;
		cuts.ways = cuts.only_way + 1;
	}
	cuts.found = mmap(
	    NULL, sizeof(*cuts.found), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (cuts.found == MAP_FAILED || randombytes_set_implementation(&alike) != 0 ||
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
