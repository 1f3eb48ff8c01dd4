/* Checkpoints in portions.
 *
 * SQLite writes a write-ahead log back in one go, and a long log holds everything up: 15 us a page.
 * It may be stopped at any page, for it might as well crash there; but it keeps no record of how
 * far it came and would begin anew. That record is here: which frames of a log were written to the
 * file. What stands there already is left out the next time, without being read.
 *
 * The file layer asks at each read and write. A frame is forgotten when its place in the log is
 * written anew, all are when the log begins anew or a write or sync went wrong. */
#ifndef WARD_SQLCIPHER_PORTION_H
#define WARD_SQLCIPHER_PORTION_H

#include <stddef.h>
#include <stdint.h>

/* Of one log: a bit a frame. All zero is empty. */
struct portion_log {
	uint8_t *written;
	size_t len; /* bytes */
};

/* Around one checkpoint: at most so many pages are written, then it is stopped. */
void portion_begin(size_t pages);
/* on_disk: all that was written is synced; else it is forgotten. */
void portion_end(int on_disk);

/* The file layer's. Before a read of a log: 1 = leave it out. */
int portion_read(struct portion_log *l, int64_t offset, int len);
/* Before a write to the database's file: an SQLite result code, and *leave_out. */
int portion_write(int *leave_out);
/* After it. */
void portion_wrote(void);
/* The log was written to, or cut, from there on. */
void portion_log_changed(struct portion_log *l, int64_t offset, int64_t len);
void portion_forget(struct portion_log *l);

#endif
