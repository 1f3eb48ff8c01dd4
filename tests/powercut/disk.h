/* A disk in memory as a layer below stored's files, which keeps what was not synced apart from what
 * was: its power can be cut at any operation, and any operation can fail.
 *
 * It promises what POSIX does and no more. A file's bytes are safe when the file was synced, its
 * name (and that it is gone) when the folder was. Of everything else a cut leaves any part: each
 * write whole, torn or not at all, whatever the order in which they came. Bytes beside a write are
 * not harmed, as SQLite assumes of every disk (SQLITE_IOCAP_POWERSAFE_OVERWRITE). */
#ifndef WARD_POWERCUT_DISK_H
#define WARD_POWERCUT_DISK_H

#include <stddef.h>
#include <stdint.h>

#include "stored/sqlcipher/vfs.h"

enum disk_op {
	DISK_CREATE,
	DISK_WRITE,
	DISK_TRUNCATE,
	DISK_SYNC,
	DISK_SYNC_FOLDER,
	DISK_DELETE,
	DISK_MOVE
};
const char *disk_op_word(enum disk_op op);

/* Called at every operation that changes the disk, while it is under way: a cut now may leave it
 * done, half done or not done. 0 lets it happen; an errno fails it, and *part of len bytes of a
 * write are done nevertheless. */
struct disk_hook {
	int (*at)(void *arg, enum disk_op op, const char *name, size_t len, size_t *part);
	void *arg;
};

/* How a cut chooses among what was not synced. */
enum disk_choice {
	DISK_CUT_NOTHING, /* nothing of it is there */
	DISK_CUT_ALL,     /* all of it, as after a kill */
	DISK_CUT_FIRST,   /* what came first, up to one that is torn */
	DISK_CUT_LAST,    /* only what came last */
	DISK_CUT_ANY,     /* any of it, some torn */
	DISK_CHOICES
};

/* For vfs_set_below. */
const struct vfs_below *disk_below(void);
/* NULL takes it away. The struct must stay valid. */
void disk_set_hook(const struct disk_hook *hook);
/* Of what the disk chooses by itself: what is left of the bytes whose sync failed. */
void disk_seed(uint64_t seed);
/* It says of every sync that it was done, and does it not: of files, of the folder. */
void disk_lie(int files, int folder);

/* Nothing that is done from now on has an effect, though it is said to have. */
void disk_deaf(int on);
/* Whoever has files open has died: what he still does has no effect. What he wrote is there. */
void disk_kill(void);
/* The power goes and comes back. */
void disk_cut(enum disk_choice how, uint64_t seed);
void disk_wipe(void);
/* A file that has always been there. */
void disk_put(const char *name, const void *data, size_t len);

/* splitmix64: the next number of a sequence. */
uint64_t disk_random(uint64_t *state);

#endif
