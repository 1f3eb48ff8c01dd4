/* Receipts and acks of devices (protocol page 11, 3.7). */
#ifndef SIM_RECEIPT_H
#define SIM_RECEIPT_H

#include "tests/sim/route.h"

void receipt_in(struct origin *o, const struct node *n);
void receipt_ack_in(struct origin *o, const struct node *n);

#endif
