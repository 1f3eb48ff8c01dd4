/* One message on its way out (protocol page 04, section 9.1).
 *
 *	send_begin -> send_find -> send_people -> send_devices -> send_sessions -> send_prekeys
 *	-> send_encrypt -> send_commit -> send_wire -> send_done
 */
#ifndef WARD_SEND_H
#define WARD_SEND_H

#include "apid/session/account.h"

#define SENDS_MAX 512u /* of one account on their way to the outbox */

struct sender *sender_new(struct account *a);
void sender_free(struct sender *s);

/* A QUEUED row of the outbox is to be encrypted and sent. It ends with outbox_ready,
 * outbox_row_later or outbox_row_failed, and then outbox_row_left. -1: no memory or too many. */
int send_row(struct account *a, const Stored__OutboxRow *row);
/* Is this message on its way to the outbox, or from QUEUED to READY? */
int send_has(const struct account *a, const char *message_id);
/* The participant hash of an encoded message; "" if it has none. out: 12 bytes. */
void send_phash(const uint8_t *stanza, size_t len, char out[12]);
/* The same, and nothing of it is encrypted: it is being written as QUEUED. */
int send_is_queueing(const struct account *a, const char *message_id);
size_t send_in_flight(const struct account *a);
/* Two contacts turned out to be one: its sends are of one lane. */
void send_lane_renamed(struct account *a, const char *from, const char *to);
/* Another device: what is under way is given up. */
void send_reset(struct account *a);

#endif
