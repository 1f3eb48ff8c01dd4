/* Whether the wall clock can be believed: its progress is held against the monotonic clock. */
#include "stored/wallclock.h"

#include "common/log.h"

void
wallclock_start(struct wallclock *w, int64_t mono_ms, int64_t wall_ms, int64_t newest_ms)
{
	w->offset_ms = (newest_ms > 0 ? newest_ms : wall_ms) - mono_ms;
	w->started = 1;
	w->held = 0;
}

int
wallclock_look(struct wallclock *w, int64_t mono_ms, int64_t wall_ms)
{
	int64_t offset = wall_ms - mono_ms, jump;

	if (!w->started)
		wallclock_start(w, mono_ms, wall_ms, 0);
	jump = offset - w->offset_ms;
	if (jump <= WALLCLOCK_JUMP_MS && jump >= -WALLCLOCK_JUMP_MS) {
		if (w->held)
			log_notice("the wall clock is back: retention goes on");
		w->held = 0;
		w->offset_ms = offset; /* follows what is put right a little at a time */
		return 1;
	}
	if (!w->held) {
		w->held = 1;
		w->since_ms = mono_ms;
		log_warnx("the wall clock is %lld hours %s of what was expected: nothing is let go "
			  "by its age until it is back, or for a day; check the clock",
		    (long long)((jump < 0 ? -jump : jump) / 3600000),
		    jump < 0 ? "behind" : "ahead");
		return 0;
	}
	if (mono_ms - w->since_ms < WALLCLOCK_HOLD_MS)
		return 0;
	log_notice("the wall clock has stood by its new time for a day: retention goes on by it");
	w->held = 0;
	w->offset_ms = offset;
	return 1;
}
