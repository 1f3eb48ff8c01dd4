/* Who is typing: chat.typing, the method and the event (protocol page 09, section 5.3). The other
 * side forgets it after 25 s, and so does this one: what is not renewed ends as "paused". */
#ifndef WARD_TYPING_H
#define WARD_TYPING_H

#include "apid/session/account.h"
#include "common/wire/node.h"

#define TYPING_MAX       64u   /* chats at a time, each way */
#define TYPING_REPEAT_MS 10000 /* ours is said again, so that it does not lapse over there */
#define TYPING_LAPSE_MS  25000 /* theirs ends by itself */

struct typing *typing_new(struct account *a);
void typing_free(struct typing *t);

/* A <chatstate> came: a transient event. */
void typing_in(struct account *a, const struct node *n);
/* A message to that chat went out: whoever sent it types no longer. */
void typing_sent(struct account *a, const char *chat);
/* Nothing is typed over a connection that is gone; what others type lapses. */
void typing_disconnected(struct account *a);

#endif
