/* What the disk in memory consists of; for its own files. */
#ifndef WARD_POWERCUT_DISK_INSIDE_H
#define WARD_POWERCUT_DISK_INSIDE_H

#include "tests/powercut/bytes.h"
#include "tests/powercut/disk.h"

#define DISK_NAMES 32
#define DISK_NAME  80

/* A change of a file that was not synced. */
struct change {
	uint64_t order; /* among all changes of the disk */
	int truncate;
	size_t off, len; /* truncate: off is the new size */
	uint8_t *data;
};

struct inode {
	struct inode *next; /* of all that ever were */
	struct bytes now;   /* as programs see it */
	struct bytes safe;  /* as it was synced */
	struct change *changes;
	size_t nchanges, room;
	int apart; /* a sync failed: now is no longer safe and its changes */
};

/* What a name stood for since the folder was synced. */
struct version {
	uint64_t order;
	struct inode *inode; /* NULL = no such file */
};
struct entry {
	char name[DISK_NAME];
	struct inode *now, *safe;
	struct version *versions;
	size_t nversions, room;
	int moves; /* one of the versions is a move */
};

extern struct disk {
	struct entry entries[DISK_NAMES];
	size_t nentries;
	struct inode *inodes;
	uint64_t order, random;
	unsigned life;
	int lies_files, lies_folder, deaf;
	const struct disk_hook *hook;
} disk;

void disk_apply(struct bytes *b, const struct change *c);
void disk_forget(struct inode *i, size_t from); /* changes, from the from-th on */
/* A sync failed: what of its changes came to the disk is chosen, and they count as done. */
void disk_lose(struct inode *i);

#endif
