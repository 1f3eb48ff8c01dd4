/* The one port: HTTP/1.1 over TLS or plain, and the way up to a WebSocket. */
#include <sys/types.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>

#include "common/buf.h"
#include "common/log.h"
#include "tests/sim/http.h"
#include "tests/sim/loop.h"
#include "tests/sim/ws.h"

#define MAX_HEAD (16 * 1024)
#define MAX_BODY (16 * 1024 * 1024)
#define IDLE_S   600

struct http_conn {
	TAILQ_ENTRY(http_conn) link;
	evutil_socket_t fd;  /* until there is a bufferevent */
	struct event *first; /* waits for the first byte */
	struct bufferevent *bev;
	int tls, closing;
	int serving; /* inside hooks.request: its answer must not read on by itself */
	struct http_request *pending;
	/* headers of the request being read */
	int have_head, upgrade;
	size_t body_len;
	char ws_key[64];
	struct http_request *reading;
};

static TAILQ_HEAD(http_conns, http_conn) conns = TAILQ_HEAD_INITIALIZER(conns);
static struct evconnlistener *listener;
static SSL_CTX *ssl_ctx;
static struct http_hooks hooks;
static struct {
	char what[16];
	int status;
	unsigned count;
	int limited;
} refusal;

static void read_requests(struct http_conn *h);

static void
request_free(struct http_request *r)
{
	if (r != NULL)
		free(r->body);
	free(r);
}

static void
http_free(struct http_conn *h)
{
	if (h->pending != NULL)
		h->pending->conn = NULL;
	request_free(h->reading);
	if (h->first != NULL)
		event_free(h->first);
	if (h->bev != NULL)
		bufferevent_free(h->bev);
	else if (h->fd != -1)
		close(h->fd);
	TAILQ_REMOVE(&conns, h, link);
	free(h);
}

int
http_refuse(const char *what, int status, unsigned count)
{
	if (strcmp(what, "none") != 0 && strcmp(what, "tcp") != 0 && strcmp(what, "tls") != 0 &&
	    strcmp(what, "upgrade") != 0)
		return -1;
	snprintf(refusal.what, sizeof(refusal.what), "%s", what);
	refusal.status = status;
	refusal.count = count;
	refusal.limited = count != 0;
	return 0;
}

static int
refused(const char *what)
{
	if (strcmp(refusal.what, what) != 0 || (refusal.limited && refusal.count == 0))
		return 0;
	if (refusal.limited)
		refusal.count--;
	return 1;
}

static const char *
status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} texts[] = {{200, "OK"}, {400, "Bad Request"}, {403, "Forbidden"}, {404, "Not Found"},
	    {405, "Method Not Allowed"}, {408, "Request Timeout"}, {411, "Length Required"},
	    {413, "Content Too Large"}, {429, "Too Many Requests"},
	    {431, "Header Fields Too Large"}, {500, "Internal Server Error"},
	    {501, "Not Implemented"}, {503, "Service Unavailable"}};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return "Status";
}

static void
put_answer(struct http_conn *h, int status, const char *type, const void *body, size_t len)
{
	struct evbuffer *out = bufferevent_get_output(h->bev);

	evbuffer_add_printf(out,
	    "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: %s\r\n\r\n",
	    status, status_text(status), type, len, h->closing ? "close" : "keep-alive");
	evbuffer_add(out, body, len);
}

void
http_answer(struct http_request *r, int status, const char *type, const void *body, size_t len)
{
	struct http_conn *h = r->conn;

	if (h != NULL) {
		h->pending = NULL;
		put_answer(h, status, type, body, len);
	}
	request_free(r);
	if (h != NULL && !h->serving)
		read_requests(h);
}

/* An error of the client's making: answer and close. */
static void
refuse_request(struct http_conn *h, int status)
{
	h->closing = 1;
	put_answer(h, status, "text/plain", status_text(status), strlen(status_text(status)));
	bufferevent_disable(h->bev, EV_READ);
}

/* The value of a header in a head that ends with a NUL, copied; 0 = there. */
static int
header(const char *head, const char *name, char *out, size_t size)
{
	const char *line = strstr(head, "\r\n");
	size_t n = strlen(name);

	while (line != NULL && line[2] != '\0') {
		line += 2;
		if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
			size_t len = strcspn(line, "\r\n");

			n++;
			while (n < len && (line[n] == ' ' || line[n] == '\t'))
				n++;
			if (len - n >= size)
				return -1;
			memcpy(out, line + n, len - n);
			out[len - n] = '\0';
			return 0;
		}
		line = strstr(line, "\r\n");
	}
	return -1;
}

/* Parses the head. 0, or an HTTP status. */
static int
parse_head(struct http_conn *h, const char *head)
{
	struct http_request *r;
	char value[256], *end;

	if ((r = calloc(1, sizeof(*r))) == NULL)
		fatal("request");
	h->reading = r;
	if (sscanf(head, "%7[A-Z] %511[^ ] HTTP/1.1\r\n", r->method, r->path) != 2)
		return 400;
	h->body_len = 0;
	if (header(head, "Transfer-Encoding", value, sizeof(value)) == 0)
		return 411;
	if (header(head, "Content-Length", value, sizeof(value)) == 0) {
		errno = 0;
		h->body_len = strtoul(value, &end, 10);
		if (errno != 0 || *end != '\0' || value[0] < '0' || value[0] > '9')
			return 400;
		if (h->body_len > MAX_BODY)
			return 413;
	}
	if (header(head, "Connection", value, sizeof(value)) == 0 &&
	    strcasecmp(value, "close") == 0)
		h->closing = 1;
	h->upgrade = header(head, "Upgrade", value, sizeof(value)) == 0 &&
		     strcasecmp(value, "websocket") == 0 &&
		     header(head, "Sec-WebSocket-Key", h->ws_key, sizeof(h->ws_key)) == 0;
	return 0;
}

static void
upgrade(struct http_conn *h)
{
	struct bufferevent *bev = h->bev;
	char accept[29];

	if (refused("upgrade")) {
		refuse_request(h, refusal.status);
		return;
	}
	if (strncmp(h->reading->path, "/ws/chat", 8) != 0 ||
	    strcmp(h->reading->method, "GET") != 0) {
		refuse_request(h, 404);
		return;
	}
	ws_accept(h->ws_key, accept);
	evbuffer_add_printf(bufferevent_get_output(bev),
	    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Accept: %s\r\n\r\n",
	    accept);
	bufferevent_set_timeouts(bev, NULL, NULL);
	bufferevent_setwatermark(bev, EV_READ, 0, WS_MAX_MESSAGE + MAX_HEAD);
	h->bev = NULL;
	h->fd = -1;
	{
		int tls = h->tls;

		http_free(h);
		hooks.upgraded(bev, tls);
	}
}

/* 1 = a head was taken off the input, 0 = not whole yet or refused */
static int
read_head(struct http_conn *h, struct evbuffer *in)
{
	struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
	char *head;
	int status;

	if (end.pos == -1) {
		if (evbuffer_get_length(in) > MAX_HEAD)
			refuse_request(h, 431);
		return 0;
	}
	if (end.pos > MAX_HEAD) {
		refuse_request(h, 431);
		return 0;
	}
	if ((head = calloc(1, (size_t)end.pos + 3)) == NULL)
		fatal("request");
	evbuffer_remove(in, head, (size_t)end.pos + 2);
	evbuffer_drain(in, 2);
	status = parse_head(h, head);
	free(head);
	if (status != 0) {
		refuse_request(h, status);
		return 0;
	}
	h->have_head = 1;
	return 1;
}

/* One request off the input and served. 1 = look for another, 0 = nothing more now. */
static int
read_one(struct http_conn *h)
{
	struct evbuffer *in = bufferevent_get_input(h->bev);
	struct http_request *r;

	if (h->pending != NULL || (h->closing && !h->have_head))
		return 0;
	if (!h->have_head && !read_head(h, in))
		return 0;
	if (h->upgrade) {
		upgrade(h);
		return 0;
	}
	if (evbuffer_get_length(in) < h->body_len)
		return 0;
	r = h->reading;
	h->reading = NULL;
	h->have_head = 0;
	if ((r->body = calloc(1, h->body_len + 1)) == NULL)
		fatal("request body");
	r->body_len = h->body_len;
	evbuffer_remove(in, r->body, r->body_len);
	r->conn = h;
	h->pending = r;
	h->serving = 1;
	hooks.request(r);
	h->serving = 0;
	return 1;
}

static void
read_requests(struct http_conn *h)
{
	while (read_one(h))
		continue;
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	(void)bev;
	read_requests(arg);
}

static void
on_write(struct bufferevent *bev, void *arg)
{
	struct http_conn *h = arg;

	(void)bev;
	if (h->closing && h->pending == NULL)
		http_free(h);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT))
		http_free(arg);
}

/* TLS begins with byte 0x16; anything else is plain HTTP. */
static void
on_first_byte(evutil_socket_t fd, short what, void *arg)
{
	struct timeval idle = {IDLE_S, 0};
	struct http_conn *h = arg;
	uint8_t byte;

	if ((what & EV_TIMEOUT) || recv(fd, &byte, 1, MSG_PEEK) != 1) {
		http_free(h);
		return;
	}
	h->tls = byte == 0x16;
	if (h->tls && refused("tls")) {
		http_free(h);
		return;
	}
	if (h->tls) {
		h->bev = bufferevent_openssl_socket_new(loop_base(), fd, SSL_new(ssl_ctx),
		    BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
		if (h->bev != NULL)
			bufferevent_openssl_set_allow_dirty_shutdown(h->bev, 1);
	} else {
		h->bev = bufferevent_socket_new(loop_base(), fd, BEV_OPT_CLOSE_ON_FREE);
	}
	if (h->bev == NULL) {
		http_free(h);
		return;
	}
	bufferevent_setcb(h->bev, on_read, on_write, on_event, h);
	bufferevent_set_timeouts(h->bev, &idle, &idle);
	bufferevent_setwatermark(h->bev, EV_READ, 0, MAX_HEAD + MAX_BODY);
	bufferevent_enable(h->bev, EV_READ | EV_WRITE);
}

static void
on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
	struct timeval tv = {30, 0};
	struct http_conn *h;
	int one = 1;

	(void)l;
	(void)sa;
	(void)len;
	(void)arg;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (refused("tcp")) {
		struct linger hard = {1, 0};

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		close(fd);
		return;
	}
	if ((h = calloc(1, sizeof(*h))) == NULL)
		fatal("connection");
	h->fd = fd;
	TAILQ_INSERT_TAIL(&conns, h, link);
	if ((h->first = event_new(loop_base(), fd, EV_READ, on_first_byte, h)) == NULL)
		fatal("connection");
	event_add(h->first, &tv);
}

int
http_listen(uint16_t port, SSL_CTX *ctx, const struct http_hooks *h)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
	    .sin_port = htons(port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);

	ssl_ctx = ctx;
	hooks = *h;
	listener = evconnlistener_new_bind(loop_base(), on_accept, NULL,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, 512,
	    (struct sockaddr *)&sin, sizeof(sin));
	if (listener == NULL ||
	    getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&sin, &len) != 0)
		return -1;
	return ntohs(sin.sin_port);
}

void
http_fini(void)
{
	struct http_conn *h;

	if (listener != NULL)
		evconnlistener_free(listener);
	listener = NULL;
	while ((h = TAILQ_FIRST(&conns)) != NULL)
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		http_free(h);
}
