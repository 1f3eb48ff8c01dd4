/* Fuzz: the server's hello after an XX and after an IK hello, its certificate chain, and the record
 * of a chain. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "keyd/core.h"
#include "keyd/curve.h"
#include "keyd/noise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct noise_hello hellos[2];
static uint8_t s_pub[32];

static void
begin(const uint8_t e_priv[32], const uint8_t s_priv[32])
{
	struct noise_ik ik = {
	    .s_priv = s_priv, .s_pub = s_pub, .rs = s_pub, .payload = s_priv, .payload_len = 32};
	struct buf out = BUF_INIT;

	(void)core_warm_up();
	curve_public(s_priv, s_pub);
	if (noise_begin(&hellos[0], e_priv, NULL, &out) == -1 ||
	    noise_begin(&hellos[1], e_priv, &ik, &out) == -1)
		abort();
	buf_clear(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t e_priv[32] = {1}, s_priv[32] = {2};
	struct noise_finish_in in = {.s_priv = s_priv,
	    .s_pub = s_pub,
	    .root = noise_root_key,
	    .now = 1800000000,
	    .payload = s_priv,
	    .payload_len = 32};
	struct buf out = BUF_INIT;
	struct noise_hello hello;
	struct noise_chain chain;
	struct buf record = BUF_INIT;
	uint8_t tx[32], rx[32];
	int i;

	if (s_pub[0] == 0)
		begin(e_priv, s_priv);
	in.server_hello = data;
	in.server_hello_len = len;
	/* nothing that a fuzzer makes is signed by the real root, nor encrypted to this key */
	for (i = 0; i < 2; i++) {
		hello = hellos[i];
		if (noise_finish(&hello, &in, &out, tx, rx, &chain) == NULL || chain.to != 0)
			abort();
	}
	if (noise_check_chain(data, len, s_pub, noise_root_key, in.now, &chain) == NULL)
		abort();
	if (noise_chain_decode(&chain, data, len) == 0) {
		if (noise_chain_encode(&chain, &record) == -1 || record.len != len ||
		    memcmp(record.data, data, len) != 0)
			abort();
		buf_clear(&record);
	}
	buf_clear(&out);
	return 0;
}
