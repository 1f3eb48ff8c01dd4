/* Acts on processes and identities. */
#include "tests/probes/acts.h"

#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
done(long rc)
{
	return (rc == -1 ? errno : 0);
}

/* A child that was made ends at once; the maker waits for it. */
static int
made(long pid)
{
	if (pid == 0)
		_exit(0);
	if (pid == -1)
		return (errno);
	while (waitpid((pid_t)pid, NULL, 0) == -1 && errno == EINTR)
		;
	return (0);
}

static char name[] = "sh", option[] = "-c", script[] = "exit 64";
static char *const shell[] = {name, option, script, NULL}, *const nothing_set[] = {NULL};

/* In the control run this ends the probe with the status of "true", which the runner is told. */
int
act_execve(void)
{
	return (done(execve("/bin/sh", shell, nothing_set)));
}

int
act_execveat(void)
{
	return (done(syscall(SYS_execveat, AT_FDCWD, "/bin/sh", shell, nothing_set, 0)));
}

int
act_fork(void)
{
#ifdef SYS_fork
	return (made(syscall(SYS_fork)));
#else
	return (made(fork()));
#endif
}

int
act_vfork(void)
{
#ifdef SYS_vfork
	pid_t pid =
	    vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork): that is the act */

	if (pid == 0)
		_exit(0);
	return (pid == -1 ? errno : 0);
#else
	return (made(fork()));
#endif
}

int
act_clone_process(void)
{
	return (made(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)));
}

int
act_clone3(void)
{
	uint64_t args[11] = {0};

	args[4] = SIGCHLD; /* exit_signal */
	return (made(syscall(SYS_clone3, args, sizeof(args))));
}

static void *
nothing(void *arg)
{
	return (arg);
}

int
act_thread(void)
{
	pthread_t t;
	int rc = pthread_create(&t, NULL, nothing, NULL);

	return (rc != 0 ? rc : pthread_join(t, NULL));
}

int
act_unshare(void)
{
	return (done(unshare(CLONE_NEWUSER)));
}

int
act_setns(void)
{
	return (done(setns(-1, 0)));
}

int
act_ptrace_traceme(void)
{
	return (done(ptrace(PTRACE_TRACEME, 0, NULL, NULL)));
}

int
act_ptrace_attach(void)
{
	return (done(ptrace(PTRACE_SEIZE, fix.sibling, NULL, NULL)));
}

static int
vm(long nr)
{
	char here[8] = "";
	struct iovec local = {.iov_base = here, .iov_len = sizeof(here)};
	struct iovec remote = {.iov_base = &fix, .iov_len = sizeof(here)};

	/* the sibling is a fork of the runner: the same addresses */
	return (done(syscall(nr, fix.sibling, &local, 1ul, &remote, 1ul, 0ul)));
}

int
act_vm_readv(void)
{
	return (vm(SYS_process_vm_readv));
}

int
act_vm_writev(void)
{
	return (vm(SYS_process_vm_writev));
}

int
act_pidfd_open(void)
{
	return (done(syscall(SYS_pidfd_open, fix.sibling, 0)));
}

int
act_pidfd_getfd(void)
{
	return (done(syscall(SYS_pidfd_getfd, -1, 0, 0)));
}

int
act_kill_parent(void)
{
	return (done(kill(fix.parent, 0)));
}

int
act_kill_sibling(void)
{
	return (done(kill(fix.sibling, 0)));
}

int
act_kill_own_child(void)
{
	return (fix.own_child == 0 ? ESRCH : done(kill(fix.own_child, SIGKILL)));
}

int
act_tgkill_parent(void)
{
	return (done(syscall(SYS_tgkill, fix.parent, fix.parent, 0)));
}

int
act_setuid_0(void)
{
	return (done(setuid(0)));
}

int
act_setresuid(void)
{
	return (done(setresuid(0, 0, 0)));
}

int
act_setgid_0(void)
{
	return (done(setgid(0)));
}

int
act_setgroups(void)
{
	gid_t g = 0;

	return (done(setgroups(1, &g)));
}

int
act_capset(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	memset(data, 0, sizeof(data));
	return (done(syscall(SYS_capset, &head, data)));
}

int
act_chroot(void)
{
	return (done(chroot("/")));
}

/* Nothing is mounted even where it could be: there is no such file system. */
int
act_mount(void)
{
	return (done(mount("none", "/", "no-such-fs", 0, NULL)));
}

int
act_umount(void)
{
	return (done(umount2("/no-such-folder", 0)));
}

int
act_pivot_root(void)
{
	return (done(syscall(SYS_pivot_root, "/no", "/no")));
}

int
act_prctl_dumpable(void)
{
	return (done(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)));
}

int
act_prctl_nnp(void)
{
	return (done(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0)));
}

int
act_prctl_name(void)
{
	return (done(prctl(PR_SET_NAME, "sshd", 0, 0, 0)));
}

int
act_seccomp_again(void)
{
	return (done(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, NULL)));
}

int
act_landlock_again(void)
{
	return (done(syscall(444, NULL, 0, 1)));
}

int
act_personality(void)
{
	return (done(personality(0xffffffff)));
}

int
act_raise_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == -1)
		return (errno);
	return (done(setrlimit(RLIMIT_NOFILE, &l)));
}

int
act_sched(void)
{
	struct sched_param p = {.sched_priority = 0};

	return (done(sched_setscheduler(0, SCHED_OTHER, &p)));
}

int
act_priority(void)
{
	return (done(setpriority(PRIO_PROCESS, 0, 0)));
}

int
act_modify_ldt(void)
{
#ifdef SYS_modify_ldt
	char ldt[16];

	return (done(syscall(SYS_modify_ldt, 0, ldt, sizeof(ldt))));
#else
	return (ENOSYS);
#endif
}

int
act_arch_prctl(void)
{
#ifdef SYS_arch_prctl
	unsigned long fs;

	return (done(syscall(SYS_arch_prctl, 0x1003 /* ARCH_GET_FS */, &fs)));
#else
	return (ENOSYS);
#endif
}

int
act_iopl(void)
{
#ifdef SYS_iopl
	return (done(syscall(SYS_iopl, 0)));
#else
	return (ENOSYS);
#endif
}

/* getpid by the 32-bit entry, where its number is another. */
int
act_int80(void)
{
#ifdef __x86_64__
	long rc;

	__asm__ volatile("int $0x80" : "=a"(rc) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
	return (rc < 0 ? (int)-rc : 0);
#else
	return (ENOSYS);
#endif
}

int
act_x32(void)
{
#ifdef __x86_64__
	return (done(syscall(0x40000000L | SYS_getpid)));
#else
	return (ENOSYS);
#endif
}

/* An abort must look like one, not like a forbidden call: the runner sees SIGABRT. */
int
act_abort_is_abort(void)
{
	abort();
}

int
act_wait_any(void)
{
	int rc = done(waitpid(-1, NULL, WNOHANG));

	return (rc == ECHILD ? 0 : rc);
}
