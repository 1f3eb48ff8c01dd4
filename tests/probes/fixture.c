/* Folders, sockets and descriptors that the probes need. */
#include "tests/probes/fixture.h"

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

#define HIGH      200
#define NOBODY    65534
#define FIRST_UID 64101

struct fixture fix;

static int is_root;
static int channel[2], packet[2], logs[2], secret, null, api, client = -1;
static char api_path[96], data_root[96], data_host[96], empty[96], netd_root[96];

uid_t
fixture_uid(enum ward_role r, int as_root)
{
	if (!is_root)
		return (geteuid());
	return (as_root ? FIRST_UID + (uid_t)r : NOBODY);
}

static void
need(int ok, const char *what)
{
	if (!ok)
		fatal("fixture: %s", what);
}

static void
put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	need(fd != -1 && fchmod(fd, 0666) == 0, path);
	need(write(fd, text, strlen(text)) == (ssize_t)strlen(text), path);
	close(fd);
}

static void
folder(char *out, size_t size, const char *name, mode_t mode, uid_t uid)
{
	snprintf(out, size, "%s/%s", fix.folder, name);
	need(mkdir(out, mode) == 0 && chmod(out, mode) == 0, out);
	if (is_root)
		need(chown(out, uid, uid) == 0, out);
}

static uint16_t
listen_tcp(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	socklen_t len = sizeof(sin);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	need(s != -1 && bind(s, (struct sockaddr *)&sin, sizeof(sin)) == 0 && listen(s, 128) == 0 &&
		 getsockname(s, (struct sockaddr *)&sin, &len) == 0,
	    "listen");
	return (ntohs(sin.sin_port));
}

static int
listen_unix(const char *name, size_t len, size_t skip)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(sun.sun_path + skip, name, len);
	need(s != -1 &&
		 bind(s, (struct sockaddr *)&sun,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + skip + len)) == 0 &&
		 listen(s, 512) == 0,
	    name);
	return (s);
}

static void
make_sockets(void)
{
	fix.open_port = listen_tcp();
	fix.closed_port = listen_tcp();
	snprintf(fix.named, sizeof(fix.named), "%s/named", fix.folder);
	listen_unix(fix.named, strlen(fix.named) + 1, 0);
	need(chmod(fix.named, 0666) == 0, fix.named);
	snprintf(fix.abstract, sizeof(fix.abstract), "ward-probe-%d", (int)getpid());
	listen_unix(fix.abstract, strlen(fix.abstract), 1);
	snprintf(api_path, sizeof(api_path), "%s/api", fix.folder);
	api = listen_unix(api_path, strlen(api_path) + 1, 0);
	need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, channel) == 0 &&
		 socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, packet) == 0 &&
		 pipe2(logs, O_CLOEXEC | O_NONBLOCK) == 0,
	    "channels");
}

/* A process of the uid that the probes have, which others could trace if nothing forbade it. */
static pid_t
make_sibling(uid_t uid)
{
	pid_t pid = fork();

	need(pid != -1, "fork");
	if (pid != 0)
		return (pid);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (is_root && (setgroups(0, NULL) == -1 || setresgid(uid, uid, uid) == -1 ||
			   setresuid(uid, uid, uid) == -1))
		_exit(1);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	for (;;)
		pause();
}

void
fixture_make(void)
{
	char path[128];

	is_root = geteuid() == 0;
	umask(0);
	snprintf(fix.folder, sizeof(fix.folder), "/tmp/ward-probes-XXXXXX");
	need(mkdtemp(fix.folder) != NULL && chmod(fix.folder, 0777) == 0, "mkdtemp");
	snprintf(fix.file, sizeof(fix.file), "%s/outside", fix.folder);
	put(fix.file, "outside");
	folder(data_root, sizeof(data_root), "data-root", 0700, fixture_uid(ROLE_STORED, 1));
	folder(data_host, sizeof(data_host), "data-host", 0700, fixture_uid(ROLE_STORED, 0));
	folder(empty, sizeof(empty), "empty", 0555, 0);
	folder(netd_root, sizeof(netd_root), "netd", 0755, 0);
	snprintf(path, sizeof(path), "%s/etc", netd_root);
	need(mkdir(path, 0755) == 0, path);
	snprintf(path, sizeof(path), "%s/etc/hosts", netd_root);
	put(path, "127.0.0.1 localhost\n");
	snprintf(path, sizeof(path), "%s/secret", fix.folder);
	put(path, "secret");
	need((secret = open(path, O_RDONLY | O_CLOEXEC)) != -1, path);
	need((null = open("/dev/null", O_RDWR | O_CLOEXEC)) != -1, "/dev/null");
	make_sockets();
	fix.parent = getpid();
	fix.sibling = make_sibling(fixture_uid(ROLE_KEYD, 0));
}

void
fixture_remove(void)
{
	char command[128];

	kill(fix.sibling, SIGKILL);
	(void)waitpid(fix.sibling, NULL, 0);
	snprintf(command, sizeof(command), "rm -rf '%s'", fix.folder);
	if (system(command) != 0)
		log_warnx("%s is left behind", fix.folder);
}

void
fixture_before(const char *act, int as_root)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char path[128], rest[4096];
	int s;

	snprintf(path, sizeof(path), "%s/victim", fix.folder);
	put(path, "victim");
	snprintf(path, sizeof(path), "%s/made", fix.folder);
	(void)unlink(path); /* of the probe before */
	while (read(logs[0], rest, sizeof(rest)) > 0 || read(channel[0], rest, sizeof(rest)) > 0)
		;
	while ((s = accept(api, NULL, NULL)) != -1)
		close(s);
	if (client != -1)
		close(client);
	memcpy(sun.sun_path, api_path, strlen(api_path) + 1);
	client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	need(client != -1 && connect(client, (struct sockaddr *)&sun, sizeof(sun)) == 0, "client");
}

static int
descriptor_for(const struct policy_fd *f, int as_root)
{
	switch (f->kind) {
	case FD_NULL:
		return (null);
	case FD_PACKET:
		return (packet[1]);
	case FD_STREAM:
		return (channel[1]);
	case FD_LISTENING:
		return (api);
	case FD_PIPE:
		return (logs[1]);
	case FD_DIR:
		return (open(as_root ? data_root : data_host, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	case FD_READABLE:
		return (secret);
	case FD_ANON:
		break;
	}
	return (-1);
}

static void
arrange(enum ward_role r, int as_root)
{
	const struct policy_fd *fds = policy_of(r)->fds, *f;
	int high[32], top = 0;

	for (f = fds; f->name != NULL; f++, top++) {
		high[top] = -1;
		if (!f->early) {
			high[top] = fcntl(descriptor_for(f, as_root), F_DUPFD_CLOEXEC, HIGH);
			need(high[top] != -1, f->name);
		}
	}
	for (f = fds; f->name != NULL; f++) {
		if (high[f - fds] == -1)
			close(f->fd);
		else
			need(dup2(high[f - fds], f->fd) == f->fd, f->name);
	}
	need(syscall(SYS_close_range, (unsigned)top, ~0u, 0u) == 0, "close_range");
	log_open("probe", FD_LOG);
}

static void
become(uid_t uid)
{
	if (!is_root)
		return;
	need(setgroups(0, NULL) == 0 && setresgid(uid, uid, uid) == 0 &&
		 setresuid(uid, uid, uid) == 0,
	    "identity");
}

/* ward has no table of its own here: it gets what keyd has. */
void
fixture_enter(enum ward_role r, int as_root)
{
	const char *cwd = as_root ? empty : "/";

	if (r == ROLE_STORED)
		cwd = as_root ? data_root : data_host;
	else if (r == ROLE_NETD && as_root)
		cwd = netd_root;
	need(chdir(cwd) == 0, cwd);
	arrange(r == ROLE_WARD ? ROLE_KEYD : r, as_root);
	if (!as_root)
		become(fixture_uid(r, 0));
}

void
fixture_enter_bare(int as_root)
{
	need(chdir(fix.folder) == 0, fix.folder);
	arrange(ROLE_APID, as_root);
	if (!as_root)
		become(fixture_uid(ROLE_APID, 0));
}
