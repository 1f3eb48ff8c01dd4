/* How many rows each table has, counted in steps: a count of a large table reads all of its pages.
 */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "stored/sqlcipher/care.h"
#include "stored/sqlcipher/trees.h"

#define PIECE_ROWS 256
#define STEP_US    2000

struct count {
	struct trees all;
	uint64_t rows[TREES_MAX];
	size_t at;
	struct place place;
};

void
tables_stop(struct store_db *db)
{
	if (db->count == NULL)
		return;
	place_clear(&db->count->place);
	free(db->count);
	db->count = NULL;
}

static int
shown(const struct tree *t)
{
	return !t->is_index && strncmp(t->table, "sqlite_", 7) != 0;
}

/* Some rows of a tree. *n: how many. */
static int
count_some(struct store_db *db, struct count *c, const struct tree *t, int limit, int *n)
{
	sqlite3_str *q = sqlite3_str_new(db->sql);
	sqlite3_stmt *s;
	int rc;

	*n = 0;
	tree_put_key(q, t);
	tree_put_rest(q, t, &c->place, limit);
	rc = tree_prepare(db, q, &c->place, &s);
	while (rc == SQLITE_OK && (rc = db_step_rc(db, s)) == SQLITE_ROW) {
		(*n)++;
		/* only the last one matters */
		rc = *n < limit || place_keep(&c->place, t, s) == 0 ? SQLITE_OK : SQLITE_NOMEM;
	}
	sqlite3_finalize(s);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static enum store_status
count_step(struct store_db *db, struct count *c)
{
	int64_t until = clock_mono_us() + STEP_US;
	int rc, n;

	while (c->at < c->all.n && clock_mono_us() < until) {
		const struct tree *t = &c->all.list[c->at];

		n = 0;
		if (shown(t) && (rc = count_some(db, c, t, PIECE_ROWS, &n)) != SQLITE_OK)
			return db_failed(db, rc, "count");
		c->rows[c->at] += (uint64_t)n;
		/* a whole piece: on behind it; else the next range, if there is one */
		if (n == PIECE_ROWS || (shown(t) && place_next(&c->place)))
			continue;
		place_clear(&c->place);
		c->at++;
	}
	return c->at < c->all.n ? STORE_AGAIN : STORE_OK;
}

static enum store_status
give(struct store_db *db, const struct count *c, struct region *r, Stored__TableStat ***out,
    size_t *n)
{
	Stored__TableStat **list =
	    region_alloc(r, (*n + c->all.n + 1) * sizeof(Stored__TableStat *));
	size_t i;

	if (list == NULL)
		return STORE_NO_MEMORY;
	if (*n > 0)
		memcpy(list, *out, *n * sizeof(Stored__TableStat *));
	for (i = 0; i < c->all.n; i++) {
		Stored__TableStat *t;

		if (!shown(&c->all.list[i]))
			continue;
		if ((t = region_alloc(r, sizeof(*t))) == NULL)
			return STORE_NO_MEMORY;
		stored__table_stat__init(t);
		t->account = region_text(r, db->account);
		t->table = region_text(r, c->all.list[i].table);
		t->rows = c->rows[i];
		list[(*n)++] = t;
	}
	*out = list;
	return region_failed(r) ? STORE_NO_MEMORY : STORE_OK;
}

enum store_status
tables_count(struct store_db *db, struct region *r, Stored__TableStat ***out, size_t *n)
{
	enum store_status st;
	int rc;

	if (db->count == NULL) {
		if ((db->count = calloc(1, sizeof(*db->count))) == NULL)
			return STORE_NO_MEMORY;
		if ((rc = trees_list(db, &db->count->all)) != SQLITE_OK) {
			tables_stop(db);
			return db_failed(db, rc, "count");
		}
	}
	if ((st = count_step(db, db->count)) == STORE_AGAIN)
		return st;
	if (st == STORE_OK)
		st = give(db, db->count, r, out, n);
	tables_stop(db);
	return st;
}
