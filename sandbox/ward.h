/* The parent: what its parts share. */
#ifndef WARD_WARD_H
#define WARD_WARD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/config.h"
#include "sandbox/role.h"

#define WARD_GIVE_WAY_MS 5000  /* how long a service that was killed may take to be gone */
#define WARD_STOP_MS     10000 /* how long the children may take to stop */
#define WARD_LINE_MAX    1100  /* one log record of a child: longer ones are cut */

/* A bound on the lines of one child: the log may not be filled by a process gone wrong. */
struct ward_bucket {
	int64_t filled_ms;
	unsigned tokens, dropped;
};

struct ward_child {
	enum ward_role role;
	pid_t pid;   /* 0 = not running (any more) */
	int control; /* -1 = closed */
	int log;
	int ready, told;   /* READY came; INCIDENT came */
	struct buf report; /* its own, then with the kernel's lines */
	struct ward_bucket bucket;
	char line[WARD_LINE_MAX];
	size_t len;
};

struct ward {
	const char *conf_path;
	struct config *config;
	unsigned level;     /* enum log_level */
	int as_root;        /* started as root: uids, chroot, capabilities */
	int unconfined;     /* developer_unconfined */
	int noise_override; /* test.noise_root_key is set */
	int landlock_optional;
	uid_t uid[ROLE_COUNT];
	gid_t gid[ROLE_COUNT];

	int program[ROLE_COUNT]; /* opened binaries */
	int data, secret, next_secret, ca, listen;
	int ended;                 /* the file that says how the last runs ended */
	unsigned ended_bad;        /* so many in a row did by a fault of a child */
	int64_t began_ms;          /* monotonic: this one */
	int empty_root, netd_root; /* folders to confine to; -1 when not root */

	struct ward_child child[ROLE_COUNT]; /* [ROLE_WARD] is unused */
	int failed;                          /* a child ended or reported an incident */
	int fault, outside;                  /* … by itself; killed by somebody else */
	int killing;                         /* SIGKILL was sent to what is left */
	int stop_asked;                      /* SIGTERM, SIGINT */
	int stopping;                        /* STOP was sent: children that end are no news */
	int signals;                         /* signalfd: SIGTERM, SIGINT, SIGCHLD, SIGHUP */
	int notify;                          /* the service manager's socket, -1 = none */
	int64_t watchdog_ms;                 /* ping interval, 0 = none */
	int self_status;                     /* /proc/self/status, opened before the seal */
	struct buf report;                   /* all of it, for apid */
};

/* ward_hygiene.c */
void ward_hygiene(void);        /* descriptors, environment, umask, core, dumpable */
void ward_dumpable_again(void); /* developer_unconfined: debuggers and sanitizers need it */

/* ward_config.c: fatal, or with check_only prints "file:line: message" and returns -1 */
int ward_load_config(struct ward *w, int check_only, int verbose);
/* Four distinct uids when root; our own for all otherwise. Fatal when one is missing or equal. */
void ward_resolve_users(struct ward *w);

/* ward_open.c: all that the children are handed; fatal with what to do */
void ward_open_programs(struct ward *w);
void ward_open_data(struct ward *w);
/* ward_ended.c: what the next run has to know of this one. */
void ward_open_ended(struct ward *w); /* after the data folder */
void ward_note_end(struct ward *w);   /* once it has failed, and it is known how */
void ward_open_secrets(struct ward *w);
void ward_open_ca(struct ward *w);
/* ward_socket.c */
void ward_open_socket(struct ward *w);
/* ward_roots.c */
void ward_open_roots(struct ward *w);

/* ward_spawn.c */
void ward_spawn_all(struct ward *w);   /* channels, children, BOOT; closes what was handed over */
void ward_await_ready(struct ward *w); /* with the deadline; ends all and exits when it fails */

/* ward_report.c */
/* The kernel's word on a process, from its status file: adds lines, and says in err what is not as
 * it must be (-1). */
int ward_report_status(
    struct ward *w, enum ward_role r, int fd, struct buf *out, char *err, size_t size);
void ward_report_service(struct ward *w); /* the lines that are not of one process */

/* ward_seal.c */
void ward_seal(struct ward *w); /* collect reports, give up what is not needed, GO to all */

/* ward_notify.c */
void ward_notify_open(struct ward *w);              /* before the seal */
void ward_notify(struct ward *w, const char *text); /* "READY=1" */

/* ward_log.c */
void ward_log_read(struct ward *w, struct ward_child *c); /* copies what is there, bounded */
/* One record of a child (without newline) -> one line of ours with newline; its length, 0 =
 * filtered. */
size_t ward_log_format(const char *name, pid_t pid, const char *record, size_t len, unsigned level,
    char *out, size_t size);

/* ward_watch.c */
void ward_round(struct ward *w, int timeout_ms); /* one poll: log lines, messages, signals */
void ward_end_all(struct ward *w);               /* no mercy; logs how each had ended */
int ward_watch(struct ward *w);                  /* until the end; returns the exit status */

#endif
