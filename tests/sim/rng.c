/* Every random choice of the simulator, from one seed: a ChaCha20 key stream. */
#include <string.h>

#include <sodium.h>

#include "tests/sim/rng.h"

#define BLOCK 4096

static struct {
	uint8_t key[crypto_stream_chacha20_KEYBYTES];
	uint8_t block[BLOCK];
	size_t left;
	uint64_t counter;
	uint8_t injected[256];
	size_t ninjected, injected_pos;
} rng;

void
rng_seed(uint64_t seed)
{
	uint8_t label[16] = "ward-sim";

	for (int i = 0; i < 8; i++)
		label[8 + i] = (uint8_t)(seed >> (8 * (7 - i)));
	memset(&rng, 0, sizeof(rng));
	crypto_hash_sha256(rng.key, label, sizeof(label));
}

static void
refill(void)
{
	uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];

	for (size_t i = 0; i < sizeof(nonce); i++)
		nonce[i] = (uint8_t)(rng.counter >> (8 * i));
	rng.counter++;
	crypto_stream_chacha20(rng.block, sizeof(rng.block), nonce, rng.key);
	rng.left = BLOCK;
}

void
rng_bytes(void *out, size_t len)
{
	uint8_t *p = out;

	while (len > 0) {
		size_t n;

		if (rng.injected_pos < rng.ninjected) {
			*p++ = rng.injected[rng.injected_pos++];
			len--;
			continue;
		}
		if (rng.left == 0)
			refill();
		n = len < rng.left ? len : rng.left;
		memcpy(p, rng.block + BLOCK - rng.left, n);
		rng.left -= n;
		p += n;
		len -= n;
	}
}

uint32_t
rng_u32(void)
{
	uint32_t v;

	rng_bytes(&v, sizeof(v));
	return v;
}

uint32_t
rng_below(uint32_t bound)
{
	return (uint32_t)(((uint64_t)rng_u32() * bound) >> 32);
}

void
rng_inject(const void *bytes, size_t len)
{
	if (len > sizeof(rng.injected))
		len = sizeof(rng.injected);
	memcpy(rng.injected, bytes, len);
	rng.ninjected = len;
	rng.injected_pos = 0;
}
