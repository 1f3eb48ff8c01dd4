/* How many units of work stored makes durable in a second, and how many syncs that takes, beside
 * the rate of the disk's own syncs. stored runs in a process of its own, as in the service. */
#include <sys/socket.h>
#include <sys/wait.h>

#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <sodium.h>

#include "common/clock.h"
#include "common/log.h"
#include "ipc/channel.h"
#include "ipc/stored.pb-c.h"
#include "stored/dispatch.h"
#include "stored/store.h"
#include "tests/bench/bench.h"

#define SESSIONS   200
#define SEALED     700
#define BODY       900
#define FLIGHT_MAX 64

/* One unit as a received message makes it: a session one version further, an event. */
struct lane {
	struct bench *b;
	int session;
	int64_t began_us;
};

struct bench {
	struct event_base *base;
	struct channel *keyd, *apid;
	struct lane lanes[FLIGHT_MAX];
	uint64_t version[SESSIONS];
	uint64_t unit, sent, answered, want;
	uint32_t *latency_us;
	Stored__Stats stats;
	int stats_came, unlocked;
};

/* ---------------------------------------------------------------- stored's side */

static void
peer_lost(struct store *s, struct channel *ch, const char *why)
{
	(void)ch;
	if (why != NULL)
		errx(1, "stored: %s", why);
	event_base_loopbreak(s->base);
}

static void
serve(int keyd, int apid)
{
	static const char *const names[] = {"a"};
	const struct store_options o = {.keep_acked_ms = 86400000,
	    .keep_sent_ms = 14LL * 86400000,
	    .keep_pending_ms = 7LL * 86400000};
	struct event_base *base = event_base_new();
	struct store *s;

	if (base == NULL || store_sqlcipher.start() == -1 ||
	    (s = store_new(base, &store_sqlcipher, &o, names, 1)) == NULL)
		errx(1, "cannot make the store");
	s->peer_lost = peer_lost;
	if (dispatch_keyd_attach(s, keyd) == -1 || dispatch_apid_attach(s, apid) == -1)
		errx(1, "cannot make the channels");
	event_base_dispatch(base);
	store_free(s);
	event_base_free(base);
	_exit(0);
}

/* ---------------------------------------------------------------- the peers' side */

static int
ignore(struct message *m, void *owner)
{
	(void)m;
	(void)owner;
	return 0;
}

static const struct channel_row keyd_rows[] = {
    {STORED__TYPE__UNIT_DONE, "UNIT_DONE", 1, 256, CHANNEL_ALL_STATES, 0,
	&stored__unit_done__descriptor, ignore},
};
static const struct channel_row apid_rows[] = {
    {STORED__TYPE__STORE_STATE, "STORE_STATE", 1, 65536, CHANNEL_ALL_STATES, 0,
	&stored__store_state__descriptor, ignore},
};

static void
on_peer_broken(struct channel *ch, void *owner, const char *why)
{
	(void)ch;
	(void)owner;
	errx(1, "stored broke the contract: %s", why);
}

static struct channel *
peer(struct bench *b, int fd, const struct channel_row *rows, const char *name)
{
	const struct channel_config cfg = {
	    .name = name, .rows = rows, .nrows = 1, .owner = b, .on_broken = on_peer_broken};
	struct channel *ch = channel_new(b->base, fd, &cfg);

	if (ch == NULL)
		errx(1, "channel");
	return ch;
}

static void start_unit(struct lane *l);

static void
on_result(const struct reply *r, void *arg)
{
	struct lane *l = arg;
	struct bench *b = l->b;

	if (!r->ok)
		errx(1, "commit: %s: %s", r->code, r->text);
	if (!((const Stored__UnitResult *)r->pb)->committed)
		errx(1, "commit: %s", ((const Stored__UnitResult *)r->pb)->reason);
	b->latency_us[b->answered++] = (uint32_t)(now_us() - l->began_us);
	if (b->sent < b->want)
		start_unit(l);
	else if (b->answered == b->want)
		event_base_loopbreak(b->base);
}

static void
stage(struct bench *b, int session, char *account)
{
	static uint8_t sealed[SEALED];
	Stored__Stage m = STORED__STAGE__INIT;
	Stored__RecordName n = STORED__RECORD_NAME__INIT;
	Stored__RecordPut p = STORED__RECORD_PUT__INIT, *puts[1] = {&p};
	char name[32];

	randombytes_buf(sealed, 16);
	snprintf(name, sizeof(name), "1/%d.0", 491510000 + session);
	n.domain = STORED__DOMAIN__SESSION;
	n.name = name;
	p.name = &n;
	p.version = ++b->version[session];
	p.sealed.data = sealed;
	p.sealed.len = sizeof(sealed);
	m.account = account;
	m.unit = b->unit;
	m.n_puts = 1;
	m.puts = puts;
	if (channel_notify(b->keyd, STORED__TYPE__STAGE, &m.base) == -1)
		errx(1, "stage");
}

static void
start_unit(struct lane *l)
{
	static char account[] = "a", type[] = "message.received", origin[] = "live";
	static uint8_t body[BODY];
	struct bench *b = l->b;
	Stored__UnitOpen open = STORED__UNIT_OPEN__INIT;
	Stored__UnitCommit m = STORED__UNIT_COMMIT__INIT;
	Stored__EventAppend e = STORED__EVENT_APPEND__INIT;
	Stored__Write w = STORED__WRITE__INIT, *writes[1] = {&w};
	uint64_t noise = b->unit * 0x9E3779B97F4A7C15u; /* ids of messages are in no order */
	char dedup[80];

	l->began_us = now_us();
	open.account = m.account = account;
	open.unit = m.unit = ++b->unit;
	l->session = (int)(b->unit % SESSIONS);
	if (channel_notify(b->apid, STORED__TYPE__UNIT_OPEN, &open.base) == -1)
		errx(1, "open");
	stage(b, l->session, account);
	memset(body, 'x', sizeof(body));
	body[0] = '{';
	snprintf(dedup, sizeof(dedup), "%d@s.whatsapp.net/3EB0%016llX", 491510000 + l->session,
	    (unsigned long long)noise);
	e.type = type;
	e.origin = origin;
	e.time_ms = clock_wall_ms();
	e.body.data = body;
	e.body.len = sizeof(body);
	e.dedup = dedup;
	w.event = &e;
	m.stages = 1;
	m.n_writes = 1;
	m.writes = writes;
	b->sent++;
	if (channel_request(b->apid, STORED__TYPE__UNIT_COMMIT, &m.base, STORED__TYPE__UNIT_RESULT,
		&stored__unit_result__descriptor, 4096, 60000, on_result, l) == 0)
		errx(1, "commit");
}

static void
on_stats(const struct reply *r, void *arg)
{
	struct bench *b = arg;

	if (!r->ok)
		errx(1, "stats: %s", r->code);
	b->stats = *(const Stored__Stats *)r->pb;
	event_base_loopbreak(b->base);
}

static void
get_stats(struct bench *b)
{
	Stored__StatsGet m = STORED__STATS_GET__INIT;

	channel_request(b->apid, STORED__TYPE__STATS, &m.base, STORED__TYPE__STATS_REPLY,
	    &stored__stats__descriptor, 4096, 60000, on_stats, b);
	event_base_dispatch(b->base);
}

static void
on_unlocked(const struct reply *r, void *arg)
{
	struct bench *b = arg;

	if (!r->ok || !((const Stored__UnlockReply *)r->pb)->accounts[0]->ok)
		errx(1, "unlock: %s", r->ok ? "an account did not open" : r->code);
	event_base_loopbreak(b->base);
}

static void
unlock(struct bench *b)
{
	static char account[] = "a";
	Stored__Unlock m = STORED__UNLOCK__INIT;
	Stored__AccountKey k = STORED__ACCOUNT_KEY__INIT, *keys[1] = {&k};
	uint8_t key[32];

	randombytes_buf(key, sizeof(key));
	m.service_key.data = k.key.data = key;
	m.service_key.len = k.key.len = sizeof(key);
	k.account = account;
	m.n_accounts = 1;
	m.accounts = keys;
	channel_request(b->keyd, STORED__TYPE__UNLOCK, &m.base, STORED__TYPE__UNLOCK_REPLY,
	    &stored__unlock_reply__descriptor, 65536, 60000, on_unlocked, b);
	event_base_dispatch(b->base);
}

static void
run(struct bench *b, int flight, uint64_t units)
{
	const size_t median = units / 2, slow = units * 99 / 100;
	Stored__Stats before;
	int64_t began;
	double s;
	int i;

	get_stats(b);
	before = b->stats;
	b->sent = b->answered = 0;
	b->want = units;
	began = now_us();
	for (i = 0; i < flight; i++)
		start_unit(&b->lanes[i]);
	event_base_dispatch(b->base);
	s = (double)(now_us() - began) / 1e6;
	get_stats(b);
	qsort(b->latency_us, units, sizeof(*b->latency_us), by_size);
	printf(
	    "%2d in flight: %8.0f units/s  %5.2f syncs/unit  %5.1f units/sync  p50 %6.2f ms  p99 "
	    "%6.2f ms\n",
	    flight, (double)units / s, (double)(b->stats.fsyncs - before.fsyncs) / (double)units,
	    (double)units / (double)(b->stats.fsyncs - before.fsyncs), b->latency_us[median] / 1e3,
	    b->latency_us[slow] / 1e3);
}

static void
pair(int sv[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv) == -1)
		err(1, "socketpair");
}

int
main(int argc, char **argv)
{
	static const int flights[] = {1, 8, 64};
	static const unsigned share[] = {4, 1, 1}; /* one at a time takes a sync each */
	const char *folder = argc > 1 ? argv[1] : "/var/tmp";
	char dir[256];
	uint64_t units = argc > 2 ? strtoull(argv[2], NULL, 10) : 4000;
	struct bench b = {.unit = 0};
	int k[2], a[2], status;
	size_t i;
	pid_t pid;

	if (units < 100 || units > 10000000)
		errx(2, "usage: stored_bench [folder [units]], 100 to 10000000 units");
	log_set_level(LOG_LV_WARN);
	snprintf(dir, sizeof(dir), "%s/stored-bench-XXXXXX", folder);
	if (sodium_init() == -1 || mkdtemp(dir) == NULL || chdir(dir) == -1)
		err(1, "%s", dir);
	printf("disk: %.0f syncs/s of a page\n", disk_rate());
	fflush(stdout);
	pair(k);
	pair(a);
	if ((pid = fork()) == -1)
		err(1, "fork");
	if (pid == 0) {
		close(k[1]);
		close(a[1]);
		serve(k[0], a[0]);
	}
	close(k[0]);
	close(a[0]);
	b.base = event_base_new();
	b.latency_us = calloc(units, sizeof(*b.latency_us));
	b.keyd = peer(&b, k[1], keyd_rows, "keyd: stored");
	b.apid = peer(&b, a[1], apid_rows, "apid: stored");
	for (i = 0; i < FLIGHT_MAX; i++)
		b.lanes[i].b = &b;
	unlock(&b);
	for (i = 0; i < sizeof(flights) / sizeof(flights[0]); i++)
		run(&b, flights[i], units / share[i]);
	printf("database: %.1f MiB after %llu units\n", (double)b.stats.database_bytes / 1048576,
	    (unsigned long long)b.stats.units);
	channel_free(b.keyd);
	channel_free(b.apid);
	event_base_free(b.base);
	free(b.latency_us);
	waitpid(pid, &status, 0);
	unlink("lock");
	unlink("service.db");
	unlink("account-a.db");
	if (chdir("/") == -1 || rmdir(dir) == -1)
		warn("%s", dir);
	return status != 0;
}
