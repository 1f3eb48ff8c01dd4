/* Telling that messages which could not be read are given up: those for which nobody is left to be
 * asked, and those that were waited for long enough (message.given_up).
 *
 *	give_up_start -> next -> people_known … (one message at a time) -> committed
 */
#ifndef WARD_GIVE_UP_H
#define WARD_GIVE_UP_H

#include "apid/message/unread.h"
#include "apid/session/account.h"

#define GIVE_UP_MAX 8u

struct give_up_row {
	struct unread_name name;
	struct node *stanza; /* as it was kept; taken */
	uint32_t attempts;
};

/* At most GIVE_UP_MAX of them, in one unit: each is told once, and never after the message itself.
 * drop: their rows go with it; else they stay, marked, for an answer that comes late. fn: once, why
 * = NULL when it is durable. */
struct give_up;
typedef void give_up_fn(const char *why, void *arg);
struct give_up *give_up_start(struct account *a, const struct give_up_row *rows, size_t n,
    const char *reason, int drop, give_up_fn *fn, void *arg);
void give_up_cancel(struct give_up *g); /* NULL is fine; fn is not called */

/* The rows of an account that have waited for UNREAD_DAYS: looked for at each login, and every hour
 * while it is online. */
struct unread_expiry *unread_expiry_new(struct account *a);
void unread_expiry_free(struct unread_expiry *x); /* NULL is fine */
void unread_expiry_online(struct account *a);

#endif
