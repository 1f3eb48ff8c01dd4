/* Retries: asking for a message again, and sending one again to the device that asks
 * (protocol page 04, section 12). */
#ifndef WARD_RETRY_H
#define WARD_RETRY_H

#include "apid/message/envelope.h"
#include "apid/session/account.h"
#include "common/wire/node.h"

#define RETRY_ASKS_MAX 4u /* senders refuse a fifth */

/* Count a failure of this message; enc_count: `count` of the failing enc, 0 if none. The number of
 * the next retry receipt, or 0 if there should be no more. */
unsigned retry_next(struct account *a, const struct envelope *e, unsigned enc_count);
/* The retry receipt. keys: NULL or what PREKEYS_MAKE gave. NULL when memory is out. */
struct node *retry_receipt(const struct account *a, const struct envelope *e, unsigned count,
    unsigned error, const Keyd__PrekeysReply *keys);

/* <receipt type=retry> came: send the message again to that device, then ack. The node is taken.
 *
 *	retry_in -> retry_row -> retry_known -> retry_bundle -> retry_encrypted -> retry_committed
 */
void retry_in(struct account *a, struct node *n, size_t size);

#endif
