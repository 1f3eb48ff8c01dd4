/* The trees of a database, which are its tables and indexes, and a walk through one of them that
 * can stop anywhere and go on later. For the files of this folder only.
 *
 * A walk goes on behind the last key that it saw, and no statement stays open meanwhile. Where a
 * key has several columns, the rest of the tree behind (a, b) is: those with that a and a larger b,
 * then those with a larger a. Each of these ranges is a level; the last column's comes first. */
#ifndef WARD_SQLCIPHER_TREES_H
#define WARD_SQLCIPHER_TREES_H

#include "stored/sqlcipher/db.h"

#define TREES_MAX 96
#define TREE_NAME 48
#define TREE_KEYS 5

struct tree {
	char table[TREE_NAME];
	char name[TREE_NAME]; /* for INDEXED BY; "" = the table's own row ids */
	char where[160];      /* which rows are in it: "1", or of a partial index */
	int is_index;
	/* the columns that it is in the order of; "rowid" where there is one */
	struct {
		char name[TREE_NAME];
		const char *least; /* SQL: not larger than anything that it can hold but NULL */
	} key[TREE_KEYS];
	int nkey;
};

struct trees {
	struct tree list[TREES_MAX];
	size_t n;
};

/* Where a walk through one tree stands; zeroed: at its beginning. */
struct place {
	sqlite3_value *last[TREE_KEYS];
	int level;
};

/* All that there are. Returns an SQLite result code. */
int trees_list(struct store_db *db, struct trees *out);

/* A statement is put together from these: "SELECT <key>", more columns (of the row "m"), the rest.
 */
void tree_put_key(sqlite3_str *q, const struct tree *t);
void tree_put_from(sqlite3_str *q, const struct tree *t, const char *alias);
void tree_put_rest(sqlite3_str *q, const struct tree *t, const struct place *p, int limit);
/* Takes q. Returns an SQLite result code. */
int tree_prepare(struct store_db *db, sqlite3_str *q, const struct place *p, sqlite3_stmt **out);

/* The walk has seen this row. 0, or -1: no memory. */
int place_keep(struct place *p, const struct tree *t, sqlite3_stmt *s);
/* The range had no more rows: 1 = there is another, 0 = that was the tree. */
int place_next(struct place *p);
void place_clear(struct place *p);

#endif
