/* A disk in memory whose power can be cut, as a file layer of SQLite. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/powercut/disk_inside.h"

struct disk_file {
	sqlite3_file base;
	struct entry *entry;
	struct inode *inode;
	unsigned life;   /* of the process that opened it */
	int sync_folder; /* with the first sync, as SQLite does it for a new journal */
};

struct disk disk;

const char *
disk_op_word(enum disk_op op)
{
	static const char *const words[] = {
	    "create", "write", "truncate", "sync", "sync folder", "delete", "move"};

	return words[op];
}

uint64_t
disk_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static void *
need(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

/* ---------------------------------------------------------------- bytes and changes */

static void
note_change(struct inode *i, int truncate, size_t off, const void *data, size_t len)
{
	struct change *c;

	if (i->nchanges == i->room) {
		i->room = i->room * 2 + 64;
		i->changes = need(realloc(i->changes, i->room * sizeof(*i->changes)));
	}
	c = &i->changes[i->nchanges++];
	memset(c, 0, sizeof(*c));
	c->order = ++disk.order;
	c->truncate = truncate;
	c->off = off;
	c->len = len;
	if (len > 0)
		c->data = memcpy(need(malloc(len)), data, len);
}

void
disk_forget(struct inode *i, size_t from)
{
	size_t k;

	for (k = from; k < i->nchanges; k++)
		free(i->changes[k].data);
	i->nchanges = from;
}

static void
make_safe(struct inode *i)
{
	size_t k;

	if (!i->apart)
		bytes_copy(&i->safe, &i->now);
	for (k = 0; i->apart && k < i->nchanges; k++)
		disk_apply(&i->safe, &i->changes[k]);
	disk_forget(i, 0);
}

void
disk_deaf(int on)
{
	disk.deaf = on;
}

void
disk_kill(void)
{
	disk.life++;
}

/* ---------------------------------------------------------------- names */

static struct entry *
entry_of(const char *name)
{
	size_t k;

	for (k = 0; k < disk.nentries; k++) {
		if (strcmp(disk.entries[k].name, name) == 0)
			return &disk.entries[k];
	}
	if (disk.nentries == DISK_NAMES || strlen(name) >= DISK_NAME)
		abort();
	memset(&disk.entries[k], 0, sizeof(disk.entries[k]));
	snprintf(disk.entries[k].name, DISK_NAME, "%s", name);
	disk.nentries++;
	return &disk.entries[k];
}

static void
note_version(struct entry *e, struct inode *i, uint64_t order)
{
	if (e->nversions == e->room) {
		e->room = e->room * 2 + 8;
		e->versions = need(realloc(e->versions, e->room * sizeof(*e->versions)));
	}
	e->versions[e->nversions].order = order;
	e->versions[e->nversions++].inode = i;
}

static struct inode *
new_inode(void)
{
	struct inode *i = need(calloc(1, sizeof(*i)));

	i->next = disk.inodes;
	disk.inodes = i;
	return i;
}

static int
at(enum disk_op op, const char *name, size_t len, size_t *part)
{
	return disk.hook == NULL ? 0 : disk.hook->at(disk.hook->arg, op, name, len, part);
}

static int
sync_folder(void)
{
	size_t k;
	int e = at(DISK_SYNC_FOLDER, ".", 0, NULL);

	if (e != 0 || disk.lies_folder) {
		errno = e;
		return e == 0 ? 0 : -1;
	}
	for (k = 0; k < disk.nentries; k++) {
		disk.entries[k].safe = disk.entries[k].now;
		disk.entries[k].nversions = 0;
		disk.entries[k].moves = 0;
	}
	return 0;
}

static int
move(const char *from, const char *to)
{
	struct entry *a = entry_of(from), *b = entry_of(to);
	struct inode *i = a->now;
	uint64_t order = ++disk.order;
	int e = i == NULL ? ENOENT : 0;

	note_version(a, NULL, order);
	note_version(b, i, order);
	a->moves = b->moves = 1;
	if (e == 0)
		e = at(DISK_MOVE, from, 0, NULL);
	if (e != 0) {
		a->nversions--;
		b->nversions--;
		errno = e;
		return -1;
	}
	a->now = NULL;
	b->now = i;
	return 0;
}

void
disk_wipe(void)
{
	struct inode *i;

	disk_kill();
	while (disk.nentries > 0)
		free(disk.entries[--disk.nentries].versions);
	while ((i = disk.inodes) != NULL) {
		disk.inodes = i->next;
		disk_forget(i, 0);
		bytes_free(&i->now);
		bytes_free(&i->safe);
		free(i->changes);
		free(i);
	}
}

void
disk_set_hook(const struct disk_hook *hook)
{
	disk.hook = hook;
}

void
disk_seed(uint64_t seed)
{
	disk.random = seed;
}

void
disk_lie(int files, int folder)
{
	disk.lies_files = files;
	disk.lies_folder = folder;
}

void
disk_put(const char *name, const void *data, size_t len)
{
	struct entry *e = entry_of(name);
	struct inode *i = new_inode();

	bytes_put(&i->now, 0, data, len);
	bytes_copy(&i->safe, &i->now);
	e->now = e->safe = i;
}

/* ---------------------------------------------------------------- SQLite: a file */

static struct disk_file *
mine(sqlite3_file *f)
{
	return (struct disk_file *)f;
}

static int
dead(const struct disk_file *f)
{
	return disk.deaf || f->life != disk.life;
}

static int
file_close(sqlite3_file *f)
{
	f->pMethods = NULL;
	return SQLITE_OK;
}

static int
file_read(sqlite3_file *f, void *p, int n, sqlite3_int64 off)
{
	size_t have;

	if (mine(f)->life != disk.life) {
		errno = EIO;
		return SQLITE_IOERR_READ;
	}
	have = bytes_get(&mine(f)->inode->now, (size_t)off, p, (size_t)n);
	if (have == (size_t)n)
		return SQLITE_OK;
	memset((uint8_t *)p + have, 0, (size_t)n - have);
	return SQLITE_IOERR_SHORT_READ;
}

static int
file_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 off)
{
	struct inode *i = mine(f)->inode;
	size_t len = (size_t)n, part = 0;
	int e;

	if (dead(mine(f)))
		return SQLITE_OK;
	note_change(i, 0, (size_t)off, p, len);
	e = at(DISK_WRITE, mine(f)->entry->name, len, &part);
	if (e == 0) {
		bytes_put(&i->now, (size_t)off, p, len);
		return SQLITE_OK;
	}
	disk_forget(i, i->nchanges - 1);
	if (part > 0) {
		note_change(i, 0, (size_t)off, p, part);
		bytes_put(&i->now, (size_t)off, p, part);
	}
	errno = e;
	return e == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int
file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	struct inode *i = mine(f)->inode;
	int e;

	if (dead(mine(f)))
		return SQLITE_OK;
	note_change(i, 1, (size_t)size, NULL, 0);
	if ((e = at(DISK_TRUNCATE, mine(f)->entry->name, 0, NULL)) != 0) {
		disk_forget(i, i->nchanges - 1);
		errno = e;
		return SQLITE_IOERR_TRUNCATE;
	}
	bytes_size(&i->now, (size_t)size);
	return SQLITE_OK;
}

static int
file_sync(sqlite3_file *f, int flags)
{
	int e;

	(void)flags;
	if (dead(mine(f)))
		return SQLITE_OK;
	if ((e = at(DISK_SYNC, mine(f)->entry->name, 0, NULL)) != 0) {
		disk_lose(mine(f)->inode);
		errno = e;
		return SQLITE_IOERR_FSYNC;
	}
	if (!disk.lies_files)
		make_safe(mine(f)->inode);
	if (mine(f)->sync_folder) {
		mine(f)->sync_folder = 0;
		(void)sync_folder(); /* SQLite's own layer does not look at the result either */
	}
	return SQLITE_OK;
}

static int
file_size(sqlite3_file *f, sqlite3_int64 *size)
{
	*size = mine(f)->life != disk.life ? 0 : (sqlite3_int64)mine(f)->inode->now.len;
	return SQLITE_OK;
}

static int
file_lock(sqlite3_file *f, int level)
{
	(void)f;
	(void)level;
	return SQLITE_OK;
}

static int
file_reserved(sqlite3_file *f, int *out)
{
	(void)f;
	*out = 0;
	return SQLITE_OK;
}

static int
file_control(sqlite3_file *f, int op, void *arg)
{
	(void)f;
	(void)op;
	(void)arg;
	return SQLITE_NOTFOUND;
}

static int
file_sector(sqlite3_file *f)
{
	(void)f;
	return 4096;
}

static int
file_traits(sqlite3_file *f)
{
	(void)f;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods file_methods = {
    .iVersion = 1,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_lock,
    .xCheckReservedLock = file_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_traits,
};

/* ---------------------------------------------------------------- SQLite: the folder */

static int
create(struct disk_file *d)
{
	struct entry *entry = d->entry;
	struct inode *i = new_inode();
	int e;

	note_version(entry, i, ++disk.order);
	if ((e = at(DISK_CREATE, entry->name, 0, NULL)) != 0) {
		entry->nversions--;
		errno = e;
		return SQLITE_CANTOPEN;
	}
	entry->now = i;
	return SQLITE_OK;
}

static int
disk_open(sqlite3_vfs *v, sqlite3_filename name, sqlite3_file *f, int flags, int *outflags)
{
	struct disk_file *d = mine(f);
	int rc;

	(void)v;
	memset(d, 0, sizeof(*d));
	d->entry = entry_of(name);
	if (d->entry->now == NULL) {
		if (!(flags & SQLITE_OPEN_CREATE)) {
			errno = ENOENT;
			return SQLITE_CANTOPEN;
		}
		if ((rc = create(d)) != SQLITE_OK)
			return rc;
	}
	d->sync_folder =
	    (flags & SQLITE_OPEN_CREATE) != 0 &&
	    (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL)) != 0;
	d->inode = d->entry->now;
	d->life = disk.life;
	d->base.pMethods = &file_methods;
	if (outflags != NULL)
		*outflags = flags;
	return SQLITE_OK;
}

static int
disk_delete(sqlite3_vfs *v, const char *name, int dirsync)
{
	struct entry *entry = entry_of(name);
	int e;

	(void)v;
	if (disk.deaf)
		return SQLITE_OK;
	if (entry->now == NULL) {
		errno = ENOENT;
		return SQLITE_IOERR_DELETE_NOENT;
	}
	note_version(entry, NULL, ++disk.order);
	if ((e = at(DISK_DELETE, name, 0, NULL)) != 0) {
		entry->nversions--;
		errno = e;
		return SQLITE_IOERR_DELETE;
	}
	entry->now = NULL;
	return dirsync && sync_folder() == -1 ? SQLITE_IOERR_DIR_FSYNC : SQLITE_OK;
}

static int
disk_access(sqlite3_vfs *v, const char *name, int flags, int *out)
{
	const struct inode *i = entry_of(name)->now;

	(void)v;
	*out = i != NULL && (flags != SQLITE_ACCESS_EXISTS || i->now.len > 0);
	return SQLITE_OK;
}

/* Always the same: what is written is the same in each run. */
static int
disk_time(sqlite3_vfs *v, double *out)
{
	(void)v;
	*out = 2460000.5;
	return SQLITE_OK;
}

static int
disk_time64(sqlite3_vfs *v, sqlite3_int64 *out)
{
	(void)v;
	*out = 2460000 * INT64_C(86400000);
	return SQLITE_OK;
}

const struct vfs_below *
disk_below(void)
{
	static sqlite3_vfs vfs;
	static const struct vfs_below below = {&vfs, move, sync_folder};
	const sqlite3_vfs *system = sqlite3_vfs_find("unix");

	if (system == NULL)
		abort();
	vfs = *system; /* randomness */
	vfs.iVersion = 2;
	vfs.szOsFile = sizeof(struct disk_file);
	vfs.zName = "disk";
	vfs.xOpen = disk_open;
	vfs.xDelete = disk_delete;
	vfs.xAccess = disk_access;
	vfs.xCurrentTime = disk_time;
	vfs.xCurrentTimeInt64 = disk_time64;
	return &below;
}
