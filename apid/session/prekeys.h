/* One-time prekeys at the service: count, upload, and the low mark (protocol page 04, section 2).
 */
#ifndef WARD_PREKEYS_H
#define WARD_PREKEYS_H

#include "apid/session/account.h"
#include "common/wire/node.h"

#define PREKEYS_UPLOAD 812u
#define PREKEYS_LOW    5

struct prekeys *prekeys_new(struct account *a);
void prekeys_free(struct prekeys *p);

/* Count and upload as needed; fn is called once when it is done or has failed for now (and will be
 * tried again in the background). Replaces the fn of a run that is under way. */
void prekeys_check(struct account *a, void (*fn)(struct account *a));
/* "prekey low": upload without asking for the count, at once or after the backlog. */
void prekeys_low(struct account *a);
void prekeys_online(struct account *a);
void prekeys_disconnected(struct account *a);

/* <iq xmlns=encrypt> with an upload of these keys, without id; NULL when memory is out. */
struct node *prekeys_upload_node(const Keyd__PrekeysReply *r);
/* Appends <type>, <identity>, … as in an upload: used for retry receipts too. */
struct node *prekeys_key_node(const char *tag, const Keyd__Prekey *k);
struct node *prekeys_skey_node(const Keyd__SignedPrekey *k);

#endif
