/* sim: the simulated WhatsApp service and its phones, for tests on the loopback interface. */
#include <sys/stat.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "common/clock.h"
#include "common/log.h"
#include "tests/sim/account.h"
#include "tests/sim/conn.h"
#include "tests/sim/control.h"
#include "tests/sim/crypt.h"
#include "tests/sim/faults.h"
#include "tests/sim/http.h"
#include "tests/sim/login.h"
#include "tests/sim/loop.h"
#include "tests/sim/offline.h"
#include "tests/sim/pairing.h"
#include "tests/sim/presence.h"
#include "tests/sim/rng.h"
#include "tests/sim/route.h"
#include "tests/sim/stanza_log.h"
#include "tests/sim/tls.h"

struct options {
	char dir[1024];
	uint16_t port;
	uint64_t seed;
	int content; /* contents in stanzas.log */
};

static void
usage(void)
{
	fprintf(stderr, "usage: sim [-Lov] [-d dir] [-p port] [-s seed]\n");
	exit(2);
}

static uint64_t
number(const char *text, uint64_t max)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || text[0] < '0' || text[0] > '9' || v > max)
		usage();
	return v;
}

static void
read_options(int argc, char *argv[], struct options *o)
{
	int c;

	*o = (struct options){.content = 1};
	o->seed = randombytes_random();
	while ((c = getopt(argc, argv, "d:Lop:s:v")) != -1) {
		switch (c) {
		case 'd':
			if (snprintf(o->dir, sizeof(o->dir), "%s", optarg) >= (int)sizeof(o->dir))
				fatalx("-d: the path is too long");
			break;
		case 'L':
			o->content = 0;
			break;
		case 'o':
			account_default_pulled = 1;
			break;
		case 'p':
			o->port = (uint16_t)number(optarg, 65535);
			break;
		case 's':
			o->seed = number(optarg, INT64_MAX);
			break;
		case 'v':
			log_set_level(log_get_level() == LOG_LV_INFO ? LOG_LV_DEBUG : LOG_LV_INFO);
			break;
		default:
			usage();
		}
	}
	if (optind != argc)
		usage();
	if (o->dir[0] == '\0') {
		const char *tmp = getenv("TMPDIR");

		snprintf(o->dir, sizeof(o->dir), "%s/ward-sim.XXXXXX", tmp != NULL ? tmp : "/tmp");
		if (mkdtemp(o->dir) == NULL)
			fatal("%s", o->dir);
	} else if (mkdir(o->dir, 0700) != 0 && errno != EEXIST) {
		fatal("%s", o->dir);
	}
}

/* A one-line file in the folder, whole or not at all. */
static void
write_file(const char *dir, const char *name, const char *text)
{
	char path[2048], tmp[2048];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(tmp, sizeof(tmp), "%s/.%s.tmp", dir, name);
	if ((f = fopen(tmp, "w")) == NULL || fprintf(f, "%s\n", text) < 0 || fclose(f) != 0 ||
	    rename(tmp, path) != 0)
		fatal("%s", path);
}

static void
gone(struct conn *c)
{
	struct device *d = conn_device(c);

	if (d != NULL && d->conn == c) {
		presence_gone(d);
		offline_gone(d);
	}
	pairing_gone(c);
}

static void
room(struct conn *c)
{
	if (conn_device(c) != NULL)
		offline_pump(conn_device(c));
}

static void
on_signal(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	event_base_loopexit(loop_base(), NULL);
}

static int
serve(const struct options *o, SSL_CTX *tls)
{
	static const struct conn_hooks conn_hooks_ = {login_payload, route_conn, room, gone};
	static const struct http_hooks http_hooks_ = {control_request, conn_upgraded};
	static struct noise_identity identity;
	struct event *term, *intr;
	char text[80];
	int port;

	noise_identity_new(&identity);
	conn_init(&identity, &conn_hooks_);
	crypt_hex(identity.root_pub, 32, text);
	write_file(o->dir, "noise_root", text);
	if ((port = http_listen(o->port, tls, &http_hooks_)) < 0) {
		log_err("port %u", o->port);
		return 1;
	}
	control_init(o->dir, o->seed, port);
	snprintf(text, sizeof(text), "%d", port);
	write_file(o->dir, "port", text);
	term = evsignal_new(loop_base(), SIGTERM, on_signal, NULL);
	intr = evsignal_new(loop_base(), SIGINT, on_signal, NULL);
	if (term == NULL || intr == NULL)
		fatal("signals");
	event_add(term, NULL);
	event_add(intr, NULL);
	printf("sim: ready port=%d seed=%llu dir=%s\n", port, (unsigned long long)o->seed, o->dir);
	fflush(stdout);
	event_base_dispatch(loop_base());
	event_free(term);
	event_free(intr);
	return 0;
}

int
main(int argc, char *argv[])
{
	struct options o;
	SSL_CTX *tls;
	int r = 1;

	log_open("sim", -1);
	log_set_level(LOG_LV_NOTICE);
	signal(SIGPIPE, SIG_IGN);
	if (sodium_init() < 0)
		fatalx("libsodium does not start");
	json_object_seed(0);
	read_options(argc, argv, &o);
	rng_seed(o.seed);
	crypt_init();
	if (loop_init() != 0)
		fatalx("no event loop");
	if (stanza_log_open(o.dir, o.content) != 0)
		fatal("%s/stanzas.log", o.dir);
	if ((tls = tls_new(o.dir)) != NULL)
		r = serve(&o, tls);
	control_fini();
	http_fini();
	conn_fini();
	presence_fini();
	account_free_all();
	faults_fini();
	stanza_log_close();
	loop_fini();
	SSL_CTX_free(tls);
	crypt_fini();
	return r;
}
