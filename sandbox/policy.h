/* What each process may do, as data. The table in policy.c is the whole policy: seccomp.c,
 * landlock.c, privs.c and descriptors.c enforce what it says and nothing else. */
#ifndef WARD_POLICY_H
#define WARD_POLICY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandbox/role.h"

/* --- system calls --------------------------------------------------------------------------- */

/* A condition on one argument, all 64 bits of it: (argument & mask) == value. */
enum policy_value {
	VALUE_NONE, /* no condition */
	VALUE_FIXED,
	VALUE_OWN_PID,  /* the pid of the process that is sealed */
	VALUE_CHILD_PID /* ward: of one of its children; stands for one row for each */
};

struct policy_cond {
	enum policy_value kind;
	unsigned arg; /* 0 … 5 */
	uint64_t mask, value;
};

#define POLICY_CONDS 4

struct policy_call {
	const char *name; /* as libseccomp knows it; one that this machine lacks is dropped */
	int soft;         /* 0 = allowed; else the errno with which it is denied */
	struct policy_cond
	    cond[POLICY_CONDS]; /* all must hold; several rows of a call are an "or" */
	const char *reason;     /* who needs it and for what */
};

/* --- Landlock -------------------------------------------------------------------------------- */

/* Access rights to files, as the kernel numbers them (Landlock ABI 1 to 5). */
#define LL_EXECUTE     (1ull << 0)
#define LL_WRITE_FILE  (1ull << 1)
#define LL_READ_FILE   (1ull << 2)
#define LL_READ_DIR    (1ull << 3)
#define LL_REMOVE_DIR  (1ull << 4)
#define LL_REMOVE_FILE (1ull << 5)
#define LL_MAKE_CHAR   (1ull << 6)
#define LL_MAKE_DIR    (1ull << 7)
#define LL_MAKE_REG    (1ull << 8)
#define LL_MAKE_SOCK   (1ull << 9)
#define LL_MAKE_FIFO   (1ull << 10)
#define LL_MAKE_BLOCK  (1ull << 11)
#define LL_MAKE_SYM    (1ull << 12)
#define LL_REFER       (1ull << 13) /* ABI 2 */
#define LL_TRUNCATE    (1ull << 14) /* ABI 3 */
#define LL_IOCTL_DEV   (1ull << 15) /* ABI 5 */

enum policy_root {
	ROOT_ANY,
	ROOT_CHROOT,
	ROOT_HOST
}; /* where a path rule counts */

struct policy_path {
	const char *path; /* NULL = the folder behind fd; absolute, inside the chroot if any */
	int fd;
	uint64_t rights;
	enum policy_root where;
	int optional; /* a file that need not exist */
	const char *reason;
};

/* --- limits ---------------------------------------------------------------------------------- */

enum policy_limit_kind {
	LIMIT_CLIENTS, /* as EXACT, plus the clients that the config allows */
	LIMIT_EXACT,   /* soft and hard become this; it is an error if the hard limit is lower */
	LIMIT_AT_MOST, /* this, or the hard limit where that is lower */
	LIMIT_OWN_UID  /* as AT_MOST, but only with a uid of its own (NPROC counts by uid) */
};

struct policy_limit {
	int resource;
	const char *name;
	enum policy_limit_kind kind;
	uint64_t value;
	const char *reason;
};

/* --- descriptors ----------------------------------------------------------------------------- */

enum policy_fd_kind {
	FD_NULL,      /* /dev/null */
	FD_PACKET,    /* Unix socket, SOCK_SEQPACKET, connected */
	FD_STREAM,    /* Unix socket, SOCK_STREAM, connected */
	FD_LISTENING, /* Unix socket, SOCK_STREAM, listening */
	FD_PIPE,
	FD_DIR,
	FD_READABLE, /* a file or pipe, open for reading only */
	FD_ANON      /* of the kernel's making: epoll, eventfd */
};

struct policy_fd {
	int fd;
	enum policy_fd_kind kind;
	const char *name;
	int early; /* given at boot, must be closed again before confinement */
};

/* What libraries open for themselves before confinement, above the fixed numbers. */
struct policy_extra {
	enum policy_fd_kind kind;
	unsigned max;
	const char *reason;
};

/* --- a role ---------------------------------------------------------------------------------- */

struct policy {
	enum ward_role role;
	const struct policy_call *base; /* what every child may; NULL-named row ends each list */
	const struct policy_call *calls;
	const struct policy_path *paths; /* reason NULL ends */
	int tcp_connect;                 /* may connect to the ports that the config names */
	int signals_out;                 /* may signal processes outside (ward ends its children) */
	const struct policy_limit *limits;
	const struct policy_fd *fds;
	const struct policy_extra *extras;
};

const struct policy *policy_of(enum ward_role r);

/* Ports beside those of network.url and network.proxy that a tcp_connect role may reach. */
extern const uint16_t policy_fixed_ports[];
extern const size_t policy_nfixed_ports;

/* Checks the table of a role: names that exist somewhere, a reason on each line, no row that
 * another makes dead, no two rows that say different things of one call. 0, or -1 with a message in
 * err. */
int policy_lint(const struct policy *p, char *err, size_t size);

/* How many different calls a role may make on this machine. */
unsigned policy_calls_allowed(const struct policy *p);

/* The nth row of a role, base first; NULL behind the last. */
const struct policy_call *policy_row(const struct policy *p, size_t n);

#endif
