/* Enter the confinement of a role: every layer, in the order that works, each verified. */
#ifndef WARD_SANDBOX_H
#define WARD_SANDBOX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandbox/policy.h"
#include "sandbox/role.h"

#define SANDBOX_PORTS_MAX 16
#define SANDBOX_OPEN_MAX  32

struct sandbox_params {
	enum ward_role role;
	int as_root; /* chroot into the working folder, become uid and gid, drop capabilities */
	uid_t uid;
	gid_t gid;
	pid_t parent; /* die with it, and at once if it is gone; 0 = no such tie */
	uint16_t ports[SANDBOX_PORTS_MAX]; /* where a tcp_connect role may connect */
	size_t nports;
	unsigned clients;      /* apid: api.max_connections */
	int landlock_optional; /* go on without Landlock where the kernel has none */
	const pid_t *children; /* ROLE_WARD: whom it may kill */
	size_t nchildren;
	unsigned without; /* for probes, which show what one layer alone does: 0 everywhere else */
};
#define SANDBOX_NO_SECCOMP  1u
#define SANDBOX_NO_LANDLOCK 2u

/* What is in force, for the report. Texts are cut, never overrun. */
struct sandbox_state {
	int landlock_abi; /* 0 = none */
	char landlock[512];
	char limits[256];
	char root[256];
	struct {
		int fd;
		const char *name;
	} open[SANDBOX_OPEN_MAX]; /* the descriptors that were found */
	size_t nopen;
	unsigned calls;
};

/* Dies (fatal) with the reason when any step fails; nothing is ever skipped silently. */
void sandbox_enter(const struct sandbox_params *p, struct sandbox_state *out);

/* The layers; each returns 0, or -1 with a message in err. */
#define SANDBOX_ERR 256
int limits_enter(const struct sandbox_params *p, struct sandbox_state *out, char *err);
/* chroot into the working folder, which must be the role's or root's, and not the system's root */
int privs_root(uid_t uid, struct sandbox_state *out, char *err);
int privs_bounding(char *err);                       /* before the identity goes: needs root */
int privs_identity(uid_t uid, gid_t gid, char *err); /* and never back: tried */
int privs_drop_caps(uint64_t keep, char *err);       /* all sets, read back */
int privs_die_with(pid_t parent, char *err);
int privs_lock(char *err); /* no_new_privs, MDWE, not dumpable */
int descriptors_check(const struct policy *pol, struct sandbox_state *out, char *err);
int landlock_abi(void); /* of this kernel, 0 = none */
int landlock_enter(const struct sandbox_params *p, struct sandbox_state *out, char *err);
int seccomp_policy_enter(const struct sandbox_params *p, struct sandbox_state *out, char *err);
/* The filter as BPF, for the test that runs it: written to fd. */
int seccomp_policy_export(const struct sandbox_params *p, int fd, char *err);

/* Append to a text of the state; cut when full. */
void sandbox_add(char *text, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
