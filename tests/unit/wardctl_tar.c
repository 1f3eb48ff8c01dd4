/* The reader of backups: a whole one, every bit of it turned, every length of it, and everything
 * that does not belong into one; and what a restore leaves in a folder in each case. */
#include <sys/stat.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmocka.h>

#include "apid/wardctl/ctl_restore.h"
#include "tests/unit/wardctl_tar.h"

static uint8_t page[1000];

#define TEXT(name, text)                                                                           \
	{                                                                                          \
		name, text, sizeof(text) - 1                                                       \
	}
static const struct tar_file good[] = {
    TEXT("ward-backup", TAR_ABOUT),
    TEXT("keyring", "wardkr1\nnot looked into"),
    TEXT("service.db", "one"),
    {"account-alice.db", page, sizeof(page)},
    {"account-b-2.db", page, 512},
};
#define NGOOD (sizeof(good) / sizeof(good[0]))

/* ------------------------------------------------------------------ reading */

static int
feed(struct ctl_tar *t, const struct buf *b, size_t len, size_t piece,
    const struct ctl_tar_sink *sink)
{
	int r = 0;

	assert_int_equal(ctl_tar_begin(t, sink), 0);
	for (size_t off = 0; off < len && r == 0; off += piece)
		r = ctl_tar_feed(t, b->data + off, len - off < piece ? len - off : piece);
	return ctl_tar_end(t) == 0 && r == 0 ? 0 : -1;
}

/* What the sink got, as text. */
static struct buf got;

static int
on_begin(void *arg, const char *name, uint64_t size)
{
	return buf_printf(&got, "<%s %llu>", name, (unsigned long long)size);
}

static int
on_data(void *arg, const void *data, size_t len)
{
	return buf_put(&got, data, len);
}

static int
on_end(void *arg)
{
	return buf_put_str(&got, ".");
}

static const struct ctl_tar_sink sink = {on_begin, on_data, on_end, NULL};

static void
whole(void **state)
{
	static const size_t pieces[] = {1, 7, 512, 513, 100000};
	struct buf b = BUF_INIT, want = BUF_INIT;
	struct ctl_tar t;
	char account[33];

	tar_make(&b, good, NGOOD);
	for (size_t i = 1; i < NGOOD; i++) {
		buf_printf(&want, "<%s %zu>", good[i].name, good[i].len);
		buf_put(&want, good[i].data, good[i].len);
		buf_put_str(&want, ".");
	}
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		if (feed(&t, &b, b.len, pieces[i], &sink) == -1)
			fail_msg("pieces of %zu: %s", pieces[i], t.why);
		assert_int_equal(got.len, want.len);
		assert_memory_equal(got.data, want.data, want.len);
		buf_clear(&got);
		assert_string_equal(t.time, "2026-11-24T10:46:22Z");
		assert_string_equal(t.log_id, "86cf9c4f185d122fe27707163855b287");
		assert_string_equal(t.left_out, "");
		assert_int_equal(t.bytes, b.len);
		assert_int_equal(t.nmembers, NGOOD + 1);
	}
	assert_string_equal(ctl_tar_account(t.members[3].name, account), "alice");
	assert_null(ctl_tar_account("service.db", account));
	assert_null(ctl_tar_account("account-.db", account));
	buf_clear(&b);
	buf_clear(&want);
}

/* No byte is without meaning: a bit of each. */
static void
every_bit(void **state)
{
	struct buf b = BUF_INIT;
	struct ctl_tar t;

	tar_make(&b, good, NGOOD);
	for (size_t i = 0; i < b.len; i++) {
		uint8_t bit = (uint8_t)(1 << i % 8);

		b.data[i] ^= bit;
		if (feed(&t, &b, b.len, b.len, NULL) == 0)
			fail_msg("bit %zu of byte %zu", i % 8, i);
		assert_true(t.why[0] != '\0');
		b.data[i] ^= bit;
	}
	assert_int_equal(feed(&t, &b, b.len, b.len, NULL), 0);
	buf_clear(&b);
}

static void
every_length(void **state)
{
	struct buf b = BUF_INIT;
	struct ctl_tar t;

	tar_make(&b, good, NGOOD);
	for (size_t n = 0; n < b.len; n++) {
		if (feed(&t, &b, n, b.len, NULL) == 0)
			fail_msg("%zu bytes of %zu", n, b.len);
		assert_true(t.why[0] != '\0');
	}
	buf_put_u8(&b, 0);
	assert_int_equal(feed(&t, &b, b.len, b.len, NULL), -1);
	assert_non_null(strstr(t.why, "behind the end"));
	buf_clear(&b);
}

/* Files with right digests that do not belong together, or are not what they should be. */
static void
wrong_files(void **state)
{
	static char keyring[CTL_TAR_KEYRING + 1], about[CTL_TAR_ABOUT + 1];
#define A TEXT("ward-backup", TAR_ABOUT)
#define K TEXT("keyring", "k")
#define S TEXT("service.db", "s")
#define ABOUT(text)                                                                                \
	{                                                                                          \
		TEXT("ward-backup", text), K, S                                                    \
	}
	static const struct tar_file rows[][6] = {
	    {K, S},
	    {A},
	    {A, S},
	    {A, K},
	    {A, S, K},
	    {S, A, K},
	    {A, A, K, S},
	    {A, K, S, S},
	    {A, K, S, K},
	    {A, K, TEXT("account-a.db", "x"), S},
	    {A, K, S, TEXT("account-a.db", "x"), TEXT("account-a.db", "x")},
	    {A, K, S, TEXT("account-a.db", "")},
	    {A, K, TEXT("service.db", "")},
	    {A, TEXT("keyring", ""), S},
	    {A, {"keyring", keyring, sizeof(keyring)}, S},
	    {{"ward-backup", about, sizeof(about)}, K, S},
	    {TEXT("ward-backup", ""), K, S},
	    {A, K, S, TEXT("account-A.db", "x")},
	    {A, K, S, TEXT("account-.db", "x")},
	    {A, K, S, TEXT("account-a", "x")},
	    {A, K, S, TEXT("account-a.db-wal", "x")},
	    {A, K, S, TEXT("account-../../etc/passwd.db", "x")},
	    {A, K, S, TEXT("account-123456789012345678901234567890123.db", "x")},
	    {A, K, S, TEXT("../account-a.db", "x")},
	    {A, K, S, TEXT("/account-a.db", "x")},
	    {A, K, S, TEXT("restored", "x")},
	    {A, K, S, TEXT("keyring.0", "x")},
	    {A, K, S, TEXT("lock", "x")},
	    {A, K, S, TEXT("", "x")},
	    {A, K, S, TEXT("ward-digests", "x")},
	    ABOUT("format 2\ntime 2026-11-24T10:46:22Z\n"),
	    ABOUT("format 1\n"),
	    ABOUT("format 1"),
	    ABOUT("format 1\nlog 86cf9c4f185d122fe27707163855b287\ntime 2026-11-24T10:46:22Z\n"
		  "backend s\n"),
	    ABOUT("format 1\ntime 2026-11-24 10:46:22\nlog 86cf9c4f185d122fe27707163855b287\n"
		  "backend s\n"),
	    ABOUT("format 1\ntime 2026-11-24T10:46:22Zx\nlog 86cf9c4f185d122fe27707163855b287\n"
		  "backend s\n"),
	    ABOUT("format 1\ntime 2026-11-24T10:46:22Z\nlog 86CF9C4f185d122fe27707163855b287\n"
		  "backend s\n"),
	    ABOUT("format 1\ntime 2026-11-24T10:46:22Z\nlog 86cf9c4f185d122fe27707163855b28\n"
		  "backend s\n"),
	    ABOUT(TAR_ABOUT "more\n"),
	    ABOUT(TAR_ABOUT "left-out a\nleft-out b\n"),
	    ABOUT("format 1\ntime 2026-11-24T10:46:22Z\nlog 86cf9c4f185d122fe27707163855b287\n"
		  "backend \033[2J\n"),
	    ABOUT(TAR_ABOUT "\0"),
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = BUF_INIT;
		struct ctl_tar t;
		size_t n = 0;

		while (n < 6 && rows[i][n].name != NULL)
			n++;
		tar_make(&b, rows[i], n);
		if (feed(&t, &b, b.len, b.len, NULL) == 0)
			fail_msg("row %zu is no backup", i);
		assert_true(t.why[0] != '\0');
		buf_clear(&b);
	}
}

static void
left_out(void **state)
{
	static const struct tar_file files[] = {
	    TEXT("ward-backup", TAR_ABOUT "left-out bob: corrupt\n"), K, S};
	struct buf b = BUF_INIT;
	struct ctl_tar t;

	tar_make(&b, files, 3);
	assert_int_equal(feed(&t, &b, b.len, b.len, NULL), 0);
	assert_string_equal(t.left_out, "bob: corrupt");
	buf_clear(&b);
}

/* As many accounts as there can be, and one more. */
static void
many_accounts(void **state)
{
	static char names[ACCOUNTS_MAX + 1][32];
	static struct tar_file files[ACCOUNTS_MAX + 4] = {A, K, S};

	for (size_t i = 0; i <= ACCOUNTS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "account-%zu.db", i);
		files[3 + i] = (struct tar_file){names[i], "x", 1};
	}
	for (size_t n = ACCOUNTS_MAX; n <= ACCOUNTS_MAX + 1; n++) {
		struct buf b = BUF_INIT;
		struct ctl_tar t;

		tar_make(&b, files, 3 + n);
		assert_int_equal(feed(&t, &b, b.len, 1000, NULL), n <= ACCOUNTS_MAX ? 0 : -1);
		buf_clear(&b);
	}
}

/* A size that is a lie, or beyond all bounds: refused at its header, before anything is written. */
static void
sizes(void **state)
{
	static const uint64_t rows[] = {(UINT64_C(1) << 50) + 1, UINT64_C(1) << 63, UINT64_MAX, 0};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = BUF_INIT;
		struct ctl_tar t;

		tar_put_file(&b, "ward-backup", TAR_ABOUT, sizeof(TAR_ABOUT) - 1);
		tar_put_file(&b, "keyring", "k", 1);
		tar_header(buf_reserve(&b, TAR_BLOCK), "service.db", rows[i], TAR_TIME);
		assert_int_equal(feed(&t, &b, b.len, b.len, &sink), -1);
		assert_null(strstr(buf_cstr(&got), "service.db"));
		buf_clear(&got);
		buf_clear(&b);
	}
	{ /* more than octal digits can say is right: 9 GiB are announced, and then it is cut short
	   */
		struct buf b = BUF_INIT;
		struct ctl_tar t;

		tar_put_file(&b, "ward-backup", TAR_ABOUT, sizeof(TAR_ABOUT) - 1);
		tar_put_file(&b, "keyring", "k", 1);
		tar_header(buf_reserve(&b, TAR_BLOCK), "service.db", UINT64_C(9) << 30, TAR_TIME);
		assert_int_equal(feed(&t, &b, b.len, b.len, &sink), -1);
		assert_non_null(strstr(buf_cstr(&got), "<service.db 9663676416>"));
		assert_non_null(strstr(t.why, "cut short"));
		buf_clear(&got);
		buf_clear(&b);
	}
}

/* ------------------------------------------------------------------ restoring */

static char top[64], folder[96], file[96];

static int
make_top(void **state)
{
	snprintf(top, sizeof(top), "/tmp/wardctl-tar-XXXXXX");
	if (mkdtemp(top) == NULL)
		return -1;
	snprintf(folder, sizeof(folder), "%s/data", top);
	snprintf(file, sizeof(file), "%s/backup", top);
	return 0;
}

static int
remove_top(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", top);
	return system(command) == 0 ? 0 : -1;
}

static void
put_file(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

/* wardctl restore with these words; its output is thrown away. */
static int
restore(const char *a, const char *b, const char *c, const char *d)
{
	char *argv[] = {(char *)(uintptr_t)a, (char *)(uintptr_t)b, (char *)(uintptr_t)c,
	    (char *)(uintptr_t)d, NULL};
	struct ctl ctl = {.fd = -1, .format = CTL_JSON};
	int argc = 0, r;

	while (argc < 4 && argv[argc] != NULL)
		argc++;
	ctl.out = ctl.err = fopen("/dev/null", "we");
	r = ctl_restore(&ctl, argc, argv);
	fclose(ctl.out);
	return r;
}

/* Names in the folder; -1 = there is none. */
static int
count_names(void)
{
	DIR *d = opendir(folder);
	const struct dirent *e;
	int n = 0;

	if (d == NULL)
		return -1;
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void
check_file(const char *name, const void *data, size_t len)
{
	char path[160], bytes[4096];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), len);
	if (data != NULL)
		assert_memory_equal(bytes, data, len);
	else
		assert_int_equal(strspn(bytes, "0123456789abcdef"), len);
	close(fd);
}

static void
into_a_folder(void **state)
{
	struct buf b = BUF_INIT;
	struct stat st;
	char other[160];
	int fd;

	tar_make(&b, good, NGOOD);
	put_file(file, b.data, b.len);
	assert_int_equal(restore(file, "--check", NULL, NULL), 0);
	assert_int_equal(count_names(), -1);
	assert_int_equal(restore(file, "--folder", folder, NULL), 0);
	assert_int_equal(stat(folder, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(count_names(), 5);
	check_file("keyring.0", good[1].data, good[1].len);
	check_file("service.db", good[2].data, good[2].len);
	check_file("account-alice.db", good[3].data, good[3].len);
	check_file("account-b-2.db", good[4].data, good[4].len);
	check_file("restored", NULL, 32);

	/* never over anything, and never into a folder that a service holds */
	assert_int_equal(restore(file, "--folder", folder, NULL), EX_CONFLICT);
	assert_int_equal(count_names(), 5);
	assert_int_equal(remove_top(NULL), 0);
	assert_int_equal(mkdir(top, 0700), 0);
	put_file(file, b.data, b.len);
	assert_int_equal(mkdir(folder, 0700), 0);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(restore(file, "--folder", folder, NULL), EX_REFUSED);
	assert_int_equal(count_names(), 0);
	close(fd);
	assert_int_equal(chmod(folder, 0755), 0);
	assert_int_equal(restore(file, "--folder", folder, NULL), EX_REFUSED);
	assert_int_equal(chmod(folder, 0700), 0);
	/* what an earlier try left is no data */
	snprintf(other, sizeof(other), "%s/restoring-service.db", folder);
	put_file(other, "old", 3);
	assert_int_equal(restore(file, "--folder", folder, NULL), 0);
	assert_int_equal(count_names(), 5);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(symlink(folder, file), 0);
	assert_int_not_equal(restore(file, "--folder", file, NULL), 0);
	buf_clear(&b);
}

static void
nothing_of_a_bad_one(void **state)
{
	struct buf b = BUF_INIT;
	size_t i;

	tar_make(&b, good, NGOOD);
	for (i = 0; i < b.len; i += 97) {
		for (int there = 0; there < 2; there++) {
			if (there)
				assert_int_equal(mkdir(folder, 0700), 0);
			b.data[i] ^= 4;
			put_file(file, b.data, b.len);
			assert_int_equal(restore(file, "--folder", folder, NULL), EX_REFUSED);
			assert_int_equal(restore(file, "--check", NULL, NULL), EX_REFUSED);
			b.data[i] ^= 4;
			put_file(file, b.data, i);
			assert_int_equal(restore(file, "--folder", folder, NULL), EX_REFUSED);
			assert_int_equal(count_names(), there ? 0 : -1);
			if (there)
				assert_int_equal(rmdir(folder), 0);
		}
	}
	assert_int_equal(restore(file, "--folder", "/dev/null", NULL), EX_LOCAL);
	assert_int_equal(restore("/nonexistent", "--folder", folder, NULL), EX_REFUSED);
	assert_int_equal(count_names(), -1);
	buf_clear(&b);
}

static void
its_words(void **state)
{
	static const struct {
		const char *a, *b, *c, *d;
	} rows[] = {{NULL, NULL, NULL, NULL}, {"x", NULL, NULL, NULL},
	    {"--check", NULL, NULL, NULL}, {"x", "--folder", NULL, NULL},
	    {"x", "--folder=", NULL, NULL}, {"x", "--check", "--folder", "/tmp/y"},
	    {"x", "y", "--check", NULL}, {"x", "--nosuch", NULL, NULL},
	    {"x", "--config", NULL, NULL}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(restore(rows[i].a, rows[i].b, rows[i].c, rows[i].d), EX_USAGE_);
	assert_int_equal(restore("x", "--config", "/nonexistent", NULL), EX_REFUSED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whole),
	    cmocka_unit_test(every_bit),
	    cmocka_unit_test(every_length),
	    cmocka_unit_test(wrong_files),
	    cmocka_unit_test(left_out),
	    cmocka_unit_test(many_accounts),
	    cmocka_unit_test(sizes),
	    cmocka_unit_test_setup_teardown(into_a_folder, make_top, remove_top),
	    cmocka_unit_test_setup_teardown(nothing_of_a_bad_one, make_top, remove_top),
	    cmocka_unit_test_setup_teardown(its_words, make_top, remove_top),
	};

	if (sodium_init() == -1)
		return 1;
	for (size_t i = 0; i < sizeof(page); i++)
		page[i] = (uint8_t)(i * 7);
	alarm(300);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
