/* Forbidden and allowed acts, each a function; and what they act upon. */
#ifndef WARD_PROBES_ACTS_H
#define WARD_PROBES_ACTS_H

#include <stdint.h>
#include <sys/types.h>

#include "sandbox/role.h"

/* Made by the runner before the sandbox is entered; everything is open to all users, so that a
 * refusal is the sandbox's and not that of a mode bit. */
struct fixture {
	char folder[64];      /* holds what follows */
	char file[80];        /* "outside" */
	char named[80];       /* a listening Unix socket */
	char abstract[32];    /* the same in the abstract space, without the leading NUL */
	uint16_t open_port;   /* listening on 127.0.0.1, in netd's list of ports */
	uint16_t closed_port; /* listening too, not in the list */
	pid_t parent;         /* the runner */
	pid_t sibling;        /* a process of its */
	pid_t own_child;      /* ROLE_WARD: a child of the probe itself */
};
extern struct fixture fix;

/* 0 = it worked, else the errno with which it failed. */
typedef int act_fn(void);

/* What is expected of an act. */
#define WORKS        0
#define KILLED       1000              /* by SIGSYS: the filter */
#define DIED(sig)    (2000 + (sig))    /* by another signal */
#define LIVES        1001              /* control only: anything but a death by SIGSYS */
#define SKIP         1002              /* says nothing in this role */
#define EITHER(a, b) ((a) | (b) << 16) /* one of two errnos */

struct act {
	const char *name;
	act_fn *run;
	int control;          /* without any sandbox */
	int want[ROLE_COUNT]; /* in the sandbox of each role */
};
extern const struct act acts[];
extern const size_t nacts;

/* Without a chroot (not started as root) a few things end differently. */
struct host_want {
	const char *act;
	enum ward_role role;
	int want;
};
extern const struct host_want host_wants[];
extern const size_t nhost_wants;

/* One layer alone: what the other one is needed for. */
struct layer_probe {
	const char *act;
	enum ward_role role;
	unsigned without; /* SANDBOX_NO_… */
	int as_root;
	int want;
};
extern const struct layer_probe layer_probes[];
extern const size_t nlayer_probes;

/* acts_files.c: files */
act_fn act_open_read, act_open_write, act_open_create, act_open_dotdot, act_open_proc_mem,
    act_open_path, act_stat_outside, act_unlink_outside, act_rename_outside, act_renameat_outside,
    act_own_renameat, act_mkdir_outside, act_chmod_outside, act_symlink_outside, act_link_outside,
    act_truncate_outside, act_chdir_outside, act_handle_at, act_own_file, act_own_shared_map,
    act_own_lock, act_own_exec_map, act_read_resolver, act_resolve;
/* acts_net.c: sockets */
act_fn act_socket_inet, act_socket_udp, act_socket_inet6, act_socket_unix, act_socket_netlink,
    act_socket_packet, act_socket_raw, act_socket_mptcp, act_socket_vsock, act_socket_pair,
    act_bind_tcp, act_listen_unbound, act_connect_raw, act_connect_open_port,
    act_connect_closed_port, act_fastopen_closed_port, act_connect_udp, act_connect_abstract,
    act_connect_named, act_accept_client, act_accept_other, act_peer_of_client, act_sendmsg_channel,
    act_sendmsg_fastopen;
/* acts_process.c: processes and identities */
act_fn act_execve, act_execveat, act_fork, act_vfork, act_clone_process, act_clone3, act_thread,
    act_unshare, act_setns, act_ptrace_traceme, act_ptrace_attach, act_vm_readv, act_vm_writev,
    act_pidfd_open, act_pidfd_getfd, act_kill_parent, act_kill_sibling, act_kill_own_child,
    act_tgkill_parent, act_setuid_0, act_setresuid, act_setgid_0, act_setgroups, act_capset,
    act_chroot, act_mount, act_umount, act_pivot_root, act_prctl_dumpable, act_prctl_nnp,
    act_prctl_name, act_seccomp_again, act_landlock_again, act_personality, act_raise_limit,
    act_sched, act_priority, act_modify_ldt, act_arch_prctl, act_iopl, act_int80, act_x32,
    act_abort_is_abort, act_wait_any;
/* acts_kernel.c: memory, descriptors, the kernel */
act_fn act_mmap_exec, act_mmap_shared, act_mprotect_exec, act_shm, act_memfd_create,
    act_memfd_secret, act_userfaultfd, act_io_uring, act_bpf, act_perf, act_keyctl, act_add_key,
    act_tiocsti, act_fionread, act_reboot, act_kexec, act_init_module, act_settimeofday,
    act_sethostname, act_syslog, act_swapon, act_acct, act_quotactl, act_fanotify, act_inotify,
    act_timerfd, act_signalfd, act_eventfd, act_epoll, act_pipe, act_dup, act_dup_fcntl, act_splice,
    act_mlock, act_mlockall, act_malloc_big, act_entropy, act_channel_write, act_droppable;

#endif
