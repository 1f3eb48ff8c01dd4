/* Every random choice of the simulator, from one seed. */
#ifndef SIM_RNG_H
#define SIM_RNG_H

#include <stddef.h>
#include <stdint.h>

void rng_seed(uint64_t seed);
void rng_bytes(void *out, size_t len);
uint32_t rng_u32(void);
uint32_t rng_below(uint32_t bound); /* 0 .. bound - 1; bound > 0 */
/* The next `len` bytes that rng_bytes will give (copied, at most 256): worked examples need them.
 */
void rng_inject(const void *bytes, size_t len);

#endif
