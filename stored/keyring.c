/* The keyring header: a small file of keyd's, replaced as a whole or not at all.
 *
 * The sandbox lets stored rename nothing, so there are two files, "keyring.0" and "keyring.1", each
 * with a generation and a checksum. The one of the higher generation that is whole counts; a new
 * one is written over the other. */
#include "stored/keyring.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "common/log.h"

/* magic 8, generation 8 big-endian, length 2 big-endian, data, BLAKE2b-256 of all before */
#define HEAD      18
#define SUM       32
#define FILE_MAX_ (HEAD + KEYRING_MAX + SUM)
_Static_assert(FILE_MAX_ <= KEYRING_FILE_MAX, "keyring.h is too small");

/* No count of writes comes near it: a file that claims more was not written here. What follows the
 * last that is believed must be believed too, so keyring_write starts no new one after it. */
#define LAST_GENERATION (UINT64_MAX - 1)

static const uint8_t magic[8] = {'w', 'a', 'r', 'd', 'k', 'r', '1', '\n'};
static const char *const names[2] = {"keyring.0", "keyring.1"};

struct slot {
	int there;           /* there is such a file */
	int whole;           /* and it is what was once written */
	uint64_t generation; /* if whole */
	uint8_t data[KEYRING_MAX];
	size_t len;
};

const char *
keyring_word(enum keyring_status st)
{
	static const char *const words[] = {"ok", "corrupt", "read_only", "disk_full", "io"};

	return words[st];
}

static enum keyring_status
of_errno(void)
{
	if (errno == EROFS || errno == EACCES || errno == EPERM)
		return KEYRING_READ_ONLY;
	return errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? KEYRING_FULL : KEYRING_IO;
}

/* ---------------------------------------------------------------- the bytes */

static size_t
encode(uint64_t generation, const uint8_t *data, size_t len, uint8_t *out)
{
	int i;

	memcpy(out, magic, 8);
	for (i = 0; i < 8; i++)
		out[8 + i] = (uint8_t)(generation >> (8 * (7 - i)));
	out[16] = (uint8_t)(len >> 8);
	out[17] = (uint8_t)len;
	memcpy(out + HEAD, data, len);
	crypto_generichash(out + HEAD + len, SUM, out, HEAD + len, NULL, 0);
	return HEAD + len + SUM;
}

static void
decode(const uint8_t *in, size_t n, struct slot *s)
{
	uint8_t sum[SUM];
	size_t len, i;

	if (n < HEAD + SUM || memcmp(in, magic, 8) != 0)
		return;
	len = (size_t)in[16] << 8 | in[17];
	if (len > KEYRING_MAX || n != HEAD + len + SUM)
		return;
	crypto_generichash(sum, SUM, in, HEAD + len, NULL, 0);
	if (memcmp(sum, in + HEAD + len, SUM) != 0)
		return;
	s->generation = 0;
	for (i = 8; i < 16; i++)
		s->generation = s->generation << 8 | in[i];
	memcpy(s->data, in + HEAD, len);
	s->len = len;
	s->whole = s->generation <= LAST_GENERATION;
}

/* ---------------------------------------------------------------- the files */

static enum keyring_status
load(const char *name, struct slot *s)
{
	uint8_t bytes[FILE_MAX_ + 1];
	size_t n = 0;
	ssize_t got;
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	memset(s, 0, sizeof(*s));
	if (fd == -1)
		return errno == ENOENT ? KEYRING_OK : of_errno();
	s->there = 1;
	while (n < sizeof(bytes) && (got = read(fd, bytes + n, sizeof(bytes) - n)) != 0) {
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1) {
			close(fd);
			return KEYRING_IO;
		}
		n += (size_t)got;
	}
	close(fd);
	decode(bytes, n, s);
	return KEYRING_OK;
}

static enum keyring_status
load_both(struct slot s[2], int *newest)
{
	enum keyring_status st;

	if ((st = load(names[0], &s[0])) != KEYRING_OK ||
	    (st = load(names[1], &s[1])) != KEYRING_OK)
		return st;
	*newest = -1;
	if (s[0].whole)
		*newest = 0;
	if (s[1].whole && (*newest == -1 || s[1].generation > s[0].generation))
		*newest = 1;
	return KEYRING_OK;
}

enum keyring_status
keyring_read(uint8_t out[KEYRING_MAX], size_t *len)
{
	struct slot s[2];
	enum keyring_status st;
	int newest;

	*len = 0;
	if ((st = load_both(s, &newest)) != KEYRING_OK)
		return st;
	/* keyd makes no database before its keyring is durable. So beside a database there must be
	 * one: to say "none yet" would have a new one made, and the data orphaned. Without a
	 * database, a file that is not whole is a first write that was cut short. */
	if (newest == -1) {
		if (access("service.db", F_OK) == 0)
			return KEYRING_CORRUPT;
		return s[0].there && s[1].there ? KEYRING_CORRUPT : KEYRING_OK;
	}
	memcpy(out, s[newest].data, s[newest].len);
	*len = s[newest].len;
	return KEYRING_OK;
}

enum keyring_status
keyring_copy(uint8_t out[KEYRING_FILE_MAX], size_t *len)
{
	uint8_t data[KEYRING_MAX];
	enum keyring_status st = keyring_read(data, len);

	if (st == KEYRING_OK && *len > 0) /* the first generation of another folder */
		*len = encode(1, data, *len, out);
	return st;
}

/* The names of new files are durable only when the folder is. */
static int
sync_folder(void)
{
	int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r, why;

	if (fd == -1)
		return -1;
	r = fsync(fd);
	why = errno; /* the caller's reason, not that of close */
	close(fd);
	errno = why;
	return r;
}

static int
write_all(int fd, const uint8_t *p, size_t n)
{
	ssize_t put;

	while (n > 0) {
		put = write(fd, p, n);
		if (put == -1 && errno == EINTR)
			continue;
		if (put == -1)
			return -1;
		p += put;
		n -= (size_t)put;
	}
	return 0;
}

/* On the disk for good, or an error: then it may be there in part. keep: of what is in the file so
 * much is only written over. */
static enum keyring_status
put_file(const char *name, const uint8_t *bytes, size_t n, size_t keep)
{
	enum keyring_status st;
	int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), failed;

	if (fd == -1)
		return of_errno();
	failed =
	    ftruncate(fd, (off_t)keep) == -1 || write_all(fd, bytes, n) == -1 || fsync(fd) == -1;
	st = failed ? of_errno() : KEYRING_OK;
	if (close(fd) == -1 && st == KEYRING_OK)
		st = of_errno();
	if (st == KEYRING_OK && sync_folder() == -1)
		st = of_errno();
	return st;
}

/* The newest one may be in memory alone: where a sync failed, here or before a restart, the kernel
 * shows what was written, and the next sync does not tell that it is missing. So it is written as
 * it is once more, before the other one is given up for it. */
static enum keyring_status
renew(const struct slot *s, const char *name)
{
	uint8_t bytes[FILE_MAX_];
	size_t n = encode(s->generation, s->data, s->len, bytes);

	return put_file(name, bytes, n, n);
}

enum keyring_status
keyring_write(const uint8_t *data, size_t len)
{
	uint8_t bytes[FILE_MAX_];
	struct slot s[2];
	enum keyring_status st;
	int newest;
	size_t n;

	if (len > KEYRING_MAX)
		return KEYRING_IO;
	if ((st = load_both(s, &newest)) != KEYRING_OK)
		return st;
	if (newest != -1 && s[newest].generation == LAST_GENERATION)
		return KEYRING_CORRUPT;
	if (newest != -1 && (st = renew(&s[newest], names[newest])) != KEYRING_OK)
		return st;
	n = encode(newest == -1 ? 1 : s[newest].generation + 1, data, len, bytes);
	return put_file(names[newest == 0 ? 1 : 0], bytes, n, 0);
}
