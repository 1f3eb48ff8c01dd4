/* A disk in memory whose power can be cut, as a file layer of SQLite. */
#include "tests/powercut/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/powercut/bytes.h"

#define NAMES  32
#define NAME   80
#define SECTOR 512

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
	char name[NAME];
	struct inode *now, *safe;
	struct version *versions;
	size_t nversions, room;
	int moves; /* one of the versions is a move */
};

struct disk_file {
	sqlite3_file base;
	struct entry *entry;
	struct inode *inode;
	unsigned life;   /* of the process that opened it */
	int sync_folder; /* with the first sync, as SQLite does it for a new journal */
};

static struct {
	struct entry entries[NAMES];
	size_t nentries;
	struct inode *inodes;
	uint64_t order, random;
	unsigned life;
	int lies_files, lies_folder, deaf;
	const struct disk_hook *hook;
} disk;

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
apply(struct bytes *b, const struct change *c)
{
	if (c->truncate)
		bytes_size(b, c->off);
	else
		bytes_put(b, c->off, c->data, c->len);
}

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

static void
forget_changes(struct inode *i, size_t from)
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
		apply(&i->safe, &i->changes[k]);
	forget_changes(i, 0);
}

/* ---------------------------------------------------------------- what a cut leaves */

struct chooser {
	enum disk_choice how;
	uint64_t random;
	uint64_t edge; /* FIRST, LAST: the change at which it goes or begins */
	unsigned of_8; /* ANY: so many of 8 are there */
};

static unsigned
dice(struct chooser *c, unsigned n)
{
	return (unsigned)(disk_random(&c->random) % n);
}

enum fate {
	GONE,
	TORN,
	WHOLE
};

static enum fate
fate_of(struct chooser *c, uint64_t order)
{
	switch (c->how) {
	case DISK_CUT_NOTHING:
		return GONE;
	case DISK_CUT_ALL:
		return WHOLE;
	case DISK_CUT_FIRST:
		return order < c->edge ? WHOLE : order == c->edge ? TORN : GONE;
	case DISK_CUT_LAST:
		return order < c->edge ? GONE : WHOLE;
	default:
		if (dice(c, 8) >= c->of_8)
			return GONE;
		return dice(c, 4) == 0 ? TORN : WHOLE;
	}
}

/* Its first bytes, or some of its sectors. */
static void
apply_torn(struct chooser *c, struct bytes *b, const struct change *ch)
{
	size_t at, n;

	if (ch->truncate)
		return;
	if (dice(c, 2) == 0) {
		bytes_put(b, ch->off, ch->data, dice(c, (unsigned)ch->len + 1));
		return;
	}
	for (at = 0; at < ch->len; at += n) {
		n = SECTOR - (ch->off + at) % SECTOR;
		if (n > ch->len - at)
			n = ch->len - at;
		if (dice(c, 2) == 0)
			bytes_put(b, ch->off + at, ch->data + at, n);
	}
}

static void
settle(struct chooser *c, struct inode *i)
{
	size_t k;

	for (k = 0; k < i->nchanges; k++) {
		const struct change *ch = &i->changes[k];
		enum fate f = fate_of(c, ch->order);

		if (f == WHOLE)
			apply(&i->safe, ch);
		else if (f == TORN)
			apply_torn(c, &i->safe, ch);
		/* the size is kept apart from the bytes: it may have come, and they not */
		if (f != WHOLE && c->how == DISK_CUT_ANY && !ch->truncate &&
		    ch->off + ch->len > i->safe.len && dice(c, 4) == 0)
			bytes_size(&i->safe, ch->off + ch->len);
	}
	forget_changes(i, 0);
}

static void
chooser_init(struct chooser *c, enum disk_choice how, uint64_t seed)
{
	static const unsigned shares[] = {1, 4, 7};
	uint64_t oldest = disk.order + 1;
	size_t k;

	for (k = 0; k < disk.nentries; k++) {
		const struct entry *e = &disk.entries[k];

		if (e->now != NULL && e->now->nchanges > 0 && e->now->changes[0].order < oldest)
			oldest = e->now->changes[0].order;
		if (e->nversions > 0 && e->versions[0].order < oldest)
			oldest = e->versions[0].order;
	}
	memset(c, 0, sizeof(*c));
	c->how = how;
	c->random = seed;
	c->of_8 = shares[dice(c, 3)];
	c->edge = oldest + disk_random(&c->random) % (disk.order + 2 - oldest);
}

static uint64_t
version_edge(struct chooser *c, const struct entry *e)
{
	size_t k = dice(c, (unsigned)e->nversions + 1);

	return k == e->nversions ? disk.order + 1 : e->versions[k].order;
}

/* Each name stands where it stood at any time since the folder was synced, but that a move is done
 * as a whole, in both names or in neither. */
static void
settle_name(struct chooser *c, struct entry *e)
{
	uint64_t edge = c->edge;
	size_t k;

	if (c->how == DISK_CUT_NOTHING)
		edge = 0;
	else if (c->how == DISK_CUT_ALL)
		edge = disk.order + 1;
	else if (c->how == DISK_CUT_ANY && !e->moves && e->nversions > 0)
		edge = version_edge(c, e);
	for (k = 0; k < e->nversions; k++)
		if (e->versions[k].order < edge)
			e->safe = e->versions[k].inode;
	e->nversions = 0;
	e->moves = 0;
	e->now = e->safe;
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

void
disk_cut(enum disk_choice how, uint64_t seed)
{
	struct chooser c;
	size_t k;

	disk_kill();
	chooser_init(&c, how, seed);
	for (k = 0; k < disk.nentries; k++) {
		struct entry *e = &disk.entries[k];

		settle_name(&c, e);
		if (e->now != NULL) {
			settle(&c, e->now);
			bytes_copy(&e->now->now, &e->now->safe);
			e->now->apart = 0;
		}
	}
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
	if (disk.nentries == NAMES || strlen(name) >= NAME)
		abort();
	memset(&disk.entries[k], 0, sizeof(disk.entries[k]));
	snprintf(disk.entries[k].name, NAME, "%s", name);
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
		forget_changes(i, 0);
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
	forget_changes(i, i->nchanges - 1);
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
		forget_changes(i, i->nchanges - 1);
		errno = e;
		return SQLITE_IOERR_TRUNCATE;
	}
	bytes_size(&i->now, (size_t)size);
	return SQLITE_OK;
}

/* The kernel tells of a sync that failed once. It takes the pages for clean then, though any of
 * them may not have come to the disk, and the next sync says nothing of them. */
static void
sync_failed(struct inode *i)
{
	struct chooser c;

	chooser_init(&c, DISK_CUT_ANY, disk_random(&disk.random));
	settle(&c, i);
	i->apart = 1;
}

static int
file_sync(sqlite3_file *f, int flags)
{
	int e;

	(void)flags;
	if (dead(mine(f)))
		return SQLITE_OK;
	if ((e = at(DISK_SYNC, mine(f)->entry->name, 0, NULL)) != 0) {
		sync_failed(mine(f)->inode);
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
