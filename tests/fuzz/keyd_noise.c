/* Fuzz: the server's hello and its certificate chain. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "keyd/core.h"
#include "keyd/curve.h"
#include "keyd/noise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t e_priv[32] = {1}, s_priv[32] = {2};
	static struct noise_hello hello;
	static uint8_t s_pub[32];
	struct noise_finish_in in = {.s_priv = s_priv,
	    .s_pub = s_pub,
	    .root = noise_root_key,
	    .now = 1800000000,
	    .payload = s_priv,
	    .payload_len = 32};
	struct buf out = BUF_INIT;
	uint8_t tx[32], rx[32];

	if (s_pub[0] == 0) {
		(void)core_warm_up();
		curve_public(s_priv, s_pub);
		(void)noise_begin(&hello, e_priv, &out);
		buf_clear(&out);
	}
	in.server_hello = data;
	in.server_hello_len = len;
	/* nothing that a fuzzer makes is signed by the real root, nor encrypted to this key */
	if (noise_finish(&hello, &in, &out, tx, rx) == NULL)
		abort();
	if (noise_check_chain(data, len, s_pub, noise_root_key, in.now) == NULL)
		abort();
	buf_clear(&out);
	return 0;
}
