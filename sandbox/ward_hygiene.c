/* A clean process to start from: descriptors, environment, mask, no core, not traceable. */
#include "sandbox/ward.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

/* What of the environment means something to us; the rest is somebody else's. */
static const char *const kept[] = {
    "CREDENTIALS_DIRECTORY",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
#ifdef WARD_SANITIZED
    "ASAN_OPTIONS",
    "UBSAN_OPTIONS",
    "LSAN_OPTIONS",
#endif
};

/* 0, 1, 2 exist, so that nothing that is opened later becomes standard error. */
static void
sane_descriptors(void)
{
	int fd;

	do {
		if ((fd = open("/dev/null", O_RDWR)) == -1)
			fatal("/dev/null");
	} while (fd <= 2);
	close(fd);
	if (syscall(SYS_close_range, 3u, ~0u, 0u) == -1)
		fatal("close_range");
}

static void
clean_environment(void)
{
	const size_t n = sizeof(kept) / sizeof(kept[0]);
	char *value[sizeof(kept) / sizeof(kept[0])];
	const char *v;
	size_t i;

	for (i = 0; i < n; i++) {
		v = getenv(kept[i]);
		if ((value[i] = v != NULL ? strdup(v) : NULL) == NULL && v != NULL)
			fatal("environment");
	}
	if (clearenv() != 0)
		fatalx("environment: cannot be cleared");
	for (i = 0; i < n; i++) {
		if (value[i] != NULL && setenv(kept[i], value[i], 1) == -1)
			fatal("environment: %s", kept[i]);
		free(value[i]);
	}
}

static void
default_signals(void)
{
	sigset_t none;
	int sig;

	for (sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL); /* a few cannot be set, and need not */
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		fatal("SIGPIPE");
	sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) == -1)
		fatal("sigprocmask");
}

void
ward_hygiene(void)
{
	const struct rlimit none = {0, 0};

	sane_descriptors();
	clean_environment();
	default_signals();
	umask(077);
	if (setrlimit(RLIMIT_CORE, &none) == -1)
		fatal("cannot forbid core dumps");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		fatal("PR_SET_DUMPABLE");
}

void
ward_dumpable_again(void)
{
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == -1)
		fatal("PR_SET_DUMPABLE");
}
