/* What the units of the run write: all tables of operations, unit by unit. */
#include "tests/powercut/writes.h"

#include <stdio.h>
#include <string.h>

#include "tests/powercut/disk.h"
#include "tests/powercut/rows.h"

#define REGION_MAX ((size_t)1 << 20)
#define BYTES_MAX  20000

static const struct store_backend *const b = &store_sqlcipher;

/* ---------------------------------------------------------------- what is in them */

int64_t
writes_time(unsigned unit)
{
	return (int64_t)unit * 1000;
}

char *
rows_name(const char *form, unsigned u)
{
	static char text[4][64];
	static unsigned at;
	char *t = text[at++ % 4];

	snprintf(t, sizeof(text[0]), "%s%u", form, u);
	return t;
}

ProtobufCBinaryData
rows_bytes(unsigned u, unsigned tag, size_t len)
{
	static uint64_t words[4][BYTES_MAX / 8 + 1];
	static unsigned at;
	uint64_t *w = words[at++ % 4], state = (uint64_t)u << 32 | tag;
	ProtobufCBinaryData d = {len, (uint8_t *)w};
	size_t i;

	for (i = 0; i < len / 8 + 1; i++)
		w[i] = disk_random(&state);
	return d;
}

size_t
rows_len(unsigned u, unsigned most)
{
	return 32 + (size_t)u * 2654435761u % most;
}

enum presence
rows_same(const ProtobufCBinaryData *got, unsigned u, unsigned tag, size_t len)
{
	const ProtobufCBinaryData want = rows_bytes(u, tag, len);

	return got->len == len && memcmp(got->data, want.data, len) == 0 ? THERE : WRONG;
}

/* ---------------------------------------------------------------- the tables */

static enum store_status
reset_put(struct store_db *db, unsigned u)
{
	enum store_status st = b->sender_key_clear_all(db);

	(void)u;
	return st == STORE_OK ? b->device_reset(db) : st;
}

static const struct row rows_once[] = {
    {"device reset", WRITES_UNITS, WRITES_RESET, 0, OWN, 0, 0, reset_put, NULL, NULL},
    {0},
};

static const struct row *const tables[] = {
    rows_signal, rows_device, rows_groups, rows_appsync, rows_events, rows_outbox, rows_once, NULL};

static int
writes_it(const struct row *w, unsigned u)
{
	return u >= w->first && (u - w->first) % w->every == 0;
}

static enum store_status
apply(struct store_db *db, const struct row *w, unsigned u)
{
	enum store_status st = STORE_OK;

	if (writes_it(w, u))
		st = w->put(db, u);
	if (st == STORE_OK && w->drop != NULL && u > w->life && writes_it(w, u - w->life))
		st = w->drop(db, u - w->life);
	return st;
}

enum store_status
writes_apply(struct store_db *db, unsigned u)
{
	enum store_status st = STORE_OK;
	const struct row *const *t, *w;

	for (t = tables; *t != NULL; t++)
		for (w = *t; st == STORE_OK && w->name != NULL; w++)
			st = apply(db, w, u);
	return st;
}

enum store_status
writes_contradict(struct store_db *db, unsigned u)
{
	enum store_status st = rows_signal[0].put(db, u + WRITES_UNITS);

	if (st == STORE_OK)
		st = rows_events[0].put(db, u + WRITES_UNITS);
	if (st == STORE_OK) /* the message of a unit not long before */
		st = rows_outbox[0].put(
		    db, 1 + (u - 2) / rows_outbox[0].every * rows_outbox[0].every);
	return st;
}

/* Is what the unit wrote there at that moment? */
static int
should_be(const struct row *w, unsigned u, const struct moment *m)
{
	if (u > m->unit || (w->life > 0 && u + w->life <= m->unit))
		return 0;
	if ((w->goes & ROW_DEVICE) && u <= WRITES_RESET && m->unit >= WRITES_RESET)
		return 0;
	if ((w->goes & ROW_RATCHET) && u <= m->restored)
		return 0;
	return !(
	    (w->kind == EVENT && u <= m->trimmed) || (w->kind == AGING && u - w->of <= m->expired));
}

static void
look(struct store_db *db, struct region *r, const struct row *w, unsigned u, const struct moment *m,
    struct tally *t)
{
	enum presence p;

	if (w->have == NULL || (w->kind == LATEST && (u > m->unit || u + w->every <= m->unit)))
		return; /* of the latest it can be told only whether it is there */
	p = w->have(db, r, u);
	if (p == (should_be(w, u, m) ? THERE : ABSENT)) {
		t->right += p == THERE;
		return;
	}
	t->what = w->name;
	if (p == ABSENT)
		t->missing++;
	else
		t->wrong++;
}

void
writes_look(struct store_db *db, unsigned u, const struct moment *m, struct tally *t)
{
	struct region *r = region_new(REGION_MAX);
	const struct row *const *table, *w;

	memset(t, 0, sizeof(*t));
	for (table = tables; *table != NULL; table++) {
		for (w = *table; w->name != NULL; w++) {
			if (writes_it(w, u))
				look(db, r, w, u, m, t);
		}
	}
	region_free(r);
}
