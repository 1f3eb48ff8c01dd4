/* The system call filter of a role, made from the policy table with libseccomp. */
#include "sandbox/sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef WARD_SECCOMP_LOG /* development builds: say in the kernel's log instead of killing */
#define DEFAULT_ACTION SCMP_ACT_LOG
#else
#define DEFAULT_ACTION SCMP_ACT_KILL_PROCESS
#endif

static int
fail(char *err, const char *what, const char *call, int rc)
{
	snprintf(err, SANDBOX_ERR, "seccomp: %s %s: %s", what, call, strerror(-rc));
	return (-1);
}

/* One row, with `child` for VALUE_CHILD_PID. */
static int
add_row(scmp_filter_ctx ctx, const struct policy_call *c, int nr, pid_t child, char *err)
{
	struct scmp_arg_cmp cmp[POLICY_CONDS];
	uint32_t action = c->soft != 0 ? SCMP_ACT_ERRNO((uint32_t)c->soft) : SCMP_ACT_ALLOW;
	unsigned n;
	int rc;

	for (n = 0; n < POLICY_CONDS && c->cond[n].kind != VALUE_NONE; n++) {
		const struct policy_cond *x = &c->cond[n];
		uint64_t value = x->value;

		if (x->kind == VALUE_OWN_PID)
			value = (uint64_t)getpid();
		else if (x->kind == VALUE_CHILD_PID)
			value = (uint64_t)child;
		cmp[n].arg = x->arg;
		cmp[n].op = SCMP_CMP_MASKED_EQ;
		cmp[n].datum_a = x->mask;
		cmp[n].datum_b = value;
	}
	if ((rc = seccomp_rule_add_array(ctx, action, nr, n, cmp)) < 0)
		return (fail(err, "cannot add a rule for", c->name, rc));
	return (0);
}

static int
is_per_child(const struct policy_call *c)
{
	unsigned n;

	for (n = 0; n < POLICY_CONDS; n++) {
		if (c->cond[n].kind == VALUE_CHILD_PID)
			return (1);
	}
	return (0);
}

static int
add_rows(scmp_filter_ctx ctx, const struct sandbox_params *p, char *err)
{
	const struct policy *pol = policy_of(p->role);
	const struct policy_call *c;
	size_t i, k;
	int nr;

	for (i = 0; (c = policy_row(pol, i)) != NULL; i++) {
		nr = seccomp_syscall_resolve_name(c->name);
		if (nr == __NR_SCMP_ERROR)
			return (fail(err, "unknown call", c->name, -EINVAL));
		if (nr < 0)
			continue; /* a call of other machines */
		if (!is_per_child(c)) {
			if (add_row(ctx, c, nr, 0, err) == -1)
				return (-1);
			continue;
		}
		for (k = 0; k < p->nchildren; k++) {
			if (add_row(ctx, c, nr, p->children[k], err) == -1)
				return (-1);
		}
	}
	return (0);
}

static scmp_filter_ctx
build(const struct sandbox_params *p, char *err)
{
	scmp_filter_ctx ctx;
	int rc;

	if (policy_lint(policy_of(p->role), err, SANDBOX_ERR) == -1)
		return (NULL);
	if ((ctx = seccomp_init(DEFAULT_ACTION)) == NULL) {
		fail(err, "cannot make", "a filter", -ENOMEM);
		return (NULL);
	}
	/* Other architectures (32-bit entry, x32) die; no_new_privs was set and checked before;
	 * all threads get the filter. */
	if ((rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS)) < 0 ||
	    (rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0)) < 0 ||
	    (rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1)) < 0) {
		fail(err, "cannot set", "an attribute", rc);
		goto bad;
	}
	if (add_rows(ctx, p, err) == -1)
		goto bad;
	return (ctx);
bad:
	seccomp_release(ctx);
	return (NULL);
}

int
seccomp_policy_enter(const struct sandbox_params *p, struct sandbox_state *out, char *err)
{
	scmp_filter_ctx ctx;
	int rc;

	if ((ctx = build(p, err)) == NULL)
		return (-1);
	out->calls = policy_calls_allowed(policy_of(p->role));
	rc = seccomp_load(ctx);
	seccomp_release(ctx);
	if (rc < 0)
		return (fail(err, "the kernel refused", "the filter", rc));
	return (0);
}

int
seccomp_policy_export(const struct sandbox_params *p, int fd, char *err)
{
	scmp_filter_ctx ctx;
	int rc;

	if ((ctx = build(p, err)) == NULL)
		return (-1);
	rc = seccomp_export_bpf(ctx, fd);
	seccomp_release(ctx);
	if (rc < 0)
		return (fail(err, "cannot write", "the filter", rc));
	return (0);
}
