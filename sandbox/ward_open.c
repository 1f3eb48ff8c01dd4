/* What the children are handed: programs, data folder, key source, CA bundle. */
#include "sandbox/ward.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

#define CA_DEFAULT "/etc/ssl/certs/ca-certificates.crt"

/* Nobody but root and us may be able to change it. */
static int
only_ours(const struct stat *st)
{
	return ((st->st_uid == 0 || st->st_uid == geteuid()) &&
		(st->st_mode & (S_IWGRP | S_IWOTH)) == 0);
}

static int
open_program(const char *folder, const char *below, enum ward_role r)
{
	char path[PATH_MAX];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s%s/%s", folder, below, role_name(r));
	if ((fd = open(path, O_PATH | O_CLOEXEC)) == -1)
		return (-1);
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || !only_ours(&st))
		fatalx("%s: must be a file of root's or yours that nobody else can write", path);
	return (fd);
}

/* The folder that ward itself was started from. */
static void
own_folder(char *out, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", out, size - 1);
	char *slash;

	if (n <= 0)
		fatal("/proc/self/exe: cannot tell where the other programs are");
	out[n] = '\0';
	if ((slash = strrchr(out, '/')) == NULL)
		fatalx("/proc/self/exe: no folder in %s", out);
	*slash = '\0';
}

/* The children live where service.libexec says; else beside ward, or in ../libexec/ward. */
void
ward_open_programs(struct ward *w)
{
	const char *libexec = config_str(w->config, "service", "libexec");
	char folder[PATH_MAX];
	int r;

	if (libexec[0] != '\0')
		snprintf(folder, sizeof(folder), "%s", libexec);
	else
		own_folder(folder, sizeof(folder));
	for (r = ROLE_KEYD; r < ROLE_COUNT; r++) {
		w->program[r] = open_program(folder, "", (enum ward_role)r);
		if (w->program[r] == -1 && libexec[0] == '\0')
			w->program[r] = open_program(folder, "/../libexec/ward", (enum ward_role)r);
		if (w->program[r] == -1)
			fatal("%s/%s: cannot open the program (service.libexec names its folder)",
			    folder, role_name((enum ward_role)r));
	}
}

static int
folder_is_empty(int fd)
{
	const struct dirent *e;
	int empty = 1, copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d;

	if (copy == -1 || (d = fdopendir(copy)) == NULL) {
		if (copy != -1)
			close(copy);
		return (0);
	}
	while (empty && (e = readdir(d)) != NULL)
		empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	closedir(d);
	return (empty);
}

/* Owned by stored's user, 0700, on a file system that can be written. */
static void
check_data(const struct ward *w, const char *path, int fd)
{
	struct stat st;
	struct statvfs vfs;

	if (fstat(fd, &st) == -1)
		fatal("data folder %s", path);
	if (st.st_uid == geteuid() && w->as_root && folder_is_empty(fd)) {
		if (fchown(fd, w->uid[ROLE_STORED], w->gid[ROLE_STORED]) == -1 ||
		    fstat(fd, &st) == -1)
			fatal("data folder %s: cannot give it to uid %u", path,
			    (unsigned)w->uid[ROLE_STORED]);
	}
	if (st.st_uid != w->uid[ROLE_STORED])
		fatalx(
		    "data folder %s belongs to uid %u, but stored runs as uid %u: chown -R %u %s",
		    path, (unsigned)st.st_uid, (unsigned)w->uid[ROLE_STORED],
		    (unsigned)w->uid[ROLE_STORED], path);
	if ((st.st_mode & 07777) != 0700)
		fatalx("data folder %s has mode %o: chmod 0700 %s", path,
		    (unsigned)(st.st_mode & 07777), path);
	if (fstatvfs(fd, &vfs) == -1)
		fatal("data folder %s", path);
	if ((vfs.f_flag & ST_RDONLY) != 0)
		fatalx("data folder %s is on a file system that is mounted read-only: mount it "
		       "read-write, or name another folder in service.data",
		    path);
}

/* One service a folder. stored inherits the descriptor and with it the lock; that of a service
 * which was just killed needs a moment to go. */
static void
lock_data(const char *path, int fd)
{
	const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
	int64_t end = clock_mono_ms() + WARD_GIVE_WAY_MS;

	while (flock(fd, LOCK_EX | LOCK_NB) == -1) {
		if (errno != EWOULDBLOCK)
			fatal("data folder %s: cannot lock it", path);
		if (clock_mono_ms() > end)
			fatalx("data folder %s: another service works in it", path);
		nanosleep(&pause, NULL);
	}
}

void
ward_open_data(struct ward *w)
{
	const char *path = config_str(w->config, "service", "data");

	if (mkdir(path, 0700) == -1 && errno != EEXIST)
		fatal("data folder %s: cannot make it; make it by hand, or name another in "
		      "service.data",
		    path);
	w->data = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (w->data == -1)
		fatal("data folder %s: cannot open it (it must be a folder, not a link)", path);
	check_data(w, path, w->data);
	lock_data(path, w->data);
}

/* file:PATH, passphrase:PATH, or credential:NAME in the service manager's folder. */
static void
secret_path(const struct ward *w, const char *entry, char *path, size_t size)
{
	const char *text = config_str(w->config, "service", entry);
	const char *name = strchr(text, ':'), *dir;

	if (name == NULL || name[1] == '\0')
		fatalx("service.%s: %s is neither file:, passphrase: nor credential:", entry,
		    text[0] != '\0' ? text : "(nothing)");
	name++;
	if (strncmp(text, "credential:", 11) != 0) {
		snprintf(path, size, "%s", name);
		return;
	}
	if ((dir = getenv("CREDENTIALS_DIRECTORY")) == NULL || strchr(name, '/') != NULL)
		fatalx("service.%s: credential %s: the service manager passed none "
		       "(LoadCredentialEncrypted=%s:FILE)",
		    entry, name, name);
	snprintf(path, size, "%s/%s", dir, name);
}

static int
open_secret(const struct ward *w, const char *entry)
{
	char path[PATH_MAX];
	struct stat st;
	int fd;

	secret_path(w, entry, path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd == -1)
		fatal("key source %s", path);
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		fatalx("key source %s: must be a file", path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		fatalx("key source %s belongs to uid %u: chown it to root or to the user who "
		       "starts ward",
		    path, (unsigned)st.st_uid);
	if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		fatalx("key source %s has mode %o, so others may reach it: chmod 0400 %s", path,
		    (unsigned)(st.st_mode & 07777), path);
	return (fd);
}

/* Without a next key an empty pipe: keyd's table of descriptors is always the same. */
void
ward_open_secrets(struct ward *w)
{
	int empty[2];

	w->secret = open_secret(w, "master_key");
	if (config_str(w->config, "service", "next_master_key")[0] != '\0') {
		w->next_secret = open_secret(w, "next_master_key");
		return;
	}
	if (pipe2(empty, O_CLOEXEC) == -1)
		fatal("pipe");
	close(empty[1]);
	w->next_secret = empty[0];
}

void
ward_open_ca(struct ward *w)
{
	const char *path = config_str(w->config, "network", "ca_file");
	struct stat st;

	if (path[0] == '\0')
		path = CA_DEFAULT;
	w->ca = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (w->ca == -1)
		fatal("CA bundle %s (network.ca_file names another)", path);
	if (fstat(w->ca, &st) == -1 || !S_ISREG(st.st_mode))
		fatalx("CA bundle %s: must be a file", path);
	if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & S_IWOTH) != 0)
		fatalx(
		    "CA bundle %s: must belong to root or to the user who starts ward, and not be "
		    "writable by everybody",
		    path);
}
