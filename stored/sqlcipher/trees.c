/* The trees of a database, and a walk through one of them that can stop anywhere. */
#include "stored/sqlcipher/trees.h"

#include <stdio.h>
#include <string.h>

/* ---------------------------------------------------------------- what there is */

static void
copy_name(char out[TREE_NAME], const unsigned char *from)
{
	snprintf(out, TREE_NAME, "%s", from != NULL ? (const char *)from : "rowid");
}

static void
add_key(struct tree *t, const unsigned char *name, const char *type)
{
	/* text is compared as text, whatever it is compared with */
	int text = type != NULL && strcmp(type, "TEXT") == 0;

	copy_name(t->key[t->nkey].name, name);
	t->key[t->nkey++].least = text ? "''" : "-9e999";
}

/* own: of the table itself, whose other columns are no part of the order. */
static int
read_key(struct store_db *db, struct tree *t, int own)
{
	static const char sql[] = "SELECT i.name, c.type FROM pragma_index_xinfo(?1) AS i"
				  " LEFT JOIN pragma_table_xinfo(?2) AS c ON c.name = i.name"
				  " WHERE i.key = 1 OR ?3 = 0 ORDER BY i.seqno";
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(db->sql, sql, -1, &s, NULL);

	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_text(s, 1, t->name, -1, SQLITE_STATIC);
		(void)sqlite3_bind_text(s, 2, t->table, -1, SQLITE_STATIC);
		(void)sqlite3_bind_int(s, 3, own);
		rc = SQLITE_ROW;
	}
	while (rc == SQLITE_ROW && (rc = db_step_rc(db, s)) == SQLITE_ROW) {
		if (t->nkey == TREE_KEYS)
			rc = SQLITE_TOOBIG;
		else
			add_key(
			    t, sqlite3_column_text(s, 0), (const char *)sqlite3_column_text(s, 1));
	}
	sqlite3_finalize(s);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static struct tree *
add(struct trees *all, const unsigned char *table)
{
	struct tree *t;

	if (all->n == TREES_MAX)
		return NULL;
	t = &all->list[all->n++];
	copy_name(t->table, table);
	snprintf(t->where, sizeof(t->where), "1");
	return t;
}

/* A row of the statement below. */
static int
add_index(struct store_db *db, struct trees *all, const char *table, int own_key, sqlite3_stmt *s)
{
	int own = own_key && strcmp((const char *)sqlite3_column_text(s, 1), "pk") == 0;
	struct tree *t = add(all, (const unsigned char *)table);
	const char *where = (const char *)sqlite3_column_text(s, 2);

	if (t == NULL || (where != NULL && strlen(where) >= sizeof(t->where)))
		return SQLITE_TOOBIG;
	copy_name(t->name, sqlite3_column_text(s, 0));
	t->is_index = !own;
	if (where != NULL)
		snprintf(t->where, sizeof(t->where), "%s", where);
	return read_key(db, t, own);
}

/* The indexes of a table; where it has no row ids, its primary key is the table itself. */
static int
add_indexes(struct store_db *db, struct trees *all, const char *table, int own_key)
{
	static const char sql[] =
	    "SELECT l.name, l.origin,"
	    " CASE WHEN l.partial THEN substr(m.sql, instr(m.sql, ' WHERE ') + 7) END"
	    " FROM pragma_index_list(?1) AS l LEFT JOIN sqlite_schema AS m ON m.name = l.name";
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(db->sql, sql, -1, &s, NULL);

	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_text(s, 1, table, -1, SQLITE_STATIC);
		rc = SQLITE_ROW;
	}
	while (rc == SQLITE_ROW && (rc = db_step_rc(db, s)) == SQLITE_ROW) {
		if ((rc = add_index(db, all, table, own_key, s)) == SQLITE_OK)
			rc = SQLITE_ROW;
	}
	sqlite3_finalize(s);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* A row of the statement below. */
static int
add_table(struct store_db *db, struct trees *all, sqlite3_stmt *s)
{
	int own_key = sqlite3_column_int(s, 1);
	char name[TREE_NAME];
	struct tree *t;

	copy_name(name, sqlite3_column_text(s, 0));
	if (!own_key) {
		if ((t = add(all, (const unsigned char *)name)) == NULL)
			return SQLITE_TOOBIG;
		add_key(t, NULL, NULL);
	}
	return add_indexes(db, all, name, own_key);
}

int
trees_list(struct store_db *db, struct trees *all)
{
	static const char sql[] = "SELECT name, wr FROM pragma_table_list"
				  " WHERE schema = 'main' AND type = 'table' ORDER BY name";
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(db->sql, sql, -1, &s, NULL);

	memset(all, 0, sizeof(*all));
	if (rc == SQLITE_OK)
		rc = SQLITE_ROW;
	while (rc == SQLITE_ROW && (rc = db_step_rc(db, s)) == SQLITE_ROW) {
		if ((rc = add_table(db, all, s)) == SQLITE_OK)
			rc = SQLITE_ROW;
	}
	sqlite3_finalize(s);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* ---------------------------------------------------------------- statements */

void
tree_put_key(sqlite3_str *q, const struct tree *t)
{
	int i;

	for (i = 0; i < t->nkey; i++)
		sqlite3_str_appendf(q, "%sm.\"%w\"", i == 0 ? "SELECT " : ", ", t->key[i].name);
}

void
tree_put_from(sqlite3_str *q, const struct tree *t, const char *alias)
{
	sqlite3_str_appendf(q, " FROM \"%w\" AS %s", t->table, alias);
	if (t->name[0] != '\0')
		sqlite3_str_appendf(q, " INDEXED BY \"%w\"", t->name);
	else
		sqlite3_str_appendall(q, " NOT INDEXED");
	sqlite3_str_appendf(q, " WHERE %s", t->where);
}

/* Behind the last key, on a level. */
static void
put_range(sqlite3_str *q, const struct tree *t, const struct place *p)
{
	int i;

	if (p->last[0] == NULL)
		return;
	for (i = 0; i < p->level; i++)
		sqlite3_str_appendf(q, " AND m.\"%w\" IS ?%d", t->key[i].name, i + 1);
	if (sqlite3_value_type(p->last[i]) == SQLITE_NULL) /* NULLs come first */
		sqlite3_str_appendf(q, " AND m.\"%w\" >= %s", t->key[i].name, t->key[i].least);
	else
		sqlite3_str_appendf(q, " AND m.\"%w\" > ?%d", t->key[i].name, i + 1);
}

void
tree_put_rest(sqlite3_str *q, const struct tree *t, const struct place *p, int limit)
{
	int i;

	tree_put_from(q, t, "m");
	put_range(q, t, p);
	for (i = 0; i < t->nkey; i++)
		sqlite3_str_appendf(q, "%s m.\"%w\"", i == 0 ? " ORDER BY" : ",", t->key[i].name);
	sqlite3_str_appendf(q, " LIMIT %d", limit);
}

int
tree_prepare(struct store_db *db, sqlite3_str *q, const struct place *p, sqlite3_stmt **out)
{
	char *text = sqlite3_str_finish(q);
	int rc, i, n;

	*out = NULL;
	if (text == NULL)
		return SQLITE_NOMEM;
	rc = sqlite3_prepare_v2(db->sql, text, -1, out, NULL);
	sqlite3_free(text);
	if (rc != SQLITE_OK || p->last[0] == NULL)
		return rc;
	n = sqlite3_bind_parameter_count(*out); /* without the last one if that is NULL */
	for (i = 0; rc == SQLITE_OK && i < n; i++)
		rc = sqlite3_bind_value(*out, i + 1, p->last[i]);
	return rc;
}

/* ---------------------------------------------------------------- the place */

int
place_keep(struct place *p, const struct tree *t, sqlite3_stmt *s)
{
	int i;

	for (i = 0; i < t->nkey; i++) {
		sqlite3_value_free(p->last[i]);
		if ((p->last[i] = sqlite3_value_dup(sqlite3_column_value(s, i))) == NULL)
			return -1;
	}
	p->level = t->nkey - 1;
	return 0;
}

int
place_next(struct place *p)
{
	return p->last[0] != NULL && --p->level >= 0;
}

void
place_clear(struct place *p)
{
	int i;

	for (i = 0; i < TREE_KEYS; i++)
		sqlite3_value_free(p->last[i]);
	memset(p, 0, sizeof(*p));
}
