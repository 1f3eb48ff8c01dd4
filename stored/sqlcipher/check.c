/* The check: every row of every table and every entry of every index is read, some hundred a step.
 *
 * SQLCipher checks the MAC of each page that it reads from the disk, so what a walk over all trees
 * does not stumble over is whole; pages that nothing lies on are not read. Each row is looked up in
 * the indexes of its table, and each entry of an index in its table. That holds also while units
 * are committed between the steps, as a count at the end would not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"
#include "stored/sqlcipher/care.h"
#include "stored/sqlcipher/trees.h"
#include "stored/sqlcipher/vfs.h"

#define STEP_ROWS  256
#define STEP_LEAST 16 /* where rows take long, so does each statement */
#define STEP_BYTES ((size_t)256 * 1024)
#define STEP_US    2000
#define PAGE       4096
#define PACKED     ((size_t)8 * 1024 * 1024) /* memory of one message */

struct check {
	struct trees all;
	size_t at;
	struct place place; /* in all.list[at] */
	uint64_t in_tree;   /* rows of it */
	uint64_t rows, bytes;
};

/* Messages that we unpack ourselves. */
static const struct {
	const char *table, *column;
	const ProtobufCMessageDescriptor *desc;
} packed[] = {
    {"device", "record", &stored__device_record__descriptor},
    {"device_list", "list", &stored__device_list__descriptor},
    {"outbox_devices", "devices", &stored__device_names__descriptor},
};

/* ---------------------------------------------------------------- damage */

static int
is_damage(int rc)
{
	return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
}

/* Where a page fell out: the file layer knows what was read last. */
static void
tell_page(const struct store_db *db, char *out, size_t len)
{
	const char *file;
	int64_t at = vfs_last_read(&file);

	out[0] = '\0';
	if (strcmp(file, db->file) == 0)
		snprintf(out, len, ", page %lld", (long long)at / PAGE + 1);
	else if (strncmp(file, db->file, strlen(db->file)) == 0)
		snprintf(out, len, ", in the write-ahead log at %lld", (long long)at);
}

/* A result that ends the walk: damage goes to the text, all else is a failure of the check. */
static enum store_status
fell(struct store_db *db, const struct tree *t, int rc, struct store_progress *p)
{
	char page[64];

	if (!is_damage(rc))
		return db_failed(db, rc, "check");
	tell_page(db, page, sizeof(page));
	if (t == NULL)
		snprintf(p->text, sizeof(p->text), "the schema cannot be read%s", page);
	else
		snprintf(p->text, sizeof(p->text), "%s %s: damaged behind row %llu%s",
		    t->is_index ? "index" : "table or index of", t->is_index ? t->name : t->table,
		    (unsigned long long)db->check->in_tree, page);
	p->ended = 1;
	return STORE_OK;
}

/* ---------------------------------------------------------------- the statement of a step */

/* Of the rows x and m: they have the same key. */
static void
put_same(sqlite3_str *q, const struct tree *t)
{
	int i;

	for (i = 0; i < t->nkey; i++)
		sqlite3_str_appendf(q, " AND x.\"%w\" IS m.\"%w\"", t->key[i].name, t->key[i].name);
}

/* Is this row in that index? */
static void
put_lookup(sqlite3_str *q, const struct tree *index)
{
	sqlite3_str_appendf(q, ", CASE WHEN %s THEN EXISTS(SELECT 1", index->where);
	tree_put_from(q, index, "x");
	put_same(q, index);
	sqlite3_str_appendall(q, ") ELSE 1 END");
}

/* Is there a row for this entry? */
static void
put_row(sqlite3_str *q, const struct tree *table, const struct tree *index)
{
	sqlite3_str_appendall(q, ", EXISTS(SELECT 1");
	tree_put_from(q, table, "x");
	put_same(q, table);
	put_same(q, index);
	sqlite3_str_appendall(q, ")");
}

static const struct tree *
table_of(const struct check *c, const struct tree *index)
{
	size_t i;

	for (i = 0; i < c->all.n; i++) {
		const struct tree *t = &c->all.list[i];

		if (!t->is_index && strcmp(t->table, index->table) == 0)
			return t;
	}
	return NULL;
}

static int
is_index_of(const struct tree *index, const struct tree *table)
{
	return index->is_index && strcmp(index->table, table->table) == 0;
}

/* Columns: the key, what is looked up, and of a table all that it has. */
static int
prepare(struct store_db *db, const struct check *c, const struct tree *t, sqlite3_stmt **s)
{
	sqlite3_str *q = sqlite3_str_new(db->sql);
	const struct tree *table = t->is_index ? table_of(c, t) : t;
	size_t i;

	tree_put_key(q, t);
	if (table != NULL && t->is_index)
		put_row(q, table, t);
	for (i = 0; !t->is_index && i < c->all.n; i++) {
		if (is_index_of(&c->all.list[i], t))
			put_lookup(q, &c->all.list[i]);
	}
	if (!t->is_index)
		sqlite3_str_appendall(q, ", m.*");
	tree_put_rest(q, t, &c->place, STEP_ROWS);
	return tree_prepare(db, q, &c->place, s);
}

/* ---------------------------------------------------------------- a row */

/* Its message can be unpacked, if it has one that we unpack. */
static const char *
bad_message(const struct tree *t, sqlite3_stmt *s, int from)
{
	const void *bytes = NULL;
	struct pb_arena *a;
	int col, len = 0, ok;
	size_t i;

	for (i = 0; i < sizeof(packed) / sizeof(packed[0]); i++) {
		if (strcmp(packed[i].table, t->table) == 0)
			break;
	}
	if (i == sizeof(packed) / sizeof(packed[0]))
		return NULL;
	for (col = from; col < sqlite3_column_count(s); col++) {
		if (strcmp(sqlite3_column_name(s, col), packed[i].column) != 0)
			continue;
		bytes = sqlite3_column_blob(s, col);
		len = sqlite3_column_bytes(s, col);
	}
	if ((a = pb_arena_new(PACKED)) == NULL)
		return NULL; /* memory is short: nothing is said about the row */
	ok = pb_unpack(packed[i].desc, bytes, (size_t)len, a, 0, NULL) != NULL;
	pb_arena_free(a);
	return ok ? NULL : packed[i].column;
}

/* What is wrong with the row, into p->text. */
static void
look_at_row(struct check *c, const struct tree *t, sqlite3_stmt *s, struct store_progress *p)
{
	unsigned long long n = (unsigned long long)c->in_tree;
	const char *column;
	int col = t->nkey;
	size_t k;

	if (t->is_index) {
		if (!sqlite3_column_int(s, col))
			snprintf(p->text, sizeof(p->text),
			    "index %s: entry %llu belongs to no row of table %s", t->name, n,
			    t->table);
		return;
	}
	for (k = 0; k < c->all.n; k++) {
		const struct tree *index = &c->all.list[k];

		if (is_index_of(index, t) && !sqlite3_column_int(s, col++))
			snprintf(p->text, sizeof(p->text), "table %s: row %llu is not in index %s",
			    t->table, n, index->name);
	}
	if (p->text[0] == '\0' && (column = bad_message(t, s, col)) != NULL)
		snprintf(p->text, sizeof(p->text), "table %s: the %s of row %llu is no message",
		    t->table, column, n);
}

static int
count_row(struct check *c, const struct tree *t, sqlite3_stmt *s)
{
	int i, n = sqlite3_column_count(s);

	for (i = 0; i < n; i++) {
		int type = sqlite3_column_type(s, i);

		c->bytes += 4;
		if (type == SQLITE_TEXT || type == SQLITE_BLOB)
			c->bytes += (uint64_t)sqlite3_column_bytes(s, i);
	}
	c->rows++;
	c->in_tree++;
	return place_keep(&c->place, t, s);
}

/* ---------------------------------------------------------------- a step */

static void
next_tree(struct check *c)
{
	place_clear(&c->place);
	c->in_tree = 0;
	c->at++;
}

/* One range of the tree, or a piece of it. *n: rows; returns SQLITE_DONE at the end of it. */
static int
walk(struct store_db *db, struct check *c, const struct tree *t, sqlite3_stmt *s, int64_t until,
    int *n, struct store_progress *p)
{
	uint64_t bytes = c->bytes + STEP_BYTES;
	int rc = SQLITE_ROW;

	for (*n = 0; *n < STEP_ROWS && (rc = db_step_rc(db, s)) == SQLITE_ROW; (*n)++) {
		if (count_row(c, t, s) == -1)
			return SQLITE_NOMEM;
		look_at_row(c, t, s, p);
		if (p->text[0] != '\0' || c->bytes > bytes ||
		    (*n >= STEP_LEAST && clock_mono_us() > until)) {
			(*n)++;
			break;
		}
	}
	return rc;
}

static void
progress(struct store_db *db, const struct check *c, struct store_progress *p)
{
	double all = (double)db_bytes(db), part;

	/* how many rows there are is not known before they are read: by the bytes, about */
	part = c->bytes > 0 && all > (double)c->bytes ? (double)c->bytes / all : 1;
	p->done = c->rows;
	p->total = (uint64_t)((double)c->rows / part);
}

static enum store_status
walk_some(struct store_db *db, struct check *c, struct store_progress *p)
{
	int64_t until = clock_mono_us() + STEP_US;
	int rc, n;

	while (c->at < c->all.n && p->text[0] == '\0' && clock_mono_us() < until) {
		const struct tree *t = &c->all.list[c->at];
		sqlite3_stmt *s;

		n = 0;
		rc = prepare(db, c, t, &s);
		if (rc == SQLITE_OK)
			rc = walk(db, c, t, s, until, &n, p);
		sqlite3_finalize(s);
		if (rc != SQLITE_ROW && rc != SQLITE_DONE)
			return fell(db, t, rc, p);
		if (rc == SQLITE_ROW || n > 0) /* a new place, on its lowest level */
			continue;
		if (!place_next(&c->place))
			next_tree(c);
	}
	progress(db, c, p);
	p->ended = c->at == c->all.n || p->text[0] != '\0';
	if (c->at == c->all.n)
		p->total = p->done;
	return STORE_OK;
}

static enum store_status
begin_check(struct store_db *db, struct store_progress *p)
{
	struct check *c;
	int rc;

	check_stop(db);
	if ((c = calloc(1, sizeof(*c))) == NULL)
		return STORE_NO_MEMORY;
	db->check = c;
	/* Pages that are in memory were whole when they came there; what is on the disk now counts.
	 */
	(void)sqlite3_db_release_memory(db->sql);
	if ((rc = trees_list(db, &c->all)) == SQLITE_OK)
		return STORE_OK;
	return fell(db, NULL, rc, p);
}

enum store_status
check_step(struct store_db *db, int begin, struct store_progress *p)
{
	enum store_status st = STORE_OK;

	memset(p, 0, sizeof(*p));
	if (begin)
		st = begin_check(db, p);
	else if (db->check == NULL)
		return STORE_BAD;
	if (st == STORE_OK && !p->ended)
		st = walk_some(db, db->check, p);
	if (st != STORE_OK || p->ended)
		check_stop(db);
	return st;
}

void
check_stop(struct store_db *db)
{
	if (db->check == NULL)
		return;
	place_clear(&db->check->place);
	free(db->check);
	db->check = NULL;
}
