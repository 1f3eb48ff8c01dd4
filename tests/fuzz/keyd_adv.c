/* Fuzz: the container of pair-success, with its MAC as it came and made right, and others' device
 * identities. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/pb.h"
#include "common/proto/adv.pb-c.h"
#include "keyd/adv.h"
#include "keyd/core.h"
#include "keyd/crypto.h"
#include "keyd/curve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const uint8_t secret[32] = {1}, priv[32] = {8, [31] = 64};
static uint8_t pub[32];

static void
open_bytes(const uint8_t *data, size_t len)
{
	const struct adv_self self = {secret, priv, pub};
	struct adv_link l;

	memset(&l, 0, sizeof(l));
	/* no fuzzer makes a good signature */
	if (adv_open_container(&self, data, len, &l) == ADV_OK)
		abort();
	adv_link_clear(&l);
}

/* The input as the details of a container whose MAC is right: what is behind the MAC is reached
 * too. */
static void
open_behind_mac(const uint8_t *data, size_t len)
{
	Adv__ADVSignedDeviceIdentityHMAC c = ADV__ADVSIGNED_DEVICE_IDENTITY_HMAC__INIT;
	const struct crypto_part part = {data, len};
	uint8_t mac[32], *packed;
	size_t n;

	crypto_hmac256(secret, 32, &part, 1, mac);
	c.has_details = c.has_hmac = 1;
	c.details.data = (uint8_t *)(uintptr_t)data;
	c.details.len = len;
	c.hmac.data = mac;
	c.hmac.len = 32;
	packed = pb_pack(&c.base, &n);
	open_bytes(packed, n);
	free(packed);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (pub[0] == 0) {
		(void)core_warm_up();
		curve_public(priv, pub);
	}
	open_bytes(data, len);
	open_behind_mac(data, len);
	for (int i = 0; i < 2; i++) {
		enum adv_check c = adv_check_device(data, len, pub, i == 0 ? NULL : pub);

		if (c == ADV_VALID || c == ADV_OTHER)
			abort();
	}
	return 0;
}
