/* The API socket: bound here, served by apid. */
#include "sandbox/ward.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

#define BACKLOG 64

/* 1 = somebody answers, 0 = nobody does any more. */
static int
answers(const char *path, const struct sockaddr_un *addr)
{
	int fd, rc;

	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) == -1)
		fatal("API socket %s", path);
	rc = connect(fd, (const struct sockaddr *)addr, sizeof(*addr));
	if (rc == -1 && errno != ECONNREFUSED && errno != EAGAIN)
		fatal("API socket %s: cannot tell whether another service uses it", path);
	rc = rc == 0 || errno == EAGAIN;
	close(fd);
	return (rc);
}

/* A socket file may be left of a run before. If somebody answers on it, it is not ours to take;
 * the apid of a service that was just killed needs a moment to go. */
static void
remove_stale(const char *path, const struct sockaddr_un *addr)
{
	const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
	int64_t end = clock_mono_ms() + WARD_GIVE_WAY_MS;
	struct stat st;

	if (lstat(path, &st) == -1) {
		if (errno == ENOENT)
			return;
		fatal("API socket %s", path);
	}
	if (!S_ISSOCK(st.st_mode))
		fatalx("API socket %s: there is something else by that name; it was not touched",
		    path);
	while (answers(path, addr)) {
		if (clock_mono_ms() > end)
			fatalx("API socket %s: another service answers on it", path);
		nanosleep(&pause, NULL);
	}
	if (unlink(path) == -1)
		fatal("API socket %s: cannot remove what a run before left", path);
}

static void
give_group(const char *path, const char *name)
{
	const struct group *gr;
	gid_t gid;
	char *end;

	if (name[0] >= '0' && name[0] <= '9') {
		errno = 0;
		gid = (gid_t)strtoul(name, &end, 10);
		if (*end != '\0' || errno != 0)
			fatalx("service.socket_group: %s is no group id", name);
	} else if ((gr = getgrnam(name)) != NULL) {
		gid = gr->gr_gid;
	} else {
		fatalx("service.socket_group: there is no group %s", name);
	}
	if (chown(path, (uid_t)-1, gid) == -1)
		fatal("API socket %s: cannot give it to group %s", path, name);
}

void
ward_open_socket(struct ward *w)
{
	const char *path = config_str(w->config, "service", "socket");
	const char *group = config_str(w->config, "service", "socket_group");
	mode_t mode = (mode_t)config_int(w->config, "service", "socket_mode");
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(addr.sun_path))
		fatalx(
		    "service.socket: %s is longer than %zu bytes", path, sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	remove_stale(path, &addr);
	w->listen = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->listen == -1)
		fatal("API socket %s", path);
	/* umask 077: nobody else can reach it before group and mode are as configured */
	if (bind(w->listen, (const struct sockaddr *)&addr, sizeof(addr)) == -1)
		fatal("API socket %s: cannot make it", path);
	if (group[0] != '\0')
		give_group(path, group);
	if (chmod(path, mode) == -1)
		fatal("API socket %s: cannot set mode %o", path, (unsigned)mode);
	if (listen(w->listen, BACKLOG) == -1)
		fatal("API socket %s", path);
}
