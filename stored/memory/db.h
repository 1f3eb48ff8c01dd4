/* A database of the memory backend: one ordered map, all tables in it. For the files of this
 * folder only; the rest of stored sees stored/backend.h. */
#ifndef WARD_MEMORY_DB_H
#define WARD_MEMORY_DB_H

#include <stddef.h>
#include <stdint.h>

#include "stored/backend.h"
#include "stored/memory/map.h"

/* The first byte of a key. What follows it, and the value, stands beside. A head is a C struct of
 * the file of that table; a packed message comes behind it. */
enum table {
	T_META = 1,         /* name -> text */
	T_RECORD,           /* domain u8, name -> head, sealed */
	T_COLLECTION,       /* name -> Collection */
	T_MAC,              /* collection, index -> version u64, value */
	T_DEVICE,           /* - -> DeviceRecord */
	T_CONTACT,          /* id -> Contact */
	T_CONTACT_PN,       /* PN -> id */
	T_CONTACT_LID,      /* LID -> id */
	T_CONTACT_ALIAS,    /* alias -> id */
	T_CONTACT_ALIAS_OF, /* id, alias -> - */
	T_DEVICE_LIST,      /* user -> put_ms, DeviceList */
	T_GROUP,            /* JID -> metadata */
	T_MARK,             /* group, device -> has_key u8 */
	T_MARK_OF,          /* device, group -> - */
	T_BASE_KEY,         /* address, message id -> put_ms, key */
	T_TOKEN,            /* user -> Token */
	T_PENDING,          /* chat, sender, id -> put_ms, Pending */
	T_EVENT,            /* seq u64 -> head, type, origin, body */
	T_EVENT_KEY,        /* dedup key -> head */
	T_OUTBOX,           /* row u64 -> head, OutboxRow */
	T_OUTBOX_ID,        /* message id -> row u64 */
	T_OUTBOX_KEY,       /* uid u32, idempotency key -> row u64 */
	T_RECEIPT,          /* row u64, party -> head */
	T_LOG,              /* - -> struct store_log_state */
	T_CONSUMER,         /* uid u32, name -> struct store_consumer */
	T_ASIDE             /* id -> Contact, of a former account */
};

struct store_db {
	struct store_db *next; /* in the list of all databases of the process */
	enum store_kind kind;
	char name[64];
	uint8_t key_hash[32]; /* of the key that opens it */
	uint8_t next_hash[32];
	int open;
	struct map *map;
	/* the walk through the event log */
	int walking;
	uint64_t walked;
	struct store_event event;
	uint8_t *event_copy;
	size_t event_copy_len;
	struct key dedup_at, check_at; /* where the sweep and the check go on */
};

/* Forget all databases of the process that are closed: between two tests. */
void mem_forget(void);

/* --- values: a head of a fixed size, then a message --- */
enum store_status mem_put_packed(struct store_db *db, const struct key *k, const void *head,
    size_t headlen, const ProtobufCMessage *m);
/* The message of a row, in the region; NULL when memory is out. */
void *mem_unpack(const ProtobufCMessageDescriptor *desc, const struct map_row *row, size_t headlen,
    struct region *r);
/* Rows of a table whose head begins with the ms of their put: delete at most max that are older. */
enum store_status mem_expire(
    struct store_db *db, enum table t, int64_t before_ms, size_t max, size_t *n);

/* --- the operations of the table, one file a domain --- */
/* --- db.c --- */
int mem_start(void);
void mem_counters(struct store_counters *out);
enum store_status mem_open(struct store_open *o, struct store_db **out);
void mem_close(struct store_db *db);
uint64_t mem_bytes(struct store_db *db);
enum store_status mem_begin(struct store_db *db);
enum store_status mem_commit(struct store_db *db);
void mem_rollback(struct store_db *db);
enum store_status mem_mark(struct store_db *db);
enum store_status mem_mark_keep(struct store_db *db);
enum store_status mem_mark_undo(struct store_db *db);
enum store_status mem_tidy(struct store_db *db, int idle);

/* --- signal.c --- */
enum store_status mem_record_get(
    struct store_db *db, const Stored__RecordName *name, struct region *r, Stored__Record *out);
enum store_status mem_record_put(struct store_db *db, const Stored__RecordPut *put);
enum store_status mem_record_delete(struct store_db *db, const Stored__RecordDelete *del);
enum store_status mem_record_list(
    struct store_db *db, const Stored__RecordsList *q, struct region *r, Stored__RecordNames *out);
enum store_status mem_record_uploaded(struct store_db *db, const Stored__RecordName *name);
enum store_status mem_record_expire(struct store_db *db, int64_t now_s, size_t max, size_t *n);

/* --- appstate.c --- */
enum store_status mem_collection_put(struct store_db *db, const Stored__CollectionPut *c);
enum store_status mem_collection_delete(struct store_db *db, const char *name);
enum store_status mem_collection_get(
    struct store_db *db, const char *name, struct region *r, Stored__Collection *out);
enum store_status mem_macs_put(struct store_db *db, const Stored__MacsPut *p);
enum store_status mem_macs_delete(struct store_db *db, const Stored__MacsDelete *d);
enum store_status mem_macs_clear(struct store_db *db, const char *collection);
enum store_status mem_mac_get(struct store_db *db, const char *collection,
    const ProtobufCBinaryData *index, struct region *r, ProtobufCBinaryData *value);

/* --- device.c --- */
enum store_status mem_device_load(
    struct store_db *db, struct region *r, Stored__DeviceRecord **out);
enum store_status mem_device_merge(struct store_db *db, const Stored__DeviceRecord *rec);
enum store_status mem_device_reset(struct store_db *db);
enum store_status mem_quarantine_people(struct store_db *db, int64_t now_ms);
enum store_status mem_quarantine_count(
    struct store_db *db, uint32_t below, uint64_t *records, uint64_t *contacts);
enum store_status mem_quarantine_purge(
    struct store_db *db, uint32_t below, size_t max, uint64_t *n);

/* --- contacts.c --- */
enum store_status mem_contact_put(struct store_db *db, const Stored__Contact *c, int64_t now_ms);
enum store_status mem_peer_lookup(
    struct store_db *db, const char *jid, struct region *r, Stored__Peer *out);

/* --- devices.c --- */
enum store_status mem_device_list_put(
    struct store_db *db, const Stored__DeviceList *l, int64_t now_ms);
enum store_status mem_device_list_drop(struct store_db *db, const char *user);
enum store_status mem_device_list_expire(
    struct store_db *db, int64_t before_ms, size_t max, size_t *n);

/* --- groups.c --- */
enum store_status mem_group_put(struct store_db *db, const Stored__GroupPut *g);
enum store_status mem_group_delete(struct store_db *db, const char *group);
enum store_status mem_group_get(
    struct store_db *db, const char *group, struct region *r, Stored__Group *out);
enum store_status mem_sender_key_status(struct store_db *db, const Stored__SenderKeyStatus *m);
enum store_status mem_sender_key_clear(struct store_db *db, const char *group);
enum store_status mem_sender_key_drop(struct store_db *db, const char *device);
enum store_status mem_sender_key_clear_all(struct store_db *db);

/* --- retry.c --- */
enum store_status mem_base_key_put(struct store_db *db, const Stored__BaseKey *k, int64_t now_ms);
enum store_status mem_base_key_delete(struct store_db *db, const Stored__BaseKeyName *n);
enum store_status mem_base_key_same(struct store_db *db, const Stored__BaseKey *k, int *same);
enum store_status mem_base_key_expire(
    struct store_db *db, int64_t before_ms, size_t max, size_t *n);

/* --- tokens.c --- */
enum store_status mem_token_put(struct store_db *db, const Stored__Token *t);
enum store_status mem_token_delete(struct store_db *db, const char *user);
enum store_status mem_token_received(struct store_db *db, const Stored__TokenReceived *t);
enum store_status mem_token_touch(struct store_db *db, const Stored__TokenTouch *t);
enum store_status mem_token_expire(struct store_db *db, const Stored__TokenExpire *t, uint64_t *n);
enum store_status mem_token_get(
    struct store_db *db, const char *user, struct region *r, Stored__Token *out);

/* --- retry.c --- */
enum store_status mem_pending_put(struct store_db *db, const Stored__Pending *p, int64_t now_ms);
enum store_status mem_pending_delete(struct store_db *db, const Stored__MessageName *n);
enum store_status mem_pending_get(
    struct store_db *db, const Stored__MessageName *n, struct region *r, Stored__Pending *out);
enum store_status mem_pending_expire(struct store_db *db, int64_t before_ms, size_t max, size_t *n);

/* --- scan.c --- */
enum store_status mem_scan(struct store_db *db, const Stored__Scan *q, size_t max_bytes,
    struct region *r, Stored__ScanReply *out);

/* --- events.c --- */
enum store_status mem_event_append(
    struct store_db *db, uint64_t seq, int64_t now_ms, const Stored__EventAppend *e, int *kept);
enum store_status mem_event_mark(struct store_db *db, const char *key, int64_t now_ms);
enum store_status mem_event_last(struct store_db *db, uint64_t *seq);
enum store_status mem_events_walk(struct store_db *db, uint64_t after_seq);
enum store_status mem_events_step(struct store_db *db, const struct store_event **e);
void mem_events_stop(struct store_db *db);
enum store_status mem_event_heads(
    struct store_db *db, uint64_t after_seq, struct store_event_head *heads, size_t max, size_t *n);
enum store_status mem_events_trim(struct store_db *db, uint64_t upto, size_t max, size_t *n);
enum store_status mem_dedup_sweep(struct store_db *db, int64_t before_ms, size_t max, int *wrapped);

/* --- outbox.c --- */
enum store_status mem_outbox_put(struct store_db *db, const Stored__OutboxPut *p, int64_t now_ms);
enum store_status mem_outbox_update(struct store_db *db, const Stored__OutboxUpdate *u);
enum store_status mem_outbox_receipt(struct store_db *db, const Stored__ReceiptMark *m);
enum store_status mem_outbox_load(struct store_db *db, uint64_t after_row, uint32_t limit,
    size_t max_bytes, struct region *r, Stored__OutboxRow ***rows, size_t *n);
enum store_status mem_outbox_find(struct store_db *db, uint32_t uid, const char *key,
    const char *message_id, struct region *r, Stored__OutboxRow **out);
enum store_status mem_outbox_receipts(
    struct store_db *db, uint64_t row, struct region *r, Stored__ReceiptMark ***marks, size_t *n);
enum store_status mem_outbox_expire(
    struct store_db *db, int64_t keys_before_ms, int64_t rows_before_ms, size_t max, size_t *n);
enum store_status mem_outbox_take(struct store_db *db, const char *message_id);
enum store_status mem_outbox_count(
    struct store_db *db, int64_t since_ms, struct region *r, Stored__OutboxCounts *out);
enum store_status mem_restored(struct store_db *db, const char *id);
enum store_status mem_restored_done(struct store_db *db);

/* --- service.c --- */
enum store_status mem_log_load(struct store_db *db, struct store_log_state *out);
enum store_status mem_log_save(struct store_db *db, const struct store_log_state *st);
enum store_status mem_consumer_get(
    struct store_db *db, uint32_t uid, const char *name, struct store_consumer *out, int *found);
enum store_status mem_consumer_put(struct store_db *db, const struct store_consumer *c);
enum store_status mem_consumer_delete(struct store_db *db, uint32_t uid, const char *name);
enum store_status mem_consumer_list(struct store_db *db, const uint32_t *uid, struct region *r,
    struct store_consumer **out, size_t *n);
enum store_status mem_log_rename(struct store_db *db, const char *id);

/* --- work.c --- */
enum store_status mem_tables(
    struct store_db *db, struct region *r, Stored__TableStat ***out, size_t *n);
enum store_status mem_rekey_begin(struct store_db *db, const uint8_t *next_key);
enum store_status mem_rekey_step(struct store_db *db, struct store_progress *p);
void mem_rekey_stop(struct store_db *db);
enum store_status mem_check_step(struct store_db *db, int begin, struct store_progress *p);

/* --- among each other --- */
void mem_hash_key(const uint8_t *key, uint8_t out[32]);
int mem_is_restored(struct store_db *db);
/* Give the log a new name, and save its state. */
enum store_status mem_log_name(struct store_db *db, struct store_log_state *log);
/* Absent: *out NULL. */
enum store_status mem_device_list_get(
    struct store_db *db, const char *user, struct region *r, Stored__DeviceList **out);

#endif
