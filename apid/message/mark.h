/* chat.mark_read and chat.mark_played: receipts that a client wants sent (protocol page 04, section
 * 11.2). They are answered when the service has acknowledged them.
 *
 *	chat_mark -> mark_known -> mark_queue -> mark_send -> marks_ack
 */
#ifndef WARD_MARK_H
#define WARD_MARK_H

#include "apid/session/account.h"
#include "common/wire/node.h"

#define MARK_ACK_MS     20000
#define MARK_GROUPS_MAX 256u /* stanzas that wait for their ack, or for the end of the backlog */

struct marks *marks_new(struct account *a);
void marks_free(struct marks *m);

/* <ack class=receipt>: 1 if it was for one of these. */
int marks_ack(struct account *a, const struct node *n);
/* The backlog has ended: what was collected goes out. */
void marks_flush(struct account *a);
void marks_disconnected(struct account *a);

#endif
