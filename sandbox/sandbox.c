/* The order in which a process gives up what it does not need. */
#include "sandbox/sandbox.h"

#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/log.h"

void
sandbox_add(char *text, size_t size, const char *fmt, ...)
{
	size_t len = strlen(text);
	va_list ap;

	va_start(ap, fmt);
	/* cut when full. NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): false, clang 14 */
	(void)vsnprintf(text + len, size - len, fmt, ap);
	va_end(ap);
}

/* uid, root and capabilities; with an ordinary user's start there is only little to give up. */
static int
drop_privileges(const struct sandbox_params *p, struct sandbox_state *out, char *err)
{
	uint64_t keep = 0;

	if (p->role == ROLE_WARD) {
		/* its children have other uids, and it must be able to end them */
		keep = p->as_root ? 1ull << CAP_KILL : 0;
		return (privs_drop_caps(keep, err));
	}
	if (p->as_root) {
		if (privs_root(p->uid, out, err) == -1 || privs_bounding(err) == -1 ||
		    privs_identity(p->uid, p->gid, err) == -1)
			return (-1);
	} else {
		sandbox_add(out->root, sizeof(out->root), "/");
	}
	return (privs_drop_caps(keep, err));
}

void
sandbox_enter(const struct sandbox_params *p, struct sandbox_state *out)
{
	const struct policy *pol = policy_of(p->role);
	char err[SANDBOX_ERR] = "", draw[16];

	memset(out, 0, sizeof(*out));
	/* glibc sets up its random pages at the first draw: not behind the filter */
	if (getrandom(draw, sizeof(draw), 0) != (ssize_t)sizeof(draw))
		fatal("confinement of %s: getrandom", role_name(p->role));

	if (limits_enter(p, out, err) == -1 || drop_privileges(p, out, err) == -1 ||
	    (p->parent != 0 && privs_die_with(p->parent, err) == -1) || privs_lock(err) == -1 ||
	    descriptors_check(pol, out, err) == -1)
		fatalx("confinement of %s: %s", role_name(p->role), err);
	if ((p->without & SANDBOX_NO_LANDLOCK) == 0 && landlock_enter(p, out, err) == -1)
		fatalx("confinement of %s: %s", role_name(p->role), err);
	if ((p->without & SANDBOX_NO_SECCOMP) == 0 && seccomp_policy_enter(p, out, err) == -1)
		fatalx("confinement of %s: %s", role_name(p->role), err);
}
