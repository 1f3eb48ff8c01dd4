/* The file layer under SQLite: the system's own, with syncs counted, names kept relative, temporary
 * files refused, and a hook by which a test makes the disk fail or lose power. */
#ifndef WARD_SQLCIPHER_VFS_H
#define WARD_SQLCIPHER_VFS_H

#include <stdint.h>

#include <sqlcipher/sqlite3.h>

#define VFS_NAME "ward"

enum vfs_op {
	VFS_OPEN,
	VFS_WRITE,
	VFS_SYNC,
	VFS_TRUNCATE,
	VFS_DELETE,
	VFS_MOVE /* name: the old one; data: the new one */
};

/* Called before the operation is done. 0 = go on; an SQLite result code = fail with it (set errno
 * to say why, as the kernel would). data: what is written, VFS_WRITE only. */
struct vfs_hook {
	int (*before)(
	    void *arg, enum vfs_op op, const char *name, int64_t offset, const void *data, int len);
	void *arg;
};

/* Before the first database is opened; a second time does nothing. 0 or -1. */
int vfs_register(void);
/* What it sits on: SQLite's layer, and what that has no call for (0, or -1 and errno). */
struct vfs_below {
	sqlite3_vfs *files;
	int (*move)(const char *from, const char *to);
	int (*sync_folder)(void);
};
/* For tests: what it sits on from now on, NULL = the system's. Only while no database is open. The
 * struct must stay valid. 0 or -1. */
int vfs_set_below(const struct vfs_below *below);
/* NULL takes it away. The struct must stay valid. */
void vfs_set_hook(const struct vfs_hook *hook);
/* Another name for a file that is not open; what has that name goes. Durable after
 * vfs_sync_folder. Both: SQLITE_OK, or SQLITE_IOERR (errno says why). */
int vfs_move(const char *from, const char *to);
int vfs_sync_folder(void);
/* Where the last read began, and in which file. */
int64_t vfs_last_read(const char **name);
uint64_t vfs_syncs(void); /* fsync and fdatasync calls since start */

#endif
