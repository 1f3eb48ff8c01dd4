/* One SQLCipher database: opening, transactions, statements that are kept. For the files of this
 * folder only; the rest of stored sees stored/backend.h. */
#ifndef WARD_SQLCIPHER_DB_H
#define WARD_SQLCIPHER_DB_H

#include <stddef.h>
#include <stdint.h>

#include <sqlcipher/sqlite3.h>

#include "stored/backend.h"

#define DB_STATEMENTS 160

struct copy; /* copy.c */

struct store_db {
	sqlite3 *sql;
	enum store_kind kind;
	char file[64];
	sqlite3_stmt *kept[DB_STATEMENTS];
	int in_transaction;
	int wal_pages; /* in the write-ahead log, as of the last commit */
	int wal_some;  /* the same, after a part of a checkpoint; 0 = none is under way */
	int wal_seen;  /* the same, when db_tidy last looked */
	int64_t wal_changed_ms;
	int suspect; /* a failed commit may still stand in the log: see db_commit */
	struct store_event walking;
	sqlite3_stmt *walk;
	char *dedup_at;    /* where the sweep goes on */
	struct copy *copy; /* NULL, or the one that is being made */
	/* what it was opened with, for opening it again */
	char account[64];
	uint8_t key[STORE_KEY_LEN];
	struct hold *hold;   /* backup.c; NULL: none */
	struct check *check; /* check.c; NULL: none */
	struct count *count; /* tables.c; NULL: none */
};

/* An SQL text and its place among a database's kept statements; one static struct a statement. */
struct sql {
	const char *text;
	int slot; /* 0 = none yet */
};
#define SQL(text_)                                                                                 \
	{                                                                                          \
		text_, 0                                                                           \
	}

/* The kept statement, ready to bind. NULL: *st says why. */
sqlite3_stmt *db_stmt(struct store_db *db, struct sql *q, enum store_status *st);
/* One step, as an SQLite result code. Use no other way to read rows: see there. */
int db_step_rc(struct store_db *db, sqlite3_stmt *s);
/* The same: *row = 1 if there is a row. */
enum store_status db_step(struct store_db *db, sqlite3_stmt *s, int *row);
/* Step a statement that gives no rows, and be done with it. */
enum store_status db_run(struct store_db *db, sqlite3_stmt *s);
/* The same with a message, packed, as the last parameter. */
enum store_status db_run_packed(
    struct store_db *db, sqlite3_stmt *s, int at, const ProtobufCMessage *m);
/* Reset and unbind: after the last step. NULL is fine. */
void db_done(sqlite3_stmt *s);
/* Prepare, run, done, for statements without parameters. */
enum store_status db_exec(struct store_db *db, struct sql *q);
/* The same with one text, ?1. */
enum store_status db_run_text(struct store_db *db, struct sql *q, const char *text);
int db_changes(const struct store_db *db);
/* Run an expiry: ?1 = before, ?2 = at most so many rows; *n = those that went. */
enum store_status db_expire(
    struct store_db *db, struct sql *q, int64_t before, size_t max, size_t *n);

enum store_status db_status(struct store_db *db, int rc); /* of an SQLite result code */
enum store_status db_errno_status(int e);
/* The same, and a log line unless it is a soft one. */
enum store_status db_failed(struct store_db *db, int rc, const char *what);

/* Bindings that SQLite reads in place: they must outlive the statement's run. */
void db_bind_text(sqlite3_stmt *s, int i, const char *text); /* NULL binds NULL */
void db_bind_blob(sqlite3_stmt *s, int i, const void *data, size_t n);
void db_bind_u64(sqlite3_stmt *s, int i, uint64_t v); /* above 2^63-1: clamped */

/* Copies of a column in the region; NULL column gives NULL. */
char *db_text(sqlite3_stmt *s, int col, struct region *r);
/* Returns 0, or -1 when memory is out. */
int db_blob(sqlite3_stmt *s, int col, struct region *r, ProtobufCBinaryData *out);
uint64_t db_u64(sqlite3_stmt *s, int col);

/* --- db.c, the backend's own operations --- */
int db_start(void);
void db_counters(struct store_counters *out);
enum store_status db_open(struct store_open *o, struct store_db **out);
void db_close(struct store_db *db);
uint64_t db_bytes(struct store_db *db);
enum store_status db_begin(struct store_db *db);
enum store_status db_commit(struct store_db *db);
void db_rollback(struct store_db *db);
enum store_status db_mark(struct store_db *db);
enum store_status db_mark_keep(struct store_db *db);
enum store_status db_mark_undo(struct store_db *db);
enum store_status db_tidy(struct store_db *db, int idle);

/* Open the file of db with this key, or leave it closed (o->text may say why). */
enum store_status db_attach(struct store_db *db, struct store_open *o, const uint8_t *key);
/* Close it. keep_log = 1: what is in the log stays there. */
void db_detach(struct store_db *db, int keep_log);
/* A raw key and what else belongs to the form of a page. Returns an SQLite result code. */
int db_set_key(sqlite3 *sql, const uint8_t *key);
/* All of the log is in the file, as far as it can be. */
enum store_status db_write_back(struct store_db *db);
/* A part of it: so many pages, and as many as came since the last part. Tests make it small. */
enum store_status db_write_back_some(struct store_db *db);
extern int db_portion;
/* Nothing of a failed commit can come back: before the log is relied on. */
enum store_status db_heal(struct store_db *db);

/* --- copy.c --- */
void copy_clear(const struct store_db *db); /* what a crash left of one; the database is closed */
void copy_stop(struct store_db *db);
enum store_status copy_snapshot_begin(struct store_db *db, const char *name);
enum store_status copy_snapshot_end(struct store_db *db, int keep);
enum store_status copy_rekey_begin(struct store_db *db, const uint8_t *next_key);
enum store_status copy_step(struct store_db *db, struct store_progress *p);

/* --- migrate.c --- */
/* Brings the schema to this version in one transaction. text: for people, if it fails. */
enum store_status migrate(struct store_db *db, const char *account, char *text, size_t textlen);

/* --- one file a domain --- */
enum store_status signal_get(
    struct store_db *, const Stored__RecordName *, struct region *, Stored__Record *);
enum store_status signal_put(struct store_db *, const Stored__RecordPut *);
enum store_status signal_delete(struct store_db *, const Stored__RecordDelete *);
enum store_status signal_list(
    struct store_db *, const Stored__RecordsList *, struct region *, Stored__RecordNames *);
enum store_status signal_uploaded(struct store_db *, const Stored__RecordName *);
enum store_status signal_expire(struct store_db *, int64_t now_s, size_t max, size_t *n);

enum store_status appsync_put(struct store_db *, const Stored__CollectionPut *);
enum store_status appsync_delete(struct store_db *, const char *name);
enum store_status appsync_get(
    struct store_db *, const char *name, struct region *, Stored__Collection *);
enum store_status appsync_macs_put(struct store_db *, const Stored__MacsPut *);
enum store_status appsync_macs_delete(struct store_db *, const Stored__MacsDelete *);
enum store_status appsync_macs_clear(struct store_db *, const char *collection);
enum store_status appsync_mac(struct store_db *, const char *collection,
    const ProtobufCBinaryData *index, struct region *, ProtobufCBinaryData *value);
/* A row (version, hash, fatal) from a column on; the region remembers a failure. */
void appsync_of_row(sqlite3_stmt *, int col, struct region *, Stored__Collection *);

enum store_status device_load(struct store_db *, struct region *, Stored__DeviceRecord **);
enum store_status device_merge(struct store_db *, const Stored__DeviceRecord *);
enum store_status device_reset(struct store_db *);
enum store_status quarantine_people(struct store_db *db, int64_t now_ms);
enum store_status quarantine_count(
    struct store_db *db, uint32_t below, uint64_t *records, uint64_t *contacts);
enum store_status quarantine_purge(struct store_db *db, uint32_t below, size_t max, uint64_t *n);

enum store_status contacts_put(struct store_db *, const Stored__Contact *, int64_t now_ms);
enum store_status contacts_lookup(
    struct store_db *, const char *jid, struct region *, Stored__Peer *);
/* A row of these columns, from one on; the region remembers a failure. */
#define CONTACT_COLUMNS                                                                            \
	"id, pn, lid, push_name, lid_source, created_ms, changed_ms, first_out_ms, met_ms"
void contacts_of_row(sqlite3_stmt *, int col, struct region *, Stored__Contact *);

enum store_status devices_put(struct store_db *, const Stored__DeviceList *, int64_t now_ms);
enum store_status devices_drop(struct store_db *, const char *user);
enum store_status devices_expire(struct store_db *, int64_t before_ms, size_t max, size_t *n);
/* Absent: *out NULL. */
enum store_status devices_get(
    struct store_db *, const char *user, struct region *, Stored__DeviceList **out);
/* A list as it is stored. */
enum store_status devices_unpack(
    const void *bytes, size_t len, struct region *, Stored__DeviceList *out);

enum store_status groups_put(struct store_db *, const Stored__GroupPut *);
enum store_status groups_delete(struct store_db *, const char *group);
enum store_status groups_get(
    struct store_db *, const char *group, struct region *, Stored__Group *);
enum store_status groups_status(struct store_db *, const Stored__SenderKeyStatus *);
enum store_status groups_clear(struct store_db *, const char *group);
enum store_status groups_drop(struct store_db *, const char *device);
enum store_status groups_clear_all(struct store_db *);

enum store_status basekeys_put(struct store_db *, const Stored__BaseKey *, int64_t now_ms);
enum store_status basekeys_delete(struct store_db *, const Stored__BaseKeyName *);
enum store_status basekeys_same(struct store_db *, const Stored__BaseKey *, int *same);
enum store_status basekeys_expire(struct store_db *, int64_t before_ms, size_t max, size_t *n);

enum store_status tokens_put(struct store_db *, const Stored__Token *);
enum store_status tokens_delete(struct store_db *, const char *user);
enum store_status tokens_received(struct store_db *, const Stored__TokenReceived *);
enum store_status tokens_touch(struct store_db *, const Stored__TokenTouch *);
enum store_status tokens_expire(struct store_db *, const Stored__TokenExpire *, uint64_t *n);
enum store_status tokens_get(struct store_db *, const char *user, struct region *, Stored__Token *);
/* A row (token, token_s, sender_s) from a column on; the region remembers a failure. */
void tokens_of_row(sqlite3_stmt *, int col, struct region *, Stored__Token *);

enum store_status pending_put(struct store_db *, const Stored__Pending *, int64_t now_ms);
enum store_status pending_delete(struct store_db *, const Stored__MessageName *);
enum store_status pending_get(
    struct store_db *, const Stored__MessageName *, struct region *, Stored__Pending *);
enum store_status pending_expire(struct store_db *, int64_t before_ms, size_t max, size_t *n);
/* A row (stanza, attempts) from a column on; the region remembers a failure. */
void pending_of_row(sqlite3_stmt *, int col, struct region *, Stored__Pending *);

enum store_status scan_rows(struct store_db *, const Stored__Scan *, size_t max_bytes,
    struct region *, Stored__ScanReply *);

enum store_status events_mark(struct store_db *db, const char *key, int64_t now_ms);
enum store_status events_append(
    struct store_db *, uint64_t seq, int64_t now_ms, const Stored__EventAppend *, int *kept);
enum store_status events_last(struct store_db *, uint64_t *seq);
enum store_status events_walk(struct store_db *, uint64_t after_seq);
enum store_status events_step(struct store_db *, const struct store_event **);
void events_stop(struct store_db *);
enum store_status events_heads(
    struct store_db *, uint64_t after_seq, struct store_event_head *, size_t max, size_t *n);
enum store_status events_trim(struct store_db *, uint64_t upto, size_t max, size_t *n);
enum store_status events_dedup_sweep(
    struct store_db *, int64_t before_ms, size_t max, int *wrapped);

enum store_status outbox_put(struct store_db *, const Stored__OutboxPut *, int64_t now_ms);
enum store_status outbox_update(struct store_db *, const Stored__OutboxUpdate *);
enum store_status outbox_receipt(struct store_db *, const Stored__ReceiptMark *);
enum store_status outbox_load(struct store_db *, uint64_t after_row, uint32_t limit,
    size_t max_bytes, struct region *, Stored__OutboxRow ***, size_t *n);
enum store_status outbox_find(struct store_db *, uint32_t uid, const char *key,
    const char *message_id, struct region *, Stored__OutboxRow **);
enum store_status outbox_receipts(
    struct store_db *, uint64_t row, struct region *, Stored__ReceiptMark ***, size_t *n);
enum store_status outbox_expire(
    struct store_db *, int64_t keys_before_ms, int64_t rows_before_ms, size_t max, size_t *n);
enum store_status outbox_take(struct store_db *, const char *message_id);
enum store_status outbox_count(
    struct store_db *, int64_t since_ms, struct region *, Stored__OutboxCounts *);

enum store_status service_log_load(struct store_db *, struct store_log_state *);
enum store_status service_log_save(struct store_db *, const struct store_log_state *);
enum store_status consumers_get(
    struct store_db *, uint32_t uid, const char *name, struct store_consumer *, int *found);
enum store_status consumers_put(struct store_db *, const struct store_consumer *);
enum store_status consumers_delete(struct store_db *, uint32_t uid, const char *name);
enum store_status consumers_list(
    struct store_db *, const uint32_t *uid, struct region *, struct store_consumer **, size_t *n);

#endif
