/* The policy table: it is consistent, and the kernel's filter says exactly what it says. */
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sandbox/sandbox.h"

#define PROGRAM_MAX 4096
#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#endif

static const pid_t kids[] = {4711, 4712, 4713, 4714};

/* ------------------------------------------------------------------ lint */

static void
lint_of_the_table(void **state)
{
	char err[256] = "";
	int r;

	for (r = 0; r < ROLE_COUNT; r++) {
		if (policy_lint(policy_of((enum ward_role)r), err, sizeof(err)) == -1)
			fail_msg("%s: %s", role_name((enum ward_role)r), err);
	}
}

#define C0                                                                                         \
	{                                                                                          \
		{                                                                                  \
			VALUE_NONE, 0, 0, 0                                                        \
		}                                                                                  \
	}
#define IS(n, v)                                                                                   \
	{                                                                                          \
		VALUE_FIXED, (n), ~0ull, (v)                                                       \
	}
#define UNDER(n, bits)                                                                             \
	{                                                                                          \
		VALUE_FIXED, (n), ~(uint64_t)(bits), 0                                             \
	}
#define LAST                                                                                       \
	{                                                                                          \
		NULL, 0, C0, NULL                                                                  \
	}

static void
lint_finds_faults(void **state)
{
	static const struct {
		const char *why, *says; /* says NULL: nothing is wrong */
		struct policy_call rows[3];
	} t[] = {
	    {"two narrow rows", NULL,
		{{"fcntl", 0, {IS(1, 1)}, "x"}, {"fcntl", 0, {IS(1, 2)}, "y"}, LAST}},
	    {"a wide row kills a narrow one before it", "dead",
		{{"mmap", 0, {UNDER(2, 3)}, "x"}, {"mmap", 0, C0, "y"}, LAST}},
	    {"a wide row kills a narrow one behind it", "dead",
		{{"mmap", 0, C0, "x"}, {"mmap", 0, {UNDER(2, 3)}, "y"}, LAST}},
	    {"a wider mask kills a narrower one", "dead",
		{{"mmap", 0, {UNDER(2, 3)}, "x"}, {"mmap", 0, {UNDER(2, 7)}, "y"}, LAST}},
	    {"a value inside a mask is dead", "dead",
		{{"mprotect", 0, {UNDER(2, 3)}, "x"}, {"mprotect", 0, {IS(2, 1)}, "y"}, LAST}},
	    {"the same twice", "dead", {{"read", 0, C0, "x"}, {"read", 0, C0, "y"}, LAST}},
	    {"a denied row inside an allowed one", "dead",
		{{"socket", 0, C0, "x"}, {"socket", EACCES, {IS(0, 1)}, "y"}, LAST}},
	    {"allowed and denied overlap", "at once",
		{{"socket", 0, {IS(1, 5)}, "x"}, {"socket", EACCES, {IS(0, 1)}, "y"}, LAST}},
	    {"allowed and denied apart", NULL,
		{{"socket", 0, {IS(0, 2)}, "x"}, {"socket", EACCES, {IS(0, 1)}, "y"}, LAST}},
	    {"no reason", "reason", {{"read", 0, C0, NULL}, LAST, LAST}},
	    {"an empty reason", "reason", {{"read", 0, C0, ""}, LAST, LAST}},
	    {"no such call", "no such system call", {{"raed", 0, C0, "x"}, LAST, LAST}},
	    {"a value outside its mask", "never hold",
		{{"read", 0, {{VALUE_FIXED, 0, 1, 2}}, "x"}, LAST, LAST}},
	    {"two conditions on one argument", "two conditions",
		{{"read", 0, {IS(0, 1), UNDER(0, 3)}, "x"}, LAST, LAST}},
	    {"no such errno", "errno", {{"read", 70000, C0, "x"}, LAST, LAST}},
	};
	char err[256];
	size_t i;
	int rc;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct policy p = {.role = ROLE_KEYD, .calls = t[i].rows};

		err[0] = '\0';
		rc = policy_lint(&p, err, sizeof(err));
		if (t[i].says == NULL ? rc != 0 : rc == 0 || strstr(err, t[i].says) == NULL)
			fail_msg("%s: returned %d, \"%s\"", t[i].why, rc, err);
	}
}

/* ------------------------------------------------------------------ the filter itself */

/* libseccomp asks the kernel; some tools that run tests do not pass that on. */
static void
needs_seccomp(void)
{
	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, NULL) == -1 && errno == ENOSYS)
		skip();
}

struct program {
	struct sock_filter ins[PROGRAM_MAX];
	size_t n;
};

static void
program_of(enum ward_role r, struct program *prog)
{
	struct sandbox_params p = {.role = r, .children = kids, .nchildren = 4};
	char err[SANDBOX_ERR] = "";
	int fd = memfd_create("filter", MFD_CLOEXEC);
	ssize_t n;

	assert_true(fd >= 0);
	if (seccomp_policy_export(&p, fd, err) == -1)
		fail_msg("%s: %s", role_name(r), err);
	n = pread(fd, prog->ins, sizeof(prog->ins), 0);
	assert_true(n > 0 && (size_t)n < sizeof(prog->ins));
	prog->n = (size_t)n / sizeof(prog->ins[0]);
	close(fd);
}

static int
jumps(uint16_t op, uint32_t a, uint32_t k)
{
	switch (op) {
	case BPF_JEQ:
		return (a == k);
	case BPF_JGT:
		return (a > k);
	case BPF_JGE:
		return (a >= k);
	case BPF_JSET:
		return ((a & k) != 0);
	default:
		fail_msg("unknown jump %x", op);
		return (0);
	}
}

/* What the kernel would do with this call. */
static uint32_t
run(const struct program *prog, const struct seccomp_data *data)
{
	uint32_t a = 0;
	size_t pc;

	for (pc = 0; pc < prog->n; pc++) {
		const struct sock_filter *f = &prog->ins[pc];

		switch (BPF_CLASS(f->code)) {
		case BPF_LD:
			assert_int_equal(f->code, BPF_LD | BPF_W | BPF_ABS);
			assert_true(f->k + 4 <= sizeof(*data));
			memcpy(&a, (const char *)data + f->k, 4);
			break;
		case BPF_ALU:
			assert_int_equal(f->code, BPF_ALU | BPF_AND | BPF_K);
			a &= f->k;
			break;
		case BPF_JMP:
			if (BPF_OP(f->code) == BPF_JA)
				pc += f->k;
			else
				pc += jumps(BPF_OP(f->code), a, f->k) ? f->jt : f->jf;
			break;
		case BPF_RET:
			return (f->k);
		default:
			fail_msg("unknown instruction %x", f->code);
		}
	}
	fail_msg("ran off the program");
	return (0);
}

static int
holds(const struct policy_cond *c, const struct seccomp_data *d)
{
	uint64_t v = c->arg < 6 ? d->args[c->arg] : 0;
	size_t i;

	switch (c->kind) {
	case VALUE_NONE:
		return (1);
	case VALUE_FIXED:
		return ((v & c->mask) == c->value);
	case VALUE_OWN_PID:
		return (v == (uint64_t)getpid());
	case VALUE_CHILD_PID:
		for (i = 0; i < 4; i++) {
			if (v == (uint64_t)kids[i])
				return (1);
		}
	}
	return (0);
}

/* What the table says of it. */
static uint32_t
wanted(const struct policy *p, const struct seccomp_data *d)
{
	const struct policy_call *c;
	size_t i, k;

	for (i = 0; (c = policy_row(p, i)) != NULL; i++) {
		if (seccomp_syscall_resolve_name(c->name) != d->nr)
			continue;
		for (k = 0; k < POLICY_CONDS && holds(&c->cond[k], d); k++)
			;
		if (k == POLICY_CONDS)
			return (c->soft != 0 ? SECCOMP_RET_ERRNO | (uint32_t)c->soft
					     : SECCOMP_RET_ALLOW);
	}
	return (SECCOMP_RET_KILL_PROCESS);
}

static uint64_t
draw(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (x);
}

static unsigned compared[3]; /* killed, denied, allowed */

static void
compare(const struct policy *p, const struct program *prog, const struct seccomp_data *d)
{
	uint32_t got = run(prog, d), want = wanted(p, d);

	if (got != want)
		fail_msg("%s: call %d (%llx, %llx, %llx, %llx): filter %x, table %x",
		    role_name(p->role), d->nr, (unsigned long long)d->args[0],
		    (unsigned long long)d->args[1], (unsigned long long)d->args[2],
		    (unsigned long long)d->args[3], got, want);
	compared[got == SECCOMP_RET_ALLOW ? 2 : got == SECCOMP_RET_KILL_PROCESS ? 0 : 1]++;
}

/* Arguments that satisfy a row, and then each of its conditions broken by one bit. */
static void
compare_row(const struct policy *p, const struct program *prog, const struct policy_call *c)
{
	struct seccomp_data d = {.nr = seccomp_syscall_resolve_name(c->name), .arch = OUR_ARCH};
	unsigned i, bit;

	for (i = 0; i < 6; i++)
		d.args[i] = draw();
	for (i = 0; i < POLICY_CONDS && c->cond[i].kind != VALUE_NONE; i++) {
		const struct policy_cond *x = &c->cond[i];

		d.args[x->arg] = x->kind == VALUE_FIXED     ? x->value | (draw() & ~x->mask)
				 : x->kind == VALUE_OWN_PID ? (uint64_t)getpid()
							    : (uint64_t)kids[draw() % 4];
	}
	compare(p, prog, &d);
	for (i = 0; i < POLICY_CONDS && c->cond[i].kind != VALUE_NONE; i++) {
		for (bit = 0; bit < 64; bit++) {
			d.args[c->cond[i].arg] ^= 1ull << bit;
			compare(p, prog, &d);
			d.args[c->cond[i].arg] ^= 1ull << bit;
		}
	}
}

static void
filter_is_the_table(void **state)
{
	static struct program prog;
	const struct policy_call *c;
	struct seccomp_data d;
	size_t i;
	int r, k;

	needs_seccomp();
	for (r = 0; r < ROLE_COUNT; r++) {
		const struct policy *p = policy_of((enum ward_role)r);

		program_of((enum ward_role)r, &prog);
		for (i = 0; (c = policy_row(p, i)) != NULL; i++) {
			for (k = 0; k < 8; k++)
				compare_row(p, &prog, c);
		}
		for (k = 0; k < 1024; k++) { /* every call, known to the table or not */
			memset(&d, 0, sizeof(d));
			d.nr = k;
			d.arch = OUR_ARCH;
			compare(p, &prog, &d);
			for (i = 0; i < 6; i++)
				d.args[i] = draw() >> (draw() % 64);
			compare(p, &prog, &d);
		}
	}
	print_message(
	    "compared: %u killed, %u denied, %u allowed\n", compared[0], compared[1], compared[2]);
	assert_true(compared[0] > 1000 && compared[1] > 10 && compared[2] > 1000);
}

static void
other_entries_die(void **state)
{
	static const uint32_t archs[] = {
	    AUDIT_ARCH_I386, AUDIT_ARCH_ARM, AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64, 0};
	static struct program prog;
	struct seccomp_data d = {.nr = SYS_read};
	size_t i;
	int r;

	needs_seccomp();
	for (r = 0; r < ROLE_COUNT; r++) {
		program_of((enum ward_role)r, &prog);
		for (i = 0; i < sizeof(archs) / sizeof(archs[0]); i++) {
			d.arch = archs[i];
			d.nr = SYS_read;
			assert_int_equal(run(&prog, &d),
			    archs[i] == OUR_ARCH ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS);
		}
#ifdef __x86_64__
		d.arch = OUR_ARCH;
		d.nr = SYS_read | 0x40000000; /* x32 */
		assert_int_equal(run(&prog, &d), SECCOMP_RET_KILL_PROCESS);
#endif
	}
}

/* ------------------------------------------------------------------ what must never be in it */

static void
never(void **state)
{
	static const char *const nobody[] = {"execve", "execveat", "fork", "vfork", "ptrace",
	    "process_vm_readv", "process_vm_writev", "pidfd_open", "pidfd_getfd", "memfd_create",
	    "memfd_secret", "userfaultfd", "io_uring_setup", "bpf", "perf_event_open", "keyctl",
	    "add_key", "personality", "prctl", "seccomp", "mount", "chroot", "setuid", "setresuid",
	    "bind", "listen", "rename", "renameat2", "link", "symlink", "chmod", "fchmodat",
	    "unshare", "setns", "shmget", "dup", "dup2", "dup3", "pipe2", "open"};
	static const struct {
		const char *call;
		unsigned roles; /* who alone may, as a bit set */
	} only[] = {
	    {"kill", 1u << ROLE_WARD},
	    {"wait4", 1u << ROLE_WARD},
	    {"connect", 1u << ROLE_NETD},
	    {"socket", 1u << ROLE_NETD},
	    {"socketpair", 1u << ROLE_NETD},
	    {"clone", 1u << ROLE_NETD},
	    {"clone3", 1u << ROLE_NETD},
	    {"accept4", 1u << ROLE_APID},
	    {"openat", 1u << ROLE_NETD | 1u << ROLE_STORED},
	    {"unlink", 1u << ROLE_STORED},
	    {"ftruncate", 1u << ROLE_STORED},
	    {"mlock", 1u << ROLE_KEYD | 1u << ROLE_STORED},
	};
	const struct policy_call *c;
	size_t i, k;
	int r;

	for (r = 0; r < ROLE_COUNT; r++) {
		for (i = 0; (c = policy_row(policy_of((enum ward_role)r), i)) != NULL; i++) {
			for (k = 0; k < sizeof(nobody) / sizeof(nobody[0]); k++) {
				if (strcmp(c->name, nobody[k]) == 0)
					fail_msg(
					    "%s may %s", role_name((enum ward_role)r), c->name);
			}
			for (k = 0; k < sizeof(only) / sizeof(only[0]); k++) {
				if (strcmp(c->name, only[k].call) == 0 &&
				    (only[k].roles >> r & 1) == 0)
					fail_msg(
					    "%s may %s", role_name((enum ward_role)r), c->name);
			}
		}
	}
}

/* The arguments that matter most, one by one. */
static void
spot_checks(void **state)
{
	static const struct {
		enum ward_role role;
		const char *call;
		uint64_t args[6];
		uint32_t want;
	} t[] = {
#define K    SECCOMP_RET_KILL_PROCESS
#define A    SECCOMP_RET_ALLOW
#define E(e) (SECCOMP_RET_ERRNO | (e))
	    {ROLE_NETD, "socket", {AF_INET, SOCK_STREAM, 6}, A},
	    {ROLE_NETD, "socket", {AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0}, A},
	    {ROLE_NETD, "socket", {AF_INET, SOCK_STREAM, 262}, K}, /* MPTCP */
	    {ROLE_NETD, "socket", {AF_INET, SOCK_RAW, 1}, K},
	    {ROLE_NETD, "socket", {AF_PACKET, SOCK_RAW, 0}, K},
	    {ROLE_NETD, "socket", {AF_UNIX, SOCK_STREAM, 0}, E(EACCES)},
	    {ROLE_NETD, "socket", {AF_NETLINK, SOCK_RAW, 0}, E(EACCES)},
	    {ROLE_NETD, "socket", {AF_INET | 1ull << 32, SOCK_STREAM, 6}, K},
	    {ROLE_NETD, "sendto", {9, 0, 1, MSG_NOSIGNAL, 0, 0}, A},
	    {ROLE_NETD, "sendto", {9, 0, 1, MSG_FASTOPEN, 0, 0}, K},
	    {ROLE_NETD, "sendmsg", {9, 0, MSG_FASTOPEN}, K},
	    {ROLE_NETD, "clone", {0x3d0f00}, A},
	    {ROLE_NETD, "clone", {SIGCHLD}, K},
	    {ROLE_NETD, "clone", {0x3d0f00 | CLONE_NEWUSER}, K},
	    {ROLE_NETD, "clone3", {0}, E(ENOSYS)},
	    {ROLE_NETD, "openat", {0xffffff9cull, 0, O_RDONLY | O_CLOEXEC}, A},
	    {ROLE_NETD, "openat", {(uint64_t)AT_FDCWD, 0, O_RDONLY}, A},
	    {ROLE_NETD, "openat", {0xffffff9cull, 0, O_WRONLY}, K},
	    {ROLE_NETD, "openat", {0xffffff9cull, 0, O_RDONLY | O_CREAT}, K},
	    {ROLE_NETD, "openat", {7, 0, O_RDONLY}, K},
	    {ROLE_STORED, "openat", {0xffffff9cull, 0, O_RDWR | O_CREAT | O_CLOEXEC}, A},
	    {ROLE_STORED, "openat", {0xffffff9cull, 0, O_PATH}, K},
	    {ROLE_STORED, "openat", {0xffffff9cull, 0, __O_TMPFILE | O_RDWR}, K},
	    {ROLE_STORED, "mmap", {0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 9, 0}, A},
	    {ROLE_STORED, "unlinkat", {0xffffff9cull, 0, AT_REMOVEDIR}, K},
	    {ROLE_STORED, "renameat", {0xffffff9cull, 0, 0xffffff9cull, 0}, A},
	    {ROLE_STORED, "renameat", {0xffffff9cull, 0, 7, 0}, K},
	    {ROLE_STORED, "renameat", {7, 0, 0xffffff9cull, 0}, K},
	    {ROLE_KEYD, "mmap", {0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 9, 0}, K},
	    {ROLE_KEYD, "mmap", {0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, 9, 0}, K},
	    {ROLE_KEYD, "mmap", {0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS}, A},
	    {ROLE_KEYD, "mmap", {0, 4096, 3, 0x28}, E(EINVAL)},
	    {ROLE_KEYD, "mmap", {0, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS}, K},
	    {ROLE_KEYD, "mprotect", {0, 4096, PROT_READ | PROT_EXEC}, K},
	    {ROLE_KEYD, "madvise", {0, 4096, 102}, K},
	    {ROLE_KEYD, "fcntl", {3, F_DUPFD}, K},
	    {ROLE_KEYD, "tgkill", {1, 1, SIGKILL}, K},
	    {ROLE_APID, "accept4", {APID_FD_LISTEN, 0, 0, SOCK_CLOEXEC}, A},
	    {ROLE_APID, "accept4", {APID_FD_KEYD, 0, 0, SOCK_CLOEXEC}, K},
	    {ROLE_APID, "getsockopt", {9, SOL_SOCKET, SO_PEERCRED}, A},
	    {ROLE_APID, "getsockopt", {9, SOL_SOCKET, SO_PEERSEC}, K},
	    {ROLE_APID, "ioctl", {9, 0x5412}, K}, /* TIOCSTI */
	    {ROLE_WARD, "kill", {4712, SIGKILL}, A},
	    {ROLE_WARD, "kill", {4712, SIGTERM}, K},
	    {ROLE_WARD, "kill", {1, SIGKILL}, K},
	    {ROLE_WARD, "kill", {(uint64_t)-1, SIGKILL}, K},
	};
	static struct program prog;
	struct seccomp_data d = {.arch = OUR_ARCH};
	size_t i;
	uint32_t got;

	needs_seccomp();
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		program_of(t[i].role, &prog);
		d.nr = seccomp_syscall_resolve_name(t[i].call);
		if (d.nr < 0)
			continue;
		memcpy(d.args, t[i].args, sizeof(d.args));
		if ((got = run(&prog, &d)) != t[i].want)
			fail_msg("row %zu: %s, %s: filter says %x, wanted %x", i,
			    role_name(t[i].role), t[i].call, got, t[i].want);
	}
}

/* ------------------------------------------------------------------ the rest of the table */

static void
tables_are_complete(void **state)
{
	const struct policy_limit *l;
	const struct policy_path *f;
	const struct policy_fd *d;
	int r, core;

	for (r = 0; r < ROLE_COUNT; r++) {
		const struct policy *p = policy_of((enum ward_role)r);

		assert_int_equal(p->role, r);
		for (core = 0, l = p->limits; l->name != NULL; l++) {
			assert_non_null(l->reason);
			core += strcmp(l->name, "CORE") == 0 && l->value == 0;
		}
		assert_int_equal(core, 1);
		for (f = p->paths; f->reason != NULL; f++) {
			assert_true(f->path != NULL ? f->path[0] == '/' : f->fd >= 0);
			assert_int_equal(f->rights & (LL_EXECUTE | LL_MAKE_SYM | LL_MAKE_SOCK), 0);
			if (r == ROLE_NETD) /* reads only, in the chroot and without one */
				assert_int_equal(f->rights & ~(LL_READ_FILE | LL_READ_DIR), 0);
		}
		assert_true(r == ROLE_NETD || r == ROLE_STORED || p->paths->reason == NULL);
		assert_int_equal(p->tcp_connect, r == ROLE_NETD);
		assert_int_equal(p->signals_out, r == ROLE_WARD);
		for (d = p->fds; d != NULL && d->name != NULL; d++)
			assert_int_equal(d->fd, d - p->fds); /* no number is missing or twice */
		assert_true(r == ROLE_WARD || d - p->fds >= FD_LOG + 3);
		assert_true(policy_calls_allowed(p) > 10 && policy_calls_allowed(p) < 90);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lint_of_the_table),
	    cmocka_unit_test(lint_finds_faults),
	    cmocka_unit_test(filter_is_the_table),
	    cmocka_unit_test(other_entries_die),
	    cmocka_unit_test(never),
	    cmocka_unit_test(spot_checks),
	    cmocka_unit_test(tables_are_complete),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
