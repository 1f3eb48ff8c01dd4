/* The parent: opens what is needed, starts each child confined, then seals itself and watches. */
#include <sys/signalfd.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "sandbox/ward.h"

#define CONF_DEFAULT "/etc/ward/ward.conf"

static void __attribute__((noreturn)) usage(void)
{
	fprintf(stderr, "usage: ward [-nv] [-f file]\n");
	exit(2);
}

/* What is dangerous and allowed is said at every start. */
static void
say_loudly(const struct ward *w)
{
	if (w->unconfined)
		log_warnx("DEVELOPER_UNCONFINED IS SET: no process is confined; never run a real "
			  "account like this");
	if (w->noise_override)
		log_warnx(
		    "TEST.NOISE_ROOT_KEY IS SET: the service is believed by another root key; "
		    "this is for a simulated service only");
	if (w->landlock_optional && !w->unconfined)
		log_warnx("service.landlock is optional: a kernel without Landlock is accepted");
}

/* Signals come by descriptor, between two rounds of the loop, never in the middle of something. */
static void
take_signals(struct ward *w)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) == -1 ||
	    (w->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) == -1)
		fatal("signals");
}

static void
open_all(struct ward *w)
{
	ward_open_programs(w);
	ward_open_data(w); /* takes the lock of the service: first */
	ward_open_ended(w);
	ward_open_secrets(w);
	ward_open_ca(w);
	ward_open_socket(w);
	ward_open_roots(w);
}

static int
run(struct ward *w)
{
	ward_hygiene();
	log_open("ward", -1);
	ward_load_config(w, 0, w->level == LOG_LV_DEBUG);
	log_set_level((enum log_level)w->level);
	log_notice("ward %s starts", WARD_VERSION);
	say_loudly(w);
#ifdef WARD_SANITIZED
	if (!w->unconfined)
		fatalx("this build has sanitizers, which cannot be confined: "
		       "service.developer_unconfined = yes is needed");
#endif
	if (w->unconfined)
		ward_dumpable_again();
	ward_resolve_users(w);
	open_all(w);
	take_signals(w);
	ward_notify_open(w);
	ward_spawn_all(w);
	ward_await_ready(w);
	ward_seal(w);
	log_notice("ready");
	ward_notify(w, "READY=1");
	return (ward_watch(w));
}

int
main(int argc, char **argv)
{
	struct ward w;
	int ch, check_only = 0, status;

	memset(&w, 0, sizeof(w));
	w.conf_path = CONF_DEFAULT;
	w.ended = w.notify = w.empty_root = w.netd_root = -1;
	while ((ch = getopt(argc, argv, "f:nv")) != -1) {
		switch (ch) {
		case 'f':
			w.conf_path = optarg;
			break;
		case 'n':
			check_only = 1;
			break;
		case 'v':
			w.level = LOG_LV_DEBUG;
			break;
		default:
			usage();
		}
	}
	if (optind != argc)
		usage();
	if (check_only) {
		log_open("ward", -1);
		if (ward_load_config(&w, 1, 0) == -1)
			return (1);
		printf("%s: configuration OK\n", w.conf_path);
	}
	status = check_only ? 0 : run(&w);
	config_free(w.config);
	return (status);
}
