/* The folders that the children are confined to. */
#include "sandbox/ward.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

#define RESOLVER_FILE_MAX (1024u * 1024)

/* A folder that is removed as soon as it is open: a root in which nothing is and nothing can be
 * made. */
static int
open_empty(void)
{
	char path[] = "/run/ward-empty-XXXXXX", other[] = "/tmp/ward-empty-XXXXXX";
	char *name = mkdtemp(path);
	int fd;

	if (name == NULL && (name = mkdtemp(other)) == NULL)
		fatal("cannot make an empty folder in /run or /tmp");
	if (chmod(name, 0555) == -1 || (fd = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC)) == -1)
		fatal("%s", name);
	if (rmdir(name) == -1)
		fatal("%s: cannot be removed again", name);
	return (fd);
}

static void
write_all(int fd, const char *name, const void *data, size_t len)
{
	const char *p = data;
	ssize_t n;

	for (; len > 0; p += n, len -= (size_t)n) {
		if ((n = write(fd, p, len)) == -1)
			fatal("folder of netd: %s", name);
	}
}

static void
put_file(int dir, const char *name, const void *data, size_t len)
{
	int fd;

	if (unlinkat(dir, name, 0) == -1 && errno != ENOENT)
		fatal("folder of netd: %s", name);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	if (fd == -1)
		fatal("folder of netd: %s", name);
	write_all(fd, name, data, len);
	if (fchmod(fd, 0444) == -1)
		fatal("folder of netd: %s", name);
	close(fd);
}

static void
copy_file(int dir, const char *from, const char *name)
{
	char *text;
	size_t len = 0;
	ssize_t n;
	int fd = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd == -1) {
		if (errno != ENOENT)
			log_warn("%s: netd will do without", from);
		return;
	}
	if ((text = malloc(RESOLVER_FILE_MAX)) == NULL)
		fatal("%s", from);
	while (len < RESOLVER_FILE_MAX && (n = read(fd, text + len, RESOLVER_FILE_MAX - len)) > 0)
		len += (size_t)n;
	put_file(dir, name, text, len);
	free(text);
	close(fd);
}

/* Beside the API socket: NAME.netd/etc with copies of what the resolver reads. Root owns it all. */
static int
open_netd_root(const char *socket_path)
{
	static const char nss[] = "hosts: files dns\n";
	char path[4096];
	struct stat st;
	int root, etc;

	snprintf(path, sizeof(path), "%s.netd", socket_path);
	if (mkdir(path, 0755) == -1 && errno != EEXIST)
		fatal("folder of netd: %s", path);
	root = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (root == -1 || fstat(root, &st) == -1)
		fatal("folder of netd: %s", path);
	if (st.st_uid != 0)
		fatalx(
		    "folder of netd: %s belongs to uid %u, not to root", path, (unsigned)st.st_uid);
	if (fchmod(root, 0755) == -1 || (mkdirat(root, "etc", 0755) == -1 && errno != EEXIST))
		fatal("folder of netd: %s/etc", path);
	etc = openat(root, "etc", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (etc == -1 || fstat(etc, &st) == -1 || st.st_uid != 0 || fchmod(etc, 0755) == -1)
		fatal("folder of netd: %s/etc", path);
	copy_file(etc, "/etc/resolv.conf", "resolv.conf");
	copy_file(etc, "/etc/hosts", "hosts");
	copy_file(etc, "/etc/host.conf", "host.conf");
	copy_file(etc, "/etc/gai.conf", "gai.conf");
	put_file(etc, "nsswitch.conf", nss, sizeof(nss) - 1);
	close(etc);
	return (root);
}

void
ward_open_roots(struct ward *w)
{
	w->empty_root = w->netd_root = -1;
	if (!w->as_root)
		return;
	w->empty_root = open_empty();
	w->netd_root = open_netd_root(config_str(w->config, "service", "socket"));
}
