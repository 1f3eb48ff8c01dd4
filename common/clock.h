/* Time: one place that asks the kernel. */
#ifndef WARD_CLOCK_H
#define WARD_CLOCK_H

#include <stdint.h>

int64_t clock_mono_ms(void); /* monotonic, for deadlines */
int64_t clock_mono_us(void); /* the same, finer */
int64_t clock_wall_ms(void); /* milliseconds since the epoch, UTC */

#endif
