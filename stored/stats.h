/* Numbers for people: STATS. */
#ifndef WARD_STORED_STATS_H
#define WARD_STORED_STATS_H

#include "stored/store.h"

/* A row of apid's table. */
int stats_row(struct message *m, void *owner);
/* The databases are about to be closed: who waits for a count is answered. */
void stats_stop(struct store *s);

#endif
