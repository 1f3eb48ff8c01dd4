/* A child that does nothing but what a test asks of it; installed under the name of each role. */
#include <sys/socket.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "sandbox/child.h"
#include "sandbox/control.h"

/* The behaviour is the name of the first account: "late", "crash", "forbidden", "incident",
 * "garbage", "deaf" do what they say in keyd; "chatty" writes hostile log lines; all else behaves.
 */
static const char *
behaviour(const struct child *c)
{
	if (c->role != ROLE_KEYD || config_account_count(c->config) == 0)
		return ("");
	return (config_account_name(c->config, 0));
}

static void
say(int fd, const char *text, size_t len)
{
	if (write(fd, text, len) != (ssize_t)len)
		log_warn("cannot write to %d", fd);
}

static void
on_go(struct child *c, const char *report, size_t len)
{
	static const char lines[] = "3forged\x1b[2J\rline\n9no such level\n\n";
	const char *what = behaviour(c);

	log_info("GO with %zu bytes of report", len);
	if (c->role == ROLE_APID && len > 0)
		log_info("report begins %.*s", (int)strcspn(report, "\n"), report);
	if (strcmp(what, "crash") == 0)
		abort();
	if (strcmp(what, "forbidden") == 0)
		(void)socket(AF_INET, SOCK_STREAM, 0);
	if (strcmp(what, "incident") == 0)
		child_incident(c, "apid sent nonsense\n");
	if (strcmp(what, "garbage") == 0)
		say(FD_CONTROL, "garbage", 7);
	if (strcmp(what, "chatty") == 0)
		say(FD_LOG, lines, sizeof(lines) - 1);
}

/* Never finishes. */
static void
on_stop(struct child *c)
{
	log_notice("not listening");
}

int
main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	struct child child;
	int r;

	name = name != NULL ? name + 1 : argv[0];
	for (r = ROLE_KEYD; r < ROLE_COUNT && strcmp(role_name((enum ward_role)r), name) != 0; r++)
		;
	if (r == ROLE_COUNT)
		return (2);
	child_boot(&child, (enum ward_role)r, argc, argv);
	if (r == ROLE_NETD)
		close(NETD_FD_CA);
	child.on_go = on_go;
	if (strcmp(behaviour(&child), "deaf") == 0)
		child.on_stop = on_stop;
	child_confine(&child);
	if (r == ROLE_KEYD) {
		close(KEYD_FD_SECRET);
		close(KEYD_FD_NEXT_SECRET);
	}
	if (strcmp(behaviour(&child), "late") != 0)
		child_ready(&child);
	else
		sleep(3600);
	return (child_run(&child));
}
