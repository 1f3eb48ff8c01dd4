/* One-time prekeys at the service: count, upload, and the low mark (protocol page 04, section 2).
 */
#ifndef WARD_PREKEYS_H
#define WARD_PREKEYS_H

#include "apid/session/account.h"
#include "apid/session/call.h"
#include "common/wire/node.h"

#define PREKEYS_UPLOAD 812u
#define PREKEYS_LOW    5

struct prekeys *prekeys_new(struct account *a);
void prekeys_free(struct prekeys *p);

/* Count and upload as needed; fn is called once when it is done or has failed for now (and will be
 * tried again in the background). Replaces the fn of a run that is under way. */
void prekeys_check(struct account *a, void (*fn)(struct account *a));
/* The service has few or none: upload without asking for the count, at once or after the backlog.
 */
void prekeys_low(struct account *a);
/* A client wants an upload, with the next keys_next; the call hears how it ended. */
void prekeys_ask(struct account *a, struct call *c);
/* An upload ended on this connection: what the service said of them before it is no longer so. */
int prekeys_fresh(const struct account *a);
int prekeys_wanted(const struct account *a);
int prekeys_running(const struct account *a);
void prekeys_disconnected(struct account *a);

/* How many the service has: as it was known last (-1 = never) and when. */
int64_t prekeys_there(const struct account *a, int64_t *when_ms);
void prekeys_counted(struct account *a, int64_t n);
/* … from the answer to a count; a missing value counts as none. */
int64_t prekeys_count_came(struct account *a, const struct node *iq);

/* <iq xmlns=encrypt> with an upload of these keys, without id. list: a <list> with others that go
 * before them, which is taken, or NULL. */
struct node *prekeys_upload_node(const Keyd__PrekeysReply *r, struct node *list);
/* Appends <type>, <identity>, … as in an upload: used for retry receipts too. */
struct node *prekeys_key_node(const char *tag, const Keyd__Prekey *k);
struct node *prekeys_skey_node(const Keyd__SignedPrekey *k);

#endif
