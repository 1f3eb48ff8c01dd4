/* Acks of messages, and what may be wrong with them on purpose (protocol page 11, section 6). */
#ifndef SIM_ACK_H
#define SIM_ACK_H

#include <jansson.h>

#include "tests/sim/route.h"

enum ack_how {
	ACK_GOOD,
	ACK_ERROR,       /* a nack, and the message goes nowhere */
	ACK_ERROR_AFTER, /* a nack, although the message is delivered */
	ACK_LATE,        /* delivered at once, acked after ms */
	ACK_NONE,        /* delivered, never acked */
	ACK_OTHER_ID,    /* delivered, and another message is acked */
	ACK_PHASH,       /* with a participant hash that nobody has */
	ACK_REFRESH_LID, /* with refresh_lid=true */
	ACK_HOWS
};

/* {account, how, code, ms, count, to}: the next `count` messages (0 = all from now on) of the
 * account, to this number or LID alone. 0, or -1 and why. */
int ack_forge(struct account *a, const json_t *o, const char **why);
/* What is to be done to this message. Counts it, if it is one that counts. */
enum ack_how ack_next(const struct device *from, const struct jid *to, int counts, int *code);
/* Answer, as the last ack_next said for it, unless error is set. phash "" or NULL: none. */
void ack_send(
    struct origin *o, const struct node *n, const struct jid *to, int error, const char *phash);

#endif
