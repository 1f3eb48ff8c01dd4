/* Words to the service manager, by its datagram socket (sd_notify(3) says how). */
#include "sandbox/ward.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

/* "/path", or "@name" in the abstract space. */
static void
connect_to(struct ward *w, const char *name)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = strlen(name);

	if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof(addr.sun_path))
		fatalx("NOTIFY_SOCKET: not a socket name");
	memcpy(addr.sun_path, name, len);
	if (name[0] == '@')
		addr.sun_path[0] = '\0';
	w->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->notify == -1 || connect(w->notify, (const struct sockaddr *)&addr,
				   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) == -1)
		fatal("NOTIFY_SOCKET: cannot reach the service manager");
}

static int64_t
number_of(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long long v;

	if (text == NULL)
		return (-1);
	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || v <= 0)
		fatalx("%s: not a positive number", name);
	return (v);
}

void
ward_notify_open(struct ward *w)
{
	const char *name = getenv("NOTIFY_SOCKET");
	int64_t usec, pid;

	w->notify = -1;
	w->watchdog_ms = 0;
	if (name == NULL || name[0] == '\0')
		return;
	connect_to(w, name);
	usec = number_of("WATCHDOG_USEC");
	pid = number_of("WATCHDOG_PID");
	if (usec > 0 && (pid == -1 || pid == getpid()))
		w->watchdog_ms = usec / 2000 > 0 ? usec / 2000 : 1;
}

void
ward_notify(struct ward *w, const char *text)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (w->notify == -1)
		return;
	if (sendmsg(w->notify, &msg, MSG_NOSIGNAL) == -1)
		log_warn("cannot tell the service manager %s", text);
}
