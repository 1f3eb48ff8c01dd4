/* The life of one client's connection, from the WebSocket upgrade to the last byte. */
#include <sys/socket.h>

#include <stdlib.h>
#include <string.h>

#include "tests/sim/conn_impl.h"

struct conn_stats conn_stats;
static struct conns conns = TAILQ_HEAD_INITIALIZER(conns);
static struct conns dead = TAILQ_HEAD_INITIALIZER(dead);
struct noise_identity *conn_identity;
struct conn_hooks conn_hooks;
static uint64_t next_id = 1;
static struct {
	int what;
	unsigned count;
	int limited;
} forgery;

void
conn_init(struct noise_identity *id, const struct conn_hooks *h)
{
	conn_identity = id;
	conn_hooks = *h;
}

uint64_t
conn_id(const struct conn *c)
{
	return c->id;
}

struct conn *
conn_by_id(uint64_t id)
{
	struct conn *c;

	TAILQ_FOREACH(c, &conns, link)
	if (c->id == id)
		return c;
	return NULL;
}

struct conn *
conn_next(struct conn *c)
{
	c = c == NULL ? TAILQ_FIRST(&conns) : TAILQ_NEXT(c, link);
	while (c != NULL && c->state != ST_OPEN)
		c = TAILQ_NEXT(c, link);
	return c;
}

struct device *
conn_device(const struct conn *c)
{
	return c->dev;
}

void
conn_set_device(struct conn *c, struct device *d)
{
	c->dev = d;
}

struct registration *
conn_registration(const struct conn *c)
{
	return c->reg;
}

void
conn_set_registration(struct conn *c, struct registration *r)
{
	c->reg = r;
}

struct party
conn_party(const struct conn *c)
{
	struct party p = {NULL, -1, c->id};

	if (c->dev != NULL) {
		p.account = c->dev->account;
		p.device = (int)c->dev->id;
	}
	return p;
}

void
conn_rotate(void)
{
	crypt_keypair(conn_identity->static_priv, conn_identity->static_pub);
	conn_identity->leaf_serial++;
}

void
conn_forge(int what, unsigned count)
{
	forgery.what = what;
	forgery.count = count;
	forgery.limited = count != 0;
}

int
conn_take_forgery(void)
{
	if (forgery.limited && forgery.count == 0)
		return NOISE_HONEST;
	if (forgery.limited)
		forgery.count--;
	return forgery.what;
}

int
conn_ending(const struct conn *c)
{
	return c->state == ST_ENDING;
}

/* --- the end --- */

static void
conn_free(struct conn *c)
{
	event_free(c->flush);
	event_free(c->timer);
	evbuffer_free(c->payload);
	evbuffer_free(c->stream);
	evbuffer_free(c->out);
	evbuffer_free(c->joined);
	crypt_stream_clear(&c->rx);
	crypt_stream_clear(&c->tx);
	node_free(c->held_in);
	node_free(c->held_out);
	bufferevent_free(c->bev);
	free(c);
}

static void
reap(void *arg)
{
	struct conn *c;

	(void)arg;
	while ((c = TAILQ_FIRST(&dead)) != NULL) {
		TAILQ_REMOVE(&dead, c, link);
		conn_free(c);
	}
}

/* Off the list now; the memory goes when nothing on the stack can refer to it. */
void
conn_bury(struct conn *c)
{
	if (c->dead)
		return;
	c->dead = 1;
	bufferevent_disable(c->bev, EV_READ | EV_WRITE);
	bufferevent_setcb(c->bev, NULL, NULL, NULL, NULL);
	event_del(c->flush);
	event_del(c->timer);
	TAILQ_REMOVE(&conns, c, link);
	TAILQ_INSERT_TAIL(&dead, c, link);
	loop_defer(reap, NULL, NULL);
}

/* The model lets go of it; from here on it only drains. */
void
conn_detach(struct conn *c, const char *why)
{
	struct party p = conn_party(c);

	if (c->state == ST_ENDING)
		return;
	stanza_log_note(&p, "closed: %s", why);
	if (c->state == ST_OPEN)
		conn_hooks.gone(c);
	c->state = ST_ENDING;
	c->dev = NULL;
	c->reg = NULL;
	conn_stats.open--;
}

static void
close_writing(struct conn *c)
{
	SSL *ssl = c->tls ? bufferevent_openssl_get_ssl(c->bev) : NULL;

	if (c->drained)
		return;
	c->drained = 1;
	if (ssl != NULL)
		SSL_shutdown(ssl);
	shutdown(bufferevent_getfd(c->bev), SHUT_WR);
}

void
conn_end(struct conn *c, const char *why)
{
	struct timeval tv = {LINGER_MS / 1000, 0};
	uint8_t close_frame[4] = {0x88, 2, 1000 >> 8, 1000 & 0xff};

	if (c->dead || c->state == ST_ENDING)
		return;
	conn_detach(c, why);
	evbuffer_add(c->out, close_frame, sizeof(close_frame));
	bufferevent_write_buffer(c->bev, c->out);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	event_add(c->timer, &tv);
}

void
conn_reset(struct conn *c, const char *why)
{
	struct linger hard = {1, 0};

	if (c->dead)
		return;
	conn_detach(c, why);
	setsockopt(bufferevent_getfd(c->bev), SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	conn_bury(c);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	if (c->state == ST_ENDING || c->state < ST_OPEN) {
		conn_detach(c, "no handshake in time");
		conn_bury(c);
	} else { /* thaw */
		bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	}
}

void
conn_freeze(struct conn *c, unsigned ms)
{
	struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000};

	if (c->dead || c->state == ST_ENDING)
		return;
	bufferevent_disable(c->bev, EV_READ | EV_WRITE);
	if (ms > 0 && c->state == ST_OPEN)
		event_add(c->timer, &tv);
}

/* --- the beginning --- */

static void
on_write(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;

	/* the callback may be late: from a write before the last words were added */
	if (c->state == ST_ENDING && evbuffer_get_length(bufferevent_get_output(bev)) == 0)
		close_writing(c);
	else if (c->state == ST_OPEN)
		conn_hooks.room(c);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct conn *c = arg;

	(void)bev;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) {
		conn_detach(c, what & BEV_EVENT_EOF ? "by the client" : "connection error");
		conn_bury(c);
	}
}

void
conn_upgraded(struct bufferevent *bev, int tls)
{
	struct timeval tv = {HELLO_MS / 1000, 0};
	struct conn *c = calloc(1, sizeof(*c));
	struct party p = {NULL, -1, next_id};

	if (c == NULL)
		fatal("connection");
	c->id = next_id++;
	c->bev = bev;
	c->tls = tls;
	c->payload = evbuffer_new();
	c->stream = evbuffer_new();
	c->out = evbuffer_new();
	c->joined = evbuffer_new();
	c->flush = event_new(loop_base(), -1, 0, conn_on_flush, c);
	c->timer = evtimer_new(loop_base(), on_timer, c);
	if (c->payload == NULL || c->stream == NULL || c->out == NULL || c->joined == NULL ||
	    c->flush == NULL || c->timer == NULL)
		fatal("connection");
	TAILQ_INSERT_TAIL(&conns, c, link);
	conn_stats.accepted++;
	conn_stats.open++;
	stanza_log_note(&p, "connected");
	event_add(c->timer, &tv);
	bufferevent_setcb(bev, conn_on_read, on_write, on_event, c);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
	conn_on_read(bev, c);
}

void
conn_fini(void)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&conns)) != NULL) {
		conn_detach(c, "shutdown");
		conn_bury(c);
	}
	reap(NULL);
}
