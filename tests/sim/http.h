/* The one port: HTTP/1.1 over TLS or plain, and the way up to a WebSocket. */
#ifndef SIM_HTTP_H
#define SIM_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include <event2/bufferevent.h>
#include <openssl/ssl.h>

/* One request that waits for its answer, which may come later. */
struct http_request {
	char method[8], path[512];
	uint8_t *body;
	size_t body_len;
	struct http_conn *conn; /* NULL: the client went away */
};

struct http_hooks {
	/* A request that is not an upgrade. Must call http_answer for it, now or later. */
	void (*request)(struct http_request *r);
	/* /ws/chat was upgraded: the connection is the callee's now. Bytes may wait in its input.
	 */
	void (*upgraded)(struct bufferevent *bev, int tls);
};

/* Listens on 127.0.0.1:port (0 = any free one) and returns the port, or -1. */
int http_listen(uint16_t port, SSL_CTX *ctx, const struct http_hooks *hooks);
void http_fini(void);

/* Answers and frees r. type: of the body. */
void http_answer(
    struct http_request *r, int status, const char *type, const void *body, size_t len);

/* Refuse the next `count` connections (0 = until lifted): "tcp" (reset), "tls" (close in the
 * handshake), "upgrade" (answer with `status` instead of 101), "none". 0, or -1. */
int http_refuse(const char *what, int status, unsigned count);

#endif
