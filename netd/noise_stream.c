/* The stream of Noise frames: intro, lengths, reassembly, traffic encryption. */
#include <string.h>

#include "netd/noise_stream.h"

#define HEADER     3
#define IN_MAX     (HEADER + NOISE_FRAME_MAX + 256u * 1024) /* a frame, or what came while held */
#define INTRO      "WA\x06\x03" /* magic, protocol 6, token dictionary 3 */
#define PRE_INTRO  "ED\x00\x01"
#define INTRO_SIZE 4

void
noise_init(struct noise_stream *s, int (*frame)(void *, const uint8_t *, size_t), void *arg)
{
	memset(s, 0, sizeof(*s));
	s->limit = NOISE_EARLY_MAX;
	s->in.max = IN_MAX;
	s->frame = frame;
	s->arg = arg;
}

void
noise_clear(struct noise_stream *s)
{
	/* freeing a context wipes its key schedule */
	EVP_CIPHER_CTX_free(s->tx);
	EVP_CIPHER_CTX_free(s->rx);
	buf_clear(&s->in);
	buf_clear(&s->plain);
	explicit_bzero(s, sizeof(*s));
}

int
noise_put_plain(struct buf *out, const void *data, size_t len)
{
	if (len == 0 || len > NOISE_FRAME_MAX || buf_put_be24(out, (uint32_t)len) == -1)
		return -1;
	return buf_put(out, data, len);
}

int
noise_put_hello(
    struct buf *out, const void *routing, size_t nrouting, const void *hello, size_t len)
{
	if (nrouting != 0 && nrouting <= NOISE_ROUTING_MAX) {
		(void)buf_put(out, PRE_INTRO, INTRO_SIZE);
		(void)buf_put_be24(out, (uint32_t)nrouting);
		(void)buf_put(out, routing, nrouting);
	}
	(void)buf_put(out, INTRO, INTRO_SIZE);
	return noise_put_plain(out, hello, len);
}

static void
nonce(uint8_t iv[12], uint32_t n)
{
	memset(iv, 0, 8);
	iv[8] = (uint8_t)(n >> 24);
	iv[9] = (uint8_t)(n >> 16);
	iv[10] = (uint8_t)(n >> 8);
	iv[11] = (uint8_t)n;
}

int
noise_seal(struct noise_stream *s, const void *data, size_t len, struct buf *out)
{
	size_t start = out->len;
	uint8_t iv[12], *to;
	int n = 0, end = 0;

	if (s->tx == NULL || len == 0 || len > NOISE_FRAME_MAX - NOISE_TAG || s->tx_n == UINT32_MAX)
		return -1;
	if (buf_put_be24(out, (uint32_t)(len + NOISE_TAG)) == -1 ||
	    (to = buf_reserve(out, len + NOISE_TAG)) == NULL)
		goto fail;
	/* the counter is used up when the ciphertext exists, whether or not it can be written */
	nonce(iv, s->tx_n++);
	if (EVP_EncryptInit_ex(s->tx, NULL, NULL, NULL, iv) == 1 &&
	    EVP_EncryptUpdate(s->tx, to, &n, data, (int)len) == 1 && (size_t)n == len &&
	    EVP_EncryptFinal_ex(s->tx, to + n, &end) == 1 && end == 0 &&
	    EVP_CIPHER_CTX_ctrl(s->tx, EVP_CTRL_AEAD_GET_TAG, NOISE_TAG, to + len) == 1)
		return 0;
fail:
	if (out->len > start)
		out->len = start;
	return -1;
}

static int
broken(struct noise_stream *s, const char *why)
{
	s->error = why;
	return -1;
}

/* One ciphertext to s->plain. */
static int
open_frame(struct noise_stream *s, const uint8_t *data, size_t len)
{
	size_t body = len - NOISE_TAG;
	uint8_t iv[12], tag[NOISE_TAG], *to;
	int n = 0, end = 0;

	buf_reset(&s->plain);
	if (s->rx_n == UINT32_MAX)
		return broken(s, "counter used up");
	if ((to = buf_reserve(&s->plain, body)) == NULL)
		return broken(s, "out of memory");
	memcpy(tag, data + body, NOISE_TAG);
	nonce(iv, s->rx_n);
	if (EVP_DecryptInit_ex(s->rx, NULL, NULL, NULL, iv) != 1 ||
	    EVP_DecryptUpdate(s->rx, to, &n, data, (int)body) != 1 || (size_t)n != body ||
	    EVP_CIPHER_CTX_ctrl(s->rx, EVP_CTRL_AEAD_SET_TAG, NOISE_TAG, tag) != 1 ||
	    EVP_DecryptFinal_ex(s->rx, to + n, &end) != 1) {
		buf_reset(&s->plain);
		return broken(s, "frame does not authenticate");
	}
	s->rx_n++;
	return 0;
}

static int
deliver(struct noise_stream *s, const uint8_t *data, size_t len)
{
	if (s->mode == NOISE_HANDSHAKE) {
		s->held = 1;
		return s->frame(s->arg, data, len);
	}
	if (open_frame(s, data, len) == -1)
		return -1;
	return s->frame(s->arg, s->plain.data, s->plain.len);
}

/* The length in a header, checked. 0: refused, s->error says why; or the stream is held now. */
static size_t
frame_length(struct noise_stream *s, const uint8_t *h)
{
	size_t len = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];

	if (len == 0 || (s->mode == NOISE_TRAFFIC && len <= NOISE_TAG)) {
		s->error = "frame too short";
		return 0;
	}
	if (len <= s->limit)
		return len;
	if (s->mode == NOISE_HANDSHAKE)
		s->error = "frame too long for a handshake";
	else
		s->held = 1;
	return 0;
}

/* Adds to the incomplete frame what it lacks; delivers it when it is whole. Returns the bytes
 * taken, or SIZE_MAX: failed. */
static size_t
complete(struct noise_stream *s, const uint8_t *data, size_t len)
{
	size_t want = HEADER, taken = 0, n;

	for (;;) {
		if (s->in.len >= HEADER) {
			size_t payload = frame_length(s, s->in.data);

			if (payload == 0)
				return s->held ? taken : SIZE_MAX;
			want = HEADER + payload;
			if (s->in.len == want)
				break;
		}
		n = want - s->in.len;
		if (n > len - taken)
			n = len - taken;
		if (n == 0)
			return taken;
		if (buf_put(&s->in, data + taken, n) == -1) {
			s->error = "out of memory";
			return SIZE_MAX;
		}
		taken += n;
	}
	n = s->in.len - HEADER;
	if (deliver(s, s->in.data + HEADER, n) == -1)
		return SIZE_MAX;
	buf_reset(&s->in);
	return taken;
}

static int
keep(struct noise_stream *s, const uint8_t *data, size_t len)
{
	if (len == 0)
		return 0;
	if (s->mode == NOISE_HANDSHAKE && s->held && s->in.len + len > NOISE_EARLY_MAX)
		return broken(s, "too much before the handshake is over");
	return buf_put(&s->in, data, len) == 0 ? 0 : broken(s, "too much while held");
}

int
noise_feed(struct noise_stream *s, const uint8_t *data, size_t len)
{
	s->error = NULL;
	while (!s->held && len > 0) {
		size_t n;

		if (s->in.len != 0 || len < HEADER) {
			if ((n = complete(s, data, len)) == SIZE_MAX)
				return -1;
		} else {
			/* whole frames are taken from where they lie */
			n = frame_length(s, data);
			if (n == 0) {
				if (s->error != NULL)
					return -1;
				break;
			}
			n += HEADER;
			if (n > len) {
				if (keep(s, data, len) == -1)
					return -1;
				return 0;
			}
			if (deliver(s, data + HEADER, n - HEADER) == -1)
				return -1;
		}
		data += n;
		len -= n;
	}
	return keep(s, data, len);
}

int
noise_go_on(struct noise_stream *s, size_t limit)
{
	struct buf kept = s->in;
	int r;

	s->limit = limit;
	s->held = 0;
	memset(&s->in, 0, sizeof(s->in));
	s->in.max = IN_MAX;
	r = noise_feed(s, kept.data, kept.len);
	buf_clear(&kept);
	return r;
}

int
noise_set_keys(struct noise_stream *s, const uint8_t tx[NOISE_KEY], const uint8_t rx[NOISE_KEY])
{
	s->tx = EVP_CIPHER_CTX_new();
	s->rx = EVP_CIPHER_CTX_new();
	s->tx_n = s->rx_n = 0;
	s->error = NULL;
	if (s->tx == NULL || s->rx == NULL ||
	    EVP_EncryptInit_ex(s->tx, EVP_aes_256_gcm(), NULL, tx, NULL) != 1 ||
	    EVP_DecryptInit_ex(s->rx, EVP_aes_256_gcm(), NULL, rx, NULL) != 1)
		return broken(s, "no AES-256-GCM");
	s->mode = NOISE_TRAFFIC;
	return noise_go_on(s, s->limit);
}
