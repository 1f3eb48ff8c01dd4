/* Checkpoints in portions: which frames of a log stand in the file already. */
#include "stored/sqlcipher/portion.h"

#include <stdlib.h>
#include <string.h>

#include <sqlcipher/sqlite3.h>

/* How a write-ahead log lies on the disk (sqlite.org/fileformat2, 4.1). */
#define LOG_HEADER   32
#define FRAME_HEADER 24
#define PAGE         4096
#define FRAME        (FRAME_HEADER + PAGE)

#define NO_FRAME SIZE_MAX

/* The checkpoint that runs; there is one thread. */
static struct {
	int on;
	size_t left; /* pages that it may still write */
	/* the last read, which is the page that it writes next */
	struct portion_log *log;
	size_t frame;
	int known; /* stands in the file: leave it out */
} now;

static int
is_written(const struct portion_log *l, size_t frame)
{
	return frame / 8 < l->len && (l->written[frame / 8] >> frame % 8 & 1);
}

/* Out of memory: it will be written again. */
static void
set_written(struct portion_log *l, size_t frame)
{
	size_t len = frame / 8 + 1;
	uint8_t *p;

	if (len > l->len) {
		len = (len + 511) / 512 * 512;
		if ((p = realloc(l->written, len)) == NULL)
			return;
		memset(p + l->len, 0, len - l->len);
		l->written = p;
		l->len = len;
	}
	l->written[frame / 8] |= (uint8_t)(1u << frame % 8);
}

/* ---------------------------------------------------------------- a checkpoint */

void
portion_begin(size_t pages)
{
	now.on = 1;
	now.left = pages;
	now.log = NULL;
	now.known = 0;
}

void
portion_end(int on_disk)
{
	if (!on_disk && now.log != NULL)
		portion_forget(now.log);
	now.on = 0;
	now.log = NULL;
}

/* The frame whose page lies there; NO_FRAME: it is no page of one. */
static size_t
frame_at(int64_t offset, int len)
{
	offset -= LOG_HEADER + FRAME_HEADER;
	return len == PAGE && offset >= 0 && offset % FRAME == 0 ? (size_t)(offset / FRAME)
								 : NO_FRAME;
}

int
portion_read(struct portion_log *l, int64_t offset, int len)
{
	if (!now.on)
		return 0;
	now.log = l;
	now.frame = frame_at(offset, len);
	now.known = now.frame != NO_FRAME && is_written(l, now.frame);
	return now.known;
}

int
portion_write(int *leave_out)
{
	*leave_out = 0;
	if (!now.on)
		return SQLITE_OK;
	if (now.known) {
		now.known = 0;
		*leave_out = 1;
		return SQLITE_OK;
	}
	if (now.left == 0)
		return SQLITE_INTERRUPT;
	now.left--;
	return SQLITE_OK;
}

void
portion_wrote(void)
{
	if (now.on && now.log != NULL && now.frame != NO_FRAME)
		set_written(now.log, now.frame);
}

/* ---------------------------------------------------------------- the log */

void
portion_log_changed(struct portion_log *l, int64_t offset, int64_t len)
{
	int64_t first = (offset - LOG_HEADER) / FRAME,
		last = (offset + len - 1 - LOG_HEADER) / FRAME;

	if (l->len == 0)
		return;
	if (offset < LOG_HEADER) { /* it begins anew */
		portion_forget(l);
		return;
	}
	for (; first <= last && (size_t)first / 8 < l->len; first++)
		l->written[first / 8] &= (uint8_t) ~(1u << first % 8);
}

void
portion_forget(struct portion_log *l)
{
	free(l->written);
	l->written = NULL;
	l->len = 0;
}
