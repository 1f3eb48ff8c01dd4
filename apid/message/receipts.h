/* Delivery receipts that we owe (protocol page 04, sections 10.7 and 11.1; page 12, section 13).
 * Nothing keeps them but the service: a message that was not answered comes again, is found to be
 * known, and is answered then. */
#ifndef WARD_RECEIPTS_H
#define WARD_RECEIPTS_H

#include "apid/message/envelope.h"
#include "apid/session/account.h"
#include "common/wire/node.h"

#define RECEIPT_IDS_MAX    256u  /* of one stanza */
#define RECEIPT_GROUPS_MAX 1024u /* of one backlog */

struct receipts *receipts_new(struct account *a);
void receipts_free(struct receipts *r);

/* We owe a delivery receipt; collected while the backlog is delivered, else sent at once. */
void receipts_owe(struct account *a, const struct envelope *e);
/* The same by parts; recipient or participant may be NULL, type "" for a plain one. */
void receipts_owe_parts(struct account *a, const struct jid *to, const struct jid *participant,
    const struct jid *recipient, const char *type, const char *id);
/* Send what was collected: at the end of the backlog, and before a connection is given up. */
void receipts_flush(struct account *a);
void receipts_disconnected(struct account *a);      /* not sent: those messages come again */
size_t receipts_collected(const struct account *a); /* ids */

/* The receipt type that a message gets: NULL = a plain ack instead (11.1, 10.7). */
const char *receipts_type(const struct account *a, const struct envelope *e);

/* A <receipt>; participant and recipient may be NULL, type "" for a plain one. */
struct node *receipt_node(const struct jid *to, const struct jid *participant,
    const struct jid *recipient, const char *type, const char *id);
/* The ids beyond the first as its <list>. */
void receipt_add_ids(struct node *r, const char (*ids)[MESSAGE_ID_MAX + 1], size_t n);

#endif
