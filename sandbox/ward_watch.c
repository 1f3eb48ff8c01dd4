/* The parent's loop: log lines, messages of the children, signals, and the end. */
#include "sandbox/ward.h"

#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "sandbox/control.h"

#define LAST_WORDS_MS 200  /* for the true culprit to become known */
#define KILLED_MS     5000 /* for the kernel to end what was killed */

static int
running(const struct ward *w)
{
	int r, n = 0;

	for (r = ROLE_KEYD; r < ROLE_COUNT; r++)
		n += w->child[r].pid != 0;
	return (n);
}

/* How a child ended, in words. */
static void
describe_end(int status, char *out, size_t size)
{
	if (WIFEXITED(status))
		snprintf(out, size, "exited with status %d", WEXITSTATUS(status));
	else if (WTERMSIG(status) == SIGSYS)
		snprintf(out, size,
		    "was killed for a forbidden system call (SIGSYS; the kernel's "
		    "audit log has its number)");
	else
		snprintf(out, size, "was killed by signal %d (%s)", WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
}

static void
on_end(struct ward *w, struct ward_child *c, int status)
{
	char how[128];

	ward_log_read(w, c); /* its last words come first */
	describe_end(status, how, sizeof(how));
	if (w->stopping && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		log_debug("%s[%d] stopped", role_name(c->role), (int)c->pid);
	} else if (w->killing && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
		log_debug("%s[%d] was ended", role_name(c->role), (int)c->pid);
	} else if (c->told && WIFEXITED(status)) {
		log_debug("%s[%d] ended after its report", role_name(c->role), (int)c->pid);
	} else {
		log_errx("%s[%d] %s", role_name(c->role), (int)c->pid, how);
		w->failed = 1;
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
			w->outside = 1;
		else
			w->fault = 1;
	}
	c->pid = 0;
}

static void
reap(struct ward *w)
{
	int r, status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (r = ROLE_KEYD; r < ROLE_COUNT; r++) {
			if (w->child[r].pid == pid)
				on_end(w, &w->child[r], status);
		}
	}
}

static void
on_ready(struct ward *w, struct ward_child *c, const struct control_msg *m)
{
	c->ready = 1;
	c->report.max = CONTROL_REPORT_MAX;
	if (buf_put(&c->report, m->payload, m->len) == -1) {
		log_errx("%s[%d]: its report does not fit", role_name(c->role), (int)c->pid);
		w->failed = 1;
	}
	log_debug("%s[%d] is ready", role_name(c->role), (int)c->pid);
}

static void
close_control(struct ward_child *c)
{
	close(c->control);
	c->control = -1;
}

/* One message of a child. That its channel closes is no news: how it ended is, and SIGCHLD tells.
 */
static void
on_control(struct ward *w, struct ward_child *c)
{
	static uint8_t packet[CONTROL_HEADER + CONTROL_REPORT_MAX];
	unsigned allowed =
	    CONTROL_MAY(CONTROL_INCIDENT) | (c->ready ? 0 : CONTROL_MAY(CONTROL_READY));
	struct control_msg m;
	const char *why;

	switch (control_recv(c->control, MSG_DONTWAIT, packet, sizeof(packet), allowed, &m, &why)) {
	case CONTROL_AGAIN:
		return;
	case CONTROL_EOF:
		close_control(c);
		return;
	case CONTROL_BROKEN:
		log_errx("%s[%d] broke the contract with ward: %s", role_name(c->role), (int)c->pid,
		    why);
		w->failed = w->fault = 1;
		close_control(c);
		return;
	case CONTROL_OK:
		break;
	}
	if (m.type == CONTROL_READY) {
		on_ready(w, c, &m);
		return;
	}
	c->told = 1;
	log_errx("incident reported by %s[%d]: %.*s", role_name(c->role), (int)c->pid, (int)m.len,
	    (const char *)m.payload);
	w->failed = w->fault = 1;
}

static void
on_signals(struct ward *w)
{
	struct signalfd_siginfo si;

	while (read(w->signals, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		switch (si.ssi_signo) {
		case SIGTERM:
		case SIGINT:
			w->stop_asked = 1;
			break;
		case SIGHUP:
			log_notice(
			    "SIGHUP: the config is read at the start only; restart to change it");
			break;
		default:
			break; /* SIGCHLD: reaped below */
		}
	}
	reap(w);
}

void
ward_round(struct ward *w, int timeout_ms)
{
	struct pollfd p[1 + 2 * ROLE_COUNT];
	int r, n;

	memset(p, 0, sizeof(p));
	p[0].fd = w->signals;
	p[0].events = POLLIN;
	for (r = 0; r < ROLE_COUNT; r++) {
		p[1 + r].fd = r == ROLE_WARD ? -1 : w->child[r].log;
		p[1 + ROLE_COUNT + r].fd = r == ROLE_WARD ? -1 : w->child[r].control;
		p[1 + r].events = p[1 + ROLE_COUNT + r].events = POLLIN;
	}
	n = poll(p, sizeof(p) / sizeof(p[0]), timeout_ms);
	if (n == -1 && errno != EINTR)
		fatal("poll");
	if (n <= 0)
		return;
	for (r = ROLE_KEYD; r < ROLE_COUNT; r++) {
		if (p[1 + r].revents != 0)
			ward_log_read(w, &w->child[r]);
	}
	for (r = ROLE_KEYD; r < ROLE_COUNT; r++) {
		if (p[1 + ROLE_COUNT + r].revents != 0)
			on_control(w, &w->child[r]);
	}
	if (p[0].revents != 0)
		on_signals(w);
}

/* Rounds until all children are gone or the time is over. */
static void
rounds_until_gone(struct ward *w, int64_t ms)
{
	int64_t left, end = clock_mono_ms() + ms;

	while (running(w) > 0 && (left = end - clock_mono_ms()) > 0)
		ward_round(w, (int)left);
}

void
ward_end_all(struct ward *w)
{
	int r;

	/* When a process dies, its peers see a closed channel and may say so before the kernel
	 * tells us who died: wait a moment for the cause. */
	if (w->failed)
		rounds_until_gone(w, LAST_WORDS_MS);
	ward_note_end(w);
	w->failed = w->killing = 1;
	for (r = ROLE_KEYD; r < ROLE_COUNT; r++) {
		if (w->child[r].pid != 0 && kill(w->child[r].pid, SIGKILL) == -1)
			log_err("cannot end %s[%d]", role_name((enum ward_role)r),
			    (int)w->child[r].pid);
	}
	rounds_until_gone(w, KILLED_MS);
	if (running(w) > 0)
		log_errx("%d processes are still there", running(w));
}

/* STOP to all, and time to finish; then by force. */
static int
stop_all(struct ward *w)
{
	int r;

	w->stopping = 1;
	ward_notify(w, "STOPPING=1");
	log_notice("stopping");
	for (r = ROLE_KEYD; r < ROLE_COUNT; r++) {
		if (w->child[r].control != -1 &&
		    control_send(w->child[r].control, CONTROL_STOP, NULL, 0) == -1)
			log_warn("%s: cannot say STOP", role_name((enum ward_role)r));
	}
	rounds_until_gone(w, WARD_STOP_MS);
	if (running(w) > 0) {
		for (r = ROLE_KEYD; r < ROLE_COUNT; r++) {
			if (w->child[r].pid != 0)
				log_errx("%s[%d] did not stop in %d s and is killed",
				    role_name((enum ward_role)r), (int)w->child[r].pid,
				    WARD_STOP_MS / 1000);
		}
		ward_end_all(w);
	}
	log_notice("stopped");
	return (w->failed ? 1 : 0);
}

int
ward_watch(struct ward *w)
{
	int64_t next = clock_mono_ms() + w->watchdog_ms, left;

	while (!w->failed && !w->stop_asked) {
		if (w->watchdog_ms == 0) {
			ward_round(w, -1);
			continue;
		}
		if ((left = next - clock_mono_ms()) <= 0) {
			ward_notify(w, "WATCHDOG=1");
			next = clock_mono_ms() + w->watchdog_ms;
			left = w->watchdog_ms;
		}
		ward_round(w, (int)left);
	}
	if (!w->failed)
		return (stop_all(w));
	ward_end_all(w);
	log_errx("the service ends because of the above; the service manager may start it again");
	return (1);
}
