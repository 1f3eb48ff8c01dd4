/* The file layer under SQLite: the system's own, with syncs counted, and a hook for faults. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlcipher/sqlite3.h>

#include "stored/sqlcipher/vfs.h"

#define NAME_MAX_LEN 80

struct vfs_file {
	sqlite3_file base;
	char name[NAME_MAX_LEN];
	sqlite3_file real[]; /* szOsFile bytes of the system's layer */
};

static sqlite3_vfs *below;
static const struct vfs_hook *hook;
static uint64_t syncs;

static struct vfs_file *
mine(sqlite3_file *f)
{
	return (struct vfs_file *)f;
}

static int
hooked(enum vfs_op op, const char *name, int64_t offset, const void *data, int len)
{
	return hook == NULL ? SQLITE_OK : hook->before(hook->arg, op, name, offset, data, len);
}

static int
file_close(sqlite3_file *f)
{
	sqlite3_file *real = mine(f)->real;

	return real->pMethods != NULL ? real->pMethods->xClose(real) : SQLITE_OK;
}

static int
file_read(sqlite3_file *f, void *p, int n, sqlite3_int64 off)
{
	return mine(f)->real->pMethods->xRead(mine(f)->real, p, n, off);
}

static int
file_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 off)
{
	int rc = hooked(VFS_WRITE, mine(f)->name, off, p, n);

	return rc != SQLITE_OK ? rc : mine(f)->real->pMethods->xWrite(mine(f)->real, p, n, off);
}

static int
file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	int rc = hooked(VFS_TRUNCATE, mine(f)->name, size, NULL, 0);

	return rc != SQLITE_OK ? rc : mine(f)->real->pMethods->xTruncate(mine(f)->real, size);
}

static int
file_sync(sqlite3_file *f, int flags)
{
	int rc = hooked(VFS_SYNC, mine(f)->name, 0, NULL, 0);

	syncs++;
	return rc != SQLITE_OK ? rc : mine(f)->real->pMethods->xSync(mine(f)->real, flags);
}

static int
file_size(sqlite3_file *f, sqlite3_int64 *size)
{
	return mine(f)->real->pMethods->xFileSize(mine(f)->real, size);
}

static int
file_lock(sqlite3_file *f, int level)
{
	return mine(f)->real->pMethods->xLock(mine(f)->real, level);
}

static int
file_unlock(sqlite3_file *f, int level)
{
	return mine(f)->real->pMethods->xUnlock(mine(f)->real, level);
}

static int
file_reserved(sqlite3_file *f, int *out)
{
	return mine(f)->real->pMethods->xCheckReservedLock(mine(f)->real, out);
}

static int
file_control(sqlite3_file *f, int op, void *arg)
{
	return mine(f)->real->pMethods->xFileControl(mine(f)->real, op, arg);
}

static int
file_sector(sqlite3_file *f)
{
	return mine(f)->real->pMethods->xSectorSize(mine(f)->real);
}

static int
file_traits(sqlite3_file *f)
{
	return mine(f)->real->pMethods->xDeviceCharacteristics(mine(f)->real);
}

/* Version 1: no shared memory and no mapped files. A write-ahead log then works only under
 * locking_mode = EXCLUSIVE, which is what we want, and fails loudly otherwise. */
static const sqlite3_io_methods file_methods = {
    .iVersion = 1,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_traits,
};

static int
vfs_open(sqlite3_vfs *v, sqlite3_filename name, sqlite3_file *f, int flags, int *outflags)
{
	struct vfs_file *m = mine(f);
	int rc;

	(void)v;
	memset(m, 0, sizeof(*m)); /* pMethods NULL: nothing to close if we fail */
	/* No name = a temporary file, which would carry plaintext beside the database. */
	if (name == NULL || strlen(name) >= sizeof(m->name)) {
		errno = EACCES;
		return SQLITE_CANTOPEN;
	}
	memcpy(m->name, name, strlen(name) + 1);
	rc = hooked(VFS_OPEN, name, 0, NULL, 0);
	if (rc == SQLITE_OK)
		rc = below->xOpen(below, name, m->real, flags, outflags);
	if (m->real->pMethods != NULL)
		m->base.pMethods = &file_methods;
	return rc;
}

static int
vfs_delete(sqlite3_vfs *v, const char *name, int sync_folder)
{
	int rc = hooked(VFS_DELETE, name, 0, NULL, 0);

	(void)v;
	if (rc != SQLITE_OK)
		return rc;
	if (sync_folder)
		syncs++;
	return below->xDelete(below, name, sync_folder);
}

static int
vfs_access(sqlite3_vfs *v, const char *name, int flags, int *out)
{
	(void)v;
	return below->xAccess(below, name, flags, out);
}

/* Names are relative to the working folder, which after chroot may have no path at all. */
static int
vfs_full_name(sqlite3_vfs *v, const char *name, int n, char *out)
{
	size_t len = strlen(name);

	(void)v;
	if (n <= 0 || len >= (size_t)n)
		return SQLITE_CANTOPEN;
	memcpy(out, name, len + 1);
	return SQLITE_OK;
}

static int
vfs_random(sqlite3_vfs *v, int n, char *out)
{
	(void)v;
	return below->xRandomness(below, n, out);
}

static int
vfs_sleep(sqlite3_vfs *v, int us)
{
	(void)v;
	return below->xSleep(below, us);
}

static int
vfs_time(sqlite3_vfs *v, double *out)
{
	(void)v;
	return below->xCurrentTime(below, out);
}

static int
vfs_time64(sqlite3_vfs *v, sqlite3_int64 *out)
{
	(void)v;
	return below->xCurrentTimeInt64(below, out);
}

/* The errno of the last failure; a hook sets it itself. */
static int
vfs_error(sqlite3_vfs *v, int n, char *out)
{
	(void)v;
	(void)n;
	(void)out;
	return errno;
}

static sqlite3_vfs vfs = {
    .iVersion = 2,
    .zName = VFS_NAME,
    .xOpen = vfs_open,
    .xDelete = vfs_delete,
    .xAccess = vfs_access,
    .xFullPathname = vfs_full_name,
    .xRandomness = vfs_random,
    .xSleep = vfs_sleep,
    .xCurrentTime = vfs_time,
    .xCurrentTimeInt64 = vfs_time64,
    .xGetLastError = vfs_error,
};

static int
sit_on(sqlite3_vfs *v)
{
	if (v == NULL || v->iVersion < 2)
		return -1;
	below = v;
	vfs.szOsFile = (int)sizeof(struct vfs_file) + v->szOsFile;
	return 0;
}

int
vfs_register(void)
{
	if (below == NULL && sit_on(sqlite3_vfs_find("unix")) == -1)
		return -1;
	vfs.mxPathname = NAME_MAX_LEN - 1;
	return sqlite3_vfs_register(&vfs, 0) == SQLITE_OK ? 0 : -1;
}

int
vfs_set_below(sqlite3_vfs *v)
{
	return sit_on(v != NULL ? v : sqlite3_vfs_find("unix"));
}

void
vfs_set_hook(const struct vfs_hook *h)
{
	hook = h;
}

int
vfs_move(const char *from, const char *to)
{
	int rc = hooked(VFS_MOVE, from, 0, to, (int)strlen(to));

	if (rc != SQLITE_OK)
		return rc;
	/* renameat, for the sandbox: it is there on every kind of machine */
	return renameat(AT_FDCWD, from, AT_FDCWD, to) == -1 ? SQLITE_IOERR : SQLITE_OK;
}

int
vfs_sync_folder(void)
{
	int rc = hooked(VFS_SYNC, ".", 0, NULL, 0), fd, why;

	if (rc != SQLITE_OK)
		return rc;
	if ((fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return SQLITE_IOERR;
	rc = fsync(fd) == -1 ? SQLITE_IOERR : SQLITE_OK;
	why = errno; /* that of fsync, not that of close */
	close(fd);
	errno = why;
	syncs++;
	return rc;
}

uint64_t
vfs_syncs(void)
{
	return syncs;
}
