/* Calls, as far as signalling goes: who rings, and who hears what becomes of it (protocol page 09,
 * section 15; page 12, section 17). */
#ifndef SIM_CALLS_H
#define SIM_CALLS_H

#include "tests/sim/route.h"

void calls_in(struct origin *o, const struct node *n);

#endif
