/* The file layer under SQLite: the system's own, with syncs counted, and a hook for faults. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlcipher/sqlite3.h>

#include "stored/sqlcipher/portion.h"
#include "stored/sqlcipher/vfs.h"

#define NAME_MAX_LEN 80
#define GATHER_MAX   ((size_t)64 * 1024)

struct vfs_file {
	sqlite3_file base;
	char name[NAME_MAX_LEN];
	int new_name; /* perhaps: the folder is to be synced with the file */
	int is_log;
	struct portion_log portion; /* of a log */
	struct { /* what was written to a log last, and goes to the system in one */
		uint8_t *data;
		size_t len;
		int64_t at;
	} gathered;
	sqlite3_file real[]; /* szOsFile bytes of the system's layer */
};

static int system_move(const char *from, const char *to);
static int system_sync_folder(void);
static struct vfs_below system_below = {NULL, system_move, system_sync_folder};
static const struct vfs_below *below;
static const struct vfs_hook *hook;
static uint64_t syncs;
static char read_name[NAME_MAX_LEN]; /* the last read, for naming a damaged page */
static int64_t read_at;

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

/* SQLite writes each page of a log in two pieces, a commit in dozens, and nothing of it counts
 * before the sync: they are written together, in their order, before anything else is done with
 * the file. If that fails they are gone, as the pieces behind one that failed would be. */
static int
write_out(struct vfs_file *m)
{
	int rc, len = (int)m->gathered.len;

	if (len == 0)
		return SQLITE_OK;
	m->gathered.len = 0;
	rc = hooked(VFS_WRITE, m->name, m->gathered.at, m->gathered.data, len);
	if (rc != SQLITE_OK)
		return rc;
	return m->real->pMethods->xWrite(m->real, m->gathered.data, len, m->gathered.at);
}

static int
gather(struct vfs_file *m, const void *p, int n, int64_t off)
{
	int rc;

	if (off != m->gathered.at + (int64_t)m->gathered.len ||
	    m->gathered.len + (size_t)n > GATHER_MAX)
		if ((rc = write_out(m)) != SQLITE_OK)
			return rc;
	if (m->gathered.data == NULL && (m->gathered.data = malloc(GATHER_MAX)) == NULL)
		return SQLITE_IOERR_NOMEM;
	if ((size_t)n > GATHER_MAX)
		return SQLITE_IOERR_WRITE; /* no page is */
	if (m->gathered.len == 0)
		m->gathered.at = off;
	memcpy(m->gathered.data + m->gathered.len, p, (size_t)n);
	m->gathered.len += (size_t)n;
	return SQLITE_OK;
}

static int
file_close(sqlite3_file *f)
{
	struct vfs_file *m = mine(f);
	int rc = write_out(m), closed = SQLITE_OK;

	portion_forget(&m->portion);
	free(m->gathered.data);
	m->gathered.data = NULL;
	if (m->real->pMethods != NULL)
		closed = m->real->pMethods->xClose(m->real);
	return rc != SQLITE_OK ? rc : closed;
}

static int
file_read(sqlite3_file *f, void *p, int n, sqlite3_int64 off)
{
	int rc = write_out(mine(f));

	memcpy(read_name, mine(f)->name, sizeof(read_name));
	read_at = off;
	if (rc != SQLITE_OK)
		return rc;
	if (mine(f)->is_log && portion_read(&mine(f)->portion, off, n))
		return SQLITE_OK; /* nor will it be written */
	return mine(f)->real->pMethods->xRead(mine(f)->real, p, n, off);
}

static int
file_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 off)
{
	struct vfs_file *m = mine(f);
	int rc, leave_out = 0;

	if (m->is_log) {
		portion_log_changed(&m->portion, off, n);
		return gather(m, p, n, off);
	}
	if ((rc = portion_write(&leave_out)) != SQLITE_OK || leave_out)
		return rc;
	if ((rc = hooked(VFS_WRITE, m->name, off, p, n)) != SQLITE_OK)
		return rc;
	rc = m->real->pMethods->xWrite(m->real, p, n, off);
	if (rc == SQLITE_OK)
		portion_wrote();
	return rc;
}

static int
file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	int rc = write_out(mine(f));

	if (rc == SQLITE_OK)
		rc = hooked(VFS_TRUNCATE, mine(f)->name, size, NULL, 0);
	if (mine(f)->is_log)
		portion_forget(&mine(f)->portion);
	return rc != SQLITE_OK ? rc : mine(f)->real->pMethods->xTruncate(mine(f)->real, size);
}

static int
file_sync(sqlite3_file *f, int flags)
{
	int rc = write_out(mine(f));

	if (rc == SQLITE_OK)
		rc = hooked(VFS_SYNC, mine(f)->name, 0, NULL, 0);
	syncs++;
	if (rc == SQLITE_OK)
		rc = mine(f)->real->pMethods->xSync(mine(f)->real, flags);
	if (rc != SQLITE_OK || !mine(f)->new_name)
		return rc;
	/* The system's layer does this as well, and takes no notice if it fails: then all that is
	 * committed to a log would go with its name. */
	if (vfs_sync_folder() != SQLITE_OK)
		return SQLITE_IOERR_DIR_FSYNC;
	mine(f)->new_name = 0;
	return SQLITE_OK;
}

static int
file_size(sqlite3_file *f, sqlite3_int64 *size)
{
	int rc = write_out(mine(f));

	return rc != SQLITE_OK ? rc : mine(f)->real->pMethods->xFileSize(mine(f)->real, size);
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
		rc = below->files->xOpen(below->files, name, m->real, flags, outflags);
	m->is_log = (flags & SQLITE_OPEN_WAL) != 0;
	m->new_name = (flags & SQLITE_OPEN_CREATE) != 0 &&
		      (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
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
	return below->files->xDelete(below->files, name, sync_folder);
}

static int
vfs_access(sqlite3_vfs *v, const char *name, int flags, int *out)
{
	(void)v;
	return below->files->xAccess(below->files, name, flags, out);
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
	return below->files->xRandomness(below->files, n, out);
}

static int
vfs_sleep(sqlite3_vfs *v, int us)
{
	(void)v;
	return below->files->xSleep(below->files, us);
}

static int
vfs_time(sqlite3_vfs *v, double *out)
{
	(void)v;
	return below->files->xCurrentTime(below->files, out);
}

static int
vfs_time64(sqlite3_vfs *v, sqlite3_int64 *out)
{
	(void)v;
	return below->files->xCurrentTimeInt64(below->files, out);
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
sit_on(const struct vfs_below *b)
{
	if (b->files == NULL || b->files->iVersion < 2)
		return -1;
	below = b;
	vfs.szOsFile = (int)sizeof(struct vfs_file) + b->files->szOsFile;
	return 0;
}

int
vfs_set_below(const struct vfs_below *b)
{
	system_below.files = sqlite3_vfs_find("unix");
	return sit_on(b != NULL ? b : &system_below);
}

int
vfs_register(void)
{
	if (below == NULL && vfs_set_below(NULL) == -1)
		return -1;
	vfs.mxPathname = NAME_MAX_LEN - 1;
	return sqlite3_vfs_register(&vfs, 0) == SQLITE_OK ? 0 : -1;
}

void
vfs_set_hook(const struct vfs_hook *h)
{
	hook = h;
}

/* renameat, for the sandbox: it is there on every kind of machine */
static int
system_move(const char *from, const char *to)
{
	return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

static int
system_sync_folder(void)
{
	int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r, why;

	if (fd == -1)
		return -1;
	r = fsync(fd);
	why = errno; /* that of fsync, not that of close */
	close(fd);
	errno = why;
	return r;
}

int
vfs_move(const char *from, const char *to)
{
	int rc = hooked(VFS_MOVE, from, 0, to, (int)strlen(to));

	if (rc != SQLITE_OK)
		return rc;
	return below->move(from, to) == -1 ? SQLITE_IOERR : SQLITE_OK;
}

int
vfs_sync_folder(void)
{
	int rc = hooked(VFS_SYNC, ".", 0, NULL, 0);

	if (rc != SQLITE_OK)
		return rc;
	syncs++;
	return below->sync_folder() == -1 ? SQLITE_IOERR : SQLITE_OK;
}

uint64_t
vfs_syncs(void)
{
	return syncs;
}

int64_t
vfs_last_read(const char **name)
{
	*name = read_name;
	return read_at;
}
