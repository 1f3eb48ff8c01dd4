/* Presence and typing (protocol page 11, 3.9). */
#ifndef SIM_PRESENCE_H
#define SIM_PRESENCE_H

#include "tests/sim/route.h"

void presence_in(struct origin *o, const struct node *n);
void presence_chatstate_in(struct origin *o, const struct node *n);
/* The device is gone: its subscriptions end, and those who watch it hear of it. */
void presence_gone(struct device *d);
void presence_fini(void);

#endif
