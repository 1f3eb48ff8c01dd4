/* Receipts that come (protocol page 04, section 11.3): durable marks and events, then the ack.
 *
 *	receipts_in -> receipt_next -> receipt_known -> receipt_committed -> receipt_next …
 */
#ifndef WARD_RECEIPTS_IN_H
#define WARD_RECEIPTS_IN_H

#include "apid/session/account.h"
#include "common/wire/node.h"

struct receipts_in *receipts_in_new(struct account *a);
void receipts_in_free(struct receipts_in *r);

/* A <receipt> came; the node is taken. size: bytes of its frame. */
void receipts_in(struct account *a, struct node *n, size_t size);

#endif
