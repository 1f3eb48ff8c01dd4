/* Acts on files. */
#include "tests/probes/acts.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
done(long rc)
{
	return (rc == -1 ? errno : 0);
}

int
act_open_read(void)
{
	return (done(open(fix.file, O_RDONLY | O_CLOEXEC)));
}

int
act_open_write(void)
{
	return (done(open(fix.file, O_WRONLY | O_CLOEXEC)));
}

int
act_open_create(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/made", fix.folder);
	return (done(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)));
}

/* Out of the working folder by its own ".." */
int
act_open_dotdot(void)
{
	char path[128];

	snprintf(path, sizeof(path), "../../../../../../..%s", fix.file);
	return (done(open(path, O_RDONLY | O_CLOEXEC)));
}

int
act_open_proc_mem(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)fix.parent);
	return (done(open(path, O_RDONLY | O_CLOEXEC)));
}

int
act_open_path(void)
{
	return (done(open("/", O_PATH | O_CLOEXEC)));
}

int
act_stat_outside(void)
{
	struct stat st;

	return (done(stat(fix.file, &st)));
}

int
act_unlink_outside(void)
{
	char path[96];
	int rc;

	/* in the control run the file must be there again for the next probe */
	snprintf(path, sizeof(path), "%s/victim", fix.folder);
	rc = done(unlink(path));
	return (rc);
}

int
act_rename_outside(void)
{
	char to[96];

	snprintf(to, sizeof(to), "%s/renamed", fix.folder);
	if (rename(fix.file, to) == -1)
		return (errno);
	return (done(rename(to, fix.file)));
}

int
act_renameat_outside(void)
{
	char to[96];

	snprintf(to, sizeof(to), "%s/renamed", fix.folder);
	if (renameat(AT_FDCWD, fix.file, AT_FDCWD, to) == -1)
		return (errno);
	return (done(renameat(AT_FDCWD, to, AT_FDCWD, fix.file)));
}

int
act_own_renameat(void)
{
	int fd = open("probe-old", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd == -1)
		return (errno);
	(void)close(fd);
	if (renameat(AT_FDCWD, "probe-old", AT_FDCWD, "probe-new") == -1)
		return (errno);
	return (done(unlink("probe-new")));
}

int
act_mkdir_outside(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/made-folder", fix.folder);
	if (mkdir(path, 0700) == -1)
		return (errno);
	return (done(rmdir(path)));
}

int
act_chmod_outside(void)
{
	return (done(chmod(fix.file, 0666)));
}

int
act_symlink_outside(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/made-link", fix.folder);
	if (symlink("x", path) == -1)
		return (errno);
	return (done(unlink(path)));
}

int
act_link_outside(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/made-hard", fix.folder);
	if (link(fix.file, path) == -1)
		return (errno);
	return (done(unlink(path)));
}

int
act_truncate_outside(void)
{
	return (done(truncate(fix.file, 4)));
}

int
act_chdir_outside(void)
{
	return (done(chdir(fix.folder)));
}

int
act_handle_at(void)
{
	return (done(syscall(SYS_open_by_handle_at, -1, NULL, 0)));
}

/* What stored does all day, in its working folder. */
int
act_own_file(void)
{
	char name[] = "probe-file", back[5];
	struct stat st;
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd == -1)
		return (errno);
	if (pwrite(fd, "hello", 5, 0) != 5 || pread(fd, back, 5, 0) != 5 ||
	    memcmp(back, "hello", 5) != 0 || fdatasync(fd) == -1 || ftruncate(fd, 0) == -1 ||
	    fstat(fd, &st) == -1 || close(fd) == -1)
		return (errno);
	return (done(unlink(name)));
}

int
act_own_shared_map(void)
{
	int fd = open("probe-shm", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *p;

	if (fd == -1 || ftruncate(fd, 4096) == -1)
		return (errno);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return (errno);
	*(volatile char *)p = 1;
	return (done(unlink("probe-shm")));
}

int
act_own_lock(void)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
	int fd = open("probe-lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd == -1 || fcntl(fd, F_SETLK, &l) == -1 || fcntl(fd, F_GETLK, &l) == -1)
		return (errno);
	return (done(unlink("probe-lock")));
}

/* Code in a file that it wrote itself. */
int
act_own_exec_map(void)
{
	int fd = open("probe-code", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd == -1 || ftruncate(fd, 4096) == -1)
		return (errno);
	if (unlink("probe-code") == -1)
		return (errno);
	return (
	    mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED ? errno : 0);
}

int
act_read_resolver(void)
{
	char text[256];
	int fd = open("/etc/hosts", O_RDONLY | O_CLOEXEC);

	if (fd == -1)
		return (errno);
	return (done(read(fd, text, sizeof(text))));
}

int
act_resolve(void)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *ai = NULL;
	int rc = getaddrinfo("localhost", "443", &hints, &ai);

	if (rc != 0)
		return (ENOENT);
	freeaddrinfo(ai);
	return (0);
}
