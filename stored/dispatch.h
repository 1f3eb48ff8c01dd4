/* What keyd and apid may ask: one table a peer. */
#ifndef WARD_STORED_DISPATCH_H
#define WARD_STORED_DISPATCH_H

#include "stored/store.h"

/* The channel takes the socket and is the store's. 0, or -1. */
int dispatch_keyd_attach(struct store *s, int fd);
int dispatch_apid_attach(struct store *s, int fd);

#endif
