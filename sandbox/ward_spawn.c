/* Channels, children and their boot: what is in the picture exists, and nothing else does. */
#include "sandbox/ward.h"

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "sandbox/control.h"

#define GIVEN_MAX 10 /* descriptor numbers 0 … 9 of a child */
#define HIGH      64 /* above all numbers of the tables */

/* Each edge of the picture: who is joined with whom, and by which number each knows it. */
static const struct edge {
	enum ward_role a;
	int a_fd;
	enum ward_role b;
	int b_fd;
} edges[] = {
    {ROLE_KEYD, KEYD_FD_NETD, ROLE_NETD, NETD_FD_KEYD},
    {ROLE_KEYD, KEYD_FD_APID, ROLE_APID, APID_FD_KEYD},
    {ROLE_KEYD, KEYD_FD_STORED, ROLE_STORED, STORED_FD_KEYD},
    {ROLE_NETD, NETD_FD_APID, ROLE_APID, APID_FD_NETD},
    {ROLE_APID, APID_FD_STORED, ROLE_STORED, STORED_FD_APID},
};

static const unsigned config_for[ROLE_COUNT] = {
    [ROLE_KEYD] = CONFIG_FOR_KEYD,
    [ROLE_NETD] = CONFIG_FOR_NETD,
    [ROLE_STORED] = CONFIG_FOR_STORED,
    [ROLE_APID] = CONFIG_FOR_APID,
};

/* What a child is given, by number; -1 = nothing. The parent closes all of it after the fork. */
struct given {
	int fd[GIVEN_MAX];
};

static void
make_channels(struct given given[ROLE_COUNT])
{
	size_t i;
	int pair[2];

	for (i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
		const struct edge *e = &edges[i];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == -1)
			fatal("channel between %s and %s", role_name(e->a), role_name(e->b));
		given[e->a].fd[e->a_fd] = pair[0];
		given[e->b].fd[e->b_fd] = pair[1];
	}
}

/* The control channel and the log pipe of one child; log writes never block it. */
static void
make_own(struct ward_child *c, struct given *g)
{
	const int size = 1 << 19; /* a report and a config fit as one packet */
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1 ||
	    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == -1 ||
	    fcntl(pair[0], F_SETFL, O_NONBLOCK) == -1)
		fatal("control channel of %s", role_name(c->role));
	c->control = pair[0];
	g->fd[FD_CONTROL] = pair[1];
	if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) == -1)
		fatal("log pipe of %s", role_name(c->role));
	c->log = pair[0];
	g->fd[FD_LOG] = pair[1];
}

static int
null_fd(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd == -1)
		fatal("/dev/null");
	return (fd);
}

/* In the child: the descriptors get their numbers, everything else closes at exec. */
static void
arrange(struct given *g)
{
	int i;

	for (i = 0; i < GIVEN_MAX; i++) {
		if (g->fd[i] != -1 && (g->fd[i] = fcntl(g->fd[i], F_DUPFD_CLOEXEC, HIGH)) == -1)
			fatal("descriptor %d", i);
	}
	for (i = 0; i < GIVEN_MAX; i++) {
		if (g->fd[i] == -1)
			close(i);
		else if (dup2(g->fd[i], i) == -1)
			fatal("descriptor %d", i);
	}
	if (syscall(SYS_close_range, (unsigned)GIVEN_MAX, ~0u, CLOSE_RANGE_CLOEXEC) == -1)
		fatal("close_range");
}

/* The folder that the child will make its root; stored's is its working folder in any case. */
static int
working_folder(const struct ward *w, enum ward_role r)
{
	if (r == ROLE_STORED)
		return (w->data);
	return (r == ROLE_NETD ? w->netd_root : w->empty_root);
}

/* Sanitizers of a development build take their options from the environment; nothing else is
 * passed. */
static char **
environment(void)
{
	static char *env[4];

#ifdef WARD_SANITIZED
	static const char *const names[] = {"ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"};
	size_t i, n = 0;

	for (i = 0; i < 3; i++) {
		const char *v = getenv(names[i]);

		if (v != NULL && asprintf(&env[n], "%s=%s", names[i], v) != -1)
			n++;
	}
#endif
	return (env);
}

static void __attribute__((noreturn))
become(struct ward *w, enum ward_role r, struct given *g, pid_t parent)
{
	char name[16];
	char *argv[] = {name, NULL};
	sigset_t none;
	int folder, program;

	snprintf(name, sizeof(name), "%s", role_name(r));
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1 || getppid() != parent)
		fatalx("%s: the parent is gone", name);
	sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) == -1)
		fatal("%s: signals", name);
	folder = working_folder(w, r);
	if (folder == -1 ? chdir("/") == -1 : fchdir(folder) == -1)
		fatal("%s: working folder", name);
	if ((program = fcntl(w->program[r], F_DUPFD_CLOEXEC, HIGH)) == -1)
		fatal("%s: program", name);
	arrange(g);
	(void)syscall(SYS_execveat, program, "", argv, environment(), AT_EMPTY_PATH);
	if (errno == ENOSYS) /* some tools that run us do not know it */
		(void)fexecve(program, argv, environment());
	log_open(name, FD_LOG);
	fatal("cannot run the program");
}

static void
fork_child(struct ward *w, enum ward_role r, struct given *g)
{
	struct ward_child *c = &w->child[r];
	pid_t parent = getpid();
	int i;

	g->fd[0] = null_fd();
	g->fd[1] = null_fd();
	/* a developer wants to see what debuggers and sanitizers say */
	g->fd[2] = w->unconfined ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3) : null_fd();
	if ((c->pid = fork()) == -1)
		fatal("cannot start %s", role_name(r));
	if (c->pid == 0)
		become(w, r, g, parent);
	for (i = 0; i < GIVEN_MAX; i++) {
		if (g->fd[i] != -1)
			close(g->fd[i]);
	}
}

static void
boot_child(struct ward *w, enum ward_role r)
{
	struct ward_child *c = &w->child[r];
	struct control_boot boot = {.role = r};
	uint8_t *packed;
	char *text;
	size_t len;

	if ((text = config_text_for(w->config, config_for[r], &boot.config_len)) == NULL)
		fatal("config for %s", role_name(r));
	boot.config = text;
	boot.flags = (w->unconfined ? CONTROL_UNCONFINED : 0) | (w->as_root ? CONTROL_AS_ROOT : 0) |
		     (w->landlock_optional ? CONTROL_LANDLOCK_OPTIONAL : 0);
	boot.uid = w->uid[r];
	boot.gid = w->gid[r];
	boot.parent = (uint32_t)getpid();
	boot.log_level = w->level;
	if ((packed = control_boot_pack(&boot, &len)) == NULL)
		fatalx("the config is too long for %s", role_name(r));
	if (control_send(c->control, CONTROL_BOOT, packed, len) == -1)
		fatal("cannot boot %s", role_name(r));
	free(packed);
	free(text);
}

void
ward_spawn_all(struct ward *w)
{
	struct given given[ROLE_COUNT];
	int r, i;

	for (r = 0; r < ROLE_COUNT; r++) {
		for (i = 0; i < GIVEN_MAX; i++)
			given[r].fd[i] = -1;
	}
	make_channels(given);
	given[ROLE_KEYD].fd[KEYD_FD_SECRET] = w->secret;
	given[ROLE_KEYD].fd[KEYD_FD_NEXT_SECRET] = w->next_secret;
	given[ROLE_NETD].fd[NETD_FD_CA] = w->ca;
	given[ROLE_APID].fd[APID_FD_LISTEN] = w->listen;
	given[ROLE_STORED].fd[STORED_FD_DATA] = fcntl(w->data, F_DUPFD_CLOEXEC, 3);
	for (r = ROLE_KEYD; r < ROLE_COUNT; r++) {
		w->child[r].role = (enum ward_role)r;
		make_own(&w->child[r], &given[r]);
	}
	for (r = ROLE_KEYD; r < ROLE_COUNT; r++) {
		fork_child(w, (enum ward_role)r, &given[r]);
		close(w->program[r]);
		boot_child(w, (enum ward_role)r);
	}
	close(w->data);
	if (w->empty_root != -1)
		close(w->empty_root);
	if (w->netd_root != -1)
		close(w->netd_root);
}

static const char *
who_is_late(const struct ward *w)
{
	int r;

	for (r = ROLE_KEYD; r < ROLE_COUNT; r++) {
		if (!w->child[r].ready)
			return (role_name((enum ward_role)r));
	}
	return (NULL);
}

void
ward_await_ready(struct ward *w)
{
	int64_t wait = config_int(w->config, "service", "ready_timeout");
	int64_t left, end = clock_mono_ms() + wait;
	const char *late;

	while ((late = who_is_late(w)) != NULL && !w->failed && !w->stop_asked) {
		if ((left = end - clock_mono_ms()) <= 0) {
			log_errx("%s is not ready after %lld ms", late, (long long)wait);
			break;
		}
		ward_round(w, (int)left);
	}
	if (late == NULL && !w->failed && !w->stop_asked)
		return;
	ward_end_all(w);
	if (!w->stop_asked || w->failed)
		fatalx("not started");
	log_notice("stopped before all were ready");
	exit(0);
}
