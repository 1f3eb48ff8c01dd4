/* The table of operations that a store backend fills in. Everything above it (units of work, group
 * commit, sequence numbers, retention) is common to all backends.
 *
 * A backend keeps *databases*: one a service (kind STORE_SERVICE) and one an account
 * (STORE_ACCOUNT). They share nothing. All calls come from one thread and none may wait for
 * anything but the disk.
 *
 * Transactions. Writes happen only between begin and commit (or rollback) of their database. mark
 * opens an inner transaction: mark_keep folds what was written since into the outer one, mark_undo
 * takes it back. Marks do not nest. commit returns STORE_OK only when everything is on the disk for
 * good; after any other result nothing of the transaction may be there, now or after a restart.
 * Reads may come outside of a transaction and see what is committed, or inside of it and see its
 * own writes.
 *
 * Arguments are already checked for shape and size (stored/check.h) and are borrowed for the call.
 * What a read gives back lives in the caller's region (a message that it fills in was initialised);
 * a failed allocation there is STORE_NO_MEMORY. "Absent" is never an error: a read of something
 * absent gives STORE_OK and a NULL or a zero, as each function says; the name that was asked for is
 * filled in all the same. Bounds in bytes let one row through, however large.
 *
 * Operations that step through long work (dedup_sweep, ..._expire, scan) are bounded by their
 * arguments. Those of the last section, for backups and the like, may be NULL: stored answers
 * "unsupported".
 *
 * Soft results (STORE_VERSION, STORE_DUPLICATE, STORE_BAD, STORE_ABSENT) concern the unit alone,
 * and the transaction stays usable; all others end the transaction: the caller rolls back. */
#ifndef WARD_STORE_BACKEND_H
#define WARD_STORE_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include "ipc/stored.pb-c.h"
#include "stored/region.h"

enum store_status {
	STORE_OK,
	/* soft */
	STORE_VERSION, /* a sealed record does not stand at the version that the write builds on */
	STORE_DUPLICATE, /* an outbox row with that (uid, idempotency key) exists */
	STORE_BAD,       /* the write contradicts what is stored */
	STORE_ABSENT,    /* what it takes is not there */
	STORE_AGAIN,     /* of tables only: see there */
	/* hard */
	STORE_FULL,      /* no space */
	STORE_READ_ONLY, /* the file system or the file cannot be written */
	STORE_IO,        /* the disk said no */
	STORE_CORRUPT,   /* a page is damaged */
	STORE_NO_MEMORY,
	STORE_UNKNOWN, /* of commit only: see there */
	/* of open only */
	STORE_WRONG_KEY,
	STORE_NEWER_SCHEMA, /* made by a later version of ward */
	STORE_FOREIGN,      /* a database, but not this one of ward's */
	STORE_IN_USE        /* another process has it */
};

/* The word of the contract for a status: "disk_full", "read_only", "io", "corrupt", "version",
 * "bad_request", "wrong_key", "newer_schema", "foreign", "in_use", "no_memory", "duplicate",
 * "absent", "ok".
 */
const char *store_status_word(enum store_status st);
static inline int
store_status_soft(enum store_status st)
{
	return st == STORE_VERSION || st == STORE_DUPLICATE || st == STORE_BAD ||
	       st == STORE_ABSENT;
}

enum store_kind {
	STORE_SERVICE,
	STORE_ACCOUNT
};

#define STORE_RECEIPTS_MAX  1024
#define STORE_RECEIPT_CHATS 2 /* names of the chat that a receipt is of */
#define STORE_KEY_LEN       32

struct store_db; /* the backend's own */

struct store_open {
	enum store_kind kind;
	const char *account; /* NULL for the service's */
	const uint8_t *key;  /* STORE_KEY_LEN bytes, not kept by reference */
	/* Time that the check after an unclean stop may still take, in ms. The backend takes off
	 * what it used; at 0 it skips the check. */
	int64_t *check_budget_ms;
	const uint8_t *next_key; /* NULL, or the key that it gets or already has */
	/* out */
	int rekeyed;    /* next_key was the one that opened it */
	int restored;   /* restored() was applied and restored_done() not */
	int recovered;  /* the last stop was not clean: work was recovered from the log */
	int unchecked;  /* recovered, but the check did not finish in its time */
	char text[240]; /* if it failed: for people */
};

/* An event as it is read: pointers are valid until the next step or close. */
struct store_event {
	uint64_t seq;
	const char *type;
	const char *origin;
	int64_t time_ms;
	const uint8_t *body;
	size_t body_len;
};
/* A row of the log without its content, for retention. */
struct store_event_head {
	uint64_t seq;
	int64_t added_ms; /* when stored took it, by the wall clock */
	uint64_t bytes;   /* of the body */
};

/* What the service's database remembers of the log. */
struct store_log_state {
	char log_id[33];       /* 32 hex digits; names this log */
	uint64_t seq_reserved; /* no seq above this one was ever given away */
	uint64_t trimmed_seq;  /* retention took everything up to here */
};

struct store_consumer {
	uint32_t uid;
	char name[65];
	uint64_t acked_seq;
	int64_t last_ms;
};

struct store_counters {
	uint64_t fsyncs; /* of all databases since start */
};

/* How far a long work is. done of total: bytes or rows, about. */
struct store_progress {
	uint64_t done, total;
	int ended;      /* nothing is left to do */
	char text[240]; /* check: what was found damaged ("" = nothing) */
};

#define STORE_TIDY_ALL 2

struct store_backend {
	const char *name; /* of the config's store.backend, and for logs */

	/* --- process
	 * ------------------------------------------------------------------------------ */
	/* Before confinement: load libraries, draw entropy, open nothing. 0, or -1 (logged). */
	int (*start)(void);
	void (*counters)(struct store_counters *out);

	/* --- databases
	 * ---------------------------------------------------------------------------- */
	/* Opens or creates, migrates to this version's schema in one transaction. Files lie in the
	 * working folder. On failure *out is NULL and o->text is filled. */
	enum store_status (*open)(struct store_open *o, struct store_db **out);
	/* Leaves nothing to recover if it can. NULL is fine. */
	void (*close)(struct store_db *db);
	uint64_t (*bytes)(struct store_db *db); /* on the disk */

	enum store_status (*begin)(struct store_db *db);
	enum store_status (*commit)(struct store_db *db);
	void (*rollback)(struct store_db *db);
	enum store_status (*mark)(struct store_db *db);
	enum store_status (*mark_keep)(struct store_db *db);
	enum store_status (*mark_undo)(struct store_db *db);
	/* Housekeeping of the backend's own, outside of transactions: called when nothing is
	 * waiting (idle = 1), now and then under load (idle = 0: only what cannot wait), and
	 * before a backup, until log_bytes is small (STORE_TIDY_ALL: a part of all that there is,
	 * whatever waits). */
	enum store_status (*tidy)(struct store_db *db, int idle);

	/* --- account: signal domain (sealed records)
	 * ---------------------------------------------- */
	/* Absent: version 0. */
	enum store_status (*record_get)(struct store_db *db, const Stored__RecordName *name,
	    struct region *r, Stored__Record *out);
	/* Applies only where the record stands at version - 1 (absent = 0), else STORE_VERSION. */
	enum store_status (*record_put)(struct store_db *db, const Stored__RecordPut *put);
	/* Applies only where the record stands at that version, else STORE_VERSION. */
	enum store_status (*record_delete)(struct store_db *db, const Stored__RecordDelete *del);

	/* The records of a range, see the contract; total counts all of the range. */
	enum store_status (*record_list)(struct store_db *db, const Stored__RecordsList *q,
	    struct region *r, Stored__RecordNames *out);
	/* The flag of a prekey that is there; absent: nothing happens. */
	enum store_status (*record_uploaded)(struct store_db *db, const Stored__RecordName *name);
	/* Message secrets with 0 < expires_s <= now_s go, at most max; *n says how many went. */
	enum store_status (*record_expire)(
	    struct store_db *db, int64_t now_s, size_t max, size_t *n);

	/* --- account: app-state domain
	 * ------------------------------------------------------------ */
	enum store_status (*collection_put)(struct store_db *db, const Stored__CollectionPut *c);
	enum store_status (*collection_delete)(struct store_db *db, const char *name);
	/* Absent: version 0, no hash. */
	enum store_status (*collection_get)(
	    struct store_db *db, const char *name, struct region *r, Stored__Collection *out);
	enum store_status (*macs_put)(struct store_db *db, const Stored__MacsPut *p);
	enum store_status (*macs_delete)(struct store_db *db, const Stored__MacsDelete *d);
	enum store_status (*macs_clear)(struct store_db *db, const char *collection);
	/* Absent: value empty. */
	enum store_status (*mac_get)(struct store_db *db, const char *collection,
	    const ProtobufCBinaryData *index, struct region *r, ProtobufCBinaryData *value);

	/* --- account: device domain
	 * --------------------------------------------------------------- */
	/* Never saved: an empty record. */
	enum store_status (*device_load)(
	    struct store_db *db, struct region *r, Stored__DeviceRecord **out);
	/* Sets the fields that are set in rec, leaves the others. */
	enum store_status (*device_merge)(struct store_db *db, const Stored__DeviceRecord *rec);
	/* Forgets the record and what DeviceReset in the contract names with it. */
	enum store_status (*device_reset)(struct store_db *db);
	/* Former devices and accounts: Quarantine in the contract. All contacts are put aside; what
	 * lies there is counted; at most max of it go, *n says how many. */
	enum store_status (*quarantine_people)(struct store_db *db, int64_t now_ms);
	enum store_status (*quarantine_count)(
	    struct store_db *db, uint32_t below, uint64_t *records, uint64_t *contacts);
	enum store_status (*quarantine_purge)(
	    struct store_db *db, uint32_t below, size_t max, uint64_t *n);

	/* --- account: protocol domain
	 * ------------------------------------------------------------- */
	/* Insert or merge, see stored/STORE.md ("People") for the rules when a PN and a LID meet.
	 */
	enum store_status (*contact_put)(
	    struct store_db *db, const Stored__Contact *c, int64_t now_ms);
	/* jid: a bare JID or a contact id. Unknown: an empty peer. */
	enum store_status (*peer_lookup)(
	    struct store_db *db, const char *jid, struct region *r, Stored__Peer *out);
	enum store_status (*device_list_put)(
	    struct store_db *db, const Stored__DeviceList *l, int64_t now_ms);
	enum store_status (*device_list_drop)(struct store_db *db, const char *user);
	/* Lists put before before_ms go, at most max; *n says how many. Which of them go first is
	 * the backend's choice. The same of the others. */
	enum store_status (*device_list_expire)(
	    struct store_db *db, int64_t before_ms, size_t max, size_t *n);

	enum store_status (*group_put)(struct store_db *db, const Stored__GroupPut *g);
	enum store_status (*group_delete)(struct store_db *db, const char *group);
	/* The metadata and all marks, in order of JIDs. Absent: neither. */
	enum store_status (*group_get)(
	    struct store_db *db, const char *group, struct region *r, Stored__Group *out);
	enum store_status (*sender_key_status)(
	    struct store_db *db, const Stored__SenderKeyStatus *m);
	enum store_status (*sender_key_clear)(struct store_db *db, const char *group);
	enum store_status (*sender_key_drop)(struct store_db *db, const char *device);
	enum store_status (*sender_key_clear_all)(struct store_db *db);

	enum store_status (*base_key_put)(
	    struct store_db *db, const Stored__BaseKey *k, int64_t now_ms);
	enum store_status (*base_key_delete)(struct store_db *db, const Stored__BaseKeyName *n);
	enum store_status (*base_key_same)(
	    struct store_db *db, const Stored__BaseKey *k, int *same);
	enum store_status (*base_key_expire)(
	    struct store_db *db, int64_t before_ms, size_t max, size_t *n);

	/* The rules of each are in the contract; each must be one step for all others. */
	enum store_status (*token_put)(struct store_db *db, const Stored__Token *t);
	enum store_status (*token_delete)(struct store_db *db, const char *user);
	enum store_status (*token_received)(struct store_db *db, const Stored__TokenReceived *t);
	enum store_status (*token_touch)(struct store_db *db, const Stored__TokenTouch *t);
	enum store_status (*token_expire)(
	    struct store_db *db, const Stored__TokenExpire *t, uint64_t *n);
	enum store_status (*token_get)(
	    struct store_db *db, const char *user, struct region *r, Stored__Token *out);

	enum store_status (*pending_put)(
	    struct store_db *db, const Stored__Pending *p, int64_t now_ms);
	enum store_status (*pending_delete)(struct store_db *db, const Stored__MessageName *n);
	enum store_status (*pending_get)(struct store_db *db, const Stored__MessageName *n,
	    struct region *r, Stored__Pending *out);
	enum store_status (*pending_expire)(
	    struct store_db *db, int64_t before_ms, size_t max, size_t *n);

	/* Up to limit rows and about max_bytes of a table of the contract, in an order of the
	 * backend's that stands still, behind `after`; fills the list that belongs to the table
	 * and `next`. STORE_BAD: `after` is not one of this backend's. */
	enum store_status (*scan)(struct store_db *db, const Stored__Scan *q, size_t max_bytes,
	    struct region *r, Stored__ScanReply *out);

	/* --- account: event log
	 * ------------------------------------------------------------------- */
	/* seq: larger than any before. *kept = 0 when its dedup key, or one of its `unless` keys,
	 * was there (nothing written then). */
	enum store_status (*event_append)(struct store_db *db, uint64_t seq, int64_t now_ms,
	    const Stored__EventAppend *e, int *kept);
	/* Note a dedup key without an event; known already is fine. */
	enum store_status (*event_mark)(struct store_db *db, const char *key, int64_t now_ms);
	/* The largest seq that it holds (0 = none). */
	enum store_status (*event_last)(struct store_db *db, uint64_t *seq);
	/* Walk upwards from after_seq. One walk at a time a database; step gives *e NULL at the
	 * end. */
	enum store_status (*events_walk)(struct store_db *db, uint64_t after_seq);
	enum store_status (*events_step)(struct store_db *db, const struct store_event **e);
	void (*events_stop)(struct store_db *db);
	/* Up to max heads above after_seq, in order; *n is set. */
	enum store_status (*event_heads)(struct store_db *db, uint64_t after_seq,
	    struct store_event_head *heads, size_t max, size_t *n);
	/* Delete all with seq <= upto, at most max rows; *n says how many went. */
	enum store_status (*events_trim)(struct store_db *db, uint64_t upto, size_t max, size_t *n);
	/* Forget dedup keys noted before before_ms whose event is gone: looks at up to max of them,
	 * each call going on where the last one ended; *wrapped = 1 when it came to the end. */
	enum store_status (*dedup_sweep)(
	    struct store_db *db, int64_t before_ms, size_t max, int *wrapped);

	/* --- account: outbox
	 * ---------------------------------------------------------------------- */
	/* STORE_DUPLICATE if (uid, idempotency_key) is taken, STORE_BAD if the message id is.
	 * OutboxRow.row: larger than that of any row that is there. */
	enum store_status (*outbox_put)(
	    struct store_db *db, const Stored__OutboxPut *p, int64_t now_ms);
	/* A row that is no longer there is no error. */
	enum store_status (*outbox_update)(struct store_db *db, const Stored__OutboxUpdate *u);
	/* Only for a message that is in the outbox; a party's status only rises. */
	enum store_status (*outbox_receipt)(struct store_db *db, const Stored__ReceiptMark *m);
	/* QUEUED and READY rows above after_row, oldest first, up to limit rows and about
	 * max_bytes. */
	enum store_status (*outbox_load)(struct store_db *db, uint64_t after_row, uint32_t limit,
	    size_t max_bytes, struct region *r, Stored__OutboxRow ***rows, size_t *n);
	/* By (uid, key), or by message_id if that is not NULL, with `ahead`. Absent: *out NULL. */
	enum store_status (*outbox_find)(struct store_db *db, uint32_t uid, const char *key,
	    const char *message_id, struct region *r, Stored__OutboxRow **out);
	/* What each party said of the message of that row: the latest STORE_RECEIPTS_MAX, latest
	 * first, of one time in order of parties; message_id is "". */
	enum store_status (*outbox_receipts)(struct store_db *db, uint64_t row, struct region *r,
	    Stored__ReceiptMark ***marks, size_t *n);
	/* In steps of max rows: keys of rows added before keys_before_ms are freed; rows added
	 * before rows_before_ms that are ACKED or FAILED go, with their receipts. *n says how many
	 * changed. A freed key reads as "". */
	enum store_status (*outbox_expire)(struct store_db *db, int64_t keys_before_ms,
	    int64_t rows_before_ms, size_t max, size_t *n);

	/* The content of a message that is there and was not taken; it is forgotten. Else
	 * STORE_ABSENT. The row stays for receipts. */
	enum store_status (*outbox_take)(struct store_db *db, const char *message_id);
	/* How many rows are QUEUED or READY, when the first of them was made, and first_out_ms of
	 * the contacts where it is above since_ms. */
	enum store_status (*outbox_count)(
	    struct store_db *db, int64_t since_ms, struct region *r, Stored__OutboxCounts *out);

	/* --- account: after a restore
	 * ------------------------------------------------------------- */
	/* In a transaction of stored's own, before anybody reads: every session and sender key
	 * goes, with sender-key marks and base keys; the account is marked as restored by this
	 * backup. Once for an id: a second call with the same does nothing. */
	enum store_status (*restored)(struct store_db *db, const char *id);
	enum store_status (*restored_done)(struct store_db *db);

	/* --- service
	 * ------------------------------------------------------------------------------ */
	enum store_status (*log_load)(struct store_db *db, struct store_log_state *out);
	enum store_status (*log_save)(struct store_db *db, const struct store_log_state *st);
	/* Absent: *found = 0. */
	enum store_status (*consumer_get)(struct store_db *db, uint32_t uid, const char *name,
	    struct store_consumer *out, int *found);
	enum store_status (*consumer_put)(struct store_db *db, const struct store_consumer *c);
	enum store_status (*consumer_delete)(struct store_db *db, uint32_t uid, const char *name);
	/* All, or those of *uid if it is not NULL; an array in the region. */
	enum store_status (*consumer_list)(struct store_db *db, const uint32_t *uid,
	    struct region *r, struct store_consumer **out, size_t *n);
	/* After a restore: another name for the log, once for an id of a backup. */
	enum store_status (*log_rename)(struct store_db *db, const char *id);

	/* --- long work, outside of transactions, in steps between them; each may be NULL
	 * ---------- */
	/* Rows of each table, for people; appended to out in the region. STORE_AGAIN: it has
	 * counted some and nothing is appended yet; to be called again when others had their turn.
	 */
	enum store_status (*tables)(
	    struct store_db *db, struct region *r, Stored__TableStat ***out, size_t *n);
	uint64_t (*log_bytes)(struct store_db *db); /* of a write-ahead log */

	/* Hold what is committed now as it is, under a file name that is meant for restoring:
	 * bytes 0..*size can be read with backup_read until backup_end, while commits go on.
	 * STORE_FULL: it cannot be held any longer (backup_read), begin anew later. */
	enum store_status (*backup_begin)(struct store_db *db, const char **file, uint64_t *size);
	enum store_status (*backup_read)(
	    struct store_db *db, uint64_t offset, void *buf, size_t len);
	void (*backup_end)(struct store_db *db);

	/* A copy beside the database, under its key: begun, stepped until ended, then finished
	 * (keep = 1: made durable; 0: thrown away). It holds the commit point of its last step. A
	 * step that fails has thrown it away. Until the end it has a name that open clears; then
	 * it is called NAME-FILE: `name`, a dash, the database's file name. STORE_IN_USE: a copy
	 * is being made already (one at a time of a database, a rekey is one as well). */
	enum store_status (*snapshot_begin)(struct store_db *db, const char *name);
	enum store_status (*snapshot_step)(struct store_db *db, struct store_progress *p);
	enum store_status (*snapshot_end)(struct store_db *db, int keep);

	/* Another key, while the database is used. rekey_step copies a little; when it says ended,
	 * the database already has the new key, durably. After a crash, rekey_stop or a step that
	 * failed it begins anew. What is left of an unfinished one is cleared by open. A step that
	 * gives STORE_CORRUPT has lost the use of the database: it is to be closed. STORE_IN_USE:
	 * as above. */
	enum store_status (*rekey_begin)(struct store_db *db, const uint8_t *next_key);
	enum store_status (*rekey_step)(struct store_db *db, struct store_progress *p);
	void (*rekey_stop)(struct store_db *db);

	/* Read everything a little at a time; begin = 1 starts from the beginning. Damage is told
	 * in p->text and ends it; a status other than STORE_OK is a failure of its own. */
	enum store_status (*check_step)(struct store_db *db, int begin, struct store_progress *p);
};

extern const struct store_backend store_sqlcipher;
extern const struct store_backend store_memory; /* nothing of it survives the process: for tests */

#endif
