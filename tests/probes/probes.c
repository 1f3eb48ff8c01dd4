/* Tries each act in the real sandbox of each role, and without: what must fail fails, for that
 * reason. */
#include <sys/prctl.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "sandbox/sandbox.h"
#include "tests/probes/acts.h"
#include "tests/probes/fixture.h"

#define CONTROL   (-1)
#define EXIT_BASE 64 /* exit status: this + errno; anything below is a failure to set up */

static unsigned passed, failed;
static int abi;

/* In the probe: what the parent of the service has, a child to end. */
static void
make_own_child(void)
{
	if ((fix.own_child = fork()) == -1)
		fatal("fork");
	if (fix.own_child != 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	for (;;)
		pause();
}

static void __attribute__((noreturn))
probe(const struct act *a, int role, int as_root, unsigned without)
{
	struct sandbox_params p = {.role = ROLE_KEYD, .as_root = as_root, .parent = getppid()};
	struct sandbox_state state;

	alarm(20);
	if (role == CONTROL)
		fixture_enter_bare(as_root);
	else
		fixture_enter((enum ward_role)role, as_root);
	if (role == CONTROL || role == ROLE_WARD)
		make_own_child();
	if (role != CONTROL) {
		p.role = (enum ward_role)role;
		p.uid = p.gid = fixture_uid(p.role, as_root);
		p.ports[0] = fix.open_port;
		p.nports = 1;
		p.clients = 16;
		p.children = &fix.own_child;
		p.nchildren = role == ROLE_WARD;
		p.without = without;
		p.landlock_optional = abi == 0;
		sandbox_enter(&p, &state);
	}
	_exit(EXIT_BASE + a->run());
}

static int
outcome(const struct act *a, int role, int as_root, unsigned without)
{
	pid_t pid;
	int status;

	fixture_before(a->name, as_root);
	fflush(stdout);
	if ((pid = fork()) == -1)
		fatal("fork");
	if (pid == 0)
		probe(a, role, as_root, without);
	while (waitpid(pid, &status, 0) == -1) {
		if (errno != EINTR)
			fatal("waitpid");
	}
	if (WIFSIGNALED(status))
		return (WTERMSIG(status) == SIGSYS ? KILLED : DIED(WTERMSIG(status)));
	if (WEXITSTATUS(status) < EXIT_BASE)
		return (-1);
	return (WEXITSTATUS(status) - EXIT_BASE);
}

static int
is_as_wanted(int got, int want)
{
	if (want == LIVES)
		return (got != KILLED && got != -1);
	if (want > 0xffff)
		return (got == (want & 0xffff) || got == want >> 16);
	return (got == want);
}

static const char *
word(int got)
{
	static char buf[8][24];
	static unsigned n;
	char *out = buf[n++ % 8];

	if (got == KILLED)
		snprintf(out, 24, "killed");
	else if (got == WORKS)
		snprintf(out, 24, "works");
	else if (got == -1)
		snprintf(out, 24, "NO SETUP");
	else if (got >= DIED(0))
		snprintf(out, 24, "SIG%s", sigabbrev_np(got - DIED(0)));
	else
		snprintf(out, 24, "%s", strerrorname_np(got) ? strerrorname_np(got) : "?");
	return (out);
}

/* A small system has no /etc/hosts; started as root, netd has a folder of its own with one. */
static int
misses_hosts(const struct act *a)
{
	return ((a->run == act_read_resolver || a->run == act_resolve) &&
		access("/etc/hosts", R_OK) == -1);
}

static int
want_of(const struct act *a, enum ward_role r, int as_root)
{
	size_t i;

	for (i = 0; !as_root && i < nhost_wants; i++) {
		if (host_wants[i].role == r && strcmp(host_wants[i].act, a->name) == 0)
			return (host_wants[i].want);
	}
	/* what an old kernel's Landlock does not know */
	if (abi < 4 && r == ROLE_NETD && strcmp(a->name, "connect_closed_port") == 0)
		return (WORKS);
	if (!as_root && r == ROLE_NETD && misses_hosts(a))
		return (SKIP);
	if (abi == 0 && !as_root && a->want[r] == EITHER(ENOENT, EACCES))
		return (SKIP);
	return (a->want[r]);
}

static void
judge(const char *act, const char *where, int got, int want)
{
	char error[512] = "";

	if (is_as_wanted(got, want)) {
		passed++;
		return;
	}
	failed++;
	printf("  ^^ %s in %s: %s, but wanted %s%s%s\n", act, where, word(got), word(want & 0xffff),
	    want > 0xffff ? " or " : "", want > 0xffff ? word(want >> 16) : error);
}

static void
run_table(int as_root)
{
	int got[ROLE_COUNT], control, r, want;
	char mark;
	size_t i;

	printf("\n%s\n%-22s %-9s", as_root ? "started as root" : "not started as root", "act",
	    "control");
	for (r = 0; r < ROLE_COUNT; r++)
		printf(" %-9s", role_name((enum ward_role)r));
	printf("\n");
	for (i = 0; i < nacts; i++) {
		const struct act *a = &acts[i];

		control = outcome(a, CONTROL, as_root, 0);
		printf("%-22s %-9s", a->name, word(control));
		if (control == DIED(SIGSEGV)) { /* int 0x80 where the kernel has no such entry */
			printf(" this kernel does not know it\n");
			continue;
		}
		for (r = 0; r < ROLE_COUNT; r++) {
			want = want_of(a, (enum ward_role)r, as_root);
			got[r] = want == SKIP ? SKIP : outcome(a, r, as_root, 0);
			mark = want == SKIP || is_as_wanted(got[r], want) ? ' ' : '!';
			printf("%c%-9s", mark, want == SKIP ? "-" : word(got[r]));
		}
		printf("\n");
		judge(a->name, "control", control, misses_hosts(a) ? LIVES : a->control);
		for (r = 0; r < ROLE_COUNT; r++) {
			if (got[r] != SKIP)
				judge(a->name, role_name((enum ward_role)r), got[r],
				    want_of(a, (enum ward_role)r, as_root));
		}
	}
}

static const struct act *
act_named(const char *name)
{
	size_t i;

	for (i = 0; i < nacts; i++) {
		if (strcmp(acts[i].name, name) == 0)
			return (&acts[i]);
	}
	fatalx("no act %s", name);
}

static void
run_layers(int have_root)
{
	size_t i;
	int got;

	if (abi < 6) {
		printf("skip: single layers: Landlock ABI %d here, 6 needed\n", abi);
		return;
	}
	printf("\none layer off\n");
	for (i = 0; i < nlayer_probes; i++) {
		const struct layer_probe *l = &layer_probes[i];

		if (l->as_root && !have_root)
			continue;
		got = outcome(act_named(l->act), (int)l->role, l->as_root, l->without);
		printf("%-22s %-7s %-17s %-15s %s\n", l->act, role_name(l->role),
		    l->without == SANDBOX_NO_SECCOMP ? "without filter" : "without Landlock",
		    l->as_root ? "as root" : "not as root", word(got));
		judge(l->act, role_name(l->role), got, l->want);
	}
}

int
main(void)
{
	int have_root = geteuid() == 0;

	log_open("probes", -1);
#ifdef WARD_SANITIZED
	printf("skip: a build with sanitizers cannot be confined\n");
	return (0);
#endif
	abi = landlock_abi();
	printf("Landlock ABI %d\n", abi);
	fixture_make();
	if (have_root)
		run_table(1);
	run_table(0);
	run_layers(have_root);
	fixture_remove();
	printf("%u passed, %u failed\n", passed, failed);
	return (failed == 0 ? 0 : 1);
}
