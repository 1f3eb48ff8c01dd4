/* The policy: what each process may do, for whom and why. Everything else is refused. */
#include "sandbox/policy.h"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

/* Conditions on argument n, compared over 64 bits. */
#define EQ(n, v)                                                                                   \
	{                                                                                          \
		VALUE_FIXED, (n), ~0ull, (uint64_t)(v)                                             \
	}
#define WITHIN(n, bits)                                                                            \
	{                                                                                          \
		VALUE_FIXED, (n), ~(uint64_t)(bits), 0                                             \
	} /* no bit but these */
#define PLUS(n, v, bits)                                                                           \
	{                                                                                          \
		VALUE_FIXED, (n), ~(uint64_t)(bits), (uint64_t)(v)                                 \
	} /* v, perhaps these */
#define INT(n, v)                                                                                  \
	{                                                                                          \
		VALUE_FIXED, (n), 0xffffffffull, (uint32_t)(v)                                     \
	} /* a negative int */
#define OWN_PID(n)                                                                                 \
	{                                                                                          \
		VALUE_OWN_PID, (n), ~0ull, 0                                                       \
	}
#define CHILD_PID(n)                                                                               \
	{                                                                                          \
		VALUE_CHILD_PID, (n), ~0ull, 0                                                     \
	}

#define ALLOW 0
#define ANY                                                                                        \
	{                                                                                          \
		{                                                                                  \
			VALUE_NONE, 0, 0, 0                                                        \
		}                                                                                  \
	}
#define END                                                                                        \
	{                                                                                          \
		NULL, 0, ANY, NULL                                                                 \
	}

#define RW             (PROT_READ | PROT_WRITE)
#define MAP_HEAP       (MAP_FIXED | MAP_NORESERVE | MAP_STACK | MAP_POPULATE)
#define MAP_DROPPABLE_ 0x08 /* since Linux 6.11 */
#define FUTEX_PLAIN    (FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME)
#define SOCK_HOW       (SOCK_CLOEXEC | SOCK_NONBLOCK)
#define MSG_HOW        (MSG_NOSIGNAL | MSG_DONTWAIT)
#define O_LARGE        0100000 /* the kernel's O_LARGEFILE, which 64-bit headers hide */
#define OPEN_READ      (O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_DIRECTORY | O_LARGE)
#define OPEN_DATA      (OPEN_READ | O_RDWR | O_WRONLY | O_CREAT | O_EXCL)
#define PTHREAD_FLAGS                                                                              \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SIGHAND | CLONE_THREAD |        \
	    CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

/* ================================================================== system calls */

/* Every child: an event loop on sockets that it was given, memory, time and entropy. */
static const struct policy_call base[] = {
    {"read", ALLOW, ANY, "channels; the descriptors of the event loop"},
    {"write", ALLOW, ANY, "the log pipe"},
    {"writev", ALLOW, ANY, "the C library's last words before abort"},
    {"recvmsg", ALLOW, ANY, "channels: frames with descriptors; the parent's packets"},
    /* the flags are bounded because MSG_FASTOPEN connects past Landlock's connect hook */
    {"sendmsg", ALLOW, {WITHIN(2, MSG_HOW)}, "channels: frames with descriptors"},
    {"close", ALLOW, ANY, "channels that end, descriptors that were passed"},
    {"epoll_wait", ALLOW, ANY, "libevent's loop"},
    {"epoll_pwait", ALLOW, ANY, "libevent's loop where there is no epoll_wait"},
    {"epoll_ctl", ALLOW, ANY, "libevent's loop"},
    {"fcntl", ALLOW, {EQ(1, F_GETFD)}, "descriptor checks, close-on-exec"},
    {"fcntl", ALLOW, {EQ(1, F_SETFD)}, "close-on-exec"},
    {"fcntl", ALLOW, {EQ(1, F_GETFL)}, "non-blocking"},
    {"fcntl", ALLOW, {EQ(1, F_SETFL)}, "non-blocking"},

    {"brk", ALLOW, ANY, "malloc"},
    {"munmap", ALLOW, ANY, "malloc"},
    {"mremap", ALLOW, {EQ(3, MREMAP_MAYMOVE)}, "realloc of big blocks"},
    {"mmap", ALLOW, {WITHIN(2, RW), PLUS(3, MAP_PRIVATE | MAP_ANONYMOUS, MAP_HEAP)},
	"malloc, stacks; libsodium's argon2 (MAP_POPULATE)"},
    {"mmap", EINVAL, {EQ(3, MAP_DROPPABLE_ | MAP_ANONYMOUS)},
	"glibc 2.41: a page for getrandom in user space; it does without"},
    {"mprotect", ALLOW, {WITHIN(2, RW)}, "malloc arenas, guard pages of secrets"},
    {"madvise", ALLOW, {EQ(2, MADV_DONTNEED)}, "malloc trim, thread stacks"},
    {"madvise", ALLOW, {EQ(2, MADV_FREE)}, "malloc trim"},
    {"madvise", ALLOW, {EQ(2, MADV_DONTDUMP)}, "secrets stay out of core dumps"},
    {"madvise", ALLOW, {EQ(2, MADV_DODUMP)}, "libsodium, when it frees a secret"},
    {"madvise", ALLOW, {EQ(2, MADV_WIPEONFORK)}, "random state of libraries"},

    {"futex", ALLOW, {PLUS(1, FUTEX_WAIT, FUTEX_PLAIN)}, "locks"},
    {"futex", ALLOW, {PLUS(1, FUTEX_WAKE, FUTEX_PLAIN)}, "locks"},
    {"futex", ALLOW, {PLUS(1, FUTEX_REQUEUE, FUTEX_PLAIN)}, "condition variables"},
    {"futex", ALLOW, {PLUS(1, FUTEX_CMP_REQUEUE, FUTEX_PLAIN)}, "condition variables"},
    {"futex", ALLOW, {PLUS(1, FUTEX_WAKE_OP, FUTEX_PLAIN)}, "condition variables"},
    {"futex", ALLOW, {PLUS(1, FUTEX_WAIT_BITSET, FUTEX_PLAIN)}, "locks with a deadline, join"},
    {"futex", ALLOW, {PLUS(1, FUTEX_WAKE_BITSET, FUTEX_PLAIN)}, "locks with a deadline"},

    {"getrandom", ALLOW, ANY, "entropy"},
    {"getpid", ALLOW, ANY, "OpenSSL at each random draw, log lines"},
    {"gettid", ALLOW, ANY, "abort"},
    {"tgkill", ALLOW, {OWN_PID(0)}, "abort shows as SIGABRT, not as a forbidden call"},
    {"clock_gettime", ALLOW, ANY, "time, where the vDSO does not serve"},
    {"gettimeofday", ALLOW, ANY, "time, where the vDSO does not serve"},
    {"clock_nanosleep", ALLOW, ANY, "short waits inside libraries"},
    {"sched_yield", ALLOW, ANY, "lock contention"},
    {"restart_syscall", ALLOW, ANY, "the kernel itself, after a stop"},
    {"rt_sigaction", ALLOW, ANY, "libevent teardown, abort, thread start"},
    {"rt_sigprocmask", ALLOW, ANY, "abort, thread start"},
    {"rt_sigreturn", ALLOW, ANY, "return from a signal handler"},
    {"exit", ALLOW, ANY, "end of a thread"},
    {"exit_group", ALLOW, ANY, "end of the process"},
    END,
};

/* keyd computes. It opens nothing, connects to nothing and starts nothing. */
static const struct policy_call keyd_calls[] = {
    {"mlock", ALLOW, ANY, "sodium_malloc: secrets stay out of swap"},
    {"munlock", ALLOW, ANY, "sodium_free"},
    END,
};

/* netd connects out: to ports that Landlock knows, with protocols that Landlock sees. */
static const struct policy_call netd_calls[] = {
#define NETD_SOCKET(domain, type, proto, why)                                                      \
	{                                                                                          \
		"socket", ALLOW, {EQ(0, domain), PLUS(1, type, SOCK_HOW), EQ(2, proto)}, why       \
	}
    NETD_SOCKET(AF_INET, SOCK_STREAM, 0, "TCP to the service, DNS over TCP"),
    NETD_SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP, "TCP to the service (not MPTCP)"),
    NETD_SOCKET(AF_INET, SOCK_DGRAM, 0, "DNS; address selection of getaddrinfo"),
    NETD_SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_UDP, "address selection of getaddrinfo"),
    NETD_SOCKET(AF_INET6, SOCK_STREAM, 0, "TCP to the service, DNS over TCP"),
    NETD_SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP, "TCP to the service (not MPTCP)"),
    NETD_SOCKET(AF_INET6, SOCK_DGRAM, 0, "DNS; address selection; libcurl's probe of IPv6"),
    NETD_SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_UDP, "address selection of getaddrinfo"),
    {"socket", EACCES, {EQ(0, AF_UNIX)}, "getaddrinfo asks for nscd; it does without"},
    {"socket", EACCES, {EQ(0, AF_NETLINK)}, "getaddrinfo lists addresses; it does without"},
    {"connect", ALLOW, ANY, "the service, name servers; ports are Landlock's"},
    {"sendto", ALLOW, {WITHIN(3, MSG_HOW)}, "TLS records, DNS (MSG_FASTOPEN refused)"},
    {"sendmmsg", ALLOW, {WITHIN(3, MSG_HOW)}, "DNS: A and AAAA together"},
    {"recvfrom", ALLOW, ANY, "TLS records, DNS"},
    {"shutdown", ALLOW, ANY, "end of a connection"},
    {"poll", ALLOW, ANY, "DNS deadlines, libcurl's own waits"},
    {"ppoll", ALLOW, ANY, "the same where there is no poll"},
    {"getsockname", ALLOW, ANY, "libcurl's connection info, address selection"},
    {"getpeername", ALLOW, ANY, "libcurl's connection info"},
    {"getsockopt", ALLOW, {EQ(1, SOL_SOCKET), EQ(2, SO_ERROR)}, "outcome of connect"},
    {"setsockopt", ALLOW, {EQ(1, SOL_SOCKET), EQ(2, SO_KEEPALIVE)}, "dead links are noticed"},
    {"setsockopt", ALLOW, {EQ(1, IPPROTO_TCP), EQ(2, TCP_NODELAY)}, "stanzas leave at once"},
    {"setsockopt", ALLOW, {EQ(1, IPPROTO_TCP), EQ(2, TCP_KEEPIDLE)}, "dead links are noticed"},
    {"setsockopt", ALLOW, {EQ(1, IPPROTO_TCP), EQ(2, TCP_KEEPINTVL)}, "dead links are noticed"},
    {"setsockopt", ALLOW, {EQ(1, IPPROTO_TCP), EQ(2, TCP_KEEPCNT)}, "dead links are noticed"},
    {"setsockopt", ALLOW, {EQ(1, IPPROTO_IP), EQ(2, IP_RECVERR)}, "DNS: unreachable is seen"},
    {"setsockopt", ALLOW, {EQ(1, IPPROTO_IPV6), EQ(2, IPV6_RECVERR)}, "DNS: the same"},
    {"ioctl", ALLOW, {EQ(1, 0x541b)}, "FIONREAD: DNS sizes its answer buffer"},
    {"socketpair", ALLOW, {EQ(0, AF_UNIX), PLUS(1, SOCK_STREAM, SOCK_HOW), EQ(2, 0)},
	"libcurl 7.88: the resolver thread wakes the loop"},
    {"eventfd2", ALLOW, ANY, "libcurl 8: the same"},
    {"clone", ALLOW, {EQ(0, PTHREAD_FLAGS)}, "libcurl's resolver threads, nothing but threads"},
    {"clone3", ENOSYS, ANY, "flags in memory cannot be checked; glibc falls back to clone"},
    {"set_robust_list", ALLOW, ANY, "thread start"},
    {"rseq", ALLOW, ANY, "thread start"},
    {"sched_getaffinity", ALLOW, ANY, "malloc arenas of threads"},
    {"uname", ALLOW, ANY, "resolver: the local domain"},
    {"openat", ALLOW, {INT(0, AT_FDCWD), WITHIN(2, OPEN_READ)},
	"resolver files; which ones is Landlock's"},
    {"newfstatat", ALLOW, ANY, "resolver: has resolv.conf changed"},
    {"fstat", ALLOW, ANY, "reading resolver files"},
    {"lseek", ALLOW, ANY, "reading resolver files"},
    END,
};

/* stored works on files of its own folder: which folder is Landlock's and chroot's. */
static const struct policy_call stored_calls[] = {
    {"openat", ALLOW, {INT(0, AT_FDCWD), WITHIN(2, OPEN_DATA)}, "database, WAL, index"},
    {"pread64", ALLOW, ANY, "database pages"},
    {"pwrite64", ALLOW, ANY, "database pages, WAL"},
    {"fsync", ALLOW, ANY, "durable before visible; the folder after a create"},
    {"fdatasync", ALLOW, ANY, "durable before visible"},
    {"ftruncate", ALLOW, ANY, "WAL index, checkpoint, vacuum"},
    {"lseek", ALLOW, ANY, "size of a file"},
    {"fstat", ALLOW, ANY, "size and identity of a file"},
    {"newfstatat", ALLOW, ANY, "does the WAL exist; what is the file now"},
    {"access", ALLOW, ANY, "SQLite: does a journal exist"},
    {"faccessat", ALLOW, ANY, "the same where there is no access"},
    {"readlink", ALLOW, ANY, "SQLite: the full name of the database"},
    {"readlinkat", ALLOW, ANY, "the same where there is no readlink"},
    {"unlink", ALLOW, ANY, "WAL and index at the last close"},
    {"unlinkat", ALLOW, {INT(0, AT_FDCWD), EQ(2, 0)}, "the same where there is no unlink"},
    {"renameat", ALLOW, {INT(0, AT_FDCWD), INT(2, AT_FDCWD)},
	"a copy under a new key takes its place"},
    {"getcwd", ALLOW, ANY, "SQLite: the full name of the database"},
    {"geteuid", ALLOW, ANY, "SQLite: owner of new files"},
    {"statfs", ALLOW, ANY, "free space: refuse before the disk is full"},
    {"getdents64", ALLOW, ANY, "after a restore: are there databases that nobody configured"},
    {"fstatfs", ALLOW, ANY, "a backup goes to no file whose writes may block for ever"},
    {"pwritev2", ALLOW, ANY, "a backup to a pipe: a write that never waits"},
    {"fcntl", ALLOW, {EQ(1, F_SETLK)}, "database locks"},
    {"fcntl", ALLOW, {EQ(1, F_GETLK)}, "database locks"},
    {"mmap", ALLOW, {WITHIN(2, RW), EQ(3, MAP_SHARED)}, "the WAL index"},
    {"mlock", ALLOW, ANY, "the database key stays out of swap"},
    {"munlock", ALLOW, ANY, "the database key"},
    END,
};

/* apid accepts local clients on the one socket that the parent bound. */
static const struct policy_call apid_calls[] = {
    {"accept4", ALLOW, {EQ(0, APID_FD_LISTEN), WITHIN(3, SOCK_HOW)}, "clients"},
    {"getsockopt", ALLOW, {EQ(1, SOL_SOCKET), EQ(2, SO_PEERCRED)}, "who is the client"},
    {"getsockopt", ALLOW, {EQ(1, SOL_SOCKET), EQ(2, SO_PEERGROUPS)}, "which groups has it"},
    {"shutdown", ALLOW, ANY, "a refused client reads the reason first"},
    END,
};

/* ward, the parent, after all are READY: it copies log lines, waits, and ends its children. */
static const struct policy_call ward_calls[] = {
    {"read", ALLOW, ANY, "log pipes, signals, its own status"},
    {"write", ALLOW, ANY, "standard error; how the service ended"},
    {"recvmsg", ALLOW, ANY, "control channels"},
    {"sendmsg", ALLOW, {WITHIN(2, MSG_HOW)}, "GO, STOP; the service manager's socket"},
    {"close", ALLOW, ANY, "channels that end"},
    {"poll", ALLOW, ANY, "its loop"},
    {"ppoll", ALLOW, ANY, "its loop where there is no poll"},
    {"wait4", ALLOW, ANY, "how a child ended"},
    {"kill", ALLOW, {CHILD_PID(0), EQ(1, SIGKILL)}, "ends its own children, nobody else"},
    {"clock_gettime", ALLOW, ANY, "deadlines"},
    {"gettimeofday", ALLOW, ANY, "time, where the vDSO does not serve"},
    {"getpid", ALLOW, ANY, "log lines"},
    {"gettid", ALLOW, ANY, "abort"},
    {"tgkill", ALLOW, {OWN_PID(0)}, "abort shows as SIGABRT, not as a forbidden call"},
    {"fcntl", ALLOW, {EQ(1, F_GETFD)}, "its report: what is open"},
    {"brk", ALLOW, ANY, "malloc"},
    {"munmap", ALLOW, ANY, "malloc"},
    {"mremap", ALLOW, {EQ(3, MREMAP_MAYMOVE)}, "realloc of the report"},
    {"mmap", ALLOW, {WITHIN(2, RW), PLUS(3, MAP_PRIVATE | MAP_ANONYMOUS, MAP_HEAP)}, "malloc"},
    {"rt_sigaction", ALLOW, ANY, "abort"},
    {"rt_sigprocmask", ALLOW, ANY, "abort"},
    {"rt_sigreturn", ALLOW, ANY, "return from a signal handler"},
    {"restart_syscall", ALLOW, ANY, "the kernel itself, after a stop"},
    {"exit_group", ALLOW, ANY, "end of the process"},
    END,
};

/* ================================================================== files and ports */

static const struct policy_path no_paths[] = {{NULL, -1, 0, ROOT_ANY, 0, NULL}};

/* In the chroot the parent made a folder of exactly these; on the host each is named. */
static const struct policy_path netd_paths[] = {
    {"/etc", -1, LL_READ_FILE | LL_READ_DIR, ROOT_CHROOT, 0, "resolver files"},
    {"/etc/resolv.conf", -1, LL_READ_FILE, ROOT_HOST, 1, "name servers"},
    {"/etc/hosts", -1, LL_READ_FILE, ROOT_HOST, 1, "local names"},
    {"/etc/host.conf", -1, LL_READ_FILE, ROOT_HOST, 1, "resolver options"},
    {"/etc/gai.conf", -1, LL_READ_FILE, ROOT_HOST, 1, "order of addresses"},
    {"/etc/nsswitch.conf", -1, LL_READ_FILE, ROOT_HOST, 1, "order of sources"},
    {NULL, -1, 0, ROOT_ANY, 0, NULL},
};

static const struct policy_path stored_paths[] = {
    {NULL, STORED_FD_DATA,
	LL_READ_FILE | LL_WRITE_FILE | LL_READ_DIR | LL_MAKE_REG | LL_REMOVE_FILE | LL_TRUNCATE,
	ROOT_ANY, 0, "the data folder"},
    {NULL, -1, 0, ROOT_ANY, 0, NULL},
};

const uint16_t policy_fixed_ports[] = {53}; /* DNS answers that do not fit a datagram */
const size_t policy_nfixed_ports = sizeof(policy_fixed_ports) / sizeof(policy_fixed_ports[0]);

/* ================================================================== limits */

#define MIB (1024ull * 1024)
#define LIMIT(res, kind, v, why)                                                                   \
	{                                                                                          \
		RLIMIT_##res, #res, kind, v, why                                                   \
	}
#define LIMITS_END                                                                                 \
	{                                                                                          \
		-1, NULL, LIMIT_EXACT, 0, NULL                                                     \
	}

static const struct policy_limit keyd_limits[] = {
    LIMIT(CORE, LIMIT_EXACT, 0, "secrets"),
    LIMIT(FSIZE, LIMIT_EXACT, 0, "writes no file"),
    LIMIT(NPROC, LIMIT_EXACT, 0, "starts nothing"),
    LIMIT(NOFILE, LIMIT_EXACT, 14, "its table, the event loop, and the rule set in the making"),
    LIMIT(MEMLOCK, LIMIT_AT_MOST, 64 * MIB, "locked secrets"),
    LIMIT(AS, LIMIT_AT_MOST, 4096 * MIB, "argon2 of a passphrase, skipped keys"),
    LIMITS_END,
};
static const struct policy_limit netd_limits[] = {
    LIMIT(CORE, LIMIT_EXACT, 0, "traffic keys"),
    LIMIT(FSIZE, LIMIT_EXACT, 0, "writes no file"),
    LIMIT(NPROC, LIMIT_OWN_UID, 128, "resolver threads, one an account"),
    LIMIT(NOFILE, LIMIT_EXACT, 512, "connections, with the resolver's sockets"),
    LIMIT(AS, LIMIT_AT_MOST, 4096 * MIB, "a leak ends here"),
    LIMITS_END,
};
static const struct policy_limit stored_limits[] = {
    LIMIT(CORE, LIMIT_EXACT, 0, "the database key, content"),
    LIMIT(NPROC, LIMIT_EXACT, 0, "starts nothing"),
    LIMIT(NOFILE, LIMIT_EXACT, 256, "database, WAL and index of each account"),
    LIMIT(MEMLOCK, LIMIT_AT_MOST, 64 * MIB, "the database key"),
    LIMIT(AS, LIMIT_AT_MOST, 8192 * MIB, "a leak ends here"),
    LIMITS_END,
};
static const struct policy_limit apid_limits[] = {
    LIMIT(CORE, LIMIT_EXACT, 0, "content"),
    LIMIT(FSIZE, LIMIT_EXACT, 0, "writes no file"),
    LIMIT(NPROC, LIMIT_EXACT, 0, "starts nothing"),
    LIMIT(NOFILE, LIMIT_CLIENTS, 64, "as many clients as api.max_connections, and a reserve"),
    LIMIT(AS, LIMIT_AT_MOST, 8192 * MIB, "a leak ends here"),
    LIMITS_END,
};
static const struct policy_limit ward_limits[] = {
    LIMIT(CORE, LIMIT_EXACT, 0, "as its children"),
    LIMIT(NPROC, LIMIT_EXACT, 0, "starts nothing any more"),
    LIMITS_END,
};

/* ================================================================== descriptors */

#define FDS_STD                                                                                    \
	{0, FD_NULL, "null", 0}, {1, FD_NULL, "null", 0}, {2, FD_NULL, "null", 0},                 \
	    {FD_CONTROL, FD_PACKET, "control", 0},                                                 \
	{                                                                                          \
		FD_LOG, FD_PIPE, "log", 0                                                          \
	}
#define FDS_END                                                                                    \
	{                                                                                          \
		-1, FD_NULL, NULL, 0                                                               \
	}

static const struct policy_fd keyd_fds[] = {
    FDS_STD,
    {KEYD_FD_APID, FD_STREAM, "apid", 0},
    {KEYD_FD_NETD, FD_STREAM, "netd", 0},
    {KEYD_FD_STORED, FD_STREAM, "stored", 0},
    {KEYD_FD_SECRET, FD_READABLE, "secret", 0},
    {KEYD_FD_NEXT_SECRET, FD_READABLE, "next secret", 0},
    FDS_END,
};
static const struct policy_fd netd_fds[] = {
    FDS_STD,
    {NETD_FD_APID, FD_STREAM, "apid", 0},
    {NETD_FD_KEYD, FD_STREAM, "keyd", 0},
    {NETD_FD_CA, FD_READABLE, "ca", 1},
    FDS_END,
};
static const struct policy_fd stored_fds[] = {
    FDS_STD,
    {STORED_FD_APID, FD_STREAM, "apid", 0},
    {STORED_FD_KEYD, FD_STREAM, "keyd", 0},
    {STORED_FD_DATA, FD_DIR, "data", 0},
    FDS_END,
};
static const struct policy_fd apid_fds[] = {
    FDS_STD,
    {APID_FD_KEYD, FD_STREAM, "keyd", 0},
    {APID_FD_NETD, FD_STREAM, "netd", 0},
    {APID_FD_STORED, FD_STREAM, "stored", 0},
    {APID_FD_LISTEN, FD_LISTENING, "listen", 0},
    FDS_END,
};

#define EXTRAS_END                                                                                 \
	{                                                                                          \
		FD_NULL, 0, NULL                                                                   \
	}
static const struct policy_extra loop_extras[] = {
    {FD_ANON, 1, "libevent's epoll"},
    {FD_PIPE, 2, "libevent's signal pipe"},
    EXTRAS_END,
};
static const struct policy_extra netd_extras[] = {
    {FD_ANON, 3, "libevent's epoll, libcurl 8's wake-ups"},
    {FD_PIPE, 2, "libevent's signal pipe"},
    {FD_STREAM, 4, "libcurl 7.88's wake-ups"},
    EXTRAS_END,
};

/* ================================================================== the roles */

static const struct policy policies[ROLE_COUNT] = {
    [ROLE_WARD] = {.role = ROLE_WARD,
	.calls = ward_calls,
	.paths = no_paths,
	.signals_out = 1,
	.limits = ward_limits},
    [ROLE_KEYD] = {.role = ROLE_KEYD,
	.base = base,
	.calls = keyd_calls,
	.paths = no_paths,
	.limits = keyd_limits,
	.fds = keyd_fds,
	.extras = loop_extras},
    [ROLE_NETD] = {.role = ROLE_NETD,
	.base = base,
	.calls = netd_calls,
	.paths = netd_paths,
	.tcp_connect = 1,
	.limits = netd_limits,
	.fds = netd_fds,
	.extras = netd_extras},
    [ROLE_STORED] = {.role = ROLE_STORED,
	.base = base,
	.calls = stored_calls,
	.paths = stored_paths,
	.limits = stored_limits,
	.fds = stored_fds,
	.extras = loop_extras},
    [ROLE_APID] = {.role = ROLE_APID,
	.base = base,
	.calls = apid_calls,
	.paths = no_paths,
	.limits = apid_limits,
	.fds = apid_fds,
	.extras = loop_extras},
};

const struct policy *
policy_of(enum ward_role r)
{
	if ((unsigned)r >= ROLE_COUNT)
		abort();
	return (&policies[r]);
}

const struct policy_call *
policy_row(const struct policy *p, size_t n)
{
	size_t i;

	for (i = 0; p->base != NULL && p->base[i].name != NULL; i++) {
		if (i == n)
			return (&p->base[i]);
	}
	for (n -= i, i = 0; p->calls[i].name != NULL; i++) {
		if (i == n)
			return (&p->calls[i]);
	}
	return (NULL);
}
