/* Incoming messages: decrypted, durable, answered; in order of arrival (protocol page 04, section
 * 10).
 *
 *	recv_message -> recv_known -> recv_decrypt -> recv_decrypted -> recv_retry_keys
 *	-> recv_commit -> recv_committed -> recv_done
 */
#ifndef WARD_RECV_H
#define WARD_RECV_H

#include "apid/session/account.h"
#include "common/wire/node.h"

struct recv_lane *recv_lane_new(struct account *a);
void recv_lane_free(struct recv_lane *l);

/* A <message>; the node is taken. size: bytes of its frame. */
void recv_message(struct account *a, struct node *n, size_t size);
/* One that does not decode; n (stolen, if 0 is returned) has what could be read of it: an event
 * with its bytes, then a nack. error: a constant text. -1 if it cannot be named by id and sender.
 */
int recv_undecodable(
    struct account *a, struct node *n, const char *error, const uint8_t *bytes, size_t len);
/* One that held.c kept, now that its sender may be trusted; n is taken. 0, or -1: not started. */
int recv_held(struct account *a, struct node *n, size_t size, uint64_t number);
size_t recv_in_flight(const struct account *a);
/* How many have ended; they do so in their order. */
uint64_t recv_ended(const struct account *a);

#endif
