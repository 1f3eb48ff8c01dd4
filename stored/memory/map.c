/* An ordered map of byte strings, and the journal by which its changes are taken back. */
#include "stored/memory/map.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"

/* ---------------------------------------------------------------- keys */

void
key_start(struct key *k, uint8_t table)
{
	k->len = 0;
	key_u8(k, table);
}

void
key_bytes(struct key *k, const void *p, size_t n)
{
	size_t room = sizeof(k->bytes) - k->len;

	if (n > room)
		n = room;
	if (n > 0)
		memcpy(k->bytes + k->len, p, n);
	k->len += n;
}

void
key_u8(struct key *k, uint8_t v)
{
	key_bytes(k, &v, 1);
}

void
key_u32(struct key *k, uint32_t v)
{
	uint8_t be[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

	key_bytes(k, be, sizeof(be));
}

void
key_u64(struct key *k, uint64_t v)
{
	key_u32(k, (uint32_t)(v >> 32));
	key_u32(k, (uint32_t)v);
}

void
key_text(struct key *k, const char *s)
{
	key_bytes(k, s, strlen(s) + 1);
}

uint64_t
key_read_u64(const uint8_t *key, size_t at)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < 8; i++)
		v = v << 8 | key[at + i];
	return v;
}

/* ---------------------------------------------------------------- the tree */

/* A change: `old` stands outside of the tree until it is known that nobody wants it back. */
struct change {
	struct map_row *old; /* NULL: there was none */
	struct map_row *new; /* NULL: it was deleted */
};

RB_HEAD(map_tree, map_row);
struct map {
	struct map_tree rows;
	uint64_t bytes, nrows;
	int in_transaction;
	struct change *journal;
	size_t n, cap;
	int marked;
	size_t mark; /* changes of the journal that lie before the mark */
};

static int
order(const uint8_t *a, size_t alen, const uint8_t *b, size_t blen)
{
	int c = memcmp(a, b, alen < blen ? alen : blen);

	return c != 0 ? c : (alen > blen) - (alen < blen);
}

static int
row_order(const struct map_row *a, const struct map_row *b)
{
	return order(a->key, a->keylen, b->key, b->keylen);
}

/* NOLINTBEGIN: the library's own code */
/* cppcheck-suppress unknownMacro */
RB_PROTOTYPE(map_tree, map_row, link, row_order)
RB_GENERATE(map_tree, map_row, link, row_order)
/* NOLINTEND */

static struct map_row *
row_new(const struct key *k, const void *head, size_t headlen, const void *data, size_t len)
{
	struct map_row *row = malloc(sizeof(*row) + k->len + headlen + len);
	uint8_t *p = (uint8_t *)(row + 1);

	if (row == NULL)
		return NULL;
	memset(row, 0, sizeof(*row));
	row->key = p;
	row->keylen = k->len;
	memcpy(p, k->bytes, k->len);
	p += k->len;
	row->value = p;
	row->len = headlen + len;
	if (headlen > 0)
		memcpy(p, head, headlen);
	if (len > 0)
		memcpy(p + headlen, data, len);
	return row;
}

static void
row_free(struct map_row *row)
{
	if (row == NULL)
		return;
	sodium_memzero(row, sizeof(*row) + row->keylen + row->len);
	free(row);
}

static void
insert(struct map *m, struct map_row *row)
{
	RB_INSERT(map_tree, &m->rows, row);
	m->bytes += row->keylen + row->len;
	m->nrows++;
}

static void
take_out(struct map *m, struct map_row *row)
{
	RB_REMOVE(map_tree, &m->rows, row);
	m->bytes -= row->keylen + row->len;
	m->nrows--;
}

struct map *
map_new(void)
{
	struct map *m = calloc(1, sizeof(*m));

	if (m != NULL)
		RB_INIT(&m->rows);
	return m;
}

void
map_free(struct map *m)
{
	struct map_row *row, *next;

	if (m == NULL)
		return;
	map_rollback(m);
	for (row = RB_MIN(map_tree, &m->rows); row != NULL; row = next) {
		next = RB_NEXT(map_tree, &m->rows, row);
		take_out(m, row);
		row_free(row);
	}
	free(m->journal);
	free(m);
}

uint64_t
map_bytes(const struct map *m)
{
	return m->bytes;
}

uint64_t
map_rows(const struct map *m)
{
	return m->nrows;
}

/* ---------------------------------------------------------------- reading */

static struct map_row
probe(const struct key *k)
{
	struct map_row p = {.key = k->bytes, .keylen = k->len};

	return p;
}

const struct map_row *
map_get(struct map *m, const struct key *k)
{
	struct map_row p = probe(k);

	return RB_FIND(map_tree, &m->rows, &p);
}

const struct map_row *
map_from(struct map *m, const struct key *k)
{
	struct map_row p = probe(k);

	return RB_NFIND(map_tree, &m->rows, &p);
}

const struct map_row *
map_above(struct map *m, const struct key *k)
{
	const struct map_row *row = map_from(m, k);

	if (row != NULL && order(row->key, row->keylen, k->bytes, k->len) == 0)
		row = map_next(row);
	return row;
}

const struct map_row *
map_before(struct map *m, const struct key *k)
{
	const struct map_row *row = map_from(m, k);

	return row != NULL ? map_prev(row) : RB_MAX(map_tree, &m->rows);
}

/* The library's steps know no const, and change nothing. */
static struct map_row *mutable(const struct map_row *row)
{
	return (struct map_row *)(uintptr_t)row;
}

const struct map_row *
map_next(const struct map_row *row)
{
	return map_tree_RB_NEXT(mutable(row));
}

const struct map_row *
map_prev(const struct map_row *row)
{
	return map_tree_RB_PREV(mutable(row));
}

int
map_within(const struct map_row *row, const struct key *k)
{
	return row != NULL && row->keylen >= k->len && memcmp(row->key, k->bytes, k->len) == 0;
}

/* ---------------------------------------------------------------- writing */

/* Room for one more change, so that noting it cannot fail. */
static enum store_status
journal_room(struct map *m)
{
	size_t cap = m->cap == 0 ? 64 : m->cap * 2;
	struct change *more;

	if (!m->in_transaction) {
		log_errx("memory: a write outside of a transaction");
		return STORE_BAD;
	}
	if (m->n < m->cap)
		return STORE_OK;
	if ((more = realloc(m->journal, cap * sizeof(*more))) == NULL)
		return STORE_NO_MEMORY;
	m->journal = more;
	m->cap = cap;
	return STORE_OK;
}

static void
change(struct map *m, struct map_row *old, struct map_row *new)
{
	if (old != NULL)
		take_out(m, old);
	if (new != NULL)
		insert(m, new);
	m->journal[m->n++] = (struct change){old, new};
}

enum store_status
map_put(struct map *m, const struct key *k, const void *head, size_t headlen, const void *data,
    size_t len)
{
	enum store_status st = journal_room(m);
	struct map_row *row;

	if (st != STORE_OK)
		return st;
	if ((row = row_new(k, head, headlen, data, len)) == NULL)
		return STORE_NO_MEMORY;
	change(m, mutable(map_get(m, k)), row);
	return STORE_OK;
}

enum store_status
map_delete_row(struct map *m, const struct map_row *row)
{
	enum store_status st = journal_room(m);

	if (st == STORE_OK)
		change(m, mutable(row), NULL);
	return st;
}

enum store_status
map_delete(struct map *m, const struct key *k, int *gone)
{
	const struct map_row *row = map_get(m, k);

	if (gone != NULL)
		*gone = row != NULL;
	return row != NULL ? map_delete_row(m, row) : STORE_OK;
}

enum store_status
map_clear(struct map *m, const struct key *k)
{
	const struct map_row *row, *next;
	enum store_status st = STORE_OK;

	for (row = map_from(m, k); st == STORE_OK && map_within(row, k); row = next) {
		next = map_next(row);
		st = map_delete_row(m, row);
	}
	return st;
}

/* ---------------------------------------------------------------- transactions */

static void
undo_to(struct map *m, size_t n)
{
	while (m->n > n) {
		struct change *c = &m->journal[--m->n];

		if (c->new != NULL) {
			take_out(m, c->new);
			row_free(c->new);
		}
		if (c->old != NULL)
			insert(m, c->old);
	}
}

/* Only what has to be there may be there. */
static enum store_status
expect(struct map *m, int in_transaction, int marked)
{
	if (m->in_transaction == in_transaction && m->marked == marked)
		return STORE_OK;
	log_errx("memory: a transaction or mark begun twice, or ended that was not begun");
	return STORE_BAD;
}

enum store_status
map_begin(struct map *m)
{
	enum store_status st = expect(m, 0, 0);

	if (st == STORE_OK)
		m->in_transaction = 1;
	return st;
}

enum store_status
map_commit(struct map *m)
{
	enum store_status st = expect(m, 1, 0);
	size_t i;

	if (st != STORE_OK)
		return st;
	for (i = 0; i < m->n; i++)
		row_free(m->journal[i].old);
	m->n = 0;
	m->in_transaction = 0;
	return STORE_OK;
}

void
map_rollback(struct map *m)
{
	undo_to(m, 0);
	m->in_transaction = m->marked = 0;
}

enum store_status
map_mark(struct map *m)
{
	enum store_status st = expect(m, 1, 0);

	if (st == STORE_OK) {
		m->marked = 1;
		m->mark = m->n;
	}
	return st;
}

enum store_status
map_mark_keep(struct map *m)
{
	enum store_status st = expect(m, 1, 1);

	if (st == STORE_OK)
		m->marked = 0;
	return st;
}

enum store_status
map_mark_undo(struct map *m)
{
	enum store_status st = expect(m, 1, 1);

	if (st == STORE_OK) {
		undo_to(m, m->mark);
		m->marked = 0;
	}
	return st;
}
