/* Presence and typing (protocol page 11, 3.9). */
#ifndef SIM_PRESENCE_H
#define SIM_PRESENCE_H

#include "tests/sim/route.h"

void presence_in(struct origin *o, const struct node *n);
void presence_chatstate_in(struct origin *o, const struct node *n);
/* The device is gone: its subscriptions sleep, and those who watch it hear of it. */
void presence_gone(struct device *d);
/* It has got its backlog: what happened meanwhile. */
void presence_live(struct device *d);
/* It is removed for good. */
void presence_forget(struct device *d);
/* chatstate.c */
void chatstate_live(struct device *d);
void chatstate_forget(const struct device *d);
void chatstate_fini(void);
void presence_fini(void);

#endif
