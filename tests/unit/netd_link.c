/* netd's links against a TLS service on this machine: open, refused, dropped, silent, proxied,
 * slow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"
#include "ipc/keyd.pb-c.h"
#include "ipc/netd.pb-c.h"
#include "netd/link.h"
#include "netd/netd.h"
#include "tests/unit/netd_link_server.h"
#include "tests/unit/slow.h"

#define WAIT_MS    15000
#define PAYLOAD    "client payload"
#define NOTICES    256
#define CONNECTING NETD__LINK_STATE__STATE__CONNECTING
#define OPEN       NETD__LINK_STATE__STATE__OPEN
#define CLOSED     NETD__LINK_STATE__STATE__CLOSED
#define DOWN       NETD__LINK_STATE__STATE__DOWN

struct notice {
	Netd__LinkState__State state;
	uint64_t conn;
	char reason[64];
	int64_t delay;
	uint32_t attempt;
};

/* netd in the middle; apid and keyd are played by the test. */
struct world {
	struct event_base *base;
	struct netd nd;
	struct channel *apid, *keyd; /* the test's ends */
	struct server server;
	struct notice notices[NOTICES];
	size_t nnotices, nread;
	struct buf last; /* stanza */
	unsigned stanzas;
	uint64_t bytes;
	int flood_in_order;
	unsigned hellos, finishes, drops;
	const char *refuse; /* keyd's answer to NOISE_FINISH */
	int ik;             /* keyd began with IK, and it was taken: nothing is left to send */
	int status_ok;
	Netd__LinkStatus status;
};

static X509 *cert, *other_cert;
static EVP_PKEY *key, *other_key;
static char *pem, *other_pem;
static size_t pem_len, other_pem_len;

/* ---------------------------------------------------------------- apid and keyd */

static int
take_state(struct message *m, void *owner)
{
	const Netd__LinkState *s = (const void *)m->pb;
	struct world *w = owner;
	struct notice *n = &w->notices[w->nnotices++];

	assert_true(w->nnotices < NOTICES);
	assert_string_equal(s->account, "a1");
	n->state = s->state;
	n->conn = s->conn;
	(void)snprintf(n->reason, sizeof(n->reason), "%s", s->reason != NULL ? s->reason : "");
	n->delay = s->has_next_attempt_ms ? s->next_attempt_ms - clock_wall_ms() : -1;
	n->attempt = s->attempt;
	return 0;
}

static int
take_stanza(struct message *m, void *owner)
{
	const Netd__Stanza *s = (const void *)m->pb;
	struct world *w = owner;
	uint32_t number;

	buf_reset(&w->last);
	assert_int_equal(buf_put(&w->last, s->node.data, s->node.len), 0);
	if (s->node.len == 1024) {
		memcpy(&number, s->node.data + 1, 4);
		if (number != w->stanzas)
			w->flood_in_order = 0;
	}
	w->stanzas++;
	w->bytes += s->node.len;
	return 0;
}

static int
take_hello(struct message *m, void *owner)
{
	Keyd__NoiseHelloReply r = KEYD__NOISE_HELLO_REPLY__INIT;
	const Keyd__NoiseHello *q = (const void *)m->pb;
	struct world *w = owner;

	w->hellos++;
	assert_int_equal(q->payload.len, strlen(PAYLOAD));
	assert_memory_equal(q->payload.data, PAYLOAD, q->payload.len);
	r.client_hello.data = (uint8_t *)(uintptr_t)TEST_HELLO;
	r.client_hello.len = strlen(TEST_HELLO);
	return channel_reply(m->channel, m->id, KEYD__TYPE__NOISE_HELLO_REPLY, &r.base);
}

static int
take_finish(struct message *m, void *owner)
{
	const Keyd__NoiseFinish *f = (const void *)m->pb;
	Keyd__NoiseFinishReply r = KEYD__NOISE_FINISH_REPLY__INIT;
	struct world *w = owner;

	w->finishes++;
	assert_int_equal(f->server_hello.len, strlen(TEST_SERVER));
	assert_memory_equal(f->server_hello.data, TEST_SERVER, f->server_hello.len);
	assert_int_equal(f->payload.len, strlen(PAYLOAD));
	assert_memory_equal(f->payload.data, PAYLOAD, f->payload.len);
	if (w->refuse != NULL)
		return channel_reply_error(m->channel, m->id, w->refuse, "no");
	r.client_finish.data = (uint8_t *)(uintptr_t)TEST_FINISH;
	r.client_finish.len = w->ik ? 0 : strlen(TEST_FINISH);
	r.tx_key.data = (uint8_t *)(uintptr_t)test_tx;
	r.rx_key.data = (uint8_t *)(uintptr_t)test_rx;
	r.tx_key.len = r.rx_key.len = 32;
	return channel_reply(m->channel, m->id, KEYD__TYPE__NOISE_FINISH_REPLY, &r.base);
}

static int
take_drop(struct message *m, void *owner)
{
	((struct world *)owner)->drops++;
	return 0;
}

static const struct channel_row apid_rows[] = {
    {NETD__TYPE__LINK_STATE, "LINK_STATE", 0, 1024, CHANNEL_ALL_STATES, 0,
	&netd__link_state__descriptor, take_state},
    {NETD__TYPE__STANZA_IN, "STANZA_IN", 0, 1u << 24, CHANNEL_ALL_STATES, 0,
	&netd__stanza__descriptor, take_stanza},
};
static const struct channel_row keyd_rows[] = {
    {KEYD__TYPE__NOISE_HELLO, "NOISE_HELLO", 0, 20000, CHANNEL_ALL_STATES, ROW_REQUEST,
	&keyd__noise_hello__descriptor, take_hello},
    {KEYD__TYPE__NOISE_FINISH, "NOISE_FINISH", 0, 100000, CHANNEL_ALL_STATES, ROW_REQUEST,
	&keyd__noise_finish__descriptor, take_finish},
    {KEYD__TYPE__NOISE_DROP, "NOISE_DROP", 0, 1024, CHANNEL_ALL_STATES, 0,
	&keyd__noise_drop__descriptor, take_drop},
};

static void
on_broken(struct channel *ch, void *owner, const char *why)
{
	fail_msg("a channel broke: %s", why);
}

static void
make_pair(struct world *w, const char *name, const struct channel_row *rows, size_t nrows,
    const struct channel_row *theirs, size_t ntheirs, struct channel **ours, struct channel **test)
{
	struct channel_config a = {.name = name,
	    .rows = rows,
	    .nrows = nrows,
	    .owner = &w->nd,
	    .out_max_bytes = NETD_OUT_MAX,
	    .out_high = NETD_OUT_HIGH,
	    .on_drained = netd_apid_drained,
	    .on_broken = on_broken};
	struct channel_config b = {.name = "test",
	    .rows = theirs,
	    .nrows = ntheirs,
	    .owner = w,
	    .out_max_bytes = 256u << 20,
	    .on_broken = on_broken};
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
	*ours = channel_new(w->base, sv[0], &a);
	*test = channel_new(w->base, sv[1], &b);
	assert_non_null(*ours);
	assert_non_null(*test);
}

static struct world *
world_new(const enum behaviour *script, size_t n)
{
	struct world *w = calloc(1, sizeof(*w));
	struct settings *s = &w->nd.settings;

	assert_non_null(w);
	w->base = event_base_new();
	w->flood_in_order = 1;
	server_start(&w->server, cert, key, script, n);
	w->nd.base = w->base;
	w->nd.transport = &transport_curl;
	LIST_INIT(&w->nd.links);
	(void)snprintf(s->host, sizeof(s->host), "localhost");
	(void)snprintf(s->path, sizeof(s->path), "/ws/chat");
	s->port = w->server.port;
	s->proxy = "";
	s->user_agent = "Test/1";
	s->connect_timeout_ms = 10000;
	s->keepalive_min_ms = s->keepalive_max_ms = 60000;
	s->keepalive_deadline_ms = 60000;
	s->backoff_unit_ms = 20;
	s->backoff_max_ms = 100000;
	s->stable_after_ms = 60000;
	s->ca = pem;
	s->ca_len = pem_len;
	w->nd.engine = transport_curl.engine_new(w->base, s);
	assert_non_null(w->nd.engine);
	make_pair(
	    w, "netd: apid", netd_rows_apid, netd_nrows_apid, apid_rows, 2, &w->nd.apid, &w->apid);
	make_pair(
	    w, "netd: keyd", netd_rows_keyd, netd_nrows_keyd, keyd_rows, 3, &w->nd.keyd, &w->keyd);
	return w;
}

static void
world_free(struct world *w)
{
	links_free(&w->nd);
	/* never two connections of an account at once */
	assert_true(atomic_load(&w->server.most) <= 1);
	channel_free(w->apid);
	channel_free(w->keyd);
	channel_free(w->nd.apid);
	channel_free(w->nd.keyd);
	transport_curl.engine_free(w->nd.engine);
	server_stop(&w->server);
	event_base_free(w->base);
	buf_clear(&w->last);
	free(w);
}

#define WORLD(...)                                                                                 \
	world_new((const enum behaviour[]){__VA_ARGS__},                                           \
	    sizeof((const enum behaviour[]){__VA_ARGS__}) / sizeof(enum behaviour))

/* Run the loop until the condition holds; fails after WAIT_MS. */
#define UNTIL(w, condition)                                                                        \
	do {                                                                                       \
		int64_t until_end = clock_mono_ms() + WAIT_MS;                                     \
		while (!(condition)) {                                                             \
			if (clock_mono_ms() > until_end)                                           \
				fail_msg("waited in vain for %s", #condition);                     \
			turn(w);                                                                   \
		}                                                                                  \
	} while (0)

static void
turn(struct world *w)
{
	struct timeval tv = {0, 10000};

	(void)event_base_loopexit(w->base, &tv);
	(void)event_base_loop(w->base, EVLOOP_ONCE);
}

/* The next notice must be this one. */
static const struct notice *
expect(struct world *w, Netd__LinkState__State state, const char *reason)
{
	const struct notice *n;

	UNTIL(w, w->nnotices > w->nread);
	n = &w->notices[w->nread++];
	if (n->state != state || strcmp(n->reason, reason) != 0)
		fail_msg("state %d \"%s\", not %d \"%s\"", n->state, n->reason, state, reason);
	return n;
}

static void
send_up(struct world *w, int restart, unsigned min_delay, const char *routing)
{
	Netd__LinkUp m = NETD__LINK_UP__INIT;

	m.account = (char *)(uintptr_t) "a1";
	m.payload.data = (uint8_t *)(uintptr_t)PAYLOAD;
	m.payload.len = strlen(PAYLOAD);
	m.has_restart = restart;
	m.restart = restart;
	m.has_min_delay_ms = min_delay != 0;
	m.min_delay_ms = min_delay;
	if (routing != NULL) {
		m.has_routing_info = 1;
		m.routing_info.data = (uint8_t *)(uintptr_t)routing;
		m.routing_info.len = strlen(routing);
	}
	assert_int_equal(channel_notify(w->apid, NETD__TYPE__LINK_UP, &m.base), 0);
}

static void
send_down(struct world *w)
{
	Netd__LinkDown m = NETD__LINK_DOWN__INIT;

	m.account = (char *)(uintptr_t) "a1";
	assert_int_equal(channel_notify(w->apid, NETD__TYPE__LINK_DOWN, &m.base), 0);
}

static void
send_good(struct world *w, uint64_t conn)
{
	Netd__LinkGood m = NETD__LINK_GOOD__INIT;

	m.account = (char *)(uintptr_t) "a1";
	m.conn = conn;
	assert_int_equal(channel_notify(w->apid, NETD__TYPE__LINK_GOOD, &m.base), 0);
}

static void
send_out(struct world *w, uint64_t conn, const void *data, size_t len)
{
	Netd__Stanza m = NETD__STANZA__INIT;

	m.account = (char *)(uintptr_t) "a1";
	m.conn = conn;
	m.node.data = (uint8_t *)(uintptr_t)data;
	m.node.len = len;
	assert_int_equal(channel_notify(w->apid, NETD__TYPE__STANZA_OUT, &m.base), 0);
}

static void
take_status(const struct reply *r, void *arg)
{
	const Netd__Status *s = (const void *)r->pb;
	struct world *w = arg;

	assert_true(r->ok);
	assert_int_equal(s->n_links, 1);
	w->status = *s->links[0];
	w->status_ok = 1;
}

static void
ask_status(struct world *w)
{
	Netd__StatusGet m = NETD__STATUS_GET__INIT;

	w->status_ok = 0;
	assert_int_not_equal(
	    channel_request(w->apid, NETD__TYPE__STATUS, &m.base, NETD__TYPE__STATUS_REPLY,
		&netd__status__descriptor, 65536, 5000, take_status, w),
	    0);
	UNTIL(w, w->status_ok);
}

/* ---------------------------------------------------------------- good days */

static void
test_open(void **state)
{
	static const char hello[] = "ED\0\1\0\0\3abcWA\6\3\0\0\14" TEST_HELLO;
	struct world *w = WORLD(SERVE);
	uint64_t conn;

	send_up(w, 0, 0, "abc");
	conn = expect(w, CONNECTING, "")->conn;
	assert_true(conn > 0);
	assert_int_equal(expect(w, OPEN, "")->conn, conn);
	UNTIL(w, w->stanzas == 1);
	assert_int_equal(w->last.len, 9);
	assert_memory_equal(w->last.data, "\0greeting", 9);
	send_out(w, conn, "\0hello", 6);
	UNTIL(w, w->stanzas == 2);
	assert_memory_equal(w->last.data, "\0hello", 6);
	send_out(w, conn + 1, "\0wrong", 6);
	/* up already: it stays */
	send_up(w, 0, 0, NULL);
	ask_status(w);
	assert_int_equal(w->status.frames_in, 2);
	assert_int_equal(w->status.frames_out, 1);
	assert_int_equal(w->status.connects, 1);
	assert_int_equal(w->status.dropped_out, 1);
	assert_int_equal(w->status.state, OPEN);
	send_down(w);
	assert_int_equal(expect(w, DOWN, "down")->conn, conn);
	assert_int_equal(atomic_load(&w->server.closes), 1);
	assert_int_equal(w->nnotices, 3);
	assert_int_equal(w->drops, 0);

	pthread_mutex_lock(&w->server.lock);
	assert_int_equal(w->server.nhello, sizeof(hello) - 1);
	assert_memory_equal(w->server.hello, hello, sizeof(hello) - 1);
	assert_non_null(strstr(w->server.request, "GET /ws/chat HTTP/1.1\r\n"));
	assert_non_null(strstr(w->server.request, "\r\nOrigin: https://web.whatsapp.com\r\n"));
	assert_non_null(strstr(w->server.request, "\r\nUser-Agent: Test/1\r\n"));
	assert_null(strstr(w->server.request, "Extensions"));
	pthread_mutex_unlock(&w->server.lock);
	/* and down again, which it is */
	send_down(w);
	(void)expect(w, DOWN, "down");
	world_free(w);
}

static void
test_restart(void **state)
{
	struct world *w = WORLD(SERVE);
	uint64_t conn;
	int i;

	send_up(w, 0, 0, NULL);
	for (i = 0; i < 3; i++) {
		conn = expect(w, CONNECTING, "")->conn;
		assert_int_equal(conn, i + 1);
		(void)expect(w, OPEN, "");
		send_up(w, 1, 0, NULL);
		assert_true(expect(w, CLOSED, "restart")->delay <= 0);
	}
	world_free(w);
}

/* LINK_DOWN and LINK_UP before the old connection is gone. */
static void
test_down_up(void **state)
{
	struct world *w = WORLD(SERVE);

	send_up(w, 0, 0, NULL);
	(void)expect(w, CONNECTING, "");
	(void)expect(w, OPEN, "");
	send_down(w);
	send_up(w, 0, 0, NULL);
	(void)expect(w, CLOSED, "down");
	assert_int_equal(expect(w, CONNECTING, "")->conn, 2);
	(void)expect(w, OPEN, "");
	world_free(w);
}

/* What is sent at once comes back in order, across TLS records and loop turns. */
static void
test_burst(void **state)
{
	struct world *w = WORLD(SERVE);
	char text[2000] = {0};
	int i;

	send_up(w, 0, 0, NULL);
	(void)expect(w, CONNECTING, "");
	(void)expect(w, OPEN, "");
	UNTIL(w, w->stanzas == 1);
	for (i = 1; i <= 2000; i++) {
		(void)snprintf(text, sizeof(text), "-%06d", i);
		send_out(w, 1, text, 8 + (size_t)i % 1900);
	}
	UNTIL(w, w->stanzas == 2001);
	assert_string_equal((char *)w->last.data, "-002000");
	world_free(w);
}

/* ---------------------------------------------------------------- refused */

static void
down_again(struct world *w)
{
	send_down(w);
	(void)expect(w, DOWN, "down");
	world_free(w);
}

static void
test_wrong_ca(void **state)
{
	struct world *w = WORLD(SERVE);

	w->nd.settings.ca = other_pem;
	w->nd.settings.ca_len = other_pem_len;
	w->nd.settings.backoff_unit_ms = 60000;
	send_up(w, 0, 0, NULL);
	(void)expect(w, CONNECTING, "");
	(void)expect(w, CLOSED, "tls");
	assert_int_equal(w->hellos, 0);
	down_again(w);
}

static void
test_wrong_host(void **state)
{
	struct world *w = WORLD(SERVE);

	(void)snprintf(w->nd.settings.host, sizeof(w->nd.settings.host), "127.0.0.1");
	w->nd.settings.backoff_unit_ms = 60000;
	send_up(w, 0, 0, NULL);
	(void)expect(w, CONNECTING, "");
	(void)expect(w, CLOSED, "tls");
	assert_int_equal(w->hellos, 0);
	down_again(w);
}

static void
test_nobody_there(void **state)
{
	struct world *w = WORLD(SERVE);
	unsigned port;
	int fd = listen_local(&port);

	(void)close(fd);
	w->nd.settings.port = port;
	send_up(w, 0, 0, NULL);
	(void)expect(w, CONNECTING, "");
	assert_int_equal(expect(w, CLOSED, "connect")->attempt, 1);
	/* the unit is 20 ms: the next attempts come by themselves */
	(void)expect(w, CONNECTING, "");
	assert_int_equal(expect(w, CLOSED, "connect")->attempt, 2);
	w->nd.settings.port = w->server.port;
	(void)expect(w, CONNECTING, "");
	(void)expect(w, OPEN, "");
	down_again(w);
}

static void
test_http_status(void **state)
{
	struct world *w = WORLD(REFUSE_503, REFUSE_403);
	const struct notice *n;

	send_up(w, 0, 0, NULL);
	(void)expect(w, CONNECTING, "");
	n = expect(w, CLOSED, "http_503");
	assert_true(n->delay <= 22);
	(void)expect(w, CONNECTING, "");
	n = expect(w, CLOSED, "http_403");
	assert_in_range(n->delay, 89000, 110000);
	assert_int_equal(w->hellos, 0);
	down_again(w);
}

static void
test_forged_accept(void **state)
{
	struct world *w = WORLD(FORGE_ACCEPT);

	w->nd.settings.backoff_unit_ms = 60000;
	send_up(w, 0, 0, NULL);
	(void)expect(w, CONNECTING, "");
	(void)expect(w, CLOSED, "upgrade");
	assert_int_equal(w->hellos, 0);
	down_again(w);
}

/* keyd's word on the certificate is the reason. */
static void
test_keyd_refuses(void **state)
{
	struct world *w = WORLD(SERVE);

	w->refuse = "cert_expired";
	send_up(w, 0, 0, "abc");
	(void)expect(w, CONNECTING, "");
	(void)expect(w, CLOSED, "cert_expired");
	w->refuse = NULL;
	(void)expect(w, CONNECTING, "");
	(void)expect(w, OPEN, "");
	/* routing information is forgotten after a failed handshake */
	pthread_mutex_lock(&w->server.lock);
	assert_memory_equal(w->server.hello, "WA\6\3", 4);
	pthread_mutex_unlock(&w->server.lock);
	down_again(w);
}

/* ---------------------------------------------------------------- broken off */

static void
test_drop_in_handshake(void **state)
{
	struct world *w = WORLD(DROP_HELLO, SERVE);
	const struct notice *n;

	send_up(w, 0, 0, NULL);
	(void)expect(w, CONNECTING, "");
	UNTIL(w, w->nnotices > w->nread);
	n = &w->notices[w->nread++];
	assert_int_equal(n->state, CLOSED);
	assert_true(strcmp(n->reason, "peer_closed") == 0 || strcmp(n->reason, "network") == 0);
	UNTIL(w, w->drops == 1);
	(void)expect(w, CONNECTING, "");
	(void)expect(w, OPEN, "");
	assert_int_equal(w->drops, 1);
	down_again(w);
}

static void
test_drop_open(void **state)
{
	struct world *w = WORLD(SERVE_ONE, SERVE_ONE, SERVE);
	uint64_t conn;
	int i;

	send_up(w, 0, 0, NULL);
	for (i = 0; i < 2; i++) {
		conn = expect(w, CONNECTING, "")->conn;
		(void)expect(w, OPEN, "");
		send_out(w, conn, "\0bye", 4);
		UNTIL(w, w->nnotices > w->nread);
		assert_int_equal(w->notices[w->nread].attempt, i + 1);
		assert_int_equal(w->notices[w->nread++].state, CLOSED);
		/* for a connection that is gone */
		send_out(w, conn, "\0late", 5);
	}
	(void)expect(w, CONNECTING, "");
	(void)expect(w, OPEN, "");
	ask_status(w);
	assert_int_equal(w->status.dropped_out, 2);
	assert_int_equal(w->status.connects, 3);
	down_again(w);
}

static void
test_bad_frame(void **state)
{
	struct world *w = WORLD(BAD_FRAME, SERVE);

	send_up(w, 0, 0, NULL);
	(void)expect(w, CONNECTING, "");
	(void)expect(w, OPEN, "");
	(void)expect(w, CLOSED, "frame");
	(void)expect(w, CONNECTING, "");
	(void)expect(w, OPEN, "");
	down_again(w);
}

static void
test_close_frame(void **state)
{
	struct world *w = WORLD(CLOSE_FRAME, SERVE);

	send_up(w, 0, 0, NULL);
	(void)expect(w, CONNECTING, "");
	(void)expect(w, OPEN, "");
	(void)expect(w, CLOSED, "peer_closed");
	(void)expect(w, CONNECTING, "");
	(void)expect(w, OPEN, "");
	down_again(w);
}

/* The server takes an IK hello: no finish goes out, and stanzas flow. */
static void
test_ik(void **state)
{
	struct world *w = WORLD(IK_SERVE);

	w->ik = 1;
	send_up(w, 0, 0, NULL);
	(void)expect(w, CONNECTING, "");
	(void)expect(w, OPEN, "");
	UNTIL(w, w->stanzas == 1);
	assert_memory_equal(w->last.data, "\0greeting", 9);
	down_again(w);
}

/* It answers an IK hello with a refusal and ends at once: what it said is read before the end. */
static void
test_ik_refused(void **state)
{
	static const enum behaviour how[] = {IK_REFUSE, IK_HANG_UP};

	for (size_t i = 0; i < 2; i++) {
		struct world *w = world_new(&how[i], 1);

		w->ik = 1;
		for (unsigned n = 1; n <= 3; n++) {
			if (n == 1)
				send_up(w, 0, 0, NULL);
			(void)expect(w, CONNECTING, "");
			(void)expect(w, OPEN, "");
			UNTIL(w, w->nnotices > w->nread);
			assert_int_equal(w->notices[w->nread++].state, CLOSED);
			assert_int_equal(w->stanzas, n);
			assert_memory_equal(w->last.data, "\0refused", 8);
		}
		down_again(w);
	}
}

static unsigned stops;

static void
count_stop(struct netd *nd)
{
	stops++;
}

/* The process ends: the connection is closed with its code, no other is made, and once that is
 * said; so too if there is none. */
static void
test_stop(void **state)
{
	struct world *w = WORLD(SERVE);

	stops = 0;
	w->nd.stopped = count_stop;
	links_stop(&w->nd);
	assert_int_equal(stops, 1);
	w->nd.stopped = NULL;
	send_up(w, 0, 0, NULL);
	(void)expect(w, CONNECTING, "");
	(void)expect(w, OPEN, "");
	w->nd.stopped = count_stop;
	links_stop(&w->nd);
	(void)expect(w, DOWN, "stop");
	assert_int_equal(stops, 2);
	assert_int_equal(atomic_load(&w->server.closes), 1);
	assert_int_equal(atomic_load(&w->server.accepted), 1);
	w->nd.stopped = NULL;
	world_free(w);
}

/* A restart that is a failure waits like one; a new payload alone shortens no wait. */
static void
test_failed_restart(void **state)
{
	struct world *w = WORLD(SERVE);
	Netd__LinkUp m = NETD__LINK_UP__INIT;
	const struct notice *n;
	int64_t start, delays[4];

	send_up(w, 0, 0, NULL);
	m.account = (char *)(uintptr_t) "a1";
	m.payload = pb_bytes(PAYLOAD, strlen(PAYLOAD));
	m.has_restart = m.restart = m.has_failed = m.failed = 1;
	for (size_t i = 0; i < 4; i++) {
		(void)expect(w, CONNECTING, "");
		(void)expect(w, OPEN, "");
		assert_int_equal(channel_notify(w->apid, NETD__TYPE__LINK_UP, &m.base), 0);
		n = expect(w, CLOSED, "restart");
		delays[i] = n->delay;
		assert_int_equal(n->attempt, i + 1);
	}
	assert_true(delays[0] > 0 && delays[3] > delays[0]);
	(void)expect(w, CONNECTING, "");
	(void)expect(w, OPEN, "");
	start = clock_mono_ms();
	send_up(w, 1, 150, NULL);
	send_up(w, 0, 0, NULL);
	(void)expect(w, CLOSED, "restart");
	send_up(w, 0, 0, NULL);
	(void)expect(w, CONNECTING, "");
	assert_true(clock_mono_ms() - start >= 149);
	(void)expect(w, OPEN, "");
	down_again(w);
}

/* Half open: the ping is not answered. Before login with back-off, after it at once. */
static void
test_keepalive_miss(void **state)
{
	struct world *w = WORLD(SILENT);
	const struct notice *n;

	w->nd.settings.keepalive_min_ms = 20;
	w->nd.settings.keepalive_max_ms = 40;
	w->nd.settings.keepalive_deadline_ms = 60;
	w->nd.settings.backoff_unit_ms = 150;
	send_up(w, 0, 0, NULL);
	(void)expect(w, CONNECTING, "");
	(void)expect(w, OPEN, "");
	n = expect(w, CLOSED, "keepalive");
	assert_in_range(n->delay, 50, 170);
	(void)expect(w, CONNECTING, "");
	send_good(w, expect(w, OPEN, "")->conn);
	n = expect(w, CLOSED, "keepalive");
	assert_true(n->delay <= 0);
	assert_int_equal(n->attempt, 2);
	(void)expect(w, CONNECTING, "");
	(void)expect(w, OPEN, "");
	assert_true(atomic_load(&w->server.pings) >= 2);
	world_free(w);
}

/* Answered pings keep it open. */
static void
test_keepalive(void **state)
{
	struct world *w = WORLD(SERVE);

	w->nd.settings.keepalive_min_ms = 5;
	w->nd.settings.keepalive_max_ms = 10;
	w->nd.settings.keepalive_deadline_ms = 10000;
	send_up(w, 0, 0, NULL);
	(void)expect(w, CONNECTING, "");
	(void)expect(w, OPEN, "");
	/* the greeting and the pings that came back */
	UNTIL(w, w->stanzas >= 11);
	assert_true(atomic_load(&w->server.pings) >= 10);
	assert_memory_equal(w->last.data, "\0\xf8\x09\x19\x08\xfc", 6);
	assert_int_equal(w->last.data[7], 'k');
	assert_int_equal(w->nnotices, 2);
	down_again(w);
}

/* Stable for a while: the next failure begins with the first step again. */
static void
test_stable(void **state)
{
	struct world *w = WORLD(REFUSE_503, REFUSE_503, REFUSE_503, SERVE_ONE);
	const struct notice *n;
	int64_t end;
	int i;

	w->nd.settings.stable_after_ms = 30;
	send_up(w, 0, 0, NULL);
	for (i = 1; i <= 3; i++) {
		(void)expect(w, CONNECTING, "");
		assert_int_equal(expect(w, CLOSED, "http_503")->attempt, i);
	}
	(void)expect(w, CONNECTING, "");
	n = expect(w, OPEN, "");
	send_good(w, n->conn);
	end = clock_mono_ms() + 60;
	UNTIL(w, clock_mono_ms() > end);
	send_out(w, n->conn, "\0bye", 4);
	UNTIL(w, w->nnotices > w->nread);
	assert_int_equal(w->notices[w->nread].state, CLOSED);
	assert_int_equal(w->notices[w->nread].attempt, 1);
	world_free(w);
}

static void
test_min_delay(void **state)
{
	struct world *w = WORLD(SERVE);
	int64_t start = clock_mono_ms();

	send_up(w, 0, 120, NULL);
	(void)expect(w, CONNECTING, "");
	assert_true(clock_mono_ms() - start >= 119);
	(void)expect(w, OPEN, "");
	down_again(w);
}

/* ---------------------------------------------------------------- proxies */

static void
through_proxy(int socks, const char *scheme)
{
	struct world *w = WORLD(SERVE);
	struct proxy p;
	char url[64], target[64];

	proxy_start(&p, socks, 0, w->server.port);
	(void)snprintf(url, sizeof(url), "%s://127.0.0.1:%u", scheme, p.port);
	(void)snprintf(target, sizeof(target), "localhost:%u", w->server.port);
	w->nd.settings.proxy = url;
	send_up(w, 0, 0, NULL);
	(void)expect(w, CONNECTING, "");
	send_out(w, expect(w, OPEN, "")->conn, "\0hello", 6);
	UNTIL(w, w->stanzas == 2);
	assert_int_equal(atomic_load(&p.relayed), 1);
	assert_string_equal(p.target, target);
	down_again(w);
	proxy_stop(&p);
}

static void
test_socks5h(void **state)
{
	through_proxy(1, "socks5h");
}

static void
test_http_connect(void **state)
{
	through_proxy(0, "http");
}

static void
test_proxy_refuses(void **state)
{
	int socks;

	for (socks = 0; socks < 2; socks++) {
		struct world *w = WORLD(SERVE);
		struct proxy p;
		char url[64];

		proxy_start(&p, socks, 1, w->server.port);
		(void)snprintf(
		    url, sizeof(url), "%s://127.0.0.1:%u", socks ? "socks5h" : "http", p.port);
		w->nd.settings.proxy = url;
		w->nd.settings.backoff_unit_ms = 60000;
		send_up(w, 0, 0, NULL);
		(void)expect(w, CONNECTING, "");
		(void)expect(w, CLOSED, "proxy");
		assert_int_equal(atomic_load(&w->server.accepted), 0);
		down_again(w);
		proxy_stop(&p);
	}
}

/* ---------------------------------------------------------------- too much */

/* A large stanza before the login waits for the word that it is complete. */
static void
test_large_waits(void **state)
{
	struct world *w = WORLD(LONG_FRAME);
	int64_t end;
	uint64_t conn;

	send_up(w, 0, 0, NULL);
	(void)expect(w, CONNECTING, "");
	conn = expect(w, OPEN, "")->conn;
	end = clock_mono_ms() + 100;
	UNTIL(w, clock_mono_ms() > end);
	assert_int_equal(w->stanzas, 0);
	send_good(w, conn);
	UNTIL(w, w->stanzas == 1);
	assert_int_equal(w->last.len, 100000);
	send_out(w, conn, "\0hello", 6);
	UNTIL(w, w->stanzas == 2);
	down_again(w);
}

/* apid does not read: netd stops reading the service, and nothing is lost. */
static void
test_back_pressure(void **state)
{
	struct world *w = WORLD(FLOOD);
	int64_t end;

	w->nd.settings.keepalive_min_ms = w->nd.settings.keepalive_max_ms = 30;
	w->nd.settings.keepalive_deadline_ms = 60;
	send_up(w, 0, 0, NULL);
	(void)expect(w, CONNECTING, "");
	(void)expect(w, OPEN, "");
	channel_pause(w->apid);
	UNTIL(w, w->nd.holding);
	/* silence that we make ourselves is no death */
	end = clock_mono_ms() + 150;
	UNTIL(w, clock_mono_ms() > end);
	assert_true(w->stanzas < 1000);
	channel_resume(w->apid);
	UNTIL(w, w->stanzas >= FLOOD_COUNT);
	assert_true(w->flood_in_order);
	assert_false(w->nd.holding);
	assert_int_equal(w->nnotices, 2);
	down_again(w);
}

/* The service does not read: what waits is bounded. */
static void
test_overflow(void **state)
{
	struct world *w = WORLD(DEAF, SERVE);
	uint8_t *big = calloc(1, 1u << 20);
	int i;

	assert_non_null(big);
	send_up(w, 0, 0, NULL);
	(void)expect(w, CONNECTING, "");
	(void)expect(w, OPEN, "");
	for (i = 0; i < 40; i++)
		send_out(w, 1, big, 1u << 20);
	(void)expect(w, CLOSED, "overflow");
	(void)expect(w, CONNECTING, "");
	(void)expect(w, OPEN, "");
	free(big);
	/* what it did not read stands before the end of the first connection, so it saw both */
	atomic_store(&w->server.most, 1);
	down_again(w);
}

/* ---------------------------------------------------------------- the transport alone */

struct ear {
	int open, closed;
	struct buf heard;
};

static void
ear_open(void *arg)
{
	((struct ear *)arg)->open++;
}

static void
ear_data(void *arg, const uint8_t *data, size_t len)
{
	assert_int_equal(buf_put(&((struct ear *)arg)->heard, data, len), 0);
}

static void
ear_closed(void *arg, const char *reason, const char *text)
{
	((struct ear *)arg)->closed++;
}

/* A connection that rests, with bytes waiting for it, outlives the making of another one: libcurl
 * ends what it takes for idle connections of more than a second then. */
static void
test_neighbours(void **state)
{
	static const struct transport_handler h = {
	    .open = ear_open, .data = ear_data, .closed = ear_closed};
	static const char request[] = "GET / HTTP/1.1\r\nSec-WebSocket-Key: "
				      "dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
	struct world *w = WORLD(SERVE);
	const struct transport_ops *ops = &transport_curl;
	struct ear a = {.heard = BUF_INIT}, b = {.heard = BUF_INIT};
	struct transport *ta = ops->connect(w->nd.engine, &h, &a), *tb;
	int64_t end;

	assert_non_null(ta);
	ops->pause(ta, 1); /* the session tickets of the server stay where they are */
	UNTIL(w, a.open);
	end = clock_mono_ms() + 2500;
	UNTIL(w, clock_mono_ms() > end);
	tb = ops->connect(w->nd.engine, &h, &b);
	assert_non_null(tb);
	UNTIL(w, b.open);
	ops->close(tb);
	assert_int_equal(buf_put_str(ops->room(ta, sizeof(request)), request), 0);
	ops->flush(ta);
	ops->pause(ta, 0);
	UNTIL(w, a.closed || a.heard.len > 20);
	assert_int_equal(a.closed, 0);
	assert_memory_equal(a.heard.data, "HTTP/1.1 101 ", 13);
	ops->close(ta);
	buf_clear(&a.heard);
	buf_clear(&b.heard);
	atomic_store(&w->server.most, 1); /* these were two on purpose */
	world_free(w);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_open),
	    cmocka_unit_test(test_restart),
	    cmocka_unit_test(test_down_up),
	    cmocka_unit_test(test_burst),
	    cmocka_unit_test(test_wrong_ca),
	    cmocka_unit_test(test_wrong_host),
	    cmocka_unit_test(test_nobody_there),
	    cmocka_unit_test(test_http_status),
	    cmocka_unit_test(test_forged_accept),
	    cmocka_unit_test(test_keyd_refuses),
	    cmocka_unit_test(test_drop_in_handshake),
	    cmocka_unit_test(test_drop_open),
	    cmocka_unit_test(test_bad_frame),
	    cmocka_unit_test(test_close_frame),
	    cmocka_unit_test(test_ik),
	    cmocka_unit_test(test_ik_refused),
	    cmocka_unit_test(test_failed_restart),
	    cmocka_unit_test(test_stop),
	    cmocka_unit_test(test_keepalive_miss),
	    cmocka_unit_test(test_keepalive),
	    cmocka_unit_test(test_stable),
	    cmocka_unit_test(test_min_delay),
	    cmocka_unit_test(test_socks5h),
	    cmocka_unit_test(test_http_connect),
	    cmocka_unit_test(test_proxy_refuses),
	    cmocka_unit_test(test_large_waits),
	    cmocka_unit_test(test_back_pressure),
	    cmocka_unit_test(test_overflow),
	    cmocka_unit_test(test_neighbours),
	};
	int r;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)alarm(240 * test_slow());
	if (sodium_init() == -1)
		return 1;
	log_open("test", -1);
	log_set_level(getenv("WARD_TEST_LOG") != NULL ? LOG_LV_DEBUG : LOG_LV_ERR);
	make_cert("DNS:localhost", &cert, &key, &pem, &pem_len);
	make_cert("DNS:localhost", &other_cert, &other_key, &other_pem, &other_pem_len);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	X509_free(cert);
	X509_free(other_cert);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other_key);
	free(pem);
	free(other_pem);
	return r;
}
