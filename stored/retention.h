/* Retention: what may go from the databases, in small steps. */
#ifndef WARD_STORED_RETENTION_H
#define WARD_STORED_RETENTION_H

#include "stored/store.h"

#define RETENTION_KEYS_MS (7LL * 86400000) /* idempotency keys of sends */
#define RETENTION_LISTS_MS                                                                         \
	(180LL * 86400000) /* device lists that nobody renewed: the next send asks for a new one   \
			    */
#define RETENTION_DEDUP_MS                                                                         \
	(30LL * 86400000) /* the service keeps what it may repeat for 14 days                      \
			   */

/* One step; each is short and has its own transactions. Called when nothing is waiting. */
void retention_step(struct store *s);

#endif
