/* Landlock: files, TCP ports and scopes of a role, by the three system calls themselves. */
#include "sandbox/sandbox.h"

#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The kernel's numbers: distributions' headers are older than their kernels. */
#ifndef __NR_landlock_create_ruleset
#define __NR_landlock_create_ruleset 444
#define __NR_landlock_add_rule       445
#define __NR_landlock_restrict_self  446
#endif
#define CREATE_RULESET_VERSION 1u
#define RULE_PATH_BENEATH      1
#define RULE_NET_PORT          2
#define NET_BIND_TCP           (1ull << 0)
#define NET_CONNECT_TCP        (1ull << 1)
#define SCOPE_ABSTRACT_UNIX    (1ull << 0)
#define SCOPE_SIGNAL           (1ull << 1)

struct ruleset_attr {
	uint64_t fs, net, scoped;
};
struct path_attr {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));
struct port_attr {
	uint64_t allowed, port;
};

/* Rights to files that exist since each ABI; what is not handled is allowed, so all are handled. */
static const uint64_t fs_rights[] = {
    [0] = 0,
    [1] = (1ull << 13) - 1,
    [2] = (1ull << 14) - 1,
    [3] = (1ull << 15) - 1,
    [4] = (1ull << 15) - 1,
    [5] = (1ull << 16) - 1,
};
#define FILE_RIGHTS (LL_EXECUTE | LL_WRITE_FILE | LL_READ_FILE | LL_TRUNCATE | LL_IOCTL_DEV)

int
landlock_abi(void)
{
	long abi = syscall(__NR_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

	return (abi > 0 ? (int)abi : 0);
}

static int
fail(char *err, const char *what, const char *on)
{
	snprintf(err, SANDBOX_ERR, "landlock: %s %s: %s", what, on, strerror(errno));
	return (-1);
}

/* The attributes of the ABI that was found, and how many of their bytes that kernel knows. */
static size_t
attr_for(int abi, int signals_out, struct ruleset_attr *attr)
{
	int top = abi < 5 ? abi : 5;

	memset(attr, 0, sizeof(*attr));
	attr->fs = fs_rights[top];
	if (abi < 4)
		return (sizeof(attr->fs));
	attr->net = NET_BIND_TCP | NET_CONNECT_TCP;
	if (abi < 6)
		return (sizeof(attr->fs) + sizeof(attr->net));
	attr->scoped = SCOPE_ABSTRACT_UNIX | (signals_out ? 0 : SCOPE_SIGNAL);
	return (sizeof(*attr));
}

static void
describe_rights(uint64_t rights, struct sandbox_state *out)
{
	static const struct {
		uint64_t bit;
		const char *word;
	} words[] = {
	    {LL_READ_FILE, "read"},
	    {LL_WRITE_FILE, "write"},
	    {LL_READ_DIR, "list"},
	    {LL_MAKE_REG, "create"},
	    {LL_REMOVE_FILE, "remove"},
	    {LL_TRUNCATE, "truncate"},
	};
	const char *sep = "";
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if ((rights & words[i].bit) == 0)
			continue;
		sandbox_add(out->landlock, sizeof(out->landlock), "%s%s", sep, words[i].word);
		sep = "+";
	}
}

static int
add_path(
    int set, const struct policy_path *r, uint64_t handled, struct sandbox_state *out, char *err)
{
	struct path_attr attr = {.allowed = r->rights & handled, .fd = r->fd};
	const char *name = r->path != NULL ? r->path : "folder";
	int rc;

	if (r->path != NULL) {
		attr.fd = open(r->path, O_PATH | O_CLOEXEC);
		if (attr.fd == -1 && r->optional && errno == ENOENT)
			return (0);
		if (attr.fd == -1)
			return (fail(err, "cannot open", r->path));
	}
	rc = (int)syscall(__NR_landlock_add_rule, set, RULE_PATH_BENEATH, &attr, 0);
	if (r->path != NULL)
		close(attr.fd);
	if (rc == -1)
		return (fail(err, "cannot add a rule for", name));
	if (r->path != NULL)
		sandbox_add(out->landlock, sizeof(out->landlock), " %s:", r->path);
	else
		sandbox_add(out->landlock, sizeof(out->landlock), " fd%d:", r->fd);
	describe_rights(r->rights & handled, out);
	return (0);
}

static int
add_paths(
    int set, const struct sandbox_params *p, uint64_t handled, struct sandbox_state *out, char *err)
{
	enum policy_root here = p->as_root ? ROOT_CHROOT : ROOT_HOST;
	const struct policy_path *r;

	for (r = policy_of(p->role)->paths; r->reason != NULL; r++) {
		if (r->where != ROOT_ANY && r->where != here)
			continue;
		if (add_path(set, r, handled, out, err) == -1)
			return (-1);
	}
	return (0);
}

static int
add_port(int set, uint16_t port, struct sandbox_state *out, char *err)
{
	struct port_attr attr = {.allowed = NET_CONNECT_TCP, .port = port};
	char name[16];

	snprintf(name, sizeof(name), "tcp:%u", port);
	if (syscall(__NR_landlock_add_rule, set, RULE_NET_PORT, &attr, 0) == -1)
		return (fail(err, "cannot add a rule for", name));
	sandbox_add(out->landlock, sizeof(out->landlock), " %s", name);
	return (0);
}

static int
add_ports(int set, const struct sandbox_params *p, int abi, struct sandbox_state *out, char *err)
{
	size_t i;

	if (!policy_of(p->role)->tcp_connect)
		return (0);
	if (abi < 4) {
		sandbox_add(out->landlock, sizeof(out->landlock), " tcp:any");
		return (0);
	}
	for (i = 0; i < p->nports; i++) {
		if (add_port(set, p->ports[i], out, err) == -1)
			return (-1);
	}
	for (i = 0; i < policy_nfixed_ports; i++) {
		if (add_port(set, policy_fixed_ports[i], out, err) == -1)
			return (-1);
	}
	return (0);
}

int
landlock_enter(const struct sandbox_params *p, struct sandbox_state *out, char *err)
{
	struct ruleset_attr attr;
	size_t size;
	int abi, set, rc = -1;

	if ((abi = landlock_abi()) == 0) {
		out->landlock_abi = 0;
		if (p->landlock_optional) {
			sandbox_add(out->landlock, sizeof(out->landlock), "unavailable");
			return (0);
		}
		return (fail(err, "this kernel has it not (see landlock in ward.conf(5))", ""));
	}
	size = attr_for(abi, policy_of(p->role)->signals_out, &attr);
	set = (int)syscall(__NR_landlock_create_ruleset, &attr, size, 0);
	if (set == -1)
		return (fail(err, "cannot make", "a rule set"));
	sandbox_add(out->landlock, sizeof(out->landlock), "%s%s", abi >= 6 ? "scoped" : "unscoped",
	    policy_of(p->role)->signals_out ? "(signals out)" : "");
	if (add_paths(set, p, attr.fs, out, err) == -1 || add_ports(set, p, abi, out, err) == -1)
		goto done;
	if (syscall(__NR_landlock_restrict_self, set, 0) == -1) {
		fail(err, "the kernel refused", "the rule set");
		goto done;
	}
	out->landlock_abi = abi;
	rc = 0;
done:
	close(set);
	return (rc);
}
