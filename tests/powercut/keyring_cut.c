/* The power is cut, or the disk fails, at every operation of writes of the keyring header, which is
 * kept by plain files: what was answered as written is read again, or what came after it.
 *
 * The calls of stored/keyring.c to the system come here instead (the linker's --wrap), and go to
 * the disk in memory. */
#include <sys/mman.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "stored/keyring.h"
#include "tests/powercut/disk.h"
#include "tests/unit/slow.h"

#define FD_FIRST 5000 /* ours are above */
#define FDS      8
#define FOLDER   (FD_FIRST + FDS)
#define WRITES   8

/* ---------------------------------------------------------------- the system, as it is seen */

int __real_open(const char *name, int flags, ...);
int __real_close(int fd);
ssize_t __real_read(int fd, void *p, size_t n);
ssize_t __real___read_chk(int fd, void *p, size_t n, size_t room);
ssize_t __real_write(int fd, const void *p, size_t n);
int __real_fsync(int fd);
int __real_ftruncate(int fd, off_t size);
int __real_access(const char *name, int mode);

int __wrap_open(const char *name, int flags, ...);
int __wrap_close(int fd);
ssize_t __wrap_read(int fd, void *p, size_t n);
ssize_t __wrap___read_chk(int fd, void *p, size_t n, size_t room);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __wrap_fsync(int fd);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_access(const char *name, int mode);

static struct open_file {
	sqlite3_file *file; /* NULL = free */
	sqlite3_int64 at;
} files[FDS];

static struct open_file *
ours(int fd)
{
	return fd >= FD_FIRST && fd < FD_FIRST + FDS ? &files[fd - FD_FIRST] : NULL;
}

int
__wrap_open(const char *name, int flags, ...)
{
	sqlite3_vfs *v = disk_below()->files;
	int i, how = (flags & O_CREAT) != 0 ? SQLITE_OPEN_CREATE : 0;

	if (strcmp(name, ".") == 0)
		return FOLDER;
	if (strncmp(name, "keyring.", 8) != 0)
		return __real_open(name, flags, 0600);
	for (i = 0; i < FDS && files[i].file != NULL; i++)
		continue;
	if (i == FDS) {
		errno = EMFILE;
		return -1;
	}
	files[i].file = calloc(1, (size_t)v->szOsFile);
	files[i].at = 0;
	assert_non_null(files[i].file);
	how |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_MAIN_DB;
	if (v->xOpen(v, name, files[i].file, how, NULL) == SQLITE_OK)
		return FD_FIRST + i;
	free(files[i].file);
	files[i].file = NULL;
	return -1;
}

int
__wrap_close(int fd)
{
	struct open_file *f = ours(fd);

	if (fd == FOLDER)
		return 0;
	if (f == NULL)
		return __real_close(fd);
	free(f->file);
	f->file = NULL;
	return 0;
}

static ssize_t
read_ours(struct open_file *f, void *p, size_t n)
{
	sqlite3_int64 size;

	f->file->pMethods->xFileSize(f->file, &size);
	if ((sqlite3_int64)n > size - f->at)
		n = (size_t)(size - f->at);
	if (n > 0 && f->file->pMethods->xRead(f->file, p, (int)n, f->at) != SQLITE_OK)
		return -1;
	f->at += (sqlite3_int64)n;
	return (ssize_t)n;
}

ssize_t
__wrap_read(int fd, void *p, size_t n)
{
	struct open_file *f = ours(fd);

	return f == NULL ? __real_read(fd, p, n) : read_ours(f, p, n);
}

ssize_t
__wrap___read_chk(int fd, void *p, size_t n, size_t room)
{
	struct open_file *f = ours(fd);

	return f == NULL ? __real___read_chk(fd, p, n, room) : read_ours(f, p, n);
}

ssize_t
__wrap_write(int fd, const void *p, size_t n)
{
	struct open_file *f = ours(fd);

	if (f == NULL)
		return __real_write(fd, p, n);
	if (f->file->pMethods->xWrite(f->file, p, (int)n, f->at) != SQLITE_OK)
		return -1;
	f->at += (sqlite3_int64)n;
	return (ssize_t)n;
}

int
__wrap_fsync(int fd)
{
	struct open_file *f = ours(fd);

	if (fd == FOLDER)
		return disk_below()->sync_folder();
	if (f == NULL)
		return __real_fsync(fd);
	return f->file->pMethods->xSync(f->file, SQLITE_SYNC_NORMAL) == SQLITE_OK ? 0 : -1;
}

int
__wrap_ftruncate(int fd, off_t size)
{
	struct open_file *f = ours(fd);

	if (f == NULL)
		return __real_ftruncate(fd, size);
	return f->file->pMethods->xTruncate(f->file, size) == SQLITE_OK ? 0 : -1;
}

/* There are databases: a keyring that is gone must never pass for none yet. */
int
__wrap_access(const char *name, int mode)
{
	return strcmp(name, "service.db") == 0 ? 0 : __real_access(name, mode);
}

/* ---------------------------------------------------------------- headers */

/* The n-th: of another length each time, so that it may lie over a longer or a shorter one. */
static size_t
header(unsigned n, uint8_t out[KEYRING_MAX])
{
	static const size_t lens[] = {60, 1000, 5, 600, 601, 0, KEYRING_MAX, 61};
	uint64_t state = n;
	size_t i;

	for (i = 0; i < lens[n % WRITES]; i++)
		out[i] = (uint8_t)disk_random(&state);
	return lens[n % WRITES];
}

static enum keyring_status
put(unsigned n)
{
	uint8_t bytes[KEYRING_MAX];
	size_t len = header(n, bytes);

	return keyring_write(bytes, len);
}

/* Which header is there? -1: none of them. */
static int
which(void)
{
	uint8_t got[KEYRING_MAX], want[KEYRING_MAX];
	size_t len, n;
	unsigned i;

	if (keyring_read(got, &len) != KEYRING_OK)
		return -1;
	for (i = 0; i <= WRITES + 1; i++) {
		n = header(i, want);
		if (n == len && memcmp(got, want, n) == 0)
			return (int)i;
	}
	return -1;
}

/* ---------------------------------------------------------------- tries */

struct found {
	unsigned points, tries, bad;
};
static struct found *found; /* shared */

static struct {
	unsigned op, fail_at, cut_at; /* 0 = never */
	int error;
	uint64_t seed;
	unsigned low, high; /* what may be there after the cut */
} t;

static void
cut(void)
{
	int got, again;

	disk_set_hook(NULL);
	disk_cut(
	    t.seed % 2 == 0 ? DISK_CUT_ANY : (enum disk_choice)(t.seed / 2 % DISK_CHOICES), t.seed);
	got = which();
	again = put(WRITES + 1) == KEYRING_OK ? which() : -1;
	if (got >= (int)t.low && got <= (int)t.high && again == WRITES + 1)
		_exit(0);
	fprintf(stderr,
	    "fault %d at operation %u, power cut at operation %u (seed %llu): header %d is there,"
	    " not %u..%u; then %d\n",
	    t.error, t.fail_at, t.cut_at, (unsigned long long)t.seed, got, t.low, t.high, again);
	_exit(1);
}

static int
at_op(void *arg, enum disk_op op, const char *name, size_t len, size_t *part)
{
	(void)arg;
	(void)name;
	if (++t.op == t.cut_at)
		cut();
	if (t.op != t.fail_at)
		return 0;
	if (op == DISK_WRITE)
		*part = (size_t)(t.seed % len);
	return t.error;
}

/* All headers are written, each again until it is; returns the number of operations. */
static unsigned
write_all(void)
{
	static const struct disk_hook hook = {at_op, NULL};
	unsigned n;

	disk_wipe();
	t.op = 0;
	disk_seed(t.seed);
	assert_int_equal(put(0), KEYRING_OK); /* beside it the databases are made */
	disk_set_hook(&hook);
	for (n = 1; n <= WRITES; n++) {
		t.low = n - 1;
		t.high = n;
		if (put(n) != KEYRING_OK)
			assert_int_equal(put(n), KEYRING_OK);
	}
	disk_set_hook(NULL);
	assert_int_equal(which(), WRITES);
	return t.op;
}

static void
try(unsigned fail_at, int error, unsigned cut_at, unsigned way)
{
	uint64_t seed = ((uint64_t)fail_at << 32 | cut_at) * 31 + way;
	int status;
	pid_t pid;

	t.fail_at = fail_at;
	t.error = error;
	t.cut_at = cut_at;
	t.seed = disk_random(&seed);
	fflush(NULL);
	assert_int_not_equal(pid = fork(), -1);
	if (pid == 0) {
		alarm(60 * test_slow());
		write_all();
		_exit(0); /* it never came to that point */
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	found->tries++;
	found->bad += status != 0;
}

static unsigned
operations(void)
{
	memset(&t, 0, sizeof(t));
	return write_all();
}

static void
test_power_cut(void **state)
{
	unsigned n = operations(), at, way;

	(void)state;
	for (at = 1; at <= n; at++) {
		found->points++;
		for (way = 0; way < (test_slow() > 1 ? 2 : 16); way++)
			try(0, 0, at, way);
	}
	print_message("result: keyring: power cuts: %u points, %u tries, %u bad\n", found->points,
	    found->tries, found->bad);
	assert_true(n > 30);
	assert_int_equal(found->bad, 0);
}

/* The disk fails once, what was refused is written again, and the power goes meanwhile. */
static void
test_fault_and_power_cut(void **state)
{
	static const int errors[] = {ENOSPC, EIO, EROFS};
	unsigned n = operations(), at, to, step = test_slow() > 1 ? 5 : 1;

	(void)state;
	memset(found, 0, sizeof(*found));
	for (at = 1; at <= n; at += step) {
		found->points++;
		for (to = at + 1; to < at + 16; to++)
			try(at, errors[(at + to) % 3], to, 0);
	}
	print_message("result: keyring: faults and power cuts: %u points, %u tries, %u bad\n",
	    found->points, found->tries, found->bad);
	assert_int_equal(found->bad, 0);
}

static int
setup(void **state)
{
	(void)state;
	found =
	    mmap(NULL, sizeof(*found), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return found == MAP_FAILED || sodium_init() == -1 || sqlite3_initialize() != SQLITE_OK ? -1
											       : 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_power_cut),
	    cmocka_unit_test(test_fault_and_power_cut),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
