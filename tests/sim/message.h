/* Messages: ack, one stanza for each device that is named, each with its own enc (page 11, 3.6). */
#ifndef SIM_MESSAGE_H
#define SIM_MESSAGE_H

#include "tests/sim/route.h"

void message_in(struct origin *o, const struct node *n);

#endif
