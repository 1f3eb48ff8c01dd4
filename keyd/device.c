/* The device record of an account: all of its own long-term secrets, and how it is written down. */
#include <string.h>

#include <sodium.h>

#include "keyd/device.h"

#define DEVICE_VERSION 1

/* One walk over the record writes it or reads it, so that both are the same. */
struct walk {
	struct buf *out;   /* write to it, or NULL: read */
	const uint8_t *at; /* read from here */
	size_t left;
	int bad; /* sticky: something did not fit */
};

static void
bytes(struct walk *w, void *field, size_t len)
{
	if (w->out != NULL) {
		w->bad |= buf_put(w->out, field, len) == -1;
	} else if (w->bad || len > w->left) {
		w->bad = 1;
	} else {
		memcpy(field, w->at, len);
		w->at += len;
		w->left -= len;
	}
}

/* The low `size` bytes of a number, big-endian. */
static uint32_t
number(struct walk *w, uint32_t v, size_t size)
{
	uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

	bytes(w, b + sizeof(b) - size, size);
	return buf_be32(b);
}

/* A length and the bytes. Returns the length, 0 if it is not below `end`. */
static uint32_t
sized(struct walk *w, void *field, size_t len, size_t size, size_t end)
{
	uint32_t n = number(w, (uint32_t)len, size);

	if (n >= end) {
		w->bad = 1;
		return 0;
	}
	bytes(w, field, n);
	return n;
}

static void
text(struct walk *w, char *field)
{
	size_t len = sized(w, field, strlen(field), 1, JID_TEXT_MAX);

	w->bad |= strlen(field) != len; /* to read, the struct was zeroed: terminated */
}

static void
walk(struct walk *w, struct device *d)
{
	uint32_t kind = d->linked ? 1 : d->has_pending ? 2 : 0;

	if (number(w, DEVICE_VERSION, 1) != DEVICE_VERSION)
		w->bad = 1;
	d->generation = number(w, d->generation, 4);
	d->registration_id = number(w, d->registration_id, 4);
	bytes(w, d->noise_priv, 32);
	bytes(w, d->noise_pub, 32);
	bytes(w, d->identity_priv, 32);
	bytes(w, d->identity_pub, 32);
	d->skey_id = number(w, d->skey_id, 4);
	bytes(w, d->skey_pub, 32);
	bytes(w, d->skey_sig, 64);
	bytes(w, d->adv_secret, 32);
	kind = number(w, kind, 1);
	d->linked = kind == 1;
	d->has_pending = kind == 2;
	w->bad |= kind > 2 || d->generation == 0;
	if (d->has_pending)
		bytes(w, d->adv_pending, 32);
	if (!d->linked)
		return;
	text(w, d->jid);
	text(w, d->lid);
	bytes(w, d->account_key, 32);
	d->key_index = number(w, d->key_index, 4);
	d->device_identity_len =
	    sized(w, d->device_identity, d->device_identity_len, 2, DEVICE_IDENTITY_MAX + 1);
}

int
device_encode(struct device *d, struct buf *out)
{
	struct walk w = {.out = out};

	walk(&w, d);
	return w.bad ? -1 : 0;
}

int
device_decode(struct device *d, const uint8_t *record, size_t len)
{
	struct walk w = {.at = record, .left = len};

	sodium_memzero(d, sizeof(*d));
	walk(&w, d);
	if (!w.bad && w.left == 0)
		return 0;
	sodium_memzero(d, sizeof(*d));
	return -1;
}
