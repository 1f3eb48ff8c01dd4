/* What a power cut leaves on the disk in memory. */
#include <string.h>

#include "tests/powercut/disk_inside.h"

#define SECTOR 512

void
disk_apply(struct bytes *b, const struct change *c)
{
	if (c->truncate)
		bytes_size(b, c->off);
	else
		bytes_put(b, c->off, c->data, c->len);
}

struct chooser {
	enum disk_choice how;
	uint64_t random;
	uint64_t edge; /* FIRST, LAST: the change at which it goes or begins */
	uint64_t move; /* ANY: moves before it are done */
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
			disk_apply(&i->safe, ch);
		else if (f == TORN)
			apply_torn(c, &i->safe, ch);
		/* the size is kept apart from the bytes: it may have come, and they not */
		if (f != WHOLE && c->how == DISK_CUT_ANY && !ch->truncate &&
		    ch->off + ch->len > i->safe.len && dice(c, 4) == 0)
			bytes_size(&i->safe, ch->off + ch->len);
	}
	disk_forget(i, 0);
}

/* One of the moments at which a name changed, or now. */
static uint64_t
some_version(struct chooser *c)
{
	uint64_t edge = disk.order + 1;
	unsigned seen = 1;
	size_t k, v;

	for (k = 0; k < disk.nentries; k++)
		for (v = 0; v < disk.entries[k].nversions; v++)
			if (dice(c, ++seen) == 0)
				edge = disk.entries[k].versions[v].order;
	return edge;
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
	if (dice(c, 3) == 0 && disk.order - oldest > 4) /* what is newest is of most interest */
		c->edge = disk.order - dice(c, 4);
	c->move = some_version(c);
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
	else if (c->how == DISK_CUT_ANY && e->nversions > 0)
		edge = e->moves ? c->move : version_edge(c, e);
	for (k = 0; k < e->nversions; k++)
		if (e->versions[k].order < edge)
			e->safe = e->versions[k].inode;
	e->nversions = 0;
	e->moves = 0;
	e->now = e->safe;
}

/* The kernel tells of a sync that failed once. It takes the pages for clean then, though any of
 * them may not have come to the disk, and the next sync says nothing of them. */
void
disk_lose(struct inode *i)
{
	struct chooser c;

	chooser_init(&c, DISK_CUT_ANY, disk_random(&disk.random));
	settle(&c, i);
	i->apart = 1;
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
