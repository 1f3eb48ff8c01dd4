/* The folder that a backup is restored into. Every file is written under a temporary name; the
 * names come when all of the backup was read and found right, the keyring's last: databases without
 * one are refused by stored, so that a restore that was cut in between is never taken for a whole
 * one. */
#include "apid/wardctl/ctl_restore.h"

#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define TEMP "restoring-" /* before every name */
#define MARK "restored"   /* stored looks for it */

static int
said(struct restore_folder *f, const char *what)
{
	int why = errno;

	ctl_say(f->c, "%s: %s%s%s", f->path, what, what[0] != '\0' ? ": " : "", strerror(why));
	return f->failed = why == EACCES || why == EPERM ? EX_DENIED : EX_LOCAL;
}

/* ---------------------------------------------------------------- what is in it */

enum entry {
	OF_US,   /* of a restore that was cut short */
	NO_DATA, /* does no harm */
	OF_OTHERS
};

static enum entry
entry_of(const char *name)
{
	if (strncmp(name, TEMP, sizeof(TEMP) - 1) == 0)
		return OF_US;
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "lost+found") == 0
		   ? NO_DATA
		   : OF_OTHERS;
}

/* Delete what is ours; all: also what has its name already. 1 if something else is there (its name
 * in f->name), 0, or -1 with errno. */
static int
sweep(struct restore_folder *f, int all)
{
	int copy = openat(f->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	const struct dirent *e;
	DIR *d;

	if (copy == -1 || (d = fdopendir(copy)) == NULL) {
		if (copy != -1)
			close(copy);
		return -1;
	}
	while (r == 0 && (e = readdir(d)) != NULL) {
		enum entry k = entry_of(e->d_name);

		if (k == OF_US || (all && k == OF_OTHERS)) {
			r = unlinkat(f->fd, e->d_name, 0);
		} else if (k == OF_OTHERS) {
			(void)snprintf(f->name, sizeof(f->name), "%s", e->d_name);
			r = 1;
		}
	}
	closedir(d);
	return r;
}

/* ---------------------------------------------------------------- opening */

static int
refuse(struct restore_folder *f, const char *why)
{
	ctl_say(f->c, "%s: %s", f->path, why);
	return f->failed = EX_REFUSED;
}

static int
check_folder(struct restore_folder *f, uid_t owner, gid_t group)
{
	struct stat st;
	int r;

	if (flock(f->fd, LOCK_EX | LOCK_NB) == -1)
		return errno == EWOULDBLOCK ? refuse(f, "a service works in it") : said(f, "lock");
	if (f->made && owner != (uid_t)-1 && fchown(f->fd, owner, group) == -1)
		return said(f, "cannot give it to the user that stored runs as");
	if (fstat(f->fd, &st) == -1)
		return said(f, "");
	if (st.st_uid != geteuid() && geteuid() != 0)
		return refuse(f, "belongs to somebody else");
	if ((st.st_mode & 07777) != 0700)
		return refuse(f, "its mode must be 0700");
	f->uid = st.st_uid;
	f->gid = st.st_gid;
	if ((r = sweep(f, 0)) == -1)
		return said(f, "");
	if (r == 0) {
		f->ours = 1;
		return 0;
	}
	ctl_say(f->c,
	    "%s: it is not empty (%s): a backup goes into a new or empty folder, and "
	    "nothing is replaced",
	    f->path, f->name);
	return f->failed = EX_CONFLICT;
}

int
restore_folder_open(struct restore_folder *f, const char *path, uid_t owner, gid_t group)
{
	f->path = path;
	f->file = f->fd = -1;
	if (mkdir(path, 0700) == 0)
		f->made = 1;
	else if (errno != EEXIST)
		return said(f, "cannot be made");
	if ((f->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)) == -1)
		return said(f, "not a folder that can be opened");
	return check_folder(f, owner, group);
}

/* ---------------------------------------------------------------- files */

int
restore_folder_begin(void *arg, const char *name, uint64_t size)
{
	struct restore_folder *f = arg;

	(void)size; /* the disk says when it is full */
	(void)snprintf(f->name, sizeof(f->name), TEMP "%s", name);
	f->file =
	    openat(f->fd, f->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->file == -1 || (f->uid != geteuid() && fchown(f->file, f->uid, f->gid) == -1)) {
		(void)said(f, name);
		return -1;
	}
	return 0;
}

int
restore_folder_data(void *arg, const void *data, size_t len)
{
	struct restore_folder *f = arg;
	const uint8_t *p = data;
	ssize_t n;

	for (; len > 0; p += n, len -= (size_t)n) {
		if ((n = write(f->file, p, len)) == -1 && errno == EINTR)
			n = 0;
		if (n == -1) {
			(void)said(f, f->name);
			return -1;
		}
	}
	return 0;
}

int
restore_folder_end(void *arg)
{
	struct restore_folder *f = arg;
	int r = fsync(f->file);

	if (r == -1)
		(void)said(f, f->name);
	if (close(f->file) == -1 && r == 0)
		r = said(f, f->name);
	f->file = -1;
	return r == 0 ? 0 : -1;
}

/* ---------------------------------------------------------------- the end */

/* Another one for each restore: stored does its part once for each. */
static int
write_mark(struct restore_folder *f)
{
	unsigned char raw[16];
	char text[2 * sizeof(raw) + 1];

	if (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw))
		return said(f, "random numbers");
	(void)sodium_bin2hex(text, sizeof(text), raw, sizeof(raw));
	if (restore_folder_begin(f, MARK, 0) == -1 ||
	    restore_folder_data(f, text, sizeof(text) - 1) == -1 || restore_folder_end(f) == -1)
		return f->failed;
	return 0;
}

static int
name_it(struct restore_folder *f, const char *name, const char *to)
{
	(void)snprintf(f->name, sizeof(f->name), TEMP "%s", name);
	return renameat(f->fd, f->name, f->fd, to) == 0 ? 0 : said(f, to);
}

/* The name of a folder that was made is durable when the folder above it is. */
static void
sync_above(const struct restore_folder *f)
{
	int fd = openat(f->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1)
		return; /* not ours to read */
	(void)fsync(fd);
	close(fd);
}

int
restore_folder_finish(struct restore_folder *f, const struct ctl_tar *t)
{
	int r;

	if ((r = write_mark(f)) != 0)
		return r;
	for (size_t i = 0; i < t->nmembers; i++) {
		const char *name = t->members[i].name;

		if (strncmp(name, "ward-", 5) != 0 && strcmp(name, "keyring") != 0 &&
		    (r = name_it(f, name, name)) != 0)
			return r;
	}
	if ((r = name_it(f, MARK, MARK)) != 0)
		return r;
	if (fsync(f->fd) == -1)
		return said(f, "");
	if (f->made)
		sync_above(f);
	if ((r = name_it(f, "keyring", "keyring.0")) != 0)
		return r;
	return fsync(f->fd) == 0 ? 0 : said(f, "");
}

void
restore_folder_close(struct restore_folder *f, int undo)
{
	if (f->file != -1)
		close(f->file);
	f->file = -1;
	if (undo && f->ours && sweep(f, 1) == -1)
		ctl_say(f->c, "%s: not all could be deleted: %s", f->path, strerror(errno));
	if (undo && f->made && rmdir(f->path) == -1)
		ctl_say(f->c, "%s: %s", f->path, strerror(errno));
	if (f->fd != -1)
		close(f->fd); /* and with it the lock */
	f->fd = -1;
}
