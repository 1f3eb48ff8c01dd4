/* Whether the wall clock can be believed when things are let go by their age. */
#ifndef WARD_STORED_WALLCLOCK_H
#define WARD_STORED_WALLCLOCK_H

#include <stdint.h>

#define WALLCLOCK_JUMP_MS INT64_C(86400000) /* more than this is a jump */
#define WALLCLOCK_HOLD_MS INT64_C(86400000) /* after which a jump is believed */

struct wallclock {
	int64_t offset_ms; /* wall minus monotonic, as it was believed last */
	int64_t since_ms;  /* monotonic time of the first look at a jump */
	int started, held;
};

/* newest_ms: wall time of the newest thing that was kept, 0 if there is none. A start more than a
 * day off it is a jump too: the service may have been off that long, or the clock is wrong. */
void wallclock_start(struct wallclock *w, int64_t mono_ms, int64_t wall_ms, int64_t newest_ms);
/* 1: ages can be told. 0: the wall clock has jumped by more than a day, either way, since it was
 * believed last; nothing may be let go by age. It is believed again when it has come back, or when
 * it has stood by the new time for a day. Both changes are logged. */
int wallclock_look(struct wallclock *w, int64_t mono_ms, int64_t wall_ms);

#endif
