/* Stanzas in and out: dispatch by tag, acks and nacks, and what is kept of the unknown
 * (protocol page 01, 10.2; page 04, 10.7). */
#ifndef WARD_STANZA_H
#define WARD_STANZA_H

#include "apid/session/account.h"
#include "apid/session/unit.h"
#include "common/wire/node.h"

/* A frame payload of the open connection came. */
void stanza_in(struct account *a, const uint8_t *bytes, size_t len);
/* The same when nothing speaks against it any more (session/poison.h). */
void stanza_handle(struct account *a, const uint8_t *bytes, size_t len);

/* Encode and hand to netd; takes the node. 0, or -1: no connection, no memory, or too much unsent.
 */
int stanza_send(struct account *a, struct node *n);
int stanza_send_bytes(struct account *a, const uint8_t *bytes, size_t len);

/* The ack of a stanza (error 0 = none). NULL if it has no id or from. */
struct node *stanza_ack_new(const struct account *a, const struct node *n, unsigned error);
void stanza_ack(struct account *a, const struct node *n, unsigned error);

/* Make effects durable, then ack: the unit is committed, and when that is done the stanza is acked,
 * if the connection is still the same. On failure: account_store_failed. NULL unit: ack at once. */
void stanza_ack_after(struct account *a, struct unit *u, const struct node *n, size_t cost);
/* The same with a nack (error > 0), or with no answer at all (error -1). */
void stanza_answer_after(
    struct account *a, struct unit *u, const struct node *n, size_t cost, int error);

/* Add the raw stanza to a unit as a server.notice event. kind: a stable word or the stanza's type.
 */
void stanza_keep(struct unit *u, const struct node *n, const char *kind);
/* The same with a unit of its own, and an ack when `ack` is set. */
void stanza_notice(struct account *a, const struct node *n, const char *kind, int ack);

/* Where a stanza comes from: "offline" if it was queued, else "live"; and its time in ms. */
const char *stanza_origin(const struct node *n);
int64_t stanza_time_ms(const struct account *a, const struct node *n);
char *stanza_base64(const void *data, size_t len); /* malloc'd, padded */

#endif
