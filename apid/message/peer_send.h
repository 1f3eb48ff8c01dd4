/* A message to the own phone, for it alone (protocol page 04, 14.1). Lost with its connection: who
 * needs an answer asks again.
 *
 *	peer_send -> peer_known -> peer_encrypt [-> peer_bundle -> peer_encrypt] -> peer_committed
 */
#ifndef WARD_PEER_SEND_H
#define WARD_PEER_SEND_H

#include "apid/session/account.h"
#include "apid/session/unit.h"
#include "common/proto/e2e.pb-c.h"

struct peer_send;

/* content: an encoded Message, copied. fill: adds what must be durable with it to its unit; may be
 * NULL. done: once, id = that of the stanza, NULL if it was not sent. */
struct peer_send *peer_send(struct account *a, const uint8_t *content, size_t len,
    void (*fill)(struct unit *u, const char *id, void *arg),
    void (*done)(const char *id, void *arg), void *arg);
void peer_send_cancel(struct peer_send *s); /* NULL is fine */

#endif
