/* The transport on libcurl: CONNECT_ONLY as a TLS byte pipe, in a multi handle driven by libevent.
 */
#include <sys/socket.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "common/log.h"
#include "netd/transport.h"

#define READ_SIZE  (32u * 1024)
#define READ_TURNS 8 /* chunks in one turn of the loop, then others have theirs */

struct transport_engine {
	struct event_base *base;
	const struct settings *settings;
};

struct transport {
	struct transport_engine *engine;
	const struct transport_handler *h;
	void *arg;
	CURLM *multi;
	CURL *easy;
	struct event *ev_read, *ev_write, *ev_done;
	struct event *timer; /* libcurl's */
	struct buf queue;    /* what is collected */
	struct buf sending; /* what libcurl has seen: it must not move or shrink until it is gone */
	size_t sent;
	int open, paused, closed, busy;
	int ended; /* closed() is due or was called */
	const char *reason;
	char text[CURL_ERROR_SIZE];
	char url[SETTINGS_HOST_MAX + 32];
};

/* ---------------------------------------------------------------- end */

static void
free_event(struct event **ev)
{
	if (*ev != NULL)
		event_free(*ev);
	*ev = NULL;
}

static void
destroy_if_idle(struct transport *t)
{
	if (!t->closed || t->busy != 0)
		return;
	buf_clear(&t->queue);
	buf_clear(&t->sending);
	free(t);
}

static void
drop_handles(struct transport *t)
{
	curl_easy_cleanup(t->easy);
	if (t->multi != NULL)
		(void)curl_multi_cleanup(t->multi);
	t->easy = NULL;
	t->multi = NULL;
	free_event(&t->timer);
}

static void
transport_close(struct transport *t)
{
	curl_socket_t fd = CURL_SOCKET_BAD;

	if (t == NULL || t->closed)
		return;
	t->closed = 1;
	free_event(&t->ev_read);
	free_event(&t->ev_write);
	free_event(&t->ev_done);
	/* libcurl 8 may linger for the peer's close_notify: the service must see the end now */
	if (t->open && curl_easy_getinfo(t->easy, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK &&
	    fd != CURL_SOCKET_BAD)
		(void)shutdown(fd, SHUT_WR);
	(void)curl_multi_remove_handle(t->multi, t->easy);
	drop_handles(t);
	destroy_if_idle(t);
}

/* Tell the owner from the loop. */
static void
end(struct transport *t, const char *reason, const char *text)
{
	if (t->ended)
		return;
	t->ended = 1;
	t->reason = reason;
	if (text != t->text)
		(void)snprintf(t->text, sizeof(t->text), "%s", text);
	if (t->ev_read != NULL)
		(void)event_del(t->ev_read);
	if (t->ev_write != NULL)
		(void)event_del(t->ev_write);
	event_active(t->ev_done, EV_TIMEOUT, 0);
}

static void
on_done(evutil_socket_t fd, short what, void *arg)
{
	struct transport *t = arg;

	t->busy++;
	t->h->closed(t->arg, t->reason, t->text);
	t->busy--;
	destroy_if_idle(t);
}

/* ---------------------------------------------------------------- bytes in and out */

static void
read_some(struct transport *t)
{
	static uint8_t chunk[READ_SIZE]; /* one thread, and no handler reads again */
	int turns;

	for (turns = 0; turns < READ_TURNS; turns++) {
		size_t n = 0;
		CURLcode r;

		if (t->closed || t->ended || t->paused)
			return;
		r = curl_easy_recv(t->easy, chunk, sizeof(chunk), &n);
		if (r == CURLE_AGAIN)
			return;
		if (r != CURLE_OK || n == 0) {
			end(t, r == CURLE_OK || r == CURLE_GOT_NOTHING ? "peer_closed" : "network",
			    r == CURLE_OK ? "end of the stream" : curl_easy_strerror(r));
			return;
		}
		t->h->data(t->arg, chunk, n);
		explicit_bzero(chunk, n);
	}
	/* what is inside the TLS library makes the socket readable no more */
	if (!t->closed && !t->ended && !t->paused)
		event_active(t->ev_read, EV_READ, 0);
}

static void
on_read(evutil_socket_t fd, short what, void *arg)
{
	struct transport *t = arg;

	t->busy++;
	read_some(t);
	t->busy--;
	destroy_if_idle(t);
}

/* The next piece for libcurl, when the last is gone. 0: nothing left. */
static int
next_piece(struct transport *t)
{
	struct buf empty;

	if (t->sent < t->sending.len)
		return 1;
	buf_reset(&t->sending);
	t->sent = 0;
	if (t->queue.len == 0)
		return 0;
	empty = t->sending;
	t->sending = t->queue;
	t->queue = empty;
	return 1;
}

static void
on_write(evutil_socket_t fd, short what, void *arg)
{
	struct transport *t = arg;

	if (t->closed || t->ended || !t->open)
		return;
	while (next_piece(t)) {
		size_t n = 0;
		CURLcode r = curl_easy_send(
		    t->easy, t->sending.data + t->sent, t->sending.len - t->sent, &n);

		if (r == CURLE_AGAIN) {
			(void)event_add(t->ev_write, NULL);
			return;
		}
		if (r != CURLE_OK) {
			end(t, "network", curl_easy_strerror(r));
			return;
		}
		t->sent += n;
	}
}

static size_t
transport_queued(const struct transport *t)
{
	return t->queue.len + t->sending.len - t->sent;
}

static struct buf *
transport_room(struct transport *t, size_t len)
{
	size_t queued = transport_queued(t);

	if (t->closed || t->ended)
		return NULL;
	if (queued != 0 && (queued > TRANSPORT_OUT_MAX || len > TRANSPORT_OUT_MAX - queued))
		return NULL;
	return &t->queue;
}

static void
transport_flush(struct transport *t)
{
	/* from the loop: what one turn collects leaves together. If the socket is full it waits. */
	if (t->open && !t->closed && !t->ended && t->sent == t->sending.len)
		event_active(t->ev_write, EV_WRITE, 0);
}

static void
transport_pause(struct transport *t, int paused)
{
	if (t->paused == paused)
		return;
	t->paused = paused;
	if (!t->open || t->closed || t->ended)
		return;
	if (paused) {
		(void)event_del(t->ev_read);
		return;
	}
	(void)event_add(t->ev_read, NULL);
	event_active(t->ev_read, EV_READ, 0);
}

/* ---------------------------------------------------------------- connecting */

/* The word of netd.proto for what libcurl says. */
static const char *
reason_of(struct transport *t, CURLcode r)
{
	int proxy = t->engine->settings->proxy[0] != '\0';
	long code = 0;

	(void)curl_easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &code);
	if (code != 0 && code / 100 != 2)
		return "proxy";
	switch (r) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return "dns";
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_PROXY:
		return "proxy";
	case CURLE_COULDNT_CONNECT:
		return proxy ? "proxy" : "connect";
	case CURLE_OPERATION_TIMEDOUT:
		return "timeout";
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
	case CURLE_SSL_CACERT_BADFILE:
		return "tls";
	default:
		return "network";
	}
}

static void
connected(struct transport *t)
{
	curl_socket_t fd = CURL_SOCKET_BAD;
	struct event_base *base = t->engine->base;

	if (curl_easy_getinfo(t->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
	    fd == CURL_SOCKET_BAD) {
		end(t, "network", "no socket");
		return;
	}
	t->ev_read = event_new(base, fd, EV_READ | EV_PERSIST, on_read, t);
	t->ev_write = event_new(base, fd, EV_WRITE, on_write, t);
	if (t->ev_read == NULL || t->ev_write == NULL ||
	    (!t->paused && event_add(t->ev_read, NULL) == -1)) {
		end(t, "network", "out of memory");
		return;
	}
	t->open = 1;
	if (!t->paused)
		event_active(t->ev_read, EV_READ, 0);
	t->h->open(t->arg);
}

static void
act(struct transport *t, curl_socket_t fd, int mask)
{
	int running, left;
	CURLMsg *m;

	t->busy++;
	(void)curl_multi_socket_action(t->multi, fd, mask, &running);
	m = t->ended ? NULL : curl_multi_info_read(t->multi, &left);
	if (m != NULL && m->msg == CURLMSG_DONE) {
		CURLcode r = m->data.result;

		if (r == CURLE_OK)
			connected(t);
		else
			end(t, reason_of(t, r),
			    t->text[0] != '\0' ? t->text : curl_easy_strerror(r));
	}
	t->busy--;
	destroy_if_idle(t);
}

static void
on_multi_socket(evutil_socket_t fd, short what, void *arg)
{
	act(arg, fd,
	    ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
		((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
}

static void
on_multi_timer(evutil_socket_t fd, short what, void *arg)
{
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

/* libcurl says what it waits for on a socket while it connects. */
static int
want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socketp)
{
	struct transport *t = arg;
	struct event *ev = socketp;
	short mask = EV_PERSIST;

	/* freed, not only deleted: the descriptor may be closed and its number reused */
	free_event(&ev);
	if (what == CURL_POLL_REMOVE) {
		(void)curl_multi_assign(t->multi, fd, NULL);
		return 0;
	}
	if ((what & CURL_POLL_IN) != 0)
		mask |= EV_READ;
	if ((what & CURL_POLL_OUT) != 0)
		mask |= EV_WRITE;
	ev = event_new(t->engine->base, fd, mask, on_multi_socket, t);
	if (ev == NULL || event_add(ev, NULL) == -1)
		free_event(&ev);
	(void)curl_multi_assign(t->multi, fd, ev);
	return ev == NULL ? -1 : 0;
}

static int
want_timer(CURLM *multi, long ms, void *arg)
{
	struct transport *t = arg;
	struct timeval tv;

	if (ms < 0) {
		(void)evtimer_del(t->timer);
		return 0;
	}
	tv.tv_sec = ms / 1000;
	tv.tv_usec = ms % 1000 * 1000;
	return evtimer_add(t->timer, &tv);
}

/* Chain and host are verified against our bundle alone. */
static CURLcode
set_tls(CURL *c, const struct settings *s)
{
	struct curl_blob ca = {
	    .data = (void *)(uintptr_t)s->ca, .len = s->ca_len, .flags = CURL_BLOB_NOCOPY};
	CURLcode r = curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);

	if (r == CURLE_OK)
		r = curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	if (r == CURLE_OK)
		r = curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (r == CURLE_OK)
		r = curl_easy_setopt(c, CURLOPT_SSL_ENABLE_ALPN, 0L);
	if (r == CURLE_OK)
		r = curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
	if (r == CURLE_OK)
		r = curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &ca);
	if (r == CURLE_OK && strncmp(s->proxy, "https:", 6) == 0) {
		(void)curl_easy_setopt(c, CURLOPT_PROXY_CAPATH, NULL);
		r = curl_easy_setopt(c, CURLOPT_PROXY_CAINFO_BLOB, &ca);
	}
	return r;
}

static CURLcode
set_way(CURL *c, const struct settings *s, struct transport *t)
{
	int v6 = strchr(s->host, ':') != NULL;
	CURLcode r;

	(void)snprintf(t->url, sizeof(t->url), "https://%s%s%s:%u/", v6 ? "[" : "", s->host,
	    v6 ? "]" : "", s->port);
	r = curl_easy_setopt(c, CURLOPT_URL, t->url);
	if (r == CURLE_OK)
		r = curl_easy_setopt(c, CURLOPT_CONNECT_ONLY, 1L);
	/* "" also keeps the environment's proxies out */
	if (r == CURLE_OK)
		r = curl_easy_setopt(c, CURLOPT_PROXY, s->proxy);
	if (r == CURLE_OK)
		r = curl_easy_setopt(c, CURLOPT_HTTPPROXYTUNNEL, 1L);
	if (r == CURLE_OK)
		r = curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)s->connect_timeout_ms);
	(void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https");
	(void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L); /* never wait for a resolver thread */
	(void)curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
	(void)curl_easy_setopt(c, CURLOPT_MAXAGE_CONN, 1L); /* nothing is reused, ever */
	(void)curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
	(void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->text);
	return r;
}

/* The two handles and their wiring. 0 or -1. */
static int
make_handles(struct transport *t, const struct settings *s)
{
	t->timer = evtimer_new(t->engine->base, on_multi_timer, t);
	t->multi = curl_multi_init();
	t->easy = curl_easy_init();
	if (t->timer == NULL || t->multi == NULL || t->easy == NULL)
		return -1;
	(void)curl_multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	(void)curl_multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t);
	(void)curl_multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	(void)curl_multi_setopt(t->multi, CURLMOPT_TIMERDATA, t);
	if (set_way(t->easy, s, t) != CURLE_OK || set_tls(t->easy, s) != CURLE_OK)
		return -1;
	return curl_multi_add_handle(t->multi, t->easy) == CURLM_OK ? 0 : -1;
}

static struct transport *
transport_connect(struct transport_engine *e, const struct transport_handler *h, void *arg)
{
	struct transport *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->engine = e;
	t->h = h;
	t->arg = arg;
	t->ev_done = event_new(e->base, -1, 0, on_done, t);
	if (t->ev_done == NULL || make_handles(t, e->settings) == -1) {
		log_errx("libcurl: cannot prepare a connection");
		drop_handles(t);
		free_event(&t->ev_done);
		free(t);
		return NULL;
	}
	return t;
}

/* ---------------------------------------------------------------- engine */

static struct transport_engine *
engine_new(struct event_base *base, const struct settings *s)
{
	struct transport_engine *e = calloc(1, sizeof(*e));

	if (e == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		log_errx("libcurl: cannot be started");
		free(e);
		return NULL;
	}
	e->base = base;
	e->settings = s;
	return e;
}

static void
engine_free(struct transport_engine *e)
{
	if (e == NULL)
		return;
	curl_global_cleanup();
	free(e);
}

const struct transport_ops transport_curl = {.name = "curl",
    .engine_new = engine_new,
    .engine_free = engine_free,
    .connect = transport_connect,
    .room = transport_room,
    .flush = transport_flush,
    .queued = transport_queued,
    .pause = transport_pause,
    .close = transport_close};
