/* Acts on memory, descriptors and the kernel at large. */
#include "tests/probes/acts.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
done(long rc)
{
	return (rc == -1 ? errno : 0);
}

static int
mapped(const void *p)
{
	return (p == MAP_FAILED ? errno : 0);
}

int
act_mmap_exec(void)
{
	return (mapped(mmap(
	    NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
}

int
act_mmap_shared(void)
{
	return (
	    mapped(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)));
}

int
act_mprotect_exec(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return (errno);
	return (done(mprotect(p, 4096, PROT_READ | PROT_EXEC)));
}

int
act_shm(void)
{
	int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);

	if (id == -1)
		return (errno);
	return (done(shmctl(id, IPC_RMID, NULL)));
}

int
act_memfd_create(void)
{
	return (done(memfd_create("x", MFD_CLOEXEC)));
}

int
act_memfd_secret(void)
{
	return (done(syscall(447, 0)));
}

int
act_userfaultfd(void)
{
	return (done(syscall(SYS_userfaultfd, O_CLOEXEC)));
}

int
act_io_uring(void)
{
	char params[256];

	memset(params, 0, sizeof(params));
	return (done(syscall(SYS_io_uring_setup, 1, params)));
}

int
act_bpf(void)
{
	char attr[128];

	memset(attr, 0, sizeof(attr));
	return (done(syscall(SYS_bpf, 0, attr, sizeof(attr))));
}

int
act_perf(void)
{
	char attr[128];

	memset(attr, 0, sizeof(attr));
	return (done(syscall(SYS_perf_event_open, attr, 0, -1, -1, 0)));
}

int
act_keyctl(void)
{
	return (done(syscall(SYS_keyctl, 0, -3, 0)));
}

int
act_add_key(void)
{
	return (done(syscall(SYS_add_key, "user", "ward-probe", "x", 1, -1)));
}

int
act_tiocsti(void)
{
	char c = 'x';

	return (done(ioctl(FD_LOG, TIOCSTI, &c)));
}

int
act_fionread(void)
{
	int n;

	return (done(ioctl(5, FIONREAD, &n)));
}

/* Each of these is asked with arguments that do nothing even where it is allowed. */
int
act_reboot(void)
{
	return (done(syscall(SYS_reboot, 0, 0, 0, NULL)));
}

int
act_kexec(void)
{
	return (done(syscall(SYS_kexec_load, 0, 99, NULL, ~0ul)));
}

int
act_init_module(void)
{
	return (done(syscall(SYS_init_module, NULL, 0, NULL)));
}

int
act_settimeofday(void)
{
	return (done(syscall(SYS_settimeofday, NULL, NULL)));
}

int
act_sethostname(void)
{
	return (done(syscall(SYS_sethostname, NULL, 8)));
}

int
act_syslog(void)
{
	return (done(syscall(SYS_syslog, 10, NULL, 0)));
}

int
act_swapon(void)
{
	return (done(syscall(SYS_swapon, "/no-such-file", 0)));
}

int
act_acct(void)
{
	return (done(syscall(SYS_acct, "/no-such-file")));
}

int
act_quotactl(void)
{
	return (done(syscall(SYS_quotactl, ~0u, NULL, 0, NULL)));
}

int
act_fanotify(void)
{
	return (done(syscall(SYS_fanotify_init, 0, 0)));
}

int
act_inotify(void)
{
	return (done(inotify_init1(IN_CLOEXEC)));
}

int
act_timerfd(void)
{
	return (done(timerfd_create(CLOCK_MONOTONIC, 0)));
}

int
act_signalfd(void)
{
	sigset_t s;

	sigemptyset(&s);
	return (done(signalfd(-1, &s, SFD_CLOEXEC)));
}

int
act_eventfd(void)
{
	return (done(eventfd(0, EFD_CLOEXEC)));
}

int
act_epoll(void)
{
	return (done(epoll_create1(EPOLL_CLOEXEC)));
}

int
act_pipe(void)
{
	int p[2];

	return (done(pipe2(p, O_CLOEXEC)));
}

int
act_dup(void)
{
	return (done(dup(0)));
}

int
act_dup_fcntl(void)
{
	return (done(fcntl(0, F_DUPFD_CLOEXEC, 0)));
}

int
act_splice(void)
{
	return (done(syscall(SYS_splice, -1, NULL, -1, NULL, 0ul, 0u)));
}

int
act_mlock(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return (errno);
	return (done(mlock(p, 4096)));
}

int
act_mlockall(void)
{
	return (done(munlockall()));
}

/* What each of them needs. */
int
act_malloc_big(void)
{
	size_t n = 48u << 20;
	char *p = malloc(n);
	char *q;

	if (p == NULL)
		return (errno);
	memset(p, 1, n);
	q = realloc(p, n + (8u << 20));
	if (q == NULL) {
		free(p);
		return (errno);
	}
	q[n] = 1;
	free(q);
	return (0);
}

int
act_entropy(void)
{
	char b[32];

	/* the call itself: the C library's getrandom may answer without the kernel */
	return (syscall(SYS_getrandom, b, sizeof(b), 0) == (long)sizeof(b) ? 0 : errno);
}

int
act_channel_write(void)
{
	return (write(FD_LOG, "4probe\n", 7) == 7 ? 0 : errno);
}

/* What the C library asks for on new kernels, and does without. */
int
act_droppable(void)
{
	return (mapped(mmap(NULL, 4096, PROT_READ | PROT_WRITE, 0x28, -1, 0)));
}
