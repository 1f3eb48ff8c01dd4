/* A data folder that was made from a backup: before anybody reads, the ratchets in it are dropped
 * and its log gets another name.
 *
 * Who restores puts the file "restored" there, with an id of 32 hex digits. It goes when all
 * databases have seen it; each remembers the id, so that it is done once. */
#ifndef WARD_STORED_RESTORED_H
#define WARD_STORED_RESTORED_H

#include "stored/store.h"

/* Read the file into s->restored_id ("" = there is none). Not STORE_OK: text says why. */
enum store_status restored_read(struct store *s, char *text, size_t len);
/* For a database that was just opened. */
enum store_status restored_service(struct store *s, struct store_db *db);
enum store_status restored_account(struct store *s, struct store_db *db);
/* Is there a database that was not opened, since no account has its name? `file`: which, for
 * people. */
int restored_others(struct store *s, char *file, size_t len);
/* All were opened that can be. */
void restored_end(struct store *s);
/* A unit with restored_done was committed. */
void restored_is_done(struct store *s, struct store_account *a);

#endif
