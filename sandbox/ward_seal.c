/* The parent gives up what it needs no more, and then lets the others go. */
#include "sandbox/ward.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "sandbox/control.h"
#include "sandbox/report.h"
#include "sandbox/sandbox.h"

/* A confinement that is not what it should be: nothing was read from anybody yet, so just end. */
static void __attribute__((noreturn)) refuse(struct ward *w, const char *why)
{
	log_errx("confinement is not as it must be: %s", why);
	ward_end_all(w);
	exit(1);
}

static int
open_status(struct ward *w, const char *pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/status", pid);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1) {
		log_err("%s", path);
		refuse(w, "/proc does not show the processes (ProtectProc=default is needed)");
	}
	return (fd);
}

/* Own words first, then the kernel's. */
static void
collect(struct ward *w)
{
	char pid[16], err[256];
	int r, fd;

	w->report.max = CONTROL_TEXT_MAX;
	for (r = ROLE_KEYD; r < ROLE_COUNT; r++) {
		struct ward_child *c = &w->child[r];

		buf_put(&w->report, c->report.data, c->report.len);
		buf_clear(&c->report);
		snprintf(pid, sizeof(pid), "%d", (int)c->pid);
		fd = open_status(w, pid);
		if (ward_report_status(w, (enum ward_role)r, fd, &w->report, err, sizeof(err)) ==
		    -1)
			refuse(w, err);
		close(fd);
	}
}

static void
note(struct sandbox_state *s, int fd, const char *name)
{
	if (fd == -1 || s->nopen == SANDBOX_OPEN_MAX)
		return;
	s->open[s->nopen].fd = fd;
	s->open[s->nopen].name = name;
	s->nopen++;
}

static void
note_descriptors(const struct ward *w, struct sandbox_state *s)
{
	static const char *const control[ROLE_COUNT] = {NULL, "keyd", "netd", "stored", "apid"};
	static const char *const log[ROLE_COUNT] = {
	    NULL, "keyd log", "netd log", "stored log", "apid log"};
	int r;

	note(s, 0, "input");
	note(s, 1, "output");
	note(s, 2, "log");
	note(s, w->signals, "signals");
	note(s, w->notify, "service manager");
	note(s, w->ended, "how it ended");
	for (r = ROLE_KEYD; r < ROLE_COUNT; r++) {
		note(s, w->child[r].control, control[r]);
		note(s, w->child[r].log, log[r]);
	}
}

static void
confine(struct ward *w, struct sandbox_params *p, struct sandbox_state *s)
{
	pid_t pids[ROLE_COUNT];
	int r;

	for (r = ROLE_KEYD; r < ROLE_COUNT; r++)
		pids[p->nchildren++] = w->child[r].pid;
	p->role = ROLE_WARD;
	p->as_root = w->as_root;
	p->landlock_optional = w->landlock_optional;
	p->children = pids;
	if (!w->unconfined)
		sandbox_enter(p, s);
	p->children = NULL;
	sandbox_add(s->root, sizeof(s->root), "/");
}

static void
go(struct ward *w)
{
	int r, is_apid;

	for (r = ROLE_KEYD; r < ROLE_COUNT; r++) {
		is_apid = r == ROLE_APID;
		if (control_send(w->child[r].control, CONTROL_GO, is_apid ? w->report.data : NULL,
			is_apid ? w->report.len : 0) == -1)
			refuse(w, "a child does not take its GO");
	}
}

void
ward_seal(struct ward *w)
{
	struct sandbox_params p = {0};
	struct sandbox_state s = {0};
	struct buf libraries = BUF_INIT;
	char err[256];
	int fd;

	collect(w);
	report_libraries(&libraries);
	fd = open_status(w, "self");
	confine(w, &p, &s);
	note_descriptors(w, &s);
	if (ward_report_status(w, ROLE_WARD, fd, &w->report, err, sizeof(err)) == -1)
		refuse(w, err);
	close(fd);
	if (report_self(&p, &s, &libraries, &w->report) == -1)
		refuse(w, "the report does not fit");
	ward_report_service(w);
	if (w->report.failed)
		refuse(w, "the report does not fit");
	go(w);
	buf_clear(&libraries);
	buf_clear(&w->report);
}
