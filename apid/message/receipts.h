/* Receipts, both ways (protocol page 04, section 11). */
#ifndef WARD_RECEIPTS_H
#define WARD_RECEIPTS_H

#include "apid/message/envelope.h"
#include "apid/session/account.h"
#include "common/wire/node.h"

#define RECEIPT_IDS_MAX    256u  /* of one stanza */
#define RECEIPT_GROUPS_MAX 1024u /* of one backlog */

struct receipts *receipts_new(struct account *a);
void receipts_free(struct receipts *r);

/* A <receipt> came: durable marks and message.status, then its ack. The node is taken. */
void receipts_in(struct account *a, struct node *n, size_t size);

/* We owe a delivery receipt; collected while the backlog is delivered, else sent at once. */
void receipts_owe(struct account *a, const struct envelope *e);
/* The same by parts; recipient or participant may be NULL, type "" for a plain one. */
void receipts_owe_parts(struct account *a, const struct jid *to, const struct jid *participant,
    const struct jid *recipient, const char *type, const char *id);
void receipts_flush(struct account *a);
void receipts_disconnected(struct account *a);      /* not sent: those messages come again */
size_t receipts_collected(const struct account *a); /* ids */

/* The receipt type that a message gets: NULL = a plain ack instead (11.1, 10.7). */
const char *receipts_type(const struct envelope *e);

#endif
