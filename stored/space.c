/* The free space of the data folder's disk. */
#include "stored/space.h"

#include <sys/statvfs.h>

#include "common/log.h"

#define EVERY_MS 5000
#define FLOOR    (1024 * 1024) /* with less no unit of work is sure to fit */

static uint64_t
free_bytes(void)
{
	struct statvfs v;

	if (statvfs(".", &v) == -1) {
		static struct log_limit limit = LOG_LIMIT_INIT;

		if (log_allowed(&limit))
			log_warn("free space of the data folder");
		return UINT64_MAX; /* unknown: not called low */
	}
	return (uint64_t)v.f_bavail * v.f_frsize;
}

void
space_check(struct store *s, int now)
{
	uint64_t enough =
	    s->options.min_free > FLOOR ? (uint64_t)s->options.min_free : (uint64_t)FLOOR;
	int low;

	if (!now && s->space_checked_ms != 0 && s->mono() - s->space_checked_ms < EVERY_MS)
		return;
	s->space_checked_ms = s->mono();
	s->free_bytes = free_bytes();
	/* a little more to get out of it than into it, so that it does not flutter */
	low = s->free_bytes < (s->disk_low ? enough + enough / 8 : enough);
	if (low == s->disk_low)
		return;
	s->disk_low = low;
	if (low)
		log_warnx("disk low: %llu MiB free in the data folder, wanted are %llu MiB",
		    (unsigned long long)(s->free_bytes >> 20), (unsigned long long)(enough >> 20));
	else
		log_notice("disk: enough space again");
	store_tell_state(s);
}
