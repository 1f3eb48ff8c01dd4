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
 * What a read gives back lives in the caller's region; a failed allocation there is
 * STORE_NO_MEMORY. "Absent" is never an error: a read of something absent gives STORE_OK and a NULL
 * or a zero, as each function says.
 *
 * Soft results (STORE_VERSION, STORE_DUPLICATE, STORE_BAD) concern the unit alone, and the
 * transaction stays usable; all others end the transaction: the caller rolls back. */
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
 * "bad_request", "wrong_key", "newer_schema", "foreign", "in_use", "no_memory", "duplicate", "ok".
 */
const char *store_status_word(enum store_status st);
static inline int
store_status_soft(enum store_status st)
{
	return st == STORE_VERSION || st == STORE_DUPLICATE || st == STORE_BAD;
}

enum store_kind {
	STORE_SERVICE,
	STORE_ACCOUNT
};

#define STORE_KEY_LEN 32

struct store_db; /* the backend's own */

struct store_open {
	enum store_kind kind;
	const char *account; /* NULL for the service's */
	const uint8_t *key;  /* STORE_KEY_LEN bytes, not kept by reference */
	/* Time that the check after an unclean stop may still take, in ms. The backend takes off
	 * what it used; at 0 it skips the check. */
	int64_t *check_budget_ms;
	/* out */
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

struct store_backend {
	const char *name; /* for `store.backend` and for logs */

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
	 * waiting (idle = 1), and now and then under load (idle = 0: only what cannot wait). */
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

	/* --- account: device domain
	 * --------------------------------------------------------------- */
	/* Never saved: an empty record. */
	enum store_status (*device_load)(
	    struct store_db *db, struct region *r, Stored__DeviceRecord **out);
	/* Sets the fields that are set in rec, leaves the others. */
	enum store_status (*device_merge)(struct store_db *db, const Stored__DeviceRecord *rec);
	/* Forgets the record and all device lists. */
	enum store_status (*device_reset)(struct store_db *db);

	/* --- account: protocol domain
	 * ------------------------------------------------------------- */
	/* Insert or merge, see stored/sqlcipher/contacts.c for the rules when a PN and a LID meet.
	 */
	enum store_status (*contact_put)(
	    struct store_db *db, const Stored__Contact *c, int64_t now_ms);
	/* jid: a bare JID or a contact id. Unknown: an empty peer. */
	enum store_status (*peer_lookup)(
	    struct store_db *db, const char *jid, struct region *r, Stored__Peer *out);
	enum store_status (*device_list_put)(struct store_db *db, const Stored__DeviceList *l);
	enum store_status (*device_list_drop)(struct store_db *db, const char *user);

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
	/* STORE_DUPLICATE if (uid, idempotency_key) is taken, STORE_BAD if the message id is. */
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
	/* By (uid, key), or by message_id if that is not NULL. Absent: *out NULL. */
	enum store_status (*outbox_find)(struct store_db *db, uint32_t uid, const char *key,
	    const char *message_id, struct region *r, Stored__OutboxRow **out);
	/* In steps of max rows: keys of rows added before keys_before_ms are freed; rows added
	 * before rows_before_ms that are ACKED or FAILED go, with their receipts. *n says how many
	 * changed. */
	enum store_status (*outbox_expire)(struct store_db *db, int64_t keys_before_ms,
	    int64_t rows_before_ms, size_t max, size_t *n);

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
};

extern const struct store_backend store_sqlcipher;

#endif
