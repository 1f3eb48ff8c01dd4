/* A process's report on itself. What the kernel says of it is added by the parent. */
#include "sandbox/report.h"

#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int
one_library(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct buf *out = arg;
	const char *name = strrchr(info->dlpi_name, '/');

	name = name != NULL ? name + 1 : info->dlpi_name;
	if (name[0] == '\0' || strncmp(name, "linux-vdso", 10) == 0)
		return (0);
	return (buf_printf(out, "%s%s", out->len > 0 ? " " : "", name));
}

void
report_libraries(struct buf *out)
{
	dl_iterate_phdr(one_library, out);
}

int
report_line(struct buf *out, const char *role, const char *key, const char *value)
{
	const char *p;

	if (buf_printf(out, "%s.%s=", role, key) == -1)
		return (-1);
	for (p = value; *p != '\0'; p++) {
		if (buf_put_u8(out, (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : (uint8_t)*p) ==
		    -1)
			return (-1);
	}
	return (buf_put_u8(out, '\n'));
}

static int
report_number(struct buf *out, const char *role, const char *key, long long v)
{
	return (buf_printf(out, "%s.%s=%lld\n", role, key, v));
}

int
report_self(const struct sandbox_params *p, const struct sandbox_state *s,
    const struct buf *libraries, struct buf *out)
{
	const char *role = role_name(p->role);
	char fds[1024] = "";
	size_t i;

	for (i = 0; i < s->nopen; i++) {
		if (fcntl(s->open[i].fd, F_GETFD) == -1)
			continue;
		sandbox_add(fds, sizeof(fds), "%s%d:%s", fds[0] != '\0' ? " " : "", s->open[i].fd,
		    s->open[i].name);
	}
	report_number(out, role, "pid", getpid());
	report_number(out, role, "seccomp_calls", s->calls);
	report_number(out, role, "landlock_abi", s->landlock_abi);
	report_line(out, role, "landlock_rules", s->landlock);
	report_line(out, role, "rlimits", s->limits);
	report_line(out, role, "fds", fds);
	report_line(out, role, "root", s->root);
	buf_printf(out, "%s.libraries=%.*s\n", role, (int)libraries->len,
	    libraries->len > 0 ? (const char *)libraries->data : "");
	return (out->failed ? -1 : 0);
}
