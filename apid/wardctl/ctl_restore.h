/* The folder that a backup is restored into: everything under temporary names first, then all of
 * it. */
#ifndef WARD_CTL_RESTORE_H
#define WARD_CTL_RESTORE_H

#include <sys/types.h>

#include "apid/wardctl/ctl.h"
#include "apid/wardctl/ctl_tar.h"

struct restore_folder {
	struct ctl *c;
	const char *path;
	int fd;   /* locked as a service locks it; -1 = not open */
	int made; /* it was not there */
	int ours; /* it was empty and is locked: all that comes into it is ours */
	uid_t uid;
	gid_t gid; /* whose the files will be */
	int file;  /* that is being written, or -1 */
	char name[320];
	int failed; /* exit code, said */
};

/* Open or make it; owner: whose a new folder will be, or -1 = ours. It must be empty, of mode 0700
 * and no service's. 0, or an exit code (said). */
int restore_folder_open(struct restore_folder *f, const char *path, uid_t owner, gid_t group);
/* The functions of a ctl_tar_sink. */
int restore_folder_begin(void *arg, const char *name, uint64_t size);
int restore_folder_data(void *arg, const void *data, size_t len);
int restore_folder_end(void *arg);
/* All is there and right: give the files their names, with the mark by which stored knows. 0, or an
 * exit code (said). */
int restore_folder_finish(struct restore_folder *f, const struct ctl_tar *t);
/* Close it; undo = 1: with nothing left in it, and gone if it was made. */
void restore_folder_close(struct restore_folder *f, int undo);

#endif
