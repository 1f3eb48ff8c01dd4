/* What the kernel says of each process: read from /proc, told to apid, and checked. */
#include "sandbox/ward.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "sandbox/report.h"

/* The lines of a status file that we tell; exact: what a confined child must show. */
static const struct {
	const char *field, *key, *exact;
} rows[] = {
    {"Uid", "uid", NULL},
    {"Gid", "gid", NULL},
    {"Groups", "groups", NULL},
    {"NoNewPrivs", "no_new_privs", "1"},
    {"CapInh", "cap_inh", "0000000000000000"},
    {"CapPrm", "cap_prm", "0000000000000000"},
    {"CapEff", "cap_eff", "0000000000000000"},
    {"CapBnd", "cap_bnd", NULL},
    {"CapAmb", "cap_amb", "0000000000000000"},
    {"Seccomp", "seccomp_mode", "2"},
};

/* The value of "Field:\t…" without blanks at its ends; NULL if it is not there. */
static const char *
field_of(const char *status, const char *field, char *out, size_t size)
{
	size_t len = strlen(field);
	const char *p = status, *end;

	while (strncmp(p, field, len) != 0 || p[len] != ':') {
		if ((p = strchr(p, '\n')) == NULL)
			return (NULL);
		p++;
	}
	p += len + 1;
	p += strspn(p, "\t ");
	end = p + strcspn(p, "\n");
	while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	snprintf(out, size, "%.*s", (int)(end - p), p);
	return (out);
}

/* "Uid" has four numbers: real, effective, saved, file system. They must all be `want`. */
static int
all_alike(const char *text, unsigned long want)
{
	char *end;
	int n;

	for (n = 0; *text != '\0'; n++, text = end) {
		if (strtoul(text, &end, 10) != want || end == text)
			return (0);
	}
	return (n == 4);
}

static int
check_row(struct ward *w, enum ward_role r, size_t i, char *value, char *err, size_t size)
{
	const char *exact = rows[i].exact;
	unsigned long id;

	if (i < 2) {
		id = i == 0 ? w->uid[r] : w->gid[r];
		if (!all_alike(value, id)) {
			snprintf(err, size, "%s of %s is %s, not %lu", rows[i].field, role_name(r),
			    value, id);
			return (-1);
		}
		value[strcspn(value, "\t ")] = '\0'; /* one stands for four */
		return (0);
	}
	if (r == ROLE_WARD && strncmp(rows[i].key, "cap_", 4) == 0)
		return (0); /* CAP_KILL, perhaps */
	if (strcmp(rows[i].key, "groups") == 0)
		exact = w->as_root && r != ROLE_WARD ? "" : NULL;
	if (exact != NULL && !w->unconfined && strcmp(value, exact) != 0) {
		snprintf(
		    err, size, "%s of %s is %s, not %s", rows[i].field, role_name(r), value, exact);
		return (-1);
	}
	return (0);
}

int
ward_report_status(
    struct ward *w, enum ward_role r, int fd, struct buf *out, char *err, size_t size)
{
	char status[8192], value[1024];
	ssize_t n;
	size_t i;

	if ((n = read(fd, status, sizeof(status) - 1)) <= 0) {
		snprintf(err, size, "status of %s: %s", role_name(r), strerror(errno));
		return (-1);
	}
	status[n] = '\0';
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (field_of(status, rows[i].field, value, sizeof(value)) == NULL) {
			snprintf(
			    err, size, "the kernel says no %s of %s", rows[i].field, role_name(r));
			return (-1);
		}
		if (check_row(w, r, i, value, err, size) == -1)
			return (-1);
		if (report_line(out, role_name(r), rows[i].key, value) == -1) {
			snprintf(err, size, "the report does not fit");
			return (-1);
		}
	}
	return (0);
}

void
ward_report_service(struct ward *w)
{
	buf_printf(&w->report, "service.unconfined=%d\n", w->unconfined);
	buf_printf(&w->report, "service.noise_root_override=%d\n", w->noise_override);
	buf_printf(&w->report, "service.last_end_fault=%u\n", w->ended_bad);
	buf_printf(&w->report, "service.started_as_root=%d\n", w->as_root);
}
