/* App state as the service keeps it: numbered patches that it cannot read (page 11, 3.8). */
#ifndef SIM_APPSTATE_H
#define SIM_APPSTATE_H

#include "tests/sim/route.h"

struct collections;

void appstate_query(struct origin *o, const struct node *iq);
void appstate_free(struct collections *c);
/* The version of a collection, 0 if nothing was stored. */
uint64_t appstate_version(const struct account *a, const char *name);

#endif
