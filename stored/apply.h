/* Group commit: units that are ready become one transaction and one sync. */
#ifndef WARD_STORED_APPLY_H
#define WARD_STORED_APPLY_H

#include "stored/store.h"

/* Apply the ready units of all accounts. 1 = some had to be left for the next turn. */
int apply_units(struct store *s);

#endif
