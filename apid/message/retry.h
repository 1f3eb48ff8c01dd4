/* Retries: the receipt that asks for a message again, and sending one again to the device that asks
 * (protocol page 04, section 12). */
#ifndef WARD_RETRY_H
#define WARD_RETRY_H

#include "apid/message/envelope.h"
#include "apid/session/account.h"
#include "common/wire/node.h"

#define RETRY_ASKS_MAX    4u  /* we ask so often: senders refuse a fifth */
#define RETRY_REFUSE      5u  /* a request of this number or more is refused (12.3) */
#define RETRY_ANSWERS_MAX 10u /* one device gets one message so often, whatever it counts */

/* The retry receipt. keys: NULL or what PREKEYS_MAKE gave. NULL when memory is out. */
struct node *retry_receipt(const struct account *a, const struct envelope *e, unsigned count,
    unsigned error, const Keyd__PrekeysReply *keys);

/* <receipt type=retry> came: send the message again to that device, then ack. The node is taken.
 *
 *	retry_in -> retry_row -> retry_known [-> retry_list] -> retry_turn [-> retry_move] ->
 *retry_facts -> retry_counts -> retry_session [-> retry_bundle] -> retry_encrypted [->
 *retry_remember] -> retry_committed
 */
void retry_in(struct account *a, struct node *n, size_t size);

#endif
