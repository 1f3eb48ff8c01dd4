/* Resource limits of a role, set and read back. */
#include "sandbox/sandbox.h"

#include <sys/resource.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int
limit_set(const struct policy_limit *l, uint64_t value, char *err)
{
	struct rlimit old, want, now;

	if (getrlimit((__rlimit_resource_t)l->resource, &old) == -1) {
		snprintf(err, SANDBOX_ERR, "cannot read limit %s: %s", l->name, strerror(errno));
		return (-1);
	}
	want.rlim_cur = want.rlim_max = (rlim_t)value;
	if (want.rlim_max > old.rlim_max) {
		if (l->kind == LIMIT_EXACT || l->kind == LIMIT_CLIENTS) {
			snprintf(err, SANDBOX_ERR,
			    "limit %s must be %llu, but the hard limit is %llu", l->name,
			    (unsigned long long)value, (unsigned long long)old.rlim_max);
			return (-1);
		}
		want.rlim_cur = want.rlim_max = old.rlim_max;
	}
	if (setrlimit((__rlimit_resource_t)l->resource, &want) == -1 ||
	    getrlimit((__rlimit_resource_t)l->resource, &now) == -1) {
		snprintf(err, SANDBOX_ERR, "cannot set limit %s: %s", l->name, strerror(errno));
		return (-1);
	}
	if (now.rlim_cur != want.rlim_cur || now.rlim_max != want.rlim_max) {
		snprintf(err, SANDBOX_ERR, "limit %s did not hold", l->name);
		return (-1);
	}
	return (0);
}

int
limits_enter(const struct sandbox_params *p, struct sandbox_state *out, char *err)
{
	const struct policy_limit *l;
	struct rlimit now;
	uint64_t value;

	for (l = policy_of(p->role)->limits; l->name != NULL; l++) {
		if (l->kind == LIMIT_OWN_UID && !p->as_root)
			continue;
		value = l->value + (l->kind == LIMIT_CLIENTS ? p->clients : 0);
		if (limit_set(l, value, err) == -1)
			return (-1);
		if (getrlimit((__rlimit_resource_t)l->resource, &now) == -1)
			continue;
		sandbox_add(out->limits, sizeof(out->limits), "%s%s=%llu",
		    out->limits[0] != '\0' ? " " : "", l->name, (unsigned long long)now.rlim_max);
	}
	return (0);
}
