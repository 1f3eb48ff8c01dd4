/* The switches that the service sets for its clients ("AB props"; protocol page 09, 8.1; page 12,
 * 18): fetched after a login with the hash of what is kept, when they are due again, and when the
 * service says so. Kept with the account, so that what is done before the first answer goes by them
 * too. */
#ifndef WARD_PROPS_H
#define WARD_PROPS_H

#include "apid/session/account.h"

struct props *props_new(struct account *a);
void props_free(struct props *p);
/* What stored has: the values as text, and their hash. */
void props_restore(struct account *a, const char *values, const char *hash);

void props_fetch(struct account *a); /* unless a question is on its way */
void props_disconnected(struct account *a);

/* The codes that decide something here; others are not kept. Tokens go with every direct message
 * and to the LID where it is known, whatever 10518, 24941 and 14303 say (page 12, 8.4). */
#define PROPS_TOKEN_BUCKET   865 /* seconds of a bucket of trusted-contact tokens … */
#define PROPS_TOKEN_BUCKETS  909 /* … and how many count */
#define PROPS_SENDER_BUCKET  996 /* the same for ours */
#define PROPS_SENDER_BUCKETS 997
#define PROPS_EDIT_WINDOW    2983  /* seconds in which a message may be changed */
#define PROPS_LID_MIGRATION  9435  /* 1:1 chats are by LID */
#define PROPS_CAPPING        20865 /* the number of new chats is capped, and can be asked for */
#define PROPS_CAPPING_LIFE   20649 /* … seconds for which an answer is good */
#define PROPS_PEER_BY_LID    24184 /* what is for the own phone goes to its LID */

/* The value of a code, or what it is without one. A code that is not above is a mistake: 0. */
int64_t props_int(const struct account *a, unsigned code);

#endif
