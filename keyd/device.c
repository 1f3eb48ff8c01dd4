/* The device record of an account: all of its own long-term secrets, and how it is written down. */
#include <string.h>

#include <sodium.h>

#include "keyd/device.h"

#define DEVICE_VERSION 1

int
device_encode(const struct device *d, struct buf *out)
{
	buf_put_u8(out, DEVICE_VERSION);
	buf_put_be32(out, d->generation);
	buf_put_be32(out, d->registration_id);
	buf_put(out, d->noise_priv, 32);
	buf_put(out, d->noise_pub, 32);
	buf_put(out, d->identity_priv, 32);
	buf_put(out, d->identity_pub, 32);
	buf_put_be32(out, d->skey_id);
	buf_put(out, d->skey_pub, 32);
	buf_put(out, d->skey_sig, 64);
	buf_put(out, d->adv_secret, 32);
	buf_put_u8(out, d->linked ? 1 : 0);
	if (d->linked) {
		buf_put_u8(out, (uint8_t)strlen(d->jid));
		buf_put_str(out, d->jid);
		buf_put_u8(out, (uint8_t)strlen(d->lid));
		buf_put_str(out, d->lid);
		buf_put(out, d->account_key, 32);
		buf_put_be32(out, d->key_index);
		buf_put_be16(out, (uint16_t)d->device_identity_len);
		buf_put(out, d->device_identity, d->device_identity_len);
	}
	return out->failed ? -1 : 0;
}

struct reader {
	const uint8_t *at;
	size_t left;
	int bad; /* sticky: something did not fit */
};

static void
take(struct reader *r, void *to, size_t len)
{
	if (r->bad || len > r->left) {
		r->bad = 1;
		return;
	}
	memcpy(to, r->at, len);
	r->at += len;
	r->left -= len;
}

static uint32_t
take_uint(struct reader *r, size_t len)
{
	uint8_t b[4] = {0};

	take(r, b + sizeof(b) - len, len);
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void
take_text(struct reader *r, char *to, size_t size)
{
	uint32_t len = take_uint(r, 1);

	if (len >= size)
		r->bad = 1;
	else
		take(r, to, len); /* the struct was zeroed: terminated */
	if (strlen(to) != len)
		r->bad = 1;
}

int
device_decode(struct device *d, const uint8_t *bytes, size_t len)
{
	struct reader r = {bytes, len, 0};
	uint32_t linked;

	sodium_memzero(d, sizeof(*d));
	if (take_uint(&r, 1) != DEVICE_VERSION)
		return -1;
	d->generation = take_uint(&r, 4);
	d->registration_id = take_uint(&r, 4);
	take(&r, d->noise_priv, 32);
	take(&r, d->noise_pub, 32);
	take(&r, d->identity_priv, 32);
	take(&r, d->identity_pub, 32);
	d->skey_id = take_uint(&r, 4);
	take(&r, d->skey_pub, 32);
	take(&r, d->skey_sig, 64);
	take(&r, d->adv_secret, 32);
	linked = take_uint(&r, 1);
	if (linked == 1) {
		d->linked = 1;
		take_text(&r, d->jid, sizeof(d->jid));
		take_text(&r, d->lid, sizeof(d->lid));
		take(&r, d->account_key, 32);
		d->key_index = take_uint(&r, 4);
		d->device_identity_len = take_uint(&r, 2);
		if (d->device_identity_len > sizeof(d->device_identity))
			r.bad = 1;
		else
			take(&r, d->device_identity, d->device_identity_len);
	}
	if (r.bad || r.left != 0 || linked > 1 || d->generation == 0) {
		sodium_memzero(d, sizeof(*d));
		return -1;
	}
	return 0;
}
