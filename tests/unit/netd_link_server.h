/* A service to connect to, for the tests of netd: TLS, WebSocket and Noise frames on a thread, one
 * connection at a time as a script says; and two proxies. Blocking sockets, bounded by alarm(). */
#ifndef WARD_TEST_NETD_LINK_SERVER_H
#define WARD_TEST_NETD_LINK_SERVER_H

#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sodium.h>

#include "netd/noise_stream.h"

#define TEST_HELLO  "client hello"
#define TEST_SERVER "server hello"
#define TEST_FINISH "client finish"

static const uint8_t test_tx[32] = "client to server client to serv";
static const uint8_t test_rx[32] = "server to client server to clie";

enum behaviour {
	SERVE,      /* a greeting, then every stanza comes back */
	REFUSE_403, /* HTTP status */
	REFUSE_503,
	FORGE_ACCEPT, /* Sec-WebSocket-Accept of another key */
	DROP_HELLO,   /* ends when our hello came */
	SERVE_ONE,    /* ends after the first stanza */
	SILENT,       /* open, then nothing is sent any more, all is read */
	DEAF,         /* open, then nothing is read until the next connection */
	BAD_FRAME,    /* open, then a frame that does not authenticate */
	LONG_FRAME,   /* open, then a stanza of 100,000 bytes, then as SERVE */
	FLOOD,        /* open, then FLOOD_COUNT numbered stanzas of 1 KiB, then as SERVE */
	CLOSE_FRAME,  /* open, then a close frame with code 1001 */
	IK_SERVE,     /* takes the hello for IK: no finish comes; then as SERVE */
	IK_REFUSE,    /* the same, and in one go a stanza, a close frame and the end */
	IK_HANG_UP    /* the same without the close frame */
};
#define FLOOD_COUNT 8000u

struct server {
	int listener;
	unsigned port;
	SSL_CTX *ctx;
	pthread_t thread;
	enum behaviour script[16]; /* one a connection; the last goes on for ever */
	size_t nscript;
	atomic_int now, most, accepted; /* connections: served, most at once, in all */
	int fds[64];                    /* of those that are served, -1 = free; under lock */
	atomic_int pings;               /* keepalive stanzas seen */
	atomic_int closes;              /* close frames with code 1000 seen */
	pthread_mutex_t lock;
	char request[2048]; /* the last upgrade */
	uint8_t hello[256]; /* the last first message */
	size_t nhello;
};

/* One connection of the server. */
struct peer {
	struct server *s;
	SSL *ssl;
	struct noise_stream noise;
	struct buf out;
	int stanzas, quiet, once;
};

/* ---------------------------------------------------------------- certificates */

/* A self-signed certificate for host; its PEM is the bundle that trusts it. */
static void
make_cert(const char *host, X509 **cert, EVP_PKEY **key, char **pem, size_t *len)
{
	X509 *x = X509_new();
	char san[128];
	X509_EXTENSION *ext;
	BIO *bio = BIO_new(BIO_s_mem());
	char *data;
	long n;

	*key = EVP_EC_gen("P-256");
	(void)X509_set_version(x, 2);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(x), (long)randombytes_uniform(1u << 30) + 1);
	(void)X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	(void)X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	(void)X509_set_pubkey(x, *key);
	(void)X509_NAME_add_entry_by_txt(
	    X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
	(void)X509_set_issuer_name(x, X509_get_subject_name(x));
	(void)snprintf(san, sizeof(san), "%s", host);
	ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
	(void)X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	ext = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
	(void)X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	(void)X509_sign(x, *key, EVP_sha256());
	(void)PEM_write_bio_X509(bio, x);
	n = BIO_get_mem_data(bio, &data);
	*pem = malloc((size_t)n);
	memcpy(*pem, data, (size_t)n);
	*len = (size_t)n;
	BIO_free(bio);
	*cert = x;
}

/* ---------------------------------------------------------------- bytes */

static int
read_all(struct peer *p, void *to, size_t len)
{
	uint8_t *at = to;

	while (len > 0) {
		int n = SSL_read(p->ssl, at, (int)len);

		if (n <= 0)
			return -1;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
write_all(struct peer *p, const void *data, size_t len)
{
	return SSL_write(p->ssl, data, (int)len) == (int)len ? 0 : -1;
}

/* An unmasked frame. */
static int
send_ws(struct peer *p, unsigned op, const void *data, size_t len)
{
	struct buf b = BUF_INIT;
	int r;

	(void)buf_put_u8(&b, (uint8_t)(0x80 | op));
	if (len < 126) {
		(void)buf_put_u8(&b, (uint8_t)len);
	} else if (len < 65536) {
		(void)buf_put_u8(&b, 126);
		(void)buf_put_be16(&b, (uint16_t)len);
	} else {
		(void)buf_put_u8(&b, 127);
		(void)buf_put_be64(&b, len);
	}
	(void)buf_put(&b, data, len);
	r = write_all(p, b.data, b.len);
	buf_clear(&b);
	return r;
}

/* One masked frame of the client to *out. The opcode, or -1. */
static int
read_ws(struct peer *p, struct buf *out)
{
	uint8_t head[2], more[8], mask[4], *to;
	uint64_t len;
	size_t i, n;

	buf_reset(out);
	if (read_all(p, head, 2) == -1 || (head[1] & 0x80) == 0 || (head[0] & 0x70) != 0)
		return -1;
	len = head[1] & 0x7f;
	n = len == 126 ? 2 : len == 127 ? 8 : 0;
	if (n != 0) {
		if (read_all(p, more, n) == -1)
			return -1;
		for (i = 0, len = 0; i < n; i++)
			len = len << 8 | more[i];
	}
	if (read_all(p, mask, 4) == -1)
		return -1;
	if (len > 0 &&
	    ((to = buf_reserve(out, (size_t)len)) == NULL || read_all(p, to, (size_t)len) == -1))
		return -1;
	for (i = 0; i < len; i++)
		out->data[i] ^= mask[i & 3];
	return head[0] & 0x0f;
}

static int
send_stanza(struct peer *p, const void *data, size_t len)
{
	buf_reset(&p->out);
	if (noise_seal(&p->noise, data, len, &p->out) == -1)
		return -1;
	return send_ws(p, 2, p->out.data, p->out.len);
}

/* ---------------------------------------------------------------- the service */

static int
upgrade(struct peer *p, enum behaviour how)
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	char req[2048], text[128], accept[64], answer[512];
	uint8_t sum[EVP_MAX_MD_SIZE];
	size_t n = 0;
	const char *key;
	unsigned len;

	while (n + 1 < sizeof(req)) {
		if (read_all(p, req + n, 1) == -1)
			return -1;
		req[++n] = '\0';
		if (n >= 4 && strcmp(req + n - 4, "\r\n\r\n") == 0)
			break;
	}
	pthread_mutex_lock(&p->s->lock);
	memcpy(p->s->request, req, n + 1);
	pthread_mutex_unlock(&p->s->lock);
	if (how == REFUSE_403 || how == REFUSE_503) {
		(void)snprintf(answer, sizeof(answer),
		    "HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n", how == REFUSE_403 ? 403 : 503);
		(void)write_all(p, answer, strlen(answer));
		return -1;
	}
	key = strstr(req, "Sec-WebSocket-Key: ");
	if (key == NULL)
		return -1;
	(void)snprintf(text, sizeof(text), "%.24s%s", key + 19, guid);
	if (how == FORGE_ACCEPT)
		text[0] ^= 1;
	(void)EVP_Digest(text, strlen(text), sum, &len, EVP_sha1(), NULL);
	(void)sodium_bin2base64(accept, sizeof(accept), sum, len, sodium_base64_VARIANT_ORIGINAL);
	(void)snprintf(answer, sizeof(answer),
	    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Accept: %s\r\n\r\n",
	    accept);
	return write_all(p, answer, strlen(answer));
}

static int
handshake(struct peer *p, enum behaviour how)
{
	struct buf in = BUF_INIT, out = BUF_INIT;
	int ok = -1;

	if (read_ws(p, &in) == 2 && in.len < sizeof(p->s->hello)) {
		pthread_mutex_lock(&p->s->lock);
		memcpy(p->s->hello, in.data, in.len);
		p->s->nhello = in.len;
		pthread_mutex_unlock(&p->s->lock);
		(void)noise_put_plain(&out, TEST_SERVER, strlen(TEST_SERVER));
		if (how == IK_SERVE || how == IK_REFUSE || how == IK_HANG_UP) {
			if (send_ws(p, 2, out.data, out.len) == 0)
				ok = noise_set_keys(&p->noise, test_rx, test_tx);
		} else if (how != DROP_HELLO && send_ws(p, 2, out.data, out.len) == 0 &&
			   read_ws(p, &in) == 2 && in.len == 3 + strlen(TEST_FINISH) &&
			   memcmp(in.data + 3, TEST_FINISH, in.len - 3) == 0)
			ok = noise_set_keys(&p->noise, test_rx, test_tx);
	}
	buf_clear(&in);
	buf_clear(&out);
	return ok;
}

/* A stanza of the client: pings of the keepalive and all others come back. */
static int
on_client_stanza(void *arg, const uint8_t *data, size_t len)
{
	struct peer *p = arg;

	if (len > 10 && data[5] == 0xfc && data[7] == 'k')
		atomic_fetch_add(&p->s->pings, 1);
	p->stanzas++;
	if (p->once)
		return -1;
	return p->quiet ? 0 : send_stanza(p, data, len);
}

static void
flood(struct peer *p)
{
	uint8_t stanza[1024] = {0};
	uint32_t i;

	for (i = 0; i < FLOOD_COUNT; i++) {
		memcpy(stanza + 1, &i, 4);
		if (send_stanza(p, stanza, sizeof(stanza)) == -1)
			return;
	}
}

static void
talk(struct peer *p, enum behaviour how)
{
	static const uint8_t bad[23] = {0, 0, 20};
	static uint8_t large[100000];
	struct buf in = BUF_INIT;
	int op;

	in.max = 64u << 20;
	p->quiet = how == SILENT;
	p->once = how == SERVE_ONE;
	if (how == CLOSE_FRAME)
		(void)send_ws(p, 8, "\x03\xe9", 2);
	if (how == BAD_FRAME)
		(void)send_ws(p, 2, bad, sizeof(bad));
	if (how == LONG_FRAME)
		(void)send_stanza(p, large, sizeof(large));
	if (how == FLOOD)
		flood(p);
	if (how == IK_REFUSE || how == IK_HANG_UP) {
		(void)send_stanza(p, "\0refused", 8);
		if (how == IK_REFUSE)
			(void)send_ws(p, 8, "\x03\xe8", 2);
		return;
	}
	if (how == SERVE || how == SERVE_ONE || how == IK_SERVE)
		(void)send_stanza(p, "\0greeting", 9);
	while (how == DEAF && atomic_load(&p->s->accepted) < 2)
		(void)poll(NULL, 0, 5);
	while ((op = read_ws(p, &in)) >= 0) {
		if (op == 8) {
			if (in.len == 2 && in.data[0] == 3 && in.data[1] == 0xe8)
				atomic_fetch_add(&p->s->closes, 1);
			(void)send_ws(p, 8, in.data, in.len);
			break;
		}
		if (op == 2 && noise_feed(&p->noise, in.data, in.len) == -1)
			break;
	}
	buf_clear(&in);
}

/* The client has ended its side, whether or not our thread has seen that yet. */
static int
has_ended(int fd)
{
	struct pollfd f = {.fd = fd, .events = POLLRDHUP};

	return poll(&f, 1, 0) == 1;
}

/* Counts the connections that the client has open when it makes this one. */
static void
enlist(struct server *s, int fd)
{
	size_t i, place = 0;
	int n = 1;

	pthread_mutex_lock(&s->lock);
	for (i = 0; i < 64; i++) {
		if (s->fds[i] == -1)
			place = i;
		else if (!has_ended(s->fds[i]))
			n++;
	}
	s->fds[place] = fd;
	pthread_mutex_unlock(&s->lock);
	if (n > atomic_load(&s->most))
		atomic_store(&s->most, n);
}

static void
delist(struct server *s, int fd)
{
	size_t i;

	pthread_mutex_lock(&s->lock);
	for (i = 0; i < 64; i++) {
		if (s->fds[i] == fd)
			s->fds[i] = -1;
	}
	(void)close(fd);
	pthread_mutex_unlock(&s->lock);
}

static void
serve(struct server *s, int fd, enum behaviour how)
{
	struct peer p = {.s = s};

	p.ssl = SSL_new(s->ctx);
	(void)SSL_set_fd(p.ssl, fd);
	noise_init(&p.noise, on_client_stanza, &p);
	if (SSL_accept(p.ssl) == 1 && upgrade(&p, how) == 0 && handshake(&p, how) == 0) {
		p.noise.limit = NOISE_FRAME_MAX;
		talk(&p, how);
	}
	SSL_free(p.ssl);
	delist(s, fd);
	noise_clear(&p.noise);
	buf_clear(&p.out);
	atomic_fetch_sub(&s->now, 1);
}

struct serving {
	struct server *s;
	int fd;
	enum behaviour how;
};

static void *
serve_thread(void *arg)
{
	struct serving v = *(struct serving *)arg;

	free(arg);
	serve(v.s, v.fd, v.how);
	return NULL;
}

static void *
server_thread(void *arg)
{
	struct server *s = arg;
	int fd;

	while ((fd = accept(s->listener, NULL, NULL)) != -1) {
		struct serving *v = malloc(sizeof(*v));
		size_t i = (size_t)atomic_fetch_add(&s->accepted, 1);
		pthread_t t;

		atomic_fetch_add(&s->now, 1);
		enlist(s, fd);
		*v = (struct serving){s, fd, s->script[i < s->nscript ? i : s->nscript - 1]};
		(void)pthread_create(&t, NULL, serve_thread, v);
		(void)pthread_detach(t);
	}
	return NULL;
}

static int
listen_local(unsigned *port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd == -1 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    listen(fd, 16) == -1 || getsockname(fd, (struct sockaddr *)&sin, &len) == -1)
		abort();
	*port = ntohs(sin.sin_port);
	return fd;
}

static void
server_start(struct server *s, X509 *cert, EVP_PKEY *key, const enum behaviour *script, size_t n)
{
	memset(s, 0, sizeof(*s));
	memcpy(s->script, script, n * sizeof(*script));
	s->nscript = n;
	for (n = 0; n < 64; n++)
		s->fds[n] = -1;
	(void)pthread_mutex_init(&s->lock, NULL);
	s->ctx = SSL_CTX_new(TLS_server_method());
	(void)SSL_CTX_use_certificate(s->ctx, cert);
	(void)SSL_CTX_use_PrivateKey(s->ctx, key);
	s->listener = listen_local(&s->port);
	(void)pthread_create(&s->thread, NULL, server_thread, s);
}

/* The clients must be gone. */
static void
server_stop(struct server *s)
{
	(void)shutdown(s->listener, SHUT_RDWR);
	(void)pthread_join(s->thread, NULL);
	(void)close(s->listener);
	while (atomic_load(&s->now) != 0)
		(void)poll(NULL, 0, 1);
	SSL_CTX_free(s->ctx);
	(void)pthread_mutex_destroy(&s->lock);
}

/* ---------------------------------------------------------------- proxies */

struct proxy {
	int listener, socks, refuse;
	unsigned port, to;
	pthread_t thread;
	atomic_int relayed;
	char target[300]; /* as the client named it */
};

static int
connect_local(unsigned port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	    .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1)
		abort();
	return fd;
}

static void
relay(int a, int b)
{
	struct pollfd f[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
	char data[16384];
	int i;

	for (;;) {
		if (poll(f, 2, -1) == -1)
			return;
		for (i = 0; i < 2; i++) {
			ssize_t n;

			if (f[i].revents == 0)
				continue;
			n = recv(f[i].fd, data, sizeof(data), 0);
			if (n <= 0 || send(f[1 - i].fd, data, (size_t)n, MSG_NOSIGNAL) != n)
				return;
		}
	}
}

static int
take(int fd, void *to, size_t len)
{
	return recv(fd, to, len, MSG_WAITALL) == (ssize_t)len ? 0 : -1;
}

/* RFC 1928 without authentication; names only (socks5h). */
static int
greet_socks(struct proxy *p, int fd)
{
	uint8_t b[300];

	if (take(fd, b, 2) == -1 || b[0] != 5 || take(fd, b + 2, b[1]) == -1)
		return -1;
	(void)send(fd, "\x05\x00", 2, MSG_NOSIGNAL);
	if (take(fd, b, 4) == -1 || b[1] != 1 || b[3] != 3 || take(fd, b + 4, 1) == -1 ||
	    take(fd, b + 5, b[4] + 2u) == -1)
		return -1;
	(void)snprintf(p->target, sizeof(p->target), "%.*s:%u", b[4], (char *)b + 5,
	    b[5 + b[4]] * 256u + b[6 + b[4]]);
	if (p->refuse) {
		(void)send(fd, "\x05\x02\x00\x01\0\0\0\0\0\0", 10, MSG_NOSIGNAL);
		return -1;
	}
	return send(fd, "\x05\x00\x00\x01\0\0\0\0\0\0", 10, MSG_NOSIGNAL) == 10 ? 0 : -1;
}

static int
greet_http(struct proxy *p, int fd)
{
	char req[2048] = "";
	size_t n = 0;

	while (strstr(req, "\r\n\r\n") == NULL && n + 1 < sizeof(req)) {
		if (take(fd, req + n, 1) == -1)
			return -1;
		req[++n] = '\0';
	}
	if (sscanf(req, "CONNECT %299s HTTP/1.1\r\n", p->target) != 1)
		return -1;
	if (p->refuse) {
		static const char no[] = "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n";

		(void)send(fd, no, strlen(no), MSG_NOSIGNAL);
		return -1;
	}
	return send(fd, "HTTP/1.1 200 OK\r\n\r\n", 19, MSG_NOSIGNAL) == 19 ? 0 : -1;
}

static void *
proxy_thread(void *arg)
{
	struct proxy *p = arg;
	int fd;

	while ((fd = accept(p->listener, NULL, NULL)) != -1) {
		if ((p->socks ? greet_socks(p, fd) : greet_http(p, fd)) == 0) {
			int to = connect_local(p->to);

			atomic_fetch_add(&p->relayed, 1);
			relay(fd, to);
			(void)close(to);
		}
		(void)close(fd);
	}
	return NULL;
}

static void
proxy_start(struct proxy *p, int socks, int refuse, unsigned to)
{
	memset(p, 0, sizeof(*p));
	p->socks = socks;
	p->refuse = refuse;
	p->to = to;
	p->listener = listen_local(&p->port);
	(void)pthread_create(&p->thread, NULL, proxy_thread, p);
}

static void
proxy_stop(struct proxy *p)
{
	(void)shutdown(p->listener, SHUT_RDWR);
	(void)pthread_join(p->thread, NULL);
	(void)close(p->listener);
}

#endif
