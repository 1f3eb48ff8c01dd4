/* What every child does around its loop: boot, confinement, READY, stop, and the word on a broken
 * peer. */
#include "sandbox/child.h"

#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <nss.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/log.h"
#include "ipc/channel.h"
#include "sandbox/control.h"
#include "sandbox/ports.h"
#include "sandbox/report.h"
#include "sandbox/sandbox.h"

#define BOOT_WAIT_MS   10000
#define CLOSED_GRACE_S 3 /* for the parent to end us after a peer closed its channel */

struct child_control {
	struct config *config; /* these two as in struct child, which may live on a stack */
	struct event_base *base;
	struct sandbox_params params;
	struct sandbox_state state;
	struct buf libraries;
	struct event *event;
	char closed[64]; /* the channel that a peer closed first; "" = none */
	uint8_t packet[CONTROL_PACKET_MAX];
	int went, stopping, status;
};

/* A process has one, for its whole life: never freed, and (volatile: the compiler keeps it) never
 * lost to those who look for leaks. */
static struct child_control *volatile the_control;

/* Descriptor 3 must be the parent's packet socket, or nobody started us who knows how. */
static void
refuse_by_hand(enum ward_role role)
{
	int type = 0;
	socklen_t len = sizeof(type);

	if (getsockopt(FD_CONTROL, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET)
		return;
	fprintf(stderr, "%s: this is a part of ward and is started by it alone; see ward(8)\n",
	    role_name(role));
	exit(2);
}

/* A terminal's ^C and a service manager's signal to the group are for the parent, who says STOP. */
static void
ignore_signals(void)
{
	static const int sigs[] = {SIGPIPE, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
	size_t i;

	for (i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		if (signal(sigs[i], SIG_IGN) == SIG_ERR)
			fatal("cannot ignore signal %d", sigs[i]);
	}
}

static void
receive_boot(struct child *c, struct control_boot *boot)
{
	struct child_control *ctl = c->control;
	struct pollfd pfd = {.fd = FD_CONTROL, .events = POLLIN};
	struct control_msg m;
	const char *why;
	int n;

	do {
		n = poll(&pfd, 1, BOOT_WAIT_MS);
	} while (n == -1 && errno == EINTR);
	if (n != 1)
		fatalx("no boot message from the parent in %d ms", BOOT_WAIT_MS);
	switch (control_recv(FD_CONTROL, MSG_DONTWAIT, ctl->packet, sizeof(ctl->packet),
	    CONTROL_MAY(CONTROL_BOOT), &m, &why)) {
	case CONTROL_OK:
		break;
	case CONTROL_BROKEN:
		fatalx("boot message: %s", why);
	default:
		fatalx("boot message: the parent is gone");
	}
	if (control_boot_unpack(&m, boot, &why) == -1)
		fatalx("boot message: %s", why);
	if (boot->role != (uint32_t)c->role)
		fatalx("boot message for another role");
	if (getppid() != (pid_t)boot->parent)
		fatalx("the parent is gone");
}

static void
parse_config(struct child *c, const struct control_boot *boot)
{
	char err[512];

	c->config = config_parse("ward.conf", boot->config, boot->config_len, err, sizeof(err));
	if (c->config == NULL)
		fatalx("config from the parent: %s", err);
}

static int
compare_bytes(const void *a, const void *b)
{
	return *(const char *)a - *(const char *)b;
}

/* What would open files or load modules later is done now. */
static void
warm_up(struct child *c)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *ai;
	char draw[16], big[2048] = {0};

	if (getrandom(draw, sizeof(draw), 0) != (ssize_t)sizeof(draw))
		fatal("getrandom");
	tzset();
	/* glibc before 2.37 asks once for the size of memory (sysinfo) when it sorts more than 1
	 * KiB */
	qsort(big, sizeof(big) / sizeof(big[0]), sizeof(big[0]), compare_bytes);
	if (c->role != ROLE_NETD)
		return;
	/* files and dns are inside the C library; other modules are code loaded from files */
	if (__nss_configure_lookup("hosts", "files dns") != 0)
		fatalx("cannot set the sources of names");
	if (getaddrinfo("localhost", "1", &hints, &ai) == 0)
		freeaddrinfo(ai);
}

void
child_boot(struct child *c, enum ward_role role, int argc, char **argv)
{
	struct control_boot boot;
	struct sandbox_params *p;

	refuse_by_hand(role);
	memset(c, 0, sizeof(*c));
	c->role = role;
	log_open(role_name(role), FD_LOG);
	if (argc != 1)
		fatalx("arguments: there are none");
	ignore_signals();
	umask(077);
	if ((c->control = calloc(1, sizeof(*c->control))) == NULL)
		fatal("child_boot");
	the_control = c->control;
	receive_boot(c, &boot);
	log_set_level((enum log_level)boot.log_level);
	parse_config(c, &boot);
	c->unconfined = (boot.flags & CONTROL_UNCONFINED) != 0;

	p = &c->control->params;
	p->role = role;
	p->as_root = (boot.flags & CONTROL_AS_ROOT) != 0;
	p->uid = boot.uid;
	p->gid = boot.gid;
	p->parent = (pid_t)boot.parent;
	p->landlock_optional = (boot.flags & CONTROL_LANDLOCK_OPTIONAL) != 0;
	if (policy_of(role)->tcp_connect)
		p->nports = ports_of_config(c->config, p->ports, SANDBOX_PORTS_MAX);
	if (role == ROLE_APID)
		p->clients = (unsigned)config_int(c->config, "api", "max_connections");

	if ((c->base = event_base_new()) == NULL)
		fatalx("cannot make the event loop");
	c->control->config = c->config;
	c->control->base = c->base;
	warm_up(c);
}

void
child_confine(struct child *c)
{
	struct child_control *ctl = c->control;
	char err[SANDBOX_ERR];

	if (fcntl(FD_CONTROL, F_SETFL, O_NONBLOCK) == -1)
		fatal("control channel");
	report_libraries(&ctl->libraries);
	if (c->unconfined) {
		log_warnx("NOT CONFINED: developer_unconfined is set");
		(void)snprintf(ctl->state.root, sizeof(ctl->state.root), "/");
		if (privs_die_with(ctl->params.parent, err) == -1)
			fatalx("%s", err);
		return;
	}
#ifdef WARD_SANITIZED
	fatalx("a build with sanitizers cannot be confined: set developer_unconfined = yes");
#endif
	sandbox_enter(&ctl->params, &ctl->state);
	if (ctl->state.landlock_abi == 0)
		log_warnx("this kernel has no Landlock: files and ports are held by seccomp alone");
	log_debug("confined: %u system calls, Landlock ABI %d", ctl->state.calls,
	    ctl->state.landlock_abi);
}

/* STOP is an order; anything that is not one of ours, or the end of the parent, ends us at once. */
static void
on_control(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;
	struct child_control *ctl = c->control;
	unsigned allowed = CONTROL_MAY(CONTROL_STOP) | (ctl->went ? 0 : CONTROL_MAY(CONTROL_GO));
	struct control_msg m;
	const char *why;

	switch (
	    control_recv(fd, MSG_DONTWAIT, ctl->packet, sizeof(ctl->packet), allowed, &m, &why)) {
	case CONTROL_AGAIN:
		return;
	case CONTROL_EOF:
		log_errx("the parent is gone");
		child_exit(c, 1);
		return;
	case CONTROL_BROKEN:
		log_errx("control channel: %s", why);
		child_exit(c, 1);
		return;
	case CONTROL_OK:
		break;
	}
	if (m.type == CONTROL_GO) {
		ctl->went = 1;
		if (c->on_go != NULL)
			c->on_go(c, (const char *)m.payload, m.len);
	} else if (!ctl->stopping) {
		ctl->stopping = 1;
		log_debug("stopping");
		if (c->on_stop != NULL)
			c->on_stop(c);
		else
			child_exit(c, 0);
	}
}

void
child_ready(struct child *c)
{
	struct child_control *ctl = c->control;
	struct buf report = BUF_INIT;

	report.max = CONTROL_REPORT_MAX;
	if (report_self(&ctl->params, &ctl->state, &ctl->libraries, &report) == -1)
		fatalx("the report on confinement does not fit");
	buf_clear(&ctl->libraries);
	ctl->event = event_new(c->base, FD_CONTROL, EV_READ | EV_PERSIST, on_control, c);
	if (ctl->event == NULL || event_add(ctl->event, NULL) == -1)
		fatalx("cannot listen to the parent");
	if (control_send(FD_CONTROL, CONTROL_READY, report.data, report.len) == -1)
		fatal("cannot tell the parent READY");
	buf_clear(&report);
}

int
child_run(struct child *c)
{
	if (event_base_dispatch(c->base) == -1)
		fatalx("the event loop failed");
	return (c->control->status);
}

void
child_exit(struct child *c, int status)
{
	c->control->status = status;
	event_base_loopbreak(c->base);
}

void
child_incident(struct child *c, const char *fmt, ...)
{
	char text[CONTROL_INCIDENT_MAX + 1];
	va_list ap;

	va_start(ap, fmt);
	/* cut when long. NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): false, clang 14 */
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (text[0] == '\0' || control_send(FD_CONTROL, CONTROL_INCIDENT, text, strlen(text)) == -1)
		log_errx("incident: %s", text);
	_exit(1); /* nothing of what is in memory is worth trusting for a tidy end */
}

void
child_channel_broken(struct channel *ch, void *child, const char *why)
{
	struct child *c = child;

	if (!c->control->stopping)
		on_control(FD_CONTROL, EV_READ, c); /* STOP may be there, not yet read */
	if (c->control->stopping) {
		log_info("%s: ended while stopping: %s", channel_name(ch), why);
		return;
	}
	child_incident(c, "%s: the peer broke the contract: %s", channel_name(ch), why);
}

/* A peer that closed while neither we nor it were told to stop. */
static void
on_closed_for_long(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;

	if (!c->control->stopping)
		child_incident(c, "%s: the peer closed its channel", c->control->closed);
}

void
child_channel_closed(struct channel *ch, void *child)
{
	struct child *c = child;
	const struct timeval grace = {CLOSED_GRACE_S, 0};

	if (c->control->stopping || c->control->closed[0] != '\0')
		return;
	(void)snprintf(c->control->closed, sizeof(c->control->closed), "%s", channel_name(ch));
	/* Either the peer has died, and the parent, who knows how, ends us; or the service is
	 * stopping and the peer had its STOP before us. Both come within moments: only after them
	 * is it an incident. */
	if (event_base_once(c->base, -1, EV_TIMEOUT, on_closed_for_long, c, &grace) == -1)
		child_incident(c, "%s: the peer closed its channel", c->control->closed);
}
