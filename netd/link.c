/* Links: down, connecting, open, closing or waiting; never two connections of an account at once.
 */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"
#include "common/wire/node.h"
#include "netd/conn.h"
#include "netd/keepalive.h"
#include "netd/link.h"
#include "netd/reconnect.h"

#define PAYLOAD_MAX (16u * 1024)
#define ROUTING_MAX 1024

struct link {
	LIST_ENTRY(link) entry;
	struct netd *nd;
	char account[ACCOUNT_NAME_MAX + 1];
	struct buf payload, routing;
	int wanted;
	int at_once; /* the next attempt comes without a back-off step */
	int good;    /* this connection has logged in */
	Netd__LinkState__State state;
	struct conn *conn;
	struct conn_params params;
	uint64_t conn_id;
	uint64_t pings;
	int64_t not_before; /* monotonic ms, as next_at */
	int64_t next_at;    /* of the next attempt, while one is waited for */
	struct reconnect back;
	struct keepalive keepalive;
	struct event *timer;  /* the next attempt */
	struct event *stable; /* the back-off starts anew */
	struct conn_stats total;
	uint32_t connects;
	uint64_t dropped_out;
};

static struct log_limit drop_limit = LOG_LIMIT_INIT;

static void link_connect(struct link *l);

/* ---------------------------------------------------------------- small things */

static int
account_ok(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return n > 0 && n <= ACCOUNT_NAME_MAX && s[n] == '\0';
}

static int
refuse(const char *what)
{
	log_errx("apid: %s", what);
	return -1;
}

static void
arm(struct event *ev, int64_t ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	(void)evtimer_add(ev, &tv);
}

static void
attempt_in(struct link *l, int64_t delay)
{
	l->next_at = clock_mono_ms() + delay;
	arm(l->timer, delay);
}

static struct link *
find(struct netd *nd, const char *account)
{
	struct link *l;

	LIST_FOREACH(l, &nd->links, entry)
	{
		if (strcmp(l->account, account) == 0)
			return l;
	}
	return NULL;
}

/* Tell apid. next_ms: from now, or -1. */
static void
set_state(struct link *l, Netd__LinkState__State state, const char *reason, const char *text,
    int64_t next_ms)
{
	Netd__LinkState m = NETD__LINK_STATE__INIT;

	l->state = state;
	m.account = l->account;
	m.conn = l->conn_id;
	m.state = state;
	m.reason = pb_str(reason);
	m.text = pb_str(text);
	if (next_ms >= 0) {
		m.has_next_attempt_ms = 1;
		m.next_attempt_ms = clock_wall_ms() + next_ms;
	}
	m.has_attempt = 1;
	m.attempt = l->back.attempt;
	(void)channel_notify(l->nd->apid, NETD__TYPE__LINK_STATE, &m.base);
}

/* ---------------------------------------------------------------- keepalive */

/* <iq id to=s.whatsapp.net type=get xmlns=w:p/> (protocol page 01, 7.1) */
static void
send_ping(void *arg)
{
	struct link *l = arg;
	struct node *n = node_new("iq");
	struct buf out = BUF_INIT;

	(void)node_setf(n, "id", "k%llu", (unsigned long long)++l->pings);
	(void)node_set_server(n, "to", JID_PN);
	(void)node_set(n, "type", "get");
	(void)node_set(n, "xmlns", "w:p");
	if (node_encode(n, &out) == 0)
		(void)conn_send(l->conn, out.data, out.len);
	node_free(n);
	buf_clear(&out);
}

static void
ping_missed(void *arg)
{
	struct link *l = arg;

	l->at_once = l->good;
	conn_fail(l->conn, AGAIN_LATER, "keepalive", "nothing came for %lld ms after a ping",
	    (long long)l->nd->settings.keepalive_deadline_ms);
}

/* ---------------------------------------------------------------- a connection's life */

static void
on_open(void *arg)
{
	struct link *l = arg;

	log_info("%s: connection %llu is open", l->account, (unsigned long long)l->conn_id);
	set_state(l, NETD__LINK_STATE__STATE__OPEN, NULL, NULL, -1);
	keepalive_start(&l->keepalive);
	keepalive_blind(&l->keepalive, l->nd->holding);
}

static void
on_stanza(void *arg, const uint8_t *data, size_t len)
{
	struct link *l = arg;
	Netd__Stanza m = NETD__STANZA__INIT;

	keepalive_life(&l->keepalive);
	m.account = l->account;
	m.conn = l->conn_id;
	m.node = pb_bytes(data, len);
	(void)channel_notify(l->nd->apid, NETD__TYPE__STANZA_IN, &m.base);
	if (channel_full(l->nd->apid))
		links_hold(l->nd);
}

static void
add_stats(struct link *l)
{
	const struct conn_stats *s = conn_stats(l->conn);

	l->total.frames_in += s->frames_in;
	l->total.frames_out += s->frames_out;
	l->total.bytes_in += s->bytes_in;
	l->total.bytes_out += s->bytes_out;
}

/* How long to wait for the next attempt. */
static int64_t
next_delay(struct link *l, enum conn_again again)
{
	int64_t delay = 0, floor = l->not_before - clock_mono_ms();

	if (l->at_once)
		reconnect_at_once(&l->back);
	else if (again == AGAIN_LONGEST)
		delay = reconnect_longest(&l->back, randombytes_random());
	else
		delay = reconnect_next(&l->back, randombytes_random());
	l->at_once = 0;
	return delay < floor ? floor : delay;
}

static void
stopped_if_last(struct netd *nd)
{
	const struct link *l;

	LIST_FOREACH(l, &nd->links, entry)
	{
		if (l->conn != NULL)
			return;
	}
	nd->stopped(nd);
}

static void
on_closed(void *arg, const char *reason, const char *text, enum conn_again again)
{
	struct link *l = arg;
	struct conn *c = l->conn;
	int64_t delay;

	keepalive_stop(&l->keepalive);
	(void)evtimer_del(l->stable);
	add_stats(l);
	/* stale routing information can be what hurts; apid gives new one when it has some */
	if (conn_failed_handshake(c))
		buf_reset(&l->routing);
	l->good = 0;
	if (!l->wanted) {
		log_info("%s: connection %llu closed: %s", l->account,
		    (unsigned long long)l->conn_id, reason);
		set_state(l, NETD__LINK_STATE__STATE__DOWN, reason, text, -1);
	} else {
		delay = next_delay(l, again);
		log_notice("%s: connection %llu closed: %s (%s); next attempt in %lld ms",
		    l->account, (unsigned long long)l->conn_id, reason, text, (long long)delay);
		set_state(l, NETD__LINK_STATE__STATE__CLOSED, reason, text, delay);
		attempt_in(l, delay);
	}
	/* reason and text live in it */
	l->conn = NULL;
	conn_free(c);
	if (l->nd->stopped != NULL)
		stopped_if_last(l->nd);
}

static void
link_connect(struct link *l)
{
	static const struct conn_handler handler = {
	    .open = on_open, .stanza = on_stanza, .closed = on_closed};
	int64_t delay;

	l->conn_id = ++l->nd->last_conn;
	l->params.account = l->account;
	l->params.id = l->conn_id;
	l->params.payload = &l->payload;
	l->params.routing = &l->routing;
	l->connects++;
	set_state(l, NETD__LINK_STATE__STATE__CONNECTING, NULL, NULL, -1);
	l->conn = conn_new(l->nd, &l->params, &handler, l);
	if (l->conn == NULL) {
		delay = next_delay(l, AGAIN_LATER);
		log_warnx("%s: no memory for a connection", l->account);
		set_state(l, NETD__LINK_STATE__STATE__CLOSED, "memory", NULL, delay);
		attempt_in(l, delay);
		return;
	}
	if (l->nd->holding)
		conn_pause(l->conn, 1);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;
	int64_t early = l->next_at - clock_mono_ms();

	if (!l->wanted || l->conn != NULL)
		return;
	/* the loop's clock is a coarse one */
	if (early > 0)
		arm(l->timer, early);
	else
		link_connect(l);
}

static void
on_stable(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;

	reconnect_reset(&l->back);
	log_debug("%s: connection %llu is stable", l->account, (unsigned long long)l->conn_id);
}

/* ---------------------------------------------------------------- making and freeing */

static void
link_free(struct link *l)
{
	LIST_REMOVE(l, entry);
	l->nd->nlinks--;
	conn_free(l->conn);
	keepalive_clear(&l->keepalive);
	if (l->timer != NULL)
		event_free(l->timer);
	if (l->stable != NULL)
		event_free(l->stable);
	buf_clear(&l->payload);
	buf_clear(&l->routing);
	free(l);
}

/* Room for one more: a link that is down gives way. */
static int
make_room(struct netd *nd)
{
	struct link *l;

	if (nd->nlinks < ACCOUNTS_MAX)
		return 0;
	LIST_FOREACH(l, &nd->links, entry)
	{
		if (!l->wanted && l->conn == NULL) {
			link_free(l);
			return 0;
		}
	}
	return -1;
}

static struct link *
link_new(struct netd *nd, const char *account)
{
	const struct settings *s = &nd->settings;
	struct keepalive_config k = {.min_ms = s->keepalive_min_ms,
	    .max_ms = s->keepalive_max_ms,
	    .deadline_ms = s->keepalive_deadline_ms,
	    .ping = send_ping,
	    .miss = ping_missed};
	struct link *l = make_room(nd) == 0 ? calloc(1, sizeof(*l)) : NULL;

	if (l == NULL)
		return NULL;
	l->nd = nd;
	LIST_INSERT_HEAD(&nd->links, l, entry);
	nd->nlinks++;
	memcpy(l->account, account, strlen(account) + 1);
	l->state = NETD__LINK_STATE__STATE__DOWN;
	l->payload.max = PAYLOAD_MAX;
	l->routing.max = ROUTING_MAX;
	reconnect_init(&l->back, s->backoff_unit_ms, s->backoff_max_ms);
	l->timer = evtimer_new(nd->base, on_timer, l);
	l->stable = evtimer_new(nd->base, on_stable, l);
	if (l->timer == NULL || l->stable == NULL ||
	    keepalive_init(&l->keepalive, nd->base, &k, l) == -1) {
		link_free(l);
		return NULL;
	}
	return l;
}

void
links_stop(struct netd *nd)
{
	struct link *l;

	LIST_FOREACH(l, &nd->links, entry)
	{
		l->wanted = l->at_once = 0;
		(void)evtimer_del(l->timer);
		if (l->conn != NULL)
			conn_shutdown(l->conn, "stop");
	}
	stopped_if_last(nd);
}

void
links_free(struct netd *nd)
{
	struct link *l, *next;

	for (l = LIST_FIRST(&nd->links); l != NULL; l = next) {
		next = LIST_NEXT(l, entry);
		link_free(l);
	}
}

/* ---------------------------------------------------------------- apid's verbs */

static void
no_link(struct netd *nd, const char *account, const char *reason)
{
	Netd__LinkState m = NETD__LINK_STATE__INIT;

	m.account = pb_str(account);
	m.state = NETD__LINK_STATE__STATE__DOWN;
	m.reason = pb_str(reason);
	(void)channel_notify(nd->apid, NETD__TYPE__LINK_STATE, &m.base);
}

static int
take_params(struct link *l, const Netd__LinkUp *m)
{
	buf_reset(&l->payload);
	buf_reset(&l->routing);
	if (buf_put(&l->payload, m->payload.data, m->payload.len) == -1 ||
	    (m->has_routing_info &&
		buf_put(&l->routing, m->routing_info.data, m->routing_info.len) == -1))
		return -1;
	/* a new payload alone must not shorten a wait that was asked for */
	if (m->has_min_delay_ms || (m->has_restart && m->restart) || !l->wanted)
		l->not_before = clock_mono_ms() + (int64_t)m->min_delay_ms;
	return 0;
}

int
link_up(struct netd *nd, const Netd__LinkUp *m)
{
	int restart = m->has_restart && m->restart, failed = m->has_failed && m->failed;
	struct link *l;
	int64_t delay;
	int was_wanted;

	if (!account_ok(m->account))
		return refuse("LINK_UP: no account name");
	if (m->payload.len == 0 || m->payload.len > PAYLOAD_MAX)
		return refuse("LINK_UP: payload empty or too long");
	if (m->has_routing_info && m->routing_info.len > ROUTING_MAX)
		return refuse("LINK_UP: routing information too long");
	if ((l = find(nd, m->account)) == NULL)
		l = link_new(nd, m->account);
	if (l == NULL || take_params(l, m) == -1) {
		log_errx("%s: no room for a link", m->account);
		no_link(nd, m->account, "memory");
		return 0;
	}
	was_wanted = l->wanted;
	l->wanted = 1;
	if (l->conn != NULL) {
		/* one that is closing for a LINK_DOWN is followed by a new one at once */
		if (restart || !was_wanted)
			l->at_once = !failed;
		if (restart)
			conn_shutdown(l->conn, "restart");
		return 0;
	}
	delay = l->not_before - clock_mono_ms();
	if (delay < 0)
		delay = 0;
	if ((restart && !failed) || !was_wanted) {
		attempt_in(l, delay);
	} else if (l->next_at < l->not_before) {
		/* it waits already: never sooner for that, but later if apid says so */
		attempt_in(l, delay);
		set_state(l, NETD__LINK_STATE__STATE__CLOSED, "delayed", NULL, delay);
	}
	return 0;
}

int
link_down(struct netd *nd, const Netd__LinkDown *m)
{
	struct link *l;

	if (!account_ok(m->account))
		return refuse("LINK_DOWN: no account name");
	if ((l = find(nd, m->account)) == NULL) {
		no_link(nd, m->account, "down");
		return 0;
	}
	l->wanted = l->at_once = 0;
	(void)evtimer_del(l->timer);
	reconnect_reset(&l->back);
	if (l->conn != NULL)
		conn_shutdown(l->conn, "down");
	else
		set_state(l, NETD__LINK_STATE__STATE__DOWN, "down", NULL, -1);
	return 0;
}

int
link_good(struct netd *nd, const Netd__LinkGood *m)
{
	struct link *l;

	if (!account_ok(m->account))
		return refuse("LINK_GOOD: no account name");
	l = find(nd, m->account);
	/* it may have closed while the word was on its way */
	if (l == NULL || l->conn == NULL || l->conn_id != m->conn || !conn_is_open(l->conn) ||
	    l->good)
		return 0;
	l->good = 1;
	arm(l->stable, nd->settings.stable_after_ms);
	conn_logged_in(l->conn);
	return 0;
}

int
link_stanza(struct netd *nd, const Netd__Stanza *m)
{
	struct link *l;

	if (!account_ok(m->account))
		return refuse("STANZA_OUT: no account name");
	if (m->node.len < 2 || m->node.len > NODE_MAX_ENCODED)
		return refuse("STANZA_OUT: node empty or too long");
	l = find(nd, m->account);
	if (l != NULL && l->conn != NULL && l->conn_id == m->conn &&
	    conn_send(l->conn, m->node.data, m->node.len) == 0)
		return 0;
	if (l != NULL)
		l->dropped_out++;
	if (log_allowed(&drop_limit))
		log_info("%s: a stanza for connection %llu, which is gone, is dropped", m->account,
		    (unsigned long long)m->conn);
	return 0;
}

void
links_hold(struct netd *nd)
{
	struct link *l;

	if (nd->holding)
		return;
	nd->holding = 1;
	LIST_FOREACH(l, &nd->links, entry)
	{
		keepalive_blind(&l->keepalive, 1);
		if (l->conn != NULL)
			conn_pause(l->conn, 1);
	}
}

void
links_go_on(struct netd *nd)
{
	struct link *l;

	if (!nd->holding)
		return;
	nd->holding = 0;
	LIST_FOREACH(l, &nd->links, entry)
	{
		keepalive_blind(&l->keepalive, 0);
		if (l->conn != NULL)
			conn_pause(l->conn, 0);
	}
}

/* ---------------------------------------------------------------- status */

static void
fill_status(const struct link *l, Netd__LinkStatus *s)
{
	static const struct conn_stats none;
	const struct conn_stats *now = l->conn != NULL ? conn_stats(l->conn) : &none;

	netd__link_status__init(s);
	s->account = pb_str(l->account);
	s->state = l->state;
	s->frames_in = l->total.frames_in + now->frames_in;
	s->frames_out = l->total.frames_out + now->frames_out;
	s->bytes_in = l->total.bytes_in + now->bytes_in;
	s->bytes_out = l->total.bytes_out + now->bytes_out;
	s->connects = l->connects;
	s->dropped_out = l->dropped_out;
}

int
links_status(struct netd *nd, uint32_t request)
{
	Netd__LinkStatus rows[ACCOUNTS_MAX], *list[ACCOUNTS_MAX];
	Netd__Status m = NETD__STATUS__INIT;
	struct link *l;

	LIST_FOREACH(l, &nd->links, entry)
	{
		list[m.n_links] = &rows[m.n_links];
		fill_status(l, &rows[m.n_links++]);
	}
	m.links = list;
	return channel_reply(nd->apid, request, NETD__TYPE__STATUS_REPLY, &m.base);
}
