/* The free space of the data folder's disk. */
#ifndef WARD_STORED_SPACE_H
#define WARD_STORED_SPACE_H

#include "stored/store.h"

/* Look, at most every few seconds unless now is set; says so to apid when "low" changes. */
void space_check(struct store *s, int now);

#endif
