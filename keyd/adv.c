/* ADV, the signed device identity: our own at pairing, those of others in bundles (protocol page
 * 03, 2 and 4). */
#include <string.h>

#include <sodium.h>

#include "common/pb.h"
#include "common/proto/adv.pb-c.h"
#include "keyd/adv.h"
#include "keyd/crypto.h"
#include "keyd/curve.h"

#define BUDGET (64u * 1024) /* unpacking one container */

/* What each signature begins with (page 03, 2). */
static const uint8_t account_e2ee[2] = {6, 0}, account_hosted[2] = {6, 5};
static const uint8_t device_e2ee[2] = {6, 1}, device_hosted[2] = {6, 6};

/* prefix, details, device identity and, for a device signature, the account key */
static int
signed_bytes(const uint8_t prefix[2], const ProtobufCBinaryData *details,
    const uint8_t identity[32], const uint8_t *account_key, struct buf *out)
{
	buf_put(out, prefix, 2);
	buf_put(out, details->data, details->len);
	buf_put(out, identity, 32);
	if (account_key != NULL)
		buf_put(out, account_key, 32);
	return out->failed ? -1 : 0;
}

static int
verify(const uint8_t key[32], const ProtobufCBinaryData *sig, const uint8_t prefix[2],
    const ProtobufCBinaryData *details, const uint8_t identity[32], const uint8_t *account_key)
{
	struct buf msg = BUF_INIT;
	int good = 0;

	if (sig->len == 64 && signed_bytes(prefix, details, identity, account_key, &msg) == 0)
		good = curve_check(key, msg.data, msg.len, sig->data);
	buf_clear(&msg);
	return good;
}

static int
hmac_matches(const Adv__ADVSignedDeviceIdentityHMAC *c, const uint8_t secret[32])
{
	const int hosted = c->account_type == ADV__ADVENCRYPTION_TYPE__HOSTED;
	const struct crypto_part parts[2] = {
	    {account_hosted, hosted ? 2 : 0}, {c->details.data, c->details.len}};
	uint8_t mac[32];
	int same;

	if (c->hmac.len != 32)
		return 0;
	crypto_hmac256(secret, 32, parts, 2, mac);
	same = sodium_memcmp(mac, c->hmac.data, 32) == 0;
	sodium_memzero(mac, sizeof(mac));
	return same;
}

/* Our own signature, and both forms of the result. */
static enum adv_outcome
make_link(const struct adv_self *self, Adv__ADVSignedDeviceIdentity *si, struct adv_link *out)
{
	struct buf msg = BUF_INIT;
	uint8_t sig[64];
	int ok;

	/* a companion of a hosted account is itself E2EE: 06 01 always */
	ok = signed_bytes(device_e2ee, &si->details, self->identity_pub,
		 si->account_signature_key.data, &msg) == 0 &&
	     curve_sign(self->identity_priv, msg.data, msg.len, sig) == 0;
	buf_clear(&msg);
	if (!ok)
		return ADV_BAD_FORMAT;
	memcpy(out->account_key, si->account_signature_key.data, 32);
	si->has_device_signature = 1;
	si->device_signature = pb_bytes(sig, sizeof(sig));
	ok = pb_put(&si->base, &out->complete) == 0;
	si->has_account_signature_key = 0;
	return ok && pb_put(&si->base, &out->answer) == 0 ? ADV_OK : ADV_BAD_FORMAT;
}

static enum adv_outcome
open_container(const struct adv_self *self, const uint8_t *container, size_t len,
    struct adv_link *out, struct pb_arena *a)
{
	const Adv__ADVSignedDeviceIdentityHMAC *c;
	Adv__ADVSignedDeviceIdentity *si;
	const Adv__ADVDeviceIdentity *di;
	int hosted;

	c = pb_unpack(&adv__advsigned_device_identity_hmac__descriptor, container, len, a, 0, NULL);
	if (c == NULL || !c->has_details)
		return ADV_BAD_FORMAT;
	if (!hmac_matches(c, self->adv_secret))
		return ADV_BAD_HMAC;
	si = pb_unpack(&adv__advsigned_device_identity__descriptor, c->details.data, c->details.len,
	    a, 0, NULL);
	if (si == NULL || !si->has_details)
		return ADV_BAD_FORMAT;
	di = pb_unpack(
	    &adv__advdevice_identity__descriptor, si->details.data, si->details.len, a, 0, NULL);
	if (di == NULL || di->key_index == 0) /* 0 is the phone's own */
		return ADV_BAD_FORMAT;
	if (si->account_signature_key.len != 32 || si->account_signature.len != 64)
		return ADV_BAD_SIGNATURE;
	hosted = di->device_type == ADV__ADVENCRYPTION_TYPE__HOSTED;
	if (!verify(si->account_signature_key.data, &si->account_signature,
		hosted ? account_hosted : account_e2ee, &si->details, self->identity_pub, NULL))
		return ADV_BAD_SIGNATURE;
	out->key_index = di->key_index;
	return make_link(self, si, out);
}

enum adv_outcome
adv_open_container(
    const struct adv_self *self, const uint8_t *container, size_t len, struct adv_link *out)
{
	struct pb_arena *a;
	enum adv_outcome o;

	if (len == 0 || len > ADV_CONTAINER_MAX || (a = pb_arena_new(BUDGET)) == NULL)
		return ADV_BAD_FORMAT;
	o = open_container(self, container, len, out, a);
	pb_arena_free(a);
	return o;
}

void
adv_link_clear(struct adv_link *l)
{
	buf_clear(&l->complete);
	buf_clear(&l->answer);
}

static enum adv_check
check_device(const uint8_t *bytes, size_t len, const uint8_t device[32],
    const uint8_t *stored_account, struct pb_arena *a)
{
	const Adv__ADVSignedDeviceIdentity *si;
	const uint8_t *account = stored_account;
	enum adv_check good = ADV_VALID;

	si = pb_unpack(&adv__advsigned_device_identity__descriptor, bytes, len, a, 0, NULL);
	if (si == NULL || !si->has_details)
		return ADV_INVALID;
	if (si->has_account_signature_key && si->account_signature_key.len > 0) {
		if (si->account_signature_key.len != 32)
			return ADV_INVALID;
		account = si->account_signature_key.data;
		if (stored_account == NULL || memcmp(account, stored_account, 32) != 0)
			good = ADV_OTHER;
	}
	if (account == NULL)
		return ADV_NO_KEY;
	/* both signatures must hold within one family */
	if (verify(account, &si->account_signature, account_e2ee, &si->details, device, NULL) &&
	    verify(device, &si->device_signature, device_e2ee, &si->details, device, account))
		return good;
	if (verify(account, &si->account_signature, account_hosted, &si->details, device, NULL) &&
	    verify(device, &si->device_signature, device_hosted, &si->details, device, account))
		return good;
	return ADV_INVALID;
}

enum adv_check
adv_check_device(
    const uint8_t *bytes, size_t len, const uint8_t device[32], const uint8_t *stored_account)
{
	struct pb_arena *a = pb_arena_new(BUDGET);
	enum adv_check c;

	if (a == NULL)
		return ADV_INVALID;
	c = check_device(bytes, len, device, stored_account, a);
	pb_arena_free(a);
	return c;
}
