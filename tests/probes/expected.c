/* What is expected of each act: without a sandbox, and in the sandbox of each role. */
#include "tests/probes/acts.h"

#include <errno.h>
#include <signal.h>

#include "sandbox/sandbox.h"

/* clang-format off */
#define K       KILLED
#define W       WORKS
#define L       LIVES
#define S       SKIP
#define NO_FILE EITHER(ENOENT, EACCES) /* not in the chroot, or not for Landlock */
#ifdef __x86_64__
#define X86_K KILLED
#else
#define X86_K ENOSYS
#endif

#define ROW(name, control, ward, keyd, netd, stored, apid)                                         \
	{                                                                                          \
		#name, act_##name, control,                                                        \
		{                                                                                  \
			ward, keyd, netd, stored, apid                                             \
		}                                                                                  \
	}
#define ALL_K(name, control) ROW(name, control, K, K, K, K, K)

const struct act acts[] = {
    /*  act                    control  ward  keyd  netd     stored   apid */
    ROW(open_read,             W,       K,    K,    NO_FILE, NO_FILE, K),
    ROW(open_write,            W,       K,    K,    K,       NO_FILE, K),
    ROW(open_create,           W,       K,    K,    K,       NO_FILE, K),
    ROW(open_dotdot,           W,       K,    K,    NO_FILE, NO_FILE, K),
    ROW(open_proc_mem,         L,       K,    K,    NO_FILE, NO_FILE, K),
    ALL_K(open_path,           W),
    ROW(stat_outside,          W,       K,    K,    ENOENT,  ENOENT,  K),
    ROW(unlink_outside,        W,       K,    K,    K,       NO_FILE, K),
    ALL_K(rename_outside,      W),
    ROW(renameat_outside,      W,       K,    K,    K,       NO_FILE, K),
    ALL_K(mkdir_outside,       W),
    ALL_K(chmod_outside,       L),
    ALL_K(symlink_outside,     W),
    ALL_K(link_outside,        L),
    ALL_K(truncate_outside,    W),
    ALL_K(chdir_outside,       W),
    ALL_K(handle_at,           L),
    ROW(own_file,              W,       K,    K,    K,       W,       K),
    ROW(own_renameat,          W,       K,    K,    K,       W,       K),
    ROW(own_shared_map,        W,       K,    K,    K,       W,       K),
    ROW(own_lock,              W,       K,    K,    K,       W,       K),
    ALL_K(own_exec_map,        W),
    ROW(read_resolver,         W,       K,    K,    W,       NO_FILE, K),
    ROW(resolve,               W,       K,    K,    W,       K,       K),

    ROW(socket_inet,           W,       K,    K,    W,       K,       K),
    ROW(socket_udp,            W,       K,    K,    W,       K,       K),
    ROW(socket_inet6,          W,       K,    K,    W,       K,       K),
    ROW(socket_unix,           W,       K,    K,    EACCES,  K,       K),
    ROW(socket_netlink,        W,       K,    K,    EACCES,  K,       K),
    ALL_K(socket_packet,       L),
    ALL_K(socket_raw,          L),
    ALL_K(socket_mptcp,        L),
    ALL_K(socket_vsock,        L),
    ROW(socket_pair,           W,       K,    K,    W,       K,       K),
    ALL_K(bind_tcp,            W),
    ALL_K(listen_unbound,      W),
    ROW(connect_raw,           L,       K,    K,    S,       K,       K),
    ROW(connect_open_port,     W,       K,    K,    W,       K,       K),
    ROW(connect_closed_port,   W,       K,    K,    EACCES,  K,       K),
    ALL_K(fastopen_closed_port, L),
    ROW(connect_udp,           W,       K,    K,    W,       K,       K),
    ROW(connect_abstract,      W,       K,    K,    EACCES,  K,       K),
    ROW(connect_named,         W,       K,    K,    EACCES,  K,       K),
    ROW(accept_client,         W,       K,    K,    K,       K,       W),
    ALL_K(accept_other,        L),
    ROW(peer_of_client,        W,       K,    K,    K,       K,       W),
    ROW(sendmsg_channel,       W,       W,    W,    W,       W,       W),
    ALL_K(sendmsg_fastopen,    L),

    ALL_K(execve,              W),
    ALL_K(execveat,            W),
    ALL_K(fork,                W),
    ALL_K(vfork,               W),
    ALL_K(clone_process,       W),
    ROW(clone3,                W,       K,    K,    ENOSYS,  K,       K),
    ROW(thread,                W,       K,    K,    W,       K,       K),
    ALL_K(unshare,             L),
    ALL_K(setns,               L),
    ALL_K(ptrace_traceme,      L),
    ALL_K(ptrace_attach,       L),
    ALL_K(vm_readv,            L),
    ALL_K(vm_writev,           L),
    ALL_K(pidfd_open,          L),
    ALL_K(pidfd_getfd,         L),
    ALL_K(kill_parent,         L),
    ALL_K(kill_sibling,        L),
    ROW(kill_own_child,        W,       W,    S,    S,       S,       S),
    ALL_K(tgkill_parent,       L),
    ALL_K(setuid_0,            L),
    ALL_K(setresuid,           L),
    ALL_K(setgid_0,            L),
    ALL_K(setgroups,           L),
    ALL_K(capset,              W),
    ALL_K(chroot,              L),
    ALL_K(mount,               L),
    ALL_K(umount,              L),
    ALL_K(pivot_root,          L),
    ALL_K(prctl_dumpable,      W),
    ALL_K(prctl_nnp,           L),
    ALL_K(prctl_name,          W),
    ALL_K(seccomp_again,       L),
    ALL_K(landlock_again,      L),
    ALL_K(personality,         W),
    ALL_K(raise_limit,         W),
    ALL_K(sched,               W),
    ALL_K(priority,            L),
    ROW(modify_ldt,            L,       X86_K, X86_K, X86_K, X86_K,   X86_K),
    ROW(arch_prctl,            L,       X86_K, X86_K, X86_K, X86_K,   X86_K),
    ROW(iopl,                  L,       X86_K, X86_K, X86_K, X86_K,   X86_K),
    ROW(int80,                 L,       X86_K, X86_K, X86_K, X86_K,   X86_K),
    ROW(x32,                   L,       X86_K, X86_K, X86_K, X86_K,   X86_K),
    ROW(abort_is_abort, DIED(SIGABRT), DIED(SIGABRT), DIED(SIGABRT), DIED(SIGABRT), DIED(SIGABRT),
	DIED(SIGABRT)),
    ROW(wait_any,              W,       W,    K,    K,       K,       K),

    ALL_K(mmap_exec,           W),
    ALL_K(mmap_shared,         W),
    ALL_K(mprotect_exec,       W),
    ALL_K(shm,                 L),
    ALL_K(memfd_create,        W),
    ALL_K(memfd_secret,        L),
    ALL_K(userfaultfd,         L),
    ALL_K(io_uring,            L),
    ALL_K(bpf,                 L),
    ALL_K(perf,                L),
    ALL_K(keyctl,              L),
    ALL_K(add_key,             L),
    ALL_K(tiocsti,             L),
    ROW(fionread,              W,       K,    K,    W,       K,       K),
    ALL_K(reboot,              L),
    ALL_K(kexec,               L),
    ALL_K(init_module,         L),
    ALL_K(settimeofday,        L),
    ALL_K(sethostname,         L),
    ALL_K(syslog,              L),
    ALL_K(swapon,              L),
    ALL_K(acct,                L),
    ALL_K(quotactl,            L),
    ALL_K(fanotify,            L),
    ALL_K(inotify,             W),
    ALL_K(timerfd,             W),
    ALL_K(signalfd,            W),
    ROW(eventfd,               W,       K,    K,    W,       K,       K),
    ALL_K(epoll,               W),
    ALL_K(pipe,                W),
    ALL_K(dup,                 W),
    ALL_K(dup_fcntl,           W),
    ALL_K(splice,              L),
    ROW(mlock,                 W,       K,    W,    K,       W,       K),
    ALL_K(mlockall,            L),
    ROW(malloc_big,            W,       W,    W,    W,       W,       W),
    ROW(entropy,               W,       K,    W,    W,       W,       W),
    ROW(channel_write,         W,       W,    W,    W,       W,       W),
    ROW(droppable,             L,       K,    EINVAL, EINVAL, EINVAL, EINVAL),
};
const size_t nacts = sizeof(acts) / sizeof(acts[0]);

/* Landlock lets everybody see what there is: without the chroot only its content is out of reach. */
const struct host_want host_wants[] = {
    {"stat_outside", ROLE_NETD, W},
    {"stat_outside", ROLE_STORED, W},
};
const size_t nhost_wants = sizeof(host_wants) / sizeof(host_wants[0]);

#define NO_FILTER   SANDBOX_NO_SECCOMP
#define NO_LANDLOCK SANDBOX_NO_LANDLOCK

const struct layer_probe layer_probes[] = {
    /* what Landlock, uid, limits and chroot refuse when there is no filter */
    {"open_read", ROLE_KEYD, NO_FILTER, 0, EACCES},
    {"open_read", ROLE_KEYD, NO_FILTER, 1, ENOENT},
    {"open_create", ROLE_NETD, NO_FILTER, 0, EACCES},
    {"execve", ROLE_KEYD, NO_FILTER, 0, EACCES},
    {"fork", ROLE_KEYD, NO_FILTER, 0, EAGAIN},
    {"fork", ROLE_KEYD, NO_FILTER, 1, EAGAIN},
    {"connect_open_port", ROLE_KEYD, NO_FILTER, 0, EACCES},
    {"connect_closed_port", ROLE_NETD, NO_FILTER, 0, EACCES},
    {"bind_tcp", ROLE_NETD, NO_FILTER, 0, EACCES},
    {"connect_abstract", ROLE_APID, NO_FILTER, 0, EPERM},
    {"kill_parent", ROLE_KEYD, NO_FILTER, 1, EPERM},
    {"kill_sibling", ROLE_KEYD, NO_FILTER, 0, EPERM},
    {"ptrace_attach", ROLE_KEYD, NO_FILTER, 0, EPERM},
    {"vm_readv", ROLE_KEYD, NO_FILTER, 0, EPERM},
    {"setuid_0", ROLE_KEYD, NO_FILTER, 1, EPERM},
    {"chroot", ROLE_KEYD, NO_FILTER, 1, EPERM},
    /* what they do not refuse: there the filter stands alone */
    {"stat_outside", ROLE_KEYD, NO_FILTER, 0, W},
    {"connect_udp", ROLE_KEYD, NO_FILTER, 0, W},
    {"connect_named", ROLE_KEYD, NO_FILTER, 0, W},
    {"listen_unbound", ROLE_KEYD, NO_FILTER, 0, W},
    {"memfd_create", ROLE_APID, NO_FILTER, 0, W},
    /* what the filter cannot tell apart: there Landlock stands alone */
    {"open_read", ROLE_STORED, NO_LANDLOCK, 0, W},
    {"open_read", ROLE_NETD, NO_LANDLOCK, 0, W},
    {"unlink_outside", ROLE_STORED, NO_LANDLOCK, 0, W},
    {"renameat_outside", ROLE_STORED, NO_LANDLOCK, 0, W},
    {"connect_closed_port", ROLE_NETD, NO_LANDLOCK, 0, W},
    {"connect_closed_port", ROLE_NETD, NO_LANDLOCK, 1, W},
    /* and the chroot holds even so */
    {"open_read", ROLE_STORED, NO_LANDLOCK, 1, ENOENT},
    {"open_read", ROLE_NETD, NO_LANDLOCK, 1, ENOENT},
};
const size_t nlayer_probes = sizeof(layer_probes) / sizeof(layer_probes[0]);
