/* usync: device lists, LIDs, who is registered (protocol page 11, 3.5). */
#ifndef SIM_USYNC_H
#define SIM_USYNC_H

#include "tests/sim/route.h"

void usync_query(struct origin *o, const struct node *iq);

#endif
