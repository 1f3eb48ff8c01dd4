/* The outbox: what is to be sent and what was, with the receipts that came for it. */
#include <string.h>

#include "common/pb.h"
#include "stored/sqlcipher/db.h"

#define COLUMNS                                                                                    \
	"row, message_id, chat, uid, key, params_hash, content, state, stanza, created_ms, "       \
	"was_online,"                                                                              \
	" code, reason, server_ms,"                                                                \
	" (SELECT count(*) FROM receipt WHERE outbox = row),"                                      \
	" (SELECT count(*) FROM receipt WHERE outbox = row AND status >= 2),"                      \
	" not_after_ms, taken, (SELECT devices FROM outbox_devices WHERE outbox = row),"           \
	" until_ms"

#define DEVICES_ARENA ((size_t)2 * 1024 * 1024) /* 4096 JIDs of any length */

#define FIRST_CONTACTS_MAX 4096

enum receipt_status {
	DELIVERED = 1,
	READ = 2,
	PLAYED = 3
};

/* ---------------------------------------------------------------- writing */

/* Is one there with this key, or with this message id? */
static enum store_status
taken(struct store_db *db, const Stored__OutboxPut *p)
{
	static struct sql q =
	    SQL("SELECT key IS ?2 AND uid = ?1 FROM outbox WHERE (uid = ?1 AND key = ?2)"
		" OR message_id = ?3 ORDER BY 1 DESC LIMIT 1");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	int row = 0;

	if (s == NULL)
		return st;
	sqlite3_bind_int64(s, 1, p->uid);
	db_bind_text(s, 2, p->idempotency_key);
	db_bind_text(s, 3, p->message_id);
	st = db_step(db, s, &row);
	if (st == STORE_OK && row)
		st = sqlite3_column_int(s, 0) ? STORE_DUPLICATE : STORE_BAD;
	db_done(s);
	return st;
}

/* The devices that the message was encrypted for; none: nothing is written. */
static enum store_status
put_devices(struct store_db *db, const char *message_id, char **devices, size_t n)
{
	static struct sql q =
	    SQL("INSERT INTO outbox_devices(outbox, devices) SELECT row, ?2 FROM outbox"
		" WHERE message_id = ?1"
		" ON CONFLICT(outbox) DO UPDATE SET devices = excluded.devices");
	Stored__DeviceNames names = STORED__DEVICE_NAMES__INIT;
	enum store_status st;
	sqlite3_stmt *s;

	if (n == 0)
		return STORE_OK;
	if ((s = db_stmt(db, &q, &st)) == NULL)
		return st;
	names.devices = devices;
	names.n_devices = n;
	db_bind_text(s, 1, message_id);
	return db_run_packed(db, s, 2, &names.base);
}

enum store_status
outbox_put(struct store_db *db, const Stored__OutboxPut *p, int64_t now_ms)
{
	static struct sql q = SQL(
	    "INSERT INTO outbox(message_id, chat, uid, key, params_hash, content, state, stanza,"
	    " created_ms, was_online, not_after_ms, added_ms)"
	    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)");
	enum store_status st = taken(db, p);
	sqlite3_stmt *s;

	if (st != STORE_OK || (s = db_stmt(db, &q, &st)) == NULL)
		return st;
	db_bind_text(s, 1, p->message_id);
	db_bind_text(s, 2, p->chat);
	sqlite3_bind_int64(s, 3, p->uid);
	db_bind_text(s, 4, p->idempotency_key);
	db_bind_blob(s, 5, p->params_hash.data, p->params_hash.len);
	db_bind_blob(s, 6, p->content.data, p->content.len);
	sqlite3_bind_int(s, 7, (int)p->state);
	if (p->has_stanza)
		db_bind_blob(s, 8, p->stanza.data, p->stanza.len);
	sqlite3_bind_int64(s, 9, p->created_ms);
	if (p->has_was_online)
		sqlite3_bind_int(s, 10, p->was_online);
	if (p->has_not_after_ms)
		sqlite3_bind_int64(s, 11, p->not_after_ms);
	sqlite3_bind_int64(s, 12, now_ms);
	st = db_run(db, s);
	return st == STORE_OK ? put_devices(db, p->message_id, p->devices, p->n_devices) : st;
}

enum store_status
outbox_update(struct store_db *db, const Stored__OutboxUpdate *u)
{
	static struct sql q =
	    SQL("UPDATE outbox SET state = ifnull(?2, state), stanza = ifnull(?3, stanza),"
		" code = ifnull(?4, code), reason = ifnull(?5, reason),"
		" server_ms = ifnull(?6, server_ms), until_ms = ifnull(?7, until_ms)"
		" WHERE message_id = ?1");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	db_bind_text(s, 1, u->message_id);
	if (u->has_state)
		sqlite3_bind_int(s, 2, (int)u->state);
	if (u->has_stanza)
		db_bind_blob(s, 3, u->stanza.data, u->stanza.len);
	if (u->has_code)
		sqlite3_bind_int64(s, 4, u->code);
	db_bind_text(s, 5, u->reason);
	if (u->has_server_ms)
		sqlite3_bind_int64(s, 6, u->server_ms);
	if (u->has_until_ms)
		sqlite3_bind_int64(s, 7, u->until_ms);
	st = db_run(db, s);
	return st == STORE_OK ? put_devices(db, u->message_id, u->devices, u->n_devices) : st;
}

enum store_status
outbox_take(struct store_db *db, const char *message_id)
{
	static struct sql q = SQL("UPDATE outbox SET content = x'', taken = 1"
				  " WHERE message_id = ?1 AND taken IS NULL");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	db_bind_text(s, 1, message_id);
	st = db_run(db, s);
	return st == STORE_OK && db_changes(db) != 1 ? STORE_ABSENT : st;
}

static int
rank(const char *status)
{
	if (strcmp(status, "played") == 0)
		return PLAYED;
	return strcmp(status, "read") == 0 ? READ : DELIVERED;
}

enum store_status
outbox_receipt(struct store_db *db, const Stored__ReceiptMark *m)
{
	/* of a message that is not ours, or not theirs, nothing is kept: a stranger could fill the
	 * disk, or say that it arrived */
	static struct sql q =
	    SQL("INSERT INTO receipt(outbox, party, status, time_ms)"
		" SELECT row, ?2, ?3, ?4 FROM outbox WHERE message_id = ?1"
		" AND (?5 IS NULL OR chat IN (?5, ?6))"
		" ON CONFLICT(outbox, party) DO UPDATE SET status = excluded.status,"
		" time_ms = excluded.time_ms WHERE excluded.status > status");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	db_bind_text(s, 1, m->message_id);
	db_bind_text(s, 2, m->party);
	sqlite3_bind_int(s, 3, rank(m->status));
	sqlite3_bind_int64(s, 4, m->time_ms);
	for (size_t i = 0; i < m->n_chats && i < STORE_RECEIPT_CHATS; i++)
		db_bind_text(s, 5 + (int)i, m->chats[i]);
	return db_run(db, s);
}

/* ---------------------------------------------------------------- reading */

/* The devices as put_devices packed them. */
static enum store_status
unpack_devices(sqlite3_stmt *s, int col, struct region *r, Stored__OutboxPut *p)
{
	const void *bytes = sqlite3_column_blob(s, col);
	Stored__DeviceNames *names;
	struct pb_arena *arena;
	enum store_status st = STORE_OK;
	size_t i;

	if (bytes == NULL)
		return STORE_OK;
	if ((arena = pb_arena_new(DEVICES_ARENA)) == NULL)
		return STORE_NO_MEMORY;
	names = (Stored__DeviceNames *)pb_unpack(&stored__device_names__descriptor, bytes,
	    (size_t)sqlite3_column_bytes(s, col), arena, PB_STRICT, NULL);
	if (names == NULL)
		st = STORE_CORRUPT;
	else if ((p->devices = region_alloc(r, (names->n_devices + 1) * sizeof(char *))) == NULL)
		st = STORE_NO_MEMORY;
	for (i = 0; st == STORE_OK && i < names->n_devices; i++)
		p->devices[p->n_devices++] = region_text(r, names->devices[i]);
	pb_arena_free(arena);
	return st;
}

static enum store_status
row_of(sqlite3_stmt *s, struct region *r, Stored__OutboxRow **out)
{
	Stored__OutboxRow *row = region_alloc(r, sizeof(*row));
	Stored__OutboxPut *p = region_alloc(r, sizeof(*p));
	enum store_status st;

	*out = NULL;
	if (row == NULL || p == NULL)
		return STORE_NO_MEMORY;
	stored__outbox_row__init(row);
	stored__outbox_put__init(p);
	row->put = p;
	row->row = db_u64(s, 0);
	p->message_id = db_text(s, 1, r);
	p->chat = db_text(s, 2, r);
	p->uid = (uint32_t)sqlite3_column_int64(s, 3);
	p->idempotency_key = db_text(s, 4, r);
	if (p->idempotency_key == NULL) /* freed after its seven days */
		p->idempotency_key = region_text(r, "");
	(void)db_blob(s, 5, r, &p->params_hash); /* the region remembers a failure */
	(void)db_blob(s, 6, r, &p->content);
	p->state = (Stored__OutboxState)sqlite3_column_int(s, 7);
	p->has_stanza = sqlite3_column_type(s, 8) != SQLITE_NULL;
	if (p->has_stanza)
		(void)db_blob(s, 8, r, &p->stanza);
	p->created_ms = sqlite3_column_int64(s, 9);
	p->has_was_online = sqlite3_column_type(s, 10) != SQLITE_NULL;
	p->was_online = sqlite3_column_int(s, 10) != 0;
	p->has_not_after_ms = sqlite3_column_type(s, 16) != SQLITE_NULL;
	p->not_after_ms = sqlite3_column_int64(s, 16);
	row->has_code = sqlite3_column_type(s, 11) != SQLITE_NULL;
	row->code = (uint32_t)sqlite3_column_int64(s, 11);
	row->reason = db_text(s, 12, r);
	row->has_server_ms = sqlite3_column_type(s, 13) != SQLITE_NULL;
	row->server_ms = sqlite3_column_int64(s, 13);
	row->has_delivered = row->has_read = 1;
	row->delivered = (uint32_t)sqlite3_column_int64(s, 14);
	row->read = (uint32_t)sqlite3_column_int64(s, 15);
	row->has_taken = row->taken = sqlite3_column_int(s, 17) != 0;
	row->has_until_ms = sqlite3_column_type(s, 19) != SQLITE_NULL;
	row->until_ms = sqlite3_column_int64(s, 19);
	if ((st = unpack_devices(s, 18, r, p)) != STORE_OK)
		return st;
	*out = row;
	return region_failed(r) ? STORE_NO_MEMORY : STORE_OK;
}

enum store_status
outbox_load(struct store_db *db, uint64_t after_row, uint32_t limit, size_t max_bytes,
    struct region *r, Stored__OutboxRow ***rows, size_t *n)
{
	static struct sql q =
	    SQL("SELECT " COLUMNS
		" FROM outbox WHERE row > ?1 AND state IN (1, 2) ORDER BY row LIMIT ?2");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	size_t bytes = 0;
	int row;

	*n = 0;
	if (s == NULL)
		return st;
	if ((*rows = region_alloc(r, (size_t)limit * sizeof(Stored__OutboxRow *))) == NULL)
		return STORE_NO_MEMORY;
	db_bind_u64(s, 1, after_row);
	sqlite3_bind_int64(s, 2, limit);
	while ((st = db_step(db, s, &row)) == STORE_OK && row && *n < limit) {
		bytes += (size_t)sqlite3_column_bytes(s, 6) + (size_t)sqlite3_column_bytes(s, 8) +
			 (size_t)sqlite3_column_bytes(s, 18);
		if (*n > 0 && bytes > max_bytes)
			break;
		if ((st = row_of(s, r, &(*rows)[*n])) != STORE_OK)
			break;
		(*n)++;
	}
	db_done(s);
	return st;
}

/* Of a row that waits: how many wait before it. */
static enum store_status
tell_ahead(struct store_db *db, Stored__OutboxRow *row)
{
	static struct sql q = SQL("SELECT count(*) FROM outbox WHERE row < ?1 AND state IN (1, 2)");
	enum store_status st;
	sqlite3_stmt *s;
	int got = 0;

	if (row->put->state != STORED__OUTBOX_STATE__QUEUED &&
	    row->put->state != STORED__OUTBOX_STATE__READY)
		return STORE_OK;
	if ((s = db_stmt(db, &q, &st)) == NULL)
		return st;
	db_bind_u64(s, 1, row->row);
	if ((st = db_step(db, s, &got)) == STORE_OK && got) {
		row->has_ahead = 1;
		row->ahead = db_u64(s, 0);
	}
	db_done(s);
	return st;
}

enum store_status
outbox_find(struct store_db *db, uint32_t uid, const char *key, const char *message_id,
    struct region *r, Stored__OutboxRow **out)
{
	static struct sql by_key =
	    SQL("SELECT " COLUMNS " FROM outbox WHERE uid = ?1 AND key = ?2");
	static struct sql by_id = SQL("SELECT " COLUMNS " FROM outbox WHERE message_id = ?1");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, message_id != NULL ? &by_id : &by_key, &st);
	int row = 0;

	*out = NULL;
	if (s == NULL)
		return st;
	if (message_id != NULL) {
		db_bind_text(s, 1, message_id);
	} else {
		sqlite3_bind_int64(s, 1, uid);
		db_bind_text(s, 2, key);
	}
	st = db_step(db, s, &row);
	if (st == STORE_OK && row)
		st = row_of(s, r, out);
	db_done(s);
	return st == STORE_OK && *out != NULL ? tell_ahead(db, *out) : st;
}

/* When new people were turned to, the newest so many, oldest first. */
static enum store_status
first_contacts(struct store_db *db, int64_t since_ms, struct region *r, Stored__OutboxCounts *out)
{
	static struct sql q = SQL("SELECT first_out_ms FROM contact WHERE first_out_ms > ?1"
				  " ORDER BY first_out_ms DESC LIMIT ?2");
	int64_t *list = region_alloc(r, FIRST_CONTACTS_MAX * sizeof(*list));
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	size_t n = 0;
	int row;

	if (s == NULL || list == NULL)
		return s == NULL ? st : STORE_NO_MEMORY;
	sqlite3_bind_int64(s, 1, since_ms);
	sqlite3_bind_int64(s, 2, FIRST_CONTACTS_MAX);
	while ((st = db_step(db, s, &row)) == STORE_OK && row && n < FIRST_CONTACTS_MAX)
		list[FIRST_CONTACTS_MAX - ++n] = sqlite3_column_int64(s, 0);
	db_done(s);
	out->first_out_ms = list + (FIRST_CONTACTS_MAX - n);
	out->n_first_out_ms = n;
	return st;
}

enum store_status
outbox_count(struct store_db *db, int64_t since_ms, struct region *r, Stored__OutboxCounts *out)
{
	static struct sql q = SQL("SELECT count(*) FROM outbox WHERE state IN (1, 2)");
	static struct sql first = SQL("SELECT created_ms FROM outbox WHERE state IN (1, 2)"
				      " ORDER BY row LIMIT 1");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	int row = 0;

	if (s == NULL)
		return st;
	if ((st = db_step(db, s, &row)) == STORE_OK && row)
		out->waiting = db_u64(s, 0);
	db_done(s);
	if (st != STORE_OK || (s = db_stmt(db, &first, &st)) == NULL)
		return st;
	if ((st = db_step(db, s, &row)) == STORE_OK && row) {
		out->has_oldest_ms = 1;
		out->oldest_ms = sqlite3_column_int64(s, 0);
	}
	db_done(s);
	return st == STORE_OK ? first_contacts(db, since_ms, r, out) : st;
}

enum store_status
outbox_receipts(
    struct store_db *db, uint64_t row, struct region *r, Stored__ReceiptMark ***marks, size_t *n)
{
	static struct sql q = SQL("SELECT party, status, time_ms FROM receipt WHERE outbox = ?1"
				  " ORDER BY time_ms DESC, party LIMIT ?2");
	static const char *const words[] = {
	    [DELIVERED] = "delivered", [READ] = "read", [PLAYED] = "played"};
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	int more;

	*n = 0;
	if (s == NULL)
		return st;
	*marks = region_alloc(r, STORE_RECEIPTS_MAX * sizeof(Stored__ReceiptMark *));
	db_bind_u64(s, 1, row);
	sqlite3_bind_int64(s, 2, STORE_RECEIPTS_MAX);
	while (*marks != NULL && (st = db_step(db, s, &more)) == STORE_OK && more) {
		Stored__ReceiptMark *m = region_alloc(r, sizeof(*m));
		int status = sqlite3_column_int(s, 1);

		if (m == NULL)
			break;
		stored__receipt_mark__init(m);
		m->message_id = region_text(r, "");
		m->party = db_text(s, 0, r);
		m->status = region_text(
		    r, words[status >= DELIVERED && status <= PLAYED ? status : DELIVERED]);
		m->time_ms = sqlite3_column_int64(s, 2);
		(*marks)[(*n)++] = m;
	}
	db_done(s);
	return region_failed(r) ? STORE_NO_MEMORY : st;
}

/* ---------------------------------------------------------------- expiry */

/* The oldest finished rows: the same for each of the three deletes. */
#define FINISHED                                                                                   \
	"(SELECT row FROM outbox WHERE state IN (3, 4) AND added_ms < ?1"                          \
	" ORDER BY added_ms, row LIMIT ?2)"

enum store_status
outbox_expire(
    struct store_db *db, int64_t keys_before_ms, int64_t rows_before_ms, size_t max, size_t *n)
{
	static struct sql keys =
	    SQL("UPDATE outbox SET key = NULL WHERE row IN (SELECT row FROM outbox"
		" WHERE key IS NOT NULL AND added_ms < ?1 ORDER BY added_ms LIMIT ?2)");
	static struct sql receipts = SQL("DELETE FROM receipt WHERE outbox IN " FINISHED);
	static struct sql devices = SQL("DELETE FROM outbox_devices WHERE outbox IN " FINISHED);
	static struct sql rows = SQL("DELETE FROM outbox WHERE row IN " FINISHED);
	enum store_status st;
	size_t freed, hung;

	*n = 0;
	st = db_expire(db, &keys, keys_before_ms, max, &freed);
	if (st == STORE_OK)
		st = db_expire(db, &receipts, rows_before_ms, max, &hung);
	if (st == STORE_OK)
		st = db_expire(db, &devices, rows_before_ms, max, &hung);
	if (st == STORE_OK)
		st = db_expire(db, &rows, rows_before_ms, max, n);
	*n += freed;
	return st;
}
