/* What every child process does around its loop: boot, warm-up, confinement, READY, stop.
 *
 *	int main(int argc, char **argv)
 *	{
 *		struct child child;
 *
 *		child_boot(&child, ROLE_KEYD, argc, argv);  // refuses to run by hand
 *		… warm up libraries, open what was passed …
 *		child_confine(&child);                      // dies if anything is missing
 *		… read secrets, make channels …
 *		child_ready(&child);
 *		return child_run(&child);                   // first hostile byte is read here
 *	}
 */
#ifndef WARD_CHILD_H
#define WARD_CHILD_H

#include <event2/event.h>

#include "common/config.h"
#include "sandbox/role.h"

struct child {
	enum ward_role role;
	struct config *config;   /* the sections for this role */
	struct event_base *base; /* made in child_boot, before the seal */
	int unconfined;          /* developer flag: confinement is off, said loudly */
	int generation;          /* unused by children: 0 */
	/* set by the program before child_run: */
	void *owner;
	void (*on_go)(
	    struct child *, const char *report, size_t len); /* GO; apid gets the report text */
	void (*on_stop)(struct child *); /* finish and call child_exit; NULL = exit 0 at once */
	struct child_control *control;   /* private */
};

/* Checks descriptor 3, reads the boot message (protocol version, role, config), opens the log,
 * makes the event base with its signal descriptors, ignores SIGPIPE, draws entropy once. Dies on
 * any doubt. */
void child_boot(struct child *c, enum ward_role role, int argc, char **argv);

/* Enter the sandbox of the role: rlimits, chroot, uid, capabilities, no_new_privs, descriptor
 * check, Landlock, seccomp, in that order, each verified. Dies with the reason if a step fails. */
void child_confine(struct child *c);

/* Tell the parent READY, with the report of what is in force. */
void child_ready(struct child *c);

/* Run the loop until STOP or the parent's end of file. Returns the exit status. */
int child_run(struct child *c);
void child_exit(struct child *c, int status); /* leave the loop */

/* A peer broke the contract: tell the parent, who ends the service. Does not return. */
void child_incident(struct child *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), noreturn));

/* channel_config.on_broken / on_closed for internal channels: the owner must be the struct child.
 */
struct channel;
void child_channel_broken(struct channel *ch, void *child, const char *why);
void child_channel_closed(struct channel *ch, void *child);

#endif
