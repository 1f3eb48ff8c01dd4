/* Backups, checks, restores and numbers of one database: the operations that people ask for. For
 * the files of this folder only. */
#ifndef WARD_SQLCIPHER_CARE_H
#define WARD_SQLCIPHER_CARE_H

#include "stored/sqlcipher/db.h"

/* --- backup.c --- */
extern uint64_t hold_log_max; /* bytes; smaller in tests */
enum store_status hold_begin(struct store_db *db, const char **file, uint64_t *size);
enum store_status hold_read(struct store_db *db, uint64_t offset, void *buf, size_t len);
void hold_end(struct store_db *db);
/* The file is about to be written to, whatever anybody holds: from now on hold_read says why not.
 */
void hold_break(struct store_db *db, enum store_status why);
/* Nothing may be written back now: a backup holds the file, and its log has room yet. */
int hold_stands(struct store_db *db);
uint64_t care_log_bytes(struct store_db *db);

/* --- check.c --- */
enum store_status check_step(struct store_db *db, int begin, struct store_progress *p);
void check_stop(struct store_db *db);

/* --- tables.c --- */
enum store_status tables_count(
    struct store_db *db, struct region *r, Stored__TableStat ***out, size_t *n);
void tables_stop(struct store_db *db);

/* --- restored.c --- */
enum store_status restored_apply(struct store_db *db, const char *id);
enum store_status restored_done(struct store_db *db);
/* What open has to say of it. */
enum store_status restored_flag(struct store_db *db, int *flag);
enum store_status restored_log_rename(struct store_db *db, const char *id);

#endif
