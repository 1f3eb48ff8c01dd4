/* Own presence, and that of others (protocol page 09, sections 5.1 and 5.2).
 *
 * The account is unavailable unless a client holds it available, for five minutes at most: while it
 * is available the phone stays silent. What others do is told by the service only while we are
 * available, and only of those that were subscribed to on this connection; so subscriptions belong
 * to the account, are bounded in number and time, and are made again with each connection. */
#ifndef WARD_PRESENCE_H
#define WARD_PRESENCE_H

#include "apid/message/contacts.h"
#include "apid/session/account.h"
#include "common/wire/node.h"

#define PRESENCE_WATCHES_MAX 256u
#define PRESENCE_WATCH_MS    INT64_C(3600000)
#define PRESENCE_LOOKUPS_MAX 64u /* incoming ones that wait for the store; others are dropped */

struct presence *presence_new(struct account *a);
void presence_free(struct presence *p);

/* The backlog has ended: say what we are, subscribe again. */
void presence_online(struct account *a);
void presence_disconnected(struct account *a);
/* Another device, perhaps of another account: nobody is watched, nothing is held. */
void presence_reset(struct account *a);
/* The service was told so on this connection: delivery receipts are then plain. */
int presence_is_available(const struct account *a);
/* An own message from another device came with our name. */
void presence_learn_name(struct account *a, const char *name);
/* Somebody gave us a token, in a unit that was committed just now: if he is watched he is
 * subscribed to again, with it. */
void presence_token_came(struct account *a, const struct person *who);

/* A <presence> came: a transient event. */
void presence_in(struct account *a, const struct node *n);

#endif
