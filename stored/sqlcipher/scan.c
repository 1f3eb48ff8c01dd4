/* Walks through a table in steps: by row id where there is one, else by key. What comes or goes
 * between two steps may be missed; what stands still is given once. */
#include <string.h>

#include "stored/sqlcipher/db.h"

struct step {
	sqlite3_stmt *s; /* columns: where to go on, bytes that count, then those of the row */
	struct region *r;
	Stored__ScanReply *out;
	size_t limit;
};

/* ---------------------------------------------------------------- one row of each */

/* A message for the row, behind the others of its list. NULL: memory is out. */
static void *
append(struct step *w, size_t size, void *list, size_t *n)
{
	void **items, *item = region_alloc(w->r, size);

	memcpy(&items, list, sizeof(items)); /* protobuf-c gives each list a type of its own */
	if (items == NULL)
		items = region_alloc(w->r, w->limit * sizeof(void *));
	memcpy(list, &items, sizeof(items));
	if (item == NULL || items == NULL)
		return NULL;
	items[(*n)++] = item;
	return item;
}

static enum store_status
add_contact(struct step *w)
{
	Stored__Contact *c = append(w, sizeof(*c), &w->out->contacts, &w->out->n_contacts);

	if (c == NULL)
		return STORE_NO_MEMORY;
	contacts_of_row(w->s, 2, w->r, c);
	return STORE_OK;
}

static enum store_status
add_device_list(struct step *w)
{
	Stored__DeviceList *l =
	    append(w, sizeof(*l), &w->out->device_lists, &w->out->n_device_lists);

	if (l == NULL)
		return STORE_NO_MEMORY;
	return devices_unpack(
	    sqlite3_column_blob(w->s, 2), (size_t)sqlite3_column_bytes(w->s, 2), w->r, l);
}

static enum store_status
add_group(struct step *w)
{
	Stored__Group *g = append(w, sizeof(*g), &w->out->groups, &w->out->n_groups);

	if (g == NULL)
		return STORE_NO_MEMORY;
	stored__group__init(g);
	g->group = db_text(w->s, 2, w->r);
	g->has_metadata = 1;
	(void)db_blob(w->s, 3, w->r, &g->metadata);
	return STORE_OK;
}

static enum store_status
add_collection(struct step *w)
{
	Stored__Collection *c = append(w, sizeof(*c), &w->out->collections, &w->out->n_collections);

	if (c == NULL)
		return STORE_NO_MEMORY;
	stored__collection__init(c);
	c->name = db_text(w->s, 0, w->r);
	appsync_of_row(w->s, 2, w->r, c);
	return STORE_OK;
}

static enum store_status
add_token(struct step *w)
{
	Stored__Token *t = append(w, sizeof(*t), &w->out->tokens, &w->out->n_tokens);

	if (t == NULL)
		return STORE_NO_MEMORY;
	stored__token__init(t);
	t->user = db_text(w->s, 0, w->r);
	tokens_of_row(w->s, 2, w->r, t);
	return STORE_OK;
}

static enum store_status
add_pending(struct step *w)
{
	Stored__Pending *p = append(w, sizeof(*p), &w->out->pendings, &w->out->n_pendings);
	Stored__MessageName *n = region_alloc(w->r, sizeof(*n));

	if (p == NULL || n == NULL)
		return STORE_NO_MEMORY;
	stored__pending__init(p);
	stored__message_name__init(n);
	n->chat = db_text(w->s, 2, w->r);
	n->sender = db_text(w->s, 3, w->r);
	n->id = db_text(w->s, 4, w->r);
	p->name = n;
	pending_of_row(w->s, 5, w->r, p);
	return STORE_OK;
}

/* ---------------------------------------------------------------- the walk */

#define ABOVE(key) " WHERE " key " > ?1 ORDER BY " key " LIMIT ?2"

static struct walk {
	struct sql q;
	int by_row;
	enum store_status (*add)(struct step *w);
} walks[] = {
    [STORED__TABLE__CONTACTS] = {SQL("SELECT row, 200, " CONTACT_COLUMNS
				     " FROM contact" ABOVE("row")),
	1, add_contact},
    [STORED__TABLE__DEVICE_LISTS] = {SQL("SELECT user, length(list), list FROM device_list" ABOVE(
					 "user")),
	0, add_device_list},
    [STORED__TABLE__GROUPS] = {SQL("SELECT row, length(metadata), jid, metadata"
				   " FROM group_info" ABOVE("row")),
	1, add_group},
    [STORED__TABLE__COLLECTIONS] = {SQL("SELECT name, 200, version, hash, fatal"
					" FROM collection" ABOVE("name")),
	0, add_collection},
    [STORED__TABLE__TOKENS] = {SQL("SELECT user, 100 + length(token), token, token_s, sender_s"
				   " FROM token" ABOVE("user")),
	0, add_token},
    [STORED__TABLE__PENDINGS] = {SQL("SELECT row, length(stanza), chat, sender, id, stanza,"
				     " attempts FROM pending" ABOVE("row")),
	1, add_pending},
};

/* A row id that an earlier step gave as text. 0, or -1: no such text. */
static int
parse_row(const char *text, int64_t *row)
{
	*row = 0;
	if (*text == '\0')
		return -1;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9' || *row > (INT64_MAX - 9) / 10)
			return -1;
		*row = *row * 10 + (*text - '0');
	}
	return 0;
}

static enum store_status
bind_after(sqlite3_stmt *s, const struct walk *walk, const char *after)
{
	int64_t row = 0;

	if (!walk->by_row) {
		db_bind_text(s, 1, after != NULL ? after : "");
		return STORE_OK;
	}
	if (after != NULL && parse_row(after, &row) == -1)
		return STORE_BAD;
	sqlite3_bind_int64(s, 1, row);
	return STORE_OK;
}

/* Rows until the limit or the bytes; `next` is where the last one stood, if there are more. */
static enum store_status
take_rows(struct store_db *db, const struct walk *walk, struct step *w, size_t max_bytes)
{
	enum store_status st;
	char *last = NULL;
	size_t n = 0, bytes = 0;
	int row;

	while ((st = db_step(db, w->s, &row)) == STORE_OK && row) {
		bytes += (size_t)db_u64(w->s, 1);
		if (n == w->limit || (n > 0 && bytes > max_bytes)) {
			w->out->next = last;
			break;
		}
		last = db_text(w->s, 0, w->r); /* a number is given as digits */
		if ((st = walk->add(w)) != STORE_OK)
			break;
		n++;
	}
	return st == STORE_OK && region_failed(w->r) ? STORE_NO_MEMORY : st;
}

enum store_status
scan_rows(struct store_db *db, const Stored__Scan *q, size_t max_bytes, struct region *r,
    Stored__ScanReply *out)
{
	struct walk *walk = &walks[q->table];
	enum store_status st;
	struct step w = {db_stmt(db, &walk->q, &st), r, out, q->limit};

	if (w.s == NULL)
		return st;
	if ((st = bind_after(w.s, walk, q->after)) == STORE_OK) {
		sqlite3_bind_int64(w.s, 2, (int64_t)q->limit + 1);
		st = take_rows(db, walk, &w, max_bytes);
	}
	db_done(w.s);
	return st;
}
