/* The client side of WebSocket (RFC 6455) as pure functions on bytes. */
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>
#include <sodium.h>

#include "netd/websocket.h"

/* ---------------------------------------------------------------- upgrade */

void
ws_key(const uint8_t random[16], char key[WS_KEY_TEXT])
{
	(void)sodium_bin2base64(key, WS_KEY_TEXT, random, 16, sodium_base64_VARIANT_ORIGINAL);
}

int
ws_request(struct buf *out, const struct ws_target *to, const char *key)
{
	int v6 = strchr(to->host, ':') != NULL;

	(void)buf_printf(out, "GET %s HTTP/1.1\r\nHost: %s%s%s", to->path, v6 ? "[" : "", to->host,
	    v6 ? "]" : "");
	if (to->port != 443)
		(void)buf_printf(out, ":%u", to->port);
	(void)buf_printf(out,
	    "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
	    "Sec-WebSocket-Version: 13\r\nOrigin: %s\r\nCache-Control: no-cache\r\n"
	    "Pragma: no-cache\r\n",
	    key, to->origin);
	if (to->user_agent[0] != '\0')
		(void)buf_printf(out, "User-Agent: %s\r\n", to->user_agent);
	return buf_put_str(out, "\r\n");
}

/* base64(SHA1(key || GUID)), 28 characters. */
static int
accept_for(const char *key, char out[29])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	char text[WS_KEY_TEXT - 1 + sizeof(guid)];
	uint8_t sum[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (strlen(key) != WS_KEY_TEXT - 1)
		return -1;
	memcpy(text, key, WS_KEY_TEXT - 1);
	memcpy(text + WS_KEY_TEXT - 1, guid, sizeof(guid));
	if (EVP_Digest(text, strlen(text), sum, &len, EVP_sha1(), NULL) != 1 || len != 20)
		return -1;
	(void)sodium_bin2base64(out, 29, sum, len, sodium_base64_VARIANT_ORIGINAL);
	return 0;
}

/* A part of the answer; not terminated. */
struct span {
	const char *p;
	size_t len;
};

static struct span
trim(struct span s)
{
	while (s.len > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s.p++, s.len--;
	while (s.len > 0 && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
		s.len--;
	return s;
}

static int
span_is(struct span s, const char *word)
{
	return s.len == strlen(word) && strncasecmp(s.p, word, s.len) == 0;
}

/* Is the word one of a comma-separated list? */
static int
list_has(struct span s, const char *word)
{
	while (s.len > 0) {
		const char *comma = memchr(s.p, ',', s.len);
		size_t n = comma != NULL ? (size_t)(comma - s.p) : s.len;

		if (span_is(trim((struct span){s.p, n}), word))
			return 1;
		if (comma == NULL)
			return 0;
		s.p += n + 1;
		s.len -= n + 1;
	}
	return 0;
}

/* Takes a line off the front; it ends with CR LF. 0: there is none. */
static int
take_line(struct span *s, struct span *line)
{
	const char *end = memmem(s->p, s->len, "\r\n", 2);

	if (end == NULL)
		return 0;
	line->p = s->p;
	line->len = (size_t)(end - s->p);
	s->p += line->len + 2;
	s->len -= line->len + 2;
	return 1;
}

/* "HTTP/1.1 101 …" -> 101, or -1. */
static int
status_of(struct span line)
{
	int i, v = 0;

	if (line.len < 12 || memcmp(line.p, "HTTP/1.", 7) != 0 || line.p[8] != ' ')
		return -1;
	if ((line.p[7] != '0' && line.p[7] != '1') || (line.len > 12 && line.p[12] != ' '))
		return -1;
	for (i = 9; i < 12; i++) {
		if (line.p[i] < '0' || line.p[i] > '9')
			return -1;
		v = v * 10 + (line.p[i] - '0');
	}
	return v >= 100 ? v : -1;
}

struct seen {
	int upgrade, connection, accept;
};

/* One header of a 101. NULL, or what is wrong with it. */
static const char *
check_header(struct span line, const char *want, struct seen *seen)
{
	const char *colon = memchr(line.p, ':', line.len);
	struct span name, value;

	if (colon == NULL || colon == line.p || memchr(line.p, '\0', line.len) != NULL)
		return "malformed header";
	name = (struct span){line.p, (size_t)(colon - line.p)};
	value = trim((struct span){colon + 1, line.len - name.len - 1});
	if (span_is(name, "upgrade")) {
		seen->upgrade = span_is(value, "websocket");
	} else if (span_is(name, "connection")) {
		seen->connection |= list_has(value, "upgrade");
	} else if (span_is(name, "sec-websocket-accept")) {
		if (seen->accept++ != 0 || value.len != strlen(want) ||
		    memcmp(value.p, want, value.len) != 0)
			return "Sec-WebSocket-Accept does not fit our key";
	} else if (span_is(name, "sec-websocket-extensions")) {
		return "an extension that was not offered";
	} else if (span_is(name, "sec-websocket-protocol")) {
		return "a subprotocol that was not offered";
	}
	return NULL;
}

static const char *
check_headers(struct span all, const char *key)
{
	struct seen seen = {0, 0, 0};
	struct span line;
	const char *why;
	char want[29];

	if (accept_for(key, want) == -1)
		return "no SHA-1";
	while (take_line(&all, &line) && line.len > 0) {
		if ((why = check_header(line, want, &seen)) != NULL)
			return why;
	}
	if (!seen.upgrade || !seen.connection)
		return "no Upgrade: websocket";
	return seen.accept == 0 ? "no Sec-WebSocket-Accept" : NULL;
}

enum ws_answer
ws_response(
    const uint8_t *data, size_t len, const char *key, size_t *used, int *status, const char **why)
{
	struct span all = {(const char *)data, len}, line;
	const char *end = len == 0 ? NULL : memmem(data, len, "\r\n\r\n", 4);

	*used = 0;
	*status = 0;
	*why = NULL;
	if (len >= 5 && memcmp(data, "HTTP/", 5) != 0)
		*why = "not HTTP";
	else if (end == NULL && len > WS_RESPONSE_MAX)
		*why = "headers too long";
	if (*why != NULL)
		return WS_ANSWER_BAD;
	if (len == 0 || !take_line(&all, &line))
		return WS_ANSWER_MORE;
	*status = status_of(line);
	if (*status == -1) {
		*why = "malformed status line";
		return WS_ANSWER_BAD;
	}
	if (*status != 101)
		return WS_ANSWER_REFUSED;
	if (end == NULL)
		return WS_ANSWER_MORE;
	*used = (size_t)(end + 4 - (const char *)data);
	if (*used > WS_RESPONSE_MAX)
		*why = "headers too long";
	else
		*why = check_headers((struct span){all.p, (size_t)(end + 4 - all.p)}, key);
	if (*why == NULL)
		return WS_ANSWER_OPEN;
	*used = 0;
	return WS_ANSWER_BAD;
}

/* ---------------------------------------------------------------- frames out */

int
ws_put_header(struct buf *out, enum ws_opcode op, size_t len, const uint8_t mask[4])
{
	(void)buf_put_u8(out, (uint8_t)(0x80 | (unsigned)op));
	if (len < 126) {
		(void)buf_put_u8(out, (uint8_t)(0x80 | len));
	} else if (len < 65536) {
		(void)buf_put_u8(out, 0x80 | 126);
		(void)buf_put_be16(out, (uint16_t)len);
	} else {
		(void)buf_put_u8(out, 0x80 | 127);
		(void)buf_put_be64(out, len);
	}
	return buf_put(out, mask, 4);
}

void
ws_mask(uint8_t *payload, size_t len, const uint8_t mask[4])
{
	uint64_t wide, x;
	size_t i = 0;

	memcpy(&wide, mask, 4);
	memcpy((uint8_t *)&wide + 4, mask, 4);
	for (; len - i >= 8; i += 8) {
		memcpy(&x, payload + i, 8);
		x ^= wide;
		memcpy(payload + i, &x, 8);
	}
	for (; i < len; i++)
		payload[i] ^= mask[i & 3];
}

int
ws_put(struct buf *out, enum ws_opcode op, const void *payload, size_t len, const uint8_t mask[4])
{
	if (ws_put_header(out, op, len, mask) == -1 || buf_put(out, payload, len) == -1)
		return -1;
	if (len != 0)
		ws_mask(out->data + out->len - len, len, mask);
	return 0;
}

/* ---------------------------------------------------------------- frames in */

static int
broken(struct ws_reader *r, const char *why)
{
	r->error = why;
	return -1;
}

/* How many header bytes the frame has, by its first two. */
static size_t
head_size(const uint8_t *head)
{
	unsigned len = head[1] & 0x7f;

	return len < 126 ? 2 : len == 126 ? 4 : 10;
}

static int
check_length(struct ws_reader *r)
{
	size_t i, n = head_size(r->head);
	uint64_t len = 0;

	if (n == 2) {
		r->left = r->head[1] & 0x7f;
		return 0;
	}
	for (i = 2; i < n; i++)
		len = len << 8 | r->head[i];
	if (len < 126 || (n == 10 && len < 65536))
		return broken(r, "length not in its shortest form");
	if (len > WS_FRAME_MAX)
		return broken(r, "frame too long");
	r->left = len;
	return 0;
}

static int
check_opcode(struct ws_reader *r)
{
	int op = r->head[0] & 0x0f;

	r->final = (r->head[0] & 0x80) != 0;
	r->opcode = op;
	if ((r->head[0] & 0x70) != 0)
		return broken(r, "reserved bits set");
	if ((r->head[1] & 0x80) != 0)
		return broken(r, "masked frame from the server");
	if (op == WS_CLOSE || op == WS_PING || op == WS_PONG) {
		if (!r->final || (r->head[1] & 0x7f) > WS_CONTROL_MAX)
			return broken(r, "control frame fragmented or too long");
		return 0;
	}
	if (op == WS_CONTINUATION)
		return r->message != 0 ? 0 : broken(r, "continuation of nothing");
	if (op != WS_TEXT && op != WS_BINARY)
		return broken(r, "unknown opcode");
	if (r->message != 0)
		return broken(r, "new message within another");
	r->message = op;
	return 0;
}

/* Collects the header. 1 = complete and good, 0 = more needed, -1. */
static int
read_head(struct ws_reader *r, const uint8_t **p, const uint8_t *end)
{
	while (*p < end && (r->nhead < 2 || r->nhead < head_size(r->head))) {
		r->head[r->nhead++] = *(*p)++;
		if (r->nhead == 2 && check_opcode(r) == -1)
			return -1;
	}
	if (r->nhead < 2 || r->nhead < head_size(r->head))
		return 0;
	if (check_length(r) == -1)
		return -1;
	r->in_payload = 1;
	r->ncontrol = 0;
	return 1;
}

static int
take_payload(struct ws_reader *r, const uint8_t *p, size_t n, const struct ws_events *ev, void *arg)
{
	if (r->opcode >= WS_CLOSE) {
		memcpy(r->control + r->ncontrol, p, n);
		r->ncontrol += n;
		return 0;
	}
	if (r->message == WS_TEXT) {
		r->text_bytes += n;
		return 0;
	}
	return n == 0 ? 0 : ev->data(arg, p, n);
}

static int
end_frame(struct ws_reader *r, const struct ws_events *ev, void *arg)
{
	r->in_payload = 0;
	r->nhead = 0;
	if (r->opcode >= WS_CLOSE) {
		if (r->opcode == WS_CLOSE && r->ncontrol == 1)
			return broken(r, "close frame of one byte");
		return ev->control(arg, (enum ws_opcode)r->opcode, r->control, r->ncontrol);
	}
	if (r->final)
		r->message = 0;
	return 0;
}

int
ws_feed(struct ws_reader *r, const uint8_t *data, size_t len, const struct ws_events *ev, void *arg)
{
	const uint8_t *p = data, *end = data + len;

	while (p < end) {
		size_t n;
		int got;

		if (!r->in_payload) {
			if ((got = read_head(r, &p, end)) != 1)
				return got;
		}
		n = (size_t)(end - p);
		if (n > r->left)
			n = (size_t)r->left;
		if (n != 0 && take_payload(r, p, n, ev, arg) == -1)
			return -1;
		p += n;
		r->left -= n;
		if (r->left == 0 && end_frame(r, ev, arg) == -1)
			return -1;
	}
	return 0;
}
